// SPDX-License-Identifier: GPL-2.0
/*
 * The library's cache of blocks: hits make no system call, what it keeps is
 * bounded and goes back when space runs short, at the end of a thread and with
 * the client, and blocks may be freed by any thread.
 */
#include <linux/seccomp.h>
#include <pthread.h>

#include "calls.h"
#include "object.h"

#include "kselftest_harness.h"

#define MAX_SIZE	(64 * MIB)
#define THREAD_MOST	(MAX_SIZE / 256)	/* slabshm_alloc(3) */
#define N		6400

/* Blocks of clients and cells; what a cache keeps is its client's */
static uint64_t live_blocks(struct slabshm *s)
{
	struct slabshm_stat st;

	poison(&st, sizeof(st));
	return slabshm_stat(s, &st) ? UINT64_MAX : st.blocks;
}

/* Does the kernel take this for a block that the client may free? */
static bool is_own(struct slabshm *s, uint64_t offset)
{
	struct slabshm_block_args info = {
		.client = slabshm_client(s),
		.offset = offset,
	};

	return !call(slabshm_fd(s), SLABSHM_IOC_BLOCK, &info) &&
	       info.start == offset && info.state == SLABSHM_BLOCK_OWN;
}

/* Leave @n blocks of @size in this thread's cache. */
static int stock_up(struct slabshm *s, size_t size, unsigned int n)
{
	int64_t block[SLABSHM_BATCH_MAX];
	unsigned int i;
	int ret = 0;

	for (i = 0; i < n; i++) {
		block[i] = slabshm_alloc(s, size);
		if (block[i] < 0)
			ret = (int)block[i];
	}
	for (i = 0; i < n; i++)
		if (block[i] > 0)
			ret = slabshm_free(s, (uint64_t)block[i]) ?: ret;
	return ret;
}

/* Allocate @size until it fails, in as few calls as that takes. */
static int fill(const struct client *c, uint64_t size, unsigned int flags)
{
	struct slabshm_block block[SLABSHM_BATCH_MAX];
	unsigned int i, n = SLABSHM_BATCH_MAX;
	int ret;

	for (;;) {
		for (i = 0; i < n; i++)
			block[i].size = size;
		ret = alloc_blocks(c, block, n, 0, flags);
		if (ret && n == 1)
			return ret;
		if (ret)
			n /= 2;
	}
}

FIXTURE(magazine)
{
	struct slabshm *s;
	struct client c;	/* another one, without a cache */
};

FIXTURE_SETUP(magazine)
{
	unsetenv("SLABSHM_CHECK");
	ASSERT_EQ(0, slab_open(&self->s, MAX_SIZE, MIB));
	ASSERT_EQ(0, client_open_fd(&self->c, slabshm_fd(self->s), 0));
}

FIXTURE_TEARDOWN(magazine)
{
	slabshm_close(self->s);
	client_close(&self->c);
}

/* With only read, write and exit allowed: any other call is its death. */
static int strict(void *arg)
{
	static const size_t sizes[] = { 1, 64, 100, 1000, 4000, 20000 };
	struct slabshm *s = child_open(arg);
	int64_t block[2 * ARRAY_LEN(sizes)];
	unsigned int i, k;
	char *p;

	for (k = 0; k < 8; k++)
		for (i = 0; i < ARRAY_LEN(sizes); i++)
			must_do(stock_up(s, sizes[i], 4));
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT))
		return 4;
	for (k = 0; k < 1000; k++) {
		for (i = 0; i < ARRAY_LEN(block); i++) {
			size_t size = sizes[i / 2];

			block[i] = i % 2 ? slabshm_alloc(s, size) :
					   slabshm_alloc_zeroed(s, size);
			if (block[i] < 0)
				syscall(SYS_exit, 1);
			p = slabshm_ptr(s, (uint64_t)block[i]);
			if (i % 2 == 0 && (p[0] || p[size - 1]))
				syscall(SYS_exit, 2);
			memset(p, 0xff, size);
		}
		for (i = 0; i < ARRAY_LEN(block); i++)
			if (slabshm_free(s, (uint64_t)block[i]))
				syscall(SYS_exit, 3);
	}
	syscall(SYS_exit, 0);
	return 5;
}

TEST_F(magazine, no_call)
{
	int ret = in_child(strict, self->s);

	if (ret == 4)
		SKIP(return, "no seccomp");
	EXPECT_EQ(0, ret);
}

TEST_F(magazine, few_calls)
{
	static int64_t block[N];
	unsigned long before = calls;
	unsigned int i;

	for (i = 0; i < N; i++) {
		block[i] = slabshm_alloc(self->s, 64);
		ASSERT_GT(block[i], 0);
		memset(slabshm_ptr(self->s, (uint64_t)block[i]), i, 64);
	}
	TH_LOG("%lu calls for %u blocks", calls - before, N);
	EXPECT_LE(calls - before, N / 32 + 12);
	for (i = 0; i < N; i++) {
		char *p = slabshm_ptr(self->s, (uint64_t)block[i]);

		/* No two are one */
		EXPECT_EQ((char)i, p[0]);
		EXPECT_EQ((char)i, p[63]);
	}
	before = calls;
	for (i = 0; i < N; i++)
		ASSERT_EQ(0, slabshm_free(self->s, (uint64_t)block[i]));
	TH_LOG("%lu calls to free them", calls - before);
	EXPECT_LE(calls - before, N / 32 + 12);
	EXPECT_LE(live_blocks(self->s), SLABSHM_BATCH_MAX);
}

/* A little program has little in its cache: room comes with use. */
TEST_F(magazine, begins_small)
{
	int64_t block[3];
	unsigned int i;

	for (i = 0; i < 3; i++)
		ASSERT_GT(block[i] = slabshm_alloc(self->s, 1000), 0);
	EXPECT_LE(live_blocks(self->s), 4);
	EXPECT_EQ(0, slabshm_free(self->s, (uint64_t)block[0]));
	EXPECT_LE(live_blocks(self->s), 4);
}

TEST_F(magazine, bounded)
{
	static int64_t block[2000];
	uint64_t seed = any_seed(1), most = 0, live, bound;
	unsigned int i, k;

	for (k = 0; k < 20; k++) {
		/* In each round sizes of their own, and of all */
		size_t top = 64UL << k % 9;

		for (i = 0; i < ARRAY_LEN(block); i++) {
			block[i] = slabshm_alloc(self->s, 1 + any(&seed) % top);
			ASSERT_GT(block[i], 0);
		}
		for (i = 0; i < ARRAY_LEN(block); i++)
			ASSERT_EQ(0, slabshm_free(self->s, (uint64_t)block[i]));
		live = live_bytes(self->s);
		bound = self->s->header->size;
		bound = bound < 8 * MIB ? 0 : (bound - 8 * MIB) / 20;
		bound += 128 * KIB;
		if (bound > THREAD_MOST)
			bound = THREAD_MOST;
		EXPECT_LE(live, bound);
		if (live > most)
			most = live;
	}
	TH_LOG("%llu bytes in the cache at most", (unsigned long long)most);
	/* It does cache */
	EXPECT_GT(most, THREAD_MOST / 4);
}

TEST_F(magazine, drained_under_pressure)
{
	uint32_t pressure = self->c.control->pressure;
	uint64_t before;
	int64_t block;

	ASSERT_EQ(0, stock_up(self->s, 4096, 32));
	ASSERT_EQ(0, stock_up(self->s, 64, 64));
	/* Blocks in stock are asked for nothing... */
	ASSERT_EQ(-ENOSPC, fill(&self->c, 4096, SLABSHM_ALLOC_OPPORTUNISTIC));
	EXPECT_EQ(pressure, self->c.control->pressure);
	before = live_bytes(self->s);
	ASSERT_EQ(0, stock_up(self->s, 64, 1));
	EXPECT_EQ(before, live_bytes(self->s));
	/* ... others are */
	EXPECT_EQ(-ENOSPC, alloc_block(&self->c, 4096));
	EXPECT_NE(pressure, self->c.control->pressure);
	/* Its thread's next call, whatever class that is of */
	block = slabshm_alloc(self->s, 64);
	EXPECT_GT(block, 0);
	EXPECT_LT(live_bytes(self->s), before - 8 * 4096);
	EXPECT_GT(alloc_block(&self->c, 4096), 0);
	EXPECT_GT(alloc_block(&self->c, 1000), 0);

	/* A free is such a call, and what it frees does not stay */
	EXPECT_EQ(-ENOSPC, fill(&self->c, 4096, 0));
	EXPECT_EQ(0, slabshm_free(self->s, (uint64_t)block));
	EXPECT_FALSE(is_own(self->s, (uint64_t)block));
}

/* No page is left to the other client, and no more is asked of anybody. */
static int fill_pages(const struct client *c)
{
	int ret = fill(c, 4096, SLABSHM_ALLOC_OPPORTUNISTIC);

	return fill(c, 64, SLABSHM_ALLOC_OPPORTUNISTIC) == ret ? ret : -EPROTO;
}

/* Full but for what the thread itself keeps: of use for another class, too. */
static void own_first(struct __test_metadata *_metadata, struct slabshm *s,
		      struct client *c, int full)
{
	struct slabshm_block batch[2] = { { .size = 1000 }, { .size = 1000 } };
	uint32_t pressure = c->control->pressure;
	uint64_t own;
	unsigned int i;
	int64_t block;

	ASSERT_EQ(0, stock_up(s, 4096, 16));
	ASSERT_EQ(full, fill_pages(c));
	block = slabshm_alloc(s, 1000);
	ASSERT_GT(block, 0);
	own = (uint64_t)block;
	ASSERT_EQ(0, slabshm_free_batch(s, &own, 1));

	ASSERT_EQ(0, stock_up(s, 4096, 16));
	ASSERT_EQ(full, fill_pages(c));
	ASSERT_EQ(0, slabshm_alloc_batch(s, batch, 2, 0, 0));
	for (i = 0; i < 2; i++) {
		own = batch[i].offset;
		ASSERT_EQ(0, slabshm_free_batch(s, &own, 1));
	}

	ASSERT_EQ(0, stock_up(s, 4096, 16));
	ASSERT_EQ(full, fill_pages(c));
	block = slabshm_alloc_aligned(s, 1000, 1024);
	EXPECT_GT(block, 0);
	/* Nobody else was asked */
	EXPECT_EQ(pressure, c->control->pressure);
	EXPECT_EQ(full, slabshm_alloc(s, 2 * MIB));
	EXPECT_NE(pressure, c->control->pressure);
}

TEST_F(magazine, own_before_no_space)
{
	own_first(_metadata, self->s, &self->c, -ENOSPC);
}

TEST(own_before_quota)
{
	struct client c = { 0 };
	unsigned long old;
	struct slabshm *s;

	unsetenv("SLABSHM_CHECK");
	ASSERT_EQ(0, set_parameter("max_client_mbytes", 2, &old));
	EXPECT_EQ(0, slab_open(&s, MAX_SIZE, MIB));
	EXPECT_EQ(0, set_parameter("max_client_mbytes", old, NULL));
	/* The same client without the cache */
	c.fd = slabshm_fd(s);
	c.at.client = slabshm_client(s);
	c.control = (struct slabshm_header *)(uintptr_t)s->header;
	own_first(_metadata, s, &c, -EDQUOT);
	slabshm_close(s);
}

/* There is space for the block that is needed, not for those in stock. */
TEST_F(magazine, refill_in_part)
{
	struct slabshm_block one = { .size = 20 * KIB };
	unsigned int i, cached;
	unsigned long before;

	for (i = 0; i < 8; i++)
		ASSERT_EQ(0, stock_up(self->s, 1024, SLABSHM_BATCH_MAX));
	cached = (unsigned int)live_blocks(self->s);
	ASSERT_GT(cached, 16);
	/* Then a hole of one run, of 16 blocks, where 32 are asked for */
	ASSERT_EQ(0, alloc_blocks(&self->c, &one, 1, 0, 0));
	ASSERT_EQ(-ENOSPC, fill_pages(&self->c));
	ASSERT_EQ(0, free_block(&self->c, one.offset));
	before = calls;
	for (i = 0; i < cached; i++)
		ASSERT_GT(slabshm_alloc(self->s, 1024), 0);
	EXPECT_EQ(before, calls);
	for (i = 0; slabshm_alloc(self->s, 1024) > 0; i++)
		;
	EXPECT_GE(i, 16);
	EXPECT_LT(i, 32);
}

/*
 * ---------------- Threads ----------------
 */

#define RING	256

struct ring {
	struct slabshm *s;
	uint64_t block[RING];
	unsigned long head, tail, n;
	int cpu;
};

static void *consume(void *arg)
{
	struct ring *r = arg;
	unsigned long i;

	on_cpu(1);
	for (i = 0; i < r->n; i++) {
		while (__atomic_load_n(&r->head, __ATOMIC_ACQUIRE) == i)
			sched_yield();
		must(*(uint64_t *)slabshm_ptr(r->s, r->block[i % RING]) == i);
		must_do(slabshm_free(r->s, r->block[i % RING]));
		__atomic_store_n(&r->tail, i + 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

TEST_F(magazine, freed_by_another_thread)
{
	struct ring r = { .s = self->s, .n = long_run() ? 1000000 : 50000 };
	unsigned long i, before = calls;
	uint64_t most = 0, live;
	pthread_t thread;
	int64_t block;

	ASSERT_EQ(0, pthread_create(&thread, NULL, consume, &r));
	on_cpu(0);
	for (i = 0; i < r.n; i++) {
		while (i - __atomic_load_n(&r.tail, __ATOMIC_ACQUIRE) == RING)
			sched_yield();
		block = slabshm_alloc(self->s, 200);
		ASSERT_GT(block, 0);
		*(uint64_t *)slabshm_ptr(self->s, (uint64_t)block) = i;
		r.block[i % RING] = (uint64_t)block;
		__atomic_store_n(&r.head, i + 1, __ATOMIC_RELEASE);
		if (i % 1000 == 0) {
			live = live_blocks(self->s);
			calls--;
			if (live > most)
				most = live;
		}
	}
	ASSERT_EQ(0, pthread_join(thread, NULL));
	TH_LOG("%lu calls for %lu blocks, %llu live at most", calls - before,
	       r.n, (unsigned long long)most);
	EXPECT_LE(most, RING + 2 * SLABSHM_BATCH_MAX);
	EXPECT_LE(calls - before, r.n / 16 + 100);
}

static void *stock_and_end(void *arg)
{
	must_do(stock_up(arg, 64, 64));
	must_do(stock_up(arg, 4096, 8));
	must(live_blocks(arg) > 16);
	return NULL;
}

TEST_F(magazine, thread_exit)
{
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, stock_and_end, self->s));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, live_blocks(self->s));
	EXPECT_EQ(0, live_bytes(self->s));
}

/* Blocks that say whose they are. */
struct worker {
	struct slabshm *s;
	pthread_t thread;
	int cpu;
	bool stop;
	unsigned long n;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	uint64_t seed = any_seed((uint64_t)w->cpu), *p, sum = (uintptr_t)w;
	struct {
		uint64_t block;
		size_t size;
	} slot[100] = { 0 };
	unsigned int i;

	on_cpu(w->cpu);
	while (!__atomic_load_n(&w->stop, __ATOMIC_RELAXED)) {
		i = any(&seed) % ARRAY_LEN(slot);
		if (slot[i].block) {
			p = slabshm_ptr(w->s, slot[i].block);
			must(p[0] == (sum ^ slot[i].block));
			must(p[slot[i].size / 8 - 1] == (sum ^ slot[i].block));
			must_do(slabshm_free(w->s, slot[i].block));
		}
		slot[i].size = 64UL << any(&seed) % 10;
		slot[i].block = (uint64_t)must_do(slabshm_alloc(w->s,
							slot[i].size));
		p = slabshm_ptr(w->s, slot[i].block);
		p[0] = sum ^ slot[i].block;
		p[slot[i].size / 8 - 1] = sum ^ slot[i].block;
		w->n++;
	}
	for (i = 0; i < ARRAY_LEN(slot); i++)
		if (slot[i].block)
			must_do(slabshm_free(w->s, slot[i].block));
	return NULL;
}

TEST_F(magazine, two_cpus)
{
	struct worker w[2] = { { .s = self->s }, { .s = self->s, .cpu = 1 } };
	long long end = now_ms() + test_ms(500);
	unsigned int i;

	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_create(&w[i].thread, NULL, work, &w[i]));
	/* Meanwhile one asks for more than there is, again and again */
	while (now_ms() < end) {
		EXPECT_EQ(-ENOSPC, alloc_block(&self->c, MAX_SIZE));
		sleep_ms(5);
	}
	for (i = 0; i < 2; i++)
		__atomic_store_n(&w[i].stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, pthread_join(w[i].thread, NULL));
		EXPECT_GT(w[i].n, 0);
	}
	EXPECT_EQ(0, live_blocks(self->s));
}

/*
 * ---------------- Handles ----------------
 */

TEST_F(magazine, two_handles)
{
	struct slabshm *s[2] = { self->s };
	int64_t block[2][20];
	unsigned int i, k, h;

	ASSERT_EQ(0, slab_open(&s[1], MAX_SIZE, MIB));
	for (k = 0; k < 20; k++) {
		for (i = 0; i < 20; i++) {
			for (h = 0; h < 2; h++) {
				block[h][i] = slabshm_alloc(s[h], 64 + 64 * h);
				ASSERT_GT(block[h][i], 0);
				EXPECT_TRUE(is_own(s[h], (uint64_t)block[h][i]));
			}
		}
		for (i = 0; i < 20; i++)
			for (h = 0; h < 2; h++)
				ASSERT_EQ(0, slabshm_free(s[h], (uint64_t)block[h][i]));
	}
	/* Each has its own sizes only */
	EXPECT_EQ(0, live_bytes(s[1]) % 128);
	EXPECT_EQ(live_blocks(s[1]) * 128, live_bytes(s[1]));
	EXPECT_EQ(live_blocks(s[0]) * 64, live_bytes(s[0]));
	slabshm_close(s[1]);
}

struct turns {
	struct slabshm *s;
	pthread_barrier_t barrier;
};

static void *outlive(void *arg)
{
	struct turns *t = arg;
	unsigned int k;

	for (k = 0; k < 20; k++) {
		pthread_barrier_wait(&t->barrier);
		must_do(stock_up(t->s, 64, 64));
		must(live_blocks(t->s) > 16);
		must(is_own(t->s, (uint64_t)must_do(slabshm_alloc(t->s, 64))));
		pthread_barrier_wait(&t->barrier);
	}
	return NULL;
}

/*
 * A thread's cache goes to the next handle, whose slab may be too small for blocks
 * that were cached before.
 */
TEST_F(magazine, next_handle_has_fewer_classes)
{
	const size_t size = 8192;
	struct slabshm *s;
	uint64_t before;
	int64_t block;

	ASSERT_EQ(0, stock_up(self->s, size, 4));
	ASSERT_LT(0, slabshm_alloc(self->s, size));
	slabshm_close(self->s);
	ASSERT_EQ(0, slab_open(&s, 4 * MIB, MIB));
	self->s = s;
	ASSERT_EQ(0, stock_up(s, 64, 1));
	before = live_blocks(s);

	block = slabshm_alloc(s, size);
	ASSERT_LT(0, block);
	EXPECT_EQ(before + 1, live_blocks(s));
	EXPECT_EQ(0, slabshm_free(s, (uint64_t)block));
	EXPECT_EQ(before, live_blocks(s));
	EXPECT_EQ(-EINVAL, slabshm_free(s, (uint64_t)block));
	/* The budget is as it was, too */
	EXPECT_EQ(0, stock_up(s, 64, 64));
}

/* A handle is closed by another thread; the next may lie where that was. */
TEST(closed_by_another_thread)
{
	struct turns t = { 0 };
	struct slabshm *first = NULL;
	unsigned int k, same = 0;
	pthread_t thread;

	unsetenv("SLABSHM_CHECK");
	pthread_barrier_init(&t.barrier, NULL, 2);
	ASSERT_EQ(0, pthread_create(&thread, NULL, outlive, &t));
	for (k = 0; k < 20; k++) {
		ASSERT_EQ(0, slab_open(&t.s, MAX_SIZE, MIB));
		if (!first)
			first = t.s;
		else
			same += t.s == first;
		pthread_barrier_wait(&t.barrier);
		pthread_barrier_wait(&t.barrier);
		slabshm_close(t.s);
	}
	ASSERT_EQ(0, pthread_join(thread, NULL));
	TH_LOG("%u of %u at the same address", same, k - 1);
}

static int inherit(void *arg)
{
	struct slabshm *parents = arg, *s = NULL;
	int64_t block;

	must(slabshm_alloc(parents, 64) == -EIO);
	must(slabshm_alloc_zeroed(parents, 64) == -EIO);
	must(slabshm_free(parents, 64) == -EIO);
	must_do(slabshm_open_fd(&s, slabshm_fd(parents), 0));
	must_do(stock_up(s, 64, 64));
	/* With the handle the parent's caches do not go, they are not here */
	slabshm_close(parents);
	calls = 0;
	block = must_do(slabshm_alloc(s, 64));
	must(!calls);
	must(is_own(s, (uint64_t)block));
	must_do(slabshm_free(s, (uint64_t)block));
	slabshm_close(s);
	return 0;
}

TEST_F(magazine, fork)
{
	uint64_t before;
	int64_t block;

	ASSERT_EQ(0, stock_up(self->s, 64, 64));
	before = live_blocks(self->s);
	EXPECT_EQ(0, in_child(inherit, self->s));
	EXPECT_TRUE(wait_until(live_blocks(self->s) == before, 5000));
	calls = 0;
	block = slabshm_alloc(self->s, 64);
	EXPECT_EQ(0, calls);
	EXPECT_TRUE(is_own(self->s, (uint64_t)block));
}

static int stock_and_die(void *arg)
{
	struct slabshm *s = child_open(arg);
	pthread_t thread;

	must_do(stock_up(s, 64, 64));
	must_do(stock_up(s, 4096, 16));
	must(!pthread_create(&thread, NULL, stock_and_end, s));
	must_do(slabshm_alloc(s, 64));
	must(live_blocks(s) > 32);
	raise(SIGKILL);
	return 0;
}

TEST_F(magazine, sigkill)
{
	unsigned int i;

	for (i = 0; i < (long_run() ? 200 : 20); i++) {
		ASSERT_EQ(-SIGKILL, in_child(stock_and_die, self->s));
		ASSERT_TRUE(wait_until(!live_bytes(self->s), 5000));
	}
}

/*
 * ---------------- What the kernel judges ----------------
 */

TEST(check)
{
	struct slabshm *s, *user;
	unsigned long before;
	int64_t block;
	int i;

	setenv("SLABSHM_CHECK", "1", 1);
	ASSERT_EQ(0, slab_open(&s, MAX_SIZE, MIB));
	for (i = 0; i < 10; i++) {
		before = calls;
		block = slabshm_alloc(s, 64);
		ASSERT_GT(block, 0);
		EXPECT_EQ(before + 1, calls);
		EXPECT_EQ(1, live_blocks(s));
		calls--;
		EXPECT_EQ(0, slabshm_free(s, (uint64_t)block));
		EXPECT_EQ(before + 2, calls);
		EXPECT_EQ(0, live_blocks(s));
		EXPECT_EQ(-EINVAL, slabshm_free(s, (uint64_t)block));
	}
	/* As it was when the handle was opened */
	setenv("SLABSHM_CHECK", "0", 1);
	ASSERT_EQ(0, slabshm_open_fd(&user, slabshm_fd(s), 0));
	EXPECT_EQ(0, stock_up(user, 64, 32));
	EXPECT_NE(0, live_blocks(user));
	EXPECT_EQ(0, stock_up(s, 4096, 32));
	EXPECT_LE(live_bytes(s), 64 * 64);
	slabshm_close(user);
	slabshm_close(s);
}

TEST_F(magazine, what_is_no_block)
{
	struct slabshm *s = self->s, *reader;
	int64_t block[2], large;

	ASSERT_GT(block[0] = slabshm_alloc(s, 64), 0);
	ASSERT_GT(block[1] = slabshm_alloc(s, 64), 0);
	ASSERT_GT(large = slabshm_alloc(s, MIB), 0);
	EXPECT_EQ(-EINVAL, slabshm_alloc(s, 0));
	EXPECT_EQ(-EINVAL, slabshm_alloc_zeroed(s, 0));
	EXPECT_EQ(-ENOSPC, slabshm_alloc(s, 2 * MAX_SIZE));
	EXPECT_EQ(-ENOSPC, slabshm_alloc(s, SIZE_MAX));
	EXPECT_EQ(-EINVAL, slabshm_free(s, 0));
	EXPECT_EQ(-EINVAL, slabshm_free(s, (uint64_t)block[0] + 1));
	EXPECT_EQ(-EINVAL, slabshm_free(s, (uint64_t)large + PAGE));
	EXPECT_EQ(-EINVAL, slabshm_free(s, MAX_SIZE - 64));
	EXPECT_EQ(-EINVAL, slabshm_free(s, MAX_SIZE));
	EXPECT_EQ(-EINVAL, slabshm_free(s, UINT64_MAX - 63));
	EXPECT_EQ(0, slabshm_free(s, (uint64_t)large));
	EXPECT_EQ(-EINVAL, slabshm_free(s, (uint64_t)large));

	ASSERT_EQ(0, slabshm_open_fd(&reader, slabshm_fd(s),
				     SLABSHM_ATTACH_RDONLY));
	EXPECT_EQ(-EACCES, slabshm_alloc(reader, 64));
	EXPECT_EQ(-EACCES, slabshm_alloc_zeroed(reader, 64));
	EXPECT_EQ(-EACCES, slabshm_free(reader, (uint64_t)block[0]));
	slabshm_close(reader);
}

static void *free_wrongly(void *arg)
{
	struct turns *t = arg;
	struct slabshm_cell_entry entry;
	uint64_t cursor = 0;

	must_do(stock_up(t->s, 64, 8));
	must(slabshm_list_cells(t->s, &entry, 1, &cursor) == 1);
	/* Nobody sees it now */
	must_do(slabshm_free(t->s, entry.offset));
	must_do(stock_up(t->s, 64, 16));
	return NULL;
}

/* A published block in the cache: the kernel keeps it, and takes the rest. */
TEST_F(magazine, wrong_free)
{
	struct turns t = { .s = self->s };
	struct slabshm_ref ref;
	pthread_t thread;
	char text[6];

	ASSERT_EQ(0, slabshm_cell_open(self->s, "cell", SLABSHM_CELL_CREATE,
				       &ref));
	ASSERT_GT(slabshm_assign(self->s, &ref, "hello", 6), 0);
	ASSERT_EQ(1, live_blocks(self->s));
	ASSERT_EQ(0, pthread_create(&thread, NULL, free_wrongly, &t));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(1, live_blocks(self->s));
	EXPECT_EQ(6, slabshm_read(self->s, &ref, text, 6, NULL));
	EXPECT_EQ(0, memcmp(text, "hello", 6));
}

TEST_F(magazine, assign)
{
	struct slabshm_ref ref;
	unsigned long before;
	unsigned int i, n = 1000;
	uint64_t value;

	ASSERT_EQ(0, slabshm_cell_open(self->s, "cell", SLABSHM_CELL_CREATE,
				       &ref));
	before = calls;
	for (i = 0; i < n; i++)
		ASSERT_GT(slabshm_assign(self->s, &ref, &i, sizeof(i)), 0);
	TH_LOG("%lu calls for %u updates", calls - before, n);
	EXPECT_LE(calls - before, n + n / 16);
	value = 0;
	EXPECT_EQ(4, slabshm_read(self->s, &ref, &value, 8, NULL));
	EXPECT_EQ(n - 1, value);
}

TEST_HARNESS_MAIN
