/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * slabshm: a heap that many processes share
 *
 * This header is the whole contract between the module and user space.  It
 * describes the ioctls of /dev/slabshm, the three mappings of a client, and
 * how published objects are read without a call.
 *
 * Vocabulary.  A *slab* is one heap; a *client* is one open of /dev/slabshm
 * attached to a slab; a *block* is one allocation, named by its offset in the
 * slab's data, the same number in every process; a *cell* is a named pointer
 * to the root block of one object, with a version; a *part* is a further
 * block of a cell's object; the *commit* is the slab's clock: each publish
 * takes the next value, and the commit that wrote a cell is its version.
 *
 * Extensibility.  The size of each argument is in its ioctl number.  A kernel
 * that is older than the program accepts a longer argument whose unknown tail
 * is zero (-E2BIG otherwise); a newer kernel fills up a shorter one with
 * zeros.  Unknown flags and non-zero reserved fields are -EINVAL.
 *
 * The client.  Each argument begins with two words, @flags and @client.  The
 * latter is the number that ATTACH returned, which no other client has while
 * this one lives.  It is compared before anything else, so that a descriptor that
 * was closed and is another client's by now is -ENOTCONN, and nothing is changed
 * there.  Calls that need no attached client (ATTACH, UNLINK, and LIST of SLABS)
 * take 0 on any descriptor of the device.
 *
 * Errors.  A call that fails has changed nothing (but with EOWNERDEAD, LOCK has
 * locked).  Meanings that all calls
 * share (each call lists its own below):
 *
 *  EFAULT	an argument cannot be read or written
 *  EINVAL	an unknown flag, a reserved field that is not zero, a count of
 *		zero or above its limit, an argument shorter than the first ABI
 *  E2BIG	the argument's tail, which this kernel does not know, is not zero
 *  ENOTTY	no such ioctl
 *  EIO		the calling address space is not the one that attached
 *  ENOTCONN	the client is not attached to a slab, or is not the one that
 *		@client names
 *  ENXIO	the client has no reader mapping: it was not mapped yet, or its
 *		last mapping is gone and the client with it
 *  EACCES	the client lacks the write right, or the slab's mode forbids it
 *  EPERM	the caller does not own what it wants to change
 *  ENOMEM	no memory for metadata, or none to back the slab's data
 *  ENOSPC	the slab is full and may not grow further
 *  EDQUOT	a limit of the user, of the slab or of the client is reached
 *  ESTALE	the pin was evicted
 *  EIDRM	the cell was removed; its handle will never be valid again
 *  EINTR	a fatal signal came while waiting; LOCK, WAIT and EVENTS: any signal
 *		whose handler was installed without SA_RESTART
 *  ETIMEDOUT	the deadline passed
 *  ECANCELED	LOCK, WAIT and EVENTS: CANCEL ended the wait
 *
 * open(2) of the device needs O_RDWR (-EACCES otherwise).  Fixed-width types
 * only; every structure has the same layout for 32-bit and 64-bit callers.
 */
#ifndef _UAPI_LINUX_SLABSHM_H
#define _UAPI_LINUX_SLABSHM_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define SLABSHM_ABI_VERSION	1

#define SLABSHM_IOC_TYPE	0xB5
#define SLABSHM_MAGIC		0x6d687362616c73ULL	/* "slabshm" */
#define SLABSHM_NAME_MAX	256	/* bytes of a name with its NUL */
#define SLABSHM_BATCH_MAX	64	/* blocks, cells or parts in one call */
#define SLABSHM_GRANULE		64	/* sizes are rounded up to this */
#define SLABSHM_ALIGN_MAX	(2ULL << 20)	/* largest alignment of a block */
#define SLABSHM_SIZE_MAX	(1ULL << 42)	/* largest maximum size of a slab */
#define SLABSHM_CELLS_DEFAULT	65536
#define SLABSHM_CELLS_MAX	(1U << 27)	/* most cells of a slab */

/*
 * Deadlines are nanoseconds of CLOCK_MONOTONIC, so that a call may be made again
 * after a signal as it was; one that has passed lets the call look, but not
 * sleep.
 */
#define SLABSHM_DEADLINE_NEVER	0xffffffffffffffffULL

/*
 * The control region: always read-only, mapped at its maximum size
 */

/* In slabshm_version.tag: the cell was empty, or there was none */
#define SLABSHM_VERSION_EMPTY	(1ULL << 63)

/**
 * struct slabshm_version - one of the two versions of a cell
 * @commit: the commit that wrote it; 0 while it is being overwritten
 * @offset: the object's root block, 0 for an empty cell
 * @length: the object's length in bytes, at most the size of its root block
 * @tag: @commit plus the cell's generation then, and %SLABSHM_VERSION_EMPTY;
 *	0 while it is being overwritten
 */
struct slabshm_version {
	__aligned_u64 commit;
	__aligned_u64 offset;
	__aligned_u64 length;
	__aligned_u64 tag;
};

/**
 * struct slabshm_cell - one line of the cell table
 * @version: the newest version and the one before it, in either order
 *
 * To read a cell as of commit S, where S was loaded (acquire) from
 * slabshm_header.commit:
 *
 *	1. load both commits (acquire); take the larger of those in 1..S; none:
 *	   the cell has moved on, and a later S is needed
 *	2. load that version's offset and length
 *	3. read barrier; is its tag that commit plus the handle's generation?
 *	   Then this is the object
 *	4. otherwise, if the tag is 0 or the commit has changed: start over
 *	5. otherwise the cell was empty, or had another generation: the one of
 *	   the handle was removed (-EIDRM)
 *
 * So one word shows that the version was not overwritten meanwhile, that it is
 * of this cell and not of one that had the line before or has it now, and that
 * there is an object.  A cell that is removed gets an empty version of the next
 * generation.
 *
 * The header's commit decides: a version above it does not exist yet.  The
 * kernel's side, with the partners of these barriers, is slabshm_cell_write()
 * in kmod/cell.c.
 */
struct slabshm_cell {
	struct slabshm_version version[2];
};

/* slabshm_header.classes has this many entries, unused ones are 0 */
#define SLABSHM_CLASSES_MAX	64

/* What the page map says of a page of data */
#define SLABSHM_PAGE_NONE	0	/* free, or inside a large block */
#define SLABSHM_PAGE_EXTENT	255	/* first page of a large block: ask BLOCK */
					/* 1 to 254: of blocks of class N - 1 */
					/* a large one's first page alone */

/* A reader puts a full fence after the stores to its slot */
#define SLABSHM_HEADER_READER_FENCE	(1U << 0)

/**
 * struct slabshm_header - first page of the control region
 * @magic: %SLABSHM_MAGIC
 * @abi: %SLABSHM_ABI_VERSION of the module
 * @flags: SLABSHM_HEADER_*
 * @features: bits for what this module can do beyond the first ABI; 0 now
 * @id: the slab's number, unique until the module is unloaded
 * @max_size: bytes of data that the slab may grow to
 * @cells_offset: where the cell table starts, from the header
 * @map_offset: where the page map starts, from the header: one byte for each
 *	page of data (%SLABSHM_PAGE_NONE ...)
 * @max_cells: entries in the cell table
 * @page_shift: log2 of the size of the pages that the page map speaks of
 * @reserved0: 0
 * @commit: the clock; on a cache line of its own, as it is written often
 * @reserved1: 0
 * @size: bytes of data now; only grows
 * @evicted: the clock when the kernel withdrew a pin last, 0 if it never did:
 *	a pin with a lo at or above this was not withdrawn
 * @cells_ready: entries of the cell table that may be read; only grows.
 *	To touch a page of the region that is not there yet is SIGBUS
 * @pressure: changes when an allocation is about to fail, or to take from
 *	readers: clients then free the blocks that they only keep in stock
 * @reserved2: 0
 * @classes: bytes of a block of each size class
 */
struct slabshm_header {
	__aligned_u64 magic;
	__u32 abi;
	__u32 flags;
	__aligned_u64 features;
	__aligned_u64 id;
	__aligned_u64 max_size;
	__aligned_u64 cells_offset;
	__aligned_u64 map_offset;
	__u32 max_cells;
	__u32 page_shift;

	__aligned_u64 reserved0[8];

	__aligned_u64 commit;
	__aligned_u64 reserved1[7];

	__aligned_u64 size;
	__aligned_u64 evicted;
	__u32 cells_ready;
	__u32 pressure;
	__u32 reserved2[10];

	__u32 classes[SLABSHM_CLASSES_MAX];
};

/*
 * The reader region: written by its client, only read by the kernel
 */

/**
 * struct slabshm_slot - what one thread may be reading
 * @lo: 0: nothing.  Otherwise, with @hi: blocks that were current at some
 *	moment after commit @lo and were published at or before commit @hi
 * @hi: see @lo
 * @reserved: the client's own
 *
 * A retired block that was published or attached at commit B and retired at
 * commit R is kept while a slot has R > lo and B <= hi, and has had this lo ever
 * since R, as far as scans of the slots have seen.  A reader follows this
 * protocol, in which only the acquire loads need instructions of their own, on
 * some machines; all else is kept in order by the kernel's grace period
 * (Documentation/protocol.rst):
 *
 *	pin:	  H = header.commit (acquire); hi = H; lo = H; compiler barrier
 *	get:	  pick the newest version; its commit <= hi: use it; otherwise
 *		  advance, and pick as of commit hi
 *	advance:  hi = ~0; compiler barrier; S = header.commit (acquire); hi = S
 *	unpin:	  acquire fence; e = header.evicted; lo = 0 (release);
 *		  e > H: ask READER_CHECK whether this pin was withdrawn
 *
 * With %SLABSHM_HEADER_READER_FENCE the compiler barriers are full fences.
 */
struct slabshm_slot {
	__aligned_u64 lo;
	__aligned_u64 hi;
	__aligned_u64 reserved[6];
};

/*
 * Slabs
 */

#define SLABSHM_ATTACH_CREATE	(1U << 0)  /* make the slab if there is none */
#define SLABSHM_ATTACH_EXCL	(1U << 1)  /* with CREATE: -EEXIST if there is one */
#define SLABSHM_ATTACH_RDONLY	(1U << 2)  /* ask for the read right alone */
#define SLABSHM_ATTACH_OWNER	(1U << 3)  /* the slab must belong to @owner */
#define SLABSHM_ATTACH_FD	(1U << 4)  /* to the slab of the client @fd */
#define SLABSHM_ATTACH_PERSIST	(1U << 5)  /* with CREATE: lives until unlinked */
#define SLABSHM_ATTACH_FIXED	(1U << 6)  /* with CREATE: ALLOC does not grow it */
#define SLABSHM_ATTACH_MANDATORY (1U << 7) /* with CREATE: while a thread holds a
					    * cell's lock, no other can change
					    * the cell
					    */

#define SLABSHM_READ_TIMEOUT_NEVER	0xffffffffU

#define SLABSHM_ATTACHED_CREATED (1U << 0) /* this call made the slab */

/**
 * struct slabshm_attach_args - make a slab, or find one, and become its client
 * @flags: SLABSHM_ATTACH_*
 * @client: in: 0; out: this client's number
 * @mode: CREATE: permission bits, 0 to 0777, less the caller's umask
 * @fd: FD: descriptor of an attached client; the new client gets no more
 *	rights than that one has
 * @max_size: CREATE: bytes the slab may grow to, rounded up to pages;
 *	out: the slab's
 * @size: CREATE: bytes at the start, rounded up to pages, at most @max_size;
 *	out: the slab's present size
 * @owner: OWNER: user id, in the caller's user namespace
 * @max_cells: CREATE: cells, at most %SLABSHM_CELLS_MAX, 0 for
 *	%SLABSHM_CELLS_DEFAULT; out: the slab's
 * @read_timeout: CREATE: milliseconds for which a reader may keep a retired
 *	block from being reclaimed, 0 for the module's default,
 *	%SLABSHM_READ_TIMEOUT_NEVER for no limit
 * @held_limit: CREATE: bytes that readers may keep from being reclaimed, before
 *	those that keep the most are evicted; 0 for a quarter of @max_size
 * @result: out: SLABSHM_ATTACHED_*
 * @abi: out: %SLABSHM_ABI_VERSION of the module
 * @pad: 0
 * @features: out: as slabshm_header.features
 * @id: out: as slabshm_header.id
 * @data_offset: out: mmap offset of the data; its size is @max_size
 * @control_offset: out: mmap offset of the control region
 * @control_size: out: its size, the only one that can be mapped
 * @reader_offset: out: mmap offset of the client's reader region
 * @reader_size: out: its size, the only one that can be mapped
 * @name: the slab's name, NUL-terminated, without '/' and control characters,
 *	in the caller's network namespace.  Empty: with CREATE an unnamed slab,
 *	which others reach by a descriptor; must be empty with FD
 *
 * CREATE without EXCL attaches to an existing slab as it is, and ignores
 * @mode, the sizes and limits, PERSIST, FIXED and MANDATORY then.  One client
 * attaches once.  The client is bound to the calling address space; a child
 * after fork() opens its own.
 *
 * Errors: EINVAL a bad name, size, mode or combination of flags; EISCONN
 * attached already; ENOENT no slab of that name; EEXIST; EACCES the mode
 * forbids it; EPERM the slab is not @owner's; EBADF @fd is no attached client
 * of this device; EFBIG the size is above RLIMIT_FSIZE; ENOMEM; EINTR;
 * EDQUOT too many slabs, clients or bytes of this user, or clients of this
 * slab.
 */
struct slabshm_attach_args {
	__u32 flags;
	__u32 client;
	__u32 mode;
	__s32 fd;
	__aligned_u64 max_size;
	__aligned_u64 size;
	__u32 owner;
	__u32 max_cells;
	__u32 result;
	__u32 abi;
	__u32 read_timeout;
	__u32 pad;
	__aligned_u64 held_limit;
	__aligned_u64 features;
	__aligned_u64 id;
	__aligned_u64 data_offset;
	__aligned_u64 control_offset;
	__aligned_u64 control_size;
	__aligned_u64 reader_offset;
	__aligned_u64 reader_size;
	char name[SLABSHM_NAME_MAX];
};

#define SLABSHM_IOC_ATTACH	_IOWR(SLABSHM_IOC_TYPE, 0, struct slabshm_attach_args)

/**
 * struct slabshm_unlink_args - take a slab's name away
 * @flags: 0
 * @client: 0, or the client's number
 * @name: as in ATTACH, not empty
 *
 * The slab goes when its last client has.  For the slab's owner, and for
 * CAP_FOWNER.  Needs no attached client.
 *
 * Errors: EINVAL, ENOENT, EPERM.
 */
struct slabshm_unlink_args {
	__u32 flags;
	__u32 client;
	char name[SLABSHM_NAME_MAX];
};

#define SLABSHM_IOC_UNLINK	_IOW(SLABSHM_IOC_TYPE, 1, struct slabshm_unlink_args)

#define SLABSHM_SETATTR_MODE	(1U << 0)
#define SLABSHM_SETATTR_UID	(1U << 1)
#define SLABSHM_SETATTR_GID	(1U << 2)

/**
 * struct slabshm_setattr_args - chmod and chown the slab
 * @flags: SLABSHM_SETATTR_*, which of the following to set
 * @client: the client's number
 * @mode: permission bits, 0 to 0777
 * @uid: user id in the caller's user namespace
 * @gid: group id in the caller's user namespace
 * @pad: 0
 *
 * The rules are those of chmod(2) and chown(2).  Clients keep the rights that
 * they attached with.
 *
 * Errors: EINVAL, EPERM, ENOTCONN, EIO.
 */
struct slabshm_setattr_args {
	__u32 flags;
	__u32 client;
	__u32 mode;
	__u32 uid;
	__u32 gid;
	__u32 pad;
};

#define SLABSHM_IOC_SETATTR	_IOW(SLABSHM_IOC_TYPE, 2, struct slabshm_setattr_args)

/*
 * Blocks
 */

/**
 * struct slabshm_block - one block to allocate
 * @offset: out: where it is; never 0
 * @size: in: bytes, 1 to the slab's maximum; out: bytes that may be used
 */
struct slabshm_block {
	__aligned_u64 offset;
	__aligned_u64 size;
};

#define SLABSHM_ALLOC_ZERO		(1U << 0)  /* fill with zeros */
#define SLABSHM_ALLOC_NOGROW		(1U << 1)  /* -ENOSPC rather than grow the slab */
#define SLABSHM_ALLOC_OPPORTUNISTIC	(1U << 2)  /* fail rather than take from others */

/**
 * struct slabshm_alloc_args - allocate blocks, all or none
 * @flags: SLABSHM_ALLOC_*
 * @client: the client's number
 * @blocks: address of @count struct slabshm_block
 * @align: 0, or a power of two up to %SLABSHM_ALIGN_MAX; at least 64 is given
 * @count: 1 to %SLABSHM_BATCH_MAX
 * @pad: 0
 *
 * The blocks belong to the client until it frees or publishes them, or ends.
 * A store into an allocated block never lacks memory.
 *
 * Before it fails for want of space, the call raises slabshm_header.pressure
 * and evicts readers; with OPPORTUNISTIC, which is for blocks that nobody needs
 * yet, it does neither.
 *
 * Errors: EINVAL a size of 0 or a bad alignment; ENOSPC (also for a size
 * above the slab's maximum), ENOMEM, EFBIG growth is above RLIMIT_FSIZE;
 * EDQUOT, EINTR, EACCES, ENXIO, ENOTCONN, EIO.
 */
struct slabshm_alloc_args {
	__u32 flags;
	__u32 client;
	__aligned_u64 blocks;
	__aligned_u64 align;
	__u32 count;
	__u32 pad;
};

#define SLABSHM_IOC_ALLOC	_IOWR(SLABSHM_IOC_TYPE, 5, struct slabshm_alloc_args)

/**
 * struct slabshm_free_args - free blocks that were not published, all or none
 * @flags: 0
 * @client: the client's number
 * @offsets: address of @count __u64 offsets
 * @count: 1 to %SLABSHM_BATCH_MAX
 * @failed: out, on error: index of the block that was refused
 *
 * Needs no memory.
 *
 * Errors: EINVAL no block starts there, or it is named twice; EPERM the
 * block is another client's; EBUSY it is published, and so its cell's, or is
 * being published now; EACCES, ENXIO, ENOTCONN, EIO.
 */
struct slabshm_free_args {
	__u32 flags;
	__u32 client;
	__aligned_u64 offsets;
	__u32 count;
	__u32 failed;
};

#define SLABSHM_IOC_FREE	_IOWR(SLABSHM_IOC_TYPE, 6, struct slabshm_free_args)

enum slabshm_block_state {
	SLABSHM_BLOCK_OWN = 1,		/* allocated by this client */
	SLABSHM_BLOCK_FOREIGN = 2,	/* allocated by another client */
	SLABSHM_BLOCK_PUBLISHED = 3,	/* a cell's, or retired */
};

/**
 * struct slabshm_block_args - ask about a block
 * @flags: 0
 * @client: the client's number
 * @offset: any offset inside a small block, or inside the first page of a
 *	large one
 * @start: out: the block's own offset
 * @size: out: bytes that may be used from @start
 * @state: out: enum slabshm_block_state
 * @pad: 0
 *
 * Errors: EINVAL there is no block; ENOTCONN, EIO.
 */
struct slabshm_block_args {
	__u32 flags;
	__u32 client;
	__aligned_u64 offset;
	__aligned_u64 start;
	__aligned_u64 size;
	__u32 state;
	__u32 pad;
};

#define SLABSHM_IOC_BLOCK	_IOWR(SLABSHM_IOC_TYPE, 7, struct slabshm_block_args)

/**
 * struct slabshm_grow_args - grow the slab's data
 * @flags: 0
 * @client: the client's number
 * @size: in: bytes that the slab should have, rounded up to pages; out: has
 *
 * Grows in steps of at most 2 MiB and checks for signals between them.  The
 * steps done are kept, so after an error other than EFAULT, @size is how far it
 * came.  A size at or below the present one is no error.
 *
 * Errors: ENOSPC @size is above the slab's maximum; EFBIG it is above
 * RLIMIT_FSIZE (no signal is sent); ENOMEM, EDQUOT; EINTR any signal, before
 * the end; EACCES, ENXIO, ENOTCONN, EIO.
 */
struct slabshm_grow_args {
	__u32 flags;
	__u32 client;
	__aligned_u64 size;
};

#define SLABSHM_IOC_GROW	_IOWR(SLABSHM_IOC_TYPE, 8, struct slabshm_grow_args)

/**
 * struct slabshm_trim_args - give memory of free blocks back to the system
 * @flags: 0
 * @client: the client's number
 * @bytes: in: at most this many, 0 for as many as can be; out: given back
 *
 * Gives back whole pages that are free, and none of a run of small blocks of
 * which one is in use.  The slab's size stays, and so does what its maker is
 * charged; what is given back is taken again, which may fail (ENOMEM), before ALLOC
 * returns it, or by whoever touches it.
 *
 * Errors: EINTR a signal, before anything was given back; ENOMEM, EACCES,
 * ENXIO, ENOTCONN, EIO.
 */
struct slabshm_trim_args {
	__u32 flags;
	__u32 client;
	__aligned_u64 bytes;
};

#define SLABSHM_IOC_TRIM	_IOWR(SLABSHM_IOC_TYPE, 9, struct slabshm_trim_args)

/**
 * struct slabshm_compact_args - move objects out of sparsely used pages
 * @flags: 0
 * @client: the client's number
 * @bytes: in: stop when this many have been moved, 0 for no limit; out: moved
 * @cursor: in: 0 to start; out: what to give next time, 0 at the end
 *
 * Pages are divided into blocks of one size.  Where few of them are in use the rest
 * is of no use to other sizes; this call moves objects from such pages to fuller
 * ones, so that whole pages become free.  It moves the objects of cells made with
 * MOVABLE that consist of one block, while nobody holds the cell's lock and it is
 * consistent; pages that hold anything else as well are left alone.
 *
 * A moved object is the same bytes in another block, with a new version of its
 * cell, which does not count as a change: WAIT, WATCH and the list of cells do not
 * show it, and EXPECT and WAIT take the version before for the present one.  As of a
 * commit before the last change, the cell has moved on.  Readers keep the old block
 * as they keep what a publish replaces.
 *
 * Asks for blocks that programs keep in stock first (slabshm_header.pressure), and
 * checks up to 4,096 runs of pages in one call.
 *
 * Errors, if nothing was moved: EBUSY readers hold back half of the slab's held
 * limit; EINTR a signal; EDQUOT the client's limit of bytes, or what its user may
 * have of the kernel's memory; ENOMEM, EACCES, ENXIO, ENOTCONN, EIO.
 */
struct slabshm_compact_args {
	__u32 flags;
	__u32 client;
	__aligned_u64 bytes;
	__aligned_u64 cursor;
};

#define SLABSHM_IOC_COMPACT	_IOWR(SLABSHM_IOC_TYPE, 23, struct slabshm_compact_args)

/*
 * Cells
 */

#define SLABSHM_CELL_CREATE	(1U << 0)  /* make the cell if there is none */
#define SLABSHM_CELL_EXCL	(1U << 1)  /* with CREATE: -EEXIST if there is one */
#define SLABSHM_CELL_MOVABLE	(1U << 2)  /* with CREATE: a new one's object may
					    * be moved by COMPACT
					    */

/**
 * struct slabshm_cell_open_args - find or make a cell
 * @flags: SLABSHM_CELL_*
 * @client: the client's number
 * @generation: out: its generation
 * @cell: out: its index in the cell table; the two are the cell's handle
 * @pad: 0
 * @name: NUL-terminated, not empty, without control characters
 *
 * A new cell is empty.  With MOVABLE, whoever reads its objects does so in a pin
 * or under the cell's lock, and nothing in them depends on where they are.
 *
 * Errors: EINVAL, ENOENT, EEXIST, ENOSPC all cells are in use; EACCES to
 * create without the write right; ENXIO to create; EDQUOT, ENOMEM, ENOTCONN,
 * EIO.
 */
struct slabshm_cell_open_args {
	__u32 flags;
	__u32 client;
	__aligned_u64 generation;
	__u32 cell;
	__u32 pad;
	char name[SLABSHM_NAME_MAX];
};

#define SLABSHM_IOC_CELL_OPEN	_IOWR(SLABSHM_IOC_TYPE, 10, struct slabshm_cell_open_args)

/**
 * struct slabshm_cell_remove_args - remove a cell and retire its object, whole
 * @flags: 0
 * @client: the client's number
 * @generation: the handle's generation
 * @cell: the handle's index
 * @pad: 0
 *
 * Needs no memory.  The cell's lock goes with it: waiters for the lock, or for the
 * cell to change, get EIDRM, and watches of it end with an event.
 *
 * Errors: EINVAL no cell ever had that index; EIDRM removed already; EBUSY
 * another holds its lock, in a slab made with MANDATORY; EACCES, ENXIO, ENOTCONN,
 * EIO.
 */
struct slabshm_cell_remove_args {
	__u32 flags;
	__u32 client;
	__aligned_u64 generation;
	__u32 cell;
	__u32 pad;
};

#define SLABSHM_IOC_CELL_REMOVE	_IOW(SLABSHM_IOC_TYPE, 11, struct slabshm_cell_remove_args)

#define SLABSHM_PUBLISH_EXPECT	 (1U << 0) /* only if the version is @expected */
#define SLABSHM_PUBLISH_DROP_ALL (1U << 1) /* drop all parts the object had */
#define SLABSHM_PUBLISH_KEEP	 (1U << 2) /* keep the root, change parts only */
#define SLABSHM_PUBLISH_UNLOCK	 (1U << 3) /* and release the cell's lock */
#define SLABSHM_PUBLISH_CONSISTENT (1U << 4) /* with UNLOCK: as in UNLOCK */

/**
 * struct slabshm_publish_cell - one cell of a publish
 * @cell: the handle's index
 * @flags: SLABSHM_PUBLISH_*
 * @generation: the handle's generation
 * @block: the new root: a block of this client; 0 empties the cell; must be 0
 *	with KEEP
 * @length: the object's length, at most the size of the block; 0 if @block is
 *	0 and KEEP is not given; with KEEP the new length of the same root
 * @expected: EXPECT: the version that the cell must have, or had before COMPACT
 *	moved the object; otherwise 0
 *
 * KEEP leaves the root as it is (it may be none), so that a tree too large for
 * one call is built or dropped by several: parts first, then the root.
 * KEEP and DROP_ALL exclude each other.
 *
 * What a call takes for granted about the objects (KEEP's length, the parts that
 * it drops) is judged last: with EXPECT, -EINVAL says that it does not fit the
 * expected version, never that another was faster.
 *
 * UNLOCK is part of the same step: who takes the lock next finds the new version.
 * If the publish is refused the lock is kept.
 */
struct slabshm_publish_cell {
	__u32 cell;
	__u32 flags;
	__aligned_u64 generation;
	__aligned_u64 block;
	__aligned_u64 length;
	__aligned_u64 expected;
};

enum slabshm_part_op {
	SLABSHM_PART_ATTACH = 1,	/* a block of this client becomes a part */
	SLABSHM_PART_DROP = 2,		/* a part of the object is retired */
};

/**
 * struct slabshm_publish_part - one part to attach or drop
 * @item: index in slabshm_publish.cells: the object that it concerns
 * @op: enum slabshm_part_op
 * @block: the block's offset
 */
struct slabshm_publish_part {
	__u32 item;
	__u32 op;
	__aligned_u64 block;
};

/**
 * struct slabshm_publish_args - change cells in one step of the clock, all or none
 * @flags: 0
 * @client: the client's number
 * @cells: address of @ncells struct slabshm_publish_cell
 * @parts: address of @nparts struct slabshm_publish_part
 * @ncells: 1 to %SLABSHM_BATCH_MAX, each cell once
 * @nparts: 0 to %SLABSHM_BATCH_MAX
 * @failed: out, on error: index of the refused cell, or @ncells plus the index
 *	of the refused part; 0xffffffff if it was neither
 * @commit: out: the new version of all the cells.  Written last and best
 *	effort: if that fails, the publish is done all the same
 *
 * Published blocks are not the client's any more; their cell keeps them, and
 * retires what the publish replaced or dropped.  Nobody may modify them.
 *
 * Errors: EINVAL a bad flag or index, no block starts there or it is named
 * twice, a length above the block's size, a part to drop that is not
 * one of the object's, a cell twice, DROP together with DROP_ALL; EPERM the
 * block is another client's, or UNLOCK of a lock that the thread does not hold;
 * EBUSY the block is published already, or is being freed or published now, or
 * another holds the cell's lock, in a slab made with MANDATORY; EAGAIN the
 * version is not the expected one; EIDRM; EDQUOT, ENOMEM, EACCES, ENXIO,
 * ENOTCONN, EIO.
 */
struct slabshm_publish_args {
	__u32 flags;
	__u32 client;
	__aligned_u64 cells;
	__aligned_u64 parts;
	__u16 ncells;
	__u16 nparts;
	__u32 failed;
	__aligned_u64 commit;
};

#define SLABSHM_IOC_PUBLISH	_IOWR(SLABSHM_IOC_TYPE, 12, struct slabshm_publish_args)

/*
 * Readers
 */

/**
 * struct slabshm_register_args - a reader slot for the calling thread
 * @flags: 0
 * @client: the client's number
 * @slot: out: its index in the reader region, as struct slabshm_slot
 * @pad: 0
 *
 * The client stores 0 in lo before it uses the slot.  Another thread may use the
 * slot; but once the thread that registered has ended, a pin in it is evicted as
 * soon as it holds a retired block.  The slot stays until UNREGISTER or the
 * client's end.
 *
 * Errors: EINVAL; EDQUOT the region is full, or the caller's share of the slab's
 * readers; ENOMEM, ENXIO, ENOTCONN; EIO, also for a process that shares the
 * address space and did not attach (vfork).
 */
struct slabshm_register_args {
	__u32 flags;
	__u32 client;
	__u32 slot;
	__u32 pad;
};

#define SLABSHM_IOC_REGISTER	_IOWR(SLABSHM_IOC_TYPE, 13, struct slabshm_register_args)

/**
 * struct slabshm_unregister_args - give a slot back
 * @flags: 0
 * @client: the client's number
 * @slot: its index; any thread of the client may
 * @pad: 0
 *
 * Errors: EINVAL no such slot is registered; ENXIO, ENOTCONN, EIO.
 */
struct slabshm_unregister_args {
	__u32 flags;
	__u32 client;
	__u32 slot;
	__u32 pad;
};

#define SLABSHM_IOC_UNREGISTER	_IOW(SLABSHM_IOC_TYPE, 14, struct slabshm_unregister_args)

/**
 * struct slabshm_reader_check_args - was a pin evicted?
 * @flags: 0
 * @client: the client's number
 * @lo: of the pin
 * @slot: the slot's index
 * @pad: 0
 *
 * Errors: ESTALE it was: what was read in it may have been reused memory;
 * EINVAL, ENXIO, ENOTCONN, EIO.
 */
struct slabshm_reader_check_args {
	__u32 flags;
	__u32 client;
	__aligned_u64 lo;
	__u32 slot;
	__u32 pad;
};

#define SLABSHM_IOC_READER_CHECK	_IOW(SLABSHM_IOC_TYPE, 15, struct slabshm_reader_check_args)

/*
 * Locks
 *
 * Each cell has a lock.  It belongs to the thread that took it, in the client
 * that it took it with.  Locks are advisory, as those of flock(2), unless the
 * slab was made with MANDATORY.
 *
 * If the holder ends, by whatever death, the next one gets the lock with
 * EOWNERDEAD: what it protects may be half done.  That one repairs it, and releases
 * the lock with CONSISTENT; otherwise the one after it gets EOWNERDEAD, too.
 * Waiters notice within about a tenth of a second that a thread has ended whose
 * process lives on.
 */

#define SLABSHM_LOCKED_OWNERDEAD	(1U << 0)  /* out: the lock's holder has died */
#define SLABSHM_UNLOCK_CONSISTENT (1U << 1) /* what it protects is right again */

/**
 * struct slabshm_lock_cell - one cell to lock or to unlock
 * @cell: the handle's index
 * @flags: LOCK: out: %SLABSHM_LOCKED_OWNERDEAD or 0.
 *	UNLOCK: in: %SLABSHM_UNLOCK_CONSISTENT or 0
 * @generation: the handle's generation
 *
 * Each call ignores the other's flag, so that an array serves for both, again and
 * again.
 */
struct slabshm_lock_cell {
	__u32 cell;
	__u32 flags;
	__aligned_u64 generation;
};

#define SLABSHM_LOCK_TRY	(1U << 0)  /* -EBUSY rather than wait */

/**
 * struct slabshm_lock_args - lock cells for the calling thread, all or none
 * @flags: SLABSHM_LOCK_*
 * @client: the client's number
 * @cells: address of @count struct slabshm_lock_cell, each cell once
 * @deadline: until when to wait; 0 with TRY
 * @count: 1 to %SLABSHM_BATCH_MAX
 * @failed: out, on error: index of the cell that was refused; 0xffffffff if it
 *	was none
 *
 * The cells are locked in the order of their indices, whatever their order in the
 * call, so calls that lock several never deadlock.  A thread
 * that locks further cells while it holds some has to see to that itself.
 *
 * A free lock goes to the first thread that asks for it.  The thread that has waited
 * longest is woken when the lock becomes free, and is handed it after 32 other
 * takings, or 10 ms.  A signal handler does not cost a thread its place if the call
 * is made again within a second and no other cell is locked in between.
 *
 * Errors: EOWNERDEAD the locks are held, and @flags of the cells says whose
 * holder died; EDEADLK the thread holds one of them already, or its holder waits,
 * by way of up to 64 threads, for a lock that this thread holds, with any client of
 * the slab, and none of these calls has a deadline; EBUSY TRY, and another holds
 * it; ETIMEDOUT; EINTR; EIDRM; EINVAL a cell twice, no cell ever had that index;
 * ECANCELED, ENOMEM, EACCES, ENXIO, ENOTCONN, EIO.
 */
struct slabshm_lock_args {
	__u32 flags;
	__u32 client;
	__aligned_u64 cells;
	__aligned_u64 deadline;
	__u32 count;
	__u32 failed;
};

#define SLABSHM_IOC_LOCK	_IOWR(SLABSHM_IOC_TYPE, 16, struct slabshm_lock_args)

#define SLABSHM_UNLOCK_THREAD	(1U << 0)  /* the thread ends: all it holds */

/**
 * struct slabshm_unlock_args - release locks of the calling thread, all or none
 * @flags: SLABSHM_UNLOCK_THREAD: release all that the thread holds, each as if
 *	the thread had died
 * @client: the client's number
 * @cells: address of @count struct slabshm_lock_cell, each cell once
 * @count: 1 to %SLABSHM_BATCH_MAX; 0 with THREAD
 * @failed: out, on error: index of the cell that was refused
 *
 * Errors: EPERM the thread does not hold it; EIDRM the cell was removed, and the
 * lock with it; EINVAL, EACCES, ENXIO, ENOTCONN, EIO.
 */
struct slabshm_unlock_args {
	__u32 flags;
	__u32 client;
	__aligned_u64 cells;
	__u32 count;
	__u32 failed;
};

#define SLABSHM_IOC_UNLOCK	_IOWR(SLABSHM_IOC_TYPE, 17, struct slabshm_unlock_args)

/*
 * Waiting and watching
 *
 * WAIT sleeps until a cell changes.  For programs with an event loop, WATCH makes
 * poll(2) of the client's descriptor return POLLIN, and EVENTS returns which cells
 * have changed.  However often a cell was published since, there is one event, with
 * its newest version; so memory is bounded, and the last change is never lost.
 */

#define SLABSHM_WAIT_CHANGED	(1U << 0)  /* out: it has another version */

/**
 * struct slabshm_wait_cell - one cell to wait for
 * @cell: the handle's index
 * @flags: out: %SLABSHM_WAIT_CHANGED or 0, either of which may be there before
 * @generation: the handle's generation
 * @version: in: the version that is known; out: the newest
 */
struct slabshm_wait_cell {
	__u32 cell;
	__u32 flags;
	__aligned_u64 generation;
	__aligned_u64 version;
};

/**
 * struct slabshm_wait_args - sleep until one of some cells has another version
 * @flags: 0
 * @client: the client's number
 * @cells: address of @count struct slabshm_wait_cell
 * @deadline: until when to wait
 * @count: 1 to %SLABSHM_BATCH_MAX
 * @failed: out, on error: index of the cell that was refused; 0xffffffff if it
 *	was none
 *
 * Errors: ETIMEDOUT none has changed; EINTR; EIDRM; EINVAL no cell ever had that
 * index; ENOMEM, ENXIO, ENOTCONN, EIO.
 */
struct slabshm_wait_args {
	__u32 flags;
	__u32 client;
	__aligned_u64 cells;
	__aligned_u64 deadline;
	__u32 count;
	__u32 failed;
};

#define SLABSHM_IOC_WAIT	_IOWR(SLABSHM_IOC_TYPE, 18, struct slabshm_wait_args)

#define SLABSHM_WATCH_ALL	(1U << 0)  /* all cells, those to come too */
#define SLABSHM_WATCH_SINCE	(1U << 1)  /* what changed after @version, too */

/**
 * struct slabshm_watch_args - get an event when a cell changes
 * @flags: SLABSHM_WATCH_*
 * @client: the client's number
 * @generation: the handle's generation; 0 with ALL
 * @version: in: SINCE: what is known: of the cell, or with ALL of the clock;
 *	otherwise 0; out: the cell's version, or the clock, now.  Written last and
 *	best effort: if that fails, there is a watch all the same
 * @cell: the handle's index; 0 with ALL
 * @pad: 0
 *
 * A watch ends by UNWATCH, with the client, or with its cell, whose removal is its
 * last event.
 *
 * Errors: EEXIST it is watched already; EDQUOT too many watches of this client, or
 * of its user; EIDRM; EINVAL; ENOMEM, ENXIO, ENOTCONN, EIO.
 */
struct slabshm_watch_args {
	__u32 flags;
	__u32 client;
	__aligned_u64 generation;
	__aligned_u64 version;
	__u32 cell;
	__u32 pad;
};

#define SLABSHM_IOC_WATCH	_IOWR(SLABSHM_IOC_TYPE, 19, struct slabshm_watch_args)

/**
 * struct slabshm_unwatch_args - end a watch
 * @flags: %SLABSHM_WATCH_ALL or 0
 * @client: the client's number
 * @generation: as in WATCH
 * @cell: as in WATCH
 * @pad: 0
 *
 * An event of it that was not taken yet goes with it.
 *
 * Errors: ENOENT there is no such watch; EINVAL, ENXIO, ENOTCONN, EIO.
 */
struct slabshm_unwatch_args {
	__u32 flags;
	__u32 client;
	__aligned_u64 generation;
	__u32 cell;
	__u32 pad;
};

#define SLABSHM_IOC_UNWATCH	_IOW(SLABSHM_IOC_TYPE, 20, struct slabshm_unwatch_args)

#define SLABSHM_EVENT_REMOVED	(1U << 0)  /* the cell was removed */

/**
 * struct slabshm_event - a cell has changed
 * @cell: its index
 * @flags: SLABSHM_EVENT_*
 * @generation: its generation
 * @version: its newest version; 0 with REMOVED
 *
 * REMOVED from a watch of ALL stands for all cells that were removed from that
 * place, of which it names the last: forget whatever has this index and this
 * generation or a lower one.  There may be two of it, and after the next cell there.
 */
struct slabshm_event {
	__u32 cell;
	__u32 flags;
	__aligned_u64 generation;
	__aligned_u64 version;
};

/**
 * struct slabshm_events_args - take events
 * @flags: 0
 * @client: the client's number
 * @events: address of @count struct slabshm_event
 * @deadline: until when to wait if there is none
 * @count: in: capacity, of which %SLABSHM_BATCH_MAX are used; 0: take none, wait
 *	until there is one; out: how many were taken
 * @pad: 0
 *
 * With a watch of ALL there may be two events of the same version.
 *
 * Errors: ETIMEDOUT there was none; EINTR; EINVAL; ENXIO, ENOTCONN, EIO.
 */
struct slabshm_events_args {
	__u32 flags;
	__u32 client;
	__aligned_u64 events;
	__aligned_u64 deadline;
	__u32 count;
	__u32 pad;
};

#define SLABSHM_IOC_EVENTS	_IOWR(SLABSHM_IOC_TYPE, 21, struct slabshm_events_args)

#define SLABSHM_CANCEL_ON	(1U << 0)

/**
 * struct slabshm_cancel_args - end the client's waits
 * @flags: SLABSHM_CANCEL_ON: each LOCK, WAIT and EVENTS that sleeps, and each to
 *	come that would, fails with -ECANCELED; 0: those to come sleep again
 * @client: the client's number
 *
 * What need not sleep goes on as ever.
 *
 * Errors: EINVAL, EINTR, ENXIO, ENOTCONN, EIO.
 */
struct slabshm_cancel_args {
	__u32 flags;
	__u32 client;
};

#define SLABSHM_IOC_CANCEL	_IOW(SLABSHM_IOC_TYPE, 22, struct slabshm_cancel_args)

/*
 * What there is
 */

#define SLABSHM_SLAB_PERSIST	(1U << 0)
#define SLABSHM_SLAB_FIXED	(1U << 1)
#define SLABSHM_SLAB_READABLE	(1U << 2) /* in a list: the caller may see it all */
#define SLABSHM_SLAB_UNLINKED	(1U << 3) /* has no name, or no longer has it */
#define SLABSHM_SLAB_MANDATORY	(1U << 4)

/**
 * struct slabshm_stat - a slab in figures
 * @flags: 0
 * @client: the client's number; 0 in a list
 * @id: as slabshm_header.id
 * @max_size: bytes it may grow to
 * @size: bytes it has
 * @backed: bytes of @size that blocks may use and that have memory behind them
 *	(without the first page, and what TRIM gave back)
 * @live: bytes of blocks that clients own or cells hold
 * @retired: bytes of blocks that wait to be reclaimed
 * @free: the rest of @backed
 * @blocks: blocks in @live
 * @retired_blocks: blocks in @retired
 * @commit: the clock
 * @cells: cells in use
 * @max_cells: most cells that it can have
 * @clients: attached clients
 * @readers: registered readers
 * @held: bytes in @retired that readers held at the last look
 * @evictions: pins that were withdrawn so far
 * @attributes: SLABSHM_SLAB_*
 * @uid: owner, in the caller's user namespace
 * @gid: group, in the caller's user namespace
 * @mode: permission bits
 * @name: empty for an unnamed slab; an unlinked one keeps it
 *
 * Errors: ENOTCONN, EIO.
 */
struct slabshm_stat {
	__u32 flags;
	__u32 client;
	__aligned_u64 id;
	__aligned_u64 max_size;
	__aligned_u64 size;
	__aligned_u64 backed;
	__aligned_u64 live;
	__aligned_u64 retired;
	__aligned_u64 free;
	__aligned_u64 blocks;
	__aligned_u64 retired_blocks;
	__aligned_u64 commit;
	__u32 cells;
	__u32 max_cells;
	__u32 clients;
	__u32 attributes;
	__u32 uid;
	__u32 gid;
	__u32 mode;
	__u32 readers;
	__aligned_u64 held;
	__aligned_u64 evictions;
	char name[SLABSHM_NAME_MAX];
};

#define SLABSHM_IOC_STAT	_IOWR(SLABSHM_IOC_TYPE, 3, struct slabshm_stat)

enum slabshm_list_what {
	SLABSHM_LIST_SLABS = 1,		/* struct slabshm_stat */
	SLABSHM_LIST_CELLS = 2,		/* struct slabshm_cell_entry */
	SLABSHM_LIST_CLIENTS = 3,	/* struct slabshm_client_entry */
	SLABSHM_LIST_READERS = 4,	/* struct slabshm_reader_entry */
	SLABSHM_LIST_LOCKS = 5,		/* struct slabshm_lock_entry */
};

/**
 * struct slabshm_cell_entry - one cell in a list
 * @generation: its generation
 * @commit: its version when it was changed last
 * @offset: its object's root, 0 if it is empty
 * @length: its object's length
 * @bytes: bytes of its object's blocks, root and parts
 * @parts: how many parts its object has
 * @cell: its index
 * @flags: %SLABSHM_CELL_MOVABLE or 0
 * @name: its name
 */
struct slabshm_cell_entry {
	__aligned_u64 generation;
	__aligned_u64 commit;
	__aligned_u64 offset;
	__aligned_u64 length;
	__aligned_u64 bytes;
	__aligned_u64 parts;
	__u32 cell;
	__u32 flags;
	char name[SLABSHM_NAME_MAX];
};

#define SLABSHM_CLIENT_RDONLY	(1U << 0)
#define SLABSHM_CLIENT_ALIVE	(1U << 1) /* its reader region is mapped */
#define SLABSHM_CLIENT_ENDED	(1U << 2) /* it was, and is no more */

/**
 * struct slabshm_client_entry - one client in a list
 * @client: its number
 * @pid: process that attached, in the caller's PID namespace, or 0
 * @uid: user that attached, in the caller's user namespace
 * @flags: SLABSHM_CLIENT_*
 * @bytes: bytes of blocks that it owns
 * @blocks: how many
 */
struct slabshm_client_entry {
	__u32 client;
	__u32 pid;
	__u32 uid;
	__u32 flags;
	__aligned_u64 bytes;
	__aligned_u64 blocks;
};

#define SLABSHM_READER_PINNED	(1U << 0)
#define SLABSHM_READER_DEAD	(1U << 1) /* the thread has ended */

/**
 * struct slabshm_reader_entry - one reader in a list
 * @client: whose, its number
 * @slot: index in the client's reader region
 * @tid: thread that registered, in the caller's PID namespace, or 0
 * @flags: SLABSHM_READER_*
 * @lo: as in its slot; 0 if it holds nothing
 * @hi: as in its slot
 * @held: bytes of retired blocks that it holds back
 * @held_ms: how long ago the oldest of these was retired, to about a 32nd of
 *	the read timeout
 */
struct slabshm_reader_entry {
	__u32 client;
	__u32 slot;
	__u32 tid;
	__u32 flags;
	__aligned_u64 lo;
	__aligned_u64 hi;
	__aligned_u64 held;
	__aligned_u64 held_ms;
};

#define SLABSHM_LOCKER_HOLDS	(1U << 0) /* otherwise it waits */
#define SLABSHM_LOCKER_DEAD	(1U << 1) /* the thread has ended */
#define SLABSHM_LOCKER_INCONSISTENT (1U << 2) /* the lock's holder died, and
					       * nobody has said CONSISTENT yet
					       */
#define SLABSHM_LOCKER_DEADLOCK	(1U << 3) /* it waits for itself, by way of
					   * others, until a deadline passes
					   */

/**
 * struct slabshm_lock_entry - one holder of a lock, or one waiter
 * @cell: the cell's index
 * @flags: SLABSHM_LOCKER_HOLDS ...
 * @generation: the cell's generation
 * @client: whose, its number
 * @tid: thread, in the caller's PID namespace, or 0
 * @ms: for how long it has held it, or waited
 * @name: the cell's name
 *
 * In a list they are in the order in which they came.
 */
struct slabshm_lock_entry {
	__u32 cell;
	__u32 flags;
	__aligned_u64 generation;
	__u32 client;
	__u32 tid;
	__aligned_u64 ms;
	char name[SLABSHM_NAME_MAX];
};

/**
 * struct slabshm_list_args - list slabs, cells, clients, ..., a piece at a time
 * @flags: 0
 * @client: the client's number; for SLABS 0 will do
 * @what: enum slabshm_list_what
 * @entry_size: size of one entry as the program knows it; the kernel cuts its
 *	own or fills up with zeros
 * @entries: address of @count entries
 * @cursor: in: 0 to start; out: what to give next time
 * @count: in: size of @entries, 1 or more; out: entries written, 0 at the end
 * @pad: 0
 *
 * SLABS lists those of the caller's network namespace and needs no attached
 * client; of a slab that the caller may not read, it gives only the name.  What
 * comes and goes during the listing may or may not be in it, all else is in it
 * once.
 *
 * Errors: EINVAL, EINTR, ENOMEM; but for SLABS also ENOTCONN, EIO.
 */
struct slabshm_list_args {
	__u32 flags;
	__u32 client;
	__u32 what;
	__u32 entry_size;
	__aligned_u64 entries;
	__aligned_u64 cursor;
	__u32 count;
	__u32 pad;
};

#define SLABSHM_IOC_LIST	_IOWR(SLABSHM_IOC_TYPE, 4, struct slabshm_list_args)

#endif /* _UAPI_LINUX_SLABSHM_H */
