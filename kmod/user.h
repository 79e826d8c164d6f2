/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What one user (uid) has of slabshm, and the limits on it.
 *
 * Bytes are the data of the user's slabs, and what the kernel keeps of these
 * slabs, whoever uses them: tables, cells, records of blocks, what describes
 * space. They are charged before memory is taken. So are the readers of the
 * user's clients. Not charged are what a limit of a number bounds (watches,
 * and slabs and clients themselves), and lockers, of which a thread or a cell
 * has one.
 */
#ifndef _SLABSHM_USER_H
#define _SLABSHM_USER_H

#include <linux/types.h>
#include <linux/uidgid.h>

/**
 * struct slabshm_user - the shares of one uid
 * @node: in the table of users
 * @uid: who
 * @refs: slabs and clients that hold this, protected by the table's lock
 * @slabs: slabs made by this user and not gone
 * @clients: attached clients of this user
 * @watches: what these watch
 * @bytes: memory of this user's slabs, see above
 *
 * Found, made and freed under the table's lock; the counters are atomic, as
 * they also go down where that lock cannot be taken.
 */
struct slabshm_user {
	struct hlist_node node;
	kuid_t uid;
	unsigned long refs;
	atomic_long_t slabs;
	atomic_long_t clients;
	atomic_long_t watches;
	atomic_long_t bytes;
};

struct slabshm_user *slabshm_user_get(void);
void slabshm_user_put(struct slabshm_user *user);
int slabshm_user_charge(atomic_long_t *counter, long n, unsigned long limit);
void slabshm_user_uncharge(atomic_long_t *counter, long n);

bool slabshm_user_may_take(kuid_t owner, unsigned int limit, unsigned int used,
			   unsigned int own);
int slabshm_user_charge_bytes(struct slabshm_user *user, long n);

/**
 * struct slabshm_meter - what the kernel keeps of one slab
 * @user: constant, who pays
 * @bytes: how much it is
 */
struct slabshm_meter {
	struct slabshm_user *user;
	atomic_long_t bytes;
};

int slabshm_meter_add(struct slabshm_meter *meter, size_t n);
void slabshm_meter_force(struct slabshm_meter *meter, size_t n);
void slabshm_meter_sub(struct slabshm_meter *meter, size_t n);
void slabshm_meter_end(struct slabshm_meter *meter);

extern unsigned long slabshm_max_user_slabs;
extern unsigned long slabshm_max_user_clients;
extern unsigned long slabshm_max_user_watches;

#endif /* _SLABSHM_USER_H */
