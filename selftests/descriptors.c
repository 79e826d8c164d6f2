// SPDX-License-Identifier: GPL-2.0
/*
 * A handle whose descriptor the program has closed, while something else got the
 * number: no call reaches that, and slabshm_close() leaves it open.
 */
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "kselftest_harness.h"
#include "object.h"

/* The kernel is asked each time; and a block for slabshm_free() is in no cache. */
WITHOUT_CACHE();

/* A handle, a cell with an object and a block of it. */
struct lost {
	struct slabshm *s;
	struct slabshm_ref ref;
	uint64_t version;
	uint64_t block;
};

static void make_slab(struct lost *l)
{
	must_do(slab_open(&l->s, 16 * MIB, MIB));
	must_do(slabshm_cell_open(l->s, "cell", SLABSHM_CELL_CREATE, &l->ref));
	l->version = (uint64_t)must_do(slabshm_assign(l->s, &l->ref, "as it was",
						      10));
	l->block = (uint64_t)must_do(slabshm_alloc(l->s, 64));
}

static int do_first_read(struct lost *l)
{
	char buf[16];

	return (int)slabshm_read(l->s, &l->ref, buf, sizeof(buf), NULL);
}

static int do_first_pin(struct lost *l)
{
	struct slabshm_pin pin;

	return slabshm_pin(l->s, &pin);
}

static int do_alloc(struct lost *l)
{
	return (int)slabshm_alloc(l->s, 64);
}

static int do_free(struct lost *l)
{
	return slabshm_free(l->s, l->block);
}

static int do_usable_size(struct lost *l)
{
	uint64_t large = l->s->header->size - 4096;

	return (int)slabshm_usable_size(l->s, large);
}

static int do_assign(struct lost *l)
{
	return (int)slabshm_assign(l->s, &l->ref, "something else", 15);
}

static int do_put(struct lost *l)
{
	return (int)slabshm_put(l->s, &l->ref, l->block, 64);
}

static int do_put_if(struct lost *l)
{
	return (int)slabshm_put_if(l->s, &l->ref, 0, 0, l->version);
}

static int do_update(struct lost *l)
{
	uint64_t block = l->block;

	return (int)slabshm_update(l->s, &l->ref, &block, 64);
}

static int do_cell_open(struct lost *l)
{
	struct slabshm_ref ref;

	return slabshm_cell_open(l->s, "cell", 0, &ref);
}

static int do_cell_create(struct lost *l)
{
	struct slabshm_ref ref;

	return slabshm_cell_open(l->s, "new", SLABSHM_CELL_CREATE, &ref);
}

static int do_cell_remove(struct lost *l)
{
	return slabshm_cell_remove(l->s, &l->ref);
}

static int do_cell_remove_name(struct lost *l)
{
	return slabshm_cell_remove_name(l->s, "cell");
}

static int do_lock(struct lost *l)
{
	return slabshm_lock(l->s, &l->ref, 0);
}

static int do_unlock(struct lost *l)
{
	return slabshm_unlock(l->s, &l->ref);
}

static int do_wait(struct lost *l)
{
	struct slabshm_wait_cell cell = {
		.cell = l->ref.cell,
		.generation = l->ref.generation,
	};

	return slabshm_wait_any(l->s, &cell, 1, 0, NULL);
}

static int do_watch(struct lost *l)
{
	return (int)slabshm_watch(l->s, &l->ref, 0, 0);
}

static int do_unwatch(struct lost *l)
{
	return slabshm_unwatch(l->s, NULL);
}

static int do_events(struct lost *l)
{
	struct slabshm_event event;

	return slabshm_events(l->s, &event, 1, 0);
}

static int do_grow(struct lost *l)
{
	return slabshm_grow(l->s, 2 * MIB);
}

static int do_trim(struct lost *l)
{
	return (int)slabshm_trim(l->s, 0);
}

static int do_compact(struct lost *l)
{
	return (int)slabshm_compact(l->s, 0);
}

static int do_chmod(struct lost *l)
{
	return slabshm_chmod(l->s, 0666);
}

static int do_chown(struct lost *l)
{
	return slabshm_chown(l->s, ALICE, ALICE);
}

static int do_stat(struct lost *l)
{
	struct slabshm_stat st;

	return slabshm_stat(l->s, &st);
}

#define LIST(what, type)						\
static int do_list_##what(struct lost *l)				\
{									\
	struct slabshm_##type entry;					\
	uint64_t cursor = 0;						\
									\
	return slabshm_list_##what(l->s, &entry, 1, &cursor);		\
}

LIST(cells, cell_entry)
LIST(clients, client_entry)
LIST(readers, reader_entry)
LIST(locks, lock_entry)

static const struct {
	const char *name;
	int (*fn)(struct lost *l);
} library_calls[] = {
#define CALL(name)	{ #name, do_##name }
	CALL(first_read), CALL(first_pin), CALL(alloc), CALL(free),
	CALL(usable_size), CALL(assign), CALL(put), CALL(put_if), CALL(update),
	CALL(cell_open), CALL(cell_create), CALL(cell_remove),
	CALL(cell_remove_name), CALL(lock), CALL(unlock), CALL(wait),
	CALL(watch), CALL(unwatch), CALL(events), CALL(grow),
	CALL(trim), CALL(compact), CALL(chmod), CALL(chown), CALL(stat),
	CALL(list_cells), CALL(list_clients), CALL(list_readers),
	CALL(list_locks),
};

/* Every call of the library fails with @error; the status of a child. */
static int all_fail(struct lost *l, int error)
{
	unsigned int i;
	int ret, wrong = 0;

	for (i = 0; i < ARRAY_LEN(library_calls); i++) {
		ret = library_calls[i].fn(l);
		if (ret == error)
			continue;
		printf("# %s gave %d instead of %d\n", library_calls[i].name, ret,
		       error);
		wrong++;
	}
	fflush(stdout);
	return wrong;
}

/* What a thread that has a slot already does needs no call. */
static bool still_reads(struct lost *l)
{
	char buf[16];

	return slabshm_read(l->s, &l->ref, buf, sizeof(buf), NULL) == 10 &&
	       !strcmp(buf, "as it was");
}

static bool same_stat(struct slabshm *s, const struct slabshm_stat *st)
{
	struct slabshm_stat now;

	return !slabshm_stat(s, &now) && !memcmp(&now, st, sizeof(now));
}

static void *read_in_thread(void *arg)
{
	return still_reads(arg) ? arg : NULL;
}

/* As a daemon does; and what it opens then is a slab again. */
static int reuse_by_a_handle(void *rdonly)
{
	struct lost a, b;
	struct slabshm_stat st;
	pthread_t thread;
	void *read;
	int fd;

	make_slab(&a);
	closefrom(3);
	make_slab(&b);
	if (rdonly) {
		struct slabshm *other;

		must_do(slabshm_open_fd(&other, slabshm_fd(b.s),
					SLABSHM_ATTACH_RDONLY));
		must(dup2(slabshm_fd(other), slabshm_fd(a.s)) ==
		     slabshm_fd(a.s));
	}
	must(slabshm_fd(a.s) == slabshm_fd(b.s));
	must(a.ref.cell == b.ref.cell && a.ref.generation == b.ref.generation);
	must(a.block == b.block);
	must_do(rdonly ? 0 : slabshm_stat(b.s, &st));
	must(!all_fail(&a, -ENOTCONN));
	if (rdonly)
		return 0;
	must(same_stat(b.s, &st));
	/* Its cell has kept its object */
	must(still_reads(&b));
	must_do(slabshm_assign(b.s, &b.ref, "as it was", 10));
	must_do(slabshm_free(b.s, b.block));

	/* Not b's descriptor */
	slabshm_close(a.s);
	must_do(slabshm_stat(b.s, &st));
	must(!pthread_create(&thread, NULL, read_in_thread, &b));
	must(!pthread_join(thread, &read) && read);
	fd = slabshm_fd(b.s);
	slabshm_close(b.s);
	must(fcntl(fd, F_GETFD) < 0);
	return 0;
}

TEST(reuse_by_another_handle)
{
	EXPECT_EQ(0, in_child(reuse_by_a_handle, NULL));
}

TEST(reuse_by_a_read_only_handle)
{
	EXPECT_EQ(0, in_child(reuse_by_a_handle, (void *)1));
}

static int open_null(void)
{
	return open("/dev/null", O_RDWR);
}

static int open_folder(void)
{
	return open("/", O_RDONLY | O_DIRECTORY);
}

static int open_pipe(void)
{
	int fd[2];

	return pipe(fd) ? -1 : fd[0];
}

static int open_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM, 0);
}

static int open_eventfd(void)
{
	return eventfd(0, 0);
}

static int open_memfd(void)
{
	return memfd_create("data", 0);
}

static int open_unattached(void)
{
	return open_device();
}

/* Not an epoll: since 6.9 it says -EINVAL to what it does not know. */
static int (* const strangers[])(void) = {
	open_null, open_folder, open_pipe, open_socket, open_eventfd,
	open_memfd, open_unattached,
};

static bool same_file(int a, int b)
{
	struct stat st[2];

	return !fstat(a, &st[0]) && !fstat(b, &st[1]) &&
	       st[0].st_dev == st[1].st_dev && st[0].st_ino == st[1].st_ino;
}

static int reuse_by_a_file(void *arg)
{
	int (*open_it)(void) = *(int (* const *)(void))arg;
	struct lost a;
	int fd, other;

	make_slab(&a);
	fd = slabshm_fd(a.s);
	other = open_it();
	must(other > fd);
	must(dup2(other, fd) == fd);
	must(!all_fail(&a, -ENOTCONN));
	slabshm_close(a.s);
	must(same_file(fd, other));
	return 0;
}

TEST(reuse_by_another_file)
{
	unsigned int i;

	for (i = 0; i < ARRAY_LEN(strangers); i++)
		EXPECT_EQ(0, in_child(reuse_by_a_file, (void *)&strangers[i]))
			TH_LOG("stranger %u", i);
}

/* Nothing has the number: it is told as by any call, and nothing is closed. */
static int lost_to_nobody(void *arg)
{
	struct lost a;

	(void)arg;
	make_slab(&a);
	must(still_reads(&a));
	must(!close(slabshm_fd(a.s)));
	must(still_reads(&a));
	must(do_alloc(&a) == -EBADF);
	must(do_stat(&a) == -EBADF);
	slabshm_close(a.s);
	return 0;
}

TEST(not_reused)
{
	EXPECT_EQ(0, in_child(lost_to_nobody, NULL));
}

/* The child gives back what it inherited, but not what is its own by now. */
static int close_in_a_child(void *arg)
{
	struct lost *a = arg;
	struct slabshm *s;
	int fd = slabshm_fd(a[0].s);

	slabshm_close(a[0].s);
	must(fcntl(fd, F_GETFD) < 0 && errno == EBADF);

	fd = slabshm_fd(a[1].s);
	closefrom(3);
	do {
		must_do(slab_open(&s, MIB, 0));
	} while (slabshm_fd(s) < fd);
	must(slabshm_fd(s) == fd);
	slabshm_close(a[1].s);
	must(fcntl(fd, F_GETFD) >= 0);
	must(slabshm_alloc(s, 64) > 0);
	return 0;
}

TEST(inherited_handle)
{
	struct lost a[2];
	int i;

	for (i = 0; i < 2; i++)
		make_slab(&a[i]);
	EXPECT_EQ(0, in_child(close_in_a_child, a));
	/* Here nothing has changed */
	for (i = 0; i < 2; i++) {
		EXPECT_LT(0, do_assign(&a[i]));
		slabshm_close(a[i].s);
	}
}

/* 0, 1 and 2 are free: no handle, and no call, takes them. */
static int without_standard_descriptors(void *arg)
{
	struct slabshm_stat st;
	uint64_t cursor = 0;
	struct slabshm *s, *t;
	int i;

	(void)arg;
	for (i = 0; i < 3; i++)
		close(i);
	if (slab_open(&s, MIB, 0) || slabshm_open_fd(&t, slabshm_fd(s), 0) ||
	    slabshm_list_slabs(&st, 1, &cursor) < 0 ||
	    slabshm_unlink("test-no-such-slab") != -ENOENT)
		return 1;
	for (i = 0; i < 3; i++)
		if (fcntl(i, F_GETFD) >= 0 || errno != EBADF)
			return 10 + i;
	if (slabshm_fd(s) < 3 || slabshm_fd(t) < 3)
		return 20;
	if (fcntl(slabshm_fd(s), F_GETFD) != FD_CLOEXEC ||
	    fcntl(slabshm_fd(t), F_GETFD) != FD_CLOEXEC)
		return 30;
	i = slabshm_fd(s);
	slabshm_close(t);
	slabshm_close(s);
	return fcntl(i, F_GETFD) >= 0 ? 40 : 0;
}

TEST(standard_descriptors)
{
	EXPECT_EQ(0, in_child(without_standard_descriptors, NULL));
}

TEST_HARNESS_MAIN
