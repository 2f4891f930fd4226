/*
 * guard.h - tokens that make a program unclosable or call what does not exist are not picked
 * (issue: code guard, --guard).
 *
 * Only what is certain without types: brackets, strings, indentation; `cq.NAME`; methods in an
 * unbroken chain from cq.Workplane(...) or cq.Sketch(...); the end of the text before the final
 * object is assigned. It never masks a token of a valid program.
 */
#ifndef GPU_GUARD_H
#define GPU_GUARD_H

#include "gpu/tokenizer.h"

struct guard_names; /* what exists in CadQuery: data that the builder writes */
/* {"cadquery": version, "module": [names of cq], "classes": {"Workplane": {"method":
 * "Workplane"|"Sketch"|null}, ...}}; a method's value is what a chain goes on with, null: not
 * known. */
struct guard_names *guard_names_parse(const char *json, size_t len, const char *where,
                                      struct err *e);
void guard_names_close(struct guard_names *n);

struct guard; /* one answer's */
struct guard *guard_open(const struct tokenizer *t, const struct guard_names *n, int vocabulary,
                         struct err *e);
void guard_close(struct guard *g);
struct guard *guard_copy(const struct guard *g, struct err *e);

/* The token was picked. */
void guard_accept(struct guard *g, int32_t id);
/* Which tokens may come next, as bits; [(vocabulary + 63) / 64], valid until the next call on @g.
 * NULL: all. */
const uint64_t *guard_mask(struct guard *g);
/* Why @id is masked now, for people; "" when it is not. */
void guard_why(struct guard *g, int32_t id, char *out, size_t len);

#endif
