#include "gpu/sse.h"

#include <stdio.h>
#include <string.h>

void sse_release(struct sse *s)
{
	size_t max = s->max;

	buf_release(&s->line);
	buf_release(&s->data);
	*s = (struct sse){ .max = max };
}

static int dispatch(struct sse *s, sse_fn fn, void *ctx)
{
	int rc = 0;

	if (s->has_data)
		rc = fn(ctx, s->event, buf_str(&s->data), s->data.len);
	buf_clear(&s->data);
	s->event[0] = '\0';
	s->has_data = false;
	return rc;
}

static bool is(const struct sse *s, size_t name, const char *field)
{
	return name == strlen(field) && memcmp(s->line.data, field, name) == 0;
}

static int take_line(struct sse *s, sse_fn fn, void *ctx, struct err *e)
{
	size_t n = s->line.len, name, value;
	int rc = 0;

	if (n == 0)
		return dispatch(s, fn, ctx);
	const char *colon = memchr(s->line.data, ':', n);
	name = colon ? (size_t)(colon - s->line.data) : n;
	value = name + (colon != NULL);
	if (value < n && colon && s->line.data[value] == ' ')
		value++;
	if (is(s, name, "data")) {
		if (s->data.len + 1 + n - value > s->max)
			rc = err_set(e, ERR_PROTOCOL, "an event of more than %zu bytes", s->max);
		if (s->has_data)
			buf_addc(&s->data, '\n');
		if (rc == 0)
			buf_add(&s->data, s->line.data + value, n - value);
		s->has_data = true;
	} else if (is(s, name, "event")) {
		snprintf(s->event, sizeof(s->event), "%.*s", (int)(n - value < 31 ? n - value : 31),
		         s->line.data + value);
	}
	buf_clear(&s->line);
	return rc;
}

int sse_feed(struct sse *s, const char *bytes, size_t len, sse_fn fn, void *ctx, struct err *e)
{
	static const char mark[] = "\xef\xbb\xbf";

	for (size_t i = 0; i < len;) {
		if (s->mark >= 0 && s->mark < 3 && bytes[i] == mark[s->mark]) {
			s->mark++;
			i++;
			continue;
		}
		if (s->mark > 0 && s->mark < 3) /* it only began like one */
			buf_add(&s->line, mark, (size_t)s->mark);
		s->mark = -1;
		if (s->after_cr && bytes[i] == '\n') {
			s->after_cr = false;
			i++;
			continue;
		}
		s->after_cr = false;
		size_t n = 0;
		while (i + n < len && bytes[i + n] != '\n' && bytes[i + n] != '\r')
			n++;
		if (s->line.len + n > s->max)
			return err_set(e, ERR_PROTOCOL, "a line of more than %zu bytes", s->max);
		buf_add(&s->line, bytes + i, n);
		i += n;
		if (buf_failed(&s->line) || buf_failed(&s->data))
			return err_set(e, ERR_MEM, "no memory for an event");
		if (i == len)
			break;
		s->after_cr = bytes[i++] == '\r';
		if (take_line(s, fn, ctx, e))
			return -1;
	}
	return 0;
}

int sse_end(struct sse *s, sse_fn fn, void *ctx, struct err *e)
{
	if (s->line.len > 0 && take_line(s, fn, ctx, e))
		return -1;
	if (buf_failed(&s->data))
		return err_set(e, ERR_MEM, "no memory for an event");
	return dispatch(s, fn, ctx) ? -1 : 0;
}
