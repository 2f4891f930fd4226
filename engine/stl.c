#include "engine/stl.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_BYTES   80
#define TRIANGLE_BYTES 50

static uint32_t le32(const unsigned char *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static float le_float(const unsigned char *p)
{
	uint32_t u = le32(p);
	float f;

	memcpy(&f, &u, 4);
	return f;
}

static void put32(char *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (char)(v >> (8 * i));
}

static void put_float(char *p, float f)
{
	uint32_t u;

	memcpy(&u, &f, 4);
	put32(p, u);
}

static int over_limit(uintmax_t n, long max, struct err *e)
{
	return err_set(e, ERR_INPUT, "STL: %ju triangles, at most %ld are read; use a coarser mesh",
	               n, max);
}

static int read_binary(struct soup *out, const unsigned char *b, uint32_t n, struct err *e)
{
	for (uint32_t t = 0; t < n; t++) {
		size_t at = HEADER_BYTES + 4 + (size_t)t * TRIANGLE_BYTES + 12;
		float corners[9];
		for (size_t i = 0; i < 9; i++) {
			corners[i] = le_float(b + at + 4 * i);
			if (!isfinite(corners[i]))
				return err_set(
					e, ERR_INPUT,
					"STL: byte %zu: triangle %u has a corner that is NaN or infinite; export the mesh again",
					at + 4 * i, t + 1);
		}
		if (soup_add(out, corners, e) < 0)
			return -1;
	}
	return 0;
}

/* ---- text ---- */

struct words {
	const char *p, *end;
	long line;
	const char *word; /* the last one, not NUL-terminated */
	size_t len;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f' || c == '\v';
}

static bool next_word(struct words *w)
{
	while (w->p < w->end && is_blank(*w->p)) {
		if (*w->p == '\n')
			w->line++;
		w->p++;
	}
	w->word = w->p;
	while (w->p < w->end && !is_blank(*w->p))
		w->p++;
	w->len = (size_t)(w->p - w->word);
	return w->len > 0;
}

static bool is_word(const struct words *w, const char *what)
{
	return w->len == strlen(what) && strncasecmp(w->word, what, w->len) == 0;
}

static int wanted(const struct words *w, const char *what, struct err *e)
{
	if (w->len == 0)
		return err_set(
			e, ERR_INPUT,
			"STL: line %ld: the file ends where %s was expected; it is cut off: export it again",
			w->line, what);
	char got[24];
	size_t n = w->len < sizeof(got) - 1 ? w->len : sizeof(got) - 1;
	for (size_t i = 0; i < n; i++)
		got[i] = w->word[i] >= ' ' && w->word[i] < 127 ? w->word[i] : '?';
	got[n] = '\0';
	return err_set(e, ERR_INPUT, "STL: line %ld: '%s' where %s was expected; export it again",
	               w->line, got, what);
}

static int expect(struct words *w, const char *what, struct err *e)
{
	return next_word(w) && is_word(w, what) ? 0 : wanted(w, what, e);
}

static int number(struct words *w, float *out, struct err *e)
{
	char text[64];
	char *end;

	if (!next_word(w) || w->len >= sizeof(text))
		return wanted(w, "a number", e);
	memcpy(text, w->word, w->len);
	text[w->len] = '\0';
	/* strtof would take hexadecimal, "nan" and "infinity" too */
	if (strspn(text, "+-.0123456789eE") != w->len)
		return wanted(w, "a number", e);
	*out = strtof(text, &end);
	if (end != text + w->len || !isfinite(*out))
		return wanted(w, "a number", e);
	return 0;
}

static void skip_line(struct words *w)
{
	while (w->p < w->end && *w->p != '\n')
		w->p++;
}

static int read_facet(struct words *w, float corners[9], struct err *e)
{
	float normal;

	if (expect(w, "normal", e) < 0)
		return -1;
	for (int i = 0; i < 3; i++)
		if (number(w, &normal, e) < 0)
			return -1;
	if (expect(w, "outer", e) < 0 || expect(w, "loop", e) < 0)
		return -1;
	for (int c = 0; c < 3; c++) {
		if (expect(w, "vertex", e) < 0)
			return -1;
		for (int i = 0; i < 3; i++)
			if (number(w, &corners[3 * c + i], e) < 0)
				return -1;
	}
	if (expect(w, "endloop", e) < 0)
		return -1;
	return expect(w, "endfacet", e);
}

static int read_text(struct soup *out, const char *text, size_t len, long max, struct err *e)
{
	struct words w = { .p = text, .end = text + len, .line = 1 };

	if (expect(&w, "solid", e) < 0)
		return -1;
	skip_line(&w); /* a name, or nothing */
	while (next_word(&w)) {
		float corners[9];
		if (is_word(&w, "endsolid")) {
			skip_line(&w);
			if (!next_word(&w))
				return 0;
			if (!is_word(&w, "solid"))
				return wanted(&w, "another 'solid' or the end", e);
			skip_line(&w);
			continue;
		}
		if (!is_word(&w, "facet"))
			return wanted(&w, "'facet' or 'endsolid'", e);
		if (read_facet(&w, corners, e) < 0)
			return -1;
		if (out->n_tri >= (size_t)max)
			return over_limit(out->n_tri + 1, max, e);
		if (soup_add(out, corners, e) < 0)
			return -1;
	}
	return wanted(&w, "'endsolid'", e);
}

int stl_read(struct soup *out, const void *bytes, size_t len, long triangles_max, struct err *e)
{
	const unsigned char *b = bytes;
	struct soup s = { 0 };
	uint32_t n = 0;
	bool has_count = len >= HEADER_BYTES + 4;
	int rc;

	if (has_count)
		n = le32(b + HEADER_BYTES);
	uintmax_t wants = HEADER_BYTES + 4 + (uintmax_t)n * TRIANGLE_BYTES;
	struct words first = { .p = bytes, .end = (const char *)bytes + len, .line = 1 };
	bool texty = len > 0 && next_word(&first) && is_word(&first, "solid") &&
	             !memchr(bytes, '\0', len);

	if (has_count && wants == len) {
		rc = n > (uintmax_t)triangles_max ? over_limit(n, triangles_max, e)
		                                  : read_binary(&s, b, n, e);
	} else if (texty) {
		rc = read_text(&s, bytes, len, triangles_max, e);
	} else if (!has_count) {
		rc = err_set(
			e, ERR_INPUT,
			"STL: %zu bytes; binary STL has at least 84, text begins with 'solid': the file is cut off or no STL",
			len);
	} else {
		rc = err_set(
			e, ERR_INPUT,
			"STL: byte 80: the header says %u triangles, that is %ju bytes, the file has %zu; it is damaged or no STL: export it again",
			n, wants, len);
	}
	if (rc < 0) {
		soup_release(&s);
		return -1;
	}
	*out = s;
	return 0;
}

static void normal_of(const float *c, float n[3])
{
	double a[3], b[3], x[3], len;

	for (int i = 0; i < 3; i++) {
		a[i] = (double)c[3 + i] - c[i];
		b[i] = (double)c[6 + i] - c[i];
	}
	for (int i = 0; i < 3; i++)
		x[i] = a[(i + 1) % 3] * b[(i + 2) % 3] - a[(i + 2) % 3] * b[(i + 1) % 3];
	len = sqrt(x[0] * x[0] + x[1] * x[1] + x[2] * x[2]);
	for (int i = 0; i < 3; i++)
		n[i] = len > 0 && isfinite(len) ? (float)(x[i] / len) : 0;
}

int stl_write(struct buf *out, const struct soup *s, struct err *e)
{
	static const char title[] = "cadforge binary STL, millimetres";
	char *p;

	if (s->n_tri > UINT32_MAX)
		return err_set(e, ERR_INPUT, "STL: %zu triangles, the format counts to %u",
		               s->n_tri, UINT32_MAX);
	size_t bytes = HEADER_BYTES + 4 + s->n_tri * TRIANGLE_BYTES;
	p = buf_room(out, bytes);
	if (!p)
		return err_set(e, ERR_MEM, "STL: out of memory for %zu bytes", bytes);
	memset(p, ' ', HEADER_BYTES);
	memcpy(p, title, sizeof(title) - 1);
	put32(p + HEADER_BYTES, (uint32_t)s->n_tri);
	char *q = p + HEADER_BYTES + 4;
	for (size_t t = 0; t < s->n_tri; t++, q += TRIANGLE_BYTES) {
		const float *c = s->xyz + 9 * t;
		float n[3];
		normal_of(c, n);
		for (int i = 0; i < 3; i++)
			put_float(q + 4 * i, n[i]);
		for (int i = 0; i < 9; i++)
			put_float(q + 12 + 4 * i, c[i]);
		q[48] = q[49] = 0;
	}
	buf_grew(out, bytes);
	return 0;
}
