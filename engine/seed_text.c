/*
 * The published patterns begin with ^\s* in multi-line mode. A blank run may hold newlines, but the
 * word after it always has a line start of its own with nothing but blanks between; so it is enough
 * to look at each line once, from the end of the last match on. That keeps a megabyte of newlines
 * as cheap as a megabyte of code.
 */
#include "engine/seed_text.h"

#include <math.h>
#include <string.h>

#include "engine/numeric.h"
#include "engine/text.h"

const char *const seed_default_hints[10] = { "seat",      "backrest",     "headrest",
	                                     "armrest",   "gas_cylinder", "central_column",
	                                     "star_base", "caster",       "lumbar",
	                                     "mechanism" };

/* Each takes the text at a line's first character that is not blank, and returns the bytes that the
 * pattern takes there, or 0. */
typedef size_t pattern(const char *p, size_t n);

static size_t starts(const char *p, size_t n, const char *word)
{
	size_t w = strlen(word);

	return n >= w && memcmp(p, word, w) == 0 ? w : 0;
}

static size_t match_def(const char *p, size_t n)
{
	size_t at = starts(p, n, "def"), k;

	if (!at || !(k = text_blanks(p + at, n - at)))
		return 0;
	at += k;
	if (!(k = text_word(p + at, n - at)))
		return 0;
	at += k;
	at += text_blanks(p + at, n - at);
	return at < n && p[at] == '(' ? at + 1 : 0;
}

static size_t match_value(const char *p, size_t n)
{
	size_t at = 0, digit;

	while (at < n && (p[at] == '_' || (p[at] >= 'a' && p[at] <= 'z') ||
	                  (p[at] >= 'A' && p[at] <= 'Z') || (at && p[at] >= '0' && p[at] <= '9')))
		at++;
	if (at == 0)
		return 0;
	at += text_blanks(p + at, n - at);
	if (at == n || p[at] != '=')
		return 0;
	at++;
	at += text_blanks(p + at, n - at);
	if (at < n && (p[at] == '-' || p[at] == '+'))
		at++;
	digit = text_digit(p + at, n - at);
	return digit ? at + digit : 0;
}

static size_t match_return(const char *p, size_t n)
{
	size_t at = starts(p, n, "return"), k;

	if (!at || !(k = text_blanks(p + at, n - at)))
		return 0;
	return at + k;
}

static long count_lines(const char *text, size_t n, pattern *match)
{
	size_t line = 0; /* start of one, at or after the end of the last match */
	long count = 0;

	while (line < n) {
		const char *end = memchr(text + line, '\n', n - line);
		size_t next = end ? (size_t)(end - text) + 1 : n, at = line;
		while (at < next) {
			size_t b = text_blank(text + at, next - at);
			if (!b)
				break;
			at += b;
		}
		size_t taken = at < next ? match(text + at, n - at) : 0;
		if (taken) {
			count++;
			/* The next line start that the match left over. It may end on one. */
			size_t stop = at + taken;
			if (text[stop - 1] == '\n') {
				next = stop;
			} else {
				end = memchr(text + stop, '\n', n - stop);
				next = end ? (size_t)(end - text) + 1 : n;
			}
		}
		line = next;
	}
	return count;
}

int seed_text_measure(struct seed_text *out, const char *code, size_t len, struct err *e)
{
	struct seed_text t;
	struct buf text = { 0 };

	text_newlines(&text, code, len);
	if (buf_failed(&text)) {
		buf_release(&text);
		return err_set(e, ERR_MEM, "no memory for a text of %zu bytes", len);
	}
	const char *p = buf_str(&text);
	t.functions = count_lines(p, text.len, match_def);
	t.named_values = count_lines(p, text.len, match_value);
	t.returns = count_lines(p, text.len, match_return);
	t.final_object = text_has(p, text.len, "show_object") || text_has(p, text.len, "fixture") ||
	                 text_has(p, text.len, "result") || text_has(p, text.len, "chair");
	double f = (double)t.functions, v = (double)t.named_values, r = (double)t.returns;
	t.editability = 0.35 * fmin(1.0, f / 6.0) + 0.20 * fmin(1.0, v / 8.0) +
	                0.25 * fmin(1.0, r / fmax(1.0, f)) + (t.final_object ? 0.20 : 0.0);
	buf_release(&text);
	*out = t;
	return 0;
}

static void without_underscores(struct buf *out, const char *text, size_t n)
{
	for (size_t i = 0, k; i < n; i = k + 1) {
		const char *u = memchr(text + i, '_', n - i);
		k = u ? (size_t)(u - text) : n;
		buf_add(out, text + i, k - i);
	}
}

int seed_text_hints(double *share, bool *hits, const char *code, size_t len,
                    const char *const *hints, int n, struct err *e)
{
	struct buf lower = { 0 }, plain = { 0 }, hint = { 0 }, hint_plain = { 0 };
	int found = 0, rc = -1;

	if (n == 0) {
		hints = seed_default_hints;
		n = 10;
	}
	text_lower(&lower, code, len);
	without_underscores(&plain, buf_str(&lower), lower.len);
	for (int i = 0; i < n; i++) {
		buf_clear(&hint);
		buf_clear(&hint_plain);
		text_lower(&hint, hints[i], strlen(hints[i]));
		without_underscores(&hint_plain, buf_str(&hint), hint.len);
		bool hit = text_has(buf_str(&lower), lower.len, buf_str(&hint)) ||
		           text_has(buf_str(&plain), plain.len, buf_str(&hint_plain));
		if (hits)
			hits[i] = hit;
		found += hit;
	}
	if (buf_failed(&lower) || buf_failed(&plain) || buf_failed(&hint) ||
	    buf_failed(&hint_plain)) {
		err_set(e, ERR_MEM, "no memory for a text of %zu bytes", len);
		goto out;
	}
	*share = (double)found / (double)n;
	rc = 0;
out:
	buf_release(&lower);
	buf_release(&plain);
	buf_release(&hint);
	buf_release(&hint_plain);
	return rc;
}

bool seed_text_has_fixture(const char *code, size_t len)
{
	static const char word[] = "fixture";
	const char *p = code;

	while ((p = memmem(p, len - (size_t)(p - code), word, sizeof(word) - 1))) {
		size_t at = (size_t)(p - code), end = at + sizeof(word) - 1;
		end += text_blanks(code + end, len - end);
		if (end < len && code[end] == '=' && !text_word_before(code, at))
			return true;
		p += sizeof(word) - 1;
	}
	return false;
}

bool seed_text_has_import(const char *code, size_t len)
{
	return text_has(code, len, "import cadquery as cq");
}

static bool has_any(const char *text, size_t n, const char *const *words, size_t n_words)
{
	for (size_t i = 0; i < n_words; i++)
		if (text_has(text, n, words[i]))
			return true;
	return false;
}

int seed_text_cheap(double *out, const char *code, size_t len, const char *raw, size_t raw_len,
                    struct err *e)
{
	static const char *const parts[] = { "seat", "back", "arm", "base",
		                             "jaw",  "hook", "leg", "rail" };
	static const char *const danger[] = { "subprocess", "open(", "requests.", "os.system" };
	struct buf lower = { 0 };
	double s = 0;

	text_lower(&lower, code, len);
	if (buf_failed(&lower)) {
		buf_release(&lower);
		return err_set(e, ERR_MEM, "no memory for a text of %zu bytes", len);
	}
	if (seed_text_has_import(code, len))
		s += 0.25;
	if (seed_text_has_fixture(code, len))
		s += 0.25;
	if (text_has(code, len, "cq.Workplane"))
		s += 0.20;
	if (text_has(code, len, "def "))
		s += 0.15;
	if (has_any(buf_str(&lower), lower.len, parts, sizeof(parts) / sizeof(*parts)))
		s += 0.10;
	if (text_has(raw, raw_len, "```"))
		s -= 0.25;
	if (has_any(code, len, danger, sizeof(danger) / sizeof(*danger)))
		s -= 0.50;
	buf_release(&lower);
	*out = clip01(s);
	return 0;
}
