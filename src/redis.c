#include "src/redis.h"

#include <arpa/inet.h>
#include <errno.h>
#include <hiredis/hiredis.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/base/buf.h"
#include "src/base/clock.h"

/* An answer is never larger than what a worker may send back (src/queue.h) and its frame, and never
 * has more parts than the table of workers. */
enum { ANSWER_BYTES_MAX = 320 << 20, ANSWER_PARTS_MAX = 1 << 16, READ_BYTES = 64 << 10 };
#if HIREDIS_MAJOR >= 1
typedef size_t array_len;
#else
typedef int array_len;
#endif
#define DIFFER          "redis:// and rediss:// differ"
#define TOO_LARGE       "it sent an answer larger than any of ours"
#define CONNECT_S       5.0
#define BACKOFF_LEAST_S 0.05
#define BACKOFF_MOST_S  5.0

enum state { DOWN, CONNECTING, SHAKING, GREETING, UP, REFUSED };

struct asked {
	redis_answer *answer;
	void *ctx;
	double until_s;
};

struct redis {
	struct redis_address a;
	struct redis_ops ops;
	enum state state;
	int fd;
	SSL_CTX *tls;
	SSL *ssl;
	bool wants_write; /* TLS can go on only when the socket can be written */
	redisReader *reader;
	redisReplyObjectFunctions make; /* of answers: hiredis's, but for arrays */
	void *(*make_array)(const redisReadTask *, array_len);
	struct buf out;
	size_t unread, parts; /* bytes and parts of arrays since the last whole answer */
	struct asked *asked;
	size_t first, n_asked, cap_asked;
	struct asked *orphan; /* asked while it was not up: answered at the next step */
	size_t n_orphans, cap_orphans;
	double again_s, backoff_s, deadline_s;
	bool broken;
	struct err why;
};

/* ---- the address ---- */

static int hex_value(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
	                              : -1;
}

/* Bytes for %XX. What is not said is which, since it may be a password. */
static int decode(char *out, size_t size, const char *from, size_t len, const char *what,
                  struct err *e)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		int c = (unsigned char)from[i];
		if (c == '%') {
			int hi = i + 2 < len ? hex_value(from[i + 1]) : -1;
			int lo = i + 2 < len ? hex_value(from[i + 2]) : -1;
			c = i + 2 < len && hi >= 0 && lo >= 0 ? hi * 16 + lo : 0;
			i += 2;
		}
		if (c == 0)
			return err_set(e, ERR_USAGE,
			               "--queue: %s: %%XX with two hexadecimal digits, not "
			               "00, was expected after a '%%'",
			               what);
		if (n + 1 >= size)
			return err_set(e, ERR_USAGE, "--queue: %s: at most %zu bytes were expected",
			               what, size - 1);
		out[n++] = (char)c;
	}
	out[n] = '\0';
	return 0;
}

static int whole(const char *text, size_t len, int min, int max, const char *what, int *out,
                 struct err *e)
{
	long v = 0;
	size_t i = 0;

	for (; i < len && i < 9 && text[i] >= '0' && text[i] <= '9'; i++)
		v = v * 10 + (text[i] - '0');
	if (len == 0 || i < len || v < min || v > max)
		return err_set(e, ERR_USAGE,
		               "--queue: %s: a number from %d to %d was expected, got "
		               "'%.*s'",
		               what, min, max, len > 40 ? 40 : (int)len, text);
	*out = (int)v;
	return 0;
}

static int parse_query(struct redis_address *a, const char *q, struct err *e)
{
	while (*q) {
		size_t n = strcspn(q, "&"), k = strcspn(q, "=&");
		const char *v = q + k + (k < n);
		size_t len = k < n ? n - k - 1 : 0;
		char *to = k == 2 && strncmp(q, "ca", 2) == 0     ? a->ca
		           : k == 4 && strncmp(q, "cert", 4) == 0 ? a->cert
		           : k == 3 && strncmp(q, "key", 3) == 0  ? a->key
		                                                  : NULL;
		if (!to || len == 0)
			return err_set(e, ERR_USAGE,
			               "--queue: ca=FILE, cert=FILE or key=FILE was expected after "
			               "'?', got '%.*s'",
			               k > 40 ? 40 : (int)k, q);
		if (!a->tls)
			return err_set(
				e, ERR_USAGE,
				"--queue: certificates go with rediss://, and this is redis://");
		if (decode(to, sizeof(a->ca), v, len, "a file's name", e) < 0)
			return -1;
		q += n + (q[n] == '&');
	}
	if (!a->cert[0] != !a->key[0])
		return err_set(e, ERR_USAGE, "--queue: cert=FILE and key=FILE go together");
	return 0;
}

int redis_address_parse(struct redis_address *out, const char *url, struct err *e)
{
	struct redis_address a = { .port = 6379 };
	const char *at = url, *password;

	if (strncmp(url, "redis://", 8) == 0)
		at += 8;
	else if (strncmp(url, "rediss://", 9) == 0)
		a.tls = true, at += 9;
	else
		return err_set(e, ERR_USAGE,
		               "--queue: redis://HOST[:PORT] or rediss://HOST[:PORT] was expected");
	size_t n = strcspn(at, "/?");
	const char *rest = at + n, *sign = memrchr(at, '@', n);
	if (sign) {
		const char *colon = memchr(at, ':', (size_t)(sign - at));
		size_t user = (size_t)((colon ? colon : sign) - at);
		if (decode(a.user, sizeof(a.user), at, user, "the user", e) < 0)
			return -1;
		if (colon && decode(a.password, sizeof(a.password), colon + 1,
		                    (size_t)(sign - colon - 1), "the password", e) < 0)
			return -1;
		n -= (size_t)(sign + 1 - at);
		at = sign + 1;
	}
	if (!a.password[0] && (password = getenv("CADFORGE_QUEUE_PASSWORD"))) {
		if (strlen(password) >= sizeof(a.password))
			return err_set(e, ERR_USAGE,
			               "$CADFORGE_QUEUE_PASSWORD: at most %zu bytes were expected",
			               sizeof(a.password) - 1);
		snprintf(a.password, sizeof(a.password), "%s", password);
	}
	if (a.user[0] && !a.password[0])
		return err_set(e, ERR_USAGE,
		               "--queue: a user goes with a password: give it in "
		               "$CADFORGE_QUEUE_PASSWORD");
	/* the host, in brackets when it has colons of its own */
	const char *host = at, *end = at + n, *colon;
	size_t len;
	if (n > 0 && *at == '[') {
		const char *close = memchr(at, ']', n);
		if (!close)
			return err_set(e, ERR_USAGE, "--queue: the host: a ']' was expected");
		host = at + 1;
		len = (size_t)(close - host);
		colon = close + 1 < end ? close + 1 : NULL;
		if (colon && *colon != ':')
			return err_set(e, ERR_USAGE, "--queue: ':PORT' was expected after ']'");
	} else {
		colon = memchr(at, ':', n);
		len = (size_t)((colon ? colon : end) - host);
	}
	if (len == 0)
		return err_set(e, ERR_USAGE, "--queue: a host was expected after '://'");
	if (decode(a.host, sizeof(a.host), host, len, "the host", e) < 0)
		return -1;
	for (const char *c = a.host; *c; c++)
		if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 127)
			return err_set(e, ERR_USAGE,
			               "--queue: the host: letters, digits, '.', '-' and ':' were "
			               "expected");
	if (colon &&
	    whole(colon + 1, (size_t)(end - colon - 1), 1, 65535, "the port", &a.port, e) < 0)
		return -1;
	if (*rest == '/') {
		size_t d = strcspn(++rest, "?");
		if (d > 0 && whole(rest, d, 0, 65535, "the database", &a.database, e) < 0)
			return -1;
		rest += d;
	}
	if (*rest == '?' && parse_query(&a, rest + 1, e) < 0)
		return -1;
	snprintf(a.shown, sizeof(a.shown), strchr(a.host, ':') ? "%s://[%s]:%d" : "%s://%s:%d",
	         a.tls ? "rediss" : "redis", a.host, a.port);
	*out = a;
	return 0;
}

/* ---- the queue of what was asked ---- */

static bool push(struct asked **v, size_t *n, size_t *cap, struct asked what)
{
	if (*n == *cap) {
		size_t more = *cap ? *cap * 2 : 64;
		struct asked *grown = realloc(*v, more * sizeof(*grown));
		if (!grown)
			return false;
		*v = grown;
		*cap = more;
	}
	(*v)[(*n)++] = what;
	return true;
}

static void answer_orphans(struct redis *r)
{
	/* an answer may ask again, and that is for the next step */
	size_t n = r->n_orphans;
	struct asked *v = r->orphan;

	r->orphan = NULL;
	r->n_orphans = r->cap_orphans = 0;
	for (size_t i = 0; i < n; i++)
		if (v[i].answer)
			v[i].answer(v[i].ctx, NULL);
	free(v);
}

static struct asked shift(struct redis *r)
{
	struct asked a = r->asked[r->first++];

	if (r->first == r->n_asked)
		r->first = r->n_asked = 0;
	else if (r->first > 1024 && r->first * 2 > r->n_asked) {
		memmove(r->asked, r->asked + r->first, (r->n_asked - r->first) * sizeof(a));
		r->n_asked -= r->first;
		r->first = 0;
	}
	return a;
}

static double chance(void)
{
	unsigned v = 0;

	(void)!getrandom(&v, sizeof(v), GRND_NONBLOCK);
	return (double)v / 4294967296.0;
}

/* The connection is gone; everything asked is answered with NULL. */
static void fall(struct redis *r, bool for_good)
{
	struct asked *v = r->asked;
	size_t from = r->first, n = r->n_asked;
	struct err why = r->why;

	SSL_free(r->ssl);
	r->ssl = NULL;
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
	buf_clear(&r->out);
	redisReaderFree(r->reader);
	r->reader = NULL;
	r->asked = NULL;
	r->first = r->n_asked = r->cap_asked = 0;
	r->broken = false;
	r->state = for_good ? REFUSED : DOWN;
	r->again_s = clock_now_s() + r->backoff_s * (1 - 0.2 * chance());
	r->backoff_s = r->backoff_s * 2 > BACKOFF_MOST_S ? BACKOFF_MOST_S : r->backoff_s * 2;
	for (size_t i = from; i < n; i++)
		if (v[i].answer)
			v[i].answer(v[i].ctx, NULL);
	free(v);
	if (r->ops.down)
		r->ops.down(r->ops.ctx, &why);
}

static void break_with(struct redis *r, enum err_kind kind, const char *what, const char *why)
{
	r->broken = true;
	err_set(&r->why, kind, "%s: %s%s%s", r->a.shown, what, why ? ": " : "", why ? why : "");
}

/* ---- the socket ---- */

static const char *tls_reason(const struct redis *r)
{
	long v = r->ssl ? SSL_get_verify_result(r->ssl) : X509_V_OK;
	unsigned long code = ERR_peek_last_error();

	if (v != X509_V_OK)
		return X509_verify_cert_error_string(v);
	return code ? ERR_reason_error_string(code) : "the other side closed the connection";
}

static void start_tls(struct redis *r)
{
	struct in6_addr any;
	bool address = inet_pton(AF_INET, r->a.host, &any) == 1 ||
	               inet_pton(AF_INET6, r->a.host, &any) == 1;

	r->ssl = SSL_new(r->tls);
	if (!r->ssl || SSL_set_fd(r->ssl, r->fd) != 1 ||
	    (address ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(r->ssl), r->a.host)
	             : SSL_set1_host(r->ssl, r->a.host)) != 1 ||
	    (!address && SSL_set_tlsext_host_name(r->ssl, r->a.host) != 1)) {
		break_with(r, ERR_IO, "TLS could not be set up", tls_reason(r));
		return;
	}
	SSL_set_connect_state(r->ssl);
	r->state = SHAKING;
}

static void greet(struct redis *r);

static void shake(struct redis *r)
{
	ERR_clear_error();
	int rc = SSL_do_handshake(r->ssl);
	int what = rc == 1 ? SSL_ERROR_NONE : SSL_get_error(r->ssl, rc);

	r->wants_write = what == SSL_ERROR_WANT_WRITE;
	if (rc == 1) {
		greet(r);
	} else if (what != SSL_ERROR_WANT_READ && what != SSL_ERROR_WANT_WRITE) {
		bool untrusted = SSL_get_verify_result(r->ssl) != X509_V_OK;
		/* what came was no TLS at all */
		bool plain = ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_WRONG_VERSION_NUMBER;
		break_with(r, untrusted || plain ? ERR_USAGE : ERR_IO,
		           untrusted ? "its certificate is not trusted (?ca=FILE names one that is)"
		           : plain   ? "it speaks no TLS (" DIFFER ")"
		                     : "TLS could not be agreed upon",
		           tls_reason(r));
	}
}

/* hiredis takes a server's word for how many parts an array has, and makes room for them. */
static void *bounded_array(const redisReadTask *task, array_len n)
{
	struct redis *r = task->privdata;

	if (n < 0 || (size_t)n > ANSWER_PARTS_MAX - r->parts)
		return NULL;
	r->parts += (size_t)n;
	return r->make_array(task, n);
}

static redisReader *make_reader(struct redis *r)
{
	redisReader *reader = redisReaderCreate();

	if (!reader)
		return NULL;
	r->make = *reader->fn;
	r->make_array = r->make.createArray;
	r->make.createArray = bounded_array;
	reader->fn = &r->make;
	reader->privdata = r;
	return reader;
}

static void dial(struct redis *r)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };
	struct addrinfo *found = NULL;
	char port[16];
	int on = 1;

	snprintf(port, sizeof(port), "%d", r->a.port);
	int rc = getaddrinfo(r->a.host, port, &hints, &found);
	if (rc != 0) {
		break_with(r, ERR_IO, "the host is not known", gai_strerror(rc));
		return;
	}
	r->reader = make_reader(r);
	int saved = 0;
	for (struct addrinfo *a = found; a && r->fd < 0; a = a->ai_next) {
		int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (fd < 0 ||
		    (connect(fd, a->ai_addr, a->ai_addrlen) < 0 && errno != EINPROGRESS)) {
			saved = errno;
			if (fd >= 0)
				close(fd);
			continue;
		}
		r->fd = fd;
	}
	freeaddrinfo(found);
	if (r->fd < 0 || !r->reader) {
		break_with(r, ERR_IO, "no connection", strerror(r->reader ? saved : ENOMEM));
		return;
	}
	setsockopt(r->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(r->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	r->unread = r->parts = 0;
	r->wants_write = false;
	r->state = CONNECTING;
	r->deadline_s = clock_now_s() + CONNECT_S;
}

static void connected(struct redis *r)
{
	int error = 0;
	socklen_t n = sizeof(error);

	getsockopt(r->fd, SOL_SOCKET, SO_ERROR, &error, &n);
	if (error)
		break_with(r, ERR_IO, "no connection", strerror(error));
	else if (r->a.tls)
		start_tls(r);
	else
		greet(r);
	if (r->state == SHAKING && !r->broken)
		shake(r);
}

/* Bytes written or read, 0 for not now, -1 with @broken. */
static ssize_t put(struct redis *r, const void *data, size_t len)
{
	if (r->ssl) {
		ERR_clear_error();
		int n = SSL_write(r->ssl, data, len > 1 << 30 ? 1 << 30 : (int)len);
		int what = n > 0 ? SSL_ERROR_NONE : SSL_get_error(r->ssl, n);
		if (n > 0 || what == SSL_ERROR_WANT_READ || what == SSL_ERROR_WANT_WRITE)
			return n > 0 ? n : 0;
		break_with(r, ERR_IO, "the connection broke", tls_reason(r));
		return -1;
	}
	ssize_t n = send(r->fd, data, len, MSG_NOSIGNAL);
	if (n >= 0 || errno == EAGAIN || errno == EINTR)
		return n > 0 ? n : 0;
	break_with(r, ERR_IO, "the connection broke", strerror(errno));
	return -1;
}

static ssize_t get(struct redis *r, void *data, size_t len)
{
	if (r->ssl) {
		ERR_clear_error();
		int n = SSL_read(r->ssl, data, (int)len);
		int what = n > 0 ? SSL_ERROR_NONE : SSL_get_error(r->ssl, n);
		if (n > 0 || what == SSL_ERROR_WANT_READ || what == SSL_ERROR_WANT_WRITE)
			return n > 0 ? n : 0;
		break_with(r, ERR_IO, "the connection broke", tls_reason(r));
		return -1;
	}
	ssize_t n = recv(r->fd, data, len, 0);
	if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		return n > 0 ? n : 0;
	/* so does one that waits for TLS and is spoken to without */
	if (r->state == GREETING)
		break_with(r, ERR_IO, "it answers nothing and hangs up (" DIFFER ")", NULL);
	else
		break_with(r, ERR_IO,
		           n == 0 ? "the server closed the connection" : "the connection broke",
		           n == 0 ? NULL : strerror(errno));
	return -1;
}

static void flush(struct redis *r)
{
	while (!r->broken && r->out.len > 0) {
		ssize_t n = put(r, r->out.data, r->out.len);
		if (n <= 0)
			return;
		buf_consume(&r->out, (size_t)n);
	}
}

/* ---- being let in ---- */

/* Those that no second try helps. */
static bool is_final(const char *text)
{
	return strncmp(text, "WRONGPASS", 9) == 0 || strncmp(text, "NOAUTH", 6) == 0 ||
	       strncmp(text, "NOPERM", 6) == 0 || strncmp(text, "ERR AUTH", 8) == 0 ||
	       strncmp(text, "DENIED", 6) == 0 || strstr(text, "DB index is out of range") ||
	       strstr(text, "Client sent AUTH");
}

/* No server's text reaches a message raw: printable ASCII alone. */
static void plain(char *out, size_t size, const char *text)
{
	size_t n = 0;

	for (; *text && n + 1 < size; text++)
		out[n++] = *text >= ' ' && *text < 127 ? *text : '?';
	out[n] = '\0';
}

static void greeted(void *ctx, const struct redisReply *reply)
{
	struct redis *r = ctx;
	char text[200];

	if (!reply || reply->type != REDIS_REPLY_ERROR)
		return;
	plain(text, sizeof(text), reply->str);
	break_with(r, is_final(reply->str) ? ERR_USAGE : ERR_IO, "it does not let us in", text);
}

static void let_in(void *ctx, const struct redisReply *reply)
{
	struct redis *r = ctx;

	greeted(ctx, reply);
	if (!reply || r->broken)
		return;
	r->state = UP;
	r->backoff_s = BACKOFF_LEAST_S;
	if (r->ops.up)
		r->ops.up(r->ops.ctx);
}

static void ask(struct redis *r, redis_answer *answer, void *ctx, double within_s, int argc,
                const char *const *argv, const size_t *len)
{
	char *text = NULL;
	int n = redisFormatCommandArgv(&text, argc, (const char **)(uintptr_t)argv, len);

	if (n < 0 || !push(&r->asked, &r->n_asked, &r->cap_asked,
	                   (struct asked){ answer, ctx, clock_now_s() + within_s })) {
		break_with(r, ERR_MEM, "out of memory", NULL);
		if (!push(&r->orphan, &r->n_orphans, &r->cap_orphans,
		          (struct asked){ answer, ctx, 0 }) &&
		    answer)
			answer(ctx, NULL);
	} else {
		buf_add(&r->out, text, (size_t)n);
		if (buf_failed(&r->out))
			break_with(r, ERR_MEM, "out of memory", NULL);
	}
	free(text);
}

static void greet(struct redis *r)
{
	char database[16];

	r->state = GREETING;
	if (r->a.user[0])
		ask(r, greeted, r, CONNECT_S, 3,
		    (const char *const[]){ "AUTH", r->a.user, r->a.password }, NULL);
	else if (r->a.password[0])
		ask(r, greeted, r, CONNECT_S, 2, (const char *const[]){ "AUTH", r->a.password },
		    NULL);
	snprintf(database, sizeof(database), "%d", r->a.database);
	ask(r, let_in, r, CONNECT_S, 2, (const char *const[]){ "SELECT", database }, NULL);
}

/* ---- the verbs ---- */

struct redis *redis_open(const struct redis_address *a, const struct redis_ops *ops, struct err *e)
{
	struct redis *r = calloc(1, sizeof(*r));

	if (!r) {
		err_set(e, ERR_MEM, "out of memory");
		return NULL;
	}
	r->a = *a;
	r->ops = *ops;
	r->fd = -1;
	r->backoff_s = BACKOFF_LEAST_S;
	if (!a->tls)
		return r;
	ERR_clear_error();
	r->tls = SSL_CTX_new(TLS_client_method());
	if (!r->tls) {
		err_set(e, ERR_LACKS, "OpenSSL gives no TLS: %s", tls_reason(r));
		goto fail;
	}
	SSL_CTX_set_min_proto_version(r->tls, TLS1_2_VERSION);
	SSL_CTX_set_verify(r->tls, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_mode(r->tls,
	                 SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	if ((a->ca[0] ? SSL_CTX_load_verify_locations(r->tls, a->ca, NULL)
	              : SSL_CTX_set_default_verify_paths(r->tls)) != 1) {
		err_set(e, ERR_USAGE, "--queue: ca=%.200s: certificates (PEM) were expected: %s",
		        a->ca[0] ? a->ca : "the system's store", tls_reason(r));
		goto fail;
	}
	if (a->cert[0] && (SSL_CTX_use_certificate_chain_file(r->tls, a->cert) != 1 ||
	                   SSL_CTX_use_PrivateKey_file(r->tls, a->key, SSL_FILETYPE_PEM) != 1)) {
		err_set(e, ERR_USAGE,
		        "--queue: cert=%.150s, key=%.150s: a certificate and its key (PEM) were "
		        "expected: %s",
		        a->cert, a->key, tls_reason(r));
		goto fail;
	}
	return r;
fail:
	redis_close(r);
	return NULL;
}

void redis_close(struct redis *r)
{
	if (!r)
		return;
	if (r->ssl && r->state == UP)
		SSL_shutdown(r->ssl);
	SSL_free(r->ssl);
	SSL_CTX_free(r->tls);
	if (r->fd >= 0)
		close(r->fd);
	redisReaderFree(r->reader);
	buf_release(&r->out);
	free(r->asked);
	free(r->orphan);
	explicit_bzero(r->a.password, sizeof(r->a.password));
	free(r);
}

bool redis_is_up(const struct redis *r)
{
	return r->state == UP && !r->broken;
}

const struct err *redis_refused(const struct redis *r)
{
	return r->state == REFUSED ? &r->why : NULL;
}

void redis_send(struct redis *r, redis_answer *answer, void *ctx, double within_s, int argc,
                const char *const *argv, const size_t *len)
{
	if (redis_is_up(r))
		ask(r, answer, ctx, within_s, argc, argv, len);
	else if (!push(&r->orphan, &r->n_orphans, &r->cap_orphans,
	               (struct asked){ answer, ctx, 0 }) &&
	         answer)
		answer(ctx, NULL);
}

int redis_poll_fd(const struct redis *r, struct pollfd *out)
{
	if (r->fd < 0)
		return 0;
	*out = (struct pollfd){ .fd = r->fd, .events = POLLIN };
	if (r->state == CONNECTING)
		out->events = POLLOUT;
	else if (r->state == SHAKING)
		out->events = r->wants_write ? POLLOUT : POLLIN;
	else if (r->out.len > 0)
		out->events |= POLLOUT;
	return 1;
}

int redis_timeout_ms(const struct redis *r)
{
	double until;

	if (r->broken || r->n_orphans > 0)
		return 0;
	if (r->state == REFUSED)
		return -1;
	if (r->state == DOWN)
		until = r->again_s;
	else if (r->state == CONNECTING || r->state == SHAKING)
		until = r->deadline_s;
	else if (r->first < r->n_asked)
		until = r->asked[r->first].until_s;
	else
		return -1;
	double left = until - clock_now_s();
	return left <= 0 ? 0 : left > 60 ? 60000 : (int)(left * 1000) + 1;
}

static void read_answers(struct redis *r)
{
	char chunk[READ_BYTES];

	while (!r->broken) {
		ssize_t n = get(r, chunk, sizeof(chunk));
		if (n <= 0)
			return;
		r->unread += (size_t)n;
		if (r->unread > ANSWER_BYTES_MAX) {
			break_with(r, ERR_PROTOCOL, TOO_LARGE, NULL);
			return;
		}
		redisReaderFeed(r->reader, chunk, (size_t)n);
		for (void *reply = NULL; !r->broken; reply = NULL) {
			if (redisReaderGetReply(r->reader, &reply) != REDIS_OK) {
				if (r->reader->err == REDIS_ERR_OOM)
					break_with(r, ERR_PROTOCOL, TOO_LARGE, NULL);
				else
					break_with(r, ERR_USAGE, "that is no Redis (" DIFFER ")",
					           NULL);
				return;
			}
			if (!reply)
				break;
			r->unread = r->parts = 0;
			if (r->first == r->n_asked) {
				freeReplyObject(reply);
				break_with(r, ERR_PROTOCOL, "it answers what nobody asked", NULL);
				return;
			}
			struct asked a = shift(r);
			if (a.answer)
				a.answer(a.ctx, reply);
			freeReplyObject(reply);
		}
	}
}

void redis_step(struct redis *r)
{
	double now = clock_now_s();
	struct pollfd p;

	answer_orphans(r);
	if (r->state == REFUSED)
		return;
	if (!r->broken && r->state == DOWN && now >= r->again_s)
		dial(r);
	if (!r->broken && redis_poll_fd(r, &p) && poll(&p, 1, 0) > 0) {
		if (r->state == CONNECTING)
			connected(r);
		else if (r->state == SHAKING)
			shake(r);
		else
			read_answers(r);
	}
	if (!r->broken && (r->state == CONNECTING || r->state == SHAKING) && now > r->deadline_s)
		/* a server without TLS waits for the end of what is no line to it */
		break_with(r, ERR_IO,
		           r->state == SHAKING ? "TLS was not agreed upon in time (" DIFFER ")"
		                               : "no connection in time",
		           NULL);
	if (!r->broken && r->first < r->n_asked && now > r->asked[r->first].until_s)
		break_with(r, ERR_IO, "no answer in time", NULL);
	if (!r->broken && (r->state == GREETING || r->state == UP))
		flush(r);
	if (r->broken)
		fall(r, r->why.kind == ERR_USAGE);
}
