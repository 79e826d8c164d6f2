// SPDX-License-Identifier: GPL-2.0
/*
 * Memory behind a slab's data.
 *
 * The data is a shmem file.  A range of it is filled with pages before the
 * allocator may give it out, so that no store into a block ever lacks memory
 * (SIGBUS); what the allocator hands out was filled by slabshm_data_grow(), or
 * was given back by TRIM and filled again.
 *
 * The file's size goes up step by step and never down: seals keep user space,
 * which can reach the file through /proc/PID/map_files, from changing it.
 *
 * Holes, and who pays.  TRIM punches free ranges out of the file. The allocator
 * does not give such a hole out before data_refill() has filled it, which may
 * fail. But a hole can be touched through any mapping all the same, by a reader
 * whose pin was withdrawn or by a program with a fault, and shmem then fills it:
 * a page fault asks nobody but the memory cgroup of the task that touches. So
 * the maker of the slab is charged for all that can be touched, which is the
 * size of the file, from when the size goes up until the data goes; TRIM gives
 * memory to the machine and to memory cgroups, and takes nothing off that
 * charge, and filling a hole adds nothing to it. What was filled by being
 * touched, the next TRIM gives back.
 */
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/shmem_fs.h>

#include "compat.h"
#include "data.h"
#include "slab.h"
#include "trace.h"
#include "user.h"

#define STEP		(2UL << 20)
#define STEP_PAGES	(STEP >> PAGE_SHIFT)

/* A new, empty backing file of the caller's with these permission bits, or an ERR_PTR. */
struct file *slabshm_data_create(umode_t mode)
{
	struct file *file;
	struct inode *inode;

	file = shmem_file_setup("slabshm", 0, SLABSHM_SHMEM_FLAGS);
	/* Without memory for the inode shmem calls itself full */
	if (IS_ERR(file))
		return PTR_ERR(file) == -ENOSPC ? ERR_PTR(-ENOMEM) : file;
	inode = file_inode(file);
	inode->i_mode = S_IFREG | (mode & 0777);
	/* Nobody else has seen the file, so no lock is needed. */
	SHMEM_I(inode)->seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW;
	return file;
}

/*
 * Open the backing file for reading only.  A mapping of that file can never be made
 * writable: remap_file_pages() makes a new mapping with the rights of the file.
 */
struct file *slabshm_data_open_ro(struct file *data)
{
	return dentry_open(&data->f_path, O_RDONLY | O_LARGEFILE | O_NOATIME,
			   data->f_cred);
}

static void data_punch(struct slabshm_slab *slab, unsigned long page,
		       unsigned long npages)
{
	if (!npages)
		return;
	/* Unlike a vfs_fallocate() that punches a hole, this cannot fail */
	shmem_truncate_range(file_inode(slab->data),
			     (loff_t)page << PAGE_SHIFT,
			     ((loff_t)(page + npages) << PAGE_SHIFT) - 1);
}

/* Pages of the file that are there, swapped out ones too. */
static unsigned long data_pages(struct slabshm_slab *slab)
{
	return READ_ONCE(SHMEM_I(file_inode(slab->data))->alloced);
}

/* Raise the size of the file, for good, and charge for it. */
static int data_set_size(struct slabshm_slab *slab, u64 size)
{
	struct inode *inode = file_inode(slab->data);
	u64 before = i_size_read(inode);
	int err;

	lockdep_assert_held(&slab->grow_lock);

	if (size <= before)
		return 0;
	err = slabshm_user_charge_bytes(slab->user, size - before);
	if (err)
		return err;
	inode_lock(inode);
	i_size_write(inode, size);
	inode_unlock(inode);
	return 0;
}

/*
 * Not left on the mapping: page faults at a memory cgroup's limit would then
 * repeat for ever.
 */
static gfp_t data_gfp(const struct slabshm_slab *slab)
{
	return mapping_gfp_mask(slab->data->f_mapping) | __GFP_RETRY_MAYFAIL |
	       __GFP_NOWARN;
}

/*
 * Put pages behind a range: all of it, or (-ENOMEM, -EINTR, -EIO) none.  At a
 * memory cgroup's limit this fails instead of calling the OOM killer; nothing
 * may be left of it then, or the caller's next page fault would meet that limit.
 */
static int data_fill(struct slabshm_slab *slab, unsigned long page,
		     unsigned long npages)
{
	struct address_space *mapping = slab->data->f_mapping;
	gfp_t gfp = data_gfp(slab);
	unsigned long i;
	int err = 0;

	lockdep_assert_held(&slab->grow_lock);

	for (i = 0; i < npages; i++) {
		struct page *p;

		if (fatal_signal_pending(current)) {
			err = -EINTR;
			break;
		}
		p = shmem_read_mapping_page_gfp(mapping, page + i, gfp);
		if (IS_ERR(p)) {
			err = PTR_ERR(p) == -EIO ? -EIO : -ENOMEM;
			break;
		}
		/* A clean page of zeros could be dropped again */
		set_page_dirty(p);
		put_page(p);
		cond_resched();
	}
	if (err)
		data_punch(slab, page, npages);
	return err;
}

/* Add [slab->size, size), at most one step, to the free set. */
static int data_grow_step(struct slabshm_slab *slab, u64 size)
{
	unsigned long page = slab->size >> PAGE_SHIFT;
	unsigned long end = size >> PAGE_SHIFT;
	unsigned long first = max(page, 1UL);	/* offset 0 is no block */
	unsigned long pages_per_chunk = 1UL << (SLABSHM_CHUNK_SHIFT - PAGE_SHIFT);
	unsigned long chunk;
	int err;

	for (chunk = page / pages_per_chunk;
	     chunk <= (end - 1) / pages_per_chunk; chunk++) {
		unsigned long byte = chunk * pages_per_chunk;
		u8 *map = slabshm_control_populate(&slab->control,
						   slab->control.map_page +
						   byte / PAGE_SIZE);

		if (IS_ERR(map))
			return PTR_ERR(map);
		err = slabshm_arena_prepare(&slab->arena, chunk,
					    map + byte % PAGE_SIZE);
		if (err)
			return err;
	}

	/*
	 * First the size, then the pages: shmem_enabled=within_size makes huge
	 * pages only below it.  It stays if the filling fails.
	 */
	err = data_set_size(slab, size);
	if (err)
		return err;

	err = data_fill(slab, page, end - page);
	if (err)
		return err;
	/* Before anybody has a block there, whose address they then ask for */
	WRITE_ONCE(slab->control.header->size, size);
	if (first < end) {
		err = slabshm_arena_add(&slab->arena, first, end - first);
		if (err) {
			WRITE_ONCE(slab->control.header->size, slab->size);
			data_punch(slab, page, end - page);
			return err;
		}
	}
	WRITE_ONCE(slab->size, size);
	WRITE_ONCE(slab->grow_seq, slab->grow_seq + 1);
	trace_slabshm_grow(slab, size);
	return 0;
}

static int data_grow(struct slabshm_slab *slab, u64 size, bool killable_only)
{
	lockdep_assert_held(&slab->grow_lock);

	if (size > slab->max_size)
		return -ENOSPC;
	/* shmem itself would send SIGXFSZ */
	if (size > slab->size && size > rlimit(RLIMIT_FSIZE))
		return -EFBIG;
	while (slab->size < size) {
		u64 next = min(size, round_down(slab->size, STEP) + STEP);
		int err = data_grow_step(slab, next);

		if (err)
			return err;
		if (slab->size < size &&
		    (killable_only ? fatal_signal_pending(current) :
		     signal_pending(current)))
			return -EINTR;
	}
	return 0;
}

/*
 * Grow the data to @size bytes, rounded up to pages.  @killable_only: only fatal
 * signals interrupt it.  At least one step is made before signals are checked, and
 * steps made are kept, so that a caller that tries again gets there under any timer.
 * Returns 0, -ENOSPC, -EFBIG, -ENOMEM, -EDQUOT or -EINTR.
 */
int slabshm_data_grow(struct slabshm_slab *slab, u64 size, bool killable_only)
{
	int err;

	if (size > slab->max_size)
		return -ENOSPC;
	if (mutex_lock_killable(&slab->grow_lock))
		return -EINTR;
	err = data_grow(slab, round_up(size, PAGE_SIZE), killable_only);
	mutex_unlock(&slab->grow_lock);
	return err;
}

/* Put memory behind a free range of at least @min pages that has none. */
static int data_refill(struct slabshm_slab *slab, unsigned long min,
		       unsigned long max)
{
	struct slabshm_extent *extent;
	unsigned long page, npages;
	int err;

	extent = slabshm_arena_take(&slab->arena, false, min, max, &page,
				    &npages);
	if (!extent)
		return -ENOSPC;
	if (IS_ERR(extent))
		return PTR_ERR(extent);
	err = data_fill(slab, page, npages);
	slabshm_arena_put(&slab->arena, extent, !err);
	if (!err)
		WRITE_ONCE(slab->grow_seq, slab->grow_seq + 1);
	return err;
}

/* Pages that are free, with memory or without, fragmented or not. */
static unsigned long data_free_pages(struct slabshm_slab *slab)
{
	u64 bytes;

	lockdep_assert_held(&slab->grow_lock);

	spin_lock(&slab->arena.lock);
	bytes = slab->arena.bytes;
	spin_unlock(&slab->arena.lock);
	return (slab->size - min(bytes, slab->size)) >> PAGE_SHIFT;
}

/* Pages that it may grow by. */
static unsigned long data_growth(struct slabshm_slab *slab)
{
	lockdep_assert_held(&slab->grow_lock);

	return (slab->max_size - slab->size) >> PAGE_SHIFT;
}

/**
 * slabshm_data_make_space() - more free space, for an allocation that found none
 * @slab: whose
 * @need: contiguous pages that it looked for, the slack for alignment included
 * @align: 0, or the alignment in bytes
 * @all: pages of all blocks that it asks for, which may be many
 * @grow_seq: slab->grow_seq as it was before the allocation was tried
 * @may_grow: whether the slab may become larger
 *
 * Prefers a range that TRIM emptied to growth, and growth to refilling smaller
 * ranges in the hope that they make a large one together.  Does neither if it
 * could not help.
 *
 * Context: may sleep; takes grow_lock.
 * Return: 0: something has changed, try again.  -ENOSPC, -ENOMEM, -EDQUOT,
 * -EFBIG, -EINTR: do not.
 */
int slabshm_data_make_space(struct slabshm_slab *slab, unsigned long need,
			    u64 align, unsigned long all, unsigned long grow_seq,
			    bool may_grow)
{
	unsigned long align_pages = max(1UL, DIV_ROUND_UP(align, PAGE_SIZE));
	unsigned long npages = need - (align_pages - 1);
	int err = 0, refill;

	if (mutex_lock_killable(&slab->grow_lock))
		return -EINTR;
	if (slab->grow_seq != grow_seq)
		goto out;	/* another did it while we waited */
	err = data_refill(slab, need, max(need, STEP_PAGES));
	/* Perhaps one of just that size is aligned */
	if (err == -ENOSPC && npages < need)
		err = data_refill(slab, npages, max(npages, STEP_PAGES));
	if (err != -ENOSPC)
		goto out;
	if (may_grow) {
		unsigned long end = slab->size >> PAGE_SHIFT;
		unsigned long tail = slabshm_arena_tail(&slab->arena, end);
		/* Its end, if it begins as early as it may in the last one */
		u64 least = ALIGN(max(end - tail, 1UL), align_pages) + npages;

		least = max(least << PAGE_SHIFT, slab->size);

		/* Small blocks do with what there is */
		if (need <= SLABSHM_RUN_PAGES)
			least = min(least, slab->max_size);
		/*
		 * There is space for the one that found none, as those before it
		 * were undone: so it is the others' that lacks, or what is lost
		 * between them.  Page 0 counts as free, and is no block's.
		 */
		if (least == slab->size &&
		    data_free_pages(slab) - 1 + data_growth(slab) >= all)
			least += (u64)min(all > tail ? all - tail : need,
					  data_growth(slab)) << PAGE_SHIFT;
		/* Not in vain: only if the end is large enough then */
		if (least > slab->size && least <= slab->max_size) {
			err = data_grow(slab, min(round_up(least, STEP),
						  slab->max_size), true);
			/* What a limit leaves may be less than a whole step */
			if (err == -EFBIG || err == -EDQUOT)
				err = data_grow(slab, least, true);
			if (err && err != -EINTR && slab->grow_seq != grow_seq)
				err = 0;
			/* What is there already is charged for */
			if (err != -EFBIG && err != -EDQUOT)
				goto out;
		}
	}
	if (need <= SLABSHM_RUN_PAGES || data_free_pages(slab) >= npages) {
		refill = data_refill(slab, 1, STEP_PAGES);
		if (refill != -ENOSPC)
			err = refill;
	}
out:
	mutex_unlock(&slab->grow_lock);
	return err;
}

/* Give back up to @most pages that page faults have put into holes. */
static unsigned long data_trim_holes(struct slabshm_slab *slab,
				     unsigned long most)
{
	unsigned long page = 0, npages = 0, done = 0;

	lockdep_assert_held(&slab->grow_lock);

	/* Holes only change under grow_lock */
	while (done < most && !signal_pending(current) &&
	       slabshm_arena_next_unbacked(&slab->arena, &page, &npages)) {
		unsigned long before, after, at, n;

		for (at = page; at < page + npages && done < most; at += n) {
			n = min(page + npages - at, min(most - done,
							STEP_PAGES));
			before = data_pages(slab);
			data_punch(slab, at, n);
			/* Other pages may be faulted in meanwhile */
			after = data_pages(slab);
			done += before > after ? min(before - after, n) : 0;
			cond_resched();
		}
	}
	return done;
}

/*
 * Give the memory of free blocks back: at most @limit bytes, 0 for all.  Sets @trimmed.
 * Returns 0; -EINTR or -ENOMEM if nothing was given back.
 */
int slabshm_data_trim(struct slabshm_slab *slab, u64 limit, u64 *trimmed)
{
	unsigned long left = limit ? limit >> PAGE_SHIFT : ULONG_MAX;
	unsigned long done = 0;
	int err = 0;

	if (mutex_lock_killable(&slab->grow_lock))
		return -EINTR;
	while (left > done) {
		struct slabshm_extent *extent;
		unsigned long page, npages;

		if (signal_pending(current)) {
			err = -EINTR;
			break;
		}
		extent = slabshm_arena_take(&slab->arena, true, 1,
					    min(left - done, STEP_PAGES), &page,
					    &npages);
		if (IS_ERR_OR_NULL(extent)) {
			err = PTR_ERR_OR_ZERO(extent);
			break;
		}
		data_punch(slab, page, npages);
		slabshm_arena_put(&slab->arena, extent, false);
		done += npages;
	}
	if (!err)
		done += data_trim_holes(slab, left - done);
	mutex_unlock(&slab->grow_lock);
	*trimmed = (u64)done << PAGE_SHIFT;
	trace_slabshm_trim(slab, *trimmed);
	return done ? 0 : err;
}

/* The page that @offset lies in, with its data. */
static struct page *data_page(struct slabshm_slab *slab, u64 offset)
{
	return shmem_read_mapping_page_gfp(slab->data->f_mapping,
					   offset >> PAGE_SHIFT,
					   data_gfp(slab));
}

/*
 * Fill a block with a byte.  Returns 0; -ENOMEM, -EIO if a page cannot be had back from
 * swap; -EINTR.
 */
int slabshm_data_set(struct slabshm_slab *slab, u64 offset, u64 length,
		     u8 byte)
{
	while (length) {
		size_t in_page = offset_in_page(offset);
		size_t n = min_t(u64, length, PAGE_SIZE - in_page);
		struct page *page;
		char *at;

		page = data_page(slab, offset);
		if (IS_ERR(page))
			return PTR_ERR(page);
		at = kmap_local_page(page);
		memset(at + in_page, byte, n);
		kunmap_local(at);
		set_page_dirty(page);
		put_page(page);
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
		offset += n;
		length -= n;
	}
	return 0;
}

/*
 * Copy a block's bytes to another block; errors as slabshm_data_set().  The caller holds
 * grow_lock, so that TRIM takes no page away.
 */
int slabshm_data_copy(struct slabshm_slab *slab, u64 to, u64 from, u64 length)
{
	lockdep_assert_held(&slab->grow_lock);

	while (length) {
		size_t n = min3(length, (u64)PAGE_SIZE - offset_in_page(to),
				(u64)PAGE_SIZE - offset_in_page(from));
		struct page *source, *page;

		source = data_page(slab, from);
		if (IS_ERR(source))
			return PTR_ERR(source);
		page = data_page(slab, to);
		if (IS_ERR(page)) {
			put_page(source);
			return PTR_ERR(page);
		}
		memcpy_page(page, offset_in_page(to), source,
			    offset_in_page(from), n);
		set_page_dirty(page);
		put_page(page);
		put_page(source);
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
		to += n;
		from += n;
		length -= n;
	}
	return 0;
}
