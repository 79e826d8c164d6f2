// SPDX-License-Identifier: GPL-2.0
/*
 * slabshm-demo: serve a directory tree from a slab, and kill at random
 *
 * Two publishers load every file of the tree into a slab that starts small, one
 * cell a file, and then publish files again and again.  Four readers look files
 * up at random and verify each object that they get: two of them where it lies,
 * in a pin, and two in a copy.  Now and then one falls asleep in its pin, for
 * longer than the slab's read timeout, and must get -ESTALE.  This process kills
 * readers and publishers with SIGKILL, whatever they are doing, and starts them
 * again.  In the end no read may have been wrong, and no byte may be lost.
 *
 * The children share with this process: the catalogue of files, and the
 * figures, which are the only thing that they write.  Both lie outside of the
 * slab, and a killed child cannot leave them half written, as they are single
 * words.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <stdnoreturn.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "slabshm.h"

#define READERS		4
#define PINNERS		2	/* of the readers, do not copy */
#define PUBLISHERS	2
#define CHILDREN	(READERS + PUBLISHERS)
#define MIB		(1024 * 1024)
#define FIRST_SIZE	MIB
#define BATCH		4	/* files in a publish of several */
#define HANG_SECONDS	10	/* a child that did nothing for so long hangs */
#define SETTLE_SECONDS	5	/* the module frees a dead client's blocks */
#define KILL_MS		80	/* between two kills, on average */
#define READ_TIMEOUT_MS	100	/* a reader holds no space for longer */
#define NAP_MS		500	/* of a reader in its pin */
#define AWAKE_MS	300	/* between two naps, on average */

/* ---------------- what all processes share ---------------- */

struct file {
	char *path;
	const char *name;	/* of its cell: the path below the directory */
	size_t size;
};

static struct file *files;	/* the same in all processes, made before them */
static size_t nfiles;
static size_t max_length;	/* of an object */
static char slab_name[32];

/* Words in shared memory; relaxed atomics, as each stands for itself. */
struct figures {
	uint64_t stop;
	uint64_t sequence;	/* of the newest object */
	uint64_t loaded;	/* files published at least once */
	uint64_t size;		/* of the slab */
	uint64_t growths;	/* times that it was seen to have grown */
	uint64_t reads;
	uint64_t pinned;	/* reads of these, without a copy */
	uint64_t evicted;	/* reads whose pin was withdrawn */
	uint64_t publishes;	/* objects published */
	uint64_t wrong;		/* reads */
	uint64_t steps[CHILDREN];	/* that a child has made */
	unsigned char is_loaded[];	/* for each file */
};

static struct figures *shared;

static uint64_t get(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

static uint64_t add(uint64_t *word, uint64_t n)
{
	return __atomic_add_fetch(word, n, __ATOMIC_RELAXED);
}

static noreturn void die(const char *subject, const char *what)
{
	fprintf(stderr, "slabshm-demo: %s: %s\n", subject, what);
	exit(EXIT_FAILURE);
}

static const char *why(int64_t err)
{
	if (err == -ENODEV)
		return "no /dev/slabshm; load the module with 'modprobe slabshm'";
	if (err == -ENOSPC)
		return "the slab is full; take a smaller directory";
	return strerror((int)-err);
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void sleep_ms(unsigned int ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000L };

	nanosleep(&ts, NULL);
}

static uint64_t random_state;

static uint64_t random_below(uint64_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % n;
}

static void random_init(void)
{
	if (getrandom(&random_state, sizeof(random_state), 0) < 0 ||
	    !random_state)
		random_state = now_ms() * 2654435761U + (uint64_t)getpid();
}

/* ---------------- objects ---------------- */

/* An object is this, and then the file. */
struct object {
	uint64_t file;		/* which */
	uint64_t sequence;	/* grows with each publish */
	uint64_t length;	/* of the file */
	uint64_t checksum;	/* of the three words before, and the file */
};

static uint64_t mix(uint64_t sum, uint64_t word)
{
	sum = (sum ^ word) * 0x9e3779b97f4a7c15ULL;
	return sum ^ sum >> 29;
}

/* @left is o->length, which may change while it is read in an evicted pin. */
static uint64_t checksum(const struct object *o, size_t left)
{
	const char *data = (const char *)(o + 1);
	uint64_t sum = mix(mix(mix(1, o->file), o->sequence), left);
	uint64_t word;

	while (left) {
		size_t n = left < sizeof(word) ? left : sizeof(word);

		word = 0;
		memcpy(&word, data, n);
		sum = mix(sum, word);
		data += n;
		left -= n;
	}
	return sum;
}

/* ---------------- publishers ---------------- */

/* Count the growth that the block's place shows. */
static void watch_size(struct slabshm *s, uint64_t end)
{
	uint64_t seen = get(&shared->size);
	struct slabshm_stat st;

	if (end <= seen)
		return;
	if (slabshm_stat(s, &st))
		return;
	while (seen < st.size)
		if (__atomic_compare_exchange_n(&shared->size, &seen, st.size,
						false, __ATOMIC_RELAXED,
						__ATOMIC_RELAXED)) {
			add(&shared->growths, 1);
			return;
		}
}

/* Make an object of a file: read it right into a block. */
static int64_t make_object(struct slabshm *s, size_t which, size_t *length)
{
	const struct file *file = &files[which];
	struct object *o;
	int64_t block;
	size_t got = 0;
	ssize_t n = 1;
	int fd;

	block = slabshm_alloc(s, sizeof(*o) + file->size);
	if (block < 0)
		return block;
	o = slabshm_ptr(s, (uint64_t)block);
	if (!o)
		return -EIO;
	watch_size(s, (uint64_t)block + sizeof(*o) + file->size);

	fd = open(file->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die(file->path, strerror(errno));
	while (got < file->size && n > 0) {
		n = read(fd, (char *)(o + 1) + got, file->size - got);
		if (n > 0)
			got += (size_t)n;
	}
	close(fd);
	o->file = which;
	o->sequence = add(&shared->sequence, 1);
	o->length = got;
	o->checksum = checksum(o, got);
	*length = sizeof(*o) + got;
	return block;
}

static int publish_files(struct slabshm *s, struct slabshm_ref *refs,
			 const size_t *which, unsigned int n)
{
	struct slabshm_publish_cell cells[BATCH] = { 0 };
	unsigned int i;
	int64_t ret;

	for (i = 0; i < n; i++) {
		struct slabshm_ref *ref = &refs[which[i]];
		size_t length;

		if (!ref->generation) {
			ret = slabshm_cell_open(s, files[which[i]].name,
						SLABSHM_CELL_CREATE, ref);
			if (ret)
				return (int)ret;
		}
		ret = make_object(s, which[i], &length);
		if (ret < 0)
			return (int)ret;
		cells[i].cell = ref->cell;
		cells[i].generation = ref->generation;
		cells[i].block = (uint64_t)ret;
		cells[i].length = length;
	}
	ret = slabshm_publish(s, cells, n, NULL, 0, NULL);
	if (ret < 0)
		return (int)ret;
	add(&shared->publishes, n);
	return 0;
}

/* Each publisher has files of its own, so that sequences only go up. */
static void publisher(struct slabshm *s, unsigned int me, uint64_t *steps)
{
	struct slabshm_ref *refs = calloc(nfiles, sizeof(*refs));
	size_t mine = (nfiles - me + PUBLISHERS - 1) / PUBLISHERS;
	size_t which[BATCH];
	unsigned int i, n;
	size_t next = 0;
	int ret;

	if (!refs)
		die("cannot go on", "not enough memory");
	while (!get(&shared->stop)) {
		while (next < mine && shared->is_loaded[next * PUBLISHERS + me])
			next++;
		if (next < mine) {
			n = 1;
			which[0] = next * PUBLISHERS + me;
		} else if (mine >= BATCH && !random_below(16)) {
			size_t first = random_below(mine - BATCH + 1);

			n = BATCH;
			for (i = 0; i < n; i++)
				which[i] = (first + i) * PUBLISHERS + me;
		} else {
			n = 1;
			which[0] = random_below(mine) * PUBLISHERS + me;
		}
		ret = publish_files(s, refs, which, n);
		if (ret)
			die("cannot publish", why(ret));
		if (next < mine) {
			shared->is_loaded[which[0]] = 1;
			add(&shared->loaded, 1);
		}
		add(steps, 1);
	}
	free(refs);
}

/* ---------------- readers ---------------- */

/* What a reader knows of a cell. */
struct seen {
	struct slabshm_ref ref;
	uint64_t version;
	uint64_t sequence;
};

/* Compare an object that was read with what it must be. */
static const char *judge(const struct object *o, size_t length, size_t which,
			 const struct seen *before, uint64_t version)
{
	if (length < sizeof(*o) || length - sizeof(*o) != o->length)
		return "its length is wrong";
	if (o->file != which)
		return "it is another file";
	if (o->checksum != checksum(o, length - sizeof(*o)))
		return "its checksum is wrong";
	if (version < before->version)
		return "its version is older than one read before";
	if (version == before->version ? o->sequence != before->sequence :
					 o->sequence <= before->sequence)
		return "its sequence does not match its version";
	return NULL;
}

/* What became of a read. */
struct outcome {
	int err;		/* 0, or a negative error number */
	const char *wrong;	/* NULL: the object is as it should be */
	uint64_t version;	/* also with -ENODATA */
	uint64_t sequence;
};

static void read_copy(struct slabshm *s, size_t which, const struct seen *seen,
		      struct object *buf, struct outcome *out)
{
	ssize_t n = slabshm_read(s, &seen->ref, buf, max_length, &out->version);

	out->err = n < 0 ? (int)n : 0;
	if (n < 0)
		return;
	out->wrong = judge(buf, (size_t)n, which, seen, out->version);
	out->sequence = buf->sequence;
}

/* What is concluded from an object counts once slabshm_unpin() says 0. */
static void read_pinned(struct slabshm *s, size_t which,
			const struct seen *seen, bool nap, struct outcome *out)
{
	const struct object *o;
	struct slabshm_view view;
	struct slabshm_pin pin;
	int ret;

	ret = slabshm_pin(s, &pin);
	if (ret)
		die("cannot pin", why(ret));
	out->err = slabshm_get(&pin, &seen->ref, &view);
	out->version = view.version;
	if (nap)
		sleep_ms(NAP_MS);
	if (!out->err) {
		o = view.data;
		out->wrong = judge(o, view.length, which, seen, view.version);
		out->sequence = o->sequence;
	}
	ret = slabshm_unpin(&pin);
	if (ret)
		out->err = ret;
	add(&shared->pinned, 1);
}

/*
 * Read a file's object, into @buf or, if that is NULL, where it lies, and judge
 * it.  Returns 0, -ENOENT, or -EBADMSG.
 */
static int read_file(struct slabshm *s, size_t which, struct seen *seen,
		     struct object *buf, bool nap)
{
	struct outcome out = { 0 };
	int ret;

	if (!seen->ref.generation) {
		ret = slabshm_cell_open(s, files[which].name, 0, &seen->ref);
		if (ret)
			return ret;
	}
	if (buf)
		read_copy(s, which, seen, buf, &out);
	else
		read_pinned(s, which, seen, nap, &out);
	if (out.err == -ENODATA && !seen->version)
		return -ENOENT;	/* its publisher was killed in between */
	add(&shared->reads, 1);
	if (out.err == -ESTALE) {
		add(&shared->evicted, 1);
		return 0;
	}
	if (out.err)
		out.wrong = strerror(-out.err);
	if (out.wrong) {
		fprintf(stderr, "slabshm-demo: wrong read of %s: %s\n",
			files[which].name, out.wrong);
		add(&shared->wrong, 1);
		return -EBADMSG;
	}
	seen->version = out.version;
	seen->sequence = out.sequence;
	return 0;
}

static void reader(struct slabshm *s, unsigned int me, uint64_t *steps)
{
	struct seen *seen = calloc(nfiles, sizeof(*seen));
	struct object *buf = me < PINNERS ? NULL : malloc(max_length);
	uint64_t next_nap = now_ms() + random_below(2 * AWAKE_MS);
	int ret;

	if (!seen || (me >= PINNERS && !buf))
		die("cannot go on", "not enough memory");
	while (!get(&shared->stop)) {
		size_t which = random_below(nfiles);
		bool nap = !buf && now_ms() >= next_nap;

		ret = read_file(s, which, &seen[which], buf, nap);
		if (ret && ret != -ENOENT && ret != -EBADMSG)
			die("cannot find a cell", why(ret));
		if (nap)
			next_nap = now_ms() + random_below(2 * AWAKE_MS);
		add(steps, 1);
	}
	free(seen);
	free(buf);
}

/* ---------------- children ---------------- */

struct child {
	pid_t pid;
	uint64_t steps;		/* when last looked at */
	uint64_t since;		/* ms: at that figure since then */
};

static struct child children[CHILDREN];
static unsigned int kills_of_readers, kills_of_publishers, crashes, hangs;

static void start(struct slabshm *parents, unsigned int i)
{
	unsigned int flags = i < READERS ? SLABSHM_ATTACH_RDONLY : 0;
	pid_t parent = getpid();
	struct slabshm *s;
	pid_t pid;
	int ret;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		die("cannot fork", strerror(errno));
	children[i].pid = pid;
	children[i].since = now_ms();
	if (pid)
		return;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		exit(EXIT_FAILURE);
	signal(SIGINT, SIG_IGN);
	random_init();
	slabshm_close(parents);
	ret = slabshm_open(&s, slab_name, flags, NULL);
	if (ret)
		die("cannot open the slab", why(ret));
	if (i < READERS)
		reader(s, i, &shared->steps[i]);
	else
		publisher(s, i - READERS, &shared->steps[i]);
	slabshm_close(s);
	exit(EXIT_SUCCESS);
}

/* Wait for a child; true if it ended as it should. */
static bool reap(unsigned int i, int expected_signal)
{
	int status;

	if (waitpid(children[i].pid, &status, 0) != children[i].pid)
		return false;
	if (WIFSIGNALED(status) && WTERMSIG(status) == expected_signal)
		return true;
	if (WIFEXITED(status) && !WEXITSTATUS(status) && get(&shared->stop))
		return true;
	if (WIFSIGNALED(status))
		fprintf(stderr, "slabshm-demo: a %s died of signal %d\n",
			i < READERS ? "reader" : "publisher", WTERMSIG(status));
	crashes++;
	return false;
}

static void kill_one(struct slabshm *s)
{
	unsigned int i = (unsigned int)random_below(CHILDREN);

	kill(children[i].pid, SIGKILL);
	if (reap(i, SIGKILL)) {
		if (i < READERS)
			kills_of_readers++;
		else
			kills_of_publishers++;
	}
	start(s, i);
}

/* Start again who died of something else, and look for who stands still. */
static void look_after(struct slabshm *s)
{
	uint64_t now = now_ms();
	unsigned int i;

	for (i = 0; i < CHILDREN; i++) {
		struct child *c = &children[i];
		uint64_t steps = get(&shared->steps[i]);
		siginfo_t info = { 0 };

		if (!waitid(P_PID, (id_t)c->pid, &info,
			    WEXITED | WNOHANG | WNOWAIT) && info.si_pid) {
			reap(i, 0);
			start(s, i);
		}
		if (steps != c->steps) {
			c->steps = steps;
			c->since = now;
		} else if (now - c->since > HANG_SECONDS * 1000) {
			fprintf(stderr, "slabshm-demo: a %s hangs\n",
				i < READERS ? "reader" : "publisher");
			hangs++;
			c->since = now;
		}
	}
}

static void stop_all(void)
{
	uint64_t deadline = now_ms() + HANG_SECONDS * 1000;
	unsigned int i;

	__atomic_store_n(&shared->stop, 1, __ATOMIC_RELAXED);
	for (i = 0; i < CHILDREN; i++) {
		siginfo_t info = { 0 };

		while (!waitid(P_PID, (id_t)children[i].pid, &info,
			       WEXITED | WNOHANG | WNOWAIT) &&
		       !info.si_pid && now_ms() < deadline)
			sleep_ms(10);
		if (!info.si_pid) {
			fprintf(stderr, "slabshm-demo: a %s does not stop\n",
				i < READERS ? "reader" : "publisher");
			hangs++;
			kill(children[i].pid, SIGKILL);
		}
		reap(i, SIGKILL);
	}
}

/* ---------------- the catalogue ---------------- */

static size_t prefix_length;
static size_t skipped;

static int add_file(const char *path, const struct stat *st, int type,
		    struct FTW *ftw)
{
	static size_t room;
	const char *name = path + prefix_length;

	(void)ftw;
	if (type != FTW_F || !S_ISREG(st->st_mode))
		return 0;
	while (*name == '/')
		name++;
	if (strlen(name) >= SLABSHM_NAME_MAX || access(path, R_OK)) {
		skipped++;
		return 0;
	}
	if (nfiles == room) {
		room = room ? 2 * room : 1024;
		files = reallocarray(files, room, sizeof(*files));
		if (!files)
			die("cannot go on", "not enough memory");
	}
	files[nfiles].path = strdup(path);
	if (!files[nfiles].path)
		die("cannot go on", "not enough memory");
	files[nfiles].name = files[nfiles].path + (name - path);
	files[nfiles].size = (size_t)st->st_size;
	nfiles++;
	if (max_length < sizeof(struct object) + (size_t)st->st_size)
		max_length = sizeof(struct object) + (size_t)st->st_size;
	return 0;
}

static uint64_t make_catalogue(const char *dir)
{
	uint64_t bytes = 0;
	size_t i;

	prefix_length = strlen(dir);
	if (nftw(dir, add_file, 64, FTW_PHYS))
		die(dir, strerror(errno));
	if (nfiles < PUBLISHERS)
		die(dir, "too few files to serve; name another directory");
	for (i = 0; i < nfiles; i++)
		bytes += files[i].size;

	shared = mmap(NULL, sizeof(*shared) + nfiles, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		die("cannot go on", "not enough memory");
	shared->size = FIRST_SIZE;
	return bytes;
}

/* ---------------- the end ---------------- */

/* What the cells hold, as the module lists them. */
static uint64_t bytes_of_cells(struct slabshm *s, uint64_t *objects,
			       uint64_t *length)
{
	struct slabshm_cell_entry entries[16];
	uint64_t cursor = 0, bytes = 0;
	int i, n;

	*objects = 0;
	*length = 0;
	while ((n = slabshm_list_cells(s, entries, 16, &cursor)) > 0) {
		for (i = 0; i < n; i++) {
			bytes += entries[i].bytes;
			*length += entries[i].length;
			*objects += !!entries[i].offset;
		}
	}
	if (n)
		die("cannot list the cells", why(n));
	return bytes;
}

/*
 * Bytes of blocks beyond @expected.  The module frees a dead client's blocks a
 * moment after its death, so wait for that, but not for ever.
 */
static uint64_t leaked(struct slabshm *s, uint64_t expected)
{
	uint64_t deadline = now_ms() + SETTLE_SECONDS * 1000;
	struct slabshm_stat st;
	int ret;

	for (;;) {
		ret = slabshm_stat(s, &st);
		if (ret)
			die("cannot stat the slab", why(ret));
		if (st.live == expected && !st.retired)
			return 0;
		if (now_ms() > deadline)
			break;
		sleep_ms(10);
	}
	/* Too few are as bad as too many. */
	if (st.live < expected)
		return expected - st.live + st.retired;
	return st.live - expected + st.retired;
}

/* Read everything once more, now that it stands still. */
static void read_all(struct slabshm *s)
{
	struct object *buf = malloc(max_length);
	size_t i;

	if (!buf)
		die("cannot go on", "not enough memory");
	for (i = 0; i < nfiles; i++) {
		struct seen seen = { 0 };
		int ret = 0;

		if (shared->is_loaded[i])
			ret = read_file(s, i, &seen, buf, false);
		if (ret && ret != -EBADMSG) {
			fprintf(stderr, "slabshm-demo: %s is gone: %s\n",
				files[i].name, why(ret));
			add(&shared->wrong, 1);
		}
	}
	free(buf);
}

static void remove_all(struct slabshm *s)
{
	size_t i;
	int ret;

	for (i = 0; i < nfiles; i++) {
		ret = slabshm_cell_remove_name(s, files[i].name);
		if (ret && ret != -ENOENT)
			die("cannot remove a cell", why(ret));
	}
}

static void row(const char *what, uint64_t number, const char *note)
{
	char digits[32], grouped[48], *to = grouped;
	const char *from = digits;
	size_t left;

	left = (size_t)snprintf(digits, sizeof(digits), "%ju",
				(uintmax_t)number);
	while (left) {
		*to++ = *from++;
		if (--left && left % 3 == 0)
			*to++ = ',';
	}
	*to = '\0';
	printf("  %-14s %18s%s%s\n", what, grouped, *note ? "  " : "", note);
}

/* ---------------- the whole ---------------- */

static int interrupted;

static void interrupt(int sig)
{
	(void)sig;
	__atomic_store_n(&interrupted, 1, __ATOMIC_RELAXED);
}

static void progress(uint64_t since_start, uint64_t *reads_before)
{
	uint64_t reads = get(&shared->reads);

	printf("%3u s  objects %ju/%zu  slab %.1f MiB  reads %ju (%ju/s)  ",
	       (unsigned int)((since_start + 500) / 1000),
	       (uintmax_t)get(&shared->loaded), nfiles,
	       (double)get(&shared->size) / MIB, (uintmax_t)reads,
	       (uintmax_t)(reads - *reads_before));
	printf("publishes %ju  kills %u  wrong %ju\n",
	       (uintmax_t)get(&shared->publishes),
	       kills_of_readers + kills_of_publishers,
	       (uintmax_t)get(&shared->wrong));
	fflush(stdout);
	*reads_before = reads;
}

/* For so many seconds, and as much longer as the loading takes. */
static void run(struct slabshm *s, unsigned int seconds)
{
	uint64_t begin = now_ms(), next_line = begin + 1000;
	uint64_t end = begin + 1000ULL * seconds;
	uint64_t last_end = begin + 4000ULL * seconds;
	uint64_t next_kill = begin + KILL_MS;
	uint64_t reads_before = 0;
	unsigned int i;

	for (i = 0; i < CHILDREN; i++)
		start(s, i);
	while (!__atomic_load_n(&interrupted, __ATOMIC_RELAXED)) {
		uint64_t now = now_ms();

		if (now >= last_end ||
		    (now >= end && get(&shared->loaded) >= nfiles))
			break;
		if (now >= next_kill) {
			kill_one(s);
			next_kill = now_ms() + random_below(2 * KILL_MS);
		}
		if (now >= next_line) {
			progress(now - begin, &reads_before);
			next_line += 1000;
		}
		look_after(s);
		sleep_ms(5);
	}
	stop_all();
}

static int finish(struct slabshm *s)
{
	uint64_t objects, length, cells, lost;
	uint64_t wrong, missing = 0;
	char note[64];
	size_t i;

	cells = bytes_of_cells(s, &objects, &length);
	lost = leaked(s, cells);
	read_all(s);
	remove_all(s);
	lost += leaked(s, 0);
	wrong = get(&shared->wrong);
	for (i = 0; i < nfiles; i++)
		missing += !shared->is_loaded[i];

	putchar('\n');
	row("objects", objects, "");
	row("bytes", length, "");
	row("growths", get(&shared->growths), "");
	row("reads", get(&shared->reads), "");
	row("in place", get(&shared->pinned), "(pinned, without a copy)");
	row("evicted", get(&shared->evicted), "(pins withdrawn while asleep)");
	row("publishes", get(&shared->publishes), "");
	snprintf(note, sizeof(note), "(%u readers, %u publishers)",
		 kills_of_readers, kills_of_publishers);
	row("kills", kills_of_readers + kills_of_publishers, note);
	row("wrong reads", wrong, "");
	row("leaked bytes", lost, "");
	if (crashes)
		row("crashes", crashes, "processes died on their own");
	if (hangs)
		row("hangs", hangs, "processes hung");
	if (missing)
		row("not loaded", missing, "files; give it more time with -t");
	return wrong || lost || crashes || hangs || missing ||
	       !kills_of_readers || !kills_of_publishers ||
	       !get(&shared->growths) ? EXIT_FAILURE : EXIT_SUCCESS;
}

static const char usage[] =
"Usage: slabshm-demo [-t SECONDS] DIRECTORY\n"
"\n"
"Serve the files of a directory from a slab for some seconds (20): two\n"
"processes publish, four read and verify, two of them in place, and all\n"
"are killed at random.\n"
"Exit status: 0 nothing wrong and nothing leaked, 1 otherwise, 2 wrong usage.\n";

int main(int argc, char **argv)
{
	struct slabshm_options options = {
		.size = FIRST_SIZE,
		.read_timeout = READ_TIMEOUT_MS,
	};
	unsigned long seconds = 20;
	struct slabshm *s;
	uint64_t bytes;
	char *end;
	int c, ret;

	while ((c = getopt(argc, argv, "t:h")) != -1) {
		switch (c) {
		case 't':
			seconds = strtoul(optarg, &end, 10);
			if (*end || !seconds || seconds > 86400) {
				fputs("slabshm-demo: -t: not 1 to 86400 seconds\n",
				      stderr);
				return 2;
			}
			break;
		case 'h':
			fputs(usage, stdout);
			return EXIT_SUCCESS;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (argc - optind != 1) {
		fputs(usage, stderr);
		return 2;
	}

	random_init();
	bytes = make_catalogue(argv[optind]);
	/* Twice, as new objects come before old ones go, and room to move. */
	options.max_size = 2 * bytes + 8 * max_length + nfiles * 512 +
			   64 * MIB;
	options.max_cells = (uint32_t)nfiles;
	snprintf(slab_name, sizeof(slab_name), "slabshm-demo.%d", getpid());
	ret = slabshm_open(&s, slab_name,
			   SLABSHM_ATTACH_CREATE | SLABSHM_ATTACH_EXCL, &options);
	if (ret)
		die("cannot create a slab", why(ret));

	printf("%s: %zu files, %.1f MiB; %d readers, %d publishers, %lu s of kills\n",
	       argv[optind], nfiles, (double)bytes / MIB, READERS,
	       PUBLISHERS, seconds);
	if (skipped)
		printf("%zu files left out: unreadable, or the path is too long\n",
		       skipped);
	signal(SIGINT, interrupt);
	run(s, (unsigned int)seconds);
	ret = finish(s);
	slabshm_unlink(slab_name);
	slabshm_close(s);
	return ret;
}
