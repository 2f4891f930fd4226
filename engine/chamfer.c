/*
 * The tree halves its points at the median of the box's longest side until few are left. Searching
 * starts from a good guess (the last answer: points asked for in tree order lie side by side), so
 * most branches are cut at once.
 */
#include "engine/chamfer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/mt19937.h"
#include "engine/numeric.h"

#define LEAF_POINTS 12
#define DEPTH_MAX   40

struct point_node {
	double min[3], max[3]; /* box of the points below */
	int begin, end;        /* the points, in tree order */
	int right;             /* the left child is the next node; 0: a leaf */
};

void point_tree_release(struct point_tree *t)
{
	free(t->xyz);
	free(t->order);
	free(t->nodes);
	*t = (struct point_tree){ 0 };
}

static void swap_points(struct point_tree *t, int i, int k)
{
	uint32_t o = t->order[i];

	t->order[i] = t->order[k];
	t->order[k] = o;
	for (int c = 0; c < 3; c++) {
		double x = t->xyz[3 * i + c];
		t->xyz[3 * i + c] = t->xyz[3 * k + c];
		t->xyz[3 * k + c] = x;
	}
}

/* Rearranges [lo, hi) so that nothing before @mid exceeds it in coordinate @c, and nothing after
 * it is less (Hoare's selection). */
static void select_median(struct point_tree *t, int lo, int hi, int mid, int c)
{
	hi--;
	while (lo < hi) {
		double pivot = t->xyz[3 * (lo + (hi - lo) / 2) + c];
		int i = lo, k = hi;
		while (i <= k) {
			while (t->xyz[3 * i + c] < pivot)
				i++;
			while (t->xyz[3 * k + c] > pivot)
				k--;
			if (i <= k)
				swap_points(t, i++, k--);
		}
		if (mid <= k)
			hi = k;
		else if (mid >= i)
			lo = i;
		else
			return;
	}
}

static int build_node(struct point_tree *t, int begin, int end)
{
	int id = t->n_nodes++;
	struct point_node *n = &t->nodes[id];

	*n = (struct point_node){ .begin = begin, .end = end };
	for (int c = 0; c < 3; c++) {
		n->min[c] = INFINITY;
		n->max[c] = -INFINITY;
	}
	for (int i = begin; i < end; i++)
		for (int c = 0; c < 3; c++) {
			double x = t->xyz[3 * i + c];
			if (x < n->min[c])
				n->min[c] = x;
			if (x > n->max[c])
				n->max[c] = x;
		}
	if (end - begin <= LEAF_POINTS)
		return id;
	int axis = 0;
	for (int c = 1; c < 3; c++)
		if (n->max[c] - n->min[c] > n->max[axis] - n->min[axis])
			axis = c;
	int mid = begin + (end - begin) / 2;
	select_median(t, begin, end, mid, axis);
	build_node(t, begin, mid); /* depth: log2(n), at most 24 */
	int right = build_node(t, mid, end);
	t->nodes[id].right = right;
	return id;
}

int point_tree_build(struct point_tree *out, const float *xyz, int n, struct err *e)
{
	struct point_tree t = { .n = n };

	if (n < 1 || n > 1 << 24)
		return err_set(e, ERR_INPUT, "1 to %d points wanted, got %d", 1 << 24, n);
	t.xyz = malloc(3 * (size_t)n * sizeof(*t.xyz));
	t.order = malloc((size_t)n * sizeof(*t.order));
	/* Halving leaves more than LEAF_POINTS / 2 points in a leaf, so n / 2 nodes do. */
	t.nodes = malloc(((size_t)n / 2 + 2) * sizeof(*t.nodes));
	if (!t.xyz || !t.order || !t.nodes) {
		point_tree_release(&t);
		return err_set(e, ERR_MEM, "no memory for %d points", n);
	}
	for (int i = 0; i < n; i++)
		t.order[i] = (uint32_t)i;
	for (size_t i = 0; i < 3 * (size_t)n; i++)
		t.xyz[i] = xyz[i];
	build_node(&t, 0, n);
	*out = t;
	return 0;
}

static double squared(const double *a, const double *b)
{
	double x = a[0] - b[0], y = a[1] - b[1], z = a[2] - b[2];

	return x * x + y * y + z * z;
}

static double box_squared(const struct point_node *n, const double p[3])
{
	double sum = 0;

	for (int c = 0; c < 3; c++) {
		double d = n->min[c] - p[c], f = p[c] - n->max[c];
		if (f > d)
			d = f;
		if (d > 0)
			sum += d * d;
	}
	return sum;
}

double point_tree_nearest(const struct point_tree *t, const double p[3], int *hint)
{
	struct {
		int node;
		double bound;
	} todo[DEPTH_MAX];
	int n = 0, near = *hint >= 0 && *hint < t->n ? *hint : 0;
	double best = squared(t->xyz + 3 * near, p);

	todo[n].node = 0;
	todo[n++].bound = box_squared(&t->nodes[0], p);
	while (n > 0) {
		n--;
		int id = todo[n].node;
		if (todo[n].bound >= best)
			continue;
		const struct point_node *node = &t->nodes[id];
		while (node->right) {
			int l = (int)(node - t->nodes) + 1, r = node->right;
			double dl = box_squared(&t->nodes[l], p);
			double dr = box_squared(&t->nodes[r], p);
			int far = dl <= dr ? r : l;
			double far_d = dl <= dr ? dr : dl;
			if (far_d < best) {
				todo[n].node = far;
				todo[n++].bound = far_d;
			}
			node = &t->nodes[dl <= dr ? l : r];
			if ((dl <= dr ? dl : dr) >= best)
				break;
		}
		if (node->right)
			continue;
		for (int i = node->begin; i < node->end; i++) {
			double d = squared(t->xyz + 3 * i, p);
			if (d < best) {
				best = d;
				near = i;
			}
		}
	}
	*hint = near;
	return sqrt(best);
}

/* numpy.searchsorted(cumulative, x), side "left": the first place whose value is not below x. */
static size_t search_left(const double *cumulative, size_t n, double x)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (cumulative[mid] < x)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < n ? lo : n - 1;
}

int surface_sample(const struct mesh *m, int n, uint32_t seed, float *out, struct err *e)
{
	double *cumulative = malloc((m->n_tri ? m->n_tri : 1) * sizeof(*cumulative));
	double *pick = malloc((size_t)n * sizeof(*pick));
	struct mt19937 g;
	double sum = 0;

	if (!cumulative || !pick) {
		free(cumulative);
		free(pick);
		return err_set(e, ERR_MEM, "no memory for %d points on %zu triangles", n, m->n_tri);
	}
	for (size_t i = 0; i < m->n_tri; i++) {
		sum += mesh_triangle_area(m, i);
		cumulative[i] = sum;
	}
	/* All triangles are drawn before the first place within one. */
	mt19937_seed(&g, seed);
	for (int i = 0; i < n; i++)
		pick[i] = mt19937_double(&g) * sum;
	for (int i = 0; i < n; i++) {
		const uint32_t *t = m->t + 3 * search_left(cumulative, m->n_tri, pick[i]);
		const double *a = m->v + 3 * (size_t)t[0];
		const double *b = m->v + 3 * (size_t)t[1], *c = m->v + 3 * (size_t)t[2];
		double u = mt19937_double(&g), w = mt19937_double(&g);
		if (u + w > 1.0) {
			u = fabs(u - 1.0);
			w = fabs(w - 1.0);
		}
		for (int k = 0; k < 3; k++)
			out[3 * i + k] = (float)(((b[k] - a[k]) * u + (c[k] - a[k]) * w) + a[k]);
	}
	free(cumulative);
	free(pick);
	return 0;
}

int mean_nearest(const struct point_tree *from, const struct point_tree *to, double *out,
                 struct err *e)
{
	double *d = malloc((size_t)from->n * sizeof(*d));
	int hint = 0;

	if (!d)
		return err_set(e, ERR_MEM, "no memory for %d distances", from->n);
	for (int i = 0; i < from->n; i++)
		d[from->order[i]] = point_tree_nearest(to, from->xyz + 3 * i, &hint);
	*out = mean_pairwise(d, (size_t)from->n);
	free(d);
	return 0;
}

double chamfer_score(double ab, double ba)
{
	return exp(-((ab + ba) / 2.0 / 1000.0) / 0.10);
}
