/*
 * The tree halves its triangles at the median of their middles, along the longest side of the box
 * of those. A search goes down the nearer child first and begins with the last answer, so that most
 * branches are cut at once.
 */
#include "engine/nearest.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/mt19937.h"

#define LEAF_TRIANGLES 4
#define TRIANGLES_MAX  (1u << 26)

struct centre {
	float at[3];
	uint32_t triangle;
};

struct builder {
	const struct facets *f;
	struct surface_tree *t;
	struct centre *centres;
};

void surface_tree_release(struct surface_tree *t)
{
	free(t->nodes);
	free(t->xyz);
	*t = (struct surface_tree){ 0 };
}

/* A total order: equal meshes give equal trees. */
static bool before(const struct centre *a, const struct centre *b, int axis)
{
	if (a->at[axis] != b->at[axis])
		return a->at[axis] < b->at[axis];
	return a->triangle < b->triangle;
}

/* Hoare's selection: nothing in [lo, mid) comes after anything in [mid, hi). */
static void select_median(struct centre *c, size_t begin, size_t end, size_t mid, int axis)
{
	long lo = (long)begin, hi = (long)end - 1, want = (long)mid;

	while (lo < hi) {
		struct centre pivot = c[lo + (hi - lo) / 2];
		long i = lo, k = hi;
		while (i <= k) {
			while (before(&c[i], &pivot, axis))
				i++;
			while (before(&pivot, &c[k], axis))
				k--;
			if (i > k)
				break;
			struct centre swap = c[i];
			c[i++] = c[k];
			c[k--] = swap;
		}
		if (want <= k)
			hi = k;
		else if (want >= i)
			lo = i;
		else
			return;
	}
}

static void build_node(struct builder *b, size_t begin, size_t end)
{
	struct surface_node *n = &b->t->nodes[b->t->n_nodes++];
	float lo[3] = { INFINITY, INFINITY, INFINITY }, hi[3] = { -INFINITY, -INFINITY, -INFINITY };

	*n = (struct surface_node){ .begin = (uint32_t)begin };
	for (int a = 0; a < 3; a++) {
		n->min[a] = INFINITY;
		n->max[a] = -INFINITY;
	}
	for (size_t i = begin; i < end; i++) {
		const double *p = b->f->xyz + 9 * (size_t)b->centres[i].triangle;
		for (int k = 0; k < 9; k++) {
			float x = (float)p[k];
			n->min[k % 3] = fminf(n->min[k % 3], x);
			n->max[k % 3] = fmaxf(n->max[k % 3], x);
		}
		for (int a = 0; a < 3; a++) {
			lo[a] = fminf(lo[a], b->centres[i].at[a]);
			hi[a] = fmaxf(hi[a], b->centres[i].at[a]);
		}
	}
	if (end - begin <= LEAF_TRIANGLES) {
		n->n = (uint32_t)(end - begin);
		for (size_t i = begin; i < end; i++)
			for (int k = 0; k < 9; k++)
				b->t->xyz[9 * i + (size_t)k] =
					(float)b->f->xyz[9 * (size_t)b->centres[i].triangle +
				                         (size_t)k];
		return;
	}
	int axis = 0;
	for (int a = 1; a < 3; a++)
		if (hi[a] - lo[a] > hi[axis] - lo[axis])
			axis = a;
	size_t mid = begin + (end - begin) / 2;
	select_median(b->centres, begin, end, mid, axis);
	build_node(b, begin, mid); /* no deeper than log2 of the triangles: 26 */
	n->right = (uint32_t)b->t->n_nodes;
	build_node(b, mid, end);
}

int surface_tree_build(struct surface_tree *out, const struct facets *f, uint32_t **order,
                       struct err *e)
{
	struct surface_tree t = { .n = f->n };
	struct builder b = { .f = f, .t = &t };

	if (f->n == 0 || f->n > TRIANGLES_MAX)
		return err_set(e, ERR_INPUT, "1 to %u triangles wanted, got %zu", TRIANGLES_MAX,
		               f->n);
	b.centres = malloc(f->n * sizeof(*b.centres));
	t.xyz = malloc(f->n * 9 * sizeof(*t.xyz));
	/* two triangles at least are in a leaf, unless there is but one: fewer nodes than triangles
	 */
	t.nodes = malloc((f->n + 2) * sizeof(*t.nodes));
	uint32_t *from = order ? malloc(f->n * sizeof(*from)) : NULL;
	if (!b.centres || !t.xyz || !t.nodes || (order && !from)) {
		free(from);
		free(b.centres);
		surface_tree_release(&t);
		return err_set(e, ERR_MEM, "no memory for a tree of %zu triangles", f->n);
	}
	for (size_t i = 0; i < f->n; i++) {
		const double *p = f->xyz + 9 * i;
		b.centres[i].triangle = (uint32_t)i;
		for (int a = 0; a < 3; a++)
			b.centres[i].at[a] = (float)((p[a] + p[3 + a] + p[6 + a]) / 3);
	}
	build_node(&b, 0, f->n);
	for (size_t i = 0; from && i < f->n; i++)
		from[i] = b.centres[i].triangle;
	if (order)
		*order = from;
	free(b.centres);
	*out = t;
	return 0;
}

bool surface_tree_sound(const struct surface_tree *t)
{
	struct {
		uint32_t node, end; /* its subtree lies in [node, end) */
		int depth;
	} todo[SURFACE_DEPTH_MAX + 1];
	int n = 0;

	if (t->n_nodes == 0 || t->n == 0 || t->n_nodes > UINT32_MAX)
		return false;
	for (size_t i = 0; i < 9 * t->n; i++)
		if (!isfinite(t->xyz[i]))
			return false;
	todo[n].node = 0;
	todo[n].depth = 1;
	todo[n++].end = (uint32_t)t->n_nodes;
	while (n > 0) {
		n--;
		uint32_t id = todo[n].node, end = todo[n].end;
		int depth = todo[n].depth;
		const struct surface_node *node = &t->nodes[id];
		for (int a = 0; a < 3; a++)
			if (!(node->min[a] <= node->max[a]) || !isfinite(node->min[a]) ||
			    !isfinite(node->max[a]))
				return false;
		if (node->n) {
			if (end != id + 1 || node->right || node->begin >= t->n ||
			    node->n > t->n - node->begin)
				return false;
			continue;
		}
		if (node->right <= id + 1 || node->right >= end || depth >= SURFACE_DEPTH_MAX)
			return false;
		todo[n].node = node->right;
		todo[n].depth = depth + 1;
		todo[n++].end = end;
		todo[n].node = id + 1;
		todo[n].depth = depth + 1;
		todo[n++].end = node->right;
	}
	return true;
}

static double dot(const double a[3], const double b[3])
{
	return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

static double squared_from(const double from[3], double x, double y, double z)
{
	double d[3] = { from[0] - x, from[1] - y, from[2] - z };

	return dot(d, d);
}

/* The square of the distance to a triangle whose corners stand at @t. By the regions of its plane
 * in which a corner, an edge or the inside is nearest (C. Ericson, Real-Time Collision Detection,
 * 5.1.5). */
static double triangle_squared(const float t[9], const double p[3])
{
	double a[3] = { t[0], t[1], t[2] }, ab[3], ac[3], ap[3], bp[3], cp[3];

	for (int i = 0; i < 3; i++) {
		ab[i] = (double)t[3 + i] - a[i];
		ac[i] = (double)t[6 + i] - a[i];
		ap[i] = p[i] - a[i];
		bp[i] = p[i] - (double)t[3 + i];
		cp[i] = p[i] - (double)t[6 + i];
	}
	double d1 = dot(ab, ap), d2 = dot(ac, ap);
	if (d1 <= 0 && d2 <= 0)
		return dot(ap, ap);
	double d3 = dot(ab, bp), d4 = dot(ac, bp);
	if (d3 >= 0 && d4 <= d3)
		return dot(bp, bp);
	double vc = d1 * d4 - d3 * d2;
	if (vc <= 0 && d1 >= 0 && d3 <= 0) {
		double v = d1 > d3 ? d1 / (d1 - d3) : 0;
		return squared_from(ap, v * ab[0], v * ab[1], v * ab[2]);
	}
	double d5 = dot(ab, cp), d6 = dot(ac, cp);
	if (d6 >= 0 && d5 <= d6)
		return dot(cp, cp);
	double vb = d5 * d2 - d1 * d6;
	if (vb <= 0 && d2 >= 0 && d6 <= 0) {
		double w = d2 > d6 ? d2 / (d2 - d6) : 0;
		return squared_from(ap, w * ac[0], w * ac[1], w * ac[2]);
	}
	double va = d3 * d6 - d5 * d4;
	if (va <= 0 && d4 - d3 >= 0 && d5 - d6 >= 0) {
		double sum = (d4 - d3) + (d5 - d6), w = sum > 0 ? (d4 - d3) / sum : 0;
		return squared_from(bp, w * (ac[0] - ab[0]), w * (ac[1] - ab[1]),
		                    w * (ac[2] - ab[2]));
	}
	double all = va + vb + vc;
	if (!(all > 0))
		return dot(ap, ap);
	double v = vb / all, w = vc / all;
	return squared_from(ap, v * ab[0] + w * ac[0], v * ab[1] + w * ac[1],
	                    v * ab[2] + w * ac[2]);
}

static double box_squared(const struct surface_node *n, const double p[3])
{
	double sum = 0;

	for (int a = 0; a < 3; a++) {
		double d = fmax(fmax((double)n->min[a] - p[a], p[a] - (double)n->max[a]), 0);
		sum += d * d;
	}
	return sum;
}

double surface_distance(const struct surface_tree *t, const double p[3], size_t *hint)
{
	struct {
		uint32_t node;
		double bound;
	} todo[SURFACE_DEPTH_MAX + 1]; /* one sibling for each level above, and both below */
	size_t near = *hint < t->n ? *hint : 0;
	double best = triangle_squared(t->xyz + 9 * near, p);
	int n = 0;

	todo[n].node = 0;
	todo[n++].bound = box_squared(&t->nodes[0], p);
	while (n > 0) {
		n--;
		if (todo[n].bound >= best)
			continue;
		uint32_t id = todo[n].node;
		const struct surface_node *node = &t->nodes[id];
		if (node->n) {
			for (size_t i = node->begin; i < node->begin + (size_t)node->n; i++) {
				double d = triangle_squared(t->xyz + 9 * i, p);
				if (d < best) {
					best = d;
					near = i;
				}
			}
			continue;
		}
		uint32_t child[2] = { id + 1, node->right };
		double d[2] = { box_squared(&t->nodes[child[0]], p),
			        box_squared(&t->nodes[child[1]], p) };
		int far = d[0] <= d[1] ? 1 : 0;
		for (int k = 0; k < 2; k++) {
			int c = k == 0 ? far : !far;
			if (d[c] >= best)
				continue;
			todo[n].node = child[c];
			todo[n++].bound = d[c];
		}
	}
	*hint = near;
	return sqrt(best);
}

static double area_of(const double *t)
{
	double u[3], w[3];

	for (int i = 0; i < 3; i++) {
		u[i] = t[3 + i] - t[i];
		w[i] = t[6 + i] - t[i];
	}
	double x = u[1] * w[2] - u[2] * w[1], y = u[2] * w[0] - u[0] * w[2],
	       z = u[0] * w[1] - u[1] * w[0];
	return sqrt(x * x + y * y + z * z) / 2;
}

int surface_points(const struct facets *f, int n, uint32_t seed, float *out, struct err *e)
{
	double *upto = malloc((f->n ? f->n : 1) * sizeof(*upto)), sum = 0;
	struct mt19937 g;
	size_t at = 0;

	if (!upto)
		return err_set(e, ERR_MEM, "no memory for %zu triangles", f->n);
	for (size_t i = 0; i < f->n; i++) {
		sum += area_of(f->xyz + 9 * i);
		upto[i] = sum;
	}
	mt19937_seed(&g, seed);
	for (int i = 0; i < n; i++) {
		double want = sum * (i + mt19937_double(&g)) / n;
		double u = mt19937_double(&g), w = mt19937_double(&g);
		while (at + 1 < f->n && upto[at] <= want)
			at++;
		if (u + w > 1) {
			u = 1 - u;
			w = 1 - w;
		}
		if (!(sum > 0) || !isfinite(sum)) {
			at = 0;
			u = w = 0;
		}
		const double *t = f->xyz + 9 * at;
		for (int a = 0; a < 3; a++)
			out[3 * i + a] =
				f->n ? (float)(t[a] + u * (t[3 + a] - t[a]) + w * (t[6 + a] - t[a]))
				     : 0;
	}
	free(upto);
	return 0;
}
