// SPDX-License-Identifier: GPL-2.0
/*
 * Explores every interleaving of the protocol in DESIGN.md ("Cells", "Reading",
 * "Reclaim"), over two cells, one of which holds an object of two blocks: a root
 * and a part.
 *
 *  - A reader pins, gets, takes snapshots, gets as of them, and unpins, in any
 *    order; its CPU holds its slot stores back.
 *  - A publisher replaces the root of cell 0 (the part stays, with its own B) or,
 *    in one publish, all the blocks of both cells. It uses freed blocks again, and
 *    waits when there is none.
 *  - A reclaimer cuts the batch, lets a grace period pass, scans the slot, and
 *    frees what is not held. It may evict a pin that holds something.
 *
 * A step is one access to shared memory; after each, any of the three may go on.
 * All reachable states are visited, breadth first, so no counterexample is longer
 * than it must be. What must hold:
 *
 *  1. No use of a reused block that unpin does not report. A freed block counts
 *     as reused at once.
 *  2. get_at returns the cell as it was at S, so two of them are never torn. get
 *     returns no version older than that of hi, and hi only grows, so nothing
 *     goes backwards; nor one that does not exist yet.
 *  3. No lost reclaim: when all is quiet, only what is published is in use.
 *  4. pick finds nothing only if its cell has moved twice since the clock was
 *     loaded. So -EAGAIN tells the truth, and a get that has to begin again has
 *     two publishes to blame each time: it ends if they do.
 *
 * The rows of the table below, but for the first two, break the protocol in one
 * place each, and must be caught: a check that cannot fail says nothing.
 *
 *	model			the protocol of DESIGN.md
 *	model --fence		the same with READER_FENCE
 *	model --break NAME	the same, broken; prints a counterexample
 *	model --all		all of these, in TAP
 *
 * The first two visit 82 and 91 million states, in 8 GiB and two minutes of a CPU
 * each; the others end early. --publishes, --pins, --ops and --evictions change the
 * bounds, --states the room, in millions of states.
 *
 * A tag is the commit alone here, as no cell is removed: that a reader takes one
 * for removed is wrong, too.
 *
 * The memory model. Slot stores wait in a buffer. They arrive in any order, except
 * that two stores to one word keep theirs, and lo = 0, a release, comes after all
 * that was stored before it. The first-in first-out buffer of x86 is one case of
 * this. Loads take effect in program order. So they do on x86; elsewhere acquire
 * loads and fences see to it for all but two kinds. Offset, generation and length
 * may be loaded in any order, but between the load of a commit and the second look
 * at it: the offset stands for the three. The bytes of a block may be loaded late:
 * here a block is used at the very end of the pin, and once reused it stays so.
 * The kernel's accesses take effect in program order, by smp_wmb, release, acquire
 * or lock; what happens where that is missing is among the breakages. Where two of
 * its stores have no barrier between them, both orders are tried. In all, this
 * covers x86-64 and arm64, where a store appears to all other CPUs at once; it does
 * not cover POWER.
 *
 * What keeps the number of states down, and why it hides nothing:
 *
 *  - Only the scan looks at the slot. A store that a full barrier will make it
 *    see arrives at once; the others wait, and at each of the scan's loads all that
 *    may have arrived by then is tried.
 *  - A store that gives up cover (hi = S, lo = 0) is one step with the load before
 *    it: the sooner it comes, the less is held.
 *  - The reader remembers one block of those it met in a pin: any one.
 *  - One reader: each slot is judged by itself. One publisher: a lock keeps them
 *    apart. That the thread of a slot is dead is a reason to evict its pin, and the
 *    pins after it are those of a thread that the slot was lent to.
 *  - A round of the reclaimer starts only if a block was retired or a slot changed
 *    since the last one started: else it would do the same.
 *
 * Not modelled: the removal of cells (empty versions, generations), nested pins
 * (they store nothing), several readers of one scan, the clock's end.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

#define U64_MAX		15	/* a commit has four bits here */
#define BLOCKS		7	/* offsets 1 to 7; 0 is no block */
#define BUFFER		7	/* slot stores that the reader's CPU can hold back */

/* The bounds. Operations are those of all pins together. */
static u32 publishes = 3, pins = 2, ops = 3, evictions = 1, states = 96;

/* ------------------------------------------------------------- protocol */

/*
 * The order of the accesses to shared memory, one letter each:
 *
 * pin		H  H = header->commit		s  hi = H; lo = H
 *		f  full fence
 * pick		0  load version 0's commit	1  version 1's; choose
 *		o  load the offset		g  load the tag: is it the commit's?
 *		a  if it is another one's, the chosen commit again
 * advance	m  hi = U64_MAX			c  S = header->commit
 *		n  hi = S			f  full fence
 * unpin	u  last use of a block		e  e = header->evicted
 *		l  lo = 0
 * one, both	i  older->commit = 0		g  older->tag = 0
 *		o  older->offset = new root	n  older->tag = C + 1
 *		c  older->commit = C + 1	(I, G, O, N, C: of cell 1)
 *		t  header->commit = C + 1	r  retire
 * round	c  cut the batch		g  grace period
 *		l  load lo; if it is not the one that the last scan saw, bar the
 *		   slot from what was judged then
 *		h  load hi; free or evict
 * evict	f  F = header->commit		c  header->evicted = F
 *		F  floor = F			r  free
 */
struct protocol {
	const char *name, *what;
	const char *pin, *pick, *advance, *unpin, *one, *both, *round, *evict;
	bool no_verdict, root_birth, at_hi, single_buffer, lose_held;
	bool dead_floor, bar_floor, bar_now;
};

/* An order that a row leaves out is that of the first row. */
static const struct protocol protocols[] = {
	{ .name = "design", .what = "the protocol of DESIGN.md",
	  .pin = "Hs", .pick = "01oga", .advance = "mcn", .unpin = "uel",
	  .one = "igonctr", .both = "igoncIGONCtr", .round = "cglh",
	  .evict = "fcFr" },
	{ .name = "reader-fence", .what = "fences in the reader, no barrier in the grace period",
	  .pin = "Hsf", .advance = "mfcn", .round = "clh", .evict = "fFcr" },

	/* The rest must be caught. */
	{ .name = "no-grace", .what = "the scan does not wait for a grace period",
	  .round = "clh" },
	{ .name = "cut-late", .what = "the batch is cut after the grace period started",
	  .round = "gclh" },
	{ .name = "no-advance", .what = "get uses a version above hi without covering it",
	  .advance = "c" },
	{ .name = "clock-first", .what = "advance loads the clock, then covers",
	  .advance = "cmn" },
	{ .name = "no-verdict", .what = "a version above header->commit is used",
	  .no_verdict = true },
	{ .name = "no-invalidate", .what = "the writer leaves out older->commit = 0",
	  .one = "gonctr", .both = "goncGONCtr" },
	{ .name = "no-tag-invalidate", .what = "the writer leaves out older->tag = 0",
	  .one = "ionctr", .both = "ioncIONCtr" },
	{ .name = "root-birth", .what = "a part has its root's B instead of its own",
	  .root_birth = true },
	{ .name = "dead-floor", .what = "the floor of a dead thread's slot is above all pins to come",
	  .dead_floor = true },
	{ .name = "bar-floor", .what = "a slot that has changed gets the bar as its floor",
	  .bar_floor = true },
	{ .name = "bar-now", .what = "a slot that has changed is barred from this batch, too",
	  .bar_now = true },
	{ .name = "evicted-late", .what = "an eviction is in the header after the free only",
	  .evict = "fFrc" },

	/* The other orders that matter, and something for each check to find. */
	{ .name = "invalidate-late", .what = "older->tag = 0 comes after the offset",
	  .one = "iognctr", .both = "iogncIOGNCtr" },
	{ .name = "clock-early", .what = "the clock moves before the last cell is written",
	  .both = "igonctIGONCr" },
	{ .name = "retire-early", .what = "blocks are retired before the clock moves",
	  .one = "igoncrt", .both = "igoncIGONCrt" },
	{ .name = "single-buffer", .what = "a cell has one version",
	  .single_buffer = true },
	{ .name = "no-recheck", .what = "pick does not look at the tag",
	  .pick = "01o" },
	{ .name = "no-second-look", .what = "pick takes a cell with another tag for removed",
	  .pick = "01og" },
	{ .name = "at-hi", .what = "get_at picks as of hi instead of S",
	  .at_hi = true },
	{ .name = "e-early", .what = "unpin loads e before the last use",
	  .unpin = "eul" },
	{ .name = "lo-early", .what = "unpin stores lo = 0 before the last use",
	  .unpin = "lue" },
	{ .name = "floor-late", .what = "an eviction sets the floor after the free",
	  .evict = "fcrF" },
	{ .name = "lose-held", .what = "held blocks do not go back to the retired ones",
	  .lose_held = true },
};

#define PROTOCOLS	(sizeof(protocols) / sizeof(protocols[0]))
#define SOUND		2	/* the first rows */

static struct protocol proto;	/* the one explored, complete */

/* ---------------------------------------------------------------- state */

struct version {
	u8 commit:4, offset:4;
	u8 tag;
};

enum { FREE, USED, RETIRED, BATCH };	/* in struct block */

struct block {
	/* Its bytes: the commit they were written for; in a root, the part too. */
	u32 stamp:4, part:4, part_stamp:4;
	/* What the kernel knows of it. */
	u32 B:4, R:4, state:2;
};

enum { IDLE, PIN, PINNED, PICK, ADVANCE, UNPIN, READER_CHECK };	/* in pc */
enum { GET, GET_AT, SNAPSHOT };			/* in op */
enum { LO = 0x20, HI = 0x40 };			/* in buffer, with the value */
enum { EVICT = 8 };				/* in r_at, plus the place in evict */

/* States are compared as bytes. */
struct state {
	/* Shared memory. */
	struct version cell[2][2];
	struct block block[BLOCKS + 1];
	u8 commit:4, evicted:4;
	u8 lo:4, hi:4;			/* the slot */
	u8 buffer[BUFFER];		/* stores to it under way, oldest first */

	/* The reader. */
	u8 pc:4, at:4;			/* what it does; the place in that order */
	u8 pins:4, ops:4;		/* begun so far */
	u8 e:4, evictions:4;		/* evictions: how many there were, for the bound */
	u8 pin_lo:4, my_hi:4;		/* this pin's H; the last H or S */
	u8 op:2, arg:1, which:1, S:4;	/* its cell, the version chosen; the snapshot */
	u8 limit:4, c:4;		/* pick's S; a commit it loaded */
	u8 offset:4, bad:4;		/* bad: it used a reused block */
	u8 keep:4, keep_stamp:4;	/* the block it will use, the bytes it expects */

	/* The publisher. */
	u8 w_commit:4, w_at:4;		/* C + 1, or 0: no publish */
	u8 w_cells:2, w_half:2, w_part:3; /* bits of cells; the half to write; new part? */
	u8 w_swap:1;			/* the second of two stores came first */
	u8 w_root[2];			/* the new roots, then those they replaced */

	/* The reclaimer. */
	u8 r_at:4, kick:4;		/* kick: there is a reason for a new round */
	u8 l:4, h:4, F:4, floor:4;	/* l, h: lo and hi as the scan loaded them */

	u8 shown:4, barred:4;		/* lo as the last scan saw it; see protocol.rst */
	u8 cut:4, scanned:4;		/* the clock at the cut; at that of the last scan */

	/* For the checks alone: a bit for each commit that wrote the cell. */
	u16 wrote[2];
	u16 zero;			/* whole words */
};

_Static_assert(sizeof(struct state) == 72, "no padding, whole words");

/* ------------------------------------------------------------- explorer */

static struct state *seen;	/* in the order of discovery */
static u32 *from;		/* the state before each, an index into seen */
static u32 *table, mask;	/* hash table: indices into seen, plus 1 */
static u32 nseen, now;		/* now: the state whose steps are being found */
static u64 nsteps;

static const char *wrong;	/* what does not hold, and the state after that step */
static struct state wrong_state;

static const struct state *tracing;	/* only print the step that leads here */
static const char *actor;
static char text[200];

static void check(bool good, const char *what)
{
	if (!good && !wrong)
		wrong = what;
}

static u32 hash(const struct state *s)
{
	u64 words[sizeof(*s) / 8], h = 0;

	memcpy(words, s, sizeof(*s));
	for (u32 i = 0; i < sizeof(*s) / 8; i++) {
		h = (h ^ words[i]) * 0x9e3779b97f4a7c15;
		h ^= h >> 29;
	}
	return (h * 0x9e3779b97f4a7c15) >> 32;
}

/* The place of s in the table, empty if it is not there. */
static u32 *find(const struct state *s)
{
	u32 i = hash(s) & mask;

	while (table[i] && memcmp(&seen[table[i] - 1], s, sizeof(*s)))
		i = (i + 1) & mask;
	return &table[i];
}

static void add(const struct state *s)
{
	u32 *place = find(s);

	if (*place)
		return;
	if (nseen == states * 1000000) {
		fprintf(stderr, "model: more than %u million states\n", states);
		exit(2);
	}
	seen[nseen] = *s;
	from[nseen] = now;
	*place = ++nseen;
	if (nseen > mask / 2) {
		memset(table, 0, (mask + 1ul) * sizeof(*table));
		mask = mask * 2 + 1;
		for (u32 i = 0; i < nseen; i++)
			*find(&seen[i]) = i + 1;
	}
}

/* The version of the cell as of that commit. */
static u32 version_at(const struct state *s, int cell, u32 commit)
{
	while (commit && !(s->wrote[cell] >> commit & 1))
		commit--;
	return commit;
}

/* States that differ only in what no check will look at are one. */
static void forget(struct state *n)
{
	u32 oldest = n->commit;

	if (n->my_hi && n->my_hi < oldest)
		oldest = n->my_hi;
	if (n->S && n->S < oldest)
		oldest = n->S;
	for (int i = 0; i < 2; i++)
		n->wrote[i] &= ~0u << version_at(n, i, oldest);
}

/* What the step does, for the trace. */
static void __attribute__((format(printf, 1, 2))) say(const char *format, ...)
{
	size_t len = strlen(text);
	va_list ap;

	if (!tracing)
		return;
	va_start(ap, format);
	vsnprintf(text + len, sizeof(text) - len, format, ap);
	va_end(ap);
}

/* The step leads to n. */
static void to(struct state *n)
{
	forget(n);
	if (!tracing) {
		nsteps++;
		add(n);
		if (wrong && !wrong_state.commit)
			wrong_state = *n;
	} else if (!memcmp(tracing, n, sizeof(*n))) {
		printf("%-10s %s\n", actor, text);
		tracing = NULL;
	}
	text[0] = 0;
}

/* ----------------------------------------------- the reader's slot stores */

/* Does the reader's CPU run a full barrier before the reclaimer's next look? */
static bool barrier_first(const struct state *n)
{
	const char *rest = proto.round;

	if (n->r_at < EVICT)
		rest += n->r_at;
	return *strpbrk(rest, "glh") == 'g';
}

static void drain(struct state *n, int i)
{
	if (n->buffer[i] & HI)
		n->hi = n->buffer[i] & U64_MAX;
	else
		n->lo = n->buffer[i] & U64_MAX;
	memmove(n->buffer + i, n->buffer + i + 1, BUFFER - i - 1);
	n->buffer[BUFFER - 1] = 0;
}

static void drain_all(struct state *n)
{
	while (n->buffer[0])
		drain(n, 0);
}

static void store(struct state *n, u8 where, u8 value)
{
	int i = 0;

	if (n->buffer[BUFFER - 1])
		drain(n, 0);
	while (n->buffer[i])
		i++;
	n->buffer[i] = where | value;
	if (barrier_first(n))
		drain_all(n);
	n->kick = 1;
}

/* --------------------------------------------------------------- reader */

static void enter(struct state *n, u8 pc)
{
	n->pc = pc;
	n->at = 0;
}

static void op_done(struct state *n)
{
	enter(n, PINNED);
	n->op = n->arg = n->which = n->limit = n->c = n->offset = 0;
}

static void pin(struct state *n)
{
	switch (proto.pin[n->at++]) {
	case 'H':
		n->pin_lo = n->my_hi = n->commit;
		say("pin: H = header->commit (%u)", n->commit);
		break;
	case 's':
		store(n, HI, n->my_hi);
		store(n, LO, n->pin_lo);
		say("pin: hi = H; lo = H (%u)", n->pin_lo);
		break;
	case 'f':
		drain_all(n);
		say("pin: full fence");
		break;
	}
	if (!proto.pin[n->at])
		enter(n, PINNED);
	to(n);
}

static void advance(struct state *n)
{
	say("advance:");
	do {
		switch (proto.advance[n->at++]) {
		case 'm':
			store(n, HI, U64_MAX);
			say(" hi = U64_MAX;");
			break;
		case 'c':
			n->my_hi = n->commit;
			say(" S = header->commit (%u);", n->commit);
			break;
		case 'n':
			store(n, HI, n->my_hi);
			say(" hi = S (%u);", n->my_hi);
			break;
		case 'f':
			drain_all(n);
			say(" full fence;");
			break;
		}
	} while (proto.advance[n->at] == 'n');

	if (!proto.advance[n->at] && n->op == SNAPSHOT) {
		op_done(n);
		n->S = n->my_hi;
	} else if (!proto.advance[n->at]) {
		enter(n, PICK);
		n->limit = proto.no_verdict ? U64_MAX - 1 : n->my_hi;
	}
	to(n);
}

/* pick has both commits: it takes the larger of those in 1..limit. */
static void choose(struct state *n, u32 c)
{
	u32 since = n->op == GET ? n->my_hi : n->S;
	u32 moves = n->w_cells >> n->arg & 1;	/* one under way counts */

	if (n->c > n->limit)
		n->c = 0;
	if (c > n->c && c <= n->limit) {
		n->c = c;
		n->which = 1;
	}
	if (n->c) {
		if (n->op == GET && n->c > n->my_hi && n->limit == U64_MAX) {
			n->c = n->which = 0;
			enter(n, ADVANCE);
		}
		return;
	}
	for (u32 i = since + 1; i <= n->commit; i++)
		moves += n->wrote[n->arg] >> i & 1;
	check(moves >= 2, "pick finds nothing, but the cell has not moved twice");
	if (n->op == GET) {
		say("; none: advance");
		enter(n, ADVANCE);
	} else {
		say("; none: -EAGAIN");
		op_done(n);
	}
}

/* pick has a version. Of all blocks that a pin meets, any one is used to its end. */
static void got(struct state *n)
{
	u32 root = n->offset, c = n->c;
	const struct block *b = &n->block[root];

	if (n->op == GET_AT)
		check(c == version_at(n, n->arg, n->S), "a torn snapshot");
	else
		check(c >= version_at(n, n->arg, n->my_hi), "a get that goes backwards");
	check(c <= n->commit, "a version that does not exist yet");
	op_done(n);
	say("; got version %u", c);
	to(n);
	if (n->keep)
		return;
	n->keep = root;
	n->keep_stamp = c;
	say("pick: got version %u, keeps its root, block %u", c, root);
	to(n);
	if (b->stamp != c || !b->part)
		return;
	n->keep = b->part;
	n->keep_stamp = b->part_stamp;
	say("pick: got version %u, keeps its part, block %u", c, b->part);
	to(n);
}

static void pick_again(struct state *n)
{
	n->c = n->which = n->offset = 0;
	enter(n, PICK);
}

static void pick(struct state *n)
{
	const struct version *v = n->cell[n->arg];

	switch (proto.pick[n->at++]) {
	case '0':
		n->c = v[0].commit;
		say("pick(cell %u, %u): version 0 has commit %u", n->arg, n->limit, n->c);
		break;
	case '1':
		say("pick: version 1 has commit %u", v[1].commit);
		choose(n, v[1].commit);
		break;
	case 'o':
		n->offset = v[n->which].offset;
		say("pick: version %u has offset %u", n->which, n->offset);
		break;
	case 'g':
		say("pick: version %u has tag %u", n->which, v[n->which].tag);
		if (v[n->which].tag == n->c)
			break;
		if (!v[n->which].tag)
			pick_again(n);
		else if (!proto.pick[n->at])
			check(false, "a cell is taken for removed");
		to(n);
		return;
	case 'a':
		say("pick: version %u has commit %u", n->which, v[n->which].commit);
		check(v[n->which].commit != n->c, "a cell is taken for removed");
		pick_again(n);
		break;
	}
	if (n->pc == PICK && n->at && (!proto.pick[n->at] || proto.pick[n->at] == 'a'))
		got(n);
	else
		to(n);
}

static void unpinned(struct state *n)
{
	enter(n, IDLE);
	n->e = n->pin_lo = n->my_hi = n->S = 0;
	n->keep = n->keep_stamp = n->bad = 0;
}

/* If nothing bad was used any verdict will do, and e need not be a step. */
static void unpin(struct state *n)
{
	char next;

	n->pc = UNPIN;
	say("unpin:");
	do {
		switch (proto.unpin[n->at++]) {
		case 'u':
			n->bad = n->keep && n->block[n->keep].stamp != n->keep_stamp;
			say(" uses block %u%s;", n->keep, n->bad ? ", reused" : "");
			n->keep = n->keep_stamp = 0;
			break;
		case 'e':
			n->e = n->evicted;
			say(" e = header->evicted (%u);", n->e);
			break;
		case 'l':
			store(n, LO, 0);
			say(" lo = 0;");
			break;
		}
		next = proto.unpin[n->at];
	} while (next == 'l' || (next == 'e' && !n->bad));

	if (!next && n->bad && n->e > n->pin_lo) {
		enter(n, READER_CHECK);
	} else if (!next) {
		check(!n->bad, "a reused block was used, and e <= lo");
		unpinned(n);
	}
	to(n);
}

static void reader_check(struct state *n)
{
	say("READER_CHECK: floor is %u, this pin's lo %u", n->floor, n->pin_lo);
	check(n->floor > n->pin_lo, "a reused block was used, and READER_CHECK says fine");
	unpinned(n);
	to(n);
}

/* In a pin: unpin, or any operation. */
static void operate(struct state *s)
{
	struct state n = *s;

	unpin(&n);
	if (s->ops == ops)
		return;

	n = *s;
	n.ops++;
	n.op = SNAPSHOT;
	enter(&n, ADVANCE);
	say("snapshot: ");
	advance(&n);

	for (int i = 0; i < 4; i++) {
		n = *s;
		n.ops++;
		n.op = i & 2 ? GET_AT : GET;
		n.arg = i & 1;
		n.limit = n.op == GET ? U64_MAX : proto.at_hi ? n.my_hi : n.S;
		enter(&n, PICK);
		if (n.op == GET_AT && !n.S)
			continue;
		say("%s: ", n.op == GET ? "get" : "get_at");
		pick(&n);
	}
}

static void reader(const struct state *s)
{
	static void (*const acts[])(struct state *n) = {
		[PIN] = pin, [PINNED] = operate, [PICK] = pick, [ADVANCE] = advance,
		[UNPIN] = unpin, [READER_CHECK] = reader_check,
	};
	struct state n = *s;

	if (s->pc == IDLE && s->pins == pins)
		return;
	if (s->pc == IDLE) {
		n.pins++;
		enter(&n, PIN);
	}
	acts[n.pc](&n);
}

/* ------------------------------------------------------------ publisher */

/* A free block, with the bytes for that commit in it; 0 if there is none. */
static u32 alloc(struct state *n, u32 commit)
{
	for (u32 i = 1; i <= BLOCKS; i++) {
		if (n->block[i].state == FREE) {
			n->block[i].state = USED;
			n->block[i].stamp = n->block[i].B = commit;
			return i;
		}
	}
	return 0;
}

static void retire(struct state *n, u32 block)
{
	n->block[block].state = RETIRED;
	n->block[block].R = n->w_commit;
	n->kick = 1;
}

static void publish_step(struct state *n, char step)
{
	const char *order = n->w_cells & 2 ? proto.both : proto.one;
	int i = step < 'a';					/* the cell */
	int half = n->w_half >> i & 1;
	struct version *older = &n->cell[i][half];
	u32 old;

	say("publish %u: ", n->w_commit);
	switch (step) {
	case 'i':
	case 'I':
		older->commit = 0;
		say("cell %d: older->commit = 0", i);
		break;
	case 'g':
	case 'G':
		older->tag = 0;
		say("cell %d: older->tag = 0", i);
		break;
	case 'n':
	case 'N':
		older->tag = n->w_commit;
		say("cell %d: older->tag = %u", i, older->tag);
		break;
	case 'o':
	case 'O':
		old = n->cell[i][proto.single_buffer ? half : !half].offset;
		older->offset = n->w_root[i];
		n->w_root[i] = old;
		say("cell %d: older->offset = %u", i, older->offset);
		break;
	case 'c':
	case 'C':
		older->commit = n->w_commit;
		say("cell %d: older->commit = %u", i, older->commit);
		break;
	case 't':
		n->commit = n->w_commit;
		for (int j = 0; j < 2; j++)
			n->wrote[j] |= (n->w_cells >> j & 1) << n->commit;
		say("header->commit = %u", n->commit);
		break;
	case 'r':
		if (n->w_part)
			retire(n, n->block[n->w_root[0]].part);
		retire(n, n->w_root[0]);
		if (n->w_cells & 2)
			retire(n, n->w_root[1]);
		say("retires what it replaced");
		break;
	}
	if (!order[n->w_at]) {
		n->w_commit = n->w_at = n->w_cells = n->w_half = n->w_part = 0;
		n->w_root[0] = n->w_root[1] = 0;
	}
	to(n);
}

/* Have these two stores no barrier between them? */
static bool unordered(char first, char second)
{
	return (first == 'i' && second == 'g') || (first == 'I' && second == 'G') ||
	       (first == 'o' && second == 'n') || (first == 'O' && second == 'N');
}

static void publish(const struct state *s)
{
	const char *order = (s->w_cells & 2 ? proto.both : proto.one) + s->w_at;
	struct state n = *s;

	n.w_at += 1 + s->w_swap;
	n.w_swap = 0;
	publish_step(&n, order[0]);
	if (s->w_swap || !unordered(order[0], order[1]))
		return;
	n = *s;
	n.w_swap = 1;
	publish_step(&n, order[1]);
}

static int newer(const struct state *s, int cell)
{
	return s->cell[cell][1].commit > s->cell[cell][0].commit;
}

/* Begins a publish, of cell 0 with the part it has, or of all blocks of both. */
static void claim(const struct state *s, bool both)
{
	struct state n = *s;
	u32 part;

	n.w_commit = s->commit + 1;
	n.w_cells = both ? 3 : 1;
	n.w_part = both;
	for (int i = 0; i <= both; i++) {
		n.w_half |= (newer(s, i) ^ !proto.single_buffer) << i;
		n.w_root[i] = alloc(&n, n.w_commit);
		if (!n.w_root[i])
			return;
	}
	part = s->block[s->cell[0][newer(s, 0)].offset].part;
	if (both)
		part = alloc(&n, n.w_commit);
	if (!part)
		return;
	n.block[n.w_root[0]].part = part;
	n.block[n.w_root[0]].part_stamp = n.block[part].stamp;
	if (proto.root_birth)
		n.block[part].B = n.w_commit;
	publish(&n);
}

static void publisher(const struct state *s)
{
	if (s->w_commit) {
		publish(s);
	} else if (s->commit <= publishes) {
		claim(s, false);
		claim(s, true);
	}
}

/* ------------------------------------------------------------ reclaimer */

static bool held(const struct state *n, const struct block *b)
{
	return n->l != 0 && n->l >= n->floor && b->R > n->l && b->R > n->barred &&
	       b->B <= n->h;
}

static bool any_held(const struct state *n)
{
	for (u32 i = 1; i <= BLOCKS; i++)
		if (n->block[i].state == BATCH && held(n, &n->block[i]))
			return true;
	return false;
}

/* The bytes of a freed block are somebody else's from now on. */
static void free_batch(struct state *n)
{
	for (u32 i = 1; i <= BLOCKS; i++) {
		struct block *b = &n->block[i];

		if (b->state != BATCH)
			continue;
		if (held(n, b))
			b->state = proto.lose_held ? USED : RETIRED;
		else
			memset(b, 0, sizeof(*b));
	}
}

static void scanned(struct state *n, u8 r_at)
{
	n->r_at = r_at;
	n->l = n->h = n->F = 0;
	if (barrier_first(n))
		drain_all(n);
	to(n);
}

static void evict(struct state *n)
{
	say("evict: ");
	switch (proto.evict[n->r_at++ - EVICT]) {
	case 'f':
		n->F = n->commit;
		say("F = header->commit (%u)", n->F);
		break;
	case 'c':
		n->evicted = n->F;
		n->evictions++;
		say("header->evicted = F (%u)", n->evicted);
		break;
	case 'F':
		n->floor = proto.dead_floor ? U64_MAX : n->F;
		say("floor = %u", n->floor);
		break;
	case 'r':
		free_batch(n);
		say("frees the batch");
		break;
	}
	if (!proto.evict[n->r_at - EVICT])
		scanned(n, 0);
	else
		to(n);
}

/* The scan has loaded hi. */
static void loaded_hi(const struct state *s)
{
	struct state n = *s;

	n.h = n.hi;
	if (any_held(&n) && n.evictions < evictions) {
		say("scan: hi is %u; evicts", s->hi);
		scanned(&n, EVICT);
		n = *s;
		n.h = n.hi;
	}
	say("scan: hi is %u; frees what is not held", s->hi);
	free_batch(&n);
	scanned(&n, 0);
}

/* The scan has loaded lo, which may be all that it needs to know. */
static void loaded_lo(const struct state *s)
{
	struct state n = *s;

	say("scan: lo is %u", s->lo);
	n.l = n.lo;
	if (n.l != n.shown) {
		n.barred = proto.bar_now ? n.cut : n.scanned;
		if (proto.bar_floor && n.floor < n.barred)
			n.floor = n.barred;
		say("; bar is %u", n.barred);
	}
	/* What an idle slot is barred from matters when it is one no more */
	if (!n.l || proto.bar_floor)
		n.barred = 0;
	n.shown = n.l;
	n.scanned = n.cut;
	n.h = U64_MAX;
	if (any_held(&n)) {
		n.h = 0;
		n.r_at++;
		to(&n);
	} else {
		say("; frees the batch");
		free_batch(&n);
		scanned(&n, 0);
	}
}

/* A load of the slot: any of the stores under way may have arrived. */
static void scan(struct state *n, u8 where)
{
	void (*loaded)(const struct state *s) = where == HI ? loaded_hi : loaded_lo;
	int i = 0;

	loaded(n);
	while (i < BUFFER && n->buffer[i]) {
		if (!(n->buffer[i] & where)) {
			i++;
			continue;
		}
		if (n->buffer[i] == LO)		/* lo = 0: a release */
			for (; i; i--)
				drain(n, 0);
		drain(n, i);
		loaded(n);
	}
}

static void reclaimer(const struct state *s)
{
	struct state n = *s;
	bool any = false;

	if (s->r_at >= EVICT) {
		evict(&n);
		return;
	}
	for (u32 i = 1; i <= BLOCKS; i++)
		any |= s->block[i].state == RETIRED;
	if (!s->r_at) {
		if (!any || !(s->kick || s->buffer[0]))
			return;
		n.kick = 0;
	}
	switch (proto.round[s->r_at]) {
	case 'c':
		for (u32 i = 1; i <= BLOCKS; i++)
			if (n.block[i].state == RETIRED)
				n.block[i].state = BATCH;
		n.cut = n.commit;
		n.r_at++;
		say("cuts the batch");
		to(&n);
		break;
	case 'g':
		drain_all(&n);
		n.r_at++;
		say("grace period: the reader's CPU runs a full barrier");
		to(&n);
		break;
	case 'l':
		scan(&n, LO);
		break;
	case 'h':
		scan(&n, HI);
		break;
	}
}

/* ------------------------------------------------------------------ runs */

static void steps(const struct state *s)
{
	actor = "reader";
	reader(s);
	actor = "publisher";
	publisher(s);
	actor = "reclaimer";
	reclaimer(s);
}

/* At commit 1 there is an object in either cell: in version 0 of one, 1 of the other. */
static void start(struct state *s)
{
	memset(s, 0, sizeof(*s));
	s->commit = 1;
	for (int i = 0; i < 2; i++) {
		s->cell[i][i].commit = s->cell[i][i].tag = 1;
		s->cell[i][i].offset = alloc(s, 1);
		s->wrote[i] = 1 << 1;
	}
	s->block[1].part = alloc(s, 1);
	s->block[1].part_stamp = 1;
}

/* No step is left. */
static void quiet(const struct state *s)
{
	u32 used = 0;

	for (u32 i = 1; i <= BLOCKS; i++)
		used += s->block[i].state != FREE;
	check(used == 3 && s->commit == publishes + 1,
	      "all is quiet, and a retired block was not reclaimed");
}

static void *reserve(size_t size)
{
	void *p = mmap(NULL, states * 1000000 * size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED) {
		perror("model: mmap");
		exit(2);
	}
	madvise(p, states * 1000000 * size, MADV_HUGEPAGE);	/* a fifth faster */
	return p;
}

/* Visits all states of the protocol, or those up to the first that is wrong. */
static void explore(const struct protocol *p)
{
	const struct protocol *design = &protocols[0];
	struct state s;
	u64 before;

	proto = *p;
	proto.pin = p->pin ? p->pin : design->pin;
	proto.pick = p->pick ? p->pick : design->pick;
	proto.advance = p->advance ? p->advance : design->advance;
	proto.unpin = p->unpin ? p->unpin : design->unpin;
	proto.one = p->one ? p->one : design->one;
	proto.both = p->both ? p->both : design->both;
	proto.round = p->round ? p->round : design->round;
	proto.evict = p->evict ? p->evict : design->evict;

	seen = reserve(sizeof(*seen));
	from = reserve(sizeof(*from));
	table = reserve(4 * sizeof(*table));
	mask = 0xffff;
	nseen = nsteps = now = 0;
	wrong = NULL;
	memset(&wrong_state, 0, sizeof(wrong_state));

	start(&s);
	add(&s);
	for (; now < nseen; now++) {
		s = seen[now];
		before = nsteps;
		steps(&s);
		if (nsteps == before)
			quiet(&s);
		if (wrong)
			break;
	}
}

static void forget_all(void)
{
	munmap(seen, states * 1000000 * sizeof(*seen));
	munmap(from, states * 1000000 * sizeof(*from));
	munmap(table, states * 1000000 * 4 * sizeof(*table));
}

/* The number of steps to what is wrong. */
static u32 length(void)
{
	u32 n = wrong_state.commit != 0;

	for (u32 i = now; i; i = from[i])
		n++;
	return n;
}

static void trace(void)
{
	u32 n = length(), k = n;
	struct state *path = calloc(n + 1, sizeof(*path));

	if (!path)
		exit(2);
	if (wrong_state.commit)
		path[k--] = wrong_state;
	for (u32 i = now; k; i = from[i])
		path[k--] = seen[i];
	path[0] = seen[0];
	for (k = 1; k <= n; k++) {
		tracing = &path[k];
		printf("# %2u  ", k);
		steps(&path[k - 1]);
	}
	tracing = NULL;
	free(path);
}

static int run_one(const struct protocol *p)
{
	printf("# %s: %s\n", p->name, p->what);
	explore(p);
	if (wrong)
		trace();
	printf("# %u states, %llu steps: %s\n", nseen, (unsigned long long)nsteps,
	       wrong ? wrong : "sound");
	return wrong != NULL;
}

static int run_all(void)
{
	struct rusage usage;
	int failed = 0;

	printf("TAP version 13\n1..%zu\n", PROTOCOLS);
	for (u32 i = 0; i < PROTOCOLS; i++) {
		const struct protocol *p = &protocols[i];
		clock_t begin = clock();
		bool good;

		explore(p);
		good = (i < SOUND) == !wrong;
		failed += !good;
		printf("%sok %u - %s: %s\n", good ? "" : "not ", i + 1, p->name, p->what);
		printf("# %u states, %.1f s", nseen, (double)(clock() - begin) / CLOCKS_PER_SEC);
		if (wrong)
			printf("; caught after %u steps: %s", length(), wrong);
		putchar('\n');
		if (wrong && !good)
			trace();
		fflush(stdout);
		forget_all();
	}
	getrusage(RUSAGE_SELF, &usage);
	printf("# memory: %ld MiB at most\n", usage.ru_maxrss >> 10);
	return failed != 0;
}

static int usage(void)
{
	fprintf(stderr, "usage: model [--all | --fence | --break NAME] [--publishes N]\n"
		"             [--pins N] [--ops N] [--evictions N] [--states MILLIONS]\n");
	for (u32 i = SOUND; i < PROTOCOLS; i++)
		fprintf(stderr, "  %-16s %s\n", protocols[i].name, protocols[i].what);
	return 2;
}

static bool set_bound(const char *name, const char *value)
{
	static const struct {
		const char *name;
		u32 *bound, max;
	} bounds[] = {
		{ "--publishes", &publishes, 12 },
		{ "--pins", &pins, 15 },
		{ "--ops", &ops, 15 },
		{ "--evictions", &evictions, 15 },
		{ "--states", &states, 1000 },
	};
	char *end;

	for (u32 i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
		if (strcmp(name, bounds[i].name))
			continue;
		*bounds[i].bound = strtoul(value, &end, 10);
		return !*end && end != value && *bounds[i].bound <= bounds[i].max;
	}
	return false;
}

int main(int argc, char **argv)
{
	const struct protocol *p = &protocols[0];
	bool all = false;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--all")) {
			all = true;
		} else if (!strcmp(argv[i], "--fence")) {
			p = &protocols[1];
		} else if (i + 1 == argc) {
			return usage();
		} else if (strcmp(argv[i], "--break")) {
			if (!set_bound(argv[i], argv[i + 1]))
				return usage();
			i++;
		} else {
			i++;
			for (p = &protocols[SOUND]; strcmp(p->name, argv[i]); )
				if (++p == &protocols[PROTOCOLS])
					return usage();
		}
	}
	return all ? run_all() : run_one(p);
}
