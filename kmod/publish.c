// SPDX-License-Identifier: GPL-2.0
/*
 * CELL_OPEN, CELL_REMOVE and PUBLISH.
 */
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

static noinline int publish_many(struct slabshm_call *call,
				 struct slabshm_publish_args *publish)
{
	struct slabshm_publish_room *room = slabshm_publish_room_get();
	struct slabshm_publish_call p;
	int err;

	if (!room)
		return -ENOMEM;
	p = (struct slabshm_publish_call){
		.cells = room->cells,
		.parts = room->parts,
		.ncells = publish->ncells,
		.nparts = publish->nparts,
		.room = room,
		.commit = publish->commit,
	};
	err = slabshm_words_in(room->cells, u64_to_user_ptr(publish->cells),
			       publish->ncells * sizeof(*room->cells));
	if (!err && publish->nparts)
		err = slabshm_words_in(room->parts, u64_to_user_ptr(publish->parts),
				       publish->nparts * sizeof(*room->parts));
	if (!err) {
		err = slabshm_cell_publish(call->client, &p);
		publish->failed = p.failed;
		publish->commit = p.commit;
	}
	slabshm_publish_room_put(room);
	return err;
}

int slabshm_publish_ioctl(struct slabshm_call *call, void *arg)
{
	struct slabshm_publish_args *publish = arg;
	int err = -EINVAL;

	publish->failed = U32_MAX;
	if (publish->flags || !publish->ncells ||
	    publish->ncells > SLABSHM_BATCH_MAX ||
	    publish->nparts > SLABSHM_BATCH_MAX)
		goto out;
	if (publish->ncells > 1 || publish->nparts)
		err = publish_many(call, publish);
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
