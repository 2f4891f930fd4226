/*
 * checks_lines.c - what lines through the part say: symmetry, pieces, windows, volume, fill, slots.
 */
#include "engine/checks_inside.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SYMMETRY_SLOPE   0.25 /* so much IoU too little, the same */
#define FILL_SLOPE       0.5
#define HEIGHTS          5 /* and at each of them so many radii */
#define RADII            7
#define GRID_HALF        32 /* lines each way from the middle */
#define RINGS            20
#define RING_LINES       160
#define REGION_LINES     32
#define GAP_MIN_RAD      0.01
#define PIECE_MIN_SHARE  0.005
#define WINDOW_MIN_SHARE 2e-4

static const char axis_names[] = "XYZ";

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

	out->want = verdict_figure(c->min_iou);
	out->got = verdict_figure(iou);
	out->score = iou >= c->min_iou
	                     ? 1
	                     : fmin(0.999999, credit_length(c->min_iou - iou, SYMMETRY_SLOPE));
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

int check_mirror(struct eval *v, const struct check *c, struct verdict *out, struct err *e)
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
	double mu = eval_place(v, u, 0.5), mw = eval_place(v, w, 0.5), most = 0;

	for (size_t i = 0; i < 3 * v->p->n_tri; i++) {
		double x = v->p->xyz[3 * i + (size_t)u] - mu, y = v->p->xyz[3 * i + (size_t)w] - mw;
		most = fmax(most, x * x + y * y);
	}
	return sqrt(most);
}

/* Lines on rings of equal areas, so that each counts the same; one turn of the order takes lines to
 * lines. */
int check_rotational(struct eval *v, const struct check *c, struct verdict *out, struct err *e)
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
			if (columns_at(&v->columns[axis], eval_place(v, u, 0.5) + radius * cos(a),
			               eval_place(v, w, 0.5) + radius * sin(a), &ring[i], e) < 0)
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
		from[i] = eval_place(v, i, r->from[i]);
		to[i] = eval_place(v, i, r->to[i]);
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

int check_pieces(struct eval *v, const struct check *c, struct verdict *out, struct err *e)
{
	double from[3], to[3];
	struct err own = { 0 };
	int axis = 0, got;

	for (int i = 0; i < 3; i++) {
		from[i] = eval_place(v, i, c->region.from[i]);
		to[i] = eval_place(v, i, c->region.to[i]);
		if (to[i] - from[i] > to[axis] - from[axis])
			axis = i;
	}
	for (int i = 0; i < 3; i++)
		if (get_columns(v, i, e) < 0)
			return -1;
	if (columns_pieces(v->columns, axis, from, to, TOUCH_MM, PIECE_MIN_SHARE, &got, &own) < 0)
		return verdict_none(&own, out, e);
	verdict_counted(out, c, got);
	out->score = credit_count(got, c->count);
	buf_adds(&out->why, "expected ");
	say_count(&out->why, c->count);
	buf_printf(&out->why, " connected piece%s", say_plural(count_is_one(c->count)));
	say_region(&out->why, &c->region, -1);
	buf_printf(&out->why, ", found %d", got);
	if (got > c->count.max)
		buf_adds(&out->why, ": something that joins them is missing");
	return 0;
}

int check_windows(struct eval *v, const struct check *c, struct verdict *out, struct err *e)
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
		at[axis] = eval_place(v, axis, (c->region.from[axis] + c->region.to[axis]) / 2);
		at[u] = all.w[i].middle_mm[0];
		at[w] = all.w[i].middle_mm[1];
		if (eval_in_region(v, &c->region, at))
			all.w[got++] = all.w[i];
	}
	verdict_counted(out, c, got);
	out->score = credit_count(got, c->count);
	buf_adds(&out->why, "expected ");
	say_count(&out->why, c->count);
	buf_printf(&out->why, " opening%s of at least ", say_plural(count_is_one(c->count)));
	say_number(&out->why, min_area);
	buf_printf(&out->why, " mm2 to see through along %c", axis_names[axis]);
	say_region(&out->why, &c->region, axis);
	buf_printf(&out->why, ", found %d", got);
	for (int i = 0; i < got && i < LISTED_MAX; i++) {
		double at[3] = { 0 };
		at[u] = all.w[i].middle_mm[0];
		at[w] = all.w[i].middle_mm[1];
		buf_adds(&out->why, i ? ", " : " at ");
		say_point(&out->why, at, axis);
	}
	if (got > LISTED_MAX)
		buf_printf(&out->why, " and %d more", got - LISTED_MAX);
	struct spot *spots = malloc(((size_t)got + 1) * sizeof(*spots));
	for (int i = 0; i < got && spots; i++) {
		spots[i].at_mm[axis] = eval_place(v, axis, 0.5);
		spots[i].at_mm[u] = all.w[i].middle_mm[0];
		spots[i].at_mm[w] = all.w[i].middle_mm[1];
		spots[i].size_mm = NAN;
	}
	if (spots)
		verdict_images(v, c, spots, got, "one", out);
	free(spots);
	windows_release(&all);
	return spots ? 0 : err_set(e, ERR_MEM, "no memory for %d openings", got);
}

static void put_percent(struct buf *b, double share)
{
	say_number(b, 100 * share);
	buf_adds(b, " %");
}

int check_volume(struct eval *v, const struct check *c, struct verdict *out, struct err *e)
{
	double box = v->len[0] * v->len[1] * v->len[2], got = v->p->volume_mm3 / box;

	/* solids may overlap, and a region has no closed form */
	if ((c->region.given || v->p->solids != 1 || !(got > 0)) &&
	    region_fill(v, &c->region, &got, e) < 0)
		return -1;
	out->want = verdict_range(c->range.min, c->range.max);
	out->got = verdict_figure(got);
	out->score = credit_range(got, c->range);
	buf_adds(&out->why, "expected ");
	say_range(&out->why, 100 * c->range.min, 100 * c->range.max, " %");
	if (c->region.given) {
		buf_adds(&out->why, " of material");
		say_region(&out->why, &c->region, -1);
	} else {
		buf_adds(&out->why, " of the box to be material");
	}
	buf_adds(&out->why, ", got ");
	put_percent(&out->why, got);
	return 0;
}

int check_fill(struct eval *v, const struct check *c, struct verdict *out, struct err *e)
{
	bool reach = c->kind == CHECK_REACH;
	double got, want = reach ? c->min_fill : c->max_fill;

	if (region_fill(v, &c->region, &got, e) < 0)
		return -1;
	out->want = verdict_figure(want);
	out->got = verdict_figure(got);
	if (reach)
		out->score = got >= want ? 1 : got / want;
	else
		out->score = credit_length(got - want, FILL_SLOPE);
	buf_adds(&out->why, reach ? "expected material in at least " : "expected no material but ");
	put_percent(&out->why, want);
	buf_adds(&out->why, " of the region");
	say_region(&out->why, &c->region, -1);
	buf_adds(&out->why, ", got ");
	put_percent(&out->why, got);
	return 0;
}

/* ---- slots ---- */

int check_slots(struct eval *v, const struct check *c, struct verdict *out, struct err *e)
{
	int axis = c->axis, u = (axis + 1) % 3, w = (axis + 2) % 3;
	int heights = c->at.min < c->at.max ? HEIGHTS : 1,
	    radii = c->radius.min < c->radius.max ? RADII : 1, got = 0;
	double outer = outer_radius(v, axis), best = -1, at = 0, radius = 0;

	for (int i = 0; i < heights && best < 1; i++) {
		struct section s;
		double f = fmin(fmax(range_step(c->at, i, heights), 5e-4), 1 - 5e-4);
		if (section_cut(&s, v->p->xyz, v->p->n_tri, axis, eval_place(v, axis, f), e) < 0)
			return -1;
		for (int k = 0; k < radii && best < 1; k++) {
			struct err own = { 0 };
			double r = outer * range_step(c->radius, k, radii);
			int n = section_gaps(&s, eval_place(v, u, 0.5), eval_place(v, w, 0.5), r,
			                     GAP_MIN_RAD, NULL, 0, &own);
			if (n < 0) {
				section_release(&s);
				return verdict_none(&own, out, e);
			}
			double score = credit_count(n, c->count);
			if (score > best) {
				best = score;
				got = n;
				at = f;
				radius = r;
			}
		}
		section_release(&s);
	}
	verdict_counted(out, c, got);
	out->score = best;
	buf_adds(&out->why, "expected ");
	say_count(&out->why, c->count);
	buf_printf(&out->why, " gap%s round %c at a radius of ", say_plural(count_is_one(c->count)),
	           axis_names[axis]);
	say_number(&out->why, radius);
	buf_printf(&out->why, " mm, %c at ", axis_names[axis]);
	put_percent(&out->why, at);
	buf_printf(&out->why, ", found %d", got);
	return 0;
}
