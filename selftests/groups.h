/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Memory cgroups.
 */
#ifndef SELFTESTS_GROUPS_H
#define SELFTESTS_GROUPS_H

#include "common.h"

#define CGROUP	"/sys/fs/cgroup/"

static inline int write_number(const char *path, unsigned long long n)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu", n);
	return write_text(path, text);
}

static inline unsigned long long
read_number(const char *path)
{
	char text[32];

	return read_text(path, text, sizeof(text)) ? 0 :
						     strtoull(text, NULL, 0);
}

/* A count in memory.events, all of which go up only. */
static inline long memory_event(const char *path, const char *name)
{
	char line[64];
	FILE *f = fopen(path, "r");
	long n = -1;

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, name, strlen(name)) &&
		    line[strlen(name)] == ' ')
			n = strtol(line + strlen(name), NULL, 0);
	if (f)
		fclose(f);
	return n;
}

#endif /* SELFTESTS_GROUPS_H */
