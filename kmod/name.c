// SPDX-License-Identifier: GPL-2.0
/*
 * Names of slabs: finding and making one, its rights, use counts and unlinking.
 *
 * A name belongs to the network namespace in which it was made, as that of an
 * abstract Unix socket does: containers of one pod share it, others do not see
 * it, and it goes when the namespace goes.
 */
#include <linux/cred.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/nsproxy.h>
#include <linux/wait.h>
#include <net/net_namespace.h>
#include <net/netns/generic.h>

#include "call.h"
#include "compat.h"
#include "name.h"
#include "slab.h"

/**
 * struct slabshm_net - names of one namespace
 * @slabs: slabs that have one, by id
 * @making: struct slab_making, names of slabs that are being made
 *
 * Protected by slabshm_names_lock.
 */
struct slabshm_net {
	struct list_head slabs;
	struct list_head making;
};

/*
 * While a process makes a slab, others that ask for its name wait.  If they made
 * theirs meanwhile, only to find that the first was faster, each would need memory
 * and quota for a slab, and lack of it would be their answer.
 */
struct slab_making {
	struct list_head link;
	const char *name;
};

static unsigned int slabshm_net_id;

/*
 * Protects the lists of names, slabshm_slab.names and .persist, and names_made.  One
 * for all namespaces, so that the end of a slab needs no namespace.
 */
static DEFINE_MUTEX(slabshm_names_lock);

/* Slabs with a name that were made, or could not be, of all namespaces */
static unsigned long names_made;
static DECLARE_WAIT_QUEUE_HEAD(names_wait);

static struct slabshm_net *current_names(void)
{
	/* current's own namespace, which lives while current does */
	return net_generic(current->nsproxy->net_ns, slabshm_net_id);
}

/**
 * slabshm_name_valid() - may this be a name?
 * @name: of %SLABSHM_NAME_MAX bytes
 * @slab: a slab's name may not have a '/', so that tools can write SLAB/CELL
 *
 * Context: any.
 * Return: whether it ends, is not empty and has no control characters.
 */
bool slabshm_name_valid(const char *name, bool slab)
{
	size_t len = strnlen(name, SLABSHM_NAME_MAX);
	size_t i;

	if (!len || len == SLABSHM_NAME_MAX)
		return false;
	for (i = 0; i < len; i++) {
		if ((unsigned char)name[i] < ' ' || name[i] == '\x7f' ||
		    (slab && name[i] == '/'))
			return false;
	}
	return true;
}

/* A slab of this name, without taking it into use. */
static struct slabshm_slab *names_find(const char *name)
{
	struct slabshm_slab *slab;

	lockdep_assert_held(&slabshm_names_lock);

	list_for_each_entry(slab, &current_names()->slabs, names) {
		if (!strcmp(slab->name, name))
			return slab;
	}
	return NULL;
}

/* The list is in the order of ids, as slabshm_slab_list() goes by these. */
static void names_add(struct slabshm_slab *slab)
{
	struct list_head *slabs = &current_names()->slabs;
	struct slabshm_slab *before;

	lockdep_assert_held(&slabshm_names_lock);

	list_for_each_entry_reverse(before, slabs, names) {
		if (before->id < slab->id)
			break;
	}
	/* If none is before it, @before is the list's head */
	list_add(&slab->names, &before->names);
}

static bool name_in_making(const char *name)
{
	struct slab_making *making;

	lockdep_assert_held(&slabshm_names_lock);

	list_for_each_entry(making, &current_names()->making, link) {
		if (!strcmp(making->name, name))
			return true;
	}
	return false;
}

static int slab_permission(struct slabshm_slab *slab, bool rdonly)
{
	return file_permission(slab->data, MAY_READ | (rdonly ? 0 : MAY_WRITE));
}

/**
 * slabshm_slab_open() - find a slab by its name, or make one
 * @arg: of ATTACH, flags and name checked
 * @created: set to whether it was made
 *
 * Context: may sleep; takes slabshm_names_lock.
 * Return: the slab, in use, or an ERR_PTR as struct slabshm_attach_args says.
 */
struct slabshm_slab *slabshm_slab_open(const struct slabshm_attach_args *arg,
				       bool *created)
{
	struct slab_making making = { .name = arg->name };
	struct slabshm_slab *slab;
	unsigned long made;
	bool wait;
	int err;

	*created = false;
	if (!arg->name[0]) {
		slab = slabshm_slab_create(arg);
		*created = !IS_ERR(slab);
		return slab;
	}
again:
	mutex_lock(&slabshm_names_lock);
	slab = names_find(arg->name);
	/* What is in the list is in use */
	if (slab)
		refcount_inc(&slab->use);
	if (!slab && !(arg->flags & SLABSHM_ATTACH_CREATE)) {
		mutex_unlock(&slabshm_names_lock);
		return ERR_PTR(-ENOENT);
	}
	wait = !slab && name_in_making(arg->name);
	made = names_made;
	if (!slab && !wait)
		list_add(&making.link, &current_names()->making);
	mutex_unlock(&slabshm_names_lock);

	if (wait) {
		if (wait_event_killable(names_wait,
					READ_ONCE(names_made) != made))
			return ERR_PTR(-EINTR);
		goto again;
	}
	if (!slab) {
		slab = slabshm_slab_create(arg);
		mutex_lock(&slabshm_names_lock);
		list_del(&making.link);
		if (!IS_ERR(slab))
			names_add(slab);
		WRITE_ONCE(names_made, names_made + 1);
		mutex_unlock(&slabshm_names_lock);
		wake_up_all(&names_wait);
		*created = !IS_ERR(slab);
		return slab;
	}
	err = arg->flags & SLABSHM_ATTACH_EXCL ? -EEXIST :
	      slab_permission(slab, arg->flags & SLABSHM_ATTACH_RDONLY);
	if (err) {
		slabshm_slab_unuse(slab);
		return ERR_PTR(err);
	}
	return slab;
}

/**
 * slabshm_slab_persist() - let a slab live until it is unlinked
 * @slab: in use
 *
 * Without effect if somebody has unlinked it already.
 *
 * Context: may sleep; takes slabshm_names_lock.
 */
void slabshm_slab_persist(struct slabshm_slab *slab)
{
	mutex_lock(&slabshm_names_lock);
	if (!list_empty(&slab->names)) {
		slab->persist = true;
		refcount_inc(&slab->use);
		/* The caller's descriptor holds the module now */
		__module_get(THIS_MODULE);
	}
	mutex_unlock(&slabshm_names_lock);
}

/* Take the name away; true if the caller must end the persistence. */
static bool slab_unname(struct slabshm_slab *slab)
{
	bool persist = slab->persist;

	lockdep_assert_held(&slabshm_names_lock);

	list_del_init(&slab->names);
	slab->persist = false;
	return persist;
}

static void slab_unpersist(struct slabshm_slab *slab)
{
	slabshm_slab_unuse(slab);
	module_put(THIS_MODULE);
}

/* Take a slab's name away, and its persistence. */
static int slab_unlink(const char *name)
{
	struct slabshm_slab *slab;
	bool persist = false;
	int err = 0;

	mutex_lock(&slabshm_names_lock);
	slab = names_find(name);
	if (!slab)
		err = -ENOENT;
	else if (!file_owner_or_capable(slab->data))
		err = -EPERM;
	else
		persist = slab_unname(slab);
	mutex_unlock(&slabshm_names_lock);
	if (persist)
		slab_unpersist(slab);
	return err;
}

/* chmod and chown */
static int slab_setattr(struct slabshm_slab *slab,
			const struct slabshm_setattr_args *arg)
{
	struct inode *inode = file_inode(slab->data);
	struct iattr attr = { .ia_valid = ATTR_CTIME };
	int err;

	if (!arg->flags || arg->pad ||
	    arg->flags & ~(SLABSHM_SETATTR_MODE | SLABSHM_SETATTR_UID |
			   SLABSHM_SETATTR_GID))
		return -EINVAL;
	if (arg->flags & SLABSHM_SETATTR_MODE) {
		if (arg->mode & ~0777)
			return -EINVAL;
		attr.ia_valid |= ATTR_MODE;
		attr.ia_mode = S_IFREG | arg->mode;
	}
	if (arg->flags & SLABSHM_SETATTR_UID) {
		attr.ia_valid |= ATTR_UID;
		attr.ia_uid = make_kuid(current_user_ns(), arg->uid);
		if (!uid_valid(attr.ia_uid))
			return -EINVAL;
	}
	if (arg->flags & SLABSHM_SETATTR_GID) {
		attr.ia_valid |= ATTR_GID;
		attr.ia_gid = make_kgid(current_user_ns(), arg->gid);
		if (!gid_valid(attr.ia_gid))
			return -EINVAL;
	}
	/* vfsuid and vfsgid, which 6.1 has in a union with these, are alike */
	inode_lock(inode);
	err = notify_change(slabshm_file_idmap(slab->data),
			    file_dentry(slab->data), &attr, NULL);
	inode_unlock(inode);
	return err;
}

/* Does the slab belong to this user of the caller's namespace? */
bool slabshm_slab_owned_by(struct slabshm_slab *slab, u32 uid)
{
	kuid_t kuid = make_kuid(current_user_ns(), uid);

	return uid_valid(kuid) && uid_eq(file_inode(slab->data)->i_uid, kuid);
}

/* Statistics that need no lock for long, as the list of names holds one. */
static void slab_stat(struct slabshm_slab *slab, struct slabshm_stat *stat)
{
	struct inode *inode = file_inode(slab->data);
	u64 used;

	stat->id = slab->id;
	stat->max_size = slab->max_size;
	stat->size = READ_ONCE(slab->size);
	stat->max_cells = slab->cells.max;
	stat->uid = from_kuid_munged(current_user_ns(), inode->i_uid);
	stat->gid = from_kgid_munged(current_user_ns(), inode->i_gid);
	stat->mode = READ_ONCE(inode->i_mode) & 0777;
	stat->attributes = SLABSHM_SLAB_READABLE;
	if (slab->fixed)
		stat->attributes |= SLABSHM_SLAB_FIXED;
	if (slab->mandatory)
		stat->attributes |= SLABSHM_SLAB_MANDATORY;
	if (slab->persist)
		stat->attributes |= SLABSHM_SLAB_PERSIST;
	if (list_empty(&slab->names))
		stat->attributes |= SLABSHM_SLAB_UNLINKED;
	strscpy(stat->name, slab->name, sizeof(stat->name));

	mutex_lock(&slab->clients_lock);
	stat->clients = slab->nclients;
	mutex_unlock(&slab->clients_lock);

	/* Reclaim may look through many blocks under the lock of these three */
	stat->readers = data_race(slab->readers.count);	/* just a figure */
	stat->evictions = data_race(slab->readers.evictions); /* the same */
	stat->held = data_race(slab->held.bytes); /* the same */

	/* Both locks, so that live = used - retired holds */
	spin_lock(&slab->cells.lock);
	stat->cells = slab->cells.used;
	stat->commit = slab->cells.commit;
	stat->retired = slab->retired.bytes;
	stat->retired_blocks = slab->retired.count;
	spin_lock(&slab->arena.lock);
	used = slab->arena.bytes;
	stat->blocks = slab->arena.blocks;
	stat->backed = (u64)slab->arena.backed_pages << PAGE_SHIFT;
	spin_unlock(&slab->arena.lock);
	spin_unlock(&slab->cells.lock);

	stat->live = used - stat->retired;
	stat->blocks -= stat->retired_blocks;
	stat->free = stat->backed - used;
}

/**
 * slabshm_slab_stat() - a slab in figures
 * @slab: that the caller holds and may read
 * @stat: zeroed
 *
 * Context: may sleep; takes slabshm_names_lock.
 */
void slabshm_slab_stat(struct slabshm_slab *slab, struct slabshm_stat *stat)
{
	mutex_lock(&slabshm_names_lock);
	slab_stat(slab, stat);
	mutex_unlock(&slabshm_names_lock);
}

/**
 * slabshm_slab_list() - some of the slabs with names in the caller's namespace
 * @cursor: id of the last slab listed, 0 to start; moved on
 * @stat: array of @n, zeroed
 * @n: how many at most
 *
 * Of a slab that the caller may not read, the entry has only the name.
 *
 * Context: may sleep; takes slabshm_names_lock.
 * Return: how many there were; 0 at the end.
 */
unsigned int slabshm_slab_list(u64 *cursor, struct slabshm_stat *stat,
			       unsigned int n)
{
	struct slabshm_slab *slab;
	unsigned int i = 0;

	mutex_lock(&slabshm_names_lock);
	list_for_each_entry(slab, &current_names()->slabs, names) {
		if (slab->id <= *cursor)
			continue;
		if (i == n)
			break;
		if (!slab_permission(slab, true))
			slab_stat(slab, &stat[i]);
		else
			strscpy(stat[i].name, slab->name, sizeof(stat[i].name));
		*cursor = slab->id;
		i++;
	}
	mutex_unlock(&slabshm_names_lock);
	return i;
}

/* Keep the data of a slab, if it still has it. */
bool slabshm_slab_use(struct slabshm_slab *slab)
{
	return refcount_inc_not_zero(&slab->use);
}

/**
 * slabshm_slab_unuse() - undo slabshm_slab_use(), or the use that ATTACH has
 * @slab: the last one drops the data and the name
 *
 * Context: may sleep; takes slabshm_names_lock if it is the last.
 */
void slabshm_slab_unuse(struct slabshm_slab *slab)
{
	if (!refcount_dec_and_mutex_lock(&slab->use, &slabshm_names_lock))
		return;
	list_del_init(&slab->names);
	mutex_unlock(&slabshm_names_lock);
	slabshm_slab_drop_data(slab);
	slabshm_slab_put(slab);
}

static int __net_init net_init(struct net *net)
{
	struct slabshm_net *names = net_generic(net, slabshm_net_id);

	INIT_LIST_HEAD(&names->slabs);
	INIT_LIST_HEAD(&names->making);
	return 0;
}

static void __net_exit net_exit(struct net *net)
{
	struct slabshm_net *names = net_generic(net, slabshm_net_id);

	/* One at a time: the last reference must not go under the lock */
	for (;;) {
		struct slabshm_slab *slab;
		bool persist;

		mutex_lock(&slabshm_names_lock);
		slab = list_first_entry_or_null(&names->slabs,
						struct slabshm_slab, names);
		persist = slab && slab_unname(slab);
		mutex_unlock(&slabshm_names_lock);
		if (!slab)
			break;
		if (persist)
			slab_unpersist(slab);
	}
}

static struct pernet_operations slabshm_net_ops = {
	.init = net_init,
	.exit = net_exit,
	.id = &slabshm_net_id,
	.size = sizeof(struct slabshm_net),
};

/*
 * ---------------- Calls ----------------
 */

int slabshm_unlink_ioctl(struct slabshm_call *call, void *arg)
{
	struct slabshm_unlink_args *unlink = arg;

	if (unlink->flags || !slabshm_name_valid(unlink->name, true))
		return -EINVAL;
	return slab_unlink(unlink->name);
}

int slabshm_setattr_ioctl(struct slabshm_call *call, void *arg)
{
	return slab_setattr(call->slab, arg);
}

int slabshm_names_init(void)
{
	return register_pernet_subsys(&slabshm_net_ops);
}

void slabshm_names_exit(void)
{
	unregister_pernet_subsys(&slabshm_net_ops);
}
