/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Lists, as a table, as lines of "key: value", or as JSON.
 *
 * Names come from other users and may hold any byte but NUL, so nothing is
 * printed as it stands: print_safe() shows a control character, a byte that is
 * no text in the locale, and a backslash in a way that a terminal takes for
 * text; JSON is always UTF-8, and has a stray byte 0xNN as the lone surrogate
 * \udcNN, from which Python's surrogateescape gets the byte back.
 */
#ifndef SLABSHM_OUTPUT_H
#define SLABSHM_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define COLUMNS_MAX	32

#define TEXT		0x1
#define NUMBER		0x2
#define BOOL		0x4
#define DETAIL		0x8	/* not in the table */

/* The end of an array of columns has no key. */
struct column {
	const char *key;
	unsigned int kind;
};

/* Cells are strings, row by row; NULL where the value is not known. */
struct table {
	const char *name;	/* in JSON */
	const struct column *columns;
	char **cells;
	size_t ncells;
	size_t room;
};

void add_text(struct table *table, const char *text);
void add_number(struct table *table, uint64_t number);
void add_bool(struct table *table, bool value);
void add_unknown(struct table *table);	/* the rest of the row */

void print_safe(FILE *to, const char *text);

/* These free what is in the table. */
void print_table(struct table *table);
void print_details(struct table *table);
void print_json(struct table *table);

#endif /* SLABSHM_OUTPUT_H */
