/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Cells, and the slab's clock.
 *
 * A cell has one line in the control region, which readers load without a lock,
 * and a struct cell that only the kernel sees.  Its object is a root block and a
 * list of parts; each of these blocks has a record, which the allocator keeps by
 * the block's offset.
 */
#ifndef _SLABSHM_CELL_H
#define _SLABSHM_CELL_H

#include <linux/err.h>
#include <linux/list.h>
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/rbtree.h>
#include <linux/slabshm.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/workqueue.h>

#include "arena.h"
#include "table.h"

struct slabshm_client;
struct slabshm_locker;
struct slabshm_object;
struct slabshm_slab;

/**
 * struct slabshm_queue - a cell's lock, its waiters and its watchers
 * @holder: holds the lock; NULL: it is free
 * @waiters: slabshm_locker.wait, by their ids: the oldest comes first
 * @watchers: slabshm_watcher.link, of those to notify of the next change
 * @users: how many slabshm_cell_queue_get() were not put yet: of those who watch,
 *	and of those who are about to wait or to lock
 * @spinning: waiters that spin rather than sleep
 * @inconsistent: a holder died, and no later one has declared the data consistent
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

/* Does version @known include the last change? */
static inline bool slabshm_moved_known(const struct slabshm_moved *moved,
				       u64 newest, u64 known)
{
	return known == newest ||
	       (known < newest && known >= slabshm_moved_changed(moved, newest));
}

/**
 * struct cell - the kernel's side of a cell
 * @node: in slabshm_cells.names, while in use
 * @link: in slabshm_cells.free, when removed
 * @line: constant, its line in the control region
 * @index: constant, its place in the cell table
 * @hash: of @name
 * @named: the last publish that named it, by its number
 * @generation: how often the place was given to another cell, from 1: with the
 *	index, the handle
 * @moved: its versions that only moved the object
 * @movable: constant while in use: COMPACT may move the object
 * @name: NULL while not in use
 * @object: what it holds; NULL while not in use
 * @spare: an empty object; there when @object has parts
 * @queue: its lock, waiters and watchers; NULL while there are none
 */
struct cell {
	union {
		struct rb_node node;
		struct list_head link;
	};
	struct slabshm_cell *line;
	u32 index;
	u32 hash;
	u64 named;
	u64 generation;
	struct slabshm_moved moved;
	bool movable;
	char *name;
	struct slabshm_object *object;
	struct slabshm_object *spare;
	struct slabshm_queue *queue;
};

/* The newest version of a cell. */
static inline struct slabshm_version *slabshm_cell_newest(const struct cell *cell)
{
	struct slabshm_version *v = cell->line->version;

	return v[0].commit > v[1].commit ? &v[0] : &v[1];
}

#define SLABSHM_CELLS_PER_PAGE	(PAGE_SIZE / sizeof(struct slabshm_cell))

/**
 * struct slabshm_cell_page - the cells of one page of the cell table
 * @line: that page
 * @commit: the newest version of these cells. Read without a lock
 * @cell: the kernel's side
 * @removed: by cell: the commit that removed the last one of before; 0 if none was
 */
struct slabshm_cell_page {
	struct slabshm_cell *line;
	u64 commit;
	struct cell cell[SLABSHM_CELLS_PER_PAGE];
	u64 removed[SLABSHM_CELLS_PER_PAGE];
};

/**
 * struct slabshm_cells - the cells of one slab
 * @lock: the commit lock: protects all that follows but the constants, the
 *	cell table, slabshm_header.commit, every cell, object and record, and
 *	struct slabshm_retired.
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
 * @publishes: number of the last publish, done or refused
 * @lockers: slabshm_locker.node, all who hold locks or wait for them, by id
 * @last_locker: last id given
 * @threads: slabshm_locker.thread, those who wait and the tickets, by thread: each
 *	has one at most
 * @tickets: slabshm_locker.left, of waiters that a signal has called away, in the
 *	order in which they left
 * @watch_all: slabshm_watcher.link, of those to notify when any cell changes
 * @woken: slabshm_watcher.link, of those that a commit has taken out, and that are
 *	still to be notified: by the next publisher or @notify, whichever comes first
 * @notify: notifies them
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
	struct work_struct notify;
};

/**
 * slabshm_cell_at() - a cell by its index
 * @cells: of the slab
 * @index: of a cell that is or was in use
 *
 * Context: the commit lock is held.
 * Return: the cell.
 */
static inline struct cell *slabshm_cell_at(struct slabshm_cells *cells, u32 index)
{
	struct slabshm_cell_page *page;

	lockdep_assert_held(&cells->lock);

	page = slabshm_table_get(&cells->pages, index / SLABSHM_CELLS_PER_PAGE);
	return &page->cell[index % SLABSHM_CELLS_PER_PAGE];
}

/**
 * slabshm_cell_get() - a cell by its handle
 * @cells: of the slab
 * @index: of the handle
 * @generation: of the handle
 *
 * Context: the commit lock is held.
 * Return: the cell, or an ERR_PTR of -EINVAL or -EIDRM.
 */
static inline struct cell *
slabshm_cell_get(struct slabshm_cells *cells, u32 index, u64 generation)
{
	struct cell *cell;

	lockdep_assert_held(&cells->lock);

	if (index >= cells->next)
		return ERR_PTR(-EINVAL);
	cell = slabshm_cell_at(cells, array_index_nospec(index, cells->next));
	if (!cell->name || cell->generation != generation)
		return ERR_PTR(-EIDRM);
	return cell;
}

int slabshm_cells_init(struct slabshm_slab *slab, u32 max);
void slabshm_cells_destroy(struct slabshm_slab *slab);

size_t slabshm_cell_cost(const char *name);
int slabshm_cell_populate(struct slabshm_slab *slab);
unsigned int slabshm_cell_list(struct slabshm_slab *slab, u64 *cursor,
			       struct slabshm_cell_entry *entry,
			       unsigned int n);
unsigned int slabshm_cells_changed(struct slabshm_slab *slab, u64 since,
				   u64 *cursor, struct slabshm_event *event,
				   unsigned int n);

int slabshm_cell_queue_get(struct slabshm_cells *cells, u32 index,
			   u64 generation);

/* The following need the lock held. */
struct cell *slabshm_cell_find(struct slabshm_cells *cells, const char *name,
			       u32 hash);
struct cell *slabshm_cell_take(struct slabshm_slab *slab);
void slabshm_cell_set_name(struct slabshm_cells *cells, struct cell *cell,
			   char *name, u32 hash);
char *slabshm_cell_drop(struct slabshm_cells *cells, struct cell *cell);
void slabshm_cell_write(struct slabshm_cells *cells, const struct cell *cell,
			u64 offset, u64 length);
void slabshm_cells_commit(struct slabshm_slab *slab);
void slabshm_cell_queue_put(struct slabshm_cells *cells, u32 index,
			    u64 generation);
struct slabshm_queue *slabshm_cell_queue(struct slabshm_cells *cells, u32 index,
					 u64 generation);
u64 slabshm_cell_version(struct slabshm_cells *cells, u32 index,
			 u64 generation, struct slabshm_moved *moved);
const char *slabshm_cell_name(struct slabshm_cells *cells, u32 index,
			      u64 generation);

#endif /* _SLABSHM_CELL_H */
