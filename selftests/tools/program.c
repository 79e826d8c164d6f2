// SPDX-License-Identifier: GPL-2.0
/*
 * A program to be built with a sanitizer, or run by valgrind: see
 * selftests/host/sanitizers.  Its first argument says what it does; "correct" is
 * what none of them may object to, and the others are what one of them must find.
 */
#include <pthread.h>
#include <sched.h>
#include <slabshm.h>
#include <stdio.h>
#include <stdlib.h>

#define CELLS	4
#define ROUNDS	300
#define SIZE	1000	/* of an object, of several cache lines */

static struct slabshm *s;
static struct slabshm_ref ref[CELLS];
static uint64_t protected;	/* by the lock of cell 0 */
static unsigned int told[4];	/* each stored before what tells of it */
static unsigned int heard;
static int stop;

static void must(int64_t ret)
{
	if (ret < 0) {
		fprintf(stderr, "%s\n", strerror((int)-ret));
		exit(100);
	}
}

static void fill(unsigned char *p, unsigned char value)
{
	unsigned int i;

	for (i = 0; i < SIZE; i++)
		p[i] = value;
}

static void lock(void)
{
	int ret = slabshm_lock(s, &ref[0], -1);

	if (ret == -EOWNERDEAD)
		ret = 0;
	must(ret);
	protected++;
}

static void count(void)
{
	lock();
	must(slabshm_unlock_consistent(s, &ref[0]));
}

/* Two do this, so that each replaces what the other has filled. */
static void *write_all(void *arg)
{
	unsigned char buf[SIZE];
	unsigned int i, k;
	int64_t offset;
	uint64_t next;

	(void)arg;
	for (i = 0; i < ROUNDS; i++) {
		k = i % CELLS;
		offset = slabshm_alloc(s, SIZE);
		must(offset);
		fill(slabshm_ptr(s, (uint64_t)offset), (unsigned char)i);
		must(slabshm_put(s, &ref[k], (uint64_t)offset, SIZE));
		fill(buf, (unsigned char)i);
		must(slabshm_assign(s, &ref[k], buf, SIZE));
		next = (uint64_t)slabshm_alloc(s, SIZE);
		fill(slabshm_ptr(s, next), (unsigned char)i);
		must(slabshm_update(s, &ref[k], &next, SIZE));
		must(slabshm_free(s, next));
		count();
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	return NULL;
}

static void *read_all(void *arg)
{
	unsigned char buf[SIZE];
	struct slabshm_view view;
	struct slabshm_pin pin;
	const unsigned char *p;
	unsigned int k = 0, i;

	(void)arg;
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		k = (k + 1) % CELLS;
		must(slabshm_pin(s, &pin));
		if (!slabshm_get(&pin, &ref[k], &view)) {
			p = view.data;
			for (i = 1; i < view.length; i++)
				if (p[i] != p[0])
					must(-EILSEQ);
		}
		must(slabshm_unpin(&pin));
		if (slabshm_read(s, &ref[k], buf, SIZE, NULL) == SIZE &&
		    buf[0] != buf[SIZE - 1])
			must(-EILSEQ);
		count();
	}
	return NULL;
}

/* A thread's first read, and an end with all that a thread can leave behind. */
static void *read_once(void *arg)
{
	unsigned char buf[SIZE];
	struct slabshm_view view;
	struct slabshm_pin pin;

	(void)arg;
	if (slabshm_read(s, &ref[1], buf, SIZE, NULL) == SIZE &&
	    buf[0] != buf[SIZE - 1])
		must(-EILSEQ);
	must(slabshm_pin(s, &pin));
	if (!slabshm_get(&pin, &ref[2], &view) &&
	    ((const char *)view.data)[0] != ((const char *)view.data)[SIZE - 1])
		must(-EILSEQ);
	lock();
	return NULL;
}

static void *start_readers(void *arg)
{
	pthread_t thread;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		pthread_create(&thread, NULL, read_once, NULL);
		pthread_join(thread, NULL);
	}
	return arg;
}

/*
 * A cell that is made, filled or removed, and a cancelled wait, say that something
 * was stored before.  That it was heard gives no order the other way.
 */
static void heard_one(unsigned int i)
{
	must(told[i] ? 0 : -EILSEQ);
	__atomic_store_n(&heard, i + 1, __ATOMIC_RELAXED);
}

static void *listen_all(void *arg)
{
	struct slabshm_ref cell;
	uint64_t version = 1;
	int ret;

	do {
		sched_yield();
		ret = slabshm_cell_open(s, "told", 0, &cell);
	} while (ret == -ENOENT);
	must(ret);
	heard_one(0);
	/* It may be filled between the two calls: the version of the second counts */
	do {
		must(slabshm_wait(s, &cell, version, -1));
	} while (slabshm_length(s, &cell, &version) < 0);
	heard_one(1);
	ret = (int)slabshm_wait(s, &cell, version, -1);
	must(ret == -EIDRM ? 0 : -EILSEQ);
	heard_one(2);
	ret = (int)slabshm_wait(s, &ref[0], *(const uint64_t *)arg, -1);
	must(ret == -ECANCELED ? 0 : -EILSEQ);
	heard_one(3);
	return NULL;
}

static void tell_one(unsigned int i)
{
	while (__atomic_load_n(&heard, __ATOMIC_RELAXED) < i)
		sched_yield();
	told[i] = 1;
}

static void tell_all(void)
{
	struct slabshm_ref cell;
	pthread_t thread;
	uint64_t version;
	int64_t offset;

	memset(told, 0, sizeof(told));
	heard = 0;
	must(slabshm_length(s, &ref[0], &version));
	pthread_create(&thread, NULL, listen_all, &version);
	tell_one(0);
	must(slabshm_cell_open(s, "told", SLABSHM_CELL_CREATE, &cell));
	offset = slabshm_alloc(s, SIZE);
	must(offset);
	tell_one(1);
	must(slabshm_put(s, &cell, (uint64_t)offset, SIZE));
	tell_one(2);
	must(slabshm_cell_remove(s, &cell));
	tell_one(3);
	must(slabshm_cancel(s, 1));
	pthread_join(thread, NULL);
	must(slabshm_cancel(s, 0));
}

static void correct(void)
{
	static void *(*const threads[])(void *) = {
		write_all, write_all, read_all, read_all, start_readers,
	};
	struct slabshm_event event[4];
	struct slabshm_block block[4];
	struct slabshm_cell_entry entry[2];
	pthread_t thread[sizeof(threads) / sizeof(*threads)];
	uint64_t cursor = 0, version;
	unsigned int i;
	int n;

	must(slabshm_watch(s, NULL, SLABSHM_WATCH_SINCE, 1));
	for (i = 0; i < sizeof(threads) / sizeof(*threads); i++)
		pthread_create(&thread[i], NULL, threads[i], NULL);
	for (i = 0; i < sizeof(threads) / sizeof(*threads); i++)
		pthread_join(thread[i], NULL);
	tell_all();
	/* What the kernel fills in is looked at */
	n = slabshm_events(s, event, 4, 0);
	must(n);
	while (n--)
		if (!event[n].version || event[n].flags)
			must(-EILSEQ);
	n = slabshm_list_cells(s, entry, 2, &cursor);
	must(n);
	while (n--)
		if (entry[n].name[0] != 'c')
			must(-EILSEQ);
	for (i = 0; i < 4; i++)
		block[i].size = SIZE;
	must(slabshm_alloc_batch(s, block, 4, 0, 0));
	for (i = 0; i < 4; i++)
		must(block[i].offset && block[i].size >= SIZE ?
		     slabshm_free(s, block[i].offset) : -EILSEQ);
	must(slabshm_read(s, &ref[0], NULL, 0, &version) == -ERANGE ? 0 : -EILSEQ);
	must(slabshm_wait(s, &ref[0], version - 1, 0));
	if (version > 1000000)
		must(-EILSEQ);
}

/* Two threads add without the lock. */
static void *add(void *arg)
{
	(void)arg;
	protected++;
	return NULL;
}

static void race(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, add, NULL);
	add(NULL);
	pthread_join(thread, NULL);
}

/* An object is changed after it was published. */
static void *look(void *arg)
{
	struct slabshm_view view;
	struct slabshm_pin pin;
	unsigned char *sum = arg;

	must(slabshm_pin(s, &pin));
	must(slabshm_get(&pin, &ref[1], &view));
	*sum = *(const unsigned char *)view.data;
	must(slabshm_unpin(&pin));
	return NULL;
}

static void late_store(void)
{
	unsigned char *p, sum;
	pthread_t thread;
	int64_t offset = slabshm_alloc(s, SIZE);

	must(offset);
	p = slabshm_ptr(s, (uint64_t)offset);
	fill(p, 1);
	must(slabshm_put(s, &ref[1], (uint64_t)offset, SIZE));
	pthread_create(&thread, NULL, look, &sum);
	p[0] = 2;
	pthread_join(thread, NULL);
}

static void overflow(void)
{
	int64_t offset = slabshm_alloc(s, 64);
	unsigned char *p;

	must(offset);
	p = slabshm_ptr(s, (uint64_t)offset);
	p[64] = 1;
}

static void use_after_free(void)
{
	int64_t offset = slabshm_alloc(s, SIZE);
	unsigned char *p;

	must(offset);
	p = slabshm_ptr(s, (uint64_t)offset);
	must(slabshm_free(s, (uint64_t)offset));
	p[SIZE / 2] = 1;
}

static const struct {
	const char *name;
	void (*run)(void);
} what[] = {
	{ "correct", correct },
	{ "race", race },
	{ "late-store", late_store },
	{ "overflow", overflow },
	{ "use-after-free", use_after_free },
};

int main(int argc, char **argv)
{
	unsigned int i, round;
	char name[16];

	/* Twice: the second mapping may lie where the first did */
	for (round = 0; argc == 2 && round < 2; round++) {
		must(slabshm_open(&s, NULL, SLABSHM_ATTACH_CREATE, NULL));
		for (i = 0; i < CELLS; i++) {
			snprintf(name, sizeof(name), "cell%u", i);
			must(slabshm_cell_open(s, name, SLABSHM_CELL_CREATE,
					       &ref[i]));
		}
		stop = 0;
		for (i = 0; i < sizeof(what) / sizeof(*what); i++)
			if (!strcmp(argv[1], what[i].name))
				what[i].run();
		slabshm_close(s);
	}
	return 0;
}
