#include "engine/figures.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/contact.h"
#include "engine/numeric.h"
#include "engine/topology.h"

/* Lengths compared after each box is divided by its own height; the height's own term is 0. */
static double box_similarity(const double a[3], const double r[3])
{
	double sum = 0;

	for (int c = 0; c < 3; c++) {
		double x = a[c] / fmax(a[2], 1e-9), y = r[c] / fmax(r[2], 1e-9);
		sum += fabs(x - y) / fmax(y, 1e-9);
	}
	return fmax(0.0, 1.0 - sum / 3.0);
}

/* What semantic_parts looks at when there is no task. */
static int measure_heights(struct figures *f, const struct mesh *m, struct err *e)
{
	double min[3], max[3], height;
	size_t n = 0;
	double *radius = malloc((m->n_vert ? m->n_vert : 1) * sizeof(*radius));

	if (!radius)
		return err_set(e, ERR_MEM, "no memory for %zu vertices", m->n_vert);
	mesh_box(m, min, max);
	height = fmax(max[2] - min[2], 1e-9);
	for (size_t i = 0; i < m->n_vert; i++) {
		const double *p = m->v + 3 * i;
		if (p[2] < min[2] + 0.25 * height)
			radius[n++] = hypot(p[0], p[1]);
		if (p[2] > min[2] + 0.55 * height)
			f->high_vertices++;
	}
	f->low_p90_ratio = percentile_linear(radius, n, 90.0) / height;
	free(radius);
	return 0;
}

static int measure_references(struct figures *f, const struct mesh *m,
                              const struct reference_set *refs, struct err *e)
{
	float points[3 * CANDIDATE_POINTS];
	struct point_tree tree = { 0 };
	struct mask *masks = NULL;
	int rc = -1;

	f->n_ref = refs->n;
	if (f->full) {
		masks = malloc(VIEW_COUNT * sizeof(*masks));
		if (!masks) {
			err_set(e, ERR_MEM, "no memory for masks");
			goto out;
		}
		for (int v = 0; v < VIEW_COUNT; v++)
			if (silhouette_draw(&masks[v], m, v, e) < 0)
				goto out;
		if (surface_sample(m, CANDIDATE_POINTS, CHAMFER_SEED, points, e) < 0 ||
		    point_tree_build(&tree, points, CANDIDATE_POINTS, e) < 0)
			goto out;
	}
	for (int i = 0; i < refs->n; i++) {
		const struct reference *r = &refs->ref[i];
		struct reference_figures *o = &f->ref[i];
		memcpy(o->name, r->name, sizeof(o->name));
		o->weight = r->weight;
		o->bbox = box_similarity(f->normalized_len, r->box);
		o->chamfer = o->bbox;
		o->silhouette = o->bbox;
		for (int v = 0; v < VIEW_COUNT; v++)
			o->view_iou[v] = NAN;
		if (!f->full)
			continue;
		double ab, ba;
		if (mean_nearest(&r->tree, &tree, &ab, e) < 0 ||
		    mean_nearest(&tree, &r->tree, &ba, e) < 0)
			goto out;
		o->chamfer = chamfer_score(ab, ba);
		o->silhouette = 0;
		for (int v = 0; v < VIEW_COUNT; v++) {
			o->view_iou[v] = mask_iou(&masks[v], &r->masks[v]);
			o->silhouette += view_weight(v) * o->view_iou[v];
		}
	}
	rc = 0;
out:
	point_tree_release(&tree);
	free(masks);
	return rc;
}

int figures_measure(struct figures *out, const struct soup *s, const struct reference_set *refs,
                    bool full, struct err *e)
{
	struct figures f = { .full = full };
	struct mesh m = { 0 };
	struct topology t = { 0 };
	struct contact c;
	double min[3], max[3];
	int rc = -1;

	if (full && refs && refs->n && !reference_is_full(refs))
		return err_set(e, ERR_USAGE,
		               "reference %s is a box alone: it serves fast figures, full ones "
		               "need points and masks",
		               refs->ref[0].name);
	if (mesh_from_soup(&m, s, e) < 0)
		return -1;
	mesh_box(&m, min, max);
	for (int i = 0; i < 3; i++) {
		f.box_min_mm[i] = min[i];
		f.box_len_mm[i] = max[i] - min[i];
	}
	f.mesh_area_mm2 = mesh_area(&m);
	f.mesh_volume_mm3 = mesh_volume(&m);
	mesh_normalize(&m);
	mesh_box(&m, min, max);
	for (int i = 0; i < 3; i++)
		f.normalized_len[i] = max[i] - min[i];
	if (topology_measure(&t, &m, e) < 0 || contact_measure(&c, &m, &t, e) < 0)
		goto out;
	f.vertices = t.vertices;
	f.triangles = t.triangles;
	f.components = t.components;
	f.boundary_edges = t.boundary_edges;
	f.non_manifold_edges = t.non_manifold_edges;
	f.degenerate_faces = t.degenerate_faces;
	f.watertight = t.watertight;
	f.winding_consistent = t.winding_consistent;
	f.topology = topology_score(&t);
	f.components_checked = c.components_checked;
	f.large_gap_components = c.large_gap_components;
	f.mean_gap_ratio = c.mean_gap_ratio;
	f.max_gap_ratio = c.max_gap_ratio;
	f.contact = c.score;
	if (measure_heights(&f, &m, e) < 0)
		goto out;
	if (refs && measure_references(&f, &m, refs, e) < 0)
		goto out;
	*out = f;
	rc = 0;
out:
	topology_release(&t);
	mesh_release(&m);
	return rc;
}

/* One table for both directions. */
enum field_kind { FIELD_LONG, FIELD_DOUBLE, FIELD_BOOL, FIELD_TRIPLE };
static const struct field {
	const char *key;
	enum field_kind kind;
	size_t at;
} fields[] = {
#define F(kind, name)                                                                              \
	{                                                                                          \
#name, kind, offsetof(struct figures, name)                                        \
	}
	F(FIELD_BOOL, full),
	F(FIELD_LONG, vertices),
	F(FIELD_LONG, triangles),
	F(FIELD_LONG, components),
	F(FIELD_LONG, boundary_edges),
	F(FIELD_LONG, non_manifold_edges),
	F(FIELD_LONG, degenerate_faces),
	F(FIELD_BOOL, watertight),
	F(FIELD_BOOL, winding_consistent),
	F(FIELD_TRIPLE, box_len_mm),
	F(FIELD_TRIPLE, box_min_mm),
	F(FIELD_TRIPLE, normalized_len),
	F(FIELD_DOUBLE, mesh_area_mm2),
	F(FIELD_DOUBLE, mesh_volume_mm3),
	F(FIELD_LONG, components_checked),
	F(FIELD_LONG, large_gap_components),
	F(FIELD_DOUBLE, mean_gap_ratio),
	F(FIELD_DOUBLE, max_gap_ratio),
	F(FIELD_DOUBLE, contact),
	F(FIELD_DOUBLE, topology),
	F(FIELD_DOUBLE, low_p90_ratio),
	F(FIELD_LONG, high_vertices),
#undef F
};

cJSON *figures_to_json(const struct figures *f)
{
	cJSON *o = cJSON_CreateObject();

	for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
		const void *p = (const char *)f + fields[i].at;
		switch (fields[i].kind) {
		case FIELD_LONG:
			json_add_figure(o, fields[i].key, (double)*(const long *)p);
			break;
		case FIELD_DOUBLE:
			json_add_figure(o, fields[i].key, *(const double *)p);
			break;
		case FIELD_BOOL:
			cJSON_AddBoolToObject(o, fields[i].key, *(const bool *)p);
			break;
		case FIELD_TRIPLE:
			json_add_figures(o, fields[i].key, p, 3);
			break;
		}
	}
	cJSON *refs = cJSON_AddArrayToObject(o, "references");
	for (int i = 0; i < f->n_ref; i++) {
		const struct reference_figures *r = &f->ref[i];
		cJSON *item = cJSON_CreateObject();
		json_add_text(item, "name", r->name);
		json_add_figure(item, "weight", r->weight);
		json_add_figure(item, "bbox", r->bbox);
		json_add_figure(item, "chamfer", r->chamfer);
		json_add_figure(item, "silhouette", r->silhouette);
		json_add_figures(item, "view_iou", r->view_iou, VIEW_COUNT);
		cJSON_AddItemToArray(refs, item);
	}
	return o;
}

static int get_reference(struct reference_figures *r, const cJSON *o, bool full, struct err *e)
{
	const char *name;

	if (json_get_string(o, "name", &name, e) < 0 ||
	    json_get_number(o, "weight", &r->weight, e) < 0 ||
	    json_get_number(o, "bbox", &r->bbox, e) < 0 ||
	    json_get_number(o, "chamfer", &r->chamfer, e) < 0 ||
	    json_get_number(o, "silhouette", &r->silhouette, e) < 0)
		return -1;
	if (strlen(name) >= sizeof(r->name))
		return err_set(e, ERR_INPUT, "name: at most %zu bytes wanted, got %zu",
		               sizeof(r->name) - 1, strlen(name));
	strcpy(r->name, name);
	for (int v = 0; v < VIEW_COUNT; v++)
		r->view_iou[v] = NAN;
	return full ? json_get_numbers(o, "view_iou", r->view_iou, VIEW_COUNT, e) : 0;
}

int figures_from_json(struct figures *out, const cJSON *o, struct err *e)
{
	struct figures f = { 0 };
	long long n;

	for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
		void *p = (char *)&f + fields[i].at;
		const char *key = fields[i].key;
		const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
		switch (fields[i].kind) {
		case FIELD_LONG:
			if (json_get_int(o, key, 0, 1LL << 40, &n, e) < 0)
				return -1;
			*(long *)p = (long)n;
			break;
		case FIELD_DOUBLE:
			if (json_get_number(o, key, p, e) < 0)
				return -1;
			break;
		case FIELD_BOOL:
			if (!cJSON_IsBool(v))
				return err_set(e, ERR_INPUT, "%s: true or false wanted", key);
			*(bool *)p = cJSON_IsTrue(v);
			break;
		case FIELD_TRIPLE:
			if (json_get_numbers(o, key, p, 3, e) < 0)
				return -1;
			break;
		}
	}
	const cJSON *refs = cJSON_GetObjectItemCaseSensitive(o, "references"), *item;
	if (!cJSON_IsArray(refs) || cJSON_GetArraySize(refs) > REFERENCE_MAX)
		return err_set(e, ERR_INPUT, "references: an array of at most %d wanted",
		               REFERENCE_MAX);
	cJSON_ArrayForEach(item, refs)
	{
		if (get_reference(&f.ref[f.n_ref], item, f.full, e) < 0)
			return err_wrap(e, "references[%d]", f.n_ref);
		f.n_ref++;
	}
	*out = f;
	return 0;
}
