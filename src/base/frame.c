#include "src/base/frame.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* room that an empty output keeps */
#define KEPT_MAX (8u << 20)

static const char magic[4] = { 'C', 'F', 'm', '1' };

static uint32_t u32_at(const char *p)
{
	const unsigned char *u = (const unsigned char *)p;

	return (uint32_t)u[0] | (uint32_t)u[1] << 8 | (uint32_t)u[2] << 16 | (uint32_t)u[3] << 24;
}

static void u32_put(unsigned char *p, uint32_t v)
{
	p[0] = (unsigned char)v;
	p[1] = (unsigned char)(v >> 8);
	p[2] = (unsigned char)(v >> 16);
	p[3] = (unsigned char)(v >> 24);
}

static void drop_used(struct frame_reader *r)
{
	if (r->used) {
		buf_consume(&r->in, r->used);
		r->used = 0;
	}
}

void frame_reader_release(struct frame_reader *r)
{
	buf_release(&r->in);
	r->used = 0;
}

/* read(), or recvmsg() where a descriptor may come along */
static ssize_t take(int fd, void *to, size_t len, int *passed)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec v = { to, len };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };

	if (!passed)
		return read(fd, to, len);
	m.msg_control = &control;
	m.msg_controllen = sizeof(control);
	ssize_t n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
	for (struct cmsghdr *c = n < 0 ? NULL : CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
		    c->cmsg_len == CMSG_LEN(sizeof(int)))
			memcpy(passed, CMSG_DATA(c), sizeof(int));
	return n;
}

ssize_t frame_fill(struct frame_reader *r, int fd, struct err *e)
{
	return frame_fill_fd(r, fd, NULL, e);
}

ssize_t frame_fill_fd(struct frame_reader *r, int fd, int *passed, struct err *e)
{
	size_t want = 64 * 1024;

	drop_used(r);
	/* when the length of the frame under way is known, ask for all of it at once */
	if (r->in.len >= FRAME_HEADER_BYTES && memcmp(r->in.data, magic, 4) == 0) {
		size_t whole;
		if (frame_whole(r->in.data, r->json_max, r->blob_max, &whole, NULL, NULL) == 0 &&
		    whole > r->in.len + want)
			want = whole - r->in.len;
	}
	if (want > (4u << 20))
		want = 4u << 20;
	char *p = buf_room(&r->in, want);
	if (!p) {
		err_set(e, ERR_MEM, "out of memory for a message");
		return -1;
	}
	for (;;) {
		ssize_t n = take(fd, p, want, passed);
		if (n > 0)
			buf_grew(&r->in, (size_t)n);
		if (n >= 0)
			return n;
		if (errno == EINTR)
			continue;
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return -2;
		if (errno == ECONNRESET)
			return 0;
		err_errno(e, ERR_IO, "reading a message");
		return -1;
	}
}

int frame_whole(const void *header, uint32_t json_max, uint32_t blob_max, size_t *whole,
                uint32_t *over, struct err *e)
{
	const char *p = header;
	uint32_t jmax = json_max ? json_max : FRAME_JSON_MAX;
	uint32_t bmax = blob_max ? blob_max : FRAME_BLOB_MAX;

	if (memcmp(p, magic, 4) != 0)
		return err_set(e, ERR_PROTOCOL, "a message does not begin with CFm1");
	uint32_t json_len = u32_at(p + 12), blob_len = u32_at(p + 16);
	if (json_len > jmax)
		return err_set(e, ERR_PROTOCOL,
		               "a message says it has %u bytes of JSON, at most %u are taken",
		               json_len, jmax);
	if (blob_len > bmax) {
		if (over)
			*over = blob_len;
		return err_set(e, ERR_PROTOCOL,
		               "a message says it has %u bytes of data, at most %u are taken",
		               blob_len, bmax);
	}
	*whole = FRAME_HEADER_BYTES + (size_t)json_len + blob_len;
	return 0;
}

int frame_next(struct frame_reader *r, struct frame *f, struct err *e)
{
	size_t whole;

	drop_used(r);
	size_t probe = r->in.len < 4 ? r->in.len : 4;
	if (probe && memcmp(r->in.data, magic, probe) != 0)
		return err_set(e, ERR_PROTOCOL, "a message does not begin with CFm1");
	if (r->in.len < FRAME_HEADER_BYTES)
		return 0;
	const char *p = r->in.data;
	if (frame_whole(p, r->json_max, r->blob_max, &whole, NULL, e) < 0)
		return -1;
	if (r->in.len < whole)
		return 0;
	uint32_t json_len = u32_at(p + 12), blob_len = u32_at(p + 16);
	f->type = u32_at(p + 4);
	f->job = u32_at(p + 8);
	f->json = p + FRAME_HEADER_BYTES;
	f->json_len = json_len;
	f->blob = p + FRAME_HEADER_BYTES + json_len;
	f->blob_len = blob_len;
	r->used = whole;
	return 1;
}

int frame_parse(struct frame *f, const void *bytes, size_t len, struct err *e)
{
	struct frame_reader r = { .in = { .data = (char *)(uintptr_t)bytes, .len = len } };
	int rc = frame_next(&r, f, e);

	if (rc == 0)
		return err_set(e, ERR_PROTOCOL, "a message ends after %zu bytes, too early", len);
	return rc < 0 ? -1 : 0;
}

void frame_header(unsigned char h[FRAME_HEADER_BYTES], uint32_t type, uint32_t job,
                  uint32_t json_len, uint32_t blob_len)
{
	memcpy(h, magic, 4);
	u32_put(h + 4, type);
	u32_put(h + 8, job);
	u32_put(h + 12, json_len);
	u32_put(h + 16, blob_len);
}

void frame_append(struct buf *out, uint32_t type, uint32_t job, const char *json, size_t json_len,
                  const void *blob, size_t blob_len)
{
	unsigned char h[FRAME_HEADER_BYTES];

	frame_header(h, type, job, (uint32_t)json_len, (uint32_t)blob_len);
	if (!buf_room(out, sizeof(h) + json_len + blob_len))
		return;
	buf_add(out, h, sizeof(h));
	if (json_len)
		buf_add(out, json, json_len);
	if (blob_len)
		buf_add(out, blob, blob_len);
}

int frame_flush(struct buf *out, int fd, struct err *e)
{
	size_t done = 0;
	int rc = 0;

	if (buf_failed(out))
		return err_set(e, ERR_MEM, "out of memory for a message");
	while (done < out->len) {
		ssize_t n = send(fd, out->data + done, out->len - done, MSG_NOSIGNAL);
		if (n < 0 && errno == ENOTSOCK)
			n = write(fd, out->data + done, out->len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			if (errno == EAGAIN || errno == EWOULDBLOCK)
				rc = 1;
			else
				rc = err_errno(e, ERR_LOST, "writing a message");
			break;
		}
		done += (size_t)n;
	}
	buf_consume(out, done);
	/* a shape of hundreds of MB went out: its room is not kept for messages of a few bytes */
	if (!out->len && out->cap > KEPT_MAX)
		buf_release(out);
	return rc;
}
