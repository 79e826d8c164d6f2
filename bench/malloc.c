// SPDX-License-Identifier: GPL-2.0
/*
 * malloc(), of glibc or of what LD_PRELOAD puts in its place: a heap of one
 * process, and so what a shared one can be measured by.
 */
#include <dlfcn.h>
#include <stdlib.h>

#include "bench.h"

static void heap_prepare(void)
{
}

static inline uintptr_t heap_alloc(size_t size)
{
	void *p = malloc(size);

	if (__builtin_expect(!p, 0))
		abort();
	use(p);
	return (uintptr_t)p;
}

static inline void heap_free(uintptr_t block)
{
	free((void *)block);
}

static inline void heap_touch(uintptr_t block)
{
	*(char *)block = 1;
	use((void *)block);
}

/* jemalloc's pages that hold something; the others do not tell it so. */
static uint64_t heap_used(void)
{
	int (*mallctl)(const char *name, void *old, size_t *oldlen, void *new,
		       size_t newlen);
	uint64_t epoch = 1;
	size_t active, length = sizeof(active);

	*(void **)&mallctl = dlsym(RTLD_DEFAULT, "mallctl");
	if (!mallctl)
		row_skip();
	if (mallctl("epoch", NULL, NULL, &epoch, sizeof(epoch)) ||
	    mallctl("stats.active", &active, &length, NULL, 0))
		abort();
	return active;
}

#include "heap.h"

/* A preload that is not found is no error of the loader's: so look. */
static const char *allocator(void)
{
	if (dlsym(RTLD_DEFAULT, "mallctl"))
		return "jemalloc";
	if (dlsym(RTLD_DEFAULT, "mi_malloc"))
		return "mimalloc";
	return "glibc";
}

int main(int argc, char **argv)
{
	const struct row *const tables[] = { heap_rows, NULL };

	return bench_main(argc, argv, allocator(), tables);
}
