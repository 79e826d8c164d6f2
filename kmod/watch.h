/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Waiting for cells to change.
 *
 * A watcher is on the queue of a cell, and a commit of that cell takes all of them
 * off it, in constant time.  Before it drops the lock, the publisher notifies 64 of
 * them: it wakes threads that sleep in WAIT, and hands the others to their clients,
 * where a work item wakes pollers.  Another work item notifies the rest, so that no
 * number of watchers delays a publisher.  A publish without watchers checks one list
 * head for each cell; and a watcher that has an event is on no queue, and costs the
 * following publishes nothing.
 *
 * A client's watcher goes round, and is always on one of these lists:
 *
 *	slabshm_queue.watchers, slabshm_cells.watch_all: no event
 *	slabshm_cells.woken:		a commit has taken it off its queue
 *	slabshm_watches.pending:	there is an event
 *	slabshm_watches.taken:		EVENTS is copying that event out
 *
 * From the last one it goes back to the first, or if its cell has changed again,
 * to pending; both under the lock under which commits are made.  So no change is
 * lost.
 */
#ifndef _SLABSHM_WATCH_H
#define _SLABSHM_WATCH_H

#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/rbtree.h>
#include <linux/slabshm.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

struct slabshm_call;
struct slabshm_cells;
struct slabshm_client;
struct slabshm_slab;
struct task_struct;

/**
 * struct slabshm_watcher - to be notified of changes
 * @link: see above
 * @node: in slabshm_watches.watchers; not of one that sleeps
 * @client: constant, whose; NULL for one that sleeps
 * @task: a thread that sleeps in WAIT; NULL of a client's watcher, and of one
 *	whose cell stands in the same call twice
 * @generation: constant, of the cell
 * @cell: constant, index of the cell, or %SLABSHM_ALL_CELLS
 * @removed: the event being taken says that the cell was removed
 * @reported: version that was reported last; of all cells: what changed up to this
 *	commit was reported
 * @target: of all cells: what @reported becomes at the end of the cell table
 * @cursor: of all cells: where to go on, as slabshm_cells_changed() counts
 * @next: of all cells: what @cursor will be when the events are copied out
 *
 * Protected by slabshm_cells.lock; from @removed on by slabshm_watches.lock.
 */
struct slabshm_watcher {
	struct list_head link;
	struct rb_node node;
	struct slabshm_client *client;
	struct task_struct *task;
	u64 generation;
	u32 cell;
	bool removed;
	u64 reported;
	u64 target;
	u64 cursor;
	u64 next;
};

#define SLABSHM_ALL_CELLS	U32_MAX

/**
 * struct slabshm_watches - the watches of a client
 * @lock: makes EVENTS and UNWATCH happen one at a time. User memory is
 *	touched under it: nobody but another such call of the same client waits
 *	for it
 * @watchers: slabshm_watcher.node, by cell and generation
 * @count: how many
 * @pending: slabshm_watcher.link, with an event
 * @taken: slabshm_watcher.link, while EVENTS copies out their events
 * @wait: poll(2), and EVENTS
 * @wake: wakes those
 * @ended: sleepers in WAIT or LOCK, to be woken when the client ends, or its waits
 *	are cancelled
 *
 * From @watchers to @taken protected by slabshm_cells.lock.
 */
struct slabshm_watches {
	struct mutex lock;	/* EVENTS, UNWATCH */
	struct rb_root watchers;
	unsigned int count;
	struct list_head pending;
	struct list_head taken;
	wait_queue_head_t wait;
	struct work_struct wake;
	wait_queue_head_t ended;
};

void slabshm_watch_init(struct slabshm_cells *cells);
void slabshm_watch_destroy(struct slabshm_cells *cells);
void slabshm_watches_init(struct slabshm_watches *watches);
void slabshm_watches_end(struct slabshm_client *client);
void slabshm_watches_destroy(struct slabshm_watches *watches);

bool slabshm_watch_pending(struct slabshm_client *client);

int slabshm_watch_module_init(void);
void slabshm_watch_module_exit(void);

/* Needs slabshm_cells.lock held. */
void slabshm_watch_notify(struct slabshm_slab *slab);

int slabshm_wait_ioctl(struct slabshm_call *call, void *arg);
int slabshm_watch_ioctl(struct slabshm_call *call, void *arg);
int slabshm_unwatch_ioctl(struct slabshm_call *call, void *arg);
int slabshm_events_ioctl(struct slabshm_call *call, void *arg);

#endif /* _SLABSHM_WATCH_H */
