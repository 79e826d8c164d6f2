// SPDX-License-Identifier: GPL-2.0
/*
 * A program to be built with a sanitizer, or run by valgrind: see
 * selftests/host/sanitizers.  Its first argument says what it does; "correct" is
 * what none of them may object to, and the others are what one of them must find.
 */
#include <pthread.h>
#include <slabshm.h>
#include <stdio.h>
#include <stdlib.h>

#define CELLS	4
#define ROUNDS	300
#define SIZE	1000	/* of an object, of several cache lines */

static struct slabshm *s;
static struct slabshm_ref ref[CELLS];
static uint64_t protected;	/* by the lock of cell 0 */
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
		must(slabshm_lock(s, &ref[0], -1));
		protected++;
		must(slabshm_unlock(s, &ref[0]));
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
		must(slabshm_lock(s, &ref[0], -1));
		protected++;
		must(slabshm_unlock(s, &ref[0]));
	}
	return NULL;
}

static void correct(void)
{
	struct slabshm_event event[4];
	struct slabshm_block block[4];
	struct slabshm_cell_entry entry[2];
	pthread_t thread[3];
	uint64_t cursor = 0, version;
	unsigned int i;
	int n;

	must(slabshm_watch(s, NULL, SLABSHM_WATCH_SINCE, 1));
	for (i = 0; i < 3; i++)
		pthread_create(&thread[i], NULL, i ? read_all : write_all, NULL);
	for (i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
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
