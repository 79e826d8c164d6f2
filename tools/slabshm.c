// SPDX-License-Identifier: GPL-2.0
/*
 * slabshm: look at slabs, and put objects in and out from the shell
 *
 * Each command opens what it needs, does one thing, and either succeeds or says
 * in one line what went wrong and what to do about it.  A cell is named
 * SLAB/CELL: a slab's name has no slash, so the first one parts the two.
 */
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <locale.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"

/* ---------------- errors ---------------- */

struct hint {
	enum subject subject;
	int err;
	const char *what;	/* went wrong */
	const char *todo;
};

static const struct hint hints[] = {
	{ DEVICE, ENODEV, "no such device",
	  "load the module with 'modprobe slabshm'" },
	{ DEVICE, EACCES, "permission denied",
	  "become root, or a member of the device's group" },
	{ DEVICE, EPROTO, "the module speaks another protocol",
	  "install the same release of module and tools" },
	{ SLAB, ENOENT, "no such slab", "'slabshm ls' shows those there are" },
	{ SLAB, EEXIST, "there is such a slab",
	  "take another name, or remove it with 'slabshm rm'" },
	{ SLAB, EACCES, "permission denied",
	  "'slabshm stat' shows its owner and mode" },
	{ SLAB, EPERM, "not your slab", "its owner or root can do that" },
	{ SLAB, EINVAL, "not a valid name or size",
	  "a name has no '/' and no control characters, sizes are in 'slabshm -h'" },
	{ SLAB, ENAMETOOLONG, "the name is too long", "255 bytes are the limit" },
	{ SLAB, ENOMEM, "not enough memory",
	  "free some, or take a smaller --size or --max-size" },
	{ SLAB, EDQUOT, "too many slabs or clients",
	  "end some, or raise the limits of the module" },
	{ SLAB, EBUSY, "readers hold back too much",
	  "try again later, 'slabshm readers' shows which" },
	{ CELL, ENOENT, "no such cell", "'slabshm cells' shows those there are" },
	{ CELL, ENODATA, "the cell is empty", "fill it with 'slabshm put'" },
	{ CELL, ENAMETOOLONG, "the name is too long", "255 bytes are the limit" },
	{ CELL, EINVAL, "not a valid name", "it must not be empty or have control characters" },
	{ CELL, ENOSPC, "the slab is full",
	  "remove cells, or create one with a larger --max-size or --cells" },
	{ CELL, ENOMEM, "not enough memory", "free some and try again" },
	{ CELL, EBUSY, "locked by another", "'slabshm locks' shows by whom" },
	{ CELL, ETIMEDOUT, "locked by another, and the timeout has passed",
	  "'slabshm locks' shows by whom" },
	{ CELL, EIDRM, "the cell was removed", "try again" },
	{ CELL, EDQUOT, "the client's limit of bytes is reached",
	  "put a smaller file, or raise the limit of the module" },
	{ }
};

void complain(const char *name, const char *what, const char *todo)
{
	fputs("slabshm: ", stderr);
	if (name) {
		print_safe(stderr, name);
		fputs(": ", stderr);
	}
	fprintf(stderr, todo ? "%s; %s\n" : "%s\n", what, todo);
}

int fail(enum subject subject, const char *name, int err)
{
	const struct hint *hint;

	/* What is wrong with the device is wrong whatever was asked for. */
	if (err == -ENODEV || err == -EPROTO ||
	    (err == -EACCES && access("/dev/slabshm", R_OK | W_OK))) {
		subject = DEVICE;
		name = "/dev/slabshm";
	}
	for (hint = hints; hint->what; hint++)
		if (hint->subject == subject && hint->err == -err) {
			complain(name, hint->what, hint->todo);
			return EXIT_FAILURE;
		}
	complain(name, strerror(-err), NULL);
	return EXIT_FAILURE;
}

int usage_error(const char *what)
{
	complain(NULL, what, "try 'slabshm -h'");
	return EXIT_USAGE;
}

/* ---------------- arguments ---------------- */

static const char usage[] =
"Usage: slabshm COMMAND [OPTION...] [ARGUMENT...]\n"
"\n"
"Look at slabs, the heaps that processes share through /dev/slabshm.\n"
"\n"
"Commands:\n"
"  ls                      list the slabs\n"
"  stat [SLAB]             a slab in figures, or all of them\n"
"  cells SLAB              list its cells\n"
"  clients SLAB            list the processes that have it open\n"
"  readers SLAB            list the threads that read it, and what they hold\n"
"  locks SLAB              list who holds locks of its cells, and who waits\n"
"  create SLAB             make a slab that stays until it is removed\n"
"  put SLAB/CELL [FILE]    make the file, or standard input, the cell's object;\n"
"                          makes the slab and the cell if there are none\n"
"  get SLAB/CELL           write the cell's object to standard output\n"
"  compact SLAB            move objects out of sparsely used pages, so that blocks\n"
"                          of other sizes fit there\n"
"  rm SLAB[/CELL]          remove the cell, or the slab's name; the slab itself\n"
"                          goes when nobody has it open\n"
"  watch SLAB[/CELL]...    tell each change of the cells: name, version, length,\n"
"                          and whether it was published, emptied or removed\n"
"  exec -l SLAB/CELL -- COMMAND [ARGUMENT...]\n"
"                          run the command while holding the cell's lock; makes\n"
"                          the slab and the cell if there are none\n"
"\n"
"Options:\n"
"  -J, --json              with ls, stat, lists and watch: write JSON\n"
"  -s, --size SIZE         with create: size at the start (1M)\n"
"  -m, --max-size SIZE     with create: size it may grow to (1G)\n"
"  -c, --cells NUMBER      with create: cells it may have (65536)\n"
"  -p, --mode MODE         with create: permission bits, less the umask (0600)\n"
"  -f, --fixed             with create: do not grow on allocation\n"
"  -M, --mandatory         with create: a locked cell is its holder's to change\n"
"  -o, --movable           with put: compact may move the objects of a new cell\n"
"  -l, --lock SLAB/CELL    with exec: what to lock\n"
"  -n, --nonblock          with exec: fail rather than wait\n"
"  -w, --timeout SECONDS   with exec and watch: wait no longer than this\n"
"  -N, --count NUMBER      with watch: end after so many changes\n"
"  -h, --help              show this\n"
"  -V, --version           show the version\n"
"\n"
"A SIZE is in bytes, or has a suffix K, M, G or T for powers of 1024.\n"
"Exit status: 0 success, 1 failure, 2 wrong usage; that of the command for exec.\n"
"More in slabshm(1).\n";

static bool parse_size(const char *text, uint64_t *size)
{
	static const char suffixes[] = "KMGT";
	const char *suffix;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*size = strtoull(text, &end, 10);
	if (errno)
		return false;
	if (*end) {
		unsigned int shift;

		suffix = strchr(suffixes, *end);
		if (!suffix || end[1])
			return false;
		shift = 10 * (unsigned int)(suffix - suffixes + 1);
		if (*size > UINT64_MAX >> shift)
			return false;
		*size <<= shift;
	}
	return *size;
}

static bool parse_number(const char *text, int base, uint32_t *number)
{
	unsigned long value;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	value = strtoul(text, &end, base);
	if (errno || *end || value > UINT32_MAX)
		return false;
	*number = (uint32_t)value;
	return *number;
}

static bool parse_seconds(const char *text, int *ms)
{
	double seconds;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	seconds = strtod(text, &end);
	if (*end || seconds > INT_MAX / 1000)
		return false;
	*ms = (int)(seconds * 1000);
	return true;
}

/* Returns -1 to go on, or an exit status. */
static int parse(int argc, char **argv, struct args *args)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'J' },
		{ "size", required_argument, NULL, 's' },
		{ "max-size", required_argument, NULL, 'm' },
		{ "cells", required_argument, NULL, 'c' },
		{ "mode", required_argument, NULL, 'p' },
		{ "fixed", no_argument, NULL, 'f' },
		{ "mandatory", no_argument, NULL, 'M' },
		{ "movable", no_argument, NULL, 'o' },
		{ "lock", required_argument, NULL, 'l' },
		{ "nonblock", no_argument, NULL, 'n' },
		{ "timeout", required_argument, NULL, 'w' },
		{ "count", required_argument, NULL, 'N' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ }
	};
	int c;

	while ((c = getopt_long(argc, argv, "Js:m:c:p:fMol:nw:N:hV", options,
				NULL)) != -1) {
		args->has_create |= !!strchr("smcpfM", c);
		args->has_wait |= !!strchr("lnwN", c);
		switch (c) {
		case 'J':
			args->json = true;
			break;
		case 's':
			if (!parse_size(optarg, &args->create.size))
				return usage_error("--size: not a size");
			break;
		case 'm':
			if (!parse_size(optarg, &args->create.max_size))
				return usage_error("--max-size: not a size");
			break;
		case 'c':
			if (!parse_number(optarg, 10, &args->create.max_cells))
				return usage_error("--cells: not a number");
			break;
		case 'p':
			if (!parse_number(optarg, 8, &args->create.mode) ||
			    args->create.mode > 0777)
				return usage_error("--mode: not a mode from 1 to 0777");
			break;
		case 'f':
			args->create_flags |= SLABSHM_ATTACH_FIXED;
			break;
		case 'M':
			args->create_flags |= SLABSHM_ATTACH_MANDATORY;
			break;
		case 'o':
			args->movable = true;
			break;
		case 'l':
			args->lock = optarg;
			break;
		case 'n':
			args->nonblock = true;
			break;
		case 'w':
			if (!parse_seconds(optarg, &args->timeout))
				return usage_error("--timeout: not a number of seconds");
			break;
		case 'N':
			if (!parse_number(optarg, 10, &args->count))
				return usage_error("--count: not a number");
			break;
		case 'h':
			fputs(usage, stdout);
			return EXIT_SUCCESS;
		case 'V':
			puts("slabshm " SLABSHM_VERSION);
			return EXIT_SUCCESS;
		default:
			fputs("Try 'slabshm -h'.\n", stderr);
			return EXIT_USAGE;
		}
	}
	args->rest = argv + optind;
	args->nrest = argc - optind;
	return -1;
}

/* Part SLAB/CELL at the first slash: @cell is NULL if there is none. */
char *split(char *path, char **cell)
{
	*cell = strchr(path, '/');
	if (*cell)
		*(*cell)++ = '\0';
	return path;
}

void show(const struct args *args, struct table *table)
{
	if (args->json)
		print_json(table);
	else
		print_table(table);
}

/* ---------------- slabs ---------------- */

static const struct column slab_columns[] = {
	{ "name", TEXT },
	{ "id", NUMBER | DETAIL },
	{ "size", NUMBER },
	{ "max-size", NUMBER },
	{ "backed", NUMBER | DETAIL },
	{ "live", NUMBER },
	{ "retired", NUMBER | DETAIL },
	{ "free", NUMBER | DETAIL },
	{ "blocks", NUMBER | DETAIL },
	{ "retired-blocks", NUMBER | DETAIL },
	{ "held", NUMBER | DETAIL },
	{ "readers", NUMBER | DETAIL },
	{ "evictions", NUMBER | DETAIL },
	{ "commit", NUMBER | DETAIL },
	{ "cells", NUMBER },
	{ "max-cells", NUMBER | DETAIL },
	{ "clients", NUMBER },
	{ "uid", NUMBER },
	{ "gid", NUMBER | DETAIL },
	{ "mode", TEXT },
	{ "persist", BOOL | DETAIL },
	{ "fixed", BOOL | DETAIL },
	{ "mandatory", BOOL | DETAIL },
	{ }
};

static void add_slab(struct table *table, const struct slabshm_stat *st)
{
	char mode[8];

	add_text(table, st->name);
	if (!(st->attributes & SLABSHM_SLAB_READABLE)) {
		add_unknown(table);
		return;
	}
	add_number(table, st->id);
	add_number(table, st->size);
	add_number(table, st->max_size);
	add_number(table, st->backed);
	add_number(table, st->live);
	add_number(table, st->retired);
	add_number(table, st->free);
	add_number(table, st->blocks);
	add_number(table, st->retired_blocks);
	add_number(table, st->held);
	add_number(table, st->readers);
	add_number(table, st->evictions);
	add_number(table, st->commit);
	add_number(table, st->cells);
	add_number(table, st->max_cells);
	add_number(table, st->clients);
	add_number(table, st->uid);
	add_number(table, st->gid);
	snprintf(mode, sizeof(mode), "%04o", st->mode & 07777);
	add_text(table, mode);
	add_bool(table, st->attributes & SLABSHM_SLAB_PERSIST);
	add_bool(table, st->attributes & SLABSHM_SLAB_FIXED);
	add_bool(table, st->attributes & SLABSHM_SLAB_MANDATORY);
}

/* All slabs, or the one of that name; returns how many, or an error. */
static int list_slabs(struct table *table, const char *name)
{
	struct slabshm_stat slabs[LIST_ROOM];
	uint64_t cursor = 0;
	int found = 0;
	int i, n;

	while ((n = slabshm_list_slabs(slabs, LIST_ROOM, &cursor)) > 0) {
		for (i = 0; i < n; i++) {
			if (name && strcmp(slabs[i].name, name))
				continue;
			add_slab(table, &slabs[i]);
			found++;
		}
	}
	return n ? n : found;
}

static int show_slabs(const struct args *args, const char *name, bool details)
{
	struct table table = { .name = "slabs", .columns = slab_columns };
	int ret = list_slabs(&table, name);

	if (ret < 0)
		return fail(SLAB, name, ret);
	if (name && !ret)
		return fail(SLAB, name, -ENOENT);
	if (args->json)
		print_json(&table);
	else if (details)
		print_details(&table);
	else
		print_table(&table);
	return EXIT_SUCCESS;
}

static int cmd_ls(const struct args *args)
{
	return show_slabs(args, NULL, false);
}

static int cmd_stat(const struct args *args)
{
	return show_slabs(args, args->rest[0], true);
}

static int cmd_create(const struct args *args)
{
	const char *name = args->rest[0];
	struct slabshm *s;
	int ret;

	if (!*name)
		return fail(SLAB, name, -EINVAL);
	ret = slabshm_open(&s, name, SLABSHM_ATTACH_CREATE |
			   SLABSHM_ATTACH_EXCL | SLABSHM_ATTACH_PERSIST |
			   args->create_flags, &args->create);
	if (ret)
		return fail(SLAB, name, ret);
	slabshm_close(s);
	return EXIT_SUCCESS;
}

/* ---------------- cells, clients and readers ---------------- */

static const struct column cell_columns[] = {
	{ "name", TEXT },
	{ "version", NUMBER },
	{ "length", NUMBER },
	{ "bytes", NUMBER },
	{ "parts", NUMBER },
	{ "empty", BOOL | DETAIL },
	{ "movable", BOOL | DETAIL },
	{ "offset", NUMBER | DETAIL },
	{ "cell", NUMBER | DETAIL },
	{ "generation", NUMBER | DETAIL },
	{ }
};

static int cmd_cells(const struct args *args)
{
	struct table table = { .name = "cells", .columns = cell_columns };
	struct slabshm_cell_entry cells[LIST_ROOM];
	const char *name = args->rest[0];
	uint64_t cursor = 0;
	struct slabshm *s;
	int i, ret;

	ret = slabshm_open(&s, name, SLABSHM_ATTACH_RDONLY, NULL);
	if (ret)
		return fail(SLAB, name, ret);
	while ((ret = slabshm_list_cells(s, cells, LIST_ROOM, &cursor)) > 0) {
		for (i = 0; i < ret; i++) {
			add_text(&table, cells[i].name);
			add_number(&table, cells[i].commit);
			add_number(&table, cells[i].length);
			add_number(&table, cells[i].bytes);
			add_number(&table, cells[i].parts);
			add_bool(&table, !cells[i].offset);
			add_bool(&table, cells[i].flags & SLABSHM_CELL_MOVABLE);
			add_number(&table, cells[i].offset);
			add_number(&table, cells[i].cell);
			add_number(&table, cells[i].generation);
		}
	}
	slabshm_close(s);
	if (ret)
		return fail(SLAB, name, ret);
	show(args, &table);
	return EXIT_SUCCESS;
}

static const struct column client_columns[] = {
	{ "client", NUMBER },
	{ "pid", NUMBER },
	{ "uid", NUMBER },
	{ "rights", TEXT },
	{ "state", TEXT },
	{ "blocks", NUMBER },
	{ "bytes", NUMBER },
	{ "command", TEXT },
	{ }
};

void add_command(struct table *table, uint32_t pid)
{
	char path[32], comm[32] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%u/comm", pid);
	f = pid ? fopen(path, "re") : NULL;
	if (f) {
		if (fgets(comm, sizeof(comm), f))
			comm[strcspn(comm, "\n")] = '\0';
		fclose(f);
	}
	if (*comm)
		add_text(table, comm);
	else
		add_unknown(table);
}

static int cmd_clients(const struct args *args)
{
	struct table table = { .name = "clients", .columns = client_columns };
	struct slabshm_client_entry clients[LIST_ROOM];
	const char *name = args->rest[0];
	uint32_t self = (uint32_t)getpid();
	uint64_t cursor = 0;
	struct slabshm *s;
	int i, ret;

	ret = slabshm_open(&s, name, SLABSHM_ATTACH_RDONLY, NULL);
	if (ret)
		return fail(SLAB, name, ret);
	while ((ret = slabshm_list_clients(s, clients, LIST_ROOM,
					   &cursor)) > 0) {
		for (i = 0; i < ret; i++) {
			uint32_t flags = clients[i].flags;

			if (clients[i].pid == self)
				continue;
			add_number(&table, clients[i].client);
			add_number(&table, clients[i].pid);
			add_number(&table, clients[i].uid);
			add_text(&table, flags & SLABSHM_CLIENT_RDONLY ? "ro" :
									 "rw");
			add_text(&table,
				 flags & SLABSHM_CLIENT_ALIVE ? "alive" :
				 flags & SLABSHM_CLIENT_ENDED ? "ended" : "new");
			add_number(&table, clients[i].blocks);
			add_number(&table, clients[i].bytes);
			add_command(&table, clients[i].pid);
		}
	}
	slabshm_close(s);
	if (ret)
		return fail(SLAB, name, ret);
	show(args, &table);
	return EXIT_SUCCESS;
}

static const struct column reader_columns[] = {
	{ "client", NUMBER },
	{ "slot", NUMBER },
	{ "tid", NUMBER },
	{ "state", TEXT },
	{ "lo", NUMBER },
	{ "hi", NUMBER },
	{ "held", NUMBER },
	{ "held-ms", NUMBER },
	{ "command", TEXT },
	{ }
};

static int cmd_readers(const struct args *args)
{
	struct table table = { .name = "readers", .columns = reader_columns };
	struct slabshm_reader_entry readers[LIST_ROOM];
	const char *name = args->rest[0];
	uint64_t cursor = 0;
	struct slabshm *s;
	int i, ret;

	ret = slabshm_open(&s, name, SLABSHM_ATTACH_RDONLY, NULL);
	if (ret)
		return fail(SLAB, name, ret);
	while ((ret = slabshm_list_readers(s, readers, LIST_ROOM,
					   &cursor)) > 0) {
		for (i = 0; i < ret; i++) {
			uint32_t flags = readers[i].flags;

			add_number(&table, readers[i].client);
			add_number(&table, readers[i].slot);
			add_number(&table, readers[i].tid);
			add_text(&table, flags & SLABSHM_READER_DEAD ? "dead" :
				 flags & SLABSHM_READER_PINNED ? "pinned" :
								 "idle");
			add_number(&table, readers[i].lo);
			add_number(&table, readers[i].hi);
			add_number(&table, readers[i].held);
			add_number(&table, readers[i].held_ms);
			add_command(&table, readers[i].tid);
		}
	}
	slabshm_close(s);
	if (ret)
		return fail(SLAB, name, ret);
	show(args, &table);
	return EXIT_SUCCESS;
}

/* ---------------- objects ---------------- */

/* Read all there is; NULL and errno on failure. */
static char *read_all(int fd, size_t *length)
{
	size_t room = 1 << 16;
	char *data = malloc(room);
	struct stat st;
	ssize_t n;

	/* One byte more shows the end without another round. */
	if (data && !fstat(fd, &st) && S_ISREG(st.st_mode) &&
	    (size_t)st.st_size >= room) {
		free(data);
		room = (size_t)st.st_size + 1;
		data = malloc(room);
	}
	*length = 0;
	while (data) {
		if (*length == room) {
			char *more = realloc(data, room *= 2);

			if (!more)
				break;
			data = more;
		}
		n = read(fd, data + *length, room - *length);
		if (!n)
			return data;
		if (n > 0)
			*length += (size_t)n;
		else if (errno != EINTR)
			break;
	}
	free(data);
	return NULL;
}

/* Open a cell, and make it and its slab if there are none; an exit status. */
int open_cell(const char *slab, const char *cell, unsigned int flags,
	      struct slabshm **s, struct slabshm_ref *ref)
{
	int ret;

	ret = slabshm_open(s, slab, SLABSHM_ATTACH_CREATE |
			   SLABSHM_ATTACH_PERSIST, NULL);
	if (ret)
		return fail(SLAB, slab, ret);
	ret = slabshm_cell_open(*s, cell, SLABSHM_CELL_CREATE | flags, ref);
	if (!ret)
		return EXIT_SUCCESS;
	slabshm_close(*s);
	return fail(CELL, cell, ret);
}

static int put(const char *slab, const char *cell, unsigned int flags,
	       const char *data, size_t length)
{
	struct slabshm_ref ref;
	struct slabshm *s;
	int64_t ret = open_cell(slab, cell, flags, &s, &ref);

	if (ret)
		return (int)ret;
	ret = slabshm_assign(s, &ref, data, length);
	/* Somebody may remove the cell in between: make it again. */
	while (ret == -EIDRM) {
		ret = slabshm_cell_open(s, cell, SLABSHM_CELL_CREATE | flags,
					&ref);
		if (!ret)
			ret = slabshm_assign(s, &ref, data, length);
	}
	slabshm_close(s);
	return ret < 0 ? fail(CELL, cell, (int)ret) : EXIT_SUCCESS;
}

static int cmd_put(const struct args *args)
{
	const char *file = args->nrest > 1 ? args->rest[1] : "-";
	char *cell, *data;
	const char *slab;
	size_t length;
	int fd = STDIN_FILENO;
	int ret;

	slab = split(args->rest[0], &cell);
	if (!*slab || !cell || !*cell)
		return usage_error("put: which cell? Say SLAB/CELL");
	if (strcmp(file, "-"))
		fd = open(file, O_RDONLY | O_CLOEXEC);
	data = fd < 0 ? NULL : read_all(fd, &length);
	if (!data) {
		complain(file, strerror(errno), NULL);
		return EXIT_FAILURE;
	}
	ret = put(slab, cell, args->movable ? SLABSHM_CELL_MOVABLE : 0, data,
		  length);
	free(data);
	return ret;
}

/* Read an object whose length changes at will; NULL and *err on failure. */
static char *get(struct slabshm *s, const struct slabshm_ref *ref,
		 size_t *length, int *err)
{
	char *data = NULL;
	int64_t n;

	for (;;) {
		char *more;

		n = slabshm_length(s, ref, NULL);
		if (n < 0)
			break;
		more = realloc(data, n ? (size_t)n : 1);
		if (!more) {
			n = -ENOMEM;
			break;
		}
		data = more;
		n = slabshm_read(s, ref, data, (size_t)n, NULL);
		if (n >= 0) {
			*length = (size_t)n;
			return data;
		}
		if (n != -ERANGE)
			break;
	}
	free(data);
	*err = n == -EIDRM ? -ENOENT : (int)n;
	return NULL;
}

static int cmd_get(const struct args *args)
{
	char *cell, *data = NULL;
	struct slabshm_ref ref;
	struct slabshm *s;
	const char *slab;
	size_t length;
	int ret;

	slab = split(args->rest[0], &cell);
	if (!*slab || !cell || !*cell)
		return usage_error("get: which cell? Say SLAB/CELL");
	ret = slabshm_open(&s, slab, SLABSHM_ATTACH_RDONLY, NULL);
	if (ret)
		return fail(SLAB, slab, ret);
	ret = slabshm_cell_open(s, cell, 0, &ref);
	if (!ret)
		data = get(s, &ref, &length, &ret);
	slabshm_close(s);
	if (!data)
		return fail(CELL, cell, ret);
	/* A failure shows in finish(). */
	fwrite(data, 1, length, stdout);
	free(data);
	return EXIT_SUCCESS;
}

static int cmd_rm(const struct args *args)
{
	struct slabshm *s;
	const char *slab;
	char *cell;
	int ret;

	slab = split(args->rest[0], &cell);
	if (!*slab || (cell && !*cell))
		return usage_error("rm: what? Say SLAB or SLAB/CELL");
	if (!cell) {
		ret = slabshm_unlink(slab);
		return ret ? fail(SLAB, slab, ret) : EXIT_SUCCESS;
	}
	ret = slabshm_open(&s, slab, 0, NULL);
	if (ret)
		return fail(SLAB, slab, ret);
	ret = slabshm_cell_remove_name(s, cell);
	slabshm_close(s);
	return ret ? fail(CELL, cell, ret) : EXIT_SUCCESS;
}

static int cmd_compact(const struct args *args)
{
	const char *name = args->rest[0];
	struct slabshm *s;
	int64_t ret;

	ret = slabshm_open(&s, name, 0, NULL);
	if (ret)
		return fail(SLAB, name, (int)ret);
	ret = slabshm_compact(s, 0);
	slabshm_close(s);
	if (ret < 0)
		return fail(SLAB, name, (int)ret);
	printf("%lld bytes moved\n", (long long)ret);
	return EXIT_SUCCESS;
}

/* ---------------- the whole ---------------- */

struct command {
	const char *name;
	int (*run)(const struct args *args);
	int min, max;		/* arguments */
	bool json;
};

static const struct command commands[] = {
	{ "ls", cmd_ls, 0, 0, true },
	{ "stat", cmd_stat, 0, 1, true },
	{ "cells", cmd_cells, 1, 1, true },
	{ "clients", cmd_clients, 1, 1, true },
	{ "readers", cmd_readers, 1, 1, true },
	{ "locks", cmd_locks, 1, 1, true },
	{ "create", cmd_create, 1, 1, false },
	{ "put", cmd_put, 1, 2, false },
	{ "get", cmd_get, 1, 1, false },
	{ "compact", cmd_compact, 1, 1, false },
	{ "rm", cmd_rm, 1, 1, false },
	{ "watch", cmd_watch, 1, INT_MAX, true },
	{ "exec", cmd_exec, 1, INT_MAX, false },
	{ }
};

static int run(struct args *args)
{
	const char *name = args->rest[0];
	const struct command *c;

	if (!args->nrest)
		return usage_error("no command given");
	for (c = commands; c->name; c++)
		if (!strcmp(c->name, name))
			break;
	if (!c->name)
		return usage_error("no such command");
	args->rest++;
	args->nrest--;
	if (args->nrest < c->min)
		return usage_error("too few arguments");
	if (args->nrest > c->max)
		return usage_error("too many arguments");
	if (args->json && !c->json)
		return usage_error("--json goes with ls, stat, lists and watch");
	if (args->has_create && c->run != cmd_create)
		return usage_error("this option goes with create");
	if (args->movable && c->run != cmd_put)
		return usage_error("this option goes with put");
	if (args->has_wait && c->run != cmd_exec && c->run != cmd_watch)
		return usage_error("this option goes with exec or watch");
	if (c->run == cmd_watch ? args->lock || args->nonblock : args->count)
		return usage_error("this option goes with exec or watch, not with both");
	return c->run(args);
}

/* What could not be written must not look like success. */
static int finish(int status)
{
	if (fflush(stdout) || ferror(stdout)) {
		complain("standard output", strerror(errno), NULL);
		return EXIT_FAILURE;
	}
	return status;
}

int main(int argc, char **argv)
{
	struct args args = { .timeout = -1 };
	int status;

	setlocale(LC_CTYPE, "");
	status = parse(argc, argv, &args);
	if (status < 0)
		status = run(&args);
	return finish(status);
}
