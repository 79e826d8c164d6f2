// SPDX-License-Identifier: GPL-2.0
/*
 * Limits of a user.
 *
 * Memory for metadata is charged to the memory cgroup of who asks for it, and
 * so is the data itself; but not every user is in a cgroup with a limit.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/hashtable.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/user_namespace.h>

#include "table.h"
#include "user.h"

unsigned long slabshm_max_user_slabs = 256;
module_param_named(max_user_slabs, slabshm_max_user_slabs, ulong, 0644);
MODULE_PARM_DESC(max_user_slabs, "slabs of one user (default 256)");

unsigned long slabshm_max_user_clients = 16384;
module_param_named(max_user_clients, slabshm_max_user_clients, ulong, 0644);
MODULE_PARM_DESC(max_user_clients, "clients of one user (default 16384)");

/* About 100 bytes each, and no memory that a process could be killed for */
unsigned long slabshm_max_user_watches = 524288;
module_param_named(max_user_watches, slabshm_max_user_watches, ulong, 0644);
MODULE_PARM_DESC(max_user_watches, "watches of one user (default 524288)");

static unsigned long max_user_mbytes;
module_param(max_user_mbytes, ulong, 0644);
MODULE_PARM_DESC(max_user_mbytes,
		 "MiB of data and bookkeeping of the slabs of one user (default 0: half of the memory)");

static DEFINE_MUTEX(users_lock);	/* protects users and slabshm_user.refs */
static DEFINE_HASHTABLE(users, 6);

/* The limit on bytes. */
static unsigned long max_user_bytes(void)
{
	unsigned long mbytes = READ_ONCE(max_user_mbytes);

	if (!mbytes)
		return totalram_pages() / 2 << PAGE_SHIFT;
	return mbytes > ULONG_MAX >> 20 ? ULONG_MAX : mbytes << 20;
}

/**
 * slabshm_user_get() - the calling user's shares
 *
 * Context: may sleep.
 * Return: with a reference, or NULL without memory.
 */
struct slabshm_user *slabshm_user_get(void)
{
	kuid_t uid = current_fsuid();
	struct slabshm_user *user;

	mutex_lock(&users_lock);
	hash_for_each_possible(users, user, node, __kuid_val(uid)) {
		if (uid_eq(user->uid, uid))
			goto found;
	}
	user = kzalloc(sizeof(*user), SLABSHM_GFP);
	if (!user)
		goto out;
	user->uid = uid;
	hash_add(users, &user->node, __kuid_val(uid));
found:
	user->refs++;
out:
	mutex_unlock(&users_lock);
	return user;
}

/**
 * slabshm_user_put() - drop a reference
 * @user: from slabshm_user_get()
 *
 * Context: may sleep.
 */
void slabshm_user_put(struct slabshm_user *user)
{
	mutex_lock(&users_lock);
	if (--user->refs)
		user = NULL;
	else
		hash_del(&user->node);
	mutex_unlock(&users_lock);
	kfree(user);
}

/**
 * slabshm_user_charge() - add to one of the shares
 * @counter: slabs, clients or watches of a struct slabshm_user
 * @n: how much
 * @limit: the most that may be had; not for CAP_SYS_RESOURCE
 *
 * Context: any process context.
 * Return: 0, or -EDQUOT and nothing has changed.
 */
int slabshm_user_charge(atomic_long_t *counter, long n, unsigned long limit)
{
	if ((unsigned long)atomic_long_add_return(n, counter) <= limit ||
	    capable(CAP_SYS_RESOURCE))
		return 0;
	atomic_long_sub(n, counter);
	return -EDQUOT;
}

/**
 * slabshm_user_uncharge() - take from one of the shares
 * @counter: as in slabshm_user_charge()
 * @n: how much
 *
 * Context: any.
 */
void slabshm_user_uncharge(atomic_long_t *counter, long n)
{
	WARN_ON_ONCE(atomic_long_sub_return(n, counter) < 0);
}

/**
 * slabshm_user_charge_bytes() - add to the bytes of a user
 * @user: who
 * @n: how many; slabshm_user_uncharge() takes them back
 *
 * For CAP_SYS_RESOURCE, too: as for a tmpfs, the limit keeps a fault from filling
 * the machine with what no end of a process gives back. Root can change it.
 *
 * Context: any.
 * Return: 0, or -EDQUOT and nothing has changed.
 */
int slabshm_user_charge_bytes(struct slabshm_user *user, long n)
{
	if ((unsigned long)atomic_long_add_return(n, &user->bytes) <=
	    max_user_bytes())
		return 0;
	atomic_long_sub(n, &user->bytes);
	return -EDQUOT;
}

/**
 * slabshm_meter_add() - the kernel is about to take memory for a slab
 * @meter: the slab's
 * @n: bytes
 *
 * Context: any process context.
 * Return: 0, or -EDQUOT and nothing has changed.
 */
int slabshm_meter_add(struct slabshm_meter *meter, size_t n)
{
	int err = slabshm_user_charge_bytes(meter->user, n);

	if (!err)
		atomic_long_add(n, &meter->bytes);
	return err;
}

/**
 * slabshm_meter_force() - as slabshm_meter_add(), for what must not fail
 * @meter: the slab's
 * @n: bytes, few
 *
 * Context: any.
 */
void slabshm_meter_force(struct slabshm_meter *meter, size_t n)
{
	atomic_long_add(n, &meter->user->bytes);
	atomic_long_add(n, &meter->bytes);
}

/**
 * slabshm_meter_sub() - memory of a slab was given back, or not had
 * @meter: the slab's
 * @n: bytes, of slabshm_meter_add()
 *
 * Context: any.
 */
void slabshm_meter_sub(struct slabshm_meter *meter, size_t n)
{
	atomic_long_sub(n, &meter->bytes);
	slabshm_user_uncharge(&meter->user->bytes, n);
}

/**
 * slabshm_meter_end() - all memory of a slab was given back
 * @meter: the slab's
 *
 * Context: any.
 */
void slabshm_meter_end(struct slabshm_meter *meter)
{
	slabshm_user_uncharge(&meter->user->bytes,
			      atomic_long_xchg(&meter->bytes, 0));
}

/**
 * slabshm_user_may_take() - may the calling user take one more?
 * @owner: of the slab
 * @limit: how many of it all users can have
 * @used: how many they have
 * @own: how many the caller has
 *
 * The owner may take all.  Others leave a quarter to the owner, and each leaves as
 * many for those to come as it has: n users get 1/(n + 1) of the rest each, and the
 * next one always finds some.  These are the dynamic thresholds of Choudhury and
 * Hahne, "Dynamic Queue Length Thresholds for Shared-Memory Packet Switches",
 * IEEE/ACM Transactions on Networking 6(2), 1998.
 *
 * Context: process context.
 * Return: whether it may.
 */
bool slabshm_user_may_take(kuid_t owner, unsigned int limit,
			   unsigned int used, unsigned int own)
{
	if (!uid_eq(owner, current_fsuid()) &&
	    !capable(CAP_SYS_RESOURCE)) {
		limit -= limit / 4;
		used += min(own, UINT_MAX - used);
	}
	return used < limit;
}
