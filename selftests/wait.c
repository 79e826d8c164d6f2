// SPDX-License-Identifier: GPL-2.0
/*
 * WAIT: who sleeps until a cell changes is woken by each kind of change, by
 * nothing else, and always; and can be killed.
 */
#include <sys/time.h>

#include "object.h"
#include "watches.h"

#include "kselftest_harness.h"

#define CELLS	SLABSHM_BATCH_MAX

FIXTURE(wait)
{
	struct client c;
	struct client other;
	struct slabshm_cell_open_args cell[CELLS];
	struct sleeper sleeper;
};

FIXTURE_SETUP(wait)
{
	ASSERT_EQ(0, client_open(&self->c, NULL, SLABSHM_ATTACH_CREATE,
				 8 * MIB, MIB));
	ASSERT_EQ(0, client_open_fd(&self->other, self->c.fd, 0));
	ASSERT_EQ(0, make_cells(&self->c, self->cell, CELLS));
}

FIXTURE_TEARDOWN(wait)
{
	client_close(&self->other);
	client_close(&self->c);
}

static void fill_cells(const struct client *c,
		       const struct slabshm_cell_open_args *handle,
		       struct slabshm_wait_cell *cells)
{
	unsigned int i;

	for (i = 0; i < CELLS; i++)
		cells[i] = wait_cell(&handle[i], version_of(c, &handle[i]));
}

/*
 * ---------------- What need not sleep ----------------
 */

TEST_F(wait, version_differs_already)
{
	struct slabshm_wait_cell cells[CELLS], was[CELLS];
	__u32 failed;
	__s64 version;
	unsigned int i;

	fill_cells(&self->c, self->cell, was);
	version = change(&self->other, &self->cell[40]);
	ASSERT_LT(0, version);
	memcpy(cells, was, sizeof(cells));
	EXPECT_EQ(0, wait_cells(&self->c, cells, CELLS, NEVER, &failed));
	EXPECT_EQ(POISON32, failed);
	for (i = 0; i < CELLS; i++) {
		EXPECT_EQ(i == 40, cells[i].flags);
		EXPECT_EQ(i == 40 ? (__u64)version : was[i].version,
			  cells[i].version);
		EXPECT_EQ(self->cell[i].cell, cells[i].cell);
		EXPECT_EQ(self->cell[i].generation, cells[i].generation);
	}

	/* "Differs": one from the future does, too. */
	cells[0] = wait_cell(&self->cell[0], was[0].version + 1000);
	EXPECT_EQ(0, wait_cells(&self->c, cells, 1, 0, NULL));
	EXPECT_EQ(1, cells[0].flags);
	EXPECT_EQ(was[0].version, cells[0].version);

	/* The same cell twice, of which one is known */
	cells[0] = was[40];
	cells[1] = wait_cell(&self->cell[40], (__u64)version);
	EXPECT_EQ(0, wait_cells(&self->c, cells, 2, NEVER, NULL));
	EXPECT_EQ(1, cells[0].flags);
	EXPECT_EQ(0, cells[1].flags);
	EXPECT_EQ(version, cells[0].version);
	EXPECT_EQ(version, cells[1].version);

	/* What was told serves for the next call */
	EXPECT_EQ(-ETIMEDOUT, wait_cells(&self->c, cells, 2, 0, NULL));
	EXPECT_EQ(1, cells[0].flags);
	cells[1].version = 0;
	EXPECT_EQ(0, wait_cells(&self->c, cells, 2, NEVER, NULL));
	EXPECT_EQ(0, cells[0].flags);
	EXPECT_EQ(1, cells[1].flags);
}

TEST_F(wait, deadline)
{
	struct slabshm_wait_cell cells[CELLS], was[CELLS];
	long long start;
	unsigned int n;
	__u32 failed;

	fill_cells(&self->c, self->cell, was);
	for (n = 1; n <= CELLS; n += CELLS - 1) {
		memcpy(cells, was, sizeof(cells));
		EXPECT_EQ(-ETIMEDOUT, wait_cells(&self->c, cells, n, 0,
						 &failed));
		EXPECT_EQ(NO_ITEM, failed);
		EXPECT_EQ(-ETIMEDOUT, wait_cells(&self->c, cells, n, 1, NULL));
		start = now_ms();
		EXPECT_EQ(-ETIMEDOUT, wait_cells(&self->c, cells, n,
						 deadline_in(100), &failed));
		EXPECT_LE(99, now_ms() - start);
		EXPECT_EQ(NO_ITEM, failed);
		EXPECT_EQ(0, memcmp(cells, was, sizeof(cells)));
	}
}

/* Clocks of the caller's time namespace, on whichever side of the host's. */
static int in_other_time(void *offset)
{
	struct slabshm_cell_open_args cell;
	struct slabshm_event event;
	struct client c, other;
	long long start;
	__u64 version;

	(void)offset;
	CHECK(!client_open(&c, NULL, SLABSHM_ATTACH_CREATE, MIB, MIB));
	CHECK(!client_open_fd(&other, c.fd, 0));
	CHECK(!cell_open(&c, "x", SLABSHM_CELL_CREATE, &cell));
	CHECK(!lock_one(&other, &cell, 0));
	version = version_of(&c, &cell);
	start = now_ms();
	CHECK(wait_one(&c, &cell, &version, deadline_in(200)) == -ETIMEDOUT);
	CHECK(events(&c, &event, 1, deadline_in(200)) == -ETIMEDOUT);
	CHECK(lock_one(&c, &cell, 200) == -ETIMEDOUT);
	CHECK(now_ms() - start >= 599);
	CHECK(now_ms() - start < 30000);
	CHECK(wait_one(&c, &cell, &version, 0) == -ETIMEDOUT);
	version--;
	CHECK(!wait_one(&c, &cell, &version, NEVER));
	return 0;
}

static int enter_other_time(void *offset)
{
	int fd;

	if (unshare(CLONE_NEWTIME))
		return errno == EINVAL || errno == EPERM ? 4 : 1;
	fd = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
	CHECK(fd >= 0);
	CHECK(write(fd, offset, strlen(offset)) == (ssize_t)strlen(offset));
	/* For children only */
	return in_child(in_other_time, offset);
}

TEST_F(wait, time_namespace)
{
	static const char * const offsets[] = {
		"monotonic 100000 5\n", "monotonic -1 0\n",
	};
	int ret = in_child(enter_other_time, (void *)(uintptr_t)offsets[0]);

	if (ret == 4)
		SKIP(return, "no time namespaces");
	EXPECT_EQ(0, ret);
	EXPECT_EQ(0, in_child(enter_other_time, (void *)(uintptr_t)offsets[1]));
	(void)self;
}

TEST_F(wait, refused)
{
	struct slabshm_wait_cell cells[CELLS];
	struct slabshm_wait_args arg;
	__u32 failed;

	fill_cells(&self->c, self->cell, cells);
	ASSERT_EQ(0, cell_remove(&self->c, &self->cell[20]));
	EXPECT_EQ(-EIDRM, wait_cells(&self->c, cells, CELLS, NEVER, &failed));
	EXPECT_EQ(20, failed);
	/* Though another has changed */
	cells[0].version = 0;
	EXPECT_EQ(-EIDRM, wait_cells(&self->c, cells, CELLS, NEVER, &failed));
	EXPECT_EQ(20, failed);
	cells[19].cell = CELLS;
	EXPECT_EQ(-EINVAL, wait_cells(&self->c, cells, CELLS, NEVER, &failed));
	EXPECT_EQ(19, failed);
	cells[19].cell = NO_ITEM;
	EXPECT_EQ(-EINVAL, wait_cells(&self->c, cells, CELLS, NEVER, &failed));
	EXPECT_EQ(19, failed);
	cells[18].flags = 2;
	EXPECT_EQ(-EINVAL, wait_cells(&self->c, cells, CELLS, NEVER, &failed));
	EXPECT_EQ(18, failed);
	cells[17].generation++;
	EXPECT_EQ(-EIDRM, wait_cells(&self->c, cells, 18, NEVER, &failed));
	EXPECT_EQ(17, failed);
	EXPECT_EQ(-EINVAL, wait_cells(&self->c, cells, 0, NEVER, NULL));
	EXPECT_EQ(-EINVAL, wait_cells(&self->c, cells, CELLS + 1, NEVER, NULL));
	EXPECT_EQ(-EINVAL, wait_cells(&self->c, cells, NO_ITEM, NEVER, NULL));

	arg = (struct slabshm_wait_args){ .cells = 8, .count = 1 };
	EXPECT_EQ(-EFAULT, client_call(&self->c, SLABSHM_IOC_WAIT, &arg));
	arg.cells = (uintptr_t)cells;
	arg.flags = 1;
	EXPECT_EQ(-EINVAL, client_call(&self->c, SLABSHM_IOC_WAIT, &arg));
}

/* The answer cannot be written: the next call gives it. */
TEST_F(wait, answer_cannot_be_written)
{
	struct slabshm_wait_cell *cell = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
					      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, cell);
	*cell = wait_cell(&self->cell[0], 0);
	mprotect(cell, PAGE, PROT_READ);
	EXPECT_EQ(-EFAULT, wait_cells(&self->c, cell, 1, NEVER, NULL));
	mprotect(cell, PAGE, PROT_READ | PROT_WRITE);
	EXPECT_EQ(0, cell->version);
	EXPECT_EQ(0, wait_cells(&self->c, cell, 1, NEVER, NULL));
	EXPECT_EQ(1, cell->flags);
}

static int wait_as_child(void *arg)
{
	struct slabshm_wait_cell cell = { .generation = 1 };

	return wait_cells(arg, &cell, 1, 0, NULL) == -EIO ? 0 : 1;
}

TEST_F(wait, who_may)
{
	struct client ro;
	__u64 version = 0;

	EXPECT_EQ(0, in_child(wait_as_child, &self->c));
	ASSERT_EQ(0, client_open_fd(&ro, self->c.fd, SLABSHM_ATTACH_RDONLY));
	EXPECT_EQ(0, wait_one(&ro, &self->cell[0], &version, 0));
	EXPECT_EQ(version_of(&self->c, &self->cell[0]), version);
	EXPECT_EQ(-ETIMEDOUT, wait_one(&ro, &self->cell[0], &version, 0));
	client_unmap_reader(&ro);
	version = 0;
	EXPECT_EQ(-ENXIO, wait_one(&ro, &self->cell[0], &version, 0));
	client_close(&ro);
}

/*
 * ---------------- What wakes ----------------
 */

enum how { FILL, EMPTY, KEEP, SEVERAL, NHOWS };

/* Where the cell stands in a publish of several */
#define PLACE	5

static int change_how(const struct client *c,
		      const struct slabshm_cell_open_args *cell, unsigned int i,
		      enum how how)
{
	struct slabshm_publish_cell item[8];
	unsigned int k;
	__s64 block;

	memset(item, 0, sizeof(item));
	for (k = 0; k < ARRAY_LEN(item); k++) {
		const struct slabshm_cell_open_args *at =
			&cell[(i + CELLS - PLACE + k) % CELLS];

		item[k].cell = at->cell;
		item[k].generation = at->generation;
	}
	switch (how) {
	case FILL:
		block = alloc_block(c, 64);
		return block < 0 ? (int)block :
				   publish_one(c, &cell[i], (__u64)block, 64);
	case EMPTY:
		return publish_one(c, &cell[i], 0, 0);
	case KEEP:
		item[PLACE].flags = SLABSHM_PUBLISH_KEEP;
		return publish(c, &item[PLACE], 1, NULL, 0, NULL, NULL);
	default:
		return publish(c, item, ARRAY_LEN(item), NULL, 0, NULL, NULL);
	}
}

/* One cell, or the 64 of which it is one, at each place. */
TEST_F(wait, each_change_wakes)
{
	struct sleeper *s = &self->sleeper;
	unsigned int i, k, n, how;

	for (n = 1; n <= CELLS; n += CELLS - 1) {
		for (i = 0; i < CELLS; i += 9) {
			for (how = 0; how < NHOWS; how++) {
				unsigned int changed = 0;

				sleeper_for(s, &self->c, &self->cell[i]);
				s->n = n;
				if (n > 1)
					fill_cells(&self->c, self->cell,
						   s->cell);
				ASSERT_TRUE(sleeper_sleeps(s));
				ASSERT_EQ(0, change_how(&self->other, self->cell,
							i, how));
				ASSERT_EQ(0, sleeper_end(s))
					TH_LOG("n %u, cell %u, how %u", n, i,
					       how);
				for (k = 0; k < n; k++)
					changed += s->cell[k].flags;
				EXPECT_EQ(n > 1 && how == SEVERAL ? 8 : 1,
					  changed);
				k = n > 1 ? i : 0;
				EXPECT_EQ(1, s->cell[k].flags);
				EXPECT_EQ(version_of(&self->c, &self->cell[i]),
					  s->cell[k].version);
			}
		}
	}
}

/* The publisher may be a thread of the same client. */
TEST_F(wait, own_change_wakes)
{
	struct sleeper *s = &self->sleeper;

	sleeper_for(s, &self->c, &self->cell[0]);
	ASSERT_TRUE(sleeper_sleeps(s));
	EXPECT_LT(0, change(&self->c, &self->cell[0]));
	EXPECT_EQ(0, sleeper_end(s));
}

TEST_F(wait, nothing_else_wakes)
{
	struct sleeper *s = &self->sleeper;
	struct slabshm_cell_open_args new;
	struct slabshm_publish_cell bad = {
		.cell = self->cell[5].cell,
		.generation = self->cell[5].generation,
		.flags = SLABSHM_PUBLISH_EXPECT,
		.expected = 1,
	};

	sleeper_for(s, &self->c, &self->cell[5]);
	ASSERT_TRUE(sleeper_sleeps(s));
	EXPECT_LT(0, change(&self->other, &self->cell[4]));
	EXPECT_LT(0, change(&self->other, &self->cell[6]));
	EXPECT_EQ(-EAGAIN, publish(&self->other, &bad, 1, NULL, 0, NULL, NULL));
	EXPECT_EQ(0, cell_open(&self->other, "new", CREATE, &new));
	EXPECT_EQ(0, cell_remove(&self->other, &new));
	sleep_ms(100);
	EXPECT_FALSE(__atomic_load_n(&s->done, __ATOMIC_ACQUIRE));
	EXPECT_TRUE(sleeper_asleep(s));
	EXPECT_LT(0, change(&self->other, &self->cell[5]));
	EXPECT_EQ(0, sleeper_end(s));
}

TEST_F(wait, removal_wakes)
{
	struct sleeper one, *s = &self->sleeper;
	struct slabshm_cell_open_args again;

	sleeper_for(&one, &self->other, &self->cell[33]);
	sleeper_for(s, &self->c, &self->cell[0]);
	s->n = CELLS;
	fill_cells(&self->c, self->cell, s->cell);
	ASSERT_TRUE(sleeper_sleeps(&one));
	ASSERT_TRUE(sleeper_sleeps(s));
	EXPECT_EQ(0, cell_remove(&self->c, &self->cell[33]));
	/* Of the same name and index, and not the same */
	EXPECT_EQ(0, cell_open(&self->c, "cell-33", CREATE, &again));
	EXPECT_EQ(self->cell[33].cell, again.cell);
	EXPECT_EQ(-EIDRM, sleeper_end(&one));
	EXPECT_EQ(0, one.failed);
	EXPECT_EQ(-EIDRM, sleeper_end(s));
	EXPECT_EQ(33, s->failed);

	sleeper_for(&one, &self->other, &again);
	ASSERT_TRUE(sleeper_sleeps(&one));
	EXPECT_LT(0, change(&self->c, &again));
	EXPECT_EQ(0, sleeper_end(&one));
}

TEST_F(wait, unlinked_slab)
{
	const char *name = unique_name();
	struct sleeper *s = &self->sleeper;
	struct slabshm_cell_open_args cell;
	struct client c;

	ASSERT_EQ(0, client_open(&c, name, SLABSHM_ATTACH_CREATE, MIB, 0));
	ASSERT_EQ(0, cell_open(&c, "cell", CREATE, &cell));
	sleeper_for(s, &c, &cell);
	ASSERT_TRUE(sleeper_sleeps(s));
	EXPECT_EQ(0, unlink_slab(name));
	EXPECT_LT(0, change(&c, &cell));
	EXPECT_EQ(0, sleeper_end(s));
	client_close(&c);
}

/*
 * ---------------- Signals and death ----------------
 */

static unsigned int signals;

static void count_signal(int sig)
{
	(void)sig;
	signals++;
}

static void handle(int sig, int flags)
{
	struct sigaction sa = { .sa_handler = count_signal, .sa_flags = flags };

	sigaction(sig, &sa, NULL);
}

static void every_ms(long ms)
{
	struct itimerval it = { { 0, ms * 1000 }, { 0, ms * 1000 } };

	setitimer(ITIMER_REAL, &it, NULL);
}

/* Signals all the time do not put the deadline off. */
TEST_F(wait, deadline_stays_over_signals)
{
	__u64 version = version_of(&self->c, &self->cell[0]);
	long long start = now_ms(), took;

	handle(SIGALRM, SA_RESTART);
	every_ms(20);
	EXPECT_EQ(-ETIMEDOUT, wait_one(&self->c, &self->cell[0], &version,
				       deadline_in(500)));
	took = now_ms() - start;
	every_ms(0);
	EXPECT_LE(499, took);
	EXPECT_LT(0, signals);
}

TEST_F(wait, signal)
{
	__u64 version = version_of(&self->c, &self->cell[0]);
	struct slabshm_event event;

	handle(SIGALRM, 0);
	every_ms(50);
	EXPECT_EQ(-EINTR, wait_one(&self->c, &self->cell[0], &version, NEVER));
	EXPECT_EQ(-EINTR, wait_one(&self->c, &self->cell[0], &version,
				   deadline_in(PATIENCE)));
	EXPECT_EQ(-EINTR, events(&self->c, &event, 1, NEVER));
	EXPECT_LE(3, signals);
	every_ms(0);
	/* What has happened comes first */
	EXPECT_LT(0, change(&self->c, &self->cell[0]));
	EXPECT_EQ(0, wait_one(&self->c, &self->cell[0], &version, NEVER));
}

/* A change is told though signals come all the time. */
TEST_F(wait, change_amid_signals)
{
	struct sleeper *s = &self->sleeper;
	unsigned int i;

	handle(SIGALRM, SA_RESTART);
	for (i = 0; i < 20; i++) {
		sleeper_for(s, &self->c, &self->cell[0]);
		ASSERT_TRUE(sleeper_sleeps(s));
		every_ms(3);
		sleep_ms(20);
		EXPECT_LT(0, change(&self->other, &self->cell[0]));
		EXPECT_EQ(0, sleeper_end(s));
		every_ms(0);
	}
	EXPECT_LT(0, signals);
}

/**
 * struct child - what a child does
 * @fd: whose slab it opens
 * @cell: the cells
 * @n: how many it waits for
 */
struct child {
	int fd;
	const struct slabshm_cell_open_args *cell;
	unsigned int n;
};

static int sleep_for_ever(void *arg)
{
	struct slabshm_wait_cell cells[CELLS];
	struct child *me = arg;
	struct client c;

	CHECK(!client_open_fd(&c, me->fd, 0));
	fill_cells(&c, me->cell, cells);
	wait_cells(&c, cells, me->n, NEVER, NULL);
	return 1;
}

TEST_F(wait, killed_sleepers)
{
	struct child child = { self->c.fd, self->cell, 1 };
	struct sleeper *s = &self->sleeper;
	struct slabshm_stat st;
	unsigned int round, i;
	pid_t pid[8];

	for (round = 0; round < 4; round++) {
		child.n = round % 2 ? CELLS : 1;
		for (i = 0; i < ARRAY_LEN(pid); i++) {
			pid[i] = start_child(sleep_for_ever, &child);
			ASSERT_LT(0, pid[i]);
		}
		for (i = 0; i < ARRAY_LEN(pid); i++)
			ASSERT_TRUE(wait_until(asleep_in_call(pid[i], pid[i]),
					       PATIENCE));
		sleeper_for(s, &self->c, &self->cell[0]);
		ASSERT_TRUE(sleeper_sleeps(s));
		for (i = 0; i < ARRAY_LEN(pid); i++) {
			kill(pid[i], SIGKILL);
			/* Woken by both, in either order */
			if (i >= 4)
				EXPECT_LT(0, change(&self->other,
						    &self->cell[i - 4]));
		}
		for (i = 0; i < ARRAY_LEN(pid); i++) {
			int ret = end_child(pid[i]);

			/* One that the change has woken first may have said so */
			EXPECT_TRUE(ret == -SIGKILL || (i >= 4 && ret == 1))
				TH_LOG("%d", ret);
		}
		EXPECT_EQ(0, sleeper_end(s));
	}
	EXPECT_TRUE(wait_until(!get_stat(&self->c, &st) && st.clients == 2,
			       PATIENCE));
}

/* Who sleeps in WAIT or in EVENTS sees the end of its client, at once. */
TEST_F(wait, unmapped_while_asleep)
{
	struct sleeper *s = &self->sleeper, taker;
	struct slabshm_stat st;
	__u64 version = 0;

	sleeper_for(s, &self->other, &self->cell[0]);
	memset(&taker, 0, sizeof(taker));
	taker.c = &self->other;
	taker.deadline = NEVER;
	ASSERT_TRUE(sleeper_sleeps(s));
	ASSERT_TRUE(sleeper_sleeps(&taker));
	client_unmap_reader(&self->other);
	EXPECT_EQ(-ENXIO, sleeper_end(s));
	EXPECT_EQ(-ENXIO, sleeper_end(&taker));
	EXPECT_EQ(-ENXIO, wait_one(&self->other, &self->cell[0], &version, 0));
	EXPECT_LT(0, change(&self->c, &self->cell[0]));

	client_close(&self->other);
	EXPECT_TRUE(wait_until(!get_stat(&self->c, &st) && st.clients == 1,
			       PATIENCE));
}

/*
 * ---------------- Many ----------------
 */

#define SLEEPERS	1000

TEST_F_TIMEOUT(wait, thousand_sleepers, 240)
{
	struct sleeper *s = calloc(SLEEPERS, sizeof(*s));
	unsigned int i, woken = 0;
	__s64 version;

	ASSERT_NE(NULL, s);
	for (i = 0; i < SLEEPERS; i++) {
		sleeper_for(&s[i], i % 2 ? &self->c : &self->other,
			    &self->cell[0]);
		ASSERT_EQ(0, sleeper_start(&s[i]));
	}
	for (i = 0; i < SLEEPERS; i++)
		ASSERT_TRUE(wait_until(sleeper_asleep(&s[i]), PATIENCE));
	version = change(&self->c, &self->cell[0]);
	for (i = 0; i < SLEEPERS; i++)
		woken += !sleeper_end(&s[i]) &&
			 s[i].cell[0].version == (__u64)version;
	EXPECT_EQ(SLEEPERS, woken);
	free(s);
}

/* To name a cell as often as can be is to wait for it once. */
TEST_F(wait, one_cell_many_times)
{
	struct sleeper *s = &self->sleeper;
	unsigned int i, round;
	__s64 version;

	for (round = 0; round < 3; round++) {
		sleeper_for(s, &self->c, &self->cell[0]);
		for (i = 1; i < CELLS; i++)
			s->cell[i] = i % 2 ? s->cell[0] :
				     wait_cell(&self->cell[1],
					       version_of(&self->c,
							  &self->cell[1]));
		s->n = CELLS;
		ASSERT_TRUE(sleeper_sleeps(s));
		version = change(&self->other, &self->cell[round % 2]);
		ASSERT_EQ(0, sleeper_end(s));
		for (i = 0; i < CELLS; i++)
			EXPECT_EQ(s->cell[i].flags ? (__u64)version :
				  version_of(&self->c,
					     &self->cell[i && i % 2 == 0]),
				  s->cell[i].version);
	}
}

#define WAITED_FOR	(128 * CELLS)

/*
 * The queue of a cell is there for those who wait only: of 8,192 cells they would
 * be 512 KiB.
 */
TEST_F_TIMEOUT(wait, nothing_is_left, 240)
{
	struct slabshm_wait_cell cells[CELLS];
	struct slabshm_cell_open_args *cell;
	unsigned int i, slept = 0;
	__u64 memory, left;
	long long began;

	if (kernel_has_kasan())
		SKIP(return, "the kernel keeps freed memory");
	cell = calloc(WAITED_FOR, sizeof(*cell));
	ASSERT_NE(NULL, cell);
	ASSERT_EQ(0, make_cells(&self->c, cell, WAITED_FOR));
	memory = kernel_memory();
	for (i = 0; i < WAITED_FOR; i += CELLS) {
		fill_cells(&self->c, &cell[i], cells);
		began = now_ms();
		ASSERT_EQ(-ETIMEDOUT, wait_cells(&self->c, cells, CELLS,
						 deadline_in(20), NULL));
		slept += now_ms() - began >= 19;
	}
	/* There were queues */
	EXPECT_EQ(WAITED_FOR / CELLS, slept);
	left = kernel_memory() - memory;
	EXPECT_GT(256 * (long long)KIB, (long long)left);
	TH_LOG("%lld KiB", (long long)left / 1024);
	free(cell);
}

/* Changes its own cell when the other's has changed; the first one begins. */
struct player {
	int fd;
	int number;
	unsigned int rounds;
	struct slabshm_cell_open_args cell[2];
	__u64 version[2];
};

static int play(void *arg)
{
	struct player *me = arg;
	int mine = me->number, theirs = !mine;
	__u64 version = me->version[theirs];
	struct client c;
	unsigned int i;

	on_cpu(mine);
	CHECK(!client_open_fd(&c, me->fd, 0));
	for (i = 0; i < me->rounds; i++) {
		__u64 before = version;

		if (mine == 0)
			CHECK(change(&c, &me->cell[mine]) > 0);
		/* Timed out: a wake-up was lost */
		CHECK(!wait_one(&c, &me->cell[theirs], &version,
				deadline_in(2 * PATIENCE)));
		CHECK(version > before);
		if (mine == 1)
			CHECK(change(&c, &me->cell[mine]) > 0);
	}
	return 0;
}

TEST_F_TIMEOUT(wait, ping_pong, 7200)
{
	struct player player[2] = { 0 };
	/* A busy machine takes long to wake a processor up. */
	unsigned int rounds = long_run() ? 1000000 : 20000 / slowly(1);
	__u64 before = self->c.control->commit;
	pid_t pid[2];
	int i;

	for (i = 0; i < 2; i++) {
		player[i].fd = self->c.fd;
		player[i].number = i;
		player[i].rounds = rounds;
		memcpy(player[i].cell, self->cell, sizeof(player[i].cell));
		player[i].version[0] = version_of(&self->c, &self->cell[0]);
		player[i].version[1] = version_of(&self->c, &self->cell[1]);
		pid[i] = start_child(play, &player[i]);
		ASSERT_LT(0, pid[i]);
	}
	EXPECT_EQ(0, end_child(pid[0]));
	EXPECT_EQ(0, end_child(pid[1]));
	EXPECT_EQ(before + 2 * rounds, self->c.control->commit);
	TH_LOG("%u rounds", rounds);
}

/* Follows a cell until it is emptied for the last time, at @last. */
struct follower {
	int fd;
	const struct slabshm_cell_open_args *cell;
	__u64 from;
	__u64 last;
	unsigned int n;
};

static int follow(void *arg)
{
	struct follower *me = arg;
	struct slabshm_wait_cell cells[CELLS];
	unsigned int i, told = 0;
	struct client c;

	on_cpu(1);
	CHECK(!client_open_fd(&c, me->fd, 0));
	for (i = 0; i < me->n; i++)
		cells[i] = wait_cell(&me->cell[i], me->from);
	while (cells[0].version != me->last) {
		__u64 was = cells[0].version;

		CHECK(!wait_cells(&c, cells, me->n, deadline_in(PATIENCE),
				  NULL));
		CHECK(cells[0].version >= was);
		for (i = 0; i < me->n; i++)
			told += cells[i].flags;
	}
	return told ? 0 : 2;
}

/* Publishing on one processor, sleepers on another. */
TEST_F_TIMEOUT(wait, followers, 240)
{
	unsigned int i, rounds = long_run() ? 200000 : 5000;
	struct follower follower[6];
	__u64 commit;
	pid_t pid[6];

	/* So that what is to be known at first has never been a version */
	commit = self->c.control->commit;
	for (i = 0; i < ARRAY_LEN(pid); i++) {
		follower[i] = (struct follower){
			.fd = self->c.fd,
			.cell = self->cell,
			.from = 1,
			.last = commit + rounds,
			.n = i % 2 ? CELLS : 1,
		};
		pid[i] = start_child(follow, &follower[i]);
		ASSERT_LT(0, pid[i]);
	}
	on_cpu(0);
	for (i = 1; i <= rounds; i++) {
		ASSERT_EQ(commit + i, change(&self->other,
					     &self->cell[i < rounds ?
							 i % 3 : 0]));
		if (i % 64 == 0)
			sched_yield();
	}
	for (i = 0; i < ARRAY_LEN(pid); i++)
		EXPECT_EQ(0, end_child(pid[i]));
}

/* Sleepers that leave by themselves at the moment when they are woken. */
struct leaver {
	const struct client *c;
	const struct slabshm_cell_open_args *cell;
	bool *over;
	unsigned int woken;
	unsigned int timed_out;
	unsigned int strange;
	pthread_t thread;
};

static void *leave(void *arg)
{
	struct slabshm_wait_cell cells[3];
	struct leaver *me = arg;
	unsigned int i;
	int err;

	for (i = 0; i < ARRAY_LEN(cells); i++)
		cells[i] = wait_cell(&me->cell[i], 1);
	while (!__atomic_load_n(me->over, __ATOMIC_RELAXED)) {
		err = wait_cells(me->c, cells, ARRAY_LEN(cells),
				 deadline_in(0) + 20000, NULL);
		me->woken += !err;
		me->timed_out += err == -ETIMEDOUT;
		me->strange += err && err != -ETIMEDOUT;
	}
	return NULL;
}

TEST_F_TIMEOUT(wait, leavers, 240)
{
	long long until = now_ms() + (long_run() ? 20000 : 2000);
	struct leaver leaver[4];
	bool over = false;
	unsigned int i;

	for (i = 0; i < ARRAY_LEN(leaver); i++) {
		leaver[i] = (struct leaver){
			.c = i % 2 ? &self->c : &self->other,
			.cell = self->cell,
			.over = &over,
		};
		ASSERT_EQ(0, pthread_create(&leaver[i].thread, NULL, leave,
					    &leaver[i]));
	}
	for (i = 0; now_ms() < until; i++) {
		EXPECT_LT(0, change(&self->c, &self->cell[i % 3]));
		if (i % 16 == 0)
			sched_yield();
	}
	__atomic_store_n(&over, true, __ATOMIC_RELAXED);
	for (i = 0; i < ARRAY_LEN(leaver); i++) {
		pthread_join(leaver[i].thread, NULL);
		EXPECT_LT(0, leaver[i].woken);
		EXPECT_LT(0, leaver[i].timed_out);
		EXPECT_EQ(0, leaver[i].strange);
	}
}

/*
 * ---------------- A publisher that is held up ----------------
 *
 * On one processor, one of the lowest priority changes all cells, for whom many
 * watchers have to be told, and a hog that does not let it run most of the time.
 * On the other one, a healthy publisher, and who waits for it.
 */

#define HERD	4

struct held_up {
	int fd;
	const struct slabshm_cell_open_args *cell;
	unsigned int published;	/* by the healthy one */
	unsigned int waits;
	unsigned int missed;	/* of these, in one WAIT, at most */
	bool over;
};

static bool over(const struct held_up *h)
{
	return __atomic_load_n(&h->over, __ATOMIC_RELAXED);
}

static int with_policy(int policy, int cpu)
{
	struct sched_param param = {
		.sched_priority = policy == SCHED_FIFO,
	};

	on_cpu(cpu);
	return sched_setscheduler(0, policy, &param);
}

static int change_slowly(void *arg)
{
	struct slabshm_publish_cell item[CELLS];
	struct held_up *h = arg;
	struct client c;
	unsigned int i;

	memset(item, 0, sizeof(item));
	for (i = 0; i < CELLS; i++) {
		item[i].cell = h->cell[i].cell;
		item[i].generation = h->cell[i].generation;
	}
	CHECK(!client_open_fd(&c, h->fd, 0));
	CHECK(!with_policy(SCHED_IDLE, 0));
	while (!over(h))
		CHECK(!publish(&c, item, CELLS, NULL, 0, NULL, NULL));
	return 0;
}

static int hog(void *arg)
{
	struct held_up *h = arg;
	long long until;

	CHECK(!with_policy(SCHED_FIFO, 0));
	while (!over(h)) {
		usleep(1500);
		for (until = now_ms() + 20; now_ms() < until; )
			;
	}
	return 0;
}

/* Who is to be told, before the one that waits. */
static int be_told(void *arg)
{
	struct slabshm_event event[CELLS];
	struct held_up *h = arg;
	struct client c[HERD];
	unsigned int i, k;
	int n;

	for (i = 0; i < HERD; i++) {
		CHECK(!client_open_fd(&c[i], h->fd, 0));
		for (k = 0; k < CELLS; k++)
			CHECK(!watch(&c[i], &h->cell[k], 0, NULL));
	}
	on_cpu(1);
	while (!over(h)) {
		for (i = 0; i < HERD; i++) {
			n = events(&c[i], event, CELLS, 0);
			CHECK(n > 0 || n == -ETIMEDOUT);
		}
		usleep(1000);
	}
	return 0;
}

static int change_soundly(void *arg)
{
	struct held_up *h = arg;
	struct client c;

	CHECK(!client_open_fd(&c, h->fd, 0));
	on_cpu(1);
	while (!over(h)) {
		usleep(1000);
		CHECK(change(&c, &h->cell[CELLS - 1]) > 0);
		__atomic_add_fetch(&h->published, 1, __ATOMIC_RELAXED);
	}
	return 0;
}

static int wait_soundly(void *arg)
{
	struct held_up *h = arg;
	unsigned int before, n;
	__u64 version = 0;
	struct client c;

	CHECK(!client_open_fd(&c, h->fd, 0));
	CHECK(!with_policy(SCHED_FIFO, 1));
	while (!over(h)) {
		before = __atomic_load_n(&h->published, __ATOMIC_RELAXED);
		CHECK(!wait_one(&c, &h->cell[CELLS - 1], &version,
				deadline_in(PATIENCE)));
		n = __atomic_load_n(&h->published, __ATOMIC_RELAXED) - before;
		if (n > h->missed)
			h->missed = n;
		h->waits++;
	}
	return 0;
}

TEST_F_TIMEOUT(wait, held_up_publisher, 240)
{
	int (*const fn[])(void *arg) = {
		be_told, wait_soundly, change_slowly, hog, change_soundly,
	};
	struct held_up *h = shared_memory(sizeof(*h));
	pid_t pid[ARRAY_LEN(fn)];
	unsigned int i;

	h->fd = self->c.fd;
	h->cell = self->cell;
	for (i = 0; i < ARRAY_LEN(fn); i++) {
		pid[i] = start_child(fn[i], h);
		ASSERT_LT(0, pid[i]);
	}
	sleep_ms(long_run() ? 60000 : 3000);
	__atomic_store_n(&h->over, true, __ATOMIC_RELAXED);
	for (i = ARRAY_LEN(fn); i--; ) {
		/* The one that waits looks when it was told once more */
		EXPECT_LT(0, change(&self->c, &self->cell[CELLS - 1]));
		EXPECT_EQ(0, end_child(pid[i]))
			TH_LOG("child %u", i);
	}
	TH_LOG("%u publishes, %u waits, at most %u in one", h->published,
	       h->waits, h->missed);
	EXPECT_LT(100, h->published);
	EXPECT_LT(100, h->waits);
	EXPECT_GT(8, h->missed);
}

/*
 * A cell that one call names 64 times has one sleeper in its queue: the publisher,
 * who tells 64 at a time, still gets to the watcher after it.  Nothing else can:
 * the processors belong to two that no work item gets ahead of.
 */
struct alone {
	int fd, watcher;
	const struct slabshm_cell_open_args *cell;
	bool spins;
	bool alone;		/* until the look */
	bool over;
};

static int spin(void *arg)
{
	long long until = now_ms() + 500;
	struct alone *a = arg;

	CHECK(!with_policy(SCHED_FIFO, 1));
	__atomic_store_n(&a->spins, true, __ATOMIC_RELAXED);
	while (!__atomic_load_n(&a->over, __ATOMIC_RELAXED) && now_ms() < until)
		;
	__atomic_store_n(&a->spins, false, __ATOMIC_RELAXED);
	return 0;
}

static int change_and_look(void *arg)
{
	struct alone *a = arg;
	struct client c;
	pid_t pid;

	CHECK(!client_open_fd(&c, a->fd, 0));
	CHECK(!with_policy(SCHED_FIFO, 0));
	pid = start_child(spin, a);
	CHECK(pid > 0);
	CHECK(wait_until(__atomic_load_n(&a->spins, __ATOMIC_RELAXED), PATIENCE));
	CHECK(change(&c, a->cell) > 0);
	CHECK(polled(a->watcher) == POLLIN);
	a->alone = __atomic_load_n(&a->spins, __ATOMIC_RELAXED);
	__atomic_store_n(&a->over, true, __ATOMIC_RELAXED);
	CHECK(!end_child(pid));
	return 0;
}

TEST_F(wait, once_in_each_queue)
{
	struct alone *a = shared_memory(sizeof(*a));
	struct sleeper *s = &self->sleeper;
	unsigned int i;

	sleeper_for(s, &self->c, &self->cell[0]);
	for (i = 1; i < CELLS; i++)
		s->cell[i] = s->cell[0];
	s->n = CELLS;
	ASSERT_TRUE(sleeper_sleeps(s));
	ASSERT_EQ(0, watch(&self->other, &self->cell[0], 0, NULL));
	a->fd = self->c.fd;
	a->watcher = self->other.fd;
	a->cell = &self->cell[0];
	ASSERT_EQ(0, in_child(change_and_look, a));
	ASSERT_EQ(0, sleeper_end(s));
	if (!a->alone)
		SKIP(return, "it took too long: a work item may have run");
}

TEST_HARNESS_MAIN
