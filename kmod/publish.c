// SPDX-License-Identifier: GPL-2.0
/*
 * CELL_OPEN, CELL_REMOVE and PUBLISH.
 */
#include "alloc.h"
#include "arena.h"
#include "call.h"
#include "cell.h"
#include "client.h"
#include "publish.h"
#include "slab.h"

int slabshm_cell_open_ioctl(struct slabshm_call *call, void *arg)
{
	struct slabshm_cell_open_args *open = arg;
	bool created, entered = false;
	int err;

	if (open->flags & ~(SLABSHM_CELL_CREATE | SLABSHM_CELL_EXCL |
			    SLABSHM_CELL_MOVABLE) ||
	    (open->flags && !(open->flags & SLABSHM_CELL_CREATE)) || open->pad ||
	    !slabshm_name_valid(open->name, false))
		return -EINVAL;
	if (open->flags & SLABSHM_CELL_CREATE && !call->client->rdonly) {
		err = slabshm_client_enter(call->client);
		if (err)
			return err;
		entered = true;
		/* As for growth: undoing it would be seen in the clock */
		err = slabshm_call_return(call, open);
		if (err)
			goto leave;
	}
	err = slabshm_cell_open(call->slab, !call->client->rdonly, open,
				&created);
	if (!err) {
		err = slabshm_call_return(call, open);
		if (err && created)
			slabshm_cell_remove(call->slab, call->client,
					    open->cell, open->generation);
	}
leave:
	if (entered)
		slabshm_client_leave(call->client);
	return err;
}

int slabshm_cell_remove_ioctl(struct slabshm_call *call, void *arg)
{
	struct slabshm_cell_remove_args *remove = arg;

	if (remove->flags || remove->pad)
		return -EINVAL;
	return slabshm_cell_remove(call->slab, call->client, remove->cell,
				   remove->generation);
}

/**
 * struct publish_fresh - a publish that returns fresh blocks
 * @p: the publish
 * @call: the ioctl
 * @user: where the blocks are told
 * @req: room for as many as there are cells
 */
struct publish_fresh {
	struct slabshm_publish_call p;
	struct slabshm_call *call;
	struct slabshm_block __user *user;
	struct slabshm_request *req;
};

/*
 * The blocks stay claimed until the publish has committed or failed: another
 * thread that sees their offsets early can do nothing with them.
 */
static int publish_fresh(struct slabshm_publish_call *p,
			 const struct slabshm_claim *root, unsigned int nroots,
			 bool wait)
{
	struct publish_fresh *fresh = container_of(p, struct publish_fresh, p);
	struct slabshm_alloc_args alloc = { .count = nroots };
	struct slabshm_slab *slab = fresh->call->slab;
	const struct slabshm_request none = {};
	unsigned int i, n = 0;
	unsigned long need;
	int err = 0;

	for (i = 0; i < nroots; i++)
		fresh->req[i].size = root[i].size;
	if (wait)
		err = slabshm_alloc_blocks(fresh->call, &alloc, fresh->req, nroots,
					   p->fresh_claim);
	else if (nroots)
		err = slabshm_arena_alloc(&slab->arena,
					  &fresh->call->client->owner,
					  fresh->req, nroots, 0,
					  p->fresh_claim, &need);
	if (err)
		return err;
	for (i = 0; i < p->ncells && !err; i++)
		err = slabshm_words_out(&fresh->user[i], p->cells[i].block ?
				&fresh->req[n++] : &none, sizeof(none));
	if (err)
		slabshm_arena_free_claimed(&slab->arena, p->fresh_claim,
					   nroots);
	else
		p->nfresh = nroots;
	return err;
}

static __always_inline int publish_one(struct slabshm_call *call,
				       struct slabshm_publish_args *publish)
{
	struct slabshm_publish_cell cell;
	struct slabshm_publish_call p = {
		.cells = &cell,
		.ncells = 1,
		.commit = publish->commit,
	};
	int err;

	err = slabshm_words_in(&cell, u64_to_user_ptr(publish->cells), sizeof(cell));
	if (err)
		return err;
	err = slabshm_cell_publish(call->client, &p);
	publish->failed = p.failed;
	publish->commit = p.commit;
	return err;
}

static noinline int publish_one_fresh(struct slabshm_call *call,
				      struct slabshm_publish_args *publish)
{
	struct slabshm_publish_cell cell;
	struct slabshm_request req;
	struct slabshm_claim claim;
	struct publish_fresh fresh = {
		.p = {
			.cells = &cell,
			.ncells = 1,
			.fresh = publish_fresh,
			.fresh_claim = &claim,
			.commit = publish->commit,
		},
		.call = call,
		.user = u64_to_user_ptr(publish->fresh),
		.req = &req,
	};
	int err;

	err = slabshm_words_in(&cell, u64_to_user_ptr(publish->cells), sizeof(cell));
	if (err)
		return err;
	err = slabshm_cell_publish(call->client, &fresh.p);
	publish->failed = fresh.p.failed;
	publish->commit = fresh.p.commit;
	return err;
}

static noinline int publish_many(struct slabshm_call *call,
				 struct slabshm_publish_args *publish)
{
	struct slabshm_publish_room *room = slabshm_publish_room_get();
	struct publish_fresh fresh;
	int err;

	if (!room)
		return -ENOMEM;
	fresh = (struct publish_fresh){
		.p = {
			.cells = room->cells,
			.parts = room->parts,
			.ncells = publish->ncells,
			.nparts = publish->nparts,
			.room = room,
			.fresh_claim = room->fresh,
			.commit = publish->commit,
		},
		.call = call,
		.user = u64_to_user_ptr(publish->fresh),
		.req = room->req,
	};
	if (publish->flags & SLABSHM_PUBLISH_FRESH)
		fresh.p.fresh = publish_fresh;
	err = slabshm_words_in(room->cells, u64_to_user_ptr(publish->cells),
			       publish->ncells * sizeof(*room->cells));
	if (!err && publish->nparts)
		err = slabshm_words_in(room->parts, u64_to_user_ptr(publish->parts),
				       publish->nparts * sizeof(*room->parts));
	if (!err) {
		err = slabshm_cell_publish(call->client, &fresh.p);
		publish->failed = fresh.p.failed;
		publish->commit = fresh.p.commit;
	}
	slabshm_publish_room_put(room);
	return err;
}

int slabshm_publish_ioctl(struct slabshm_call *call, void *arg)
{
	struct slabshm_publish_args *publish = arg;
	bool fresh = publish->flags & SLABSHM_PUBLISH_FRESH;
	int err = -EINVAL;

	publish->failed = U32_MAX;
	if (publish->flags & ~SLABSHM_PUBLISH_FRESH || !publish->ncells ||
	    publish->ncells > SLABSHM_BATCH_MAX ||
	    publish->nparts > SLABSHM_BATCH_MAX ||
	    (publish->fresh && !fresh))
		goto out;
	if (publish->ncells > 1 || publish->nparts)
		err = publish_many(call, publish);
	else if (fresh)
		err = publish_one_fresh(call, publish);
	else
		err = publish_one(call, publish);
out:
	/* Best effort: a publish is not undone, a refusal has its own error */
	if (err)
		slabshm_call_return(call, publish);
	else
		slabshm_words_out(call->user + offsetof(struct slabshm_publish_args, ncells),
				  &publish->ncells,
			  offsetofend(struct slabshm_publish_args, commit) -
			  offsetof(struct slabshm_publish_args, ncells));
	return err;
}
