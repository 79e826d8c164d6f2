/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SLABSHM_OBJECT_H
#define _SLABSHM_OBJECT_H

#include <linux/bits.h>
#include <linux/list.h>
#include <linux/slabshm.h>
#include <linux/types.h>

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
 * @link: in slabshm_retired.objects
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
 *	it takes to unlink a retired object's records
 * @next: of a retired block, or of none: in a chain, which NULL ends
 * @retired: of a retired block: the commit that retired it (R)
 * @born: commit that published or attached the block (B)
 * @place: where the block is, and of which cell it is the root or a part; see
 *	slabshm_record_set()
 *
 * The allocator keeps it by the block's offset.  A full slab has one for each
 * block: 32 bytes, 8 for the pointer to it, and another 8 where a memory cgroup
 * pays.  Some that are not in use are kept, in slabshm_retired.spare.
 *
 * Protected by slabshm_cells.lock until it is taken into a batch, then the round's,
 * and by slabshm_readers.lock in slabshm_held.records.  @born and @place of one that
 * the allocator knows do not change once it is retired: a publish looks
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

struct slabshm_object *slabshm_object_create(void);
void slabshm_object_destroy(struct slabshm_object *object);
int slabshm_records_add(struct slabshm_slab *slab, unsigned int n);
void slabshm_records_destroy(struct slabshm_slab *slab,
			     struct slabshm_record *chain);

int slabshm_object_module_init(void);
void slabshm_object_module_exit(void);

#endif /* _SLABSHM_OBJECT_H */
