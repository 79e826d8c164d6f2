// SPDX-License-Identifier: GPL-2.0
/*
 * Rounds, held blocks, and which readers to evict.  See reclaim.h.
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

/* Held blocks are checked soon at first, then less and less often. */
#define DELAY_MIN	msecs_to_jiffies(8)
#define DELAY_MAX	HZ

/*
 * No more expedited grace periods than this, for all slabs together: each
 * disturbs every CPU.  If two pass at once, that does no harm.
 */
#define URGENT_EVERY	msecs_to_jiffies(8)
static unsigned long last_urgent = INITIAL_JIFFIES;

/* A round may take long, and a slab has one at most: a busy slab fills no queue */
static struct workqueue_struct *round_wq;

/*
 * Keep this many records that are not in use, or a few more: publishes that come
 * faster than grace periods end need thousands.
 */
#define RECORDS_KEPT	8192

/**
 * slabshm_retire_record() - retire one block
 * @slab: whose
 * @record: of the block, on no list
 * @bytes: of the block
 *
 * Context: slabshm_cells.lock has been held since the commit that replaced or
 * dropped the block.  The caller queues a round.
 */
void slabshm_retire_record(struct slabshm_slab *slab,
			   struct slabshm_record *record, u64 bytes)
{
	struct slabshm_retired *retired = &slab->retired;

	lockdep_assert_held(&slab->cells.lock);

	record->retired = slab->cells.commit;
	slabshm_record_push(&retired->blocks, record);
	retired->bytes += bytes;
	retired->count++;
	trace_slabshm_retire(slab, record->retired, 1, bytes);
}

/* Retire all blocks of an object, as slabshm_retire_record() does. */
void slabshm_retire_object(struct slabshm_slab *slab,
			   struct slabshm_object *object)
{
	struct slabshm_retired *retired = &slab->retired;
	u64 bytes = object->root_bytes + object->part_bytes;
	u64 n = object->nparts + !!object->root;

	lockdep_assert_held(&slab->cells.lock);

	object->retired = slab->cells.commit;
	list_add_tail(&object->link, &retired->objects);
	retired->bytes += bytes;
	retired->count += n;
	trace_slabshm_retire(slab, object->retired, n, bytes);
}

/* Unlink an object's records, and add them to the chain of a batch. */
static void object_unlink(struct slabshm_object *object,
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
	struct slabshm_retired *retired = &slab->retired;
	struct slabshm_record *record, *last = NULL;
	u64 bytes = 0, size = 0;

	if (!n)
		return;
	for (record = slab->held.poison ? batch : NULL; record;
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
	retired->bytes -= bytes;
	retired->count -= n;
	WRITE_ONCE(retired->freed, retired->freed + bytes);
	if (retired->nspare < RECORDS_KEPT) {
		last->next = retired->spare;
		retired->spare = batch;
		retired->nspare += n;
		batch = NULL;
	}
	spin_unlock(&slab->cells.lock);

	if (batch)
		slabshm_records_destroy(slab, batch);
	trace_slabshm_reclaim(slab, n, bytes);
	cond_resched();
}

static void hold_record(struct slabshm_slab *slab, struct slabshm_record *record,
			struct slabshm_interval *holder)
{
	struct slabshm_held *held = &slab->held;
	u64 size = 0;

	spin_lock(&slab->arena.lock);
	slabshm_arena_record(&slab->arena, slabshm_record_offset(record),
			     &size);
	spin_unlock(&slab->arena.lock);
	slabshm_record_push(&held->records, record);
	held->bytes += size;
	held->count++;
	holder->bytes += size;
}

/*
 * Free the blocks that no reader holds, and keep the others as held.  Evict readers
 * that hold one retired at @expired or before, and dead threads that hold any.
 * Returns how many were freed.
 */
static u64 reclaim_records(struct slabshm_slab *slab,
			   struct slabshm_record *chain, u64 expired)
{
	struct slabshm_readers *readers = &slab->readers;
	struct slabshm_record *record, *overdue, *batch = NULL;
	unsigned int round, n = 0, checked = 0;
	struct slabshm_interval *holder;
	u64 freed = 0;

	lockdep_assert_held(&readers->lock);

	if (chain && readers->ndead)
		slabshm_readers_evict(slab, chain, SLABSHM_EVICT_DEAD);
	for (round = 0; chain; round++) {
		overdue = NULL;
		while (chain) {
			record = slabshm_record_pop(&chain);
			if (!(++checked % 1024))
				cond_resched();
			holder = readers->nintervals ?
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
				hold_record(slab, record, holder);
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

/* Check the held blocks again.  Returns how many were freed. */
static u64 reclaim_held(struct slabshm_slab *slab, u64 expired)
{
	struct slabshm_held *held = &slab->held;
	struct slabshm_record *records = held->records;

	lockdep_assert_held(&slab->readers.lock);

	held->records = NULL;
	held->bytes = 0;
	held->count = 0;
	held->checks++;
	return reclaim_records(slab, records, expired);
}

/*
 * Evict the readers that hold back the most until held blocks are at most @limit
 * bytes.  That takes at most ten rounds, as then all are evicted that may hold any.
 */
static bool reclaim_to_limit(struct slabshm_slab *slab, u64 limit)
{
	unsigned int round;

	lockdep_assert_held(&slab->readers.lock);

	for (round = 0; slab->held.bytes > limit; round++) {
		slabshm_readers_scan(slab);
		reclaim_held(slab, 0);
		if (slab->held.bytes <= limit)
			break;
		slabshm_readers_evict_most(slab, round);
	}
	return round;
}

/* Add a sample of the clock if one is due. */
static void sample_add(struct slabshm_slab *slab, u64 commit)
{
	struct slabshm_held *held = &slab->held;
	unsigned long timeout = slab->reclaim.timeout, now = jiffies;
	unsigned int i, n = held->nsamples;

	lockdep_assert_held(&slab->readers.lock);

	/* Nothing whose age matters: start again */
	if (!held->records && !timeout) {
		n = 0;
		held->sample_step = DELAY_MAX / (SLABSHM_SAMPLES / 2);
	}
	if (n && time_before(now, held->sample[n - 1].when + held->sample_step))
		return;
	if (n == SLABSHM_SAMPLES && timeout) {
		/* The oldest is of no use any more */
		n--;
		memmove(&held->sample[0], &held->sample[1],
			n * sizeof(held->sample[0]));
	} else if (n == SLABSHM_SAMPLES) {
		/* Half as many for the same time */
		n /= 2;
		for (i = 0; i < n; i++)
			held->sample[i] = held->sample[2 * i];
		held->sample_step *= 2;
	}
	held->sample[n].commit = commit;
	held->sample[n].when = now;
	held->nsamples = n + 1;
}

/* The last commit that is older than the read timeout. */
static u64 sample_expired(struct slabshm_slab *slab)
{
	struct slabshm_held *held = &slab->held;
	unsigned long timeout = slab->reclaim.timeout, now = jiffies;
	u64 expired = 0;
	unsigned int i;

	for (i = 0; timeout && i < held->nsamples; i++) {
		if (time_before(now, held->sample[i].when + timeout))
			break;
		expired = held->sample[i].commit;
	}
	return expired;
}

/* How long ago a commit was, to about a 32nd of the read timeout or of the whole. */
static u64 sample_age_ms(struct slabshm_slab *slab, u64 commit)
{
	struct slabshm_held *held = &slab->held;
	unsigned int i;

	lockdep_assert_held(&slab->readers.lock);

	for (i = 0; i < held->nsamples; i++) {
		if (held->sample[i].commit >= commit)
			return jiffies_to_msecs(jiffies - held->sample[i].when);
	}
	return 0;
}

/* The held blocks have been checked: when to check them again. */
static void held_checked(struct slabshm_slab *slab, bool progress)
{
	struct slabshm_held *held = &slab->held;
	unsigned long timeout = slab->reclaim.timeout;
	unsigned long most = timeout ? clamp(timeout / 16, 1UL, (ulong)DELAY_MAX) :
				       DELAY_MAX;

	lockdep_assert_held(&slab->readers.lock);

	held->delay = progress || !held->records ? DELAY_MIN : held->delay * 2;
	held->delay = clamp(held->delay, 1UL, most);
	held->next_check = jiffies + held->delay;
}

/* Take the batch.  Returns the clock at that moment. */
static u64 batch_take(struct slabshm_slab *slab, struct slabshm_record **records,
		      struct list_head *objects, bool *urgent, u64 *round)
{
	struct slabshm_retired *retired = &slab->retired;
	u64 commit;

	spin_lock(&slab->cells.lock);
	*records = retired->blocks;
	retired->blocks = NULL;
	list_splice_init(&retired->objects, objects);
	commit = slab->cells.commit;
	*urgent = retired->urgent;
	retired->urgent = false;
	*round = ++retired->begun;
	spin_unlock(&slab->cells.lock);
	return commit;
}

/* Was something retired since the batch was taken? */
static bool retired_waits(struct slabshm_slab *slab)
{
	struct slabshm_retired *retired = &slab->retired;
	bool waits;

	spin_lock(&slab->cells.lock);
	waits = retired->blocks || !list_empty(&retired->objects);
	spin_unlock(&slab->cells.lock);
	return waits;
}

/*
 * Readers have no fence between the stores to their slot and their loads of the
 * clock and of cells; a quiescent state of every CPU, with a full barrier, is that
 * fence.  A reader's store before it is seen by the scan that follows; a load after
 * it finds the batch retired.  Pairs with the compiler barriers in pin and advance.
 */
static void batch_wait(bool urgent)
{
	if (urgent && time_after_eq(jiffies, READ_ONCE(last_urgent) +
				    URGENT_EVERY)) {
		WRITE_ONCE(last_urgent, jiffies);
		synchronize_rcu_expedited();
	} else {
		synchronize_rcu();
	}
}

/* One round.  One at a time for each slab, as it is one work item. */
static void reclaim_work(struct work_struct *work)
{
	struct slabshm_slab *slab = container_of(work, struct slabshm_slab,
						 reclaim.round.work);
	struct slabshm_held *held = &slab->held;
	bool progress = false, check, urgent, poisons = READ_ONCE(poison);
	struct slabshm_object *object, *next;
	struct slabshm_record *records;
	LIST_HEAD(objects);
	u64 commit, expired, round;

	/* The batch is taken before the grace period starts */
	commit = batch_take(slab, &records, &objects, &urgent, &round);
	if (records || !list_empty(&objects))
		batch_wait(urgent);
	list_for_each_entry_safe(object, next, &objects, link)
		object_unlink(object, &records);

	/* Keeps the data, if it is not gone */
	if (poisons)
		mutex_lock(&slab->grow_lock);
	mutex_lock(&slab->readers.lock);
	slab->readers.cut = commit;
	held->poison = poisons && slab->data;
	sample_add(slab, commit);
	expired = sample_expired(slab);
	slabshm_readers_scan(slab);
	check = !held->records || urgent ||
		time_after_eq(jiffies, held->next_check);
	if (check)
		progress = reclaim_held(slab, expired);
	reclaim_records(slab, records, expired);
	if (reclaim_to_limit(slab, slab->reclaim.limit))
		progress = true;
	/* Rounds in between do not put off a check that is due */
	if (check || !held->records)
		held_checked(slab, progress);
	/* Does nothing if a publisher has queued the next round meanwhile */
	if (held->records)
		queue_delayed_work(round_wq, &slab->reclaim.round,
				   max_t(long, held->next_check - jiffies, 0));
	/* One that came in between has taken the timer for a queued round */
	if (retired_waits(slab))
		mod_delayed_work(round_wq, &slab->reclaim.round, 0);
	mutex_unlock(&slab->readers.lock);
	if (poisons)
		mutex_unlock(&slab->grow_lock);
	WRITE_ONCE(slab->reclaim.ended, round);
	wake_up_all(&slab->reclaim.wait);
}

/**
 * slabshm_reclaim_queue() - start a round soon
 * @slab: whose
 *
 * Context: any.
 */
void slabshm_reclaim_queue(struct slabshm_slab *slab)
{
	struct delayed_work *round = &slab->reclaim.round;

	/*
	 * A round that has not begun will find what the caller has retired under
	 * slabshm_cells.lock: it begins by taking that lock, after it is not
	 * pending any more.  One that is just arming its timer looks as if it
	 * were queued; it checks for more itself after that.
	 */
	if (work_pending(&round->work) && !timer_pending(&round->timer))
		return;
	mod_delayed_work(round_wq, round, 0);
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
	struct slabshm_retired *retired = &slab->retired;
	struct slabshm_reclaim *reclaim = &slab->reclaim;
	/* Only a hint: it changes under another lock */
	u64 held = data_race(slab->held.bytes);
	u64 round;
	bool worth;

	spin_lock(&slab->cells.lock);
	round = retired->begun + 1;
	worth = retired->bytes > held && retired->bytes - held > least;
	if (worth)
		retired->urgent = true;
	spin_unlock(&slab->cells.lock);
	if (!worth)
		return false;
	mod_delayed_work(round_wq, &reclaim->round, 0);
	/* A fatal signal is for the caller to see */
	wait_event_killable(reclaim->wait, READ_ONCE(reclaim->ended) >= round);
	return true;
}

/**
 * slabshm_reclaim_evict() - evict readers for an allocation
 * @slab: whose
 * @bytes: that it needs; if that many are not free or held back, nobody is
 *	evicted
 * @fragmented: evict also if that many are free, but not in one piece
 *
 * Evicts those who hold back the most; the caller tries again.
 *
 * Context: may sleep; takes slabshm_readers.lock.
 * Return: whether to try again.
 */
bool slabshm_reclaim_evict(struct slabshm_slab *slab, u64 bytes, bool fragmented)
{
	struct slabshm_held *held = &slab->held;
	u64 free, need;
	bool enough;

	/* A fatal signal is for the caller to see */
	if (mutex_lock_killable(&slab->readers.lock))
		return true;
	free = slabshm_arena_free_bytes(&slab->arena);
	/* If enough is free in pieces, what is held may lie between them */
	need = bytes > free ? bytes - free : held->bytes / 4 + 1;
	enough = held->bytes && held->bytes >= need &&
		 (bytes > free || fragmented);
	if (enough) {
		held->poison = READ_ONCE(poison);
		reclaim_to_limit(slab, held->bytes - need);
	}
	mutex_unlock(&slab->readers.lock);
	return enough;
}

/* Held blocks that a list goes through before others get the lock */
#define LIST_PIECE	1024
/* How often a list starts again because the held blocks were checked meanwhile */
#define LIST_AGAIN	2

/*
 * Fill in what some readers hold back, and since when: @entry has their lo and hi,
 * and @from the commit after which they hold.
 */
static int list_held(struct slabshm_slab *slab, const u64 *from,
		     struct slabshm_reader_entry *entry, unsigned int n)
{
	struct slabshm_held *held = &slab->held;
	struct slabshm_record *record;
	u64 oldest[SLABSHM_BATCH_MAX];
	unsigned int i, again = 0, passed = 0;
	u64 size, checks;

restart:
	checks = held->checks;
	for (i = 0; i < n; i++) {
		entry[i].held = 0;
		oldest[i] = U64_MAX;
	}
	for (record = held->records; record; record = record->next) {
		size = 0;
		for (i = 0; i < n; i++) {
			if (!entry[i].lo || record->retired <= from[i] ||
			    record->born > entry[i].hi)
				continue;
			if (!size) {
				spin_lock(&slab->arena.lock);
				slabshm_arena_record(&slab->arena,
						     slabshm_record_offset(record),
						     &size);
				spin_unlock(&slab->arena.lock);
			}
			entry[i].held += size;
			oldest[i] = min(oldest[i], record->retired);
		}
		if (++passed % LIST_PIECE)
			continue;
		if (fatal_signal_pending(current))
			return -EINTR;
		if (again == LIST_AGAIN) {
			cond_resched();
			continue;
		}
		mutex_unlock(&slab->readers.lock);
		cond_resched();
		mutex_lock(&slab->readers.lock);
		if (checks != held->checks) {
			again++;
			goto restart;
		}
	}
	for (i = 0; i < n; i++) {
		if (entry[i].held)
			entry[i].held_ms = sample_age_ms(slab, oldest[i]);
	}
	return 0;
}

/**
 * slabshm_reclaim_readers() - some of a slab's readers, and what they hold back
 * @slab: whose
 * @cursor: id of the last one listed, 0 to start; moved on
 * @entry: array of @n, zeroed
 * @n: how many at most, up to %SLABSHM_BATCH_MAX
 *
 * Context: may sleep; takes slabshm_readers.lock.
 * Return: how many there were, 0 at the end; -EINTR for a fatal signal.
 */
int slabshm_reclaim_readers(struct slabshm_slab *slab, u64 *cursor,
			    struct slabshm_reader_entry *entry, unsigned int n)
{
	u64 from[SLABSHM_BATCH_MAX];
	int err;

	if (mutex_lock_killable(&slab->readers.lock))
		return -EINTR;
	n = slabshm_readers_list(&slab->readers, cursor, entry, from, n);
	err = list_held(slab, from, entry, n);
	mutex_unlock(&slab->readers.lock);
	return err ?: n;
}

void slabshm_reclaim_init(struct slabshm_slab *slab, u32 timeout_ms, u64 limit)
{
	struct slabshm_reclaim *reclaim = &slab->reclaim;

	INIT_LIST_HEAD(&slab->retired.objects);
	slab->held.delay = DELAY_MIN;
	init_waitqueue_head(&reclaim->wait);
	INIT_DELAYED_WORK(&reclaim->round, reclaim_work);
	reclaim->timeout = msecs_to_jiffies(timeout_ms);
	slab->held.sample_step = max(reclaim->timeout / (SLABSHM_SAMPLES / 2),
				     1UL);
	reclaim->limit = limit;
	mutex_init(&reclaim->turn);
}

/* The slab ends, and what is retired in it.  May wait for a grace period. */
void slabshm_reclaim_destroy(struct slabshm_slab *slab)
{
	struct slabshm_object *object, *next;

	cancel_delayed_work_sync(&slab->reclaim.round);
	list_for_each_entry_safe(object, next, &slab->retired.objects, link)
		slabshm_object_destroy(object);
	slabshm_records_destroy(slab, slab->retired.blocks);
	slabshm_records_destroy(slab, slab->held.records);
	slabshm_records_destroy(slab, slab->retired.spare);
	mutex_destroy(&slab->reclaim.turn);
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
