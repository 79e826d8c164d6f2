// SPDX-License-Identifier: GPL-2.0
/*
 * WATCH and EVENTS: each change is told at least once, with the newest version
 * at the end; what cannot be told now is told later; and nothing else is.
 */

#include "object.h"
#include "watches.h"

#include "kselftest_harness.h"

#define CELLS	200
#define ROOM	SLABSHM_BATCH_MAX

FIXTURE(watch)
{
	struct client c;
	struct client other;
	struct slabshm_cell_open_args cell[CELLS];
	struct slabshm_event event[CELLS];
	struct sleeper sleeper;
};

FIXTURE_SETUP(watch)
{
	ASSERT_EQ(0, client_open(&self->c, NULL, SLABSHM_ATTACH_CREATE,
				 8 * MIB, MIB));
	ASSERT_EQ(0, client_open_fd(&self->other, self->c.fd, 0));
	ASSERT_EQ(0, make_cells(&self->c, self->cell, CELLS));
}

FIXTURE_TEARDOWN(watch)
{
	client_close(&self->other);
	client_close(&self->c);
}

/* What an event must say; "" if it does. */
static const char *event_wrong(const struct slabshm_event *event,
			       const struct slabshm_cell_open_args *cell,
			       __u64 version)
{
	if (event->cell != cell->cell)
		return "cell";
	if (event->generation != cell->generation)
		return "generation";
	if (event->flags != (version ? 0 : SLABSHM_EVENT_REMOVED))
		return "flags";
	return event->version == version ? "" : "version";
}

#define EXPECT_EVENT(event, cell, version) \
	EXPECT_STREQ("", event_wrong(event, cell, version))

/* There is none, and poll(2) says so. */
#define EXPECT_NO_EVENT(c)						\
do {									\
	const struct client *c_ = (c);					\
	struct slabshm_event none_;					\
									\
	EXPECT_EQ(0, polled(c_->fd));					\
	EXPECT_EQ(-ETIMEDOUT, events(c_, &none_, 1, 0));		\
	EXPECT_EQ(POISON32, none_.cell);				\
} while (0)

/*
 * ---------------- One cell ----------------
 */

TEST_F(watch, from_now_on)
{
	__u64 version = 0;
	__s64 commit;

	EXPECT_NO_EVENT(&self->c);
	commit = change(&self->other, &self->cell[0]);
	ASSERT_EQ(0, watch(&self->c, &self->cell[0], 0, &version));
	EXPECT_EQ(commit, version);
	EXPECT_NO_EVENT(&self->c);
	EXPECT_LT(0, change(&self->other, &self->cell[1]));
	EXPECT_NO_EVENT(&self->c);
	commit = change(&self->other, &self->cell[0]);
	EXPECT_EQ(POLLIN, polled(self->c.fd));
	EXPECT_EQ(1, events(&self->c, self->event, ROOM, 0));
	EXPECT_EVENT(&self->event[0], &self->cell[0], commit);
	EXPECT_EQ(POISON32, self->event[1].cell);
	EXPECT_NO_EVENT(&self->c);

	/* And again, by a change of its own, too */
	commit = change(&self->c, &self->cell[0]);
	EXPECT_EQ(1, events(&self->c, self->event, 1, 0));
	EXPECT_EVENT(&self->event[0], &self->cell[0], commit);
	EXPECT_NO_EVENT(&self->c);
	EXPECT_NO_EVENT(&self->other);
}

TEST_F(watch, since)
{
	__u64 now = version_of(&self->c, &self->cell[0]), version = now;
	__s64 commit;

	/* What is known is the newest */
	ASSERT_EQ(0, watch(&self->c, &self->cell[0], SLABSHM_WATCH_SINCE,
			   &version));
	EXPECT_EQ(now, version);
	EXPECT_NO_EVENT(&self->c);
	commit = change(&self->other, &self->cell[0]);
	EXPECT_EQ(1, events(&self->c, self->event, ROOM, 0));
	EXPECT_EQ(0, unwatch(&self->c, &self->cell[0]));

	/* What is known is older, by one or by all */
	version = now;
	ASSERT_EQ(0, watch(&self->c, &self->cell[0], SLABSHM_WATCH_SINCE,
			   &version));
	EXPECT_EQ(commit, version);
	EXPECT_EQ(POLLIN, polled(self->c.fd));
	EXPECT_EQ(1, events(&self->c, self->event, ROOM, 0));
	EXPECT_EVENT(&self->event[0], &self->cell[0], commit);
	EXPECT_NO_EVENT(&self->c);
	ASSERT_EQ(0, watch(&self->c, &self->cell[1], SLABSHM_WATCH_SINCE,
			   NULL));
	EXPECT_EQ(1, events(&self->c, self->event, ROOM, 0));
	EXPECT_EVENT(&self->event[0], &self->cell[1],
		     version_of(&self->c, &self->cell[1]));
}

TEST_F(watch, coalescing)
{
	unsigned int i;
	__s64 commit = 0;

	ASSERT_EQ(0, watch(&self->c, &self->cell[3], 0, NULL));
	for (i = 0; i < 1000; i++)
		commit = change(&self->other, &self->cell[3]);
	EXPECT_EQ(1, events(&self->c, self->event, ROOM, 0));
	EXPECT_EVENT(&self->event[0], &self->cell[3], commit);
	EXPECT_NO_EVENT(&self->c);
}

TEST_F(watch, refused)
{
	struct slabshm_cell_open_args none = { .cell = CELLS, .generation = 1 };
	struct slabshm_unwatch_args end = { 0 };
	struct slabshm_events_args take = { 0 };
	struct slabshm_watch_args arg = { 0 };
	__u64 version = 1;
	unsigned long old;

	ASSERT_EQ(0, watch(&self->c, &self->cell[0], 0, NULL));
	EXPECT_EQ(-EEXIST, watch(&self->c, &self->cell[0], 0, NULL));
	EXPECT_EQ(-EEXIST, watch(&self->c, &self->cell[0],
				 SLABSHM_WATCH_SINCE, NULL));
	EXPECT_NO_EVENT(&self->c);
	EXPECT_LT(0, change(&self->c, &self->cell[0]));
	EXPECT_EQ(-EEXIST, watch(&self->c, &self->cell[0], 0, NULL));
	ASSERT_EQ(0, watch(&self->c, NULL, 0, NULL));
	EXPECT_EQ(-EEXIST, watch(&self->c, NULL, 0, NULL));

	ASSERT_EQ(0, set_parameter("max_watches", 2, &old));
	EXPECT_EQ(-EDQUOT, watch(&self->c, &self->cell[1], 0, NULL));
	EXPECT_EQ(0, watch(&self->other, &self->cell[1], 0, NULL));
	EXPECT_EQ(0, unwatch(&self->c, NULL));
	EXPECT_EQ(0, watch(&self->c, &self->cell[1], 0, NULL));
	EXPECT_EQ(-EDQUOT, watch(&self->c, NULL, 0, NULL));
	EXPECT_EQ(0, set_parameter("max_watches", old, NULL));

	EXPECT_EQ(-ENOENT, unwatch(&self->c, NULL));
	EXPECT_EQ(-ENOENT, unwatch(&self->c, &self->cell[2]));
	EXPECT_EQ(-ENOENT, unwatch(&self->c, &none));
	EXPECT_EQ(-EINVAL, watch(&self->c, &none, 0, NULL));
	none.cell = NO_ITEM;
	none.generation = 0;
	EXPECT_EQ(-EINVAL, watch(&self->c, &none, 0, NULL));
	EXPECT_EQ(-ENOENT, unwatch(&self->c, &none));
	none = self->cell[2];
	none.generation++;
	EXPECT_EQ(-EIDRM, watch(&self->c, &none, 0, NULL));
	EXPECT_EQ(-EINVAL, watch(&self->c, &self->cell[2], 0, &version));
	EXPECT_EQ(1, version);
	EXPECT_EQ(-EINVAL, watch(&self->c, &self->cell[2], 4, NULL));
	EXPECT_EQ(-EINVAL, watch(&self->c, &self->cell[2], SLABSHM_WATCH_ALL,
				 NULL));
	arg.flags = SLABSHM_WATCH_ALL;
	arg.generation = 1;
	EXPECT_EQ(-EINVAL, client_call(&self->c, SLABSHM_IOC_WATCH, &arg));
	end.flags = SLABSHM_WATCH_ALL;
	end.cell = 1;
	EXPECT_EQ(-EINVAL, client_call(&self->c, SLABSHM_IOC_UNWATCH, &end));
	end.flags = SLABSHM_WATCH_SINCE;
	EXPECT_EQ(-EINVAL, client_call(&self->c, SLABSHM_IOC_UNWATCH, &end));

	/* To take none is no mistake: is there one? */
	EXPECT_EQ(0, client_call(&self->c, SLABSHM_IOC_EVENTS, &take));
	take.count = 1;
	EXPECT_EQ(-EFAULT, client_call(&self->c, SLABSHM_IOC_EVENTS, &take));
	take.flags = 1;
	EXPECT_EQ(-EINVAL, client_call(&self->c, SLABSHM_IOC_EVENTS, &take));

	/* And yet the event is there */
	EXPECT_EQ(1, events(&self->c, self->event, ROOM, 0));
	EXPECT_NO_EVENT(&self->c);
}

TEST_F(watch, end)
{
	ASSERT_EQ(0, watch(&self->c, &self->cell[0], 0, NULL));
	ASSERT_EQ(0, watch(&self->c, &self->cell[1], 0, NULL));
	ASSERT_EQ(0, watch(&self->other, &self->cell[0], 0, NULL));
	EXPECT_LT(0, change(&self->c, &self->cell[0]));
	EXPECT_LT(0, change(&self->c, &self->cell[1]));
	/* With what it had to tell, and without others' */
	EXPECT_EQ(0, unwatch(&self->c, &self->cell[0]));
	EXPECT_EQ(-ENOENT, unwatch(&self->c, &self->cell[0]));
	EXPECT_EQ(POLLIN, polled(self->c.fd));
	EXPECT_EQ(0, unwatch(&self->c, &self->cell[1]));
	EXPECT_NO_EVENT(&self->c);
	EXPECT_LT(0, change(&self->c, &self->cell[0]));
	EXPECT_NO_EVENT(&self->c);
	EXPECT_EQ(1, events(&self->other, self->event, ROOM, 0));
	EXPECT_EVENT(&self->event[0], &self->cell[0],
		     version_of(&self->c, &self->cell[0]));
	EXPECT_EQ(0, watch(&self->c, &self->cell[0], 0, NULL));
	EXPECT_NO_EVENT(&self->c);
}

TEST_F(watch, two_clients)
{
	__s64 commit;

	ASSERT_EQ(0, watch(&self->c, &self->cell[0], 0, NULL));
	ASSERT_EQ(0, watch(&self->other, &self->cell[0], 0, NULL));
	commit = change(&self->c, &self->cell[0]);
	EXPECT_EQ(POLLIN, polled(self->c.fd));
	EXPECT_EQ(1, events(&self->other, self->event, ROOM, 0));
	EXPECT_EVENT(&self->event[0], &self->cell[0], commit);
	commit = change(&self->c, &self->cell[0]);
	EXPECT_EQ(1, events(&self->c, self->event, ROOM, 0));
	EXPECT_EVENT(&self->event[0], &self->cell[0], commit);
	EXPECT_EQ(1, events(&self->other, self->event, ROOM, 0));
	EXPECT_EVENT(&self->event[0], &self->cell[0], commit);
	EXPECT_NO_EVENT(&self->c);
	EXPECT_NO_EVENT(&self->other);
}

/*
 * ---------------- Removal ----------------
 */

TEST_F(watch, removal)
{
	struct slabshm_cell_open_args again;
	__u64 version = 0;

	ASSERT_EQ(0, watch(&self->c, &self->cell[7], 0, NULL));
	ASSERT_EQ(0, watch(&self->other, &self->cell[7], 0, NULL));
	EXPECT_LT(0, change(&self->c, &self->cell[7]));
	EXPECT_EQ(0, cell_remove(&self->c, &self->cell[7]));
	EXPECT_EQ(POLLIN, polled(self->c.fd));
	EXPECT_EQ(1, events(&self->c, self->event, ROOM, 0));
	EXPECT_EVENT(&self->event[0], &self->cell[7], 0);
	EXPECT_NO_EVENT(&self->c);
	EXPECT_EQ(-ENOENT, unwatch(&self->c, &self->cell[7]));
	EXPECT_EQ(-EIDRM, watch(&self->c, &self->cell[7], 0, NULL));

	/* The other one has not taken its event when there is a new cell */
	ASSERT_EQ(0, cell_open(&self->c, "cell-7", CREATE, &again));
	ASSERT_EQ(self->cell[7].cell, again.cell);
	ASSERT_EQ(0, watch(&self->other, &again, 0, &version));
	EXPECT_EQ(version_of(&self->c, &again), version);
	version = (__u64)change(&self->c, &again);
	EXPECT_EQ(2, events(&self->other, self->event, ROOM, 0));
	EXPECT_EVENT(&self->event[0], &self->cell[7], 0);
	EXPECT_EVENT(&self->event[1], &again, version);
	EXPECT_NO_EVENT(&self->other);
	EXPECT_EQ(-ENOENT, unwatch(&self->other, &self->cell[7]));
	EXPECT_EQ(0, unwatch(&self->other, &again));

	/* Nobody is told of one whose watch has ended before */
	EXPECT_EQ(0, cell_remove(&self->c, &again));
	EXPECT_NO_EVENT(&self->c);
	EXPECT_NO_EVENT(&self->other);
}

/* Ended watches count no more. */
TEST_F(watch, removal_gives_the_share_back)
{
	unsigned long old;
	unsigned int i;

	ASSERT_EQ(0, set_parameter("max_watches", 1, &old));
	for (i = 0; i < 5; i++) {
		EXPECT_EQ(0, watch(&self->c, &self->cell[i], 0, NULL));
		EXPECT_EQ(-EDQUOT, watch(&self->c, &self->cell[9], 0, NULL));
		EXPECT_EQ(0, cell_remove(&self->c, &self->cell[i]));
		EXPECT_EQ(1, events(&self->c, self->event, ROOM, 0));
	}
	EXPECT_EQ(0, set_parameter("max_watches", old, NULL));
}

TEST_F(watch, unlinked_slab)
{
	const char *name = unique_name();
	struct slabshm_cell_open_args cell;
	struct client c;

	ASSERT_EQ(0, client_open(&c, name, SLABSHM_ATTACH_CREATE, MIB, 0));
	ASSERT_EQ(0, cell_open(&c, "cell", CREATE, &cell));
	ASSERT_EQ(0, watch(&c, &cell, 0, NULL));
	EXPECT_EQ(0, unlink_slab(name));
	EXPECT_NO_EVENT(&c);
	EXPECT_LT(0, change(&c, &cell));
	EXPECT_EQ(1, events(&c, self->event, ROOM, 0));
	client_close(&c);
}

/*
 * ---------------- Many events ----------------
 */

TEST_F(watch, less_room_than_events)
{
	static const unsigned int rooms[] = { 1, 10, CELLS, CELLS, CELLS };
	static const int told[] = { 1, 10, ROOM, ROOM, CELLS - 139 };
	unsigned int i, k, n = 0;

	for (i = 0; i < CELLS; i++)
		ASSERT_EQ(0, watch(&self->c, &self->cell[i], 0, NULL));
	for (i = 0; i < CELLS; i++)
		ASSERT_LT(0, change(&self->other, &self->cell[i]));
	for (i = 0; i < ARRAY_LEN(rooms); i++) {
		EXPECT_EQ(POLLIN, polled(self->c.fd));
		ASSERT_EQ(told[i], events(&self->c, self->event, rooms[i], 0));
		/* In the order in which they came */
		for (k = 0; k < (unsigned int)told[i]; k++, n++)
			EXPECT_EVENT(&self->event[k], &self->cell[n],
				     version_of(&self->c, &self->cell[n]));
		if (k < rooms[i])
			EXPECT_EQ(POISON32, self->event[k].cell);
	}
	EXPECT_NO_EVENT(&self->c);
}

/* The events or their number cannot be written: they stay. */
TEST_F(watch, events_cannot_be_written)
{
	char *page = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct slabshm_event *half = (void *)(page + PAGE - 5 * sizeof(*half));
	struct slabshm_events_args *arg = (void *)page;
	unsigned int i;

	ASSERT_NE(MAP_FAILED, page);
	ASSERT_EQ(0, munmap(page + PAGE, PAGE));
	for (i = 0; i < 8; i++)
		ASSERT_EQ(0, watch(&self->c, &self->cell[i], 0, NULL));
	ASSERT_EQ(0, watch(&self->c, NULL, 0, NULL));
	for (i = 0; i < 8; i++)
		ASSERT_LT(0, change(&self->other, &self->cell[i]));
	ASSERT_EQ(0, cell_remove(&self->other, &self->cell[7]));
	*arg = (struct slabshm_events_args){
		.client = self->c.at.client,
		.events = (uintptr_t)half,
		.count = 20,
	};
	EXPECT_EQ(-EFAULT, call(self->c.fd, SLABSHM_IOC_EVENTS, arg));
	EXPECT_EQ(POLLIN, polled(self->c.fd));
	arg->events = (uintptr_t)self->event;
	mprotect(page, PAGE, PROT_READ);
	EXPECT_EQ(-EFAULT, call(self->c.fd, SLABSHM_IOC_EVENTS, arg));
	mprotect(page, PAGE, PROT_READ | PROT_WRITE);
	EXPECT_EQ(20, arg->count);
	EXPECT_EQ(POLLIN, polled(self->c.fd));
	/* Each by its own watch and by that of all, which came first */
	EXPECT_EQ(16, events(&self->c, self->event, ROOM, 0));
	for (i = 0; i < 16; i++)
		EXPECT_EVENT(&self->event[i], &self->cell[self->event[i].cell],
			     self->event[i].cell == 7 ? 0 :
			     version_of(&self->c,
					&self->cell[self->event[i].cell]));
	EXPECT_NO_EVENT(&self->c);
	EXPECT_EQ(-ENOENT, unwatch(&self->c, &self->cell[7]));
}

/*
 * ---------------- All cells ----------------
 */

/* Takes events till there is none: of how many cells, or an error. */
static int take_all(const struct client *c, unsigned int room, __u64 *version,
		    unsigned int ncells)
{
	struct slabshm_event event[ROOM];
	int i, n, told = 0;

	memset(version, 0, ncells * sizeof(*version));
	while ((n = events(c, event, room, 0)) > 0) {
		for (i = 0; i < n; i++) {
			if (event[i].cell >= ncells)
				return -ERANGE;
			told += !version[event[i].cell];
			version[event[i].cell] = event[i].version;
		}
	}
	return n == -ETIMEDOUT ? told : n;
}

TEST_F(watch, all_cells)
{
	struct slabshm_cell_open_args new;
	__u64 version[CELLS + 1] = { 0 };
	unsigned int i, room;

	ASSERT_EQ(0, watch(&self->c, NULL, 0, version));
	EXPECT_EQ(self->c.control->commit, version[0]);
	EXPECT_NO_EVENT(&self->c);

	/* Those that are there */
	EXPECT_LT(0, change(&self->other, &self->cell[CELLS - 1]));
	EXPECT_EQ(POLLIN, polled(self->c.fd));
	EXPECT_EQ(1, events(&self->c, self->event, ROOM, 0));
	EXPECT_EVENT(&self->event[0], &self->cell[CELLS - 1],
		     version_of(&self->c, &self->cell[CELLS - 1]));
	EXPECT_NO_EVENT(&self->c);

	/* Those that come, and go */
	EXPECT_EQ(0, cell_open(&self->other, "new", CREATE, &new));
	EXPECT_EQ(POLLIN, polled(self->c.fd));
	EXPECT_EQ(1, events(&self->c, self->event, ROOM, 0));
	EXPECT_EVENT(&self->event[0], &new, version_of(&self->c, &new));
	EXPECT_LT(0, change(&self->other, &new));
	EXPECT_EQ(0, cell_remove(&self->other, &new));
	EXPECT_EQ(POLLIN, polled(self->c.fd));
	EXPECT_EQ(1, events(&self->c, self->event, ROOM, 0));
	EXPECT_EVENT(&self->event[0], &new, 0);
	EXPECT_NO_EVENT(&self->c);

	/* More of them than there is room, or just as many */
	for (room = 1; room <= ROOM; room += 21) {
		unsigned int n = room == ROOM ? 2 * ROOM : CELLS;

		for (i = 0; i < n; i++)
			ASSERT_LT(0, change(&self->other, &self->cell[i]));
		EXPECT_EQ(n, take_all(&self->c, room, version, CELLS + 1));
		for (i = 0; i < n; i++)
			EXPECT_EQ(version_of(&self->c, &self->cell[i]),
				  version[i]);
		EXPECT_NO_EVENT(&self->c);
	}

	EXPECT_LT(0, change(&self->other, &self->cell[0]));
	EXPECT_EQ(0, unwatch(&self->c, NULL));
	EXPECT_NO_EVENT(&self->c);
}

TEST_F(watch, all_cells_since)
{
	__u64 version[CELLS], commit = self->c.control->commit, since = commit;

	EXPECT_LT(0, change(&self->other, &self->cell[150]));
	EXPECT_LT(0, change(&self->other, &self->cell[10]));
	EXPECT_EQ(0, cell_remove(&self->other, &self->cell[50]));
	ASSERT_EQ(0, watch(&self->c, NULL, SLABSHM_WATCH_SINCE, &since));
	EXPECT_EQ(commit + 3, since);
	EXPECT_EQ(3, events(&self->c, self->event, ROOM, 0));
	EXPECT_EVENT(&self->event[0], &self->cell[10], commit + 2);
	EXPECT_EVENT(&self->event[1], &self->cell[50], 0);
	EXPECT_EVENT(&self->event[2], &self->cell[150], commit + 1);
	EXPECT_NO_EVENT(&self->c);
	EXPECT_EQ(0, unwatch(&self->c, NULL));

	ASSERT_EQ(0, watch(&self->c, NULL, SLABSHM_WATCH_SINCE, NULL));
	EXPECT_EQ(CELLS, take_all(&self->c, ROOM, version, CELLS));
	EXPECT_EQ(0, unwatch(&self->c, NULL));
	ASSERT_EQ(0, watch(&self->c, NULL, SLABSHM_WATCH_SINCE, &since));
	EXPECT_NO_EVENT(&self->c);
}

/* Cells on both sides of the cursor change while their events are taken. */
TEST_F(watch, changes_while_all_are_read)
{
	static __u64 told[CELLS];
	uint64_t seed = any_seed(1);
	unsigned int i, round;
	int k, n = 0;

	for (i = 0; i < CELLS; i++)
		told[i] = version_of(&self->c, &self->cell[i]);
	ASSERT_EQ(0, watch(&self->c, NULL, 0, NULL));
	for (round = 0; round < 3000; round++) {
		for (i = any(&seed) % 40; i; i--)
			ASSERT_LT(0, change(&self->other,
					    &self->cell[any(&seed) % CELLS]));
		n = events(&self->c, self->event, 1 + any(&seed) % ROOM, 0);
		for (k = 0; k < n; k++)
			told[self->event[k].cell] = self->event[k].version;
	}
	do {
		n = events(&self->c, self->event, 7, 0);
		for (k = 0; k < n; k++)
			told[self->event[k].cell] = self->event[k].version;
	} while (n > 0);
	EXPECT_EQ(-ETIMEDOUT, n);
	for (i = 0; i < CELLS; i++)
		EXPECT_EQ(version_of(&self->c, &self->cell[i]), told[i])
			TH_LOG("cell %u", i);
}

/* A place gets another cell before the removal of the last one was told. */
TEST_F(watch, places_used_again)
{
	struct slabshm_cell_open_args cell, next;
	struct slabshm_event *event = self->event;

	ASSERT_EQ(0, cell_open(&self->other, "a", CREATE, &cell));
	ASSERT_EQ(0, watch(&self->c, NULL, 0, NULL));
	EXPECT_EQ(0, cell_remove(&self->other, &cell));
	ASSERT_EQ(0, cell_open(&self->other, "b", CREATE, &next));
	ASSERT_EQ(cell.cell, next.cell);
	EXPECT_EQ(2, events(&self->c, event, ROOM, 0));
	EXPECT_EVENT(&event[0], &cell, 0);
	EXPECT_EVENT(&event[1], &next, version_of(&self->c, &next));
	EXPECT_NO_EVENT(&self->c);

	/* Told in two calls; and two cells have come and gone in between */
	cell = next;
	EXPECT_EQ(0, cell_remove(&self->other, &cell));
	ASSERT_EQ(0, cell_open(&self->other, "a", CREATE, &cell));
	EXPECT_EQ(0, cell_remove(&self->other, &cell));
	ASSERT_EQ(0, cell_open(&self->other, "b", CREATE, &next));
	EXPECT_EQ(1, events(&self->c, event, 1, 0));
	EXPECT_EVENT(&event[0], &cell, 0);
	EXPECT_EQ(POLLIN, polled(self->c.fd));
	EXPECT_EQ(1, events(&self->c, event, 1, 0));
	EXPECT_EVENT(&event[0], &next, version_of(&self->c, &next));
	EXPECT_EQ(-ETIMEDOUT, events(&self->c, event, ROOM, 0));
	EXPECT_NO_EVENT(&self->c);

	/* A removal that was told is not told again with the next cell */
	EXPECT_EQ(0, cell_remove(&self->other, &next));
	EXPECT_EQ(1, events(&self->c, event, ROOM, 0));
	EXPECT_EVENT(&event[0], &next, 0);
	ASSERT_EQ(0, cell_open(&self->other, "a", CREATE, &cell));
	ASSERT_EQ(next.cell, cell.cell);
	EXPECT_EQ(1, events(&self->c, event, ROOM, 0));
	EXPECT_EVENT(&event[0], &cell, version_of(&self->c, &cell));
	EXPECT_NO_EVENT(&self->c);
}

/* What a watch of all has told of the cells with one index. */
struct known {
	__u64 generation;
	__u64 version;		/* 0: of none */
	__u64 removed;		/* the last that was removed */
};

static void learn(struct known *known, const struct slabshm_event *event,
		  unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		struct known *k = &known[event[i].cell];

		if (event[i].flags & SLABSHM_EVENT_REMOVED &&
		    event[i].generation > k->removed)
			k->removed = event[i].generation;
		if (event[i].generation < k->generation)
			continue;
		k->generation = event[i].generation;
		k->version = event[i].version;
	}
}

/* Who follows a watch of all knows what there is, whatever comes and goes. */
TEST_F_TIMEOUT(watch, cells_come_and_go, 120)
{
	static struct known known[CELLS];
	uint64_t seed = any_seed(1);
	unsigned int i, round, gone = 0;
	bool there[CELLS];
	char name[16];
	int n;

	for (i = 0; i < CELLS; i++) {
		there[i] = true;
		known[i].generation = self->cell[i].generation;
		known[i].version = version_of(&self->c, &self->cell[i]);
	}
	ASSERT_EQ(0, watch(&self->c, NULL, 0, NULL));
	for (round = 0; round < 1000; round++) {
		for (n = any(&seed) % 40; n; n--) {
			i = any(&seed) % CELLS;
			if (there[i]) {
				ASSERT_EQ(0, cell_remove(&self->other,
							 &self->cell[i]));
				gone++;
			} else {
				snprintf(name, sizeof(name), "again %u", i);
				ASSERT_EQ(0, cell_open(&self->other, name,
						       CREATE, &self->cell[i]));
			}
			there[i] = !there[i];
		}
		n = events(&self->c, self->event, 1 + any(&seed) % ROOM, 0);
		if (n > 0)
			learn(known, self->event, n);
	}
	EXPECT_LT(5000, gone);
	while ((n = events(&self->c, self->event, 7, 0)) > 0)
		learn(known, self->event, n);
	EXPECT_EQ(-ETIMEDOUT, n);
	for (i = 0; i < CELLS; i++) {
		struct known *k = &known[self->cell[i].cell];

		/* Two of these numbers may have had the same place in turn */
		if (there[i]) {
			EXPECT_EQ(self->cell[i].generation, k->generation);
			EXPECT_EQ(version_of(&self->c, &self->cell[i]),
				  k->version);
			EXPECT_EQ(k->generation - 1, k->removed);
			k->version = 0;
		}
	}
	/* And of nothing else */
	for (i = 0; i < CELLS; i++)
		EXPECT_EQ(0, known[i].version)
			TH_LOG("cell %u", i);
}

/*
 * ---------------- Sleeping in EVENTS ----------------
 */

TEST_F(watch, sleeping)
{
	struct sleeper more[3], *s = &self->sleeper;
	unsigned int i, woken = 0;
	long long start;
	__s64 commit;

	memset(s, 0, sizeof(*s));
	s->c = &self->c;
	s->deadline = NEVER;
	ASSERT_EQ(0, watch(&self->c, &self->cell[0], 0, NULL));
	ASSERT_TRUE(sleeper_sleeps(s));
	EXPECT_LT(0, change(&self->other, &self->cell[1]));
	sleep_ms(50);
	EXPECT_TRUE(sleeper_asleep(s));
	commit = change(&self->other, &self->cell[0]);
	EXPECT_EQ(1, sleeper_end(s));
	EXPECT_EVENT(&s->event, &self->cell[0], commit);

	/* A watch that has something to tell at once */
	ASSERT_TRUE(sleeper_sleeps(s));
	EXPECT_EQ(0, watch(&self->c, &self->cell[1], SLABSHM_WATCH_SINCE,
			   NULL));
	EXPECT_EQ(1, sleeper_end(s));
	EXPECT_EVENT(&s->event, &self->cell[1],
		     version_of(&self->c, &self->cell[1]));

	ASSERT_TRUE(sleeper_sleeps(s));
	EXPECT_EQ(0, cell_remove(&self->other, &self->cell[1]));
	EXPECT_EQ(1, sleeper_end(s));
	EXPECT_EVENT(&s->event, &self->cell[1], 0);

	start = now_ms();
	EXPECT_EQ(-ETIMEDOUT, events(&self->c, self->event, 1,
				     deadline_in(100)));
	EXPECT_LE(99, now_ms() - start);

	/* Three sleep, and one gets it */
	for (i = 0; i < 3; i++) {
		more[i] = *s;
		more[i].deadline = deadline_in(3000);
		ASSERT_TRUE(sleeper_sleeps(&more[i]));
	}
	EXPECT_LT(0, change(&self->other, &self->cell[0]));
	for (i = 0; i < 3; i++) {
		int ret = sleeper_end(&more[i]);

		woken += ret == 1;
		EXPECT_TRUE(ret == 1 || ret == -ETIMEDOUT);
	}
	EXPECT_EQ(1, woken);
}

/* One change wakes a sleeper of each client. */
TEST_F(watch, sleepers_of_two_clients)
{
	const struct client *clients[] = { &self->c, &self->other };
	struct sleeper s[2];
	unsigned int i;

	memset(s, 0, sizeof(s));
	for (i = 0; i < 2; i++) {
		s[i].c = clients[i];
		s[i].deadline = NEVER;
		ASSERT_EQ(0, watch(clients[i], &self->cell[0], 0, NULL));
		ASSERT_TRUE(sleeper_sleeps(&s[i]));
	}
	EXPECT_LT(0, change(&self->c, &self->cell[0]));
	for (i = 0; i < 2; i++)
		EXPECT_EQ(1, sleeper_end(&s[i]));
}

/*
 * ---------------- Who may, and who ends ----------------
 */

static int as_child(void *arg)
{
	const struct client *c = arg;
	struct slabshm_event event;

	/* It may poll, which says the same as in the parent, and no more */
	CHECK(polled(c->fd) == POLLIN);
	CHECK(events(c, &event, 1, 0) == -EIO);
	CHECK(watch(c, NULL, 0, NULL) == -EIO);
	CHECK(unwatch(c, NULL) == -EIO);
	CHECK(polled(c->fd) == POLLIN);
	return 0;
}

TEST_F(watch, forked_child)
{
	ASSERT_EQ(0, watch(&self->c, &self->cell[0], 0, NULL));
	EXPECT_LT(0, change(&self->other, &self->cell[0]));
	EXPECT_EQ(0, in_child(as_child, &self->c));
	EXPECT_EQ(1, events(&self->c, self->event, ROOM, 0));
}

TEST_F(watch, read_only_client)
{
	struct client ro;

	ASSERT_EQ(0, client_open_fd(&ro, self->c.fd, SLABSHM_ATTACH_RDONLY));
	EXPECT_EQ(0, watch(&ro, &self->cell[0], 0, NULL));
	EXPECT_EQ(0, watch(&ro, NULL, 0, NULL));
	EXPECT_LT(0, change(&self->c, &self->cell[0]));
	EXPECT_EQ(2, events(&ro, self->event, ROOM, 0));
	EXPECT_EQ(0, unwatch(&ro, NULL));
	EXPECT_EQ(0, unwatch(&ro, &self->cell[0]));
	client_close(&ro);
}

static void *poll_for_ever(void *fd)
{
	struct pollfd p = { .fd = *(int *)fd, .events = POLLIN };

	return (void *)(long)(poll(&p, 1, PATIENCE) < 0 ? -errno : p.revents);
}

/* Who sleeps in poll(2) is woken by that, too. */
TEST_F(watch, client_ends_while_polled)
{
	struct client c;
	pthread_t thread;
	void *ret;

	ASSERT_EQ(0, client_open_fd(&c, self->c.fd, 0));
	ASSERT_EQ(0, watch(&c, NULL, 0, NULL));
	ASSERT_EQ(0, pthread_create(&thread, NULL, poll_for_ever, &c.fd));
	sleep_ms(100);
	client_unmap_reader(&c);
	ASSERT_EQ(0, pthread_join(thread, &ret));
	EXPECT_EQ(POLLHUP, (long)ret);
	client_close(&c);
}

/* Watches end with their client, whether they have something to tell or not. */
TEST_F(watch, client_ends)
{
	struct slabshm_stat st;
	struct client c;
	unsigned int i, how;
	int copy;

	for (how = 0; how < 3; how++) {
		ASSERT_EQ(0, client_open_fd(&c, self->c.fd, 0));
		for (i = 0; i < CELLS; i++)
			ASSERT_EQ(0, watch(&c, &self->cell[i], 0, NULL));
		ASSERT_EQ(0, watch(&c, NULL, 0, NULL));
		for (i = 0; i < CELLS; i += 1 + how)
			ASSERT_LT(0, change(&self->c, &self->cell[i]));
		copy = dup(c.fd);
		client_unmap_reader(&c);
		EXPECT_EQ(-ENXIO, events(&c, self->event, 1, 0));
		EXPECT_EQ(-ENXIO, watch(&c, NULL, 0, NULL));
		EXPECT_EQ(-ENXIO, unwatch(&c, NULL));
		EXPECT_EQ(POLLHUP, polled(copy));
		for (i = 0; i < CELLS; i++)
			ASSERT_LT(0, change(&self->c, &self->cell[i]));
		EXPECT_EQ(POLLHUP, polled(copy));
		close(copy);
		client_close(&c);
	}
	EXPECT_TRUE(wait_until(!get_stat(&self->c, &st) && st.clients == 2,
			       PATIENCE));
}

static int five_watches(void *arg)
{
	struct slabshm_cell_open_args cell[4];
	struct client c, d;
	int i, round;

	/* One that no other test has */
	CHECK(!become(10000 + (uid_t)getppid(), ALICE));
	(void)arg;
	CHECK(!client_open(&c, NULL, SLABSHM_ATTACH_CREATE, MIB, MIB));
	CHECK(!make_cells(&c, cell, 4));
	for (round = 0; round < 3; round++) {
		CHECK(!client_open_fd(&d, c.fd, SLABSHM_ATTACH_RDONLY));
		/* What the client before had comes back a moment later */
		for (i = 0; i < 4; i++)
			CHECK(wait_until(!watch(&d, &cell[i], 0, NULL),
					 PATIENCE));
		CHECK(wait_until(!watch(&c, NULL, 0, NULL), PATIENCE));
		CHECK(watch(&c, &cell[1], 0, NULL) == -EDQUOT);
		CHECK(watch(&d, NULL, 0, NULL) == -EDQUOT);
		CHECK(!unwatch(&d, &cell[2]));
		/* What was refused does not count */
		CHECK(watch(&d, &cell[0], 0, NULL) == -EEXIST);
		CHECK(watch(&d, &cell[0], 4, NULL) == -EINVAL);
		CHECK(!watch(&d, &cell[2], 0, NULL));
		CHECK(watch(&c, &cell[1], 0, NULL) == -EDQUOT);
		CHECK(!unwatch(&c, NULL));
		client_close(&d);
	}
	return 0;
}

TEST_F(watch, share_of_a_user)
{
	unsigned long old;

	ASSERT_EQ(0, chmod(DEVICE, 0666));
	ASSERT_EQ(0, set_parameter("max_user_watches", 5, &old));
	EXPECT_EQ(0, in_child(five_watches, NULL));
	EXPECT_EQ(0, in_child(five_watches, NULL));
	/* Not for root */
	ASSERT_EQ(0, set_parameter("max_user_watches", 0, NULL));
	EXPECT_EQ(0, watch(&self->c, NULL, 0, NULL));
	EXPECT_EQ(0, set_parameter("max_user_watches", old, NULL));
}

/* The same by SIGKILL, while somebody publishes all the time. */
static int watch_for_ever(void *arg)
{
	const struct client *parents = arg;
	struct slabshm_cell_open_args cell[20];
	struct slabshm_event event[ROOM];
	struct client c;
	unsigned int i;

	CHECK(!client_open_fd(&c, parents->fd, 0));
	CHECK(!make_cells(&c, cell, ARRAY_LEN(cell)));
	CHECK(!watch(&c, NULL, 0, NULL));
	for (;;) {
		for (i = 0; i < ARRAY_LEN(cell); i++)
			CHECK(!watch(&c, &cell[i], 0, NULL));
		for (i = 0; i < 20; i++)
			CHECK(events(&c, event, 1 + i, deadline_in(PATIENCE)) > 0);
		for (i = 0; i < ARRAY_LEN(cell); i++)
			CHECK(!unwatch(&c, &cell[i]));
	}
	return 1;
}

TEST_F_TIMEOUT(watch, killed, 240)
{
	unsigned int i, k, kills = long_run() ? 500 : 20;
	struct slabshm_stat st;
	uint64_t seed = any_seed(2);

	for (k = 0; k < kills; k++) {
		long long until = now_ms() + 20 + any(&seed) % 50;
		pid_t pid = start_child(watch_for_ever, &self->c);

		ASSERT_LT(0, pid);
		for (i = 0; now_ms() < until; i++)
			ASSERT_LT(0, change(&self->other, &self->cell[i % 30]));
		kill(pid, SIGKILL);
		for (i = 0; i < 30; i++)
			ASSERT_LT(0, change(&self->other, &self->cell[i]));
		EXPECT_EQ(-SIGKILL, end_child(pid));
	}
	EXPECT_TRUE(wait_until(!get_stat(&self->c, &st) && st.clients == 2,
			       PATIENCE));
}

/*
 * ---------------- At once ----------------
 */

/**
 * struct taker - a thread that takes events
 * @c: of this client
 * @told: the version of each cell that was told last, to any of them
 * @over: no more changes come
 * @strange: something that must not happen
 * @taken: how many it took
 * @thread: the thread
 */
struct taker {
	const struct client *c;
	__u64 *told;
	bool *over;
	unsigned int strange;
	unsigned int taken;
	pthread_t thread;
};

static void told_max(__u64 *told, __u64 version)
{
	__u64 was = __atomic_load_n(told, __ATOMIC_RELAXED);

	while (was < version &&
	       !__atomic_compare_exchange_n(told, &was, version, true,
					    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

static void *take(void *arg)
{
	struct slabshm_event event[ROOM];
	struct taker *me = arg;
	uint64_t seed = any_seed((uintptr_t)me);
	bool over;
	int i, n;

	do {
		over = __atomic_load_n(me->over, __ATOMIC_ACQUIRE);
		n = events(me->c, event, 1 + any(&seed) % ROOM,
			   over ? 0 : deadline_in(20));
		for (i = 0; i < n; i++)
			told_max(&me->told[event[i].cell], event[i].version);
		me->taken += n > 0 ? (unsigned int)n : 0;
		me->strange += n < 0 && n != -ETIMEDOUT;
	} while (!over || n > 0);
	return NULL;
}

/* Two threads of each client take, two processors publish. */
static void storm(struct __test_metadata *_metadata,
		  struct _test_data_watch *self, bool all)
{
	const struct client *clients[] = { &self->c, &self->other };
	long long until = now_ms() + test_ms(1500);
	static __u64 told[2][CELLS];
	struct taker taker[4];
	uint64_t seed = any_seed(3);
	bool over = false;
	unsigned int i, k;

	memset(told, 0, sizeof(told));
	for (k = 0; k < 2; k++) {
		for (i = 0; i < CELLS && !all; i++)
			ASSERT_EQ(0, watch(clients[k], &self->cell[i],
					   SLABSHM_WATCH_SINCE, NULL));
		if (all)
			ASSERT_EQ(0, watch(clients[k], NULL,
					   SLABSHM_WATCH_SINCE, NULL));
	}
	for (i = 0; i < ARRAY_LEN(taker); i++) {
		taker[i] = (struct taker){
			.c = clients[i % 2],
			.told = told[i % 2],
			.over = &over,
		};
		ASSERT_EQ(0, pthread_create(&taker[i].thread, NULL, take,
					    &taker[i]));
	}
	while (now_ms() < until) {
		for (i = 0; i < 64; i++)
			ASSERT_LT(0, change(&self->c,
					    &self->cell[any(&seed) % CELLS]));
		if (any(&seed) % 4 == 0)
			sched_yield();
	}
	__atomic_store_n(&over, true, __ATOMIC_RELEASE);
	for (i = 0; i < ARRAY_LEN(taker); i++) {
		pthread_join(taker[i].thread, NULL);
		EXPECT_EQ(0, taker[i].strange);
		EXPECT_LT(0, taker[i].taken);
	}
	for (k = 0; k < 2; k++) {
		for (i = 0; i < CELLS; i++)
			EXPECT_EQ(version_of(&self->c, &self->cell[i]),
				  told[k][i])
				TH_LOG("client %u, cell %u", k, i);
		EXPECT_NO_EVENT(clients[k]);
	}
}

TEST_F_TIMEOUT(watch, takers_of_cells, 120)
{
	storm(_metadata, self, false);
}

TEST_F_TIMEOUT(watch, takers_of_all, 120)
{
	storm(_metadata, self, true);
}

TEST_HARNESS_MAIN
