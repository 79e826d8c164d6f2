// SPDX-License-Identifier: GPL-2.0
/*
 * What the module's calls cost, in instructions: under QEMU's -icount, with one
 * CPU, where a nanosecond is an instruction.
 *
 *	kernel			all of it: on several CPUs without what reclaim costs,
 *				and in nanoseconds
 *	kernel quick		with less mixed operations, and no million blocks
 *	kernel memory		the memory that blocks take, and not what calls cost
 *	kernel alloc COUNT	only so many of one operation, for a profiler:
 *	kernel batch COUNT	alloc and free, of one block or of 64 in a call;
 *	kernel publish COUNT	publish of one cell, 64 times COUNT
 *	kernel cells COUNT	publish of 64 cells
 *
 * The calls are made without the library, which may spare some.  Each figure is
 * the smallest of several rounds.  Where reclaim counts, an idle thread runs
 * whenever nothing else does, and what it ran is taken off: so the rest is all
 * that the machine did, until the last retired block was free again.
 *
 * Memory is what the module, and shmem for its tree of pages, took of the kernel's
 * slabs; the page map, a byte a page, comes on top.
 */
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "slabshm.h"

#define MANY		SLABSHM_BATCH_MAX
#define ROUNDS		5
#define LOOPS		2000
#define SIZE		64
#define PUBLISHES	8192

static struct slabshm *slab;
static int fd;
static uint32_t client;

static void show(const char *name, double cost)
{
	figure("Calls without the library", NULL, name, cost);
}

static uint64_t clock_now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* The calls, as plain as they can be. */
static void alloc(struct slabshm_block *block, unsigned int n, uint64_t size)
{
	struct slabshm_alloc_args arg = {
		.client = client,
		.blocks = (uintptr_t)block,
		.count = n,
	};
	unsigned int i;

	for (i = 0; i < n; i++)
		block[i].size = size;
	check("alloc", ioctl(fd, SLABSHM_IOC_ALLOC, &arg) ? -errno : 0);
}

static void free_blocks(const uint64_t *offset, unsigned int n)
{
	struct slabshm_free_args arg = {
		.client = client,
		.offsets = (uintptr_t)offset,
		.count = n,
	};

	check("free", ioctl(fd, SLABSHM_IOC_FREE, &arg) ? -errno : 0);
}

/* Both calls, and in between no more than it takes. */
static void alloc_free(unsigned int n, uint64_t size, unsigned int times)
{
	struct slabshm_block block[MANY];
	uint64_t offset[MANY];
	struct slabshm_alloc_args alloc_arg = {
		.client = client,
		.blocks = (uintptr_t)block,
		.count = n,
	};
	struct slabshm_free_args free_arg = {
		.client = client,
		.offsets = (uintptr_t)offset,
		.count = n,
	};
	unsigned int i;

	for (i = 0; i < n; i++)
		block[i].size = size;
	while (times--) {
		if (ioctl(fd, SLABSHM_IOC_ALLOC, &alloc_arg))
			check("alloc", -errno);
		for (i = 0; i < n; i++)
			offset[i] = block[i].offset;
		if (ioctl(fd, SLABSHM_IOC_FREE, &free_arg))
			check("free", -errno);
	}
}

static double measure_alloc_free(unsigned int n, uint64_t size)
{
	uint64_t best = UINT64_MAX, t;
	unsigned int k;

	for (k = 0; k < ROUNDS; k++) {
		t = now();
		alloc_free(n, size, LOOPS);
		t = now() - t;
		if (t < best)
			best = t;
	}
	return (double)best / LOOPS / n;
}

/* A call that the module refuses at its first look. */
static double measure_nothing(void)
{
	uint64_t best = UINT64_MAX, t;
	unsigned int i, k;

	for (k = 0; k < ROUNDS; k++) {
		t = now();
		for (i = 0; i < LOOPS; i++)
			ioctl(fd, _IO(SLABSHM_IOC_TYPE, 0xff), NULL);
		t = now() - t;
		if (t < best)
			best = t;
	}
	return (double)best / LOOPS;
}

/*
 * Publishes, reclaim included
 */

static clockid_t idle_clock;

static void *idle(void *unused)
{
	struct sched_param param = { 0 };

	(void)unused;
	check("SCHED_IDLE", sched_setscheduler(0, SCHED_IDLE, &param) ? -errno : 0);
	for (;;)
		;
	return NULL;
}

static void start_idle(void)
{
	pthread_t thread;

	check("thread", -pthread_create(&thread, NULL, idle, NULL));
	check("clock", -pthread_getcpuclockid(thread, &idle_clock));
	usleep(50000);
}

/* Instructions of all but the idle thread, since the machine began. */
static uint64_t busy(void)
{
	return now() - (idle_clock ? clock_now(idle_clock) : 0);
}

static void wait_reclaimed(void)
{
	struct slabshm_stat st;

	do {
		usleep(100000);
		check("stat", slabshm_stat(slab, &st));
	} while (st.retired_blocks);
}

/* Items for all cells; only the blocks change from call to call. */
static struct slabshm_publish_cell item[MANY];

static void publish(const uint64_t *block, unsigned int n)
{
	struct slabshm_publish_args arg = {
		.client = client,
		.cells = (uintptr_t)item,
		.ncells = n,
	};
	unsigned int i;

	for (i = 0; i < n; i++)
		item[i].block = block[i];
	check("publish", ioctl(fd, SLABSHM_IOC_PUBLISH, &arg) ? -errno : 0);
}

struct cost {
	double call;	/* instructions of one call */
	double all;	/* the same, and of all that follows from it */
};

static struct cost measure_publish(unsigned int n)
{
	static uint64_t offset[PUBLISHES];
	struct cost best = { .call = 1e18, .all = 1e18 };
	unsigned int i, j, k, calls = PUBLISHES / n;
	struct slabshm_block block[MANY];
	uint64_t t, b, idle_wait;
	double cost;

	for (k = 0; k < ROUNDS; k++) {
		for (i = 0; i < PUBLISHES; i += MANY) {
			alloc(block, MANY, SIZE);
			for (j = 0; j < MANY; j++)
				offset[i + j] = block[j].offset;
		}
		wait_reclaimed();
		/* What waiting costs by itself */
		b = busy();
		wait_reclaimed();
		idle_wait = busy() - b;

		b = busy();
		t = now();
		for (i = 0; i < calls; i++)
			publish(&offset[i * n], n);
		t = now() - t;
		wait_reclaimed();
		b = busy() - b - idle_wait;
		cost = (double)t / calls;
		if (cost < best.call)
			best.call = cost;
		cost = (double)b / calls;
		if (cost < best.all)
			best.all = cost;
	}
	return best;
}

/*
 * Many live blocks
 */

static uint64_t seed = 88172645463325252ULL;

static uint64_t random_number(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* From 16 bytes to 2^@most, each doubling as often as another. */
static uint64_t random_size(unsigned int most)
{
	uint64_t size = 16ULL << random_number() % (most - 4);

	return size + random_number() % size;
}

/* The worst calls: of those that grew the slab, and of all others */
struct worst {
	uint64_t grew;
	uint64_t other;
};

static uint64_t size_now(void)
{
	struct slabshm_stat st;

	check("stat", slabshm_stat(slab, &st));
	return st.size;
}

static void note_worst(struct worst *worst, uint64_t t, uint64_t *size)
{
	uint64_t was = *size, *w = &worst->other;

	/* One that grows the slab always costs more than this */
	if (t <= worst->other)
		return;
	*size = size_now();
	if (*size != was)
		w = &worst->grew;
	if (t > *w)
		*w = t;
}

/* Frees a block and allocates another; what it cost, and the worst calls. */
static double measure_mixed(unsigned int live, unsigned int most, unsigned int ops,
			    struct worst *worst)
{
	uint64_t *offset = calloc(live, sizeof(*offset));
	struct slabshm_block block;
	uint64_t t, sum = 0, size, slab_size;
	unsigned int i, k;

	check("memory", offset ? 0 : -ENOMEM);
	for (i = 0; i < live; i++) {
		alloc(&block, 1, random_size(most));
		offset[i] = block.offset;
	}
	slab_size = size_now();
	for (k = 0; k < ops; k++) {
		i = (unsigned int)(random_number() % live);
		size = random_size(most);
		t = now();
		free_blocks(&offset[i], 1);
		t = now() - t;
		sum += t;
		note_worst(worst, t, &slab_size);
		t = now();
		alloc(&block, 1, size);
		t = now() - t;
		sum += t;
		note_worst(worst, t, &slab_size);
		offset[i] = block.offset;
	}
	for (i = 0; i < live; i++)
		free_blocks(&offset[i], 1);
	free(offset);
	return (double)sum / ops;
}

static double measure_live(unsigned int live, unsigned int most, unsigned int ops)
{
	struct worst worst = {};
	double cost = measure_mixed(live, most, ops, &worst);
	char name[64], part[96];

	snprintf(name, sizeof(name), "alloc + free, 16 B to %u %s, %u live",
		 most < 10 ? 1U << most : 1U << (most - 10), most < 10 ? "B" : "KiB",
		 live);
	show(name, cost);
	snprintf(part, sizeof(part), "%s, the worst of %u calls", name, 2 * ops);
	show(part, (double)worst.other);
	if (worst.grew) {
		snprintf(part, sizeof(part), "%s, the worst that grew the slab", name);
		show(part, (double)worst.grew);
	}
	return cost;
}

/*
 * Kernel memory
 */

/* What the kernel's own allocator has handed out, once what was freed is back. */
static double memory_now(void)
{
	unsigned long kib = 0;
	char line[128];
	FILE *f;

	sleep(1);
	f = fopen("/proc/meminfo", "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "Slab: %lu", &kib) == 1)
			break;
	check("Slab in /proc/meminfo", kib ? 0 : -ENOENT);
	fclose(f);
	return (double)kib * 1024;
}

/* Of blocks that are allocated; then parts of one object. */
static void measure_memory(const char *name, uint64_t size, unsigned int n)
{
	struct slabshm_publish_part part[MANY];
	struct slabshm_publish_cell keep = {
		.cell = item[0].cell,
		.generation = item[0].generation,
		.flags = SLABSHM_PUBLISH_KEEP,
	};
	struct slabshm_publish_args arg = {
		.client = client,
		.cells = (uintptr_t)&keep,
		.ncells = 1,
		.parts = (uintptr_t)part,
		.nparts = MANY,
	};
	struct slabshm_block block[MANY];
	uint64_t *offset = malloc(n * sizeof(*offset));
	double before, owned, published;
	char text[64];
	unsigned int i, k;

	check("memory", offset ? 0 : -ENOMEM);
	before = memory_now();
	for (i = 0; i < n; i += MANY) {
		alloc(block, MANY, size);
		for (k = 0; k < MANY; k++)
			offset[i + k] = block[k].offset;
	}
	owned = (memory_now() - before) / n;
	for (i = 0; i < n; i += MANY) {
		for (k = 0; k < MANY; k++)
			part[k] = (struct slabshm_publish_part){
				.op = SLABSHM_PART_ATTACH,
				.block = offset[i + k],
			};
		check("publish", ioctl(fd, SLABSHM_IOC_PUBLISH, &arg) ? -errno : 0);
	}
	published = (memory_now() - before) / n;
	snprintf(text, sizeof(text), "block of %s", name);
	figure("Kernel memory", "bytes", text, owned);
	snprintf(text, sizeof(text), "block of %s, more when it is published", name);
	figure("Kernel memory", "bytes", text, published - owned);
	free(offset);
}

static int profile(const char *what, unsigned int count)
{
	struct slabshm_block block[MANY];
	unsigned int i, j;

	for (i = 0; i < count; i++) {
		if (!strcmp(what, "publish")) {
			alloc(block, MANY, SIZE);
			for (j = 0; j < MANY; j++)
				publish((uint64_t *)&block[j].offset, 1);
		} else if (!strcmp(what, "cells")) {
			uint64_t offset[MANY];

			alloc(block, MANY, SIZE);
			for (j = 0; j < MANY; j++)
				offset[j] = block[j].offset;
			publish(offset, MANY);
		} else {
			alloc_free(!strcmp(what, "batch") ? MANY : 1, SIZE, 1);
		}
	}
	wait_reclaimed();
	return 0;
}

int main(int argc, char **argv)
{
	struct slabshm_options opt = { .max_size = 1ULL << 32 };
	const unsigned int many_ops = argc > 1 ? 100000 : 1000000;
	bool one_cpu = sysconf(_SC_NPROCESSORS_ONLN) == 1;
	struct slabshm_ref ref;
	struct cost one, many;
	char name[8];
	double few;
	int i;

	check("open", slabshm_open(&slab, NULL, SLABSHM_ATTACH_CREATE, &opt));
	check("grow", slabshm_grow(slab, 16 << 20));
	fd = slabshm_fd(slab);
	client = slabshm_client(slab);
	for (i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "%d", i);
		check("cell", slabshm_cell_open(slab, name, SLABSHM_CELL_CREATE,
						&ref));
		item[i].cell = ref.cell;
		item[i].generation = ref.generation;
		item[i].length = SIZE;
	}

	if (argc == 3)
		return profile(argv[1], (unsigned int)atoi(argv[2]));
	if (argc == 2 && !strcmp(argv[1], "memory")) {
		measure_memory("64 B", 64, 1 << 20);
		measure_memory("4 KiB", 4096, 1 << 15);
		return 0;
	}

	show("a call that is refused", measure_nothing());
	show("alloc + free of 64 bytes", measure_alloc_free(1, 64));
	show("alloc + free of 64 bytes, a block of 64 in a call",
	     measure_alloc_free(MANY, 64));
	show("alloc + free of 4 KiB", measure_alloc_free(1, 4096));
	show("alloc + free of 64 KiB", measure_alloc_free(1, 65536));

	few = measure_live(1000, 10, many_ops);
	measure_live(1000, 16, many_ops);
	if (argc == 1) {
		figure("Calls without the library", "times", "10^6 live against 10^3",
		       measure_live(1000000, 10, 10000000) / few);
		measure_live(100000, 16, many_ops);
	}

	if (one_cpu)
		start_idle();
	one = measure_publish(1);
	many = measure_publish(MANY);
	show("publish of 1 cell, the call", one.call);
	show("publish of 64 cells, the call", many.call);
	if (one_cpu) {
		show("publish of 1 cell, with the reclaim of the old block", one.all);
		show("publish of 64 cells, with reclaim", many.all);
		figure("Calls without the library", "times", "64 cells against one",
		       many.all / one.all);
	}
	slabshm_close(slab);
	return 0;
}
