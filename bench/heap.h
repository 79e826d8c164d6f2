/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What is done with every heap.  The program that includes this has defined
 *
 *	heap_prepare()		opens or makes the heap
 *	heap_alloc(size)	a block, as a number that is not 0
 *	heap_free(block)
 *	heap_touch(block)	stores a byte there
 *	heap_used()		bytes in use for the blocks that there are; ends
 *				the row where the heap does not tell
 *
 * and has heap_rows among its tables.
 */
#ifndef BENCH_HEAP_H
#define BENCH_HEAP_H

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "bench.h"

#define BATCH_BLOCKS	64
#define GRANULE		64

static inline uint64_t rounded(uint64_t size)
{
	return (size + GRANULE - 1) & ~(uint64_t)(GRANULE - 1);
}

/*
 * ---------------- Fixed sizes: row_arg is the size ----------------
 */

static void run_pair(unsigned long n)
{
	unsigned long i;

	for (i = 0; i < n; i++) {
		uintptr_t block = heap_alloc(row_arg);

		use((void *)block);
		heap_free(block);
	}
}

static void run_batch(unsigned long n)
{
	uintptr_t block[BATCH_BLOCKS];
	unsigned long i, k;

	for (i = 0; i < n; i += BATCH_BLOCKS) {
		for (k = 0; k < BATCH_BLOCKS; k++)
			block[k] = heap_alloc(row_arg);
		use(block);
		for (k = 0; k < BATCH_BLOCKS; k++)
			heap_free(block[k]);
	}
}

/* Nothing comes back, so that each round needs more memory. */
static void run_grow(unsigned long n)
{
	unsigned long i;

	for (i = 0; i < n; i++)
		heap_touch(heap_alloc(row_arg));
}

/*
 * ---------------- Mixed sizes: row_arg blocks are there ----------------
 */

#define SIZES		4096	/* a power of two */

static struct {
	uintptr_t *block;
	uint32_t *size;
	unsigned long count;
	uint64_t random;
	uint32_t sizes[SIZES];
} mixed;

/* As many between 16 and 32 bytes as between 32 and 64 KiB */
static void fill_sizes(uint32_t *sizes, double least, double most)
{
	unsigned int i;

	for (i = 0; i < SIZES; i++)
		sizes[i] = (uint32_t)(least *
				      pow(most / least, (i + 0.5) / SIZES));
}

static void mixed_replace(unsigned long i)
{
	if (mixed.block[i])
		heap_free(mixed.block[i]);
	mixed.size[i] = mixed.sizes[next_random(&mixed.random) % SIZES];
	mixed.block[i] = heap_alloc(mixed.size[i]);
}

static void prepare_mixed(void)
{
	unsigned long i;

	heap_prepare();
	mixed.count = row_arg;
	mixed.block = (uintptr_t *)own_memory(mixed.count *
					      sizeof(*mixed.block));
	mixed.size = (uint32_t *)own_memory(mixed.count * sizeof(*mixed.size));
	fill_sizes(mixed.sizes, 16, 65536);
	for (i = 0; i < mixed.count; i++)
		mixed_replace(i);
}

static void run_mixed(unsigned long n)
{
	unsigned long i;

	for (i = 0; i < n; i++)
		mixed_replace(next_random(&mixed.random) % mixed.count);
}

static void run_mixed_space(unsigned long n)
{
	unsigned long i;

	heap_used();
	run_mixed(n);
	row_space.wanted = 0;
	for (i = 0; i < mixed.count; i++)
		row_space.wanted += rounded(mixed.size[i]);
	row_space.used = heap_used();
}

/*
 * ---------------- Freed by another thread, as Larson's benchmark ----------------
 */

#define LARSON_BLOCKS	1000

struct larson {
	uintptr_t block[LARSON_BLOCKS];
	uint64_t random;
};

static struct larson larson[2];
static pthread_barrier_t larson_turn;
static unsigned long larson_rounds;

/* Each block of the round before is the other thread's. */
static void larson_round(struct larson *l)
{
	unsigned int i;

	for (i = 0; i < LARSON_BLOCKS; i++) {
		if (l->block[i])
			heap_free(l->block[i]);
		l->block[i] = heap_alloc(mixed.sizes[next_random(&l->random) %
						     SIZES]);
	}
}

static void larson_work(unsigned int who)
{
	unsigned long round;

	for (round = 0; round < larson_rounds; round++) {
		larson_round(&larson[(who + round) % 2]);
		pthread_barrier_wait(&larson_turn);
	}
}

static void *larson_thread(void *unused)
{
	(void)unused;
	for (;;) {
		pthread_barrier_wait(&larson_turn);
		larson_work(1);
	}
	return NULL;
}

static void prepare_larson(void)
{
	pthread_t thread;

	heap_prepare();
	fill_sizes(mixed.sizes, 16, 1024);
	pthread_barrier_init(&larson_turn, NULL, 2);
	check("thread", -pthread_create(&thread, NULL, larson_thread, NULL));
}

/* @n is a multiple of what both do in a round. */
static void run_larson(unsigned long n)
{
	larson_rounds = n / 2 / LARSON_BLOCKS;
	pthread_barrier_wait(&larson_turn);
	larson_work(0);
}

/*
 * ---------------- What programs did: row_arg says which ----------------
 *
 * bench/record.c wrote which address was allocated, with what size, and freed.
 * That becomes steps on slots: a slot is what holds one block.
 */

static const char * const trace_names[] = { "gcc", "python3", "sqlite3" };

struct record {
	uint64_t address;
	uint64_t size;		/* 0: freed */
};

struct step {
	uint32_t slot;
	uint32_t size;		/* 0: free what is in it */
};

static struct {
	struct step *step;
	unsigned long steps;
	unsigned long peak;	/* the step after which most is wanted */
	uint64_t wanted;	/* then */
	uintptr_t *block;
} trace;

/* Addresses that are there, and their slots; open addressing */
struct place {
	uint64_t address;
	uint32_t slot;
	uint32_t size;
};

static struct place *find_place(struct place *table, uint64_t mask,
				uint64_t address)
{
	uint64_t i = (address * 0x9e3779b97f4a7c15ULL) >> 32 & mask;

	while (table[i].address && table[i].address != address)
		i = (i + 1) & mask;
	return &table[i];
}

static const struct record *map_records(unsigned long *count)
{
	const char *dir = getenv("BENCH_TRACES");
	struct stat st;
	char path[4096];
	void *p;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir ? dir : "",
		 trace_names[row_arg]);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) || !st.st_size)
		row_skip();
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	check("trace", p == MAP_FAILED ? -errno : 0);
	close(fd);
	*count = (unsigned long)st.st_size / sizeof(struct record);
	return (const struct record *)p;
}

/*
 * A slot stays with its address, also between two blocks there: so there are as
 * many slots as addresses, and no table entry is ever taken out.
 */
static void load_trace(void)
{
	unsigned long count, i, slots = 0;
	const struct record *record = map_records(&count);
	uint64_t mask = 1, wanted = 0;
	struct place *table, *place;

	while (mask < 2 * count)
		mask *= 2;
	table = (struct place *)own_memory(mask * sizeof(*table));
	mask--;
	/* All that is left at the end is freed then, so that it can begin again. */
	trace.step = (struct step *)own_memory(2 * count *
						sizeof(*trace.step));
	trace.steps = 0;
	for (i = 0; i < count; i++) {
		place = find_place(table, mask, record[i].address);
		/* Freed, but allocated before the recording began */
		if (!place->size && !record[i].size)
			continue;
		/* Allocated twice: what came between was not seen */
		if (place->size && record[i].size)
			continue;
		if (!place->address) {
			place->address = record[i].address;
			place->slot = (uint32_t)slots++;
		}
		wanted += rounded(record[i].size) - rounded(place->size);
		place->size = (uint32_t)record[i].size;
		if (wanted > trace.wanted) {
			trace.wanted = wanted;
			trace.peak = trace.steps + 1;
		}
		trace.step[trace.steps++] = (struct step){
			place->slot, place->size };
	}
	for (i = 0; i <= mask; i++)
		if (table[i].size)
			trace.step[trace.steps++] = (struct step){
				table[i].slot, 0 };
	trace.block = (uintptr_t *)own_memory((slots + 1) *
					       sizeof(*trace.block));
	munmap(table, (mask + 1) * sizeof(*table));
	row_n = trace.steps;
}

static void prepare_trace(void)
{
	load_trace();
	heap_prepare();
}

static void run_trace(unsigned long n)
{
	const struct step *step = trace.step;
	unsigned long i;

	for (i = 0; i < n; i++, step++) {
		if (step->size)
			trace.block[step->slot] = heap_alloc(step->size);
		else
			heap_free(trace.block[step->slot]);
	}
}

static void run_trace_space(unsigned long n)
{
	uint64_t before = heap_used();

	(void)n;
	run_trace(trace.peak);
	row_space.wanted = trace.wanted;
	row_space.used = heap_used() - before;
}

static const struct row heap_rows[] = {
	{ PAIR("64 B"), NULL, 64, 4000, heap_prepare, NULL, run_pair, ROW_TAIL },
	{ PAIR("256 B"), NULL, 256, 4000, heap_prepare, NULL, run_pair,
	  ROW_RATE | ROW_TAIL },
	{ PAIR("4 KiB"), NULL, 4096, 4000, heap_prepare, NULL, run_pair, 0 },
	{ PAIR("64 KiB"), NULL, 65536, 4000, heap_prepare, NULL, run_pair, 0 },
	{ BATCH("64 B"), NULL, 64, 4096, heap_prepare, NULL, run_batch, 0 },
	{ BATCH("256 B"), NULL, 256, 4096, heap_prepare, NULL, run_batch, 0 },
	{ BATCH("4 KiB"), NULL, 4096, 4096, heap_prepare, NULL, run_batch, 0 },
	{ BATCH("64 KiB"), NULL, 65536, 4096, heap_prepare, NULL, run_batch, 0 },
	{ MIXED("10^3"), NULL, 1000, 4000, prepare_mixed, NULL, run_mixed, 0 },
	{ MIXED("10^4"), NULL, 10000, 4000, prepare_mixed, NULL, run_mixed,
	  ROW_TAIL },
	{ MIXED("10^4"), NULL, 10000, 20000, prepare_mixed, NULL,
	  run_mixed_space, ROW_SPACE },
	{ MIXED("10^6"), NULL, 1000000, 10000, prepare_mixed, NULL, run_mixed,
	  ROW_TAIL | ROW_LONG },
	{ LARSON, NULL, 0, 8000, prepare_larson, NULL, run_larson,
	  ROW_THREADS | ROW_PAIR },
	{ GROW, NULL, 4096, 8192, heap_prepare, NULL, run_grow,
	  ROW_ONCE | ROW_TAIL },
	{ TRACE("gcc"), NULL, 0, 0, prepare_trace, NULL, run_trace, ROW_SLOW },
	{ TRACE("gcc"), NULL, 0, 0, prepare_trace, NULL, run_trace_space,
	  ROW_SPACE },
	{ TRACE("python3"), NULL, 1, 0, prepare_trace, NULL, run_trace, ROW_SLOW },
	{ TRACE("python3"), NULL, 1, 0, prepare_trace, NULL, run_trace_space,
	  ROW_SPACE },
	{ TRACE("sqlite3"), NULL, 2, 0, prepare_trace, NULL, run_trace, ROW_SLOW },
	{ TRACE("sqlite3"), NULL, 2, 0, prepare_trace, NULL, run_trace_space,
	  ROW_SPACE },
	{}
};

#endif /* BENCH_HEAP_H */
