// SPDX-License-Identifier: GPL-2.0
/*
 * The mappings of the control and reader regions: what can be done to them,
 * and above all what cannot.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#include "regions.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP	4
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE		25
#endif

FIXTURE(regions)
{
	struct client c;
	struct client watch;	/* sees what becomes of c */
	const char *name;
};

FIXTURE_SETUP(regions)
{
	catch_faults();
	self->name = unique_name();
	ASSERT_EQ(0, client_open(&self->watch, self->name,
				 SLABSHM_ATTACH_CREATE, MAX, MIB));
	ASSERT_EQ(0, client_open(&self->c, self->name, 0, 0, 0));
}

FIXTURE_TEARDOWN(regions)
{
	client_close(&self->c);
	client_close(&self->watch);
}

/*
 * ---------------- Control ----------------
 */

TEST_F(regions, control_is_read_only)
{
	struct client *c = &self->c;
	size_t size = c->at.control_size;
	__u64 at = c->at.control_offset;
	static const int rights[] = {
		PROT_WRITE, PROT_READ | PROT_WRITE, PROT_EXEC,
		PROT_READ | PROT_EXEC, PROT_READ | PROT_WRITE | PROT_EXEC,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_LEN(rights); i++) {
		EXPECT_EQ(-EACCES, try_map(c, size, rights[i], MAP_SHARED, at));
		EXPECT_EQ(-EACCES, try_protect(c->control, size, rights[i]));
	}
	EXPECT_EQ(-EINVAL, try_map(c, size, PROT_READ, MAP_PRIVATE, at));
	EXPECT_EQ(-EINVAL, try_map(c, size, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE, at));
	EXPECT_EQ(0, try_map(c, size, PROT_READ, MAP_SHARED, at));
	EXPECT_EQ(0, try_map(c, size, PROT_NONE, MAP_SHARED, at));

	EXPECT_EQ(SIGSEGV, store(c->control, 1));
	EXPECT_EQ(SIGSEGV, jump_to(c->control));
	EXPECT_EQ(0, try_protect(c->control, size, PROT_NONE));
	EXPECT_EQ(SIGSEGV, load(c->control));
	EXPECT_EQ(0, try_protect(c->control, size, PROT_READ));
	EXPECT_EQ(0, load(c->control));
	EXPECT_EQ(SLABSHM_MAGIC, c->control->magic);
}

/* The kernel will not write there for us either. */
TEST_F(regions, control_is_no_buffer)
{
	struct client *c = &self->c;
	struct iovec to = { c->control, 64 };
	char buffer[64] = { 0 };
	struct iovec from = { buffer, 64 };
	off_t at = (off_t)(uintptr_t)c->control;
	int pipes[2], zero = open("/dev/zero", O_RDONLY);
	int mem = open("/proc/self/mem", O_RDWR);

	ASSERT_EQ(0, pipe(pipes));
	ASSERT_LE(0, zero);
	ASSERT_LE(0, mem);
	EXPECT_EQ(-1, read(zero, c->control, 64));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, pwrite(mem, buffer, 64, at));
	EXPECT_EQ(EIO, errno);
	EXPECT_EQ(-1, pread(mem, buffer, 64, at));
	EXPECT_EQ(EIO, errno);
	EXPECT_EQ(-1, process_vm_writev(getpid(), &from, 1, &to, 1, 0));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, vmsplice(pipes[1], &to, 1, 0));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, vmsplice(pipes[1], &to, 1, SPLICE_F_GIFT));
	EXPECT_EQ(EFAULT, errno);
	/* To be read it is good */
	EXPECT_EQ(64, write(pipes[1], c->control, 64));
	EXPECT_EQ(64, read(pipes[0], buffer, 64));
	EXPECT_EQ(0, memcmp(buffer, c->control, 64));
	EXPECT_EQ(64, write(pipes[1], buffer, 64));
	EXPECT_EQ(-1, vmsplice(pipes[0], &to, 1, 0));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(SLABSHM_MAGIC, c->control->magic);
	close(mem);
	close(zero);
	close(pipes[0]);
	close(pipes[1]);
}

TEST_F(regions, control_stays_whole)
{
	struct client *c = &self->c;
	size_t size = c->at.control_size;
	char *p = (char *)c->control;
	void *to = hole(2 * size);
	unsigned int i;
	int err;

	ASSERT_LT(2 * PAGE, size);
	EXPECT_EQ(-EINVAL, try_unmap(p, PAGE));
	EXPECT_EQ(-EINVAL, try_unmap(p + PAGE, PAGE));
	EXPECT_EQ(-EINVAL, try_unmap(p + size - PAGE, PAGE));
	EXPECT_EQ(-EINVAL, try_unmap(p + size - PAGE, 2 * PAGE));
	EXPECT_EQ(-EINVAL, try_protect(p, PAGE, PROT_NONE));
	EXPECT_EQ(-EINVAL, try_protect(p + PAGE, size - PAGE, PROT_NONE));
	EXPECT_EQ(-EINVAL, try_remap(p, size, size - PAGE, 0, NULL));
	EXPECT_EQ(-EINVAL, try_remap(p, size, PAGE, MREMAP_MAYMOVE, NULL));
	EXPECT_EQ(-EFAULT, try_remap(p, size, size + PAGE, 0, NULL));
	EXPECT_EQ(-EFAULT, try_remap(p, size, size + PAGE, MREMAP_MAYMOVE,
				     NULL));
	EXPECT_EQ(-EFAULT, try_remap(p, 0, size, MREMAP_MAYMOVE, NULL));
	EXPECT_EQ(-EFAULT, try_remap(p, 0, PAGE, MREMAP_MAYMOVE |
				     MREMAP_FIXED, to));
	EXPECT_GT(0, try_remap(p, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
			       to));
	EXPECT_GT(0, try_remap(p, size, size, MREMAP_MAYMOVE |
			       MREMAP_DONTUNMAP, NULL));
	/* 6.1 says ENOMEM, 6.12 EINVAL */
	for (i = 0; i < 2; i++) {
		err = mmap(p + i * (size - PAGE), PAGE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
		      MAP_FAILED ? errno : 0;
		EXPECT_TRUE(err == ENOMEM || err == EINVAL)
			TH_LOG("%d", err);
	}
	EXPECT_EQ(SLABSHM_MAGIC, c->control->magic);
	EXPECT_EQ(SIGSEGV, store(p, 1));

	/* As a whole it may go elsewhere, and is what it was */
	EXPECT_EQ(0, try_remap(p, size, size, MREMAP_MAYMOVE | MREMAP_FIXED,
			       to));
	c->control = to;
	EXPECT_EQ(SIGSEGV, load(p));
	EXPECT_EQ(SLABSHM_MAGIC, c->control->magic);
	EXPECT_EQ(SIGSEGV, store(c->control, 1));
	EXPECT_EQ(-EACCES, try_protect(c->control, size, PROT_WRITE));
	EXPECT_EQ(-EINVAL, try_unmap(c->control, PAGE));
	EXPECT_EQ(-EINVAL, try_advise(c->control, size, MADV_DOFORK));
}

static int look_in_child(void *p)
{
	return load(p);
}

TEST_F(regions, advice_changes_nothing)
{
	static const int refused[] = {
		MADV_DOFORK, MADV_DODUMP, MADV_DONTNEED, MADV_REMOVE,
		MADV_WIPEONFORK, MADV_FREE,
	};
	static const int others[] = {
		MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED,
		MADV_MERGEABLE, MADV_HUGEPAGE, MADV_NOHUGEPAGE,
		MADV_DONTFORK, MADV_DONTDUMP, MADV_COLD, MADV_PAGEOUT,
		MADV_KEEPONFORK, MADV_COLLAPSE,
	};
	struct client *c = &self->c;
	struct {
		void *p;
		size_t size;
	} at[] = {
		{ c->control, c->at.control_size },
		{ c->reader, c->at.reader_size },
	};
	unsigned int i, k;

	for (k = 0; k < 2; k++) {
		for (i = 0; i < ARRAY_LEN(refused); i++)
			EXPECT_GT(0, try_advise(at[k].p, at[k].size,
						refused[i]))
				TH_LOG("%d", refused[i]);
		EXPECT_EQ(-EINVAL, try_advise(at[k].p, at[k].size,
					      MADV_DOFORK));
		EXPECT_EQ(-EINVAL, try_advise(at[k].p, at[k].size,
					      MADV_DODUMP));
		EXPECT_EQ(-EINVAL, try_advise(at[k].p, at[k].size,
					      MADV_DONTNEED));
		for (i = 0; i < ARRAY_LEN(others); i++)
			try_advise(at[k].p, at[k].size, others[i]);
		EXPECT_EQ(SIGSEGV, in_child(look_in_child, at[k].p));
	}
	EXPECT_EQ(0, load(c->control));
	EXPECT_EQ(SLABSHM_MAGIC, c->control->magic);
	EXPECT_EQ(SIGSEGV, store(c->control, 1));
	EXPECT_LT(0, alloc_block(c, 64));
}

TEST_F(regions, control_pages_appear)
{
	struct client *c = &self->c;
	struct slabshm_cell_open_args cell;
	const char *cells = (char *)c->control + c->control->cells_offset;
	const __u8 *map = (__u8 *)c->control + c->control->map_offset;
	__s64 block;
	unsigned int i;

	EXPECT_EQ(SIGBUS, load(cells));
	EXPECT_EQ(SIGBUS, load((char *)c->control + c->at.control_size - 1));
	ASSERT_EQ(0, cell_open(c, "x", SLABSHM_CELL_CREATE, &cell));
	EXPECT_EQ(0, load(cells));
	EXPECT_EQ(SIGBUS, load(cells + PAGE));
	EXPECT_EQ(0, load(map));

	/* The class of a block, or of the first page of one that is not small */
	block = alloc_block(c, 1000);
	ASSERT_LT(0, block);
	i = map[block / PAGE];
	EXPECT_EQ(1024, c->control->classes[i - 1]);
	block = alloc_block(c, 20000);
	ASSERT_LT(0, block);
	i = map[block / PAGE];
	EXPECT_EQ(5 * PAGE, c->control->classes[i - 1]);
	EXPECT_EQ(SLABSHM_PAGE_NONE, map[block / PAGE + 1]);
	EXPECT_EQ(0, free_block(c, (__u64)block));
	EXPECT_EQ(SLABSHM_PAGE_NONE, map[block / PAGE]);
	block = alloc_block(c, 100000);
	ASSERT_LT(0, block);
	EXPECT_EQ(SLABSHM_PAGE_EXTENT, map[block / PAGE]);
	EXPECT_EQ(SLABSHM_PAGE_NONE, map[block / PAGE + 1]);
	EXPECT_EQ(0, free_block(c, (__u64)block));
	EXPECT_EQ(SLABSHM_PAGE_NONE, map[block / PAGE]);
}

TEST_F(regions, wrong_offsets_and_sizes)
{
	struct client *c = &self->c;
	const struct slabshm_attach_args *at = &c->at;
	const struct {
		__u64 offset;
		__u64 size;
		int err;
	} cases[] = {
		{ at->control_offset, at->control_size - PAGE, EINVAL },
		{ at->control_offset, at->control_size + PAGE, EINVAL },
		{ at->control_offset, PAGE, EINVAL },
		{ at->control_offset + PAGE, at->control_size - PAGE, EINVAL },
		{ at->control_offset - PAGE, at->control_size, EINVAL },
		{ at->reader_offset, PAGE, EINVAL },
		{ at->reader_offset, at->reader_size + PAGE, EINVAL },
		{ at->reader_offset + PAGE, at->reader_size, EINVAL },
		{ at->data_offset, MAX, 0 },
		{ at->data_offset, PAGE, 0 },
		{ at->data_offset + MAX - PAGE, PAGE, 0 },
		{ at->data_offset, MAX + PAGE, EINVAL },
		{ at->data_offset + PAGE, MAX, EINVAL },
		{ at->data_offset + MAX, PAGE, EINVAL },
		{ SLABSHM_SIZE_MAX, PAGE, EINVAL },
		{ 1ULL << 62, PAGE, EINVAL },
		{ (1ULL << 63) - PAGE, PAGE, EINVAL },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_LEN(cases); i++)
		EXPECT_EQ(-cases[i].err, try_map(c, cases[i].size, PROT_READ,
						 MAP_SHARED, cases[i].offset))
			TH_LOG("case %u", i);
	/* Offsets that overflow never reach the module */
	EXPECT_GT(0, try_map(c, 2 * PAGE, PROT_READ, MAP_SHARED,
			     0 - (__u64)PAGE));
	/* The reader region was not mapped a second time by one of these */
	client_unmap_reader(c);
	EXPECT_EQ(-ENXIO, (int)alloc_block(c, 64));
}

/*
 * ---------------- Other processes ----------------
 */

struct tracee {
	const char *name;
	struct client c;	/* in the child's address space */
	int ready;
};

static int be_traced(void *arg)
{
	struct tracee *t = arg;

	if (client_open(&t->c, t->name, SLABSHM_ATTACH_RDONLY, 0, 0))
		return 1;
	__atomic_store_n(&t->ready, 1, __ATOMIC_RELEASE);
	for (;;)
		pause();
}

TEST_F(regions, debuggers)
{
	struct tracee *t = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char path[32], buffer[8] = { 0 };
	int status, mem, i;
	pid_t pid;

	ASSERT_NE(MAP_FAILED, t);
	t->name = self->name;
	pid = start_child(be_traced, t);
	ASSERT_LT(0, pid);
	ASSERT_TRUE(wait_until(__atomic_load_n(&t->ready, __ATOMIC_ACQUIRE),
			       5000));
	ASSERT_EQ(0, ptrace(PTRACE_ATTACH, pid, NULL, NULL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	mem = open(path, O_RDWR);
	ASSERT_LE(0, mem);
	for (i = 0; i < 3; i++) {
		void *p[] = { t->c.control, t->c.reader, t->c.data };
		struct iovec to = { p[i], 8 }, from = { buffer, 8 };

		EXPECT_EQ(-1, ptrace(PTRACE_POKEDATA, pid, p[i], 1L));
		EXPECT_EQ(EIO, errno);
		EXPECT_EQ(-1, pwrite(mem, buffer, 8, (off_t)(uintptr_t)p[i]));
		EXPECT_EQ(EIO, errno);
		EXPECT_EQ(-1, process_vm_writev(pid, &from, 1, &to, 1, 0));
		EXPECT_EQ(EFAULT, errno);
	}
	errno = 0;
	ptrace(PTRACE_PEEKDATA, pid, t->c.control, NULL);
	EXPECT_EQ(EIO, errno);
	close(mem);
	EXPECT_EQ(SLABSHM_MAGIC, self->c.control->magic);
	kill(pid, SIGKILL);
	EXPECT_EQ(-SIGKILL, end_child(pid));
	munmap(t, PAGE);
}

/*
 * ---------------- Reader ----------------
 */

TEST_F(regions, reader_rights)
{
	struct client *c = &self->c;
	size_t size = c->at.reader_size;
	__u64 at = c->at.reader_offset;
	char *p = c->reader;
	void *to = hole(2 * size);

	EXPECT_EQ(-EACCES, try_map(c, size, PROT_READ | PROT_EXEC, MAP_SHARED,
				   at));
	EXPECT_EQ(-EACCES, try_protect(p, size, PROT_EXEC));
	EXPECT_EQ(-EACCES, try_protect(p, size, PROT_READ | PROT_WRITE |
				       PROT_EXEC));
	EXPECT_EQ(-EINVAL, try_map(c, size, PROT_READ, MAP_PRIVATE, at));
	EXPECT_EQ(-EINVAL, try_unmap(p, PAGE));
	EXPECT_EQ(-EINVAL, try_unmap(p + size - PAGE, PAGE));
	EXPECT_EQ(-EINVAL, try_protect(p + PAGE, PAGE, PROT_READ));
	EXPECT_EQ(-EINVAL, try_remap(p, size, PAGE, MREMAP_MAYMOVE, NULL));
	EXPECT_EQ(-EFAULT, try_remap(p, size, size + PAGE, MREMAP_MAYMOVE,
				     NULL));
	EXPECT_EQ(-EFAULT, try_remap(p, 0, size, MREMAP_MAYMOVE, NULL));
	EXPECT_GT(0, try_remap(p, size, size, MREMAP_MAYMOVE |
			       MREMAP_DONTUNMAP, NULL));
	EXPECT_NE(0, jump_to(p));
	EXPECT_EQ(0, try_protect(p, size, PROT_NONE));
	EXPECT_EQ(0, try_protect(p, size, PROT_READ | PROT_WRITE));
	EXPECT_LT(0, alloc_block(c, 64));

	/* Moved it is as alive as before, and ends at its new place */
	EXPECT_EQ(0, try_remap(p, size, size, MREMAP_MAYMOVE | MREMAP_FIXED,
			       to));
	c->reader = to;
	EXPECT_LT(0, alloc_block(c, 64));
	EXPECT_EQ(-EINVAL, try_unmap(to, PAGE));
	EXPECT_LT(0, live(&self->watch));
	client_unmap_reader(c);
	EXPECT_EQ(-ENXIO, (int)alloc_block(c, 64));
	EXPECT_TRUE(wait_until(!live(&self->watch), 5000));
}

TEST_F(regions, last_unmapping_ends_the_client)
{
	struct client *c = &self->c;
	struct slabshm_cell_open_args cell;
	struct slabshm_stat st;
	void *second;
	__s64 block;
	int i;

	ASSERT_EQ(0, cell_open(c, "x", SLABSHM_CELL_CREATE, &cell));
	ASSERT_EQ(0, publish_one(c, &cell, (__u64)alloc_block(c, 64), 64));
	for (i = 0; i < 1000; i++)
		ASSERT_LT(0, alloc_block(c, 64 + i * 17));
	second = mmap(NULL, c->at.reader_size, PROT_READ, MAP_SHARED, c->fd,
		      (off_t)c->at.reader_offset);
	ASSERT_NE(MAP_FAILED, second);
	client_unmap_reader(c);
	block = alloc_block(c, 64);
	EXPECT_LT(0, block);
	EXPECT_LT(64, live(&self->watch));

	EXPECT_EQ(0, try_unmap(second, c->at.reader_size));
	EXPECT_EQ(-ENXIO, (int)alloc_block(c, 64));
	EXPECT_EQ(-ENXIO, free_block(c, (__u64)block));
	EXPECT_EQ(-ENXIO, publish_one(c, &cell, 0, 0));
	EXPECT_EQ(-ENXIO, cell_remove(c, &cell));
	EXPECT_EQ(-ENXIO, grow(c, 2 * MIB, NULL));
	EXPECT_EQ(-ENXIO, trim(c, 0, NULL));
	EXPECT_EQ(-ENXIO, client_map_reader(c));
	/* Its blocks are free again, what it published stays */
	EXPECT_TRUE(wait_until(live(&self->watch) == 64, 5000));
	EXPECT_EQ(0, cell_open(c, "x", 0, &cell));
	ASSERT_EQ(0, get_stat(c, &st));
	EXPECT_EQ(1, st.blocks);
	EXPECT_EQ(2, st.clients);
}

/* Something else is mapped over it, or all goes at once. */
TEST_F(regions, reader_goes_with_others)
{
	struct client *c = &self->c;
	size_t size = c->at.reader_size;
	size_t room = size + c->at.control_size + MAX;
	char *p = hole(room);

	EXPECT_LT(0, alloc_block(c, 64));
	EXPECT_EQ(c->reader,
		  mmap(c->reader, size, PROT_NONE, MAP_PRIVATE |
		       MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	EXPECT_EQ(-ENXIO, (int)alloc_block(c, 64));
	EXPECT_TRUE(wait_until(!live(&self->watch), 5000));
	client_close(c);

	ASSERT_EQ(0, client_open(c, self->name, 0, 0, 0));
	EXPECT_LT(0, alloc_block(c, 64));
	EXPECT_EQ(0, try_remap(c->data, MAX, MAX, MREMAP_MAYMOVE |
			       MREMAP_FIXED, p));
	EXPECT_EQ(0, try_remap(c->reader, size, size, MREMAP_MAYMOVE |
			       MREMAP_FIXED, p + MAX));
	EXPECT_EQ(0, try_remap(c->control, c->at.control_size,
			       c->at.control_size, MREMAP_MAYMOVE |
			       MREMAP_FIXED, p + MAX + size));
	c->data = NULL;
	c->reader = NULL;
	c->control = NULL;
	EXPECT_LT(0, alloc_block(c, 64));
	EXPECT_EQ(0, try_unmap(p, room));
	EXPECT_EQ(-ENXIO, (int)alloc_block(c, 64));
	EXPECT_TRUE(wait_until(!live(&self->watch), 5000));
}

/* What a forked child has or does not have is nothing to the client. */
static int child_tries(void *arg)
{
	struct client *c = arg;

	if (load(c->reader) != SIGSEGV || load(c->control) != SIGSEGV ||
	    load(c->data) != SIGSEGV)
		return 1;
	munmap(c->reader, c->at.reader_size);
	close(c->fd);
	return alloc_block(c, 64) < 0 ? 0 : 2;
}

TEST_F(regions, fork_copies_nothing)
{
	struct client *c = &self->c;

	EXPECT_LT(0, alloc_block(c, 64));
	EXPECT_EQ(0, in_child(child_tries, c));
	EXPECT_LT(0, alloc_block(c, 64));
	EXPECT_EQ(128, live(&self->watch));
}

struct worker {
	struct client *c;
	int what;
	int err;
	unsigned int done;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	struct slabshm_block blocks[SLABSHM_BATCH_MAX];
	unsigned int i;

	do {
		switch (w->what) {
		case 0:
			w->err = grow(w->c, w->c->at.max_size, NULL);
			break;
		case 1:
			w->err = (int)alloc_block(w->c, MIB / 2);
			break;
		default:
			for (i = 0; i < SLABSHM_BATCH_MAX; i++)
				blocks[i].size = 64 << i % 8;
			w->err = alloc_blocks(w->c, blocks, SLABSHM_BATCH_MAX,
					      0, SLABSHM_ALLOC_ZERO);
			break;
		}
		__atomic_add_fetch(&w->done, 1, __ATOMIC_RELAXED);
	} while (w->err >= 0 || w->err == -ENOSPC);
	return NULL;
}

TEST_F_TIMEOUT(regions, end_during_calls, 300)
{
	int rounds = long_run() ? 300 : 12, i;
	struct slabshm_stat st;

	for (i = 0; i < rounds; i++) {
		struct worker w = { .what = i % 3 };
		const char *name = unique_name();
		struct client watch, c;
		pthread_t thread;

		ASSERT_EQ(0, client_open(&watch, name, SLABSHM_ATTACH_CREATE,
					 w.what ? MAX / 4 : MAX, 0));
		ASSERT_EQ(0, client_open(&c, name, 0, 0, 0));
		w.c = &c;
		ASSERT_EQ(0, pthread_create(&thread, NULL, work, &w));
		if (i % 2)
			wait_until(__atomic_load_n(&w.done, __ATOMIC_RELAXED),
				   50);
		else
			sleep_ms(i % 7);
		client_unmap_reader(&c);
		pthread_join(thread, NULL);
		EXPECT_EQ(-ENXIO, w.err);
		EXPECT_TRUE(wait_until(!live(&watch), 5000));
		ASSERT_EQ(0, get_stat(&watch, &st));
		EXPECT_EQ(0, st.blocks);
		EXPECT_EQ(st.backed, st.free);
		client_close(&c);
		client_close(&watch);
	}
}

TEST_HARNESS_MAIN
