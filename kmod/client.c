// SPDX-License-Identifier: GPL-2.0
/*
 * Clients: attach, life, death.
 */
#include <linux/cred.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/pid.h>
#include <linux/rbtree.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include "call.h"
#include "client.h"
#include "lock.h"
#include "name.h"
#include "slab.h"
#include "trace.h"
#include "user.h"

static unsigned int max_clients = 16384;
module_param(max_clients, uint, 0644);
MODULE_PARM_DESC(max_clients, "clients of one slab (default 16384)");

static unsigned long max_client_mbytes;
module_param(max_client_mbytes, ulong, 0644);
MODULE_PARM_DESC(max_client_mbytes,
		 "MiB of blocks that a client may have unpublished (default 0: no limit)");

/*
 * Clients by their numbers.  Programs keep a number and a descriptor, and the one
 * shows whether the other is still what it was: so numbers are handed out in turn,
 * and those of living clients left out.
 */
static DEFINE_XARRAY_ALLOC(client_ids);
static u32 client_next_id;	/* protected by the xarray's lock */

/* What the end of clients may have to wait for, at most one item a slab */
static struct workqueue_struct *leave_wq;
/* The rest of their end, which waits for nothing */
static struct workqueue_struct *end_wq;

/* Queue one of the slab's items, which then holds it. */
static void slab_queue(struct slabshm_slab *slab, struct workqueue_struct *wq,
		       struct work_struct *work)
{
	slabshm_slab_get(slab);
	if (!queue_work(wq, work))
		slabshm_slab_put(slab);
}

/* Give back the locks and blocks of clients that have ended. */
static void clients_end(struct work_struct *work)
{
	struct slabshm_slab *slab = container_of(work, struct slabshm_slab,
						 end_work);
	struct llist_node *list = llist_del_all(&slab->ended);
	struct slabshm_client *client, *next;

	list = llist_reverse_order(list);
	/* Somebody may wait for a lock, but nobody for all of this */
	llist_for_each_entry(client, list, ended_link)
		slabshm_lock_release(client, NULL);
	llist_for_each_entry_safe(client, next, list, ended_link) {
		u64 bytes = client->owner.bytes;

		while (slabshm_arena_release(&slab->arena, &client->owner))
			cond_resched();
		trace_slabshm_client_end(client, bytes);
		llist_add(&client->ended_link, &slab->leaving);
	}
	slab_queue(slab, leave_wq, &slab->leave_work);
	slabshm_slab_put(slab);
}

/* End their watches and readers. */
static void clients_leave(struct work_struct *work)
{
	struct slabshm_slab *slab = container_of(work, struct slabshm_slab,
						 leave_work);
	struct llist_node *list = llist_del_all(&slab->leaving);
	struct slabshm_client *client, *next;

	llist_for_each_entry(client, list, ended_link)
		slabshm_reader_end(client);
	slabshm_reclaim_queue(slab);
	llist_for_each_entry_safe(client, next, list, ended_link) {
		slabshm_watches_end(client);
		slabshm_client_put(client);
	}
	slabshm_slab_put(slab);
}

/* For an open of the device. */
struct slabshm_client *slabshm_client_create(void)
{
	struct slabshm_client *client = kzalloc(sizeof(*client),
						SLABSHM_GFP);

	if (!client)
		return NULL;
	kref_init(&client->ref);
	mutex_init(&client->attach_lock);
	xa_init_flags(&client->readers, XA_FLAGS_ALLOC);
	INIT_LIST_HEAD(&client->locks);
	mutex_init(&client->release_lock);
	slabshm_watches_init(&client->watches);
	return client;
}

/* The reverse of client_join().  The last client of a user ends its share. */
static void client_leave_slab(struct slabshm_client *client,
			      struct slabshm_slab *slab)
{
	struct slabshm_share *share = client->share;

	mutex_lock(&slab->clients_lock);
	rb_erase(&client->node, &slab->clients);
	slab->nclients--;
	if (--share->clients)
		share = NULL;
	else
		list_del(&share->link);
	mutex_unlock(&slab->clients_lock);
	kfree(share);
	xa_erase(&client_ids, client->id);
	WRITE_ONCE(client->id, 0);
	mmdrop(client->mm);
	put_pid(client->pid);
	slabshm_user_uncharge(&client->user->clients, 1);
	slabshm_user_put(client->user);
	slabshm_slab_put(slab);
}

static void client_free(struct kref *ref)
{
	struct slabshm_client *client = container_of(ref, struct slabshm_client,
						     ref);
	struct slabshm_slab *slab = client->slab;
	unsigned int i;

	/* Readers go at the client's end, before this */
	WARN_ON_ONCE(!xa_empty(&client->readers));
	for (i = 0; i < ARRAY_SIZE(client->reader_pages); i++) {
		if (!client->reader_pages[i])
			continue;
		__free_page(client->reader_pages[i]);
		slabshm_user_uncharge(&client->user->bytes, PAGE_SIZE);
	}
	if (slab)
		client_leave_slab(client, slab);
	kfree(client->spare_locker);
	slabshm_watches_destroy(&client->watches);
	mutex_destroy(&client->release_lock);
	mutex_destroy(&client->attach_lock);
	kfree(client);
}

/**
 * slabshm_client_put() - drop a reference
 * @client: the client
 *
 * Context: may sleep.
 */
void slabshm_client_put(struct slabshm_client *client)
{
	kref_put(&client->ref, client_free);
}

/**
 * slabshm_client_release() - the client's file is gone
 * @client: the client
 *
 * In a process that ends this runs before its parent hears of that.
 *
 * Context: may sleep.
 */
void slabshm_client_release(struct slabshm_client *client)
{
	if (client->slab)
		slabshm_slab_unuse(client->slab);
	slabshm_client_put(client);
}

/* The slab of another client, taken into use. */
static struct slabshm_slab *client_slab_of(struct slabshm_client *other,
					   const struct slabshm_attach_args *arg)
{
	struct slabshm_slab *slab;

	/* Pairs with the store in slabshm_client_attach() */
	slab = other ? smp_load_acquire(&other->slab) : NULL;
	if (!slab)
		return ERR_PTR(-EBADF);
	if (other->rdonly && !(arg->flags & SLABSHM_ATTACH_RDONLY))
		return ERR_PTR(-EACCES);
	if (!slabshm_slab_use(slab))
		return ERR_PTR(-EBADF);	/* never: the file is in use */
	return slab;
}

/* A user's share of a slab; @new if it has none yet. */
static struct slabshm_share *share_find(struct slabshm_slab *slab,
					const struct slabshm_user *user,
					struct slabshm_share *new)
{
	struct slabshm_share *share;

	lockdep_assert_held(&slab->clients_lock);

	list_for_each_entry(share, &slab->shares, link) {
		if (share->user == user)
			return share;
	}
	return new;
}

static bool client_less(struct rb_node *a, const struct rb_node *b)
{
	return rb_entry(a, struct slabshm_client, node)->seq <
	       rb_entry(b, struct slabshm_client, node)->seq;
}

/* Enter the client in the slab's table; it holds the slab then. */
static int client_join(struct slabshm_client *client,
		       struct slabshm_slab *slab)
{
	struct slabshm_user *user = slabshm_user_get();
	unsigned long mbytes = READ_ONCE(max_client_mbytes);
	struct slabshm_share *share, *new;
	u32 id;
	int err;

	if (!user)
		return -ENOMEM;
	err = slabshm_user_charge(&user->clients, 1, slabshm_max_user_clients);
	if (err)
		goto put_user;
	err = xa_alloc_cyclic(&client_ids, &id, client, XA_LIMIT(1, U32_MAX),
			      &client_next_id, SLABSHM_GFP);
	if (err < 0)
		goto uncharge;
	err = -ENOMEM;
	new = kzalloc(sizeof(*new), SLABSHM_GFP);
	if (!new)
		goto erase_id;
	new->user = user;
	mutex_lock(&slab->clients_lock);
	share = share_find(slab, user, new);
	err = -EDQUOT;
	if (!slabshm_user_may_take(file_inode(slab->data)->i_uid,
				   READ_ONCE(max_clients), slab->nclients,
				   share->clients))
		goto unlock;
	if (!share->clients++)
		list_add(&share->link, &slab->shares);
	slab->nclients++;
	client->share = share;
	/* The first one: neither was queued before */
	if (!slab->last_client) {
		INIT_WORK(&slab->end_work, clients_end);
		INIT_WORK(&slab->leave_work, clients_leave);
	}
	client->seq = ++slab->last_client;
	/* Another thread's call may read it; it finds no slab */
	WRITE_ONCE(client->id, id);
	client->user = user;
	client->uid = current_fsuid();
	client->pid = get_pid(task_tgid(current));
	client->mm = current->mm;
	mmgrab(client->mm);
	slabshm_owner_init(&client->owner,
			   !mbytes || mbytes > U64_MAX >> 20 ? U64_MAX :
			   (u64)mbytes << 20);
	rb_add(&client->node, &slab->clients, client_less);
	slabshm_slab_get(slab);
	mutex_unlock(&slab->clients_lock);
	if (share != new)
		kfree(new);
	return 0;

unlock:
	mutex_unlock(&slab->clients_lock);
	kfree(new);
erase_id:
	xa_erase(&client_ids, id);
uncharge:
	slabshm_user_uncharge(&user->clients, 1);
put_user:
	slabshm_user_put(user);
	return err;
}

static void client_report(struct slabshm_client *client,
			  struct slabshm_slab *slab, bool created,
			  struct slabshm_attach_args *arg)
{
	arg->max_size = slab->max_size;
	arg->size = READ_ONCE(slab->size);
	arg->max_cells = slab->cells.max;
	arg->result = created ? SLABSHM_ATTACHED_CREATED : 0;
	arg->client = client->id;
	arg->abi = SLABSHM_ABI_VERSION;
	arg->features = 0;
	arg->id = slab->id;
	arg->data_offset = SLABSHM_DATA_OFFSET;
	arg->control_offset = SLABSHM_CONTROL_OFFSET;
	arg->control_size = slabshm_control_size(&slab->control);
	arg->reader_offset = SLABSHM_READER_OFFSET;
	arg->reader_size = SLABSHM_READER_SIZE;
}

#define ATTACH_MAKE	(SLABSHM_ATTACH_CREATE | SLABSHM_ATTACH_EXCL | \
			 SLABSHM_ATTACH_PERSIST | SLABSHM_ATTACH_FIXED | \
			 SLABSHM_ATTACH_MANDATORY)
#define ATTACH_FLAGS	(ATTACH_MAKE | SLABSHM_ATTACH_RDONLY | \
			 SLABSHM_ATTACH_OWNER | SLABSHM_ATTACH_FD)

static int client_check(const struct slabshm_attach_args *arg)
{
	bool create = arg->flags & SLABSHM_ATTACH_CREATE;
	bool named = arg->name[0];

	if (arg->flags & ~ATTACH_FLAGS || arg->pad)
		return -EINVAL;
	if (!create && arg->flags & ATTACH_MAKE)
		return -EINVAL;
	if (named && !slabshm_name_valid(arg->name, true))
		return -EINVAL;
	if (arg->flags & SLABSHM_ATTACH_FD)
		return create || named ? -EINVAL : 0;
	if (!named && (!create || arg->flags & SLABSHM_ATTACH_PERSIST))
		return -EINVAL;
	if (create && arg->mode & ~0777)
		return -EINVAL;
	return 0;
}

/**
 * slabshm_client_attach() - ATTACH
 * @call: whose client is not attached yet
 * @arg: what is asked for, and the answer
 * @other: the client of @arg's descriptor, or NULL; the caller holds its file
 *
 * Context: may sleep; takes attach_lock, and writes @arg back under it.
 * Return: as struct slabshm_attach_args says.
 */
int slabshm_client_attach(struct slabshm_call *call, struct slabshm_attach_args *arg,
			  struct slabshm_client *other)
{
	struct slabshm_client *client = call->client;
	struct slabshm_slab *slab;
	bool created = false;
	int err;

	err = client_check(arg);
	if (err)
		return err;
	if (mutex_lock_killable(&client->attach_lock))
		return -EINTR;
	err = -EISCONN;
	if (client->slab)
		goto unlock;

	if (arg->flags & SLABSHM_ATTACH_FD)
		slab = client_slab_of(other, arg);
	else
		slab = slabshm_slab_open(arg, &created);
	err = PTR_ERR_OR_ZERO(slab);
	if (err)
		goto unlock;
	err = -EPERM;
	if (arg->flags & SLABSHM_ATTACH_OWNER &&
	    !slabshm_slab_owned_by(slab, arg->owner))
		goto unuse;
	client->rdonly = arg->flags & SLABSHM_ATTACH_RDONLY;
	err = client_join(client, slab);
	if (err)
		goto unuse;
	client_report(client, slab, created, arg);
	err = slabshm_call_return(call, arg);
	if (err)
		goto leave;
	if (created && arg->flags & SLABSHM_ATTACH_PERSIST)
		slabshm_slab_persist(slab);
	trace_slabshm_attach(slab, client);
	/* Pairs with slabshm_client_slab() and client_slab_of() */
	smp_store_release(&client->slab, slab);
	mutex_unlock(&client->attach_lock);
	return 0;

leave:
	client_leave_slab(client, slab);
unuse:
	slabshm_slab_unuse(slab);
unlock:
	mutex_unlock(&client->attach_lock);
	return err;
}

/* The client's last call has ended, and its mappings. */
void slabshm_client_end(struct slabshm_client *client)
{
	struct slabshm_slab *slab = client->slab;

	/* If it was not empty, whoever added the first one queues the item */
	if (llist_add(&client->ended_link, &slab->ended))
		slab_queue(slab, end_wq, &slab->end_work);
}

/**
 * slabshm_client_map_first() - a new mapping of the reader region
 * @client: attached
 *
 * Context: mmap_lock of the client's own mm is held for writing.
 * Return: 0, or -ENXIO if the client has ended.
 */
int slabshm_client_map_first(struct slabshm_client *client)
{
	if (READ_ONCE(client->ended))
		return -ENXIO;
	if (atomic_inc_return(&client->mappings) == 1) {
		kref_get(&client->ref);
		refcount_set(&client->calls, 1);
	}
	return 0;
}

/* A mapping was copied or moved: in the same mm, as fork() does not copy it. */
void slabshm_client_map(struct slabshm_client *client)
{
	atomic_inc(&client->mappings);
}

/* A mapping of the reader region went.  May be called under mmap_lock. */
void slabshm_client_unmap(struct slabshm_client *client)
{
	if (!atomic_dec_and_test(&client->mappings))
		return;
	WRITE_ONCE(client->ended, true);
	/* Sleeping calls hold the client: let them check */
	wake_up_all(&client->watches.wait);
	wake_up_all(&client->watches.ended);
	slabshm_client_leave(client);
}

/* Waits fail from now on; or they sleep again. */
static int client_cancel(struct slabshm_client *client, bool on)
{
	if (mutex_lock_killable(&client->attach_lock))
		return -EINTR;
	if ((client->cancels & 1) != on)
		WRITE_ONCE(client->cancels, client->cancels + 1);
	mutex_unlock(&client->attach_lock);
	if (on) {
		wake_up_all(&client->watches.wait);
		wake_up_all(&client->watches.ended);
	}
	return 0;
}

/* For rb_find_first(): all that came after @seq match. */
static int client_not_after(const void *seq, const struct rb_node *node)
{
	return rb_entry(node, struct slabshm_client, node)->seq <=
	       *(const u64 *)seq;
}

/**
 * slabshm_client_list() - some of a slab's clients
 * @slab: whose
 * @cursor: place of the last client listed, 0 to start; moved on
 * @entry: array of @n, zeroed
 * @n: how many at most
 *
 * Context: may sleep; takes clients_lock.
 * Return: how many there were; 0 at the end.
 */
unsigned int slabshm_client_list(struct slabshm_slab *slab, u64 *cursor,
				 struct slabshm_client_entry *entry,
				 unsigned int n)
{
	unsigned int i = 0;
	struct rb_node *node;

	mutex_lock(&slab->clients_lock);
	for (node = rb_find_first(cursor, &slab->clients, client_not_after);
	     node && i < n; node = rb_next(node)) {
		const struct slabshm_client *client;

		client = rb_entry(node, struct slabshm_client, node);
		entry[i].client = client->id;
		entry[i].pid = pid_vnr(client->pid);
		entry[i].uid = from_kuid_munged(current_user_ns(), client->uid);
		if (client->rdonly)
			entry[i].flags |= SLABSHM_CLIENT_RDONLY;
		if (READ_ONCE(client->ended))
			entry[i].flags |= SLABSHM_CLIENT_ENDED;
		else if (atomic_read(&client->mappings))
			entry[i].flags |= SLABSHM_CLIENT_ALIVE;
		spin_lock(&slab->arena.lock);
		entry[i].bytes = client->owner.bytes;
		entry[i].blocks = client->owner.blocks;
		spin_unlock(&slab->arena.lock);
		*cursor = client->seq;
		i++;
	}
	mutex_unlock(&slab->clients_lock);
	return i;
}

/*
 * ---------------- Calls ----------------
 */

int slabshm_cancel_ioctl(struct slabshm_call *call, void *arg)
{
	struct slabshm_cancel_args *cancel = arg;

	if (cancel->flags & ~SLABSHM_CANCEL_ON)
		return -EINVAL;
	return client_cancel(call->client,
				     cancel->flags & SLABSHM_CANCEL_ON);
}

int slabshm_client_module_init(void)
{
	leave_wq = alloc_workqueue("slabshm_leave", WQ_UNBOUND, WQ_MAX_ACTIVE);
	if (!leave_wq)
		return -ENOMEM;
	end_wq = alloc_workqueue("slabshm_end", WQ_UNBOUND, WQ_MAX_ACTIVE);
	if (!end_wq) {
		destroy_workqueue(leave_wq);
		return -ENOMEM;
	}
	return 0;
}

void slabshm_client_module_exit(void)
{
	destroy_workqueue(end_wq);
	destroy_workqueue(leave_wq);
}
