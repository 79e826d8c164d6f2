// SPDX-License-Identifier: GPL-2.0
/* slabshm exec: runs a command while holding a lock */
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command.h"

static pid_t child;	/* set before its handlers */

static void pass_on(int sig)
{
	kill(child, sig);
}

/* The terminal sends SIGINT and SIGQUIT to the command too. */
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
		/* It must not run on without the lock. */
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

int cmd_exec(int argc, char **argv)
{
	static const struct option options[] = {
		{ "lock", required_argument, NULL, 'l' },
		{ "nonblock", no_argument, NULL, 'n' },
		{ "timeout", required_argument, NULL, 'w' },
		{ "help", no_argument, NULL, 'h' },
		{ }
	};
	char *slab = NULL, *cell;
	struct slabshm_ref ref;
	int timeout = -1;
	struct slabshm *s;
	int c, ret, status;

	/* Options after the command are its own. */
	while ((c = getopt_long(argc, argv, "+l:nw:h", options, NULL)) != -1) {
		switch (c) {
		case 'l':
			slab = split(optarg, &cell);
			if (!*slab || !cell || !*cell)
				return usage_error("--lock", "name SLAB/CELL");
			break;
		case 'n':
			timeout = 0;
			break;
		case 'w':
			if (!parse_seconds(optarg, &timeout))
				return usage_error("--timeout", "not a number of seconds");
			break;
		case 'h':
			return show_usage();
		default:
			return bad_option(argv);
		}
	}
	if (!slab)
		return usage_error("exec", "name the lock: --lock SLAB/CELL");
	if (optind == argc)
		return usage_error("exec", "no command given");
	ret = open_cell(slab, cell, 0, &s, &ref);
	if (ret)
		return ret;
	ret = slabshm_lock(s, &ref, timeout);
	if (ret && ret != -EOWNERDEAD) {
		slabshm_close(s);
		return fail(CELL, cell, ret);
	}
	if (ret)
		complain(cell, "the last holder of the lock died",
			 "the command sees SLABSHM_OWNERDEAD=1");
	status = run_command(argv + optind, ret);
	/* Success means that the command has repaired what the lock protects. */
	if (ret && !status)
		slabshm_unlock_consistent(s, &ref);
	else
		slabshm_unlock(s, &ref);
	slabshm_close(s);
	return status;
}
