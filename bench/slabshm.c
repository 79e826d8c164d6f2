// SPDX-License-Identifier: GPL-2.0
/*
 * slabshm, through the library's public functions.
 */
#include <sys/ioctl.h>

#include "bench.h"
#include "slabshm.h"

static struct slabshm *slab;

static void heap_prepare(void);

static inline uintptr_t heap_alloc(size_t size)
{
	int64_t offset = slabshm_alloc(slab, size);

	if (__builtin_expect(offset < 0, 0))
		abort();
	return (uintptr_t)offset;
}

static inline void heap_free(uintptr_t block)
{
	if (__builtin_expect(slabshm_free(slab, block), 0))
		abort();
}

static inline void heap_touch(uintptr_t block)
{
	char *p = (char *)slabshm_ptr(slab, block);

	*p = 1;
	use(p);
}

/* Pages that are not given back because something is in them */
static uint64_t heap_used(void)
{
	struct slabshm_stat st;
	int64_t ret = slabshm_trim(slab, 0);

	if (ret >= 0)
		ret = slabshm_stat(slab, &st);
	if (ret < 0)
		abort();
	return st.backed;
}

#include "heap.h"

#define NAME		"slabshm"

static void heap_prepare(void)
{
	struct slabshm_options opt = {
		.max_size = 64ULL << 30,
		.max_cells = 200000,
	};

	check("open", slabshm_open(&slab, row_id, SLABSHM_ATTACH_CREATE, &opt));
}

static char buf[OBJECT_MAX];

/*
 * ---------------- Several in one call ----------------
 */

static void alloc_batch(uint64_t *offsets, unsigned int count, size_t size)
{
	struct slabshm_block block[SLABSHM_BATCH_MAX];
	unsigned int i;

	for (i = 0; i < count; i++)
		block[i].size = size;
	check("alloc", slabshm_alloc_batch(slab, block, count, 0, 0));
	for (i = 0; i < count; i++)
		offsets[i] = block[i].offset;
}

/* Growing is no part of it. */
static void prepare_batch_calls(void)
{
	heap_prepare();
	check("grow", slabshm_grow(slab, 16 << 20));
}

static void run_batch_calls(unsigned long n)
{
	uint64_t offsets[SLABSHM_BATCH_MAX];
	unsigned long i;

	for (i = 0; i < n; i += COUNT(offsets)) {
		alloc_batch(offsets, COUNT(offsets), row_arg);
		check("free", slabshm_free_batch(slab, offsets, COUNT(offsets)));
	}
}

/*
 * ---------------- Publishing: row_arg is the number of cells ----------------
 */

static struct slabshm_ref *refs;

static void open_cells(unsigned long first, unsigned long count)
{
	unsigned long i;
	char name[32];

	refs = own_memory(count * sizeof(*refs));
	for (i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "cell-%lu", first + i);
		check("cell", slabshm_cell_open(slab, name, SLABSHM_CELL_CREATE,
						&refs[i]));
	}
}

static void assign(const struct slabshm_ref *ref)
{
	if (__builtin_expect(slabshm_assign(slab, ref, buf, object_size) < 0, 0))
		abort();
}

/* Cells with objects in them, for this worker only */
static void prepare_own_cells(void)
{
	unsigned long i;

	heap_prepare();
	open_cells(row_worker * row_arg, row_arg);
	for (i = 0; i < row_arg; i++)
		assign(&refs[i]);
}

/* For all workers the same */
static void prepare_cells(void)
{
	unsigned long i;

	heap_prepare();
	open_cells(0, row_arg);
	for (i = 0; i < row_arg; i++)
		assign(&refs[i]);
}

static void run_assign(unsigned long n)
{
	unsigned long i;

	for (i = 0; i < n; i++)
		assign(&refs[0]);
}

/* Each publish brings the next block: one call, in which the bytes are the caller's. */
static void run_update(unsigned long n)
{
	int64_t offset = slabshm_alloc(slab, object_size);
	uint64_t block = (uint64_t)offset;
	unsigned long i;

	check("alloc", offset);
	for (i = 0; i < n; i++) {
		memcpy(slabshm_ptr(slab, block), buf, object_size);
		check("update", slabshm_update(slab, &refs[0], &block, object_size));
	}
	check("free", slabshm_free(slab, block));
}

static uint64_t *ready;

static void make_ready(unsigned long n)
{
	unsigned long i;

	if (!ready)
		ready = own_memory(n * sizeof(*ready));
	for (i = 0; i < n; i++) {
		ready[i] = heap_alloc(object_size);
		memcpy(slabshm_ptr(slab, ready[i]), buf, object_size);
	}
}

static void run_put(unsigned long n)
{
	unsigned long i;

	for (i = 0; i < n; i++)
		check("put", slabshm_put(slab, &refs[0], ready[i], object_size));
}

static void publish_all(const uint64_t *offsets)
{
	struct slabshm_publish_cell cells[SLABSHM_BATCH_MAX];
	unsigned int i;

	memset(cells, 0, sizeof(cells));
	for (i = 0; i < SLABSHM_BATCH_MAX; i++) {
		cells[i].cell = refs[i].cell;
		cells[i].generation = refs[i].generation;
		cells[i].block = offsets[i];
		cells[i].length = object_size;
	}
	check("publish", slabshm_publish(slab, cells, SLABSHM_BATCH_MAX, NULL,
					 0, NULL));
}

static void make_ready_64(unsigned long n)
{
	make_ready(n * SLABSHM_BATCH_MAX);
}

static void run_put_64(unsigned long n)
{
	unsigned long i;

	for (i = 0; i < n; i++)
		publish_all(&ready[i * SLABSHM_BATCH_MAX]);
}

static void run_assign_64(unsigned long n)
{
	uint64_t offsets[SLABSHM_BATCH_MAX];
	unsigned long i, k;

	for (i = 0; i < n; i++) {
		alloc_batch(offsets, COUNT(offsets), object_size);
		for (k = 0; k < COUNT(offsets); k++)
			memcpy(slabshm_ptr(slab, offsets[k]), buf, object_size);
		publish_all(offsets);
	}
}

/*
 * ---------------- Reading ----------------
 */

static inline void look_at(const struct slabshm_ref *ref)
{
	struct slabshm_view view;
	struct slabshm_pin pin;

	if (slabshm_pin(slab, &pin) || slabshm_get(&pin, ref, &view))
		abort();
	use(view.data);
	if (slabshm_unpin(&pin))
		abort();
}

static void run_look(unsigned long n)
{
	unsigned long i;

	for (i = 0; i < n; i++)
		look_at(&refs[0]);
}

static struct cell_name *names;

static void prepare_names(void)
{
	prepare_cells();
	names = make_cell_names(row_arg);
}

static void run_look_named(unsigned long n)
{
	struct slabshm_ref ref;
	const char *name;
	unsigned long i;

	for (i = 0; i < n; i++) {
		name = names[next_random(&row_random) % row_arg].text;
		if (slabshm_cell_open(slab, name, 0, &ref))
			abort();
		look_at(&ref);
	}
}

static inline void read_into_buf(const struct slabshm_ref *ref)
{
	if (slabshm_read(slab, ref, buf, sizeof(buf), NULL) != (ssize_t)object_size)
		abort();
	use(buf);
}

static void run_read(unsigned long n)
{
	unsigned long i;

	for (i = 0; i < n; i++)
		read_into_buf(&refs[0]);
}

/*
 * ---------------- Both ----------------
 */

static unsigned int writes_percent;

static void prepare_rw_1(void)
{
	writes_percent = 1;
	prepare_cells();
}

static void prepare_rw_50(void)
{
	writes_percent = 50;
	prepare_cells();
}

static void run_rw(unsigned long n)
{
	const struct slabshm_ref *ref;
	unsigned long i;

	for (i = 0; i < n; i++) {
		ref = &refs[next_random(&row_random) % row_arg];
		if (next_random(&row_random) % 100 < writes_percent)
			assign(ref);
		else
			read_into_buf(ref);
	}
}

static void consume(void)
{
	unsigned int i;

	for (i = 0; i < HANDOFF; i++) {
		read_into_buf(&refs[i]);
		check("put", slabshm_put(slab, &refs[i], 0, 0));
	}
}

static void prepare_pipe(void)
{
	prepare_cells();
	row_helper.help = consume;
}

static void run_pipe(unsigned long n)
{
	unsigned long i, k;

	for (i = 0; i < n; i += HANDOFF) {
		for (k = 0; k < HANDOFF; k++)
			assign(&refs[k]);
		handoff();
	}
}

/* What a system call of the device costs that does nothing */
static void run_ioctl(unsigned long n)
{
	int fd = slabshm_fd(slab);
	unsigned long i;

	for (i = 0; i < n; i++)
		ioctl(fd, 0, 0);
}

static const struct row rows[] = {
	{ UNIT, "ioctl that does nothing", 0, 20000, heap_prepare, NULL,
	  run_ioctl, 0 },
	{ BATCH("64 B"), NAME ", batch calls", 64, 4096,
	  prepare_batch_calls, NULL, run_batch_calls, 0 },
	{ BATCH("256 B"), NAME ", batch calls", 256, 4096,
	  prepare_batch_calls, NULL, run_batch_calls, 0 },
	{ BATCH("4 KiB"), NAME ", batch calls", 4096, 4096,
	  prepare_batch_calls, NULL, run_batch_calls, 0 },
	{ BATCH("64 KiB"), NAME ", batch calls", 65536, 4096,
	  prepare_batch_calls, NULL, run_batch_calls, 0 },
	{ PUBLISH, NULL, 1, 10000, prepare_own_cells, NULL, run_assign,
	  ROW_RATE | ROW_TAIL },
	{ PUBLISH, NAME ", update", 1, 10000, prepare_own_cells, NULL, run_update,
	  0 },
	{ PUBLISH_READY, NULL, 1, 10000, prepare_own_cells, make_ready, run_put,
	  0 },
	{ PUBLISH_64, NULL, 64, 200, prepare_own_cells, NULL, run_assign_64, 0 },
	{ PUBLISH_64, NAME ", blocks ready", 64, 200, prepare_own_cells,
	  make_ready_64, run_put_64, 0 },
	{ LOOK, NULL, 1, 20000, prepare_cells, NULL, run_look, ROW_RATE },
	{ LOOK_NAMED, NULL, 100000, 20000, prepare_names, NULL, run_look_named,
	  0 },
	{ READ, NULL, 1, 20000, prepare_cells, NULL, run_read,
	  ROW_RATE | ROW_TAIL },
	{ RW("99:1", "10^2"), NULL, 100, 20000, prepare_rw_1, NULL, run_rw,
	  ROW_RATE },
	{ RW("99:1", "10^5"), NULL, 100000, 20000, prepare_rw_1, NULL, run_rw, 0 },
	{ RW("50:50", "10^2"), NULL, 100, 10000, prepare_rw_50, NULL, run_rw,
	  ROW_RATE },
	{ RW("50:50", "10^5"), NULL, 100000, 10000, prepare_rw_50, NULL, run_rw,
	  0 },
	{ PIPE, NULL, HANDOFF, 6400, prepare_pipe, NULL, run_pipe, ROW_HELPED },
	{}
};

int main(int argc, char **argv)
{
	const struct row *const tables[] = { heap_rows, rows, NULL };

	return bench_main(argc, argv, NAME, tables);
}
