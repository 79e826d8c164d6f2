/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SLABSHM_MMAP_H
#define _SLABSHM_MMAP_H

#include <linux/bits.h>
#include <linux/mm_types.h>

struct file;
struct vm_area_struct;

/*
 * Where the regions are in the device's offsets.  Low enough for a 32-bit
 * mmap2(); the data comes first, so that huge pages line up.
 */
#define SLABSHM_DATA_OFFSET	0ULL
#define SLABSHM_CONTROL_OFFSET	BIT_ULL(43)
#define SLABSHM_READER_OFFSET	(BIT_ULL(43) | BIT_ULL(42))
#define SLABSHM_READER_SIZE	(256ULL << 10)	/* 4,096 readers */
#define SLABSHM_READER_PAGES	(SLABSHM_READER_SIZE >> PAGE_SHIFT)

int slabshm_mmap(struct file *file, struct vm_area_struct *vma);

#endif /* _SLABSHM_MMAP_H */
