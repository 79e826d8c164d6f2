// SPDX-License-Identifier: GPL-2.0
/*
 * A call on one slab takes as long as its other users like.  Meanwhile the process
 * forks, and its other threads use other slabs.
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <sys/syscall.h>

#include "pins.h"

#include "kselftest_harness.h"

#define LEN	256

/* The call that does not return before it is told to. */
static struct {
	int fd;
	unsigned long request;
	sem_t entered;
	sem_t go_on;
} stall = { .fd = -1 };

int ioctl(int fd, unsigned long request, ...)
{
	void *arg;
	va_list ap;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (fd == __atomic_load_n(&stall.fd, __ATOMIC_ACQUIRE) &&
	    request == stall.request) {
		sem_post(&stall.entered);
		sem_wait(&stall.go_on);
	}
	return (int)syscall(SYS_ioctl, fd, request, arg);
}

FIXTURE(apart)
{
	struct slabshm *slow;
	struct slabshm *other;
	struct slabshm_ref slow_ref;
	struct slabshm_ref ref;
};

FIXTURE_VARIANT(apart)
{
	unsigned long request;
};

/* A thread's first read, and what it does when it ends */
FIXTURE_VARIANT_ADD(apart, register) { .request = SLABSHM_IOC_REGISTER };
FIXTURE_VARIANT_ADD(apart, unregister) { .request = SLABSHM_IOC_UNREGISTER };
FIXTURE_VARIANT_ADD(apart, unlock) { .request = SLABSHM_IOC_UNLOCK };
FIXTURE_VARIANT_ADD(apart, free) { .request = SLABSHM_IOC_FREE };

FIXTURE_SETUP(apart)
{
	ASSERT_EQ(0, patient_open(&self->slow, 64 * MIB));
	ASSERT_EQ(0, patient_open(&self->other, 64 * MIB));
	ASSERT_EQ(0, cells_make(self->slow, &self->slow_ref, 1, LEN));
	ASSERT_EQ(0, cells_make(self->other, &self->ref, 1, LEN));
	sem_init(&stall.entered, 0, 0);
	sem_init(&stall.go_on, 0, 0);
	stall.request = variant->request;
}

FIXTURE_TEARDOWN(apart)
{
	slabshm_close(self->other);
	slabshm_close(self->slow);
}

struct work {
	pthread_t thread;
	struct slabshm *s;
	const struct slabshm_ref *ref;
	sem_t done;
	int ret;
};

/* All that leaves something with a thread, and then it ends. */
static int use_all(struct slabshm *s, const struct slabshm_ref *ref)
{
	int64_t ret = slabshm_lock(s, ref, -1);
	char buf[LEN];

	if (!ret)
		ret = slabshm_read(s, ref, buf, LEN, NULL);
	if (ret == LEN)
		ret = slabshm_alloc(s, LEN);
	if (ret > 0)
		ret = slabshm_free(s, (uint64_t)ret);
	return (int)ret;
}

static void *use_slow(void *arg)
{
	struct work *w = arg;

	w->ret = use_all(w->s, w->ref);
	return NULL;
}

static void *use_in_thread(void *arg)
{
	return (void *)(intptr_t)use_slow(arg);
}

/* What must not wait: another thread and its end, a fork, a handle and its end. */
static void *use_other(void *arg)
{
	struct work *w = arg, inner = { .s = w->s, .ref = w->ref };
	struct slabshm *mine;
	pid_t pid;
	int status;

	w->ret = -EAGAIN;
	if (pthread_create(&inner.thread, NULL, use_in_thread, &inner))
		goto out;
	pthread_join(inner.thread, NULL);
	w->ret = inner.ret;
	if (w->ret)
		goto out;
	pid = fork();
	if (!pid) {
		w->ret = patient_open(&mine, 64 * MIB);
		if (!w->ret)
			slabshm_close(mine);
		_exit(w->ret ? 1 : 0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status) {
		w->ret = -ECHILD;
		goto out;
	}
	w->ret = patient_open(&mine, 64 * MIB);
	if (!w->ret) {
		w->ret = slabshm_length(mine, w->ref, NULL) == -EINVAL ?
			 0 : -EILSEQ;
		slabshm_close(mine);
	}
out:
	sem_post(&w->done);
	return NULL;
}

static int wait_for(sem_t *sem)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 20;
	return sem_timedwait(sem, &until) ? -errno : 0;
}

TEST_F_TIMEOUT(apart, others_go_on, 120)
{
	struct work slow = { .s = self->slow, .ref = &self->slow_ref };
	struct work other = { .s = self->other, .ref = &self->ref };

	sem_init(&other.done, 0, 0);
	__atomic_store_n(&stall.fd, slabshm_fd(self->slow), __ATOMIC_RELEASE);
	ASSERT_EQ(0, pthread_create(&slow.thread, NULL, use_slow, &slow));
	ASSERT_EQ(0, wait_for(&stall.entered));
	ASSERT_EQ(0, pthread_create(&other.thread, NULL, use_other, &other));
	EXPECT_EQ(0, wait_for(&other.done));
	__atomic_store_n(&stall.fd, -1, __ATOMIC_RELEASE);
	sem_post(&stall.go_on);
	pthread_join(slow.thread, NULL);
	pthread_join(other.thread, NULL);
	EXPECT_EQ(0, slow.ret);
	EXPECT_EQ(0, other.ret);
	EXPECT_EQ(0, stat_of(self->slow).readers);
}

struct closer {
	struct slabshm *s;
	unsigned int tid;
	int closed;
};

static void *close_it(void *arg)
{
	struct closer *c = arg;

	__atomic_store_n(&c->tid, my_tid(), __ATOMIC_RELEASE);
	slabshm_close(c->s);
	__atomic_store_n(&c->closed, 1, __ATOMIC_RELEASE);
	return NULL;
}

static bool closed(struct closer *c)
{
	return __atomic_load_n(&c->closed, __ATOMIC_ACQUIRE);
}

static bool asleep(struct closer *c)
{
	unsigned int tid = __atomic_load_n(&c->tid, __ATOMIC_ACQUIRE);
	char path[64], state = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%u/stat", tid);
	f = tid ? fopen(path, "r") : NULL;
	if (!f)
		return false;
	if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
		state = 0;
	fclose(f);
	return state == 'S';
}

/* A handle is closed while a thread that used it ends: that waits for its call. */
TEST_F_TIMEOUT(apart, close_waits, 120)
{
	struct work slow = { .s = self->slow, .ref = &self->slow_ref };
	struct closer closer = { .s = self->slow };
	pthread_t thread;

	/* A handle is not closed while it is used */
	if (variant->request == SLABSHM_IOC_REGISTER)
		return;
	__atomic_store_n(&stall.fd, slabshm_fd(self->slow), __ATOMIC_RELEASE);
	ASSERT_EQ(0, pthread_create(&slow.thread, NULL, use_slow, &slow));
	ASSERT_EQ(0, wait_for(&stall.entered));
	self->slow = NULL;
	ASSERT_EQ(0, pthread_create(&thread, NULL, close_it, &closer));
	EXPECT_TRUE(wait_until(closed(&closer) || asleep(&closer), BACK_MS));
	EXPECT_FALSE(closed(&closer));
	__atomic_store_n(&stall.fd, -1, __ATOMIC_RELEASE);
	sem_post(&stall.go_on);
	pthread_join(slow.thread, NULL);
	pthread_join(thread, NULL);
	EXPECT_EQ(0, slow.ret);
}

TEST_HARNESS_MAIN
