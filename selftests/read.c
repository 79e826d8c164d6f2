// SPDX-License-Identifier: GPL-2.0
/*
 * Reading what others publish: only whole objects, of one version, in order.
 *
 * Nobody else publishes in the slabs of these tests, so a version is also the
 * number of the publish that made it, and what it must be follows from it.
 */
#include "object.h"

#include "kselftest_harness.h"

#define READERS		2
#define LONGEST		(256 * KIB)

/* What a test's processes share. */
struct board {
	struct slabshm *s;
	struct slabshm_ref ref[SLABSHM_BATCH_MAX];
	unsigned int ncells;
	size_t size;
	size_t least;
	unsigned int writers;
	int stop;
	uint64_t begun;		/* writers that have published */
	uint64_t publishes;
	uint64_t reads;
	uint64_t news;		/* reads that found another version */
	uint64_t conflicts;
	uint64_t removals;
	uint64_t looks;
	uint64_t first;		/* version of the first publish that counts */
	pid_t pid[16];
	unsigned int npids;
};

static bool stopped(const struct board *b)
{
	return __atomic_load_n(&b->stop, __ATOMIC_RELAXED);
}

static void count(uint64_t *counter)
{
	__atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
}

static uint64_t counted(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

static struct board *setup(struct __test_metadata *_metadata)
{
	struct board *b = shared_memory(sizeof(*b));

	ASSERT_NE(NULL, b);
	ASSERT_EQ(0, slab_open(&b->s, 64 * MIB, MIB));
	return b;
}

static void begin(struct board *b, int (*fn)(void *))
{
	b->pid[b->npids++] = start_child(fn, b);
}

/* All must end well. */
static void stop(struct __test_metadata *_metadata, struct board *b)
{
	__atomic_store_n(&b->stop, 1, __ATOMIC_RELAXED);
	while (b->npids)
		EXPECT_EQ(0, end_child(b->pid[--b->npids]));
}

static bool one_ended(void)
{
	siginfo_t info = { .si_pid = 0 };

	return !waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) &&
	       info.si_pid;
}

/*
 * Let them work for a while, and on a slow kernel until it was @enough.  A
 * child that ended is none to wait for.
 */
#define let_run(b, ms, enough)						\
do {									\
	sleep_ms(test_ms(ms));						\
	EXPECT_TRUE(wait_until((enough) || one_ended(), 60000));	\
	stop(_metadata, b);						\
} while (0)

static void make_cells(struct __test_metadata *_metadata, struct board *b,
		       unsigned int n)
{
	char name[16];
	unsigned int i;

	b->ncells = n;
	for (i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "cell%u", i);
		ASSERT_EQ(0, slabshm_cell_open(b->s, name, SLABSHM_CELL_CREATE,
					       &b->ref[i]));
	}
}

FIXTURE(slab)
{
	struct board *b;
};

FIXTURE_SETUP(slab)
{
	self->b = setup(_metadata);
}

FIXTURE_TEARDOWN(slab)
{
	slabshm_close(self->b->s);
}

/*
 * ---------------- One cell ----------------
 */

TEST_F(slab, empty)
{
	struct board *b = self->b;
	struct slabshm_stat st;
	char byte = POISON;
	uint64_t version, put;
	int64_t ret;

	make_cells(_metadata, b, 1);
	ASSERT_EQ(0, slabshm_stat(b->s, &st));

	/* Creating a cell is a commit of its own */
	version = POISON64;
	EXPECT_EQ(-ENODATA, slabshm_read(b->s, b->ref, &byte, 1,
					 &version));
	EXPECT_EQ(st.commit, version);
	version = POISON64;
	EXPECT_EQ(-ENODATA, slabshm_length(b->s, b->ref, &version));
	EXPECT_EQ(st.commit, version);

	/* So is emptying an empty one */
	ret = slabshm_put(b->s, b->ref, 0, 0);
	EXPECT_EQ((int64_t)st.commit + 1, ret);
	EXPECT_EQ(-ENODATA, slabshm_length(b->s, b->ref, &version));
	EXPECT_EQ((uint64_t)ret, version);

	ret = slabshm_assign(b->s, b->ref, "x", 1);
	ASSERT_GT(ret, 0);
	put = (uint64_t)ret;
	EXPECT_EQ(1, slabshm_read(b->s, b->ref, &byte, 1, &version));
	EXPECT_EQ('x', byte);
	EXPECT_EQ(put, version);

	/* Empty again, and nothing is left of the object */
	ret = slabshm_put(b->s, b->ref, 0, 0);
	EXPECT_EQ((int64_t)put + 1, ret);
	EXPECT_EQ(-ENODATA, slabshm_read(b->s, b->ref, &byte, 1,
					 &version));
	EXPECT_EQ((uint64_t)ret, version);
	EXPECT_EQ(0, live_bytes(b->s));

	/* An object without bytes is no empty cell */
	ret = slabshm_assign(b->s, b->ref, NULL, 0);
	EXPECT_EQ((int64_t)version + 1, ret);
	EXPECT_EQ(0, slabshm_read(b->s, b->ref, &byte, 0, &version));
	EXPECT_EQ((uint64_t)ret, version);
	EXPECT_EQ(0, slabshm_length(b->s, b->ref, NULL));
	EXPECT_EQ(64, live_bytes(b->s));
}

TEST_F(slab, room)
{
	struct board *b = self->b;
	const struct slabshm_ref *ref = b->ref;
	uint64_t in[16], out[17], who, seq, version;
	struct slabshm_ref bad;
	int64_t ret;

	make_cells(_metadata, b, 1);
	object_fill(in, sizeof(in), 1, 2);
	ret = slabshm_assign(b->s, ref, in, sizeof(in));
	ASSERT_GT(ret, 0);

	version = POISON64;
	EXPECT_EQ(-ERANGE, slabshm_read(b->s, ref, out, sizeof(in) - 1,
					&version));
	EXPECT_EQ((uint64_t)ret, version);
	EXPECT_EQ((int64_t)sizeof(in), slabshm_length(b->s, ref, NULL));

	/* Bytes behind the object are not touched */
	poison(out, sizeof(out));
	EXPECT_EQ((ssize_t)sizeof(in),
		  slabshm_read(b->s, ref, out, sizeof(out), NULL));
	EXPECT_EQ(NULL, object_wrong(out, sizeof(in), &who, &seq));
	EXPECT_EQ(1, who);
	EXPECT_EQ(2, seq);
	EXPECT_EQ(POISON64, out[16]);

	bad = *ref;
	bad.generation++;
	EXPECT_EQ(-EIDRM, slabshm_read(b->s, &bad, out, sizeof(out), NULL));
	EXPECT_EQ(-EIDRM, slabshm_length(b->s, &bad, NULL));
	bad.generation = 0;
	EXPECT_EQ(-EINVAL, slabshm_read(b->s, &bad, out, sizeof(out), NULL));
	bad = *ref;
	bad.cell = SLABSHM_CELLS_DEFAULT;
	EXPECT_EQ(-EINVAL, slabshm_read(b->s, &bad, out, sizeof(out), NULL));
	EXPECT_EQ(-EINVAL, slabshm_length(b->s, &bad, NULL));
	bad.cell = UINT32_MAX;
	EXPECT_EQ(-EINVAL, slabshm_length(b->s, &bad, NULL));
}

/* Versions go up by one for each publish, whichever cell it is of. */
TEST_F(slab, versions)
{
	struct board *b = self->b;
	struct slabshm_stat st;
	uint64_t version = 0, old[4] = { 0 };
	unsigned int i, k;
	int64_t ret, last;

	make_cells(_metadata, b, 4);
	ASSERT_EQ(0, slabshm_stat(b->s, &st));
	last = (int64_t)st.commit;
	for (i = 0; i < 100; i++) {
		k = i * 7 % 4;
		ret = slabshm_assign(b->s, &b->ref[k], &i, sizeof(i));
		ASSERT_EQ(last + 1, ret);
		last = ret;
		EXPECT_EQ(ret, (int64_t)b->s->header->commit);
		EXPECT_EQ((int64_t)sizeof(i),
			  slabshm_length(b->s, &b->ref[k], &version));
		EXPECT_EQ((uint64_t)ret, version);
		EXPECT_LT(old[k], version);
		old[k] = version;
	}
	/* A publish that is refused does not move the clock */
	EXPECT_EQ(-EAGAIN, slabshm_put_if(b->s, &b->ref[0], 0, 0,
					  old[0] - 1));
	EXPECT_EQ(-EAGAIN, slabshm_put_if(b->s, &b->ref[0], 0, 0,
					  old[0] + 1));
	EXPECT_EQ(-EINVAL, slabshm_put(b->s, &b->ref[0], 1, 1));
	EXPECT_EQ(0, slabshm_stat(b->s, &st));
	EXPECT_EQ((uint64_t)last, st.commit);
	EXPECT_EQ((uint64_t)last, b->s->header->commit);
	EXPECT_EQ(last + 1, slabshm_put_if(b->s, &b->ref[0], 0, 0,
					   old[0]));
}

/*
 * ---------------- Whole objects ----------------
 */

static int write_objects(void *arg)
{
	struct board *b = arg;
	struct slabshm *s = child_open(b->s);
	uint64_t seed = any_seed(0), seq = 0, who = (uint64_t)getpid(), step;
	int64_t version, last = 0;
	size_t len;

	if (b->writers == 1)
		on_cpu(0);
	step = (b->size - b->least) / 8 + 1;
	while (!stopped(b)) {
		len = b->least + 8 * (any(&seed) % step);
		version = must_do(object_put(s, b->ref, len, who, seq));
		must(version > last);
		last = version;
		if (!seq++)
			count(&b->begun);
		count(&b->publishes);
	}
	slabshm_close(s);
	return 0;
}

/* Uses free blocks again, as soon as there are any. */
static int spoil_free_blocks(void *arg)
{
	struct board *b = arg;
	struct slabshm *s = child_open(b->s);
	uint64_t seed = any_seed(3), step = (b->size - b->least) / 8 + 1;
	size_t len;
	int64_t block;

	while (!stopped(b)) {
		len = b->least + 8 * (any(&seed) % step);
		block = must_do(slabshm_alloc(s, len));
		memset(slabshm_ptr(s, (uint64_t)block), 0xff, len);
		must_do(slabshm_free(s, (uint64_t)block));
	}
	slabshm_close(s);
	return 0;
}

static int read_objects(void *arg)
{
	struct board *b = arg;
	struct slabshm *s = child_open(b->s);
	uint64_t who, seq, version, last = 0, last_who = 0, last_seq = 0;
	uint64_t *buf = malloc(LONGEST), reads = 0;
	struct slabshm_stat st;
	ssize_t len;

	must(buf);
	if (b->writers == 1)
		on_cpu(1);
	while (!stopped(b)) {
		version = POISON64;
		len = slabshm_read(s, b->ref, buf, LONGEST, &version);
		if (len == -ENODATA) {
			must(!last);
			continue;
		}
		must_do(len);
		must(!object_wrong(buf, (size_t)len, &who, &seq));
		must(version >= last);
		must(version <= s->header->commit);
		if (version == last) {
			must(who == last_who && seq == last_seq);
		} else {
			if (b->writers == 1 && last)
				must(seq > last_seq &&
				     seq - last_seq == version - last);
			count(&b->news);
		}
		last = version;
		last_who = who;
		last_seq = seq;
		count(&b->reads);
		if (!(reads++ % 64)) {
			must_do(slabshm_stat(s, &st));
			must(st.commit >= version);
			must(st.live + st.retired <= st.backed);
		}
	}
	slabshm_close(s);
	return 0;
}

FIXTURE(whole)
{
	struct board *b;
};

FIXTURE_VARIANT(whole)
{
	size_t least;
	size_t size;
	unsigned int writers;
};

FIXTURE_VARIANT_ADD(whole, 64)
{
	.least = 24, .size = 64, .writers = 1,
};

FIXTURE_VARIANT_ADD(whole, 4096)
{
	.least = 4000, .size = 4096, .writers = 1,
};

FIXTURE_VARIANT_ADD(whole, 262144)
{
	.least = 262144 - 512, .size = 262144, .writers = 1,
};

FIXTURE_VARIANT_ADD(whole, any_length)
{
	.least = 24, .size = 262144, .writers = 1,
};

FIXTURE_VARIANT_ADD(whole, two_writers)
{
	.least = 24, .size = 8192, .writers = 2,
};

FIXTURE_SETUP(whole)
{
	self->b = setup(_metadata);
}

FIXTURE_TEARDOWN(whole)
{
	slabshm_close(self->b->s);
}

TEST_F_TIMEOUT(whole, objects, 200)
{
	struct board *b = self->b;
	struct slabshm_stat st;
	struct holdings h;
	unsigned int i;

	make_cells(_metadata, b, 1);
	b->least = variant->least;
	b->size = variant->size;
	b->writers = variant->writers;
	for (i = 0; i < READERS; i++)
		begin(b, read_objects);
	for (i = 0; i < b->writers; i++)
		begin(b, write_objects);
	begin(b, spoil_free_blocks);
	let_run(b, 1000, counted(&b->begun) == b->writers &&
		counted(&b->publishes) > 20 && counted(&b->news) > 5);
	TH_LOG("%llu publishes, %llu reads of %llu versions",
	       (unsigned long long)b->publishes, (unsigned long long)b->reads,
	       (unsigned long long)b->news);

	/* One object is left, and the rest of the space is free again */
	EXPECT_EQ(0, cells_hold(b->s, &h));
	EXPECT_EQ(1, h.blocks);
	EXPECT_TRUE(wait_until(live_bytes(b->s) == h.bytes, 5000));
	EXPECT_TRUE(wait_until(!retired_bytes(b->s), 5000));
	ASSERT_EQ(0, slabshm_stat(b->s, &st));
	EXPECT_EQ(st.backed, st.free + h.bytes);
}

/*
 * ---------------- One version ----------------
 *
 * The length of an object follows from its version. So a length beside a
 * version that it does not belong to shows, however short the moment.
 */

static size_t length_of(uint64_t version)
{
	return 64 + version % 1021;
}

static int write_lengths(void *arg)
{
	struct board *b = arg;
	struct slabshm *s = child_open(b->s);
	uint64_t next = s->header->commit + 1;
	int64_t block;

	on_cpu(0);
	while (!stopped(b)) {
		block = must_do(slabshm_alloc(s, 2048));
		must_do(slabshm_put(s, b->ref, (uint64_t)block,
				    length_of(next)));
		must(s->header->commit == next);
		next++;
		count(&b->publishes);
	}
	slabshm_close(s);
	return 0;
}

#define load(word)	__atomic_load_n(word, __ATOMIC_ACQUIRE)

/*
 * The steps at struct slabshm_cell, as slowly as can be: the version that was
 * picked is looked at until the kernel has begun to replace it. Up to the very
 * last look at which its commit stands unchanged, it must be this version.
 */
static int watch_version(void *arg)
{
	struct board *b = arg;
	struct slabshm *s = child_open(b->s);
	const struct slabshm_cell *cell = &s->cells[b->ref->cell];
	const struct slabshm_version *v;
	uint64_t now, c0, c1, c, length, offset, first;

	on_cpu(1);
	while (!stopped(b)) {
		now = load(&s->header->commit);
		c0 = load(&cell->version[0].commit);
		c1 = load(&cell->version[1].commit);
		c0 = c0 > now ? 0 : c0;
		c1 = c1 > now ? 0 : c1;
		v = &cell->version[c1 > c0];
		c = c1 > c0 ? c1 : c0;
		/* One is always there, unless both were replaced meanwhile */
		if (!c) {
			must(load(&s->header->commit) > now);
			continue;
		}
		must(c + 1 >= now);
		first = 0;
		for (;;) {
			offset = __atomic_load_n(&v->offset, __ATOMIC_RELAXED);
			length = load(&v->length);
			if (load(&v->commit) != c || stopped(b))
				break;
			must(c < b->first || length == length_of(c));
			if (!first)
				first = offset;
			must(offset == first);
		}
		count(&b->reads);
	}
	slabshm_close(s);
	return 0;
}

static int watch_length(void *arg)
{
	struct board *b = arg;
	struct slabshm *s = child_open(b->s);
	uint64_t version, last = 0;
	int64_t length;

	while (!stopped(b)) {
		version = POISON64;
		length = slabshm_length(s, b->ref, &version);
		must(version >= last);
		if (version >= b->first)
			must(length == (int64_t)length_of(version));
		if (version != last)
			count(&b->news);
		last = version;
	}
	slabshm_close(s);
	return 0;
}

TEST_F_TIMEOUT(slab, version_and_length, 200)
{
	struct board *b = self->b;

	make_cells(_metadata, b, 1);
	b->first = b->s->header->commit + 1;	/* first by the writer */
	begin(b, watch_version);
	begin(b, write_lengths);
	begin(b, watch_length);
	let_run(b, 1200, counted(&b->reads) > 10 && counted(&b->news) > 10);
	TH_LOG("%llu publishes, %llu versions watched, %llu lengths",
	       (unsigned long long)b->publishes, (unsigned long long)b->reads,
	       (unsigned long long)b->news);
}

/*
 * ---------------- Several cells at once ----------------
 */

static int write_together(void *arg)
{
	struct slabshm_publish_cell item[SLABSHM_BATCH_MAX] = { 0 };
	struct slabshm_block block[SLABSHM_BATCH_MAX];
	struct board *b = arg;
	struct slabshm *s = child_open(b->s);
	uint64_t seq;
	unsigned int i;

	on_cpu(0);
	for (i = 0; i < b->ncells; i++) {
		item[i].cell = b->ref[i].cell;
		item[i].generation = b->ref[i].generation;
		item[i].length = 64;
	}
	for (seq = 1; !stopped(b); seq++) {
		for (i = 0; i < b->ncells; i++)
			block[i].size = 64;
		must_do(slabshm_alloc_batch(s, block, b->ncells, 0, 0));
		for (i = 0; i < b->ncells; i++) {
			item[i].block = block[i].offset;
			object_fill(slabshm_ptr(s, block[i].offset), 64, i,
				    seq);
		}
		must_do(slabshm_publish(s, item, b->ncells, NULL, 0, NULL));
		count(&b->publishes);
	}
	slabshm_close(s);
	return 0;
}

/* One cell after the other: none is behind one that was seen before it. */
static int read_in_turn(void *arg)
{
	struct board *b = arg;
	struct slabshm *s = child_open(b->s);
	uint64_t seed = any_seed(1), buf[8], who, seq, version = 0;
	uint64_t last = 0, last_seq = 0;
	unsigned int i;
	ssize_t len;

	while (!stopped(b)) {
		i = any(&seed) % b->ncells;
		len = slabshm_read(s, &b->ref[i], buf, sizeof(buf), &version);
		if (len == -ENODATA) {
			must(!last_seq);
			continue;
		}
		must(len == 64);
		must(!object_wrong(buf, 64, &who, &seq));
		must(who == i);
		must(version >= last && seq >= last_seq);
		must((version == last) == (seq == last_seq));
		must(version <= s->header->commit);
		if (version != last)
			count(&b->news);
		last = version;
		last_seq = seq;
		count(&b->reads);
	}
	slabshm_close(s);
	return 0;
}

/*
 * The cells as of one moment of the clock: all of them show the same publish,
 * or have moved on twice since.
 */
static int read_at_once(void *arg)
{
	struct board *b = arg;
	struct slabshm *s = child_open(b->s);
	uint64_t now, c0, c1, version, all;
	const struct slabshm_cell *cell;
	unsigned int k;

	on_cpu(1);
	while (!stopped(b)) {
		now = load(&s->header->commit);
		all = 0;
		/* Those that were written last may be late */
		for (k = b->ncells; k--; ) {
			cell = &s->cells[b->ref[k].cell];
			c0 = load(&cell->version[0].commit);
			c1 = load(&cell->version[1].commit);
			c0 = c0 > now ? 0 : c0;
			c1 = c1 > now ? 0 : c1;
			version = c1 > c0 ? c1 : c0;
			if (!version)
				must(load(&s->header->commit) > now);
			if (!version ||
			    load(&cell->version[c1 > c0].commit) != version)
				break;
			if (!all)
				all = version;
			must(version == all);
		}
		if (now >= b->first)
			count(&b->looks);
	}
	slabshm_close(s);
	return 0;
}

FIXTURE(together)
{
	struct board *b;
};

FIXTURE_VARIANT(together)
{
	unsigned int cells;
};

FIXTURE_VARIANT_ADD(together, 2)
{
	.cells = 2,
};

FIXTURE_VARIANT_ADD(together, 64)
{
	.cells = 64,
};

FIXTURE_SETUP(together)
{
	self->b = setup(_metadata);
}

FIXTURE_TEARDOWN(together)
{
	slabshm_close(self->b->s);
}

TEST_F_TIMEOUT(together, all_or_none, 200)
{
	struct slabshm_publish_cell item[SLABSHM_BATCH_MAX] = { 0 };
	struct board *b = self->b;
	unsigned int i;

	make_cells(_metadata, b, variant->cells);
	for (i = 0; i < b->ncells; i++) {
		item[i].cell = b->ref[i].cell;
		item[i].generation = b->ref[i].generation;
	}
	/* Their first common version: empty */
	ASSERT_GT(slabshm_publish(b->s, item, b->ncells, NULL, 0,
				  NULL), 0);
	b->first = b->s->header->commit + 1;
	begin(b, read_at_once);
	begin(b, write_together);
	begin(b, read_in_turn);
	let_run(b, 1000, counted(&b->publishes) > 20 &&
		counted(&b->news) > 5 && counted(&b->looks) > 20);
	TH_LOG("%llu publishes, %llu reads of %llu versions, %llu looks",
	       (unsigned long long)b->publishes, (unsigned long long)b->reads,
	       (unsigned long long)b->news, (unsigned long long)b->looks);
}

/* A publish that one of its cells refuses changes none of them. */
TEST_F(slab, refused)
{
	struct slabshm_publish_cell item[SLABSHM_BATCH_MAX] = { 0 };
	struct slabshm_block block[SLABSHM_BATCH_MAX];
	struct slabshm_stat before, after;
	struct board *b = self->b;
	uint64_t version[SLABSHM_BATCH_MAX], v, bad;
	unsigned int i, failed, n = SLABSHM_BATCH_MAX;
	char byte;

	make_cells(_metadata, b, n);
	for (i = 0; i < n; i++)
		block[i].size = 100;
	ASSERT_EQ(0, slabshm_alloc_batch(b->s, block, n, 0, 0));
	for (i = 0; i < n; i++) {
		ASSERT_GT(slabshm_assign(b->s, &b->ref[i], "a", 1), 0);
		ASSERT_EQ(1, slabshm_length(b->s, &b->ref[i],
					    &version[i]));
		item[i].cell = b->ref[i].cell;
		item[i].generation = b->ref[i].generation;
		item[i].flags = SLABSHM_PUBLISH_EXPECT;
		item[i].expected = version[i];
		item[i].block = block[i].offset;
		item[i].length = 2;
	}
	EXPECT_TRUE(wait_until(!retired_bytes(b->s), 5000));
	ASSERT_EQ(0, slabshm_stat(b->s, &before));
	for (i = 0; i < n; i += 9) {
		item[i].expected--;
		failed = POISON32;
		EXPECT_EQ(-EAGAIN, slabshm_publish(b->s, item, n, NULL, 0,
						   &failed));
		EXPECT_EQ(i, failed);
		item[i].expected++;

		bad = item[i].generation++;
		EXPECT_EQ(-EIDRM, slabshm_publish(b->s, item, n, NULL, 0,
						  &failed));
		EXPECT_EQ(i, failed);
		item[i].generation = bad;

		bad = item[i].block;
		item[i].block += 64;
		EXPECT_EQ(-EINVAL, slabshm_publish(b->s, item, n, NULL, 0,
						   &failed));
		EXPECT_EQ(i, failed);
		item[i].block = bad;

		item[i].length = 129;
		EXPECT_EQ(-EINVAL, slabshm_publish(b->s, item, n, NULL, 0,
						   &failed));
		EXPECT_EQ(i, failed);
		item[i].length = 2;
	}
	for (i = 0; i < n; i++) {
		EXPECT_EQ(1, slabshm_read(b->s, &b->ref[i], &byte, 1,
					  &v));
		EXPECT_EQ('a', byte);
		EXPECT_EQ(version[i], v);
	}
	ASSERT_EQ(0, slabshm_stat(b->s, &after));
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(after)));

	/* And nothing keeps it from going through */
	EXPECT_EQ((int64_t)before.commit + 1,
		  slabshm_publish(b->s, item, n, NULL, 0, NULL));
}

/*
 * ---------------- Expected versions ----------------
 */

#define ADDERS		4
#define ACCOUNTS	8
#define MONEY		1000

static int add_one_by_one(void *arg)
{
	struct board *b = arg;
	struct slabshm *s = child_open(b->s);
	uint64_t value, version = 0, last = 0;
	unsigned int i, n = long_run() ? 4000 : 400;
	int64_t block, ret;

	/* Until they have met, too: one may be done before the next one begins */
	for (i = 0; i < n || (!counted(&b->conflicts) && i < 1000 * n); ) {
		must(slabshm_read(s, b->ref, &value, 8, &version) == 8);
		must(version >= last);
		block = must_do(slabshm_alloc(s, 8));
		*(uint64_t *)slabshm_ptr(s, (uint64_t)block) = value + 1;
		ret = slabshm_put_if(s, b->ref, (uint64_t)block, 8, version);
		if (ret == -EAGAIN) {
			/* Still ours */
			must_do(slabshm_free(s, (uint64_t)block));
			count(&b->conflicts);
			continue;
		}
		must_do(ret);
		must((uint64_t)ret > version);
		last = (uint64_t)ret;
		count(&b->publishes);
		i++;
	}
	slabshm_close(s);
	return 0;
}

TEST_F_TIMEOUT(slab, no_lost_update, 200)
{
	struct board *b = self->b;
	uint64_t value = 0, first, version = 0;
	unsigned int i;

	make_cells(_metadata, b, 1);
	first = (uint64_t)slabshm_assign(b->s, b->ref, &value, 8);
	for (i = 0; i < ADDERS; i++)
		begin(b, add_one_by_one);
	stop(_metadata, b);
	TH_LOG("%llu conflicts", (unsigned long long)b->conflicts);
	EXPECT_EQ(8, slabshm_read(b->s, b->ref, &value, 8, &version));
	EXPECT_EQ(b->publishes, value);
	EXPECT_EQ(first + b->publishes, version);
	EXPECT_GT(b->conflicts, 0);
	EXPECT_EQ(64, live_bytes(b->s));
}

/* Move money between two accounts; what they have together stays. */
static int move_money(void *arg)
{
	struct slabshm_publish_cell item[2];
	struct board *b = arg;
	struct slabshm *s = child_open(b->s);
	uint64_t seed = any_seed(2);
	unsigned int i, k[2], failed;
	struct slabshm_block block[2];
	uint64_t has[2], version, amount;
	int64_t ret;

	while (!stopped(b)) {
		k[0] = any(&seed) % ACCOUNTS;
		k[1] = (k[0] + 1 + any(&seed) % (ACCOUNTS - 1)) % ACCOUNTS;
		memset(item, 0, sizeof(item));
		for (i = 0; i < 2; i++) {
			must(slabshm_read(s, &b->ref[k[i]], &has[i], 8,
					  &version) == 8);
			item[i].expected = version;
			item[i].cell = b->ref[k[i]].cell;
			item[i].generation = b->ref[k[i]].generation;
			item[i].flags = SLABSHM_PUBLISH_EXPECT;
			item[i].length = 8;
			block[i].size = 8;
		}
		amount = any(&seed) % (has[0] + 1);
		must_do(slabshm_alloc_batch(s, block, 2, 0, 0));
		for (i = 0; i < 2; i++) {
			item[i].block = block[i].offset;
			*(uint64_t *)slabshm_ptr(s, block[i].offset) =
				i ? has[i] + amount : has[i] - amount;
		}
		failed = POISON32;
		ret = slabshm_publish(s, item, 2, NULL, 0, &failed);
		if (ret == -EAGAIN) {
			must(failed < 2);
			for (i = 0; i < 2; i++)
				must_do(slabshm_free(s, block[i].offset));
			count(&b->conflicts);
			continue;
		}
		must_do(ret);
		count(&b->publishes);
	}
	slabshm_close(s);
	return 0;
}

TEST_F_TIMEOUT(slab, money_stays, 200)
{
	struct board *b = self->b;
	uint64_t has, sum = 0;
	unsigned int i;

	make_cells(_metadata, b, ACCOUNTS);
	has = MONEY;
	for (i = 0; i < ACCOUNTS; i++)
		ASSERT_GT(slabshm_assign(b->s, &b->ref[i], &has, 8), 0);
	for (i = 0; i < ADDERS; i++)
		begin(b, move_money);
	let_run(b, 800, counted(&b->publishes) > 10 && counted(&b->conflicts));
	TH_LOG("%llu moves, %llu conflicts", (unsigned long long)b->publishes,
	       (unsigned long long)b->conflicts);
	for (i = 0; i < ACCOUNTS; i++) {
		EXPECT_EQ(8, slabshm_read(b->s, &b->ref[i], &has, 8, NULL));
		sum += has;
	}
	EXPECT_EQ(ACCOUNTS * MONEY, sum);
	EXPECT_EQ(ACCOUNTS * 64, live_bytes(b->s));
}

/*
 * ---------------- A cell that goes ----------------
 */

TEST_F(slab, removed)
{
	struct board *b = self->b;
	struct slabshm_ref *ref = b->ref, again;
	struct slabshm_publish_cell item = { 0 };
	uint64_t version;
	int64_t block;
	char byte;

	make_cells(_metadata, b, 1);
	ASSERT_GT(slabshm_assign(b->s, ref, "a", 1), 0);
	EXPECT_EQ(0, slabshm_cell_remove(b->s, ref));
	EXPECT_EQ(0, live_bytes(b->s));
	EXPECT_EQ(-EIDRM, slabshm_read(b->s, ref, &byte, 1, &version));
	EXPECT_EQ(-EIDRM, slabshm_length(b->s, ref, &version));
	EXPECT_EQ(-EIDRM, slabshm_cell_remove(b->s, ref));
	EXPECT_EQ(-ENOENT, slabshm_cell_open(b->s, "cell0", 0, &again));

	/* The same place, another name */
	EXPECT_EQ(0, slabshm_cell_open(b->s, "other", SLABSHM_CELL_CREATE,
				       &again));
	EXPECT_EQ(ref->cell, again.cell);
	EXPECT_LT(ref->generation, again.generation);
	EXPECT_EQ(-EIDRM, slabshm_read(b->s, ref, &byte, 1, &version));
	EXPECT_EQ(-ENODATA, slabshm_read(b->s, &again, &byte, 1, &version));
	ASSERT_GT(slabshm_assign(b->s, &again, "b", 1), 0);
	EXPECT_EQ(-EIDRM, slabshm_read(b->s, ref, &byte, 1, &version));
	EXPECT_EQ(-EIDRM, slabshm_length(b->s, ref, &version));
	EXPECT_EQ(-EIDRM, slabshm_cell_remove(b->s, ref));
	block = slabshm_alloc(b->s, 1);
	ASSERT_GT(block, 0);
	EXPECT_EQ(-EIDRM, slabshm_put(b->s, ref, (uint64_t)block, 1));
	EXPECT_EQ(-EIDRM, slabshm_put_if(b->s, ref, (uint64_t)block, 1, 1));
	item.cell = ref->cell;
	item.generation = ref->generation;
	item.flags = SLABSHM_PUBLISH_KEEP;
	EXPECT_EQ(-EIDRM, slabshm_publish(b->s, &item, 1, NULL, 0, NULL));
	EXPECT_EQ(0, slabshm_free(b->s, (uint64_t)block));
	EXPECT_EQ(1, slabshm_read(b->s, &again, &byte, 1, &version));
	EXPECT_EQ('b', byte);
}

/* Always the same name, always the same place, never the same cell. */
static int remake_cell(void *arg)
{
	struct board *b = arg;
	struct slabshm *s = child_open(b->s);
	struct slabshm_ref ref;
	uint64_t who, seq, last = 0;

	for (who = 1; !stopped(b); who++) {
		must_do(slabshm_cell_open(s, "goes",
					  SLABSHM_CELL_CREATE |
					  SLABSHM_CELL_EXCL, &ref));
		must(ref.cell == b->ref->cell);
		must(ref.generation > last);
		last = ref.generation;
		for (seq = 0; seq < 4; seq++)
			must_do(object_put(s, &ref, 64 + 64 * (who % 8), who,
					   seq));
		must_do(slabshm_cell_remove(s, &ref));
		count(&b->removals);
	}
	slabshm_close(s);
	return 0;
}

static int read_stale(void *arg)
{
	struct board *b = arg;
	struct slabshm *s = child_open(b->s);
	uint64_t who, seq, cells_who, last_seq, version = 0, last;
	struct slabshm_ref ref;
	uint64_t buf[128];
	ssize_t len;
	int ret, i;

	while (!stopped(b)) {
		ret = slabshm_cell_open(s, "goes", 0, &ref);
		if (ret == -ENOENT)
			continue;
		must_do(ret);
		cells_who = 0;
		last_seq = 0;
		last = 0;
		for (;;) {
			len = slabshm_read(s, &ref, buf, sizeof(buf), &version);
			if (len == -EIDRM)
				break;
			must(version >= last);
			last = version;
			if (len == -ENODATA)
				continue;
			must_do(len);
			must(!object_wrong(buf, (size_t)len, &who, &seq));
			if (!cells_who)
				cells_who = who;
			must(who == cells_who);
			must(seq >= last_seq);
			last_seq = seq;
			count(&b->reads);
		}
		/* For ever */
		for (i = 0; i < 20; i++)
			must(slabshm_length(s, &ref, NULL) == -EIDRM);
		count(&b->news);
	}
	slabshm_close(s);
	return 0;
}

TEST_F_TIMEOUT(slab, removed_under_readers, 200)
{
	struct board *b = self->b;
	unsigned int i;

	/* Where the cell will always be: a place that was free before */
	ASSERT_EQ(0, slabshm_cell_open(b->s, "goes", SLABSHM_CELL_CREATE,
				       b->ref));
	ASSERT_EQ(0, slabshm_cell_remove(b->s, b->ref));
	for (i = 0; i < READERS; i++)
		begin(b, read_stale);
	begin(b, remake_cell);
	let_run(b, 1000, counted(&b->removals) > 20 && counted(&b->reads) > 5);
	TH_LOG("%llu cells, %llu of them read %llu times",
	       (unsigned long long)b->removals, (unsigned long long)b->news,
	       (unsigned long long)b->reads);
	EXPECT_TRUE(wait_until(!live_bytes(b->s), 5000));
}

TEST_HARNESS_MAIN
