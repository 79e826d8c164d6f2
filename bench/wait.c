// SPDX-License-Identifier: GPL-2.0
/*
 * What it costs to be waited for, and to wait.
 *
 *	wait insn	with QEMU's -icount, one CPU, where a nanosecond is an
 *			instruction: a publish that nobody watches, and others;
 *			a round trip between two processes, beside its peers
 *	wait smp	the round trip on two CPUs, in time
 *
 * Each figure is the smallest of several rounds.
 */
#include <linux/futex.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "slabshm.h"

#define ROUNDS	5
#define LOOPS	2000

static struct slabshm *slab;
static struct slabshm_ref ref[2];
static bool pin_cpus;

static void show(const char *name, double cost)
{
	figure(pin_cpus ? "Waiting, on two processors" : "Waiting",
	       pin_cpus ? "ns" : NULL, name, cost);
}

/* Without an object: what is measured is the step itself. */
static uint64_t publish(const struct slabshm_ref *cell)
{
	struct slabshm_publish_cell item = {
		.cell = cell->cell,
		.generation = cell->generation,
	};
	int64_t commit = slabshm_publish(slab, &item, 1, NULL, 0, NULL);

	check("publish", commit);
	return (uint64_t)commit;
}

static double publishes(bool take)
{
	struct slabshm_event event;
	uint64_t best = UINT64_MAX, t;
	int i, k;

	for (k = 0; k < ROUNDS; k++) {
		t = now();
		for (i = 0; i < LOOPS; i++) {
			publish(&ref[0]);
			if (take)
				check("events", slabshm_events(slab, &event, 1, 0));
		}
		t = now() - t;
		if (t < best)
			best = t;
	}
	return (double)best / LOOPS;
}

static void insn_publish(void)
{
	struct slabshm_event event;

	show("publish, nobody ever watched", publishes(false));
	check("watch", slabshm_watch(slab, &ref[0], 0, 0));
	check("unwatch", slabshm_unwatch(slab, &ref[0]));
	show("publish, somebody did once", publishes(false));
	check("watch", slabshm_watch(slab, &ref[0], 0, 0));
	publish(&ref[0]);
	show("publish, a watcher that has not taken its event", publishes(false));
	check("events", slabshm_events(slab, &event, 1, 0));
	show("publish, and take the event", publishes(true));
	check("unwatch", slabshm_unwatch(slab, &ref[0]));
}

/*
 * ---------------- Round trips ----------------
 */

/**
 * struct game - a way to wake another process
 * @name: what is shown
 * @prepare: in both, before the first turn; may be NULL
 * @wake: let the other one go on; @me is 0 or 1
 * @sleep: until the other one has called @wake
 */
struct game {
	const char *name;
	void (*prepare)(int me);
	void (*wake)(int me);
	void (*sleep)(int me);
};

static uint64_t known;

static void cells_prepare(int me)
{
	if (me)
		check("open", slabshm_open(&slab, "bench-wait", 0, NULL));
}

static void cells_wake(int me)
{
	publish(&ref[me]);
}

static void cells_sleep(int me)
{
	int64_t version = slabshm_wait(slab, &ref[!me], known, -1);

	check("wait", version);
	known = (uint64_t)version;
}

static uint32_t *turn;

static void futex_wake(int me)
{
	__atomic_store_n(&turn[me], 1, __ATOMIC_RELEASE);
	syscall(SYS_futex, &turn[me], FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void futex_sleep(int me)
{
	while (!__atomic_exchange_n(&turn[!me], 0, __ATOMIC_ACQUIRE))
		syscall(SYS_futex, &turn[!me], FUTEX_WAIT, 0, NULL, NULL, 0);
}

static int efd[2];

static void eventfd_wake(int me)
{
	check("eventfd_write", eventfd_write(efd[me], 1));
}

static void eventfd_sleep(int me)
{
	eventfd_t count;

	check("eventfd_read", eventfd_read(efd[!me], &count));
}

static const struct game games[] = {
	{ "publish and wait", cells_prepare, cells_wake, cells_sleep },
	{ "futex", NULL, futex_wake, futex_sleep },
	{ "eventfd", NULL, eventfd_wake, eventfd_sleep },
};

static void on_cpu(int cpu)
{
	cpu_set_t set;

	if (!pin_cpus)
		return;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

/* One more turn each than is measured: then both are there. */
static double round_trip(const struct game *g)
{
	uint64_t best = UINT64_MAX, t;
	uint64_t versions[2];
	int i, k, status = 0;
	pid_t pid;

	for (i = 0; i < 2; i++)
		versions[i] = publish(&ref[i]);
	fflush(NULL);
	pid = fork();
	check("fork", pid);
	on_cpu(!pid);
	known = versions[!!pid];
	if (g->prepare)
		g->prepare(!pid);
	if (!pid) {
		for (i = 0; i < ROUNDS * LOOPS + 1; i++) {
			g->sleep(1);
			g->wake(1);
		}
		_exit(0);
	}
	g->wake(0);
	g->sleep(0);
	for (k = 0; k < ROUNDS; k++) {
		t = now();
		for (i = 0; i < LOOPS; i++) {
			g->wake(0);
			g->sleep(0);
		}
		t = now() - t;
		if (t < best)
			best = t;
	}
	waitpid(pid, &status, 0);
	check("the other process", status ? -EIO : 0);
	return (double)best / LOOPS;
}

int main(int argc, char **argv)
{
	bool smp = argc == 2 && !strcmp(argv[1], "smp");
	char name[64];
	unsigned int i;

	if (!smp && (argc != 2 || strcmp(argv[1], "insn"))) {
		fprintf(stderr, "usage: wait insn|smp\n");
		return 2;
	}
	pin_cpus = smp;
	check("open", slabshm_open(&slab, "bench-wait", SLABSHM_ATTACH_CREATE, NULL));
	check("cell", slabshm_cell_open(slab, "a", SLABSHM_CELL_CREATE, &ref[0]));
	check("cell", slabshm_cell_open(slab, "b", SLABSHM_CELL_CREATE, &ref[1]));
	turn = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	check("mmap", turn == MAP_FAILED ? -errno : 0);
	for (i = 0; i < 2; i++) {
		efd[i] = eventfd(0, 0);
		check("eventfd", efd[i]);
	}
	if (!smp)
		insn_publish();
	for (i = 0; i < sizeof(games) / sizeof(*games); i++) {
		snprintf(name, sizeof(name), "round trip of two processes, %s",
			 games[i].name);
		show(name, round_trip(&games[i]));
	}
	return 0;
}
