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

struct slabshm_slab;

/**
 * struct slabshm_object - what a cell holds
 * @root: record of the root block, or NULL
 * @root_bytes: its bytes, or 0
 * @parts: records of the parts
 * @nparts: how many
 * @part_bytes: their bytes
 * @retired: 0 while a cell holds the object, then the commit it was retired at
 * @link: in slabshm_reclaim.objects
 *
 * Protected by slabshm_cells.lock until it is taken into a batch.
 */
struct slabshm_object {
	struct slabshm_record *root;
	u64 root_bytes;
	struct list_head parts;
	u64 nparts;
	u64 part_bytes;
	u64 retired;
	struct list_head link;
};

/* What a record is of; kept in the low bits of slabshm_record.place. */
enum slabshm_record_kind {
	RECORD_ROOT = 0,
	RECORD_PART = 1,
	RECORD_RETIRED = 2,	/* by itself: its object is another's or gone */
	RECORD_DROPPING = 3,	/* a part that the publish in progress drops */
};

#define SLABSHM_RECORD_KIND	((u64)SLABSHM_GRANULE - 1)

/**
 * struct slabshm_record - one published block
 * @link: in slabshm_object.parts
 * @next: in a chain, which NULL ends
 * @born: commit that published or attached the block (B)
 * @object: of a root or a part: whose
 * @retired: RECORD_RETIRED: the commit that retired it (R)
 * @place: the block's offset, and enum slabshm_record_kind
 *
 * The allocator keeps it by the block's offset.  A full slab has one for each
 * block: 40 bytes and 8 for the pointer to it.  Some that are not in use are
 * kept, in slabshm_reclaim.spare.
 *
 * Protected by slabshm_cells.lock until it is taken into a batch.  @place, and
 * @object or @retired, of one that the allocator still knows change under the
 * arena's lock too, as slabshm_cell_publish() finds retired ones there.
 */
struct slabshm_record {
	union {
		struct list_head link;
		struct slabshm_record *next;
	};
	u64 born;
	union {
		struct slabshm_object *object;
		u64 retired;
	};
	u64 place;
};

static inline enum slabshm_record_kind
slabshm_record_kind(const struct slabshm_record *record)
{
	return record->place & SLABSHM_RECORD_KIND;
}

static inline u64 slabshm_record_offset(const struct slabshm_record *record)
{
	return record->place & ~SLABSHM_RECORD_KIND;
}

static inline void slabshm_record_set_kind(struct slabshm_record *record,
					   enum slabshm_record_kind kind)
{
	record->place = slabshm_record_offset(record) | kind;
}

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
 * @next_look: jiffies when @held is due for another look
 * @delay: jiffies from one look to the next, grows while nothing changes
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
	unsigned long next_look;
	unsigned long delay;
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

/* Put a record before a chain. */
static inline void slabshm_record_push(struct slabshm_record **chain,
				       struct slabshm_record *record)
{
	record->next = *chain;
	*chain = record;
}

/* Take the first record of a chain that has one. */
static inline struct slabshm_record *
slabshm_record_pop(struct slabshm_record **chain)
{
	struct slabshm_record *record = *chain;

	*chain = record->next;
	return record;
}

int slabshm_reclaim_module_init(void);
void slabshm_reclaim_module_exit(void);

void slabshm_reclaim_init(struct slabshm_slab *slab, u32 timeout_ms,
			  u64 limit);
void slabshm_reclaim_destroy(struct slabshm_slab *slab);

struct slabshm_object *slabshm_object_create(void);
void slabshm_object_destroy(struct slabshm_object *object);
int slabshm_records_add(struct slabshm_slab *slab, unsigned int n);

void slabshm_reclaim_queue(struct slabshm_slab *slab);
bool slabshm_reclaim_now(struct slabshm_slab *slab, u64 least);
bool slabshm_reclaim_evict(struct slabshm_slab *slab, u64 bytes, bool apart);
u64 slabshm_reclaim_age_ms(struct slabshm_slab *slab, u64 commit);

#endif /* _SLABSHM_RECLAIM_H */
