/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SLABSHM_TASK_H
#define _SLABSHM_TASK_H

#include <linux/pid.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>

/**
 * slabshm_thread_dead() - has a thread of an address space ended?
 * @mm: the address space
 * @pid: number of the thread
 *
 * A thread that has left @mm counts as dead: a child by vfork() that has called
 * exec().
 *
 * Context: any.
 * Return: whether it has ended, or is about to and runs no user code any more.
 */
static inline bool slabshm_thread_dead(const struct mm_struct *mm,
				       struct pid *pid)
{
	struct task_struct *task;
	bool dead;

	rcu_read_lock();
	task = pid_task(pid, PIDTYPE_PID);
	dead = !task || READ_ONCE(task->exit_state) ||
	       READ_ONCE(task->flags) & PF_EXITING ||
	       READ_ONCE(task->mm) != mm;
	rcu_read_unlock();
	return dead;
}

#endif /* _SLABSHM_TASK_H */
