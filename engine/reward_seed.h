/*
 * reward_seed.h - the published reward (profiles seed-fast, seed-full, strict): terms, total,
 * training scores, notes.
 *
 * Sections 3 to 6 of the published reward's description. Sums are taken in its order, in double.
 */
#ifndef ENGINE_REWARD_SEED_H
#define ENGINE_REWARD_SEED_H

#include "engine/failure.h"
#include "engine/figures.h"
#include "engine/seed_text.h"
#include "engine/task.h"

/* NAN: does not apply. */
struct reward {
	double total; /* -1 to 1 */
	double build, topology, contact, semantic_parts, reference_similarity, silhouette,
		editability, efficiency;
	double strict; /* the build gate over total, -1 to 1 */
	double cheap;  /* text alone, 0 to 1 */
	double shaped; /* total as the trainer takes it, failed builds lifted by cheap */
};

enum seed_outcome {
	SEED_BUILT,
	SEED_BUILD_FAILED,    /* total -1 */
	SEED_EVALUATOR_CRASH, /* no total: no triangles (a bare wire, NaN sizes), or out of time */
};

struct seed_input {
	enum seed_outcome outcome;
	bool full;                     /* seed-full; else seed-fast */
	const struct figures *figures; /* when built, measured in the same mode */
	const struct task *task;       /* NULL: none; the office-chair words and proportions */
	struct text_ref code;          /* as extracted (EXTRACT_FILE) */
	struct text_ref raw;           /* the file or completion it came from */
	struct text_ref stderr_text;   /* of a failed build: seed_stderr() */
};

/* What the terms were made of. */
struct seed_details {
	struct seed_text text;
	double hint_share;     /* C */
	double geometry_score; /* G; NAN when not built */
};

struct notes {
	char **text;
	int n;
};
void notes_release(struct notes *n);

/* 0, or -1 (ERR_MEM). @details and @notes may be NULL. */
int reward_seed(struct reward *out, struct seed_details *details, struct notes *notes,
                const struct seed_input *in, struct err *e);

/* The outcome that the published evaluator would have had: @figures says that triangles came out.
 * A program past its time is a crash there; one that takes its own process down is a failed build.
 */
enum seed_outcome seed_outcome_of(enum build_cause cause, bool figures);

#endif
