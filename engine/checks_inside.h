/*
 * checks_inside.h - what the kinds of checks share: engine/checks_*.c and nobody else.
 *
 *     checks_eval.c      all checks of a list; the box and the number of solids
 *     checks_words.c     figures, words, credit, places, mirror images
 *     checks_holes.c     holes: bores, circles and grids of them
 *     checks_sections.c  section, contacts, stands
 *     checks_lines.c     by lines through the part: symmetry, pieces, windows, volume, fill, slots
 *     checks_faces.c     faces, walls, joints
 */
#ifndef ENGINE_CHECKS_INSIDE_H
#define ENGINE_CHECKS_INSIDE_H

#include "engine/checks.h"
#include "engine/column.h"
#include "engine/probe.h"
#include "engine/section.h"
#include "engine/thickness.h"
#include "engine/windows.h"

#define TOUCH_MM   0.05   /* what is no further apart is joined (reward-exact.md, contact) */
#define ALONG_MIN  0.9962 /* cosine of 5 degrees */
#define LISTED_MAX 8

/* Lines along Z through a grid that is its own mirror image in X and Y. */
struct field {
	struct span *spans;
	int *first; /* of line i: first[i] .. first[i + 1] */
	size_t n, cap;
};

/* A hole with what belongs to it: the members of one root. */
struct bores {
	int *root; /* hole -> the first of its group */
	bool known;
};

struct eval {
	const struct probe *p;
	double len[3];
	struct probe_face *faces;
	int n_faces;
	bool faces_known;
	struct columns columns[3];
	bool columns_known[3];
	struct field field;
	bool field_known;
	struct probe_hole *holes;
	int n_holes;
	bool holes_known;
	struct bores bores[2]; /* by wall, by axis */
	double wall_mm;
	bool wall_known;
	struct spans a, b; /* scratch */
};

struct verdict {
	double score; /* 1: ok */
	cJSON *want, *got;
	struct buf why;
};

/* Fills a verdict: 0; 1 when the shape gives no answer, with the reason in why; -1 out of memory.
 */
typedef int check_fn(struct eval *v, const struct check *c, struct verdict *out, struct err *e);

check_fn check_holes, check_section, check_contacts, check_stands, check_mirror, check_rotational,
	check_pieces, check_windows, check_volume, check_fill, check_slots, check_faces, check_wall,
	check_joint, check_box, check_solids;

/* ---- checks_words.c ---- */

/* Rounded to what is more than the mesh's noise; null for what is not finite. Owned by the caller.
 */
cJSON *verdict_figure(double x);
cJSON *verdict_range(double min, double max);
cJSON *verdict_count(struct count_range c);
/* want and got of a kind that counts. */
void verdict_counted(struct verdict *out, const struct check *c, int got);
/* An answer that the shape did not give: 1 with the reason in why, or -1 when it was memory. */
int verdict_none(const struct err *own, struct verdict *out, struct err *e);
void say_number(struct buf *b, double x);
void say_range(struct buf *b, double min, double max, const char *unit);
void say_count(struct buf *b, struct count_range c);
const char *say_plural(bool one);
bool count_is_one(struct count_range c);
/* " within x 0 to 25 %, z 90 to 100 % of the box"; nothing for the whole box. @skip: an axis that
 * does not matter, or -1. */
void say_region(struct buf *b, const struct region *r, int skip);
void say_point(struct buf *b, const double at_mm[3], int axis);
/* 1: as wanted; less, the further from it (see checks_eval.c). */
double credit_count(int got, struct count_range want);
double credit_range(double got, struct range want);
double credit_length(double excess, double over);
/* The place of a fraction of the box, in mm. */
double eval_place(const struct eval *v, int axis, double fraction);
bool eval_in_region(const struct eval *v, const struct region *r, const double at_mm[3]);
/* The @i-th of @n places over a range. */
double range_step(struct range r, int i, int n);

/* Something that should have a mirror image. */
struct spot {
	double at_mm[3], size_mm; /* size NAN: any is the same */
};
/* Takes credit away for what has no mirror image among the others, and says which (@noun). */
void verdict_images(const struct eval *v, const struct check *c, const struct spot *s, int n,
                    const char *noun, struct verdict *out);

#endif
