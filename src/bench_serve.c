/*
 * bench_serve.c - the environment as its clients have it: steps a second of eight of them, how much
 * longer the slowest take, a thousand idle ones beside sixty-four that step, and what many steps
 * leave behind. Beside the published server, when --published names its folder: the same programs
 * from the same clients.
 *
 * The clients are threads with blocking sockets, so that what is measured is the server.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/clock.h"
#include "src/bench.h"

extern char **environ;

enum {
	CLIENTS = 8,
	IDLE = 1000,
	STEPPING = 64,
	PEER_STEPS = 16, /* a step of the published server takes seconds */
	TRIVIAL_STEPS = 2000,
	SESSION_STEPS = 10, /* then a reset: an episode has twelve */
	START_S = 60,
	MESSAGE_MAX = 64 << 20,
};
#define RATE_TIMES 25.0
#define P99_TIMES  3.0

/* ---- a client ---- */

static bool put(int fd, const void *bytes, size_t len)
{
	const char *p = bytes;

	while (len > 0) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);
		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

static bool get(int fd, void *bytes, size_t len)
{
	char *p = bytes;

	while (len > 0) {
		ssize_t n = recv(fd, p, len, 0);
		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

/* A frame with a mask of zeros: as good as any for a server. */
static bool put_frame(int fd, unsigned kind, const char *text, size_t len)
{
	unsigned char head[14] = { (unsigned char)(0x80u | kind) };
	size_t n = 2;

	if (len < 126) {
		head[1] = (unsigned char)(0x80 | len);
	} else if (len < 65536) {
		head[1] = 0x80 | 126;
		head[2] = (unsigned char)(len >> 8);
		head[3] = (unsigned char)len;
		n = 4;
	} else {
		head[1] = 0x80 | 127;
		for (int i = 0; i < 8; i++)
			head[2 + i] = (unsigned char)((uint64_t)len >> (8 * (7 - i)));
		n = 10;
	}
	return put(fd, head, n + 4) && put(fd, text, len);
}

/* The next message; pings are answered. false: the server has left. */
static bool get_message(int fd, struct buf *out)
{
	bool last = false;

	buf_clear(out);
	while (!last) {
		unsigned char head[10];
		size_t at = out->len;
		if (!get(fd, head, 2))
			return false;
		uint64_t len = head[1] & 0x7F;
		int more = len == 126 ? 2 : len == 127 ? 8 : 0;
		if (!get(fd, head + 2, (size_t)more))
			return false;
		for (int i = 0; i < more; i++)
			len = (i ? len << 8 : 0) | head[2 + i];
		if (len > MESSAGE_MAX)
			return false;
		char *text = malloc(len + 1);
		bool ok = text && get(fd, text, len);
		unsigned kind = head[0] & 0x0F;
		if (ok && kind == 9)
			ok = put_frame(fd, 10, text, len);
		else if (ok && kind < 3)
			buf_add(out, text, len);
		last = kind < 3 && (head[0] & 0x80);
		free(text);
		if (!ok || kind == 8 || buf_failed(out) || out->len < at)
			return false;
	}
	return true;
}

static int dial(int port)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
		                  .sin_port = htons((uint16_t)port),
		                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	if (fd >= 0 && connect(fd, (const struct sockaddr *)(const void *)&to, sizeof(to)) < 0) {
		close(fd);
		return -1;
	}
	if (fd >= 0)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

/* A socket at /ws; -1: it is not let in. */
static int join(int port)
{
	static const char hello[] = "GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
				    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
				    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
	char head[4096];
	size_t n = 0;
	int fd = dial(port);

	if (fd < 0 || !put(fd, hello, sizeof(hello) - 1))
		goto no;
	while (n < sizeof(head) - 1 && (n < 4 || memcmp(head + n - 4, "\r\n\r\n", 4) != 0))
		if (!get(fd, head + n++, 1))
			goto no;
	if (strncmp(head, "HTTP/1.1 101", 12) == 0)
		return fd;
no:
	if (fd >= 0)
		close(fd);
	return -1;
}

/* Asks and waits; the answer's data, to be deleted; NULL: an error, or the server has left. */
static cJSON *ask(int fd, const char *type, cJSON *data)
{
	struct buf line = { 0 };
	cJSON *o = cJSON_CreateObject(), *answer = NULL, *inside = NULL;

	cJSON_AddStringToObject(o, "type", type);
	cJSON_AddItemToObject(o, "data", data);
	json_print(&line, o);
	cJSON_Delete(o);
	if (put_frame(fd, 1, buf_str(&line), line.len) && get_message(fd, &line))
		answer = json_parse(buf_str(&line), line.len, NULL);
	if (strcmp(json_string_or(answer, "type", ""), "observation") == 0)
		inside = cJSON_DetachItemFromObject(answer, "data");
	cJSON_Delete(answer);
	buf_release(&line);
	return inside;
}

static bool reset(int fd)
{
	cJSON *o = ask(fd, "reset", cJSON_CreateObject());

	cJSON_Delete(o);
	return o != NULL;
}

/* Whether it was answered; *@built. */
static bool step(int fd, const char *code, bool *built, bool *done)
{
	cJSON *data = cJSON_CreateObject(), *o;

	cJSON_AddStringToObject(data, "code", code);
	o = ask(fd, "step", data);
	*built = json_number_or(o, "reward", -1) > -1;
	*done = json_bool_or(o, "done", false);
	cJSON_Delete(o);
	return o != NULL;
}

/* ---- many of them ---- */

struct load {
	int port, wanted;
	const char *const *program; /* of each step, in turn */
	int n_programs;
	atomic_int next, failed, joined;
	double *seconds; /* of each step; NAN: it did not come */
};

static void *client(void *arg)
{
	struct load *l = arg;
	int fd = join(l->port), since = 0, i;
	bool built, done = false;

	if (fd < 0 || !reset(fd)) {
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	atomic_fetch_add(&l->joined, 1);
	while ((i = atomic_fetch_add(&l->next, 1)) < l->wanted && !app_interrupted()) {
		if ((done || since++ == SESSION_STEPS) && !reset(fd))
			break;
		since = done ? 1 : since > SESSION_STEPS ? 1 : since;
		double start = clock_now_s();
		if (step(fd, l->program[i % l->n_programs], &built, &done))
			l->seconds[i] = clock_now_s() - start;
		else
			atomic_fetch_add(&l->failed, 1);
	}
	close(fd);
	return NULL;
}

/* Seconds for all; NAN with @e. */
static double drive(struct load *l, int clients, struct err *e)
{
	pthread_t thread[STEPPING];
	int n = 0;

	l->seconds = calloc((size_t)l->wanted, sizeof(*l->seconds));
	if (!l->seconds) {
		err_set(e, ERR_MEM, "out of memory");
		return NAN;
	}
	for (int i = 0; i < l->wanted; i++)
		l->seconds[i] = NAN;
	double start = clock_now_s();
	while (n < clients && pthread_create(&thread[n], NULL, client, l) == 0)
		n++;
	for (int i = 0; i < n; i++)
		pthread_join(thread[i], NULL);
	double taken = clock_now_s() - start;
	if (bench_go_on(e) < 0)
		return NAN;
	if (l->failed || atomic_load(&l->next) < l->wanted) {
		err_set(e, ERR_LOST, "%d of %d steps were not answered", (int)l->failed, l->wanted);
		return NAN;
	}
	return taken;
}

/* ---- servers ---- */

struct server {
	pid_t pid;
	int port;
	char said[600];
};

static void stop(struct server *s)
{
	if (s->pid <= 0)
		return;
	kill(s->pid, SIGTERM);
	for (int i = 0; i < 100 && waitpid(s->pid, NULL, WNOHANG) == 0; i++)
		usleep(50000);
	kill(s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
	s->pid = 0;
}

static int start(struct server *s, char *const argv[], const char *dir, char *const env[],
                 struct err *e)
{
	posix_spawn_file_actions_t a;

	posix_spawn_file_actions_init(&a);
	if (dir)
		posix_spawn_file_actions_addchdir_np(&a, dir);
	posix_spawn_file_actions_addopen(&a, 1, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_addopen(&a, 2, s->said, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	int rc = posix_spawn(&s->pid, argv[0], &a, NULL, argv, env);
	posix_spawn_file_actions_destroy(&a);
	if (rc) {
		errno = rc;
		s->pid = 0;
		return err_errno(e, ERR_LACKS, "%s cannot be started", argv[0]);
	}
	return 0;
}

/* Until it lets somebody in. */
static int await(struct server *s, const char *what, struct err *e)
{
	double until = clock_now_s() + START_S;

	while (clock_now_s() < until && bench_go_on(e) == 0) {
		int status;
		struct buf text = { 0 };
		if (waitpid(s->pid, &status, WNOHANG) == s->pid) {
			s->pid = 0;
			return err_set(e, ERR_LACKS, "%s ended at once: see %s", what, s->said);
		}
		if (s->port == 0 && buf_read_file(&text, s->said, 1 << 20, NULL) == 0 && text.len) {
			const char *at = strstr(buf_str(&text), "http://127.0.0.1:");
			s->port = at ? atoi(at + 17) : 0;
		}
		buf_release(&text);
		int fd = s->port ? join(s->port) : -1;
		if (fd >= 0) {
			close(fd);
			return 0;
		}
		usleep(50000);
	}
	return e->kind ? -1 : err_set(e, ERR_LACKS, "%s does not answer", what);
}

static int start_ours(struct bench *b, struct server *s, const char *capacity, struct err *e)
{
	char self[] = "/proc/self/exe", verb[] = "serve", f_port[] = "--port", zero[] = "0",
	     f_db[] = "--db", f_capacity[] = "--capacity", quiet[] = "--quiet",
	     f_python[] = "--python-env", db[200], many[16];
	char *argv[] = { self,  verb,       f_port, zero,     f_db,
		         db,    f_capacity, many,   f_python, b->app.python_env,
		         quiet, NULL };

	snprintf(many, sizeof(many), "%s", capacity);
	snprintf(db, sizeof(db), "%s/serve-%s.db", b->dir, capacity);
	snprintf(s->said, sizeof(s->said), "%s/serve.said", b->dir);
	s->port = 0;
	if (start(s, argv, NULL, environ, e) < 0 || await(s, "cadforge serve", e) < 0) {
		stop(s);
		return -1;
	}
	return 0;
}

static int free_port(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), port = 0;

	if (fd >= 0 && bind(fd, (const struct sockaddr *)(const void *)&at, sizeof(at)) == 0 &&
	    getsockname(fd, (struct sockaddr *)(void *)&at, &len) == 0)
		port = ntohs(at.sin_port);
	if (fd >= 0)
		close(fd);
	return port;
}

static int start_published(struct bench *b, struct server *s, struct err *e)
{
	char path[64] = "PYTHONPATH=python_tools", port[16], dash_m[] = "-m", uvicorn[] = "uvicorn",
	     app[] = "server.app:app", f_host[] = "--host", host[] = "127.0.0.1",
	     f_port[] = "--port";
	char *argv[] = { b->peer_python ? (char *)(uintptr_t)b->peer_python : b->python,
		         dash_m,
		         uvicorn,
		         app,
		         f_host,
		         host,
		         f_port,
		         port,
		         NULL };
	int n = 0;

	while (environ[n])
		n++;
	char **env = calloc((size_t)n + 2, sizeof(*env));
	if (!env)
		return err_set(e, ERR_MEM, "out of memory");
	memcpy(env, environ, (size_t)n * sizeof(*env));
	env[n] = path;
	s->port = free_port();
	snprintf(port, sizeof(port), "%d", s->port);
	snprintf(s->said, sizeof(s->said), "%s/published.said", b->dir);
	int rc = start(s, argv, b->published, env, e);
	free(env);
	if (rc < 0 || await(s, "the published server", e) < 0) {
		stop(s);
		return -1;
	}
	return 0;
}

/* ---- the figures ---- */

/* Those of the set that build, as the server says. */
static int those_that_build(const struct server *s, const struct bench_set *set, const char **out,
                            struct err *e)
{
	int fd = join(s->port), n = 0;
	bool built = false, done;

	for (int i = 0; i < set->n && bench_go_on(e) == 0; i++) {
		if (set->p[i].what.program.len == 0)
			continue; /* is no step */
		if (fd < 0 || !reset(fd) ||
		    !step(fd, buf_str(&set->p[i].what.program), &built, &done)) {
			err_set(e, ERR_LOST, "cadforge serve does not answer a step with %s",
			        set->p[i].path);
			break;
		}
		if (built)
			out[n++] = buf_str(&set->p[i].what.program);
	}
	if (fd >= 0)
		close(fd);
	if (n == 0 && !e->kind)
		err_set(e, ERR_INPUT, "%s: none of the programs builds", set->dir);
	return e->kind ? -1 : n;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static int rate(struct bench *b, const struct bench_set *set, struct server *ours, struct err *e)
{
	const char *program[BENCH_FILES_MAX];
	int n = those_that_build(ours, set, program, e), rounds = b->rounds * 2;
	double peer = NAN;

	if (n < 0)
		return -1;
	bench_say(b, "steps of eight clients");
	struct load l = {
		.port = ours->port, .wanted = n * rounds, .program = program, .n_programs = n
	};
	double taken = drive(&l, CLIENTS, e);
	if (e->kind) {
		free(l.seconds);
		return -1;
	}
	if (b->published) {
		struct server other = { 0 };
		struct load p = { .wanted = PEER_STEPS, .program = program, .n_programs = n };
		bench_say(b, "the same of the published server");
		if (start_published(b, &other, e) == 0) {
			p.port = other.port;
			double others = drive(&p, CLIENTS, e);
			peer = e->kind ? NAN : p.wanted / others;
			stop(&other);
		}
		free(p.seconds);
		if (e->kind) {
			free(l.seconds);
			return -1;
		}
	}
	double ours_rate = l.wanted / taken;
	qsort(l.seconds, (size_t)l.wanted, sizeof(*l.seconds), by_value);
	double median = l.seconds[l.wanted / 2], p99 = l.seconds[(l.wanted - 1) * 99 / 100];
	bench_figure(b, "serve.steps", ours_rate, "1/s", RATE_TIMES * peer, peer, ours_rate / peer,
	             set->name);
	bench_figure(b, "serve.median", median, "s", NAN, NAN, NAN, set->name);
	bench_figure(b, "serve.p99", p99 / median, "x", P99_TIMES, NAN, NAN, set->name);
	free(l.seconds);
	return 0;
}

/* Resident bytes and open descriptors of the server. */
static void look(const struct server *s, double *bytes, double *fds)
{
	char path[64];
	long all = 0, resident = 0;

	snprintf(path, sizeof(path), "/proc/%d/statm", (int)s->pid);
	FILE *f = fopen(path, "re");
	*bytes = f && fscanf(f, "%ld %ld", &all, &resident) == 2
	                 ? (double)resident * (double)sysconf(_SC_PAGESIZE)
	                 : NAN;
	if (f)
		fclose(f);
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)s->pid);
	DIR *d = opendir(path);
	*fds = d ? 0 : NAN;
	while (d && readdir(d))
		*fds += 1;
	if (d)
		closedir(d);
}

/* Its parent; 0: it is gone. */
static pid_t parent_of(pid_t pid)
{
	char path[64];
	int parent = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	FILE *f = fopen(path, "re");
	if (!f || fscanf(f, "%*d (%*[^)]) %*c %d", &parent) != 1)
		parent = 0;
	if (f)
		fclose(f);
	return parent;
}

/* The server's descendants, the dead that nobody collected among them. */
static double processes(const struct server *s)
{
	DIR *d = opendir("/proc");
	double n = d ? 0 : NAN;
	struct dirent *x;

	while (d && (x = readdir(d))) {
		pid_t pid = (pid_t)strtol(x->d_name, NULL, 10);
		while (pid > 1 && pid != s->pid)
			pid = parent_of(pid);
		n += pid == s->pid;
	}
	if (d)
		closedir(d);
	return n;
}

/* As look(), once what is ending has ended: sockets that were hung up on, children that have
 * answered. */
static void look_settled(const struct server *s, double *bytes, double *fds, double *programs,
                         double most_fds, double most_programs)
{
	for (int i = 0; i < 50; i++) {
		look(s, bytes, fds);
		*programs = processes(s);
		if (i >= 5 && *fds <= most_fds && *programs <= most_programs)
			return;
		usleep(100000);
	}
}

static const char trivial[] = "import cadquery as cq\nfixture = cq.Workplane().box(10, 20, 30)\n";

static int crowd(struct bench *b, struct server *s, struct err *e)
{
	static const char *const program[] = { trivial };
	struct load l = {
		.port = s->port, .wanted = STEPPING * 4, .program = program, .n_programs = 1
	};
	int *idle = calloc(IDLE, sizeof(*idle)), n = 0;
	double bytes, fds, taken;

	if (!idle)
		return err_set(e, ERR_MEM, "out of memory");
	bench_say(b, "a thousand idle sessions, sixty-four that step");
	while (n < IDLE - STEPPING && (idle[n] = join(s->port)) >= 0) {
		if (!reset(idle[n])) {
			close(idle[n]);
			break;
		}
		n++;
	}
	taken = drive(&l, STEPPING, e);
	look(s, &bytes, &fds);
	int stay = 0;
	for (int i = 0; i < n; i++) {
		stay += reset(idle[i]);
		close(idle[i]);
	}
	if (!e->kind) {
		bench_figure(b, "serve.sessions", stay + (int)l.joined, "", IDLE, NAN, NAN, NULL);
		bench_figure(b, "serve.crowd.steps", l.wanted / taken, "1/s", NAN, NAN, NAN, NULL);
		bench_figure(b, "serve.crowd.memory", bytes / (1 << 20), "MiB", NAN, NAN, NAN,
		             NULL);
	}
	free(l.seconds);
	free(idle);
	return e->kind ? -1 : 0;
}

static int growth(struct bench *b, struct server *s, int steps, struct err *e)
{
	static const char *const program[] = { trivial };
	struct load warm = {
		.port = s->port, .wanted = steps / 4, .program = program, .n_programs = 1
	};
	struct load l = { .port = s->port, .wanted = steps, .program = program, .n_programs = 1 };
	double before, after, fds_before, fds_after, programs_before, programs_after;

	bench_say(b, "many steps of a trivial part");
	drive(&warm, CLIENTS, e);
	look_settled(s, &before, &fds_before, &programs_before, 0, 0);
	double taken = e->kind ? NAN : drive(&l, CLIENTS, e);
	look_settled(s, &after, &fds_after, &programs_after, fds_before, programs_before);
	if (!e->kind) {
		bench_figure(b, "serve.trivial.steps", steps / taken, "1/s", NAN, NAN, NAN, NULL);
		bench_figure(b, "serve.growth", (after - before) / steps, "B", NAN, NAN, NAN, NULL);
		bench_figure(b, "serve.growth.fds", fds_after - fds_before, "", 0, NAN, NAN, NULL);
		bench_figure(b, "serve.growth.processes", programs_after - programs_before, "", 0,
		             NAN, NAN, NULL);
	}
	free(warm.seconds);
	free(l.seconds);
	return e->kind ? -1 : 0;
}

int bench_serve(struct bench *b, const struct bench_set *set, int steps, struct err *e)
{
	struct server s = { 0 };
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) == 0) {
		l.rlim_cur = l.rlim_max;
		setrlimit(RLIMIT_NOFILE, &l);
	}
	if (start_ours(b, &s, "1000", e) < 0)
		return -1;
	if (steps > 0)
		growth(b, &s, steps, e);
	else if (rate(b, set, &s, e) == 0 && crowd(b, &s, e) == 0)
		growth(b, &s, TRIVIAL_STEPS, e);
	stop(&s);
	return e->kind ? -1 : 0;
}
