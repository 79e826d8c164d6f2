// SPDX-License-Identifier: GPL-2.0
/*
 * Objects, and the records of their blocks.
 */
#include <linux/log2.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "object.h"
#include "slab.h"
#include "user.h"

static struct kmem_cache *record_cache;

/* Records are made so many at a time */
#define RECORDS_ADD	16U

/* An object without blocks, or NULL. */
struct slabshm_object *slabshm_object_create(void)
{
	struct slabshm_object *object = kzalloc(sizeof(*object),
						SLABSHM_GFP);

	if (object)
		INIT_LIST_HEAD(&object->parts);
	return object;
}

/* Free a chain of records, of no block any more. */
void slabshm_records_destroy(struct slabshm_slab *slab,
			     struct slabshm_record *chain)
{
	size_t n = 0;

	while (chain) {
		kmem_cache_free(record_cache, slabshm_record_pop(&chain));
		n++;
		cond_resched();
	}
	slabshm_meter_sub(&slab->meter, n * sizeof(*chain));
}

/* Free an object, which may be NULL, and its records, at the end of the slab. */
void slabshm_object_destroy(struct slabshm_object *object)
{
	struct slabshm_record *record, *next;

	if (!object)
		return;
	if (object->root)
		kmem_cache_free(record_cache, object->root);
	list_for_each_entry_safe(record, next, &object->parts, link) {
		kmem_cache_free(record_cache, record);
		cond_resched();
	}
	kfree(object);
}

/* Make at least @n spare records.  Takes slabshm_cells.lock.  -ENOMEM or -EDQUOT. */
int slabshm_records_add(struct slabshm_slab *slab, unsigned int n)
{
	struct slabshm_retired *retired = &slab->retired;
	struct slabshm_record *record[RECORDS_ADD];
	unsigned int i, added;
	int err;

	for (added = 0; added < n; added += RECORDS_ADD) {
		err = slabshm_meter_add(&slab->meter, RECORDS_ADD *
					sizeof(**record));
		if (err)
			return err;
		if (!kmem_cache_alloc_bulk(record_cache, SLABSHM_GFP,
					   RECORDS_ADD, (void **)record)) {
			slabshm_meter_sub(&slab->meter,
					  RECORDS_ADD * sizeof(**record));
			return -ENOMEM;
		}
		spin_lock(&slab->cells.lock);
		for (i = 0; i < RECORDS_ADD; i++)
			slabshm_record_push(&retired->spare, record[i]);
		retired->nspare += RECORDS_ADD;
		spin_unlock(&slab->cells.lock);
	}
	return 0;
}

int slabshm_object_module_init(void)
{
	BUILD_BUG_ON(SLABSHM_CELLS_MAX > SLABSHM_RECORD_NO_PART);
	BUILD_BUG_ON(ilog2((SLABSHM_SIZE_MAX - 1) / SLABSHM_GRANULE) >=
		     64 - SLABSHM_RECORD_CELL);

	record_cache = KMEM_CACHE(slabshm_record, SLAB_ACCOUNT);
	return record_cache ? 0 : -ENOMEM;
}

void slabshm_object_module_exit(void)
{
	kmem_cache_destroy(record_cache);
}
