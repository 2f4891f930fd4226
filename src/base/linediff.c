#include "src/base/linediff.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct line {
	const char *p;
	size_t n; /* with its newline, if it has one */
};

struct text {
	struct line *line;
	int n;
};

static int split(struct text *t, const char *p, size_t len)
{
	int n = 0;

	for (size_t i = 0; i < len; i++)
		n += p[i] == '\n' || i + 1 == len;
	t->line = malloc(sizeof(*t->line) * ((size_t)n + 1));
	if (!t->line)
		return -1;
	t->n = n;
	for (int i = 0; i < n; i++) {
		const char *end = memchr(p, '\n', len);
		size_t k = end ? (size_t)(end - p) + 1 : len;
		t->line[i] = (struct line){ p, k };
		p += k;
		len -= k;
	}
	return 0;
}

static bool same(const struct text *a, int i, const struct text *b, int k)
{
	return a->line[i].n == b->line[k].n &&
	       memcmp(a->line[i].p, b->line[k].p, a->line[i].n) == 0;
}

/* Marks the lines of both that are no part of the common subsequence. */
static int mark(const struct text *a, const struct text *b, char *gone, char *came)
{
	int from = 0, end_a = a->n, end_b = b->n;

	while (from < end_a && from < end_b && same(a, from, b, from))
		from++;
	while (end_a > from && end_b > from && same(a, end_a - 1, b, end_b - 1)) {
		end_a--;
		end_b--;
	}
	size_t rows = (size_t)(end_a - from), columns = (size_t)(end_b - from);
	if (rows == 0 || columns == 0 || rows > LINEDIFF_CELLS / columns) {
		memset(gone + from, 1, rows);
		memset(came + from, 1, columns);
		return 0;
	}
	/* best[i][k]: common lines from i on and from k on */
	size_t width = columns + 1;
	uint32_t *best = calloc((rows + 1) * width, sizeof(*best));
	if (!best)
		return -1;
	for (size_t i = rows; i-- > 0;)
		for (size_t k = columns; k-- > 0;) {
			uint32_t down = best[(i + 1) * width + k], right = best[i * width + k + 1];
			best[i * width + k] = same(a, from + (int)i, b, from + (int)k)
			                              ? best[(i + 1) * width + k + 1] + 1
			                      : down > right ? down
			                                     : right;
		}
	size_t i = 0, k = 0;
	while (i < rows || k < columns) {
		if (i < rows && k < columns && same(a, from + (int)i, b, from + (int)k)) {
			i++;
			k++;
		} else if (i < rows &&
		           (k == columns || best[(i + 1) * width + k] >= best[i * width + k + 1])) {
			gone[from + (int)i++] = 1;
		} else {
			came[from + (int)k++] = 1;
		}
	}
	free(best);
	return 0;
}

static void put(struct buf *out, char sign, const struct line *l)
{
	buf_addc(out, sign);
	buf_add(out, l->p, l->n);
	if (l->n == 0 || l->p[l->n - 1] != '\n')
		buf_adds(out, "\n\\ No newline at end of file\n");
}

/* "3,7" as in "@@ -3,7": an empty range names the line before it. */
static void range(struct buf *out, int from, int n)
{
	if (n == 1)
		buf_printf(out, "%d", from + 1);
	else
		buf_printf(out, "%d,%d", n == 0 ? from : from + 1, n);
}

/* One hunk: lines @i to @end_i of @a, @k to @end_k of @b. */
static void put_hunk(struct buf *out, const struct text *a, const struct text *b, const char *gone,
                     const char *came, int i, int end_i, int k, int end_k)
{
	buf_adds(out, "@@ -");
	range(out, i, end_i - i);
	buf_adds(out, " +");
	range(out, k, end_k - k);
	buf_adds(out, " @@\n");
	while (i < end_i || k < end_k) {
		if (i < end_i && gone[i]) {
			put(out, '-', &a->line[i++]);
		} else if (k < end_k && came[k]) {
			put(out, '+', &b->line[k++]);
		} else {
			put(out, ' ', &a->line[i++]);
			k++;
		}
	}
}

int linediff(struct buf *out, const char *a, size_t len_a, const char *name_a, const char *b,
             size_t len_b, const char *name_b, int context, struct linediff *count, struct err *e)
{
	struct text x = { 0 }, y = { 0 };
	struct linediff c = { 0 };
	char *gone = NULL, *came = NULL;
	int rc = -1;

	if (split(&x, a, len_a) < 0 || split(&y, b, len_b) < 0)
		goto memory;
	gone = calloc((size_t)x.n + 1, 1);
	came = calloc((size_t)y.n + 1, 1);
	if (!gone || !came || mark(&x, &y, gone, came) < 0)
		goto memory;
	for (int i = 0; i < x.n; i++)
		c.removed += gone[i];
	for (int k = 0; k < y.n; k++)
		c.added += came[k];
	if (c.removed || c.added)
		buf_printf(out, "--- %s\n+++ %s\n", name_a, name_b);
	for (int i = 0, k = 0; i < x.n || k < y.n;) {
		if (!(i < x.n && gone[i]) && !(k < y.n && came[k])) {
			i++;
			k++;
			continue;
		}
		/* a change: with what comes within twice the context it is one hunk */
		int lead = i < context ? i : context, from_i = i - lead, from_k = k - lead,
		    calm = 0;
		int end_i = i, end_k = k;
		while ((i < x.n || k < y.n) && calm <= 2 * context) {
			if (i < x.n && gone[i]) {
				i++;
				calm = 0;
			} else if (k < y.n && came[k]) {
				k++;
				calm = 0;
			} else {
				i++;
				k++;
				calm++;
				continue;
			}
			end_i = i;
			end_k = k;
		}
		int tail = i - end_i < context ? i - end_i : context;
		put_hunk(out, &x, &y, gone, came, from_i, end_i + tail, from_k, end_k + tail);
	}
	if (count)
		*count = c;
	rc = 0;
memory:
	if (rc < 0 || buf_failed(out))
		rc = err_set(e, ERR_MEM, "no memory to compare %s with %s", name_a, name_b);
	free(x.line);
	free(y.line);
	free(gone);
	free(came);
	return rc;
}

/* ---- beside each other ---- */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* How much of the two lines is what they have in common at their ends, blanks around them left out:
 * 0 to 100. */
static int likeness(const struct line *a, const struct line *b)
{
	const char *p = a->p, *q = b->p;
	size_t n = a->n, m = b->n, head = 0, tail = 0;

	while (n > 0 && is_blank(p[n - 1]))
		n--;
	while (m > 0 && is_blank(q[m - 1]))
		m--;
	while (n > 0 && is_blank(*p)) {
		p++;
		n--;
	}
	while (m > 0 && is_blank(*q)) {
		q++;
		m--;
	}
	size_t least = n < m ? n : m;
	while (head < least && p[head] == q[head])
		head++;
	while (tail < least - head && p[n - 1 - tail] == q[m - 1 - tail])
		tail++;
	return least ? (int)(200 * (head + tail) / (n + m)) : 0;
}

enum { ALIKE = 50, PAIR_CELLS = 40000 };

/* Of the lines @i to @i+@rows of @a, all gone, and @k to @k+@columns of @b, all new, those that are
 * set beside each other, in order, so that their likenesses have the greatest sum: with[r] is the
 * column of row r, -1 none. */
static int pair_up(const struct text *a, int i, int rows, const struct text *b, int k, int columns,
                   int *with)
{
	size_t width = (size_t)columns + 1;
	int *best;

	for (int r = 0; r < rows; r++)
		with[r] = -1;
	if (rows == 0 || columns == 0 || rows > PAIR_CELLS / columns)
		return 0;
	if (!(best = calloc(((size_t)rows + 1) * width, sizeof(*best))))
		return -1;
	for (int r = rows; r-- > 0;)
		for (int c = columns; c-- > 0;) {
			int here = likeness(&a->line[i + r], &b->line[k + c]);
			int *cell = &best[(size_t)r * width + (size_t)c];
			int down = cell[width], right = cell[1], both = cell[width + 1] + here;
			*cell = down > right ? down : right;
			if (here >= ALIKE && both > *cell)
				*cell = both;
		}
	for (int r = 0, c = 0; r < rows && c < columns;) {
		const int *cell = &best[(size_t)r * width + (size_t)c];
		if (*cell == cell[width]) {
			r++;
		} else if (*cell == cell[1]) {
			c++;
		} else {
			with[r++] = c++;
		}
	}
	free(best);
	return 0;
}

static struct linediff_row row_of(const struct text *a, int i, const struct text *b, int k,
                                  char sign)
{
	struct linediff_row r = { .sign = sign };

	if (i >= 0) {
		const struct line *l = &a->line[i];
		r.left = l->p;
		r.left_len = l->n - (l->p[l->n - 1] == '\n');
		r.left_no = i + 1;
	}
	if (k >= 0) {
		const struct line *l = &b->line[k];
		r.right = l->p;
		r.right_len = l->n - (l->p[l->n - 1] == '\n');
		r.right_no = k + 1;
	}
	return r;
}

int linediff_rows(struct linediff_row **rows, int *n, const char *a, size_t len_a, const char *b,
                  size_t len_b, struct linediff *count, struct err *e)
{
	struct text x = { 0 }, y = { 0 };
	struct linediff c = { 0 };
	struct linediff_row *out = NULL;
	char *gone = NULL, *came = NULL;
	int *with = NULL, made = 0, rc = -1;

	if (split(&x, a, len_a) < 0 || split(&y, b, len_b) < 0)
		goto memory;
	gone = calloc((size_t)x.n + 1, 1);
	came = calloc((size_t)y.n + 1, 1);
	with = calloc((size_t)x.n + 1, sizeof(*with));
	out = calloc((size_t)x.n + (size_t)y.n + 1, sizeof(*out));
	if (!gone || !came || !with || !out || mark(&x, &y, gone, came) < 0)
		goto memory;
	for (int i = 0, k = 0; i < x.n || k < y.n;) {
		int end_i = i, end_k = k;
		while (end_i < x.n && gone[end_i])
			end_i++;
		while (end_k < y.n && came[end_k])
			end_k++;
		if (end_i == i && end_k == k) {
			out[made++] = row_of(&x, i++, &y, k++, ' ');
			continue;
		}
		if (pair_up(&x, i, end_i - i, &y, k, end_k - k, with) < 0)
			goto memory;
		c.removed += end_i - i;
		c.added += end_k - k;
		int from_i = i, from_k = k;
		while (i < end_i || k < end_k) {
			/* up to the next pair: what went, what came */
			int to_i = i;
			while (to_i < end_i && with[to_i - from_i] < 0)
				to_i++;
			int to_k = to_i < end_i ? from_k + with[to_i - from_i] : end_k;
			while (i < to_i)
				out[made++] = row_of(&x, i++, &y, -1, '-');
			while (k < to_k)
				out[made++] = row_of(&x, -1, &y, k++, '+');
			if (i < end_i)
				out[made++] = row_of(&x, i++, &y, k++, '~');
		}
	}
	if (count)
		*count = c;
	rc = 0;
memory:
	if (rc < 0)
		err_set(e, ERR_MEM, "no memory to compare two texts");
	free(x.line);
	free(y.line);
	free(gone);
	free(came);
	free(with);
	if (rc < 0) {
		free(out);
	} else {
		*rows = out;
		*n = made;
	}
	return rc;
}
