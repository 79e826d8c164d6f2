// SPDX-License-Identifier: GPL-2.0
/*
 * The pages of a slab's control region.
 */
#include <linux/err.h>
#include <linux/gfp.h>
#include <linux/mm.h>

#include "control.h"
#include "user.h"

/* Lay out a control region.  Only the header's page is made yet. */
int slabshm_control_init(struct slabshm_control *control, u64 max_size,
			 u32 max_cells, struct slabshm_meter *meter)
{
	unsigned long cells = DIV_ROUND_UP((u64)max_cells *
					   sizeof(struct slabshm_cell),
					   PAGE_SIZE);
	unsigned long map = DIV_ROUND_UP(max_size >> PAGE_SHIFT, PAGE_SIZE);
	int err;

	control->cells_page = 1;
	control->map_page = 1 + cells;
	control->npages = 1 + cells + map;
	err = slabshm_table_init(&control->pages, control->npages, meter);
	if (err)
		return err;
	control->header = slabshm_control_populate(control, 0);
	return PTR_ERR_OR_ZERO(control->header);
}

static void control_free(void *page)
{
	free_page((unsigned long)page);
}

/* @control may be all zero; nothing maps it any more. */
void slabshm_control_destroy(struct slabshm_control *control)
{
	slabshm_table_destroy(&control->pages, control_free);
}

/*
 * Make sure that a page is there.  Callers may race, the first one wins.  Returns its
 * address, ERR_PTR(-ENOMEM) or ERR_PTR(-EDQUOT).
 */
void *slabshm_control_populate(struct slabshm_control *control,
			       unsigned long index)
{
	void *page = slabshm_table_get(&control->pages, index);
	int err;

	if (page)
		return page;
	err = slabshm_meter_add(control->pages.meter, PAGE_SIZE);
	if (err)
		return ERR_PTR(err);
	page = (void *)get_zeroed_page(SLABSHM_GFP);
	err = page ? slabshm_table_add(&control->pages, index, page) : -ENOMEM;
	if (!err)
		return page;
	free_page((unsigned long)page);
	slabshm_meter_sub(control->pages.meter, PAGE_SIZE);
	return err == -EEXIST ? slabshm_table_get(&control->pages, index) :
				ERR_PTR(err);
}

/* Bytes of the region, the only size that can be mapped. */
u64 slabshm_control_size(const struct slabshm_control *control)
{
	return (u64)control->npages << PAGE_SHIFT;
}
