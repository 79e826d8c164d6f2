// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * libslabshm: the end of threads
 *
 * What a thread has of the library goes back when it ends.  By then the library
 * may have been unloaded with the plugin that it was linked into, so its key must
 * not outlive it.  (The shared library itself is linked to stay, as it may be
 * unloaded while threads are in it.)
 */
#include <pthread.h>

#include "handle.h"

static pthread_key_t key;	/* for its destructor */
static bool have_key;
static bool unloading;

static void thread_exit(void *unused)
{
	(void)unused;
	slabshm_caches_thread_exit();
	slabshm_readers_thread_exit();
}

__attribute__((constructor))
static void thread_init(void)
{
	have_key = !pthread_key_create(&key, thread_exit);
}

__attribute__((destructor))
static void thread_done(void)
{
	unloading = true;
	if (have_key)
		pthread_key_delete(key);
}

/*
 * Let the calling thread give back what it has when it ends.  While the process
 * exits nobody needs that, but destructors of the program may still read.
 */
int slabshm_thread_note(void)
{
	/* The destructor runs for threads that have set the key only */
	if (unloading || (have_key && !pthread_setspecific(key, &key)))
		return 0;
	return -ENOMEM;
}
