/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tests of pins, reclaim and eviction share.
 */
#ifndef SELFTESTS_PINS_H
#define SELFTESTS_PINS_H

#include <pthread.h>
#include <sys/syscall.h>

#include "object.h"

/* How long what nobody holds may take to come back; a loaded host is slow. */
#define BACK_MS		10000

static inline struct slabshm_stat stat_of(struct slabshm *s)
{
	struct slabshm_stat st;

	poison(&st, sizeof(st));
	if (slabshm_stat(s, &st))
		memset(&st, 0xff, sizeof(st));
	return st;
}

/* An unnamed slab; @timeout in milliseconds, @limit of what is held in bytes. */
static inline int slab_open_with(struct slabshm **s, uint64_t size,
				 uint32_t timeout, uint64_t limit,
				 unsigned int flags)
{
	struct slabshm_options opt = {
		.max_size = size,
		.size = flags & SLABSHM_ATTACH_FIXED ? size : MIB,
		.read_timeout = timeout,
		.held_limit = limit,
	};

	return slabshm_open(s, NULL, SLABSHM_ATTACH_CREATE | flags, &opt);
}

/* One that evicts nobody in the time that a test takes. */
static inline int patient_open(struct slabshm **s, uint64_t size)
{
	return slab_open_with(s, size, SLABSHM_READ_TIMEOUT_NEVER, size, 0);
}

/* Is all that was retired free again, or will it be? */
static inline bool all_back(struct slabshm *s)
{
	return wait_until(!retired_bytes(s), BACK_MS);
}

/* Has everything that is retired been looked at, and @bytes of it are held? */
static inline bool held_settles(struct slabshm *s, uint64_t bytes)
{
	struct slabshm_stat st;

	return wait_until((st = stat_of(s), st.held == bytes &&
			   st.retired == bytes), BACK_MS);
}

/* The entry of a reader in the list; -ENOENT if it is not there. */
static inline int reader_entry(struct slabshm *s, unsigned int tid,
			       struct slabshm_reader_entry *entry)
{
	uint64_t cursor = 0;
	int n;

	do {
		poison(entry, sizeof(*entry));
		n = slabshm_list_readers(s, entry, 1, &cursor);
		if (n == 1 && entry->tid == tid)
			return 0;
	} while (n == 1);
	return n ? n : -ENOENT;
}

static inline unsigned int my_tid(void)
{
	return (unsigned int)syscall(SYS_gettid);
}

/* A thread ends so that no destructor runs. */
static inline void thread_vanish(void)
{
	syscall(SYS_exit, 0);
}

/* Cells "cell0" and so on, each with an object of @len bytes: who i, seq 0. */
static inline int cells_make(struct slabshm *s, struct slabshm_ref *ref,
			     unsigned int n, size_t len)
{
	unsigned int i;
	char name[16];
	int64_t ret;

	for (i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "cell%u", i);
		ret = slabshm_cell_open(s, name, SLABSHM_CELL_CREATE, &ref[i]);
		if (!ret && len)
			ret = object_put(s, &ref[i], len, i, 0);
		if (ret < 0)
			return (int)ret;
	}
	return 0;
}

/* A pin in a thread of its own, for as long as one likes. */
struct holder {
	struct slabshm *s;
	const struct slabshm_ref *ref;
	pthread_t thread;
	unsigned int tid;
	int state;		/* 0, 1: pinned, 2: asked to unpin */
	int vanish;		/* end without a word instead of unpinning */
	int ret;		/* of unpin */
	struct slabshm_view view;
};

static inline void *hold(void *arg)
{
	struct slabshm_pin pin;
	struct holder *h = arg;

	h->tid = my_tid();
	must_do(slabshm_pin(h->s, &pin));
	if (h->ref)
		must_do(slabshm_get(&pin, h->ref, &h->view));
	__atomic_store_n(&h->state, 1, __ATOMIC_RELEASE);
	while (__atomic_load_n(&h->state, __ATOMIC_ACQUIRE) != 2)
		sleep_ms(1);
	if (h->vanish)
		thread_vanish();
	h->ret = slabshm_unpin(&pin);
	return NULL;
}

/* @ref may be NULL. */
static inline int holder_start(struct holder *h, struct slabshm *s,
			       const struct slabshm_ref *ref)
{
	memset(h, 0, sizeof(*h));
	h->s = s;
	h->ref = ref;
	if (pthread_create(&h->thread, NULL, hold, h))
		return -EAGAIN;
	return wait_until(__atomic_load_n(&h->state, __ATOMIC_ACQUIRE) == 1,
			  BACK_MS) ? 0 : -ETIMEDOUT;
}

/* What unpin said. */
static inline int holder_end(struct holder *h)
{
	__atomic_store_n(&h->state, 2, __ATOMIC_RELEASE);
	pthread_join(h->thread, NULL);
	return h->ret;
}

/* The thread ends while it is pinned, and nobody is told. */
static inline void holder_vanish(struct holder *h)
{
	h->vanish = 1;
	__atomic_store_n(&h->state, 2, __ATOMIC_RELEASE);
	pthread_join(h->thread, NULL);
}

/*
 * ---------------- Slots without the library ----------------
 */

static inline int reg(const struct client *c, __u32 *slot)
{
	struct slabshm_register_args arg = { .slot = POISON32 };
	int err = client_call(c, SLABSHM_IOC_REGISTER, &arg);

	*slot = arg.slot;
	return err;
}

static inline int unreg(const struct client *c, __u32 slot)
{
	struct slabshm_unregister_args arg = { .slot = slot };

	return client_call(c, SLABSHM_IOC_UNREGISTER, &arg);
}

static inline int check(const struct client *c, __u32 slot, __u64 lo)
{
	struct slabshm_reader_check_args arg = { .slot = slot, .lo = lo };

	return client_call(c, SLABSHM_IOC_READER_CHECK, &arg);
}

static inline struct slabshm_slot *slot_at(const struct client *c, __u32 slot)
{
	return (struct slabshm_slot *)c->reader + slot;
}

static inline __u64 slot_lo(const struct client *c, __u32 slot)
{
	return __atomic_load_n(&slot_at(c, slot)->lo, __ATOMIC_RELAXED);
}

static inline void slot_set(const struct client *c, __u32 slot, __u64 lo,
			    __u64 hi)
{
	__atomic_store_n(&slot_at(c, slot)->hi, hi, __ATOMIC_RELAXED);
	__atomic_store_n(&slot_at(c, slot)->lo, lo, __ATOMIC_RELAXED);
}

#endif /* SELFTESTS_PINS_H */
