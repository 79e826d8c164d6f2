/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Locks of cells.
 *
 * A lock is the order of its queue: who comes stands at the end, who is first
 * holds it, who leaves lets the next one have it.  So it is fair, there is no
 * moment at which it is free but wanted, and nobody is woken in vain.
 *
 * The holder is a thread of a client.  If the client ends, its locks are released
 * by the work item that gives back all it had.  If only the thread ends, nobody
 * tells the kernel's modules; so whoever finds the lock taken looks whether its
 * holder is alive, and who waits does so now and then.
 */
#ifndef _SLABSHM_LOCK_H
#define _SLABSHM_LOCK_H

#include <linux/list.h>
#include <linux/rbtree.h>
#include <linux/slabshm.h>
#include <linux/types.h>

struct pid;
struct slabshm_client;
struct slabshm_queue;
struct slabshm_slab;
struct task_struct;

/**
 * struct slabshm_locker - one who holds a lock, or waits for it
 * @link: in slabshm_queue.lockers
 * @held: in slabshm_client.locks while it holds the lock, otherwise empty
 * @node: in slabshm_cells.lockers
 * @id: in the order in which they came
 * @queue: constant, of the cell
 * @client: constant, whose
 * @pid: constant, the thread
 * @task: that thread while its call lasts, so that it may be woken; NULL later
 * @since: ns of CLOCK_MONOTONIC when it came or, if it holds the lock, got it
 * @cell: constant, index of the cell
 * @generation: constant, of the cell
 * @named: named by the UNLOCK in progress
 *
 * Protected by slabshm_cells.lock.
 */
struct slabshm_locker {
	struct list_head link;
	struct list_head held;
	struct rb_node node;
	u64 id;
	struct slabshm_queue *queue;
	struct slabshm_client *client;
	struct pid *pid;
	struct task_struct *task;
	u64 since;
	u32 cell;
	bool named;
	u64 generation;
};

int slabshm_lock_cells(struct slabshm_client *client,
		       struct slabshm_lock_cell *cell, unsigned int n, bool try,
		       u64 deadline, u32 *failed);
int slabshm_unlock_cells(struct slabshm_client *client,
			 const struct slabshm_lock_cell *cell, unsigned int n,
			 u32 *failed);
void slabshm_lock_release(struct slabshm_client *client, struct pid *pid);
unsigned int slabshm_lock_list(struct slabshm_slab *slab, u64 *cursor,
			       struct slabshm_lock_entry *entry,
			       unsigned int n);

/* The following need slabshm_cells.lock held. */
int slabshm_lock_check(struct slabshm_slab *slab, struct slabshm_queue *queue,
		       struct slabshm_client *client, bool must_hold);
void slabshm_lock_unlock(struct slabshm_slab *slab, struct slabshm_queue *queue,
			 bool consistent);
void slabshm_lock_cell_removed(struct slabshm_slab *slab,
			       struct slabshm_queue *queue);

#endif /* _SLABSHM_LOCK_H */
