/*
 * guard.h - tokens after which an answer can no longer hold a program that builds are not picked
 * (--guard).
 *
 * Only what is certain without types (gpu/pylex.h): brackets, strings, indentation; cq.NAME;
 * methods in an unbroken chain from cq.Workplane(...) or cq.Sketch(...); and the end of the answer
 * before the final object is assigned. A token of a valid program is never masked.
 *
 * An answer is text in which a program stands in a fenced block, or after a line that imports
 * something, as engine/extract.h finds it; outside of it every token is allowed but the end.
 * Thinking is free.
 */
#ifndef GPU_GUARD_H
#define GPU_GUARD_H

#include "gpu/tokenizer.h"

/* What exists in CadQuery: data that the builder writes; and, made on the way, what the tokens of
 * one vocabulary do. */
struct guard_names;
/* {"cadquery": version, "module": [names of cq], "classes": {"Workplane": {"method":
 * "Workplane"|"Sketch"|null},
 * ...}}; a method's value is what a chain goes on with, null: not known. @where names it in errors
 * (ERR_INPUT).
 */
struct guard_names *guard_names_parse(const char *json, size_t len, const char *where,
                                      struct err *e);
void guard_names_close(struct guard_names *n); /* safe on NULL; after its guards */

struct guard; /* one answer's; not thread-safe, nor are two guards of one guard_names */
/* @vocabulary: rows of the logits, at least tokenizer_size(). The first guard of a tokenizer takes
 * a while (0.1 s for 248,000 tokens). Both are borrowed till the end. */
struct guard *guard_open(const struct tokenizer *t, const struct guard_names *n, int vocabulary,
                         struct err *e);
void guard_close(struct guard *g); /* safe on NULL */
struct guard *guard_copy(const struct guard *g, struct err *e);

/* The ids that the answer follows: an answer to a prompt that ends in an open <think> begins in
 * thought. Before the first guard_accept(); not needed when there is no thinking. */
void guard_prompt(struct guard *g, const int32_t *id, int n);

/* The token was picked. */
void guard_accept(struct guard *g, int32_t id);
/* Which tokens may come next, as bits; [(vocabulary + 63) / 64], valid until the next call on any
 * guard of these names. NULL: all. Never all zero: where no token is left but the end is not
 * allowed either, the end is allowed. */
const uint64_t *guard_mask(struct guard *g);
/* Why @id is masked now, for people; "" when it is not. */
void guard_why(struct guard *g, int32_t id, char *out, size_t len);

#endif
