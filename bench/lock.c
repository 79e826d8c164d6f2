// SPDX-License-Identifier: GPL-2.0
/*
 * What a lock costs that nobody else wants, beside its peers, in instructions:
 * under QEMU's -icount, with one CPU, where a nanosecond is an instruction.
 *
 * Each figure is the smallest of several rounds, less the loop.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "slabshm.h"

#define ROUNDS		5
#define LOOPS		5000

static struct slabshm *slab;
static struct slabshm_ref ref;
static struct slabshm_lock_cell cells[8];
static pthread_mutex_t mutex, robust;
static int file;

static void op_nothing(void)
{
	__asm__ volatile("");
}

static void op_slabshm(void)
{
	if (slabshm_lock(slab, &ref, -1) || slabshm_unlock(slab, &ref))
		abort();
}

static void op_batch(void)
{
	if (slabshm_lock_batch(slab, cells, 8, -1, NULL) ||
	    slabshm_unlock_batch(slab, cells, 8, NULL))
		abort();
}

static void op_mutex(void)
{
	if (pthread_mutex_lock(&mutex) || pthread_mutex_unlock(&mutex))
		abort();
}

static void op_robust(void)
{
	if (pthread_mutex_lock(&robust) || pthread_mutex_unlock(&robust))
		abort();
}

static void op_flock(void)
{
	if (flock(file, LOCK_EX) || flock(file, LOCK_UN))
		abort();
}

static void op_fcntl(void)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	if (fcntl(file, F_OFD_SETLKW, &lock))
		abort();
	lock.l_type = F_UNLCK;
	if (fcntl(file, F_OFD_SETLK, &lock))
		abort();
}

static double measure(void (*op)(void))
{
	uint64_t best = UINT64_MAX, t;
	int i, k;

	for (k = 0; k < ROUNDS; k++) {
		t = now();
		for (i = 0; i < LOOPS; i++)
			op();
		t = now() - t;
		if (t < best)
			best = t;
	}
	return (double)best / LOOPS;
}

static void set_up(void)
{
	struct slabshm_options opt = { .max_size = 1 << 20 };
	pthread_mutexattr_t attr;
	struct slabshm_ref one;
	unsigned int i;
	FILE *temporary;

	check("open", slabshm_open(&slab, NULL, SLABSHM_ATTACH_CREATE, &opt));
	check("cell", slabshm_cell_open(slab, "cell", SLABSHM_CELL_CREATE,
					&ref));
	for (i = 0; i < 8; i++) {
		char name[16];

		snprintf(name, sizeof(name), "cell%u", i);
		check("cell", slabshm_cell_open(slab, name, SLABSHM_CELL_CREATE,
						&one));
		cells[i].cell = one.cell;
		cells[i].generation = one.generation;
	}
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	check("mutex", -pthread_mutex_init(&mutex, &attr));
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	check("robust mutex", -pthread_mutex_init(&robust, &attr));
	temporary = tmpfile();
	check("file", temporary ? 0 : -errno);
	file = fileno(temporary);
}

int main(void)
{
	static const struct {
		const char *name;
		void (*op)(void);
	} row[] = {
		{ "slabshm", op_slabshm },
		{ "slabshm, 8 cells in a call", op_batch },
		{ "process-shared mutex", op_mutex },
		{ "robust process-shared mutex", op_robust },
		{ "flock(2)", op_flock },
		{ "fcntl(2), open file description", op_fcntl },
	};
	double loop;
	size_t i;

	set_up();
	loop = measure(op_nothing);
	for (i = 0; i < COUNT(row); i++)
		figure("Lock + unlock, less the loop", NULL, row[i].name,
		       measure(row[i].op) - loop);
	return 0;
}
