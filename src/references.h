/*
 * references.h - a task's reference, made ready for the exact profiles once and kept in a cache.
 *
 * A reference is a program (.py, built in the jail like any other), STEP, BREP, STL or GLB. What
 * the scorer makes of it (engine_prepare()) is kept under $XDG_CACHE_HOME/cadforge/references (else
 * ~/.cache), in a file named by the SHA-256 of the reference's bytes, its kind, and the versions of
 * all that had a part in it. A cached file that is damaged is made again; where nothing can be
 * written, nothing is kept.
 */
#ifndef REFERENCES_H
#define REFERENCES_H

#include "src/app.h"
#include "src/pipeline.h"

struct prepared {
	struct buf blob; /* for engine_exact_reference() */
	double nodes;    /* of the program's syntax tree; NAN when it is none */
	bool cached;     /* it was there already */
};
void prepared_release(struct prepared *r);

/* Waits for the programs that are needed. Errors name the file, what is wrong with it, and what to
 * do: ERR_INPUT for the file, else the engine's. */
int reference_prepare(struct prepared *out, struct pipeline *p, const struct app *a,
                      const char *path, struct err *e);

/* A reference's mesh as binary STL, for a picture; appended to @out. Built each time. */
int reference_mesh(struct buf *out, struct pipeline *p, const struct app *a, const char *path,
                   struct err *e);

/* What the checks of a request for the exact profiles give for plain forms of a box of these sizes:
 * a block or a round (elliptic) bar along Z, the better score of the two; a tube; an angle; a
 * channel; a beam of I section; a table on four legs; a post on a plate; a tray. Kept in the same
 * cache. */
struct blanks {
	double *score; /* n_forms rows of n_checks scores, in the checks' order */
	int n_forms;   /* 0 without checks */
	int n_checks;
};
void blanks_release(struct blanks *b);
/* 0, or -1. */
int reference_blanks(struct blanks *out, struct pipeline *p, const struct app *a,
                     const cJSON *request, const double bbox_mm[3], struct err *e);

#endif
