// SPDX-License-Identifier: GPL-2.0
/*
 * The pages of a slab's control region.
 */
#include <linux/err.h>
#include <linux/gfp.h>
#include <linux/mm.h>

#include "control.h"
#include "user.h"

/**
 * slabshm_control_init() - lay out a control region
 * @control: to be filled in
 * @max_size: of the slab's data
 * @max_cells: of the slab
 * @meter: counts its memory
 *
 * Only the header's page is made; the others come when they are needed.
 *
 * Context: may sleep.
 * Return: 0, -ENOMEM or -EDQUOT.
 */
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

/**
 * slabshm_control_destroy() - free the pages
 * @control: may be all zero; nothing maps it any more
 *
 * Context: may sleep.
 */
void slabshm_control_destroy(struct slabshm_control *control)
{
	slabshm_table_destroy(&control->pages, control_free);
}

/**
 * slabshm_control_populate() - make sure that a page is there
 * @control: of a slab
 * @index: of the page
 *
 * Callers may race, the first one wins.
 *
 * Context: may sleep.
 * Return: its address, or an ERR_PTR of -ENOMEM or -EDQUOT.
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

/**
 * slabshm_control_size() - bytes of the region
 * @control: of a slab
 *
 * Context: any.
 * Return: the only size that can be mapped.
 */
u64 slabshm_control_size(const struct slabshm_control *control)
{
	return (u64)control->npages << PAGE_SHIFT;
}
