/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The three regions that a client maps, and the pages of the control region.
 */
#ifndef _SLABSHM_REGION_H
#define _SLABSHM_REGION_H

#include <linux/bits.h>
#include <linux/mm_types.h>
#include <linux/slabshm.h>
#include <linux/types.h>

#include "table.h"

struct file;
struct slabshm_meter;
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

/**
 * struct slabshm_control - the pages of one slab's control region
 * @pages: their addresses; they stay until the slab is freed
 * @npages: constant
 * @header: page 0
 * @cells_page: constant, page where the cell table starts
 * @map_page: constant, page where the page map starts
 *
 * The region is mapped whole from the start; a page that is not there yet is
 * SIGBUS.  Mappings hold the client's file, the client holds the slab, so the
 * pages outlive every mapping.
 */
struct slabshm_control {
	struct slabshm_table pages;
	unsigned long npages;
	struct slabshm_header *header;
	unsigned long cells_page;
	unsigned long map_page;
};

int slabshm_control_init(struct slabshm_control *control, u64 max_size,
			 u32 max_cells, struct slabshm_meter *meter);
void slabshm_control_destroy(struct slabshm_control *control);
void *slabshm_control_populate(struct slabshm_control *control,
			       unsigned long index);
u64 slabshm_control_size(const struct slabshm_control *control);

int slabshm_mmap(struct file *file, struct vm_area_struct *vma);

#endif /* _SLABSHM_REGION_H */
