/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SLABSHM_CONTROL_H
#define _SLABSHM_CONTROL_H

#include <linux/slabshm.h>
#include <linux/types.h>

#include "table.h"

struct slabshm_meter;

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

#endif /* _SLABSHM_CONTROL_H */
