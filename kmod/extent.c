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

/* Take a descriptor that slabshm_spares_fill() made, or NULL. */
struct slabshm_extent *slabshm_spare_take(struct slabshm_extent **spares)
{
	struct slabshm_extent *extent = *spares;

	if (extent)
		*spares = extent->next;
	return extent;
}

/* Add @n descriptors of @size bytes each. */
int slabshm_spares_fill(struct slabshm_arena *arena,
			struct slabshm_extent **spares, unsigned int n,
			size_t size)
{
	while (n--) {
		struct slabshm_extent *extent;

		extent = slabshm_extent_create(arena, size, false);
		if (IS_ERR(extent))
			return PTR_ERR(extent);
		extent->next = *spares;
		*spares = extent;
	}
	return 0;
}

void slabshm_spares_drop(struct slabshm_arena *arena,
			 struct slabshm_extent **spares)
{
	while (*spares)
		slabshm_extent_destroy(arena, slabshm_spare_take(spares));
}

/*
 * Space
 */

/**
 * slabshm_arena_prepare() - make the page pointers of 2 MiB of space
 * @arena: whose
 * @chunk: which 2 MiB, from 0
 * @page_map: what users see of these pages, a byte for each; NULL for none.
 *	It stays there as long as the arena
 *
 * Does nothing the second time.  Callers serialize.
 *
 * Return: 0; -EINVAL @chunk is outside the arena; -ENOMEM, -EDQUOT.
 */
int slabshm_arena_prepare(struct slabshm_arena *arena, unsigned long chunk,
			  u8 *page_map)
{
	struct slabshm_extent **page;
	int err;

	if (chunk >= arena->chunks.size)
		return -EINVAL;
	if (slabshm_table_get(&arena->chunks, chunk))
		return 0;
	if (page_map) {
		/* It may be there from a call that failed below */
		err = slabshm_table_add(&arena->maps, chunk, page_map);
		if (err && err != -EEXIST)
			return err;
	}
	err = slabshm_meter_add(arena->meter, CHUNK_PAGES * sizeof(*page));
	if (err)
		return err;
	page = kcalloc(CHUNK_PAGES, sizeof(*page), SLABSHM_GFP);
	err = page ? slabshm_table_add(&arena->chunks, chunk, page) : -ENOMEM;
	if (err) {
		kfree(page);
		slabshm_meter_sub(arena->meter, CHUNK_PAGES * sizeof(*page));
	}
	return err;
}

/*
 * Add space with memory behind it, in prepared chunks.  Not page 0.  -ENOMEM or
 * -EDQUOT: nothing has changed.
 */
int slabshm_arena_add(struct slabshm_arena *arena, unsigned long page,
		      unsigned long npages)
{
	struct slabshm_extent *extent;

	extent = slabshm_extent_create(arena, sizeof(*extent), false);
	if (IS_ERR(extent))
		return PTR_ERR(extent);
	extent->page = page;
	extent->npages = npages;
	slabshm_arena_put(arena, extent, true);
	return 0;
}

/* Give back what slabshm_arena_take() took.  @backed: it has memory behind it now */
void slabshm_arena_put(struct slabshm_arena *arena,
		       struct slabshm_extent *extent, bool backed)
{
	spin_lock(&arena->lock);
	if (backed)
		arena->backed_pages += extent->npages;
	slabshm_extent_insert(arena, extent,
			      backed ? EXTENT_BACKED : EXTENT_UNBACKED);
	spin_unlock(&arena->lock);
}

/*
 * Go on to the next free range without memory.  @page and @npages are those of
 * the last one, 0 to begin with.  Ranges that come and go meanwhile may be missed.
 */
bool slabshm_arena_next_unbacked(struct slabshm_arena *arena,
				 unsigned long *page, unsigned long *npages)
{
	struct slabshm_extent *next;

	spin_lock(&arena->lock);
	next = slabshm_extent_behind(&arena->unbacked, *page, *npages);
	if (next) {
		*page = next->page;
		*npages = next->npages;
	}
	spin_unlock(&arena->lock);
	return next;
}
