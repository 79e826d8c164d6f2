// SPDX-License-Identifier: GPL-2.0
/*
 * Pins, as programs use them: pin, get, unpin, snapshots.  What is looked at in
 * a pin stays as it is, and without one it would not.
 */
#include "pins.h"

#include "kselftest_harness.h"

#define LEN		256
#define DEPTH		1000	/* as the manual has it */

/*
 * ---------------- One thread ----------------
 */

FIXTURE(pin)
{
	struct slabshm *s;
	struct slabshm_ref ref[2];
};

FIXTURE_SETUP(pin)
{
	ASSERT_EQ(0, patient_open(&self->s, 64 * MIB));
	ASSERT_EQ(0, cells_make(self->s, self->ref, 2, LEN));
}

FIXTURE_TEARDOWN(pin)
{
	slabshm_close(self->s);
}

TEST_F(pin, get)
{
	struct slabshm *s = self->s;
	struct slabshm_reader_entry entry;
	struct slabshm_pin pin;
	uint64_t who, seq, commit;
	struct slabshm_view view;
	struct slabshm_ref ref;

	/* The first pin makes the thread a reader, and only that */
	EXPECT_EQ(0, stat_of(s).readers);
	EXPECT_EQ(-ENOENT, reader_entry(s, my_tid(), &entry));
	ASSERT_EQ(0, slabshm_pin(s, &pin));
	EXPECT_EQ(1, stat_of(s).readers);
	commit = stat_of(s).commit;
	ASSERT_EQ(0, reader_entry(s, my_tid(), &entry));
	EXPECT_EQ(SLABSHM_READER_PINNED, entry.flags);
	EXPECT_EQ(commit, entry.lo);
	EXPECT_EQ(commit, entry.hi);
	EXPECT_EQ(0, entry.held);
	EXPECT_EQ(0, entry.held_ms);

	poison(&view, sizeof(view));
	ASSERT_EQ(0, slabshm_get(&pin, &self->ref[1], &view));
	EXPECT_EQ(LEN, view.length);
	EXPECT_EQ(commit, view.version);
	EXPECT_EQ(NULL, object_wrong(view.data, LEN, &who, &seq));
	EXPECT_EQ(1, who);
	EXPECT_EQ(0, slabshm_offset(s, view.data) % SLABSHM_GRANULE);
	ASSERT_EQ(0, slabshm_get(&pin, &self->ref[0], &view));
	EXPECT_EQ(commit - 2, view.version);
	EXPECT_EQ(NULL, object_wrong(view.data, LEN, &who, &seq));
	EXPECT_EQ(0, who);

	/* Not a cell, not this one any more, none ever */
	ref = self->ref[0];
	ref.generation++;
	EXPECT_EQ(-EIDRM, slabshm_get(&pin, &ref, &view));
	ref.generation = 0;
	EXPECT_EQ(-EINVAL, slabshm_get(&pin, &ref, &view));
	ref = self->ref[0];
	ref.cell = SLABSHM_CELLS_DEFAULT;
	EXPECT_EQ(-EINVAL, slabshm_get(&pin, &ref, &view));
	ref.cell = UINT32_MAX;
	EXPECT_EQ(-EINVAL, slabshm_get(&pin, &ref, &view));

	EXPECT_EQ(0, slabshm_unpin(&pin));
	ASSERT_EQ(0, reader_entry(s, my_tid(), &entry));
	EXPECT_EQ(0, entry.flags);
	EXPECT_EQ(0, entry.lo);
	EXPECT_EQ(0, entry.hi);

	/* Not pinned */
	EXPECT_EQ(-EINVAL, slabshm_unpin(&pin));

	/* Empty: there is a version, but nothing to see */
	ASSERT_EQ((int64_t)commit + 1, slabshm_put(s, &self->ref[0], 0, 0));
	ASSERT_EQ(0, slabshm_pin(s, &pin));
	poison(&view, sizeof(view));
	EXPECT_EQ(-ENODATA, slabshm_get(&pin, &self->ref[0], &view));
	EXPECT_EQ(commit + 1, view.version);
	EXPECT_EQ(NULL, view.data);
	EXPECT_EQ(0, slabshm_unpin(&pin));

	/* Removed, before the pin and in it */
	ASSERT_EQ(0, slabshm_cell_remove(s, &self->ref[0]));
	ASSERT_EQ(0, slabshm_pin(s, &pin));
	EXPECT_EQ(-EIDRM, slabshm_get(&pin, &self->ref[0], &view));
	ASSERT_EQ(0, slabshm_get(&pin, &self->ref[1], &view));
	ASSERT_EQ(0, slabshm_cell_remove(s, &self->ref[1]));
	EXPECT_TRUE(held_settles(s, LEN));
	EXPECT_EQ(NULL, object_wrong(view.data, LEN, &who, &seq));
	EXPECT_EQ(-EIDRM, slabshm_get(&pin, &self->ref[1], &view));
	EXPECT_EQ(0, slabshm_unpin(&pin));
	EXPECT_EQ(1, stat_of(s).readers);
	EXPECT_EQ(0, stat_of(s).evictions);
	EXPECT_TRUE(all_back(s));
}

/* Where a grace period does not fence the readers, they are told to. */
TEST_F(pin, fence)
{
	char cpus[64] = "";

	read_text("/sys/devices/system/cpu/nohz_full", cpus, sizeof(cpus));
	EXPECT_EQ(cpus[0] >= '0' && cpus[0] <= '9' ?
		  SLABSHM_HEADER_READER_FENCE : 0, self->s->header->flags);
}

/* The slot says what the protocol says, at each step. */
TEST_F(pin, slot)
{
	struct slabshm *s = self->s;
	struct slabshm_reader_entry entry;
	struct slabshm_pin pin;
	struct slabshm_view view;
	uint64_t at;

	ASSERT_EQ(0, slabshm_pin(s, &pin));
	at = stat_of(s).commit;

	/* What was there when the pin began needs no more room */
	ASSERT_EQ(0, slabshm_get(&pin, &self->ref[0], &view));
	ASSERT_EQ(0, slabshm_get(&pin, &self->ref[1], &view));
	ASSERT_EQ((int64_t)at + 1, object_put(s, &self->ref[0], LEN, 0, 1));
	ASSERT_EQ(0, slabshm_get(&pin, &self->ref[1], &view));
	ASSERT_EQ(0, reader_entry(s, my_tid(), &entry));
	EXPECT_EQ(at, entry.lo);
	EXPECT_EQ(at, entry.hi);

	/* What came later does */
	ASSERT_EQ((int64_t)at + 2, object_put(s, &self->ref[1], LEN, 1, 1));
	ASSERT_EQ(0, slabshm_get(&pin, &self->ref[0], &view));
	EXPECT_EQ(at + 1, view.version);
	ASSERT_EQ(0, reader_entry(s, my_tid(), &entry));
	EXPECT_EQ(at, entry.lo);
	EXPECT_EQ(at + 2, entry.hi);
	ASSERT_EQ((int64_t)at + 3, object_put(s, &self->ref[1], LEN, 1, 2));
	EXPECT_EQ(at + 3, slabshm_snapshot(&pin));
	ASSERT_EQ(0, reader_entry(s, my_tid(), &entry));
	EXPECT_EQ(at, entry.lo);
	EXPECT_EQ(at + 3, entry.hi);

	EXPECT_EQ(0, slabshm_unpin(&pin));
	ASSERT_EQ(0, slabshm_pin(s, &pin));
	ASSERT_EQ(0, reader_entry(s, my_tid(), &entry));
	EXPECT_EQ(at + 3, entry.lo);
	EXPECT_EQ(at + 3, entry.hi);
	EXPECT_EQ(0, slabshm_unpin(&pin));
}

/*
 * What a pin shows stays, be it older or younger than the pin, while it is
 * replaced again and again.
 */
TEST_F(pin, keeps)
{
	struct slabshm *s = self->s;
	struct slabshm_view old, young = { 0 };
	struct slabshm_pin pin;
	uint64_t who, seq;
	unsigned int i;

	ASSERT_EQ(0, set_parameter("poison", 1, NULL));
	ASSERT_EQ(0, slabshm_pin(s, &pin));
	ASSERT_EQ(0, slabshm_get(&pin, &self->ref[0], &old));
	for (i = 1; i < 20; i++) {
		ASSERT_GT(object_put(s, &self->ref[0], LEN, 0, i), 0);
		if (i != 10)
			continue;
		/* Those from 1 to 9 are gone when the pin takes in 10 */
		EXPECT_TRUE(held_settles(s, LEN));
		ASSERT_EQ(0, slabshm_get(&pin, &self->ref[0], &young));
	}
	EXPECT_TRUE(held_settles(s, 2 * LEN));
	EXPECT_EQ(NULL, object_wrong(old.data, LEN, &who, &seq));
	EXPECT_EQ(0, seq);
	EXPECT_EQ(NULL, object_wrong(young.data, LEN, &who, &seq));
	EXPECT_EQ(10, seq);
	EXPECT_EQ(0, slabshm_unpin(&pin));

	/* And only because of the pin */
	EXPECT_TRUE(all_back(s));
	fprintf(stderr, "# the next two are expected\n");
	EXPECT_NE(NULL, object_wrong(old.data, LEN, &who, &seq));
	EXPECT_NE(NULL, object_wrong(young.data, LEN, &who, &seq));
	EXPECT_EQ(0, set_parameter("poison", 0, NULL));
}

TEST_F(pin, nests)
{
	struct slabshm *s = self->s;
	struct slabshm_reader_entry entry;
	struct slabshm_pin pin, inner;
	struct slabshm_view view;
	uint64_t who, seq, at;
	unsigned int i;

	ASSERT_EQ(0, slabshm_pin(s, &pin));
	at = stat_of(s).commit;
	ASSERT_EQ(0, slabshm_get(&pin, &self->ref[0], &view));
	ASSERT_GT(object_put(s, &self->ref[0], LEN, 0, 1), 0);
	for (i = 1; i < DEPTH; i++)
		ASSERT_EQ(0, slabshm_pin(s, &inner));
	poison(&inner, sizeof(inner));
	EXPECT_EQ(-EOVERFLOW, slabshm_pin(s, &inner));
	/* It gave no pin, so there is none to end */
	EXPECT_EQ(-EIO, slabshm_unpin(&inner));
	EXPECT_EQ(-EOVERFLOW, slabshm_length(s, &self->ref[0], NULL));
	EXPECT_EQ(1, stat_of(s).readers);
	ASSERT_EQ(0, reader_entry(s, my_tid(), &entry));
	EXPECT_EQ(at, entry.lo);
	EXPECT_EQ(at, entry.hi);

	/* The inner ones end nothing; the outermost keeps its object */
	EXPECT_EQ(0, slabshm_unpin(&pin));
	EXPECT_EQ(LEN, slabshm_length(s, &self->ref[0], NULL));
	for (i = 2; i < DEPTH; i++)
		ASSERT_EQ(0, slabshm_unpin(&pin));
	EXPECT_TRUE(held_settles(s, LEN));
	EXPECT_EQ(NULL, object_wrong(view.data, LEN, &who, &seq));
	EXPECT_EQ(0, seq);
	ASSERT_EQ(0, reader_entry(s, my_tid(), &entry));
	EXPECT_EQ(SLABSHM_READER_PINNED, entry.flags);
	EXPECT_EQ(at, entry.lo);

	EXPECT_EQ(0, slabshm_unpin(&pin));
	ASSERT_EQ(0, reader_entry(s, my_tid(), &entry));
	EXPECT_EQ(0, entry.flags);
	EXPECT_TRUE(all_back(s));
	EXPECT_EQ(-EINVAL, slabshm_unpin(&pin));

	/* As good as new */
	ASSERT_EQ(0, slabshm_pin(s, &pin));
	ASSERT_EQ(0, slabshm_get(&pin, &self->ref[0], &view));
	EXPECT_EQ(NULL, object_wrong(view.data, LEN, &who, &seq));
	EXPECT_EQ(1, seq);
	EXPECT_EQ(0, slabshm_unpin(&pin));
}

/* Two handles of this slab and one of another, in one thread. */
TEST_F(pin, handles)
{
	struct slabshm *s[3] = { self->s }, *inner;
	struct slabshm_pin pin[3], again;
	struct slabshm_ref ref[3] = { self->ref[0], self->ref[0] };
	struct slabshm_view view[3];
	uint64_t who, seq;
	unsigned int i, k;

	ASSERT_EQ(0, slabshm_open_fd(&s[1], slabshm_fd(s[0]), 0));
	ASSERT_EQ(0, patient_open(&s[2], MIB));
	ASSERT_EQ(0, cells_make(s[2], &ref[2], 1, LEN));
	for (k = 0; k < 50; k++) {
		/* Each order of pins and of unpins */
		for (i = 0; i < 3; i++) {
			inner = s[(k + i) % 3];
			ASSERT_EQ(0, slabshm_pin(inner, &pin[(k + i) % 3]));
		}
		for (i = 0; i < 3; i++) {
			ASSERT_EQ(0, slabshm_get(&pin[i], &ref[i], &view[i]));
			EXPECT_EQ(NULL, object_wrong(view[i].data, LEN, &who,
						     &seq));
			EXPECT_NE(0, slabshm_offset(s[i], view[i].data));
		}
		EXPECT_EQ(slabshm_offset(s[0], view[0].data),
			  slabshm_offset(s[1], view[1].data));
		EXPECT_NE(view[0].data, view[1].data);
		ASSERT_EQ(0, slabshm_pin(s[1], &again));
		ASSERT_EQ(0, slabshm_unpin(&again));
		for (i = 0; i < 3; i++)
			ASSERT_EQ(0, slabshm_unpin(&pin[(2 * k + i) % 3]));
		for (i = 0; i < 3; i++)
			EXPECT_EQ(-EINVAL, slabshm_unpin(&pin[i]));
	}
	/* A slot for each handle, no more */
	EXPECT_EQ(2, stat_of(s[0]).readers);
	EXPECT_EQ(1, stat_of(s[2]).readers);

	/* The pin through one handle is not ended with the other */
	ASSERT_EQ(0, slabshm_pin(s[0], &pin[0]));
	ASSERT_EQ(0, slabshm_get(&pin[0], &ref[0], &view[0]));
	ASSERT_GT(object_put(s[0], &ref[0], LEN, 0, 1), 0);
	slabshm_close(s[1]);
	EXPECT_TRUE(wait_until(stat_of(s[0]).readers == 1, BACK_MS));
	EXPECT_TRUE(held_settles(s[0], LEN));
	EXPECT_EQ(NULL, object_wrong(view[0].data, LEN, &who, &seq));
	EXPECT_EQ(0, slabshm_unpin(&pin[0]));

	/* A pin holds nothing of another slab */
	ASSERT_EQ(0, slabshm_pin(s[0], &pin[0]));
	ASSERT_GT(object_put(s[2], &ref[2], LEN, 0, 1), 0);
	EXPECT_TRUE(all_back(s[2]));
	EXPECT_EQ(0, slabshm_unpin(&pin[0]));
	slabshm_close(s[2]);
	EXPECT_EQ(1, stat_of(s[0]).readers);
}

TEST_F(pin, close_and_open)
{
	struct slabshm_pin pin;
	struct slabshm *watch = self->s, *s;
	struct slabshm_view view;
	unsigned int i;
	char byte[LEN];

	for (i = 0; i < 50; i++) {
		ASSERT_EQ(0, slabshm_open_fd(&s, slabshm_fd(watch), i % 2 ?
					     SLABSHM_ATTACH_RDONLY : 0));
		ASSERT_EQ(0, slabshm_pin(s, &pin));
		ASSERT_EQ(0, slabshm_get(&pin, &self->ref[0], &view));
		EXPECT_EQ(LEN, view.length);
		EXPECT_EQ(LEN, slabshm_read(s, &self->ref[1], byte, LEN, NULL));
		/* Some are closed in a pin */
		if (i % 4)
			ASSERT_EQ(0, slabshm_unpin(&pin));
		slabshm_close(s);
		EXPECT_EQ(-EIO, slabshm_unpin(&pin));
		EXPECT_EQ(-EIO, slabshm_get(&pin, &self->ref[0], &view));
		EXPECT_EQ(0, slabshm_snapshot(&pin));
		EXPECT_EQ(-EIO, slabshm_get_at(&pin, &self->ref[0], 1, &view));
	}
	EXPECT_TRUE(wait_until(!stat_of(watch).readers, BACK_MS));
	EXPECT_TRUE(wait_until(stat_of(watch).clients == 1, BACK_MS));
	ASSERT_GT(object_put(watch, &self->ref[0], LEN, 0, 1), 0);
	EXPECT_TRUE(all_back(watch));
}

/* Who may only read pins like anybody, and holds back like anybody. */
TEST_F(pin, rdonly)
{
	struct slabshm_pin pin;
	struct slabshm_view view;
	struct slabshm *ro;
	uint64_t who, seq;

	ASSERT_EQ(0, slabshm_open_fd(&ro, slabshm_fd(self->s),
				     SLABSHM_ATTACH_RDONLY));
	ASSERT_EQ(0, slabshm_pin(ro, &pin));
	ASSERT_EQ(0, slabshm_get(&pin, &self->ref[0], &view));
	EXPECT_EQ(-EACCES, slabshm_put(ro, &self->ref[0], 0, 0));
	ASSERT_GT(object_put(self->s, &self->ref[0], LEN, 0, 1), 0);
	EXPECT_TRUE(held_settles(self->s, LEN));
	EXPECT_EQ(NULL, object_wrong(view.data, LEN, &who, &seq));
	EXPECT_EQ(0, seq);
	EXPECT_EQ(0, slabshm_unpin(&pin));
	EXPECT_TRUE(all_back(self->s));
	slabshm_close(ro);
}

/*
 * ---------------- Several threads, fork ----------------
 */

static void *pin_often(void *arg)
{
	struct slabshm *s = arg;
	struct slabshm_pin pin;
	struct slabshm_view view;
	uint64_t who, seq;
	struct slabshm_ref ref;
	unsigned int i;

	must_do(slabshm_cell_open(s, "cell0", 0, &ref));
	for (i = 0; i < 100; i++) {
		must_do(slabshm_pin(s, &pin));
		must_do(slabshm_get(&pin, &ref, &view));
		must(!object_wrong(view.data, view.length, &who, &seq));
		must_do(slabshm_unpin(&pin));
	}
	return NULL;
}

static void *do_nothing(void *arg)
{
	(void)arg;
	return NULL;
}

TEST_F(pin, threads)
{
	struct slabshm *s = self->s;
	struct slabshm_pin pin;
	struct holder holder[20];
	pthread_t thread[20];
	unsigned int i, k;

	ASSERT_EQ(0, slabshm_pin(s, &pin));
	ASSERT_EQ(0, slabshm_unpin(&pin));
	for (i = 0; i < 20; i++) {
		ASSERT_EQ(0, holder_start(&holder[i], s, &self->ref[0]));
		EXPECT_EQ(2 + i, stat_of(s).readers);
	}
	for (i = 0; i < 20; i++) {
		EXPECT_EQ(0, holder_end(&holder[i]));
		EXPECT_EQ(20 - i, stat_of(s).readers);
	}
	/* Slots of those that ended are used again */
	for (k = 0; k < 5; k++) {
		for (i = 0; i < 20; i++)
			ASSERT_EQ(0, pthread_create(&thread[i], NULL,
						    i % 5 ? pin_often :
							    do_nothing, s));
		for (i = 0; i < 20; i++)
			pthread_join(thread[i], NULL);
		EXPECT_EQ(1, stat_of(s).readers);
	}
	EXPECT_EQ(0, stat_of(s).evictions);
}

/* A destructor that runs after the library's own still gets a pin. */
static pthread_key_t late_key;

static void late(void *arg)
{
	pin_often(arg);
}

static void *pin_late(void *arg)
{
	must(!pthread_setspecific(late_key, arg));
	return pin_often(arg);
}

TEST_F(pin, in_a_destructor)
{
	struct slabshm *s = self->s;
	pthread_t thread;
	unsigned int i;

	ASSERT_EQ(0, pthread_key_create(&late_key, late));
	for (i = 0; i < 10; i++) {
		ASSERT_EQ(0, pthread_create(&thread, NULL, pin_late, s));
		pthread_join(thread, NULL);
	}
	EXPECT_EQ(0, stat_of(s).readers);
	EXPECT_EQ(0, stat_of(s).evictions);
}

struct forked {
	struct slabshm *s;
	struct slabshm_pin pin;
	const struct slabshm_ref *ref;
};

static void *exit_in_child(void *arg)
{
	struct forked *f = arg;
	struct slabshm_pin pin;

	must(slabshm_pin(f->s, &pin) == -EIO);
	return NULL;
}

static int use_inherited(void *arg)
{
	struct forked *f = arg;
	struct slabshm_view view, views[2];
	struct slabshm_pin pin;
	struct slabshm *s;
	pthread_t thread;
	char buf[LEN];

	/* What the parent had in its pin, and a pin of its own */
	must(slabshm_get(&f->pin, f->ref, &view) == -EIO);
	must(!slabshm_snapshot(&f->pin));
	must(slabshm_get_at(&f->pin, f->ref, 1, &view) == -EIO);
	must(slabshm_get_all(&f->pin, f->ref, 2, views, 3) == -EIO);
	must(slabshm_unpin(&f->pin) == -EIO);
	must(slabshm_unpin(&f->pin) == -EIO);
	must(slabshm_pin(f->s, &pin) == -EIO);
	must(slabshm_unpin(&pin) == -EIO);
	must(slabshm_read(f->s, f->ref, buf, LEN, NULL) == -EIO);
	must(slabshm_length(f->s, f->ref, NULL) == -EIO);
	must(!pthread_create(&thread, NULL, exit_in_child, f));
	must(!pthread_join(thread, NULL));

	/* Its own client is another matter */
	must_do(slabshm_open_fd(&s, slabshm_fd(f->s), 0));
	must_do(slabshm_pin(s, &pin));
	must_do(slabshm_get(&pin, f->ref, &view));
	must(wait_until(stat_of(s).readers == 2, BACK_MS));
	must(slabshm_unpin(&f->pin) == -EIO);
	must_do(slabshm_unpin(&pin));
	must(!pthread_create(&thread, NULL, pin_often, s));
	must(!pthread_join(thread, NULL));
	must(wait_until(stat_of(s).readers == 2, BACK_MS));
	slabshm_close(f->s);
	must_do(slabshm_pin(s, &pin));
	must_do(slabshm_unpin(&pin));
	/* One ends with all of it in order, the other as it is */
	if (getpid() % 2)
		slabshm_close(s);
	return 0;
}

TEST_F(pin, fork)
{
	struct slabshm *s = self->s;
	struct forked f = { .s = s, .ref = self->ref };
	struct slabshm_view view;
	uint64_t who, seq;
	unsigned int i;

	ASSERT_EQ(0, slabshm_pin(s, &f.pin));
	ASSERT_EQ(0, slabshm_get(&f.pin, &self->ref[0], &view));
	for (i = 0; i < 6; i++) {
		/* Also from an inner pin, and from none */
		if (i == 2)
			ASSERT_EQ(0, slabshm_pin(s, &f.pin));
		if (i == 4)
			ASSERT_EQ(0, slabshm_unpin(&f.pin));
		EXPECT_EQ(0, in_child(use_inherited, &f));
	}
	/* The parent's pin is as it was */
	ASSERT_GT(object_put(s, &self->ref[0], LEN, 0, 1), 0);
	EXPECT_TRUE(held_settles(s, LEN));
	EXPECT_EQ(NULL, object_wrong(view.data, LEN, &who, &seq));
	EXPECT_EQ(0, seq);
	EXPECT_EQ(0, slabshm_unpin(&f.pin));
	EXPECT_EQ(0, in_child(use_inherited, &f));
	EXPECT_EQ(0, stat_of(s).evictions);
	EXPECT_TRUE(wait_until(stat_of(s).readers == 1, BACK_MS));
	EXPECT_TRUE(all_back(s));
}

/* Fork in one thread while others pin, open and end. */
static void *come_and_go(void *arg)
{
	struct forked *f = arg;
	pthread_t thread;

	while (!__atomic_load_n(&f->ref, __ATOMIC_RELAXED)) {
		must(!pthread_create(&thread, NULL, pin_often, f->s));
		must(!pthread_join(thread, NULL));
	}
	return NULL;
}

static int read_in_child(void *arg)
{
	struct slabshm *s = child_open(arg);
	pthread_t thread;

	must(!pthread_create(&thread, NULL, pin_often, s));
	pin_often(s);
	must(!pthread_join(thread, NULL));
	slabshm_close(s);
	return 0;
}

TEST_F_TIMEOUT(pin, fork_among_threads, 120)
{
	struct forked f = { .s = self->s };
	pthread_t thread[3];
	unsigned int i;

	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, come_and_go, &f));
	for (i = 0; i < 20; i++)
		EXPECT_EQ(0, in_child(read_in_child, self->s));
	__atomic_store_n(&f.ref, self->ref, __ATOMIC_RELAXED);
	for (i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	EXPECT_TRUE(wait_until(!stat_of(self->s).readers, BACK_MS));
	EXPECT_EQ(0, stat_of(self->s).evictions);
}

/*
 * ---------------- Snapshots, one step at a time ----------------
 */

TEST_F(pin, snapshot)
{
	struct slabshm *s = self->s;
	struct slabshm_view view, was;
	struct slabshm_ref young, other;
	struct slabshm_pin pin;
	uint64_t first, second, who, seq;

	ASSERT_EQ(0, set_parameter("poison", 1, NULL));
	ASSERT_EQ(0, slabshm_pin(s, &pin));
	first = slabshm_snapshot(&pin);
	EXPECT_NE(0, first);
	ASSERT_EQ(0, slabshm_get_at(&pin, &self->ref[0], first, &was));
	EXPECT_EQ(NULL, object_wrong(was.data, LEN, &who, &seq));
	EXPECT_EQ(0, who | seq);

	/* Published once since: as it was, from the older version */
	ASSERT_GT(object_put(s, &self->ref[0], LEN, 0, 1), 0);
	poison(&view, sizeof(view));
	ASSERT_EQ(0, slabshm_get_at(&pin, &self->ref[0], first, &view));
	EXPECT_EQ(was.data, view.data);
	EXPECT_EQ(was.version, view.version);
	EXPECT_EQ(was.length, view.length);

	/* Another snapshot of the pin; the first is good still */
	second = slabshm_snapshot(&pin);
	EXPECT_LT(first, second);
	ASSERT_EQ(0, slabshm_get_at(&pin, &self->ref[0], second, &view));
	EXPECT_EQ(NULL, object_wrong(view.data, LEN, &who, &seq));
	EXPECT_EQ(1, seq);
	ASSERT_EQ(0, slabshm_get_at(&pin, &self->ref[0], first, &view));
	EXPECT_EQ(was.version, view.version);

	/* Published twice since the first: it has moved on from there */
	ASSERT_GT(slabshm_put(s, &self->ref[0], 0, 0), 0);
	EXPECT_EQ(-EAGAIN, slabshm_get_at(&pin, &self->ref[0], first, &view));
	ASSERT_EQ(0, slabshm_get_at(&pin, &self->ref[0], second, &view));
	EXPECT_EQ(NULL, object_wrong(view.data, LEN, &who, &seq));
	EXPECT_EQ(1, seq);
	ASSERT_EQ(0, slabshm_get_at(&pin, &self->ref[1], first, &view));
	poison(&view, sizeof(view));
	EXPECT_EQ(-ENODATA, slabshm_get(&pin, &self->ref[0], &view));
	EXPECT_EQ(stat_of(s).commit, view.version);

	/* As of a moment before it was made, a cell is not there */
	ASSERT_EQ(0, slabshm_cell_open(s, "young", SLABSHM_CELL_CREATE, &young));
	EXPECT_EQ(-EAGAIN, slabshm_get_at(&pin, &young, second, &view));
	EXPECT_EQ(-ENODATA, slabshm_get_at(&pin, &young, slabshm_snapshot(&pin),
					   &view));
	EXPECT_EQ(NULL, view.data);

	/* What was looked at is still there, though its cell is not */
	ASSERT_EQ(0, slabshm_cell_remove(s, &self->ref[0]));
	EXPECT_EQ(-EAGAIN, slabshm_get_at(&pin, &self->ref[0], second, &view));
	EXPECT_EQ(-EIDRM, slabshm_get_at(&pin, &self->ref[0], slabshm_snapshot(&pin),
					 &view));
	EXPECT_TRUE(held_settles(s, 2 * LEN));

	/* As of a moment before it was removed, it is there */
	second = slabshm_snapshot(&pin);
	ASSERT_EQ(0, slabshm_cell_remove(s, &self->ref[1]));
	ASSERT_EQ(0, slabshm_get_at(&pin, &self->ref[1], second, &view));
	EXPECT_EQ(NULL, object_wrong(view.data, LEN, &who, &seq));
	EXPECT_EQ(1, who);
	EXPECT_EQ(-EIDRM, slabshm_get(&pin, &self->ref[1], &view));

	/* Nor is another at its place there then */
	ASSERT_EQ(0, slabshm_cell_open(s, "other", SLABSHM_CELL_CREATE, &other));
	EXPECT_EQ(self->ref[1].cell, other.cell);
	EXPECT_EQ(-EAGAIN, slabshm_get_at(&pin, &other, second, &view));
	EXPECT_EQ(-EAGAIN, slabshm_get_at(&pin, &self->ref[1], second, &view));
	EXPECT_EQ(-EIDRM, slabshm_get(&pin, &self->ref[1], &view));
	EXPECT_EQ(-ENODATA, slabshm_get(&pin, &other, &view));
	EXPECT_TRUE(held_settles(s, 3 * LEN));
	EXPECT_EQ(NULL, object_wrong(was.data, LEN, &who, &seq));
	EXPECT_EQ(0, seq);

	young.cell = SLABSHM_CELLS_DEFAULT;
	EXPECT_EQ(-EINVAL, slabshm_get_at(&pin, &young, second, &view));
	young = self->ref[1];
	young.generation = 0;
	EXPECT_EQ(-EINVAL, slabshm_get_at(&pin, &young, second, &view));
	EXPECT_EQ(-EAGAIN, slabshm_get_at(&pin, &self->ref[1], 0, &view));
	EXPECT_EQ(0, slabshm_unpin(&pin));
	EXPECT_EQ(0, set_parameter("poison", 0, NULL));
}

TEST_F(pin, get_all)
{
	struct slabshm *s = self->s;
	struct slabshm_view view[3];
	struct slabshm_ref ref[3] = { self->ref[0], self->ref[1] };
	struct slabshm_pin pin;
	uint64_t who, seq;
	unsigned int i;

	ASSERT_EQ(0, slabshm_cell_open(s, "empty", SLABSHM_CELL_CREATE,
				       &ref[2]));
	ASSERT_EQ(0, slabshm_pin(s, &pin));
	EXPECT_EQ(-EAGAIN, slabshm_get_all(&pin, ref, 3, view, 0));
	poison(view, sizeof(view));
	ASSERT_EQ(0, slabshm_get_all(&pin, ref, 3, view, 1));
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(LEN, view[i].length);
		EXPECT_EQ(NULL, object_wrong(view[i].data, LEN, &who, &seq));
		EXPECT_EQ(i, who);
	}
	EXPECT_EQ(NULL, view[2].data);
	EXPECT_EQ(0, view[2].length);
	EXPECT_EQ(stat_of(s).commit, view[2].version);
	EXPECT_EQ(0, slabshm_get_all(&pin, ref, 0, NULL, 1));

	ref[2].cell = UINT32_MAX;
	EXPECT_EQ(-EINVAL, slabshm_get_all(&pin, ref, 3, view, 5));
	ASSERT_EQ(0, slabshm_cell_remove(s, &ref[1]));
	EXPECT_EQ(-EIDRM, slabshm_get_all(&pin, ref, 3, view, 5));
	EXPECT_EQ(0, slabshm_unpin(&pin));
}

/*
 * ---------------- While others publish ----------------
 */

#define VIEWS		16
#define PARTS		8

struct board {
	struct slabshm *s;
	struct slabshm_ref ref[SLABSHM_BATCH_MAX];
	unsigned int ncells;
	int stop;
	uint64_t publishes;
	uint64_t pins;
	uint64_t views;
	uint64_t news;		/* views that were younger than their pin */
	uint64_t again;		/* snapshots that did not hold for all cells */
	pid_t pid[16];
	unsigned int npids;
};

static bool stopped(const struct board *b)
{
	return __atomic_load_n(&b->stop, __ATOMIC_RELAXED);
}

static void count(uint64_t *counter, uint64_t n)
{
	__atomic_add_fetch(counter, n, __ATOMIC_RELAXED);
}

static void begin(struct board *b, int (*fn)(void *))
{
	b->pid[b->npids++] = start_child(fn, b);
}

FIXTURE(churn)
{
	struct board *b;
};

FIXTURE_SETUP(churn)
{
	struct board *b = shared_memory(sizeof(*b));

	ASSERT_NE(NULL, b);
	self->b = b;
	ASSERT_EQ(0, patient_open(&b->s, 64 * MIB));
	/* What is free again shows it at once */
	ASSERT_EQ(0, set_parameter("poison", 1, NULL));
}

FIXTURE_TEARDOWN(churn)
{
	slabshm_close(self->b->s);
	EXPECT_EQ(0, set_parameter("poison", 0, NULL));
}

/* Let them work for a while; all must end well, and all comes back. */
static void let_run(struct __test_metadata *_metadata, struct board *b,
		    long long ms)
{
	struct holdings h;

	sleep_ms(ms);
	/* On a slow kernel, until something has been done */
	EXPECT_TRUE(wait_until(__atomic_load_n(&b->publishes, __ATOMIC_RELAXED) > 100 &&
			       __atomic_load_n(&b->pins, __ATOMIC_RELAXED) > 100, 60000));
	__atomic_store_n(&b->stop, 1, __ATOMIC_RELAXED);
	while (b->npids)
		EXPECT_EQ(0, end_child(b->pid[--b->npids]));
	EXPECT_TRUE(all_back(b->s));
	ASSERT_EQ(0, cells_hold(b->s, &h));
	EXPECT_EQ(h.bytes, live_bytes(b->s));
	EXPECT_EQ(0, stat_of(b->s).evictions);
	TH_LOG("%llu publishes, %llu pins, %llu views, %llu of them young, %llu snapshots in vain",
	       (unsigned long long)b->publishes, (unsigned long long)b->pins,
	       (unsigned long long)b->views, (unsigned long long)b->news,
	       (unsigned long long)b->again);
}

static int write_cells(void *arg)
{
	struct board *b = arg;
	struct slabshm *s = child_open(b->s);
	uint64_t seed = any_seed(0), seq = 0;
	unsigned int i;

	while (!stopped(b)) {
		i = any(&seed) % b->ncells;
		must_do(object_put(s, &b->ref[i], 64 + any(&seed) % 4032 / 8 * 8,
				   i, ++seq));
		count(&b->publishes, 1);
	}
	slabshm_close(s);
	return 0;
}

/* Spin, so that the thread may lose its CPU at any point. */
static void linger(uint64_t *seed)
{
	uint64_t n = 1ULL << any(seed) % 14;

	while (n--)
		__asm__ volatile("");
}

static int keep_views(void *arg)
{
	struct board *b = arg;
	struct slabshm *s = child_open(b->s);
	uint64_t seed = any_seed(1), who, seq[VIEWS], again, last[64] = { 0 };
	struct slabshm_view view[VIEWS];
	unsigned int i, k, cell[VIEWS];
	struct slabshm_pin pin;
	uint64_t pinned;

	while (!stopped(b)) {
		must_do(slabshm_pin(s, &pin));
		pinned = s->header->commit;
		for (i = 0; i < VIEWS; i++) {
			k = any(&seed) % b->ncells;
			cell[i] = k;
			must_do(slabshm_get(&pin, &b->ref[k], &view[i]));
			must(!object_wrong(view[i].data, view[i].length, &who,
					   &seq[i]));
			must(who == k);
			/* Never backwards, in this pin and from pin to pin */
			must(view[i].version >= last[k]);
			must(view[i].version <= s->header->commit);
			last[k] = view[i].version;
			if (view[i].version > pinned)
				count(&b->news, 1);
			linger(&seed);
		}
		if (!(any(&seed) % 8))
			usleep(any(&seed) % 20000);
		/* All of it is as it was, whatever has been published */
		for (i = 0; i < VIEWS; i++) {
			must(!object_wrong(view[i].data, view[i].length, &who,
					   &again));
			must(who == cell[i] && again == seq[i]);
		}
		must_do(slabshm_unpin(&pin));
		count(&b->views, VIEWS);
		count(&b->pins, 1);
	}
	slabshm_close(s);
	return 0;
}

TEST_F_TIMEOUT(churn, views_stay, 300)
{
	struct board *b = self->b;

	b->ncells = 4;
	ASSERT_EQ(0, cells_make(b->s, b->ref, b->ncells, LEN));
	begin(b, write_cells);
	begin(b, write_cells);
	begin(b, keep_views);
	begin(b, keep_views);
	let_run(_metadata, b, test_ms(3000));
	EXPECT_LT(0, b->news);
}

/* The same without a pin: the reader of the test before would find it. */
TEST_F(churn, nothing_stays_without_a_pin)
{
	uint64_t who, seq = 0, changed = 0;
	struct slabshm_pin pin;
	struct slabshm_view view;
	struct board *b = self->b;
	unsigned int i;

	b->ncells = 4;
	ASSERT_EQ(0, cells_make(b->s, b->ref, b->ncells, LEN));
	begin(b, write_cells);
	fprintf(stderr, "# these are expected:\n");
	for (i = 0; i < 10; i++) {
		ASSERT_EQ(0, slabshm_pin(b->s, &pin));
		ASSERT_EQ(0, slabshm_get(&pin, &b->ref[i % 4], &view));
		ASSERT_EQ(NULL, object_wrong(view.data, view.length, &who,
					     &seq));
		b->pins += 100;
		ASSERT_EQ(0, slabshm_unpin(&pin));
		changed += wait_until(*((const uint64_t *)view.data + 1) != seq,
				      BACK_MS);
	}
	EXPECT_EQ(10, changed);
	let_run(_metadata, b, 0);
}

/*
 * A tree: the root names its parts, which come and go a few at a time.  The
 * object has them all at each commit, and a reader finds them all in a pin.
 */
static int write_tree(void *arg)
{
	struct board *b = arg;
	struct slabshm *s = child_open(b->s);
	struct slabshm_publish_part part[2 * PARTS];
	struct slabshm_publish_cell item = { 0 };
	uint64_t seed = any_seed(2), seq = 0, *root;
	uint64_t child[PARTS] = { 0 };
	unsigned int i, n;

	item.cell = b->ref[0].cell;
	item.generation = b->ref[0].generation;
	while (!stopped(b)) {
		memset(part, 0, sizeof(part));
		seq++;
		for (i = n = 0; i < PARTS; i++) {
			if (child[i] && any(&seed) % 3)
				continue;
			if (child[i]) {
				part[n].op = SLABSHM_PART_DROP;
				part[n++].block = child[i];
			}
			child[i] = (uint64_t)must_do(slabshm_alloc(s, LEN));
			object_fill(slabshm_ptr(s, child[i]), LEN, i, seq);
			part[n].op = SLABSHM_PART_ATTACH;
			part[n++].block = child[i];
		}
		item.block = (uint64_t)must_do(slabshm_alloc(s, LEN));
		item.length = LEN;
		root = slabshm_ptr(s, item.block);
		for (i = 0; i < PARTS; i++) {
			root[2 * i] = child[i];
			root[2 * i + 1] = *((uint64_t *)slabshm_ptr(s, child[i]) + 1);
		}
		must_do(slabshm_publish(s, &item, 1, part, n, NULL));
		count(&b->publishes, 1);
	}
	slabshm_close(s);
	return 0;
}

static void walk(struct slabshm *s, const uint64_t *root)
{
	uint64_t who, seq;
	unsigned int i;

	for (i = 0; i < PARTS; i++) {
		const void *child = slabshm_ptr(s, root[2 * i]);

		must(child);
		must(!object_wrong(child, LEN, &who, &seq));
		must(who == i && seq == root[2 * i + 1]);
	}
}

static int walk_tree(void *arg)
{
	struct board *b = arg;
	struct slabshm *s = child_open(b->s);
	struct slabshm_view view, young;
	struct slabshm_pin pin;
	uint64_t seed = any_seed(3);
	int ret;

	while (!stopped(b)) {
		must_do(slabshm_pin(s, &pin));
		ret = slabshm_get(&pin, &b->ref[0], &view);
		if (ret != -ENODATA) {
			must_do(ret);
			walk(s, view.data);
			linger(&seed);
			if (!(any(&seed) % 8))
				usleep(any(&seed) % 20000);
			must_do(slabshm_get(&pin, &b->ref[0], &young));
			walk(s, young.data);
			walk(s, view.data);
			count(&b->news, young.version != view.version);
			count(&b->views, 2);
		}
		must_do(slabshm_unpin(&pin));
		count(&b->pins, 1);
	}
	slabshm_close(s);
	return 0;
}

TEST_F_TIMEOUT(churn, trees_stay, 300)
{
	struct board *b = self->b;

	ASSERT_EQ(0, cells_make(b->s, b->ref, 1, 0));
	begin(b, write_tree);
	begin(b, walk_tree);
	begin(b, walk_tree);
	let_run(_metadata, b, test_ms(2000));
	EXPECT_LT(0, b->news);
}

/* All cells of the board in one publish, always. */
static int write_together(void *arg)
{
	struct board *b = arg;
	struct slabshm *s = child_open(b->s);
	struct slabshm_publish_cell item[SLABSHM_BATCH_MAX] = { 0 };
	struct slabshm_block block[SLABSHM_BATCH_MAX];
	uint64_t seed = any_seed(4), seq = 0;
	unsigned int i;

	while (!stopped(b)) {
		seq++;
		for (i = 0; i < b->ncells; i++)
			block[i].size = 64;
		must_do(slabshm_alloc_batch(s, block, b->ncells, 0, 0));
		for (i = 0; i < b->ncells; i++) {
			object_fill(slabshm_ptr(s, block[i].offset), 64, i, seq);
			item[i].cell = b->ref[i].cell;
			item[i].generation = b->ref[i].generation;
			item[i].block = block[i].offset;
			item[i].length = 64;
		}
		must_do(slabshm_publish(s, item, b->ncells, NULL, 0, NULL));
		count(&b->publishes, 1);
		if (!(any(&seed) % 2))
			usleep(any(&seed) % 2000);
	}
	slabshm_close(s);
	return 0;
}

/* All views are of one publish; which. */
static uint64_t together(const struct board *b, const struct slabshm_view *view)
{
	uint64_t who, seq, first = 0;
	unsigned int i;

	for (i = 0; i < b->ncells; i++) {
		must(view[i].version == view[0].version);
		must(view[i].length == 64);
		must(!object_wrong(view[i].data, 64, &who, &seq));
		if (!i)
			first = seq;
		must(who == i && seq == first);
	}
	return first;
}

static int read_together(void *arg)
{
	struct board *b = arg;
	struct slabshm *s = child_open(b->s);
	struct slabshm_view view[2][SLABSHM_BATCH_MAX], late;
	uint64_t seed = any_seed(5), seq[2], last = 0, at;
	struct slabshm_pin pin;
	unsigned int i, k;
	int ret = 0;

	while (!stopped(b)) {
		must_do(slabshm_pin(s, &pin));
		/* Two of them, and both stay whole until the end of the pin */
		for (k = 0; k < 2; k++) {
			do {
				at = slabshm_snapshot(&pin);
				for (i = 0; i < b->ncells; i++) {
					ret = slabshm_get_at(&pin, &b->ref[i], at,
							     &view[k][i]);
					if (ret)
						break;
					must(view[k][i].version <= at);
				}
				must(!ret || ret == -EAGAIN);
				count(&b->again, !!ret);
			} while (ret && !stopped(b));
			if (ret)
				break;
			seq[k] = together(b, view[k]);
			must(view[k][0].version >= last);
			last = view[k][0].version;
			count(&b->views, b->ncells);
			linger(&seed);
		}
		if (!ret) {
			/* The same moment again: the same, or too late */
			ret = slabshm_get_at(&pin, &b->ref[0], at, &late);
			must(!ret || ret == -EAGAIN);
			must(ret || (late.version == view[1][0].version &&
				     late.data == view[1][0].data));
			must(together(b, view[0]) == seq[0]);
			must(together(b, view[1]) == seq[1]);
			count(&b->news, seq[1] != seq[0]);
		}
		ret = slabshm_get_all(&pin, b->ref, b->ncells, view[0], 20);
		must(!ret || ret == -EAGAIN);
		if (!ret) {
			together(b, view[0]);
			must(view[0][0].version >= last);
			last = view[0][0].version;
		}
		must_do(slabshm_unpin(&pin));
		count(&b->pins, 1);
	}
	slabshm_close(s);
	return 0;
}

TEST_F_TIMEOUT(churn, snapshots_are_not_mixed, 300)
{
	struct board *b = self->b;

	b->ncells = SLABSHM_BATCH_MAX;
	ASSERT_EQ(0, cells_make(b->s, b->ref, b->ncells, 0));
	begin(b, write_together);
	ASSERT_TRUE(wait_until(__atomic_load_n(&b->publishes, __ATOMIC_RELAXED),
			       BACK_MS));
	begin(b, write_together);
	begin(b, read_together);
	begin(b, read_together);
	let_run(_metadata, b, test_ms(3000));
	EXPECT_LT(0, b->views);
}

TEST_HARNESS_MAIN
