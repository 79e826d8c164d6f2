// SPDX-License-Identifier: GPL-2.0
/*
 * Hostile concurrency: threads of one client that fight over its blocks and its
 * life, and processes that fight over space, names and cells. Who must win wins
 * once, everybody makes progress, and in the end nothing is missing.
 */
#include <pthread.h>

#include "object.h"

#include "kselftest_harness.h"

WITHOUT_CACHE()

#define THREADS		3
#define BLOCKS		SLABSHM_BATCH_MAX

static long long ends(long long ms)
{
	return now_ms() + test_ms(ms);
}

/*
 * ---------------- Threads over the same blocks ----------------
 */

/**
 * struct fight - what threads of one client fight over
 * @s: the client
 * @ref: a cell for each thread
 * @shared: a cell of all
 * @block: each is for one to have
 * @winners: how many have had it
 * @barrier: the threads and the one that sets up each round
 * @over: no more rounds
 * @strange: something that must not happen
 */
struct fight {
	struct slabshm *s;
	struct slabshm_ref ref[THREADS];
	struct slabshm_ref shared;
	struct slabshm_block block[BLOCKS];
	unsigned int winners[BLOCKS];
	pthread_barrier_t barrier;
	bool over;
	unsigned int strange;
};

struct fighter {
	struct fight *f;
	unsigned int number;
	pthread_t thread;
	void (*fn)(struct fighter *me, unsigned int i, uint64_t *seed);
};

static void won(struct fight *f, unsigned int i)
{
	__atomic_add_fetch(&f->winners[i], 1, __ATOMIC_RELAXED);
}

static void expect(struct fighter *me, bool fine, const char *what,
		   int64_t ret)
{
	if (fine)
		return;
	fprintf(stderr, "# %s gave %lld\n", what, (long long)ret);
	__atomic_add_fetch(&me->f->strange, 1, __ATOMIC_RELAXED);
}

static void try_free(struct fighter *me, unsigned int i, uint64_t *seed)
{
	int ret = slabshm_free(me->f->s, me->f->block[i].offset);

	(void)seed;
	if (!ret)
		won(me->f, i);
	/* Claimed by one that is just about it, or free already */
	expect(me, !ret || ret == -EBUSY || ret == -EINVAL, "free", ret);
}

static void try_put(struct fighter *me, unsigned int i, uint64_t *seed)
{
	struct fight *f = me->f;
	int64_t ret;

	(void)seed;
	ret = slabshm_put(f->s, &f->ref[me->number], f->block[i].offset, 64);
	if (ret > 0)
		won(f, i);
	/* Published, or published and replaced already */
	expect(me, ret > 0 || ret == -EBUSY || ret == -EINVAL, "put", ret);
}

/* Several blocks in one call: all are won, or none. */
static void try_parts(struct fighter *me, unsigned int i, uint64_t *seed)
{
	struct fight *f = me->f;
	struct slabshm_publish_part part[4] = { 0 };
	struct slabshm_publish_cell item = {
		.cell = f->ref[me->number].cell,
		.generation = f->ref[me->number].generation,
		.flags = SLABSHM_PUBLISH_KEEP,
	};
	unsigned int k, n = 1 + any(seed) % 4;
	int64_t ret;

	for (k = 0; k < n; k++) {
		part[k].op = SLABSHM_PART_ATTACH;
		part[k].block = f->block[(i + k * 7) % BLOCKS].offset;
	}
	ret = slabshm_publish(f->s, &item, 1, part, n, NULL);
	for (k = 0; ret > 0 && k < n; k++)
		won(f, (i + k * 7) % BLOCKS);
	expect(me, ret > 0 || ret == -EBUSY || ret == -EINVAL, "parts", ret);
}

static void try_any(struct fighter *me, unsigned int i, uint64_t *seed)
{
	switch (any(seed) % 3) {
	case 0:
		try_free(me, i, seed);
		break;
	case 1:
		try_put(me, i, seed);
		break;
	default:
		try_parts(me, i, seed);
	}
}

/* The blocks are parts of one object now: who drops them? */
static void try_drop(struct fighter *me, unsigned int i, uint64_t *seed)
{
	struct fight *f = me->f;
	struct slabshm_publish_part part = {
		.op = SLABSHM_PART_DROP,
		.block = f->block[i].offset,
	};
	struct slabshm_publish_cell item = {
		.cell = f->shared.cell,
		.generation = f->shared.generation,
		.flags = SLABSHM_PUBLISH_KEEP,
	};
	int64_t ret;

	(void)seed;
	ret = slabshm_publish(f->s, &item, 1, &part, 1, NULL);
	if (ret > 0)
		won(f, i);
	expect(me, ret > 0 || ret == -EINVAL, "drop", ret);
}

static void *fight(void *arg)
{
	struct fighter *me = arg;
	struct fight *f = me->f;
	uint64_t seed = any_seed(me->number);
	unsigned int i, first;

	for (;;) {
		pthread_barrier_wait(&f->barrier);
		if (f->over)
			return NULL;
		/* Now side by side, now from different ends */
		first = any(&seed) % 2 ? 0 : any(&seed) % BLOCKS;
		for (i = 0; i < BLOCKS; i++)
			me->fn(me, (first + i) % BLOCKS, &seed);
		pthread_barrier_wait(&f->barrier);
	}
}

FIXTURE(threads)
{
	struct fight f;
	struct fighter fighter[THREADS];
};

FIXTURE_VARIANT(threads)
{
	void (*fn)(struct fighter *me, unsigned int i, uint64_t *seed);
	bool draws;	/* calls may be in each other's way, so that none wins */
};

FIXTURE_VARIANT_ADD(threads, free)
{
	.fn = try_free,
};

FIXTURE_VARIANT_ADD(threads, publish)
{
	.fn = try_put,
};

FIXTURE_VARIANT_ADD(threads, attach)
{
	.fn = try_parts, .draws = true,
};

FIXTURE_VARIANT_ADD(threads, all)
{
	.fn = try_any, .draws = true,
};

FIXTURE_VARIANT_ADD(threads, drop)
{
	.fn = try_drop,
};

FIXTURE_SETUP(threads)
{
	struct fight *f = &self->f;
	unsigned int i;
	char name[16];

	ASSERT_EQ(0, slab_open(&f->s, 16 * MIB, MIB));
	for (i = 0; i < THREADS; i++) {
		snprintf(name, sizeof(name), "cell%u", i);
		ASSERT_EQ(0, slabshm_cell_open(f->s, name, SLABSHM_CELL_CREATE,
					       &f->ref[i]));
		self->fighter[i].f = f;
		self->fighter[i].number = i;
		self->fighter[i].fn = variant->fn;
	}
	ASSERT_EQ(0, slabshm_cell_open(f->s, "shared", SLABSHM_CELL_CREATE,
				       &f->shared));
	ASSERT_EQ(0, pthread_barrier_init(&f->barrier, NULL, THREADS + 1));
}

FIXTURE_TEARDOWN(threads)
{
	slabshm_close(self->f.s);
}

/* All blocks become parts of the shared cell's object. */
static int64_t attach_all(struct fight *f)
{
	struct slabshm_publish_part part[BLOCKS] = { 0 };
	struct slabshm_publish_cell item = {
		.cell = f->shared.cell,
		.generation = f->shared.generation,
		.flags = SLABSHM_PUBLISH_KEEP,
	};
	unsigned int i;

	for (i = 0; i < BLOCKS; i++) {
		part[i].op = SLABSHM_PART_ATTACH;
		part[i].block = f->block[i].offset;
	}
	return slabshm_publish(f->s, &item, 1, part, BLOCKS, NULL);
}

TEST_F_TIMEOUT(threads, one_wins, 200)
{
	struct fight *f = &self->f;
	long long end = ends(500);
	unsigned int i, rounds = 0, draws = 0;
	struct slabshm_stat st;
	struct holdings h;

	for (i = 0; i < THREADS; i++)
		ASSERT_EQ(0, pthread_create(&self->fighter[i].thread, NULL,
					    fight, &self->fighter[i]));
	while (now_ms() < end && !_metadata->exit_code) {
		for (i = 0; i < BLOCKS; i++) {
			/* Small ones share a run, large ones do not */
			f->block[i].size = i % 8 ? 64 : 20000;
			f->winners[i] = 0;
		}
		ASSERT_EQ(0, slabshm_alloc_batch(f->s, f->block, BLOCKS, 0, 0));
		if (variant->fn == try_drop)
			ASSERT_LT(0, attach_all(f));
		pthread_barrier_wait(&f->barrier);
		/* They fight */
		pthread_barrier_wait(&f->barrier);
		for (i = 0; i < BLOCKS; i++) {
			EXPECT_GE(1, f->winners[i]);
			if (f->winners[i])
				continue;
			/* Then it is ours as before */
			EXPECT_TRUE(variant->draws);
			EXPECT_EQ(0, slabshm_free(f->s, f->block[i].offset));
			draws++;
		}
		EXPECT_EQ(0, f->strange);

		ASSERT_EQ(0, slabshm_stat(f->s, &st));
		ASSERT_EQ(0, cells_hold(f->s, &h));
		EXPECT_EQ(h.bytes, st.live);
		EXPECT_EQ(h.blocks, st.blocks);
		for (i = 0; i < THREADS; i++)
			EXPECT_LT(0, slabshm_put(f->s, &f->ref[i], 0, 0));
		EXPECT_EQ(0, live_bytes(f->s));
		rounds++;
	}
	f->over = true;
	pthread_barrier_wait(&f->barrier);
	for (i = 0; i < THREADS; i++)
		pthread_join(self->fighter[i].thread, NULL);
	TH_LOG("%u rounds, %u draws", rounds, draws);
	EXPECT_GT(rounds, 0);
	EXPECT_TRUE(wait_until(!retired_bytes(f->s), 5000));
	ASSERT_EQ(0, slabshm_stat(f->s, &st));
	EXPECT_EQ(st.backed, st.free);
}

/*
 * ---------------- Threads over the client's life ----------------
 */

struct life {
	struct slabshm *parents;
	struct client c;
	struct slabshm_cell_open_args cell;
	bool over;
};

static bool in_life(struct life *l)
{
	return !__atomic_load_n(&l->over, __ATOMIC_RELAXED);
}

static bool dead(int ret)
{
	/* Ended; closed; or the number is another descriptor's meanwhile */
	return ret == -ENXIO || ret == -EBADF || ret == -ENOTTY;
}

static void *allocate_and_free(void *arg)
{
	struct life *l = arg;
	struct slabshm_block block[8];
	unsigned int i;
	int ret;

	while (in_life(l)) {
		for (i = 0; i < 8; i++)
			block[i].size = 64 << i;
		ret = alloc_blocks(&l->c, block, 8, 0, 0);
		must(!ret || dead(ret));
		for (i = 0; !ret && i < 4; i++) {
			ret = free_block(&l->c, block[i].offset);
			must(!ret || dead(ret));
		}
		/* The rest is left to the end of the client */
	}
	return NULL;
}

static void *publish_parts(void *arg)
{
	struct life *l = arg;
	struct slabshm_publish_part part = { .op = SLABSHM_PART_ATTACH };
	struct slabshm_publish_cell item = {
		.cell = l->cell.cell,
		.generation = l->cell.generation,
	};
	__s64 block[2];
	int ret;

	while (in_life(l)) {
		block[0] = alloc_block(&l->c, 64);
		block[1] = alloc_block(&l->c, 5000);
		must(block[0] > 0 || dead((int)block[0]));
		must(block[1] > 0 || dead((int)block[1]));
		if (block[0] < 0 || block[1] < 0)
			continue;
		item.block = (__u64)block[0];
		item.length = 64;
		part.block = (__u64)block[1];
		item.flags = item.flags ? 0 : SLABSHM_PUBLISH_DROP_ALL;
		ret = publish(&l->c, &item, 1, &part, 1, NULL, NULL);
		must(!ret || dead(ret));
	}
	return NULL;
}

static void *grow_and_trim(void *arg)
{
	struct life *l = arg;
	struct slabshm_stat st;
	int ret;

	while (in_life(l)) {
		ret = grow(&l->c, 2 * MIB, NULL);
		must(!ret || dead(ret));
		ret = trim(&l->c, 0, NULL);
		must(!ret || dead(ret));
		ret = get_stat(&l->c, &st);
		must(!ret || dead(ret));
	}
	return NULL;
}

/* Make and lose mappings of the reader region: once lost, lost for ever. */
static void *map_again(void *arg)
{
	struct life *l = arg;
	void *p;

	while (in_life(l)) {
		p = mmap(NULL, l->c.at.reader_size, PROT_READ | PROT_WRITE,
			 MAP_SHARED, l->c.fd, (off_t)l->c.at.reader_offset);
		if (p == MAP_FAILED) {
			must(errno == ENXIO || errno == EBADF ||
			     errno == ENODEV);
			continue;
		}
		munmap(p, l->c.at.reader_size);
	}
	return NULL;
}

static int live_and_die(void *arg)
{
	void *(*const does[])(void *) = {
		allocate_and_free, publish_parts, grow_and_trim, map_again,
	};
	static struct life l;
	uint64_t seed = any_seed(1);
	pthread_t thread[ARRAY_LEN(does)];
	unsigned int i;

	l.parents = arg;
	must_do(client_open_fd(&l.c, slabshm_fd(l.parents), 0));
	must_do(cell_open(&l.c, "cell", SLABSHM_CELL_CREATE, &l.cell));
	for (i = 0; i < ARRAY_LEN(does); i++)
		must(!pthread_create(&thread[i], NULL, does[i], &l));
	usleep(any(&seed) % 8000);
	switch (any(&seed) % 5) {
	case 0:
		munmap(l.c.reader, l.c.at.reader_size);
		break;
	case 1:
		/* With a mapping, it lives without */
		close(l.c.fd);
		usleep(any(&seed) % 2000);
		munmap(l.c.reader, l.c.at.reader_size);
		break;
	case 2:
		munmap(l.c.reader, l.c.at.reader_size);
		close(l.c.fd);
		munmap(l.c.control, l.c.at.control_size);
		munmap(l.c.data, l.c.at.max_size);
		break;
	case 3:
		_exit(0);
	default:
		raise(SIGKILL);
	}
	usleep(any(&seed) % 2000);
	l.over = true;
	for (i = 0; i < ARRAY_LEN(does); i++)
		pthread_join(thread[i], NULL);
	return 0;
}

static uint64_t number_of_clients(struct slabshm *s)
{
	struct slabshm_stat st;

	return slabshm_stat(s, &st) ? UINT64_MAX : st.clients;
}

FIXTURE(slab)
{
	struct slabshm *s;
};

FIXTURE_SETUP(slab)
{
	ASSERT_EQ(0, slab_open(&self->s, 16 * MIB, MIB));
}

FIXTURE_TEARDOWN(slab)
{
	slabshm_close(self->s);
}

TEST_F_TIMEOUT(slab, end_among_calls, 200)
{
	long long end = ends(1500);
	unsigned int rounds = 0;
	struct slabshm_stat st;
	struct holdings h;
	int ret;

	while (now_ms() < end && !_metadata->exit_code) {
		ret = in_child(live_and_die, self->s);
		EXPECT_TRUE(!ret || ret == -SIGKILL);
		EXPECT_TRUE(wait_until(number_of_clients(self->s) == 1, 10000));
		ASSERT_EQ(0, cells_hold(self->s, &h));
		EXPECT_EQ(h.bytes, live_bytes(self->s));
		rounds++;
	}
	TH_LOG("%u rounds", rounds);
	EXPECT_GT(rounds, 0);
	EXPECT_EQ(0, slabshm_cell_remove_name(self->s, "cell"));
	EXPECT_TRUE(wait_until(!retired_bytes(self->s), 5000));
	ASSERT_EQ(0, slabshm_stat(self->s, &st));
	EXPECT_EQ(0, st.live);
	EXPECT_EQ(st.backed, st.free);
}

/* Two threads attach one descriptor, and a third one uses it. */
struct attaching {
	int fd;
	__u32 client;
	int results[2];
	pthread_barrier_t barrier;
};

static void *attach_it(void *arg)
{
	struct attaching *a = arg;
	struct slabshm_attach_args ask;
	int i, ret;

	ask_attach(&ask, NULL, SLABSHM_ATTACH_CREATE, MIB, 64 * KIB);
	i = pthread_barrier_wait(&a->barrier) == PTHREAD_BARRIER_SERIAL_THREAD;
	ret = call(a->fd, SLABSHM_IOC_ATTACH, &ask);
	if (!ret)
		__atomic_store_n(&a->client, ask.client, __ATOMIC_RELAXED);
	__atomic_store_n(&a->results[i], ret, __ATOMIC_RELAXED);
	return NULL;
}

TEST(attach_twice)
{
	long long end = ends(300);
	struct attaching a = { .fd = -1 };
	struct slabshm_stat st;
	struct client c = { 0 };
	pthread_t thread[2];
	unsigned int i;
	int ret;

	ASSERT_EQ(0, pthread_barrier_init(&a.barrier, NULL, 2));
	while (now_ms() < end && !_metadata->exit_code) {
		a.fd = open_device();
		ASSERT_GE(a.fd, 0);
		c.fd = a.fd;
		for (i = 0; i < 2; i++)
			ASSERT_EQ(0, pthread_create(&thread[i], NULL, attach_it,
						    &a));
		/* It most likely has the number after the last one */
		c.at.client = a.client + 1;
		ret = get_stat(&c, &st);
		EXPECT_TRUE(!ret || ret == -ENOTCONN);
		for (i = 0; i < 2; i++)
			pthread_join(thread[i], NULL);
		EXPECT_EQ(-EISCONN, a.results[0] + a.results[1]);
		c.at.client = a.client;
		EXPECT_EQ(0, get_stat(&c, &st));
		EXPECT_EQ(1, st.clients);
		close(a.fd);
	}
}

/*
 * ---------------- Processes over the space of a small slab ----------------
 */

#define PROCESSES	8
#define SMALL		(2 * MIB)

struct crowd {
	struct slabshm *s;
	const char *name;
	int stop;
	unsigned int joined;
	struct {
		uint64_t done;
		uint64_t full;
		uint64_t slowest_ms;
	} of[PROCESSES];
	unsigned char created[4096];
};

static bool going_on(const struct crowd *c)
{
	return !__atomic_load_n(&c->stop, __ATOMIC_RELAXED);
}

static unsigned int join(struct crowd *c)
{
	return __atomic_fetch_add(&c->joined, 1, __ATOMIC_RELAXED);
}

static int take_space(void *arg)
{
	struct crowd *c = arg;
	unsigned int me = join(c), n = 0, i;
	struct slabshm *s = child_open(c->s);
	uint64_t seed = any_seed(me), who, seq, took;
	struct slabshm_block have[16], block;
	struct slabshm_ref ref;
	char name[16];
	long long began;
	int ret;

	snprintf(name, sizeof(name), "cell%u", me);
	must_do(slabshm_cell_open(s, name, SLABSHM_CELL_CREATE, &ref));
	while (going_on(c)) {
		began = now_ms();
		if (me == 0 && any(&seed) % 2)
			must_do(slabshm_trim(s, any(&seed) % SMALL));
		if (me == 1 && any(&seed) % 2)
			must_do(slabshm_grow(s, any(&seed) % SMALL));
		block.size = 64ULL << any(&seed) % 13;
		ret = slabshm_alloc_batch(s, &block, 1, 0, 0);
		must(!ret || ret == -ENOSPC);
		if (!ret) {
			must(block.offset + block.size <= SMALL);
			object_fill(slabshm_ptr(s, block.offset), block.size,
				    me, block.offset);
			have[n++] = block;
			c->of[me].done++;
		} else {
			c->of[me].full++;
		}
		/* On ENOSPC give some back, in one way or another */
		while (n && (n == 16 || ret)) {
			ret = 0;
			i = any(&seed) % n;
			block = have[i];
			have[i] = have[--n];
			must(!object_wrong(slabshm_ptr(s, block.offset),
					   block.size, &who, &seq));
			must(who == me && seq == block.offset);
			if (any(&seed) % 4) {
				must_do(slabshm_free(s, block.offset));
			} else {
				must_do(slabshm_put(s, &ref, block.offset, 64));
				must_do(slabshm_put(s, &ref, 0, 0));
			}
		}
		took = (uint64_t)(now_ms() - began);
		if (took > c->of[me].slowest_ms)
			c->of[me].slowest_ms = took;
	}
	slabshm_close(s);
	return 0;
}

FIXTURE(crowd)
{
	struct crowd *c;
	pid_t pid[PROCESSES];
};

FIXTURE_SETUP(crowd)
{
	struct slabshm_options opt = {
		.max_size = SMALL,
		.size = 64 * KIB,
		.max_cells = PROCESSES,
	};

	self->c = shared_memory(sizeof(*self->c));
	ASSERT_NE(NULL, self->c);
	self->c->name = unique_name();
	ASSERT_EQ(0, slabshm_open(&self->c->s, NULL, SLABSHM_ATTACH_CREATE,
				  &opt));
}

FIXTURE_TEARDOWN(crowd)
{
	slabshm_close(self->c->s);
	slabshm_unlink(self->c->name);
}

static uint64_t done_by_all(const struct crowd *c)
{
	uint64_t done = 0;
	unsigned int i;

	for (i = 0; i < PROCESSES; i++)
		done += __atomic_load_n(&c->of[i].done, __ATOMIC_RELAXED);
	return done;
}

/* They run for a while, and on a slow kernel until they did something. */
static void gather(struct __test_metadata *_metadata, struct crowd *c,
		   int (*fn)(void *arg), long long ms)
{
	pid_t pid[PROCESSES];
	unsigned int i;

	for (i = 0; i < PROCESSES; i++)
		pid[i] = start_child(fn, c);
	sleep_ms(test_ms(ms));
	EXPECT_TRUE(wait_until(done_by_all(c) > 100 || !going_on(c), 60000));
	__atomic_store_n(&c->stop, 1, __ATOMIC_RELAXED);
	for (i = 0; i < PROCESSES; i++)
		EXPECT_EQ(0, end_child(pid[i]));
}

TEST_F_TIMEOUT(crowd, space, 200)
{
	uint64_t full = 0, slowest = 0, trimmed;
	struct crowd *c = self->c;
	struct slabshm_stat st;
	unsigned int i;

	gather(_metadata, c, take_space, 1500);
	for (i = 0; i < PROCESSES; i++) {
		EXPECT_GT(c->of[i].done, 0);
		full += c->of[i].full;
		if (c->of[i].slowest_ms > slowest)
			slowest = c->of[i].slowest_ms;
	}
	TH_LOG("%llu allocations, %llu times full, slowest %llu ms",
	       (unsigned long long)done_by_all(c), (unsigned long long)full,
	       (unsigned long long)slowest);
	EXPECT_GT(full, 0);
	EXPECT_GT(slowly(20000), slowest);
	EXPECT_TRUE(wait_until(!live_bytes(c->s), 5000));
	EXPECT_TRUE(wait_until(!retired_bytes(c->s), 5000));
	ASSERT_EQ(0, slabshm_stat(c->s, &st));
	EXPECT_EQ(1, st.clients);
	EXPECT_EQ(st.backed, st.free);
	trimmed = (uint64_t)slabshm_trim(c->s, 0);
	EXPECT_EQ(st.backed, trimmed);
	EXPECT_EQ((int64_t)PAGE, slabshm_alloc(c->s, SMALL - PAGE));
	ASSERT_EQ(0, slabshm_stat(c->s, &st));
	EXPECT_EQ(SMALL - PAGE, st.live);
	EXPECT_EQ(SMALL - PAGE, st.backed);
}

/*
 * ---------------- Processes over one name ----------------
 */

static int take_name(void *arg)
{
	struct crowd *c = arg;
	unsigned int me = join(c);
	uint64_t seed = any_seed(me);
	struct slabshm_attach_args ask;
	struct slabshm_cell_open_args handle;
	struct slabshm_stat st;
	struct client cl;
	unsigned int flags;
	__s64 block;
	__u64 last = 0;
	int ret;

	slabshm_close(c->s);
	while (going_on(c)) {
		flags = 0;
		switch (any(&seed) % 6) {
		case 0:
			ret = unlink_slab(c->name);
			must(!ret || ret == -ENOENT);
			continue;
		case 1:
			flags = SLABSHM_ATTACH_CREATE | SLABSHM_ATTACH_EXCL;
			break;
		case 2:
			flags = SLABSHM_ATTACH_CREATE | SLABSHM_ATTACH_PERSIST;
			break;
		case 3:
		case 4:
			flags = SLABSHM_ATTACH_CREATE;
			break;
		}
		ask_attach(&ask, c->name, flags, 4 * MIB, 64 * KIB);
		ret = client_open_ask(&cl, &ask);
		if (ret) {
			must(ret == (flags & SLABSHM_ATTACH_EXCL ? -EEXIST :
							      -ENOENT));
			must(ret == -EEXIST || !flags);
			continue;
		}
		/* Each slab was made by one alone */
		must(cl.at.id == cl.control->id);
		if (cl.at.result & SLABSHM_ATTACHED_CREATED) {
			must(flags);
			must(cl.at.id > last);
			must(!__atomic_fetch_add(&c->created[cl.at.id % 4096],
						 1, __ATOMIC_RELAXED));
		} else {
			must(!(flags & SLABSHM_ATTACH_EXCL));
		}
		last = cl.at.id;
		must_do(get_stat(&cl, &st));
		must(st.id == cl.at.id && !strcmp(st.name, c->name));
		must_do(alloc_block(&cl, 1000));
		must_do(cell_open(&cl, "cell", SLABSHM_CELL_CREATE, &handle));
		must(handle.cell == 0 && handle.generation == 1);
		block = must_do(alloc_block(&cl, 64));
		must_do(publish_one(&cl, &handle, (__u64)block, 1));
		c->of[me].done++;
		/* An id comes again here after 4096 others */
		if (last > 4000)
			__atomic_store_n(&c->stop, 1, __ATOMIC_RELAXED);
		client_close(&cl);
	}
	return 0;
}

TEST_F_TIMEOUT(crowd, name, 200)
{
	struct crowd *c = self->c;
	unsigned int i, slabs = 0;
	long refs;

	refs = module_refs();
	gather(_metadata, c, take_name, 1500);
	for (i = 0; i < ARRAY_SIZE(c->created); i++)
		slabs += c->created[i];
	TH_LOG("%llu clients, %u slabs", (unsigned long long)done_by_all(c),
	       slabs);
	EXPECT_GT(slabs, 5);
	slabshm_unlink(c->name);
	EXPECT_FALSE(slab_listed(c->name, NULL));
	EXPECT_TRUE(wait_until(module_refs() == refs, 10000));
}

/*
 * ---------------- Processes over one cell ----------------
 */

static int take_cell(void *arg)
{
	struct crowd *c = arg;
	unsigned int me = join(c), flags;
	struct slabshm *s = child_open(c->s);
	uint64_t seed = any_seed(me), version = 0;
	struct slabshm_ref ref;
	int64_t block, ret;

	while (going_on(c)) {
		flags = 0;
		if (any(&seed) % 3)
			flags |= SLABSHM_CELL_CREATE;
		if (flags && any(&seed) % 2)
			flags |= SLABSHM_CELL_EXCL;
		ret = slabshm_cell_open(s, "one", flags, &ref);
		if (ret) {
			must(ret == (flags ? -EEXIST : -ENOENT));
			continue;
		}
		/* Only one gets a new cell */
		if (flags & SLABSHM_CELL_EXCL) {
			must(ref.cell == 0);
			must(!__atomic_fetch_add(&c->created[ref.generation %
						 4096], 1, __ATOMIC_RELAXED));
			if (ref.generation > 4000)
				__atomic_store_n(&c->stop, 1, __ATOMIC_RELAXED);
		}
		block = must_do(slabshm_alloc(s, 64 << any(&seed) % 6));
		ret = slabshm_put(s, &ref, (uint64_t)block, 1);
		must(ret > 0 || ret == -EIDRM);
		if (ret < 0)
			must_do(slabshm_free(s, (uint64_t)block));
		else if (slabshm_length(s, &ref, &version) != -EIDRM)
			must(version >= (uint64_t)ret);
		if (any(&seed) % 2) {
			ret = slabshm_cell_remove(s, &ref);
			must(!ret || ret == -EIDRM);
			must(slabshm_cell_remove(s, &ref) == -EIDRM);
			must(slabshm_length(s, &ref, NULL) == -EIDRM);
		}
		c->of[me].done++;
	}
	slabshm_close(s);
	return 0;
}

/* As many names as processes, and not as many cells. */
static int take_a_cell(void *arg)
{
	struct crowd *c = arg;
	unsigned int me = join(c);
	struct slabshm *s = child_open(c->s);
	struct slabshm_ref ref[3];
	struct slabshm_stat st;
	char name[16];
	int i, ret;

	while (going_on(c)) {
		for (i = 0; i < 3; i++) {
			snprintf(name, sizeof(name), "%u-%d", me, i);
			ret = slabshm_cell_open(s, name, SLABSHM_CELL_CREATE |
						SLABSHM_CELL_EXCL, &ref[i]);
			must(!ret || ret == -ENOSPC);
			if (ret)
				break;
			must(ref[i].cell < PROCESSES);
			must_do(slabshm_assign(s, &ref[i], name, sizeof(name)));
			c->of[me].done++;
		}
		c->of[me].full += i < 3;
		must_do(slabshm_stat(s, &st));
		must(st.cells >= (unsigned int)i && st.cells <= PROCESSES);
		while (i--) {
			char back[16];

			must(slabshm_read(s, &ref[i], back, sizeof(back),
					  NULL) == sizeof(back));
			snprintf(name, sizeof(name), "%u-%d", me, i);
			must(!strcmp(name, back));
			must_do(slabshm_cell_remove(s, &ref[i]));
		}
	}
	slabshm_close(s);
	return 0;
}

static void no_cells_left(struct __test_metadata *_metadata, struct slabshm *s)
{
	struct slabshm_stat st;

	EXPECT_TRUE(wait_until(!live_bytes(s), 5000));
	EXPECT_TRUE(wait_until(!retired_bytes(s), 5000));
	ASSERT_EQ(0, slabshm_stat(s, &st));
	EXPECT_EQ(0, st.cells);
	EXPECT_EQ(0, st.blocks);
	EXPECT_EQ(st.backed, st.free);
}

TEST_F_TIMEOUT(crowd, cell, 200)
{
	unsigned int i, cells = 0;
	struct crowd *c = self->c;

	gather(_metadata, c, take_cell, 800);
	for (i = 0; i < ARRAY_SIZE(c->created); i++)
		cells += c->created[i];
	TH_LOG("%llu handles, %u cells", (unsigned long long)done_by_all(c),
	       cells);
	EXPECT_GT(cells, 5);
	slabshm_cell_remove_name(c->s, "one");
	no_cells_left(_metadata, c->s);
}

TEST_F_TIMEOUT(crowd, cells, 200)
{
	struct crowd *c = self->c;
	uint64_t full = 0;
	unsigned int i;

	gather(_metadata, c, take_a_cell, 800);
	for (i = 0; i < PROCESSES; i++)
		full += c->of[i].full;
	TH_LOG("%llu cells, %llu times none",
	       (unsigned long long)done_by_all(c), (unsigned long long)full);
	no_cells_left(_metadata, c->s);
}

TEST_HARNESS_MAIN
