/* Any bytes to the loop of the real server (src/serve.c and all of src/serve_*.c), over real
 * connections: as HTTP, as frames after an upgrade, as messages in good frames, as JSON-RPC. Only
 * the environment behind it is another one, which answers at once or some rounds later. Nothing
 * that comes keeps the server from answering the next one. */
#include "tests/fuzz/fuzz.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/serve_inside.h"

/* ---- the environment ---- */

struct env_session {
	struct env_session *next;
	void *user;
	bool busy, left;
	int rounds;
};

struct environment {
	struct environment_options o;
	struct env_session *first;
	unsigned asked;
};

const double environment_step_bounds[ENVIRONMENT_BOUNDS];

struct environment *environment_open(const struct environment_options *o, struct err *e)
{
	struct environment *v = calloc(1, sizeof(*v));

	if (v)
		v->o = *o;
	else
		err_set(e, ERR_MEM, "out of memory");
	return v;
}

static void drop(struct environment *v, struct env_session *s)
{
	struct env_session **at = &v->first;

	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	free(s);
}

void environment_close(struct environment *v)
{
	while (v && v->first)
		drop(v, v->first);
	free(v);
}

struct env_session *environment_session(struct environment *v, void *user)
{
	struct env_session *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->user = user;
	s->next = v->first;
	v->first = s;
	return s;
}

void environment_leave(struct environment *v, struct env_session *s)
{
	s->left = true;
	if (!s->busy)
		drop(v, s);
}

void *env_session_user(const struct env_session *s)
{
	return s->user;
}

bool env_session_busy(const struct env_session *s)
{
	return s->busy;
}

const char *env_session_log(const struct env_session *s)
{
	(void)s;
	return "";
}

const cJSON *env_session_score(const struct env_session *s)
{
	(void)s;
	return NULL;
}

static void answer(struct environment *v, struct env_session *s)
{
	static const char message[] = "{\"type\":\"observation\",\"data\":{}}";

	if (!s->left)
		v->o.answer(v->o.ctx, s, message, sizeof(message) - 1, "{}", 2);
}

void environment_ask(struct environment *v, struct env_session *s, const struct openenv_ask *a)
{
	/* what serve.h promises its environment */
	FUZZ_CLAIM(!s->busy && !s->left);
	FUZZ_CLAIM(a->want != OPENENV_STEP || (a->code && *a->code));
	s->rounds = a->want == OPENENV_STEP ? (int)(v->asked++ % 4) : 0;
	s->busy = s->rounds > 0;
	if (!s->busy)
		answer(v, s);
}

int environment_split(const struct environment *v, const char *split, const struct task **out,
                      int cap)
{
	FUZZ_CLAIM(cap > 0);
	*out = &v->o.tasks->tasks[0];
	return strcmp(split, "train") == 0 ? 1 : strcmp(split, "test") == 0 ? 0 : -1;
}

struct environment_figures environment_figures(const struct environment *v)
{
	struct environment_figures f = { 0 };

	for (const struct env_session *s = v->first; s; s = s->next)
		f.under_way += s->busy;
	return f;
}

int environment_poll_fds(struct environment *v, struct pollfd *out, int cap)
{
	(void)v;
	(void)out;
	(void)cap;
	return 0;
}

int environment_work(struct environment *v, struct err *e)
{
	struct env_session *s = v->first, *next;

	(void)e;
	for (; s; s = next) {
		next = s->next;
		if (!s->busy || --s->rounds > 0)
			continue;
		s->busy = false;
		answer(v, s);
		if (s->left)
			drop(v, s);
	}
	return 0;
}

/* ---- what else stands behind it ---- */

int store_run_start(struct store *s, const char *kind, const char *settings, int64_t *id,
                    struct err *e)
{
	(void)s;
	(void)kind;
	(void)settings;
	(void)e;
	*id = 1;
	return 0;
}

int store_run_end(struct store *s, int64_t run, const char *state, struct err *e)
{
	(void)s;
	(void)run;
	(void)state;
	(void)e;
	return 0;
}

int store_episode(struct store *s, int64_t id,
                  int (*each)(void *ctx, const struct store_episode *x), void *ctx, struct err *e)
{
	const struct store_episode x = { .source = id == 1 ? "serve" : "run" };

	(void)s;
	return id == 1 || id == 2 ? each(ctx, &x) : err_set(e, ERR_INPUT, "no such episode");
}

int store_artifact(struct store *s, int64_t episode, int turn, const char *name, struct buf *out,
                   struct err *e)
{
	(void)s;
	FUZZ_CLAIM(episode == 1 && !strchr(name, '/'));
	if (turn != 1)
		return err_set(e, ERR_INPUT, "no such turn");
	buf_adds(out, name);
	return 0;
}

int64_t store_now_us(void)
{
	return 0;
}

void store_utc_time(char *out, size_t size, int64_t us)
{
	(void)us;
	snprintf(out, size, "now");
}

void app_tell(const char *fmt, ...)
{
	(void)fmt;
}

static atomic_bool stop;

bool app_interrupted(void)
{
	return stop;
}

struct completions *completions_open(struct serving *s, const struct model_flags *m, struct err *e)
{
	(void)s;
	(void)m;
	err_set(e, ERR_LACKS, "no model");
	return NULL;
}

/* there is no model: nothing of these is called */
#define NEVER abort()
void completions_close(struct completions *k)
{
	FUZZ_CLAIM(!k);
}
void completions_models(struct completions *k, struct buf *out)
{
	(void)k;
	(void)out;
	NEVER;
}
void completions_ask(struct completions *k, uint64_t conn, bool chat, const char *body, size_t len)
{
	(void)k;
	(void)conn;
	(void)chat;
	(void)body;
	(void)len;
	NEVER;
}
void completions_gone(struct completions *k, uint64_t conn)
{
	(void)k;
	(void)conn;
	NEVER;
}
int completions_under_way(const struct completions *k)
{
	(void)k;
	NEVER;
}
int completions_poll_fds(struct completions *k, struct pollfd *out, int cap)
{
	(void)k;
	(void)out;
	(void)cap;
	NEVER;
}
int completions_timeout_ms(struct completions *k)
{
	(void)k;
	NEVER;
}
int completions_work(struct completions *k, struct err *e)
{
	(void)k;
	(void)e;
	NEVER;
}
void completions_metrics(const struct completions *k, struct buf *out)
{
	(void)k;
	(void)out;
	NEVER;
}

/* ---- the server, in a thread of its own ---- */

enum { CAPACITY = 4, PORT_FIRST = 20000, PORTS = 20000 };

static int port;

static void *serve(void *arg)
{
	static struct task task = { .id = "a_task", .prompt = "A part." };
	static const struct task_set tasks = { .tasks = &task, .n = 1 };
	static const struct app app = { .quiet = true };
	const struct serve_options o = { .app = &app,
		                         .tasks = &tasks,
		                         .host = "127.0.0.1",
		                         .port = port,
		                         .capacity = CAPACITY,
		                         .idle_s = 1800,
		                         .metrics = true };
	struct err e = { 0 };

	(void)arg;
	if (serve_run(&o, &e) < 0)
		fprintf(stderr, "%s\n", e.text);
	FUZZ_CLAIM(stop);
	return NULL;
}

/* ---- a client ---- */

static int dial(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
		                  .sin_port = htons((uint16_t)port),
		                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (const struct sockaddr *)(const void *)&to, sizeof(to)) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

static void say(int fd, const void *bytes, size_t len)
{
	const char *at = bytes;
	ssize_t n;

	while (len > 0 && (n = send(fd, at, len, MSG_NOSIGNAL)) > 0) {
		at += n;
		len -= (size_t)n;
	}
}

/* Until the server says no more for so long, or hangs up; what came first. */
static size_t hear(int fd, char *out, size_t size, int wait_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char rest[4096];
	size_t got = 0;
	ssize_t n = 1;

	while (n > 0 && poll(&p, 1, wait_ms) > 0) {
		bool room = got + 1 < size;
		n = recv(fd, room ? out + got : rest, room ? size - 1 - got : sizeof(rest), 0);
		if (n > 0 && room)
			got += (size_t)n;
	}
	out[got] = '\0';
	return got;
}

static void frame(int fd, const uint8_t *text, size_t len)
{
	unsigned char head[8] = { 0x81, 0xfe, (unsigned char)(len >> 8), (unsigned char)len };

	say(fd, head, sizeof(head));
	say(fd, text, len);
}

static void post(int fd, const char *path, const uint8_t *body, size_t len)
{
	char head[200];
	int n = snprintf(head, sizeof(head),
	                 "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n", path, len);

	say(fd, head, (size_t)n);
	say(fd, body, len);
}

static void upgrade(int fd, const char *path)
{
	char head[600];
	int n = snprintf(head, sizeof(head),
	                 "GET %s HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
	                 "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
	                 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
	                 path);

	say(fd, head, (size_t)n);
}

static void check_alive(void)
{
	static const char ask[] = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
	char got[1024];
	int fd = dial();

	FUZZ_CLAIM(fd >= 0);
	say(fd, ask, sizeof(ask) - 1);
	hear(fd, got, sizeof(got), 20000);
	FUZZ_CLAIM(strncmp(got, "HTTP/1.1 200", 12) == 0 && strstr(got, "healthy"));
	close(fd);
}

static void begin(void)
{
	pthread_t thread;
	int fd = -1;

	port = PORT_FIRST + (int)(getpid() % PORTS);
	FUZZ_CLAIM(pthread_create(&thread, NULL, serve, NULL) == 0);
	for (int i = 0; i < 2000 && (fd = dial()) < 0; i++)
		usleep(5000);
	FUZZ_CLAIM(fd >= 0);
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static const char *const posts[] = { "/mcp",
		                             "/step",
		                             "/reset",
		                             "/cadforge_cadquery/tasks",
		                             "/cadforge_cadquery/task",
		                             "/cadforge_cadquery/task_range",
		                             "/v1/chat/completions" };
	enum { POSTS = sizeof(posts) / sizeof(posts[0]) };
	static unsigned runs;
	char got[4096];

	if (!port)
		begin();
	if (len < 2)
		return 0;
	unsigned how = bytes[0] % (POSTS + 4);
	int fd = dial();
	FUZZ_CLAIM(fd >= 0);
	bytes++;
	len--;
	if (how == 0) {
		say(fd, bytes, len);
	} else if (how <= 2) {
		upgrade(fd, how == 1 ? "/ws" : "/mcp");
		say(fd, bytes, len);
	} else if (how == 3) {
		upgrade(fd, bytes[0] & 1 ? "/ws" : "/mcp");
		for (size_t at = 0; at < len;) {
			const uint8_t *end = memchr(bytes + at, '\n', len - at);
			size_t n = end ? (size_t)(end - bytes) - at : len - at;
			n = n > 65535 ? 65535 : n;
			frame(fd, bytes + at, n);
			at += n + 1;
		}
	} else {
		post(fd, posts[how - 4], bytes, len);
	}
	hear(fd, got, sizeof(got), 2);
	close(fd);
	if (++runs % 32 == 0)
		check_alive();
	return 0;
}
