#include "engine/topology.h"

#include <math.h>
#include <stdlib.h>

#include "engine/numeric.h"

/* One undirected edge. The two faces are the first two that use it; only edges used exactly twice
 * read them. */
struct edge {
	uint32_t lo, hi;
	uint32_t count; /* 0: a free slot */
	uint32_t face[2];
	uint32_t start[2]; /* the vertex that each of these uses starts from */
};

static struct edge *edge_slot(struct edge *table, size_t mask, uint32_t a, uint32_t b)
{
	uint32_t lo = a < b ? a : b, hi = a < b ? b : a;
	uint64_t h = ((uint64_t)lo << 32 | hi) * 0x9e3779b97f4a7c15u;
	size_t i = (h ^ (h >> 32)) & mask;

	while (table[i].count && (table[i].lo != lo || table[i].hi != hi))
		i = (i + 1) & mask;
	table[i].lo = lo;
	table[i].hi = hi;
	return &table[i];
}

static uint32_t root(uint32_t *parent, uint32_t i)
{
	while (parent[i] != i) {
		parent[i] = parent[parent[i]];
		i = parent[i];
	}
	return i;
}

/* The smaller number becomes the root, so that a root is its component's first triangle. */
static void join(uint32_t *parent, uint32_t a, uint32_t b)
{
	a = root(parent, a);
	b = root(parent, b);
	if (a < b)
		parent[b] = a;
	else
		parent[a] = b;
}

int topology_measure(struct topology *out, const struct mesh *m, struct err *e)
{
	struct topology t = { .vertices = (long)m->n_vert, .triangles = (long)m->n_tri };
	size_t cap = 64, pairs = 0;
	int rc = -1;

	while (cap < 4 * m->n_tri)
		cap *= 2; /* at most 3 n edges: the table never fills */
	struct edge *table = calloc(cap, sizeof(*table));
	uint32_t *parent = malloc((m->n_tri ? m->n_tri : 1) * sizeof(*parent));
	if (!table || !parent) {
		err_set(e, ERR_MEM, "no memory for the edges of %zu triangles", m->n_tri);
		goto out;
	}
	for (size_t i = 0; i < m->n_tri; i++) {
		parent[i] = (uint32_t)i;
		for (int c = 0; c < 3; c++) {
			uint32_t a = m->t[3 * i + c], b = m->t[3 * i + (c + 1) % 3];
			struct edge *s = edge_slot(table, cap - 1, a, b);
			if (s->count < 2) {
				s->face[s->count] = (uint32_t)i;
				s->start[s->count] = a;
			}
			s->count++;
		}
		if (mesh_triangle_area(m, i) < 1e-8)
			t.degenerate_faces++;
	}
	t.winding_consistent = true;
	for (size_t i = 0; i < cap; i++) {
		const struct edge *s = &table[i];
		if (s->count == 1) {
			t.boundary_edges++;
		} else if (s->count > 2) {
			t.non_manifold_edges++;
		} else if (s->count == 2) {
			pairs++;
			/* lo == hi: a triangle with two equal corners, walked both ways at once. */
			if (s->start[0] == s->start[1] && s->lo != s->hi)
				t.winding_consistent = false;
			join(parent, s->face[0], s->face[1]);
		}
	}
	t.watertight = m->n_tri > 0 && 2 * pairs == 3 * m->n_tri;
	t.component_of = malloc((m->n_tri ? m->n_tri : 1) * sizeof(*t.component_of));
	if (!t.component_of) {
		err_set(e, ERR_MEM, "no memory for the components of %zu triangles", m->n_tri);
		goto out;
	}
	uint32_t next = 0;
	/* A root comes before its members. */
	for (size_t i = 0; i < m->n_tri; i++) {
		uint32_t r = root(parent, (uint32_t)i);
		t.component_of[i] = r == i ? next++ : t.component_of[r];
	}
	t.components = next;
	*out = t;
	rc = 0;
out:
	free(parent);
	free(table);
	return rc;
}

void topology_release(struct topology *t)
{
	free(t->component_of);
	*t = (struct topology){ 0 };
}

double topology_score(const struct topology *t)
{
	double faces = t->triangles > 1 ? (double)t->triangles : 1.0;
	double b = (double)t->boundary_edges / faces;
	double n = (double)t->non_manifold_edges / faces;
	double d = (double)t->degenerate_faces / faces;
	long c = t->components;
	double comp = c >= 1 && c <= 120 ? 0.25 : c >= 0 && c <= 250 ? 0.12 : 0.0;
	double s = comp;

	s += t->watertight ? 0.15 : 0.05;
	s += 0.20 * fmax(0.0, 1.0 - b * 250.0);
	s += 0.15 * fmax(0.0, 1.0 - n * 250.0);
	s += 0.15 * fmax(0.0, 1.0 - d * 250.0);
	s += t->triangles >= 50 && t->triangles <= 750000 ? 0.10 : 0.03;
	if (c > 250)
		s -= 0.20;
	if (b > 0.02)
		s -= 0.10;
	if (n > 0.02)
		s -= 0.10;
	if (d > 0.02)
		s -= 0.10;
	return clip01(s);
}
