// SPDX-License-Identifier: GPL-2.0
/*
 * Readers and writers that are killed at any instruction, pinned or not: what
 * the others look at stays, what the dead held comes back, no byte is lost.
 *
 * SLABSHM_KILLS=N is for more or fewer than 300 kills.
 */
#include "pins.h"

#include "kselftest_harness.h"

#define WORKERS		4
#define READERS		2
#define CELLS		8		/* each by itself */
#define GROUP		8		/* always published together */
#define PARTS		6		/* of the one that is a tree */
#define VIEWS		8
#define LEN		256
#define MAX_SIZE	(32 * MIB)

struct board {
	struct slabshm *s;
	struct slabshm_ref cell[CELLS];
	struct slabshm_ref group[GROUP];
	struct slabshm_ref tree;
	int stop;
	uint64_t pins;
	uint64_t views;
	uint64_t publishes;
	uint64_t snapshots;
	uint64_t slowest_ms;
};

static uint64_t count(uint64_t *counter, uint64_t n)
{
	return __atomic_add_fetch(counter, n, __ATOMIC_RELAXED);
}

static uint64_t look(const struct slabshm_view *view, uint64_t number)
{
	uint64_t who, seq;

	must(!object_wrong(view->data, view->length, &who, &seq));
	must(who == number);
	return seq;
}

static void linger(uint64_t *seed)
{
	uint64_t n = 1ULL << any(seed) % 14;

	if (!(any(seed) % 8)) {
		usleep(any(seed) % 10000);
		return;
	}
	while (n--)
		__asm__ volatile("");
}

/*
 * ---------------- What one does ----------------
 */

static void read_cells(struct board *b, struct slabshm *s, uint64_t *seed)
{
	struct slabshm_view view[VIEWS];
	unsigned int i, k[VIEWS], n = 1 + any(seed) % VIEWS;
	struct slabshm_pin pin, inner;
	uint64_t seq[VIEWS];

	must_do(slabshm_pin(s, &pin));
	for (i = 0; i < n; i++) {
		if (any(seed) % 4 == 0) {
			must_do(slabshm_pin(s, &inner));
			linger(seed);
			must_do(slabshm_unpin(&inner));
		}
		k[i] = any(seed) % CELLS;
		must_do(slabshm_get(&pin, &b->cell[k[i]], &view[i]));
		seq[i] = look(&view[i], k[i]);
	}
	linger(seed);
	for (i = 0; i < n; i++)
		must(look(&view[i], k[i]) == seq[i]);
	must_do(slabshm_unpin(&pin));
	count(&b->views, n);
}

static void read_group(struct board *b, struct slabshm *s, uint64_t *seed)
{
	struct slabshm_view view[GROUP];
	struct slabshm_pin pin;
	unsigned int i, k;
	int ret;

	must_do(slabshm_pin(s, &pin));
	ret = slabshm_get_all(&pin, b->group, GROUP, view, 10);
	must(!ret || ret == -EAGAIN);
	for (k = 0; !ret && k < 2; k++) {
		for (i = 0; i < GROUP; i++)
			must(look(&view[i], i) == look(&view[0], 0) &&
			     view[i].version == view[0].version);
		linger(seed);
	}
	count(&b->snapshots, !ret);
	must_do(slabshm_unpin(&pin));
}

static void read_tree(struct board *b, struct slabshm *s, uint64_t *seed)
{
	struct slabshm_view view, part;
	const uint64_t *root;
	struct slabshm_pin pin;
	unsigned int i, k;
	int ret;

	must_do(slabshm_pin(s, &pin));
	ret = slabshm_get(&pin, &b->tree, &view);
	must(!ret || ret == -ENODATA);
	root = view.data;
	for (k = 0; !ret && k < 2; k++) {
		for (i = 0; i < PARTS; i++) {
			part.data = slabshm_ptr(s, root[1 + i]);
			part.length = LEN;
			must(part.data);
			must(look(&part, i) == root[0]);
		}
		linger(seed);
	}
	must_do(slabshm_unpin(&pin));
}

static void write_cell(struct board *b, struct slabshm *s, uint64_t *seed)
{
	unsigned int k = any(seed) % CELLS;

	must_do(object_put(s, &b->cell[k], 64 + any(seed) % 8000 / 8 * 8, k,
			   any(seed)));
}

static void write_group(struct board *b, struct slabshm *s, uint64_t *seed)
{
	struct slabshm_publish_cell item[GROUP] = { 0 };
	struct slabshm_block block[GROUP];
	uint64_t seq = any(seed);
	unsigned int i;

	for (i = 0; i < GROUP; i++)
		block[i].size = LEN;
	must_do(slabshm_alloc_batch(s, block, GROUP, 0, 0));
	for (i = 0; i < GROUP; i++) {
		object_fill(slabshm_ptr(s, block[i].offset), LEN, i, seq);
		item[i].cell = b->group[i].cell;
		item[i].generation = b->group[i].generation;
		item[i].block = block[i].offset;
		item[i].length = LEN;
	}
	must_do(slabshm_publish(s, item, GROUP, NULL, 0, NULL));
}

static void write_tree(struct board *b, struct slabshm *s, uint64_t *seed)
{
	struct slabshm_publish_part part[PARTS] = { 0 };
	struct slabshm_publish_cell item = { 0 };
	struct slabshm_block block[PARTS + 1];
	uint64_t seq = any(seed), *root;
	unsigned int i;

	for (i = 0; i < PARTS + 1; i++)
		block[i].size = LEN;
	must_do(slabshm_alloc_batch(s, block, PARTS + 1, 0, 0));
	root = slabshm_ptr(s, block[PARTS].offset);
	root[0] = seq;
	for (i = 0; i < PARTS; i++) {
		object_fill(slabshm_ptr(s, block[i].offset), LEN, i, seq);
		root[1 + i] = block[i].offset;
		part[i].op = SLABSHM_PART_ATTACH;
		part[i].block = block[i].offset;
	}
	item.cell = b->tree.cell;
	item.generation = b->tree.generation;
	item.flags = SLABSHM_PUBLISH_DROP_ALL;
	item.block = block[PARTS].offset;
	item.length = LEN;
	must_do(slabshm_publish(s, &item, 1, part, PARTS, NULL));
}

static void do_something(struct board *b, struct slabshm *s, uint64_t *seed,
			 bool write)
{
	static void (*const reads[])(struct board *b, struct slabshm *s,
				     uint64_t *seed) = {
		read_cells, read_group, read_tree,
	};
	static void (*const writes[])(struct board *b, struct slabshm *s,
				      uint64_t *seed) = {
		write_cell, write_cell, write_group, write_tree,
	};
	long long began = now_ms();
	uint64_t took;

	if (write)
		writes[any(seed) % ARRAY_LEN(writes)](b, s, seed);
	else
		reads[any(seed) % ARRAY_LEN(reads)](b, s, seed);
	count(write ? &b->publishes : &b->pins, 1);
	took = (uint64_t)(now_ms() - began);
	if (took > __atomic_load_n(&b->slowest_ms, __ATOMIC_RELAXED))
		__atomic_store_n(&b->slowest_ms, took, __ATOMIC_RELAXED);
}

/*
 * ---------------- Processes ----------------
 */

struct thread {
	struct board *b;
	struct slabshm *s;
	bool write;
};

static void *work(void *arg)
{
	struct thread *t = arg;
	uint64_t seed = any_seed((uintptr_t)t);

	for (;;)
		do_something(t->b, t->s, &seed, t->write);
	return NULL;
}

/* Two readers and a writer, in one process. */
static int work_until_killed(void *arg)
{
	struct board *b = arg;
	struct slabshm *s = child_open(b->s);
	struct thread t[3] = { { b, s, true }, { b, s, false }, { b, s, false } };
	pthread_t thread;

	must(!pthread_create(&thread, NULL, work, &t[1]));
	must(!pthread_create(&thread, NULL, work, &t[2]));
	work(&t[0]);
	return 1;
}

/* Lives through all of it. */
static int read_until_stopped(void *arg)
{
	struct board *b = arg;
	struct slabshm *s = child_open(b->s);
	uint64_t seed = any_seed(1);

	while (!__atomic_load_n(&b->stop, __ATOMIC_RELAXED)) {
		do_something(b, s, &seed, false);
		sleep_ms(1);
	}
	slabshm_close(s);
	return 0;
}

/* Nobody publishes: all that is left is what the cells hold. */
static void check_rest(struct __test_metadata *_metadata, struct slabshm *s,
		       unsigned int readers)
{
	struct slabshm_stat st;
	struct holdings h;

	EXPECT_TRUE(wait_until(stat_of(s).clients == 1 + readers, BACK_MS));
	EXPECT_TRUE(wait_until(stat_of(s).readers == readers, BACK_MS));
	EXPECT_TRUE(all_back(s));
	ASSERT_EQ(0, cells_hold(s, &h));
	st = stat_of(s);
	EXPECT_EQ(h.bytes, st.live);
	EXPECT_EQ(h.blocks, st.blocks);
	EXPECT_EQ(0, st.retired_blocks);
	EXPECT_EQ(0, st.held);
	EXPECT_EQ(st.backed, st.live + st.free);
}

FIXTURE(readers)
{
	struct board *b;
};

FIXTURE_SETUP(readers)
{
	self->b = shared_memory(sizeof(*self->b));
	ASSERT_NE(NULL, self->b);
	/* What is free again shows at once */
	ASSERT_EQ(0, set_parameter("poison", 1, NULL));
	ASSERT_EQ(0, patient_open(&self->b->s, MAX_SIZE));
}

FIXTURE_TEARDOWN(readers)
{
	slabshm_close(self->b->s);
	EXPECT_EQ(0, set_parameter("poison", 0, NULL));
}

TEST_F_TIMEOUT(readers, killed, 900)
{
	const char *asked = getenv("SLABSHM_KILLS");
	unsigned int i, w, kills = long_run() ? 2000 : 300;
	struct board *b = self->b;
	pid_t reader[READERS], worker[WORKERS] = { 0 };
	uint64_t seed = any_seed(2);
	struct slabshm_ref cells[CELLS + GROUP];

	if (asked && atoi(asked) > 0)
		kills = (unsigned int)atoi(asked);
	ASSERT_EQ(0, cells_make(b->s, cells, CELLS + GROUP, 0));
	memcpy(b->cell, cells, sizeof(b->cell));
	memcpy(b->group, cells + CELLS, sizeof(b->group));
	ASSERT_EQ(0, slabshm_cell_open(b->s, "tree", SLABSHM_CELL_CREATE,
				       &b->tree));
	for (i = 0; i < CELLS; i++)
		ASSERT_GT(object_put(b->s, &b->cell[i], LEN, i, 0), 0);
	write_group(b, b->s, &seed);
	for (i = 0; i < READERS; i++)
		reader[i] = start_child(read_until_stopped, b);

	for (i = 0; i < kills; i++) {
		for (w = 0; w < WORKERS; w++)
			if (!worker[w])
				worker[w] = start_child(work_until_killed, b);
		usleep(any(&seed) % 10000);
		w = any(&seed) % WORKERS;
		ASSERT_EQ(0, kill(worker[w], SIGKILL));
		ASSERT_EQ(-SIGKILL, end_child(worker[w]));
		worker[w] = 0;
		if (i % 50 != 49 && i != kills - 1)
			continue;
		for (w = 0; w < WORKERS; w++) {
			if (!worker[w])
				continue;
			ASSERT_EQ(0, kill(worker[w], SIGKILL));
			ASSERT_EQ(-SIGKILL, end_child(worker[w]));
			worker[w] = 0;
		}
		check_rest(_metadata, b->s, READERS);
	}
	__atomic_store_n(&b->stop, 1, __ATOMIC_RELAXED);
	for (i = 0; i < READERS; i++)
		EXPECT_EQ(0, end_child(reader[i]));
	TH_LOG("%u kills, %llu publishes, %llu pins, %llu views, %llu snapshots, slowest %llu ms",
	       kills, (unsigned long long)b->publishes,
	       (unsigned long long)b->pins, (unsigned long long)b->views,
	       (unsigned long long)b->snapshots,
	       (unsigned long long)b->slowest_ms);
	EXPECT_LT(kills, b->publishes);
	EXPECT_LT(kills, b->pins);
	EXPECT_LT(0, b->snapshots);
	EXPECT_GT(slowly(20000), b->slowest_ms);

	for (i = 0; i < CELLS; i++)
		EXPECT_EQ(0, slabshm_cell_remove(b->s, &b->cell[i]));
	for (i = 0; i < GROUP; i++)
		EXPECT_EQ(0, slabshm_cell_remove(b->s, &b->group[i]));
	EXPECT_EQ(0, slabshm_cell_remove(b->s, &b->tree));
	check_rest(_metadata, b->s, 0);
	EXPECT_EQ(0, live_bytes(b->s));
}

TEST_HARNESS_MAIN
