// SPDX-License-Identifier: GPL-2.0
/*
 * What was replaced comes back once nobody can see it, and a reader holds back
 * no more than what was there during its pin.
 */
#include "pins.h"

#include "kselftest_harness.h"

WITHOUT_CACHE()

#define LEN	256

static void item_of(struct slabshm_publish_cell *item,
		    const struct slabshm_ref *ref, uint64_t block,
		    unsigned int flags)
{
	memset(item, 0, sizeof(*item));
	item->cell = ref->cell;
	item->generation = ref->generation;
	item->flags = flags;
	item->block = block;
	item->length = block ? LEN : 0;
}

FIXTURE(slab)
{
	struct slabshm *s;
	struct slabshm_ref ref[64];
};

FIXTURE_SETUP(slab)
{
	ASSERT_EQ(0, patient_open(&self->s, 256 * MIB));
}

FIXTURE_TEARDOWN(slab)
{
	slabshm_close(self->s);
}

static int by_size(const void *a, const void *b)
{
	const long long *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* Alone, and how long it takes. */
TEST_F(slab, comes_back)
{
	struct slabshm *s = self->s;
	long long ms[50], began;
	struct slabshm_stat st;
	unsigned int i;

	ASSERT_EQ(0, cells_make(s, self->ref, 2, LEN));
	ASSERT_TRUE(all_back(s));
	for (i = 0; i < ARRAY_LEN(ms); i++) {
		ASSERT_GT(object_put(s, &self->ref[i % 2], LEN, 0, i), 0);
		began = now_ms();
		ASSERT_TRUE(all_back(s));
		ms[i] = now_ms() - began;
	}
	st = stat_of(s);
	EXPECT_EQ(2 * LEN, st.live);
	EXPECT_EQ(2, st.blocks);
	EXPECT_EQ(0, st.retired_blocks);
	EXPECT_EQ(0, st.held);
	EXPECT_EQ(st.backed, st.live + st.free);
	qsort(ms, ARRAY_LEN(ms), sizeof(*ms), by_size);
	TH_LOG("one block is back after %lld ms (median), %lld at most",
	       ms[ARRAY_LEN(ms) / 2], ms[ARRAY_LEN(ms) - 1]);

	/* An emptied cell, a removed one */
	ASSERT_GT(slabshm_put(s, &self->ref[0], 0, 0), 0);
	ASSERT_EQ(0, slabshm_cell_remove(s, &self->ref[1]));
	EXPECT_TRUE(all_back(s));
	EXPECT_EQ(0, live_bytes(s));
}

/*
 * A reader that stalls, and publishes that go on and on: held is exactly what
 * lived when it began, as long as it does not look at anything younger.
 */
TEST_F_TIMEOUT(slab, stalled_reader_holds_the_live_set, 7200)
{
	const unsigned int cells = ARRAY_LEN(self->ref);
	uint64_t n = long_run() ? 10000000 : 200000, k, seq = 0;
	uint64_t most_held = 0, most_retired = 0, most_size = 0;
	struct slabshm *s = self->s;
	struct slabshm_block block[64];
	struct holder holder;
	struct slabshm_stat st;
	uint64_t who, was;
	unsigned int i;
	long long ms;

	ASSERT_EQ(0, cells_make(s, self->ref, cells, LEN));
	ASSERT_EQ(0, holder_start(&holder, s, &self->ref[0]));
	ms = now_ms();
	for (k = 0; k < n; k += cells) {
		/* A kernel that checks all it does is slow */
		if (!long_run() && now_ms() - ms > 60000)
			break;
		for (i = 0; i < cells; i++)
			block[i].size = LEN;
		ASSERT_EQ(0, slabshm_alloc_batch(s, block, cells, 0, 0));
		for (i = 0; i < cells; i++) {
			object_fill(slabshm_ptr(s, block[i].offset), LEN, i,
				    ++seq);
			ASSERT_GT(slabshm_put(s, &self->ref[i], block[i].offset,
					      LEN), 0);
		}
		if (k % (64 * cells))
			continue;
		st = stat_of(s);
		most_held = st.held > most_held ? st.held : most_held;
		most_retired = st.retired > most_retired ? st.retired :
							   most_retired;
	}
	ms = now_ms() - ms;
	st = stat_of(s);
	most_size = st.size;
	EXPECT_TRUE(held_settles(s, cells * LEN));
	EXPECT_GE(cells * LEN, most_held);
	EXPECT_EQ(0, stat_of(s).evictions);
	EXPECT_EQ(NULL, object_wrong(holder.view.data, LEN, &who, &was));
	EXPECT_EQ(0, was);
	TH_LOG("%llu publishes in %lld ms: live %u, held at most %llu, retired %llu, slab %llu KiB",
	       (unsigned long long)k, ms,
	       cells * LEN, (unsigned long long)most_held,
	       (unsigned long long)most_retired,
	       (unsigned long long)(most_size / KIB));
	/* An epoch scheme would hold all but the last of each cell */
	EXPECT_GT(k * LEN / 2, most_retired);
	EXPECT_EQ(0, holder_end(&holder));
	EXPECT_TRUE(all_back(s));
}

/* Each look at something younger takes in what lives then, and no more. */
TEST_F(slab, what_a_reader_takes_in)
{
	struct slabshm *s = self->s;
	struct slabshm_view view;
	struct slabshm_pin pin;
	unsigned int i, round;

	ASSERT_EQ(0, cells_make(s, self->ref, 8, LEN));
	ASSERT_EQ(0, slabshm_pin(s, &pin));
	for (round = 1; round <= 4; round++) {
		for (i = 0; i < 8; i++)
			ASSERT_GT(object_put(s, &self->ref[i], LEN, i, round),
				  0);
		/* Round 0, and what was looked at later: 2 */
		EXPECT_TRUE(held_settles(s, (round < 3 ? 8 : 16) * LEN));
		if (round == 2)
			ASSERT_EQ(0, slabshm_get(&pin, &self->ref[3], &view));
	}
	EXPECT_EQ(0, slabshm_unpin(&pin));
	EXPECT_TRUE(all_back(s));
}

/* What was retired before a pin is not held by it, what came after neither. */
TEST_F(slab, only_what_lived_in_the_pin)
{
	struct slabshm *s = self->s;
	struct holder old, young;

	ASSERT_EQ(0, cells_make(s, self->ref, 1, LEN));
	ASSERT_EQ(0, holder_start(&old, s, &self->ref[0]));
	ASSERT_GT(object_put(s, &self->ref[0], 512, 0, 1), 0);
	EXPECT_TRUE(held_settles(s, LEN));
	ASSERT_EQ(0, holder_start(&young, s, &self->ref[0]));
	ASSERT_GT(object_put(s, &self->ref[0], 1024, 0, 2), 0);
	ASSERT_GT(object_put(s, &self->ref[0], LEN, 0, 3), 0);
	EXPECT_TRUE(held_settles(s, LEN + 512));
	EXPECT_EQ(0, holder_end(&old));
	EXPECT_TRUE(held_settles(s, 512));
	EXPECT_EQ(0, holder_end(&young));
	EXPECT_TRUE(all_back(s));
}

/*
 * ---------------- Parts ----------------
 */

/* Attach @n blocks of LEN bytes, or drop those of @block. */
static int change_parts(struct slabshm *s, const struct slabshm_ref *ref,
			uint64_t *block, unsigned int n, unsigned int op)
{
	struct slabshm_publish_part part[SLABSHM_BATCH_MAX];
	struct slabshm_block blocks[SLABSHM_BATCH_MAX];
	struct slabshm_publish_cell item;
	unsigned int i;
	int64_t ret;

	memset(part, 0, sizeof(part));
	for (i = 0; i < n; i++)
		blocks[i].size = LEN;
	ret = op == SLABSHM_PART_ATTACH ?
	      slabshm_alloc_batch(s, blocks, n, 0, 0) : 0;
	if (ret < 0)
		return (int)ret;
	for (i = 0; i < n; i++) {
		if (op == SLABSHM_PART_ATTACH)
			block[i] = blocks[i].offset;
		part[i].op = op;
		part[i].block = block[i];
	}
	item_of(&item, ref, 0, SLABSHM_PUBLISH_KEEP);
	item.length = LEN;
	ret = slabshm_publish(s, &item, 1, part, n, NULL);
	return ret < 0 ? (int)ret : 0;
}

TEST_F(slab, parts_have_their_own_age)
{
	struct slabshm_publish_cell item;
	struct slabshm *s = self->s;
	uint64_t old[10], young[20];
	struct holder holder;
	int64_t root;

	ASSERT_EQ(0, cells_make(s, self->ref, 1, LEN));
	ASSERT_EQ(0, change_parts(s, self->ref, old, 10, SLABSHM_PART_ATTACH));
	ASSERT_EQ(0, holder_start(&holder, s, &self->ref[0]));

	/* Came and went in the pin: not held, though the object is older */
	ASSERT_EQ(0, change_parts(s, self->ref, young, 20,
				  SLABSHM_PART_ATTACH));
	ASSERT_EQ(0, change_parts(s, self->ref, young, 10, SLABSHM_PART_DROP));
	EXPECT_TRUE(all_back(s));

	/* Was there before: held */
	ASSERT_EQ(0, change_parts(s, self->ref, old, 3, SLABSHM_PART_DROP));
	EXPECT_TRUE(held_settles(s, 3 * LEN));

	/* A new root, and the parts stay the object's */
	ASSERT_GT(root = slabshm_alloc(s, LEN), 0);
	item_of(&item, self->ref, (uint64_t)root, 0);
	ASSERT_GT(slabshm_publish(s, &item, 1, NULL, 0, NULL), 0);
	EXPECT_TRUE(held_settles(s, 4 * LEN));
	EXPECT_EQ((1 + 7 + 10) * LEN, live_bytes(s));

	/* The object goes whole, and each of its blocks by its own age */
	ASSERT_GT(slabshm_put(s, self->ref, 0, 0), 0);
	EXPECT_TRUE(held_settles(s, (4 + 7) * LEN));
	EXPECT_EQ(0, live_bytes(s));
	EXPECT_EQ(0, holder_end(&holder));
	EXPECT_TRUE(all_back(s));
}

static int build(struct slabshm *s, const struct slabshm_ref *ref,
		 unsigned int parts)
{
	uint64_t block[SLABSHM_BATCH_MAX];
	int64_t ret = object_put(s, ref, LEN, 0, 0);

	while (ret > 0 && parts) {
		unsigned int n = parts < SLABSHM_BATCH_MAX ? parts :
							     SLABSHM_BATCH_MAX;

		ret = change_parts(s, ref, block, n, SLABSHM_PART_ATTACH);
		if (!ret)
			ret = 1;
		parts -= n;
	}
	return ret < 0 ? (int)ret : 0;
}

TEST_F_TIMEOUT(slab, thousands_of_parts, 600)
{
	const unsigned int parts = long_run() ? 200000 : 4000;
	long long began, slowest = 0, took, dropped;
	struct slabshm *s = self->s;
	struct holder holder;
	struct slabshm_stat st;
	unsigned int way, i;

	for (way = 0; way < 4; way++) {
		ASSERT_EQ(0, cells_make(s, self->ref, 2, 0));
		ASSERT_EQ(0, build(s, &self->ref[0], parts));
		EXPECT_TRUE(all_back(s));
		EXPECT_EQ((parts + 1ULL) * LEN, live_bytes(s));
		if (way % 2)
			ASSERT_EQ(0, holder_start(&holder, s, NULL));
		dropped = now_ms();
		ASSERT_LE(0, way < 2 ? slabshm_put(s, &self->ref[0], 0, 0) :
				       slabshm_cell_remove(s, &self->ref[0]));
		dropped = now_ms() - dropped;
		st = stat_of(s);
		EXPECT_GE(parts + 1, st.retired_blocks);
		EXPECT_EQ(0, st.live);

		/* Nobody waits for it */
		for (i = 0; i < 200; i++) {
			began = now_ms();
			ASSERT_GT(object_put(s, &self->ref[1], LEN, 0, i), 0);
			took = now_ms() - began;
			slowest = took > slowest ? took : slowest;
		}
		ASSERT_GT(slabshm_put(s, &self->ref[1], 0, 0), 0);
		if (way % 2) {
			EXPECT_TRUE(held_settles(s, (parts + 1ULL) * LEN));
			EXPECT_EQ(parts + 1, stat_of(s).retired_blocks);
			EXPECT_EQ(0, holder_end(&holder));
		}
		EXPECT_TRUE(all_back(s));
		EXPECT_EQ(0, live_bytes(s));
	}
	TH_LOG("%u parts gone in a call of %lld ms, slowest publish after it %lld ms",
	       parts, dropped, slowest);
	EXPECT_GT(slowly(2000), slowest);
}

/* TRIM gives back what waits to be reclaimed, too, but for what is held. */
TEST_F(slab, trim)
{
	struct slabshm *s = self->s;
	struct holder holder;

	ASSERT_EQ(0, cells_make(s, self->ref, 2, 4 * MIB));
	ASSERT_GT(slabshm_put(s, &self->ref[0], 0, 0), 0);
	EXPECT_LE((int64_t)(4 * MIB), slabshm_trim(s, 0));
	ASSERT_EQ(0, holder_start(&holder, s, &self->ref[1]));
	ASSERT_GT(slabshm_put(s, &self->ref[1], 0, 0), 0);
	EXPECT_EQ(0, slabshm_trim(s, 0));
	EXPECT_EQ(4 * MIB, stat_of(s).retired);
	EXPECT_EQ(0, holder_end(&holder));
	EXPECT_TRUE(wait_until(slabshm_trim(s, 0) >= (int64_t)(4 * MIB),
			       BACK_MS));
}

/*
 * ---------------- A slab that is full of garbage ----------------
 */

#define WRITERS	4

struct writer {
	struct slabshm *s;
	struct slabshm_ref ref;
	uint64_t publishes;
	long long slowest;
	int *stop;
};

static void *write_on(void *arg)
{
	struct writer *w = arg;
	long long began, took;

	while (!__atomic_load_n(w->stop, __ATOMIC_RELAXED)) {
		began = now_ms();
		must_do(object_put(w->s, &w->ref, 4096, 0, ++w->publishes));
		took = now_ms() - began;
		w->slowest = took > w->slowest ? took : w->slowest;
	}
	return NULL;
}

/*
 * Live are four blocks or eight, there is room for 63, and the writers need
 * one at a time: what they replaced is all the space there is, and it is had.
 */
static uint64_t published(const struct writer *writer)
{
	uint64_t n = 0;
	int i;

	for (i = 0; i < WRITERS; i++)
		n += __atomic_load_n(&writer[i].publishes, __ATOMIC_RELAXED);
	return n;
}

TEST(full_of_garbage)
{
	struct slabshm_ref ref[WRITERS];
	struct writer writer[WRITERS];
	pthread_t thread[WRITERS];
	uint64_t publishes = 0;
	long long slowest = 0;
	struct slabshm *s;
	int i, stop = 0;

	ASSERT_EQ(0, slab_open_with(&s, 256 * KIB, 0, 0, SLABSHM_ATTACH_FIXED));
	ASSERT_EQ(0, cells_make(s, ref, WRITERS, 4096));
	for (i = 0; i < WRITERS; i++) {
		writer[i].s = s;
		writer[i].ref = ref[i];
		writer[i].publishes = 0;
		writer[i].slowest = 0;
		writer[i].stop = &stop;
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, write_on,
					    &writer[i]));
	}
	sleep_ms(test_ms(2000));
	/* Ten times what there is room for */
	EXPECT_TRUE(wait_until(published(writer) > 630, 60000));
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (i = 0; i < WRITERS; i++) {
		pthread_join(thread[i], NULL);
		publishes += writer[i].publishes;
		slowest = writer[i].slowest > slowest ? writer[i].slowest :
							slowest;
	}
	TH_LOG("%llu publishes in a slab of 63 blocks, slowest %lld ms",
	       (unsigned long long)publishes, slowest);
	EXPECT_GT(slowly(5000), slowest);
	EXPECT_TRUE(all_back(s));
	EXPECT_EQ(0, stat_of(s).evictions);
	slabshm_close(s);
}

/*
 * ---------------- Many readers ----------------
 */

static long long publish_many(struct slabshm *s, const struct slabshm_ref *ref,
			      unsigned int n)
{
	struct timespec a, b;

	clock_gettime(CLOCK_MONOTONIC, &a);
	while (n--)
		must_do(object_put(s, ref, LEN, 0, n));
	clock_gettime(CLOCK_MONOTONIC, &b);
	return (b.tv_sec - a.tv_sec) * 1000000000LL + b.tv_nsec - a.tv_nsec;
}

TEST_F(slab, cost_of_readers)
{
	static const unsigned int readers[] = { 0, 10, 1000 };
	struct slabshm *s = self->s;
	unsigned int i, n = 0, k;
	struct client c;
	uint64_t at;
	__u32 slot;

	ASSERT_EQ(0, cells_make(s, self->ref, 1, LEN));
	ASSERT_EQ(0, client_open_fd(&c, slabshm_fd(s), SLABSHM_ATTACH_RDONLY));
	for (i = 0; i < ARRAY_LEN(readers); i++) {
		while (n < readers[i]) {
			ASSERT_EQ(0, reg(&c, &slot));
			n++;
		}
		publish_many(s, self->ref, 200);
		TH_LOG("publish with %4u idle readers %6lld ns", n,
		       publish_many(s, self->ref, 2000) / 2000);
		/* All pinned, and hold nothing but the object that was there */
		at = stat_of(s).commit;
		for (k = 0; k < n; k++)
			slot_set(&c, k, at, at);
		TH_LOG("publish with %4u pinned readers %6lld ns", n,
		       publish_many(s, self->ref, 2000) / 2000);
		EXPECT_TRUE(held_settles(s, n ? LEN : 0));
		for (k = 0; k < n; k++)
			slot_set(&c, k, 0, at);
		EXPECT_TRUE(all_back(s));
	}
	EXPECT_EQ(0, stat_of(s).evictions);
	client_close(&c);
}

struct crowd {
	struct slabshm *s;
	struct slabshm_ref ref;
	unsigned int there;
	unsigned int reads;
	int stop;
};

static unsigned int reads_of(const struct crowd *c)
{
	return __atomic_load_n(&c->reads, __ATOMIC_RELAXED);
}

static void *one_of_many(void *arg)
{
	struct crowd *c = arg;
	struct sched_param none = { 0 };
	struct slabshm_view view;
	struct slabshm_pin pin;
	uint64_t who, seq, again;

	must_do(slabshm_pin(c->s, &pin));
	/*
	 * From now on only what the publisher and reclaim leave: with the same
	 * share as a thousand others these take minutes on a slow kernel.
	 */
	must(!sched_setscheduler(0, SCHED_IDLE, &none));
	__atomic_add_fetch(&c->there, 1, __ATOMIC_RELAXED);
	while (!__atomic_load_n(&c->stop, __ATOMIC_RELAXED)) {
		must_do(slabshm_get(&pin, &c->ref, &view));
		must(!object_wrong(view.data, LEN, &who, &seq));
		sleep_ms(50);
		must(!object_wrong(view.data, LEN, &who, &again));
		must(again == seq);
		must_do(slabshm_unpin(&pin));
		__atomic_add_fetch(&c->reads, 1, __ATOMIC_RELAXED);
		must_do(slabshm_pin(c->s, &pin));
	}
	must_do(slabshm_unpin(&pin));
	return NULL;
}

TEST_F_TIMEOUT(slab, a_thousand_threads, 300)
{
	struct crowd crowd = { .s = self->s };
	pthread_t thread[1000];
	unsigned int i, n = long_run() ? 100000 : 2000;
	pthread_attr_t attr;
	long long end;

	ASSERT_EQ(0, set_parameter("poison", 1, NULL));
	ASSERT_EQ(0, cells_make(self->s, &crowd.ref, 1, LEN));
	ASSERT_EQ(0, pthread_attr_init(&attr));
	ASSERT_EQ(0, pthread_attr_setstacksize(&attr, 64 * KIB));
	for (i = 0; i < 1000; i++)
		ASSERT_EQ(0, pthread_create(&thread[i], &attr, one_of_many,
					    &crowd));
	EXPECT_TRUE(wait_until(__atomic_load_n(&crowd.there, __ATOMIC_RELAXED)
			       == 1000, 60000));
	EXPECT_EQ(1000, stat_of(self->s).readers);
	/* As many as there is time for, and until there were 2,000 reads in all */
	end = now_ms() + (long_run() ? 200000 : 60000);
	for (i = 0; (i < n || reads_of(&crowd) < 2000) && now_ms() < end; i += 20) {
		publish_many(self->s, &crowd.ref, 20);
		if (i >= n)
			sleep_ms(1);
	}
	TH_LOG("%u publishes, %u reads", i, reads_of(&crowd));
	EXPECT_GE(reads_of(&crowd), 1000);
	__atomic_store_n(&crowd.stop, 1, __ATOMIC_RELAXED);
	for (i = 0; i < 1000; i++)
		pthread_join(thread[i], NULL);
	EXPECT_EQ(0, stat_of(self->s).readers);
	EXPECT_EQ(0, stat_of(self->s).evictions);
	EXPECT_TRUE(all_back(self->s));
	EXPECT_EQ(0, set_parameter("poison", 0, NULL));
}

/*
 * ---------------- What the kernel says of it ----------------
 */

#define TRACING	"/sys/kernel/tracing/"

/* A line of the trace that has all of this in it; its number, from 1. */
static unsigned int trace_line(const char *event, const char *fields)
{
	FILE *file = fopen(TRACING "trace", "r");
	unsigned int n = 0, found = 0;
	char line[512];

	while (file && !found && fgets(line, sizeof(line), file)) {
		n++;
		if (strstr(line, event) && strstr(line, fields))
			found = n;
	}
	if (file)
		fclose(file);
	return found;
}

static int trace_start(void)
{
	int err = write_text(TRACING "trace_clock", "counter");

	if (!err)
		err = truncate(TRACING "trace", 0) ? -errno : 0;
	if (!err)
		err = write_text(TRACING "events/slabshm/enable", "1");
	if (!err)
		err = write_text(TRACING "tracing_on", "1");
	return err;
}

static void trace_stop(void)
{
	write_text(TRACING "tracing_on", "0");
	write_text(TRACING "events/slabshm/enable", "0");
}

/* Another clock empties the trace, too. */
static void trace_end(void)
{
	write_text(TRACING "trace_clock", "local");
	write_text(TRACING "tracing_on", "1");
}

TEST_F(slab, tracepoints)
{
	unsigned int retired, reclaimed, evicted, again;
	struct slabshm *s = self->s;
	struct slabshm_reader_entry entry;
	struct holder holder;
	char fields[128];
	uint64_t commit;

	if (access(TRACING "events/slabshm/enable", W_OK))
		SKIP(return, "no tracefs");
	ASSERT_EQ(0, trace_start());
	ASSERT_EQ(0, cells_make(s, self->ref, 1, LEN));
	ASSERT_GT(object_put(s, self->ref, 512, 0, 1), 0);
	commit = stat_of(s).commit;
	EXPECT_TRUE(all_back(s));

	ASSERT_EQ(0, holder_start(&holder, s, self->ref));
	ASSERT_EQ(0, reader_entry(s, holder.tid, &entry));
	ASSERT_GT(slabshm_put(s, self->ref, 0, 0), 0);
	EXPECT_TRUE(held_settles(s, 512));
	holder_vanish(&holder);
	EXPECT_TRUE(all_back(s));
	trace_stop();

	snprintf(fields, sizeof(fields), "slab=%llu commit=%llu blocks=1 bytes=256",
		 (unsigned long long)s->header->id, (unsigned long long)commit);
	retired = trace_line("slabshm_retire:", fields);
	snprintf(fields, sizeof(fields), "slab=%llu blocks=1 bytes=256",
		 (unsigned long long)s->header->id);
	reclaimed = trace_line("slabshm_reclaim:", fields);
	snprintf(fields, sizeof(fields), "slab=%llu client=%u slot=%u lo=%llu hi=%llu floor=",
		 (unsigned long long)s->header->id, entry.client, entry.slot,
		 (unsigned long long)entry.lo, (unsigned long long)entry.hi);
	evicted = trace_line("slabshm_evict:", fields);
	snprintf(fields, sizeof(fields), "slab=%llu blocks=1 bytes=512",
		 (unsigned long long)s->header->id);
	again = trace_line("slabshm_reclaim:", fields);
	trace_end();
	EXPECT_LT(0, retired);
	EXPECT_LT(retired, reclaimed);
	EXPECT_LT(reclaimed, evicted);
	EXPECT_LT(evicted, again);
}

/*
 * No block is free before a grace period has passed that began after the block
 * was retired: the readers' only fence.  Its absence would not show in what
 * readers see but once in a million years, so look at what the kernel does.
 */
TEST_F(slab, grace_period)
{
	unsigned long long retired = 0, safe = 0, freed = 0, n, id = 0;
	unsigned int i, periods = 0, wrong = 0;
	struct slabshm *s = self->s;
	char line[512], *at;
	FILE *file;

	if (access(TRACING "events/slabshm/enable", W_OK))
		SKIP(return, "no tracefs");
	if (write_text(TRACING "kprobe_events",
		       "p:slabshm_gp synchronize_rcu\np:slabshm_gpx synchronize_rcu_expedited\n"))
		SKIP(return, "no kprobe events");
	ASSERT_EQ(0, cells_make(s, self->ref, 1, LEN));
	EXPECT_TRUE(all_back(s));
	ASSERT_EQ(0, write_text(TRACING "events/kprobes/enable", "1"));
	ASSERT_EQ(0, trace_start());
	for (i = 0; i < 1000; i++)
		ASSERT_GT(object_put(s, self->ref, LEN, 0, i), 0);
	slabshm_trim(s, 0);
	EXPECT_TRUE(all_back(s));
	trace_stop();
	write_text(TRACING "events/kprobes/enable", "0");

	file = fopen(TRACING "trace", "r");
	ASSERT_NE(NULL, file);
	while (fgets(line, sizeof(line), file)) {
		/* The first is not only ours, which makes no difference */
		if (strstr(line, "slabshm_gp") && strstr(line, "kworker")) {
			safe = retired;
			periods++;
			continue;
		}
		at = strstr(line, "slabshm_re");
		if (!at)
			continue;
		if (sscanf(at, "slabshm_retire: slab=%llu commit=%*u blocks=%llu",
			   &id, &n) == 2 && id == s->header->id)
			retired += n;
		if (sscanf(at, "slabshm_reclaim: slab=%llu blocks=%llu",
			   &id, &n) == 2 && id == s->header->id)
			freed += n;
		wrong += freed > safe;
	}
	fclose(file);
	trace_end();
	TH_LOG("%llu blocks retired, %llu reclaimed, %u grace periods", retired,
	       freed, periods);
	EXPECT_EQ(1000, retired);
	EXPECT_EQ(1000, freed);
	EXPECT_LT(0, periods);
	EXPECT_EQ(0, wrong);
	truncate(TRACING "kprobe_events", 0);
}

TEST_HARNESS_MAIN
