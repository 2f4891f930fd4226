#include "engine/topology.h"

#include <math.h>
#include <stdlib.h>

#include "engine/numeric.h"

/* One use of an undirected edge, kept in a list of its lower vertex. */
struct use {
	uint32_t hi;   /* the other vertex */
	uint32_t face; /* 2 * triangle + 1 when it is walked downwards, from hi */
};

static int by_other_end(const void *a, const void *b)
{
	const struct use *p = a, *q = b;

	return (p->hi > q->hi) - (p->hi < q->hi);
}

static void sort_uses(struct use *u, size_t n)
{
	if (n > 32) {
		qsort(u, n, sizeof(*u), by_other_end);
		return;
	}
	for (size_t i = 1; i < n; i++) {
		struct use x = u[i];
		size_t k = i;
		for (; k > 0 && u[k - 1].hi > x.hi; k--)
			u[k] = u[k - 1];
		u[k] = x;
	}
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

/* All uses, by lower vertex: those of vertex v end up at begin[v + 1] .. begin[v + 2] - 1. @begin
 * has n_vert + 2 zeros. */
static void list_uses(struct use *uses, uint32_t *begin, const struct mesh *m)
{
	for (size_t i = 0; i < m->n_tri; i++)
		for (int c = 0; c < 3; c++) {
			uint32_t a = m->t[3 * i + c], b = m->t[3 * i + (c + 1) % 3];
			begin[(a < b ? a : b) + 1]++;
		}
	for (size_t v = 0; v < m->n_vert; v++)
		begin[v + 1] += begin[v];
	begin[m->n_vert + 1] = (uint32_t)(3 * m->n_tri);
	/* Filled from the back: begin[v + 1] goes from the end of v's list to its start. */
	for (size_t i = m->n_tri; i-- > 0;)
		for (int c = 2; c >= 0; c--) {
			uint32_t a = m->t[3 * i + c], b = m->t[3 * i + (c + 1) % 3];
			bool down = a > b;
			uint32_t lo = down ? b : a;
			uses[--begin[lo + 1]] =
				(struct use){ down ? a : b, 2 * (uint32_t)i + down };
		}
}

static void count_edges(struct topology *t, struct use *u, size_t n, uint32_t lo, uint32_t *parent,
                        size_t *pairs)
{
	sort_uses(u, n);
	for (size_t i = 0, k; i < n; i = k) {
		for (k = i + 1; k < n && u[k].hi == u[i].hi; k++)
			;
		if (k - i == 1) {
			t->boundary_edges++;
		} else if (k - i > 2) {
			t->non_manifold_edges++;
		} else {
			++*pairs;
			/* An edge from a vertex to itself (two equal corners) goes both ways. */
			if ((u[i].face & 1) == (u[i + 1].face & 1) && u[i].hi != lo)
				t->winding_consistent = false;
			join(parent, u[i].face / 2, u[i + 1].face / 2);
		}
	}
}

int topology_measure(struct topology *out, const struct mesh *m, struct err *e)
{
	struct topology t = { .vertices = (long)m->n_vert,
		              .triangles = (long)m->n_tri,
		              .winding_consistent = true };
	size_t n = m->n_tri ? m->n_tri : 1, pairs = 0;
	struct use *uses = malloc(3 * n * sizeof(*uses));
	uint32_t *begin = calloc(m->n_vert + 2, sizeof(*begin));
	uint32_t *parent = malloc(n * sizeof(*parent));
	int rc = -1;

	t.component_of = malloc(n * sizeof(*t.component_of));
	if (!uses || !begin || !parent || !t.component_of) {
		err_set(e, ERR_MEM, "no memory for the edges of %zu triangles", m->n_tri);
		goto out;
	}
	for (size_t i = 0; i < m->n_tri; i++) {
		parent[i] = (uint32_t)i;
		if (mesh_triangle_area(m, i) < 1e-8)
			t.degenerate_faces++;
	}
	list_uses(uses, begin, m);
	for (uint32_t v = 0; v < m->n_vert; v++)
		count_edges(&t, uses + begin[v + 1], begin[v + 2] - begin[v + 1], v, parent,
		            &pairs);
	t.watertight = m->n_tri > 0 && 2 * pairs == 3 * m->n_tri;
	/* A root comes before its members. */
	for (size_t i = 0; i < m->n_tri; i++) {
		uint32_t r = root(parent, (uint32_t)i);
		t.component_of[i] = r == i ? (uint32_t)t.components++ : t.component_of[r];
	}
	*out = t;
	t.component_of = NULL;
	rc = 0;
out:
	free(t.component_of);
	free(parent);
	free(begin);
	free(uses);
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
