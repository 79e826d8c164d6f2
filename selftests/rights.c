// SPDX-License-Identifier: GPL-2.0
/*
 * Who may do what: users, modes, owners, descriptors, namespaces.
 */
#include <sched.h>
#include <slabshm.h>

#include "common.h"
#include "kselftest_harness.h"

#define CREATE	SLABSHM_ATTACH_CREATE
#define RDONLY	SLABSHM_ATTACH_RDONLY
#define CAROL	1002	/* in alice's group */
#define NOBODY	65534

struct job {
	uid_t uid;
	gid_t gid;
	int (*fn)(void *arg);
	void *arg;
};

static int do_job(void *arg)
{
	const struct job *job = arg;

	CHECK(!become(job->uid, job->gid));
	prctl(PR_SET_PDEATHSIG, SIGKILL);	/* setuid() took it away */
	return job->fn(job->arg);
}

/* Run @fn as another user, in a child. */
static int as(uid_t uid, gid_t gid, int (*fn)(void *arg), const void *arg)
{
	struct job job = { uid, gid, fn, (void *)arg };

	return in_child(do_job, &job);
}

/* ATTACH and let go again: 0 or an error. */
static int try_attach(const char *name, unsigned int flags)
{
	struct slabshm_attach_args ask;
	struct client c;
	int err;

	ask_attach(&ask, name, flags, MIB, 0);
	err = client_attach(&c, &ask);
	if (!err)
		client_close(&c);
	return err;
}

static int set_mode(const struct client *c, __u32 mode)
{
	struct slabshm_setattr_args arg = {
		.flags = SLABSHM_SETATTR_MODE,
		.mode = mode,
	};

	return client_call(c, SLABSHM_IOC_SETATTR, &arg);
}

static int set_owner(const struct client *c, __u32 uid, __u32 gid)
{
	struct slabshm_setattr_args arg = { .uid = uid, .gid = gid };

	if (uid != ~0U)
		arg.flags |= SLABSHM_SETATTR_UID;
	if (gid != ~0U)
		arg.flags |= SLABSHM_SETATTR_GID;
	return client_call(c, SLABSHM_IOC_SETATTR, &arg);
}

/* A slab of alice's with one cell, "x", that holds "hello". */
FIXTURE(rights)
{
	const char *name;
	struct client c;
	struct slabshm_cell_open_args cell;
};

FIXTURE_SETUP(rights)
{
	__s64 block;

	if (getuid())
		SKIP(return, "only root can become others");
	umask(0);
	ASSERT_EQ(0, chmod(DEVICE, 0666));
	self->name = unique_name();
	ASSERT_EQ(0, client_open(&self->c, self->name, CREATE, 4 * MIB, MIB));
	ASSERT_EQ(0, set_owner(&self->c, ALICE, ALICE));
	ASSERT_EQ(0, cell_open(&self->c, "x", SLABSHM_CELL_CREATE,
			       &self->cell));
	block = alloc_block(&self->c, 6);
	ASSERT_LT(0, block);
	memcpy(self->c.data + block, "hello", 6);
	ASSERT_EQ(0, publish_one(&self->c, &self->cell, (__u64)block, 6));
}

FIXTURE_TEARDOWN(rights)
{
	client_close(&self->c);
}

/*
 * ---------------- Modes ----------------
 */

struct matrix {
	char name[24][32];
	unsigned int shift;	/* of the bits that count for this user */
};

/* Of each three slabs one gives @bits to this user, the others do not. */
static int try_modes(void *arg)
{
	const struct matrix *m = arg;
	unsigned int i;

	for (i = 0; i < 24; i++) {
		unsigned int bits = i / 3, class = i % 3 * 3;
		int err;

		if (class != m->shift)
			bits = 7 - bits;
		err = try_attach(m->name[i], RDONLY);
		CHECK(err == (bits & 4 ? 0 : -EACCES));
		err = try_attach(m->name[i], 0);
		CHECK(err == ((bits & 6) == 6 ? 0 : -EACCES));
		err = try_attach(m->name[i], CREATE);
		CHECK(err == ((bits & 6) == 6 ? 0 : -EACCES));
		CHECK(try_attach(m->name[i], CREATE | SLABSHM_ATTACH_EXCL) ==
		      -EEXIST);
	}
	return 0;
}

TEST_F(rights, modes)
{
	static const struct {
		uid_t uid;
		gid_t gid;
		unsigned int shift;
	} users[] = {
		{ ALICE, BOB, 6 }, { ALICE, ALICE, 6 },
		{ CAROL, ALICE, 3 }, { BOB, BOB, 0 },
	};
	struct client c[24];
	struct matrix m;
	unsigned int i;

	for (i = 0; i < 24; i++) {
		unsigned int bits = i / 3, class = i % 3 * 3;
		unsigned int mode = bits << class |
				    ((7 - bits) * 0111 & ~(7U << class));

		snprintf(m.name[i], sizeof(m.name[i]), "test-mode-%u", i);
		ASSERT_EQ(0, client_open(&c[i], m.name[i], CREATE, MIB, 0));
		ASSERT_EQ(0, set_owner(&c[i], ALICE, ALICE));
		ASSERT_EQ(0, set_mode(&c[i], mode));
		/* Root may anyway */
		EXPECT_EQ(0, try_attach(m.name[i], 0));
	}
	for (i = 0; i < ARRAY_LEN(users); i++) {
		m.shift = users[i].shift;
		EXPECT_EQ(0, as(users[i].uid, users[i].gid, try_modes, &m))
			TH_LOG("user %u", i);
	}
	for (i = 0; i < 24; i++)
		client_close(&c[i]);
}

static int make_with_umask(void *arg)
{
	struct slabshm_attach_args ask;
	struct slabshm_stat st;
	struct client c;

	(void)arg;
	umask(027);
	ask_attach(&ask, unique_name(), CREATE, MIB, 0);
	ask.mode = 0666;
	CHECK(!client_open_ask(&c, &ask));
	CHECK(!get_stat(&c, &st));
	CHECK(st.mode == 0640);
	CHECK(st.uid == ALICE && st.gid == BOB);
	/* Whatever the mode says, who made it has got all rights */
	umask(0777);
	client_close(&c);
	ask_attach(&ask, unique_name(), CREATE, MIB, MIB);
	ask.mode = 0777;
	CHECK(!client_open_ask(&c, &ask));
	CHECK(!get_stat(&c, &st));
	CHECK(st.mode == 0);
	CHECK(alloc_block(&c, 64) > 0);
	CHECK(try_attach(ask.name, RDONLY) == -EACCES);
	return 0;
}

TEST_F(rights, umask)
{
	(void)self;
	EXPECT_EQ(0, as(ALICE, BOB, make_with_umask, NULL));
}

static int read_only(void *arg)
{
	const char *name = arg;
	struct slabshm_cell_entry entry;
	struct slabshm_block block = { .size = 64 };
	struct slabshm_cell_open_args cell;
	struct slabshm_stat st;
	struct slabshm_ref ref;
	struct slabshm *s;
	struct client c;
	char buffer[8];
	__u64 cursor = 0;

	CHECK(try_attach(name, 0) == -EACCES);
	CHECK(!client_open(&c, name, RDONLY, 0, 0));
	CHECK(!get_stat(&c, &st) && st.uid == ALICE && st.blocks == 1);
	CHECK(list(&c, SLABSHM_LIST_CELLS, &entry, sizeof(entry), 1,
		   &cursor) == 1);
	CHECK(!strcmp(c.data + entry.offset, "hello"));
	CHECK(!cell_open(&c, "x", 0, &cell));
	CHECK(alloc_blocks(&c, &block, 1, 0, 0) == -EACCES);
	CHECK(free_block(&c, entry.offset) == -EACCES);
	CHECK(publish_one(&c, &cell, 0, 0) == -EACCES);
	CHECK(cell_remove(&c, &cell) == -EACCES);
	CHECK(cell_open(&c, "y", SLABSHM_CELL_CREATE, &cell) == -EACCES);
	CHECK(grow(&c, 2 * MIB, NULL) == -EACCES);
	CHECK(trim(&c, 0, NULL) == -EACCES);
	CHECK(compact(&c, 0, NULL) == -EACCES);
	CHECK(set_mode(&c, 0666) == -EPERM);

	CHECK(!slabshm_open(&s, name, RDONLY, NULL));
	CHECK(!slabshm_cell_open(s, "x", 0, &ref));
	CHECK(slabshm_read(s, &ref, buffer, sizeof(buffer), NULL) == 6);
	CHECK(!strcmp(buffer, "hello"));
	CHECK(slabshm_alloc(s, 1) == -EACCES);
	slabshm_close(s);
	return 0;
}

TEST_F(rights, read_only_for_others)
{
	ASSERT_EQ(0, set_mode(&self->c, 0644));
	EXPECT_EQ(0, as(BOB, BOB, read_only, self->name));
}

/*
 * ---------------- Owners ----------------
 */

static int change_own(void *arg)
{
	const char *name = arg;
	struct slabshm_setattr_args both = {
		.flags = SLABSHM_SETATTR_UID | SLABSHM_SETATTR_MODE,
		.uid = BOB,
		.mode = 0777,
	};
	struct slabshm_stat st;
	struct client c;

	CHECK(!client_open(&c, name, RDONLY, 0, 0));
	CHECK(!set_mode(&c, 0640));
	CHECK(!set_owner(&c, ALICE, ~0U));
	CHECK(!set_owner(&c, ALICE, ALICE));
	CHECK(set_owner(&c, BOB, ~0U) == -EPERM);
	CHECK(set_owner(&c, 0, ~0U) == -EPERM);
	CHECK(set_owner(&c, ~0U, 0) == -EPERM);
	CHECK(set_owner(&c, ~0U, BOB) == -EPERM);
	CHECK(client_call(&c, SLABSHM_IOC_SETATTR, &both) == -EPERM);
	CHECK(!get_stat(&c, &st));
	CHECK(st.mode == 0640 && st.uid == ALICE && st.gid == ALICE);
	return 0;
}

static int change_foreign(void *arg)
{
	const char *name = arg;
	struct slabshm_stat st;
	struct client c;

	CHECK(!client_open(&c, name, 0, 0, 0));
	CHECK(set_mode(&c, 0) == -EPERM);
	CHECK(set_mode(&c, 0666) == -EPERM);
	CHECK(set_owner(&c, BOB, ~0U) == -EPERM);
	CHECK(set_owner(&c, ALICE, ~0U) == -EPERM);
	CHECK(set_owner(&c, ~0U, BOB) == -EPERM);
	CHECK(!get_stat(&c, &st));
	CHECK(st.mode == 0666 && st.uid == ALICE && st.gid == ALICE);
	CHECK(unlink_slab(name) == -EPERM);
	CHECK(slab_listed(name, NULL));
	return 0;
}

static int change_group(void *arg)
{
	gid_t groups[] = { BOB };
	struct slabshm_stat st;
	struct client c;

	/* A group that one is in */
	CHECK(!setgroups(1, groups));
	CHECK(!setresgid(ALICE, ALICE, ALICE));
	CHECK(!setresuid(ALICE, ALICE, ALICE));
	CHECK(!client_open(&c, arg, 0, 0, 0));
	CHECK(!set_owner(&c, ~0U, BOB));
	CHECK(set_owner(&c, ~0U, CAROL) == -EPERM);
	CHECK(!get_stat(&c, &st) && st.gid == BOB);
	return 0;
}

static int unlink_own(void *arg)
{
	CHECK(!unlink_slab(arg));
	CHECK(!slab_listed(arg, NULL));
	CHECK(unlink_slab(arg) == -ENOENT);
	return 0;
}

static int unlink_foreign(void *arg)
{
	CHECK(unlink_slab(arg) == -EPERM);
	return 0;
}

TEST_F(rights, chmod_chown_unlink)
{
	struct slabshm_stat st;
	const char *name;
	struct client c;

	EXPECT_EQ(0, as(ALICE, ALICE, change_own, self->name));
	ASSERT_EQ(0, set_mode(&self->c, 0666));
	EXPECT_EQ(0, as(BOB, BOB, change_foreign, self->name));
	EXPECT_EQ(0, in_child(change_group, (void *)self->name));
	ASSERT_EQ(0, get_stat(&self->c, &st));
	EXPECT_EQ(BOB, st.gid);
	EXPECT_EQ(0, as(ALICE, CAROL, unlink_own, self->name));

	/* Without even the read right: the owner */
	name = unique_name();
	ASSERT_EQ(0, client_open(&c, name, CREATE, MIB, 0));
	ASSERT_EQ(0, set_owner(&c, BOB, BOB));
	ASSERT_EQ(0, set_mode(&c, 0));
	EXPECT_EQ(0, as(ALICE, ALICE, unlink_foreign, name));
	EXPECT_TRUE(slab_listed(name, NULL));
	EXPECT_EQ(0, as(BOB, BOB, unlink_own, name));
	client_close(&c);
}

struct keeper {
	const char *name;
	int ready;
	int go;
};

static int keep_rights(void *arg)
{
	struct keeper *k = arg;
	struct slabshm_stat st;
	struct client c;

	CHECK(!client_open(&c, k->name, 0, 0, 0));
	__atomic_store_n(&k->ready, 1, __ATOMIC_RELEASE);
	CHECK(wait_until(__atomic_load_n(&k->go, __ATOMIC_ACQUIRE), 5000));
	CHECK(alloc_block(&c, 64) > 0);
	CHECK(!get_stat(&c, &st) && st.mode == 0);
	CHECK(try_attach(k->name, RDONLY) == -EACCES);
	CHECK(!client_open_fd(&c, c.fd, 0));
	CHECK(alloc_block(&c, 64) > 0);
	return 0;
}

TEST_F(rights, clients_keep_what_they_have)
{
	struct keeper *k = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct job job = { BOB, BOB, keep_rights, k };
	pid_t pid;

	ASSERT_NE(MAP_FAILED, k);
	k->name = self->name;
	ASSERT_EQ(0, set_mode(&self->c, 0666));
	pid = start_child(do_job, &job);
	ASSERT_LT(0, pid);
	EXPECT_TRUE(wait_until(__atomic_load_n(&k->ready, __ATOMIC_ACQUIRE),
			       5000));
	ASSERT_EQ(0, set_mode(&self->c, 0));
	__atomic_store_n(&k->go, 1, __ATOMIC_RELEASE);
	EXPECT_EQ(0, end_child(pid));
	munmap(k, PAGE);
}

static int attach_owned(void *arg)
{
	const char *name = arg;
	struct slabshm_attach_args ask;
	struct client c;

	ask_attach(&ask, name, CREATE | SLABSHM_ATTACH_OWNER, MIB, 0);
	ask.owner = BOB;
	CHECK(client_attach(&c, &ask) == -EPERM);
	ask.owner = 0;
	CHECK(client_attach(&c, &ask) == -EPERM);
	ask.owner = ALICE;
	CHECK(!client_attach(&c, &ask));
	client_close(&c);
	/* Nobody else's may be taken for one's own */
	ask_attach(&ask, unique_name(), CREATE | SLABSHM_ATTACH_OWNER, MIB, 0);
	ask.owner = BOB;
	CHECK(client_attach(&c, &ask) == -EPERM);
	CHECK(!slab_listed(ask.name, NULL));
	ask.owner = ALICE;
	CHECK(!client_attach(&c, &ask));
	CHECK(c.at.result == SLABSHM_ATTACHED_CREATED);
	return 0;
}

TEST_F(rights, owner_demanded)
{
	EXPECT_EQ(0, as(ALICE, ALICE, attach_owned, self->name));
}

/*
 * ---------------- Descriptors ----------------
 */

struct passed {
	int rw;
	int ro;
};

static int attach_passed(void *arg)
{
	struct passed *p = arg;
	struct slabshm_attach_args ask;
	struct client c, d;

	/* Of another user, closed to all: the descriptor is the right */
	CHECK(!client_open_fd(&c, p->rw, 0));
	CHECK(alloc_block(&c, 64) > 0);
	CHECK(!strcmp(c.at.name, ""));
	CHECK(!client_open_fd(&d, p->rw, RDONLY));
	CHECK(alloc_block(&d, 64) == -EACCES);

	ask_attach(&ask, NULL, SLABSHM_ATTACH_FD, 0, 0);
	ask.fd = p->ro;
	CHECK(client_attach(&c, &ask) == -EACCES);
	ask.fd = d.fd;
	CHECK(client_attach(&c, &ask) == -EACCES);
	ask.flags |= RDONLY;
	CHECK(!client_open_ask(&c, &ask));
	CHECK(alloc_block(&c, 64) == -EACCES);
	CHECK(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, c.fd, 0) ==
	      MAP_FAILED && errno == EACCES);
	return 0;
}

TEST_F(rights, descriptors)
{
	struct passed p;
	struct client ro;

	ASSERT_EQ(0, set_mode(&self->c, 0));
	ASSERT_EQ(0, client_open(&ro, self->name, RDONLY, 0, 0));
	p.rw = self->c.fd;
	p.ro = ro.fd;
	EXPECT_EQ(0, as(BOB, BOB, attach_passed, &p));
	/* Root, too, gets no more than the descriptor has */
	EXPECT_EQ(0, in_child(attach_passed, &p));
	client_close(&ro);
}

/*
 * ---------------- Lists ----------------
 */

static int see_name(void *arg)
{
	struct slabshm_stat st, nothing = { 0 };

	CHECK(slab_listed(arg, &st));
	set_name(nothing.name, arg);
	CHECK(!memcmp(&st, &nothing, sizeof(st)));
	return 0;
}

static int see_all(void *arg)
{
	struct slabshm_stat st;

	CHECK(slab_listed(arg, &st));
	CHECK(st.attributes == SLABSHM_SLAB_READABLE);
	CHECK(st.id && st.size == MIB && st.max_size == 4 * MIB);
	CHECK(st.uid == ALICE && st.gid == ALICE && st.blocks == 1);
	CHECK(st.cells == 1 && st.clients == 1 && st.live == 64);
	return 0;
}

TEST_F(rights, list)
{
	static const unsigned int closed[] = { 0, 0660, 0662, 0771 };
	static const unsigned int open[] = { 0004, 0666, 0444 };
	unsigned int i;

	for (i = 0; i < ARRAY_LEN(closed); i++) {
		ASSERT_EQ(0, set_mode(&self->c, closed[i]));
		EXPECT_EQ(0, as(BOB, BOB, see_name, self->name));
	}
	for (i = 0; i < ARRAY_LEN(open); i++) {
		ASSERT_EQ(0, set_mode(&self->c, open[i]));
		EXPECT_EQ(0, as(BOB, BOB, see_all, self->name));
	}
	EXPECT_EQ(0, see_all((void *)self->name));
}

/*
 * ---------------- Namespaces ----------------
 */

static int other_net(void *arg)
{
	const char *name = arg;
	struct slabshm_attach_args ask;
	struct slabshm_stat st;
	struct client c, d;

	CHECK(!client_open(&d, name, 0, 0, 0));
	CHECK(!unshare(CLONE_NEWNET));
	CHECK(!slab_listed(name, NULL));
	CHECK(try_attach(name, 0) == -ENOENT);
	CHECK(unlink_slab(name) == -ENOENT);
	CHECK(!client_open(&c, name, CREATE | SLABSHM_ATTACH_EXCL, MIB, MIB));
	CHECK(c.at.id != d.at.id);
	CHECK(c.at.result == SLABSHM_ATTACHED_CREATED);
	CHECK(slab_listed(name, &st) && st.id == c.at.id);

	/* Clients and descriptors of another namespace are as good */
	CHECK(alloc_block(&d, 64) > 0);
	CHECK(!get_stat(&d, &st) && st.id == d.at.id);
	CHECK(!(st.attributes & SLABSHM_SLAB_UNLINKED));
	ask_attach(&ask, NULL, SLABSHM_ATTACH_FD, 0, 0);
	ask.fd = d.fd;
	client_close(&c);
	CHECK(!client_open_ask(&c, &ask));
	CHECK(c.at.id == d.at.id);
	CHECK(!unlink_slab(name) || !slab_listed(name, NULL));
	return 0;
}

TEST_F(rights, network_namespaces)
{
	long refs = module_refs();

	EXPECT_EQ(0, in_child(other_net, (void *)self->name));
	EXPECT_TRUE(slab_listed(self->name, NULL));
	EXPECT_TRUE(wait_until(module_refs() == refs, 5000));
}

static int leave_persistent(void *arg)
{
	struct client c;
	int i;

	(void)arg;
	CHECK(!unshare(CLONE_NEWNET));
	for (i = 0; i < 5; i++) {
		CHECK(!client_open(&c, unique_name(), CREATE |
				   SLABSHM_ATTACH_PERSIST, MIB, MIB));
		CHECK(alloc_block(&c, 64) > 0);
		client_close(&c);
	}
	return 0;
}

TEST_F(rights, persistent_slabs_end_with_their_namespace)
{
	long refs = module_refs();

	(void)self;
	EXPECT_EQ(0, in_child(leave_persistent, NULL));
	EXPECT_TRUE(wait_until(module_refs() == refs, 10000))
		TH_LOG("%ld", module_refs() - refs);
}

/* The namespace ends, but a client of its slab lives. */
TEST_F(rights, clients_outlive_their_namespace)
{
	int home = open("/proc/self/ns/net", O_RDONLY);
	const char *name = unique_name();
	long refs = module_refs();
	struct slabshm_stat st;
	struct client c;

	(void)self;
	ASSERT_LE(0, home);
	ASSERT_EQ(0, unshare(CLONE_NEWNET));
	ASSERT_EQ(0, client_open(&c, name, CREATE | SLABSHM_ATTACH_PERSIST,
				 MIB, MIB));
	ASSERT_EQ(0, setns(home, CLONE_NEWNET));
	close(home);
	EXPECT_FALSE(slab_listed(name, NULL));
	EXPECT_TRUE(wait_until(!get_stat(&c, &st) &&
			       st.attributes & SLABSHM_SLAB_UNLINKED, 10000));
	EXPECT_EQ(0, st.attributes & SLABSHM_SLAB_PERSIST);
	EXPECT_LT(0, alloc_block(&c, 64));
	EXPECT_EQ(refs + 1, module_refs());
	client_close(&c);
	EXPECT_EQ(refs, module_refs());
}

static unsigned int pid_listed(const struct client *c, __u32 client)
{
	struct slabshm_client_entry entry;
	__u64 cursor = 0;

	while (list(c, SLABSHM_LIST_CLIENTS, &entry, sizeof(entry), 1,
		    &cursor) == 1)
		if (entry.client == client)
			return entry.pid;
	return 4242;
}

struct pids {
	const char *name;
	struct client *outer;
	__u32 inner;	/* number of the client in the namespace */
	int ready;
	int go;
};

static int inner_pid(void *arg)
{
	struct pids *p = arg;
	struct client c;

	CHECK(getpid() == 1);
	CHECK(!client_open(&c, p->name, 0, 0, 0));
	CHECK(pid_listed(&c, c.at.client) == 1);
	CHECK(pid_listed(&c, p->outer->at.client) == 0);
	p->inner = c.at.client;
	__atomic_store_n(&p->ready, 1, __ATOMIC_RELEASE);
	CHECK(wait_until(__atomic_load_n(&p->go, __ATOMIC_ACQUIRE), 5000));
	return 0;
}

TEST_F(rights, process_ids)
{
	struct pids *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid;

	ASSERT_NE(MAP_FAILED, p);
	p->name = self->name;
	p->outer = &self->c;
	EXPECT_EQ(getpid(), pid_listed(&self->c, self->c.at.client));
	ASSERT_EQ(0, unshare(CLONE_NEWPID));
	fflush(NULL);
	pid = fork();	/* start_child() wants to see its parent's number */
	if (!pid)
		_exit(inner_pid(p));
	ASSERT_LT(0, pid);
	EXPECT_TRUE(wait_until(__atomic_load_n(&p->ready, __ATOMIC_ACQUIRE),
			       5000));
	EXPECT_EQ(pid, pid_listed(&self->c, p->inner));
	__atomic_store_n(&p->go, 1, __ATOMIC_RELEASE);
	EXPECT_EQ(0, end_child(pid));
	munmap(p, PAGE);
}

static int user_namespace(void *arg)
{
	const struct passed *p = arg;
	struct slabshm_attach_args ask;
	struct slabshm_stat st;
	struct client c;
	long refs;

	if (unshare(CLONE_NEWUSER | CLONE_NEWNET))
		return 4;
	prctl(PR_SET_DUMPABLE, 1);	/* or /proc/self is root's */
	CHECK(!write_text("/proc/self/setgroups", "deny"));
	CHECK(!write_text("/proc/self/uid_map", "0 1000 1"));
	CHECK(!write_text("/proc/self/gid_map", "0 1000 1"));
	CHECK(!getuid() && !getgid());

	/* Its own slab is root's, as far as it can see */
	ask_attach(&ask, "test-inner", CREATE | SLABSHM_ATTACH_PERSIST |
		   SLABSHM_ATTACH_OWNER, MIB, MIB);
	ask.owner = 0;
	CHECK(!client_open_ask(&c, &ask));
	CHECK(!get_stat(&c, &st) && !st.uid && !st.gid);
	CHECK(set_owner(&c, BOB, ~0U) == -EINVAL);
	CHECK(set_owner(&c, ALICE, ~0U) == -EINVAL);
	CHECK(!set_owner(&c, 0, 0));
	refs = module_refs();
	CHECK(!unlink_slab("test-inner"));
	CHECK(module_refs() == refs - 1);
	client_close(&c);

	/* One of a user that this namespace does not know */
	CHECK(!client_open_fd(&c, p->rw, 0));
	CHECK(!get_stat(&c, &st) && st.uid == NOBODY && st.gid == NOBODY);
	CHECK(set_mode(&c, 0666) == -EPERM);
	ask_attach(&ask, NULL, SLABSHM_ATTACH_FD | SLABSHM_ATTACH_OWNER, 0, 0);
	ask.fd = p->rw;
	ask.owner = NOBODY;
	CHECK(client_attach(&c, &ask) == -EPERM);
	ask.owner = BOB;
	CHECK(client_attach(&c, &ask) == -EPERM);
	return 0;
}

TEST_F(rights, user_namespaces)
{
	struct passed p = { .rw = self->c.fd };
	long refs = module_refs();
	int ret;

	ASSERT_EQ(0, set_owner(&self->c, BOB, BOB));
	ret = as(ALICE, ALICE, user_namespace, &p);
	if (ret == 4)
		SKIP(return, "no user namespaces");
	EXPECT_EQ(0, ret);
	EXPECT_TRUE(wait_until(module_refs() == refs, 10000));
}

TEST_HARNESS_MAIN
