// SPDX-License-Identifier: GPL-2.0
/*
 * Locks of cells: each waiter gets the lock in the end, whoever dies, gives up, is
 * interrupted or is faster; nobody waits for itself; and nobody takes a half-done
 * object for a whole one.
 */
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include "common.h"

#include "kselftest_harness.h"

#define WAITERS		8
#define MANY		1000	/* who wait at the same time */
#define CELLS		200	/* locks that one holds: several batches */
#define SOON_MS		slowly(10000)	/* what has to come */
#define PASSED_MAX	32	/* takings while one waits, of kmod/lock.c */
#define CHAIN_MAX	64	/* threads that it follows */
#define CONSISTENT	SLABSHM_UNLOCK_CONSISTENT

/**
 * struct board - what the processes of a test share
 * @c: the test's own client, whose descriptor leads the others to the slab
 * @other: a second one
 * @a: a cell
 * @b: one with a higher index
 * @ready: how many have come so far
 * @go: go on
 * @inside: how many are inside, where one may be
 * @broken: there were two
 * @updates: made inside, by a load and a store
 * @turn: how many have had theirs
 * @place: whose turn it was, in order
 * @result: of the call, for each
 * @count: locks that each has had
 * @counted: the same, when the first one was done
 * @again: locks of one that had it last, or last but one
 */
struct board {
	struct client c;
	struct client other;
	struct slabshm_cell_open_args a;
	struct slabshm_cell_open_args b;
	int ready;
	int go;
	int inside;
	int broken;
	unsigned int updates;
	unsigned int turn;
	unsigned int place[MANY];
	int result[MANY];
	unsigned int count[WAITERS];
	unsigned int counted[WAITERS];
	unsigned int again;
};

/* One process or thread of a test. */
struct one {
	struct board *b;
	struct client *c;
	unsigned int n;
	pthread_t thread;
};

static int look(const int *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static void set(int *word, int value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}

static void come(struct board *b)
{
	__atomic_add_fetch(&b->ready, 1, __ATOMIC_ACQ_REL);
}

static void until_go(const struct board *b)
{
	while (!look(&b->go))
		sleep_ms(1);
}

/* What only the holder of the lock may do: two at once would see each other. */
static void update(struct board *b)
{
	unsigned int was, i;

	if (__atomic_add_fetch(&b->inside, 1, __ATOMIC_SEQ_CST) != 1)
		set(&b->broken, 1);
	was = __atomic_load_n(&b->updates, __ATOMIC_RELAXED);
	for (i = 0; i < 50; i++)
		__asm__ volatile("");
	__atomic_store_n(&b->updates, was + 1, __ATOMIC_RELAXED);
	__atomic_sub_fetch(&b->inside, 1, __ATOMIC_SEQ_CST);
}

static void take_turn(struct board *b, unsigned int n)
{
	b->place[b->turn] = n;
	__atomic_add_fetch(&b->turn, 1, __ATOMIC_ACQ_REL);
}

/* There are soon @n that have had theirs. */
static bool turns_are(const struct board *b, unsigned int n)
{
	return wait_until(__atomic_load_n(&b->turn, __ATOMIC_ACQUIRE) == n,
			  SOON_MS);
}

/* Holders and waiters of all cells; poison where there are none. */
static int lockers(const struct board *b, struct slabshm_lock_entry *entry,
		   unsigned int room)
{
	__u64 cursor = 0;

	return list(&b->c, SLABSHM_LIST_LOCKS, entry, sizeof(*entry), room,
		    &cursor);
}

/* There are soon @n of them. */
static bool lockers_are(const struct board *b, int n)
{
	static struct slabshm_lock_entry entry[MANY + 2];

	return wait_until(lockers(b, entry, MANY + 2) == n, SOON_MS);
}

static struct client client_of_child(const struct board *b)
{
	struct client c;

	CHECK(!client_open_fd(&c, b->c.fd, 0));
	return c;
}

FIXTURE(lock)
{
	struct board *b;
};

FIXTURE_SETUP(lock)
{
	struct board *b = mmap(NULL, sizeof(*b), PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, b);
	self->b = b;
	ASSERT_EQ(0, client_open(&b->c, unique_name(), SLABSHM_ATTACH_CREATE,
				 MIB, MIB));
	ASSERT_EQ(0, client_open_fd(&b->other, b->c.fd, 0));
	ASSERT_EQ(0, cell_open(&b->c, "a", SLABSHM_CELL_CREATE, &b->a));
	ASSERT_EQ(0, cell_open(&b->c, "b", SLABSHM_CELL_CREATE, &b->b));
	ASSERT_LT(b->a.cell, b->b.cell);
}

FIXTURE_TEARDOWN(lock)
{
	EXPECT_EQ(0, self->b->broken);
	EXPECT_EQ(0, self->b->inside);
	client_close(&self->b->other);
	client_close(&self->b->c);
}

/*
 * ---------------- Time and signals ----------------
 */

TEST_F(lock, deadlines)
{
	struct board *b = self->b;
	long long began = now_ms();

	ASSERT_EQ(0, lock_one(&b->c, &b->a, -1));
	EXPECT_EQ(-EBUSY, lock_one(&b->other, &b->a, 0));
	EXPECT_GT(SOON_MS, now_ms() - began);
	began = now_ms();
	EXPECT_EQ(-ETIMEDOUT, lock_one(&b->other, &b->a, 30));
	EXPECT_LE(30, now_ms() - began);
	/* Long enough to look several times at a holder who is well */
	began = now_ms();
	EXPECT_EQ(-ETIMEDOUT, lock_one(&b->other, &b->a, 450));
	EXPECT_LE(450, now_ms() - began);
	EXPECT_GT(SOON_MS, now_ms() - began);
	EXPECT_TRUE(lockers_are(b, 1));
	EXPECT_EQ(0, unlock_one(&b->c, &b->a, 0));
	/* Free: no deadline matters */
	EXPECT_EQ(0, lock_one(&b->other, &b->a, 1));
}

static unsigned int alarms;

static void count_alarm(int sig)
{
	(void)sig;
	alarms++;
}

static void alarm_every(int ms, int flags)
{
	struct sigaction action = {
		.sa_handler = count_alarm,
		.sa_flags = flags,
	};
	struct itimerval timer = {
		.it_interval.tv_usec = ms * 1000,
		.it_value.tv_usec = ms * 1000,
	};

	alarms = 0;
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
}

TEST_F(lock, signals)
{
	struct board *b = self->b;
	struct slabshm_lock_cell items[2] = {
		{ .cell = b->b.cell, .generation = b->b.generation },
		{ .cell = b->a.cell, .generation = b->a.generation },
	};
	long long began = now_ms();
	__u32 failed;

	ASSERT_EQ(0, lock_one(&b->c, &b->b, -1));
	alarm_every(20, 0);
	EXPECT_EQ(-EINTR, lock_one(&b->other, &b->b, SOON_MS));
	EXPECT_GT(SOON_MS, now_ms() - began);
	EXPECT_EQ(-EINTR, lock_cells(&b->other, items, 2, 0,
				     deadline_in(SOON_MS), &failed));
	EXPECT_EQ(0, failed);

	/* Begun again by the kernel, the call ends when it was to end */
	alarm_every(20, SA_RESTART);
	began = now_ms();
	EXPECT_EQ(-ETIMEDOUT, lock_one(&b->other, &b->b, 400));
	EXPECT_LE(400, now_ms() - began);
	EXPECT_GT(SOON_MS, now_ms() - began);
	EXPECT_LE(3, alarms);
	EXPECT_EQ(-ETIMEDOUT, lock_cells(&b->other, items, 2, 0,
					 deadline_in(100), &failed));
	EXPECT_EQ(0, failed);
	alarm_every(0, SA_RESTART);
	EXPECT_TRUE(lockers_are(b, 1));
	/* The one that was had before is free, and whole */
	EXPECT_EQ(0, lock_one(&b->c, &b->a, 0));
}

/*
 * ---------------- Turns ----------------
 */

static int wait_turn(void *arg)
{
	struct one *one = arg;
	struct board *b = one->b;
	struct client c = client_of_child(b);

	come(b);
	b->result[one->n] = lock_one(&c, &b->a, -1);
	CHECK(b->result[one->n] == 0 || b->result[one->n] == -EOWNERDEAD);
	take_turn(b, one->n);
	update(b);
	/* The fourth one sets right what the holder left */
	CHECK(!unlock_one(&c, &b->a, one->n == 3 ? CONSISTENT : 0));
	return 0;
}

/* Children that wait for the lock of @b->a, one behind the other. */
static bool start_waiters(struct board *b, pid_t *pid, unsigned int n)
{
	struct one one = { .b = b };

	for (; one.n < n; one.n++) {
		pid[one.n] = start_child(wait_turn, &one);
		if (!lockers_are(b, (int)one.n + 2))
			return false;
	}
	return true;
}

TEST_F(lock, first_come_first_served)
{
	struct board *b = self->b;
	struct slabshm_lock_entry entry[WAITERS + 1];
	pid_t pid[WAITERS];
	unsigned int i;

	ASSERT_EQ(0, lock_one(&b->c, &b->a, -1));
	ASSERT_TRUE(start_waiters(b, pid, WAITERS));
	ASSERT_EQ(WAITERS + 1, lockers(b, entry, WAITERS + 1));
	EXPECT_EQ(SLABSHM_LOCKER_HOLDS, entry[0].flags);
	EXPECT_EQ(gettid(), entry[0].tid);
	EXPECT_EQ(b->c.at.client, entry[0].client);
	for (i = 0; i < WAITERS; i++) {
		EXPECT_EQ(0, entry[i + 1].flags);
		EXPECT_EQ(pid[i], entry[i + 1].tid);
		EXPECT_NE(b->c.at.client, entry[i + 1].client);
		EXPECT_EQ(b->a.cell, entry[i + 1].cell);
		EXPECT_EQ(b->a.generation, entry[i + 1].generation);
		EXPECT_STREQ("a", entry[i + 1].name);
		EXPECT_LE(entry[i + 1].ms, entry[i].ms);
	}
	EXPECT_EQ(0, unlock_one(&b->c, &b->a, 0));
	EXPECT_TRUE(turns_are(b, WAITERS));
	for (i = 0; i < WAITERS; i++) {
		EXPECT_EQ(i, b->place[i]);
		EXPECT_EQ(0, b->result[i]);
		EXPECT_EQ(0, end_child(pid[i]));
	}
	EXPECT_EQ(WAITERS, b->updates);
}

#define SHARE		2000

static int take_share(void *arg)
{
	struct one *one = arg;
	struct board *b = one->b;
	struct client c = client_of_child(b);
	unsigned int i;

	come(b);
	until_go(b);
	for (i = 0; i < SHARE; i++) {
		CHECK(!lock_one(&c, &b->a, -1));
		update(b);
		b->again += one->n == b->place[0] || one->n == b->place[1];
		b->place[1] = b->place[0];
		b->place[0] = one->n;
		b->count[one->n]++;
		/* The first to be done sees how far the others are */
		if (b->count[one->n] == SHARE && !b->turn++)
			memcpy(b->counted, b->count, sizeof(b->count));
		CHECK(!unlock_one(&c, &b->a, 0));
	}
	return 0;
}

/*
 * Those that run take the lock many times before they sleep: to sleep each time is
 * slow.  But the others have their share.
 */
TEST_F_TIMEOUT(lock, fair_shares, 120)
{
	struct board *b = self->b;
	struct one one = { .b = b };
	unsigned int least = SHARE;
	pid_t pid[WAITERS];

	b->place[0] = WAITERS;
	b->place[1] = WAITERS;
	for (one.n = 0; one.n < WAITERS; one.n++)
		pid[one.n] = start_child(take_share, &one);
	ASSERT_TRUE(wait_until(look(&b->ready) == WAITERS, SOON_MS));
	set(&b->go, 1);
	for (one.n = 0; one.n < WAITERS; one.n++) {
		EXPECT_EQ(0, end_child(pid[one.n]));
		if (b->counted[one.n] < least)
			least = b->counted[one.n];
	}
	TH_LOG("when the first of %u had its %u locks, the last had %u",
	       WAITERS, SHARE, least);
	EXPECT_LT(SHARE / 2, least);
	TH_LOG("%u of %u locks went to one of the last two", b->again,
	       WAITERS * SHARE);
	EXPECT_LT(WAITERS * SHARE / 2, b->again);
	EXPECT_EQ(WAITERS * SHARE, b->updates);
}

/* On the test's own processor, where it runs only when nobody else wants to. */
static int wait_idly(void *arg)
{
	struct sched_param param = { 0 };

	CHECK(!sched_setscheduler(0, SCHED_IDLE, &param));
	return wait_turn(arg);
}

/* A waiter is not passed over for ever, however slow it is to come when woken. */
TEST_F(lock, a_slow_waiter)
{
	struct board *b = self->b;
	struct one one = { .b = b };
	unsigned int i, round;
	cpu_set_t cpus;
	pid_t pid;

	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(cpus), &cpus));
	for (round = 0; round < 4; round++) {
		b->turn = 0;
		ASSERT_EQ(0, lock_one(&b->c, &b->a, -1));
		pid = start_child(wait_idly, &one);
		ASSERT_TRUE(lockers_are(b, 2));
		for (i = 0; i < 100 * PASSED_MAX && !b->turn; i++) {
			EXPECT_EQ(0, unlock_one(&b->c, &b->a, 0));
			ASSERT_EQ(0, lock_one(&b->c, &b->a, SOON_MS));
		}
		EXPECT_EQ(1, b->turn);
		EXPECT_GE(PASSED_MAX + 1, i);
		EXPECT_EQ(0, unlock_one(&b->c, &b->a, 0));
		EXPECT_EQ(0, end_child(pid));
	}
}

static void *wait_in_thread(void *arg)
{
	struct one *one = arg;
	struct board *b = one->b;

	come(b);
	b->result[one->n] = lock_one(&b->c, &b->a, -1);
	if (b->result[one->n])
		return NULL;
	take_turn(b, (unsigned int)gettid());
	update(b);
	b->result[one->n] = unlock_one(&b->c, &b->a, 0);
	return NULL;
}

static int start_thread(struct one *one, void *(*fn)(void *arg))
{
	pthread_attr_t attr;
	int err;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 * KIB);
	err = pthread_create(&one->thread, &attr, fn, one);
	pthread_attr_destroy(&attr);
	return err;
}

TEST_F_TIMEOUT(lock, a_thousand_waiters, 240)
{
	static struct slabshm_lock_entry entry[MANY + 1];
	static struct one one[MANY];
	unsigned int i, k, late = 0;
	struct board *b = self->b;

	ASSERT_EQ(0, lock_one(&b->other, &b->a, -1));
	for (i = 0; i < MANY; i++) {
		one[i] = (struct one){ .b = b, .n = i };
		ASSERT_EQ(0, start_thread(&one[i], wait_in_thread));
	}
	ASSERT_TRUE(lockers_are(b, MANY + 1));
	ASSERT_EQ(MANY + 1, lockers(b, entry, MANY + 1));
	EXPECT_EQ(0, unlock_one(&b->other, &b->a, 0));
	for (i = 0; i < MANY; i++) {
		ASSERT_EQ(0, pthread_join(one[i].thread, NULL));
		EXPECT_EQ(0, b->result[i]);
	}
	ASSERT_EQ(MANY, b->turn);
	/* In the order in which they came, but for a few who ran when it was free */
	for (i = 0; i < MANY; i++) {
		for (k = 0; k < MANY && entry[k + 1].tid != b->place[i]; k++)
			;
		ASSERT_GT(MANY, k);
		if (k < MANY)
			entry[k + 1].tid = 0;
		late += i > k ? i - k : 0;
	}
	TH_LOG("a waiter was late by %.1f places", late / (double)MANY);
	EXPECT_GT(32 * MANY, late);
	EXPECT_EQ(MANY, b->updates);
	EXPECT_TRUE(lockers_are(b, 0));
}

static unsigned int rounds(void)
{
	return long_run() ? 10000 : 2000;
}

static int lock_both(void *arg)
{
	struct one *one = arg;
	struct board *b = one->b;
	struct client c = client_of_child(b);
	const struct slabshm_cell_open_args *first = one->n ? &b->b : &b->a;
	const struct slabshm_cell_open_args *second = one->n ? &b->a : &b->b;
	unsigned int i;

	come(b);
	until_go(b);
	for (i = 0; i < rounds(); i++) {
		struct slabshm_lock_cell items[2] = {
			{ .cell = first->cell, .generation = first->generation },
			{ .cell = second->cell,
			  .generation = second->generation },
		};
		__u32 failed;

		CHECK(!lock_cells(&c, items, 2, 0, deadline_in(SOON_MS),
				  &failed));
		update(b);
		CHECK(!unlock_cells(&c, items, 2, &failed));
	}
	return 0;
}

TEST_F_TIMEOUT(lock, opposite_orders, 120)
{
	struct board *b = self->b;
	struct one one = { .b = b };
	pid_t pid[2];

	for (one.n = 0; one.n < 2; one.n++)
		pid[one.n] = start_child(lock_both, &one);
	ASSERT_TRUE(wait_until(look(&b->ready) == 2, SOON_MS));
	set(&b->go, 1);
	EXPECT_EQ(0, end_child(pid[0]));
	EXPECT_EQ(0, end_child(pid[1]));
	EXPECT_EQ(2 * rounds(), b->updates);
}

static void *update_on_cpu(void *arg)
{
	struct one *one = arg;
	struct board *b = one->b;
	unsigned int i;
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(one->n, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
	come(b);
	while (look(&b->ready) < 2)
		sched_yield();
	for (i = 0; i < rounds() && !b->result[one->n]; i++) {
		b->result[one->n] = lock_one(one->c, &b->a, -1);
		if (!b->result[one->n]) {
			update(b);
			b->result[one->n] = unlock_one(one->c, &b->a, 0);
		}
	}
	return NULL;
}

TEST_F_TIMEOUT(lock, two_cpus, 120)
{
	struct board *b = self->b;
	struct one one[2] = { { .b = b, .c = &b->c, .n = 0 },
			      { .b = b, .c = &b->other, .n = 1 } };
	unsigned int i;

	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, start_thread(&one[i], update_on_cpu));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, pthread_join(one[i].thread, NULL));
		EXPECT_EQ(0, b->result[i]);
	}
	EXPECT_EQ(2 * rounds(), b->updates);
}

/*
 * ---------------- Called away by signals ----------------
 */

static int hold_for_long(void *arg)
{
	struct board *b = arg;
	struct client c = client_of_child(b);

	while (!look(&b->go)) {
		CHECK(!lock_one(&c, &b->b, -1));
		sleep_ms(25);
		update(b);
		CHECK(!unlock_one(&c, &b->b, 0));
	}
	return 0;
}

/*
 * A timer that is faster than it is one's turn: each time that it interrupts the
 * wait, the place in the queue is kept.  With an array the lock before is given back
 * and taken again.
 */
TEST_F_TIMEOUT(lock, a_timer_and_a_crowd, 120)
{
	struct slabshm_lock_cell items[2] = {
		{ .cell = self->b->b.cell,
		  .generation = self->b->b.generation },
		{ .cell = self->b->a.cell,
		  .generation = self->b->a.generation },
	};
	struct board *b = self->b;
	unsigned int mine = 0, before, array;
	pid_t pid[4];
	unsigned int i;
	__u32 failed;

	for (i = 0; i < ARRAY_LEN(pid); i++)
		pid[i] = start_child(hold_for_long, b);
	ASSERT_TRUE(lockers_are(b, ARRAY_LEN(pid)));
	alarm_every(50, SA_RESTART);
	for (array = 0; array < 2; array++) {
		before = b->updates;
		for (mine = 0; b->updates - before < 100; mine++) {
			ASSERT_EQ(0, lock_cells(&b->c, items, 1 + array, 0,
						deadline_in(SOON_MS), &failed));
			update(b);
			sleep_ms(25);
			EXPECT_EQ(0, unlock_cells(&b->c, items, 1 + array,
						  &failed));
		}
		TH_LOG("%u cells: %u of %u locks were mine, %u signals",
		       array + 1, mine, b->updates - before, alarms);
		EXPECT_LT(100 / (ARRAY_LEN(pid) + 1) / 2, mine);
	}
	alarm_every(0, SA_RESTART);
	set(&b->go, 1);
	for (i = 0; i < ARRAY_LEN(pid); i++)
		EXPECT_EQ(0, end_child(pid[i]));
}

enum away { FOR_A_WHILE, FOR_TOO_LONG, LOCKS_ANOTHER, LOCKS_BOTH, EXITS, AWAYS };

static const char * const aways[AWAYS] = {
	"for a while", "for too long", "locks another", "locks both", "exits",
};

/* Of the process that is called away */
static struct {
	struct board *b;
	struct client c;
	enum away how;
} caller;

static void call_away(int sig)
{
	struct board *b = caller.b;
	struct slabshm_lock_cell items[2] = {
		{ .cell = b->b.cell, .generation = b->b.generation },
		{ .cell = b->a.cell, .generation = b->a.generation },
	};
	int err;

	(void)sig;
	switch (caller.how) {
	case FOR_A_WHILE:
		break;
	case FOR_TOO_LONG:
		sleep_ms(1100);
		break;
	case LOCKS_ANOTHER:
		CHECK(!lock_one(&caller.c, &b->b, 0));
		CHECK(!unlock_one(&caller.c, &b->b, 0));
		break;
	case LOCKS_BOTH:
		err = lock_cells(&caller.c, items, 2, SLABSHM_LOCK_TRY, 0, NULL);
		if (err != -EBUSY)
			fprintf(stderr, "# both cells: %d\n", err);
		CHECK(err == -EBUSY);
		break;
	default:
		set(&b->ready, 2);
		syscall(SYS_exit, 0);
	}
	set(&b->ready, 2);
	until_go(b);
}

static int be_called_away(void *arg)
{
	struct sigaction action = {
		.sa_handler = call_away,
		.sa_flags = SA_RESTART,
	};
	struct one *one = arg;
	struct board *b = one->b;

	caller.b = b;
	caller.c = client_of_child(b);
	caller.how = one->n;
	sigaction(SIGUSR1, &action, NULL);
	set(&b->ready, 1);
	CHECK(!lock_one(&caller.c, &b->a, -1));
	take_turn(b, 100);
	CHECK(!unlock_one(&caller.c, &b->a, 0));
	return 0;
}

/*
 * The one whose handler runs keeps its place, for a second, if it locks nothing else;
 * and holds up nobody.
 */
TEST_F_TIMEOUT(lock, place_kept, 60)
{
	struct board *b = self->b;
	struct one away = { .b = b }, behind = { .b = b };
	bool kept;
	pid_t pid[2];
	int late;

	for (away.n = 0; away.n < 2 * AWAYS; away.n++) {
		struct one one = { .b = b, .n = away.n / 2 };

		/* It comes back before the lock is free, or after that */
		late = away.n % 2;
		kept = one.n == FOR_A_WHILE || one.n == LOCKS_BOTH;
		b->go = 0;
		b->ready = 0;
		b->turn = 0;
		ASSERT_EQ(0, lock_one(&b->c, &b->a, 0));
		pid[0] = start_child(be_called_away, &one);
		ASSERT_TRUE(lockers_are(b, 2));
		pid[1] = start_child(wait_turn, &behind);
		ASSERT_TRUE(lockers_are(b, 3));
		kill(pid[0], SIGUSR1);
		ASSERT_TRUE(wait_until(look(&b->ready) == 2, SOON_MS));
		EXPECT_TRUE(lockers_are(b, 2));
		if (!late && one.n != EXITS) {
			set(&b->go, 1);
			ASSERT_TRUE(lockers_are(b, 3));
		}
		EXPECT_EQ(0, unlock_one(&b->c, &b->a, 0));
		if (late || one.n == EXITS)
			EXPECT_TRUE(turns_are(b, 1));
		set(&b->go, 1);
		EXPECT_TRUE(turns_are(b, one.n == EXITS ? 1 : 2));
		EXPECT_EQ(!late && kept ? 100 : behind.n, b->place[0])
			TH_LOG("%s, late %d", aways[one.n], late);
		EXPECT_EQ(0, end_child(pid[0]));
		EXPECT_EQ(0, end_child(pid[1]));
	}
}

/*
 * ---------------- Deadlocks ----------------
 */

/* Holds one cell and wants the next, until @ms have passed. */
struct link {
	struct board *b;
	struct slabshm_cell_open_args *held;
	struct slabshm_cell_open_args *wanted;
	int ms;
	int result;
	pthread_t thread;
};

static void *hold_and_want(void *arg)
{
	struct link *l = arg;
	int err = lock_one(&l->b->other, l->held, -1);

	come(l->b);
	until_go(l->b);
	l->result = err ?: lock_one(&l->b->other, l->wanted, l->ms);
	if (!l->result || l->result == -EOWNERDEAD)
		unlock_one(&l->b->other, l->wanted, 0);
	unlock_one(&l->b->other, l->held, 0);
	return NULL;
}

/* Threads that wait for each other's cells, the last one for @cell[n]. */
static bool start_chain(struct board *b, struct link *l,
			struct slabshm_cell_open_args *cell, int n, int ms)
{
	int i;

	b->go = 0;
	b->ready = 0;
	for (i = 0; i < n; i++) {
		l[i] = (struct link){ .b = b, .held = &cell[i],
				      .wanted = &cell[i + 1], .ms = ms };
		if (pthread_create(&l[i].thread, NULL, hold_and_want, &l[i]))
			return false;
	}
	if (!wait_until(look(&b->ready) == n, SOON_MS))
		return false;
	set(&b->go, 1);
	return true;
}

static int chain_cells(struct board *b, struct slabshm_cell_open_args *cell, int n)
{
	char name[16];
	int i;

	for (i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "chain%d", i);
		if (cell_open(&b->c, name, SLABSHM_CELL_CREATE, &cell[i]))
			return 1;
	}
	return 0;
}

TEST_F(lock, own_by_another_client)
{
	struct board *b = self->b;

	ASSERT_EQ(0, lock_one(&b->c, &b->a, 0));
	EXPECT_EQ(-EDEADLK, lock_one(&b->other, &b->a, -1));
	EXPECT_EQ(-EBUSY, lock_one(&b->other, &b->a, 0));
	EXPECT_EQ(-ETIMEDOUT, lock_one(&b->other, &b->a, 10));
	EXPECT_EQ(-EPERM, unlock_one(&b->other, &b->a, 0));
	EXPECT_EQ(0, unlock_one(&b->c, &b->a, 0));
	EXPECT_EQ(0, lock_one(&b->other, &b->a, -1));
}

/* How many waiters a list marks. */
static int deadlocked(const struct board *b)
{
	static struct slabshm_lock_entry entry[5 * CHAIN_MAX];
	int i, marked = 0, n = lockers(b, entry, 5 * CHAIN_MAX);

	for (i = 0; i < n; i++)
		marked += !!(entry[i].flags & SLABSHM_LOCKER_DEADLOCK);
	return marked;
}

TEST_F_TIMEOUT(lock, a_deadlock, 120)
{
	static const int lengths[] = { 1, 2, CHAIN_MAX - 1 };
	static struct slabshm_cell_open_args cell[CHAIN_MAX];
	static struct link l[CHAIN_MAX];
	struct board *b = self->b;
	unsigned int k;
	int i, n;

	ASSERT_EQ(0, chain_cells(b, cell, CHAIN_MAX));
	for (k = 0; k < ARRAY_LEN(lengths); k++) {
		struct slabshm_lock_cell items[2] = {
			{ .cell = cell[0].cell,
			  .generation = cell[0].generation },
			{ .cell = b->b.cell, .generation = b->b.generation },
		};
		__u32 failed;

		n = lengths[k];
		ASSERT_EQ(0, lock_one(&b->c, &cell[n], 0));
		ASSERT_TRUE(start_chain(b, l, cell, n, -1));
		ASSERT_TRUE(lockers_are(b, 2 * n + 1));
		EXPECT_EQ(0, deadlocked(b));
		EXPECT_EQ(-EDEADLK, lock_one(&b->c, &cell[0], -1));
		EXPECT_EQ(-EDEADLK, lock_cells(&b->c, items, 2, 0,
					       SLABSHM_DEADLINE_NEVER,
					       &failed));
		EXPECT_EQ(0, failed);
		EXPECT_TRUE(lockers_are(b, 2 * n + 1));
		/* With a deadline it may wait; so may a client of its own */
		EXPECT_EQ(-ETIMEDOUT, lock_one(&b->c, &cell[0], 20));
		EXPECT_EQ(-EBUSY, lock_one(&b->c, &cell[0], 0));
		EXPECT_EQ(-EDEADLK, lock_one(&b->other, &cell[0], -1));
		EXPECT_EQ(0, unlock_one(&b->c, &cell[n], 0));
		for (i = 0; i < n; i++) {
			ASSERT_EQ(0, pthread_join(l[i].thread, NULL));
			EXPECT_EQ(0, l[i].result);
		}
	}
}

static void *want_first(void *arg)
{
	struct link *l = arg;

	l->result = lock_one(&l->b->c, l->held, 0);
	come(l->b);
	until_go(l->b);
	l->result = l->result ?: lock_one(&l->b->c, l->wanted, l->ms);
	if (!l->result)
		unlock_one(&l->b->c, l->wanted, 0);
	unlock_one(&l->b->c, l->held, 0);
	return NULL;
}

/* Where one has a deadline it waits for that, and is shown meanwhile. */
TEST_F_TIMEOUT(lock, a_deadlock_with_a_deadline, 60)
{
	static struct slabshm_cell_open_args cell[3];
	struct board *b = self->b;
	struct link l[3];
	int i, timed;

	ASSERT_EQ(0, chain_cells(b, cell, 3));
	for (timed = 0; timed < 3; timed++) {
		b->ready = 0;
		b->go = 0;
		for (i = 0; i < 3; i++) {
			l[i] = (struct link){
				.b = b,
				.held = &cell[i],
				.wanted = &cell[(i + 1) % 3],
				.ms = i == timed ? 1000 : -1,
			};
			ASSERT_EQ(0, pthread_create(&l[i].thread, NULL,
						    want_first, &l[i]));
		}
		ASSERT_TRUE(wait_until(look(&b->ready) == 3, SOON_MS));
		EXPECT_EQ(0, deadlocked(b));
		set(&b->go, 1);
		EXPECT_TRUE(wait_until(deadlocked(b) == 3, SOON_MS));
		for (i = 0; i < 3; i++) {
			ASSERT_EQ(0, pthread_join(l[i].thread, NULL));
			EXPECT_EQ(i == timed ? -ETIMEDOUT : 0, l[i].result);
		}
		EXPECT_EQ(0, deadlocked(b));
	}
}

/* How a waiter is called away before it can have the lock */
enum call_away {
	CANCELLED,
	SIGNALLED,
	KILLED,
	WAYS_TO_CALL_AWAY,
};

static void handle_nothing(int sig)
{
	(void)sig;
}

static int hold_and_want_for_ever(void *arg)
{
	struct link *l = arg;
	struct client c = client_of_child(l->b);

	if (lock_one(&c, l->held, 0))
		return 1;
	come(l->b);
	lock_one(&c, l->wanted, -1);
	return 1;	/* it is killed before */
}

/*
 * A waiter that is called away gives up, whatever the others do: so it is no part of
 * a deadlock, even if it could not run since.
 */
TEST_F_TIMEOUT(lock, no_deadlock_with_who_gives_up, 60)
{
	struct sched_param param = { .sched_priority = 1 };
	struct sigaction action = { .sa_handler = handle_nothing };
	struct board *b = self->b;
	struct slabshm_cancel_args cancel = { .flags = SLABSHM_CANCEL_ON };
	struct link l = { .b = b, .held = &b->b, .wanted = &b->a, .ms = -1 };
	pid_t pid = 0;
	cpu_set_t cpus;
	int way;

	/* One processor, which is the test's until it sleeps */
	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(cpus), &cpus));
	ASSERT_EQ(0, sigaction(SIGUSR1, &action, NULL));
	for (way = 0; way < WAYS_TO_CALL_AWAY; way++) {
		ASSERT_EQ(0, lock_one(&b->c, &b->a, 0));
		b->ready = 0;
		set(&b->go, 1);
		if (way == KILLED)
			pid = start_child(hold_and_want_for_ever, &l);
		else
			ASSERT_EQ(0, pthread_create(&l.thread, NULL,
						    hold_and_want, &l));
		ASSERT_TRUE(lockers_are(b, 3));
		param.sched_priority = 1;
		ASSERT_EQ(0, sched_setscheduler(0, SCHED_FIFO, &param));
		if (way == CANCELLED) {
			EXPECT_EQ(0, client_call(&b->other, SLABSHM_IOC_CANCEL,
						 &cancel));
		} else if (way == SIGNALLED) {
			EXPECT_EQ(0, pthread_kill(l.thread, SIGUSR1));
		} else {
			EXPECT_EQ(0, kill(pid, SIGKILL));
		}
		EXPECT_EQ(way == KILLED ? -EOWNERDEAD : 0,
			  lock_one(&b->c, &b->b, -1));
		param.sched_priority = 0;
		ASSERT_EQ(0, sched_setscheduler(0, SCHED_OTHER, &param));
		unlock_one(&b->c, &b->b, CONSISTENT);
		EXPECT_EQ(0, unlock_one(&b->c, &b->a, 0));
		if (way == KILLED) {
			EXPECT_EQ(-SIGKILL, end_child(pid));
			continue;
		}
		ASSERT_EQ(0, pthread_join(l.thread, NULL));
		EXPECT_EQ(way == CANCELLED ? -ECANCELED : -EINTR, l.result);
		cancel.flags = 0;
		EXPECT_EQ(0, client_call(&b->other, SLABSHM_IOC_CANCEL,
					 &cancel));
	}
}

/* A chain that is longer than a search follows it is not found, and not marked. */
TEST_F_TIMEOUT(lock, a_long_chain, 120)
{
	static struct slabshm_cell_open_args cell[2 * CHAIN_MAX + 1];
	static struct link l[2 * CHAIN_MAX];
	struct board *b = self->b;
	struct link closing = { .b = b, .held = &cell[2 * CHAIN_MAX],
				.wanted = &cell[0], .ms = -1 };
	int i, n = 2 * CHAIN_MAX;

	ASSERT_EQ(0, chain_cells(b, cell, n + 1));
	ASSERT_EQ(0, pthread_create(&closing.thread, NULL, want_first,
				    &closing));
	ASSERT_TRUE(wait_until(look(&b->ready) == 1, SOON_MS));
	ASSERT_TRUE(start_chain(b, l, cell, n, -1));
	ASSERT_TRUE(lockers_are(b, 2 * n + 2));
	EXPECT_EQ(0, deadlocked(b));
	ASSERT_EQ(0, cell_remove(&b->c, &cell[1]));
	ASSERT_EQ(0, pthread_join(closing.thread, NULL));
	EXPECT_EQ(0, closing.result);
	for (i = 0; i < n; i++) {
		ASSERT_EQ(0, pthread_join(l[i].thread, NULL));
		EXPECT_EQ(i ? 0 : -EIDRM, l[i].result);
	}
	EXPECT_TRUE(lockers_are(b, 0));
}

/*
 * ---------------- Arrays ----------------
 */

static int wait_for_both(void *arg)
{
	struct board *b = arg;
	struct client c = client_of_child(b);
	struct slabshm_lock_cell items[2] = {
		{ .cell = b->b.cell, .generation = b->b.generation },
		{ .cell = b->a.cell, .generation = b->a.generation },
	};

	lock_cells(&c, items, 2, 0, SLABSHM_DEADLINE_NEVER, NULL);
	return 0;
}

/* Who waits for the second has the first; who gives up gives it back, whole. */
TEST_F(lock, all_or_none)
{
	struct board *b = self->b;
	struct slabshm_unlock_args all = { .flags = SLABSHM_UNLOCK_THREAD };
	struct slabshm_lock_entry entry[4];
	pid_t pid;
	int dead;

	for (dead = 0; dead < 2; dead++) {
		ASSERT_EQ(0, lock_one(&b->c, &b->b, -1));
		pid = start_child(wait_for_both, b);
		ASSERT_TRUE(lockers_are(b, 3));
		ASSERT_EQ(3, lockers(b, entry, 3));
		EXPECT_STREQ("b", entry[0].name);
		EXPECT_STREQ("a", entry[1].name);
		EXPECT_EQ(SLABSHM_LOCKER_HOLDS,
			  entry[1].flags & SLABSHM_LOCKER_HOLDS);
		EXPECT_EQ(pid, entry[1].tid);
		EXPECT_STREQ("b", entry[2].name);
		EXPECT_EQ(0, entry[2].flags);
		EXPECT_EQ(-EBUSY, lock_one(&b->other, &b->a, 0));
		kill(pid, SIGKILL);
		EXPECT_EQ(-SIGKILL, end_child(pid));
		EXPECT_TRUE(lockers_are(b, 1));
		EXPECT_EQ(dead ? -EOWNERDEAD : 0,
			  lock_one(&b->other, &b->a, SOON_MS));
		/* The second time around, the first was left by a dead one */
		EXPECT_EQ(0, client_call(&b->other, SLABSHM_IOC_UNLOCK, &all));
		EXPECT_EQ(0, unlock_one(&b->c, &b->b, 0));
	}
}

/*
 * ---------------- Death of the holder ----------------
 */

enum death {
	BY_KILL, BY_EXIT, BY_EXEC, BY_UNMAP, BY_THREAD_EXIT, BY_LEADER_EXIT,
	DEATHS
};

static const char * const deaths[DEATHS] = {
	"killed", "exit", "exec", "munmap", "thread's exit", "leader's exit",
};

static struct client of_owner;

static void *hold_and_vanish(void *arg)
{
	struct one *one = arg;

	CHECK(!lock_one(&of_owner, &one->b->a, -1));
	come(one->b);
	until_go(one->b);
	syscall(SYS_exit, 0);
	return NULL;
}

static void *stay(void *arg)
{
	(void)arg;
	for (;;)
		pause();
	return NULL;
}

static int hold_and_die(void *arg)
{
	struct one *one = arg;

	of_owner = client_of_child(one->b);
	if (one->n == BY_THREAD_EXIT) {
		CHECK(!start_thread(one, hold_and_vanish));
		stay(NULL);
	}
	if (one->n == BY_LEADER_EXIT) {
		CHECK(!start_thread(one, stay));
		hold_and_vanish(one);
	}
	CHECK(!lock_one(&of_owner, &one->b->a, -1));
	come(one->b);
	until_go(one->b);
	switch (one->n) {
	case BY_EXIT:
		return 0;
	case BY_EXEC:
		execl("/bin/sleep", "sleep", "1000", NULL);
		return 1;
	case BY_UNMAP:
		client_unmap_reader(&of_owner);
		break;
	}
	stay(NULL);
	return 1;
}

struct kick {
	struct board *b;
	enum death how;
	pid_t pid;
	int lockers;
	long long at;
};

/* The holder dies once so many are in the queue. */
static void *let_die(void *arg)
{
	struct kick *kick = arg;

	lockers_are(kick->b, kick->lockers);
	kick->at = now_ms();
	if (kick->how == BY_KILL)
		kill(kick->pid, SIGKILL);
	set(&kick->b->go, 1);
	return NULL;
}

static int try_until_free(struct board *b)
{
	int err;

	wait_until((err = lock_one(&b->c, &b->a, 0)) != -EBUSY, SOON_MS);
	return err;
}

/* Someone waits already when the holder dies, or comes later. */
TEST_F_TIMEOUT(lock, the_holder_dies, 120)
{
	struct board *b = self->b;
	struct one one = { .b = b };
	struct slabshm_lock_entry entry;
	pthread_t thread;
	int later;

	for (one.n = 0; one.n < 2 * DEATHS; one.n++) {
		struct one owner = { .b = b, .n = one.n / 2 };
		struct kick kick = { .b = b, .how = owner.n };

		later = one.n % 2;
		b->ready = 0;
		b->go = 0;
		kick.pid = start_child(hold_and_die, &owner);
		kick.lockers = later ? 1 : 2;
		ASSERT_TRUE(wait_until(look(&b->ready) == 1, SOON_MS));
		EXPECT_EQ(-EBUSY, lock_one(&b->c, &b->a, 0));
		ASSERT_EQ(0, pthread_create(&thread, NULL, let_die, &kick));
		if (later) {
			ASSERT_EQ(0, pthread_join(thread, NULL));
			EXPECT_EQ(-EOWNERDEAD, try_until_free(b))
				TH_LOG("later: %s", deaths[owner.n]);
		} else {
			EXPECT_EQ(-EOWNERDEAD, lock_one(&b->c, &b->a, SOON_MS))
				TH_LOG("waiting: %s", deaths[owner.n]);
			TH_LOG("%s: noticed after %lld ms", deaths[owner.n],
			       now_ms() - kick.at);
			ASSERT_EQ(0, pthread_join(thread, NULL));
		}
		/* It is handed on until someone says that all is well */
		ASSERT_EQ(1, lockers(b, &entry, 1));
		EXPECT_EQ(SLABSHM_LOCKER_HOLDS | SLABSHM_LOCKER_INCONSISTENT,
			  entry.flags);
		EXPECT_EQ(0, unlock_one(&b->c, &b->a, 0));
		EXPECT_EQ(-EOWNERDEAD, lock_one(&b->other, &b->a, 0));
		EXPECT_EQ(0, unlock_one(&b->other, &b->a, CONSISTENT));
		EXPECT_EQ(0, lock_one(&b->c, &b->a, 0));
		EXPECT_EQ(0, unlock_one(&b->c, &b->a, 0));
		kill(kick.pid, SIGKILL);
		end_child(kick.pid);
	}
}

/* A list shows a dead holder as that until somebody wants its lock. */
TEST_F(lock, dead_in_a_list)
{
	struct board *b = self->b;
	struct one owner = { .b = b, .n = BY_THREAD_EXIT };
	struct slabshm_lock_entry entry;
	pid_t pid = start_child(hold_and_die, &owner);

	ASSERT_TRUE(wait_until(look(&b->ready) == 1, SOON_MS));
	ASSERT_EQ(1, lockers(b, &entry, 1));
	EXPECT_EQ(SLABSHM_LOCKER_HOLDS, entry.flags);
	EXPECT_NE(pid, entry.tid);
	set(&b->go, 1);
	EXPECT_TRUE(wait_until(lockers(b, &entry, 1) == 1 && entry.flags ==
			       (SLABSHM_LOCKER_HOLDS | SLABSHM_LOCKER_DEAD),
			       SOON_MS));
	EXPECT_EQ(-EOWNERDEAD, lock_one(&b->c, &b->a, 0));
	ASSERT_EQ(1, lockers(b, &entry, 1));
	EXPECT_EQ(gettid(), entry.tid);
	kill(pid, SIGKILL);
	end_child(pid);
}

/* The first to the fourth of those who wait are told, as no one says it is well. */
TEST_F(lock, death_handed_on)
{
	struct board *b = self->b;
	struct one owner = { .b = b, .n = BY_KILL };
	pid_t pid[WAITERS], holder;
	unsigned int i;

	holder = start_child(hold_and_die, &owner);
	ASSERT_TRUE(wait_until(look(&b->ready) == 1, SOON_MS));
	ASSERT_TRUE(start_waiters(b, pid, WAITERS));
	kill(holder, SIGKILL);
	EXPECT_EQ(-SIGKILL, end_child(holder));
	for (i = 0; i < WAITERS; i++) {
		EXPECT_EQ(0, end_child(pid[i]));
		EXPECT_EQ(i, b->place[i]);
		EXPECT_EQ(i < 4 ? -EOWNERDEAD : 0, b->result[i]);
	}
}

static int many_cells(struct board *b, struct slabshm_cell_open_args *cell)
{
	unsigned int i;

	for (i = 0; i < CELLS; i++) {
		char name[16];

		snprintf(name, sizeof(name), "many%u", i);
		if (cell_open(&b->c, name, SLABSHM_CELL_CREATE, &cell[i]))
			return 1;
	}
	return 0;
}

static struct slabshm_cell_open_args many[CELLS];

static int hold_many(void *arg)
{
	struct board *b = arg;
	struct client c = client_of_child(b);
	unsigned int i;

	for (i = 0; i < CELLS; i++)
		CHECK(!lock_one(&c, &many[i], 0));
	come(b);
	stay(NULL);
	return 0;
}

TEST_F(lock, many_locks_at_death)
{
	struct board *b = self->b;
	unsigned int i;
	pid_t pid;

	ASSERT_EQ(0, many_cells(b, many));
	pid = start_child(hold_many, b);
	ASSERT_TRUE(wait_until(look(&b->ready) == 1, SOON_MS));
	EXPECT_TRUE(lockers_are(b, CELLS));
	kill(pid, SIGKILL);
	EXPECT_EQ(-SIGKILL, end_child(pid));
	EXPECT_TRUE(lockers_are(b, 0));
	for (i = 0; i < CELLS; i++)
		EXPECT_EQ(-EOWNERDEAD, lock_one(&b->c, &many[i], 0));
}

static void *give_all_back(void *arg)
{
	struct slabshm_unlock_args all = { .flags = SLABSHM_UNLOCK_THREAD };
	struct one *one = arg;
	unsigned int i;

	for (i = 0; i < CELLS && !one->b->result[0]; i += 2)
		one->b->result[0] = lock_one(&one->b->c, &many[i], 0);
	come(one->b);
	until_go(one->b);
	one->b->result[1] = client_call(&one->b->c, SLABSHM_IOC_UNLOCK, &all);
	return NULL;
}

/* What a thread's destructor does: all of its own, none of its siblings'. */
TEST_F(lock, a_thread_gives_back)
{
	struct board *b = self->b;
	struct one one = { .b = b };
	unsigned int i;

	ASSERT_EQ(0, many_cells(b, many));
	ASSERT_EQ(0, start_thread(&one, give_all_back));
	ASSERT_TRUE(wait_until(look(&b->ready) == 1, SOON_MS));
	for (i = 1; i < CELLS; i += 2)
		ASSERT_EQ(0, lock_one(&b->c, &many[i], 0));
	EXPECT_TRUE(lockers_are(b, CELLS));
	set(&b->go, 1);
	ASSERT_EQ(0, pthread_join(one.thread, NULL));
	EXPECT_EQ(0, b->result[0]);
	EXPECT_EQ(0, b->result[1]);
	EXPECT_TRUE(lockers_are(b, CELLS / 2));
	for (i = 0; i < CELLS; i++)
		EXPECT_EQ(i % 2 ? -EBUSY : -EOWNERDEAD,
			  lock_one(&b->other, &many[i], 0));
	for (i = 1; i < CELLS; i += 2)
		EXPECT_EQ(0, unlock_one(&b->c, &many[i], 0));
}

static int use_parents(void *arg)
{
	struct board *b = arg;
	struct slabshm_unlock_args all = { .flags = SLABSHM_UNLOCK_THREAD };
	struct client c = client_of_child(b);

	CHECK(lock_one(&b->c, &b->b, 0) == -EIO);
	CHECK(unlock_one(&b->c, &b->a, 0) == -EIO);
	CHECK(client_call(&b->c, SLABSHM_IOC_UNLOCK, &all) == -EIO);
	CHECK(lock_one(&c, &b->a, 0) == -EBUSY);
	CHECK(unlock_one(&c, &b->a, 0) == -EPERM);
	return 0;
}

TEST_F(lock, a_forked_child)
{
	struct board *b = self->b;

	ASSERT_EQ(0, lock_one(&b->c, &b->a, 0));
	EXPECT_EQ(0, in_child(use_parents, b));
	/* Its end is not that of its parent */
	EXPECT_EQ(-EBUSY, lock_one(&b->other, &b->a, 0));
	EXPECT_EQ(0, unlock_one(&b->c, &b->a, 0));
	EXPECT_EQ(0, lock_one(&b->other, &b->a, 0));
}

/*
 * A child by vfork() is a thread of its parent's client, until it calls exec(): then
 * it has died, though it lives.
 */
TEST_F(lock, a_vforked_child)
{
	struct board *b = self->b;
	pid_t pid = vfork();

	if (!pid) {
		if (!lock_one(&b->c, &b->a, 0))
			execl("/bin/sleep", "sleep", "1000", NULL);
		_exit(1);
	}
	ASSERT_LT(0, pid);
	EXPECT_EQ(-EOWNERDEAD, lock_one(&b->other, &b->a, SOON_MS));
	EXPECT_EQ(0, kill(pid, 0));
	kill(pid, SIGKILL);
	EXPECT_EQ(-SIGKILL, end_child(pid));
}

/*
 * ---------------- Those who wait ----------------
 */

TEST_F(lock, a_waiter_is_killed)
{
	struct board *b = self->b;
	pid_t pid[WAITERS];
	unsigned int i, n = 0;

	ASSERT_EQ(0, lock_one(&b->c, &b->a, 0));
	ASSERT_TRUE(start_waiters(b, pid, WAITERS));
	for (i = 0; i < WAITERS; i += 3) {
		kill(pid[i], SIGKILL);
		EXPECT_EQ(-SIGKILL, end_child(pid[i]));
		n++;
	}
	EXPECT_TRUE(lockers_are(b, 1 + (int)(WAITERS - n)));
	EXPECT_EQ(0, unlock_one(&b->c, &b->a, 0));
	ASSERT_TRUE(turns_are(b, WAITERS - n));
	for (i = 0, n = 0; i < WAITERS; i++) {
		if (i % 3) {
			EXPECT_EQ(i, b->place[n++]);
			EXPECT_EQ(0, end_child(pid[i]));
		}
	}
}

static void *wait_with(void *arg)
{
	struct one *one = arg;

	one->b->result[one->n] = lock_one(one->c, &one->b->a, -1);
	return NULL;
}

TEST_F(lock, the_waiters_client_ends)
{
	struct board *b = self->b;
	struct one one[2] = { { .b = b, .c = &b->other, .n = 0 },
			      { .b = b, .c = &b->other, .n = 1 } };
	unsigned int i;

	ASSERT_EQ(0, lock_one(&b->other, &b->b, 0));
	ASSERT_EQ(0, lock_one(&b->c, &b->a, 0));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, start_thread(&one[i], wait_with));
		ASSERT_TRUE(lockers_are(b, 3 + (int)i));
	}
	client_unmap_reader(&b->other);
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, pthread_join(one[i].thread, NULL));
		EXPECT_EQ(-ENXIO, b->result[i]);
	}
	EXPECT_EQ(-ENXIO, lock_one(&b->other, &b->a, 0));
	EXPECT_EQ(-ENXIO, unlock_one(&b->other, &b->b, 0));
	/* What it held is given back when its calls are over */
	EXPECT_EQ(-EOWNERDEAD, lock_one(&b->c, &b->b, SOON_MS));
	EXPECT_EQ(0, unlock_one(&b->c, &b->a, 0));
	EXPECT_EQ(0, lock_one(&b->c, &b->a, 0));
}

/*
 * ---------------- The cell or the slab goes ----------------
 */

TEST_F(lock, the_cell_is_removed)
{
	struct board *b = self->b;
	struct one one[WAITERS];
	struct slabshm_unlock_args all = { .flags = SLABSHM_UNLOCK_THREAD };
	struct slabshm_cell_open_args old;
	unsigned int i, round;

	for (round = 0; round < 3; round++) {
		old = b->a;
		/* With one who holds it, and without; what a dead one left */
		ASSERT_EQ(0, lock_one(&b->c, &b->a, 0));
		for (i = 0; i < WAITERS; i++) {
			one[i] = (struct one){ .b = b, .c = &b->c, .n = i };
			ASSERT_EQ(0, start_thread(&one[i], wait_with));
		}
		ASSERT_TRUE(lockers_are(b, WAITERS + 1));
		ASSERT_EQ(0, cell_remove(round ? &b->other : &b->c, &b->a));
		for (i = 0; i < WAITERS; i++) {
			ASSERT_EQ(0, pthread_join(one[i].thread, NULL));
			EXPECT_EQ(-EIDRM, b->result[i]);
		}
		EXPECT_TRUE(lockers_are(b, 0));
		EXPECT_EQ(-EIDRM, unlock_one(&b->c, &old, 0));
		EXPECT_EQ(-EIDRM, lock_one(&b->c, &old, 0));
		/* Who takes its place has a lock that is free, and whole */
		ASSERT_EQ(0, cell_open(&b->c, "a", SLABSHM_CELL_CREATE, &b->a));
		EXPECT_EQ(old.cell, b->a.cell);
		EXPECT_NE(old.generation, b->a.generation);
		EXPECT_EQ(0, lock_one(&b->c, &b->a, 0));
		EXPECT_EQ(0, client_call(&b->c, SLABSHM_IOC_UNLOCK, &all));
		if (round == 1) {
			ASSERT_EQ(0, cell_remove(&b->other, &b->a));
			ASSERT_EQ(0, cell_open(&b->c, "a", SLABSHM_CELL_CREATE,
					       &b->a));
			EXPECT_EQ(0, lock_one(&b->c, &b->a, 0));
			EXPECT_EQ(0, unlock_one(&b->c, &b->a, 0));
		} else {
			EXPECT_EQ(-EOWNERDEAD, lock_one(&b->c, &b->a, 0));
			EXPECT_EQ(0, unlock_one(&b->c, &b->a, CONSISTENT));
		}
	}
}

TEST_F(lock, the_slab_is_unlinked)
{
	struct board *b = self->b;
	pid_t pid[2];
	struct slabshm_lock_entry entries[3];
	unsigned int i;

	ASSERT_EQ(0, lock_one(&b->c, &b->a, 0));
	ASSERT_TRUE(start_waiters(b, pid, 2));
	EXPECT_EQ(0, unlink_slab(b->c.at.name));
	EXPECT_EQ(3, lockers(b, entries, 3));
	EXPECT_EQ(0, unlock_one(&b->c, &b->a, 0));
	for (i = 0; i < 2; i++)
		EXPECT_EQ(0, end_child(pid[i]));
	EXPECT_EQ(2, b->turn);
	EXPECT_EQ(0, lock_one(&b->c, &b->a, 0));
}

/* Where locks are mandatory, a dead holder stands in nobody's way. */
TEST_F(lock, mandatory_and_dead)
{
	struct board *b = self->b;
	struct one owner = { .b = b, .n = BY_THREAD_EXIT };
	int remove;
	pid_t pid;

	client_close(&b->other);
	client_close(&b->c);
	ASSERT_EQ(0, client_open(&b->c, NULL, SLABSHM_ATTACH_CREATE |
				 SLABSHM_ATTACH_MANDATORY, MIB, MIB));
	for (remove = 0; remove < 2; remove++) {
		ASSERT_EQ(0, cell_open(&b->c, "a", SLABSHM_CELL_CREATE, &b->a));
		b->go = 0;
		b->ready = 0;
		pid = start_child(hold_and_die, &owner);
		ASSERT_TRUE(wait_until(look(&b->ready) == 1, SOON_MS));
		EXPECT_EQ(-EBUSY, publish_one(&b->c, &b->a, 0, 0));
		EXPECT_EQ(-EBUSY, cell_remove(&b->c, &b->a));
		set(&b->go, 1);
		if (remove) {
			EXPECT_TRUE(wait_until(!cell_remove(&b->c, &b->a),
					       SOON_MS));
		} else {
			EXPECT_TRUE(wait_until(!publish_one(&b->c, &b->a, 0, 0),
					       SOON_MS));
			/* It has said nothing of what the lock protects */
			EXPECT_EQ(-EOWNERDEAD, lock_one(&b->c, &b->a, 0));
			EXPECT_EQ(0, unlock_one(&b->c, &b->a, CONSISTENT));
		}
		kill(pid, SIGKILL);
		end_child(pid);
	}
}

/*
 * ---------------- All at once ----------------
 */

#define SLOTS	4096	/* of generations: one that comes later is another cell */

static int (*within)[SLOTS];

static int do_anything(void *arg)
{
	struct one *one = arg;
	struct board *b = one->b;
	struct client c = client_of_child(b);
	unsigned int seed = one->n * 7919 + 1, i;
	struct slabshm_cell_open_args cell;

	for (i = 0; !look(&b->go); i++) {
		int *slot, err;

		err = cell_open(&c, rand_r(&seed) % 2 ? "x" : "y",
				SLABSHM_CELL_CREATE, &cell);
		CHECK(!err);
		err = lock_one(&c, &cell, rand_r(&seed) % 4);
		if (err && err != -EOWNERDEAD) {
			CHECK(err == -EBUSY || err == -ETIMEDOUT ||
			      err == -EIDRM);
			continue;
		}
		slot = &within[cell.cell % 2][cell.generation % SLOTS];
		CHECK(__atomic_add_fetch(slot, 1, __ATOMIC_SEQ_CST) == 1);
		if (rand_r(&seed) % 8 == 0)
			sleep_ms(1);
		__atomic_sub_fetch(slot, 1, __ATOMIC_SEQ_CST);
		if (rand_r(&seed) % 8)
			err = unlock_one(&c, &cell, CONSISTENT);
		else
			err = cell_remove(&c, &cell);
		CHECK(!err || err == -EIDRM);
	}
	return 0;
}

TEST_F_TIMEOUT(lock, cells_come_and_go, 60)
{
	struct board *b = self->b;
	struct one one = { .b = b };
	pid_t pid[4];

	within = mmap(NULL, 2 * sizeof(*within), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, within);
	for (one.n = 0; one.n < ARRAY_LEN(pid); one.n++)
		pid[one.n] = start_child(do_anything, &one);
	sleep_ms(long_run() ? 30000 : 3000);
	set(&b->go, 1);
	for (one.n = 0; one.n < ARRAY_LEN(pid); one.n++)
		EXPECT_EQ(0, end_child(pid[one.n]));
	EXPECT_TRUE(lockers_are(b, 0));
}

TEST_HARNESS_MAIN
