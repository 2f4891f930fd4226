#include "engine/extract.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "engine/text.h"

#define FENCE       "```"
#define IMPORT_LINE "import cadquery as cq"

static int add_piece(struct extract *x, size_t at, size_t source, struct err *e)
{
	if (x->n_pieces == 0 || (x->n_pieces & (x->n_pieces - 1)) == 0) {
		int cap = x->n_pieces ? 2 * x->n_pieces : 1;
		void *p = realloc(x->pieces, (size_t)cap * sizeof(*x->pieces));
		if (!p)
			return err_set(e, ERR_MEM, "no memory for %d pieces of a text", cap);
		x->pieces = p;
	}
	x->pieces[x->n_pieces++] = (struct extract_piece){ at, source };
	return 0;
}

/* Copies @text without its <think>...</think> spans into @joined, noting the pieces. @at: where in
 * the text to begin. */
static int drop_thinking(struct extract *x, struct buf *joined, const char *text, size_t len,
                         size_t at, struct err *e)
{
	static const char open[] = "<think>", close[] = "</think>";

	for (;;) {
		const char *o = memmem(text + at, len - at, open, sizeof(open) - 1);
		const char *c =
			o ? memmem(o, len - (size_t)(o - text), close, sizeof(close) - 1) : NULL;
		size_t end = c ? (size_t)(o - text) : len;
		if (add_piece(x, joined->len, at, e) < 0)
			return -1;
		buf_add(joined, text + at, end - at);
		if (o && !c)
			x->clipped = true;
		if (!c)
			break;
		at = (size_t)(c - text) + sizeof(close) - 1;
	}
	return buf_failed(joined) ? err_set(e, ERR_MEM, "no memory for a text") : 0;
}

/* If a fence that opens a program stands at @at: the start of its body, else 0. */
static size_t fence_body(const char *p, size_t n, size_t at)
{
	static const char *const words[] = { "python", "py", "" };

	at += sizeof(FENCE) - 1;
	for (size_t w = 0; w < 3; w++) {
		size_t word = strlen(words[w]);
		if (n - at < word || strncasecmp(p + at, words[w], word) != 0)
			continue;
		size_t blanks = text_blanks(p + at + word, n - at - word);
		const char *newline = memrchr(p + at + word, '\n', blanks);
		if (newline)
			return (size_t)(newline - p) + 1;
	}
	return 0;
}

/* Finds the first fenced program. */
static bool find_fenced(const char *p, size_t n, size_t *begin, size_t *end, bool *clipped)
{
	const char *f = p;

	while ((f = memmem(f, n - (size_t)(f - p), FENCE, sizeof(FENCE) - 1))) {
		size_t body = fence_body(p, n, (size_t)(f - p));
		if (body) {
			const char *close = memmem(p + body, n - body, FENCE, sizeof(FENCE) - 1);
			if (close) {
				*begin = body;
				*end = (size_t)(close - p);
				return true;
			}
			*clipped = true; /* and no later opening can have an end either */
			return false;
		}
		f++;
	}
	return false;
}

/* ---- answers ---- */

/* The end of a span that the prompt opened: a closing mark with no opening one before it. */
static size_t thinking_begun_before(const char *text, size_t len)
{
	static const char open[] = "<think>", close[] = "</think>";
	const char *c = memmem(text, len, close, sizeof(close) - 1);

	if (!c || memmem(text, (size_t)(c - text), open, sizeof(open) - 1))
		return 0;
	return (size_t)(c - text) + sizeof(close) - 1;
}

struct block {
	size_t begin, end; /* of what is between the fences */
	bool open;         /* the text ended first */
	bool whole;        /* it imports cadquery */
};

static size_t line_end(const char *p, size_t n, size_t at)
{
	const char *nl = at < n ? memchr(p + at, '\n', n - at) : NULL;

	return nl ? (size_t)(nl - p) + 1 : n;
}

/* If the line at @at is a fence: its character, with what stands behind it in @info. */
static char fence_line(const char *p, size_t n, size_t at, struct block *info)
{
	size_t end = line_end(p, n, at);

	while (at < end && (p[at] == ' ' || p[at] == '\t'))
		at++;
	if (end - at < 3 || (p[at] != '`' && p[at] != '~') || p[at + 1] != p[at] ||
	    p[at + 2] != p[at])
		return 0;
	char c = p[at];
	while (at < end && p[at] == c)
		at++;
	size_t from, kept;
	text_strip(p + at, end - at, &from, &kept);
	*info = (struct block){ .begin = at + from, .end = at + from + kept };
	return c;
}

static bool is_python(const char *p, struct block info)
{
	static const char *const words[] = {
		"", "python", "py", "python3", "cadquery", "{.python}"
	};
	size_t n = info.end - info.begin;

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (n == strlen(words[i]) && strncasecmp(p + info.begin, words[i], n) == 0)
			return true;
	return false;
}

/* The block that is most likely the program: the last whole one, else the longest. */
static bool best_block(const char *p, size_t n, struct block *best)
{
	static const char import[] = "import cadquery", from[] = "from cadquery";
	bool found = false;

	for (size_t at = 0; at < n;) {
		struct block info, close;
		char c = fence_line(p, n, at, &info);
		at = line_end(p, n, at);
		if (!c)
			continue;
		struct block b = { .begin = at, .end = n, .open = true };
		/* a closing fence is of the same character and bare */
		while (at < n) {
			size_t line = at;
			at = line_end(p, n, at);
			if (fence_line(p, n, line, &close) == c && close.begin == close.end) {
				b.end = line;
				b.open = false;
				break;
			}
		}
		if (!is_python(p, info))
			continue;
		b.whole = memmem(p + b.begin, b.end - b.begin, import, sizeof(import) - 1) ||
		          memmem(p + b.begin, b.end - b.begin, from, sizeof(from) - 1);
		bool longer = b.end - b.begin > best->end - best->begin;
		if (!found || (b.whole && !best->whole) ||
		    (b.whole == best->whole && (b.whole || longer)))
			*best = b;
		found = true;
	}
	return found;
}

/* A line that prose does not begin with: import, from ... import, a definition, a comment, a text
 * in three quotes, NAME = or NAME(. */
static bool looks_like_python(const char *p, size_t n)
{
	static const char *const begins[] = {
		"import ", "def ", "class ", "@", "#", "\"\"\"", "'''"
	};
	size_t i = 0;

	for (size_t k = 0; k < sizeof(begins) / sizeof(*begins); k++)
		if (n >= strlen(begins[k]) && memcmp(p, begins[k], strlen(begins[k])) == 0)
			return true;
	if (n > 5 && memcmp(p, "from ", 5) == 0)
		return memmem(p, n, " import ", 8) != NULL;
	while (i < n && (p[i] == '_' || (p[i] >= '0' && p[i] <= '9') ||
	                 ((p[i] | 32) >= 'a' && (p[i] | 32) <= 'z')))
		i++;
	if (i == 0)
		return false;
	if (i < n && p[i] == '(')
		return true;
	while (i < n && p[i] == ' ')
		i++;
	return i + 1 < n && p[i] == '=' && p[i + 1] != '=';
}

static void find_answer(struct extract *x, const char *p, size_t n, size_t *begin, size_t *end)
{
	struct block b = { 0 };

	if (best_block(p, n, &b)) {
		x->fenced = !b.open;
		x->clipped = x->clipped || b.open;
		*begin = b.begin;
		*end = b.end;
		return;
	}
	for (size_t at = 0; at < n; at = line_end(p, n, at))
		if (looks_like_python(p + at, line_end(p, n, at) - at)) {
			*begin = at;
			return;
		}
}

bool extract_is_python(const char *line, size_t len)
{
	return looks_like_python(line, len);
}

bool extract_is_fence(const char *line, size_t len, struct extract_fence *out)
{
	struct block info = { 0 };
	char c = fence_line(line, len, 0, &info);

	*out = (struct extract_fence){ .mark = c,
		                       .bare = c && info.begin == info.end,
		                       .python = c && is_python(line, info) };
	return c != 0;
}

int extract_program(struct extract *out, enum extract_rule rule, const char *text, size_t len,
                    struct err *e)
{
	struct extract x = { 0 };
	struct buf joined = { 0 };
	const char *p = text;
	size_t n = len, begin = 0, end, at, kept;
	int rc = -1;

	if (rule != EXTRACT_FILE) {
		size_t from = rule == EXTRACT_ANSWER ? thinking_begun_before(text, len) : 0;
		if (drop_thinking(&x, &joined, text, len, from, e) < 0)
			goto out;
		p = buf_str(&joined);
		n = joined.len;
	} else if (add_piece(&x, 0, 0, e) < 0) {
		goto out;
	}
	end = n;
	if (rule == EXTRACT_ANSWER)
		find_answer(&x, p, n, &begin, &end);
	else
		x.fenced = find_fenced(p, n, &begin, &end, &x.clipped);
	text_strip(p + begin, end - begin, &at, &kept);
	begin += at;
	end = begin + kept;
	if (rule == EXTRACT_COMPLETION) {
		const char *import = memmem(p + begin, kept, IMPORT_LINE, sizeof(IMPORT_LINE) - 1);
		if (import)
			begin = (size_t)(import - p);
	}
	buf_add(&x.program, p + begin, end - begin);
	if (buf_failed(&x.program)) {
		err_set(e, ERR_MEM, "no memory for a program of %zu bytes", end - begin);
		goto out;
	}
	/* Pieces in terms of the program: drop those that end before it, shift the rest. */
	int first = 0, count = 0;
	while (first + 1 < x.n_pieces && x.pieces[first + 1].at <= begin)
		first++;
	for (int i = first; i < x.n_pieces && (i == first || x.pieces[i].at < end); i++) {
		struct extract_piece q = x.pieces[i];
		if (q.at < begin)
			q = (struct extract_piece){ begin, q.source + (begin - q.at) };
		q.at -= begin;
		x.pieces[count++] = q;
	}
	x.n_pieces = count;
	x.offset = x.pieces[0].source;
	for (size_t i = 0; i < x.offset && i < len; i++)
		x.line_offset += text[i] == '\n';
	*out = x;
	x = (struct extract){ 0 };
	rc = 0;
out:
	buf_release(&joined);
	extract_release(&x);
	return rc;
}

void extract_release(struct extract *x)
{
	buf_release(&x->program);
	free(x->pieces);
	*x = (struct extract){ 0 };
}

int extract_source_line(const struct extract *x, const char *text, size_t len, int line)
{
	const char *p = buf_str(&x->program);
	size_t at = 0;
	int piece = 0, source_line = 1;

	for (int k = 1; k < line && at < x->program.len; k++) {
		const char *nl = memchr(p + at, '\n', x->program.len - at);
		if (!nl)
			break;
		at = (size_t)(nl - p) + 1;
	}
	while (piece + 1 < x->n_pieces && x->pieces[piece + 1].at <= at)
		piece++;
	size_t source = x->pieces[piece].source + (at - x->pieces[piece].at);
	for (size_t i = 0; i < source && i < len; i++)
		source_line += text[i] == '\n';
	return source_line;
}
