/*
 * Nearest boxes are found by a sweep: boxes sorted by their low x; a walk to either side ends as
 * soon as the gap in x alone is no smaller than the best found. Ten thousand loose triangles stay
 * cheap that way.
 */
#include "engine/contact.h"

#include <math.h>
#include <stdlib.h>

#include "engine/numeric.h"

struct box {
	double min[3], max[3];
	double reach; /* the largest max[0] up to here in sorted order */
	size_t id;
};

static int by_low_x(const void *a, const void *b)
{
	const struct box *p = a, *q = b;

	return (p->min[0] > q->min[0]) - (p->min[0] < q->min[0]);
}

static double box_gap(const struct box *a, const struct box *b)
{
	double sum = 0;

	for (int c = 0; c < 3; c++) {
		double g = fmax(0.0, fmax(a->min[c] - b->max[c], b->min[c] - a->max[c]));
		sum += g * g;
	}
	return sqrt(sum);
}

static double nearest_gap(const struct box *boxes, size_t n, size_t i)
{
	double best = INFINITY;

	for (size_t j = i; j-- > 0;) {
		if (boxes[i].min[0] - boxes[j].reach >= best)
			break;
		best = fmin(best, box_gap(&boxes[i], &boxes[j]));
		if (best == 0)
			return 0;
	}
	for (size_t j = i + 1; j < n; j++) {
		if (boxes[j].min[0] - boxes[i].max[0] >= best)
			break;
		best = fmin(best, box_gap(&boxes[i], &boxes[j]));
		if (best == 0)
			return 0;
	}
	return best;
}

static void component_boxes(struct box *boxes, size_t n, const struct mesh *m,
                            const struct topology *t)
{
	for (size_t i = 0; i < n; i++)
		for (int c = 0; c < 3; c++) {
			boxes[i].min[c] = INFINITY;
			boxes[i].max[c] = -INFINITY;
		}
	for (size_t i = 0; i < 3 * m->n_tri; i++) {
		struct box *b = &boxes[t->component_of[i / 3]];
		const double *p = m->v + 3 * (size_t)m->t[i];
		for (int c = 0; c < 3; c++) {
			b->min[c] = fmin(b->min[c], p[c]);
			b->max[c] = fmax(b->max[c], p[c]);
		}
	}
}

int contact_measure(struct contact *out, const struct mesh *m, const struct topology *t,
                    struct err *e)
{
	struct contact r = { .components_checked = t->components, .score = 1.0 };
	size_t n = (size_t)t->components, kept = 0;
	double min[3], max[3];

	if (n <= 1) {
		*out = r;
		return 0;
	}
	struct box *boxes = malloc(n * sizeof(*boxes));
	double *gaps = malloc(n * sizeof(*gaps));
	if (!boxes || !gaps) {
		free(boxes);
		free(gaps);
		return err_set(e, ERR_MEM, "no memory for the boxes of %zu components", n);
	}
	component_boxes(boxes, n, m, t);
	mesh_box(m, min, max);
	double height = fmax(max[2] - min[2], 1e-9);
	for (size_t i = 0; i < n; i++) {
		double d[3];
		for (int c = 0; c < 3; c++)
			d[c] = boxes[i].max[c] - boxes[i].min[c];
		if (sqrt(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]) >= 0.015 * height) {
			boxes[kept] = boxes[i];
			boxes[kept].id = kept;
			kept++;
		}
	}
	r.components_checked = (long)kept;
	if (kept > 1) {
		qsort(boxes, kept, sizeof(*boxes), by_low_x);
		for (size_t i = 0; i < kept; i++)
			boxes[i].reach =
				i ? fmax(boxes[i - 1].reach, boxes[i].max[0]) : boxes[i].max[0];
		/* Back in the order of components, which is the order of the published sum. */
		for (size_t i = 0; i < kept; i++)
			gaps[boxes[i].id] = nearest_gap(boxes, kept, i) / height;
		for (size_t i = 0; i < kept; i++) {
			r.max_gap_ratio = fmax(r.max_gap_ratio, gaps[i]);
			r.large_gap_components += gaps[i] > 0.08;
		}
		r.mean_gap_ratio = mean_pairwise(gaps, kept);
		double penalty = fmin(0.40, 0.04 * (double)r.large_gap_components);
		r.score = clip01(exp(-28.0 * r.mean_gap_ratio) * exp(-4.0 * r.max_gap_ratio) -
		                 penalty);
	}
	free(boxes);
	free(gaps);
	*out = r;
	return 0;
}
