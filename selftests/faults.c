// SPDX-License-Identifier: GPL-2.0
/*
 * Each call, with each of its memory allocations and copies from and to user
 * space made to fail, one after the other (/proc/self/fail-nth, which only
 * debug kernels have).  A call that fails has changed nothing, and what needs
 * no memory does not fail for lack of it.
 */
#include "abi.h"
#include "watches.h"

#define DEBUGFS	"/sys/kernel/debug/"

#define MEMORY	1	/* may fail with ENOMEM */
#define COPY	2	/* may fail with EFAULT */
#define STEPS	4	/* growth that was done before the failure is kept */
#define CLOCK	8	/* what was undone can be seen in the clock */

/**
 * struct injected - one call to be tried
 * @name: of it
 * @may: MEMORY, COPY, STEPS, CLOCK
 * @prepare: all that is not to fail; may be NULL
 * @run: the call: 0 or an error
 * @done: after success, so that it can be run again; may be NULL
 * @failed: after failure: what could be done before still can; may be NULL
 *
 * The functions return 0, or say by another number what went wrong.
 */
struct injected {
	const char *name;
	unsigned int may;
	int (*prepare)(struct heap *h);
	int (*run)(struct heap *h);
	int (*done)(struct heap *h);
	int (*failed)(struct heap *h);
};

static struct client extra = { .fd = -1 };	/* of another slab */
static struct slabshm_block blocks[SLABSHM_BATCH_MAX];
static struct slabshm_cell_open_args new_cell;
static struct slabshm_attach_args ask;
static int spare = -1;				/* a descriptor */
static int fail_nth;				/* /proc/self/fail-nth */

static int end_extra(struct heap *h)
{
	(void)h;
	client_close(&extra);
	return 0;
}

static int end_spare(struct heap *h)
{
	(void)h;
	close(spare);
	spare = -1;
	return 0;
}

static int get_spare(struct heap *h)
{
	(void)h;
	if (spare < 0)
		spare = open_device();
	return spare < 0;
}

/*
 * ---------------- open, ATTACH, mmap ----------------
 */

static int run_open(struct heap *h)
{
	(void)h;
	spare = open_device();
	return spare < 0 ? spare : 0;
}

static int prepare_create(struct heap *h)
{
	ask_attach(&ask, "test-fault", SLABSHM_ATTACH_CREATE |
		   SLABSHM_ATTACH_PERSIST, 8 * MIB, MIB / 4);
	return get_spare(h);
}

static int prepare_attach(struct heap *h)
{
	ask_attach(&ask, h->name, 0, 0, 0);
	return get_spare(h);
}

static int prepare_attach_fd(struct heap *h)
{
	ask_attach(&ask, NULL, SLABSHM_ATTACH_FD, 0, 0);
	ask.fd = h->c.fd;
	return get_spare(h);
}

static int run_attach(struct heap *h)
{
	(void)h;
	return call(spare, SLABSHM_IOC_ATTACH, &ask);
}

static int not_attached(struct heap *h)
{
	struct slabshm_stat st;

	(void)h;
	return call(spare, SLABSHM_IOC_STAT, &st) != -ENOTCONN;
}

static int unlink_created(struct heap *h)
{
	return unlink_slab("test-fault") || end_spare(h);
}

static int clients_gone(struct heap *h)
{
	struct slabshm_stat st;

	end_spare(h);
	return !wait_until(!get_stat(&h->c, &st) && st.clients == 3, 2000);
}

static int prepare_map(struct heap *h)
{
	(void)h;
	ask_attach(&ask, NULL, SLABSHM_ATTACH_CREATE, 8 * MIB, MIB);
	return client_attach(&extra, &ask);
}

static int run_map_control(struct heap *h)
{
	(void)h;
	return client_map_control(&extra);
}

static int run_map_data(struct heap *h)
{
	(void)h;
	return client_map_data(&extra);
}

static int run_map_reader(struct heap *h)
{
	(void)h;
	return client_map_reader(&extra);
}

/* What could not be mapped at first can be later. */
static int map_after_all(struct heap *h)
{
	if (!extra.control && client_map_control(&extra))
		return 1;
	if (!extra.data && client_map_data(&extra))
		return 2;
	if (!extra.reader && client_map_reader(&extra))
		return 3;
	if (alloc_block(&extra, 64) < 0)
		return 4;
	return end_extra(h);
}

/*
 * ---------------- Blocks ----------------
 */

static int sizes(unsigned int n, __u64 size)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		blocks[i] = (struct slabshm_block){ POISON64, size };
	return 0;
}

static int prepare_small(struct heap *h)
{
	(void)h;
	return sizes(SLABSHM_BATCH_MAX, 320);
}

static int prepare_mixed(struct heap *h)
{
	unsigned int i;

	(void)h;
	for (i = 0; i < SLABSHM_BATCH_MAX; i++)
		blocks[i].size = 64ULL << i % 10;
	return 0;
}

static int alloc_n(struct heap *h, unsigned int n, __u64 align,
		   unsigned int flags)
{
	return alloc_blocks(&h->c, blocks, n, align, flags);
}

static int run_alloc(struct heap *h)
{
	return alloc_n(h, SLABSHM_BATCH_MAX, 0, SLABSHM_ALLOC_NOGROW);
}

static int run_alloc_zero(struct heap *h)
{
	return alloc_n(h, SLABSHM_BATCH_MAX, 0, SLABSHM_ALLOC_NOGROW |
		       SLABSHM_ALLOC_ZERO);
}

static int prepare_large(struct heap *h)
{
	(void)h;
	return sizes(8, 20000);
}

static int run_alloc_aligned(struct heap *h)
{
	return alloc_n(h, 8, 16 * PAGE, SLABSHM_ALLOC_NOGROW);
}

static int free_n(struct heap *h, unsigned int n)
{
	__u64 o[SLABSHM_BATCH_MAX];
	unsigned int i;

	for (i = 0; i < n; i++)
		o[i] = blocks[i].offset;
	return free_blocks(&h->c, o, n, NULL);
}

static int free_all(struct heap *h)
{
	return free_n(h, SLABSHM_BATCH_MAX);
}

static int free_8(struct heap *h)
{
	return free_n(h, 8);
}

static int prepare_free(struct heap *h)
{
	return prepare_mixed(h) || run_alloc(h);
}

static int prepare_grow(struct heap *h)
{
	(void)h;
	return client_open(&extra, NULL, SLABSHM_ATTACH_CREATE, 16 * MIB, 0);
}

static int run_grow(struct heap *h)
{
	(void)h;
	return grow(&extra, 2 * MIB + 64 * PAGE, NULL);
}

static int run_alloc_grow(struct heap *h)
{
	(void)h;
	sizes(3, 300 * KIB);
	return alloc_blocks(&extra, blocks, 3, 0, 0);
}

static int prepare_refill(struct heap *h)
{
	(void)h;
	if (client_open(&extra, NULL, SLABSHM_ATTACH_CREATE |
			SLABSHM_ATTACH_FIXED, MIB, MIB))
		return 1;
	return trim(&extra, 0, NULL);
}

static int run_refill(struct heap *h)
{
	(void)h;
	sizes(2, 200 * KIB);
	return alloc_blocks(&extra, blocks, 2, 0, 0);
}

static int prepare_trim(struct heap *h)
{
	(void)h;
	return client_open(&extra, NULL, SLABSHM_ATTACH_CREATE, MIB, MIB);
}

static int run_trim(struct heap *h)
{
	(void)h;
	return trim(&extra, 0, NULL);
}

/* Three pages of four objects each, of which one stays in each */
static int prepare_compact(struct heap *h)
{
	struct slabshm_cell_open_args cell[12];
	struct slabshm_stat st;
	unsigned int i;
	char name[4];
	int err;

	(void)h;
	err = client_open(&extra, NULL, SLABSHM_ATTACH_CREATE, MIB, MIB);
	for (i = 0; i < ARRAY_LEN(cell) && !err; i++) {
		snprintf(name, sizeof(name), "%u", i);
		err = cell_open(&extra, name, SLABSHM_CELL_CREATE |
				SLABSHM_CELL_MOVABLE, &cell[i]);
		sizes(1, 1000);
		if (!err)
			err = alloc_blocks(&extra, blocks, 1, 0, 0);
		if (!err)
			err = publish_one(&extra, &cell[i], blocks[0].offset,
					  1000);
	}
	for (i = 0; i < ARRAY_LEN(cell) && !err; i++)
		if (i % 4)
			err = publish_one(&extra, &cell[i], 0, 0);
	/* What was retired is free, or it takes the place of what is moved */
	if (!err && !wait_until(!get_stat(&extra, &st) && !st.retired, 20000))
		err = -ETIMEDOUT;
	return err;
}

/* A call that fails has moved nothing, unless it could not say so. */
static int run_compact(struct heap *h)
{
	__u64 moved;
	int err = compact(&extra, 0, &moved);

	(void)h;
	return !err && moved != 2048 ? 1 : err;
}

static int run_block(struct heap *h)
{
	struct slabshm_block_args info;

	return block_info(&h->c, h->own, &info);
}

/*
 * ---------------- Cells ----------------
 */

static int run_first_cell(struct heap *h)
{
	(void)h;
	return cell_open(&extra, "a cell", SLABSHM_CELL_CREATE, &new_cell);
}

static int no_cell(struct heap *h)
{
	int err = cell_open(&extra, "a cell", 0, &new_cell);

	end_extra(h);
	return err != -ENOENT;
}

static int run_cell(struct heap *h)
{
	return cell_open(&h->c, "a cell", SLABSHM_CELL_CREATE, &new_cell);
}

static int run_remove(struct heap *h)
{
	return cell_remove(&h->c, &new_cell);
}

/* Two cells, and 62 parts for the second, which has none yet. */
static struct slabshm_publish_cell items[2];
static struct slabshm_publish_part parts[SLABSHM_BATCH_MAX - 2];

static int prepare_publish(struct heap *h)
{
	unsigned int i;

	if (prepare_mixed(h) || run_alloc(h) || run_cell(h))
		return 1;
	items[0] = (struct slabshm_publish_cell){
		.cell = h->empty.cell,
		.generation = h->empty.generation,
		.block = blocks[0].offset,
	};
	items[1] = (struct slabshm_publish_cell){
		.cell = new_cell.cell,
		.generation = new_cell.generation,
		.block = blocks[1].offset,
	};
	for (i = 0; i < ARRAY_LEN(parts); i++)
		parts[i] = (struct slabshm_publish_part){
			.item = 1,
			.op = SLABSHM_PART_ATTACH,
			.block = blocks[i + 2].offset,
		};
	return 0;
}

static int run_publish(struct heap *h)
{
	return publish(&h->c, items, 2, parts, ARRAY_LEN(parts), NULL, NULL);
}

static int publish_done(struct heap *h)
{
	return publish_one(&h->c, &h->empty, 0, 0) || run_remove(h);
}

static int publish_failed(struct heap *h)
{
	return free_all(h) || run_remove(h);
}

/*
 * ---------------- Waiting and watching ----------------
 */

/* The new cell has no queue yet. */
static int run_wait(struct heap *h)
{
	struct slabshm_wait_cell cells[2];

	cells[0] = wait_cell(&new_cell, 0);
	cells[1] = wait_cell(&h->cell, 0);
	return wait_cells(&h->c, cells, 2, 0, NULL);
}

static int run_watch(struct heap *h)
{
	return watch(&h->c, &new_cell, SLABSHM_WATCH_SINCE, NULL);
}

static int end_watch(struct heap *h)
{
	return unwatch(&h->c, &new_cell) || run_remove(h);
}

static int no_watch(struct heap *h)
{
	if (polled(h->c.fd) || unwatch(&h->c, &new_cell) != -ENOENT)
		return 1;
	return run_remove(h);
}

static int prepare_events(struct heap *h)
{
	return run_cell(h) || run_watch(h);
}

static int run_events(struct heap *h)
{
	struct slabshm_event event;
	int n = events(&h->c, &event, 1, 0);

	return n < 0 ? n : n != 1;
}

/* It is still there. */
static int events_failed(struct heap *h)
{
	return run_events(h) || end_watch(h);
}

static int run_cancel(struct heap *h)
{
	struct slabshm_cancel_args arg = { 0 };

	return client_call(&h->c, SLABSHM_IOC_CANCEL, &arg);
}

/*
 * ---------------- Locks ----------------
 */

/* One that has been locked before, and one that has not. */
static struct slabshm_lock_cell locked[2];

static int prepare_lock(struct heap *h)
{
	if (run_cell(h))
		return 1;
	locked[0] = (struct slabshm_lock_cell){
		.cell = new_cell.cell,
		.generation = new_cell.generation,
	};
	locked[1] = (struct slabshm_lock_cell){
		.cell = h->empty.cell,
		.generation = h->empty.generation,
	};
	return 0;
}

static int run_lock(struct heap *h)
{
	return lock_cells(&h->c, locked, 2, SLABSHM_LOCK_TRY, 0, NULL);
}

static int run_unlock(struct heap *h)
{
	return unlock_cells(&h->c, locked, 2, NULL);
}

static int unlock_done(struct heap *h)
{
	return run_unlock(h) || run_remove(h);
}

static int prepare_lock_dead(struct heap *h)
{
	struct slabshm_unlock_args all = { .flags = SLABSHM_UNLOCK_THREAD };

	return prepare_lock(h) || run_lock(h) ||
	       client_call(&h->c, SLABSHM_IOC_UNLOCK, &all);
}

static int run_lock_dead(struct heap *h)
{
	int err = run_lock(h);

	return err == -EOWNERDEAD ? 0 : err;
}

/* What cannot be told is not forgotten. */
static int lock_dead_failed(struct heap *h)
{
	locked[0].flags = 0;
	locked[1].flags = 0;
	if (run_lock(h) != -EOWNERDEAD || !locked[0].flags || !locked[1].flags)
		return 1;
	locked[0].flags = 0;
	locked[1].flags = SLABSHM_UNLOCK_CONSISTENT;
	return unlock_done(h);
}

static int lock_dead_done(struct heap *h)
{
	locked[0].flags = 0;
	locked[1].flags = SLABSHM_UNLOCK_CONSISTENT;
	return unlock_done(h);
}

static int prepare_unlock(struct heap *h)
{
	return prepare_lock(h) || run_lock(h);
}

/*
 * ---------------- The others ----------------
 */

static int run_stat(struct heap *h)
{
	struct slabshm_stat st;

	return get_stat(&h->c, &st);
}

static int run_setattr(struct heap *h)
{
	struct slabshm_setattr_args arg = {
		.flags = SLABSHM_SETATTR_MODE,
		.mode = 0600,
	};

	return client_call(&h->c, SLABSHM_IOC_SETATTR, &arg);
}

static int list_what(struct heap *h, unsigned int what, unsigned int size)
{
	int n = list_all(&h->c, what, h->entries, size, 4);

	return n < 0 ? n : !n;
}

static int run_list_slabs(struct heap *h)
{
	return list_what(h, SLABSHM_LIST_SLABS, sizeof(struct slabshm_stat));
}

static int run_list_cells(struct heap *h)
{
	return list_what(h, SLABSHM_LIST_CELLS,
			 sizeof(struct slabshm_cell_entry));
}

static int run_list_clients(struct heap *h)
{
	return list_what(h, SLABSHM_LIST_CLIENTS,
			 sizeof(struct slabshm_client_entry));
}

static int run_list_locks(struct heap *h)
{
	return list_what(h, SLABSHM_LIST_LOCKS,
			 sizeof(struct slabshm_lock_entry));
}

static const struct injected injected[] = {
	{ "open", MEMORY | COPY, NULL, run_open, end_spare, NULL },
	{ "ATTACH: create", MEMORY | COPY, prepare_create, run_attach,
	  unlink_created, not_attached },
	{ "ATTACH", MEMORY | COPY, prepare_attach, run_attach, clients_gone,
	  not_attached },
	{ "ATTACH: descriptor", MEMORY | COPY, prepare_attach_fd, run_attach,
	  clients_gone, not_attached },
	{ "mmap: control", MEMORY, prepare_map, run_map_control,
	  map_after_all, map_after_all },
	{ "mmap: data", MEMORY, prepare_map, run_map_data, map_after_all,
	  map_after_all },
	{ "mmap: reader", MEMORY, prepare_map, run_map_reader, map_after_all,
	  map_after_all },
	{ "SETATTR", MEMORY | COPY, NULL, run_setattr, NULL, NULL },
	{ "STAT", COPY, NULL, run_stat, NULL, NULL },
	{ "LIST: slabs", MEMORY | COPY, NULL, run_list_slabs, NULL, NULL },
	{ "LIST: cells", MEMORY | COPY, NULL, run_list_cells, NULL, NULL },
	{ "LIST: clients", MEMORY | COPY, NULL, run_list_clients, NULL, NULL },
	{ "ALLOC: small", MEMORY | COPY, prepare_small, run_alloc, free_all,
	  NULL },
	{ "ALLOC: mixed", MEMORY | COPY, prepare_mixed, run_alloc, free_all,
	  NULL },
	{ "ALLOC: zero", MEMORY | COPY, prepare_mixed, run_alloc_zero,
	  free_all, NULL },
	{ "ALLOC: aligned", MEMORY | COPY, prepare_large, run_alloc_aligned,
	  free_8, NULL },
	{ "ALLOC: grow", MEMORY | COPY | STEPS, prepare_grow, run_alloc_grow,
	  end_extra, end_extra },
	{ "ALLOC: refill", MEMORY | COPY | STEPS, prepare_refill, run_refill,
	  end_extra, end_extra },
	{ "FREE", COPY, prepare_free, free_all, NULL, free_all },
	{ "BLOCK", COPY, NULL, run_block, NULL, NULL },
	{ "GROW", MEMORY | COPY | STEPS, prepare_grow, run_grow, end_extra,
	  end_extra },
	{ "TRIM", MEMORY | COPY | STEPS, prepare_trim, run_trim, end_extra,
	  end_extra },
	{ "COMPACT", MEMORY | COPY, prepare_compact, run_compact, end_extra,
	  end_extra },
	{ "CELL_OPEN: first", MEMORY | COPY | CLOCK, prepare_grow,
	  run_first_cell, end_extra, no_cell },
	{ "CELL_OPEN", MEMORY | COPY | CLOCK, NULL, run_cell, run_remove,
	  NULL },
	{ "CELL_REMOVE", COPY, run_cell, run_remove, NULL, run_remove },
	{ "PUBLISH", MEMORY | COPY, prepare_publish, run_publish, publish_done,
	  publish_failed },
	{ "WAIT", MEMORY | COPY, run_cell, run_wait, run_remove, run_remove },
	{ "WATCH", MEMORY | COPY, run_cell, run_watch, end_watch, no_watch },
	{ "EVENTS", COPY, prepare_events, run_events, end_watch,
	  events_failed },
	{ "CANCEL", COPY, NULL, run_cancel, NULL, NULL },
	{ "LOCK", MEMORY | COPY, prepare_lock, run_lock, unlock_done,
	  run_remove },
	{ "LOCK: left by a dead one", MEMORY | COPY, prepare_lock_dead,
	  run_lock_dead, lock_dead_done, lock_dead_failed },
	{ "UNLOCK", COPY, prepare_unlock, run_unlock, run_remove,
	  unlock_done },
	{ "LIST: locks", MEMORY | COPY, prepare_unlock, run_list_locks,
	  unlock_done, unlock_done },
};

FIXTURE(faults)
{
	struct heap heap;
};

FIXTURE_SETUP(faults)
{
	static const char * const settings[] = {
		"failslab/ignore-gfp-wait", "failslab/cache-filter",
		"failslab/verbose", "fail_page_alloc/ignore-gfp-wait",
		"fail_page_alloc/ignore-gfp-highmem",
		"fail_page_alloc/min-order", "fail_page_alloc/verbose",
		"fail_usercopy/verbose",
	};
	unsigned int i;

	fail_nth = open("/proc/self/fail-nth", O_RDWR | O_CLOEXEC);
	if (fail_nth < 0)
		SKIP(return, "this kernel injects no faults");
	for (i = 0; i < ARRAY_LEN(settings); i++) {
		char path[128];

		snprintf(path, sizeof(path), DEBUGFS "%s", settings[i]);
		ASSERT_EQ(0, write_text(path, "0"))
			TH_LOG("%s", path);
	}
	ASSERT_EQ(0, heap_make(&self->heap));
}

FIXTURE_TEARDOWN(faults)
{
	if (fail_nth >= 0)
		heap_end(&self->heap);
	end_extra(&self->heap);
}

static int set_fail_nth(unsigned int n)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", n);

	return write(fail_nth, text, (size_t)len) == len ? 0 : -errno;
}

/* Was the fault that was ordered delivered? */
static bool fault_happened(void)
{
	char text[16] = { 0 };
	/* One that was not may hit this very call */
	bool happened = pread(fail_nth, text, sizeof(text) - 1, 0) > 0 &&
			!atoi(text);

	while (!happened && set_fail_nth(0))
		;
	return happened;
}

static bool allowed(const struct injected *in, int err)
{
	return (in->may & MEMORY && err == -ENOMEM) ||
	       (in->may & COPY && err == -EFAULT);
}

/* What may be different in @extra after a call that failed. */
static const char *compare_extra(const struct injected *in,
				 const struct slabshm_stat *was)
{
	struct slabshm_stat st;

	if (extra.fd < 0)
		return "";
	if (get_stat(&extra, &st))
		return "no STAT";
	if (st.backed != st.live + st.free)
		return "backed is not live and free";
	if (st.size && st.backed >= st.size)
		return "backed is more than the size";
	if (in->may & CLOCK)
		st.commit = was->commit;
	if (in->may & STEPS) {
		st.size = was->size;
		st.backed = was->backed;
		st.free = was->free;
	}
	return memcmp(&st, was, sizeof(st)) ? "another slab has changed" : "";
}

TEST_F_TIMEOUT(faults, each_call, 600)
{
	struct heap *h = &self->heap;
	const struct injected *in;

	for (in = injected; in < injected + ARRAY_LEN(injected); in++) {
		unsigned int nth = 0, faults = 0, errors = 0;
		struct slabshm_stat st;
		bool happened;
		int err;

		do {
			/* Growth makes thousands of allocations, all alike */
			nth += 1 + nth / (long_run() ? 64 : 8);
			if (in->prepare)
				ASSERT_EQ(0, in->prepare(h))
					TH_LOG("%s %u", in->name, nth);
			if (extra.fd >= 0)
				ASSERT_EQ(0, get_stat(&extra, &st));
			take_state(h, &before);
			ASSERT_EQ(0, set_fail_nth(nth));
			err = in->run(h);
			happened = fault_happened();
			faults += happened;
			if (!err) {
				if (in->done)
					ASSERT_EQ(0, in->done(h))
						TH_LOG("%s %u", in->name, nth);
				continue;
			}
			errors++;
			ASSERT_TRUE(happened);
			EXPECT_TRUE(allowed(in, err))
				TH_LOG("%s %u: %d", in->name, nth, err);
			take_state(h, &after);
			if (in->may & CLOCK && err == -EFAULT) {
				after.stat.commit = before.stat.commit;
				after.slabs[0].commit = before.stat.commit;
				after.header.commit = before.header.commit;
				memcpy(after.lines, before.lines,
				       sizeof(after.lines));
			}
			EXPECT_STREQ("", what_changed(&before, &after))
				TH_LOG("%s %u: %d", in->name, nth, err);
			EXPECT_STREQ("", compare_extra(in, &st))
				TH_LOG("%s %u: %d", in->name, nth, err);
			if (in->failed)
				ASSERT_EQ(0, in->failed(h))
					TH_LOG("%s %u", in->name, nth);
		} while (happened);
		EXPECT_EQ(0, err);
		EXPECT_LT(0, faults);
		TH_LOG("%s: %u faults, %u errors", in->name, faults, errors);
	}
}

TEST_HARNESS_MAIN
