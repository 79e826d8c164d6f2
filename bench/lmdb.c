// SPDX-License-Identifier: GPL-2.0
/*
 * LMDB on a tmpfs, with the flags that make it fastest: MDB_WRITEMAP and
 * MDB_NOSYNC, as there is nothing to be safe from on a tmpfs.
 */
#include <lmdb.h>

#include "bench.h"

#define NAME		"LMDB"

static MDB_env *env;
static MDB_dbi dbi;
static char buf[OBJECT_MAX];

/* LMDB's own errors are negative, errno's are not. */
static void check_lmdb(int ret)
{
	if (!ret)
		return;
	fprintf(stderr, "bench: LMDB: %s\n", mdb_strerror(ret));
	_exit(1);
}

static inline MDB_txn *begin_txn(unsigned int flags)
{
	MDB_txn *txn;

	check_lmdb(mdb_txn_begin(env, NULL, flags, &txn));
	return txn;
}

static inline void put(MDB_txn *txn, uint32_t key)
{
	MDB_val k = { sizeof(key), &key }, v = { object_size, buf };

	check_lmdb(mdb_put(txn, dbi, &k, &v, 0));
}

static inline void get(MDB_txn *txn, uint32_t key, bool copy)
{
	MDB_val k = { sizeof(key), &key }, v;

	check_lmdb(mdb_get(txn, dbi, &k, &v));
	if (copy)
		memcpy(buf, v.mv_data, v.mv_size);
	use(copy ? buf : v.mv_data);
}

static void publish(uint32_t key)
{
	MDB_txn *txn = begin_txn(0);

	put(txn, key);
	check_lmdb(mdb_txn_commit(txn));
}

/* row_arg objects, for all workers the same */
static void prepare(void)
{
	char path[64];
	MDB_txn *txn;
	uint32_t i;

	snprintf(path, sizeof(path), "/dev/shm/%s", row_id);
	check_lmdb(mdb_env_create(&env));
	check_lmdb(mdb_env_set_mapsize(env, 128UL << 20));
	check_lmdb(mdb_env_set_maxreaders(env, 256));
	check_lmdb(mdb_env_open(env, path, MDB_NOSUBDIR | MDB_NOSYNC |
				MDB_WRITEMAP, 0600));
	txn = begin_txn(0);
	check_lmdb(mdb_dbi_open(txn, NULL, MDB_INTEGERKEY, &dbi));
	for (i = 0; i < row_arg; i++)
		put(txn, i);
	check_lmdb(mdb_txn_commit(txn));
}

static void run_publish(unsigned long n)
{
	unsigned long i;

	for (i = 0; i < n; i++)
		publish(row_worker);
}

static void run_publish_64(unsigned long n)
{
	unsigned long i;
	MDB_txn *txn;
	uint32_t k;

	for (i = 0; i < n; i++) {
		txn = begin_txn(0);
		for (k = 0; k < 64; k++)
			put(txn, k);
		check_lmdb(mdb_txn_commit(txn));
	}
}

static inline void read_txn(uint32_t key, bool copy)
{
	MDB_txn *txn = begin_txn(MDB_RDONLY);

	get(txn, key, copy);
	mdb_txn_abort(txn);
}

static void run_look(unsigned long n)
{
	unsigned long i;

	for (i = 0; i < n; i++)
		read_txn(0, false);
}

static void run_read(unsigned long n)
{
	unsigned long i;

	for (i = 0; i < n; i++)
		read_txn(0, true);
}

static MDB_txn *kept;

static void prepare_renew(void)
{
	prepare();
	kept = begin_txn(MDB_RDONLY);
	mdb_txn_reset(kept);
}

static inline void read_renew(uint32_t key, bool copy)
{
	check_lmdb(mdb_txn_renew(kept));
	get(kept, key, copy);
	mdb_txn_reset(kept);
}

static void run_look_renew(unsigned long n)
{
	unsigned long i;

	for (i = 0; i < n; i++)
		read_renew(0, false);
}

static void run_read_renew(unsigned long n)
{
	unsigned long i;

	for (i = 0; i < n; i++)
		read_renew(0, true);
}

static unsigned int writes_percent;

static void prepare_rw_1(void)
{
	writes_percent = 1;
	prepare_renew();
}

static void prepare_rw_50(void)
{
	writes_percent = 50;
	prepare_renew();
}

static void run_rw(unsigned long n)
{
	unsigned long i;
	uint32_t key;

	for (i = 0; i < n; i++) {
		key = next_random(&row_random) % (uint32_t)row_arg;
		if (next_random(&row_random) % 100 < writes_percent)
			publish(key);
		else
			read_renew(key, true);
	}
}

static void consume(void)
{
	MDB_txn *txn;
	uint32_t i;
	MDB_val k;

	for (i = 0; i < HANDOFF; i++) {
		txn = begin_txn(0);
		get(txn, i, true);
		k = (MDB_val){ sizeof(i), &i };
		check_lmdb(mdb_del(txn, dbi, &k, NULL));
		check_lmdb(mdb_txn_commit(txn));
	}
}

static void prepare_pipe(void)
{
	prepare();
	row_helper.help = consume;
}

static void run_pipe(unsigned long n)
{
	unsigned long i;
	uint32_t k;

	for (i = 0; i < n; i += HANDOFF) {
		for (k = 0; k < HANDOFF; k++)
			publish(k);
		handoff();
	}
}

static const struct row rows[] = {
	{ PUBLISH, NULL, 100, 4000, prepare, NULL, run_publish,
	  ROW_RATE | ROW_TAIL },
	{ PUBLISH_64, NULL, 64, 200, prepare, NULL, run_publish_64, 0 },
	{ LOOK, NULL, 1, 10000, prepare, NULL, run_look, ROW_RATE },
	{ LOOK, NAME ", renewed", 1, 10000, prepare_renew, NULL, run_look_renew,
	  0 },
	{ READ, NULL, 1, 10000, prepare, NULL, run_read, ROW_RATE | ROW_TAIL },
	{ READ, NAME ", renewed", 1, 10000, prepare_renew, NULL, run_read_renew,
	  0 },
	{ RW("99:1", "10^2"), NULL, 100, 20000, prepare_rw_1, NULL, run_rw,
	  ROW_RATE },
	{ RW("99:1", "10^5"), NULL, 100000, 20000, prepare_rw_1, NULL, run_rw, 0 },
	{ RW("50:50", "10^2"), NULL, 100, 10000, prepare_rw_50, NULL, run_rw,
	  ROW_RATE },
	{ RW("50:50", "10^5"), NULL, 100000, 10000, prepare_rw_50, NULL, run_rw,
	  0 },
	{ PIPE, NULL, HANDOFF, 3200, prepare_pipe, NULL, run_pipe, ROW_HELPED },
	{}
};

int main(int argc, char **argv)
{
	const struct row *const tables[] = { rows, NULL };

	return bench_main(argc, argv, NAME, tables);
}
