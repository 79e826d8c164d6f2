// SPDX-License-Identifier: GPL-2.0
/*
 * Moving objects out of sparse pages: what it gains, what must stay where it is,
 * and that nobody is misled by it: readers, those who expect a version, who wait,
 * who hold locks, and those who are killed in the middle.
 */
#include <poll.h>
#include <pthread.h>

#include "pins.h"

#include "kselftest_harness.h"

WITHOUT_CACHE()

#define MOVABLE		(SLABSHM_CELL_CREATE | SLABSHM_CELL_MOVABLE)
#define MAX_CELLS	65536

static struct slabshm_ref ref[MAX_CELLS];
static uint64_t seed = 12345;

/* A slab of a fixed size that evicts nobody */
static int fixed_open(struct slabshm **s, uint64_t size)
{
	return slab_open_with(s, size, SLABSHM_READ_TIMEOUT_NEVER, size,
			      SLABSHM_ATTACH_FIXED);
}

/* Cells @first and so on, with objects: as many as @max, or as there is space for */
static int fill(struct slabshm *s, unsigned int first, unsigned int max,
		size_t len, unsigned int flags)
{
	unsigned int i;
	char name[16];
	int64_t ret;

	for (i = first; i < first + max; i++) {
		snprintf(name, sizeof(name), "cell%u", i);
		ret = slabshm_cell_open(s, name, flags, &ref[i]);
		if (!ret)
			ret = object_put(s, &ref[i], len, i, 0);
		if (ret == -ENOSPC)
			break;
		if (ret < 0)
			return (int)ret;
	}
	return (int)(i - first);
}

/* Empty all of the first @n cells but for @percent; those that are kept come first. */
static int thin(struct slabshm *s, unsigned int n, unsigned int percent)
{
	unsigned int i, kept = 0;
	int64_t ret;

	for (i = 0; i < n; i++) {
		if (any(&seed) % 100 < percent) {
			ref[kept++] = ref[i];
			continue;
		}
		ret = slabshm_put(s, &ref[i], 0, 0);
		if (ret < 0)
			return (int)ret;
	}
	return (int)kept;
}

/* Are the objects of the first @n cells whole? */
static bool all_whole(struct slabshm *s, unsigned int n)
{
	static char buf[8192];
	uint64_t who, seq;
	unsigned int i;
	ssize_t len;

	for (i = 0; i < n; i++) {
		len = slabshm_read(s, &ref[i], buf, sizeof(buf), NULL);
		if (len < 0 || object_wrong(buf, (size_t)len, &who, &seq))
			return false;
	}
	return true;
}

/* Percent of the free space that blocks of @size can have */
static double takes(struct slabshm *s, uint64_t size)
{
	uint64_t free_bytes = stat_of(s).free, had = 0;
	static struct slabshm_block block[MAX_CELLS];
	unsigned int n = 0;

	for (; n < MAX_CELLS; n++) {
		block[n].size = size;
		if (slabshm_alloc_batch(s, &block[n], 1, 0,
					SLABSHM_ALLOC_OPPORTUNISTIC))
			break;
		had += block[n].size;
	}
	while (n--)
		if (slabshm_free(s, block[n].offset))
			return -1;
	return 100.0 * (double)had / (double)free_bytes;
}

/* The entry of a cell in the list */
static struct slabshm_cell_entry entry_of(struct slabshm *s,
					  const struct slabshm_ref *cell)
{
	struct slabshm_cell_entry entry;
	uint64_t cursor = cell->cell;

	poison(&entry, sizeof(entry));
	if (slabshm_list_cells(s, &entry, 1, &cursor) != 1 ||
	    entry.cell != cell->cell)
		memset(&entry, 0xff, sizeof(entry));
	return entry;
}

static uint64_t offset_of(struct slabshm *s, const struct slabshm_ref *cell)
{
	return entry_of(s, cell).offset;
}

/*
 * ---------------- What it gains ----------------
 */

FIXTURE(space)
{
	struct slabshm *s;
};

FIXTURE_VARIANT(space)
{
	size_t small, large;
	unsigned int percent;	/* of the small ones stay */
	unsigned int before, after;	/* takes at most, and at least */
};

FIXTURE_VARIANT_ADD(space, tenth) {
	.small = 200, .large = 1000, .percent = 10, .before = 30, .after = 95,
};

FIXTURE_VARIANT_ADD(space, fiftieth) {
	.small = 200, .large = 1000, .percent = 2, .before = 80, .after = 98,
};

FIXTURE_VARIANT_ADD(space, larger) {
	.small = 1000, .large = 5000, .percent = 10, .before = 60, .after = 90,
};

FIXTURE_VARIANT_ADD(space, half) {
	.small = 1000, .large = 5000, .percent = 50, .before = 5, .after = 80,
};

FIXTURE_SETUP(space)
{
	ASSERT_EQ(0, fixed_open(&self->s, 8 * MIB));
}

FIXTURE_TEARDOWN(space)
{
	slabshm_close(self->s);
}

TEST_F_TIMEOUT(space, larger_objects, 300)
{
	struct slabshm *s = self->s;
	double before, after;
	int64_t moved;
	int n, kept;

	n = fill(s, 0, MAX_CELLS, variant->small, MOVABLE);
	ASSERT_LT(1000, n);
	kept = thin(s, (unsigned int)n, variant->percent);
	ASSERT_LT(0, kept);
	ASSERT_TRUE(all_back(s));
	before = takes(s, variant->large);
	moved = slabshm_compact(s, 0);
	ASSERT_LT(0, moved);
	ASSERT_TRUE(all_back(s));
	after = takes(s, variant->large);
	TH_LOG("%d of %d left: %.1f %% takes %zu bytes; %lld of %lld moved: %.1f %%",
	       kept, n, before, variant->large, (long long)moved,
	       (long long)live_bytes(s), after);
	EXPECT_GT(variant->before, before);
	EXPECT_LT(variant->after, after);
	EXPECT_TRUE(all_whole(s, (unsigned int)kept));
	/* Each at most once, and then there is nothing left to do */
	EXPECT_GE(live_bytes(s), (uint64_t)moved);
	EXPECT_EQ(0, slabshm_compact(s, 0));
}

/* In pieces, as with a limit of bytes for each call, it comes to the same. */
TEST_F_TIMEOUT(space, in_pieces, 300)
{
	struct slabshm *s = self->s;
	int64_t moved, all = 0;
	unsigned int calls = 0;
	int n, kept;

	n = fill(s, 0, MAX_CELLS, variant->small, MOVABLE);
	ASSERT_LT(1000, n);
	kept = thin(s, (unsigned int)n, variant->percent);
	ASSERT_LT(0, kept);
	ASSERT_TRUE(all_back(s));
	while ((moved = slabshm_compact(s, 16 * KIB)) > 0) {
		/* It ends with the run in which that was reached */
		ASSERT_GT(16 * KIB + 64 * KIB, (uint64_t)moved);
		all += moved;
		calls++;
	}
	EXPECT_EQ(0, moved);
	EXPECT_LE((uint64_t)all / (80 * KIB), calls);
	ASSERT_TRUE(all_back(s));
	EXPECT_LT(variant->after, takes(s, variant->large));
	EXPECT_GE(live_bytes(s), (uint64_t)all);
	EXPECT_TRUE(all_whole(s, (unsigned int)kept));
}

/*
 * ---------------- What must stay ----------------
 */

#define LEN	200
#define MANY	4096

FIXTURE(slab)
{
	struct slabshm *s;
	unsigned int kept;
};

/* Sparse: of 64 blocks in a run, cells 0 to kept - 1 have about 6 */
FIXTURE_SETUP(slab)
{
	int n;

	ASSERT_EQ(0, fixed_open(&self->s, 4 * MIB));
	ASSERT_EQ(MANY, fill(self->s, 0, MANY, LEN, MOVABLE));
	n = thin(self->s, MANY, 10);
	ASSERT_LT(0, n);
	self->kept = (unsigned int)n;
	ASSERT_TRUE(all_back(self->s));
}

FIXTURE_TEARDOWN(slab)
{
	slabshm_close(self->s);
}

/* How many of the first @n cells lead to another block than before? */
static unsigned int have_moved(struct slabshm *s, const uint64_t *offset,
			       unsigned int n)
{
	unsigned int i, moved = 0;

	for (i = 0; i < n; i++)
		moved += offset_of(s, &ref[i]) != offset[i];
	return moved;
}

static void note_offsets(struct slabshm *s, uint64_t *offset, unsigned int n)
{
	while (n--)
		offset[n] = offset_of(s, &ref[n]);
}

static uint64_t offset[MAX_CELLS];

/* Of the first 16 objects, and so of each page, one cannot be moved. */
TEST_F_TIMEOUT(slab, other_cells_keep_a_run, 300)
{
	struct slabshm *s = self->s;
	unsigned int i;

	slabshm_close(s);
	ASSERT_EQ(0, fixed_open(&self->s, 4 * MIB));
	s = self->s;
	for (i = 0; i < MANY; i++)
		ASSERT_EQ(1, fill(s, i, 1, LEN, i % 16 ? MOVABLE :
				  SLABSHM_CELL_CREATE));
	for (i = 0; i < MANY; i++)
		if (i % 4)
			ASSERT_LT(0, slabshm_put(s, &ref[i], 0, 0));
	ASSERT_TRUE(all_back(s));
	for (i = 0; i < MANY; i += 4)
		ref[i / 4] = ref[i];
	note_offsets(s, offset, MANY / 4);
	EXPECT_EQ(0, slabshm_compact(s, 0));
	EXPECT_EQ(0, have_moved(s, offset, MANY / 4));
	EXPECT_EQ(0, entry_of(s, &ref[0]).flags);
	EXPECT_EQ(SLABSHM_CELL_MOVABLE, entry_of(s, &ref[1]).flags);

	/* Without them it can be done, but for a run or two */
	for (i = 0; i < MANY; i += 16)
		ASSERT_LT(0, slabshm_put(s, &ref[i / 4], 0, 0));
	ASSERT_TRUE(all_back(s));
	EXPECT_LT(0, slabshm_compact(s, 0));
	EXPECT_LT(MANY / 4 / 2, have_moved(s, offset, MANY / 4));
}

static int64_t attach_part(struct slabshm *s, const struct slabshm_ref *cell)
{
	int64_t block = slabshm_alloc(s, LEN);
	struct slabshm_publish_cell item = {
		.cell = cell->cell,
		.flags = SLABSHM_PUBLISH_KEEP,
		.generation = cell->generation,
		.length = LEN,
	};
	struct slabshm_publish_part part = {
		.op = SLABSHM_PART_ATTACH,
		.block = (uint64_t)block,
	};

	if (block < 0)
		return block;
	return slabshm_publish(s, &item, 1, &part, 1, NULL);
}

enum { PARTS, LOCKED, INCONSISTENT };

FIXTURE(stays)
{
	struct slabshm *s;
	unsigned int kept;
};

FIXTURE_VARIANT(stays)
{
	int why;
};

FIXTURE_VARIANT_ADD(stays, parts) { .why = PARTS };
FIXTURE_VARIANT_ADD(stays, locked) { .why = LOCKED };
FIXTURE_VARIANT_ADD(stays, inconsistent) { .why = INCONSISTENT };

FIXTURE_SETUP(stays)
{
	int n;

	ASSERT_EQ(0, fixed_open(&self->s, 4 * MIB));
	ASSERT_EQ(MANY, fill(self->s, 0, MANY, LEN, MOVABLE));
	n = thin(self->s, MANY, 10);
	ASSERT_LT(0, n);
	self->kept = (unsigned int)n;
	ASSERT_TRUE(all_back(self->s));
}

FIXTURE_TEARDOWN(stays)
{
	slabshm_close(self->s);
}

/* A child takes all the locks, and ends. */
static pid_t locker_start(struct slabshm *parents, unsigned int n)
{
	pid_t pid = fork();
	struct slabshm *s;
	unsigned int i;

	if (pid)
		return pid;
	s = child_open(parents);
	for (i = 0; i < n; i++)
		must_do(slabshm_lock(s, &ref[i], 0));
	_exit(0);
}

TEST_F_TIMEOUT(stays, where_it_is, 300)
{
	struct slabshm *s = self->s;
	unsigned int i;

	for (i = 0; i < self->kept; i++) {
		int64_t ret = 0;

		if (variant->why == PARTS)
			ret = attach_part(s, &ref[i]);
		else if (variant->why == LOCKED)
			ret = slabshm_lock(s, &ref[i], 0);
		ASSERT_LE(0, ret);
	}
	if (variant->why == INCONSISTENT) {
		pid_t pid = locker_start(s, self->kept);

		ASSERT_EQ(pid, waitpid(pid, NULL, 0));
		/* Its locks are released when its client has ended */
		for (i = 0; i < self->kept; i++)
			ASSERT_TRUE(wait_until(slabshm_lock(s, &ref[i], 1000) ==
					       -EOWNERDEAD, BACK_MS));
		for (i = 0; i < self->kept; i++)
			ASSERT_EQ(0, slabshm_unlock(s, &ref[i]));
	}
	note_offsets(s, offset, self->kept);
	EXPECT_EQ(0, slabshm_compact(s, 0));
	EXPECT_EQ(0, have_moved(s, offset, self->kept));
	if (variant->why == PARTS)
		return;
	for (i = 0; i < self->kept; i++) {
		if (variant->why == INCONSISTENT) {
			ASSERT_EQ(-EOWNERDEAD, slabshm_lock(s, &ref[i], 0));
			ASSERT_EQ(0, slabshm_unlock_consistent(s, &ref[i]));
		} else {
			ASSERT_EQ(0, slabshm_unlock(s, &ref[i]));
		}
	}
	EXPECT_LT(0, slabshm_compact(s, 0));
	EXPECT_LT(self->kept / 2, have_moved(s, offset, self->kept));
	EXPECT_TRUE(all_whole(s, self->kept));
}

/*
 * ---------------- Who is not to be misled ----------------
 */

/* The number of a cell that was moved; @offset has what was before */
static unsigned int moved_one(struct slabshm *s, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n && offset_of(s, &ref[i]) == offset[i]; i++)
		;
	return i;
}

static int64_t put_if(struct slabshm *s, const struct slabshm_ref *cell,
		      uint64_t expected)
{
	int64_t block = slabshm_alloc(s, LEN), ret;

	if (block < 0)
		return block;
	object_fill(slabshm_ptr(s, (uint64_t)block), LEN, 7, 7);
	ret = slabshm_put_if(s, cell, (uint64_t)block, LEN, expected);
	if (ret < 0)
		slabshm_free(s, (uint64_t)block);
	return ret;
}

/* As slabshm_wait(), which itself looks at the newest version first */
static int64_t wait_for(struct slabshm *s, const struct slabshm_ref *cell,
			uint64_t version, int timeout)
{
	struct slabshm_wait_cell wait = {
		.cell = cell->cell,
		.generation = cell->generation,
		.version = version,
	};
	int ret = slabshm_wait_any(s, &wait, 1, timeout, NULL);

	return ret < 0 ? ret : (int64_t)wait.version;
}

TEST_F_TIMEOUT(slab, versions, 300)
{
	struct slabshm *s = self->s;
	uint64_t old, version;
	unsigned int i, k;
	struct slabshm_pin pin;
	struct slabshm_view view;
	char buf[LEN];

	note_offsets(s, offset, self->kept);
	for (i = 0; i < self->kept; i++) {
		version = 0;
		ASSERT_EQ(LEN, slabshm_read(s, &ref[i], buf, LEN, &version));
		/* Nothing else has published since */
		ASSERT_EQ(version, entry_of(s, &ref[i]).commit);
	}
	ASSERT_LT(0, slabshm_compact(s, 0));
	i = moved_one(s, self->kept);
	ASSERT_LT(i, self->kept);

	/* Of the last change, and as readers find it */
	old = entry_of(s, &ref[i]).commit;
	ASSERT_EQ(0, slabshm_pin(s, &pin));
	ASSERT_EQ(0, slabshm_get(&pin, &ref[i], &view));
	EXPECT_EQ(LEN, view.length);
	EXPECT_LT(old, view.version);
	ASSERT_EQ(0, slabshm_unpin(&pin));

	/* Nobody waits in vain for what did not change, or is told of it */
	for (version = old - 1; version <= view.version + 1; version++) {
		bool same = version >= old && version <= view.version;

		EXPECT_EQ(same ? -ETIMEDOUT : (int64_t)view.version,
			  wait_for(s, &ref[i], version, 0))
			TH_LOG("%llu of %llu to %llu",
			       (unsigned long long)version,
			       (unsigned long long)old,
			       (unsigned long long)view.version);
	}

	/* Who has read it before, or after, changes it; who has not does not */
	EXPECT_EQ(-EAGAIN, put_if(s, &ref[i], old - 1));
	EXPECT_EQ(-EAGAIN, put_if(s, &ref[i], view.version + 1));
	EXPECT_LT(0, put_if(s, &ref[i], old));
	EXPECT_EQ(-EAGAIN, put_if(s, &ref[i], old));
	EXPECT_EQ(-EAGAIN, put_if(s, &ref[i], view.version));

	offset[i] = offset_of(s, &ref[i]);
	k = moved_one(s, self->kept);
	ASSERT_LT(k, self->kept);
	ASSERT_EQ(LEN, slabshm_read(s, &ref[k], buf, LEN, &version));
	EXPECT_LT(0, put_if(s, &ref[k], version));
	EXPECT_EQ(-EAGAIN, put_if(s, &ref[k], version));
	/* A cell of the same place, after one that was moved */
	ASSERT_EQ(0, slabshm_cell_remove(s, &ref[k]));
	ASSERT_EQ(0, slabshm_cell_open(s, "new", MOVABLE, &ref[k]));
	EXPECT_EQ(-EAGAIN, put_if(s, &ref[k], version));
	EXPECT_LT(0, wait_for(s, &ref[k], version, 0));
}

static int poll_ms(struct slabshm *s, int ms)
{
	struct pollfd p = { .fd = slabshm_fd(s), .events = POLLIN };

	return poll(&p, 1, ms);
}

TEST_F_TIMEOUT(slab, nobody_is_told, 300)
{
	struct slabshm *s = self->s, *all;
	struct slabshm_event event[8];
	uint64_t clock, old;
	unsigned int i;

	ASSERT_EQ(0, slabshm_open_fd(&all, slabshm_fd(s), 0));
	note_offsets(s, offset, self->kept);
	for (i = 0; i < self->kept; i++)
		ASSERT_LT(0, slabshm_watch(s, &ref[i], 0, 0));
	clock = stat_of(s).commit;
	ASSERT_EQ((int64_t)clock, slabshm_watch(all, NULL, 0, 0));
	ASSERT_LT(0, slabshm_compact(s, 0));
	ASSERT_LT(clock, stat_of(s).commit);
	i = moved_one(s, self->kept);
	ASSERT_LT(i, self->kept);
	EXPECT_EQ(0, poll_ms(s, 0));
	EXPECT_EQ(0, poll_ms(all, 0));
	EXPECT_EQ(-ETIMEDOUT, slabshm_events(s, event, ARRAY_LEN(event), 0));
	EXPECT_EQ(-ETIMEDOUT, slabshm_events(all, event, ARRAY_LEN(event), 0));

	/* Nor who begins anew with what was known before */
	ASSERT_EQ(0, slabshm_unwatch(s, &ref[i]));
	old = entry_of(s, &ref[i]).commit;
	ASSERT_LT(0, slabshm_watch(s, &ref[i], SLABSHM_WATCH_SINCE, old));
	EXPECT_EQ(0, poll_ms(s, 0));
	ASSERT_EQ(0, slabshm_unwatch(all, NULL));
	ASSERT_LT(0, slabshm_watch(all, NULL, SLABSHM_WATCH_SINCE, clock));
	EXPECT_EQ(0, poll_ms(all, 0));

	/* A change is told as ever, and it alone */
	ASSERT_LT(0, object_put(s, &ref[i], LEN, i, 1));
	EXPECT_EQ(1, poll_ms(s, BACK_MS));
	EXPECT_EQ(1, slabshm_events(s, event, ARRAY_LEN(event), 0));
	EXPECT_EQ(ref[i].cell, event[0].cell);
	EXPECT_EQ(1, slabshm_events(all, event, ARRAY_LEN(event), 0));
	EXPECT_EQ(ref[i].cell, event[0].cell);

	/* Again, from what was known before both */
	ASSERT_EQ(0, slabshm_unwatch(all, NULL));
	ASSERT_LT(0, slabshm_watch(all, NULL, SLABSHM_WATCH_SINCE, clock));
	EXPECT_EQ(1, slabshm_events(all, event, ARRAY_LEN(event), 0));
	EXPECT_EQ(ref[i].cell, event[0].cell);
	slabshm_close(all);
}

static void *wait_change(void *arg)
{
	struct holder *h = arg;

	int64_t ret = wait_for(h->s, h->ref, h->view.version, BACK_MS);

	h->ret = ret < 0 ? (int)ret : 0;
	h->view.version = (uint64_t)ret;
	__atomic_store_n(&h->state, 1, __ATOMIC_RELEASE);
	return NULL;
}

/* A sleeper is not woken for it, but for the change. */
TEST_F_TIMEOUT(slab, sleeper, 300)
{
	struct slabshm *s = self->s;
	struct holder h = { .s = s };
	unsigned int i;

	note_offsets(s, offset, self->kept);
	h.ref = &ref[0];
	h.view.version = entry_of(s, &ref[0]).commit;
	ASSERT_EQ(0, pthread_create(&h.thread, NULL, wait_change, &h));
	/* There is a queue once it stands in it; it may come later, too */
	for (i = 0; i < 10; i++) {
		ASSERT_LE(0, slabshm_compact(s, 4 * KIB));
		sleep_ms(1);
	}
	ASSERT_LE(0, slabshm_compact(s, 0));
	EXPECT_EQ(0, __atomic_load_n(&h.state, __ATOMIC_ACQUIRE));
	ASSERT_LT(0, object_put(s, &ref[0], LEN, 0, 1));
	pthread_join(h.thread, NULL);
	EXPECT_EQ(0, h.ret);
	EXPECT_EQ(entry_of(s, &ref[0]).commit, h.view.version);
}

/* What a reader looks at stays, and what is emptied is not filled again. */
TEST_F_TIMEOUT(slab, pinned, 300)
{
	struct slabshm *s = self->s;
	struct slabshm_view view[MANY];
	struct slabshm_pin pin;
	uint64_t who, seq, held;
	unsigned int i, moved;
	int64_t again;

	note_offsets(s, offset, self->kept);
	ASSERT_EQ(0, slabshm_pin(s, &pin));
	for (i = 0; i < self->kept; i++)
		ASSERT_EQ(0, slabshm_get(&pin, &ref[i], &view[i]));
	ASSERT_LT(0, slabshm_compact(s, 0));
	moved = have_moved(s, offset, self->kept);
	ASSERT_LT(self->kept / 2, moved);
	held = moved * 256;
	EXPECT_TRUE(held_settles(s, held));
	for (i = 0; i < 4; i++) {
		again = slabshm_compact(s, 0);
		EXPECT_EQ(0, again);
	}
	EXPECT_TRUE(held_settles(s, held));
	/* A new object goes beside others, not where it was just made empty */
	ASSERT_EQ(1, fill(s, MANY, 1, LEN, MOVABLE));
	for (i = 0; i < self->kept; i++) {
		if (offset_of(s, &ref[i]) != offset[i])
			EXPECT_NE(offset[i] / PAGE,
				  offset_of(s, &ref[MANY]) / PAGE);
		EXPECT_EQ(NULL, object_wrong(view[i].data, view[i].length, &who,
					     &seq));
		EXPECT_EQ(slabshm_ptr(s, offset[i]), view[i].data);
	}
	EXPECT_EQ(0, slabshm_unpin(&pin));
	EXPECT_TRUE(all_back(s));
	EXPECT_LT(90, takes(s, 1000));
	EXPECT_EQ(0, stat_of(s).evictions);
	EXPECT_TRUE(all_whole(s, self->kept));
}

FIXTURE(held)
{
	struct slabshm *s;
};

/* Readers may hold 64 KiB */
FIXTURE_SETUP(held)
{
	ASSERT_EQ(0, slab_open_with(&self->s, 4 * MIB, SLABSHM_READ_TIMEOUT_NEVER,
				    64 * KIB, SLABSHM_ATTACH_FIXED));
}

FIXTURE_TEARDOWN(held)
{
	slabshm_close(self->s);
}

/* Readers are not evicted for it: it stops before. */
TEST_F_TIMEOUT(held, leaves_readers, 300)
{
	struct slabshm *s = self->s;
	struct slabshm_pin pin;
	struct slabshm_view view;
	int64_t moved;
	int n, kept;

	/* About 410 objects of 256 bytes will be left */
	n = fill(s, 0, MANY, LEN, MOVABLE);
	ASSERT_EQ(MANY, n);
	kept = thin(s, MANY, 10);
	ASSERT_LT(300, kept);
	ASSERT_TRUE(all_back(s));
	ASSERT_EQ(0, slabshm_pin(s, &pin));
	ASSERT_EQ(0, slabshm_get(&pin, &ref[0], &view));
	moved = slabshm_compact(s, 0);
	EXPECT_LT(0, moved);
	EXPECT_GE(32 * KIB + 16 * KIB, (uint64_t)moved);
	EXPECT_EQ(-EBUSY, slabshm_compact(s, 0));
	EXPECT_EQ(0, stat_of(s).evictions);
	EXPECT_EQ(0, slabshm_unpin(&pin));
	EXPECT_TRUE(all_back(s));
	EXPECT_LT(0, slabshm_compact(s, 0));
	EXPECT_TRUE(all_whole(s, (unsigned int)kept));
}

/*
 * ---------------- All at once ----------------
 */

#define BUSY		256	/* cells that are written, of twice as many */
#define WRITERS		3
#define READERS		2

struct board {
	int stop;
	uint64_t writes;
	uint64_t reads;
	uint64_t moved;
	uint64_t last[BUSY];	/* what was written last to each */
};

static struct board *board;

static bool stopped(void)
{
	return __atomic_load_n(&board->stop, __ATOMIC_RELAXED);
}

/*
 * The only one who changes these cells: what it expects is there, whatever moves
 * them.  Each second one is changed under its lock.
 */
static int writer(struct slabshm *parents, unsigned int number)
{
	struct slabshm *s = child_open(parents);
	uint64_t version, who, seq, r = any_seed(number);
	uint64_t buf[64];
	int64_t block, ret;
	unsigned int i;
	size_t len;

	while (!stopped()) {
		i = (unsigned int)(any(&r) % (BUSY / WRITERS)) * WRITERS + number;
		if (i % 2)
			must_do(slabshm_lock(s, &ref[i], -1));
		ret = must_do(slabshm_read(s, &ref[i], buf, sizeof(buf),
					   &version));
		must(!object_wrong(buf, (size_t)ret, &who, &seq));
		must(seq == board->last[i]);
		len = 168 + any(&r) % 4 * 8;	/* all of one class */
		block = slabshm_alloc(s, len);
		must_do(block);
		object_fill(slabshm_ptr(s, (uint64_t)block), len, i, seq + 1);
		must_do(slabshm_put_if(s, &ref[i], (uint64_t)block, len,
				       version));
		board->last[i] = seq + 1;
		if (i % 2)
			must_do(slabshm_unlock(s, &ref[i]));
		__atomic_add_fetch(&board->writes, 1, __ATOMIC_RELAXED);
	}
	return 0;
}

static int reader(struct slabshm *parents, unsigned int number)
{
	struct slabshm *s = child_open(parents);
	uint64_t newest[2 * BUSY] = { 0 };
	uint64_t who, seq, r = any_seed(100 + number);
	struct slabshm_view view;
	struct slabshm_pin pin;
	unsigned int i, k;

	while (!stopped()) {
		must_do(slabshm_pin(s, &pin));
		for (k = 0; k < 8; k++) {
			i = (unsigned int)(any(&r) % (2 * BUSY));
			must_do(slabshm_get(&pin, &ref[i], &view));
			must(!object_wrong(view.data, view.length, &who, &seq));
			must(who == i && seq >= newest[i]);
			newest[i] = seq;
		}
		must_do(slabshm_unpin(&pin));
		__atomic_add_fetch(&board->reads, 1, __ATOMIC_RELAXED);
	}
	return 0;
}

/* Makes runs sparse over and over, and compacts. It is killed now and then. */
static int compactor(struct slabshm *parents, unsigned int number)
{
	struct slabshm *s = child_open(parents);
	uint64_t r = any_seed(200 + number);
	int64_t block[64];
	unsigned int i;

	for (;;) {
		for (i = 0; i < 64; i++)
			block[i] = must_do(slabshm_alloc(s, 200));
		for (i = 0; i < 64; i++)
			must_do(slabshm_free(s, (uint64_t)block[i]));
		__atomic_add_fetch(&board->moved, (uint64_t)
				   must_do(slabshm_compact(s, any(&r) % 2 ? 0 :
							   any(&r) % 65536)),
				   __ATOMIC_RELAXED);
	}
	return 0;
}

static pid_t start(int (*fn)(struct slabshm *s, unsigned int number),
		   struct slabshm *s, unsigned int number)
{
	pid_t pid = fork();

	if (!pid)
		_exit(fn(s, number));
	return pid;
}

static bool ended_well(pid_t pid)
{
	int status;

	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
	       !WEXITSTATUS(status);
}

TEST_F_TIMEOUT(slab, all_at_once, 600)
{
	pid_t writers[WRITERS], readers[READERS], compactors[2];
	struct slabshm *s = self->s;
	struct holdings sum;
	struct slabshm_stat st;
	unsigned int i, kills = 0;
	long long until;
	int status;

	slabshm_close(s);
	/* Twice as many cells as are written: sparse, among what is thinned out */
	ASSERT_EQ(0, fixed_open(&self->s, 4 * MIB));
	s = self->s;
	for (i = 0; i < 16 * BUSY; i++)
		ASSERT_EQ(1, fill(s, i, 1, LEN, MOVABLE));
	for (i = 0; i < 16 * BUSY; i++)
		if (i >= 2 * BUSY)
			ASSERT_LT(0, slabshm_put(s, &ref[i], 0, 0));
	board = shared_memory(sizeof(*board));
	ASSERT_NE(NULL, board);
	for (i = 0; i < WRITERS; i++)
		writers[i] = start(writer, s, i);
	for (i = 0; i < READERS; i++)
		readers[i] = start(reader, s, i);
	for (i = 0; i < 2; i++)
		compactors[i] = start(compactor, s, i);
	until = now_ms() + test_ms(6000);
	while (now_ms() < until || !board->moved) {
		sleep_ms((int)(any(&seed) % 100));
		i = (unsigned int)(any(&seed) % 2);
		kill(compactors[i], SIGKILL);
		ASSERT_EQ(compactors[i], waitpid(compactors[i], &status, 0));
		/* It was killed, and did not end for what it saw */
		ASSERT_TRUE(WIFSIGNALED(status));
		kills++;
		compactors[i] = start(compactor, s, kills);
	}
	for (i = 0; i < 2; i++) {
		kill(compactors[i], SIGKILL);
		waitpid(compactors[i], &status, 0);
		EXPECT_TRUE(WIFSIGNALED(status));
	}
	__atomic_store_n(&board->stop, 1, __ATOMIC_RELAXED);
	for (i = 0; i < WRITERS; i++)
		EXPECT_TRUE(ended_well(writers[i]));
	for (i = 0; i < READERS; i++)
		EXPECT_TRUE(ended_well(readers[i]));
	TH_LOG("%u kills, %llu writes, %llu reads, %llu bytes moved", kills,
	       (unsigned long long)board->writes,
	       (unsigned long long)board->reads,
	       (unsigned long long)board->moved);
	EXPECT_LT(0, board->writes);
	EXPECT_LT(0, board->reads);

	/* No block is lost, and none twice */
	EXPECT_TRUE(all_back(s));
	ASSERT_EQ(0, cells_hold(s, &sum));
	EXPECT_EQ(2 * BUSY, sum.blocks);
	EXPECT_TRUE(wait_until((st = stat_of(s), st.live == sum.bytes &&
				st.blocks == sum.blocks), BACK_MS));
	EXPECT_EQ(st.backed, st.live + st.free);
	EXPECT_EQ(0, st.evictions);
	EXPECT_TRUE(all_whole(s, 2 * BUSY));
	EXPECT_LE(0, slabshm_compact(s, 0));
	EXPECT_LT(80, takes(s, 1000));
}

/* In an empty slab, and in one of a large block */
TEST(nothing_to_do)
{
	struct slabshm *s;

	ASSERT_EQ(0, fixed_open(&s, 4 * MIB));
	EXPECT_EQ(0, slabshm_compact(s, 0));
	EXPECT_EQ(0, slabshm_compact(s, 1));
	EXPECT_EQ(0, slabshm_compact(s, UINT64_MAX));
	ASSERT_EQ(1, fill(s, 0, 1, MIB, MOVABLE));
	EXPECT_EQ(0, slabshm_compact(s, 0));
	slabshm_close(s);
}

TEST_HARNESS_MAIN
