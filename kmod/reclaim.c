// SPDX-License-Identifier: GPL-2.0
/*
 * Retired blocks, and how their space comes back.  See reclaim.h.
 */
#include <linux/jiffies.h>
#include <linux/moduleparam.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/workqueue.h>

#include "data.h"
#include "reader.h"
#include "reclaim.h"
#include "slab.h"
#include "trace.h"

#define POISON		0x6b

static bool poison;
module_param(poison, bool, 0644);
MODULE_PARM_DESC(poison, "overwrite reclaimed blocks, for tests (default off)");

/*
 * A slot whose hi rises holds a block that the scan before did not find held.
 * After so many evictions the next one goes by lo alone, and is the last.
 */
#define EVICT_BY_HI	2

/* Looks at held blocks: soon at first, then less and less often. */
#define DELAY_MIN	msecs_to_jiffies(8)
#define DELAY_MAX	HZ

/*
 * No more expedited grace periods than this, for all slabs together: each
 * disturbs every CPU.  If two get by at once, that is no harm.
 */
#define URGENT_EVERY	msecs_to_jiffies(8)
static unsigned long last_urgent = INITIAL_JIFFIES;

/* A round may take long, and a slab has one at most: a busy slab fills no queue */
static struct workqueue_struct *round_wq;

/*
 * So many records that are not in use are kept, or a few more: publishes that come
 * faster than grace periods end need thousands.
 */
#define RECORDS_KEPT	8192

/* Add the blocks of a retired object to the chain of a batch. */
static void object_take_apart(struct slabshm_object *object,
			      struct slabshm_record **chain)
{
	struct slabshm_record *record, *next;

	if (object->root)
		list_add(&object->root->link, &object->parts);
	list_for_each_entry_safe(record, next, &object->parts, link) {
		record->retired = object->retired;
		slabshm_record_push(chain, record);
		cond_resched();
	}
	kfree(object);
}

/* Free the space of the @n blocks of @batch, SLABSHM_BATCH_MAX at most. */
static void reclaim_batch(struct slabshm_slab *slab,
			  struct slabshm_record *batch, unsigned int n)
{
	struct slabshm_reclaim *reclaim = &slab->reclaim;
	struct slabshm_record *record, *last = NULL;
	u64 bytes = 0, size = 0;

	if (!n)
		return;
	for (record = reclaim->poison ? batch : NULL; record;
	     record = record->next) {
		u64 offset = slabshm_record_offset(record);

		spin_lock(&slab->arena.lock);
		slabshm_arena_record(&slab->arena, offset, &size);
		spin_unlock(&slab->arena.lock);
		slabshm_data_set(slab, offset, size, POISON);
	}

	/* Both locks, as in slab_stat(): what is free is not retired any more */
	spin_lock(&slab->cells.lock);
	spin_lock(&slab->arena.lock);
	for (record = batch; record; record = record->next) {
		bytes += slabshm_arena_free_published(&slab->arena,
						slabshm_record_offset(record));
		last = record;
	}
	spin_unlock(&slab->arena.lock);
	reclaim->bytes -= bytes;
	reclaim->count -= n;
	WRITE_ONCE(reclaim->freed, reclaim->freed + bytes);
	if (reclaim->nspare < RECORDS_KEPT) {
		last->next = reclaim->spare;
		reclaim->spare = batch;
		reclaim->nspare += n;
		batch = NULL;
	}
	spin_unlock(&slab->cells.lock);

	if (batch)
		slabshm_records_destroy(slab, batch);
	trace_slabshm_reclaim(slab, n, bytes);
	cond_resched();
}

static void held_add(struct slabshm_slab *slab, struct slabshm_record *record,
		     struct slabshm_cover *holder)
{
	struct slabshm_reclaim *reclaim = &slab->reclaim;
	u64 size = 0;

	spin_lock(&slab->arena.lock);
	slabshm_arena_record(&slab->arena, slabshm_record_offset(record),
			     &size);
	spin_unlock(&slab->arena.lock);
	slabshm_record_push(&reclaim->held, record);
	reclaim->held_bytes += size;
	reclaim->held_count++;
	holder->bytes += size;
}

/*
 * Free the records that no reader holds, keep the others in @held; who holds one
 * that was retired at @expired or before is evicted, and so is a dead thread that
 * holds any.  Returns how many were freed.
 */
static u64 reclaim_records(struct slabshm_slab *slab,
			   struct slabshm_record *chain, u64 expired)
{
	struct slabshm_readers *readers = &slab->readers;
	struct slabshm_record *record, *overdue, *batch = NULL;
	unsigned int round, n = 0, looked = 0;
	struct slabshm_cover *holder;
	u64 freed = 0;

	lockdep_assert_held(&readers->lock);

	if (chain && readers->ndead)
		slabshm_readers_evict(slab, chain, SLABSHM_EVICT_DEAD);
	for (round = 0; chain; round++) {
		overdue = NULL;
		while (chain) {
			record = slabshm_record_pop(&chain);
			if (!(++looked % 1024))
				cond_resched();
			holder = readers->ncover ?
				 slabshm_readers_hold(readers, record) : NULL;
			if (!holder) {
				slabshm_record_push(&batch, record);
				freed++;
				if (++n < SLABSHM_BATCH_MAX)
					continue;
				reclaim_batch(slab, batch, n);
				batch = NULL;
				n = 0;
			} else if (record->retired > expired ||
				   WARN_ON_ONCE(round > EVICT_BY_HI)) {
				held_add(slab, record, holder);
			} else {
				slabshm_record_push(&overdue, record);
			}
		}
		if (overdue)
			slabshm_readers_evict(slab, overdue,
					      round < EVICT_BY_HI ?
					      SLABSHM_EVICT_HOLDERS :
					      SLABSHM_EVICT_OLD);
		chain = overdue;
	}
	reclaim_batch(slab, batch, n);
	return freed;
}

/* Look at the held blocks again. Returns how many were freed. */
static u64 reclaim_held(struct slabshm_slab *slab, u64 expired)
{
	struct slabshm_reclaim *reclaim = &slab->reclaim;
	struct slabshm_record *held = reclaim->held;

	lockdep_assert_held(&slab->readers.lock);

	reclaim->held = NULL;
	reclaim->held_bytes = 0;
	reclaim->held_count = 0;
	reclaim->looks++;
	return reclaim_records(slab, held, expired);
}

/*
 * Evict who holds back the most until held blocks are at most @limit bytes: after
 * at most ten rounds, as then all are evicted that may hold any.
 */
static bool reclaim_to_limit(struct slabshm_slab *slab, u64 limit)
{
	struct slabshm_reclaim *reclaim = &slab->reclaim;
	unsigned int round;

	lockdep_assert_held(&slab->readers.lock);

	for (round = 0; reclaim->held_bytes > limit; round++) {
		slabshm_readers_scan(slab);
		reclaim_held(slab, 0);
		if (reclaim->held_bytes <= limit)
			break;
		slabshm_readers_evict_most(slab, round);
	}
	return round;
}

/* Note what the clock shows; say which commit is older than the timeout. */
static u64 reclaim_expired(struct slabshm_slab *slab, u64 commit)
{
	struct slabshm_reclaim *reclaim = &slab->reclaim;
	unsigned int i, n = reclaim->nsamples;
	unsigned long now = jiffies;
	u64 expired = 0;

	lockdep_assert_held(&slab->readers.lock);

	/* Nothing whose age matters: begin anew */
	if (!reclaim->held && !reclaim->timeout) {
		n = 0;
		reclaim->sample_step = DELAY_MAX / (SLABSHM_SAMPLES / 2);
	}
	if (!n || time_after_eq(now, reclaim->sample[n - 1].when +
				reclaim->sample_step)) {
		if (n == SLABSHM_SAMPLES && reclaim->timeout) {
			/* The oldest is of no use any more */
			n--;
			memmove(&reclaim->sample[0], &reclaim->sample[1],
				n * sizeof(reclaim->sample[0]));
		} else if (n == SLABSHM_SAMPLES) {
			/* Half as many for the same time */
			n /= 2;
			for (i = 0; i < n; i++)
				reclaim->sample[i] = reclaim->sample[2 * i];
			reclaim->sample_step *= 2;
		}
		reclaim->sample[n].commit = commit;
		reclaim->sample[n].when = now;
		n++;
	}
	reclaim->nsamples = n;
	if (!reclaim->timeout)
		return 0;
	for (i = 0; i < n; i++) {
		if (time_before(now, reclaim->sample[i].when +
				reclaim->timeout))
			break;
		expired = reclaim->sample[i].commit;
	}
	return expired;
}

/**
 * slabshm_reclaim_age_ms() - how long ago was this commit?
 * @slab: whose
 * @commit: of a retirement
 *
 * Context: slabshm_readers.lock is held.
 * Return: milliseconds, to about a 32nd of the read timeout, or of the whole.
 */
u64 slabshm_reclaim_age_ms(struct slabshm_slab *slab, u64 commit)
{
	struct slabshm_reclaim *reclaim = &slab->reclaim;
	unsigned int i;

	lockdep_assert_held(&slab->readers.lock);

	for (i = 0; i < reclaim->nsamples; i++) {
		if (reclaim->sample[i].commit >= commit)
			return jiffies_to_msecs(jiffies -
						reclaim->sample[i].when);
	}
	return 0;
}

/*
 * The held blocks have been looked at: queue the next look at them, or see that
 * none comes.
 */
static void reclaim_schedule(struct slabshm_slab *slab, bool progress)
{
	struct slabshm_reclaim *reclaim = &slab->reclaim;
	unsigned long most = reclaim->timeout ?
			     clamp(reclaim->timeout / 16, 1UL, (ulong)DELAY_MAX) :
			     DELAY_MAX;

	lockdep_assert_held(&slab->readers.lock);

	if (!reclaim->held) {
		reclaim->delay = DELAY_MIN;
		reclaim->next_look = jiffies;
		if (cancel_delayed_work(&reclaim->retry))
			slabshm_slab_put(slab);
		return;
	}
	reclaim->delay = progress ? DELAY_MIN : reclaim->delay * 2;
	reclaim->delay = clamp(reclaim->delay, 1UL, most);
	reclaim->next_look = jiffies + reclaim->delay;
	slabshm_slab_get(slab);
	if (mod_delayed_work(round_wq, &reclaim->retry, reclaim->delay))
		slabshm_slab_put(slab);	/* it was queued already */
}

static void reclaim_retry(struct work_struct *work)
{
	struct slabshm_slab *slab = container_of(work, struct slabshm_slab,
						 reclaim.retry.work);

	slabshm_reclaim_queue(slab);
	slabshm_slab_put(slab);
}

/* One round.  One at a time for each slab, as it is one work item. */
static void reclaim_work(struct work_struct *work)
{
	struct slabshm_slab *slab = container_of(work, struct slabshm_slab,
						 reclaim.work);
	struct slabshm_reclaim *reclaim = &slab->reclaim;
	struct slabshm_object *object, *next;
	bool progress = false, looked, urgent, poisons;
	struct slabshm_record *records;
	LIST_HEAD(objects);
	u64 commit, expired, round;

	/* The batch is cut before the grace period starts */
	spin_lock(&slab->cells.lock);
	records = reclaim->blocks;
	reclaim->blocks = NULL;
	list_splice_init(&reclaim->objects, &objects);
	commit = slab->cells.commit;
	urgent = reclaim->urgent;
	reclaim->urgent = false;
	round = ++reclaim->begun;
	spin_unlock(&slab->cells.lock);

	/*
	 * Readers have no fence between the stores to their slot and their
	 * loads of the clock and of cells; every CPU's passing through a
	 * quiescent state, with a full barrier, is that fence.  A reader's
	 * store before it is seen by the scan below; a load after it finds the
	 * batch retired.  Pairs with the compiler barriers in pin and advance.
	 */
	if (records || !list_empty(&objects)) {
		if (urgent && time_after_eq(jiffies, READ_ONCE(last_urgent) +
					    URGENT_EVERY)) {
			WRITE_ONCE(last_urgent, jiffies);
			synchronize_rcu_expedited();
		} else {
			synchronize_rcu();
		}
	}

	list_for_each_entry_safe(object, next, &objects, link)
		object_take_apart(object, &records);

	/* The data may be gone, and shall not stay because of this round */
	poisons = READ_ONCE(poison) && slabshm_slab_use(slab);

	mutex_lock(&slab->readers.lock);
	slab->readers.cut = commit;
	reclaim->poison = poisons;
	expired = reclaim_expired(slab, commit);
	slabshm_readers_scan(slab);
	looked = !reclaim->held || urgent ||
		 time_after_eq(jiffies, reclaim->next_look);
	if (looked)
		progress = reclaim_held(slab, expired);
	reclaim_records(slab, records, expired);
	if (reclaim_to_limit(slab, reclaim->limit))
		progress = true;
	/* A look that is due already is not put off by rounds in between */
	if (looked || !reclaim->held)
		reclaim_schedule(slab, progress);
	mutex_unlock(&slab->readers.lock);
	if (poisons)
		slabshm_slab_unuse(slab);
	WRITE_ONCE(reclaim->ended, round);
	wake_up_all(&reclaim->wait);
	slabshm_slab_put(slab);
}

/**
 * slabshm_reclaim_queue() - start a round soon
 * @slab: whose; the queued item holds it
 *
 * Context: any.
 */
void slabshm_reclaim_queue(struct slabshm_slab *slab)
{
	/*
	 * A round that has not begun will find what the caller has retired
	 * under slabshm_cells.lock: it begins with taking that lock, after it
	 * is not pending any more.
	 */
	if (work_pending(&slab->reclaim.work))
		return;
	slabshm_slab_get(slab);
	if (!queue_work(round_wq, &slab->reclaim.work))
		slabshm_slab_put(slab);
}

/**
 * slabshm_reclaim_now() - wait for a round over all that is retired now
 * @slab: whose
 * @least: bytes that must be waiting besides those held, to be worth it
 *
 * Context: may sleep, for an expedited grace period at least.
 * Return: false if so little is retired that there was no round.
 */
bool slabshm_reclaim_now(struct slabshm_slab *slab, u64 least)
{
	struct slabshm_reclaim *reclaim = &slab->reclaim;
	/* Only a hint: it changes under another lock */
	u64 held = data_race(reclaim->held_bytes);
	u64 round;
	bool worth;

	spin_lock(&slab->cells.lock);
	round = reclaim->begun + 1;
	worth = reclaim->bytes > held && reclaim->bytes - held > least;
	if (worth)
		reclaim->urgent = true;
	spin_unlock(&slab->cells.lock);
	if (!worth)
		return false;
	slabshm_reclaim_queue(slab);
	/* A fatal signal is for the caller to see */
	wait_event_killable(reclaim->wait, READ_ONCE(reclaim->ended) >= round);
	return true;
}

/**
 * slabshm_reclaim_evict() - evict readers for the sake of an allocation
 * @slab: whose
 * @bytes: that it needs; if that many are not free or held back, nobody is
 *	evicted
 * @apart: if that many are free, they lie apart: evict all the same
 *
 * Evicts those who hold back the most; the caller tries again.
 *
 * Context: may sleep; takes slabshm_readers.lock.
 * Return: whether to try again.
 */
bool slabshm_reclaim_evict(struct slabshm_slab *slab, u64 bytes, bool apart)
{
	struct slabshm_reclaim *reclaim = &slab->reclaim;
	u64 free, need;
	bool enough;

	/* A fatal signal is for the caller to see */
	if (mutex_lock_killable(&slab->readers.lock))
		return true;
	free = slabshm_arena_free_bytes(&slab->arena);
	/* If it would do but lies apart, what is held may lie between */
	need = bytes > free ? bytes - free : reclaim->held_bytes / 4 + 1;
	enough = reclaim->held_bytes && reclaim->held_bytes >= need &&
		 (bytes > free || apart);
	if (enough) {
		reclaim->poison = READ_ONCE(poison);
		reclaim_to_limit(slab, reclaim->held_bytes - need);
	}
	mutex_unlock(&slab->readers.lock);
	return enough;
}

/**
 * slabshm_reclaim_init() - nothing is retired in a new slab
 * @slab: whose
 * @timeout_ms: read timeout, 0 for never
 * @limit: bytes that readers may hold back
 *
 * Context: any.
 */
void slabshm_reclaim_init(struct slabshm_slab *slab, u32 timeout_ms, u64 limit)
{
	struct slabshm_reclaim *reclaim = &slab->reclaim;

	INIT_LIST_HEAD(&reclaim->objects);
	init_waitqueue_head(&reclaim->wait);
	INIT_WORK(&reclaim->work, reclaim_work);
	INIT_DELAYED_WORK(&reclaim->retry, reclaim_retry);
	reclaim->timeout = msecs_to_jiffies(timeout_ms);
	reclaim->sample_step = max(reclaim->timeout / (SLABSHM_SAMPLES / 2),
				   1UL);
	reclaim->limit = limit;
	reclaim->delay = DELAY_MIN;
	mutex_init(&reclaim->turn);
}

/**
 * slabshm_reclaim_destroy() - the slab ends
 * @slab: whose; no work is queued, as that would hold the slab
 *
 * Context: may sleep.
 */
void slabshm_reclaim_destroy(struct slabshm_slab *slab)
{
	struct slabshm_reclaim *reclaim = &slab->reclaim;

	mutex_destroy(&reclaim->turn);
	slabshm_records_destroy(slab, reclaim->spare);
	/* A round is queued for whatever is retired or held, and holds the slab */
	WARN_ON_ONCE(reclaim->blocks || !list_empty(&reclaim->objects) ||
		     reclaim->held);
}

int slabshm_reclaim_module_init(void)
{
	round_wq = alloc_workqueue("slabshm", WQ_UNBOUND, WQ_MAX_ACTIVE);
	return round_wq ? 0 : -ENOMEM;
}

void slabshm_reclaim_module_exit(void)
{
	destroy_workqueue(round_wq);
}
