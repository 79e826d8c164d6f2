// SPDX-License-Identifier: GPL-2.0
/*
 * What a lock costs, beside its peers.
 *
 *	lock insn	that nobody else wants: with QEMU's -icount, one CPU, where
 *			a nanosecond is an instruction; the smallest of several
 *			rounds, less the loop
 *	lock smp	that eight processes want all the time, on two CPUs, to add
 *			to a counter that is a cell's object: additions a second,
 *			the best of several rounds; and how even their shares are
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "slabshm.h"

#define ROUNDS		5
#define LOOPS		5000
#define PROCESSES	8
#define SHARE		2000	/* locks of each, to see how even it is */
#define SLAB		"bench-lock"

static struct slabshm *slab;
static struct slabshm_ref ref;
static struct slabshm_lock_cell cells[8];
static pthread_mutex_t *mutex, *robust;
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
	if (pthread_mutex_lock(mutex) || pthread_mutex_unlock(mutex))
		abort();
}

static void op_robust(void)
{
	if (pthread_mutex_lock(robust) || pthread_mutex_unlock(robust))
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

	check("open", slabshm_open(&slab, SLAB, SLABSHM_ATTACH_CREATE, &opt));
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
	mutex = shared_memory(2 * sizeof(*mutex));
	robust = mutex + 1;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	check("mutex", -pthread_mutex_init(mutex, &attr));
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	check("robust mutex", -pthread_mutex_init(robust, &attr));
	temporary = tmpfile();
	check("file", temporary ? 0 : -errno);
	file = fileno(temporary);
}

static void insn(void)
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

	loop = measure(op_nothing);
	for (i = 0; i < COUNT(row); i++)
		figure("Lock + unlock, less the loop", NULL, row[i].name,
		       measure(row[i].op) - loop);
}

/*
 * ---------------- Contended ----------------
 */

/**
 * struct crowd - what the processes share
 * @ready: how many have come
 * @go: begin
 * @stop: end
 * @count: locks of each; on cache lines of their own
 * @counted: the same, when the first had its share
 */
struct crowd {
	unsigned int ready;
	bool go;
	bool stop;
	struct {
		uint64_t n;
		char pad[56];
	} count[PROCESSES];
	uint64_t counted[PROCESSES];
};

static void slabshm_enter(void)
{
	if (slabshm_lock(slab, &ref, -1))
		abort();
}

static void slabshm_exit(void)
{
	if (slabshm_unlock(slab, &ref))
		abort();
}

static void robust_enter(void)
{
	if (pthread_mutex_lock(robust))
		abort();
}

static void robust_exit(void)
{
	if (pthread_mutex_unlock(robust))
		abort();
}

static void flock_enter(void)
{
	if (flock(file, LOCK_EX))
		abort();
}

static void flock_exit(void)
{
	if (flock(file, LOCK_UN))
		abort();
}

static void flock_prepare(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	file = open(path, O_RDWR);
	check("open", file < 0 ? -errno : 0);
}

/**
 * struct peer - a lock
 * @name: what is shown
 * @prepare: in each process; may be NULL
 * @enter: lock
 * @exit: unlock
 */
struct peer {
	const char *name;
	void (*prepare)(void);
	void (*enter)(void);
	void (*exit)(void);
};

static const struct peer peers[] = {
	{ "slabshm", NULL, slabshm_enter, slabshm_exit },
	{ "robust process-shared mutex", NULL, robust_enter, robust_exit },
	{ "flock(2)", flock_prepare, flock_enter, flock_exit },
};

static void compete(const struct peer *p, struct crowd *c, unsigned int me)
{
	uint64_t counter;

	check("open", slabshm_open(&slab, SLAB, 0, NULL));
	if (p->prepare)
		p->prepare();
	__atomic_add_fetch(&c->ready, 1, __ATOMIC_ACQ_REL);
	while (!__atomic_load_n(&c->go, __ATOMIC_ACQUIRE))
		usleep(1000);
	while (!__atomic_load_n(&c->stop, __ATOMIC_RELAXED)) {
		unsigned int i;

		p->enter();
		check("read", slabshm_read(slab, &ref, &counter,
					   sizeof(counter), NULL));
		counter++;
		check("assign", slabshm_assign(slab, &ref, &counter,
					       sizeof(counter)));
		if (++c->count[me].n == SHARE && !c->counted[me]) {
			for (i = 0; i < PROCESSES; i++)
				c->counted[i] = c->count[i].n;
		}
		p->exit();
	}
}

static uint64_t counter_value(void)
{
	uint64_t counter;

	check("read", slabshm_read(slab, &ref, &counter, sizeof(counter), NULL));
	return counter;
}

/* Additions a second; *last: of the last, when the first has its share. */
static double round_of(const struct peer *p, uint64_t *last)
{
	struct crowd *c = shared_memory(sizeof(*c));
	pid_t pid[PROCESSES];
	uint64_t began, n = 0;
	unsigned int i;
	double rate;
	int status;

	check("assign", slabshm_assign(slab, &ref, &n, sizeof(n)));
	fflush(NULL);
	for (i = 0; i < PROCESSES; i++) {
		pid[i] = fork();
		check("fork", pid[i]);
		if (!pid[i]) {
			compete(p, c, i);
			_exit(0);
		}
	}
	while (__atomic_load_n(&c->ready, __ATOMIC_ACQUIRE) < PROCESSES)
		usleep(1000);
	began = now();
	__atomic_store_n(&c->go, true, __ATOMIC_RELEASE);
	sleep(1);
	n = counter_value();
	rate = (double)n * 1e9 / (double)(now() - began);
	/* One that is slow, or a peer that is not fair, needs longer */
	for (i = 0; i < 10 && !__atomic_load_n(&c->counted[0], __ATOMIC_RELAXED); i++)
		sleep(1);
	__atomic_store_n(&c->stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < PROCESSES; i++) {
		waitpid(pid[i], &status, 0);
		check("a process", status ? -EIO : 0);
	}
	*last = SHARE;
	for (i = 0, n = 0; i < PROCESSES; i++) {
		n += c->count[i].n;
		if (c->counted[i] < *last)
			*last = c->counted[i];
	}
	check("the counter", n == counter_value() ? 0 : -EIO);
	return rate;
}

static void smp(void)
{
	double best[COUNT(peers)] = { 0 };
	uint64_t worst[COUNT(peers)];
	size_t i;
	int k;

	for (i = 0; i < COUNT(peers); i++)
		worst[i] = SHARE;
	/* In turns, so that a slow moment of the machine is not one peer's */
	for (k = 0; k < ROUNDS; k++) {
		for (i = 0; i < COUNT(peers); i++) {
			uint64_t last;
			double rate = round_of(&peers[i], &last);

			if (rate > best[i])
				best[i] = rate;
			if (last < worst[i])
				worst[i] = last;
		}
	}
	for (i = 0; i < COUNT(peers); i++)
		figure("Additions of 8 processes under a lock, two processors",
		       "1/s", peers[i].name, best[i]);
	for (i = 0; i < COUNT(peers); i++)
		figure("Locks of the last of 8 when the first has 2,000", "locks",
		       peers[i].name, (double)worst[i]);
}

int main(int argc, char **argv)
{
	bool two = argc == 2 && !strcmp(argv[1], "smp");

	if (!two && (argc != 2 || strcmp(argv[1], "insn"))) {
		fprintf(stderr, "usage: lock insn|smp\n");
		return 2;
	}
	set_up();
	if (two)
		smp();
	else
		insn();
	return 0;
}
