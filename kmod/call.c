// SPDX-License-Identifier: GPL-2.0
#include <linux/time64.h>
#include <linux/time_namespace.h>

#include "call.h"

/**
 * slabshm_call_deadline() - a deadline of the caller's time namespace
 * @deadline: by the clock there
 *
 * Context: process context.
 * Return: by the kernel's clock.
 */
u64 slabshm_call_deadline(u64 deadline)
{
	struct timespec64 offset = {};
	s64 ahead;

	timens_add_monotonic(&offset);
	ahead = timespec64_to_ns(&offset);
	if (!ahead || !deadline || deadline == SLABSHM_DEADLINE_NEVER)
		return deadline;
	if (ahead > 0)
		return deadline - min_t(u64, deadline, ahead);
	return min(deadline, SLABSHM_DEADLINE_NEVER + ahead) - ahead;
}
