// SPDX-License-Identifier: GPL-2.0
/*
 * A plugin that uses the library is unloaded, and threads that were in it end
 * later.  The plugin has the static library in it, or brings the shared one.
 */
#include <dlfcn.h>
#include <libgen.h>
#include <limits.h>
#include <pthread.h>
#include <semaphore.h>

#include "common.h"
#include "plugin/plugin.h"

#include "kselftest_harness.h"

#define THREADS		4
/* More than there can be keys of a thread's data (PTHREAD_KEYS_MAX) */
#define LOADS		1100

struct plugin {
	char path[PATH_MAX + 32];
	void *library;
	int (*use)(void);
	void (*close)(void);
};

FIXTURE(plugin)
{
	struct plugin plugin;
};

FIXTURE_VARIANT(plugin)
{
	const char *name;
};

FIXTURE_VARIANT_ADD(plugin, with_static_library)
{
	.name = "plugin/static.so",
};

FIXTURE_VARIANT_ADD(plugin, with_shared_library)
{
	.name = "plugin/shared.so",
};

static int load(struct plugin *p)
{
	p->library = dlopen(p->path, RTLD_NOW | RTLD_LOCAL);
	if (!p->library) {
		fprintf(stderr, "# %s\n", dlerror());
		return -ENOENT;
	}
	p->use = (int (*)(void))dlsym(p->library, "plugin_use");
	p->close = (void (*)(void))dlsym(p->library, "plugin_close");
	return p->use && p->close ? 0 : -ENOENT;
}

static bool loaded(const struct plugin *p)
{
	void *library = dlopen(p->path, RTLD_NOW | RTLD_NOLOAD);

	if (library)
		dlclose(library);
	return library;
}

FIXTURE_SETUP(plugin)
{
	char self_path[PATH_MAX] = "";

	ASSERT_LT(0, readlink("/proc/self/exe", self_path,
			      sizeof(self_path) - 1));
	snprintf(self->plugin.path, sizeof(self->plugin.path), "%s/%s",
		 dirname(self_path), variant->name);
	ASSERT_EQ(0, load(&self->plugin));
}

FIXTURE_TEARDOWN(plugin)
{
}

struct user {
	pthread_t thread;
	int (*use)(void);
	int ret;
	sem_t used;
	sem_t unloaded;
};

static void *use(void *arg)
{
	struct user *u = arg;

	u->ret = u->use();
	sem_post(&u->used);
	sem_wait(&u->unloaded);
	return NULL;
}

static int user_start(struct user *u, int (*fn)(void))
{
	u->use = fn;
	sem_init(&u->used, 0, 0);
	sem_init(&u->unloaded, 0, 0);
	if (pthread_create(&u->thread, NULL, use, u))
		return -EAGAIN;
	sem_wait(&u->used);
	return u->ret;
}

static void user_end(struct user *u)
{
	sem_post(&u->unloaded);
	pthread_join(u->thread, NULL);
}

TEST_F(plugin, thread_ends_later)
{
	struct user user[THREADS];
	unsigned int i, round;
	pid_t pid;
	int status;

	/* With the handle closed before, and left open */
	for (round = 0; round < 2; round++) {
		for (i = 0; i < THREADS; i++)
			ASSERT_EQ(0, user_start(&user[i], self->plugin.use));
		ASSERT_EQ(0, self->plugin.use());
		if (!round)
			self->plugin.close();
		ASSERT_EQ(0, dlclose(self->plugin.library));
		EXPECT_FALSE(loaded(&self->plugin));
		for (i = 0; i < THREADS; i++)
			user_end(&user[i]);
		/* Nor does a fork find what is gone */
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid)
			_exit(0);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_EQ(0, status);
		ASSERT_EQ(0, load(&self->plugin));
		EXPECT_EQ(0, self->plugin.use());
	}
}

TEST_F(plugin, loaded_often)
{
	unsigned int i;

	for (i = 0; i < LOADS; i++) {
		ASSERT_EQ(0, dlclose(self->plugin.library));
		ASSERT_EQ(0, load(&self->plugin));
	}
	EXPECT_EQ(0, self->plugin.use());
}

TEST_HARNESS_MAIN
