// SPDX-License-Identifier: GPL-2.0
/*
 * A plugin that uses slabshm.  See selftests/dlclose.c.
 */
#include <slabshm.h>

#include "plugin.h"

static struct slabshm *slab;

int plugin_use(void)
{
	struct slabshm_ref ref;
	uint64_t value = 17, read = 0;
	int64_t ret = 0;

	if (!slab)
		ret = slabshm_open(&slab, NULL, SLABSHM_ATTACH_CREATE, NULL);
	if (!ret)
		ret = slabshm_cell_open(slab, "cell", SLABSHM_CELL_CREATE, &ref);
	if (!ret)
		ret = slabshm_assign(slab, &ref, &value, sizeof(value));
	if (ret > 0)
		ret = slabshm_read(slab, &ref, &read, sizeof(read), NULL);
	if (ret == sizeof(read))
		ret = read == value ? slabshm_alloc(slab, 100) : -EILSEQ;
	if (ret > 0)
		ret = slabshm_free(slab, (uint64_t)ret);
	if (!ret)
		ret = slabshm_lock(slab, &ref, -1);
	if (!ret)
		ret = slabshm_unlock(slab, &ref);
	return (int)ret;
}

void plugin_close(void)
{
	slabshm_close(slab);
	slab = NULL;
}
