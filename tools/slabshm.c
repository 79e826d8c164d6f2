// SPDX-License-Identifier: GPL-2.0
/*
 * slabshm(1): shows slabs, and copies objects to and from files
 *
 * Each command opens what it needs, does one thing, and either succeeds or says in
 * one line what went wrong and what to do about it.  A cell is named SLAB/CELL,
 * split at the first slash: names of slabs have none.
 */
#include <limits.h>
#include <locale.h>
#include <string.h>
#include <unistd.h>

#include "command.h"

/* ---------------- errors ---------------- */

struct hint {
	enum subject subject;
	int err;
	const char *what;	/* went wrong */
	const char *todo;	/* about it */
};

static const struct hint hints[] = {
	{ DEVICE, ENODEV, "no such device",
	  "load the module with 'modprobe slabshm'" },
	{ DEVICE, EACCES, "permission denied",
	  "run as root or as a member of the device's group" },
	{ DEVICE, EPROTO, "module and tools do not match",
	  "install the same release of both" },
	{ SLAB, ENOENT, "no such slab", "'slabshm ls' lists them" },
	{ SLAB, EEXIST, "the slab exists",
	  "use another name, or remove it with 'slabshm rm'" },
	{ SLAB, EACCES, "permission denied",
	  "'slabshm stat' shows its owner and mode" },
	{ SLAB, EPERM, "not the owner", "run as its owner or as root" },
	{ SLAB, EINVAL, "not a valid name or size",
	  "a name has no '/' and no control characters, sizes are in 'slabshm -h'" },
	{ SLAB, ENAMETOOLONG, "the name is too long", "255 bytes are the limit" },
	{ SLAB, ENOMEM, "not enough memory",
	  "free some, or use a smaller --size or --max-size" },
	{ SLAB, EDQUOT, "too many slabs or clients",
	  "close some, or raise the limits of the module" },
	{ SLAB, EBUSY, "readers hold too many retired blocks",
	  "try again later; 'slabshm readers' lists them" },
	{ CELL, ENOENT, "no such cell", "'slabshm cells' lists them" },
	{ CELL, ENODATA, "the cell is empty", "fill it with 'slabshm put'" },
	{ CELL, ENAMETOOLONG, "the name is too long", "255 bytes are the limit" },
	{ CELL, EINVAL, "not a valid name",
	  "it must not be empty or have control characters" },
	{ CELL, ENOSPC, "the slab is full",
	  "remove cells, or create one with a larger --max-size or --cells" },
	{ CELL, ENOMEM, "not enough memory", "free some and try again" },
	{ CELL, EBUSY, "locked", "'slabshm locks' shows the holder" },
	{ CELL, ETIMEDOUT, "locked until the timeout expired",
	  "'slabshm locks' shows the holder" },
	{ CELL, EIDRM, "the cell was removed", "try again" },
	{ CELL, EDQUOT, "the client's limit of bytes is exceeded",
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

	/* Whatever the command was about, the device is at fault. */
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

int usage_error(const char *name, const char *what)
{
	complain(name, what, "try 'slabshm -h'");
	return EXIT_USAGE;
}

/* After getopt_long() gave '?' */
int bad_option(char **argv)
{
	const char letter[] = { '-', (char)optopt, '\0' };

	return usage_error(optopt ? letter : argv[optind - 1],
			   "not an option here, or without its value");
}

/* ---------------- arguments ---------------- */

static const char usage[] =
"Usage: slabshm COMMAND [OPTION...] [ARGUMENT...]\n"
"\n"
"Show slabs, the heaps that processes share through /dev/slabshm, and copy objects\n"
"to and from files.\n"
"\n"
"Commands that list; 'slabshm COMMAND -h' shows their columns:\n"
"  ls                      slabs\n"
"  stat [SLAB]             all figures of a slab, or of all slabs\n"
"  cells SLAB              its cells\n"
"  clients SLAB            processes that have it open\n"
"  readers SLAB            threads that read it, and what they hold\n"
"  locks SLAB              holders of locks of its cells, and waiters\n"
"    -J, --json            write JSON, with all columns\n"
"    -b, --bytes           write sizes in bytes\n"
"    -n, --noheadings      leave out the headings\n"
"    -o, --output COLUMNS  which columns: NAME,... or, to add to the default, +NAME,...\n"
"    -O, --output-all      all columns\n"
"\n"
"Commands that change, and get:\n"
"  create SLAB             create a slab that stays until it is removed\n"
"    -s, --size SIZE       initial size (1M)\n"
"    -m, --max-size SIZE   size it may grow to (1G)\n"
"    -c, --cells NUMBER    cells it may have (65536)\n"
"    -p, --mode MODE       permission bits, less the umask (0600)\n"
"    -f, --fixed           do not grow on allocation\n"
"    -M, --mandatory       only the holder of its lock can change a locked cell\n"
"  put SLAB/CELL [FILE]    publish the file, or standard input, as the cell's object;\n"
"                          creates the slab and the cell if needed\n"
"    -m, --movable         let compact move the objects of a new cell\n"
"  get SLAB/CELL           write the cell's object to standard output\n"
"  compact SLAB            move objects out of sparsely used pages, to free these\n"
"                          for blocks of other sizes\n"
"  rm SLAB[/CELL]          remove the cell, or the slab's name; a slab without a name\n"
"                          goes with its last client\n"
"\n"
"Commands that wait:\n"
"  watch SLAB[/CELL]...    write a line for each change of the cells: name, version,\n"
"                          length, and 'published', 'empty' or 'removed'\n"
"    -N, --count NUMBER    exit after this many changes\n"
"    -w, --timeout SECONDS fail after this time\n"
"    -J, -o, -O            as for lists\n"
"  exec -l SLAB/CELL -- COMMAND [ARGUMENT...]\n"
"                          run the command while holding the cell's lock; creates\n"
"                          the slab and the cell if needed\n"
"    -l, --lock SLAB/CELL  the lock\n"
"    -n, --nonblock        fail instead of waiting\n"
"    -w, --timeout SECONDS fail if the lock is not free within this time\n"
"\n"
"  -h, --help              show this\n"
"  -V, --version           show the version\n"
"\n"
"A SIZE is in bytes, or has a suffix K, M, G or T for powers of 1024.\n"
"Exit status: 0 success, 1 failure, 2 wrong usage; exec exits as its command does.\n"
"More in slabshm(1).\n";

int show_usage(void)
{
	fputs(usage, stdout);
	return EXIT_SUCCESS;
}

bool parse_number(const char *text, int base, uint32_t *number)
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

bool parse_seconds(const char *text, int *ms)
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

/* Split SLAB/CELL at the first slash: @cell is NULL if there is none. */
char *split(char *path, char **cell)
{
	*cell = strchr(path, '/');
	if (*cell)
		*(*cell)++ = '\0';
	return path;
}

/* ---------------- commands ---------------- */

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
} commands[] = {
	{ "ls", cmd_list },
	{ "stat", cmd_list },
	{ "cells", cmd_list },
	{ "clients", cmd_list },
	{ "readers", cmd_list },
	{ "locks", cmd_list },
	{ "create", cmd_create },
	{ "put", cmd_put },
	{ "get", cmd_get },
	{ "compact", cmd_compact },
	{ "rm", cmd_rm },
	{ "watch", cmd_watch },
	{ "exec", cmd_exec },
};

static int run(int argc, char **argv)
{
	size_t i;

	if (argc < 2)
		return usage_error(NULL, "no command given");
	if (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help"))
		return show_usage();
	if (!strcmp(argv[1], "-V") || !strcmp(argv[1], "--version")) {
		puts("slabshm " SLABSHM_VERSION);
		return EXIT_SUCCESS;
	}
	opterr = 0;
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(commands[i].name, argv[1]))
			return commands[i].run(argc - 1, argv + 1);
	return usage_error(argv[1], "no such command");
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
	setlocale(LC_CTYPE, "");
	return finish(run(argc, argv));
}
