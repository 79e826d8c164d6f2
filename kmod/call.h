/* SPDX-License-Identifier: GPL-2.0 */
/*
 * An ioctl under way.
 *
 * Everything from user space is copied before a lock is taken, and judged after it
 * was copied.  Handlers give their results back by slabshm_call_return(), and undo
 * what they did if that fails.
 */
#ifndef _SLABSHM_CALL_H
#define _SLABSHM_CALL_H

#include <linux/fault-inject-usercopy.h>
#include <linux/slabshm.h>
#include <linux/types.h>
#include <linux/uaccess.h>

struct slabshm_client;
struct slabshm_slab;

/**
 * struct slabshm_call - one ioctl
 * @client: of the file
 * @slab: the client's; for a call that needs none, it may be an error instead
 * @user: the argument in user space
 * @user_size: its size there
 * @size: its size here
 */
struct slabshm_call {
	struct slabshm_client *client;
	struct slabshm_slab *slab;
	void __user *user;
	size_t user_size;
	size_t size;
};

/*
 * copy_from_user() and copy_to_user() for whole words.  Calls copy little, and
 * often: with those two an ALLOC and a FREE took 209 instructions more, a tenth.
 */
static __always_inline int slabshm_words_in(void *to, const void __user *from,
					    size_t size)
{
	const u64 __user *user = from;
	size_t i, n = size / sizeof(*user);
	u64 *word = to;

	if (!IS_ENABLED(CONFIG_HAVE_EFFICIENT_UNALIGNED_ACCESS))
		return copy_from_user(to, from, size) ? -EFAULT : 0;
	might_fault();
	if (should_fail_usercopy() || !user_read_access_begin(user, size))
		return -EFAULT;
#pragma GCC unroll 8
	for (i = 0; i < n; i++)
		unsafe_get_user(word[i], &user[i], fault);
	user_read_access_end();
	return 0;
fault:
	user_read_access_end();
	return -EFAULT;
}

static __always_inline int slabshm_words_out(void __user *to, const void *from,
					     size_t size)
{
	u64 __user *user = to;
	const u64 *word = from;
	size_t i;

	if (!IS_ENABLED(CONFIG_HAVE_EFFICIENT_UNALIGNED_ACCESS))
		return copy_to_user(to, from, size) ? -EFAULT : 0;
	might_fault();
	if (should_fail_usercopy() || !user_write_access_begin(user, size))
		return -EFAULT;
	for (i = 0; i < size / sizeof(*word); i++)
		unsafe_put_user(word[i], &user[i], fault);
	user_write_access_end();
	return 0;
fault:
	user_write_access_end();
	return -EFAULT;
}

/* Write the argument back, as much of it as the caller knows. */
static inline int slabshm_call_return(const struct slabshm_call *call,
				      const void *arg)
{
	size_t n = min(call->user_size, call->size);

	if (call->user_size == call->size)
		return slabshm_words_out(call->user, arg, n);
	return copy_to_user(call->user, arg, n) ? -EFAULT : 0;
}

u64 slabshm_call_deadline(u64 deadline);

#endif /* _SLABSHM_CALL_H */
