/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Memory behind a slab's data: growth, refill, TRIM, zeros.
 */
#ifndef _SLABSHM_DATA_H
#define _SLABSHM_DATA_H

#include <linux/types.h>

struct file;
struct slabshm_slab;

struct file *slabshm_data_create(umode_t mode);
struct file *slabshm_data_open_ro(struct file *data);
int slabshm_data_grow(struct slabshm_slab *slab, u64 size, bool killable_only);
int slabshm_data_make_space(struct slabshm_slab *slab, unsigned long need,
			    u64 align, unsigned long all, unsigned long grow_seq,
			    bool may_grow);
int slabshm_data_trim(struct slabshm_slab *slab, u64 limit, u64 *trimmed);
int slabshm_data_copy(struct slabshm_slab *slab, u64 to, u64 from, u64 length);
int slabshm_data_set(struct slabshm_slab *slab, u64 offset, u64 length,
		     u8 byte);

#endif /* _SLABSHM_DATA_H */
