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

/* The calling user's shares, with a reference; NULL without memory. */
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

/* Add @n to a counter of a user: 0, or -EDQUOT above @limit without CAP_SYS_RESOURCE. */
int slabshm_user_charge(atomic_long_t *counter, long n, unsigned long limit)
{
	if ((unsigned long)atomic_long_add_return(n, counter) <= limit ||
	    capable(CAP_SYS_RESOURCE))
		return 0;
	atomic_long_sub(n, counter);
	return -EDQUOT;
}

void slabshm_user_uncharge(atomic_long_t *counter, long n)
{
	WARN_ON_ONCE(atomic_long_sub_return(n, counter) < 0);
}

/*
 * Add to the bytes of a user: 0, or -EDQUOT.  The limit holds for CAP_SYS_RESOURCE, too:
 * as for a tmpfs, it keeps a fault from filling the machine with memory that no exit of a
 * process gives back.  Root can change it.
 */
int slabshm_user_charge_bytes(struct slabshm_user *user, long n)
{
	if ((unsigned long)atomic_long_add_return(n, &user->bytes) <=
	    max_user_bytes())
		return 0;
	atomic_long_sub(n, &user->bytes);
	return -EDQUOT;
}

/* Charge for @n bytes that the kernel is about to take for a slab: 0, or -EDQUOT. */
int slabshm_meter_add(struct slabshm_meter *meter, size_t n)
{
	int err = slabshm_user_charge_bytes(meter->user, n);

	if (!err)
		atomic_long_add(n, &meter->bytes);
	return err;
}

/* The same for few bytes in a call that must not fail. */
void slabshm_meter_force(struct slabshm_meter *meter, size_t n)
{
	atomic_long_add(n, &meter->user->bytes);
	atomic_long_add(n, &meter->bytes);
}

/* Memory of a slab was given back, or not had. */
void slabshm_meter_sub(struct slabshm_meter *meter, size_t n)
{
	atomic_long_sub(n, &meter->bytes);
	slabshm_user_uncharge(&meter->user->bytes, n);
}

/* All memory of a slab was given back. */
void slabshm_meter_end(struct slabshm_meter *meter)
{
	slabshm_user_uncharge(&meter->user->bytes,
			      atomic_long_xchg(&meter->bytes, 0));
}

/*
 * May the calling user take one more of what all users of a slab can have @limit of, where
 * @used are taken, @own of these by the caller?
 *
 * The owner of the slab may take all.  Others leave a quarter to the owner, and as many for
 * newcomers as they have: n users get 1/(n + 1) of the rest each, and the next one always
 * finds some.  These are the dynamic thresholds of Choudhury and Hahne, "Dynamic Queue
 * Length Thresholds for Shared-Memory Packet Switches", IEEE/ACM Transactions on Networking
 * 6(2), 1998.
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
