// SPDX-License-Identifier: GPL-2.0
/*
 * iceoryx 2, through its C binding. Its daemon, iox-roudi, must be running.
 */
#include <iceoryx_binding_c/log.h>
#include <iceoryx_binding_c/publisher.h>
#include <iceoryx_binding_c/runtime.h>
#include <iceoryx_binding_c/subscriber.h>

#include "bench.h"

#define NAME		"iceoryx"
#define QUEUE		(2 * HANDOFF)
#define TRIES		2000

static iox_pub_storage_t publisher_storage;
static iox_sub_storage_t subscriber_storage;
static iox_pub_t publisher;
static iox_sub_t subscriber;
static char buf[OBJECT_MAX];

static void open_publisher(void)
{
	iox_pub_options_t options;
	char name[64];

	snprintf(name, sizeof(name), "%s-pub-%u-%d", row_id, row_worker,
		 getpid());
	iox_runtime_init(name);
	iox_pub_options_init(&options);
	snprintf(name, sizeof(name), "%s-%u", row_id, row_worker);
	publisher = iox_pub_init(&publisher_storage, "bench", name, "event",
				 &options);
}

static void open_subscriber(void)
{
	iox_sub_options_t options;
	char name[64];

	iox_sub_options_init(&options);
	options.queueCapacity = QUEUE;
	snprintf(name, sizeof(name), "%s-%u", row_id, row_worker);
	subscriber = iox_sub_init(&subscriber_storage, "bench", name, "event",
				  &options);
}

/* The daemon brings them together, in its own time. */
static void wait_for_subscriber(unsigned long n)
{
	unsigned int i;

	(void)n;
	for (i = 0; i < TRIES && !iox_pub_has_subscribers(publisher); i++)
		usleep(10000);
	check("subscription", i < TRIES ? 0 : -ETIMEDOUT);
}

static inline void publish(void)
{
	void *chunk;

	if (iox_pub_loan_chunk(publisher, &chunk, object_size) !=
	    AllocationResult_SUCCESS)
		abort();
	memcpy(chunk, buf, object_size);
	iox_pub_publish_chunk(publisher, chunk);
}

static inline void take(void)
{
	const void *chunk;

	if (iox_sub_take_chunk(subscriber, &chunk) !=
	    ChunkReceiveResult_SUCCESS)
		abort();
	memcpy(buf, chunk, object_size);
	use(buf);
	iox_sub_release_chunk(subscriber, chunk);
}

static void run_publish(unsigned long n)
{
	unsigned long i;

	for (i = 0; i < n; i++)
		publish();
}

static void prepare_both(void)
{
	open_publisher();
	open_subscriber();
}

static void run_both(unsigned long n)
{
	unsigned long i;

	for (i = 0; i < n; i++) {
		publish();
		take();
	}
}

static void consume(void)
{
	unsigned int i;

	for (i = 0; i < HANDOFF; i++)
		take();
}

static void prepare_pipe(void)
{
	char name[64];

	if (!row_helper.is_this) {
		open_publisher();
		return;
	}
	snprintf(name, sizeof(name), "%s-sub", row_id);
	iox_runtime_init(name);
	open_subscriber();
	row_helper.help = consume;
}

static void run_pipe(unsigned long n)
{
	unsigned long i, k;

	for (i = 0; i < n; i += HANDOFF) {
		for (k = 0; k < HANDOFF; k++)
			publish();
		handoff();
	}
}

static const struct row rows[] = {
	{ PUBLISH, NAME ", nobody subscribed", 0, 4000, open_publisher, NULL,
	  run_publish, 0 },
	{ PUBLISH, NAME ", published and taken", 0, 4000, prepare_both,
	  wait_for_subscriber,
	  run_both, 0 },
	{ PIPE, NULL, 0, 6400, prepare_pipe, wait_for_subscriber, run_pipe, ROW_HELPED },
	{}
};

int main(int argc, char **argv)
{
	iox_set_loglevel(Iceoryx_LogLevel_Off);
	const struct row *const tables[] = { rows, NULL };

	return bench_main(argc, argv, NAME, tables);
}
