/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the commands of slabshm(1) share: each family of them has its file, which
 * parses the options that it has.
 */
#ifndef SLABSHM_COMMAND_H
#define SLABSHM_COMMAND_H

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "output.h"
#include "slabshm.h"

#define EXIT_USAGE	2
#define BATCH		64	/* entries asked of the kernel at a time */

/* What an error is about: the hint depends on it. */
enum subject { DEVICE, SLAB, CELL };

void complain(const char *name, const char *what, const char *todo);
int fail(enum subject subject, const char *name, int err);
int usage_error(const char *name, const char *what);
int bad_option(char **argv);
int show_usage(void);
bool parse_number(const char *text, int base, uint32_t *number);
bool parse_seconds(const char *text, int *ms);
char *split(char *path, char **cell);
int open_cell(const char *slab, const char *cell, unsigned int flags,
	      struct slabshm **s, struct slabshm_ref *ref);

/* The arguments begin with the command's name; an exit status. */
int cmd_list(int argc, char **argv);
int cmd_create(int argc, char **argv);
int cmd_put(int argc, char **argv);
int cmd_get(int argc, char **argv);
int cmd_compact(int argc, char **argv);
int cmd_rm(int argc, char **argv);
int cmd_watch(int argc, char **argv);
int cmd_exec(int argc, char **argv);

#endif /* SLABSHM_COMMAND_H */
