#include "gpu/think.h"

#include <string.h>

static const char open_mark[] = "<think>", close_mark[] = "</think>";

void think_begin(struct think *t, bool in_thought)
{
	*t = (struct think){ .at = in_thought ? THINK_IN : THINK_BEGIN, .fresh = true };
}

void think_release(struct think *t)
{
	buf_release(&t->held);
	*t = (struct think){ 0 };
}

static bool blank(char c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static size_t blanks(const char *p, size_t n)
{
	size_t i = 0;

	while (i < n && blank(p[i]))
		i++;
	return i;
}

/* How many bytes at the end of @p may be the beginning of @mark, and the blank lines before it. */
static size_t possible_tail(const char *p, size_t n, const char *mark)
{
	size_t m = strlen(mark), tail = 0;

	for (size_t k = n < m ? n : m - 1; k > 0; k--)
		if (memcmp(p + n - k, mark, k) == 0) {
			tail = k;
			break;
		}
	while (tail < n && blank(p[n - tail - 1]))
		tail++;
	return tail;
}

static void move(struct buf *from, size_t n, struct buf *to)
{
	buf_add(to, from->data, n);
	buf_consume(from, n);
}

/* Whether the state changed, so that what is held must be looked at again. */
static bool step(struct think *t, bool last, struct buf *thought, struct buf *answer)
{
	struct buf *h = &t->held;
	size_t b, m = strlen(open_mark);

	switch (t->at) {
	case THINK_BEGIN:
		b = blanks(h->data, h->len);
		if (h->len - b >= m && memcmp(h->data + b, open_mark, m) == 0) {
			buf_consume(h, b + m);
			t->at = THINK_IN;
			return true;
		}
		if (!last && h->len - b < m && memcmp(h->data + b, open_mark, h->len - b) == 0)
			return false;
		t->at = THINK_OUT;
		return true;
	case THINK_IN: {
		while (t->fresh && h->len > 0 && h->data[0] == '\n')
			buf_consume(h, 1);
		char *at = h->len ? memmem(h->data, h->len, close_mark, strlen(close_mark)) : NULL;
		if (at) {
			size_t n = (size_t)(at - h->data), keep = n;
			while (keep > 0 && blank(h->data[keep - 1]))
				keep--;
			buf_add(thought, h->data, keep);
			buf_consume(h, n + strlen(close_mark));
			t->at = THINK_AFTER;
			return true;
		}
		b = h->len - (last ? 0 : possible_tail(h->data, h->len, close_mark));
		t->fresh = t->fresh && b == 0;
		move(h, b, thought);
		return false;
	}
	case THINK_AFTER:
		buf_consume(h, blanks(h->data, h->len));
		if (h->len > 0)
			t->at = THINK_OUT;
		return h->len > 0;
	case THINK_OUT:
		move(h, h->len, answer);
		return false;
	}
	return false;
}

void think_feed(struct think *t, const char *text, size_t len, struct buf *thought,
                struct buf *answer)
{
	buf_add(&t->held, text, len);
	if (buf_failed(&t->held)) {
		answer->failed = true;
		return;
	}
	if (t->held.len == 0)
		return;
	while (step(t, false, thought, answer))
		;
}

void think_end(struct think *t, struct buf *thought, struct buf *answer)
{
	if (t->held.len == 0)
		return;
	while (step(t, true, thought, answer))
		;
}
