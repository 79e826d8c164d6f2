// SPDX-License-Identifier: GPL-2.0
/*
 * Runs, and the free space besides those that are kept empty.
 */
#include <linux/bitmap.h>
#include <linux/err.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/slabshm.h>

#include "run.h"
#include "user.h"

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
 * KiB of a full-length run of each class: the least from 16 that wastes no more
 * than 3 % at its end and holds 8 blocks, above 8 KiB 4 blocks.
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

/* A new run is at most this fraction of the owner's bytes, unless very short */
#define RUN_SHARE	512

void slabshm_runs_init(struct slabshm_runs *runs)
{
	unsigned int class;

	for (class = 0; class < SLABSHM_NCLASSES; class++)
		INIT_LIST_HEAD(&runs->partial[class]);
	INIT_LIST_HEAD(&runs->full);
}

/* Let all pages of a run point to @extent, and show users @what they are. */
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
void slabshm_run_end(struct slabshm_arena *arena, struct slabshm_run *run)
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

void slabshm_runs_end_empty(struct slabshm_arena *arena)
{
	unsigned int class;

	lockdep_assert_held(&arena->lock);

	for (class = 0; class < SLABSHM_NCLASSES; class++)
		if (arena->empty[class])
			slabshm_run_end(arena, arena->empty[class]);
}

/* The best fit for @npages; ends the runs that are kept empty if there is none. */
struct slabshm_extent *slabshm_run_space(struct slabshm_arena *arena,
					 unsigned long npages,
					 unsigned long align)
{
	struct slabshm_extent *space;

	space = slabshm_extent_fit(&arena->backed, npages, align);
	if (!space) {
		slabshm_runs_end_empty(arena);
		space = slabshm_extent_fit(&arena->backed, npages, align);
	}
	return space;
}

/*
 * Pages of a new run, for @want blocks or more.  An owner has some runs with free
 * blocks in each class that it uses.  To keep these from taking more than its
 * blocks, an owner of little gets short runs, which waste less than 1/16.
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
 * Make a run of free blocks, without an owner and in no list.  Where space is
 * fragmented, a shorter one will do.
 */
struct slabshm_run *slabshm_run_create(struct slabshm_arena *arena,
				       const struct slabshm_owner *owner,
				       unsigned int class,
				       struct slabshm_spares *spares,
				       unsigned long *need)
{
	unsigned long npages = run_pages(owner, class, spares->want), nblocks = 0;
	const u32 size = slabshm_class_size[class];
	struct slabshm_extent *space, *extent;
	struct slabshm_run *run;

	space = slabshm_run_space(arena, npages, 1);
	if (!space)
		space = slabshm_extent_largest(&arena->backed);
	if (space)
		nblocks = min(npages, space->npages) * PAGE_SIZE / size;
	if (!nblocks) {
		*need = npages;
		return ERR_PTR(-ENOSPC);
	}
	extent = slabshm_spare_take(&spares->runs);
	if (!extent)
		return ERR_PTR(-EAGAIN);

	npages = DIV_ROUND_UP(nblocks * size, PAGE_SIZE);
	slabshm_extent_remove(arena, space);
	if (space->npages > npages) {
		slabshm_extent_cut(arena, space, npages, extent);
		slabshm_extent_insert(arena, space, EXTENT_BACKED);
	} else {
		extent->page = space->page;
		extent->npages = npages;
		slabshm_extent_destroy(arena, space);
	}
	extent->state = EXTENT_RUN;
	INIT_LIST_HEAD(&extent->list);
	run = extent_run(extent);
	run->class = class;
	run->nblocks = nblocks;
	run->nfree = nblocks;
	bitmap_set(run->free, 0, nblocks);
	run_mark(arena, run, extent, class + 1);
	return run;
}

/*
 * After blocks of a run were freed or published: give it the owner and the place
 * that it now should have.  @move: it may be in the wrong list.
 */
void slabshm_run_settle(struct slabshm_arena *arena, struct slabshm_run *run,
			bool move)
{
	struct slabshm_runs *runs = &arena->runs;

	if (run->nfree == run->nblocks) {
		if (arena->empty[run->class] && arena->empty[run->class] != run) {
			slabshm_run_end(arena, run);
			return;
		}
		/* The owner keeps it in its list until another wants it */
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
 * Space
 */

/* Free pages with memory at the end of the space, which is at page @end. */
unsigned long slabshm_arena_tail(struct slabshm_arena *arena, unsigned long end)
{
	struct slabshm_extent *extent = NULL;
	unsigned long npages = 0;

	spin_lock(&arena->lock);
	slabshm_runs_end_empty(arena);
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
 * @min: pages it must have: the best fit, but the largest for 0 or 1
 * @max: pages it may have, at least 1 and @min; the rest is left
 * @page: set to the first page of the range
 * @npages: set to the number of pages
 *
 * Until slabshm_arena_put() nobody else gets any of it, and it does not count
 * in slabshm_arena.backed_pages.
 *
 * Return: the range; NULL if there is none; ERR_PTR(-ENOMEM).
 */
struct slabshm_extent *slabshm_arena_take(struct slabshm_arena *arena,
					  bool backed, unsigned long min,
					  unsigned long max,
					  unsigned long *page,
					  unsigned long *npages)
{
	struct rb_root *tree = backed ? &arena->backed : &arena->unbacked;
	struct slabshm_extent *spare, *extent;

	/* Callers give memory back: do not fail at the limit */
	spare = slabshm_extent_create(arena, sizeof(*spare), true);
	if (IS_ERR(spare))
		return spare;
	spin_lock(&arena->lock);
	if (backed)
		slabshm_runs_end_empty(arena);
	extent = min > 1 ? slabshm_extent_fit(tree, min, 1) :
			   slabshm_extent_largest(tree);
	if (extent) {
		slabshm_extent_remove(arena, extent);
		if (extent->npages > max) {
			slabshm_extent_cut(arena, extent, max, spare);
			slabshm_extent_insert(arena, extent, backed ?
					      EXTENT_BACKED : EXTENT_UNBACKED);
			extent = spare;
			spare = NULL;
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

/* Free bytes with memory behind them, fragmented or not. */
u64 slabshm_arena_free_bytes(struct slabshm_arena *arena)
{
	u64 bytes;

	spin_lock(&arena->lock);
	bytes = ((u64)arena->backed_pages << PAGE_SHIFT) - arena->bytes;
	spin_unlock(&arena->lock);
	return bytes;
}

/*
 * Emptying runs
 */

/* The run that @desc was made of, if it is still one of that class. */
struct slabshm_run *slabshm_run_at(const struct slabshm_arena *arena,
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
 * @desc: array of @n
 * @n: how many at most
 *
 * Context: takes the arena's lock, for %SLABSHM_BATCH_MAX extents.
 * Return: how many there were, which may be 0 before @page has come to @end.
 */
unsigned int slabshm_arena_runs(struct slabshm_arena *arena,
				unsigned long *page, unsigned long end,
				struct slabshm_run_desc *desc, unsigned int n)
{
	unsigned int i = 0, scanned;

	BUILD_BUG_ON(SLABSHM_SIZE_MAX >> PAGE_SHIFT > U32_MAX);
	BUILD_BUG_ON(SLABSHM_NCLASSES > BIT(5) || RUN_BLOCKS >= BIT(13));
	spin_lock(&arena->lock);
	for (scanned = 0; scanned < SLABSHM_BATCH_MAX && i < n && *page < end;
	     scanned++) {
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

/*
 * A run, which may be gone, is being emptied: others get blocks of it only if
 * there are no more in runs of its class.
 */
void slabshm_arena_avoid(struct slabshm_arena *arena,
			 const struct slabshm_run_desc *desc)
{
	struct slabshm_run *run;

	spin_lock(&arena->lock);
	run = slabshm_run_at(arena, desc);
	if (run && !run->extent.owner && run->nfree)
		list_move_tail(&run->extent.list,
			       &arena->runs.partial[run->class]);
	spin_unlock(&arena->lock);
}

/**
 * slabshm_arena_run_records() - some of the published blocks of a run
 * @arena: where; its lock is held
 * @desc: the run
 * @index: which block of it to begin with, moved on
 * @record: array of @n, for what slabshm_arena_publish() was given
 * @n: how many at most
 *
 * Return: how many there were, 0 at the end; -ENOENT the run is gone, or has an
 * owner.
 */
int slabshm_arena_run_records(struct slabshm_arena *arena,
			      const struct slabshm_run_desc *desc,
			      unsigned int *index, void **record,
			      unsigned int n)
{
	struct slabshm_run *run = slabshm_run_at(arena, desc);
	unsigned int i = 0;

	if (!run || run->extent.owner)
		return -ENOENT;
	for (; i < n && *index < run->nblocks; ++*index)
		if (test_bit(*index, run->published))
			record[i++] = run->records[*index];
	return i;
}
