// SPDX-License-Identifier: GPL-2.0
/*
 * Boost.Interprocess: managed_shared_memory. An object is published by a swap of
 * pointers under its mutex, which readers share; what was there is freed after
 * it, as no reader has it any more.
 */
#include <boost/interprocess/managed_shared_memory.hpp>
#include <boost/interprocess/offset_ptr.hpp>
#include <boost/interprocess/sync/interprocess_sharable_mutex.hpp>
#include <boost/interprocess/sync/scoped_lock.hpp>
#include <boost/interprocess/sync/sharable_lock.hpp>

#include "bench.h"

namespace ipc = boost::interprocess;

static ipc::managed_shared_memory *segment;

static void heap_prepare(void);

static inline uintptr_t heap_alloc(size_t size)
{
	return (uintptr_t)segment->allocate(size);
}

static inline void heap_free(uintptr_t block)
{
	segment->deallocate((void *)block);
}

static inline void heap_touch(uintptr_t block)
{
	*(char *)block = 1;
	use((void *)block);
}

static uint64_t heap_used(void)
{
	row_skip();
}

#include "heap.h"

#define NAME		"Boost.Interprocess"

/* It cannot grow while it is in use, so it has its size from the start. */
#define SEGMENT_SIZE	(256UL << 20)
#define SEGMENT_LARGE	(12UL << 30)	/* for 10^6 blocks */

static void heap_prepare(void)
{
	size_t size = row_arg < 1000000 ? SEGMENT_SIZE : SEGMENT_LARGE;

	try {
		segment = new ipc::managed_shared_memory(ipc::open_or_create,
							 row_id, size);
	} catch (const ipc::interprocess_exception &e) {
		check(e.what(), -EIO);
	}
}

static char buf[OBJECT_MAX];

struct cell {
	ipc::interprocess_sharable_mutex mutex;
	ipc::offset_ptr<char> object;
};

/* All cells in one array, each found by name once: row_arg is their number. */
static struct cell *cells;

static inline char *new_object(void)
{
	char *object = (char *)segment->allocate(object_size);

	memcpy(object, buf, object_size);
	return object;
}

static inline void publish(struct cell *cell)
{
	char *object = new_object();

	{
		ipc::scoped_lock<ipc::interprocess_sharable_mutex> lock(cell->mutex);
		char *old = cell->object.get();

		cell->object = object;
		object = old;
	}
	if (object)
		segment->deallocate(object);
}

static void prepare_cells(void)
{
	unsigned long i;

	heap_prepare();
	cells = segment->find_or_construct<struct cell>("cells")[row_arg]();
	for (i = 0; i < row_arg; i++)
		publish(&cells[i]);
}

static void prepare_own_cells(void)
{
	row_arg = 100;
	prepare_cells();
	cells += row_worker;
}

static void run_publish(unsigned long n)
{
	unsigned long i;

	for (i = 0; i < n; i++)
		publish(&cells[0]);
}

/* One mutex for all that is to change in one step */
static void run_publish_64(unsigned long n)
{
	char *object[64];
	unsigned long i, k;

	for (i = 0; i < n; i++) {
		for (k = 0; k < COUNT(object); k++)
			object[k] = new_object();
		{
			ipc::scoped_lock<ipc::interprocess_sharable_mutex>
				lock(cells[0].mutex);

			for (k = 0; k < COUNT(object); k++) {
				char *old = cells[k].object.get();

				cells[k].object = object[k];
				object[k] = old;
			}
		}
		for (k = 0; k < COUNT(object); k++)
			segment->deallocate(object[k]);
	}
}

static inline void look_at(struct cell *cell)
{
	ipc::sharable_lock<ipc::interprocess_sharable_mutex> lock(cell->mutex);

	use(cell->object.get());
}

static inline void read_into_buf(struct cell *cell)
{
	ipc::sharable_lock<ipc::interprocess_sharable_mutex> lock(cell->mutex);

	memcpy(buf, cell->object.get(), object_size);
	use(buf);
}

static void run_look(unsigned long n)
{
	unsigned long i;

	for (i = 0; i < n; i++)
		look_at(&cells[0]);
}

static void run_look_named(unsigned long n)
{
	unsigned long i;

	for (i = 0; i < n; i++)
		look_at(segment->find<struct cell>("cells").first);
}

static void run_read(unsigned long n)
{
	unsigned long i;

	for (i = 0; i < n; i++)
		read_into_buf(&cells[0]);
}

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
	struct cell *cell;
	unsigned long i;

	for (i = 0; i < n; i++) {
		cell = &cells[next_random(&row_random) % row_arg];
		if (next_random(&row_random) % 100 < writes_percent)
			publish(cell);
		else
			read_into_buf(cell);
	}
}

static void consume(void)
{
	unsigned int i;

	for (i = 0; i < HANDOFF; i++) {
		char *object;

		{
			ipc::scoped_lock<ipc::interprocess_sharable_mutex>
				lock(cells[i].mutex);

			object = cells[i].object.get();
			cells[i].object = nullptr;
		}
		memcpy(buf, object, object_size);
		use(buf);
		segment->deallocate(object);
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
			publish(&cells[k]);
		handoff();
	}
}

static const struct row rows[] = {
	{ PUBLISH, NULL, 100, 4000, prepare_own_cells, NULL, run_publish,
	  ROW_RATE | ROW_TAIL },
	{ PUBLISH_64, NULL, 64, 200, prepare_cells, NULL, run_publish_64, 0 },
	{ LOOK, NULL, 1, 20000, prepare_cells, NULL, run_look, ROW_RATE },
	{ LOOK_NAMED, NULL, 1, 20000, prepare_cells, NULL, run_look_named, 0 },
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
