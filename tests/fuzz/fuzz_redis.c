/* Any bytes as what a Redis server says, to who gives jobs and to who takes them: no job is
 * answered twice, none that was not given, and what is told is words.
 *
 * The first byte says who listens: even, a client with two jobs; odd, a worker. The rest are pieces
 * with a byte 0x1e between: the first letter of each says which connection it goes to ('e': the one
 * that waits for news, else the other). */
#include "tests/fuzz/fuzz.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/queue.h"

enum { TURNS = 50, JOBS = 2 };

struct seen {
	int done[JOBS];
	struct queue_worker *w;
	struct queue_take *taken[16];
	int n_taken;
};

static void check_words(const struct err *e)
{
	FUZZ_CLAIM(e->kind != ERR_NONE && e->text[0]);
}

static void on_done(void *ctx, void *user, enum queue_fate fate, const void *bytes, size_t len,
                    const struct err *why)
{
	struct seen *s = ctx;

	FUZZ_CLAIM(++s->done[(uintptr_t)user] == 1);
	if (fate != QUEUE_ANSWERED) {
		check_words(why);
		return;
	}
	volatile uint8_t sum = 0;
	for (size_t i = 0; i < len; i++)
		sum = (uint8_t)(sum + ((const uint8_t *)bytes)[i]);
}

static void on_take(void *ctx, struct queue_take *t)
{
	struct seen *s = ctx;
	struct buf out = { 0 };
	char sha[SHA256_HEX];

	FUZZ_CLAIM(strlen(t->hash) == 64 && t->id[0] && t->before >= 0);
	if (t->body.len % 3 == 0 && s->n_taken < 16) {
		s->taken[s->n_taken++] = t; /* this one takes its time */
	} else if (t->body.len % 3 == 1) {
		sha256_hex("a blob", 6, sha);
		queue_worker_want(s->w, t, sha);
	} else {
		buf_adds(&out, "an answer");
		queue_worker_answer(s->w, t, QUEUE_ANSWERED, &out, NULL, false);
	}
}

static void on_blob(void *ctx, struct queue_take *t, const char *sha, const void *bytes, size_t len)
{
	struct seen *s = ctx;
	const struct err why = { ERR_LOST, "it is not there" };
	struct buf out = { 0 };

	(void)sha;
	FUZZ_CLAIM(!bytes || (len == 6 && memcmp(bytes, "a blob", 6) == 0));
	buf_adds(&out, "an answer");
	queue_worker_answer(s->w, t, bytes ? QUEUE_ANSWERED : QUEUE_FAILED, bytes ? &out : NULL,
	                    &why, false);
	if (!bytes)
		buf_release(&out);
}

/* ---- the server ---- */

struct server {
	int door, line[2];
	int n;
};

static void server_open(struct server *v, struct redis_address *a)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(at);
	char url[64];
	struct err e = { 0 };

	v->door = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	FUZZ_CLAIM(bind(v->door, (struct sockaddr *)&at, sizeof(at)) == 0 &&
	           listen(v->door, 16) == 0 &&
	           getsockname(v->door, (struct sockaddr *)&at, &n) == 0);
	snprintf(url, sizeof(url), "redis://127.0.0.1:%d", ntohs(at.sin_port));
	FUZZ_CLAIM(redis_address_parse(a, url, &e) == 0);
}

static void say(int fd, const void *bytes, size_t len)
{
	if (len > 0 && send(fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return; /* they are gone already */
}

/* Lets in who knocks; drops what they ask. */
static void server_step(struct server *v)
{
	const struct linger at_once = { 1, 0 };
	const int on = 1;
	char asked[4096];

	while (v->n < 2) {
		int fd = accept4(v->door, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			break;
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		v->line[v->n++] = fd;
		say(fd, "+OK\r\n", 5);
	}
	for (int i = 0; i < v->n; i++)
		while (recv(v->line[i], asked, sizeof(asked), 0) > 0)
			;
}

static void server_close(struct server *v)
{
	for (int i = 0; i < v->n; i++)
		close(v->line[i]);
	close(v->door);
}

/* ---- both ends ---- */

static int step(struct queue *q, struct queue_worker *w, struct server *v)
{
	struct err e = { 0 };
	int rc = q ? queue_step(q, &e) : queue_worker_step(w, &e);

	if (rc < 0)
		check_words(&e);
	server_step(v);
	return rc;
}

static void play(const uint8_t *bytes, size_t len, struct queue *q, struct queue_worker *w,
                 struct server *v)
{
	for (int i = 0; i < 4; i++)
		step(q, w, v);
	for (int turns = 0; len > 0 && turns < TURNS; turns++) {
		const uint8_t *end = memchr(bytes, 0x1e, len);
		size_t n = end ? (size_t)(end - bytes) : len;
		int line = n > 0 && bytes[0] == 'e';
		if (n > 1 && line < v->n)
			say(v->line[line], bytes + 1, n - 1);
		/* what was asked for by then is asked before more is said */
		if (step(q, w, v) < 0 || step(q, w, v) < 0)
			return;
		n += end != NULL;
		bytes += n;
		len -= n;
	}
	for (int i = 0; i < 2; i++)
		if (step(q, w, v) < 0)
			return;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	const struct queue_ops asks = { .done = on_done };
	const struct queue_worker_ops does = { .take = on_take, .blob = on_blob };
	struct server v = { 0 };
	struct redis_address a;
	struct seen s = { 0 };
	struct err e = { 0 };

	if (len < 2 || len > 40000)
		return 0;
	server_open(&v, &a);
	if (bytes[0] % 2 == 0) {
		struct queue_ops ops = asks;
		ops.ctx = &s;
		struct queue *q = queue_open(&a, &ops, &e);
		char sha[1][SHA256_HEX];
		FUZZ_CLAIM(q && queue_blob(q, "a blob", 6, sha[0], &e) == 0);
		for (uintptr_t i = 0; i < JOBS; i++) {
			struct buf body = { 0 };
			buf_printf(&body, "job %d", (int)i);
			FUZZ_CLAIM(queue_submit(q, &body, (const char(*)[SHA256_HEX])sha, 1, 55,
			                        (void *)i, &e) == 0);
		}
		play(bytes + 1, len - 1, q, NULL, &v);
		FUZZ_CLAIM(queue_waiting(q) + s.done[0] + s.done[1] == JOBS);
		queue_close(q);
	} else {
		struct queue_worker_ops ops = does;
		ops.ctx = &s;
		s.w = queue_worker_open(&a, "worker-1", "v1", 8, &ops, &e);
		FUZZ_CLAIM(s.w);
		play(bytes + 1, len - 1, NULL, s.w, &v);
		FUZZ_CLAIM(queue_worker_under_way(s.w) >= s.n_taken);
		server_close(&v); /* it need not be waited for */
		v = (struct server){ .door = -1 };
		queue_worker_step(s.w, &e);
		queue_worker_step(s.w, &e);
		queue_worker_close(s.w);
	}
	if (v.door >= 0)
		server_close(&v);
	return 0;
}
