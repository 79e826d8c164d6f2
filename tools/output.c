// SPDX-License-Identifier: GPL-2.0
/* Prints lists: see output.h. */
#include <ctype.h>
#include <string.h>
#include <wchar.h>
#include <wctype.h>

#include "command.h"

/* ---------------- the columns to show ---------------- */

struct selection {
	const struct column *columns[COLUMNS_MAX];
	int n;
};

void output_option(struct output *output, int option, const char *value)
{
	switch (option) {
	case 'J':
		output->style = JSON;
		break;
	case 'b':
		output->bytes = true;
		break;
	case 'n':
		output->noheadings = true;
		break;
	case 'o':
		output->columns = value;
		break;
	case 'O':
		output->all = true;
		break;
	}
}

static const struct column *find_column(const struct list *list,
					const char *name, size_t length)
{
	const struct column *c;

	for (c = list->columns; c->name; c++)
		if (strlen(c->name) == length &&
		    !strncasecmp(c->name, name, length))
			return c;
	return NULL;
}

/*
 * The columns in the order in which they were asked for; a list that begins with
 * '+' adds to those shown by default.  False if there is no such column, or too
 * many were asked for.
 */
static bool select_columns(const struct output *output, const struct list *list,
			   struct selection *s)
{
	bool all = output->all || output->style == JSON ||
		   output->style == DETAILS;
	const char *name = output->columns;
	const struct column *c;

	s->n = 0;
	if (!name || *name == '+') {
		for (c = list->columns; c->name; c++)
			if ((all || c->shown) && s->n < COLUMNS_MAX)
				s->columns[s->n++] = c;
	}
	if (!name)
		return true;
	for (name += *name == '+';; name++) {
		size_t length = strcspn(name, ",");

		c = find_column(list, name, length);
		if (!c || s->n == COLUMNS_MAX)
			return false;
		s->columns[s->n++] = c;
		name += length;
		if (!*name)
			return true;
	}
}

/* Returns an exit status. */
int output_check(const struct output *output, const struct list *list)
{
	struct selection s;

	if (select_columns(output, list, &s))
		return EXIT_SUCCESS;
	return usage_error(output->columns, "no such column");
}

void print_columns(const struct list *list)
{
	const struct column *c;

	puts("\nColumns (* shown by default):");
	for (c = list->columns; c->name; c++)
		printf("%c %-16s %s\n", c->shown ? '*' : ' ', c->name, c->help);
}

/* ---------------- values ---------------- */

static uint64_t number(const struct column *c, const void *entry)
{
	const char *field = (const char *)entry + c->offset;
	uint64_t wide;
	uint32_t narrow;

	if (c->size == sizeof(narrow)) {
		memcpy(&narrow, field, sizeof(narrow));
		return narrow;
	}
	memcpy(&wide, field, sizeof(wide));
	return wide;
}

/* At most four digits and a letter, as lsblk(8) shows sizes; rounded down */
static const char *human(char *buffer, uint64_t bytes)
{
	static const char units[] = "BKMGTPE";
	unsigned int unit = 0, tenths = 0;

	while (bytes >> (10 * unit) >= 1024)
		unit++;
	if (unit)
		tenths = (bytes >> (10 * (unit - 1))) % 1024 * 10 / 1024;
	bytes >>= 10 * unit;
	if (tenths)
		sprintf(buffer, "%ju.%u%c", (uintmax_t)bytes, tenths, units[unit]);
	else
		sprintf(buffer, "%ju%c", (uintmax_t)bytes, units[unit]);
	return buffer;
}

/* NULL if it has none in this PID namespace */
static const char *process_name(uint64_t pid, char *buffer)
{
	char path[32];
	FILE *f;

	*buffer = '\0';
	snprintf(path, sizeof(path), "/proc/%ju/comm", (uintmax_t)pid);
	f = pid ? fopen(path, "re") : NULL;
	if (f) {
		if (fgets(buffer, VALUE_MAX, f))
			buffer[strcspn(buffer, "\n")] = '\0';
		fclose(f);
	}
	return *buffer ? buffer : NULL;
}

/* The value of a column of an entry, in @buffer or elsewhere; NULL if not known */
static const char *value(const struct output *output, const struct list *list,
			 const struct column *c, const void *entry, char *buffer)
{
	if (c != list->columns && list->readable && !list->readable(entry))
		return NULL;
	switch (c->kind) {
	case STRING:
		return (const char *)entry + c->offset;
	case BYTES:
		if (!output->bytes && output->style != JSON)
			return human(buffer, number(c, entry));
		/* fall through */
	case NUMBER:
		sprintf(buffer, "%ju", (uintmax_t)number(c, entry));
		return buffer;
	case OCTAL:
		sprintf(buffer, "%04jo", (uintmax_t)number(c, entry));
		return buffer;
	case FLAG:
		return number(c, entry) & c->mask ? "true" : "false";
	case NO_FLAG:
		return number(c, entry) & c->mask ? "false" : "true";
	case PROCESS:
		return process_name(number(c, entry), buffer);
	case WORD:
		return c->word(entry);
	}
	return NULL;
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

/* As a person sees it; no entry: the heading */
static const char *shown(const struct output *output, const struct list *list,
			 const struct column *c, const void *entry, char *buffer)
{
	const char *text;
	size_t i;

	if (entry) {
		text = value(output, list, c, entry, buffer);
		return text ? text : "-";
	}
	for (i = 0; c->name[i]; i++)
		buffer[i] = (char)toupper(c->name[i]);
	buffer[i] = '\0';
	return buffer;
}

/* A line: of a table if there are widths, with tabs otherwise */
static void print_row(const struct output *output, const struct list *list,
		      const struct selection *s, const int *widths,
		      const void *entry)
{
	char buffer[VALUE_MAX];
	int i;

	for (i = 0; i < s->n; i++) {
		const struct column *c = s->columns[i];
		const char *text = shown(output, list, c, entry, buffer);
		bool right = c->kind == NUMBER || c->kind == BYTES;
		int pad = widths ? widths[i] - safe(NULL, text) : 0;

		/* A process may have another name by now. */
		if (pad < 0)
			pad = 0;
		printf("%*s", right ? pad : 0, "");
		safe(stdout, text);
		if (i == s->n - 1)
			break;
		printf("%*s%s", right ? 0 : pad, "", widths ? "  " : "\t");
	}
	putchar('\n');
}

static void print_table(const struct output *output, const struct list *list,
			const struct selection *s, const char *entries, size_t n)
{
	int widths[COLUMNS_MAX];
	char buffer[VALUE_MAX];
	size_t row;
	int i;

	for (i = 0; i < s->n; i++) {
		widths[i] = output->noheadings ? 0 :
						 (int)strlen(s->columns[i]->name);
		for (row = 0; row < n; row++) {
			const void *entry = entries + row * list->entry_size;
			int width = safe(NULL, shown(output, list, s->columns[i],
						     entry, buffer));

			if (width > widths[i])
				widths[i] = width;
		}
	}
	if (!output->noheadings)
		print_row(output, list, s, widths, NULL);
	for (row = 0; row < n; row++)
		print_row(output, list, s, widths,
			  entries + row * list->entry_size);
}

static void print_details(const struct output *output, const struct list *list,
			  const struct selection *s, const char *entries, size_t n)
{
	char buffer[VALUE_MAX];
	int width = 0;
	size_t row;
	int i;

	for (i = 0; i < s->n; i++)
		if (width < (int)strlen(s->columns[i]->name))
			width = (int)strlen(s->columns[i]->name);
	for (row = 0; row < n; row++) {
		if (row)
			putchar('\n');
		for (i = 0; i < s->n; i++) {
			const char *name = s->columns[i]->name;

			if (!output->noheadings)
				printf("%s:%*s", name,
				       width - (int)strlen(name) + 1, "");
			safe(stdout, shown(output, list, s->columns[i],
					   entries + row * list->entry_size,
					   buffer));
			putchar('\n');
		}
	}
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
	/* Overlong, a surrogate, or beyond U+10FFFF */
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

static void print_json(const struct output *output, const struct list *list,
		       const struct selection *s, const char *entries, size_t n)
{
	char buffer[VALUE_MAX];
	size_t row;
	int i;

	printf("{\"%s\": [", list->name);
	for (row = 0; row < n; row++) {
		fputs(row ? ",\n  {" : "\n  {", stdout);
		for (i = 0; i < s->n; i++) {
			const struct column *c = s->columns[i];
			const char *text = value(output, list, c,
						 entries + row * list->entry_size,
						 buffer);

			if (i)
				fputs(", ", stdout);
			print_key(c->name);
			if (!text)
				fputs("null", stdout);
			else if (c->kind == NUMBER || c->kind == BYTES ||
				 c->kind == FLAG || c->kind == NO_FLAG)
				fputs(text, stdout);
			else
				print_string(text);
		}
		putchar('}');
	}
	fputs(n ? "\n]}\n" : "]}\n", stdout);
}

/* ---------------- all of them ---------------- */

void print_list(const struct output *output, const struct list *list,
		const void *entries, size_t n)
{
	struct selection s;
	size_t row;

	select_columns(output, list, &s);
	switch (output->style) {
	case TABLE:
		print_table(output, list, &s, entries, n);
		break;
	case DETAILS:
		print_details(output, list, &s, entries, n);
		break;
	case LINES:
		for (row = 0; row < n; row++)
			print_row(output, list, &s, NULL,
				  (const char *)entries + row * list->entry_size);
		break;
	case JSON:
		print_json(output, list, &s, entries, n);
		break;
	}
}
