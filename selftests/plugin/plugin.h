/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What selftests/dlclose.c asks of a plugin.
 */
#ifndef SELFTESTS_PLUGIN_H
#define SELFTESTS_PLUGIN_H

/* Use all that leaves something with the thread.  Return: 0, or a negative errno. */
int plugin_use(void);

/* Close the handle that plugin_use() has opened. */
void plugin_close(void);

#endif /* SELFTESTS_PLUGIN_H */
