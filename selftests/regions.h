/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Doing things to mappings, and seeing what comes of it.
 */
#ifndef SELFTESTS_REGIONS_H
#define SELFTESTS_REGIONS_H

#include <setjmp.h>

#include "common.h"
#include "kselftest_harness.h"

#define MAX	(64 * MIB)

static sigjmp_buf fault;

static inline void on_fault(int sig)
{
	siglongjmp(fault, sig);
}

/* The signal that an access gets, or 0. */
static inline int load(const void *p)
{
	int sig = sigsetjmp(fault, 1);

	if (!sig)
		(void)__atomic_load_n((const char *)p, __ATOMIC_RELAXED);
	return sig;
}

static inline int store(void *p, char value)
{
	int sig = sigsetjmp(fault, 1);

	if (!sig)
		__atomic_store_n((char *)p, value, __ATOMIC_RELAXED);
	return sig;
}

static inline int jump_to(const void *p)
{
	int sig = sigsetjmp(fault, 1);

	if (!sig)
		((void (*)(void))(uintptr_t)p)();
	return sig;
}

static inline void catch_faults(void)
{
	struct sigaction action = { .sa_handler = on_fault };

	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
}

/* Minus the error that mmap() gives, or 0; the mapping is dropped. */
static inline int try_map(const struct client *c, size_t size, int prot,
			  int flags, __u64 offset)
{
	void *p = mmap(NULL, size, prot, flags, c->fd, (off_t)offset);

	if (p == MAP_FAILED)
		return -errno;
	munmap(p, size);
	return 0;
}

static inline int try_protect(void *p, size_t size, int prot)
{
	return mprotect(p, size, prot) ? -errno : 0;
}

static inline int try_advise(void *p, size_t size, int advice)
{
	return madvise(p, size, advice) ? -errno : 0;
}

static inline int try_remap(void *p, size_t old, size_t size, int flags, void *to)
{
	return mremap(p, old, size, flags, to) == MAP_FAILED ? -errno : 0;
}

static inline int try_unmap(void *p, size_t size)
{
	return munmap(p, size) ? -errno : 0;
}

/* Addresses of @size bytes with nothing there. */
static inline void *hole(size_t size)
{
	void *p = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		       0);

	munmap(p, size);
	return p;
}

/* Bytes that clients and cells have. */
static inline __u64 live(const struct client *c)
{
	struct slabshm_stat st;

	return get_stat(c, &st) ? ~0ULL : st.live;
}

#endif /* SELFTESTS_REGIONS_H */
