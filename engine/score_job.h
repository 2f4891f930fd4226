/*
 * score_job.h - one shape from bytes to figures: read, measure, mesh, compare, export.
 *
 * Runs in the scorer's jailed child; the same sequence is called without child or jail by the
 * tests, the fuzz targets and the bench. Needs shape_warm_up() once before.
 */
#ifndef ENGINE_SCORE_JOB_H
#define ENGINE_SCORE_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/exact.h"
#include "engine/views.h"
#include "engine/figures.h"
#include "engine/shape.h"
#include "src/base/buf.h"
#include "src/base/json.h"

/* SCORE_MESHED: a BREP with the triangles that our own mesher made (the builder's WIRE_CONVERT to
 * "mesh"), which are kept. */
enum score_format { SCORE_BREP, SCORE_STL, SCORE_GLB, SCORE_MESHED };
enum score_figures { SCORE_FIGURES_NONE, SCORE_FIGURES_FAST, SCORE_FIGURES_FULL };

#define PICTURES_MAX 16

/* The json of WIRE_SCORE. */
struct score_request {
	enum score_format format;
	enum score_figures figures;
	bool geometry, export_stl, export_glb;
	uint32_t reference; /* 0: none */
	bool wants_exact;   /* of a BREP alone, and without figures, which are of another mesh */
	struct exact_request exact;
	bool prepare; /* the export is a reference for the exact profiles, and nothing else is done
	               */
	struct picture_request {
		char name[PICTURES_MAX][VIEW_NAME_MAX];
		int n, px;
		char title[200];
		int rotation;       /* of engine/voxel.h, that brings the part to the reference */
		uint32_t reference; /* for "difference": of kind "exact", or 0 */
	} pictures; /* n 0: none are wanted; else nothing but read and mesh is done */
	double cpu_s, memory_mib, under_way; /* on the clock: engine/wire.h */
	struct shape_limits limits;
};

/* 0, or -1 (ERR_INPUT naming the key). What is absent has engine.md's defaults. */
int score_request_parse(struct score_request *out, const char *json, size_t len, struct err *e);
void score_request_release(struct score_request *r);

/* What a request's references name; NULL where it names none. */
struct score_references {
	const struct reference_set *seed;
	const struct exact_reference *exact;
};

/* Does the work and appends the json of WIRE_RESULT to @json and the exports to @blob. A shape that
 * cannot be used is a RESULT with a cause, not an error. @refs may be NULL. 0, or -1 (ERR_MEM) when
 * not even the RESULT could be written. */
int score_job_run(const struct score_request *r, const void *bytes, size_t len,
                  const struct score_references *refs, struct buf *json, struct buf *blob,
                  struct err *e);

/* A RESULT without figures; @limit_name NULL when no limit was hit, @used NAN when not known. */
cJSON *score_failure(const char *cause, const char *error, const char *limit_name, double limit,
                     double used);

/* As score --json names it in cli.md, and box_min_mm. */
cJSON *geometry_to_json(const struct geometry *g);

#endif
