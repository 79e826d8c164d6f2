// SPDX-License-Identifier: GPL-2.0
/*
 * What one builds by hand, and the bounds: bytes in shared memory under a robust
 * mutex or a seqlock, liburcu in one process, and no protection at all.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#define _LGPL_SOURCE
#include <urcu/urcu-memb.h>

#include "bench.h"

#define ROBUST		"robust mutex"
#define SEQLOCK		"seqlock"
#define URCU		"liburcu-memb, one process"

static char buf[OBJECT_MAX];

/*
 * ---------------- Robust process-shared mutexes, one for each object ----------------
 */

struct guarded {
	pthread_mutex_t mutex;
	char bytes[OBJECT_MAX];
};

static struct guarded *guarded;

/* Who prepares first makes them; the other process of the row finds them. */
static void prepare_robust(void)
{
	size_t size = row_arg * sizeof(*guarded);
	pthread_mutexattr_t attr;
	unsigned long i;
	int fd;

	if (guarded)
		return;
	fd = shm_open(row_id, O_RDWR | O_CREAT, 0600);
	check("shm_open", fd < 0 || ftruncate(fd, (off_t)size) ? -errno : 0);
	guarded = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	check("mmap", guarded == MAP_FAILED ? -errno : 0);
	close(fd);
	if (row_helper.is_this)
		return;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	for (i = 0; i < row_arg; i++) {
		check("mutex", -pthread_mutex_init(&guarded[i].mutex, &attr));
		/* Take the memory now. */
		memcpy(guarded[i].bytes, buf, object_size);
	}
}

static inline void lock(struct guarded *g)
{
	if (__builtin_expect(pthread_mutex_lock(&g->mutex), 0))
		abort();
}

static inline void robust_read(struct guarded *g)
{
	lock(g);
	memcpy(buf, g->bytes, object_size);
	pthread_mutex_unlock(&g->mutex);
	use(buf);
}

static inline void robust_write(struct guarded *g)
{
	lock(g);
	memcpy(g->bytes, buf, object_size);
	pthread_mutex_unlock(&g->mutex);
}

static void run_robust_look(unsigned long n)
{
	unsigned long i;

	for (i = 0; i < n; i++) {
		lock(&guarded[0]);
		use(guarded[0].bytes);
		pthread_mutex_unlock(&guarded[0].mutex);
	}
}

static void run_robust_read(unsigned long n)
{
	unsigned long i;

	for (i = 0; i < n; i++)
		robust_read(&guarded[0]);
}

static void run_robust_publish(unsigned long n)
{
	unsigned long i;

	for (i = 0; i < n; i++)
		robust_write(&guarded[row_worker]);
}

static unsigned int writes_percent;

static void prepare_rw_1(void)
{
	writes_percent = 1;
	prepare_robust();
}

static void prepare_rw_50(void)
{
	writes_percent = 50;
	prepare_robust();
}

static void run_rw(unsigned long n)
{
	struct guarded *g;
	unsigned long i;

	for (i = 0; i < n; i++) {
		g = &guarded[next_random(&row_random) % row_arg];
		if (next_random(&row_random) % 100 < writes_percent)
			robust_write(g);
		else
			robust_read(g);
	}
}

static void consume(void)
{
	unsigned int i;

	for (i = 0; i < HANDOFF; i++)
		robust_read(&guarded[i]);
}

static void prepare_pipe(void)
{
	prepare_robust();
	row_helper.help = consume;
}

static void run_pipe(unsigned long n)
{
	unsigned long i, k;

	for (i = 0; i < n; i += HANDOFF) {
		for (k = 0; k < HANDOFF; k++)
			robust_write(&guarded[k]);
		handoff();
	}
}

/*
 * ---------------- A seqlock as one writes it by hand ----------------
 */

struct seqlock {
	unsigned int seq;
	const char *pointer;
	char bytes[OBJECT_MAX];
};

static struct seqlock *seqlock;

static void prepare_seqlock(void)
{
	if (!seqlock)
		seqlock = shared_memory(sizeof(*seqlock));
	memcpy(seqlock->bytes, buf, object_size);
}

static inline unsigned int seq_begin(void)
{
	unsigned int seq;

	do {
		seq = __atomic_load_n(&seqlock->seq, __ATOMIC_ACQUIRE);
	} while (seq & 1);
	return seq;
}

static inline bool seq_retry(unsigned int seq)
{
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return __atomic_load_n(&seqlock->seq, __ATOMIC_RELAXED) != seq;
}

static inline void seq_pointer(void)
{
	const char *pointer;
	unsigned int seq;

	do {
		seq = seq_begin();
		pointer = __atomic_load_n(&seqlock->pointer, __ATOMIC_RELAXED);
	} while (seq_retry(seq));
	use(pointer);
}

static void run_seqlock_look(unsigned long n)
{
	unsigned long i;

	for (i = 0; i < n; i++)
		seq_pointer();
}

static void run_seqlock_read(unsigned long n)
{
	unsigned int seq;
	unsigned long i;

	for (i = 0; i < n; i++) {
		do {
			seq = seq_begin();
			memcpy(buf, seqlock->bytes, object_size);
		} while (seq_retry(seq));
		use(buf);
	}
}

/* One writer at a time, who must not die in the middle */
static void run_seqlock_publish(unsigned long n)
{
	unsigned long i;

	for (i = 0; i < n; i++) {
		__atomic_store_n(&seqlock->seq, seqlock->seq + 1,
				 __ATOMIC_RELAXED);
		__atomic_thread_fence(__ATOMIC_RELEASE);
		memcpy(seqlock->bytes, buf, object_size);
		__atomic_store_n(&seqlock->seq, seqlock->seq + 1,
				 __ATOMIC_RELEASE);
	}
}

static void run_memcpy(unsigned long n)
{
	unsigned long i;

	for (i = 0; i < n; i++) {
		memcpy(buf, seqlock->bytes, object_size);
		use(buf);
	}
}

/*
 * ---------------- liburcu ----------------
 */

struct urcu_object {
	char bytes[OBJECT_MAX];
};

static struct urcu_object *object;

static void prepare_urcu(void)
{
	if (object)
		return;
	urcu_memb_register_thread();
	object = calloc(1, sizeof(*object));
	check("memory", object ? 0 : -ENOMEM);
}

static void run_urcu_look(unsigned long n)
{
	unsigned long i;

	for (i = 0; i < n; i++) {
		urcu_memb_read_lock();
		use(rcu_dereference(object)->bytes);
		urcu_memb_read_unlock();
	}
}

static void run_urcu_read(unsigned long n)
{
	unsigned long i;

	for (i = 0; i < n; i++) {
		urcu_memb_read_lock();
		memcpy(buf, rcu_dereference(object)->bytes, object_size);
		urcu_memb_read_unlock();
		use(buf);
	}
}

/*
 * A grace period for 64 at a time. The callbacks of call_rcu() would come when their
 * thread wakes up, which is another number of instructions on each run.
 */
static void run_urcu_publish(unsigned long n)
{
	static struct urcu_object *old[64];
	static unsigned int count;
	struct urcu_object *new;
	unsigned long i;

	for (i = 0; i < n; i++) {
		new = malloc(sizeof(*new));
		if (!new)
			abort();
		memcpy(new->bytes, buf, object_size);
		old[count++] = rcu_xchg_pointer(&object, new);
		if (count < COUNT(old))
			continue;
		urcu_memb_synchronize_rcu();
		while (count)
			free(old[--count]);
	}
}

/* How fast the processors are, and how much faster two are than one */
static void run_nothing(unsigned long n)
{
	unsigned long i;

	for (i = 0; i < 100 * n; i++)
		use(buf);
}

static const struct row rows[] = {
	{ UNIT, "100 rounds of an empty loop", 0, 1000, NULL, NULL, run_nothing,
	  ROW_RATE },
	{ PUBLISH, ROBUST, 100, 20000, prepare_robust, NULL, run_robust_publish,
	  ROW_RATE | ROW_TAIL },
	{ PUBLISH, SEQLOCK, 0, 20000, prepare_seqlock, NULL,
	  run_seqlock_publish, 0 },
	{ PUBLISH, URCU, 0, 20000, prepare_urcu, NULL, run_urcu_publish,
	  ROW_THREADS },
	{ LOOK, ROBUST, 1, 20000, prepare_robust, NULL, run_robust_look,
	  ROW_RATE },
	{ LOOK, SEQLOCK ", pointer", 0, 20000, prepare_seqlock, NULL,
	  run_seqlock_look, ROW_RATE },
	{ LOOK, URCU, 0, 20000, prepare_urcu, NULL, run_urcu_look, ROW_RATE },
	{ READ, ROBUST, 1, 20000, prepare_robust, NULL, run_robust_read,
	  ROW_RATE | ROW_TAIL },
	{ READ, SEQLOCK, 0, 20000, prepare_seqlock, NULL, run_seqlock_read,
	  ROW_RATE | ROW_TAIL },
	{ READ, URCU, 0, 20000, prepare_urcu, NULL, run_urcu_read, ROW_RATE },
	{ READ, "memcpy, unprotected", 0, 20000, prepare_seqlock, NULL,
	  run_memcpy, 0 },
	{ RW("99:1", "10^2"), ROBUST, 100, 20000, prepare_rw_1, NULL, run_rw,
	  ROW_RATE },
	{ RW("99:1", "10^5"), ROBUST, 100000, 20000, prepare_rw_1, NULL, run_rw,
	  0 },
	{ RW("50:50", "10^2"), ROBUST, 100, 20000, prepare_rw_50, NULL, run_rw,
	  ROW_RATE },
	{ RW("50:50", "10^5"), ROBUST, 100000, 20000, prepare_rw_50, NULL,
	  run_rw, 0 },
	{ PIPE, ROBUST ", copied in and out", HANDOFF, 6400, prepare_pipe, NULL,
	  run_pipe, ROW_HELPED },
	{}
};

int main(int argc, char **argv)
{
	const struct row *const tables[] = { rows, NULL };

	return bench_main(argc, argv, NULL, tables);
}
