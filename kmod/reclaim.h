/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Published blocks and objects, and how their space comes back.
 *
 * A block that a publish replaces or drops is retired: no cell leads to it any
 * more, but a reader may still use it.  The commit that retires it (R) puts it on a
 * list of the slab, and a work item, the round,
 *
 *	1. takes what is on that list (the batch),
 *	2. waits for an RCU grace period, so that every reader either shows in its
 *	   slot that it may use a block of the batch, or cannot come to use it any
 *	   more (Documentation/protocol.rst has the argument),
 *	3. scans all slots, frees what none of them holds, and keeps the rest for
 *	   the next check.
 *
 * No publisher ever waits for any of this, and retiring needs no memory.
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
 * struct slabshm_retired - retired blocks
 * @blocks: records retired by themselves, in no batch yet: a chain, the last one
 *	first
 * @objects: objects retired whole, in no batch yet
 * @bytes: bytes of all retired blocks, also of those in batches and held ones
 * @count: how many these are
 * @freed: bytes ever reclaimed, so that an allocation that found no space sees
 *	whether there may be some by now. Read without a lock
 * @spare: records of no block, for publishes to come: a chain
 * @nspare: how many these are
 * @urgent: an allocation waits for the next round
 * @begun: rounds whose batch was taken
 *
 * Protected by slabshm_cells.lock.
 */
struct slabshm_retired {
	struct slabshm_record *blocks;
	struct list_head objects;
	u64 bytes;
	u64 count;
	u64 freed;
	struct slabshm_record *spare;
	unsigned int nspare;
	bool urgent;
	u64 begun;
};

/**
 * struct slabshm_held - retired blocks that readers hold back
 * @records: those that a reader held when they were last checked: a chain
 * @bytes: of these
 * @count: how many these are
 * @checks: how often all of @records was checked again
 * @next_check: jiffies when the next check is due
 * @delay: jiffies from one check to the next, grows while nothing changes
 * @poison: whoever holds the lock overwrites what it frees; the data stays
 *	meanwhile
 * @sample: the clock at some times, so that the age of a block need not be kept
 *	in its record
 * @nsamples: how many samples there are
 * @sample_step: jiffies from one to the next; without a timeout it grows, so
 *	that they reach back to the first held block
 *
 * Protected by slabshm_readers.lock.
 */
struct slabshm_held {
	struct slabshm_record *records;
	u64 bytes;
	u64 count;
	u64 checks;
	unsigned long next_check;
	unsigned long delay;
	bool poison;
	struct {
		u64 commit;
		unsigned long when;
	} sample[SLABSHM_SAMPLES];
	unsigned int nsamples;
	unsigned long sample_step;
};

/**
 * struct slabshm_reclaim - the rounds that reclaim retired blocks
 * @timeout: constant, read timeout in jiffies, 0 for never
 * @limit: constant, bytes that readers may hold back
 * @round: one at a time, as it is one work item; also delayed, while there are held
 *	blocks.  Holds no reference: slabshm_reclaim_destroy() cancels it
 * @ended: rounds that are done; waited for at @wait
 * @wait: allocations, for a round
 * @turn: held by the allocation, of those that found no space, that is next
 */
struct slabshm_reclaim {
	unsigned long timeout;
	u64 limit;
	struct delayed_work round;
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
bool slabshm_reclaim_evict(struct slabshm_slab *slab, u64 bytes, bool fragmented);
int slabshm_reclaim_readers(struct slabshm_slab *slab, u64 *cursor,
			    struct slabshm_reader_entry *entry, unsigned int n);

/* The following need slabshm_cells.lock held. */
void slabshm_retire_record(struct slabshm_slab *slab,
			   struct slabshm_record *record, u64 bytes);
void slabshm_retire_object(struct slabshm_slab *slab,
			   struct slabshm_object *object);

#endif /* _SLABSHM_RECLAIM_H */
