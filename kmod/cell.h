/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Cells, the objects they hold, and the slab's clock.
 */
#ifndef _SLABSHM_CELL_H
#define _SLABSHM_CELL_H

#include <linux/list.h>
#include <linux/rbtree.h>
#include <linux/slabshm.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/workqueue.h>

#include "arena.h"
#include "table.h"

struct cell;
struct cell_page;
struct slabshm_locker;
struct slabshm_object;
struct slabshm_record;
struct slabshm_slab;
struct slabshm_client;

/**
 * struct slabshm_queue - who holds a cell's lock, and who waits at the cell
 * @holder: holds the lock; NULL: it is free
 * @waiters: slabshm_locker.wait, by their ids: the oldest comes first
 * @watchers: slabshm_watcher.link, of those to be told of the next change
 * @users: how many slabshm_cell_queue_get() were not put yet: of those who watch,
 *	and of those who are about to wait or to lock
 * @spinning: waiters that spin rather than sleep
 * @inconsistent: a holder died, and none after it has said that all is well
 * @removed: the cell is gone; the last locker to leave frees this
 *
 * There while anybody uses it, while the lock is held or inconsistent, and after
 * that as long as nobody but lockers comes.  Protected by slabshm_cells.lock.
 */
struct slabshm_queue {
	struct slabshm_locker *holder;
	struct rb_root_cached waiters;
	struct list_head watchers;
	unsigned int users;
	unsigned int spinning;
	bool inconsistent;
	bool removed;
};

/**
 * struct slabshm_moved - commits that moved an object, and changed nothing
 * @commit: the last of them
 * @changed: the last one before that was none of them
 *
 * Says something for as long as @commit is the newest, and so costs a publish
 * nothing.
 */
struct slabshm_moved {
	u64 commit;
	u64 changed;
};

/* The last of the commits up to @newest that has changed something. */
static inline u64 slabshm_moved_changed(const struct slabshm_moved *moved,
					u64 newest)
{
	return moved->commit == newest ? moved->changed : newest;
}

/* Does one who knows version @known know the last change? */
static inline bool slabshm_moved_known(const struct slabshm_moved *moved,
				       u64 newest, u64 known)
{
	return known == newest ||
	       (known < newest && known >= slabshm_moved_changed(moved, newest));
}

/**
 * struct slabshm_cells - the cells of one slab
 * @lock: the commit lock: protects all that follows but the constants, the
 *	cell table, slabshm_header.commit, every cell, object and record, and
 *	the lists of struct slabshm_reclaim that publishers add to.
 *	Held for at most 64 cells, 64 parts and 64 watchers; the arena's lock
 *	nests inside, and those that it takes to wake a thread and to queue work
 * @max: constant, how many there can be
 * @used: how many there are
 * @next: cells from here on were never used
 * @free: cells that were removed
 * @names: cells in use, by the hash of their name, then by name
 * @pages: struct cell_page of so many cells each; they stay
 * @commit: the clock, as slabshm_header.commit shows it
 * @moved: its commits that moved objects
 * @publishes: number of the last publish of more cells than one, done or refused
 * @lockers: slabshm_locker.node, all who hold locks or wait for them, by id
 * @last_locker: last id given
 * @threads: slabshm_locker.thread, those who wait and the tickets, by thread: each
 *	has one at most
 * @tickets: slabshm_locker.left, of waiters that a signal has called away, in the
 *	order in which they left
 * @watch_all: slabshm_watcher.link, of those to be told when any cell changes
 * @woken: slabshm_watcher.link, of those that a commit has taken out, and that are
 *	still to be told: by the next publisher or @tell, whichever comes first
 * @tell: tells them; holds the slab while it is queued
 */
struct slabshm_cells {
	spinlock_t lock;	/* all but the constants; outside the arena's */
	u32 max;
	u32 used;
	u32 next;
	struct list_head free;
	struct rb_root names;
	struct slabshm_table pages;
	u64 commit;
	struct slabshm_moved moved;
	u64 publishes;
	struct rb_root lockers;
	u64 last_locker;
	struct rb_root threads;
	struct list_head tickets;
	struct list_head watch_all;
	struct list_head woken;
	struct work_struct tell;
};

/**
 * struct slabshm_publish_room - what a publish needs while it is under way
 * @cells: as in struct slabshm_publish_call
 * @parts: as there
 * @claim: of the blocks to publish
 * @record: theirs
 * @cell: by item
 * @spare: by item; NULL when not in use
 * @drop: by part; NULL when not in use
 * @drop_bytes: by part
 *
 * For the most that a call can name, and never cleared: for 64 cells that would
 * cost more than to change them.
 */
struct slabshm_publish_room {
	struct slabshm_publish_cell cells[SLABSHM_BATCH_MAX];
	struct slabshm_publish_part parts[SLABSHM_BATCH_MAX];
	struct slabshm_claim claim[2 * SLABSHM_BATCH_MAX];
	struct slabshm_record *record[2 * SLABSHM_BATCH_MAX];
	struct cell *cell[SLABSHM_BATCH_MAX];
	struct slabshm_object *spare[SLABSHM_BATCH_MAX];
	struct slabshm_record *drop[SLABSHM_BATCH_MAX];
	u64 drop_bytes[SLABSHM_BATCH_MAX];
};

/**
 * struct slabshm_publish_call - one publish, copied in
 * @cells: @ncells items
 * @parts: @nparts items
 * @ncells: 1 to %SLABSHM_BATCH_MAX
 * @nparts: 0 to %SLABSHM_BATCH_MAX
 * @room: NULL for one cell without parts
 * @failed: out: which item was refused, as in struct slabshm_publish_args
 * @commit: out: the version
 */
struct slabshm_publish_call {
	const struct slabshm_publish_cell *cells;
	struct slabshm_publish_part *parts;
	unsigned int ncells;
	unsigned int nparts;
	struct slabshm_publish_room *room;
	u32 failed;
	u64 commit;
};

/**
 * struct slabshm_move - one object to move
 * @to: where to: a claimed block of the same size
 * @from: its root's offset
 * @generation: of its cell
 * @version: of its cell, when @from was looked at
 * @cell: index of its cell
 */
struct slabshm_move {
	struct slabshm_claim to;
	u64 from;
	u64 generation;
	u64 version;
	u32 cell;
};

int slabshm_cell_module_init(void);
void slabshm_cell_module_exit(void);

struct slabshm_publish_room *slabshm_publish_room_get(void);
void slabshm_publish_room_put(struct slabshm_publish_room *room);

int slabshm_cells_init(struct slabshm_slab *slab, u32 max);
void slabshm_cells_destroy(struct slabshm_slab *slab);

int slabshm_cell_open(struct slabshm_slab *slab, bool may_create,
		      struct slabshm_cell_open_args *arg, bool *created);
int slabshm_cell_remove(struct slabshm_slab *slab, struct slabshm_client *client,
			u32 index, u64 generation);
int slabshm_cell_publish(struct slabshm_client *client,
			 struct slabshm_publish_call *call);
int slabshm_cell_move(struct slabshm_client *client, struct slabshm_move *move,
		      unsigned int n, u64 *bytes);
unsigned int slabshm_cell_list(struct slabshm_slab *slab, u64 *cursor,
			       struct slabshm_cell_entry *entry,
			       unsigned int n);
unsigned int slabshm_cells_changed(struct slabshm_slab *slab, u64 since,
				   u64 *cursor, struct slabshm_event *event,
				   unsigned int n);

int slabshm_cell_queue_get(struct slabshm_cells *cells, u32 index,
			   u64 generation);

/* The following need the lock held. */
void slabshm_cell_queue_put(struct slabshm_cells *cells, u32 index,
			    u64 generation);
struct slabshm_queue *slabshm_cell_queue(struct slabshm_cells *cells, u32 index,
					 u64 generation);
u64 slabshm_cell_version(struct slabshm_cells *cells, u32 index,
			 u64 generation, struct slabshm_moved *moved);
int slabshm_cell_movable(struct slabshm_cells *cells,
			 const struct slabshm_record *record,
			 struct slabshm_move *move);
const char *slabshm_cell_name(struct slabshm_cells *cells, u32 index,
			      u64 generation);

#endif /* _SLABSHM_CELL_H */
