/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tracepoints: /sys/kernel/tracing/events/slabshm.  Each event names its slab
 * by number, as 'slabshm ls' does.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM slabshm

#if !defined(_SLABSHM_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _SLABSHM_TRACE_H

#include <linux/tracepoint.h>

#include "client.h"
#include "slab.h"

DECLARE_EVENT_CLASS(slabshm_slab,
	TP_PROTO(const struct slabshm_slab *slab),
	TP_ARGS(slab),
	TP_STRUCT__entry(
		__field(u64, slab)
		__field(u64, max_size)
	),
	TP_fast_assign(
		__entry->slab = slab->id;
		__entry->max_size = slab->max_size;
	),
	TP_printk("slab=%llu max_size=%llu", __entry->slab, __entry->max_size)
);

DEFINE_EVENT(slabshm_slab, slabshm_slab_create,
	TP_PROTO(const struct slabshm_slab *slab),
	TP_ARGS(slab)
);

DEFINE_EVENT(slabshm_slab, slabshm_slab_free,
	TP_PROTO(const struct slabshm_slab *slab),
	TP_ARGS(slab)
);

TRACE_EVENT(slabshm_attach,
	TP_PROTO(const struct slabshm_slab *slab,
		 const struct slabshm_client *client),
	TP_ARGS(slab, client),
	TP_STRUCT__entry(
		__field(u64, slab)
		__field(u32, client)
		__field(bool, rdonly)
	),
	TP_fast_assign(
		__entry->slab = slab->id;
		__entry->client = client->id;
		__entry->rdonly = client->rdonly;
	),
	TP_printk("slab=%llu client=%u rdonly=%d", __entry->slab,
		  __entry->client, __entry->rdonly)
);

TRACE_EVENT(slabshm_client_end,
	TP_PROTO(const struct slabshm_client *client, u64 bytes),
	TP_ARGS(client, bytes),
	TP_STRUCT__entry(
		__field(u64, slab)
		__field(u32, client)
		__field(u64, bytes)
	),
	TP_fast_assign(
		__entry->slab = client->slab->id;
		__entry->client = client->id;
		__entry->bytes = bytes;
	),
	TP_printk("slab=%llu client=%u bytes=%llu", __entry->slab,
		  __entry->client, __entry->bytes)
);

DECLARE_EVENT_CLASS(slabshm_blocks,
	TP_PROTO(const struct slabshm_client *client, unsigned int n, u64 first),
	TP_ARGS(client, n, first),
	TP_STRUCT__entry(
		__field(u64, slab)
		__field(u32, client)
		__field(u32, n)
		__field(u64, first)
	),
	TP_fast_assign(
		__entry->slab = client->slab->id;
		__entry->client = client->id;
		__entry->n = n;
		__entry->first = first;
	),
	TP_printk("slab=%llu client=%u blocks=%u first=%#llx", __entry->slab,
		  __entry->client, __entry->n, __entry->first)
);

DEFINE_EVENT(slabshm_blocks, slabshm_alloc,
	TP_PROTO(const struct slabshm_client *client, unsigned int n, u64 first),
	TP_ARGS(client, n, first)
);

DEFINE_EVENT(slabshm_blocks, slabshm_free,
	TP_PROTO(const struct slabshm_client *client, unsigned int n, u64 first),
	TP_ARGS(client, n, first)
);

DECLARE_EVENT_CLASS(slabshm_size,
	TP_PROTO(const struct slabshm_slab *slab, u64 bytes),
	TP_ARGS(slab, bytes),
	TP_STRUCT__entry(
		__field(u64, slab)
		__field(u64, bytes)
	),
	TP_fast_assign(
		__entry->slab = slab->id;
		__entry->bytes = bytes;
	),
	TP_printk("slab=%llu bytes=%llu", __entry->slab, __entry->bytes)
);

DEFINE_EVENT(slabshm_size, slabshm_grow,
	TP_PROTO(const struct slabshm_slab *slab, u64 bytes),
	TP_ARGS(slab, bytes)
);

DEFINE_EVENT(slabshm_size, slabshm_trim,
	TP_PROTO(const struct slabshm_slab *slab, u64 bytes),
	TP_ARGS(slab, bytes)
);

DEFINE_EVENT(slabshm_size, slabshm_compact,
	TP_PROTO(const struct slabshm_slab *slab, u64 bytes),
	TP_ARGS(slab, bytes)
);

DECLARE_EVENT_CLASS(slabshm_cell,
	TP_PROTO(const struct slabshm_slab *slab, u32 cell, const char *name),
	TP_ARGS(slab, cell, name),
	TP_STRUCT__entry(
		__field(u64, slab)
		__field(u32, cell)
		__array(char, name, 64)
	),
	TP_fast_assign(
		__entry->slab = slab->id;
		__entry->cell = cell;
		strscpy_pad(__entry->name, name, sizeof(__entry->name));
	),
	TP_printk("slab=%llu cell=%u name=%s", __entry->slab, __entry->cell,
		  __entry->name)
);

DEFINE_EVENT(slabshm_cell, slabshm_cell_create,
	TP_PROTO(const struct slabshm_slab *slab, u32 cell, const char *name),
	TP_ARGS(slab, cell, name)
);

DEFINE_EVENT(slabshm_cell, slabshm_cell_remove,
	TP_PROTO(const struct slabshm_slab *slab, u32 cell, const char *name),
	TP_ARGS(slab, cell, name)
);

TRACE_EVENT(slabshm_publish,
	TP_PROTO(const struct slabshm_slab *slab, u64 commit,
		 unsigned int ncells, unsigned int nparts),
	TP_ARGS(slab, commit, ncells, nparts),
	TP_STRUCT__entry(
		__field(u64, slab)
		__field(u64, commit)
		__field(u32, ncells)
		__field(u32, nparts)
	),
	TP_fast_assign(
		__entry->slab = slab->id;
		__entry->commit = commit;
		__entry->ncells = ncells;
		__entry->nparts = nparts;
	),
	TP_printk("slab=%llu commit=%llu cells=%u parts=%u", __entry->slab,
		  __entry->commit, __entry->ncells, __entry->nparts)
);

TRACE_EVENT(slabshm_retire,
	TP_PROTO(const struct slabshm_slab *slab, u64 commit, u64 n, u64 bytes),
	TP_ARGS(slab, commit, n, bytes),
	TP_STRUCT__entry(
		__field(u64, slab)
		__field(u64, commit)
		__field(u64, n)
		__field(u64, bytes)
	),
	TP_fast_assign(
		__entry->slab = slab->id;
		__entry->commit = commit;
		__entry->n = n;
		__entry->bytes = bytes;
	),
	TP_printk("slab=%llu commit=%llu blocks=%llu bytes=%llu",
		  __entry->slab, __entry->commit, __entry->n, __entry->bytes)
);

TRACE_EVENT(slabshm_evict,
	TP_PROTO(const struct slabshm_slab *slab,
		 const struct slabshm_reader *reader),
	TP_ARGS(slab, reader),
	TP_STRUCT__entry(
		__field(u64, slab)
		__field(u32, client)
		__field(u32, slot)
		__field(u64, lo)
		__field(u64, hi)
		__field(u64, floor)
	),
	TP_fast_assign(
		__entry->slab = slab->id;
		__entry->client = reader->client->id;
		__entry->slot = reader->index;
		__entry->lo = reader->lo;
		__entry->hi = reader->hi;
		__entry->floor = reader->floor;
	),
	TP_printk("slab=%llu client=%u slot=%u lo=%llu hi=%llu floor=%llu",
		  __entry->slab, __entry->client, __entry->slot, __entry->lo,
		  __entry->hi, __entry->floor)
);

TRACE_EVENT(slabshm_reclaim,
	TP_PROTO(const struct slabshm_slab *slab, unsigned int n, u64 bytes),
	TP_ARGS(slab, n, bytes),
	TP_STRUCT__entry(
		__field(u64, slab)
		__field(u32, n)
		__field(u64, bytes)
	),
	TP_fast_assign(
		__entry->slab = slab->id;
		__entry->n = n;
		__entry->bytes = bytes;
	),
	TP_printk("slab=%llu blocks=%u bytes=%llu", __entry->slab, __entry->n,
		  __entry->bytes)
);

DECLARE_EVENT_CLASS(slabshm_lock,
	TP_PROTO(const struct slabshm_slab *slab, u32 cell,
		 const struct slabshm_client *client),
	TP_ARGS(slab, cell, client),
	TP_STRUCT__entry(
		__field(u64, slab)
		__field(u32, cell)
		__field(u32, client)
	),
	TP_fast_assign(
		__entry->slab = slab->id;
		__entry->cell = cell;
		__entry->client = client->id;
	),
	TP_printk("slab=%llu cell=%u client=%u", __entry->slab, __entry->cell,
		  __entry->client)
);

DEFINE_EVENT(slabshm_lock, slabshm_lock,
	TP_PROTO(const struct slabshm_slab *slab, u32 cell,
		 const struct slabshm_client *client),
	TP_ARGS(slab, cell, client)
);

DEFINE_EVENT(slabshm_lock, slabshm_unlock,
	TP_PROTO(const struct slabshm_slab *slab, u32 cell,
		 const struct slabshm_client *client),
	TP_ARGS(slab, cell, client)
);

DEFINE_EVENT(slabshm_lock, slabshm_lock_dead,
	TP_PROTO(const struct slabshm_slab *slab, u32 cell,
		 const struct slabshm_client *client),
	TP_ARGS(slab, cell, client)
);

#endif /* _SLABSHM_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
