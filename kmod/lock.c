// SPDX-License-Identifier: GPL-2.0
/*
 * Locks of cells.  See lock.h.
 */
#include <linux/hrtimer.h>
#include <linux/ktime.h>
#include <linux/list.h>
#include <linux/pid.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/sort.h>

#include "cell.h"
#include "client.h"
#include "lock.h"
#include "slab.h"
#include "trace.h"

/*
 * Who waits looks so often whether the holder is alive: the next in line soon,
 * those behind it in case that it gives up.
 */
#define LOOK_FIRST	(100 * NSEC_PER_MSEC)
#define LOOK_BEHIND	NSEC_PER_SEC

static struct slabshm_locker *queue_first(struct slabshm_queue *queue)
{
	return list_first_entry_or_null(&queue->lockers, struct slabshm_locker,
					link);
}

static void locker_free(struct slabshm_locker *locker)
{
	put_pid(locker->pid);
	kfree(locker);
}

/*
 * Leave the queue, be it as the holder or as one who waited.  The next one has the
 * lock then, or finds that the cell was removed.
 */
static void locker_leave(struct slabshm_cells *cells,
			 struct slabshm_locker *locker)
{
	struct slabshm_queue *queue = locker->queue;
	bool first = list_is_first(&locker->link, &queue->lockers);

	lockdep_assert_held(&cells->lock);

	list_del(&locker->link);
	list_del_init(&locker->held);
	rb_erase(&locker->node, &cells->lockers);
	if (!first)
		return;
	locker = queue_first(queue);
	if (locker)
		wake_up_process(locker->task);	/* it waits, so it has one */
	else if (queue->removed)
		kfree(queue);
}

/* If the holder's thread has ended without a word, the lock is the next one's. */
static void queue_reap(struct slabshm_slab *slab, struct slabshm_queue *queue)
{
	struct slabshm_locker *holder = queue_first(queue);

	lockdep_assert_held(&slab->cells.lock);

	if (!holder || holder->task ||
	    !slabshm_thread_dead(holder->client, holder->pid))
		return;
	queue->inconsistent = true;
	trace_slabshm_lock_dead(slab, holder->cell, holder->client);
	locker_leave(&slab->cells, holder);
	locker_free(holder);
}

static bool locker_is_mine(const struct slabshm_locker *locker,
			   const struct slabshm_client *client)
{
	return locker->client == client && locker->pid == task_pid(current);
}

static void cells_add_locker(struct slabshm_cells *cells,
			     struct slabshm_locker *locker)
{
	struct rb_node **link = &cells->lockers.rb_node, *parent = NULL;

	lockdep_assert_held(&cells->lock);

	/* The last one has the largest id */
	while (*link) {
		parent = *link;
		link = &parent->rb_right;
	}
	locker->id = ++cells->last_locker;
	rb_link_node(&locker->node, parent, link);
	rb_insert_color(&locker->node, &cells->lockers);
}

/* Sleep until it is @locker's turn; it is in the queue. */
static int locker_wait(struct slabshm_slab *slab, struct slabshm_locker *locker,
		       unsigned int cancels, u64 deadline)
	__releases(&slab->cells.lock)
	__acquires(&slab->cells.lock)
{
	struct slabshm_cells *cells = &slab->cells;
	struct slabshm_queue *queue = locker->queue;
	struct slabshm_client *client = locker->client;
	DEFINE_WAIT(wait);
	int err = 0;

	lockdep_assert_held(&cells->lock);

	for (;;) {
		bool next = list_is_first(locker->link.prev, &queue->lockers);
		u64 now = ktime_get_ns();
		ktime_t look;

		/*
		 * Before the looks, and before the lock is dropped: who wakes us
		 * needs it, or has changed the client before
		 */
		prepare_to_wait(&client->watches.ended, &wait,
				TASK_INTERRUPTIBLE);
		if (queue->removed)
			err = -EIDRM;
		else if (queue_first(queue) == locker)
			break;
		else if (slabshm_client_waits(client, cancels))
			err = slabshm_client_waits(client, cancels);
		else if (signal_pending(current))
			err = -ERESTARTSYS;
		else if (now >= deadline)
			err = -ETIMEDOUT;
		if (err)
			break;

		spin_unlock(&cells->lock);
		look = ns_to_ktime(now + (next ? LOOK_FIRST : LOOK_BEHIND));
		if (deadline < look)
			look = ns_to_ktime(deadline);
		schedule_hrtimeout_range(&look, current->timer_slack_ns,
					 HRTIMER_MODE_ABS);
		spin_lock(&cells->lock);
		/* Of a removed cell nobody holds the lock, and each leaves */
		if (!queue->removed)
			queue_reap(slab, queue);
	}
	finish_wait(&client->watches.ended, &wait);
	return err;
}

static int lock_one(struct slabshm_client *client,
		    struct slabshm_lock_cell *cell, bool try,
		    unsigned int cancels, u64 deadline)
{
	struct slabshm_slab *slab = client->slab;
	struct slabshm_cells *cells = &slab->cells;
	struct slabshm_locker *locker, *holder;
	struct slabshm_queue *queue;
	int err;

	locker = kzalloc(sizeof(*locker), SLABSHM_GFP);
	if (!locker)
		return -ENOMEM;
	INIT_LIST_HEAD(&locker->held);
	locker->client = client;
	locker->pid = get_pid(task_pid(current));
	locker->task = current;
	locker->cell = cell->cell;
	locker->generation = cell->generation;
	locker->since = ktime_get_ns();
	err = slabshm_cell_queue_get(cells, cell->cell, cell->generation);
	if (err)
		goto free;

	spin_lock(&cells->lock);
	queue = slabshm_cell_queue(cells, cell->cell, cell->generation);
	err = PTR_ERR_OR_ZERO(queue);
	if (err)
		goto unlock;
	queue_reap(slab, queue);
	holder = queue_first(queue);
	if (holder && locker_is_mine(holder, client))
		err = -EDEADLK;
	else if (holder && try)
		err = -EBUSY;
	if (!err) {
		locker->queue = queue;
		list_add_tail(&locker->link, &queue->lockers);
		cells_add_locker(cells, locker);
	}
	/* While somebody is in it, it stays by itself */
	slabshm_cell_queue_put(cells, cell->cell, cell->generation);
	if (err)
		goto unlock;
	if (holder) {
		err = locker_wait(slab, locker, cancels, deadline);
		if (err) {
			locker_leave(cells, locker);
			goto unlock;
		}
		locker->since = ktime_get_ns();
	}
	locker->task = NULL;
	list_add(&locker->held, &client->locks);
	cell->flags = queue->inconsistent ? SLABSHM_LOCKED_OWNERDEAD : 0;
	trace_slabshm_lock(slab, cell->cell, client);
unlock:
	spin_unlock(&cells->lock);
free:
	if (err)
		locker_free(locker);
	return err;
}

static int cell_cmp(const void *a, const void *b)
{
	const struct slabshm_lock_cell *x = *(void **)a, *y = *(void **)b;

	if (x->cell != y->cell)
		return x->cell < y->cell ? -1 : 1;
	/* At most one of these is there still */
	if (x->generation != y->generation)
		return x->generation < y->generation ? -1 : 1;
	return x < y ? -1 : x > y;	/* the later one is refused */
}

/**
 * slabshm_lock_cells() - lock cells for the calling thread, all or none
 * @client: the thread's; entered
 * @cell: the cells; their flags say whose holder has died
 * @n: 1 to %SLABSHM_BATCH_MAX
 * @try: do not wait
 * @deadline: until when to wait, in ns of CLOCK_MONOTONIC
 * @failed: on error set to the index of the cell that was refused
 *
 * Context: may sleep, for as long as somebody else likes; holds nothing then but
 * the locks that come before in the order.  Takes the commit lock.
 * Return: 0, -EOWNERDEAD if that is in the flags of one of them; -ERESTARTSYS for
 * a signal, else as struct slabshm_lock says.
 */
int slabshm_lock_cells(struct slabshm_client *client,
		       struct slabshm_lock_cell *cell, unsigned int n, bool try,
		       u64 deadline, u32 *failed)
{
	struct slabshm_lock_cell *order[SLABSHM_BATCH_MAX];
	unsigned int cancels = READ_ONCE(client->cancels);
	bool dead = false;
	unsigned int i;
	int err = 0;

	for (i = 0; i < n; i++)
		order[i] = &cell[i];
	sort(order, n, sizeof(*order), cell_cmp, NULL);
	for (i = 1; i < n; i++) {
		if (order[i]->cell == order[i - 1]->cell &&
		    order[i]->generation == order[i - 1]->generation) {
			*failed = order[i] - cell;
			return -EINVAL;
		}
	}
	for (i = 0; i < n; i++) {
		err = lock_one(client, order[i], try, cancels, deadline);
		if (err)
			break;
		dead |= order[i]->flags & SLABSHM_LOCKED_OWNERDEAD;
	}
	if (!err)
		return dead ? -EOWNERDEAD : 0;
	*failed = order[i] - cell;
	while (i--) {
		u32 unused;

		/* As it was; if the cell is gone meanwhile, so is the lock */
		order[i]->flags = 0;
		slabshm_unlock_cells(client, order[i], 1, &unused);
	}
	return err;
}

/* The calling thread's lock of a cell, which it is to hold. */
static struct slabshm_locker *lock_mine(struct slabshm_client *client,
					const struct slabshm_lock_cell *cell)
{
	struct slabshm_queue *queue;
	struct slabshm_locker *holder;

	queue = slabshm_cell_queue(&client->slab->cells, cell->cell,
				   cell->generation);
	if (IS_ERR(queue))
		return ERR_CAST(queue);
	holder = queue ? queue_first(queue) : NULL;
	if (!holder || !locker_is_mine(holder, client))
		return ERR_PTR(-EPERM);
	return holder;
}

/**
 * slabshm_unlock_cells() - release locks of the calling thread, all or none
 * @client: the thread's; entered
 * @cell: the cells; %SLABSHM_UNLOCK_CONSISTENT in their flags
 * @n: 1 to %SLABSHM_BATCH_MAX
 * @failed: on error set to the index of the cell that was refused
 *
 * Context: takes the commit lock.
 * Return: as struct slabshm_unlock says.
 */
int slabshm_unlock_cells(struct slabshm_client *client,
			 const struct slabshm_lock_cell *cell, unsigned int n,
			 u32 *failed)
{
	struct slabshm_slab *slab = client->slab;
	struct slabshm_locker *mine[SLABSHM_BATCH_MAX];
	unsigned int i, named;
	int err = 0;

	spin_lock(&slab->cells.lock);
	for (named = 0; named < n; named++) {
		struct slabshm_locker *locker = lock_mine(client, &cell[named]);

		err = PTR_ERR_OR_ZERO(locker);
		if (!err && locker->named)
			err = -EINVAL;
		if (err) {
			*failed = named;
			break;
		}
		locker->named = true;
		mine[named] = locker;
	}
	for (i = 0; i < named; i++) {
		mine[i]->named = false;
		if (!err)
			slabshm_lock_unlock(slab, mine[i]->queue,
					    cell[i].flags &
					    SLABSHM_UNLOCK_CONSISTENT);
	}
	spin_unlock(&slab->cells.lock);
	return err;
}

/**
 * slabshm_lock_release() - release all locks of a client or of one of its threads
 * @client: whose
 * @pid: the thread, which is current; NULL for all, when no call is under way
 *
 * As if their holder had died.
 *
 * Context: may sleep; takes release_lock, and the commit lock for 64 locks at a
 * time.
 */
void slabshm_lock_release(struct slabshm_client *client, struct pid *pid)
{
	struct slabshm_slab *slab = client->slab;
	struct slabshm_cells *cells = &slab->cells;
	struct slabshm_locker *locker, *next;
	LIST_HEAD(locks);
	unsigned int n;

	/* Else one would not see what another has spliced out */
	mutex_lock(&client->release_lock);
	spin_lock(&cells->lock);
	list_splice_init(&client->locks, &locks);
	while (!list_empty(&locks)) {
		n = 0;
		list_for_each_entry_safe(locker, next, &locks, held) {
			if (n++ == SLABSHM_BATCH_MAX)
				break;
			if (pid && locker->pid != pid) {
				list_move(&locker->held, &client->locks);
				continue;
			}
			locker->queue->inconsistent = true;
			trace_slabshm_lock_dead(slab, locker->cell, client);
			locker_leave(cells, locker);
			locker_free(locker);
		}
		spin_unlock(&cells->lock);
		cond_resched();
		spin_lock(&cells->lock);
	}
	spin_unlock(&cells->lock);
	mutex_unlock(&client->release_lock);
}

/**
 * slabshm_lock_check() - may the calling thread change this cell?
 * @slab: whose
 * @queue: of the cell; NULL if it was never locked or watched
 * @client: the thread's
 * @must_hold: it wants to release the lock
 *
 * Context: the commit lock is held.
 * Return: 0; -EPERM it does not hold the lock, but must; -EBUSY another does, and
 * the slab's locks are mandatory.
 */
int slabshm_lock_check(struct slabshm_slab *slab, struct slabshm_queue *queue,
		       struct slabshm_client *client, bool must_hold)
{
	struct slabshm_locker *holder;

	if (!queue)
		return must_hold ? -EPERM : 0;
	queue_reap(slab, queue);
	holder = queue_first(queue);
	if (holder && locker_is_mine(holder, client))
		return 0;
	if (must_hold)
		return -EPERM;
	return holder && slab->mandatory ? -EBUSY : 0;
}

/**
 * slabshm_lock_unlock() - the holder of a lock releases it
 * @slab: whose
 * @queue: of the cell; the calling thread holds the lock
 * @consistent: what it protects is right, whatever holders before have left
 *
 * Context: the commit lock is held.
 */
void slabshm_lock_unlock(struct slabshm_slab *slab, struct slabshm_queue *queue,
			 bool consistent)
{
	struct slabshm_locker *holder = queue_first(queue);

	if (consistent)
		queue->inconsistent = false;
	trace_slabshm_unlock(slab, holder->cell, holder->client);
	locker_leave(&slab->cells, holder);
	locker_free(holder);
}

/**
 * slabshm_lock_cell_removed() - a cell is gone, and its lock with it
 * @slab: whose
 * @queue: of the cell, which does not lead to it any more; its watchers are taken
 *	out.  Is freed, at once or by the last of those who wait
 *
 * Context: the commit lock is held.
 */
void slabshm_lock_cell_removed(struct slabshm_slab *slab,
			       struct slabshm_queue *queue)
{
	struct slabshm_locker *first = queue_first(queue);

	queue->removed = true;
	if (!first) {
		kfree(queue);
	} else if (!first->task) {
		locker_leave(&slab->cells, first);	/* and wakes the next */
		locker_free(first);
	} else {
		/* It has been given the lock and does not know yet */
		wake_up_process(first->task);
	}
}

/**
 * slabshm_lock_list() - some of the holders of a slab's locks, and who waits
 * @slab: whose
 * @cursor: id of the last one told, 0 to start; moved on
 * @entry: room for @n, zeroed
 * @n: how many at most, up to %SLABSHM_BATCH_MAX
 *
 * Context: takes the commit lock.
 * Return: how many there were; 0 at the end.
 */
unsigned int slabshm_lock_list(struct slabshm_slab *slab, u64 *cursor,
			       struct slabshm_lock_entry *entry,
			       unsigned int n)
{
	struct slabshm_cells *cells = &slab->cells;
	struct slabshm_locker *locker = NULL;
	u64 now = ktime_get_ns();
	struct rb_node *node;
	unsigned int i = 0;

	spin_lock(&cells->lock);
	for (node = cells->lockers.rb_node; node; ) {
		struct slabshm_locker *l = rb_entry(node, struct slabshm_locker,
						    node);

		if (l->id > *cursor) {
			locker = l;
			node = node->rb_left;
		} else {
			node = node->rb_right;
		}
	}
	for (; locker && i < n; i++) {
		const char *name = slabshm_cell_name(cells, locker->cell,
						     locker->generation);

		entry[i].cell = locker->cell;
		entry[i].generation = locker->generation;
		entry[i].client = locker->client->id;
		entry[i].tid = pid_vnr(locker->pid);
		entry[i].ms = now > locker->since ?
			      div_u64(now - locker->since, NSEC_PER_MSEC) : 0;
		if (!list_empty(&locker->held)) {
			entry[i].flags |= SLABSHM_LOCKER_HOLDS;
			if (slabshm_thread_dead(locker->client,
						locker->pid))
				entry[i].flags |= SLABSHM_LOCKER_DEAD;
		}
		if (locker->queue->inconsistent)
			entry[i].flags |= SLABSHM_LOCKER_INCONSISTENT;
		if (name)
			strscpy(entry[i].name, name, sizeof(entry[i].name));
		*cursor = locker->id;
		node = rb_next(&locker->node);
		locker = node ? rb_entry(node, struct slabshm_locker, node) :
				NULL;
	}
	spin_unlock(&cells->lock);
	return i;
}
