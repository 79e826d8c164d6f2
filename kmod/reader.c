// SPDX-License-Identifier: GPL-2.0
/*
 * Readers: registration, the look at all slots, eviction.
 */
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/pid.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/xarray.h>

#include "client.h"
#include "reader.h"
#include "reclaim.h"
#include "region.h"
#include "slab.h"
#include "trace.h"

#define SLOTS_PER_PAGE	(PAGE_SIZE / sizeof(struct slabshm_slot))
#define SLOTS		(SLABSHM_READER_SIZE / sizeof(struct slabshm_slot))

static unsigned int max_readers = 65536;
module_param(max_readers, uint, 0644);
MODULE_PARM_DESC(max_readers, "readers of one slab (default 65536)");

/* The clock as readers see it. */
static u64 header_commit(struct slabshm_slab *slab)
{
	/* Pairs with commit_done() */
	return smp_load_acquire(&slab->control.header->commit);
}

/**
 * slabshm_readers_init() - the readers of a new slab
 * @slab: whose
 *
 * Context: any.
 */
void slabshm_readers_init(struct slabshm_slab *slab)
{
	mutex_init(&slab->readers.lock);
	INIT_LIST_HEAD(&slab->readers.list);
}

/**
 * slabshm_readers_destroy() - the end of slabshm_readers_init()
 * @slab: whose; it has no client any more
 *
 * Context: may sleep.
 */
void slabshm_readers_destroy(struct slabshm_slab *slab)
{
	WARN_ON_ONCE(slab->readers.count);
	kvfree(slab->readers.cover);
	mutex_destroy(&slab->readers.lock);
}

/* Has the thread that registered ended? */
static bool reader_dead(const struct slabshm_reader *reader)
{
	return slabshm_thread_dead(reader->client, reader->pid);
}

static void reader_free(struct slabshm_reader *reader)
{
	put_pid(reader->pid);
	kfree_rcu(reader, rcu);
}

static void reader_remove(struct slabshm_readers *readers,
			  struct slabshm_reader *reader)
{
	lockdep_assert_held(&readers->lock);

	xa_erase(&reader->client->readers, reader->index);
	list_del(&reader->link);
	WRITE_ONCE(readers->count, readers->count - 1);
	reader_free(reader);
}

/* Remove a client's readers, or those whose thread has ended. */
static void readers_sweep(struct slabshm_client *client, bool all)
{
	struct slabshm_readers *readers = &client->slab->readers;
	struct slabshm_reader *reader;
	unsigned long i;

	mutex_lock(&readers->lock);
	xa_for_each(&client->readers, i, reader) {
		if (!all && !reader_dead(reader))
			continue;
		/* The slot may have been lent to a thread that lives on */
		if (!all && READ_ONCE(reader->slot->lo) >= reader->floor)
			slabshm_reader_evict(client->slab, reader);
		reader_remove(readers, reader);
	}
	mutex_unlock(&readers->lock);
}

/*
 * Room for one more in the table of a scan, and the page of the slot.  Memory
 * comes before the lock: who must wait for it shall not stop reclaim.
 */
static int reader_reserve(struct slabshm_client *client, u32 index)
{
	struct slabshm_readers *readers = &client->slab->readers;
	struct page **slot = &client->reader_pages[index / SLOTS_PER_PAGE];
	unsigned int capacity = READ_ONCE(readers->capacity);
	struct slabshm_cover *cover = NULL;
	struct page *page;

	if (!READ_ONCE(*slot)) {
		page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
		if (!page)
			return -ENOMEM;
		/* Orders the zeros before the page; pairs with reader_fault() */
		if (cmpxchg(slot, NULL, page))
			__free_page(page);
	}

	/* Early, as others may come in between */
	if (READ_ONCE(readers->count) < capacity - capacity / 4)
		return 0;
	capacity = max(64U, capacity * 2);
	cover = kvmalloc_array(capacity, sizeof(*cover), GFP_KERNEL_ACCOUNT);
	if (!cover)
		return -ENOMEM;
	mutex_lock(&readers->lock);
	if (readers->capacity < capacity) {
		/* What is in the old one is good under the lock of its scan */
		swap(readers->cover, cover);
		readers->ncover = 0;
		WRITE_ONCE(readers->capacity, capacity);
	}
	mutex_unlock(&readers->lock);
	kvfree(cover);
	return 0;
}

static int reader_add(struct slabshm_client *client,
		      struct slabshm_reader *reader)
{
	struct slabshm_slab *slab = client->slab;
	struct slabshm_readers *readers = &slab->readers;
	struct slabshm_slot *page;
	int err;

	/* A reservation: READER_CHECK does not find it yet */
	err = xa_alloc(&client->readers, &reader->index, NULL,
		       XA_LIMIT(0, SLOTS - 1), GFP_KERNEL_ACCOUNT);
	if (err)
		return err == -EBUSY ? -EDQUOT : err;
	err = reader_reserve(client, reader->index);
	if (err)
		goto erase;
	page = page_address(client->reader_pages[reader->index / SLOTS_PER_PAGE]);
	reader->slot = &page[reader->index % SLOTS_PER_PAGE];

	mutex_lock(&readers->lock);
	err = -EDQUOT;
	if (readers->count >= slabshm_slab_share(slab, READ_ONCE(max_readers)))
		goto unlock;
	err = -EAGAIN;
	if (readers->count >= readers->capacity)
		goto unlock;
	/* Whatever a former user of the slot left there counts for nothing */
	reader->floor = header_commit(slab);
	reader->id = ++readers->last_id;
	list_add_tail(&reader->link, &readers->list);
	WRITE_ONCE(readers->count, readers->count + 1);
	/* The entry is reserved, so this takes no memory */
	xa_store(&client->readers, reader->index, reader, GFP_KERNEL);
	mutex_unlock(&readers->lock);
	return 0;

unlock:
	mutex_unlock(&readers->lock);
erase:
	xa_erase(&client->readers, reader->index);
	return err;
}

/**
 * slabshm_reader_register() - a slot for the calling thread
 * @client: entered
 * @index: set to the slot's place in the reader region
 *
 * Context: may sleep; takes slabshm_readers.lock.
 * Return: 0, -EDQUOT or -ENOMEM.
 */
int slabshm_reader_register(struct slabshm_client *client, u32 *index)
{
	struct slabshm_reader *reader;
	bool swept = false;
	int err;

	reader = kzalloc(sizeof(*reader), GFP_KERNEL_ACCOUNT);
	if (!reader)
		return -ENOMEM;
	reader->client = client;
	reader->pid = get_task_pid(current, PIDTYPE_PID);

	for (;;) {
		err = reader_add(client, reader);
		if (err == -EDQUOT && !swept) {
			/* Threads that ended without a word left slots */
			readers_sweep(client, false);
			swept = true;
		} else if (err != -EAGAIN) {
			break;
		}
	}
	if (err) {
		put_pid(reader->pid);
		kfree(reader);
		return err;
	}
	*index = reader->index;
	return 0;
}

/**
 * slabshm_reader_unregister() - give a slot back
 * @client: any thread of it
 * @index: of the slot
 *
 * Context: may sleep; takes slabshm_readers.lock.
 * Return: 0, or -EINVAL if no such slot is registered.
 */
int slabshm_reader_unregister(struct slabshm_client *client, u32 index)
{
	struct slabshm_readers *readers = &client->slab->readers;
	struct slabshm_reader *reader;

	mutex_lock(&readers->lock);
	reader = xa_load(&client->readers, index);
	if (reader)
		reader_remove(readers, reader);
	mutex_unlock(&readers->lock);
	return reader ? 0 : -EINVAL;
}

/**
 * slabshm_reader_check() - was this pin evicted?
 * @client: any thread of it
 * @index: of the slot
 * @lo: of the pin
 *
 * Context: does not sleep.
 * Return: 0; -ESTALE if it was, or if the slot is not registered any more.
 */
int slabshm_reader_check(struct slabshm_client *client, u32 index, u64 lo)
{
	struct slabshm_reader *reader;
	int err = -ESTALE;

	/*
	 * The floor was stored before the space of what the pin held was free.
	 * Who has seen that space reused finds that floor here: pairs with the
	 * smp_wmb() in slabshm_reader_evict().
	 */
	smp_rmb();
	rcu_read_lock();
	reader = xa_load(&client->readers, index);
	if (reader && READ_ONCE(reader->floor) <= lo)
		err = 0;
	rcu_read_unlock();
	return err;
}

/**
 * slabshm_reader_end() - the client has ended: its readers hold nothing
 * @client: no call is under way for it
 *
 * Context: may sleep; takes slabshm_readers.lock.
 */
void slabshm_reader_end(struct slabshm_client *client)
{
	readers_sweep(client, true);
	slabshm_reclaim_queue(client->slab);
}

/**
 * slabshm_reader_evict() - withdraw a reader's pin
 * @slab: whose
 * @reader: of it
 *
 * The caller scans again before it frees anything.
 *
 * Context: slabshm_readers.lock is held.
 */
void slabshm_reader_evict(struct slabshm_slab *slab,
			  struct slabshm_reader *reader)
{
	struct slabshm_readers *readers = &slab->readers;
	u64 floor = header_commit(slab);

	lockdep_assert_held(&readers->lock);

	WRITE_ONCE(slab->control.header->evicted, floor);
	/* No pin of a dead thread is ever good again */
	if (reader_dead(reader))
		floor = U64_MAX;
	readers->evictions++;
	WRITE_ONCE(reader->floor, floor);
	/*
	 * Both before the space is free: a reader that sees it reused finds at
	 * unpin (its acquire fence) that the header's word is above its lo, and
	 * then the floor at slabshm_reader_check().
	 */
	smp_wmb();
	trace_slabshm_evict(slab, reader);
}

static int cover_cmp(const void *a, const void *b)
{
	const struct slabshm_cover *x = a, *y = b;

	return x->lo < y->lo ? -1 : x->lo > y->lo;
}

/**
 * slabshm_readers_scan() - look at all slots
 * @slab: whose
 *
 * A reader whose thread has ended in a pin is evicted on the way.  What was in
 * a batch before a grace period that has passed may be judged by this scan,
 * and by every later one.
 *
 * Context: may sleep; slabshm_readers.lock is held, and as long as the result
 * is used.
 */
void slabshm_readers_scan(struct slabshm_slab *slab)
{
	struct slabshm_readers *readers = &slab->readers;
	struct slabshm_reader *reader;
	unsigned int i, n = 0;
	u64 hi = 0;

	lockdep_assert_held(&readers->lock);

	list_for_each_entry(reader, &readers->list, link) {
		/*
		 * Pairs with unpin's store-release of 0: what the reader loaded
		 * in the pin, it loaded before the space is free.
		 */
		reader->lo = smp_load_acquire(&reader->slot->lo);
		reader->hi = READ_ONCE(reader->slot->hi);
		if (reader->lo && reader->lo >= reader->floor &&
		    reader->floor != U64_MAX && reader_dead(reader))
			slabshm_reader_evict(slab, reader);
		if (reader->lo < reader->floor || reader->floor == U64_MAX)
			reader->lo = 0;		/* evicted, or a lie */
		if (!reader->lo)
			continue;
		readers->cover[n].lo = reader->lo;
		readers->cover[n].hi = reader->hi;
		readers->cover[n].bytes = 0;
		readers->cover[n].reader = reader;
		n++;
	}
	sort(readers->cover, n, sizeof(*readers->cover), cover_cmp, NULL);
	for (i = 0; i < n; i++) {
		hi = max(hi, readers->cover[i].hi);
		readers->cover[i].hi = hi;
	}
	readers->ncover = n;
	cond_resched();
}

/* How many entries have a lo below R?  These are the first. */
static unsigned int cover_below(const struct slabshm_readers *readers, u64 retired)
{
	unsigned int a = 0, b = readers->ncover;

	while (a < b) {
		unsigned int mid = a + (b - a) / 2;

		if (readers->cover[mid].lo < retired)
			a = mid + 1;
		else
			b = mid;
	}
	return a;
}

/**
 * slabshm_readers_hold() - which reader holds a retired block?
 * @readers: scanned
 * @record: of the block
 *
 * That is: is there a slot with R > lo and B <= hi?  Two binary searches.
 *
 * Context: slabshm_readers.lock is held since the scan.
 * Return: the entry of the one with the least lo, NULL if there is none.
 */
struct slabshm_cover *
slabshm_readers_hold(const struct slabshm_readers *readers,
		     const struct slabshm_record *record)
{
	unsigned int a, b;

	lockdep_assert_held(&readers->lock);

	a = cover_below(readers, record->retired);
	if (!a || readers->cover[a - 1].hi < record->born)
		return NULL;
	/* The first with a hi of B or more; it is its own, not one before it */
	for (b = a - 1, a = 0; a < b; ) {
		unsigned int mid = a + (b - a) / 2;

		if (readers->cover[mid].hi < record->born)
			a = mid + 1;
		else
			b = mid;
	}
	return &readers->cover[a];
}

static bool reader_holds(const struct slabshm_reader *reader,
			 const struct slabshm_record *record)
{
	return reader->lo && record->retired > reader->lo &&
	       record->born <= reader->hi;
}

/*
 * Evict a reader that the scan found pinned.  With @others the client's other
 * slots, too: else they could show one after the other that they hold the same.
 */
static void readers_evict(struct slabshm_slab *slab,
			  struct slabshm_reader *reader, bool others)
{
	struct slabshm_client *client = reader->client;
	/* At most what slabshm_reader_evict() puts in the header */
	u64 floor = header_commit(slab);
	unsigned long i;

	if (reader->floor > reader->lo)
		return;		/* has gone with another of its client */
	slabshm_reader_evict(slab, reader);
	if (!others)
		return;
	xa_for_each(&client->readers, i, reader) {
		if (reader->lo && reader->lo >= reader->floor)
			slabshm_reader_evict(slab, reader);
		else if (reader->floor < floor)
			WRITE_ONCE(reader->floor, floor);
	}
	smp_wmb();	/* as the one there */
}

/**
 * slabshm_readers_evict() - withdraw all pins that hold some of these blocks
 * @slab: scanned, and is scanned again
 * @records: of the blocks, each of which one holds by that scan: a chain
 * @others: with all the other pins of these clients
 *
 * From the pin with the largest lo to that with the least, more and more blocks
 * have an R above it; it holds one if the least B of these is not above its hi.
 * A reader that is evicted can not hold any of these blocks again, whatever it
 * writes.
 *
 * Context: may sleep; slabshm_readers.lock is held.
 */
void slabshm_readers_evict(struct slabshm_slab *slab,
			   const struct slabshm_record *records, bool others)
{
	struct slabshm_readers *readers = &slab->readers;
	const struct slabshm_record *record;
	unsigned int i, looked = 0;
	struct slabshm_cover *last;
	u64 born = U64_MAX;

	lockdep_assert_held(&readers->lock);

	for (i = 0; i < readers->ncover; i++)
		readers->cover[i].born = U64_MAX;
	for (record = records; record; record = record->next) {
		last = &readers->cover[cover_below(readers, record->retired) - 1];
		last->born = min(last->born, record->born);
		if (!(++looked % 1024))
			cond_resched();
	}
	for (i = readers->ncover; i--; ) {
		struct slabshm_reader *reader = readers->cover[i].reader;

		born = min(born, readers->cover[i].born);
		if (born <= reader->hi)
			readers_evict(slab, reader, others);
	}
	slabshm_readers_scan(slab);
}

/* What a reader holds back, and the oldest of it. */
static u64 reader_held(struct slabshm_slab *slab,
		       const struct slabshm_reader *reader, u64 *oldest)
{
	struct slabshm_record *record;
	u64 bytes = 0, size = 0;
	unsigned int n = 0;

	*oldest = U64_MAX;
	if (!reader->lo)
		return 0;
	for (record = slab->reclaim.held; record; record = record->next) {
		if (!(++n % 1024))
			cond_resched();
		if (!reader_holds(reader, record))
			continue;
		spin_lock(&slab->arena.lock);
		slabshm_arena_record(&slab->arena,
				     slabshm_record_offset(record), &size);
		spin_unlock(&slab->arena.lock);
		bytes += size;
		*oldest = min(*oldest, record->retired);
	}
	return bytes;
}

/**
 * slabshm_readers_evict_most() - evict who holds back the most
 * @slab: scanned, and all held blocks looked at since
 * @round: how often that was of no avail; then others hold the same, and twice
 *	as many have to go each time
 *
 * A block counts for the oldest pin that holds it.  The caller scans again.
 *
 * Context: slabshm_readers.lock is held.
 */
void slabshm_readers_evict_most(struct slabshm_slab *slab, unsigned int round)
{
	struct slabshm_readers *readers = &slab->readers;
	struct slabshm_cover *most = readers->cover;
	struct slabshm_reader *reader;
	unsigned int i;
	u64 old = 0;

	lockdep_assert_held(&readers->lock);

	if (WARN_ON_ONCE(!readers->ncover))
		return;
	for (i = 1; i < readers->ncover; i++) {
		if (readers->cover[i].bytes > most->bytes)
			most = &readers->cover[i];
	}
	if (round)
		old = readers->cover[min(1U << min(round, 16U),
					 readers->ncover) - 1].lo;
	list_for_each_entry(reader, &readers->list, link) {
		if (reader->lo && (reader->lo <= old ||
				   (reader->lo == most->lo &&
				    reader->hi == most->hi)))
			readers_evict(slab, reader, round);
	}
}

/**
 * slabshm_reader_list() - some of a slab's readers
 * @slab: whose
 * @cursor: id of the last one told, 0 to start; moved on
 * @entry: room for @n, zeroed
 * @n: how many at most
 *
 * Context: may sleep; takes slabshm_readers.lock.
 * Return: how many there were; 0 at the end.
 */
unsigned int slabshm_reader_list(struct slabshm_slab *slab, u64 *cursor,
				 struct slabshm_reader_entry *entry,
				 unsigned int n)
{
	struct slabshm_readers *readers = &slab->readers;
	struct slabshm_reader *reader;
	unsigned int i = 0;
	u64 oldest;

	mutex_lock(&readers->lock);
	slabshm_readers_scan(slab);
	list_for_each_entry(reader, &readers->list, link) {
		if (reader->id <= *cursor)
			continue;
		if (i == n)
			break;
		entry[i].client = reader->client->id;
		entry[i].slot = reader->index;
		entry[i].tid = pid_vnr(reader->pid);
		if (reader->lo)
			entry[i].flags |= SLABSHM_READER_PINNED;
		if (reader_dead(reader))
			entry[i].flags |= SLABSHM_READER_DEAD;
		entry[i].lo = reader->lo;
		entry[i].hi = reader->lo ? reader->hi : 0;
		entry[i].held = reader_held(slab, reader, &oldest);
		if (entry[i].held)
			entry[i].held_ms = slabshm_reclaim_age_ms(slab, oldest);
		*cursor = reader->id;
		i++;
	}
	mutex_unlock(&readers->lock);
	return i;
}
