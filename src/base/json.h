/*
 * json.h - typed reads over cJSON for text that came from elsewhere, and the writing rules we keep.
 *
 * Reads name the key, what was wanted and what was got. A figure that does not apply is null, never
 * 0.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "src/base/buf.h"

#define JSON_VALUES_MAX 1000000

/* Parses exactly one JSON value (nesting at most 512 levels, at most JSON_VALUES_MAX values in it,
 * no trailing text). NULL with @e (ERR_INPUT) set: line, column and what stands there. Caller frees
 * with cJSON_Delete(). */
cJSON *json_parse(const char *text, size_t len, struct err *e);

/* The same with at most @values_max values: two bytes of text make a value of 64, so text of a
 * stranger's is bounded by what it may become. */
cJSON *json_parse_bounded(const char *text, size_t len, size_t values_max, struct err *e);

/* The line, from 1, on which @node's value begins in the @text that @root was parsed from; 1 for a
 * node that is not in it. */
int json_line_of(const char *text, size_t len, const cJSON *root, const cJSON *node);

/* One line without blanks, appended to @out. Numbers read back as the same doubles. */
void json_print(struct buf *out, const cJSON *v);

/* Each returns 0, or -1 with @e set. @key must be there and of the type. */
int json_get_string(const cJSON *o, const char *key, const char **out, struct err *e);
int json_get_number(const cJSON *o, const char *key, double *out, struct err *e);
int json_get_int(const cJSON *o, const char *key, long long min, long long max, long long *out,
                 struct err *e);
/* @def when the key is not there; else a number from @min to @max. */
int json_get_number_between(const cJSON *o, const char *key, double def, double min, double max,
                            double *out, struct err *e);
int json_get_numbers(const cJSON *o, const char *key, double *out, int n, struct err *e);

/* What is there of that type, or the default; no error. */
double json_number_or(const cJSON *o, const char *key, double def);
bool json_bool_or(const cJSON *o, const char *key, bool def);
const char *json_string_or(const cJSON *o, const char *key, const char *def);

/* Adds a number, or null when @v is NaN or infinite: JSON has no word for those. */
void json_add_figure(cJSON *o, const char *key, double v);
/* Adds a string, or null for NULL. */
void json_add_text(cJSON *o, const char *key, const char *text);
/* Adds an array of @n figures. */
void json_add_figures(cJSON *o, const char *key, const double *v, int n);

#endif
