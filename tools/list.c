// SPDX-License-Identifier: GPL-2.0
/*
 * The commands of slabshm(1) that list: ls, stat, cells, clients, readers, locks
 *
 * A new column is a line in one of the arrays below; a new list is an array, and a
 * line of listings[].
 */
#include <string.h>
#include <unistd.h>

#include "command.h"

/* ---------------- columns ---------------- */

#define SLAB(member)	FIELD(slabshm_stat, member)

static const struct column slab_columns[] = {
	{ "name", "name", STRING, true, SLAB(name) },
	{ "id", "number of the slab, never used again", NUMBER, false, SLAB(id) },
	{ "size", "present size", BYTES, true, SLAB(size) },
	{ "max-size", "size it may grow to", BYTES, true, SLAB(max_size) },
	{ "backed", "bytes for blocks that have memory", BYTES, false, SLAB(backed) },
	{ "live", "bytes in blocks", BYTES, true, SLAB(live) },
	{ "retired", "bytes waiting to be reclaimed", BYTES, false, SLAB(retired) },
	{ "free", "the other backed bytes", BYTES, false, SLAB(free) },
	{ "blocks", "blocks in live", NUMBER, false, SLAB(blocks) },
	{ "retired-blocks", "blocks in retired", NUMBER, false, SLAB(retired_blocks) },
	{ "held", "retired bytes that readers hold", BYTES, false, SLAB(held) },
	{ "readers", "registered readers", NUMBER, false, SLAB(readers) },
	{ "evictions", "pins withdrawn so far", NUMBER, false, SLAB(evictions) },
	{ "commit", "the clock", NUMBER, false, SLAB(commit) },
	{ "cells", "cells in use", NUMBER, true, SLAB(cells) },
	{ "max-cells", "cells it may have", NUMBER, false, SLAB(max_cells) },
	{ "clients", "attached clients", NUMBER, true, SLAB(clients) },
	{ "uid", "owner", NUMBER, true, SLAB(uid) },
	{ "gid", "group", NUMBER, false, SLAB(gid) },
	{ "mode", "permission bits", OCTAL, true, SLAB(mode) },
	{ "persist", "lives without clients", FLAG, false, SLAB(attributes),
	  SLABSHM_SLAB_PERSIST },
	{ "fixed", "does not grow on allocation", FLAG, false, SLAB(attributes),
	  SLABSHM_SLAB_FIXED },
	{ "mandatory", "a locked cell is its holder's to change", FLAG, false,
	  SLAB(attributes), SLABSHM_SLAB_MANDATORY },
	{ }
};

static bool slab_readable(const void *entry)
{
	const struct slabshm_stat *st = entry;

	return st->attributes & SLABSHM_SLAB_READABLE;
}

#define CELL_FIELD(member)	FIELD(slabshm_cell_entry, member)

static const struct column cell_columns[] = {
	{ "name", "name", STRING, true, CELL_FIELD(name) },
	{ "version", "commit that changed it last", NUMBER, true, CELL_FIELD(commit) },
	{ "length", "length of the object", BYTES, true, CELL_FIELD(length) },
	{ "bytes", "bytes of the object's blocks", BYTES, true, CELL_FIELD(bytes) },
	{ "parts", "parts of the object", NUMBER, true, CELL_FIELD(parts) },
	{ "empty", "has no object", NO_FLAG, false, CELL_FIELD(offset), UINT64_MAX },
	{ "movable", "compact may move the object", FLAG, false, CELL_FIELD(flags),
	  SLABSHM_CELL_MOVABLE },
	{ "offset", "offset of the object's root", NUMBER, false, CELL_FIELD(offset) },
	{ "cell", "index", NUMBER, false, CELL_FIELD(cell) },
	{ "generation", "generation", NUMBER, false, CELL_FIELD(generation) },
	{ }
};

static const char *client_rights(const void *entry)
{
	const struct slabshm_client_entry *client = entry;

	return client->flags & SLABSHM_CLIENT_RDONLY ? "ro" : "rw";
}

static const char *client_state(const void *entry)
{
	const struct slabshm_client_entry *client = entry;

	return client->flags & SLABSHM_CLIENT_ALIVE ? "alive" :
	       client->flags & SLABSHM_CLIENT_ENDED ? "ended" : "new";
}

#define CLIENT(member)	FIELD(slabshm_client_entry, member)

static const struct column client_columns[] = {
	{ "client", "number of the client", NUMBER, true, CLIENT(client) },
	{ "pid", "process that attached", NUMBER, true, CLIENT(pid) },
	{ "uid", "user that attached", NUMBER, true, CLIENT(uid) },
	{ "rights", "ro or rw", WORD, true, .word = client_rights },
	{ "state", "new, alive, ended", WORD, true, .word = client_state },
	{ "blocks", "blocks it has not published", NUMBER, true, CLIENT(blocks) },
	{ "bytes", "bytes of these", BYTES, true, CLIENT(bytes) },
	{ "command", "name of the process", PROCESS, true, CLIENT(pid) },
	{ }
};

static const char *reader_state(const void *entry)
{
	const struct slabshm_reader_entry *reader = entry;

	return reader->flags & SLABSHM_READER_DEAD ? "dead" :
	       reader->flags & SLABSHM_READER_PINNED ? "pinned" : "idle";
}

#define READER(member)	FIELD(slabshm_reader_entry, member)

static const struct column reader_columns[] = {
	{ "client", "number of its client", NUMBER, true, READER(client) },
	{ "slot", "index of its slot", NUMBER, true, READER(slot) },
	{ "tid", "thread", NUMBER, true, READER(tid) },
	{ "state", "idle, pinned, dead", WORD, true, .word = reader_state },
	{ "lo", "may use what was current after this commit", NUMBER, true, READER(lo) },
	{ "hi", "and was published by this one", NUMBER, true, READER(hi) },
	{ "held", "retired bytes it holds", BYTES, true, READER(held) },
	{ "held-ms", "milliseconds since the oldest of these was retired", NUMBER,
	  true, READER(held_ms) },
	{ "command", "name of the thread", PROCESS, true, READER(tid) },
	{ }
};

static const char *lock_state(const void *entry)
{
	const struct slabshm_lock_entry *lock = entry;

	return lock->flags & SLABSHM_LOCKER_DEAD ? "dead" :
	       lock->flags & SLABSHM_LOCKER_HOLDS ? "holds" :
	       lock->flags & SLABSHM_LOCKER_DEADLOCK ? "deadlock" : "waits";
}

#define LOCK(member)	FIELD(slabshm_lock_entry, member)

static const struct column lock_columns[] = {
	{ "name", "name of the cell", STRING, true, LOCK(name) },
	{ "state", "holds, waits, dead, deadlock", WORD, true, .word = lock_state },
	{ "client", "number of the client", NUMBER, true, LOCK(client) },
	{ "tid", "thread", NUMBER, true, LOCK(tid) },
	{ "ms", "milliseconds it has held the lock, or waited", NUMBER, true, LOCK(ms) },
	{ "consistent", "no holder died, or this was repaired", NO_FLAG, true,
	  LOCK(flags), SLABSHM_LOCKER_INCONSISTENT },
	{ "command", "name of the thread", PROCESS, true, LOCK(tid) },
	{ "cell", "index of the cell", NUMBER, false, LOCK(cell) },
	{ "generation", "generation of the cell", NUMBER, false, LOCK(generation) },
	{ }
};

/* ---------------- lists ---------------- */

static int next_slabs(struct slabshm *s, void *entries, uint64_t *cursor)
{
	(void)s;
	return slabshm_list_slabs(entries, BATCH, cursor);
}

static int next_cells(struct slabshm *s, void *entries, uint64_t *cursor)
{
	return slabshm_list_cells(s, entries, BATCH, cursor);
}

static int next_clients(struct slabshm *s, void *entries, uint64_t *cursor)
{
	return slabshm_list_clients(s, entries, BATCH, cursor);
}

static int next_readers(struct slabshm *s, void *entries, uint64_t *cursor)
{
	return slabshm_list_readers(s, entries, BATCH, cursor);
}

static int next_locks(struct slabshm *s, void *entries, uint64_t *cursor)
{
	return slabshm_list_locks(s, entries, BATCH, cursor);
}

static bool is_slab(const void *entry, const char *name)
{
	const struct slabshm_stat *st = entry;

	return !name || !strcmp(st->name, name);
}

static bool is_other(const void *entry, const char *name)
{
	const struct slabshm_client_entry *client = entry;

	(void)name;
	return client->pid != (uint32_t)getpid();
}

/**
 * struct listing - a command that lists
 * @name: of the command
 * @list: what it lists
 * @next: gets up to %BATCH entries
 * @wanted: is this entry one of them?  NULL: all are
 * @of_slab: what @next lists is in the slab that the argument names
 * @style: how to print without --json
 * @max: number of arguments that it can have
 */
struct listing {
	const char *name;
	struct list list;
	int (*next)(struct slabshm *s, void *entries, uint64_t *cursor);
	bool (*wanted)(const void *entry, const char *name);
	bool of_slab;
	enum style style;
	int max;
};

#define SLABS	{ "slabs", slab_columns, sizeof(struct slabshm_stat), slab_readable }
#define CELLS	{ "cells", cell_columns, sizeof(struct slabshm_cell_entry), NULL }
#define CLIENTS	{ "clients", client_columns, sizeof(struct slabshm_client_entry), NULL }
#define READERS	{ "readers", reader_columns, sizeof(struct slabshm_reader_entry), NULL }
#define LOCKS	{ "locks", lock_columns, sizeof(struct slabshm_lock_entry), NULL }

static const struct listing listings[] = {
	{ "ls", SLABS, next_slabs, NULL, false, TABLE, 0 },
	{ "stat", SLABS, next_slabs, is_slab, false, DETAILS, 1 },
	{ "cells", CELLS, next_cells, NULL, true, TABLE, 1 },
	{ "clients", CLIENTS, next_clients, is_other, true, TABLE, 1 },
	{ "readers", READERS, next_readers, NULL, true, TABLE, 1 },
	{ "locks", LOCKS, next_locks, NULL, true, TABLE, 1 },
};

/* All entries, n of them; NULL and *err on failure. */
static char *collect(const struct listing *l, const char *name, size_t *n, int *err)
{
	size_t size = l->list.entry_size;
	struct slabshm *s = NULL;
	char *entries = NULL;
	uint64_t cursor = 0;
	char *more;
	int i, got;

	*n = 0;
	*err = l->of_slab ? slabshm_open(&s, name, SLABSHM_ATTACH_RDONLY, NULL) : 0;
	if (*err)
		return NULL;
	do {
		more = reallocarray(entries, *n + BATCH, size);
		if (!more) {
			got = -ENOMEM;
			break;
		}
		entries = more;
		got = l->next(s, entries + *n * size, &cursor);
		for (i = 0, more += *n * size; i < got; i++, more += size) {
			if (l->wanted && !l->wanted(more, name))
				continue;
			memmove(entries + (*n)++ * size, more, size);
		}
	} while (got > 0);
	slabshm_close(s);
	if (!got)
		return entries;
	free(entries);
	*err = got;
	return NULL;
}

static int show_help(const struct listing *l)
{
	printf("Usage: slabshm %s [OPTION...]%s\n\n", l->name,
	       l->of_slab ? " SLAB" : l->max ? " [SLAB]" : "");
	fputs("  -J, --json            write JSON, with all columns\n"
	      "  -b, --bytes           write sizes in bytes\n"
	      "  -n, --noheadings      leave out the headings\n"
	      "  -o, --output COLUMNS  which columns: NAME,NAME... or +NAME,NAME... for\n"
	      "                        those and the ones shown by default\n"
	      "  -O, --output-all      all columns\n"
	      "  -h, --help            show this\n", stdout);
	print_columns(&l->list);
	return EXIT_SUCCESS;
}

int cmd_list(int argc, char **argv)
{
	static const struct option options[] = {
		OUTPUT_OPTIONS,
		{ "help", no_argument, NULL, 'h' },
		{ }
	};
	const struct listing *l = listings;
	struct output output = { };
	const char *name;
	char *entries;
	size_t n;
	int c, err;

	while (strcmp(l->name, argv[0]))
		l++;
	output.style = l->style;
	while ((c = getopt_long(argc, argv, OUTPUT_SHORTS "h", options, NULL)) != -1) {
		if (c == 'h')
			return show_help(l);
		if (c == '?')
			return bad_option(argv);
		output_option(&output, c, optarg);
	}
	if (argc - optind < l->of_slab)
		return usage_error(argv[0], "too few arguments");
	if (argc - optind > l->max)
		return usage_error(argv[0], "too many arguments");
	err = output_check(&output, &l->list);
	if (err)
		return err;
	name = argv[optind];
	entries = collect(l, name, &n, &err);
	if (entries && name && !l->of_slab && !n) {
		free(entries);
		entries = NULL;
		err = -ENOENT;
	}
	if (!entries)
		return fail(SLAB, name, err);
	print_list(&output, &l->list, entries, n);
	free(entries);
	return EXIT_SUCCESS;
}
