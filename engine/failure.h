/*
 * failure.h - what went wrong with a program, as one of nine classes (build.class).
 *
 * Two classifiers: the published one to the letter (seed profiles), which looks for words in texts,
 * and ours, which goes by what happened (enum build_cause). The words themselves
 * (build_class_name(), build_cause_name(), their labels) are declared in engine/engine.h.
 *
 * Ours, for a program that did not build:
 *     syntax (IndentationError too)                                  syntax_closure
 *     name                                                           undefined_name
 *     attribute                                                      invented_api
 *     type, value, kernel_error, empty_shape                         type_or_value
 *     no_final_object, not_a_shape                                   missing_fixture
 *     every limit, refused, crash, bad_input, builder_lost, other    unknown_build_failure
 */
#ifndef ENGINE_FAILURE_H
#define ENGINE_FAILURE_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/engine.h"

/* A stretch of bytes that somebody else owns; {0} is none. */
struct text_ref {
	const char *p;
	size_t n;
};

/* What the published classifier looks at. */
struct seed_failure_input {
	bool built;
	double editability, semantic_parts; /* when built */
	struct text_ref error;            /* the evaluator's own error; none for a build failure */
	struct text_ref output;           /* tail of standard output */
	struct text_ref errors;           /* tail of standard error: traceback and message */
	struct text_ref completion, code; /* their first 1000 characters are searched */
};
enum build_class seed_failure_class(const struct seed_failure_input *in);

/* Ours. @editability and @semantic_parts count when the cause is CAUSE_OK; NAN where they are not
 * known. */
enum build_class failure_class(enum build_cause cause, double editability, double semantic_parts);

/* What the published evaluator crashes with when the STL cannot be read (no file, no triangle). */
#define SEED_CRASH_TEXT "ValueError: string is not a file: `candidate.stl`"

/* The line of @stderr_text that the published build note quotes: the last one with one of nine
 * words of trouble in it, else the last one; at most 500 characters. Points into @stderr_text. */
struct text_ref seed_error_line(struct text_ref stderr_text);

/* The standard error that the published runner would have left: @traceback, with "TYPE: MESSAGE" at
 * its end unless it ends so already. NULLs are left out. */
void seed_stderr(struct buf *out, const char *exception, const char *message,
                 const char *traceback);

#endif
