// SPDX-License-Identifier: GPL-2.0
/*
 * The mapping of the data: rights, growth under it, its end, and the file
 * behind it, which can be got at through /proc.
 */
#include <fcntl.h>

#include "regions.h"

FIXTURE(data)
{
	struct client c;
	struct client watch;	/* sees what becomes of c */
	const char *name;
};

FIXTURE_SETUP(data)
{
	catch_faults();
	self->name = unique_name();
	ASSERT_EQ(0, client_open(&self->watch, self->name,
				 SLABSHM_ATTACH_CREATE, MAX, MIB));
	ASSERT_EQ(0, client_open(&self->c, self->name, 0, 0, 0));
}

FIXTURE_TEARDOWN(data)
{
	client_close(&self->c);
	client_close(&self->watch);
}

TEST_F(data, rights)
{
	struct client *c = &self->c;
	int advice[] = { MADV_DONTNEED, MADV_COLD, MADV_PAGEOUT };
	unsigned int i;
	__s64 block;

	EXPECT_EQ(-EACCES, try_map(c, MAX, PROT_READ | PROT_EXEC, MAP_SHARED,
				   0));
	EXPECT_EQ(-EACCES, try_protect(c->data, MAX, PROT_READ | PROT_EXEC));
	EXPECT_EQ(-EACCES, try_protect(c->data, PAGE, PROT_EXEC));
	EXPECT_EQ(-EINVAL, try_map(c, MAX, PROT_READ, MAP_PRIVATE, 0));
	EXPECT_EQ(-EINVAL, try_map(c, MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE,
				   0));
	EXPECT_EQ(SIGSEGV, jump_to(c->data));

	block = alloc_block(c, 2 * PAGE);
	ASSERT_LT(0, block);
	EXPECT_EQ(0, store(c->data + block, 7));
	for (i = 0; i < ARRAY_LEN(advice); i++) {
		try_advise(c->data, MIB, advice[i]);
		EXPECT_EQ(7, c->data[block]);
	}
	EXPECT_EQ(7, self->watch.data[block]);

	/* It is a mapping like others, of which parts may go */
	EXPECT_EQ(0, try_unmap(c->data, PAGE));
	EXPECT_EQ(0, try_protect(c->data + PAGE, PAGE, PROT_NONE));
	EXPECT_EQ(7, self->watch.data[block]);
	EXPECT_LT(0, alloc_block(c, 64));
}

TEST_F(data, ends_at_the_size)
{
	struct client *c = &self->c;
	__u64 size;

	for (size = MIB; size <= 4 * MIB; size += 3 * PAGE + MIB / 2) {
		ASSERT_EQ(0, grow(&self->watch, size, &size));
		EXPECT_EQ(0, load(c->data + size - 1));
		EXPECT_EQ(0, store(c->data + size - 1, 1));
		EXPECT_EQ(SIGBUS, load(c->data + size));
		EXPECT_EQ(SIGBUS, store(c->data + size, 1));
		EXPECT_EQ(SIGBUS, load(c->data + MAX - 1));
	}
	ASSERT_EQ(0, grow(&self->watch, MAX, &size));
	EXPECT_EQ(0, store(c->data + MAX - 1, 1));
}

TEST_F(data, read_only_client)
{
	struct client ro;
	int mem = open("/proc/self/mem", O_RDWR);
	__s64 block = alloc_block(&self->c, 64);
	char x = 1;

	ASSERT_LE(0, mem);
	ASSERT_LT(0, block);
	ASSERT_EQ(0, client_open(&ro, self->name, SLABSHM_ATTACH_RDONLY, 0, 0));
	EXPECT_EQ(-EACCES, try_map(&ro, MAX, PROT_READ | PROT_WRITE, MAP_SHARED,
				   0));
	EXPECT_EQ(-EACCES, try_map(&ro, PAGE, PROT_WRITE, MAP_SHARED, PAGE));
	EXPECT_EQ(-EINVAL, try_map(&ro, MAX, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE, 0));
	EXPECT_EQ(-EACCES, try_protect(ro.data, MAX, PROT_READ | PROT_WRITE));
	EXPECT_EQ(-EACCES, try_protect(ro.data + PAGE, PAGE, PROT_WRITE));
	EXPECT_EQ(-EACCES, try_protect(ro.data, MAX, PROT_READ | PROT_EXEC));
	EXPECT_EQ(SIGSEGV, store(ro.data + block, 1));
	EXPECT_EQ(-1, pwrite(mem, &x, 1, (off_t)(uintptr_t)ro.data + block));
	EXPECT_EQ(EIO, errno);
	EXPECT_GT(0, try_advise(ro.data, PAGE, MADV_REMOVE));
	self->c.data[block] = 42;
	EXPECT_EQ(42, ro.data[block]);

	/* Parts and moved ones are no different */
	EXPECT_EQ(0, try_unmap(ro.data, PAGE));
	EXPECT_EQ(-EACCES, try_protect(ro.data + PAGE, MAX - PAGE, PROT_WRITE));
	client_close(&ro);
	close(mem);
}

struct grower {
	const char *name;
	int ready;
	int stop;
	__u64 seen;	/* sizes */
};

/* Reads all of the slab that there is, as fast as it can. */
static int read_along(void *arg)
{
	struct grower *g = arg;
	struct client c;
	const char *data;
	__u64 last = 0;

	if (client_open(&c, g->name, SLABSHM_ATTACH_RDONLY, 0, 0))
		return 1;
	data = c.data;
	__atomic_store_n(&g->ready, 1, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&g->stop, __ATOMIC_ACQUIRE) || last != MAX) {
		__u64 size = __atomic_load_n(&c.control->size,
					     __ATOMIC_ACQUIRE);

		if (size < last)
			return 2;
		if (load(data + size - 1) || load(data + size / 2))
			return 3;
		if (size != last)
			g->seen++;
		last = size;
		/* The writer's number of the page, once it has been there */
		if (*(__u64 *)(data + size - PAGE) &&
		    *(__u64 *)(data + size - PAGE) != (size - PAGE) / PAGE)
			return 4;
	}
	for (last = PAGE; last < MAX; last += MIB)
		if (*(__u64 *)(data + last) && *(__u64 *)(data + last) !=
		    last / PAGE)
			return 5;
	return data == c.data ? 0 : 6;
}

TEST_F(data, growth_is_seen_by_others)
{
	struct grower *g = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct client *c = &self->c;
	__u64 size = MIB;
	pid_t pid;

	ASSERT_NE(MAP_FAILED, g);
	g->name = self->name;
	pid = start_child(read_along, g);
	ASSERT_LT(0, pid);
	ASSERT_TRUE(wait_until(__atomic_load_n(&g->ready, __ATOMIC_ACQUIRE),
			       5000));
	while (size < MAX) {
		__u64 more = size < 4 * MIB ? 5 * PAGE : size < 16 * MIB ?
			     MIB : 7 * MIB;

		ASSERT_EQ(0, grow(c, size + more > MAX ? MAX : size + more,
				  &size));
		*(__u64 *)(c->data + size - PAGE) = (size - PAGE) / PAGE;
	}
	__atomic_store_n(&g->stop, 1, __ATOMIC_RELEASE);
	EXPECT_EQ(0, end_child(pid));
	EXPECT_LT(3, g->seen);
	munmap(g, PAGE);
}

/* Where the file behind the data can be got at. */
static int open_map_file(const struct client *c, int flags)
{
	char path[96], line[256];
	unsigned long start, end;
	FILE *maps = fopen("/proc/self/maps", "r");
	int fd = -ENOENT;

	while (maps && fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%lx", &start, &end) != 2 ||
		    start != (unsigned long)c->data)
			continue;
		snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx",
			 start, end);
		fd = open(path, flags);
		if (fd < 0)
			fd = -errno;
	}
	if (maps)
		fclose(maps);
	return fd;
}

TEST_F(data, backing_file_keeps_its_size)
{
	struct client *c = &self->c;
	struct slabshm_stat st0, st;
	struct stat file;
	__s64 block = alloc_block(c, 1000);
	int fd = open_map_file(c, O_RDWR);
	char x = 1;

	ASSERT_LE(0, fd);
	ASSERT_LT(0, block);
	memset(c->data + block, 3, 1000);
	ASSERT_EQ(0, get_stat(c, &st0));
	EXPECT_EQ(-1, ftruncate(fd, 0));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, ftruncate(fd, MIB - 1));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, ftruncate(fd, MIB + 1));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, ftruncate(fd, MAX));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, fallocate(fd, 0, 0, MIB + PAGE));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, fallocate(fd, 0, MIB, PAGE));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, pwrite(fd, &x, 1, MIB));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
	EXPECT_EQ(EPERM, errno);
	fallocate(fd, FALLOC_FL_KEEP_SIZE, MIB, MIB);
	ASSERT_EQ(0, fstat(fd, &file));
	EXPECT_EQ(MIB, file.st_size);
	EXPECT_EQ(SIGBUS, load(c->data + MIB));
	ASSERT_EQ(0, get_stat(c, &st));
	EXPECT_EQ(0, memcmp(&st0, &st, sizeof(st)));
	EXPECT_EQ(3, c->data[block + 999]);

	/* The slab itself can still grow and trim */
	EXPECT_EQ(0, grow(c, 4 * MIB, NULL));
	EXPECT_EQ(0, store(c->data + 4 * MIB - 1, 1));
	EXPECT_EQ(0, trim(c, 0, NULL));
	ASSERT_EQ(0, fstat(fd, &file));
	EXPECT_EQ(4 * MIB, file.st_size);
	close(fd);
	fd = open_map_file(c, O_RDWR | O_TRUNC);
	ASSERT_EQ(0, get_stat(c, &st));
	EXPECT_EQ(4 * MIB, st.size);
	EXPECT_EQ(3, c->data[block]);
	if (fd >= 0)
		close(fd);
}

/* A hole is zeros, in the block where it was made and in no other. */
TEST_F(data, holes_are_zeros)
{
	struct client *c = &self->c;
	struct slabshm_cell_open_args cell;
	struct slabshm_stat st0, st;
	__s64 block[3];
	int i, k, fd = open_map_file(c, O_RDWR);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, cell_open(c, "x", SLABSHM_CELL_CREATE, &cell));
	for (i = 0; i < 3; i++) {
		block[i] = alloc_block(c, 8 * PAGE);
		ASSERT_LT(0, block[i]);
		memset(c->data + block[i], 1 + i, 8 * PAGE);
	}
	ASSERT_EQ(0, publish_one(c, &cell, (__u64)block[0], 8 * PAGE));
	for (k = 0; k < 2; k++) {
		ASSERT_EQ(0, get_stat(c, &st0));
		if (k) {
			EXPECT_EQ(0, fallocate(fd, FALLOC_FL_PUNCH_HOLE |
					       FALLOC_FL_KEEP_SIZE, block[1],
					       8 * PAGE));
		} else {
			EXPECT_EQ(0, try_advise(c->data + block[1], 8 * PAGE,
						MADV_REMOVE));
		}
		for (i = 0; i < 8 * (int)PAGE; i += 100)
			EXPECT_EQ(0, c->data[block[1] + i]);
		EXPECT_EQ(1, c->data[block[0] + 8 * PAGE - 1]);
		EXPECT_EQ(3, c->data[block[2]]);
		ASSERT_EQ(0, get_stat(c, &st));
		EXPECT_EQ(0, memcmp(&st0, &st, sizeof(st)));
		EXPECT_EQ(0, store(c->data + block[1], 2));
	}

	/* All of it at once, page 0 too: nothing in it is trusted */
	EXPECT_EQ(0, try_advise(c->data, MIB, MADV_REMOVE));
	memset(c->data, 0xff, MIB);
	EXPECT_EQ(-EBUSY, free_block(c, (__u64)block[0]));
	EXPECT_EQ(0, free_block(c, (__u64)block[1]));
	EXPECT_EQ(-EINVAL, free_block(c, (__u64)block[1]));
	EXPECT_EQ(0, free_block(c, (__u64)block[2]));
	EXPECT_EQ(0, publish_one(c, &cell, 0, 0));
	EXPECT_TRUE(wait_until(!live(c), 5000));
	EXPECT_EQ(SLABSHM_MAGIC, c->control->magic);
	close(fd);
}

TEST_F(data, outlives_the_client)
{
	struct client *c = &self->c;
	__s64 block = alloc_block(&self->watch, PAGE);
	char *data = c->data;
	long refs = module_refs();

	ASSERT_LT(0, block);
	memset(self->watch.data + block, 5, PAGE);
	close(c->fd);
	c->fd = -1;
	EXPECT_EQ(5, data[block]);	/* the mappings hold the file */
	EXPECT_EQ(refs, module_refs());
	client_unmap_reader(c);
	munmap(c->control, c->at.control_size);
	c->control = NULL;
	EXPECT_TRUE(wait_until(module_refs() == refs - 1, 2000));
	EXPECT_EQ(5, data[block]);

	/* Nor is it lost with the slab, and no memory of others comes to it */
	client_close(&self->watch);
	EXPECT_TRUE(wait_until(!slab_listed(self->name, NULL), 2000));
	EXPECT_EQ(5, data[block]);
	EXPECT_EQ(0, store(data + block, 6));
	EXPECT_EQ(SIGBUS, load(data + MIB));
}

/* Arguments of calls may lie in the slab itself, or where it has an end. */
TEST_F(data, arguments_in_the_data)
{
	struct client *c = &self->c;
	struct slabshm_stat st0, st;
	__s64 room = alloc_block(c, 2 * PAGE);
	struct slabshm_alloc_args *arg;
	struct slabshm_block *b;
	struct slabshm_attach_args *ask;
	int fd = open_device(), i;

	ASSERT_LT(0, room);
	ASSERT_LE(0, fd);
	arg = (void *)(c->data + room);
	b = (void *)(arg + 1);
	memset(arg, 0, PAGE);
	arg->blocks = (uintptr_t)b;
	arg->count = 2;
	b[0].size = 1;
	b[1].size = 3 * MIB;
	EXPECT_EQ(0, client_call(c, SLABSHM_IOC_ALLOC, arg));
	EXPECT_LE(3 * MIB, b[1].size);
	ask = (void *)(c->data + b[1].offset);
	ask_attach(ask, self->name, 0, 0, 0);
	EXPECT_EQ(0, call(fd, SLABSHM_IOC_ATTACH, ask));
	close(fd);
	ASSERT_TRUE(wait_until(!get_stat(c, &st0) && st0.clients == 2, 2000));

	/* Behind the end: refused, and what was allocated is free again */
	arg->blocks = (uintptr_t)c->data + st0.size;
	EXPECT_EQ(-EFAULT, client_call(c, SLABSHM_IOC_ALLOC, arg));
	EXPECT_EQ(-EFAULT, call(c->fd, SLABSHM_IOC_ALLOC, c->data + st0.size));
	EXPECT_EQ(-EFAULT, call(c->fd, SLABSHM_IOC_STAT, c->data + st0.size -
				64));
	/* Control and reader regions as results: not written */
	arg->blocks = (uintptr_t)c->control;
	arg->count = 1;
	EXPECT_GT(0, client_call(c, SLABSHM_IOC_ALLOC, arg));
	EXPECT_EQ(-ENOTCONN, call(c->fd, SLABSHM_IOC_STAT, c->control));
	EXPECT_EQ(-EFAULT, call(c->fd, SLABSHM_IOC_STAT, c->reader));
	EXPECT_EQ(-EFAULT, call(c->fd, SLABSHM_IOC_ALLOC, c->reader));
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, get_stat(c, &st));
		EXPECT_EQ(st0.live, st.live);
		EXPECT_EQ(st0.blocks, st.blocks);
		EXPECT_EQ(st0.size, st.size);
	}
	EXPECT_EQ(SLABSHM_MAGIC, c->control->magic);
}

TEST_HARNESS_MAIN
