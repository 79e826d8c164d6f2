// SPDX-License-Identifier: GPL-2.0
/*
 * The allocator of a slab.  arena.h says what it does; this is how.
 *
 * From the bottom up: extent.c cuts page ranges, and joins free ones; run.c makes
 * and ends extents that hold small blocks; here, blocks are found by offset and
 * change state, and on top of that are the calls.
 */
#include <linux/err.h>
#include <linux/log2.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/slabshm.h>

#include "run.h"
#include "user.h"

/* Small blocks are of at most this size, and aligned to at most a page */
#define SMALL_MAX	16384

/* Large blocks of up to so many bytes have classes, too, one for each page */
#define CLASS_MAX	65536
#define SMALL_PAGES	(SMALL_MAX / PAGE_SIZE)
#define NLARGE		(CLASS_MAX / PAGE_SIZE - SMALL_PAGES)

enum block_state {
	BLOCK_FREE,		/* or there is none */
	BLOCK_OWNED,
	BLOCK_CLAIMED,
	BLOCK_PUBLISHED,
};

/*
 * Blocks.  A struct slabshm_claim names one, claimed or not, for as long as the
 * lock is held.
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

/* What users see of the first page of a large block. */
static u8 large_class(unsigned long npages)
{
	/* Small but for their alignment: beyond all classes */
	unsigned long i = npages - SMALL_PAGES - 1;

	return i < NLARGE ? SLABSHM_NCLASSES + i + 1 : SLABSHM_PAGE_EXTENT;
}

/* The run of a block, NULL for a large one. */
static struct slabshm_run *block_run(const struct slabshm_claim *block)
{
	return block->extent->state == EXTENT_RUN ? extent_run(block->extent) :
						    NULL;
}

/*
 * The block that @offset lies in, which may be any number, and its state.  Of a
 * large block only the first page is known.
 */
static __always_inline enum block_state
block_find(const struct slabshm_arena *arena, u64 offset,
	   struct slabshm_claim *block)
{
	struct slabshm_extent *extent;
	struct slabshm_run *run;
	u32 size, index;
	u64 start;

	lockdep_assert_held(&arena->lock);

	extent = slabshm_extent_at(arena, offset >> PAGE_SHIFT);
	if (!extent)
		return BLOCK_FREE;
	block->extent = extent;
	start = (u64)extent->page << PAGE_SHIFT;
	if (extent->state == EXTENT_LARGE) {
		block->offset = start;
		block->size = (u64)extent->npages << PAGE_SHIFT;
		block->index = 0;
		return offset >> PAGE_SHIFT == extent->page ? extent->block :
							      BLOCK_FREE;
	}
	if (extent->state != EXTENT_RUN)
		return BLOCK_FREE;
	run = extent_run(extent);
	size = slabshm_class_size[run->class];
	index = (u32)(offset - start) / size;
	block->offset = start + index * size;
	block->size = size;
	block->index = index;
	if (index >= run->nblocks || test_bit(index, run->free))
		return BLOCK_FREE;
	if (test_bit(index, run->published))
		return BLOCK_PUBLISHED;
	return test_bit(index, run->claimed) ? BLOCK_CLAIMED : BLOCK_OWNED;
}

/* The same for the block that starts at @offset. */
static __always_inline enum block_state
block_at(const struct slabshm_arena *arena, u64 offset,
	 struct slabshm_claim *block)
{
	enum block_state state = block_find(arena, offset, block);

	return state != BLOCK_FREE && block->offset == offset ? state :
								BLOCK_FREE;
}

/* From owned to claimed and back; for other ways there is more to do. */
static __always_inline void block_mark(const struct slabshm_claim *block,
				       enum block_state state)
{
	struct slabshm_run *run = block_run(block);

	if (run)
		__assign_bit(block->index, run->claimed, state == BLOCK_CLAIMED);
	else
		block->extent->block = state;
}

/* @n blocks of @size bytes each leave their owner. */
static void owner_uncharge(struct slabshm_owner *owner, unsigned int n, u64 size)
{
	owner->bytes -= n * size;
	owner->blocks -= n;
}

/* Free a block that is published, or owned or claimed. */
static __always_inline void block_free(struct slabshm_arena *arena,
				       const struct slabshm_claim *block,
				       bool published)
{
	struct slabshm_extent *extent = block->extent;
	struct slabshm_run *run = block_run(block);

	arena->bytes -= block->size;
	arena->blocks--;
	if (!published)
		owner_uncharge(extent->owner, 1, block->size);

	if (!run) {
		if (!published)
			list_del(&extent->list);
		extent->owner = NULL;
		extent->record = NULL;
		extent->state = EXTENT_TAKEN;
		slabshm_page_show(arena, extent->page, SLABSHM_PAGE_NONE);
		slabshm_extent_insert(arena, extent, EXTENT_BACKED);
		return;
	}
	__set_bit(block->index, run->free);
	if (published) {
		__clear_bit(block->index, run->published);
	} else {
		__clear_bit(block->index, run->claimed);
		run->nheld--;
	}
	run->nfree++;
	if (run->nfree == 1 || run->nfree == run->nblocks ||
	    (!run->nheld && extent->owner))
		slabshm_run_settle(arena, run, run->nfree == 1);
}

static void charge(struct slabshm_arena *arena, struct slabshm_owner *owner,
		   u64 size)
{
	owner->bytes += size;
	owner->blocks++;
	arena->bytes += size;
	arena->blocks++;
}

/* Take a free block of a run, which has one and is the owner's or nobody's. */
static __always_inline void run_take(struct slabshm_arena *arena,
				     struct slabshm_owner *owner,
				     struct slabshm_run *run,
				     struct slabshm_claim *block)
{
	const u32 size = slabshm_class_size[run->class];
	unsigned int word = 0, index;

	if (run->extent.owner != owner) {
		run->extent.owner = owner;
		list_move(&run->extent.list, &owner->runs.partial[run->class]);
	}
	if (run == arena->empty[run->class])
		arena->empty[run->class] = NULL;
	/* There is one: find_first_bit() would ask for the end each time */
	while (!run->free[word])
		word++;
	index = word * BITS_PER_LONG + __ffs(run->free[word]);
	run->free[word] &= run->free[word] - 1;
	run->nheld++;
	if (!--run->nfree)
		list_move(&run->extent.list, &owner->runs.full);
	block->offset = ((u64)run->extent.page << PAGE_SHIFT) + index * size;
	block->extent = &run->extent;
	block->size = size;
	block->index = index;
}

/*
 * A small block: from a run of the owner's, one of nobody's, one that is kept
 * empty, or a new one.
 */
static __always_inline int
small_alloc(struct slabshm_arena *arena, struct slabshm_owner *owner,
	    unsigned int class, struct slabshm_spares *spares, unsigned long *need,
	    struct slabshm_claim *block)
{
	struct slabshm_run *run = run_partial(&owner->runs, class) ?:
				  run_partial(&arena->runs, class) ?:
				  arena->empty[class];

	if (!run)
		run = slabshm_run_create(arena, owner, class, spares, need);
	if (IS_ERR(run))
		return PTR_ERR(run);
	run_take(arena, owner, run, block);
	return 0;
}

/* A large block: the best fit, without what alignment leaves on both sides. */
static noinline int large_alloc(struct slabshm_arena *arena,
				struct slabshm_owner *owner,
				unsigned long npages, unsigned long align,
				struct slabshm_spares *spares, unsigned long *need,
				struct slabshm_claim *block)
{
	struct slabshm_extent *extent, *head = NULL, *tail = NULL;
	unsigned long skip;

	extent = slabshm_run_space(arena, npages, align);
	if (!extent) {
		*need = npages + align - 1;
		return -ENOSPC;
	}
	skip = ALIGN(extent->page, align) - extent->page;
	if (skip) {
		head = slabshm_spare_take(&spares->extents);
		if (!head)
			return -EAGAIN;
	}
	if (skip + npages < extent->npages) {
		tail = slabshm_spare_take(&spares->extents);
		if (!tail)
			goto put_head;
	}

	slabshm_extent_remove(arena, extent);
	if (head) {
		slabshm_extent_cut(arena, extent, skip, head);
		slabshm_extent_insert(arena, head, EXTENT_BACKED);
	}
	if (tail) {
		slabshm_extent_cut(arena, extent, npages, tail);
		slabshm_extent_insert(arena, extent, EXTENT_BACKED);
		extent = tail;
	}
	extent->state = EXTENT_LARGE;
	extent->block = BLOCK_OWNED;
	extent->owner = owner;
	list_add(&extent->list, &owner->extents);
	slabshm_page_show(arena, extent->page, large_class(npages));
	block->offset = (u64)extent->page << PAGE_SHIFT;
	block->extent = extent;
	block->size = (u64)npages << PAGE_SHIFT;
	block->index = 0;
	return 0;

put_head:
	if (head) {
		head->next = spares->extents;
		spares->extents = head;
	}
	return -EAGAIN;
}

/* Why @claim[@i] cannot be claimed, whose block is in use. */
static noinline int claim_error(const struct slabshm_owner *owner,
				const struct slabshm_claim *claim,
				unsigned int i, enum block_state state)
{
	unsigned int j;

	if (state == BLOCK_PUBLISHED)
		return -EBUSY;
	if (claim[i].extent->owner != owner)
		return -EPERM;
	for (j = 0; j < i; j++)
		if (claim[j].offset == claim[i].offset)
			return -EINVAL;
	return -EBUSY;
}

/* Claim the block at @claim[@i].offset; those before it are claimed. */
static __always_inline int block_claim(struct slabshm_arena *arena,
				       const struct slabshm_owner *owner,
				       struct slabshm_claim *claim,
				       unsigned int i)
{
	enum block_state state = block_at(arena, claim[i].offset, &claim[i]);

	if (state == BLOCK_FREE)
		return -EINVAL;
	if (state != BLOCK_OWNED || claim[i].extent->owner != owner)
		return claim_error(owner, claim, i, state);
	block_mark(&claim[i], BLOCK_CLAIMED);
	return 0;
}

/*
 * Life of an arena
 */

/* Fill in the block sizes that page maps refer to: %SLABSHM_CLASSES_MAX. */
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

/* An arena without any space. */
int slabshm_arena_init(struct slabshm_arena *arena, unsigned long max_pages,
		       struct slabshm_meter *meter)
{
	unsigned long nchunks = DIV_ROUND_UP(max_pages, CHUNK_PAGES);
	int err;

	/* slabshm_extent_destroy() frees either */
	BUILD_BUG_ON(offsetof(struct slabshm_run, extent));
	if (!max_pages || max_pages > SLABSHM_SIZE_MAX >> PAGE_SHIFT)
		return -EINVAL;
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
	slabshm_runs_init(&arena->runs);
	return 0;
}

static void chunk_free(void *chunk)
{
	kfree(chunk);
}

/* Free all metadata, whatever state the blocks are in.  May take long. */
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

/* An owner without blocks.  It ends when slabshm_arena_release() has taken them all. */
void slabshm_owner_init(struct slabshm_owner *owner, u64 limit)
{
	slabshm_runs_init(&owner->runs);
	INIT_LIST_HEAD(&owner->extents);
	owner->bytes = 0;
	owner->blocks = 0;
	owner->limit = limit;
}

/*
 * Blocks of an owner
 */

/* Can there be such a block?  Page 0 is no block's: it starts at the next aligned. */
static bool has_place(const struct slabshm_arena *arena, u64 size, u64 align)
{
	if (size > (u64)arena->max_pages << PAGE_SHIFT)
		return false;
	size = usable_size(size, align);
	return is_small(size, align) ||
	       DIV_ROUND_UP(align, PAGE_SIZE) + (size >> PAGE_SHIFT) <=
	       arena->max_pages;
}

/* All of @req, whose sizes usable_size() gave, or none. */
static __always_inline int
blocks_alloc(struct slabshm_arena *arena, struct slabshm_owner *owner,
	     struct slabshm_request *req, unsigned int n, u64 align, u64 total,
	     struct slabshm_spares *spares, struct slabshm_claim *claim,
	     unsigned long *need)
{
	struct slabshm_claim block __uninitialized;
	unsigned int i, class = 0;
	int err;

	lockdep_assert_held(&arena->lock);

	if (owner->bytes + total > owner->limit)
		return -EDQUOT;
	for (i = 0; i < n; i++) {
		if (is_small(req[i].size, align)) {
			if (slabshm_class_size[class] != req[i].size)
				class = size_class(req[i].size);
			err = small_alloc(arena, owner, class, spares, need,
					  &block);
		} else {
			err = large_alloc(arena, owner, req[i].size >> PAGE_SHIFT,
					  DIV_ROUND_UP(align, PAGE_SIZE), spares,
					  need, &block);
		}
		if (err)
			goto undo;
		charge(arena, owner, req[i].size);
		req[i].offset = block.offset;
		if (claim) {
			claim[i] = block;
			block_mark(&block, BLOCK_CLAIMED);
		}
	}
	return 0;

undo:
	while (i--)
		if (block_at(arena, req[i].offset, &block) != BLOCK_FREE)
			block_free(arena, &block, false);
	return err;
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
 * @need: on -ENOSPC set to the contiguous pages that were not found; ULONG_MAX if
 *	they never can be
 *
 * Context: may sleep; takes the arena's lock.
 * Return: 0; -EINVAL a size of 0, or a bad alignment; -EDQUOT the owner's limit,
 * or that of the slab's user; -ENOSPC; -ENOMEM.
 */
int slabshm_arena_alloc(struct slabshm_arena *arena,
			struct slabshm_owner *owner,
			struct slabshm_request *req, unsigned int n,
			u64 align, struct slabshm_claim *claim,
			unsigned long *need)
{
	u64 size = 0, usable = 0, total = 0;
	unsigned int i, more, nsmall = 0;
	struct slabshm_spares spares = { .want = n };
	int err;

	if (align & (align - 1) || align > SLABSHM_ALIGN_MAX)
		return -EINVAL;
	align = max_t(u64, align, SLABSHM_GRANULE);
	for (i = 0; i < n; i++) {
		/* Mostly all are of one size */
		if (!i || req[i].size != size) {
			size = req[i].size;
			if (!size)
				return -EINVAL;
			if (!has_place(arena, size, align)) {
				*need = ULONG_MAX;
				return -ENOSPC;
			}
			usable = usable_size(size, align);
		}
		req[i].size = usable;
		nsmall += is_small(usable, align);
		total += usable;
	}

	/*
	 * Descriptors are made before the lock is taken.  Mostly no run is needed,
	 * but an extent for what a large block leaves over (aligned, also before
	 * it).  An attempt that lacks one undoes itself, and the next one has twice
	 * as many.
	 */
	for (more = DIV_ROUND_UP(n, 16); ; more *= 2) {
		int filled = 0;

		/* If that fails, perhaps none is needed, or there is no space */
		if (nsmall < n)
			filled = slabshm_spares_fill(arena, &spares.extents,
						     min(more, n - nsmall) *
						     (align > PAGE_SIZE ? 2 : 1),
						     sizeof(struct slabshm_extent));
		spin_lock(&arena->lock);
		err = blocks_alloc(arena, owner, req, n, align, total, &spares,
				   claim, need);
		spin_unlock(&arena->lock);
		if (err != -EAGAIN)
			break;
		err = filled ?: slabshm_spares_fill(arena, &spares.runs,
						    min(more, nsmall),
						    sizeof(struct slabshm_run));
		if (err)
			break;
	}
	slabshm_spares_drop(arena, &spares.runs);
	slabshm_spares_drop(arena, &spares.extents);
	return err;
}

/**
 * slabshm_arena_free() - free blocks of an owner, all or none
 * @arena: where
 * @owner: whose they should be
 * @offset: where they start
 * @n: how many, at most %SLABSHM_BATCH_MAX
 * @failed: on error set to the index of the block that was refused
 *
 * Return: 0; -EINVAL no block starts there, or it is there twice; -EPERM it is
 * another's; -EBUSY it is published, or claimed by another call.
 */
int slabshm_arena_free(struct slabshm_arena *arena,
		       struct slabshm_owner *owner, const u64 *offset,
		       unsigned int n, unsigned int *failed)
{
	struct slabshm_claim claim[SLABSHM_BATCH_MAX] __uninitialized;
	unsigned int i;
	int err = 0;

	spin_lock(&arena->lock);
	/* Claimed first, so that each is freed once, and only if all can be */
	for (i = 0; i < n; i++) {
		claim[i].offset = offset[i];
		err = block_claim(arena, owner, claim, i);
		if (err) {
			*failed = i;
			break;
		}
	}
	while (i--) {
		if (err)
			block_mark(&claim[i], BLOCK_OWNED);
		else
			block_free(arena, &claim[i], false);
	}
	spin_unlock(&arena->lock);
	return err;
}

/* Free all blocks of @extent that are not published; how many were these, or 1? */
static unsigned int extent_release(struct slabshm_arena *arena,
				   struct slabshm_owner *owner,
				   struct slabshm_extent *extent)
{
	struct slabshm_run *run;
	unsigned int n;
	u64 size;

	if (extent->state == EXTENT_LARGE) {
		struct slabshm_claim block = {
			.extent = extent,
			.size = (u64)extent->npages << PAGE_SHIFT,
		};

		WARN_ON_ONCE(extent->block != BLOCK_OWNED);
		block_free(arena, &block, false);
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
		slabshm_run_end(arena, run);
	else
		slabshm_run_settle(arena, run, true);
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

/*
 * Free blocks of an owner that has ended: %SLABSHM_BATCH_MAX, and the rest of the
 * last one's run.  True if there are more.
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

/*
 * Which block @offset lies in, which may be any number.  -EINVAL: none in use, or
 * it is behind the first page of a large one.
 */
int slabshm_arena_find(struct slabshm_arena *arena, u64 offset,
		       struct slabshm_block_desc *desc)
{
	struct slabshm_claim block;
	enum block_state state;

	spin_lock(&arena->lock);
	state = block_find(arena, offset, &block);
	if (state != BLOCK_FREE) {
		desc->start = block.offset;
		desc->size = block.size;
		desc->owner = state == BLOCK_PUBLISHED ? NULL :
							 block.extent->owner;
	}
	spin_unlock(&arena->lock);
	return state == BLOCK_FREE ? -EINVAL : 0;
}

/*
 * Allocate and claim a block of a run.  -ENOSPC: the run is full, gone, or
 * another's; -EDQUOT: the owner's limit.
 */
int slabshm_arena_alloc_in(struct slabshm_arena *arena,
			   struct slabshm_owner *owner,
			   const struct slabshm_run_desc *desc,
			   struct slabshm_claim *claim)
{
	const u32 size = slabshm_class_size[desc->class];
	struct slabshm_run *run;
	int err = 0;

	spin_lock(&arena->lock);
	run = slabshm_run_at(arena, desc);
	/* Without records no block of it was published yet */
	if (!run || !run->nfree || !run->records ||
	    (run->extent.owner && run->extent.owner != owner)) {
		err = -ENOSPC;
	} else if (owner->bytes + size > owner->limit) {
		err = -EDQUOT;
	} else {
		run_take(arena, owner, run, claim);
		block_mark(claim, BLOCK_CLAIMED);
		charge(arena, owner, size);
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
 * Return: as slabshm_arena_free(); -ENOMEM, -EDQUOT.
 */
int slabshm_arena_claim(struct slabshm_arena *arena,
			struct slabshm_owner *owner,
			struct slabshm_claim *claim, unsigned int n,
			unsigned int *failed)
{
	unsigned int i = 0;
	int err = 0;

	while (i < n && !err) {
		struct slabshm_run *run;

		spin_lock(&arena->lock);
		do {
			err = block_claim(arena, owner, claim, i);
			if (err) {
				run = NULL;
				break;
			}
			run = block_run(&claim[i++]);
			if (run && run->records)
				run = NULL;
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

/* Undo slabshm_arena_claim(). */
void slabshm_arena_unclaim(struct slabshm_arena *arena,
			   const struct slabshm_claim *claim, unsigned int n)
{
	unsigned int i, end;

	for (i = 0; i < n; ) {
		end = min(n, i + SLABSHM_BATCH_MAX);
		spin_lock(&arena->lock);
		while (i < end)
			block_mark(&claim[i++], BLOCK_OWNED);
		spin_unlock(&arena->lock);
	}
}

/* Undo slabshm_arena_alloc() with claims. */
void slabshm_arena_free_claimed(struct slabshm_arena *arena,
				const struct slabshm_claim *claim,
				unsigned int n)
{
	unsigned int i;

	spin_lock(&arena->lock);
	for (i = 0; i < n; i++)
		block_free(arena, &claim[i], false);
	spin_unlock(&arena->lock);
}

/* A claimed block leaves its owner; slabshm_arena_record() then finds @record. */
void slabshm_arena_publish(struct slabshm_arena *arena,
			   const struct slabshm_claim *claim, void *record)
{
	struct slabshm_extent *extent = claim->extent;
	struct slabshm_run *run = block_run(claim);

	lockdep_assert_held(&arena->lock);

	owner_uncharge(extent->owner, 1, claim->size);
	if (run) {
		WARN_ON_ONCE(!__test_and_clear_bit(claim->index, run->claimed));
		__set_bit(claim->index, run->published);
		run->records[claim->index] = record;
		if (!--run->nheld)
			slabshm_run_settle(arena, run, false);
	} else {
		list_del(&extent->list);
		extent->owner = NULL;
		extent->block = BLOCK_PUBLISHED;
		extent->record = record;
	}
}

/*
 * The record and usable size of the published block that starts at @offset, which
 * may be any number; NULL if none does.
 */
void *slabshm_arena_record(struct slabshm_arena *arena, u64 offset, u64 *size)
{
	struct slabshm_claim block;
	struct slabshm_run *run;

	if (block_at(arena, offset, &block) != BLOCK_PUBLISHED)
		return NULL;
	*size = block.size;
	run = block_run(&block);
	return run ? run->records[block.index] : block.extent->record;
}

/* Free a published block; returns its size. */
u64 slabshm_arena_free_published(struct slabshm_arena *arena, u64 offset)
{
	struct slabshm_claim block;

	if (WARN_ON_ONCE(block_at(arena, offset, &block) != BLOCK_PUBLISHED))
		return 0;
	block_free(arena, &block, true);
	return block.size;
}
