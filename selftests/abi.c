// SPDX-License-Identifier: GPL-2.0
/*
 * The ioctls as such: each with a valid argument, and with arguments made to
 * hurt.  A call that is refused must have changed nothing.  What each call does
 * is for abi_slabs.c, abi_blocks.c and abi_cells.c.
 */
#include <assert.h>
#include <stddef.h>

#include "abi.h"
#include "watches.h"

/*
 * The layout is the same for 32-bit and 64-bit programs: a build of this file
 * with -m32 checks these too.
 */
#define LAYOUT(type, field, at) \
	static_assert(offsetof(struct type, field) == (at), #type "." #field)
#define SIZE(type, size) \
	static_assert(sizeof(struct type) == (size), #type)

SIZE(slabshm_version, 32);
LAYOUT(slabshm_version, tag, 24);
SIZE(slabshm_cell, 64);
SIZE(slabshm_header, 512);
LAYOUT(slabshm_header, max_size, 32);
LAYOUT(slabshm_header, map_offset, 48);
LAYOUT(slabshm_header, commit, 128);
LAYOUT(slabshm_header, size, 192);
LAYOUT(slabshm_header, evicted, 200);
LAYOUT(slabshm_header, classes, 256);
LAYOUT(slabshm_header, cells_ready, 208);
LAYOUT(slabshm_header, pressure, 212);
SIZE(slabshm_slot, 64);
SIZE(slabshm_attach_args, 376);
LAYOUT(slabshm_attach_args, max_size, 16);
LAYOUT(slabshm_attach_args, max_cells, 36);
LAYOUT(slabshm_attach_args, held_limit, 56);
LAYOUT(slabshm_attach_args, features, 64);
LAYOUT(slabshm_attach_args, reader_size, 112);
LAYOUT(slabshm_attach_args, name, 120);
SIZE(slabshm_unlink_args, 264);
LAYOUT(slabshm_unlink_args, name, 8);
SIZE(slabshm_setattr_args, 24);
SIZE(slabshm_block, 16);
SIZE(slabshm_alloc_args, 32);
LAYOUT(slabshm_alloc_args, align, 16);
LAYOUT(slabshm_alloc_args, count, 24);
SIZE(slabshm_free_args, 24);
SIZE(slabshm_block_args, 40);
SIZE(slabshm_grow_args, 16);
SIZE(slabshm_trim_args, 16);
SIZE(slabshm_cell_open_args, 280);
LAYOUT(slabshm_cell_open_args, name, 24);
SIZE(slabshm_cell_remove_args, 24);
SIZE(slabshm_publish_cell, 40);
SIZE(slabshm_publish_part, 16);
SIZE(slabshm_publish_args, 40);
LAYOUT(slabshm_publish_args, commit, 32);
LAYOUT(slabshm_publish_args, ncells, 24);
LAYOUT(slabshm_publish_args, failed, 28);
SIZE(slabshm_register_args, 16);
SIZE(slabshm_unregister_args, 16);
SIZE(slabshm_reader_check_args, 24);
SIZE(slabshm_lock_cell, 16);
LAYOUT(slabshm_lock_cell, generation, 8);
SIZE(slabshm_lock_args, 32);
LAYOUT(slabshm_lock_args, failed, 28);
SIZE(slabshm_unlock_args, 24);
LAYOUT(slabshm_unlock_args, failed, 20);
SIZE(slabshm_wait_cell, 24);
LAYOUT(slabshm_wait_cell, version, 16);
SIZE(slabshm_wait_args, 32);
LAYOUT(slabshm_wait_args, failed, 28);
SIZE(slabshm_watch_args, 32);
SIZE(slabshm_unwatch_args, 24);
SIZE(slabshm_event, 24);
LAYOUT(slabshm_event, version, 16);
SIZE(slabshm_events_args, 32);
LAYOUT(slabshm_events_args, deadline, 16);
SIZE(slabshm_cancel_args, 8);
SIZE(slabshm_compact_args, 24);
LAYOUT(slabshm_compact_args, cursor, 16);
SIZE(slabshm_stat, 392);
LAYOUT(slabshm_stat, cells, 88);
LAYOUT(slabshm_stat, readers, 116);
LAYOUT(slabshm_stat, name, 136);
SIZE(slabshm_cell_entry, 312);
SIZE(slabshm_client_entry, 32);
SIZE(slabshm_reader_entry, 48);
SIZE(slabshm_lock_entry, 288);
LAYOUT(slabshm_lock_entry, ms, 24);
LAYOUT(slabshm_lock_entry, name, 32);
SIZE(slabshm_list_args, 40);

static_assert(SLABSHM_IOC_ATTACH == 0xc178b500, "ATTACH");
static_assert(SLABSHM_IOC_STAT == 0xc188b503, "STAT");
static_assert(SLABSHM_IOC_PUBLISH == 0xc028b50c, "PUBLISH");
static_assert(SLABSHM_IOC_LOCK == 0xc020b510, "LOCK");
static_assert(SLABSHM_IOC_UNLOCK == 0xc018b511, "UNLOCK");
static_assert(SLABSHM_IOC_WAIT == 0xc020b512, "WAIT");
static_assert(SLABSHM_IOC_WATCH == 0xc020b513, "WATCH");
static_assert(SLABSHM_IOC_UNWATCH == 0x4018b514, "UNWATCH");
static_assert(SLABSHM_IOC_EVENTS == 0xc020b515, "EVENTS");
static_assert(SLABSHM_IOC_CANCEL == 0x4008b516, "CANCEL");
static_assert(SLABSHM_IOC_COMPACT == 0xc018b517, "COMPACT");

#define NCALLS	24

/*
 * ---------------- The calls, each with a valid argument ----------------
 */

#define SLAB	1	/* needs an attached client */
#define WRITE	2	/* needs the write right */
#define LIFE	4	/* needs the reader mapping */
#define ALL	(SLAB | WRITE | LIFE)
#define OUT	8	/* writes its argument when it succeeds, and checks that */

static void fill_attach(struct heap *h, void *p)
{
	(void)h;
	ask_attach(p, NULL, SLABSHM_ATTACH_CREATE, MIB, 0);
}

static void fill_unlink(struct heap *h, void *p)
{
	struct slabshm_unlink_args *arg = p;
	struct slabshm_stat st;
	struct client c;

	if (!h->victim || !slab_listed(h->victim, NULL)) {
		h->victim = "test-unlink";
		if (!client_open(&c, h->victim, SLABSHM_ATTACH_CREATE |
				 SLABSHM_ATTACH_PERSIST, MIB, 0))
			client_close(&c);
		wait_until(slab_listed(h->victim, &st) && !st.clients, 2000);
	}
	memset(arg, 0, sizeof(*arg));
	set_name(arg->name, h->victim);
}

static void fill_setattr(struct heap *h, void *p)
{
	struct slabshm_setattr_args *arg = p;

	(void)h;
	poison(arg, sizeof(*arg));
	arg->flags = SLABSHM_SETATTR_MODE;
	arg->pad = 0;
	arg->mode = 0640;
}

static void fill_stat(struct heap *h, void *p)
{
	struct slabshm_stat *arg = p;

	(void)h;
	poison(arg, sizeof(*arg));
	arg->flags = 0;
}

static void fill_list(struct heap *h, void *p)
{
	*(struct slabshm_list_args *)p = (struct slabshm_list_args){
		.what = SLABSHM_LIST_CLIENTS,
		.entry_size = sizeof(struct slabshm_client_entry),
		.entries = (uintptr_t)h->entries,
		.count = 1,
	};
}

static void fill_alloc(struct heap *h, void *p)
{
	h->block.size = 64;
	h->block.offset = POISON64;
	*(struct slabshm_alloc_args *)p = (struct slabshm_alloc_args){
		.blocks = (uintptr_t)&h->block,
		.count = 1,
	};
}

static void fill_free(struct heap *h, void *p)
{
	h->block.offset = (__u64)alloc_block(&h->c, 64);
	*(struct slabshm_free_args *)p = (struct slabshm_free_args){
		.offsets = (uintptr_t)&h->block.offset,
		.count = 1,
		.failed = POISON32,
	};
}

static void fill_block(struct heap *h, void *p)
{
	struct slabshm_block_args *arg = p;

	poison(arg, sizeof(*arg));
	arg->flags = 0;
	arg->offset = h->own;
	arg->pad = 0;
}

static void fill_grow(struct heap *h, void *p)
{
	struct slabshm_grow_args *arg = p;
	struct slabshm_stat st;

	get_stat(&h->c, &st);
	memset(arg, 0, sizeof(*arg));
	arg->size = st.size + 1;
}

static void fill_trim(struct heap *h, void *p)
{
	struct slabshm_trim_args *arg = p;

	(void)h;
	memset(arg, 0, sizeof(*arg));
	arg->bytes = PAGE;
}

static void fill_cell_open(struct heap *h, void *p)
{
	struct slabshm_cell_open_args *arg = p;

	(void)h;
	poison(arg, sizeof(*arg));
	arg->flags = SLABSHM_CELL_CREATE;
	arg->pad = 0;
	set_name(arg->name, unique_name());
}

static void fill_cell_remove(struct heap *h, void *p)
{
	struct slabshm_cell_open_args cell;

	cell_open(&h->c, unique_name(), SLABSHM_CELL_CREATE, &cell);
	*(struct slabshm_cell_remove_args *)p = (struct slabshm_cell_remove_args){
		.cell = cell.cell,
		.generation = cell.generation,
	};
}

static void fill_publish(struct heap *h, void *p)
{
	h->item = (struct slabshm_publish_cell){
		.cell = h->empty.cell,
		.generation = h->empty.generation,
	};
	*(struct slabshm_publish_args *)p = (struct slabshm_publish_args){
		.cells = (uintptr_t)&h->item,
		.ncells = 1,
		.failed = POISON32,
		.commit = POISON64,
	};
}

static void fill_register(struct heap *h, void *p)
{
	struct slabshm_register_args *arg = p;

	(void)h;
	poison(arg, sizeof(*arg));
	arg->flags = 0;
	arg->pad = 0;
}

static __u32 some_slot(struct heap *h)
{
	struct slabshm_register_args slot = { 0 };

	return client_call(&h->c, SLABSHM_IOC_REGISTER, &slot) ? POISON32 : slot.slot;
}

static void fill_unregister(struct heap *h, void *p)
{
	*(struct slabshm_unregister_args *)p = (struct slabshm_unregister_args){
		.slot = some_slot(h),
	};
}

static void fill_reader_check(struct heap *h, void *p)
{
	*(struct slabshm_reader_check_args *)p = (struct slabshm_reader_check_args){
		.slot = some_slot(h),
		.lo = ~0ULL,
	};
}

static void fill_lock(struct heap *h, void *p)
{
	unlock_one(&h->c, &h->empty, 0);
	h->lock = (struct slabshm_lock_cell){
		.cell = h->empty.cell,
		.generation = h->empty.generation,
	};
	*(struct slabshm_lock_args *)p = (struct slabshm_lock_args){
		.cells = (uintptr_t)&h->lock,
		.deadline = SLABSHM_DEADLINE_NEVER,
		.count = 1,
		.failed = POISON32,
	};
}

static void fill_unlock(struct heap *h, void *p)
{
	lock_one(&h->c, &h->empty, 0);
	h->lock = (struct slabshm_lock_cell){
		.cell = h->empty.cell,
		.generation = h->empty.generation,
	};
	*(struct slabshm_unlock_args *)p = (struct slabshm_unlock_args){
		.cells = (uintptr_t)&h->lock,
		.count = 1,
		.failed = POISON32,
	};
}

static void fill_wait(struct heap *h, void *p)
{
	h->wait = wait_cell(&h->empty, 0);
	*(struct slabshm_wait_args *)p = (struct slabshm_wait_args){
		.cells = (uintptr_t)&h->wait,
		.count = 1,
		.failed = POISON32,
	};
}

static void fill_watch(struct heap *h, void *p)
{
	unwatch(&h->c, &h->empty);
	*(struct slabshm_watch_args *)p = (struct slabshm_watch_args){
		.cell = h->empty.cell,
		.generation = h->empty.generation,
	};
}

static void fill_unwatch(struct heap *h, void *p)
{
	watch(&h->c, &h->empty, 0, NULL);
	*(struct slabshm_unwatch_args *)p = (struct slabshm_unwatch_args){
		.cell = h->empty.cell,
		.generation = h->empty.generation,
	};
}

/* There is one, for each who may ask. */
static void fill_events(struct heap *h, void *p)
{
	unwatch(&h->c, NULL);
	watch(&h->c, NULL, SLABSHM_WATCH_SINCE, NULL);
	unwatch(&h->ro, NULL);
	watch(&h->ro, NULL, SLABSHM_WATCH_SINCE, NULL);
	poison(&h->event, sizeof(h->event));
	*(struct slabshm_events_args *)p = (struct slabshm_events_args){
		.events = (uintptr_t)&h->event,
		.count = 1,
	};
}

static void fill_cancel(struct heap *h, void *p)
{
	(void)h;
	*(struct slabshm_cancel_args *)p = (struct slabshm_cancel_args){ 0 };
}

static void fill_compact(struct heap *h, void *p)
{
	(void)h;
	memset(p, 0, sizeof(struct slabshm_compact_args));
}

static const struct known_call {
	const char *name;
	unsigned int cmd;
	unsigned int needs;
	void (*fill)(struct heap *h, void *arg);
} known_calls[NCALLS] = {
	{ "ATTACH", SLABSHM_IOC_ATTACH, OUT, fill_attach },
	{ "UNLINK", SLABSHM_IOC_UNLINK, 0, fill_unlink },
	{ "SETATTR", SLABSHM_IOC_SETATTR, SLAB, fill_setattr },
	{ "STAT", SLABSHM_IOC_STAT, SLAB | OUT, fill_stat },
	{ "LIST", SLABSHM_IOC_LIST, SLAB | OUT, fill_list },
	{ "ALLOC", SLABSHM_IOC_ALLOC, ALL, fill_alloc },
	{ "FREE", SLABSHM_IOC_FREE, ALL, fill_free },
	{ "BLOCK", SLABSHM_IOC_BLOCK, SLAB | OUT, fill_block },
	{ "GROW", SLABSHM_IOC_GROW, ALL | OUT, fill_grow },
	{ "TRIM", SLABSHM_IOC_TRIM, ALL | OUT, fill_trim },
	{ "CELL_OPEN", SLABSHM_IOC_CELL_OPEN, ALL | OUT, fill_cell_open },
	{ "CELL_REMOVE", SLABSHM_IOC_CELL_REMOVE, ALL, fill_cell_remove },
	{ "PUBLISH", SLABSHM_IOC_PUBLISH, ALL, fill_publish },
	{ "REGISTER", SLABSHM_IOC_REGISTER, SLAB | LIFE | OUT, fill_register },
	{ "UNREGISTER", SLABSHM_IOC_UNREGISTER, SLAB | LIFE, fill_unregister },
	{ "READER_CHECK", SLABSHM_IOC_READER_CHECK, SLAB | LIFE,
	  fill_reader_check },
	{ "LOCK", SLABSHM_IOC_LOCK, ALL, fill_lock },
	{ "UNLOCK", SLABSHM_IOC_UNLOCK, ALL, fill_unlock },
	{ "WAIT", SLABSHM_IOC_WAIT, SLAB | LIFE, fill_wait },
	{ "WATCH", SLABSHM_IOC_WATCH, SLAB | LIFE | OUT, fill_watch },
	{ "UNWATCH", SLABSHM_IOC_UNWATCH, SLAB | LIFE, fill_unwatch },
	{ "EVENTS", SLABSHM_IOC_EVENTS, SLAB | LIFE | OUT, fill_events },
	{ "CANCEL", SLABSHM_IOC_CANCEL, SLAB | LIFE, fill_cancel },
	{ "COMPACT", SLABSHM_IOC_COMPACT, ALL | OUT, fill_compact },
};

static const struct known_call * const calls_end = known_calls + NCALLS;

/* A valid argument, for a call by @c. */
static void fill(struct heap *h, const struct known_call *k,
		 const struct client *c, void *arg)
{
	__u32 number = k->cmd == SLABSHM_IOC_ATTACH ? 0 : c->at.client;

	k->fill(h, arg);
	memcpy((char *)arg + sizeof(__u32), &number, sizeof(number));
}

static unsigned int with_size(unsigned int cmd, unsigned int size)
{
	return _IOC(_IOC_DIR(cmd), _IOC_TYPE(cmd), _IOC_NR(cmd), size);
}

/* A descriptor to try the call on: ATTACH wants one that is not attached. */
static int call_fd(const struct heap *h, const struct known_call *k)
{
	return k->cmd == SLABSHM_IOC_ATTACH ? open_device() : h->c.fd;
}

static void call_fd_done(const struct heap *h, int fd)
{
	if (fd != h->c.fd)
		close(fd);
}

FIXTURE(abi)
{
	struct heap heap;
};

FIXTURE_SETUP(abi)
{
	ASSERT_EQ(0, heap_make(&self->heap));
}

FIXTURE_TEARDOWN(abi)
{
	heap_end(&self->heap);
}

/*
 * ---------------- All calls alike ----------------
 */

TEST_F(abi, valid)
{
	struct heap *h = &self->heap;
	const struct known_call *k;
	char arg[512];

	for (k = known_calls; k < calls_end; k++) {
		int fd;

		fill(h, k, &h->c, arg);
		fd = call_fd(h, k);
		EXPECT_EQ(0, call(fd, k->cmd, arg))
			TH_LOG("%s", k->name);
		call_fd_done(h, fd);
	}
}

TEST_F(abi, misaligned_argument)
{
	struct heap *h = &self->heap;
	const struct known_call *k;

	for (k = known_calls; k < calls_end; k++) {
		char arg[512];
		int fd;

		fill(h, k, &h->c, arg);
		memcpy(h->page + 3, arg, sizeof(arg));
		fd = call_fd(h, k);
		EXPECT_EQ(0, call(fd, k->cmd, h->page + 3))
			TH_LOG("%s", k->name);
		call_fd_done(h, fd);
	}
}

TEST_F(abi, bad_argument_pointer)
{
	struct heap *h = &self->heap;
	void *bad[] = {
		NULL, (void *)1, h->page + PAGE, (void *)KERNEL_ADDRESS,
		(void *)0x7ffffffff000ULL, (void *)0x8000000000000000ULL,
		(void *)-1L,
	};
	const struct known_call *k;
	unsigned int i;
	char arg[512];

	for (k = known_calls; k < calls_end; k++) {
		for (i = 0; i < ARRAY_LEN(bad); i++) {
			int fd;

			fill(h, k, &h->c, arg);
			fd = call_fd(h, k);
			EXPECT_REFUSED(EFAULT, call(fd, k->cmd, bad[i]))
				TH_LOG("%s %p", k->name, bad[i]);
			call_fd_done(h, fd);
		}
	}
}

TEST_F(abi, argument_straddles_the_end)
{
	struct heap *h = &self->heap;
	const struct known_call *k;
	char arg[512];

	for (k = known_calls; k < calls_end; k++) {
		size_t missing, size = _IOC_SIZE(k->cmd);

		for (missing = 1; missing < size; missing += 7) {
			char *at = h->page + PAGE - size + missing;
			int fd;

			fill(h, k, &h->c, arg);
			memcpy(at, arg, size - missing);
			fd = call_fd(h, k);
			EXPECT_REFUSED(EFAULT, call(fd, k->cmd, at))
				TH_LOG("%s %zu", k->name, missing);
			call_fd_done(h, fd);
			if (missing > 8 && !long_run())
				break;
		}
	}
}

/* The results cannot be written: the call must have undone what it did. */
TEST_F(abi, read_only_argument)
{
	struct heap *h = &self->heap;
	const struct known_call *k;
	char arg[512];

	for (k = known_calls; k < calls_end; k++) {
		int fd;

		fill(h, k, &h->c, arg);
		memcpy(h->page, arg, sizeof(arg));
		protect(h, PROT_READ);
		fd = call_fd(h, k);
		if (k->needs & OUT) {
			EXPECT_REFUSED(EFAULT, call(fd, k->cmd, h->page))
				TH_LOG("%s", k->name);
		} else {
			EXPECT_EQ(0, call(fd, k->cmd, h->page))
				TH_LOG("%s", k->name);
		}
		call_fd_done(h, fd);
		protect(h, PROT_READ | PROT_WRITE);
	}
}

TEST_F(abi, short_argument)
{
	struct heap *h = &self->heap;
	const struct known_call *k;
	unsigned int i;
	char arg[512];

	for (k = known_calls; k < calls_end; k++) {
		unsigned int size = _IOC_SIZE(k->cmd);
		unsigned int sizes[] = { 0, 1, size / 2, size - 8, size - 1 };

		for (i = 0; i < ARRAY_LEN(sizes); i++) {
			int fd;

			fill(h, k, &h->c, arg);
			fd = call_fd(h, k);
			EXPECT_REFUSED(EINVAL,
				       call(fd, with_size(k->cmd, sizes[i]),
					    arg))
				TH_LOG("%s %u", k->name, sizes[i]);
			call_fd_done(h, fd);
		}
	}
}

/* A newer program: zeros behind what this kernel knows are fine. */
TEST_F(abi, long_argument)
{
	struct heap *h = &self->heap;
	const struct known_call *k;
	unsigned int i, j;
	char arg[PAGE];

	for (k = known_calls; k < calls_end; k++) {
		unsigned int size = _IOC_SIZE(k->cmd);
		unsigned int sizes[] = { size + 1, size + 8, 512, PAGE };

		for (i = 0; i < ARRAY_LEN(sizes); i++) {
			int fd;

			memset(arg, 0, sizeof(arg));
			fill(h, k, &h->c, arg);
			fd = call_fd(h, k);
			EXPECT_EQ(0, call(fd, with_size(k->cmd, sizes[i]), arg))
				TH_LOG("%s %u", k->name, sizes[i]);
			call_fd_done(h, fd);
			for (j = size; j < sizes[i] && !arg[j]; j++)
				;
			EXPECT_EQ(sizes[i], j)
				TH_LOG("%s left its tail", k->name);
		}
	}
}

TEST_F(abi, long_argument_with_more_in_it)
{
	struct heap *h = &self->heap;
	const struct known_call *k;
	unsigned int i;
	char arg[PAGE];

	for (k = known_calls; k < calls_end; k++) {
		unsigned int size = _IOC_SIZE(k->cmd);
		unsigned int places[] = { size, size + 7, 511, PAGE - 1 };

		for (i = 0; i < ARRAY_LEN(places); i++) {
			int fd;

			memset(arg, 0, sizeof(arg));
			fill(h, k, &h->c, arg);
			arg[places[i]] = 1;
			fd = call_fd(h, k);
			EXPECT_REFUSED(E2BIG,
				       call(fd, with_size(k->cmd, PAGE), arg))
				TH_LOG("%s %u", k->name, places[i]);
			call_fd_done(h, fd);
		}
	}
}

TEST_F(abi, argument_above_a_page)
{
	static char arg[1 << _IOC_SIZEBITS];
	struct heap *h = &self->heap;
	const struct known_call *k;

	for (k = known_calls; k < calls_end; k++) {
		int fd;

		memset(arg, 0, sizeof(arg));
		fill(h, k, &h->c, arg);
		fd = call_fd(h, k);
		EXPECT_REFUSED(E2BIG,
			       call(fd, with_size(k->cmd, PAGE + 1), arg));
		EXPECT_REFUSED(E2BIG,
			       call(fd, with_size(k->cmd, sizeof(arg) - 1),
				    arg));
		call_fd_done(h, fd);
	}
}

TEST_F(abi, foreign_ioctls)
{
	struct heap *h = &self->heap;
	const struct known_call *k;
	unsigned int nr, dir, type;
	char arg[PAGE];

	memset(arg, 0, sizeof(arg));
	for (nr = NCALLS; nr < 256; nr++)
		for (dir = 0; dir < 4; dir++)
			EXPECT_EQ(-ENOTTY,
				  call(h->c.fd, _IOC(dir, SLABSHM_IOC_TYPE, nr,
						     64), arg));
	take_state(h, &before);
	for (k = known_calls; k < calls_end; k++) {
		fill(h, k, &h->c, arg);
		for (type = 0; type < 256; type++) {
			if (type == SLABSHM_IOC_TYPE || type == 'T' ||
			    type == 'f' || type == 'X' || type == 0x12)
				continue;	/* some of these are the VFS's */
			EXPECT_EQ(-ENOTTY,
				  call(h->c.fd, _IOC(_IOC_DIR(k->cmd), type,
						     _IOC_NR(k->cmd),
						     _IOC_SIZE(k->cmd)), arg));
		}
		for (dir = 0; dir < 4; dir++) {
			if (dir == _IOC_DIR(k->cmd))
				continue;
			EXPECT_REFUSED(ENOTTY,
				       call(h->c.fd,
					    _IOC(dir, SLABSHM_IOC_TYPE,
						 _IOC_NR(k->cmd),
						 _IOC_SIZE(k->cmd)), arg));
		}
	}
}

TEST_F(abi, not_attached)
{
	struct heap *h = &self->heap;
	int fd = open_device();
	const struct known_call *k;
	char arg[512];

	ASSERT_LE(0, fd);
	for (k = known_calls; k < calls_end; k++) {
		if (!(k->needs & SLAB))
			continue;
		fill(h, k, &h->c, arg);
		EXPECT_REFUSED(ENOTCONN, call(fd, k->cmd, arg))
			TH_LOG("%s", k->name);
	}
	EXPECT_EQ(MAP_FAILED, mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0));
	EXPECT_EQ(ENOTCONN, errno);
	close(fd);
}

/* The number of another client, of one that is no more, of none. */
TEST_F(abi, number_of_another_client)
{
	struct heap *h = &self->heap;
	const struct known_call *k;
	unsigned int i;
	struct slabshm_stat st;
	struct client gone;
	__u32 number[6];
	char arg[512];
	int fd;

	ASSERT_EQ(0, client_open(&gone, h->name, 0, 0, 0));
	number[0] = h->other.at.client;
	number[1] = h->ro.at.client;
	number[2] = gone.at.client;
	number[3] = ~0U;
	number[4] = h->c.at.client ^ 1U << 31;
	number[5] = 0;
	client_close(&gone);
	ASSERT_TRUE(wait_until(!get_stat(&h->c, &st) && st.clients == 3, 5000));
	fd = open_device();
	ASSERT_LE(0, fd);
	for (k = known_calls; k < calls_end; k++) {
		for (i = 0; i < ARRAY_LEN(number); i++) {
			if (!number[i] && !(k->needs & SLAB))
				continue;
			fill(h, k, &h->c, arg);
			memcpy(arg + 4, &number[i], sizeof(number[i]));
			EXPECT_REFUSED(ENOTCONN, call(h->c.fd, k->cmd, arg))
				TH_LOG("%s %u", k->name, number[i]);
			/* Whatever else is wrong with the call */
			if (!number[i] && k->cmd == SLABSHM_IOC_LIST)
				continue;
			memset(arg, 0xff, 4);
			EXPECT_REFUSED(ENOTCONN, call(h->c.fd, k->cmd, arg))
				TH_LOG("%s %u", k->name, number[i]);
			if (number[i] != h->ro.at.client)
				EXPECT_REFUSED(ENOTCONN,
					       call(h->ro.fd, k->cmd, arg))
					TH_LOG("%s %u", k->name, number[i]);
			EXPECT_REFUSED(ENOTCONN, call(fd, k->cmd, arg))
				TH_LOG("%s %u", k->name, number[i]);
		}
	}
	close(fd);
}

/* What needs no client: none is named, whatever client the descriptor has. */
TEST_F(abi, no_number)
{
	struct heap *h = &self->heap;
	const struct known_call *k;
	char arg[512];

	for (k = known_calls; k < calls_end; k++) {
		if (k->needs & SLAB)
			continue;
		fill(h, k, &h->c, arg);
		memset(arg + 4, 0, 4);
		EXPECT_EQ(k->cmd == SLABSHM_IOC_ATTACH ? -EISCONN : 0,
			  call(h->c.fd, k->cmd, arg))
			TH_LOG("%s", k->name);
	}
	fill_list(h, arg);
	((struct slabshm_list_args *)arg)->what = SLABSHM_LIST_SLABS;
	((struct slabshm_list_args *)arg)->entry_size = sizeof(struct slabshm_stat);
	EXPECT_EQ(0, call(h->c.fd, SLABSHM_IOC_LIST, arg));
	EXPECT_EQ(1, ((struct slabshm_list_args *)arg)->count);
}

/* Before the first mapping of the reader region, and after the last. */
TEST_F(abi, not_alive)
{
	struct heap *h = &self->heap;
	const struct known_call *k;
	struct slabshm_attach_args ask;
	struct slabshm_cell_open_args handle;
	struct client c;
	char arg[512];
	int ended;

	ask_attach(&ask, h->name, 0, 0, 0);
	ASSERT_EQ(0, client_attach(&c, &ask));
	for (ended = 0; ended < 2; ended++) {
		for (k = known_calls; k < calls_end; k++) {
			if (k->cmd == SLABSHM_IOC_ATTACH)
				continue;
			fill(h, k, &c, arg);
			if (k->needs & LIFE) {
				EXPECT_REFUSED(ENXIO, call(c.fd, k->cmd, arg))
					TH_LOG("%s", k->name);
			} else {
				EXPECT_EQ(0, call(c.fd, k->cmd, arg))
					TH_LOG("%s", k->name);
			}
		}
		EXPECT_EQ(0, cell_open(&c, "cell", 0, &handle));
		EXPECT_EQ(ended ? -ENXIO : 0, client_map_reader(&c));
		client_unmap_reader(&c);
	}
	client_close(&c);
}

static char arguments[NCALLS][512];

static int other_space(void *arg)
{
	struct heap *h = arg;
	int i;

	for (i = 0; i < NCALLS; i++) {
		int expected = -EIO;

		if (known_calls[i].cmd == SLABSHM_IOC_ATTACH)
			expected = -EISCONN;
		if (known_calls[i].cmd == SLABSHM_IOC_UNLINK)
			continue;
		if (call(h->c.fd, known_calls[i].cmd, arguments[i]) != expected)
			return 1 + i;
	}
	if (mmap(NULL, PAGE, PROT_READ, MAP_SHARED, h->c.fd, 0) != MAP_FAILED ||
	    errno != EIO)
		return 100;
	return 0;
}

TEST_F(abi, other_address_space)
{
	struct heap *h = &self->heap;
	int i;

	for (i = 0; i < NCALLS; i++)
		fill(h, &known_calls[i], &h->c, arguments[i]);
	EXPECT_REFUSED(0, in_child(other_space, h));
}

/* What needs no client works by a descriptor of whatever address space. */
static int without_a_client(void *arg)
{
	struct heap *h = arg;
	struct slabshm_unlink_args unlink = { 0 };
	static struct slabshm_stat slabs[64];
	struct client none = { .fd = h->c.fd };
	const struct client *c[] = { &none, &h->c };
	const char *name;
	unsigned int i;
	int n, k;

	for (i = 0; i < 2; i++) {
		/* The lists of one client's slab are for that client */
		CHECK(list_all(c[i], SLABSHM_LIST_CELLS, slabs,
			       sizeof(slabs[0]), 1) == (i ? -EIO : -ENOTCONN));
		name = i ? "test-inherited-1" : "test-inherited-0";
		n = list_all(c[i], SLABSHM_LIST_SLABS, slabs, sizeof(slabs[0]),
			     ARRAY_LEN(slabs));
		CHECK(n > 0);
		for (k = 0; k < n && strcmp(slabs[k].name, name); k++)
			;
		CHECK(k < n);
		CHECK(slabs[k].attributes & SLABSHM_SLAB_PERSIST);
		set_name(unlink.name, name);
		CHECK(!client_call(c[i], SLABSHM_IOC_UNLINK, &unlink));
		CHECK(client_call(c[i], SLABSHM_IOC_UNLINK, &unlink) ==
		      -ENOENT);
	}
	return 0;
}

TEST_F(abi, no_client_in_a_child)
{
	struct heap *h = &self->heap;
	struct client c;
	int i;

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, client_open(&c, i ? "test-inherited-1" :
					 "test-inherited-0",
					 SLABSHM_ATTACH_CREATE |
					 SLABSHM_ATTACH_PERSIST, MIB, 0));
		client_close(&c);
	}
	EXPECT_EQ(0, in_child(without_a_client, h));
	/* And neither does it matter here that the client has ended */
	client_unmap_reader(&h->other);
	EXPECT_EQ(1, list_all(&h->other, SLABSHM_LIST_SLABS, h->entries,
			      sizeof(struct slabshm_stat), 1));
	for (i = 0; i < 2; i++)
		unlink_slab(i ? "test-inherited-1" : "test-inherited-0");
}

TEST_F(abi, read_only_client)
{
	struct heap *h = &self->heap;
	const struct known_call *k;
	char arg[512];

	for (k = known_calls; k < calls_end; k++) {
		fill(h, k, &h->ro, arg);
		if (k->needs & WRITE) {
			EXPECT_REFUSED(EACCES, call(h->ro.fd, k->cmd, arg))
				TH_LOG("%s", k->name);
		} else if (k->needs == (SLAB | LIFE)) {
			continue;	/* about what is each client's own */
		} else if (k->needs & SLAB) {
			EXPECT_EQ(0, call(h->ro.fd, k->cmd, arg))
				TH_LOG("%s", k->name);
		}
	}
}

static const struct reserved {
	const char *name;
	unsigned int cmd;
	size_t at;
	unsigned int bits;
	__u64 known;	/* bits that mean something */
} reserved[] = {
#define RESERVED(NAME, type, field, bits, known)			\
	{ #type "." #field, SLABSHM_IOC_##NAME,				\
	  offsetof(struct slabshm_##type, field), bits, known }
	RESERVED(ATTACH, attach_args, flags, 32, 0xff),
	RESERVED(ATTACH, attach_args, mode, 32, 0777),
	RESERVED(ATTACH, attach_args, pad, 32, 0),
	RESERVED(REGISTER, register_args, flags, 32, 0),
	RESERVED(REGISTER, register_args, pad, 32, 0),
	RESERVED(UNREGISTER, unregister_args, flags, 32, 0),
	RESERVED(UNREGISTER, unregister_args, pad, 32, 0),
	RESERVED(READER_CHECK, reader_check_args, flags, 32, 0),
	RESERVED(READER_CHECK, reader_check_args, pad, 32, 0),
	RESERVED(UNLINK, unlink_args, flags, 32, 0),
	RESERVED(SETATTR, setattr_args, flags, 32, 7),
	RESERVED(SETATTR, setattr_args, pad, 32, 0),
	RESERVED(SETATTR, setattr_args, mode, 32, 0777),
	RESERVED(LIST, list_args, flags, 32, 0),
	RESERVED(LIST, list_args, pad, 32, 0),
	RESERVED(STAT, stat, flags, 32, 0),
	RESERVED(ALLOC, alloc_args, flags, 32, 7),
	RESERVED(ALLOC, alloc_args, pad, 32, 0),
	RESERVED(FREE, free_args, flags, 32, 0),
	RESERVED(BLOCK, block_args, flags, 32, 0),
	RESERVED(BLOCK, block_args, pad, 32, 0),
	RESERVED(GROW, grow_args, flags, 32, 0),
	RESERVED(TRIM, trim_args, flags, 32, 0),
	RESERVED(CELL_OPEN, cell_open_args, flags, 32, 7),
	RESERVED(CELL_OPEN, cell_open_args, pad, 32, 0),
	RESERVED(CELL_REMOVE, cell_remove_args, flags, 32, 0),
	RESERVED(CELL_REMOVE, cell_remove_args, pad, 32, 0),
	RESERVED(PUBLISH, publish_args, flags, 32, 0),
	RESERVED(LOCK, lock_args, flags, 32, 0),	/* TRY has no deadline */
	RESERVED(UNLOCK, unlock_args, flags, 32, 0),	/* THREAD has no cells */
	RESERVED(WAIT, wait_args, flags, 32, 0),
	RESERVED(WATCH, watch_args, flags, 32, 2),	/* ALL has no cell */
	RESERVED(WATCH, watch_args, pad, 32, 0),
	RESERVED(UNWATCH, unwatch_args, flags, 32, 0),
	RESERVED(UNWATCH, unwatch_args, pad, 32, 0),
	RESERVED(EVENTS, events_args, flags, 32, 0),
	RESERVED(EVENTS, events_args, pad, 32, 0),
	RESERVED(CANCEL, cancel_args, flags, 32, SLABSHM_CANCEL_ON),
	RESERVED(COMPACT, compact_args, flags, 32, 0),
};

TEST_F(abi, unknown_flags_and_reserved_fields)
{
	struct heap *h = &self->heap;
	const struct reserved *r;
	unsigned int bit;

	for (r = reserved; r < reserved + ARRAY_LEN(reserved); r++) {
		const struct known_call *k = &known_calls[_IOC_NR(r->cmd)];
		char arg[512], bad[512];
		int fd;

		fill(h, k, &h->c, arg);
		fd = call_fd(h, k);
		take_state(h, &before);
		for (bit = 0; bit < r->bits; bit++) {
			if (r->known >> bit & 1)
				continue;
			memcpy(bad, arg, sizeof(bad));
			bad[r->at + bit / 8] |= 1 << bit % 8;
			EXPECT_EQ(-EINVAL, call(fd, r->cmd, bad))
				TH_LOG("%s bit %u", r->name, bit);
		}
		take_state(h, &after);
		EXPECT_STREQ("", what_changed(&before, &after))
			TH_LOG("%s", r->name);
		EXPECT_EQ(0, call(fd, r->cmd, arg))
			TH_LOG("%s", r->name);
		call_fd_done(h, fd);
	}
}

/*
 * ---------------- 32-bit programs ----------------
 */

#ifdef __x86_64__
/* ioctl(2) as a 32-bit program makes it; the argument must lie low. */
static int call32(int fd, unsigned int cmd, void *arg)
{
	long ret = 54;	/* ioctl */

	asm volatile("int $0x80" : "+a" (ret)
		     : "b" (fd), "c" (cmd), "d" ((unsigned int)(uintptr_t)arg)
		     : "memory", "r8", "r9", "r10", "r11");
	return (int)ret;
}

static int has_32_bit(void *arg)
{
	long ret = 20;	/* getpid */

	(void)arg;
	asm volatile("int $0x80" : "+a" (ret)
		     : : "memory", "r8", "r9", "r10", "r11");
	return (int)ret != getpid();
}

TEST_F(abi, calls_of_32_bit_programs)
{
	struct heap *h = &self->heap;
	const struct known_call *k;
	char *low;

	if (in_child(has_32_bit, NULL))
		SKIP(return, "this kernel runs no 32-bit programs");
	low = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	ASSERT_NE(MAP_FAILED, low);
	for (k = known_calls; k < calls_end; k++) {
		int fd;

		memset(low, 0, PAGE);
		fill(h, k, &h->c, low);
		fd = call_fd(h, k);
		EXPECT_EQ(0, call32(fd, k->cmd, low))
			TH_LOG("%s", k->name);
		call_fd_done(h, fd);
		EXPECT_REFUSED(EFAULT, call32(h->c.fd, k->cmd, NULL));
		EXPECT_EQ(-EINVAL, call32(h->c.fd, with_size(k->cmd, 4), low));
		EXPECT_EQ(-ENOTTY, call32(h->c.fd, k->cmd ^ 0x100, low));
	}
}
#endif

TEST_HARNESS_MAIN
