// SPDX-License-Identifier: GPL-2.0
/*
 * Clients that are killed at any moment, whatever they do: the others go on,
 * read nothing wrong, and no byte is lost.
 *
 * SLABSHM_KILLS=N is for more or fewer than 300 kills, of which a slow machine
 * does only some.
 */
#include <pthread.h>

#include "object.h"

#include "kselftest_harness.h"

#define CELLS		16
#define WORKERS		4
#define READERS		2
#define HAVE		48		/* blocks that a thread keeps at most */
#define MAX_SIZE	(16 * MIB)
#define LONGEST		(256 * KIB)
#define SLOWEST_MS	slowly(20000)	/* no call may take longer */
#define PATIENCE_MS	40000		/* for all kills of one test */

struct board {
	struct slabshm *s;
	unsigned int threads;
	int stop;
	uint64_t calls;
	uint64_t publishes;
	uint64_t full;		/* calls that found the slab full */
	uint64_t reads;
	uint64_t slowest_ms;
	int fine;		/* the grandchild has seen what it should */
	pid_t grandchild;
};

static uint64_t count(uint64_t *counter, uint64_t n)
{
	return __atomic_add_fetch(counter, n, __ATOMIC_RELAXED);
}

/*
 * ---------------- A client that does anything ----------------
 */

/* One thread of it. */
struct worker {
	struct board *b;
	struct slabshm *s;
	uint64_t seed;
	struct slabshm_block have[HAVE];
	unsigned int n;
};

static size_t any_size(uint64_t *seed)
{
	/* Each doubling is as likely as another: 24 bytes to 256 KiB */
	size_t top = 64ULL << any(seed) % 13;

	return (top / 2 + any(seed) % (top / 2)) & ~7ULL;
}

static bool any_cell(struct worker *w, unsigned int *number,
		     struct slabshm_ref *ref, bool create)
{
	char name[16];
	int ret;

	*number = any(&w->seed) % CELLS;
	snprintf(name, sizeof(name), "cell%u", *number);
	ret = slabshm_cell_open(w->s, name, create ? SLABSHM_CELL_CREATE : 0,
				ref);
	must(!ret || (ret == -ENOENT && !create));
	return !ret;
}

static struct slabshm_block take(struct worker *w)
{
	unsigned int i = any(&w->seed) % w->n;
	struct slabshm_block block = w->have[i];

	w->have[i] = w->have[--w->n];
	return block;
}

static void give(struct worker *w, struct slabshm_block block)
{
	w->have[w->n++] = block;
}

static void do_alloc(struct worker *w)
{
	unsigned int i, n = 1 + any(&w->seed) % 8;
	struct slabshm_block block[8];
	int ret;

	if (w->n + n > HAVE)
		return;
	for (i = 0; i < n; i++)
		block[i].size = any_size(&w->seed);
	ret = slabshm_alloc_batch(w->s, block, n,
				  64ULL << any(&w->seed) % 8,
				  any(&w->seed) % 8 ? 0 : SLABSHM_ALLOC_ZERO);
	if (ret == -ENOSPC) {
		count(&w->b->full, 1);
		return;
	}
	must_do(ret);
	for (i = 0; i < n; i++) {
		/* Ours alone: nobody else writes here */
		object_fill(slabshm_ptr(w->s, block[i].offset),
			    block[i].size & ~7ULL, CELLS, block[i].offset);
		give(w, block[i]);
	}
}

static void do_free(struct worker *w)
{
	struct slabshm_block block;
	uint64_t who, seq, offset;

	if (!w->n)
		return;
	block = take(w);
	must(!object_wrong(slabshm_ptr(w->s, block.offset),
			   block.size & ~7ULL, &who, &seq));
	must(who == CELLS && seq == block.offset);
	if (any(&w->seed) % 2) {
		must_do(slabshm_free(w->s, block.offset));
		return;
	}
	offset = block.offset;
	must_do(slabshm_free_batch(w->s, &offset, 1));
	/* If it is somebody's again, then not ours */
	if (w->b->threads == 1)
		must(slabshm_free_batch(w->s, &offset, 1) < 0);
}

static void do_publish(struct worker *w)
{
	struct slabshm_block block;
	struct slabshm_ref ref;
	uint64_t version = 0;
	unsigned int number;
	int64_t ret;
	size_t len;

	if (!w->n || !any_cell(w, &number, &ref, true))
		return;
	block = take(w);
	len = (block.size - any(&w->seed) % (block.size - 23)) & ~7ULL;
	object_fill(slabshm_ptr(w->s, block.offset), len, number,
		    any(&w->seed));
	if (any(&w->seed) % 2) {
		ret = slabshm_put(w->s, &ref, block.offset, len);
	} else {
		ret = slabshm_length(w->s, &ref, &version);
		if (ret != -EIDRM)
			ret = slabshm_put_if(w->s, &ref, block.offset, len,
					     version);
	}
	if (ret < 0) {
		must(ret == -EIDRM || ret == -EAGAIN);
		must_do(slabshm_free(w->s, block.offset));
	}
	count(&w->b->publishes, 1);
}

/* Several cells at once, and parts for some of them. */
static void do_publish_many(struct worker *w)
{
	struct slabshm_publish_cell item[CELLS] = { 0 };
	struct slabshm_publish_part part[HAVE] = { 0 };
	struct slabshm_block block[HAVE];
	unsigned int i, n = 0, np = 0, nb = 0, number, named = 0;
	struct slabshm_ref ref;
	int64_t ret;

	while (w->n && n < 6) {
		if (!any_cell(w, &number, &ref, true) || named & 1U << number)
			break;
		named |= 1U << number;
		item[n].cell = ref.cell;
		item[n].generation = ref.generation;
		if (any(&w->seed) % 2)
			item[n].flags = SLABSHM_PUBLISH_DROP_ALL;
		if (any(&w->seed) % 4) {
			block[nb] = take(w);
			item[n].block = block[nb].offset;
			item[n].length = block[nb].size & ~7ULL;
			object_fill(slabshm_ptr(w->s, block[nb].offset),
				    item[n].length, number, any(&w->seed));
			nb++;
		}
		while (w->n && any(&w->seed) % 3) {
			block[nb] = take(w);
			part[np].item = n;
			part[np].op = SLABSHM_PART_ATTACH;
			part[np++].block = block[nb++].offset;
		}
		n++;
	}
	if (!n)
		return;
	ret = slabshm_publish(w->s, item, n, part, np, NULL);
	if (ret < 0) {
		must(ret == -EIDRM);
		for (i = 0; i < nb; i++)
			must_do(slabshm_free(w->s, block[i].offset));
	}
	count(&w->b->publishes, 1);
}

static void check_read(struct slabshm *s, const struct slabshm_ref *ref,
		       unsigned int number, uint64_t *buf)
{
	uint64_t who, seq;
	ssize_t len;

	len = slabshm_read(s, ref, buf, LONGEST, NULL);
	if (len == -EIDRM || len == -ENODATA)
		return;
	must_do(len);
	must(!object_wrong(buf, (size_t)len, &who, &seq));
	must(who == number);
}

static void do_other(struct worker *w, uint64_t *buf)
{
	struct client c = {
		.fd = slabshm_fd(w->s),
		.at.client = slabshm_client(w->s),
	};
	struct slabshm_block_args info;
	struct slabshm_stat st;
	struct slabshm_ref ref;
	unsigned int number;
	uint64_t offset;
	int ret;

	switch (any(&w->seed) % 8) {
	case 0:
		if (any_cell(w, &number, &ref, false)) {
			ret = slabshm_cell_remove(w->s, &ref);
			must(!ret || ret == -EIDRM);
		}
		break;
	case 1:
		must_do(slabshm_grow(w->s, any(&w->seed) % MAX_SIZE));
		break;
	case 2:
		must_do(slabshm_trim(w->s, any(&w->seed) % MIB));
		break;
	case 3:
		must_do(slabshm_stat(w->s, &st));
		must(st.live + st.retired + st.free == st.backed);
		must(st.backed < st.size);
		break;
	case 4:
		offset = any(&w->seed) % MAX_SIZE & ~63ULL;
		ret = block_info(&c, offset, &info);
		must(!ret || ret == -EINVAL);
		offset = info.start;
		if (!ret && info.state != SLABSHM_BLOCK_OWN &&
		    w->b->threads == 1)
			must(slabshm_free_batch(w->s, &offset, 1) < 0);
		break;
	default:
		if (any_cell(w, &number, &ref, false)) {
			check_read(w->s, &ref, number, buf);
			count(&w->b->reads, 1);
		}
	}
}

static void *work(void *arg)
{
	struct worker *w = arg;
	uint64_t *buf = malloc(LONGEST), took, slowest;
	long long began;

	must(buf);
	w->seed = any_seed((uintptr_t)w);
	for (;;) {
		began = now_ms();
		switch (any(&w->seed) % 8) {
		case 0:
		case 1:
		case 2:
			do_alloc(w);
			break;
		case 3:
			do_free(w);
			break;
		case 4:
		case 5:
			do_publish(w);
			break;
		case 6:
			do_publish_many(w);
			break;
		default:
			do_other(w, buf);
		}
		took = (uint64_t)(now_ms() - began);
		slowest = __atomic_load_n(&w->b->slowest_ms, __ATOMIC_RELAXED);
		if (took > slowest)
			__atomic_store_n(&w->b->slowest_ms, took,
					 __ATOMIC_RELAXED);
		count(&w->b->calls, 1);
	}
	return NULL;
}

static int work_until_killed(void *arg)
{
	struct board *b = arg;
	struct slabshm *s = child_open(b->s);
	struct worker worker[8] = { 0 };
	pthread_t thread;
	unsigned int i;

	for (i = 0; i < b->threads; i++) {
		worker[i].b = b;
		worker[i].s = s;
		if (i)
			must(!pthread_create(&thread, NULL, work, &worker[i]));
	}
	work(&worker[0]);
	return 1;
}

/* Lives through all of it. */
static int read_until_stopped(void *arg)
{
	struct board *b = arg;
	struct slabshm *s = child_open(b->s);
	uint64_t *buf = malloc(LONGEST), seed = any_seed(1);
	struct slabshm_ref ref[CELLS] = { 0 };
	unsigned int i;
	char name[16];

	must(buf);
	while (!__atomic_load_n(&b->stop, __ATOMIC_RELAXED)) {
		i = any(&seed) % CELLS;
		if (!ref[i].generation ||
		    slabshm_length(s, &ref[i], NULL) == -EIDRM) {
			snprintf(name, sizeof(name), "cell%u", i);
			if (slabshm_cell_open(s, name, 0, &ref[i]))
				continue;
		}
		check_read(s, &ref[i], i, buf);
		/* Most of the time is for those that get killed */
		if (!(count(&b->reads, 1) % 16))
			sleep_ms(1);
	}
	slabshm_close(s);
	return 0;
}

FIXTURE(any)
{
	struct board *b;
	struct slabshm *s;
	pid_t worker[WORKERS];
	pid_t reader[READERS];
};

FIXTURE_VARIANT(any)
{
	unsigned int threads;
	unsigned int share;	/* per cent of the kills */
};

FIXTURE_VARIANT_ADD(any, one_thread)
{
	.threads = 1, .share = 60,
};

FIXTURE_VARIANT_ADD(any, three_threads)
{
	.threads = 3, .share = 40,
};

FIXTURE_SETUP(any)
{
	self->b = shared_memory(sizeof(*self->b));
	ASSERT_NE(NULL, self->b);
	ASSERT_EQ(0, slab_open(&self->s, MAX_SIZE, MIB));
	self->b->s = self->s;
	self->b->threads = variant->threads;
}

FIXTURE_TEARDOWN(any)
{
	slabshm_close(self->s);
}

static unsigned int clients(struct slabshm *s)
{
	struct slabshm_stat st;

	return slabshm_stat(s, &st) ? ~0U : st.clients;
}

/* All workers are dead: what they had is free, what they published is whole. */
static void check_rest(struct __test_metadata *_metadata, struct slabshm *s)
{
	struct slabshm_cell_entry entry;
	struct slabshm_client_entry client;
	uint64_t *buf = malloc(LONGEST), who, seq, cursor = 0;
	struct slabshm_ref ref;
	struct slabshm_stat st;
	struct holdings h;
	ssize_t len;

	EXPECT_TRUE(wait_until(clients(s) == 1 + READERS, 10000));
	EXPECT_TRUE(wait_until(!retired_bytes(s), 10000));
	ASSERT_EQ(0, cells_hold(s, &h));
	ASSERT_EQ(0, slabshm_stat(s, &st));
	EXPECT_EQ(h.cells, st.cells);
	EXPECT_EQ(h.bytes, st.live);
	EXPECT_EQ(h.blocks, st.blocks);
	EXPECT_EQ(0, st.retired_blocks);
	EXPECT_EQ(st.backed, st.live + st.free);
	while (slabshm_list_clients(s, &client, 1, &cursor) == 1) {
		EXPECT_EQ(0, client.bytes);
		EXPECT_EQ(0, client.blocks);
		EXPECT_EQ(SLABSHM_CLIENT_ALIVE, client.flags);
	}
	cursor = 0;
	while (slabshm_list_cells(s, &entry, 1, &cursor) == 1) {
		ref.cell = entry.cell;
		ref.generation = entry.generation;
		len = slabshm_read(s, &ref, buf, LONGEST, NULL);
		if (!entry.offset) {
			EXPECT_EQ(-ENODATA, len);
			continue;
		}
		EXPECT_EQ((ssize_t)entry.length, len);
		if (len < 0)
			continue;
		EXPECT_EQ(NULL, object_wrong(buf, (size_t)len, &who, &seq));
		EXPECT_EQ(strtoull(entry.name + 4, NULL, 10), who);
	}
	free(buf);
}

TEST_F_TIMEOUT(any, killed, 600)
{
	const char *asked = getenv("SLABSHM_KILLS");
	unsigned int i, w, kills = long_run() ? 2000 : 300;
	uint64_t seed = any_seed(2), cursor = 0;
	struct slabshm_cell_entry entry;
	struct board *b = self->b;
	long long end = INT64_MAX;
	struct slabshm_stat st;
	struct slabshm_ref ref;
	bool last = false;

	if (asked && atoi(asked) > 0)
		kills = (unsigned int)atoi(asked);
	else if (!long_run())
		end = now_ms() + PATIENCE_MS;
	kills = kills * variant->share / 100;
	for (i = 0; i < READERS; i++)
		self->reader[i] = start_child(read_until_stopped, b);
	for (i = 0; !last; i++) {
		for (w = 0; w < WORKERS; w++)
			if (!self->worker[w])
				self->worker[w] = start_child(work_until_killed,
							      b);
		usleep(any(&seed) % 10000);
		w = any(&seed) % WORKERS;
		ASSERT_EQ(0, kill(self->worker[w], SIGKILL));
		ASSERT_EQ(-SIGKILL, end_child(self->worker[w]));
		self->worker[w] = 0;
		last = i == kills - 1 || now_ms() > end;
		if (i % 50 != 49 && !last)
			continue;
		for (w = 0; w < WORKERS; w++) {
			if (!self->worker[w])
				continue;
			ASSERT_EQ(0, kill(self->worker[w], SIGKILL));
			ASSERT_EQ(-SIGKILL, end_child(self->worker[w]));
			self->worker[w] = 0;
		}
		check_rest(_metadata, self->s);
	}
	__atomic_store_n(&b->stop, 1, __ATOMIC_RELAXED);
	for (w = 0; w < READERS; w++)
		EXPECT_EQ(0, end_child(self->reader[w]));
	TH_LOG("%u kills, %llu calls, %llu publishes, %llu reads, %llu times full, slowest %llu ms",
	       i, (unsigned long long)b->calls,
	       (unsigned long long)b->publishes, (unsigned long long)b->reads,
	       (unsigned long long)b->full, (unsigned long long)b->slowest_ms);
	EXPECT_GT(b->publishes, 10);
	EXPECT_GT(b->reads, 10);
	EXPECT_GT(SLOWEST_MS, b->slowest_ms);

	/* Remove every cell: nothing is left */
	while (slabshm_list_cells(self->s, &entry, 1, &cursor) == 1) {
		ref.cell = entry.cell;
		ref.generation = entry.generation;
		EXPECT_EQ(0, slabshm_cell_remove(self->s, &ref));
	}
	EXPECT_TRUE(wait_until(!retired_bytes(self->s), 10000));
	ASSERT_EQ(0, slabshm_stat(self->s, &st));
	EXPECT_EQ(0, st.live);
	EXPECT_EQ(0, st.blocks);
	EXPECT_EQ(0, st.cells);
	EXPECT_EQ(st.backed, st.free);

	/* All of the space can be had, in one piece */
	ASSERT_EQ(0, slabshm_grow(self->s, MAX_SIZE));
	EXPECT_GT(slabshm_alloc(self->s, MAX_SIZE - PAGE), 0);
}

/*
 * ---------------- Long calls ----------------
 */

FIXTURE(big)
{
	struct board *b;
	struct slabshm *s;
};

FIXTURE_VARIANT(big)
{
	int (*fn)(void *arg);
	uint64_t size;
};

#define BIG	(24 * MIB)

static int grow_big(void *arg)
{
	struct slabshm *s = child_open(((struct board *)arg)->s);

	must_do(slabshm_grow(s, BIG));
	pause();
	return 1;
}

static int alloc_big(void *arg)
{
	struct slabshm *s = child_open(((struct board *)arg)->s);

	must_do(slabshm_alloc(s, BIG - 3 * MIB));
	pause();
	return 1;
}

static int zero_big(void *arg)
{
	struct slabshm *s = child_open(((struct board *)arg)->s);

	must_do(slabshm_alloc_zeroed(s, BIG - 3 * MIB));
	pause();
	return 1;
}

static int trim_big(void *arg)
{
	struct slabshm *s = child_open(((struct board *)arg)->s);

	must_do(slabshm_trim(s, 0));
	pause();
	return 1;
}

FIXTURE_VARIANT_ADD(big, grow)
{
	.fn = grow_big, .size = MIB,
};

FIXTURE_VARIANT_ADD(big, alloc)
{
	.fn = alloc_big, .size = MIB,
};

FIXTURE_VARIANT_ADD(big, zero)
{
	.fn = zero_big, .size = BIG,
};

FIXTURE_VARIANT_ADD(big, trim)
{
	.fn = trim_big, .size = BIG,
};

FIXTURE_SETUP(big)
{
	self->b = shared_memory(sizeof(*self->b));
	ASSERT_NE(NULL, self->b);
}

FIXTURE_TEARDOWN(big)
{
}

TEST_F_TIMEOUT(big, killed, 300)
{
	unsigned int i, n = long_run() ? 100 : 5;
	long long end = now_ms() + test_ms(10000);
	uint64_t seed = any_seed(3);
	struct slabshm_stat st;
	int64_t block;
	pid_t pid;

	for (i = 0; i < n && now_ms() < end; i++) {
		ASSERT_EQ(0, slab_open(&self->b->s, BIG, variant->size));
		pid = start_child(variant->fn, self->b);
		usleep(2000 + any(&seed) % 60000);
		ASSERT_EQ(0, kill(pid, SIGKILL));
		ASSERT_EQ(-SIGKILL, end_child(pid));
		EXPECT_TRUE(wait_until(clients(self->b->s) == 1, 10000));
		ASSERT_EQ(0, slabshm_stat(self->b->s, &st));
		EXPECT_EQ(0, st.live);
		EXPECT_EQ(0, st.blocks);
		EXPECT_EQ(st.backed, st.free);
		EXPECT_EQ(0, st.size % PAGE);
		EXPECT_GE(st.size, variant->size);
		if (variant->fn != trim_big)
			EXPECT_EQ(st.size, st.backed + PAGE);

		/* Whatever was left of it, others go on from there */
		block = slabshm_alloc(self->b->s, BIG - PAGE);
		EXPECT_EQ((int64_t)PAGE, block);
		if (block > 0)
			memset(slabshm_ptr(self->b->s, (uint64_t)block), 1,
			       BIG - PAGE);
		ASSERT_EQ(0, slabshm_stat(self->b->s, &st));
		EXPECT_EQ(BIG, st.size);
		EXPECT_EQ(BIG - PAGE, st.live);
		EXPECT_EQ(0, st.free);
		slabshm_close(self->b->s);
	}
}

/*
 * ---------------- A descriptor that outlives its client ----------------
 */

static int die_with_child(void *arg)
{
	struct board *b = arg;
	struct slabshm *s = child_open(b->s);
	struct slabshm_stat st;
	unsigned int i;
	pid_t pid;

	for (i = 0; i < 300; i++)
		must_do(slabshm_alloc(s, 40 * (i + 1)));
	must_do(slabshm_alloc(s, 4 * MIB));
	/* Not start_child(), whose children die with their parents */
	pid = fork();
	must(pid >= 0);
	if (!pid) {
		/* This one has the descriptor and nothing else of the client */
		must(slabshm_stat(s, &st) == -EIO);
		must(slabshm_alloc(s, 1) == -EIO);
		must(!slabshm_ptr(s, 4096));
		b->fine = 1;
		for (;;)
			pause();
	}
	b->grandchild = pid;
	for (;;)
		pause();
	return 1;
}

FIXTURE(descriptor)
{
	struct board *b;
	struct slabshm *s;
};

FIXTURE_SETUP(descriptor)
{
	self->b = shared_memory(sizeof(*self->b));
	ASSERT_NE(NULL, self->b);
	ASSERT_EQ(0, slab_open(&self->s, MAX_SIZE, MIB));
	self->b->s = self->s;
}

FIXTURE_TEARDOWN(descriptor)
{
	slabshm_close(self->s);
}

TEST_F_TIMEOUT(descriptor, outlives_its_client, 60)
{
	struct slabshm_client_entry client[3];
	struct board *b = self->b;
	uint64_t cursor = 0;
	pid_t pid;

	pid = start_child(die_with_child, b);
	ASSERT_TRUE(wait_until(b->fine && b->grandchild, 10000));
	EXPECT_LT(4 * MIB, live_bytes(self->s));
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(-SIGKILL, end_child(pid));
	EXPECT_TRUE(wait_until(!live_bytes(self->s), 10000));

	/* Still there, but ended */
	EXPECT_EQ(0, kill(b->grandchild, 0));
	poison(client, sizeof(client));
	ASSERT_EQ(2, slabshm_list_clients(self->s, client, 3, &cursor));
	EXPECT_EQ(SLABSHM_CLIENT_ALIVE, client[0].flags);
	EXPECT_EQ(SLABSHM_CLIENT_ENDED, client[1].flags);
	EXPECT_EQ(0, client[1].bytes);
	EXPECT_EQ(0, client[1].blocks);
	EXPECT_EQ(0, kill(b->grandchild, SIGKILL));
	EXPECT_TRUE(wait_until(clients(self->s) == 1, 10000));
}

TEST_HARNESS_MAIN
