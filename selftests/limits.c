// SPDX-License-Identifier: GPL-2.0
/*
 * What happens when there is no more: of the slab, of memory, of a user's
 * share.  Each gives a clear error and never a signal, and what was taken for
 * a call that failed is given back.
 */
#include <pthread.h>
#include <sys/resource.h>
#include <sys/time.h>

#include "common.h"
#include "groups.h"
#include "watches.h"
#include "kselftest_harness.h"

#undef CREATE
#define CREATE	SLABSHM_ATTACH_CREATE

/*
 * Run @fn, in a child, as a user that no other test has: shares are given back
 * a moment after the process that had them has ended.
 */
static int as_user(void *fn)
{
	CHECK(!become(10000 + (uid_t)getppid(), ALICE));
	return ((int (*)(void))fn)();
}

/* The first slab of a function that is run again may have to wait for that. */
static int open_at_last(struct client *c, const char *name, __u64 size)
{
	int err;

	wait_until((err = client_open(c, name, SLABSHM_ATTACH_CREATE, 64 * MIB,
				      size)) != -EDQUOT, 5000);
	return err;
}

static bool is_sound(const struct client *c)
{
	struct slabshm_stat st;

	if (!wait_until(!get_stat(c, &st) && !st.retired, 5000))
		return false;
	return st.backed == st.live + st.free && st.backed < st.size + !st.size;
}

static __u64 stat_size(const struct client *c)
{
	struct slabshm_stat st;

	return get_stat(c, &st) ? ~0ULL : st.size;
}

/*
 * ---------------- The slab is full ----------------
 */

#define MAX_BLOCKS	40000

static __u64 offsets[MAX_BLOCKS];
static __u32 sizes[MAX_BLOCKS];

/* Allocate until there is no more, and store into all of it: how many blocks */
static int fill_slab(const struct client *c, const __u64 *size,
		     unsigned int nsizes, unsigned int flags)
{
	int n = 0, err = 0;

	while (n < MAX_BLOCKS) {
		struct slabshm_block b = {
			.size = size[(unsigned int)n % nsizes],
		};

		err = alloc_blocks(c, &b, 1, 0, flags);
		if (err)
			break;
		memset(c->data + b.offset, n, b.size);
		sizes[n] = (__u32)b.size;
		offsets[n++] = b.offset;
	}
	return err == -ENOSPC ? n : err;
}

/* Each block still has what was stored there; free it. */
static int empty_slab(const struct client *c, int n)
{
	while (n--) {
		const char *p = c->data + offsets[n];

		if (*p != (char)n || memcmp(p, p + 1, sizes[n] - 1))
			return 1;
		if (free_block(c, offsets[n]))
			return 2;
	}
	return 0;
}

#define FULL	(2 * MIB)

TEST(full_slab)
{
	static const struct {
		unsigned int n;
		__u64 size[4];
		unsigned int least;	/* per cent of the slab */
	} cases[] = {
		{ 1, { 64 }, 98 },
		{ 1, { 1000 }, 98 },
		{ 1, { 4096 }, 98 },
		{ 1, { 4097 }, 95 },
		{ 1, { 16384 }, 98 },
		{ 1, { 20000 }, 98 },
		{ 1, { MIB / 2 }, 70 },
		{ 4, { 64, 200000, 5000, 100 }, 70 },
	};
	unsigned int i, k;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct slabshm_block b[SLABSHM_BATCH_MAX];
		struct slabshm_stat full, st;
		struct client c;
		int n;

		ASSERT_EQ(0, client_open(&c, NULL, CREATE, FULL, 0));
		n = fill_slab(&c, cases[i].size, cases[i].n, 0);
		ASSERT_LT(0, n);
		ASSERT_EQ(0, get_stat(&c, &full));
		EXPECT_EQ(FULL, full.size);
		EXPECT_EQ(n, full.blocks);
		EXPECT_LT(FULL / 100 * cases[i].least, full.live)
			TH_LOG("case %u: %llu", i, full.live);

		/* Nothing comes of asking again */
		for (k = 0; k < SLABSHM_BATCH_MAX; k++)
			b[k].size = cases[i].size[k % cases[i].n];
		EXPECT_EQ(-ENOSPC, alloc_blocks(&c, b, SLABSHM_BATCH_MAX, 0,
						0));
		EXPECT_EQ(POISON64, b[0].offset);
		EXPECT_EQ(-ENOSPC, (int)alloc_block(&c, FULL));
		EXPECT_EQ(-ENOSPC, grow(&c, FULL + 1, NULL));
		ASSERT_EQ(0, get_stat(&c, &st));
		EXPECT_EQ(0, memcmp(&full, &st, sizeof(st)));

		/* One given back is one to be had */
		EXPECT_EQ(0, free_block(&c, offsets[n / 2]));
		b[0].size = sizes[n / 2];
		EXPECT_EQ(0, alloc_blocks(&c, b, 1, 0, 0));
		EXPECT_EQ(offsets[n / 2], b[0].offset);
		memset(c.data + offsets[n / 2], n / 2, b[0].size);

		EXPECT_EQ(0, empty_slab(&c, n))
			TH_LOG("case %u", i);
		ASSERT_EQ(0, get_stat(&c, &st));
		EXPECT_EQ(0, st.live | st.blocks);
		EXPECT_EQ(st.free, st.backed);
		EXPECT_LT(0, alloc_block(&c, FULL - PAGE));
		client_close(&c);
	}
}

TEST(nogrow_and_fixed)
{
	static const __u64 size[] = { 5000 };
	struct slabshm_stat st;
	struct client c;
	int n;

	ASSERT_EQ(0, client_open(&c, NULL, CREATE, 4 * MIB, MIB));
	n = fill_slab(&c, size, 1, SLABSHM_ALLOC_NOGROW);
	EXPECT_LT((int)(MIB / 5300), n);
	EXPECT_EQ(MIB, stat_size(&c));
	EXPECT_LT(0, alloc_block(&c, 5000));
	EXPECT_LT(MIB, stat_size(&c));
	client_close(&c);

	ASSERT_EQ(0, client_open(&c, NULL, CREATE | SLABSHM_ATTACH_FIXED,
				 4 * MIB, MIB));
	n = fill_slab(&c, size, 1, 0);
	EXPECT_LT((int)(MIB / 5300), n);
	ASSERT_EQ(0, get_stat(&c, &st));
	EXPECT_EQ(MIB, st.size);
	EXPECT_EQ(SLABSHM_SLAB_FIXED, st.attributes & SLABSHM_SLAB_FIXED);
	/* Only by itself it does not */
	EXPECT_EQ(0, grow(&c, 2 * MIB, NULL));
	EXPECT_LT(0, alloc_block(&c, 5000));
	EXPECT_EQ(2 * MIB, stat_size(&c));
	client_close(&c);

	/* What can never be is not tried */
	ASSERT_EQ(0, client_open(&c, NULL, CREATE, 4 * MIB, MIB));
	EXPECT_EQ(-ENOSPC, (int)alloc_block(&c, 4 * MIB));
	EXPECT_EQ(-ENOSPC, (int)alloc_block(&c, 5 * MIB));
	EXPECT_EQ(MIB, stat_size(&c));
	client_close(&c);

	/* And without any size to begin with there is nothing to be had */
	ASSERT_EQ(0, client_open(&c, NULL, CREATE | SLABSHM_ATTACH_FIXED,
				 4 * MIB, 0));
	EXPECT_EQ(-ENOSPC, (int)alloc_block(&c, 64));
	EXPECT_EQ(0, stat_size(&c));
	client_close(&c);
}

TEST(growth_by_allocation)
{
	struct slabshm_stat st;
	struct client c;
	__u64 size, live = 0;
	__s64 block;

	ASSERT_EQ(0, client_open(&c, NULL, CREATE, 64 * MIB, 0));
	for (size = 64; size <= 16 * MIB; size = size * 3 / 64 * 64 * 2) {
		block = alloc_block(&c, size);
		ASSERT_LT(0, block);
		memset(c.data + block, 1, size);
		live += size;
		ASSERT_EQ(0, get_stat(&c, &st));
		EXPECT_LE(live, st.live);
		/* No more than is needed, but for the last step */
		EXPECT_LE(st.size, live * 3 + 4 * MIB);
		EXPECT_EQ(st.size, c.control->size);
	}
	EXPECT_TRUE(is_sound(&c));
	client_close(&c);
}

/* Blocks come and go, memory is given back and taken again. */
TEST(trim_and_alloc)
{
	struct { __s64 at; __u64 size; char c; } b[64] = { 0 };
	int rounds = long_run() ? 20000 : 1000, i;
	struct slabshm_stat st;
	unsigned int seed = 1;
	struct client c;
	__u64 done;

	ASSERT_EQ(0, client_open(&c, NULL, CREATE, 16 * MIB, MIB));
	for (i = 0; i < rounds; i++) {
		int k = rand_r(&seed) % 64;

		if (b[k].at) {
			const char *p = c.data + b[k].at;

			ASSERT_EQ(b[k].c, p[0]);
			ASSERT_EQ(0, memcmp(p, p + 1, b[k].size - 1));
			ASSERT_EQ(0, free_block(&c, (__u64)b[k].at));
			b[k].at = 0;
		} else {
			b[k].size = 1ULL << rand_r(&seed) % 21;
			b[k].at = alloc_block(&c, b[k].size);
			if (b[k].at == -ENOSPC) {
				b[k].at = 0;
				continue;
			}
			ASSERT_LT(0, b[k].at);
			b[k].c = (char)i;
			memset(c.data + b[k].at, b[k].c, b[k].size);
		}
		if (!(i % 50))
			ASSERT_EQ(0, trim(&c, 1ULL << rand_r(&seed) % 24,
					  &done));
	}
	EXPECT_TRUE(is_sound(&c));
	for (i = 0; i < 64; i++)
		EXPECT_TRUE(!b[i].at || !free_block(&c, (__u64)b[i].at));
	ASSERT_EQ(0, get_stat(&c, &st));
	EXPECT_EQ(0, st.live);
	EXPECT_EQ(0, trim(&c, 0, &done));
	ASSERT_EQ(0, get_stat(&c, &st));
	EXPECT_EQ(0, st.backed);
	client_close(&c);
}

/*
 * ---------------- RLIMIT_FSIZE ----------------
 */

static int file_size_limit(void *arg)
{
	struct rlimit limit = { 2 * MIB + 4 * PAGE + 1, 4 * MIB };
	struct slabshm_stat st0, st;
	struct slabshm_attach_args ask;
	const char *name = unique_name();
	struct client big, c;
	__s64 block;
	__u64 has;

	(void)arg;
	CHECK(!client_open(&big, NULL, CREATE, 16 * MIB, 4 * MIB));
	CHECK(!setrlimit(RLIMIT_FSIZE, &limit));
	CHECK(!client_open(&c, NULL, CREATE, 16 * MIB, MIB));
	CHECK(!get_stat(&c, &st0));
	CHECK(grow(&c, 2 * MIB + 5 * PAGE, &has) == -EFBIG);
	CHECK(has == MIB);
	CHECK(grow(&c, 16 * MIB, &has) == -EFBIG && has == MIB);
	CHECK(!get_stat(&c, &st) && !memcmp(&st0, &st, sizeof(st)));
	CHECK(!grow(&c, 2 * MIB, &has) && has == 2 * MIB);
	CHECK(alloc_block(&c, 3 * MIB) == -EFBIG);
	while ((block = alloc_block(&c, 10000)) > 0)
		memset(c.data + block, 1, 10000);
	CHECK(block == -EFBIG);
	/* Up to the limit, though that is not where a step ends */
	while ((block = alloc_block(&c, 64)) > 0)
		memset(c.data + block, 1, 64);
	CHECK(block == -EFBIG);
	CHECK(stat_size(&c) == 2 * MIB + 4 * PAGE);

	ask_attach(&ask, name, CREATE | SLABSHM_ATTACH_PERSIST, 16 * MIB,
		   2 * MIB + 4 * PAGE + 1);
	CHECK(client_attach(&c, &ask) == -EFBIG);
	CHECK(!slab_listed(name, NULL));

	/* What is there already can be used, and filled again */
	CHECK(!grow(&big, 3 * MIB, &has) && has == 4 * MIB);
	block = alloc_block(&big, 3 * MIB);
	CHECK(block > 0);
	memset(big.data + block, 1, 3 * MIB);
	CHECK(!free_block(&big, (__u64)block));
	CHECK(!trim(&big, 0, NULL));
	block = alloc_block(&big, 3 * MIB);
	CHECK(block > 0);
	memset(big.data + block, 1, 3 * MIB);
	CHECK(grow(&big, 5 * MIB, &has) == -EFBIG);
	return 0;
}

TEST(file_size)
{
	EXPECT_EQ(0, in_child(file_size_limit, NULL));
}

/*
 * ---------------- Memory ----------------
 */

#define GROUP	CGROUP "slabshm-test/"

FIXTURE(group)
{
	bool made;
};

FIXTURE_SETUP(group)
{
	write_text(CGROUP "cgroup.subtree_control", "+memory");
	if (mkdir(GROUP, 0755) || access(GROUP "memory.max", W_OK))
		SKIP(return, "no memory controller in " CGROUP);
	self->made = true;
	write_text(GROUP "memory.swap.max", "0");
}

FIXTURE_TEARDOWN(group)
{
	if (!self->made)
		return;
	EXPECT_TRUE(wait_until(!rmdir(GROUP), 5000));
}

/* Into the group, which then may take @more bytes. */
static void join_group(__u64 more)
{
	CHECK(!write_text(GROUP "cgroup.procs", "0"));
	CHECK(!write_number(GROUP "memory.max",
			    read_number(GROUP "memory.current") + more));
}

/* Touch some memory of one's own: the group is not so full that this kills. */
static void use_memory(void)
{
	char *p = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	memset(p, 1, 64 * PAGE);
	munmap(p, 64 * PAGE);
}

static int grow_in_group(void *arg)
{
	struct slabshm_attach_args ask;
	const char *name = unique_name();
	struct client c;
	__u64 has, size;
	__s64 block;
	int n = 0;

	(void)arg;
	CHECK(!client_open(&c, NULL, CREATE, 256 * MIB, 0));
	join_group(9 * MIB);
	CHECK(grow(&c, 256 * MIB, &has) == -ENOMEM);
	CHECK(has > 0 && has <= 8 * MIB && has == stat_size(&c));
	CHECK(is_sound(&c));
	use_memory();
	CHECK(grow(&c, 256 * MIB, &size) == -ENOMEM && size == has);
	CHECK(grow(&c, has, &size) == 0);
	while ((block = alloc_block(&c, 50000)) > 0) {
		memset(c.data + block, ++n, 50000);
		offsets[n] = (__u64)block;
	}
	CHECK(block == -ENOMEM);
	CHECK(n > (int)(has / 60000));
	CHECK(is_sound(&c));
	use_memory();
	for (; n; n--) {
		CHECK(c.data[offsets[n]] == (char)n);
		CHECK(c.data[offsets[n] + 49999] == (char)n);
	}

	/* A slab that cannot be made leaves nothing */
	ask_attach(&ask, name, CREATE | SLABSHM_ATTACH_PERSIST, 256 * MIB,
		   256 * MIB);
	has = module_refs();
	{
		struct client d;

		CHECK(client_attach(&d, &ask) == -ENOMEM);
	}
	CHECK(!slab_listed(name, NULL));
	CHECK(module_refs() == (long)has);
	use_memory();

	/* With more room it goes on */
	CHECK(!write_text(GROUP "memory.max", "max"));
	CHECK(alloc_block(&c, 4 * MIB) > 0);
	CHECK(is_sound(&c));
	return 0;
}

TEST_F(group, growth)
{
	(void)self;
	EXPECT_EQ(0, in_child(grow_in_group, NULL));
	EXPECT_LT(0, memory_event(GROUP "memory.events", "max"));
	EXPECT_EQ(0, memory_event(GROUP "memory.events", "oom_kill"));
	EXPECT_TRUE(wait_until(read_number(GROUP "memory.current") < 2 * MIB,
			       5000))
		TH_LOG("%llu", read_number(GROUP "memory.current"));
}

static int refill_in_group(void *arg)
{
	struct slabshm_stat st0, st;
	struct client c;
	__s64 block;
	__u64 done;

	(void)arg;
	CHECK(!client_open(&c, NULL, CREATE | SLABSHM_ATTACH_FIXED, 16 * MIB,
			   16 * MIB));
	CHECK(!trim(&c, 0, &done) && done == 16 * MIB - PAGE);
	join_group(5 * MIB);
	CHECK(!get_stat(&c, &st0) && !st0.backed);
	CHECK(alloc_block(&c, 12 * MIB) == -ENOMEM);
	CHECK(!get_stat(&c, &st) && !memcmp(&st0, &st, sizeof(st)));
	use_memory();
	block = alloc_block(&c, 2 * MIB);
	CHECK(block > 0);
	memset(c.data + block, 1, 2 * MIB);
	CHECK(alloc_block(&c, 12 * MIB) == -ENOMEM);
	use_memory();
	CHECK(!write_text(GROUP "memory.max", "max"));
	block = alloc_block(&c, 12 * MIB);
	CHECK(block > 0);
	memset(c.data + block, 1, 12 * MIB);
	CHECK(is_sound(&c));
	return 0;
}

TEST_F(group, refill)
{
	(void)self;
	EXPECT_EQ(0, in_child(refill_in_group, NULL));
	EXPECT_EQ(0, memory_event(GROUP "memory.events", "oom_kill"));
}

struct overcommit {
	int ready;
	int go;
};

static int grow_uncommitted(void *arg)
{
	struct overcommit *o = arg;
	struct client c;
	__u64 has;
	int err;

	CHECK(!client_open(&c, NULL, CREATE, 256 * MIB, 0));
	CHECK(!become(ALICE, ALICE));
	__atomic_store_n(&o->ready, 1, __ATOMIC_RELEASE);
	CHECK(wait_until(__atomic_load_n(&o->go, __ATOMIC_ACQUIRE), 5000));
	err = grow(&c, 256 * MIB, &has);
	__atomic_store_n(&o->ready, 2, __ATOMIC_RELEASE);
	CHECK(err == -ENOMEM);
	CHECK(has < 256 * MIB && has == stat_size(&c));
	CHECK(is_sound(&c));
	return 0;
}

TEST(overcommit)
{
	static const char mode[] = "/proc/sys/vm/overcommit_memory";
	static const char limit[] = "/proc/sys/vm/overcommit_kbytes";
	struct overcommit *o = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
				    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid;

	ASSERT_NE(MAP_FAILED, o);
	if (access(limit, W_OK))
		SKIP(return, "no overcommit_kbytes");
	ASSERT_EQ(0, chmod(DEVICE, 0666));
	pid = start_child(grow_uncommitted, o);
	ASSERT_LT(0, pid);
	EXPECT_TRUE(wait_until(__atomic_load_n(&o->ready, __ATOMIC_ACQUIRE),
			       5000));
	EXPECT_EQ(0, write_number(limit, 64 * KIB));
	EXPECT_EQ(0, write_number(mode, 2));
	__atomic_store_n(&o->go, 1, __ATOMIC_RELEASE);
	wait_until(__atomic_load_n(&o->ready, __ATOMIC_ACQUIRE) == 2, 10000);
	EXPECT_EQ(0, write_number(mode, 0));
	EXPECT_EQ(0, write_number(limit, 0));
	EXPECT_EQ(0, end_child(pid));
	munmap(o, PAGE);
}

/* Tests may have longer than the usual 30 s only with a fixture. */
FIXTURE(slow)
{
	struct client c;
};

FIXTURE_SETUP(slow)
{
	self->c.fd = -1;
}

FIXTURE_TEARDOWN(slow)
{
	client_close(&self->c);
}

/* All the memory that the machine has: minutes where it has much. */
TEST_F_TIMEOUT(slow, whole_machine, 300)
{
	struct client *c = &self->c;
	unsigned long mbytes;
	__u64 has;

	if (!long_run())
		SKIP(return, "takes all memory: only with SLABSHM_LONG=1");
	ASSERT_EQ(0, set_parameter("max_user_mbytes", 1 << 20, &mbytes));
	ASSERT_EQ(0, client_open(c, NULL, CREATE, 1ULL << 40, 0));
	EXPECT_EQ(-ENOMEM, grow(c, 1ULL << 40, &has));
	EXPECT_EQ(0, set_parameter("max_user_mbytes", mbytes, NULL));
	EXPECT_LT(100 * MIB, has);
	EXPECT_TRUE(is_sound(c));
	EXPECT_EQ(0, trim(c, 0, NULL));
	EXPECT_LT(0, alloc_block(c, 100 * MIB));
}

/*
 * ---------------- Signals ----------------
 */

static int signals;

static void on_alarm(int sig)
{
	signals += sig == SIGALRM;
}

TEST_F_TIMEOUT(slow, signals_during_growth, 120)
{
	struct itimerval timer = { { 0, 3000 }, { 0, 3000 } }, off = { 0 };
	struct sigaction action = { .sa_handler = on_alarm };
	__u64 size = long_run() ? 256 * MIB : 32 * MIB;
	__u64 has = 0, before;
	int interrupted = 0, err;
	struct client *c = &self->c;
	__s64 block;

	ASSERT_EQ(0, client_open(c, NULL, CREATE, 2 * size, 0));
	ASSERT_EQ(0, sigaction(SIGALRM, &action, NULL));
	ASSERT_EQ(0, setitimer(ITIMER_REAL, &timer, NULL));
	do {
		before = has;
		err = grow(c, size, &has);
		interrupted += err == -EINTR;
		/* However fast the timer, each call comes further */
		ASSERT_LT(before, has);
		ASSERT_EQ(0, has % (2 * MIB));
	} while (err == -EINTR);
	EXPECT_EQ(0, err);
	EXPECT_EQ(size, has);
	EXPECT_LT(0, signals);
	EXPECT_LT(0, interrupted);

	/* Allocation is not disturbed by signals that do not kill */
	block = alloc_block(c, size + size / 2);
	EXPECT_LT(0, block);
	ASSERT_EQ(0, setitimer(ITIMER_REAL, &off, NULL));
	EXPECT_TRUE(is_sound(c));
}

static int grow_far(void *arg)
{
	struct client *outer = arg, c;

	CHECK(!client_open(&c, outer->at.name, 0, 0, 0));
	while (alloc_block(&c, 3 * MIB) > 0)
		;
	return 0;
}

TEST_F_TIMEOUT(slow, kill_during_growth, 120)
{
	int rounds = long_run() ? 200 : 6, i;
	struct client *c = &self->c;
	struct slabshm_stat st;
	__s64 block;
	pid_t pid;

	for (i = 0; i < rounds; i++) {
		ASSERT_EQ(0, client_open(c, unique_name(), CREATE, 128 * MIB,
					 0));
		pid = start_child(grow_far, c);
		ASSERT_LT(0, pid);
		EXPECT_TRUE(wait_until(stat_size(c), 5000));
		sleep_ms(i * 3 % 17);
		kill(pid, SIGKILL);
		EXPECT_EQ(-SIGKILL, end_child(pid));
		EXPECT_TRUE(wait_until(!get_stat(c, &st) && !st.live, 5000));
		EXPECT_EQ(0, st.blocks);
		EXPECT_TRUE(is_sound(c));
		block = alloc_block(c, 10 * MIB);
		ASSERT_LT(0, block);
		memset(c->data + block, 1, 10 * MIB);
		client_close(c);
	}
}

/*
 * ---------------- Shares of a user, a slab, a client ----------------
 */

static const struct parameter {
	const char *name;
	unsigned long value;
} parameters[] = {
	{ "max_user_slabs", 2 },
	{ "max_user_clients", 3 },
	{ "max_clients", 4 },
	{ "max_readers", 40 },
	{ "max_client_mbytes", 1 },
	{ "max_user_mbytes", 8 },
	{ "max_slab_mbytes", 64 },
	{ "max_cells", 1000 },
};

FIXTURE(shares)
{
	unsigned long old[ARRAY_LEN(parameters)];
	bool changed;
};

FIXTURE_SETUP(shares)
{
	unsigned int i;

	if (getuid())
		SKIP(return, "only root can change the parameters");
	ASSERT_EQ(0, chmod(DEVICE, 0666));
	for (i = 0; i < ARRAY_LEN(parameters); i++)
		ASSERT_EQ(0, set_parameter(parameters[i].name, 1,
					   &self->old[i]));
	for (i = 0; i < ARRAY_LEN(parameters); i++)
		set_parameter(parameters[i].name, self->old[i], NULL);
	self->changed = true;
}

FIXTURE_TEARDOWN(shares)
{
	unsigned int i;

	for (i = 0; self->changed && i < ARRAY_LEN(parameters); i++)
		set_parameter(parameters[i].name, self->old[i], NULL);
}

static int limit(const char *name)
{
	unsigned int i;

	for (i = 0; i < ARRAY_LEN(parameters); i++)
		if (!strcmp(parameters[i].name, name))
			return set_parameter(name, parameters[i].value, NULL);
	return -ENOENT;
}

static int two_slabs(void)
{
	struct client c[3];
	int i;

	for (i = 0; i < 3; i++) {
		CHECK(!open_at_last(&c[0], NULL, MIB));
		CHECK(!open_at_last(&c[1], "test-second", MIB));
		CHECK(client_open(&c[2], NULL, CREATE, MIB, MIB) == -EDQUOT);
		CHECK(client_open(&c[2], "test-third", CREATE |
				  SLABSHM_ATTACH_PERSIST, MIB, MIB) ==
		      -EDQUOT);
		CHECK(!slab_listed("test-third", NULL));
		/* Clients of those that are there are not limited by it */
		CHECK(!client_open(&c[2], "test-second", CREATE, MIB, MIB));
		client_close(&c[2]);
		/* All is given back, a moment later */
		client_close(&c[0]);
		CHECK(!open_at_last(&c[0], NULL, 0));
		client_close(&c[0]);
		client_close(&c[1]);
		CHECK(wait_until(!slab_listed("test-second", NULL), 2000));
	}
	return 0;
}

TEST_F(shares, slabs_of_a_user)
{
	struct client c[4];
	int i;

	ASSERT_EQ(0, limit("max_user_slabs"));
	EXPECT_EQ(0, in_child(as_user, two_slabs));
	EXPECT_EQ(0, in_child(as_user, two_slabs));
	/* Not for root, who may exceed what resources there are */
	for (i = 0; i < 4; i++)
		EXPECT_EQ(0, client_open(&c[i], NULL, CREATE, MIB, 0));
	for (i = 0; i < 4; i++)
		client_close(&c[i]);
	(void)self;
}

#define MAKERS	4
#define ROUNDS	12

struct makers {
	pthread_barrier_t barrier;
	char name[ROUNDS][64];
	int created[ROUNDS];
	int failed;
};

static struct makers *makers;

static int make_together(void)
{
	struct client c[ROUNDS];
	unsigned int i;

	for (i = 0; i < ROUNDS; i++) {
		pthread_barrier_wait(&makers->barrier);
		if (client_open(&c[i], makers->name[i], CREATE, MIB, MIB))
			__atomic_add_fetch(&makers->failed, 1, __ATOMIC_RELAXED);
		else
			__atomic_add_fetch(&makers->created[i], c[i].at.result,
					   __ATOMIC_RELAXED);
		pthread_barrier_wait(&makers->barrier);
	}
	return 0;
}

/*
 * Several make the same slab at once, and the user may have just one more: each
 * gets it, whoever was first.
 */
TEST_F(shares, same_slab_by_many)
{
	pthread_barrierattr_t attr;
	pid_t pid[MAKERS];
	unsigned int i;

	(void)self;
	makers = mmap(NULL, sizeof(*makers), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, makers);
	pthread_barrierattr_init(&attr);
	pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_barrier_init(&makers->barrier, &attr, MAKERS + 1);
	for (i = 0; i < ROUNDS; i++)
		snprintf(makers->name[i], sizeof(makers->name[i]), "%s", unique_name());
	for (i = 0; i < MAKERS; i++)
		pid[i] = start_child(as_user, make_together);
	for (i = 0; i < ROUNDS; i++) {
		ASSERT_EQ(0, set_parameter("max_user_slabs", i + 1, NULL));
		pthread_barrier_wait(&makers->barrier);
		pthread_barrier_wait(&makers->barrier);
		EXPECT_EQ(1, makers->created[i]);
	}
	EXPECT_EQ(0, makers->failed);
	for (i = 0; i < MAKERS; i++)
		EXPECT_EQ(0, end_child(pid[i]));
}

static int three_clients(void)
{
	const char *name = unique_name();
	struct slabshm_stat st;
	struct client c[4];
	int i;

	CHECK(!open_at_last(&c[0], name, MIB));
	for (i = 0; i < 5; i++) {
		CHECK(!open_at_last(&c[1], name, 0));
		CHECK(wait_until(!client_open_fd(&c[2], c[0].fd,
						 SLABSHM_ATTACH_RDONLY),
				 2000));
		CHECK(client_open(&c[3], name, 0, 0, 0) == -EDQUOT);
		CHECK(client_open_fd(&c[3], c[0].fd, 0) == -EDQUOT);
		CHECK(client_open(&c[3], "test-fourth", CREATE |
				  SLABSHM_ATTACH_PERSIST, MIB, 0) == -EDQUOT);
		CHECK(!slab_listed("test-fourth", NULL));
		CHECK(!get_stat(&c[0], &st) && st.clients == 3);
		client_close(&c[1]);
		client_close(&c[2]);
		CHECK(wait_until(!get_stat(&c[0], &st) && st.clients == 1,
				 2000));
	}
	return 0;
}

TEST_F(shares, clients_of_a_user)
{
	ASSERT_EQ(0, limit("max_user_clients"));
	EXPECT_EQ(0, in_child(as_user, three_clients));
	EXPECT_EQ(0, in_child(as_user, three_clients));
	(void)self;
}

TEST_F(shares, clients_of_a_slab)
{
	const char *name = unique_name();
	struct slabshm_stat st;
	struct client c[5];
	int i, k;

	ASSERT_EQ(0, limit("max_clients"));
	ASSERT_EQ(0, client_open(&c[0], name, CREATE, MIB, MIB));
	for (k = 0; k < 3; k++) {
		for (i = 1; i < 4; i++)
			ASSERT_EQ(0, client_open(&c[i], name, 0, 0, 0));
		EXPECT_EQ(-EDQUOT, client_open(&c[4], name, 0, 0, 0));
		EXPECT_EQ(-EDQUOT, client_open_fd(&c[4], c[2].fd, 0));
		ASSERT_EQ(0, get_stat(&c[0], &st));
		EXPECT_EQ(4, st.clients);
		for (i = 1; i < 4; i++)
			client_close(&c[i]);
		EXPECT_TRUE(wait_until(!get_stat(&c[0], &st) &&
				       st.clients == 1, 2000));
	}
	client_close(&c[0]);
	(void)self;
}

/* What strangers do to a slab; how many clients and readers they got. */
struct strangers {
	char name[64];
	unsigned int clients[2];
	unsigned int readers[2];
	int ready;
};

static int be_greedy(struct strangers *st, unsigned int k)
{
	struct slabshm_register_args reg = { 0 };
	struct client c, first;
	int err;

	CHECK(!become(10000 + k, ALICE));
	CHECK(!client_open(&first, st->name, SLABSHM_ATTACH_RDONLY, 0, 0));
	for (st->clients[k] = 1; ; st->clients[k]++) {
		err = client_open(&c, st->name, SLABSHM_ATTACH_RDONLY, 0, 0);
		if (err)
			break;
	}
	CHECK(err == -EDQUOT);
	for (;; st->readers[k]++) {
		err = client_call(&first, SLABSHM_IOC_REGISTER, &reg);
		if (err)
			break;
	}
	CHECK(err == -EDQUOT);
	return 0;
}

static int first_stranger(void *arg)
{
	struct strangers *st = arg;

	CHECK(!be_greedy(st, 0));
	/* It keeps all that */
	__atomic_store_n(&st->ready, 1, __ATOMIC_RELEASE);
	pause();
	return 1;
}

static int second_stranger(void *arg)
{
	return be_greedy(arg, 1);
}

/* Two users who may only read take all they get: each leaves as much as it has. */
TEST_F(shares, strangers)
{
	struct slabshm_register_args reg = { 0 };
	struct slabshm_attach_args ask;
	struct strangers *st;
	struct client c, more;
	pid_t pid;
	int i;

	st = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		  -1, 0);
	ASSERT_NE(MAP_FAILED, st);
	ASSERT_EQ(0, set_parameter("max_clients", 40, NULL));
	ASSERT_EQ(0, limit("max_readers"));
	snprintf(st->name, sizeof(st->name), "%s", unique_name());
	ask_attach(&ask, st->name, CREATE, MIB, MIB);
	ask.mode = 0644;
	ASSERT_EQ(0, client_open_ask(&c, &ask));
	pid = start_child(first_stranger, st);
	ASSERT_TRUE(wait_until(__atomic_load_n(&st->ready, __ATOMIC_ACQUIRE),
			       10000));
	EXPECT_EQ(0, in_child(second_stranger, st));
	TH_LOG("clients %u, %u; readers %u, %u", st->clients[0], st->clients[1],
	       st->readers[0], st->readers[1]);
	/* Of 30: 15 of 29, half; 7 of the other half */
	EXPECT_EQ(15, st->clients[0]);
	EXPECT_EQ(7, st->clients[1]);
	EXPECT_EQ(15, st->readers[0]);
	EXPECT_EQ(8, st->readers[1]);
	/* The owner's quarter is there */
	for (i = 0; i < 10; i++) {
		ASSERT_EQ(0, client_open(&more, st->name, 0, 0, 0));
		ASSERT_EQ(0, client_call(&c, SLABSHM_IOC_REGISTER, &reg));
	}
	kill(pid, SIGKILL);
	EXPECT_EQ(-SIGKILL, end_child(pid));
	(void)self;
}

static int one_mbyte(void)
{
	struct slabshm_block b[SLABSHM_BATCH_MAX];
	struct slabshm_cell_open_args cell;
	struct slabshm_stat st0, st;
	struct client c, d;
	__s64 block;
	int i, n;

	CHECK(!client_open(&c, NULL, CREATE, 16 * MIB, 4 * MIB));
	CHECK(!cell_open(&c, "x", SLABSHM_CELL_CREATE, &cell));
	CHECK(!client_open_fd(&d, c.fd, 0));
	CHECK(!get_stat(&c, &st0));
	CHECK(alloc_block(&c, MIB + 1) == -EDQUOT);
	for (i = 0; i < SLABSHM_BATCH_MAX; i++)
		b[i].size = 17 * KIB;
	CHECK(alloc_blocks(&c, b, SLABSHM_BATCH_MAX, 0, 0) == -EDQUOT);
	CHECK(!get_stat(&c, &st) && !memcmp(&st0, &st, sizeof(st)));
	for (i = 0; i < 3; i++) {
		for (n = 0; (block = alloc_block(&c, 16 * KIB)) > 0; n++)
			offsets[n] = (__u64)block;
		CHECK(block == -EDQUOT && n == 64);
		CHECK(alloc_block(&c, 1) == -EDQUOT);
		/* Another has a share of its own */
		block = alloc_block(&d, MIB);
		CHECK(block > 0 && !free_block(&d, (__u64)block));
		/* What is published is nobody's */
		CHECK(!publish_one(&c, &cell, offsets[0], 1));
		CHECK(alloc_block(&c, 16 * KIB + 1) == -EDQUOT);
		block = alloc_block(&c, 16 * KIB);
		CHECK(block > 0);
		offsets[0] = (__u64)block;
		CHECK(!free_blocks(&c, offsets, 64, NULL));
	}
	block = alloc_block(&c, MIB);
	CHECK(block > 0);
	return 0;
}

TEST_F(shares, bytes_of_a_client)
{
	ASSERT_EQ(0, limit("max_client_mbytes"));
	EXPECT_EQ(0, in_child(as_user, one_mbyte));
	(void)self;
}

/* Bytes of the data that are there, by what the mapping says of itself. */
static __u64 pages_of(const struct client *c)
{
	static unsigned char there[64 * MIB / PAGE];
	__u64 n = 0, i;

	CHECK(!mincore(c->data, c->at.max_size, there));
	for (i = 0; i < c->at.max_size / PAGE; i++)
		n += there[i] & 1;
	return n * PAGE;
}

static int eight_mbytes(void)
{
	struct slabshm_attach_args ask;
	struct client c, d, e;
	__u64 has, done;
	__s64 block;
	int i;

	/* A little of it is for what describes the data */
	CHECK(!open_at_last(&c, NULL, 4 * MIB));
	for (i = 0; i < 3; i++) {
		CHECK(!client_open(&d, NULL, CREATE, 64 * MIB, MIB));
		CHECK(grow(&c, 64 * MIB, &has) == -EDQUOT);
		CHECK(has == 6 * MIB);
		CHECK(is_sound(&c));
		CHECK(grow(&d, 2 * MIB, &has) == -EDQUOT && has == MIB);
		CHECK(alloc_block(&d, 2 * MIB) == -EDQUOT);
		ask_attach(&ask, "test-large", CREATE, MIB, MIB);
		CHECK(client_attach(&e, &ask) == -EDQUOT);
		CHECK(!slab_listed("test-large", NULL));
		ask.size = 0;
		CHECK(!client_attach(&e, &ask));
		client_close(&e);

		/* What TRIM gives back can be had again, and by no other */
		CHECK(!trim(&c, 2 * MIB, &done) && done == 2 * MIB);
		CHECK(grow(&d, 2 * MIB, &has) == -EDQUOT && has == MIB);
		block = alloc_block(&c, 5 * MIB);
		CHECK(block > 0);
		memset(c.data + block, 1, 5 * MIB);
		CHECK(!free_block(&c, (__u64)block));
		/* But what was a slab's whose last client is gone */
		client_close(&d);
		CHECK(client_open(&d, NULL, CREATE, 64 * MIB, 2 * MIB) ==
		      -EDQUOT);
	}
	return 0;
}

TEST_F(shares, bytes_of_a_user)
{
	ASSERT_EQ(0, limit("max_user_mbytes"));
	EXPECT_EQ(0, in_child(as_user, eight_mbytes));
	/* Nothing of it is kept for the next */
	EXPECT_EQ(0, in_child(as_user, eight_mbytes));
	(void)self;
}

/* What needs no memory for itself is done, or refused for its own reason. */
static int nothing_left(void)
{
	struct slabshm_cell_open_args cell;
	struct slabshm_attach_args ask;
	struct client c, d, one;
	__s64 block[3], more;
	__u64 size;
	char name[16];
	int i, err;

	CHECK(!open_at_last(&c, NULL, 4 * MIB));
	ask_attach(&ask, NULL, CREATE, MIB, 0);
	ask.max_cells = 1;
	CHECK(!client_open_ask(&one, &ask));
	CHECK(!cell_open(&one, "x", SLABSHM_CELL_CREATE, &cell));
	for (i = 0; i < 3; i++) {
		block[i] = alloc_block(&c, 20 * KIB);
		CHECK(block[i] > 0);
	}
	/* Pages, cells, and then the descriptors of single blocks */
	CHECK(!client_open(&d, NULL, CREATE, 64 * MIB, MIB));
	for (size = MIB; !grow(&d, size, NULL); size += PAGE)
		;
	for (i = 0, err = 0; !err; i++) {
		snprintf(name, sizeof(name), "%d", i);
		err = cell_open(&c, name, SLABSHM_CELL_CREATE, &cell);
	}
	CHECK(err == -EDQUOT);
	do {
		more = alloc_block(&c, 20 * KIB);
	} while (more > 0);
	CHECK(more == -EDQUOT);

	/* It fits as it is */
	CHECK(!free_block(&c, (__u64)block[1]));
	CHECK(alloc_block(&c, 20 * KIB) == block[1]);
	CHECK(cell_open(&one, "y", SLABSHM_CELL_CREATE, &cell) == -ENOSPC);
	return 0;
}

TEST_F(shares, no_bytes_needed)
{
	ASSERT_EQ(0, limit("max_user_mbytes"));
	EXPECT_EQ(0, in_child(as_user, nothing_left));
	(void)self;
}

/*
 * GROW and TRIM, until there is no more to be had; and then touch all of it. What
 * is held then is within the limit, whatever TRIM gave back before.
 */
static int touch_holes(void)
{
	struct slabshm_stat st;
	__u64 size, done, has;
	struct client c, ro;
	int i, err;

	CHECK(!open_at_last(&c, NULL, 0));
	for (i = 1; i <= 32; i++) {
		err = grow(&c, 2 * MIB * (__u64)i, &has);
		if (err)
			break;
		CHECK(!trim(&c, 0, &done));
	}
	CHECK(err == -EDQUOT);
	size = stat_size(&c);
	CHECK(size && size <= 8 * MIB);
	CHECK(!trim(&c, 0, NULL));
	CHECK(!get_stat(&c, &st) && !st.backed);

	/* One who may only read fills them; the next TRIM gives that back */
	CHECK(!client_open_fd(&ro, c.fd, SLABSHM_ATTACH_RDONLY));
	for (i = 0; i < 3; i++) {
		__u64 before = pages_of(&c), at;

		CHECK(before <= 2 * PAGE);
		for (at = 0; at < size; at += PAGE)
			CHECK(!__atomic_load_n(&ro.data[at], __ATOMIC_RELAXED));
		CHECK(pages_of(&c) == size);
		if (i == 1) {
			CHECK(!trim(&c, MIB, &done) && done == MIB);
			CHECK(pages_of(&c) == size - MIB);
		}
		CHECK(!trim(&c, 0, &done));
		CHECK(done == size - PAGE - (i == 1 ? MIB : 0));
	}
	/* Allocated, they are filled as ever */
	CHECK(alloc_block(&c, size - 2 * MIB) > 0);
	CHECK(is_sound(&c));
	return 0;
}

TEST_F(shares, holes)
{
	ASSERT_EQ(0, limit("max_user_mbytes"));
	EXPECT_EQ(0, in_child(as_user, touch_holes));
	EXPECT_EQ(0, in_child(as_user, touch_holes));
	(void)self;
}

/* Cells alone, and what their table takes: until the limit, each time as many. */
static int only_cells(void)
{
	static struct slabshm_cell_open_args cell[100000];
	__s64 memory, grown;
	struct slabshm_attach_args ask;
	struct slabshm_stat st;
	struct client c;
	int n[2], i, err;

	ask_attach(&ask, NULL, CREATE, MIB, 0);
	ask.max_cells = 1 << 20;
	/* What was kept of a slab is given back a moment after its end */
	CHECK(wait_until(!client_open_ask(&c, &ask), 10000));
	memory = (__s64)kernel_memory();
	for (i = 0; i < 2; i++) {
		char name[16];

		for (n[i] = 0; n[i] < (int)ARRAY_LEN(cell); n[i]++) {
			snprintf(name, sizeof(name), "%d", n[i]);
			err = cell_open(&c, name, SLABSHM_CELL_CREATE,
					&cell[n[i]]);
			if (err)
				break;
		}
		CHECK(err == -EDQUOT);
		CHECK(!get_stat(&c, &st) && st.cells == (__u32)n[i]);
		/* Not much is counted that is not there, and the reverse */
		grown = (__s64)kernel_memory() - memory;
		CHECK(grown < 16 * (__s64)MIB || kernel_has_kasan());
		if (i)
			break;
		while (n[i]--)
			CHECK(!cell_remove(&c, &cell[n[i]]));
		CHECK(!get_stat(&c, &st) && !st.cells);
		n[i] = 0;
	}
	CHECK(n[1] > 10000);
	/* What else needs memory says the same, and what needs none works */
	CHECK(grow(&c, MIB, NULL) == -EDQUOT);
	CHECK(!cell_open(&c, "1", 0, &cell[1]));
	CHECK(!cell_remove(&c, &cell[1]));
	CHECK(!cell_open(&c, "1", SLABSHM_CELL_CREATE, &cell[1]));
	printf("# %d cells in 8 MiB, %lld KiB\n", n[1],
	       (long long)grown / 1024);
	return 0;
}

TEST_F(shares, cells_count)
{
	ASSERT_EQ(0, limit("max_user_mbytes"));
	EXPECT_EQ(0, in_child(as_user, only_cells));
	EXPECT_EQ(0, in_child(as_user, only_cells));
	(void)self;
}

static __s64 free_memory(void)
{
	FILE *f = fopen("/proc/meminfo", "re");
	long long kib = 0;
	char line[128];

	while (f && fgets(line, sizeof(line), f) &&
	       sscanf(line, "MemFree: %lld", &kib) != 1)
		;
	if (f)
		fclose(f);
	return kib * 1024;
}

/* What a slab may come to need is not taken at once. */
TEST(large_and_empty)
{
	__s64 before, after;
	struct slabshm_attach_args ask;
	struct client c[8];
	int i;

	before = free_memory();
	ask_attach(&ask, NULL, CREATE, SLABSHM_SIZE_MAX, 0);
	ask.max_cells = 1 << 24;
	for (i = 0; i < (int)ARRAY_LEN(c); i++)
		ASSERT_EQ(0, client_attach(&c[i], &ask));
	after = free_memory();
	EXPECT_GT(ARRAY_LEN(c) * (__s64)MIB, before - after)
		TH_LOG("%lld KiB", (long long)(before - after) / 1024);
	for (i = 0; i < (int)ARRAY_LEN(c); i++)
		client_close(&c[i]);
}

/* Root has the same: what no end of a process gives back fills no machine. */
TEST_F(shares, bytes_of_root)
{
	struct client c;
	__u64 has;

	ASSERT_EQ(0, limit("max_user_mbytes"));
	ASSERT_EQ(0, client_open(&c, NULL, CREATE, 64 * MIB, 0));
	EXPECT_EQ(-EDQUOT, grow(&c, 64 * MIB, &has));
	EXPECT_GE(8 * MIB, has);
	client_close(&c);
	(void)self;
}

/* Whoever makes it grow: it is its maker's share that is used up. */
static int small_slab(void)
{
	struct client c;

	umask(0);
	CHECK(!client_open(&c, "test-makers", CREATE | SLABSHM_ATTACH_PERSIST,
			   64 * MIB, 0));
	return 0;
}

static int use_makers_share(void *arg)
{
	struct client c;

	(void)arg;
	CHECK(!client_open(&c, "test-makers", 0, 0, 0));
	CHECK(!become(BOB, BOB));
	CHECK(alloc_block(&c, 10 * MIB) == -EDQUOT);
	CHECK(wait_until(alloc_block(&c, 5 * MIB) > 0, 2000));
	CHECK(!client_open(&c, NULL, CREATE, 64 * MIB, 6 * MIB));
	return 0;
}

TEST_F(shares, whose_share)
{
	ASSERT_EQ(0, limit("max_user_mbytes"));
	EXPECT_EQ(0, in_child(as_user, small_slab));
	EXPECT_EQ(0, in_child(use_makers_share, NULL));
	EXPECT_EQ(0, unlink_slab("test-makers"));
	(void)self;
}

TEST_F(shares, sizes_of_a_slab)
{
	struct slabshm_attach_args ask;
	struct client c;

	ASSERT_EQ(0, limit("max_slab_mbytes"));
	ASSERT_EQ(0, limit("max_cells"));
	EXPECT_EQ(-EINVAL, client_open(&c, NULL, CREATE, MIB, 0));
	ask_attach(&ask, NULL, CREATE, 64 * MIB, 0);
	ask.max_cells = 1000;
	EXPECT_EQ(0, client_open_ask(&c, &ask));
	client_close(&c);
	ask.max_cells = 1001;
	EXPECT_EQ(-EINVAL, client_open_ask(&c, &ask));
	ask.max_cells = 1000;
	ask.max_size = 64 * MIB + 1;
	EXPECT_EQ(-EINVAL, client_open_ask(&c, &ask));

	/* What the module has no room for, whatever the limit */
	ASSERT_EQ(0, set_parameter("max_cells", UINT32_MAX, NULL));
	ask.max_size = MIB;
	ask.max_cells = SLABSHM_CELLS_MAX + 1;
	EXPECT_EQ(-EINVAL, client_open_ask(&c, &ask));
	ask.max_cells = UINT32_MAX;
	EXPECT_EQ(-EINVAL, client_open_ask(&c, &ask));
	ask.max_cells = SLABSHM_CELLS_MAX;
	EXPECT_EQ(0, client_open_ask(&c, &ask));
	EXPECT_EQ(SLABSHM_CELLS_MAX, c.at.max_cells);
	client_close(&c);
	(void)self;
}

TEST_HARNESS_MAIN
