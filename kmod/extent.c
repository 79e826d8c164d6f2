// SPDX-License-Identifier: GPL-2.0
/*
 * Page ranges of an arena.  extent.h says what they are.
 */
#include <linux/err.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/slabshm.h>

#include "extent.h"
#include "user.h"

/* Free extents tried for alignment before a larger one is taken */
#define ALIGN_TRIES	16

/**
 * slabshm_extent_create() - make a descriptor, and charge it
 * @arena: whose
 * @size: bytes of what it is the first member of
 * @force: do not fail at the limit: for callers that give memory back
 *
 * Context: may sleep.
 * Return: the descriptor, all zero but its size; ERR_PTR(-ENOMEM), ERR_PTR(-EDQUOT).
 */
struct slabshm_extent *slabshm_extent_create(struct slabshm_arena *arena,
					     size_t size, bool force)
{
	struct slabshm_extent *extent;
	int err = 0;

	if (force)
		slabshm_meter_force(arena->meter, size);
	else
		err = slabshm_meter_add(arena->meter, size);
	if (err)
		return ERR_PTR(err);
	extent = kzalloc(size, SLABSHM_GFP);
	if (!extent) {
		slabshm_meter_sub(arena->meter, size);
		return ERR_PTR(-ENOMEM);
	}
	extent->bytes = size;
	return extent;
}

/* Free a descriptor, which may be NULL. */
void slabshm_extent_destroy(struct slabshm_arena *arena,
			    struct slabshm_extent *extent)
{
	if (!extent)
		return;
	slabshm_meter_sub(arena->meter, extent->bytes);
	kfree(extent);
}

static bool extent_less(struct rb_node *a, const struct rb_node *b)
{
	const struct slabshm_extent *x, *y;

	x = rb_entry(a, struct slabshm_extent, node);
	y = rb_entry(b, struct slabshm_extent, node);
	if (x->npages != y->npages)
		return x->npages < y->npages;
	return x->page < y->page;
}

/* For rb_find_first(): all extents of at least *@npages match. */
static int extent_too_small(const void *npages, const struct rb_node *node)
{
	return rb_entry(node, struct slabshm_extent, node)->npages <
	       *(const unsigned long *)npages;
}

/* For rb_find_first(): all extents behind @last match. */
static int extent_not_behind(const void *last, const struct rb_node *node)
{
	const struct slabshm_extent *extent = last;

	return !extent_less((struct rb_node *)&extent->node, node);
}

/**
 * slabshm_extent_fit() - the first of the smallest extents that will do
 * @tree: of free extents
 * @npages: that are wanted
 * @align: 1, or to how many pages they are to be aligned
 *
 * If many are large enough but not aligned, one that is large enough wherever it
 * starts.
 *
 * Return: the extent, or NULL.
 */
struct slabshm_extent *slabshm_extent_fit(const struct rb_root *tree,
					  unsigned long npages,
					  unsigned long align)
{
	struct rb_node *node = rb_find_first(&npages, tree, extent_too_small);
	unsigned int i;

	for (i = 0; node && i < ALIGN_TRIES; i++) {
		struct slabshm_extent *extent;

		extent = rb_entry(node, struct slabshm_extent, node);
		if (ALIGN(extent->page, align) + npages <=
		    extent->page + extent->npages)
			return extent;
		node = rb_next(node);
	}
	if (node) {
		npages += align - 1;
		node = rb_find_first(&npages, tree, extent_too_small);
	}
	return rb_entry_safe(node, struct slabshm_extent, node);
}

/* The extent behind one of @npages at @page, which need not be there; or NULL. */
struct slabshm_extent *slabshm_extent_behind(const struct rb_root *tree,
					     unsigned long page,
					     unsigned long npages)
{
	struct slabshm_extent last = { .page = page, .npages = npages };
	struct rb_node *node = rb_find_first(&last, tree, extent_not_behind);

	return rb_entry_safe(node, struct slabshm_extent, node);
}

struct slabshm_extent *slabshm_extent_largest(const struct rb_root *tree)
{
	return rb_entry_safe(rb_last(tree), struct slabshm_extent, node);
}

static struct rb_root *extent_tree(struct slabshm_arena *arena,
				   enum extent_state state)
{
	return state == EXTENT_BACKED ? &arena->backed : &arena->unbacked;
}

/* Let the pages at the ends of a range point to @to. */
static void extent_mark(struct slabshm_arena *arena,
			const struct slabshm_extent *extent,
			struct slabshm_extent *to)
{
	slabshm_page_set(arena, extent->page, to);
	slabshm_page_set(arena, extent->page + extent->npages - 1, to);
}

/* Take a free extent out of its tree. */
void slabshm_extent_remove(struct slabshm_arena *arena,
			   struct slabshm_extent *extent)
{
	rb_erase(&extent->node, extent_tree(arena, extent->state));
	extent->state = EXTENT_TAKEN;
}

/* Cut the first @npages off a taken extent; @head then describes these. */
void slabshm_extent_cut(struct slabshm_arena *arena,
			struct slabshm_extent *extent, unsigned long npages,
			struct slabshm_extent *head)
{
	head->state = EXTENT_TAKEN;
	head->page = extent->page;
	head->npages = npages;
	extent->page += npages;
	extent->npages -= npages;
	extent_mark(arena, head, head);
	extent_mark(arena, extent, extent);
}

/* Join @extent with @side, free, if that is a neighbour of this state. */
static struct slabshm_extent *extent_join(struct slabshm_arena *arena,
					  struct slabshm_extent *extent,
					  struct slabshm_extent *side,
					  enum extent_state state)
{
	if (!side || side->state != state)
		return extent;
	slabshm_extent_remove(arena, side);
	extent_mark(arena, side, NULL);
	extent_mark(arena, extent, NULL);
	side->page = min(side->page, extent->page);
	side->npages += extent->npages;
	slabshm_extent_destroy(arena, extent);
	return side;
}

/* A taken extent becomes free: @state is EXTENT_BACKED or EXTENT_UNBACKED. */
void slabshm_extent_insert(struct slabshm_arena *arena,
			   struct slabshm_extent *extent,
			   enum extent_state state)
{
	lockdep_assert_held(&arena->lock);

	extent = extent_join(arena, extent,
			     slabshm_extent_at(arena, extent->page - 1), state);
	extent = extent_join(arena, extent,
			     slabshm_extent_at(arena,
					       extent->page + extent->npages),
			     state);
	extent->state = state;
	extent_mark(arena, extent, extent);
	rb_add(&extent->node, extent_tree(arena, state), extent_less);
}
