#include "engine/column.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#define CELLS_MAX  1024
#define PLACES_MAX 16000000

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

static int cell_of(const struct columns *c, int d, double x)
{
	double i = floor((x - c->lo[d]) / c->step[d]);

	return i < 0 ? 0 : i >= c->n[d] ? c->n[d] - 1 : (int)i;
}

/* The cells that the projection of triangle @i may meet. */
static void cells_of(const struct columns *c, size_t i, int from[2], int to[2])
{
	const double *t = c->xyz + 9 * i;

	for (int d = 0; d < 2; d++) {
		int x = (c->axis + 1 + d) % 3;
		double a = t[x], b = t[3 + x], e = t[6 + x];
		from[d] = cell_of(c, d, fmin(a, fmin(b, e)));
		to[d] = cell_of(c, d, fmax(a, fmax(b, e)));
	}
}

/* Is it seen from the axis at all? A wall along it holds no line. */
static bool faces_axis(const struct columns *c, size_t i)
{
	const double *t = c->xyz + 9 * i;
	int u = (c->axis + 1) % 3, v = (c->axis + 2) % 3;
	double x = t[u], y = t[v];

	return (t[3 + u] - x) * (t[6 + v] - y) - (t[3 + v] - y) * (t[6 + u] - x) != 0;
}

/* The grid of @c with about @side cells each way; how many places its lists need. */
static double lay_grid(struct columns *c, const double hi[2], size_t n_tri, int side)
{
	double places = 0;

	for (int d = 0; d < 2; d++) {
		double len = hi[d] - c->lo[d];
		c->n[d] = len > 0 ? side : 1;
		c->step[d] = len > 0 ? len / c->n[d] : 1;
	}
	for (size_t i = 0; i < n_tri; i++) {
		int from[2], to[2];
		if (!faces_axis(c, i))
			continue;
		cells_of(c, i, from, to);
		places += (double)(to[0] - from[0] + 1) * (to[1] - from[1] + 1);
	}
	return places;
}

int columns_open(struct columns *out, const double *xyz, size_t n_tri, int axis, struct err *e)
{
	struct columns c = { .xyz = xyz, .axis = axis, .lo = { INFINITY, INFINITY } };
	double hi[2] = { -INFINITY, -INFINITY };
	int side = 1;

	for (size_t i = 0; i < 3 * n_tri; i++) {
		for (int d = 0; d < 2; d++) {
			double x = xyz[3 * i + (size_t)((axis + 1 + d) % 3)];
			c.lo[d] = fmin(c.lo[d], x);
			hi[d] = fmax(hi[d], x);
		}
	}
	if (n_tri == 0)
		c.lo[0] = c.lo[1] = hi[0] = hi[1] = 0;
	while (side < CELLS_MAX && (double)side * side < (double)n_tri)
		side *= 2;
	while (lay_grid(&c, hi, n_tri, side) > fmax(PLACES_MAX, 2.0 * (double)n_tri) && side > 1)
		side /= 2;

	size_t cells = (size_t)c.n[0] * (size_t)c.n[1];
	c.first = calloc(cells + 2, sizeof(*c.first));
	if (!c.first)
		return err_set(e, ERR_MEM, "no memory for a grid of %zu cells", cells);
	/* counted one cell further on, so that filling leaves each start where it belongs */
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < n_tri; i++) {
			int from[2], to[2];
			if (!faces_axis(&c, i))
				continue;
			cells_of(&c, i, from, to);
			for (int y = from[1]; y <= to[1]; y++) {
				for (int x = from[0]; x <= to[0]; x++) {
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

double spans_length(const struct spans *s, double lo, double hi)
{
	double sum = 0;

	for (int i = 0; i < s->n; i++)
		sum += fmax(0, fmin(hi, s->s[i].b) - fmax(lo, s->s[i].a));
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
		sum += fmax(0, fmin(a.b, b.b) - fmax(a.a, b.a));
		if (a.b < b.b)
			i++;
		else
			k++;
	}
	return sum;
}
