/*
 * checks_holes.c - holes: which are one bore, which belong to a circle or a grid.
 */
#include "engine/checks_inside.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define COAXIAL_MM    0.05
#define SLOT_LONGEST  4 /* times its width */
#define NEAR_HOLE_RAD 3.4
#define HOLES_MAX     5000
#define HOLE_TURN_MIN 5.65 /* 324 degrees, as the hole finder of engine/shape has it */
#define PATTERN_MAX   64   /* holes that a circle is looked for among */

static const char axis_names[] = "XYZ";

/* ---- holes ---- */

static double dot(const double a[3], const double b[3])
{
	return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

/* Do @a and @b lie on one axis? @gap_mm: how far apart their ends are along it, below 0 when they
 * overlap. */
static bool coaxial(const struct probe_hole *a, const struct probe_hole *b, double *gap_mm)
{
	double off[3], along, across = 0;

	if (fabs(dot(a->axis, b->axis)) < 1 - 1e-6)
		return false;
	for (int i = 0; i < 3; i++)
		off[i] = b->middle_mm[i] - a->middle_mm[i];
	along = dot(off, a->axis);
	for (int i = 0; i < 3; i++)
		across += pow(off[i] - along * a->axis[i], 2);
	*gap_mm = fabs(along) - (a->depth_mm + b->depth_mm) / 2;
	return across <= COAXIAL_MM * COAXIAL_MM;
}

/* A step from one diameter to the next may be flat, a chamfer, or the tip of a drill. */
static bool one_bore(const struct probe_hole *a, const struct probe_hole *b, bool per_axis)
{
	double gap, step = fabs(a->diameter_mm - b->diameter_mm);

	if (!coaxial(a, b, &gap))
		return false;
	return per_axis || (step > 0.01 && gap <= TOUCH_MM + 0.6 * step);
}

/* 0, 1 with the reason in why, -1 out of memory. */
static int find_bores(struct eval *v, bool per_axis, struct verdict *out, struct err *e)
{
	struct bores *b = &v->bores[per_axis];
	struct err own = { 0 };

	if (!v->holes_known) {
		if (probe_holes(v->p, &v->holes, &v->n_holes, &own) < 0)
			return verdict_none(&own, out, e);
		v->holes_known = true;
	}
	if (v->n_holes > HOLES_MAX) {
		buf_printf(&out->why,
		           "%d holes are too many to be looked at one by one, %d are not",
		           v->n_holes, HOLES_MAX);
		return 1;
	}
	if (b->known)
		return 0;
	b->root = malloc(((size_t)v->n_holes + 1) * sizeof(*b->root));
	if (!b->root)
		return err_set(e, ERR_MEM, "no memory for %d holes", v->n_holes);
	for (int i = 0; i < v->n_holes; i++) {
		b->root[i] = i;
		for (int k = 0; k < i; k++) {
			if (b->root[k] == b->root[i] ||
			    !one_bore(&v->holes[i], &v->holes[k], per_axis))
				continue;
			int from = b->root[i], to = b->root[k];
			if (to > from) {
				from = b->root[k];
				to = b->root[i];
			}
			for (int m = 0; m <= i; m++)
				if (b->root[m] == from)
					b->root[m] = to;
		}
	}
	b->known = true;
	return 0;
}

/* A bolt may sit in a slot, and be moved in it; a vent or the way of a cable is no hole. */
static bool suits_slots(const struct check *c, const struct probe_hole *h)
{
	if (c->slotted >= 0)
		return (h->length_mm > 0) == (c->slotted == 1);
	return h->length_mm <= SLOT_LONGEST * h->diameter_mm;
}

/* The member of group @root that the check means: -1 when there is none. @smallest: the group's
 * narrowest. */
static int meant_member(const struct eval *v, const struct check *c, const int *root, int group,
                        int *smallest)
{
	const struct probe_hole *h = v->holes;
	bool through = false;
	int meant = -1;

	*smallest = group;
	for (int i = group; i < v->n_holes; i++) {
		if (root[i] != group)
			continue;
		through = through || h[i].through;
		if (h[i].diameter_mm < h[*smallest].diameter_mm)
			*smallest = i;
		if (h[i].diameter_mm < c->diameter_mm.min - 1e-6 ||
		    h[i].diameter_mm > c->diameter_mm.max + 1e-6 ||
		    !eval_in_region(v, &c->region, h[i].middle_mm) ||
		    h[i].turn_rad < c->min_turn_deg * M_PI / 180 - 1e-6 || !suits_slots(c, &h[i]))
			continue;
		if (meant < 0 || h[i].diameter_mm < h[meant].diameter_mm)
			meant = i;
	}
	if (c->axis >= 0 && fabs(h[group].axis[c->axis]) < ALONG_MIN)
		return -1;
	if (c->through >= 0 && through != (c->through == 1))
		return -1;
	return meant;
}

static void put_hole_noun(struct buf *b, const struct check *c, bool one)
{
	buf_adds(b, c->slotted == 1 ? " slotted" : c->slotted == 0 ? " round" : "");
	buf_adds(b, c->through == 1 ? " through-hole" : c->through == 0 ? " blind hole" : " hole");
	buf_adds(b, say_plural(one));
	if (!isnan(c->diameter_want_mm)) {
		buf_adds(b, " Ø ");
		say_number(b, c->diameter_want_mm);
		buf_adds(b, " ± ");
		say_number(b, c->diameter_mm.max - c->diameter_want_mm);
	} else if (isfinite(c->diameter_mm.min) || isfinite(c->diameter_mm.max)) {
		buf_adds(b, " Ø ");
		say_range(b, c->diameter_mm.min, c->diameter_mm.max, "");
	}
	if (c->axis >= 0)
		buf_printf(b, " along %c", axis_names[c->axis]);
	say_region(b, &c->region, -1);
	if (c->per_axis)
		buf_adds(b, " (all on one axis count as one)");
}

/* "Ø 5.5 at (20, 15), (-20, 15); Ø 8 at (0, 0)": those of one diameter together. */
static void put_holes(struct buf *b, const struct probe_hole *h, const int *which, int n, int axis,
                      bool say_kind)
{
	double last = NAN;

	for (int i = 0; i < n && i < LISTED_MAX; i++) {
		const struct probe_hole *x = &h[which[i]];
		double d = round(x->diameter_mm * 100) + 1e9 * round(x->length_mm * 100);
		if (d != last || say_kind) {
			buf_adds(b, i ? "; Ø " : "Ø ");
			say_number(b, x->diameter_mm);
			if (x->length_mm > 0) {
				buf_adds(b, " slot ");
				say_number(b, x->length_mm);
				buf_adds(b, " long");
			}
			if (x->turn_rad < HOLE_TURN_MIN) {
				buf_adds(b, " open, over ");
				say_number(b, x->turn_rad * 180 / M_PI);
				buf_adds(b, " degrees");
			}
			if (say_kind)
				buf_adds(b, x->through ? " through" : " blind");
			for (int k = 0; k < 3 && say_kind; k++)
				if (fabs(x->axis[k]) >= ALONG_MIN)
					buf_printf(b, " along %c", axis_names[k]);
			buf_adds(b, " at ");
		} else {
			buf_adds(b, ", ");
		}
		last = d;
		say_point(b, x->middle_mm, say_kind ? -1 : axis);
	}
	if (n > LISTED_MAX)
		buf_printf(b, " and %d more", n - LISTED_MAX);
}

/* The circle through three points; false when they are in line. */
static bool circle_through(const double *a, const double *b, const double *c, double mid[2],
                           double *r)
{
	double bx = b[0] - a[0], by = b[1] - a[1], cx = c[0] - a[0], cy = c[1] - a[1];
	double d = 2 * (bx * cy - by * cx), bb = bx * bx + by * by, cc = cx * cx + cy * cy;

	if (fabs(d) < 1e-9 * (bb + cc))
		return false;
	mid[0] = a[0] + (cy * bb - by * cc) / d;
	mid[1] = a[1] + (bx * cc - cx * bb) / d;
	*r = hypot(mid[0] - a[0], mid[1] - a[1]);
	return true;
}

static int by_number(const void *p, const void *q)
{
	double a = *(const double *)p, b = *(const double *)q;

	return a < b ? -1 : a > b;
}

/* How many of the points lie on that circle; with @equal those of them that are evenly spaced. */
static int on_circle(const double (*at)[2], int n, const double mid[2], double r, double slack,
                     bool equal)
{
	double angles[PATTERN_MAX];
	int k = 0, even = 0;

	for (int i = 0; i < n; i++) {
		double x = at[i][0] - mid[0], y = at[i][1] - mid[1];
		if (fabs(hypot(x, y) - r) <= slack)
			angles[k++] = atan2(y, x);
	}
	if (!equal || k < 2)
		return k;
	qsort(angles, (size_t)k, sizeof(*angles), by_number);
	double pitch = 2 * M_PI / k;
	for (int i = 0; i < k; i++) {
		double gap =
			i + 1 < k ? angles[i + 1] - angles[i] : angles[0] + 2 * M_PI - angles[i];
		even += fabs(gap - pitch) <= fmax(0.05 * pitch, slack / fmax(r, slack));
	}
	return even;
}

/* The most of the holes that lie on one circle. */
static int circle_count(const struct check *c, const double (*at)[2], int n)
{
	int best = n > 0;
	double mid[2], r;

	n = n > PATTERN_MAX ? PATTERN_MAX : n;
	if (!isnan(c->circle_mm)) {
		double want = c->circle_mm / 2,
		       slack = fmax(c->tolerance * c->circle_mm, c->tolerance_mm) / 2;
		for (int i = 0; i < n; i++) {
			for (int k = i + 1; k < n; k++) {
				/* the two circles of that size through both */
				double dx = (at[k][0] - at[i][0]) / 2,
				       dy = (at[k][1] - at[i][1]) / 2, h = hypot(dx, dy);
				if (!(h > 1e-9) || h > want + slack)
					continue;
				double off = h < want ? sqrt(want * want - h * h) / h : 0;
				for (int side = -1; side <= 1; side += 2) {
					mid[0] = at[i][0] + dx - side * off * dy;
					mid[1] = at[i][1] + dy + side * off * dx;
					int on =
						on_circle(at, n, mid, want, slack, c->circle_equal);
					best = on > best ? on : best;
				}
			}
		}
		/* and the one whose middle is theirs, when each is off by a little */
		mid[0] = mid[1] = 0;
		for (int i = 0; i < n; i++) {
			mid[0] += at[i][0] / n;
			mid[1] += at[i][1] / n;
		}
		int on = on_circle(at, n, mid, want, slack, c->circle_equal);
		return on > best ? on : best;
	}
	if (n < 3)
		return n;
	for (int i = 0; i < n; i++)
		for (int k = i + 1; k < n; k++)
			for (int m = k + 1; m < n; m++) {
				if (!circle_through(at[i], at[k], at[m], mid, &r))
					continue;
				double slack = fmax(c->tolerance * 2 * r, c->tolerance_mm) / 2;
				int on = on_circle(at, n, mid, r, slack, c->circle_equal);
				best = on > best ? on : best;
			}
	return best;
}

/* The lines across @d that hold the most points: how many points each of the best @lines has are
 * marked in @on. */
static void best_lines(const double (*at)[2], int n, int d, int lines, double slack, bool *on)
{
	bool used[PATTERN_MAX] = { false };

	for (int i = 0; i < n; i++)
		on[i] = false;
	for (int l = 0; l < lines; l++) {
		int best = -1, most = 0;
		for (int i = 0; i < n; i++) {
			int count = 0;
			for (int k = 0; k < n; k++)
				count += !used[k] && fabs(at[k][d] - at[i][d]) <= slack;
			if (!used[i] && count > most) {
				most = count;
				best = i;
			}
		}
		if (best < 0)
			return;
		double x = at[best][d];
		for (int k = 0; k < n; k++)
			if (!used[k] && fabs(at[k][d] - x) <= slack)
				used[k] = on[k] = true;
	}
}

/* How many places of an nx by ny grid have a hole. */
static int grid_count(const struct check *c, const double (*at)[2], int n)
{
	bool a[PATTERN_MAX], b[PATTERN_MAX];
	int best = 0;

	n = n > PATTERN_MAX ? PATTERN_MAX : n;
	for (int swap = 0; swap < 2; swap++) {
		int nx = c->grid[swap], ny = c->grid[!swap], both = 0;
		best_lines(at, n, 0, nx, c->tolerance_mm, a);
		best_lines(at, n, 1, ny, c->tolerance_mm, b);
		for (int i = 0; i < n; i++)
			both += a[i] && b[i];
		both = both > nx * ny ? nx * ny : both;
		best = both > best ? both : best;
	}
	return best;
}

static void put_pattern(struct buf *b, const struct check *c)
{
	if (c->pattern == PATTERN_GRID) {
		buf_printf(b, " in a grid of %d x %d", c->grid[0], c->grid[1]);
		return;
	}
	buf_adds(b, " on a circle");
	if (!isnan(c->circle_mm)) {
		buf_adds(b, " Ø ");
		say_number(b, c->circle_mm);
	}
	if (c->circle_equal)
		buf_adds(b, ", evenly spaced,");
}

int check_holes(struct eval *v, const struct check *c, struct verdict *out, struct err *e)
{
	int n = 0, n_others = 0, counts;
	int *meant = NULL, *others = NULL;
	double(*at)[2] = NULL;
	struct spot *spots = NULL;
	int rc = find_bores(v, c->per_axis, out, e);

	if (rc != 0)
		return rc;
	meant = malloc(((size_t)v->n_holes + 1) * sizeof(*meant));
	others = malloc(((size_t)v->n_holes + 1) * sizeof(*others));
	at = malloc(((size_t)v->n_holes + 1) * sizeof(*at));
	spots = malloc(((size_t)v->n_holes + 1) * sizeof(*spots));
	if (!meant || !others || !at || !spots) {
		rc = err_set(e, ERR_MEM, "no memory for %d holes", v->n_holes);
		goto out;
	}
	const int *root = v->bores[c->per_axis].root;
	for (int i = 0; i < v->n_holes; i++) {
		int smallest;
		if (root[i] != i)
			continue;
		int m = meant_member(v, c, root, i, &smallest);
		if (m < 0) {
			/* fillets and half-pipes are not what someone took for a hole */
			if (v->holes[smallest].turn_rad >= NEAR_HOLE_RAD)
				others[n_others++] = smallest;
			continue;
		}
		for (int d = 0, k = 0; d < 3 && c->pattern != PATTERN_NONE; d++)
			if (d != c->axis)
				at[n][k++] = v->holes[m].middle_mm[d];
		meant[n++] = m;
	}
	counts = c->pattern == PATTERN_CIRCLE ? circle_count(c, (const double(*)[2])at, n)
	         : c->pattern == PATTERN_GRID ? grid_count(c, (const double(*)[2])at, n)
	                                      : n;
	verdict_counted(out, c, counts);
	out->score = credit_count(counts, c->count);
	/* a hole that is not part of the pattern is one too many */
	if (counts < n && n > c->count.max)
		out->score *= (double)c->count.max / n;

	buf_adds(&out->why, "expected ");
	say_count(&out->why, c->count);
	put_hole_noun(&out->why, c, count_is_one(c->count));
	if (c->pattern != PATTERN_NONE)
		put_pattern(&out->why, c);
	buf_printf(&out->why, ", found %d", n);
	if (n) {
		buf_adds(&out->why, " (");
		put_holes(&out->why, v->holes, meant, n, c->axis, false);
		buf_adds(&out->why, ")");
	}
	if (c->pattern != PATTERN_NONE && counts < n)
		buf_printf(&out->why, ", %d of them so arranged", counts);
	for (int i = 0; i < n; i++) {
		memcpy(spots[i].at_mm, v->holes[meant[i]].middle_mm, sizeof(spots[i].at_mm));
		spots[i].size_mm = v->holes[meant[i]].diameter_mm;
	}
	verdict_images(v, c, spots, n, "one", out);
	if (out->score < 1 && n_others) {
		buf_adds(&out->why, "; not counted: ");
		put_holes(&out->why, v->holes, others, n_others, -1, true);
	}
out:
	free(spots);
	free(at);
	free(others);
	free(meant);
	return rc;
}
