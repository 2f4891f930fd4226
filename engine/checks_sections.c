/*
 * checks_sections.c - section, contacts, stands: what planes through the part say.
 */
#include "engine/checks_inside.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define STANDS_SLOPE 0.25
#define PLACES       21 /* looked at in a range of places */

static const char axis_names[] = "XYZ";

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
	return rc < 0 ? verdict_none(&own, d, e) : 0;
}

int check_section(struct eval *v, const struct check *c, struct verdict *out, struct err *e)
{
	int axis = c->axis, u = (axis + 1) % 3, w = (axis + 2) % 3;
	int places = c->at.min < c->at.max ? PLACES : 1, got = 0;
	bool sized = isfinite(c->area_mm2.min) || isfinite(c->area_mm2.max);
	double best = -1, at = 0, area = 0;
	double clip[4] = { eval_place(v, u, c->region.from[u]), eval_place(v, w, c->region.from[w]),
		           eval_place(v, u, c->region.to[u]), eval_place(v, w, c->region.to[w]) };
	double min_area = isnan(c->min_area_mm2) ? sliver_mm2(v, axis) : c->min_area_mm2;

	for (int i = 0; i < places && best < 1; i++) {
		struct section_faces f;
		double x = range_step(c->at, i, places);
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
		double score = credit_count(f.n, c->count);
		score *= sized ? credit_range(f.area_mm2, c->area_mm2) : 1;
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
		say_count(&b, c->count);
		buf_printf(&b, " face%s of ", say_plural(count_is_one(c->count)));
		say_range(&b, c->area_mm2.min, c->area_mm2.max, " mm2");
		out->want = cJSON_CreateString(buf_str(&b));
		buf_clear(&b);
		buf_printf(&b, "%d face%s of ", got, say_plural(got == 1));
		say_number(&b, area);
		buf_adds(&b, " mm2");
		out->got = cJSON_CreateString(buf_str(&b));
		buf_release(&b);
	} else {
		verdict_counted(out, c, got);
	}
	buf_adds(&out->why, "expected ");
	say_count(&out->why, c->count);
	buf_printf(&out->why, " separate face%s", say_plural(count_is_one(c->count)));
	if (sized) {
		buf_adds(&out->why, " of ");
		say_range(&out->why, c->area_mm2.min, c->area_mm2.max, " mm2 together");
	}
	say_region(&out->why, &c->region, axis);
	buf_printf(&out->why, " in the cut across %c at ", axis_names[axis]);
	say_number(&out->why, v->len[axis] > 0 ? 100 * at / v->len[axis] : 0);
	buf_adds(&out->why, " % (");
	say_number(&out->why, at);
	buf_printf(&out->why, " mm from the low side), found %d", got);
	if (sized) {
		buf_adds(&out->why, " of ");
		say_number(&out->why, area);
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

int check_contacts(struct eval *v, const struct check *c, struct verdict *out, struct err *e)
{
	struct section_faces f;
	double min_area = fmax(1e-3, 1e-7 * v->len[(c->axis + 1) % 3] * v->len[(c->axis + 2) % 3]);
	int rc = faces_at(v, c->axis, ground_mm(v, c->axis, c->high_side), NULL, min_area, &f, out,
	                  e);

	if (rc != 0)
		return rc;
	verdict_counted(out, c, f.n);
	out->score = credit_count(f.n, c->count);
	buf_adds(&out->why, "expected ");
	say_count(&out->why, c->count);
	buf_printf(&out->why, " separate face%s on the %s%c side, found %d",
	           say_plural(count_is_one(c->count)), c->high_side ? "+" : "-",
	           axis_names[c->axis], f.n);
	for (int i = 0; i < f.n && i < LISTED_MAX; i++) {
		/* as x, y, z, less the axis */
		double at[3] = { 0 };
		at[(c->axis + 1) % 3] = f.faces[i].middle_mm[0];
		at[(c->axis + 2) % 3] = f.faces[i].middle_mm[1];
		buf_adds(&out->why, i ? ", " : " at ");
		say_point(&out->why, at, c->axis);
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

int check_stands(struct eval *v, const struct check *c, struct verdict *out, struct err *e)
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
		out->score = fmin(0.999999,
		                  credit_length(-depth, STANDS_SLOPE * fmax(v->len[0], v->len[1])));
	else
		out->score =
			depth >= c->margin * most ? 1 : fmin(0.999999, depth / (c->margin * most));
	struct buf b = { 0 };
	if (c->margin > 0) {
		buf_adds(&b, "inside by ");
		say_number(&b, c->margin * most);
		buf_adds(&b, " mm");
	}
	out->want = cJSON_CreateString(b.len ? buf_str(&b) : "inside");
	buf_clear(&b);
	buf_adds(&b, depth < 0 ? "outside by " : "inside by ");
	say_number(&b, fabs(depth));
	buf_adds(&b, " mm");
	out->got = cJSON_CreateString(buf_str(&b));
	buf_adds(&out->why, "expected the centre of mass ");
	say_point(&out->why, mass, 2);
	buf_printf(&out->why, " over the support of the ground faces%s, it is %s",
	           c->margin > 0 ? ", well inside" : "", buf_str(&b));
	if (depth < 0)
		buf_adds(&out->why, ": the part tips over");
	buf_release(&b);
	return 0;
}
