// SPDX-License-Identifier: GPL-2.0
/*
 * Cells, the objects they hold, and the slab's clock.
 *
 * A cell has one line in the control region, which readers look at without a
 * lock, and a struct cell that only the kernel sees.  The cell's object is its
 * root block and a list of parts; each of these blocks has a record, which the
 * allocator keeps by the block's offset.
 *
 * A record is made before the publish that needs it commits, and is what the
 * block later waits to be reclaimed with; so retiring needs no memory.  Nor
 * does retiring a whole object: it is moved to the retired list as it is, and
 * the cell goes on with a spare one that was made when the first part came.
 */
#include <linux/nospec.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/stringhash.h>

#include "cell.h"
#include "client.h"
#include "lock.h"
#include "reclaim.h"
#include "slab.h"
#include "trace.h"
#include "watch.h"

/**
 * struct cell - the kernel's side of a cell
 * @node: in slabshm_cells.names, while in use
 * @link: in slabshm_cells.free, when removed
 * @line: constant, its line in the control region
 * @index: constant, its place in the cell table
 * @hash: of @name, which cells are sorted by before their names: a number is compared
 *	in fewer instructions
 * @named: the last publish of more cells than one that named it, by its number
 * @generation: how often the place was given to another cell, from 1: with the
 *	index, the handle
 * @moved: its versions that only moved the object
 * @movable: constant while in use: COMPACT may move the object
 * @name: NULL while not in use
 * @object: what it holds; NULL while not in use
 * @spare: an empty object; there when @object has parts
 * @queue: who holds its lock and who waits; NULL while nobody needs one
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

#define CELLS_PER_PAGE	(PAGE_SIZE / sizeof(struct slabshm_cell))

/**
 * struct cell_page - the cells of one page of the cell table
 * @line: that page
 * @commit: the newest version of these cells. Read without a lock
 * @cell: the kernel's side
 * @removed: by cell: the commit that removed the last one of before; 0 if none was
 */
struct cell_page {
	struct slabshm_cell *line;
	u64 commit;
	struct cell cell[CELLS_PER_PAGE];
	u64 removed[CELLS_PER_PAGE];
};

static struct kmem_cache *room_cache;

/* The page that a cell lies in, without a look at the table. */
static struct cell_page *cell_page(const struct cell *cell)
{
	unsigned int k = cell->index % CELLS_PER_PAGE;

	return container_of(cell - k, struct cell_page, cell[0]);
}

/* Make sure that the page of cell @index is there.  May sleep. */
static int cell_populate(struct slabshm_slab *slab, u32 index)
{
	struct slabshm_cells *cells = &slab->cells;
	unsigned long i = index / CELLS_PER_PAGE;
	struct cell_page *page;
	unsigned int k;
	int err;

	if (slabshm_table_get(&cells->pages, i))
		return 0;
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
	for (k = 0; k < CELLS_PER_PAGE; k++) {
		page->cell[k].line = &page->line[k];
		page->cell[k].index = i * CELLS_PER_PAGE + k;
		page->cell[k].generation = 1;
	}
	err = slabshm_table_add(&cells->pages, i, page);
	if (!err)
		return 0;
free:
	kfree(page);
uncharge:
	slabshm_meter_sub(&slab->meter, sizeof(*page));
	return err == -EEXIST ? 0 : err;
}

/*
 * What is charged for a cell, as long as it has a name, besides its part of a
 * page of them: what it has, or may come to have.
 */
static size_t cell_cost(const char *name)
{
	return strlen(name) + 1 + 2 * sizeof(struct slabshm_object) +
	       sizeof(struct slabshm_queue);
}

/* A cell by its index, which was used before. */
static struct cell *cell_at(struct slabshm_cells *cells, u32 index)
{
	lockdep_assert_held(&cells->lock);

	struct cell_page *page;

	page = slabshm_table_get(&cells->pages, index / CELLS_PER_PAGE);
	return &page->cell[index % CELLS_PER_PAGE];
}

/* A cell by its handle. */
static __always_inline struct cell *cell_get(struct slabshm_cells *cells,
					     u32 index, u64 generation)
{
	struct cell *cell;

	lockdep_assert_held(&cells->lock);

	if (index >= cells->next)
		return ERR_PTR(-EINVAL);
	cell = cell_at(cells, array_index_nospec(index, cells->next));
	if (!cell->name || cell->generation != generation)
		return ERR_PTR(-EIDRM);
	return cell;
}

/* The newest version of a cell. */
static struct slabshm_version *cell_newest(const struct cell *cell)
{
	struct slabshm_version *v = cell->line->version;

	return v[0].commit > v[1].commit ? &v[0] : &v[1];
}

/*
 * Write the older version of a cell, for the commit to come.  Readers take it
 * as not there until slabshm_header.commit has reached it.
 */
static __always_inline void slabshm_cell_write(struct slabshm_cells *cells,
					       const struct cell *cell,
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
	 * release in commit_done() would do, as no version above the clock is
	 * used; but so each line is sound by itself.
	 */
	smp_wmb();
	WRITE_ONCE(older->commit, commit);
	WRITE_ONCE(cell_page(cell)->commit, commit);
}

/* All cells of this commit are written: let it begin. */
static __always_inline void commit_clock(struct slabshm_slab *slab)
{
	struct slabshm_cells *cells = &slab->cells;
	u64 commit = cells->commit + 1;

	lockdep_assert_held(&cells->lock);

	cells->commit = commit;
	/* Pairs with the reader's load-acquire of S (at struct slabshm_cell) */
	smp_store_release(&slab->control.header->commit, commit);
}

/*
 * The same for a commit that changes something.  The caller takes out who watches
 * these cells, and calls commit_tell().
 */
static void commit_done(struct slabshm_slab *slab)
{
	commit_clock(slab);
	list_splice_tail_init(&slab->cells.watch_all, &slab->cells.woken);
}

/* Tell those who watch of the commit, before the lock is dropped. */
static __always_inline void commit_tell(struct slabshm_slab *slab)
{
	if (unlikely(!list_empty(&slab->cells.woken)))
		slabshm_watch_tell(slab);
}

/*
 * Retire one block, whose record is in no list.  The commit that replaced or
 * dropped it has been made visible, and the lock has been held since.
 */
static __always_inline void retire_record(struct slabshm_slab *slab,
					  struct slabshm_record *record,
					  u64 bytes)
{
	struct slabshm_reclaim *reclaim = &slab->reclaim;

	lockdep_assert_held(&slab->cells.lock);

	record->retired = slab->cells.commit;
	slabshm_record_push(&reclaim->blocks, record);
	reclaim->bytes += bytes;
	reclaim->count++;
	trace_slabshm_retire(slab, record->retired, 1, bytes);
}

/* Retire all blocks of an object that is no cell's any more, however many. */
static void retire_object(struct slabshm_slab *slab,
			  struct slabshm_object *object)
{
	struct slabshm_reclaim *reclaim = &slab->reclaim;
	u64 bytes = object->root_bytes + object->part_bytes;
	u64 n = object->nparts + !!object->root;

	lockdep_assert_held(&slab->cells.lock);

	object->retired = slab->cells.commit;
	list_add_tail(&object->link, &reclaim->objects);
	reclaim->bytes += bytes;
	reclaim->count += n;
	trace_slabshm_retire(slab, object->retired, n, bytes);
}

/* Retire the root of an object, if it has one. */
static __always_inline void retire_root(struct slabshm_slab *slab,
					struct slabshm_object *object)
{
	if (!object->root)
		return;
	retire_record(slab, object->root, object->root_bytes);
	object->root_bytes = 0;
	object->root = NULL;
}

/* Look a name up; where it would be if it is not there. */
static struct cell *name_find(struct slabshm_cells *cells, const char *name, u32 hash,
			      struct rb_node **parent, struct rb_node ***link)
{
	*parent = NULL;
	*link = &cells->names.rb_node;
	while (**link) {
		struct cell *cell = rb_entry(**link, struct cell, node);
		int cmp;

		if (hash != cell->hash)
			cmp = hash < cell->hash ? -1 : 1;
		else
			cmp = strcmp(name, cell->name);
		if (!cmp)
			return cell;
		*parent = **link;
		*link = cmp < 0 ? &(**link)->rb_left : &(**link)->rb_right;
	}
	return NULL;
}

/**
 * slabshm_cell_open() - find or make a cell
 * @slab: the slab
 * @may_create: whether the caller may make one; -EACCES if it had to
 * @arg: what is asked for, the name and flags checked; and what is answered
 * @created: set to whether it was made
 *
 * Context: may sleep; takes the commit lock.
 * Return: as struct slabshm_cell_open_args says.
 */
int slabshm_cell_open(struct slabshm_slab *slab, bool may_create,
		      struct slabshm_cell_open_args *arg, bool *created)
{
	struct slabshm_cells *cells = &slab->cells;
	u32 hash = full_name_hash(cells, arg->name, strlen(arg->name));
	bool create = arg->flags & SLABSHM_CELL_CREATE;
	struct rb_node *parent, **link;
	struct slabshm_object *object = NULL;
	bool charged = false;
	char *name = NULL;
	struct cell *cell;
	u32 page_of;
	int err;

	*created = false;
again:
	spin_lock(&cells->lock);
	cell = name_find(cells, arg->name, hash, &parent, &link);
	if (cell) {
		err = arg->flags & SLABSHM_CELL_EXCL ? -EEXIST : 0;
		goto unlock;
	}
	err = -ENOENT;
	if (!create)
		goto unlock;
	err = -EACCES;
	if (!may_create)
		goto unlock;
	err = -ENOSPC;
	if (cells->used == cells->max)
		goto unlock;
	if (!name || (list_empty(&cells->free) &&
		      !slabshm_table_get(&cells->pages,
					 cells->next / CELLS_PER_PAGE))) {
		/* Memory comes from outside the lock */
		page_of = list_empty(&cells->free) ? cells->next : 0;
		spin_unlock(&cells->lock);
		if (!charged) {
			err = slabshm_meter_add(&slab->meter,
						cell_cost(arg->name));
			if (err)
				goto out;
			charged = true;
			name = kstrdup(arg->name, SLABSHM_GFP);
			object = slabshm_object_create();
		}
		err = -ENOMEM;
		if (!name || !object)
			goto out;
		err = cell_populate(slab, page_of);
		if (err)
			goto out;
		goto again;
	}

	if (list_empty(&cells->free)) {
		cell = cell_at(cells, cells->next);
		if (!(cells->next % CELLS_PER_PAGE))
			WRITE_ONCE(slab->control.header->cells_ready,
				   cells->next + CELLS_PER_PAGE);
		/* The page's entry first; pairs with slabshm_cells_changed() */
		smp_store_release(&cells->next, cells->next + 1);
	} else {
		cell = list_first_entry(&cells->free, struct cell, link);
		list_del(&cell->link);
	}
	cells->used++;
	swap(cell->name, name);
	cell->hash = hash;
	swap(cell->object, object);
	cell->movable = arg->flags & SLABSHM_CELL_MOVABLE;
	rb_link_node(&cell->node, parent, link);
	rb_insert_color(&cell->node, &cells->names);
	slabshm_cell_write(cells, cell, 0, 0);
	commit_done(slab);
	cell->object->since = cells->commit;
	commit_tell(slab);
	*created = true;
	err = 0;
unlock:
	if (!err) {
		arg->cell = cell->index;
		arg->generation = cell->generation;
	}
	spin_unlock(&cells->lock);
out:
	kfree(name);
	kfree(object);
	if (charged && !*created)
		slabshm_meter_sub(&slab->meter, cell_cost(arg->name));
	if (*created)
		trace_slabshm_cell_create(slab, arg->cell, arg->name);
	return err;
}

/**
 * slabshm_cell_remove() - remove a cell, and retire its object
 * @slab: the slab
 * @client: who removes it
 * @index: of the handle
 * @generation: of the handle
 *
 * Needs no memory.
 *
 * Context: may sleep; takes the commit lock.
 * Return: 0, -EINVAL, -EIDRM, or -EBUSY for a lock that is mandatory.
 */
int slabshm_cell_remove(struct slabshm_slab *slab, struct slabshm_client *client,
			u32 index, u64 generation)
{
	struct slabshm_cells *cells = &slab->cells;
	struct slabshm_object *object, *spare;
	struct cell *cell;
	bool retired;
	char *name;
	int err;

	spin_lock(&cells->lock);
	cell = cell_get(cells, index, generation);
	err = PTR_ERR_OR_ZERO(cell);
	if (!err)
		err = slabshm_lock_check(slab, cell->queue, client, false);
	if (err) {
		spin_unlock(&cells->lock);
		return err;
	}
	/* As of this commit, a reader with the old handle finds it removed */
	cell->generation++;
	slabshm_cell_write(cells, cell, 0, 0);
	commit_done(slab);
	cell_page(cell)->removed[index % CELLS_PER_PAGE] = cells->commit;

	name = cell->name;
	object = cell->object;
	spare = cell->spare;
	cell->name = NULL;
	cell->object = NULL;
	cell->spare = NULL;
	rb_erase(&cell->node, &cells->names);
	list_add(&cell->link, &cells->free);
	cells->used--;
	retired = object->root || object->nparts;
	if (retired)
		retire_object(slab, object);
	if (cell->queue) {
		list_splice_tail_init(&cell->queue->watchers, &cells->woken);
		slabshm_lock_cell_removed(slab, cell->queue);
		cell->queue = NULL;
	}
	commit_tell(slab);
	spin_unlock(&cells->lock);

	trace_slabshm_cell_remove(slab, index, name);
	slabshm_meter_sub(&slab->meter, cell_cost(name));
	kfree(name);
	kfree(spare);
	if (retired)
		slabshm_reclaim_queue(slab);
	else
		kfree(object);
	return 0;
}

/**
 * struct publish - a publish under way
 * @slab: where
 * @client: whose
 * @call: what is asked for
 * @cells: of @call
 * @ncells: of @call
 * @nparts: of @call
 * @nclaims: blocks to publish: roots by cell, then parts
 * @cell: by item
 * @spare: by item: an object for a cell that gets its first part
 * @drop: by part: the record of a part to drop
 * @drop_bytes: by part: its size
 * @claim: the blocks
 * @record: by claim: the block's record
 *
 * Its address goes to functions that are inlined only: then the compiler knows
 * that no call in between changes it, and what a publish of one cell need not do.
 */
struct publish {
	struct slabshm_slab *slab;
	struct slabshm_client *client;
	struct slabshm_publish_call *call;
	const struct slabshm_publish_cell *cells;
	unsigned int ncells;
	unsigned int nparts;
	unsigned int nclaims;
	struct cell **cell;
	struct slabshm_object **spare;
	struct slabshm_record **drop;
	u64 *drop_bytes;
	struct slabshm_claim *claim;
	struct slabshm_record **record;
};

/* Rules that need nothing but the call itself; list the blocks to claim. */
static __always_inline int publish_check(struct publish *p)
{
	struct slabshm_publish_call *call = p->call;
	unsigned int i;

	for (i = 0; i < p->ncells; i++) {
		const struct slabshm_publish_cell *item = &p->cells[i];
		u32 flags = item->flags;
		u64 block = item->block;

		if (flags & ~(SLABSHM_PUBLISH_EXPECT |
			      SLABSHM_PUBLISH_DROP_ALL | SLABSHM_PUBLISH_KEEP |
			      SLABSHM_PUBLISH_UNLOCK |
			      SLABSHM_PUBLISH_CONSISTENT))
			goto refuse;
		if (flags & SLABSHM_PUBLISH_CONSISTENT &&
		    !(flags & SLABSHM_PUBLISH_UNLOCK))
			goto refuse;
		if (item->expected && !(flags & SLABSHM_PUBLISH_EXPECT))
			goto refuse;
		if (flags & SLABSHM_PUBLISH_KEEP) {
			if (block || flags & SLABSHM_PUBLISH_DROP_ALL)
				goto refuse;
		} else if (!block && item->length) {
			goto refuse;
		}
		if (block)
			p->claim[p->nclaims++].offset = block;
	}
	for (i = 0; i < p->nparts; i++) {
		struct slabshm_publish_part *part = &call->parts[i];

		if (part->item >= p->ncells)
			goto refuse_part;
		/* For all who look there */
		part->item = array_index_nospec(part->item, p->ncells);
		if (part->op == SLABSHM_PART_ATTACH) {
			p->claim[p->nclaims++].offset = part->block;
		} else if (part->op != SLABSHM_PART_DROP ||
			   p->cells[part->item].flags &
			   SLABSHM_PUBLISH_DROP_ALL) {
			goto refuse_part;
		}
	}
	return 0;

refuse_part:
	i += p->ncells;
refuse:
	call->failed = i;
	return -EINVAL;
}

/* Which item brings the block of a claim, as in slabshm_publish_call.failed */
static u32 publish_item(const struct slabshm_publish_call *call,
			unsigned int claim)
{
	unsigned int i, n = 0;

	for (i = 0; i < call->ncells; i++)
		if (call->cells[i].block && n++ == claim)
			return i;
	for (i = 0; i < call->nparts; i++)
		if (call->parts[i].op == SLABSHM_PART_ATTACH && n++ == claim)
			return call->ncells + i;
	return U32_MAX;
}

/* Claim the blocks. */
static __always_inline int publish_claim(struct publish *p)
{
	unsigned int failed;
	int err;

	if (!p->nclaims)
		return 0;
	err = slabshm_arena_claim(&p->slab->arena, &p->client->owner, p->claim,
				  p->nclaims, &failed);
	if (err && err != -ENOMEM)
		p->call->failed = publish_item(p->call, failed);
	return err;
}

/* Objects for the cells that get parts; the caller frees what is not used. */
static __always_inline int publish_prepare(struct publish *p)
{
	struct slabshm_publish_call *call = p->call;
	unsigned int i;

	for (i = 0; i < p->nparts; i++) {
		u32 item = call->parts[i].item;

		if (call->parts[i].op != SLABSHM_PART_ATTACH || p->spare[item])
			continue;
		p->spare[item] = slabshm_object_create();
		if (!p->spare[item])
			return -ENOMEM;
	}
	return 0;
}

/* What few publishes ask of a cell, or meet. */
static noinline int publish_look(struct slabshm_slab *slab,
				 struct slabshm_client *client,
				 struct cell *cell,
				 const struct slabshm_publish_cell *item)
{
	if (item->flags & SLABSHM_PUBLISH_EXPECT &&
	    !slabshm_moved_known(&cell->moved, cell_newest(cell)->commit,
				 item->expected))
		return -EAGAIN;
	return slabshm_lock_check(slab, cell->queue, client,
				  item->flags & SLABSHM_PUBLISH_UNLOCK);
}

/* With KEEP the object's new length must fit in the root that it has. */
static __always_inline int publish_check_kept(struct publish *p, unsigned int *i)
{
	for (*i = 0; *i < p->ncells; ++*i) {
		const struct slabshm_publish_cell *item = &p->cells[*i];

		if (item->flags & SLABSHM_PUBLISH_KEEP &&
		    item->length > p->cell[*i]->object->root_bytes)
			return -EINVAL;
	}
	return 0;
}

/*
 * Find the cells; see that they are as the caller expects, and that the objects
 * fit in their blocks.  All cells are found before a root or a part is judged by
 * what it is now: if others have changed or removed a cell, what was right for
 * the caller may be wrong, and -EAGAIN or -EIDRM is the answer.
 */
static __always_inline int publish_find_cells(struct publish *p)
{
	const struct slabshm_claim *claim = p->claim;
	struct slabshm_cells *cells = &p->slab->cells;
	u64 number = p->ncells > 1 ? ++cells->publishes : 0;
	bool kept = false;
	int err = 0;
	unsigned int i;

	for (i = 0; i < p->ncells; i++) {
		const struct slabshm_publish_cell *item = &p->cells[i];
		struct cell *cell = cell_get(cells, item->cell,
					     item->generation);

		err = PTR_ERR_OR_ZERO(cell);
		if (err)
			break;
		err = -EINVAL;
		if (number && cell->named == number)
			break;
		if (item->block && item->length > (claim++)->size)
			break;
		err = 0;
		if (cell->queue || item->flags & (SLABSHM_PUBLISH_KEEP |
						  SLABSHM_PUBLISH_EXPECT |
						  SLABSHM_PUBLISH_UNLOCK)) {
			err = publish_look(p->slab, p->client, cell, item);
			if (err)
				break;
			kept |= item->flags & SLABSHM_PUBLISH_KEEP;
		}
		p->cell[i] = cell;
		if (number)
			cell->named = number;
	}
	if (kept && !err)
		err = publish_check_kept(p, &i);
	if (err)
		p->call->failed = i;
	return err;
}

/* The first @n parts are not dropped after all. */
static __always_inline void publish_keep(struct publish *p, unsigned int n)
{
	while (n--) {
		struct slabshm_record *record = p->drop[n];

		if (record)
			slabshm_record_set(record, slabshm_record_offset(record),
					   p->cell[p->call->parts[n].item]->index);
		p->drop[n] = NULL;
	}
}

/* Find the parts to drop. */
static __always_inline int publish_find_drops(struct publish *p)
{
	struct slabshm_publish_call *call = p->call;
	struct slabshm_arena *arena = &p->slab->arena;
	int err = 0;
	unsigned int i;

	if (!p->nparts)
		return 0;
	spin_lock(&arena->lock);
	for (i = 0; i < p->nparts; i++) {
		const struct slabshm_publish_part *part = &call->parts[i];
		struct slabshm_record *record;
		const struct cell *cell;

		if (part->op != SLABSHM_PART_DROP)
			continue;
		/*
		 * The record may be a retired one, which reclaim frees once
		 * the arena does not know it: look at it under that lock only.
		 * One that the object holds stays while the commit lock is
		 * held.
		 */
		record = slabshm_arena_record(arena, part->block,
					      &p->drop_bytes[i]);
		err = -EINVAL;
		cell = p->cell[part->item];
		if (!record ||
		    !slabshm_record_is_part(record, cell->index, cell->object))
			break;
		err = 0;
		/* A second time it is none */
		slabshm_record_set(record, slabshm_record_offset(record),
				   SLABSHM_RECORD_NO_PART);
		p->drop[i] = record;
	}
	spin_unlock(&arena->lock);
	if (!err)
		return 0;
	call->failed = p->ncells + i;
	publish_keep(p, i);
	return err;
}

/* The claimed blocks become published ones, before a reader can see them. */
static __always_inline void publish_blocks(struct publish *p)
{
	struct slabshm_reclaim *reclaim = &p->slab->reclaim;
	struct slabshm_arena *arena = &p->slab->arena;
	u64 born = p->slab->cells.commit + 1;
	unsigned int i, end;

	for (i = 0; i < p->nclaims; ) {
		/* As many as the arena's lock may be held for */
		end = min(i + SLABSHM_BATCH_MAX, p->nclaims);
		spin_lock(&arena->lock);
		for (; i < end; i++) {
			struct slabshm_record *record;

			/* There is one: publish_commit() has seen to it */
			record = slabshm_record_pop(&reclaim->spare);
			reclaim->nspare--;
			record->born = born;
			slabshm_record_set(record, p->claim[i].offset,
					   SLABSHM_RECORD_NO_PART);
			slabshm_arena_publish(arena, &p->claim[i], record);
			p->record[i] = record;
		}
		spin_unlock(&arena->lock);
	}
}

/* See who waits for this cell to change, and release its lock. */
static void publish_queue(struct slabshm_slab *slab,
			  struct slabshm_queue *queue, u32 flags)
{
	list_splice_tail_init(&queue->watchers, &slab->cells.woken);
	if (flags & SLABSHM_PUBLISH_UNLOCK)
		slabshm_lock_unlock(slab, queue,
				    flags & SLABSHM_PUBLISH_CONSISTENT);
}

/* What the commit replaced and dropped is retired, what it brought is noted. */
static __always_inline void publish_objects(struct publish *p)
{
	struct slabshm_publish_call *call = p->call;
	unsigned int i, claim = 0;

	for (i = 0; i < p->ncells; i++) {
		const struct slabshm_publish_cell *item = &p->cells[i];
		struct cell *cell = p->cell[i];
		struct slabshm_object *object = cell->object;

		if (p->nparts && p->spare[i] && !cell->spare)
			swap(p->spare[i], cell->spare);
		if (item->flags & SLABSHM_PUBLISH_DROP_ALL && object->nparts) {
			retire_object(p->slab, object);
			/*
			 * Parts that come in this call need another spare; if
			 * there are any, p->spare[i] is one, as the old object
			 * had parts and so its cell a spare.
			 */
			object = cell->spare;
			object->since = p->slab->cells.commit;
			cell->object = object;
			cell->spare = NULL;
			if (p->nparts && p->spare[i])
				swap(p->spare[i], cell->spare);
		} else if (!(item->flags & SLABSHM_PUBLISH_KEEP)) {
			retire_root(p->slab, object);
		}
		if (item->block) {
			object->root = p->record[claim];
			slabshm_record_set_root(object->root, cell->index);
			object->root_bytes = p->claim[claim].size;
			claim++;
		}
		if (cell->queue)
			publish_queue(p->slab, cell->queue, item->flags);
	}
	for (i = 0; i < p->nparts; i++) {
		const struct cell *cell = p->cell[call->parts[i].item];
		struct slabshm_object *object = cell->object;
		struct slabshm_record *record = p->drop[i];

		if (record) {
			list_del(&record->link);
			object->nparts--;
			object->part_bytes -= p->drop_bytes[i];
			retire_record(p->slab, record, p->drop_bytes[i]);
			continue;
		}
		record = p->record[claim];
		slabshm_record_set(record, p->claim[claim].offset, cell->index);
		list_add_tail(&record->link, &object->parts);
		object->nparts++;
		object->part_bytes += p->claim[claim].size;
		claim++;
	}
}

/* The commit: either an error and nothing has changed, or all of it. */
static __always_inline int publish_commit(struct publish *p, bool *retired)
{
	struct slabshm_publish_call *call = p->call;
	struct slabshm_cells *cells = &p->slab->cells;
	unsigned int i;
	int err;

	spin_lock(&cells->lock);
	while (p->slab->reclaim.nspare < p->nclaims) {
		/* Memory comes from outside the lock */
		spin_unlock(&cells->lock);
		err = slabshm_records_add(p->slab, p->nclaims);
		if (err)
			return err;
		spin_lock(&cells->lock);
	}
	err = publish_find_cells(p);
	if (err)
		goto unlock;
	err = publish_find_drops(p);
	if (err)
		goto unlock;

	publish_blocks(p);
	for (i = 0; i < p->ncells; i++) {
		const struct slabshm_publish_cell *item = &p->cells[i];
		u64 offset = item->block;

		if (item->flags & SLABSHM_PUBLISH_KEEP &&
		    p->cell[i]->object->root)
			offset = slabshm_record_offset(p->cell[i]->object->root);
		slabshm_cell_write(cells, p->cell[i], offset, item->length);
	}
	commit_done(p->slab);
	call->commit = cells->commit;
	publish_objects(p);
	commit_tell(p->slab);
	*retired = p->slab->reclaim.count;
unlock:
	spin_unlock(&cells->lock);
	return err;
}

static __always_inline int publish_do(struct publish *p)
{
	struct slabshm_publish_call *call = p->call;
	bool retired = false;
	int err;

	err = publish_check(p);
	if (err)
		return err;
	err = publish_claim(p);
	if (err)
		return err;
	err = publish_prepare(p);
	if (err)
		goto unclaim;
	err = publish_commit(p, &retired);
	if (err)
		goto unclaim;
	if (retired)
		slabshm_reclaim_queue(p->slab);
	trace_slabshm_publish(p->slab, call->commit, call->ncells,
			      call->nparts);
	return 0;

unclaim:
	slabshm_arena_unclaim(&p->slab->arena, p->claim, p->nclaims);
	return err;
}

static noinline int publish_many(struct slabshm_client *client,
				 struct slabshm_publish_call *call)
{
	struct slabshm_publish_room *room = call->room;
	struct publish p = {
		.slab = client->slab,
		.client = client,
		.call = call,
		.cells = call->cells,
		.ncells = call->ncells,
		.nparts = call->nparts,
		.cell = room->cell,
		.spare = room->spare,
		.drop = room->drop,
		.drop_bytes = room->drop_bytes,
		.claim = room->claim,
		.record = room->record,
	};
	unsigned int i;
	int err;

	err = publish_do(&p);
	for (i = 0; call->nparts && i < call->ncells; i++) {
		kfree(room->spare[i]);
		room->spare[i] = NULL;
	}
	memset(room->drop, 0, call->nparts * sizeof(*room->drop));
	return err;
}

/* A call for one cell, as most are, needs no memory for itself. */
static __always_inline int publish_one(struct slabshm_client *client,
				       struct slabshm_publish_call *call)
{
	struct slabshm_record *record;
	struct slabshm_claim claim;
	struct cell *cell;
	struct publish p = {
		.slab = client->slab,
		.client = client,
		.call = call,
		.cells = call->cells,
		.ncells = 1,
		.cell = &cell,
		.claim = &claim,
		.record = &record,
	};

	return publish_do(&p);
}

/**
 * slabshm_cell_publish() - change cells in one step, all or none
 * @client: who publishes; entered
 * @call: what
 *
 * Context: may sleep; takes the commit lock and the arena's.
 * Return: as struct slabshm_publish_args says.
 */
int slabshm_cell_publish(struct slabshm_client *client,
			 struct slabshm_publish_call *call)
{
	call->failed = U32_MAX;
	return call->room ? publish_many(client, call) :
			    publish_one(client, call);
}

/*
 * ---------------- Moving ----------------
 */

/*
 * May the object that a cell holds be moved?  Whoever holds the cell's lock may
 * read it without a pin, and who is told that a holder has died looks at what that
 * one has left.
 */
static bool cell_movable(const struct cell *cell)
{
	const struct slabshm_queue *queue = cell->queue;

	return cell->movable && !cell->object->nparts &&
	       (!queue || (!queue->holder && !queue->inconsistent &&
			   RB_EMPTY_ROOT(&queue->waiters.rb_root)));
}

/**
 * slabshm_cell_movable() - may a published block be moved?
 * @cells: of the slab
 * @record: of the block, which the arena has had since the commit lock was taken
 * @move: set to what is to be moved, but for where to
 *
 * Context: the commit lock is held.
 * Return: 0; -EBUSY it must stay; -ESTALE it is retired, and goes by itself.
 */
int slabshm_cell_movable(struct slabshm_cells *cells,
			 const struct slabshm_record *record,
			 struct slabshm_move *move)
{
	u32 index = slabshm_record_cell(record);
	struct cell *cell;

	lockdep_assert_held(&cells->lock);

	if (!(index & SLABSHM_RECORD_NO_PART))
		return -EBUSY;
	/* It says whose it was last; the cell says whether it is */
	cell = cell_at(cells, index & ~SLABSHM_RECORD_NO_PART);
	if (!cell->object || cell->object->root != record)
		return -ESTALE;
	if (!cell_movable(cell))
		return -EBUSY;
	move->from = slabshm_record_offset(record);
	move->generation = cell->generation;
	move->version = cell_newest(cell)->commit;
	move->cell = cell->index;
	return 0;
}

/* Is the object still what slabshm_cell_movable() has found, and movable? */
static struct cell *move_cell(struct slabshm_cells *cells,
			      const struct slabshm_move *move)
{
	struct cell *cell = cell_get(cells, move->cell, move->generation);

	if (IS_ERR(cell) || cell_newest(cell)->commit != move->version ||
	    !cell_movable(cell))
		return NULL;
	return cell;
}

/* Write the new version of a cell, whose object is in the block @move->to. */
static void move_write(struct slabshm_slab *slab, struct cell *cell,
		       const struct slabshm_move *move,
		       struct slabshm_record *record)
{
	struct slabshm_cells *cells = &slab->cells;
	const struct slabshm_version *newest = cell_newest(cell);
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

/**
 * slabshm_cell_move() - let cells lead to the copies of their objects
 * @client: who moves them; entered
 * @move: to which blocks of this client, that hold the same bytes.  They are
 *	published, or freed if the object is not to be moved after all
 * @n: 1 to %SLABSHM_BATCH_MAX, each cell once
 * @bytes: the bytes of blocks that were moved are added
 *
 * In one step of the clock, of which nobody is told.
 *
 * Context: may sleep; takes the commit lock and the arena's.
 * Return: 0, -ENOMEM or -EDQUOT.
 */
int slabshm_cell_move(struct slabshm_client *client, struct slabshm_move *move,
		      unsigned int n, u64 *bytes)
{
	struct slabshm_slab *slab = client->slab;
	struct slabshm_cells *cells = &slab->cells;
	struct slabshm_record *record[SLABSHM_BATCH_MAX];
	struct cell *cell[SLABSHM_BATCH_MAX];
	unsigned int i, moved = 0;
	int err = 0;

	spin_lock(&cells->lock);
	while (slab->reclaim.nspare < n && !err) {
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
		record[i] = slabshm_record_pop(&slab->reclaim.spare);
		slab->reclaim.nspare--;
		move_write(slab, cell[i], &move[i], record[i]);
		moved++;
	}
	spin_unlock(&slab->arena.lock);
	if (moved) {
		cells->moved.changed = slabshm_moved_changed(&cells->moved,
							     cells->commit);
		cells->moved.commit = cells->commit + 1;
		commit_clock(slab);
	}
	for (i = 0; i < n; i++) {
		struct slabshm_object *object;

		if (!cell[i])
			continue;
		object = cell[i]->object;
		retire_record(slab, object->root, object->root_bytes);
		object->root = record[i];
		*bytes += object->root_bytes;
	}
	spin_unlock(&cells->lock);

	for (i = 0; i < n; i++)
		if (!cell[i])
			slabshm_arena_free_claimed(&slab->arena, &move[i].to, 1);
	if (moved)
		slabshm_reclaim_queue(slab);
	return err;
}

/*
 * ---------------- Room of publishes, and lists ----------------
 */

/**
 * slabshm_publish_room_get() - room for one call
 *
 * Context: may sleep.
 * Return: the room, or NULL without memory.
 */
struct slabshm_publish_room *slabshm_publish_room_get(void)
{
	return kmem_cache_alloc(room_cache, SLABSHM_GFP);
}

/**
 * slabshm_publish_room_put() - the reverse
 * @room: as slabshm_cell_publish() left it
 *
 * Context: any.
 */
void slabshm_publish_room_put(struct slabshm_publish_room *room)
{
	kmem_cache_free(room_cache, room);
}

static void room_construct(void *room)
{
	memset(room, 0, sizeof(struct slabshm_publish_room));
}

int slabshm_cell_module_init(void)
{
	room_cache = kmem_cache_create("slabshm_publish_room",
				       sizeof(struct slabshm_publish_room), 0,
				       SLAB_ACCOUNT, room_construct);
	return room_cache ? 0 : -ENOMEM;
}

void slabshm_cell_module_exit(void)
{
	kmem_cache_destroy(room_cache);
}

/**
 * slabshm_cell_list() - some of a slab's cells
 * @slab: whose
 * @cursor: index of the next cell to look at; moved on
 * @entry: room for @n, zeroed
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
			struct cell *cell = cell_at(cells, index);
			struct slabshm_version *v;

			if (!cell->name)
				continue;
			v = cell_newest(cell);
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
static bool cell_removed(const struct cell_page *page, unsigned int k, u64 since,
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
			 const struct cell_page *page, unsigned int k, u64 since,
			 struct slabshm_event *event)
{
	const struct cell *cell = &page->cell[k];
	u64 version = cell_newest(cell)->commit;

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
 *	what was removed from its place has been told; moved on
 * @event: room for @n
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

	/* Pairs with the release in slabshm_cell_open(): the page is there */
	while (i < n && *cursor / 2 < smp_load_acquire(&cells->next)) {
		u32 index = *cursor / 2;
		u32 end = round_down(index, CELLS_PER_PAGE) + CELLS_PER_PAGE;
		struct cell_page *page =
			slabshm_table_get(&cells->pages,
					  index / CELLS_PER_PAGE);

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
			unsigned int k = *cursor / 2 % CELLS_PER_PAGE;

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
	cell = cell_get(cells, index, generation);
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
		cell = cell_get(cells, index, generation);
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
	struct cell *cell = cell_get(cells, index, generation);
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
	struct cell *cell = cell_get(cells, index, generation);

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
	struct cell *cell = cell_get(cells, index, generation);

	if (IS_ERR(cell)) {
		*moved = (struct slabshm_moved){};
		return 0;
	}
	*moved = cell->moved;
	return cell_newest(cell)->commit;
}

/**
 * slabshm_cell_name() - a cell's name
 * @cells: of the slab
 * @index: of the handle
 * @generation: of the handle
 *
 * Context: the commit lock is held, and as long as the name is used.
 * Return: the name, or NULL if the cell was removed.
 */
const char *slabshm_cell_name(struct slabshm_cells *cells, u32 index,
			      u64 generation)
{
	struct cell *cell = cell_get(cells, index, generation);

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
	slabshm_watch_init(cells);
	cells->names = RB_ROOT;
	cells->lockers = RB_ROOT;
	cells->threads = RB_ROOT;
	INIT_LIST_HEAD(&cells->tickets);
	cells->commit = 1;
	slab->control.header->commit = 1;
	return slabshm_table_init(&cells->pages,
				  DIV_ROUND_UP(max, CELLS_PER_PAGE),
				  &slab->meter);
}

static void cell_page_free(void *entry)
{
	struct cell_page *page = entry;
	unsigned int k;

	for (k = 0; k < CELLS_PER_PAGE; k++) {
		slabshm_object_destroy(page->cell[k].object);
		kfree(page->cell[k].spare);
		kfree(page->cell[k].name);
		kfree(page->cell[k].queue);
	}
	kfree(page);
}

/**
 * slabshm_cells_destroy() - free all cells; their blocks go with the arena
 * @slab: whose; nobody uses it any more, and no work is queued
 *
 * Context: may sleep.
 */
void slabshm_cells_destroy(struct slabshm_slab *slab)
{
	slabshm_table_destroy(&slab->cells.pages, cell_page_free);
}
