/*
 * import_inside.h - what the parts of an import share; src/import.h is what others see.
 */
#ifndef SRC_IMPORT_INSIDE_H
#define SRC_IMPORT_INSIDE_H

#include "engine/extract.h"
#include "src/base/sha256.h"
#include "src/import.h"
#include "src/jsonl.h"
#include "src/transcript.h"

enum { IMPORT_BATCH = 64, IMPORT_ORIGIN = SHA256_HEX + 40 };

/* One completion, program or part on its way in. */
struct import_item {
	char *file;
	int line;
	const struct task *task;
	struct buf text;
	enum extract_rule rule;
	bool step;
	struct jsonl_completion said; /* of a line: owns its prompt and words */
	struct scored scored;         /* what came of it, once it has */
	bool done;
	char origin[IMPORT_ORIGIN];
};

struct import {
	struct import_options o;
	struct scoring *scoring; /* NULL before it is needed */
	char profile_hash[SHA256_HEX];
	struct import_item item[IMPORT_BATCH];
	int n, stored;     /* of them: in the order in which they came */
	void *seen;        /* tsearch: what came in this import, and how often */
	struct err failed; /* in a callback */
	/* of a transcript */
	const char *file;
	struct scored *steps;
};

void import_tell(struct import *im, const struct imported_one *x);
void import_problem(struct import *im, const char *file, int line, const char *task,
                    const struct err *why);
int import_tick(struct import *im);
int import_start_scoring(struct import *im, struct err *e);
/* What it is known by: its content, and the how-manieth of its like this one is. */
int import_origin(struct import *im, const struct buf *content, char out[IMPORT_ORIGIN],
                  struct err *e);
/* What the episodes that are scored here are stored with, appended to @out. */
void import_settings(const struct import *im, struct buf *out);

/* An episode of a transcript: its steps scored and stored, or a problem told. For
 * transcript_new(); @ctx is the import. What fails of ours is in im->failed. */
int import_transcript_episode(void *ctx, const struct transcript_episode *ep);

#endif
