/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SLABSHM_NAME_H
#define _SLABSHM_NAME_H

#include <linux/slabshm.h>
#include <linux/types.h>

struct slabshm_call;
struct slabshm_slab;

bool slabshm_name_valid(const char *name, bool slab);

struct slabshm_slab *slabshm_slab_open(const struct slabshm_attach_args *arg,
				       bool *created);
bool slabshm_slab_use(struct slabshm_slab *slab);
void slabshm_slab_unuse(struct slabshm_slab *slab);
void slabshm_slab_persist(struct slabshm_slab *slab);
bool slabshm_slab_owned_by(struct slabshm_slab *slab, u32 uid);
void slabshm_slab_stat(struct slabshm_slab *slab, struct slabshm_stat *stat);
unsigned int slabshm_slab_list(u64 *cursor, struct slabshm_stat *stat,
			       unsigned int n);

int slabshm_unlink_ioctl(struct slabshm_call *call, void *arg);
int slabshm_setattr_ioctl(struct slabshm_call *call, void *arg);

int slabshm_names_init(void);
void slabshm_names_exit(void);

#endif /* _SLABSHM_NAME_H */
