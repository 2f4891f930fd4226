/* clang-format off */
/*
 * checks.h - what an engineer would check on the drawing, as data: read from a task file, evaluated
 * on the solid.
 *
 * Reading (checks.c, in libengine) is pure and strict. Evaluating (checks_eval.c, in libscorer)
 * asks a struct probe. Design: reward-exact.md "Task checks"; the same for users: cadforge-tasks(5).
 *
 * Fields of every check: "id" ([a-z0-9_-], 1 to 63 bytes, once in a task), "kind", "weight" (above
 * 0, at most 100; 1), "about" (a phrase for people), "covers" (keys of the task's expect),
 * "tolerance" (share of a size, 0 to 1; 0.02), "tolerance_mm" (1): of a size the larger counts.
 *
 * A count is n or [min, max]; a range is [min, max]; null leaves an end open. An axis is "x", "y" or
 * "z". A region is {"from": [x, y, z], "to": [x, y, z]}, fractions of the part's own box. "at" and
 * "radius" are a number, or [from, to]: then several places in between are looked at, and the one
 * that suits the check best counts (design freedom).
 *
 * The kinds and their own fields, [] for those that may be left out:
 *
 *   bbox_mm    want: [x, y, z], null for an axis that is free
 *              [max: true: upper bounds]
 *              [min_fraction: with max, the least share of each bound that must be used; 0]
 *   solids     want: count
 *   holes      want: count; a bore with its counterbore is one
 *              [axis] [region: holds the middle] [through: true, false, null]
 *              [diameter_mm: number or range; of a slot its width]
 *              [slotted: true: slots with round ends alone; false: none of them; left out: those
 *              of at most four times their width are holes too]
 *              [min_turn_deg: how far the wall must go round; 324; 200 takes in a split clamp]
 *              [per: "wall": each wall drilled counts (default); "axis": all on one axis are one]
 *              [pattern: {"circle": {["diameter_mm"], ["equal": true: evenly spaced]}} or
 *              {"grid": [n, m]}; needs an axis]
 *              [mirror: a plane or an array of them: each must have its mirror image among them]
 *   section    axis; at: fraction, or at_mm from the low side of the box
 *              want: count of separate faces
 *              [area_mm2: range, of all together] [min_area_mm2: smaller faces do not count]
 *              [region: what lies outside is cut away; its extent along the axis does not matter]
 *   pieces     want: count of connected pieces left when what is outside of the region is cut away
 *              [region]. What is thinner than about a hundredth of the region may be missed; less
 *              than 0.5 % of the largest piece does not count
 *   windows    axis; want: count of openings, closed all round, that one sees through along it
 *              [min_area_mm2] [mirror] [region: holds the middle, in the picture]
 *   contacts   want: count of separate ground faces; [side: "-z"]
 *   rotational_symmetry  axis; order; [min_iou: 0.98]
 *   mirror_symmetry      plane: "xy", "xz", "yz", through the middle of the box; [min_iou: 0.98]
 *   faces      surface: plane, cylinder, cone, torus, sphere, freeform, curved (all but planes), or
 *              an array of them
 *              want: count; faces of one surface that share an edge are one
 *              [per: "face" (default); "surface": also when they do not, as in a split bore]
 *              [axis: of the round, or the plane's normal] [tilt_deg: range of the angle to it; 0
 *              to 5] [side: "in" concave, "out" convex] [turn_deg: range of the angle it goes round]
 *              [radius_mm: range; of a cone the largest, of a torus that of its tube]
 *              [region: holds the middle] [mirror]
 *   slots      axis; at: fraction; radius: fraction of the outer one; want: count of gaps
 *   wall_thickness_min_mm  want: mm (only "tolerance" counts)
 *   volume_fraction        want: range, of the box; [region: of that part of the box]
 *   stands     [margin: the centre of mass is so far inside of the support, as a share of what the
 *              middle of the support is; 0]
 *   clearance  region; [max_fill: 0.02]
 *   reach      region; [min_fill: 0.5]
 *   joint      clearance_mm, of the radii; want: count of pairs of solids that turn or slide on one
 *              another: a cylinder of one in a bore of the other
 *              [axis]
 */
/* clang-format on */
#ifndef ENGINE_CHECKS_H
#define ENGINE_CHECKS_H

#include <stdbool.h>

#include "src/base/json.h"

#define CHECKS_MAX 200

enum check_kind {
	CHECK_BBOX,
	CHECK_SOLIDS,
	CHECK_HOLES,
	CHECK_SECTION,
	CHECK_PIECES,
	CHECK_WINDOWS,
	CHECK_CONTACTS,
	CHECK_ROTATIONAL,
	CHECK_MIRROR,
	CHECK_FACES,
	CHECK_SLOTS,
	CHECK_WALL,
	CHECK_VOLUME,
	CHECK_STANDS,
	CHECK_CLEARANCE,
	CHECK_REACH,
	CHECK_JOINT,
	CHECK_KINDS /* how many there are */
};

enum surface_kind {
	SURFACE_PLANE,
	SURFACE_CYLINDER,
	SURFACE_CONE,
	SURFACE_TORUS,
	SURFACE_SPHERE,
	SURFACE_FREEFORM, /* all others: splines, revolved and swept curves, offsets */
	SURFACE_KINDS
};

/* As written in a task file: "bbox_mm", "plane". */
const char *check_kind_name(enum check_kind k);
const char *surface_kind_name(enum surface_kind k);

struct count_range {
	int min, max; /* INT_MAX: open */
};
struct range {
	double min, max; /* -INFINITY, INFINITY: open */
};
struct region {
	bool given; /* false: the whole box */
	double from[3], to[3];
};

enum side { SIDE_ANY, SIDE_IN, SIDE_OUT };
enum pattern_kind { PATTERN_NONE, PATTERN_CIRCLE, PATTERN_GRID };

/* A check as read. Fields that its kind does not have are at their defaults. */
struct check {
	const char *id, *about; /* of the json it was read from; about may be "" */
	const cJSON *covers;    /* an array, or NULL; of that json too */
	enum check_kind kind;
	double weight, tolerance, tolerance_mm;
	int axis;                 /* 0 x, 1 y, 2 z; -1 any. mirror_symmetry: the plane's normal;
	                             contacts: that of the side */
	struct count_range count; /* want of all kinds that count */
	struct range range;       /* want of volume_fraction; min of wall_thickness_min_mm */
	struct region region;
	double want_mm[3]; /* bbox_mm; NAN: free */
	bool max;          /* bbox_mm */
	double min_fraction;
	struct range diameter_mm; /* holes; a number stands here with its tolerance about it */
	double diameter_want_mm;  /* that number; NAN when a range or none was given */
	int through;              /* holes: 1 yes, 0 no, -1 either */
	bool per_axis;            /* holes */
	enum pattern_kind pattern;
	double circle_mm; /* diameter of the pattern's circle; NAN when it is left out */
	bool circle_equal;
	int grid[2];
	bool at_is_mm;   /* section */
	struct range at; /* section, slots; min = max for a number */
	struct range radius;
	struct range area_mm2, radius_mm, turn_deg;
	double min_area_mm2; /* section, windows; NAN: by the size of the part */
	bool high_side;      /* contacts: at the upper end of the axis */
	int order;           /* rotational_symmetry */
	double min_iou, min_fill, max_fill, margin, clearance_mm;
	unsigned surfaces; /* faces: bit 1 << enum surface_kind */
	bool per_surface;
	enum side side;
	unsigned mirrors;      /* holes, windows, faces: bit 1 << normal of the plane */
	struct range tilt_deg; /* faces */
	int slotted;           /* holes: 1 slots alone, 0 none, -1 either */
	double min_turn_deg;   /* holes */
};

struct check_list {
	struct check *checks;
	int n;
};

/* Reads one element of a task's "checks". 0, or -1 (ERR_INPUT): the check's id or number, the
 * field, what was wanted, what is there. @index is its place from 0, for checks without an id. */
int check_parse(struct check *out, const cJSON *o, int index, struct err *e);

/* Reads the array (NULL is none). @out borrows texts of @array, which must outlive it. Errors begin
 * with @where. 0, or -1 (ERR_INPUT, ERR_MEM) with @out empty. */
int checks_parse(struct check_list *out, const cJSON *array, const char *where, struct err *e);
void checks_release(struct check_list *l);

struct probe;

/* Evaluates them in order: an array of {"id", "kind", "about", "want", "got", "ok", "weight",
 * "score", "why", "covers"}. want and got: a number, an array of numbers or a string. ok: null when
 * the shape gave no answer; its score is 0 then, and why says what stood in the way. score: 0 to 1,
 * 1 when ok is true. why: one sentence to act on. Lengths in mm, places in the placement that the
 * probe was opened with. Equal for equal shapes. NULL with @e only when out of memory. */
cJSON *checks_evaluate(const struct check_list *l, const struct probe *p, struct err *e);

/* The weighted mean of their scores; NAN when there is none. */
double checks_share(const cJSON *results);

#endif
