/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the commands of slabshm(1) share.
 */
#ifndef SLABSHM_COMMAND_H
#define SLABSHM_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "output.h"
#include "slabshm.h"

#define EXIT_USAGE	2
#define LIST_ROOM	64	/* entries asked of the kernel at a time */

/* What an error is about, so that it says what to do. */
enum subject { DEVICE, SLAB, CELL };

/**
 * struct args - the command line
 * @json: write JSON
 * @create: how to make a slab
 * @create_flags: SLABSHM_ATTACH_*
 * @has_create: an option of create was given
 * @movable: the cell that put makes is movable
 * @lock: SLAB/CELL to lock, or NULL
 * @nonblock: do not wait for it
 * @timeout: milliseconds to wait, -1 for ever
 * @count: stop after so many changes, 0: never
 * @has_wait: an option of exec or watch was given
 * @rest: the command's arguments
 * @nrest: how many
 */
struct args {
	bool json;
	struct slabshm_options create;
	unsigned int create_flags;
	bool has_create;
	bool movable;
	char *lock;
	bool nonblock;
	int timeout;
	uint32_t count;
	bool has_wait;
	char **rest;
	int nrest;
};

void complain(const char *name, const char *what, const char *todo);
int fail(enum subject subject, const char *name, int err);
int usage_error(const char *what);
char *split(char *path, char **cell);
void show(const struct args *args, struct table *table);
void add_command(struct table *table, uint32_t pid);
int open_cell(const char *slab, const char *cell, unsigned int flags,
	      struct slabshm **s, struct slabshm_ref *ref);

int cmd_locks(const struct args *args);
int cmd_exec(const struct args *args);
int cmd_watch(const struct args *args);

#endif /* SLABSHM_COMMAND_H */
