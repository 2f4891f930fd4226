#include "src/host.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/clock.h"
#include "src/base/frame.h"
#include "src/base/json.h"
#include "src/base/sha256.h"
#include "src/store.h"

enum { PREFIX_HEX = 16, ANSWER_MS = 500 };

struct host {
	struct host_ops ops;
	int fd, pid;
	bool lost;
	const char *why; /* it said that the line is going to end, and why */
	struct frame_reader in;
	struct buf out;
};

/* ---- the folder of the sockets ---- */

/* Where it may be; NULL past the last. */
static const char *place(int n, char *out, size_t size)
{
	const char *run = getenv("XDG_RUNTIME_DIR");

	if (n == 0 && run && *run == '/') {
		snprintf(out, size, "%s/cadforge", run);
		return out;
	}
	if (n == (run && *run == '/' ? 1 : 0)) {
		snprintf(out, size, "/tmp/cadforge-%u", (unsigned)getuid());
		return out;
	}
	return NULL;
}

int host_folder(int n, bool make, struct err *e)
{
	char path[PATH_MAX];
	struct stat st;

	if (!place(n, path, sizeof(path)))
		return err_set(e, ERR_LACKS, "no folder for the sockets of cadforge's hosts");
	if (make && mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_errno(e, ERR_IO, "%s: the folder of the hosts' sockets", path);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_errno(e, ERR_IO, "%s: the folder of the hosts' sockets", path);
	if (fstat(fd, &st) < 0) {
		err_errno(e, ERR_IO, "%s", path);
	} else if (st.st_uid != getuid()) {
		err_set(e, ERR_IO,
		        "%s belongs to another user (%u): it is not used; remove it, or set "
		        "XDG_RUNTIME_DIR to a folder of yours",
		        path, (unsigned)st.st_uid);
	} else if (st.st_mode & 077) {
		err_set(e, ERR_IO, "%s is open to others (mode %04o): it is not used; chmod 700 %s",
		        path, (unsigned)st.st_mode & 07777, path);
	} else {
		return fd;
	}
	close(fd);
	return -1;
}

/* The file by its real folder: two names of one database are one database. It need not be there. */
static void real_name(char *out, size_t size, const char *db)
{
	char dir[PATH_MAX], whole[PATH_MAX];
	const char *slash = strrchr(db, '/');

	if (realpath(db, whole)) {
		snprintf(out, size, "%s", whole);
		return;
	}
	snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - db + 1) : 1, slash ? db : ".");
	if (realpath(dir, whole))
		snprintf(out, size, "%s/%s", whole, slash ? slash + 1 : db);
	else
		snprintf(out, size, "%s", db);
}

void host_prefix(char *out, size_t size, const char *db)
{
	char name[2 * PATH_MAX], hex[SHA256_HEX];

	real_name(name, sizeof(name), db);
	sha256_hex(name, strlen(name), hex);
	snprintf(out, size, "%.*s-", PREFIX_HEX, hex);
}

bool host_peer_is_us(int fd)
{
	struct ucred c;
	socklen_t len = sizeof(c);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &len) == 0 && c.uid == getuid();
}

/* ---- a line ---- */

static struct host *line(int fd, int pid, const struct host_ops *ops, struct err *e)
{
	struct host *h = calloc(1, sizeof(*h));

	if (!h) {
		err_set(e, ERR_MEM, "out of memory");
		return NULL;
	}
	if (ops)
		h->ops = *ops;
	h->fd = fd;
	h->pid = pid;
	h->in.json_max = HOST_JSON_MAX;
	h->in.blob_max = HOST_BYTES_MAX;
	return h;
}

static int lose(struct host *h, const char *why, struct err *e)
{
	if (!h->lost) {
		h->lost = true;
		close(h->fd);
		h->fd = -1;
		if (h->ops.lost)
			h->ops.lost(h->ops.ctx, why);
	}
	return err_set(e, ERR_LOST, "%s", why);
}

int host_send(struct host *h, cJSON *command, struct err *e)
{
	struct buf text = { 0 };
	struct err why;

	json_print(&text, command);
	cJSON_Delete(command);
	bool failed = buf_failed(&text);
	if (!failed && !h->lost)
		frame_append(&h->out, HOST_FRAME, 0, buf_str(&text), text.len, NULL, 0);
	buf_release(&text);
	if (failed)
		return err_set(e, ERR_MEM, "out of memory");
	if (h->lost)
		return err_set(e, ERR_LOST, "the host is gone");
	if (frame_flush(&h->out, h->fd, &why) < 0)
		return lose(h, "the host is gone; what was stored stays", e);
	return 0;
}

static void tell(struct host *h, const struct frame *f)
{
	cJSON *o = json_parse(f->json, f->json_len, NULL);
	const cJSON *data = cJSON_GetObjectItemCaseSensitive(o, "data");
	struct live_news n = {
		.time_us = (int64_t)json_number_or(o, "time", 0),
		.kind = json_string_or(o, "kind", NULL),
		.turn = (int)json_number_or(o, "turn", 0),
		.member = (int)json_number_or(o, "member", 0),
		.data = data,
		.bytes = f->blob_len ? f->blob : NULL,
		.len = f->blob_len,
	};

	if (n.kind && strcmp(n.kind, "hello") == 0)
		h->pid = (int)json_number_or(data, "pid", h->pid);
	if (n.kind && h->ops.news)
		h->ops.news(h->ops.ctx, &n);
	cJSON_Delete(o);
}

static const char *last_word(const struct frame *f)
{
	static const struct {
		const char *kind, *why;
	} words[] = {
		{ "taken", "another workbench took over" },
		{ "released", "let go by 'cadforge detach': the work goes on" },
		{ "bye", "the host has ended" },
	};
	cJSON *o = json_parse(f->json, f->json_len, NULL);
	const char *kind = json_string_or(o, "kind", ""), *why = NULL;

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (strcmp(kind, words[i].kind) == 0)
			why = words[i].why;
	cJSON_Delete(o);
	return why;
}

int host_step(struct host *h, struct err *e)
{
	/* what one call takes at most: the screen wants its turn too */
	enum { FRAMES = 4096 };
	struct err wrong = { 0 };
	struct frame f;
	int rc = 0, taken = 0;

	if (h->lost)
		return err_set(e, ERR_LOST, "the host is gone");
	if (h->out.len && frame_flush(&h->out, h->fd, &wrong) < 0)
		return lose(h, "the host is gone; what was stored stays", e);
	for (;;) {
		while (taken < FRAMES && (rc = frame_next(&h->in, &f, &wrong)) > 0) {
			taken++;
			if (f.type != HOST_FRAME)
				continue;
			if (f.json_len < 4096 && !h->why)
				h->why = last_word(&f);
			tell(h, &f);
			if (h->lost)
				return err_set(e, ERR_LOST, "the host is gone");
		}
		if (rc < 0)
			return lose(h, "the host spoke nonsense", e);
		if (taken >= FRAMES)
			return 0;
		ssize_t n = frame_fill(&h->in, h->fd, &wrong);
		if (n == -2)
			return 0;
		if (n <= 0)
			return lose(h, h->why ? h->why : "the host died; what was stored stays", e);
	}
}

int host_fd(const struct host *h)
{
	return h->fd;
}

bool host_wants_write(const struct host *h)
{
	return h->out.len > 0;
}

int host_pid(const struct host *h)
{
	return h->pid;
}

void host_close(struct host *h)
{
	if (!h)
		return;
	if (h->fd >= 0)
		close(h->fd);
	frame_reader_release(&h->in);
	buf_release(&h->out);
	free(h);
}

static cJSON *deed(const char *what)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "do", what);
	return o;
}

/* ---- starting one ---- */

struct argument {
	char text[8][64];
	const char *argv[24];
	int n;
};

static void number_flag(struct argument *a, int *used, const char *flag, double v)
{
	snprintf(a->text[*used], sizeof(a->text[0]), "%.17g", v);
	a->argv[a->n++] = flag;
	a->argv[a->n++] = a->text[(*used)++];
}

static void arguments(struct argument *a, const struct app *app, const char *db, int fd)
{
	int used = 0;

	a->n = 0;
	a->argv[a->n++] = "cadforge";
	a->argv[a->n++] = "host";
	a->argv[a->n++] = "--db";
	a->argv[a->n++] = db;
	number_flag(a, &used, "--fd", fd);
	number_flag(a, &used, "--wall", app->limits.wall_s);
	number_flag(a, &used, "--cpu", app->limits.cpu_s);
	number_flag(a, &used, "--memory", app->limits.memory_mib);
	number_flag(a, &used, "--output", app->limits.output_kib);
	if (app->python_env_flag) {
		a->argv[a->n++] = "--python-env";
		a->argv[a->n++] = app->python_env_flag;
	}
	if (app->no_filter)
		a->argv[a->n++] = "--no-filter";
	if (app->queue) {
		a->argv[a->n++] = "--queue";
		a->argv[a->n++] = app->queue;
	}
	a->argv[a->n] = NULL;
}

/* In the process that becomes the host: no terminal, no signal of the terminal's, no descriptor but
 * the line. */
static void become_host(const char *program, const struct argument *a, int fd, int report)
{
	static const int reset[] = { SIGPIPE, SIGINT,  SIGTERM, SIGQUIT, SIGHUP,
		                     SIGCHLD, SIGTSTP, SIGCONT, SIGWINCH };
	sigset_t none;

	for (size_t i = 0; i < sizeof(reset) / sizeof(*reset); i++)
		signal(reset[i], SIG_DFL);
	signal(SIGHUP, SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	int null_fd = open("/dev/null", O_RDWR);
	for (int i = 0; i < 3; i++)
		dup2(null_fd, i);
	unsigned low = (unsigned)(fd < report ? fd : report);
	unsigned high = (unsigned)(fd < report ? report : fd);
	if (low > 3)
		syscall(SYS_close_range, 3u, low - 1, 0);
	if (high > low + 1)
		syscall(SYS_close_range, low + 1, high - 1, 0);
	syscall(SYS_close_range, high + 1, ~0u, 0);
	fcntl(fd, F_SETFD, 0);
	execv(program, (char *const *)(void *)a->argv);
	int32_t failed = -errno;
	if (write(report, &failed, sizeof(failed)) < 0)
		_exit(126);
	_exit(127);
}

/* Twice forked, so that nobody has to wait for it and no shell's job is it. Its process number, or
 * -1. */
static int launch(const char *program, const struct argument *a, int fd, struct err *e)
{
	int report[2], pid = 0, failed = 0;
	int32_t said;

	if (pipe2(report, O_CLOEXEC) < 0)
		return err_errno(e, ERR_IO, "pipe");
	fflush(NULL);
	pid_t middle = fork();
	if (middle == 0) {
		setsid();
		/* it computes; the screen that somebody types at goes first */
		setpriority(PRIO_PROCESS, 0, HOST_NICE);
		pid_t host = fork();
		if (host == 0)
			become_host(program, a, fd, report[1]);
		said = host < 0 ? -errno : (int32_t)host;
		_exit(write(report[1], &said, sizeof(said)) == (ssize_t)sizeof(said) ? 0 : 1);
	}
	close(report[1]);
	if (middle < 0) {
		close(report[0]);
		return err_errno(e, ERR_IO, "fork");
	}
	for (;;) {
		ssize_t n = read(report[0], &said, sizeof(said));
		if (n < 0 && errno == EINTR)
			continue;
		if (n != (ssize_t)sizeof(said))
			break;
		if (said > 0)
			pid = said;
		else
			failed = -said;
	}
	close(report[0]);
	while (waitpid(middle, NULL, 0) < 0 && errno == EINTR)
		;
	if (failed || pid <= 0) {
		errno = failed ? failed : ECHILD;
		return err_errno(e, ERR_LACKS, "%s cannot be started", program);
	}
	return pid;
}

int host_start(struct host **out, const struct app *a, const char *program, const char *db,
               const struct host_ops *ops, struct err *e)
{
	char file[2 * PATH_MAX];
	struct argument arg;
	int pair[2], pid;

	*out = NULL;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return err_errno(e, ERR_IO, "socketpair");
	real_name(file, sizeof(file), db);
	arguments(&arg, a, file, pair[1]);
	/* the link leads to what runs now, even where a newer file has taken its name */
	pid = launch(program ? program : "/proc/self/exe", &arg, pair[1], e);
	close(pair[1]);
	if (pid < 0 || !(*out = line(pair[0], pid, ops, e))) {
		close(pair[0]);
		return -1;
	}
	return 0;
}

/* ---- finding one ---- */

/* A connection to the socket of that name in the folder, or -1 (errno). By way of the folder's
 * descriptor: no path is too long, and nobody can put another folder in its place. */
static int dial(int dir, const char *name)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	snprintf(at.sun_path, sizeof(at.sun_path), "/proc/self/fd/%d/%s", dir, name);
	if (connect(fd, (const struct sockaddr *)(const void *)&at, sizeof(at)) < 0 ||
	    !host_peer_is_us(fd)) {
		int was = errno;
		close(fd);
		errno = was;
		return -1;
	}
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	return fd;
}

struct answer {
	struct host_about *about;
	bool come;
};

static void on_answer(void *ctx, const struct live_news *n)
{
	struct answer *a = ctx;

	a->come = true;
	if (!a->about || strcmp(n->kind, "hello") != 0)
		return;
	a->about->pid = (int)json_number_or(n->data, "pid", a->about->pid);
	a->about->attached = json_bool_or(n->data, "attached", false);
	a->about->busy = json_bool_or(n->data, "busy", false);
	a->about->episode = (int64_t)json_number_or(n->data, "episode", 0);
	snprintf(a->about->task, sizeof(a->about->task), "%s", json_string_or(n->data, "task", ""));
}

/* Says one thing and waits for the answer, or for the line's end. False: neither came in time. */
static bool converse(int fd, cJSON *command, struct host_about *about)
{
	struct answer a = { .about = about };
	const struct host_ops ops = { .ctx = &a, .news = on_answer };
	struct host *h = line(fd, 0, &ops, NULL);
	double until = clock_now_s() + ANSWER_MS / 1000.0;
	bool ended = false;

	if (!h) {
		cJSON_Delete(command);
		close(fd);
		return false;
	}
	ended = host_send(h, command, NULL) < 0;
	while (!ended && !a.come) {
		int ms = (int)((until - clock_now_s()) * 1000);
		struct pollfd p = { .fd = h->fd, .events = POLLIN };
		if (ms <= 0 || (poll(&p, 1, ms) < 0 && errno != EINTR))
			break;
		ended = host_step(h, NULL) < 0;
	}
	host_close(h);
	return a.come || ended;
}

/* "HASH16-PID.sock": the process number; 0: another name. */
static int pid_of(const char *name, const char *prefix)
{
	size_t n = strlen(prefix);
	char *end = NULL;

	if (strncmp(name, prefix, n) != 0 || name[n] < '1' || name[n] > '9')
		return 0;
	long pid = strtol(name + n, &end, 10);
	return strcmp(end, ".sock") == 0 && pid > 0 && pid <= INT_MAX ? (int)pid : 0;
}

static int by_attached(const void *a, const void *b)
{
	const struct host_about *x = a, *y = b;

	return x->attached != y->attached ? x->attached - y->attached
	       : x->busy != y->busy       ? y->busy - x->busy
	                                  : (x->pid > y->pid) - (x->pid < y->pid);
}

/* Those of one folder. */
static int look_in(int dir, const char *prefix, struct host_about *out, int max)
{
	int again = dup(dir), n = 0;
	DIR *d = again < 0 ? NULL : fdopendir(again);

	if (!d) {
		if (again >= 0)
			close(again);
		return 0;
	}
	rewinddir(d);
	for (const struct dirent *f; n < max && (f = readdir(d));) {
		int pid = pid_of(f->d_name, prefix), fd;
		if (!pid)
			continue;
		fd = dial(dir, f->d_name);
		if (fd < 0) {
			/* a dead one's */
			if (errno == ECONNREFUSED)
				unlinkat(dir, f->d_name, 0);
			continue;
		}
		out[n] = (struct host_about){ .pid = pid, .attached = true };
		converse(fd, deed("who"), &out[n]);
		n++;
	}
	closedir(d);
	return n;
}

int host_find(const char *db, struct host_about *out, int max)
{
	char prefix[PREFIX_HEX + 2];
	int n = 0;

	host_prefix(prefix, sizeof(prefix), db);
	for (int i = 0; i < 2; i++) {
		int dir = host_folder(i, false, NULL);
		if (dir < 0)
			continue;
		n += look_in(dir, prefix, out + n, max - n);
		close(dir);
	}
	qsort(out, (size_t)n, sizeof(*out), by_attached);
	return n;
}

/* A connection to the host of that number; 0: the first there is. */
static int reach(const char *db, int *pid, struct err *e)
{
	struct host_about about[16];
	char prefix[PREFIX_HEX + 2], name[64];
	int fd = -1, asked = *pid;

	if (asked == 0) {
		if (host_find(db, about, 16) == 0)
			return err_set(e, ERR_INPUT, "nothing works on %s now: there is no host",
			               db);
		*pid = about[0].pid;
	}
	host_prefix(prefix, sizeof(prefix), db);
	snprintf(name, sizeof(name), "%s%d.sock", prefix, *pid);
	for (int i = 0; i < 2 && fd < 0; i++) {
		int dir = host_folder(i, false, NULL);
		if (dir < 0)
			continue;
		fd = dial(dir, name);
		close(dir);
	}
	if (fd < 0)
		return err_set(e, ERR_INPUT, "no host of %s has the process number %d", db, *pid);
	return fd;
}

int host_attach(struct host **out, const char *db, int pid, const struct host_ops *ops,
                struct err *e)
{
	int fd = reach(db, &pid, e);

	*out = NULL;
	if (fd < 0)
		return -1;
	if (!(*out = line(fd, pid, ops, e))) {
		close(fd);
		return -1;
	}
	if (host_send(*out, deed("attach"), e) == 0)
		return 0;
	host_close(*out);
	*out = NULL;
	return -1;
}

int host_tell(const char *db, int pid, cJSON *command, struct err *e)
{
	int fd = reach(db, &pid, e);

	if (fd < 0) {
		cJSON_Delete(command);
		return -1;
	}
	if (converse(fd, command, NULL))
		return 0;
	return err_set(e, ERR_LOST, "the host %d does not answer", pid);
}
