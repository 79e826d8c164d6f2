// SPDX-License-Identifier: GPL-2.0
/*
 * Records what a program allocates and frees, for bench/heap.h to do again:
 *
 *	LD_PRELOAD=record.so BENCH_RECORD=FOLDER PROGRAM
 *
 * leaves FOLDER/PID, a struct record for each, in the order in which they were
 * done. A realloc() is a free and an allocation.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* More than the programs do that bench/traces runs; the file has holes until then */
#define RECORDS		(1UL << 24)

struct record {
	uint64_t address;
	uint64_t size;		/* 0: freed */
};

/* The C library's own, which these functions stand in front of */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t align, size_t size);
void __libc_free(void *p);

static struct record *records;
static unsigned long count;
static int file = -1;
static pid_t owner;

static void record(const void *p, size_t size)
{
	unsigned long i;

	/* A child that has not begun its own program yet */
	if (!records || !p || getpid() != owner)
		return;
	i = __atomic_fetch_add(&count, 1, __ATOMIC_RELAXED);
	if (i < RECORDS) {
		records[i].address = (uintptr_t)p;
		records[i].size = size;
	}
}

/* What is there already is left out: heap.h passes over its end. */
__attribute__((constructor)) static void begin(void)
{
	const char *dir = getenv("BENCH_RECORD");
	const size_t size = RECORDS * sizeof(struct record);
	char path[4096];
	void *p;

	if (!dir)
		return;
	owner = getpid();
	snprintf(path, sizeof(path), "%s/%d", dir, owner);
	file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (file < 0 || ftruncate(file, (off_t)size))
		return;
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (p != MAP_FAILED)
		records = p;
}

__attribute__((destructor)) static void end(void)
{
	if (!records || getpid() != owner)
		return;
	records = NULL;
	/* One that is cut off would be of another program */
	if (count > RECORDS ||
	    ftruncate(file, (off_t)(count * sizeof(struct record))))
		abort();
}

static size_t at_least_1(size_t size)
{
	return size ? size : 1;
}

void *malloc(size_t size)
{
	void *p = __libc_malloc(size);

	record(p, at_least_1(size));
	return p;
}

void *calloc(size_t n, size_t size)
{
	void *p = __libc_calloc(n, size);

	record(p, at_least_1(n * size));
	return p;
}

void free(void *p)
{
	/* Before another thread can get it */
	record(p, 0);
	__libc_free(p);
}

void *realloc(void *old, size_t size)
{
	void *p;

	if (!old)
		return malloc(size);
	if (!size) {
		free(old);
		return NULL;
	}
	record(old, 0);
	p = __libc_realloc(old, size);
	record(p, size);
	return p;
}

void *memalign(size_t align, size_t size)
{
	void *p = __libc_memalign(align, size);

	record(p, at_least_1(size));
	return p;
}

void *aligned_alloc(size_t align, size_t size)
{
	return memalign(align, size);
}

int posix_memalign(void **p, size_t align, size_t size)
{
	*p = memalign(align, size);
	return *p ? 0 : ENOMEM;
}
