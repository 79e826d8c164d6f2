// SPDX-License-Identifier: GPL-2.0
/*
 * CELL_OPEN, CELL_REMOVE and PUBLISH: whatever makes a commit, but for COMPACT.
 *
 * A commit writes the new versions of its cells, advances the clock, retires what
 * it replaced, and notifies the watchers, all under slabshm_cells.lock.
 *
 * A record is made before the publish that needs it commits, and is what the block
 * later waits with to be reclaimed; so retiring needs no memory.  Nor does retiring
 * a whole object: it moves to the retired list as it is, and the cell goes on with
 * a spare one, made when its first part came.
 */
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/stringhash.h>

#include "arena.h"
#include "call.h"
#include "cell.h"
#include "client.h"
#include "lock.h"
#include "name.h"
#include "object.h"
#include "publish.h"
#include "reclaim.h"
#include "slab.h"
#include "table.h"
#include "trace.h"
#include "watch.h"

/*
 * Advance the clock.  The caller takes the watchers out of the queues of the cells,
 * and then calls commit_notify(), before it drops the lock.
 */
static void commit_done(struct slabshm_slab *slab)
{
	slabshm_cells_commit(slab);
	list_splice_tail_init(&slab->cells.watch_all, &slab->cells.woken);
}

static void commit_notify(struct slabshm_slab *slab)
{
	if (unlikely(!list_empty(&slab->cells.woken)))
		slabshm_watch_notify(slab);
}

/*
 * ---------------- CELL_OPEN ----------------
 */

/* The handle of a cell by its name. */
static int open_find(struct slabshm_cells *cells, u32 hash,
		     struct slabshm_cell_open_args *open)
{
	struct cell *cell = slabshm_cell_find(cells, open->name, hash);

	if (!cell)
		return -ENOENT;
	if (open->flags & SLABSHM_CELL_EXCL)
		return -EEXIST;
	open->cell = cell->index;
	open->generation = cell->generation;
	return 0;
}

/* Make a cell in one commit, unless there is no place for it. */
static int open_add(struct slabshm_slab *slab, u32 hash, char *name,
		    struct slabshm_object *object,
		    struct slabshm_cell_open_args *open)
{
	struct slabshm_cells *cells = &slab->cells;
	struct cell *cell;

	if (cells->used == cells->max)
		return -ENOSPC;
	cell = slabshm_cell_take(slab);
	if (!cell)
		return -EAGAIN;
	cell->object = object;
	cell->movable = open->flags & SLABSHM_CELL_MOVABLE;
	slabshm_cell_set_name(cells, cell, name, hash);
	slabshm_cell_write(cells, cell, 0, 0);
	commit_done(slab);
	object->since = cells->commit;
	commit_notify(slab);
	open->cell = cell->index;
	open->generation = cell->generation;
	return 0;
}

static int open_create(struct slabshm_slab *slab, u32 hash,
		       struct slabshm_cell_open_args *open, bool *created)
{
	struct slabshm_cells *cells = &slab->cells;
	struct slabshm_object *object;
	char *name;
	int err;

	err = slabshm_meter_add(&slab->meter, slabshm_cell_cost(open->name));
	if (err)
		return err;
	name = kstrdup(open->name, SLABSHM_GFP);
	object = slabshm_object_create();
	err = name && object ? 0 : -ENOMEM;
	while (!err && !*created) {
		err = slabshm_cell_populate(slab);
		if (err)
			break;
		spin_lock(&cells->lock);
		err = open_find(cells, hash, open);
		if (err != -ENOENT) {
			spin_unlock(&cells->lock);
			break;
		}
		err = open_add(slab, hash, name, object, open);
		spin_unlock(&cells->lock);
		*created = !err;
		/* Others were faster, and need the next page, too */
		if (err == -EAGAIN)
			err = 0;
	}
	if (*created) {
		trace_slabshm_cell_create(slab, open->cell, open->name);
		return 0;
	}
	kfree(object);
	kfree(name);
	slabshm_meter_sub(&slab->meter, slabshm_cell_cost(open->name));
	return err;
}

static int cell_remove(struct slabshm_client *client, u32 index, u64 generation);

int slabshm_cell_open_ioctl(struct slabshm_call *call, void *arg)
{
	struct slabshm_cell_open_args *open = arg;
	struct slabshm_client *client = call->client;
	bool create = open->flags & SLABSHM_CELL_CREATE, created = false;
	struct slabshm_cells *cells;
	u32 hash;
	int err;

	if (open->flags & ~(SLABSHM_CELL_CREATE | SLABSHM_CELL_EXCL |
			    SLABSHM_CELL_MOVABLE) ||
	    (open->flags && !create) || open->pad ||
	    !slabshm_name_valid(open->name, false))
		return -EINVAL;
	if (create && !client->rdonly) {
		err = slabshm_client_enter(client);
		if (err)
			return err;
		/* A cell cannot be unmade: see first that its handle can be returned */
		err = slabshm_call_return(call, open);
		if (err)
			goto leave;
	}
	cells = &call->slab->cells;
	hash = full_name_hash(cells, open->name, strlen(open->name));
	spin_lock(&cells->lock);
	err = open_find(cells, hash, open);
	if (err == -ENOENT && create)
		err = client->rdonly ? -EACCES :
		      cells->used == cells->max ? -ENOSPC : -EAGAIN;
	spin_unlock(&cells->lock);
	if (err == -EAGAIN)
		err = open_create(call->slab, hash, open, &created);
	if (!err) {
		err = slabshm_call_return(call, open);
		if (err && created)
			cell_remove(client, open->cell, open->generation);
	}
leave:
	if (create && !client->rdonly)
		slabshm_client_leave(client);
	return err;
}

/*
 * ---------------- CELL_REMOVE ----------------
 */

/* Remove a cell, and retire its object.  Needs no memory. */
static int cell_remove(struct slabshm_client *client, u32 index, u64 generation)
{
	struct slabshm_slab *slab = client->slab;
	struct slabshm_cells *cells = &slab->cells;
	struct slabshm_object *object, *spare;
	struct cell *cell;
	bool retired;
	char *name;
	int err;

	spin_lock(&cells->lock);
	cell = slabshm_cell_get(cells, index, generation);
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

	object = cell->object;
	spare = cell->spare;
	name = slabshm_cell_drop(cells, cell);
	retired = object->root || object->nparts;
	if (retired)
		slabshm_retire_object(slab, object);
	if (cell->queue) {
		list_splice_tail_init(&cell->queue->watchers, &cells->woken);
		slabshm_lock_cell_removed(slab, cell->queue);
		cell->queue = NULL;
	}
	commit_notify(slab);
	spin_unlock(&cells->lock);

	trace_slabshm_cell_remove(slab, index, name);
	slabshm_meter_sub(&slab->meter, slabshm_cell_cost(name));
	kfree(name);
	kfree(spare);
	if (retired)
		slabshm_reclaim_queue(slab);
	else
		kfree(object);
	return 0;
}

int slabshm_cell_remove_ioctl(struct slabshm_call *call, void *arg)
{
	struct slabshm_cell_remove_args *remove = arg;

	if (remove->flags || remove->pad)
		return -EINVAL;
	return cell_remove(call->client, remove->cell, remove->generation);
}

/*
 * ---------------- PUBLISH ----------------
 */

/**
 * struct publish - a publish under way
 * @slab: where
 * @client: whose
 * @args: what is asked for, and the answer
 * @ncells: of @args
 * @nparts: of @args
 * @cells: @ncells items
 * @parts: @nparts items
 * @nclaims: blocks to publish: roots by cell, then parts to attach
 * @claim: these blocks
 * @record: by claim: its record, once it is published
 * @cell: by item
 * @spare: by item: an object for a cell that gets its first part
 * @drop: by part: the record of a part to drop, or NULL
 * @drop_bytes: by part: its size
 */
struct publish {
	struct slabshm_slab *slab;
	struct slabshm_client *client;
	struct slabshm_publish_args *args;
	unsigned int ncells;
	unsigned int nparts;
	struct slabshm_publish_cell *cells;
	struct slabshm_publish_part *parts;
	unsigned int nclaims;
	struct slabshm_claim *claim;
	struct slabshm_record **record;
	struct cell **cell;
	struct slabshm_object **spare;
	struct slabshm_record **drop;
	u64 *drop_bytes;
};

/*
 * What a publish of several cells, or with parts, points to.  From a cache with a
 * constructor, so that it is not cleared for each call: for 64 cells that takes as
 * many instructions as all the rest.
 */
struct publish_batch {
	struct slabshm_publish_cell cells[SLABSHM_BATCH_MAX];
	struct slabshm_publish_part parts[SLABSHM_BATCH_MAX];
	struct slabshm_claim claim[2 * SLABSHM_BATCH_MAX];
	struct slabshm_record *record[2 * SLABSHM_BATCH_MAX];
	struct cell *cell[SLABSHM_BATCH_MAX];
	struct slabshm_object *spare[SLABSHM_BATCH_MAX];
	struct slabshm_record *drop[SLABSHM_BATCH_MAX];
	u64 drop_bytes[SLABSHM_BATCH_MAX];
};

static struct kmem_cache *batch_cache;

static struct publish_batch *publish_batch_get(struct publish *p)
{
	struct publish_batch *batch = kmem_cache_alloc(batch_cache, SLABSHM_GFP);

	if (!batch)
		return NULL;
	memset(batch->spare, 0, p->ncells * sizeof(*batch->spare));
	memset(batch->drop, 0, p->nparts * sizeof(*batch->drop));
	p->cells = batch->cells;
	p->parts = batch->parts;
	p->claim = batch->claim;
	p->record = batch->record;
	p->cell = batch->cell;
	p->spare = batch->spare;
	p->drop = batch->drop;
	p->drop_bytes = batch->drop_bytes;
	return batch;
}

static void publish_batch_put(struct publish *p, struct publish_batch *batch)
{
	unsigned int i;

	for (i = 0; i < p->ncells; i++)
		kfree(batch->spare[i]);
	kmem_cache_free(batch_cache, batch);
}

/* Check one cell of the call by itself. */
static bool publish_cell_valid(const struct slabshm_publish_cell *item)
{
	u32 flags = item->flags;

	if (flags & ~(SLABSHM_PUBLISH_EXPECT | SLABSHM_PUBLISH_DROP_ALL |
		      SLABSHM_PUBLISH_KEEP | SLABSHM_PUBLISH_UNLOCK |
		      SLABSHM_PUBLISH_CONSISTENT))
		return false;
	if (flags & SLABSHM_PUBLISH_CONSISTENT &&
	    !(flags & SLABSHM_PUBLISH_UNLOCK))
		return false;
	if (item->expected && !(flags & SLABSHM_PUBLISH_EXPECT))
		return false;
	if (flags & SLABSHM_PUBLISH_KEEP)
		return !item->block && !(flags & SLABSHM_PUBLISH_DROP_ALL);
	return item->block || !item->length;
}

/* Check what needs nothing but the call itself; list the blocks to claim. */
static int publish_check(struct publish *p)
{
	unsigned int i, ncells = p->ncells;

	for (i = 0; i < ncells; i++) {
		if (!publish_cell_valid(&p->cells[i])) {
			p->args->failed = i;
			return -EINVAL;
		}
		if (p->cells[i].block)
			p->claim[p->nclaims++].offset = p->cells[i].block;
	}
	for (i = 0; i < p->nparts; i++) {
		struct slabshm_publish_part *part = &p->parts[i];

		p->args->failed = ncells + i;
		if (part->item >= ncells)
			return -EINVAL;
		/* For every later use as an index */
		part->item = array_index_nospec(part->item, ncells);
		if (part->op == SLABSHM_PART_ATTACH)
			p->claim[p->nclaims++].offset = part->block;
		else if (part->op != SLABSHM_PART_DROP ||
			 p->cells[part->item].flags & SLABSHM_PUBLISH_DROP_ALL)
			return -EINVAL;
	}
	p->args->failed = U32_MAX;
	return 0;
}

/* Which item brings the block of a claim, as in slabshm_publish_args.failed */
static u32 publish_item(const struct publish *p, unsigned int claim)
{
	unsigned int i, n = 0;

	for (i = 0; i < p->ncells; i++)
		if (p->cells[i].block && n++ == claim)
			return i;
	for (i = 0; i < p->nparts; i++)
		if (p->parts[i].op == SLABSHM_PART_ATTACH && n++ == claim)
			return p->ncells + i;
	return U32_MAX;
}

static int publish_claim(struct publish *p)
{
	unsigned int failed;
	int err;

	if (!p->nclaims)
		return 0;
	err = slabshm_arena_claim(&p->slab->arena, &p->client->owner, p->claim,
				  p->nclaims, &failed);
	/* Without memory or quota it is no block's fault */
	if (err && err != -ENOMEM && err != -EDQUOT)
		p->args->failed = publish_item(p, failed);
	return err;
}

/* Make the objects that cells need with their first part. */
static int publish_prepare(struct publish *p)
{
	unsigned int i;

	for (i = 0; i < p->nparts; i++) {
		u32 item = p->parts[i].item;

		if (p->parts[i].op != SLABSHM_PART_ATTACH || p->spare[item])
			continue;
		p->spare[item] = slabshm_object_create();
		if (!p->spare[item])
			return -ENOMEM;
	}
	return 0;
}

/* Is the cell as the caller expects, and may it change it? */
static int publish_check_cell(struct publish *p, struct cell *cell,
			      const struct slabshm_publish_cell *item)
{
	if (item->flags & SLABSHM_PUBLISH_EXPECT &&
	    !slabshm_moved_known(&cell->moved, slabshm_cell_newest(cell)->commit,
				 item->expected))
		return -EAGAIN;
	return slabshm_lock_check(p->slab, cell->queue, p->client,
				  item->flags & SLABSHM_PUBLISH_UNLOCK);
}

/*
 * Find the cells; see that they are as the caller expects, and that the objects
 * fit in their blocks.  All cells are found before a kept root or a part is
 * checked: if others have changed or removed a cell, what was right for the caller
 * may be wrong, and -EAGAIN or -EIDRM is the answer.
 */
static int publish_find_cells(struct publish *p)
{
	const struct slabshm_claim *claim = p->claim;
	struct slabshm_cells *cells = &p->slab->cells;
	unsigned int i, ncells = p->ncells;
	u64 number = ++cells->publishes;
	u32 flags = 0;
	int err;

	for (i = 0; i < ncells; i++) {
		const struct slabshm_publish_cell *item = &p->cells[i];
		struct cell *cell = slabshm_cell_get(cells, item->cell,
						     item->generation);

		err = PTR_ERR_OR_ZERO(cell);
		if (!err && (cell->named == number ||
			     (item->block && item->length > (claim++)->size)))
			err = -EINVAL;
		/* Few publishes ask for more, or meet a lock or a watcher */
		if (!err && (cell->queue || item->flags))
			err = publish_check_cell(p, cell, item);
		if (err)
			goto refuse;
		p->cell[i] = cell;
		cell->named = number;
		flags |= item->flags;
	}
	err = -EINVAL;
	for (i = 0; flags & SLABSHM_PUBLISH_KEEP && i < ncells; i++) {
		if (p->cells[i].flags & SLABSHM_PUBLISH_KEEP &&
		    p->cells[i].length > p->cell[i]->object->root_bytes)
			goto refuse;
	}
	return 0;

refuse:
	p->args->failed = i;
	return err;
}

/* Find the parts to drop. */
static int publish_find_drops(struct publish *p)
{
	struct slabshm_arena *arena = &p->slab->arena;
	unsigned int i;

	if (!p->nparts)
		return 0;
	spin_lock(&arena->lock);
	for (i = 0; i < p->nparts; i++) {
		const struct slabshm_publish_part *part = &p->parts[i];
		struct slabshm_record *record;
		const struct cell *cell;

		if (part->op != SLABSHM_PART_DROP)
			continue;
		/*
		 * The record may be a retired one, which reclaim frees once the
		 * arena does not have it: use it under that lock only.  One that
		 * the object holds stays while the commit lock is held.
		 */
		record = slabshm_arena_record(arena, part->block,
					      &p->drop_bytes[i]);
		cell = p->cell[part->item];
		if (!record ||
		    !slabshm_record_is_part(record, cell->index, cell->object))
			goto refuse;
		/* So that it is none if it comes a second time */
		slabshm_record_set(record, slabshm_record_offset(record),
				   SLABSHM_RECORD_NO_PART);
		p->drop[i] = record;
	}
	spin_unlock(&arena->lock);
	return 0;

refuse:
	p->args->failed = p->ncells + i;
	while (i--) {
		if (p->drop[i])
			slabshm_record_set(p->drop[i],
					   slabshm_record_offset(p->drop[i]),
					   p->cell[p->parts[i].item]->index);
	}
	spin_unlock(&arena->lock);
	return -EINVAL;
}

/* The claimed blocks become published ones, before a reader can see them. */
static void publish_blocks(struct publish *p)
{
	struct slabshm_retired *retired = &p->slab->retired;
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
			record = slabshm_record_pop(&retired->spare);
			retired->nspare--;
			record->born = born;
			slabshm_record_set(record, p->claim[i].offset,
					   SLABSHM_RECORD_NO_PART);
			slabshm_arena_publish(arena, &p->claim[i], record);
			p->record[i] = record;
		}
		spin_unlock(&arena->lock);
	}
}

/* Write the new versions. */
static void publish_write(struct publish *p)
{
	unsigned int i;

	for (i = 0; i < p->ncells; i++) {
		const struct slabshm_publish_cell *item = &p->cells[i];
		const struct slabshm_record *root = p->cell[i]->object->root;
		u64 offset = item->block;

		if (item->flags & SLABSHM_PUBLISH_KEEP && root)
			offset = slabshm_record_offset(root);
		slabshm_cell_write(&p->slab->cells, p->cell[i], offset,
				   item->length);
	}
}

/* Retire the object of a cell whole.  The cell gets its spare one. */
static struct slabshm_object *publish_drop_all(struct publish *p,
					       struct cell *cell)
{
	struct slabshm_object *object = cell->spare;

	slabshm_retire_object(p->slab, cell->object);
	object->since = p->slab->cells.commit;
	cell->object = object;
	cell->spare = NULL;
	return object;
}

/* Retire the root that item @i replaces; note the one that it brings. */
static void publish_root(struct publish *p, unsigned int i, unsigned int *claim)
{
	const struct slabshm_publish_cell *item = &p->cells[i];
	struct cell *cell = p->cell[i];
	struct slabshm_object *object = cell->object;

	/* One for the parts of today's object, one for those of the next */
	if (p->nparts && p->spare[i] && !cell->spare)
		swap(p->spare[i], cell->spare);
	if (item->flags & SLABSHM_PUBLISH_DROP_ALL && object->nparts) {
		object = publish_drop_all(p, cell);
		if (p->nparts)
			swap(p->spare[i], cell->spare);
	} else if (!(item->flags & SLABSHM_PUBLISH_KEEP) && object->root) {
		slabshm_retire_record(p->slab, object->root, object->root_bytes);
		object->root_bytes = 0;
		object->root = NULL;
	}
	if (item->block) {
		object->root = p->record[*claim];
		slabshm_record_set_root(object->root, cell->index);
		object->root_bytes = p->claim[*claim].size;
		++*claim;
	}
}

/* Retire a part, or note one. */
static void publish_part(struct publish *p, unsigned int i, unsigned int *claim)
{
	const struct cell *cell = p->cell[p->parts[i].item];
	struct slabshm_object *object = cell->object;
	struct slabshm_record *record = p->drop[i];

	if (record) {
		list_del(&record->link);
		object->nparts--;
		object->part_bytes -= p->drop_bytes[i];
		slabshm_retire_record(p->slab, record, p->drop_bytes[i]);
		return;
	}
	record = p->record[*claim];
	slabshm_record_set(record, p->claim[*claim].offset, cell->index);
	list_add_tail(&record->link, &object->parts);
	object->nparts++;
	object->part_bytes += p->claim[*claim].size;
	++*claim;
}

/* Take out the watchers of item @i's cell, and release its lock. */
static void publish_queue(struct publish *p, unsigned int i)
{
	struct slabshm_queue *queue = p->cell[i]->queue;
	u32 flags = p->cells[i].flags;

	if (!queue)
		return;
	list_splice_tail_init(&queue->watchers, &p->slab->cells.woken);
	if (flags & SLABSHM_PUBLISH_UNLOCK)
		slabshm_lock_unlock(p->slab, queue,
				    flags & SLABSHM_PUBLISH_CONSISTENT);
}

/* The commit: either an error and nothing has changed, or all of it has. */
static int publish_commit(struct publish *p)
{
	struct slabshm_slab *slab = p->slab;
	struct slabshm_cells *cells = &slab->cells;
	unsigned int i, claim = 0;
	bool retired = false;
	int err;

	spin_lock(&cells->lock);
	while (slab->retired.nspare < p->nclaims) {
		/* Memory comes from outside the lock */
		spin_unlock(&cells->lock);
		err = slabshm_records_add(slab, p->nclaims);
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
	publish_write(p);
	commit_done(slab);
	p->args->commit = cells->commit;
	for (i = 0; i < p->ncells; i++) {
		publish_root(p, i, &claim);
		publish_queue(p, i);
	}
	for (i = 0; i < p->nparts; i++)
		publish_part(p, i, &claim);
	commit_notify(slab);
	retired = slab->retired.count;
unlock:
	spin_unlock(&cells->lock);
	if (retired)
		slabshm_reclaim_queue(slab);
	return err;
}

static int publish(struct publish *p)
{
	int err;

	err = publish_check(p);
	if (err)
		return err;
	err = publish_claim(p);
	if (err)
		return err;
	err = publish_prepare(p);
	if (!err)
		err = publish_commit(p);
	if (err) {
		slabshm_arena_unclaim(&p->slab->arena, p->claim, p->nclaims);
		return err;
	}
	trace_slabshm_publish(p->slab, p->args->commit, p->ncells,
			      p->nparts);
	return 0;
}

static int publish_copy_in(struct publish *p)
{
	const struct slabshm_publish_args *args = p->args;
	int err;

	err = slabshm_words_in(p->cells, u64_to_user_ptr(args->cells),
			       p->ncells * sizeof(*p->cells));
	if (!err && p->nparts)
		err = slabshm_words_in(p->parts, u64_to_user_ptr(args->parts),
				       p->nparts * sizeof(*p->parts));
	return err;
}

int slabshm_publish_ioctl(struct slabshm_call *call, void *arg)
{
	struct slabshm_publish_args *args = arg;
	struct slabshm_publish_args __user *user = call->user;
	struct publish_batch *batch = NULL;
	/* Most publishes are of one cell without parts, and need no more */
	struct slabshm_publish_cell item __uninitialized;
	struct slabshm_claim claim __uninitialized;
	struct slabshm_record *record;
	struct cell *cell;
	struct publish p = {
		.slab = call->slab,
		.client = call->client,
		.args = args,
		.ncells = args->ncells,
		.nparts = args->nparts,
		.cells = &item,
		.claim = &claim,
		.record = &record,
		.cell = &cell,
	};
	int err = -EINVAL;

	args->failed = U32_MAX;
	if (args->flags || !args->ncells || args->ncells > SLABSHM_BATCH_MAX ||
	    args->nparts > SLABSHM_BATCH_MAX)
		goto out;
	if (args->ncells > 1 || args->nparts) {
		err = -ENOMEM;
		batch = publish_batch_get(&p);
		if (!batch)
			goto out;
	}
	err = publish_copy_in(&p);
	if (!err)
		err = publish(&p);
	if (batch)
		publish_batch_put(&p, batch);
out:
	/* Best effort: a publish is not undone, and a refusal has its own error */
	if (err)
		slabshm_call_return(call, args);
	else
		put_user(args->commit, &user->commit);
	return err;
}

static void batch_construct(void *batch)
{
	memset(batch, 0, sizeof(struct publish_batch));
}

int slabshm_publish_module_init(void)
{
	/* @cells and @parts are copied in */
	batch_cache = kmem_cache_create_usercopy("slabshm_publish",
						 sizeof(struct publish_batch), 0,
						 SLAB_ACCOUNT, 0,
						 offsetof(struct publish_batch, claim),
						 batch_construct);
	return batch_cache ? 0 : -ENOMEM;
}

void slabshm_publish_module_exit(void)
{
	kmem_cache_destroy(batch_cache);
}
