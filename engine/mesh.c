/*
 * Vertices are merged through an open-addressing table whose keys are the rounded coordinates.
 * Order matters to those who sample the mesh later: a vertex gets its number when it is first seen.
 */
#include "engine/mesh.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int soup_add(struct soup *s, const float corners[9], struct err *e)
{
	if (s->n_tri == s->cap_tri) {
		size_t cap = s->cap_tri ? s->cap_tri * 2 : 256;
		float *p = realloc(s->xyz, cap * 9 * sizeof(float));
		if (!p)
			return err_set(e, ERR_MEM, "no memory for %zu triangles", cap);
		s->xyz = p;
		s->cap_tri = cap;
	}
	memcpy(s->xyz + 9 * s->n_tri, corners, 9 * sizeof(float));
	s->n_tri++;
	return 0;
}

void soup_release(struct soup *s)
{
	free(s->xyz);
	*s = (struct soup){ 0 };
}

void mesh_release(struct mesh *m)
{
	free(m->v);
	free(m->t);
	*m = (struct mesh){ 0 };
}

/* The coordinate in units of 1e-8 mm as numpy's round().astype(int64) gives it: half to even, and
 * the least integer for what does not fit. */
static int64_t grid_coordinate(double x)
{
	const double shift = 6755399441055744.0; /* 1.5 * 2^52: adding it rounds to whole numbers */
	double g = x * 1e8;

	if (fabs(g) < 1125899906842624.0) {
		double sum = g + shift;
		int64_t bits, base;
		memcpy(&bits, &sum, sizeof(bits));
		memcpy(&base, &shift, sizeof(base));
		return bits - base;
	}
	g = rint(g);
	if (g >= -9223372036854775808.0 && g < 9223372036854775808.0)
		return (int64_t)g;
	return INT64_MIN;
}

static uint64_t grid_hash(const int64_t k[3])
{
	uint64_t h = (uint64_t)k[0] * 0x9e3779b97f4a7c15u;

	h = (h ^ (h >> 29) ^ (uint64_t)k[1]) * 0xbf58476d1ce4e5b9u;
	h = (h ^ (h >> 32) ^ (uint64_t)k[2]) * 0x94d049bb133111ebu;
	return h ^ (h >> 31);
}

struct merge {
	int64_t (*keys)[3]; /* of vertex i */
	uint32_t *slots;    /* vertex number + 1; 0 is free */
	size_t n_slots;     /* a power of 2, more than 4/3 of cap_vert */
	size_t cap_vert;
	struct mesh *m;
};

static uint32_t *find_slot(const struct merge *g, const int64_t k[3])
{
	size_t mask = g->n_slots - 1, i = grid_hash(k) & mask;

	while (g->slots[i]) {
		const int64_t *v = g->keys[g->slots[i] - 1];
		if (v[0] == k[0] && v[1] == k[1] && v[2] == k[2])
			break;
		i = (i + 1) & mask;
	}
	return &g->slots[i];
}

/* Room for @cap vertices; those that are there keep their numbers. */
static int merge_grow(struct merge *g, size_t cap, struct err *e)
{
	size_t n_slots = 64;

	while (n_slots < cap + cap / 2)
		n_slots *= 2;
	void *keys = realloc(g->keys, cap * sizeof(*g->keys));
	if (keys)
		g->keys = keys;
	void *v = realloc(g->m->v, cap * 3 * sizeof(*g->m->v));
	if (v)
		g->m->v = v;
	uint32_t *slots = calloc(n_slots, sizeof(*slots));
	if (!keys || !v || !slots) {
		free(slots);
		return err_set(e, ERR_MEM, "no memory for a mesh of %zu vertices", cap);
	}
	free(g->slots);
	g->slots = slots;
	g->n_slots = n_slots;
	g->cap_vert = cap;
	for (size_t i = 0; i < g->m->n_vert; i++)
		*find_slot(g, g->keys[i]) = (uint32_t)i + 1;
	return 0;
}

static int merge_vertex(struct merge *g, const float p[3], uint32_t *out, struct err *e)
{
	int64_t k[3] = { grid_coordinate(p[0]), grid_coordinate(p[1]), grid_coordinate(p[2]) };
	uint32_t *slot = find_slot(g, k);

	if (*slot) {
		*out = *slot - 1;
		return 0;
	}
	if (g->m->n_vert == g->cap_vert) {
		if (merge_grow(g, 2 * g->cap_vert, e) < 0)
			return -1;
		slot = find_slot(g, k);
	}
	uint32_t v = (uint32_t)g->m->n_vert++;
	*slot = v + 1;
	for (int c = 0; c < 3; c++) {
		g->keys[v][c] = k[c];
		g->m->v[3 * (size_t)v + c] = p[c];
	}
	*out = v;
	return 0;
}

static bool finite9(const float *p)
{
	for (int i = 0; i < 9; i++)
		if (!isfinite(p[i]))
			return false;
	return true;
}

int mesh_from_soup(struct mesh *out, const struct soup *s, struct err *e)
{
	struct mesh m = { 0 };
	struct merge g = { .m = &m };
	int rc = -1;

	if (s->n_tri == 0)
		return err_set(e, ERR_INPUT, "the shape has no triangles");
	if (s->n_tri > UINT32_MAX / 6)
		return err_set(e, ERR_INPUT, "%zu triangles are more than a mesh can hold",
		               s->n_tri);
	m.t = malloc(3 * s->n_tri * sizeof(*m.t));
	if (!m.t) {
		err_set(e, ERR_MEM, "no memory for a mesh of %zu triangles", s->n_tri);
		goto out;
	}
	/* A closed mesh has half as many vertices as triangles. */
	if (merge_grow(&g, s->n_tri / 2 + 16, e) < 0)
		goto out;
	for (size_t i = 0; i < s->n_tri; i++) {
		const float *p = s->xyz + 9 * i;
		if (!finite9(p))
			continue;
		for (int c = 0; c < 3; c++)
			if (merge_vertex(&g, p + 3 * c, &m.t[3 * m.n_tri + c], e) < 0)
				goto out;
		m.n_tri++;
	}
	if (m.n_tri == 0) {
		err_set(e, ERR_INPUT, "none of the %zu triangles has finite corners", s->n_tri);
		goto out;
	}
	*out = m;
	m = (struct mesh){ 0 };
	rc = 0;
out:
	free(g.slots);
	free(g.keys);
	mesh_release(&m);
	return rc;
}

void mesh_box(const struct mesh *m, double min[3], double max[3])
{
	for (int c = 0; c < 3; c++) {
		min[c] = m->n_vert ? m->v[c] : 0;
		max[c] = min[c];
	}
	for (size_t i = 1; i < m->n_vert; i++)
		for (int c = 0; c < 3; c++) {
			double x = m->v[3 * i + c];
			if (x < min[c])
				min[c] = x;
			if (x > max[c])
				max[c] = x;
		}
}

void mesh_normalize(struct mesh *m)
{
	double min[3], max[3], shift[3];

	mesh_box(m, min, max);
	double scale = 1000.0 / fmax(max[2] - min[2], 1e-9);
	for (size_t i = 0; i < 3 * m->n_vert; i++)
		m->v[i] *= scale;
	/* Scaled box and shift separately, as published: the last bits differ otherwise. */
	mesh_box(m, min, max);
	shift[0] = -((min[0] + max[0]) / 2.0);
	shift[1] = -((min[1] + max[1]) / 2.0);
	shift[2] = -min[2];
	for (size_t i = 0; i < m->n_vert; i++)
		for (int c = 0; c < 3; c++)
			m->v[3 * i + c] += shift[c];
}

double mesh_triangle_area(const struct mesh *m, size_t i)
{
	const double *a = m->v + 3 * (size_t)m->t[3 * i];
	const double *b = m->v + 3 * (size_t)m->t[3 * i + 1];
	const double *c = m->v + 3 * (size_t)m->t[3 * i + 2];
	double p[3] = { b[0] - a[0], b[1] - a[1], b[2] - a[2] };
	double q[3] = { c[0] - b[0], c[1] - b[1], c[2] - b[2] };
	double x = p[1] * q[2] - p[2] * q[1];
	double y = p[2] * q[0] - p[0] * q[2];
	double z = p[0] * q[1] - p[1] * q[0];

	return sqrt(x * x + y * y + z * z) / 2.0;
}

double mesh_area(const struct mesh *m)
{
	double sum = 0;

	for (size_t i = 0; i < m->n_tri; i++)
		sum += mesh_triangle_area(m, i);
	return sum;
}

double mesh_volume(const struct mesh *m)
{
	/* Relative to one vertex, so that a shape far from the origin keeps its digits. */
	const double *o = m->v;
	double sum = 0;

	for (size_t i = 0; i < m->n_tri; i++) {
		double a[3], b[3], c[3];
		for (int k = 0; k < 3; k++) {
			a[k] = m->v[3 * (size_t)m->t[3 * i] + k] - o[k];
			b[k] = m->v[3 * (size_t)m->t[3 * i + 1] + k] - o[k];
			c[k] = m->v[3 * (size_t)m->t[3 * i + 2] + k] - o[k];
		}
		sum += a[0] * (b[1] * c[2] - b[2] * c[1]) + a[1] * (b[2] * c[0] - b[0] * c[2]) +
		       a[2] * (b[0] * c[1] - b[1] * c[0]);
	}
	return sum / 6.0;
}
