// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * libslabshm: slabs, and their lists
 */
#include <unistd.h>

#include "handle.h"

#define DEFAULT_MODE	0600
#define DEFAULT_SIZE	(1024ULL * 1024)
#define DEFAULT_MAX	(1024 * DEFAULT_SIZE)

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
	ret = slabshm_set_name(arg.name, name ? name : "");
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
	return slabshm_attach(out, &arg);
}

int slabshm_open_fd(struct slabshm **out, int fd, unsigned int flags)
{
	struct slabshm_attach_args arg = {
		.flags = flags | SLABSHM_ATTACH_FD,
		.fd = fd,
	};

	return slabshm_attach(out, &arg);
}

int slabshm_unlink(const char *name)
{
	struct slabshm_unlink_args arg = { 0 };
	int fd, ret;

	ret = slabshm_set_name(arg.name, name);
	if (ret)
		return ret;
	fd = slabshm_open_device();
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
	int fd = slabshm_open_device();
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
