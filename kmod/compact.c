// SPDX-License-Identifier: GPL-2.0
/*
 * Emptying sparse runs.  See compact.h.
 */
#include <linux/math64.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/sort.h>

#include "alloc.h"
#include "arena.h"
#include "call.h"
#include "cell.h"
#include "client.h"
#include "compact.h"
#include "data.h"
#include "object.h"
#include "reclaim.h"
#include "slab.h"
#include "table.h"
#include "trace.h"

/* Runs that one call checks */
#define COMPACT_RUNS	4096

/**
 * struct move - one object to move
 * @to: where to: a claimed block of the same size
 * @from: its root's offset
 * @generation: of its cell
 * @version: of its cell, when @from was read
 * @cell: index of its cell
 */
struct move {
	struct slabshm_claim to;
	u64 from;
	u64 generation;
	u64 version;
	u32 cell;
};

/**
 * struct compact - one call
 * @client: whose
 * @slab: the client's
 * @limit: bytes that are enough
 * @moved: bytes that were moved
 * @record: of the blocks in @move
 * @move: objects to move
 * @run: the runs, %COMPACT_RUNS at most, in the order of run_cmp()
 */
struct compact {
	struct slabshm_client *client;
	struct slabshm_slab *slab;
	u64 limit;
	u64 moved;
	void *record[SLABSHM_BATCH_MAX];
	struct move move[SLABSHM_BATCH_MAX];
	struct slabshm_run_desc *run;
};

/*
 * May the object that a cell holds be moved?  The holder of the cell's lock may read
 * it without a pin, and so may the one after a holder that died, to repair it.
 */
static bool cell_movable(const struct cell *cell)
{
	const struct slabshm_queue *queue = cell->queue;

	return cell->movable && !cell->object->nparts &&
	       (!queue || (!queue->holder && !queue->inconsistent &&
			   RB_EMPTY_ROOT(&queue->waiters.rb_root)));
}

/*
 * Fill in @move for the object in a published block, which the arena has had since
 * the commit lock was taken; -EBUSY if it must stay, -ESTALE if it is retired.
 */
static int move_init(struct slabshm_cells *cells,
		     const struct slabshm_record *record, struct move *move)
{
	u32 index = slabshm_record_cell(record);
	struct cell *cell;

	lockdep_assert_held(&cells->lock);

	if (!(index & SLABSHM_RECORD_NO_PART))
		return -EBUSY;
	/* It says whose it was last; the cell says whether it is */
	cell = slabshm_cell_at(cells, index & ~SLABSHM_RECORD_NO_PART);
	if (!cell->object || cell->object->root != record)
		return -ESTALE;
	if (!cell_movable(cell))
		return -EBUSY;
	move->from = slabshm_record_offset(record);
	move->generation = cell->generation;
	move->version = slabshm_cell_newest(cell)->commit;
	move->cell = cell->index;
	return 0;
}

/* Is the object still what move_init() has found, and movable? */
static struct cell *move_cell(struct slabshm_cells *cells,
			      const struct move *move)
{
	struct cell *cell = slabshm_cell_get(cells, move->cell, move->generation);

	if (IS_ERR(cell) || slabshm_cell_newest(cell)->commit != move->version ||
	    !cell_movable(cell))
		return NULL;
	return cell;
}

/* Write the new version of a cell, whose object is in the block @move->to. */
static void move_write(struct slabshm_slab *slab, struct cell *cell,
		       const struct move *move,
		       struct slabshm_record *record)
{
	struct slabshm_cells *cells = &slab->cells;
	const struct slabshm_version *newest = slabshm_cell_newest(cell);
	struct slabshm_moved moved = {
		.commit = cells->commit + 1,
		.changed = slabshm_moved_changed(&cell->moved, newest->commit),
	};

	record->born = moved.commit;
	slabshm_record_set(record, move->to.offset, SLABSHM_RECORD_NO_PART);
	slabshm_record_set_root(record, cell->index);
	slabshm_arena_publish(&slab->arena, &move->to, record);
	slabshm_cell_write(cells, cell, move->to.offset, newest->length);
	cell->moved = moved;
}

/*
 * Let @n cells lead to the copies of their objects, in one commit of which nobody is
 * notified.  The copies are published, or freed if the object has changed.
 */
static int moves_commit(struct compact *c, unsigned int n)
{
	struct slabshm_slab *slab = c->slab;
	struct slabshm_cells *cells = &slab->cells;
	struct move *move = c->move;
	struct slabshm_record *record[SLABSHM_BATCH_MAX];
	struct cell *cell[SLABSHM_BATCH_MAX];
	unsigned int i, moved = 0;
	int err = 0;

	spin_lock(&cells->lock);
	while (slab->retired.nspare < n && !err) {
		/* Memory comes from outside the lock */
		spin_unlock(&cells->lock);
		err = slabshm_records_add(slab, n);
		spin_lock(&cells->lock);
	}
	spin_lock(&slab->arena.lock);
	for (i = 0; i < n; i++) {
		cell[i] = err ? NULL : move_cell(cells, &move[i]);
		if (!cell[i])
			continue;
		record[i] = slabshm_record_pop(&slab->retired.spare);
		slab->retired.nspare--;
		move_write(slab, cell[i], &move[i], record[i]);
		moved++;
	}
	spin_unlock(&slab->arena.lock);
	if (moved) {
		cells->moved.changed = slabshm_moved_changed(&cells->moved,
							     cells->commit);
		cells->moved.commit = cells->commit + 1;
		slabshm_cells_commit(slab);
	}
	for (i = 0; i < n; i++) {
		struct slabshm_object *object;

		if (!cell[i])
			continue;
		object = cell[i]->object;
		slabshm_retire_record(slab, object->root, object->root_bytes);
		object->root = record[i];
		c->moved += object->root_bytes;
	}
	spin_unlock(&cells->lock);

	for (i = 0; i < n; i++)
		if (!cell[i])
			slabshm_arena_free_claimed(&slab->arena, &move[i].to, 1);
	if (moved)
		slabshm_reclaim_queue(slab);
	return err;
}

/* The others are nearly full: to empty them moves much, and gains little. */
static bool run_is_sparse(const struct slabshm_run_desc *run)
{
	return run->used <= 3 * run->free;
}

/*
 * By class; then those that get objects before those that are emptied; equal ones by
 * their addresses, so that what becomes free is in one piece.
 */
static int run_cmp(const void *a, const void *b)
{
	const struct slabshm_run_desc *x = a, *y = b;

	if (x->class != y->class)
		return x->class < y->class ? -1 : 1;
	if (run_is_sparse(x) != run_is_sparse(y))
		return run_is_sparse(y) ? -1 : 1;
	return x->page < y->page ? -1 : 1;
}

/*
 * The objects in some blocks of a run, from block @index on, which is moved on.
 * Returns how many, 0 at the end, or an error: the run cannot be emptied.
 */
static int run_objects(struct compact *c, const struct slabshm_run_desc *run,
		       unsigned int *index)
{
	struct slabshm_cells *cells = &c->slab->cells;
	int i, n, found = 0, err;

	do {
		spin_lock(&cells->lock);
		spin_lock(&c->slab->arena.lock);
		n = slabshm_arena_run_records(&c->slab->arena, run, index,
					      c->record, SLABSHM_BATCH_MAX);
		spin_unlock(&c->slab->arena.lock);
		/* None is freed before the commit lock is dropped */
		for (i = 0; i < n; i++) {
			err = move_init(cells, c->record[i], &c->move[found]);
			if (!err)
				found++;
			else if (err != -ESTALE)
				break;
		}
		spin_unlock(&cells->lock);
		if (n < 0 || i < n)
			return -EBUSY;
		/* If all were retired, there may be others behind them */
	} while (n && !found);
	return found;
}

static void moves_drop(struct compact *c, unsigned int first, unsigned int n)
{
	for (; first < n; first++)
		slabshm_arena_free_claimed(&c->slab->arena, &c->move[first].to,
					   1);
}

/* Copy @n objects to their new blocks, and move them. */
static int moves_do(struct compact *c, unsigned int n)
{
	struct slabshm_slab *slab = c->slab;
	unsigned int i;
	int err;

	/*
	 * An object may have been retired, reclaimed and trimmed by now: looking
	 * at it must not fill the hole, which nobody would account for.
	 */
	if (mutex_lock_killable(&slab->grow_lock)) {
		moves_drop(c, 0, n);
		return -EINTR;
	}
	for (i = 0; i < n; i++) {
		err = slabshm_data_copy(slab, c->move[i].to.offset,
					c->move[i].from, c->move[i].to.size);
		if (err)
			break;
	}
	mutex_unlock(&slab->grow_lock);
	moves_drop(c, i, n);
	if (i)
		err = moves_commit(c, i) ?: err;
	return err;
}

/*
 * Empty @from, if all that it holds can be moved: to the runs from @to on, which is
 * moved on when one is full.
 */
static int run_empty(struct compact *c, const struct slabshm_run_desc **to,
		     const struct slabshm_run_desc *from)
{
	struct slabshm_arena *arena = &c->slab->arena;
	unsigned int index = 0;
	int i, n, err = 0;

	do {
		n = run_objects(c, from, &index);
		if (n < 0)
			return 0;
	} while (n);

	slabshm_arena_avoid(arena, from);
	index = 0;
	while (!err && *to < from) {
		n = run_objects(c, from, &index);
		if (n <= 0)
			break;
		for (i = 0; i < n && *to < from; ) {
			err = slabshm_arena_alloc_in(arena, &c->client->owner,
						     *to, &c->move[i].to);
			if (!err)
				i++;
			else if (err == -ENOSPC)
				++*to;
			else
				break;
		}
		if (err == -ENOSPC)
			err = 0;
		if (i)
			err = moves_do(c, i) ?: err;
		cond_resched();
	}
	return err;
}

/*
 * What is moved is retired, and readers may hold it back; those that hold too much
 * are evicted.  Half of that is left for what publishes retire.
 */
static bool may_retire(struct slabshm_slab *slab)
{
	unsigned int tries;
	u64 bytes;

	for (tries = 0; ; tries++) {
		spin_lock(&slab->cells.lock);
		bytes = slab->retired.bytes;
		spin_unlock(&slab->cells.lock);
		if (bytes <= slab->reclaim.limit / 2)
			return true;
		if (tries)
			return false;
		slabshm_reclaim_now(slab, 0);
	}
}

/* Empty some of @n runs of one class, while the others have space for all of it. */
static int class_compact(struct compact *c, const struct slabshm_run_desc *run,
			 unsigned int n)
{
	const struct slabshm_run_desc *to = run, *from;
	u64 space = 0, before;
	int err = 0;

	for (from = run; from < run + n; from++)
		space += from->free;
	while (--from > to && !err) {
		space -= from->free;
		if (from->used > space || c->moved >= c->limit)
			break;
		if (signal_pending(current))
			return -EINTR;
		if (!may_retire(c->slab))
			return -EBUSY;
		before = c->moved;
		err = run_empty(c, &to, from);
		space -= min(space, div_u64(c->moved - before,
					  slabshm_class_size[from->class]));
	}
	return err;
}

/**
 * slabshm_compact() - move objects out of sparse runs
 * @client: who does it; entered
 * @limit: bytes to move, 0 for as many as there are
 * @cursor: page to begin with, 0 to start; moved on, back to 0 at the end
 * @moved: set to the bytes that were moved
 *
 * Checks up to 4096 runs.  Their pages are free when what was moved is reclaimed.
 *
 * Context: may sleep; takes grow_lock, the commit lock and the arena's.
 * Return: 0; if nothing was moved, also -EBUSY readers hold back too much, -EDQUOT
 * the client's limit or the user's, -EINTR a signal, -ENOMEM, -EIO.
 */
int slabshm_compact(struct slabshm_client *client, u64 limit, u64 *cursor,
		    u64 *moved)
{
	struct slabshm_slab *slab = client->slab;
	unsigned long end = READ_ONCE(slab->size) >> PAGE_SHIFT;
	unsigned long page = min_t(u64, *cursor, end);
	unsigned int i, first, n = 0;
	struct compact *c;
	int err = 0;

	/* No kvmalloc(): see table.h */
	BUILD_BUG_ON(COMPACT_RUNS * sizeof(*c->run) >
		     PAGE_SIZE << PAGE_ALLOC_COSTLY_ORDER);
	c = kmalloc(sizeof(*c), SLABSHM_GFP);
	if (!c)
		return -ENOMEM;
	c->run = kmalloc_array(COMPACT_RUNS, sizeof(*c->run), SLABSHM_GFP);
	if (!c->run) {
		kfree(c);
		return -ENOMEM;
	}
	c->client = client;
	c->slab = slab;
	c->limit = limit ?: U64_MAX;
	c->moved = 0;
	while (page < end && n < COMPACT_RUNS) {
		n += slabshm_arena_runs(&slab->arena, &page, end, &c->run[n],
					COMPACT_RUNS - n);
		cond_resched();
	}
	sort(c->run, n, sizeof(*c->run), run_cmp, NULL);
	for (first = 0; first < n && !err; first = i) {
		for (i = first + 1; i < n &&
		     c->run[i].class == c->run[first].class; i++)
			;
		err = class_compact(c, &c->run[first], i - first);
	}
	if (!err && c->moved < c->limit)
		*cursor = page < end ? page : 0;
	*moved = c->moved;
	trace_slabshm_compact(slab, c->moved);
	kfree(c->run);
	kfree(c);
	return *moved ? 0 : err;
}

/*
 * ---------------- Calls ----------------
 */

int slabshm_compact_ioctl(struct slabshm_call *call, void *arg)
{
	struct slabshm_compact_args *compact = arg;
	int err;

	if (compact->flags)
		return -EINVAL;
	/* As for growth */
	err = slabshm_call_return(call, compact);
	if (err)
		return err;
	/* Blocks that clients keep in stock hold their runs back */
	if (!compact->cursor)
		slabshm_alloc_raise_pressure(call->slab, true);
	err = slabshm_compact(call->client, compact->bytes, &compact->cursor,
			      &compact->bytes);
	if (err)
		return err;
	slabshm_reclaim_now(call->slab, 0);
	return slabshm_call_return(call, compact);
}
