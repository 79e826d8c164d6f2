/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tables of pointers that grow as they are used: single pages of them, and a
 * directory that is made at once (8 bytes for each page, 32 KiB for what a slab
 * of 4 TiB may have).
 *
 * No large array by vmalloc(): that takes memory for all that can ever be, and
 * calls the OOM killer for its page tables, whatever flags it is given.
 */
#ifndef _SLABSHM_TABLE_H
#define _SLABSHM_TABLE_H

#include <linux/compiler.h>
#include <linux/gfp.h>
#include <linux/mm.h>

/*
 * For all memory that the module takes and may sleep for.  It fails instead of
 * calling the OOM killer, in a memory cgroup and on the machine as a whole.
 */
#define SLABSHM_GFP	(GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL | __GFP_NOWARN)

struct slabshm_meter;

#define SLABSHM_TABLE_PAGE	(PAGE_SIZE / sizeof(void *))

/**
 * struct slabshm_table - @size pointers
 * @dir: constant table of pages of pointers. A page goes from the one that all
 *	tables share, of NULLs, to one of its own, and an entry in it from NULL to
 *	what it is, once (cmpxchg), and stays
 * @size: constant
 * @meter: constant, counts their memory
 */
struct slabshm_table {
	void ***dir;
	unsigned long size;
	struct slabshm_meter *meter;
};

int slabshm_table_init(struct slabshm_table *table, unsigned long size,
		       struct slabshm_meter *meter);
void slabshm_table_destroy(struct slabshm_table *table, void (*free)(void *));
int slabshm_table_add(struct slabshm_table *table, unsigned long i,
		      void *entry);

/* Inline, as each call goes through it, with nothing to compare. */

/*
 * The entry at @i, which is below the size, or NULL.  What it points to was written
 * before it: pairs with the cmpxchg() in slabshm_table_add() by the address dependency.
 */
static inline void *slabshm_table_get(const struct slabshm_table *table,
				      unsigned long i)
{
	return READ_ONCE(table->dir[i / SLABSHM_TABLE_PAGE]
			 [i % SLABSHM_TABLE_PAGE]);
}

#endif /* _SLABSHM_TABLE_H */
