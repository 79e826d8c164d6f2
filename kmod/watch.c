// SPDX-License-Identifier: GPL-2.0
/*
 * Waiting for cells to change.  See watch.h.
 */
#include <linux/hrtimer.h>
#include <linux/ktime.h>
#include <linux/moduleparam.h>
#include <linux/poll.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "call.h"
#include "cell.h"
#include "client.h"
#include "compat.h"
#include "slab.h"
#include "trace.h"
#include "user.h"
#include "watch.h"

static unsigned int max_watches = 65536;
module_param(max_watches, uint, 0644);
MODULE_PARM_DESC(max_watches, "watches of one client (default 65536)");

/* Wakes watchers, and waits for nothing */
static struct workqueue_struct *wake_wq;

/*
 * ---------------- WAIT ----------------
 */

/* Sleep until woken, or the deadline. The state was set before. */
static void sleep_until(u64 deadline)
{
	ktime_t until = ns_to_ktime(min_t(u64, deadline, KTIME_MAX));

	if (deadline == SLABSHM_DEADLINE_NEVER)
		schedule();
	else
		schedule_hrtimeout_range(&until, current->timer_slack_ns,
					 HRTIMER_MODE_ABS);
	__set_current_state(TASK_RUNNING);
}

/* Why not to sleep, if there is no event. */
static int must_not_sleep(const struct slabshm_client *client,
			  unsigned int cancels, u64 deadline)
{
	int err = slabshm_client_waits(client, cancels);

	if (err)
		return err;
	if (deadline != SLABSHM_DEADLINE_NEVER && ktime_get_ns() >= deadline)
		return -ETIMEDOUT;
	return signal_pending(current) ? -ERESTARTSYS : 0;
}

/* How many have changed; an error says that one is not there. */
static int wait_look(struct slabshm_cells *cells, struct slabshm_wait_cell *cell,
		     unsigned int n, u32 *failed)
{
	struct slabshm_moved moved;
	unsigned int i;
	int changed = 0;

	lockdep_assert_held(&cells->lock);

	for (i = 0; i < n; i++) {
		u64 version = slabshm_cell_version(cells, cell[i].cell,
						   cell[i].generation, &moved);

		if (!version) {
			*failed = i;
			return PTR_ERR(slabshm_cell_queue(cells, cell[i].cell,
							  cell[i].generation));
		}
		changed += !slabshm_moved_known(&moved, version,
						cell[i].version);
	}
	if (!changed)
		return 0;
	for (i = 0; i < n; i++) {
		u64 version = slabshm_cell_version(cells, cell[i].cell,
						   cell[i].generation, &moved);

		cell[i].flags = slabshm_moved_known(&moved, version,
						    cell[i].version) ?
				0 : SLABSHM_WAIT_CHANGED;
		cell[i].version = version;
	}
	return changed;
}

/* Stand in the queues of these cells, once in each. */
static void wait_enter(struct slabshm_cells *cells,
		       struct slabshm_watcher *watcher, unsigned int n)
{
	struct slabshm_watcher *last;
	struct slabshm_queue *queue;
	unsigned int i;

	lockdep_assert_held(&cells->lock);

	for (i = 0; i < n; i++) {
		if (!watcher[i].task || !list_empty(&watcher[i].link))
			continue;
		queue = slabshm_cell_queue(cells, watcher[i].cell,
					   watcher[i].generation);
		if (!list_empty(&queue->watchers)) {
			last = list_last_entry(&queue->watchers,
					       struct slabshm_watcher, link);
			/* The cell was named before */
			if (last->task == current) {
				watcher[i].task = NULL;
				continue;
			}
		}
		list_add_tail(&watcher[i].link, &queue->watchers);
	}
}

/* Look, and sleep, until one of the cells has changed: how many have. */
static int wait_sleep(struct slabshm_client *client,
		      struct slabshm_watcher *watcher,
		      struct slabshm_wait_cell *cell, unsigned int n,
		      unsigned int cancels, u64 deadline, u32 *failed)
{
	struct slabshm_cells *cells = &client->slab->cells;
	DEFINE_WAIT(wait);
	unsigned int i;
	int err;

	for (i = 0; i < n; i++) {
		INIT_LIST_HEAD(&watcher[i].link);
		watcher[i].task = current;
		watcher[i].cell = cell[i].cell;
		watcher[i].generation = cell[i].generation;
	}
	spin_lock(&cells->lock);
	for (;;) {
		/* Before the checks: a publisher, or our end, wakes us after */
		prepare_to_wait(&client->watches.ended, &wait,
				TASK_INTERRUPTIBLE);
		err = wait_look(cells, cell, n, failed);
		if (!err)
			err = must_not_sleep(client, cancels, deadline);
		if (err)
			break;
		wait_enter(cells, watcher, n);
		spin_unlock(&cells->lock);
		sleep_until(deadline);
		spin_lock(&cells->lock);
	}
	for (i = 0; i < n; i++)
		list_del(&watcher[i].link);
	spin_unlock(&cells->lock);
	finish_wait(&client->watches.ended, &wait);
	return err;
}

/* Sleep until a cell has another version; *@failed: the cell that was refused. */
static noinline_for_stack int
wait_cells(struct slabshm_client *client, struct slabshm_wait_cell *cell,
	   unsigned int n, u64 deadline, u32 *failed)
{
	struct slabshm_cells *cells = &client->slab->cells;
	struct slabshm_watcher one = {}, *watcher = &one;
	unsigned int cancels = READ_ONCE(client->cancels);
	unsigned int queues;
	int err;

	/* Nothing is made for a call that does not sleep */
	spin_lock(&cells->lock);
	err = wait_look(cells, cell, n, failed);
	spin_unlock(&cells->lock);
	if (!err)
		err = must_not_sleep(client, cancels, deadline);
	if (err)
		return min(err, 0);

	if (n > 1)
		watcher = kcalloc(n, sizeof(*watcher), SLABSHM_GFP);
	if (!watcher)
		return -ENOMEM;
	for (queues = 0; queues < n && !err; queues++)
		err = slabshm_cell_queue_get(cells, cell[queues].cell,
					     cell[queues].generation);
	if (err) {
		queues--;
		if (err != -ENOMEM)
			*failed = queues;
	} else {
		err = wait_sleep(client, watcher, cell, n, cancels, deadline,
				 failed);
	}
	spin_lock(&cells->lock);
	while (queues--)
		slabshm_cell_queue_put(cells, cell[queues].cell,
				       cell[queues].generation);
	spin_unlock(&cells->lock);
	if (n > 1)
		kfree(watcher);
	return min(err, 0);
}

/*
 * ---------------- Notifying ----------------
 */

static void client_wake(struct slabshm_client *client)
{
	wake_up_interruptible_poll(&client->watches.wait, EPOLLIN | EPOLLRDNORM);
}

static void watches_wake(struct work_struct *work)
{
	struct slabshm_client *client = container_of(work,
						     struct slabshm_client,
						     watches.wake);

	/* The events may have been taken meanwhile */
	if (slabshm_watch_pending(client))
		client_wake(client);
}

void slabshm_watches_init(struct slabshm_watches *watches)
{
	mutex_init(&watches->lock);
	watches->watchers = RB_ROOT;
	INIT_LIST_HEAD(&watches->pending);
	INIT_LIST_HEAD(&watches->taken);
	init_waitqueue_head(&watches->wait);
	INIT_WORK(&watches->wake, watches_wake);
	init_waitqueue_head(&watches->ended);
}

/*
 * Does anybody wait for the client's events?  If not, the next to come checks for them
 * first.
 */
static bool client_waits(struct slabshm_client *client)
{
	/*
	 * Add the event, then check, with the barrier in here; pairs with those
	 * of slabshm_poll() and watch_events()
	 */
	return wq_has_sleeper(&client->watches.wait);
}

/* Notify some of those whom commits have taken out of their queues. */
static void notify_some(struct slabshm_cells *cells)
{
	struct slabshm_watcher *watcher;
	struct slabshm_client *client;
	unsigned int n;

	lockdep_assert_held(&cells->lock);

	for (n = 0; n < SLABSHM_BATCH_MAX && !list_empty(&cells->woken); n++) {
		watcher = list_first_entry(&cells->woken,
					   struct slabshm_watcher, link);
		if (watcher->task) {
			/* Its call lasts until it has had the lock */
			list_del_init(&watcher->link);
			wake_up_process(watcher->task);
			continue;
		}
		client = watcher->client;
		list_move_tail(&watcher->link, &client->watches.pending);
		if (client_waits(client))
			queue_work(wake_wq, &client->watches.wake);
	}
}

static void notify_work(struct work_struct *work)
{
	struct slabshm_cells *cells = container_of(work, struct slabshm_cells,
						   notify);

	while (!list_empty_careful(&cells->woken)) {
		spin_lock(&cells->lock);
		notify_some(cells);
		spin_unlock(&cells->lock);
		cond_resched();
	}
}

void slabshm_watch_init(struct slabshm_cells *cells)
{
	INIT_WORK(&cells->notify, notify_work);
}

void slabshm_watch_destroy(struct slabshm_cells *cells)
{
	cancel_work_sync(&cells->notify);
}

/**
 * slabshm_watch_notify() - notify those whom a commit has taken out of their queues
 * @slab: whose
 *
 * Notifies 64 of them, and leaves the others to a work item.  So watchers do not
 * delay a publisher; and a publisher that does not run after its commit, which may
 * be for long if it has a low priority, does not delay them.
 *
 * Context: slabshm_cells.lock has been held since the commit.
 */
void slabshm_watch_notify(struct slabshm_slab *slab)
{
	struct slabshm_cells *cells = &slab->cells;

	notify_some(cells);
	if (!list_empty(&cells->woken))
		queue_work(wake_wq, &cells->notify);
}

/*
 * ---------------- WATCH ----------------
 */

static int watcher_cmp(const struct slabshm_watcher *watcher, u32 cell,
		       u64 generation)
{
	if (watcher->cell != cell)
		return cell < watcher->cell ? -1 : 1;
	if (watcher->generation != generation)
		return generation < watcher->generation ? -1 : 1;
	return 0;
}

/* A client's watcher of a cell; where it would be if there is none. */
static struct slabshm_watcher *watcher_find(struct slabshm_watches *watches,
					    u32 cell, u64 generation,
					    struct rb_node **parent,
					    struct rb_node ***link)
{
	*parent = NULL;
	*link = &watches->watchers.rb_node;
	while (**link) {
		struct slabshm_watcher *watcher;
		int cmp;

		watcher = rb_entry(**link, struct slabshm_watcher, node);
		cmp = watcher_cmp(watcher, cell, generation);
		if (!cmp)
			return watcher;
		*parent = **link;
		*link = cmp < 0 ? &(**link)->rb_left : &(**link)->rb_right;
	}
	return NULL;
}

/* The list for a watcher without an event; NULL if its cell is gone. */
static struct list_head *watcher_home(struct slabshm_cells *cells,
				      const struct slabshm_watcher *watcher)
{
	struct slabshm_queue *queue;

	if (watcher->cell == SLABSHM_ALL_CELLS)
		return &cells->watch_all;
	queue = slabshm_cell_queue(cells, watcher->cell, watcher->generation);
	return IS_ERR(queue) ? NULL : &queue->watchers;
}

/*
 * The version that a watcher would report now, 0 if its cell is gone; and whether
 * version @known already includes it.
 */
static u64 watcher_version(struct slabshm_cells *cells,
			   const struct slabshm_watcher *watcher, u64 known,
			   bool *is_known)
{
	struct slabshm_moved moved = cells->moved;
	u64 version = cells->commit;

	if (watcher->cell != SLABSHM_ALL_CELLS)
		version = slabshm_cell_version(cells, watcher->cell,
					       watcher->generation, &moved);
	*is_known = slabshm_moved_known(&moved, version, known);
	return version;
}

/* Watch a cell, or all. */
static int watch_add(struct slabshm_client *client, struct slabshm_watch_args *arg)
{
	struct slabshm_cells *cells = &client->slab->cells;
	struct slabshm_watches *watches = &client->watches;
	struct rb_node *parent, **link;
	struct slabshm_watcher *watcher;
	bool all = arg->flags & SLABSHM_WATCH_ALL;
	struct list_head *home;
	bool pending = false, known;
	int err, quota;
	u64 version;

	/* Said when all else is right */
	quota = slabshm_user_charge(&client->user->watches, 1,
				    slabshm_max_user_watches);
	err = -ENOMEM;
	watcher = kzalloc(sizeof(*watcher), SLABSHM_GFP);
	if (!watcher)
		goto uncharge;
	watcher->client = client;
	watcher->cell = arg->cell;
	watcher->generation = arg->generation;
	if (all) {
		watcher->cell = SLABSHM_ALL_CELLS;
	} else {
		err = slabshm_cell_queue_get(cells, arg->cell,
					     arg->generation);
		if (err)
			goto free;
	}

	spin_lock(&cells->lock);
	err = -EIDRM;
	home = watcher_home(cells, watcher);
	if (!home)
		goto unlock;
	err = -EEXIST;
	if (watcher_find(watches, watcher->cell, watcher->generation, &parent,
			 &link))
		goto unlock;
	err = -EDQUOT;
	if (watches->count >= READ_ONCE(max_watches))
		goto unlock;
	err = quota;
	if (err)
		goto unlock;
	version = watcher_version(cells, watcher, arg->version, &known);
	watcher->reported = version;
	if (arg->flags & SLABSHM_WATCH_SINCE && !known) {
		watcher->reported = arg->version;
		home = &watches->pending;
		pending = true;
	}
	list_add_tail(&watcher->link, home);
	rb_link_node(&watcher->node, parent, link);
	rb_insert_color(&watcher->node, &watches->watchers);
	watches->count++;
	arg->version = version;
	spin_unlock(&cells->lock);
	if (pending)
		client_wake(client);
	return 0;

unlock:
	if (!all)
		slabshm_cell_queue_put(cells, arg->cell, arg->generation);
	spin_unlock(&cells->lock);
free:
	kfree(watcher);
uncharge:
	if (!quota)
		slabshm_user_uncharge(&client->user->watches, 1);
	return err;
}

/* Take a watcher away; the caller frees it. */
static void watcher_remove(struct slabshm_watcher *watcher)
{
	struct slabshm_client *client = watcher->client;

	lockdep_assert_held(&client->slab->cells.lock);

	list_del(&watcher->link);
	rb_erase(&watcher->node, &client->watches.watchers);
	client->watches.count--;
	if (watcher->cell != SLABSHM_ALL_CELLS)
		slabshm_cell_queue_put(&client->slab->cells, watcher->cell,
				       watcher->generation);
	slabshm_user_uncharge(&client->user->watches, 1);
}

/* End a watch. */
static int watch_remove(struct slabshm_client *client, u32 cell, u64 generation)
{
	struct slabshm_cells *cells = &client->slab->cells;
	struct slabshm_watches *watches = &client->watches;
	struct rb_node *parent, **link;
	struct slabshm_watcher *watcher;

	if (mutex_lock_killable(&watches->lock))
		return -EINTR;
	spin_lock(&cells->lock);
	watcher = watcher_find(watches, cell, generation, &parent, &link);
	if (watcher)
		watcher_remove(watcher);
	spin_unlock(&cells->lock);
	mutex_unlock(&watches->lock);
	kfree(watcher);
	return watcher ? 0 : -ENOENT;
}

/* End a client's watches, when no call is under way for it. */
void slabshm_watches_end(struct slabshm_client *client)
{
	struct slabshm_cells *cells = &client->slab->cells;
	struct slabshm_watches *watches = &client->watches;
	unsigned int n;

	do {
		struct slabshm_watcher *watcher;
		LIST_HEAD(gone);

		spin_lock(&cells->lock);
		for (n = 0; n < SLABSHM_BATCH_MAX &&
		     !RB_EMPTY_ROOT(&watches->watchers); n++) {
			watcher = rb_entry(watches->watchers.rb_node,
					   struct slabshm_watcher, node);
			watcher_remove(watcher);
			list_add(&watcher->link, &gone);
		}
		spin_unlock(&cells->lock);
		while ((watcher = list_first_entry_or_null(&gone,
							   struct slabshm_watcher,
							   link))) {
			list_del(&watcher->link);
			kfree(watcher);
		}
		cond_resched();
	} while (n);
}

void slabshm_watches_destroy(struct slabshm_watches *watches)
{
	/* None can queue it: they have ended */
	cancel_work_sync(&watches->wake);
	mutex_destroy(&watches->lock);
}

/*
 * ---------------- EVENTS ----------------
 */

/* Is there an event, or was there a moment ago? */
bool slabshm_watch_pending(struct slabshm_client *client)
{
	return !list_empty_careful(&client->watches.pending);
}

/*
 * Take pending watchers and their events, until there are @n.  A watcher of all cells
 * is returned: the caller goes through the cells.
 */
static struct slabshm_watcher *events_take(struct slabshm_client *client,
					   struct slabshm_event *event,
					   unsigned int *i, unsigned int n)
{
	struct slabshm_cells *cells = &client->slab->cells;
	struct slabshm_watches *watches = &client->watches;
	struct slabshm_watcher *watcher, *all = NULL;
	bool known;

	spin_lock(&cells->lock);
	/* So that what was published before this call is among them */
	notify_some(cells);
	while (!all && *i < n &&
	       !list_empty(&watches->pending)) {
		watcher = list_first_entry(&watches->pending,
					   struct slabshm_watcher, link);
		list_move_tail(&watcher->link, &watches->taken);
		if (watcher->cell == SLABSHM_ALL_CELLS) {
			if (!watcher->cursor)
				watcher->target = cells->commit;
			all = watcher;
			continue;
		}
		watcher->reported = watcher_version(cells, watcher, 0, &known);
		watcher->removed = !watcher->reported;
		event[*i].cell = watcher->cell;
		event[*i].flags = watcher->removed ? SLABSHM_EVENT_REMOVED : 0;
		event[*i].generation = watcher->generation;
		event[*i].version = watcher->reported;
		++*i;
	}
	spin_unlock(&cells->lock);
	return all;
}

/*
 * Events of a watcher of all cells: up to @n cells that have changed since its last
 * report.  @next becomes 0 at the end of the table.
 */
static unsigned int events_all(struct slabshm_slab *slab,
			       struct slabshm_watcher *watcher,
			       struct slabshm_event *event, unsigned int n)
{
	unsigned int i;

	watcher->next = watcher->cursor;
	i = slabshm_cells_changed(slab, watcher->reported, &watcher->next, event,
				  n);
	if (i < n)
		watcher->next = 0;
	return i;
}

/*
 * The events taken were reported: a watcher whose cell has changed since is pending
 * again, and one whose cell is gone ends.  Or they were not: all are pending.
 */
static void events_done(struct slabshm_client *client, bool reported)
{
	struct slabshm_cells *cells = &client->slab->cells;
	struct slabshm_watches *watches = &client->watches;
	struct slabshm_watcher *watcher, *next;
	LIST_HEAD(gone);
	bool pending, known;

	/* At most one for each event, and the watcher of all */
	spin_lock(&cells->lock);
	if (!reported)
		list_splice_init(&watches->taken, &watches->pending);
	list_for_each_entry_safe(watcher, next, &watches->taken, link) {
		bool all = watcher->cell == SLABSHM_ALL_CELLS;

		if (all) {
			watcher->cursor = watcher->next;
			if (!watcher->cursor)
				watcher->reported = watcher->target;
		} else if (watcher->removed) {
			watcher_remove(watcher);
			list_add(&watcher->link, &gone);
			continue;
		}
		watcher_version(cells, watcher, watcher->reported, &known);
		if ((all && watcher->cursor) || !known)
			list_move_tail(&watcher->link, &watches->pending);
		else
			list_move_tail(&watcher->link,
				       watcher_home(cells, watcher));
	}
	pending = !list_empty(&watches->pending);
	spin_unlock(&cells->lock);

	list_for_each_entry_safe(watcher, next, &gone, link)
		kfree(watcher);
	/* A poll in between has seen none */
	if (pending)
		client_wake(client);
}

static int events_copy_out(struct slabshm_call *call,
			   struct slabshm_events_args *arg,
			   const struct slabshm_event *event)
{
	if (copy_to_user(u64_to_user_ptr(arg->events), event,
			 arg->count * sizeof(*event)))
		return -EFAULT;
	return slabshm_call_return(call, arg);
}

/* Report up to @n events; 0 if there is none. If that fails, they stay. */
static int events_some(struct slabshm_call *call,
		       struct slabshm_events_args *arg, unsigned int n)
{
	struct slabshm_client *client = call->client;
	struct slabshm_event event[SLABSHM_BATCH_MAX] __uninitialized;
	struct slabshm_watches *watches = &client->watches;
	struct slabshm_watcher *all;
	unsigned int i = 0;
	int err = 0;

	if (mutex_lock_killable(&watches->lock))
		return -EINTR;
	do {
		all = events_take(client, event, &i, n);
		if (all)
			i += events_all(client->slab, all, event + i, n - i);
	} while (all && i < n);
	if (i) {
		arg->count = i;
		err = events_copy_out(call, arg, event);
	}
	events_done(client, !err);
	mutex_unlock(&watches->lock);
	return err ?: i;
}

/* Sleep until there are events, and report them. */
static int watch_events(struct slabshm_call *call, struct slabshm_events_args *arg,
			u64 deadline)
{
	struct slabshm_client *client = call->client;
	struct slabshm_watches *watches = &client->watches;
	unsigned int n = min_t(u32, arg->count, SLABSHM_BATCH_MAX);
	unsigned int cancels = READ_ONCE(client->cancels);
	DEFINE_WAIT(wait);
	int err;

	for (;;) {
		err = n ? events_some(call, arg, n) :
			  slabshm_watch_pending(client);
		if (err)
			break;
		/*
		 * Before the check, with a barrier: whoever adds an event wakes
		 * us after it.  Pairs with client_waits()
		 */
		prepare_to_wait(&watches->wait, &wait, TASK_INTERRUPTIBLE);
		if (!slabshm_watch_pending(client)) {
			err = must_not_sleep(client, cancels, deadline);
			if (!err)
				sleep_until(deadline);
		}
		finish_wait(&watches->wait, &wait);
		if (err)
			break;
	}
	return min(err, 0);
}

/*
 * ---------------- Calls ----------------
 */

int slabshm_wait_ioctl(struct slabshm_call *call, void *arg)
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
		err = wait_cells(call->client, cells, wait->count,
				 slabshm_call_deadline(wait->deadline),
				 &wait->failed);
	if (!err)
		return copy_to_user(user, cells, size) ? -EFAULT : 0;
	slabshm_call_return(call, wait);
	return err;
}

int slabshm_watch_ioctl(struct slabshm_call *call, void *arg)
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
	err = slabshm_call_return(call, watch) ?:
	      watch_add(call->client, watch);
	if (!err)
		slabshm_call_return(call, watch);
	return err;
}

int slabshm_unwatch_ioctl(struct slabshm_call *call, void *arg)
{
	struct slabshm_unwatch_args *unwatch = arg;
	bool all = unwatch->flags & SLABSHM_WATCH_ALL;

	if (unwatch->flags & ~SLABSHM_WATCH_ALL || unwatch->pad ||
	    (all && (unwatch->cell || unwatch->generation)))
		return -EINVAL;
	if (!all && unwatch->cell == SLABSHM_ALL_CELLS)
		return -ENOENT;
	return watch_remove(call->client,
				    all ? SLABSHM_ALL_CELLS : unwatch->cell,
				    unwatch->generation);
}

int slabshm_events_ioctl(struct slabshm_call *call, void *arg)
{
	struct slabshm_events_args *events = arg;

	if (events->flags || events->pad)
		return -EINVAL;
	return watch_events(call, events, slabshm_call_deadline(events->deadline));
}

int slabshm_watch_module_init(void)
{
	wake_wq = alloc_workqueue("slabshm_wake", WQ_UNBOUND | WQ_HIGHPRI,
				  WQ_MAX_ACTIVE);
	return wake_wq ? 0 : -ENOMEM;
}

void slabshm_watch_module_exit(void)
{
	destroy_workqueue(wake_wq);
}
