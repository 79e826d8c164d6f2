// SPDX-License-Identifier: GPL-2.0
/* slabshm watch: writes a line for each change of cells */
#include <poll.h>
#include <string.h>
#include <time.h>

#include "command.h"

/* ---------------- columns ---------------- */

struct change {
	char slab[SLABSHM_NAME_MAX];
	char path[VALUE_MAX];
	char cell[SLABSHM_NAME_MAX];	/* empty if the name is not known */
	uint32_t index;
	const char *state;
	uint64_t version;
	uint64_t length;
};

static const char *change_state(const void *entry)
{
	const struct change *change = entry;

	return change->state;
}

static const char *change_cell(const void *entry)
{
	const struct change *change = entry;

	return *change->cell ? change->cell : NULL;
}

#define CHANGE(member)	FIELD(change, member)

static const struct column change_columns[] = {
	{ "path", "SLAB/CELL, or SLAB/#INDEX", STRING, true, CHANGE(path) },
	{ "slab", "name of the slab", STRING, false, CHANGE(slab) },
	{ "index", "index of the cell", NUMBER, false, CHANGE(index) },
	{ "version", "commit that changed it", NUMBER, true, CHANGE(version) },
	{ "length", "length of the object", BYTES, true, CHANGE(length) },
	{ "state", "published, empty, removed", WORD, true, .word = change_state },
	{ "cell", "name of the cell, if it is known", WORD, false,
	  .word = change_cell },
	{ }
};

static const struct list changes = {
	"changes", change_columns, sizeof(struct change), NULL
};

/* ---------------- watching ---------------- */

/* One handle watches a cell, or all cells of its slab. */
struct watched {
	const char *slab;
	const char *cell;	/* NULL for all */
	struct slabshm *s;
	struct slabshm_ref ref;
	bool ended;
};

static int start(struct watched *w)
{
	int64_t ret;

	ret = slabshm_open(&w->s, w->slab, SLABSHM_ATTACH_RDONLY, NULL);
	if (ret)
		return fail(SLAB, w->slab, (int)ret);
	if (w->cell) {
		ret = slabshm_cell_open(w->s, w->cell, 0, &w->ref);
		if (ret)
			return fail(CELL, w->cell, (int)ret);
	}
	ret = slabshm_watch(w->s, w->cell ? &w->ref : NULL, 0, 0);
	if (ret < 0)
		return fail(CELL, w->cell ? w->cell : w->slab, (int)ret);
	return EXIT_SUCCESS;
}

/* The entry of the event's cell, if it still has a name */
static bool find_name(struct slabshm *s, const struct slabshm_event *event,
		      struct slabshm_cell_entry *entry)
{
	uint64_t cursor = event->cell;

	return slabshm_list_cells(s, entry, 1, &cursor) == 1 &&
	       entry->cell == event->cell &&
	       entry->generation == event->generation;
}

static void report(const struct output *output, const struct watched *w,
		   const struct slabshm_event *event)
{
	struct slabshm_ref ref = {
		.cell = event->cell,
		.generation = event->generation,
	};
	struct change change = {
		.index = event->cell,
		.version = event->version,
		.state = "published",
	};
	struct slabshm_cell_entry entry;
	int64_t length;

	snprintf(change.slab, sizeof(change.slab), "%s", w->slab);
	if (w->cell)
		snprintf(change.cell, sizeof(change.cell), "%s", w->cell);
	else if (find_name(w->s, event, &entry))
		snprintf(change.cell, sizeof(change.cell), "%s", entry.name);
	if (*change.cell)
		snprintf(change.path, sizeof(change.path), "%s/%s", w->slab,
			 change.cell);
	else
		snprintf(change.path, sizeof(change.path), "%s/#%u", w->slab,
			 change.index);
	length = slabshm_length(w->s, &ref, &change.version);
	if (length >= 0)
		change.length = (uint64_t)length;
	if (event->flags & SLABSHM_EVENT_REMOVED)
		change.state = "removed";
	else if (length < 0)
		change.state = "empty";
	print_list(output, &changes, &change, 1);
	fflush(stdout);
}

struct options {
	struct output output;
	uint32_t count;		/* changes to report, 0: no limit */
	int timeout;
};

/* Report what has changed; *left goes down. */
static void take(const struct options *options, struct watched *w, uint32_t *left)
{
	struct slabshm_event events[BATCH];
	unsigned int max = BATCH;
	int i, n;

	if (options->count && *left < max)
		max = *left;
	n = slabshm_events(w->s, events, max, 0);
	for (i = 0; i < n; i++) {
		report(&options->output, w, &events[i]);
		--*left;
		w->ended |= w->cell && events[i].flags & SLABSHM_EVENT_REMOVED;
	}
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int watch(const struct options *options, struct watched *watched, int n)
{
	struct pollfd *fds = calloc((size_t)n, sizeof(*fds));
	int64_t until = now_ms() + options->timeout;
	uint32_t left = options->count;
	int i, open, ret = EXIT_SUCCESS;

	if (!fds) {
		complain(NULL, strerror(errno), NULL);
		return EXIT_FAILURE;
	}
	while (!ferror(stdout)) {
		int64_t wait = options->timeout < 0 ? -1 : until - now_ms();

		if (options->timeout >= 0 && wait < 0)
			wait = 0;
		for (i = 0, open = 0; i < n; i++) {
			fds[i].fd = watched[i].ended ? -1 :
						       slabshm_fd(watched[i].s);
			fds[i].events = POLLIN;
			open += !watched[i].ended;
		}
		if (!open || (options->count && !left))
			break;
		ret = poll(fds, (nfds_t)n, (int)wait);
		if (ret < 0 && errno == EINTR)
			continue;
		if (ret <= 0) {
			complain(NULL, ret ? strerror(errno) :
				 "timeout expired", NULL);
			ret = EXIT_FAILURE;
			break;
		}
		ret = EXIT_SUCCESS;
		for (i = 0; i < n; i++)
			if (fds[i].revents && (!options->count || left))
				take(options, &watched[i], &left);
	}
	free(fds);
	return ret;
}

int cmd_watch(int argc, char **argv)
{
	static const struct option longs[] = {
		OUTPUT_OPTIONS,
		{ "timeout", required_argument, NULL, 'w' },
		{ "count", required_argument, NULL, 'N' },
		{ "help", no_argument, NULL, 'h' },
		{ }
	};
	struct options options = {
		.output = { .style = LINES, .bytes = true },
		.timeout = -1,
	};
	int c, n, i, ret = EXIT_SUCCESS;
	struct watched *watched;

	while ((c = getopt_long(argc, argv, OUTPUT_SHORTS "w:N:h", longs, NULL)) != -1) {
		switch (c) {
		case 'w':
			if (!parse_seconds(optarg, &options.timeout))
				return usage_error("--timeout", "not a number of seconds");
			break;
		case 'N':
			if (!parse_number(optarg, 10, &options.count))
				return usage_error("--count", "not a number");
			break;
		case 'h':
			show_usage();
			print_columns(&changes);
			return EXIT_SUCCESS;
		case '?':
			return bad_option(argv);
		default:
			output_option(&options.output, c, optarg);
		}
	}
	ret = output_check(&options.output, &changes);
	if (ret)
		return ret;
	argv += optind;
	n = argc - optind;
	if (!n)
		return usage_error("watch", "name SLAB or SLAB/CELL");
	watched = calloc((size_t)n, sizeof(*watched));
	if (!watched) {
		complain(NULL, strerror(errno), NULL);
		return EXIT_FAILURE;
	}
	for (i = 0; i < n && !ret; i++) {
		char *cell;

		watched[i].slab = split(argv[i], &cell);
		watched[i].cell = cell;
		if (!*watched[i].slab || (cell && !*cell))
			ret = usage_error("watch", "name SLAB or SLAB/CELL");
		else
			ret = start(&watched[i]);
	}
	if (!ret)
		ret = watch(&options, watched, n);
	for (i = 0; i < n; i++)
		slabshm_close(watched[i].s);
	free(watched);
	return ret;
}
