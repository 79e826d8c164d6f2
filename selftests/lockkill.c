// SPDX-License-Identifier: GPL-2.0
/*
 * A counter kept under a lock by processes that are killed at any instruction:
 * no update is lost, none is made twice, two are never inside.
 *
 * SLABSHM_KILLS=N is for more or fewer than 200 kills.
 */
#include "object.h"

#include "kselftest_harness.h"

#define WORKERS		4
#define KILLS_MAX	100000
#define SLOWEST_MS	slowly(20000)

/* What the cell holds. */
struct counter {
	uint64_t value;
	uint64_t writer;	/* which process made it so */
	uint64_t seq;		/* its first update, its second... */
};

/**
 * struct record - what is known of one process
 * @pid: its own; 0 while it has not started
 * @killed: it is about to be, or was
 * @acked: updates of which it knows that they happened
 * @seen: updates of it that others have found; written under the lock
 */
struct record {
	int pid;
	int killed;
	uint64_t acked;
	uint64_t seen;
};

/**
 * struct board - what the processes share
 * @s: the parent's
 * @ref: the cell
 * @inside: number of the process that is inside, plus 1, or 0
 * @inconsistent: who gets the lock next must be told of a death
 * @told: how often somebody was
 * @left: and has left it to the next one
 * @slowest_ms: the longest wait
 * @record: of each process, in the order in which they were started
 */
struct board {
	struct slabshm *s;
	struct slabshm_ref ref;
	uint64_t inside;
	int inconsistent;
	uint64_t told;
	uint64_t left;
	uint64_t slowest_ms;
	struct record record[KILLS_MAX + WORKERS];
};

struct worker {
	struct board *b;
	uint64_t n;
};

/* Take the lock; was one who held it before killed? */
static bool enter(struct board *b, struct slabshm *s, uint64_t n)
{
	long long began = now_ms();
	int ret = slabshm_lock(s, &b->ref, SLOWEST_MS);
	uint64_t was;

	must(!ret || ret == -EOWNERDEAD);
	was = __atomic_exchange_n(&b->inside, n + 1, __ATOMIC_SEQ_CST);
	if (ret) {
		/* Whoever has left its name there is dead */
		must(!was || __atomic_load_n(&b->record[was - 1].killed,
					     __ATOMIC_SEQ_CST));
		b->inconsistent = 1;
		b->told++;
	} else {
		must(!was);
		must(!b->inconsistent);
	}
	if ((uint64_t)(now_ms() - began) > b->slowest_ms)
		b->slowest_ms = (uint64_t)(now_ms() - began);
	return ret;
}

/* The counter, and book its last update for the process that made it. */
static struct counter look(struct board *b, struct slabshm *s)
{
	struct counter c;
	struct record *record;

	must(slabshm_read(s, &b->ref, &c, sizeof(c), NULL) == sizeof(c));
	record = &b->record[c.writer];
	must(c.seq == record->seen || c.seq == record->seen + 1);
	record->seen = c.seq;
	return c;
}

static void leave(struct board *b, uint64_t n)
{
	must(__atomic_exchange_n(&b->inside, 0, __ATOMIC_SEQ_CST) == n + 1);
}

/* One update: the lock is released with it, or after it. */
static void update(struct board *b, struct slabshm *s, uint64_t n,
		   uint64_t *seed)
{
	struct slabshm_publish_cell item = {
		.cell = b->ref.cell,
		.generation = b->ref.generation,
		.length = sizeof(struct counter),
	};
	bool died = enter(b, s, n), at_once = any(seed) % 2;
	struct counter c = look(b, s), *next;

	if (died && any(seed) % 4 == 0) {
		/* The next one is to hear of it, too */
		b->left++;
		leave(b, n);
		must_do(slabshm_unlock(s, &b->ref));
		return;
	}
	item.block = (uint64_t)must_do(slabshm_alloc(s, sizeof(*next)));
	next = slabshm_ptr(s, item.block);
	next->value = c.value + 1;
	next->writer = n;
	next->seq = b->record[n].acked + 1;
	must(!b->record[n].acked || b->record[n].seen == b->record[n].acked);
	if (at_once) {
		item.flags = SLABSHM_PUBLISH_UNLOCK | SLABSHM_PUBLISH_CONSISTENT;
		b->inconsistent = 0;
		leave(b, n);
	}
	must_do(slabshm_publish(s, &item, 1, NULL, 0, NULL));
	b->record[n].acked++;
	if (at_once)
		return;
	b->inconsistent = 0;
	leave(b, n);
	must_do(slabshm_unlock_consistent(s, &b->ref));
}

static int work(void *arg)
{
	struct worker *w = arg;
	struct board *b = w->b;
	struct slabshm *s = child_open(b->s);
	uint64_t seed = any_seed(w->n);

	for (;;)
		update(b, s, w->n, &seed);
	return 1;
}

FIXTURE(lock)
{
	struct board *b;
};

FIXTURE_SETUP(lock)
{
	self->b = mmap(NULL, sizeof(*self->b), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ASSERT_NE(MAP_FAILED, self->b);
	ASSERT_EQ(0, slab_open(&self->b->s, 16 * MIB, MIB));
}

FIXTURE_TEARDOWN(lock)
{
	slabshm_close(self->b->s);
}

TEST_F_TIMEOUT(lock, killed, 900)
{
	struct board *b = self->b;
	const char *asked = getenv("SLABSHM_KILLS");
	unsigned int i, w, kills = long_run() ? 2000 : 200, started = 0;
	uint64_t seed = any_seed(1), updates = 0, unknown = 0;
	struct counter c = { .writer = 0 };
	struct {
		pid_t pid;
		struct record *record;
	} worker[WORKERS] = { 0 };

	if (asked && atoi(asked) > 0 && atoi(asked) <= KILLS_MAX)
		kills = (unsigned int)atoi(asked);
	ASSERT_EQ(0, slabshm_cell_open(b->s, "counter", SLABSHM_CELL_CREATE,
				       &b->ref));
	ASSERT_LT(0, slabshm_assign(b->s, &b->ref, &c, sizeof(c)));
	for (i = 0; i < kills + WORKERS; i++) {
		/* Those that are left at the end are killed, too */
		for (w = 0; i < kills && w < WORKERS; w++) {
			struct worker one = { b, started };

			if (worker[w].pid)
				continue;
			worker[w].record = &b->record[started++];
			worker[w].pid = start_child(work, &one);
			ASSERT_LT(0, worker[w].pid);
		}
		if (i < kills) {
			usleep(any(&seed) % 10000);
			w = any(&seed) % WORKERS;
		} else {
			w = i - kills;
		}
		if (!worker[w].pid)
			continue;
		__atomic_store_n(&worker[w].record->killed, 1, __ATOMIC_SEQ_CST);
		ASSERT_EQ(0, kill(worker[w].pid, SIGKILL));
		ASSERT_EQ(-SIGKILL, end_child(worker[w].pid));
		worker[w].pid = 0;
	}

	/* Everybody is dead: book the last update */
	enter(b, b->s, started);
	c = look(b, b->s);
	leave(b, started);
	EXPECT_EQ(0, slabshm_unlock_consistent(b->s, &b->ref));
	for (i = 0; i < started; i++) {
		struct record *r = &b->record[i];

		/* One that was killed before it could book it, at most */
		EXPECT_LE(r->acked, r->seen);
		EXPECT_GE(r->acked + 1, r->seen);
		updates += r->seen;
		unknown += r->seen - r->acked;
	}
	EXPECT_EQ(updates, c.value);
	TH_LOG("%u kills, %llu updates, %llu unknown to who made them",
	       started, (unsigned long long)updates,
	       (unsigned long long)unknown);
	TH_LOG("told of %llu deaths, %llu left to the next; slowest %llu ms",
	       (unsigned long long)b->told, (unsigned long long)b->left,
	       (unsigned long long)b->slowest_ms);
	EXPECT_LT(kills, updates);
	EXPECT_LT(kills / 20, b->told);
	EXPECT_EQ(0, slabshm_lock(b->s, &b->ref, 0));
}

TEST_HARNESS_MAIN
