// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * libslabshm: cells, and publishing
 */
#include <limits.h>

#include "handle.h"

int slabshm_cell_open(struct slabshm *s, const char *name, unsigned int flags,
		      struct slabshm_ref *ref)
{
	struct slabshm_cell_open_args arg = { .flags = flags };
	int ret;

	tools_release_slab(s);
	ret = slabshm_set_name(arg.name, name);
	if (!ret)
		ret = call(s, SLABSHM_IOC_CELL_OPEN, &arg);
	if (ret)
		return ret;
	tools_acquire_slab(s);
	*ref = (struct slabshm_ref){
		.generation = arg.generation,
		.cell = arg.cell,
	};
	return 0;
}

int slabshm_cell_remove(struct slabshm *s, const struct slabshm_ref *ref)
{
	struct slabshm_cell_remove_args arg = {
		.cell = ref->cell,
		.generation = ref->generation,
	};

	tools_release_cell(s, ref->cell);
	tools_release_space(s);
	tools_release_slab(s);
	return call(s, SLABSHM_IOC_CELL_REMOVE, &arg);
}

int slabshm_cell_remove_name(struct slabshm *s, const char *name)
{
	struct slabshm_ref ref;
	int ret;

	/* Another may remove it in between, and make it again. */
	do {
		ret = slabshm_cell_open(s, name, 0, &ref);
		if (!ret)
			ret = slabshm_cell_remove(s, &ref);
	} while (ret == -EIDRM);
	return ret;
}

int64_t slabshm_publish(struct slabshm *s,
			const struct slabshm_publish_cell *cells,
			unsigned int ncells,
			const struct slabshm_publish_part *parts,
			unsigned int nparts, unsigned int *failed)
{
	struct slabshm_publish_args arg = {
		.cells = (uintptr_t)cells,
		.parts = (uintptr_t)parts,
		.ncells = (uint16_t)ncells,
		.nparts = (uint16_t)nparts,
		.failed = UINT_MAX,
	};
	unsigned int i;
	int ret = -EINVAL;

	for (i = 0; tools_threads() && i < ncells && i < SLABSHM_BATCH_MAX; i++)
		tools_release_cell(s, cells[i].cell);
	/* Who replaces the object need not have read it */
	tools_release_space(s);
	/* What is no number of 16 bits is too many, too */
	if (ncells <= SLABSHM_BATCH_MAX && nparts <= SLABSHM_BATCH_MAX)
		ret = call(s, SLABSHM_IOC_PUBLISH, &arg);
	if (!ret)
		return (int64_t)arg.commit;
	if (failed)
		*failed = arg.failed;
	return ret;
}

/* One cell, whose object is replaced whole. */
static int64_t put(struct slabshm *s, const struct slabshm_ref *ref,
		   struct slabshm_publish_cell *cell)
{
	cell->cell = ref->cell;
	cell->generation = ref->generation;
	cell->flags |= SLABSHM_PUBLISH_DROP_ALL;
	return slabshm_publish(s, cell, 1, NULL, 0, NULL);
}

int64_t slabshm_put(struct slabshm *s, const struct slabshm_ref *ref,
		    uint64_t offset, size_t length)
{
	struct slabshm_publish_cell cell = {
		.block = offset,
		.length = length,
	};

	return put(s, ref, &cell);
}

int64_t slabshm_put_if(struct slabshm *s, const struct slabshm_ref *ref,
		       uint64_t offset, size_t length, uint64_t expected)
{
	struct slabshm_publish_cell cell = {
		.flags = SLABSHM_PUBLISH_EXPECT,
		.block = offset,
		.length = length,
		.expected = expected,
	};

	return put(s, ref, &cell);
}

int64_t slabshm_update(struct slabshm *s, const struct slabshm_ref *ref,
		       uint64_t *offset, size_t length)
{
	int64_t size = slabshm_usable_size(s, *offset), next, ret;

	if (size < 0)
		return size;
	/* Before the publish, which cannot be undone */
	next = slabshm_alloc(s, (size_t)size);
	if (next < 0)
		return next;
	ret = slabshm_put(s, ref, *offset, length);
	if (ret < 0)
		slabshm_free(s, (uint64_t)next);
	else
		*offset = (uint64_t)next;
	return ret;
}

int64_t slabshm_assign(struct slabshm *s, const struct slabshm_ref *ref,
		       const void *data, size_t length)
{
	/* An object without bytes has a block; without, the cell is empty. */
	int64_t offset = slabshm_alloc(s, length ? length : 1);
	int64_t ret;

	if (offset < 0)
		return offset;
	if (length)
		memcpy(s->data + offset, data, length);
	ret = slabshm_put(s, ref, (uint64_t)offset, length);
	if (ret < 0)
		slabshm_free(s, (uint64_t)offset);
	return ret;
}
