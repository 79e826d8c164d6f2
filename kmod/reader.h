/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Readers: what each thread may still be reading.
 *
 * A reader is one 64-byte slot in its client's reader region, which the client
 * writes and the kernel only reads: "I may read blocks that were current at
 * some moment after commit lo, published at or before hi"; lo = 0: at none.
 * Whatever stands there can harm the slot's own client only: it decides which
 * blocks this slot holds back, and for no longer than the read timeout.
 */
#ifndef _SLABSHM_READER_H
#define _SLABSHM_READER_H

#include <linux/mutex.h>
#include <linux/rbtree.h>
#include <linux/rcupdate.h>
#include <linux/slabshm.h>
#include <linux/types.h>

struct pid;
struct slabshm_call;
struct slabshm_client;
struct slabshm_record;
struct slabshm_slab;

/**
 * struct slabshm_reader - a registered slot
 * @node: in slabshm_readers.tree
 * @id: constant, its place there
 * @slot: constant, the kernel's address of the slot
 * @client: constant, whose
 * @index: constant, in the client's reader region
 * @pid: constant, the thread that registered
 * @floor: the commit at the registration or the last eviction: a pin with a
 *	smaller lo is withdrawn. Written under slabshm_readers.lock
 * @barred: the pin began after a scan that followed the grace period of all
 *	blocks retired up to here, so it cannot use any of them
 * @lo: as the last scan found it in the slot
 * @hi: as the last scan found it in the slot
 * @rcu: READER_CHECK reads it without a lock
 *
 * Protected by slabshm_readers.lock.
 */
struct slabshm_reader {
	struct rb_node node;
	u64 id;
	const struct slabshm_slot *slot;
	struct slabshm_client *client;
	u32 index;
	struct pid *pid;
	u64 floor;
	u64 barred;
	u64 lo;
	u64 hi;
	struct rcu_head rcu;
};

/**
 * struct slabshm_readers - the readers of one slab
 * @lock: protects all of this, and struct slabshm_held.
 *	Held while reclaim looks through these; no publisher takes it
 * @tree: slabshm_reader.node, by id: a list goes on where it was
 * @last_id: of the reader that registered last
 * @count: how many
 * @interval: array of @capacity, which is at least @count: allocated by REGISTER,
 *	so that a scan needs no memory
 * @nintervals: entries of the last scan: the readers that may hold a block retired
 *	up to @cut, by lo (or barred, if that is larger), each with the largest hi
 *	so far, with the bytes of the held blocks for which it is the first to hold
 *	them, and, in slabshm_readers_evict(), with the least B of the blocks for
 *	which it is the last with a lo below R
 * @capacity: see @interval
 * @ndead: entries whose thread has ended
 * @cut: the clock when the last batch was cut whose grace period has passed: what
 *	is judged was retired at or before it
 * @scanned: @cut at the last scan
 * @evictions: how many pins were withdrawn
 */
struct slabshm_readers {
	struct mutex lock;	/* readers, and blocks that they hold */
	struct rb_root tree;
	u64 last_id;
	unsigned int count;
	struct slabshm_interval {
		u64 lo;
		u64 hi;
		u64 bytes;
		u64 born;
		struct slabshm_reader *reader;
	} *interval;
	unsigned int nintervals;
	unsigned int capacity;
	unsigned int ndead;
	u64 cut;
	u64 scanned;
	u64 evictions;
};

/* Which pins to withdraw */
enum slabshm_evict {
	SLABSHM_EVICT_DEAD,	/* those that hold a block, of dead threads */
	SLABSHM_EVICT_HOLDERS,	/* those that hold a block */
	SLABSHM_EVICT_OLD,	/* those that began before a block was retired */
};

void slabshm_readers_init(struct slabshm_slab *slab);
void slabshm_readers_destroy(struct slabshm_slab *slab);

void slabshm_reader_end(struct slabshm_client *client);

void slabshm_readers_scan(struct slabshm_slab *slab);
struct slabshm_interval *
slabshm_readers_hold(const struct slabshm_readers *readers,
		     const struct slabshm_record *record);
void slabshm_readers_evict(struct slabshm_slab *slab,
			   const struct slabshm_record *records,
			   enum slabshm_evict which);
void slabshm_readers_evict_most(struct slabshm_slab *slab, unsigned int round);
unsigned int slabshm_readers_list(struct slabshm_readers *readers, u64 *cursor,
				  struct slabshm_reader_entry *entry, u64 *from,
				  unsigned int n);

int slabshm_register_ioctl(struct slabshm_call *call, void *arg);
int slabshm_unregister_ioctl(struct slabshm_call *call, void *arg);
int slabshm_reader_check_ioctl(struct slabshm_call *call, void *arg);

#endif /* _SLABSHM_READER_H */
