/*
 * Faces are found by slabs: between two neighbouring ends of lines no line begins or ends, so the
 * material in between is a row of trapezoids, and those of neighbouring slabs that touch belong
 * together. Where solids overlap lines may cross inside of a slab; slabs are cut finer for that.
 */
#include "engine/section.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/numeric.h"

#define SLABS_EXTRA 256
#define SLAB_MIN_MM 1e-9
/* Work is bounded by counts and not by a clock: the same shape gets the same answer. */
#define LINES_MAX 200000
#define WORK_MAX  60000000.0

void section_release(struct section *s)
{
	free(s->lines);
	*s = (struct section){ 0 };
}

void section_faces_release(struct section_faces *f)
{
	free(f->faces);
	*f = (struct section_faces){ 0 };
}

/* Where the side from corner @p to @q meets the plane, the same for both triangles at it. */
static void cross_side(const double *p, const double *q, int axis, double at, double out[2])
{
	const double *low = p[axis] < q[axis] ? p : q, *high = low == p ? q : p;
	double t = (at - low[axis]) / (high[axis] - low[axis]);
	int u = (axis + 1) % 3, v = (axis + 2) % 3;

	out[0] = low[u] + t * (high[u] - low[u]);
	out[1] = low[v] + t * (high[v] - low[v]);
}

int section_cut(struct section *out, const double *xyz, size_t n_tri, int axis, double at_mm,
                struct err *e)
{
	struct section s = { .axis = axis, .at_mm = at_mm };
	size_t room = 0;

	for (size_t i = 0; i < n_tri; i++) {
		const double *c = xyz + 9 * i;
		bool above[3];
		for (int k = 0; k < 3; k++)
			above[k] = c[3 * k + axis] >= at_mm;
		if (above[0] == above[1] && above[1] == above[2])
			continue;
		if (s.n_lines == room) {
			size_t more = room ? 2 * room : 256;
			struct section_line *l = realloc(s.lines, more * sizeof(*l));
			if (!l) {
				section_release(&s);
				return err_set(e, ERR_MEM, "no memory for a section of %zu lines",
				               more);
			}
			s.lines = l;
			room = more;
		}
		/* counter-clockwise from outside: the border leaves the triangle where its side
		 * goes up and enters where it goes down, with the material on the left */
		struct section_line *l = &s.lines[s.n_lines++];
		for (int k = 0; k < 3; k++) {
			int n = (k + 1) % 3;
			if (!above[k] && above[n])
				cross_side(c + 3 * k, c + 3 * n, axis, at_mm, l->b);
			else if (above[k] && !above[n])
				cross_side(c + 3 * k, c + 3 * n, axis, at_mm, l->a);
		}
	}
	*out = s;
	return 0;
}

/* +1 or -1 when @l crosses the height @v (its lower end belongs to it), else 0. */
static int crossing(const struct section_line *l, double v)
{
	return (l->b[1] > v) - (l->a[1] > v);
}

static double u_at(const struct section_line *l, double v)
{
	const double *low = l->a[1] < l->b[1] ? l->a : l->b, *high = low == l->a ? l->b : l->a;

	if (!(high[1] > low[1]))
		return low[0];
	return low[0] + (v - low[1]) / (high[1] - low[1]) * (high[0] - low[0]);
}

bool section_holds(const struct section *s, double u, double v)
{
	int winding = 0;

	for (size_t i = 0; i < s->n_lines; i++) {
		int c = crossing(&s->lines[i], v);
		if (c && u_at(&s->lines[i], v) > u)
			winding += c;
	}
	return winding != 0;
}

/* ---- faces ---- */

/* A trapezoid of material; @next chains the roots' sums. */
struct piece {
	double top_v, top_u[2];
	double area, mu, mv, min[2], max[2]; /* of all that were joined to it, in the root */
	int root;
};

struct hit {
	double u;
	int turn;
	const struct section_line *line;
};

struct sweep {
	const struct section_line **by_low; /* by their lower end */
	double *cuts;
	size_t n_cuts, next, n_active, n_pieces, cap_pieces, open;
	const struct section_line **active;
	struct hit *hits;
	struct piece *pieces;
};

static double low_v(const struct section_line *l)
{
	return least(l->a[1], l->b[1]);
}

static double high_v(const struct section_line *l)
{
	return most(l->a[1], l->b[1]);
}

static int by_low_v(const void *p, const void *q)
{
	const struct section_line *a = *(const struct section_line *const *)p,
				  *b = *(const struct section_line *const *)q;
	double x = low_v(a), y = low_v(b);

	if (x != y)
		return x < y ? -1 : 1;
	return a < b ? -1 : a > b; /* all in one array */
}

static int by_number(const void *p, const void *q)
{
	double a = *(const double *)p, b = *(const double *)q;

	return a < b ? -1 : a > b;
}

/* Entries first where two meet, so that solids which touch are one. */
static int by_u(const void *p, const void *q)
{
	const struct hit *a = p, *b = q;

	if (a->u != b->u)
		return a->u < b->u ? -1 : 1;
	if (a->turn != b->turn)
		return a->turn < b->turn ? -1 : 1;
	return a->line < b->line ? -1 : a->line > b->line;
}

static int root_of(struct piece *p, int i)
{
	while (p[i].root != i) {
		p[i].root = p[p[i].root].root;
		i = p[i].root;
	}
	return i;
}

static void join(struct piece *p, int i, int k)
{
	int a = root_of(p, i), b = root_of(p, k);

	if (a == b)
		return;
	if (b < a) {
		int c = a;
		a = b;
		b = c;
	}
	p[b].root = a;
	p[a].area += p[b].area;
	p[a].mu += p[b].mu;
	p[a].mv += p[b].mv;
	for (int d = 0; d < 2; d++) {
		p[a].min[d] = least(p[a].min[d], p[b].min[d]);
		p[a].max[d] = most(p[a].max[d], p[b].max[d]);
	}
}

static double between(double x, double lo, double hi)
{
	return x < lo ? lo : x > hi ? hi : x;
}

/* Adds the trapezoid between two lines in the slab and joins it to what it stands on. */
static int add_piece(struct sweep *w, const struct section_line *left,
                     const struct section_line *right, double v0, double v1, const double clip[4],
                     double join_mm, struct err *e)
{
	double l0 = u_at(left, v0), r0 = u_at(right, v0), l1 = u_at(left, v1), r1 = u_at(right, v1);

	if (clip) {
		if (most(r0, r1) <= clip[0] || least(l0, l1) >= clip[2])
			return 0;
		l0 = between(l0, clip[0], clip[2]);
		l1 = between(l1, clip[0], clip[2]);
		r0 = between(r0, clip[0], clip[2]);
		r1 = between(r1, clip[0], clip[2]);
	}
	if (w->n_pieces == w->cap_pieces) {
		size_t more = w->cap_pieces ? 2 * w->cap_pieces : 1024;
		struct piece *p = realloc(w->pieces, more * sizeof(*p));
		if (!p)
			return err_set(e, ERR_MEM, "no memory for %zu pieces of a section", more);
		w->pieces = p;
		w->cap_pieces = more;
	}
	double bottom = most(0, r0 - l0), top = most(0, r1 - l1), h = v1 - v0;
	struct piece p = { .top_v = v1, .top_u = { l1, r1 }, .root = (int)w->n_pieces };
	p.area = (bottom + top) / 2 * h;
	p.mu = p.area * (l0 + r0 + l1 + r1) / 4;
	p.mv = p.area * (v0 + v1) / 2;
	p.min[0] = least(l0, l1);
	p.max[0] = most(r0, r1);
	p.min[1] = v0;
	p.max[1] = v1;
	w->pieces[w->n_pieces++] = p;
	for (size_t i = w->open; i + 1 < w->n_pieces; i++) {
		const struct piece *q = &w->pieces[i];
		if (q->top_v < v0 - join_mm - SLAB_MIN_MM || q->top_v > v0 + SLAB_MIN_MM)
			continue;
		if (most(l0, q->top_u[0]) <= least(r0, q->top_u[1]) + join_mm)
			join(w->pieces, (int)i, p.root);
	}
	return 0;
}

/* The row of material in one slab. */
static int sweep_slab(struct sweep *w, double v0, double v1, const double clip[4], double join_mm,
                      struct err *e)
{
	double mid = (v0 + v1) / 2;
	size_t n = 0;
	int winding = 0, before = -1;
	const struct section_line *left = NULL, *right = NULL;

	for (size_t i = 0; i < w->n_active; i++) {
		int c = crossing(w->active[i], mid);
		if (c)
			w->hits[n++] = (struct hit){ u_at(w->active[i], mid), c, w->active[i] };
	}
	qsort(w->hits, n, sizeof(*w->hits), by_u);
	while (w->open < w->n_pieces && w->pieces[w->open].top_v < v0 - join_mm - 2 * SLAB_MIN_MM)
		w->open++;
	for (size_t i = 0; i < n; i++) {
		if (winding == 0)
			left = w->hits[i].line;
		winding += w->hits[i].turn;
		if (winding != 0)
			continue;
		right = w->hits[i].line;
		size_t had = w->n_pieces;
		if (add_piece(w, left, right, v0, v1, clip, join_mm, e) < 0)
			return -1;
		if (w->n_pieces == had)
			continue;
		int now = (int)had;
		if (before >= 0 && u_at(left, mid) - u_at(w->hits[before].line, mid) <= join_mm)
			join(w->pieces, now - 1, now);
		before = (int)i;
	}
	return 0;
}

static int larger_first(const void *p, const void *q)
{
	const struct section_face *a = p, *b = q;

	if (a->area_mm2 != b->area_mm2)
		return a->area_mm2 > b->area_mm2 ? -1 : 1;
	for (int d = 0; d < 2; d++)
		if (a->min_mm[d] != b->min_mm[d])
			return a->min_mm[d] < b->min_mm[d] ? -1 : 1;
	return 0;
}

static int collect(struct section_faces *out, struct sweep *w, double min_area, struct err *e)
{
	struct section_faces f = { 0 };

	for (size_t i = 0; i < w->n_pieces; i++)
		f.n += w->pieces[i].root == (int)i && w->pieces[i].area >= min_area;
	f.faces = calloc((size_t)f.n + 1, sizeof(*f.faces));
	if (!f.faces)
		return err_set(e, ERR_MEM, "no memory for %d faces of a section", f.n);
	f.n = 0;
	for (size_t i = 0; i < w->n_pieces; i++) {
		const struct piece *p = &w->pieces[i];
		if (p->root != (int)i || !(p->area >= min_area))
			continue;
		struct section_face *x = &f.faces[f.n++];
		x->area_mm2 = p->area;
		f.area_mm2 += p->area;
		memcpy(x->min_mm, p->min, sizeof(x->min_mm));
		memcpy(x->max_mm, p->max, sizeof(x->max_mm));
		x->middle_mm[0] = p->area > 0 ? p->mu / p->area : (p->min[0] + p->max[0]) / 2;
		x->middle_mm[1] = p->area > 0 ? p->mv / p->area : (p->min[1] + p->max[1]) / 2;
	}
	qsort(f.faces, (size_t)f.n, sizeof(*f.faces), larger_first);
	*out = f;
	return 0;
}

/* All heights at which a line begins or ends, and some more, inside of @clip. */
static void make_cuts(struct sweep *w, const struct section *s, const double clip[4])
{
	double lo = INFINITY, hi = -INFINITY;
	size_t n = 0, k = 0;

	for (size_t i = 0; i < s->n_lines; i++) {
		lo = least(lo, low_v(&s->lines[i]));
		hi = most(hi, high_v(&s->lines[i]));
	}
	if (clip) {
		lo = most(lo, clip[1]);
		hi = least(hi, clip[3]);
	}
	if (!(lo < hi))
		return;
	for (size_t i = 0; i < s->n_lines; i++) {
		w->cuts[n++] = between(s->lines[i].a[1], lo, hi);
		w->cuts[n++] = between(s->lines[i].b[1], lo, hi);
	}
	for (int i = 0; i <= SLABS_EXTRA; i++)
		w->cuts[n++] = lo + (hi - lo) * i / SLABS_EXTRA;
	qsort(w->cuts, n, sizeof(*w->cuts), by_number);
	for (size_t i = 0; i < n; i++)
		if (k == 0 || w->cuts[i] - w->cuts[k - 1] > SLAB_MIN_MM)
			w->cuts[k++] = w->cuts[i];
	w->n_cuts = k;
}

int section_find_faces(struct section_faces *out, const struct section *s, const double clip[4],
                       double join_mm, double min_area_mm2, struct err *e)
{
	struct sweep w = { 0 };
	double work = 0;
	int rc = -1;

	if (s->n_lines > LINES_MAX)
		return err_set(e, ERR_INPUT,
		               "a section has %zu lines, at most %d are worked through; use fewer "
		               "or simpler features",
		               s->n_lines, LINES_MAX);
	w.by_low = malloc((s->n_lines + 1) * sizeof(*w.by_low));
	w.active = malloc((s->n_lines + 1) * sizeof(*w.active));
	w.hits = malloc((s->n_lines + 1) * sizeof(*w.hits));
	w.cuts = malloc((2 * s->n_lines + SLABS_EXTRA + 1) * sizeof(*w.cuts));
	if (!w.by_low || !w.active || !w.hits || !w.cuts) {
		err_set(e, ERR_MEM, "no memory for a section of %zu lines", s->n_lines);
		goto out;
	}
	for (size_t i = 0; i < s->n_lines; i++)
		w.by_low[i] = &s->lines[i];
	qsort(w.by_low, s->n_lines, sizeof(*w.by_low), by_low_v);
	make_cuts(&w, s, clip);
	for (size_t i = 0; i + 1 < w.n_cuts; i++) {
		double v0 = w.cuts[i], v1 = w.cuts[i + 1];
		size_t kept = 0;
		while (w.next < s->n_lines && low_v(w.by_low[w.next]) <= v0 + SLAB_MIN_MM)
			w.active[w.n_active++] = w.by_low[w.next++];
		for (size_t k = 0; k < w.n_active; k++)
			if (high_v(w.active[k]) >= v1 - SLAB_MIN_MM)
				w.active[kept++] = w.active[k];
		w.n_active = kept;
		work += (double)kept + 1;
		if (work > WORK_MAX) {
			err_set(e, ERR_INPUT,
			        "a section of %zu lines is too detailed to be worked through; use "
			        "fewer or simpler features",
			        s->n_lines);
			goto out;
		}
		if (sweep_slab(&w, v0, v1, clip, join_mm, e) < 0)
			goto out;
	}
	rc = collect(out, &w, min_area_mm2, e);
out:
	free(w.pieces);
	free(w.cuts);
	free(w.hits);
	free(w.active);
	free(w.by_low);
	return rc;
}

/* ---- along a circle ---- */

int section_gaps(const struct section *s, double u, double v, double radius_mm, double min_rad,
                 double *middles, int max, struct err *e)
{
	double *angles = NULL;
	size_t n = 0, room = 0;
	int gaps = 0;

	for (size_t i = 0; i < s->n_lines; i++) {
		const struct section_line *l = &s->lines[i];
		double px = l->a[0] - u, py = l->a[1] - v, dx = l->b[0] - l->a[0],
		       dy = l->b[1] - l->a[1];
		double a = dx * dx + dy * dy, b = px * dx + py * dy,
		       c = px * px + py * py - radius_mm * radius_mm, d = b * b - a * c;
		if (!(a > 0) || !(d > 0))
			continue;
		for (int sign = -1; sign <= 1; sign += 2) {
			double t = (-b + sign * sqrt(d)) / a;
			if (!(t >= 0 && t < 1))
				continue;
			if (n == room) {
				size_t more = room ? 2 * room : 256;
				double *x = realloc(angles, more * sizeof(*x));
				if (!x) {
					free(angles);
					return err_set(e, ERR_MEM,
					               "no memory for %zu angles of a section",
					               more);
				}
				angles = x;
				room = more;
			}
			angles[n++] = atan2(py + t * dy, px + t * dx);
		}
	}
	if ((double)n * (double)s->n_lines > WORK_MAX) {
		free(angles);
		return err_set(e, ERR_INPUT,
		               "a circle meets %zu lines of a section, too many to be worked "
		               "through; use fewer or simpler features",
		               n);
	}
	if (n == 0)
		return 0;
	qsort(angles, n, sizeof(*angles), by_number);
	/* arcs between neighbouring angles are in or out as a whole; runs of empty ones are gaps,
	 * and so are looked for from an arc with material on */
	size_t first = n;
	bool *full = calloc(n + 1, sizeof(*full));
	if (!full) {
		free(angles);
		return err_set(e, ERR_MEM, "no memory for %zu arcs of a section", n);
	}
	for (size_t i = 0; i < n; i++) {
		double from = angles[i], to = i + 1 < n ? angles[i + 1] : angles[0] + 2 * M_PI;
		double mid = (from + to) / 2;
		/* a hair's breadth belongs to what comes before it */
		if (to - from < 1e-9)
			full[i] = i ? full[i - 1] : false;
		else
			full[i] = section_holds(s, u + radius_mm * cos(mid),
			                        v + radius_mm * sin(mid));
		if (full[i] && first == n)
			first = i;
	}
	double from = 0, run = 0;
	for (size_t k = 0; k <= n && first < n; k++) {
		size_t i = (first + k) % n;
		double len = (i + 1 < n ? angles[i + 1] : angles[0] + 2 * M_PI) - angles[i];
		if (!full[i] && k < n) {
			if (run == 0)
				from = angles[i];
			run += len;
			continue;
		}
		if (run >= min_rad && run > 0) {
			if (middles && gaps < max)
				middles[gaps] = from + run / 2;
			gaps++;
		}
		run = 0;
	}
	free(full);
	free(angles);
	return gaps;
}
