/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Page ranges of an arena: the lower half of the allocator.
 *
 * Every range of pages that was ever added is described by one extent.  Free
 * extents are in a tree by (size, place), one tree for those with memory behind
 * them and one for those without, and free neighbours of a kind are merged.
 *
 * Pages point to their extent.  Offsets from user space are only ever looked up
 * through these pointers, which have one invariant: the pointer of a page is
 * either NULL or the live extent that the page lies in.  Every page of a run
 * points to it; of all other extents the first and the last page do (so that
 * neighbours find each other), and those in between are NULL.
 *
 * Freeing needs no memory: descriptors are made before an extent is cut, and
 * merging only gives descriptors back.
 */
#ifndef _SLABSHM_EXTENT_H
#define _SLABSHM_EXTENT_H

#include <linux/list.h>
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/rbtree.h>

#include "arena.h"

#define CHUNK_PAGES	(1UL << (SLABSHM_CHUNK_SHIFT - PAGE_SHIFT))

enum extent_state {
	EXTENT_TAKEN,		/* none of the others, and in no tree or list */
	EXTENT_BACKED,		/* free, in arena.backed */
	EXTENT_UNBACKED,	/* free, in arena.unbacked */
	EXTENT_LARGE,		/* one block */
	EXTENT_RUN,		/* embedded in a struct slabshm_run */
};

/**
 * struct slabshm_extent - a range of pages
 * @node: BACKED, UNBACKED: in the tree, by (@npages, @page)
 * @list: RUN: in the owner's slabshm_runs, or the arena's; LARGE: in
 *	slabshm_owner.extents unless published, then in no list
 * @next: of a spare that no pages have yet
 * @page: where it starts
 * @npages: how many
 * @owner: LARGE: of the block, NULL if published; RUN: who has all the
 *	owned and claimed blocks, NULL while there are none, unless it is kept
 *	empty and has not changed hands
 * @record: LARGE, published: what the publisher gave
 * @state: enum extent_state
 * @block: LARGE: enum block_state, not free
 * @bytes: of the descriptor, which may be the first member of a struct
 *	slabshm_run.  A run that ends leaves its descriptor to the free extent
 *
 * Protected by slabshm_arena.lock.
 */
struct slabshm_extent {
	union {
		struct rb_node node;
		struct list_head list;
		struct slabshm_extent *next;
	};
	unsigned long page;
	unsigned long npages;
	struct slabshm_owner *owner;
	void *record;
	u8 state;
	u8 block;
	u16 bytes;
};

/* Descriptors for an allocation, made before it takes the lock */
struct slabshm_spares {
	struct slabshm_extent *runs;
	struct slabshm_extent *extents;
	unsigned int want;	/* blocks that the allocation is for */
};

/* The extent that @page points to.  Any number will do. */
static __always_inline struct slabshm_extent *
slabshm_extent_at(const struct slabshm_arena *arena, u64 page)
{
	struct slabshm_extent **chunk;

	if (page >= arena->max_pages)
		return NULL;
	page = array_index_nospec(page, arena->max_pages);
	chunk = slabshm_table_get(&arena->chunks, page / CHUNK_PAGES);
	return chunk ? chunk[page % CHUNK_PAGES] : NULL;
}

static inline void slabshm_page_set(struct slabshm_arena *arena,
				    unsigned long page,
				    struct slabshm_extent *extent)
{
	struct slabshm_extent **chunk;

	chunk = slabshm_table_get(&arena->chunks, page / CHUNK_PAGES);
	chunk[page % CHUNK_PAGES] = extent;
}

/* Show users what @page is. */
static inline void slabshm_page_show(struct slabshm_arena *arena,
				     unsigned long page, u8 what)
{
	u8 *map = slabshm_table_get(&arena->maps, page / CHUNK_PAGES);

	if (map)
		WRITE_ONCE(map[page % CHUNK_PAGES], what);
}

struct slabshm_extent *slabshm_extent_create(struct slabshm_arena *arena,
					     size_t size, bool force);
void slabshm_extent_destroy(struct slabshm_arena *arena,
			    struct slabshm_extent *extent);

int slabshm_spares_fill(struct slabshm_arena *arena,
			struct slabshm_extent **spares, unsigned int n,
			size_t size);
void slabshm_spares_drop(struct slabshm_arena *arena,
			 struct slabshm_extent **spares);
struct slabshm_extent *slabshm_spare_take(struct slabshm_extent **spares);

/* The following need the lock held. */
struct slabshm_extent *slabshm_extent_fit(const struct rb_root *tree,
					  unsigned long npages,
					  unsigned long align);
struct slabshm_extent *slabshm_extent_behind(const struct rb_root *tree,
					     unsigned long page,
					     unsigned long npages);
struct slabshm_extent *slabshm_extent_largest(const struct rb_root *tree);
void slabshm_extent_remove(struct slabshm_arena *arena,
			   struct slabshm_extent *extent);
void slabshm_extent_cut(struct slabshm_arena *arena,
			struct slabshm_extent *extent, unsigned long npages,
			struct slabshm_extent *head);
void slabshm_extent_insert(struct slabshm_arena *arena,
			   struct slabshm_extent *extent,
			   enum extent_state state);

#endif /* _SLABSHM_EXTENT_H */
