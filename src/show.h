/*
 * show.h - builds and scores as JSON (cli.md, "The object of score --json") and as plain text for
 * people.
 */
#ifndef SHOW_H
#define SHOW_H

#include <stdio.h>

#include "engine/engine.h"

/* A file's name for people: what could move the cursor or end the line is made visible. Owned by
 * the caller. */
char *show_name(const char *file);
/* The same in JSON: as it is, unless it is no UTF-8. */
void show_add_file(cJSON *o, const char *file);
/* The same under another key; NULL: null. */
void show_add_path(cJSON *o, const char *key, const char *path);

/* The object under "build". @cls: CLASS_COUNT writes null. */
cJSON *show_build_json(const struct build *b, enum build_class cls);
/* The object under "geometry": the scorer's, where a list of nothing but nulls (the middle of a
 * shape without solids) is null itself. */
cJSON *show_geometry_json(const cJSON *geometry);
/* The object under "mesh" and under "contact"; all null when @f is NULL. */
cJSON *show_mesh_json(const struct figures *f);
cJSON *show_contact_json(const struct figures *f);

/* What the program printed after its last line's end: the engine passes on whole lines as they
 * come, so that is in the log alone, behind the @shown bytes that were. */
void show_rest_of_log(FILE *out, const struct buf *log, size_t shown);

/* What went wrong, in the form that editors jump to: FILE:LINE:COLUMN: message, the source line, a
 * mark under the column, the limit, what the jail refused. @build: the object under "build". */
void show_build_failure(FILE *out, const char *file, const cJSON *build);
/* A whole score for people, from its object alone: total, terms with what each adds, the checks
 * that fell short, figures, notes; of a failed build what went wrong. */
void show_score(FILE *out, const cJSON *score);
/* "2 solids, 14 faces; 480.0 x 480.0 x 900.0 mm; volume 20071680 mm3; ..." and the holes. */
void show_geometry(FILE *out, const cJSON *geometry);

/* One line to stdout. */
void show_json_line(const cJSON *o);

#endif
