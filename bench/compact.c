// SPDX-License-Identifier: GPL-2.0
/*
 * How much of the space that small objects have left takes larger ones, before and
 * after slabshm_compact(), and what that costs.
 *
 * A slab is filled with objects of one size, each in a cell of its own; most of them
 * are removed at random; then blocks of the larger size are allocated until there is
 * no space.
 */
#include "bench.h"
#include "slabshm.h"

#define SIZE		(16UL << 20)
#define MANY		(SIZE / 64)
#define ROUND_UP(size)	(((size) + 63) / 64 * 64)

static const struct {
	const char *name;
	size_t small, large;
	unsigned int percent;	/* that are removed */
} cases[] = {
	{ "200, 90 % removed, then 1,000 bytes", 200, 1000, 90 },
	{ "200, 98 % removed, then 1,000 bytes", 200, 1000, 98 },
	{ "1,000, 90 % removed, then 5,000 bytes", 1000, 5000, 90 },
	{ "1,000, 50 % removed, then 5,000 bytes", 1000, 5000, 50 },
};

static struct slabshm_ref refs[MANY];
static uint64_t blocks[MANY];
static char buf[8192];

static struct slabshm *slab_new(void)
{
	struct slabshm_options opt = {
		.max_size = SIZE,
		.size = SIZE,
		.max_cells = MANY,
	};
	struct slabshm *s;

	check("open", slabshm_open(&s, NULL, SLABSHM_ATTACH_CREATE |
				   SLABSHM_ATTACH_FIXED, &opt));
	return s;
}

static unsigned int fill(struct slabshm *s, size_t size)
{
	unsigned int i;
	char name[32];
	int64_t ret;

	for (i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "%u", i);
		check("cell", slabshm_cell_open(s, name, SLABSHM_CELL_CREATE |
						SLABSHM_CELL_MOVABLE, &refs[i]));
		ret = slabshm_assign(s, &refs[i], buf, size);
		if (ret == -ENOSPC)
			break;
		check("assign", ret);
	}
	return i;
}

static uint64_t free_bytes(struct slabshm *s)
{
	struct slabshm_stat st;

	do
		check("stat", slabshm_stat(s, &st));
	while (st.retired);
	return st.free;
}

/* Percent of the free space that blocks of @size can have */
static double takes(struct slabshm *s, size_t size)
{
	uint64_t space, had = 0;
	unsigned int n = 0;
	int64_t ret;

	/* At an allocation that fails, the thread's cache is emptied */
	if (slabshm_alloc(s, SIZE) != -ENOSPC)
		abort();
	space = free_bytes(s);
	while ((ret = slabshm_alloc(s, size)) > 0) {
		had += (uint64_t)slabshm_usable_size(s, (uint64_t)ret);
		blocks[n++] = (uint64_t)ret;
	}
	if (ret != -ENOSPC)
		check("alloc", ret);
	while (n--)
		check("free", slabshm_free(s, blocks[n]));
	return 100 * (double)had / (double)space;
}

static void measure(unsigned int c)
{
	struct slabshm *s = slab_new();
	unsigned int i, n = fill(s, cases[c].small);
	double before, cost;
	char text[128];
	int64_t moved;

	for (i = 0; i < n; i++)
		if (next_random(&row_random) % 100 < cases[c].percent)
			check("remove", slabshm_cell_remove(s, &refs[i]));
	before = takes(s, cases[c].large);
	cost = (double)now();
	moved = slabshm_compact(s, 0);
	cost = (double)now() - cost;
	check("compact", moved);
	snprintf(text, sizeof(text), "%s", cases[c].name);
	figure("Free space that takes larger objects", "%", text, before);
	snprintf(text, sizeof(text), "%s, after compact", cases[c].name);
	figure("Free space that takes larger objects", "%", text,
	       takes(s, cases[c].large));
	snprintf(text, sizeof(text), "%s, an object moved", cases[c].name);
	if (moved)
		figure("Free space that takes larger objects", NULL, text,
		       cost / ((double)moved / ROUND_UP(cases[c].small)));
	slabshm_close(s);
}

int main(void)
{
	unsigned int c;

	for (c = 0; c < COUNT(cases); c++)
		measure(c);
	return 0;
}
