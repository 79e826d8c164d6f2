/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Differences between the kernels that slabshm builds against: Debian's 6.1,
 * 6.12, and mainline after that.  Kbuild probes the headers for each of these
 * (stable kernels carry backports, so version numbers lie) and defines HAVE_*
 * when the newer form is there.  Each entry names the version that makes it
 * unnecessary once older ones are no longer supported.
 */
#ifndef _SLABSHM_COMPAT_H
#define _SLABSHM_COMPAT_H

#include <linux/fs.h>
#include <linux/fs_struct.h>	/* has current_umask() since 7.2 */
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/shmem_fs.h>

/*
 * Readers load 64-bit words that the kernel stores through another mapping of
 * the same page: this takes 64-bit stores and a cache without aliases.
 */
#ifndef CONFIG_64BIT
#error "slabshm needs a 64-bit kernel"
#endif
#if defined(CONFIG_CPU_CACHE_ALIASING) || defined(CONFIG_MIPS) || \
	defined(CONFIG_SPARC) || defined(CONFIG_PARISC)
#error "slabshm needs a data cache without aliases"
#endif

/* vm_flags became private to mm in 6.3 */
#ifndef HAVE_VM_FLAGS_MOD
static inline void vm_flags_mod(struct vm_area_struct *vma, unsigned long set,
				unsigned long clear)
{
	vma->vm_flags = (vma->vm_flags | set) & ~clear;
}
#endif

/* notify_change() took a user namespace, since 6.3 an idmap */
#ifdef HAVE_MNT_IDMAP
#define slabshm_file_idmap(file)	file_mnt_idmap(file)
#else
#define slabshm_file_idmap(file)	file_mnt_user_ns(file)
#endif

/* not in the 6.12 before 6.12.107, nor in the 6.1 before 6.1.187 */
#ifndef HAVE_FILE_OWNER_OR_CAPABLE
static inline bool file_owner_or_capable(struct file *file)
{
	return inode_owner_or_capable(slabshm_file_idmap(file),
				      file_inode(file));
}
#endif

/* handing an mmap over to another file: vfs_mmap() since 6.16 */
#ifdef HAVE_VFS_MMAP
#define slabshm_call_mmap(file, vma)	vfs_mmap(file, vma)
#else
#define slabshm_call_mmap(file, vma)	call_mmap(file, vma)
#endif

/* shmem_file_setup() took the flags as a word, since 6.19 as a vma_flags_t */
#ifdef HAVE_VMA_FLAGS_T
#define SLABSHM_SHMEM_FLAGS		mk_vma_flags(VMA_NORESERVE_BIT)
#else
#define SLABSHM_SHMEM_FLAGS		VM_NORESERVE
#endif

/* With one processor nobody runs beside the caller */
static inline bool slabshm_on_cpu(struct task_struct *task)
{
#ifdef CONFIG_SMP
	return owner_on_cpu(task);
#else
	return false;
#endif
}

#endif /* _SLABSHM_COMPAT_H */
