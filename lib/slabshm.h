/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * libslabshm: a heap that many processes share
 *
 * A process opens a slab, allocates blocks in it, fills them, and publishes
 * them as objects in named cells.  Other processes read the cells without a
 * lock and without a system call.  The words used here (slab, client, block,
 * cell, part, commit, publish) are explained in <linux/slabshm.h>.
 *
 * Errors.  Functions that can fail return a negative errno value; what they
 * leave in errno means nothing.  Those that all calls share:
 *
 *  EIO		the handle was inherited through fork(): the child must open
 *		the slab itself
 *  EACCES	the slab was opened with SLABSHM_ATTACH_RDONLY, or its mode
 *		forbids the call
 *  ENOTCONN, ENXIO  the descriptor or a mapping of the handle was taken away
 *		behind the library's back
 *
 * Threads.  All functions may be called by any number of threads at once, on
 * one handle or on several, save slabshm_close(), which must come last.
 *
 * After fork() the parent's handles go on; in the child every call on them
 * gives -EIO, and slabshm_close() gives back what the child has of them.
 */
#ifndef SLABSHM_H
#define SLABSHM_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

#include <linux/slabshm.h>

#if __GCC_ATOMIC_LLONG_LOCK_FREE != 2
#error "slabshm needs 8-byte loads that are atomic; on 32-bit x86 build with -march=i686"
#endif

#ifdef __cplusplus
extern "C" {
#pragma GCC diagnostic push
/* Functions and the arguments of their ioctls share names, as stat(2) does. */
#pragma GCC diagnostic ignored "-Wshadow"
#endif
#pragma GCC visibility push(default)

/**
 * struct slabshm - a handle: one client of one slab
 * @alive: non-zero; zero in a child after fork()
 * @header: start of the control region
 * @cells: the cell table
 * @data: where the slab's data are mapped, all of its maximum size
 * @max_size: the slab's maximum size
 * @max_cells: entries in the cell table
 * @flags: 0
 *
 * Made by slabshm_open().  Programs read no field of it; they are here for
 * the inline functions.
 */
struct slabshm {
	const uint64_t *alive;
	const struct slabshm_header *header;
	const struct slabshm_cell *cells;
	char *data;
	uint64_t max_size;
	uint32_t max_cells;
	uint32_t flags;
};

/**
 * struct slabshm_ref - handle of a cell
 * @generation: which of the cells that were at this index
 * @cell: index in the cell table
 * @reserved: 0
 *
 * Made by slabshm_cell_open().  The same in every process, so it may be stored
 * in the slab or sent to others.
 */
struct slabshm_ref {
	uint64_t generation;
	uint32_t cell;
	uint32_t reserved;
};

/*
 * ---------------- Slabs ----------------
 */

/**
 * struct slabshm_options - how to make a slab; 0 is the default throughout
 * @max_size: bytes it may grow to; 0: 1 GiB, or @size if that is more
 * @size: bytes at the start; 0: 1 MiB, or @max_size if that is less
 * @max_cells: cells there can be; 0: 65536
 * @mode: permission bits, less the umask; 0: 0600
 * @owner: with SLABSHM_ATTACH_OWNER: the user that the slab must belong to
 * @reserved: 0
 *
 * All but @owner are of use with SLABSHM_ATTACH_CREATE only, and when the slab
 * exists already it stays as it is.
 */
struct slabshm_options {
	uint64_t max_size;
	uint64_t size;
	uint32_t max_cells;
	uint32_t mode;
	uint32_t owner;
	uint32_t reserved[9];
};

/**
 * slabshm_open() - open a slab by its name, or make it
 * @out: the handle
 * @name: its name in the network namespace of the caller, up to
 *	SLABSHM_NAME_MAX - 1 bytes, no '/' and no control characters; NULL or ""
 *	with SLABSHM_ATTACH_CREATE for a slab without a name
 * @flags: SLABSHM_ATTACH_* but FD
 * @opt: how to make it, NULL for the defaults
 *
 * Return: 0, or -ENODEV no /dev/slabshm: the module is not loaded; -EACCES the
 * mode of the device or of the slab forbids it; -ENOENT no slab of that name;
 * -EEXIST there is one, with EXCL; -EPERM it is not the owner's, with OWNER;
 * -EINVAL a bad flag, size, mode or name; -ENAMETOOLONG; -EPROTO the module and
 * this library do not understand each other: install the same release of both;
 * -ENOMEM (also no room in the address space for the maximum size), -EFBIG,
 * -EDQUOT, -EMFILE, -ENFILE, -EINTR.
 */
int slabshm_open(struct slabshm **out, const char *name, unsigned int flags,
		 const struct slabshm_options *opt);

/**
 * slabshm_open_fd() - open the slab of another client's descriptor
 * @out: the handle
 * @fd: what slabshm_fd() gave there; it came over a Unix socket or fork() and
 *	stays open
 * @flags: SLABSHM_ATTACH_RDONLY or 0
 *
 * The new client has no more rights than the one of @fd.
 *
 * Return: 0, or -EBADF @fd is no client's; else as slabshm_open().
 */
int slabshm_open_fd(struct slabshm **out, int fd, unsigned int flags);

/**
 * slabshm_close() - end the client and free the handle
 * @s: the handle, may be NULL
 *
 * Blocks that it had not published are free again.  A forked child calls this
 * for the handles it inherited; the parent's are not touched by that.
 */
void slabshm_close(struct slabshm *s);

/**
 * slabshm_fd() - the client's descriptor
 * @s: the handle
 *
 * For passing the slab on, see slabshm_open_fd().  Close-on-exec.
 */
int slabshm_fd(const struct slabshm *s);

/**
 * slabshm_unlink() - take a slab's name away
 * @name: the name
 *
 * The slab goes when its last client does.
 *
 * Return: 0, -ENOENT, -EPERM the slab is another user's, -EINVAL, -ENAMETOOLONG,
 * -ENODEV.
 */
int slabshm_unlink(const char *name);

/**
 * slabshm_chmod() - change the slab's permission bits
 * @s: the handle
 * @mode: 0 to 0777
 *
 * Clients keep the rights that they have.
 *
 * Return: 0, -EPERM, -EINVAL.
 */
int slabshm_chmod(struct slabshm *s, mode_t mode);

/**
 * slabshm_chown() - change the slab's owner
 * @s: the handle
 * @uid: new owner, or -1
 * @gid: new group, or -1
 *
 * Return: 0, -EPERM, -EINVAL.
 */
int slabshm_chown(struct slabshm *s, uid_t uid, gid_t gid);

/**
 * slabshm_grow() - grow the slab's data
 * @s: the handle
 * @size: bytes that it should have
 *
 * Allocating grows the slab by itself; this is for taking the memory early.
 *
 * Return: 0, -ENOSPC @size is above the maximum, -ENOMEM, -EFBIG @size is above
 * RLIMIT_FSIZE, -EINTR; what was grown until then stays.
 */
int slabshm_grow(struct slabshm *s, uint64_t size);

/**
 * slabshm_trim() - give memory of free blocks back to the system
 * @s: the handle
 * @bytes: at most this much, 0 for all
 *
 * Return: bytes given back, -EINTR.
 */
int64_t slabshm_trim(struct slabshm *s, uint64_t bytes);

/**
 * slabshm_stat() - the slab in figures
 * @s: the handle
 * @st: filled
 *
 * Return: 0.
 */
int slabshm_stat(struct slabshm *s, struct slabshm_stat *st);

/**
 * slabshm_list_slabs() - list the slabs of the network namespace
 * @entries: filled; of a slab that the caller may not read, the name only
 * @count: room in @entries
 * @cursor: 0 to begin; carries on from there
 *
 * Return: entries filled, 0 at the end; -ENODEV, -EACCES, -EINVAL, -EINTR.
 */
int slabshm_list_slabs(struct slabshm_stat *entries, unsigned int count,
		       uint64_t *cursor);

/**
 * slabshm_list_cells() - list the slab's cells
 * @s: the handle
 * @entries: filled
 * @count: room in @entries
 * @cursor: 0 to begin; carries on from there
 *
 * Return: entries filled, 0 at the end; -EINVAL, -EINTR.
 */
int slabshm_list_cells(struct slabshm *s, struct slabshm_cell_entry *entries,
		       unsigned int count, uint64_t *cursor);

/**
 * slabshm_list_clients() - list the slab's clients
 * @s: the handle
 * @entries: filled
 * @count: room in @entries
 * @cursor: 0 to begin; carries on from there
 *
 * Return: entries filled, 0 at the end; -EINVAL, -EINTR.
 */
int slabshm_list_clients(struct slabshm *s,
			 struct slabshm_client_entry *entries,
			 unsigned int count, uint64_t *cursor);

/*
 * ---------------- Blocks ----------------
 */

/**
 * slabshm_alloc() - allocate a block
 * @s: the handle
 * @size: bytes, at least 1
 *
 * The block starts on a cache line, and what is in it is undefined.  It is the
 * client's until it is freed or published, or until the client ends.
 *
 * Return: the block's offset, -ENOSPC the slab is full, -ENOMEM, -EFBIG it
 * cannot grow beyond RLIMIT_FSIZE, -EDQUOT the client has its limit of bytes,
 * -EINVAL.
 */
int64_t slabshm_alloc(struct slabshm *s, size_t size);

/**
 * slabshm_alloc_aligned() - allocate an aligned block
 * @s: the handle
 * @size: bytes, at least 1
 * @align: a power of two up to SLABSHM_ALIGN_MAX
 *
 * The offset is a multiple of @align, and so is the address.
 *
 * Return: as slabshm_alloc().
 */
int64_t slabshm_alloc_aligned(struct slabshm *s, size_t size, size_t align);

/**
 * slabshm_alloc_zeroed() - allocate a block of zeros
 * @s: the handle
 * @size: bytes, at least 1
 *
 * Return: as slabshm_alloc().
 */
int64_t slabshm_alloc_zeroed(struct slabshm *s, size_t size);

/**
 * slabshm_alloc_batch() - allocate several blocks, all or none
 * @s: the handle
 * @blocks: in: the sizes; out: offsets, and the sizes that may be used
 * @n: 1 to SLABSHM_BATCH_MAX
 * @align: as slabshm_alloc_aligned(), or 0
 * @flags: SLABSHM_ALLOC_*
 *
 * Return: 0, or as slabshm_alloc().
 */
int slabshm_alloc_batch(struct slabshm *s, struct slabshm_block *blocks,
			unsigned int n, size_t align, unsigned int flags);

/**
 * slabshm_free() - free a block that was not published
 * @s: the handle
 * @offset: where it starts
 *
 * A published block belongs to its cell: publish the cell without it.
 *
 * Return: 0, -EINVAL no block starts there, -EPERM it is another client's,
 * -EBUSY it is published.
 */
int slabshm_free(struct slabshm *s, uint64_t offset);

/**
 * slabshm_free_batch() - free several blocks, all or none
 * @s: the handle
 * @offsets: where they start
 * @n: 1 to SLABSHM_BATCH_MAX
 *
 * Return: 0, or as slabshm_free().
 */
int slabshm_free_batch(struct slabshm *s, const uint64_t *offsets,
		       unsigned int n);

/**
 * slabshm_usable_size() - how many bytes of a block may be used
 * @s: the handle
 * @offset: where the block starts; for an offset that is no block's the answer
 *	may be wrong
 *
 * Makes a system call for large blocks only.
 *
 * Return: the size, -EINVAL.
 */
int64_t slabshm_usable_size(struct slabshm *s, uint64_t offset);

/**
 * slabshm_ptr() - where an offset is in this process
 * @s: the handle
 * @offset: the offset
 *
 * The address of a block stays the same until slabshm_close().
 *
 * Return: the address; NULL for an offset of 0, for one beyond the maximum size
 * (so also for the error that an allocation gave) and in a forked child.
 */
inline void *slabshm_ptr(const struct slabshm *s, uint64_t offset);

/**
 * slabshm_offset() - which offset an address has in every process
 * @s: the handle
 * @ptr: the address
 *
 * Return: the offset; 0 for an address outside the slab.
 */
inline uint64_t slabshm_offset(const struct slabshm *s, const void *ptr);

/*
 * ---------------- Cells ----------------
 */

/**
 * slabshm_cell_open() - find a cell by its name, or make it
 * @s: the handle
 * @name: the name, 1 to SLABSHM_NAME_MAX - 1 bytes, no control characters
 * @flags: SLABSHM_CELL_*
 * @ref: the cell's handle; nothing to close
 *
 * Return: 0, -ENOENT, -EEXIST, -ENOSPC the slab has no more cells, -EINVAL,
 * -ENAMETOOLONG, -ENOMEM.
 */
int slabshm_cell_open(struct slabshm *s, const char *name, unsigned int flags,
		      struct slabshm_ref *ref);

/**
 * slabshm_cell_remove() - remove a cell and its object
 * @s: the handle
 * @ref: the cell
 *
 * Return: 0, -EIDRM it was removed before, -EINVAL.
 */
int slabshm_cell_remove(struct slabshm *s, const struct slabshm_ref *ref);

/**
 * slabshm_cell_remove_name() - remove whatever cell has this name
 * @s: the handle
 * @name: the name
 *
 * Return: 0, -ENOENT, -EINVAL, -ENAMETOOLONG.
 */
int slabshm_cell_remove_name(struct slabshm *s, const char *name);

/**
 * slabshm_publish() - change several cells in one step, all or none
 * @s: the handle
 * @cells: the cells, each once
 * @ncells: 1 to SLABSHM_BATCH_MAX
 * @parts: blocks to attach to these cells' objects and to drop, may be NULL
 * @nparts: 0 to SLABSHM_BATCH_MAX
 * @failed: if not NULL, on error: index of the refused cell, or @ncells plus
 *	that of the refused part, or UINT_MAX
 *
 * The blocks are the cells' from then on.  What a new root replaces goes back
 * by itself; parts stay until they are dropped.  A published block must not be
 * modified.
 *
 * Return: the commit, which is the new version of the cells; -EAGAIN the
 * version of a cell is not the expected one; -EIDRM a cell was removed; -EBUSY
 * a block is published already; -EPERM it is another client's; -EINVAL, -ENOMEM.
 */
int64_t slabshm_publish(struct slabshm *s,
			const struct slabshm_publish_cell *cells,
			unsigned int ncells,
			const struct slabshm_publish_part *parts,
			unsigned int nparts, unsigned int *failed);

/**
 * slabshm_put() - publish one block in one cell
 * @s: the handle
 * @ref: the cell
 * @offset: the block; 0 empties the cell
 * @length: how many of its bytes are the object; 0 if @offset is 0
 *
 * The object that the cell had goes whole, with its parts.
 *
 * Return: as slabshm_publish().
 */
int64_t slabshm_put(struct slabshm *s, const struct slabshm_ref *ref,
		    uint64_t offset, size_t length);

/**
 * slabshm_put_if() - publish one block, if nobody else published meanwhile
 * @s: the handle
 * @ref: the cell
 * @offset: as slabshm_put()
 * @length: as slabshm_put()
 * @expected: the version that the cell must have, as slabshm_read() told it
 *
 * Return: as slabshm_publish(); -EAGAIN if the cell has another version.
 */
int64_t slabshm_put_if(struct slabshm *s, const struct slabshm_ref *ref,
		       uint64_t offset, size_t length, uint64_t expected);

/**
 * slabshm_assign() - make a copy of some bytes the cell's object
 * @s: the handle
 * @ref: the cell
 * @data: the bytes, may be NULL if @length is 0
 * @length: how many; 0 makes an object without bytes, not an empty cell
 *
 * Allocates, copies and publishes.
 *
 * Return: as slabshm_alloc() and slabshm_publish().
 */
int64_t slabshm_assign(struct slabshm *s, const struct slabshm_ref *ref,
		       const void *data, size_t length);

/**
 * slabshm_read() - copy a cell's object out, without a system call
 * @s: the handle
 * @ref: the cell
 * @buf: where to; undefined after an error
 * @len: room there
 * @version: if not NULL, the version that was read; also told with -ENODATA and
 *	-ERANGE
 *
 * What is copied is one version of the object, whole: the newest there was at
 * some moment during the call.  The copy starts over whenever the object is
 * replaced meanwhile.
 *
 * Return: the object's length; -ENODATA the cell is empty; -ERANGE the object
 * is longer than @len, see slabshm_length(); -EIDRM the cell was removed;
 * -EINVAL @ref is no cell's.
 */
inline ssize_t slabshm_read(const struct slabshm *s,
			    const struct slabshm_ref *ref, void *buf,
			    size_t len, uint64_t *version);

/**
 * slabshm_length() - how long a cell's object is, without a system call
 * @s: the handle
 * @ref: the cell
 * @version: as slabshm_read()
 *
 * Return: the length; -ENODATA, -EIDRM, -EINVAL as slabshm_read().
 */
inline int64_t slabshm_length(const struct slabshm *s,
			      const struct slabshm_ref *ref,
			      uint64_t *version);

/*
 * ---------------- The inline functions ----------------
 *
 * The library has them as ordinary symbols as well, for languages that cannot
 * include this.
 */

inline void *slabshm_ptr(const struct slabshm *s, uint64_t offset)
{
	if (offset - 1 >= s->max_size - 1 ||
	    !__atomic_load_n(s->alive, __ATOMIC_RELAXED))
		return NULL;
	return s->data + offset;
}

inline uint64_t slabshm_offset(const struct slabshm *s, const void *ptr)
{
	uint64_t offset = (uintptr_t)ptr - (uintptr_t)s->data;

	return offset < s->max_size ? offset : 0;
}

/*
 * The newest version that exists: its commit, and which of the two it is; 0 if
 * neither exists at the moment that was looked at, as both are being replaced.
 *
 * The clock is loaded first and decides: a version above it does not exist
 * yet.  Its acquire pairs with the release of header->commit that ends a
 * publish in the kernel's slabshm_cell_write(): all that was published up to
 * @now is visible.  The acquire of each commit pairs with the write barrier
 * before the kernel stores it: offset and length, loaded later, are of that
 * commit or of a younger one.
 */
inline uint64_t __slabshm_newest(const struct slabshm *s,
				 const struct slabshm_cell *cell,
				 unsigned int *which)
{
	uint64_t now = __atomic_load_n(&s->header->commit, __ATOMIC_ACQUIRE);
	uint64_t c0 = __atomic_load_n(&cell->version[0].commit,
				      __ATOMIC_ACQUIRE);
	uint64_t c1 = __atomic_load_n(&cell->version[1].commit,
				      __ATOMIC_ACQUIRE);

	if (c0 > now)
		c0 = 0;
	if (c1 > now)
		c1 = 0;
	*which = c1 > c0;
	return c1 > c0 ? c1 : c0;
}

/*
 * Find the newest version of a cell.  The loop goes round only when the cell
 * was published meanwhile.
 */
inline int __slabshm_pick(const struct slabshm *s,
			  const struct slabshm_ref *ref,
			  struct slabshm_version *v)
{
	const struct slabshm_cell *cell;
	const struct slabshm_version *from;
	unsigned int which;

	if (!__atomic_load_n(s->alive, __ATOMIC_RELAXED))
		return -EIO;
	if (ref->cell >= s->max_cells || !ref->generation)
		return -EINVAL;
	cell = &s->cells[ref->cell];
	do {
		v->commit = __slabshm_newest(s, cell, &which);
		from = &cell->version[which];
		/*
		 * After the commit: a version of a later cell at this index
		 * comes with that cell's generation.
		 */
		if (__atomic_load_n(&cell->generation, __ATOMIC_RELAXED) !=
		    ref->generation)
			return -EIDRM;
		v->offset = __atomic_load_n(&from->offset, __ATOMIC_RELAXED);
		v->length = __atomic_load_n(&from->length, __ATOMIC_RELAXED);
		/*
		 * Pairs with the write barrier after the kernel's store of 0
		 * to the commit: had one of these come from a younger version,
		 * the commit would not be the same any more.
		 */
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
	} while (!v->commit ||
		 __atomic_load_n(&from->commit, __ATOMIC_RELAXED) != v->commit);

	/* Never so, unless the module is not the one this was made for. */
	if (v->length > s->max_size || v->offset > s->max_size - v->length)
		return -EPROTO;
	return 0;
}

inline int64_t slabshm_length(const struct slabshm *s,
			      const struct slabshm_ref *ref,
			      uint64_t *version)
{
	struct slabshm_version v;
	int ret = __slabshm_pick(s, ref, &v);

	if (ret)
		return ret;
	if (version)
		*version = v.commit;
	if (!v.offset)
		return -ENODATA;
	return (int64_t)v.length;
}

inline ssize_t slabshm_read(const struct slabshm *s,
			    const struct slabshm_ref *ref, void *buf,
			    size_t len, uint64_t *version)
{
	struct slabshm_version v;
	unsigned int which;
	int ret;

	do {
		ret = __slabshm_pick(s, ref, &v);
		if (ret)
			return ret;
		if (version)
			*version = v.commit;
		if (!v.offset)
			return -ENODATA;
		if (v.length > len)
			return -ERANGE;
		memcpy(buf, s->data + v.offset, (size_t)v.length);
		/*
		 * The block may have been freed and filled anew by another
		 * while it was copied.  The kernel frees it only after it has
		 * stored the publish's commit in the header: a byte of a later
		 * owner was copied, so after this fence the clock is seen to
		 * have gone past the version.
		 */
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
	} while (__slabshm_newest(s, &s->cells[ref->cell], &which) != v.commit);

	return (ssize_t)v.length;
}

#pragma GCC visibility pop
#ifdef __cplusplus
#pragma GCC diagnostic pop
}
#endif

#endif /* SLABSHM_H */
