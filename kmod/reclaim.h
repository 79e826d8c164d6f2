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

#include <linux/bits.h>
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
 * @since: while a cell holds the object: the commit that gave it to the cell.
 *	Parts that came with it, or later, were born then or later; parts of
 *	objects that the cell had before were born before
 * @retired: after that: the commit it was retired at
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
	union {
		u64 since;
		u64 retired;
	};
	struct list_head link;
};

/**
 * struct slabshm_record - one published block
 * @link: of a part: in slabshm_object.parts; of a root there, too, for as long as
 *	it takes to take a retired object apart
 * @next: of a retired block, or of none: in a chain, which NULL ends
 * @retired: of a retired block: the commit that retired it (R)
 * @born: commit that published or attached the block (B)
 * @place: where the block is, and of which cell it is the root or a part; see
 *	slabshm_record_set()
 *
 * The allocator keeps it by the block's offset.  A full slab has one for each
 * block: 32 bytes, 8 for the pointer to it, and another 8 where a memory cgroup
 * pays.  Some that are not in use are kept, in slabshm_reclaim.spare.
 *
 * Protected by slabshm_cells.lock until it is taken into a batch, then the round's,
 * and by slabshm_readers.lock in slabshm_reclaim.held.  @born and @place of one that
 * the allocator knows do not change once it is retired: slabshm_cell_publish() looks
 * at them under slabshm_cells.lock and the arena's.
 */
struct slabshm_record {
	union {
		struct list_head link;
		struct {
			struct slabshm_record *next;
			u64 retired;
		};
	};
	u64 born;
	u64 place;
};

/*
 * Bits of slabshm_record.place for the cell: its index, and whether the block is
 * a root, or was one, or is a part that a publish has dropped or is about to
 */
#define SLABSHM_RECORD_CELL	28
#define SLABSHM_RECORD_NO_PART	BIT(SLABSHM_RECORD_CELL - 1)

/* Note where the block is; of a part, @cell is the index of its cell. */
static inline void slabshm_record_set(struct slabshm_record *record, u64 offset,
				      u32 cell)
{
	/* Offsets are multiples of the granule; SLABSHM_SIZE_MAX fits */
	record->place = offset / SLABSHM_GRANULE << SLABSHM_RECORD_CELL | cell;
}

/* Of one that was set with SLABSHM_RECORD_NO_PART alone: it is this cell's root. */
static inline void slabshm_record_set_root(struct slabshm_record *record,
					   u32 cell)
{
	record->place |= cell;
}

/* Which cell's it is, or was last, with SLABSHM_RECORD_NO_PART or without */
static inline u32 slabshm_record_cell(const struct slabshm_record *record)
{
	return record->place & (BIT_ULL(SLABSHM_RECORD_CELL) - 1);
}

static inline u64 slabshm_record_offset(const struct slabshm_record *record)
{
	return (record->place >> SLABSHM_RECORD_CELL) * SLABSHM_GRANULE;
}

/* Is it a part that this object, the one of cell @cell, holds? */
static inline bool slabshm_record_is_part(const struct slabshm_record *record,
					  u32 cell,
					  const struct slabshm_object *object)
{
	return slabshm_record_cell(record) == cell &&
	       record->born >= object->since;
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
