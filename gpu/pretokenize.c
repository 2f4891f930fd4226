#include "gpu/pretokenize.h"

#include "gpu/unicode.h"

enum {
	O = UNICODE_OTHER,
	L = UNICODE_LETTER,
	N = UNICODE_NUMBER,
	S = UNICODE_SPACE,
	R = UNICODE_NEWLINE
};

static const unsigned char ascii[128] = {
	O, O, O, O, O, O, O, O, O, S, R, S, S, R, O, O, O, O, O, O, O, O, O, O, O, O,
	O, O, O, O, O, O, S, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, N, N, N, N,
	N, N, N, N, N, N, O, O, O, O, O, O, O, L, L, L, L, L, L, L, L, L, L, L, L, L,
	L, L, L, L, L, L, L, L, L, L, L, L, L, O, O, O, O, O, O, L, L, L, L, L, L, L,
	L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, O, O, O, O, O,
};

struct character {
	enum unicode_class cls;
	unsigned len;
};

/* The character at @p; the text is valid. */
static inline struct character at(const unsigned char *p)
{
	uint32_t c = p[0];
	struct character r;

	if (c < 0x80)
		return (struct character){ (enum unicode_class)ascii[c], 1 };
	if (c < 0xe0) {
		c = (c & 0x1f) << 6 | (p[1] & 0x3f);
		r.len = 2;
	} else if (c < 0xf0) {
		c = (c & 0x0f) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3f);
		r.len = 3;
	} else {
		c = (c & 0x07) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 | (p[3] & 0x3f);
		r.len = 4;
	}
	/* the two blocks that fill whole texts */
	if ((c >= 0x4e00 && c <= 0x9fff) || (c >= 0xac00 && c <= 0xd7a3))
		r.cls = UNICODE_LETTER;
	else
		r.cls = unicode_class(c);
	return r;
}

static inline bool in_word(enum unicode_class k)
{
	return k == UNICODE_LETTER || k == UNICODE_MARK;
}

/* [\p{L}\p{M}]* */
static const unsigned char *word(const unsigned char *p, const unsigned char *end)
{
	while (p < end) {
		struct character c = at(p);
		if (!in_word(c.cls))
			break;
		p += c.len;
	}
	return p;
}

/* (?i:'s|'t|'re|'ve|'m|'ll|'d) after the apostrophe; 0 when none of them. The long s folds to s. */
static size_t ending(const unsigned char *p, const unsigned char *end)
{
	if (p == end)
		return 0;
	unsigned char a = p[0] | 0x20, b = p + 1 < end ? p[1] | 0x20 : 0;
	if (a == 's' || a == 't' || a == 'm' || a == 'd')
		return 1;
	if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l'))
		return 2;
	return p[0] == 0xc5 && p[1] == 0xbf ? 2 : 0;
}

/* A run of whitespace of which @first is the first character:
 * \s*[\r\n]+|\s+(?!\S)|\s+ */
static size_t blank(const unsigned char *text, const unsigned char *end, struct character first)
{
	const unsigned char *p = text, *last = text, *after_newline = NULL;
	struct character c = first;

	do {
		last = p;
		p += c.len;
		if (c.cls == UNICODE_NEWLINE)
			after_newline = p;
		if (p == end)
			break;
		c = at(p);
	} while (c.cls == UNICODE_SPACE || c.cls == UNICODE_NEWLINE);
	if (after_newline)
		return (size_t)(after_newline - text);
	/* all of it at the end of the text; else less its last character, unless that is all */
	return (size_t)((p == end || last == text ? p : last) - text);
}

size_t pretokenize(const char *text, size_t len)
{
	const unsigned char *t = (const unsigned char *)text, *end = t + len, *p;
	struct character c = at(t), next = { UNICODE_NEWLINE, 0 };
	size_t n;

	if (*t == '\'' && (n = ending(t + 1, end)) > 0)
		return 1 + n;
	if (in_word(c.cls))
		return (size_t)(word(t + c.len, end) - t);
	if (c.cls == UNICODE_NUMBER)
		return c.len;
	p = t + c.len;
	if (p < end)
		next = at(p);
	/* one character that is no newline may lead a word */
	if (c.cls != UNICODE_NEWLINE && p < end && in_word(next.cls))
		return (size_t)(word(p + next.len, end) - t);
	if (c.cls == UNICODE_OTHER || (*t == ' ' && p < end && next.cls == UNICODE_OTHER)) {
		while (p < end) {
			next = at(p);
			if (next.cls != UNICODE_OTHER)
				break;
			p += next.len;
		}
		while (p < end && (*p == '\r' || *p == '\n'))
			p++;
		return (size_t)(p - t);
	}
	return blank(t, end, c);
}
