/*
 * limits_json.h - the limits of builds and scores, in the settings of an episode: what earned a
 * total under one limit may fail under another, so an episode says under which it was made.
 *
 *     "limits": {"wall_s", "cpu_s", "score_cpu_s", "memory_mib", "output_kib", "brep_mib",
 *                "faces_max", "triangles_max"}
 */
#ifndef ENGINE_LIMITS_JSON_H
#define ENGINE_LIMITS_JSON_H

#include <cjson/cJSON.h>

#include "engine/engine.h"

enum { LIMITS = 8 };

/* In the order above. */
void limits_values(double out[LIMITS], const struct limits *l);
/* -1: *@l, each byte of it, is what @v says; else which of them is out of range, which is @least to
 * @most. */
int limits_from_values(struct limits *l, const double v[LIMITS], double *least, double *most);

/* In place of what is there of that name. */
void limits_json_add(cJSON *settings, const struct limits *l);
/* 1: in *@l, each byte of which was written; 0: none are recorded; -1: ERR_INPUT, one that is out
 * of range (settings may come from elsewhere). @settings may be NULL. */
int limits_json_get(struct limits *l, const cJSON *settings, struct err *e);

#endif
