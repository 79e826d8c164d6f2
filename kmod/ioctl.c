// SPDX-License-Identifier: GPL-2.0
/*
 * The device: one table of calls, and the one place where their arguments are
 * copied in.
 *
 * Everything from user space is copied before a lock is taken, and judged
 * after it was copied.  Handlers give their results back by call_return(), and
 * undo what they did if that fails.
 */
#include <linux/fault-inject-usercopy.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/pid.h>
#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/time_namespace.h>
#include <linux/uaccess.h>

#include "arena.h"
#include "cell.h"
#include "client.h"
#include "compact.h"
#include "compat.h"
#include "data.h"
#include "ioctl.h"
#include "lock.h"
#include "reader.h"
#include "reclaim.h"
#include "mmap.h"
#include "slab.h"
#include "trace.h"
#include "watch.h"

/**
 * struct call - one ioctl
 * @client: of the file
 * @slab: the client's; for a call that needs none, it may be an error instead
 * @user: the argument in user space
 * @user_size: its size there
 * @size: its size here
 */
struct call {
	struct slabshm_client *client;
	struct slabshm_slab *slab;
	void __user *user;
	size_t user_size;
	size_t size;
};

/*
 * copy_from_user() and copy_to_user() for whole words.  Calls copy little, and
 * often: this takes a tenth of the instructions.  @step: from where one word is
 * put to where the next one is
 */
static __always_inline int words_in_step(void *to, size_t step,
					 const void __user *from, size_t size)
{
	const u64 __user *user = from;
	size_t i, n = size / sizeof(*user);

	if (!IS_ENABLED(CONFIG_HAVE_EFFICIENT_UNALIGNED_ACCESS)) {
		for (i = 0; i < n; i++)
			if (copy_from_user(to + i * step, &user[i],
					   sizeof(*user)))
				return -EFAULT;
		return 0;
	}
	might_fault();
	if (should_fail_usercopy() || !user_read_access_begin(user, size))
		return -EFAULT;
#pragma GCC unroll 8
	for (i = 0; i < n; i++)
		unsafe_get_user(*(u64 *)(to + i * step), &user[i], fault);
	user_read_access_end();
	return 0;
fault:
	user_read_access_end();
	return -EFAULT;
}

static __always_inline int words_in(void *to, const void __user *from,
				    size_t size)
{
	return words_in_step(to, sizeof(u64), from, size);
}

static __always_inline int words_out(void __user *to, const void *from,
				     size_t size)
{
	u64 __user *user = to;
	const u64 *word = from;
	size_t i;

	if (!IS_ENABLED(CONFIG_HAVE_EFFICIENT_UNALIGNED_ACCESS))
		return copy_to_user(to, from, size) ? -EFAULT : 0;
	might_fault();
	if (should_fail_usercopy() || !user_write_access_begin(user, size))
		return -EFAULT;
	for (i = 0; i < size / sizeof(*word); i++)
		unsafe_put_user(word[i], &user[i], fault);
	user_write_access_end();
	return 0;
fault:
	user_write_access_end();
	return -EFAULT;
}

/* Write the argument back, as much of it as the caller knows. */
static int call_return(const struct call *call, const void *arg)
{
	size_t n = min(call->user_size, call->size);

	if (call->user_size == call->size)
		return words_out(call->user, arg, n);
	return copy_to_user(call->user, arg, n) ? -EFAULT : 0;
}

/* A deadline by the clock of the caller's time namespace, by the kernel's. */
static u64 call_deadline(u64 deadline)
{
	struct timespec64 offset = {};
	s64 ahead;

	timens_add_monotonic(&offset);
	ahead = timespec64_to_ns(&offset);
	if (!ahead || !deadline || deadline == SLABSHM_DEADLINE_NEVER)
		return deadline;
	if (ahead > 0)
		return deadline - min_t(u64, deadline, ahead);
	return min(deadline, SLABSHM_DEADLINE_NEVER + ahead) - ahead;
}

static int attach_report(void *ctx, struct slabshm_attach_args *arg)
{
	return call_return(ctx, arg);
}

static int call_attach(struct call *call, void *arg)
{
	struct slabshm_attach_args *attach = arg;
	struct slabshm_client *other = NULL;
	struct file *file = NULL;
	int err;

	if (attach->flags & SLABSHM_ATTACH_FD)
		file = fget(attach->fd);
	if (file && file->f_op == &slabshm_fops)
		other = file->private_data;
	err = slabshm_client_attach(call->client, attach, other, attach_report,
				    call);
	if (file)
		fput(file);
	return err;
}

static int call_unlink(struct call *call, void *arg)
{
	struct slabshm_unlink_args *unlink = arg;

	if (unlink->flags || !slabshm_name_valid(unlink->name, true))
		return -EINVAL;
	return slabshm_slab_unlink(unlink->name);
}

static int call_setattr(struct call *call, void *arg)
{
	return slabshm_slab_setattr(call->slab, arg);
}

static int call_stat(struct call *call, void *arg)
{
	struct slabshm_stat *stat = arg;

	if (stat->flags)
		return -EINVAL;
	*stat = (struct slabshm_stat){ .client = stat->client };
	slabshm_slab_stat(call->slab, stat);
	return call_return(call, stat);
}

static const size_t list_entry_size[] = {
	[SLABSHM_LIST_SLABS] = sizeof(struct slabshm_stat),
	[SLABSHM_LIST_CELLS] = sizeof(struct slabshm_cell_entry),
	[SLABSHM_LIST_CLIENTS] = sizeof(struct slabshm_client_entry),
	[SLABSHM_LIST_READERS] = sizeof(struct slabshm_reader_entry),
	[SLABSHM_LIST_LOCKS] = sizeof(struct slabshm_lock_entry),
};

static int list_some(struct call *call, u32 what, u64 *cursor, void *entries,
		     unsigned int n)
{
	switch (what) {
	case SLABSHM_LIST_SLABS:
		return slabshm_slab_list(cursor, entries, n);
	case SLABSHM_LIST_CELLS:
		return slabshm_cell_list(call->slab, cursor, entries, n);
	case SLABSHM_LIST_CLIENTS:
		return slabshm_client_list(call->slab, cursor, entries, n);
	case SLABSHM_LIST_READERS:
		return slabshm_reader_list(call->slab, cursor, entries, n);
	default:
		return slabshm_lock_list(call->slab, cursor, entries, n);
	}
}

static int call_list(struct call *call, void *arg)
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
		err = call_return(call, list);
out:
	kfree(entries);
	return err;
}

/*
 * Ask the clients' caches for their blocks: each looks at its next call.  A client
 * that is at its own limit may do that once a jiffy, as others pay for it.
 */
static void alloc_press(struct slabshm_slab *slab, bool limit)
{
	struct slabshm_header *header = slab->control.header;

	spin_lock(&slab->arena.lock);
	if (!limit || time_after(jiffies, slab->pressed)) {
		slab->pressed = jiffies;
		/* It says no more than "changed" */
		WRITE_ONCE(header->pressure, header->pressure + 1);
	}
	spin_unlock(&slab->arena.lock);
}

/*
 * So often an allocation waits for what is retired while others take it; and so
 * often, if enough is free but lies apart; and so often readers are evicted for it.
 */
#define RECLAIM_TRIES	16
#define APART_TRIES	4
#define EVICT_TRIES	4

/**
 * struct alloc_wait - an allocation that found no space
 * @bytes: that it needs in all
 * @room: slabshm_slab.room before the last try
 * @freed: slabshm_reclaim.freed before the last try
 * @first: nothing was done for it yet
 * @tries: how often it may still wait for what is retired
 * @evictions: how often readers may still be evicted for it
 * @rooms: how often room may still be made for it, which others may take
 */
struct alloc_wait {
	u64 bytes;
	unsigned long room;
	u64 freed;
	bool first;
	unsigned int tries;
	unsigned int evictions;
	unsigned long rooms;
};

/* Wait for what is retired, if that is more than @least: did something change? */
static bool alloc_reclaim(struct slabshm_slab *slab, struct alloc_wait *wait,
			  unsigned long need, u64 least)
{
	if (!wait->tries)
		return false;
	if (!slabshm_reclaim_now(slab, least) &&
	    READ_ONCE(slab->reclaim.freed) == wait->freed)
		return false;
	wait->tries--;
	/* What comes does not join what is there; or not by waiting */
	if (need > SLABSHM_RUN_PAGES &&
	    slabshm_arena_free_bytes(&slab->arena) >= wait->bytes)
		wait->tries = min(wait->tries, APART_TRIES);
	return true;
}

/* More space for an allocation that found none: 0 to try again, or an error. */
static int alloc_make_room(struct call *call, const struct slabshm_alloc_args *alloc,
			   struct alloc_wait *wait, unsigned long need)
{
	struct slabshm_slab *slab = call->slab;
	bool may_grow = !slab->fixed && !(alloc->flags & SLABSHM_ALLOC_NOGROW);
	bool first = wait->first;
	int err;

	if (fatal_signal_pending(current))
		return -EINTR;
	if (READ_ONCE(call->client->ended))
		return -ENXIO;
	wait->first = false;
	/* Rather wait a little than grow because of what is retired */
	if (first && alloc_reclaim(slab, wait, need,
				   READ_ONCE(slab->size) / 8))
		return 0;
	err = -ENOSPC;
	if (wait->rooms) {
		wait->rooms--;
		err = slabshm_data_make_room(slab, need, alloc->align,
					     DIV_ROUND_UP(wait->bytes,
							  PAGE_SIZE),
					     wait->room, may_grow);
	}
	if (!err || err == -EINTR)
		return err;
	/*
	 * Before it fails: all that is retired; again, if others were faster
	 * and have retired as much since; then what is held.
	 */
	if (alloc_reclaim(slab, wait, need, first ? 0 : wait->bytes - 1))
		return 0;
	if (alloc->flags & SLABSHM_ALLOC_STOCK)
		return err;
	alloc_press(slab, false);
	if (!wait->evictions ||
	    !slabshm_reclaim_evict(slab, wait->bytes,
				   wait->evictions == EVICT_TRIES))
		return err;
	wait->evictions--;
	return 0;
}

static int alloc_rounds(struct call *call, const struct slabshm_alloc_args *alloc,
			struct slabshm_request *req,
			struct slabshm_claim *claim)
{
	bool stock = alloc->flags & SLABSHM_ALLOC_STOCK;
	struct slabshm_slab *slab = call->slab;
	struct alloc_wait wait = {
		.first = true,
		.tries = stock ? 1 : RECLAIM_TRIES,
		.evictions = EVICT_TRIES,
		/* TRIM's leavings are filled again in pieces of 2 MiB */
		.rooms = 64 + 2 * (slab->max_size >> SLABSHM_CHUNK_SHIFT),
	};
	unsigned int i;
	int err;

	for (i = 0; i < alloc->count; i++)
		wait.bytes += req[i].size;
	if (wait.bytes > slab->max_size)
		return -ENOSPC;
	do {
		unsigned long need = 0;

		wait.room = READ_ONCE(slab->room);
		wait.freed = READ_ONCE(slab->reclaim.freed);
		err = slabshm_arena_alloc(&slab->arena, &call->client->owner,
					  req, alloc->count, alloc->align,
					  claim, &need);
		if (err != -ENOSPC)
			break;
		err = alloc_make_room(call, alloc, &wait, need);
	} while (!err);
	return err;
}

/* There is no space at once. */
static noinline int alloc_wait(struct call *call,
			       const struct slabshm_alloc_args *alloc,
			       struct slabshm_request *req,
			       struct slabshm_claim *claim)
{
	struct mutex *turn = &call->slab->reclaim.turn;
	int err;

	/* A cache can do without */
	if (alloc->flags & SLABSHM_ALLOC_STOCK)
		return alloc_rounds(call, alloc, req, claim);
	/*
	 * One at a time, or the last to wake up finds each time that the others
	 * have taken what it waited for.
	 */
	if (mutex_lock_killable(turn))
		return -EINTR;
	err = alloc_rounds(call, alloc, req, claim);
	mutex_unlock(turn);
	return err;
}

/* @claim: NULL; or claims to fill in, as for slabshm_arena_alloc() */
static __always_inline int alloc_blocks(struct call *call,
					const struct slabshm_alloc_args *alloc,
					struct slabshm_request *req,
					unsigned int n,
					struct slabshm_claim *claim)
{
	unsigned long need;
	int err;

	err = slabshm_arena_alloc(&call->slab->arena, &call->client->owner,
				  req, n, alloc->align, claim, &need);
	if (unlikely(err == -ENOSPC) && need != ULONG_MAX)
		err = alloc_wait(call, alloc, req, claim);
	/* Of the client's own threads, too, some may have what others lack */
	if (unlikely(err == -EDQUOT) && !(alloc->flags & SLABSHM_ALLOC_STOCK))
		alloc_press(call->slab, true);
	return err;
}

/* The call failed: its blocks go back, if another thread did not guess them. */
static noinline void alloc_undo(struct call *call,
				const struct slabshm_request *req,
				unsigned int n)
{
	struct slabshm_claim claim;
	unsigned int i, failed;

	for (i = 0; i < n; i++) {
		claim.offset = req[i].offset;
		slabshm_arena_free(&call->slab->arena, &call->client->owner,
				   &claim, 1, &failed);
	}
}

static __always_inline int alloc_call(struct call *call,
				      const struct slabshm_alloc_args *alloc,
				      struct slabshm_request *req,
				      unsigned int n)
{
	void __user *blocks = u64_to_user_ptr(alloc->blocks);
	unsigned int i;
	int err;

	BUILD_BUG_ON(sizeof(*req) != sizeof(struct slabshm_block));
	if (words_in(req, blocks, n * sizeof(*req)))
		return -EFAULT;
	err = alloc_blocks(call, alloc, req, n, NULL);
	if (err)
		return err;
	if (alloc->flags & SLABSHM_ALLOC_ZERO) {
		for (i = 0; i < n && !err; i++)
			err = slabshm_data_set(call->slab, req[i].offset,
					       req[i].size, 0);
	}
	if (!err)
		err = words_out(blocks, req, n * sizeof(*req));
	if (err) {
		alloc_undo(call, req, n);
		return err;
	}
	trace_slabshm_alloc(call->client, n, req[0].offset);
	return 0;
}

/*
 * The compiler clears what is on the stack: calls for one block need not pay for
 * the room of 64.
 */
static noinline int alloc_many(struct call *call,
			       const struct slabshm_alloc_args *alloc)
{
	struct slabshm_request req[SLABSHM_BATCH_MAX];

	return alloc_call(call, alloc, req, alloc->count);
}

static noinline int alloc_one(struct call *call,
			      const struct slabshm_alloc_args *alloc)
{
	struct slabshm_request req;

	return alloc_call(call, alloc, &req, 1);
}

static int call_alloc(struct call *call, void *arg)
{
	const struct slabshm_alloc_args *alloc = arg;

	if (alloc->flags & ~(SLABSHM_ALLOC_ZERO | SLABSHM_ALLOC_NOGROW |
			     SLABSHM_ALLOC_STOCK) ||
	    !alloc->count || alloc->count > SLABSHM_BATCH_MAX ||
	    alloc->pad)
		return -EINVAL;
	return alloc->count == 1 ? alloc_one(call, alloc) :
				   alloc_many(call, alloc);
}

static __always_inline int free_call(struct call *call,
				     struct slabshm_free_args *free,
				     struct slabshm_claim *claim,
				     unsigned int n)
{
	int err;

	if (words_in_step(&claim->offset, sizeof(*claim),
			  u64_to_user_ptr(free->offsets), n * sizeof(u64)))
		return -EFAULT;
	err = slabshm_arena_free(&call->slab->arena, &call->client->owner,
				 claim, n, &free->failed);
	if (err)
		return call_return(call, free) ?: err;
	trace_slabshm_free(call->client, n, claim[0].offset);
	return 0;
}

static noinline int free_many(struct call *call, struct slabshm_free_args *free)
{
	struct slabshm_claim claim[SLABSHM_BATCH_MAX];

	return free_call(call, free, claim, free->count);
}

static noinline int free_one(struct call *call, struct slabshm_free_args *free)
{
	struct slabshm_claim claim;

	return free_call(call, free, &claim, 1);
}

static int call_free(struct call *call, void *arg)
{
	struct slabshm_free_args *free = arg;

	if (free->flags || !free->count || free->count > SLABSHM_BATCH_MAX)
		return -EINVAL;
	return free->count == 1 ? free_one(call, free) : free_many(call, free);
}

static int call_block(struct call *call, void *arg)
{
	struct slabshm_block_args *info = arg;
	struct slabshm_block_desc desc;
	int err;

	if (info->flags || info->pad)
		return -EINVAL;
	err = slabshm_arena_find(&call->slab->arena, info->offset, &desc);
	if (err)
		return err;
	info->start = desc.start;
	info->size = desc.size;
	info->state = !desc.owner ? SLABSHM_BLOCK_PUBLISHED :
		      desc.owner == &call->client->owner ? SLABSHM_BLOCK_OWN :
		      SLABSHM_BLOCK_FOREIGN;
	return call_return(call, info);
}

static int call_grow(struct call *call, void *arg)
{
	struct slabshm_grow_args *grow = arg;
	int err;

	if (grow->flags)
		return -EINVAL;
	/* Growth cannot be undone: see first that it can be told */
	err = call_return(call, grow);
	if (err)
		return err;
	err = slabshm_data_grow(call->slab, grow->size, false);
	grow->size = READ_ONCE(call->slab->size);
	return call_return(call, grow) ?: err;
}

static int call_trim(struct call *call, void *arg)
{
	struct slabshm_trim_args *trim = arg;
	int err;

	if (trim->flags)
		return -EINVAL;
	/* As for growth */
	err = call_return(call, trim);
	if (err)
		return err;
	slabshm_reclaim_now(call->slab, 0);
	err = slabshm_data_trim(call->slab, trim->bytes, &trim->bytes);
	return err ?: call_return(call, trim);
}

static int call_compact(struct call *call, void *arg)
{
	struct slabshm_compact_args *compact = arg;
	int err;

	if (compact->flags)
		return -EINVAL;
	/* As for growth */
	err = call_return(call, compact);
	if (err)
		return err;
	/* Blocks that clients keep in stock hold their runs back */
	if (!compact->cursor)
		alloc_press(call->slab, true);
	err = slabshm_compact(call->client, compact->bytes, &compact->cursor,
			      &compact->bytes);
	if (err)
		return err;
	slabshm_reclaim_now(call->slab, 0);
	return call_return(call, compact);
}

static int call_cell_open(struct call *call, void *arg)
{
	struct slabshm_cell_open_args *open = arg;
	bool created, entered = false;
	int err;

	if (open->flags & ~(SLABSHM_CELL_CREATE | SLABSHM_CELL_EXCL |
			    SLABSHM_CELL_MOVABLE) ||
	    (open->flags && !(open->flags & SLABSHM_CELL_CREATE)) || open->pad ||
	    !slabshm_name_valid(open->name, false))
		return -EINVAL;
	if (open->flags & SLABSHM_CELL_CREATE && !call->client->rdonly) {
		err = slabshm_client_enter(call->client);
		if (err)
			return err;
		entered = true;
		/* As for growth: undoing it would be seen in the clock */
		err = call_return(call, open);
		if (err)
			goto leave;
	}
	err = slabshm_cell_open(call->slab, !call->client->rdonly, open,
				&created);
	if (!err) {
		err = call_return(call, open);
		if (err && created)
			slabshm_cell_remove(call->slab, call->client,
					    open->cell, open->generation);
	}
leave:
	if (entered)
		slabshm_client_leave(call->client);
	return err;
}

static int call_cell_remove(struct call *call, void *arg)
{
	struct slabshm_cell_remove_args *remove = arg;

	if (remove->flags || remove->pad)
		return -EINVAL;
	return slabshm_cell_remove(call->slab, call->client, remove->cell,
				   remove->generation);
}

/**
 * struct publish_fresh - a publish that returns fresh blocks
 * @p: the publish
 * @call: the ioctl
 * @user: where the blocks are told
 * @req: room for as many as there are cells
 */
struct publish_fresh {
	struct slabshm_publish_call p;
	struct call *call;
	struct slabshm_block __user *user;
	struct slabshm_request *req;
};

/*
 * The blocks stay claimed until the publish has committed or failed: another
 * thread that sees their offsets early can do nothing with them.
 */
static int publish_fresh(struct slabshm_publish_call *p,
			 const struct slabshm_claim *root, unsigned int nroots,
			 bool wait)
{
	struct publish_fresh *fresh = container_of(p, struct publish_fresh, p);
	struct slabshm_alloc_args alloc = { .count = nroots };
	struct slabshm_slab *slab = fresh->call->slab;
	const struct slabshm_request none = {};
	unsigned int i, n = 0;
	unsigned long need;
	int err = 0;

	for (i = 0; i < nroots; i++)
		fresh->req[i].size = root[i].size;
	if (wait)
		err = alloc_blocks(fresh->call, &alloc, fresh->req, nroots,
				   p->fresh_claim);
	else if (nroots)
		err = slabshm_arena_alloc(&slab->arena,
					  &fresh->call->client->owner,
					  fresh->req, nroots, 0,
					  p->fresh_claim, &need);
	if (err)
		return err;
	for (i = 0; i < p->ncells && !err; i++)
		err = words_out(&fresh->user[i], p->cells[i].block ?
				&fresh->req[n++] : &none, sizeof(none));
	if (err)
		slabshm_arena_free_claimed(&slab->arena, p->fresh_claim,
					   nroots);
	else
		p->nfresh = nroots;
	return err;
}

static __always_inline int publish_one(struct call *call,
				       struct slabshm_publish_args *publish)
{
	struct slabshm_publish_cell cell;
	struct slabshm_publish_call p = {
		.cells = &cell,
		.ncells = 1,
		.commit = publish->commit,
	};
	int err;

	err = words_in(&cell, u64_to_user_ptr(publish->cells), sizeof(cell));
	if (err)
		return err;
	err = slabshm_cell_publish(call->client, &p);
	publish->failed = p.failed;
	publish->commit = p.commit;
	return err;
}

static noinline int publish_one_fresh(struct call *call,
				      struct slabshm_publish_args *publish)
{
	struct slabshm_publish_cell cell;
	struct slabshm_request req;
	struct slabshm_claim claim;
	struct publish_fresh fresh = {
		.p = {
			.cells = &cell,
			.ncells = 1,
			.fresh = publish_fresh,
			.fresh_claim = &claim,
			.commit = publish->commit,
		},
		.call = call,
		.user = u64_to_user_ptr(publish->fresh),
		.req = &req,
	};
	int err;

	err = words_in(&cell, u64_to_user_ptr(publish->cells), sizeof(cell));
	if (err)
		return err;
	err = slabshm_cell_publish(call->client, &fresh.p);
	publish->failed = fresh.p.failed;
	publish->commit = fresh.p.commit;
	return err;
}

static noinline int publish_many(struct call *call,
				 struct slabshm_publish_args *publish)
{
	struct slabshm_publish_room *room = slabshm_publish_room_get();
	struct publish_fresh fresh;
	int err;

	if (!room)
		return -ENOMEM;
	fresh = (struct publish_fresh){
		.p = {
			.cells = room->cells,
			.parts = room->parts,
			.ncells = publish->ncells,
			.nparts = publish->nparts,
			.room = room,
			.fresh_claim = room->fresh,
			.commit = publish->commit,
		},
		.call = call,
		.user = u64_to_user_ptr(publish->fresh),
		.req = room->req,
	};
	if (publish->flags & SLABSHM_PUBLISH_FRESH)
		fresh.p.fresh = publish_fresh;
	err = words_in(room->cells, u64_to_user_ptr(publish->cells),
		       publish->ncells * sizeof(*room->cells));
	if (!err && publish->nparts)
		err = words_in(room->parts, u64_to_user_ptr(publish->parts),
			       publish->nparts * sizeof(*room->parts));
	if (!err) {
		err = slabshm_cell_publish(call->client, &fresh.p);
		publish->failed = fresh.p.failed;
		publish->commit = fresh.p.commit;
	}
	slabshm_publish_room_put(room);
	return err;
}

static int call_publish(struct call *call, void *arg)
{
	struct slabshm_publish_args *publish = arg;
	bool fresh = publish->flags & SLABSHM_PUBLISH_FRESH;
	int err = -EINVAL;

	publish->failed = U32_MAX;
	if (publish->flags & ~SLABSHM_PUBLISH_FRESH || !publish->ncells ||
	    publish->ncells > SLABSHM_BATCH_MAX ||
	    publish->nparts > SLABSHM_BATCH_MAX ||
	    (publish->fresh && !fresh))
		goto out;
	if (publish->ncells > 1 || publish->nparts)
		err = publish_many(call, publish);
	else if (fresh)
		err = publish_one_fresh(call, publish);
	else
		err = publish_one(call, publish);
out:
	/* Best effort: a publish is not undone, a refusal has its own error */
	if (err)
		call_return(call, publish);
	else
		words_out(call->user + offsetof(struct slabshm_publish_args, ncells),
			  &publish->ncells,
			  offsetofend(struct slabshm_publish_args, commit) -
			  offsetof(struct slabshm_publish_args, ncells));
	return err;
}

static int call_register(struct call *call, void *arg)
{
	struct slabshm_register_args *reg = arg;
	int err;

	if (reg->flags || reg->pad)
		return -EINVAL;
	err = slabshm_reader_register(call->client, &reg->slot);
	if (err)
		return err;
	err = call_return(call, reg);
	if (err)
		slabshm_reader_unregister(call->client, reg->slot);
	return err;
}

static int call_unregister(struct call *call, void *arg)
{
	struct slabshm_unregister_args *unreg = arg;

	if (unreg->flags || unreg->pad)
		return -EINVAL;
	return slabshm_reader_unregister(call->client, unreg->slot);
}

static int call_reader_check(struct call *call, void *arg)
{
	struct slabshm_reader_check_args *check = arg;

	if (check->flags || check->pad)
		return -EINVAL;
	return slabshm_reader_check(call->client, check->slot, check->lo);
}

/* What a cell's flags may say, in a call that does not ask for it, too */
#define LOCK_CELL_FLAGS	(SLABSHM_LOCKED_OWNERDEAD | SLABSHM_UNLOCK_CONSISTENT)

static __always_inline int lock_call(struct call *call,
				     struct slabshm_lock_args *lock,
				     struct slabshm_lock_cell *cells,
				     unsigned int n)
{
	void __user *user = u64_to_user_ptr(lock->cells);
	size_t size = n * sizeof(*cells);
	bool tell = false;
	unsigned int i;
	u32 unused;
	int err;

	if (words_in(cells, user, size))
		return -EFAULT;
	lock->failed = U32_MAX;
	for (i = 0; i < n; i++) {
		if (cells[i].flags & ~LOCK_CELL_FLAGS) {
			lock->failed = i;
			call_return(call, lock);
			return -EINVAL;
		}
		tell |= cells[i].flags;
	}
	err = slabshm_lock_cells(call->client, cells, n,
				 lock->flags & SLABSHM_LOCK_TRY,
				 call_deadline(lock->deadline), &lock->failed);
	if (err && err != -EOWNERDEAD) {
		call_return(call, lock);
		return err;
	}
	/* Mostly no flag was set, and none is */
	if ((!err && !tell) || !copy_to_user(user, cells, size))
		return err;
	/* As it was: nobody has said that it is consistent */
	for (i = 0; i < n; i++) {
		cells[i].flags = 0;
		slabshm_unlock_cells(call->client, &cells[i], 1, &unused);
	}
	return -EFAULT;
}

/* As with ALLOC, a call for one need not clear the stack of 64 */
static noinline int lock_many(struct call *call, struct slabshm_lock_args *lock)
{
	struct slabshm_lock_cell cells[SLABSHM_BATCH_MAX];

	return lock_call(call, lock, cells, lock->count);
}

static noinline int lock_single(struct call *call, struct slabshm_lock_args *lock)
{
	struct slabshm_lock_cell cell;

	return lock_call(call, lock, &cell, 1);
}

static int call_lock(struct call *call, void *arg)
{
	struct slabshm_lock_args *lock = arg;

	if (lock->flags & ~SLABSHM_LOCK_TRY || !lock->count ||
	    lock->count > SLABSHM_BATCH_MAX ||
	    (lock->flags & SLABSHM_LOCK_TRY && lock->deadline))
		return -EINVAL;
	return lock->count == 1 ? lock_single(call, lock) :
				  lock_many(call, lock);
}

static __always_inline int unlock_call(struct call *call,
				       struct slabshm_unlock_args *unlock,
				       struct slabshm_lock_cell *cells,
				       unsigned int n)
{
	unsigned int i;
	int err = 0;

	if (words_in(cells, u64_to_user_ptr(unlock->cells), n * sizeof(*cells)))
		return -EFAULT;
	for (i = 0; i < n && !err; i++) {
		if (cells[i].flags & ~LOCK_CELL_FLAGS) {
			unlock->failed = i;
			err = -EINVAL;
		}
	}
	if (!err)
		err = slabshm_unlock_cells(call->client, cells, n,
					   &unlock->failed);
	if (err)
		call_return(call, unlock);
	return err;
}

static noinline int unlock_many(struct call *call, struct slabshm_unlock_args *unlock)
{
	struct slabshm_lock_cell cells[SLABSHM_BATCH_MAX];

	return unlock_call(call, unlock, cells, unlock->count);
}

static noinline int unlock_single(struct call *call,
				  struct slabshm_unlock_args *unlock)
{
	struct slabshm_lock_cell cell;

	return unlock_call(call, unlock, &cell, 1);
}

static int call_unlock(struct call *call, void *arg)
{
	struct slabshm_unlock_args *unlock = arg;

	if (unlock->flags & ~SLABSHM_UNLOCK_THREAD ||
	    unlock->count > SLABSHM_BATCH_MAX ||
	    !unlock->count != !!(unlock->flags & SLABSHM_UNLOCK_THREAD))
		return -EINVAL;
	if (unlock->flags & SLABSHM_UNLOCK_THREAD) {
		slabshm_lock_release(call->client, task_pid(current));
		return 0;
	}
	return unlock->count == 1 ? unlock_single(call, unlock) :
				    unlock_many(call, unlock);
}

static int call_wait(struct call *call, void *arg)
{
	struct slabshm_wait_cell cells[SLABSHM_BATCH_MAX];
	struct slabshm_wait_args *wait = arg;
	void __user *user = u64_to_user_ptr(wait->cells);
	size_t size = wait->count * sizeof(*cells);
	unsigned int i;
	int err = 0;

	if (wait->flags || !wait->count || wait->count > SLABSHM_BATCH_MAX)
		return -EINVAL;
	if (copy_from_user(cells, user, size))
		return -EFAULT;
	wait->failed = U32_MAX;
	for (i = 0; i < wait->count && !err; i++) {
		if (cells[i].flags & ~SLABSHM_WAIT_CHANGED) {
			wait->failed = i;
			err = -EINVAL;
		}
	}
	if (!err)
		err = slabshm_watch_wait(call->client, cells, wait->count,
					 call_deadline(wait->deadline),
					 &wait->failed);
	if (!err)
		return copy_to_user(user, cells, size) ? -EFAULT : 0;
	call_return(call, wait);
	return err;
}

static int call_watch(struct call *call, void *arg)
{
	struct slabshm_watch_args *watch = arg;
	bool all = watch->flags & SLABSHM_WATCH_ALL;
	int err;

	if (watch->flags & ~(SLABSHM_WATCH_ALL | SLABSHM_WATCH_SINCE) ||
	    watch->pad ||
	    (all && (watch->cell || watch->generation)) ||
	    (watch->version && !(watch->flags & SLABSHM_WATCH_SINCE)))
		return -EINVAL;
	/* Not undone: another thread may end the watch and make it anew */
	err = call_return(call, watch) ?:
	      slabshm_watch_add(call->client, watch);
	if (!err)
		call_return(call, watch);
	return err;
}

static int call_unwatch(struct call *call, void *arg)
{
	struct slabshm_unwatch_args *unwatch = arg;
	bool all = unwatch->flags & SLABSHM_WATCH_ALL;

	if (unwatch->flags & ~SLABSHM_WATCH_ALL || unwatch->pad ||
	    (all && (unwatch->cell || unwatch->generation)))
		return -EINVAL;
	if (!all && unwatch->cell == SLABSHM_ALL_CELLS)
		return -ENOENT;
	return slabshm_watch_remove(call->client,
				    all ? SLABSHM_ALL_CELLS : unwatch->cell,
				    unwatch->generation);
}

static int events_report(void *ctx, struct slabshm_events_args *arg,
			 const struct slabshm_event *event)
{
	if (copy_to_user(u64_to_user_ptr(arg->events), event,
			 arg->count * sizeof(*event)))
		return -EFAULT;
	return call_return(ctx, arg);
}

static int call_events(struct call *call, void *arg)
{
	struct slabshm_events_args *events = arg;

	if (events->flags || events->pad)
		return -EINVAL;
	return slabshm_watch_events(call->client, events,
				    call_deadline(events->deadline),
				    events_report, call);
}

static int call_cancel(struct call *call, void *arg)
{
	struct slabshm_cancel_args *cancel = arg;

	if (cancel->flags & ~SLABSHM_CANCEL_ON)
		return -EINVAL;
	return slabshm_client_cancel(call->client,
				     cancel->flags & SLABSHM_CANCEL_ON);
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
	int (*fn)(struct call *call, void *arg);
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
		.fn = call_##_name,					\
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
	CALL(PUBLISH, publish, publish_args, fresh, NEED_ALL),
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
static __always_inline int call_admit(struct call *call,
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

/* @arg has room for @ops->size */
static __always_inline long call_do(struct call *call,
				    const struct call_ops *ops, void *arg)
{
	long err;

	if (call->user_size == ops->size)
		err = words_in(arg, call->user, ops->size);
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
static noinline long call_large(struct call *call, const struct call_ops *ops)
{
	union call_arg arg;

	return call_do(call, ops, &arg);
}

static long slabshm_ioctl(struct file *file, unsigned int cmd,
			  unsigned long user)
{
	const struct call_ops *ops;
	struct call call = {
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
	 * Who waits, and then the look; pairs with client_waits().  poll_wait()
	 * has this barrier itself since 6.14, and in later stable kernels
	 */
	smp_mb();
	/* Its end wakes who polls; then EVENTS is -ENXIO */
	if (READ_ONCE(client->ended))
		return EPOLLHUP;
	return slabshm_watch_pending(client) ? EPOLLIN | EPOLLRDNORM : 0;
}

static void slabshm_show_fdinfo(struct seq_file *m, struct file *file)
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
