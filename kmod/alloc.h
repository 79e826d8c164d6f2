/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SLABSHM_ALLOC_H
#define _SLABSHM_ALLOC_H

#include <linux/slabshm.h>

struct slabshm_call;
struct slabshm_claim;
struct slabshm_request;
struct slabshm_slab;

void slabshm_alloc_raise_pressure(struct slabshm_slab *slab, bool limit);
int slabshm_alloc_blocks(struct slabshm_call *call,
			 const struct slabshm_alloc_args *alloc,
			 struct slabshm_request *req, unsigned int n,
			 struct slabshm_claim *claim);
int slabshm_alloc_ioctl(struct slabshm_call *call, void *arg);
int slabshm_free_ioctl(struct slabshm_call *call, void *arg);
int slabshm_block_ioctl(struct slabshm_call *call, void *arg);
int slabshm_grow_ioctl(struct slabshm_call *call, void *arg);
int slabshm_trim_ioctl(struct slabshm_call *call, void *arg);

#endif /* _SLABSHM_ALLOC_H */
