/*
 * bench_ui.c - the workbench as a person feels it: over a pseudo-terminal, with ten thousand
 * episodes in the database, while an answer streams in and programs are built beside it.
 *
 * The stream is said by this process in the place of a host (src/host_post.h), token by token with
 * its probabilities and alternatives, so that all of the way from the socket to the terminal is
 * measured, and nothing of a model. A key counts as painted when the cell it changes has come out
 * of the pseudo-terminal: letters typed at the prompt that stand nowhere else.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "src/base/clock.h"
#include "src/bench.h"
#include "src/host.h"
#include "src/host_post.h"
#include "src/store.h"

enum { EPISODES = 10000, STARTS = 9, KEYS = 300, FAST = 500, SLOW = 50 };

#define START_LIMIT_S 20.0
#define IDLE_S        4.0
#define SLOW_S        12.0
#define FAST_S        8.0

static const char typed[] = "\xce\xa9"; /* stands in no program of the bench */

struct session {
	const struct bench *b;
	char db[200], home[100];
	pid_t pid; /* of the workbench; 0: none */
	int fd;    /* the terminal's other end */
	struct post post;
	bool open, attached;
	/* the stream */
	double rate, began_s;
	long tokens;
	char line[100];
	size_t at;
	/* what came out */
	size_t bytes;
	struct buf tail; /* the last of it */
};

/* ---- the host's part ---- */

static cJSON *hello(const struct session *s)
{
	cJSON *o = cJSON_CreateObject(), *set = cJSON_AddObjectToObject(o, "settings");

	cJSON_AddNumberToObject(o, "pid", getpid());
	cJSON_AddStringToObject(o, "version", "bench");
	cJSON_AddStringToObject(o, "db", s->db);
	cJSON_AddBoolToObject(o, "busy", true);
	cJSON_AddBoolToObject(o, "attached", s->attached);
	cJSON_AddNumberToObject(o, "episode", 1);
	cJSON_AddStringToObject(o, "task", "four_leg_chair_700n");
	cJSON_AddArrayToObject(o, "queue");
	cJSON_AddStringToObject(set, "model", "bench");
	cJSON_AddNumberToObject(set, "max_tokens", 100000);
	return o;
}

static void say(struct session *s, const char *kind, cJSON *o)
{
	const struct post_news n = { .kind = kind, .turn = 2 };

	post_say_json(&s->post, &n, o);
}

static void command(void *ctx, struct post_peer *p, const cJSON *o)
{
	struct session *s = ctx;
	const char *what = json_string_or(o, "do", "");

	if (strcmp(what, "who") == 0) {
		post_answer(&s->post, p, "hello", hello(s));
		p->closing = true;
	} else if (strcmp(what, "attach") == 0) {
		post_attach(&s->post, p);
		s->attached = true;
		post_answer(&s->post, p, "hello", hello(s));
		cJSON *b = cJSON_CreateObject();
		cJSON_AddStringToObject(b, "task", "four_leg_chair_700n");
		cJSON_AddStringToObject(b, "profile", "exact");
		cJSON_AddNumberToObject(b, "episode", 1);
		cJSON_AddNumberToObject(b, "group", 1);
		say(s, "begin", b);
		cJSON *phase = cJSON_CreateObject();
		cJSON_AddStringToObject(phase, "phase", "generate");
		say(s, "phase", phase);
	}
}

/* The next piece of an endless program: lines of about forty characters in pieces of three. */
static void token(struct session *s)
{
	static const char *const alternatives[] = { "box", " = ", "cq" };
	char piece[4];
	cJSON *o = cJSON_CreateObject(), *top = cJSON_AddArrayToObject(o, "top");

	if (!s->line[s->at]) {
		snprintf(s->line, sizeof(s->line),
		         "part_%ld = cq.Workplane(\"XY\").box(%ld, %ld, 4)\n", s->tokens,
		         s->tokens % 97, s->tokens % 89);
		s->at = 0;
	}
	size_t n = strnlen(s->line + s->at, 3);
	memcpy(piece, s->line + s->at, n);
	piece[n] = '\0';
	s->at += n;
	cJSON_AddNumberToObject(o, "i", (double)s->tokens);
	cJSON_AddNumberToObject(o, "id", (double)(s->tokens % 1000));
	cJSON_AddStringToObject(o, "text", piece);
	cJSON_AddNumberToObject(o, "p", 0.9);
	cJSON_AddNumberToObject(o, "entropy", 0.4);
	for (int i = 0; i < 3; i++) {
		cJSON *a = cJSON_CreateArray();
		cJSON_AddItemToArray(a, cJSON_CreateNumber(i));
		cJSON_AddItemToArray(a, cJSON_CreateNumber(0.3 / (i + 1)));
		cJSON_AddItemToArray(a, cJSON_CreateString(alternatives[i]));
		cJSON_AddItemToArray(top, a);
	}
	say(s, "token", o);
	s->tokens++;
}

static void stream(struct session *s, double rate)
{
	s->rate = rate;
	s->began_s = clock_now_s();
	s->tokens = 0;
}

/* ---- the terminal's part ---- */

/* Works as host and terminal for @seconds, or until @wanted has come out. True: it did. */
static bool work(struct session *s, double seconds, const char *wanted)
{
	double until = clock_now_s() + seconds;
	char bytes[65536];

	for (;;) {
		double now = clock_now_s(), wait = until - now;
		struct pollfd fds[POST_PEERS + 4];
		int n = s->open ? post_poll_fds(&s->post, fds, POST_PEERS + 2) : 0;
		if (wait <= 0 || app_interrupted())
			return false;
		if (s->rate > 0 && s->attached) {
			while (s->tokens < (long)((now - s->began_s) * s->rate))
				token(s);
			wait = fmin(wait, (double)(s->tokens + 1) / s->rate + s->began_s - now);
		}
		fds[n] = (struct pollfd){ .fd = s->fd, .events = POLLIN };
		if (poll(fds, (nfds_t)n + 1, (int)ceil(fmax(wait, 0) * 1000)) < 0 && errno != EINTR)
			return false;
		if (s->open)
			post_step(&s->post);
		ssize_t got = fds[n].revents ? read(s->fd, bytes, sizeof(bytes)) : 0;
		if (got < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		if (got <= 0)
			continue;
		s->bytes += (size_t)got;
		buf_add(&s->tail, bytes, (size_t)got);
		if (wanted && s->tail.len &&
		    memmem(s->tail.data, s->tail.len, wanted, strlen(wanted)))
			return true;
		if (s->tail.len > 16384)
			buf_consume(&s->tail, s->tail.len - 4096);
	}
}

static void type(struct session *s, const char *keys)
{
	buf_clear(&s->tail);
	if (write(s->fd, keys, strlen(keys)) < 0)
		s->rate = s->rate + 0; /* seen by what does not come out */
}

static int begin(struct session *s, struct err *e)
{
	struct winsize size = { .ws_col = 80, .ws_row = 24 };
	char program[] = "/proc/self/exe", self[4096];
	ssize_t n = readlink(program, self, sizeof(self) - 1);

	if (n < 0)
		return err_errno(e, ERR_IO, "%s", program);
	self[n] = '\0';
	buf_clear(&s->tail);
	s->bytes = 0;
	s->attached = false;
	s->pid = forkpty(&s->fd, NULL, NULL, &size);
	if (s->pid == 0) {
		setenv("TERM", "xterm-256color", 1);
		setenv("LC_ALL", "C.UTF-8", 1);
		setenv("XDG_STATE_HOME", s->home, 1);
		setenv("CADFORGE_TASKS", s->b->app.tasks, 1);
		unsetenv("CADFORGE_MODEL");
		setenv("CADFORGE_DEMO", "/nonexistent", 1); /* its own requests alone count */
		unsetenv("NO_COLOR");
		execl(self, "cadforge", "workbench", "--db", s->db, (char *)NULL);
		_exit(127);
	}
	if (s->pid < 0) {
		s->pid = 0;
		return err_errno(e, ERR_IO, "a pseudo-terminal");
	}
	fcntl(s->fd, F_SETFL, O_NONBLOCK);
	return 0;
}

static void end(struct session *s)
{
	if (s->pid <= 0)
		return;
	kill(s->pid, SIGTERM);
	/* what it says at its end must be read, or it waits for ever */
	for (int i = 0; i < 100 && waitpid(s->pid, NULL, WNOHANG) == 0; i++)
		work(s, 0.02, NULL);
	kill(s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
	close(s->fd);
	s->pid = 0;
}

/* ---- what a process used ---- */

static double cpu_s(pid_t pid)
{
	char path[64];
	struct buf text = { 0 };
	unsigned long user, system;
	double s = NAN;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	FILE *f = fopen(path, "r");
	if (f) {
		char line[1024];
		size_t n = fread(line, 1, sizeof(line) - 1, f);
		line[n] = '\0';
		const char *after = strrchr(line, ')');
		if (after && sscanf(after, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
		                    &user, &system) == 2)
			s = (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
		fclose(f);
	}
	buf_release(&text);
	return s;
}

static double peak_mib(pid_t pid)
{
	char path[64], line[256];
	double mib = NAN;
	long kib;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	FILE *f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "VmHWM: %ld kB", &kib) == 1)
			mib = (double)kib / 1024;
	if (f)
		fclose(f);
	return mib;
}

/* ---- the figures ---- */

static void starts(struct session *s, struct err *e)
{
	double ms[STARTS];

	bench_say(s->b, "opening the workbench");
	for (int i = 0; i < STARTS && e->kind == ERR_NONE; i++) {
		double began = clock_now_s();
		if (begin(s, e) < 0)
			return;
		/* the last row that is drawn */
		if (!work(s, START_LIMIT_S, "help"))
			err_set(e, ERR_LOST, "the workbench did not come up: %.200s",
			        buf_str(&s->tail));
		ms[i] = (clock_now_s() - began) * 1000;
		end(s);
	}
	if (e->kind == ERR_NONE)
		bench_figure(s->b, "ui.start", bench_median(ms, STARTS), "ms", 60, NAN, NAN,
		             "10000");
}

static void idle(struct session *s)
{
	work(s, 2, NULL);
	double cpu = cpu_s(s->pid);
	s->bytes = 0;
	work(s, IDLE_S, NULL);
	bench_figure(s->b, "ui.idle_bytes", (double)s->bytes, "B", 0, NAN, NAN, NULL);
	bench_figure(s->b, "ui.idle_cpu", (cpu_s(s->pid) - cpu) / IDLE_S * 100, "%", 0.5, NAN, NAN,
	             NULL);
}

/* Two programs built over and over beside it. */
static pid_t builds(const struct session *s)
{
	char self[4096], line[20000];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n < 0)
		return -1;
	self[n] = '\0';
	snprintf(line, sizeof(line),
	         "while :; do '%s' build --quiet '%s/examples/chair.py' & "
	         "'%s' build --quiet '%s/examples/chair.py'; wait; done",
	         self, s->b->app.tasks, self, s->b->app.tasks);
	pid_t pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);
		dup2(null, 0);
		dup2(null, 1);
		dup2(null, 2);
		setpgid(0, 0);
		setpriority(PRIO_PROCESS, 0, HOST_NICE); /* as a host's builds are */
		execl("/bin/sh", "sh", "-c", line, (char *)NULL);
		_exit(127);
	}
	if (pid > 0)
		setpgid(pid, pid);
	return pid;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void keys(struct session *s, struct err *e)
{
	double ms[KEYS];

	stream(s, FAST);
	pid_t load = builds(s);
	work(s, 3, NULL);
	type(s, ":");
	work(s, 0.3, NULL);
	for (int i = 0; i < KEYS && e->kind == ERR_NONE; i++) {
		/* at no fixed time within a frame */
		work(s, 0.01 + (double)(i % 17) * 0.005, NULL);
		if (i % 20 == 19) {
			type(s, "\x15"); /* ^U: the line is empty again */
			work(s, 0.1, NULL);
		}
		double began = clock_now_s();
		type(s, typed);
		if (!work(s, 5, typed))
			err_set(e, ERR_LOST, "key %d was not painted within 5 s", i);
		ms[i] = (clock_now_s() - began) * 1000;
	}
	type(s, "\033");
	work(s, 0.3, NULL);
	if (load > 0) {
		kill(-load, SIGKILL);
		waitpid(load, NULL, 0);
	}
	if (e->kind != ERR_NONE)
		return;
	qsort(ms, KEYS, sizeof(*ms), by_size);
	bench_figure(s->b, "ui.key_median", ms[KEYS / 2], "ms", NAN, NAN, NAN, "500/s, 2 builds");
	bench_figure(s->b, "ui.key_p99", ms[KEYS * 99 / 100], "ms", 16, NAN, NAN,
	             "500/s, 2 builds");
}

static void streaming(struct session *s)
{
	stream(s, SLOW);
	work(s, 2, NULL);
	long before = s->tokens;
	s->bytes = 0;
	work(s, SLOW_S, NULL);
	bench_figure(s->b, "ui.bytes_per_token", (double)s->bytes / (double)(s->tokens - before),
	             "B", 24, NAN, NAN, "80x24, 50/s");
	stream(s, FAST);
	work(s, 1, NULL);
	double cpu = cpu_s(s->pid);
	work(s, FAST_S, NULL);
	bench_figure(s->b, "ui.stream_cpu", (cpu_s(s->pid) - cpu) / FAST_S * 100, "%", 10, NAN, NAN,
	             "500/s");
}

int bench_ui(struct bench *b, struct err *e)
{
	struct session s = { .b = b, .fd = -1 };
	struct store *st;

	snprintf(s.db, sizeof(s.db), "%s/ui.db", b->dir);
	snprintf(s.home, sizeof(s.home), "%s", b->dir);
	bench_say(b, "filling the database");
	st = store_open(s.db, STORE_WRITE, NULL, e);
	if (st)
		bench_store_fill(b, st, EPISODES, e);
	store_close(st);
	if (e->kind == ERR_NONE)
		starts(&s, e);
	if (e->kind == ERR_NONE && begin(&s, e) == 0) {
		work(&s, START_LIMIT_S, "help");
		idle(&s);
		end(&s);
	}
	s.post.ctx = &s;
	s.post.command = command;
	s.open = e->kind == ERR_NONE && post_open(&s.post, s.db, -1, e) == 0;
	if (s.open && begin(&s, e) == 0) {
		work(&s, START_LIMIT_S, "help");
		for (int i = 0; i < 100 && !s.attached; i++)
			work(&s, 0.05, NULL);
		type(&s, "2");
		work(&s, 0.5, NULL);
		if (!s.attached)
			err_set(e, ERR_LOST, "the workbench did not attach to the bench");
		else {
			streaming(&s);
			keys(&s, e);
			bench_figure(b, "ui.memory", peak_mib(s.pid), "MiB", 40, NAN, NAN, "10000");
		}
		end(&s);
	}
	if (s.open)
		post_close(&s.post);
	buf_release(&s.tail);
	return e->kind ? -1 : bench_go_on(e);
}
