// SPDX-License-Identifier: GPL-2.0
/*
 * Tables of pointers that grow as they are used.  See table.h.
 */
#include <linux/errno.h>
#include <linux/math.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "table.h"
#include "user.h"

/* A page of no table, for what no table has a page for yet */
static void *none[SLABSHM_TABLE_PAGE];

/* An empty table for up to @size entries: 0, -ENOMEM or -EDQUOT. */
int slabshm_table_init(struct slabshm_table *table, unsigned long size,
		       struct slabshm_meter *meter)
{
	unsigned long i, n = DIV_ROUND_UP(size, SLABSHM_TABLE_PAGE);
	int err = slabshm_meter_add(meter, n * sizeof(*table->dir));

	if (err)
		return err;
	table->size = size;
	table->meter = meter;
	table->dir = kcalloc(n, sizeof(*table->dir), SLABSHM_GFP);
	if (!table->dir) {
		slabshm_meter_sub(meter, n * sizeof(*table->dir));
		return -ENOMEM;
	}
	for (i = 0; i < n; i++)
		table->dir[i] = none;
	return 0;
}

/*
 * Free a table, which may be all zero, and each entry with @free, which may be NULL.
 * Its memory stays charged to the meter, until that ends.
 */
void slabshm_table_destroy(struct slabshm_table *table, void (*free)(void *))
{
	unsigned long i, k;

	if (!table->dir)
		return;
	for (i = 0; i < DIV_ROUND_UP(table->size, SLABSHM_TABLE_PAGE); i++) {
		void **page = table->dir[i];

		if (page == none)
			continue;
		for (k = 0; free && k < SLABSHM_TABLE_PAGE; k++) {
			if (page[k])
				free(page[k]);
			cond_resched();
		}
		free_page((unsigned long)page);
	}
	kfree(table->dir);
	table->dir = NULL;
}

/* Add an entry.  Callers may race, the first one wins; the others get -EEXIST. */
int slabshm_table_add(struct slabshm_table *table, unsigned long i, void *entry)
{
	void ***slot = &table->dir[i / SLABSHM_TABLE_PAGE];
	void **page = READ_ONCE(*slot), **old;

	if (page == none) {
		int err = slabshm_meter_add(table->meter, PAGE_SIZE);

		if (err)
			return err;
		page = (void **)get_zeroed_page(SLABSHM_GFP);
		if (!page) {
			slabshm_meter_sub(table->meter, PAGE_SIZE);
			return -ENOMEM;
		}
		/* Orders the NULLs before the page; pairs with readers' loads */
		old = cmpxchg(slot, none, page);
		if (old != none) {
			free_page((unsigned long)page);
			slabshm_meter_sub(table->meter, PAGE_SIZE);
			page = old;
		}
	}
	/* Orders what is in the entry before it; pairs with readers' loads */
	return cmpxchg(&page[i % SLABSHM_TABLE_PAGE], NULL, entry) ? -EEXIST : 0;
}
