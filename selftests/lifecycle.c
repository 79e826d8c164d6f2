// SPDX-License-Identifier: GPL-2.0
/*
 * Clients and slabs come and go: fork, exec, dup, descriptors passed on, names,
 * and what there is to see of it all.
 */
#include <pthread.h>
#include <spawn.h>
#include <sys/socket.h>

#include "object.h"

#include "kselftest_harness.h"

WITHOUT_CACHE()

#define TRACING		"/sys/kernel/tracing/"
#define INSTANCE	TRACING "instances/slabshm-selftest/"

static uint64_t number_of_clients(struct slabshm *s)
{
	struct slabshm_stat st;

	return slabshm_stat(s, &st) ? UINT64_MAX : st.clients;
}

/* SLABSHM_CLIENT_* of the client after the first, or -1. */
static int second_clients_flags(struct slabshm *s)
{
	struct slabshm_client_entry client[2];
	uint64_t cursor = 0;

	poison(client, sizeof(client));
	if (slabshm_list_clients(s, client, 2, &cursor) != 2)
		return -1;
	return (int)client[1].flags;
}

/* Is the page of this address mapped? */
static bool mapped(const void *p)
{
	unsigned char core;

	return !mincore((void *)((uintptr_t)p & ~(PAGE - 1)), PAGE, &core);
}

FIXTURE(slab)
{
	struct slabshm *s;
	struct slabshm_ref ref;
	uint64_t block;
};

FIXTURE_SETUP(slab)
{
	int64_t block;

	ASSERT_EQ(0, slab_open(&self->s, 64 * MIB, MIB));
	ASSERT_EQ(0, slabshm_cell_open(self->s, "cell", SLABSHM_CELL_CREATE,
				       &self->ref));
	ASSERT_GT(slabshm_assign(self->s, &self->ref, "hello", 6), 0);
	block = slabshm_alloc(self->s, 64);
	ASSERT_GT(block, 0);
	self->block = (uint64_t)block;
}

FIXTURE_TEARDOWN(slab)
{
	slabshm_close(self->s);
}

/*
 * ---------------- fork ----------------
 */

/* What a child can do with a handle that it inherited: nothing, safely. */
static void inherited(struct slabshm *s, const struct slabshm_ref *ref,
		      uint64_t block)
{
	struct slabshm_block blocks = { .size = 64 };
	struct slabshm_publish_cell item = { .cell = ref->cell };
	struct slabshm_client_entry client;
	struct slabshm_cell_entry cell;
	struct slabshm_stat st;
	struct slabshm_ref other = *ref;
	uint64_t version = 0, cursor = 0;
	char buf[8];

	must(slabshm_read(s, ref, buf, sizeof(buf), &version) == -EIO);
	must(slabshm_length(s, ref, &version) == -EIO);
	must(!slabshm_ptr(s, block));
	must(slabshm_usable_size(s, block) == -EIO);
	must(slabshm_alloc(s, 64) == -EIO);
	must(slabshm_alloc_aligned(s, 64, 4096) == -EIO);
	must(slabshm_alloc_zeroed(s, 64) == -EIO);
	must(slabshm_alloc_batch(s, &blocks, 1, 0, 0) == -EIO);
	must(slabshm_free(s, block) == -EIO);
	must(slabshm_free_batch(s, &block, 1) == -EIO);
	must(slabshm_grow(s, 2 * MIB) == -EIO);
	must(slabshm_trim(s, 0) == -EIO);
	must(slabshm_compact(s, 0) == -EIO);
	must(slabshm_stat(s, &st) == -EIO);
	must(slabshm_chmod(s, 0600) == -EIO);
	must(slabshm_chown(s, getuid(), getgid()) == -EIO);
	must(slabshm_list_cells(s, &cell, 1, &cursor) == -EIO);
	must(slabshm_list_clients(s, &client, 1, &cursor) == -EIO);
	must(slabshm_cell_open(s, "cell", 0, &other) == -EIO);
	must(slabshm_cell_open(s, "new", SLABSHM_CELL_CREATE, &other) == -EIO);
	must(slabshm_cell_remove(s, ref) == -EIO);
	must(slabshm_cell_remove_name(s, "cell") == -EIO);
	must(slabshm_publish(s, &item, 1, NULL, 0, NULL) == -EIO);
	must(slabshm_put(s, ref, block, 1) == -EIO);
	must(slabshm_put_if(s, ref, block, 1, 1) == -EIO);
	must(slabshm_assign(s, ref, "x", 1) == -EIO);
	must(!mapped(s->data) && !mapped(s->header));
	must(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, slabshm_fd(s), 0) ==
	     MAP_FAILED && errno == EIO);
}

static int use_inherited(void *arg)
{
	FIXTURE_DATA(slab) * self = arg;
	struct slabshm *own;
	int64_t block;
	char buf[8];
	pid_t pid;

	inherited(self->s, &self->ref, self->block);

	/* A grandchild has no more */
	pid = fork();
	if (!pid) {
		inherited(self->s, &self->ref, self->block);
		slabshm_close(self->s);
		_exit(0);
	}
	must(end_child(pid) == 0);

	/* It opens its own, before or after closing what it inherited */
	must_do(slabshm_open_fd(&own, slabshm_fd(self->s), 0));
	slabshm_close(self->s);
	must(slabshm_read(own, &self->ref, buf, sizeof(buf), NULL) == 6);
	must(!strcmp(buf, "hello"));
	must(slabshm_free(own, self->block) == -EPERM);
	block = must_do(slabshm_alloc(own, 100));
	must_do(slabshm_free(own, (uint64_t)block));
	must(number_of_clients(own) == 2);
	slabshm_close(own);
	return 0;
}

TEST_F(slab, fork)
{
	char buf[8];

	EXPECT_EQ(0, in_child(use_inherited, self));

	/* The parent has noticed nothing */
	EXPECT_TRUE(wait_until(number_of_clients(self->s) == 1, 5000));
	EXPECT_EQ(128, live_bytes(self->s));
	EXPECT_EQ(6, slabshm_read(self->s, &self->ref, buf, sizeof(buf), NULL));
	memset(slabshm_ptr(self->s, self->block), 1, 64);
	EXPECT_EQ(0, slabshm_free(self->s, self->block));
}

/* A child that only exits, or crashes, takes nothing with it. */
static int crash(void *arg)
{
	FIXTURE_DATA(slab) * self = arg;

	/* The mapping is not there: what touches it gets the signal */
	return __atomic_load_n(self->s->data + self->block, __ATOMIC_RELAXED);
}

TEST_F(slab, child_crashes)
{
	EXPECT_EQ(-SIGSEGV, in_child(crash, self));
	EXPECT_EQ(128, live_bytes(self->s));
	EXPECT_EQ(0, slabshm_free(self->s, self->block));
}

/* Fork while other threads are in calls. */
static bool stop_calling;

static void *keep_calling(void *arg)
{
	struct slabshm *s = arg;

	while (!__atomic_load_n(&stop_calling, __ATOMIC_RELAXED))
		must_do(slabshm_free(s, (uint64_t)slabshm_alloc(s, 300)));
	return NULL;
}

static int use_after_fork(void *arg)
{
	FIXTURE_DATA(slab) * self = arg;

	inherited(self->s, &self->ref, self->block);
	slabshm_close(self->s);
	return 0;
}

TEST_F_TIMEOUT(slab, fork_among_calls, 200)
{
	pthread_t thread[2];
	unsigned int i;

	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, keep_calling,
					    self->s));
	for (i = 0; i < 20; i++)
		EXPECT_EQ(0, in_child(use_after_fork, self));
	__atomic_store_n(&stop_calling, true, __ATOMIC_RELAXED);
	for (i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	EXPECT_EQ(128, live_bytes(self->s));
}

/* The parent goes first. */
static int parent_dies(void *arg)
{
	FIXTURE_DATA(slab) * self = arg;
	struct slabshm *s, *own;
	int fd[2];
	char byte;
	pid_t pid;

	must(!pipe(fd));
	s = child_open(self->s);
	must_do(slabshm_alloc(s, 1000));
	pid = fork();
	if (!pid) {
		close(fd[1]);
		must(!read(fd[0], &byte, 1));	/* until the parent is dead */
		inherited(s, &self->ref, self->block);
		must_do(slabshm_open_fd(&own, slabshm_fd(s), 0));
		slabshm_close(s);
		must(wait_until(live_bytes(own) == 128, 5000));
		must_do(slabshm_assign(own, &self->ref, "bye", 4));
		pause();
	}
	close(fd[0]);
	return 0;
}

TEST_F(slab, parent_dies)
{
	EXPECT_EQ(0, in_child(parent_dies, self));
	EXPECT_TRUE(wait_until(slabshm_length(self->s, &self->ref, NULL) == 4,
			       5000));
	EXPECT_EQ(128, live_bytes(self->s));
}

/*
 * ---------------- exec, vfork, spawn ----------------
 */

static int exec_failing_then_not(void *arg)
{
	FIXTURE_DATA(slab) * self = arg;
	struct slabshm *s = child_open(self->s);
	char number[16];

	must_do(slabshm_alloc(s, 1000));
	must(execl("/nonexistent", "x", NULL) && errno == ENOENT);
	/* Nothing has happened */
	must_do(slabshm_alloc(s, 1000));
	must(live_bytes(s) == 128 + 2 * 1024);

	/* The descriptor goes along, the client ends; see check_exec() */
	must(!fcntl(slabshm_fd(s), F_SETFD, 0));
	snprintf(number, sizeof(number), "%d", slabshm_fd(s));
	execl("/proc/self/exe", "lifecycle", "exec", number, NULL);
	return 2;
}

/* The value of a line in fdinfo; empty if there is no such line. */
static const char *fdinfo(int fd, const char *key)
{
	static char line[1024];
	char path[64], *value = NULL;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	file = fopen(path, "r");
	if (!file)
		return "";
	while (!value && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		if (!strncmp(line, key, strlen(key)) &&
		    !strncmp(line + strlen(key), ":\t", 2))
			value = line + strlen(key) + 2;
	}
	fclose(file);
	return value ? value : "";
}

/* The program that was executed: argument is the descriptor. */
static int check_exec(int fd)
{
	struct client c = {
		.fd = fd,
		.at.client = (__u32)atol(fdinfo(fd, "slabshm-client")),
	};
	struct slabshm_stat st;
	struct client own;
	__u64 generation;
	struct slabshm_cell_open_args handle;

	must(get_stat(&c, &st) == -EIO);
	must(alloc_block(&c, 64) == -EIO);
	must(cell_open(&c, "cell", 0, &handle) == -EIO);
	must(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED);
	must(errno == EIO);
	must_do(client_open_fd(&own, fd, 0));
	must(wait_until(!get_stat(&own, &st) && st.live == 128, 5000));
	must_do(cell_open(&own, "cell", 0, &handle));
	generation = handle.generation;
	must(generation);
	must(st.clients == 3);
	pause();
	return 0;
}

TEST_F(slab, exec)
{
	pid_t pid = start_child(exec_failing_then_not, self);

	/* First there are two clients, then three */
	EXPECT_TRUE(wait_until(number_of_clients(self->s) == 3, 10000));
	EXPECT_TRUE(wait_until(live_bytes(self->s) == 128, 5000));
	EXPECT_EQ(SLABSHM_CLIENT_ENDED, second_clients_flags(self->s));
	EXPECT_EQ(0, kill(pid, SIGKILL));
	EXPECT_EQ(-SIGKILL, end_child(pid));
	EXPECT_TRUE(wait_until(number_of_clients(self->s) == 1, 5000));
}

static int exec_with_default(void *arg)
{
	FIXTURE_DATA(slab) * self = arg;
	struct slabshm *s = child_open(self->s);

	must_do(slabshm_alloc(s, 1000));
	execl("/proc/self/exe", "lifecycle", "wait", NULL);
	return 2;
}

/* The descriptor is close-on-exec. */
TEST_F(slab, exec_closes)
{
	pid_t pid = start_child(exec_with_default, self);
	char path[64], link[64] = "";

	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	EXPECT_TRUE(wait_until(!read_text(path, link, sizeof(link)) &&
			       !strcmp(link, "lifecycle"), 10000));
	EXPECT_TRUE(wait_until(number_of_clients(self->s) == 1, 5000));
	EXPECT_EQ(128, live_bytes(self->s));
	EXPECT_EQ(0, kill(pid, SIGKILL));
	EXPECT_EQ(-SIGKILL, end_child(pid));
}

/* Children that borrow the address space end without ending the client. */
TEST_F(slab, vfork_and_spawn)
{
	char program[16] = "lifecycle", what[16] = "nothing";
	char *argv[3] = { program, what, NULL };
	static int64_t block;
	pid_t pid;

	pid = vfork();
	if (!pid) {
		/* It is the address space that attached */
		block = slabshm_alloc(self->s, 64);
		_exit(0);
	}
	ASSERT_GT(pid, 0);
	EXPECT_EQ(0, end_child(pid));
	EXPECT_GT(block, 0);
	EXPECT_EQ(192, live_bytes(self->s));
	EXPECT_EQ(0, slabshm_free(self->s, (uint64_t)block));

	ASSERT_EQ(0, posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv,
				 environ));
	EXPECT_EQ(0, end_child(pid));
	EXPECT_EQ(128, live_bytes(self->s));
	EXPECT_EQ(1, number_of_clients(self->s));
	EXPECT_EQ(0, slabshm_free(self->s, self->block));
}

/*
 * ---------------- Descriptors ----------------
 */

TEST_F(slab, dup)
{
	struct client c, copy;
	struct slabshm_stat st;

	ASSERT_EQ(0, client_open_fd(&c, slabshm_fd(self->s), 0));
	copy = c;
	copy.fd = dup(c.fd);
	ASSERT_GE(copy.fd, 0);
	EXPECT_GT(alloc_block(&copy, 64), 0);
	EXPECT_EQ(0, close(c.fd));
	EXPECT_GT(alloc_block(&copy, 64), 0);
	EXPECT_EQ(256, live_bytes(self->s));
	EXPECT_EQ(2, number_of_clients(self->s));

	/* Without any descriptor the mappings are the client */
	EXPECT_EQ(0, close(copy.fd));
	sleep_ms(20);
	EXPECT_EQ(256, live_bytes(self->s));
	EXPECT_EQ(SLABSHM_CLIENT_ALIVE, second_clients_flags(self->s));
	EXPECT_EQ(SLABSHM_MAGIC, c.control->magic);

	/* The reader region alone is its life */
	EXPECT_EQ(0, munmap(c.reader, c.at.reader_size));
	EXPECT_TRUE(wait_until(live_bytes(self->s) == 128, 5000));
	EXPECT_EQ(SLABSHM_CLIENT_ENDED, second_clients_flags(self->s));
	EXPECT_EQ(SLABSHM_MAGIC, c.control->magic);
	EXPECT_EQ(0, munmap(c.control, c.at.control_size));
	EXPECT_TRUE(wait_until(number_of_clients(self->s) == 1, 5000));
	EXPECT_STREQ("hello", c.data + ({
		uint64_t cursor = 0;
		struct slabshm_cell_entry e = { 0 };

		slabshm_list_cells(self->s, &e, 1, &cursor);
		e.offset;
	}));
	EXPECT_EQ(0, munmap(c.data, c.at.max_size));
	EXPECT_EQ(0, slabshm_stat(self->s, &st));
	EXPECT_EQ(128, st.live);
}

TEST_F(slab, ended)
{
	struct slabshm_cell_open_args handle;
	struct slabshm_stat st;
	struct client c;

	ASSERT_EQ(0, client_open_fd(&c, slabshm_fd(self->s), 0));
	EXPECT_GT(alloc_block(&c, 64), 0);
	ASSERT_EQ(0, cell_open(&c, "cell", 0, &handle));
	client_unmap_reader(&c);
	EXPECT_EQ(-ENXIO, alloc_block(&c, 64));
	EXPECT_EQ(-ENXIO, free_block(&c, 64));
	EXPECT_EQ(-ENXIO, publish_one(&c, &handle, 0, 0));
	EXPECT_EQ(-ENXIO, grow(&c, 2 * MIB, NULL));
	EXPECT_EQ(-ENXIO, trim(&c, 0, NULL));
	EXPECT_EQ(-ENXIO, cell_remove(&c, &handle));
	EXPECT_EQ(-ENXIO, client_map_reader(&c));
	EXPECT_EQ(0, get_stat(&c, &st));
	EXPECT_TRUE(wait_until(live_bytes(self->s) == 128, 5000));
	EXPECT_EQ(SLABSHM_CLIENT_ENDED, second_clients_flags(self->s));
	client_close(&c);
	EXPECT_TRUE(wait_until(number_of_clients(self->s) == 1, 5000));
}

static int send_fd(int socket, int fd)
{
	char byte = 0, room[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = room,
		.msg_controllen = sizeof(room),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	return sendmsg(socket, &msg, 0) == 1 ? 0 : -errno;
}

static int receive_fd(int socket)
{
	char byte, room[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = room,
		.msg_controllen = sizeof(room),
	};
	int fd;

	if (recvmsg(socket, &msg, MSG_CMSG_CLOEXEC) != 1 || !CMSG_FIRSTHDR(&msg))
		return -EPROTO;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

FIXTURE(pair)
{
	int socket[2];
};

FIXTURE_SETUP(pair)
{
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, self->socket));
}

FIXTURE_TEARDOWN(pair)
{
	close(self->socket[0]);
	close(self->socket[1]);
}

/* Makes a slab that has no name, and hands it out. */
static int serve_unnamed(void *arg)
{
	const int *socket = arg;
	struct slabshm_ref ref;
	struct slabshm *s, *reader;

	must_do(slab_open(&s, 16 * MIB, MIB));
	must_do(slabshm_cell_open(s, "cell", SLABSHM_CELL_CREATE, &ref));
	must_do(object_put(s, &ref, 4096, 7, 8));
	must_do(slabshm_alloc(s, MIB));		/* never published */
	must_do(slabshm_open_fd(&reader, slabshm_fd(s), SLABSHM_ATTACH_RDONLY));
	must_do(send_fd(socket[0], slabshm_fd(s)));
	must_do(send_fd(socket[0], slabshm_fd(reader)));
	/* Until killed */
	pause();
	return 1;
}

TEST_F(pair, pass_descriptor)
{
	uint64_t buf[4096 / 8], who = 0, seq = 0;
	struct slabshm *s, *reader, *other;
	struct slabshm_stat st;
	struct slabshm_ref ref;
	struct client theirs = { 0 };
	int fd[2], null;
	pid_t pid;

	pid = start_child(serve_unnamed, self->socket);
	fd[0] = receive_fd(self->socket[1]);
	fd[1] = receive_fd(self->socket[1]);
	ASSERT_GE(fd[0], 0);
	ASSERT_GE(fd[1], 0);

	/* It is not our client */
	theirs.fd = fd[0];
	EXPECT_EQ(-ENOTCONN, get_stat(&theirs, &st));
	theirs.at.client = (__u32)atol(fdinfo(fd[0], "slabshm-client"));
	EXPECT_EQ(-EIO, get_stat(&theirs, &st));
	EXPECT_EQ(-EIO, alloc_block(&theirs, 64));

	/* But it leads to the slab, with its rights at most */
	ASSERT_EQ(0, slabshm_open_fd(&s, fd[0], 0));
	EXPECT_EQ(-EACCES, slabshm_open_fd(&other, fd[1], 0));
	ASSERT_EQ(0, slabshm_open_fd(&reader, fd[1], SLABSHM_ATTACH_RDONLY));
	EXPECT_EQ(-EACCES, slabshm_alloc(reader, 64));
	EXPECT_EQ(4, number_of_clients(s));
	EXPECT_LT(MIB, live_bytes(s));

	/* Descriptors that we still have keep nothing of the dead alive */
	EXPECT_EQ(0, kill(pid, SIGKILL));
	EXPECT_EQ(-SIGKILL, end_child(pid));
	EXPECT_TRUE(wait_until(live_bytes(s) == 4096, 5000));
	EXPECT_EQ(4, number_of_clients(s));
	EXPECT_EQ(-EIO, get_stat(&theirs, &st));
	ASSERT_EQ(0, slabshm_open_fd(&other, fd[0], 0));
	slabshm_close(other);
	EXPECT_EQ(0, close(fd[0]));
	EXPECT_EQ(0, close(fd[1]));
	EXPECT_TRUE(wait_until(number_of_clients(s) == 2, 5000));

	ASSERT_EQ(0, slabshm_cell_open(reader, "cell", 0, &ref));
	EXPECT_EQ(4096, slabshm_read(reader, &ref, buf, sizeof(buf), NULL));
	EXPECT_EQ(NULL, object_wrong(buf, 4096, &who, &seq));
	EXPECT_EQ(7, who);
	EXPECT_EQ(8, seq);
	EXPECT_GT(object_put(s, &ref, 64, 9, 10), 0);
	EXPECT_EQ(64, slabshm_read(reader, &ref, buf, sizeof(buf), NULL));

	/* What leads nowhere */
	null = open("/dev/null", O_RDWR);
	EXPECT_EQ(-EBADF, slabshm_open_fd(&other, null, 0));
	EXPECT_EQ(-EBADF, slabshm_open_fd(&other, -1, 0));
	EXPECT_EQ(-EBADF, slabshm_open_fd(&other, 12345, 0));
	close(null);
	null = open_device();
	EXPECT_EQ(-EBADF, slabshm_open_fd(&other, null, 0));
	close(null);
	slabshm_close(s);
	slabshm_close(reader);
}

/* A descriptor that is only on its way holds the slab, and no more. */
TEST_F(pair, descriptor_in_flight)
{
	struct slabshm *s, *again;
	struct slabshm_ref ref;
	int fd;

	ASSERT_EQ(0, slab_open(&s, MIB, 64 * KIB));
	ASSERT_EQ(0, slabshm_cell_open(s, "cell", SLABSHM_CELL_CREATE, &ref));
	ASSERT_GT(slabshm_assign(s, &ref, "in flight", 9), 0);
	ASSERT_GT(slabshm_alloc(s, 10000), 0);
	ASSERT_EQ(0, send_fd(self->socket[0], slabshm_fd(s)));
	slabshm_close(s);
	sleep_ms(20);
	fd = receive_fd(self->socket[1]);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, slabshm_open_fd(&again, fd, 0));
	EXPECT_EQ(9, slabshm_length(again, &ref, NULL));
	EXPECT_TRUE(wait_until(live_bytes(again) == 64, 5000));
	EXPECT_EQ(2, number_of_clients(again));
	close(fd);
	slabshm_close(again);

	/* And one that is never received is no leak: the socket is closed */
	ASSERT_EQ(0, slab_open(&s, MIB, 64 * KIB));
	ASSERT_EQ(0, send_fd(self->socket[0], slabshm_fd(s)));
	slabshm_close(s);
}

/*
 * ---------------- Names ----------------
 */

FIXTURE(name)
{
	const char *name;
	struct slabshm_options opt;
};

FIXTURE_SETUP(name)
{
	self->name = unique_name();
	self->opt.max_size = 4 * MIB;
	self->opt.size = 64 * KIB;
}

FIXTURE_TEARDOWN(name)
{
	slabshm_unlink(self->name);
}

static bool gone(const char *name)
{
	struct slabshm *s;
	int ret = slabshm_open(&s, name, 0, NULL);

	if (!ret)
		slabshm_close(s);
	return ret == -ENOENT && !slab_listed(name, NULL);
}

TEST_F(name, lives_with_its_clients)
{
	struct slabshm *s, *other;
	struct slabshm_stat st;
	uint64_t id;

	EXPECT_TRUE(gone(self->name));
	ASSERT_EQ(0, slabshm_open(&s, self->name, SLABSHM_ATTACH_CREATE,
				  &self->opt));
	ASSERT_EQ(0, slabshm_open(&other, self->name, 0, NULL));
	EXPECT_TRUE(slab_listed(self->name, &st));
	EXPECT_EQ(2, st.clients);
	id = st.id;
	slabshm_close(s);
	EXPECT_TRUE(wait_until(number_of_clients(other) == 1, 5000));
	EXPECT_FALSE(gone(self->name));
	slabshm_close(other);
	EXPECT_TRUE(wait_until(gone(self->name), 5000));

	/* The next one of that name is another one */
	ASSERT_EQ(0, slabshm_open(&s, self->name, SLABSHM_ATTACH_CREATE |
				  SLABSHM_ATTACH_EXCL, &self->opt));
	ASSERT_EQ(0, slabshm_stat(s, &st));
	EXPECT_LT(id, st.id);
	EXPECT_EQ(0, st.live);
	slabshm_close(s);
}

static int make_persistent(void *arg)
{
	FIXTURE_DATA(name) * self = arg;
	struct slabshm_ref ref;
	struct slabshm *s;

	must_do(slabshm_open(&s, self->name, SLABSHM_ATTACH_CREATE |
			     SLABSHM_ATTACH_PERSIST, &self->opt));
	must_do(slabshm_cell_open(s, "cell", SLABSHM_CELL_CREATE, &ref));
	must_do(slabshm_assign(s, &ref, "persistent", 10));
	must_do(slabshm_alloc(s, 100));
	raise(SIGKILL);
	return 1;
}

TEST_F(name, persists_until_unlinked)
{
	struct slabshm_ref ref;
	struct slabshm_stat st;
	struct slabshm *s;
	char buf[16];
	int i;

	EXPECT_EQ(-SIGKILL, in_child(make_persistent, self));
	for (i = 0; i < 3; i++) {
		EXPECT_TRUE(wait_until(slab_listed(self->name, &st) &&
				       !st.clients && st.live == 64, 5000));
		EXPECT_EQ(SLABSHM_SLAB_PERSIST | SLABSHM_SLAB_READABLE,
			  st.attributes);
		ASSERT_EQ(0, slabshm_open(&s, self->name, 0, NULL));
		ASSERT_EQ(0, slabshm_cell_open(s, "cell", 0, &ref));
		EXPECT_EQ(10, slabshm_read(s, &ref, buf, sizeof(buf), NULL));
		EXPECT_EQ(0, memcmp(buf, "persistent", 10));
		slabshm_close(s);
	}
	EXPECT_EQ(0, slabshm_unlink(self->name));
	EXPECT_TRUE(gone(self->name));
	EXPECT_EQ(-ENOENT, slabshm_unlink(self->name));
}

TEST_F(name, unlinked_while_in_use)
{
	struct slabshm *old[2], *new;
	struct slabshm_stat st[2];
	struct slabshm_ref ref;
	char byte;

	ASSERT_EQ(0, slabshm_open(&old[0], self->name, SLABSHM_ATTACH_CREATE |
				  SLABSHM_ATTACH_PERSIST, &self->opt));
	ASSERT_EQ(0, slabshm_open(&old[1], self->name, 0, NULL));
	ASSERT_EQ(0, slabshm_cell_open(old[0], "cell", SLABSHM_CELL_CREATE,
				       &ref));
	EXPECT_GT(slabshm_assign(old[0], &ref, "o", 1), 0);
	EXPECT_EQ(0, slabshm_unlink(self->name));
	EXPECT_TRUE(gone(self->name));
	ASSERT_EQ(0, slabshm_stat(old[1], &st[0]));
	EXPECT_EQ(SLABSHM_SLAB_UNLINKED | SLABSHM_SLAB_READABLE,
		  st[0].attributes);
	EXPECT_STREQ(self->name, st[0].name);

	/* Those that are in go on, and others may still come by descriptor */
	EXPECT_EQ(1, slabshm_read(old[1], &ref, &byte, 1, NULL));
	EXPECT_GT(slabshm_assign(old[1], &ref, "p", 1), 0);
	ASSERT_EQ(0, slabshm_open_fd(&new, slabshm_fd(old[0]), 0));
	EXPECT_EQ(1, slabshm_read(new, &ref, &byte, 1, NULL));
	EXPECT_EQ('p', byte);
	slabshm_close(new);

	/* Another slab of that name has nothing to do with them */
	ASSERT_EQ(0, slabshm_open(&new, self->name, SLABSHM_ATTACH_CREATE |
				  SLABSHM_ATTACH_EXCL, &self->opt));
	ASSERT_EQ(0, slabshm_stat(new, &st[1]));
	EXPECT_NE(st[0].id, st[1].id);
	EXPECT_EQ(1, st[1].clients);
	EXPECT_EQ(0, st[1].cells);
	ASSERT_EQ(0, slabshm_cell_open(new, "cell", SLABSHM_CELL_CREATE, &ref));
	EXPECT_GT(slabshm_assign(new, &ref, "n", 1), 0);
	EXPECT_EQ(1, slabshm_read(old[0], &ref, &byte, 1, NULL));
	EXPECT_EQ('p', byte);
	slabshm_close(old[0]);
	slabshm_close(old[1]);
	EXPECT_EQ(1, slabshm_read(new, &ref, &byte, 1, NULL));
	EXPECT_EQ('n', byte);
	EXPECT_FALSE(gone(self->name));
	slabshm_close(new);
	EXPECT_TRUE(wait_until(gone(self->name), 5000));
}

/* The data are memory that a mapping holds, whatever became of the slab. */
TEST_F(name, data_outlive_all)
{
	long refs;
	struct client c;
	struct slabshm_block_args info;
	int64_t block;
	char *data;

	ASSERT_TRUE(wait_until(gone(self->name), 5000));
	refs = module_refs();
	ASSERT_EQ(0, client_open(&c, self->name, SLABSHM_ATTACH_CREATE,
				 4 * MIB, MIB));
	block = alloc_block(&c, 100000);
	ASSERT_GT(block, 0);
	ASSERT_EQ(0, block_info(&c, (__u64)block, &info));
	memset(c.data + block, 'd', 100000);
	data = c.data;
	c.data = NULL;
	client_close(&c);
	EXPECT_TRUE(wait_until(gone(self->name), 5000));
	EXPECT_TRUE(wait_until(module_refs() == refs, 5000));
	EXPECT_EQ('d', data[block]);
	EXPECT_EQ('d', data[block + 99999]);
	memset(data + block, 'e', 100000);
	EXPECT_EQ('e', data[block + 5000]);
	EXPECT_EQ(0, munmap(data, 4 * MIB));
}

/*
 * ---------------- What there is to see ----------------
 */

TEST_F(name, fdinfo)
{
	char name[SLABSHM_NAME_MAX], escaped[SLABSHM_NAME_MAX], text[32];
	struct slabshm *s, *reader;
	struct slabshm_stat st;
	int fd = open_device();
	int64_t block;

	ASSERT_GE(fd, 0);
	EXPECT_STREQ("", fdinfo(fd, "slabshm-id"));
	EXPECT_STREQ("", fdinfo(fd, "slabshm-client"));
	close(fd);

	snprintf(name, sizeof(name), "%s back\\slash \xc3\xa9", self->name);
	snprintf(escaped, sizeof(escaped), "%s back\\134slash \xc3\xa9",
		 self->name);
	ASSERT_EQ(0, slabshm_open(&s, name, SLABSHM_ATTACH_CREATE, &self->opt));
	ASSERT_EQ(0, slabshm_open(&reader, name, SLABSHM_ATTACH_RDONLY, NULL));
	ASSERT_EQ(0, slabshm_stat(s, &st));
	fd = slabshm_fd(s);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)st.id);
	EXPECT_STREQ(text, fdinfo(fd, "slabshm-id"));
	EXPECT_STREQ(text, fdinfo(slabshm_fd(reader), "slabshm-id"));
	EXPECT_STREQ(escaped, fdinfo(fd, "slabshm-name"));
	snprintf(text, sizeof(text), "%u", slabshm_client(s));
	EXPECT_STREQ(text, fdinfo(fd, "slabshm-client"));
	snprintf(text, sizeof(text), "%u", slabshm_client(reader));
	EXPECT_STREQ(text, fdinfo(slabshm_fd(reader), "slabshm-client"));
	EXPECT_STREQ("rw", fdinfo(fd, "slabshm-rights"));
	EXPECT_STREQ("r", fdinfo(slabshm_fd(reader), "slabshm-rights"));
	EXPECT_STREQ("65536", fdinfo(fd, "slabshm-size"));
	EXPECT_STREQ("0", fdinfo(fd, "slabshm-owned-bytes"));
	EXPECT_STREQ("0", fdinfo(fd, "slabshm-owned-blocks"));
	block = slabshm_alloc(s, 5000);
	ASSERT_GT(block, 0);
	ASSERT_GT(slabshm_alloc(s, 1), 0);
	EXPECT_STREQ("5184", fdinfo(fd, "slabshm-owned-bytes"));
	EXPECT_STREQ("2", fdinfo(fd, "slabshm-owned-blocks"));
	EXPECT_STREQ("0", fdinfo(slabshm_fd(reader), "slabshm-owned-bytes"));
	EXPECT_EQ(0, slabshm_free(s, (uint64_t)block));
	EXPECT_STREQ("64", fdinfo(fd, "slabshm-owned-bytes"));
	slabshm_close(s);
	slabshm_close(reader);
}

/* Is there an event with all of these words in the trace? */
static bool traced(const char *event, const char *words)
{
	FILE *file = fopen(INSTANCE "trace", "r");
	char line[512], *at;
	bool found = false;

	if (!file)
		return false;
	while (!found && fgets(line, sizeof(line), file)) {
		at = strstr(line, event);
		found = at && at[strlen(event)] == ':' && strstr(at, words);
	}
	fclose(file);
	if (!found)
		fprintf(stderr, "# no event %s with %s\n", event, words);
	return found;
}

TEST_F(name, tracepoints)
{
	struct slabshm_ref ref;
	struct slabshm_stat st;
	struct slabshm *s;
	char words[128];
	int64_t block, commit;
	uint32_t client;

	if (access(TRACING "instances", F_OK))
		SKIP(return, "no tracefs");
	rmdir(INSTANCE);
	ASSERT_EQ(0, mkdir(INSTANCE, 0700));
	ASSERT_EQ(0, write_text(INSTANCE "events/slabshm/enable", "1"));

	ASSERT_EQ(0, slabshm_open(&s, self->name, SLABSHM_ATTACH_CREATE,
				  &self->opt));
	client = slabshm_client(s);
	ASSERT_EQ(0, slabshm_stat(s, &st));
	block = slabshm_alloc(s, 100);
	EXPECT_EQ(0, slabshm_free(s, (uint64_t)block));
	EXPECT_EQ(0, slabshm_grow(s, 128 * KIB));
	EXPECT_EQ(4096, slabshm_trim(s, 4096));
	EXPECT_EQ(0, slabshm_compact(s, 0));
	EXPECT_EQ(0, slabshm_cell_open(s, "traced cell", SLABSHM_CELL_CREATE,
				       &ref));
	EXPECT_GT(slabshm_assign(s, &ref, "1", 1), 0);
	commit = slabshm_assign(s, &ref, "2", 1);
	EXPECT_GT(commit, 0);
	EXPECT_TRUE(wait_until(!retired_bytes(s), 5000));
	EXPECT_EQ(0, slabshm_cell_remove(s, &ref));
	EXPECT_GT(slabshm_alloc(s, 1000), 0);
	slabshm_close(s);
	EXPECT_TRUE(wait_until(gone(self->name), 5000));
	sleep_ms(20);

	snprintf(words, sizeof(words), "slab=%llu max_size=4194304",
		 (unsigned long long)st.id);
	EXPECT_TRUE(traced("slabshm_slab_create", words));
	EXPECT_TRUE(wait_until(traced("slabshm_slab_free", words), 5000));
	snprintf(words, sizeof(words), "slab=%llu client=%u rdonly=0",
		 (unsigned long long)st.id, client);
	EXPECT_TRUE(traced("slabshm_attach", words));
	snprintf(words, sizeof(words), "slab=%llu client=%u blocks=1 first=%#llx",
		 (unsigned long long)st.id, client, (unsigned long long)block);
	EXPECT_TRUE(traced("slabshm_alloc", words));
	EXPECT_TRUE(traced("slabshm_free", words));
	snprintf(words, sizeof(words), "slab=%llu bytes=131072",
		 (unsigned long long)st.id);
	EXPECT_TRUE(traced("slabshm_grow", words));
	snprintf(words, sizeof(words), "slab=%llu bytes=4096",
		 (unsigned long long)st.id);
	EXPECT_TRUE(traced("slabshm_trim", words));
	snprintf(words, sizeof(words), "slab=%llu bytes=0",
		 (unsigned long long)st.id);
	EXPECT_TRUE(traced("slabshm_compact", words));
	snprintf(words, sizeof(words), "slab=%llu cell=%u name=traced cell",
		 (unsigned long long)st.id, ref.cell);
	EXPECT_TRUE(traced("slabshm_cell_create", words));
	EXPECT_TRUE(traced("slabshm_cell_remove", words));
	snprintf(words, sizeof(words), "slab=%llu commit=%lld cells=1 parts=0",
		 (unsigned long long)st.id, (long long)commit);
	EXPECT_TRUE(traced("slabshm_publish", words));
	snprintf(words, sizeof(words), "slab=%llu blocks=1 bytes=64",
		 (unsigned long long)st.id);
	EXPECT_TRUE(traced("slabshm_reclaim", words));
	snprintf(words, sizeof(words), "slab=%llu client=%u bytes=1024",
		 (unsigned long long)st.id, client);
	EXPECT_TRUE(traced("slabshm_client_end", words));

	EXPECT_EQ(0, write_text(INSTANCE "events/slabshm/enable", "0"));
	EXPECT_EQ(0, rmdir(INSTANCE));
}

/*
 * ---------------- Figures while all changes ----------------
 */

#define STAY		70	/* cells that stay: more than one piece */
#define CHURNERS	3

struct churn {
	struct slabshm *s;
	const char *name;
	int stop;
	uint64_t rounds;
};

/* Its cell, with a root and two parts, comes and goes; so does its slab. */
static int churn(void *arg)
{
	struct churn *ch = arg;
	struct slabshm_publish_part part[2] = {
		{ .op = SLABSHM_PART_ATTACH },
		{ .op = SLABSHM_PART_ATTACH },
	};
	struct slabshm_publish_cell item = { .length = 64 };
	struct slabshm_block block[3];
	char name[SLABSHM_NAME_MAX];
	struct slabshm_options opt = { .max_size = MIB, .size = 64 * KIB };
	struct slabshm *s, *own;
	struct slabshm_ref ref;
	unsigned int i;

	snprintf(name, sizeof(name), "%s-churn-%d", ch->name, getpid());
	while (!__atomic_load_n(&ch->stop, __ATOMIC_RELAXED)) {
		must_do(slabshm_open(&s, ch->name, 0, NULL));
		must_do(slabshm_open(&own, name, SLABSHM_ATTACH_CREATE, &opt));
		must_do(slabshm_cell_open(s, name, SLABSHM_CELL_CREATE, &ref));
		for (i = 0; i < 3; i++)
			block[i].size = 64;
		must_do(slabshm_alloc_batch(s, block, 3, 0, 0));
		item.cell = ref.cell;
		item.generation = ref.generation;
		item.block = block[0].offset;
		part[0].block = block[1].offset;
		part[1].block = block[2].offset;
		must_do(slabshm_publish(s, &item, 1, part, 2, NULL));
		for (i = 0; i < 5; i++)
			must_do(slabshm_assign(s, &ref, NULL, 0));
		must_do(slabshm_cell_remove(s, &ref));
		must_do(slabshm_alloc(s, 64));
		slabshm_close(own);
		slabshm_close(s);
		__atomic_add_fetch(&ch->rounds, 1, __ATOMIC_RELAXED);
	}
	return 0;
}

/* All that stays is in every list once, whatever size its pieces have. */
static int look(void *arg)
{
	struct churn *ch = arg;
	static struct slabshm_cell_entry cell[64];
	static struct slabshm_client_entry client[16];
	static struct slabshm_stat slab[16];
	uint64_t seed = any_seed(1), cursor, last, commit = 0;
	unsigned int stay, slabs, piece, first, nseen, k;
	static uint32_t seen[4096];
	struct slabshm_stat st;
	struct slabshm *s;
	int i, n;

	must_do(slabshm_open(&s, ch->name, 0, NULL));
	while (!__atomic_load_n(&ch->stop, __ATOMIC_RELAXED)) {
		must_do(slabshm_stat(s, &st));
		must(st.live + st.retired + st.free == st.backed);
		must(st.live >= STAY * 128);
		/* A churner has 4 blocks at most; and once more, when it ended */
		must(st.live <= STAY * 128 + 8 * CHURNERS * 64);
		must(st.blocks * 64 == st.live - STAY * 64);
		must(st.retired == st.retired_blocks * 64);
		must(st.cells >= STAY && st.cells <= STAY + CHURNERS);
		must(st.commit >= commit);
		commit = st.commit;

		stay = 0;
		last = 0;
		cursor = 0;
		piece = 1 + any(&seed) % 64;
		do {
			n = (int)must_do(slabshm_list_cells(s, cell, piece,
							    &cursor));
			for (i = 0; i < n; i++) {
				must(!last || cell[i].cell > last - 1);
				last = cell[i].cell + 1;
				if (!strncmp(cell[i].name, "stay", 4)) {
					must(cell[i].bytes == 128);
					must(cell[i].parts == 0);
					must(cell[i].length == 65);
					stay++;
				} else {
					must(cell[i].parts == 0 ||
					     cell[i].parts == 2);
					must(cell[i].bytes == 64 *
					     (cell[i].parts +
					      !!cell[i].offset));
				}
			}
		} while (n);
		must(stay == STAY);

		first = 0;
		nseen = 0;
		cursor = 0;
		piece = 1 + any(&seed) % 16;
		do {
			n = (int)must_do(slabshm_list_clients(s, client, piece,
							      &cursor));
			for (i = 0; i < n; i++) {
				for (k = 0; k < nseen; k++)
					must(client[i].client != seen[k]);
				must(nseen < sizeof(seen) / sizeof(seen[0]));
				seen[nseen++] = client[i].client;
				must(client[i].bytes == 64 * client[i].blocks);
				must(client[i].blocks <= 3);
				first += client[i].client ==
					 slabshm_client(s);
			}
		} while (n);
		must(first == 1);

		slabs = 0;
		last = 0;
		cursor = 0;
		piece = 1 + any(&seed) % 16;
		do {
			n = (int)must_do(slabshm_list_slabs(slab, piece,
							    &cursor));
			for (i = 0; i < n; i++) {
				must(slab[i].id > last);
				last = slab[i].id;
				slabs += !strcmp(slab[i].name, ch->name);
				must(slab[i].live + slab[i].retired +
				     slab[i].free == slab[i].backed);
			}
		} while (n);
		must(slabs == 1);
	}
	slabshm_close(s);
	return 0;
}

TEST_F_TIMEOUT(name, figures_while_all_changes, 200)
{
	struct churn *ch = shared_memory(sizeof(*ch));
	pid_t pid[CHURNERS + 1];
	struct slabshm_ref ref;
	unsigned int i;
	char text[65] = "";

	ASSERT_NE(NULL, ch);
	ch->name = self->name;
	self->opt.size = MIB;
	ASSERT_EQ(0, slabshm_open(&ch->s, self->name, SLABSHM_ATTACH_CREATE,
				  &self->opt));
	for (i = 0; i < STAY; i++) {
		snprintf(text, sizeof(text), "stay%u", i);
		ASSERT_EQ(0, slabshm_cell_open(ch->s, text, SLABSHM_CELL_CREATE,
					       &ref));
		ASSERT_GT(slabshm_assign(ch->s, &ref, text, 65), 0);
	}
	for (i = 0; i < CHURNERS; i++)
		pid[i] = start_child(churn, ch);
	pid[i] = start_child(look, ch);
	sleep_ms(test_ms(1200));
	EXPECT_TRUE(wait_until(__atomic_load_n(&ch->rounds,
					       __ATOMIC_RELAXED) > 10, 60000));
	__atomic_store_n(&ch->stop, 1, __ATOMIC_RELAXED);
	for (i = 0; i < CHURNERS + 1; i++)
		EXPECT_EQ(0, end_child(pid[i]));
	TH_LOG("%llu rounds", (unsigned long long)ch->rounds);
	EXPECT_TRUE(wait_until(live_bytes(ch->s) == STAY * 128, 5000));
	EXPECT_TRUE(wait_until(number_of_clients(ch->s) == 1, 5000));
	slabshm_close(ch->s);
}

int main(int argc, char **argv)
{
	/* What the tests above execute */
	if (argc == 3 && !strcmp(argv[1], "exec"))
		return check_exec(atoi(argv[2]));
	if (argc == 2 && !strcmp(argv[1], "wait"))
		return pause();
	if (argc == 2 && !strcmp(argv[1], "nothing"))
		return 0;
	return test_harness_run(argc, argv);
}
