/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the selftests share: clients made by the bare ioctls, each call with
 * its outputs poisoned before it, children, other users, waiting.
 *
 * Functions return 0 (or something positive) or a negative errno value.
 */
#ifndef SELFTESTS_COMMON_H
#define SELFTESTS_COMMON_H

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/module.h>
#include <linux/slabshm.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The harness makes functions of fixtures; tables leave out what is 0. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

#define DEVICE		"/dev/slabshm"
#define PARAMETERS	"/sys/module/slabshm/parameters/"
#define POISON		0xa5
#define POISON32	0xa5a5a5a5U
#define POISON64	0xa5a5a5a5a5a5a5a5ULL
#define NO_ITEM		0xffffffffU	/* slabshm_publish.failed */
#define PAGE		4096UL
#define KIB		1024ULL
#define MIB		(1024ULL * 1024)
#define GIB		(1024ULL * MIB)

#define ALICE		1000
#define BOB		1001

#define ARRAY_LEN(a)	(sizeof(a) / sizeof((a)[0]))

/*
 * True once @cond is; false if it is not within @ms milliseconds of an idle
 * machine.
 */
#define wait_until(cond, ms)						\
({									\
	long long until_ = now_ms() + slowly(ms);			\
	bool done_;							\
									\
	while (!(done_ = (cond)) && now_ms() < until_)			\
		sleep_ms(1);						\
	done_;								\
})

static inline long long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

/*
 * A time limit that is right on an idle machine, for the one that this is: how
 * many times slower it is, selftests/tap finds out before each program.
 */
static inline long long slowly(long long limit)
{
	const char *s = getenv("SLABSHM_SLOWNESS");
	long long n = s ? atoll(s) : 1;

	return n > 1 ? limit * n : limit;
}

/* The harness sets one for each test */
#define alarm(seconds)	alarm((unsigned int)slowly(seconds))

/* For LOCK and other calls that wait: @ms from now, below 0 is for ever. */
static inline __u64 deadline_in(int ms)
{
	struct timespec ts;

	if (ms < 0)
		return SLABSHM_DEADLINE_NEVER;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (__u64)ts.tv_sec * 1000000000 + (__u64)ts.tv_nsec +
	       (__u64)ms * 1000000;
}

static inline void sleep_ms(long ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&ts, NULL);
}

/* SLABSHM_LONG=1 asks for the long version of a test. */
static inline bool long_run(void)
{
	const char *s = getenv("SLABSHM_LONG");

	return s && *s && *s != '0';
}

static inline void poison(void *p, size_t size)
{
	memset(p, POISON, size);
}

static inline int call(int fd, unsigned long cmd, void *arg)
{
	return ioctl(fd, cmd, arg) < 0 ? -errno : 0;
}

static inline int open_device(void)
{
	int fd = open(DEVICE, O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* A name that no other test has; from a small ring of buffers. */
static inline const char *unique_name(void)
{
	static char names[8][64];
	static unsigned int n;
	char *name = names[n % ARRAY_LEN(names)];

	snprintf(name, sizeof(names[0]), "test-%d-%u", getpid(), n++);
	return name;
}

/* @name may be NULL; one that is too long is cut. */
static inline void set_name(char *to, const char *name)
{
	size_t len = name ? strlen(name) : 0;

	memset(to, 0, SLABSHM_NAME_MAX);
	if (len)
		memcpy(to, name, len < SLABSHM_NAME_MAX ? len :
							  SLABSHM_NAME_MAX - 1);
}

/*
 * ---------------- Clients ----------------
 */

/**
 * struct client - a client without the library
 * @fd: the descriptor
 * @at: what ATTACH answered
 * @control: its mapping, or NULL
 * @reader: its mapping, or NULL
 * @data: its mapping, or NULL
 */
struct client {
	int fd;
	struct slabshm_attach_args at;
	struct slabshm_header *control;
	void *reader;
	char *data;
};

/* The question of ATTACH, with rubbish in all that is output alone. */
static inline void ask_attach(struct slabshm_attach_args *ask, const char *name,
			      unsigned int flags, __u64 max_size,
			      __u64 size)
{
	poison(ask, sizeof(*ask));
	set_name(ask->name, name);
	ask->flags = flags;
	ask->client = 0;
	ask->mode = 0600;
	ask->max_size = max_size;
	ask->size = size;
	ask->max_cells = 0;
	ask->read_timeout = 0;
	ask->pad = 0;
	ask->held_limit = 0;
}

/* Open the device and attach; nothing is mapped yet. */
static inline int client_attach(struct client *c,
				const struct slabshm_attach_args *ask)
{
	int err;

	memset(c, 0, sizeof(*c));
	c->fd = open_device();
	if (c->fd < 0)
		return c->fd;
	c->at = *ask;
	err = call(c->fd, SLABSHM_IOC_ATTACH, &c->at);
	if (err) {
		close(c->fd);
		c->fd = -1;
	}
	return err;
}

static inline int client_map_reader(struct client *c)
{
	c->reader = mmap(NULL, c->at.reader_size, PROT_READ | PROT_WRITE,
			 MAP_SHARED, c->fd, (off_t)c->at.reader_offset);
	if (c->reader == MAP_FAILED) {
		c->reader = NULL;
		return -errno;
	}
	return 0;
}

static inline int client_map_control(struct client *c)
{
	c->control = mmap(NULL, c->at.control_size, PROT_READ, MAP_SHARED,
			  c->fd, (off_t)c->at.control_offset);
	if (c->control == MAP_FAILED) {
		c->control = NULL;
		return -errno;
	}
	return 0;
}

static inline int client_map_data(struct client *c)
{
	int prot = c->at.flags & SLABSHM_ATTACH_RDONLY ? PROT_READ :
							 PROT_READ | PROT_WRITE;

	c->data = mmap(NULL, c->at.max_size, prot, MAP_SHARED, c->fd,
		       (off_t)c->at.data_offset);
	if (c->data == MAP_FAILED) {
		c->data = NULL;
		return -errno;
	}
	return 0;
}

static inline int client_map(struct client *c)
{
	int err = client_map_control(c);

	if (!err)
		err = client_map_data(c);
	if (!err)
		err = client_map_reader(c);
	return err;
}

static inline void client_unmap_reader(struct client *c)
{
	if (c->reader)
		munmap(c->reader, c->at.reader_size);
	c->reader = NULL;
}

static inline void client_close(struct client *c)
{
	client_unmap_reader(c);
	if (c->data)
		munmap(c->data, c->at.max_size);
	if (c->control)
		munmap(c->control, c->at.control_size);
	if (c->fd >= 0)
		close(c->fd);
	memset(c, 0, sizeof(*c));
	c->fd = -1;
}

/* Attach as @ask says and map everything. */
static inline int client_open_ask(struct client *c,
				  const struct slabshm_attach_args *ask)
{
	int err = client_attach(c, ask);

	if (err)
		return err;
	err = client_map(c);
	if (err)
		client_close(c);
	return err;
}

/* The usual client: @flags are SLABSHM_ATTACH_*, @name may be NULL. */
static inline int client_open(struct client *c, const char *name,
			      unsigned int flags, __u64 max_size,
			      __u64 size)
{
	struct slabshm_attach_args ask;

	ask_attach(&ask, name, flags, max_size, size);
	return client_open_ask(c, &ask);
}

/* Another client of the slab of descriptor @fd. */
static inline int client_open_fd(struct client *c, int fd, unsigned int flags)
{
	struct slabshm_attach_args ask;

	ask_attach(&ask, NULL, flags | SLABSHM_ATTACH_FD, 0, 0);
	ask.fd = fd;
	return client_open_ask(c, &ask);
}

/* Every argument has the client's number in its second word. */
static inline int client_call(const struct client *c, unsigned long cmd,
			      void *arg)
{
	memcpy((char *)arg + sizeof(__u32), &c->at.client, sizeof(__u32));
	return call(c->fd, cmd, arg);
}

static inline int unlink_slab(const char *name)
{
	struct slabshm_unlink_args arg = { 0 };
	int fd = open_device(), err;

	if (fd < 0)
		return fd;
	set_name(arg.name, name);
	err = call(fd, SLABSHM_IOC_UNLINK, &arg);
	close(fd);
	return err;
}

/*
 * ---------------- Calls ----------------
 */

static inline int get_stat(const struct client *c, struct slabshm_stat *st)
{
	poison(st, sizeof(*st));
	st->flags = 0;
	return client_call(c, SLABSHM_IOC_STAT, st);
}

/* Poisons the offsets; the sizes are the caller's. */
static inline int alloc_blocks(const struct client *c,
			       struct slabshm_block *blocks, unsigned int n,
			       __u64 align, unsigned int flags)
{
	struct slabshm_alloc_args arg = {
		.blocks = (uintptr_t)blocks,
		.count = n,
		.flags = flags,
		.align = align,
	};
	unsigned int i;

	for (i = 0; i < n; i++)
		blocks[i].offset = POISON64;
	return client_call(c, SLABSHM_IOC_ALLOC, &arg);
}

/* One block: its offset, or an error. */
static inline __s64 alloc_block(const struct client *c, __u64 size)
{
	struct slabshm_block block = { .size = size };
	int err = alloc_blocks(c, &block, 1, 0, 0);

	return err ? err : (__s64)block.offset;
}

/* @failed may be NULL; it is POISON32 if the call did not write it. */
static inline int free_blocks(const struct client *c, const __u64 *offsets,
			      unsigned int n, __u32 *failed)
{
	struct slabshm_free_args arg = {
		.offsets = (uintptr_t)offsets,
		.count = n,
		.failed = POISON32,
	};
	int err = client_call(c, SLABSHM_IOC_FREE, &arg);

	if (failed)
		*failed = arg.failed;
	return err;
}

static inline int free_block(const struct client *c, __u64 offset)
{
	return free_blocks(c, &offset, 1, NULL);
}

static inline int block_info(const struct client *c, __u64 offset,
			     struct slabshm_block_args *info)
{
	poison(info, sizeof(*info));
	info->flags = 0;
	info->offset = offset;
	info->pad = 0;
	return client_call(c, SLABSHM_IOC_BLOCK, info);
}

static inline int grow(const struct client *c, __u64 size, __u64 *has)
{
	struct slabshm_grow_args arg = { .size = size };
	int err = client_call(c, SLABSHM_IOC_GROW, &arg);

	if (has)
		*has = arg.size;
	return err;
}

static inline int trim(const struct client *c, __u64 bytes, __u64 *done)
{
	struct slabshm_trim_args arg = { .bytes = bytes };
	int err = client_call(c, SLABSHM_IOC_TRIM, &arg);

	if (done)
		*done = arg.bytes;
	return err;
}

static inline int compact(const struct client *c, __u64 bytes, __u64 *moved)
{
	struct slabshm_compact_args arg = { .bytes = bytes };
	int err = client_call(c, SLABSHM_IOC_COMPACT, &arg);

	if (moved)
		*moved = arg.bytes;
	return err;
}

/* @handle gets the cell's index and generation. */
static inline int cell_open(const struct client *c, const char *name,
			    unsigned int flags,
			    struct slabshm_cell_open_args *handle)
{
	poison(handle, sizeof(*handle));
	set_name(handle->name, name);
	handle->flags = flags;
	handle->pad = 0;
	return client_call(c, SLABSHM_IOC_CELL_OPEN, handle);
}

static inline int cell_remove(const struct client *c,
			      const struct slabshm_cell_open_args *handle)
{
	struct slabshm_cell_remove_args arg = {
		.cell = handle->cell,
		.generation = handle->generation,
	};

	return client_call(c, SLABSHM_IOC_CELL_REMOVE, &arg);
}

/* @failed and @commit may be NULL; poison if the call did not write them. */
static inline int publish(const struct client *c,
			  const struct slabshm_publish_cell *cells,
			  unsigned int ncells,
			  const struct slabshm_publish_part *parts,
			  unsigned int nparts, __u32 *failed,
			  __u64 *commit)
{
	struct slabshm_publish_args arg = {
		.cells = (uintptr_t)cells,
		.parts = (uintptr_t)parts,
		.ncells = ncells,
		.nparts = nparts,
		.failed = POISON32,
		.commit = POISON64,
	};
	int err = client_call(c, SLABSHM_IOC_PUBLISH, &arg);

	if (failed)
		*failed = arg.failed;
	if (commit)
		*commit = arg.commit;
	return err;
}

/* Make @block the root of one cell, or empty it with 0. */
static inline int publish_one(const struct client *c,
			      const struct slabshm_cell_open_args *handle,
			      __u64 block, __u64 length)
{
	struct slabshm_publish_cell item = {
		.cell = handle->cell,
		.generation = handle->generation,
		.block = block,
		.length = length,
	};

	return publish(c, &item, 1, NULL, 0, NULL, NULL);
}

/* @failed may be NULL; it is POISON32 if the call did not write it. */
static inline int lock_cells(const struct client *c,
			     struct slabshm_lock_cell *cells, unsigned int n,
			     unsigned int flags, __u64 deadline,
			     __u32 *failed)
{
	struct slabshm_lock_args arg = {
		.cells = (uintptr_t)cells,
		.deadline = deadline,
		.count = n,
		.flags = flags,
		.failed = POISON32,
	};
	int err = client_call(c, SLABSHM_IOC_LOCK, &arg);

	if (failed)
		*failed = arg.failed;
	return err;
}

static inline int unlock_cells(const struct client *c,
			       const struct slabshm_lock_cell *cells,
			       unsigned int n, __u32 *failed)
{
	struct slabshm_unlock_args arg = {
		.cells = (uintptr_t)cells,
		.count = n,
		.failed = POISON32,
	};
	int err = client_call(c, SLABSHM_IOC_UNLOCK, &arg);

	if (failed)
		*failed = arg.failed;
	return err;
}

/*
 * Lock one cell: wait for @ms, below 0 for ever, 0 not at all.  -EPROTO if the
 * cell's flags do not say the same as the call.
 */
static inline int lock_one(const struct client *c,
			   const struct slabshm_cell_open_args *handle, int ms)
{
	struct slabshm_lock_cell item = {
		.cell = handle->cell,
		.generation = handle->generation,
	};
	int err = lock_cells(c, &item, 1, ms ? 0 : SLABSHM_LOCK_TRY,
			     ms ? deadline_in(ms) : 0, NULL);

	if (item.flags != (err == -EOWNERDEAD ? SLABSHM_LOCKED_OWNERDEAD : 0))
		return -EPROTO;
	return err;
}

/* @flags: 0 or SLABSHM_UNLOCK_CONSISTENT */
static inline int unlock_one(const struct client *c,
			     const struct slabshm_cell_open_args *handle,
			     unsigned int flags)
{
	struct slabshm_lock_cell item = {
		.cell = handle->cell,
		.flags = flags,
		.generation = handle->generation,
	};

	return unlock_cells(c, &item, 1, NULL);
}

/* How many entries were written, all of them poisoned before. */
static inline int list(const struct client *c, unsigned int what, void *entries,
		       unsigned int entry_size, unsigned int count,
		       __u64 *cursor)
{
	struct slabshm_list_args arg = {
		.what = what,
		.entry_size = entry_size,
		.entries = (uintptr_t)entries,
		.count = count,
		.cursor = *cursor,
	};
	int err;

	poison(entries, (size_t)entry_size * count);
	err = client_call(c, SLABSHM_IOC_LIST, &arg);
	if (err)
		return err;
	*cursor = arg.cursor;
	return (int)arg.count;
}

/* Is there a slab of this name?  Its entry goes to @st, which may be NULL. */
static inline bool slab_listed(const char *name, struct slabshm_stat *st)
{
	struct slabshm_stat entry;
	__u64 cursor = 0;
	struct client none = { .fd = open_device() };
	bool found = false;

	if (none.fd < 0)
		return false;
	while (!found && list(&none, SLABSHM_LIST_SLABS, &entry, sizeof(entry), 1,
			      &cursor) == 1)
		found = !strcmp(entry.name, name);
	close(none.fd);
	if (found && st)
		*st = entry;
	return found;
}

/*
 * ---------------- Processes ----------------
 */

/*
 * Run @fn in a child, which dies with this process.  Its return value (0 to
 * 255), or minus the signal that killed it.
 */
static inline pid_t start_child(int (*fn)(void *), void *arg)
{
	pid_t parent = getpid(), pid;

	fflush(NULL);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(255);
		_exit(fn(arg));
	}
	return pid;
}

static inline int end_child(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -1000;
	}
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static inline int in_child(int (*fn)(void *), void *arg)
{
	pid_t pid = start_child(fn, arg);

	return pid < 0 ? -1000 : end_child(pid);
}

/* With it objects take more memory, and keep it for a while when they are freed. */
static inline bool kernel_has_kasan(void)
{
	FILE *f = fopen("/proc/kallsyms", "re");
	char line[256];
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f))
		found = strstr(line, " kasan_quarantine_put");
	if (f)
		fclose(f);
	return found;
}

/* What a test has logged is not lost when it hangs and is killed. */
__attribute__((constructor)) static void log_lines(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
}

/* In a child, where the harness's macros do not work: says what failed. */
#define CHECK(cond) \
	((cond) ? (void)0 : check_failed(__FILE__, __LINE__, #cond))

static inline void check_failed(const char *file, int line, const char *what)
{
	printf("# %s:%d: not so: %s\n", file, line, what);
	fflush(stdout);
	_exit(1);
}

/* Become another user, for good. */
static inline int become(uid_t uid, gid_t gid)
{
	if (setgroups(0, NULL) || setresgid(gid, gid, gid) ||
	    setresuid(uid, uid, uid))
		return -errno;
	return 0;
}

/*
 * ---------------- The system ----------------
 */

/* Text of a small file, without the newline. */
static inline int read_text(const char *path, char *text, size_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, text, room - 1);
	close(fd);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return 0;
}

/* Into a file that is there already: never makes or empties one. */
static inline int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n;
	int err;

	if (fd < 0)
		return -errno;
	n = write(fd, text, strlen(text));
	err = n < 0 ? -errno : 0;
	close(fd);
	return err;
}

/* Module parameters: the old value goes to @old, which may be NULL. */
static inline int set_parameter(const char *name, unsigned long value,
				unsigned long *old)
{
	char path[128], text[32];
	int err;

	snprintf(path, sizeof(path), PARAMETERS "%s", name);
	err = read_text(path, text, sizeof(text));
	if (err)
		return err;
	if (old)
		*old = strtoul(text, NULL, 0);
	snprintf(text, sizeof(text), "%lu", value);
	return write_text(path, text);
}

/* References to the module: one for each open device and persistent slab. */
static inline long module_refs(void)
{
	char text[32];

	if (read_text("/sys/module/slabshm/refcnt", text, sizeof(text)))
		return -1;
	return strtol(text, NULL, 0);
}

/* The module's file, or NULL; selftests/vm/run says where it is. */
static inline const char *module_file(void)
{
	const char *path = getenv("SLABSHM_KO");

	return path && !access(path, R_OK) ? path : NULL;
}

static inline int module_load(const char *path)
{
	const char *end = strrchr(path, '.');
	int fd = open(path, O_RDONLY | O_CLOEXEC), err, flags = 0;

	if (fd < 0)
		return -errno;
	/* What is installed is compressed on Debian 13 and later: .ko.xz */
	if (end && strcmp(end, ".ko"))
		flags = MODULE_INIT_COMPRESSED_FILE;
	err = syscall(SYS_finit_module, fd, "", flags) ? -errno : 0;
	close(fd);
	return err;
}

static inline int module_unload(void)
{
	return syscall(SYS_delete_module, "slabshm", O_NONBLOCK) ? -errno : 0;
}

#endif /* SELFTESTS_COMMON_H */
