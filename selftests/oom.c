// SPDX-License-Identifier: GPL-2.0
/*
 * No memory: each call says so (-ENOMEM), and nobody is killed for it.
 */
#include <sys/mount.h>

#include "common.h"
#include "groups.h"
#include "object.h"
#include "watches.h"
#include "kselftest_harness.h"

#define SLAB	SLABSHM_ATTACH_CREATE
#define SIZE	(16 * MIB)
#define CELLS	20000
#define READERS	8
#define CALLER	"oom-caller"

static struct client c = { .fd = -1 }, more[READERS];
static struct slabshm_cell_open_args cells[CELLS];

/* A slab whose data need no more memory, but for the mapping of it. */
static void open_slab(void)
{
	struct slabshm_attach_args ask;

	ask_attach(&ask, NULL, SLAB | SLABSHM_ATTACH_FIXED, 64 * MIB, SIZE);
	CHECK(!client_attach(&c, &ask));
	CHECK(!client_map_control(&c));
	CHECK(!client_map_reader(&c));
}

static int make_cell(unsigned int i)
{
	char name[16];

	snprintf(name, sizeof(name), "%u", i);
	return cell_open(&c, name, CREATE, &cells[i % CELLS]);
}

static void make_all_cells(void)
{
	unsigned int i;

	for (i = 0; i < CELLS; i++)
		CHECK(!make_cell(i));
}

static void make_one_cell(void)
{
	CHECK(!make_cell(0));
}

static int watch_cell(unsigned int i)
{
	return i < CELLS ? watch(&c, &cells[i], 0, NULL) : -ENOSPC;
}

static int lock_cell(unsigned int i)
{
	return i < CELLS ? lock_one(&c, &cells[i], 0) : -ENOSPC;
}

/* Blocks of 64 bytes, which need the most for each byte, as parts. */
static int publish_parts(unsigned int i)
{
	struct slabshm_publish_part part[SLABSHM_BATCH_MAX];
	struct slabshm_block block[SLABSHM_BATCH_MAX];
	struct slabshm_publish_cell item = {
		.cell = cells[0].cell,
		.generation = cells[0].generation,
		.flags = SLABSHM_PUBLISH_KEEP,
	};
	int err;

	(void)i;
	for (i = 0; i < ARRAY_LEN(block); i++)
		block[i].size = 64;
	err = alloc_blocks(&c, block, ARRAY_LEN(block), 0, 0);
	if (err)
		return err;
	for (i = 0; i < ARRAY_LEN(block); i++) {
		part[i].item = 0;
		part[i].op = SLABSHM_PART_ATTACH;
		part[i].block = block[i].offset;
	}
	return publish(&c, &item, 1, part, ARRAY_LEN(part), NULL, NULL);
}

static void open_readers(void)
{
	struct slabshm_attach_args ask;
	int i;

	make_one_cell();
	for (i = 0; i < READERS; i++) {
		ask_attach(&ask, NULL, SLABSHM_ATTACH_FD |
			   SLABSHM_ATTACH_RDONLY, 0, 0);
		ask.fd = c.fd;
		CHECK(!client_attach(&more[i], &ask));
		CHECK(!client_map_reader(&more[i]));
	}
}

static int register_reader(unsigned int i)
{
	struct slabshm_register_args arg = { 0 };

	/* A slot in each page first */
	return client_call(&more[i % READERS], SLABSHM_IOC_REGISTER, &arg);
}

static int grow_slab(unsigned int i)
{
	struct slabshm_grow_args arg = { .size = (i + 1) * PAGE };

	/* A page at a time, and what describes it */
	return client_call(&c, SLABSHM_IOC_GROW, &arg);
}

/*
 * What has not failed yet, now that there is no memory: whatever comes of it,
 * it is no signal, and no error but that.
 */
static void try_all(void)
{
	static struct slabshm_cell_entry entry[SLABSHM_BATCH_MAX];
	static struct slabshm_client_entry client[SLABSHM_BATCH_MAX];
	static struct slabshm_stat slab[SLABSHM_BATCH_MAX];
	struct slabshm_register_args reg = { 0 };
	struct slabshm_cell_open_args handle;
	struct slabshm_stat st;
	__u64 cursor, size;
	int i, err;

	for (size = 64; size <= MIB; size *= 2) {
		__s64 block = alloc_block(&c, size);

		CHECK(block > 0 || block == -ENOMEM || block == -ENOSPC);
		if (block > 0)
			CHECK(!free_block(&c, (__u64)block));
	}
	for (i = 0; i < 100; i++) {
		handle = cells[0];
		err = watch(&c, &handle, 0, NULL);
		CHECK(!err || err == -ENOMEM || err == -EEXIST);
		err = lock_one(&c, &handle, 0);
		CHECK(!err || err == -ENOMEM || err == -EDEADLK);
		err = client_call(&c, SLABSHM_IOC_REGISTER, &reg);
		CHECK(!err || err == -ENOMEM);
		err = publish_parts(0);
		CHECK(!err || err == -ENOMEM || err == -ENOSPC);
		cursor = 0;
		err = list(&c, SLABSHM_LIST_CELLS, entry, sizeof(entry[0]),
			   ARRAY_LEN(entry), &cursor);
		CHECK(err >= 0 || err == -ENOMEM);
		cursor = 0;
		err = list(&c, SLABSHM_LIST_SLABS, slab, sizeof(slab[0]),
			   ARRAY_LEN(slab), &cursor);
		CHECK(err >= 0 || err == -ENOMEM);
		cursor = 0;
		err = list(&c, SLABSHM_LIST_CLIENTS, client,
			   sizeof(client[0]), ARRAY_LEN(client), &cursor);
		CHECK(err >= 0 || err == -ENOMEM);
		CHECK(!get_stat(&c, &st));
		err = make_cell((unsigned int)(2 * CELLS + i + 1));
		CHECK(!err || err == -ENOMEM);
		err = grow(&c, SIZE + (__u64)(i + 1) * PAGE, &size);
		CHECK(!err || err == -ENOMEM);
	}
}

/*
 * The caller must not need memory itself when there is none: faults are the
 * kernel's, and they may kill.
 */
static void lock_memory(void)
{
	char stack[64 * KIB];

	memset(stack, 1, sizeof(stack));
	__asm__ volatile("" : : "r"(stack) : "memory");
	CHECK(!mlockall(MCL_CURRENT));
}

/*
 * ---------------- In a memory cgroup ----------------
 */

FIXTURE(group)
{
	char dir[64];
	char path[96];
	bool mounted;
	bool made;
	pid_t neighbour;
};

FIXTURE_VARIANT(group)
{
	bool v1;
};

FIXTURE_VARIANT_ADD(group, v2)
{
	.v1 = false,
};

FIXTURE_VARIANT_ADD(group, v1)
{
	.v1 = true,
};

static const char *group_file(const char *dir, const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void set_dir(char *to, const char *dir)
{
	memcpy(to, dir, strlen(dir) + 1);
}

static int be_there(void *arg)
{
	const char *dir = arg;
	char *p = mmap(NULL, 4 * MIB, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	memset(p, 1, 4 * MIB);
	CHECK(!write_text(group_file(dir, "cgroup.procs"), "0"));
	raise(SIGSTOP);
	return 0;
}

/*
 * SLABSHM_CGROUP=1 asks for the old kind.  Not both on one machine: what was
 * charged in one and is freed in the other is too much for the kernel's counts.
 */
FIXTURE_SETUP(group)
{
	const char *kind = getenv("SLABSHM_CGROUP");
	int status;

	if (getuid())
		SKIP(return, "only root makes groups");
	if (variant->v1 != (kind && *kind == '1'))
		SKIP(return, "only with SLABSHM_CGROUP=%d", variant->v1 ? 1 : 2);
	if (variant->v1) {
		set_dir(self->dir, "/tmp/slabshm-memory");
		if (mkdir(self->dir, 0755) ||
		    mount("memory", self->dir, "cgroup", 0, "memory")) {
			rmdir(self->dir);
			SKIP(return, "no memory controller of cgroups v1");
		}
		self->mounted = true;
	} else {
		set_dir(self->dir, CGROUP);
		write_text(CGROUP "cgroup.subtree_control", "+memory");
	}
	snprintf(self->path, sizeof(self->path), "%s/slabshm-oom", self->dir);
	self->made = !mkdir(self->path, 0755);
	if (!self->made ||
	    access(group_file(self->path, variant->v1 ?
			      "memory.limit_in_bytes" : "memory.max"), W_OK))
		SKIP(return, "no memory controller in %s", self->dir);
	if (!variant->v1)
		write_text(group_file(self->path, "memory.swap.max"), "0");
	self->neighbour = start_child(be_there, self->path);
	ASSERT_LT(0, self->neighbour);
	ASSERT_EQ(self->neighbour, waitpid(self->neighbour, &status, WUNTRACED));
	ASSERT_TRUE(WIFSTOPPED(status));
}

FIXTURE_TEARDOWN(group)
{
	if (self->neighbour > 0) {
		kill(self->neighbour, SIGKILL);
		end_child(self->neighbour);
	}
	if (self->made)
		EXPECT_TRUE(wait_until(!rmdir(self->path), 10000));
	if (self->mounted) {
		EXPECT_EQ(0, umount(self->dir));
		rmdir(self->dir);
	}
}

static const struct filler {
	const char *name;
	__u64 more;
	void (*prepare)(void);
	int (*step)(unsigned int i);
} fillers[] = {
	{ "cells", 6 * MIB, make_one_cell, make_cell },
	{ "parts", 3 * MIB, make_one_cell, publish_parts },
	{ "watches", MIB, make_all_cells, watch_cell },
	{ "locks", MIB, make_all_cells, lock_cell },
	{ "readers", 512 * KIB, open_readers, register_reader },
	{ "data", 5 * MIB, make_one_cell, grow_slab },
};

/**
 * struct in_group - one filler, as its process has it
 * @dir: the group's
 * @v1: which kind
 * @filler: what to do
 * @calls: how many until there was no memory
 * @err: what the last of these said
 * @sound: the calls after that behaved
 */
struct in_group {
	const char *dir;
	bool v1;
	const struct filler *filler;
	unsigned int calls;
	int err;
	bool sound;
};

static int fill_group(void *arg)
{
	struct in_group *in = arg;
	const char *limit = in->v1 ? "memory.limit_in_bytes" : "memory.max";
	const char *usage = in->v1 ? "memory.usage_in_bytes" : "memory.current";
	__u64 bytes;

	lock_memory();
	open_slab();
	in->filler->prepare();
	CHECK(!write_text(group_file(in->dir, "cgroup.procs"), "0"));
	bytes = read_number(group_file(in->dir, usage)) + in->filler->more;
	CHECK(!write_number(group_file(in->dir, limit), bytes));
	do {
		in->err = in->filler->step(++in->calls);
	} while (!in->err);
	if (in->err == -ENOMEM)
		try_all();
	in->sound = true;
	_exit(0);
}

TEST_F_TIMEOUT(group, full, 200)
{
	struct in_group *in = shared_memory(sizeof(*in));
	const char *counts = variant->v1 ? "memory.oom_control" :
					   "memory.events";
	unsigned int i;
	int status;

	ASSERT_NE(NULL, in);
	for (i = 0; i < ARRAY_LEN(fillers); i++) {
		const struct filler *filler = &fillers[i];

		*in = (struct in_group){
			.dir = self->path,
			.v1 = variant->v1,
			.filler = filler,
		};
		EXPECT_EQ(0, in_child(fill_group, in))
			TH_LOG("%s", filler->name);
		EXPECT_EQ(-ENOMEM, in->err)
			TH_LOG("%s", filler->name);
		EXPECT_TRUE(in->sound);
		TH_LOG("%s: %u calls", filler->name, in->calls);
		EXPECT_EQ(0, memory_event(group_file(self->path, counts),
					  "oom_kill"));
		if (!variant->v1)
			EXPECT_EQ(0, memory_event(group_file(self->path, counts),
						  "oom"));
		/* Stopped, and nothing else */
		EXPECT_EQ(0, waitpid(self->neighbour, &status, WNOHANG));
		EXPECT_EQ(0, write_text(group_file(self->path, variant->v1 ?
						   "memory.limit_in_bytes" :
						   "memory.max"),
					variant->v1 ? "-1" : "max"));
	}
}

/*
 * ---------------- All of the machine ----------------
 */

/* Did the kernel say that the caller has called the killer? */
static int caller_invoked(int kmsg)
{
	char line[1024];
	int n = 0;
	ssize_t len;

	while ((len = read(kmsg, line, sizeof(line) - 1)) > 0 ||
	       (len < 0 && errno == EPIPE)) {
		if (len < 0)
			continue;
		line[len] = '\0';
		n += !!strstr(line, CALLER " invoked oom-killer");
	}
	return n;
}

static int fill_machine(void *arg)
{
	struct in_group *in = arg;
	unsigned int slab = 0;

	CHECK(!prctl(PR_SET_NAME, CALLER));
	lock_memory();
	open_slab();
	in->filler->prepare();
	do {
		in->err = in->filler->step(++in->calls);
		/* One slab has too few cells for that */
		if (in->err == -ENOSPC && ++slab < 200) {
			struct slabshm_attach_args ask;

			ask_attach(&ask, NULL, SLAB, 2 * MIB, MIB);
			ask.max_cells = 1 << 24;
			in->err = client_attach(&c, &ask) ?:
				  client_map_reader(&c);
		}
	} while (!in->err);
	in->sound = true;
	_exit(0);
}

FIXTURE(machine)
{
	unsigned long mbytes;
};

FIXTURE_SETUP(machine)
{
	if (!long_run() || getuid())
		SKIP(return, "takes all memory: only with SLABSHM_LONG=1");
	ASSERT_EQ(0, set_parameter("max_user_mbytes", 1 << 20, &self->mbytes));
}

FIXTURE_TEARDOWN(machine)
{
	set_parameter("max_user_mbytes", self->mbytes, NULL);
}

TEST_F_TIMEOUT(machine, full, 600)
{
	struct in_group *in = shared_memory(sizeof(*in));
	int kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	ASSERT_NE(NULL, in);
	ASSERT_LE(0, kmsg);
	lseek(kmsg, 0, SEEK_END);
	in->filler = &fillers[0];
	/* Others may be killed by what others do: not at the caller's word */
	in_child(fill_machine, in);
	EXPECT_EQ(0, caller_invoked(kmsg));
	EXPECT_TRUE(in->err == -ENOMEM || !in->sound);
	TH_LOG("%u calls, %d", in->calls, in->err);
	close(kmsg);
	(void)self;
}

TEST_HARNESS_MAIN
