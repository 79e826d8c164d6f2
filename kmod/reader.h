/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Readers: what each thread may still be looking at.
 *
 * A reader is one 64-byte slot in its client's reader region, which the client
 * writes and the kernel only reads: "I may look at blocks that were current at
 * some moment after commit lo, published at or before hi"; lo = 0: at none.
 * Whatever stands there can harm the slot's own client only: it decides which
 * blocks this slot holds back, and for no longer than the read timeout.
 */
#ifndef _SLABSHM_READER_H
#define _SLABSHM_READER_H

#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/slabshm.h>
#include <linux/types.h>

struct pid;
struct slabshm_client;
struct slabshm_record;
struct slabshm_slab;

/**
 * struct slabshm_reader - a registered slot
 * @link: in slabshm_readers.list
 * @id: constant, rises along that list
 * @slot: constant, the kernel's address of the slot
 * @client: constant, whose
 * @index: constant, in the client's reader region
 * @pid: constant, the thread that registered
 * @floor: a pin with a smaller lo is not one any more: the commit at the
 *	registration or the last eviction. Written under slabshm_readers.lock
 * @lo: as the last scan found it; 0 if it holds nothing
 * @hi: as the last scan found it
 * @rcu: READER_CHECK looks at readers without a lock
 *
 * Protected by slabshm_readers.lock.
 */
struct slabshm_reader {
	struct list_head link;
	u64 id;
	const struct slabshm_slot *slot;
	struct slabshm_client *client;
	u32 index;
	struct pid *pid;
	u64 floor;
	u64 lo;
	u64 hi;
	struct rcu_head rcu;
};

/**
 * struct slabshm_readers - the readers of one slab
 * @lock: protects all of this, and the held blocks of struct slabshm_reclaim.
 *	Held while reclaim looks through these; no publisher takes it
 * @list: slabshm_reader.link
 * @last_id: of the reader that registered last
 * @count: how many
 * @cover: room for @capacity, which is at least @count: set aside at REGISTER,
 *	so that a scan needs no memory
 * @ncover: entries of the last scan, by lo, each with the largest hi so far,
 *	with the bytes of the held blocks for which it is the first to hold them,
 *	and, in slabshm_readers_evict(), with the least B of the blocks for which it
 *	is the last with a lo below R
 * @capacity: see @cover
 * @evictions: how many pins were withdrawn
 */
struct slabshm_readers {
	struct mutex lock;	/* readers, and blocks that they hold */
	struct list_head list;
	u64 last_id;
	unsigned int count;
	struct slabshm_cover {
		u64 lo;
		u64 hi;
		u64 bytes;
		u64 born;
		struct slabshm_reader *reader;
	} *cover;
	unsigned int ncover;
	unsigned int capacity;
	u64 evictions;
};

void slabshm_readers_init(struct slabshm_slab *slab);
void slabshm_readers_destroy(struct slabshm_slab *slab);

int slabshm_reader_register(struct slabshm_client *client, u32 *index);
int slabshm_reader_unregister(struct slabshm_client *client, u32 index);
int slabshm_reader_check(struct slabshm_client *client, u32 index, u64 lo);
void slabshm_reader_end(struct slabshm_client *client);

void slabshm_readers_scan(struct slabshm_slab *slab);
struct slabshm_cover *
slabshm_readers_hold(const struct slabshm_readers *readers,
		     const struct slabshm_record *record);
void slabshm_readers_evict(struct slabshm_slab *slab,
			   const struct slabshm_record *records, bool others);
void slabshm_readers_evict_most(struct slabshm_slab *slab, unsigned int round);
void slabshm_reader_evict(struct slabshm_slab *slab,
			  struct slabshm_reader *reader);
unsigned int slabshm_reader_list(struct slabshm_slab *slab, u64 *cursor,
				 struct slabshm_reader_entry *entry,
				 unsigned int n);

#endif /* _SLABSHM_READER_H */
