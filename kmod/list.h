/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SLABSHM_LIST_H
#define _SLABSHM_LIST_H

struct file;
struct seq_file;
struct slabshm_call;

void slabshm_show_fdinfo(struct seq_file *m, struct file *file);
int slabshm_stat_ioctl(struct slabshm_call *call, void *arg);
int slabshm_list_ioctl(struct slabshm_call *call, void *arg);

#endif /* _SLABSHM_LIST_H */
