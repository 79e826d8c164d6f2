// SPDX-License-Identifier: GPL-2.0
/*
 * The module is taken away as soon as its last client is dead, while reclaim
 * still has all its work to do; and is put back.
 *
 * In selftests/vm/run only, which says where the module is.
 */
#include "pins.h"

#include "kselftest_harness.h"

#define CLIENTS	8
#define LEN	4096

struct board {
	struct slabshm *s;
	struct slabshm_ref ref;
	int ready;
};

static int pin_and_publish(void *arg)
{
	struct board *b = arg;
	struct slabshm *s = child_open(b->s);
	struct slabshm_view view;
	struct slabshm_pin pin;
	uint64_t n = 0;

	must_do(slabshm_pin(s, &pin));
	must_do(slabshm_get(&pin, &b->ref, &view));
	__atomic_add_fetch(&b->ready, 1, __ATOMIC_RELEASE);
	for (;;)
		must_do(object_put(s, &b->ref, LEN, 0, ++n));
	return 1;
}

FIXTURE(module)
{
	struct board *b;
};

FIXTURE_SETUP(module)
{
	self->b = shared_memory(sizeof(*self->b));
	ASSERT_NE(NULL, self->b);
}

FIXTURE_TEARDOWN(module)
{
}

TEST_F_TIMEOUT(module, unloads_after_a_kill, 300)
{
	unsigned int i, round, rounds = long_run() ? 100 : 10;
	struct board *b = self->b;
	const char *path = module_file();
	pid_t pid[CLIENTS];
	int err, held = 0;

	if (!path || access(DEVICE, F_OK))
		SKIP(return, "not in selftests/vm/run");
	for (round = 0; round < rounds; round++) {
		b->ready = 0;
		ASSERT_EQ(0, patient_open(&b->s, 64 * MIB));
		ASSERT_EQ(0, cells_make(b->s, &b->ref, 1, LEN));
		for (i = 0; i < CLIENTS; i++)
			pid[i] = start_child(pin_and_publish, b);
		ASSERT_TRUE(wait_until(__atomic_load_n(&b->ready,
						       __ATOMIC_ACQUIRE) ==
				       CLIENTS, BACK_MS));
		EXPECT_EQ(-EAGAIN, module_unload());
		sleep_ms(20);
		held += stat_of(b->s).held > 0;
		for (i = 0; i < CLIENTS; i++)
			ASSERT_EQ(0, kill(pid[i], SIGKILL));
		for (i = 0; i < CLIENTS; i++)
			ASSERT_EQ(-SIGKILL, end_child(pid[i]));
		slabshm_close(b->s);
		/* A file's last reference may go a moment after its process */
		EXPECT_TRUE(wait_until((err = module_unload()) != -EAGAIN, BACK_MS));
		EXPECT_EQ(0, err);
		ASSERT_EQ(0, module_load(path));
		ASSERT_TRUE(wait_until(!access(DEVICE, F_OK), BACK_MS));
	}
	EXPECT_LT(0, held);
}

TEST_HARNESS_MAIN
