// SPDX-License-Identifier: GPL-2.0
/*
 * Objects of many blocks: parts come and go with the publishes of their cell,
 * each block has one place, and nothing is lost or left behind when the
 * publisher is killed.
 */
#include <sys/ptrace.h>

#include "object.h"

#include "kselftest_harness.h"

WITHOUT_CACHE()

#define ATTACH	SLABSHM_PART_ATTACH
#define DROP	SLABSHM_PART_DROP

/* Two empty cells, and blocks of 64 bytes each. */
struct pair {
	struct slabshm *s;
	struct slabshm_ref ref[2];
	uint64_t block[SLABSHM_BATCH_MAX + 2];
	unsigned int failed;
};

FIXTURE(parts)
{
	struct pair p;
};

FIXTURE_SETUP(parts)
{
	struct slabshm_block block[2];
	struct pair *p = &self->p;
	unsigned int i;

	ASSERT_EQ(0, slab_open(&p->s, 64 * MIB, MIB));
	ASSERT_EQ(0, slabshm_cell_open(p->s, "a", SLABSHM_CELL_CREATE,
				       &p->ref[0]));
	ASSERT_EQ(0, slabshm_cell_open(p->s, "b", SLABSHM_CELL_CREATE,
				       &p->ref[1]));
	for (i = 0; i < ARRAY_SIZE(p->block); i += 2) {
		block[0].size = 64;
		block[1].size = 64;
		ASSERT_EQ(0, slabshm_alloc_batch(p->s, block, 2, 0, 0));
		p->block[i] = block[0].offset;
		p->block[i + 1] = block[1].offset;
	}
}

FIXTURE_TEARDOWN(parts)
{
	slabshm_close(self->p.s);
}

/* One publish of cell @c, with @n parts. */
static int64_t change(struct pair *p, unsigned int c, unsigned int flags,
		      uint64_t block, uint64_t length,
		      const struct slabshm_publish_part *part, unsigned int n)
{
	struct slabshm_publish_cell item = {
		.cell = p->ref[c].cell,
		.flags = flags,
		.generation = p->ref[c].generation,
		.block = block,
		.length = length,
	};

	p->failed = POISON32;
	return slabshm_publish(p->s, &item, 1, part, n, &p->failed);
}

static int64_t change_part(struct pair *p, unsigned int c, unsigned int op,
			   uint64_t block)
{
	struct slabshm_publish_part part = { .op = op, .block = block };

	return change(p, c, SLABSHM_PUBLISH_KEEP, 0, 0, &part, 1);
}

/* What LIST says of a cell's object. */
static int entry_of(struct pair *p, unsigned int c,
		    struct slabshm_cell_entry *entry)
{
	uint64_t cursor = 0;

	poison(entry, sizeof(*entry));
	while (slabshm_list_cells(p->s, entry, 1, &cursor) == 1)
		if (entry->cell == p->ref[c].cell)
			return 0;
	return -ENOENT;
}

#define EXPECT_OBJECT(_c, _root, _length, _parts, _bytes)		\
do {									\
	struct slabshm_cell_entry entry_;				\
									\
	ASSERT_EQ(0, entry_of(p, _c, &entry_));				\
	EXPECT_EQ(_root, entry_.offset);				\
	EXPECT_EQ(_length, entry_.length);				\
	EXPECT_EQ(_parts, entry_.parts);				\
	EXPECT_EQ(_bytes, entry_.bytes);				\
} while (0)

/* After reclaim, the cells' objects and @own blocks of 64 bytes are all. */
#define EXPECT_NO_MORE(_own)						\
do {									\
	unsigned int own_ = _own;					\
	struct slabshm_stat st_;					\
	struct holdings h_;						\
									\
	EXPECT_TRUE(wait_until(!retired_bytes(p->s), 5000));		\
	ASSERT_EQ(0, slabshm_stat(p->s, &st_));				\
	ASSERT_EQ(0, cells_hold(p->s, &h_));				\
	EXPECT_EQ(h_.bytes + own_ * 64, st_.live);			\
	EXPECT_EQ(h_.blocks + own_, st_.blocks);			\
	EXPECT_EQ(0, st_.retired_blocks);				\
	EXPECT_EQ(st_.backed, st_.live + st_.free);			\
} while (0)

TEST_F(parts, attach_and_drop)
{
	struct pair *p = &self->p;
	uint64_t *block = p->block;
	struct slabshm_publish_part part[3] = {
		{ .op = ATTACH, .block = block[1] },
		{ .op = ATTACH, .block = block[2] },
	};

	EXPECT_GT(change(p, 0, 0, block[0], 10, part, 2), 0);
	EXPECT_OBJECT(0, block[0], 10, 2, 192);
	EXPECT_NO_MORE(63);

	/* One goes, another comes, the root goes as well */
	part[0].op = DROP;
	part[1].block = block[3];
	EXPECT_GT(change(p, 0, 0, block[4], 11, part, 2), 0);
	EXPECT_OBJECT(0, block[4], 11, 2, 192);
	EXPECT_NO_MORE(61);

	/* The root goes, the parts stay */
	EXPECT_GT(change(p, 0, 0, 0, 0, NULL, 0), 0);
	EXPECT_OBJECT(0, 0, 0, 2, 128);
	EXPECT_NO_MORE(61);
	EXPECT_EQ(-ENODATA, slabshm_length(p->s, &p->ref[0], NULL));

	/* The last parts go */
	part[0] = (struct slabshm_publish_part){ .op = DROP, .block = block[2] };
	part[1] = (struct slabshm_publish_part){ .op = DROP, .block = block[3] };
	EXPECT_GT(change(p, 0, SLABSHM_PUBLISH_KEEP, 0, 0, part, 2), 0);
	EXPECT_OBJECT(0, 0, 0, 0, 0);
	EXPECT_NO_MORE(61);
	EXPECT_OBJECT(1, 0, 0, 0, 0);
}

TEST_F(parts, keep)
{
	struct pair *p = &self->p;
	uint64_t *block = p->block, version = 0;
	struct slabshm_publish_part part = { .op = ATTACH, .block = block[1] };
	int64_t commit;

	/* Parts first, the root later */
	EXPECT_GT(change(p, 0, SLABSHM_PUBLISH_KEEP, 0, 0, &part, 1), 0);
	EXPECT_OBJECT(0, 0, 0, 1, 64);
	EXPECT_EQ(-EINVAL, change(p, 0, SLABSHM_PUBLISH_KEEP, 0, 1, NULL, 0));
	EXPECT_EQ(0, p->failed);
	EXPECT_GT(change(p, 0, 0, block[0], 10, NULL, 0), 0);
	EXPECT_OBJECT(0, block[0], 10, 1, 128);

	/* The same root, another length, a version of its own */
	part.block = block[2];
	commit = change(p, 0, SLABSHM_PUBLISH_KEEP, 0, 64, &part, 1);
	EXPECT_GT(commit, 0);
	EXPECT_OBJECT(0, block[0], 64, 2, 192);
	EXPECT_EQ(64, slabshm_length(p->s, &p->ref[0], &version));
	EXPECT_EQ((uint64_t)commit, version);
	EXPECT_EQ(-EINVAL, change(p, 0, SLABSHM_PUBLISH_KEEP, 0, 65, NULL,
				  0));
	EXPECT_EQ(-EINVAL, change(p, 0, SLABSHM_PUBLISH_KEEP, block[3], 1,
				  NULL, 0));
	EXPECT_EQ(-EINVAL, change(p, 0, SLABSHM_PUBLISH_KEEP |
				  SLABSHM_PUBLISH_DROP_ALL, 0, 64, NULL, 0));
	EXPECT_EQ(64, slabshm_length(p->s, &p->ref[0], &version));
	EXPECT_EQ((uint64_t)commit, version);
	EXPECT_NO_MORE(63);
}

TEST_F(parts, drop_all)
{
	struct pair *p = &self->p;
	struct slabshm_publish_part part[SLABSHM_BATCH_MAX] = { 0 };
	uint64_t *block = p->block;
	unsigned int i, round;

	for (i = 0; i < SLABSHM_BATCH_MAX; i++) {
		part[i].op = ATTACH;
		part[i].block = block[i];
	}
	EXPECT_GT(change(p, 0, 0, block[64], 64, part, SLABSHM_BATCH_MAX),
		  0);
	EXPECT_OBJECT(0, block[64], 64, 64, 65 * 64);
	EXPECT_NO_MORE(1);

	/* All go, and in the same step a new object comes, with parts */
	for (round = 0; round < 3; round++) {
		for (i = 0; i < 8; i++) {
			part[i].block = (uint64_t)slabshm_alloc(p->s, 128);
			ASSERT_GT((int64_t)part[i].block, 0);
		}
		EXPECT_GT(change(p, 0, SLABSHM_PUBLISH_DROP_ALL,
				 part[7].block, 128, part, 7), 0);
		EXPECT_OBJECT(0, part[7].block, 128, 7, 8 * 128);
		EXPECT_NO_MORE(1);
	}

	/* Attaching goes on, so does dropping */
	part[8].op = ATTACH;
	part[8].block = block[65];
	part[9].op = DROP;
	part[9].block = part[0].block;
	EXPECT_GT(change(p, 0, SLABSHM_PUBLISH_KEEP, 0, 1, &part[8], 2), 0);
	EXPECT_OBJECT(0, part[7].block, 1, 7, 7 * 128 + 64);
	EXPECT_NO_MORE(0);

	/* All go, nothing comes; and once more, with nothing there */
	EXPECT_GT(change(p, 0, SLABSHM_PUBLISH_DROP_ALL, 0, 0, NULL, 0), 0);
	EXPECT_OBJECT(0, 0, 0, 0, 0);
	EXPECT_NO_MORE(0);
	EXPECT_GT(change(p, 0, SLABSHM_PUBLISH_DROP_ALL, 0, 0, NULL, 0), 0);
	EXPECT_EQ(0, live_bytes(p->s));
}

TEST_F(parts, removal)
{
	struct pair *p = &self->p;
	struct slabshm_publish_part part[SLABSHM_BATCH_MAX] = { 0 };
	unsigned int i;

	for (i = 0; i < SLABSHM_BATCH_MAX; i++) {
		part[i].op = ATTACH;
		part[i].block = p->block[i];
	}
	ASSERT_GT(change(p, 0, 0, 0, 0, part, 40), 0);
	ASSERT_GT(change(p, 1, 0, p->block[64], 1, part + 40, 24), 0);
	EXPECT_NO_MORE(1);
	EXPECT_EQ(0, slabshm_cell_remove(p->s, &p->ref[0]));
	EXPECT_OBJECT(1, p->block[64], 1, 24, 25 * 64);
	EXPECT_NO_MORE(1);
	EXPECT_EQ(0, slabshm_cell_remove(p->s, &p->ref[1]));
	EXPECT_NO_MORE(1);
	EXPECT_EQ(64, live_bytes(p->s));
}

/* A block has one place. */
TEST_F(parts, one_place)
{
	struct pair *p = &self->p;
	uint64_t *block = p->block;
	struct slabshm_publish_part part[2] = {
		{ .op = ATTACH, .block = block[1] },
	};
	struct slabshm_publish_cell two[2] = { 0 };
	struct slabshm_stat before, after;
	unsigned int i, c, failed;

	ASSERT_GT(change(p, 0, 0, block[0], 1, part, 1), 0);
	ASSERT_EQ(0, slabshm_stat(p->s, &before));

	for (c = 0; c < 2; c++) {
		for (i = 0; i < 2; i++) {
			EXPECT_EQ(-EBUSY, change(p, c, 0, block[i], 1, NULL,
						 0));
			EXPECT_EQ(0, p->failed);
			EXPECT_EQ(-EBUSY, change_part(p, c, ATTACH,
						      block[i]));
			EXPECT_EQ(1, p->failed);
			EXPECT_EQ(-EBUSY, slabshm_free(p->s, block[i]));
		}
	}

	/* Twice in one call: as root and part, as parts, as two roots */
	part[0].block = block[2];
	EXPECT_EQ(-EINVAL, change(p, 1, 0, block[2], 1, part, 1));
	EXPECT_EQ(1, p->failed);
	part[1] = part[0];
	EXPECT_EQ(-EINVAL, change(p, 1, 0, block[3], 1, part, 2));
	EXPECT_EQ(2, p->failed);
	for (i = 0; i < 2; i++) {
		two[i].cell = p->ref[i].cell;
		two[i].generation = p->ref[i].generation;
		two[i].block = block[2];
		two[i].length = 1;
	}
	EXPECT_EQ(-EINVAL, slabshm_publish(p->s, two, 2, NULL, 0, &failed));
	EXPECT_EQ(1, failed);
	/* One cell twice */
	two[1].cell = two[0].cell;
	two[1].generation = two[0].generation;
	two[1].block = block[3];
	EXPECT_EQ(-EINVAL, slabshm_publish(p->s, two, 2, NULL, 0, &failed));
	EXPECT_EQ(1, failed);

	ASSERT_EQ(0, slabshm_stat(p->s, &after));
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(after)));
	EXPECT_OBJECT(0, block[0], 1, 1, 128);
	EXPECT_OBJECT(1, 0, 0, 0, 0);

	/* What was named in vain is still ours */
	for (i = 2; i < ARRAY_SIZE(p->block); i++)
		EXPECT_EQ(0, slabshm_free(p->s, block[i]));
	EXPECT_NO_MORE(0);
}

TEST_F(parts, drop_refused)
{
	struct pair *p = &self->p;
	uint64_t *block = p->block;
	struct slabshm_publish_part part[3] = {
		{ .op = ATTACH, .block = block[1] },
		{ .op = ATTACH, .block = block[2] },
	};
	struct slabshm_stat before, after;

	ASSERT_GT(change(p, 0, 0, block[0], 1, part, 2), 0);
	part[0].block = block[11];
	ASSERT_GT(change(p, 1, 0, block[10], 1, part, 1), 0);
	ASSERT_EQ(0, slabshm_stat(p->s, &before));

	/* Twice; a root, one's own and another's; another's part */
	part[0] = (struct slabshm_publish_part){ .op = DROP, .block = block[1] };
	part[1] = part[0];
	EXPECT_EQ(-EINVAL, change(p, 0, SLABSHM_PUBLISH_KEEP, 0, 1, part,
				  2));
	EXPECT_EQ(2, p->failed);
	EXPECT_EQ(-EINVAL, change_part(p, 0, DROP, block[0]));
	EXPECT_EQ(1, p->failed);
	EXPECT_EQ(-EINVAL, change_part(p, 0, DROP, block[10]));
	EXPECT_EQ(-EINVAL, change_part(p, 0, DROP, block[11]));
	/* Not published; inside a block; no block; nonsense */
	EXPECT_EQ(-EINVAL, change_part(p, 0, DROP, block[20]));
	EXPECT_EQ(-EINVAL, change_part(p, 0, DROP, block[1] + 1));
	EXPECT_EQ(-EINVAL, change_part(p, 0, DROP, 0));
	EXPECT_EQ(-EINVAL, change_part(p, 0, DROP, 64 * MIB));
	EXPECT_EQ(-EINVAL, change_part(p, 0, DROP, UINT64_MAX));
	EXPECT_EQ(-EINVAL, change_part(p, 0, 0, block[1]));
	EXPECT_EQ(-EINVAL, change_part(p, 0, 3, block[1]));
	EXPECT_EQ(1, p->failed);
	/* With DROP_ALL; attached in the same call */
	EXPECT_EQ(-EINVAL, change(p, 0, SLABSHM_PUBLISH_DROP_ALL, 0, 0, part,
				  1));
	EXPECT_EQ(1, p->failed);
	part[0] = (struct slabshm_publish_part){ .op = ATTACH,
						 .block = block[20] };
	part[1] = (struct slabshm_publish_part){ .op = DROP,
						 .block = block[20] };
	EXPECT_EQ(-EINVAL, change(p, 0, SLABSHM_PUBLISH_KEEP, 0, 1, part,
				  2));
	EXPECT_EQ(2, p->failed);
	/* Of a cell that is not named */
	part[0].item = 1;
	EXPECT_EQ(-EINVAL, change(p, 0, SLABSHM_PUBLISH_KEEP, 0, 1, part,
				  1));
	EXPECT_EQ(1, p->failed);

	ASSERT_EQ(0, slabshm_stat(p->s, &after));
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(after)));
	EXPECT_OBJECT(0, block[0], 1, 2, 192);
	EXPECT_OBJECT(1, block[10], 1, 1, 128);

	/* After a drop, the block is not to be dropped again */
	EXPECT_GT(change_part(p, 0, DROP, block[1]), 0);
	EXPECT_EQ(-EINVAL, change_part(p, 0, DROP, block[1]));
	EXPECT_NO_MORE(61);
	EXPECT_EQ(-EINVAL, change_part(p, 0, DROP, block[1]));
	EXPECT_EQ(-EINVAL, slabshm_free(p->s, block[1]));
	EXPECT_EQ(-EINVAL, change_part(p, 0, ATTACH, block[1]));
	EXPECT_EQ(0, slabshm_free(p->s, block[20]));
}

/*
 * Parts of an object that the cell had before, by the same index, while a pin keeps
 * them from being reclaimed, as snapshots make it cover them: they can not be
 * dropped once more.
 */
TEST_F(parts, drop_of_the_past)
{
	struct pair *p = &self->p;
	uint64_t *block = p->block;
	const struct slabshm_publish_part part[] = {
		{ .op = ATTACH, .block = block[0] },
		{ .op = ATTACH, .block = block[1] },
		{ .op = ATTACH, .block = block[2] },
		{ .op = ATTACH, .block = block[3] },
	};
	struct slabshm_pin pin;
	uint32_t index = p->ref[0].cell;

	ASSERT_GT(change(p, 0, 0, 0, 0, &part[0], 1), 0);
	ASSERT_EQ(0, slabshm_pin(p->s, &pin));

	/* The object was replaced, in the same step by parts that may go */
	ASSERT_GT(change(p, 0, SLABSHM_PUBLISH_DROP_ALL, 0, 0, &part[1], 1), 0);
	ASSERT_GT(slabshm_snapshot(&pin), 0);
	EXPECT_EQ(-EINVAL, change_part(p, 0, DROP, block[0]));
	EXPECT_GT(change_part(p, 0, DROP, block[1]), 0);
	EXPECT_EQ(-EINVAL, change_part(p, 0, DROP, block[1]));

	/* The cell was removed, and its place given to another */
	ASSERT_GT(change(p, 0, 0, 0, 0, &part[2], 1), 0);
	ASSERT_GT(slabshm_snapshot(&pin), 0);
	ASSERT_EQ(0, slabshm_cell_remove(p->s, &p->ref[0]));
	ASSERT_EQ(0, slabshm_cell_open(p->s, "c", SLABSHM_CELL_CREATE,
				       &p->ref[0]));
	ASSERT_EQ(index, p->ref[0].cell);
	ASSERT_GT(change(p, 0, 0, 0, 0, &part[3], 1), 0);
	EXPECT_EQ(-EINVAL, change_part(p, 0, DROP, block[0]));
	EXPECT_EQ(-EINVAL, change_part(p, 0, DROP, block[2]));
	EXPECT_OBJECT(0, 0, 0, 1, 64);
	/* None of the three was just not there any more */
	EXPECT_EQ(3 * 64, retired_bytes(p->s));

	EXPECT_EQ(0, slabshm_unpin(&pin));
	EXPECT_NO_MORE(62);
	EXPECT_GT(change_part(p, 0, DROP, block[3]), 0);
	EXPECT_NO_MORE(62);
}

/* Parts of several cells in one call, where one item is refused at last. */
TEST_F(parts, all_or_none)
{
	struct pair *p = &self->p;
	uint64_t *block = p->block;
	struct slabshm_publish_part part[4] = {
		{ .item = 0, .op = ATTACH, .block = block[2] },
		{ .item = 1, .op = ATTACH, .block = block[3] },
		{ .item = 1, .op = ATTACH, .block = block[4] },
		{ .item = 1, .op = DROP, .block = block[4] + 64 * 100 },
	};
	struct slabshm_publish_cell two[2] = { 0 };
	struct slabshm_stat before, after;
	unsigned int i, failed;

	for (i = 0; i < 2; i++) {
		two[i].cell = p->ref[i].cell;
		two[i].generation = p->ref[i].generation;
		two[i].block = block[i];
		two[i].length = 64;
	}
	ASSERT_EQ(0, slabshm_stat(p->s, &before));
	EXPECT_EQ(-EINVAL, slabshm_publish(p->s, two, 2, part, 4, &failed));
	EXPECT_EQ(5, failed);
	ASSERT_EQ(0, slabshm_stat(p->s, &after));
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(after)));

	EXPECT_GT(slabshm_publish(p->s, two, 2, part, 3, &failed), 0);
	EXPECT_OBJECT(0, block[0], 64, 1, 128);
	EXPECT_OBJECT(1, block[1], 64, 2, 192);

	/* Now the drops: the second of two is refused */
	ASSERT_EQ(0, slabshm_stat(p->s, &before));
	for (i = 0; i < 2; i++) {
		two[i].flags = SLABSHM_PUBLISH_KEEP;
		two[i].block = 0;
		two[i].length = 1;
		part[i].op = DROP;
	}
	part[2] = part[0];
	EXPECT_EQ(-EINVAL, slabshm_publish(p->s, two, 2, part, 3, &failed));
	EXPECT_EQ(4, failed);
	ASSERT_EQ(0, slabshm_stat(p->s, &after));
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(after)));
	EXPECT_OBJECT(0, block[0], 64, 1, 128);
	EXPECT_OBJECT(1, block[1], 64, 2, 192);
	EXPECT_GT(slabshm_publish(p->s, two, 2, part, 2, &failed), 0);
	EXPECT_OBJECT(0, block[0], 1, 0, 64);
	EXPECT_OBJECT(1, block[1], 1, 1, 128);
	EXPECT_NO_MORE(61);
}

static int publish_parents_block(void *arg)
{
	struct pair *parents = arg, mine = *parents;
	struct slabshm_publish_part part = { .op = ATTACH };
	uint64_t own;

	mine.s = child_open(parents->s);
	part.block = mine.block[2];
	own = (uint64_t)must_do(slabshm_alloc(mine.s, 64));
	must(change(&mine, 1, 0, mine.block[2], 1, NULL, 0) == -EPERM);
	must(mine.failed == 0);
	must(change(&mine, 1, 0, own, 1, &part, 1) == -EPERM);
	must(mine.failed == 1);
	must(slabshm_free(mine.s, mine.block[2]) == -EPERM);
	/* Published ones belong to no client, whoever made them */
	must(change(&mine, 1, 0, mine.block[0], 1, NULL, 0) == -EBUSY);
	must(slabshm_free(mine.s, mine.block[0]) == -EBUSY);
	/* Anybody who may write can drop a part */
	must_do(change_part(&mine, 0, DROP, mine.block[1]));
	must_do(slabshm_free(mine.s, own));
	slabshm_close(mine.s);
	return 0;
}

TEST_F(parts, others)
{
	struct pair *p = &self->p;
	uint64_t *block = p->block;
	struct slabshm_publish_part part = { .op = ATTACH, .block = block[1] };

	ASSERT_GT(change(p, 0, 0, block[0], 1, &part, 1), 0);
	EXPECT_EQ(0, in_child(publish_parents_block, p));
	EXPECT_OBJECT(0, block[0], 0, 0, 64);
	EXPECT_OBJECT(1, 0, 0, 0, 0);
	EXPECT_NO_MORE(64);
	EXPECT_EQ(0, slabshm_free(p->s, block[2]));
}

/*
 * ---------------- Updates ----------------
 */

TEST_F(parts, update)
{
	struct pair *p = &self->p;
	uint64_t offset = p->block[0], before;
	struct slabshm_ref gone;
	struct slabshm_stat st, now;
	unsigned int i;

	for (i = 0; i < 200; i++) {
		memset(slabshm_ptr(p->s, offset), (int)i, 64);
		before = offset;
		ASSERT_GT(slabshm_update(p->s, &p->ref[0], &offset, 64), 0);
		EXPECT_NE(before, offset);
		EXPECT_EQ(64, slabshm_usable_size(p->s, offset));
		EXPECT_OBJECT(0, before, 64, 0, 64);
		EXPECT_EQ(-EBUSY, slabshm_free(p->s, before));
	}

	/* What is refused takes nothing, and leaves nothing behind */
	ASSERT_EQ(0, slabshm_cell_open(p->s, "gone", SLABSHM_CELL_CREATE,
				       &gone));
	ASSERT_EQ(0, slabshm_cell_remove(p->s, &gone));
	/* So that the cache is not filled in between */
	EXPECT_EQ(0, slabshm_free(p->s, (uint64_t)slabshm_alloc(p->s, 64)));
	ASSERT_EQ(0, slabshm_stat(p->s, &st));
	before = offset;
	EXPECT_EQ(-EIDRM, slabshm_update(p->s, &gone, &offset, 64));
	EXPECT_EQ(-EINVAL, slabshm_update(p->s, &p->ref[0], &offset, 65));
	EXPECT_EQ(before, offset);
	offset = 0;
	EXPECT_EQ(-EINVAL, slabshm_update(p->s, &p->ref[0], &offset, 0));
	ASSERT_EQ(0, slabshm_stat(p->s, &now));
	EXPECT_EQ(st.blocks, now.blocks);
	EXPECT_EQ(0, slabshm_free(p->s, before));

	/* No cache keeps blocks of this size */
	offset = (uint64_t)slabshm_alloc(p->s, 128 * KIB);
	before = offset;
	ASSERT_GT(slabshm_update(p->s, &p->ref[0], &offset, 64), 0);
	EXPECT_NE(before, offset);
	EXPECT_EQ(128 * KIB, slabshm_usable_size(p->s, offset));
	EXPECT_OBJECT(0, before, 64, 0, 128 * KIB);
	EXPECT_EQ(0, slabshm_free(p->s, offset));
}

/* A client of its own that stops, updates @n times, and ends. */
static void updates(unsigned int n)
{
	struct slabshm_ref ref;
	struct slabshm *s;
	int64_t block;
	uint64_t offset;

	/* With caches, unlike the other tests */
	unsetenv("SLABSHM_CHECK");
	must_do(slab_open(&s, 64 * MIB, MIB));
	must_do(slabshm_cell_open(s, "a", SLABSHM_CELL_CREATE, &ref));
	block = slabshm_alloc(s, 100);
	must(block > 0);
	offset = (uint64_t)block;
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	raise(SIGSTOP);
	while (n--)
		must(slabshm_update(s, &ref, &offset, 100) > 0);
	_exit(0);
}

static unsigned int calls_of_updates(unsigned int n)
{
	pid_t pid = fork();
	unsigned int stops = 0;
	int status;

	if (!pid)
		updates(n);
	waitpid(pid, &status, 0);
	while (WIFSTOPPED(status)) {
		stops++;
		ptrace(PTRACE_SYSCALL, pid, NULL, NULL);
		if (waitpid(pid, &status, 0) != pid)
			break;
	}
	must(WIFEXITED(status) && !WEXITSTATUS(status));
	return stops;
}

TEST_F(parts, one_call_an_update)
{
	unsigned int stops = calls_of_updates(150) - calls_of_updates(50);

	/* Each call stops twice; now and then one fills the cache */
	EXPECT_LE(2 * 100, stops);
	EXPECT_GE(2 * (100 + 100 / 8), stops);
}

/*
 * ---------------- A tree ----------------
 *
 * Its nodes are never changed: an update makes new ones from leaf to root, and
 * one publish attaches these, drops the old ones and flips the root.
 */

#define FANOUT		22
#define LEVELS		4
#define LEAVES		(FANOUT * FANOUT * FANOUT)
#define INNER		(FANOUT + FANOUT * FANOUT)
#define PARTS		(LEAVES + INNER)		/* all but the root */
#define LEAF_BYTES	64
#define INNER_BYTES	256
#define TREE_BYTES	(LEAVES * LEAF_BYTES + (INNER + 1) * INNER_BYTES)
#define UPDATE_LEAVES	8	/* most leaves in one update */
#define PATIENCE_MS	30000	/* for the kills of one test */

/**
 * struct node - of the tree
 * @level: 0 for the root, LEVELS - 1 for a leaf
 * @index: its place in the level
 * @value: of a leaf: how often it was updated; else the sum of the children's
 * @sum: over all of the node
 * @child: offsets, not in a leaf
 */
struct node {
	uint64_t level;
	uint64_t index;
	uint64_t value;
	uint64_t sum;
	uint64_t child[FANOUT];
};

#define LEAF_LENGTH	offsetof(struct node, child)

static size_t node_length(uint64_t level)
{
	return level == LEVELS - 1 ? LEAF_LENGTH : sizeof(struct node);
}

static uint64_t node_sum(const struct node *node, uint64_t level)
{
	const uint64_t *word = (const uint64_t *)node;
	uint64_t sum = 1;
	size_t i;

	for (i = 0; i < node_length(level) / 8; i++)
		if (word + i != &node->sum)
			sum = (sum ^ word[i]) * 0x9e3779b97f4a7c15ULL;
	return sum;
}

static bool node_good(const struct node *node, uint64_t level, uint64_t index)
{
	if (node->level == level && node->index == index &&
	    node->sum == node_sum(node, level))
		return true;
	fprintf(stderr, "# bad node %llu of level %llu: it says %llu of %llu\n",
		(unsigned long long)index, (unsigned long long)level,
		(unsigned long long)node->index,
		(unsigned long long)node->level);
	return false;
}

/* One path through the tree. */
struct path {
	uint64_t version;
	uint64_t index[LEVELS];
	uint64_t offset[LEVELS];	/* not of the root */
	struct node node[LEVELS];
};

/*
 * Read the path to a leaf.  -EAGAIN if the tree is another one meanwhile: what
 * was read before that is not to be trusted.
 */
static int path_read(const struct slabshm *s, const struct slabshm_ref *ref,
		     uint64_t leaf, struct path *path)
{
	uint64_t version;
	unsigned int i;
	ssize_t len;

	for (i = LEVELS; i--; leaf /= FANOUT)
		path->index[i] = leaf;
	len = slabshm_read(s, ref, &path->node[0], sizeof(path->node[0]),
			   &path->version);
	if (len < 0)
		return (int)len;
	must(len == sizeof(struct node));
	for (i = 0; i < LEVELS; i++) {
		if (i) {
			path->offset[i] = path->node[i - 1]
				.child[path->index[i] % FANOUT];
			memcpy(&path->node[i], slabshm_ptr(s, path->offset[i]),
			       node_length(i));
			__atomic_thread_fence(__ATOMIC_ACQUIRE);
			must_do(slabshm_length(s, ref, &version));
			if (version != path->version)
				return -EAGAIN;
		}
		must(node_good(&path->node[i], i, path->index[i]));
	}
	return 0;
}

struct tree {
	struct slabshm *s;
	struct slabshm_ref ref;
	int stop;
	uint64_t updates;
	uint64_t conflicts;
	uint64_t reads;
	uint64_t rereads;
	uint64_t restarts;
};

static int read_tree(void *arg)
{
	struct tree *t = arg;
	struct slabshm *s = child_open(t->s);
	uint64_t seed = any_seed(1), last = 0;
	struct path path;
	int ret;

	while (!__atomic_load_n(&t->stop, __ATOMIC_RELAXED)) {
		ret = path_read(s, &t->ref, any(&seed) % LEAVES, &path);
		must(path.version >= last);
		last = path.version;
		t->rereads += ret == -EAGAIN;
		if (ret != -EAGAIN)
			must_do(ret);
		t->reads++;
	}
	slabshm_close(s);
	return 0;
}

/* The copies that one update makes. */
struct copies {
	struct node node[UPDATE_LEAVES * LEVELS];
	uint64_t old[UPDATE_LEAVES * LEVELS];
	unsigned int n;
};

static struct node *copy_of(struct copies *c, const struct path *path,
			    unsigned int level)
{
	unsigned int i;

	for (i = 0; i < c->n; i++)
		if (c->node[i].level == level &&
		    c->node[i].index == path->index[level])
			return &c->node[i];
	memset(&c->node[i], 0, sizeof(c->node[i]));
	memcpy(&c->node[i], &path->node[level], node_length(level));
	c->old[i] = level ? path->offset[level] : 0;
	c->n++;
	return &c->node[i];
}

/* Update some leaves in one step; -EAGAIN if another was faster. */
static int update_tree(struct slabshm *s, const struct slabshm_ref *ref,
		       uint64_t *seed)
{
	struct slabshm_publish_part part[2 * UPDATE_LEAVES * LEVELS] = { 0 };
	struct slabshm_block block[UPDATE_LEAVES * LEVELS];
	struct slabshm_publish_cell item = {
		.cell = ref->cell,
		.generation = ref->generation,
		.flags = SLABSHM_PUBLISH_EXPECT,
		.length = sizeof(struct node),
	};
	unsigned int i, k, leaves, level, nparts = 0;
	static struct copies c;
	struct path path;
	int64_t ret;

	c.n = 0;
	leaves = 1 + any(seed) % UPDATE_LEAVES;
	for (i = 0; i < leaves; i++) {
		ret = path_read(s, ref, any(seed) % LEAVES, &path);
		if (ret)
			return (int)ret;
		if (i && path.version != item.expected)
			return -EAGAIN;
		item.expected = path.version;
		for (level = 0; level < LEVELS; level++)
			copy_of(&c, &path, level)->value++;
	}
	for (i = 0; i < c.n; i++)
		block[i].size = node_length(c.node[i].level);
	must_do(slabshm_alloc_batch(s, block, c.n, 0, 0));

	/* Let the parents name the copies */
	for (i = 0; i < c.n; i++) {
		for (k = 0; k < c.n; k++) {
			if (c.node[k].level != c.node[i].level + 1 ||
			    c.node[k].index / FANOUT != c.node[i].index)
				continue;
			c.node[i].child[c.node[k].index % FANOUT] =
				block[k].offset;
		}
	}
	for (i = 0; i < c.n; i++) {
		level = c.node[i].level;
		c.node[i].sum = node_sum(&c.node[i], level);
		memcpy(slabshm_ptr(s, block[i].offset), &c.node[i],
		       node_length(level));
		if (!level) {
			item.block = block[i].offset;
			continue;
		}
		part[nparts].op = ATTACH;
		part[nparts++].block = block[i].offset;
		part[nparts].op = DROP;
		part[nparts++].block = c.old[i];
	}
	must(item.block && nparts <= SLABSHM_BATCH_MAX);
	ret = slabshm_publish(s, &item, 1, part, nparts, NULL);
	if (ret == -EAGAIN)
		for (i = 0; i < c.n; i++)
			must_do(slabshm_free(s, block[i].offset));
	return ret > 0 ? 0 : (int)ret;
}

static int write_tree(void *arg)
{
	struct tree *t = arg;
	struct slabshm *s = child_open(t->s);
	uint64_t seed = any_seed(2);
	int ret;

	for (;;) {
		ret = update_tree(s, &t->ref, &seed);
		must(ret == 0 || ret == -EAGAIN);
		__atomic_add_fetch(ret ? &t->conflicts : &t->updates, 1,
				   __ATOMIC_RELAXED);
	}
}

/* Attach @n blocks of the tree in advance, 64 at a time. */
static void tree_attach(struct tree *t, const struct slabshm_block *block,
			unsigned int n)
{
	struct slabshm_publish_part part[SLABSHM_BATCH_MAX] = { 0 };
	struct slabshm_publish_cell item = {
		.cell = t->ref.cell,
		.generation = t->ref.generation,
		.flags = SLABSHM_PUBLISH_KEEP,
	};
	unsigned int i;

	for (i = 0; i < n; i++) {
		part[i].op = ATTACH;
		part[i].block = block[i].offset;
	}
	must_do(slabshm_publish(t->s, &item, 1, part, n, NULL));
}

/* Make the tree from the leaves up. */
static void tree_build(struct tree *t)
{
	static uint64_t below[LEAVES];
	struct slabshm_block block[SLABSHM_BATCH_MAX];
	struct slabshm_publish_cell root = { 0 };
	unsigned int level, nodes = LEAVES, first, i, k, n;
	struct node node;

	for (level = LEVELS - 1; level; level--, nodes /= FANOUT) {
		for (first = 0; first < nodes; first += n) {
			n = nodes - first < SLABSHM_BATCH_MAX ?
				nodes - first : SLABSHM_BATCH_MAX;
			for (i = 0; i < n; i++)
				block[i].size = node_length(level);
			must_do(slabshm_alloc_batch(t->s, block, n, 0, 0));
			for (i = 0; i < n; i++) {
				memset(&node, 0, sizeof(node));
				node.level = level;
				node.index = first + i;
				for (k = 0; level < LEVELS - 1 && k < FANOUT;
				     k++)
					node.child[k] =
						below[node.index * FANOUT + k];
				node.sum = node_sum(&node, level);
				memcpy(slabshm_ptr(t->s, block[i].offset),
				       &node, node_length(level));
				/* Its children were taken before */
				below[node.index] = block[i].offset;
			}
			tree_attach(t, block, n);
		}
	}
	memset(&node, 0, sizeof(node));
	memcpy(node.child, below, sizeof(node.child));
	node.sum = node_sum(&node, 0);
	/* Not slabshm_put(), which would drop the parts */
	root.cell = t->ref.cell;
	root.generation = t->ref.generation;
	root.length = sizeof(node);
	root.block = (uint64_t)must_do(slabshm_alloc(t->s, sizeof(node)));
	memcpy(slabshm_ptr(t->s, root.block), &node, sizeof(node));
	must_do(slabshm_publish(t->s, &root, 1, NULL, 0, NULL));
}

/* What a walk through the whole tree has found. */
struct found {
	uint64_t nodes[LEVELS];
	bool thorough;		/* ask the kernel about each block */
	bool bad;
};

static uint64_t walk(const struct slabshm *s, uint64_t offset, uint64_t level,
		     uint64_t index, struct found *f)
{
	struct client c = {
		.fd = slabshm_fd(s),
		.at.client = slabshm_client(s),
	};
	const struct node *node = slabshm_ptr(s, offset);
	struct slabshm_block_args info;
	uint64_t sum = 0;
	unsigned int k;

	if (f->bad)
		return 0;
	if (!node || !node_good(node, level, index) ||
	    (f->thorough &&
	     (block_info(&c, offset, &info) || info.start != offset ||
	      info.state != SLABSHM_BLOCK_PUBLISHED ||
	      info.size != (level == LEVELS - 1 ? LEAF_BYTES : INNER_BYTES)))) {
		f->bad = true;
		return 0;
	}
	f->nodes[level]++;
	if (level == LEVELS - 1)
		return node->value;
	for (k = 0; k < FANOUT; k++)
		sum += walk(s, node->child[k], level + 1, index * FANOUT + k,
			    f);
	if (sum != node->value)
		f->bad = true;
	return sum;
}

/* Nobody writes now: every node is there, and nothing else. */
static void tree_check(struct __test_metadata *_metadata, struct tree *t,
		       bool thorough)
{
	struct slabshm_cell_entry entry;
	struct found found = { .thorough = thorough };
	uint64_t cursor = 0;
	struct slabshm_stat st;

	ASSERT_EQ(1, slabshm_list_cells(t->s, &entry, 1, &cursor));
	EXPECT_EQ(PARTS, entry.parts);
	EXPECT_EQ(TREE_BYTES, entry.bytes);
	EXPECT_EQ(sizeof(struct node), entry.length);
	walk(t->s, entry.offset, 0, 0, &found);
	EXPECT_FALSE(found.bad);
	EXPECT_EQ(1, found.nodes[0]);
	EXPECT_EQ(FANOUT, found.nodes[1]);
	EXPECT_EQ(FANOUT * FANOUT, found.nodes[2]);
	EXPECT_EQ(LEAVES, found.nodes[3]);

	/* The killed client's nodes come back a moment later */
	EXPECT_TRUE(wait_until(live_bytes(t->s) == TREE_BYTES, 10000));
	EXPECT_TRUE(wait_until(!retired_bytes(t->s), 10000));
	ASSERT_EQ(0, slabshm_stat(t->s, &st));
	EXPECT_EQ(TREE_BYTES, st.live);
	EXPECT_EQ(PARTS + 1, st.blocks);
	EXPECT_EQ(st.backed, st.live + st.free);
}

FIXTURE(tree)
{
	struct tree *t;
};

FIXTURE_VARIANT(tree)
{
	unsigned int writers;
	unsigned int kills;
	unsigned int check_every;
};

FIXTURE_VARIANT_ADD(tree, one_writer)
{
	.writers = 1, .kills = 25, .check_every = 1,
};

FIXTURE_VARIANT_ADD(tree, two_writers)
{
	.writers = 2, .kills = 50, .check_every = 10,
};

FIXTURE_SETUP(tree)
{
	self->t = shared_memory(sizeof(*self->t));
	ASSERT_NE(NULL, self->t);
	ASSERT_EQ(0, slab_open(&self->t->s, 64 * MIB, MIB));
	ASSERT_EQ(0, slabshm_cell_open(self->t->s, "tree", SLABSHM_CELL_CREATE,
				       &self->t->ref));
	tree_build(self->t);
	tree_check(_metadata, self->t, true);
}

FIXTURE_TEARDOWN(tree)
{
	slabshm_close(self->t->s);
}

TEST_F_TIMEOUT(tree, killed_writers, 300)
{
	unsigned int i, w, kills = variant->kills * (long_run() ? 20 : 1);
	long long end = long_run() ? INT64_MAX : now_ms() + PATIENCE_MS;
	uint64_t seed = any_seed(3), begun;
	struct tree *t = self->t;
	pid_t writer[2], reader;
	struct path path;
	bool last;

	reader = start_child(read_tree, t);
	for (w = 0; w < variant->writers; w++)
		writer[w] = start_child(write_tree, t);
	for (i = 1; i <= kills; i++) {
		begun = __atomic_load_n(&t->updates, __ATOMIC_RELAXED);
		EXPECT_TRUE(wait_until(__atomic_load_n(&t->updates,
						       __ATOMIC_RELAXED) !=
				       begun, 20000));
		usleep(any(&seed) % 8000);
		w = any(&seed) % variant->writers;
		ASSERT_EQ(0, kill(writer[w], SIGKILL));
		ASSERT_EQ(-SIGKILL, end_child(writer[w]));
		if (i % variant->check_every == 0) {
			if (variant->writers == 2) {
				kill(writer[!w], SIGKILL);
				ASSERT_EQ(-SIGKILL, end_child(writer[!w]));
			}
			last = i == kills || now_ms() > end;
			tree_check(_metadata, t, last || i % 16 == 0);
			if (last)
				break;
			if (variant->writers == 2)
				writer[!w] = start_child(write_tree, t);
		}
		writer[w] = start_child(write_tree, t);
	}
	t->stop = 1;
	EXPECT_EQ(0, end_child(reader));
	TH_LOG("%u kills, %llu updates, %llu conflicts, %llu reads, %llu in vain",
	       i, (unsigned long long)t->updates,
	       (unsigned long long)t->conflicts, (unsigned long long)t->reads,
	       (unsigned long long)t->rereads);
	EXPECT_GE(t->updates, i);
	EXPECT_GT(t->reads, t->rereads);
	EXPECT_EQ(0, path_read(t->s, &t->ref, 0, &path));
	EXPECT_GT(path.node[0].value, t->updates - 1);

	/* Removing the cell returns all of it */
	EXPECT_EQ(0, slabshm_cell_remove(t->s, &t->ref));
	EXPECT_EQ(0, live_bytes(t->s));
	EXPECT_TRUE(wait_until(!retired_bytes(t->s), 10000));
}

FIXTURE(whole_tree)
{
	struct tree t;
};

FIXTURE_SETUP(whole_tree)
{
	ASSERT_EQ(0, slab_open(&self->t.s, 64 * MIB, MIB));
	ASSERT_EQ(0, slabshm_cell_open(self->t.s, "tree", SLABSHM_CELL_CREATE,
				       &self->t.ref));
	tree_build(&self->t);
}

FIXTURE_TEARDOWN(whole_tree)
{
	slabshm_close(self->t.s);
}

/* One publish drops all of a large tree; another tree takes its place. */
TEST_F_TIMEOUT(whole_tree, drop_all, 300)
{
	struct slabshm_publish_cell item = {
		.cell = self->t.ref.cell,
		.generation = self->t.ref.generation,
		.flags = SLABSHM_PUBLISH_DROP_ALL,
		.length = 5,
	};
	struct tree *t = &self->t;
	struct slabshm_stat st;
	int64_t block;

	tree_check(_metadata, t, true);
	block = slabshm_alloc(t->s, 5);
	ASSERT_GT(block, 0);
	item.block = (uint64_t)block;
	EXPECT_GT(slabshm_publish(t->s, &item, 1, NULL, 0, NULL), 0);
	ASSERT_EQ(0, slabshm_stat(t->s, &st));
	EXPECT_EQ(64, st.live);
	EXPECT_EQ(1, st.blocks);
	EXPECT_TRUE(wait_until(!retired_bytes(t->s), 10000));
	ASSERT_EQ(0, slabshm_stat(t->s, &st));
	EXPECT_EQ(st.backed, st.free + 64);

	tree_build(t);
	tree_check(_metadata, t, true);
}

/* Removed while it is torn down already, and then with the slab. */
TEST_F_TIMEOUT(whole_tree, closed_at_once, 300)
{
	struct tree *t = &self->t;

	EXPECT_EQ(0, slabshm_cell_remove(t->s, &t->ref));
	ASSERT_EQ(0, slabshm_cell_open(t->s, "tree", SLABSHM_CELL_CREATE,
				       &t->ref));
	tree_build(t);
	EXPECT_EQ(0, slabshm_cell_remove(t->s, &t->ref));
}

TEST_HARNESS_MAIN
