/*
 * checks_faces.c - faces, walls, joints.
 */
#include "engine/checks_inside.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char axis_names[] = "XYZ";

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
	return (c->surfaces & 1u << f->surface) && eval_in_region(v, &c->region, f->middle_mm) &&
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

int check_faces(struct eval *v, const struct check *c, struct verdict *out, struct err *e)
{
	struct buf radii = { 0 };
	struct err own = { 0 };
	int got = 0, others = 0, n = 0;

	if (!v->faces_known) {
		if (probe_faces(v->p, &v->faces, &v->n_faces, &own) < 0)
			return verdict_none(&own, out, e);
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
			say_number(&radii, f->radius_mm);
			if (turned) {
				buf_adds(&radii, " over ");
				say_number(&radii, turn);
			}
		}
	}
	free(meant);
	verdict_counted(out, c, got);
	out->score = credit_count(got, c->count);
	buf_adds(&out->why, "expected ");
	say_count(&out->why, c->count);
	buf_adds(&out->why, c->side == SIDE_IN    ? " hollow "
	                    : c->side == SIDE_OUT ? " rounded "
	                                          : " ");
	put_surfaces(&out->why, c);
	buf_printf(&out->why, " %s%s", c->per_surface ? "surface" : "face",
	           say_plural(count_is_one(c->count)));
	if (isfinite(c->radius_mm.min) || isfinite(c->radius_mm.max)) {
		buf_adds(&out->why, " R ");
		say_range(&out->why, c->radius_mm.min, c->radius_mm.max, "");
	}
	if (isfinite(c->turn_deg.min) || isfinite(c->turn_deg.max)) {
		buf_adds(&out->why, " over ");
		say_range(&out->why, c->turn_deg.min, c->turn_deg.max, " degrees");
	}
	if (c->axis >= 0 && c->tilt_deg.max == 5 && c->tilt_deg.min == 0) {
		buf_printf(&out->why, " along %c", axis_names[c->axis]);
	} else if (c->axis >= 0) {
		buf_adds(&out->why, " tilted by ");
		say_range(&out->why, c->tilt_deg.min, c->tilt_deg.max, " degrees");
		buf_printf(&out->why, " to %c", axis_names[c->axis]);
	}
	say_region(&out->why, &c->region, -1);
	buf_printf(&out->why, ", found %d", got);
	if (out->score < 1 && others)
		buf_printf(&out->why, "; not counted: R %s%s", buf_str(&radii),
		           others > LISTED_MAX ? " ..." : "");
	verdict_images(v, c, spots, got, "one", out);
	free(spots);
	buf_release(&radii);
	return 0;
}

int check_wall(struct eval *v, const struct check *c, struct verdict *out, struct err *e)
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
	out->want = verdict_figure(want);
	out->got = verdict_figure(v->wall_mm);
	/* the mesh of a round wall is inside of it by a little */
	out->score = v->wall_mm >= want * (1 - c->tolerance) ? 1 : v->wall_mm / want;
	buf_adds(&out->why, "expected walls of at least ");
	say_number(&out->why, want);
	buf_adds(&out->why, " mm, the thinnest is ");
	say_number(&out->why, v->wall_mm);
	return 0;
}

int check_joint(struct eval *v, const struct check *c, struct verdict *out, struct err *e)
{
	struct probe_joint *j;
	struct err own = { 0 };
	int n, got = 0;

	if (probe_joints(v->p, c->clearance_mm, &j, &n, &own) < 0)
		return verdict_none(&own, out, e);
	struct buf list = { 0 };
	for (int i = 0; i < n; i++) {
		if (c->axis >= 0 && fabs(j[i].axis[c->axis]) < ALONG_MIN)
			continue;
		if (got++ >= LISTED_MAX)
			continue;
		buf_adds(&list, got > 1 ? ", Ø " : " (Ø ");
		say_number(&list, j[i].diameter_mm);
		buf_adds(&list, " at ");
		say_point(&list, j[i].middle_mm, -1);
	}
	free(j);
	if (list.len)
		buf_adds(&list, ")");
	verdict_counted(out, c, got);
	out->score = credit_count(got, c->count);
	buf_adds(&out->why, "expected ");
	say_count(&out->why, c->count);
	buf_printf(&out->why, " pair%s of solids that turn on one another",
	           say_plural(count_is_one(c->count)));
	if (c->axis >= 0)
		buf_printf(&out->why, " about %c", axis_names[c->axis]);
	buf_adds(&out->why, ", a pin in a bore with at most ");
	say_number(&out->why, c->clearance_mm);
	buf_printf(&out->why, " mm between them, found %d%s", got, buf_str(&list));
	buf_release(&list);
	return 0;
}
