/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The client: one open of /dev/slabshm, attached to one slab.
 *
 * Life and death.  A client lives while its reader region is mapped in the
 * address space that attached; its last unmapping (munmap, exec, exit, SIGKILL)
 * ends it, whoever else still has its descriptor.  That happens under
 * mmap_lock, so it only marks the client and drops the reference in @calls
 * that stood for the mapping.  Each call that needs a living client holds
 * another.  When the last is gone, two work items of the slab give back what the
 * client had: one its locks and blocks, and never waits; then another its watches
 * and readers, for which it may have to wait for a round of reclaim.  However many
 * clients of a slab end at a time, they are one item in each queue, and so do not
 * keep those of another slab waiting.
 *
 * Memory.  The file and, from the first mapping to the end of that work item,
 * the client's life each hold @ref.  The slab is held until the client is
 * freed, and is in use until the file is released; mappings of the control and
 * the reader region hold the file.  So everything that has the file may use
 * client->slab and its data.
 */
#ifndef _SLABSHM_CLIENT_H
#define _SLABSHM_CLIENT_H

#include <linux/err.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/llist.h>
#include <linux/mutex.h>
#include <linux/rbtree.h>
#include <linux/refcount.h>
#include <linux/sched.h>
#include <linux/slabshm.h>
#include <linux/uidgid.h>
#include <linux/xarray.h>

#include "arena.h"
#include "mmap.h"
#include "watch.h"

struct file;
struct mm_struct;
struct pid;
struct slabshm_call;
struct slabshm_locker;
struct slabshm_slab;
struct slabshm_user;

/**
 * struct slabshm_share - what one user has of a slab
 * @link: in slabshm_slab.shares
 * @user: constant, whose
 * @clients: how many; the last one frees this. Protected by
 *	slabshm_slab.clients_lock
 * @readers: how many these have registered. Protected by slabshm_readers.lock
 */
struct slabshm_share {
	struct list_head link;
	struct slabshm_user *user;
	unsigned int clients;
	unsigned int readers;
};

/**
 * struct slabshm_client - one open of the device
 * @ref: see above
 * @attach_lock: makes ATTACH happen once, and CANCEL one at a time
 * @slab: NULL until attached, then constant. Written under @attach_lock with
 *	release, read with acquire: what follows up to @node is constant then
 * @mm: the address space that attached (mmgrab)
 * @pid: the process that attached
 * @uid: the user that attached
 * @user: whose limits it counts against
 * @share: what that user has of the slab
 * @id: its number, of no other client meanwhile; 0 until it attaches.  Set before
 *	@slab
 * @seq: its place in the order in which clients came to the slab
 * @rdonly: has the read right alone
 * @node: in slabshm_slab.clients, protected by slabshm_slab.clients_lock
 * @mappings: VMAs of the reader region
 * @ended: @mappings came back to zero; set once
 * @cancels: how often CANCEL was switched on or off; odd: waits are cancelled.
 *	Changed under @attach_lock
 * @calls: 1 while mapped, and 1 for each call in flight; 0 before the first
 *	mapping and for ever after the end
 * @ended_link: in slabshm_slab.ended, then in slabshm_slab.leaving
 * @owner: its blocks, protected by slabshm_arena.lock
 * @readers: its registered readers by their slots; changed under
 *	slabshm_readers.lock
 * @locks: slabshm_locker.held, locks that its threads hold, and their tickets;
 *	protected by slabshm_cells.lock
 * @spare_locker: for the next LOCK, or NULL; protected by slabshm_cells.lock
 * @release_lock: makes releases of a thread's locks happen one at a time
 * @watches: what it watches; see there
 * @reader_pages: the pages of its reader region; an entry goes from NULL to a
 *	page once, under slabshm_readers.lock, and stays
 */
struct slabshm_client {
	struct kref ref;
	struct mutex attach_lock;	/* one ATTACH, CANCEL */
	struct slabshm_slab *slab;
	struct mm_struct *mm;
	struct pid *pid;
	kuid_t uid;
	struct slabshm_user *user;
	struct slabshm_share *share;
	u32 id;
	u64 seq;
	bool rdonly;
	struct rb_node node;
	atomic_t mappings;
	bool ended;
	unsigned int cancels;
	refcount_t calls;
	struct llist_node ended_link;
	struct slabshm_owner owner;
	struct xarray readers;
	struct list_head locks;
	struct slabshm_locker *spare_locker;
	struct mutex release_lock;	/* UNLOCK of a thread that ends */
	struct slabshm_watches watches;
	struct page *reader_pages[SLABSHM_READER_PAGES];
};

struct slabshm_client *slabshm_client_create(void);
void slabshm_client_put(struct slabshm_client *client);
void slabshm_client_release(struct slabshm_client *client);
int slabshm_client_attach(struct slabshm_call *call, struct slabshm_attach_args *arg,
			  struct slabshm_client *other);
void slabshm_client_end(struct slabshm_client *client);

int slabshm_client_map_first(struct slabshm_client *client);
void slabshm_client_map(struct slabshm_client *client);
void slabshm_client_unmap(struct slabshm_client *client);

/**
 * slabshm_client_waits() - may a call of the client go on waiting?
 * @client: entered
 * @cancels: client->cancels when the call began
 *
 * Context: any; on watches.wait or watches.ended, so that it is woken.
 * Return: 0, -ENXIO or -ECANCELED.
 */
static inline int slabshm_client_waits(const struct slabshm_client *client,
				       unsigned int cancels)
{
	unsigned int now = READ_ONCE(client->cancels);

	if (READ_ONCE(client->ended))
		return -ENXIO;
	return now & 1 || now != cancels ? -ECANCELED : 0;
}

unsigned int slabshm_client_list(struct slabshm_slab *slab, u64 *cursor,
				 struct slabshm_client_entry *entry,
				 unsigned int n);

/* The next three are inline, as each call goes through them. */

/**
 * slabshm_client_slab() - the slab, for the address space that attached
 * @client: the client
 *
 * Context: any process context.
 * Return: the slab; ERR_PTR(-ENOTCONN) without one, ERR_PTR(-EIO) for another
 * address space.
 */
static inline struct slabshm_slab *
slabshm_client_slab(struct slabshm_client *client)
{
	/* Pairs with the store in slabshm_client_attach() */
	struct slabshm_slab *slab = smp_load_acquire(&client->slab);

	if (!slab)
		return ERR_PTR(-ENOTCONN);
	if (client->mm != current->mm)
		return ERR_PTR(-EIO);
	return slab;
}

/**
 * slabshm_client_leave() - end such a call
 * @client: as it was entered
 *
 * Context: any.
 */
static inline void slabshm_client_leave(struct slabshm_client *client)
{
	if (refcount_dec_and_test(&client->calls))
		slabshm_client_end(client);
}

/**
 * slabshm_client_enter() - begin a call that needs a living client
 * @client: attached
 *
 * Context: any.
 * Return: 0, to be followed by slabshm_client_leave(); or -ENXIO.
 */
static inline int slabshm_client_enter(struct slabshm_client *client)
{
	if (!refcount_inc_not_zero(&client->calls))
		return -ENXIO;
	if (READ_ONCE(client->ended)) {
		slabshm_client_leave(client);
		return -ENXIO;
	}
	return 0;
}

int slabshm_client_module_init(void);
void slabshm_client_module_exit(void);

int slabshm_cancel_ioctl(struct slabshm_call *call, void *arg);

#endif /* _SLABSHM_CLIENT_H */
