// SPDX-License-Identifier: GPL-2.0
/*
 * ATTACH, UNLINK, SETATTR and STAT: success, and every documented error but
 * those of rights.c and limits.c.
 */
#include "abi.h"

#define CREATE	SLABSHM_ATTACH_CREATE

FIXTURE(slabs)
{
	struct heap heap;
};

FIXTURE_SETUP(slabs)
{
	ASSERT_EQ(0, heap_make(&self->heap));
}

FIXTURE_TEARDOWN(slabs)
{
	heap_end(&self->heap);
}

TEST_F(slabs, attach)
{
	struct heap *h = &self->heap;
	const struct slabshm_attach_args *at;
	const struct slabshm_header *header;
	const char *name = unique_name();
	struct slabshm_attach_args ask;
	struct slabshm_stat st;
	struct client c, d;
	unsigned int i;

	ask_attach(&ask, name, SLABSHM_ATTACH_CREATE | SLABSHM_ATTACH_EXCL |
		   SLABSHM_ATTACH_FIXED, 5 * MIB - 100, MIB + 1);
	ask.max_cells = 1000;
	ask.mode = 0640;
	umask(0);
	ASSERT_EQ(0, client_open_ask(&c, &ask));
	at = &c.at;
	EXPECT_EQ(ask.flags, at->flags);
	EXPECT_EQ(5 * MIB, at->max_size);
	EXPECT_EQ(MIB + PAGE, at->size);
	EXPECT_EQ(1000, at->max_cells);
	EXPECT_EQ(SLABSHM_ATTACHED_CREATED, at->result);
	EXPECT_NE(0, at->client);
	EXPECT_EQ(SLABSHM_ABI_VERSION, at->abi);
	EXPECT_EQ(0, at->features);
	EXPECT_LT(h->c.at.id, at->id);
	EXPECT_STREQ(name, at->name);

	header = c.control;
	EXPECT_EQ(SLABSHM_MAGIC, header->magic);
	EXPECT_EQ(SLABSHM_ABI_VERSION, header->abi);
	EXPECT_EQ(0, header->flags);
	EXPECT_EQ(0, header->features);
	EXPECT_EQ(at->id, header->id);
	EXPECT_EQ(5 * MIB, header->max_size);
	EXPECT_EQ(MIB + PAGE, header->size);
	EXPECT_EQ(1000, header->max_cells);
	EXPECT_EQ(12, header->page_shift);
	EXPECT_EQ(1, header->commit);
	EXPECT_EQ(0, header->evicted);
	EXPECT_LE(sizeof(*header), header->cells_offset);
	EXPECT_LE(header->cells_offset + 1000 * sizeof(struct slabshm_cell),
		  header->map_offset);
	EXPECT_LE(header->map_offset + 5 * MIB / PAGE, at->control_size);
	EXPECT_EQ(64, header->classes[0]);
	for (i = 1; i < SLABSHM_CLASSES_MAX && header->classes[i]; i++) {
		EXPECT_LT(header->classes[i - 1], header->classes[i]);
		EXPECT_EQ(0, header->classes[i] % SLABSHM_GRANULE);
	}
	for (; i < SLABSHM_CLASSES_MAX; i++)
		EXPECT_EQ(0, header->classes[i]);

	ASSERT_EQ(0, get_stat(&c, &st));
	EXPECT_EQ(at->id, st.id);
	EXPECT_EQ(MIB + PAGE, st.size);
	EXPECT_EQ(MIB, st.backed);
	EXPECT_EQ(MIB, st.free);
	EXPECT_EQ(0, st.live | st.retired | st.blocks | st.retired_blocks |
		  st.cells | st.uid | st.gid | st.readers | st.held |
		  st.evictions);
	EXPECT_EQ(1, st.commit);
	EXPECT_EQ(1000, st.max_cells);
	EXPECT_EQ(1, st.clients);
	EXPECT_EQ(SLABSHM_SLAB_FIXED | SLABSHM_SLAB_READABLE, st.attributes);
	EXPECT_EQ(0640, st.mode);
	EXPECT_STREQ(name, st.name);

	/* It is there already: what would be for a new one is ignored */
	ask_attach(&ask, name, SLABSHM_ATTACH_CREATE | SLABSHM_ATTACH_PERSIST |
		   SLABSHM_ATTACH_OWNER, 64 * MIB, 0);
	ask.owner = 0;
	ASSERT_EQ(0, client_open_ask(&d, &ask));
	EXPECT_EQ(0, d.at.result);
	EXPECT_NE(0, d.at.client);
	EXPECT_NE(at->client, d.at.client);
	EXPECT_EQ(at->id, d.at.id);
	EXPECT_EQ(5 * MIB, d.at.max_size);
	EXPECT_EQ(MIB + PAGE, d.at.size);
	EXPECT_EQ(1000, d.at.max_cells);
	ASSERT_EQ(0, get_stat(&d, &st));
	EXPECT_EQ(0640, st.mode);
	EXPECT_EQ(2, st.clients);
	EXPECT_EQ(SLABSHM_SLAB_FIXED | SLABSHM_SLAB_READABLE, st.attributes);
	client_close(&d);

	/* By descriptor, and an unnamed one */
	ASSERT_EQ(0, client_open_fd(&d, c.fd, 0));
	EXPECT_EQ(at->id, d.at.id);
	client_close(&d);
	client_close(&c);
	EXPECT_TRUE(wait_until(!slab_listed(name, NULL), 2000));
	ASSERT_EQ(0, client_open(&c, NULL, SLABSHM_ATTACH_CREATE, MIB, MIB));
	EXPECT_EQ(SLABSHM_CELLS_DEFAULT, c.at.max_cells);
	ASSERT_EQ(0, get_stat(&c, &st));
	EXPECT_EQ(SLABSHM_SLAB_READABLE | SLABSHM_SLAB_UNLINKED, st.attributes);
	client_close(&c);
}

TEST_F(slabs, attach_sizes)
{
	static const struct {
		__u64 max_size;
		__u64 size;
		__u32 cells;
		int err;
	} cases[] = {
		{ 1, 0, 0, 0 },
		{ 1, 1, 1, 0 },
		{ PAGE, PAGE, 1, 0 },
		{ SLABSHM_SIZE_MAX, 0, 1, 0 },
		{ MIB, 0, 1 << 24, 0 },
		{ 0, 0, 0, EINVAL },
		{ SLABSHM_SIZE_MAX + 1, 0, 1, EINVAL },
		{ 1ULL << 63, 0, 1, EINVAL },
		{ ~0ULL, 0, 0, EINVAL },
		{ ~0ULL, ~0ULL, 0, EINVAL },
		{ ~0ULL - PAGE, ~0ULL, 0, EINVAL },
		{ MIB, MIB + 1, 0, EINVAL },
		{ MIB, ~0ULL, 0, EINVAL },
		{ MIB, 0, (1 << 24) + 1, EINVAL },
		{ MIB, 0, ~0U, EINVAL },
		{ MIB, 0, ~0U - 62, EINVAL },
	};
	struct heap *h = &self->heap;
	struct slabshm_attach_args ask;
	struct client c;
	unsigned int i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		ask_attach(&ask, NULL, SLABSHM_ATTACH_CREATE, cases[i].max_size,
			   cases[i].size);
		ask.max_cells = cases[i].cells;
		if (cases[i].err) {
			EXPECT_REFUSED(cases[i].err, client_attach(&c, &ask))
				TH_LOG("case %u", i);
			continue;
		}
		EXPECT_EQ(0, client_open_ask(&c, &ask))
			TH_LOG("case %u", i);
		client_close(&c);
	}
}

TEST_F(slabs, attach_names_and_flags)
{
	static const struct {
		__u32 flags;
		const char *name;
		int err;
	} cases[] = {
		{ CREATE, "test-with space, UTF-8 \xc3\xa4 and \xff", 0 },
		{ CREATE, "test-.", 0 },
		{ CREATE, "test-a/b", EINVAL },
		{ CREATE, "/", EINVAL },
		{ CREATE, "test-\n", EINVAL },
		{ CREATE, "\x01", EINVAL },
		{ CREATE, "test-\x7f", EINVAL },
		{ CREATE, "\x1f", EINVAL },
		{ 0, "", EINVAL },
		{ SLABSHM_ATTACH_RDONLY, "", EINVAL },
		{ CREATE | SLABSHM_ATTACH_PERSIST, "", EINVAL },
		{ SLABSHM_ATTACH_EXCL, "test-n", EINVAL },
		{ SLABSHM_ATTACH_PERSIST, "test-n", EINVAL },
		{ SLABSHM_ATTACH_FIXED, "test-n", EINVAL },
		{ SLABSHM_ATTACH_FD | CREATE, "", EINVAL },
		{ SLABSHM_ATTACH_FD | SLABSHM_ATTACH_PERSIST, "", EINVAL },
		{ SLABSHM_ATTACH_FD, "test-n", EINVAL },
		{ 0, "test-no such slab", ENOENT },
		{ SLABSHM_ATTACH_RDONLY, "test-no such slab", ENOENT },
	};
	struct heap *h = &self->heap;
	struct slabshm_attach_args ask;
	struct client c;
	unsigned int i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		ask_attach(&ask, cases[i].name, cases[i].flags, MIB, 0);
		ask.fd = h->c.fd;
		if (cases[i].err) {
			EXPECT_REFUSED(cases[i].err, client_attach(&c, &ask))
				TH_LOG("case %u", i);
			continue;
		}
		EXPECT_EQ(0, client_open_ask(&c, &ask))
			TH_LOG("case %u", i);
		EXPECT_TRUE(slab_listed(cases[i].name, NULL));
		client_close(&c);
	}

	/* The longest name, and one that does not end */
	ask_attach(&ask, NULL, CREATE, MIB, 0);
	memset(ask.name, 'x', SLABSHM_NAME_MAX - 1);
	EXPECT_EQ(0, client_open_ask(&c, &ask));
	EXPECT_TRUE(slab_listed(ask.name, NULL));
	client_close(&c);
	memset(ask.name, 'x', SLABSHM_NAME_MAX);
	EXPECT_REFUSED(EINVAL, client_attach(&c, &ask));
	ask.flags = 0;
	EXPECT_REFUSED(EINVAL, client_attach(&c, &ask));
}

TEST_F(slabs, attach_refusals)
{
	struct heap *h = &self->heap;
	int unattached = open_device(), other = open("/dev/null", O_RDWR);
	int closed = dup(other);
	int bad[] = { -1, closed, other, unattached, 1 << 30 };
	struct slabshm_attach_args ask;
	struct slabshm_stat st = { 0 };
	struct client c;
	unsigned int i;

	ASSERT_LE(0, unattached);
	ASSERT_LE(0, other);
	close(closed);
	ask_attach(&ask, h->name, 0, 0, 0);
	EXPECT_REFUSED(EISCONN, call(h->c.fd, SLABSHM_IOC_ATTACH, &ask));
	ask_attach(&ask, h->name, CREATE | SLABSHM_ATTACH_EXCL, MIB, 0);
	EXPECT_REFUSED(EEXIST, client_attach(&c, &ask));
	ask_attach(&ask, h->name, SLABSHM_ATTACH_OWNER, 0, 0);
	ask.owner = ALICE;
	EXPECT_REFUSED(EPERM, client_attach(&c, &ask));
	ask.owner = ~0U;
	EXPECT_REFUSED(EPERM, client_attach(&c, &ask));
	ask_attach(&ask, NULL, SLABSHM_ATTACH_FD | SLABSHM_ATTACH_OWNER, 0, 0);
	ask.fd = h->c.fd;
	ask.owner = BOB;
	EXPECT_REFUSED(EPERM, client_attach(&c, &ask));
	/* A new slab is the caller's, and does not stay */
	ask_attach(&ask, unique_name(), CREATE | SLABSHM_ATTACH_PERSIST |
		   SLABSHM_ATTACH_OWNER, MIB, 0);
	ask.owner = ALICE;
	EXPECT_REFUSED(EPERM, client_attach(&c, &ask));

	ask_attach(&ask, NULL, SLABSHM_ATTACH_FD, 0, 0);
	for (i = 0; i < ARRAY_LEN(bad); i++) {
		ask.fd = bad[i];
		EXPECT_REFUSED(EBADF, client_attach(&c, &ask));
	}
	/* Its own descriptor is no client's yet either */
	ask.fd = unattached;
	EXPECT_REFUSED(EBADF, call(unattached, SLABSHM_IOC_ATTACH, &ask));

	/* After all that it can still be attached */
	EXPECT_EQ(-ENOTCONN, call(unattached, SLABSHM_IOC_STAT, &st));
	ask_attach(&ask, h->name, 0, 0, 0);
	EXPECT_EQ(0, call(unattached, SLABSHM_IOC_ATTACH, &ask));
	close(unattached);
	close(other);
}

/* ATTACH succeeds but cannot say so: neither slab nor client may stay. */
TEST_F(slabs, attach_undone)
{
	static const __u32 flags[] = {
		CREATE, CREATE | SLABSHM_ATTACH_PERSIST, CREATE | CREATE,
		CREATE | SLABSHM_ATTACH_RDONLY,
	};
	struct heap *h = &self->heap;
	struct slabshm_attach_args *ask = (void *)h->page;
	struct slabshm_stat st = { 0 };
	int fd = open_device();
	const char *name;
	unsigned int i;

	ASSERT_LE(0, fd);
	for (i = 0; i < ARRAY_LEN(flags); i++) {
		name = unique_name();
		ask_attach(ask, name, flags[i], MIB, MIB);
		protect(h, PROT_READ);
		EXPECT_REFUSED(EFAULT, call(fd, SLABSHM_IOC_ATTACH, ask));
		protect(h, PROT_READ | PROT_WRITE);
		EXPECT_FALSE(slab_listed(name, NULL));
		EXPECT_EQ(-ENOTCONN, call(fd, SLABSHM_IOC_STAT, &st));
	}
	ask_attach(ask, h->name, 0, 0, 0);
	protect(h, PROT_READ);
	EXPECT_REFUSED(EFAULT, call(fd, SLABSHM_IOC_ATTACH, ask));
	protect(h, PROT_READ | PROT_WRITE);
	ask_attach(ask, NULL, SLABSHM_ATTACH_FD, 0, 0);
	ask->fd = h->c.fd;
	protect(h, PROT_READ);
	EXPECT_REFUSED(EFAULT, call(fd, SLABSHM_IOC_ATTACH, ask));
	protect(h, PROT_READ | PROT_WRITE);
	EXPECT_EQ(0, call(fd, SLABSHM_IOC_ATTACH, ask));
	close(fd);
}

TEST_F(slabs, open_for_reading_alone)
{
	(void)self;
	EXPECT_EQ(-1, open(DEVICE, O_RDONLY));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(-1, open(DEVICE, O_WRONLY));
	EXPECT_EQ(EACCES, errno);
}

TEST_F(slabs, unlink)
{
	static const char * const bad[] = { "", "a/b", "\n", "\x7f" };
	struct heap *h = &self->heap;
	struct slabshm_unlink_args arg;
	struct slabshm_stat st;
	struct client c;
	unsigned int i;

	for (i = 0; i < ARRAY_LEN(bad); i++)
		EXPECT_REFUSED(EINVAL, unlink_slab(bad[i]));
	memset(&arg, 0, sizeof(arg));
	memset(arg.name, 'x', sizeof(arg.name));
	EXPECT_REFUSED(EINVAL, call(h->c.fd, SLABSHM_IOC_UNLINK, &arg));
	EXPECT_REFUSED(ENOENT, unlink_slab("test-no such slab"));

	/* The slab stays for its clients; its name is free again */
	EXPECT_EQ(0, unlink_slab(h->name));
	EXPECT_FALSE(slab_listed(h->name, NULL));
	EXPECT_REFUSED(ENOENT, unlink_slab(h->name));
	ASSERT_EQ(0, get_stat(&h->c, &st));
	EXPECT_EQ(SLABSHM_SLAB_READABLE | SLABSHM_SLAB_UNLINKED, st.attributes);
	EXPECT_STREQ(h->name, st.name);
	ASSERT_EQ(0, client_open(&c, h->name, CREATE, MIB, 0));
	EXPECT_NE(h->c.at.id, c.at.id);
	EXPECT_EQ(0, unlink_slab(h->name));
	client_close(&c);
	EXPECT_LT(0, alloc_block(&h->c, 64));
}

TEST_F(slabs, persist)
{
	struct heap *h = &self->heap;
	const char *name = unique_name();
	struct slabshm_cell_open_args cell;
	struct slabshm_stat st;
	struct client c;
	long refs = module_refs();

	ASSERT_EQ(0, client_open(&c, name, CREATE | SLABSHM_ATTACH_PERSIST,
				 MIB, MIB));
	ASSERT_EQ(0, cell_open(&c, "x", SLABSHM_CELL_CREATE, &cell));
	ASSERT_EQ(0, publish_one(&c, &cell, (__u64)alloc_block(&c, 100), 100));
	client_close(&c);
	EXPECT_EQ(refs + 1, module_refs());
	/* The client goes a moment after its descriptor */
	EXPECT_TRUE(wait_until(slab_listed(name, &st) && !st.clients, 5000));
	EXPECT_EQ(SLABSHM_SLAB_PERSIST | SLABSHM_SLAB_READABLE, st.attributes);
	EXPECT_EQ(1, st.cells);
	EXPECT_EQ(1, st.blocks);
	ASSERT_EQ(0, client_open(&c, name, 0, 0, 0));
	EXPECT_EQ(0, cell_open(&c, "x", 0, &cell));
	EXPECT_EQ(0, unlink_slab(name));
	EXPECT_FALSE(slab_listed(name, NULL));
	client_close(&c);
	EXPECT_EQ(refs, module_refs());
	(void)h;
}

TEST_F(slabs, setattr)
{
	struct heap *h = &self->heap;
	struct slabshm_setattr_args arg = { 0 };
	struct slabshm_stat st;

	EXPECT_REFUSED(EINVAL, client_call(&h->c, SLABSHM_IOC_SETATTR, &arg));
	arg.flags = SLABSHM_SETATTR_UID;
	arg.uid = ~0U;
	EXPECT_REFUSED(EINVAL, client_call(&h->c, SLABSHM_IOC_SETATTR, &arg));
	arg.flags = SLABSHM_SETATTR_GID;
	arg.gid = ~0U;
	EXPECT_REFUSED(EINVAL, client_call(&h->c, SLABSHM_IOC_SETATTR, &arg));
	/* One good part does not save a bad one */
	arg.flags = SLABSHM_SETATTR_MODE | SLABSHM_SETATTR_GID;
	arg.mode = 0777;
	EXPECT_REFUSED(EINVAL, client_call(&h->c, SLABSHM_IOC_SETATTR, &arg));

	/* What the mask does not name is not looked at */
	arg.flags = SLABSHM_SETATTR_UID;
	arg.uid = ALICE;
	arg.mode = ~0U;
	EXPECT_EQ(0, client_call(&h->c, SLABSHM_IOC_SETATTR, &arg));
	ASSERT_EQ(0, get_stat(&h->c, &st));
	EXPECT_EQ(ALICE, st.uid);
	EXPECT_EQ(0, st.gid);
	EXPECT_EQ(0600, st.mode);
	arg.flags = 7;
	arg.uid = BOB;
	arg.gid = ALICE;
	arg.mode = 0467;
	EXPECT_EQ(0, client_call(&h->c, SLABSHM_IOC_SETATTR, &arg));
	ASSERT_EQ(0, get_stat(&h->c, &st));
	EXPECT_EQ(BOB, st.uid);
	EXPECT_EQ(ALICE, st.gid);
	EXPECT_EQ(0467, st.mode);
}

TEST_HARNESS_MAIN
