// SPDX-License-Identifier: GPL-2.0
/*
 * CELL_OPEN, CELL_REMOVE, PUBLISH and LIST: success, and every documented error.
 */
#include "abi.h"

FIXTURE(cells)
{
	struct heap heap;
};

FIXTURE_SETUP(cells)
{
	ASSERT_EQ(0, heap_make(&self->heap));
}

FIXTURE_TEARDOWN(cells)
{
	heap_end(&self->heap);
}

TEST_F(cells, cell_open)
{
	static const struct {
		__u32 flags;
		const char *name;
		int err;
	} cases[] = {
		{ SLABSHM_CELL_CREATE, "", EINVAL },
		{ SLABSHM_CELL_CREATE, "a\nb", EINVAL },
		{ SLABSHM_CELL_CREATE, "\x7f", EINVAL },
		{ 0, "", EINVAL },
		{ SLABSHM_CELL_EXCL, "cell", EINVAL },
		{ SLABSHM_CELL_EXCL, "new", EINVAL },
		{ SLABSHM_CELL_MOVABLE, "cell", EINVAL },
		{ SLABSHM_CELL_MOVABLE | SLABSHM_CELL_EXCL, "new", EINVAL },
		{ 0, "new", ENOENT },
		{ 0, "gone", ENOENT },
		{ SLABSHM_CELL_CREATE | SLABSHM_CELL_EXCL, "cell", EEXIST },
	};
	struct heap *h = &self->heap;
	struct slabshm_cell_open_args cell, again;
	struct slabshm_stat st0, st;
	unsigned int i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		EXPECT_REFUSED(cases[i].err,
			       cell_open(&h->c, cases[i].name, cases[i].flags,
					 &cell))
			TH_LOG("case %u", i);
		EXPECT_EQ(POISON32, cell.cell);
	}
	memset(&cell, 0, sizeof(cell));
	memset(cell.name, 'x', sizeof(cell.name));
	cell.flags = SLABSHM_CELL_CREATE;
	EXPECT_REFUSED(EINVAL, client_call(&h->c, SLABSHM_IOC_CELL_OPEN, &cell));
	cell.name[SLABSHM_NAME_MAX - 1] = '\0';
	EXPECT_EQ(0, client_call(&h->c, SLABSHM_IOC_CELL_OPEN, &cell));
	EXPECT_EQ(0, cell_open(&h->c, cell.name, 0, &again));
	EXPECT_EQ(cell.cell, again.cell);

	ASSERT_EQ(0, get_stat(&h->c, &st0));
	EXPECT_EQ(0, cell_open(&h->c, "a/b \xff", SLABSHM_CELL_CREATE |
			       SLABSHM_CELL_EXCL, &cell));
	ASSERT_EQ(0, get_stat(&h->c, &st));
	EXPECT_EQ(st0.cells + 1, st.cells);
	EXPECT_LT(st0.commit, st.commit);
	EXPECT_LT(0, cell.generation);
	EXPECT_GT(SLABSHM_CELLS_DEFAULT, cell.cell);
	EXPECT_EQ(0, cell_open(&h->c, "a/b \xff", 0, &again));
	EXPECT_EQ(cell.cell, again.cell);
	EXPECT_EQ(cell.generation, again.generation);
	EXPECT_EQ(0, cell_open(&h->other, "a/b \xff", SLABSHM_CELL_CREATE,
			       &again));
	EXPECT_EQ(cell.cell, again.cell);

	/* A client that may only read finds cells, and makes none */
	EXPECT_EQ(0, cell_open(&h->ro, "cell", 0, &again));
	EXPECT_EQ(h->cell.cell, again.cell);
	EXPECT_EQ(0, cell_open(&h->ro, "cell", SLABSHM_CELL_CREATE, &again));
	EXPECT_EQ(h->cell.generation, again.generation);
	EXPECT_REFUSED(ENOENT, cell_open(&h->ro, "new", 0, &again));
	EXPECT_REFUSED(EACCES, cell_open(&h->ro, "new", SLABSHM_CELL_CREATE,
					 &again));
}

TEST_F(cells, all_cells_in_use)
{
	struct heap *h = &self->heap;
	struct slabshm_cell_open_args cell[65], again;
	struct slabshm_attach_args ask;
	struct client c;
	unsigned int i;
	char name[16];

	ask_attach(&ask, NULL, SLABSHM_ATTACH_CREATE, MIB, 0);
	ask.max_cells = 65;
	ASSERT_EQ(0, client_open_ask(&c, &ask));
	for (i = 0; i < 65; i++) {
		snprintf(name, sizeof(name), "%u", i);
		ASSERT_EQ(0, cell_open(&c, name, SLABSHM_CELL_CREATE,
				       &cell[i]));
		EXPECT_GT(65, cell[i].cell);
	}
	EXPECT_EQ(-ENOSPC, cell_open(&c, "x", SLABSHM_CELL_CREATE, &again));
	EXPECT_EQ(-ENOSPC, cell_open(&c, "x", SLABSHM_CELL_CREATE, &again));
	EXPECT_EQ(0, cell_open(&c, "64", SLABSHM_CELL_CREATE, &again));
	EXPECT_EQ(-ENOENT, cell_open(&c, "x", 0, &again));
	EXPECT_EQ(0, cell_remove(&c, &cell[30]));
	EXPECT_EQ(0, cell_open(&c, "x", SLABSHM_CELL_CREATE, &again));
	EXPECT_EQ(cell[30].cell, again.cell);
	EXPECT_LT(cell[30].generation, again.generation);
	EXPECT_EQ(-EIDRM, cell_remove(&c, &cell[30]));
	EXPECT_EQ(-EIDRM, publish_one(&c, &cell[30], 0, 0));
	EXPECT_EQ(0, publish_one(&c, &again, 0, 0));
	client_close(&c);
	(void)h;
}

TEST_F(cells, cell_remove)
{
	struct heap *h = &self->heap;
	struct slabshm_cell_open_args bad = h->cell;
	struct slabshm_stat st0, st;

	bad.generation++;
	EXPECT_REFUSED(EIDRM, cell_remove(&h->c, &bad));
	bad.generation = 0;
	EXPECT_REFUSED(EIDRM, cell_remove(&h->c, &bad));
	bad.generation = ~0ULL;
	EXPECT_REFUSED(EIDRM, cell_remove(&h->c, &bad));
	EXPECT_REFUSED(EIDRM, cell_remove(&h->c, &h->gone));
	bad = h->cell;
	bad.cell = 3;
	EXPECT_REFUSED(EINVAL, cell_remove(&h->c, &bad));
	bad.cell = SLABSHM_CELLS_DEFAULT - 1;
	EXPECT_REFUSED(EINVAL, cell_remove(&h->c, &bad));
	bad.cell = SLABSHM_CELLS_DEFAULT;
	EXPECT_REFUSED(EINVAL, cell_remove(&h->c, &bad));
	bad.cell = ~0U;
	EXPECT_REFUSED(EINVAL, cell_remove(&h->c, &bad));

	ASSERT_EQ(0, get_stat(&h->c, &st0));
	EXPECT_EQ(0, cell_remove(&h->c, &h->cell));
	EXPECT_REFUSED(EIDRM, cell_remove(&h->c, &h->cell));
	take_state(h, &after);
	st = after.stat;
	EXPECT_EQ(st0.cells - 1, st.cells);
	EXPECT_EQ(st0.blocks - 2, st.blocks);
	EXPECT_EQ(st0.live - 2 * 1024, st.live);
	EXPECT_EQ(0, st.retired | st.retired_blocks);
	EXPECT_EQ(-EINVAL, free_block(&h->c, h->root));
}

/* In place of a generation: which handle to fill in */
enum { CELL = 1001, EMPTY = 1002, GONE = 1003 };

struct publish_case {
	int err;
	__u32 failed;
	unsigned int ncells;
	unsigned int nparts;
	struct slabshm_publish_cell cells[3];
	struct slabshm_publish_part parts[3];
};

static void set_handles(const struct heap *h, struct slabshm_publish_cell *item,
			unsigned int n)
{
	const struct slabshm_cell_open_args *handles[] = {
		&h->cell, &h->empty, &h->gone
	};

	for (; n--; item++) {
		if (item->generation < CELL || item->generation > GONE)
			continue;
		item->cell = handles[item->generation - CELL]->cell;
		item->generation = handles[item->generation - CELL]->generation;
	}
}

TEST_F(cells, publish_refusals)
{
	struct heap *h = &self->heap;
#define ITEM(which, ...)	{ .generation = (which), __VA_ARGS__ }
#define PART(i, o, b)	{ .item = (i), .op = SLABSHM_PART_##o, .block = (b) }
#define DROP_ALL	.flags = SLABSHM_PUBLISH_DROP_ALL
#define KEEP		.flags = SLABSHM_PUBLISH_KEEP
#define EXPECT		.flags = SLABSHM_PUBLISH_EXPECT
#define UNLOCK		.flags = SLABSHM_PUBLISH_UNLOCK
#define CONSISTENT	.flags = SLABSHM_PUBLISH_CONSISTENT
	struct slabshm_block own[2] = { { .size = 128 }, { .size = 256 } };
	const __u64 a = alloc_blocks(&h->c, own, 2, 0, 0) ? 0 : own[0].offset;
	const __u64 b = own[1].offset;
	struct publish_case cases[] = {
		/* flags that do not go together, or have no meaning */
		{ EINVAL, 0, 1, 0, { ITEM(EMPTY, .flags = 32) } },
		{ EINVAL, 0, 1, 0, { ITEM(EMPTY, .flags = 1U << 31) } },
		{ EINVAL, 1, 2, 0, { ITEM(CELL), ITEM(EMPTY, .flags = 32) } },
		{ EINVAL, 0, 1, 0, { ITEM(EMPTY, CONSISTENT) } },
		{ EINVAL, 0, 1, 0, { ITEM(EMPTY, .expected = 1) } },
		{ EINVAL, 0, 1, 0, { ITEM(EMPTY, KEEP, .block = a) } },
		{ EINVAL, 0, 1, 0, { ITEM(CELL, .flags = 6) } },
		{ EINVAL, 0, 1, 0, { ITEM(EMPTY, .length = 1) } },
		{ EINVAL, 0, 1, 0, { ITEM(EMPTY, .length = ~0ULL) } },
		{ EINVAL, 0, 1, 0, { ITEM(EMPTY, KEEP, .length = 1) } },
		{ EINVAL, 0, 1, 0, { ITEM(CELL, KEEP, .length = 1025) } },
		/* blocks that are none, or too short */
		{ EINVAL, 0, 1, 0, { ITEM(EMPTY, .block = a, .length = 129) } },
		{ EINVAL, 0, 1, 0,
			{ ITEM(EMPTY, .block = a, .length = ~0ULL) } },
		{ EINVAL, 0, 1, 0, { ITEM(EMPTY, .block = a + 64) } },
		{ EINVAL, 0, 1, 0, { ITEM(EMPTY, .block = 64) } },
		{ EINVAL, 0, 1, 0, { ITEM(EMPTY, .block = ~0ULL) } },
		{ EINVAL, 0, 1, 0, { ITEM(EMPTY, .block = HEAP_MAX) } },
		{ EINVAL, 1, 2, 0,
			{ ITEM(CELL, .block = b), ITEM(EMPTY, .block = 1) } },
		{ EINVAL, 1, 1, 1, { ITEM(EMPTY) }, { PART(0, ATTACH, 0) } },
		{ EINVAL, 1, 1, 1, { ITEM(EMPTY) }, { PART(0, ATTACH, 1) } },
		/* a block or a cell twice */
		{ EINVAL, 1, 2, 0,
			{ ITEM(CELL, .block = a), ITEM(EMPTY, .block = a) } },
		{ EINVAL, 1, 1, 1, { ITEM(EMPTY, .block = a) },
			{ PART(0, ATTACH, a) } },
		{ EINVAL, 2, 1, 2, { ITEM(EMPTY) },
			{ PART(0, ATTACH, a), PART(0, ATTACH, a) } },
		{ EINVAL, 1, 2, 0, { ITEM(CELL), ITEM(CELL) } },
		{ EINVAL, 2, 3, 0, { ITEM(CELL), ITEM(EMPTY), ITEM(CELL) } },
		{ EINVAL, 1, 2, 0, { ITEM(CELL, .block = a),
				     ITEM(CELL, .block = b) } },
		/* parts */
		{ EINVAL, 1, 1, 1, { ITEM(EMPTY) }, { PART(1, ATTACH, a) } },
		{ EINVAL, 1, 1, 1, { ITEM(EMPTY) }, { PART(~0U, ATTACH, a) } },
		{ EINVAL, 1, 1, 1, { ITEM(EMPTY) }, { { 0, 0, a } } },
		{ EINVAL, 1, 1, 1, { ITEM(EMPTY) }, { { 0, 3, a } } },
		{ EINVAL, 2, 1, 2, { ITEM(EMPTY) },
			{ PART(0, ATTACH, a), { 0, ~0U, b } } },
		{ EINVAL, 1, 1, 1, { ITEM(CELL) }, { PART(0, DROP, a) } },
		{ EINVAL, 1, 1, 1, { ITEM(CELL) }, { PART(0, DROP, 0) } },
		{ EINVAL, 1, 1, 1, { ITEM(CELL) }, { PART(0, DROP, ~0ULL) } },
		{ EINVAL, 1, 1, 1, { ITEM(CELL) }, { PART(0, DROP, h->root) } },
		{ EINVAL, 1, 1, 1, { ITEM(CELL) },
			{ PART(0, DROP, h->part + 64) } },
		{ EINVAL, 1, 1, 1, { ITEM(CELL) },
			{ PART(0, DROP, h->foreign) } },
		{ EINVAL, 1, 1, 1, { ITEM(EMPTY) },
			{ PART(0, DROP, h->part) } },
		{ EINVAL, 1, 1, 1, { ITEM(CELL, DROP_ALL) },
			{ PART(0, DROP, h->part) } },
		{ EINVAL, 2, 1, 2, { ITEM(CELL) },
			{ PART(0, DROP, h->part), PART(0, DROP, h->part) } },
		{ EINVAL, 3, 2, 2, { ITEM(EMPTY, .block = a), ITEM(CELL) },
			{ PART(1, DROP, h->part), PART(0, DROP, a) } },
		/* blocks of others, and published ones */
		{ EPERM, 0, 1, 0, { ITEM(EMPTY, .block = h->foreign) } },
		{ EPERM, 2, 1, 2, { ITEM(EMPTY) },
			{ PART(0, ATTACH, a), PART(0, ATTACH, h->foreign) } },
		{ EBUSY, 0, 1, 0, { ITEM(EMPTY, .block = h->root) } },
		{ EBUSY, 0, 1, 0, { ITEM(CELL, .block = h->root) } },
		{ EBUSY, 0, 1, 0, { ITEM(CELL, .block = h->part) } },
		{ EBUSY, 1, 1, 1, { ITEM(EMPTY) },
			{ PART(0, ATTACH, h->part) } },
		{ EBUSY, 2, 1, 2, { ITEM(CELL) },
			{ PART(0, DROP, h->part), PART(0, ATTACH, h->part) } },
		/* locks that are not held */
		{ EPERM, 0, 1, 0, { ITEM(CELL, UNLOCK, .block = a) } },
		{ EPERM, 1, 2, 1,
			{ ITEM(CELL, .block = a), ITEM(EMPTY, UNLOCK) },
			{ PART(0, DROP, h->part) } },
		/* cells that are not as they should */
		{ EAGAIN, 0, 1, 0, { ITEM(CELL, EXPECT, .block = a) } },
		{ EAGAIN, 0, 1, 0, { ITEM(CELL, EXPECT, .expected = ~0ULL) } },
		{ EAGAIN, 1, 2, 1,
			{ ITEM(EMPTY, .block = a), ITEM(CELL, EXPECT,
							.expected = 1) },
			{ PART(1, DROP, h->part) } },
		/* ... first of all, as what follows may be wrong by that */
		{ EAGAIN, 0, 1, 0,
			{ ITEM(CELL, .flags = SLABSHM_PUBLISH_KEEP |
			       SLABSHM_PUBLISH_EXPECT, .expected = 1,
			       .length = 1025) } },
		{ EAGAIN, 1, 2, 0,
			{ ITEM(CELL, KEEP, .length = 1025),
			  ITEM(EMPTY, EXPECT, .expected = 1) } },
		{ EAGAIN, 0, 1, 1, { ITEM(CELL, EXPECT, .expected = 1) },
			{ PART(0, DROP, a) } },
		{ EIDRM, 1, 2, 0,
			{ ITEM(CELL, KEEP, .length = 1025), ITEM(GONE) } },
		{ EINVAL, 0, 2, 0,
			{ ITEM(CELL, KEEP, .length = 1025), ITEM(EMPTY) } },
		{ EINVAL, 1, 2, 0,
			{ ITEM(CELL), ITEM(EMPTY, KEEP, .length = 1) } },
		{ EIDRM, 0, 1, 0, { ITEM(GONE, .block = a) } },
		{ EIDRM, 1, 2, 1, { ITEM(CELL, .block = a), ITEM(GONE) },
			{ PART(0, ATTACH, b) } },
		{ EIDRM, 0, 1, 0, { { .cell = h->cell.cell } } },
		{ EINVAL, 0, 1, 0, { { .cell = 3, .generation = 1 } } },
		{ EINVAL, 0, 1, 0, { { .cell = ~0U, .generation = 1 } } },
		{ EINVAL, 1, 2, 0, { ITEM(CELL, .block = a),
				     { .cell = SLABSHM_CELLS_DEFAULT } } },
	};
	struct publish_case *p;
	struct slabshm_block_args info;
	__u64 commit;
	__u32 failed;

	for (p = cases; p < cases + ARRAY_LEN(cases); p++) {
		set_handles(h, p->cells, p->ncells);
		EXPECT_REFUSED(p->err,
			       publish(&h->c, p->cells, p->ncells, p->parts,
				       p->nparts, &failed, &commit))
			TH_LOG("case %ld", (long)(p - cases));
		EXPECT_EQ(p->failed, failed)
			TH_LOG("case %ld", (long)(p - cases));
		EXPECT_EQ(POISON64, commit);
		ASSERT_EQ(0, block_info(&h->c, a, &info));
		EXPECT_EQ(SLABSHM_BLOCK_OWN, info.state);
	}
	/* The blocks that were refused with the others can still be used */
	EXPECT_EQ(0, publish_one(&h->c, &h->cell, a, 128));
	EXPECT_EQ(0, free_block(&h->c, b));
}

static int publish_raw(const struct heap *h, __u64 cells, __u16 ncells,
		       __u64 parts, __u16 nparts, __u32 *failed)
{
	struct slabshm_publish_args arg = {
		.cells = cells,
		.parts = parts,
		.ncells = ncells,
		.nparts = nparts,
		.failed = POISON32,
	};
	int err = client_call(&h->c, SLABSHM_IOC_PUBLISH, &arg);

	*failed = arg.failed;
	return err;
}

TEST_F(cells, publish_arrays)
{
	struct heap *h = &self->heap;
	struct slabshm_publish_cell item = ITEM(EMPTY, .block = h->own);
	struct slabshm_publish_part part = PART(0, ATTACH, h->large);
	const __u64 i = (uintptr_t)&item, p = (uintptr_t)&part;
	const __u64 gap = (uintptr_t)h->page + PAGE;
	const struct {
		int err;
		__u64 cells;
		__u16 ncells;
		__u64 parts;
		__u16 nparts;
	} cases[] = {
		{ EINVAL, i, 0, p, 0 }, { EINVAL, i, 0, p, 1 },
		{ EINVAL, i, 65, p, 0 }, { EINVAL, i, 0xffff, p, 0 },
		{ EINVAL, i, 1, p, 65 }, { EINVAL, i, 1, p, 0xffff },
		{ EINVAL, i, 0x6667, p, 0 }, { EINVAL, i, 1, p, 1 << 15 },
		{ EFAULT, 0, 1, p, 0 }, { EFAULT, i, 1, 0, 1 },
		{ EFAULT, KERNEL_ADDRESS, 1, p, 1 },
		{ EFAULT, i, 1, KERNEL_ADDRESS, 1 },
		{ EFAULT, ~0ULL, 1, p, 1 }, { EFAULT, i, 1, ~0ULL - 15, 1 },
		{ EFAULT, gap - sizeof(item) + 1, 1, p, 1 },
		{ EFAULT, i, 1, gap - sizeof(part) + 1, 1 },
		{ EFAULT, gap, 1, p, 1 },
	};
	unsigned int k;
	__u32 failed;

	set_handles(h, &item, 1);
	for (k = 0; k < ARRAY_LEN(cases); k++) {
		EXPECT_REFUSED(cases[k].err,
			       publish_raw(h, cases[k].cells, cases[k].ncells,
					   cases[k].parts, cases[k].nparts,
					   &failed))
			TH_LOG("case %u", k);
		EXPECT_EQ(NO_ITEM, failed)
			TH_LOG("case %u", k);
	}
	/* Without alignment, and with parts that nobody asks for */
	memcpy(h->page + 1, &item, sizeof(item));
	EXPECT_EQ(0, publish_raw(h, (uintptr_t)h->page + 1, 1, 0, 0, &failed));
	memcpy(h->page + 1, &part, sizeof(part));
	item.block = 0;
	EXPECT_EQ(0, publish_raw(h, i, 1, (uintptr_t)h->page + 1, 1, &failed));
}

TEST_F(cells, publish)
{
	struct heap *h = &self->heap;
	struct slabshm_publish_cell item = ITEM(CELL, .block = h->own);
	struct slabshm_publish_part part = PART(0, DROP, h->part);
	struct slabshm_cell_entry entry[2];
	struct slabshm_cell *line;
	struct slabshm_stat st0, st;
	__u64 commit, size;
	__u32 failed;

	set_handles(h, &item, 1);
	line = (void *)((char *)h->c.control + h->c.control->cells_offset);
	line += h->cell.cell;
	ASSERT_EQ(0, get_stat(&h->c, &st0));
	item.length = 1024;
	item.flags = SLABSHM_PUBLISH_EXPECT;
	item.expected = line->version[0].commit > line->version[1].commit ?
			line->version[0].commit : line->version[1].commit;
	ASSERT_EQ(0, publish(&h->c, &item, 1, &part, 1, &failed, &commit));
	EXPECT_EQ(st0.commit + 1, commit);
	EXPECT_EQ(commit, h->c.control->commit);
	EXPECT_TRUE(line->version[0].commit == commit ||
		    line->version[1].commit == commit);
	take_state(h, &after);
	st = after.stat;
	EXPECT_EQ(commit, st.commit);
	EXPECT_EQ(st0.blocks - 2, st.blocks);
	EXPECT_EQ(st0.live - 2 * 1024, st.live);
	EXPECT_EQ(-EBUSY, free_block(&h->c, h->own));
	EXPECT_EQ(-EINVAL, free_block(&h->c, h->root));
	EXPECT_EQ(-EINVAL, free_block(&h->c, h->part));

	/* Another root next to the old one, with a part; then no root */
	size = 100 * KIB;
	item.block = h->large;
	item.length = 0;
	item.flags = 0;
	item.expected = 0;
	part = (struct slabshm_publish_part)PART(0, ATTACH, 0);
	part.block = (__u64)alloc_block(&h->c, 64);
	ASSERT_EQ(0, publish(&h->c, &item, 1, &part, 1, &failed, NULL));
	ASSERT_EQ(2, list_all(&h->c, SLABSHM_LIST_CELLS, entry,
			      sizeof(entry[0]), 2));
	EXPECT_EQ(h->large, entry[0].offset);
	EXPECT_EQ(0, entry[0].length);
	EXPECT_EQ(1, entry[0].parts);
	EXPECT_EQ(size + 64, entry[0].bytes);
	item.flags = SLABSHM_PUBLISH_KEEP;
	item.block = 0;
	item.length = size;
	ASSERT_EQ(0, publish(&h->c, &item, 1, NULL, 0, &failed, NULL));
	ASSERT_EQ(2, list_all(&h->c, SLABSHM_LIST_CELLS, entry,
			      sizeof(entry[0]), 2));
	EXPECT_EQ(h->large, entry[0].offset);
	EXPECT_EQ(size, entry[0].length);
	item.flags = SLABSHM_PUBLISH_DROP_ALL;
	item.length = 0;
	ASSERT_EQ(0, publish(&h->c, &item, 1, NULL, 0, &failed, NULL));
	take_state(h, &after);
	EXPECT_EQ(0, after.cells[0].offset | after.cells[0].length |
		  after.cells[0].bytes | after.cells[0].parts);
	EXPECT_EQ(1, after.stat.blocks);	/* the foreign one */
}

/* The clock is written last: a publish stands even if that fails. */
TEST_F(cells, publish_stands)
{
	struct heap *h = &self->heap;
	struct slabshm_publish_args *arg = (void *)h->page;
	struct slabshm_publish_cell item = ITEM(EMPTY, .block = h->own);
	struct slabshm_stat st0, st;

	set_handles(h, &item, 1);
	arg->client = h->c.at.client;
	arg->cells = (uintptr_t)&item;
	arg->ncells = 1;
	ASSERT_EQ(0, get_stat(&h->c, &st0));
	protect(h, PROT_READ);
	EXPECT_EQ(0, call(h->c.fd, SLABSHM_IOC_PUBLISH, arg));
	EXPECT_REFUSED(EBUSY, call(h->c.fd, SLABSHM_IOC_PUBLISH, arg));
	protect(h, PROT_READ | PROT_WRITE);
	ASSERT_EQ(0, get_stat(&h->c, &st));
	EXPECT_EQ(st0.commit + 1, st.commit);
	EXPECT_EQ(-EBUSY, free_block(&h->c, h->own));
}

/*
 * ---------------- LIST ----------------
 */

TEST_F(cells, list_refusals)
{
	struct heap *h = &self->heap;
	const struct slabshm_list_args good = {
		.what = SLABSHM_LIST_CELLS,
		.entry_size = sizeof(struct slabshm_cell_entry),
		.entries = (uintptr_t)h->entries,
		.count = 1,
	};
	static const __u32 whats[] = { 0, 6, 255, ~0U };
	static const __u32 sizes[] = { 0, PAGE + 1, ~0U };
	const __u64 bad[] = { 0, KERNEL_ADDRESS, (uintptr_t)h->page + PAGE - 1,
			      (uintptr_t)h->page + PAGE, ~0ULL };
	struct slabshm_list_args arg;
	unsigned int i;
	int fd;

	for (i = 0; i < ARRAY_LEN(whats); i++) {
		arg = good;
		arg.what = whats[i];
		EXPECT_REFUSED(EINVAL, client_call(&h->c, SLABSHM_IOC_LIST, &arg));
	}
	for (i = 0; i < ARRAY_LEN(sizes); i++) {
		arg = good;
		arg.entry_size = sizes[i];
		EXPECT_REFUSED(EINVAL, client_call(&h->c, SLABSHM_IOC_LIST, &arg));
	}
	for (i = 0; i < ARRAY_LEN(bad); i++) {
		arg = good;
		arg.entries = bad[i];
		EXPECT_REFUSED(EFAULT, client_call(&h->c, SLABSHM_IOC_LIST, &arg));
		/* Known part fits, the tail to be cleared does not */
		arg = good;
		arg.entries = (uintptr_t)h->page + PAGE -
			      sizeof(struct slabshm_cell_entry);
		arg.entry_size += 1 + i;
		EXPECT_REFUSED(EFAULT, client_call(&h->c, SLABSHM_IOC_LIST, &arg));
	}
	arg = good;
	arg.count = 0;
	EXPECT_REFUSED(EINVAL, client_call(&h->c, SLABSHM_IOC_LIST, &arg));
	fd = open_device();
	ASSERT_LE(0, fd);
	arg = good;
	EXPECT_REFUSED(ENOTCONN, call(fd, SLABSHM_IOC_LIST, &arg));
	arg.what = SLABSHM_LIST_CLIENTS;
	EXPECT_REFUSED(ENOTCONN, call(fd, SLABSHM_IOC_LIST, &arg));
	arg.what = SLABSHM_LIST_SLABS;
	EXPECT_REFUSED(0, call(fd, SLABSHM_IOC_LIST, &arg));
	close(fd);

	/* No end of room, of which little is used; and a wild cursor */
	arg = good;
	memcpy(h->page, h->entries, 1);
	arg.entries = (uintptr_t)h->page;
	arg.count = ~0U;
	EXPECT_REFUSED(0, client_call(&h->c, SLABSHM_IOC_LIST, &arg));
	EXPECT_EQ(2, arg.count);
	for (i = SLABSHM_LIST_SLABS; i <= SLABSHM_LIST_LOCKS; i++) {
		arg = good;
		arg.what = i;
		arg.cursor = ~0ULL;
		EXPECT_REFUSED(0, client_call(&h->c, SLABSHM_IOC_LIST, &arg));
		EXPECT_EQ(0, arg.count);
	}
}

TEST_F(cells, list_cells)
{
	struct heap *h = &self->heap;
	struct slabshm_cell_entry all[2], one;
	struct {
		struct slabshm_cell_entry known;
		char more[24];
	} longer[2];
	__u64 cursor = 0;
	unsigned int i;

	ASSERT_EQ(2, list_all(&h->ro, SLABSHM_LIST_CELLS, all, sizeof(all[0]),
			      2));
	EXPECT_STREQ("cell", all[0].name);
	EXPECT_EQ(h->cell.cell, all[0].cell);
	EXPECT_EQ(h->cell.generation, all[0].generation);
	EXPECT_EQ(h->c.control->commit, all[0].commit);
	EXPECT_EQ(h->root, all[0].offset);
	EXPECT_EQ(999, all[0].length);
	EXPECT_EQ(2 * 1024, all[0].bytes);
	EXPECT_EQ(1, all[0].parts);
	EXPECT_EQ(0, all[0].flags);
	EXPECT_STREQ("empty", all[1].name);
	EXPECT_EQ(0, all[1].offset | all[1].length | all[1].bytes |
		  all[1].parts);

	/* One at a time is the same */
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(1, list(&h->c, SLABSHM_LIST_CELLS, &one,
				  sizeof(one), 1, &cursor));
		EXPECT_EQ(0, memcmp(&one, &all[i], sizeof(one)));
	}
	EXPECT_EQ(0, list(&h->c, SLABSHM_LIST_CELLS, &one, sizeof(one), 1,
			  &cursor));

	/* A program that knows less, and one that knows more */
	cursor = 0;
	ASSERT_EQ(1, list(&h->c, SLABSHM_LIST_CELLS, &one, 12, 1, &cursor));
	EXPECT_EQ(0, memcmp(&one, all, 12));
	ASSERT_EQ(2, list_all(&h->c, SLABSHM_LIST_CELLS, longer,
			      sizeof(longer[0]), 2));
	for (i = 0; i < 2; i++) {
		static const char zeros[24];

		EXPECT_EQ(0, memcmp(&longer[i].known, &all[i], sizeof(one)));
		EXPECT_EQ(0, memcmp(longer[i].more, zeros, 24));
	}
}

TEST_F(cells, list_many)
{
	struct heap *h = &self->heap;
	static struct slabshm_cell_entry all[300];
	struct slabshm_cell_open_args cell;
	unsigned int i, n = 0;
	__u64 cursor = 0;
	char name[16];
	int got;

	for (i = 0; i < 298; i++) {
		snprintf(name, sizeof(name), "many-%u", i);
		ASSERT_EQ(0, cell_open(&h->c, name, SLABSHM_CELL_CREATE,
				       &cell));
	}
	EXPECT_EQ(300, list_all(&h->c, SLABSHM_LIST_CELLS, all,
				sizeof(all[0]), 300));
	for (i = 1; i < 300; i++)
		EXPECT_LT(all[i - 1].cell, all[i].cell);
	while ((got = list(&h->c, SLABSHM_LIST_CELLS, all, sizeof(all[0]),
			   77, &cursor)) > 0)
		n += (unsigned int)got;
	EXPECT_EQ(0, got);
	EXPECT_EQ(300, n);
}

TEST_F(cells, list_clients)
{
	struct heap *h = &self->heap;
	struct slabshm_client_entry all[4];
	struct slabshm_attach_args ask;
	struct client c;

	ask_attach(&ask, h->name, 0, 0, 0);
	ASSERT_EQ(0, client_attach(&c, &ask));
	ASSERT_EQ(4, list_all(&h->ro, SLABSHM_LIST_CLIENTS, all,
			      sizeof(all[0]), 4));
	EXPECT_EQ(h->c.at.client, all[0].client);
	EXPECT_EQ(getpid(), all[0].pid);
	EXPECT_EQ(0, all[0].uid);
	EXPECT_EQ(SLABSHM_CLIENT_ALIVE, all[0].flags);
	EXPECT_EQ(2, all[0].blocks);
	EXPECT_EQ(1024 + 100 * KIB, all[0].bytes);
	EXPECT_EQ(h->other.at.client, all[1].client);
	EXPECT_EQ(1, all[1].blocks);
	EXPECT_EQ(1024, all[1].bytes);
	EXPECT_EQ(h->ro.at.client, all[2].client);
	EXPECT_EQ(SLABSHM_CLIENT_RDONLY | SLABSHM_CLIENT_ALIVE, all[2].flags);
	EXPECT_EQ(0, all[2].blocks | all[2].bytes);
	EXPECT_EQ(c.at.client, all[3].client);
	EXPECT_EQ(0, all[3].flags);
	EXPECT_EQ(0, client_map_reader(&c));
	client_unmap_reader(&c);
	ASSERT_EQ(4, list_all(&h->c, SLABSHM_LIST_CLIENTS, all,
			      sizeof(all[0]), 4));
	EXPECT_EQ(SLABSHM_CLIENT_ENDED, all[3].flags);
	client_close(&c);
	EXPECT_TRUE(wait_until(list_all(&h->c, SLABSHM_LIST_CLIENTS, all,
					sizeof(all[0]), 4) == 3, 2000));
}

TEST_F(cells, fdinfo)
{
	struct heap *h = &self->heap;
	char path[64], text[1024], expected[128];
	int fd;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", h->c.fd);
	fd = open(path, O_RDONLY);
	ASSERT_LE(0, fd);
	n = read(fd, text, sizeof(text) - 1);
	ASSERT_LT(0, n);
	text[n] = '\0';
	close(fd);
	snprintf(expected, sizeof(expected), "slabshm-name:\t%s\n", h->name);
	EXPECT_NE(NULL, strstr(text, expected));
	snprintf(expected, sizeof(expected), "slabshm-client:\t%u\n",
		 h->c.at.client);
	EXPECT_NE(NULL, strstr(text, expected));
	EXPECT_NE(NULL, strstr(text, "slabshm-rights:\trw\n"));
	EXPECT_NE(NULL, strstr(text, "slabshm-size:\t1048576\n"));
	EXPECT_NE(NULL, strstr(text, "slabshm-owned-bytes:\t103424\n"));
	EXPECT_NE(NULL, strstr(text, "slabshm-owned-blocks:\t2\n"));
}

TEST_HARNESS_MAIN
