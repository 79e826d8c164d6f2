// SPDX-License-Identifier: GPL-2.0
/*
 * A thread that waits is cancelled, by pthread_cancel() or slabshm_cancel(): it
 * leaves no lock and nobody in a queue, and takes no event with it.
 */
#include <pthread.h>

#include "pins.h"

#include "kselftest_harness.h"

#define LEN		64
#define PATIENCE	20000

enum what { WAIT, EVENTS, LOCK };

FIXTURE(cancel)
{
	struct slabshm *s;
	struct slabshm_ref ref;
	int64_t version;
};

FIXTURE_VARIANT(cancel)
{
	enum what what;
};

FIXTURE_VARIANT_ADD(cancel, wait) { .what = WAIT };
FIXTURE_VARIANT_ADD(cancel, events) { .what = EVENTS };
FIXTURE_VARIANT_ADD(cancel, lock) { .what = LOCK };

FIXTURE_SETUP(cancel)
{
	struct slabshm_stat st;

	ASSERT_EQ(0, patient_open(&self->s, 64 * MIB));
	ASSERT_EQ(0, cells_make(self->s, &self->ref, 1, LEN));
	st = stat_of(self->s);
	self->version = (int64_t)st.commit;
	ASSERT_LT(0, slabshm_watch(self->s, &self->ref, 0, 0));
}

FIXTURE_TEARDOWN(cancel)
{
	slabshm_close(self->s);
}

struct sleeper {
	struct slabshm *s;
	const struct slabshm_ref *ref;
	uint64_t version;
	enum what what;
	pthread_t thread;
	unsigned int tid;
	int64_t ret;
};

static int64_t do_wait(struct sleeper *w)
{
	struct slabshm_event event;

	switch (w->what) {
	case WAIT:
		return slabshm_wait(w->s, w->ref, w->version, -1);
	case EVENTS:
		return slabshm_events(w->s, &event, 1, -1);
	case LOCK:
		return slabshm_lock(w->s, w->ref, -1);
	}
	return -EINVAL;
}

static void *sleeper(void *arg)
{
	struct sleeper *w = arg;

	__atomic_store_n(&w->tid, my_tid(), __ATOMIC_RELEASE);
	w->ret = do_wait(w);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	if (w->what == LOCK && !w->ret)
		must_do(slabshm_unlock(w->s, w->ref));
	return NULL;
}

static bool asleep(struct sleeper *w)
{
	unsigned int tid = __atomic_load_n(&w->tid, __ATOMIC_ACQUIRE);
	char path[64], state = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%u/stat", tid);
	f = tid ? fopen(path, "r") : NULL;
	if (!f)
		return false;
	if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
		state = 0;
	fclose(f);
	return state == 'S';
}

static int sleeper_start(struct sleeper *w)
{
	w->tid = 0;
	w->ret = 1000000;
	if (pthread_create(&w->thread, NULL, sleeper, w))
		return -EAGAIN;
	return wait_until(asleep(w), PATIENCE) ? 0 : -ETIMEDOUT;
}

/* Return: 0, 1 it was cancelled, -ETIMEDOUT. */
static int sleeper_join(struct sleeper *w)
{
	struct timespec until;
	void *ret;
	int err;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE / 1000;
	err = pthread_timedjoin_np(w->thread, &ret, &until);
	return err ? -err : ret == PTHREAD_CANCELED;
}

static int lockers(struct slabshm *s)
{
	struct slabshm_lock_entry entry[4];
	uint64_t cursor = 0;

	return slabshm_list_locks(s, entry, ARRAY_LEN(entry), &cursor);
}

static struct sleeper sleeper_of(struct slabshm *s, const struct slabshm_ref *ref,
				 int64_t version, enum what what)
{
	return (struct sleeper){
		.s = s,
		.ref = ref,
		.version = (uint64_t)version,
		.what = what,
	};
}

TEST_F_TIMEOUT(cancel, a_thread, 120)
{
	struct sleeper w = sleeper_of(self->s, &self->ref, self->version,
				       variant->what);
	struct slabshm_event event;
	struct slabshm *s = self->s;

	ASSERT_EQ(0, slabshm_lock(s, &self->ref, 0));
	ASSERT_EQ(0, sleeper_start(&w));
	EXPECT_EQ(variant->what == LOCK ? 2 : 1, lockers(s));
	ASSERT_EQ(0, pthread_cancel(w.thread));
	ASSERT_EQ(1, sleeper_join(&w));
	EXPECT_EQ(1, lockers(s));
	ASSERT_GT(object_put(s, &self->ref, LEN, 0, 1), 0);
	EXPECT_EQ(0, slabshm_unlock(s, &self->ref));
	EXPECT_EQ(0, lockers(s));
	EXPECT_EQ(0, slabshm_lock(s, &self->ref, 0));
	EXPECT_EQ(0, slabshm_unlock(s, &self->ref));
	EXPECT_EQ(1, slabshm_events(s, &event, 1, 0));
}

/* It is cancelled just when it gets what it waits for: it has it, or has it not. */
TEST_F_TIMEOUT(cancel, in_the_same_moment, 300)
{
	struct sleeper w = sleeper_of(self->s, &self->ref, self->version,
				       variant->what);
	struct slabshm_event event;
	struct slabshm *s = self->s;
	unsigned int i, n = long_run() ? 20000 : 100, cancelled = 0;
	int64_t put;
	int ret, had;

	for (i = 0; i < n; i++) {
		w.version = stat_of(s).commit;
		ASSERT_EQ(0, slabshm_lock(s, &self->ref, 0));
		ASSERT_EQ(0, sleeper_start(&w));
		if (i % 2)
			pthread_cancel(w.thread);
		put = variant->what == LOCK ? slabshm_unlock(s, &self->ref) :
					      object_put(s, &self->ref, LEN, 0, i);
		ASSERT_LE(0, put);
		if (!(i % 2))
			pthread_cancel(w.thread);
		ret = sleeper_join(&w);
		ASSERT_LE(0, ret);
		cancelled += (unsigned int)ret;
		if (variant->what == LOCK) {
			/* As left by a holder that has died, if it has leaked */
			ASSERT_EQ(0, slabshm_lock(s, &self->ref, PATIENCE));
		} else if (variant->what == EVENTS) {
			/* glibc 2.36 may still end a thread that has returned */
			had = slabshm_events(s, &event, 1, 0);
			ASSERT_EQ(w.ret == 1 ? -ETIMEDOUT : 1, had);
			ASSERT_TRUE(ret || w.ret == 1);
		} else if (!ret) {
			ASSERT_LT((int64_t)w.version, w.ret);
		}
		ASSERT_EQ(0, slabshm_unlock(s, &self->ref));
		ASSERT_EQ(0, lockers(s));
	}
	TH_LOG("%u of %u were cancelled", cancelled, n);
}

/* slabshm_cancel() wakes those who sleep, and lets nobody sleep. */
TEST_F_TIMEOUT(cancel, a_handle, 120)
{
	struct sleeper w[4], other;
	struct slabshm_event event;
	struct slabshm *s = self->s, *theirs;
	unsigned int i;

	ASSERT_EQ(0, slabshm_lock(s, &self->ref, 0));
	ASSERT_EQ(0, slabshm_open_fd(&theirs, slabshm_fd(s), 0));
	other = sleeper_of(theirs, &self->ref, self->version, LOCK);
	ASSERT_EQ(0, sleeper_start(&other));
	for (i = 0; i < ARRAY_LEN(w); i++) {
		w[i] = sleeper_of(s, &self->ref, self->version, variant->what);
		ASSERT_EQ(0, sleeper_start(&w[i]));
	}
	ASSERT_EQ(0, slabshm_cancel(s, 1));
	ASSERT_EQ(0, slabshm_cancel(s, 1));
	for (i = 0; i < ARRAY_LEN(w); i++) {
		ASSERT_EQ(0, sleeper_join(&w[i]));
		EXPECT_EQ(-ECANCELED, w[i].ret);
	}
	/* Nor does one that comes too late for that */
	w[0].ret = 1;
	ASSERT_EQ(0, pthread_create(&w[0].thread, NULL, sleeper, &w[0]));
	ASSERT_EQ(0, sleeper_join(&w[0]));
	EXPECT_EQ(-ECANCELED, w[0].ret);
	/* Not that handle's, nor what need not sleep */
	EXPECT_EQ(2, lockers(s));
	EXPECT_EQ(0, slabshm_unlock(s, &self->ref));
	ASSERT_EQ(0, sleeper_join(&other));
	EXPECT_EQ(0, other.ret);
	EXPECT_EQ(0, slabshm_lock(s, &self->ref, -1));
	ASSERT_GT(object_put(s, &self->ref, LEN, 0, 1), 0);
	EXPECT_LT(self->version, slabshm_wait(s, &self->ref,
					      (uint64_t)self->version, -1));
	EXPECT_EQ(1, slabshm_events(s, &event, 1, -1));

	/* And on again: they sleep until the next time */
	ASSERT_EQ(0, slabshm_cancel(s, 0));
	for (i = 0; i < ARRAY_LEN(w); i++) {
		w[i].version = stat_of(s).commit;
		ASSERT_EQ(0, sleeper_start(&w[i]));
	}
	/* Off at once: who slept is woken all the same */
	ASSERT_EQ(0, slabshm_cancel(s, 1));
	ASSERT_EQ(0, slabshm_cancel(s, 0));
	for (i = 0; i < ARRAY_LEN(w); i++) {
		ASSERT_EQ(0, sleeper_join(&w[i]));
		EXPECT_EQ(-ECANCELED, w[i].ret);
	}
	EXPECT_EQ(0, slabshm_unlock(s, &self->ref));
	EXPECT_EQ(0, lockers(s));
	slabshm_close(theirs);
}

TEST_HARNESS_MAIN
