/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The slab: one shared heap.
 *
 * Lifetime.  There are two counts.  @use is held by attached files, until
 * their release, and by persistence; while it is above 0, the slab has its data
 * and can be found.  The last slabshm_slab_unuse() takes the name away and
 * drops the data, in the release of the last file: so the pages of a slab go
 * before its last process can be waited for, as those of a memfd do.  Nothing
 * in that path waits for a round, or can be interrupted.
 *
 * @ref is held by @use as a whole, and by clients, which may outlive their file
 * until work has given back what they had.  It holds the bookkeeping, which a work
 * item frees, after it has cancelled the slab's other work.
 *
 * A name is no reference.  The data is a shmem file, which mappings hold by
 * themselves; it may outlive the slab.
 *
 * Locks, outermost first:
 *
 *	slabshm_client.attach_lock	an ATTACH
 *	slabshm_watches.lock		EVENTS and UNWATCH of a client
 *	slabshm_client.release_lock	locks of a thread that ends
 *	slabshm_names_lock		names, persistence; all slabs
 *	slabshm_slab.clients_lock	the clients
 *	slabshm_reclaim.turn		an ALLOC that found no space
 *	slabshm_slab.grow_lock		size and memory of the data
 *	slabshm_readers.lock		readers, and retired blocks that they hold
 *	slabshm_cells.lock		(spinlock) cells and the clock
 *	slabshm_arena.lock		(spinlock) blocks
 *
 * Of these only the first two are held while user memory is touched: nobody but
 * another such call of the same client ever waits for them.  The spinlocks are held
 * for at most 64 blocks, cells or watchers; sleepers are woken, and work is queued,
 * under slabshm_cells.lock.
 */
#ifndef _SLABSHM_SLAB_H
#define _SLABSHM_SLAB_H

#include <linux/kref.h>
#include <linux/list.h>
#include <linux/llist.h>
#include <linux/mutex.h>
#include <linux/rbtree.h>
#include <linux/refcount.h>
#include <linux/slabshm.h>
#include <linux/types.h>
#include <linux/workqueue.h>

#include "arena.h"
#include "cell.h"
#include "reader.h"
#include "reclaim.h"
#include "control.h"
#include "user.h"

/**
 * struct slabshm_slab - one shared heap
 * @ref: see above
 * @use: see above; goes to 0 under slabshm_names_lock
 * @id: constant, unique
 * @max_size: constant, bytes, a multiple of pages
 * @fixed: constant, ALLOC does not grow it
 * @mandatory: constant, a locked cell is its holder's to change
 * @user: constant, whose limits it counts against
 * @meter: what the kernel keeps of it
 * @names: in slabshm_net.slabs; empty if it has no name (any more).
 *	Protected by slabshm_names_lock
 * @persist: holds @use. Protected by slabshm_names_lock
 * @data: the shmem file; its inode has the owner and the mode. Constant while the
 *	slab is in use, then NULL, which is written under @grow_lock
 * @data_ro: the same opened for reading, which read-only clients map
 * @destroy_work: frees the slab after the last reference
 * @control: see there
 * @arena: which bytes are whose; has a lock of its own
 * @cells: cells and clock; has a lock of its own
 * @readers: slots of readers; has a lock of its own
 * @retired: retired blocks; under the lock of @cells
 * @held: those that readers hold back; under the lock of @readers
 * @reclaim: the rounds that free them
 * @clients_lock: protects the next four
 * @clients: slabshm_client.node, by seq: a list goes on where it was
 * @shares: slabshm_share.link, of each user that has a client
 * @nclients: how many
 * @last_client: slabshm_client.seq of the one that came last
 * @ended: slabshm_client.ended_link, clients that have ended
 * @end_work: gives back the locks and blocks of those; holds @ref
 * @leaving: slabshm_client.ended_link, clients for which that is done
 * @leave_work: ends the watches and readers of those; holds @ref
 * @grow_lock: serializes growth, refill and TRIM
 * @size: bytes of data. Written under @grow_lock, read anywhere
 * @grow_seq: counts up when memory was added to the free set, so that an
 *	allocation that waited for @grow_lock sees that another has grown the slab.
 *	Written under @grow_lock, read anywhere
 * @pressure_stamp: when slabshm_header.pressure was last raised, in jiffies. Both are
 *	written under slabshm_arena.lock
 * @name: constant, empty for an unnamed slab
 */
struct slabshm_slab {
	struct kref ref;
	refcount_t use;
	u64 id;
	u64 max_size;
	bool fixed;
	bool mandatory;
	struct slabshm_user *user;
	struct slabshm_meter meter;
	struct list_head names;
	bool persist;
	struct file *data;
	struct file *data_ro;
	struct work_struct destroy_work;
	struct slabshm_control control;
	struct slabshm_arena arena;
	struct slabshm_cells cells;
	struct slabshm_readers readers;
	struct slabshm_retired retired;
	struct slabshm_held held;
	struct slabshm_reclaim reclaim;

	struct mutex clients_lock;	/* the next four */
	struct rb_root clients;
	struct list_head shares;
	unsigned int nclients;
	u64 last_client;

	struct llist_head ended;
	struct work_struct end_work;
	struct llist_head leaving;
	struct work_struct leave_work;

	struct mutex grow_lock;		/* stores to the next two */
	u64 size;
	unsigned long grow_seq;

	unsigned long pressure_stamp;
	char name[SLABSHM_NAME_MAX];
};

struct slabshm_slab *slabshm_slab_create(const struct slabshm_attach_args *arg);
void slabshm_slab_drop_data(struct slabshm_slab *slab);
void slabshm_slab_get(struct slabshm_slab *slab);
void slabshm_slab_put(struct slabshm_slab *slab);

int slabshm_slab_module_init(void);
void slabshm_slab_module_exit(void);

#endif /* _SLABSHM_SLAB_H */
