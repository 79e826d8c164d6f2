// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * libslabshm: readers
 *
 * Each thread that pins has, for each handle, a slot in the handle's reader
 * region and a struct slabshm_reader.  The latter is in memory that is zero in
 * a child after fork(), as the mappings that it points to are not there then;
 * and never unmapped, as threads keep a pointer to the one they used last.
 *
 * The state of a reader is all that the inline functions must know:
 *
 *	0		none: a forked child's, or the handle was closed
 *	handle		idle
 *	1		pinned once
 *	SLOW		each pin and unpin comes here: it is pinned more than
 *			once, or in a pin that was withdrawn, or needs a fence
 *			or has TSan to tell, pinned or not; see @depth, @live
 *
 * @depth pins nest, and the slot stands for @live of them.  The others were
 * withdrawn before a later pin renewed the slot: their lo is below its own.
 * A slot that stands for none is idle, so a leaked pin holds nothing once it
 * is withdrawn, and pins in it are as good as any.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "handle.h"

#define SLOW		2	/* no handle has such an address */
#define DEPTH_MAX	1000

/**
 * struct thread_reader - the rest of a reader
 * @hot: what the inline functions see; given back to the pool with this
 * @handle: whose; NULL when that was closed
 * @of_handle: next one of the handle
 * @of_thread: next one of the thread
 * @locks: the thread has locked cells, and may hold them still
 *
 * Protected by @lock; but @of_thread and @locks are its thread's alone.
 */
struct thread_reader {
	struct slabshm_reader *hot;
	struct handle *handle;
	struct thread_reader *of_handle;
	struct thread_reader *of_thread;
	bool locks;
};

/* Protects all lists but those of threads, and the pool. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Unused readers.  In ordinary memory, as theirs is zero after fork(). */
static struct slabshm_reader **pool;
static size_t pool_count;
static size_t pool_room;

static struct slabshm_reader no_reader;
__thread struct slabshm_reader *__slabshm_reader = &no_reader;

/* The readers of this thread. */
static __thread struct thread_reader *mine;

static void lock_all(void)
{
	pthread_mutex_lock(&lock);
}

static void unlock_all(void)
{
	pthread_mutex_unlock(&lock);
}

/* Room in the pool for one more, so that giving back needs no memory. */
static int pool_fill(void)
{
	size_t size = (size_t)sysconf(_SC_PAGESIZE);
	size_t i, n = size / sizeof(struct slabshm_reader);
	struct slabshm_reader *readers;
	void *more;

	more = realloc(pool, (pool_room + n) * sizeof(struct slabshm_reader *));
	if (!more)
		return -ENOMEM;
	pool = more;
	readers = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (readers == MAP_FAILED)
		return -ENOMEM;
	if (madvise(readers, size, MADV_WIPEONFORK)) {
		munmap(readers, size);
		return -ENOMEM;
	}
	pool_room += n;
	for (i = 0; i < n; i++)
		pool[pool_count++] = &readers[i];
	return 0;
}

static void reader_unlink(struct thread_reader *t)
{
	struct thread_reader **link;

	for (link = &t->handle->readers; *link != t; link = &(*link)->of_handle)
		;
	*link = t->of_handle;
}

/* A thread ends: its slots go back, and with them all that they hold; so do locks. */
void slabshm_readers_thread_exit(void)
{
	struct thread_reader *t;

	__slabshm_reader = &no_reader;
	while ((t = mine)) {
		struct slabshm_unregister_args arg = { 0 };
		struct slabshm_unlock_args locks = {
			.flags = SLABSHM_UNLOCK_THREAD,
		};
		struct handle *h;
		bool registered;

		mine = t->of_thread;
		pthread_mutex_lock(&lock);
		h = t->handle;
		arg.slot = t->hot->index;
		registered = t->hot->state;
		if (h) {
			reader_unlink(t);
			pthread_rwlock_rdlock(&h->ending);
		}
		pthread_mutex_unlock(&lock);
		if (h) {
			/* A forked child's is refused, it was the parent's */
			tools_release_space(&h->s);
			tools_release_slab(&h->s);
			if (t->locks)
				call(&h->s, SLABSHM_IOC_UNLOCK, &locks);
			if (registered)
				call(&h->s, SLABSHM_IOC_UNREGISTER, &arg);
			pthread_rwlock_unlock(&h->ending);
		}
		pthread_mutex_lock(&lock);
		memset(t->hot, 0, sizeof(*t->hot));
		pool[pool_count++] = t->hot;
		pthread_mutex_unlock(&lock);
		free(t);
	}
}

__attribute__((constructor))
static void reader_init(void)
{
	pthread_atfork(lock_all, unlock_all, unlock_all);
}

/* The handle is closed: its readers are nobody's, the slots go with it. */
void slabshm_readers_close(struct handle *h)
{
	struct thread_reader *t;

	pthread_mutex_lock(&lock);
	for (t = h->readers; t; t = t->of_handle) {
		t->handle = NULL;
		memset(t->hot, 0, sizeof(*t->hot));
	}
	h->readers = NULL;
	pthread_mutex_unlock(&lock);
}

static bool needs_fence(const struct slabshm_reader *r)
{
	return r->header->flags & SLABSHM_HEADER_READER_FENCE;
}

static unsigned int depth_of(const struct slabshm_reader *r)
{
	if (r->state == SLOW)
		return r->depth;
	return r->state == 1;
}

static unsigned int live_of(const struct slabshm_reader *r)
{
	if (r->state == SLOW)
		return r->live;
	return r->state == 1;
}

static void set_depth(struct slabshm_reader *r, unsigned int depth,
		      unsigned int live)
{
	r->depth = depth;
	r->live = live;
	if (depth > 1 || live != depth || needs_fence(r) || tools_threads())
		r->state = SLOW;
	else
		r->state = depth ? 1 : (uintptr_t)r->s;
}

/* Was a pin of this @lo withdrawn?  -ESTALE, or 0. */
static int check_lo(const struct slabshm_reader *r, uint64_t lo)
{
	struct slabshm_reader_check_args arg = {
		.slot = r->index,
		.lo = lo,
	};

	/* The pin began before another renewed the slot */
	if (lo != r->slot->lo)
		return -ESTALE;
	/* As in slabshm_unpin() */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	/* Some pin was withdrawn since this began: this one? */
	if (__atomic_load_n(&r->header->evicted, __ATOMIC_RELAXED) <= lo)
		return 0;
	return call(r->s, SLABSHM_IOC_READER_CHECK, &arg);
}

/* How many cells have memory.  If TSan must know of each get, all are slow. */
static uint32_t cells_ready(struct slabshm_reader *r)
{
	uint32_t ready = __atomic_load_n(&r->header->cells_ready,
					 __ATOMIC_RELAXED);

	r->max_cells = tools_threads() ? 0 : ready;
	return ready;
}

static int reader_register(struct handle *h, struct slabshm_reader *r)
{
	struct slabshm_register_args arg = { 0 };
	int ret = call(&h->s, SLABSHM_IOC_REGISTER, &arg);

	if (ret)
		return ret;
	r->slot = (struct slabshm_slot *)h->reader + arg.slot;
	r->header = h->s.header;
	r->cells = h->s.cells;
	r->data = h->s.data;
	cells_ready(r);
	r->index = arg.slot;
	r->s = &h->s;
	__atomic_store_n(&r->slot->lo, 0, __ATOMIC_RELAXED);
	set_depth(r, 0, 0);
	return 0;
}

/* One more for this thread's list, of no handle yet. */
static int thread_reader_new(struct thread_reader **new)
{
	struct thread_reader *t;
	int ret;

	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	ret = slabshm_thread_note();
	if (!ret) {
		pthread_mutex_lock(&lock);
		ret = pool_count ? 0 : pool_fill();
		if (!ret)
			t->hot = pool[--pool_count];
		pthread_mutex_unlock(&lock);
	}
	if (ret) {
		free(t);
		return ret;
	}
	t->of_thread = mine;
	mine = t;
	*new = t;
	return 0;
}

/* One that is of no handle: new, or of one that was closed. */
static int thread_reader_get(struct thread_reader **reader)
{
	struct thread_reader *t;

	pthread_mutex_lock(&lock);
	for (t = mine; t && t->handle; t = t->of_thread)
		;
	pthread_mutex_unlock(&lock);
	*reader = t;
	return t ? 0 : thread_reader_new(reader);
}

/* A reader for this thread and handle. */
static int reader_new(struct handle *h, struct slabshm_reader **reader)
{
	struct thread_reader *t;
	int ret;

	ret = thread_reader_get(&t);
	if (!ret)
		ret = reader_register(h, t->hot);
	if (ret)
		return ret;
	pthread_mutex_lock(&lock);
	t->locks = false;
	t->handle = h;
	t->of_handle = h->readers;
	h->readers = t;
	pthread_mutex_unlock(&lock);
	*reader = t->hot;
	return 0;
}

static struct thread_reader *thread_reader_find(const struct slabshm *s)
{
	struct thread_reader *t;

	for (t = mine; t; t = t->of_thread) {
		/* Of a child's inherited ones this is NULL */
		if (t->hot->s == s)
			break;
	}
	return t;
}

/* This thread's reader for a handle, which becomes the one used last. */
static int reader_find(const struct slabshm *s, struct slabshm_reader **reader)
{
	struct thread_reader *t = thread_reader_find(s);
	int ret;

	if (t) {
		*reader = t->hot;
	} else {
		ret = reader_new((struct handle *)(uintptr_t)s, reader);
		if (ret)
			return ret;
	}
	__slabshm_reader = *reader;
	return 0;
}

/*
 * The thread's locks are to be released if it ends.  If there is no memory to
 * remember that, those who wait for them find it out.
 */
void slabshm_thread_has_locks(const struct slabshm *s)
{
	struct slabshm_reader *reader;

	if (!reader_find(s, &reader))
		thread_reader_find(s)->locks = true;
}

/*
 * The first pin of a thread, nested ones, those of several handles, fences.  A
 * pin in one that was withdrawn renews the slot.
 */
int __slabshm_pin_slow(const struct slabshm *s, struct slabshm_pin *pin)
{
	struct slabshm_reader *r;
	unsigned int depth, live;
	int ret;

	memset(pin, 0, sizeof(*pin));
	pin->reader = &no_reader;
	if (!__atomic_load_n(s->alive, __ATOMIC_RELAXED))
		return -EIO;
	ret = reader_find(s, &r);
	if (ret)
		return ret;
	depth = depth_of(r);
	live = live_of(r);
	if (depth == DEPTH_MAX)
		return -EOVERFLOW;
	if (live)
		ret = check_lo(r, r->slot->lo);
	if (ret == -ESTALE)
		live = 0;
	else if (ret)
		return ret;
	set_depth(r, depth + 1, live + 1);
	pin->reader = r;
	pin->slot = r->slot;
	pin->header = r->header;
	if (live) {
		/* Nested: the slot says all already */
		pin->lo = r->slot->lo;
		return 0;
	}
	/* As in slabshm_pin() */
	pin->lo = __atomic_load_n(&r->header->commit, __ATOMIC_ACQUIRE);
	__atomic_store_n(&r->slot->hi, pin->lo, __ATOMIC_RELAXED);
	__atomic_store_n(&r->slot->lo, pin->lo, __ATOMIC_RELAXED);
	/* Pairs with the grace period in reclaim_work() */
	if (needs_fence(r))
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
	else
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
	return 0;
}

/* @live of @depth pins are left. */
static void pins_end(struct slabshm_reader *r, unsigned int depth,
		     unsigned int live)
{
	set_depth(r, depth, live);
	tools_release_space(r->s);
	if (!live)
		__atomic_store_n(&r->slot->lo, 0, __ATOMIC_RELEASE);
}

int __slabshm_unpin_slow(const struct slabshm_pin *pin)
{
	struct slabshm_reader *r = pin->reader;
	unsigned int depth, live;
	int ret;

	if (!r->state)
		return -EIO;
	depth = depth_of(r);
	if (!depth)
		return -EINVAL;	/* not pinned */
	live = live_of(r);
	ret = check_lo(r, pin->lo);
	if (live && (pin->lo == r->slot->lo || live == depth))
		live--;
	pins_end(r, depth - 1, live);
	return ret;
}

int __slabshm_check_slow(const struct slabshm_pin *pin)
{
	const struct slabshm_reader *r = pin->reader;

	if (!r->state)
		return -EIO;
	return depth_of(r) ? check_lo(r, pin->lo) : -EINVAL;
}

int slabshm_unpin_all(const struct slabshm *s)
{
	struct thread_reader *t;
	struct slabshm_reader *r;
	unsigned int depth;
	int ret;

	if (!__atomic_load_n(s->alive, __ATOMIC_RELAXED))
		return -EIO;
	t = thread_reader_find(s);
	if (!t)
		return 0;
	r = t->hot;
	depth = depth_of(r);
	if (!depth)
		return 0;
	ret = live_of(r) < depth ? -ESTALE : check_lo(r, r->slot->lo);
	pins_end(r, 0, 0);
	return ret;
}

/*
 * Cover everything, then load the clock, then narrow down to it:
 * in this order, as whatever the reader uses must have been current at a moment
 * when the slot covered it already.
 */
static uint64_t advance(struct slabshm_reader *r)
{
	uint64_t now;

	__atomic_store_n(&r->slot->hi, UINT64_MAX, __ATOMIC_RELAXED);
	/* Pairs with the grace period in reclaim_work() */
	if (needs_fence(r))
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
	else
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
	/* Pairs with the release in the kernel's slabshm_cells_commit() */
	now = __atomic_load_n(&r->header->commit, __ATOMIC_ACQUIRE);
	__atomic_store_n(&r->slot->hi, now, __ATOMIC_RELAXED);
	return now;
}

/*
 * The version of a cell as of a commit; -EAGAIN if both are younger, or are
 * being replaced.  The barriers are those of slabshm_get().
 */
static int pick(struct slabshm_reader *r, const struct slabshm_ref *ref,
		uint64_t at, struct slabshm_view *view)
{
	const struct slabshm_cell *cell = &r->cells[ref->cell];
	uint64_t commit[2], used = 0, offset, tag;
	unsigned int i;

	for (i = 0; i < 2; i++) {
		commit[i] = __atomic_load_n(&cell->version[i].commit,
					    __ATOMIC_ACQUIRE);
		used |= commit[i];
		if (commit[i] > at)
			commit[i] = 0;
	}
	i = commit[1] > commit[0];
	if (!commit[i])
		return used ? -EAGAIN : -EINVAL;
	offset = __atomic_load_n(&cell->version[i].offset, __ATOMIC_RELAXED);
	view->length = __atomic_load_n(&cell->version[i].length,
				       __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	tag = __atomic_load_n(&cell->version[i].tag, __ATOMIC_ACQUIRE);
	/* If the tag is a younger version's, the commit has changed as well */
	if (!tag || __atomic_load_n(&cell->version[i].commit,
				    __ATOMIC_RELAXED) != commit[i])
		return -EAGAIN;
	tools_acquire_cell(r->s, ref->cell);
	if ((tag & ~SLABSHM_VERSION_EMPTY) - commit[i] != ref->generation)
		return -EIDRM;
	view->version = commit[i];
	view->data = tag & SLABSHM_VERSION_EMPTY ? NULL : r->data + offset;
	return view->data ? 0 : -ENODATA;
}

static int check_ref(struct slabshm_reader *r,
		     const struct slabshm_ref *ref)
{
	if (!r->state)
		return -EIO;
	if (!ref->generation || ref->cell >= r->s->max_cells)
		return -EINVAL;
	return ref->cell < cells_ready(r) ? 0 : -EINVAL;
}

/*
 * The newest version, which is younger than the pin's begin, or not a usual one.
 */
int __slabshm_get_slow(struct slabshm_reader *r, const struct slabshm_ref *ref,
		       struct slabshm_view *view)
{
	int ret = check_ref(r, ref);

	/* An earlier call may have taken it in */
	if (!ret && __slabshm_find(r, r->slot->hi, ref, view))
		return 0;
	memset(view, 0, sizeof(*view));
	if (ret)
		return ret;
	/* Again only if the cell was published twice since the clock was read */
	do {
		ret = pick(r, ref, advance(r), view);
	} while (ret == -EAGAIN);
	return ret;
}

uint64_t slabshm_snapshot(struct slabshm_pin *pin)
{
	if (!pin->reader->state)
		return 0;
	return advance(pin->reader);
}

int slabshm_get_at(struct slabshm_pin *pin, const struct slabshm_ref *ref,
		   uint64_t snapshot, struct slabshm_view *view)
{
	int ret = check_ref(pin->reader, ref);

	return ret ? ret : pick(pin->reader, ref, snapshot, view);
}

int slabshm_get_all(struct slabshm_pin *pin, const struct slabshm_ref *refs,
		    unsigned int n, struct slabshm_view *views,
		    unsigned int tries)
{
	unsigned int i = 0;
	uint64_t at;
	int ret = -EAGAIN;

	while (tries-- && ret == -EAGAIN) {
		at = slabshm_snapshot(pin);
		ret = 0;
		for (i = 0; i < n && !ret; i++) {
			ret = slabshm_get_at(pin, &refs[i], at, &views[i]);
			if (ret == -ENODATA)
				ret = 0;
		}
	}
	return ret;
}

/* Any read: nested, of something empty or too long, in a pin that is withdrawn. */
ssize_t __slabshm_read_slow(const struct slabshm *s,
			    const struct slabshm_ref *ref, void *buf,
			    size_t len, uint64_t *version)
{
	struct slabshm_view view;
	struct slabshm_pin pin;
	int ret, end;

	do {
		ret = slabshm_pin(s, &pin);
		if (ret)
			return ret;
		ret = slabshm_get(&pin, ref, &view);
		if (!ret && view.length > len)
			ret = -ERANGE;
		if (!ret && view.length)
			memcpy(buf, view.data, (size_t)view.length);
		end = slabshm_unpin(&pin);
	} while (end == -ESTALE);
	if (end && !ret)
		ret = end;
	if (version && (!ret || ret == -ENODATA || ret == -ERANGE))
		*version = view.version;
	return ret ? ret : (ssize_t)view.length;
}
