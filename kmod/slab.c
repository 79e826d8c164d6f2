// SPDX-License-Identifier: GPL-2.0
/*
 * Slabs: creation and destruction.
 */
#include <linux/context_tracking_state.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/fs_struct.h>
#include <linux/jiffies.h>
#include <linux/moduleparam.h>
#include <linux/slab.h>
#include <linux/wait_bit.h>

#include "data.h"
#include "slab.h"
#include "trace.h"
#include "user.h"
#include "watch.h"

static unsigned long max_slab_mbytes = SLABSHM_SIZE_MAX >> 20;
module_param(max_slab_mbytes, ulong, 0644);
MODULE_PARM_DESC(max_slab_mbytes,
		 "MiB that a slab may be created for (default 4194304, 4 TiB)");

static unsigned int max_cells = 1 << 24;
module_param(max_cells, uint, 0644);
MODULE_PARM_DESC(max_cells,
		 "cells that a slab may be created for (default 16777216, at most 134217728)");

static unsigned int read_timeout = 30000;
module_param(read_timeout, uint, 0644);
MODULE_PARM_DESC(read_timeout,
		 "ms for which a reader may hold a retired block, unless the slab says otherwise (default 30000, 0: for ever)");

static atomic64_t last_id = ATOMIC64_INIT(0);
static atomic_t nslabs = ATOMIC_INIT(0);

/* May wait for a grace period, and for the round that does */
static struct workqueue_struct *destroy_wq;

/**
 * slabshm_slab_drop_data() - the slab is not in use any more
 * @slab: the slab
 *
 * Mappings keep the data, and nothing else does.
 *
 * Context: may sleep; takes grow_lock.
 */
void slabshm_slab_drop_data(struct slabshm_slab *slab)
{
	struct file *data, *data_ro;

	/* Reclaim has it while it overwrites blocks */
	mutex_lock(&slab->grow_lock);
	data = slab->data;
	data_ro = slab->data_ro;
	slab->data = NULL;
	slab->data_ro = NULL;
	mutex_unlock(&slab->grow_lock);
	if (data_ro)
		fput(data_ro);
	if (data) {
		slabshm_user_uncharge(&slab->user->bytes,
				      i_size_read(file_inode(data)));
		fput(data);
	}
}

static void slab_destroy(struct slabshm_slab *slab)
{
	slabshm_reclaim_destroy(slab);
	slabshm_watch_destroy(&slab->cells);
	slabshm_readers_destroy(slab);
	slabshm_cells_destroy(slab);
	slabshm_arena_destroy(&slab->arena);
	slabshm_control_destroy(&slab->control);
	slabshm_meter_end(&slab->meter);
	slabshm_user_uncharge(&slab->user->slabs, 1);
	slabshm_user_put(slab->user);
	mutex_destroy(&slab->grow_lock);
	mutex_destroy(&slab->clients_lock);
	kfree(slab);
	if (atomic_dec_and_test(&nslabs))
		wake_up_var(&nslabs);
}

static void destroy_work(struct work_struct *work)
{
	struct slabshm_slab *slab = container_of(work, struct slabshm_slab,
						 destroy_work);

	trace_slabshm_slab_free(slab);
	slab_destroy(slab);
}

/* Tables of millions of cells are no load for a process that ends. */
static void slab_release(struct kref *ref)
{
	struct slabshm_slab *slab = container_of(ref, struct slabshm_slab, ref);

	queue_work(destroy_wq, &slab->destroy_work);
}

void slabshm_slab_get(struct slabshm_slab *slab)
{
	kref_get(&slab->ref);
}

/* The last one queues the work that frees the slab. */
void slabshm_slab_put(struct slabshm_slab *slab)
{
	kref_put(&slab->ref, slab_release);
}

static void header_init(struct slabshm_slab *slab)
{
	struct slabshm_header *header = slab->control.header;

	header->magic = SLABSHM_MAGIC;
	header->abi = SLABSHM_ABI_VERSION;
	header->id = slab->id;
	header->max_size = slab->max_size;
	header->cells_offset = (u64)slab->control.cells_page << PAGE_SHIFT;
	header->map_offset = (u64)slab->control.map_page << PAGE_SHIFT;
	header->max_cells = slab->cells.max;
	header->page_shift = PAGE_SHIFT;
	/*
	 * Where user mode is an extended quiescent state of RCU, a grace period
	 * says nothing about what a CPU there has done: with nohz_full, or with
	 * CONFIG_CONTEXT_TRACKING_USER_FORCE.
	 */
	if (context_tracking_enabled())
		header->flags |= SLABSHM_HEADER_READER_FENCE;
	slabshm_arena_classes(header->classes);
}

/**
 * slabshm_slab_create() - a new slab that nobody can find yet
 * @arg: of ATTACH, flags and name checked
 *
 * Context: may sleep.
 * Return: the slab, in use, or an ERR_PTR of -EINVAL, -ENOMEM or -EDQUOT.
 */
struct slabshm_slab *slabshm_slab_create(const struct slabshm_attach_args *arg)
{
	u64 limit = min_t(u64, SLABSHM_SIZE_MAX,
			  (u64)READ_ONCE(max_slab_mbytes) << 20);
	u32 most_cells = min(READ_ONCE(max_cells), SLABSHM_CELLS_MAX);
	u32 ncells = arg->max_cells ?: SLABSHM_CELLS_DEFAULT;
	u32 timeout = arg->read_timeout ?: READ_ONCE(read_timeout);
	struct slabshm_slab *slab;
	int err;

	if (!arg->max_size || arg->max_size > limit ||
	    arg->size > arg->max_size || ncells > most_cells)
		return ERR_PTR(-EINVAL);

	if (timeout == SLABSHM_READ_TIMEOUT_NEVER)
		timeout = 0;
	slab = kzalloc(sizeof(*slab), SLABSHM_GFP);
	if (!slab)
		return ERR_PTR(-ENOMEM);
	slab->user = slabshm_user_get();
	if (!slab->user) {
		kfree(slab);
		return ERR_PTR(-ENOMEM);
	}
	err = slabshm_user_charge(&slab->user->slabs, 1, slabshm_max_user_slabs);
	if (err) {
		slabshm_user_put(slab->user);
		kfree(slab);
		return ERR_PTR(err);
	}
	atomic_inc(&nslabs);
	kref_init(&slab->ref);
	refcount_set(&slab->use, 1);
	INIT_WORK(&slab->destroy_work, destroy_work);
	INIT_LIST_HEAD(&slab->names);
	mutex_init(&slab->clients_lock);
	slab->clients = RB_ROOT;
	INIT_LIST_HEAD(&slab->shares);
	init_llist_head(&slab->ended);
	init_llist_head(&slab->leaving);
	mutex_init(&slab->grow_lock);
	slab->max_size = round_up(arg->max_size, PAGE_SIZE);
	slab->fixed = arg->flags & SLABSHM_ATTACH_FIXED;
	slab->mandatory = arg->flags & SLABSHM_ATTACH_MANDATORY;
	slab->meter.user = slab->user;
	slab->pressure_stamp = INITIAL_JIFFIES;
	strscpy(slab->name, arg->name, sizeof(slab->name));
	slabshm_readers_init(slab);
	slabshm_reclaim_init(slab, timeout,
			     arg->held_limit ?: slab->max_size / 4);
	slabshm_watch_init(&slab->cells);
	slab->id = atomic64_inc_return(&last_id);

	err = slabshm_arena_init(&slab->arena, slab->max_size >> PAGE_SHIFT,
				 &slab->meter);
	if (err)
		goto destroy;
	err = slabshm_control_init(&slab->control, slab->max_size, ncells,
				   &slab->meter);
	if (err)
		goto destroy;
	err = slabshm_cells_init(slab, ncells);
	if (err)
		goto destroy;
	header_init(slab);
	slab->data = slabshm_data_create(arg->mode & ~current_umask());
	if (IS_ERR(slab->data)) {
		err = PTR_ERR(slab->data);
		slab->data = NULL;
		goto destroy;
	}
	slab->data_ro = slabshm_data_open_ro(slab->data);
	if (IS_ERR(slab->data_ro)) {
		err = PTR_ERR(slab->data_ro);
		slab->data_ro = NULL;
		goto destroy;
	}
	err = slabshm_data_grow(slab, arg->size, true);
	if (err)
		goto destroy;
	trace_slabshm_slab_create(slab);
	return slab;

destroy:
	slabshm_slab_drop_data(slab);
	slab_destroy(slab);
	return ERR_PTR(err);
}

int slabshm_slab_module_init(void)
{
	destroy_wq = alloc_workqueue("slabshm_destroy", WQ_UNBOUND, WQ_MAX_ACTIVE);
	return destroy_wq ? 0 : -ENOMEM;
}

/* No client is left, but a slab lives on until reclaim has found that out. */
void slabshm_slab_module_exit(void)
{
	wait_var_event(&nslabs, !atomic_read(&nslabs));
	destroy_workqueue(destroy_wq);
}
