// SPDX-License-Identifier: GPL-2.0
/*
 * A storm of publishes and a consumer that is too slow for it: what it was told
 * last of each cell is what the cell has in the end, and no memory was needed to
 * keep it.
 */
#include "object.h"
#include "watches.h"

#include "kselftest_harness.h"

#define CELLS	1000

/*
 * How much the kernel's memory may grow.  Something kept for each change would be
 * more, but on a slow kernel.  KASAN keeps what was freed: up to a 32nd of all memory.
 */
#define FLAT		(8LL << 20)
#define FLAT_KASAN	(64LL << 20)

/**
 * struct consumer - what the parent and the consumer share
 * @ready: it watches
 * @over: no more publishes come
 * @events: how many it took
 * @told: the version of each cell that it was told last
 */
struct consumer {
	bool ready;
	bool over;
	uint64_t events;
	uint64_t told[CELLS];
};

static struct consumer *shared;
static bool all;

static int consume(void *arg)
{
	struct slabshm_cell_open_args cell[CELLS];
	struct slabshm_event event[SLABSHM_BATCH_MAX];
	const struct client *parents = arg;
	uint64_t seed = any_seed(4);
	struct client c;
	bool over;
	int i, n;

	on_cpu(1);
	CHECK(!client_open_fd(&c, parents->fd, SLABSHM_ATTACH_RDONLY));
	CHECK(!make_cells(&c, cell, CELLS));
	for (i = 0; i < CELLS && !all; i++)
		CHECK(!watch(&c, &cell[i], SLABSHM_WATCH_SINCE, NULL));
	if (all)
		CHECK(!watch(&c, NULL, SLABSHM_WATCH_SINCE, NULL));
	__atomic_store_n(&shared->ready, true, __ATOMIC_RELEASE);
	do {
		over = __atomic_load_n(&shared->over, __ATOMIC_ACQUIRE);
		n = events(&c, event, 1 + any(&seed) % ARRAY_LEN(event),
			   over ? 0 : deadline_in(10));
		CHECK(n > 0 || n == -ETIMEDOUT);
		for (i = 0; i < n; i++) {
			CHECK(event[i].cell < CELLS && !event[i].flags);
			CHECK(event[i].version >= shared->told[event[i].cell]);
			shared->told[event[i].cell] = event[i].version;
		}
		shared->events += n > 0 ? (uint64_t)n : 0;
		if (!over)
			sleep_ms((long)(any(&seed) % 3));
	} while (!over || n > 0);
	CHECK(!polled(c.fd));
	return 0;
}

/* 64 cells in a step, so that many events come in a short time. */
static int change_some(const struct client *c,
		       const struct slabshm_cell_open_args *cell, unsigned int from)
{
	struct slabshm_publish_cell item[SLABSHM_BATCH_MAX];
	unsigned int i;

	memset(item, 0, sizeof(item));
	for (i = 0; i < ARRAY_LEN(item); i++) {
		item[i].cell = cell[(from + i) % CELLS].cell;
		item[i].generation = cell[(from + i) % CELLS].generation;
	}
	return publish(c, item, ARRAY_LEN(item), NULL, 0, NULL, NULL);
}

FIXTURE(storm)
{
	struct client c;
};

FIXTURE_VARIANT(storm)
{
	bool all;
};

FIXTURE_VARIANT_ADD(storm, watches_of_cells)
{
	.all = false,
};

FIXTURE_VARIANT_ADD(storm, watch_of_all)
{
	.all = true,
};

FIXTURE_SETUP(storm)
{
	ASSERT_EQ(0, client_open(&self->c, NULL, SLABSHM_ATTACH_CREATE, 8 * MIB,
				 MIB));
}

FIXTURE_TEARDOWN(storm)
{
	client_close(&self->c);
}

TEST_F_TIMEOUT(storm, slow_consumer, 120)
{
	static struct slabshm_cell_open_args cell[CELLS];
	struct slabshm_stat st0, st;
	uint64_t seed = any_seed(5);
	__u64 memory, grown, n = 0;
	unsigned int i, wrong = 0;
	long long until;
	pid_t pid;

	all = variant->all;
	shared = shared_memory(sizeof(*shared));
	ASSERT_NE(NULL, shared);
	ASSERT_EQ(0, make_cells(&self->c, cell, CELLS));
	pid = start_child(consume, &self->c);
	ASSERT_LT(0, pid);
	ASSERT_TRUE(wait_until(__atomic_load_n(&shared->ready, __ATOMIC_ACQUIRE),
			       PATIENCE));
	on_cpu(0);
	for (i = 0; i < CELLS; i += SLABSHM_BATCH_MAX)
		ASSERT_EQ(0, change_some(&self->c, cell, i));

	ASSERT_EQ(0, get_stat(&self->c, &st0));
	memory = kernel_memory();
	until = now_ms() + (long_run() ? 10000 : 2000);
	while (now_ms() < until) {
		for (i = 0; i < 16; i++) {
			unsigned int at = any(&seed) % CELLS;
			int err = i % 4 ? publish_one(&self->c, &cell[at], 0, 0) :
					  change_some(&self->c, cell, at);

			ASSERT_EQ(0, err);
		}
		n += 12 + 4 * SLABSHM_BATCH_MAX;
	}
	grown = kernel_memory() - memory;
	ASSERT_EQ(0, get_stat(&self->c, &st));
	__atomic_store_n(&shared->over, true, __ATOMIC_RELEASE);
	ASSERT_EQ(0, end_child(pid));

	for (i = 0; i < CELLS; i++)
		wrong += shared->told[i] != version_of(&self->c, &cell[i]);
	EXPECT_EQ(0, wrong);
	EXPECT_GT(kernel_has_kasan() ? FLAT_KASAN : FLAT, (long long)grown);
	EXPECT_EQ(st0.backed, st.backed);
	EXPECT_EQ(st0.retired_blocks, st.retired_blocks);
	/* It was slow indeed */
	EXPECT_LT(shared->events, n);
	TH_LOG("%llu changes, %llu events, memory %+lld KiB",
	       (unsigned long long)n, (unsigned long long)shared->events,
	       (long long)grown / 1024);
}

TEST_HARNESS_MAIN
