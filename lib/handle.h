/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * What the library's own files share.
 */
#ifndef SLABSHM_HANDLE_H
#define SLABSHM_HANDLE_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/ioctl.h>

#include "slabshm.h"
#include "tools.h"

/* Blocks of more bytes than this are in no cache */
#define STOCK_SIZE_MAX	(64UL * 1024)

struct cache;
struct thread_reader;

/*
 * A handle, whole.  A mapping that is not there is NULL.  Where nothing is
 * cached, all from @nclasses on is 0.
 *
 * The locks of reader.c and block.c are the whole process's, and fork() takes
 * them: none is held in a call, which lasts as long as the slab's other users
 * like.  A thread that ends gives back what it has with @ending locked for reading,
 * which it got under one of these locks while it was still in a list of the
 * handle; slabshm_close() empties the lists, and then locks it for writing.  So
 * nobody waits for @ending with another lock held.
 */
struct handle {
	struct slabshm s;	/* first, so that one is the other */
	int fd;
	uint32_t client;		/* its number: is @fd its own? */
	void *alive;
	void *control;
	void *reader;
	size_t page_size;
	size_t control_size;
	size_t reader_size;
	struct thread_reader *readers;	/* protected by the lock of reader.c */
	struct cache *caches;		/* protected by the lock of block.c */
	pthread_rwlock_t ending;	/* read: threads that give back, in calls */
	const uint8_t *page_map;
	unsigned int page_shift;
	unsigned int nclasses;		/* how many of the header's are cached */
	uint64_t stock_limit;		/* bytes that a thread may ever keep */
	size_t stock_max;		/* bytes of the largest class */
	uint8_t class_of[STOCK_SIZE_MAX / SLABSHM_GRANULE];
};

static inline int call_fd(int fd, unsigned long request, void *arg)
{
	return ioctl(fd, request, arg) < 0 ? -errno : 0;
}

/*
 * Every argument begins with two words, of which the second is the client's number.
 * -ENOTCONN if the descriptor's number is another file's by now.
 */
static inline int call_plain(const struct slabshm *s, unsigned long request,
			     void *arg)
{
	const struct handle *h = (const struct handle *)s;
	int ret;

	memcpy((char *)arg + 4, &h->client, sizeof(h->client));
	ret = call_fd(h->fd, request, arg);
	return ret == -ENOTTY ? -ENOTCONN : ret;
}

static inline int call(const struct slabshm *s, unsigned long request, void *arg)
{
	int ret = call_plain(s, request, arg);

	if (ret)
		tools_acquire_slab(s);
	return ret;
}

/*
 * Names of the library, as the static one shows them to the program that it is
 * linked with.
 */
int slabshm_set_name(char *to, const char *name);
int slabshm_open_device(void);
int slabshm_attach(struct slabshm **out, struct slabshm_attach_args *arg);
int slabshm_call_sleeping(const struct slabshm *s, unsigned long request,
			  void *arg);
int slabshm_thread_note(void);
void slabshm_readers_thread_exit(void);
void slabshm_caches_thread_exit(void);
void slabshm_readers_close(struct handle *h);
void slabshm_thread_has_locks(const struct slabshm *s);
uint64_t slabshm_deadline(int timeout);
void slabshm_caches_open(struct handle *h, bool rdonly);
void slabshm_caches_close(struct handle *h);
bool slabshm_caches_relieve(const struct slabshm *s, int ret);

#endif /* SLABSHM_HANDLE_H */
