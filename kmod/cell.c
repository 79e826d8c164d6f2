// SPDX-License-Identifier: GPL-2.0
/*
 * The table of cells.  See cell.h.
 */
#include <linux/nospec.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "cell.h"
#include "object.h"
#include "slab.h"

/* The page that a cell lies in, without a lookup in the table. */
static struct slabshm_cell_page *cell_page(const struct cell *cell)
{
	unsigned int k = cell->index % SLABSHM_CELLS_PER_PAGE;

	return container_of(cell - k, struct slabshm_cell_page, cell[0]);
}

static int page_add(struct slabshm_slab *slab, unsigned long i)
{
	struct slabshm_cell_page *page;
	unsigned int k;
	int err;

	err = slabshm_meter_add(&slab->meter, sizeof(*page));
	if (err)
		return err;
	page = kzalloc(sizeof(*page), SLABSHM_GFP);
	err = -ENOMEM;
	if (!page)
		goto uncharge;
	page->line = slabshm_control_populate(&slab->control,
					      slab->control.cells_page + i);
	err = PTR_ERR_OR_ZERO(page->line);
	if (err)
		goto free;
	for (k = 0; k < SLABSHM_CELLS_PER_PAGE; k++) {
		page->cell[k].line = &page->line[k];
		page->cell[k].index = i * SLABSHM_CELLS_PER_PAGE + k;
		page->cell[k].generation = 1;
	}
	err = slabshm_table_add(&slab->cells.pages, i, page);
	if (!err)
		return 0;
free:
	kfree(page);
uncharge:
	slabshm_meter_sub(&slab->meter, sizeof(*page));
	return err == -EEXIST ? 0 : err;
}

/* Must slabshm_cell_take() have another page? */
static bool page_missing(const struct slabshm_cells *cells)
{
	return list_empty(&cells->free) && cells->next < cells->max &&
	       !slabshm_table_get(&cells->pages, cells->next / SLABSHM_CELLS_PER_PAGE);
}

/**
 * slabshm_cell_populate() - make memory for the next new cell
 * @slab: whose
 *
 * Context: may sleep; takes the commit lock.
 * Return: 0, -ENOMEM or -EDQUOT.
 */
int slabshm_cell_populate(struct slabshm_slab *slab)
{
	struct slabshm_cells *cells = &slab->cells;
	bool missing;
	u32 next;

	spin_lock(&cells->lock);
	missing = page_missing(cells);
	next = cells->next;
	spin_unlock(&cells->lock);
	return missing ? page_add(slab, next / SLABSHM_CELLS_PER_PAGE) : 0;
}

/*
 * What is charged for a cell, as long as it has a name, besides its part of a
 * page of them: what it has, or may come to have.
 */
size_t slabshm_cell_cost(const char *name)
{
	return strlen(name) + 1 + 2 * sizeof(struct slabshm_object) +
	       sizeof(struct slabshm_queue);
}

/**
 * slabshm_cell_write() - write the older version of a cell, for the next commit
 * @cells: of the slab
 * @cell: the cell
 * @offset: of the new root, 0 for none
 * @length: of the object
 *
 * Readers ignore it until slabshm_header.commit has reached it.
 *
 * Context: the commit lock is held.
 */
void slabshm_cell_write(struct slabshm_cells *cells, const struct cell *cell,
			u64 offset, u64 length)
{
	struct slabshm_version *v = cell->line->version;
	struct slabshm_version *older = v[0].commit > v[1].commit ? &v[1] : &v[0];
	u64 commit = cells->commit + 1;

	lockdep_assert_held(&cells->lock);

	WRITE_ONCE(older->commit, 0);
	WRITE_ONCE(older->tag, 0);
	/*
	 * A reader that loads the new offset or length must not find the old
	 * tag after it.  Pairs with the reader's barrier (step 3 at struct
	 * slabshm_cell) before it loads the tag.
	 */
	smp_wmb();
	WRITE_ONCE(older->offset, offset);
	WRITE_ONCE(older->length, length);
	WRITE_ONCE(older->tag, (commit + cell->generation) |
			       (offset ? 0 : SLABSHM_VERSION_EMPTY));
	/*
	 * A reader that loads the new commit must find what it stands for.
	 * Pairs with the reader's load-acquire of the commits (step 1).  The
	 * release in slabshm_cells_commit() would do, as no version above the clock is
	 * used; but so each line is sound by itself.
	 */
	smp_wmb();
	WRITE_ONCE(older->commit, commit);
	WRITE_ONCE(cell_page(cell)->commit, commit);
}

/**
 * slabshm_cells_commit() - advance the clock: what was written becomes visible
 * @slab: whose
 *
 * Context: the commit lock is held.
 */
void slabshm_cells_commit(struct slabshm_slab *slab)
{
	struct slabshm_cells *cells = &slab->cells;
	u64 commit = cells->commit + 1;

	lockdep_assert_held(&cells->lock);

	cells->commit = commit;
	/* Pairs with the reader's load-acquire of S (at struct slabshm_cell) */
	smp_store_release(&slab->control.header->commit, commit);
}

/* What the tree of names is sorted by: numbers first, as they compare faster */
struct name_key {
	const char *name;
	u32 hash;
};

static int name_cmp(const void *key, const struct rb_node *node)
{
	const struct cell *cell = rb_entry(node, struct cell, node);
	const struct name_key *k = key;

	if (k->hash != cell->hash)
		return k->hash < cell->hash ? -1 : 1;
	return strcmp(k->name, cell->name);
}

static bool name_less(struct rb_node *a, const struct rb_node *b)
{
	const struct cell *cell = rb_entry(a, struct cell, node);
	struct name_key key = { .name = cell->name, .hash = cell->hash };

	return name_cmp(&key, b) < 0;
}

/* A cell by its name, or NULL. */
struct cell *slabshm_cell_find(struct slabshm_cells *cells, const char *name,
			       u32 hash)
{
	struct name_key key = { .name = name, .hash = hash };

	lockdep_assert_held(&cells->lock);

	return rb_entry_safe(rb_find(&key, &cells->names, name_cmp),
			     struct cell, node);
}

/**
 * slabshm_cell_take() - a place for a new cell
 * @slab: whose; it has fewer cells than it may
 *
 * Context: the commit lock is held.
 * Return: the cell, to be named; NULL: see slabshm_cell_populate().
 */
struct cell *slabshm_cell_take(struct slabshm_slab *slab)
{
	struct slabshm_cells *cells = &slab->cells;
	struct cell *cell;

	lockdep_assert_held(&cells->lock);

	if (page_missing(cells))
		return NULL;
	if (!list_empty(&cells->free)) {
		cell = list_first_entry(&cells->free, struct cell, link);
		list_del(&cell->link);
		return cell;
	}
	cell = slabshm_cell_at(cells, cells->next);
	if (!(cells->next % SLABSHM_CELLS_PER_PAGE))
		WRITE_ONCE(slab->control.header->cells_ready,
			   cells->next + SLABSHM_CELLS_PER_PAGE);
	/* The page's entry first; pairs with slabshm_cells_changed() */
	smp_store_release(&cells->next, cells->next + 1);
	return cell;
}

/**
 * slabshm_cell_set_name() - the cell is in use from now on
 * @cells: of the slab
 * @cell: from slabshm_cell_take()
 * @name: which no cell has; the caller of slabshm_cell_drop() frees it
 * @hash: of the name
 *
 * Context: the commit lock is held.
 */
void slabshm_cell_set_name(struct slabshm_cells *cells, struct cell *cell,
			   char *name, u32 hash)
{
	lockdep_assert_held(&cells->lock);

	cell->name = name;
	cell->hash = hash;
	rb_add(&cell->node, &cells->names, name_less);
	cells->used++;
}

/* The last commit has removed the cell: its name and objects are the caller's now. */
char *slabshm_cell_drop(struct slabshm_cells *cells, struct cell *cell)
{
	char *name = cell->name;

	lockdep_assert_held(&cells->lock);

	cell_page(cell)->removed[cell->index % SLABSHM_CELLS_PER_PAGE] = cells->commit;
	rb_erase(&cell->node, &cells->names);
	list_add(&cell->link, &cells->free);
	cells->used--;
	cell->name = NULL;
	cell->object = NULL;
	cell->spare = NULL;
	return name;
}

/**
 * slabshm_cell_list() - some of a slab's cells
 * @slab: whose
 * @cursor: index of the next cell; moved on
 * @entry: array of @n, zeroed
 * @n: how many at most
 *
 * Context: may sleep; takes the commit lock, for 64 cells at a time.
 * Return: how many there were; 0 at the end.
 */
unsigned int slabshm_cell_list(struct slabshm_slab *slab, u64 *cursor,
			       struct slabshm_cell_entry *entry,
			       unsigned int n)
{
	struct slabshm_cells *cells = &slab->cells;
	unsigned int i = 0;

	while (i < n && *cursor < READ_ONCE(cells->next)) {
		u64 end = *cursor + SLABSHM_BATCH_MAX;

		spin_lock(&cells->lock);
		for (; i < n && *cursor < min_t(u64, end, cells->next);
		     ++*cursor) {
			u32 index = array_index_nospec(*cursor, cells->next);
			struct cell *cell = slabshm_cell_at(cells, index);
			struct slabshm_version *v;

			if (!cell->name)
				continue;
			v = slabshm_cell_newest(cell);
			entry[i].generation = cell->generation;
			entry[i].commit = slabshm_moved_changed(&cell->moved,
								v->commit);
			entry[i].offset = v->offset;
			entry[i].length = v->length;
			entry[i].bytes = cell->object->root_bytes +
					 cell->object->part_bytes;
			entry[i].parts = cell->object->nparts;
			entry[i].cell = cell->index;
			entry[i].flags = cell->movable ? SLABSHM_CELL_MOVABLE :
							 0;
			strscpy(entry[i].name, cell->name,
				sizeof(entry[i].name));
			i++;
		}
		spin_unlock(&cells->lock);
		cond_resched();
	}
	return i;
}

/* Was a cell removed from this place since a commit?  The last one, if several. */
static bool cell_removed(const struct slabshm_cell_page *page, unsigned int k, u64 since,
			 struct slabshm_event *event)
{
	const struct cell *cell = &page->cell[k];

	if (page->removed[k] <= since)
		return false;
	event->cell = cell->index;
	event->flags = SLABSHM_EVENT_REMOVED;
	/* The removal has raised it */
	event->generation = cell->generation - 1;
	event->version = 0;
	return true;
}

/* Has the cell that is there now changed? */
static bool cell_changed(struct slabshm_cells *cells,
			 const struct slabshm_cell_page *page, unsigned int k, u64 since,
			 struct slabshm_event *event)
{
	const struct cell *cell = &page->cell[k];
	u64 version = slabshm_cell_newest(cell)->commit;

	if (!cell->name ||
	    slabshm_moved_changed(&cell->moved, version) <= since)
		return false;
	event->cell = cell->index;
	event->flags = 0;
	event->generation = cell->generation;
	event->version = version;
	return true;
}

/**
 * slabshm_cells_changed() - some of the cells that have changed since a commit
 * @slab: whose
 * @since: the commit
 * @cursor: where to go on, from 0: twice the index of a cell, and one more when
 *	what was removed from its place has been listed; moved on
 * @event: array of @n
 * @n: how many at most
 *
 * Context: may sleep; takes the commit lock, for 64 cells at a time.
 * Return: how many there were; fewer than @n at the end.
 */
unsigned int slabshm_cells_changed(struct slabshm_slab *slab, u64 since,
				   u64 *cursor, struct slabshm_event *event,
				   unsigned int n)
{
	struct slabshm_cells *cells = &slab->cells;
	unsigned int i = 0, looked = 0;

	/* Pairs with the release in slabshm_cell_take(): the page is there */
	while (i < n && *cursor / 2 < smp_load_acquire(&cells->next)) {
		u32 index = *cursor / 2;
		u32 end = round_down(index, SLABSHM_CELLS_PER_PAGE) + SLABSHM_CELLS_PER_PAGE;
		struct slabshm_cell_page *page =
			slabshm_table_get(&cells->pages,
					  index / SLABSHM_CELLS_PER_PAGE);

		if (!(++looked % 1024))
			cond_resched();
		/* What the caller knows of the clock, it knows from the lock */
		if (READ_ONCE(page->commit) <= since) {
			*cursor = 2 * (u64)end;
			continue;
		}
		spin_lock(&cells->lock);
		end = min(end, cells->next);
		for (; i < n && *cursor < 2 * (u64)end; ++*cursor) {
			unsigned int k = *cursor / 2 % SLABSHM_CELLS_PER_PAGE;

			i += *cursor % 2 ?
			     cell_changed(cells, page, k, since, &event[i]) :
			     cell_removed(page, k, since, &event[i]);
		}
		spin_unlock(&cells->lock);
		cond_resched();
	}
	return i;
}

/**
 * slabshm_cell_queue_get() - make sure that a cell has a queue
 * @cells: of the slab
 * @index: of the handle
 * @generation: of the handle
 *
 * It is there until slabshm_cell_queue_put(), or until the cell is removed.
 *
 * Context: may sleep; takes the commit lock.
 * Return: 0, -EINVAL, -EIDRM or -ENOMEM.
 */
int slabshm_cell_queue_get(struct slabshm_cells *cells, u32 index,
			   u64 generation)
{
	struct slabshm_queue *queue = NULL;
	struct cell *cell;
	int err;

	spin_lock(&cells->lock);
	cell = slabshm_cell_get(cells, index, generation);
	err = PTR_ERR_OR_ZERO(cell);
	if (!err && !cell->queue) {
		/* Memory comes from outside the lock */
		spin_unlock(&cells->lock);
		queue = kzalloc(sizeof(*queue), SLABSHM_GFP);
		if (!queue)
			return -ENOMEM;
		queue->waiters = RB_ROOT_CACHED;
		INIT_LIST_HEAD(&queue->watchers);
		spin_lock(&cells->lock);
		cell = slabshm_cell_get(cells, index, generation);
		err = PTR_ERR_OR_ZERO(cell);
		if (!err && !cell->queue)
			swap(cell->queue, queue);
	}
	if (!err)
		cell->queue->users++;
	spin_unlock(&cells->lock);
	kfree(queue);
	return err;
}

/**
 * slabshm_cell_queue_put() - undo slabshm_cell_queue_get()
 * @cells: of the slab
 * @index: of the handle
 * @generation: of the handle, whose cell may have been removed since
 *
 * Context: the commit lock is held.
 */
void slabshm_cell_queue_put(struct slabshm_cells *cells, u32 index,
			    u64 generation)
{
	struct cell *cell = slabshm_cell_get(cells, index, generation);
	struct slabshm_queue *queue;

	if (IS_ERR(cell))
		return;
	queue = cell->queue;
	if (--queue->users || queue->holder || queue->inconsistent ||
	    !RB_EMPTY_ROOT(&queue->waiters.rb_root))
		return;
	cell->queue = NULL;
	kfree(queue);
}

/**
 * slabshm_cell_queue() - a cell's queue
 * @cells: of the slab
 * @index: of the handle
 * @generation: of the handle
 *
 * Context: the commit lock is held.
 * Return: the queue, NULL if nobody needs one, or an ERR_PTR of -EINVAL or -EIDRM.
 */
struct slabshm_queue *slabshm_cell_queue(struct slabshm_cells *cells, u32 index,
					 u64 generation)
{
	struct cell *cell = slabshm_cell_get(cells, index, generation);

	return IS_ERR(cell) ? ERR_CAST(cell) : cell->queue;
}

/**
 * slabshm_cell_version() - a cell's version
 * @cells: of the slab
 * @index: of the handle
 * @generation: of the handle
 * @moved: set to its versions that only moved the object
 *
 * Context: the commit lock is held.
 * Return: the commit that wrote it, or 0 if the cell was removed.
 */
u64 slabshm_cell_version(struct slabshm_cells *cells, u32 index,
			 u64 generation, struct slabshm_moved *moved)
{
	struct cell *cell = slabshm_cell_get(cells, index, generation);

	if (IS_ERR(cell)) {
		*moved = (struct slabshm_moved){};
		return 0;
	}
	*moved = cell->moved;
	return slabshm_cell_newest(cell)->commit;
}

/* The name of a cell while the commit lock is held; NULL if the cell was removed. */
const char *slabshm_cell_name(struct slabshm_cells *cells, u32 index,
			      u64 generation)
{
	struct cell *cell = slabshm_cell_get(cells, index, generation);

	return IS_ERR(cell) ? NULL : cell->name;
}

/**
 * slabshm_cells_init() - the cells of a new slab
 * @slab: whose; its control region is there
 * @max: how many there can be
 *
 * Context: may sleep.
 * Return: 0, -ENOMEM or -EDQUOT.
 */
int slabshm_cells_init(struct slabshm_slab *slab, u32 max)
{
	struct slabshm_cells *cells = &slab->cells;

	BUILD_BUG_ON(sizeof(struct slabshm_cell) != 64);
	spin_lock_init(&cells->lock);
	cells->max = max;
	INIT_LIST_HEAD(&cells->free);
	INIT_LIST_HEAD(&cells->watch_all);
	INIT_LIST_HEAD(&cells->woken);
	cells->names = RB_ROOT;
	cells->lockers = RB_ROOT;
	cells->threads = RB_ROOT;
	INIT_LIST_HEAD(&cells->tickets);
	cells->commit = 1;
	slab->control.header->commit = 1;
	return slabshm_table_init(&cells->pages,
				  DIV_ROUND_UP(max, SLABSHM_CELLS_PER_PAGE),
				  &slab->meter);
}

static void cell_page_free(void *entry)
{
	struct slabshm_cell_page *page = entry;
	unsigned int k;

	for (k = 0; k < SLABSHM_CELLS_PER_PAGE; k++) {
		slabshm_object_destroy(page->cell[k].object);
		kfree(page->cell[k].spare);
		kfree(page->cell[k].name);
		kfree(page->cell[k].queue);
	}
	kfree(page);
}

/* Free all cells.  Their blocks go with the arena. */
void slabshm_cells_destroy(struct slabshm_slab *slab)
{
	slabshm_table_destroy(&slab->cells.pages, cell_page_free);
}
