// SPDX-License-Identifier: GPL-2.0
/*
 * The allocator of a slab.  arena.h says what it does; this is how.
 *
 * From the bottom up: extent.c cuts page ranges, and joins free ones; runs are
 * extents that hold small blocks; blocks are found by offset and change state;
 * on top of that are the calls.
 */
#include <linux/bitmap.h>
#include <linux/err.h>
#include <linux/log2.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/slabshm.h>

#include "extent.h"
#include "user.h"

/* Small blocks are of at most this size, and aligned to at most a page */
#define SMALL_MAX	16384

/* Large blocks of up to so many bytes have classes, too, one for each page */
#define CLASS_MAX	65536
#define SMALL_PAGES	(SMALL_MAX / PAGE_SIZE)
#define NLARGE		(CLASS_MAX / PAGE_SIZE - SMALL_PAGES)

/* Most blocks in a run: what the table below makes where pages are 4 KiB */
#define RUN_BLOCKS	(PAGE_SIZE / SLABSHM_GRANULE > 256 ? \
			 PAGE_SIZE / SLABSHM_GRANULE : 256)

/* Four to a doubling, and three for what is 1, 4 or 8 KiB with a header */
const u32 slabshm_class_size[SLABSHM_NCLASSES] = {
	64, 128, 192, 256,
	320, 384, 448, 512,
	640, 768, 896, 1024,
	1152, 1280, 1536, 1792, 2048,
	2560, 3072, 3584, 4096,
	4608, 5120, 6144, 7168, 8192,
	9216, 10240, 12288, 14336, 16384,
};

/*
 * KiB of a run of each class, for an owner of much: the least from 16 that leaves no
 * more than 3 % over at the end and holds 8 blocks, above 8 KiB 4 blocks.
 */
static const u8 run_kib[SLABSHM_NCLASSES] = {
	16, 16, 16, 16,
	16, 16, 16, 16,
	16, 16, 16, 16,
	16, 20, 20, 16, 16,
	20, 24, 28, 32,
	36, 40, 48, 56, 64,
	36, 40, 48, 56, 64,
};

/* Which part of what an owner has a new run may be, unless it is very short */
#define RUN_SHARE	512

enum block_state {
	BLOCK_FREE,		/* or there is none */
	BLOCK_OWNED,
	BLOCK_CLAIMED,
	BLOCK_PUBLISHED,
};

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

/* A block that was looked up.  Good until the lock is dropped. */
struct block_ref {
	struct slabshm_extent *extent;
	struct slabshm_run *run;	/* NULL for a large block */
	unsigned int index;		/* in the run */
	enum block_state state;
	u64 start;
	u64 size;
};

/* Descriptors made outside the lock, for an allocation to use inside */
struct spares {
	struct slabshm_run *run;
	struct slabshm_extent *extent[2];
	unsigned int want;	/* blocks that the allocation is for */
};

/* What users see of the first page of a large block. */
static u8 extent_class(unsigned long npages)
{
	/* Small but for their alignment: beyond all classes */
	unsigned long i = npages - SMALL_PAGES - 1;

	return i < NLARGE ? SLABSHM_NCLASSES + i + 1 : SLABSHM_PAGE_EXTENT;
}

static struct slabshm_run *extent_run(struct slabshm_extent *extent)
{
	return container_of(extent, struct slabshm_run, extent);
}

/* A run with a free block of @class, or NULL. */
static struct slabshm_run *run_partial(struct slabshm_runs *runs,
				       unsigned int class)
{
	return list_first_entry_or_null(&runs->partial[class],
					struct slabshm_run, extent.list);
}

static void runs_init(struct slabshm_runs *runs)
{
	unsigned int class;

	for (class = 0; class < SLABSHM_NCLASSES; class++)
		INIT_LIST_HEAD(&runs->partial[class]);
	INIT_LIST_HEAD(&runs->full);
}

/* Let all pages of a run point to @extent, and tell the users @what they are */
static void run_mark(struct slabshm_arena *arena, struct slabshm_run *run,
		     struct slabshm_extent *extent, u8 what)
{
	unsigned long i;

	for (i = 0; i < run->extent.npages; i++) {
		slabshm_page_set(arena, run->extent.page + i, extent);
		slabshm_page_show(arena, run->extent.page + i, what);
	}
}

/* A run without a block in use becomes free space. */
static void run_end(struct slabshm_arena *arena, struct slabshm_run *run)
{
	if (arena->empty[run->class] == run)
		arena->empty[run->class] = NULL;
	list_del(&run->extent.list);
	if (run->records)
		slabshm_meter_sub(arena->meter,
				  run->nblocks * sizeof(*run->records));
	kfree(run->records);
	run->records = NULL;
	run->extent.owner = NULL;
	run->extent.state = EXTENT_TAKEN;
	run_mark(arena, run, NULL, SLABSHM_PAGE_NONE);
	slabshm_extent_insert(arena, &run->extent, EXTENT_BACKED);
}

/* Make free space of the runs that are kept empty. */
static void runs_end_empty(struct slabshm_arena *arena)
{
	unsigned int class;

	lockdep_assert_held(&arena->lock);

	for (class = 0; class < SLABSHM_NCLASSES; class++)
		if (arena->empty[class])
			run_end(arena, arena->empty[class]);
}

/* The best fit for @npages in the free space, after all that is possible. */
static struct slabshm_extent *find_space(struct slabshm_arena *arena,
					 unsigned long npages,
					 unsigned long align)
{
	struct slabshm_extent *space;

	space = slabshm_extent_fit(&arena->backed, npages, align);
	if (!space) {
		runs_end_empty(arena);
		space = slabshm_extent_fit(&arena->backed, npages, align);
	}
	return space;
}

/*
 * Pages of a new run, for @want blocks or more.  An owner has some runs that are not
 * full, of each class that it uses; so that these do not take more than its blocks,
 * one of little has short runs, of which less than 1/16 is left over.
 */
static unsigned long run_pages(const struct slabshm_owner *owner,
			       unsigned int class, unsigned int want)
{
	const unsigned long size = slabshm_class_size[class];
	unsigned long most = DIV_ROUND_UP(run_kib[class] * SZ_1K, PAGE_SIZE);
	unsigned long npages = owner->bytes / RUN_SHARE >> PAGE_SHIFT;

	npages = min(max(npages, DIV_ROUND_UP(want * size, PAGE_SIZE)), most);
	while (npages < most &&
	       npages * PAGE_SIZE % size >= npages * PAGE_SIZE / 16)
		npages++;
	return npages;
}

/*
 * Make a run of free blocks, without an owner and in no list.  Where there is
 * no room for one of the usual length, a shorter one will do.
 */
static noinline struct slabshm_run *run_new(struct slabshm_arena *arena,
					    const struct slabshm_owner *owner,
					    unsigned int class,
					    struct spares *spares,
					    unsigned long *need)
{
	const u32 size = slabshm_class_size[class];
	struct slabshm_run *run = spares->run;
	struct slabshm_extent *space;
	unsigned long npages, nblocks = 0;

	npages = run_pages(owner, class, spares->want);
	space = find_space(arena, npages, 1);
	if (!space)
		space = slabshm_extent_largest(&arena->backed);
	if (space)
		nblocks = min(npages, space->npages) * PAGE_SIZE / size;
	if (!nblocks) {
		*need = npages;
		return ERR_PTR(-ENOSPC);
	}
	if (!run)
		return ERR_PTR(-EAGAIN);
	spares->run = NULL;

	npages = DIV_ROUND_UP(nblocks * size, PAGE_SIZE);
	slabshm_extent_remove(arena, space);
	if (space->npages > npages) {
		slabshm_extent_cut(arena, space, npages, &run->extent);
		slabshm_extent_insert(arena, space, EXTENT_BACKED);
	} else {
		run->extent.page = space->page;
		run->extent.npages = npages;
		slabshm_extent_destroy(arena, space);
	}
	run->extent.state = EXTENT_RUN;
	INIT_LIST_HEAD(&run->extent.list);
	run->class = class;
	run->nblocks = nblocks;
	run->nfree = nblocks;
	bitmap_set(run->free, 0, nblocks);
	run_mark(arena, run, &run->extent, class + 1);
	return run;
}

/*
 * Blocks of a run are not owned or not in use any more: give it the owner and
 * the place that it now should have.  @move: it may be in the wrong list.
 */
static void run_settle(struct slabshm_arena *arena, struct slabshm_run *run,
		       bool move)
{
	struct slabshm_runs *runs = &arena->runs;

	if (run->nfree == run->nblocks) {
		if (arena->empty[run->class] && arena->empty[run->class] != run) {
			run_end(arena, run);
			return;
		}
		/* The owner keeps it in its list, until another wants it */
		arena->empty[run->class] = run;
		if (run->extent.owner)
			runs = &run->extent.owner->runs;
		if (move)
			list_move(&run->extent.list, &runs->partial[run->class]);
		return;
	}
	if (run->nheld) {
		runs = &run->extent.owner->runs;
	} else if (run->extent.owner) {
		run->extent.owner = NULL;
		move = true;
	}
	if (move)
		list_move(&run->extent.list, run->nfree ?
			  &runs->partial[run->class] : &runs->full);
}

/*
 * Blocks
 */

/* The class whose blocks are of at least @size bytes, 1 to SMALL_MAX. */
static unsigned int size_class(u64 size)
{
	unsigned int order;

	if (size <= 256)
		return (size - 1) / SLABSHM_GRANULE;
	/* 2^order < size: the quarter of the doubling that it lies in */
	order = ilog2(size - 1);
	return 4 * (order - 8) + ((size - 1) >> (order - 2)) +
	       (size > 1152) + (size > 4608) + (size > 9216);
}

static bool is_small(u64 size, u64 align)
{
	return size <= SMALL_MAX && align <= PAGE_SIZE;
}

/* What is really given for @size; @align is at least SLABSHM_GRANULE. */
static u64 usable_size(u64 size, u64 align)
{
	size = ALIGN(size, align);
	/* Its class is a multiple of @align, too: test_size_class() tries all */
	if (is_small(size, align))
		return slabshm_class_size[size_class(size)];
	return ALIGN(size, PAGE_SIZE);
}

/*
 * The block that @offset lies in, which may be any number.  Of a large block
 * only the first page is known.  False if there is none; @ref->state may be
 * BLOCK_FREE in a run.
 */
static __always_inline bool block_find(const struct slabshm_arena *arena,
				       u64 offset, struct block_ref *ref)
{
	struct slabshm_extent *extent;
	struct slabshm_run *run;

	lockdep_assert_held(&arena->lock);

	extent = slabshm_extent_at(arena, offset >> PAGE_SHIFT);
	if (!extent)
		return false;
	ref->extent = extent;
	ref->start = (u64)extent->page << PAGE_SHIFT;
	switch (extent->state) {
	case EXTENT_RUN:
		run = extent_run(extent);
		ref->run = run;
		ref->size = slabshm_class_size[run->class];
		ref->index = (u32)(offset - ref->start) / (u32)ref->size;
		if (ref->index >= run->nblocks)
			return false;
		ref->start += ref->index * ref->size;
		if (test_bit(ref->index, run->published))
			ref->state = BLOCK_PUBLISHED;
		else if (test_bit(ref->index, run->free))
			ref->state = BLOCK_FREE;
		else if (test_bit(ref->index, run->claimed))
			ref->state = BLOCK_CLAIMED;
		else
			ref->state = BLOCK_OWNED;
		return true;
	case EXTENT_LARGE:
		ref->run = NULL;
		ref->index = 0;
		ref->size = (u64)extent->npages << PAGE_SHIFT;
		ref->state = extent->block;
		return offset >> PAGE_SHIFT == extent->page;
	default:
		return false;
	}
}

/* The state of the block that starts at @offset; @ref is it unless free. */
static __always_inline enum block_state
block_at(const struct slabshm_arena *arena, u64 offset, struct block_ref *ref)
{
	if (!block_find(arena, offset, ref) || ref->start != offset)
		return BLOCK_FREE;
	return ref->state;
}

/* From owned to claimed and back; for other ways there is more to do. */
static __always_inline void block_mark(struct block_ref *ref, enum block_state state)
{
	if (ref->run)
		__assign_bit(ref->index, ref->run->claimed,
			     state == BLOCK_CLAIMED);
	else
		ref->extent->block = state;
}

/* @n blocks of @size bytes each leave their owner */
static void owner_uncharge(struct slabshm_owner *owner, unsigned int n,
			   u64 size)
{
	owner->bytes -= n * size;
	owner->blocks -= n;
}

/* Free a block, whatever its state. */
static __always_inline void block_free(struct slabshm_arena *arena,
				       struct block_ref *ref)
{
	struct slabshm_extent *extent = ref->extent;
	struct slabshm_run *run = ref->run;

	arena->bytes -= ref->size;
	arena->blocks--;
	if (ref->state != BLOCK_PUBLISHED)
		owner_uncharge(extent->owner, 1, ref->size);

	if (run) {
		__set_bit(ref->index, run->free);
		if (ref->state == BLOCK_PUBLISHED) {
			__clear_bit(ref->index, run->published);
		} else {
			__clear_bit(ref->index, run->claimed);
			run->nheld--;
		}
		run->nfree++;
		if (run->nfree == 1 || run->nfree == run->nblocks ||
		    (!run->nheld && extent->owner))
			run_settle(arena, run, run->nfree == 1);
	} else {
		if (ref->state != BLOCK_PUBLISHED)
			list_del(&extent->list);
		extent->owner = NULL;
		extent->record = NULL;
		extent->state = EXTENT_TAKEN;
		slabshm_page_show(arena, extent->page, SLABSHM_PAGE_NONE);
		slabshm_extent_insert(arena, extent, EXTENT_BACKED);
	}
}

/* Take a free block of a run, which has one and is in the owner's list. */
static __always_inline unsigned int run_take(struct slabshm_run *run,
					     struct slabshm_owner *owner)
{
	unsigned int word = 0, index;

	while (!run->free[word])
		word++;
	index = word * BITS_PER_LONG + __ffs(run->free[word]);
	run->free[word] &= run->free[word] - 1;
	run->nheld++;
	if (!--run->nfree)
		list_move(&run->extent.list, &owner->runs.full);
	return index;
}

/*
 * A small block: from a run of the owner's, one of nobody's, one that is kept
 * empty, or a new one.
 */
static __always_inline int small_alloc(struct slabshm_arena *arena,
				       struct slabshm_owner *owner,
				       unsigned int class,
				       struct spares *spares,
				       unsigned long *need, u64 *offset)
{
	struct slabshm_run *run = run_partial(&owner->runs, class);
	unsigned int index;

	if (!run) {
		run = run_partial(&arena->runs, class) ?: arena->empty[class];
		if (!run)
			run = run_new(arena, owner, class, spares, need);
		if (IS_ERR(run))
			return PTR_ERR(run);
		run->extent.owner = owner;
		list_move(&run->extent.list, &owner->runs.partial[class]);
	}

	if (run == arena->empty[class])
		arena->empty[class] = NULL;
	index = run_take(run, owner);
	*offset = ((u64)run->extent.page << PAGE_SHIFT) +
		  index * slabshm_class_size[class];
	return 0;
}

/* A large block: the best fit, without what alignment leaves on both sides */
static noinline int large_alloc(struct slabshm_arena *arena,
				struct slabshm_owner *owner,
				unsigned long npages, unsigned long align,
				struct spares *spares, unsigned long *need,
				u64 *offset)
{
	struct slabshm_extent *extent, *rest;
	unsigned long head, tail;

	extent = find_space(arena, npages, align);
	if (!extent) {
		*need = npages + align - 1;
		return -ENOSPC;
	}
	head = ALIGN(extent->page, align) - extent->page;
	tail = extent->npages - head - npages;
	if ((head && !spares->extent[0]) || (tail && !spares->extent[1]))
		return -EAGAIN;

	slabshm_extent_remove(arena, extent);
	if (head) {
		rest = spares->extent[0];
		spares->extent[0] = NULL;
		slabshm_extent_cut(arena, extent, head, rest);
		slabshm_extent_insert(arena, rest, EXTENT_BACKED);
	}
	if (tail) {
		rest = extent;
		extent = spares->extent[1];
		spares->extent[1] = NULL;
		slabshm_extent_cut(arena, rest, npages, extent);
		slabshm_extent_insert(arena, rest, EXTENT_BACKED);
	}
	extent->state = EXTENT_LARGE;
	extent->block = BLOCK_OWNED;
	extent->owner = owner;
	list_add(&extent->list, &owner->extents);
	slabshm_page_show(arena, extent->page, extent_class(npages));
	*offset = (u64)extent->page << PAGE_SHIFT;
	return 0;
}

/* One block of @size, which is what usable_size() made of it, and its class. */
static __always_inline int block_alloc(struct slabshm_arena *arena,
				       struct slabshm_owner *owner, u64 size,
				       unsigned int class, u64 align,
				       struct spares *spares,
				       unsigned long *need, u64 *offset)
{
	int err;

	if (is_small(size, align))
		err = small_alloc(arena, owner, class, spares, need, offset);
	else
		err = large_alloc(arena, owner, size >> PAGE_SHIFT,
				  DIV_ROUND_UP(align, PAGE_SIZE), spares, need,
				  offset);
	if (err)
		return err;
	owner->bytes += size;
	owner->blocks++;
	arena->bytes += size;
	arena->blocks++;
	return 0;
}

/* Make what a block of @size may take. */
static int spares_fill(struct slabshm_arena *arena, struct spares *spares,
		       u64 size, u64 align)
{
	struct slabshm_extent *extent;
	unsigned int i;

	if (is_small(size, align)) {
		if (spares->run)
			return 0;
		extent = slabshm_extent_create(arena, sizeof(*spares->run), false);
		if (IS_ERR(extent))
			return PTR_ERR(extent);
		spares->run = extent_run(extent);
		return 0;
	}
	for (i = align > PAGE_SIZE ? 0 : 1; i < 2; i++) {
		if (spares->extent[i])
			continue;
		extent = slabshm_extent_create(arena, sizeof(*extent), false);
		if (IS_ERR(extent))
			return PTR_ERR(extent);
		spares->extent[i] = extent;
	}
	return 0;
}

static void spares_drop(struct slabshm_arena *arena, struct spares *spares)
{
	if (spares->run)
		slabshm_extent_destroy(arena, &spares->run->extent);
	slabshm_extent_destroy(arena, spares->extent[0]);
	slabshm_extent_destroy(arena, spares->extent[1]);
}

/* What @claim is of, as block_find() tells it. */
static __always_inline struct block_ref
claim_ref(const struct slabshm_claim *claim)
{
	struct slabshm_extent *extent = claim->extent;

	return (struct block_ref){
		.extent = extent,
		.run = extent->state == EXTENT_RUN ? extent_run(extent) : NULL,
		.index = claim->index,
		.state = BLOCK_CLAIMED,
		.start = claim->offset,
		.size = claim->size,
	};
}

static __always_inline void claim_set(struct slabshm_claim *claim,
				      struct block_ref *ref)
{
	claim->size = ref->size;
	claim->extent = ref->extent;
	claim->index = ref->index;
	block_mark(ref, BLOCK_CLAIMED);
}

/* Why @claim[@i] cannot be claimed, which is in use. */
static noinline int claim_error(const struct slabshm_owner *owner,
				const struct slabshm_claim *claim,
				unsigned int i, enum block_state state,
				const struct slabshm_extent *extent)
{
	unsigned int j;

	if (state == BLOCK_PUBLISHED)
		return -EBUSY;
	if (extent->owner != owner)
		return -EPERM;
	for (j = 0; j < i; j++)
		if (claim[j].offset == claim[i].offset)
			return -EINVAL;
	return -EBUSY;
}

/* Find the block that @claim[@i] names, if it is the owner's and unclaimed. */
static __always_inline int block_owned(struct slabshm_arena *arena,
				       const struct slabshm_owner *owner,
				       struct slabshm_claim *claim,
				       unsigned int i, struct block_ref *ref)
{
	if (block_at(arena, claim[i].offset, ref) == BLOCK_FREE)
		return -EINVAL;
	if (ref->state != BLOCK_OWNED || ref->extent->owner != owner)
		return claim_error(owner, claim, i, ref->state, ref->extent);
	return 0;
}

/* Claim the block that @claim[@i] names, @ref; the ones before have been. */
static __always_inline int block_claim(struct slabshm_arena *arena,
				       const struct slabshm_owner *owner,
				       struct slabshm_claim *claim,
				       unsigned int i, struct block_ref *ref)
{
	int err = block_owned(arena, owner, claim, i, ref);

	if (!err)
		claim_set(&claim[i], ref);
	return err;
}

static __always_inline void block_unclaim(const struct slabshm_claim *claim)
{
	struct block_ref ref = claim_ref(claim);

	block_mark(&ref, BLOCK_OWNED);
}

/*
 * Life of an arena
 */

/**
 * slabshm_arena_classes() - the block sizes that page maps speak of
 * @size: %SLABSHM_CLASSES_MAX of them, filled up with 0
 *
 * Context: any.
 */
void slabshm_arena_classes(u32 *size)
{
	unsigned int i;

	BUILD_BUG_ON(SLABSHM_NCLASSES + NLARGE > SLABSHM_CLASSES_MAX);
	memset(size, 0, SLABSHM_CLASSES_MAX * sizeof(*size));
	for (i = 0; i < SLABSHM_NCLASSES; i++)
		size[i] = slabshm_class_size[i];
	for (i = 0; i < NLARGE; i++)
		size[SLABSHM_NCLASSES + i] = (SMALL_PAGES + i + 1) * PAGE_SIZE;
}

/**
 * slabshm_arena_init() - make an arena without any space
 * @arena: to fill in
 * @max_pages: pages that there can ever be, 1 to %SLABSHM_SIZE_MAX in bytes
 * @meter: counts its memory
 *
 * Context: may sleep.
 * Return: 0; -EINVAL @max_pages is out of range; -ENOMEM, -EDQUOT.
 */
int slabshm_arena_init(struct slabshm_arena *arena, unsigned long max_pages,
		       struct slabshm_meter *meter)
{
	unsigned long nchunks = DIV_ROUND_UP(max_pages, CHUNK_PAGES);
	int err;

	if (!max_pages || max_pages > SLABSHM_SIZE_MAX >> PAGE_SHIFT)
		return -EINVAL;
	/* slabshm_extent_destroy() frees either */
	BUILD_BUG_ON(offsetof(struct slabshm_run, extent));
	memset(arena, 0, sizeof(*arena));
	arena->meter = meter;
	err = slabshm_table_init(&arena->chunks, nchunks, meter);
	if (err)
		return err;
	err = slabshm_table_init(&arena->maps, nchunks, meter);
	if (err) {
		slabshm_table_destroy(&arena->chunks, NULL);
		return err;
	}
	spin_lock_init(&arena->lock);
	arena->max_pages = max_pages;
	arena->backed = RB_ROOT;
	arena->unbacked = RB_ROOT;
	runs_init(&arena->runs);
	return 0;
}

static void chunk_free(void *chunk)
{
	kfree(chunk);
}

/**
 * slabshm_arena_destroy() - free all metadata, whatever state the blocks are in
 * @arena: nobody uses it any more, nor its owners
 *
 * Context: may sleep; takes long for a large arena.
 */
void slabshm_arena_destroy(struct slabshm_arena *arena)
{
	unsigned long page = 0;

	/* An extent may begin in one chunk and end in another */
	while (page < arena->max_pages) {
		struct slabshm_extent *extent = slabshm_extent_at(arena, page);

		if (extent) {
			page += extent->npages;
			if (extent->state == EXTENT_RUN)
				kfree(extent_run(extent)->records);
			slabshm_extent_destroy(arena, extent);
		} else if (slabshm_table_get(&arena->chunks, page / CHUNK_PAGES)) {
			page++;
		} else {
			page = round_down(page, CHUNK_PAGES) + CHUNK_PAGES;
		}
		cond_resched();
	}
	slabshm_table_destroy(&arena->chunks, chunk_free);
	slabshm_table_destroy(&arena->maps, NULL);
}

/**
 * slabshm_owner_init() - make an owner without any blocks
 * @owner: to fill in
 * @limit: bytes that it may have at most
 *
 * It needs no end but that slabshm_arena_release() has taken all of its blocks.
 */
void slabshm_owner_init(struct slabshm_owner *owner, u64 limit)
{
	runs_init(&owner->runs);
	INIT_LIST_HEAD(&owner->extents);
	owner->bytes = 0;
	owner->blocks = 0;
	owner->limit = limit;
}

/*
 * Space
 */

/**
 * slabshm_arena_prepare() - make room for the descriptors of 2 MiB of space
 * @arena: whose
 * @chunk: which 2 MiB, from 0
 * @page_map: what users see of these pages, a byte for each; NULL for none.
 *	It stays there as long as the arena
 *
 * Does nothing if that was done before.
 *
 * Context: may sleep.  Not twice at the same time for one chunk.
 * Return: 0; -EINVAL @chunk is outside the arena; -ENOMEM, -EDQUOT.
 */
int slabshm_arena_prepare(struct slabshm_arena *arena, unsigned long chunk,
			  u8 *page_map)
{
	struct slabshm_extent **page;
	int err;

	if (chunk >= arena->chunks.size)
		return -EINVAL;
	if (slabshm_table_get(&arena->chunks, chunk))
		return 0;
	if (page_map) {
		/* It may be there from a call that failed below */
		err = slabshm_table_add(&arena->maps, chunk, page_map);
		if (err && err != -EEXIST)
			return err;
	}
	err = slabshm_meter_add(arena->meter, CHUNK_PAGES * sizeof(*page));
	if (err)
		return err;
	page = kcalloc(CHUNK_PAGES, sizeof(*page), SLABSHM_GFP);
	err = page ? slabshm_table_add(&arena->chunks, chunk, page) : -ENOMEM;
	if (err) {
		kfree(page);
		slabshm_meter_sub(arena->meter, CHUNK_PAGES * sizeof(*page));
	}
	return err;
}

/**
 * slabshm_arena_add() - new space, which has memory behind it
 * @arena: that grows
 * @page: first page, not 0.  It and the following were never added before, and
 *	their chunks are prepared
 * @npages: how many, not 0
 *
 * Context: may sleep; takes the arena's lock.
 * Return: 0, or -ENOMEM, -EDQUOT and nothing has changed.
 */
int slabshm_arena_add(struct slabshm_arena *arena, unsigned long page,
		      unsigned long npages)
{
	struct slabshm_extent *extent;

	extent = slabshm_extent_create(arena, sizeof(*extent), false);
	if (IS_ERR(extent))
		return PTR_ERR(extent);
	extent->page = page;
	extent->npages = npages;
	spin_lock(&arena->lock);
	arena->backed_pages += npages;
	slabshm_extent_insert(arena, extent, EXTENT_BACKED);
	spin_unlock(&arena->lock);
	return 0;
}

/**
 * slabshm_arena_tail() - free pages with memory at the end of the space
 * @arena: where
 * @end: pages that were added so far, page 0 included
 *
 * Context: takes the arena's lock.
 * Return: how many there are.
 */
unsigned long slabshm_arena_tail(struct slabshm_arena *arena, unsigned long end)
{
	struct slabshm_extent *extent = NULL;
	unsigned long npages = 0;

	spin_lock(&arena->lock);
	runs_end_empty(arena);
	if (end)
		extent = slabshm_extent_at(arena, end - 1);
	if (extent && extent->state == EXTENT_BACKED)
		npages = extent->npages;
	spin_unlock(&arena->lock);
	return npages;
}

/**
 * slabshm_arena_take() - take a free range away, to change what is behind it
 * @arena: whose
 * @backed: which kind of free range: with memory behind it, or without
 * @min: pages it must have; from a choice of these the smallest is taken, but
 *	the largest if any will do (0 or 1)
 * @max: pages it may have, at least 1 and @min; the rest is left
 * @page: set to the first page of the range
 * @npages: set to the number of pages
 *
 * Until slabshm_arena_put() nobody else gets any of it, and it does not count
 * in slabshm_arena.backed_pages.
 *
 * Context: may sleep; takes the arena's lock.
 * Return: the range; NULL if there is none; ERR_PTR(-ENOMEM).
 */
struct slabshm_extent *slabshm_arena_take(struct slabshm_arena *arena,
					  bool backed, unsigned long min,
					  unsigned long max,
					  unsigned long *page,
					  unsigned long *npages)
{
	enum extent_state state = backed ? EXTENT_BACKED : EXTENT_UNBACKED;
	struct rb_root *tree = backed ? &arena->backed : &arena->unbacked;
	struct slabshm_extent *spare, *extent;

	/* Who gives memory back must not fail at the limit */
	spare = slabshm_extent_create(arena, sizeof(*spare), true);
	if (IS_ERR(spare))
		return spare;
	spin_lock(&arena->lock);
	if (backed)
		runs_end_empty(arena);
	extent = min > 1 ? slabshm_extent_fit(tree, min, 1) : slabshm_extent_largest(tree);
	if (extent) {
		slabshm_extent_remove(arena, extent);
		if (extent->npages > max) {
			struct slabshm_extent *rest = extent;

			extent = spare;
			spare = NULL;
			slabshm_extent_cut(arena, rest, max, extent);
			slabshm_extent_insert(arena, rest, state);
		}
		if (backed)
			arena->backed_pages -= extent->npages;
		*page = extent->page;
		*npages = extent->npages;
	}
	spin_unlock(&arena->lock);
	slabshm_extent_destroy(arena, spare);
	return extent;
}

/**
 * slabshm_arena_next_unbacked() - look at one free range without memory after another
 * @arena: whose
 * @page: 0 to begin with, then where the last one starts; moved on
 * @npages: 0 to begin with, then how many pages it has; moved on
 *
 * Context: takes the arena's lock.  Ranges that come and go meanwhile may be told
 * or not.
 * Return: whether there is one more.
 */
bool slabshm_arena_next_unbacked(struct slabshm_arena *arena,
				 unsigned long *page, unsigned long *npages)
{
	struct slabshm_extent *next;

	spin_lock(&arena->lock);
	next = slabshm_extent_behind(&arena->unbacked, *page, *npages);
	if (next) {
		*page = next->page;
		*npages = next->npages;
	}
	spin_unlock(&arena->lock);
	return next;
}

/**
 * slabshm_arena_put() - give back what slabshm_arena_take() took
 * @arena: whose
 * @extent: what was taken; not to be used any more
 * @backed: whether there is memory behind it now
 *
 * Context: takes the arena's lock.
 */
void slabshm_arena_put(struct slabshm_arena *arena,
		       struct slabshm_extent *extent, bool backed)
{
	spin_lock(&arena->lock);
	if (backed)
		arena->backed_pages += extent->npages;
	slabshm_extent_insert(arena, extent, backed ? EXTENT_BACKED : EXTENT_UNBACKED);
	spin_unlock(&arena->lock);
}

/*
 * Blocks of an owner
 */

/*
 * Drop the lock to make the descriptors that block @i of @req takes.  Nobody shall
 * free what was not handed out yet: the blocks before it become claimed, from @kept on.
 */
static noinline int blocks_refill(struct slabshm_arena *arena,
				  const struct slabshm_request *req,
				  unsigned int *kept, unsigned int i, u64 align,
				  struct spares *spares)
	__releases(&arena->lock) __acquires(&arena->lock)
{
	struct block_ref ref;
	int err;

	lockdep_assert_held(&arena->lock);

	for (; *kept < i; ++*kept)
		if (block_at(arena, req[*kept].offset, &ref))
			block_mark(&ref, BLOCK_CLAIMED);
	spin_unlock(&arena->lock);
	err = spares_fill(arena, spares, req[i].size, align);
	spin_lock(&arena->lock);
	return err;
}

/* All are there: the first @n need not be claimed any more. */
static noinline void blocks_refilled(struct slabshm_arena *arena,
				     const struct slabshm_request *req, unsigned int n)
{
	struct block_ref ref;

	lockdep_assert_held(&arena->lock);

	while (n--)
		if (block_at(arena, req[n].offset, &ref))
			block_mark(&ref, BLOCK_OWNED);
}

/* There are not all: the first @n go. */
static noinline void blocks_undo(struct slabshm_arena *arena,
				 const struct slabshm_request *req, unsigned int n)
{
	struct block_ref ref;

	lockdep_assert_held(&arena->lock);

	while (n--)
		if (block_at(arena, req[n].offset, &ref))
			block_free(arena, &ref);
}

/* slabshm_arena_alloc(), for a number of blocks that the compiler may know */
static __always_inline int
blocks_alloc(struct slabshm_arena *arena, struct slabshm_owner *owner,
	     struct slabshm_request *req, unsigned int n, u64 align,
	     struct slabshm_claim *claim, unsigned long *need)
{
	struct spares spares = { .want = n };
	struct block_ref ref;
	unsigned int i, kept = 0, class = 0;
	u64 todo = 0, asked = 0;
	int err = 0;

	if (align & (align - 1) || align > SLABSHM_ALIGN_MAX)
		return -EINVAL;
	align = max_t(u64, align, SLABSHM_GRANULE);
	for (i = 0; i < n; i++) {
		/* Mostly all are of one size */
		if (i && req[i].size == asked) {
			req[i].size = req[i - 1].size;
			todo += req[i].size;
			continue;
		}
		asked = req[i].size;
		if (!req[i].size)
			return -EINVAL;
		if (req[i].size > (u64)arena->max_pages << PAGE_SHIFT) {
			*need = ULONG_MAX;
			return -ENOSPC;
		}
		req[i].size = usable_size(req[i].size, align);
		todo += req[i].size;
		/* Page 0 is no block's: the first place is the next aligned */
		if (!is_small(req[i].size, align) &&
		    DIV_ROUND_UP(align, PAGE_SIZE) +
		    (req[i].size >> PAGE_SHIFT) > arena->max_pages) {
			*need = ULONG_MAX;
			return -ENOSPC;
		}
	}

	spin_lock(&arena->lock);
	/* All of it, so that no space is made in vain */
	if (owner->bytes + todo > owner->limit)
		err = -EDQUOT;
	for (i = 0; i < n && !err; ) {
		if (is_small(req[i].size, align) &&
		    slabshm_class_size[class] != req[i].size)
			class = size_class(req[i].size);
		err = block_alloc(arena, owner, req[i].size, class, align,
				  &spares, need, &req[i].offset);
		if (err == -EAGAIN) {
			err = blocks_refill(arena, req, &kept, i, align, &spares);
			/* Others may have allocated for the owner meanwhile */
			if (!err && owner->bytes + todo > owner->limit)
				err = -EDQUOT;
			if (!err)
				continue;
		}
		if (err)
			break;
		todo -= req[i].size;
		i++;
	}
	if (err)
		blocks_undo(arena, req, i);
	else if (kept)
		blocks_refilled(arena, req, kept);
	for (i = 0; claim && !err && i < n; i++) {
		claim[i].offset = req[i].offset;
		if (block_at(arena, req[i].offset, &ref))
			claim_set(&claim[i], &ref);
	}
	spin_unlock(&arena->lock);
	if (spares.run || spares.extent[0] || spares.extent[1])
		spares_drop(arena, &spares);
	return err;
}

static noinline int blocks_alloc_many(struct slabshm_arena *arena,
				      struct slabshm_owner *owner,
				      struct slabshm_request *req, unsigned int n,
				      u64 align, struct slabshm_claim *claim,
				      unsigned long *need)
{
	return blocks_alloc(arena, owner, req, n, align, claim, need);
}

/**
 * slabshm_arena_alloc() - allocate blocks, all or none
 * @arena: where
 * @owner: who will own them
 * @req: sizes in, offsets out.  The sizes are rounded up to what may be used,
 *	also if the call fails, which does not change what a second try gives
 * @n: how many, at most %SLABSHM_BATCH_MAX
 * @align: 0, or a power of two up to %SLABSHM_ALIGN_MAX
 * @claim: NULL; or @n claims to fill in: then the blocks stay claimed
 * @need: on -ENOSPC set to the pages in a row that were not to be found;
 *	ULONG_MAX if it can never be
 *
 * Context: may sleep; takes the arena's lock, and drops it for a while if
 * memory is needed.
 * Return: 0; -EINVAL a size of 0, or a bad alignment; -EDQUOT the owner's
 * limit; -ENOSPC; -ENOMEM.
 */
int slabshm_arena_alloc(struct slabshm_arena *arena,
			struct slabshm_owner *owner,
			struct slabshm_request *req, unsigned int n,
			u64 align, struct slabshm_claim *claim,
			unsigned long *need)
{
	/* One block, as most calls want, need not pay for the room of many */
	if (n == 1)
		return blocks_alloc(arena, owner, req, 1, align, claim, need);
	return blocks_alloc_many(arena, owner, req, n, align, claim, need);
}

/**
 * slabshm_arena_free() - free blocks of an owner, all or none
 * @arena: where
 * @owner: whose they should be
 * @claim: their offsets
 * @n: how many, at most %SLABSHM_BATCH_MAX
 * @failed: on error set to the index of the block that was refused
 *
 * Context: takes the arena's lock.
 * Return: 0; -EINVAL no block starts there, or it stands there twice; -EPERM
 * it is another's; -EBUSY it is published, or claimed by another call.
 */
int slabshm_arena_free(struct slabshm_arena *arena,
		       struct slabshm_owner *owner,
		       struct slabshm_claim *claim, unsigned int n,
		       unsigned int *failed)
{
	struct block_ref ref;
	unsigned int i;
	int err = 0;

	spin_lock(&arena->lock);
	if (n == 1) {
		err = block_owned(arena, owner, claim, 0, &ref);
		if (err)
			*failed = 0;
		else
			block_free(arena, &ref);
		goto unlock;
	}
	/* Claimed first, so that each is freed once, and only if all can be */
	for (i = 0; i < n; i++) {
		err = block_claim(arena, owner, claim, i, &ref);
		if (err) {
			*failed = i;
			break;
		}
	}
	while (i--) {
		if (err) {
			block_unclaim(&claim[i]);
		} else {
			ref = claim_ref(&claim[i]);
			block_free(arena, &ref);
		}
	}
unlock:
	spin_unlock(&arena->lock);
	return err;
}

/*
 * Free all blocks of @extent that are not published, and the run if it is empty
 * then.  How many were these, or 1?
 */
static unsigned int extent_release(struct slabshm_arena *arena,
				   struct slabshm_owner *owner,
				   struct slabshm_extent *extent)
{
	struct slabshm_run *run;
	struct block_ref ref;
	unsigned int n;
	u64 size;

	if (extent->state == EXTENT_LARGE) {
		WARN_ON_ONCE(extent->block != BLOCK_OWNED);
		if (block_find(arena, (u64)extent->page << PAGE_SHIFT, &ref))
			block_free(arena, &ref);
		return 1;
	}
	run = extent_run(extent);
	WARN_ON_ONCE(!bitmap_empty(run->claimed, RUN_BLOCKS));
	bitmap_zero(run->claimed, RUN_BLOCKS);
	bitmap_set(run->free, 0, run->nblocks);
	bitmap_andnot(run->free, run->free, run->published, RUN_BLOCKS);

	n = run->nheld;
	size = slabshm_class_size[run->class];
	arena->bytes -= n * size;
	arena->blocks -= n;
	owner_uncharge(owner, n, size);
	run->nfree += n;
	run->nheld = 0;
	if (run->nfree == run->nblocks)
		run_end(arena, run);
	else
		run_settle(arena, run, true);
	return n ?: 1;
}

/* A run or a large block of the owner's, or NULL. */
static struct slabshm_extent *owner_first(struct slabshm_owner *owner)
{
	struct list_head *list = &owner->extents;
	unsigned int class;

	if (list_empty(list))
		list = &owner->runs.full;
	for (class = 0; list_empty(list) && class < SLABSHM_NCLASSES; class++)
		list = &owner->runs.partial[class];
	return list_first_entry_or_null(list, struct slabshm_extent, list);
}

/**
 * slabshm_arena_release() - free some of the blocks that an owner still has
 * @arena: where
 * @owner: no call is under way for it
 *
 * Frees %SLABSHM_BATCH_MAX blocks, and what else is in the run of the last one.
 *
 * Context: takes the arena's lock.
 * Return: whether there are more.
 */
bool slabshm_arena_release(struct slabshm_arena *arena,
			   struct slabshm_owner *owner)
{
	struct slabshm_extent *extent;
	unsigned int n = 0;

	spin_lock(&arena->lock);
	do {
		extent = owner_first(owner);
		if (extent)
			n += extent_release(arena, owner, extent);
	} while (extent && n < SLABSHM_BATCH_MAX);
	spin_unlock(&arena->lock);
	return extent;
}

/**
 * slabshm_arena_free_bytes() - how much is free and has memory behind it
 * @arena: where
 *
 * Context: takes the arena's lock.
 * Return: bytes, in one piece or not.
 */
u64 slabshm_arena_free_bytes(struct slabshm_arena *arena)
{
	u64 bytes;

	spin_lock(&arena->lock);
	bytes = ((u64)arena->backed_pages << PAGE_SHIFT) - arena->bytes;
	spin_unlock(&arena->lock);
	return bytes;
}

/**
 * slabshm_arena_find() - which block an offset lies in
 * @arena: where
 * @offset: any number.  Of a large block only the first page is known
 * @desc: set to the block
 *
 * Context: takes the arena's lock.
 * Return: 0; -EINVAL there is no block that is in use, or it is a large one and
 * @offset is behind its first page.
 */
int slabshm_arena_find(struct slabshm_arena *arena, u64 offset,
		       struct slabshm_block_desc *desc)
{
	struct block_ref ref;
	int err = -EINVAL;

	spin_lock(&arena->lock);
	if (block_find(arena, offset, &ref) && ref.state != BLOCK_FREE) {
		desc->start = ref.start;
		desc->size = ref.size;
		desc->owner = NULL;
		if (ref.state != BLOCK_PUBLISHED)
			desc->owner = ref.extent->owner;
		err = 0;
	}
	spin_unlock(&arena->lock);
	return err;
}

/*
 * Publishing
 */

/* Make the array of records of a run that cannot end: a block is claimed. */
static int run_add_records(struct slabshm_arena *arena,
			   struct slabshm_run *run)
{
	void **records;
	int err;

	/* At most 8 bytes for each 64 of a run: never so large as to be paged */
	err = slabshm_meter_add(arena->meter, run->nblocks * sizeof(*records));
	if (err)
		return err;
	records = kcalloc(run->nblocks, sizeof(*records), SLABSHM_GFP);
	err = records ? 0 : -ENOMEM;
	spin_lock(&arena->lock);
	if (!run->records)
		swap(run->records, records);
	spin_unlock(&arena->lock);
	/* Another has made it, or there is none */
	if (records || err)
		slabshm_meter_sub(arena->meter,
				  run->nblocks * sizeof(*records));
	kfree(records);
	return err;
}

/**
 * slabshm_arena_claim() - keep others off blocks that are to be published
 * @arena: where
 * @owner: whose they should be
 * @claim: their offsets
 * @n: how many
 * @failed: on error but -ENOMEM set to the index of the block that was refused
 *
 * All or none.  What slabshm_arena_publish() needs is set aside.
 *
 * Context: may sleep; takes the arena's lock for at most %SLABSHM_BATCH_MAX
 * blocks at a time.
 * Return: 0; -EINVAL no block starts there, or it stands there twice; -EPERM
 * it is another's; -EBUSY it is published, or claimed by another call; -ENOMEM.
 */
int slabshm_arena_claim(struct slabshm_arena *arena,
			struct slabshm_owner *owner,
			struct slabshm_claim *claim, unsigned int n,
			unsigned int *failed)
{
	unsigned int i = 0;
	int err = 0;

	while (i < n && !err) {
		struct slabshm_run *run = NULL;
		struct block_ref ref;

		spin_lock(&arena->lock);
		do {
			err = block_claim(arena, owner, claim, i, &ref);
			if (err)
				break;
			if (ref.run && !ref.run->records)
				run = ref.run;
			i++;
		} while (!run && i < n && i % SLABSHM_BATCH_MAX);
		spin_unlock(&arena->lock);
		/* It does not end meanwhile, as it has a claimed block */
		if (run)
			err = run_add_records(arena, run);
	}
	if (err) {
		*failed = i;
		slabshm_arena_unclaim(arena, claim, i);
	}
	return err;
}

/**
 * slabshm_arena_unclaim() - undo slabshm_arena_claim()
 * @arena: where
 * @claim: the blocks
 * @n: how many
 *
 * Context: takes the arena's lock for at most %SLABSHM_BATCH_MAX blocks at a
 * time.
 */
void slabshm_arena_unclaim(struct slabshm_arena *arena,
			   const struct slabshm_claim *claim, unsigned int n)
{
	unsigned int i, end;

	for (i = 0; i < n; ) {
		end = min(n, i + SLABSHM_BATCH_MAX);
		spin_lock(&arena->lock);
		while (i < end)
			block_unclaim(&claim[i++]);
		spin_unlock(&arena->lock);
	}
}

/**
 * slabshm_arena_free_claimed() - undo slabshm_arena_alloc() with claims
 * @arena: where
 * @claim: the blocks
 * @n: how many, at most %SLABSHM_BATCH_MAX
 *
 * Context: takes the arena's lock; needs no memory.
 */
void slabshm_arena_free_claimed(struct slabshm_arena *arena,
				const struct slabshm_claim *claim,
				unsigned int n)
{
	struct block_ref ref;
	unsigned int i;

	spin_lock(&arena->lock);
	for (i = 0; i < n; i++) {
		ref = claim_ref(&claim[i]);
		block_free(arena, &ref);
	}
	spin_unlock(&arena->lock);
}

/**
 * slabshm_arena_publish() - a claimed block leaves its owner
 * @arena: where; its lock is held
 * @claim: the block, by slabshm_arena_claim()
 * @record: what slabshm_arena_record() shall find
 *
 * Context: does not sleep.
 */
void slabshm_arena_publish(struct slabshm_arena *arena,
			   const struct slabshm_claim *claim, void *record)
{
	struct slabshm_extent *extent = claim->extent;
	struct slabshm_run *run;

	lockdep_assert_held(&arena->lock);

	owner_uncharge(extent->owner, 1, claim->size);
	if (extent->state == EXTENT_RUN) {
		run = extent_run(extent);
		WARN_ON_ONCE(!__test_and_clear_bit(claim->index, run->claimed));
		__set_bit(claim->index, run->published);
		run->records[claim->index] = record;
		if (!--run->nheld)
			run_settle(arena, run, false);
	} else {
		list_del(&extent->list);
		extent->owner = NULL;
		extent->block = BLOCK_PUBLISHED;
		extent->record = record;
	}
}

/**
 * slabshm_arena_record() - look at a published block
 * @arena: where; its lock is held
 * @offset: where the block starts; may be any number
 * @size: set to the bytes of it that may be used
 *
 * Context: does not sleep.
 * Return: what slabshm_arena_publish() was given; NULL if no published block
 * starts there.
 */
void *slabshm_arena_record(struct slabshm_arena *arena, u64 offset, u64 *size)
{
	struct block_ref ref;

	lockdep_assert_held(&arena->lock);

	if (block_at(arena, offset, &ref) != BLOCK_PUBLISHED)
		return NULL;
	*size = ref.size;
	return ref.run ? ref.run->records[ref.index] : ref.extent->record;
}

/**
 * slabshm_arena_free_published() - free a published block
 * @arena: where; its lock is held
 * @offset: where the block starts
 *
 * Context: does not sleep, needs no memory.
 * Return: its size.
 */
u64 slabshm_arena_free_published(struct slabshm_arena *arena, u64 offset)
{
	struct block_ref ref;

	lockdep_assert_held(&arena->lock);

	if (WARN_ON_ONCE(block_at(arena, offset, &ref) != BLOCK_PUBLISHED))
		return 0;
	block_free(arena, &ref);
	return ref.size;
}

/*
 * Emptying runs
 */

/* The run that @desc was made of, if it is still one of that class. */
static struct slabshm_run *desc_run(const struct slabshm_arena *arena,
				    const struct slabshm_run_desc *desc)
{
	struct slabshm_extent *extent = slabshm_extent_at(arena, desc->page);

	lockdep_assert_held(&arena->lock);

	if (!extent || extent->state != EXTENT_RUN ||
	    extent->page != desc->page ||
	    extent_run(extent)->class != desc->class)
		return NULL;
	return extent_run(extent);
}

/**
 * slabshm_arena_runs() - runs without an owner that are neither empty nor full
 * @arena: where
 * @page: where to begin, any number; moved on
 * @end: where to end
 * @desc: room for @n
 * @n: how many at most
 *
 * Context: takes the arena's lock, for %SLABSHM_BATCH_MAX extents.
 * Return: how many there were, which may be 0 before @page has come to @end.
 */
unsigned int slabshm_arena_runs(struct slabshm_arena *arena,
				unsigned long *page, unsigned long end,
				struct slabshm_run_desc *desc, unsigned int n)
{
	unsigned int i = 0, looked;

	BUILD_BUG_ON(SLABSHM_SIZE_MAX >> PAGE_SHIFT > U32_MAX);
	BUILD_BUG_ON(SLABSHM_NCLASSES > BIT(5) || RUN_BLOCKS >= BIT(13));
	spin_lock(&arena->lock);
	for (looked = 0; looked < SLABSHM_BATCH_MAX && i < n && *page < end;
	     looked++) {
		struct slabshm_extent *extent = slabshm_extent_at(arena, *page);
		struct slabshm_run *run;

		if (!extent) {
			/* Where the last call ended there is another by now */
			++*page;
			continue;
		}
		*page = extent->page + extent->npages;
		if (extent->state != EXTENT_RUN || extent->owner)
			continue;
		run = extent_run(extent);
		if (!run->nfree || run->nfree == run->nblocks)
			continue;
		desc[i].page = extent->page;
		desc[i].class = run->class;
		desc[i].used = run->nblocks - run->nfree;
		desc[i].free = run->nfree;
		i++;
	}
	spin_unlock(&arena->lock);
	return i;
}

/**
 * slabshm_arena_avoid() - a run is being emptied
 * @arena: where
 * @desc: the run, which may be gone
 *
 * Others get blocks of it only if there are no more in runs of its class.
 *
 * Context: takes the arena's lock.
 */
void slabshm_arena_avoid(struct slabshm_arena *arena,
			 const struct slabshm_run_desc *desc)
{
	struct slabshm_run *run;

	spin_lock(&arena->lock);
	run = desc_run(arena, desc);
	if (run && !run->extent.owner && run->nfree)
		list_move_tail(&run->extent.list,
			       &arena->runs.partial[run->class]);
	spin_unlock(&arena->lock);
}

/**
 * slabshm_arena_alloc_in() - allocate and claim a block of a run
 * @arena: where
 * @owner: who will own it
 * @desc: the run
 * @claim: set to the block
 *
 * Context: takes the arena's lock; needs no memory.
 * Return: 0; -ENOSPC it is full, gone, or another's; -EDQUOT the owner's limit.
 */
int slabshm_arena_alloc_in(struct slabshm_arena *arena,
			   struct slabshm_owner *owner,
			   const struct slabshm_run_desc *desc,
			   struct slabshm_claim *claim)
{
	const u32 size = slabshm_class_size[desc->class];
	struct block_ref ref;
	struct slabshm_run *run;
	int err = -ENOSPC;

	spin_lock(&arena->lock);
	run = desc_run(arena, desc);
	/* Without records no block of it was published yet */
	if (!run || !run->nfree || !run->records ||
	    (run->extent.owner && run->extent.owner != owner))
		goto unlock;
	err = -EDQUOT;
	if (owner->bytes + size > owner->limit)
		goto unlock;
	err = 0;
	if (!run->extent.owner) {
		run->extent.owner = owner;
		list_move(&run->extent.list, &owner->runs.partial[run->class]);
	}
	if (run == arena->empty[run->class])
		arena->empty[run->class] = NULL;
	ref = (struct block_ref){
		.extent = &run->extent,
		.run = run,
		.index = run_take(run, owner),
		.size = size,
	};
	claim->offset = ((u64)run->extent.page << PAGE_SHIFT) +
			ref.index * size;
	claim_set(claim, &ref);
	owner->bytes += size;
	owner->blocks++;
	arena->bytes += size;
	arena->blocks++;
unlock:
	spin_unlock(&arena->lock);
	return err;
}

/**
 * slabshm_arena_run_records() - some of the published blocks of a run
 * @arena: where; its lock is held
 * @desc: the run
 * @index: which block of it to begin with, moved on
 * @record: room for @n of what slabshm_arena_publish() was given
 * @n: how many at most
 *
 * Context: does not sleep.
 * Return: how many there were, 0 at the end; -ENOENT the run is gone, or has an
 * owner.
 */
int slabshm_arena_run_records(struct slabshm_arena *arena,
			      const struct slabshm_run_desc *desc,
			      unsigned int *index, void **record,
			      unsigned int n)
{
	struct slabshm_run *run = desc_run(arena, desc);
	unsigned int i = 0;

	if (!run || run->extent.owner)
		return -ENOENT;
	for (; i < n && *index < run->nblocks; ++*index)
		if (test_bit(*index, run->published))
			record[i++] = run->records[*index];
	return i;
}
