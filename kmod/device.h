/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SLABSHM_DEVICE_H
#define _SLABSHM_DEVICE_H

#include <linux/fs.h>

extern const struct file_operations slabshm_fops;

#endif /* _SLABSHM_DEVICE_H */
