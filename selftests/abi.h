/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A heap with a bit of everything in it, and EXPECT_REFUSED(): a call that is
 * refused must have changed nothing that can be seen.
 */
#ifndef SELFTESTS_ABI_H
#define SELFTESTS_ABI_H

#include "common.h"
#include "kselftest_harness.h"

#define HEAP_MAX	(16 * MIB)
#define HEAP_SIZE	MIB
#define KERNEL_ADDRESS	0xffff888000001000ULL

/**
 * struct heap - a slab with a bit of everything in it
 * @name: its name
 * @c: who makes the calls
 * @other: a second client of this process
 * @ro: a third, which may only read
 * @cell: a cell with @root and @part
 * @empty: a cell without an object
 * @gone: a cell that was removed
 * @root: published
 * @part: published
 * @own: a small block of @c
 * @large: a large block of @c
 * @foreign: a block of @other
 * @page: a page, and behind it is nothing
 * @entries: room for LIST
 * @block: for ALLOC and FREE
 * @item: for PUBLISH
 * @lock: for LOCK and UNLOCK
 * @wait: for WAIT
 * @event: for EVENTS
 * @victim: name of a slab for UNLINK, or NULL
 */
struct heap {
	const char *name;
	struct client c;
	struct client other;
	struct client ro;
	struct slabshm_cell_open_args cell;
	struct slabshm_cell_open_args empty;
	struct slabshm_cell_open_args gone;
	__u64 root;
	__u64 part;
	__u64 own;
	__u64 large;
	__u64 foreign;
	char *page;
	char *entries;
	struct slabshm_block block;
	struct slabshm_publish_cell item;
	struct slabshm_lock_cell lock;
	struct slabshm_wait_cell wait;
	struct slabshm_event event;
	const char *victim;
};

/* All that a program can see of the heap. */
struct state {
	struct slabshm_stat stat;
	struct slabshm_header header;
	struct slabshm_cell lines[8];
	struct slabshm_cell_entry cells[64];
	struct slabshm_client_entry clients[8];
	struct slabshm_stat slabs[16];
	struct slabshm_lock_entry locks[16];
	int ncells;
	int nclients;
	int nlocks;
	int nslabs;
	long refs;
};

static inline int list_all(const struct client *c, unsigned int what, void *entries,
			   unsigned int size, unsigned int room)
{
	__u64 cursor = 0;

	return list(c, what, entries, size, room, &cursor);
}

static inline void take_state(const struct heap *h, struct state *s)
{
	static struct slabshm_stat slabs[64];
	char prefix[32];
	int i, n;

	/* What is retired goes by itself: let it. */
	wait_until(!get_stat(&h->c, &s->stat) && !s->stat.retired, 2000);
	memset(s, 0, sizeof(*s));
	get_stat(&h->c, &s->stat);
	s->header = *h->c.control;
	/* That an allocation failed is seen in this alone */
	s->header.pressure = 0;
	memcpy(s->lines, (char *)h->c.control + h->c.control->cells_offset,
	       sizeof(s->lines));
	s->ncells = list_all(&h->c, SLABSHM_LIST_CELLS, s->cells,
			     sizeof(s->cells[0]), ARRAY_LEN(s->cells));
	s->nclients = list_all(&h->c, SLABSHM_LIST_CLIENTS, s->clients,
			       sizeof(s->clients[0]), ARRAY_LEN(s->clients));
	s->nlocks = list_all(&h->c, SLABSHM_LIST_LOCKS, s->locks,
			     sizeof(s->locks[0]), ARRAY_LEN(s->locks));
	for (i = 0; i < s->nlocks; i++)
		s->locks[i].ms = 0;

	/* Those of other tests may still be on their way out. */
	snprintf(prefix, sizeof(prefix), "test-%d-", getpid());
	n = list_all(&h->c, SLABSHM_LIST_SLABS, slabs, sizeof(slabs[0]),
		     ARRAY_LEN(slabs));
	for (i = 0; i < n; i++)
		if (!strncmp(slabs[i].name, prefix, strlen(prefix)))
			s->slabs[s->nslabs++ % ARRAY_LEN(s->slabs)] = slabs[i];
	s->refs = module_refs();
}

/* What of it is not the same any more; "" if all is. */
static inline const char *what_changed(const struct state *a,
				       const struct state *b)
{
	if (memcmp(&a->stat, &b->stat, sizeof(a->stat)))
		return "the figures have changed";
	if (memcmp(&a->header, &b->header, sizeof(a->header)))
		return "the header has changed";
	if (memcmp(&a->lines, &b->lines, sizeof(a->lines)))
		return "cell table has changed";
	if (memcmp(&a->cells, &b->cells, sizeof(a->cells)))
		return "the cells have changed";
	if (memcmp(&a->clients, &b->clients, sizeof(a->clients)))
		return "the clients have changed";
	if (memcmp(&a->locks, &b->locks, sizeof(a->locks)) ||
	    a->nlocks != b->nlocks)
		return "the locks have changed";
	if (memcmp(&a->slabs, &b->slabs, sizeof(a->slabs)))
		return "the slabs have changed";
	return a->refs == b->refs ? "" : "the module's references have changed";
}

static struct state before, after;

static inline const char *verdict(int error, int got)
{
	static char text[64];

	if (got == -error)
		return what_changed(&before, &after);
	snprintf(text, sizeof(text), "%d instead of %d", got, -error);
	return text;
}

/* @expr, a call on the heap @h, must give -@error and change nothing. */
#define EXPECT_REFUSED(error, expr)					\
	EXPECT_STREQ("", ({						\
		int got_;						\
									\
		take_state(h, &before);					\
		got_ = (expr);						\
		take_state(h, &after);					\
		verdict(error, got_);					\
	}))

/* Address space that a test made read-only, so that results cannot be told */
static inline void protect(const struct heap *h, int prot)
{
	mprotect(h->page, PAGE, prot);
}

/* Which step failed, or 0. */
static inline int heap_make(struct heap *h)
{
	struct slabshm_publish_cell item = { 0 };
	struct slabshm_publish_part part = { .op = SLABSHM_PART_ATTACH };

	memset(h, 0, sizeof(*h));
	h->name = unique_name();
	if (client_open(&h->c, h->name, SLABSHM_ATTACH_CREATE, HEAP_MAX,
			HEAP_SIZE) ||
	    client_open(&h->other, h->name, 0, 0, 0) ||
	    client_open(&h->ro, h->name, SLABSHM_ATTACH_RDONLY, 0, 0))
		return 1;
	if (cell_open(&h->c, "cell", SLABSHM_CELL_CREATE, &h->cell) ||
	    cell_open(&h->c, "empty", SLABSHM_CELL_CREATE, &h->empty) ||
	    cell_open(&h->c, "gone", SLABSHM_CELL_CREATE, &h->gone) ||
	    cell_remove(&h->c, &h->gone))
		return 2;
	h->own = (__u64)alloc_block(&h->c, 1000);
	h->large = (__u64)alloc_block(&h->c, 100000);
	h->foreign = (__u64)alloc_block(&h->other, 1000);
	h->root = (__u64)alloc_block(&h->c, 1000);
	h->part = (__u64)alloc_block(&h->c, 1000);
	if ((h->own | h->large | h->foreign | h->root | h->part) >= HEAP_MAX)
		return 3;
	item.cell = h->cell.cell;
	item.generation = h->cell.generation;
	item.block = h->root;
	item.length = 999;
	part.block = h->part;
	if (publish(&h->c, &item, 1, &part, 1, NULL, NULL))
		return 4;

	h->page = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (h->page == MAP_FAILED || munmap(h->page + PAGE, PAGE))
		return 5;
	h->entries = malloc(4 * sizeof(struct slabshm_stat));
	return h->entries ? 0 : 6;
}

static inline void heap_end(struct heap *h)
{
	if (h->victim)
		unlink_slab(h->victim);
	client_close(&h->ro);
	client_close(&h->other);
	client_close(&h->c);
	free(h->entries);
}

#endif /* SELFTESTS_ABI_H */
