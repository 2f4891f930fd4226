/* HTTP and WebSockets as src/serve_net.h hands them on: by real sockets, byte by byte where that
 * matters. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/base/buf.h"
#include "src/base/clock.h"
#include "src/serve_net.h"

enum { MESSAGE_MAX = 1 << 20, WAIT_S = 5 };

/* ---- what the caller of serve_net is told ---- */

struct told {
	struct net *net;
	struct buf text; /* a line an event */
	int messages, opened, gone, requests;
	uint64_t last, last_request;
	bool later; /* requests are not answered at once */
	char *flood;
	size_t flood_len; /* each message is answered with so much */
	struct buf biggest;
};

static void on_request(void *ctx, uint64_t conn, const struct net_request *r)
{
	struct told *t = ctx;
	char text[300];

	t->requests++;
	t->last_request = conn;
	buf_printf(&t->text, "%s %s?%s %zu\n", r->method, r->path, r->query, r->len);
	if (t->later)
		return;
	int n = snprintf(text, sizeof(text), "%s %.200s %zu", r->method, r->path, r->len);
	net_answer(t->net, conn, 200, "text/plain", text, (size_t)n);
}

static bool on_open(void *ctx, uint64_t conn, const char *path, const char *query)
{
	struct told *t = ctx;

	t->last = conn;
	buf_printf(&t->text, "open %s?%s\n", path, query);
	return strcmp(path, "/ws") == 0;
}

static void on_opened(void *ctx, uint64_t conn)
{
	struct told *t = ctx;

	(void)conn;
	t->opened++;
}

static void on_message(void *ctx, uint64_t conn, const char *text, size_t len, bool binary)
{
	struct told *t = ctx;
	char head[64];

	t->messages++;
	buf_clear(&t->biggest);
	buf_add(&t->biggest, text, len);
	if (t->flood) {
		net_send(t->net, conn, t->flood, t->flood_len);
		return;
	}
	snprintf(head, sizeof(head), "%s %zu %.20s", binary ? "bytes" : "text", len,
	         binary ? "" : text);
	net_send(t->net, conn, head, strlen(head));
}

static void on_gone(void *ctx, uint64_t conn)
{
	struct told *t = ctx;

	(void)conn;
	t->gone++;
}

static struct told *open_net(const char *token, double silent_s)
{
	static const char *const open_paths[] = { "/health", NULL };
	struct told *t = calloc(1, sizeof(*t));
	const struct net_ops ops = { t, on_request, on_open, on_opened, on_message, on_gone };
	const struct net_options o = { .token = token,
		                       .open_paths = open_paths,
		                       .message_max = MESSAGE_MAX,
		                       .silent_s = silent_s };
	struct err e = { 0 };

	assert_non_null(t);
	t->net = net_open(&o, &ops, &e);
	if (!t->net)
		fail_msg("%s", e.text);
	return t;
}

static void close_net(struct told *t)
{
	net_close(t->net);
	buf_release(&t->text);
	buf_release(&t->biggest);
	free(t->flood);
	free(t);
}

/* ---- a client ---- */

struct peer {
	struct told *t;
	int fd;
	struct buf got;
	bool over; /* the server has hung up */
};

/* One round of the server, and what it wrote. */
static void pump(struct peer *p)
{
	char piece[65536];
	ssize_t n = 0;

	net_wait(p->t->net, NULL, 0, 2);
	while (!p->over && (n = recv(p->fd, piece, sizeof(piece), MSG_DONTWAIT)) > 0)
		buf_add(&p->got, piece, (size_t)n);
	if (n == 0 || (n < 0 && errno != EAGAIN))
		p->over = true;
}

#define UNTIL(p, what)                                                                             \
	do {                                                                                       \
		double until_ = clock_now_s() + WAIT_S;                                            \
		while (!(what)) {                                                                  \
			pump(p);                                                                   \
			if (clock_now_s() > until_)                                                \
				fail_msg("%s did not come; got %zu bytes: %.300s; told: %.300s",   \
				         #what, (p)->got.len, buf_str(&(p)->got),                  \
				         buf_str(&(p)->t->text));                                  \
		}                                                                                  \
	} while (0)

static void say(struct peer *p, const void *bytes, size_t len)
{
	const char *at = bytes;

	while (len > 0 && !p->over) {
		ssize_t n = send(p->fd, at, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n > 0) {
			at += n;
			len -= (size_t)n;
		} else {
			pump(p);
		}
	}
}

static void tell(struct peer *p, const char *text)
{
	say(p, text, strlen(text));
}

static struct peer *dial(struct told *t)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
		                  .sin_port = htons((uint16_t)net_port(t->net)),
		                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct peer *p = calloc(1, sizeof(*p));
	int one = 1;

	assert_non_null(p);
	p->t = t;
	p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(p->fd >= 0);
	assert_int_equal(connect(p->fd, (const struct sockaddr *)(const void *)&to, sizeof(to)), 0);
	setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return p;
}

static void leave(struct peer *p)
{
	close(p->fd);
	buf_release(&p->got);
	free(p);
}

#define HELLO                                                                                      \
	" HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"                    \
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

static bool has(const struct peer *p, const char *text)
{
	return memmem(buf_str(&p->got), p->got.len, text, strlen(text)) != NULL;
}

/* An open socket. */
static struct peer *join(struct told *t)
{
	struct peer *p = dial(t);
	int before = t->opened;

	tell(p, "GET /ws" HELLO "\r\n");
	UNTIL(p, t->opened > before && has(p, "\r\n\r\n"));
	assert_true(has(p, "HTTP/1.1 101"));
	/* the one of RFC 6455, 1.3 */
	assert_true(has(p, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
	buf_clear(&p->got);
	return p;
}

/* @first: FIN, reserved bits and opcode. */
static void make_frame(struct buf *out, unsigned first, const void *text, size_t len)
{
	static const unsigned char mask[4] = { 0x12, 0x34, 0x56, 0x78 };
	unsigned char head[14] = { (unsigned char)first };
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
	memcpy(head + n, mask, 4);
	buf_add(out, head, n + 4);
	for (size_t i = 0; i < len; i++) {
		char c = (char)(((const unsigned char *)text)[i] ^ mask[i & 3]);
		buf_add(out, &c, 1);
	}
}

static void frame(struct peer *p, unsigned first, const char *text, size_t len)
{
	struct buf b = { 0 };

	make_frame(&b, first, text, len);
	say(p, b.data, b.len);
	buf_release(&b);
}

static void message(struct peer *p, const char *text)
{
	frame(p, 0x81, text, strlen(text));
}

/* The next whole frame of the server, a short one: its first byte, and the text without it. */
static unsigned take(struct peer *p, char *out, size_t size)
{
	UNTIL(p, p->got.len >= 2 && p->got.len >= 2u + ((unsigned char)p->got.data[1] & 0x7f));
	unsigned first = (unsigned char)p->got.data[0];
	size_t len = (unsigned char)p->got.data[1];

	assert_true(len < 126 && len < size); /* the server masks nothing */
	memcpy(out, p->got.data + 2, len);
	out[len] = '\0';
	buf_consume(&p->got, len + 2);
	return first;
}

static void expect(struct peer *p, unsigned first, const char *text)
{
	char got[128];
	unsigned kind = take(p, got, sizeof(got));

	assert_string_equal(got, text);
	assert_int_equal(kind, first);
}

/* It hangs up, with this code. */
static void expect_close(struct peer *p, int code)
{
	char got[128];

	assert_int_equal(take(p, got, sizeof(got)), 0x88);
	assert_int_equal((unsigned char)got[0] << 8 | (unsigned char)got[1], code);
}

static void all_gone(struct peer *p, int n)
{
	struct told *t = p->t;

	leave(p);
	p = &(struct peer){ .t = t, .fd = -1, .over = true };
	UNTIL(p, net_connections(t->net) == 0);
	assert_int_equal(t->gone, n);
}

/* ---- frames ---- */

static void a_message_that_comes_byte_by_byte_is_one(void **state)
{
	struct told *t = open_net(NULL, 0);
	struct peer *p = dial(t);
	struct buf b = { 0 };

	(void)state;
	const char *hello = "GET /ws?session_id=7" HELLO "\r\n";
	for (size_t i = 0; hello[i]; i++) {
		say(p, hello + i, 1);
		net_wait(t->net, NULL, 0, 0);
	}
	UNTIL(p, has(p, "\r\n\r\n") && t->opened == 1);
	assert_string_equal(buf_str(&t->text), "open /ws?session_id=7\n");
	buf_clear(&p->got);
	make_frame(&b, 0x81, "hello", 5);
	for (size_t i = 0; i < b.len; i++) {
		say(p, b.data + i, 1);
		net_wait(t->net, NULL, 0, 0);
	}
	expect(p, 0x81, "text 5 hello");
	assert_int_equal(t->messages, 1);
	buf_release(&b);
	all_gone(p, 1);
	close_net(t);
}

static void fragments_are_joined_and_pings_between_them_answered(void **state)
{
	struct told *t = open_net(NULL, 0);
	struct peer *p = join(t);

	(void)state;
	frame(p, 0x01, "gr\xc3", 3); /* half a character */
	frame(p, 0x89, "are you there", 13);
	expect(p, 0x8a, "are you there");
	frame(p, 0x00, "\xbc", 1);
	frame(p, 0x80, "n", 1);
	expect(p, 0x81, "text 5 gr\xc3\xbcn");
	frame(p, 0x01, "", 0);
	frame(p, 0x80, "", 0);
	expect(p, 0x81, "text 0 ");
	frame(p, 0x82, "\0\xff\0", 3);
	expect(p, 0x81, "bytes 3 ");
	assert_int_equal(t->messages, 3);
	all_gone(p, 1);
	close_net(t);
}

static void lengths_at_every_border_are_read(void **state)
{
	static const size_t lengths[] = { 0,     1,     125,   126,    127,        65534,
		                          65535, 65536, 65537, 200000, MESSAGE_MAX };
	struct told *t = open_net(NULL, 0);
	struct peer *p = join(t);
	char *text = malloc(MESSAGE_MAX + 1), want[64];

	(void)state;
	assert_non_null(text);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		memset(text, 'a', lengths[i]);
		text[lengths[i] ? lengths[i] - 1 : 0] = 'z';
		frame(p, 0x81, text, lengths[i]);
		text[lengths[i]] = '\0';
		snprintf(want, sizeof(want), "text %zu %.20s", lengths[i], text);
		expect(p, 0x81, want);
		assert_int_equal(t->biggest.len, lengths[i]);
		assert_memory_equal(buf_str(&t->biggest), text, lengths[i]);
	}
	free(text);
	all_gone(p, 1);
	close_net(t);
}

static void what_is_too_long_is_refused_by_what_it_says_of_itself(void **state)
{
	/* a frame of 2^62 bytes; one byte more than may be; fragments that are too much together */
	static const unsigned char heads[][10] = { { 0x81, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0 },
		                                   { 0x81, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 1 } };
	struct told *t = open_net(NULL, 0);

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct peer *p = join(t);
		say(p, heads[i], 10);
		tell(p, "maskand some");
		expect_close(p, 1009);
		leave(p);
	}
	struct peer *p = join(t);
	char *half = calloc(1, MESSAGE_MAX);
	assert_non_null(half);
	memset(half, 'a', MESSAGE_MAX);
	frame(p, 0x01, half, MESSAGE_MAX - 1);
	frame(p, 0x80, half, 2);
	expect_close(p, 1009);
	free(half);
	all_gone(p, 3);
	assert_int_equal(t->messages, 0);
	close_net(t);
}

static void text_that_is_no_utf8_ends_with_1007(void **state)
{
	struct told *t = open_net(NULL, 0);
	struct peer *p = join(t);

	(void)state;
	frame(p, 0x81, "st\xff\xfe", 4);
	expect_close(p, 1007);
	leave(p);
	p = join(t);
	frame(p, 0x01, "gr\xc3", 3);
	frame(p, 0x80, "n", 1);
	expect_close(p, 1007);
	all_gone(p, 2);
	assert_int_equal(t->messages, 0);
	close_net(t);
}

static void frames_that_break_the_rules_end_with_1002(void **state)
{
	static const struct {
		unsigned first[2]; /* 0: no second */
	} bad[] = {
		{ { 0x83, 0 } },    /* an opcode that is none */
		{ { 0x8b, 0 } },    /* nor this */
		{ { 0xc1, 0 } },    /* a reserved bit */
		{ { 0xf1, 0 } },    /* all of them */
		{ { 0x80, 0 } },    /* goes on with nothing */
		{ { 0x01, 0x81 } }, /* a new one within another */
		{ { 0x09, 0 } },    /* a ping in pieces */
	};
	struct told *t = open_net(NULL, 0);

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct peer *p = join(t);
		for (int k = 0; k < 2 && bad[i].first[k]; k++)
			frame(p, bad[i].first[k], "x", 1);
		expect_close(p, 1002);
		leave(p);
	}
	/* a ping of more than may be in one */
	struct peer *p = join(t);
	char big[126];
	memset(big, 'p', sizeof(big));
	frame(p, 0x89, big, sizeof(big));
	UNTIL(p, p->over);
	all_gone(p, (int)(sizeof(bad) / sizeof(bad[0])) + 1);
	assert_int_equal(t->messages, 0);
	close_net(t);
}

static void an_unmasked_frame_harms_nobody(void **state)
{
	struct told *t = open_net(NULL, 0);
	struct peer *p = join(t), *other = join(t);

	(void)state;
	/* libwebsockets takes them for what they are */
	say(p, "\x81\x05hello", 7);
	UNTIL(p, p->over || p->got.len > 0);
	message(other, "still here");
	expect(other, 0x81, "text 10 still here");
	leave(other);
	all_gone(p, 2);
	close_net(t);
}

static void the_code_of_a_close_comes_back(void **state)
{
	static const struct {
		const char *sent;
		size_t len;
		int back;
	} closes[] = { { "\x03\xe8", 2, 1000 },
		       { "\x03\xe9gone", 6, 1001 },
		       { "\x0f\xa1own", 5, 4001 },
		       { "\x03\xed", 2, 1002 }, /* 1005 is for nobody to send */
		       { "\x00\x01", 2, 1002 } };
	struct told *t = open_net(NULL, 0);
	int n = sizeof(closes) / sizeof(closes[0]);

	(void)state;
	for (int i = 0; i < n; i++) {
		struct peer *p = join(t);
		frame(p, 0x88, closes[i].sent, closes[i].len);
		expect_close(p, closes[i].back);
		UNTIL(p, p->over);
		leave(p);
	}
	struct peer *p = join(t);
	frame(p, 0x88, "", 0);
	UNTIL(p, p->over);
	/* and one of ours */
	leave(p);
	p = join(t);
	net_send(t->net, t->last, "farewell", 8);
	net_hang_up(t->net, t->last, 1001);
	net_send(t->net, t->last, "too late", 8);
	expect(p, 0x81, "farewell");
	expect_close(p, 1001);
	frame(p, 0x88, "\x03\xe9", 2);
	UNTIL(p, p->over);
	all_gone(p, n + 2);
	close_net(t);
}

/* ---- who is slow, silent, or leaves ---- */

static void who_does_not_read_is_not_read_from(void **state)
{
	struct told *t = open_net(NULL, 0);
	struct peer *p = join(t);
	enum { MANY = 40 };

	(void)state;
	t->flood_len = 1 << 20;
	t->flood = calloc(1, t->flood_len);
	assert_non_null(t->flood);
	memset(t->flood, 'f', t->flood_len);
	for (int i = 0; i < MANY; i++)
		message(p, "more"); /* a pump() now would read */
	for (int i = 0; i < 60; i++)
		net_wait(t->net, NULL, 0, 2);
	/* what is kept for it has an end: 8 MiB, the kernel's buffers, and one more */
	assert_in_range(t->messages, 8, 20);
	UNTIL(p, p->got.len >= MANY * (t->flood_len + 10));
	assert_int_equal(t->messages, MANY);
	assert_int_equal(p->got.len, MANY * (t->flood_len + 10));
	all_gone(p, 1);
	close_net(t);
}

static void a_held_socket_waits_and_loses_nothing(void **state)
{
	struct told *t = open_net(NULL, 0.2);
	struct peer *p = join(t);

	(void)state;
	net_hold(t->net, t->last, true);
	message(p, "one");
	message(p, "two");
	/* longer than anybody else may be silent */
	double until = clock_now_s() + 0.7;
	while (clock_now_s() < until)
		net_wait(t->net, NULL, 0, 5);
	assert_int_equal(t->messages, 0);
	assert_int_equal(t->gone, 0);
	net_hold(t->net, t->last, false);
	expect(p, 0x81, "text 3 one");
	expect(p, 0x81, "text 3 two");
	all_gone(p, 1);
	close_net(t);
}

static void the_silent_are_asked_and_then_dropped(void **state)
{
	struct told *t = open_net(NULL, 0.2);
	struct peer *p = join(t);

	(void)state;
	expect(p, 0x89, "cadforge");
	/* who answers stays, and is asked again */
	frame(p, 0x8a, "cadforge", 8);
	expect(p, 0x89, "cadforge");
	UNTIL(p, p->over);
	assert_int_equal(t->gone, 1);
	all_gone(p, 1);
	close_net(t);
}

static void a_ping_at_the_time_of_ours_gets_its_own_bytes_back(void **state)
{
	struct told *t = open_net(NULL, 0.2);
	struct peer *p = join(t);
	char got[128];

	(void)state;
	for (int i = 0; i < 5; i++) {
		/* both in one round: ours is due, and theirs has come */
		usleep(230000);
		frame(p, 0x89, "wxyzabcd-long", 13);
		bool mine = false, theirs = false;
		while (!mine || !theirs) {
			bool pong = take(p, got, sizeof(got)) == 0x8a;
			assert_string_equal(got, pong ? "wxyzabcd-long" : "cadforge");
			if (!pong)
				frame(p, 0x8a, got, strlen(got));
			mine = mine || pong;
			theirs = theirs || !pong;
		}
	}
	all_gone(p, 1);
	close_net(t);
}

static void who_leaves_anywhere_is_told_of_once(void **state)
{
	struct told *t = open_net(NULL, 0);
	const char *hello = "GET /ws" HELLO "\r\n";
	struct peer *p;
	int sockets = 0;

	(void)state;
	/* in the middle of a head: nobody has heard of it */
	for (size_t cut = 0; cut < strlen(hello); cut += 17) {
		p = dial(t);
		say(p, hello, cut);
		net_wait(t->net, NULL, 0, 1);
		leave(p);
	}
	/* in a body */
	p = dial(t);
	tell(p, "POST /step HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf");
	pump(p);
	leave(p);
	/* in the middle of a frame */
	struct buf b = { 0 };
	make_frame(&b, 0x81, "hello", 5);
	for (size_t cut = 0; cut < b.len; cut += 3) {
		p = join(t);
		say(p, b.data, cut);
		pump(p);
		leave(p);
		sockets++;
	}
	buf_release(&b);
	/* before its answer */
	t->later = true;
	p = dial(t);
	tell(p, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
	UNTIL(p, t->requests == 1);
	uint64_t conn = t->last_request;
	all_gone(p, sockets + 1);
	assert_true(conn > 0);
	net_answer(t->net, conn, 200, "text/plain", "nobody", 6);
	assert_int_equal(t->messages, 0);
	close_net(t);
}

/* ---- HTTP ---- */

static void a_connection_serves_one_request_whatever_comes_behind_it(void **state)
{
	static const struct {
		const char *request, *answer;
	} firsts[] = {
		{ "GET /a HTTP/1.1\r\nHost: x\r\n\r\n", "GET /a 0" },
		{ "POST /b?k=v&l=w HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
		  "POST /b 5" },
		{ "POST /c HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "POST /c 0" },
		{ "HEAD /d HTTP/1.1\r\nHost: x\r\n\r\n", "content-type: text/plain" },
	};
	static const char *const behind[] = {
		"", "\r\n\r\n", "POST /e HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
		"GET /f HTTP/1.1\r\nHost: x\r\n\r\nGET /f HTTP/1.1\r\nHost: x\r\n\r\n",
		"\x81\x85mask....."
	};
	struct told *t = open_net(NULL, 0);
	int asked = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(firsts) / sizeof(firsts[0]); i++)
		for (size_t k = 0; k < 2 * sizeof(behind) / sizeof(behind[0]); k++) {
			struct peer *p = dial(t);
			struct buf both = { 0 };
			t->later = k & 1; /* answered at once, and later */
			buf_printf(&both, "%s%s", firsts[i].request, behind[k / 2]);
			say(p, both.data, both.len);
			buf_release(&both);
			asked++;
			UNTIL(p, t->requests == asked);
			if (t->later) {
				for (int round = 0; round < 5; round++)
					pump(p);
				net_answer(t->net, t->last_request, 200, "text/plain",
				           firsts[i].answer, strlen(firsts[i].answer));
			}
			UNTIL(p, p->over);
			assert_int_equal(t->requests, asked);
			assert_true(has(p, "HTTP/1.1 200") && has(p, "connection: close"));
			assert_true(has(p, firsts[i].answer));
			leave(p);
		}
	assert_non_null(strstr(buf_str(&t->text), "POST /b?k=v&l=w 5\n"));
	struct peer *p = dial(t);
	all_gone(p, 0);
	close_net(t);
}

static void frames_may_come_with_the_upgrade(void **state)
{
	struct told *t = open_net(NULL, 0);
	struct peer *p = dial(t);
	struct buf b = { 0 };

	(void)state;
	buf_adds(&b, "GET /ws" HELLO "\r\n");
	make_frame(&b, 0x81, "at once", 7);
	say(p, b.data, b.len);
	UNTIL(p, has(p, "text 7 at once"));
	buf_release(&b);
	all_gone(p, 1);
	close_net(t);
}

static void who_does_not_take_its_answer_is_dropped(void **state)
{
	struct told *t = open_net(NULL, 0.2);
	struct peer *p = dial(t);
	char *big = calloc(1, 32 << 20);

	(void)state;
	assert_non_null(big);
	t->later = true;
	tell(p, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
	UNTIL(p, t->requests == 1);
	net_answer(t->net, t->last_request, 200, "text/plain", big, 32 << 20);
	free(big);
	double until = clock_now_s() + WAIT_S;
	while (net_connections(t->net) > 0 && clock_now_s() < until)
		net_wait(t->net, NULL, 0, 5);
	assert_int_equal(net_connections(t->net), 0);
	leave(p);
	close_net(t);
}

static void what_is_no_request_of_ours_is_refused_in_words(void **state)
{
	static const struct {
		const char *request, *answer;
	} bad[] = {
		{ "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		  "HTTP/1.1 411" },
		{ "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\n", "HTTP/1.1 413" },
		{ "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 413" },
		{ "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
		  "HTTP/1.1 413" },
		{ "GET /elsewhere" HELLO "\r\n", "HTTP/1.1 404" },
	};
	struct told *t = open_net(NULL, 0);

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct peer *p = dial(t);
		tell(p, bad[i].request);
		UNTIL(p, p->over);
		if (!has(p, bad[i].answer) || !has(p, "\"detail\""))
			fail_msg("%s: answered with: %s", bad[i].request, buf_str(&p->got));
		leave(p);
	}
	assert_int_equal(t->requests, 0);
	/* what is no HTTP at all ends the connection, and no other one */
	static const char *const rubbish[] = { "\r\n\r\n\r\n", "HELO\r\n\r\n", "GET\r\n\r\n",
		                               "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
		                               "GET  HTTP/1.1\r\n\r\n" };
	for (size_t i = 0; i < sizeof(rubbish) / sizeof(rubbish[0]); i++) {
		struct peer *p = dial(t);
		tell(p, rubbish[i]);
		for (int k = 0; k < 5; k++)
			pump(p);
		leave(p);
	}
	struct peer *p = dial(t);
	tell(p, "GET /after HTTP/1.1\r\nHost: x\r\n\r\n");
	UNTIL(p, has(p, "GET /after 0"));
	leave(p);
	close_net(t);
}

static void a_token_is_asked_for_everywhere_but_where_it_is_not(void **state)
{
	static const struct {
		const char *request, *answer;
	} asks[] = {
		{ "GET /a HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 401" },
		{ "GET /health HTTP/1.1\r\nHost: x\r\n\r\n", "GET /health 0" },
		{ "GET /a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sesame-12\r\n\r\n",
		  "GET /a 0" },
		{ "GET /a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sesame-13\r\n\r\n",
		  "HTTP/1.1 401" },
		{ "GET /a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sesame-1\r\n\r\n",
		  "HTTP/1.1 401" },
		{ "GET /a HTTP/1.1\r\nHost: x\r\nAuthorization: sesame-12\r\n\r\n",
		  "HTTP/1.1 401" },
		{ "GET /t/sesame-12/a HTTP/1.1\r\nHost: x\r\n\r\n", "GET /a 0" },
		{ "GET /t/sesame-12 HTTP/1.1\r\nHost: x\r\n\r\n", "GET / 0" },
		{ "GET /t/sesame-123/a HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 401" },
		{ "GET /t//a HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 401" },
		{ "GET /ws" HELLO "\r\n", "HTTP/1.1 401" },
		{ "GET /ws" HELLO "Authorization: Bearer sesame-12\r\n\r\n", "HTTP/1.1 101" },
		{ "GET /t/sesame-12/ws" HELLO "\r\n", "HTTP/1.1 101" },
	};
	struct told *t = open_net("sesame-12", 0);

	(void)state;
	for (size_t i = 0; i < sizeof(asks) / sizeof(asks[0]); i++) {
		struct peer *p = dial(t);
		tell(p, asks[i].request);
		UNTIL(p, has(p, "\r\n\r\n") && (has(p, asks[i].answer) || p->over));
		if (!has(p, asks[i].answer))
			fail_msg("%s: answered with: %s", asks[i].request, buf_str(&p->got));
		leave(p);
	}
	close_net(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_that_comes_byte_by_byte_is_one),
		cmocka_unit_test(fragments_are_joined_and_pings_between_them_answered),
		cmocka_unit_test(lengths_at_every_border_are_read),
		cmocka_unit_test(what_is_too_long_is_refused_by_what_it_says_of_itself),
		cmocka_unit_test(text_that_is_no_utf8_ends_with_1007),
		cmocka_unit_test(frames_that_break_the_rules_end_with_1002),
		cmocka_unit_test(an_unmasked_frame_harms_nobody),
		cmocka_unit_test(the_code_of_a_close_comes_back),
		cmocka_unit_test(who_does_not_read_is_not_read_from),
		cmocka_unit_test(a_held_socket_waits_and_loses_nothing),
		cmocka_unit_test(the_silent_are_asked_and_then_dropped),
		cmocka_unit_test(a_ping_at_the_time_of_ours_gets_its_own_bytes_back),
		cmocka_unit_test(who_leaves_anywhere_is_told_of_once),
		cmocka_unit_test(a_connection_serves_one_request_whatever_comes_behind_it),
		cmocka_unit_test(frames_may_come_with_the_upgrade),
		cmocka_unit_test(who_does_not_take_its_answer_is_dropped),
		cmocka_unit_test(what_is_no_request_of_ours_is_refused_in_words),
		cmocka_unit_test(a_token_is_asked_for_everywhere_but_where_it_is_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
