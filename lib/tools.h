/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * What the sanitizers of a program must know of the library, which is not built
 * with them: their functions are there if the program is.
 *
 * ThreadSanitizer sees neither the kernel's part nor the order that one word has
 * against another.  It must know that a publish comes before what is read of its
 * cells, that the last access to a block comes before the next use of its space, and
 * likewise for all else by which one thread can hear of another through the slab.
 *
 * AddressSanitizer: that nobody may touch the blocks in a cache.  Of those that the
 * kernel has, another process may have made an object by now.
 */
#ifndef SLABSHM_TOOLS_H
#define SLABSHM_TOOLS_H

#include <stdbool.h>
#include <stddef.h>

#include "slabshm.h"

void __tsan_acquire(void *addr) __attribute__((weak));
void __tsan_release(void *addr) __attribute__((weak));
void __asan_poison_memory_region(const void *addr, size_t size)
	__attribute__((weak));
void __asan_unpoison_memory_region(const void *addr, size_t size)
	__attribute__((weak));

/* Then all pins and gets take the slow path, in programs' copies of them, too. */
static inline bool tools_threads(void)
{
	return __tsan_acquire;
}

/* Then all allocations and frees take the slow path, which tells these. */
static inline bool tools_present(void)
{
	return tools_threads() || __asan_poison_memory_region;
}

static inline void *tools_cell(const struct slabshm *s, uint32_t cell)
{
	return (void *)(uintptr_t)&s->cells[cell];
}

/* What the thread did comes before what others do with the cell. */
static inline void tools_release_cell(const struct slabshm *s, uint32_t cell)
{
	if (__tsan_release)
		__tsan_release(tools_cell(s, cell));
}

static inline void tools_acquire_cell(const struct slabshm *s, uint32_t cell)
{
	if (__tsan_acquire)
		__tsan_acquire(tools_cell(s, cell));
}

/* What the thread did comes before the next use of space of the slab. */
static inline void tools_release_space(const struct slabshm *s)
{
	if (__tsan_release)
		__tsan_release(s->data);
}

static inline void tools_acquire_space(const struct slabshm *s)
{
	if (__tsan_acquire)
		__tsan_acquire(s->data);
}

/*
 * What the thread did comes before what others learn without a version of a cell:
 * that a name is there; and by the error of a call, that a cell was removed, a wait
 * cancelled, or that a holder died.
 */
static inline void tools_release_slab(const struct slabshm *s)
{
	if (__tsan_release)
		__tsan_release((void *)(uintptr_t)s->header);
}

static inline void tools_acquire_slab(const struct slabshm *s)
{
	if (__tsan_acquire)
		__tsan_acquire((void *)(uintptr_t)s->header);
}

static inline void tools_poison(const struct slabshm *s, uint64_t offset,
				size_t size)
{
	if (__asan_poison_memory_region)
		__asan_poison_memory_region(s->data + offset, size);
}

static inline void tools_unpoison(const struct slabshm *s, uint64_t offset,
				  size_t size)
{
	if (__asan_unpoison_memory_region)
		__asan_unpoison_memory_region(s->data + offset, size);
}

#endif /* SLABSHM_TOOLS_H */
