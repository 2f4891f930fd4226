/*
 * figures.h - everything the seed profiles need to know of a mesh, as plain numbers.
 *
 * Measured in the scorer's child (figures_measure), carried as JSON, turned into a reward by
 * engine/reward_seed in cadforge. Spec: reward-seed.md sections 2 and 4; the names follow score
 * --json in cli.md.
 */
#ifndef ENGINE_FIGURES_H
#define ENGINE_FIGURES_H

#include <stdbool.h>

#include "engine/chamfer.h"
#include "engine/mesh.h"
#include "engine/silhouette.h"
#include "src/base/json.h"

#define REFERENCE_MAX        4
#define REFERENCE_POINTS_MAX 65536 /* 3000 in the published ones */

/*
 * One folder of a reference set. Const once loaded.
 *     reference.json  {"weight": number, "normalized_bbox": {"xlen", "ylen", "zlen": number, ...}},
 *                     and "name" where DIR itself is the reference
 *     points.f32      x y z, float32, little endian, normalized units (height 1000)
 *     front.png back.png left.png right.png top.png isometric.png
 *                     512 x 512, 8-bit grey; what is not 0 belongs to the shape
 */
struct reference {
	char name[32]; /* "ideal" or "glb" */
	double weight; /* 0.6, 0.4 when both are there; those of a set sum to 1 */
	double box[3]; /* normalized lengths x, y, z */
	int n_points;
	float *points;          /* 3 * n_points; NULL: a box alone */
	struct mask *masks;     /* VIEW_COUNT of them; NULL: a box alone */
	struct point_tree tree; /* over the points, built when they are loaded */
};
struct reference_set {
	struct reference ref[REFERENCE_MAX];
	int n;
};

/* Loads DIR/ideal and DIR/glb (whichever are there; at least one), or DIR itself when it holds
 * reference.json. Errors name file, place, what was expected. */
int reference_load(struct reference_set *out, const char *dir, struct err *e);
/* A set of one "glb" reference with a box alone (no points, no masks): fast figures only. Lengths
 * over the height, as a task's seed_reference gives them. */
void reference_from_box(struct reference_set *out, const double box_over_height[3]);
void reference_release(struct reference_set *r);
/* True when every reference has points and masks, which full figures need. */
bool reference_is_full(const struct reference_set *r);
/* The bytes of WIRE_REFERENCE, and back (strict: they are checked as foreign bytes). */
int reference_serialize(const struct reference_set *r, struct buf *out, struct err *e);
int reference_parse(struct reference_set *out, const void *bytes, size_t len, struct err *e);

struct reference_figures {
	char name[32];
	double weight;
	double bbox;                 /* similarity of boxes */
	double chamfer;              /* full: exp(-mean distance...); fast: = bbox */
	double silhouette;           /* full: weighted IoU; fast: = bbox */
	double view_iou[VIEW_COUNT]; /* NAN in fast */
};

struct figures {
	bool full;
	/* mesh (of the raw one in mm; counts are those of the normalized one, which has the same)
	 */
	long vertices, triangles, components, boundary_edges, non_manifold_edges, degenerate_faces;
	bool watertight, winding_consistent;
	double box_len_mm[3], box_min_mm[3], normalized_len[3];
	double mesh_area_mm2, mesh_volume_mm3;
	/* contact */
	long components_checked, large_gap_components;
	double mean_gap_ratio, max_gap_ratio, contact;
	double topology;
	/* for semantic_parts without a task box (section 3) */
	double low_p90_ratio; /* p90 of hypot(x,y) of vertices with z < zmin + 0.25 H, over H; 0
	                         with none */
	long high_vertices;   /* vertices with z > zmin + 0.55 H */
	struct reference_figures ref[REFERENCE_MAX];
	int n_ref;
};

/* @refs may be NULL (no reference). 0, or -1: ERR_INPUT when no triangle is left; ERR_USAGE when
 * @full is asked of references that are boxes alone (reference_is_full). */
int figures_measure(struct figures *out, const struct soup *s, const struct reference_set *refs,
                    bool full, struct err *e);
cJSON *figures_to_json(const struct figures *f); /* exact: %.17g */
int figures_from_json(struct figures *out, const cJSON *o, struct err *e);

#endif
