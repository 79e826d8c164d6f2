// SPDX-License-Identifier: GPL-2.0
/*
 * Events in the loops that programs have: poll, select, epoll, io_uring, libuv,
 * with the client's own descriptor.
 */
#include <liburing.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <uv.h>

#include "watches.h"

#include "kselftest_harness.h"

#define CELLS	8
#define CHANGES	300

/* Long enough that who is to be woken is likely to sleep; nothing depends on it. */
#define A_WHILE	50

/**
 * struct publisher - a thread that changes cells, one after the other
 * @c: as this client
 * @cell: CELLS of them
 * @n: how many changes
 * @last: the version that the last of them makes
 * @thread: the thread
 */
struct publisher {
	const struct client *c;
	const struct slabshm_cell_open_args *cell;
	int n;
	__u64 last;
	pthread_t thread;
};

FIXTURE(loops)
{
	struct client c;
	struct client other;
	struct slabshm_cell_open_args cell[CELLS];
	struct slabshm_event event[CELLS];
	struct publisher publisher;
	__u64 told[CELLS];
};

FIXTURE_SETUP(loops)
{
	unsigned int i;

	ASSERT_EQ(0, client_open(&self->c, NULL, SLABSHM_ATTACH_CREATE,
				 8 * MIB, MIB));
	ASSERT_EQ(0, client_open_fd(&self->other, self->c.fd, 0));
	ASSERT_EQ(0, make_cells(&self->c, self->cell, CELLS));
	for (i = 0; i < CELLS; i++)
		ASSERT_EQ(0, watch(&self->c, &self->cell[i], 0, NULL));
}

FIXTURE_TEARDOWN(loops)
{
	client_close(&self->other);
	client_close(&self->c);
}

static void *publisher_run(void *arg)
{
	struct publisher *me = arg;
	int i;

	sleep_ms(A_WHILE);
	for (i = 0; i < me->n; i++) {
		if (change(me->c, &me->cell[i % CELLS]) < 0)
			return me;
		if (i % 16 == 0)
			sleep_ms(1);
	}
	return NULL;
}

/* @n changes to come, the last of which will be @p->last. */
static bool start(struct publisher *p, const struct client *c,
		  const struct slabshm_cell_open_args *cell, int n)
{
	p->c = c;
	p->cell = cell;
	p->n = n;
	p->last = c->control->commit + (__u64)n;
	return !pthread_create(&p->thread, NULL, publisher_run, p);
}

static bool join(struct publisher *p)
{
	void *ret = p;

	return !pthread_join(p->thread, &ret) && !ret;
}

/* Take all events there are: how many, or an error. */
static int drain(const struct client *c, __u64 *told)
{
	struct slabshm_event event[3];
	int i, n, sum = 0;

	while ((n = events(c, event, ARRAY_LEN(event), 0)) > 0) {
		for (i = 0; i < n; i++)
			told[event[i].cell] = event[i].version;
		sum += n;
	}
	return n == -ETIMEDOUT ? sum : n;
}

/* Was this version told, of whichever cell? */
static bool was_told(const __u64 *told, __u64 version)
{
	unsigned int i;

	for (i = 0; i < CELLS; i++)
		if (told[i] == version)
			return true;
	return false;
}

/* The newest version of each cell was told last. */
static bool all_told(const struct client *c,
		     const struct slabshm_cell_open_args *cell, const __u64 *told)
{
	unsigned int i;

	for (i = 0; i < CELLS; i++)
		if (told[cell[i].cell] != version_of(c, &cell[i]))
			return false;
	return true;
}

/*
 * ---------------- poll, select, epoll ----------------
 */

TEST_F(loops, poll)
{
	struct pollfd p = { .fd = self->c.fd, .events = POLLIN };
	int rounds = 0;

	ASSERT_TRUE(start(&self->publisher, &self->other, self->cell, CHANGES));
	while (!was_told(self->told, self->publisher.last)) {
		p.revents = 0;
		ASSERT_EQ(1, poll(&p, 1, PATIENCE));
		EXPECT_EQ(POLLIN, p.revents);
		ASSERT_LT(0, drain(&self->c, self->told));
		rounds++;
	}
	EXPECT_TRUE(join(&self->publisher));
	EXPECT_TRUE(all_told(&self->c, self->cell, self->told));
	EXPECT_LT(0, rounds);

	/* All that can be asked for, and no more is said */
	p.events = POLLIN | POLLRDNORM | POLLPRI | POLLOUT | POLLRDHUP;
	EXPECT_EQ(0, poll(&p, 1, 0));
	EXPECT_LT(0, change(&self->c, &self->cell[0]));
	EXPECT_EQ(1, poll(&p, 1, 0));
	EXPECT_EQ(POLLIN | POLLRDNORM, p.revents);
	p.events = POLLOUT;
	EXPECT_EQ(0, poll(&p, 1, 0));
}

TEST_F(loops, select)
{
	struct timeval tv = { PATIENCE / 1000, 0 };
	fd_set set;

	ASSERT_TRUE(start(&self->publisher, &self->other, self->cell, 1));
	FD_ZERO(&set);
	FD_SET(self->c.fd, &set);
	EXPECT_EQ(1, select(self->c.fd + 1, &set, NULL, NULL, &tv));
	EXPECT_TRUE(FD_ISSET(self->c.fd, &set));
	EXPECT_TRUE(join(&self->publisher));
	EXPECT_EQ(1, drain(&self->c, self->told));
}

static int epoll_add(int ep, int fd, unsigned int how)
{
	struct epoll_event e = { .events = EPOLLIN | how, .data.fd = fd };

	return epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
}

/* What epoll says of the one descriptor in it. */
static int epolled(int ep, int ms)
{
	struct epoll_event e[2];
	int n = epoll_wait(ep, e, ARRAY_LEN(e), ms);

	return n == 1 ? (int)e[0].events : -n;
}

TEST_F(loops, epoll_level)
{
	int ep = epoll_create1(EPOLL_CLOEXEC), nested = epoll_create1(0);
	unsigned int i;

	ASSERT_EQ(0, epoll_add(ep, self->c.fd, 0));
	ASSERT_EQ(0, epoll_add(nested, ep, 0));
	EXPECT_EQ(0, epolled(ep, 0));
	ASSERT_TRUE(start(&self->publisher, &self->other, self->cell, 3));
	EXPECT_EQ(EPOLLIN, epolled(nested, PATIENCE));
	EXPECT_TRUE(join(&self->publisher));
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(EPOLLIN, epolled(nested, 0));
		EXPECT_EQ(EPOLLIN, epolled(ep, 0));
		EXPECT_EQ(EPOLLIN, epolled(ep, 0));
		EXPECT_EQ(1, events(&self->c, self->event, 1, 0));
	}
	EXPECT_EQ(0, epolled(ep, 0));
	EXPECT_EQ(0, epolled(nested, 0));
	close(nested);
	close(ep);
}

TEST_F(loops, epoll_edge)
{
	int ep = epoll_create1(EPOLL_CLOEXEC);

	ASSERT_EQ(0, epoll_add(ep, self->c.fd, EPOLLET));
	EXPECT_EQ(0, epolled(ep, 0));
	EXPECT_LT(0, change(&self->other, &self->cell[0]));
	EXPECT_EQ(EPOLLIN, epolled(ep, PATIENCE));
	EXPECT_EQ(0, epolled(ep, 0));
	EXPECT_LT(0, change(&self->other, &self->cell[1]));
	EXPECT_EQ(EPOLLIN, epolled(ep, PATIENCE));
	/* Coalesced, and so no edge */
	EXPECT_LT(0, change(&self->other, &self->cell[1]));
	EXPECT_EQ(0, epolled(ep, 0));
	EXPECT_EQ(2, drain(&self->c, self->told));
	EXPECT_EQ(0, epolled(ep, 0));
	EXPECT_EQ(version_of(&self->c, &self->cell[1]), self->told[1]);

	/* What was there before it was added */
	EXPECT_LT(0, change(&self->other, &self->cell[2]));
	EXPECT_EQ(0, epoll_ctl(ep, EPOLL_CTL_DEL, self->c.fd, NULL));
	EXPECT_EQ(0, epoll_add(ep, self->c.fd, EPOLLET));
	EXPECT_EQ(EPOLLIN, epolled(ep, PATIENCE));
	EXPECT_EQ(1, drain(&self->c, self->told));
	close(ep);
}

/* As long as each edge is followed by a drain nothing is missed. */
TEST_F(loops, epoll_edge_loop)
{
	int ep = epoll_create1(EPOLL_CLOEXEC);

	ASSERT_EQ(0, epoll_add(ep, self->c.fd, EPOLLET));
	ASSERT_TRUE(start(&self->publisher, &self->other, self->cell, CHANGES));
	while (!was_told(self->told, self->publisher.last)) {
		ASSERT_EQ(EPOLLIN, epolled(ep, PATIENCE));
		ASSERT_LE(0, drain(&self->c, self->told));
	}
	EXPECT_TRUE(join(&self->publisher));
	EXPECT_TRUE(all_told(&self->c, self->cell, self->told));
	close(ep);
}

TEST_F(loops, epoll_oneshot)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLONESHOT };
	int ep = epoll_create1(EPOLL_CLOEXEC);

	ASSERT_EQ(0, epoll_add(ep, self->c.fd, EPOLLONESHOT));
	EXPECT_LT(0, change(&self->other, &self->cell[0]));
	EXPECT_EQ(EPOLLIN, epolled(ep, PATIENCE));
	EXPECT_LT(0, change(&self->other, &self->cell[1]));
	EXPECT_EQ(0, epolled(ep, 0));
	EXPECT_EQ(0, epoll_ctl(ep, EPOLL_CTL_MOD, self->c.fd, &e));
	EXPECT_EQ(EPOLLIN, epolled(ep, PATIENCE));
	/* Closed while it is in there */
	client_close(&self->c);
	EXPECT_EQ(0, epolled(ep, 0));
	close(ep);
}

/*
 * ---------------- io_uring ----------------
 */

/* The next completion's result, or an error. */
static int ring_result(struct io_uring *ring, bool *more)
{
	struct __kernel_timespec ts = { .tv_sec = PATIENCE / 1000 };
	struct io_uring_cqe *cqe;
	int ret = io_uring_wait_cqe_timeout(ring, &cqe, &ts);

	if (ret)
		return ret;
	ret = cqe->res;
	*more = cqe->flags & IORING_CQE_F_MORE;
	io_uring_cqe_seen(ring, cqe);
	return ret;
}

static int ring_poll(struct io_uring *ring, int fd, bool multishot)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	if (multishot)
		io_uring_prep_poll_multishot(sqe, fd, POLLIN);
	else
		io_uring_prep_poll_add(sqe, fd, POLLIN);
	return io_uring_submit(ring);
}

/* A kernel may be built or set to have none. */
static bool make_ring(struct io_uring *ring)
{
	return !io_uring_queue_init(8, ring, 0);
}

TEST_F(loops, io_uring_poll)
{
	struct io_uring ring;
	bool more;

	if (!make_ring(&ring))
		SKIP(return, "this kernel has no io_uring");
	ASSERT_TRUE(start(&self->publisher, &self->other, self->cell, CHANGES));
	while (!was_told(self->told, self->publisher.last)) {
		ASSERT_EQ(1, ring_poll(&ring, self->c.fd, false));
		ASSERT_EQ(POLLIN, ring_result(&ring, &more) & ~POLLRDNORM);
		/* None, if the round before has taken what this was about */
		ASSERT_LE(0, drain(&self->c, self->told));
	}
	EXPECT_TRUE(join(&self->publisher));
	EXPECT_TRUE(all_told(&self->c, self->cell, self->told));

	/* One that never comes goes with the ring */
	ASSERT_EQ(1, ring_poll(&ring, self->c.fd, false));
	io_uring_queue_exit(&ring);
	EXPECT_LT(0, change(&self->other, &self->cell[0]));
	EXPECT_EQ(1, drain(&self->c, self->told));
}

TEST_F(loops, io_uring_multishot)
{
	struct io_uring ring;
	bool more = false;
	int ret;

	if (!make_ring(&ring))
		SKIP(return, "this kernel has no io_uring");
	ASSERT_TRUE(start(&self->publisher, &self->other, self->cell, CHANGES));
	while (!was_told(self->told, self->publisher.last)) {
		if (!more)
			ASSERT_EQ(1, ring_poll(&ring, self->c.fd, true));
		ret = ring_result(&ring, &more);
		if (ret == -EINVAL)
			SKIP(return, "this kernel has no multishot poll");
		ASSERT_EQ(POLLIN, ret & ~POLLRDNORM);
		ASSERT_LE(0, drain(&self->c, self->told));
	}
	EXPECT_TRUE(join(&self->publisher));
	EXPECT_TRUE(all_told(&self->c, self->cell, self->told));

	/* The descriptor is closed first: the ring keeps the client */
	client_close(&self->c);
	EXPECT_LT(0, change(&self->other, &self->cell[0]));
	io_uring_queue_exit(&ring);
}

/*
 * ---------------- libuv ----------------
 */

/**
 * struct uv - what the callbacks know
 * @c: the client
 * @told: version of each cell that was told last
 * @last: the last that will be
 * @strange: something that must not happen
 * @timer: so that it ends
 */
struct uv {
	const struct client *c;
	__u64 *told;
	__u64 last;
	int strange;
	uv_timer_t timer;
};

static void uv_too_late(uv_timer_t *timer)
{
	struct uv *uv = timer->data;

	uv->strange++;
	uv_stop(timer->loop);
}

static void uv_ready(uv_poll_t *handle, int status, int what)
{
	struct uv *uv = handle->data;

	uv->strange += status || what != UV_READABLE;
	uv->strange += drain(uv->c, uv->told) < 0;
	if (was_told(uv->told, uv->last))
		uv_stop(handle->loop);
}

static int run_uv(struct uv *uv, int fd)
{
	uv_poll_t handle;
	uv_loop_t loop;

	CHECK(!uv_loop_init(&loop));
	CHECK(!uv_poll_init(&loop, &handle, fd));
	CHECK(!uv_timer_init(&loop, &uv->timer));
	handle.data = uv;
	uv->timer.data = uv;
	CHECK(!uv_poll_start(&handle, UV_READABLE, uv_ready));
	CHECK(!uv_timer_start(&uv->timer, uv_too_late, PATIENCE, 0));
	uv_run(&loop, UV_RUN_DEFAULT);
	uv_close((uv_handle_t *)&handle, NULL);
	uv_close((uv_handle_t *)&uv->timer, NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
	CHECK(!uv_loop_close(&loop));
	return uv->strange;
}

TEST_F(loops, libuv)
{
	struct uv uv = { .c = &self->c, .told = self->told };

	ASSERT_TRUE(start(&self->publisher, &self->other, self->cell, CHANGES));
	uv.last = self->publisher.last;
	EXPECT_EQ(0, run_uv(&uv, self->c.fd));
	EXPECT_TRUE(join(&self->publisher));
	EXPECT_TRUE(all_told(&self->c, self->cell, self->told));
}

TEST_HARNESS_MAIN
