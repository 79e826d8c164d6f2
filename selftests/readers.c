// SPDX-License-Identifier: GPL-2.0
/*
 * The calls and the region behind pins, without the library: REGISTER,
 * UNREGISTER, READER_CHECK and LIST_READERS, what they answer and what they
 * refuse, and how many readers there can be.
 */
#include "pins.h"

#include "kselftest_harness.h"

#define SLOTS		4096

static unsigned int readers(const struct client *c)
{
	struct slabshm_stat st;

	return get_stat(c, &st) ? ~0U : st.readers;
}

FIXTURE(readers)
{
	struct client c;
	struct client ro;
};

FIXTURE_SETUP(readers)
{
	ASSERT_EQ(0, client_open(&self->c, NULL, SLABSHM_ATTACH_CREATE, MIB,
				 MIB));
	ASSERT_EQ(0, client_open_fd(&self->ro, self->c.fd,
				    SLABSHM_ATTACH_RDONLY));
}

FIXTURE_TEARDOWN(readers)
{
	client_close(&self->ro);
	client_close(&self->c);
}

TEST_F(readers, register_and_unregister)
{
	struct client *c = &self->c, *ro = &self->ro;
	__u32 slot, other, i;

	EXPECT_EQ(0, readers(c));
	ASSERT_EQ(0, reg(c, &slot));
	EXPECT_EQ(0, slot);
	EXPECT_EQ(1, readers(c));

	/* The slots of each client are its own, also of one that only reads */
	ASSERT_EQ(0, reg(ro, &other));
	EXPECT_EQ(0, other);
	for (i = 1; i < 200; i++) {
		ASSERT_EQ(0, reg(c, &slot));
		EXPECT_EQ(i, slot);
	}
	EXPECT_EQ(201, readers(c));
	for (i = 0; i < 200; i++)
		EXPECT_EQ(0, slot_lo(c, i));
	slot_set(c, 7, 1, 0);
	EXPECT_EQ(0, slot_lo(ro, 7));

	/* The lowest free one comes first, and what was there is left there */
	EXPECT_EQ(0, unreg(c, 150));
	EXPECT_EQ(0, unreg(c, 7));
	EXPECT_EQ(199, readers(c));
	ASSERT_EQ(0, reg(c, &slot));
	EXPECT_EQ(7, slot);
	EXPECT_EQ(1, slot_lo(c, 7));
	ASSERT_EQ(0, reg(c, &slot));
	EXPECT_EQ(150, slot);

	/* None such, none such any more, another client's */
	EXPECT_EQ(-EINVAL, unreg(c, 200));
	EXPECT_EQ(-EINVAL, unreg(c, SLOTS - 1));
	EXPECT_EQ(-EINVAL, unreg(c, SLOTS));
	EXPECT_EQ(-EINVAL, unreg(c, 0x80000000));
	EXPECT_EQ(-EINVAL, unreg(c, 0xffffffff));
	EXPECT_EQ(-EINVAL, unreg(ro, 1));
	EXPECT_EQ(0, unreg(c, 3));
	EXPECT_EQ(-EINVAL, unreg(c, 3));
	EXPECT_EQ(200, readers(c));
	EXPECT_EQ(0, unreg(ro, 0));
	EXPECT_EQ(199, readers(c));

	/* With the client all go */
	client_unmap_reader(c);
	EXPECT_TRUE(wait_until(!readers(ro), BACK_MS));
	EXPECT_EQ(-ENXIO, reg(c, &slot));
	EXPECT_EQ(-ENXIO, unreg(c, 1));
	EXPECT_EQ(-ENXIO, check(c, 1, 1));
}

TEST_F(readers, page_comes_with_its_first_slot)
{
	struct client *c = &self->c;
	__u32 i, slot;
	pid_t pid;
	int end;

	/* Where no slot was ever registered is nothing to write to */
	for (i = 0; i < 65; i++)
		ASSERT_EQ(0, reg(c, &slot));
	slot_set(c, 127, 5, 5);
	pid = fork();
	if (!pid) {
		struct client mine;

		if (client_open_fd(&mine, c->fd, 0) || reg(&mine, &slot))
			_exit(1);
		slot_set(&mine, 63, 5, 5);
		slot_set(&mine, 64, 5, 5);
		_exit(2);
	}
	end = end_child(pid);
	EXPECT_EQ(-SIGBUS, end);
}

/*
 * A child of vfork() shares the memory, and ends before its parent goes on: it
 * gets no slot, which the parent would then use.
 */
TEST_F(readers, vfork)
{
	struct slabshm_pin pin;
	struct slabshm *s;
	int *ret = shared_memory(PAGE);
	pid_t pid;

	ASSERT_NE(NULL, ret);
	ASSERT_EQ(0, slabshm_open_fd(&s, self->c.fd, 0));
	pid = vfork();
	if (!pid) {
		*ret = slabshm_pin(s, &pin);
		_exit(0);
	}
	ASSERT_EQ(0, end_child(pid));
	EXPECT_EQ(-EIO, *ret);
	EXPECT_EQ(0, readers(&self->c));
	EXPECT_EQ(0, slabshm_pin(s, &pin));
	EXPECT_EQ(0, slabshm_unpin(&pin));
	EXPECT_EQ(1, readers(&self->c));
	slabshm_close(s);
}

static int try_from_child(void *arg)
{
	struct client *c = arg;
	__u64 cursor = 0;
	__u32 slot;
	struct slabshm_reader_entry entry;

	must(reg(c, &slot) == -EIO);
	must(unreg(c, 0) == -EIO);
	must(check(c, 0, 1) == -EIO);
	must(list(c, SLABSHM_LIST_READERS, &entry, sizeof(entry), 1,
		  &cursor) == -EIO);
	return 0;
}

TEST_F(readers, refused)
{
	struct slabshm_reader_check_args chk = { 0 };
	struct slabshm_unregister_args un = { 0 };
	struct slabshm_register_args re = { 0 };
	struct client *c = &self->c, bare;
	struct slabshm_attach_args ask;
	struct {
		struct slabshm_reader_check_args arg;
		__u64 tail;
	} longer = { .arg.client = c->at.client };
	char *page, *edge;
	__u32 slot;
	int bit;

	ASSERT_EQ(0, reg(c, &slot));
	for (bit = 0; bit < 32; bit++) {
		re.flags = 1U << bit;
		un.flags = 1U << bit;
		chk.flags = 1U << bit;
		EXPECT_EQ(-EINVAL, client_call(c, SLABSHM_IOC_REGISTER, &re));
		EXPECT_EQ(-EINVAL, client_call(c, SLABSHM_IOC_UNREGISTER, &un));
		EXPECT_EQ(-EINVAL, client_call(c, SLABSHM_IOC_READER_CHECK, &chk));
	}
	EXPECT_EQ(1, readers(c));

	/* Nowhere to answer to: no slot is left behind */
	page = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, page);
	re = (struct slabshm_register_args){ .client = c->at.client };
	memcpy(page + PAGE, &re, sizeof(re));
	ASSERT_EQ(0, mprotect(page + PAGE, PAGE, PROT_READ));
	ASSERT_EQ(0, mprotect(page + 2 * PAGE, PAGE, PROT_NONE));
	EXPECT_EQ(-EFAULT, call(c->fd, SLABSHM_IOC_REGISTER, NULL));
	EXPECT_EQ(-EFAULT, call(c->fd, SLABSHM_IOC_REGISTER, page + PAGE));
	edge = page + 2 * PAGE - sizeof(re) / 2;
	EXPECT_EQ(-EFAULT, call(c->fd, SLABSHM_IOC_REGISTER, edge));
	EXPECT_EQ(-EFAULT, call(c->fd, SLABSHM_IOC_UNREGISTER, NULL));
	EXPECT_EQ(-EFAULT, call(c->fd, SLABSHM_IOC_UNREGISTER, edge));
	EXPECT_EQ(-EFAULT, call(c->fd, SLABSHM_IOC_READER_CHECK, NULL));
	EXPECT_EQ(-EFAULT, call(c->fd, SLABSHM_IOC_READER_CHECK, edge));
	EXPECT_EQ(-EFAULT, call(c->fd, SLABSHM_IOC_REGISTER,
				(void *)0xffff888000001000UL));
	EXPECT_EQ(1, readers(c));
	ASSERT_EQ(0, reg(c, &slot));
	EXPECT_EQ(1, slot);

	/* Longer: with zeros only.  Shorter: not before there is a reason */
	EXPECT_EQ(0, call(c->fd, _IOW(SLABSHM_IOC_TYPE, 14,
				      struct { __u32 a[6]; }), &longer));
	longer.arg.lo = ~0ULL;
	longer.arg.slot = 1;
	EXPECT_EQ(0, call(c->fd, _IOW(SLABSHM_IOC_TYPE, 15, longer), &longer));
	longer.tail = 1ULL << 63;
	EXPECT_EQ(-E2BIG, call(c->fd, _IOW(SLABSHM_IOC_TYPE, 15, longer),
			       &longer));
	EXPECT_EQ(-EINVAL, call(c->fd, _IOWR(SLABSHM_IOC_TYPE, 13, __u32),
				&re));
	EXPECT_EQ(-EINVAL, call(c->fd, _IOW(SLABSHM_IOC_TYPE, 14, __u32),
				&un));
	EXPECT_EQ(-EINVAL, call(c->fd, _IOW(SLABSHM_IOC_TYPE, 15, __u64),
				&chk));
	EXPECT_EQ(-ENOTTY, call(c->fd, _IO(SLABSHM_IOC_TYPE, 13), &re));
	EXPECT_EQ(1, readers(c));

	EXPECT_EQ(0, in_child(try_from_child, c));

	/* Not attached, not mapped */
	bare.fd = open_device();
	ASSERT_GE(bare.fd, 0);
	EXPECT_EQ(-ENOTCONN, reg(&bare, &slot));
	EXPECT_EQ(-ENOTCONN, unreg(&bare, 0));
	EXPECT_EQ(-ENOTCONN, check(&bare, 0, 1));
	close(bare.fd);
	ask_attach(&ask, NULL, SLABSHM_ATTACH_FD, 0, 0);
	ask.fd = c->fd;
	ASSERT_EQ(0, client_attach(&bare, &ask));
	EXPECT_EQ(-ENXIO, reg(&bare, &slot));
	EXPECT_EQ(-ENXIO, unreg(&bare, 0));
	EXPECT_EQ(-ENXIO, check(&bare, 0, 1));
	client_close(&bare);
	EXPECT_EQ(1, readers(c));
	EXPECT_EQ(0, unreg(c, 1));
}

/* A pin from before the registration was never one. */
TEST_F(readers, check)
{
	struct slabshm_cell_open_args cell;
	struct client *c = &self->c;
	struct slabshm_stat st;
	__u32 slot;
	__u64 at;

	ASSERT_EQ(0, cell_open(c, "cell", SLABSHM_CELL_CREATE, &cell));
	ASSERT_EQ(0, publish_one(c, &cell, 0, 0));
	ASSERT_EQ(0, reg(c, &slot));
	ASSERT_EQ(0, get_stat(c, &st));
	at = st.commit;
	EXPECT_EQ(-ESTALE, check(c, slot, 0));
	EXPECT_EQ(-ESTALE, check(c, slot, 1));
	EXPECT_EQ(-ESTALE, check(c, slot, at - 1));
	EXPECT_EQ(0, check(c, slot, at));
	EXPECT_EQ(0, check(c, slot, at + 1));
	EXPECT_EQ(0, check(c, slot, ~0ULL));
	ASSERT_EQ(0, publish_one(c, &cell, 0, 0));
	EXPECT_EQ(0, check(c, slot, at));

	/* A slot that is nobody's holds nothing */
	EXPECT_EQ(-ESTALE, check(c, slot + 1, ~0ULL));
	EXPECT_EQ(-ESTALE, check(c, SLOTS, ~0ULL));
	EXPECT_EQ(-ESTALE, check(c, 0xffffffff, ~0ULL));
	EXPECT_EQ(-ESTALE, check(&self->ro, slot, ~0ULL));
	EXPECT_EQ(0, unreg(c, slot));
	EXPECT_EQ(-ESTALE, check(c, slot, at));
	ASSERT_EQ(0, reg(c, &slot));
	EXPECT_EQ(-ESTALE, check(c, slot, at));
	EXPECT_EQ(0, check(c, slot, at + 1));
}

struct elsewhere {
	struct client *c;
	__u32 slot;
	__u32 foreign;
	unsigned int tid;
	int state;
};

static void *reg_elsewhere(void *arg)
{
	struct elsewhere *e = arg;

	e->tid = my_tid();
	must_do(reg(e->c, &e->slot));
	must_do(unreg(e->c, e->foreign));
	__atomic_store_n(&e->state, 1, __ATOMIC_RELEASE);
	while (__atomic_load_n(&e->state, __ATOMIC_ACQUIRE) == 1)
		sleep_ms(1);
	return NULL;
}

TEST_F(readers, list)
{
	struct slabshm_reader_entry entry[5];
	struct client *c = &self->c, *ro = &self->ro;
	struct elsewhere e = { .c = c };
	struct {
		struct slabshm_reader_entry entry;
		__u64 tail;
	} longer[3];
	struct slabshm_stat st;
	__u32 slot, shorter[3];
	pthread_t thread;
	__u64 cursor = 0;
	unsigned int i;

	EXPECT_EQ(0, list(c, SLABSHM_LIST_READERS, entry, sizeof(*entry), 5,
			  &cursor));
	EXPECT_EQ(0, cursor);
	ASSERT_EQ(0, reg(c, &slot));
	ASSERT_EQ(0, reg(c, &e.foreign));
	ASSERT_EQ(0, reg(ro, &slot));
	ASSERT_EQ(0, pthread_create(&thread, NULL, reg_elsewhere, &e));
	ASSERT_TRUE(wait_until(__atomic_load_n(&e.state, __ATOMIC_ACQUIRE) == 1,
			       BACK_MS));
	EXPECT_EQ(2, e.slot);
	ASSERT_EQ(0, get_stat(c, &st));

	/* One that says it is pinned, one that lies, one idle */
	slot_set(c, 0, st.commit, 1000);
	slot_set(c, 2, 0, 77);
	ASSERT_EQ(3, list(ro, SLABSHM_LIST_READERS, entry, sizeof(*entry),
			  5, &cursor));
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(0, entry[i].held);
		EXPECT_EQ(0, entry[i].held_ms);
		EXPECT_EQ(i == 1 ? ro->at.client : c->at.client,
			  entry[i].client);
		EXPECT_EQ(i == 2 ? e.tid : my_tid(), entry[i].tid);
	}
	EXPECT_EQ(0, entry[0].slot);
	EXPECT_EQ(SLABSHM_READER_PINNED, entry[0].flags);
	EXPECT_EQ(st.commit, entry[0].lo);
	EXPECT_EQ(1000, entry[0].hi);
	EXPECT_EQ(0, entry[1].slot);
	EXPECT_EQ(0, entry[1].flags);
	EXPECT_EQ(0, entry[1].lo | entry[1].hi);
	EXPECT_EQ(2, entry[2].slot);
	EXPECT_EQ(0, entry[2].flags);
	EXPECT_EQ(0, entry[2].lo | entry[2].hi);
	EXPECT_EQ(0, list(c, SLABSHM_LIST_READERS, entry, sizeof(*entry), 5,
			  &cursor));

	/* By pieces, of other sizes */
	cursor = 0;
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(1, list(c, SLABSHM_LIST_READERS, entry,
				  sizeof(*entry), 1, &cursor));
		EXPECT_EQ(i == 2 ? 2 : 0, entry[0].slot);
	}
	EXPECT_EQ(0, list(c, SLABSHM_LIST_READERS, entry, sizeof(*entry), 1,
			  &cursor));
	cursor = 0;
	EXPECT_EQ(3, list(c, SLABSHM_LIST_READERS, shorter, 4, 3, &cursor));
	EXPECT_EQ(c->at.client, shorter[0]);
	EXPECT_EQ(ro->at.client, shorter[1]);
	cursor = 0;
	EXPECT_EQ(3, list(c, SLABSHM_LIST_READERS, longer, sizeof(*longer),
			  3, &cursor));
	EXPECT_EQ(2, longer[2].entry.slot);
	EXPECT_EQ(0, longer[0].tail | longer[1].tail | longer[2].tail);

	/* A pin that is too old to be one shows as none */
	slot_set(c, 0, st.commit - 1, 1000);
	cursor = 0;
	EXPECT_EQ(1, list(c, SLABSHM_LIST_READERS, entry, sizeof(*entry), 1,
			  &cursor));
	EXPECT_EQ(0, entry[0].flags);
	EXPECT_EQ(0, entry[0].lo | entry[0].hi);

	/* The thread has ended, its slot has not */
	__atomic_store_n(&e.state, 2, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	cursor = 0;
	ASSERT_EQ(3, list(c, SLABSHM_LIST_READERS, entry, sizeof(*entry),
			  5, &cursor));
	EXPECT_EQ(SLABSHM_READER_DEAD, entry[2].flags);
	EXPECT_EQ(3, readers(c));

	cursor = 0;
	EXPECT_EQ(-EINVAL, list(c, SLABSHM_LIST_READERS, entry, 0, 1,
				&cursor));
	EXPECT_EQ(-EINVAL, list(c, SLABSHM_LIST_READERS, entry,
				sizeof(*entry), 0, &cursor));
}

/* Who stays is told once, whoever comes and goes. */
static void *come_and_go(void *arg)
{
	struct elsewhere *e = arg;
	__u32 slot[40];
	unsigned int i;

	while (!__atomic_load_n(&e->state, __ATOMIC_RELAXED)) {
		for (i = 0; i < 40; i++)
			must_do(reg(e->c, &slot[i]));
		for (i = 0; i < 40; i++)
			must_do(unreg(e->c, slot[i]));
	}
	return NULL;
}

TEST_F(readers, list_while_they_change)
{
	struct client *c = &self->c, *ro = &self->ro;
	struct elsewhere e = { .c = ro };
	struct slabshm_reader_entry entry[7];
	unsigned int i, k, seen, wrong;
	pthread_t thread;
	__u64 cursor;
	__u32 slot;
	int n;

	ASSERT_EQ(0, pthread_create(&thread, NULL, come_and_go, &e));
	for (i = 0; i < 100; i++)
		ASSERT_EQ(0, reg(c, &slot));
	for (k = 0; k < 50; k++) {
		cursor = 0;
		seen = 0;
		wrong = 0;
		while ((n = list(c, SLABSHM_LIST_READERS, entry,
				 sizeof(*entry), 1 + k % 7, &cursor)) > 0) {
			for (i = 0; i < (unsigned int)n; i++) {
				if (entry[i].client != c->at.client)
					continue;
				wrong += entry[i].slot != seen;
				seen++;
			}
		}
		EXPECT_EQ(0, n);
		EXPECT_EQ(0, wrong);
		EXPECT_EQ(100, seen);
	}
	__atomic_store_n(&e.state, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	EXPECT_EQ(100, readers(c));
}

/*
 * ---------------- Limits ----------------
 */

static void *reg_to_the_limit(void *arg)
{
	struct client *c = arg;
	__u32 slot, i;

	for (i = 0; i < SLOTS; i++) {
		must_do(reg(c, &slot));
		must(slot == i);
	}
	must(reg(c, &slot) == -EDQUOT);
	must(slot == POISON32);
	return NULL;
}

TEST_F_TIMEOUT(readers, slots_of_a_client, 120)
{
	struct client *c = &self->c;
	pthread_t thread;
	__u32 slot;

	EXPECT_EQ(SLOTS * sizeof(struct slabshm_slot), c->at.reader_size);
	reg_to_the_limit(c);
	EXPECT_EQ(SLOTS, readers(c));
	EXPECT_EQ(0, slot_lo(c, SLOTS - 1));

	/* It is the client's limit, not the slab's */
	ASSERT_EQ(0, reg(&self->ro, &slot));
	EXPECT_EQ(0, slot);
	EXPECT_EQ(0, unreg(c, 1234));
	ASSERT_EQ(0, reg(c, &slot));
	EXPECT_EQ(1234, slot);
	EXPECT_EQ(-EDQUOT, reg(c, &slot));

	/* Those of threads that ended stay: they may have been lent */
	client_close(c);
	ASSERT_EQ(0, client_open_fd(c, self->ro.fd, SLABSHM_ATTACH_RDONLY));
	EXPECT_TRUE(wait_until(readers(c) == 1, BACK_MS));
	ASSERT_EQ(0, pthread_create(&thread, NULL, reg_to_the_limit, c));
	pthread_join(thread, NULL);
	EXPECT_EQ(SLOTS + 1, readers(c));
	EXPECT_EQ(-EDQUOT, reg(c, &slot));
	EXPECT_EQ(0, unreg(c, 77));
	ASSERT_EQ(0, reg(c, &slot));
	EXPECT_EQ(77, slot);
}

/* How long a list of @n readers takes at best, in microseconds. */
static long long list_us(struct slabshm *s, unsigned int n)
{
	struct slabshm_reader_entry entry[SLABSHM_BATCH_MAX];
	struct timespec a, b;
	long long us, best = 1LL << 60;
	unsigned int i;
	uint64_t cursor;

	for (i = 0; i < 5; i++) {
		cursor = 0;
		clock_gettime(CLOCK_MONOTONIC, &a);
		must(slabshm_list_readers(s, entry, n, &cursor) == (int)n);
		clock_gettime(CLOCK_MONOTONIC, &b);
		must(entry[n - 1].held > 0);
		us = (b.tv_sec - a.tv_sec) * 1000000LL +
		     (b.tv_nsec - a.tv_nsec) / 1000;
		best = us < best ? us : best;
	}
	return best;
}

/* A list goes through the held blocks once, however many readers it has. */
TEST_F_TIMEOUT(readers, list_of_holders, 120)
{
	struct slabshm_ref ref[SLABSHM_BATCH_MAX];
	struct slabshm_publish_cell item[SLABSHM_BATCH_MAX];
	int64_t offset;
	uint64_t lo;
	long long one, all;
	unsigned int i, k;
	struct slabshm *s;
	struct client c;
	__u32 slot;

	ASSERT_EQ(0, patient_open(&s, 64 * MIB));
	ASSERT_EQ(0, client_open_fd(&c, slabshm_fd(s), SLABSHM_ATTACH_RDONLY));
	for (i = 0; i < SLABSHM_BATCH_MAX; i++)
		ASSERT_EQ(0, reg(&c, &slot));
	ASSERT_EQ(0, cells_make(s, ref, SLABSHM_BATCH_MAX, 64));
	lo = s->header->commit;
	for (i = 0; i < SLABSHM_BATCH_MAX; i++)
		slot_set(&c, i, lo, UINT64_MAX);
	memset(item, 0, sizeof(item));
	for (k = 0; k < 200; k++) {
		for (i = 0; i < SLABSHM_BATCH_MAX; i++) {
			offset = slabshm_alloc(s, 64);
			ASSERT_GT(offset, 0);
			item[i].cell = ref[i].cell;
			item[i].generation = ref[i].generation;
			item[i].block = offset;
			item[i].length = 64;
		}
		ASSERT_GT(slabshm_publish(s, item, SLABSHM_BATCH_MAX, NULL, 0,
					  NULL), 0);
	}
	EXPECT_TRUE(held_settles(s, 200 * SLABSHM_BATCH_MAX * 64));
	one = list_us(s, 1);
	all = list_us(s, SLABSHM_BATCH_MAX);
	TH_LOG("1 reader: %lld us, %d: %lld us", one, SLABSHM_BATCH_MAX, all);
	/* Once for each reader would be 64 times and more; comparing is 16 */
	EXPECT_GE(SLABSHM_BATCH_MAX / 2 * one, all);
	client_close(&c);
	slabshm_close(s);
}

/* The same for one reader, the next after @after. */
static long long list_after_us(const struct client *c, __u64 after)
{
	struct slabshm_reader_entry entry;
	struct timespec a, b;
	long long us, best = 1LL << 60;
	unsigned int i;
	__u64 cursor;

	for (i = 0; i < 10; i++) {
		cursor = after;
		clock_gettime(CLOCK_MONOTONIC, &a);
		must(list(c, SLABSHM_LIST_READERS, &entry, sizeof(entry), 1,
			  &cursor) == 1);
		clock_gettime(CLOCK_MONOTONIC, &b);
		us = (b.tv_sec - a.tv_sec) * 1000000LL +
		     (b.tv_nsec - a.tv_nsec) / 1000;
		best = us < best ? us : best;
	}
	return best;
}

#define LISTED_CLIENTS	8

/* A list goes on where it was, and does not begin anew to find that. */
TEST_F_TIMEOUT(readers, list_of_many, 120)
{
	struct slabshm_reader_entry entry;
	struct client c[LISTED_CLIENTS];
	unsigned int i, k, n = 0;
	long long first, last;
	__u64 cursor = 0, id;
	__u32 slot;

	for (i = 0; i < LISTED_CLIENTS; i++) {
		ASSERT_EQ(0, client_open_fd(&c[i], self->c.fd, 0));
		for (k = 0; k < SLOTS; k++, n++)
			ASSERT_EQ(0, reg(&c[i], &slot));
	}
	ASSERT_EQ(1, list(&self->ro, SLABSHM_LIST_READERS, &entry,
			  sizeof(entry), 1, &cursor));
	id = cursor + n - 2;
	first = list_after_us(&self->ro, 0);
	last = list_after_us(&self->ro, id);
	TH_LOG("the first: %lld us, the last of %u: %lld us", first, n, last);
	/* A walk would take more than 1 ns for each reader that it passes */
	EXPECT_GT(2 * first + n / 1000, last);
	for (i = 0; i < LISTED_CLIENTS; i++)
		client_close(&c[i]);
}

TEST_F(readers, readers_of_a_slab)
{
	struct client *c = &self->c;
	unsigned long was;
	unsigned int i;
	__u32 slot;

	ASSERT_EQ(0, set_parameter("max_readers", 10, &was));
	for (i = 0; i < 10; i++)
		ASSERT_EQ(0, reg(i % 2 ? c : &self->ro, &slot));
	EXPECT_EQ(-EDQUOT, reg(c, &slot));
	EXPECT_EQ(-EDQUOT, reg(&self->ro, &slot));
	EXPECT_EQ(10, readers(c));
	EXPECT_EQ(0, unreg(c, 2));
	ASSERT_EQ(0, reg(&self->ro, &slot));
	EXPECT_EQ(5, slot);
	EXPECT_EQ(-EDQUOT, reg(c, &slot));

	/* It may become less than there are */
	ASSERT_EQ(0, set_parameter("max_readers", 5, NULL));
	for (i = 0; i < 5; i++) {
		EXPECT_EQ(-EDQUOT, reg(c, &slot));
		EXPECT_EQ(0, unreg(&self->ro, i));
	}
	EXPECT_EQ(-EDQUOT, reg(c, &slot));
	EXPECT_EQ(0, unreg(&self->ro, 5));
	EXPECT_EQ(0, reg(c, &slot));
	EXPECT_EQ(0, set_parameter("max_readers", was, NULL));
	EXPECT_EQ(65536, was);
}

/* The library tells it, and the thread can pin later. */
TEST_F(readers, no_more_readers)
{
	struct slabshm_pin pin;
	struct slabshm *s;
	unsigned long was;

	ASSERT_EQ(0, slabshm_open_fd(&s, self->c.fd, 0));
	ASSERT_EQ(0, set_parameter("max_readers", 0, &was));
	EXPECT_EQ(-EDQUOT, slabshm_pin(s, &pin));
	EXPECT_EQ(-EIO, slabshm_unpin(&pin));
	EXPECT_EQ(-EDQUOT, slabshm_pin(s, &pin));
	ASSERT_EQ(0, set_parameter("max_readers", was, NULL));
	EXPECT_EQ(0, slabshm_pin(s, &pin));
	EXPECT_EQ(0, slabshm_unpin(&pin));
	EXPECT_EQ(1, stat_of(s).readers);
	slabshm_close(s);
}

TEST_HARNESS_MAIN
