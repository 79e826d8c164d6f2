// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * libslabshm: waiting for cells to change
 */
#include <limits.h>
#include <time.h>

#include "handle.h"

/* When @timeout milliseconds from now is; < 0 is never. */
uint64_t slabshm_deadline(int timeout)
{
	struct timespec now;

	if (timeout < 0)
		return SLABSHM_DEADLINE_NEVER;
	if (!timeout)
		return 0;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec +
	       (uint64_t)timeout * 1000000;
}

int slabshm_wait_any(struct slabshm *s, struct slabshm_wait_cell *cells,
		     unsigned int n, int timeout, unsigned int *failed)
{
	struct slabshm_wait arg = {
		.cells = (uintptr_t)cells,
		.count = n,
		.deadline = slabshm_deadline(timeout),
		.failed = UINT_MAX,
	};
	int ret = call(s, SLABSHM_IOC_WAIT, &arg);
	int changed = 0;
	unsigned int i;

	if (ret) {
		if (failed)
			*failed = arg.failed;
		return ret;
	}
	for (i = 0; i < n; i++)
		changed += cells[i].flags != 0;
	return changed;
}

int64_t slabshm_wait(struct slabshm *s, const struct slabshm_ref *ref,
		     uint64_t version, int timeout)
{
	struct slabshm_wait_cell cell = {
		.cell = ref->cell,
		.generation = ref->generation,
		.version = version,
	};
	uint64_t now = version;
	int ret;

	/* An error, too, is for the kernel to tell */
	slabshm_length(s, ref, &now);
	if (now != version)
		return (int64_t)now;
	ret = slabshm_wait_any(s, &cell, 1, timeout, NULL);
	return ret < 0 ? ret : (int64_t)cell.version;
}

int64_t slabshm_watch(struct slabshm *s, const struct slabshm_ref *ref,
		      unsigned int flags, uint64_t version)
{
	struct slabshm_watch arg = {
		.flags = flags,
		.version = version,
	};
	int ret;

	if (flags & ~SLABSHM_WATCH_SINCE)
		return -EINVAL;
	if (ref) {
		arg.cell = ref->cell;
		arg.generation = ref->generation;
	} else {
		arg.flags |= SLABSHM_WATCH_ALL;
	}
	ret = call(s, SLABSHM_IOC_WATCH, &arg);
	return ret ? ret : (int64_t)arg.version;
}

int slabshm_unwatch(struct slabshm *s, const struct slabshm_ref *ref)
{
	struct slabshm_unwatch arg = { 0 };

	if (ref) {
		arg.cell = ref->cell;
		arg.generation = ref->generation;
	} else {
		arg.flags = SLABSHM_WATCH_ALL;
	}
	return call(s, SLABSHM_IOC_UNWATCH, &arg);
}

int slabshm_events(struct slabshm *s, struct slabshm_event *events,
		   unsigned int n, int timeout)
{
	struct slabshm_events arg = {
		.events = (uintptr_t)events,
		.count = n,
		.deadline = slabshm_deadline(timeout),
	};
	int ret = call(s, SLABSHM_IOC_EVENTS, &arg);

	return ret ? ret : (int)arg.count;
}

int slabshm_eventfd(struct slabshm *s, int fd)
{
	struct slabshm_eventfd arg = { .fd = fd };

	return call(s, SLABSHM_IOC_EVENTFD, &arg);
}
