// SPDX-License-Identifier: GPL-2.0
/* The commands of slabshm(1) that change slabs and objects, and get */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"

/* ---------------- slabs ---------------- */

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

int cmd_create(int argc, char **argv)
{
	static const struct option options[] = {
		{ "size", required_argument, NULL, 's' },
		{ "max-size", required_argument, NULL, 'm' },
		{ "cells", required_argument, NULL, 'c' },
		{ "mode", required_argument, NULL, 'p' },
		{ "fixed", no_argument, NULL, 'f' },
		{ "mandatory", no_argument, NULL, 'M' },
		{ "help", no_argument, NULL, 'h' },
		{ }
	};
	unsigned int flags = SLABSHM_ATTACH_CREATE | SLABSHM_ATTACH_EXCL |
			     SLABSHM_ATTACH_PERSIST;
	struct slabshm_options create = { };
	struct slabshm *s;
	const char *name;
	int c, ret;

	while ((c = getopt_long(argc, argv, "s:m:c:p:fMh", options, NULL)) != -1) {
		switch (c) {
		case 's':
			if (!parse_size(optarg, &create.size))
				return usage_error("--size", "not a size");
			break;
		case 'm':
			if (!parse_size(optarg, &create.max_size))
				return usage_error("--max-size", "not a size");
			break;
		case 'c':
			if (!parse_number(optarg, 10, &create.max_cells))
				return usage_error("--cells", "not a number");
			break;
		case 'p':
			if (!parse_number(optarg, 8, &create.mode) ||
			    create.mode > 0777)
				return usage_error("--mode", "not a mode from 1 to 0777");
			break;
		case 'f':
			flags |= SLABSHM_ATTACH_FIXED;
			break;
		case 'M':
			flags |= SLABSHM_ATTACH_MANDATORY;
			break;
		case 'h':
			return show_usage();
		default:
			return bad_option(argv);
		}
	}
	if (argc - optind != 1)
		return usage_error("create", "name one slab");
	name = argv[optind];
	ret = *name ? slabshm_open(&s, name, flags, &create) : -EINVAL;
	if (ret)
		return fail(SLAB, name, ret);
	slabshm_close(s);
	return EXIT_SUCCESS;
}

/*
 * The options of a command that has --help alone: an exit status, or -1 and
 * optind.
 */
static int no_options(int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ }
	};
	int c = getopt_long(argc, argv, "h", options, NULL);

	return c == -1 ? -1 : c == 'h' ? show_usage() : bad_option(argv);
}

int cmd_compact(int argc, char **argv)
{
	int status = no_options(argc, argv);
	struct slabshm *s;
	const char *name;
	int64_t ret;

	if (status >= 0)
		return status;
	if (argc - optind != 1)
		return usage_error("compact", "name one slab");
	name = argv[optind];
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

/* ---------------- objects ---------------- */

/* The whole file; NULL and errno on failure. */
static char *read_all(int fd, size_t *length)
{
	size_t capacity = 1 << 16;
	char *data = malloc(capacity);
	struct stat st;
	ssize_t n;

	/* One byte more shows the end without another round. */
	if (data && !fstat(fd, &st) && S_ISREG(st.st_mode) &&
	    (size_t)st.st_size >= capacity) {
		free(data);
		capacity = (size_t)st.st_size + 1;
		data = malloc(capacity);
	}
	*length = 0;
	while (data) {
		if (*length == capacity) {
			char *more = realloc(data, capacity *= 2);

			if (!more)
				break;
			data = more;
		}
		n = read(fd, data + *length, capacity - *length);
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

/* Open a cell; creates it and its slab if needed.  An exit status. */
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
	/* The cell may have been removed meanwhile: make it again. */
	while (ret == -EIDRM) {
		ret = slabshm_cell_open(s, cell, SLABSHM_CELL_CREATE | flags,
					&ref);
		if (!ret)
			ret = slabshm_assign(s, &ref, data, length);
	}
	slabshm_close(s);
	return ret < 0 ? fail(CELL, cell, (int)ret) : EXIT_SUCCESS;
}

int cmd_put(int argc, char **argv)
{
	static const struct option options[] = {
		{ "movable", no_argument, NULL, 'm' },
		{ "help", no_argument, NULL, 'h' },
		{ }
	};
	const char *slab, *file;
	unsigned int flags = 0;
	int fd = STDIN_FILENO;
	char *cell, *data;
	size_t length;
	int c, ret;

	while ((c = getopt_long(argc, argv, "mh", options, NULL)) != -1) {
		if (c == 'h')
			return show_usage();
		if (c != 'm')
			return bad_option(argv);
		flags = SLABSHM_CELL_MOVABLE;
	}
	if (argc - optind < 1 || argc - optind > 2)
		return usage_error("put", "name SLAB/CELL and at most one file");
	slab = split(argv[optind], &cell);
	file = argv[optind + 1] ? argv[optind + 1] : "-";
	if (!*slab || !cell || !*cell)
		return usage_error("put", "name SLAB/CELL");
	if (strcmp(file, "-"))
		fd = open(file, O_RDONLY | O_CLOEXEC);
	data = fd < 0 ? NULL : read_all(fd, &length);
	if (!data) {
		complain(file, strerror(errno), NULL);
		return EXIT_FAILURE;
	}
	ret = put(slab, cell, flags, data, length);
	free(data);
	return ret;
}

/* The length may change between the calls; NULL and *err on failure. */
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

int cmd_get(int argc, char **argv)
{
	int ret = no_options(argc, argv);
	char *cell, *data = NULL;
	struct slabshm_ref ref;
	struct slabshm *s;
	const char *slab;
	size_t length;

	if (ret >= 0)
		return ret;
	if (argc - optind != 1)
		return usage_error("get", "name one SLAB/CELL");
	slab = split(argv[optind], &cell);
	if (!*slab || !cell || !*cell)
		return usage_error("get", "name SLAB/CELL");
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

int cmd_rm(int argc, char **argv)
{
	int ret = no_options(argc, argv);
	struct slabshm *s;
	const char *slab;
	char *cell;

	if (ret >= 0)
		return ret;
	if (argc - optind != 1)
		return usage_error("rm", "name one SLAB or SLAB/CELL");
	slab = split(argv[optind], &cell);
	if (!*slab || (cell && !*cell))
		return usage_error("rm", "name SLAB or SLAB/CELL");
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
