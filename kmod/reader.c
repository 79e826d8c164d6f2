// SPDX-License-Identifier: GPL-2.0
/*
 * Readers: registration, the scan of all slots, eviction.
 */
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/pid.h>
#include <linux/rbtree.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/xarray.h>

#include "call.h"
#include "client.h"
#include "mmap.h"
#include "reader.h"
#include "object.h"
#include "slab.h"
#include "task.h"
#include "trace.h"
#include "user.h"

#define SLOTS_PER_PAGE	(PAGE_SIZE / sizeof(struct slabshm_slot))
#define SLOTS		(SLABSHM_READER_SIZE / sizeof(struct slabshm_slot))

static unsigned int max_readers = 65536;
module_param(max_readers, uint, 0644);
MODULE_PARM_DESC(max_readers, "readers of one slab (default 65536)");

/* The clock as readers see it. */
static u64 header_commit(struct slabshm_slab *slab)
{
	/* Pairs with the release in slabshm_cells_commit() */
	return smp_load_acquire(&slab->control.header->commit);
}

void slabshm_readers_init(struct slabshm_slab *slab)
{
	mutex_init(&slab->readers.lock);
	slab->readers.tree = RB_ROOT;
}

void slabshm_readers_destroy(struct slabshm_slab *slab)
{
	WARN_ON_ONCE(slab->readers.count);
	kvfree(slab->readers.interval);
	mutex_destroy(&slab->readers.lock);
}

/* Has the thread that registered ended? */
static bool reader_dead(const struct slabshm_reader *reader)
{
	return slabshm_thread_dead(reader->client->mm, reader->pid);
}

/* What a reader costs: itself, and its place in the table of a scan. */
#define READER_COST	(sizeof(struct slabshm_reader) + \
			 2 * sizeof(struct slabshm_interval))

static void reader_free(struct slabshm_reader *reader)
{
	slabshm_user_uncharge(&reader->client->user->bytes, READER_COST);
	put_pid(reader->pid);
	kfree_rcu(reader, rcu);
}

static bool reader_less(struct rb_node *a, const struct rb_node *b)
{
	return rb_entry(a, struct slabshm_reader, node)->id <
	       rb_entry(b, struct slabshm_reader, node)->id;
}

/* For rb_find_first(): all with a larger id match. */
static int reader_not_after(const void *id, const struct rb_node *node)
{
	return rb_entry(node, struct slabshm_reader, node)->id <=
	       *(const u64 *)id;
}

static void reader_remove(struct slabshm_readers *readers,
			  struct slabshm_reader *reader)
{
	lockdep_assert_held(&readers->lock);

	xa_erase(&reader->client->readers, reader->index);
	rb_erase(&reader->node, &readers->tree);
	WRITE_ONCE(readers->count, readers->count - 1);
	reader->client->share->readers--;
	reader_free(reader);
}

/*
 * Reserve an entry in the table of a scan, and the page of the slot.  Memory comes
 * before the lock: waiting for it must not stop reclaim.
 */
static int reader_reserve(struct slabshm_client *client, u32 index)
{
	struct slabshm_readers *readers = &client->slab->readers;
	struct page **slot = &client->reader_pages[index / SLOTS_PER_PAGE];
	unsigned int capacity = READ_ONCE(readers->capacity);
	struct slabshm_interval *interval = NULL;
	struct page *page;

	if (!READ_ONCE(*slot)) {
		int err = slabshm_user_charge_bytes(client->user, PAGE_SIZE);

		if (err)
			return err;
		page = alloc_page(SLABSHM_GFP | __GFP_ZERO);
		/* Orders the zeros before the page; pairs with reader_fault() */
		if (!page || cmpxchg(slot, NULL, page)) {
			if (page)
				__free_page(page);
			slabshm_user_uncharge(&client->user->bytes, PAGE_SIZE);
			if (!page)
				return -ENOMEM;
		}
	}

	/* Early, as others may come in between */
	if (READ_ONCE(readers->count) < capacity - capacity / 4)
		return 0;
	capacity = max(64U, capacity * 2);
	interval = kvmalloc_array(capacity, sizeof(*interval), SLABSHM_GFP);
	if (!interval)
		return -ENOMEM;
	mutex_lock(&readers->lock);
	if (readers->capacity < capacity) {
		/* What is in the old one is good under the lock of its scan */
		swap(readers->interval, interval);
		readers->nintervals = 0;
		WRITE_ONCE(readers->capacity, capacity);
	}
	mutex_unlock(&readers->lock);
	kvfree(interval);
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
		       XA_LIMIT(0, SLOTS - 1), SLABSHM_GFP);
	if (err)
		return err == -EBUSY ? -EDQUOT : err;
	err = reader_reserve(client, reader->index);
	if (err)
		goto erase;
	page = page_address(client->reader_pages[reader->index / SLOTS_PER_PAGE]);
	reader->slot = &page[reader->index % SLOTS_PER_PAGE];

	mutex_lock(&readers->lock);
	err = -EDQUOT;
	if (!slabshm_user_may_take(file_inode(slab->data)->i_uid,
				   READ_ONCE(max_readers), readers->count,
				   client->share->readers))
		goto unlock;
	err = -EAGAIN;
	if (readers->count >= readers->capacity)
		goto unlock;
	/* Whatever a former user of the slot left there counts for nothing */
	reader->floor = header_commit(slab);
	reader->id = ++readers->last_id;
	rb_add(&reader->node, &readers->tree, reader_less);
	WRITE_ONCE(readers->count, readers->count + 1);
	client->share->readers++;
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

/*
 * A slot for the calling thread.  It stays until it is unregistered or the client ends,
 * also if the thread ends before: another thread may use it.
 */
static int reader_register(struct slabshm_client *client, u32 *index)
{
	struct slabshm_reader *reader;
	int err;

	if (task_tgid(current) != client->pid)
		return -EIO;
	err = slabshm_user_charge_bytes(client->user, READER_COST);
	if (err)
		return err;
	reader = kzalloc(sizeof(*reader), SLABSHM_GFP);
	if (!reader) {
		slabshm_user_uncharge(&client->user->bytes, READER_COST);
		return -ENOMEM;
	}
	reader->client = client;
	reader->pid = get_task_pid(current, PIDTYPE_PID);

	do {
		err = reader_add(client, reader);
	} while (err == -EAGAIN);
	if (err) {
		reader_free(reader);
		return err;
	}
	*index = reader->index;
	return 0;
}

/* Give a slot back. */
static int reader_unregister(struct slabshm_client *client, u32 index)
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

/* Was this pin evicted, or is the slot not registered any more? */
static int reader_check(struct slabshm_client *client, u32 index, u64 lo)
{
	struct slabshm_reader *reader;
	int err = -ESTALE;

	/*
	 * The floor was stored before the space of what the pin held was free.
	 * A reader that has seen that space reused finds that floor here: pairs with the
	 * smp_wmb() in reader_evict().
	 */
	smp_rmb();
	rcu_read_lock();
	reader = xa_load(&client->readers, index);
	if (reader && READ_ONCE(reader->floor) <= lo)
		err = 0;
	rcu_read_unlock();
	return err;
}

/* The client has ended, and no call is under way for it: its readers hold nothing. */
void slabshm_reader_end(struct slabshm_client *client)
{
	struct slabshm_readers *readers = &client->slab->readers;
	struct slabshm_reader *reader;
	unsigned long i;

	mutex_lock(&readers->lock);
	xa_for_each(&client->readers, i, reader)
		reader_remove(readers, reader);
	mutex_unlock(&readers->lock);
}

/* Withdraw a pin.  The caller scans again before it frees anything. */
static void reader_evict(struct slabshm_slab *slab, struct slabshm_reader *reader)
{
	struct slabshm_readers *readers = &slab->readers;
	u64 floor = header_commit(slab);

	lockdep_assert_held(&readers->lock);

	WRITE_ONCE(slab->control.header->evicted, floor);
	WRITE_ONCE(reader->floor, floor);
	/*
	 * Both before the space is free: a reader that sees it reused finds at
	 * unpin (its acquire fence) that the header's word is above its lo, and
	 * then the floor at reader_check().
	 */
	smp_wmb();
	readers->evictions++;
	trace_slabshm_evict(slab, reader);
}

static int interval_cmp(const void *a, const void *b)
{
	const struct slabshm_interval *x = a, *y = b;

	return x->lo < y->lo ? -1 : x->lo > y->lo;
}

/* Does the slot show a pin that was not withdrawn? */
static bool reader_pinned(const struct slabshm_reader *reader, u64 lo)
{
	return lo && lo >= reader->floor;
}

/**
 * slabshm_readers_scan() - scan all slots
 * @slab: whose
 *
 * Blocks retired up to slabshm_readers.cut may be judged by this scan, and by every
 * later one.
 *
 * What a slot shows decides which blocks are kept, and nothing else: not how long a
 * scan takes, and no claim on a block that an earlier scan did not find.
 *
 * Context: may sleep; slabshm_readers.lock is held, and as long as the result
 * is used.
 */
void slabshm_readers_scan(struct slabshm_slab *slab)
{
	struct slabshm_readers *readers = &slab->readers;
	unsigned int i, n = 0, ndead = 0;
	struct rb_node *node;
	u64 hi = 0;

	lockdep_assert_held(&readers->lock);

	for (node = rb_first(&readers->tree); node; node = rb_next(node)) {
		struct slabshm_reader *reader = rb_entry(node,
							 struct slabshm_reader,
							 node);
		/*
		 * Pairs with unpin's store-release of 0: what the reader loaded
		 * in the pin, it loaded before the space is free.
		 */
		u64 lo = smp_load_acquire(&reader->slot->lo);
		u64 from;

		/*
		 * The last scan did not see this store, and came after the grace
		 * period of what was retired up to @scanned.  So the store is
		 * after that grace period's barrier on its CPU, and the reader
		 * found all of that retired.
		 */
		if (lo != reader->lo)
			reader->barred = readers->scanned;
		reader->lo = lo;
		reader->hi = READ_ONCE(reader->slot->hi);
		from = max(lo, reader->barred);
		if (!reader_pinned(reader, lo) || from >= readers->cut)
			continue;
		readers->interval[n].lo = from;
		readers->interval[n].hi = reader->hi;
		readers->interval[n].bytes = 0;
		readers->interval[n].reader = reader;
		ndead += reader_dead(reader);
		if (!(++n % 1024))
			cond_resched();
	}
	readers->scanned = readers->cut;
	sort(readers->interval, n, sizeof(*readers->interval), interval_cmp, NULL);
	for (i = 0; i < n; i++) {
		hi = max(hi, readers->interval[i].hi);
		readers->interval[i].hi = hi;
	}
	readers->nintervals = n;
	readers->ndead = ndead;
	cond_resched();
}

/* How many entries have a lo below R?  These are the first. */
static unsigned int intervals_below(const struct slabshm_readers *readers, u64 retired)
{
	unsigned int a = 0, b = readers->nintervals;

	while (a < b) {
		unsigned int mid = a + (b - a) / 2;

		if (readers->interval[mid].lo < retired)
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
struct slabshm_interval *
slabshm_readers_hold(const struct slabshm_readers *readers,
		     const struct slabshm_record *record)
{
	unsigned int a, b;

	lockdep_assert_held(&readers->lock);

	a = intervals_below(readers, record->retired);
	if (!a || readers->interval[a - 1].hi < record->born)
		return NULL;
	/* The first with a hi of B or more; it is its own, not one before it */
	for (b = a - 1, a = 0; a < b; ) {
		unsigned int mid = a + (b - a) / 2;

		if (readers->interval[mid].hi < record->born)
			a = mid + 1;
		else
			b = mid;
	}
	return &readers->interval[a];
}

/**
 * slabshm_readers_evict() - withdraw pins for the sake of some blocks
 * @slab: scanned, and is scanned again
 * @records: of the blocks: a chain
 * @which: of the pins
 *
 * From the pin with the largest lo to that with the least, more and more blocks
 * have an R above it; it holds one if the least B of these is not above its hi.
 * With %SLABSHM_EVICT_OLD no slot can hold any of these blocks after this, whatever
 * it shows: those that began before are withdrawn, and all others are barred.
 *
 * Context: may sleep; slabshm_readers.lock is held.
 */
void slabshm_readers_evict(struct slabshm_slab *slab,
			   const struct slabshm_record *records,
			   enum slabshm_evict which)
{
	struct slabshm_readers *readers = &slab->readers;
	const struct slabshm_record *record;
	unsigned int i, below, looked = 0;
	u64 born = U64_MAX;

	lockdep_assert_held(&readers->lock);

	for (i = 0; i < readers->nintervals; i++)
		readers->interval[i].born = U64_MAX;
	for (record = records; record; record = record->next) {
		below = intervals_below(readers, record->retired);
		if (below) {
			struct slabshm_interval *last = &readers->interval[below - 1];

			last->born = min(last->born, record->born);
		}
		if (!(++looked % 1024))
			cond_resched();
	}
	for (i = readers->nintervals; i--; ) {
		struct slabshm_reader *reader = readers->interval[i].reader;

		born = min(born, readers->interval[i].born);
		/* No block was retired after its lo.  No B is U64_MAX, but a hi is */
		if (born == U64_MAX)
			continue;
		if (which != SLABSHM_EVICT_OLD && born > reader->hi)
			continue;
		if (which == SLABSHM_EVICT_DEAD && !reader_dead(reader))
			continue;
		reader_evict(slab, reader);
	}
	slabshm_readers_scan(slab);
}

/**
 * slabshm_readers_evict_most() - evict the reader that holds back the most
 * @slab: scanned, and all held blocks judged since
 * @round: how often that did not help, as others hold the same: four times as
 *	many of the oldest go each time
 *
 * A block counts for the oldest pin that holds it.  The caller scans again.
 *
 * Context: slabshm_readers.lock is held.
 */
void slabshm_readers_evict_most(struct slabshm_slab *slab, unsigned int round)
{
	struct slabshm_readers *readers = &slab->readers;
	struct slabshm_interval *interval = readers->interval, *most = interval;
	unsigned int i, oldest;

	lockdep_assert_held(&readers->lock);

	if (WARN_ON_ONCE(!readers->nintervals))
		return;
	for (i = 1; i < readers->nintervals; i++) {
		if (interval[i].bytes > most->bytes)
			most = &interval[i];
	}
	oldest = round < 16 ? (1U << 2 * round) - 1 : UINT_MAX;
	for (i = 0; i < readers->nintervals; i++) {
		if (i < oldest || (interval[i].lo == most->lo &&
				   interval[i].reader->hi == most->hi))
			reader_evict(slab, interval[i].reader);
	}
}

/**
 * slabshm_readers_list() - some of a slab's readers
 * @readers: the slab's
 * @cursor: id of the last one listed, 0 to start; moved on
 * @entry: array of @n, zeroed
 * @from: array of @n; for one that is pinned, set to the commit after which it holds
 *	retired blocks
 * @n: how many at most
 *
 * Context: slabshm_readers.lock is held.
 * Return: how many there were.
 */
unsigned int slabshm_readers_list(struct slabshm_readers *readers, u64 *cursor,
				  struct slabshm_reader_entry *entry, u64 *from,
				  unsigned int n)
{
	unsigned int i = 0;
	struct rb_node *node;

	lockdep_assert_held(&readers->lock);

	for (node = rb_find_first(cursor, &readers->tree, reader_not_after);
	     node && i < n; node = rb_next(node)) {
		const struct slabshm_reader *reader = rb_entry(node,
							       struct slabshm_reader,
							       node);
		u64 lo = READ_ONCE(reader->slot->lo);

		entry[i].client = reader->client->id;
		entry[i].slot = reader->index;
		entry[i].tid = pid_vnr(reader->pid);
		if (reader_dead(reader))
			entry[i].flags |= SLABSHM_READER_DEAD;
		if (reader_pinned(reader, lo)) {
			entry[i].flags |= SLABSHM_READER_PINNED;
			entry[i].lo = lo;
			entry[i].hi = READ_ONCE(reader->slot->hi);
			/* As the next scan would see it */
			from[i] = max(lo, lo == reader->lo ? reader->barred :
							     readers->scanned);
		}
		*cursor = reader->id;
		i++;
	}
	return i;
}

/*
 * ---------------- Calls ----------------
 */

int slabshm_register_ioctl(struct slabshm_call *call, void *arg)
{
	struct slabshm_register_args *reg = arg;
	int err;

	if (reg->flags || reg->pad)
		return -EINVAL;
	err = reader_register(call->client, &reg->slot);
	if (err)
		return err;
	err = slabshm_call_return(call, reg);
	if (err)
		reader_unregister(call->client, reg->slot);
	return err;
}

int slabshm_unregister_ioctl(struct slabshm_call *call, void *arg)
{
	struct slabshm_unregister_args *unreg = arg;

	if (unreg->flags || unreg->pad)
		return -EINVAL;
	return reader_unregister(call->client, unreg->slot);
}

int slabshm_reader_check_ioctl(struct slabshm_call *call, void *arg)
{
	struct slabshm_reader_check_args *check = arg;

	if (check->flags || check->pad)
		return -EINVAL;
	return reader_check(call->client, check->slot, check->lo);
}
