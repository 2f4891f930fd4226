#include "src/serve_net.h"

#include <errno.h>
#include <libwebsockets.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "src/base/buf.h"
#include "src/base/clock.h"
#include "src/base/utf8.h"

enum {
	PATH_BYTES = 4096,
	CHUNK = 64 << 10, /* of a body, a write */
	FDS_MAX = 256,    /* of the caller's, watched together */
	BUCKETS = 4096,
	SPARE_FDS = 64,
};
#define LOOK_S 0.25

struct message {
	struct message *next;
	size_t len;
	unsigned char text[]; /* LWS_PRE bytes of room, then the text */
};

struct conn {
	struct conn *next; /* of its bucket */
	uint64_t id;
	struct lws *wsi;
	bool socket, told; /* told: the caller knows of it */
	/* what comes */
	struct buf in;
	bool too_long, binary, held, full;
	bool asks;   /* a request that is not answered yet: nothing more is read */
	bool pieces; /* more of the answer is to come */
	char method[12], path[PATH_BYTES], query[PATH_BYTES];
	size_t wanted; /* bytes of the body */
	/* what goes */
	struct message *first, **last_message;
	size_t unsent;
	int status; /* of an answer; 0: none yet */
	char type[64];
	struct buf out;
	size_t sent;
	bool head_sent;
	int close_code; /* 0: stay */
	/* of sockets: when something last came of it or went to it, and whether it was asked since
	 */
	double moved_s;
	bool ping_due, pinged;
};

struct net {
	struct net_options o;
	struct net_ops ops;
	struct lws_context *lws;
	struct lws_vhost *vhost;
	struct conn *bucket[BUCKETS];
	uint64_t last;
	int port, epoll, connections;
	bool ready; /* one of the caller's descriptors is */
	bool full;  /* no new connections */
	lws_sorted_usec_list_t timer;
	int watched[FDS_MAX], n_watched;
	struct lws_protocols protocols[2];
	double silent_s, looked_s;
	lws_retry_bo_t no_pings; /* of the library's own: see write_ping() */
};

/* ---- connections ---- */

static struct conn *find(const struct net *n, uint64_t id)
{
	struct conn *c = n->bucket[id % BUCKETS];

	while (c && c->id != id)
		c = c->next;
	return c;
}

static struct conn *conn_of(struct net *n, struct lws *wsi)
{
	struct conn *c = lws_get_opaque_user_data(wsi);

	if (c)
		return c;
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->id = ++n->last;
	c->wsi = wsi;
	c->last_message = &c->first;
	c->next = n->bucket[c->id % BUCKETS];
	n->bucket[c->id % BUCKETS] = c;
	lws_set_opaque_user_data(wsi, c);
	n->connections++;
	return c;
}

static void forget(struct net *n, struct conn *c)
{
	struct conn **at = &n->bucket[c->id % BUCKETS];

	while (*at && *at != c)
		at = &(*at)->next;
	if (*at)
		*at = c->next;
	if (c->wsi)
		lws_set_opaque_user_data(c->wsi, NULL);
	if (c->told)
		n->ops.gone(n->ops.ctx, c->id);
	while (c->first) {
		struct message *m = c->first;
		c->first = m->next;
		free(m);
	}
	buf_release(&c->in);
	buf_release(&c->out);
	n->connections--;
	free(c);
}

/* ---- who may ---- */

#define TOKEN_WANTED "A token is wanted: Authorization: Bearer TOKEN, or /t/TOKEN before the path"

static bool equal_times(const char *a, const char *b, size_t n)
{
	unsigned char different = 0;

	for (size_t i = 0; i < n; i++)
		different |= (unsigned char)(a[i] ^ b[i]);
	return different == 0;
}

/* Takes /t/TOKEN off the path. */
static bool may(const struct net *n, struct conn *c, struct lws *wsi)
{
	char head[600];
	size_t len = n->o.token ? strlen(n->o.token) : 0;

	if (!n->o.token)
		return true;
	for (const char *const *p = n->o.open_paths; p && *p; p++)
		if (strcmp(*p, c->path) == 0)
			return true;
	if (strncmp(c->path, "/t/", 3) == 0) {
		size_t given = strcspn(c->path + 3, "/");
		if (given == len && equal_times(c->path + 3, n->o.token, len)) {
			memmove(c->path, c->path + 3 + len, strlen(c->path + 3 + len) + 1);
			if (!c->path[0])
				snprintf(c->path, sizeof(c->path), "/");
			return true;
		}
		return false;
	}
	int got = lws_hdr_copy(wsi, head, sizeof(head), WSI_TOKEN_HTTP_AUTHORIZATION);
	return got > 7 && strncasecmp(head, "Bearer ", 7) == 0 && strlen(head + 7) == len &&
	       equal_times(head + 7, n->o.token, len);
}

static const struct {
	enum lws_token_indexes token;
	const char *name;
} methods[] = { { WSI_TOKEN_GET_URI, "GET" },      { WSI_TOKEN_POST_URI, "POST" },
	        { WSI_TOKEN_HEAD_URI, "HEAD" },    { WSI_TOKEN_OPTIONS_URI, "OPTIONS" },
	        { WSI_TOKEN_PUT_URI, "PUT" },      { WSI_TOKEN_PATCH_URI, "PATCH" },
	        { WSI_TOKEN_DELETE_URI, "DELETE" } };

/* Method, path and query; false: they cannot be had. */
static bool read_head(struct conn *c, struct lws *wsi)
{
	size_t i = 0, n = sizeof(methods) / sizeof(methods[0]), at = 0;

	while (i < n && lws_hdr_total_length(wsi, methods[i].token) == 0)
		i++;
	if (i == n || lws_hdr_copy(wsi, c->path, sizeof(c->path), methods[i].token) < 0)
		return false;
	snprintf(c->method, sizeof(c->method), "%s", methods[i].name);
	c->query[0] = '\0';
	for (int k = 0;; k++) {
		char piece[1024];
		int got = lws_hdr_copy_fragment(wsi, piece, sizeof(piece), WSI_TOKEN_HTTP_URI_ARGS,
		                                k);
		if (got < 0 || at + (size_t)got + 2 > sizeof(c->query))
			break;
		at += (size_t)snprintf(c->query + at, sizeof(c->query) - at, "%s%.*s", k ? "&" : "",
		                       got, piece);
	}
	return true;
}

/* ---- answers ---- */

static void answer_begin(struct conn *c, int status, const char *type)
{
	c->status = status;
	snprintf(c->type, sizeof(c->type), "%s", type);
	c->moved_s = clock_now_s();
	if (c->asks)
		lws_rx_flow_control(c->wsi, 1);
	c->asks = false;
	lws_callback_on_writable(c->wsi);
}

void net_answer(struct net *n, uint64_t conn, int status, const char *type, const void *body,
                size_t len)
{
	struct conn *c = find(n, conn);

	if (!c || c->socket || c->status)
		return;
	if (strcmp(c->method, "HEAD") != 0)
		buf_add(&c->out, body, len);
	c->told = false; /* nobody is waited for any more */
	answer_begin(c, status, type);
}

void net_begin(struct net *n, uint64_t conn, const char *type)
{
	struct conn *c = find(n, conn);

	if (!c || c->socket || c->status)
		return;
	c->pieces = true;
	answer_begin(c, 200, type);
}

void net_more(struct net *n, uint64_t conn, const void *bytes, size_t len)
{
	struct conn *c = find(n, conn);

	if (!c || !c->pieces)
		return;
	if (c->sent == c->out.len) {
		buf_clear(&c->out);
		c->sent = 0;
		c->moved_s = clock_now_s();
	}
	buf_add(&c->out, bytes, len);
	lws_callback_on_writable(c->wsi);
}

void net_end(struct net *n, uint64_t conn)
{
	struct conn *c = find(n, conn);

	if (!c || !c->pieces)
		return;
	c->pieces = c->told = false;
	lws_callback_on_writable(c->wsi);
}

/* -1: the connection is to be closed. */
static int write_answer(struct conn *c)
{
	if (buf_failed(&c->out))
		return -1;
	if (!c->head_sent) {
		unsigned char head[LWS_PRE + 2048], *p = head + LWS_PRE, *end = head + sizeof(head);
		if (lws_add_http_common_headers(c->wsi, (unsigned)c->status, c->type,
		                                c->pieces ? LWS_ILLEGAL_HTTP_CONTENT_LEN
		                                          : (lws_filepos_t)c->out.len,
		                                &p, end))
			return -1;
		/* of what has no length the library says so itself */
		if (!c->pieces &&
		    lws_add_http_header_by_name(c->wsi, (const unsigned char *)"connection:",
		                                (const unsigned char *)"close", 5, &p, end))
			return -1;
		if (c->status == 405 &&
		    lws_add_http_header_by_name(c->wsi, (const unsigned char *)"allow:",
		                                (const unsigned char *)"GET, POST", 9, &p, end))
			return -1;
		if (lws_finalize_write_http_header(c->wsi, head + LWS_PRE, &p, end))
			return -1;
		c->head_sent = true;
		if (c->out.len > 0 || c->pieces) {
			lws_callback_on_writable(c->wsi);
			return 0;
		}
	} else if (c->sent < c->out.len) {
		size_t left = c->out.len - c->sent, len = left < CHUNK ? left : CHUNK;
		unsigned char *piece = malloc(LWS_PRE + len);
		if (!piece)
			return -1;
		memcpy(piece + LWS_PRE, c->out.data + c->sent, len);
		int wrote = lws_write(c->wsi, piece + LWS_PRE, len,
		                      len == left && !c->pieces ? LWS_WRITE_HTTP_FINAL
		                                                : LWS_WRITE_HTTP);
		free(piece);
		if (wrote < (int)len)
			return -1;
		c->sent += len;
		c->moved_s = clock_now_s();
		if (c->sent < c->out.len) {
			lws_callback_on_writable(c->wsi);
			return 0;
		}
	}
	return c->pieces ? 0 : -1;
}

/* An answer of our own, after which the connection ends. */
static void refuse(struct net *n, struct conn *c, int status, const char *why)
{
	char text[300];
	int len = snprintf(text, sizeof(text), "{\"detail\":\"%s\"}", why);

	net_answer(n, c->id, status, "application/json", text, (size_t)len);
}

static int hand_over(struct net *n, struct conn *c)
{
	struct net_request r = { c->method, c->path, c->query, buf_str(&c->in), c->in.len };

	c->told = true;
	if (c->too_long || buf_failed(&c->in)) {
		refuse(n, c, 413, "Request Entity Too Large");
		return 0;
	}
	/* what follows it is not for the library to see: it would try it again and again */
	c->asks = true;
	lws_rx_flow_control(c->wsi, 0);
	n->ops.request(n->ops.ctx, c->id, &r);
	return 0;
}

static int on_http(struct net *n, struct lws *wsi)
{
	struct conn *c = conn_of(n, wsi);
	char length[32];

	if (!c)
		return -1;
	if (!read_head(c, wsi))
		return -1;
	if (!may(n, c, wsi)) {
		refuse(n, c, 401, TOKEN_WANTED);
		return 0;
	}
	if (lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0) {
		refuse(n, c, 411, "Length Required: a body comes with its Content-Length");
		return 0;
	}
	c->wanted = 0;
	if (lws_hdr_copy(wsi, length, sizeof(length), WSI_TOKEN_HTTP_CONTENT_LENGTH) > 0)
		c->wanted = (size_t)strtoull(length, NULL, 10);
	if (c->wanted > n->o.message_max)
		c->too_long = true;
	if (c->wanted == 0 || c->too_long)
		return hand_over(n, c);
	return 0;
}

static void on_body(struct net *n, struct conn *c, const void *in, size_t len)
{
	if (c->in.len + len > n->o.message_max)
		c->too_long = true;
	else
		buf_add(&c->in, in, len);
}

/* ---- sockets ---- */

/* What is read from a socket stops while its caller holds it, and while it does not take what it is
 * sent. */
static void flow(struct conn *c, bool held)
{
	bool before = c->held || c->full;

	c->held = held;
	c->full = c->unsent > NET_UNSENT_BYTES;
	if ((c->held || c->full) != before) {
		c->moved_s = clock_now_s();
		lws_rx_flow_control(c->wsi, before ? 1 : 0);
	}
}

/* Whoever asked and is not read from: has it hung up? */
static bool has_left(const struct conn *c)
{
	struct pollfd p = { .fd = lws_get_socket_fd(c->wsi), .events = POLLRDHUP };

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

/* Who is silent is asked whether it is there; who does not say so, or does not take what it is
 * sent, is dropped. Of one that we do not listen to ourselves nothing is expected. */
static void look_for_silent(struct net *n)
{
	double now = clock_now_s();

	if (now - n->looked_s < fmin(n->silent_s / 16, LOOK_S))
		return;
	n->looked_s = now;
	for (int i = 0; i < BUCKETS; i++)
		for (struct conn *c = n->bucket[i]; c; c = c->next) {
			double silent = now - c->moved_s;
			if (c->asks && has_left(c))
				lws_set_timeout(c->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
			bool idle = c->pieces && c->sent == c->out.len;
			if (!(c->socket || c->status) || c->moved_s <= 0 || idle ||
			    (c->held && !c->first))
				continue;
			if (silent > 2 * n->silent_s) {
				lws_set_timeout(c->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
			} else if (c->socket && silent > n->silent_s && !c->pinged &&
			           !c->ping_due) {
				c->ping_due = true;
				lws_callback_on_writable(c->wsi);
			}
		}
}

/* The library would hang up without a word. */
static void refuse_upgrade(struct lws *wsi, int status)
{
	unsigned char text[LWS_PRE + 512];
	const char *why = status == 401
	                          ? "{\"detail\":\"" TOKEN_WANTED "\"}"
	                          : "{\"detail\":\"Not Found: WebSockets are at /ws and /mcp\"}";
	int len = snprintf((char *)text + LWS_PRE, sizeof(text) - LWS_PRE,
	                   "HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: "
	                   "%zu\r\nconnection: close\r\n\r\n%s",
	                   status == 401 ? "401 Unauthorized" : "404 Not Found", strlen(why), why);

	lws_write(wsi, text + LWS_PRE, (size_t)len, LWS_WRITE_HTTP_HEADERS);
}

/* 0: it may; -1: it was refused. */
static int on_upgrade(struct net *n, struct lws *wsi)
{
	struct conn *c = conn_of(n, wsi);

	if (!c || !read_head(c, wsi))
		return -1;
	int status = !may(n, c, wsi)                                      ? 401
	             : !n->ops.open(n->ops.ctx, c->id, c->path, c->query) ? 404
	                                                                  : 0;
	if (status) {
		refuse_upgrade(wsi, status);
		return -1;
	}
	c->socket = c->told = true;
	return 0;
}

static void moved(struct conn *c)
{
	c->moved_s = clock_now_s();
	c->ping_due = c->pinged = false;
}

static int on_frame(struct net *n, struct conn *c, struct lws *wsi, const void *in, size_t len)
{
	moved(c);
	if (lws_is_first_fragment(wsi)) {
		buf_clear(&c->in);
		c->binary = lws_frame_is_binary(wsi);
	}
	/* by what the frame says of itself, before it has all come */
	if (len > n->o.message_max || lws_remaining_packet_payload(wsi) > n->o.message_max ||
	    c->in.len + len + lws_remaining_packet_payload(wsi) > n->o.message_max) {
		lws_close_reason(wsi, LWS_CLOSE_STATUS_MESSAGE_TOO_LARGE, NULL, 0);
		return -1;
	}
	buf_add(&c->in, in, len);
	if (lws_remaining_packet_payload(wsi) > 0 || !lws_is_final_fragment(wsi))
		return 0;
	if (buf_failed(&c->in))
		return -1;
	if (!c->binary && !utf8_valid(buf_str(&c->in), c->in.len, NULL)) {
		lws_close_reason(wsi, LWS_CLOSE_STATUS_INVALID_PAYLOAD, NULL, 0);
		return -1;
	}
	n->ops.message(n->ops.ctx, c->id, buf_str(&c->in), c->in.len, c->binary);
	buf_clear(&c->in);
	if (c->in.cap > CHUNK)
		buf_release(&c->in);
	return 0;
}

/* With bytes of our own: the library would take those of a pong that is not sent yet, and the peer
 * then waits for that in vain. */
static int write_ping(struct conn *c)
{
	unsigned char text[LWS_PRE + 8] = { 0 };

	memcpy(text + LWS_PRE, "cadforge", 8);
	c->ping_due = false;
	c->pinged = true;
	if (lws_write(c->wsi, text + LWS_PRE, 8, LWS_WRITE_PING) < 0)
		return -1;
	lws_callback_on_writable(c->wsi);
	return 0;
}

static int write_message(struct conn *c)
{
	struct message *m = c->first;

	if (c->ping_due)
		return write_ping(c);
	if (m) {
		int wrote = lws_write(c->wsi, m->text + LWS_PRE, m->len, LWS_WRITE_TEXT);
		c->first = m->next;
		if (!c->first)
			c->last_message = &c->first;
		bool short_of = wrote < (int)m->len;
		c->unsent -= m->len;
		c->moved_s = clock_now_s();
		flow(c, c->held);
		free(m);
		if (short_of)
			return -1;
	}
	if (c->first) {
		lws_callback_on_writable(c->wsi);
	} else if (c->close_code) {
		lws_close_reason(c->wsi, (enum lws_close_status)c->close_code, NULL, 0);
		return -1;
	}
	return 0;
}

void net_send(struct net *n, uint64_t conn, const char *text, size_t len)
{
	struct conn *c = find(n, conn);
	struct message *m;

	if (!c || !c->socket || c->close_code)
		return;
	m = malloc(sizeof(*m) + LWS_PRE + len);
	if (!m) {
		net_hang_up(n, conn, 1011);
		return;
	}
	m->next = NULL;
	m->len = len;
	memcpy(m->text + LWS_PRE, text, len);
	*c->last_message = m;
	c->last_message = &m->next;
	c->unsent += len;
	flow(c, c->held);
	lws_callback_on_writable(c->wsi);
}

void net_hang_up(struct net *n, uint64_t conn, int code)
{
	struct conn *c = find(n, conn);

	if (!c || !c->socket || c->close_code)
		return;
	c->close_code = code;
	lws_callback_on_writable(c->wsi);
}

void net_hold(struct net *n, uint64_t conn, bool hold)
{
	struct conn *c = find(n, conn);

	if (!c || c->held == hold)
		return;
	flow(c, hold);
}

/* ---- libwebsockets ---- */

static int callback(struct lws *wsi, enum lws_callback_reasons why, void *user, void *in,
                    size_t len)
{
	struct lws_context *lws = wsi ? lws_get_context(wsi) : NULL;
	struct net *n = lws ? lws_context_user(lws) : NULL;
	struct conn *c = n && wsi ? lws_get_opaque_user_data(wsi) : NULL;

	(void)user;
	if (!n)
		return 0;
	switch (why) {
	case LWS_CALLBACK_FILTER_NETWORK_CONNECTION:
		return n->full;
	case LWS_CALLBACK_HTTP:
		return on_http(n, wsi);
	case LWS_CALLBACK_HTTP_BODY:
		if (c)
			on_body(n, c, in, len);
		return 0;
	case LWS_CALLBACK_HTTP_BODY_COMPLETION:
		/* comes again with whatever is sent behind the request */
		return c && !c->status && !c->told ? hand_over(n, c) : c && c->pieces ? -1 : 0;
	case LWS_CALLBACK_HTTP_WRITEABLE:
		return c && c->status ? write_answer(c) : 0;
	case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
		return on_upgrade(n, wsi);
	case LWS_CALLBACK_ESTABLISHED:
		if (c) {
			moved(c);
			n->ops.opened(n->ops.ctx, c->id);
		}
		return 0;
	case LWS_CALLBACK_RECEIVE_PONG:
		if (c)
			moved(c);
		return 0;
	case LWS_CALLBACK_RECEIVE:
		return c ? on_frame(n, c, wsi, in, len) : 0;
	case LWS_CALLBACK_SERVER_WRITEABLE:
		return c ? write_message(c) : 0;
	case LWS_CALLBACK_CLOSED:
	case LWS_CALLBACK_CLOSED_HTTP:
	case LWS_CALLBACK_WSI_DESTROY:
		if (c)
			forget(n, c);
		return 0;
	case LWS_CALLBACK_RAW_RX_FILE:
		n->ready = true;
		return 0;
	default:
		return 0;
	}
}

static void on_timer(lws_sorted_usec_list_t *timer)
{
	struct net *n = lws_container_of(timer, struct net, timer);

	n->ready = true;
}

static int no_memory(struct net *n, struct err *e)
{
	net_close(n);
	return err_set(e, ERR_MEM, "out of memory");
}

/* Raises how many descriptors there may be as far as the process may; how many connections. */
static int room(int wanted)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) < 0)
		return wanted > 0 ? wanted : 1024 - SPARE_FDS;
	l.rlim_cur = l.rlim_max < 65536 ? l.rlim_max : 65536;
	setrlimit(RLIMIT_NOFILE, &l);
	int most = (int)l.rlim_cur - SPARE_FDS;
	return wanted > 0 && wanted < most ? wanted : most;
}

struct net *net_open(const struct net_options *o, const struct net_ops *ops, struct err *e)
{
	struct net *n = calloc(1, sizeof(*n));
	struct lws_context_creation_info info = { 0 };

	if (!n) {
		err_set(e, ERR_MEM, "out of memory");
		return NULL;
	}
	n->o = *o;
	n->ops = *ops;
	n->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (n->epoll < 0) {
		no_memory(n, e);
		return NULL;
	}
	lws_set_log_level(0, NULL);
	n->protocols[0] = (struct lws_protocols){ .name = "http",
		                                  .callback = callback,
		                                  .rx_buffer_size = CHUNK };
	n->silent_s = o->silent_s > 0 ? o->silent_s : NET_SILENT_S;
	info.options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS;
	info.user = n;
	info.fd_limit_per_thread = (unsigned)(room(o->connections_max) + SPARE_FDS / 2);
	info.pt_serv_buf_size = CHUNK;
	info.max_http_header_data = 8192;
	info.max_http_header_pool = 0; /* a head for each connection, made as they come */
	n->lws = lws_create_context(&info);
	if (!n->lws) {
		no_memory(n, e);
		return NULL;
	}
	info.port = o->port;
	info.iface = o->host ? o->host : "127.0.0.1";
	info.protocols = n->protocols;
	info.vhost_name = "cadforge";
	info.retry_and_idle_policy = &n->no_pings;
	info.keepalive_timeout = 60;
	info.timeout_secs = 20;
	n->vhost = lws_create_vhost(n->lws, &info);
	if (!n->vhost) {
		err_set(e, ERR_LACKS,
		        "%s:%d cannot be listened at: the port is taken, or is below 1024 and needs rights, or there is no such address here; --port and --host name others",
		        info.iface, o->port);
		net_close(n);
		return NULL;
	}
	n->port = lws_get_vhost_listen_port(n->vhost);
	lws_sock_file_fd_type fd = { .filefd = n->epoll };
	struct lws *watch =
		lws_adopt_descriptor_vhost(n->vhost, LWS_ADOPT_RAW_FILE_DESC, fd, "http", NULL);
	if (!watch) {
		n->epoll = -1;
		no_memory(n, e);
		return NULL;
	}
	return n;
}

void net_close(struct net *n)
{
	if (!n)
		return;
	bool owned = n->lws != NULL;
	if (n->lws)
		lws_context_destroy(n->lws);
	for (int i = 0; i < BUCKETS; i++)
		while (n->bucket[i]) {
			n->bucket[i]->wsi = NULL;
			forget(n, n->bucket[i]);
		}
	if (!owned && n->epoll >= 0)
		close(n->epoll);
	free(n);
}

int net_port(const struct net *n)
{
	return n->port;
}

int net_connections(const struct net *n)
{
	return n->connections;
}

bool net_busy(const struct net *n)
{
	for (int i = 0; i < BUCKETS; i++)
		for (const struct conn *c = n->bucket[i]; c; c = c->next)
			if (c->socket || (c->status && c->sent < c->out.len))
				return true;
	return false;
}

void net_refuse_new(struct net *n)
{
	n->full = true;
}

/* The epoll set is made what the caller watches now. A number may stand for another file than a
 * moment ago (which left the set when it was closed), so each is put in again. */
static void watch(struct net *n, const struct pollfd *fds, int n_fds)
{
	n_fds = n_fds < FDS_MAX ? n_fds : FDS_MAX;
	for (int i = 0; i < n->n_watched; i++) {
		int k = 0;
		while (k < n_fds && fds[k].fd != n->watched[i])
			k++;
		if (k == n_fds)
			epoll_ctl(n->epoll, EPOLL_CTL_DEL, n->watched[i], NULL);
	}
	n->n_watched = 0;
	for (int i = 0; i < n_fds; i++) {
		struct epoll_event ev = { .events = (fds[i].events & POLLIN ? EPOLLIN : 0u) |
			                            (fds[i].events & POLLOUT ? EPOLLOUT : 0u) };
		if (fds[i].fd < 0)
			continue;
		if (epoll_ctl(n->epoll, EPOLL_CTL_ADD, fds[i].fd, &ev) < 0 && errno == EEXIST)
			epoll_ctl(n->epoll, EPOLL_CTL_MOD, fds[i].fd, &ev);
		n->watched[n->n_watched++] = fds[i].fd;
	}
}

void net_wait(struct net *n, const struct pollfd *fds, int n_fds, int timeout_ms)
{
	watch(n, fds, n_fds);
	n->ready = false;
	if (timeout_ms >= 0)
		lws_sul_schedule(n->lws, 0, &n->timer, on_timer, (lws_usec_t)timeout_ms * 1000 + 1);
	lws_service(n->lws, 0);
	lws_sul_schedule(n->lws, 0, &n->timer, on_timer, LWS_SET_TIMER_USEC_CANCEL);
	look_for_silent(n);
}
