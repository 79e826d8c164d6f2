// SPDX-License-Identifier: GPL-2.0
/*
 * Runs the rows of a program:
 *
 *	PROGRAM cost	one at a time: nanoseconds and system calls of an operation.
 *			In a virtual machine with -icount a nanosecond is an
 *			instruction.
 *	PROGRAM rate	operations a second by 1, 2 and 100 processes, and how long
 *			single ones take beside another process; and by two that
 *			work together
 *
 * A line for each result, fields separated by tabs:
 *
 *	cost  WORKLOAD NAME NANOSECONDS SYSTEM-CALLS
 *	tail  WORKLOAD NAME P50 P99 P99.9 MAX
 *	space WORKLOAD NAME WANTED USED
 *	rate  WORKLOAD NAME BY-1 BY-2 BY-100
 *	busy  WORKLOAD NAME P50 P99 P99.9 MAX
 *	pair  WORKLOAD NAME BY-BOTH
 *	figure GROUP UNIT NAME VALUE
 *
 * With BENCH_LONG in the environment all takes ten times as long, and the long
 * rows are run too.  With BENCH_ONLY, only rows whose workload contains it.
 */
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "bench.h"

#define ROUNDS		3
#define SAMPLES		5000
#define SKIPPED		77
#define TURNS		30
#define WINDOW_MS	60
/* Of 100, each has a processor now and then only */
#define TURNS_100	3
#define WINDOW_100_MS	1000
#define ASIDE		"-aside"
#define CHUNK		64
#define WORKERS_MAX	100

unsigned long row_arg;
unsigned long row_n;
char row_id[32];
unsigned int row_worker;
uint64_t row_random;
struct helper row_helper;
struct space row_space;
size_t object_size = OBJECT_MAX;

static bool is_long;
static const char *default_name;

/* What the processes of a row tell each other */
static struct {
	uint32_t turn;
	uint32_t ready;
	uint32_t go;
	uint32_t stop;
	uint64_t ops[WORKERS_MAX];
	double rate;
	double cost;
	double calls;
	uint64_t tail[4];
	struct space space;
} *shared;

void row_skip(void)
{
	_exit(SKIPPED);
}

void check(const char *what, int64_t ret)
{
	if (ret >= 0)
		return;
	fprintf(stderr, "bench: %s: %s\n", what, strerror((int)-ret));
	_exit(1);
}

static void *memory(size_t size, int flags)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       flags | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	check("mmap", p == MAP_FAILED ? -errno : 0);
	return p;
}

void *own_memory(size_t size)
{
	return memory(size, MAP_PRIVATE);
}

void *shared_memory(size_t size)
{
	return memory(size, MAP_SHARED);
}

struct cell_name *make_cell_names(unsigned long count)
{
	struct cell_name *names = own_memory(count * sizeof(*names));
	unsigned long i;

	for (i = 0; i < count; i++)
		snprintf(names[i].text, sizeof(names[i].text), "cell-%lu", i);
	return names;
}

uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

void figure(const char *group, const char *unit, const char *name, double value)
{
	printf("figure\t%s\t%s\t%s\t%.2f\n", group, unit ? unit : "", name, value);
	fflush(stdout);
}

/*
 * Nanoseconds for which the only processor had nothing to do. With -icount the
 * clock goes on then, though there are no instructions: a publisher waits for the
 * space of what it replaced, say. 0 where there are several processors, and that
 * is not so.
 */
static uint64_t idle(void)
{
	unsigned long long ns = 0;
	char line[256];
	FILE *f;

	if (sysconf(_SC_NPROCESSORS_ONLN) > 1)
		return 0;
	f = fopen("/proc/timer_list", "r");
	check("/proc/timer_list", f ? 0 : -errno);
	while (!ns && fgets(line, sizeof(line), f))
		if (strstr(line, "idle_sleeptime"))
			sscanf(strchr(line, ':'), ": %llu", &ns);
	fclose(f);
	return ns;
}

/*
 * Forks; @parent_death kills the child with its parent.  In the child the
 * answer is 0.
 */
static pid_t start(bool parent_death)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	check("fork", pid < 0 ? -errno : 0);
	if (!pid && parent_death)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

static int end(pid_t pid)
{
	int status;

	check("wait", waitpid(pid, &status, 0) < 0 ? -errno : 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void futex(uint32_t *word, int op, uint32_t value)
{
	syscall(SYS_futex, word, op, value, NULL, NULL, 0);
}

/* Waits while *@word is @value. */
static void wait_while(uint32_t *word, uint32_t value)
{
	while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == value)
		futex(word, FUTEX_WAIT, value);
}

static void set(uint32_t *word, uint32_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
	futex(word, FUTEX_WAKE, INT32_MAX);
}

void handoff(void)
{
	set(&shared->turn, 1);
	wait_while(&shared->turn, 1);
}

/* The first handoff is for preparing. */
static void help(const struct row *row)
{
	row_helper.is_this = true;
	wait_while(&shared->turn, 0);
	row->prepare();
	for (;;) {
		set(&shared->turn, 0);
		wait_while(&shared->turn, 0);
		row_helper.help();
	}
}

/*
 * Counts system calls of this process and of those that it starts from here on:
 * the kernel's tracepoint, as a counter.  Negative where one may not.
 */
static int open_counter(void)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_TRACEPOINT,
		.size = sizeof(attr),
		.inherit = 1,
	};
	FILE *f = fopen("/sys/kernel/tracing/events/raw_syscalls/sys_enter/id",
			"r");
	unsigned long long id;
	bool found;

	if (!f)
		return -1;
	found = fscanf(f, "%llu", &id) == 1;
	fclose(f);
	attr.config = id;
	return found ? (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1,
				    PERF_FLAG_FD_CLOEXEC) : -1;
}

static uint64_t read_counter(int fd)
{
	uint64_t count;

	check("counter", read(fd, &count, sizeof(count)) < 0 ? -errno : 0);
	return count;
}

/* How many operations a round has, once all is there to do them with */
static unsigned long begin(const struct row *row)
{
	row_arg = row->arg;
	row_n = 0;
	if (row->flags & ROW_HELPED && !start(true))
		help(row);
	if (row->prepare)
		row->prepare();
	if (row->flags & ROW_HELPED)
		handoff();
	if (!row->n)
		return row_n;
	return is_long && !(row->flags & ROW_ONCE) ? 10 * row->n : row->n;
}

static void run(const struct row *row, unsigned long n)
{
	if (row->before)
		row->before(n);
	row->run(n);
}

/* A run of @n operations, whose system calls are counted */
static void run_counted(const struct row *row, unsigned long n, int fd)
{
	uint64_t count, own;

	if (row->before)
		row->before(n);
	shared->calls = -1;
	if (fd < 0) {
		row->run(n);
		return;
	}
	own = read_counter(fd);
	own = read_counter(fd) - own;
	count = read_counter(fd);
	row->run(n);
	count = read_counter(fd) - count - own;
	close(fd);
	shared->calls = (double)count / (double)n;
}

/* The counter comes first, so that it counts for the helpers too. */
static void count_calls(const struct row *row)
{
	int fd = open_counter();
	unsigned long n = begin(row);

	run(row, n);
	run_counted(row, n, fd);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Operations one by one, less what looking at the clock takes */
static void take_samples(const struct row *row)
{
	unsigned long n = is_long ? 10 * SAMPLES : SAMPLES, i;
	uint64_t *ns = own_memory(n * sizeof(*ns)), clock = UINT64_MAX, t;

	for (i = 0; i < n; i++) {
		t = now();
		t = now() - t;
		if (t < clock)
			clock = t;
	}
	for (i = 0; i < n; i++) {
		t = now();
		row->run(1);
		t = now() - t;
		ns[i] = t > clock ? t - clock : 0;
	}
	qsort(ns, n, sizeof(*ns), compare);
	shared->tail[0] = ns[n / 2];
	shared->tail[1] = ns[n / 100 * 99];
	shared->tail[2] = ns[n / 1000 * 999];
	shared->tail[3] = ns[n - 1];
}

static uint64_t empty_loop(unsigned long n)
{
	uint64_t t = now();
	unsigned long i;

	for (i = 0; i < n; i++)
		use(shared);
	return now() - t;
}

/*
 * The smallest of some rounds, less the loop. The round before them counts system
 * calls, as one that counts takes longer.
 */
static void measure(const struct row *row)
{
	unsigned int rounds = row->flags & (ROW_ONCE | ROW_SLOW) ? 1 : ROUNDS;
	uint64_t best = UINT64_MAX, loop = UINT64_MAX, waited, t;
	unsigned long n = begin(row);

	if (row->flags & (ROW_HELPED | ROW_THREADS))
		run(row, n);
	else if (!(row->flags & ROW_ONCE))
		run_counted(row, n, open_counter());
	while (rounds--) {
		t = empty_loop(n);
		if (t < loop)
			loop = t;
		if (row->before)
			row->before(n);
		waited = idle();
		t = now();
		row->run(n);
		t = now() - t;
		t -= idle() - waited;
		if (t < best)
			best = t;
	}
	shared->cost = (double)(best > loop ? best - loop : 0) / (double)n;
	if (row->flags & ROW_TAIL)
		take_samples(row);
	if (row->flags & ROW_ONCE)
		run_counted(row, n, open_counter());
}

static void measure_space(const struct row *row)
{
	row->run(begin(row));
	shared->space = row_space;
}

/*
 * Waits until the only processor has nothing to do: what the row before has left to
 * the kernel, which may have 10^5 cells to free, is no cost of the next one. After
 * five seconds it gives up: something else keeps that processor busy.
 */
static void settle(void)
{
	const uint64_t ns = 50000000;
	unsigned int tries = 100;
	uint64_t before;

	if (sysconf(_SC_NPROCESSORS_ONLN) > 1)
		return;
	do {
		before = idle();
		usleep(ns / 1000);
	} while (idle() - before < ns / 10 * 9 && --tries);
	if (!tries)
		fputs("bench: this processor is never idle\n", stderr);
}

/* Runs @what with @row in a process of its own, and cleans up after it. */
static int in_child(const struct row *row, void (*what)(const struct row *row))
{
	static const char *const tail[] = { "", "-lock", ASIDE, ASIDE "-lock" };
	static unsigned int number;
	unsigned int i;
	char path[64];
	pid_t pid;
	int ret;

	snprintf(row_id, sizeof(row_id), "bench-%d-%u", getpid(), ++number);
	shared->turn = 0;
	pid = start(false);
	if (!pid) {
		what(row);
		_exit(0);
	}
	ret = end(pid);
	for (i = 0; i < COUNT(tail); i++) {
		snprintf(path, sizeof(path), "/dev/shm/%s%s", row_id, tail[i]);
		unlink(path);
	}
	return ret;
}

static const char *name_of(const struct row *row)
{
	return row->name ? row->name : default_name;
}

static void show_tail(const char *kind, const struct row *row)
{
	if (row->flags & ROW_TAIL)
		printf("%s\t%s\t%s\t%llu\t%llu\t%llu\t%llu\n", kind,
		       row->workload, name_of(row),
		       (unsigned long long)shared->tail[0],
		       (unsigned long long)shared->tail[1],
		       (unsigned long long)shared->tail[2],
		       (unsigned long long)shared->tail[3]);
}

static int cost(const struct row *row)
{
	int ret;

	if (row->flags & ROW_SPACE) {
		ret = in_child(row, measure_space);
		if (!ret)
			printf("space\t%s\t%s\t%llu\t%llu\n", row->workload,
			       name_of(row),
			       (unsigned long long)shared->space.wanted,
			       (unsigned long long)shared->space.used);
		return ret;
	}
	settle();
	ret = in_child(row, measure);
	if (!ret && row->flags & (ROW_HELPED | ROW_THREADS))
		ret = in_child(row, count_calls);
	if (ret)
		return ret;
	printf("cost\t%s\t%s\t%.1f\t", row->workload, name_of(row),
	       shared->cost);
	printf(shared->calls < 0 ? "-\n" : "%.3f\n", shared->calls);
	show_tail("tail", row);
	return 0;
}

static unsigned int workers;
static bool sampling;

static void work(const struct row *row, unsigned int i)
{
	uint64_t ops = 0;

	row_worker = i;
	row_random = i;
	begin(row);
	row->run(CHUNK);
	__atomic_fetch_add(&shared->ready, 1, __ATOMIC_RELEASE);
	wait_while(&shared->go, 0);
	if (sampling && !i) {
		take_samples(row);
		return;
	}
	while (!__atomic_load_n(&shared->stop, __ATOMIC_RELAXED)) {
		row->run(CHUNK);
		ops += CHUNK;
	}
	shared->ops[i] = ops;
}

/* The same work in a heap of its own */
static void work_aside(const struct row *row, unsigned int i)
{
	strcat(row_id, ASIDE);
	if (row->prepare)
		row->prepare();
	work(row, i);
}

/*
 * This process keeps the heap there, the others work on it. With one worker, the
 * second processor does the same in a heap of its own: what the host's processors
 * take from each other, which may be two halves of one, and what else it does, then
 * weighs the same on one as on two. What is left is what the heap costs.
 */
static void rate_round(const struct row *row)
{
	const unsigned int busy = workers + (workers == 1);
	uint64_t t, sum = 0;
	pid_t pid[WORKERS_MAX];
	unsigned int i;
	int ret = 0;

	row_arg = row->arg;
	if (busy > workers) {
		pid[workers] = start(true);
		if (!pid[workers]) {
			work_aside(row, workers);
			_exit(0);
		}
	}
	if (row->prepare)
		row->prepare();
	for (i = 0; i < workers; i++) {
		pid[i] = start(true);
		if (!pid[i]) {
			work(row, i);
			_exit(0);
		}
	}
	while (__atomic_load_n(&shared->ready, __ATOMIC_ACQUIRE) < busy) {
		usleep(1000);
		/* One that failed would be waited for in vain. */
		if (waitpid(-1, NULL, WNOHANG) > 0)
			_exit(1);
	}
	t = now();
	set(&shared->go, 1);
	if (sampling)
		ret = end(pid[0]);
	else
		usleep((is_long ? 10 : 1) *
		       (workers > 2 ? WINDOW_100_MS : WINDOW_MS) * 1000);
	t = now() - t;
	set(&shared->stop, 1);
	for (i = sampling; i < busy; i++) {
		ret |= end(pid[i]);
		if (i < workers)
			sum += shared->ops[i];
	}
	shared->rate = (double)sum * 1e9 / (double)t;
	if (ret)
		_exit(1);
}

static int rate_by(const struct row *row, unsigned int n)
{
	workers = n;
	shared->ready = 0;
	shared->go = 0;
	shared->stop = 0;
	return in_child(row, rate_round);
}

/*
 * By turns, and the mean of each: many short ones, as the processors of a host that
 * others use are half as fast at one time as at another.
 */
static int rate(const struct row *row)
{
	static const unsigned int by[] = { 1, 2, WORKERS_MAX };
	static const unsigned int turns[] = { TURNS, TURNS, TURNS_100 };
	double mean[COUNT(by)] = { 0 };
	unsigned int i, k;
	int ret = 0;

	if (row->flags & ROW_RATE) {
		sampling = false;
		for (i = 0; i < TURNS; i++)
			for (k = 0; k < COUNT(by) && !ret; k++) {
				if (i >= turns[k])
					continue;
				ret = rate_by(row, by[k]);
				mean[k] += shared->rate / turns[k];
			}
		if (ret)
			return ret;
		printf("rate\t%s\t%s\t%.0f\t%.0f\t%.0f\n", row->workload,
		       name_of(row), mean[0], mean[1], mean[2]);
	}
	if (row->flags & ROW_TAIL) {
		sampling = true;
		ret = rate_by(row, 2);
		if (!ret)
			show_tail("busy", row);
	}
	if (row->flags & (ROW_HELPED | ROW_PAIR)) {
		ret = in_child(row, measure);
		if (!ret)
			printf("pair\t%s\t%s\t%.0f\n", row->workload,
			       name_of(row), 1e9 / shared->cost);
	}
	return ret;
}

static int run_table(const struct row *row, int (*mode)(const struct row *row))
{
	const char *only = getenv("BENCH_ONLY");
	int ret, failed = 0;

	for (; row->workload; row++) {
		if ((row->flags & ROW_LONG && !is_long) ||
		    (only && !strstr(row->workload, only)))
			continue;
		ret = mode(row);
		if (!ret || ret == SKIPPED)
			continue;
		fprintf(stderr, "bench: %s: %s: failed with %d\n",
			row->workload, name_of(row), ret);
		failed = 1;
	}
	return failed;
}

int bench_main(int argc, char **argv, const char *name,
	       const struct row *const *tables)
{
	int (*mode)(const struct row *row) = NULL;
	int failed = 0;

	if (argc >= 2 && !strcmp(argv[1], "cost"))
		mode = cost;
	if (argc >= 2 && !strcmp(argv[1], "rate"))
		mode = rate;
	if (!mode) {
		fprintf(stderr, "usage: %s cost|rate\n", argv[0]);
		return 2;
	}
	default_name = name;
	is_long = getenv("BENCH_LONG");
	shared = shared_memory(sizeof(*shared));
	for (; *tables; tables++)
		failed |= run_table(*tables, mode);
	return failed;
}
