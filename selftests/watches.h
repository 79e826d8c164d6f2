/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The calls that wait and watch, and threads that sleep in them.
 */
#ifndef SELFTESTS_WATCHES_H
#define SELFTESTS_WATCHES_H

#include <poll.h>
#include <pthread.h>
#include <sys/syscall.h>

#include "common.h"

#define CREATE		SLABSHM_CELL_CREATE
#define NEVER		SLABSHM_DEADLINE_NEVER

/* What is bound to happen happens within this: the machine may be busy. */
#define PATIENCE	30000

/* @failed may be NULL; it is POISON32 if the call did not write it. */
static inline int wait_cells(const struct client *c,
			     struct slabshm_wait_cell *cells, unsigned int n,
			     __u64 deadline, __u32 *failed)
{
	struct slabshm_wait_args arg = {
		.cells = (uintptr_t)cells,
		.deadline = deadline,
		.count = n,
		.failed = POISON32,
	};
	int err = client_call(c, SLABSHM_IOC_WAIT, &arg);

	if (failed)
		*failed = arg.failed;
	return err;
}

static inline struct slabshm_wait_cell
wait_cell(const struct slabshm_cell_open_args *handle, __u64 version)
{
	return (struct slabshm_wait_cell){
		.cell = handle->cell,
		.generation = handle->generation,
		.version = version,
	};
}

/* For one cell; @version is moved on. */
static inline int wait_one(const struct client *c,
			   const struct slabshm_cell_open_args *handle,
			   __u64 *version, __u64 deadline)
{
	struct slabshm_wait_cell cell = wait_cell(handle, *version);
	int err = wait_cells(c, &cell, 1, deadline, NULL);

	*version = cell.version;
	return err;
}

/* @handle NULL: all cells. @version may be NULL: 0, and not told. */
static inline int watch(const struct client *c,
			const struct slabshm_cell_open_args *handle,
			unsigned int flags, __u64 *version)
{
	struct slabshm_watch_args arg = {
		.cell = handle ? handle->cell : 0,
		.flags = flags | (handle ? 0 : SLABSHM_WATCH_ALL),
		.generation = handle ? handle->generation : 0,
		.version = version ? *version : 0,
	};
	int err = client_call(c, SLABSHM_IOC_WATCH, &arg);

	if (version)
		*version = arg.version;
	return err;
}

static inline int unwatch(const struct client *c,
			  const struct slabshm_cell_open_args *handle)
{
	struct slabshm_unwatch_args arg = {
		.cell = handle ? handle->cell : 0,
		.flags = handle ? 0 : SLABSHM_WATCH_ALL,
		.generation = handle ? handle->generation : 0,
	};

	return client_call(c, SLABSHM_IOC_UNWATCH, &arg);
}

/* How many events there were, or an error. */
static inline int events(const struct client *c, struct slabshm_event *event,
			 unsigned int n, __u64 deadline)
{
	struct slabshm_events_args arg = {
		.events = (uintptr_t)event,
		.count = n,
		.deadline = deadline,
	};
	int err;

	poison(event, n * sizeof(*event));
	err = client_call(c, SLABSHM_IOC_EVENTS, &arg);
	return err ? err : (int)arg.count;
}

/* What poll(2) says now. */
static inline int polled(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) < 0 ? -errno : p.revents;
}

/* Publish a cell without an object: the new version, or an error. */
static inline __s64 change(const struct client *c,
			   const struct slabshm_cell_open_args *handle)
{
	struct slabshm_publish_cell item = {
		.cell = handle->cell,
		.generation = handle->generation,
	};
	__u64 commit;
	int err = publish(c, &item, 1, NULL, 0, NULL, &commit);

	return err ? err : (__s64)commit;
}

/* Bytes of the kernel's own memory that cannot be taken from it. */
static inline __u64 kernel_memory(void)
{
	FILE *f = fopen("/proc/meminfo", "re");
	unsigned long long kib = 0;
	char line[128];

	while (f && fgets(line, sizeof(line), f) &&
	       sscanf(line, "SUnreclaim: %llu", &kib) != 1)
		;
	if (f)
		fclose(f);
	return kib * KIB;
}

/* Cells "cell-0" and so on. */
static inline int make_cells(const struct client *c,
			     struct slabshm_cell_open_args *handle, unsigned int n)
{
	char name[32];
	unsigned int i;
	int err = 0;

	for (i = 0; i < n && !err; i++) {
		snprintf(name, sizeof(name), "cell-%u", i);
		err = cell_open(c, name, CREATE, &handle[i]);
	}
	return err;
}

/* The version of a cell, by the same look that WAIT takes. */
static inline __u64 version_of(const struct client *c,
			       const struct slabshm_cell_open_args *handle)
{
	__u64 version = 0;

	return wait_one(c, handle, &version, 0) ? 0 : version;
}

/**
 * struct sleeper - a thread that sleeps in a call
 * @c: the client
 * @cell: WAIT: the cells
 * @n: how many
 * @event: EVENTS, if @n is 0: the first that there was
 * @deadline: until when
 * @ret: what the call gave
 * @failed: WAIT: as the call wrote it
 * @ms: how long it took
 * @tid: set when it runs
 * @done: set when it has ended
 * @thread: the thread
 */
struct sleeper {
	const struct client *c;
	struct slabshm_wait_cell cell[SLABSHM_BATCH_MAX];
	unsigned int n;
	struct slabshm_event event;
	__u64 deadline;
	int ret;
	__u32 failed;
	long long ms;
	pid_t tid;
	bool done;
	pthread_t thread;
};

static inline void *sleeper_run(void *arg)
{
	struct sleeper *me = arg;
	long long ms = now_ms();

	__atomic_store_n(&me->tid, (pid_t)syscall(SYS_gettid),
			 __ATOMIC_RELEASE);
	if (me->n)
		me->ret = wait_cells(me->c, me->cell, me->n, me->deadline,
				     &me->failed);
	else
		me->ret = events(me->c, &me->event, 1, me->deadline);
	me->ms = now_ms() - ms;
	__atomic_store_n(&me->done, true, __ATOMIC_RELEASE);
	return NULL;
}

/* Is the thread in a call that sleeps? */
static inline bool asleep_in_call(pid_t pid, pid_t tid)
{
	char path[64], text[128], want[16];

	snprintf(path, sizeof(path), "/proc/%d/task/%d/syscall", pid, tid);
	snprintf(want, sizeof(want), "%d ", SYS_ioctl);
	return tid && !read_text(path, text, sizeof(text)) &&
	       !strncmp(text, want, strlen(want));
}

static inline bool sleeper_asleep(struct sleeper *s)
{
	return asleep_in_call(getpid(),
			      __atomic_load_n(&s->tid, __ATOMIC_ACQUIRE));
}

static inline int sleeper_start(struct sleeper *s)
{
	pthread_attr_t attr;
	int err;

	s->tid = 0;
	s->done = false;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 * KIB);
	err = pthread_create(&s->thread, &attr, sleeper_run, s);
	pthread_attr_destroy(&attr);
	return -err;
}

/* Started, and asleep: whether that was so. */
static inline bool sleeper_sleeps(struct sleeper *s)
{
	return !sleeper_start(s) && wait_until(sleeper_asleep(s), PATIENCE);
}

/* It has ended by itself: what its call gave. */
static inline int sleeper_end(struct sleeper *s)
{
	if (!wait_until(__atomic_load_n(&s->done, __ATOMIC_ACQUIRE), PATIENCE))
		return -1000;	/* it sleeps for ever, and goes with us */
	pthread_join(s->thread, NULL);
	return s->ret;
}

/* A sleeper that waits for one cell. */
static inline void sleeper_for(struct sleeper *s, const struct client *c,
			       const struct slabshm_cell_open_args *handle)
{
	memset(s, 0, sizeof(*s));
	s->c = c;
	s->n = 1;
	s->cell[0] = wait_cell(handle, version_of(c, handle));
	s->deadline = NEVER;
}

#endif /* SELFTESTS_WATCHES_H */
