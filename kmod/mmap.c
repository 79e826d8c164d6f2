// SPDX-License-Identifier: GPL-2.0
/*
 * Mappings of the control, reader and data regions.
 *
 * Control and reader pages are kernel pages, mapped by frame number: no
 * get_user_pages(), so no vmsplice, ptrace or O_DIRECT ever holds or writes
 * them.  VM_IO keeps MADV_DOFORK away.  The control region loses VM_MAYWRITE,
 * so that no mprotect() brings it back.
 *
 * The data region is handed over to shmem: from then on the mapping is one of
 * the slab's backing file, and holds no reference to the client.
 */
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/pfn.h>

#include "client.h"
#include "compat.h"
#include "mmap.h"
#include "slab.h"

static vm_fault_t control_fault(struct vm_fault *vmf)
{
	struct slabshm_client *client = vmf->vma->vm_file->private_data;
	struct slabshm_control *control = &client->slab->control;
	unsigned long index = vmf->pgoff -
			      (SLABSHM_CONTROL_OFFSET >> PAGE_SHIFT);
	void *page;

	if (index >= control->npages)
		return VM_FAULT_SIGBUS;
	page = slabshm_table_get(&control->pages, index);
	if (!page)
		return VM_FAULT_SIGBUS;
	return vmf_insert_pfn(vmf->vma, vmf->address,
			      page_to_pfn(virt_to_page(page)));
}

static int region_may_split(struct vm_area_struct *vma, unsigned long addr)
{
	return -EINVAL;
}

static const struct vm_operations_struct control_vm_ops = {
	.fault = control_fault,
	.may_split = region_may_split,
};

/* A page is there when a slot in it was registered. */
static vm_fault_t reader_fault(struct vm_fault *vmf)
{
	struct slabshm_client *client = vmf->vma->vm_file->private_data;
	unsigned long index = vmf->pgoff -
			      (SLABSHM_READER_OFFSET >> PAGE_SHIFT);
	struct page *page;

	if (index >= SLABSHM_READER_PAGES)
		return VM_FAULT_SIGBUS;
	/* Pairs with the cmpxchg() in reader_reserve() */
	page = smp_load_acquire(&client->reader_pages[index]);
	if (!page)
		return VM_FAULT_SIGBUS;
	return vmf_insert_pfn(vmf->vma, vmf->address, page_to_pfn(page));
}

static void reader_open(struct vm_area_struct *vma)
{
	slabshm_client_map(vma->vm_file->private_data);
}

static void reader_close(struct vm_area_struct *vma)
{
	slabshm_client_unmap(vma->vm_file->private_data);
}

static const struct vm_operations_struct reader_vm_ops = {
	.fault = reader_fault,
	.open = reader_open,
	.close = reader_close,
	.may_split = region_may_split,
};

#define REGION_FLAGS	(VM_IO | VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP | \
			 VM_DONTCOPY)

static int control_mmap(struct vm_area_struct *vma)
{
	if (vma->vm_flags & (VM_WRITE | VM_EXEC))
		return -EACCES;
	vm_flags_mod(vma, REGION_FLAGS, VM_MAYWRITE | VM_MAYEXEC);
	vma->vm_ops = &control_vm_ops;
	return 0;
}

static int reader_mmap(struct slabshm_client *client,
		       struct vm_area_struct *vma)
{
	int err;

	if (vma->vm_flags & VM_EXEC)
		return -EACCES;
	err = slabshm_client_map_first(client);
	if (err)
		return err;
	vm_flags_mod(vma, REGION_FLAGS, VM_MAYEXEC);
	vma->vm_ops = &reader_vm_ops;
	return 0;
}

static int data_mmap(struct slabshm_client *client,
		     struct vm_area_struct *vma)
{
	struct slabshm_slab *slab = client->slab;
	unsigned long drop = VM_MAYEXEC;

	if (vma->vm_flags & VM_EXEC)
		return -EACCES;
	if (client->rdonly) {
		if (vma->vm_flags & VM_WRITE)
			return -EACCES;
		drop |= VM_MAYWRITE;
	}
	/*
	 * Not copied by fork(), as the library's state is not; not dumped, as
	 * that would fill every hole.
	 */
	vm_flags_mod(vma, VM_DONTCOPY | VM_DONTDUMP, drop);
	vma_set_file(vma, client->rdonly ? slab->data_ro : slab->data);
	return slabshm_call_mmap(vma->vm_file, vma);
}

/*
 * Map one of the regions.  -ENOTCONN, -EIO as for ioctls; -EACCES for rights that the region
 * never gives; -EINVAL for a private mapping, a wrong offset or size; -ENXIO for the reader
 * region of a client that has ended.
 */
int slabshm_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct slabshm_client *client = file->private_data;
	u64 offset = (u64)vma->vm_pgoff << PAGE_SHIFT;
	u64 size = vma->vm_end - vma->vm_start;
	struct slabshm_slab *slab;

	slab = slabshm_client_slab(client);
	if (IS_ERR(slab))
		return PTR_ERR(slab);
	if (!(vma->vm_flags & VM_MAYSHARE))
		return -EINVAL;

	if (offset == SLABSHM_CONTROL_OFFSET) {
		if (size != slabshm_control_size(&slab->control))
			return -EINVAL;
		return control_mmap(vma);
	}
	if (offset == SLABSHM_READER_OFFSET) {
		if (size != SLABSHM_READER_SIZE)
			return -EINVAL;
		return reader_mmap(client, vma);
	}
	if (offset >= slab->max_size || size > slab->max_size - offset)
		return -EINVAL;
	return data_mmap(client, vma);
}
