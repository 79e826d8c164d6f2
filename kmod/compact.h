/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Emptying sparse runs.
 *
 * A run holds blocks of one size.  One that holds a few is of no use to other
 * sizes; so objects are moved from the runs with the fewest blocks to those with
 * the most, until whole runs are empty and their pages free.
 *
 * A move is a publish of the same bytes in another block, without a notification.
 * The bytes are copied without a lock between two checks of the cell.  If it still
 * has the version of the first at the second, the object was current all the time:
 * so its block was not reused, and it is never modified.  Otherwise the copy is
 * dropped.
 */
#ifndef _SLABSHM_COMPACT_H
#define _SLABSHM_COMPACT_H

#include <linux/types.h>

struct slabshm_call;
struct slabshm_client;

int slabshm_compact(struct slabshm_client *client, u64 limit, u64 *cursor,
		    u64 *moved);

int slabshm_compact_ioctl(struct slabshm_call *call, void *arg);

#endif /* _SLABSHM_COMPACT_H */
