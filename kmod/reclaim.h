/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Published blocks and objects, and how their space comes back.
 *
 * A block that a publish replaces or drops is retired: no cell leads to it any
 * more, but a reader may still look at it.  It is put in a list of the slab by
 * the commit that retires it (R), and a work item
 *
 *	1. takes what is in that list (the batch),
 *	2. lets an RCU grace period pass, so that every reader either shows in
 *	   its slot that it may look at a block of the batch, or can not come to
 *	   look at it any more (Documentation/protocol.rst has the argument),
 *	3. looks at all slots, frees what none of them holds, and keeps the rest
 *	   for another look.
 *
 * Nothing here is ever waited for by a publisher, and retiring needs no memory.
 */
#ifndef _SLABSHM_RECLAIM_H
#define _SLABSHM_RECLAIM_H

#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/slabshm.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "object.h"

struct slabshm_slab;

#define SLABSHM_SAMPLES	64

/**
 * struct slabshm_reclaim - the retired blocks of one slab
 * @blocks: records retired by themselves, not in a batch yet: a chain, the last
 *	one first
 * @objects: objects retired whole, not in a batch yet
 * @bytes: bytes of all retired blocks, those in batches and @held too
 * @count: how many these are
 * @freed: bytes ever reclaimed, so that an allocation that found no space sees
 *	that there may be some by now. Read without a lock
 * @spare: records of no block, for the publishes to come: a chain
 * @nspare: how many these are
 * @held: records that a reader held at the last look: a chain
 * @held_bytes: bytes of these
 * @held_count: how many these are
 * @looks: how often all of @held was judged again
 * @next_look: jiffies when @held is due for another look
 * @delay: jiffies from one look to the next, grows while nothing changes
 * @poison: whoever holds the lock overwrites what it frees, and has the data in
 *	use
 * @sample: what the clock showed when, so that the age of a block need not be
 *	kept in its record
 * @nsamples: how many samples there are
 * @sample_step: jiffies from one to the next; without a timeout it grows, so
 *	that they reach back to the first held block
 * @timeout: constant, read timeout in jiffies, 0 for never
 * @limit: constant, bytes that @held_bytes may reach
 * @work: takes a batch
 * @retry: queues @work while there are held blocks
 * @urgent: an allocation waits for @work
 * @begun: rounds whose batch was cut, protected by slabshm_cells.lock
 * @ended: rounds that are done; waited for at @wait
 * @wait: allocations, for a round
 * @turn: held by the allocation, of those that found no space, that is next
 *
 * From @blocks to @nspare, and @urgent, are protected by slabshm_cells.lock; from
 * @held to @sample_step by slabshm_readers.lock.  Each queued item holds a
 * reference to the slab.
 */
struct slabshm_reclaim {
	struct slabshm_record *blocks;
	struct list_head objects;
	u64 bytes;
	u64 count;
	u64 freed;
	struct slabshm_record *spare;
	unsigned int nspare;

	struct slabshm_record *held;
	u64 held_bytes;
	u64 held_count;
	u64 looks;
	unsigned long next_look;
	unsigned long delay;
	bool poison;
	struct {
		u64 commit;
		unsigned long when;
	} sample[SLABSHM_SAMPLES];
	unsigned int nsamples;
	unsigned long sample_step;

	unsigned long timeout;
	u64 limit;
	struct work_struct work;
	struct delayed_work retry;
	bool urgent;
	u64 begun;
	u64 ended;
	wait_queue_head_t wait;
	struct mutex turn;	/* allocations without space, outermost */
};

int slabshm_reclaim_module_init(void);
void slabshm_reclaim_module_exit(void);

void slabshm_reclaim_init(struct slabshm_slab *slab, u32 timeout_ms,
			  u64 limit);
void slabshm_reclaim_destroy(struct slabshm_slab *slab);

void slabshm_reclaim_queue(struct slabshm_slab *slab);
bool slabshm_reclaim_now(struct slabshm_slab *slab, u64 least);
bool slabshm_reclaim_evict(struct slabshm_slab *slab, u64 bytes, bool apart);
u64 slabshm_reclaim_age_ms(struct slabshm_slab *slab, u64 commit);

#endif /* _SLABSHM_RECLAIM_H */
