/*
 * A slot is one child and the seven descriptors that tie it to us. Its life: SPARE (waits for a
 * byte on its wake pipe) -> RUNNING -> perhaps ENDING (its time is over; it was asked where it is
 * and gets a moment to say so) -> DEAD (killed, the verdict is out, its body is not yet collected)
 * -> gone.
 *
 * The verdict goes out as soon as the reply is whole, before the child is dead: tearing down a 300
 * MB image takes milliseconds that nobody has to wait for.
 */
#include "engine/nursery.h"
#include "src/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* what a child gets to say where it is before it is killed: a traceback costs well under a
 * millisecond */
#define LAST_WORDS_S      0.060
#define LAST_WORDS_LOOK_S 0.004
#define DRAIN_AT_ONCE     65536
#define PLACE_MAX         4096
/* a spare that has had no job for so long may use the time; jobs that come one on another's heels
 * find all processors for themselves */
#define IDLE_MS 20
/* what the asker said of the work elsewhere is old when nothing has come for so long */
#define QUIET_MS 500
/* between two notices of one stream */
#define NOTICE_EVERY_S 0.04
/* type of the frame that says to a stream: your notice was taken */
#define FEED_TAKEN 0xffffffffu
/* exit code of a child that could not be jailed or fed */
#define CHILD_CANT 125
/* after a failed fork or a spare that died by itself */
#define FORK_AGAIN_S 0.1

/* the child's descriptors, after 0, 1 and 2 */
enum { CHILD_WAKE = 3, CHILD_STATUS, CHILD_REQUEST, CHILD_REPLY, CHILD_PLACE, CHILD_FDS_END };

enum slot_state { SLOT_FREE, SLOT_SPARE, SLOT_RUNNING, SLOT_ENDING, SLOT_DEAD };

struct slot {
	enum slot_state state;
	pid_t pid;
	int pidfd, wake, status, request, reply, place, out, err;
	uint32_t job, type;
	struct nursery_limits limits;
	double started, deadline, next_cpu_check;
	enum nursery_end ending; /* why, when ENDING */
	double kill_at, look_at;
	size_t place_seen;
	uint64_t log_bytes, log_kept;
	bool began;   /* it has read its job and is jailed: from then on, what it does is its own
	                 doing */
	bool done;    /* it says that its reply is whole */
	bool spoiled; /* it said what no child of ours says */
	/* a stream's */
	struct buf feed;    /* what its pipe has not taken yet */
	uint32_t fed, used; /* frames given to it, the request counted; of them, used */
	bool told;          /* a notice waits to be taken */
	bool asked, last;   /* a blob was asked for; there is no more to come */
	double take_at, worked_s, works_since;
};

struct waiting {
	struct buf bytes; /* one frame */
	uint32_t job, type;
	struct nursery_limits limits;
	struct waiting *next;
};

struct nursery {
	struct nursery_ops ops;
	const struct sandbox *jail;
	int spares, jobs_max;
	struct slot *slot;
	int n_slots;
	struct waiting *first, **last;
	int n_waiting;
	struct buf chunk; /* room for what is read of the children's streams; always empty */
	int null_fd;
	int under_way; /* as the asker said it last */
	/* How many are worked on, for the spares to see; a page that they give away before their
	 * job comes, or programs could talk to one another through it. NULL: none could be had */
	_Atomic int *at_work;
	int cores;
	bool hold;         /* nothing that costs memory is taken from the children */
	double fork_after; /* no spare is forked before this time */
};

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void slot_clear(struct slot *s)
{
	memset(s, 0, sizeof(*s));
	s->pidfd = s->wake = s->status = s->request = s->reply = s->place = s->out = s->err = -1;
}

static void slot_close_fds(struct slot *s)
{
	close_fd(&s->pidfd);
	close_fd(&s->wake);
	close_fd(&s->status);
	close_fd(&s->request);
	close_fd(&s->reply);
	close_fd(&s->place);
	close_fd(&s->out);
	close_fd(&s->err);
	buf_release(&s->feed);
}

/* All of it at @at, or -1 (a full disk or the file-size limit). */
static int put(int fd, const void *data, size_t len, off_t at)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = pwrite(fd, p, len, at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		p += n;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

void nursery_began(const struct nursery_io *io)
{
	while (write(io->status_fd, "b", 1) < 0)
		if (errno != EINTR)
			_exit(CHILD_CANT);
}

void nursery_cannot(const char *why)
{
	dprintf(STDERR_FILENO, "%s\n", why);
	_exit(CHILD_CANT);
}

static int say(const struct nursery_io *io, const char *bytes, size_t n)
{
	while (n > 0) {
		ssize_t k = write(io->status_fd, bytes, n);
		if (k < 0 && errno != EINTR)
			return -1;
		if (k > 0) {
			bytes += k;
			n -= (size_t)k;
		}
	}
	return 0;
}

/* One frame into the reply file, and the byte that says so. */
static int tell(const struct nursery_io *io, char byte, const char *json, size_t json_len,
                const void *blob, size_t blob_len)
{
	unsigned char h[FRAME_HEADER_BYTES];

	if (json_len > FRAME_JSON_MAX || blob_len > FRAME_BLOB_MAX)
		return -1;
	frame_header(h, 0, 0, (uint32_t)json_len, (uint32_t)blob_len);
	if (put(io->reply_fd, h, sizeof(h), 0) < 0 ||
	    put(io->reply_fd, json, json_len, sizeof(h)) < 0 ||
	    put(io->reply_fd, blob, blob_len, (off_t)(sizeof(h) + json_len)) < 0)
		return -1;
	return say(io, &byte, 1);
}

int nursery_reply(const struct nursery_io *io, const char *json, size_t json_len, const void *blob,
                  size_t blob_len)
{
	struct frame f;

	/* the reply stands where a notice may still be read */
	while (io->feed->told)
		if (nursery_next(io, -1, &f) < 0)
			return -1;
	return tell(io, 'd', json, json_len, blob, blob_len);
}

int nursery_next(const struct nursery_io *io, int timeout_ms, struct frame *f)
{
	struct nursery_feed *feed = io->feed;
	struct err e = { 0 };

	if (feed->fd < 0)
		return -1;
	for (;;) {
		int have = frame_next(&feed->in, f, &e);
		if (have < 0)
			return -1;
		if (have == 1 && f->type == FEED_TAKEN) {
			feed->told = false;
			return 0;
		}
		if (have == 1) {
			feed->got++;
			return 1;
		}
		struct pollfd p = { .fd = feed->fd, .events = POLLIN };
		int rc = poll(&p, 1, timeout_ms);
		if (rc < 0 && errno == EINTR)
			continue;
		if (rc <= 0)
			return rc;
		ssize_t n = frame_fill(&feed->in, feed->fd, &e);
		if (n == 0 || n == -1)
			return -1;
	}
}

int nursery_idle(const struct nursery_io *io)
{
	struct nursery_feed *feed = io->feed;

	for (; feed->used != feed->got; feed->used++)
		if (say(io, "i", 1) < 0)
			return -1;
	return 0;
}

int nursery_notice(const struct nursery_io *io, const char *json, size_t json_len, const void *blob,
                   size_t blob_len)
{
	struct nursery_feed *feed = io->feed;

	if (feed->fd < 0)
		return -1;
	if (feed->told)
		return 0;
	if (tell(io, 'n', json, json_len, blob, blob_len) < 0)
		return -1;
	feed->told = true;
	return 1;
}

/* ---- the child's side ---- */

/* Until a job comes, or there is no more to do meanwhile. Where the processors have work enough,
 * what is done ahead is not done for nothing, and would be taken from those who work: it waits. */
static void rest(struct nursery *n)
{
	struct pollfd wake = { .fd = CHILD_WAKE, .events = POLLIN };
	int step = 0, wait_ms = IDLE_MS, waited_ms = 0;

	while (n->ops.child_idle && poll(&wake, 1, wait_ms) == 0) {
		waited_ms += wait_ms;
		wait_ms = IDLE_MS;
		if (n->at_work && 2 * atomic_load(n->at_work) > n->cores && waited_ms < QUIET_MS)
			continue;
		if (!n->ops.child_idle(n->ops.ctx, step++))
			break;
		wait_ms = 0;
	}
	if (n->at_work)
		munmap((void *)(uintptr_t)n->at_work, sizeof(*n->at_work));
}

static void child_main(struct nursery *n, int parent, const int fds[CHILD_FDS_END])
{
	static const int reset[] = { SIGPIPE, SIGINT,  SIGTERM, SIGHUP,  SIGUSR1, SIGUSR2, SIGCHLD,
		                     SIGXCPU, SIGXFSZ, SIGABRT, SIGSEGV, SIGBUS,  SIGFPE,  SIGILL };
	struct err e = { 0 };
	sigset_t none;

	for (size_t i = 0; i < sizeof(reset) / sizeof(*reset); i++)
		signal(reset[i], SIG_DFL);
	signal(SIGXFSZ,
	       SIG_IGN); /* a write past the limit is an error that can be told, not a death */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);

	/* out of the way first, so that no target number is still needed as a source */
	int high[CHILD_FDS_END];
	for (int i = 0; i < CHILD_FDS_END; i++) {
		high[i] = fcntl(fds[i], F_DUPFD, CHILD_FDS_END);
		if (high[i] < 0)
			_exit(CHILD_CANT);
	}
	/* the jail may own descriptors (a landlock rule set); they are not needed after this */
	if (n->jail && sandbox_enter_early(n->jail, parent, &e) < 0) {
		dprintf(high[2], "%s\n", e.text);
		_exit(CHILD_CANT);
	}
	for (int i = 0; i < CHILD_FDS_END; i++)
		if (dup2(high[i], i) < 0)
			_exit(CHILD_CANT);
	if (syscall(SYS_close_range, CHILD_FDS_END, ~0u, 0) < 0)
		for (int i = CHILD_FDS_END; i < 1024; i++)
			close(i);
	if (n->ops.child_ready)
		n->ops.child_ready(n->ops.ctx);

	rest(n);
	char c;
	ssize_t got;
	do
		got = read(CHILD_WAKE, &c, 1);
	while (got < 0 && errno == EINTR);
	if (got != 1)
		_exit(0);
	struct stat st;
	if (fstat(CHILD_REQUEST, &st) < 0 || st.st_size <= 0)
		_exit(CHILD_CANT);
	void *bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, CHILD_REQUEST, 0);
	struct frame f;
	if (bytes == MAP_FAILED || frame_parse(&f, bytes, (size_t)st.st_size, &e) < 0)
		_exit(CHILD_CANT);
	struct nursery_feed feed = { .fd = -1, .got = 1 };
	if (c == 's')
		feed.fd = CHILD_WAKE;
	else
		close(CHILD_WAKE);
	close(CHILD_REQUEST);
	struct nursery_io io = { .feed = &feed,
		                 .reply_fd = CHILD_REPLY,
		                 .status_fd = CHILD_STATUS,
		                 .place_fd = CHILD_PLACE };
	n->ops.child_run(n->ops.ctx, &f, &io);
	_exit(0);
}

/* ---- the parent's side ---- */

static int make_pipe(int p[2])
{
	return pipe2(p, O_CLOEXEC);
}

/* A memory file of @bytes that can neither grow nor shrink, so that a child cannot keep what it
 * likes in it; -1. */
static int fixed_memory_file(const char *name, off_t bytes)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || (ftruncate(fd, bytes) == 0 &&
	               fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) == 0))
		return fd;
	close(fd);
	return -1;
}

static void nonblocking(int fd)
{
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

static struct slot *slot_fork(struct nursery *n, struct err *e)
{
	struct slot *s = NULL;
	int wake[2] = { -1, -1 }, status[2] = { -1, -1 }, out[2] = { -1, -1 }, errp[2] = { -1, -1 };
	pid_t parent = getpid();

	for (int i = 0; i < n->n_slots && !s; i++)
		if (n->slot[i].state == SLOT_FREE)
			s = &n->slot[i];
	if (!s) {
		err_set(e, ERR_LOST,
		        "no slot for another child: the dead are not collected fast enough");
		return NULL;
	}
	slot_clear(s);
	s->request = memfd_create("request", MFD_CLOEXEC);
	s->reply = memfd_create("reply", MFD_CLOEXEC);
	s->place = fixed_memory_file("place", PLACE_MAX);
	if (s->request < 0 || s->reply < 0 || s->place < 0 || make_pipe(wake) < 0 ||
	    make_pipe(status) < 0 || make_pipe(out) < 0 || make_pipe(errp) < 0) {
		err_errno(e, ERR_LOST, "no pipe or memory file for a child");
		goto fail;
	}
	pid_t pid = fork();
	if (pid < 0) {
		err_errno(e, ERR_LOST, "fork");
		goto fail;
	}
	if (pid == 0) {
		int fds[CHILD_FDS_END] = { n->null_fd, out[1],     errp[1],  wake[0],
			                   status[1],  s->request, s->reply, s->place };
		child_main(n, parent, fds);
		_exit(CHILD_CANT);
	}
	s->pid = pid;
	s->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (s->pidfd < 0) {
		err_errno(e, ERR_LOST, "pidfd_open");
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		goto fail;
	}
	close(wake[0]);
	close(status[1]);
	close(out[1]);
	close(errp[1]);
	s->wake = wake[1];
	s->status = status[0];
	s->out = out[0];
	s->err = errp[0];
	nonblocking(s->status);
	nonblocking(s->out);
	nonblocking(s->err);
	s->state = SLOT_SPARE;
	return s;
fail:
	close_fd(&wake[0]);
	close_fd(&wake[1]);
	close_fd(&status[0]);
	close_fd(&status[1]);
	close_fd(&out[0]);
	close_fd(&out[1]);
	close_fd(&errp[0]);
	close_fd(&errp[1]);
	slot_close_fds(s);
	slot_clear(s);
	return NULL;
}

static int count(const struct nursery *n, enum slot_state a, enum slot_state b)
{
	int c = 0;

	for (int i = 0; i < n->n_slots; i++)
		c += n->slot[i].state == a || n->slot[i].state == b;
	return c;
}

static bool is_live(const struct slot *s)
{
	return s->state == SLOT_RUNNING || s->state == SLOT_ENDING;
}

static struct slot *slot_of(struct nursery *n, uint32_t job)
{
	for (int i = 0; i < n->n_slots; i++)
		if (is_live(&n->slot[i]) && n->slot[i].job == job)
			return &n->slot[i];
	return NULL;
}

static int live(const struct nursery *n, bool streams)
{
	int c = 0;

	for (int i = 0; i < n->n_slots; i++)
		c += is_live(&n->slot[i]) && n->slot[i].limits.stream == streams;
	return c;
}

/* Streams, which mostly wait, are not counted. */
static int running(const struct nursery *n)
{
	return live(n, false);
}

static double cpu_used(const struct slot *s)
{
	clockid_t c;
	struct timespec t;

	if (clock_getcpuclockid(s->pid, &c) != 0 || clock_gettime(c, &t) < 0)
		return 0;
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static long peak_kib(const struct slot *s)
{
	char path[40], text[2048];
	long kib = 0;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)s->pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	ssize_t got = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (got > 0) {
		text[got] = '\0';
		const char *p = strstr(text, "VmHWM:");
		if (p)
			kib = strtol(p + 6, NULL, 10);
	}
	return kib;
}

/* Passes on what is in a pipe now. While a child is @ending what it prints is only counted. */
static void drain(struct nursery *n, struct slot *s, int *fd, const char *stream)
{
	/* not on the stack, of which each child forked from now on has a copy */
	char *chunk = buf_room(&n->chunk, DRAIN_AT_ONCE);

	if (!chunk)
		return;
	/* bounded: a child that prints without end must not keep us here */
	for (int rounds = 0; *fd >= 0 && rounds < 16; rounds++) {
		ssize_t got = read(*fd, chunk, DRAIN_AT_ONCE);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return;
		if (got == 0) {
			close_fd(fd);
			return;
		}
		uint64_t keep = (uint64_t)got;
		if (s->log_kept + keep > s->limits.log_kept_bytes)
			keep = s->limits.log_kept_bytes - s->log_kept;
		s->log_bytes += (uint64_t)got;
		if (keep > 0 && n->ops.log)
			n->ops.log(n->ops.ctx, s->job, stream, chunk, keep);
		s->log_kept += keep;
	}
}

static void drain_both(struct nursery *n, struct slot *s)
{
	drain(n, s, &s->out, "stdout");
	drain(n, s, &s->err, "stderr");
}

static void slot_kill(struct slot *s)
{
	kill(s->pid, SIGKILL);
}

/* Nothing more is wanted of it; only its pidfd stays, till it is collected. */
static void slot_bury(struct slot *s)
{
	int pidfd = s->pidfd;

	slot_kill(s);
	s->pidfd = -1;
	slot_close_fds(s);
	s->pidfd = pidfd;
	s->state = SLOT_DEAD;
}

/* Reads the reply, or notice, that the child says is whole. It may be anything: what it claims to
 * hold is looked at before any of it is taken. */
static int reply_take(struct slot *s, struct buf *reply, struct nursery_verdict *v)
{
	const struct nursery_limits *l = &s->limits;
	/* a stream gives what was asked for, and that in notices (0 would mean no limit) */
	uint32_t blob_max = l->stream && !(s->told && s->asked) ? 1 : l->reply_blob_max;
	char head[FRAME_HEADER_BYTES];
	struct err e = { 0 };
	size_t whole;

	ssize_t got = pread(s->reply, head, sizeof(head), 0);
	if (got != sizeof(head)) {
		snprintf(v->error, sizeof(v->error),
		         "the child's reply is damaged: it is too short");
		return -1;
	}
	if (frame_whole(head, l->reply_json_max, blob_max, &whole, &v->over, &e) < 0)
		goto damaged;
	/* read, not mapped: the child may still be shrinking the file under us */
	struct stat st = { 0 };
	if (fstat(s->reply, &st) == 0 && (uintmax_t)st.st_size < whole) {
		err_set(&e, ERR_PROTOCOL, "it ends after %jd bytes of %zu", (intmax_t)st.st_size,
		        whole);
		goto damaged;
	}
	if (!buf_room(reply, whole)) {
		err_set(&e, ERR_MEM, "no memory for %zu bytes", whole);
		goto damaged;
	}
	while (reply->len < whole) {
		got = pread(s->reply, reply->data + reply->len, whole - reply->len,
		            (off_t)reply->len);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		buf_grew(reply, (size_t)got);
	}
	/* the lengths may be others by now: the frame is judged as it was read */
	if (reply->len >= sizeof(head) && memcmp(reply->data, head, sizeof(head)) != 0)
		err_set(&e, ERR_PROTOCOL, "it changed while it was read");
	else if (frame_parse(&v->reply, buf_str(reply), reply->len, &e) == 0)
		return 0;
damaged:
	snprintf(v->error, sizeof(v->error), "the child's reply is damaged: %.200s", e.text);
	return -1;
}

/* Bytes of text in the place file, which has a fixed size and is filled with NULs. */
static size_t place_read(const struct slot *s, char text[PLACE_MAX])
{
	ssize_t got = pread(s->place, text, PLACE_MAX, 0);

	return got > 0 ? strnlen(text, (size_t)got) : 0;
}

/* Gives out the verdict; the slot is DEAD after (its pidfd is still watched) or FREE when already
 * reaped. */
static void conclude(struct nursery *n, struct slot *s, enum nursery_end end, int status,
                     bool reaped, const struct rusage *ru)
{
	struct nursery_verdict v = { .job = s->job, .type = s->type, .end = end, .status = status };
	struct buf reply = { .secret = true }, place = { 0 };

	v.wall_s = clock_now_s() - s->started;
	if (s->limits.stream)
		v.wall_s = s->worked_s + (s->used == s->fed ? 0 : clock_now_s() - s->works_since);
	if (reaped) {
		v.cpu_s = (double)ru->ru_utime.tv_sec + (double)ru->ru_stime.tv_sec +
		          ((double)ru->ru_utime.tv_usec + (double)ru->ru_stime.tv_usec) * 1e-6;
		v.peak_kib = ru->ru_maxrss;
	} else {
		v.cpu_s = cpu_used(s);
		v.peak_kib = peak_kib(s);
		slot_kill(s);
	}
	if (end == NURSERY_EXITED && status == CHILD_CANT && !s->began) {
		/* it never came to its job, so what it wrote is our own message */
		v.end = NURSERY_LOST;
		ssize_t k = read(s->err, v.error, sizeof(v.error) - 1);
		snprintf(v.error + (k > 0 ? k : 0), sizeof(v.error) - (size_t)(k > 0 ? k : 0), "%s",
		         k > 0 ? "" : "the child could not prepare for its job");
	}
	drain_both(n, s);
	if (end == NURSERY_EXITED && s->spoiled)
		snprintf(v.error, sizeof(v.error),
		         "the program spoiled what its process and the builder tell each other");
	/* only the program itself can have damaged it */
	if (end == NURSERY_REPLIED && reply_take(s, &reply, &v) < 0)
		v.end = NURSERY_EXITED;
	char place_text[PLACE_MAX];
	buf_add(&place, place_text, place_read(s, place_text));
	v.place = buf_str(&place);
	v.log_bytes = s->log_bytes;
	v.log_dropped = s->log_bytes - s->log_kept;
	/* the slot is settled before the owner hears of it: it may submit from the callback */
	if (reaped) {
		slot_close_fds(s);
		slot_clear(s);
	} else {
		slot_bury(s);
	}
	n->ops.done(n->ops.ctx, &v);
	buf_release(&reply);
	buf_release(&place);
}

/* True when the child is gone and collected. */
static bool reap(struct slot *s, int *status, struct rusage *ru)
{
	int w;
	pid_t p = wait4(s->pid, &w, WNOHANG, ru);

	if (p == 0 || (p < 0 && errno == EINTR))
		return false;
	*status = p > 0 ? w : 0;
	return true;
}

static void give(struct nursery *n, struct waiting *w)
{
	struct err e = { 0 };

	for (int tries = 0; tries < 3; tries++) {
		struct slot *s = NULL;
		for (int i = 0; i < n->n_slots && !s; i++)
			if (n->slot[i].state == SLOT_SPARE)
				s = &n->slot[i];
		if (!s)
			s = slot_fork(n, &e);
		if (!s)
			break;
		bool told = put(s->request, w->bytes.data, w->bytes.len, 0) == 0;
		s->job = w->job;
		s->type = w->type;
		s->limits = w->limits;
		s->started = s->works_since = clock_now_s();
		s->deadline = s->started + w->limits.wall_s;
		s->next_cpu_check = s->started + w->limits.cpu_s;
		s->feed.secret = true;
		s->fed = 1;
		if (w->limits.stream)
			nonblocking(s->wake);
		if (told && write(s->wake, w->limits.stream ? "s" : "g", 1) == 1) {
			s->state = SLOT_RUNNING;
			return;
		}
		/* a spare that died while it waited: take another */
		err_errno(&e, ERR_LOST, "a waiting child is gone");
		slot_bury(s);
	}
	struct nursery_verdict v = {
		.job = w->job, .type = w->type, .end = NURSERY_LOST, .place = ""
	};
	snprintf(v.error, sizeof(v.error), "%.200s", e.text);
	n->ops.done(n->ops.ctx, &v);
}

static void waiting_free(struct waiting *w)
{
	buf_release(&w->bytes);
	free(w);
}

static void dispatch(struct nursery *n)
{
	/* the end of a job that has begun does not wait for a program that may run long */
	while (n->first && running(n) < n->jobs_max + (n->first->limits.first ? n->jobs_max : 0)) {
		struct waiting *w = n->first;
		n->first = w->next;
		if (!n->first)
			n->last = &n->first;
		n->n_waiting--;
		give(n, w);
		waiting_free(w);
	}
	if (n->at_work)
		atomic_store(n->at_work, running(n) > n->under_way ? running(n) : n->under_way);
}

/* The descriptors that children take, asked for before the first of them fails for want of one. */
static int descriptors_reserve(int spares, int jobs_max, int streams, struct err *e)
{
	struct rlimit have;
	rlim_t open_now = 0;
	/* eight for each child that lives, one for each that is dead, and, while one is forked, the
	 * child's ends of four pipes and its own copies of what it gets */
	rlim_t need =
		(rlim_t)(8 * (spares + jobs_max) + jobs_max + 9 * streams + 4 + CHILD_FDS_END);

	if (getrlimit(RLIMIT_NOFILE, &have) < 0)
		return err_errno(e, ERR_LACKS, "the limit on open files");
	for (int fd = 0; fd < 1024; fd++)
		open_now += fcntl(fd, F_GETFD) >= 0;
	need += open_now;
	if (have.rlim_cur >= need)
		return 0;
	struct rlimit more = { .rlim_cur = have.rlim_max, .rlim_max = have.rlim_max };
	if (have.rlim_max >= need && setrlimit(RLIMIT_NOFILE, &more) == 0)
		return 0;
	return err_set(e, ERR_LACKS,
	               "%d jobs at once need %ju open files, the limit is %ju; raise it (ulimit -n "
	               "%ju) or run fewer jobs at once",
	               jobs_max, (uintmax_t)need, (uintmax_t)have.rlim_max, (uintmax_t)need);
}

static int cores(void)
{
	cpu_set_t may;

	return sched_getaffinity(0, sizeof(may), &may) == 0 ? CPU_COUNT(&may) : 1;
}

struct nursery *nursery_open(const struct nursery_ops *ops, const struct sandbox *jail, int spares,
                             int jobs_max, struct err *e)
{
	struct nursery *n = calloc(1, sizeof(*n));

	if (!n) {
		err_set(e, ERR_MEM, "out of memory");
		return NULL;
	}
	n->ops = *ops;
	n->jail = jail;
	n->spares = spares;
	n->jobs_max = jobs_max;
	n->last = &n->first;
	n->chunk.secret = true;
	n->cores = cores();
	void *page = mmap(NULL, sizeof(*n->at_work), PROT_READ | PROT_WRITE,
	                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	n->at_work = page == MAP_FAILED ? NULL : page;
	/* as many dead as living may wait to be collected */
	n->n_slots = 2 * (spares + jobs_max + ops->streams) + 4;
	n->slot = calloc((size_t)n->n_slots, sizeof(*n->slot));
	n->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (!n->slot || n->null_fd < 0) {
		err_errno(e, ERR_MEM, "a nursery of %d", n->n_slots);
		nursery_close(n);
		return NULL;
	}
	for (int i = 0; i < n->n_slots; i++)
		slot_clear(&n->slot[i]);
	if (descriptors_reserve(spares, jobs_max, ops->streams, e) < 0) {
		nursery_close(n);
		return NULL;
	}
	for (int i = 0; i < spares; i++)
		if (!slot_fork(n, e)) {
			nursery_close(n);
			return NULL;
		}
	return n;
}

void nursery_close(struct nursery *n)
{
	if (!n)
		return;
	for (int i = 0; n->slot && i < n->n_slots; i++) {
		struct slot *s = &n->slot[i];
		if (s->state == SLOT_FREE)
			continue;
		slot_kill(s);
		while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
			;
		slot_close_fds(s);
	}
	while (n->first) {
		struct waiting *w = n->first;
		n->first = w->next;
		waiting_free(w);
	}
	if (n->null_fd >= 0)
		close(n->null_fd);
	if (n->at_work)
		munmap((void *)(uintptr_t)n->at_work, sizeof(*n->at_work));
	buf_release(&n->chunk);
	free(n->slot);
	free(n);
}

void nursery_refresh(struct nursery *n)
{
	for (int i = 0; i < n->n_slots; i++) {
		struct slot *s = &n->slot[i];
		if (s->state != SLOT_SPARE)
			continue;
		slot_bury(s);
	}
}

int nursery_submit(struct nursery *n, const struct frame *request, const struct nursery_limits *l,
                   struct err *e)
{
	struct waiting *w = calloc(1, sizeof(*w));

	if (!w)
		return err_set(e, ERR_MEM, "out of memory for a job");
	w->bytes.secret = true;
	frame_append(&w->bytes, request->type, request->job, request->json, request->json_len,
	             request->blob, request->blob_len);
	if (buf_failed(&w->bytes)) {
		waiting_free(w);
		return err_set(e, ERR_MEM, "out of memory for a job of %u bytes",
		               request->blob_len);
	}
	w->job = request->job;
	w->type = request->type;
	w->limits = *l;
	n->under_way = l->under_way;
	if (l->stream) {
		if (live(n, true) >= n->ops.streams) {
			waiting_free(w);
			return err_set(e, ERR_LACKS,
			               "%d programs are watched already, no more at once",
			               n->ops.streams);
		}
		give(n, w);
		waiting_free(w);
		return 0;
	}
	if (l->first) {
		w->next = n->first;
		if (!n->first)
			n->last = &w->next;
		n->first = w;
	} else {
		*n->last = w;
		n->last = &w->next;
	}
	n->n_waiting++;
	dispatch(n);
	return 0;
}

void nursery_cancel(struct nursery *n, uint32_t job)
{
	for (struct waiting **p = &n->first; *p; p = &(*p)->next) {
		struct waiting *w = *p;
		if (w->job != job)
			continue;
		struct nursery_verdict v = {
			.job = job, .type = w->type, .end = NURSERY_CANCELLED, .place = ""
		};
		*p = w->next;
		if (n->last == &w->next)
			n->last = p;
		n->n_waiting--;
		waiting_free(w);
		n->ops.done(n->ops.ctx, &v);
		return;
	}
	struct slot *s = slot_of(n, job);
	if (s)
		conclude(n, s, NURSERY_CANCELLED, 0, false, NULL);
}

/* What fits into the pipe; the rest when it is emptied. A child that has closed its end wants no
 * more. */
static void feed_flush(struct slot *s)
{
	struct err e = { 0 };

	if (s->feed.len && s->wake >= 0 && frame_flush(&s->feed, s->wake, &e) < 0) {
		close_fd(&s->wake);
		buf_release(&s->feed);
	}
}

void nursery_feed(struct nursery *n, const struct frame *f, bool asks, bool last)
{
	struct slot *s = slot_of(n, f->job);

	if (!s || !s->limits.stream || s->state != SLOT_RUNNING || s->last)
		return;
	if (s->used == s->fed) {
		s->works_since = clock_now_s();
		s->deadline = s->works_since + s->limits.wall_s - s->worked_s;
	}
	s->fed++;
	s->asked = s->asked || asks;
	s->last = last;
	if (s->wake < 0)
		return;
	frame_append(&s->feed, f->type, 0, f->json, f->json_len, f->blob, f->blob_len);
	feed_flush(s);
}

/* Forking holds up the children that run (the pages are shared, the processors few): 6 ms of a
 * build's 40 with two processors. So spares are made up for when nothing runs; a job that finds
 * none has its child forked for it. */
static bool spare_is_due(const struct nursery *n)
{
	return count(n, SLOT_SPARE, SLOT_SPARE) < n->spares && running(n) == 0;
}

void nursery_hold_logs(struct nursery *n, bool hold)
{
	n->hold = hold;
}

/* Its reply is whole and stays where it is until it may be taken. */
static bool is_kept(const struct nursery *n, const struct slot *s)
{
	return n->hold && s->state == SLOT_RUNNING && s->done && !s->spoiled;
}

static void notice_take(struct nursery *n, struct slot *s)
{
	struct nursery_verdict v = { 0 };
	struct buf bytes = { .secret = true };

	if (reply_take(s, &bytes, &v) < 0) {
		s->spoiled = true;
		buf_release(&bytes);
		return;
	}
	s->told = false;
	s->take_at = clock_now_s() + NOTICE_EVERY_S;
	if (v.reply.blob_len > 0)
		s->asked = false;
	frame_append(&s->feed, FEED_TAKEN, 0, NULL, 0, NULL, 0);
	feed_flush(s);
	if (n->ops.notice) {
		v.reply.job = s->job;
		n->ops.notice(n->ops.ctx, s->job, &v.reply);
	}
	buf_release(&bytes);
}

int nursery_poll_fds(struct nursery *n, struct pollfd *out, int cap)
{
	int k = 0;

	for (int i = 0; i < n->n_slots; i++) {
		const struct slot *s = &n->slot[i];
		/* before it began, what stands in its streams is for conclude() alone */
		bool heard = is_live(s) && s->began && !n->hold;
		int fds[4] = { s->pidfd, is_live(s) ? s->status : -1, heard ? s->out : -1,
			       heard ? s->err : -1 };
		if (s->state == SLOT_FREE || is_kept(n, s))
			continue;
		if (s->feed.len && s->wake >= 0 && k < cap)
			out[k++] = (struct pollfd){ .fd = s->wake, .events = POLLOUT };
		for (int j = 0; j < 4; j++)
			if (fds[j] >= 0 && k < cap)
				out[k++] = (struct pollfd){ .fd = fds[j], .events = POLLIN };
	}
	return k;
}

int nursery_timeout_ms(struct nursery *n)
{
	double t = INFINITY, now = clock_now_s();

	for (int i = 0; i < n->n_slots; i++) {
		const struct slot *s = &n->slot[i];
		if (is_kept(n, s))
			continue;
		if (s->state == SLOT_RUNNING) {
			t = fmin(t, s->deadline);
			t = fmin(t, s->next_cpu_check);
			if (s->told && !n->hold)
				t = fmin(t, s->take_at);
		} else if (s->state == SLOT_ENDING) {
			t = fmin(t, fmin(s->kill_at, s->look_at));
		}
	}
	/* a spare is missing: come back at once, but after the reply that made it so has gone out
	 */
	if (spare_is_due(n))
		t = fmin(t, fmax(now, n->fork_after));
	if (isinf(t))
		return -1;
	double ms = ceil((t - now) * 1000);
	return ms <= 0 ? 0 : ms > 60000 ? 60000 : (int)ms;
}

static void begin_ending(struct slot *s, enum nursery_end why, double now)
{
	s->state = SLOT_ENDING;
	s->ending = why;
	s->kill_at = now + LAST_WORDS_S;
	s->look_at = now + LAST_WORDS_LOOK_S;
	s->place_seen = 0;
	kill(s->pid, SIGUSR2);
}

static void frame_used(struct slot *s)
{
	if (++s->used != s->fed)
		return;
	s->worked_s += clock_now_s() - s->works_since;
	/* after the last one nothing is waited for but the reply */
	if (!s->last)
		s->deadline = INFINITY;
}

/* Reads the status pipe once: "b" when the child has its job, "d" when its reply is whole; of a
 * stream also "n" when it has a notice and "i" for each frame it has used; and never anything else.
 * One read and no more: a program that keeps the pipe full must not keep us here, and it has
 * spoiled its job with the first byte too many. */
static void listen_to(struct slot *s)
{
	char said[64];
	ssize_t got = s->status >= 0 ? read(s->status, said, sizeof(said)) : -1;

	if (got == 0)
		close_fd(&s->status); /* it would be readable for ever */
	for (ssize_t i = 0; i < got; i++) {
		if (said[i] == 'b' && !s->began)
			s->began = true;
		else if (said[i] == 'd' && s->began && !s->done && !s->told)
			s->done = true;
		else if (said[i] == 'n' && s->began && !s->done && !s->told && s->limits.stream)
			s->told = true;
		else if (said[i] == 'i' && s->began && s->used != s->fed && s->limits.stream)
			frame_used(s);
		else
			s->spoiled = true;
	}
}

static void slot_step(struct nursery *n, struct slot *s)
{
	struct rusage ru;
	int status;
	double now;

	if (s->state == SLOT_RUNNING) {
		if (!s->done)
			listen_to(s);
		if (is_kept(n, s))
			return;
		if (s->told && !s->spoiled && !n->hold && clock_now_s() >= s->take_at)
			notice_take(n, s);
		feed_flush(s);
		if (s->done || s->spoiled) {
			conclude(n, s, s->spoiled ? NURSERY_EXITED : NURSERY_REPLIED, 0, false,
			         NULL);
			return;
		}
	}
	if (reap(s, &status, &ru)) {
		/* what it said between the look above and its end */
		if (s->state == SLOT_RUNNING)
			listen_to(s);
		if (s->state == SLOT_ENDING)
			conclude(n, s, s->ending, 0, true, &ru);
		else if (s->done && !s->spoiled)
			conclude(n, s, NURSERY_REPLIED, 0, true, &ru);
		else if (WIFSIGNALED(status))
			conclude(n, s, NURSERY_SIGNALLED, WTERMSIG(status), true, &ru);
		else
			conclude(n, s, NURSERY_EXITED, WEXITSTATUS(status), true, &ru);
		return;
	}
	if (s->began && !n->hold)
		drain_both(n, s);
	now = clock_now_s();
	if (s->state == SLOT_RUNNING) {
		if (s->log_bytes > s->limits.log_max_bytes) {
			begin_ending(s, NURSERY_OUTPUT, now);
		} else if (now >= s->deadline) {
			begin_ending(s, NURSERY_WALL, now);
		} else if (now >= s->next_cpu_check) {
			/* one thread: it can't reach its limit sooner than what is left of it */
			double left = s->limits.cpu_s - cpu_used(s);
			if (left <= 0.0005)
				begin_ending(s, NURSERY_CPU, now);
			else
				s->next_cpu_check = now + left;
		}
		return;
	}
	if (now < s->look_at)
		return;
	char text[PLACE_MAX];
	size_t len = place_read(s, text);
	bool said = len > 0 && len == s->place_seen;
	s->place_seen = len;
	s->look_at = now + LAST_WORDS_LOOK_S;
	if (said || now >= s->kill_at)
		conclude(n, s, s->ending, 0, false, NULL);
}

void nursery_step(struct nursery *n)
{
	struct rusage ru;
	struct err e = { 0 };
	int status;

	for (int i = 0; i < n->n_slots; i++) {
		struct slot *s = &n->slot[i];
		if (s->state == SLOT_RUNNING || s->state == SLOT_ENDING) {
			slot_step(n, s);
		} else if ((s->state == SLOT_DEAD || s->state == SLOT_SPARE) &&
		           reap(s, &status, &ru)) {
			slot_close_fds(s);
			slot_clear(s);
		}
	}
	dispatch(n);
	while (spare_is_due(n) && clock_now_s() >= n->fork_after)
		if (!slot_fork(n, &e))
			n->fork_after = clock_now_s() + FORK_AGAIN_S;
}

int nursery_busy(const struct nursery *n)
{
	return running(n) + live(n, true) + n->n_waiting;
}
