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
 *  ECANCELED	slabshm_cancel() ended the wait
 *  ENOTCONN, ENXIO  the descriptor or a mapping of the handle was taken away
 *		behind the library's back
 *
 * Arguments that are not described: @s is the handle, @ref the cell.
 *
 * Threads.  All functions may be called by any number of threads at once, on
 * one handle or on several, save slabshm_close(), which must come last.
 *
 * Where a function sleeps until another process has done something, it is a
 * cancellation point of pthreads, and only then; a thread that is cancelled there
 * has changed nothing.
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

#if defined(__GNUC_GNU_INLINE__) && !defined(__cplusplus)
#error "slabshm.h needs the inline functions of C99: build with -std=gnu99 or later"
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
 * @max_cells: cells there can be, at most the module's max_cells; 0: 65536
 * @mode: permission bits, less the umask; 0: 0600
 * @owner: with SLABSHM_ATTACH_OWNER: the user that the slab must belong to
 * @read_timeout: milliseconds for which a reader may keep space from being used
 *	again; 0: the module's default, 30 s; SLABSHM_READ_TIMEOUT_NEVER
 * @held_limit: bytes that readers may keep so; 0: a quarter of @max_size
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
	uint32_t read_timeout;
	uint64_t held_limit;
	uint64_t reserved[4];
};

/*
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
 * -ENOMEM (also: no address range of the maximum size), -EFBIG,
 * -EDQUOT, -EMFILE, -ENFILE, -EINTR.
 */
int slabshm_open(struct slabshm **out, const char *name, unsigned int flags,
		 const struct slabshm_options *opt);

/*
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

/*
 * slabshm_close() - end the client and free the handle
 * @s: the handle, may be NULL
 *
 * Blocks that it had not published are free again.  A forked child calls this
 * for the handles it inherited; the parent's are not touched by that.
 */
void slabshm_close(struct slabshm *s);

/*
 * slabshm_fd() - the client's descriptor
 *
 * For passing the slab on, see slabshm_open_fd().  Close-on-exec.
 */
int slabshm_fd(const struct slabshm *s);

/*
 * slabshm_client() - the client's number
 *
 * Lists call the client by it, and each argument of an ioctl of slabshm_fd() has
 * it, see <linux/slabshm.h>.
 *
 * Return: the number.
 */
uint32_t slabshm_client(const struct slabshm *s);

/*
 * slabshm_unlink() - take a slab's name away
 * @name: the name
 *
 * The slab goes when its last client does.
 *
 * Return: 0, -ENOENT, -EPERM the slab is another user's, -EINVAL, -ENAMETOOLONG,
 * -ENODEV.
 */
int slabshm_unlink(const char *name);

/*
 * slabshm_chmod() - change the slab's permission bits
 * @mode: 0 to 0777
 *
 * Clients keep the rights that they have.
 *
 * Return: 0, -EPERM, -EINVAL.
 */
int slabshm_chmod(struct slabshm *s, mode_t mode);

/*
 * slabshm_chown() - change the slab's owner
 * @uid: new owner, or -1
 * @gid: new group, or -1
 *
 * Return: 0, -EPERM, -EINVAL.
 */
int slabshm_chown(struct slabshm *s, uid_t uid, gid_t gid);

/*
 * slabshm_grow() - grow the slab's data
 * @size: bytes that it should have
 *
 * Allocating grows the slab by itself; this is for taking the memory early.
 *
 * Return: 0, -ENOSPC @size is above the maximum, -ENOMEM, -EFBIG @size is above
 * RLIMIT_FSIZE, -EINTR; what was grown until then stays.
 */
int slabshm_grow(struct slabshm *s, uint64_t size);

/*
 * slabshm_trim() - give memory of free blocks back to the system
 * @bytes: at most this much, 0 for as much as can be
 *
 * Whole free pages only: the free space between small blocks in use stays.
 *
 * Return: bytes given back, -EINTR.
 */
int64_t slabshm_trim(struct slabshm *s, uint64_t bytes);

/*
 * slabshm_compact() - move objects out of sparsely used pages
 * @bytes: stop when this many have been moved, 0 for no limit
 *
 * Makes whole pages of what small objects have left between them, for blocks of
 * other sizes and for slabshm_trim().  Moves objects of one block, of cells made
 * with SLABSHM_CELL_MOVABLE whose lock nobody holds; see slabshm_stat(3).
 *
 * Return: bytes moved; if none were, also -EBUSY readers hold back too much,
 * -EINTR, -EDQUOT, -ENOMEM.
 */
int64_t slabshm_compact(struct slabshm *s, uint64_t bytes);

/*
 * slabshm_stat() - the slab in figures
 * @st: filled
 *
 * Return: 0.
 */
int slabshm_stat(struct slabshm *s, struct slabshm_stat *st);

/*
 * slabshm_list_slabs() - list the slabs of the network namespace
 * @entries: filled; of a slab that the caller may not read, the name only
 * @count: size of @entries
 * @cursor: 0 to begin; carries on from there
 *
 * Return: entries filled, 0 at the end; -ENODEV, -EACCES, -EINVAL, -EINTR.
 */
int slabshm_list_slabs(struct slabshm_stat *entries, unsigned int count,
		       uint64_t *cursor);

/*
 * slabshm_list_cells() - list the slab's cells
 *
 * Arguments as slabshm_list_slabs().  Return: entries filled, 0 at the end; -EINVAL,
 * -EINTR.
 */
int slabshm_list_cells(struct slabshm *s, struct slabshm_cell_entry *entries,
		       unsigned int count, uint64_t *cursor);

/*
 * slabshm_list_clients() - list the slab's clients
 *
 * Arguments as slabshm_list_slabs().  Return: entries filled, 0 at the end; -EINVAL,
 * -EINTR.
 */
int slabshm_list_clients(struct slabshm *s,
			 struct slabshm_client_entry *entries,
			 unsigned int count, uint64_t *cursor);

/*
 * ---------------- Blocks ----------------
 */

/*
 * slabshm_alloc() - allocate a block
 * @size: bytes, at least 1
 *
 * The block starts on a cache line, and what is in it is undefined.  It is the
 * client's until it is freed or published, or until the client ends.  Makes a
 * system call for large blocks, and when the thread has none of that size in
 * its cache.  Not for signal handlers.
 *
 * Return: the block's offset, -ENOSPC the slab is full, -ENOMEM, -EFBIG it
 * cannot grow beyond RLIMIT_FSIZE, -EDQUOT the client has its limit of bytes,
 * -EINVAL.
 */
int64_t slabshm_alloc(struct slabshm *s, size_t size);

/*
 * slabshm_alloc_aligned() - allocate an aligned block
 * @size: bytes, at least 1
 * @align: a power of two up to SLABSHM_ALIGN_MAX
 *
 * The offset is a multiple of @align, and so is the address.
 *
 * Return: as slabshm_alloc().
 */
int64_t slabshm_alloc_aligned(struct slabshm *s, size_t size, size_t align);

/*
 * slabshm_alloc_zeroed() - allocate a block of zeros
 * @size: bytes, at least 1
 *
 * Return: as slabshm_alloc().
 */
int64_t slabshm_alloc_zeroed(struct slabshm *s, size_t size);

/*
 * slabshm_alloc_batch() - allocate several blocks, all or none
 * @blocks: in: the sizes; out: offsets, and the sizes that may be used
 * @n: 1 to SLABSHM_BATCH_MAX
 * @align: as slabshm_alloc_aligned(), or 0
 * @flags: SLABSHM_ALLOC_*
 *
 * Return: 0, or as slabshm_alloc().
 */
int slabshm_alloc_batch(struct slabshm *s, struct slabshm_block *blocks,
			unsigned int n, size_t align, unsigned int flags);

/*
 * slabshm_free() - free a block that was not published
 * @offset: where it starts
 *
 * A published block belongs to its cell: publish the cell without it.  A small
 * block may stay in the thread's cache, and whether it was the caller's to free
 * is seen later, or never; with SLABSHM_CHECK=1 in the environment the kernel
 * judges each call.
 *
 * Return: 0, -EINVAL no block starts there, -EPERM it is another client's,
 * -EBUSY it is published.
 */
int slabshm_free(struct slabshm *s, uint64_t offset);

/*
 * slabshm_free_batch() - free several blocks, all or none
 * @offsets: where they start
 * @n: 1 to SLABSHM_BATCH_MAX
 *
 * The kernel frees and judges them at once.
 *
 * Return: 0, or as slabshm_free().
 */
int slabshm_free_batch(struct slabshm *s, const uint64_t *offsets,
		       unsigned int n);

/*
 * slabshm_usable_size() - how many bytes of a block may be used
 * @offset: where the block starts; for an offset that is no block's the answer
 *	may be wrong
 *
 * Makes a system call for blocks of more than 64 KiB only.
 *
 * Return: the size, -EINVAL.
 */
int64_t slabshm_usable_size(struct slabshm *s, uint64_t offset);

/*
 * slabshm_ptr() - where an offset is in this process
 * @offset: the offset
 *
 * The address of a block stays the same until slabshm_close().
 *
 * Return: the address; NULL for an offset of 0, for one beyond the slab's
 * present size (so also for the error that an allocation gave) and in a forked
 * child.  So an offset that was read in a pin which was withdrawn meanwhile,
 * and may be anything, gives no address that raises SIGBUS.
 */
inline void *slabshm_ptr(const struct slabshm *s, uint64_t offset);

/*
 * slabshm_offset() - which offset an address has in every process
 * @ptr: the address
 *
 * Return: the offset; 0 for an address outside the slab.
 */
inline uint64_t slabshm_offset(const struct slabshm *s, const void *ptr);

/*
 * ---------------- Cells ----------------
 */

/*
 * slabshm_cell_open() - find a cell by its name, or make it
 * @name: the name, 1 to SLABSHM_NAME_MAX - 1 bytes, no control characters
 * @flags: SLABSHM_CELL_*
 * @ref: the cell's handle; nothing to close
 *
 * Return: 0, -ENOENT, -EEXIST, -ENOSPC the slab has no more cells, -EINVAL,
 * -ENAMETOOLONG, -ENOMEM, -EDQUOT.
 */
int slabshm_cell_open(struct slabshm *s, const char *name, unsigned int flags,
		      struct slabshm_ref *ref);

/*
 * slabshm_cell_remove() - remove a cell and its object
 *
 * Return: 0, -EIDRM it was removed before, -EINVAL.
 */
int slabshm_cell_remove(struct slabshm *s, const struct slabshm_ref *ref);

/*
 * slabshm_cell_remove_name() - remove whatever cell has this name
 * @name: the name
 *
 * Return: 0, -ENOENT, -EINVAL, -ENAMETOOLONG.
 */
int slabshm_cell_remove_name(struct slabshm *s, const char *name);

/*
 * slabshm_publish() - change several cells in one step, all or none
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
 * a block is published already, or a lock is mandatory and another's; -EPERM a
 * block is another client's, or a lock to release is not the thread's; -EINVAL,
 * -ENOMEM, -EDQUOT.
 */
int64_t slabshm_publish(struct slabshm *s,
			const struct slabshm_publish_cell *cells,
			unsigned int ncells,
			const struct slabshm_publish_part *parts,
			unsigned int nparts, unsigned int *failed);

/*
 * slabshm_put() - publish one block in one cell
 * @offset: the block; 0 empties the cell
 * @length: how many of its bytes are the object; 0 if @offset is 0
 *
 * The object that the cell had goes whole, with its parts.
 *
 * Return: as slabshm_publish().
 */
int64_t slabshm_put(struct slabshm *s, const struct slabshm_ref *ref,
		    uint64_t offset, size_t length);

/*
 * slabshm_put_if() - publish one block, if nobody else published meanwhile
 * @offset: as slabshm_put()
 * @length: as slabshm_put()
 * @expected: the version that the cell must have, as slabshm_read() returned it
 *
 * Return: as slabshm_publish(); -EAGAIN if the cell has another version.
 */
int64_t slabshm_put_if(struct slabshm *s, const struct slabshm_ref *ref,
		       uint64_t offset, size_t length, uint64_t expected);

/*
 * slabshm_update() - publish one block, and get another to go on with
 * @offset: the block, not 0; set to a new one of the same usable size
 * @length: as slabshm_put()
 *
 * A loop that fills the block, updates the cell, and fills the next, makes one
 * system call an update, while the thread's cache has blocks of that size.  The
 * object that the cell had goes whole.
 *
 * Return: as slabshm_publish() and slabshm_alloc(); on error @offset is as it
 * was, and still the caller's.
 */
int64_t slabshm_update(struct slabshm *s, const struct slabshm_ref *ref,
		       uint64_t *offset, size_t length);

/*
 * slabshm_assign() - make a copy of some bytes the cell's object
 * @data: the bytes, may be NULL if @length is 0
 * @length: how many; 0 makes an object without bytes, not an empty cell
 *
 * Allocates, copies and publishes.
 *
 * Return: as slabshm_alloc() and slabshm_publish().
 */
int64_t slabshm_assign(struct slabshm *s, const struct slabshm_ref *ref,
		       const void *data, size_t length);

/*
 * ---------------- Reading ----------------
 */

/**
 * struct slabshm_reader - what one thread has to do with one handle's pins
 * @state: whether it is pinned, see lib/reader.c; 0 in a child after fork()
 * @slot: where the kernel looks
 * @header: start of the control region
 * @cells: the cell table
 * @data: the slab's data
 * @max_cells: entries in the cell table that are known to be there; 0 in a
 *	child after fork()
 * @index: of the slot
 * @depth: how often it is pinned, if @state does not tell
 * @live: how many of these pins the slot stands for
 *
 * Programs read no field of it; they are here for the inline functions.
 */
struct slabshm_reader {
	uintptr_t state;
	struct slabshm_slot *slot;
	const struct slabshm_header *header;
	const struct slabshm_cell *cells;
	const char *data;
	uint32_t max_cells;
	uint32_t index;
	uint32_t depth;
	uint32_t live;
	const struct slabshm *s;
};

/**
 * struct slabshm_pin - a pin, from slabshm_pin() to slabshm_unpin()
 * @reader: the thread's
 * @s: as in @reader
 * @slot: as in @reader
 * @header: as in @reader
 * @lo: where the slot's lo was then
 *
 * Programs read no field of it.  Lies in registers mostly, which is why the
 * inline functions never give its address away.
 */
struct slabshm_pin {
	struct slabshm_reader *reader;
	const struct slabshm *s;
	struct slabshm_slot *slot;
	const struct slabshm_header *header;
	uint64_t lo;
};

/**
 * struct slabshm_view - an object in a pin
 * @data: its root block
 * @length: its length in bytes
 * @version: the commit that published it
 */
struct slabshm_view {
	const void *data;
	uint64_t length;
	uint64_t version;
};

/*
 * slabshm_pin() - begin to read objects in place
 * @pin: filled; for slabshm_get(), and for slabshm_unpin() by this same thread
 *
 * From here to slabshm_unpin() what slabshm_get() gives stays as it is, however
 * often its cell is published meanwhile.  Costs a few loads and stores: no
 * system call, no atomic read-modify-write, no fence; the thread's first pin
 * of a handle makes a system call.  Not for signal handlers.
 *
 * Pins nest.  One that begins after an outer one was withdrawn is a good one all
 * the same; the outer one's slabshm_unpin() is still -ESTALE.
 *
 * A pin keeps the space of what was replaced since it began from being used
 * again.  So do not keep it for long: after the slab's read timeout, or when
 * the slab runs out of space, the kernel withdraws it, and then what was looked
 * at may have been anything.  Therefore do not act on what you saw before
 * slabshm_unpin() said 0.
 *
 * Return: 0, or -EIO in a forked child, -EDQUOT too many readers, -ENOMEM,
 * -ENXIO, -EOVERFLOW nested a thousand times.
 */
inline int slabshm_pin(const struct slabshm *s, struct slabshm_pin *pin);

/*
 * slabshm_unpin() - end a pin
 * @pin: of slabshm_pin(), in the same thread
 *
 * Return: 0; -ESTALE the pin was withdrawn: forget what was read in it;
 * -EIO in a forked child.
 */
inline int slabshm_unpin(struct slabshm_pin *pin);

/*
 * slabshm_pin_check() - is a pin still honoured?
 * @pin: of slabshm_pin(), in the same thread
 *
 * For readers that cannot wait for slabshm_unpin(): they follow offsets, say.
 * Whatever was read in the pin before a return of 0 was good.
 *
 * Return: 0; -ESTALE the pin was withdrawn, it must still be ended; -EINVAL there
 * is no pin; -EIO in a forked child.
 */
inline int slabshm_pin_check(const struct slabshm_pin *pin);

/*
 * slabshm_unpin_all() - end all pins that the thread has of a handle
 *
 * For where an exception or a longjmp() went past slabshm_unpin().
 *
 * Return: 0, also if there was none; -ESTALE one was withdrawn; -EIO in a forked
 * child.
 */
int slabshm_unpin_all(const struct slabshm *s);

/*
 * slabshm_get() - read a cell's newest object in place
 * @pin: the pin
 * @view: the object; its version is also set with -ENODATA
 *
 * A later call in the same thread never gives an older object of that cell.
 *
 * Return: 0; -ENODATA the cell is empty; -EIDRM it was removed; -EINVAL @ref is
 * no cell's; -EIO in a forked child.
 */
inline int slabshm_get(struct slabshm_pin *pin, const struct slabshm_ref *ref,
		       struct slabshm_view *view);

/*
 * slabshm_snapshot() - a moment to read several cells as of
 * @pin: the pin
 *
 * Return: the snapshot, for slabshm_get_at() in this pin; several may be taken
 * in one pin.
 */
uint64_t slabshm_snapshot(struct slabshm_pin *pin);

/*
 * slabshm_get_at() - read a cell's object as it was at a snapshot
 * @pin: the pin
 * @snapshot: of this pin
 * @view: the object; its version is also set with -ENODATA
 *
 * Return: as slabshm_get(); -EAGAIN the cell was published twice since the
 * snapshot.
 */
int slabshm_get_at(struct slabshm_pin *pin, const struct slabshm_ref *ref,
		   uint64_t snapshot, struct slabshm_view *view);

/*
 * slabshm_get_all() - read several cells as they all were at one moment
 * @pin: the pin
 * @refs: the cells
 * @n: how many
 * @views: their objects; one without data is an empty cell
 * @tries: how many snapshots to try
 *
 * Return: 0; -EAGAIN the cells were published too fast; -EIDRM one was removed;
 * -EINVAL, -EIO.
 */
int slabshm_get_all(struct slabshm_pin *pin, const struct slabshm_ref *refs,
		    unsigned int n, struct slabshm_view *views,
		    unsigned int tries);

/*
 * slabshm_list_readers() - list the slab's readers
 *
 * Arguments as slabshm_list_slabs().  Return: entries filled, 0 at the end; -EINVAL,
 * -EINTR.
 */
int slabshm_list_readers(struct slabshm *s,
			 struct slabshm_reader_entry *entries,
			 unsigned int count, uint64_t *cursor);

/*
 * slabshm_read() - copy a cell's object out, without a system call
 * @buf: where to; undefined after an error
 * @len: bytes there
 * @version: if not NULL, the version that was read; also set with -ENODATA and
 *	-ERANGE
 *
 * A pin, a copy, and the end of the pin.  What is copied is one version of the
 * object, whole: the newest there was at some moment during the call.
 *
 * Return: the object's length; -ENODATA the cell is empty; -ERANGE the object
 * is longer than @len, see slabshm_length(); -EIDRM the cell was removed;
 * -EINVAL @ref is no cell's; else as slabshm_pin().
 */
inline ssize_t slabshm_read(const struct slabshm *s,
			    const struct slabshm_ref *ref, void *buf,
			    size_t len, uint64_t *version);

/*
 * slabshm_length() - how long a cell's object is, without a system call
 * @version: as slabshm_read()
 *
 * Return: the length; else as slabshm_read().
 */
inline int64_t slabshm_length(const struct slabshm *s,
			      const struct slabshm_ref *ref,
			      uint64_t *version);

/*
 * ---------------- Locks ----------------
 *
 * Each cell has a lock, for writers that take turns.  It belongs to the thread that
 * took it.  If that dies, with its process or alone, the next one gets -EOWNERDEAD.
 * Locks are advisory unless the slab was made with SLABSHM_ATTACH_MANDATORY.
 */

/*
 * slabshm_lock() - lock a cell
 * @timeout: milliseconds to wait at most; 0: not at all; -1: as long as it takes
 *
 * A free lock goes to the first thread that asks for it; of those that wait, the one
 * that has waited longest is served first, soon.  A signal whose handler was installed
 * with SA_RESTART does not cost a thread its place.
 *
 * Return: 0; -EOWNERDEAD the lock is held, but its last holder died: what it
 * protects may be half done, and if it is set right release the lock with
 * slabshm_unlock_consistent(); -EBUSY another holds it (@timeout 0); -ETIMEDOUT;
 * -EINTR a signal handler ran, without SA_RESTART; -EDEADLK this thread holds it
 * already, or its holder waits for this thread and no wait between them has a timeout;
 * -EIDRM the cell was removed; -EINVAL, -ENOMEM.
 */
int slabshm_lock(struct slabshm *s, const struct slabshm_ref *ref, int timeout);

/*
 * slabshm_unlock() - release the lock of a cell
 *
 * SLABSHM_PUBLISH_UNLOCK does it in the same step as a publish.
 *
 * Return: 0, -EPERM the thread does not hold it, -EIDRM.
 */
int slabshm_unlock(struct slabshm *s, const struct slabshm_ref *ref);

/*
 * slabshm_unlock_consistent() - release a lock, what it protects being right again
 *
 * After a holder died, everybody who gets the lock gets -EOWNERDEAD until one
 * of them releases it so.
 *
 * Return: as slabshm_unlock().
 */
int slabshm_unlock_consistent(struct slabshm *s, const struct slabshm_ref *ref);

/*
 * slabshm_lock_batch() - lock several cells, all or none
 * @cells: the cells, each once; out: flags is SLABSHM_LOCKED_OWNERDEAD for those
 *	whose holder died, else 0
 * @n: 1 to SLABSHM_BATCH_MAX
 * @timeout: as slabshm_lock(), for all of them together
 * @failed: if not NULL, on error: index of the refused cell, or UINT_MAX
 *
 * They are locked in the order of their indices, so that calls of several
 * processes do not deadlock.
 *
 * Return: as slabshm_lock().
 */
int slabshm_lock_batch(struct slabshm *s, struct slabshm_lock_cell *cells,
		       unsigned int n, int timeout, unsigned int *failed);

/*
 * slabshm_unlock_batch() - release several locks, all or none
 * @cells: the cells, each once; SLABSHM_UNLOCK_CONSISTENT may be in their flags
 * @n: 1 to SLABSHM_BATCH_MAX
 * @failed: if not NULL, on error: index of the refused cell
 *
 * Return: as slabshm_unlock().
 */
int slabshm_unlock_batch(struct slabshm *s,
			 const struct slabshm_lock_cell *cells, unsigned int n,
			 unsigned int *failed);

/*
 * slabshm_list_locks() - list the holders of the slab's locks, and the waiters
 *
 * Arguments as slabshm_list_slabs().  Return: entries filled, 0 at the end; -EINVAL,
 * -EINTR.
 */
int slabshm_list_locks(struct slabshm *s, struct slabshm_lock_entry *entries,
		       unsigned int count, uint64_t *cursor);

/*
 * ---------------- Waiting and watching ----------------
 */

/*
 * slabshm_wait() - sleep until a cell has another version
 * @version: the version that is known, as slabshm_read() returned it
 * @timeout: milliseconds to wait at most; -1: as long as it takes
 *
 * Makes no system call if the cell has another version already, be it that of an
 * object that slabshm_compact() has moved.
 *
 * Return: the newest version; -ETIMEDOUT; -EINTR a signal handler ran, without
 * SA_RESTART; -EIDRM the cell was removed; -EINVAL, -ENOMEM.
 */
int64_t slabshm_wait(struct slabshm *s, const struct slabshm_ref *ref,
		     uint64_t version, int timeout);

/*
 * slabshm_wait_any() - sleep until one of several cells has another version
 * @cells: the cells, and the versions that are known; out: the newest versions,
 *	and flags is SLABSHM_WAIT_CHANGED for those that have changed, else 0
 * @n: 1 to SLABSHM_BATCH_MAX
 * @timeout: as slabshm_wait()
 * @failed: if not NULL, on error: index of the refused cell, or UINT_MAX
 *
 * Return: how many have changed; else as slabshm_wait().
 */
int slabshm_wait_any(struct slabshm *s, struct slabshm_wait_cell *cells,
		     unsigned int n, int timeout, unsigned int *failed);

/*
 * slabshm_watch() - get an event on the handle's descriptor when a cell changes
 * @ref: the cell; NULL: all, also those to come
 * @flags: 0: of changes from now on; SLABSHM_WATCH_SINCE: after @version
 * @version: with SINCE: what is known of the cell, or of the clock; otherwise 0
 *
 * poll(2) and its like then give POLLIN for slabshm_fd() while there are events for
 * slabshm_events().  A watch is the handle's, not the thread's; it ends with the
 * handle (POLLHUP for copies of its descriptor), by slabshm_unwatch(), or after the
 * event that its cell was removed.
 *
 * Return: the cell's version now, or the clock; -EEXIST it is watched already,
 * -EDQUOT too many watches, -EIDRM, -EINVAL, -ENOMEM.
 */
int64_t slabshm_watch(struct slabshm *s, const struct slabshm_ref *ref,
		      unsigned int flags, uint64_t version);

/*
 * slabshm_unwatch() - end a watch
 * @ref: the cell; NULL: the watch of all
 *
 * An event of it that was not taken yet goes with it.
 *
 * Return: 0, -ENOENT there is none.
 */
int slabshm_unwatch(struct slabshm *s, const struct slabshm_ref *ref);

/*
 * slabshm_events() - take events
 * @events: filled
 * @n: size of @events
 * @timeout: milliseconds to wait at most if there is none; 0: not at all; -1: as
 *	long as it takes
 *
 * A cell that was published many times gives one event, with its newest version;
 * with a watch of all, there may be two events of a version.
 *
 * Return: how many there are; -ETIMEDOUT none; -EINTR as slabshm_wait(); -EINVAL.
 */
int slabshm_events(struct slabshm *s, struct slabshm_event *events,
		   unsigned int n, int timeout);

/*
 * slabshm_cancel() - end the waits of a handle's threads
 * @on: 1: each slabshm_lock(), slabshm_wait() and slabshm_events() that sleeps, in
 *	any thread, and each to come that would, fails with -ECANCELED; 0: those to
 *	come sleep again
 *
 * Return: 0, -EINTR.
 */
int slabshm_cancel(struct slabshm *s, int on);

/*
 * ---------------- The inline functions ----------------
 *
 * The library has them as ordinary symbols as well, for languages that cannot
 * include this.
 */

inline void *slabshm_ptr(const struct slabshm *s, uint64_t offset)
{
	if (!__atomic_load_n(s->alive, __ATOMIC_RELAXED))
		return NULL;
	/* The size is there before the first block beyond the old one is. */
	if (offset - 1 >= __atomic_load_n(&s->header->size,
					  __ATOMIC_RELAXED) - 1)
		return NULL;
	return s->data + offset;
}

inline uint64_t slabshm_offset(const struct slabshm *s, const void *ptr)
{
	uint64_t offset = (uintptr_t)ptr - (uintptr_t)s->data;

	return offset < s->max_size ? offset : 0;
}

/* glibc keeps some of this space for libraries that are loaded later, musl not. */
#ifdef __GLIBC__
#define __SLABSHM_TLS __attribute__((tls_model("initial-exec")))
#else
#define __SLABSHM_TLS
#endif

/* The thread's reader that was used last, never NULL. */
extern __thread struct slabshm_reader *__slabshm_reader
	__SLABSHM_TLS;

int __slabshm_pin_slow(const struct slabshm *s, struct slabshm_pin *pin);
int __slabshm_unpin_slow(const struct slabshm_pin *pin);
int __slabshm_check_slow(const struct slabshm_pin *pin);
int __slabshm_get_slow(struct slabshm_reader *reader,
		       const struct slabshm_ref *ref,
		       struct slabshm_view *view);
ssize_t __slabshm_read_slow(const struct slabshm *s,
			    const struct slabshm_ref *ref, void *buf,
			    size_t len, uint64_t *version);

/* What it must know the library says, which takes the slow path then (lib/tools.h). */
#if defined(__SANITIZE_THREAD__)
#define __SLABSHM_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define __SLABSHM_TSAN 1
#endif
#endif

/* Loads before it come before loads after it.  With TSan gcc refuses fences. */
inline __attribute__((__always_inline__)) void
__slabshm_load_fence(void)
{
#ifndef __SLABSHM_TSAN
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
#elif defined(__aarch64__)
	__asm__ volatile("dmb ishld" ::: "memory");
#else
	__asm__ volatile("" ::: "memory");
#endif
}

/*
 * A load for one compare, with a compiler barrier on either side: a plain one is
 * one access where words have 64 bits, and becomes one instruction with the
 * compare, which gcc does to no atomic load.
 */
#ifdef __LP64__
#define __SLABSHM_LOAD(p) (*(p))
#else
#define __SLABSHM_LOAD(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#endif

/*
 * Stores to the slot, then loads of the clock and of cells: nothing but the
 * compiler keeps these in order here.  The kernel's grace period does the rest
 * (reclaim_work() in kmod/reclaim.c); where it cannot, the reader's state sends
 * it to __slabshm_pin_slow(), which has a fence.
 */
inline int slabshm_pin(const struct slabshm *s, struct slabshm_pin *pin)
{
	struct slabshm_reader *r = __slabshm_reader;
	struct slabshm_pin slow;
	int ret;

	/* Idle, of this handle, not a forked child's: all at once */
	if (__builtin_expect(r->state != (uintptr_t)s, 0)) {
		ret = __slabshm_pin_slow(s, &slow);
		*pin = slow;
		pin->s = s;
		return ret;
	}
	r->state = 1;
	pin->reader = r;
	pin->s = s;
	pin->slot = r->slot;
	pin->header = r->header;
	/* Pairs with the release in the kernel's slabshm_cells_commit(). */
	pin->lo = __atomic_load_n(&pin->header->commit, __ATOMIC_ACQUIRE);
	__atomic_store_n(&pin->slot->hi, pin->lo, __ATOMIC_RELAXED);
	__atomic_store_n(&pin->slot->lo, pin->lo, __ATOMIC_RELAXED);
	/* Pairs with the grace period in reclaim_work(). */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	return 0;
}

inline int slabshm_unpin(struct slabshm_pin *pin)
{
	struct slabshm_reader *r = pin->reader;
	struct slabshm_pin slow;

	if (__builtin_expect(r->state != 1, 0)) {
		slow = *pin;
		return __slabshm_unpin_slow(&slow);
	}
	/*
	 * What was read in the pin was loaded before this word: if it was
	 * reused memory, the word is above lo.  Pairs with the smp_wmb() in
	 * reader_evict().
	 */
	__slabshm_load_fence();
	if (__builtin_expect(__SLABSHM_LOAD(&pin->header->evicted) > pin->lo, 0)) {
		slow = *pin;
		return __slabshm_unpin_slow(&slow);
	}
	r->state = (uintptr_t)pin->s;
	/* Pairs with the load-acquire in the kernel's slabshm_readers_scan(). */
	__atomic_store_n(&pin->slot->lo, 0, __ATOMIC_RELEASE);
	return 0;
}

inline int slabshm_pin_check(const struct slabshm_pin *pin)
{
	struct slabshm_pin slow;

	/* The barrier is that of slabshm_unpin() */
	__slabshm_load_fence();
	if (__builtin_expect(pin->reader->state == 1 &&
			     __SLABSHM_LOAD(&pin->header->evicted) <= pin->lo, 1))
		return 0;
	slow = *pin;
	return __slabshm_check_slow(&slow);
}

/*
 * The version @v, which the cell's newest commit @commit wrote, if it may be
 * used in a pin up to @hi and there is an object; otherwise 0.
 */
inline __attribute__((__always_inline__)) int
__slabshm_look(const struct slabshm_reader *r, uint64_t hi,
	       const struct slabshm_ref *ref, const struct slabshm_version *v,
	       uint64_t commit, struct slabshm_view *view)
{
	/* Not in the pin yet, or not published yet: the clock must be asked */
	if (__builtin_expect(commit > hi, 0))
		return 0;
	view->data = r->data + __atomic_load_n(&v->offset, __ATOMIC_RELAXED);
	/* A plain load, so that it is left out where nobody wants to know */
	view->length = v->length;
	/*
	 * Pairs with the write barrier after the kernel's store of 0 to the
	 * tag: had one of these come from a younger version, or in pieces, the
	 * tag would not be that of the commit any more.
	 */
	__slabshm_load_fence();
	if (__builtin_expect(__SLABSHM_LOAD(&v->tag) !=
			     commit + ref->generation, 0))
		return 0;
	view->version = commit;
	return 1;
}

/*
 * The newest object of a cell.  The two acquires pair with the write barrier
 * before the kernel stores the commit (slabshm_cell_write() in kmod/cell.c):
 * offset, length and tag, loaded later, are of that commit or of a younger one.
 */
inline __attribute__((__always_inline__)) int
__slabshm_find(const struct slabshm_reader *r, uint64_t hi,
	       const struct slabshm_ref *ref, struct slabshm_view *view)
{
	const struct slabshm_version *v;
	uint64_t c0, c1;

	if (__builtin_expect(ref->cell >= r->max_cells, 0))
		return 0;
	v = r->cells[ref->cell].version;
	c0 = __atomic_load_n(&v[0].commit, __ATOMIC_ACQUIRE);
	c1 = __atomic_load_n(&v[1].commit, __ATOMIC_ACQUIRE);
	/* The first object of a cell is in version 1 */
	if (__builtin_expect(c1 > c0, 1))
		return __slabshm_look(r, hi, ref, &v[1], c1, view);
	return __slabshm_look(r, hi, ref, &v[0], c0, view);
}

inline int slabshm_get(struct slabshm_pin *pin, const struct slabshm_ref *ref,
		       struct slabshm_view *view)
{
	struct slabshm_view slow;
	int ret;

	if (__builtin_expect(__slabshm_find(pin->reader, pin->lo, ref, view), 1))
		return 0;
	ret = __slabshm_get_slow(pin->reader, ref, &slow);
	*view = slow;
	return ret;
}

inline int64_t slabshm_length(const struct slabshm *s,
			      const struct slabshm_ref *ref,
			      uint64_t *version)
{
	struct slabshm_view view;
	struct slabshm_pin pin;
	int ret = slabshm_pin(s, &pin);

	if (ret)
		return ret;
	ret = slabshm_get(&pin, ref, &view);
	if (version && (!ret || ret == -ENODATA))
		*version = view.version;
	/* The cell table is never reused, so an eviction is no matter here */
	slabshm_unpin(&pin);
	return ret ? ret : (int64_t)view.length;
}

/*
 * A pin, a get and an unpin, without the reader's state: no other pin of the
 * thread can come between.  What is out of the ordinary begins anew there.
 */
inline __attribute__((__always_inline__)) ssize_t
slabshm_read(const struct slabshm *s, const struct slabshm_ref *ref, void *buf,
	     size_t len, uint64_t *version)
{
	struct slabshm_reader *r = __slabshm_reader;
	const struct slabshm_header *header;
	struct slabshm_slot *slot;
	struct slabshm_view view;
	uint64_t lo;
	int found;

	/* Who asks for nothing but the version: memcpy() takes no NULL */
	if (__builtin_constant_p(!buf) && !buf)
		return __slabshm_read_slow(s, ref, buf, len, version);
	if (__builtin_expect(r->state != (uintptr_t)s, 0))
		return __slabshm_read_slow(s, ref, buf, len, version);
	slot = r->slot;
	header = r->header;
	/* The barriers are those of slabshm_pin() and slabshm_unpin() */
	lo = __atomic_load_n(&header->commit, __ATOMIC_ACQUIRE);
	__atomic_store_n(&slot->hi, lo, __ATOMIC_RELAXED);
	__atomic_store_n(&slot->lo, lo, __ATOMIC_RELAXED);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	found = __slabshm_find(r, lo, ref, &view) && view.length <= len;
	if (__builtin_expect(found, 1))
		memcpy(buf, view.data, (size_t)view.length);
	__slabshm_load_fence();
	if (__builtin_expect(__SLABSHM_LOAD(&header->evicted) > slot->lo, 0))
		found = 0;
	__atomic_store_n(&slot->lo, 0, __ATOMIC_RELEASE);
	if (__builtin_expect(!found, 0))
		return __slabshm_read_slow(s, ref, buf, len, version);
	if (version)
		*version = view.version;
	return (ssize_t)view.length;
}

#pragma GCC visibility pop
#ifdef __cplusplus
#pragma GCC diagnostic pop
}
#endif

#endif /* SLABSHM_H */
