// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * libslabshm: waiting for cells to change
 */
#include <limits.h>

#include "handle.h"

int slabshm_wait_any(struct slabshm *s, struct slabshm_wait_cell *cells,
		     unsigned int n, int timeout, unsigned int *failed)
{
	struct slabshm_wait_args arg = {
		.cells = (uintptr_t)cells,
		.count = n,
		.deadline = slabshm_deadline(timeout),
		.failed = UINT_MAX,
	};
	int ret = slabshm_call_sleeping(s, SLABSHM_IOC_WAIT, &arg);
	int changed = 0;
	unsigned int i;

	if (ret) {
		if (failed)
			*failed = arg.failed;
		return ret;
	}
	for (i = 0; i < n; i++) {
		changed += cells[i].flags != 0;
		tools_acquire_cell(s, cells[i].cell);
	}
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

	/* The kernel returns the error, if it is one */
	slabshm_length(s, ref, &now);
	if (now != version)
		return (int64_t)now;
	ret = slabshm_wait_any(s, &cell, 1, timeout, NULL);
	return ret < 0 ? ret : (int64_t)cell.version;
}

int64_t slabshm_watch(struct slabshm *s, const struct slabshm_ref *ref,
		      unsigned int flags, uint64_t version)
{
	struct slabshm_watch_args arg = {
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
	struct slabshm_unwatch_args arg = { 0 };

	if (ref) {
		arg.cell = ref->cell;
		arg.generation = ref->generation;
	} else {
		arg.flags = SLABSHM_WATCH_ALL;
	}
	return call(s, SLABSHM_IOC_UNWATCH, &arg);
}

static int events_take(struct slabshm *s, struct slabshm_event *events,
		       unsigned int n)
{
	struct slabshm_events_args arg = {
		.events = (uintptr_t)events,
		.count = n < SLABSHM_BATCH_MAX ? n : SLABSHM_BATCH_MAX,
	};
	unsigned int i;
	int ret;

	/* What only the kernel fills, valgrind holds to be undefined */
	memset(events, 0, arg.count * sizeof(*events));
	ret = call(s, SLABSHM_IOC_EVENTS, &arg);
	if (ret)
		return ret;
	for (i = 0; tools_threads() && i < arg.count; i++)
		tools_acquire_cell(s, events[i].cell);
	return (int)arg.count;
}

/* Take them without sleeping, so that no thread is cancelled with some in hand. */
int slabshm_events(struct slabshm *s, struct slabshm_event *events,
		   unsigned int n, int timeout)
{
	struct slabshm_events_args wait = { .deadline = slabshm_deadline(timeout) };
	int ret;

	if (!n)
		return -EINVAL;
	do {
		ret = events_take(s, events, n);
		if (ret != -ETIMEDOUT || !timeout)
			return ret;
		ret = slabshm_call_sleeping(s, SLABSHM_IOC_EVENTS,
					    &wait);
	} while (!ret);
	return ret;
}

int slabshm_cancel(struct slabshm *s, int on)
{
	struct slabshm_cancel_args arg = { .flags = on ? SLABSHM_CANCEL_ON : 0 };

	tools_release_slab(s);
	return call(s, SLABSHM_IOC_CANCEL, &arg);
}
