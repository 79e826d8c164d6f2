// SPDX-License-Identifier: GPL-2.0
/*
 * What reading costs, beside its peers, in one run.
 *
 *	read insn	with QEMU's -icount, one CPU, where a nanosecond is an
 *			instruction: instructions of an operation
 *	read smp	on two CPUs: reads a second by one and by two processes,
 *			publishes beside readers, and how long a replaced object
 *			waits for its space to be used again
 *
 * Each figure of 'insn' is the smallest of several rounds, less the loop.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#define _LGPL_SOURCE
#include <urcu/urcu-memb.h>

#include "bench.h"
#include "slabshm.h"

#define SIZE		256
#define ROUNDS		5
#define LOOPS		10000
#define SECONDS		1
#define SAMPLES		20000
#define READERS		"Readers, on several processors"

static struct slabshm *slab;
static struct slabshm_ref ref;
static char buf[SIZE];

static void set_up(const char *name)
{
	struct slabshm_options opt = { .max_size = 64 << 20 };

	memset(buf, 'x', sizeof(buf));
	check("open", slabshm_open(&slab, name, SLABSHM_ATTACH_CREATE, &opt));
	check("cell", slabshm_cell_open(slab, "cell", SLABSHM_CELL_CREATE,
					&ref));
	check("assign", slabshm_assign(slab, &ref, buf, sizeof(buf)));
}

/* A seqlock as one writes it by hand, around a pointer and around bytes. */
static struct {
	unsigned int seq;
	const char *pointer;
	char bytes[SIZE];
} seqlock;

static unsigned int seq_begin(void)
{
	unsigned int seq;

	do {
		seq = __atomic_load_n(&seqlock.seq, __ATOMIC_ACQUIRE);
	} while (seq & 1);
	return seq;
}

static bool seq_retry(unsigned int seq)
{
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return __atomic_load_n(&seqlock.seq, __ATOMIC_RELAXED) != seq;
}

/* What an operation works on; its own copy for each loop, in registers. */
struct ctx {
	const struct slabshm *s;
	const struct slabshm_ref *ref;
	size_t length;
};

static __always_inline void op_nothing(struct ctx *c)
{
	(void)c;
}

static __always_inline void op_pin(struct ctx *c)
{
	struct slabshm_view view;
	struct slabshm_pin pin;

	if (slabshm_pin(c->s, &pin) || slabshm_get(&pin, c->ref, &view))
		abort();
	use(view.data);
	if (slabshm_unpin(&pin))
		abort();
}

static __always_inline void op_pointer(struct ctx *c)
{
	const char *pointer;
	unsigned int seq;

	(void)c;
	do {
		seq = seq_begin();
		pointer = __atomic_load_n(&seqlock.pointer, __ATOMIC_RELAXED);
	} while (seq_retry(seq));
	use(pointer);
}

static __always_inline void op_urcu(struct ctx *c)
{
	(void)c;
	urcu_memb_read_lock();
	urcu_memb_read_unlock();
}

static __always_inline void op_urcu_pointer(struct ctx *c)
{
	urcu_memb_read_lock();
	op_pointer(c);
	urcu_memb_read_unlock();
}

static __always_inline void op_read(struct ctx *c)
{
	if (slabshm_read(c->s, c->ref, buf, c->length, NULL) != SIZE)
		abort();
}

static __always_inline void op_copy(struct ctx *c)
{
	unsigned int seq;

	do {
		seq = seq_begin();
		memcpy(buf, seqlock.bytes, c->length);
	} while (seq_retry(seq));
}

static __always_inline void op_memcpy(struct ctx *c)
{
	memcpy(buf, seqlock.bytes, c->length);
}

/* So many times the operation.  Each loop has the registers for itself. */
#define LOOP(op)							\
static __attribute__((noinline)) void loop_##op(const struct ctx *of)	\
{									\
	struct ctx c = *of;						\
	int i;								\
									\
	for (i = 0; i < LOOPS; i++) {					\
		op_##op(&c);						\
		__asm__ volatile("" ::: "memory");			\
	}								\
}

LOOP(nothing)
LOOP(pin)
LOOP(pointer)
LOOP(urcu)
LOOP(urcu_pointer)
LOOP(read)
LOOP(copy)
LOOP(memcpy)

/* Instructions of a round of the loop, the best of some. */
static double measure(void (*loop)(const struct ctx *c), const struct ctx *c)
{
	uint64_t best = UINT64_MAX, t;
	int k;

	for (k = 0; k < ROUNDS; k++) {
		t = now();
		loop(c);
		t = now() - t;
		if (t < best)
			best = t;
	}
	return (double)best / LOOPS;
}

static void show(const char *name, double cost)
{
	figure("Reading, less the loop", NULL, name, cost);
}

static int insn(void)
{
	struct ctx c = { .ref = &ref, .length = SIZE };
	double loop;

	/* Of a length that the compiler does not know */
	__asm__ ("" : "+r" (c.length));
	set_up("bench-insn");
	c.s = slab;
	urcu_memb_register_thread();
	loop = measure(loop_nothing, &c);
	show("slabshm pin + get + unpin", measure(loop_pin, &c) - loop);
	show("seqlock pointer", measure(loop_pointer, &c) - loop);
	show("liburcu-memb lock + unlock", measure(loop_urcu, &c) - loop);
	show("liburcu-memb lock + seqlock pointer + unlock",
	     measure(loop_urcu_pointer, &c) - loop);
	show("slabshm read, 256 bytes", measure(loop_read, &c) - loop);
	show("seqlock copy, 256 bytes", measure(loop_copy, &c) - loop);
	show("memcpy, 256 bytes", measure(loop_memcpy, &c) - loop);
	urcu_memb_unregister_thread();
	return 0;
}

static struct {
	uint64_t done[2];
	uint64_t stop;
} *shared;

/* A process that does nothing but the loop, until it is to stop. */
static void worker(void (*loop)(const struct ctx *c), int i)
{
	struct ctx c = { .ref = &ref, .length = SIZE };
	uint64_t n = 0;

	check("open", slabshm_open(&slab, "bench-smp", SLABSHM_ATTACH_RDONLY,
				   NULL));
	__asm__ ("" : "+r" (c.length));
	c.s = slab;
	urcu_memb_register_thread();
	while (!__atomic_load_n(&shared->stop, __ATOMIC_RELAXED)) {
		loop(&c);
		n += LOOPS;
	}
	shared->done[i] = n;
	_exit(0);
}

static double per_second(void (*loop)(const struct ctx *c), int n)
{
	uint64_t t = now(), sum = 0;
	int i, status, bad = 0;

	memset(shared, 0, sizeof(*shared));
	for (i = 0; i < n; i++) {
		if (!fork())
			worker(loop, i);
	}
	sleep(SECONDS);
	__atomic_store_n(&shared->stop, 1, __ATOMIC_RELAXED);
	while (wait(&status) > 0)
		bad |= status;
	check("worker", bad ? -EIO : 0);
	t = now() - t;
	for (i = 0; i < n; i++)
		sum += shared->done[i];
	return (double)sum * 1e9 / (double)t;
}

/* How many times as much two processes do as one, the best of some rounds. */
static void show_scaling(const char *name, void (*loop)(const struct ctx *c))
{
	double one = 0, two = 0, rate;
	char text[96];
	int k;

	for (k = 0; k < 3; k++) {
		rate = per_second(loop, 1);
		if (rate > one)
			one = rate;
		rate = per_second(loop, 2);
		if (rate > two)
			two = rate;
	}
	snprintf(text, sizeof(text), "%s, by 2 for one by 1", name);
	figure(READERS, "times", text, two / one);
}

/* Threads that have a slot, and sleep. */
static pthread_barrier_t ready;
static pthread_mutex_t done = PTHREAD_MUTEX_INITIALIZER;

static void *idle_reader(void *unused)
{
	struct slabshm_pin pin;

	(void)unused;
	check("pin", slabshm_pin(slab, &pin));
	check("unpin", slabshm_unpin(&pin));
	pthread_barrier_wait(&ready);
	pthread_mutex_lock(&done);
	pthread_mutex_unlock(&done);
	return NULL;
}

static double publish_us(unsigned int readers)
{
	pthread_t *thread = calloc(readers + 1, sizeof(*thread));
	unsigned int i, n = 5000;
	pthread_attr_t attr;
	uint64_t t;

	check("memory", thread ? 0 : -ENOMEM);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	pthread_barrier_init(&ready, NULL, readers + 1);
	pthread_mutex_lock(&done);
	for (i = 0; i < readers; i++)
		check("thread", -pthread_create(&thread[i], &attr, idle_reader,
						NULL));
	pthread_barrier_wait(&ready);
	t = now();
	for (i = 0; i < n; i++)
		check("assign", slabshm_assign(slab, &ref, buf, sizeof(buf)));
	t = now() - t;
	pthread_mutex_unlock(&done);
	for (i = 0; i < readers; i++)
		pthread_join(thread[i], NULL);
	pthread_barrier_destroy(&ready);
	free(thread);
	return (double)t / n / 1000;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/*
 * Each publish retires one object, and these are reclaimed in order: so the
 * oldest one that waits was retired as many publishes ago as there are.
 */
static void reclaim_delay(void)
{
	static uint64_t when[SAMPLES], publishes[SAMPLES], ns[SAMPLES];
	struct slabshm_stat st;
	unsigned int i;

	for (i = 0; i < SAMPLES; i++) {
		check("assign", slabshm_assign(slab, &ref, buf, sizeof(buf)));
		when[i] = now();
		check("stat", slabshm_stat(slab, &st));
		publishes[i] = st.retired_blocks;
		if (st.retired_blocks && st.retired_blocks <= i)
			ns[i] = now() - when[i - st.retired_blocks + 1];
	}
	qsort(publishes, SAMPLES, sizeof(*publishes), compare);
	qsort(ns, SAMPLES, sizeof(*ns), compare);
	figure(READERS, "publishes", "the oldest object that waits for reclaim, median",
	       (double)publishes[SAMPLES / 2]);
	figure(READERS, "publishes", "the oldest object that waits for reclaim, worst",
	       (double)publishes[SAMPLES - 1]);
	figure(READERS, "ms", "the same, median", (double)ns[SAMPLES / 2] / 1e6);
	figure(READERS, "ms", "the same, worst", (double)ns[SAMPLES - 1] / 1e6);
}

static int smp(void)
{
	static const unsigned int readers[] = { 0, 10, 1000 };
	char text[96];
	size_t i;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	check("mmap", shared == MAP_FAILED ? -errno : 0);
	set_up("bench-smp");
	show_scaling("counting", loop_nothing);
	show_scaling("slabshm pin + get + unpin", loop_pin);
	show_scaling("liburcu-memb lock + seqlock pointer + unlock",
		     loop_urcu_pointer);
	show_scaling("slabshm read, 256 bytes", loop_read);
	show_scaling("seqlock copy, 256 bytes", loop_copy);
	show_scaling("memcpy, 256 bytes", loop_memcpy);
	for (i = 0; i < COUNT(readers); i++) {
		snprintf(text, sizeof(text),
			 "publish of 256 bytes beside %u registered readers", readers[i]);
		figure(READERS, "us", text, publish_us(readers[i]));
	}
	reclaim_delay();
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "insn"))
		return insn();
	if (argc == 2 && !strcmp(argv[1], "smp"))
		return smp();
	fprintf(stderr, "usage: read insn|smp\n");
	return 2;
}
