// SPDX-License-Identifier: GPL-2.0
/*
 * Readers that mean harm: whatever they write into their slots, nothing is held
 * for longer than the read timeout, and nobody else is the worse for it.
 */
#include "pins.h"

#include "kselftest_harness.h"

#define LEN		256
#define TIMEOUT		300
/* What a block may be held for: the timeout, its grain, a loaded machine */
#define BOUND		(TIMEOUT * 5 / 4 + slowly(1000))

static uint64_t evictions(struct slabshm *s)
{
	return stat_of(s).evictions;
}

enum way { RANDOM, ONES, INVERTED, OVERLAP, FLIP, TURNS };

struct hostile {
	struct slabshm *s;
	enum way way;
	unsigned int slots;
	int stop;
	int ready;
};

/*
 * Slots with @base hold all that was retired since: it is the clock when they
 * were registered, or evicted last as far as a client can know.
 */
static void harm(struct client *c, struct hostile *h, uint64_t base,
		 uint64_t *seed)
{
	uint64_t now = __atomic_load_n(&c->control->commit, __ATOMIC_RELAXED);
	static unsigned int turn;
	unsigned int i;

	switch (h->way) {
	case RANDOM:
		for (i = 0; i < h->slots; i++)
			slot_set(c, i, any(seed) % 2 ? any(seed) :
				 base + any(seed) % (now - base + 1),
				 any(seed) << any(seed) % 32);
		break;
	case ONES:
		for (i = 0; i < h->slots; i++)
			slot_set(c, i, ~0ULL, ~0ULL);
		break;
	case INVERTED:
		for (i = 0; i < h->slots; i++)
			slot_set(c, i, now + i, now - i);
		break;
	case OVERLAP:
		for (i = 0; i < h->slots; i++)
			slot_set(c, i, base + i, ~0ULL);
		break;
	case FLIP:
		for (i = 0; i < h->slots; i++) {
			slot_set(c, i, any(seed) % 2 ? base : 0, ~0ULL);
			slot_set(c, i, base, any(seed) % 2 ? 0 : ~0ULL);
		}
		break;
	case TURNS:
		/* Before one lets go another has taken hold */
		slot_set(c, (turn + 1) % h->slots, base, ~0ULL);
		slot_set(c, turn % h->slots, 0, 0);
		turn++;
		if (!(turn % 8))
			usleep(any(seed) % 3000);
		break;
	}
}

static int do_harm(void *arg)
{
	struct hostile *h = arg;
	uint64_t seed = any_seed(7), base, evicted;
	struct client c;
	unsigned int i;
	__u32 slot;

	must_do(client_open_fd(&c, slabshm_fd(h->s), SLABSHM_ATTACH_RDONLY));
	slabshm_close(h->s);
	for (i = 0; i < h->slots; i++)
		must_do(reg(&c, &slot));
	base = c.control->commit;
	evicted = c.control->evicted;
	__atomic_store_n(&h->ready, 1, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&h->stop, __ATOMIC_RELAXED)) {
		if (evicted != c.control->evicted) {
			evicted = c.control->evicted;
			base = c.control->commit;
		}
		harm(&c, h, base, &seed);
	}
	client_close(&c);
	return 0;
}

/* Blocks that were retired, until it shows that they are used again. */
struct watched {
	uint64_t offset;
	uint64_t seq;
	long long when;
};

struct watch {
	struct watched ring[8192];
	unsigned int head;
	unsigned int tail;
	long long worst;
	long long slowest;
	uint64_t publishes;
};

/* The oldest ones: those that are free again leave. */
static void watch_look(struct slabshm *s, struct watch *w)
{
	while (w->tail != w->head) {
		struct watched *t = &w->ring[w->tail % ARRAY_LEN(w->ring)];
		const uint64_t *word = slabshm_ptr(s, t->offset);
		long long age = now_ms() - t->when;

		w->worst = age > w->worst ? age : w->worst;
		if (__atomic_load_n(&word[1], __ATOMIC_RELAXED) == t->seq)
			return;
		w->tail++;
	}
}

/* A good reader and writer: publish, see that nobody is harmed, for a while. */
static void live_on(struct __test_metadata *_metadata, struct slabshm *s,
		    const struct slabshm_ref *ref, struct watch *w,
		    long long ms)
{
	static uint64_t seq = 1000000;
	uint64_t who, was, old = 0;
	struct slabshm_view view;
	struct slabshm_pin pin;
	long long began = now_ms(), call;
	int64_t block;

	while (now_ms() < began + ms || w->tail != w->head) {
		watch_look(s, w);
		if (w->worst > BOUND)
			return;
		if (now_ms() >= began + ms) {
			sleep_ms(1);
			continue;
		}
		call = now_ms();
		block = slabshm_alloc(s, LEN);
		ASSERT_GT(block, 0);
		object_fill(slabshm_ptr(s, (uint64_t)block), LEN, 0, ++seq);
		ASSERT_GT(slabshm_put(s, ref, (uint64_t)block, LEN), 0);
		if (old && w->head - w->tail < ARRAY_LEN(w->ring)) {
			w->ring[w->head % ARRAY_LEN(w->ring)] =
				(struct watched){ old, seq - 1, now_ms() };
			w->head++;
		}
		old = (uint64_t)block;
		w->publishes++;
		ASSERT_EQ(0, slabshm_pin(s, &pin));
		ASSERT_EQ(0, slabshm_get(&pin, ref, &view));
		ASSERT_EQ(NULL, object_wrong(view.data, LEN, &who, &was));
		ASSERT_EQ(seq, was);
		ASSERT_EQ(0, slabshm_unpin(&pin));
		call = now_ms() - call;
		w->slowest = call > w->slowest ? call : w->slowest;
		if (!(w->publishes % 4))
			usleep(1000);
	}
}

FIXTURE(hostile)
{
	struct hostile *h;
	struct slabshm_ref ref;
};

FIXTURE_VARIANT(hostile)
{
	enum way way;
	unsigned int slots;
};

FIXTURE_VARIANT_ADD(hostile, random)
{
	.way = RANDOM, .slots = 64,
};

FIXTURE_VARIANT_ADD(hostile, ones)
{
	.way = ONES, .slots = 64,
};

FIXTURE_VARIANT_ADD(hostile, inverted)
{
	.way = INVERTED, .slots = 64,
};

FIXTURE_VARIANT_ADD(hostile, overlap)
{
	.way = OVERLAP, .slots = 64,
};

FIXTURE_VARIANT_ADD(hostile, flip)
{
	.way = FLIP, .slots = 16,
};

FIXTURE_VARIANT_ADD(hostile, thousand_take_turns)
{
	.way = TURNS, .slots = 1000,
};

FIXTURE_SETUP(hostile)
{
	self->h = shared_memory(sizeof(*self->h));
	ASSERT_NE(NULL, self->h);
	self->h->way = variant->way;
	self->h->slots = variant->slots;
	ASSERT_EQ(0, slab_open_with(&self->h->s, 64 * MIB, TIMEOUT, 0, 0));
	ASSERT_EQ(0, cells_make(self->h->s, &self->ref, 1, LEN));
	ASSERT_EQ(0, set_parameter("poison", 1, NULL));
}

FIXTURE_TEARDOWN(hostile)
{
	slabshm_close(self->h->s);
	EXPECT_EQ(0, set_parameter("poison", 0, NULL));
}

TEST_F(hostile, harms_nobody)
{
	struct slabshm *s = self->h->s;
	struct watch *w = calloc(1, sizeof(*w));
	pid_t pid = start_child(do_harm, self->h);

	ASSERT_NE(NULL, w);
	ASSERT_TRUE(wait_until(__atomic_load_n(&self->h->ready,
					       __ATOMIC_ACQUIRE), BACK_MS));
	live_on(_metadata, s, &self->ref, w, test_ms(1200));
	TH_LOG("%llu publishes, held for %lld ms at most, slowest publish %lld ms, %llu evictions",
	       (unsigned long long)w->publishes, w->worst, w->slowest,
	       (unsigned long long)evictions(s));
	EXPECT_GE(BOUND, w->worst);
	EXPECT_LT(100, w->publishes);
	EXPECT_GT(slowly(2000), w->slowest);
	/* It has lied to itself alone */
	EXPECT_TRUE(all_back(s));
	__atomic_store_n(&self->h->stop, 1, __ATOMIC_RELAXED);
	EXPECT_EQ(0, end_child(pid));
	EXPECT_TRUE(wait_until(stat_of(s).readers == 1, BACK_MS));
	free(w);
}

/* All slots of a client hold all there is, each a bit less than another. */
TEST(thousand_at_the_limit)
{
	long long began, took, slowest = 0;
	unsigned int i, slots = 1000;
	struct slabshm_ref ref;
	struct slabshm *s;
	struct client c;
	__u32 slot;

	ASSERT_EQ(0, slab_open_with(&s, 64 * MIB, SLABSHM_READ_TIMEOUT_NEVER,
				    512 * KIB, 0));
	ASSERT_EQ(0, cells_make(s, &ref, 1, LEN));
	ASSERT_EQ(0, client_open_fd(&c, slabshm_fd(s), SLABSHM_ATTACH_RDONLY));
	for (i = 0; i < slots; i++)
		ASSERT_EQ(0, reg(&c, &slot));
	for (i = 0; i < slots; i++) {
		ASSERT_GT(object_put(s, &ref, LEN, 0, i), 0);
		slot_set(&c, i, stat_of(s).commit, ~0ULL);
	}
	began = now_ms();
	for (i = 0; i < 3000; i++) {
		took = now_ms();
		ASSERT_GT(object_put(s, &ref, LEN, 0, i), 0);
		took = now_ms() - took;
		slowest = took > slowest ? took : slowest;
	}
	EXPECT_TRUE(wait_until(evictions(s) && stat_of(s).held <= 512 * KIB,
			       BACK_MS));
	/* The others may come and go meanwhile */
	took = now_ms();
	ASSERT_EQ(0, reg(&c, &slot));
	took = now_ms() - took;
	TH_LOG("%llu evictions in %lld ms, slowest publish %lld ms, REGISTER %lld ms",
	       (unsigned long long)evictions(s), now_ms() - began, slowest,
	       took);
	EXPECT_LT(0, evictions(s));
	EXPECT_GT(slowly(1000), slowest);
	EXPECT_GT(slowly(2000), took);
	client_close(&c);
	EXPECT_TRUE(all_back(s));
	slabshm_close(s);
}

TEST_HARNESS_MAIN
