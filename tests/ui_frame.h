/*
 * ui_frame.h - views as literals: the frame, Tasks and Compare, and all screens at once.
 */
#ifndef TESTS_UI_FRAME_H
#define TESTS_UI_FRAME_H

#include "tests/ui_views.h"

static const struct view_task sample_task_rows[] = {
	{ 1, "table_six_leg_500n", "cadforge24", "easy", "furniture", NULL, MARK_BUILT, 0.812, 4,
	  false },
	{ 2, "four_leg_chair_700n", "cadforge24", "easy", "furniture", "syntax closure",
	  MARK_FAILED, -1, 6, false },
	{ 3, "wall_j_hook_120n", "cadforge24", "easy", "bracket", NULL, MARK_BUILT, 0.744, 3,
	  true },
	{ 4, "caster_wheel_fork", "cadforge24", "medium", "mobility", "weak geometry", MARK_BUILT,
	  0.785, 2, false },
	{ 5, "shaft_torque_clamp_120nm", "cadforge24", "medium", "clamp", "disconnected", MARK_WEAK,
	  0.412, 5, true },
	{ 6, "axial_motor_stator_12_slot", "cadforge24", "medium", "motor", "weak geometry",
	  MARK_BUILT, 0.708, 2, false },
	{ 7, "lightweight_truss_support", "cadforge24", "hard", "structure", NULL, MARK_NEVER, NAN,
	  0, false },
	{ 8, "phone_stand_adjustable", "cadforge24", "medium", "consumer", "invented API",
	  MARK_FAILED, -1, 3, true },
	{ 9, "robot_servo_bracket", "cadforge24", "medium", "robotics", NULL, MARK_NEVER, NAN, 0,
	  false },
	{ 10, "ergonomic_curvy_chair_1000n", "cadforge24", "hard", "furniture", NULL, MARK_NEVER,
	  NAN, 0, false },
	{ 11, "folding_step_stool", "cadforge24", "hard", "furniture", NULL, MARK_RUNNING, NAN, 1,
	  false },
};
static const char sample_task_prompt[] =
	"Design a caster wheel fork: a top mounting plate with four bolt holes, two fork arms, an axle "
	"bore through both arms, and a wheel between them that clears the arms by at least 2 mm. The "
	"parts touch; nothing floats.\n";
static const struct view_check sample_task_checks[] = {
	{ "bbox", -1, "120 x 60 x 140 mm within 2", NULL, NULL, 1, NAN },
	{ "solids", -1, "1 or 2", NULL, NULL, 1, NAN },
	{ "holes", -1, "4 through-holes D 6.6 +- 0.3 along Z", NULL, NULL, 1, NAN },
	{ "holes", -1, "1 through-hole D 8.0 along X", NULL, NULL, 1, NAN },
	{ "clearance", -1, "2.0 mm around the wheel", NULL, NULL, 1, NAN },
	{ "stands", -1, "on its plate", NULL, NULL, 1, NAN },
	{ "symmetry", -1, "about YZ", NULL, NULL, 1, NAN },
};

static inline void sample_tasks(struct view *v, const uint8_t *rgb)
{
	v->status = "11 tasks, 6 built at least once, 3 marked";
	v->status_right = "sorted: level";
	v->tasks = (struct view_tasks){
		.rows = sample_task_rows,
		.n_rows = sizeof(sample_task_rows) / sizeof(*sample_task_rows),
		.runs_total = 26,
		.built_once = 6,
		.order = "level",
		.prompt = sample_text(sample_task_prompt, TEXT_PLAIN, 4),
		.size = "120 x 60 x 140 mm",
		.checks_line = "checks 7: bbox, solids, holes x2, clearance, stands, symmetry",
		.reference = "y",
		.drawing = { .rgb = rgb,
		             .w = SAMPLE_W,
		             .h = SAMPLE_H,
		             .id = 9,
		             .caption = "reference, iso",
		             .which = "iso" },
		.checks = sample_task_checks,
		.n_checks = 7
	};
}

static const char *const sample_columns[] = { "2b base", "2b+sft", "2b+grpo" };
static struct view_cell sample_cells[4][3] = {
	{ { MARK_FAILED, -1, -1, 4, 0, false },
	  { MARK_BUILT, 0.612, 0.7, 4, 4, false },
	  { MARK_BUILT, 0.708, 0.8, 4, 4, true } },
	{ { MARK_FAILED, -1, -1, 4, 0, false },
	  { MARK_BUILT, 0.785, 0.8, 4, 4, true },
	  { MARK_BUILT, 0.738, 0.8, 4, 4, false } },
	{ { MARK_WEAK, 0.402, 0.5, 4, 2, false },
	  { MARK_BUILT, 0.744, 0.8, 4, 4, false },
	  { MARK_BUILT, 0.751, 0.8, 4, 4, true } },
	{ { MARK_NEVER, NAN, NAN, 0, 0, false },
	  { MARK_FAILED, -1, -1, 4, 0, false },
	  { MARK_WEAK, 0.588, 0.6, 4, 3, true } },
};
static const struct view_compare_row sample_compare_rows[] = {
	{ 11, "axial_motor_stator_12_slot", sample_cells[0], 1.708 },
	{ 12, "caster_wheel_fork", sample_cells[1], 1.785 },
	{ 13, "wall_j_hook_120n", sample_cells[2], 0.349 },
	{ 14, "phone_stand_adjustable", sample_cells[3], 1.588 },
};
static const struct view_cell sample_means[3] = {
	{ MARK_NONE, -0.533, NAN, 12, 2, false },
	{ MARK_NONE, 0.285, NAN, 16, 12, false },
	{ MARK_NONE, 0.696, NAN, 16, 15, false },
};
static const double sample_rates[3][3] = { { 0.17, 0.05, 0.45 },
	                                   { 0.75, 0.51, 0.90 },
	                                   { 0.94, 0.72, 0.99 } };
static const char *const sample_mixes[3] = { "syntax 6, undefined 3, invented API 1", "syntax 4",
	                                     "weak 1" };

static inline void sample_compare(struct view *v, const uint8_t *rgb, const uint8_t *other)
{
	struct view_score right = sample_score();

	right.total = 0.738;
	right.terms[1].value = 0.90;
	right.terms[3].value = 0.52;
	v->status = "4 tasks x 3 models x 4 samples   profile exact   seed 7";
	v->compare = (struct view_compare){ .columns = sample_columns,
		                            .n_columns = 3,
		                            .column = 1,
		                            .rows = sample_compare_rows,
		                            .n_rows = 4,
		                            .means = sample_means,
		                            .rate = sample_rates,
		                            .failures = sample_mixes,
		                            .left = sample_score(),
		                            .right = right,
		                            .left_name = "2b+sft",
		                            .right_name = "2b+grpo",
		                            .left_image = { .rgb = rgb,
		                                            .w = SAMPLE_W,
		                                            .h = SAMPLE_H,
		                                            .id = 11,
		                                            .which = "iso" },
		                            .right_image = { .rgb = other,
		                                             .w = SAMPLE_W,
		                                             .h = SAMPLE_H,
		                                             .id = 12,
		                                             .which = "iso" } };
}

static const struct view_worker sample_worker_rows[] = {
	{ .id = 21,
	  .name = "anvil-4121-9c0e",
	  .host = "anvil",
	  .versions = "cadforge 0.9, cadquery 2.5.2, OCCT 7.8.1, python 3.11",
	  .state = WORKER_BUSY,
	  .pid = 4121,
	  .at_once = 4,
	  .under_way = 4,
	  .jobs = 1240,
	  .built = 1102,
	  .taken_over = 2,
	  .per_s = 7.91,
	  .cpu_s = 812.4,
	  .since_s = 412,
	  .seen_s = 0.4,
	  .wait = { 0.012, 0.31 },
	  .build = { 0.181, 0.92 },
	  .score = { 0.044, 0.21 },
	  .work = { 0.243, 1.31 } },
	{ .id = 22,
	  .name = "bellows-77-01af",
	  .host = "bellows",
	  .model = "qwen3.5-2b",
	  .versions = "cadforge 0.9, cadquery 2.5.2, OCCT 7.8.1, python 3.11",
	  .state = WORKER_FROZEN,
	  .pid = 77,
	  .at_once = 2,
	  .under_way = 2,
	  .jobs = 96,
	  .built = 80,
	  .failed = 3,
	  .poison = 1,
	  .per_s = 0.8,
	  .cpu_s = 52.1,
	  .since_s = 8000,
	  .seen_s = 23,
	  .wait = { 0.0093, 0.02 },
	  .build = { 0.22, 1.1 },
	  .score = { 0.06, 0.3 },
	  .work = { 0.31, 128 } },
	{ .id = 23,
	  .name = "a-host-of-a-long-name.workshop.example-9312-77aa",
	  .host = "a-host-of-a-long-name.workshop.example",
	  .versions = "cadforge 0.9, cadquery 2.5.2, OCCT 7.8.1, python 3.11",
	  .state = WORKER_GONE,
	  .pid = 9312,
	  .at_once = 8,
	  .jobs = 3204881,
	  .built = 3000112,
	  .per_s = 0,
	  .cpu_s = 901233,
	  .since_s = 80000,
	  .seen_s = 7300,
	  .wait = { 0.012, 0.31 },
	  .build = { 0.2, 1 },
	  .score = { 0.05, 0.2 },
	  .work = { 0.26, 1.3 } },
	{ .id = 24,
	  .name = "new-12-0000",
	  .host = "new",
	  .state = WORKER_LIVE,
	  .pid = 12,
	  .at_once = 1,
	  .per_s = NAN,
	  .cpu_s = NAN,
	  .since_s = 0.2,
	  .seen_s = 0,
	  .wait = { NAN, NAN },
	  .build = { NAN, NAN },
	  .score = { NAN, NAN },
	  .work = { NAN, NAN } },
};

static inline void sample_workers(struct view *v)
{
	v->workers = (struct view_workers){ .queue = "redis://forge.example:6379",
		                            .rows = sample_worker_rows,
		                            .n_rows = 4,
		                            .live = 2,
		                            .waiting = 31,
		                            .under_way = 6,
		                            .oldest_s = 4.2,
		                            .age_s = 0.3 };
}

/* The frame and every screen. @rgb, @other: SAMPLE_W x SAMPLE_H x 3 bytes, filled here; NULL: no
 * pictures. */
static inline struct view sample_all(uint8_t *rgb, uint8_t *other)
{
	struct view v = { 0 }, one;

	if (rgb)
		sample_picture(rgb, 0);
	if (other)
		sample_picture(other, 1);
	/* each makes the whole view its own */
	sample_live(&one, rgb);
	v.live = one.live;
	sample_replay(&one, rgb, other);
	v.replay = one.replay;
	sample_curriculum(&one);
	v.curriculum = one.curriculum;
	sample_compare(&v, rgb, other);
	sample_workers(&v);
	sample_tasks(&v, rgb);
	v.model = "2b+sft";
	v.device = "cuda";
	v.model_long = "qwen3.5-2b + adapter sft-0412 (r16)";
	v.device_long = "cuda:0   engine 2/2 idle";
	v.screen_asked = 0; /* the test says which screen */
	v.running = false;
	if (!rgb) {
		v.tasks.drawing = (struct view_image){ .why = "This task has no drawing." };
		v.live.image = v.replay.image = v.replay.other_image = v.compare.left_image =
			v.compare.right_image = (struct view_image){ .why = "No picture yet." };
	}
	return v;
}

#endif
