// SPDX-License-Identifier: GPL-2.0
/*
 * The commands of slabshm(1) that wait, and the one that shows who does
 */
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "command.h"

static const struct column lock_columns[] = {
	{ "name", TEXT },
	{ "state", TEXT },
	{ "client", NUMBER },
	{ "tid", NUMBER },
	{ "ms", NUMBER },
	{ "consistent", BOOL },
	{ "command", TEXT },
	{ "cell", NUMBER | DETAIL },
	{ "generation", NUMBER | DETAIL },
	{ }
};

int cmd_locks(const struct args *args)
{
	struct table table = { .name = "locks", .columns = lock_columns };
	struct slabshm_lock_entry locks[LIST_ROOM];
	const char *name = args->rest[0];
	uint64_t cursor = 0;
	struct slabshm *s;
	int i, ret;

	ret = slabshm_open(&s, name, SLABSHM_ATTACH_RDONLY, NULL);
	if (ret)
		return fail(SLAB, name, ret);
	while ((ret = slabshm_list_locks(s, locks, LIST_ROOM, &cursor)) > 0) {
		for (i = 0; i < ret; i++) {
			uint32_t flags = locks[i].flags;

			add_text(&table, locks[i].name);
			add_text(&table, flags & SLABSHM_LOCKER_DEAD ? "dead" :
				 flags & SLABSHM_LOCKER_HOLDS ? "holds" :
				 flags & SLABSHM_LOCKER_DEADLOCK ? "deadlock" :
								   "waits");
			add_number(&table, locks[i].client);
			add_number(&table, locks[i].tid);
			add_number(&table, locks[i].ms);
			add_bool(&table, !(flags & SLABSHM_LOCKER_INCONSISTENT));
			add_command(&table, locks[i].tid);
			add_number(&table, locks[i].cell);
			add_number(&table, locks[i].generation);
		}
	}
	slabshm_close(s);
	if (ret)
		return fail(SLAB, name, ret);
	show(args, &table);
	return EXIT_SUCCESS;
}

/* ---------------- exec ---------------- */

static pid_t child;	/* set before the handlers are */

static void pass_on(int sig)
{
	kill(child, sig);
}

/* The terminal sends SIGINT and SIGQUIT to the command by itself. */
static void set_signals(void)
{
	struct sigaction pass = {
		.sa_handler = pass_on,
		.sa_flags = SA_RESTART,
	};

	signal(SIGINT, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
	sigaction(SIGTERM, &pass, NULL);
	sigaction(SIGHUP, &pass, NULL);
}

static int run_command(char **command, bool owner_dead)
{
	pid_t parent = getpid();
	int status;
	pid_t pid;

	pid = fork();
	if (!pid) {
		/* Without us it would run without the lock */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		if (owner_dead)
			setenv("SLABSHM_OWNERDEAD", "1", 1);
		else
			unsetenv("SLABSHM_OWNERDEAD");
		execvp(*command, command);
		complain(*command, strerror(errno), NULL);
		_exit(errno == ENOENT ? 127 : 126);
	}
	if (pid < 0) {
		complain(*command, strerror(errno), NULL);
		return EXIT_FAILURE;
	}
	child = pid;
	set_signals();
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) :
				     WEXITSTATUS(status);
}

int cmd_exec(const struct args *args)
{
	struct slabshm_ref ref;
	struct slabshm *s;
	char *slab, *cell;
	int ret, status;

	if (!args->lock)
		return usage_error("exec: which lock? Say --lock SLAB/CELL");
	slab = split(args->lock, &cell);
	if (!*slab || !cell || !*cell)
		return usage_error("--lock: which cell? Say SLAB/CELL");
	ret = open_cell(slab, cell, 0, &s, &ref);
	if (ret)
		return ret;
	ret = slabshm_lock(s, &ref, args->nonblock ? 0 : args->timeout);
	if (ret && ret != -EOWNERDEAD) {
		slabshm_close(s);
		return fail(CELL, cell, ret);
	}
	if (ret)
		complain(cell, "the last holder of the lock died",
			 "SLABSHM_OWNERDEAD=1 tells the command");
	status = run_command(args->rest, ret);
	/* A command that fails has not said that all is well */
	if (ret && !status)
		slabshm_unlock_consistent(s, &ref);
	else
		slabshm_unlock(s, &ref);
	slabshm_close(s);
	return status;
}

/* ---------------- watch ---------------- */

/* What is watched by one handle: a cell, or all cells of its slab. */
struct watched {
	const char *slab;
	const char *cell;	/* NULL for all */
	struct slabshm *s;
	struct slabshm_ref ref;
	bool ended;
};

static const struct column change_columns[] = {
	{ "slab", TEXT },
	{ "index", NUMBER },
	{ "version", NUMBER },
	{ "length", NUMBER },
	{ "state", TEXT },
	{ "cell", TEXT },
	{ }
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

/* The name of the cell that an event of all cells is about, if it has one still. */
static bool find_name(struct slabshm *s, const struct slabshm_event *event,
		      struct slabshm_cell_entry *entry)
{
	uint64_t cursor = event->cell;

	return slabshm_list_cells(s, entry, 1, &cursor) == 1 &&
	       entry->cell == event->cell &&
	       entry->generation == event->generation;
}

static void tell(const struct args *args, struct watched *w,
		 const struct slabshm_event *event)
{
	struct table table = { .name = "changes", .columns = change_columns };
	struct slabshm_ref ref = {
		.cell = event->cell,
		.generation = event->generation,
	};
	struct slabshm_cell_entry entry;
	uint64_t version = event->version;
	const char *name = w->cell;
	const char *state = "published";
	int64_t length;

	if (!name && find_name(w->s, event, &entry))
		name = entry.name;
	length = slabshm_length(w->s, &ref, &version);
	if (event->flags & SLABSHM_EVENT_REMOVED)
		state = "removed";
	else if (length < 0)
		state = "empty";
	if (length < 0)
		length = 0;

	if (args->json) {
		add_text(&table, w->slab);
		add_number(&table, event->cell);
		add_number(&table, version);
		add_number(&table, (uint64_t)length);
		add_text(&table, state);
		if (name)
			add_text(&table, name);
		else
			add_unknown(&table);
		print_json(&table);
	} else {
		print_safe(stdout, w->slab);
		putchar('/');
		if (name)
			print_safe(stdout, name);
		else
			printf("#%u", event->cell);
		printf("\t%llu\t%lld\t%s\n", (unsigned long long)version,
		       (long long)length, state);
	}
	fflush(stdout);
}

/* Tell what there is; *left goes down. */
static void take(const struct args *args, struct watched *w, uint32_t *left)
{
	struct slabshm_event events[LIST_ROOM];
	unsigned int room = LIST_ROOM;
	int i, n;

	if (args->count && *left < room)
		room = *left;
	n = slabshm_events(w->s, events, room, 0);
	for (i = 0; i < n; i++) {
		tell(args, w, &events[i]);
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

static int watch(const struct args *args, struct watched *watched, int n)
{
	struct pollfd *fds = calloc((size_t)n, sizeof(*fds));
	int64_t until = now_ms() + args->timeout;
	uint32_t left = args->count;
	int i, open, ret = EXIT_SUCCESS;

	if (!fds) {
		complain(NULL, strerror(errno), NULL);
		return EXIT_FAILURE;
	}
	while (!ferror(stdout)) {
		int64_t wait = args->timeout < 0 ? -1 : until - now_ms();

		if (args->timeout >= 0 && wait < 0)
			wait = 0;
		for (i = 0, open = 0; i < n; i++) {
			fds[i].fd = watched[i].ended ? -1 :
						       slabshm_fd(watched[i].s);
			fds[i].events = POLLIN;
			open += !watched[i].ended;
		}
		if (!open || (args->count && !left))
			break;
		ret = poll(fds, (nfds_t)n, (int)wait);
		if (ret < 0 && errno == EINTR)
			continue;
		if (ret <= 0) {
			complain(NULL, ret ? strerror(errno) :
				 "the timeout has passed", NULL);
			ret = EXIT_FAILURE;
			break;
		}
		ret = EXIT_SUCCESS;
		for (i = 0; i < n; i++)
			if (fds[i].revents && (!args->count || left))
				take(args, &watched[i], &left);
	}
	free(fds);
	return ret;
}

int cmd_watch(const struct args *args)
{
	int n = args->nrest, i, ret = EXIT_SUCCESS;
	struct watched *watched = calloc((size_t)n, sizeof(*watched));

	if (!watched) {
		complain(NULL, strerror(errno), NULL);
		return EXIT_FAILURE;
	}
	for (i = 0; i < n && !ret; i++) {
		char *cell;

		watched[i].slab = split(args->rest[i], &cell);
		watched[i].cell = cell;
		if (!*watched[i].slab || (cell && !*cell))
			ret = usage_error("watch: what? Say SLAB or SLAB/CELL");
		else
			ret = start(&watched[i]);
	}
	if (!ret)
		ret = watch(args, watched, n);
	for (i = 0; i < n; i++)
		slabshm_close(watched[i].s);
	free(watched);
	return ret;
}
