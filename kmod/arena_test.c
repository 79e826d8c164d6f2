// SPDX-License-Identifier: GPL-2.0
/*
 * Unit tests of the allocator: slabshm_kunit.ko, suite slabshm_arena.
 *
 * arena.c, run.c and extent.c are part of this file, so that their invariants
 * can be checked from inside, their allocations made to fail, and things done
 * between two attempts of an allocation.  The module of the tests thus needs no
 * slabshm.ko.
 */
#include <kunit/test.h>
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>

#include "user.h"

/* Fail the Nth allocation from now; 0: none */
static unsigned int fail_at;
/* Called before each allocation that arena.c makes */
static void (*before_alloc)(void *arg);
static void *before_alloc_arg;
/* Arrays and descriptors that were not freed */
static atomic_t live;

static bool alloc_fails(void)
{
	if (before_alloc)
		before_alloc(before_alloc_arg);
	return fail_at && !--fail_at;
}

static void *test_kcalloc(size_t n, size_t size, gfp_t gfp)
{
	void *array = alloc_fails() ? NULL : kcalloc(n, size, gfp);

	if (array)
		atomic_inc(&live);
	return array;
}

static void *test_kzalloc(size_t size, gfp_t gfp)
{
	return test_kcalloc(1, size, gfp);
}

static void test_kfree(const void *p)
{
	if (p)
		atomic_dec(&live);
	kfree(p);
}

static unsigned long test_get_zeroed_page(gfp_t gfp)
{
	return alloc_fails() ? 0 : get_zeroed_page(gfp);
}

/* What the meter shows; the one of tests has no user, and no limit but this. */
static struct slabshm_meter meter;
static bool meter_full;

int slabshm_meter_add(struct slabshm_meter *m, size_t n)
{
	if (meter_full)
		return -EDQUOT;
	atomic_long_add(n, &m->bytes);
	return 0;
}

void slabshm_meter_force(struct slabshm_meter *m, size_t n)
{
	atomic_long_add(n, &m->bytes);
}

void slabshm_meter_sub(struct slabshm_meter *m, size_t n)
{
	atomic_long_sub(n, &m->bytes);
}

#undef kzalloc
#undef kcalloc
#undef get_zeroed_page
#undef kfree
#define kzalloc			test_kzalloc
#define kcalloc			test_kcalloc
#define get_zeroed_page		test_get_zeroed_page
#define kfree			test_kfree

#include "table.c"
#include "extent.c"
#include "run.c"
#include "arena.c"

#define NPAGES		4096UL		/* of the fixture's arena */
#define NOWNERS		4
#define SPACE		((u64)NPAGES << PAGE_SHIFT)
#define LIMIT		(4 * SPACE)	/* of an owner: more than there is */

struct fixture {
	struct slabshm_arena arena;
	struct slabshm_owner owner[NOWNERS];
	u8 *map;
	struct slabshm_request req[SLABSHM_BATCH_MAX];
	u64 offset[2 * SLABSHM_BATCH_MAX];
	u64 size[2 * SLABSHM_BATCH_MAX];
	struct slabshm_claim claim[2 * SLABSHM_BATCH_MAX];
	unsigned long need;
	unsigned int failed;
};

/* What the walk over an arena's pages and that over its lists both find */
struct tally {
	unsigned long extents[EXTENT_RUN + 1];
	unsigned long pages[EXTENT_RUN + 1];
	unsigned long runs;	/* in lists */
	u64 bytes;		/* in use */
	u64 blocks;
};

/*
 * The walker
 */

static void check_run(struct kunit *test, struct slabshm_arena *arena,
		      struct slabshm_run *run)
{
	unsigned int i, nfree = 0, nclaimed = 0, npublished = 0, overlap = 0;

	for (i = 0; i < RUN_BLOCKS; i++) {
		bool is_free = test_bit(i, run->free);
		bool claimed = test_bit(i, run->claimed);
		bool published = test_bit(i, run->published);

		nfree += is_free;
		nclaimed += claimed;
		npublished += published;
		overlap += is_free + claimed + published > (i < run->nblocks);
		if (published)
			overlap += !run->records;
	}
	KUNIT_ASSERT_EQ(test, overlap, 0);
	KUNIT_ASSERT_EQ(test, nfree, run->nfree);
	KUNIT_ASSERT_EQ(test, run->nheld + nfree + npublished, run->nblocks);
	KUNIT_ASSERT_GE(test, run->nheld, nclaimed);
	/* One without blocks is that of its class, and may still have an owner */
	KUNIT_ASSERT_EQ(test, nfree == run->nblocks,
			run == arena->empty[run->class]);
	if (nfree < run->nblocks)
		KUNIT_ASSERT_EQ(test, !!run->extent.owner, !!run->nheld);
	KUNIT_ASSERT_LE(test,
			run->nblocks * slabshm_class_size[run->class],
			run->extent.npages * PAGE_SIZE);
	KUNIT_ASSERT_EQ(test, run->extent.bytes, sizeof(*run));
}

/* The pages of @extent point where they should, and show what they should. */
static void check_pages(struct kunit *test, struct slabshm_arena *arena,
			struct slabshm_extent *extent)
{
	unsigned long i, wrong_pointer = 0, wrong_map = 0;

	for (i = 0; i < extent->npages; i++) {
		unsigned long page = extent->page + i;
		const u8 *map = slabshm_table_get(&arena->maps,
						  page / CHUNK_PAGES);
		struct slabshm_extent *pointer = NULL;
		u8 what = SLABSHM_PAGE_NONE;

		if (extent->state == EXTENT_RUN) {
			pointer = extent;
			what = extent_run(extent)->class + 1;
		} else if (!i || i == extent->npages - 1) {
			pointer = extent;
			if (!i && extent->state == EXTENT_LARGE)
				what = large_class(extent->npages);
		}
		wrong_pointer += slabshm_extent_at(arena, page) != pointer;
		wrong_map += map && map[page % CHUNK_PAGES] != what;
	}
	KUNIT_ASSERT_EQ(test, wrong_pointer, 0);
	KUNIT_ASSERT_EQ(test, wrong_map, 0);
}

static void check_tree(struct kunit *test, const struct rb_root *tree,
		       enum extent_state state, const struct tally *tally)
{
	struct rb_node *node, *last = NULL;
	unsigned long extents = 0, pages = 0;

	for (node = rb_first(tree); node; node = rb_next(node)) {
		struct slabshm_extent *extent;

		extent = rb_entry(node, struct slabshm_extent, node);
		KUNIT_ASSERT_EQ(test, extent->state, state);
		if (last)
			KUNIT_ASSERT_TRUE(test, extent_less(last, node));
		last = node;
		extents++;
		pages += extent->npages;
	}
	KUNIT_ASSERT_EQ(test, extents, tally->extents[state]);
	KUNIT_ASSERT_EQ(test, pages, tally->pages[state]);
}

static void check_runs(struct kunit *test, const struct slabshm_runs *runs,
		       struct slabshm_owner *owner, struct tally *tally)
{
	struct slabshm_run *run;
	unsigned int class;

	for (class = 0; class < SLABSHM_NCLASSES; class++) {
		list_for_each_entry(run, &runs->partial[class], extent.list) {
			KUNIT_ASSERT_EQ(test, run->class, class);
			KUNIT_ASSERT_NE(test, run->nfree, 0);
			KUNIT_ASSERT_PTR_EQ(test, run->extent.owner, owner);
			tally->runs++;
			tally->blocks += run->nheld;
			tally->bytes += run->nheld *
					slabshm_class_size[run->class];
		}
	}
	list_for_each_entry(run, &runs->full, extent.list) {
		KUNIT_ASSERT_EQ(test, run->nfree, 0);
		KUNIT_ASSERT_PTR_EQ(test, run->extent.owner, owner);
		tally->runs++;
		tally->blocks += run->nheld;
		tally->bytes += run->nheld * slabshm_class_size[run->class];
	}
}

/*
 * Everything in an arena that holds at all times.  @npages are those that were
 * ever added.  Nobody else uses the arena meanwhile.
 */
static void slabshm_arena_check(struct kunit *test,
				struct slabshm_arena *arena,
				struct slabshm_owner *owner,
				unsigned int nowners, unsigned long npages)
{
	unsigned long page = 0, large_owned = 0, total = 0, listed = 0;
	struct slabshm_extent *extent, *last = NULL;
	struct tally t = {}, all = {};
	unsigned int i;

	while (page < arena->max_pages) {
		extent = slabshm_extent_at(arena, page);
		if (!extent) {
			last = NULL;
			page++;
			continue;
		}
		KUNIT_ASSERT_EQ(test, extent->page, page);
		KUNIT_ASSERT_GT(test, extent->npages, 0);
		KUNIT_ASSERT_LE(test, page + extent->npages, arena->max_pages);
		check_pages(test, arena, extent);
		t.extents[extent->state]++;
		t.pages[extent->state] += extent->npages;
		switch (extent->state) {
		case EXTENT_BACKED:
		case EXTENT_UNBACKED:
			if (last)
				KUNIT_ASSERT_NE(test, last->state,
						extent->state);
			break;
		case EXTENT_RUN:
			check_run(test, arena, extent_run(extent));
			i = extent_run(extent)->nblocks -
			    extent_run(extent)->nfree;
			t.blocks += i;
			t.bytes += i *
				   slabshm_class_size[extent_run(extent)->class];
			break;
		case EXTENT_LARGE:
			KUNIT_ASSERT_EQ(test, !extent->owner,
					extent->block == BLOCK_PUBLISHED);
			large_owned += !!extent->owner;
			t.blocks++;
			t.bytes += (u64)extent->npages << PAGE_SHIFT;
			break;
		}
		total += extent->npages;
		page += extent->npages;
		last = extent;
	}
	KUNIT_ASSERT_EQ(test, total, npages);
	KUNIT_ASSERT_EQ(test, t.blocks, arena->blocks);
	KUNIT_ASSERT_EQ(test, t.bytes, arena->bytes);
	KUNIT_ASSERT_EQ(test, arena->backed_pages,
			npages - t.pages[EXTENT_UNBACKED] -
			t.pages[EXTENT_TAKEN]);
	check_tree(test, &arena->backed, EXTENT_BACKED, &t);
	check_tree(test, &arena->unbacked, EXTENT_UNBACKED, &t);

	check_runs(test, &arena->runs, NULL, &all);
	KUNIT_ASSERT_EQ(test, all.blocks, 0);
	for (i = 0; i < nowners; i++) {
		struct tally own = {};

		check_runs(test, &owner[i].runs, &owner[i], &own);
		list_for_each_entry(extent, &owner[i].extents, list) {
			KUNIT_ASSERT_EQ(test, extent->state, EXTENT_LARGE);
			KUNIT_ASSERT_PTR_EQ(test, extent->owner, &owner[i]);
			listed++;
			own.blocks++;
			own.bytes += (u64)extent->npages << PAGE_SHIFT;
		}
		KUNIT_ASSERT_EQ(test, own.blocks, owner[i].blocks);
		KUNIT_ASSERT_EQ(test, own.bytes, owner[i].bytes);
		all.runs += own.runs;
	}
	KUNIT_ASSERT_EQ(test, all.runs, t.extents[EXTENT_RUN]);
	KUNIT_ASSERT_EQ(test, listed, large_owned);
}

/*
 * The fixture: NPAGES of space, all but the first with memory, four owners
 */

static void check(struct kunit *test)
{
	struct fixture *f = test->priv;

	slabshm_arena_check(test, &f->arena, f->owner, NOWNERS, NPAGES - 1);
}

/* All space is free, and in one piece once no empty run is kept. */
static void check_empty(struct kunit *test)
{
	struct fixture *f = test->priv;
	struct slabshm_extent *extent;

	check(test);
	slabshm_arena_tail(&f->arena, NPAGES);
	check(test);
	KUNIT_ASSERT_EQ(test, f->arena.blocks, 0);
	extent = slabshm_extent_largest(&f->arena.backed);
	KUNIT_ASSERT_TRUE(test, extent);
	KUNIT_ASSERT_EQ(test, extent->npages, NPAGES - 1);
}

/* The sizes are in f->req.  What goes wrong is in f->need. */
static int alloc_req(struct fixture *f, unsigned int owner, unsigned int n,
		     u64 align)
{
	unsigned int i;
	int err;

	f->need = 0;
	err = slabshm_arena_alloc(&f->arena, &f->owner[owner], f->req, n, align,
				  NULL, &f->need);
	for (i = 0; i < n; i++)
		f->offset[i] = f->req[i].offset;
	return err;
}

static int alloc_n(struct fixture *f, unsigned int owner, u64 size,
		   unsigned int n, u64 align)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		f->req[i].size = size;
	return alloc_req(f, owner, n, align);
}

/* One block that must be there to be had. */
static u64 alloc_one(struct kunit *test, unsigned int owner, u64 size)
{
	struct slabshm_request req = { .size = size };
	struct fixture *f = test->priv;

	KUNIT_ASSERT_EQ(test, slabshm_arena_alloc(&f->arena, &f->owner[owner],
						  &req, 1, 0, NULL, &f->need),
			0);
	return req.offset;
}

/* f->offset names the blocks.  The one refused is f->failed. */
static int free_n(struct fixture *f, unsigned int owner, unsigned int n)
{
	f->failed = UINT_MAX;
	return slabshm_arena_free(&f->arena, &f->owner[owner], f->offset, n,
				  &f->failed);
}

/* Claims are in f->claim, sizes in f->size. */
static int claim_n(struct fixture *f, unsigned int owner, unsigned int n)
{
	unsigned int i;
	int err;

	f->failed = UINT_MAX;
	for (i = 0; i < n; i++)
		f->claim[i] = (struct slabshm_claim){ .offset = f->offset[i] };
	err = slabshm_arena_claim(&f->arena, &f->owner[owner], f->claim, n,
				  &f->failed);
	for (i = 0; i < n; i++)
		f->size[i] = f->claim[i].size;
	return err;
}

static int free_one(struct fixture *f, unsigned int owner, u64 offset)
{
	unsigned int failed;

	return slabshm_arena_free(&f->arena, &f->owner[owner], &offset, 1,
				  &failed);
}

static int claim_one(struct fixture *f, unsigned int owner, u64 offset)
{
	struct slabshm_claim claim = { .offset = offset };
	unsigned int failed;

	return slabshm_arena_claim(&f->arena, &f->owner[owner], &claim, 1,
				   &failed);
}

/* The claim of a block that was claimed. */
static struct slabshm_claim claimed(struct fixture *f, u64 offset)
{
	struct slabshm_claim claim;

	spin_lock(&f->arena.lock);
	WARN_ON(block_at(&f->arena, offset, &claim) != BLOCK_CLAIMED);
	spin_unlock(&f->arena.lock);
	return claim;
}

static void unclaim_one(struct fixture *f, u64 offset)
{
	struct slabshm_claim claim = claimed(f, offset);

	slabshm_arena_unclaim(&f->arena, &claim, 1);
}

static void publish(struct fixture *f, u64 offset, void *record)
{
	struct slabshm_claim claim = claimed(f, offset);

	spin_lock(&f->arena.lock);
	slabshm_arena_publish(&f->arena, &claim, record);
	spin_unlock(&f->arena.lock);
}

static void *record_of(struct fixture *f, u64 offset, u64 *size)
{
	void *record;

	spin_lock(&f->arena.lock);
	record = slabshm_arena_record(&f->arena, offset, size);
	spin_unlock(&f->arena.lock);
	return record;
}

static void free_published(struct fixture *f, u64 offset)
{
	spin_lock(&f->arena.lock);
	slabshm_arena_free_published(&f->arena, offset);
	spin_unlock(&f->arena.lock);
}

/* A published block of @size. */
static u64 publish_one(struct kunit *test, unsigned int owner, u64 size,
		       void *record)
{
	struct fixture *f = test->priv;
	u64 offset = alloc_one(test, owner, size);

	KUNIT_ASSERT_EQ(test, claim_one(f, owner, offset), 0);
	publish(f, offset, record);
	return offset;
}

/*
 * Sizes
 */

static void test_classes(struct kunit *test)
{
	unsigned int class;

	KUNIT_EXPECT_LE(test, SLABSHM_NCLASSES, SLABSHM_CLASSES_MAX);
	KUNIT_EXPECT_LT(test, SLABSHM_NCLASSES, SLABSHM_PAGE_EXTENT);
	KUNIT_EXPECT_EQ(test, slabshm_class_size[SLABSHM_NCLASSES - 1],
			SMALL_MAX);
	for (class = 0; class < SLABSHM_NCLASSES; class++) {
		u32 size = slabshm_class_size[class];
		unsigned long npages = DIV_ROUND_UP(run_kib[class] * SZ_1K,
						    PAGE_SIZE);
		unsigned long nblocks = npages * PAGE_SIZE / size;

		KUNIT_EXPECT_EQ(test, size % SLABSHM_GRANULE, 0);
		if (class)
			KUNIT_EXPECT_GT(test, size,
					slabshm_class_size[class - 1]);
		KUNIT_EXPECT_LE(test, nblocks, RUN_BLOCKS);
		KUNIT_EXPECT_GE(test, nblocks, 4);
		KUNIT_EXPECT_LE(test, npages, SLABSHM_RUN_PAGES);
		/* no more than 1/32 is left over at the end */
		KUNIT_EXPECT_LE(test, npages * PAGE_SIZE - nblocks * size,
				npages * PAGE_SIZE / 32);
	}
}

/* How long a run becomes, and that less than 1/16 of it is left over */
static void test_run_pages(struct kunit *test)
{
	static const u64 has[] = { 0, 100000, SZ_1M, SZ_4M, SZ_1G };
	struct slabshm_owner owner;
	unsigned int class, i, want;

	slabshm_owner_init(&owner, U64_MAX);
	for (class = 0; class < SLABSHM_NCLASSES; class++) {
		unsigned long size = slabshm_class_size[class];
		unsigned long most = DIV_ROUND_UP(run_kib[class] * SZ_1K,
						  PAGE_SIZE);
		unsigned long last = 0;

		for (i = 0; i < ARRAY_SIZE(has); i++) {
			unsigned long npages;

			owner.bytes = has[i];
			for (want = 1; want <= SLABSHM_BATCH_MAX; want *= 2) {
				npages = run_pages(&owner, class, want);
				KUNIT_EXPECT_LE(test, npages, most);
				KUNIT_EXPECT_GE(test, npages * PAGE_SIZE,
						min(size * want,
						    most * PAGE_SIZE));
				KUNIT_EXPECT_LT(test, npages * PAGE_SIZE % size,
						npages * PAGE_SIZE / 16);
			}
			npages = run_pages(&owner, class, 1);
			KUNIT_EXPECT_GE(test, npages, last);
			last = npages;
		}
		/* Who has much has runs of the usual length */
		KUNIT_EXPECT_EQ(test, last, most);
	}
}

/* Each size and alignment: the smallest class that will do */
static void test_size_class(struct kunit *test)
{
	unsigned int wrong = 0;
	u64 size, align;

	for (align = SLABSHM_GRANULE; align <= PAGE_SIZE; align *= 2) {
		unsigned int class = 0;

		for (size = 1; size <= SMALL_MAX; size++) {
			while (slabshm_class_size[class] < size ||
			       slabshm_class_size[class] % align)
				class++;
			wrong += usable_size(size, align) !=
				 slabshm_class_size[class];
		}
	}
	KUNIT_EXPECT_EQ(test, wrong, 0);

	/* Larger than a class, or than a page as an alignment: whole pages */
	KUNIT_EXPECT_EQ(test, usable_size(SMALL_MAX + 1, 64),
			ALIGN(SMALL_MAX + 1, PAGE_SIZE));
	KUNIT_EXPECT_EQ(test, usable_size(1, 2 * PAGE_SIZE), 2 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, usable_size(SZ_2M + 1, SZ_2M), 2 * SZ_2M);
}

/*
 * Life of an arena
 */

static void test_init(struct kunit *test)
{
	unsigned long page, npages, chunk;
	struct slabshm_extent *extent;
	struct slabshm_arena arena;
	unsigned int i;
	u8 map[1] = {};

	KUNIT_EXPECT_EQ(test, slabshm_arena_init(&arena, 0, &meter), -EINVAL);
	KUNIT_EXPECT_EQ(test, slabshm_arena_init(&arena, ULONG_MAX, &meter), -EINVAL);
	KUNIT_EXPECT_EQ(test, slabshm_arena_init(&arena, 1 +
				(SLABSHM_SIZE_MAX >> PAGE_SHIFT), &meter), -EINVAL);
	for (i = 1; i <= 2; i++) {
		fail_at = i;
		KUNIT_EXPECT_EQ(test, slabshm_arena_init(&arena, 8, &meter), -ENOMEM);
	}

	/* Three chunks, the last of one page only */
	KUNIT_ASSERT_EQ(test, 0, slabshm_arena_init(&arena, 2 * CHUNK_PAGES + 1,
						    &meter));
	KUNIT_EXPECT_EQ(test, slabshm_arena_prepare(&arena, 3, NULL), -EINVAL);
	KUNIT_EXPECT_EQ(test, slabshm_arena_prepare(&arena, ULONG_MAX, NULL),
			-EINVAL);
	/* Their pointers, and the page of the table that these are in */
	for (i = 1; i <= 2; i++) {
		fail_at = i;
		KUNIT_EXPECT_EQ(test, slabshm_arena_prepare(&arena, 0, NULL),
				-ENOMEM);
		KUNIT_EXPECT_NULL(test, slabshm_table_get(&arena.chunks, 0));
	}
	for (chunk = 0; chunk < 3; chunk++)
		KUNIT_EXPECT_EQ(test, slabshm_arena_prepare(&arena, chunk,
							    NULL), 0);
	/* A second time changes nothing */
	KUNIT_EXPECT_EQ(test, slabshm_arena_prepare(&arena, 0, map), 0);
	KUNIT_EXPECT_NULL(test, slabshm_table_get(&arena.maps, 0));

	/* There is nothing to be had yet */
	extent = slabshm_arena_take(&arena, true, 1, ULONG_MAX, &page, &npages);
	KUNIT_EXPECT_NULL(test, extent);
	slabshm_arena_check(test, &arena, NULL, 0, 0);

	fail_at = 1;
	KUNIT_EXPECT_EQ(test, slabshm_arena_add(&arena, 1, 4), -ENOMEM);
	slabshm_arena_check(test, &arena, NULL, 0, 0);

	/* Piece by piece, in no order: one extent across the chunks */
	KUNIT_EXPECT_EQ(test, slabshm_arena_add(&arena, CHUNK_PAGES,
						CHUNK_PAGES), 0);
	slabshm_arena_check(test, &arena, NULL, 0, CHUNK_PAGES);
	KUNIT_EXPECT_EQ(test, slabshm_arena_add(&arena, 1, CHUNK_PAGES - 1), 0);
	KUNIT_EXPECT_EQ(test, slabshm_arena_add(&arena, 2 * CHUNK_PAGES, 1), 0);
	slabshm_arena_check(test, &arena, NULL, 0, 2 * CHUNK_PAGES);
	KUNIT_EXPECT_EQ(test, arena.backed_pages, 2 * CHUNK_PAGES);
	KUNIT_EXPECT_EQ(test, slabshm_extent_largest(&arena.backed)->npages,
			2 * CHUNK_PAGES);
	slabshm_arena_destroy(&arena);
}

/* Whatever there is, arena_test_exit() complains of what destroy forgets. */
static void test_destroy(struct kunit *test)
{
	struct fixture *f = test->priv;
	unsigned long page, npages;
	struct slabshm_extent *extent;

	/* In chunks of which some are prepared, and some have no space */
	KUNIT_ASSERT_EQ(test, alloc_n(f, 0, 64, 64, 0), 0);
	KUNIT_ASSERT_EQ(test, alloc_n(f, 1, 5000, 64, 0), 0);
	KUNIT_ASSERT_EQ(test, alloc_n(f, 2, 3 * SZ_2M / 2, 3, 0), 0);
	publish_one(test, 0, 64, f);
	publish_one(test, 1, SZ_2M, f);
	KUNIT_ASSERT_EQ(test, claim_one(f, 2, alloc_one(test, 2, 9000)), 0);
	extent = slabshm_arena_take(&f->arena, true, 8, 8, &page, &npages);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, extent);
	slabshm_arena_put(&f->arena, extent, false);
	extent = slabshm_arena_take(&f->arena, true, 9, 9, &page, &npages);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, extent);
	check(test);
}

/*
 * Allocation
 */

static void test_alloc(struct kunit *test)
{
	static const u64 size[] = {
		1, 64, 65, 300, 4096, 4097, 16384, 16385, SZ_2M, SZ_2M + 1
	};
	struct fixture *f = test->priv;
	u64 bytes = 0;
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(size); i++)
		f->req[i].size = size[i];
	KUNIT_ASSERT_EQ(test, alloc_req(f, 1, i, 0), 0);
	check(test);
	for (i = 0; i < ARRAY_SIZE(size); i++) {
		struct slabshm_request *a = &f->req[i], *b;
		struct slabshm_block_desc desc;
		u8 what = SLABSHM_PAGE_EXTENT;

		KUNIT_EXPECT_EQ(test, a->size,
				usable_size(size[i], SLABSHM_GRANULE));
		KUNIT_EXPECT_EQ(test, a->offset % SLABSHM_GRANULE, 0);
		KUNIT_EXPECT_GE(test, a->offset, PAGE_SIZE);
		KUNIT_EXPECT_LE(test, a->offset + a->size, SPACE);
		for (j = 0; j < i; j++) {
			b = &f->req[j];
			KUNIT_EXPECT_TRUE(test,
					  a->offset >= b->offset + b->size ||
					  b->offset >= a->offset + a->size);
		}
		if (size[i] <= SMALL_MAX)
			what = size_class(size[i]) + 1;
		else if (size[i] <= CLASS_MAX)
			what = SLABSHM_NCLASSES +
			       DIV_ROUND_UP(size[i] - SMALL_MAX, PAGE_SIZE);
		KUNIT_EXPECT_EQ(test, f->map[a->offset >> PAGE_SHIFT], what);
		KUNIT_EXPECT_EQ(test, slabshm_arena_find(&f->arena, a->offset,
							 &desc), 0);
		KUNIT_EXPECT_EQ(test, desc.start, a->offset);
		KUNIT_EXPECT_EQ(test, desc.size, a->size);
		KUNIT_EXPECT_PTR_EQ(test, desc.owner,
				    (const struct slabshm_owner *)&f->owner[1]);
		bytes += a->size;
		f->offset[i] = a->offset;
	}
	KUNIT_EXPECT_EQ(test, f->owner[1].bytes, bytes);
	KUNIT_EXPECT_EQ(test, f->owner[1].blocks, ARRAY_SIZE(size));
	KUNIT_EXPECT_EQ(test, f->arena.bytes, bytes);
	KUNIT_EXPECT_EQ(test, f->arena.blocks, ARRAY_SIZE(size));
	KUNIT_EXPECT_EQ(test, free_n(f, 1, ARRAY_SIZE(size)), 0);
	check_empty(test);
}

static void test_alloc_errors(struct kunit *test)
{
	static const u64 bad_align[] = {
		3, 65, 96, SZ_2M + 64, 2 * SZ_2M, 1ULL << 63, U64_MAX
	};
	static const u64 too_large[] = {
		SPACE, SPACE + 1, 1ULL << 63, U64_MAX
	};
	struct fixture *f = test->priv;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad_align); i++)
		KUNIT_EXPECT_EQ(test, alloc_n(f, 0, 64, 1, bad_align[i]), -EINVAL);
	KUNIT_EXPECT_EQ(test, alloc_n(f, 0, 0, 1, 0), -EINVAL);
	/* The last of several */
	f->req[0].size = 64;
	f->req[1].size = 0;
	KUNIT_EXPECT_EQ(test, alloc_req(f, 0, 2, 0), -EINVAL);
	for (i = 0; i < ARRAY_SIZE(too_large); i++) {
		KUNIT_EXPECT_EQ(test, alloc_n(f, 0, too_large[i], 1, SZ_2M),
				-ENOSPC);
		KUNIT_EXPECT_EQ(test, f->need, ULONG_MAX);
	}
	check_empty(test);
}

static void test_alloc_limit(struct kunit *test)
{
	const u64 most = SPACE - PAGE_SIZE;
	struct fixture *f = test->priv;

	f->owner[0].limit = 4 * 64;
	KUNIT_EXPECT_EQ(test, alloc_n(f, 0, 1, 3, 0), 0);
	/* One would do, but all or none; and it is the usable size that counts */
	KUNIT_EXPECT_EQ(test, alloc_n(f, 0, 1, 2, 0), -EDQUOT);
	KUNIT_EXPECT_EQ(test, alloc_n(f, 0, 65, 1, 0), -EDQUOT);
	KUNIT_EXPECT_EQ(test, f->owner[0].bytes, 3 * 64);
	KUNIT_EXPECT_EQ(test, alloc_n(f, 0, 64, 1, 0), 0);
	KUNIT_EXPECT_EQ(test, alloc_n(f, 0, 1, 1, 0), -EDQUOT);
	/* It is the limit of one */
	KUNIT_EXPECT_EQ(test, alloc_n(f, 1, 64, 1, 0), 0);
	/* It comes before lack of space: no space is made in vain */
	KUNIT_EXPECT_EQ(test, alloc_n(f, 0, most, 1, 0), -EDQUOT);
	KUNIT_EXPECT_EQ(test, f->need, 0);
	f->owner[2].limit = SPACE;
	KUNIT_EXPECT_EQ(test, alloc_n(f, 2, most, 2, 0), -EDQUOT);
	KUNIT_EXPECT_EQ(test, alloc_n(f, 2, most, 1, 0), -ENOSPC);
	check(test);
	/* Publishing makes room */
	publish_one(test, 1, 64, f);
	f->owner[0].limit = 5 * 64;
	publish_one(test, 0, 64, f);
	KUNIT_EXPECT_EQ(test, alloc_n(f, 0, 64, 1, 0), 0);
	KUNIT_EXPECT_EQ(test, alloc_n(f, 0, 64, 1, 0), -EDQUOT);
	check(test);
}

/* No space for the last of a batch: the others are gone again. */
static void test_alloc_nospc(struct kunit *test)
{
	struct fixture *f = test->priv;
	unsigned long largest;
	unsigned int i;

	KUNIT_ASSERT_EQ(test, alloc_n(f, 1, 3 * SZ_2M, 1, 0), 0);
	KUNIT_ASSERT_EQ(test, alloc_n(f, 1, 3 * SZ_2M, 1, 0), 0);
	largest = slabshm_extent_largest(&f->arena.backed)->npages;
	KUNIT_ASSERT_EQ(test, largest, NPAGES - 1 - 6 * CHUNK_PAGES);

	for (i = 0; i < SLABSHM_BATCH_MAX - 1; i++)
		f->req[i].size = i % 2 ? 64 << i % 8 : 20000 + i;
	f->req[i].size = 2 * SZ_2M;
	KUNIT_EXPECT_EQ(test, alloc_req(f, 0, i + 1, 0), -ENOSPC);
	KUNIT_EXPECT_EQ(test, f->need, 2 * CHUNK_PAGES);
	KUNIT_EXPECT_EQ(test, f->owner[0].blocks, 0);
	KUNIT_EXPECT_EQ(test, f->arena.blocks, 2);
	/* Which ends the runs that are kept empty */
	KUNIT_EXPECT_EQ(test, slabshm_arena_tail(&f->arena, NPAGES), largest);
	check(test);

	/* Alignment asks for slack, and finds a place without it if it can */
	KUNIT_EXPECT_EQ(test, alloc_n(f, 0, SZ_2M, 2, SZ_2M), -ENOSPC);
	KUNIT_EXPECT_EQ(test, f->need, 2 * CHUNK_PAGES - 1);
	KUNIT_EXPECT_EQ(test, alloc_n(f, 0, SZ_2M, 1, SZ_2M), 0);
	KUNIT_EXPECT_EQ(test, f->offset[0] % SZ_2M, 0);
	check(test);
}

/* What fails with -ENOMEM has changed nothing, wherever it fails. */
static void test_alloc_nomem(struct kunit *test)
{
	struct fixture *f = test->priv;
	unsigned int i, n;
	int err;

	for (n = 1; ; n++) {
		for (i = 0; i < SLABSHM_BATCH_MAX; i++)
			f->req[i].size = i % 4 ? 3000 + 10 * i : 20000;
		fail_at = n;
		err = alloc_req(f, 0, i, 0);
		if (!err)
			break;
		KUNIT_ASSERT_EQ(test, err, -ENOMEM);
		check_empty(test);
	}
	/* Several descriptors are needed, or this has tested nothing */
	KUNIT_EXPECT_GT(test, n, 20);
	fail_at = 0;
	check(test);

	for (n = 1; ; n++) {
		fail_at = n;
		err = alloc_n(f, 0, 3 * PAGE_SIZE, 1, 4 * PAGE_SIZE);
		if (!err)
			break;
		KUNIT_ASSERT_EQ(test, err, -ENOMEM);
		check(test);
	}
	KUNIT_EXPECT_GT(test, n, 2);
	fail_at = 0;
	check(test);
}

/* While an allocation makes descriptors, it holds neither the lock nor a block. */
static void steal(void *arg)
{
	struct kunit *test = arg;
	struct fixture *f = test->priv;
	struct slabshm_request other = { .size = 20000 };
	unsigned long need;

	before_alloc = NULL;
	KUNIT_EXPECT_EQ(test, f->owner[0].blocks, 1);
	KUNIT_EXPECT_EQ(test, free_one(f, 0, f->req[0].offset), -EINVAL);
	/* What is taken meanwhile is not given out twice: see the walker */
	KUNIT_EXPECT_EQ(test, slabshm_arena_alloc(&f->arena, &f->owner[1],
						  &other, 1, 0, NULL, &need),
			0);
	check(test);
	before_alloc = steal;
}

static void test_alloc_unlocked(struct kunit *test)
{
	struct fixture *f = test->priv;

	/* So that the first of the batch needs no memory */
	alloc_one(test, 0, 64);
	f->req[0].size = 64;
	f->req[1].size = 128;
	f->req[2].size = 20000;
	before_alloc_arg = test;
	before_alloc = steal;
	KUNIT_EXPECT_EQ(test, alloc_req(f, 0, 3, 0), 0);
	before_alloc = NULL;
	check(test);
	/* Thrice: for the large block, for a run, and for the next attempt */
	KUNIT_EXPECT_EQ(test, f->owner[1].blocks, 3);
	KUNIT_EXPECT_EQ(test, free_n(f, 0, 3), 0);
	check(test);
}

/* Every block of a batch may need a run, and a large one two extents, of its own. */
static void test_alloc_spares(struct kunit *test)
{
	struct fixture *f = test->priv;
	u64 hole[SLABSHM_BATCH_MAX];
	unsigned int i, n;

	/* No space but holes of four pages: a run of one block each */
	for (i = 0; i < ARRAY_SIZE(hole); i++) {
		hole[i] = alloc_one(test, 1, 4 * PAGE_SIZE + 1);
		alloc_one(test, 1, 4 * PAGE_SIZE + 1);
	}
	while (slabshm_extent_largest(&f->arena.backed))
		alloc_one(test, 1, slabshm_extent_largest(&f->arena.backed)->npages *
				   PAGE_SIZE);
	for (i = 0; i < ARRAY_SIZE(hole); i++)
		KUNIT_ASSERT_EQ(test, free_one(f, 1, hole[i]), 0);
	KUNIT_EXPECT_EQ(test, alloc_n(f, 0, SMALL_MAX, SLABSHM_BATCH_MAX, 0), 0);
	check(test);
	KUNIT_EXPECT_EQ(test, alloc_n(f, 0, SMALL_MAX, 1, 0), -ENOSPC);
	for (n = 0; n < NOWNERS; n++)
		while (slabshm_arena_release(&f->arena, &f->owner[n]))
			;
	check_empty(test);

	/* Page 0 is never free: something is left over before and behind each */
	for (i = 0; i < SLABSHM_BATCH_MAX; i++)
		f->req[i].size = i % 2 ? 3 * PAGE_SIZE : 6000;
	KUNIT_EXPECT_EQ(test, alloc_req(f, 0, i, 8 * PAGE_SIZE), 0);
	check(test);
	KUNIT_EXPECT_EQ(test, free_n(f, 0, i), 0);
	check_empty(test);
}

static void test_alignment(struct kunit *test)
{
	static const u64 size[] = {
		1, 64, 100, 640, 2500, 4096, 9000, 16384, 17000, 70000, SZ_2M
	};
	struct fixture *f = test->priv;
	unsigned int i, j;
	u64 align;

	for (align = 1; align <= SLABSHM_ALIGN_MAX; align *= 2) {
		for (i = 0; i < ARRAY_SIZE(size); i++) {
			KUNIT_ASSERT_EQ(test, alloc_n(f, 0, size[i], 2, align),
					0);
			for (j = 0; j < 2; j++) {
				u64 size_got = f->req[j].size;

				KUNIT_EXPECT_EQ(test, f->offset[j] % align, 0);
				KUNIT_EXPECT_EQ(test, size_got % align, 0);
				KUNIT_EXPECT_GE(test, size_got, size[i]);
			}
			check(test);
			KUNIT_ASSERT_EQ(test, free_n(f, 0, 2), 0);
			check_empty(test);
		}
	}
}

/* The best fit is not aligned: go for the next that must do. */
static void test_alignment_slack(struct kunit *test)
{
	struct fixture *f = test->priv;
	u64 hole = alloc_one(test, 0, SZ_2M);

	KUNIT_ASSERT_NE(test, hole % SZ_2M, 0);
	alloc_one(test, 1, 5 * PAGE_SIZE);
	KUNIT_ASSERT_EQ(test, free_one(f, 0, hole), 0);
	KUNIT_ASSERT_EQ(test, slabshm_extent_fit(&f->arena.backed, CHUNK_PAGES, 1)->npages,
			CHUNK_PAGES);
	KUNIT_EXPECT_EQ(test, alloc_n(f, 0, SZ_2M, 1, SZ_2M), 0);
	KUNIT_EXPECT_EQ(test, f->offset[0] % SZ_2M, 0);
	check(test);
	/* What need not be aligned is in the hole */
	KUNIT_EXPECT_EQ(test, alloc_one(test, 0, SZ_2M), hole);
	check(test);
}

/* The smallest free extent that will do */
static void test_best_fit(struct kunit *test)
{
	struct fixture *f = test->priv;
	static const unsigned int npages[] = { 20, 8, 12, 8, 30 };
	u64 hole[ARRAY_SIZE(npages)];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(npages); i++) {
		hole[i] = alloc_one(test, 0, npages[i] * PAGE_SIZE);
		alloc_one(test, 1, 5 * PAGE_SIZE);
	}
	for (i = 0; i < ARRAY_SIZE(npages); i++)
		KUNIT_ASSERT_EQ(test, free_one(f, 0, hole[i]), 0);
	KUNIT_EXPECT_EQ(test, alloc_one(test, 0, 12 * PAGE_SIZE), hole[2]);
	KUNIT_EXPECT_EQ(test, alloc_one(test, 0, 8 * PAGE_SIZE), hole[1]);
	KUNIT_EXPECT_EQ(test, alloc_one(test, 0, 7 * PAGE_SIZE), hole[3]);
	KUNIT_EXPECT_EQ(test, alloc_one(test, 0, 25 * PAGE_SIZE), hole[4]);
	KUNIT_EXPECT_EQ(test, alloc_one(test, 0, 18 * PAGE_SIZE), hole[0]);
	check(test);
}

/* Where there is no room for a run of the usual length, a shorter one. */
static void test_short_run(struct kunit *test)
{
	struct fixture *f = test->priv;
	u64 hole, large;

	hole = alloc_one(test, 0, 9 * PAGE_SIZE);
	large = alloc_one(test, 1, (NPAGES - 10) * PAGE_SIZE);
	KUNIT_EXPECT_NULL(test, slabshm_extent_largest(&f->arena.backed));
	KUNIT_EXPECT_EQ(test, alloc_n(f, 0, 16384, 1, 0), -ENOSPC);
	KUNIT_EXPECT_EQ(test, f->need, DIV_ROUND_UP(16384, PAGE_SIZE));
	KUNIT_ASSERT_EQ(test, free_one(f, 0, hole), 0);
	/* Two blocks in the 9 pages, and the ninth is still there for others */
	KUNIT_EXPECT_EQ(test, alloc_n(f, 0, 16384, 3, 0), -ENOSPC);
	check(test);
	KUNIT_EXPECT_EQ(test, alloc_n(f, 0, 16384, 2, 0), 0);
	check(test);
	KUNIT_EXPECT_EQ(test, alloc_n(f, 0, 64, 64, 0), 0);
	KUNIT_EXPECT_EQ(test, alloc_n(f, 0, 64, 1, 0), -ENOSPC);
	check(test);
	while (slabshm_arena_release(&f->arena, &f->owner[0]))
		;
	KUNIT_EXPECT_EQ(test, free_one(f, 1, large), 0);
	check_empty(test);
}

/* Nothing is left over by blocks of any class, and all of it comes back. */
static void test_exhaustion(struct kunit *test)
{
	struct fixture *f = test->priv;
	unsigned int class, owner;
	u64 most;

	/* In 2 MiB, to save time */
	most = alloc_one(test, 3, SPACE - PAGE_SIZE - SZ_2M);
	for (class = 0; class < SLABSHM_NCLASSES; class++) {
		u32 size = slabshm_class_size[class];
		u64 blocks = 0;

		owner = class % 3;
		while (!alloc_n(f, owner, size, 64, 0))
			blocks += 64;
		while (!alloc_n(f, owner, size, 1, 0))
			blocks++;
		check(test);
		KUNIT_EXPECT_EQ(test, f->owner[owner].blocks, blocks);
		KUNIT_EXPECT_GE(test, blocks * size, SZ_2M / 32 * 31 - size);
		while (slabshm_arena_release(&f->arena, &f->owner[owner]))
			;
		check(test);
		KUNIT_EXPECT_EQ(test, slabshm_extent_largest(&f->arena.backed)->npages,
				CHUNK_PAGES);
	}
	KUNIT_EXPECT_EQ(test, free_one(f, 3, most), 0);
	check_empty(test);
}

/*
 * Freeing
 */

/* Three neighbours freed in each order, between others that stay */
static void test_coalesce(struct kunit *test)
{
	static const u8 order[6][3] = {
		{ 1, 2, 3 }, { 1, 3, 2 }, { 2, 1, 3 },
		{ 2, 3, 1 }, { 3, 1, 2 }, { 3, 2, 1 },
	};
	const u64 size = SMALL_MAX + PAGE_SIZE;
	struct fixture *f = test->priv;
	unsigned int i, j;
	u64 block[5];

	for (i = 0; i < ARRAY_SIZE(order); i++) {
		for (j = 0; j < 5; j++)
			block[j] = alloc_one(test, 0, size);
		for (j = 0; j < 3; j++) {
			KUNIT_ASSERT_EQ(test,
					free_one(f, 0, block[order[i][j]]), 0);
			check(test);
		}
		/* One hole, that fits exactly */
		KUNIT_EXPECT_EQ(test, alloc_one(test, 1, 3 * size), block[1]);
		check(test);
		KUNIT_ASSERT_EQ(test, free_one(f, 1, block[1]), 0);
		KUNIT_ASSERT_EQ(test, free_one(f, 0, block[0]), 0);
		KUNIT_ASSERT_EQ(test, free_one(f, 0, block[4]), 0);
		check_empty(test);
	}
}

/* The smallest extents there are: their first page is also their last. */
static void test_coalesce_pages(struct kunit *test)
{
	struct fixture *f = test->priv;
	struct slabshm_extent *extent[16];
	unsigned long page, npages;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(extent); i++) {
		extent[i] = slabshm_arena_take(&f->arena, true, 1, 1, &page,
					       &npages);
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, extent[i]);
		KUNIT_EXPECT_EQ(test, page, 1 + i);
		KUNIT_EXPECT_EQ(test, npages, 1);
		check(test);
	}
	/* In an order that has neighbours on neither, one and both sides */
	for (i = 0; i < ARRAY_SIZE(extent); i++) {
		slabshm_arena_put(&f->arena, extent[i * 3 % 16], true);
		check(test);
	}
	check_empty(test);
}

/* Offsets that are no block, to all who take one */
static void test_hostile(struct kunit *test)
{
	struct fixture *f = test->priv;
	u64 small, large, gone, freed, tail, size;
	struct slabshm_block_desc desc;
	unsigned int i;

	/* 21 blocks of 768 bytes leave a tail in their run of 16 KiB */
	KUNIT_ASSERT_EQ(test, alloc_n(f, 0, 768, 20, 0), 0);
	small = f->offset[0];
	freed = f->offset[7];
	tail = small + 21 * 768;
	large = alloc_one(test, 0, 10 * PAGE_SIZE);
	gone = alloc_one(test, 0, 10 * PAGE_SIZE);
	KUNIT_ASSERT_EQ(test, small % PAGE_SIZE, 0);
	KUNIT_ASSERT_EQ(test, free_one(f, 0, freed), 0);
	KUNIT_ASSERT_EQ(test, free_one(f, 0, gone), 0);
	{
		const struct {
			u64 offset;
			bool inside;	/* of what slabshm_arena_find() knows */
		} c[] = {
			{ 0 }, { 1 }, { 64 }, { PAGE_SIZE - 64 },
			{ small - 1 }, { small + 1, true },
			{ small + 64, true }, { small + 767, true },
			{ freed }, { freed + 767 }, { tail }, { tail + 64 },
			{ large + 1, true }, { large + 64, true },
			{ large + PAGE_SIZE - 1, true }, { large + PAGE_SIZE },
			{ large + 5 * PAGE_SIZE }, { large + 9 * PAGE_SIZE },
			{ gone }, { gone + 64 }, { gone + PAGE_SIZE },
			{ SPACE - PAGE_SIZE }, { SPACE - 64 }, { SPACE },
			{ SPACE + small }, { 1ULL << 32 },
			{ (1ULL << 32) + small }, { 1ULL << 63 },
			{ (1ULL << 63) + small }, { U64_MAX & PAGE_MASK },
			{ U64_MAX - 63 }, { U64_MAX },
		};

		for (i = 0; i < ARRAY_SIZE(c); i++) {
			f->offset[0] = small;
			f->offset[1] = c[i].offset;
			KUNIT_EXPECT_EQ_MSG(test, free_n(f, 0, 2), -EINVAL,
					    "case %u", i);
			KUNIT_EXPECT_EQ(test, f->failed, 1);
			KUNIT_EXPECT_EQ_MSG(test, claim_n(f, 0, 2), -EINVAL,
					    "case %u", i);
			KUNIT_EXPECT_EQ(test, f->failed, 1);
			KUNIT_EXPECT_NULL(test, record_of(f, c[i].offset,
							  &size));
			KUNIT_EXPECT_EQ_MSG(test,
					    slabshm_arena_find(&f->arena,
							       c[i].offset,
							       &desc),
					    c[i].inside ? 0 : -EINVAL,
					    "case %u", i);
			if (c[i].inside)
				KUNIT_EXPECT_EQ(test, desc.start,
						c[i].offset < large ? small :
								      large);
		}
	}
	check(test);
	/* Chunks without page pointers */
	slabshm_arena_destroy(&f->arena);
	KUNIT_ASSERT_EQ(test, slabshm_arena_init(&f->arena, NPAGES, &meter), 0);
	KUNIT_EXPECT_EQ(test, slabshm_arena_find(&f->arena, small, &desc),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, free_one(f, 0, SPACE - PAGE_SIZE), -EINVAL);
}

static void test_free_errors(struct kunit *test)
{
	struct fixture *f = test->priv;
	static const u64 size[] = { 256, 30000 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(size); i++) {
		u64 a = alloc_one(test, 0, size[i]);
		u64 b = alloc_one(test, 0, size[i]);
		u64 c = alloc_one(test, 0, size[i]);
		u64 other = alloc_one(test, 1, size[i]);
		u64 published = publish_one(test, 0, size[i], f);
		u64 claimed = alloc_one(test, 0, size[i]);
		u64 blocks;

		KUNIT_ASSERT_EQ(test, claim_one(f, 0, claimed), 0);
		blocks = f->arena.blocks;
		f->offset[0] = a;
		f->offset[1] = b;

		f->offset[2] = a;
		KUNIT_EXPECT_EQ(test, free_n(f, 0, 3), -EINVAL);
		KUNIT_EXPECT_EQ(test, f->failed, 2);
		f->offset[2] = other;
		KUNIT_EXPECT_EQ(test, free_n(f, 0, 3), -EPERM);
		KUNIT_EXPECT_EQ(test, f->failed, 2);
		f->offset[2] = published;
		KUNIT_EXPECT_EQ(test, free_n(f, 0, 3), -EBUSY);
		KUNIT_EXPECT_EQ(test, f->failed, 2);
		/* Published is nobody's: no matter who asks */
		KUNIT_EXPECT_EQ(test, free_one(f, 1, published), -EBUSY);
		f->offset[2] = claimed;
		KUNIT_EXPECT_EQ(test, free_n(f, 0, 3), -EBUSY);
		KUNIT_EXPECT_EQ(test, f->failed, 2);
		KUNIT_EXPECT_EQ(test, free_one(f, 1, claimed), -EPERM);
		KUNIT_EXPECT_EQ(test, f->arena.blocks, blocks);
		check(test);

		/* None of these was harmed; then a double free */
		f->offset[2] = c;
		KUNIT_EXPECT_EQ(test, free_n(f, 0, 3), 0);
		KUNIT_EXPECT_EQ(test, free_one(f, 0, a), -EINVAL);
		KUNIT_EXPECT_EQ(test, free_one(f, 1, a), -EINVAL);
		KUNIT_EXPECT_EQ(test, free_one(f, 1, other), 0);
		unclaim_one(f, claimed);
		KUNIT_EXPECT_EQ(test, free_one(f, 0, claimed), 0);
		free_published(f, published);
		check_empty(test);
	}
}

/*
 * Publishing
 */

static void test_publish(struct kunit *test)
{
	struct fixture *f = test->priv;
	static const u64 size[] = { 64, 4096, 16384, 40000, SZ_2M };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(size); i++) {
		u64 usable = usable_size(size[i], SLABSHM_GRANULE);
		u64 a = alloc_one(test, 0, size[i]), got = 0;
		struct slabshm_block_desc desc;

		KUNIT_EXPECT_NULL(test, record_of(f, a, &got));
		f->offset[0] = a;
		KUNIT_ASSERT_EQ(test, claim_n(f, 0, 1), 0);
		KUNIT_EXPECT_EQ(test, f->size[0], usable);
		check(test);
		/* Claimed: still the owner's, but others keep off */
		KUNIT_EXPECT_EQ(test, f->owner[0].bytes, usable);
		KUNIT_EXPECT_EQ(test, claim_one(f, 0, a), -EBUSY);
		KUNIT_EXPECT_NULL(test, record_of(f, a, &got));
		KUNIT_EXPECT_EQ(test, slabshm_arena_find(&f->arena, a, &desc),
				0);
		KUNIT_EXPECT_PTR_EQ(test, desc.owner,
				    (const struct slabshm_owner *)&f->owner[0]);
		/* Back, and again */
		unclaim_one(f, a);
		KUNIT_EXPECT_EQ(test, claim_one(f, 0, a), 0);
		publish(f, a, &f->map[i]);
		check(test);
		KUNIT_EXPECT_EQ(test, f->owner[0].bytes, 0);
		KUNIT_EXPECT_EQ(test, f->owner[0].blocks, 0);
		KUNIT_EXPECT_EQ(test, f->arena.bytes, usable);
		KUNIT_EXPECT_EQ(test, f->arena.blocks, 1);
		got = 0;
		KUNIT_EXPECT_PTR_EQ(test, record_of(f, a, &got),
				    (void *)&f->map[i]);
		KUNIT_EXPECT_EQ(test, got, usable);
		KUNIT_EXPECT_NULL(test, record_of(f, a + 64, &got));
		KUNIT_EXPECT_EQ(test, slabshm_arena_find(&f->arena, a, &desc),
				0);
		KUNIT_EXPECT_NULL(test, desc.owner);
		KUNIT_EXPECT_EQ(test, claim_one(f, 0, a), -EBUSY);
		free_published(f, a);
		KUNIT_EXPECT_NULL(test, record_of(f, a, &got));
		check_empty(test);
	}
}

/* Blocks that come claimed: nobody gets at them before they are let go. */
static void test_alloc_claimed(struct kunit *test)
{
	static const u64 size[] = { 64, 64, 3000, 40000 };
	const unsigned int n = ARRAY_SIZE(size);
	struct fixture *f = test->priv;
	unsigned int i, round;

	for (round = 0; round < 2; round++) {
		for (i = 0; i < n; i++)
			f->req[i].size = size[i];
		KUNIT_ASSERT_EQ(test, slabshm_arena_alloc(&f->arena,
							  &f->owner[0], f->req,
							  n, 0, f->claim,
							  &f->need), 0);
		check(test);
		for (i = 0; i < n; i++) {
			u64 offset = f->req[i].offset;

			KUNIT_EXPECT_EQ(test, f->claim[i].offset, offset);
			KUNIT_EXPECT_EQ(test, (u64)f->claim[i].size,
					f->req[i].size);
			KUNIT_EXPECT_EQ(test, free_one(f, 0, offset), -EBUSY);
			KUNIT_EXPECT_EQ(test, claim_one(f, 0, offset), -EBUSY);
			KUNIT_EXPECT_EQ(test, free_one(f, 1, offset), -EPERM);
		}
		if (!round) {
			slabshm_arena_free_claimed(&f->arena, f->claim, n);
			KUNIT_EXPECT_EQ(test, f->owner[0].blocks, 0);
			check_empty(test);
			continue;
		}
		slabshm_arena_unclaim(&f->arena, f->claim, n);
		check(test);
		for (i = 0; i < n; i++)
			KUNIT_EXPECT_EQ(test, free_one(f, 0, f->req[i].offset),
					0);
		check_empty(test);
	}
}

/* A run without blocks is kept, but not from those who need its space. */
static void test_empty_run(struct kunit *test)
{
	struct fixture *f = test->priv;
	u64 a = alloc_one(test, 0, 64), b;
	unsigned int class;

	KUNIT_ASSERT_EQ(test, free_one(f, 0, a), 0);
	check(test);
	KUNIT_EXPECT_TRUE(test, f->arena.empty[0]);
	/* Its last owner has it again, and so has another */
	KUNIT_EXPECT_EQ(test, alloc_one(test, 0, 64), a);
	KUNIT_EXPECT_FALSE(test, f->arena.empty[0]);
	KUNIT_ASSERT_EQ(test, free_one(f, 0, a), 0);
	KUNIT_EXPECT_EQ(test, alloc_one(test, 1, 64), a);
	check(test);
	KUNIT_ASSERT_EQ(test, free_one(f, 1, a), 0);
	/* Nor does it stay with an owner that ends */
	KUNIT_EXPECT_FALSE(test, slabshm_arena_release(&f->arena,
						       &f->owner[1]));
	check(test);
	for (class = 0; class < SLABSHM_NCLASSES; class++) {
		a = alloc_one(test, class % NOWNERS, slabshm_class_size[class]);
		KUNIT_ASSERT_EQ(test, free_one(f, class % NOWNERS, a), 0);
		check(test);
	}
	for (class = 0; class < SLABSHM_NCLASSES; class++)
		KUNIT_EXPECT_TRUE(test, f->arena.empty[class]);
	/* All of the space at once */
	b = alloc_one(test, 0, SPACE - PAGE_SIZE);
	check(test);
	KUNIT_ASSERT_EQ(test, free_one(f, 0, b), 0);
	check_empty(test);
}

static void test_claim_errors(struct kunit *test)
{
	struct fixture *f = test->priv;
	static const u64 size[] = { 128, 50000 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(size); i++) {
		u64 a = alloc_one(test, 0, size[i]);
		u64 other = alloc_one(test, 1, size[i]);

		f->offset[0] = a;
		f->offset[1] = a;
		KUNIT_EXPECT_EQ(test, claim_n(f, 0, 2), -EINVAL);
		KUNIT_EXPECT_EQ(test, f->failed, 1);
		f->offset[1] = other;
		KUNIT_EXPECT_EQ(test, claim_n(f, 0, 2), -EPERM);
		KUNIT_EXPECT_EQ(test, f->failed, 1);
		KUNIT_ASSERT_EQ(test, claim_one(f, 1, other), 0);
		KUNIT_EXPECT_EQ(test, claim_one(f, 0, other), -EPERM);
		unclaim_one(f, other);
		/* None is left claimed */
		KUNIT_EXPECT_EQ(test, free_one(f, 0, a), 0);
		KUNIT_EXPECT_EQ(test, free_one(f, 1, other), 0);
		check_empty(test);
	}
}

/* More than one hold of the lock; records for several runs, or none for them */
static void test_claim_many(struct kunit *test)
{
	struct fixture *f = test->priv;
	const unsigned int n = ARRAY_SIZE(f->offset);
	unsigned int i, tries = 0;
	int err;

	for (i = 0; i < n; i++)
		f->offset[i] = alloc_one(test, 2, i % 2 ? 16384 : 64 * (1 + i));
	/* Each try gets one run further, as records stay */
	fail_at = 1;
	while ((err = claim_n(f, 2, n)) == -ENOMEM) {
		KUNIT_ASSERT_LT(test, tries, n);
		check(test);
		tries++;
		fail_at = 2;
	}
	KUNIT_ASSERT_EQ(test, err, 0);
	KUNIT_EXPECT_GT(test, tries, 20);
	fail_at = 0;
	check(test);
	for (i = 0; i < n; i++)
		KUNIT_EXPECT_EQ(test, claim_one(f, 2, f->offset[i]), -EBUSY);
	slabshm_arena_unclaim(&f->arena, f->claim, n);

	/* The last one is refused: none stays claimed */
	KUNIT_ASSERT_EQ(test, free_one(f, 2, f->offset[n - 1]), 0);
	KUNIT_EXPECT_EQ(test, claim_n(f, 2, n), -EINVAL);
	KUNIT_EXPECT_EQ(test, f->failed, n - 1);
	KUNIT_ASSERT_EQ(test, claim_n(f, 2, n - 1), 0);
	for (i = 0; i < n - 1; i++)
		publish(f, f->offset[i], &f->offset[i]);
	check(test);
	KUNIT_EXPECT_EQ(test, f->owner[2].blocks, 0);
	for (i = 0; i < n - 1; i++) {
		u64 size = 0;

		KUNIT_EXPECT_PTR_EQ(test, record_of(f, f->offset[i], &size),
				    (void *)&f->offset[i]);
		KUNIT_EXPECT_EQ(test, size, f->size[i]);
		free_published(f, f->offset[i]);
	}
	check_empty(test);
}

/* A run goes from owner to nobody to another owner as its blocks do. */
static void test_run_owner(struct kunit *test)
{
	struct fixture *f = test->priv;
	u64 a, b, c, page;

	a = publish_one(test, 0, 1024, f);
	page = round_down(a, PAGE_SIZE);
	check(test);
	/* All that it holds is published: open to the next, here another */
	b = alloc_one(test, 1, 1024);
	KUNIT_EXPECT_EQ(test, round_down(b, PAGE_SIZE), page);
	/* Which has it now */
	c = alloc_one(test, 0, 1024);
	KUNIT_EXPECT_NE(test, round_down(c, PAGE_SIZE), page);
	check(test);
	/* Freeing its last owned block opens it again */
	KUNIT_EXPECT_EQ(test, free_one(f, 1, b), 0);
	check(test);
	KUNIT_EXPECT_EQ(test, free_one(f, 0, c), 0);
	c = alloc_one(test, 2, 1024);
	KUNIT_EXPECT_EQ(test, round_down(c, PAGE_SIZE), page);
	/* A published block that goes does not change the owner */
	free_published(f, a);
	check(test);
	KUNIT_EXPECT_EQ(test, f->owner[2].blocks, 1);
	KUNIT_EXPECT_EQ(test, free_one(f, 2, c), 0);
	check_empty(test);
}

static void test_run_full(struct kunit *test)
{
	struct fixture *f = test->priv;
	unsigned int i;

	/* A run of 16 blocks; full, all of them published, ownerless */
	KUNIT_ASSERT_EQ(test, alloc_n(f, 0, 1024, 16, 0), 0);
	KUNIT_EXPECT_FALSE(test, list_empty(&f->owner[0].runs.full));
	for (i = 0; i < 16; i++) {
		KUNIT_ASSERT_EQ(test, claim_one(f, 0, f->offset[i]), 0);
		publish(f, f->offset[i], f);
	}
	check(test);
	KUNIT_EXPECT_TRUE(test, list_empty(&f->owner[0].runs.full));
	KUNIT_EXPECT_FALSE(test, list_empty(&f->arena.runs.full));
	free_published(f, f->offset[3]);
	check(test);
	KUNIT_EXPECT_TRUE(test, list_empty(&f->arena.runs.full));
	KUNIT_EXPECT_EQ(test, alloc_one(test, 3, 1024), f->offset[3]);
	check(test);
	KUNIT_EXPECT_FALSE(test, list_empty(&f->owner[3].runs.full));
}

static void test_release(struct kunit *test)
{
	struct fixture *f = test->priv;
	unsigned int i, calls = 0;
	u64 kept[4], other, bytes;

	KUNIT_EXPECT_FALSE(test, slabshm_arena_release(&f->arena,
						       &f->owner[0]));
	other = alloc_one(test, 1, 64);
	for (i = 0; i < 5; i++)
		KUNIT_ASSERT_EQ(test, alloc_n(f, 0, 64, 64, 0), 0);
	KUNIT_ASSERT_EQ(test, alloc_n(f, 0, 10000, 64, 0), 0);
	KUNIT_ASSERT_EQ(test, alloc_n(f, 0, 40000, 64, 0), 0);
	/* What is published meanwhile stays, in runs full and not, and large */
	kept[0] = f->offset[5];
	KUNIT_ASSERT_EQ(test, claim_one(f, 0, kept[0]), 0);
	publish(f, kept[0], f);
	kept[1] = publish_one(test, 0, 64, f);
	kept[2] = publish_one(test, 0, 10000, f);
	kept[3] = publish_one(test, 0, 700, f);
	check(test);
	bytes = f->arena.bytes - f->owner[0].bytes;
	while (slabshm_arena_release(&f->arena, &f->owner[0])) {
		check(test);
		calls++;
	}
	/* It stops now and then */
	KUNIT_EXPECT_GT(test, calls, 2);
	KUNIT_EXPECT_EQ(test, f->owner[0].blocks, 0);
	KUNIT_EXPECT_EQ(test, f->owner[0].bytes, 0);
	KUNIT_EXPECT_EQ(test, f->arena.blocks, 5);
	KUNIT_EXPECT_EQ(test, f->arena.bytes, bytes);
	check(test);
	for (i = 0; i < ARRAY_SIZE(kept); i++) {
		u64 size;

		KUNIT_EXPECT_PTR_EQ(test, record_of(f, kept[i], &size),
				    (void *)f);
		free_published(f, kept[i]);
	}
	KUNIT_EXPECT_EQ(test, free_one(f, 1, other), 0);
	check_empty(test);
}

/*
 * Taking and putting
 */

static void test_take(struct kunit *test)
{
	struct fixture *f = test->priv;
	struct slabshm_extent *a, *b, *c;
	unsigned long page, npages;
	u64 hole, small_hole;

	/* Free: 20 pages, 6 pages, the rest */
	hole = alloc_one(test, 0, 20 * PAGE_SIZE);
	alloc_one(test, 0, 5 * PAGE_SIZE);
	small_hole = alloc_one(test, 0, 6 * PAGE_SIZE);
	alloc_one(test, 0, 5 * PAGE_SIZE);
	KUNIT_ASSERT_EQ(test, free_one(f, 0, hole), 0);
	KUNIT_ASSERT_EQ(test, free_one(f, 0, small_hole), 0);

	fail_at = 1;
	a = slabshm_arena_take(&f->arena, true, 1, 1, &page, &npages);
	KUNIT_EXPECT_EQ(test, PTR_ERR(a), -ENOMEM);
	check(test);
	/* Too large, or of the wrong kind */
	KUNIT_EXPECT_NULL(test, slabshm_arena_take(&f->arena, true, NPAGES,
						   NPAGES, &page, &npages));
	KUNIT_EXPECT_NULL(test, slabshm_arena_take(&f->arena, false, 1, NPAGES,
						   &page, &npages));

	/* Best fit, whole */
	a = slabshm_arena_take(&f->arena, true, 6, 6, &page, &npages);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, a);
	KUNIT_EXPECT_EQ(test, page, small_hole >> PAGE_SHIFT);
	KUNIT_EXPECT_EQ(test, npages, 6);
	KUNIT_EXPECT_EQ(test, f->arena.backed_pages, NPAGES - 1 - 6);
	/* Best fit, a part; the rest can be taken too */
	b = slabshm_arena_take(&f->arena, true, 7, 8, &page, &npages);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, b);
	KUNIT_EXPECT_EQ(test, page, hole >> PAGE_SHIFT);
	KUNIT_EXPECT_EQ(test, npages, 8);
	c = slabshm_arena_take(&f->arena, true, 2, 100, &page, &npages);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, c);
	KUNIT_EXPECT_EQ(test, page, (hole >> PAGE_SHIFT) + 8);
	KUNIT_EXPECT_EQ(test, npages, 12);
	check(test);
	/* Taken: not to be allocated, nor freed */
	KUNIT_EXPECT_EQ(test, free_one(f, 0, hole), -EINVAL);
	KUNIT_EXPECT_GT(test, alloc_one(test, 1, 6 * PAGE_SIZE), small_hole);

	/* Without memory, neighbours of a kind merge */
	slabshm_arena_put(&f->arena, b, false);
	check(test);
	slabshm_arena_put(&f->arena, c, false);
	check(test);
	KUNIT_EXPECT_EQ(test, slabshm_extent_largest(&f->arena.unbacked)->npages, 20);
	slabshm_arena_put(&f->arena, a, true);
	KUNIT_EXPECT_EQ(test, f->arena.backed_pages, NPAGES - 1 - 20);
	check(test);
	/* and it is not given out */
	KUNIT_EXPECT_EQ(test, alloc_n(f, 1, 20 * PAGE_SIZE, 1, 0), 0);
	KUNIT_EXPECT_NE(test, f->offset[0], hole);

	/* Half of it is filled again: two kinds side by side */
	a = slabshm_arena_take(&f->arena, false, 0, 10, &page, &npages);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, a);
	KUNIT_EXPECT_EQ(test, page, hole >> PAGE_SHIFT);
	slabshm_arena_put(&f->arena, a, true);
	check(test);
	KUNIT_EXPECT_EQ(test, slabshm_extent_largest(&f->arena.unbacked)->npages, 10);
	a = slabshm_arena_take(&f->arena, false, 10, 10, &page, &npages);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, a);
	slabshm_arena_put(&f->arena, a, true);
	check(test);
	KUNIT_EXPECT_NULL(test, slabshm_extent_largest(&f->arena.unbacked));
	KUNIT_EXPECT_EQ(test, alloc_one(test, 1, 20 * PAGE_SIZE), hole);

	/* If any will do: a part of the largest */
	a = slabshm_arena_take(&f->arena, true, 1, 3, &page, &npages);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, a);
	KUNIT_EXPECT_NE(test, page, small_hole >> PAGE_SHIFT);
	KUNIT_EXPECT_EQ(test, npages, 3);
	slabshm_arena_put(&f->arena, a, true);
	check(test);
}

/* A freed block does not merge with space that has no memory behind it. */
static void test_unbacked_neighbour(struct kunit *test)
{
	struct fixture *f = test->priv;
	struct slabshm_extent *extent;
	unsigned long page, npages;
	u64 left, middle, right;

	left = alloc_one(test, 0, 10 * PAGE_SIZE);
	middle = alloc_one(test, 0, 10 * PAGE_SIZE);
	right = alloc_one(test, 0, (NPAGES - 21) * PAGE_SIZE);
	KUNIT_ASSERT_EQ(test, free_one(f, 0, left), 0);
	extent = slabshm_arena_take(&f->arena, true, 10, 10, &page, &npages);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, extent);
	slabshm_arena_put(&f->arena, extent, false);
	KUNIT_ASSERT_EQ(test, free_one(f, 0, middle), 0);
	check(test);
	KUNIT_EXPECT_EQ(test, alloc_n(f, 0, 11 * PAGE_SIZE, 1, 0), -ENOSPC);
	KUNIT_EXPECT_EQ(test, f->need, 11);
	KUNIT_EXPECT_EQ(test, free_one(f, 0, right), 0);
	check(test);
	extent = slabshm_arena_take(&f->arena, false, 10, 10, &page, &npages);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, extent);
	KUNIT_EXPECT_EQ(test, (u64)page << PAGE_SHIFT, left);
	slabshm_arena_put(&f->arena, extent, true);
	check_empty(test);
}

/*
 * All of it at random, beside a model that knows which bytes are whose
 */

#define SOAK_OPS	100000
#define SOAK_LIVE	3000
#define SOAK_SEED	0x51ab5b6dULL

struct soak_block {
	u64 offset;
	u64 size;
	u8 owner;
	bool published;
};

struct soak {
	struct rnd_state rnd;
	struct soak_block block[SOAK_LIVE];
	unsigned int live;
	u64 bytes[NOWNERS];	/* not published */
	u64 published;		/* bytes */
	u8 granule[NPAGES * (PAGE_SIZE / SLABSHM_GRANULE)];	/* in use? */
};

static u32 soak_random(struct soak *s, u32 below)
{
	return prandom_u32_state(&s->rnd) % below;
}

static u64 soak_size(struct soak *s)
{
	u32 max = 64 << soak_random(s, 7);

	if (!soak_random(s, 16))
		max = 16384 << soak_random(s, 8);
	return 1 + soak_random(s, max);
}

/* How many granules of a block are not as they should be? They are then. */
static unsigned int soak_flip(struct soak *s, u64 offset, u64 size, u8 now)
{
	u8 *granule = &s->granule[offset / SLABSHM_GRANULE];
	unsigned int wrong = 0;
	u64 i;

	if (offset < PAGE_SIZE || offset > SPACE || size > SPACE - offset)
		return UINT_MAX;
	for (i = 0; i < size / SLABSHM_GRANULE; i++)
		wrong += granule[i] == now;
	memset(granule, now, size / SLABSHM_GRANULE);
	return wrong;
}

static void soak_alloc(struct kunit *test, struct soak *s)
{
	struct fixture *f = test->priv;
	unsigned int i, n = 1 + soak_random(s, 16), owner;
	u64 align = 0;
	int err;

	owner = soak_random(s, NOWNERS);
	n = min(n, SOAK_LIVE - s->live);
	if (!soak_random(s, 4))
		align = 1ULL << soak_random(s, 20);
	for (i = 0; i < n; i++)
		f->req[i].size = soak_size(s);
	fail_at = soak_random(s, 64) ? 0 : 1 + soak_random(s, 4);
	err = alloc_req(f, owner, n, align);
	if (err) {
		KUNIT_ASSERT_TRUE(test, (err == -ENOSPC && f->need) ||
				  err == -ENOMEM);
		return;
	}
	for (i = 0; i < n; i++) {
		struct soak_block *b = &s->block[s->live++];

		b->offset = f->req[i].offset;
		b->size = f->req[i].size;
		b->owner = owner;
		b->published = false;
		s->bytes[owner] += b->size;
		KUNIT_ASSERT_EQ(test, soak_flip(s, b->offset, b->size, 1), 0);
		if (align)
			KUNIT_ASSERT_EQ(test, b->offset & (align - 1), 0);
	}
}

static void soak_forget(struct kunit *test, struct soak *s, unsigned int i)
{
	struct soak_block *b = &s->block[i];

	KUNIT_ASSERT_EQ(test, soak_flip(s, b->offset, b->size, 0), 0);
	if (b->published)
		s->published -= b->size;
	else
		s->bytes[b->owner] -= b->size;
	*b = s->block[--s->live];
}

/* Free or publish a block and some that follow it in the model, once each. */
static void soak_batch(struct kunit *test, struct soak *s, bool to_publish)
{
	struct fixture *f = test->priv;
	unsigned int i, n = 0, first = soak_random(s, s->live);
	unsigned int owner = s->block[first].owner, want = 1 + soak_random(s, 16);
	int err;

	for (i = first; i < s->live && n < want; i++)
		if (!s->block[i].published && s->block[i].owner == owner)
			f->offset[n++] = s->block[i].offset;
	if (!n)
		return;
	if (!to_publish) {
		KUNIT_ASSERT_EQ(test, free_n(f, owner, n), 0);
	} else {
		fail_at = soak_random(s, 16) ? 0 : 1 + soak_random(s, 4);
		err = claim_n(f, owner, n);
		if (err) {
			KUNIT_ASSERT_EQ(test, err, -ENOMEM);
			return;
		}
		if (!soak_random(s, 8)) {
			slabshm_arena_unclaim(&f->arena, f->claim, n);
			return;
		}
	}
	/* Backwards, as forgetting moves the last one into the gap */
	while (i-- > first) {
		struct soak_block *b = &s->block[i];

		if (b->published || b->owner != owner)
			continue;
		if (to_publish) {
			publish(f, b->offset, &s->granule[b->offset /
							  SLABSHM_GRANULE]);
			b->published = true;
			s->bytes[owner] -= b->size;
			s->published += b->size;
		} else {
			soak_forget(test, s, i);
		}
	}
}

static void soak_free_published(struct kunit *test, struct soak *s)
{
	struct fixture *f = test->priv;
	unsigned int i = soak_random(s, s->live);
	struct soak_block *b = &s->block[i];
	void *record;
	u64 size = 0;

	record = record_of(f, b->offset, &size);
	if (!b->published) {
		KUNIT_ASSERT_NULL(test, record);
		return;
	}
	KUNIT_ASSERT_PTR_EQ(test, record,
			    (void *)&s->granule[b->offset / SLABSHM_GRANULE]);
	KUNIT_ASSERT_EQ(test, size, b->size);
	free_published(f, b->offset);
	soak_forget(test, s, i);
}

static void soak_release(struct kunit *test, struct soak *s)
{
	struct fixture *f = test->priv;
	unsigned int owner = soak_random(s, NOWNERS), i;

	while (slabshm_arena_release(&f->arena, &f->owner[owner]))
		;
	for (i = s->live; i--; )
		if (s->block[i].owner == owner && !s->block[i].published)
			soak_forget(test, s, i);
	KUNIT_ASSERT_EQ(test, s->bytes[owner], 0);
}

/* Take memory away, or put it back. */
static void soak_take(struct kunit *test, struct soak *s, bool backed)
{
	struct fixture *f = test->priv;
	struct slabshm_extent *extent;
	unsigned long page, npages, min = soak_random(s, 64);

	fail_at = 0;
	extent = slabshm_arena_take(&f->arena, backed, min,
				    min + 1 + soak_random(s, 512), &page,
				    &npages);
	if (!extent)
		return;
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, extent);
	KUNIT_ASSERT_GE(test, npages, min);
	KUNIT_ASSERT_EQ(test, soak_flip(s, (u64)page << PAGE_SHIFT,
					(u64)npages << PAGE_SHIFT, 1), 0);
	soak_flip(s, (u64)page << PAGE_SHIFT, (u64)npages << PAGE_SHIFT, 0);
	slabshm_arena_put(&f->arena, extent, !backed);
}

/* Any offset: blocks that the model knows are found, all else is refused. */
static void soak_probe(struct kunit *test, struct soak *s)
{
	struct fixture *f = test->priv;
	u64 offset = prandom_u32_state(&s->rnd) % (SPACE + PAGE_SIZE);
	struct slabshm_block_desc desc;
	bool used = offset < SPACE && s->granule[offset / SLABSHM_GRANULE];

	if (!slabshm_arena_find(&f->arena, offset, &desc)) {
		KUNIT_ASSERT_TRUE(test, used);
		KUNIT_ASSERT_LE(test, desc.start, offset);
		KUNIT_ASSERT_LT(test, offset, desc.start + desc.size);
	} else if (used) {
		/* Behind the first page of a large block */
		KUNIT_ASSERT_EQ(test, f->map[offset >> PAGE_SHIFT],
				SLABSHM_PAGE_NONE);
	}
	if (!used)
		KUNIT_ASSERT_EQ(test, free_one(f, soak_random(s, NOWNERS),
					       offset), -EINVAL);
}

static void soak_step(struct kunit *test, struct soak *s)
{
	unsigned int what = soak_random(s, 1000);

	if (what < 2)
		soak_release(test, s);
	else if (what < 20)
		soak_take(test, s, what & 1);
	else if (what < 100)
		soak_probe(test, s);
	else if (what < 450 || !s->live)
		soak_alloc(test, s);
	else if (what < 700)
		soak_batch(test, s, false);
	else if (what < 800)
		soak_batch(test, s, true);
	else
		soak_free_published(test, s);
	fail_at = 0;
}

static void soak_check(struct kunit *test, struct soak *s)
{
	struct fixture *f = test->priv;
	u64 bytes = s->published;
	unsigned int i;

	check(test);
	for (i = 0; i < NOWNERS; i++) {
		KUNIT_ASSERT_EQ(test, s->bytes[i], f->owner[i].bytes);
		bytes += s->bytes[i];
	}
	KUNIT_ASSERT_EQ(test, bytes, f->arena.bytes);
	KUNIT_ASSERT_EQ(test, s->live, f->arena.blocks);
}

static void soak_free(void *s)
{
	vfree(s);
}

static void test_soak(struct kunit *test)
{
	struct fixture *f = test->priv;
	struct soak *s = vzalloc(sizeof(*s));
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, s);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, soak_free, s), 0);
	kunit_info(test, "seed %#llx\n", SOAK_SEED);
	prandom_seed_state(&s->rnd, SOAK_SEED);
	for (i = 0; i < SOAK_OPS; i++) {
		soak_step(test, s);
		if (i % 1000 == 0) {
			soak_check(test, s);
			cond_resched();
		}
	}
	/* Back to where it began */
	for (i = 0; i < NOWNERS; i++)
		while (slabshm_arena_release(&f->arena, &f->owner[i]))
			;
	for (i = 0; i < s->live; i++)
		if (s->block[i].published)
			free_published(f, s->block[i].offset);
	while (slabshm_extent_largest(&f->arena.unbacked)) {
		struct slabshm_extent *extent;
		unsigned long page, npages;

		extent = slabshm_arena_take(&f->arena, false, 1, NPAGES, &page,
					    &npages);
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, extent);
		slabshm_arena_put(&f->arena, extent, true);
	}
	check_empty(test);
}

/*
 * Several at once: each worker has an owner and a size of its own, but they
 * meet in the runs that nobody owns, and in the free extents
 */

#define WORK_ROUNDS	300

struct worker {
	struct work_struct work;
	struct fixture *f;
	unsigned int owner;
	unsigned int errors;
	struct slabshm_request req[8];
	struct slabshm_claim claim[4];
	u64 offset[4];
};

static void work_round(struct worker *w, unsigned int round)
{
	static const u64 size[] = { 64, 1000, 16000, 30000 };
	struct slabshm_owner *owner = &w->f->owner[w->owner];
	struct slabshm_arena *arena = &w->f->arena;
	unsigned long need, page, npages;
	struct slabshm_extent *extent;
	unsigned int i, failed;

	for (i = 0; i < ARRAY_SIZE(w->req); i++)
		w->req[i].size = size[(round + i / 4) % ARRAY_SIZE(size)];
	if (slabshm_arena_alloc(arena, owner, w->req, i, 0, NULL, &need)) {
		w->errors++;
		return;
	}
	for (i = 0; i < 4; i++) {
		w->claim[i].offset = w->req[i].offset;
		w->offset[i] = w->req[4 + i].offset;
	}
	/* Half is published and freed so, half is freed */
	w->errors += !!slabshm_arena_claim(arena, owner, w->claim, 4, &failed);
	spin_lock(&arena->lock);
	for (i = 0; i < 4; i++)
		slabshm_arena_publish(arena, &w->claim[i], &w->claim[i]);
	spin_unlock(&arena->lock);
	w->errors += !!slabshm_arena_free(arena, owner, w->offset, 4, &failed);
	extent = slabshm_arena_take(arena, true, 2, 9, &page, &npages);
	if (IS_ERR_OR_NULL(extent))
		w->errors++;
	else
		slabshm_arena_put(arena, extent, true);
	spin_lock(&arena->lock);
	for (i = 0; i < 4; i++) {
		u64 bytes;

		w->errors += slabshm_arena_record(arena, w->claim[i].offset,
						  &bytes) != &w->claim[i];
		slabshm_arena_free_published(arena, w->claim[i].offset);
	}
	spin_unlock(&arena->lock);
}

static void work_fn(struct work_struct *work)
{
	struct worker *w = container_of(work, struct worker, work);
	unsigned int i;

	for (i = 0; i < WORK_ROUNDS; i++) {
		work_round(w, i);
		cond_resched();
	}
}

static void test_workers(struct kunit *test)
{
	struct worker *w = kunit_kcalloc(test, NOWNERS, sizeof(*w), GFP_KERNEL);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, w);
	for (i = 0; i < NOWNERS; i++) {
		w[i].f = test->priv;
		w[i].owner = i;
		INIT_WORK(&w[i].work, work_fn);
		queue_work(system_unbound_wq, &w[i].work);
	}
	for (i = 0; i < NOWNERS; i++) {
		flush_work(&w[i].work);
		KUNIT_EXPECT_EQ(test, w[i].errors, 0);
	}
	check_empty(test);
}

/*
 * The suite
 */

static int arena_test_init(struct kunit *test)
{
	struct fixture *f = kunit_kzalloc(test, sizeof(*f), GFP_KERNEL);
	unsigned long chunk;
	unsigned int i;
	int err;

	fail_at = 0;
	before_alloc = NULL;
	if (!f)
		return -ENOMEM;
	f->map = kunit_kzalloc(test, NPAGES, GFP_KERNEL);
	if (!f->map)
		return -ENOMEM;
	err = slabshm_arena_init(&f->arena, NPAGES, &meter);
	if (err)
		return err;
	test->priv = f;
	for (chunk = 0; chunk < NPAGES / CHUNK_PAGES && !err; chunk++)
		err = slabshm_arena_prepare(&f->arena, chunk,
					    &f->map[chunk * CHUNK_PAGES]);
	for (i = 0; i < NOWNERS; i++)
		slabshm_owner_init(&f->owner[i], LIMIT);
	return err ?: slabshm_arena_add(&f->arena, 1, NPAGES - 1);
}

static void arena_test_exit(struct kunit *test)
{
	struct fixture *f = test->priv;

	fail_at = 0;
	before_alloc = NULL;
	if (f)
		slabshm_arena_destroy(&f->arena);
	KUNIT_EXPECT_EQ(test, atomic_read(&live), 0);
	atomic_set(&live, 0);
}

static struct kunit_case arena_cases[] = {
	KUNIT_CASE(test_classes),
	KUNIT_CASE(test_run_pages),
	KUNIT_CASE(test_size_class),
	KUNIT_CASE(test_init),
	KUNIT_CASE(test_destroy),
	KUNIT_CASE(test_alloc),
	KUNIT_CASE(test_alloc_errors),
	KUNIT_CASE(test_alloc_limit),
	KUNIT_CASE(test_alloc_nospc),
	KUNIT_CASE(test_alloc_nomem),
	KUNIT_CASE(test_alloc_unlocked),
	KUNIT_CASE(test_alloc_spares),
	KUNIT_CASE(test_alignment),
	KUNIT_CASE(test_alignment_slack),
	KUNIT_CASE(test_best_fit),
	KUNIT_CASE(test_short_run),
	KUNIT_CASE(test_exhaustion),
	KUNIT_CASE(test_coalesce),
	KUNIT_CASE(test_coalesce_pages),
	KUNIT_CASE(test_hostile),
	KUNIT_CASE(test_free_errors),
	KUNIT_CASE(test_publish),
	KUNIT_CASE(test_alloc_claimed),
	KUNIT_CASE(test_empty_run),
	KUNIT_CASE(test_claim_errors),
	KUNIT_CASE(test_claim_many),
	KUNIT_CASE(test_run_owner),
	KUNIT_CASE(test_run_full),
	KUNIT_CASE(test_release),
	KUNIT_CASE(test_take),
	KUNIT_CASE(test_unbacked_neighbour),
	KUNIT_CASE_SLOW(test_soak),
	KUNIT_CASE_SLOW(test_workers),
	{}
};

static struct kunit_suite arena_suite = {
	.name = "slabshm_arena",
	.init = arena_test_init,
	.exit = arena_test_exit,
	.test_cases = arena_cases,
};

kunit_test_suite(arena_suite);

MODULE_DESCRIPTION("Unit tests of slabshm's allocator");
MODULE_LICENSE("GPL");
