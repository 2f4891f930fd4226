#include "src/host_post.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "src/base/clock.h"
#include "src/base/json.h"
#include "src/base/utf8.h"
#include "src/host.h"
#include "src/store.h"

/* How often it is looked whether the socket still has its name: a folder under /run goes with the
 * last login of its user, and comes again with the next. */
#define LOOK_S 2.0
/* Whoever is no workbench says what he wants, and whoever is to go takes what was said to him,
 * within so long. */
#define CALL_S 10.0

/* ---- listening ---- */

/* Binds in the first folder that can be had. By way of the folder's descriptor: no path is too
 * long, and nobody can put another folder in its place. */
static int listen_now(struct post *p, struct err *e)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	struct err first = { 0 };

	for (int i = 0; i < 2 && p->dir < 0; i++) {
		struct err why = { 0 };
		p->dir = host_folder(i, true, &why);
		if (p->dir < 0 && !first.kind)
			first = why;
	}
	if (p->dir < 0) {
		*e = first;
		return -1;
	}
	p->listen = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	snprintf(p->name, sizeof(p->name), "%s%d.sock", p->prefix, (int)getpid());
	snprintf(at.sun_path, sizeof(at.sun_path), "/proc/self/fd/%d/%s", p->dir, p->name);
	unlinkat(p->dir, p->name, 0); /* of a process that had our number once */
	mode_t was = umask(0177);
	int rc = p->listen < 0
	                 ? -1
	                 : bind(p->listen, (const struct sockaddr *)(const void *)&at, sizeof(at));
	umask(was);
	if (rc == 0 && listen(p->listen, POST_PEERS) == 0)
		return 0;
	err_errno(e, ERR_IO, "listening on %s", p->name);
	if (p->listen >= 0)
		close(p->listen);
	close(p->dir);
	p->listen = p->dir = -1;
	return -1;
}

static void stop_listening(struct post *p)
{
	if (p->listen >= 0)
		close(p->listen);
	if (p->dir >= 0) {
		unlinkat(p->dir, p->name, 0);
		close(p->dir);
	}
	p->listen = p->dir = -1;
}

static void look_after_name(struct post *p)
{
	struct stat st;
	struct err why;
	double now = clock_now_s();

	if (now - p->looked_s < LOOK_S)
		return;
	p->looked_s = now;
	if (p->dir >= 0 && fstatat(p->dir, p->name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISSOCK(st.st_mode))
		return;
	stop_listening(p);
	listen_now(p, &why);
}

/* ---- peers ---- */

static void drop(struct post_peer *q)
{
	if (q->fd >= 0)
		close(q->fd);
	frame_reader_release(&q->in);
	buf_release(&q->out);
	*q = (struct post_peer){ .fd = -1 };
}

static struct post_peer *add(struct post *p, int fd)
{
	for (int i = 0; i < POST_PEERS; i++) {
		struct post_peer *q = &p->peer[i];
		if (q->fd >= 0)
			continue;
		*q = (struct post_peer){
			.fd = fd,
			.since_s = clock_now_s(),
			.in = { .json_max = HOST_JSON_MAX, .blob_max = 1 << 20 },
		};
		return q;
	}
	close(fd);
	return NULL;
}

static void take_calls(struct post *p)
{
	for (int fd; p->listen >= 0 &&
	             (fd = accept4(p->listen, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0;) {
		if (host_peer_is_us(fd))
			add(p, fd);
		else
			close(fd);
	}
}

static void flush_peer(struct post_peer *q)
{
	bool passing = !q->workbench || q->closing;

	if (q->fd >= 0 && q->out.len > 0 && frame_flush(&q->out, q->fd, NULL) < 0)
		drop(q);
	else if (q->fd >= 0 && passing && clock_now_s() - q->since_s > CALL_S)
		drop(q);
	else if (q->fd >= 0 && (q->out.len > POST_OUT_MAX || (q->closing && q->out.len == 0)))
		drop(q);
}

static void refuse(struct post *p, struct post_peer *q, const char *why)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddNullToObject(o, "do");
	cJSON_AddStringToObject(o, "why", why);
	post_answer(p, q, "refused", o);
}

static void take_frame(struct post *p, struct post_peer *q, const struct frame *f)
{
	struct err e = { 0 };
	cJSON *o = f->type == HOST_FRAME ? json_parse(f->json, f->json_len, &e) : NULL;

	if (f->type != HOST_FRAME)
		refuse(p, q, "a frame of a type that there is not");
	else if (!o)
		refuse(p, q, e.text);
	else if (!cJSON_IsString(cJSON_GetObjectItemCaseSensitive(o, "do")))
		refuse(p, q, "an object with \"do\" was expected");
	else
		p->command(p->ctx, q, o);
	cJSON_Delete(o);
}

static void hear(struct post *p, struct post_peer *q)
{
	struct err e;
	struct frame f;
	int rc = 0;

	while (q->fd >= 0 && !q->closing) {
		while (q->fd >= 0 && !q->closing && (rc = frame_next(&q->in, &f, &e)) > 0)
			take_frame(p, q, &f);
		if (q->fd < 0 || q->closing)
			return;
		if (rc < 0) {
			refuse(p, q, e.text);
			q->closing = true;
			return;
		}
		ssize_t n = frame_fill(&q->in, q->fd, &e);
		if (n == -2)
			return;
		if (n <= 0)
			drop(q);
	}
}

void post_step(struct post *p)
{
	look_after_name(p);
	take_calls(p);
	for (int i = 0; i < POST_PEERS; i++)
		hear(p, &p->peer[i]);
	for (int i = 0; i < POST_PEERS; i++)
		flush_peer(&p->peer[i]);
}

int post_poll_fds(struct post *p, struct pollfd *out, int cap)
{
	int n = 0;

	if (p->listen >= 0 && n < cap)
		out[n++] = (struct pollfd){ .fd = p->listen, .events = POLLIN };
	for (int i = 0; i < POST_PEERS && n < cap; i++) {
		const struct post_peer *q = &p->peer[i];
		if (q->fd >= 0)
			out[n++] = (struct pollfd){
				.fd = q->fd,
				.events = (short)(POLLIN | (q->out.len > 0 ? POLLOUT : 0)),
			};
	}
	return n;
}

/* ---- the workbench ---- */

static struct post_peer *workbench(const struct post *p)
{
	for (int i = 0; i < POST_PEERS; i++)
		if (p->peer[i].fd >= 0 && p->peer[i].workbench && !p->peer[i].closing)
			return (struct post_peer *)(uintptr_t)&p->peer[i];
	return NULL;
}

bool post_attached(const struct post *p)
{
	return workbench(p) != NULL;
}

bool post_part(struct post *p, const char *kind)
{
	struct post_peer *q = workbench(p);

	if (!q)
		return false;
	post_answer(p, q, kind, cJSON_CreateObject());
	q->closing = true;
	q->since_s = clock_now_s();
	return true;
}

void post_attach(struct post *p, struct post_peer *q)
{
	if (q->workbench)
		return;
	post_part(p, "taken");
	q->workbench = true;
}

int post_open(struct post *p, const char *db, int fd, struct err *e)
{
	struct err why = { 0 };

	p->dir = p->listen = -1;
	for (int i = 0; i < POST_PEERS; i++)
		p->peer[i].fd = -1;
	host_prefix(p->prefix, sizeof(p->prefix), db);
	p->looked_s = clock_now_s();
	if (fd >= 0) {
		struct post_peer *q = add(p, fd);
		fcntl(fd, F_SETFD, FD_CLOEXEC);
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
		q->workbench = true;
	}
	if (listen_now(p, &why) < 0)
		*e = why;
	return p->listen >= 0 || fd >= 0 ? 0 : -1;
}

void post_close(struct post *p)
{
	struct post_news n = { .kind = "bye" };

	post_say_json(p, &n, cJSON_CreateObject());
	stop_listening(p);
	for (int i = 0; i < POST_PEERS; i++) {
		struct post_peer *q = &p->peer[i];
		/* a moment for what is on its way: it is the last that is heard of us */
		for (int k = 0; q->fd >= 0 && q->out.len > 0 && k < 20; k++) {
			struct pollfd w = { .fd = q->fd, .events = POLLOUT };
			poll(&w, 1, 50);
			flush_peer(q);
		}
		drop(q);
	}
	buf_release(&p->round);
	buf_release(&p->shape);
}

/* ---- news ---- */

void post_quote(struct buf *out, const char *text, size_t len)
{
	static const char replacement[] = "\xef\xbf\xbd";
	size_t plain = 0, i = 0;

	buf_addc(out, '"');
	while (i < len) {
		unsigned char c = (unsigned char)text[i];
		uint32_t cp;
		int n = c < 0x80 ? 1 : utf8_decode(text + i, len - i, &cp);
		if (n > 0 && c >= 0x20 && c != '"' && c != '\\') {
			i += (size_t)n;
			continue;
		}
		buf_add(out, text + plain, i - plain);
		if (n == 0 || c == 0)
			buf_adds(out, replacement);
		else if (c == '\n')
			buf_adds(out, "\\n");
		else if (c < 0x20)
			buf_printf(out, "\\u%04x", c);
		else {
			buf_addc(out, '\\');
			buf_addc(out, (char)c);
		}
		plain = ++i;
	}
	buf_add(out, text + plain, len - plain);
	buf_addc(out, '"');
}

static void frame_of(struct buf *out, const struct post_news *n, const char *data, size_t len)
{
	struct buf text = { 0 };

	buf_printf(&text, "{\"time\":%lld,\"kind\":\"%s\",\"turn\":%d,\"member\":%d,\"data\":",
	           (long long)(n->time_us ? n->time_us : store_now_us()), n->kind, n->turn,
	           n->member);
	if (len)
		buf_add(&text, data, len);
	else
		buf_adds(&text, "null");
	buf_addc(&text, '}');
	if (!buf_failed(&text))
		frame_append(out, HOST_FRAME, 0, buf_str(&text), text.len, n->bytes, n->len);
	buf_release(&text);
}

void post_say(struct post *p, const struct post_news *n, const char *data, size_t len)
{
	struct post_peer *q = workbench(p);
	struct buf frame = { 0 };

	if (!q && !n->keep)
		return;
	frame_of(&frame, n, data, len);
	if (q)
		buf_add(&q->out, frame.data, frame.len);
	if (n->keep && n->len > 0) {
		buf_clear(&p->shape);
		buf_add(&p->shape, frame.data, frame.len);
	} else if (n->keep && !p->round.failed) {
		buf_add(&p->round, frame.data, frame.len);
	}
	buf_release(&frame);
}

void post_say_json(struct post *p, const struct post_news *n, cJSON *data)
{
	struct buf text = { 0 };

	json_print(&text, data);
	cJSON_Delete(data);
	post_say(p, n, buf_str(&text), text.len);
	buf_release(&text);
}

void post_answer(struct post *p, struct post_peer *q, const char *kind, cJSON *data)
{
	const struct post_news n = { .kind = kind };
	struct buf text = { 0 };

	(void)p;
	json_print(&text, data);
	cJSON_Delete(data);
	frame_of(&q->out, &n, buf_str(&text), text.len);
	buf_release(&text);
}

void post_forget(struct post *p)
{
	buf_release(&p->round);
	buf_release(&p->shape);
}

void post_retell(struct post *p, struct post_peer *q)
{
	buf_add(&q->out, p->round.data, p->round.len);
	buf_add(&q->out, p->shape.data, p->shape.len);
}
