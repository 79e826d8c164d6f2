/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The allocator of a slab: which bytes of the data are free, and who owns the
 * others.
 *
 * It deals in offsets only: it touches no data, knows no device, no client and
 * no cell, and all of its metadata is kernel memory.
 *
 * Space is made of pages.  A range of them is described by one extent, which
 * is free, a large block, or a run: equal small blocks of one size class with
 * bitmaps.  Pages point to their extent, so that a block is found from its
 * offset in constant time: a small one from any offset in it, a large one from
 * its first page.  Free extents are also in a tree by (size, place), which
 * gives best fit.  Free neighbours of the same kind are always merged.
 *
 * A block goes through these states:
 *
 *	free --alloc--> owned --claim--> claimed --publish--> published
 *	  ^               |  <-unclaim--    |                    |
 *	  +------free-----+-----------------+-----free-----------+
 *
 * An owned or claimed block counts against its struct slabshm_owner, which
 * finds its blocks without a scan of others: large ones are in a
 * list of its own, small ones in runs of its own.  A run belongs to an owner
 * while it holds an owned or claimed block; a run without any is open to all.
 * So of the blocks of a run that are neither free nor published, all are of the
 * run's owner, and no block needs an owner field.
 *
 * Claimed means: a call is about to publish or free it, other calls get -EBUSY.
 *
 * extent.h describes the page ranges below this, run.h the runs.  Freeing needs
 * no memory.
 */
#ifndef _SLABSHM_ARENA_H
#define _SLABSHM_ARENA_H

#include <linux/list.h>
#include <linux/rbtree.h>
#include <linux/spinlock.h>
#include <linux/types.h>

#include "table.h"

#define SLABSHM_NCLASSES	31
#define SLABSHM_CHUNK_SHIFT	21	/* page descriptors come 2 MiB at a time */
#define SLABSHM_RUN_PAGES	32	/* a run is not longer, and may be shorter */

struct slabshm_extent;
struct slabshm_meter;
struct slabshm_run;

/**
 * struct slabshm_runs - the runs of one owner, or those of nobody
 * @partial: for each class, runs with a free block
 * @full: runs without one
 *
 * Protected by slabshm_arena.lock.
 */
struct slabshm_runs {
	struct list_head partial[SLABSHM_NCLASSES];
	struct list_head full;
};

/**
 * struct slabshm_owner - the owner of blocks that are not published
 * @runs: its runs
 * @extents: its large blocks
 * @bytes: bytes of owned and claimed blocks
 * @blocks: how many
 * @limit: most bytes it may have; set by the caller
 *
 * All fields are protected by slabshm_arena.lock.
 */
struct slabshm_owner {
	struct slabshm_runs runs;
	struct list_head extents;
	u64 bytes;
	u64 blocks;
	u64 limit;
};

/**
 * struct slabshm_arena - the space of one slab
 * @lock: protects all that follows but the constants, and every extent and
 *	owner.  Innermost lock of the module; held for at most 64 blocks (a
 *	run counts as one where it is freed whole)
 * @max_pages: constant, pages there can ever be
 * @meter: constant, counts the memory of all that describes the space
 * @chunks: by 2 MiB, an array of pointers to the extents of these pages. There
 *	before the first of them is added
 * @maps: by 2 MiB, what users see of each page, %SLABSHM_PAGE_NONE...; may be
 *	NULL
 * @backed: free extents with memory behind them, by (pages, first page)
 * @unbacked: free extents whose memory was given back
 * @runs: the runs that have no owner
 * @empty: for each class one run at most that holds no block and is kept all
 *	the same, in the list of its last owner or in @runs, so that a class
 *	in occasional use does not make and end one each time.  An allocation
 *	that finds no space ends them
 * @backed_pages: pages of the space that have memory, free or not, but for
 *	those that slabshm_arena_take() took
 * @bytes: bytes of blocks that are not free, published ones included
 * @blocks: how many
 */
struct slabshm_arena {
	spinlock_t lock;	/* all but the constants; innermost */
	unsigned long max_pages;
	struct slabshm_meter *meter;
	struct slabshm_table chunks;
	struct slabshm_table maps;
	struct rb_root backed;
	struct rb_root unbacked;
	struct slabshm_runs runs;
	struct slabshm_run *empty[SLABSHM_NCLASSES];
	unsigned long backed_pages;
	u64 bytes;
	u64 blocks;
};

/* What a caller of slabshm_arena_alloc() wants, and gets. */
struct slabshm_request {
	u64 offset;	/* out */
	u64 size;	/* in: bytes; out: bytes that may be used */
};

/**
 * struct slabshm_claim - a block that was looked up
 * @offset: where it starts; in a call that claims it, where it should, any number
 * @extent: the extent that it lies in
 * @size: bytes of it that may be used, at most %SLABSHM_SIZE_MAX
 * @index: which block of a run it is
 *
 * Good until the lock is dropped, or for as long as the block is claimed.
 */
struct slabshm_claim {
	u64 offset;
	struct slabshm_extent *extent;
	u64 size:48;
	u64 index:16;
};

/* A run without an owner in which some blocks are published and some are free. */
struct slabshm_run_desc {
	u32 page;	/* where it starts */
	u32 class:5;
	u32 used:13;	/* blocks that are published, or retired */
	u32 free:13;
};

struct slabshm_block_desc {
	u64 start;
	u64 size;
	const struct slabshm_owner *owner;	/* NULL: published */
};

extern const u32 slabshm_class_size[SLABSHM_NCLASSES];

void slabshm_arena_classes(u32 *size);

int slabshm_arena_init(struct slabshm_arena *arena, unsigned long max_pages,
		       struct slabshm_meter *meter);
void slabshm_arena_destroy(struct slabshm_arena *arena);
void slabshm_owner_init(struct slabshm_owner *owner, u64 limit);

int slabshm_arena_prepare(struct slabshm_arena *arena, unsigned long chunk,
			  u8 *page_map);
int slabshm_arena_add(struct slabshm_arena *arena, unsigned long page,
		      unsigned long npages);
unsigned long slabshm_arena_tail(struct slabshm_arena *arena,
				 unsigned long end);
struct slabshm_extent *slabshm_arena_take(struct slabshm_arena *arena,
					  bool backed, unsigned long min,
					  unsigned long max,
					  unsigned long *page,
					  unsigned long *npages);
bool slabshm_arena_next_unbacked(struct slabshm_arena *arena,
				 unsigned long *page, unsigned long *npages);
void slabshm_arena_put(struct slabshm_arena *arena,
		       struct slabshm_extent *extent, bool backed);

int slabshm_arena_alloc(struct slabshm_arena *arena,
			struct slabshm_owner *owner,
			struct slabshm_request *req, unsigned int n,
			u64 align, struct slabshm_claim *claim,
			unsigned long *need);
int slabshm_arena_free(struct slabshm_arena *arena,
		       struct slabshm_owner *owner, const u64 *offset,
		       unsigned int n, unsigned int *failed);
bool slabshm_arena_release(struct slabshm_arena *arena,
			   struct slabshm_owner *owner);
u64 slabshm_arena_free_bytes(struct slabshm_arena *arena);
int slabshm_arena_find(struct slabshm_arena *arena, u64 offset,
		       struct slabshm_block_desc *desc);

int slabshm_arena_claim(struct slabshm_arena *arena,
			struct slabshm_owner *owner,
			struct slabshm_claim *claim, unsigned int n,
			unsigned int *failed);
void slabshm_arena_unclaim(struct slabshm_arena *arena,
			   const struct slabshm_claim *claim, unsigned int n);
void slabshm_arena_free_claimed(struct slabshm_arena *arena,
				const struct slabshm_claim *claim,
				unsigned int n);

unsigned int slabshm_arena_runs(struct slabshm_arena *arena,
				unsigned long *page, unsigned long end,
				struct slabshm_run_desc *desc, unsigned int n);
void slabshm_arena_avoid(struct slabshm_arena *arena,
			 const struct slabshm_run_desc *desc);
int slabshm_arena_alloc_in(struct slabshm_arena *arena,
			   struct slabshm_owner *owner,
			   const struct slabshm_run_desc *desc,
			   struct slabshm_claim *claim);

/* The following need the lock held. */
int slabshm_arena_run_records(struct slabshm_arena *arena,
			      const struct slabshm_run_desc *desc,
			      unsigned int *index, void **record,
			      unsigned int n);
void slabshm_arena_publish(struct slabshm_arena *arena,
			   const struct slabshm_claim *claim, void *record);
void *slabshm_arena_record(struct slabshm_arena *arena, u64 offset, u64 *size);
u64 slabshm_arena_free_published(struct slabshm_arena *arena, u64 offset);

#endif /* _SLABSHM_ARENA_H */
