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

#include "call.h"
#include "cell.h"
#include "client.h"
#include "compat.h"
#include "lock.h"
#include "slab.h"
#include "task.h"
#include "trace.h"

/*
 * How often waiters check that the holder is alive: the oldest one soon, the others
 * in case that it gives up.
 */
#define CHECK_FIRST	(100 * NSEC_PER_MSEC)
#define CHECK_BEHIND	NSEC_PER_SEC

/*
 * The oldest waiter is handed the lock when it was passed over so often, or so long
 * ago.  The time is not that of its wait: where it takes long to wake a thread, each
 * lock would be handed over then, and nobody would ever run.
 */
#define PASSED_MAX	32
#define PASSED_NS	(10 * NSEC_PER_MSEC)

/*
 * A call spins for so long while the holder runs on another processor: that is
 * cheaper than to sleep, if the lock is held for a short time.
 */
#define SPIN_NS		(50 * NSEC_PER_USEC)

#define TICKET_NS	NSEC_PER_SEC

static struct slabshm_locker *queue_first(struct slabshm_queue *queue)
{
	return rb_entry_safe(rb_first_cached(&queue->waiters),
			     struct slabshm_locker, wait);
}

static bool wait_less(struct rb_node *a, const struct rb_node *b)
{
	return rb_entry(a, struct slabshm_locker, wait)->id <
	       rb_entry(b, struct slabshm_locker, wait)->id;
}

static bool node_less(struct rb_node *a, const struct rb_node *b)
{
	return rb_entry(a, struct slabshm_locker, node)->id <
	       rb_entry(b, struct slabshm_locker, node)->id;
}

static bool thread_less(struct rb_node *a, const struct rb_node *b)
{
	return rb_entry(a, struct slabshm_locker, thread)->pid <
	       rb_entry(b, struct slabshm_locker, thread)->pid;
}

static int thread_cmp(const void *pid, const struct rb_node *node)
{
	const struct pid *other = rb_entry(node, struct slabshm_locker,
					   thread)->pid;

	return pid == other ? 0 : pid < (void *)other ? -1 : 1;
}

/* What a thread waits for, or has a ticket for. */
static struct slabshm_locker *thread_find(struct slabshm_cells *cells,
					  struct pid *pid)
{
	lockdep_assert_held(&cells->lock);

	return rb_entry_safe(rb_find(pid, &cells->threads, thread_cmp),
			     struct slabshm_locker, thread);
}

/* A locker for the calling thread; with the lock dropped if that takes memory. */
static struct slabshm_locker *locker_get(struct slabshm_client *client)
	__releases(&client->slab->cells.lock)
	__acquires(&client->slab->cells.lock)
{
	spinlock_t *lock = &client->slab->cells.lock;
	struct slabshm_locker *locker = client->spare_locker;

	lockdep_assert_held(lock);

	client->spare_locker = NULL;
	if (!locker) {
		spin_unlock(lock);
		locker = kmalloc(sizeof(*locker), SLABSHM_GFP);
		spin_lock(lock);
		if (!locker)
			return NULL;
	}
	*locker = (struct slabshm_locker){
		.client = client,
		.pid = get_pid(task_pid(current)),
		.since = ktime_get_ns(),
	};
	return locker;
}

/* It serves for the client's next LOCK, if no other does. */
static void locker_put(struct slabshm_locker *locker)
{
	struct slabshm_client *client = locker->client;

	lockdep_assert_held(&client->slab->cells.lock);

	put_pid(locker->pid);
	if (client->spare_locker)
		kfree(locker);
	else
		client->spare_locker = locker;
}

static bool locker_is_mine(const struct slabshm_locker *locker,
			   const struct slabshm_client *client)
{
	return locker->client == client && locker->pid == task_pid(current);
}

static void ticket_drop(struct slabshm_cells *cells,
			struct slabshm_locker *ticket)
{
	rb_erase(&ticket->thread, &cells->threads);
	list_del(&ticket->held);
	list_del(&ticket->left);
	locker_put(ticket);
}

/* A signal calls the thread away: it keeps its place for a while. */
static void ticket_make(struct slabshm_cells *cells,
			struct slabshm_locker *locker)
{
	u64 now = ktime_get_ns();
	unsigned int i;

	/* Two go for each that comes, so there are few that have expired */
	for (i = 0; i < 2; i++) {
		struct slabshm_locker *oldest =
			list_first_entry_or_null(&cells->tickets,
						 struct slabshm_locker, left);

		if (!oldest || oldest->deadline > now)
			break;
		ticket_drop(cells, oldest);
	}
	locker->queue = NULL;
	locker->task = NULL;
	locker->deadline = min(locker->deadline, now + TICKET_NS);
	rb_add(&locker->thread, &cells->threads, thread_less);
	list_add(&locker->held, &locker->client->locks);
	list_add_tail(&locker->left, &cells->tickets);
}

/*
 * The calling thread takes the lock of @locker's cell, or @waits for it.  A ticket for
 * it is used up; one for another cell stays until the thread waits: the thread may be
 * on its way there, with an array.
 */
static void ticket_use(struct slabshm_cells *cells,
		       struct slabshm_locker *locker, bool waits)
{
	struct slabshm_locker *ticket = thread_find(cells, locker->pid);
	bool fits;

	if (!ticket)
		return;
	fits = ticket->client == locker->client &&
	       ticket->cell == locker->cell &&
	       ticket->generation == locker->generation;
	if (!fits && !waits)
		return;
	if (fits && ticket->deadline > locker->since) {
		locker->id = ticket->id;
		locker->since = ticket->since;
		locker->passed_since = ticket->passed_since;
		locker->passed = ticket->passed;
	}
	ticket_drop(cells, ticket);
}

/*
 * The waiters have changed, or the lock is free: wake the oldest waiter.  Of a
 * removed cell, each waiter that leaves wakes the next, and the last one frees
 * @queue.
 */
static void queue_settle(struct slabshm_queue *queue)
{
	struct slabshm_locker *first = queue_first(queue);

	if (!first) {
		if (queue->removed && !queue->holder)
			kfree(queue);
		return;
	}
	/* One that spins takes it, or calls this */
	if (queue->holder || queue->spinning || first->woken)
		return;
	first->woken = true;
	wake_up_process(first->task);
}

/* The lock is free: take it for @locker, which does not wait (any more). */
static void queue_take(struct slabshm_queue *queue,
		       struct slabshm_locker *locker)
{
	struct slabshm_locker *first = queue_first(queue);

	locker->queue = queue;
	WRITE_ONCE(queue->holder, locker);
	list_add(&locker->held, &locker->client->locks);
	if (first && first->id < locker->id && !first->passed++)
		first->passed_since = ktime_get_ns();
}

static void wait_begin(struct slabshm_cells *cells, struct slabshm_queue *queue,
		       struct slabshm_locker *locker)
{
	locker->queue = queue;
	locker->task = current;
	rb_add_cached(&locker->wait, &queue->waiters, wait_less);
	rb_add(&locker->thread, &cells->threads, thread_less);
	queue_settle(queue);
}

static void wait_end(struct slabshm_cells *cells, struct slabshm_locker *locker)
{
	rb_erase_cached(&locker->wait, &locker->queue->waiters);
	rb_erase(&locker->thread, &cells->threads);
}

/* The holder releases its lock, or has died; @locker is put. */
static void holder_leave(struct slabshm_cells *cells,
			 struct slabshm_locker *locker)
{
	struct slabshm_queue *queue = locker->queue;
	struct slabshm_locker *first = queue_first(queue);

	lockdep_assert_held(&cells->lock);

	list_del(&locker->held);
	rb_erase(&locker->node, &cells->lockers);
	locker_put(locker);
	WRITE_ONCE(queue->holder, NULL);
	if (first && first->passed && !queue->removed &&
	    (first->passed >= PASSED_MAX ||
	     ktime_get_ns() - first->passed_since >= PASSED_NS)) {
		wait_end(cells, first);
		queue_take(queue, first);
		wake_up_process(first->task);
	}
	queue_settle(queue);
}

/* If the holder's thread has exited without unlocking, the lock is free. */
static void queue_reap(struct slabshm_slab *slab, struct slabshm_queue *queue)
{
	struct slabshm_locker *holder = queue->holder;

	lockdep_assert_held(&slab->cells.lock);

	if (!holder || holder->task ||
	    !slabshm_thread_dead(holder->client->mm, holder->pid))
		return;
	queue->inconsistent = true;
	trace_slabshm_lock_dead(slab, holder->cell, holder->client);
	holder_leave(&slab->cells, holder);
}

/*
 * Why a waiter gives up, whoever has the lock.  What calls it away, and whether it
 * runs meanwhile, needs no lock: so this may be so before it knows.
 */
static int locker_leaves(const struct slabshm_locker *locker)
{
	int err = slabshm_client_waits(locker->client, locker->cancels);

	return err ?: signal_pending(locker->task) ? -ERESTARTSYS : 0;
}

/*
 * Does the holder of @queue's lock wait, by way of others, for the thread @pid?
 * With @timed waits that have a deadline count too.  @steps is what the search may
 * still cost.
 */
static bool chain_leads_to(struct slabshm_cells *cells,
			   struct slabshm_queue *queue, const struct pid *pid,
			   bool timed, unsigned int *steps)
{
	lockdep_assert_held(&cells->lock);

	for (; *steps; --*steps) {
		struct slabshm_locker *holder = queue->holder, *waiter;

		/* One that is dead or about to end is no obstacle for long */
		if (!holder || READ_ONCE(holder->client->ended) ||
		    slabshm_thread_dead(holder->client->mm, holder->pid))
			return false;
		if (holder->pid == pid)
			return true;
		waiter = thread_find(cells, holder->pid);
		/* One that comes back searches for a cycle itself */
		if (!waiter || !waiter->queue || locker_leaves(waiter) ||
		    (!timed && waiter->deadline != SLABSHM_DEADLINE_NEVER))
			return false;
		queue = waiter->queue;
	}
	return false;
}

static bool would_deadlock(struct slabshm_cells *cells,
			   struct slabshm_queue *queue,
			   const struct slabshm_locker *locker)
{
	unsigned int steps = SLABSHM_LOCK_STEPS;

	return locker->deadline == SLABSHM_DEADLINE_NEVER &&
	       chain_leads_to(cells, queue, locker->pid, false, &steps);
}

/*
 * If the holder runs on another processor, spin until it releases the lock or runs no
 * more, or until @end: did it run?
 */
static bool locker_spin(struct slabshm_cells *cells,
			struct slabshm_queue *queue, u64 end)
	__releases(&cells->lock)
	__acquires(&cells->lock)
{
	struct slabshm_locker *holder = queue->holder;
	struct task_struct *task;

	if (need_resched())
		return false;
	/* @holder may go once the lock is dropped, the task stays */
	rcu_read_lock();
	task = pid_task(holder->pid, PIDTYPE_PID);
	if (!task || !slabshm_on_cpu(task)) {
		rcu_read_unlock();
		return false;
	}
	queue->spinning++;
	spin_unlock(&cells->lock);
	/* Under the lock it looks again */
	while (READ_ONCE(queue->holder) == holder && slabshm_on_cpu(task) &&
	       !need_resched() && !signal_pending(current) &&
	       ktime_get_ns() < end)
		cpu_relax();
	rcu_read_unlock();
	spin_lock(&cells->lock);
	queue->spinning--;
	return true;
}

/* Sleep until @locker, which waits, has the lock. */
static int locker_wait(struct slabshm_slab *slab, struct slabshm_locker *locker)
	__releases(&slab->cells.lock)
	__acquires(&slab->cells.lock)
{
	struct slabshm_cells *cells = &slab->cells;
	struct slabshm_queue *queue = locker->queue;
	struct slabshm_client *client = locker->client;
	bool awake = false;
	u64 spin_end = 0;
	DEFINE_WAIT(wait);

	lockdep_assert_held(&cells->lock);

	for (;;) {
		bool first = queue_first(queue) == locker;
		u64 now = ktime_get_ns();
		ktime_t check;
		int err;

		locker->woken = false;
		if (queue->removed)
			return -EIDRM;
		if (queue->holder == locker)
			return 0;
		/* One that spins is as good as one that comes */
		if (!queue->holder && (first || awake)) {
			wait_end(cells, locker);
			queue_take(queue, locker);
			queue_settle(queue);
			return 0;
		}
		err = locker_leaves(locker);
		if (err)
			return err;
		if (now >= locker->deadline)
			return -ETIMEDOUT;

		if (!spin_end)
			spin_end = min(now + SPIN_NS, locker->deadline);
		if (queue->holder && now < spin_end &&
		    locker_spin(cells, queue, spin_end)) {
			awake = true;
			continue;
		}
		spin_end = 0;
		awake = false;

		/* Under the lock: a waker needs it, and so comes later */
		prepare_to_wait(&client->watches.ended, &wait,
				TASK_INTERRUPTIBLE);
		spin_unlock(&cells->lock);
		check = ns_to_ktime(min(now + (first ? CHECK_FIRST :
						       CHECK_BEHIND),
					locker->deadline));
		/* The client's end and CANCEL, which do not need it, wake the wait queue */
		if (!slabshm_client_waits(client, locker->cancels))
			schedule_hrtimeout_range(&check, current->timer_slack_ns,
						 HRTIMER_MODE_ABS);
		finish_wait(&client->watches.ended, &wait);
		spin_lock(&cells->lock);
		/* Of a removed cell nobody holds the lock, and each leaves */
		if (!queue->removed)
			queue_reap(slab, queue);
	}
}

/*
 * Another holds the lock: wait for it.  On error @locker is gone, or has become a
 * ticket.
 */
static int lock_wait(struct slabshm_slab *slab, struct slabshm_queue *queue,
		     struct slabshm_locker *locker)
	__releases(&slab->cells.lock)
	__acquires(&slab->cells.lock)
{
	struct slabshm_cells *cells = &slab->cells;
	int err;

	wait_begin(cells, queue, locker);
	rb_add(&locker->node, &cells->lockers, node_less);
	err = locker_wait(slab, locker);
	if (!err) {
		locker->since = ktime_get_ns();
		return 0;
	}
	if (queue->holder == locker) {
		/* It was handed the lock of a cell that was removed then */
		holder_leave(cells, locker);
		return err;
	}
	wait_end(cells, locker);
	rb_erase(&locker->node, &cells->lockers);
	if (err == -ERESTARTSYS && !fatal_signal_pending(current))
		ticket_make(cells, locker);
	else
		locker_put(locker);
	queue_settle(queue);
	return err;
}

/* The queue of a cell that is to be locked; *got: it is to be put. */
static struct slabshm_queue *lock_queue(struct slabshm_cells *cells,
					const struct slabshm_lock_cell *cell,
					bool *got)
	__releases(&cells->lock)
	__acquires(&cells->lock)
{
	struct slabshm_queue *queue;
	int err;

	*got = false;
	queue = slabshm_cell_queue(cells, cell->cell, cell->generation);
	if (queue)
		return queue;
	/* Memory comes from outside the lock */
	spin_unlock(&cells->lock);
	err = slabshm_cell_queue_get(cells, cell->cell, cell->generation);
	spin_lock(&cells->lock);
	if (err)
		return ERR_PTR(err);
	*got = true;
	return slabshm_cell_queue(cells, cell->cell, cell->generation);
}

static int lock_one(struct slabshm_client *client,
		    struct slabshm_lock_cell *cell, bool try,
		    unsigned int cancels, u64 deadline)
{
	struct slabshm_slab *slab = client->slab;
	struct slabshm_cells *cells = &slab->cells;
	struct slabshm_locker *locker;
	struct slabshm_queue *queue;
	bool free, got;
	int err;

	spin_lock(&cells->lock);
	locker = locker_get(client);
	err = -ENOMEM;
	if (!locker)
		goto unlock;
	locker->cell = cell->cell;
	locker->generation = cell->generation;
	locker->deadline = deadline;
	locker->cancels = cancels;
	queue = lock_queue(cells, cell, &got);
	err = PTR_ERR_OR_ZERO(queue);
	if (err)
		goto put;
	queue_reap(slab, queue);
	free = !queue->holder;
	if (!free) {
		if (locker_is_mine(queue->holder, client))
			err = -EDEADLK;
		else if (try)
			err = -EBUSY;
		else if (would_deadlock(cells, queue, locker))
			err = -EDEADLK;
	}
	if (!err) {
		locker->id = ++cells->last_locker;
		if (!RB_EMPTY_ROOT(&cells->threads))
			ticket_use(cells, locker, !free);
	}
	if (free) {
		queue_take(queue, locker);
		rb_add(&locker->node, &cells->lockers, node_less);
	}
	/* While it has a holder, it stays by itself */
	if (got)
		slabshm_cell_queue_put(cells, cell->cell, cell->generation);
	if (err)
		goto put;
	if (!free)
		err = lock_wait(slab, queue, locker);
	if (err)
		goto unlock;
	locker->task = NULL;
	cell->flags = queue->inconsistent ? SLABSHM_LOCKED_OWNERDEAD : 0;
	trace_slabshm_lock(slab, cell->cell, client);
	goto unlock;
put:
	locker_put(locker);
unlock:
	spin_unlock(&cells->lock);
	return err;
}

/* The calling thread locks something: a ticket for none of @cell is void. */
static void tickets_void(struct slabshm_cells *cells,
			 const struct slabshm_lock_cell *cell, unsigned int n)
{
	struct slabshm_locker *ticket;
	unsigned int i;

	/* If there is one, this thread itself has put it there */
	if (list_empty(&cells->tickets))
		return;
	spin_lock(&cells->lock);
	ticket = thread_find(cells, task_pid(current));
	if (ticket) {
		for (i = 0; i < n; i++)
			if (cell[i].cell == ticket->cell)
				break;
		if (i == n)
			ticket_drop(cells, ticket);
	}
	spin_unlock(&cells->lock);
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
	holder = queue ? queue->holder : NULL;
	if (!holder || !locker_is_mine(holder, client))
		return ERR_PTR(-EPERM);
	return holder;
}

/* Release locks of the calling thread, all or none. */
static int unlock_cells(struct slabshm_client *client,
			const struct slabshm_lock_cell *cell, unsigned int n,
			u32 *failed)
{
	struct slabshm_slab *slab = client->slab;
	struct slabshm_locker *locker;
	unsigned int i, named;
	int err = 0;

	spin_lock(&slab->cells.lock);
	for (named = 0; named < n; named++) {
		locker = lock_mine(client, &cell[named]);
		err = PTR_ERR_OR_ZERO(locker);
		if (!err && locker->named)
			err = -EINVAL;
		if (err) {
			*failed = named;
			break;
		}
		locker->named = true;
	}
	for (i = 0; i < named; i++) {
		/* It was there above */
		locker = lock_mine(client, &cell[i]);
		locker->named = false;
		if (!err)
			slabshm_lock_unlock(slab, locker->queue,
					    cell[i].flags &
					    SLABSHM_UNLOCK_CONSISTENT);
	}
	spin_unlock(&slab->cells.lock);
	return err;
}

static int order_cmp(const void *a, const void *b, const void *cells)
{
	const struct slabshm_lock_cell *x = cells, *y = cells;

	x += *(const u8 *)a;
	y += *(const u8 *)b;
	if (x->cell != y->cell)
		return x->cell < y->cell ? -1 : 1;
	/* At most one of these is there still */
	if (x->generation != y->generation)
		return x->generation < y->generation ? -1 : 1;
	return x < y ? -1 : x > y;	/* the later one is refused */
}

/* The order in which cells are locked; -EINVAL if one is named twice. */
static int lock_order(u8 *order, const struct slabshm_lock_cell *cells,
		      unsigned int n, u32 *failed)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		order[i] = i;
	if (n == 1)
		return 0;
	sort_r(order, n, sizeof(*order), order_cmp, NULL, cells);
	for (i = 1; i < n; i++) {
		const struct slabshm_lock_cell *cell = &cells[order[i]];
		const struct slabshm_lock_cell *before = &cells[order[i - 1]];

		if (cell->cell == before->cell &&
		    cell->generation == before->generation) {
			*failed = order[i];
			return -EINVAL;
		}
	}
	return 0;
}

/* Give back locks that were just taken: nobody has declared their data consistent. */
static void lock_undo(struct slabshm_client *client, struct slabshm_lock_cell *cell)
{
	u32 unused;

	cell->flags = 0;
	/* If the cell is gone meanwhile, so is its lock */
	unlock_cells(client, cell, 1, &unused);
}

/* Lock cells for the calling thread, all or none; their flags show dead holders. */
static int lock_cells(struct slabshm_client *client,
		      struct slabshm_lock_cell *cell, unsigned int n, bool try,
		      u64 deadline, u32 *failed)
{
	u8 order[SLABSHM_BATCH_MAX] __uninitialized;
	unsigned int cancels = READ_ONCE(client->cancels);
	bool dead = false;
	unsigned int i;
	int err;

	err = lock_order(order, cell, n, failed);
	if (err)
		return err;
	tickets_void(&client->slab->cells, cell, n);
	for (i = 0; i < n; i++) {
		err = lock_one(client, &cell[order[i]], try, cancels, deadline);
		if (err)
			break;
		dead |= cell[order[i]].flags & SLABSHM_LOCKED_OWNERDEAD;
	}
	if (!err)
		return dead ? -EOWNERDEAD : 0;
	*failed = order[i];
	while (i--)
		lock_undo(client, &cell[order[i]]);
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
			if (!locker->queue) {
				ticket_drop(cells, locker);
				continue;
			}
			locker->queue->inconsistent = true;
			trace_slabshm_lock_dead(slab, locker->cell, client);
			holder_leave(cells, locker);
		}
		spin_unlock(&cells->lock);
		cond_resched();
		spin_lock(&cells->lock);
	}
	spin_unlock(&cells->lock);
	mutex_unlock(&client->release_lock);
}

/*
 * May the calling thread change a cell that has this queue, or none?  -EPERM: it does
 * not hold the lock, but @must_hold; -EBUSY: another does, and locks are mandatory.
 */
int slabshm_lock_check(struct slabshm_slab *slab, struct slabshm_queue *queue,
		       struct slabshm_client *client, bool must_hold)
{
	struct slabshm_locker *holder;

	if (!queue)
		return must_hold ? -EPERM : 0;
	queue_reap(slab, queue);
	holder = queue->holder;
	if (holder && locker_is_mine(holder, client))
		return 0;
	if (must_hold)
		return -EPERM;
	return holder && slab->mandatory ? -EBUSY : 0;
}

/* The holder, which is the calling thread, releases the lock. */
void slabshm_lock_unlock(struct slabshm_slab *slab, struct slabshm_queue *queue,
			 bool consistent)
{
	struct slabshm_locker *holder = queue->holder;

	if (consistent)
		queue->inconsistent = false;
	trace_slabshm_unlock(slab, holder->cell, holder->client);
	holder_leave(&slab->cells, holder);
}

/*
 * The cell of this queue is removed, and its watchers are taken out.  Frees the queue,
 * or leaves that to the last waiter.
 */
void slabshm_lock_cell_removed(struct slabshm_slab *slab,
			       struct slabshm_queue *queue)
{
	struct slabshm_locker *holder = queue->holder;

	queue->removed = true;
	if (!holder)
		queue_settle(queue);
	else if (!holder->task)
		holder_leave(&slab->cells, holder);
	/* Otherwise it was handed the lock, and leaves by itself */
}

/* Is a waiter in a cycle?  Waits with a deadline count, too.  Uses up some @steps. */
bool slabshm_lock_deadlocked(struct slabshm_cells *cells,
			     const struct slabshm_locker *locker,
			     unsigned int *steps)
{
	return chain_leads_to(cells, locker->queue, locker->pid, true, steps);
}

/*
 * ---------------- Calls ----------------
 */

/* In a call that does not ask for one of them it is ignored */
#define LOCK_CELL_FLAGS	(SLABSHM_LOCKED_OWNERDEAD | SLABSHM_UNLOCK_CONSISTENT)

/* Copy in the cells of a call. */
static int lock_copy_in(struct slabshm_lock_cell *cells, u64 user, unsigned int n,
			u32 *failed)
{
	unsigned int i;

	if (slabshm_words_in(cells, u64_to_user_ptr(user), n * sizeof(*cells)))
		return -EFAULT;
	for (i = 0; i < n; i++) {
		if (cells[i].flags & ~LOCK_CELL_FLAGS) {
			*failed = i;
			return -EINVAL;
		}
	}
	return 0;
}

/* Copy the flags of locked cells out; mostly none was set, and none is. */
static int lock_copy_out(struct slabshm_client *client, u64 user,
			 struct slabshm_lock_cell *cells, unsigned int n)
{
	unsigned int i;

	if (!copy_to_user(u64_to_user_ptr(user), cells, n * sizeof(*cells)))
		return 0;
	for (i = 0; i < n; i++)
		lock_undo(client, &cells[i]);
	return -EFAULT;
}

int slabshm_lock_ioctl(struct slabshm_call *call, void *arg)
{
	struct slabshm_lock_cell cells[SLABSHM_BATCH_MAX] __uninitialized;
	struct slabshm_lock_args *lock = arg;
	unsigned int i, n = lock->count;
	bool flags = false;
	int err;

	if (lock->flags & ~SLABSHM_LOCK_TRY || !n || n > SLABSHM_BATCH_MAX ||
	    (lock->flags & SLABSHM_LOCK_TRY && lock->deadline))
		return -EINVAL;
	lock->failed = U32_MAX;
	err = lock_copy_in(cells, lock->cells, n, &lock->failed);
	if (err == -EFAULT)
		return err;
	for (i = 0; i < n; i++)
		flags |= cells[i].flags;
	if (!err)
		err = lock_cells(call->client, cells, n,
				 lock->flags & SLABSHM_LOCK_TRY,
				 slabshm_call_deadline(lock->deadline),
				 &lock->failed);
	if (err && err != -EOWNERDEAD) {
		slabshm_call_return(call, lock);
		return err;
	}
	if (err || flags)
		return lock_copy_out(call->client, lock->cells, cells, n) ?: err;
	return 0;
}

int slabshm_unlock_ioctl(struct slabshm_call *call, void *arg)
{
	struct slabshm_lock_cell cells[SLABSHM_BATCH_MAX] __uninitialized;
	struct slabshm_unlock_args *unlock = arg;
	int err;

	if (unlock->flags & ~SLABSHM_UNLOCK_THREAD ||
	    unlock->count > SLABSHM_BATCH_MAX ||
	    !unlock->count != !!(unlock->flags & SLABSHM_UNLOCK_THREAD))
		return -EINVAL;
	if (unlock->flags & SLABSHM_UNLOCK_THREAD) {
		slabshm_lock_release(call->client, task_pid(current));
		return 0;
	}
	err = lock_copy_in(cells, unlock->cells, unlock->count, &unlock->failed);
	if (err == -EFAULT)
		return err;
	if (!err)
		err = unlock_cells(call->client, cells, unlock->count,
				   &unlock->failed);
	if (err)
		slabshm_call_return(call, unlock);
	return err;
}
