/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Lists of entries, as a table, as lines of "name: value", or as JSON.
 *
 * Names come from other users and may hold any byte but NUL, so none is printed
 * unescaped: print_safe() escapes control characters, bytes that are not text in
 * the locale, and backslashes.  JSON is always UTF-8; a byte 0xNN that is not
 * becomes the lone surrogate \udcNN, which Python's surrogateescape turns back.
 * (libsmartcols 2.38 writes such a byte as it is, which JSON parsers refuse.)
 */
#ifndef SLABSHM_OUTPUT_H
#define SLABSHM_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define COLUMNS_MAX	32
#define VALUE_MAX	600	/* two names and what parts them */

enum kind {
	STRING,		/* char array */
	NUMBER,
	BYTES,		/* a number, 1.5K in tables unless --bytes is given */
	OCTAL,		/* four digits, a string in JSON */
	FLAG,		/* is any bit of the mask set? */
	NO_FLAG,	/* is none? */
	PROCESS,	/* a number, shown as the name of that process or thread */
	WORD,		/* what column->word() gives, or unknown */
};

/**
 * struct column - what a list can show of each entry
 * @name: in upper case in tables, with '_' for '-' in JSON
 * @help: what --help says
 * @kind: how to read and format the field
 * @shown: in tables without --output
 * @offset: of the field in the entry
 * @size: of the field
 * @mask: the bits of a flag
 * @word: gives the value, or NULL if it is not known
 *
 * The last of an array has no name.
 */
struct column {
	const char *name;
	const char *help;
	enum kind kind;
	bool shown;
	unsigned short offset;
	unsigned short size;
	uint64_t mask;
	const char *(*word)(const void *entry);
};

/* The field that a column shows */
#define FIELD(entry, member)				\
	.offset = offsetof(struct entry, member),	\
	.size = sizeof(((struct entry *)NULL)->member)

/**
 * struct list - a kind of entries
 * @name: in JSON
 * @columns: what there is to show
 * @entry_size: bytes of an entry
 * @readable: may all columns be read?  Otherwise the first only.  NULL: yes
 */
struct list {
	const char *name;
	const struct column *columns;
	size_t entry_size;
	bool (*readable)(const void *entry);
};

enum style { TABLE, DETAILS, LINES, JSON };

/* How to print a list; zeroed, it is a table of the columns shown by default. */
struct output {
	enum style style;
	bool bytes;
	bool noheadings;
	bool all;
	const char *columns;	/* what --output got, or NULL */
};

#define OUTPUT_SHORTS	"Jbno:O"
#define OUTPUT_OPTIONS					\
	{ "json", no_argument, NULL, 'J' },		\
	{ "bytes", no_argument, NULL, 'b' },		\
	{ "noheadings", no_argument, NULL, 'n' },	\
	{ "output", required_argument, NULL, 'o' },	\
	{ "output-all", no_argument, NULL, 'O' }

void output_option(struct output *output, int option, const char *value);
int output_check(const struct output *output, const struct list *list);
void print_columns(const struct list *list);
void print_list(const struct output *output, const struct list *list,
		const void *entries, size_t n);
void print_safe(FILE *to, const char *text);

#endif /* SLABSHM_OUTPUT_H */
