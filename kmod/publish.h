/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SLABSHM_PUBLISH_H
#define _SLABSHM_PUBLISH_H

struct slabshm_call;

int slabshm_publish_module_init(void);
void slabshm_publish_module_exit(void);

int slabshm_cell_open_ioctl(struct slabshm_call *call, void *arg);
int slabshm_cell_remove_ioctl(struct slabshm_call *call, void *arg);
int slabshm_publish_ioctl(struct slabshm_call *call, void *arg);

#endif /* _SLABSHM_PUBLISH_H */
