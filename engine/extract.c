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

/* Copies @text without its <think>...</think> spans into @joined, noting the pieces. */
static int drop_thinking(struct extract *x, struct buf *joined, const char *text, size_t len,
                         struct err *e)
{
	static const char open[] = "<think>", close[] = "</think>";
	size_t at = 0;

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

int extract_program(struct extract *out, enum extract_rule rule, const char *text, size_t len,
                    struct err *e)
{
	struct extract x = { 0 };
	struct buf joined = { 0 };
	const char *p = text;
	size_t n = len, begin = 0, end, at, kept;
	int rc = -1;

	if (rule == EXTRACT_COMPLETION) {
		if (drop_thinking(&x, &joined, text, len, e) < 0)
			goto out;
		p = buf_str(&joined);
		n = joined.len;
	} else if (add_piece(&x, 0, 0, e) < 0) {
		goto out;
	}
	end = n;
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
