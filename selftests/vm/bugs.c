// SPDX-License-Identifier: GPL-2.0
/*
 * One deliberate bug for each checker of the kernels that we test on, so that
 * selftests/vm/awake can see each one found.  Never load this anywhere else.
 *
 *	insmod bugs.ko bug=NAME
 */
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

static char *bug = "";
module_param(bug, charp, 0400);
MODULE_PARM_DESC(bug, "which of the bugs to have");

/* Not static: the compiler must not see what becomes of it. */
int bugs_result;

static void bug_warning(void)
{
	WARN_ON(1);
}

static void bug_oops(void)
{
	int *nowhere = NULL;

	OPTIMIZER_HIDE_VAR(nowhere);
	bugs_result = READ_ONCE(*nowhere);
}

/* The file is never closed, so slabshm stays in use. */
static void bug_reference(void)
{
	struct file *file = filp_open("/dev/slabshm", O_RDWR, 0);

	if (IS_ERR(file))
		pr_err("cannot open /dev/slabshm: %ld\n", PTR_ERR(file));
}

static void bug_use_after_free(void)
{
	int *block = kzalloc(sizeof(*block), GFP_KERNEL);

	kfree(block);
	OPTIMIZER_HIDE_VAR(block);
	bugs_result = READ_ONCE(*block);
}

static void bug_shift(void)
{
	int by = 40;

	OPTIMIZER_HIDE_VAR(by);
	bugs_result = 1 << by;
}

/* One order, then the other: no deadlock today, as nobody else is there. */
static void bug_inversion(void)
{
	static DEFINE_MUTEX(one);
	static DEFINE_MUTEX(two);

	mutex_lock(&one);
	mutex_lock(&two);
	mutex_unlock(&two);
	mutex_unlock(&one);

	mutex_lock(&two);
	mutex_lock(&one);
	mutex_unlock(&one);
	mutex_unlock(&two);
}

static void bug_sleep(void)
{
	static DEFINE_SPINLOCK(lock);

	spin_lock(&lock);
	might_sleep();
	spin_unlock(&lock);
}

static void bug_rcu(void)
{
	static int __rcu *pointer;

	bugs_result = !!rcu_dereference(pointer);
}

static void bug_leak(void)
{
	void *block = kmalloc(77, GFP_KERNEL);

	OPTIMIZER_HIDE_VAR(block);
}

static int count_up(void *unused)
{
	while (!kthread_should_stop()) {
		bugs_result++;
		cond_resched();
	}
	return 0;
}

static void bug_race(void)
{
	struct task_struct *one = kthread_run(count_up, NULL, "bugs-one");
	struct task_struct *two = kthread_run(count_up, NULL, "bugs-two");

	msleep(3000);
	if (!IS_ERR(one))
		kthread_stop(one);
	if (!IS_ERR(two))
		kthread_stop(two);
}

static const struct {
	const char *name;
	void (*have)(void);
} bugs[] = {
	{ "warning", bug_warning },
	{ "oops", bug_oops },
	{ "reference", bug_reference },
	{ "use-after-free", bug_use_after_free },
	{ "shift", bug_shift },
	{ "inversion", bug_inversion },
	{ "sleep", bug_sleep },
	{ "rcu", bug_rcu },
	{ "leak", bug_leak },
	{ "race", bug_race },
};

static int __init bugs_init(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(bugs); i++) {
		if (strcmp(bug, bugs[i].name) == 0) {
			bugs[i].have();
			return 0;
		}
	}
	return -EINVAL;
}

static void __exit bugs_exit(void)
{
}

module_init(bugs_init);
module_exit(bugs_exit);

MODULE_DESCRIPTION("Deliberate bugs for the checkers to find");
MODULE_LICENSE("GPL");
