// SPDX-License-Identifier: GPL-2.0
/*
 * The device: one table of calls, and the one place where their arguments are
 * copied in.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/nospec.h>
#include <linux/poll.h>
#include <linux/uaccess.h>

#include "alloc.h"
#include "call.h"
#include "client.h"
#include "compact.h"
#include "device.h"
#include "list.h"
#include "lock.h"
#include "mmap.h"
#include "name.h"
#include "publish.h"
#include "reader.h"
#include "slab.h"
#include "watch.h"

static int slabshm_attach_ioctl(struct slabshm_call *call, void *arg)
{
	struct slabshm_attach_args *attach = arg;
	struct slabshm_client *other = NULL;
	struct file *file = NULL;
	int err;

	if (attach->flags & SLABSHM_ATTACH_FD)
		file = fget(attach->fd);
	if (file && file->f_op == &slabshm_fops)
		other = file->private_data;
	err = slabshm_client_attach(call, attach, other);
	if (file)
		fput(file);
	return err;
}

/* What a call needs */
#define NEED_SLAB	1	/* an attached client: -ENOTCONN */
#define NEED_WRITE	2	/* the write right: -EACCES */
#define NEED_LIFE	4	/* a mapped reader region: -ENXIO */
#define NEED_ALL	(NEED_SLAB | NEED_WRITE | NEED_LIFE)

struct call_ops {
	unsigned int cmd;
	size_t size;
	size_t min_size;
	unsigned int needs;
	int (*fn)(struct slabshm_call *call, void *arg);
};

/* How each argument begins */
struct call_head {
	u32 flags;
	u32 client;
};

/* @_last is the last field of the first ABI */
#define CALL(_nr, _name, _type, _last, _needs)				\
	[_IOC_NR(SLABSHM_IOC_##_nr)] = {				\
		.cmd = SLABSHM_IOC_##_nr,				\
		.size = sizeof(struct slabshm_##_type) +		\
			BUILD_BUG_ON_ZERO(sizeof(struct slabshm_##_type) % 8) +	\
			BUILD_BUG_ON_ZERO(offsetof(struct slabshm_##_type, flags)) + \
			BUILD_BUG_ON_ZERO(offsetof(struct slabshm_##_type,	\
						   client) !=		\
					  offsetof(struct call_head, client)) +	\
			BUILD_BUG_ON_ZERO(!(_IOC_DIR(SLABSHM_IOC_##_nr) &	\
					    _IOC_WRITE)),		\
		.min_size = offsetofend(struct slabshm_##_type, _last),	\
		.needs = _needs,					\
		.fn = slabshm_##_name##_ioctl,					\
	}

static const struct call_ops calls[] = {
	CALL(ATTACH, attach, attach_args, name, 0),
	CALL(UNLINK, unlink, unlink_args, name, 0),
	CALL(SETATTR, setattr, setattr_args, pad, NEED_SLAB),
	CALL(STAT, stat, stat, name, NEED_SLAB),
	CALL(LIST, list, list_args, pad, 0),
	CALL(ALLOC, alloc, alloc_args, pad, NEED_ALL),
	CALL(FREE, free, free_args, failed, NEED_ALL),
	CALL(BLOCK, block, block_args, pad, NEED_SLAB),
	CALL(GROW, grow, grow_args, size, NEED_ALL),
	CALL(TRIM, trim, trim_args, bytes, NEED_ALL),
	CALL(CELL_OPEN, cell_open, cell_open_args, name, NEED_SLAB),
	CALL(CELL_REMOVE, cell_remove, cell_remove_args, pad, NEED_ALL),
	CALL(PUBLISH, publish, publish_args, commit, NEED_ALL),
	CALL(REGISTER, register, register_args, pad, NEED_SLAB | NEED_LIFE),
	CALL(UNREGISTER, unregister, unregister_args, pad, NEED_SLAB | NEED_LIFE),
	CALL(READER_CHECK, reader_check, reader_check_args, pad,
	     NEED_SLAB | NEED_LIFE),
	CALL(LOCK, lock, lock_args, failed, NEED_ALL),
	CALL(UNLOCK, unlock, unlock_args, failed, NEED_ALL),
	CALL(WAIT, wait, wait_args, failed, NEED_SLAB | NEED_LIFE),
	CALL(WATCH, watch, watch_args, pad, NEED_SLAB | NEED_LIFE),
	CALL(UNWATCH, unwatch, unwatch_args, pad, NEED_SLAB | NEED_LIFE),
	CALL(EVENTS, events, events_args, pad, NEED_SLAB | NEED_LIFE),
	CALL(CANCEL, cancel, cancel_args, client, NEED_SLAB | NEED_LIFE),
	CALL(COMPACT, compact, compact_args, cursor, NEED_ALL),
};

union call_arg {
	struct slabshm_attach_args attach;
	struct slabshm_unlink_args unlink;
	struct slabshm_setattr_args setattr;
	struct slabshm_stat stat;
	struct slabshm_list_args list;
	struct slabshm_alloc_args alloc;
	struct slabshm_free_args free;
	struct slabshm_block_args block;
	struct slabshm_grow_args grow;
	struct slabshm_trim_args trim;
	struct slabshm_cell_open_args cell_open;
	struct slabshm_cell_remove_args cell_remove;
	struct slabshm_publish_args publish;
	struct slabshm_register_args reg;
	struct slabshm_unregister_args unreg;
	struct slabshm_reader_check_args check;
	struct slabshm_lock_args lock;
	struct slabshm_unlock_args unlock;
	struct slabshm_wait_args wait;
	struct slabshm_watch_args watch;
	struct slabshm_unwatch_args unwatch;
	struct slabshm_events_args events;
	struct slabshm_cancel_args cancel;
	struct slabshm_compact_args compact;
};

#define CMD_SIZE_MASK	((unsigned int)_IOC_SIZEMASK << _IOC_SIZESHIFT)

/* May the client do this?  Who it is comes first: all else is another's, if not. */
static __always_inline int call_admit(struct slabshm_call *call,
				      const struct call_ops *ops,
				      const struct call_head *head)
{
	struct slabshm_client *client = call->client;

	if (unlikely(head->client != READ_ONCE(client->id)) &&
	    (head->client || ops->needs & NEED_SLAB))
		return -ENOTCONN;
	call->slab = slabshm_client_slab(client);
	if (IS_ERR(call->slab) && ops->needs & NEED_SLAB)
		return PTR_ERR(call->slab);
	if (ops->needs & NEED_WRITE && client->rdonly)
		return -EACCES;
	return 0;
}

/* @arg holds @ops->size bytes */
static __always_inline long call_do(struct slabshm_call *call,
				    const struct call_ops *ops, void *arg)
{
	long err;

	if (call->user_size == ops->size)
		err = slabshm_words_in(arg, call->user, ops->size);
	else
		err = copy_struct_from_user(arg, ops->size, call->user,
					    call->user_size);
	if (err)
		return err;
	err = call_admit(call, ops, arg);
	if (err)
		return err;

	if (!(ops->needs & NEED_LIFE))
		return ops->fn(call, arg);
	err = slabshm_client_enter(call->client);
	if (err)
		return err;
	err = ops->fn(call, arg);
	slabshm_client_leave(call->client);
	return err;
}

/* Apart, so that the stack of other calls need not be cleared for it */
static noinline long call_large(struct slabshm_call *call, const struct call_ops *ops)
{
	union call_arg arg;

	return call_do(call, ops, &arg);
}

static long slabshm_ioctl(struct file *file, unsigned int cmd,
			  unsigned long user)
{
	const struct call_ops *ops;
	struct slabshm_call call = {
		.client = file->private_data,
		.user = (void __user *)user,
		.user_size = _IOC_SIZE(cmd),
	};
	u64 small[6];

	if (_IOC_NR(cmd) >= ARRAY_SIZE(calls))
		return -ENOTTY;
	ops = &calls[array_index_nospec(_IOC_NR(cmd), ARRAY_SIZE(calls))];
	if ((cmd ^ ops->cmd) & ~CMD_SIZE_MASK)
		return -ENOTTY;
	if (call.user_size < ops->min_size)
		return -EINVAL;
	if (call.user_size > PAGE_SIZE)
		return -E2BIG;
	call.size = ops->size;

	return ops->size > sizeof(small) ? call_large(&call, ops) :
					   call_do(&call, ops, small);
}

static int slabshm_open(struct inode *inode, struct file *file)
{
	struct slabshm_client *client;

	/* The reader region is mapped for writing, whatever is asked later */
	if ((file->f_mode & (FMODE_READ | FMODE_WRITE)) !=
	    (FMODE_READ | FMODE_WRITE))
		return -EACCES;
	client = slabshm_client_create();
	if (!client)
		return -ENOMEM;
	file->private_data = client;
	return nonseekable_open(inode, file);
}

static int slabshm_release(struct inode *inode, struct file *file)
{
	slabshm_client_release(file->private_data);
	return 0;
}

/* For the address space that attached or any other: it has no effect. */
static __poll_t slabshm_poll(struct file *file, poll_table *table)
{
	struct slabshm_client *client = file->private_data;

	poll_wait(file, &client->watches.wait, table);
	/*
	 * Be on the wait queue, then check; pairs with client_waits().  poll_wait()
	 * has this barrier itself since 6.14, and in later stable kernels
	 */
	smp_mb();
	/* The client's end wakes pollers; then EVENTS is -ENXIO */
	if (READ_ONCE(client->ended))
		return EPOLLHUP;
	return slabshm_watch_pending(client) ? EPOLLIN | EPOLLRDNORM : 0;
}

const struct file_operations slabshm_fops = {
	.owner = THIS_MODULE,
	.open = slabshm_open,
	.release = slabshm_release,
	.unlocked_ioctl = slabshm_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.mmap = slabshm_mmap,
	.poll = slabshm_poll,
	.show_fdinfo = slabshm_show_fdinfo,
	/* no_llseek went away in 6.12; NULL is the same since 6.0 */
};
