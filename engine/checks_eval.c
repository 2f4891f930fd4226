/*
 * Each kind is one function that fills a verdict. What several checks need - the faces, the lines
 * through the part, its walls - is made when the first asks for it.
 *
 * Credit: a count is worth the smaller over the larger of what is and what should be; a figure that
 * is out of its range the ratio to the nearer end; a length loses it all at a quarter too much or
 * too little. Constants of sampling are fixed: the same shape gets the same answer.
 */
#include "engine/checks.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/column.h"
#include "engine/probe.h"
#include "engine/section.h"
#include "engine/thickness.h"
#include "engine/windows.h"

#define TOUCH_MM         0.05   /* what is no further apart is joined (reward-exact.md, contact) */
#define ALONG_MIN        0.9962 /* cosine of 5 degrees */
#define COAXIAL_MM       0.05
#define LENGTH_SLOPE     0.25 /* so much of a length too far and it is worth nothing */
#define SYMMETRY_SLOPE   0.25 /* so much IoU too little, the same */
#define FILL_SLOPE       0.5
#define STANDS_SLOPE     0.25
#define PLACES           21 /* looked at in a range of places */
#define HEIGHTS          5  /* and at each of them so many radii */
#define RADII            7
#define GRID_HALF        32 /* lines each way from the middle */
#define RINGS            20
#define RING_LINES       160
#define REGION_LINES     32
#define SLOT_LONGEST     4 /* times its width */
#define NEAR_HOLE_RAD    3.4
#define GAP_MIN_RAD      0.01
#define PIECE_MIN_SHARE  0.005
#define WINDOW_MIN_SHARE 2e-4
#define HOLES_MAX        5000
#define HOLE_TURN_MIN    5.65 /* 324 degrees, as the hole finder of engine/shape has it */
#define LISTED_MAX       8
#define PATTERN_MAX      64 /* holes that a circle is looked for among */

static const char axis_names[] = "XYZ";

/* Lines along Z through a grid that is its own mirror image in X and Y. */
struct field {
	struct span *spans;
	int *first; /* of line i: first[i] .. first[i + 1] */
	size_t n, cap;
};

/* A hole with what belongs to it: the members of one root. */
struct bores {
	int *root; /* hole -> the first of its group */
	bool known;
};

struct eval {
	const struct probe *p;
	double len[3];
	struct probe_face *faces;
	int n_faces;
	bool faces_known;
	struct columns columns[3];
	bool columns_known[3];
	struct field field;
	bool field_known;
	struct probe_hole *holes;
	int n_holes;
	bool holes_known;
	struct bores bores[2]; /* by wall, by axis */
	double wall_mm;
	bool wall_known;
	struct spans a, b; /* scratch */
};

struct verdict {
	double score; /* 1: ok */
	cJSON *want, *got;
	struct buf why;
};

static void eval_release(struct eval *v)
{
	free(v->faces);
	free(v->holes);
	for (int i = 0; i < 3; i++)
		columns_close(&v->columns[i]);
	free(v->field.spans);
	free(v->field.first);
	for (int i = 0; i < 2; i++)
		free(v->bores[i].root);
	spans_release(&v->a);
	spans_release(&v->b);
}

/* ---- figures and words ---- */

/* What the last digits of a double say is noise of the mesh, and no one's business. */
static double tidy(double x)
{
	double r = round(x * 1e4) / 1e4;

	return r == 0 ? 0 : r;
}

static cJSON *figure(double x)
{
	return isfinite(x) ? cJSON_CreateNumber(tidy(x)) : cJSON_CreateNull();
}

static cJSON *range_json(double min, double max)
{
	cJSON *a = cJSON_CreateArray();

	cJSON_AddItemToArray(a, figure(min));
	cJSON_AddItemToArray(a, figure(max));
	return a;
}

static cJSON *count_json(struct count_range c)
{
	if (c.min == c.max)
		return cJSON_CreateNumber(c.min);
	return range_json(c.min, c.max == INT_MAX ? INFINITY : c.max);
}

/* "5.5": two decimals at most, none of them a 0 at the end. */
static void put(struct buf *b, double x)
{
	char text[40];
	double r = round(x * 100) / 100;

	snprintf(text, sizeof(text), "%.2f", r == 0 ? 0 : r);
	size_t n = strlen(text);
	while (text[n - 1] == '0')
		n--;
	if (text[n - 1] == '.')
		n--;
	buf_add(b, text, n);
}

static void put_range(struct buf *b, double min, double max, const char *unit)
{
	if (isinf(max)) {
		buf_adds(b, "at least ");
		put(b, min);
	} else if (isinf(min)) {
		buf_adds(b, "at most ");
		put(b, max);
	} else {
		put(b, min);
		buf_adds(b, " to ");
		put(b, max);
	}
	buf_adds(b, unit);
}

static void put_count(struct buf *b, struct count_range c)
{
	if (c.min == c.max)
		buf_printf(b, "%d", c.min);
	else if (c.max == INT_MAX)
		buf_printf(b, "at least %d", c.min);
	else if (c.min == 0)
		buf_printf(b, "at most %d", c.max);
	else
		buf_printf(b, "%d to %d", c.min, c.max);
}

static bool is_one(struct count_range c)
{
	return c.max == 1 || (c.min == 1 && c.max == INT_MAX);
}

static const char *plural(bool one)
{
	return one ? "" : "s";
}

/* " within x 0 to 25 %, z 90 to 100 % of the box"; nothing for the whole box. @skip: an axis that
 * does not matter, or -1. */
static void put_region(struct buf *b, const struct region *r, int skip)
{
	bool any = false;

	for (int i = 0; i < 3; i++) {
		if (!r->given || i == skip || (r->from[i] <= 0 && r->to[i] >= 1))
			continue;
		buf_adds(b, any ? ", " : " within ");
		buf_printf(b, "%c ", axis_names[i]);
		put(b, 100 * r->from[i]);
		buf_adds(b, " to ");
		put(b, 100 * r->to[i]);
		buf_adds(b, " %");
		any = true;
	}
	if (any)
		buf_adds(b, " of the box");
}

/* ---- credit ---- */

static double count_score(int got, struct count_range want)
{
	if (got < want.min)
		return (double)got / want.min;
	if (got > want.max)
		return (double)want.max / got;
	return 1;
}

static double range_score(double got, struct range want)
{
	if (got < want.min)
		return got > 0 ? got / want.min : 0;
	if (got > want.max)
		return want.max > 0 ? want.max / got : 0;
	return 1;
}

static double slope(double excess, double over)
{
	return excess <= 0 ? 1 : fmax(0, 1 - excess / over);
}

/* ---- places ---- */

static double place(const struct eval *v, int axis, double fraction)
{
	return v->p->box_min_mm[axis] + fraction * v->len[axis];
}

static bool in_region(const struct eval *v, const struct region *r, const double at_mm[3])
{
	if (!r->given)
		return true;
	for (int i = 0; i < 3; i++) {
		double slack = 1e-6 * (1 + v->len[i]);
		if (at_mm[i] < place(v, i, r->from[i]) - slack ||
		    at_mm[i] > place(v, i, r->to[i]) + slack)
			return false;
	}
	return true;
}

static double step_of(struct range r, int i, int n)
{
	return n == 1 ? r.min : r.min + (r.max - r.min) * i / (n - 1);
}

/* An answer that the shape did not give: 1 with the reason in why, or -1 when it was memory. */
static int no_answer(const struct err *own, struct verdict *out, struct err *e)
{
	if (own->kind == ERR_INPUT) {
		buf_clear(&out->why);
		buf_adds(&out->why, own->text);
		return 1;
	}
	*e = *own;
	return -1;
}

/* ---- bbox_mm, solids ---- */

static int check_box(struct eval *v, const struct check *c, struct verdict *out, struct err *e)
{
	double score = 1;
	int n = 0;

	(void)e;
	out->want = cJSON_CreateArray();
	out->got = cJSON_CreateArray();
	struct buf off = { 0 };
	for (int i = 0; i < 3; i++) {
		double want = c->want_mm[i], got = v->len[i];
		cJSON_AddItemToArray(out->want, figure(want));
		cJSON_AddItemToArray(out->got, figure(got));
		if (isnan(want))
			continue;
		double slack = fmax(c->tolerance * want, c->tolerance_mm), over = got - want;
		double low = c->max ? c->min_fraction * want : want - slack;
		double excess = fmax(over - slack, low - got);
		if (excess <= 1e-9)
			continue;
		score *= slope(excess, LENGTH_SLOPE * want);
		buf_adds(&off, n++ ? ", " : ": ");
		buf_printf(&off, "%c is ", axis_names[i]);
		put(&off, fabs(over));
		buf_adds(&off, over > 0 ? " mm too long" : " mm too short");
	}
	out->score = n ? fmin(score, 0.999999) : 1;
	buf_adds(&out->why, c->max ? "expected an envelope of at most " : "expected a box of ");
	for (int i = 0; i < 3; i++) {
		buf_adds(&out->why, i ? " x " : "");
		if (isnan(c->want_mm[i]))
			buf_adds(&out->why, "any");
		else
			put(&out->why, c->want_mm[i]);
	}
	if (c->max && c->min_fraction > 0) {
		buf_adds(&out->why, " mm (");
		put(&out->why, 100 * c->min_fraction);
		buf_adds(&out->why, " % of it used at least), got ");
	} else {
		buf_adds(&out->why, " mm, got ");
	}
	for (int i = 0; i < 3; i++) {
		buf_adds(&out->why, i ? " x " : "");
		put(&out->why, v->len[i]);
	}
	buf_add(&out->why, off.data, off.len);
	buf_release(&off);
	return 0;
}

static void counted(struct verdict *out, const struct check *c, int got)
{
	out->want = count_json(c->count);
	out->got = cJSON_CreateNumber(got);
}

static int check_solids(struct eval *v, const struct check *c, struct verdict *out, struct err *e)
{
	int got = v->p->solids;

	(void)e;
	counted(out, c, got);
	out->score = count_score(got, c->count);
	buf_adds(&out->why, "expected ");
	put_count(&out->why, c->count);
	buf_printf(&out->why, " solid%s, got %d", plural(is_one(c->count)), got);
	if (got > c->count.max)
		buf_adds(&out->why, ": union what belongs together, or cut what overlaps");
	return 0;
}

/* ---- mirror images ---- */

/* " (20, 15)": across @axis, or all three when it is -1. */
static void put_point(struct buf *b, const double at_mm[3], int axis)
{
	bool any = false;

	buf_adds(b, "(");
	for (int i = 0; i < 3; i++) {
		if (i == axis)
			continue;
		buf_adds(b, any ? ", " : "");
		put(b, at_mm[i]);
		any = true;
	}
	buf_adds(b, ")");
}

struct spot {
	double at_mm[3], size_mm; /* size NAN: any is the same */
};

static bool has_image(const struct eval *v, const struct check *c, const struct spot *s, int n,
                      int i, int axis)
{
	double slack = fmax(c->tolerance_mm, c->tolerance * v->len[axis]);

	for (int k = 0; k < n; k++) {
		bool same = isnan(s[i].size_mm) || fabs(s[k].size_mm - s[i].size_mm) <=
		                                           fmax(0.1, c->tolerance * s[i].size_mm);
		for (int d = 0; d < 3 && same; d++) {
			double want =
				d == axis ? 2 * place(v, d, 0.5) - s[i].at_mm[d] : s[i].at_mm[d];
			same = fabs(s[k].at_mm[d] - want) <= slack;
		}
		if (same)
			return true;
	}
	return false;
}

/* Takes credit away for what has no mirror image among the others, and says which. */
static void judge_images(const struct eval *v, const struct check *c, const struct spot *s, int n,
                         const char *noun, struct verdict *out)
{
	int lonely = 0;

	for (int i = 0; i < n && c->mirrors; i++) {
		for (int axis = 0; axis < 3; axis++) {
			if (!(c->mirrors & 1u << axis) || has_image(v, c, s, n, i, axis))
				continue;
			if (lonely++ == 0) {
				buf_printf(&out->why, "; the %s at ", noun);
				put_point(&out->why, s[i].at_mm, -1);
				buf_printf(&out->why,
				           " has no mirror image across the middle of %c",
				           axis_names[axis]);
			}
			break;
		}
	}
	if (lonely > 1)
		buf_printf(&out->why, ", nor have %d others", lonely - 1);
	if (lonely)
		out->score = fmin(0.999999, out->score * (n - lonely) / n);
}

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
			return no_answer(&own, out, e);
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
		    !in_region(v, &c->region, h[i].middle_mm) ||
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
	buf_adds(b, plural(one));
	if (!isnan(c->diameter_want_mm)) {
		buf_adds(b, " Ø ");
		put(b, c->diameter_want_mm);
		buf_adds(b, " ± ");
		put(b, c->diameter_mm.max - c->diameter_want_mm);
	} else if (isfinite(c->diameter_mm.min) || isfinite(c->diameter_mm.max)) {
		buf_adds(b, " Ø ");
		put_range(b, c->diameter_mm.min, c->diameter_mm.max, "");
	}
	if (c->axis >= 0)
		buf_printf(b, " along %c", axis_names[c->axis]);
	put_region(b, &c->region, -1);
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
			put(b, x->diameter_mm);
			if (x->length_mm > 0) {
				buf_adds(b, " slot ");
				put(b, x->length_mm);
				buf_adds(b, " long");
			}
			if (x->turn_rad < HOLE_TURN_MIN) {
				buf_adds(b, " open, over ");
				put(b, x->turn_rad * 180 / M_PI);
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
		put_point(b, x->middle_mm, say_kind ? -1 : axis);
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
		put(b, c->circle_mm);
	}
	if (c->circle_equal)
		buf_adds(b, ", evenly spaced,");
}

static int check_holes(struct eval *v, const struct check *c, struct verdict *out, struct err *e)
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
	counted(out, c, counts);
	out->score = count_score(counts, c->count);
	/* a hole that is not part of the pattern is one too many */
	if (counts < n && n > c->count.max)
		out->score *= (double)c->count.max / n;

	buf_adds(&out->why, "expected ");
	put_count(&out->why, c->count);
	put_hole_noun(&out->why, c, is_one(c->count));
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
	judge_images(v, c, spots, n, "one", out);
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

/* ---- section, contacts, stands ---- */

/* Areas below this are slivers of a cut. */
static double sliver_mm2(const struct eval *v, int axis)
{
	return fmax(0.01, 1e-5 * v->len[(axis + 1) % 3] * v->len[(axis + 2) % 3]);
}

/* Faces of the cut at @at_mm. 0, 1 with the reason in @why, or -1. */
static int faces_at(const struct eval *v, int axis, double at_mm, const double clip[4],
                    double min_area, struct section_faces *out, struct verdict *d, struct err *e)
{
	struct section s;
	struct err own = { 0 };

	if (section_cut(&s, v->p->xyz, v->p->n_tri, axis, at_mm, e) < 0)
		return -1;
	int rc = section_find_faces(out, &s, clip, TOUCH_MM, min_area, &own);
	section_release(&s);
	return rc < 0 ? no_answer(&own, d, e) : 0;
}

static int check_section(struct eval *v, const struct check *c, struct verdict *out, struct err *e)
{
	int axis = c->axis, u = (axis + 1) % 3, w = (axis + 2) % 3;
	int places = c->at.min < c->at.max ? PLACES : 1, got = 0;
	bool sized = isfinite(c->area_mm2.min) || isfinite(c->area_mm2.max);
	double best = -1, at = 0, area = 0;
	double clip[4] = { place(v, u, c->region.from[u]), place(v, w, c->region.from[w]),
		           place(v, u, c->region.to[u]), place(v, w, c->region.to[w]) };
	double min_area = isnan(c->min_area_mm2) ? sliver_mm2(v, axis) : c->min_area_mm2;

	for (int i = 0; i < places && best < 1; i++) {
		struct section_faces f;
		double x = step_of(c->at, i, places);
		double off = c->at_is_mm ? x : x * v->len[axis];
		/* a cut along the outermost face would be of nothing */
		double edge = 5e-4 * v->len[axis];
		double inside = c->at_is_mm && off > v->len[axis]
		                        ? off
		                        : fmin(fmax(off, edge), v->len[axis] - edge);
		int rc = faces_at(v, axis, v->p->box_min_mm[axis] + inside,
		                  c->region.given ? clip : NULL, min_area, &f, out, e);
		if (rc != 0)
			return rc;
		double score = count_score(f.n, c->count);
		score *= sized ? range_score(f.area_mm2, c->area_mm2) : 1;
		if (score > best) {
			best = score;
			at = off;
			got = f.n;
			area = f.area_mm2;
		}
		section_faces_release(&f);
	}
	out->score = best;
	if (sized) {
		struct buf b = { 0 };
		put_count(&b, c->count);
		buf_printf(&b, " face%s of ", plural(is_one(c->count)));
		put_range(&b, c->area_mm2.min, c->area_mm2.max, " mm2");
		out->want = cJSON_CreateString(buf_str(&b));
		buf_clear(&b);
		buf_printf(&b, "%d face%s of ", got, plural(got == 1));
		put(&b, area);
		buf_adds(&b, " mm2");
		out->got = cJSON_CreateString(buf_str(&b));
		buf_release(&b);
	} else {
		counted(out, c, got);
	}
	buf_adds(&out->why, "expected ");
	put_count(&out->why, c->count);
	buf_printf(&out->why, " separate face%s", plural(is_one(c->count)));
	if (sized) {
		buf_adds(&out->why, " of ");
		put_range(&out->why, c->area_mm2.min, c->area_mm2.max, " mm2 together");
	}
	put_region(&out->why, &c->region, axis);
	buf_printf(&out->why, " in the cut across %c at ", axis_names[axis]);
	put(&out->why, v->len[axis] > 0 ? 100 * at / v->len[axis] : 0);
	buf_adds(&out->why, " % (");
	put(&out->why, at);
	buf_printf(&out->why, " mm from the low side), found %d", got);
	if (sized) {
		buf_adds(&out->why, " of ");
		put(&out->why, area);
		buf_adds(&out->why, " mm2");
	}
	if (places > 1 && best < 1)
		buf_printf(&out->why, ", and no better at %d other places", places - 1);
	return 0;
}

/* Just inside of the outermost face: rounded and tilted feet have a face there as well. */
static double ground_mm(const struct eval *v, int axis, bool high)
{
	double off = fmin(fmax(0.002 * v->len[axis], TOUCH_MM), 1);

	off = fmin(off, v->len[axis] / 2);
	return high ? v->p->box_max_mm[axis] - off : v->p->box_min_mm[axis] + off;
}

static int check_contacts(struct eval *v, const struct check *c, struct verdict *out, struct err *e)
{
	struct section_faces f;
	double min_area = fmax(1e-3, 1e-7 * v->len[(c->axis + 1) % 3] * v->len[(c->axis + 2) % 3]);
	int rc = faces_at(v, c->axis, ground_mm(v, c->axis, c->high_side), NULL, min_area, &f, out,
	                  e);

	if (rc != 0)
		return rc;
	counted(out, c, f.n);
	out->score = count_score(f.n, c->count);
	buf_adds(&out->why, "expected ");
	put_count(&out->why, c->count);
	buf_printf(&out->why, " separate face%s on the %s%c side, found %d",
	           plural(is_one(c->count)), c->high_side ? "+" : "-", axis_names[c->axis], f.n);
	for (int i = 0; i < f.n && i < LISTED_MAX; i++) {
		/* as x, y, z, less the axis */
		double at[3] = { 0 };
		at[(c->axis + 1) % 3] = f.faces[i].middle_mm[0];
		at[(c->axis + 2) % 3] = f.faces[i].middle_mm[1];
		buf_adds(&out->why, i ? ", " : " at ");
		put_point(&out->why, at, c->axis);
	}
	if (f.n > LISTED_MAX)
		buf_printf(&out->why, " and %d more", f.n - LISTED_MAX);
	section_faces_release(&f);
	return 0;
}

static double turn_of(const double *o, const double *a, const double *b)
{
	return (a[0] - o[0]) * (b[1] - o[1]) - (a[1] - o[1]) * (b[0] - o[0]);
}

static int by_place(const void *p, const void *q)
{
	const double *a = p, *b = q;

	for (int i = 0; i < 2; i++)
		if (a[i] != b[i])
			return a[i] < b[i] ? -1 : 1;
	return 0;
}

/* The convex hull of @n points, counter-clockwise, in place of them (Andrew 1979); needs room for
 * 2 * n. */
static size_t hull_of(double (*at)[2], size_t n)
{
	double(*h)[2] = at + n;
	size_t k = 0;

	qsort(at, n, sizeof(*at), by_place);
	for (int pass = 0; pass < 2; pass++) {
		size_t base = k ? k - 1 : 0;
		for (size_t i = 0; i < n; i++) {
			const double *x = at[pass ? n - 1 - i : i];
			if (pass && i == 0)
				continue;
			while (k >= base + 2 && turn_of(h[k - 2], h[k - 1], x) <= 0)
				k--;
			h[k][0] = x[0];
			h[k++][1] = x[1];
		}
	}
	memmove(at, h, k * sizeof(*at));
	return k > 1 ? k - 1 : k;
}

/* How far @x is inside of the hull; below 0: outside by that much. */
static double depth_in(const double (*h)[2], size_t n, const double x[2])
{
	double nearest = INFINITY;
	bool inside = n >= 3;

	for (size_t i = 0; i < n; i++) {
		const double *a = h[i], *b = h[(i + 1) % n];
		double dx = b[0] - a[0], dy = b[1] - a[1], len2 = dx * dx + dy * dy;
		double t = len2 > 0 ? ((x[0] - a[0]) * dx + (x[1] - a[1]) * dy) / len2 : 0;
		t = fmin(fmax(t, 0), 1);
		nearest = fmin(nearest, hypot(x[0] - a[0] - t * dx, x[1] - a[1] - t * dy));
		inside = inside && turn_of(a, b, x) >= 0;
	}
	return inside ? nearest : -nearest;
}

static int check_stands(struct eval *v, const struct check *c, struct verdict *out, struct err *e)
{
	const double *mass = v->p->center_of_mass_mm;
	struct section s;
	double mid[2] = { 0 };

	if (!isfinite(mass[0]) || !isfinite(mass[1])) {
		buf_adds(&out->why,
		         "the part has no closed solid, so no centre of mass; close it first");
		return 1;
	}
	if (section_cut(&s, v->p->xyz, v->p->n_tri, 2, ground_mm(v, 2, false), e) < 0)
		return -1;
	double(*at)[2] = malloc((4 * s.n_lines + 1) * sizeof(*at));
	if (!at) {
		section_release(&s);
		return err_set(e, ERR_MEM, "no memory for the support of a part");
	}
	size_t n = 0;
	for (size_t i = 0; i < s.n_lines; i++) {
		memcpy(at[n++], s.lines[i].a, sizeof(*at));
		memcpy(at[n++], s.lines[i].b, sizeof(*at));
	}
	section_release(&s);
	n = hull_of(at, n);
	for (size_t i = 0; i < n; i++)
		for (int d = 0; d < 2; d++)
			mid[d] += at[i][d] / (double)n;
	double depth = n ? depth_in((const double(*)[2])at, n, mass) : -INFINITY;
	double most = n ? fmax(0, depth_in((const double(*)[2])at, n, mid)) : 0;
	free(at);
	if (depth < 0)
		out->score =
			fmin(0.999999, slope(-depth, STANDS_SLOPE * fmax(v->len[0], v->len[1])));
	else
		out->score =
			depth >= c->margin * most ? 1 : fmin(0.999999, depth / (c->margin * most));
	struct buf b = { 0 };
	if (c->margin > 0) {
		buf_adds(&b, "inside by ");
		put(&b, c->margin * most);
		buf_adds(&b, " mm");
	}
	out->want = cJSON_CreateString(b.len ? buf_str(&b) : "inside");
	buf_clear(&b);
	buf_adds(&b, depth < 0 ? "outside by " : "inside by ");
	put(&b, fabs(depth));
	buf_adds(&b, " mm");
	out->got = cJSON_CreateString(buf_str(&b));
	buf_adds(&out->why, "expected the centre of mass ");
	put_point(&out->why, mass, 2);
	buf_printf(&out->why, " over the support of the ground faces%s, it is %s",
	           c->margin > 0 ? ", well inside" : "", buf_str(&b));
	if (depth < 0)
		buf_adds(&out->why, ": the part tips over");
	buf_release(&b);
	return 0;
}

/* ---- lines through the part ---- */

static int get_columns(struct eval *v, int axis, struct err *e)
{
	if (v->columns_known[axis])
		return 0;
	if (columns_open(&v->columns[axis], v->p->xyz, v->p->n_tri, axis, e) < 0)
		return -1;
	v->columns_known[axis] = true;
	return 0;
}

/* Place @i of 2 * GRID_HALF across, as many on each side of the middle. Round figures are kept away
 * from: a line along a face would be in it on one side and out on the other. */
static double grid_place(const struct eval *v, int axis, int i)
{
	double k = i < GRID_HALF ? -(GRID_HALF - 1 - i + 0.5137) : i - GRID_HALF + 0.5137;
	double mid = (v->p->box_min_mm[axis] + v->p->box_max_mm[axis]) / 2;

	return mid + v->len[axis] / 2 * k / (GRID_HALF + 0.0291);
}

static int get_field(struct eval *v, struct err *e)
{
	const int side = 2 * GRID_HALF;
	struct field *f = &v->field;

	if (v->field_known)
		return 0;
	if (get_columns(v, 2, e) < 0)
		return -1;
	f->first = calloc((size_t)(side * side + 1), sizeof(*f->first));
	if (!f->first)
		return err_set(e, ERR_MEM, "no memory for %d lines", side * side);
	for (int i = 0; i < side * side; i++) {
		if (columns_at(&v->columns[2], grid_place(v, 0, i % side),
		               grid_place(v, 1, i / side), &v->a, e) < 0)
			return -1;
		if (f->n + (size_t)v->a.n > f->cap) {
			size_t more = 2 * f->cap + (size_t)v->a.n + 4096;
			struct span *s = realloc(f->spans, more * sizeof(*s));
			if (!s)
				return err_set(e, ERR_MEM, "no memory for %zu spans", more);
			f->spans = s;
			f->cap = more;
		}
		if (v->a.n)
			memcpy(f->spans + f->n, v->a.s, (size_t)v->a.n * sizeof(*v->a.s));
		f->n += (size_t)v->a.n;
		f->first[i + 1] = (int)f->n;
	}
	v->field_known = true;
	return 0;
}

static struct spans line_of(const struct field *f, int i)
{
	return (struct spans){ .s = f->spans ? f->spans + f->first[i] : NULL,
		               .n = f->first[i + 1] - f->first[i] };
}

static void judge_symmetry(const struct check *c, double common, double all, struct verdict *out)
{
	double iou = all > 0 ? common / all : 0;

	out->want = figure(c->min_iou);
	out->got = figure(iou);
	out->score =
		iou >= c->min_iou ? 1 : fmin(0.999999, slope(c->min_iou - iou, SYMMETRY_SLOPE));
	buf_adds(&out->why, "expected ");
	if (c->kind == CHECK_MIRROR)
		buf_printf(&out->why,
		           "both sides of the middle plane across %c to be mirror images (IoU ",
		           axis_names[c->axis]);
	else
		buf_printf(&out->why,
		           "the part to be the same after 1/%d turn about %c (IoU with itself ",
		           c->order, axis_names[c->axis]);
	buf_printf(&out->why, "at least %.3f), got %.3f", c->min_iou, iou);
}

static int check_mirror(struct eval *v, const struct check *c, struct verdict *out, struct err *e)
{
	const int side = 2 * GRID_HALF;
	double common = 0, all = 0, mid = (v->p->box_min_mm[2] + v->p->box_max_mm[2]) / 2;

	if (get_field(v, e) < 0)
		return -1;
	for (int i = 0; i < side * side; i++) {
		int x = i % side, y = i / side;
		int k = c->axis == 0   ? y * side + side - 1 - x
		        : c->axis == 1 ? (side - 1 - y) * side + x
		                       : i;
		struct spans a = line_of(&v->field, i), b = line_of(&v->field, k);
		double both = spans_common(&a, &b, c->axis == 2 ? mid : NAN);
		common += both;
		all += spans_length(&a, -INFINITY, INFINITY) +
		       spans_length(&b, -INFINITY, INFINITY) - both;
	}
	judge_symmetry(c, common, all, out);
	return 0;
}

/* The farthest corner from the axis through the middle of the box. */
static double outer_radius(const struct eval *v, int axis)
{
	int u = (axis + 1) % 3, w = (axis + 2) % 3;
	double mu = place(v, u, 0.5), mw = place(v, w, 0.5), most = 0;

	for (size_t i = 0; i < 3 * v->p->n_tri; i++) {
		double x = v->p->xyz[3 * i + (size_t)u] - mu, y = v->p->xyz[3 * i + (size_t)w] - mw;
		most = fmax(most, x * x + y * y);
	}
	return sqrt(most);
}

/* Lines on rings of equal areas, so that each counts the same; one turn of the order takes lines to
 * lines. */
static int check_rotational(struct eval *v, const struct check *c, struct verdict *out,
                            struct err *e)
{
	int axis = c->axis, u = (axis + 1) % 3, w = (axis + 2) % 3;
	int step = (RING_LINES + c->order - 1) / c->order, n = step * c->order, rc = -1;
	double outer = outer_radius(v, axis), common = 0, all = 0;

	if (get_columns(v, axis, e) < 0)
		return -1;
	struct spans *ring = calloc((size_t)n, sizeof(*ring));
	if (!ring)
		return err_set(e, ERR_MEM, "no memory for %d lines", n);
	for (int r = 0; r < RINGS; r++) {
		double radius = outer * sqrt((r + 0.4871) / RINGS);
		for (int i = 0; i < n; i++) {
			double a = 2 * M_PI * (i + 0.3719) / n;
			if (columns_at(&v->columns[axis], place(v, u, 0.5) + radius * cos(a),
			               place(v, w, 0.5) + radius * sin(a), &ring[i], e) < 0)
				goto out;
		}
		for (int i = 0; i < n; i++) {
			const struct spans *p = &ring[i], *q = &ring[(i + step) % n];
			double both = spans_common(p, q, NAN);
			common += both;
			all += spans_length(p, -INFINITY, INFINITY) +
			       spans_length(q, -INFINITY, INFINITY) - both;
		}
	}
	judge_symmetry(c, common, all, out);
	rc = 0;
out:
	for (int i = 0; i < n; i++)
		spans_release(&ring[i]);
	free(ring);
	return rc;
}

/* The share of the region that is material: lines along its longest side. */
static int region_fill(struct eval *v, const struct region *r, double *out, struct err *e)
{
	double from[3], to[3], sum = 0;
	int axis = 0;

	for (int i = 0; i < 3; i++) {
		from[i] = place(v, i, r->from[i]);
		to[i] = place(v, i, r->to[i]);
		if (to[i] - from[i] > to[axis] - from[axis])
			axis = i;
	}
	if (get_columns(v, axis, e) < 0)
		return -1;
	int u = (axis + 1) % 3, w = (axis + 2) % 3;
	for (int i = 0; i < REGION_LINES * REGION_LINES; i++) {
		double x = (i % REGION_LINES + 0.4937) / REGION_LINES,
		       y = (i / REGION_LINES + 0.5071) / REGION_LINES;
		if (columns_at(&v->columns[axis], from[u] + x * (to[u] - from[u]),
		               from[w] + y * (to[w] - from[w]), &v->a, e) < 0)
			return -1;
		sum += spans_length(&v->a, from[axis], to[axis]);
	}
	double len = to[axis] - from[axis];
	*out = len > 0 ? sum / len / (REGION_LINES * REGION_LINES) : 0;
	return 0;
}

static int check_pieces(struct eval *v, const struct check *c, struct verdict *out, struct err *e)
{
	double from[3], to[3];
	struct err own = { 0 };
	int axis = 0, got;

	for (int i = 0; i < 3; i++) {
		from[i] = place(v, i, c->region.from[i]);
		to[i] = place(v, i, c->region.to[i]);
		if (to[i] - from[i] > to[axis] - from[axis])
			axis = i;
	}
	for (int i = 0; i < 3; i++)
		if (get_columns(v, i, e) < 0)
			return -1;
	if (columns_pieces(v->columns, axis, from, to, TOUCH_MM, PIECE_MIN_SHARE, &got, &own) < 0)
		return no_answer(&own, out, e);
	counted(out, c, got);
	out->score = count_score(got, c->count);
	buf_adds(&out->why, "expected ");
	put_count(&out->why, c->count);
	buf_printf(&out->why, " connected piece%s", plural(is_one(c->count)));
	put_region(&out->why, &c->region, -1);
	buf_printf(&out->why, ", found %d", got);
	if (got > c->count.max)
		buf_adds(&out->why, ": something that joins them is missing");
	return 0;
}

static int check_windows(struct eval *v, const struct check *c, struct verdict *out, struct err *e)
{
	int axis = c->axis, u = (axis + 1) % 3, w = (axis + 2) % 3, got = 0;
	const double box[4] = { v->p->box_min_mm[u], v->p->box_min_mm[w], v->p->box_max_mm[u],
		                v->p->box_max_mm[w] };
	double min_area =
		isnan(c->min_area_mm2) ? WINDOW_MIN_SHARE * v->len[u] * v->len[w] : c->min_area_mm2;
	struct windows all;

	if (windows_find(&all, v->p->xyz, v->p->n_tri, axis, box, min_area, e) < 0)
		return -1;
	for (int i = 0; i < all.n; i++) {
		double at[3];
		at[axis] = place(v, axis, (c->region.from[axis] + c->region.to[axis]) / 2);
		at[u] = all.w[i].middle_mm[0];
		at[w] = all.w[i].middle_mm[1];
		if (in_region(v, &c->region, at))
			all.w[got++] = all.w[i];
	}
	counted(out, c, got);
	out->score = count_score(got, c->count);
	buf_adds(&out->why, "expected ");
	put_count(&out->why, c->count);
	buf_printf(&out->why, " opening%s of at least ", plural(is_one(c->count)));
	put(&out->why, min_area);
	buf_printf(&out->why, " mm2 to see through along %c", axis_names[axis]);
	put_region(&out->why, &c->region, axis);
	buf_printf(&out->why, ", found %d", got);
	for (int i = 0; i < got && i < LISTED_MAX; i++) {
		double at[3] = { 0 };
		at[u] = all.w[i].middle_mm[0];
		at[w] = all.w[i].middle_mm[1];
		buf_adds(&out->why, i ? ", " : " at ");
		put_point(&out->why, at, axis);
	}
	if (got > LISTED_MAX)
		buf_printf(&out->why, " and %d more", got - LISTED_MAX);
	struct spot *spots = malloc(((size_t)got + 1) * sizeof(*spots));
	for (int i = 0; i < got && spots; i++) {
		spots[i].at_mm[axis] = place(v, axis, 0.5);
		spots[i].at_mm[u] = all.w[i].middle_mm[0];
		spots[i].at_mm[w] = all.w[i].middle_mm[1];
		spots[i].size_mm = NAN;
	}
	if (spots)
		judge_images(v, c, spots, got, "one", out);
	free(spots);
	windows_release(&all);
	return spots ? 0 : err_set(e, ERR_MEM, "no memory for %d openings", got);
}

static void put_percent(struct buf *b, double share)
{
	put(b, 100 * share);
	buf_adds(b, " %");
}

static int check_volume(struct eval *v, const struct check *c, struct verdict *out, struct err *e)
{
	double box = v->len[0] * v->len[1] * v->len[2], got = v->p->volume_mm3 / box;

	/* solids may overlap, and a region has no closed form */
	if ((c->region.given || v->p->solids != 1 || !(got > 0)) &&
	    region_fill(v, &c->region, &got, e) < 0)
		return -1;
	out->want = range_json(c->range.min, c->range.max);
	out->got = figure(got);
	out->score = range_score(got, c->range);
	buf_adds(&out->why, "expected ");
	put_range(&out->why, 100 * c->range.min, 100 * c->range.max, " %");
	if (c->region.given) {
		buf_adds(&out->why, " of material");
		put_region(&out->why, &c->region, -1);
	} else {
		buf_adds(&out->why, " of the box to be material");
	}
	buf_adds(&out->why, ", got ");
	put_percent(&out->why, got);
	return 0;
}

static int check_fill(struct eval *v, const struct check *c, struct verdict *out, struct err *e)
{
	bool reach = c->kind == CHECK_REACH;
	double got, want = reach ? c->min_fill : c->max_fill;

	if (region_fill(v, &c->region, &got, e) < 0)
		return -1;
	out->want = figure(want);
	out->got = figure(got);
	if (reach)
		out->score = got >= want ? 1 : got / want;
	else
		out->score = slope(got - want, FILL_SLOPE);
	buf_adds(&out->why, reach ? "expected material in at least " : "expected no material but ");
	put_percent(&out->why, want);
	buf_adds(&out->why, " of the region");
	put_region(&out->why, &c->region, -1);
	buf_adds(&out->why, ", got ");
	put_percent(&out->why, got);
	return 0;
}

/* ---- slots ---- */

static int check_slots(struct eval *v, const struct check *c, struct verdict *out, struct err *e)
{
	int axis = c->axis, u = (axis + 1) % 3, w = (axis + 2) % 3;
	int heights = c->at.min < c->at.max ? HEIGHTS : 1,
	    radii = c->radius.min < c->radius.max ? RADII : 1, got = 0;
	double outer = outer_radius(v, axis), best = -1, at = 0, radius = 0;

	for (int i = 0; i < heights && best < 1; i++) {
		struct section s;
		double f = fmin(fmax(step_of(c->at, i, heights), 5e-4), 1 - 5e-4);
		if (section_cut(&s, v->p->xyz, v->p->n_tri, axis, place(v, axis, f), e) < 0)
			return -1;
		for (int k = 0; k < radii && best < 1; k++) {
			struct err own = { 0 };
			double r = outer * step_of(c->radius, k, radii);
			int n = section_gaps(&s, place(v, u, 0.5), place(v, w, 0.5), r, GAP_MIN_RAD,
			                     NULL, 0, &own);
			if (n < 0) {
				section_release(&s);
				return no_answer(&own, out, e);
			}
			double score = count_score(n, c->count);
			if (score > best) {
				best = score;
				got = n;
				at = f;
				radius = r;
			}
		}
		section_release(&s);
	}
	counted(out, c, got);
	out->score = best;
	buf_adds(&out->why, "expected ");
	put_count(&out->why, c->count);
	buf_printf(&out->why, " gap%s round %c at a radius of ", plural(is_one(c->count)),
	           axis_names[axis]);
	put(&out->why, radius);
	buf_printf(&out->why, " mm, %c at ", axis_names[axis]);
	put_percent(&out->why, at);
	buf_printf(&out->why, ", found %d", got);
	return 0;
}

/* ---- faces, walls, joints ---- */

/* Is that the cosine of an angle in the range? */
static bool is_tilted(const struct check *c, double cosine)
{
	double deg = acos(fmin(fabs(cosine), 1)) * 180 / M_PI;

	return deg >= c->tilt_deg.min - 1e-6 && deg <= c->tilt_deg.max + 1e-6;
}

/* Which of the faces the check may mean, radius and turn apart. */
static bool is_meant(const struct eval *v, const struct check *c, const struct probe_face *f)
{
	return (c->surfaces & 1u << f->surface) && in_region(v, &c->region, f->middle_mm) &&
	       (c->side == SIDE_ANY || f->side == c->side) &&
	       (c->axis < 0 || is_tilted(c, f->axis[c->axis]));
}

static void put_surfaces(struct buf *b, const struct check *c)
{
	unsigned curved = (1u << SURFACE_KINDS) - 1 - (1u << SURFACE_PLANE);
	bool any = false;

	if (c->surfaces == curved) {
		buf_adds(b, "curved");
		return;
	}
	for (int k = 0; k < SURFACE_KINDS; k++) {
		if (!(c->surfaces & 1u << k))
			continue;
		buf_adds(b, any ? " or " : "");
		buf_adds(b, surface_kind_name((enum surface_kind)k));
		any = true;
	}
}

static int by_whole(const void *p, const void *q)
{
	const struct probe_face *const *a = p, *const *b = q;

	if ((*a)->whole != (*b)->whole)
		return (*a)->whole < (*b)->whole ? -1 : 1;
	return *a < *b ? -1 : *a > *b;
}

static int check_faces(struct eval *v, const struct check *c, struct verdict *out, struct err *e)
{
	struct buf radii = { 0 };
	struct err own = { 0 };
	int got = 0, others = 0, n = 0;

	if (!v->faces_known) {
		if (probe_faces(v->p, &v->faces, &v->n_faces, &own) < 0)
			return no_answer(&own, out, e);
		v->faces_known = true;
	}
	const struct probe_face **meant = malloc(((size_t)v->n_faces + 1) * sizeof(*meant));
	struct spot *spots = malloc(((size_t)v->n_faces + 1) * sizeof(*spots));
	if (!meant || !spots) {
		free(spots);
		free(meant);
		return err_set(e, ERR_MEM, "no memory for %d faces", v->n_faces);
	}
	for (int i = 0; i < v->n_faces; i++)
		if (is_meant(v, c, &v->faces[i]))
			meant[n++] = &v->faces[i];
	if (c->per_surface)
		qsort(meant, (size_t)n, sizeof(*meant), by_whole);
	for (int i = 0, last = 0; i < n; i = last + 1) {
		const struct probe_face *f = meant[i];
		double turn = f->turn_rad;
		for (last = i;
		     c->per_surface && last + 1 < n && meant[last + 1]->whole == f->whole;)
			turn = fmin(turn + meant[++last]->turn_rad, 2 * M_PI);
		turn *= 180 / M_PI;
		/* NAN where there is no radius or turn to speak of: it is in no range */
		bool sized = isfinite(c->radius_mm.min) || isfinite(c->radius_mm.max);
		bool turned = isfinite(c->turn_deg.min) || isfinite(c->turn_deg.max);
		if ((!sized || (f->radius_mm >= c->radius_mm.min - 1e-6 &&
		                f->radius_mm <= c->radius_mm.max + 1e-6)) &&
		    (!turned ||
		     (turn >= c->turn_deg.min - 1e-3 && turn <= c->turn_deg.max + 1e-3))) {
			memcpy(spots[got].at_mm, f->middle_mm, sizeof(spots[got].at_mm));
			spots[got++].size_mm = f->radius_mm;
		} else if (others++ < LISTED_MAX) {
			buf_adds(&radii, others > 1 ? ", " : "");
			if (isnan(f->radius_mm)) {
				buf_adds(&radii, "none");
				continue;
			}
			put(&radii, f->radius_mm);
			if (turned) {
				buf_adds(&radii, " over ");
				put(&radii, turn);
			}
		}
	}
	free(meant);
	counted(out, c, got);
	out->score = count_score(got, c->count);
	buf_adds(&out->why, "expected ");
	put_count(&out->why, c->count);
	buf_adds(&out->why, c->side == SIDE_IN    ? " hollow "
	                    : c->side == SIDE_OUT ? " rounded "
	                                          : " ");
	put_surfaces(&out->why, c);
	buf_printf(&out->why, " %s%s", c->per_surface ? "surface" : "face",
	           plural(is_one(c->count)));
	if (isfinite(c->radius_mm.min) || isfinite(c->radius_mm.max)) {
		buf_adds(&out->why, " R ");
		put_range(&out->why, c->radius_mm.min, c->radius_mm.max, "");
	}
	if (isfinite(c->turn_deg.min) || isfinite(c->turn_deg.max)) {
		buf_adds(&out->why, " over ");
		put_range(&out->why, c->turn_deg.min, c->turn_deg.max, " degrees");
	}
	if (c->axis >= 0 && c->tilt_deg.max == 5 && c->tilt_deg.min == 0) {
		buf_printf(&out->why, " along %c", axis_names[c->axis]);
	} else if (c->axis >= 0) {
		buf_adds(&out->why, " tilted by ");
		put_range(&out->why, c->tilt_deg.min, c->tilt_deg.max, " degrees");
		buf_printf(&out->why, " to %c", axis_names[c->axis]);
	}
	put_region(&out->why, &c->region, -1);
	buf_printf(&out->why, ", found %d", got);
	if (out->score < 1 && others)
		buf_printf(&out->why, "; not counted: R %s%s", buf_str(&radii),
		           others > LISTED_MAX ? " ..." : "");
	judge_images(v, c, spots, got, "one", out);
	free(spots);
	buf_release(&radii);
	return 0;
}

static int check_wall(struct eval *v, const struct check *c, struct verdict *out, struct err *e)
{
	double want = c->range.min;

	if (!v->wall_known) {
		if (thickness_measure(&v->wall_mm, v->p->xyz, v->p->solid_of, v->p->n_tri, e) < 0)
			return -1;
		v->wall_known = true;
	}
	if (isnan(v->wall_mm)) {
		buf_adds(&out->why,
		         "no two sides of the part are a wall, so its thickness is not known");
		return 1;
	}
	out->want = figure(want);
	out->got = figure(v->wall_mm);
	/* the mesh of a round wall is inside of it by a little */
	out->score = v->wall_mm >= want * (1 - c->tolerance) ? 1 : v->wall_mm / want;
	buf_adds(&out->why, "expected walls of at least ");
	put(&out->why, want);
	buf_adds(&out->why, " mm, the thinnest is ");
	put(&out->why, v->wall_mm);
	return 0;
}

static int check_joint(struct eval *v, const struct check *c, struct verdict *out, struct err *e)
{
	struct probe_joint *j;
	struct err own = { 0 };
	int n, got = 0;

	if (probe_joints(v->p, c->clearance_mm, &j, &n, &own) < 0)
		return no_answer(&own, out, e);
	struct buf list = { 0 };
	for (int i = 0; i < n; i++) {
		if (c->axis >= 0 && fabs(j[i].axis[c->axis]) < ALONG_MIN)
			continue;
		if (got++ >= LISTED_MAX)
			continue;
		buf_adds(&list, got > 1 ? ", Ø " : " (Ø ");
		put(&list, j[i].diameter_mm);
		buf_adds(&list, " at ");
		put_point(&list, j[i].middle_mm, -1);
	}
	free(j);
	if (list.len)
		buf_adds(&list, ")");
	counted(out, c, got);
	out->score = count_score(got, c->count);
	buf_adds(&out->why, "expected ");
	put_count(&out->why, c->count);
	buf_printf(&out->why, " pair%s of solids that turn on one another",
	           plural(is_one(c->count)));
	if (c->axis >= 0)
		buf_printf(&out->why, " about %c", axis_names[c->axis]);
	buf_adds(&out->why, ", a pin in a bore with at most ");
	put(&out->why, c->clearance_mm);
	buf_printf(&out->why, " mm between them, found %d%s", got, buf_str(&list));
	buf_release(&list);
	return 0;
}

/* ---- all ---- */

typedef int check_fn(struct eval *v, const struct check *c, struct verdict *out, struct err *e);

/* Each 0; 1 when the shape gives no answer, with the reason in why; -1 out of memory. */
static check_fn *const functions[CHECK_KINDS] = {
	[CHECK_BBOX] = check_box,          [CHECK_SOLIDS] = check_solids,
	[CHECK_HOLES] = check_holes,       [CHECK_SECTION] = check_section,
	[CHECK_PIECES] = check_pieces,     [CHECK_WINDOWS] = check_windows,
	[CHECK_CONTACTS] = check_contacts, [CHECK_ROTATIONAL] = check_rotational,
	[CHECK_MIRROR] = check_mirror,     [CHECK_FACES] = check_faces,
	[CHECK_SLOTS] = check_slots,       [CHECK_WALL] = check_wall,
	[CHECK_VOLUME] = check_volume,     [CHECK_STANDS] = check_stands,
	[CHECK_CLEARANCE] = check_fill,    [CHECK_REACH] = check_fill,
	[CHECK_JOINT] = check_joint,
};

static cJSON *result_of(const struct check *c, struct verdict *d, bool answered)
{
	cJSON *o = cJSON_CreateObject();
	double score = answered && isfinite(d->score) ? round(d->score * 1e6) / 1e6 : 0;

	cJSON_AddStringToObject(o, "id", c->id);
	cJSON_AddStringToObject(o, "kind", check_kind_name(c->kind));
	cJSON_AddStringToObject(o, "about", c->about);
	cJSON_AddItemToObject(o, "want", d->want ? d->want : cJSON_CreateNull());
	cJSON_AddItemToObject(o, "got", d->got ? d->got : cJSON_CreateNull());
	cJSON_AddItemToObject(o, "ok",
	                      answered ? cJSON_CreateBool(score >= 1) : cJSON_CreateNull());
	cJSON_AddNumberToObject(o, "weight", c->weight);
	cJSON_AddNumberToObject(o, "score", fmin(fmax(score, 0), 1));
	cJSON_AddStringToObject(o, "why", buf_str(&d->why));
	cJSON_AddItemToObject(o, "covers",
	                      c->covers ? cJSON_Duplicate(c->covers, true) : cJSON_CreateArray());
	buf_release(&d->why);
	return o;
}

cJSON *checks_evaluate(const struct check_list *l, const struct probe *p, struct err *e)
{
	struct eval v = { .p = p };
	cJSON *results = cJSON_CreateArray();

	for (int i = 0; i < 3; i++)
		v.len[i] = p->box_max_mm[i] - p->box_min_mm[i];
	for (int i = 0; i < l->n; i++) {
		const struct check *c = &l->checks[i];
		struct verdict d = { 0 };
		int rc = functions[c->kind](&v, c, &d, e);
		cJSON *o = rc < 0 ? NULL : result_of(c, &d, rc == 0);
		if (rc < 0) {
			cJSON_Delete(d.want);
			cJSON_Delete(d.got);
			buf_release(&d.why);
		}
		if (!results || !o || !cJSON_AddItemToArray(results, o)) {
			if (rc >= 0)
				err_set(e, ERR_MEM, "no memory for the results of %d checks", l->n);
			cJSON_Delete(o);
			cJSON_Delete(results);
			results = NULL;
			break;
		}
	}
	eval_release(&v);
	return results;
}
