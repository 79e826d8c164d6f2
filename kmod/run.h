/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Runs: extents of equal small blocks.
 */
#ifndef _SLABSHM_RUN_H
#define _SLABSHM_RUN_H

#include <linux/bitmap.h>

#include "extent.h"

/* Most blocks in a run: what the table below makes where pages are 4 KiB */
#define RUN_BLOCKS	(PAGE_SIZE / SLABSHM_GRANULE > 256 ? \
			 PAGE_SIZE / SLABSHM_GRANULE : 256)

/**
 * struct slabshm_run - an extent of equal small blocks
 * @extent: its pages; must be first
 * @records: what the publisher of each block gave; made at the first claim
 * @class: of its blocks
 * @nblocks: how many it holds
 * @nfree: how many are free
 * @nheld: how many are owned or claimed; the rest is published
 * @free: bitmap of the free blocks; the next three exclude each other, and a
 *	block that is in none of them is owned
 * @claimed: bitmap
 * @published: bitmap
 *
 * Protected by slabshm_arena.lock.
 */
struct slabshm_run {
	struct slabshm_extent extent;
	void **records;
	u16 class;
	u16 nblocks;
	u16 nfree;
	u16 nheld;
	DECLARE_BITMAP(free, RUN_BLOCKS);
	DECLARE_BITMAP(claimed, RUN_BLOCKS);
	DECLARE_BITMAP(published, RUN_BLOCKS);
};

static inline struct slabshm_run *extent_run(struct slabshm_extent *extent)
{
	return container_of(extent, struct slabshm_run, extent);
}

/* A run with a free block of @class, or NULL. */
static inline struct slabshm_run *run_partial(struct slabshm_runs *runs,
					      unsigned int class)
{
	return list_first_entry_or_null(&runs->partial[class],
					struct slabshm_run, extent.list);
}

void slabshm_runs_init(struct slabshm_runs *runs);

/* The following need the lock held. */
void slabshm_run_end(struct slabshm_arena *arena, struct slabshm_run *run);
void slabshm_runs_end_empty(struct slabshm_arena *arena);
struct slabshm_extent *slabshm_run_space(struct slabshm_arena *arena,
					 unsigned long npages,
					 unsigned long align);
struct slabshm_run *slabshm_run_create(struct slabshm_arena *arena,
				       const struct slabshm_owner *owner,
				       unsigned int class,
				       struct slabshm_spares *spares,
				       unsigned long *need);
struct slabshm_run *slabshm_run_at(const struct slabshm_arena *arena,
				   const struct slabshm_run_desc *desc);
void slabshm_run_settle(struct slabshm_arena *arena, struct slabshm_run *run,
			bool move);

#endif /* _SLABSHM_RUN_H */
