/*
 * pipeline.h - programs through the engine, N at a time: build, then measure what was built.
 */
#ifndef PIPELINE_H
#define PIPELINE_H

#include "engine/engine.h"

struct pipeline_item {
	/* given */
	const char *program;
	size_t len;
	int line_offset;
	const void *given; /* instead of a program: binary BREP, or STEP text; borrowed */
	size_t given_len;
	bool given_is_step;
	const struct reference_set *reference; /* or NULL: the options' */
	const cJSON *exact;  /* what the exact profiles ask of its shape (engine/engine.h), or NULL;
	                        borrowed */
	int exact_reference; /* from engine_exact_reference(), or 0 */
	bool bare;           /* geometry alone: no facts, no figures, no exports */
	/* found; valid when done() is called */
	bool measured;
	struct build build;
	struct shape_report shape;
	double seconds; /* from its hand-over to the engine to its last answer */
	/* the pipeline's own; of pipeline_add() @index is the caller's */
	size_t index;
	uint32_t job;
	double started;
	bool listed; /* of pipeline_run() */
	struct pipeline_item *next;
};

/* The index of an item that was pushed. */
#define PIPELINE_PUSHED SIZE_MAX

struct pipeline_options {
	struct engine_options engine;
	enum dialect dialect;
	struct limits limits;
	bool no_filter, facts, geometry, measure;
	bool export_stl, export_glb;
	enum figures_mode figures;
	const struct reference_set *reference; /* or NULL; borrowed for the pipeline's life */
	int tick_ms;                           /* so often at least tick() is called; 0: 250 */
	void *ctx;
	/* between any two steps; not 0: stop. May be NULL */
	int (*tick)(void *ctx);
	/* as a program prints; may be NULL */
	void (*log)(void *ctx, size_t item, const char *stream, const char *text, size_t len);
	/* in the order in which they end */
	void (*done)(void *ctx, size_t item, struct pipeline_item *it);
};

struct pipeline;

struct pipeline *pipeline_open(const struct pipeline_options *o, struct err *e);
void pipeline_close(struct pipeline *p);
void pipeline_tick_ms(struct pipeline *p, int ms);
/* Runs all items; items' builds and shapes are released when done() has returned. At most twice the
 * engine's jobs are handed over at once. ERR_CANCELLED when tick() said stop, here and below. */
int pipeline_run(struct pipeline *p, struct pipeline_item *items, size_t n, struct err *e);
/* From inside done(): one more, before those that wait. Its done() gets PIPELINE_PUSHED, releases
 * what was found, and may free the item or push it again; without a done() it must live until
 * pipeline_run() or pipeline_end() has returned, which then releases what was found. */
void pipeline_push(struct pipeline *p, struct pipeline_item *it);

/* The same without an end that is known before: items come when they come, and nothing here waits.
 * pipeline_begin(); pipeline_add() at any time but inside done(), whose @it->index is what done()
 * gets; pipeline_work() whenever the engine's descriptors are ready, or its time is up, or
 * something was added. An item's done() releases what was found and may free it. pipeline_end()
 * drops what is under way, without done(). -1: as pipeline_run(); then pipeline_end(). */
void pipeline_begin(struct pipeline *p);
void pipeline_add(struct pipeline *p, struct pipeline_item *it);
int pipeline_work(struct pipeline *p, struct err *e);
/* Waits until nothing is under way, with tick(). */
int pipeline_until_over(struct pipeline *p, struct err *e);
void pipeline_end(struct pipeline *p);
/* From inside done(): the run ends with this error. */
void pipeline_fail(struct pipeline *p, const struct err *e);
/* STEP text of a BREP, or BREP of STEP. 0, or -1. */
int pipeline_convert(struct pipeline *p, bool to_step, const void *bytes, size_t len,
                     struct buf *out, struct err *e);
/* Measures one shape from elsewhere. What it found is in @out (shape_report_release); -1 when the
 * engine failed. */
int pipeline_measure(struct pipeline *p, const struct shape_request *r, struct shape_report *out,
                     struct err *e);
/* Builds one program and nothing more; @out is then the caller's (build_release). */
int pipeline_build(struct pipeline *p, const struct build_request *r, struct build *out,
                   struct err *e);
/* Makes of a shape what engine_exact_reference() takes. ERR_INPUT when it cannot be used. */
int pipeline_prepare(struct pipeline *p, enum shape_format format, const void *bytes, size_t len,
                     struct buf *out, struct err *e);
/* Starts those programs and waits until they are ready. */
int pipeline_ready(struct pipeline *p, bool builder, bool scorer, struct err *e);
/* Both, as far as the pipeline needs them. */
int pipeline_warm(struct pipeline *p, struct err *e);
struct engine *pipeline_engine(struct pipeline *p);
/* Who else works with this engine: gets what is said of what is watched, and of shapes that are
 * none of the pipeline's (@ears: ctx, watched, measured). NULL: nobody. */
void pipeline_listen(struct pipeline *p, const struct engine_ops *ears);

#endif
