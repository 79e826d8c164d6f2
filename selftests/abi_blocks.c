// SPDX-License-Identifier: GPL-2.0
/*
 * ALLOC, FREE, BLOCK, GROW and TRIM: success, and every documented error.
 */
#include "abi.h"

FIXTURE(blocks)
{
	struct heap heap;
};

FIXTURE_SETUP(blocks)
{
	ASSERT_EQ(0, heap_make(&self->heap));
}

FIXTURE_TEARDOWN(blocks)
{
	heap_end(&self->heap);
}

TEST_F(blocks, alloc)
{
	static const __u64 sizes[] = {
		1, 63, 64, 65, 255, 256, 257, 1000, 4095, 4096, 4097, 16384,
		16385, 100000, MIB, 2 * MIB + 1,
	};
	struct heap *h = &self->heap;
	struct slabshm_stat st0, st;
	struct slabshm_block b[ARRAY_LEN(sizes)];
	__u64 offsets[ARRAY_LEN(sizes)], align, live = 0;
	unsigned int i, j;

	ASSERT_EQ(0, get_stat(&h->c, &st0));
	for (i = 0; i < ARRAY_LEN(sizes); i++)
		b[i].size = sizes[i];
	ASSERT_EQ(0, alloc_blocks(&h->c, b, ARRAY_LEN(sizes), 0, 0));
	for (i = 0; i < ARRAY_LEN(sizes); i++) {
		EXPECT_LE(sizes[i], b[i].size);
		EXPECT_EQ(0, b[i].size % SLABSHM_GRANULE);
		EXPECT_EQ(0, b[i].offset % SLABSHM_GRANULE);
		EXPECT_LT(0, b[i].offset);
		EXPECT_LE(b[i].offset + b[i].size, HEAP_MAX);
		for (j = 0; j < i; j++)
			EXPECT_TRUE(b[j].offset >= b[i].offset + b[i].size ||
				    b[i].offset >= b[j].offset + b[j].size);
		memset(h->c.data + b[i].offset, i, b[i].size);
		live += b[i].size;
		offsets[i] = b[i].offset;
	}
	ASSERT_EQ(0, get_stat(&h->c, &st));
	EXPECT_EQ(st0.live + live, st.live);
	EXPECT_EQ(st0.blocks + ARRAY_LEN(sizes), st.blocks);
	EXPECT_EQ(st.backed, st.live + st.free);
	EXPECT_EQ(st.size, h->c.control->size);
	for (i = 0; i < ARRAY_LEN(sizes); i++) {
		const char *p = h->c.data + b[i].offset;

		EXPECT_EQ(i, (unsigned char)p[0]);
		EXPECT_EQ(0, memcmp(p, p + 1, b[i].size - 1));
	}
	EXPECT_EQ(0, free_blocks(&h->c, offsets, ARRAY_LEN(sizes), NULL));
	ASSERT_EQ(0, get_stat(&h->c, &st));
	EXPECT_EQ(st0.live, st.live);
	EXPECT_EQ(st0.blocks, st.blocks);

	/* Just freed, and not zero; but asked for with ZERO */
	for (i = 0; i < ARRAY_LEN(sizes); i++) {
		static const char zeros[4 * MIB];

		b[0].size = sizes[i];
		ASSERT_EQ(0, alloc_blocks(&h->c, b, 1, 0, SLABSHM_ALLOC_ZERO));
		EXPECT_EQ(0, memcmp(h->c.data + b[0].offset, zeros, b[0].size));
		memset(h->c.data + b[0].offset, 0xff, b[0].size);
		EXPECT_EQ(0, free_block(&h->c, b[0].offset));
	}

	for (align = 1; align <= SLABSHM_ALIGN_MAX; align *= 2) {
		for (i = 0; i < 6; i++) {
			b[0].size = sizes[2 * i];
			b[1].size = sizes[2 * i + 1];
			ASSERT_EQ(0, alloc_blocks(&h->c, b, 2, align, 0))
				TH_LOG("%llu %llu", align, b[0].size);
			EXPECT_EQ(0, b[0].offset % align);
			EXPECT_EQ(0, b[1].offset % align);
			EXPECT_LE(sizes[2 * i], b[0].size);
			EXPECT_EQ(0, free_block(&h->c, b[0].offset));
			EXPECT_EQ(0, free_block(&h->c, b[1].offset));
		}
	}
	ASSERT_EQ(0, get_stat(&h->c, &st));
	EXPECT_EQ(st0.live, st.live);
}

static int alloc_raw(const struct heap *h, __u64 blocks, __u32 count,
		     __u64 align)
{
	struct slabshm_alloc_args arg = {
		.blocks = blocks,
		.count = count,
		.align = align,
		.flags = SLABSHM_ALLOC_NOGROW,
	};

	return client_call(&h->c, SLABSHM_IOC_ALLOC, &arg);
}

TEST_F(blocks, alloc_refusals)
{
	static const __u64 bad_align[] = {
		3, 65, 96, 4097, 2 * SLABSHM_ALIGN_MAX, SLABSHM_ALIGN_MAX + 1,
		1ULL << 63, ~0ULL,
	};
	static const __u64 too_large[] = {
		HEAP_MAX + 1, HEAP_MAX, 1ULL << 32, 1ULL << 62, 1ULL << 63,
		(1ULL << 63) + 1, ~0ULL - 4096, ~0ULL - 63, ~0ULL,
	};
	struct heap *h = &self->heap;
	struct slabshm_block b[SLABSHM_BATCH_MAX + 1], was;
	__u64 at = (uintptr_t)b;
	unsigned int i;

	for (i = 0; i < ARRAY_LEN(b); i++)
		b[i] = (struct slabshm_block){ POISON64, 64 };
	EXPECT_REFUSED(EINVAL, alloc_raw(h, at, 0, 0));
	EXPECT_REFUSED(EINVAL, alloc_raw(h, at, SLABSHM_BATCH_MAX + 1, 0));
	EXPECT_REFUSED(EINVAL, alloc_raw(h, at, 1 << 28, 0));
	EXPECT_REFUSED(EINVAL, alloc_raw(h, at, ~0U, 0));
	for (i = 0; i < ARRAY_LEN(bad_align); i++)
		EXPECT_REFUSED(EINVAL, alloc_raw(h, at, 2, bad_align[i]))
			TH_LOG("%llx", bad_align[i]);
	for (i = 0; i < SLABSHM_BATCH_MAX; i += 21) {
		b[i].size = 0;
		EXPECT_REFUSED(EINVAL, alloc_raw(h, at, SLABSHM_BATCH_MAX, 0));
		b[i].size = 64;
	}
	for (i = 0; i < ARRAY_LEN(too_large); i++) {
		b[2].size = too_large[i];
		EXPECT_REFUSED(ENOSPC, alloc_raw(h, at, 3, 0))
			TH_LOG("%llx", too_large[i]);
		EXPECT_REFUSED(ENOSPC,
			       alloc_raw(h, at, 3, SLABSHM_ALIGN_MAX));
		EXPECT_EQ(POISON64, b[0].offset);
		EXPECT_EQ(too_large[i], b[2].size);
		b[2].size = 64;
	}
	/* Together too much, in sum or after the sum overflowed */
	for (i = 0; i < SLABSHM_BATCH_MAX; i++)
		b[i].size = HEAP_SIZE / 4;
	EXPECT_REFUSED(ENOSPC, alloc_raw(h, at, SLABSHM_BATCH_MAX, 0));
	for (i = 0; i < SLABSHM_BATCH_MAX; i++)
		b[i].size = 1ULL << 58;
	EXPECT_REFUSED(ENOSPC, alloc_raw(h, at, SLABSHM_BATCH_MAX, 0));

	for (i = 0; i < SLABSHM_BATCH_MAX; i++)
		b[i].size = 64;
	EXPECT_REFUSED(EFAULT, alloc_raw(h, 0, 1, 0));
	EXPECT_REFUSED(EFAULT, alloc_raw(h, KERNEL_ADDRESS, 1, 0));
	EXPECT_REFUSED(EFAULT, alloc_raw(h, ~0ULL, 1, 0));
	EXPECT_REFUSED(EFAULT, alloc_raw(h, ~0ULL - 15, 1, 0));
	EXPECT_REFUSED(EFAULT,
		       alloc_raw(h, (uintptr_t)h->page + PAGE, 1, 0));
	memcpy(h->page + PAGE - sizeof(was), b, sizeof(was));
	EXPECT_REFUSED(EFAULT,
		       alloc_raw(h, (uintptr_t)h->page + PAGE - sizeof(was), 2,
				 0));

	/* The blocks are there, but cannot be told */
	memcpy(h->page, b, SLABSHM_BATCH_MAX * sizeof(*b));
	protect(h, PROT_READ);
	for (i = 1; i <= SLABSHM_BATCH_MAX; i *= 8)
		EXPECT_REFUSED(EFAULT, alloc_raw(h, (uintptr_t)h->page, i, 0));
	EXPECT_REFUSED(EFAULT,
		       alloc_raw(h, (uintptr_t)h->page, 3, SLABSHM_ALIGN_MAX /
				 16));
	protect(h, PROT_READ | PROT_WRITE);
	((struct slabshm_block *)h->page)->size = 100000;
	protect(h, PROT_READ);
	EXPECT_REFUSED(EFAULT, alloc_raw(h, (uintptr_t)h->page, 2, 0));
	protect(h, PROT_READ | PROT_WRITE);
}

/* Growth for a call that then fails stays, but nothing else does. */
TEST_F(blocks, alloc_grows_in_vain)
{
	struct heap *h = &self->heap;
	struct slabshm_block *b = (void *)h->page;
	struct slabshm_alloc_args arg = { .blocks = (uintptr_t)b, .count = 2 };
	struct slabshm_stat st0, st;

	ASSERT_EQ(0, get_stat(&h->c, &st0));
	b[0].size = 2 * MIB;
	b[1].size = 64;
	protect(h, PROT_READ);
	EXPECT_EQ(-EFAULT, client_call(&h->c, SLABSHM_IOC_ALLOC, &arg));
	protect(h, PROT_READ | PROT_WRITE);
	ASSERT_EQ(0, get_stat(&h->c, &st));
	EXPECT_EQ(st0.live, st.live);
	EXPECT_EQ(st0.blocks, st.blocks);
	EXPECT_EQ(st.backed, st.live + st.free);

	b[0].size = HEAP_MAX - MIB;
	b[1].size = MIB;
	EXPECT_EQ(-ENOSPC, client_call(&h->c, SLABSHM_IOC_ALLOC, &arg));
	ASSERT_EQ(0, get_stat(&h->c, &st));
	EXPECT_EQ(st0.live, st.live);
	EXPECT_EQ(st0.blocks, st.blocks);
	EXPECT_EQ(st.backed, st.live + st.free);
}

/* Many at once, for which there is room only when the slab has grown a lot. */
TEST_F(blocks, alloc_of_many_grows)
{
	static const __u64 sizes[] = { 64, 5000, 16 * KIB, 64 * KIB, 512 * KIB };
	struct slabshm_block blocks[64];
	struct slabshm_stat st;
	struct client c;
	unsigned int i, k;

	for (i = 0; i < ARRAY_LEN(sizes); i++) {
		for (k = 0; k < 64; k++)
			blocks[k].size = sizes[i];
		ASSERT_EQ(0, client_open(&c, unique_name(),
					 SLABSHM_ATTACH_CREATE, 64 * MIB,
					 64 * KIB));
		EXPECT_EQ(0, alloc_blocks(&c, blocks, 64, 4096, 0))
			TH_LOG("size %llu", sizes[i]);
		client_close(&c);
	}

	/* All there is but the first page; and one byte more, which is too much */
	for (k = 0; k < 64; k++)
		blocks[k].size = 64 * KIB;
	ASSERT_EQ(0, client_open(&c, unique_name(), SLABSHM_ATTACH_CREATE,
				 4 * MIB + PAGE, 64 * KIB));
	EXPECT_EQ(0, alloc_blocks(&c, blocks, 64, 0, 0));
	client_close(&c);
	ASSERT_EQ(0, client_open(&c, unique_name(), SLABSHM_ATTACH_CREATE,
				 4 * MIB, 64 * KIB));
	EXPECT_EQ(-ENOSPC, alloc_blocks(&c, blocks, 64, 0, 0));
	ASSERT_EQ(0, get_stat(&c, &st));
	EXPECT_EQ(0, st.live);
	/* It was plain that this cannot be, so no memory was taken for it */
	EXPECT_GT(4 * MIB, st.size);
	client_close(&c);
}

/* With alignment: the slab grows by what it takes, and each place is looked at. */
TEST_F(blocks, alloc_aligned_finds_room)
{
	struct slabshm_block b = { .size = 2 * MIB };
	__u64 place[2], all[200];
	struct client c;
	unsigned int i, n;

	ASSERT_EQ(0, client_open(&c, NULL, SLABSHM_ATTACH_CREATE, 6 * MIB,
				 MIB));
	for (i = 0; i < 2; i++) {
		b.size = 2 * MIB;
		ASSERT_EQ(0, alloc_blocks(&c, &b, 1, 2 * MIB, 0));
		EXPECT_EQ(2 * MIB * (i + 1), b.offset);
	}
	b.size = 2 * MIB;
	EXPECT_EQ(-ENOSPC, alloc_blocks(&c, &b, 1, 2 * MIB, 0));
	client_close(&c);

	/* Two of the right size, of which the first is in the wrong place */
	ASSERT_EQ(0, client_open(&c, NULL, SLABSHM_ATTACH_CREATE, 6 * MIB,
				 6 * MIB));
	b.size = 2 * MIB;
	ASSERT_EQ(0, alloc_blocks(&c, &b, 1, 0, 0));
	place[0] = b.offset;
	ASSERT_NE(0, b.offset % (2 * MIB));
	ASSERT_EQ(0, alloc_blocks(&c, &b, 1, 2 * MIB, 0));
	place[1] = b.offset;
	for (b.size = MIB; b.size >= PAGE; b.size /= 2)
		while (!alloc_blocks(&c, &b, 1, 0, 0))
			;
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, free_block(&c, place[i]));
	b.size = 2 * MIB;
	EXPECT_EQ(0, alloc_blocks(&c, &b, 1, 2 * MIB, 0));
	EXPECT_EQ(place[1], b.offset);
	client_close(&c);

	/* What TRIM has emptied, and a run that is kept for the next block, count */
	ASSERT_EQ(0, client_open(&c, NULL, SLABSHM_ATTACH_CREATE |
				 SLABSHM_ATTACH_FIXED, 4 * MIB, 4 * MIB));
	for (i = 0; i < 2; i++) {
		b.size = PAGE;
		ASSERT_EQ(0, alloc_blocks(&c, &b, 1, 0, 0));
		place[i] = b.offset;
	}
	ASSERT_EQ(0, trim(&c, 0, NULL));
	b.size = 2 * MIB;
	EXPECT_EQ(0, alloc_blocks(&c, &b, 1, 2 * MIB, 0));
	client_close(&c);

	ASSERT_EQ(0, client_open(&c, NULL, SLABSHM_ATTACH_CREATE |
				 SLABSHM_ATTACH_FIXED, 8 * MIB, 8 * MIB));
	for (n = 0; n < ARRAY_LEN(all); n++) {
		b.size = n ? n > 1 ? 68 * KIB : 16 * KIB : 2 * MIB;
		if (alloc_blocks(&c, &b, 1, 0, 0))
			break;
		all[n] = b.offset;
	}
	ASSERT_LT(n, ARRAY_LEN(all));
	for (i = 0; i < n; i++)
		if (all[i] < 4 * MIB)
			ASSERT_EQ(0, free_block(&c, all[i]));
	b.size = 2 * MIB;
	EXPECT_EQ(0, alloc_blocks(&c, &b, 1, 2 * MIB, 0));
	EXPECT_EQ(2 * MIB, b.offset);
	client_close(&c);
	(void)self;
}

/* What can never be moves nobody: no cache is asked, no reader evicted. */
TEST_F(blocks, alloc_aligned_in_vain)
{
	struct slabshm_block b = { .size = 2 * MIB };
	struct slabshm_block many[SLABSHM_BATCH_MAX];
	struct client c;
	unsigned int i;

	ASSERT_EQ(0, client_open(&c, NULL, SLABSHM_ATTACH_CREATE, 3 * MIB,
				 MIB));
	EXPECT_EQ(-ENOSPC, alloc_blocks(&c, &b, 1, 2 * MIB, 0));
	for (i = 0; i < SLABSHM_BATCH_MAX; i++)
		many[i].size = 64 * KIB;
	EXPECT_EQ(-ENOSPC, alloc_blocks(&c, many, SLABSHM_BATCH_MAX, 0, 0));
	EXPECT_EQ(0, c.control->pressure);
	EXPECT_EQ(MIB, c.control->size);
	b.size = 2 * MIB;
	EXPECT_EQ(0, alloc_blocks(&c, &b, 1, MIB / 2, 0));
	client_close(&c);
	(void)self;
}

TEST_F(blocks, free_refusals)
{
	struct heap *h = &self->heap;
	const struct {
		__u64 offset;
		int err;
	} cases[] = {
		{ 0, EINVAL }, { 1, EINVAL }, { 64, EINVAL },
		{ h->own + 1, EINVAL }, { h->own + 64, EINVAL },
		{ h->own - 64, EINVAL }, { h->large + PAGE, EINVAL },
		{ h->large + 64, EINVAL }, { h->large + 100000, EINVAL },
		{ HEAP_SIZE - PAGE, EINVAL }, { HEAP_SIZE, EINVAL },
		{ HEAP_MAX - PAGE, EINVAL }, { HEAP_MAX, EINVAL },
		{ SLABSHM_SIZE_MAX, EINVAL }, { 1ULL << 63, EINVAL },
		{ ~0ULL, EINVAL }, { ~0ULL - 63, EINVAL },
		{ -(__s64)h->own, EINVAL }, { h->own | 1ULL << 63, EINVAL },
		{ h->own | 1ULL << 44, EINVAL },
		{ h->foreign, EPERM }, { h->foreign + 64, EINVAL },
		{ h->root, EBUSY }, { h->part, EBUSY },
	};
	__u64 o[SLABSHM_BATCH_MAX];
	struct slabshm_free_args arg = { .offsets = (uintptr_t)o };
	__u32 failed;
	unsigned int i;
	__s64 freed;

	for (i = 0; i < SLABSHM_BATCH_MAX; i++) {
		o[i] = (__u64)alloc_block(&h->c, 64 * (1 + i));
		ASSERT_GT(HEAP_MAX, o[i]);
	}
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		unsigned int place = 5 * i % SLABSHM_BATCH_MAX;
		__u64 good = o[place];

		o[0] = i ? o[0] : h->own;
		EXPECT_REFUSED(cases[i].err,
			       free_blocks(&h->c, &cases[i].offset, 1, &failed))
			TH_LOG("case %u: %llx", i, cases[i].offset);
		EXPECT_EQ(0, failed);
		o[place] = cases[i].offset;
		EXPECT_REFUSED(cases[i].err,
			       free_blocks(&h->c, o, SLABSHM_BATCH_MAX,
					   &failed))
			TH_LOG("case %u: %llx", i, cases[i].offset);
		EXPECT_EQ(place, failed);
		o[place] = good;
	}

	/* Twice in one call, and twice in a row */
	o[63] = o[7];
	EXPECT_REFUSED(EINVAL, free_blocks(&h->c, o, 64, &failed));
	EXPECT_EQ(63, failed);
	freed = alloc_block(&h->c, 64);
	ASSERT_LT(0, freed);
	EXPECT_EQ(0, free_block(&h->c, (__u64)freed));
	EXPECT_REFUSED(EINVAL, free_block(&h->c, (__u64)freed));
	freed = alloc_block(&h->c, 100000);
	ASSERT_LT(0, freed);
	EXPECT_EQ(0, free_block(&h->c, (__u64)freed));
	EXPECT_REFUSED(EINVAL, free_block(&h->c, (__u64)freed));

	EXPECT_REFUSED(EINVAL, client_call(&h->c, SLABSHM_IOC_FREE, &arg));
	arg.count = SLABSHM_BATCH_MAX + 1;
	EXPECT_REFUSED(EINVAL, client_call(&h->c, SLABSHM_IOC_FREE, &arg));
	arg.count = ~0U;
	EXPECT_REFUSED(EINVAL, client_call(&h->c, SLABSHM_IOC_FREE, &arg));
	arg.count = 1 << 29;
	EXPECT_REFUSED(EINVAL, client_call(&h->c, SLABSHM_IOC_FREE, &arg));
	arg.count = 2;
	arg.offsets = 0;
	EXPECT_REFUSED(EFAULT, client_call(&h->c, SLABSHM_IOC_FREE, &arg));
	arg.offsets = KERNEL_ADDRESS;
	EXPECT_REFUSED(EFAULT, client_call(&h->c, SLABSHM_IOC_FREE, &arg));
	arg.offsets = (uintptr_t)h->page + PAGE - 8;
	memcpy(h->page + PAGE - 8, &h->own, 8);
	EXPECT_REFUSED(EFAULT, client_call(&h->c, SLABSHM_IOC_FREE, &arg));

	/* One that is well is freed, from a place without alignment */
	arg.count = 1;
	memcpy(h->page + 5, &h->own, 8);
	arg.offsets = (uintptr_t)h->page + 5;
	EXPECT_EQ(0, client_call(&h->c, SLABSHM_IOC_FREE, &arg));
}

TEST_F(blocks, block)
{
	struct heap *h = &self->heap;
	const struct {
		__u64 start;
		__u32 state;
	} cases[] = {
		{ h->own, SLABSHM_BLOCK_OWN },
		{ h->large, SLABSHM_BLOCK_OWN },
		{ h->foreign, SLABSHM_BLOCK_FOREIGN },
		{ h->root, SLABSHM_BLOCK_PUBLISHED },
		{ h->part, SLABSHM_BLOCK_PUBLISHED },
	};
	const __u64 bad[] = {
		0, 1, PAGE - 1, HEAP_SIZE - 1, HEAP_SIZE, HEAP_MAX - 1,
		HEAP_MAX, SLABSHM_SIZE_MAX, 1ULL << 63, ~0ULL,
		h->own | 1ULL << 44, h->large + PAGE,
	};
	struct slabshm_block_args info;
	unsigned int i;
	__u64 at;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		__u64 start = cases[i].start;
		__u64 size = start == h->large ? PAGE : 1000;

		for (at = start; at < start + size; at += 37) {
			ASSERT_EQ(0, block_info(&h->c, at, &info));
			EXPECT_EQ(at, info.offset);
			EXPECT_EQ(start, info.start);
			EXPECT_LE(start == h->large ? 100000 : 1000, info.size);
			EXPECT_EQ(cases[i].state, info.state);
			EXPECT_EQ(0, info.pad);
		}
	}
	ASSERT_EQ(0, block_info(&h->ro, h->own, &info));
	EXPECT_EQ(SLABSHM_BLOCK_FOREIGN, info.state);
	for (i = 0; i < ARRAY_LEN(bad); i++) {
		EXPECT_REFUSED(EINVAL, block_info(&h->c, bad[i], &info))
			TH_LOG("%llx", bad[i]);
		EXPECT_EQ(POISON64, info.start);
	}
	EXPECT_EQ(0, free_block(&h->c, h->own));
	EXPECT_EQ(0, free_block(&h->c, h->large));
	EXPECT_REFUSED(EINVAL, block_info(&h->c, h->own, &info));
	EXPECT_REFUSED(EINVAL, block_info(&h->c, h->large, &info));
}

TEST_F(blocks, grow)
{
	struct heap *h = &self->heap;
	struct slabshm_stat st;
	__u64 has;

	EXPECT_REFUSED(0, grow(&h->c, 0, &has));
	EXPECT_EQ(HEAP_SIZE, has);
	EXPECT_REFUSED(0, grow(&h->c, HEAP_SIZE, &has));
	EXPECT_EQ(HEAP_SIZE, has);
	EXPECT_EQ(0, grow(&h->c, HEAP_SIZE + 1, &has));
	EXPECT_EQ(HEAP_SIZE + PAGE, has);
	EXPECT_EQ(0, grow(&h->c, 5 * MIB, &has));
	EXPECT_EQ(5 * MIB, has);
	EXPECT_EQ(5 * MIB, h->c.control->size);
	ASSERT_EQ(0, get_stat(&h->c, &st));
	EXPECT_EQ(5 * MIB, st.size);
	EXPECT_EQ(5 * MIB - PAGE, st.backed);
	memset(h->c.data, 1, 5 * MIB);
	EXPECT_REFUSED(ENOSPC, grow(&h->c, HEAP_MAX + 1, &has));
	EXPECT_EQ(5 * MIB, has);
	EXPECT_REFUSED(ENOSPC, grow(&h->c, ~0ULL, &has));
	EXPECT_REFUSED(ENOSPC, grow(&h->c, ~0ULL - PAGE, &has));
	EXPECT_REFUSED(ENOSPC, grow(&h->c, 1ULL << 63, &has));
	EXPECT_EQ(0, grow(&h->c, HEAP_MAX, &has));
	EXPECT_EQ(HEAP_MAX, has);
	memset(h->c.data, 1, HEAP_MAX);
}

TEST_F(blocks, trim)
{
	struct heap *h = &self->heap;
	struct slabshm_stat st0, st;
	__u64 done, own[2];

	ASSERT_EQ(0, grow(&h->c, 8 * MIB, NULL));
	memset(h->c.data + h->own, 7, 1000);
	memset(h->c.data + h->large, 8, 100000);
	ASSERT_EQ(0, get_stat(&h->c, &st0));
	EXPECT_REFUSED(0, trim(&h->c, 1, &done));
	EXPECT_EQ(0, done);
	EXPECT_REFUSED(0, trim(&h->c, PAGE - 1, &done));
	EXPECT_EQ(0, trim(&h->c, PAGE, &done));
	EXPECT_EQ(PAGE, done);
	EXPECT_EQ(0, trim(&h->c, 2 * MIB + 1, &done));
	EXPECT_EQ(2 * MIB, done);
	ASSERT_EQ(0, get_stat(&h->c, &st));
	EXPECT_EQ(st0.size, st.size);
	EXPECT_EQ(st0.live, st.live);
	EXPECT_EQ(st0.backed - 2 * MIB - PAGE, st.backed);
	EXPECT_EQ(st.backed, st.live + st.free);
	EXPECT_EQ(0, trim(&h->c, 0, &done));
	ASSERT_EQ(0, get_stat(&h->c, &st));
	EXPECT_EQ(st0.backed, st.backed + done + 2 * MIB + PAGE);
	EXPECT_GT(MIB, st.backed);
	EXPECT_REFUSED(0, trim(&h->c, 0, &done));
	EXPECT_EQ(0, done);
	EXPECT_REFUSED(0, trim(&h->c, ~0ULL, &done));

	/* What is in use was left alone, and the rest can be had again */
	own[0] = (__u64)h->c.data[h->own] | h->c.data[h->own + 999];
	EXPECT_EQ(7, own[0]);
	EXPECT_EQ(8, h->c.data[h->large]);
	EXPECT_EQ(8, h->c.data[h->large + 99999]);
	own[0] = (__u64)alloc_block(&h->c, 4 * MIB);
	ASSERT_GT(HEAP_MAX, own[0]);
	memset(h->c.data + own[0], 9, 4 * MIB);
	own[1] = (__u64)alloc_block(&h->c, 64);
	ASSERT_GT(HEAP_MAX, own[1]);
	ASSERT_EQ(0, get_stat(&h->c, &st));
	EXPECT_EQ(st0.size, st.size);
	EXPECT_EQ(st.backed, st.live + st.free);
	EXPECT_EQ(0, free_blocks(&h->c, own, 2, NULL));
}

/* Figures that hold at any moment, also while blocks are reclaimed. */
struct churn {
	struct client c;
	struct slabshm_cell_open_args cell;
};

static int churn(void *arg)
{
	struct churn *ch = arg;
	struct client c;
	long long end = now_ms() + (long_run() ? 10000 : 1000);

	if (client_open(&c, ch->c.at.name, 0, 0, 0))
		return 1;
	while (now_ms() < end) {
		__s64 b = alloc_block(&c, 200000);

		if (b < 0 || publish_one(&c, &ch->cell, (__u64)b, 1))
			return 2;
	}
	client_close(&c);
	return 0;
}

TEST(stat_is_consistent)
{
	struct churn ch;
	struct slabshm_stat st;
	int status, n = 0;
	pid_t pid;

	ASSERT_EQ(0, client_open(&ch.c, unique_name(), SLABSHM_ATTACH_CREATE,
				 64 * MIB, MIB));
	ASSERT_EQ(0, cell_open(&ch.c, "x", SLABSHM_CELL_CREATE, &ch.cell));
	pid = start_child(churn, &ch);
	ASSERT_LT(0, pid);
	while (!waitpid(pid, &status, WNOHANG)) {
		ASSERT_EQ(0, get_stat(&ch.c, &st));
		ASSERT_GE(st.size, st.backed);
		ASSERT_EQ(st.backed, st.live + st.retired + st.free)
			TH_LOG("live %llu retired %llu free %llu", st.live,
			       st.retired, st.free);
		ASSERT_GE(st.backed, st.live);
		ASSERT_GE(2, st.blocks);
		n++;
	}
	EXPECT_EQ(0, status);
	EXPECT_LT(10, n);
	client_close(&ch.c);
}

TEST_HARNESS_MAIN
