// SPDX-License-Identifier: GPL-2.0
/*
 * The module goes when nobody uses it, and not before; and comes back.
 *
 * SLABSHM_KO names the module's file. Nobody else may use the module meanwhile.
 */
#include "object.h"

#include "kselftest_harness.h"

static bool loaded(void)
{
	return !access("/sys/module/slabshm", F_OK);
}

static int load(void)
{
	return module_load(module_file());
}

/* Descriptors are let go of a moment after the close. */
static int unload_soon(void)
{
	int err;

	wait_until((err = module_unload()) != -EWOULDBLOCK, 10000);
	return err;
}

FIXTURE(module)
{
	const char *name;
	struct slabshm_options opt;
};

FIXTURE_SETUP(module)
{
	if (!module_file())
		SKIP(return, "SLABSHM_KO does not name the module's file");
	if (getuid())
		SKIP(return, "for root");
	/* It is not if the test before was stopped */
	if (!loaded())
		ASSERT_EQ(0, load());
	ASSERT_TRUE(wait_until(!module_refs(), 5000)) {
		TH_LOG("somebody uses the module");
	}
	self->name = unique_name();
	self->opt.max_size = 4 * MIB;
	self->opt.size = MIB;
}

FIXTURE_TEARDOWN(module)
{
	slabshm_unlink(self->name);
	if (!loaded())
		load();
}

TEST_F(module, in_use_by_descriptor)
{
	struct slabshm *s;
	int fd = open_device();

	ASSERT_GE(fd, 0);
	EXPECT_EQ(-EWOULDBLOCK, module_unload());
	close(fd);
	ASSERT_EQ(0, slab_open(&s, MIB, 64 * KIB));
	EXPECT_EQ(-EWOULDBLOCK, module_unload());
	EXPECT_GT(slabshm_alloc(s, 100), 0);
	slabshm_close(s);
	EXPECT_EQ(0, unload_soon());

	/* Gone, whole */
	EXPECT_FALSE(loaded());
	EXPECT_EQ(-ENODEV, slabshm_open(&s, self->name, SLABSHM_ATTACH_CREATE,
					NULL));
	EXPECT_EQ(-ENODEV, slabshm_unlink(self->name));
	EXPECT_EQ(0, load());
	EXPECT_EQ(0, access(DEVICE, F_OK));
	EXPECT_EQ(-EEXIST, load());
}

TEST_F(module, in_use_by_mapping)
{
	struct client c;
	char *data;
	int64_t block;

	/* Regions of the device hold it, without a descriptor */
	ASSERT_EQ(0, client_open(&c, NULL, SLABSHM_ATTACH_CREATE, 4 * MIB,
				 MIB));
	block = alloc_block(&c, 10000);
	ASSERT_GT(block, 0);
	memset(c.data + block, 'x', 10000);
	close(c.fd);
	c.fd = -1;
	EXPECT_EQ(-EWOULDBLOCK, module_unload());
	client_unmap_reader(&c);
	EXPECT_EQ(-EWOULDBLOCK, module_unload());
	EXPECT_EQ(SLABSHM_MAGIC, c.control->magic);
	data = c.data;
	c.data = NULL;
	client_close(&c);

	/* The data are only memory: they do not, and stay */
	EXPECT_EQ(0, unload_soon());
	EXPECT_EQ('x', data[block]);
	memset(data + block, 'y', 10000);
	EXPECT_EQ(0, load());
	EXPECT_EQ('y', data[block + 9999]);
	EXPECT_EQ(0, munmap(data, 4 * MIB));
}

TEST_F(module, in_use_by_persistence)
{
	struct slabshm *s;
	struct slabshm_ref ref;

	ASSERT_EQ(0, slabshm_open(&s, self->name, SLABSHM_ATTACH_CREATE |
				  SLABSHM_ATTACH_PERSIST, &self->opt));
	ASSERT_EQ(0, slabshm_cell_open(s, "cell", SLABSHM_CELL_CREATE, &ref));
	EXPECT_GT(slabshm_assign(s, &ref, "x", 1), 0);
	slabshm_close(s);
	EXPECT_TRUE(wait_until(module_refs() == 1, 5000));
	EXPECT_EQ(-EWOULDBLOCK, module_unload());
	EXPECT_TRUE(slab_listed(self->name, NULL));

	/* A reference in vain does not end it, nor does an unlink in vain */
	EXPECT_EQ(-ENOENT, slabshm_unlink("no such slab"));
	EXPECT_TRUE(wait_until(module_refs() == 1, 5000));
	EXPECT_EQ(0, slabshm_unlink(self->name));
	EXPECT_EQ(0, unload_soon());

	/* The new module does not know it */
	EXPECT_EQ(0, load());
	EXPECT_FALSE(slab_listed(self->name, NULL));
}

/* A persistent slab with clients: whichever goes last lets the module go. */
TEST_F(module, persistence_and_clients)
{
	struct slabshm *s;

	ASSERT_EQ(0, slabshm_open(&s, self->name, SLABSHM_ATTACH_CREATE |
				  SLABSHM_ATTACH_PERSIST, &self->opt));
	EXPECT_EQ(0, slabshm_unlink(self->name));
	EXPECT_TRUE(wait_until(module_refs() == 1, 5000));
	EXPECT_EQ(-EWOULDBLOCK, module_unload());
	EXPECT_GT(slabshm_alloc(s, 100), 0);
	slabshm_close(s);
	EXPECT_EQ(0, unload_soon());
	EXPECT_EQ(0, load());
}

/* Leaves as much work behind as can be: blocks, retired ones, whole objects. */
static int leave_work(void *arg)
{
	const struct slabshm_options opt = { .max_size = 4 * MIB };
	struct slabshm_publish_part part[SLABSHM_BATCH_MAX] = { 0 };
	struct slabshm_publish_cell item = { .length = 64 };
	struct slabshm_block block[SLABSHM_BATCH_MAX];
	const char *name = arg;
	struct slabshm_ref ref;
	unsigned int i, k, n = SLABSHM_BATCH_MAX;
	struct slabshm *s;
	char cell[16];

	snprintf(cell, sizeof(cell), "%d", getpid());
	must_do(slabshm_open(&s, name, SLABSHM_ATTACH_CREATE, &opt));
	for (k = 0; k < 4; k++) {
		must_do(slabshm_cell_open(s, cell, SLABSHM_CELL_CREATE, &ref));
		for (i = 0; i < n; i++)
			block[i].size = 64 << i % 8;
		must_do(slabshm_alloc_batch(s, block, n, 0, 0));
		item.cell = ref.cell;
		item.generation = ref.generation;
		item.block = block[0].offset;
		for (i = 1; i < n; i++) {
			part[i - 1].op = SLABSHM_PART_ATTACH;
			part[i - 1].block = block[i].offset;
		}
		must_do(slabshm_publish(s, &item, 1, part, n - 1, NULL));
		for (i = 0; i < n; i++)
			block[i].size = 100;
		must_do(slabshm_alloc_batch(s, block, n, 0, 0));
		if (k % 2)
			must_do(slabshm_cell_remove(s, &ref));
		else
			must_do(slabshm_put(s, &ref, 0, 0));
	}
	raise(SIGKILL);
	return 1;
}

/* On a slow kernel not quite so often, but ten times at the least. */
TEST_F_TIMEOUT(module, a_hundred_times, 3000)
{
	unsigned int i, n = long_run() ? 1000 : 100;
	long long end = now_ms() + 100000;
	pid_t pid[2];

	for (i = 0; i < n && (i < 10 || now_ms() < end || long_run()); i++) {
		pid[0] = start_child(leave_work, (void *)(uintptr_t)self->name);
		if (i % 2) {
			pid[1] = start_child(leave_work,
					     (void *)(uintptr_t)self->name);
			EXPECT_EQ(-SIGKILL, end_child(pid[1]));
		}
		EXPECT_EQ(-SIGKILL, end_child(pid[0]));
		ASSERT_EQ(0, unload_soon());
		ASSERT_EQ(0, load());
	}
	TH_LOG("%u times", i);
}

/*
 * Comes at any time: finds the module, or does not, or half of the time.  Stays
 * away at least as long as it was there, so that a slow kernel is left alone too.
 */
static int knock(void *arg)
{
	const int *stop = arg;
	struct slabshm_stat st;
	struct slabshm *s;
	long long came;
	uint64_t cursor;
	int ret;

	while (!__atomic_load_n(stop, __ATOMIC_RELAXED)) {
		came = now_ms();
		ret = slab_open(&s, MIB, 64 * KIB);
		must(!ret || ret == -ENODEV);
		if (!ret) {
			must_do(slabshm_alloc(s, 100));
			slabshm_close(s);
		}
		cursor = 0;
		ret = slabshm_list_slabs(&st, 1, &cursor);
		must(ret >= 0 || ret == -ENODEV);
		sleep_ms(2 + now_ms() - came);
	}
	return 0;
}

TEST_F_TIMEOUT(module, while_others_knock, 120)
{
	int *stop = shared_memory(sizeof(*stop)), ret;
	unsigned int i, unloads = 0, refused = 0;
	long long end = now_ms() + test_ms(1500);
	pid_t pid[3];

	for (i = 0; i < 3; i++)
		pid[i] = start_child(knock, stop);
	while (now_ms() < end || (unloads < 3 && now_ms() < end + 60000)) {
		ret = module_unload();
		if (ret == -EWOULDBLOCK) {
			refused++;
			continue;
		}
		ASSERT_EQ(0, ret);
		unloads++;
		ASSERT_EQ(0, load());
		usleep(3000);
	}
	__atomic_store_n(stop, 1, __ATOMIC_RELAXED);
	for (i = 0; i < 3; i++)
		EXPECT_EQ(0, end_child(pid[i]));
	TH_LOG("unloaded %u times, refused %u times", unloads, refused);
	EXPECT_GE(unloads, 3);
	EXPECT_GT(refused, 0);
}

TEST_HARNESS_MAIN
