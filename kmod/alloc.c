// SPDX-License-Identifier: GPL-2.0
/*
 * ALLOC, FREE, BLOCK, GROW, TRIM, and the waiting for space.
 */
#include <linux/jiffies.h>
#include <linux/sched/signal.h>

#include "alloc.h"
#include "arena.h"
#include "call.h"
#include "client.h"
#include "data.h"
#include "reclaim.h"
#include "slab.h"
#include "trace.h"

/*
 * Ask the clients to flush their caches of blocks; each checks at its next call.
 * A client at its own limit can do that once a jiffy, as others pay for it.
 */
void slabshm_alloc_raise_pressure(struct slabshm_slab *slab, bool limit)
{
	struct slabshm_header *header = slab->control.header;

	spin_lock(&slab->arena.lock);
	if (!limit || time_after(jiffies, slab->pressure_stamp)) {
		slab->pressure_stamp = jiffies;
		/* It says no more than "changed" */
		WRITE_ONCE(header->pressure, header->pressure + 1);
	}
	spin_unlock(&slab->arena.lock);
}

/* Times that an allocation waits for retired blocks which others then take */
#define RECLAIM_TRIES	16
/* The same if enough is free but fragmented */
#define FRAGMENTED_TRIES	4
/* Times that readers are evicted for it */
#define EVICT_TRIES	4

/**
 * struct alloc_wait - an allocation that found no space
 * @bytes: that it needs in all
 * @grow_seq: slabshm_slab.grow_seq before the last try
 * @freed: slabshm_retired.freed before the last try
 * @first: nothing was done for it yet
 * @tries: times that it may still wait for reclaim
 * @evictions: times that readers may still be evicted for it
 * @growths: times that space may still be added for it, which others may take
 */
struct alloc_wait {
	u64 bytes;
	unsigned long grow_seq;
	u64 freed;
	bool first;
	unsigned int tries;
	unsigned int evictions;
	unsigned long growths;
};

/* Wait for reclaim if more than @least bytes are retired: did something change? */
static bool alloc_reclaim(struct slabshm_slab *slab, struct alloc_wait *wait,
			  unsigned long need, u64 least)
{
	if (!wait->tries)
		return false;
	if (!slabshm_reclaim_now(slab, least) &&
	    READ_ONCE(slab->retired.freed) == wait->freed)
		return false;
	wait->tries--;
	/* Enough is free but fragmented: more of it may not help */
	if (need > SLABSHM_RUN_PAGES &&
	    slabshm_arena_free_bytes(&slab->arena) >= wait->bytes)
		wait->tries = min(wait->tries, FRAGMENTED_TRIES);
	return true;
}

/* More space for an allocation that found none: 0 to try again, or an error. */
static int alloc_make_space(struct slabshm_call *call,
			    const struct slabshm_alloc_args *alloc,
			    struct alloc_wait *wait, unsigned long need)
{
	struct slabshm_slab *slab = call->slab;
	bool may_grow = !slab->fixed && !(alloc->flags & SLABSHM_ALLOC_NOGROW);
	bool first = wait->first;
	int err = -ENOSPC;

	if (fatal_signal_pending(current))
		return -EINTR;
	if (READ_ONCE(call->client->ended))
		return -ENXIO;
	wait->first = false;
	/* A short wait is better than growth because of retired blocks */
	if (first && alloc_reclaim(slab, wait, need,
				   READ_ONCE(slab->size) / 8))
		return 0;
	if (wait->growths) {
		wait->growths--;
		err = slabshm_data_make_space(slab, need, alloc->align,
					      DIV_ROUND_UP(wait->bytes, PAGE_SIZE),
					      wait->grow_seq, may_grow);
	}
	if (!err || err == -EINTR)
		return err;
	/*
	 * Before it fails: all that is retired; again, if others were faster
	 * and have retired as much since; then what is held.
	 */
	if (alloc_reclaim(slab, wait, need, first ? 0 : wait->bytes - 1))
		return 0;
	if (alloc->flags & SLABSHM_ALLOC_OPPORTUNISTIC)
		return err;
	slabshm_alloc_raise_pressure(slab, false);
	if (!wait->evictions ||
	    !slabshm_reclaim_evict(slab, wait->bytes,
				   wait->evictions == EVICT_TRIES))
		return err;
	wait->evictions--;
	return 0;
}

/* There is no space at once. */
static noinline int alloc_wait(struct slabshm_call *call,
			       const struct slabshm_alloc_args *alloc,
			       struct slabshm_request *req,
			       struct slabshm_claim *claim)
{
	bool opportunistic = alloc->flags & SLABSHM_ALLOC_OPPORTUNISTIC;
	struct slabshm_slab *slab = call->slab;
	struct alloc_wait wait = {
		.first = true,
		.tries = opportunistic ? 1 : RECLAIM_TRIES,
		.evictions = EVICT_TRIES,
		/* What TRIM gave back is refilled in pieces of 2 MiB */
		.growths = 64 + 2 * (slab->max_size >> SLABSHM_CHUNK_SHIFT),
	};
	unsigned long need;
	unsigned int i;
	int err;

	for (i = 0; i < alloc->count; i++)
		wait.bytes += req[i].size;
	if (wait.bytes > slab->max_size)
		return -ENOSPC;
	/*
	 * One at a time, or the last to wake up finds each time that the others
	 * have taken what it waited for.  A cache does not wait for its turn.
	 */
	if (!opportunistic && mutex_lock_killable(&slab->reclaim.turn))
		return -EINTR;
	do {
		wait.grow_seq = READ_ONCE(slab->grow_seq);
		wait.freed = READ_ONCE(slab->retired.freed);
		err = slabshm_arena_alloc(&slab->arena, &call->client->owner,
					  req, alloc->count, alloc->align,
					  claim, &need);
		if (err != -ENOSPC)
			break;
		err = alloc_make_space(call, alloc, &wait, need);
	} while (!err);
	if (!opportunistic)
		mutex_unlock(&slab->reclaim.turn);
	return err;
}

/**
 * slabshm_alloc_blocks() - allocate, and wait for space as the call asks for
 * @call: whose client is to own them
 * @alloc: flags and alignment
 * @req: sizes; offsets and sizes on success
 * @n: how many
 * @claim: NULL; or claims to fill in, as for slabshm_arena_alloc()
 *
 * Context: may sleep; takes slabshm_reclaim.turn.
 * Return: as struct slabshm_alloc_args says.
 */
int slabshm_alloc_blocks(struct slabshm_call *call,
			 const struct slabshm_alloc_args *alloc,
			 struct slabshm_request *req, unsigned int n,
			 struct slabshm_claim *claim)
{
	unsigned long need;
	int err;

	err = slabshm_arena_alloc(&call->slab->arena, &call->client->owner,
				  req, n, alloc->align, claim, &need);
	if (unlikely(err == -ENOSPC) && need != ULONG_MAX)
		err = alloc_wait(call, alloc, req, claim);
	/* The caches of the client's own threads may hold what others lack */
	if (unlikely(err == -EDQUOT) &&
	    !(alloc->flags & SLABSHM_ALLOC_OPPORTUNISTIC))
		slabshm_alloc_raise_pressure(call->slab, true);
	return err;
}

/* The call failed: its blocks go back, if another thread did not guess them. */
static noinline void alloc_undo(struct slabshm_call *call,
				const struct slabshm_request *req,
				unsigned int n)
{
	unsigned int i, failed;

	for (i = 0; i < n; i++)
		slabshm_arena_free(&call->slab->arena, &call->client->owner,
				   &req[i].offset, 1, &failed);
}

int slabshm_alloc_ioctl(struct slabshm_call *call, void *arg)
{
	struct slabshm_request req[SLABSHM_BATCH_MAX] __uninitialized;
	const struct slabshm_alloc_args *alloc = arg;
	void __user *blocks = u64_to_user_ptr(alloc->blocks);
	unsigned int i;
	int err;

	BUILD_BUG_ON(sizeof(*req) != sizeof(struct slabshm_block));
	if (alloc->flags & ~(SLABSHM_ALLOC_ZERO | SLABSHM_ALLOC_NOGROW |
			     SLABSHM_ALLOC_OPPORTUNISTIC) ||
	    !alloc->count || alloc->count > SLABSHM_BATCH_MAX || alloc->pad)
		return -EINVAL;
	if (slabshm_words_in(req, blocks, alloc->count * sizeof(*req)))
		return -EFAULT;
	err = slabshm_alloc_blocks(call, alloc, req, alloc->count, NULL);
	if (err)
		return err;
	if (alloc->flags & SLABSHM_ALLOC_ZERO) {
		for (i = 0; i < alloc->count && !err; i++)
			err = slabshm_data_set(call->slab, req[i].offset,
					       req[i].size, 0);
	}
	if (!err)
		err = slabshm_words_out(blocks, req, alloc->count * sizeof(*req));
	if (err) {
		alloc_undo(call, req, alloc->count);
		return err;
	}
	trace_slabshm_alloc(call->client, alloc->count, req[0].offset);
	return 0;
}

int slabshm_free_ioctl(struct slabshm_call *call, void *arg)
{
	u64 offset[SLABSHM_BATCH_MAX] __uninitialized;
	struct slabshm_free_args *free = arg;
	int err;

	if (free->flags || !free->count || free->count > SLABSHM_BATCH_MAX)
		return -EINVAL;
	if (slabshm_words_in(offset, u64_to_user_ptr(free->offsets),
			     free->count * sizeof(*offset)))
		return -EFAULT;
	err = slabshm_arena_free(&call->slab->arena, &call->client->owner,
				 offset, free->count, &free->failed);
	if (err)
		return slabshm_call_return(call, free) ?: err;
	trace_slabshm_free(call->client, free->count, offset[0]);
	return 0;
}

int slabshm_block_ioctl(struct slabshm_call *call, void *arg)
{
	struct slabshm_block_args *info = arg;
	struct slabshm_block_desc desc;
	int err;

	if (info->flags || info->pad)
		return -EINVAL;
	err = slabshm_arena_find(&call->slab->arena, info->offset, &desc);
	if (err)
		return err;
	info->start = desc.start;
	info->size = desc.size;
	info->state = !desc.owner ? SLABSHM_BLOCK_PUBLISHED :
		      desc.owner == &call->client->owner ? SLABSHM_BLOCK_OWN :
		      SLABSHM_BLOCK_FOREIGN;
	return slabshm_call_return(call, info);
}

int slabshm_grow_ioctl(struct slabshm_call *call, void *arg)
{
	struct slabshm_grow_args *grow = arg;
	int err;

	if (grow->flags)
		return -EINVAL;
	/* Growth cannot be undone: first check that the result can be written */
	err = slabshm_call_return(call, grow);
	if (err)
		return err;
	err = slabshm_data_grow(call->slab, grow->size, false);
	grow->size = READ_ONCE(call->slab->size);
	return slabshm_call_return(call, grow) ?: err;
}

int slabshm_trim_ioctl(struct slabshm_call *call, void *arg)
{
	struct slabshm_trim_args *trim = arg;
	int err;

	if (trim->flags)
		return -EINVAL;
	/* As for growth */
	err = slabshm_call_return(call, trim);
	if (err)
		return err;
	slabshm_reclaim_now(call->slab, 0);
	err = slabshm_data_trim(call->slab, trim->bytes, &trim->bytes);
	return err ?: slabshm_call_return(call, trim);
}
