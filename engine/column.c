#include "engine/column.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "engine/numeric.h"

/* Fans of long thin triangles, as meshers leave them on flat faces, meet every cell of their box: a
 * finer grid would cost more to fill than it saves (measured on 24 parts, 2026-11-22). */
#define CELLS_MAX           512
#define PLACES_PER_TRIANGLE 16

#define PIECE_LINES     72 /* each way, when the sides are equal */
#define PIECE_SPANS_MAX 4000000

struct column_hit {
	double w;
	int turn;
};

void columns_close(struct columns *c)
{
	free(c->which);
	free(c->first);
	*c = (struct columns){ 0 };
}

void spans_release(struct spans *s)
{
	free(s->s);
	free(s->hits);
	*s = (struct spans){ 0 };
}

/* Monotonic, and the same for a triangle and for a line: rounding loses nothing. */
static inline int cell_of(const struct columns *c, int d, double x)
{
	double i = (x - c->lo[d]) * c->per_mm[d];

	return !(i > 0) ? 0 : i >= c->n[d] ? c->n[d] - 1 : (int)i;
}

/* The cells that a triangle's shadow meets, row by row. */
struct shadow {
	int row, end;
	int from[CELLS_MAX], to[CELLS_MAX]; /* of row .. end */
};

/* Widens the rows that the side p-q passes by where it does, and a hair more. */
static void add_side(const struct columns *c, struct shadow *s, const double *p, const double *q)
{
	int iu = (c->axis + 1) % 3, iv = (c->axis + 2) % 3;
	const double *low = p[iv] < q[iv] ? p : q, *high = low == p ? q : p;
	int a = cell_of(c, 1, low[iv]), b = cell_of(c, 1, high[iv]);
	double slope = a < b ? (high[iu] - low[iu]) / (high[iv] - low[iv]) : 0;
	double hair = 1e-6 * c->step[0], u0 = low[iu];

	for (int y = a; y <= b; y++) {
		double edge = c->lo[1] + (y + 1) * c->step[1];
		double t = most(0, edge - low[iv]) * slope, all = high[iu] - low[iu];
		double u1 = y == b ? high[iu] : low[iu] + (all < 0 ? most(t, all) : least(t, all));
		int from = cell_of(c, 0, least(u0, u1) - hair),
		    to = cell_of(c, 0, most(u0, u1) + hair);
		s->from[y] = from < s->from[y] ? from : s->from[y];
		s->to[y] = to > s->to[y] ? to : s->to[y];
		u0 = u1;
	}
}

static void shadow_of(const struct columns *c, size_t i, struct shadow *s)
{
	const double *t = c->xyz + 9 * i, *v = t + (c->axis + 2) % 3;

	s->row = cell_of(c, 1, least(v[0], least(v[3], v[6])));
	s->end = cell_of(c, 1, most(v[0], most(v[3], v[6])));
	for (int y = s->row; y <= s->end; y++) {
		s->from[y] = c->n[0];
		s->to[y] = -1;
	}
	for (int k = 0; k < 3; k++)
		add_side(c, s, t + 3 * k, t + 3 * ((k + 1) % 3));
}

/* Is it seen from the axis at all? A wall along it holds no line. */
static bool faces_axis(const struct columns *c, size_t i)
{
	const double *t = c->xyz + 9 * i;
	int u = (c->axis + 1) % 3, v = (c->axis + 2) % 3;
	double x = t[u], y = t[v];

	return (t[3 + u] - x) * (t[6 + v] - y) - (t[3 + v] - y) * (t[6 + u] - x) != 0;
}

/* As many cells as pay: a shadow of w by h and area a meets about 1 + w + h + a of them, in cells.
 */
static void lay_grid(struct columns *c, size_t n_tri)
{
	int iu = (c->axis + 1) % 3, iv = (c->axis + 2) % 3;
	double hi[2] = { -INFINITY, -INFINITY }, w = 0, h = 0, area = 0;

	c->lo[0] = c->lo[1] = INFINITY;
	for (size_t i = 0; i < n_tri; i++) {
		const double *t = c->xyz + 9 * i;
		double u0 = least(t[iu], least(t[3 + iu], t[6 + iu])),
		       u1 = most(t[iu], most(t[3 + iu], t[6 + iu])),
		       v0 = least(t[iv], least(t[3 + iv], t[6 + iv])),
		       v1 = most(t[iv], most(t[3 + iv], t[6 + iv]));
		c->lo[0] = least(c->lo[0], u0);
		c->lo[1] = least(c->lo[1], v0);
		hi[0] = most(hi[0], u1);
		hi[1] = most(hi[1], v1);
		w += u1 - u0;
		h += v1 - v0;
		area += fabs((t[3 + iu] - t[iu]) * (t[6 + iv] - t[iv]) -
		             (t[3 + iv] - t[iv]) * (t[6 + iu] - t[iu])) /
		        2;
	}
	if (n_tri == 0)
		c->lo[0] = c->lo[1] = hi[0] = hi[1] = 0;
	int side = 1;
	while (side < CELLS_MAX && (double)side * side < (double)n_tri)
		side *= 2;
	for (;; side /= 2) {
		for (int d = 0; d < 2; d++) {
			double len = hi[d] - c->lo[d];
			c->n[d] = len > 0 ? side : 1;
			c->step[d] = len > 0 ? len / c->n[d] : 1;
			c->per_mm[d] = 1 / c->step[d];
		}
		double places = (double)n_tri + w * c->per_mm[0] + h * c->per_mm[1] +
		                area * c->per_mm[0] * c->per_mm[1];
		if (side <= 8 || places <= PLACES_PER_TRIANGLE * (double)n_tri)
			return;
	}
}

int columns_open(struct columns *out, const double *xyz, size_t n_tri, int axis, struct err *e)
{
	struct columns c = { .xyz = xyz, .axis = axis };
	struct shadow s;

	lay_grid(&c, n_tri);
	size_t cells = (size_t)c.n[0] * (size_t)c.n[1];
	c.first = calloc(cells + 2, sizeof(*c.first));
	if (!c.first)
		return err_set(e, ERR_MEM, "no memory for a grid of %zu cells", cells);
	/* counted one cell further on, so that filling leaves each start where it belongs */
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < n_tri; i++) {
			if (!faces_axis(&c, i))
				continue;
			shadow_of(&c, i, &s);
			for (int y = s.row; y <= s.end; y++) {
				for (int x = s.from[y]; x <= s.to[y]; x++) {
					size_t at = (size_t)y * (size_t)c.n[0] + (size_t)x;
					if (pass == 0)
						c.first[at + 2]++;
					else
						c.which[c.first[at + 1]++] = (uint32_t)i;
				}
			}
		}
		if (pass == 1)
			break;
		for (size_t k = 2; k < cells + 2; k++)
			c.first[k] += c.first[k - 1];
		c.which = malloc(((size_t)c.first[cells + 1] + 1) * sizeof(*c.which));
		if (!c.which) {
			columns_close(&c);
			return err_set(e, ERR_MEM, "no memory for a grid of %zu cells", cells);
		}
	}
	*out = c;
	return 0;
}

/* Does the side p-q cross the height @v to the right of @u? Both triangles at a side get the same
 * answer, so a line meets just one of them. */
static bool crosses(const double *p, const double *q, int iu, int iv, double u, double v)
{
	if ((p[iv] > v) == (q[iv] > v))
		return false;
	const double *low = p[iv] < q[iv] ? p : q, *high = low == p ? q : p;
	return low[iu] + (v - low[iv]) / (high[iv] - low[iv]) * (high[iu] - low[iu]) > u;
}

static int by_height(const void *p, const void *q)
{
	const struct column_hit *a = p, *b = q;

	if (a->w != b->w)
		return a->w < b->w ? -1 : 1;
	return b->turn - a->turn; /* entries first: what touches is one */
}

static int find_hits(const struct columns *c, double u, double v, struct spans *out, int *n,
                     struct err *e)
{
	int iu = (c->axis + 1) % 3, iv = (c->axis + 2) % 3, iw = c->axis;
	size_t cell = (size_t)cell_of(c, 1, v) * (size_t)c->n[0] + (size_t)cell_of(c, 0, u);

	*n = 0;
	for (uint32_t k = c->first[cell]; k < c->first[cell + 1]; k++) {
		const double *p = c->xyz + 9 * (size_t)c->which[k], *q = p + 3, *r = p + 6;
		if (!(crosses(p, q, iu, iv, u, v) ^ crosses(q, r, iu, iv, u, v) ^
		      crosses(r, p, iu, iv, u, v)))
			continue;
		double a = (q[iu] - p[iu]) * (r[iv] - p[iv]) - (q[iv] - p[iv]) * (r[iu] - p[iu]);
		double s = ((u - p[iu]) * (r[iv] - p[iv]) - (v - p[iv]) * (r[iu] - p[iu])) / a;
		double t = ((q[iu] - p[iu]) * (v - p[iv]) - (q[iv] - p[iv]) * (u - p[iu])) / a;
		if (*n == out->cap_hits) {
			int more = out->cap_hits ? 2 * out->cap_hits : 32;
			struct column_hit *h = realloc(out->hits, (size_t)more * sizeof(*h));
			if (!h)
				return err_set(e, ERR_MEM, "no memory for %d hits of a line", more);
			out->hits = h;
			out->cap_hits = more;
		}
		/* seen from above counter-clockwise: the line leaves */
		out->hits[(*n)++] =
			(struct column_hit){ p[iw] + s * (q[iw] - p[iw]) + t * (r[iw] - p[iw]),
			                     a > 0 ? -1 : 1 };
	}
	if (*n)
		qsort(out->hits, (size_t)*n, sizeof(*out->hits), by_height);
	return 0;
}

int columns_at(const struct columns *c, double u, double v, struct spans *out, struct err *e)
{
	int n, winding = 0;
	double from = 0;

	out->n = 0;
	if (find_hits(c, u, v, out, &n, e) < 0)
		return -1;
	for (int i = 0; i < n; i++) {
		if (winding == 0)
			from = out->hits[i].w;
		winding += out->hits[i].turn;
		if (winding != 0)
			continue;
		if (out->n && from <= out->s[out->n - 1].b) {
			out->s[out->n - 1].b = out->hits[i].w;
			continue;
		}
		if (out->n == out->cap) {
			int more = out->cap ? 2 * out->cap : 16;
			struct span *s = realloc(out->s, (size_t)more * sizeof(*s));
			if (!s)
				return err_set(e, ERR_MEM, "no memory for %d spans of a line",
				               more);
			out->s = s;
			out->cap = more;
		}
		out->s[out->n++] = (struct span){ from, out->hits[i].w };
	}
	if (winding != 0)
		out->n = 0;
	return 0;
}

/* ---- pieces ---- */

/* A span of one line, with what was joined to it in the root. */
struct node {
	double a, b, sum;
	int root;
};

struct nodes {
	struct node *x;
	int n, cap;
};

static int root_of(struct node *x, int i)
{
	while (x[i].root != i) {
		x[i].root = x[x[i].root].root;
		i = x[i].root;
	}
	return i;
}

/* A way from one line to the next: along axis @d, at @p but for that axis and the lines' own. */
struct step {
	const struct columns *c; /* of axis d */
	int d, axis;
	double p[3], from, to, join_mm;
};

/* 1 when the way is free of gaps at the height @w, 0 when not, -1 out of memory. */
static int leads_over(const struct step *s, double w, struct spans *scratch, struct err *e)
{
	double p[3] = { s->p[0], s->p[1], s->p[2] }, at = s->from;

	p[s->axis] = w;
	if (columns_at(s->c, p[(s->d + 1) % 3], p[(s->d + 2) % 3], scratch, e) < 0)
		return -1;
	for (int i = 0; i < scratch->n && at < s->to; i++) {
		if (scratch->s[i].b < at)
			continue;
		if (scratch->s[i].a > at + s->join_mm)
			return 0;
		at = scratch->s[i].b;
	}
	return at >= s->to - s->join_mm;
}

/* Joins the spans a .. a_end of one line with b .. b_end of the next. */
static int join_lines(struct nodes *g, int a, int a_end, int b, int b_end, const struct step *s,
                      struct spans *scratch, struct err *e)
{
	static const double where[3] = { 0.5, 0.16, 0.84 };

	while (a < a_end && b < b_end) {
		double lo = most(g->x[a].a, g->x[b].a), hi = least(g->x[a].b, g->x[b].b);
		for (int k = 0; k < 3 && hi > lo; k++) {
			int p = root_of(g->x, a), q = root_of(g->x, b);
			if (p == q)
				break;
			int rc = leads_over(s, lo + where[k] * (hi - lo), scratch, e);
			if (rc < 0)
				return -1;
			if (rc)
				g->x[p > q ? p : q].root = p < q ? p : q;
		}
		if (g->x[a].b < g->x[b].b)
			a++;
		else
			b++;
	}
	return 0;
}

/* Spans of one line that are next to touching are one. */
static int add_line(struct nodes *g, const struct spans *s, double lo, double hi, double join_mm,
                    struct err *e)
{
	int first = g->n;

	for (int i = 0; i < s->n; i++) {
		double a = most(s->s[i].a, lo), b = least(s->s[i].b, hi);
		if (!(a < b))
			continue;
		if (g->n > first && a - g->x[g->n - 1].b <= join_mm) {
			g->x[g->n - 1].b = b;
			continue;
		}
		if (g->n >= PIECE_SPANS_MAX)
			return err_set(e, ERR_INPUT,
			               "the part is in more than %d stretches of material; use "
			               "fewer or simpler features",
			               PIECE_SPANS_MAX);
		if (g->n == g->cap) {
			int more = g->cap ? 2 * g->cap : 4096;
			struct node *x = realloc(g->x, (size_t)more * sizeof(*x));
			if (!x)
				return err_set(e, ERR_MEM, "no memory for %d spans", more);
			g->x = x;
			g->cap = more;
		}
		g->x[g->n] = (struct node){ a, b, 0, g->n };
		g->n++;
	}
	return 0;
}

static int count_pieces(struct nodes *g, double min_share)
{
	double largest = 0;
	int n = 0;

	for (int i = 0; i < g->n; i++)
		g->x[root_of(g->x, i)].sum += g->x[i].b - g->x[i].a;
	for (int i = 0; i < g->n; i++)
		largest = most(largest, g->x[i].sum);
	for (int i = 0; i < g->n; i++)
		n += g->x[i].root == i && g->x[i].sum >= min_share * largest;
	return n;
}

int columns_pieces(const struct columns c[3], int axis, const double from[3], const double to[3],
                   double join_mm, double min_share, int *out, struct err *e)
{
	int across[2] = { (axis + 1) % 3, (axis + 2) % 3 }, n[2], rc = -1;
	double len[2] = { to[across[0]] - from[across[0]], to[across[1]] - from[across[1]] };
	double pitch = sqrt(len[0] * len[1]) / PIECE_LINES, p[2][2] = { { 0 } };
	struct spans s = { 0 };
	struct nodes g = { 0 };

	for (int d = 0; d < 2; d++) {
		double k = pitch > 0 ? ceil(len[d] / pitch) : 1;
		n[d] = k < 8 ? 8 : k > 8 * PIECE_LINES ? 8 * PIECE_LINES : (int)k;
	}
	/* where each line of this row and of the one before has its nodes */
	int *first = calloc(2 * (size_t)(n[0] + 1), sizeof(*first));
	if (!first)
		return err_set(e, ERR_MEM, "no memory for %d lines", n[0]);
	int *row = first, *before = first + n[0] + 1;
	for (int y = 0; y < n[1]; y++) {
		p[1][0] = p[1][1];
		p[1][1] = from[across[1]] + (y + 0.4963) / n[1] * len[1];
		for (int x = 0; x < n[0]; x++) {
			p[0][0] = p[0][1];
			p[0][1] = from[across[0]] + (x + 0.5037) / n[0] * len[0];
			row[x] = g.n;
			if (columns_at(&c[axis], p[0][1], p[1][1], &s, e) < 0 ||
			    add_line(&g, &s, from[axis], to[axis], join_mm, e) < 0)
				goto out;
			for (int d = 0; d < 2; d++) {
				struct step way = { &c[across[d]], across[d], axis,   { 0 },
					            p[d][0],       p[d][1],   join_mm };
				way.p[across[!d]] = p[!d][1];
				if (d == 0 ? x == 0 : y == 0)
					continue;
				int a = d ? before[x] : row[x - 1],
				    a_end = d ? before[x + 1] : row[x];
				if (join_lines(&g, a, a_end, row[x], g.n, &way, &s, e) < 0)
					goto out;
			}
		}
		row[n[0]] = g.n;
		int *swap = row;
		row = before;
		before = swap;
	}
	*out = count_pieces(&g, min_share);
	rc = 0;
out:
	free(first);
	free(g.x);
	spans_release(&s);
	return rc;
}

double spans_length(const struct spans *s, double lo, double hi)
{
	double sum = 0;

	for (int i = 0; i < s->n; i++)
		sum += most(0, least(hi, s->s[i].b) - most(lo, s->s[i].a));
	return sum;
}

double spans_common(const struct spans *p, const struct spans *q, double mirror)
{
	double sum = 0;
	int i = 0, k = 0;

	while (i < p->n && k < q->n) {
		struct span a = p->s[i], b = q->s[k];
		if (!isnan(mirror)) {
			struct span r = q->s[q->n - 1 - k];
			b = (struct span){ 2 * mirror - r.b, 2 * mirror - r.a };
		}
		sum += most(0, least(a.b, b.b) - most(a.a, b.a));
		if (a.b < b.b)
			i++;
		else
			k++;
	}
	return sum;
}
