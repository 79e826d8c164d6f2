/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the benchmarks have in common.
 *
 * A program has tables of rows.  A row is one workload done by one
 * implementation; the same workload has the same words in each program, and
 * bench/report puts them side by side.  Each row runs in a process of its own,
 * so that it finds an empty heap and leaves nothing behind.
 */
#ifndef BENCH_H
#define BENCH_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The workloads, in the words that the tables show */
#define PAIR(size)	"alloc + free, " size
#define BATCH(size)	"alloc + free, " size ", 64 at a time"
#define MIXED(live)	"alloc + free, 16 B to 64 KiB, " live " live"
#define LARSON		"alloc, freed by another thread, 16 B to 1 KiB"
#define GROW		"alloc and touch 4 KiB, growing"
#define TRACE(program)	"alloc or free, trace of " program
#define PUBLISH		"publish 256 B"
#define PUBLISH_READY	"publish a block that is ready"
#define PUBLISH_64	"publish 64 cells of 256 B in one step"
#define LOOK		"look at 256 B in place"
#define LOOK_NAMED	"look at 256 B in place, found by name among 10^5"
#define READ		"read 256 B"
#define PIPE		"publish 256 B, taken by another process"
#define RW(reads, cells) "read or publish 256 B, " reads ", " cells " cells"
#define UNIT		"nothing, to compare with"

/**
 * struct row - one workload done by one implementation
 * @workload: as above
 * @name: the implementation; NULL: what bench_main() was told
 * @arg: what @prepare and @run find in row_arg
 * @n: operations in a round; 0: what @prepare stores in row_n
 * @prepare: opens or makes what is worked on, in the process that works; under
 *	the name row_id, which all workers of a row share; may be NULL
 * @before: untimed, before each run of the same @n; may be NULL
 * @run: does @n operations
 * @flags: ROW_*
 */
struct row {
	const char *workload;
	const char *name;
	unsigned long arg;
	unsigned long n;
	void (*prepare)(void);
	void (*before)(unsigned long n);
	void (*run)(unsigned long n);
	unsigned int flags;
};

#define ROW_RATE	(1U << 0)	/* operations a second, too */
#define ROW_TAIL	(1U << 1)	/* each operation by itself, too */
#define ROW_ONCE	(1U << 2)	/* the first round is what counts */
#define ROW_SLOW	(1U << 3)	/* one round, after the one that counts */
#define ROW_THREADS	(1U << 4)	/* @prepare starts threads */
#define ROW_SPACE	(1U << 5)	/* run() fills row_space: no time */
#define ROW_LONG	(1U << 6)	/* with BENCH_LONG only */
/*
 * Another process prepares the row too, after this one, and then calls
 * row_helper.help, which its @prepare has set, each time that this one calls
 * handoff().
 */
#define ROW_HELPED	(1U << 7)
#define ROW_PAIR	(1U << 8)	/* its two threads, like ROW_HELPED, in pairs */

extern unsigned long row_arg;
extern unsigned long row_n;
extern char row_id[32];

/* In ROW_RATE rows, which of the workers this is: 0, 1 ... */
extern unsigned int row_worker;

/* For next_random(); each worker begins with another one */
extern uint64_t row_random;

/* In ROW_HELPED rows: whether this is the other process, and what that does */
struct helper {
	bool is_this;
	void (*help)(void);
};

extern struct helper row_helper;

/* Bytes asked for, each block's rounded up to 64, and bytes in use for them */
struct space {
	uint64_t wanted;
	uint64_t used;
};

extern struct space row_space;

/* The length of an object, which the compiler does not know */
#define OBJECT_MAX	256
extern size_t object_size;

/* The tables each end with a row without a workload, their list with NULL. */
int bench_main(int argc, char **argv, const char *name,
	       const struct row *const *tables);

/* Ends the row: there is nothing to measure here. */
__attribute__((noreturn)) void row_skip(void);

/* Ends the row, and fails the run, if @ret is negative. */
void check(const char *what, int64_t ret);

/* Memory of the row's own, zeros, that comes from no heap. */
void *own_memory(size_t size);

/* The same, shared with the processes that the row forks. */
void *shared_memory(size_t size);

/* Nanoseconds; with -icount and one processor that is busy, instructions */
uint64_t now(void);

/*
 * Prints a figure that is no row of a table, one of a group: in @unit, or if that is
 * NULL in what costs are in.
 */
void figure(const char *group, const char *unit, const char *name, double value);

/* "cell-0", "cell-1" ... in memory of the row's own */
struct cell_name {
	char text[32];
};

struct cell_name *make_cell_names(unsigned long count);

/* Returns when the other process has done what it does. */
void handoff(void);
#define HANDOFF		64	/* what a handoff hands over */

/* So that the compiler takes @p for used, and memory for changed. */
static inline void use(const void *p)
{
	__asm__ volatile("" :: "r"(p) : "memory");
}

/* Pseudo-random, the same in each implementation and each run */
static inline uint32_t next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(*state >> 33);
}

#define COUNT(a)	(sizeof(a) / sizeof(*(a)))

#ifdef __cplusplus
}
#endif

#endif /* BENCH_H */
