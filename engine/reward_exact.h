/*
 * reward_exact.h - the exact reward: terms, total, notes and the difference to a parent turn, from
 * figures that others measured. Pure: no files, no processes, no clock.
 *
 * Eight terms in [0, 1]; NAN is a term that does not apply, and its weight is shared out over the
 * others in proportion. With m = semantic_parts (1 when it does not apply) and the weights w of the
 * profile (they sum to 1):
 *     dense = sum over the terms t of w[t] * (m if t is gated, else 1) * t
 *     built: total = floor + scale * dense              (0.15 + 0.85 * dense)
 *     not built: total by what happened, below 0        (exact_failed_total)
 * So a tidy solid that is nothing of what was asked for gets little for being tidy.
 *
 * Weights and constants are data: a profile file (JSON, "cadforge-profile-1"; tasks/profiles/).
 */
#ifndef ENGINE_REWARD_EXACT_H
#define ENGINE_REWARD_EXACT_H

#include "engine/engine.h"
#include "engine/reward_seed.h"

enum reward_term {
	TERM_BUILD,
	TERM_TOPOLOGY,
	TERM_CONTACT,
	TERM_SEMANTIC_PARTS,
	TERM_REFERENCE_SIMILARITY,
	TERM_SILHOUETTE,
	TERM_EDITABILITY,
	TERM_EFFICIENCY,
	TERM_COUNT
};
/* The key in JSON: "semantic_parts"; and words for people: "semantic parts". */
const char *reward_term_name(enum reward_term t);
const char *reward_term_label(enum reward_term t);
/* The terms of a reward in the order above, and back. */
void reward_terms(const struct reward *r, double out[TERM_COUNT]);

/* A total that grows from @base by @span with the share of the program that was got through. */
struct exact_failure_total {
	double base, span;
};

struct exact_profile {
	char name[64];
	char about[240];
	double weight[TERM_COUNT]; /* >= 0, sum 1 */
	bool gated[TERM_COUNT];
	double floor, scale;                                        /* of a built program's total */
	struct exact_failure_total syntax, unknown_name, exception; /* span: times a share */
	double stopped;                                             /* refused, or a limit hit */
	double no_final_object; /* ran, and left none, or something that is no shape */
	double no_solid;        /* left a shape without a solid */
	int rebuilds;           /* N: named dimensions that are changed, 0..64 */
	double change;          /* by this share: 0.10 */
	double rebuilds_weight, named_weight, functions_weight; /* of editability, sum 1 */
	double functions;     /* so many helper functions are enough: 3 */
	double slack;         /* of efficiency: 1.5 times the reference's counts are free */
	double together;      /* of the checks: how much each hangs on all of them, 1.5 */
	double touch_mm;      /* solids nearer than this are joined */
	double iou_weight;    /* of reference_similarity; the chamfer has the rest */
	double chamfer_scale; /* of the diagonal: where exp() has fallen to 1/e */
};

/* From JSON text; @name is what errors call it. Strict: every key must be there and no other, each
 * in its range; errors name the key, what was expected and what is there. 0, or -1 (ERR_INPUT). */
int exact_profile_parse(struct exact_profile *out, const char *text, size_t len, const char *name,
                        struct err *e);
/* What the scorer needs of it, for its request: {touch_mm, iou_weight, chamfer_scale}. */
cJSON *exact_profile_constants(const struct exact_profile *p);

struct exact_reward {
	double total;
	double gate; /* m */
	double term[TERM_COUNT];
	double weight[TERM_COUNT]; /* after sharing out; NAN for a term that does not apply */
	double adds[TERM_COUNT];   /* to the total, beside the floor; NAN likewise */
};

/* Of a program that built. */
void exact_built(struct exact_reward *out, const struct exact_profile *p,
                 const double term[TERM_COUNT]);

/* Of one that did not. */
struct exact_failure {
	enum build_cause cause;
	int line, lines;                     /* of the program, from 1; 0: not known */
	int statements_done, statements_all; /* top level */
};
/* NAN for CAUSE_OK and for CAUSE_BUILDER_LOST, which is no verdict on the program. */
double exact_failed_total(const struct exact_profile *p, const struct exact_failure *f);
/* All terms null, the total as above. */
void exact_failed(struct exact_reward *out, const struct exact_profile *p,
                  const struct exact_failure *f);

/*
 * What a plain form of the task's box passes is stock, and no merit by itself: it counts as far as
 * the rest is met. With s a check's score on the part, b its score on a blank, and w its weight:
 *     F = sum w max(0, s - b) / sum w (1 - b)          (1 when the blank passes everything)
 *     credited score = max(0, s - b (1 - F))
 * so a blank has nothing, and a part that meets all checks has all of them whole. There are several
 * blanks (a block, a tube, an angle, ...); of them the one that leaves the least counts.
 *
 * And the checks are of one part: half of what a drawing asks for is not half a part, and drilled
 * stock that happens to pass many of them is none. With C the weighted mean of the credited scores,
 * each counts C^together of itself, so that semantic_parts is C^(1 + together).
 */

/* Rewrites "score" of each of @checks (a scorer's array) to the credited one and keeps the other as
 * "raw"; a second time changes nothing. @blanks: @n_blanks rows of b of each check, in the same
 * order; none, or another @n, is as if a blank passed nothing. @together is the profile's. Returns
 * the weighted mean of the scores written, NAN when there is none. */
double exact_credit(cJSON *checks, const double *blanks, int n_blanks, int n, double together);

/* What a program's text makes of changes. */
struct exact_edits {
	bool parsed;               /* facts are there */
	int rebuilds, rebuilds_ok; /* tried, of them valid and changed */
	int named_used, numbers;   /* numbers under a name that reaches the shape; numbers in all */
	int functions;             /* helper functions that the shape is made by */
};
/* Reads the counts from the facts of the builder (engine/wire.h); rebuilds stay as they are. */
void exact_edits_from_facts(struct exact_edits *out, const cJSON *facts);
/* @wanted: rebuilds asked for; 0 leaves them out and shares their weight out. NAN without facts. */
double exact_editability(const struct exact_profile *p, const struct exact_edits *x, int wanted);
/* A count of 0 or less is not known and drops its half; NAN when both do. */
double exact_efficiency(const struct exact_profile *p, double faces, double reference_faces,
                        double nodes, double reference_nodes);

/* Of geometry objects as score --json has them: one or more solids, closed and valid; and whether
 * anything that is measured differs by more than one part in a million. */
bool exact_shape_sound(const cJSON *geometry);
bool exact_shape_changed(const cJSON *before, const cJSON *after);

/* ---- rebuilds ---- */

/* The program with one named dimension's number changed by @share, its text span replaced.
 * @dimension: one of the facts' "dimensions" with "from" and "to", byte offsets into @program.
 * @whole: the new number is the next whole one instead (counts). 0; 1 when it cannot be changed (a
 * zero, a span that is no number of that value); -1 (ERR_MEM). */
int exact_edit(struct buf *out, const char *program, size_t len, const cJSON *dimension,
               double share, bool whole, struct err *e);

/* ---- words ---- */

/* Advice for the next turn: what failed to build, or the checks that fell short with what was
 * wanted and found, the heaviest first, then what the terms say. @exact: the scorer's report, NULL
 * when there is none. 0, or -1 (ERR_MEM). */
struct exact_advice {
	const struct build *build;
	const struct exact_reward *reward;
	const cJSON *exact, *facts, *rebuilds;
	const struct exact_edits *edits;
	double nodes, reference_nodes;
};
int exact_notes(struct notes *out, const struct exact_advice *a, struct err *e);

/* {total, build, ..., efficiency, checks: [{id, from, to}]}: this score less its parent's, null
 * where one of the two is; checks: those whose own score ("raw") changed. Both are objects of score
 * --json. */
cJSON *exact_delta(const cJSON *parent, const cJSON *score);

#endif
