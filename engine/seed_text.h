/*
 * seed_text.h - what the published reward reads off a program's text (sections 3 and 6).
 *
 * Patterns over lines, comments and strings included: that is how the published one counts.
 * engine/facts counts on the syntax tree instead.
 */
#ifndef ENGINE_SEED_TEXT_H
#define ENGINE_SEED_TEXT_H

#include <stdbool.h>

#include "src/base/buf.h"

struct seed_text {
	long functions;    /* lines that begin with def NAME( */
	long named_values; /* lines that begin with NAME = number */
	long returns;      /* lines that begin with return and a blank */
	bool final_object; /* show_object, fixture, result or chair anywhere */
	double editability;
};

/* @code: the program as the evaluator gets it (extracted). 0, or -1 (ERR_MEM). */
int seed_text_measure(struct seed_text *out, const char *code, size_t len, struct err *e);

/* Share of the hints that occur in the code, case aside, with or without their underscores. With
 * @n 0 the ten office-chair words. @hits: n (or ten) booleans, or NULL. 0, or -1 (ERR_MEM). */
int seed_text_hints(double *share, bool *hits, const char *code, size_t len,
                    const char *const *hints, int n, struct err *e);
extern const char *const seed_default_hints[10];

/* `fixture`, as a word of its own, then an equals sign. */
bool seed_text_has_fixture(const char *code, size_t len);
bool seed_text_has_import(const char *code, size_t len);

/* The text-only score, 0 to 1. @raw: the completion that @code came from. 0, or -1 (ERR_MEM). */
int seed_text_cheap(double *out, const char *code, size_t len, const char *raw, size_t raw_len,
                    struct err *e);

#endif
