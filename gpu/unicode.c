#include "gpu/unicode.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "src/base/utf8.h"

struct range {
	uint32_t from, to;
};

/* Letters, marks and numbers of Unicode 16.0 that are not in 15.0. */
static const struct range later_letters[] = {
	{ 0x1c89, 0x1c8a },   { 0xa7cb, 0xa7cd },   { 0xa7da, 0xa7dc },   { 0x105c0, 0x105f3 },
	{ 0x10d4a, 0x10d65 }, { 0x10d6f, 0x10d85 }, { 0x10ec2, 0x10ec4 }, { 0x11380, 0x11389 },
	{ 0x1138b, 0x1138b }, { 0x1138e, 0x1138e }, { 0x11390, 0x113b5 }, { 0x113b7, 0x113b7 },
	{ 0x113d1, 0x113d1 }, { 0x113d3, 0x113d3 }, { 0x11bc0, 0x11be0 }, { 0x13460, 0x143fa },
	{ 0x16100, 0x1611d }, { 0x16d40, 0x16d6c }, { 0x18cff, 0x18cff }, { 0x1e5d0, 0x1e5ed },
	{ 0x1e5f0, 0x1e5f0 }, { 0x2ebf0, 0x2ee5d },
};
static const struct range later_marks[] = {
	{ 0x897, 0x897 },     { 0x10d69, 0x10d6d }, { 0x10efc, 0x10efc }, { 0x113b8, 0x113c0 },
	{ 0x113c2, 0x113c2 }, { 0x113c5, 0x113c5 }, { 0x113c7, 0x113ca }, { 0x113cc, 0x113d0 },
	{ 0x113d2, 0x113d2 }, { 0x113e1, 0x113e2 }, { 0x11f5a, 0x11f5a }, { 0x1611e, 0x1612f },
	{ 0x1e5ee, 0x1e5ef },
};
static const struct range later_numbers[] = {
	{ 0x10d40, 0x10d49 }, { 0x116d0, 0x116e3 }, { 0x11bf0, 0x11bf9 }, { 0x16130, 0x16139 },
	{ 0x16d70, 0x16d79 }, { 0x1ccf0, 0x1ccf9 }, { 0x1e5f1, 0x1e5fa },
};

/* Marks with a combining class, and one composition, of Unicode 15.0 that are not in 9.0. */
static const struct range after_9[] = {
	{ 0x7fd, 0x7fd },     { 0x898, 0x89f },     { 0x8ca, 0x8d3 },     { 0x9fe, 0x9fe },
	{ 0xc3c, 0xc3c },     { 0xd3b, 0xd3c },     { 0xeba, 0xeba },     { 0x1715, 0x1715 },
	{ 0x1abf, 0x1ace },   { 0x1df6, 0x1dfa },   { 0xa82c, 0xa82c },   { 0x10d24, 0x10d27 },
	{ 0x10eab, 0x10eac }, { 0x10efd, 0x10eff }, { 0x10f46, 0x10f50 }, { 0x10f82, 0x10f85 },
	{ 0x11070, 0x11070 }, { 0x1133b, 0x1133b }, { 0x1145e, 0x1145e }, { 0x11839, 0x1183a },
	{ 0x11930, 0x11930 }, { 0x11938, 0x11938 }, { 0x1193d, 0x1193e }, { 0x11943, 0x11943 },
	{ 0x119e0, 0x119e0 }, { 0x11a34, 0x11a34 }, { 0x11a47, 0x11a47 }, { 0x11a99, 0x11a99 },
	{ 0x11d42, 0x11d42 }, { 0x11d44, 0x11d45 }, { 0x11d97, 0x11d97 }, { 0x11f41, 0x11f42 },
	{ 0x16ff0, 0x16ff1 }, { 0x1e08f, 0x1e08f }, { 0x1e130, 0x1e136 }, { 0x1e2ae, 0x1e2ae },
	{ 0x1e2ec, 0x1e2ef }, { 0x1e4ec, 0x1e4ef },
};

static bool among(const struct range *r, size_t n, uint32_t cp)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (cp > r[mid].to)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < n && cp >= r[lo].from;
}
#define AMONG(table, cp) among(table, sizeof(table) / sizeof(*(table)), cp)

enum unicode_class unicode_class(uint32_t cp)
{
	/* White_Space beyond ASCII; utf8proc has no such property */
	if (cp == 0x20 || (cp >= 9 && cp <= 13))
		return cp == '\n' || cp == '\r' ? UNICODE_NEWLINE : UNICODE_SPACE;
	if (cp == 0x85 || cp == 0xa0 || cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200a) ||
	    cp == 0x2028 || cp == 0x2029 || cp == 0x202f || cp == 0x205f || cp == 0x3000)
		return UNICODE_SPACE;
	switch (utf8proc_category((utf8proc_int32_t)cp)) {
	case UTF8PROC_CATEGORY_LU:
	case UTF8PROC_CATEGORY_LL:
	case UTF8PROC_CATEGORY_LT:
	case UTF8PROC_CATEGORY_LM:
	case UTF8PROC_CATEGORY_LO:
		return UNICODE_LETTER;
	case UTF8PROC_CATEGORY_MN:
	case UTF8PROC_CATEGORY_MC:
	case UTF8PROC_CATEGORY_ME:
		return UNICODE_MARK;
	case UTF8PROC_CATEGORY_ND:
	case UTF8PROC_CATEGORY_NL:
	case UTF8PROC_CATEGORY_NO:
		return UNICODE_NUMBER;
	case UTF8PROC_CATEGORY_CN:
		if (AMONG(later_letters, cp))
			return UNICODE_LETTER;
		if (AMONG(later_marks, cp))
			return UNICODE_MARK;
		if (AMONG(later_numbers, cp))
			return UNICODE_NUMBER;
		return UNICODE_OTHER;
	default:
		return UNICODE_OTHER;
	}
}

int unicode_step(const char *p, size_t n, uint32_t *cp)
{
	const unsigned char *u = (const unsigned char *)p;
	unsigned char lo = 0x80, hi = 0xbf; /* what the second byte may be */
	uint32_t c = u[0];
	int len;

	*cp = c;
	if (c < 0x80)
		return 1;
	*cp = UNICODE_BAD;
	if (c < 0xc2 || c > 0xf4)
		return 1;
	if (c < 0xe0) {
		len = 2;
		c &= 0x1f;
	} else if (c < 0xf0) {
		len = 3;
		if (c == 0xe0)
			lo = 0xa0;
		else if (c == 0xed)
			hi = 0x9f;
		c &= 0x0f;
	} else {
		len = 4;
		if (c == 0xf0)
			lo = 0x90;
		else if (c == 0xf4)
			hi = 0x8f;
		c &= 0x07;
	}
	for (int i = 1; i < len; i++) {
		if ((size_t)i == n)
			return 0;
		if (u[i] < lo || u[i] > hi)
			return i;
		c = c << 6 | (u[i] & 0x3f);
		lo = 0x80;
		hi = 0xbf;
	}
	*cp = c;
	return len;
}

int unicode_put(char out[4], uint32_t cp)
{
	return (int)utf8proc_encode_char((utf8proc_int32_t)cp, (utf8proc_uint8_t *)out);
}

void unicode_mend(struct buf *out, const char *text, size_t len)
{
	size_t sound = 0, i = 0; /* bytes from sound to i are to be copied */

	while (i < len) {
		uint32_t cp;
		int n = unicode_step(text + i, len - i, &cp);
		if (n > 0 && cp != UNICODE_BAD) {
			i += (size_t)n;
			continue;
		}
		buf_add(out, text + sound, i - sound);
		buf_adds(out, "\xef\xbf\xbd");
		i = n > 0 ? i + (size_t)n : len;
		sound = i;
	}
	buf_add(out, text + sound, i - sound);
}

/* ---- normal form C ---- */

/* Has no place in the reference's normal form: a starter that nothing joins. */
static bool is_stranger(uint32_t cp)
{
	return cp >= 0x7fd &&
	       (AMONG(after_9, cp) || AMONG(later_marks, cp) || AMONG(later_letters, cp));
}

static bool is_mark(uint32_t cp)
{
	utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)cp);
	return k == UTF8PROC_CATEGORY_MN || k == UTF8PROC_CATEGORY_MC || k == UTF8PROC_CATEGORY_ME;
}

/* A starter that stays as it is and does not join what stands before it (it may be joined by what
 * follows). All that join a starter before them are marks, but for the jamo. */
static bool is_settled(uint32_t cp)
{
	utf8proc_int32_t d[8];
	int boundary = 0;

	/* blocks without marks and decompositions, for speed */
	if (cp < 0x300 || (cp >= 0x3400 && cp <= 0x9fff) || (cp >= 0xac00 && cp <= 0xd7a3) ||
	    (cp >= 0x2002 && cp <= 0x20cf) || (cp >= 0x2400 && cp <= 0x2adb))
		return true;
	if (cp >= 0x1160 && cp <= 0x11ff)
		return false;
	if (is_stranger(cp))
		return true;
	return !is_mark(cp) &&
	       utf8proc_decompose_char((utf8proc_int32_t)cp, d, 8, UTF8PROC_DECOMPOSE, &boundary) ==
	               1 &&
	       d[0] == (utf8proc_int32_t)cp;
}

size_t unicode_nfc_span(const char *text, size_t len)
{
	const unsigned char *u = (const unsigned char *)text;
	size_t i = 0, starter = 0; /* where the last character begins */

	while (i < len) {
		uint32_t cp;
		/* below 0xcc: ASCII, or of a character below U+0300 */
		if (u[i] < 0xcc) {
			uint64_t w;
			starter = i;
			i += u[i] < 0x80 ? 1 : 2;
			while (len - i >= 8) {
				memcpy(&w, u + i, 8);
				if (w & 0x8080808080808080u)
					break;
				starter = i + 7;
				i += 8;
			}
			continue;
		}
		int n = unicode_step(text + i, len - i, &cp);
		if (!is_settled(cp))
			return starter;
		starter = i;
		i += (size_t)n;
	}
	return len;
}

/* A stretch between settled characters, as code points. */
struct stretch {
	utf8proc_int32_t *cp, first[64];
	unsigned char *ccc, first_ccc[64];
	utf8proc_int32_t *sorted; /* room for sorting long runs; as long as cp once it is needed */
	size_t n, cap;
};

static void stretch_release(struct stretch *s)
{
	if (s->cp != s->first) {
		free(s->cp);
		free(s->ccc);
	}
	free(s->sorted);
}

static int stretch_room(struct stretch *s, size_t n, struct err *e)
{
	if (s->n + n <= s->cap)
		return 0;
	size_t cap = 2 * (s->n + n);
	utf8proc_int32_t *cp = malloc(cap * sizeof(*cp)), *sorted = malloc(cap * sizeof(*cp));
	unsigned char *ccc = malloc(cap);
	if (!cp || !ccc || !sorted) {
		free(cp);
		free(ccc);
		free(sorted);
		return err_set(e, ERR_MEM, "no memory to normalize %zu characters", cap);
	}
	memcpy(cp, s->cp, s->n * sizeof(*cp));
	memcpy(ccc, s->ccc, s->n);
	stretch_release(s);
	s->cp = cp;
	s->ccc = ccc;
	s->sorted = sorted;
	s->cap = cap;
	return 0;
}

static int stretch_add(struct stretch *s, uint32_t cp, struct err *e)
{
	utf8proc_int32_t d[8];
	int boundary = 0;

	if (stretch_room(s, 8, e) < 0)
		return -1;
	utf8proc_ssize_t n =
		utf8proc_decompose_char((utf8proc_int32_t)cp, d, 8, UTF8PROC_DECOMPOSE, &boundary);
	for (utf8proc_ssize_t i = 0; i < n && i < 8; i++) {
		s->cp[s->n] = d[i];
		s->ccc[s->n++] = (unsigned char)utf8proc_get_property(d[i])->combining_class;
	}
	return 0;
}

/* Puts a run of marks, none of class 0, in the order of their classes; equal ones keep theirs. */
static void sort_marks(struct stretch *s, size_t from, size_t n)
{
	if (n <= 24) {
		for (size_t i = from + 1; i < from + n; i++) {
			utf8proc_int32_t cp = s->cp[i];
			unsigned char ccc = s->ccc[i];
			size_t j = i;
			for (; j > from && s->ccc[j - 1] > ccc; j--) {
				s->cp[j] = s->cp[j - 1];
				s->ccc[j] = s->ccc[j - 1];
			}
			s->cp[j] = cp;
			s->ccc[j] = ccc;
		}
		return;
	}
	/* strangers' text may hold a million of them: count, then place. A run this long is in the
	 * heap or in first[]; sorted is there only in the heap. */
	size_t at[257] = { 0 };
	utf8proc_int32_t small[64];
	utf8proc_int32_t *to = s->sorted ? s->sorted : small;
	for (size_t i = from; i < from + n; i++)
		at[s->ccc[i] + 1]++;
	for (int k = 0; k < 256; k++)
		at[k + 1] += at[k];
	size_t end[256];
	memcpy(end, at + 1, sizeof(end));
	for (size_t i = from; i < from + n; i++)
		to[at[s->ccc[i]]++] = s->cp[i];
	memcpy(s->cp + from, to, n * sizeof(*to));
	for (size_t i = 0, k = 0; i < n; i++) {
		while (i >= end[k])
			k++;
		s->ccc[from + i] = (unsigned char)k;
	}
}

static void stretch_flush(struct stretch *s, struct buf *out)
{
	for (size_t i = 0; i < s->n;) {
		size_t from = i;
		while (i < s->n && s->ccc[i] > 0)
			i++;
		if (i - from > 1)
			sort_marks(s, from, i - from);
		if (i == from)
			i++;
	}
	utf8proc_ssize_t n = utf8proc_normalize_utf32(s->cp, (utf8proc_ssize_t)s->n,
	                                              UTF8PROC_COMPOSE | UTF8PROC_STABLE);
	for (utf8proc_ssize_t i = 0; i < n; i++) {
		char c[4];
		buf_add(out, c, (size_t)unicode_put(c, (uint32_t)s->cp[i]));
	}
	s->n = 0;
}

int unicode_nfc(struct buf *out, const char *text, size_t len, struct err *e)
{
	struct stretch s = { .cap = 64 };
	size_t i = 0;
	int rc = 0;

	s.cp = s.first;
	s.ccc = s.first_ccc;
	while (i < len && rc == 0) {
		size_t span = unicode_nfc_span(text + i, len - i);
		buf_add(out, text + i, span);
		i += span;
		/* from here: at most one settled character, then those that are not */
		bool first = true;
		while (i < len && rc == 0) {
			uint32_t cp = 0;
			int n = unicode_step(text + i, len - i, &cp);
			if (first && is_stranger(cp)) {
				buf_add(out, text + i, (size_t)n);
			} else {
				if (!first && is_settled(cp))
					break;
				rc = stretch_add(&s, cp, e);
			}
			first = false;
			i += (size_t)n;
		}
		stretch_flush(&s, out);
	}
	stretch_release(&s);
	if (rc == 0 && buf_failed(out))
		rc = err_set(e, ERR_MEM, "no memory to normalize a text of %zu bytes", len);
	return rc;
}
