/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * What the library's own files share.
 */
#ifndef SLABSHM_HANDLE_H
#define SLABSHM_HANDLE_H

#include "slabshm.h"

struct thread_reader;

/* A handle, whole.  A mapping that is not there is NULL. */
struct handle {
	struct slabshm s;	/* first, so that one is the other */
	int fd;
	void *alive;
	void *control;
	void *reader;
	size_t page_size;
	size_t control_size;
	size_t reader_size;
	struct thread_reader *readers;	/* protected by the lock of reader.c */
};

int call(int fd, unsigned long request, void *arg);
void readers_close(struct handle *h);
void thread_has_locks(const struct slabshm *s);
uint64_t deadline(int timeout);

#endif /* SLABSHM_HANDLE_H */
