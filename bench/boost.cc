// SPDX-License-Identifier: GPL-2.0
/*
 * Boost.Interprocess: managed_shared_memory. An object is published by a swap of
 * pointers under its mutex; what was there is freed after it, as no reader has it
 * any more. Readers share the mutex, or it is a cheaper one that lets in one of
 * them at a time.
 */
#include <boost/interprocess/indexes/iunordered_set_index.hpp>
#include <boost/interprocess/managed_shared_memory.hpp>
#include <boost/interprocess/offset_ptr.hpp>
#include <boost/interprocess/sync/interprocess_mutex.hpp>
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
#define SEGMENT_SIZE	(1UL << 30)
#define SEGMENT_LARGE	(12UL << 30)	/* for 10^6 blocks */

template <class Memory>
static Memory *open_memory(void)
{
	size_t size = row_arg < 1000000 ? SEGMENT_SIZE : SEGMENT_LARGE;

	try {
		return new Memory(ipc::open_or_create, row_id, size);
	} catch (const ipc::interprocess_exception &e) {
		check(e.what(), -EIO);
	}
	return nullptr;
}

static void heap_prepare(void)
{
	segment = open_memory<ipc::managed_shared_memory>();
}

static char buf[OBJECT_MAX];

/*
 * Several in one call: they come and go in a list, whose links are in the blocks
 * and so are gone once something is stored there. To make it again for
 * deallocate_many() takes more than that saves.
 */
typedef ipc::managed_shared_memory::multiallocation_chain block_list;

static inline void alloc_many(char **block, size_t size)
{
	block_list::iterator it;
	block_list list;
	unsigned int k;

	segment->allocate_many(size, BATCH_BLOCKS, list);
	for (k = 0, it = list.begin(); k < BATCH_BLOCKS; k++, ++it)
		block[k] = (char *)&*it;
}

static inline void free_each(char **block)
{
	unsigned int k;

	for (k = 0; k < BATCH_BLOCKS; k++)
		segment->deallocate(block[k]);
}

static inline void free_many(char **block)
{
	block_list list;
	unsigned int k;

	for (k = 0; k < BATCH_BLOCKS; k++)
		list.push_back(block[k]);
	segment->deallocate_many(list);
}

template <void (*free_blocks)(char **)>
static void run_alloc_many(unsigned long n)
{
	char *block[BATCH_BLOCKS];
	unsigned long i;

	for (i = 0; i < n; i += BATCH_BLOCKS) {
		alloc_many(block, row_arg);
		use(block);
		free_blocks(block);
	}
}

/* What follows is for either kind of mutex. */
struct shared {
	typedef ipc::interprocess_sharable_mutex mutex;
	typedef ipc::scoped_lock<mutex> write_lock;
	typedef ipc::sharable_lock<mutex> read_lock;
};

struct plain {
	typedef ipc::interprocess_mutex mutex;
	typedef ipc::scoped_lock<mutex> write_lock;
	typedef write_lock read_lock;
};

template <class Kind>
struct cell {
	typename Kind::mutex mutex;
	ipc::offset_ptr<char> object;
};

/* All cells in one array, found by name once: row_arg is their number. */
template <class Kind>
static struct cell<Kind> *cells;

static inline char *new_object(void)
{
	char *object = (char *)segment->allocate(object_size);

	memcpy(object, buf, object_size);
	return object;
}

template <class Kind>
static inline void publish(struct cell<Kind> *cell)
{
	char *object = new_object();

	{
		typename Kind::write_lock lock(cell->mutex);
		char *old = cell->object.get();

		cell->object = object;
		object = old;
	}
	if (object)
		segment->deallocate(object);
}

template <class Kind>
static void prepare_cells(void)
{
	unsigned long i;

	heap_prepare();
	cells<Kind> = segment->find_or_construct<struct cell<Kind>>("cells")[row_arg]();
	for (i = 0; i < row_arg; i++)
		publish(&cells<Kind>[i]);
}

template <class Kind>
static void prepare_own_cells(void)
{
	row_arg = 100;
	prepare_cells<Kind>();
	cells<Kind> += row_worker;
}

template <class Kind>
static void run_publish(unsigned long n)
{
	unsigned long i;

	for (i = 0; i < n; i++)
		publish(&cells<Kind>[0]);
}

/* One mutex for all that is to change in one step; @object is what was there then. */
static inline void swap_all(char **object)
{
	struct cell<shared> *cell = cells<shared>;
	shared::write_lock lock(cell[0].mutex);
	unsigned int k;

	for (k = 0; k < BATCH_BLOCKS; k++) {
		char *old = cell[k].object.get();

		cell[k].object = object[k];
		object[k] = old;
	}
}

static void run_publish_64(unsigned long n)
{
	char *object[BATCH_BLOCKS];
	unsigned long i, k;

	for (i = 0; i < n; i++) {
		for (k = 0; k < COUNT(object); k++)
			object[k] = new_object();
		swap_all(object);
		free_each(object);
	}
}

static void run_publish_64_many(unsigned long n)
{
	char *object[BATCH_BLOCKS];
	unsigned long i, k;

	for (i = 0; i < n; i++) {
		alloc_many(object, object_size);
		for (k = 0; k < COUNT(object); k++)
			memcpy(object[k], buf, object_size);
		swap_all(object);
		free_each(object);
	}
}

template <class Kind>
static inline void look_at(struct cell<Kind> *cell)
{
	typename Kind::read_lock lock(cell->mutex);

	use(cell->object.get());
}

template <class Kind>
static inline void read_into_buf(struct cell<Kind> *cell)
{
	typename Kind::read_lock lock(cell->mutex);

	memcpy(buf, cell->object.get(), object_size);
	use(buf);
}

template <class Kind>
static void run_look(unsigned long n)
{
	unsigned long i;

	for (i = 0; i < n; i++)
		look_at(&cells<Kind>[0]);
}

static struct cell_name *names;

/* The names are in a tree, unless one asks for a hash table. */
typedef ipc::managed_shared_memory tree;
typedef ipc::basic_managed_shared_memory<char, ipc::rbtree_best_fit<ipc::mutex_family>,
					 ipc::iunordered_set_index> hashed;

template <class Memory>
static Memory *named;

/* Here each cell has its own name. */
template <class Memory, class Kind>
static void prepare_names(void)
{
	Memory *memory = open_memory<Memory>();
	struct cell<Kind> *cell;
	unsigned long i;

	named<Memory> = memory;
	names = make_cell_names(row_arg);
	for (i = 0; i < row_arg; i++) {
		cell = memory->template find_or_construct<struct cell<Kind>>(names[i].text)();
		cell->object = (char *)memory->allocate(object_size);
		memcpy(cell->object.get(), buf, object_size);
	}
}

template <class Memory, class Kind>
static void run_look_named(unsigned long n)
{
	const char *name;
	unsigned long i;

	for (i = 0; i < n; i++) {
		name = names[next_random(&row_random) % row_arg].text;
		look_at(named<Memory>->template find<struct cell<Kind>>(name).first);
	}
}

template <class Kind>
static void run_read(unsigned long n)
{
	unsigned long i;

	for (i = 0; i < n; i++)
		read_into_buf(&cells<Kind>[0]);
}

static unsigned int writes_percent;

template <class Kind>
static void prepare_rw_1(void)
{
	writes_percent = 1;
	prepare_cells<Kind>();
}

template <class Kind>
static void prepare_rw_50(void)
{
	writes_percent = 50;
	prepare_cells<Kind>();
}

template <class Kind>
static void run_rw(unsigned long n)
{
	struct cell<Kind> *cell;
	unsigned long i;

	for (i = 0; i < n; i++) {
		cell = &cells<Kind>[next_random(&row_random) % row_arg];
		if (next_random(&row_random) % 100 < writes_percent)
			publish(cell);
		else
			read_into_buf(cell);
	}
}

template <class Kind>
static void consume(void)
{
	struct cell<Kind> *cell;
	unsigned int i;

	for (i = 0; i < HANDOFF; i++) {
		char *object;

		cell = &cells<Kind>[i];
		{
			typename Kind::write_lock lock(cell->mutex);

			object = cell->object.get();
			cell->object = nullptr;
		}
		memcpy(buf, object, object_size);
		use(buf);
		segment->deallocate(object);
	}
}

template <class Kind>
static void prepare_pipe(void)
{
	prepare_cells<Kind>();
	row_helper.help = consume<Kind>;
}

template <class Kind>
static void run_pipe(unsigned long n)
{
	unsigned long i, k;

	for (i = 0; i < n; i += HANDOFF) {
		for (k = 0; k < HANDOFF; k++)
			publish(&cells<Kind>[k]);
		handoff();
	}
}

static const struct row rows[] = {
	{ BATCH("64 B"), NAME ", allocate_many", 64, 4096, heap_prepare, NULL,
	  run_alloc_many<free_each>, 0 },
	{ BATCH("64 B"), NAME ", deallocate_many", 64, 4096, heap_prepare,
	  NULL, run_alloc_many<free_many>, 0 },
	{ BATCH("256 B"), NAME ", allocate_many", 256, 4096, heap_prepare, NULL,
	  run_alloc_many<free_each>, 0 },
	{ BATCH("4 KiB"), NAME ", allocate_many", 4096, 4096, heap_prepare, NULL,
	  run_alloc_many<free_each>, 0 },
	{ BATCH("64 KiB"), NAME ", allocate_many", 65536, 4096, heap_prepare, NULL,
	  run_alloc_many<free_each>, 0 },
	{ PUBLISH, NULL, 100, 4000, prepare_own_cells<shared>, NULL,
	  run_publish<shared>, ROW_RATE | ROW_TAIL },
	{ PUBLISH, NAME ", mutex", 100, 4000, prepare_own_cells<plain>, NULL,
	  run_publish<plain>, ROW_RATE | ROW_TAIL },
	{ PUBLISH_64, NULL, 64, 200, prepare_cells<shared>, NULL,
	  run_publish_64, 0 },
	{ PUBLISH_64, NAME ", allocate_many", 64, 200, prepare_cells<shared>,
	  NULL, run_publish_64_many, 0 },
	{ LOOK, NULL, 1, 20000, prepare_cells<shared>, NULL, run_look<shared>,
	  ROW_RATE },
	{ LOOK, NAME ", mutex", 1, 20000, prepare_cells<plain>, NULL,
	  run_look<plain>, ROW_RATE },
	{ LOOK_NAMED, NULL, 100000, 20000, prepare_names<tree, shared>, NULL,
	  run_look_named<tree, shared>, 0 },
	{ LOOK_NAMED, NAME ", mutex", 100000, 20000, prepare_names<tree, plain>,
	  NULL, run_look_named<tree, plain>, 0 },
	{ LOOK_NAMED, NAME ", mutex, hashed", 100000, 20000,
	  prepare_names<hashed, plain>, NULL, run_look_named<hashed, plain>, 0 },
	{ READ, NULL, 1, 20000, prepare_cells<shared>, NULL, run_read<shared>,
	  ROW_RATE | ROW_TAIL },
	{ READ, NAME ", mutex", 1, 20000, prepare_cells<plain>, NULL,
	  run_read<plain>, ROW_RATE | ROW_TAIL },
	{ RW("99:1", "10^2"), NULL, 100, 20000, prepare_rw_1<shared>, NULL,
	  run_rw<shared>, ROW_RATE },
	{ RW("99:1", "10^2"), NAME ", mutex", 100, 20000, prepare_rw_1<plain>,
	  NULL, run_rw<plain>, ROW_RATE },
	{ RW("99:1", "10^5"), NULL, 100000, 20000, prepare_rw_1<shared>, NULL,
	  run_rw<shared>, 0 },
	{ RW("50:50", "10^2"), NULL, 100, 10000, prepare_rw_50<shared>, NULL,
	  run_rw<shared>, ROW_RATE },
	{ RW("50:50", "10^2"), NAME ", mutex", 100, 10000, prepare_rw_50<plain>,
	  NULL, run_rw<plain>, ROW_RATE },
	{ RW("50:50", "10^5"), NULL, 100000, 10000, prepare_rw_50<shared>, NULL,
	  run_rw<shared>, 0 },
	{ PIPE, NULL, HANDOFF, 6400, prepare_pipe<shared>, NULL,
	  run_pipe<shared>, ROW_HELPED },
	{ PIPE, NAME ", mutex", HANDOFF, 6400, prepare_pipe<plain>, NULL,
	  run_pipe<plain>, ROW_HELPED },
	{}
};

int main(int argc, char **argv)
{
	const struct row *const tables[] = { heap_rows, rows, NULL };

	return bench_main(argc, argv, NAME, tables);
}
