// SPDX-License-Identifier: GPL-2.0
/*
 * slabshm: a heap that many processes share, and that none can break by dying.
 *
 * Where to start reading: slab.h (the slab, and all locks), client.h (life and
 * death), arena.h (blocks), cell.h (cells and the clock), object.h, reclaim.h and
 * reader.h (what becomes of blocks that readers may still see), and
 * uapi/linux/slabshm.h for what user space sees.
 */
#include <linux/miscdevice.h>
#include <linux/module.h>

#include "client.h"
#include "device.h"
#include "name.h"
#include "object.h"
#include "publish.h"
#include "reclaim.h"
#include "slab.h"
#include "watch.h"

static struct miscdevice slabshm_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "slabshm",
	.fops = &slabshm_fops,
};

static int __init slabshm_init(void)
{
	int err;

	err = slabshm_object_module_init();
	if (err)
		return err;
	err = slabshm_reclaim_module_init();
	if (err)
		goto exit_object;
	err = slabshm_watch_module_init();
	if (err)
		goto exit_reclaim;
	err = slabshm_client_module_init();
	if (err)
		goto exit_watch;
	err = slabshm_slab_module_init();
	if (err)
		goto exit_client;
	err = slabshm_publish_module_init();
	if (err)
		goto exit_slab;
	err = slabshm_names_init();
	if (err)
		goto exit_publish;
	err = misc_register(&slabshm_device);
	if (err)
		goto exit_names;
	return 0;

exit_names:
	slabshm_names_exit();
exit_publish:
	slabshm_publish_module_exit();
exit_slab:
	slabshm_slab_module_exit();
exit_client:
	slabshm_client_module_exit();
exit_watch:
	slabshm_watch_module_exit();
exit_reclaim:
	slabshm_reclaim_module_exit();
exit_object:
	slabshm_object_module_exit();
	return err;
}

static void __exit slabshm_exit(void)
{
	misc_deregister(&slabshm_device);
	slabshm_names_exit();
	slabshm_publish_module_exit();
	/* Waits for the last slab, so for all that is queued */
	slabshm_slab_module_exit();
	slabshm_client_module_exit();
	slabshm_watch_module_exit();
	slabshm_reclaim_module_exit();
	slabshm_object_module_exit();
}

module_init(slabshm_init);
module_exit(slabshm_exit);

MODULE_DESCRIPTION("A heap that many processes share");
MODULE_AUTHOR("The slabshm developers");
MODULE_LICENSE("GPL");
MODULE_VERSION(SLABSHM_VERSION);
