// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * libslabshm: handles, their descriptor and their mappings
 *
 * A handle holds a descriptor of /dev/slabshm and three mappings of it, which
 * are never changed between slabshm_open() and slabshm_close(); so no lock is
 * needed, and each call is one ioctl.
 *
 * The mappings do not survive fork().  Their place in the child may be taken by
 * something else, so the child must neither use nor unmap them: it knows by the
 * word @alive, which is in a page of its own that fork() fills with zeros.
 */
#define _FILE_OFFSET_BITS 64

#include <assert.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "handle.h"

/* A declaration without inline makes a symbol of what the header defines. */
typeof(slabshm_ptr) slabshm_ptr;
typeof(slabshm_offset) slabshm_offset;
typeof(slabshm_length) slabshm_length;
typeof(slabshm_read) slabshm_read;
typeof(slabshm_pin) slabshm_pin;
typeof(slabshm_unpin) slabshm_unpin;
typeof(slabshm_pin_check) slabshm_pin_check;
typeof(slabshm_get) slabshm_get;

#define DEVICE		"/dev/slabshm"

/* As call() takes it to be */
static_assert(offsetof(struct slabshm_publish_args, client) == 4, "client");

int slabshm_set_name(char *to, const char *name)
{
	size_t len;

	if (!name)
		return -EINVAL;
	len = strlen(name);
	if (len >= SLABSHM_NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(to, name, len + 1);
	return 0;
}

/*
 * -ENODEV for no module, as -ENOENT is for no slab.  Never one of the standard
 * descriptors, which programs take for granted and replace.
 */
int slabshm_open_device(void)
{
	int fd = open(DEVICE, O_RDWR | O_CLOEXEC);
	int low = fd;

	if (fd < 0)
		return errno == ENOENT || errno == ENXIO ? -ENODEV : -errno;
	if (fd > STDERR_FILENO)
		return fd;
	fd = fcntl(low, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (fd < 0)
		fd = -errno;
	close(low);
	return fd;
}

/*
 * Is the descriptor the handle's still?  The program may have closed it, as daemons
 * close all that they have, and its number may be another file's.
 */
static bool fd_is_own(const struct handle *h)
{
	struct slabshm_stat st = { 0 };
	int ret;

	if (!h->client)
		return true;	/* never seen by the program */
	ret = call(&h->s, SLABSHM_IOC_STAT, &st);
	/* In a forked child its own copy is to be closed, too */
	return !ret || ret == -EIO;
}

static void *map(size_t size, int prot, int flags, int fd, uint64_t offset)
{
	void *p = mmap(NULL, size, prot, flags, fd, (off_t)offset);

	return p == MAP_FAILED ? NULL : p;
}

/*
 * Huge pages need the address and the offset of the data to be the same modulo
 * their size, so take more addresses than needed, and map over a part of them.
 */
static char *map_data(int fd, uint64_t size, int prot, uint64_t offset)
{
	uint64_t length = size + SLABSHM_ALIGN_MAX;
	uint64_t head;
	char *reserved;

	if (length > SIZE_MAX) {
		errno = ENOMEM;
		return NULL;
	}
	reserved = map(length, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (!reserved)
		return NULL;

	head = -(uintptr_t)reserved & (SLABSHM_ALIGN_MAX - 1);
	if (mmap(reserved + head, size, prot, MAP_SHARED | MAP_FIXED, fd,
		 (off_t)offset) == MAP_FAILED) {
		int err = errno;

		munmap(reserved, length);
		errno = err;
		return NULL;
	}
	if (head)
		munmap(reserved, head);
	munmap(reserved + head + size, length - head - size);
	return reserved + head;
}

/* The word that is 1 here and will be 0 in a child. */
static int map_alive(struct handle *h)
{
	h->page_size = (size_t)sysconf(_SC_PAGESIZE);
	h->alive = map(h->page_size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!h->alive || madvise(h->alive, h->page_size, MADV_WIPEONFORK))
		return -errno;
	*(uint64_t *)h->alive = 1;
	h->s.alive = h->alive;
	return 0;
}

static int map_regions(struct handle *h, const struct slabshm_attach_args *arg)
{
	bool rdonly = arg->flags & SLABSHM_ATTACH_RDONLY;
	const struct slabshm_header *header;

	h->control_size = arg->control_size;
	h->control = map(h->control_size, PROT_READ, MAP_SHARED, h->fd,
			 arg->control_offset);
	if (!h->control)
		return -errno;
	header = h->control;
	if (header->magic != SLABSHM_MAGIC || header->abi != arg->abi)
		return -EPROTO;

	h->s.header = header;
	h->s.cells = (const void *)((const char *)h->control +
				    header->cells_offset);
	h->s.max_cells = header->max_cells;
	h->s.max_size = header->max_size;
	h->s.data = map_data(h->fd, header->max_size,
			     rdonly ? PROT_READ : PROT_READ | PROT_WRITE,
			     arg->data_offset);
	if (!h->s.data)
		return -errno;

	/* From here on the kernel takes the client for alive. */
	h->reader_size = arg->reader_size;
	h->reader = map(h->reader_size, PROT_READ | PROT_WRITE, MAP_SHARED,
			h->fd, arg->reader_offset);
	if (!h->reader)
		return -errno;
	slabshm_caches_open(h, rdonly);
	return 0;
}

static void destroy(struct handle *h)
{
	slabshm_readers_close(h);
	slabshm_caches_close(h);
	if (h->s.alive && *h->s.alive) {
		/* In a child those who have it are not there */
		pthread_rwlock_wrlock(&h->ending);
		pthread_rwlock_unlock(&h->ending);
	}
	pthread_rwlock_destroy(&h->ending);
	/* First the mapping by which the client lives. */
	if (h->s.alive && *h->s.alive) {
		if (h->reader)
			munmap(h->reader, h->reader_size);
		if (h->s.data)
			munmap(h->s.data, h->s.max_size);
		if (h->control)
			munmap(h->control, h->control_size);
	}
	if (h->alive)
		munmap(h->alive, h->page_size);
	if (fd_is_own(h))
		close(h->fd);
	free(h);
}

int slabshm_attach(struct slabshm **out, struct slabshm_attach_args *arg)
{
	struct handle *h = calloc(1, sizeof(*h));
	int ret;

	if (!h)
		return -ENOMEM;
	pthread_rwlock_init(&h->ending, NULL);
	h->fd = slabshm_open_device();
	if (h->fd < 0) {
		ret = h->fd;
		pthread_rwlock_destroy(&h->ending);
		free(h);
		return ret;
	}
	ret = map_alive(h);
	if (!ret)
		ret = call_fd(h->fd, SLABSHM_IOC_ATTACH, arg);
	if (ret == -ENOTTY || ret == -E2BIG)
		ret = -EPROTO;
	if (!ret && arg->abi != SLABSHM_ABI_VERSION)
		ret = -EPROTO;
	if (!ret) {
		h->client = arg->client;
		ret = map_regions(h, arg);
	}
	if (ret) {
		destroy(h);
		return ret;
	}
	*out = (struct slabshm *)h;
	return 0;
}

void slabshm_close(struct slabshm *s)
{
	if (s)
		destroy((struct handle *)s);
}

int slabshm_fd(const struct slabshm *s)
{
	return ((const struct handle *)s)->fd;
}

uint32_t slabshm_client(const struct slabshm *s)
{
	return ((const struct handle *)s)->client;
}

/* When @timeout milliseconds from now is; < 0 is never. */
uint64_t slabshm_deadline(int timeout)
{
	struct timespec now;

	if (timeout < 0)
		return SLABSHM_DEADLINE_NEVER;
	if (!timeout)
		return 0;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec +
	       (uint64_t)timeout * 1000000;
}

/*
 * A call that may sleep, in which pthread_cancel() ends the thread.  It may end it
 * when the call has just returned, too: what that has changed is for the caller to
 * undo, by pthread_cleanup_push().
 */
int slabshm_call_sleeping(const struct slabshm *s, unsigned long request,
			  void *arg)
{
	int type, ret;

	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type);
	ret = call_plain(s, request, arg);
	pthread_setcanceltype(type, NULL);
	if (ret)
		tools_acquire_slab(s);
	return ret;
}
