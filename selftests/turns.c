// SPDX-License-Identifier: GPL-2.0
/*
 * What the library makes of locks, waiting and watching: time in milliseconds,
 * results and indices of refused cells, threads that end, children.  How the calls
 * themselves behave is for lock.c, wait.c and watch.c.
 */
#include <limits.h>
#include <poll.h>
#include <pthread.h>

#include "calls.h"
#include "object.h"

#include "kselftest_harness.h"

FIXTURE(turns)
{
	struct slabshm *s;
	struct slabshm *other;
	struct slabshm_ref ref[2];
};

FIXTURE_SETUP(turns)
{
	ASSERT_EQ(0, slab_open(&self->s, MIB, MIB));
	ASSERT_EQ(0, slabshm_open_fd(&self->other, slabshm_fd(self->s), 0));
	ASSERT_EQ(0, slabshm_cell_open(self->s, "first", SLABSHM_CELL_CREATE,
				       &self->ref[0]));
	ASSERT_EQ(0, slabshm_cell_open(self->s, "second", SLABSHM_CELL_CREATE,
				       &self->ref[1]));
}

FIXTURE_TEARDOWN(turns)
{
	slabshm_close(self->other);
	slabshm_close(self->s);
}

/* A handle that no cell ever had */
static const struct slabshm_ref no_cell = { .cell = 1000, .generation = 1 };

/*
 * ---------------- Locks ----------------
 */

TEST_F(turns, lock_in_time)
{
	long long began;

	ASSERT_EQ(0, slabshm_lock(self->other, &self->ref[0], 0));
	EXPECT_EQ(-EBUSY, slabshm_lock(self->s, &self->ref[0], 0));
	began = now_ms();
	EXPECT_EQ(-ETIMEDOUT, slabshm_lock(self->s, &self->ref[0], 70));
	EXPECT_LE(70, now_ms() - began);
	EXPECT_GT(slowly(20000), now_ms() - began);
	EXPECT_EQ(-EPERM, slabshm_unlock(self->s, &self->ref[0]));
	EXPECT_EQ(-EDEADLK, slabshm_lock(self->other, &self->ref[0], -1));
	/* The same thread with its other handle would wait for itself */
	EXPECT_EQ(-EDEADLK, slabshm_lock(self->s, &self->ref[0], -1));
	EXPECT_EQ(0, slabshm_unlock(self->other, &self->ref[0]));
	EXPECT_EQ(0, slabshm_lock(self->s, &self->ref[0], -1));
	EXPECT_EQ(0, slabshm_unlock(self->s, &self->ref[0]));
	EXPECT_EQ(0, slabshm_lock(self->s, &self->ref[0], 1));
	EXPECT_EQ(0, slabshm_unlock(self->s, &self->ref[0]));
	EXPECT_EQ(-EINVAL, slabshm_lock(self->s, &no_cell, 0));
}

struct owner {
	struct slabshm *s;
	const struct slabshm_ref *ref;
};

static void *lock_and_end(void *arg)
{
	const struct owner *o = arg;
	int err = slabshm_lock(o->s, &o->ref[0], 0);

	return (void *)(long)(err ?: slabshm_lock(o->s, &o->ref[1], 0));
}

/* The library tells the kernel, so that the next one need not wait and look. */
TEST_F(turns, thread_ends)
{
	struct owner o = { self->s, self->ref };
	pthread_t thread;
	unsigned int i;
	void *err;

	ASSERT_EQ(0, pthread_create(&thread, NULL, lock_and_end, &o));
	ASSERT_EQ(0, pthread_join(thread, &err));
	ASSERT_EQ(NULL, err);
	for (i = 0; i < 2; i++)
		EXPECT_EQ(-EOWNERDEAD, slabshm_lock(self->other, &self->ref[i],
						    0));
	EXPECT_EQ(0, slabshm_unlock(self->other, &self->ref[0]));
	EXPECT_EQ(0, slabshm_unlock_consistent(self->other, &self->ref[1]));
	EXPECT_EQ(-EOWNERDEAD, slabshm_lock(self->s, &self->ref[0], 0));
	EXPECT_EQ(0, slabshm_lock(self->s, &self->ref[1], 0));
	EXPECT_EQ(0, slabshm_unlock_consistent(self->s, &self->ref[0]));
	EXPECT_EQ(0, slabshm_lock(self->other, &self->ref[0], 0));
}

TEST_F(turns, batches_and_list)
{
	struct slabshm_lock_cell cell[2] = {
		{ .cell = self->ref[0].cell,
		  .generation = self->ref[0].generation },
		{ .cell = self->ref[1].cell,
		  .generation = self->ref[1].generation },
	};
	struct slabshm_lock_entry entry[3];
	unsigned int failed = 7;
	uint64_t cursor = 0;
	long long began;

	EXPECT_EQ(-EINVAL, slabshm_lock_batch(self->s, cell, 0, 0, &failed));
	EXPECT_EQ(UINT_MAX, failed);
	EXPECT_EQ(-EINVAL, slabshm_lock_batch(self->s, cell, 0, 0, NULL));
	ASSERT_EQ(0, slabshm_lock(self->other, &self->ref[1], 0));
	EXPECT_EQ(-EBUSY, slabshm_lock_batch(self->s, cell, 2, 0, &failed));
	EXPECT_EQ(1, failed);
	began = now_ms();
	EXPECT_EQ(-ETIMEDOUT, slabshm_lock_batch(self->s, cell, 2, 70, NULL));
	EXPECT_LE(70, now_ms() - began);
	EXPECT_EQ(0, slabshm_unlock(self->other, &self->ref[1]));
	failed = 7;
	EXPECT_EQ(0, slabshm_lock_batch(self->s, cell, 2, -1, &failed));
	EXPECT_EQ(7, failed);

	EXPECT_EQ(2, slabshm_list_locks(self->s, entry, 3, &cursor));
	EXPECT_STREQ("first", entry[0].name);
	EXPECT_STREQ("second", entry[1].name);
	EXPECT_EQ(gettid(), entry[1].tid);
	EXPECT_EQ(SLABSHM_LOCKER_HOLDS, entry[1].flags);
	EXPECT_EQ(0, slabshm_list_locks(self->s, entry, 3, &cursor));

	EXPECT_EQ(-EPERM, slabshm_unlock_batch(self->other, cell, 2, &failed));
	EXPECT_EQ(0, failed);
	EXPECT_EQ(0, slabshm_unlock_batch(self->s, cell, 2, NULL));
	cursor = 0;
	EXPECT_EQ(0, slabshm_list_locks(self->s, entry, 3, &cursor));
}

/*
 * ---------------- Waiting ----------------
 */

static uint64_t version_at(struct slabshm *s, const struct slabshm_ref *ref)
{
	uint64_t version = 0;
	char byte;

	slabshm_read(s, ref, &byte, 1, &version);
	return version;
}

TEST_F(turns, wait_in_time)
{
	uint64_t version = version_at(self->s, &self->ref[0]);
	unsigned long before;
	long long began;
	int64_t now;

	EXPECT_EQ(-ETIMEDOUT, slabshm_wait(self->s, &self->ref[0], version, 0));
	began = now_ms();
	EXPECT_EQ(-ETIMEDOUT, slabshm_wait(self->s, &self->ref[0], version,
					   70));
	EXPECT_LE(70, now_ms() - began);
	now = slabshm_assign(self->other, &self->ref[0], "x", 1);
	ASSERT_LT(0, now);
	/* It has changed: no call is needed to see that */
	before = calls;
	EXPECT_EQ(now, slabshm_wait(self->s, &self->ref[0], version, -1));
	EXPECT_EQ(now, slabshm_wait(self->s, &self->ref[0], 0, 0));
	EXPECT_EQ(before, calls);
	EXPECT_EQ(-EINVAL, slabshm_wait(self->s, &no_cell, 1, 0));
	ASSERT_EQ(0, slabshm_cell_remove(self->other, &self->ref[0]));
	EXPECT_EQ(-EIDRM, slabshm_wait(self->s, &self->ref[0], (uint64_t)now,
				       -1));
}

static void *assign_soon(void *arg)
{
	const struct owner *o = arg;

	sleep_ms(100);
	return (void *)(long)slabshm_assign(o->s, &o->ref[1], "abc", 3);
}

TEST_F(turns, wait_and_be_woken)
{
	struct owner o = { self->other, self->ref };
	struct slabshm_wait_cell cell[2];
	unsigned int i, failed = 7;
	pthread_t thread;
	int64_t version;
	void *commit;

	version = (int64_t)version_at(self->s, &self->ref[1]);
	ASSERT_EQ(0, pthread_create(&thread, NULL, assign_soon, &o));
	version = slabshm_wait(self->s, &self->ref[1], (uint64_t)version, -1);
	ASSERT_EQ(0, pthread_join(thread, &commit));
	EXPECT_EQ((long)commit, version);

	memset(cell, 0, sizeof(cell));
	for (i = 0; i < 2; i++) {
		cell[i].cell = self->ref[i].cell;
		cell[i].generation = self->ref[i].generation;
		cell[i].version = version_at(self->s, &self->ref[i]);
	}
	EXPECT_EQ(-ETIMEDOUT, slabshm_wait_any(self->s, cell, 2, 30, &failed));
	EXPECT_EQ(UINT_MAX, failed);
	ASSERT_EQ(0, pthread_create(&thread, NULL, assign_soon, &o));
	EXPECT_EQ(1, slabshm_wait_any(self->s, cell, 2, -1, NULL));
	ASSERT_EQ(0, pthread_join(thread, &commit));
	EXPECT_EQ(0, cell[0].flags);
	EXPECT_EQ(SLABSHM_WAIT_CHANGED, cell[1].flags);
	EXPECT_EQ((long)commit, cell[1].version);
	cell[0].version--;
	cell[1].version--;
	EXPECT_EQ(2, slabshm_wait_any(self->s, cell, 2, -1, NULL));
	cell[1].generation++;
	EXPECT_EQ(-EIDRM, slabshm_wait_any(self->s, cell, 2, -1, &failed));
	EXPECT_EQ(1, failed);
}

/*
 * ---------------- Watching ----------------
 */

static short polled(struct slabshm *s)
{
	struct pollfd p = { .fd = slabshm_fd(s), .events = POLLIN };

	return poll(&p, 1, 0) < 0 ? -1 : p.revents;
}

TEST_F(turns, watch)
{
	struct slabshm_event event[3];
	int64_t first, second;
	long long began;

	EXPECT_EQ(-EINVAL, slabshm_watch(self->s, &self->ref[0], 8, 0));
	EXPECT_EQ(-EINVAL, slabshm_watch(self->s, &no_cell, 0, 0));
	EXPECT_EQ(-EINVAL, slabshm_watch(self->s, &self->ref[0], 0, 1));
	EXPECT_EQ((int64_t)version_at(self->s, &self->ref[0]),
		  slabshm_watch(self->s, &self->ref[0], 0, 0));
	EXPECT_EQ(-EEXIST, slabshm_watch(self->s, &self->ref[0], 0, 0));
	EXPECT_EQ(0, polled(self->s));
	EXPECT_EQ(-ETIMEDOUT, slabshm_events(self->s, event, 3, 0));
	began = now_ms();
	EXPECT_EQ(-ETIMEDOUT, slabshm_events(self->s, event, 3, 70));
	EXPECT_LE(70, now_ms() - began);
	first = slabshm_assign(self->other, &self->ref[0], "a", 1);
	EXPECT_EQ(POLLIN, polled(self->s));
	EXPECT_EQ(1, slabshm_events(self->s, event, 3, -1));
	EXPECT_EQ(self->ref[0].cell, event[0].cell);
	EXPECT_EQ(self->ref[0].generation, event[0].generation);
	EXPECT_EQ(first, (int64_t)event[0].version);
	EXPECT_EQ(0, slabshm_unwatch(self->s, &self->ref[0]));
	EXPECT_EQ(-ENOENT, slabshm_unwatch(self->s, &self->ref[0]));

	/* All of them, from a moment that has been */
	second = slabshm_assign(self->other, &self->ref[1], "b", 1);
	EXPECT_EQ(second, slabshm_watch(self->s, NULL, SLABSHM_WATCH_SINCE,
					(uint64_t)first));
	EXPECT_EQ(1, slabshm_events(self->s, event, 3, 0));
	EXPECT_EQ(self->ref[1].cell, event[0].cell);
	EXPECT_EQ(second, (int64_t)event[0].version);
	EXPECT_EQ(0, slabshm_unwatch(self->s, NULL));
	EXPECT_EQ(-ENOENT, slabshm_unwatch(self->s, NULL));
	EXPECT_EQ(-EINVAL, slabshm_events(self->s, event, 0, 0));
}

/* The handle is the parent's. */
static int use_parents(void *arg)
{
	struct owner *o = arg;
	struct slabshm_lock_cell lock = {
		.cell = o->ref->cell,
		.generation = o->ref->generation,
	};
	struct slabshm_wait_cell wait = {
		.cell = o->ref->cell,
		.generation = o->ref->generation,
	};
	struct slabshm_lock_entry entry;
	struct slabshm_event event;
	uint64_t cursor = 0;

	must(slabshm_lock(o->s, o->ref, 0) == -EIO);
	must(slabshm_unlock(o->s, o->ref) == -EIO);
	must(slabshm_lock_batch(o->s, &lock, 1, 0, NULL) == -EIO);
	must(slabshm_unlock_batch(o->s, &lock, 1, NULL) == -EIO);
	must(slabshm_list_locks(o->s, &entry, 1, &cursor) == -EIO);
	must(slabshm_wait(o->s, o->ref, 1, -1) == -EIO);
	must(slabshm_wait_any(o->s, &wait, 1, -1, NULL) == -EIO);
	must(slabshm_watch(o->s, o->ref, 0, 0) == -EIO);
	must(slabshm_unwatch(o->s, o->ref) == -EIO);
	must(slabshm_events(o->s, &event, 1, -1) == -EIO);
	return 0;
}

TEST_F(turns, forked_child)
{
	struct owner o = { self->s, self->ref };

	EXPECT_EQ(0, in_child(use_parents, &o));
	/* Nothing of it was the parent's */
	EXPECT_EQ(0, slabshm_lock(self->other, &self->ref[0], 0));
}

TEST_HARNESS_MAIN
