// SPDX-License-Identifier: GPL-2.0
/*
 * Large numbers of everything: what each costs in kernel memory and in time, and
 * that no call takes long.  SLABSHM_LONG=1 takes the numbers that slabshm is made
 * for, and needs a machine of 12 GiB:
 *
 *	selftests/vm/run --mem 12G --timeout 3600 --add build/selftests -- \
 *		env SLABSHM_LONG=1 build/selftests/scale
 *
 * That nothing stalls (soft lockup, RCU) is for the machine's runner to see.
 */
#include <sys/resource.h>

#include "common.h"
#include "kselftest_harness.h"

/* A call that takes longer than this, on an emulated and busy processor, walks */
#define SLOWEST_MS	slowly(2000)

/* What other things of the kernel's own come and go between two looks; signed */
#define NOISE		(16LL << 20)

static unsigned int number(unsigned int large, unsigned int small)
{
	return long_run() ? large : small;
}

/*
 * Bytes of memory that are neither free nor what processes and slabs have put
 * their data in: the kernel's own.
 */
static long long kernel_bytes_now(void)
{
	static const char *const fields[] = {
		"MemFree:", "Buffers:", "Cached:", "AnonPages:", "PageTables:",
	};
	long long total = 0, kb;
	char name[64];
	FILE *f;
	size_t i;

	f = fopen("/proc/meminfo", "re");

	while (f && fscanf(f, "%63s %lld kB\n", name, &kb) == 2) {
		if (!strcmp(name, "MemTotal:"))
			total += kb;
		for (i = 0; i < ARRAY_LEN(fields); i++)
			if (!strcmp(name, fields[i]))
				total -= kb;	/* Cached has the slabs' data */
	}
	if (f)
		fclose(f);
	return total * 1024;
}

/* Once what was freed before has got there, which takes seconds for gigabytes. */
static long long kernel_bytes(void)
{
	long long last, bytes = kernel_bytes_now();
	unsigned int tries = 200;

	do {
		last = bytes;
		sleep_ms(300);
		bytes = kernel_bytes_now();
	} while (llabs(last - bytes) > 256 * 1024 && --tries);
	return bytes;
}

static long long now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

/* One kind of call: how often, how long in all, the slowest. */
struct timing {
	long long count;
	long long sum;
	long long worst;
};

static void add(struct timing *t, long long start)
{
	long long took = now_ns() - start;

	t->count++;
	t->sum += took;
	if (took > t->worst)
		t->worst = took;
}

#define timed(t, call)						\
({								\
	long long start_ = now_ns();				\
	__typeof__(call) ret_ = (call);				\
								\
	add(t, start_);						\
	ret_;							\
})

static void show(struct __test_metadata *_metadata, const char *what,
		 const struct timing *t)
{
	TH_LOG("%s: %lld times, %.1f us, the slowest %.1f ms", what, t->count,
	       (double)t->sum / (double)t->count / 1e3, (double)t->worst / 1e6);
	EXPECT_LT(t->worst / 1000000, SLOWEST_MS);
}

static void end_slab(struct __test_metadata *_metadata, struct client *c,
		     const char *name, int ms)
{
	long long start = now_ms();

	client_close(c);
	EXPECT_TRUE(wait_until(!slab_listed(name, NULL), ms));
	TH_LOG("the end took %lld ms", now_ms() - start);
}

FIXTURE(scale) {};

FIXTURE_SETUP(scale)
{
}

FIXTURE_TEARDOWN(scale)
{
}

TEST_F_TIMEOUT(scale, cells, 3600)
{
	unsigned int i, n = number(10000000, 50000), listed = 0;
	struct timing make = { 0 }, find = { 0 }, put = { 0 }, look = { 0 };
	static struct slabshm_cell_entry entries[64];
	const char *name = unique_name();
	struct slabshm_cell_open_args cell;
	struct slabshm_attach_args ask;
	struct client c;
	long long bytes;
	char text[32];
	__u64 cursor = 0;
	int got;

	ask_attach(&ask, name, SLABSHM_ATTACH_CREATE, 64 * MIB, MIB);
	ask.max_cells = n;
	ASSERT_EQ(0, client_open_ask(&c, &ask));
	bytes = kernel_bytes();
	for (i = 0; i < n; i++) {
		snprintf(text, sizeof(text), "cell %u", i);
		ASSERT_EQ(0, timed(&make, cell_open(&c, text,
						    SLABSHM_CELL_CREATE, &cell)));
	}
	bytes = kernel_bytes() - bytes;
	TH_LOG("%u cells: %.1f bytes each", n, (double)bytes / n);
	if (!kernel_has_kasan())
		EXPECT_LT(bytes, 400LL * n + NOISE);
	ASSERT_EQ(-ENOSPC, cell_open(&c, "more", SLABSHM_CELL_CREATE, &cell));

	for (i = 0; i < 10000; i++) {
		snprintf(text, sizeof(text), "cell %u", (unsigned int)
			 (i * 2654435761U % n));
		ASSERT_EQ(0, timed(&find, cell_open(&c, text, 0, &cell)));
		ASSERT_EQ(0, timed(&put, publish_one(&c, &cell, 0, 0)));
	}
	while ((got = timed(&look, list(&c, SLABSHM_LIST_CELLS, entries,
					sizeof(entries[0]), 64, &cursor))) > 0)
		listed += (unsigned int)got;
	EXPECT_EQ(n, listed);
	show(_metadata, "CELL_OPEN that makes", &make);
	show(_metadata, "CELL_OPEN that finds", &find);
	show(_metadata, "PUBLISH", &put);
	show(_metadata, "LIST of 64", &look);
	end_slab(_metadata, &c, name, 60000);
}

TEST_F_TIMEOUT(scale, blocks, 3600)
{
	unsigned int i, k, n = number(10000000, 200000) / 64;
	struct timing get = { 0 }, put = { 0 };
	const char *name = unique_name();
	struct slabshm_block blocks[64];
	struct slabshm_stat st;
	long long bytes, start;
	__u64 (*all)[64];
	struct client c, other;

	all = calloc(n, sizeof(*all));
	ASSERT_NE(NULL, all);
	ASSERT_EQ(0, client_open(&c, name, SLABSHM_ATTACH_CREATE,
				 (n + 2048) * 64ULL * 64, MIB));
	ASSERT_EQ(0, client_open(&other, name, 0, 0, 0));
	memset(all, 1, n * sizeof(*all));	/* not in the figure */
	bytes = kernel_bytes();
	for (i = 0; i < n; i++) {
		for (k = 0; k < 64; k++)
			blocks[k].size = 64;
		ASSERT_EQ(0, timed(&get, alloc_blocks(&c, blocks, 64, 0, 0)));
		for (k = 0; k < 64; k++)
			all[i][k] = blocks[k].offset;
	}
	bytes = kernel_bytes() - bytes;
	TH_LOG("%u blocks of 64 bytes: %.2f bytes each, %.1f %%", n * 64,
	       (double)bytes / n / 64, (double)bytes / n / 64 / 64 * 100);
	EXPECT_LT(-NOISE, bytes);
	EXPECT_LT(bytes, n * 64LL * 64 * 8 / 100 + NOISE);

	/* Here and there, so that all runs have gaps; and fill these */
	for (i = 0; i < n; i += 2)
		ASSERT_EQ(0, timed(&put,
				   free_blocks(&c, all[i * 2654435761ULL % n], 1,
					       NULL)));
	for (i = 0; i < n / 64; i++) {
		for (k = 0; k < 64; k++)
			blocks[k].size = 64;
		ASSERT_EQ(0, timed(&get, alloc_blocks(&c, blocks, 64, 0, 0)));
	}
	show(_metadata, "ALLOC of 64", &get);
	show(_metadata, "FREE of one", &put);

	/* A client dies with all of them, and nobody waits for that */
	start = now_ms();
	client_close(&c);
	memset(&put, 0, sizeof(put));
	do {
		ASSERT_EQ(0, timed(&put, get_stat(&other, &st)));
	} while (st.live && now_ms() < start + 60000);
	EXPECT_EQ(0, st.live);
	TH_LOG("what a dead client had came back in %lld ms", now_ms() - start);
	show(_metadata, "STAT meanwhile", &put);
	end_slab(_metadata, &other, name, 60000);
	free(all);
}

TEST_F_TIMEOUT(scale, clients, 3600)
{
	unsigned int i, n = number(10000, 500), listed = 0;
	static struct slabshm_client_entry entries[64];
	struct rlimit limit = { n + 100, n + 100 };
	struct timing make = { 0 }, look = { 0 }, put = { 0 };
	const char *name = unique_name();
	struct slabshm_cell_open_args cell;
	struct slabshm_attach_args ask;
	struct client *c;
	long long bytes;
	__u64 cursor = 0;
	int got;

	c = calloc(n, sizeof(*c));
	ASSERT_NE(NULL, c);
	memset(c, 1, n * sizeof(*c));
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	bytes = kernel_bytes();
	for (i = 0; i < n; i++) {
		ask_attach(&ask, name, SLABSHM_ATTACH_CREATE, MIB, MIB);
		ASSERT_EQ(0, timed(&make, client_attach(&c[i], &ask)));
		ASSERT_EQ(0, client_map_reader(&c[i]));
	}
	bytes = kernel_bytes() - bytes;
	TH_LOG("%u clients: %.0f bytes each, file and mapping included", n,
	       (double)bytes / n);
	EXPECT_LT(bytes, 8192LL * n + NOISE);
	while ((got = timed(&look, list(&c[0], SLABSHM_LIST_CLIENTS, entries,
					sizeof(entries[0]), 64, &cursor))) > 0)
		listed += (unsigned int)got;
	EXPECT_EQ(n, listed);
	ASSERT_EQ(0, cell_open(&c[0], "x", SLABSHM_CELL_CREATE, &cell));
	for (i = 0; i < 10000; i++)
		ASSERT_EQ(0, timed(&put, publish_one(&c[i % n], &cell, 0, 0)));
	show(_metadata, "open and ATTACH", &make);
	show(_metadata, "LIST of 64", &look);
	show(_metadata, "PUBLISH", &put);
	for (i = 1; i < n; i++)
		client_close(&c[i]);
	end_slab(_metadata, &c[0], name, 60000);
	free(c);
}

TEST_F_TIMEOUT(scale, a_tebibyte, 3600)
{
	struct timing make = { 0 }, put = { 0 };
	const char *name = unique_name();
	struct slabshm_attach_args ask;
	struct client c;
	long long bytes;
	unsigned int i;
	__s64 last = 0;

	ask_attach(&ask, name, SLABSHM_ATTACH_CREATE, 1ULL << 40, MIB);
	bytes = kernel_bytes();
	ASSERT_EQ(0, timed(&make, client_attach(&c, &ask)));
	ASSERT_EQ(0, client_map(&c));
	bytes = kernel_bytes() - bytes;
	TH_LOG("a slab of 1 TiB at most: %.1f MiB", (double)bytes / MIB);
	EXPECT_LT(bytes, 2 * NOISE);
	for (i = 0; i < 64; i++) {
		last = timed(&put, alloc_block(&c, MIB));
		ASSERT_LT(0, last);
		c.data[last + (__s64)MIB - 1] = 1;
	}
	show(_metadata, "ATTACH that makes it", &make);
	show(_metadata, "ALLOC of 1 MiB", &put);
	end_slab(_metadata, &c, name, 60000);
}

TEST_F_TIMEOUT(scale, readers, 3600)
{
	unsigned int i, k, n = number(16, 1);
	struct timing make = { 0 }, put = { 0 }, one = { 0 };
	const char *name = unique_name();
	struct slabshm_cell_open_args cell;
	struct slabshm_register_args arg;
	struct slabshm_slot *slot;
	struct slabshm_attach_args ask;
	struct slabshm_stat st;
	struct client c[16];
	long long bytes, start;
	__s64 block;

	ask_attach(&ask, name, SLABSHM_ATTACH_CREATE, 64 * MIB, MIB);
	ask.held_limit = 64 * MIB;
	ASSERT_EQ(0, client_open_ask(&c[0], &ask));
	ASSERT_EQ(0, cell_open(&c[0], "x", SLABSHM_CELL_CREATE, &cell));
	for (i = 1; i < n; i++)
		ASSERT_EQ(0, client_open(&c[i], name, 0, 0, 0));
	bytes = kernel_bytes();
	for (i = 0; i < n; i++) {
		for (k = 0; k < 4096; k++) {
			memset(&arg, 0, sizeof(arg));
			ASSERT_EQ(0, timed(&make,
					   client_call(&c[i],
						       SLABSHM_IOC_REGISTER,
						       &arg)));
		}
	}
	bytes = kernel_bytes() - bytes;
	TH_LOG("%u readers: %.1f bytes each", n * 4096,
	       (double)bytes / n / 4096);
	EXPECT_LT(bytes, 400LL * n * 4096 + NOISE);

	/* All pinned, each at another commit: the most that a scan can find */
	for (i = 0; i < n; i++) {
		slot = c[i].reader;
		for (k = 0; k < 4096; k++) {
			__atomic_store_n(&slot[k].hi, c[0].control->commit,
					 __ATOMIC_RELAXED);
			__atomic_store_n(&slot[k].lo, c[0].control->commit,
					 __ATOMIC_RELAXED);
			if (k % 16)
				continue;
			block = alloc_block(&c[0], 64);
			ASSERT_LT(0, block);
			ASSERT_EQ(0, timed(&put, publish_one(&c[0], &cell,
							     (__u64)block, 64)));
		}
	}
	/* Rounds go on beside these */
	for (i = 0; i < 1000; i++)
		ASSERT_EQ(0, timed(&one, publish_one(&c[0], &cell, 0, 0)));
	for (i = 0; i < n; i++) {
		slot = c[i].reader;
		for (k = 0; k < 4096; k++)
			__atomic_store_n(&slot[k].lo, 0, __ATOMIC_RELEASE);
	}
	start = now_ms();
	EXPECT_TRUE(wait_until(!get_stat(&c[0], &st) && !st.retired, 30000));
	TH_LOG("reclaimed %lld ms after the last unpin", now_ms() - start);
	show(_metadata, "REGISTER", &make);
	show(_metadata, "PUBLISH with pins", &put);
	show(_metadata, "PUBLISH of nothing", &one);
	for (i = 1; i < n; i++)
		client_close(&c[i]);
	end_slab(_metadata, &c[0], name, 60000);
}

TEST_HARNESS_MAIN
