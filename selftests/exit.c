// SPDX-License-Identifier: GPL-2.0
/*
 * The memory of a slab goes with its last process, before that can be waited
 * for, as that of a memfd does.
 */
#include "common.h"
#include "kselftest_harness.h"

#define CREATE	SLABSHM_ATTACH_CREATE
#define SIZE	(16 * MIB)

/* Counters of each CPU are added up late: a MiB or two, in pages of 4 KiB. */
#define DRIFT	(4LL * (long long)MIB)

/* Memory of all shmem files: bytes. */
static long long shmem(void)
{
	char line[128];
	long long kib = -1;
	FILE *f = fopen("/proc/meminfo", "re");

	while (f && kib < 0 && fgets(line, sizeof(line), f))
		sscanf(line, "Shmem: %lld", &kib);
	if (f)
		fclose(f);
	return kib * 1024;
}

/* How the last process ends. */
static int die(void)
{
	raise(SIGKILL);
	return 1;
}

static int leave(void)
{
	return 0;
}

static int run_true(void)
{
	execl("/bin/true", "true", NULL);
	return 127;
}

FIXTURE(exit)
{
	long long before;
};

struct how {
	int (*end)(void);
	int status;
	bool named;
};

FIXTURE_VARIANT(exit)
{
	struct how how;
};

FIXTURE_VARIANT_ADD(exit, kill)
{
	.how = { .end = die, .status = -SIGKILL },
};

FIXTURE_VARIANT_ADD(exit, kill_named)
{
	.how = { .end = die, .status = -SIGKILL, .named = true },
};

FIXTURE_VARIANT_ADD(exit, exit)
{
	.how = { .end = leave },
};

FIXTURE_VARIANT_ADD(exit, exec)
{
	.how = { .end = run_true },
};

FIXTURE_SETUP(exit)
{
	self->before = shmem();
	ASSERT_LE(0, self->before);
}

FIXTURE_TEARDOWN(exit)
{
}

static int only_process(void *arg)
{
	const struct how *how = arg;
	struct client c;
	__s64 block;

	CHECK(!client_open(&c, how->named ? unique_name() : NULL, CREATE, SIZE,
			   SIZE));
	block = alloc_block(&c, MIB);
	CHECK(block > 0);
	memset(c.data + block, 1, MIB);
	return how->end();
}

TEST_F_TIMEOUT(exit, only_process, 120)
{
	int i;

	for (i = 0; i < 5; i++) {
		EXPECT_EQ(variant->how.status,
			  in_child(only_process, (void *)&variant->how));
		EXPECT_GT(self->before + DRIFT, shmem())
			TH_LOG("%lld MiB stay", (shmem() - self->before) >> 20);
	}
}

/* A client that never mapped a region, or only some. */
static int attach_only(void *arg)
{
	struct slabshm_attach_args ask;
	struct client c, d;

	(void)arg;
	ask_attach(&ask, NULL, CREATE, SIZE, SIZE);
	CHECK(!client_attach(&c, &ask));
	ask_attach(&ask, NULL, CREATE, SIZE, SIZE);
	CHECK(!client_attach(&d, &ask));
	CHECK(!client_map_data(&d));
	memset(d.data, 1, MIB);
	return 0;
}

TEST(without_regions)
{
	long long before = shmem();
	int i;

	for (i = 0; i < 5; i++) {
		EXPECT_EQ(0, in_child(attach_only, NULL));
		EXPECT_GT(before + DRIFT, shmem());
	}
}

static int one_of_two(void *arg)
{
	const struct client *parents = arg;
	struct client c;

	CHECK(!client_open_fd(&c, parents->fd, 0));
	CHECK(alloc_block(&c, MIB) > 0);
	raise(SIGKILL);
	return 1;
}

/* Not before the last, and as soon as close() has returned. */
TEST(last_of_two)
{
	long long before = shmem();
	struct client c;
	__s64 block;
	int i;

	for (i = 0; i < 5; i++) {
		ASSERT_EQ(0, client_open(&c, NULL, CREATE, SIZE, SIZE));
		block = alloc_block(&c, MIB);
		ASSERT_LT(0, block);
		memset(c.data + block, 7, MIB);
		EXPECT_EQ(-SIGKILL, in_child(one_of_two, &c));
		EXPECT_LT(before + (long long)SIZE - DRIFT, shmem());
		EXPECT_EQ(7, c.data[block + MIB - 1]);
		client_close(&c);
		EXPECT_GT(before + DRIFT, shmem());
	}
}

/* Another's mapping holds the pages, and what is in them. */
TEST(mapped_by_another)
{
	long long before = shmem();
	struct client c;
	__s64 block;
	char *data;

	ASSERT_EQ(0, client_open(&c, NULL, CREATE, SIZE, SIZE));
	block = alloc_block(&c, MIB);
	ASSERT_LT(0, block);
	memset(c.data + block, 7, MIB);
	data = c.data;
	c.data = NULL;
	client_close(&c);
	EXPECT_LT(before + (long long)SIZE - DRIFT, shmem());
	EXPECT_EQ(7, data[block]);
	EXPECT_EQ(7, data[block + MIB - 1]);
	munmap(data, SIZE);
	EXPECT_GT(before + DRIFT, shmem());
}

static int persistent(void *arg)
{
	struct client c;

	CHECK(!client_open(&c, arg, CREATE | SLABSHM_ATTACH_PERSIST, SIZE,
			   SIZE));
	return 0;
}

TEST(persistence)
{
	const char *name = unique_name();
	long long before = shmem();
	int i;

	for (i = 0; i < 5; i++) {
		EXPECT_EQ(0, in_child(persistent, (void *)name));
		EXPECT_LT(before + (long long)SIZE - DRIFT, shmem());
		EXPECT_EQ(0, unlink_slab(name));
		EXPECT_GT(before + DRIFT, shmem());
	}
}

/* The share of its maker is free at the same time, and the name. */
static int whole_share(void *arg)
{
	struct client c;
	int err;

	CHECK(!become(10000 + (uid_t)getppid(), ALICE));
	err = client_open(&c, arg, CREATE | SLABSHM_ATTACH_EXCL, SIZE, SIZE);
	CHECK(!err || (printf("# %d\n", err), 0));
	raise(SIGKILL);
	return 1;
}

FIXTURE(share)
{
	unsigned long old;
};

FIXTURE_SETUP(share)
{
	if (getuid())
		SKIP(return, "only root can change the parameters");
	ASSERT_EQ(0, chmod(DEVICE, 0666));
	ASSERT_EQ(0, set_parameter("max_user_mbytes", SIZE / MIB + 1,
				   &self->old));
}

FIXTURE_TEARDOWN(share)
{
	set_parameter("max_user_mbytes", self->old, NULL);
}

TEST_F(share, of_its_maker)
{
	const char *name = unique_name();
	int i;

	for (i = 0; i < 5; i++)
		EXPECT_EQ(-SIGKILL, in_child(whole_share, (void *)name));
	(void)self;
}

TEST_HARNESS_MAIN
