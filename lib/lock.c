// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * libslabshm: locks of cells
 *
 * All is done by the kernel.  But it cannot know that a thread has ended while its
 * process lives on; so a thread that takes locks leaves word to be remembered when
 * it ends (slabshm_readers_thread_exit()).
 */
#include <limits.h>
#include <pthread.h>

#include "handle.h"

/* LOCK ignores this flag of a cell, and clears it when it has locked them all. */
#define NOT_LOCKED	SLABSHM_UNLOCK_CONSISTENT

/**
 * struct sleeper - a thread in LOCK
 * @s: the handle
 * @cells: what it wants to lock
 * @n: how many
 */
struct sleeper {
	const struct slabshm *s;
	struct slabshm_lock_cell *cells;
	unsigned int n;
};

/* The thread was cancelled.  If it had locked the cells, they are as before. */
static void lock_undo(void *ctx)
{
	const struct sleeper *sleeper = ctx;
	struct slabshm_unlock_args arg = {
		.cells = (uintptr_t)sleeper->cells,
		.count = sleeper->n,
	};

	if (!(sleeper->cells->flags & NOT_LOCKED))
		call(sleeper->s, SLABSHM_IOC_UNLOCK, &arg);
}

static int lock_sleeping(struct sleeper *sleeper, struct slabshm_lock_args *arg)
{
	uint32_t flags = sleeper->cells->flags;
	int ret;

	sleeper->cells->flags |= NOT_LOCKED;
	pthread_cleanup_push(lock_undo, sleeper);
	ret = slabshm_call_sleeping(sleeper->s, SLABSHM_IOC_LOCK, arg);
	pthread_cleanup_pop(0);
	if (sleeper->cells->flags & NOT_LOCKED)
		sleeper->cells->flags = flags;
	return ret;
}

int slabshm_lock_batch(struct slabshm *s, struct slabshm_lock_cell *cells,
		       unsigned int n, int timeout, unsigned int *failed)
{
	struct slabshm_lock_args arg = {
		.cells = (uintptr_t)cells,
		.count = n,
		.flags = SLABSHM_LOCK_TRY,
		.failed = UINT_MAX,
	};
	int ret = call(s, SLABSHM_IOC_LOCK, &arg);
	unsigned int i;

	if (ret == -EBUSY && timeout) {
		struct sleeper sleeper = {
			.s = s,
			.cells = cells,
			.n = n,
		};

		arg.flags = 0;
		arg.deadline = slabshm_deadline(timeout);
		ret = lock_sleeping(&sleeper, &arg);
	}
	if (ret && ret != -EOWNERDEAD) {
		if (failed)
			*failed = arg.failed;
		return ret;
	}
	slabshm_thread_has_locks(s);
	for (i = 0; tools_threads() && i < n; i++)
		tools_acquire_cell(s, cells[i].cell);
	return ret;
}

int slabshm_unlock_batch(struct slabshm *s,
			 const struct slabshm_lock_cell *cells, unsigned int n,
			 unsigned int *failed)
{
	struct slabshm_unlock_args arg = {
		.cells = (uintptr_t)cells,
		.count = n,
		.failed = UINT_MAX,
	};
	unsigned int i;
	int ret;

	for (i = 0; tools_threads() && i < n && i < SLABSHM_BATCH_MAX; i++)
		tools_release_cell(s, cells[i].cell);
	ret = call(s, SLABSHM_IOC_UNLOCK, &arg);
	if (ret && failed)
		*failed = arg.failed;
	return ret;
}

static struct slabshm_lock_cell one_cell(const struct slabshm_ref *ref,
					 uint32_t flags)
{
	return (struct slabshm_lock_cell){
		.cell = ref->cell,
		.flags = flags,
		.generation = ref->generation,
	};
}

int slabshm_lock(struct slabshm *s, const struct slabshm_ref *ref, int timeout)
{
	struct slabshm_lock_cell cell = one_cell(ref, 0);

	return slabshm_lock_batch(s, &cell, 1, timeout, NULL);
}

int slabshm_unlock(struct slabshm *s, const struct slabshm_ref *ref)
{
	struct slabshm_lock_cell cell = one_cell(ref, 0);

	return slabshm_unlock_batch(s, &cell, 1, NULL);
}

int slabshm_unlock_consistent(struct slabshm *s, const struct slabshm_ref *ref)
{
	struct slabshm_lock_cell cell = one_cell(ref, SLABSHM_UNLOCK_CONSISTENT);

	return slabshm_unlock_batch(s, &cell, 1, NULL);
}
