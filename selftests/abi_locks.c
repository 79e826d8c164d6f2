// SPDX-License-Identifier: GPL-2.0
/*
 * LOCK, UNLOCK, locks in PUBLISH and in LIST: each error, arguments made to hurt,
 * results that cannot be told.  How locks behave is for lock.c.
 */
#include <pthread.h>

#include "abi.h"

/* In place of a generation: which handle to fill in */
enum { CELL = 1001, EMPTY = 1002, GONE = 1003 };

FIXTURE(locks)
{
	struct heap heap;
};

FIXTURE_SETUP(locks)
{
	ASSERT_EQ(0, heap_make(&self->heap));
}

FIXTURE_TEARDOWN(locks)
{
	heap_end(&self->heap);
}

static void set_handles(const struct heap *h, struct slabshm_lock_cell *item,
			unsigned int n)
{
	const struct slabshm_cell_open_args *handles[] = {
		&h->cell, &h->empty, &h->gone
	};

	for (; n--; item++) {
		if (item->generation < CELL || item->generation > GONE)
			continue;
		item->cell = handles[item->generation - CELL]->cell;
		item->generation = handles[item->generation - CELL]->generation;
	}
}

struct lock_case {
	int err;
	__u32 failed;
	unsigned int n;
	struct slabshm_lock_cell cells[3];
};

#define ITEM(which, ...)	{ .generation = (which), __VA_ARGS__ }

TEST_F(locks, lock_refusals)
{
	struct heap *h = &self->heap;
	struct lock_case cases[] = {
		{ EINVAL, 0, 1, { ITEM(CELL, .flags = 4) } },
		{ EINVAL, 0, 1, { ITEM(CELL, .flags = 7) } },
		{ EINVAL, 1, 2, { ITEM(CELL), ITEM(EMPTY, .flags = 1U << 31) } },
		{ EINVAL, 1, 2, { ITEM(EMPTY), ITEM(EMPTY) } },
		{ EINVAL, 2, 3, { ITEM(EMPTY), ITEM(CELL), ITEM(EMPTY) } },
		{ EINVAL, 0, 1, { { .cell = 3, .generation = 1 } } },
		{ EINVAL, 0, 1, { { .cell = ~0U, .generation = 1 } } },
		{ EINVAL, 0, 2,
			{ { SLABSHM_CELLS_DEFAULT, 0, 1 }, ITEM(EMPTY) } },
		{ EIDRM, 0, 1, { ITEM(GONE) } },
		{ EIDRM, 1, 2, { ITEM(EMPTY), ITEM(GONE) } },
		{ EIDRM, 0, 2, { ITEM(GONE), ITEM(EMPTY) } },
		{ EIDRM, 0, 1, { { .cell = h->cell.cell } } },
		{ EIDRM, 0, 1, { { h->cell.cell, 0, ~0ULL } } },
		{ EBUSY, 0, 1, { ITEM(CELL) } },
		{ EBUSY, 1, 2, { ITEM(EMPTY), ITEM(CELL) } },
		{ EBUSY, 0, 2, { ITEM(CELL), ITEM(EMPTY) } },
	};
	struct lock_case *p;
	__u32 failed;

	ASSERT_EQ(0, lock_one(&h->other, &h->cell, 0));
	for (p = cases; p < cases + ARRAY_LEN(cases); p++) {
		struct slabshm_lock_cell was[3];

		set_handles(h, p->cells, p->n);
		memcpy(was, p->cells, sizeof(was));
		EXPECT_REFUSED(p->err,
			       lock_cells(&h->c, p->cells, p->n,
					  SLABSHM_LOCK_TRY, 0, &failed))
			TH_LOG("case %ld", (long)(p - cases));
		EXPECT_EQ(p->failed, failed)
			TH_LOG("case %ld", (long)(p - cases));
		EXPECT_EQ(0, memcmp(was, p->cells, sizeof(was)));
		if (p->err != EBUSY)
			continue;
		/* A deadline that has passed is as good as TRY */
		EXPECT_REFUSED(ETIMEDOUT,
			       lock_cells(&h->c, p->cells, p->n, 0, 0, &failed));
		EXPECT_EQ(p->failed, failed);
		EXPECT_REFUSED(ETIMEDOUT,
			       lock_cells(&h->c, p->cells, p->n, 0,
					  deadline_in(20), &failed));
		EXPECT_EQ(p->failed, failed);
	}
	/* The thread's own */
	EXPECT_REFUSED(EDEADLK, lock_one(&h->other, &h->cell, 0));
	EXPECT_REFUSED(EDEADLK, lock_one(&h->other, &h->cell, -1));
	p = &cases[ARRAY_LEN(cases) - 2];
	EXPECT_REFUSED(EDEADLK, lock_cells(&h->other, p->cells, 2, 0,
					   SLABSHM_DEADLINE_NEVER, &failed));
	EXPECT_EQ(1, failed);
	EXPECT_EQ(0, unlock_one(&h->other, &h->cell, 0));
	EXPECT_EQ(0, lock_cells(&h->c, p->cells, 2, SLABSHM_LOCK_TRY, 0,
				&failed));
	EXPECT_EQ(0, p->cells[0].flags | p->cells[1].flags);
}

struct thread_call {
	struct heap *h;
	int ret[3];
};

static void *other_thread(void *arg)
{
	struct thread_call *t = arg;

	t->ret[0] = unlock_one(&t->h->c, &t->h->cell, 0);
	t->ret[1] = lock_one(&t->h->c, &t->h->cell, 0);
	t->ret[2] = publish_one(&t->h->c, &t->h->cell, 0, 0);
	return NULL;
}

TEST_F(locks, unlock_refusals)
{
	struct heap *h = &self->heap;
	struct lock_case cases[] = {
		{ EINVAL, 0, 1, { ITEM(CELL, .flags = 4) } },
		{ EINVAL, 0, 1, { ITEM(CELL, .flags = 7) } },
		{ EINVAL, 1, 2, { ITEM(CELL), ITEM(CELL, .flags = 1U << 31) } },
		{ EINVAL, 1, 2, { ITEM(CELL), ITEM(CELL) } },
		{ EINVAL, 0, 1, { { .cell = 3, .generation = 1 } } },
		{ EINVAL, 1, 2, { ITEM(CELL), { ~0U, 0, 1 } } },
		{ EIDRM, 1, 2, { ITEM(CELL), ITEM(GONE) } },
		{ EIDRM, 0, 1, { { h->cell.cell, 0, ~0ULL } } },
		{ EPERM, 0, 1, { ITEM(EMPTY) } },
		{ EPERM, 1, 2, { ITEM(CELL), ITEM(EMPTY) } },
		{ EPERM, 1, 2, { ITEM(CELL, .flags = 2), ITEM(EMPTY) } },
	};
	struct thread_call t = { .h = h };
	struct lock_case *p;
	pthread_t thread;
	__u32 failed;

	/* Never locked, and locked by another client of this thread */
	EXPECT_REFUSED(EPERM, unlock_one(&h->c, &h->empty, 0));
	ASSERT_EQ(0, lock_one(&h->other, &h->empty, 0));
	ASSERT_EQ(0, lock_one(&h->c, &h->cell, 0));
	for (p = cases; p < cases + ARRAY_LEN(cases); p++) {
		set_handles(h, p->cells, p->n);
		EXPECT_REFUSED(p->err,
			       unlock_cells(&h->c, p->cells, p->n, &failed))
			TH_LOG("case %ld", (long)(p - cases));
		EXPECT_EQ(p->failed, failed)
			TH_LOG("case %ld", (long)(p - cases));
	}
	/* Another thread of the same client */
	take_state(h, &before);
	ASSERT_EQ(0, pthread_create(&thread, NULL, other_thread, &t));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(-EPERM, t.ret[0]);
	EXPECT_EQ(-EBUSY, t.ret[1]);
	EXPECT_EQ(0, t.ret[2]);	/* advisory */
	take_state(h, &after);
	EXPECT_EQ(0, memcmp(before.locks, after.locks, sizeof(before.locks)));
	EXPECT_EQ(0, unlock_one(&h->c, &h->cell, 0));
	EXPECT_REFUSED(EPERM, unlock_one(&h->c, &h->cell, 0));
	EXPECT_EQ(0, unlock_one(&h->other, &h->empty, 0));
}

static int lock_raw(const struct heap *h, unsigned long cmd, __u64 cells,
		    __u32 count, __u32 *failed)
{
	struct slabshm_lock_args lock = {
		.cells = cells,
		.count = count,
		.flags = SLABSHM_LOCK_TRY,
		.failed = POISON32,
	};
	struct slabshm_unlock_args unlock = {
		.cells = cells,
		.count = count,
		.failed = POISON32,
	};
	int err;

	if (cmd == SLABSHM_IOC_LOCK)
		err = client_call(&h->c, cmd, &lock);
	else
		err = client_call(&h->c, cmd, &unlock);
	*failed = cmd == SLABSHM_IOC_LOCK ? lock.failed : unlock.failed;
	return err;
}

TEST_F(locks, arrays)
{
	struct heap *h = &self->heap;
	static struct slabshm_lock_cell items[SLABSHM_BATCH_MAX + 1];
	struct slabshm_lock_cell *item = (void *)h->page;
	const __u64 i = (uintptr_t)items, gap = (uintptr_t)h->page + PAGE;
	const struct {
		int err;
		__u64 cells;
		__u32 count;
	} cases[] = {
		{ EINVAL, i, 0 }, { EINVAL, i, 65 }, { EINVAL, i, ~0U },
		{ EINVAL, i, 0x10000001 }, { EINVAL, i, 1U << 31 },
		{ EFAULT, 0, 1 }, { EFAULT, KERNEL_ADDRESS, 1 },
		{ EFAULT, ~0ULL, 1 }, { EFAULT, ~0ULL - 15, 1 },
		{ EFAULT, gap - sizeof(*item) + 1, 1 }, { EFAULT, gap, 1 },
		{ EFAULT, gap - sizeof(*item), 2 },
	};
	static const unsigned long cmds[] = {
		SLABSHM_IOC_LOCK, SLABSHM_IOC_UNLOCK
	};
	struct slabshm_cell_open_args cell;
	struct slabshm_lock_args tried = {
		.cells = i,
		.count = 1,
		.flags = SLABSHM_LOCK_TRY,
		.deadline = 1,
	};
	struct slabshm_unlock_args all = {
		.flags = SLABSHM_UNLOCK_THREAD,
		.cells = i,
		.count = 1,
	};
	unsigned int k, n;
	__u32 failed;

	for (n = 0; n < SLABSHM_BATCH_MAX; n++) {
		char name[16];

		snprintf(name, sizeof(name), "many%u", n);
		ASSERT_EQ(0, cell_open(&h->c, name, SLABSHM_CELL_CREATE, &cell));
		/* In no order */
		k = n * 37 % SLABSHM_BATCH_MAX;
		items[k].cell = cell.cell;
		items[k].generation = cell.generation;
	}
	items[SLABSHM_BATCH_MAX] = (struct slabshm_lock_cell){
		.cell = h->cell.cell,
		.generation = h->cell.generation,
	};
	for (n = 0; n < 2; n++) {
		for (k = 0; k < ARRAY_LEN(cases); k++) {
			memcpy((char *)gap - sizeof(*item), items,
			       sizeof(*item));
			EXPECT_REFUSED(cases[k].err,
				       lock_raw(h, cmds[n], cases[k].cells,
						cases[k].count, &failed))
				TH_LOG("call %u, case %u", n, k);
			EXPECT_EQ(POISON32, failed)
				TH_LOG("call %u, case %u", n, k);
		}
	}
	EXPECT_REFUSED(EINVAL, client_call(&h->c, SLABSHM_IOC_LOCK, &tried));
	EXPECT_REFUSED(EINVAL, client_call(&h->c, SLABSHM_IOC_UNLOCK, &all));
	all.count = 0;
	EXPECT_REFUSED(0, client_call(&h->c, SLABSHM_IOC_UNLOCK, &all));

	/* As many as there can be, and without alignment; all or none */
	EXPECT_EQ(0, lock_raw(h, SLABSHM_IOC_LOCK, i, SLABSHM_BATCH_MAX,
			      &failed));
	take_state(h, &after);
	EXPECT_EQ(ARRAY_LEN(after.locks), after.nlocks);
	for (n = 0; n < SLABSHM_BATCH_MAX; n++)
		EXPECT_EQ(0, items[n].flags);
	EXPECT_EQ(-EDEADLK, lock_raw(h, SLABSHM_IOC_LOCK, i + sizeof(*items),
				     SLABSHM_BATCH_MAX, &failed));
	EXPECT_EQ(-EPERM, lock_raw(h, SLABSHM_IOC_UNLOCK, i + sizeof(*items),
				   SLABSHM_BATCH_MAX, &failed));
	EXPECT_EQ(SLABSHM_BATCH_MAX - 1, failed);
	memcpy(h->page + 1, items, SLABSHM_BATCH_MAX * sizeof(*items));
	EXPECT_EQ(0, lock_raw(h, SLABSHM_IOC_UNLOCK, (uintptr_t)h->page + 1,
			      SLABSHM_BATCH_MAX, &failed));
	take_state(h, &after);
	EXPECT_EQ(0, after.nlocks);
}

/* Make the last holder of @handle's lock one that ended without a word. */
static int leave_dead(struct heap *h, const struct slabshm_cell_open_args *handle)
{
	struct slabshm_unlock_args all = { .flags = SLABSHM_UNLOCK_THREAD };
	int err = lock_one(&h->other, handle, 0);

	return err ? err : client_call(&h->other, SLABSHM_IOC_UNLOCK, &all);
}

/* Who cannot be told that the holder has died does not get the lock. */
TEST_F(locks, untold)
{
	struct heap *h = &self->heap;
	struct slabshm_lock_cell *item = (void *)h->page;
	struct slabshm_lock_args arg = {
		.cells = (uintptr_t)h->page,
		.deadline = SLABSHM_DEADLINE_NEVER,
		.count = 2,
		.failed = POISON32,
	};
	unsigned int i;

	ASSERT_EQ(0, leave_dead(h, &h->cell));
	for (i = 0; i < 3; i++) {
		item[0] = (struct slabshm_lock_cell)ITEM(EMPTY);
		item[1] = (struct slabshm_lock_cell)ITEM(CELL);
		set_handles(h, item, 2);
		protect(h, PROT_READ);
		EXPECT_REFUSED(EFAULT, client_call(&h->c, SLABSHM_IOC_LOCK, &arg));
		protect(h, PROT_READ | PROT_WRITE);
	}
	EXPECT_EQ(-EOWNERDEAD, client_call(&h->c, SLABSHM_IOC_LOCK, &arg));
	EXPECT_EQ(POISON32, arg.failed);
	EXPECT_EQ(0, item[0].flags);
	EXPECT_EQ(SLABSHM_LOCKED_OWNERDEAD, item[1].flags);
	item[0].flags = 0;
	item[1].flags = SLABSHM_UNLOCK_CONSISTENT;
	EXPECT_EQ(0, unlock_cells(&h->c, item, 2, NULL));
	/* Nothing to tell, so nothing is written */
	item[1].flags = 0;
	protect(h, PROT_READ);
	EXPECT_EQ(0, client_call(&h->c, SLABSHM_IOC_LOCK, &arg));
	EXPECT_EQ(0, unlock_cells(&h->c, item, 2, NULL));
	protect(h, PROT_READ | PROT_WRITE);
}

/* What one call has left in an array is no concern of the next one. */
TEST_F(locks, one_array)
{
	struct heap *h = &self->heap;
	struct slabshm_lock_cell items[2] = { ITEM(CELL), ITEM(EMPTY) };

	set_handles(h, items, 2);
	ASSERT_EQ(0, leave_dead(h, &h->cell));
	EXPECT_EQ(-EOWNERDEAD, lock_cells(&h->c, items, 2, 0, 0, NULL));
	EXPECT_EQ(SLABSHM_LOCKED_OWNERDEAD, items[0].flags);
	EXPECT_EQ(0, items[1].flags);
	/* Nobody has said that it is consistent */
	EXPECT_EQ(0, unlock_cells(&h->c, items, 2, NULL));
	items[1].flags = SLABSHM_LOCKED_OWNERDEAD;
	EXPECT_EQ(-EOWNERDEAD, lock_cells(&h->c, items, 2, 0, 0, NULL));
	EXPECT_EQ(SLABSHM_LOCKED_OWNERDEAD, items[0].flags);
	EXPECT_EQ(0, items[1].flags);
	items[0].flags |= SLABSHM_UNLOCK_CONSISTENT;
	EXPECT_EQ(0, unlock_cells(&h->c, items, 2, NULL));
	/* It is: neither bit stays */
	items[1].flags = SLABSHM_UNLOCK_CONSISTENT;
	EXPECT_EQ(0, lock_cells(&h->c, items, 2, 0, 0, NULL));
	EXPECT_EQ(0, items[0].flags | items[1].flags);
	EXPECT_EQ(0, unlock_cells(&h->c, items, 2, NULL));
}

/*
 * A handle whose cell was removed, and one of the cell that took its place: that is
 * no cell twice, whoever removed the first.
 */
TEST_F(locks, handles_of_one_place)
{
	struct heap *h = &self->heap;
	struct slabshm_cell_open_args old = h->empty, new;
	struct slabshm_lock_cell items[2];
	unsigned int i;
	__u32 failed;

	ASSERT_EQ(0, cell_remove(&h->other, &old));
	ASSERT_EQ(0, cell_open(&h->c, "empty", SLABSHM_CELL_CREATE, &new));
	ASSERT_EQ(old.cell, new.cell);
	for (i = 0; i < 2; i++) {
		items[i] = (struct slabshm_lock_cell){
			.cell = old.cell,
			.generation = old.generation,
		};
		items[!i] = (struct slabshm_lock_cell){
			.cell = new.cell,
			.generation = new.generation,
		};
		EXPECT_REFUSED(EIDRM, lock_cells(&h->c, items, 2,
						 SLABSHM_LOCK_TRY, 0, &failed));
		EXPECT_EQ(i, failed);
		EXPECT_REFUSED(EIDRM, lock_cells(&h->c, items, 2, 0,
						 SLABSHM_DEADLINE_NEVER,
						 &failed));
		EXPECT_EQ(i, failed);
		ASSERT_EQ(0, lock_one(&h->c, &new, 0));
		EXPECT_REFUSED(EIDRM, unlock_cells(&h->c, items, 2, &failed));
		EXPECT_EQ(i, failed);
		ASSERT_EQ(0, unlock_one(&h->c, &new, 0));
	}
	items[0] = items[1];
	EXPECT_REFUSED(EINVAL, lock_cells(&h->c, items, 2, SLABSHM_LOCK_TRY, 0,
					  &failed));
}

/* The index of the refused cell is told as well as can be. */
TEST_F(locks, unwritable_failed)
{
	struct heap *h = &self->heap;
	struct slabshm_lock_args *arg = (void *)h->page;
	struct slabshm_unlock_args *unlock = (void *)(arg + 1);
	struct slabshm_lock_cell item = ITEM(CELL);

	set_handles(h, &item, 1);
	ASSERT_EQ(0, lock_one(&h->other, &h->cell, 0));
	arg->client = h->c.at.client;
	arg->cells = (uintptr_t)&item;
	arg->count = 1;
	arg->flags = SLABSHM_LOCK_TRY;
	unlock->client = h->c.at.client;
	unlock->cells = (uintptr_t)&item;
	unlock->count = 1;
	protect(h, PROT_READ);
	EXPECT_REFUSED(EBUSY, call(h->c.fd, SLABSHM_IOC_LOCK, arg));
	EXPECT_REFUSED(EPERM, call(h->c.fd, SLABSHM_IOC_UNLOCK, unlock));
	protect(h, PROT_READ | PROT_WRITE);
}

static int publish_flags(const struct client *c,
			 const struct slabshm_cell_open_args *handle,
			 unsigned int flags, __u32 *failed)
{
	struct slabshm_publish_cell item = {
		.cell = handle->cell,
		.generation = handle->generation,
		.flags = flags,
	};

	return publish(c, &item, 1, NULL, 0, failed, NULL);
}

TEST_F(locks, publish_unlocks)
{
	struct heap *h = &self->heap;
	const unsigned int unlock = SLABSHM_PUBLISH_UNLOCK;
	const unsigned int consistent = SLABSHM_PUBLISH_CONSISTENT;
	struct slabshm_publish_cell items[2] = {
		{ .cell = h->cell.cell, .generation = h->cell.generation,
		  .flags = unlock },
		{ .cell = h->empty.cell, .generation = h->empty.generation,
		  .flags = unlock | SLABSHM_PUBLISH_EXPECT, .expected = 1 },
	};
	__u32 failed;

	/* Not held, by this thread in this client */
	EXPECT_REFUSED(EPERM, publish_flags(&h->c, &h->cell, unlock, &failed));
	EXPECT_EQ(0, failed);
	ASSERT_EQ(0, lock_one(&h->other, &h->cell, 0));
	EXPECT_REFUSED(EPERM, publish_flags(&h->c, &h->cell, unlock |
					    consistent, &failed));
	EXPECT_REFUSED(EINVAL, publish_flags(&h->other, &h->cell, consistent,
					     &failed));
	EXPECT_EQ(0, unlock_one(&h->other, &h->cell, 0));

	/* Refused for another cell: the lock stays */
	ASSERT_EQ(0, lock_one(&h->c, &h->cell, 0));
	ASSERT_EQ(0, lock_one(&h->c, &h->empty, 0));
	EXPECT_REFUSED(EAGAIN, publish(&h->c, items, 2, NULL, 0, &failed, NULL));
	EXPECT_EQ(1, failed);
	items[1].flags = unlock;
	items[1].expected = 0;
	EXPECT_EQ(0, publish(&h->c, items, 2, NULL, 0, &failed, NULL));
	EXPECT_EQ(-EPERM, unlock_one(&h->c, &h->cell, 0));
	EXPECT_EQ(-EPERM, unlock_one(&h->c, &h->empty, 0));

	/* Without UNLOCK the lock stays; UNLOCK hands on what a dead one left */
	ASSERT_EQ(0, leave_dead(h, &h->cell));
	EXPECT_EQ(-EOWNERDEAD, lock_one(&h->c, &h->cell, 0));
	EXPECT_EQ(0, publish_flags(&h->c, &h->cell, 0, &failed));
	EXPECT_EQ(-EBUSY, lock_one(&h->other, &h->cell, 0));
	EXPECT_EQ(0, publish_flags(&h->c, &h->cell, unlock, &failed));
	EXPECT_EQ(-EOWNERDEAD, lock_one(&h->other, &h->cell, 0));
	EXPECT_EQ(0, publish_flags(&h->other, &h->cell, unlock | consistent,
				   &failed));
	EXPECT_EQ(0, lock_one(&h->c, &h->cell, 0));
	EXPECT_EQ(0, publish_flags(&h->c, &h->cell, unlock, &failed));
	EXPECT_EQ(0, lock_one(&h->other, &h->cell, 0));
}

static int mandatory_make(struct client *c, struct client *other,
			  struct slabshm_cell_open_args *cell)
{
	if (client_open(c, NULL, SLABSHM_ATTACH_CREATE |
			SLABSHM_ATTACH_MANDATORY, MIB, MIB) ||
	    client_open_fd(other, c->fd, 0))
		return 1;
	return cell_open(c, "locked", SLABSHM_CELL_CREATE, cell);
}

TEST_F(locks, mandatory)
{
	struct slabshm_cell_open_args cell, free_cell;
	struct slabshm_publish_cell items[2];
	struct client c, other;
	struct slabshm_stat st;
	__u64 commit;
	__u32 failed;
	__s64 block;

	ASSERT_EQ(0, mandatory_make(&c, &other, &cell));
	ASSERT_EQ(0, cell_open(&c, "free", SLABSHM_CELL_CREATE, &free_cell));
	ASSERT_EQ(0, get_stat(&c, &st));
	EXPECT_EQ(SLABSHM_SLAB_MANDATORY,
		  st.attributes & SLABSHM_SLAB_MANDATORY);
	ASSERT_EQ(0, get_stat(&self->heap.c, &st));
	EXPECT_EQ(0, st.attributes & SLABSHM_SLAB_MANDATORY);

	/* While nobody holds the lock, anybody may */
	EXPECT_EQ(0, publish_flags(&other, &cell, 0, &failed));
	ASSERT_EQ(0, lock_one(&c, &cell, 0));
	commit = c.control->commit;
	EXPECT_EQ(-EBUSY, publish_flags(&other, &cell, 0, &failed));
	EXPECT_EQ(0, failed);
	EXPECT_EQ(-EPERM, publish_flags(&other, &cell, SLABSHM_PUBLISH_UNLOCK,
					&failed));
	memset(items, 0, sizeof(items));
	items[0].cell = free_cell.cell;
	items[0].generation = free_cell.generation;
	items[1].cell = cell.cell;
	items[1].generation = cell.generation;
	block = alloc_block(&other, 64);
	ASSERT_LT(0, block);
	items[0].block = (__u64)block;
	EXPECT_EQ(-EBUSY, publish(&other, items, 2, NULL, 0, &failed, NULL));
	EXPECT_EQ(1, failed);
	EXPECT_EQ(0, free_block(&other, (__u64)block));
	EXPECT_EQ(-EBUSY, cell_remove(&other, &cell));
	EXPECT_EQ(commit, c.control->commit);
	EXPECT_EQ(0, publish_flags(&other, &free_cell, 0, &failed));

	/* The holder may; with the lock goes what it forbids */
	EXPECT_EQ(0, publish_flags(&c, &cell, 0, &failed));
	EXPECT_EQ(0, publish_flags(&c, &cell, SLABSHM_PUBLISH_UNLOCK, &failed));
	EXPECT_EQ(0, publish_flags(&other, &cell, 0, &failed));
	ASSERT_EQ(0, lock_one(&c, &cell, 0));
	EXPECT_EQ(0, cell_remove(&c, &cell));
	EXPECT_EQ(-EIDRM, unlock_one(&c, &cell, 0));
	ASSERT_EQ(0, cell_open(&c, "locked", SLABSHM_CELL_CREATE, &cell));
	EXPECT_EQ(0, lock_one(&other, &cell, 0));
	client_close(&other);
	client_close(&c);

	/* An existing slab stays as it is */
	ASSERT_EQ(0, client_open(&c, self->heap.name, SLABSHM_ATTACH_CREATE |
				 SLABSHM_ATTACH_MANDATORY, MIB, MIB));
	ASSERT_EQ(0, get_stat(&c, &st));
	EXPECT_EQ(0, st.attributes & SLABSHM_SLAB_MANDATORY);
	client_close(&c);
	EXPECT_EQ(-EINVAL, client_open(&c, self->heap.name,
				       SLABSHM_ATTACH_MANDATORY, 0, 0));
}

TEST_F(locks, list)
{
	struct heap *h = &self->heap;
	struct slabshm_lock_entry all[4], one;
	struct {
		struct slabshm_lock_entry known;
		char more[24];
	} longer[2];
	static const char zeros[24];
	__u64 cursor = 0;
	unsigned int i;

	EXPECT_EQ(0, list_all(&h->c, SLABSHM_LIST_LOCKS, all, sizeof(all[0]),
			      4));
	ASSERT_EQ(0, leave_dead(h, &h->cell));
	ASSERT_EQ(0, lock_one(&h->other, &h->empty, 0));
	ASSERT_EQ(-EOWNERDEAD, lock_one(&h->c, &h->cell, 0));
	sleep_ms(30);
	ASSERT_EQ(2, list_all(&h->ro, SLABSHM_LIST_LOCKS, all, sizeof(all[0]),
			      4));
	EXPECT_STREQ("empty", all[0].name);
	EXPECT_EQ(h->empty.cell, all[0].cell);
	EXPECT_EQ(h->empty.generation, all[0].generation);
	EXPECT_EQ(SLABSHM_LOCKER_HOLDS, all[0].flags);
	EXPECT_EQ(h->other.at.client, all[0].client);
	EXPECT_EQ(gettid(), all[0].tid);
	EXPECT_LE(30, all[0].ms);
	EXPECT_GT(slowly(60000), all[0].ms);
	EXPECT_STREQ("cell", all[1].name);
	EXPECT_EQ(h->cell.cell, all[1].cell);
	EXPECT_EQ(h->c.at.client, all[1].client);
	EXPECT_EQ(SLABSHM_LOCKER_HOLDS | SLABSHM_LOCKER_INCONSISTENT,
		  all[1].flags);
	for (i = strlen(all[1].name); i < sizeof(all[1].name); i++)
		EXPECT_EQ(0, all[1].name[i]);

	/* One at a time, cut, and with more room than this kernel fills */
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(1, list(&h->c, SLABSHM_LIST_LOCKS, &one,
				  sizeof(one), 1, &cursor));
		EXPECT_EQ(all[i].cell, one.cell);
		EXPECT_EQ(all[i].client, one.client);
	}
	EXPECT_EQ(0, list(&h->c, SLABSHM_LIST_LOCKS, &one, sizeof(one), 1,
			  &cursor));
	cursor = 0;
	ASSERT_EQ(1, list(&h->c, SLABSHM_LIST_LOCKS, &one, 12, 1, &cursor));
	EXPECT_EQ(0, memcmp(&one, all, 12));
	ASSERT_EQ(2, list_all(&h->c, SLABSHM_LIST_LOCKS, longer,
			      sizeof(longer[0]), 2));
	for (i = 0; i < 2; i++) {
		EXPECT_STREQ(all[i].name, longer[i].known.name);
		EXPECT_EQ(0, memcmp(longer[i].more, zeros, 24));
	}
}

TEST_HARNESS_MAIN
