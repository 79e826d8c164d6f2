/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Objects that tell whether they are whole, and processes that stop the test
 * when something is wrong.
 */
#ifndef SELFTESTS_OBJECT_H
#define SELFTESTS_OBJECT_H

#include <sched.h>
#include <slabshm.h>

#include "common.h"

/* In a child: @cond, or it ends with status 1 and says where. */
#define must(cond)							\
do {									\
	if (!(cond)) {							\
		fprintf(stderr, "# %s:%d: %d: not so: %s (errno %d)\n",	\
			__FILE__, __LINE__, getpid(), #cond, errno);	\
		_exit(1);						\
	}								\
} while (0)

/* In a child: @call does not fail; its value. */
#define must_do(call)							\
({									\
	__typeof__(call) ret_ = (call);					\
									\
	if (ret_ < 0) {							\
		fprintf(stderr, "# %s:%d: %d: %s gave %lld\n", __FILE__,	\
			__LINE__, getpid(), #call, (long long)ret_);	\
		_exit(1);						\
	}								\
	ret_;								\
})

#define OBJECT_MIN	24

static inline uint64_t object_word(uint64_t who, uint64_t seq, uint64_t i)
{
	uint64_t x = (seq + 1) * 0x9e3779b97f4a7c15ULL;

	return (x ^ who * 0xd1b54a32d192ed03ULL) + i * (x | 1);
}

/* Fill @len bytes, at least OBJECT_MIN, a multiple of 8. */
static inline void object_fill(void *at, size_t len, uint64_t who,
			       uint64_t seq)
{
	uint64_t *word = at;
	size_t i;

	word[0] = who;
	word[1] = seq;
	word[2] = len;
	for (i = 3; i < len / 8; i++)
		word[i] = object_word(who, seq, i);
}

/* What is wrong with an object, or NULL; says so. */
static inline const char *object_wrong(const void *at, size_t len,
				       uint64_t *who, uint64_t *seq)
{
	const uint64_t *word = at;
	const char *wrong = NULL;
	size_t i = 0;

	if (len < OBJECT_MIN || len % 8 || word[2] != len)
		wrong = "length";
	for (i = 3; !wrong && i < len / 8; i++)
		if (word[i] != object_word(word[0], word[1], i))
			wrong = "content";
	if (wrong) {
		fprintf(stderr, "# wrong %s: who %llu, seq %llu, %llu of %zu bytes, word %zu\n",
			wrong, (unsigned long long)word[0],
			(unsigned long long)word[1],
			(unsigned long long)word[2], len, i);
		return wrong;
	}
	*who = word[0];
	*seq = word[1];
	return NULL;
}

/* Allocate, fill, publish; as slabshm_put(). */
static inline int64_t object_put(struct slabshm *s,
				 const struct slabshm_ref *ref, size_t len,
				 uint64_t who, uint64_t seq)
{
	int64_t block = slabshm_alloc(s, len), ret;

	if (block < 0)
		return block;
	object_fill(slabshm_ptr(s, (uint64_t)block), len, who, seq);
	ret = slabshm_put(s, ref, (uint64_t)block, len);
	if (ret < 0)
		slabshm_free(s, (uint64_t)block);
	return ret;
}

/*
 * For programs that look at what the kernel says of each free, and at figures:
 * the library's cache is not used, in children neither.
 */
#define WITHOUT_CACHE()							\
__attribute__((constructor)) static void without_cache(void)		\
{									\
	setenv("SLABSHM_CHECK", "1", 1);				\
}

/* A slab without a name, which others reach by slabshm_fd(). */
static inline int slab_open(struct slabshm **s, uint64_t max_size,
			    uint64_t size)
{
	struct slabshm_options opt = { .max_size = max_size, .size = size };

	return slabshm_open(s, NULL, SLABSHM_ATTACH_CREATE, &opt);
}

/* In a child: the parent's slab, as a client of its own. */
static inline struct slabshm *child_open(struct slabshm *parents)
{
	struct slabshm *s = NULL;

	must_do(slabshm_open_fd(&s, slabshm_fd(parents), 0));
	slabshm_close(parents);
	return s;
}

/* A small and fast generator: not rand(), which has a lock. */
static inline uint64_t any(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	*state = x;
	return x >> 16;
}

static inline uint64_t any_seed(uint64_t salt)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ((uint64_t)getpid() << 40) ^ ((uint64_t)ts.tv_nsec << 8) ^
	       salt ^ 0x9e3779b97f4a7c15ULL;
}

/*
 * Milliseconds for a test that is given @quick in the short version, on an idle
 * machine.
 */
static inline long long test_ms(long long quick)
{
	return slowly(long_run() ? quick * 20 : quick);
}

static inline void on_cpu(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

/* Memory that this process shares with its children; zeros. */
static inline void *shared_memory(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* What the cells of the slab hold. */
struct holdings {
	uint64_t cells;
	uint64_t blocks;
	uint64_t bytes;
};

static inline int cells_hold(struct slabshm *s, struct holdings *sum)
{
	struct slabshm_cell_entry entries[64];
	uint64_t cursor = 0;
	int n, i;

	memset(sum, 0, sizeof(*sum));
	for (;;) {
		poison(entries, sizeof(entries));
		n = slabshm_list_cells(s, entries, ARRAY_LEN(entries), &cursor);
		if (n <= 0)
			return n;
		for (i = 0; i < n; i++) {
			sum->cells++;
			sum->blocks += entries[i].parts + !!entries[i].offset;
			sum->bytes += entries[i].bytes;
		}
	}
}

/* Bytes of blocks that are neither free nor retired; all ones on an error. */
static inline uint64_t live_bytes(struct slabshm *s)
{
	struct slabshm_stat st;

	poison(&st, sizeof(st));
	return slabshm_stat(s, &st) ? UINT64_MAX : st.live;
}

static inline uint64_t retired_bytes(struct slabshm *s)
{
	struct slabshm_stat st;

	poison(&st, sizeof(st));
	return slabshm_stat(s, &st) ? UINT64_MAX : st.retired;
}

#endif /* SELFTESTS_OBJECT_H */
