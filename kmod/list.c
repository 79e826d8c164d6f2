// SPDX-License-Identifier: GPL-2.0
/*
 * STAT, LIST and fdinfo.
 */
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/nospec.h>
#include <linux/pid.h>
#include <linux/rbtree.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include "call.h"
#include "cell.h"
#include "client.h"
#include "list.h"
#include "lock.h"
#include "name.h"
#include "reclaim.h"
#include "slab.h"
#include "table.h"
#include "task.h"

int slabshm_stat_ioctl(struct slabshm_call *call, void *arg)
{
	struct slabshm_stat *stat = arg;

	if (stat->flags)
		return -EINVAL;
	*stat = (struct slabshm_stat){ .client = stat->client };
	slabshm_slab_stat(call->slab, stat);
	return slabshm_call_return(call, stat);
}

/* For rb_find_first(): all with a larger id match. */
static int locker_not_after(const void *id, const struct rb_node *node)
{
	return rb_entry(node, struct slabshm_locker, node)->id <=
	       *(const u64 *)id;
}

/* Describe one; return how many steps the search for a deadlock took. */
static unsigned int locker_describe(struct slabshm_cells *cells,
				    const struct slabshm_locker *locker,
				    struct slabshm_lock_entry *entry)
{
	const char *name = slabshm_cell_name(cells, locker->cell,
					     locker->generation);
	unsigned int steps = SLABSHM_LOCK_STEPS;
	u64 now = ktime_get_ns();

	entry->cell = locker->cell;
	entry->generation = locker->generation;
	entry->client = locker->client->id;
	entry->tid = pid_vnr(locker->pid);
	if (now > locker->since)
		entry->ms = div_u64(now - locker->since, NSEC_PER_MSEC);
	if (locker->queue->inconsistent)
		entry->flags |= SLABSHM_LOCKER_INCONSISTENT;
	if (name)
		strscpy(entry->name, name, sizeof(entry->name));
	if (locker->queue->holder != locker) {
		if (slabshm_lock_deadlocked(cells, locker, &steps))
			entry->flags |= SLABSHM_LOCKER_DEADLOCK;
		return SLABSHM_LOCK_STEPS - steps;
	}
	entry->flags |= SLABSHM_LOCKER_HOLDS;
	if (slabshm_thread_dead(locker->client->mm, locker->pid))
		entry->flags |= SLABSHM_LOCKER_DEAD;
	return 0;
}

/* Threads that hold locks or wait, up to @n; 0 at the end. */
static unsigned int lock_list(struct slabshm_slab *slab, u64 *cursor,
			      struct slabshm_lock_entry *entry, unsigned int n)
{
	struct slabshm_cells *cells = &slab->cells;
	unsigned int i, steps = SLABSHM_LOCK_STEPS;
	struct rb_node *node;

	spin_lock(&cells->lock);
	node = rb_find_first(cursor, &cells->lockers, locker_not_after);
	/* All entries of one hold of the lock share so many steps */
	for (i = 0; node && i < n && steps; i++, node = rb_next(node)) {
		const struct slabshm_locker *locker;

		locker = rb_entry(node, struct slabshm_locker, node);
		steps -= min(steps, locker_describe(cells, locker, &entry[i]));
		*cursor = locker->id;
	}
	spin_unlock(&cells->lock);
	return i;
}

static const size_t list_entry_size[] = {
	[SLABSHM_LIST_SLABS] = sizeof(struct slabshm_stat),
	[SLABSHM_LIST_CELLS] = sizeof(struct slabshm_cell_entry),
	[SLABSHM_LIST_CLIENTS] = sizeof(struct slabshm_client_entry),
	[SLABSHM_LIST_READERS] = sizeof(struct slabshm_reader_entry),
	[SLABSHM_LIST_LOCKS] = sizeof(struct slabshm_lock_entry),
};

static int list_some(struct slabshm_call *call, u32 what, u64 *cursor,
		     void *entries, unsigned int n)
{
	switch (what) {
	case SLABSHM_LIST_SLABS:
		return slabshm_slab_list(cursor, entries, n);
	case SLABSHM_LIST_CELLS:
		return slabshm_cell_list(call->slab, cursor, entries, n);
	case SLABSHM_LIST_CLIENTS:
		return slabshm_client_list(call->slab, cursor, entries, n);
	case SLABSHM_LIST_READERS:
		return slabshm_reclaim_readers(call->slab, cursor, entries, n);
	default:
		return lock_list(call->slab, cursor, entries, n);
	}
}

int slabshm_list_ioctl(struct slabshm_call *call, void *arg)
{
	struct slabshm_list_args *list = arg;
	void __user *to = u64_to_user_ptr(list->entries);
	u32 done = 0, count = list->count, most;
	size_t size, copied;
	void *entries;
	int err = 0;

	if (list->flags || list->pad || !list->count ||
	    list->what >= ARRAY_SIZE(list_entry_size) ||
	    !list_entry_size[list->what] || !list->entry_size ||
	    list->entry_size > PAGE_SIZE)
		return -EINVAL;
	if (list->what != SLABSHM_LIST_SLABS) {
		if (!list->client)
			return -ENOTCONN;
		if (IS_ERR(call->slab))
			return PTR_ERR(call->slab);
	}
	size = list_entry_size[array_index_nospec(list->what,
						  ARRAY_SIZE(list_entry_size))];
	copied = min_t(size_t, size, list->entry_size);
	/* A page of them at a time */
	most = min_t(u32, PAGE_SIZE / size, SLABSHM_BATCH_MAX);
	entries = kmalloc_array(most, size, SLABSHM_GFP);
	if (!entries)
		return -ENOMEM;

	while (done < count) {
		int i, n = min(count - done, most);

		memset(entries, 0, n * size);
		n = list_some(call, list->what, &list->cursor, entries, n);
		if (n < 0)
			err = n;
		if (n <= 0)
			break;
		for (i = 0; i < n; i++) {
			if (copy_to_user(to, entries + i * size, copied) ||
			    clear_user(to + copied, list->entry_size - copied)) {
				err = -EFAULT;
				goto out;
			}
			to += list->entry_size;
		}
		done += n;
		if (fatal_signal_pending(current)) {
			err = -EINTR;
			goto out;
		}
	}
	list->count = done;
	if (!err)
		err = slabshm_call_return(call, list);
out:
	kfree(entries);
	return err;
}

void slabshm_show_fdinfo(struct seq_file *m, struct file *file)
{
	struct slabshm_client *client = file->private_data;
	/* Pairs with the store in slabshm_client_attach() */
	struct slabshm_slab *slab = smp_load_acquire(&client->slab);
	u64 bytes, blocks;

	if (!slab)
		return;
	spin_lock(&slab->arena.lock);
	bytes = client->owner.bytes;
	blocks = client->owner.blocks;
	spin_unlock(&slab->arena.lock);
	seq_printf(m, "slabshm-id:\t%llu\n", slab->id);
	seq_puts(m, "slabshm-name:\t");
	seq_escape(m, slab->name, "\n\\");
	seq_printf(m, "\nslabshm-client:\t%u\n", client->id);
	seq_printf(m, "slabshm-rights:\t%s\n", client->rdonly ? "r" : "rw");
	seq_printf(m, "slabshm-size:\t%llu\n", READ_ONCE(slab->size));
	seq_printf(m, "slabshm-owned-bytes:\t%llu\n", bytes);
	seq_printf(m, "slabshm-owned-blocks:\t%llu\n", blocks);
}
