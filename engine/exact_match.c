/*
 * What was measured of the reference beforehand serves as long as the part is no larger than it in
 * any direction; else grids and windows that hold both are made, and the reference is drawn into
 * them anew.
 */
#include "engine/exact_match.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A coarse grid tells a volume to some hundredths: what comes within that of the best is looked at
 * again in the fine one, where what differs by less than EQUAL_SHARE is a tie. Of the reference's
 * cells. */
#define NEAR_SHARE  0.05
#define EQUAL_SHARE 0.002
/* An excess of the part over the reference, of its length, that half a fine cell hides. */
#define EXCESS    1e-4
#define MARGIN_PX 4

double *exact_placed(const struct facets *f, const double lo[3], const double hi[3], int rotation)
{
	double *out = malloc((f->n ? f->n : 1) * 9 * sizeof(*out));
	int order[3], sign[3];
	double mid[3];

	if (!out)
		return NULL;
	voxel_turn_axes(rotation, order, sign);
	for (int a = 0; a < 3; a++)
		mid[a] = lo[a] + (hi[a] - lo[a]) / 2;
	for (size_t i = 0; i < 3 * f->n; i++)
		for (int a = 0; a < 3; a++) {
			double x = f->xyz[3 * i + (size_t)order[a]] - mid[order[a]];
			out[3 * i + (size_t)a] = sign[a] < 0 ? -x : x;
		}
	return out;
}

/* How many cells each of the rotations in @of shares with @ref; -1 for the others. */
static int share_cells(const struct voxels *ref, const double len[3], const struct facets *placed,
                       const bool of[VOXEL_TURNS], long shared[VOXEL_TURNS], struct err *e)
{
	double lo[3], hi[3];

	for (int a = 0; a < 3; a++) {
		hi[a] = len[a] / 2;
		lo[a] = -hi[a];
	}
	for (int t = 0; t < VOXEL_TURNS; t += 4) {
		struct voxels v;
		int order[3], sign[3];
		for (int k = t; k < t + 4; k++)
			shared[k] = -1;
		if (!of[t] && !of[t + 1] && !of[t + 2] && !of[t + 3])
			continue;
		voxel_turn_axes(t, order, sign);
		if (voxels_open(&v, ref->n, lo, hi, e) < 0)
			return -1;
		if (voxels_fill(&v, placed, order, NULL, e) < 0) {
			voxels_release(&v);
			return -1;
		}
		for (int k = t; k < t + 4; k++) {
			voxel_turn_axes(k, order, sign);
			if (of[k])
				shared[k] = voxels_shared_flipped(&v, sign, ref);
		}
		voxels_release(&v);
	}
	return 0;
}

/* Which rotations share nearly as many cells as the best. */
static int shortlist(const long shared[VOXEL_TURNS], double slack, bool of[VOXEL_TURNS])
{
	long best = 0;
	int n = 0;

	for (int i = 0; i < VOXEL_TURNS; i++)
		best = shared[i] > best ? shared[i] : best;
	for (int i = 0; i < VOXEL_TURNS; i++) {
		of[i] = shared[i] >= 0 && (double)shared[i] >= (double)best - slack;
		n += of[i];
	}
	return n;
}

int exact_rotation(const struct exact_reference *r, const struct facets *f, const double lo[3],
                   const double hi[3], int *rotation, struct err *e)
{
	double *placed = exact_placed(f, lo, hi, 0);
	struct facets own = { .xyz = placed, .solid_of = f->solid_of, .n = f->n };
	long shared[VOXEL_TURNS];
	bool of[VOXEL_TURNS];
	int first = 0;

	if (!placed)
		return err_set(e, ERR_MEM, "no memory for %zu triangles", f->n);
	memset(of, true, sizeof(of));
	int rc = share_cells(&r->coarse, r->len_mm, &own, of, shared, e);
	if (rc == 0 && shortlist(shared, NEAR_SHARE * (double)voxels_count(&r->coarse), of) > 1) {
		rc = share_cells(&r->fine, r->len_mm, &own, of, shared, e);
		if (rc == 0)
			shortlist(shared, EQUAL_SHARE * (double)voxels_count(&r->fine), of);
	}
	free(placed);
	if (rc < 0)
		return -1;
	while (first < VOXEL_TURNS - 1 && !of[first])
		first++;
	*rotation = first;
	return 0;
}

/* ---- outlines ---- */

static void project(int view, const double p[3], double *a, double *b)
{
	const double h = 0.70710678118654752440,
		     s = 0.40824829046386301637; /* 1/sqrt 2, 1/sqrt 6 */

	switch (view) {
	case 0: /* from -y */
		*a = p[0];
		*b = p[2];
		break;
	case 1: /* from +x */
		*a = p[1];
		*b = p[2];
		break;
	case 2: /* from +z */
		*a = p[0];
		*b = p[1];
		break;
	default: /* from +x -y +z */
		*a = h * (p[0] + p[1]);
		*b = s * (2 * p[2] + p[1] - p[0]);
		break;
	}
}

/* How far the box reaches in the view, from its middle. */
static double window(int view, const double len[3])
{
	double most = 1e-9;

	for (int k = 0; k < 8; k++) {
		double p[3] = { (k & 1 ? 0.5 : -0.5) * len[0], (k & 2 ? 0.5 : -0.5) * len[1],
			        (k & 4 ? 0.5 : -0.5) * len[2] };
		double a, b;
		project(view, p, &a, &b);
		most = fmax(most, fmax(fabs(a), fabs(b)));
	}
	return most;
}

static int pixel(double at, double scale)
{
	double p = floor(MASK_SIZE / 2 + at * scale);

	/* what stands out of the box (a triangulation may, by a hair) stays in the picture */
	return p < 0 ? 0 : p > MASK_SIZE - 1 ? MASK_SIZE - 1 : (int)p;
}

void exact_outlines(struct mask out[EXACT_OUTLINES], const struct facets *f, const double len_mm[3])
{
	for (int view = 0; view < EXACT_OUTLINES; view++) {
		double scale = (MASK_SIZE / 2 - MARGIN_PX) / window(view, len_mm);
		memset(&out[view], 0, sizeof(out[view]));
		for (size_t i = 0; i < f->n; i++) {
			int x[3], y[3];
			for (int k = 0; k < 3; k++) {
				double a, b;
				project(view, f->xyz + 9 * i + 3 * k, &a, &b);
				x[k] = pixel(a, scale);
				y[k] = pixel(-b, scale);
			}
			mask_triangle(&out[view], x, y);
		}
	}
}

static void compare_outlines(struct exact_match *m, const struct mask *a, const struct mask *b)
{
	/* back and left are front and right as in a mirror */
	static const double times[EXACT_OUTLINES] = { 2, 2, 1, 1 };

	m->silhouette = 0;
	for (int i = 0; i < EXACT_OUTLINES; i++) {
		m->outline_iou[i] = mask_iou(&a[i], &b[i]);
		m->silhouette += times[i] * m->outline_iou[i] / 6;
	}
	m->silhouette = fmin(m->silhouette, 1);
}

/* ---- distance ---- */

static double mean_distance(const struct surface_tree *to, const float *points)
{
	double sum = 0;
	size_t hint = 0;

	for (int i = 0; i < EXACT_POINTS; i++) {
		double p[3] = { (double)points[3 * i], (double)points[3 * i + 1],
			        (double)points[3 * i + 2] };
		sum += surface_distance(to, p, &hint);
	}
	return sum / EXACT_POINTS;
}

static int compare_surfaces(struct exact_match *m, const struct exact_reference *r,
                            const struct facets *f, struct err *e)
{
	float *points = malloc(3 * EXACT_POINTS * sizeof(*points));
	struct surface_tree tree = { 0 };
	int rc = -1;

	if (!points)
		return err_set(e, ERR_MEM, "no memory for points");
	if (surface_points(f, EXACT_POINTS, EXACT_SEED, points, e) < 0 ||
	    surface_tree_build(&tree, f, NULL, e) < 0)
		goto out;
	m->chamfer_mm = (mean_distance(&r->tree, points) + mean_distance(&tree, r->points)) / 2;
	rc = 0;
out:
	surface_tree_release(&tree);
	free(points);
	return rc;
}

/* ---- all of it ---- */

/* The triangles of a reference, those of one solid together. Caller frees both. */
static int reference_facets(const struct exact_reference *r, double **xyz, int **solid_of,
                            struct err *e)
{
	size_t *begin = calloc((size_t)r->n_solids + 1, sizeof(*begin));
	double *p = malloc(r->tree.n * 9 * sizeof(*p));
	int *of = malloc(r->tree.n * sizeof(*of));

	if (!begin || !p || !of) {
		free(begin);
		free(p);
		free(of);
		return err_set(e, ERR_MEM, "no memory for %zu triangles", r->tree.n);
	}
	for (size_t i = 0; i < r->tree.n; i++)
		begin[r->solid_of[i] + 1]++;
	for (uint32_t i = 0; i < r->n_solids; i++)
		begin[i + 1] += begin[i];
	for (size_t i = 0; i < r->tree.n; i++) {
		size_t to = begin[r->solid_of[i]]++;
		of[to] = (int)r->solid_of[i];
		for (size_t k = 0; k < 9; k++)
			p[9 * to + k] = (double)r->tree.xyz[9 * i + k];
	}
	free(begin);
	*xyz = p;
	*solid_of = of;
	return 0;
}

/* @ref: NULL where the reference's own grid and window serve. */
static int compare_in(struct exact_match *m, const struct exact_reference *r,
                      const struct facets *ref, const struct facets *f, const double len[3],
                      struct err *e)
{
	struct mask *drawn = malloc(2 * EXACT_OUTLINES * sizeof(*drawn));
	struct voxels v = { 0 }, w = { 0 };
	double lo[3], hi[3];
	int rc = -1;

	if (!drawn)
		return err_set(e, ERR_MEM, "no memory for outlines");
	for (int a = 0; a < 3; a++) {
		hi[a] = len[a] / 2;
		lo[a] = -hi[a];
	}
	if (voxels_open(&v, EXACT_FINE, lo, hi, e) < 0 || voxels_fill(&v, f, NULL, NULL, e) < 0)
		goto out;
	if (ref &&
	    (voxels_open(&w, EXACT_FINE, lo, hi, e) < 0 || voxels_fill(&w, ref, NULL, NULL, e) < 0))
		goto out;
	m->iou = voxels_iou(&v, ref ? &w : &r->fine);
	exact_outlines(drawn, f, len);
	if (ref)
		exact_outlines(drawn + EXACT_OUTLINES, ref, len);
	compare_outlines(m, drawn, ref ? drawn + EXACT_OUTLINES : r->outlines);
	rc = 0;
out:
	voxels_release(&v);
	voxels_release(&w);
	free(drawn);
	return rc;
}

int exact_compare(struct exact_match *out, const struct exact_reference *r, const struct facets *f,
                  const double len_mm[3], const struct exact_constants *c, struct err *e)
{
	struct exact_match m = { 0 };
	struct facets ref = { .n = r->tree.n };
	double len[3], *xyz = NULL;
	int *solid_of = NULL, rc;
	bool fits = true;

	for (int a = 0; a < 3; a++) {
		fits &= len_mm[a] <= r->len_mm[a] * (1 + EXCESS);
		len[a] = fmax(len_mm[a], r->len_mm[a]);
	}
	if (!fits) {
		if (reference_facets(r, &xyz, &solid_of, e) < 0)
			return -1;
		ref.xyz = xyz;
		ref.solid_of = solid_of;
	}
	rc = compare_in(&m, r, fits ? NULL : &ref, f, fits ? r->len_mm : len, e);
	free(xyz);
	free(solid_of);
	if (rc < 0 || compare_surfaces(&m, r, f, e) < 0)
		return -1;
	m.similarity =
		c->iou_weight * m.iou +
		(1 - c->iou_weight) * exp(-m.chamfer_mm / (c->chamfer_scale * r->diagonal_mm));
	*out = m;
	return 0;
}
