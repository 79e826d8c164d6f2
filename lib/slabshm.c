// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * libslabshm: the calls
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
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
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
#define DEFAULT_MODE	0600
#define DEFAULT_SIZE	(1024ULL * 1024)
#define DEFAULT_MAX	(1024 * DEFAULT_SIZE)

/* As call() takes it to be */
static_assert(offsetof(struct slabshm_publish_args, client) == 4, "client");

static int set_name(char *to, const char *name)
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
static int open_device(void)
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
	uint64_t room = size + SLABSHM_ALIGN_MAX;
	uint64_t head;
	char *reserved;

	if (room > SIZE_MAX) {
		errno = ENOMEM;
		return NULL;
	}
	reserved = map(room, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (!reserved)
		return NULL;

	head = -(uintptr_t)reserved & (SLABSHM_ALIGN_MAX - 1);
	if (mmap(reserved + head, size, prot, MAP_SHARED | MAP_FIXED, fd,
		 (off_t)offset) == MAP_FAILED) {
		int err = errno;

		munmap(reserved, room);
		errno = err;
		return NULL;
	}
	if (head)
		munmap(reserved, head);
	munmap(reserved + head + size, room - head - size);
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
	/* First what tells the kernel that the client is alive. */
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

static int attach(struct slabshm **out, struct slabshm_attach_args *arg)
{
	struct handle *h = calloc(1, sizeof(*h));
	int ret;

	if (!h)
		return -ENOMEM;
	pthread_rwlock_init(&h->ending, NULL);
	h->fd = open_device();
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

/*
 * ---------------- Slabs ----------------
 */

int slabshm_open(struct slabshm **out, const char *name, unsigned int flags,
		 const struct slabshm_options *opt)
{
	static const struct slabshm_options defaults;
	struct slabshm_attach_args arg = { .flags = flags };
	size_t i;
	int ret;

	if (!opt)
		opt = &defaults;
	for (i = 0; i < sizeof(opt->reserved) / sizeof(*opt->reserved); i++)
		if (opt->reserved[i])
			return -EINVAL;
	if (flags & SLABSHM_ATTACH_FD)
		return -EINVAL;
	ret = set_name(arg.name, name ? name : "");
	if (ret)
		return ret;

	if (flags & SLABSHM_ATTACH_OWNER)
		arg.owner = opt->owner;
	if (flags & SLABSHM_ATTACH_CREATE) {
		arg.mode = opt->mode ? opt->mode : DEFAULT_MODE;
		arg.size = opt->size;
		arg.max_size = opt->max_size;
		if (!arg.max_size)
			arg.max_size = arg.size > DEFAULT_MAX ? arg.size :
								DEFAULT_MAX;
		if (!arg.size)
			arg.size = arg.max_size < DEFAULT_SIZE ? arg.max_size :
								 DEFAULT_SIZE;
		arg.max_cells = opt->max_cells;
		arg.read_timeout = opt->read_timeout;
		arg.held_limit = opt->held_limit;
	}
	return attach(out, &arg);
}

int slabshm_open_fd(struct slabshm **out, int fd, unsigned int flags)
{
	struct slabshm_attach_args arg = {
		.flags = flags | SLABSHM_ATTACH_FD,
		.fd = fd,
	};

	return attach(out, &arg);
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

int slabshm_unlink(const char *name)
{
	struct slabshm_unlink_args arg = { 0 };
	int fd, ret;

	ret = set_name(arg.name, name);
	if (ret)
		return ret;
	fd = open_device();
	if (fd < 0)
		return fd;
	ret = call_fd(fd, SLABSHM_IOC_UNLINK, &arg);
	close(fd);
	return ret;
}

int slabshm_chmod(struct slabshm *s, mode_t mode)
{
	struct slabshm_setattr_args arg = {
		.flags = SLABSHM_SETATTR_MODE,
		.mode = mode,
	};

	return call(s, SLABSHM_IOC_SETATTR, &arg);
}

int slabshm_chown(struct slabshm *s, uid_t uid, gid_t gid)
{
	struct slabshm_setattr_args arg = { 0 };

	if (uid != (uid_t)-1) {
		arg.flags |= SLABSHM_SETATTR_UID;
		arg.uid = uid;
	}
	if (gid != (gid_t)-1) {
		arg.flags |= SLABSHM_SETATTR_GID;
		arg.gid = gid;
	}
	return call(s, SLABSHM_IOC_SETATTR, &arg);
}

int slabshm_grow(struct slabshm *s, uint64_t size)
{
	struct slabshm_grow_args arg = { .size = size };

	return call(s, SLABSHM_IOC_GROW, &arg);
}

int64_t slabshm_trim(struct slabshm *s, uint64_t bytes)
{
	struct slabshm_trim_args arg = { .bytes = bytes };
	int ret = call(s, SLABSHM_IOC_TRIM, &arg);

	return ret ? ret : (int64_t)arg.bytes;
}

int64_t slabshm_compact(struct slabshm *s, uint64_t bytes)
{
	struct slabshm_compact_args arg = { 0 };
	uint64_t moved = 0;
	int ret;

	/* What this thread keeps; the kernel asks the others for theirs */
	slabshm_caches_relieve(s, -ENOSPC);
	do {
		arg.bytes = bytes ? bytes - moved : 0;
		ret = call(s, SLABSHM_IOC_COMPACT, &arg);
		if (ret)
			break;
		moved += arg.bytes;
	} while (arg.cursor && (!bytes || moved < bytes));
	return ret && !moved ? ret : (int64_t)moved;
}

int slabshm_stat(struct slabshm *s, struct slabshm_stat *st)
{
	memset(st, 0, sizeof(*st));
	return call(s, SLABSHM_IOC_STAT, st);
}

/* @s: NULL for a list that needs no client, by @fd then */
static int list(const struct slabshm *s, int fd, struct slabshm_list_args *arg,
		void *entries, unsigned int count, uint64_t *cursor)
{
	int ret;

	arg->entries = (uintptr_t)entries;
	arg->count = count;
	arg->cursor = *cursor;
	/* What only the kernel fills, valgrind holds to be undefined */
	memset(entries, 0, (size_t)count * arg->entry_size);
	ret = s ? call(s, SLABSHM_IOC_LIST, arg) :
		  call_fd(fd, SLABSHM_IOC_LIST, arg);
	if (ret)
		return ret;
	*cursor = arg->cursor;
	return (int)arg->count;
}

int slabshm_list_slabs(struct slabshm_stat *entries, unsigned int count,
		       uint64_t *cursor)
{
	struct slabshm_list_args arg = {
		.what = SLABSHM_LIST_SLABS,
		.entry_size = sizeof(*entries),
	};
	int fd = open_device();
	int ret;

	if (fd < 0)
		return fd;
	ret = list(NULL, fd, &arg, entries, count, cursor);
	close(fd);
	return ret;
}

int slabshm_list_cells(struct slabshm *s, struct slabshm_cell_entry *entries,
		       unsigned int count, uint64_t *cursor)
{
	struct slabshm_list_args arg = {
		.what = SLABSHM_LIST_CELLS,
		.entry_size = sizeof(*entries),
	};

	return list(s, -1, &arg, entries, count, cursor);
}

int slabshm_list_clients(struct slabshm *s,
			 struct slabshm_client_entry *entries,
			 unsigned int count, uint64_t *cursor)
{
	struct slabshm_list_args arg = {
		.what = SLABSHM_LIST_CLIENTS,
		.entry_size = sizeof(*entries),
	};

	return list(s, -1, &arg, entries, count, cursor);
}

int slabshm_list_readers(struct slabshm *s,
			 struct slabshm_reader_entry *entries,
			 unsigned int count, uint64_t *cursor)
{
	struct slabshm_list_args arg = {
		.what = SLABSHM_LIST_READERS,
		.entry_size = sizeof(*entries),
	};

	return list(s, -1, &arg, entries, count, cursor);
}

int slabshm_list_locks(struct slabshm *s, struct slabshm_lock_entry *entries,
		       unsigned int count, uint64_t *cursor)
{
	struct slabshm_list_args arg = {
		.what = SLABSHM_LIST_LOCKS,
		.entry_size = sizeof(*entries),
	};

	return list(s, -1, &arg, entries, count, cursor);
}

/*
 * ---------------- Blocks ----------------
 */

int64_t slabshm_usable_size(struct slabshm *s, uint64_t offset)
{
	const struct handle *h = (const struct handle *)s;
	const struct slabshm_header *header = s->header;
	struct slabshm_block_args info = { .offset = offset };
	uint8_t page;
	int ret;

	if (!*s->alive)
		return -EIO;
	/* Beyond it, the page map may have no memory yet. */
	if (!offset ||
	    offset >= __atomic_load_n(&header->size, __ATOMIC_RELAXED))
		return -EINVAL;
	page = __atomic_load_n(&h->page_map[offset >> h->page_shift],
			       __ATOMIC_RELAXED);
	if (page > SLABSHM_PAGE_NONE && page <= SLABSHM_CLASSES_MAX)
		return header->classes[page - 1];

	ret = call(s, SLABSHM_IOC_BLOCK, &info);
	if (ret)
		return ret;
	return info.start == offset ? (int64_t)info.size : -EINVAL;
}

/*
 * ---------------- Cells ----------------
 */

int slabshm_cell_open(struct slabshm *s, const char *name, unsigned int flags,
		      struct slabshm_ref *ref)
{
	struct slabshm_cell_open_args arg = { .flags = flags };
	int ret;

	tools_release_slab(s);
	ret = set_name(arg.name, name);
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
