// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * libslabshm: allocating and freeing, and the cache of blocks
 *
 * Each thread has, for each handle that it allocates from, a cache: a magazine,
 * which is a stack of blocks, for each size class.  Classes have the numbers that
 * the page map shows, from 1.  To the kernel these blocks
 * are the client's like any others, so they are free again when it ends, however
 * that comes about, and any thread of the client may put any block into its own
 * cache.  Magazines are filled and emptied by half of their capacity in one call.
 *
 * A magazine begins without capacity, which doubles when it was found empty
 * or full, up to SLABSHM_BATCH_MAX blocks.  When the blocks of a cache sum up to
 * what the thread may keep, the magazine that holds the most gives half of it.
 *
 * When space runs short the kernel changes the header's pressure, at which each
 * call checks: the cache is emptied, and all begins without capacity again.
 *
 * A cache lies in memory that is zero in a child after fork(), so that it is no
 * handle's there.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "handle.h"

/*
 * What the blocks in a cache sum up to at most: bytes; share of the slab as large as
 * it may become; and as the slab is: so much while it is small, and a share of what
 * is beyond
 */
#define STOCK_MAX	(4UL * 1024 * 1024)
#define SLAB_SHARE	256
#define STOCK_MIN	(128UL * 1024)
#define SMALL_SLAB	(8UL * 1024 * 1024)
#define SIZE_SHARE	20
/* A block is cached if so many of them may be, once the slab is large */
#define BLOCKS_MIN	4

/**
 * struct magazine - the blocks of one class in a cache
 * @count: how many there are
 * @capacity: how many there may be
 * @size: bytes of each
 */
struct magazine {
	size_t count;
	size_t capacity;
	size_t size;
};

/**
 * struct cache - the blocks that one thread keeps of one handle
 * @s: the handle; NULL when that was closed, and in a child after fork()
 * @pressure: what the header said when the cache was emptied last
 * @limit: bytes that it may have, which grows with the slab
 * @budget: bytes that it may take yet
 * @of_handle: next one of the handle, protected by @lock
 * @of_thread: next one of the thread
 * @magazine: one for each number in the page map; those of no class, and of classes
 *	that are not cached, have no capacity
 * @block: their blocks
 *
 * All but @of_handle is the thread's alone; but slabshm_close() clears @s.
 */
struct cache {
	const struct slabshm *s;
	uint32_t pressure;
	uint64_t limit;
	uint64_t budget;
	struct cache *of_handle;
	struct cache *of_thread;
	struct magazine magazine[UINT8_MAX + 1];
	uint64_t block[][SLABSHM_BATCH_MAX];
};

#define CACHE_SIZE	(sizeof(struct cache) + \
			 (SLABSHM_CLASSES_MAX + 1) * \
			 sizeof(uint64_t[SLABSHM_BATCH_MAX]))

/* Protects the lists of handles. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct cache no_cache;

/* The thread's cache that was used last, never NULL; and all that it has. */
static __thread struct cache *last __SLABSHM_TLS = &no_cache;
static __thread struct cache *mine;

static bool unlikely(bool condition)
{
	return __builtin_expect(condition, 0);
}

static const struct slabshm *cache_handle(const struct cache *c)
{
	return __atomic_load_n(&c->s, __ATOMIC_RELAXED);
}

/*
 * ---------------- Calls ----------------
 */

static int alloc_call(struct slabshm *s, struct slabshm_block *blocks,
		      unsigned int n, size_t align, unsigned int flags)
{
	struct slabshm_alloc_args arg = {
		.blocks = (uintptr_t)blocks,
		.count = n,
		.flags = flags,
		.align = align,
	};
	unsigned int i;
	int ret;

	/* What only the kernel fills, valgrind holds to be undefined */
	for (i = 0; i < n && i < SLABSHM_BATCH_MAX; i++)
		blocks[i].offset = 0;
	ret = call(s, SLABSHM_IOC_ALLOC, &arg);
	if (!ret)
		tools_acquire_space(s);
	return ret;
}

/* Is this how an allocation fails that a block given back may help? */
static bool lacks_space(int ret)
{
	return ret == -ENOSPC || ret == -EDQUOT || ret == -ENOMEM ||
	       ret == -EFBIG;
}

/* Free blocks out of a cache, in any order. */
static void give_back(struct handle *h, uint64_t *offsets, unsigned int n)
{
	struct slabshm_free_args arg = { .offsets = (uintptr_t)offsets };

	tools_release_space(&h->s);
	while (n) {
		arg.count = n;
		arg.failed = n;
		if (!call(&h->s, SLABSHM_IOC_FREE, &arg) || arg.failed >= n)
			return;
		/* It was not the program's to free: the others still are */
		offsets[arg.failed] = offsets[--n];
	}
}

/*
 * ---------------- Caches ----------------
 */

static void magazine_push(struct cache *c, size_t class, uint64_t offset)
{
	struct magazine *m = &c->magazine[class];

	c->block[class][m->count++] = offset;
	c->budget -= m->size;
	tools_poison(c->s, offset, m->size);
}

static uint64_t magazine_pop(struct cache *c, size_t class)
{
	struct magazine *m = &c->magazine[class];
	uint64_t offset = c->block[class][--m->count];

	c->budget += m->size;
	tools_unpoison(c->s, offset, m->size);
	return offset;
}

/* It was found empty or full: may it become larger? */
static bool magazine_grow(struct magazine *m)
{
	if (m->capacity == SLABSHM_BATCH_MAX)
		return false;
	m->capacity = m->capacity ? 2 * m->capacity : 1;
	return true;
}

/* Half of it goes back: the oldest, which the CPU's caches have forgotten. */
static void magazine_flush(struct cache *c, size_t class)
{
	struct magazine *m = &c->magazine[class];
	unsigned int n = (unsigned int)(m->count + 1) / 2;
	uint64_t *block = c->block[class];
	unsigned int i;

	for (i = 0; i < n; i++)
		tools_unpoison(c->s, block[i], m->size);
	give_back((struct handle *)(uintptr_t)c->s, block, n);
	m->count -= n;
	c->budget += n * m->size;
	memmove(block, block + n, m->count * sizeof(*block));
}

/* Let there be a budget of @need bytes, which is no more than the limit. */
static void cache_trim(struct cache *c, uint64_t need)
{
	const struct handle *h = (const struct handle *)c->s;
	unsigned int i, most;
	uint64_t bytes, max;

	while (c->budget < need) {
		most = 0;
		max = 0;
		for (i = 1; i <= h->nclasses; i++) {
			bytes = c->magazine[i].count * c->magazine[i].size;
			if (bytes > max) {
				max = bytes;
				most = i;
			}
		}
		magazine_flush(c, most);
	}
}

/* All blocks go back, and each magazine begins anew. */
static void cache_drain(struct cache *c)
{
	struct handle *h = (struct handle *)(uintptr_t)c->s;
	uint64_t batch[SLABSHM_BATCH_MAX];
	unsigned int i, n = 0;

	/* First: what comes after this is for the next call */
	c->pressure = __atomic_load_n(&h->s.header->pressure, __ATOMIC_RELAXED);
	for (i = 1; i <= h->nclasses; i++) {
		struct magazine *m = &c->magazine[i];

		while (m->count) {
			batch[n++] = magazine_pop(c, i);
			if (n == SLABSHM_BATCH_MAX) {
				give_back(h, batch, n);
				n = 0;
			}
		}
		m->capacity = 0;
	}
	give_back(h, batch, n);
}

/* Did someone run short of space since this cache was emptied? */
static bool under_pressure(const struct cache *c, const struct slabshm *s)
{
	return __atomic_load_n(&s->header->pressure, __ATOMIC_RELAXED) !=
	       c->pressure;
}

static void lock_all(void)
{
	pthread_mutex_lock(&lock);
}

static void unlock_all(void)
{
	pthread_mutex_unlock(&lock);
}

static void cache_unlink(struct handle *h, struct cache *c)
{
	struct cache **link;

	for (link = &h->caches; *link != c; link = &(*link)->of_handle)
		;
	*link = c->of_handle;
}

/* A thread ends: what it kept goes back. */
void slabshm_caches_thread_exit(void)
{
	struct handle *h;
	struct cache *c;

	last = &no_cache;
	while ((c = mine)) {
		mine = c->of_thread;
		pthread_mutex_lock(&lock);
		h = (struct handle *)(uintptr_t)c->s;
		if (h) {
			cache_unlink(h, c);
			pthread_rwlock_rdlock(&h->ending);
		}
		pthread_mutex_unlock(&lock);
		if (h) {
			cache_drain(c);
			pthread_rwlock_unlock(&h->ending);
		}
		munmap(c, CACHE_SIZE);
	}
}

__attribute__((constructor))
static void magazine_init(void)
{
	pthread_atfork(lock_all, unlock_all, unlock_all);
}

/* A cache of no handle yet. */
static struct cache *cache_new(void)
{
	struct cache *c;

	if (slabshm_thread_note())
		return NULL;
	c = mmap(NULL, CACHE_SIZE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (c == MAP_FAILED)
		return NULL;
	if (madvise(c, CACHE_SIZE, MADV_WIPEONFORK)) {
		munmap(c, CACHE_SIZE);
		return NULL;
	}
	c->of_thread = mine;
	mine = c;
	return c;
}

/* This thread's cache of a handle, if it has one. */
static struct cache *cache_find(const struct slabshm *s)
{
	struct cache *c = mine;

	/* In a child the first of the list says that it is the last */
	while (c && cache_handle(c) != s)
		c = c->of_thread;
	return c;
}

/* The slab may have grown. */
static void cache_grow(struct cache *c, const struct handle *h)
{
	uint64_t size = __atomic_load_n(&h->s.header->size, __ATOMIC_RELAXED);
	uint64_t limit = STOCK_MIN;

	if (size > SMALL_SLAB)
		limit += (size - SMALL_SLAB) / SIZE_SHARE;
	if (limit > h->stock_limit)
		limit = h->stock_limit;
	/* It never shrinks, but for growth that could not be finished */
	if (limit <= c->limit)
		return;
	c->budget += limit - c->limit;
	c->limit = limit;
}

/* This thread's cache of a handle, which becomes the one used last; or NULL. */
static struct cache *cache_get(struct slabshm *s)
{
	struct handle *h = (struct handle *)s;
	struct cache *c;
	unsigned int i;

	if (!h->stock_limit || !*s->alive)
		return NULL;
	c = cache_find(s);
	if (!c) {
		c = cache_find(NULL);
		if (!c)
			c = cache_new();
		if (!c)
			return NULL;
		/* It may have been of a handle with more classes */
		memset(c->magazine, 0, sizeof(c->magazine));
		for (i = 1; i <= h->nclasses; i++)
			c->magazine[i] = (struct magazine){
				.size = s->header->classes[i - 1],
				/* So that the neighbours are in it, poisoned */
				.capacity = tools_present() ? SLABSHM_BATCH_MAX : 0,
			};
		c->limit = 0;
		c->budget = 0;
		c->pressure = __atomic_load_n(&s->header->pressure,
					      __ATOMIC_RELAXED);
		pthread_mutex_lock(&lock);
		c->of_handle = h->caches;
		h->caches = c;
		__atomic_store_n(&c->s, s, __ATOMIC_RELAXED);
		pthread_mutex_unlock(&lock);
	}
	cache_grow(c, h);
	if (!tools_present())
		last = c;
	return c;
}

/* A handle is new: which classes there are, and how much threads may keep. */
void slabshm_caches_open(struct handle *h, bool rdonly)
{
	const struct slabshm_header *header = h->s.header;
	const char *check = secure_getenv("SLABSHM_CHECK");
	unsigned int class = 1;
	size_t i;

	h->page_map = (const uint8_t *)header + header->map_offset;
	h->page_shift = header->page_shift;
	if (rdonly || (check && *check && strcmp(check, "0")))
		return;
	h->stock_limit = h->s.max_size / SLAB_SHARE;
	if (h->stock_limit > STOCK_MAX)
		h->stock_limit = STOCK_MAX;
	while (h->nclasses < SLABSHM_CLASSES_MAX &&
	       header->classes[h->nclasses] &&
	       header->classes[h->nclasses] <= STOCK_SIZE_MAX &&
	       header->classes[h->nclasses] <= h->stock_limit / BLOCKS_MIN)
		h->nclasses++;
	for (i = 0; i < STOCK_SIZE_MAX / SLABSHM_GRANULE; i++) {
		if (class <= h->nclasses &&
		    i * SLABSHM_GRANULE >= header->classes[class - 1])
			class++;
		if (class > h->nclasses)
			break;
		h->class_of[i] = (uint8_t)class;
	}
	h->stock_max = i * SLABSHM_GRANULE;
}

/* Something else will be mapped where its blocks are poisoned. */
static void cache_forget(struct cache *c, const struct handle *h)
{
	size_t class;

	for (class = 1; class <= h->nclasses; class++)
		while (c->magazine[class].count)
			magazine_pop(c, class);
}

/* The handle is closed: its caches are nobody's, the blocks go with it. */
void slabshm_caches_close(struct handle *h)
{
	struct cache *c;

	/* In a child they may be those of other handles by now */
	if (!h->s.alive || !*h->s.alive)
		return;
	pthread_mutex_lock(&lock);
	for (c = h->caches; c; c = c->of_handle) {
		if (tools_present())
			cache_forget(c, h);
		__atomic_store_n(&c->s, NULL, __ATOMIC_RELAXED);
	}
	pthread_mutex_unlock(&lock);
}

/*
 * ---------------- Allocating ----------------
 */

int slabshm_alloc_batch(struct slabshm *s, struct slabshm_block *blocks,
			unsigned int n, size_t align, unsigned int flags)
{
	struct cache *c = cache_find(s);
	int ret;

	if (c && under_pressure(c, s))
		cache_drain(c);
	/* Before others are asked for space, what this thread keeps goes */
	if (c && c->budget < c->limit) {
		ret = alloc_call(s, blocks, n, align,
				 flags | SLABSHM_ALLOC_OPPORTUNISTIC);
		if (!lacks_space(ret))
			return ret;
		cache_drain(c);
	}
	return alloc_call(s, blocks, n, align, flags);
}

/*
 * A call that takes blocks past the cache has given @ret: is it worth trying again,
 * as this thread's cache had some?  Or before the call, with 0: others may want them.
 */
bool slabshm_caches_relieve(const struct slabshm *s, int ret)
{
	struct cache *c = cache_find(s);

	if (!c || (!lacks_space(ret) && !under_pressure(c, s)) ||
	    c->budget == c->limit)
		return false;
	cache_drain(c);
	return lacks_space(ret);
}

static int64_t alloc_one(struct slabshm *s, size_t size, size_t align,
			 unsigned int flags)
{
	struct slabshm_block block = { .size = size };
	int ret = slabshm_alloc_batch(s, &block, 1, align, flags);

	return ret ? ret : (int64_t)block.offset;
}

/* A large block, or a magazine that is empty, or was not used yet. */
__attribute__((noinline))
static int64_t alloc_slow(struct slabshm *s, size_t size)
{
	struct handle *h = (struct handle *)s;
	struct slabshm_block block[SLABSHM_BATCH_MAX];
	struct cache *c = cache_get(s);
	struct magazine *m;
	unsigned int class, i, n;
	int ret;

	if (!c)
		return alloc_one(s, size, 0, 0);
	if (under_pressure(c, s))
		cache_drain(c);
	if (size - 1 >= h->stock_max)
		return alloc_one(s, size, 0, 0);
	class = h->class_of[(size - 1) / SLABSHM_GRANULE];
	m = &c->magazine[class];
	if (m->count)
		return (int64_t)magazine_pop(c, class);

	magazine_grow(m);
	n = m->capacity > 1 ? (unsigned int)m->capacity / 2 : 1;
	if ((n - 1) * m->size > c->budget)
		n = (unsigned int)(c->budget / m->size) + 1;
	for (i = 0; i < n; i++)
		block[i].size = m->size;
	ret = alloc_call(s, block, n, 0, SLABSHM_ALLOC_OPPORTUNISTIC);
	if (ret) {
		if (!lacks_space(ret))
			return ret;
		/* Not for so many, perhaps for the one that is needed */
		cache_drain(c);
		return alloc_one(s, size, 0, 0);
	}
	/* The first one given is the first one used */
	for (i = n - 1; i; i--)
		magazine_push(c, class, block[i].offset);
	return (int64_t)block[0].offset;
}

int64_t slabshm_alloc(struct slabshm *s, size_t size)
{
	const struct handle *h = (const struct handle *)s;
	struct cache *c = last;
	struct magazine *m;
	size_t class, count;

	if (unlikely(cache_handle(c) != s || size - 1 >= h->stock_max ||
		     under_pressure(c, s)))
		return alloc_slow(s, size);
	class = h->class_of[(size - 1) / SLABSHM_GRANULE];
	m = &c->magazine[class];
	if (unlikely(__builtin_sub_overflow(m->count, 1, &count)))
		return alloc_slow(s, size);
	m->count = count;
	c->budget += m->size;
	return (int64_t)c->block[class][count];
}

int64_t slabshm_alloc_aligned(struct slabshm *s, size_t size, size_t align)
{
	return alloc_one(s, size, align, 0);
}

int64_t slabshm_alloc_zeroed(struct slabshm *s, size_t size)
{
	const struct handle *h = (const struct handle *)s;
	unsigned int class;
	int64_t offset;

	if (size - 1 >= h->stock_max)
		return alloc_one(s, size, 0, SLABSHM_ALLOC_ZERO);
	class = h->class_of[(size - 1) / SLABSHM_GRANULE];
	offset = slabshm_alloc(s, size);
	if (offset > 0)
		memset(s->data + offset, 0, s->header->classes[class - 1]);
	return offset;
}

/*
 * ---------------- Freeing ----------------
 */

int slabshm_free_batch(struct slabshm *s, const uint64_t *offsets,
		       unsigned int n)
{
	struct slabshm_free_args arg = {
		.offsets = (uintptr_t)offsets,
		.count = n,
	};

	tools_release_space(s);
	return call(s, SLABSHM_IOC_FREE, &arg);
}

/* May a block be at this offset?  Beyond the size, the page map may have no memory. */
static inline bool block_possible(const struct handle *h, uint64_t offset)
{
	return !(offset % SLABSHM_GRANULE) &&
	       offset < __atomic_load_n(&h->s.header->size, __ATOMIC_RELAXED);
}

/* The class of the block there; or a number whose magazine has no capacity. */
static inline size_t block_class(const struct handle *h, uint64_t offset)
{
	return __atomic_load_n(&h->page_map[offset >> h->page_shift],
			       __ATOMIC_RELAXED);
}

/* What only the kernel can judge, or a magazine that is full. */
__attribute__((noinline))
static int free_slow(struct slabshm *s, uint64_t offset)
{
	const struct handle *h = (const struct handle *)s;
	struct cache *c = cache_get(s);
	struct magazine *m;
	size_t class = SLABSHM_PAGE_NONE;

	if (!c)
		return slabshm_free_batch(s, &offset, 1);
	if (under_pressure(c, s))
		cache_drain(c);
	else if (block_possible(h, offset))
		class = block_class(h, offset);
	if (class == SLABSHM_PAGE_NONE || class > h->nclasses)
		return slabshm_free_batch(s, &offset, 1);
	m = &c->magazine[class];
	if (m->count >= m->capacity && !magazine_grow(m))
		magazine_flush(c, class);
	cache_trim(c, m->size);
	magazine_push(c, class, offset);
	return 0;
}

int slabshm_free(struct slabshm *s, uint64_t offset)
{
	const struct handle *h = (const struct handle *)s;
	struct cache *c = last;
	struct magazine *m;
	uint64_t budget;
	size_t class;

	if (unlikely(cache_handle(c) != s || under_pressure(c, s) ||
		     !block_possible(h, offset)))
		return free_slow(s, offset);
	class = block_class(h, offset);
	m = &c->magazine[class];
	if (unlikely(m->count >= m->capacity))
		return free_slow(s, offset);
	if (unlikely(__builtin_sub_overflow(c->budget, m->size, &budget)))
		return free_slow(s, offset);
	c->block[class][m->count++] = offset;
	c->budget = budget;
	return 0;
}

/*
 * ---------------- Sizes ----------------
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
