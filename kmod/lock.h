/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Locks of cells.
 *
 * A free lock goes to the first thread that asks for it, even while others wait:
 * a thread that takes it again and again need not sleep each time.  UNLOCK wakes
 * the oldest waiter, which then asks like everybody else.  Once that waiter has
 * been passed over often enough, or long ago, UNLOCK hands it the lock.
 * So a waiter is served after a bounded number of takings, and in the order in
 * which waiters came.
 *
 * A signal makes a waiter leave, and mostly come back when its handler has
 * returned.  Meanwhile it has a ticket, which keeps its place but holds up nobody:
 * it is in no queue.  A thread waits for one lock at a time, so it has one ticket
 * at most.
 *
 * The holder is a thread of a client.  If the client ends, its locks are released
 * by the work item that gives back all it had.  The module does not notice the end
 * of a single thread; so LOCK checks that the holder is alive, and waiters poll for a
 * dead one.
 *
 * Deadlocks.  A waiter waits for the holder of one lock, and the holder's thread
 * for one at most in turn, through whichever client of the slab.  So the search for
 * a cycle follows a chain, for a bounded number of steps.
 */
#ifndef _SLABSHM_LOCK_H
#define _SLABSHM_LOCK_H

#include <linux/list.h>
#include <linux/rbtree.h>
#include <linux/slabshm.h>
#include <linux/types.h>

struct pid;
struct slabshm_call;
struct slabshm_cells;
struct slabshm_client;
struct slabshm_queue;
struct slabshm_slab;
struct task_struct;

/**
 * struct slabshm_locker - a thread that holds a lock, waits for one, or has a ticket
 * @wait: in slabshm_queue.waiters while it waits
 * @left: in slabshm_cells.tickets while it is a ticket
 * @held: in slabshm_client.locks while it holds the lock or is a ticket: what the
 *	client leaves behind
 * @node: in slabshm_cells.lockers, unless it is a ticket
 * @thread: in slabshm_cells.threads while it waits or is a ticket
 * @id: in the order in which they came
 * @queue: of the cell; NULL: this is a ticket
 * @client: constant, whose
 * @pid: constant, the thread
 * @task: that thread while its call lasts, so that it may be woken; NULL later
 * @since: ns of CLOCK_MONOTONIC when it came or, if it holds the lock, got it
 * @deadline: when the wait or the ticket ends, in ns of CLOCK_MONOTONIC
 * @passed_since: when a younger one first took the lock while this was the oldest
 * @passed: how often that happened
 * @cell: constant, index of the cell
 * @cancels: constant, slabshm_client.cancels when its call began
 * @generation: constant, of the cell
 * @woken: to take the lock, and has not run yet
 * @named: named by the UNLOCK in progress
 *
 * Protected by slabshm_cells.lock.
 */
struct slabshm_locker {
	union {
		struct rb_node wait;
		struct list_head left;
	};
	struct list_head held;
	struct rb_node node;
	struct rb_node thread;
	u64 id;
	struct slabshm_queue *queue;
	struct slabshm_client *client;
	struct pid *pid;
	struct task_struct *task;
	u64 since;
	u64 deadline;
	u64 passed_since;
	u64 generation;
	u32 passed;
	u32 cell;
	unsigned int cancels;
	bool woken;
	bool named;
};

void slabshm_lock_release(struct slabshm_client *client, struct pid *pid);

/* Threads that a search for a deadlock follows */
#define SLABSHM_LOCK_STEPS	64

/* The following need slabshm_cells.lock held. */
bool slabshm_lock_deadlocked(struct slabshm_cells *cells,
			     const struct slabshm_locker *locker,
			     unsigned int *steps);
int slabshm_lock_check(struct slabshm_slab *slab, struct slabshm_queue *queue,
		       struct slabshm_client *client, bool must_hold);
void slabshm_lock_unlock(struct slabshm_slab *slab, struct slabshm_queue *queue,
			 bool consistent);
void slabshm_lock_cell_removed(struct slabshm_slab *slab,
			       struct slabshm_queue *queue);

int slabshm_lock_ioctl(struct slabshm_call *call, void *arg);
int slabshm_unlock_ioctl(struct slabshm_call *call, void *arg);

#endif /* _SLABSHM_LOCK_H */
