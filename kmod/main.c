// SPDX-License-Identifier: GPL-2.0
/*
 * slabshm: a heap that many processes share, and that none can break by dying.
 *
 * Where to start reading: slab.h (the slab, and all locks), client.h (life and
 * death), arena.h (blocks), cell.h (cells and the clock), reclaim.h and reader.h
 * (what becomes of blocks that readers may still see), and
 * uapi/linux/slabshm.h for what user space sees.
 */
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/workqueue.h>

#include "arena.h"
#include "ioctl.h"
#include "reclaim.h"
#include "slab.h"

/*
 * Rounds of reclaim; ends of clients, which wait for nothing; what of these may
 * wait for a round; and the waking of watchers, which waits for nothing either.
 * Those of the first three kinds may take long, and a slab has at most one of each,
 * so that a busy slab does not fill a queue.  Each queued item holds what it works on.
 */
struct workqueue_struct *slabshm_wq;
struct workqueue_struct *slabshm_end_wq;
struct workqueue_struct *slabshm_leave_wq;
struct workqueue_struct *slabshm_wake_wq;

static struct miscdevice slabshm_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "slabshm",
	.fops = &slabshm_fops,
};

static int __init slabshm_init(void)
{
	int err;

	err = slabshm_arena_module_init();
	if (err)
		return err;
	err = slabshm_reclaim_module_init();
	if (err)
		goto exit_arena;
	err = slabshm_cell_module_init();
	if (err)
		goto exit_reclaim;
	err = -ENOMEM;
	slabshm_wq = alloc_workqueue("slabshm", WQ_UNBOUND, WQ_MAX_ACTIVE);
	if (!slabshm_wq)
		goto exit_cell;
	slabshm_end_wq = alloc_workqueue("slabshm_end", WQ_UNBOUND,
					 WQ_MAX_ACTIVE);
	if (!slabshm_end_wq)
		goto exit_wq;
	slabshm_leave_wq = alloc_workqueue("slabshm_leave", WQ_UNBOUND,
					   WQ_MAX_ACTIVE);
	if (!slabshm_leave_wq)
		goto exit_end_wq;
	slabshm_wake_wq = alloc_workqueue("slabshm_wake",
					  WQ_UNBOUND | WQ_HIGHPRI, WQ_MAX_ACTIVE);
	if (!slabshm_wake_wq)
		goto exit_leave_wq;
	err = slabshm_names_init();
	if (err)
		goto exit_wake_wq;
	err = misc_register(&slabshm_device);
	if (err)
		goto exit_names;
	return 0;

exit_names:
	slabshm_names_exit();
exit_wake_wq:
	destroy_workqueue(slabshm_wake_wq);
exit_leave_wq:
	destroy_workqueue(slabshm_leave_wq);
exit_end_wq:
	destroy_workqueue(slabshm_end_wq);
exit_wq:
	destroy_workqueue(slabshm_wq);
exit_cell:
	slabshm_cell_module_exit();
exit_reclaim:
	slabshm_reclaim_module_exit();
exit_arena:
	slabshm_arena_module_exit();
	return err;
}

static void __exit slabshm_exit(void)
{
	misc_deregister(&slabshm_device);
	slabshm_names_exit();
	/* Queued work, delayed work too, holds its slab */
	slabshm_slabs_wait();
	destroy_workqueue(slabshm_wake_wq);
	destroy_workqueue(slabshm_leave_wq);
	destroy_workqueue(slabshm_end_wq);
	destroy_workqueue(slabshm_wq);
	slabshm_cell_module_exit();
	slabshm_reclaim_module_exit();
	slabshm_arena_module_exit();
}

module_init(slabshm_init);
module_exit(slabshm_exit);

MODULE_DESCRIPTION("A heap that many processes share");
MODULE_AUTHOR("The slabshm developers");
MODULE_LICENSE("GPL");
MODULE_VERSION(SLABSHM_VERSION);
