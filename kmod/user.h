/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What one user (uid) has of slabshm, and the limits on it.
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
 * @bytes: memory behind the data of this user's slabs
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

extern unsigned long slabshm_max_user_slabs;
extern unsigned long slabshm_max_user_clients;
extern unsigned long slabshm_max_user_watches;
unsigned long slabshm_max_user_bytes(void);

#endif /* _SLABSHM_USER_H */
