// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * libslabshm: locks of cells
 *
 * All is done by the kernel.  But it cannot know that a thread has ended while its
 * process lives on; so a thread that takes locks leaves word to be remembered when
 * it ends (slabshm_readers_thread_exit()).
 */
#include <limits.h>

#include "handle.h"

int slabshm_lock_batch(struct slabshm *s, struct slabshm_lock_cell *cells,
		       unsigned int n, int timeout, unsigned int *failed)
{
	struct slabshm_lock arg = {
		.cells = (uintptr_t)cells,
		.count = n,
		.flags = timeout ? 0 : SLABSHM_LOCK_TRY,
		.deadline = timeout ? slabshm_deadline(timeout) : 0,
		.failed = UINT_MAX,
	};
	int ret = call(s, SLABSHM_IOC_LOCK, &arg);

	if (!ret || ret == -EOWNERDEAD)
		slabshm_thread_has_locks(s);
	else if (failed)
		*failed = arg.failed;
	return ret;
}

int slabshm_unlock_batch(struct slabshm *s,
			 const struct slabshm_lock_cell *cells, unsigned int n,
			 unsigned int *failed)
{
	struct slabshm_unlock arg = {
		.cells = (uintptr_t)cells,
		.count = n,
		.failed = UINT_MAX,
	};
	int ret = call(s, SLABSHM_IOC_UNLOCK, &arg);

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
