/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Counts the system calls that the library makes: each of them is an ioctl, and goes
 * through here.
 */
#ifndef SELFTESTS_CALLS_H
#define SELFTESTS_CALLS_H

#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static unsigned long calls;

int ioctl(int fd, unsigned long request, ...)
{
	void *arg;
	va_list ap;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	__atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);
	return (int)syscall(SYS_ioctl, fd, request, arg);
}

#endif /* SELFTESTS_CALLS_H */
