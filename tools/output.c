// SPDX-License-Identifier: GPL-2.0
/* Lists, as a table, as lines of "key: value", or as JSON: see output.h. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#include <wctype.h>

#include "output.h"

/* ---------------- filling a table ---------------- */

static size_t count_columns(const struct table *table)
{
	size_t n = 0;

	while (table->columns[n].key)
		n++;
	return n;
}

static void add(struct table *table, char *value)
{
	if (table->ncells == table->room) {
		table->room = table->room ? 2 * table->room : 256;
		table->cells = reallocarray(table->cells, table->room,
					    sizeof(*table->cells));
		if (!table->cells) {
			fputs("slabshm: not enough memory\n", stderr);
			exit(EXIT_FAILURE);
		}
	}
	table->cells[table->ncells++] = value;
}

void add_text(struct table *table, const char *text)
{
	char *copy = strdup(text);

	if (!copy) {
		fputs("slabshm: not enough memory\n", stderr);
		exit(EXIT_FAILURE);
	}
	add(table, copy);
}

void add_number(struct table *table, uint64_t number)
{
	char text[24];

	snprintf(text, sizeof(text), "%ju", (uintmax_t)number);
	add_text(table, text);
}

void add_bool(struct table *table, bool value)
{
	add_text(table, value ? "true" : "false");
}

void add_unknown(struct table *table)
{
	do {
		add(table, NULL);
	} while (table->ncells % count_columns(table));
}

static void clear(struct table *table)
{
	while (table->ncells)
		free(table->cells[--table->ncells]);
	free(table->cells);
}

/* ---------------- for people ---------------- */

/*
 * Print, unless @to is NULL, what is safe of @text, and escape the rest.
 * Returns the columns that it takes on a terminal.
 */
static int safe(FILE *to, const char *text)
{
	mbstate_t state = { 0 };
	size_t left = strlen(text);
	int width = 0;

	while (left) {
		wchar_t wc;
		size_t n = mbrtowc(&wc, text, left, &state);

		if (n <= left && iswprint((wint_t)wc) && wc != L'\\') {
			width += wcwidth(wc);
			if (to)
				fwrite(text, 1, n, to);
		} else if (*text == '\\') {
			n = 1;
			width += 2;
			if (to)
				fputs("\\\\", to);
		} else {
			n = 1;
			width += 4;
			if (to)
				fprintf(to, "\\x%02x", (unsigned char)*text);
			memset(&state, 0, sizeof(state));
		}
		text += n;
		left -= n;
	}
	return width;
}

void print_safe(FILE *to, const char *text)
{
	safe(to, text);
}

static void print_cell(const char *text, int width, bool right)
{
	int pad = width - safe(NULL, text);

	if (right)
		printf("%*s", pad > 0 ? pad : 0, "");
	safe(stdout, text);
	if (!right)
		printf("%*s", pad > 0 ? pad : 0, "");
}

static void print_line(const struct table *table, const int *widths,
		       char *const *row)
{
	size_t ncolumns = count_columns(table);
	size_t i, last = 0;

	for (i = 0; i < ncolumns; i++)
		if (!(table->columns[i].kind & DETAIL))
			last = i;
	for (i = 0; i <= last; i++) {
		bool right = table->columns[i].kind & NUMBER;

		if (table->columns[i].kind & DETAIL)
			continue;
		/* No spaces at the end of a line. */
		print_cell(row[i] ? row[i] : "-",
			   i == last && !right ? 0 : widths[i], right);
		fputs(i == last ? "\n" : "  ", stdout);
	}
}

void print_table(struct table *table)
{
	size_t ncolumns = count_columns(table);
	char *header[COLUMNS_MAX];
	int widths[COLUMNS_MAX];
	size_t i;
	char *c;

	for (i = 0; i < ncolumns; i++) {
		header[i] = strdup(table->columns[i].key);
		for (c = header[i]; c && *c; c++)
			*c = (char)toupper(*c);
		widths[i] = (int)strlen(table->columns[i].key);
	}
	for (i = 0; i < table->ncells; i++) {
		const char *text = table->cells[i] ? table->cells[i] : "-";
		int width = safe(NULL, text);

		if (width > widths[i % ncolumns])
			widths[i % ncolumns] = width;
	}
	print_line(table, widths, header);
	for (i = 0; i < table->ncells; i += ncolumns)
		print_line(table, widths, &table->cells[i]);
	for (i = 0; i < ncolumns; i++)
		free(header[i]);
	clear(table);
}

void print_details(struct table *table)
{
	size_t ncolumns = count_columns(table);
	int width = 0;
	size_t i;

	for (i = 0; i < ncolumns; i++)
		if (width < (int)strlen(table->columns[i].key))
			width = (int)strlen(table->columns[i].key);
	for (i = 0; i < table->ncells; i++) {
		const char *key = table->columns[i % ncolumns].key;

		if (i && i % ncolumns == 0)
			putchar('\n');
		printf("%s:%*s", key, width - (int)strlen(key) + 1, "");
		safe(stdout, table->cells[i] ? table->cells[i] : "-");
		putchar('\n');
	}
	clear(table);
}

/* ---------------- for programs ---------------- */

/* Bytes of the UTF-8 sequence at @text, 0 if that is none. */
static size_t utf8_length(const unsigned char *text)
{
	size_t n, i;

	if (text[0] < 0x80)
		return 1;
	if (text[0] < 0xc2 || text[0] > 0xf4)
		return 0;
	n = text[0] < 0xe0 ? 2 : text[0] < 0xf0 ? 3 : 4;
	for (i = 1; i < n; i++)
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	/* Longer than needed, a surrogate, or beyond the last character. */
	if ((text[0] == 0xe0 && text[1] < 0xa0) ||
	    (text[0] == 0xed && text[1] > 0x9f) ||
	    (text[0] == 0xf0 && text[1] < 0x90) ||
	    (text[0] == 0xf4 && text[1] > 0x8f))
		return 0;
	return n;
}

static void print_string(const char *string)
{
	const unsigned char *text = (const unsigned char *)string;

	putchar('"');
	while (*text) {
		size_t n = utf8_length(text);

		if (!n)
			printf("\\udc%02x", *text);
		else if (*text == '"' || *text == '\\')
			printf("\\%c", *text);
		else if (*text < 0x20 || *text == 0x7f)
			printf("\\u%04x", *text);
		else
			fwrite(text, 1, n, stdout);
		text += n ? n : 1;
	}
	putchar('"');
}

static void print_key(const char *key)
{
	putchar('"');
	for (; *key; key++)
		putchar(*key == '-' ? '_' : *key);
	fputs("\": ", stdout);
}

void print_json(struct table *table)
{
	size_t ncolumns = count_columns(table);
	size_t i;

	printf("{\"%s\": [", table->name);
	for (i = 0; i < table->ncells; i++) {
		const struct column *column = &table->columns[i % ncolumns];

		if (i % ncolumns == 0)
			fputs(i ? ",\n  {" : "\n  {", stdout);
		print_key(column->key);
		if (!table->cells[i])
			fputs("null", stdout);
		else if (column->kind & TEXT)
			print_string(table->cells[i]);
		else
			fputs(table->cells[i], stdout);
		fputs((i + 1) % ncolumns ? ", " : "}", stdout);
	}
	fputs(table->ncells ? "\n]}\n" : "]}\n", stdout);
	clear(table);
}
