/*
 * ui_views.h - views as literals: what the screens are drawn from in tests.
 *
 * The figures are those of the mock-ups; rewards are illustrations, sums need not be right.
 */
#ifndef TESTS_UI_VIEWS_H
#define TESTS_UI_VIEWS_H

#include <stdlib.h>
#include <string.h>

#include "ui/view.h"

enum { SAMPLE_W = 200, SAMPLE_H = 160 };

/* A plate on a post, seen from above: three grays, dark edges, white ground. */
static inline void sample_picture(uint8_t *rgb, int turned)
{
	for (int y = 0; y < SAMPLE_H; y++)
		for (int x = 0; x < SAMPLE_W; x++) {
			uint8_t *p = rgb + 3 * (y * SAMPLE_W + x);
			/* the plate's top: a rhombus; its front sides below; the post */
			int dx = (turned ? SAMPLE_W - 1 - x : x) - 100, dy = y - 50;
			int top = abs(dx) + 2 * abs(dy), side = abs(dx) + 2 * abs(dy - 14);
			int post = abs(dx) < 26 && y > 70 && y < 140 - abs(dx) / 2;
			int hole = dx * dx + 4 * dy * dy < 300;
			int v = 255;

			if (post)
				v = dx < 0 ? 150 : 110;
			if (side < 90 && y > 50)
				v = dx < 0 ? 170 : 120;
			if (top < 90)
				v = 215;
			if (hole)
				v = 90;
			if ((top >= 87 && top < 90) || (side >= 87 && side < 90 && y > 64) ||
			    (post && side >= 90 && (abs(dx) > 23 || abs(dx) < 2)) ||
			    (abs(dx) < 2 && y > 94 && side < 90))
				v = 30;
			p[0] = (uint8_t)v;
			p[1] = (uint8_t)v;
			p[2] = (uint8_t)(v == 255 ? 255 : v * 15 / 16);
		}
}

static const char sample_code[] =
	"import cadquery as cq\n"
	"\n"
	"# Dimensions, mm\n"
	"PLATE   = 60.0\n"
	"THICK   = 6.0\n"
	"ARM_H   = 70.0\n"
	"ARM_W   = 24.0\n"
	"AXLE_D  = 8.0\n"
	"WHEEL_D = 50.0\n"
	"WHEEL_W = 20.0\n"
	"GAP     = 2.0\n"
	"\n"
	"\n"
	"def plate():\n"
	"    p = cq.Workplane(\"XY\").box(PLATE, PLATE, THICK)\n"
	"    return p.faces(\">Z\").workplane().rect(44, 44, forConstruction=True)\\\n"
	"            .vertices().hole(6.6)\n"
	"\n"
	"\n"
	"def arm(side):\n"
	"    x = side * (WHEEL_W / 2 + GAP + THICK / 2)\n"
	"    a = cq.Workplane(\"XY\").box(THICK, ARM_W, ARM_H)\n"
	"    a = a.translate((x, 0, -(ARM_H + THICK) / 2))\n"
	"    return a.faces(\">X\").workplane().center(0, -ARM_H / 2 + 12.0).hole(AXLE_D)\n"
	"\n"
	"\n"
	"def wheel():\n"
	"    w = cq.Workplane(\"YZ\").circle(WHEEL_D / 2).circle(AXLE_D / 2 + 0.1)\n"
	"    w = w.extrude(WHEEL_W / 2, both=True)\n"
	"    return w.translate((0, 0, -ARM_H + 9))\n"
	"\n";

static const char sample_log[] =
	"build   cadquery 2.5   program.py   fixture: Workplane   2 solids   0.4 s\n"
	"shape   valid, closed, 38 faces; mesh 0.1 mm: 4,318 triangles, no boundary edge\n"
	"check   holes: expected 4 through-holes D 6.6 +- 0.3 along Z, found 0\n"
	"check   mirror: plane YZ, IoU with its mirror image 0.93, wanted 0.98 or more\n"
	"reward  0.785 exact, best of this task so far\n"
	"saved   turn 1: program.py, build.log, shape.brep, iso.png, score.json\n";

static const char sample_error[] = "Traceback (most recent call last):\n"
				   "  File \"program.py\", line 17, in <module>\n"
				   "    .vertices().hoel(6.6)\n"
				   "AttributeError: 'Workplane' object has no attribute 'hoel'\n";

static const char sample_thinking[] =
	"The fork needs a plate, two arms and an axle. The wheel must clear the arms by 2 mm, so the "
	"arms stand at WHEEL_W / 2 + GAP from the middle.\n"
	"The four holes: a 44 x 44 pattern leaves 8 mm to the plate's edge.\n";

static const char sample_prompt[] =
	"Your last file did not build:\n"
	"  SyntaxError: '(' was never closed (program.py, line 41)\n"
	"The answer was clipped before the end.\n"
	"\n"
	"Keep the structure you have. Close the final union. End with an assignment to fixture. Write "
	"fewer helper parts before you write more detail.\n";

static const struct view_check sample_checks[] = {
	{ "bbox", 1, "120 x 60 x 140", "120.0 x 60.0 x 138.4", NULL, 1, 1 },
	{ "solids", 1, "2", "2 wanted, 2", NULL, 1, 1 },
	{ "holes", 0, "4 x D6.6 along Z", "found 0",
	  "expected 4 through-holes D 6.6 +- 0.3 along Z, found 0", 1, 0 },
	{ "axle", 1, "1 x D8.0 along X", "1 x D8.0 through both arms", NULL, 1, 1 },
	{ "clearance", 1, "2 mm", "wheel 2.0 mm", NULL, 1, 1 },
	{ "stands", 1, "yes", "yes", NULL, 1, 1 },
	{ "mirror", 0, "YZ, IoU 0.98", "0.93", "plane YZ, IoU with its mirror image 0.93", 1, 0.5 },
};

static const struct view_fact sample_facts[] = {
	{ "GEOMETRY", NULL },
	{ "volume", "142.6 cm3" },
	{ "faces edges", "38  92" },
	{ "valid closed", "yes  yes" },
	{ "gap", "0.0 mm" },
	{ "CODE", NULL },
	{ "named dims", "9 of 9 live" },
};

static const char *const sample_notes[] = { "4 holes; mirror about YZ" };

static inline struct view_score sample_score(void)
{
	return (struct view_score){
		.total = 0.785,
		.delta = 0.075,
		.delta_is_best = true,
		.profile = "exact",
		.terms = { { "build", 1.0, 0.18, 0.180, false },
		           { "topology", 0.92, 0.17, 0.156, false },
		           { "contact", 1.0, 0.10, 0.100, false },
		           { "semantic", 0.61, 0.15, 0.091, false },
		           { "reference", 0.5, 0.15, 0.075, false },
		           { "silhouette", 0.5, 0.10, 0.050, false },
		           { "editable", 0.825, 0.10, 0.083, false },
		           { "efficient", 1.0, 0.05, 0.050, false } },
		.n_terms = 8,
		.checks = sample_checks,
		.n_checks = 7,
		.checks_ok = 5,
		.failure = "weak geometry",
		.mastery = 0.58,
		.class_weight = 0.18,
		.notes = sample_notes,
		.n_notes = 1,
		.facts = sample_facts,
		.n_facts = 7,
		.turn = 1,
	};
}

static inline struct view_text sample_text(const char *text, enum text_kind kind, uint64_t id)
{
	return (struct view_text){
		.text = text, .len = strlen(text), .id = id, .version = 1, .kind = kind
	};
}

static const struct view_turn sample_live_turns[] = {
	{ .number = 1,
	  .mark = MARK_BUILT,
	  .reward = 0.785,
	  .delta = NAN,
	  .tokens = 1204,
	  .build_s = 0.4,
	  .failure = "weak geometry",
	  .grade = -1,
	  .is_best = true },
	{ .number = 2,
	  .parent = 1,
	  .mark = MARK_RUNNING,
	  .reward = NAN,
	  .delta = NAN,
	  .tokens = 812,
	  .build_s = NAN,
	  .grade = -1 },
};

/* Turn 2 streams while turn 1's score stands beside it. */
static inline void sample_live(struct view *v, const uint8_t *rgb)
{
	struct view_live *l = &v->live;

	memset(v, 0, sizeof *v);
	v->model = "2b+sft";
	v->device = "cuda";
	v->model_long = "qwen3.5-2b + adapter sft-0412 (r16)";
	v->device_long = "cuda:0   engine 2/2 idle";
	v->running = true;
	v->screen = SCREEN_LIVE;
	v->screen_asked = 1;
	l->task = "caster_wheel_fork";
	l->level = "medium";
	l->episode = 31;
	l->turn = 2;
	l->turns_max = 4;
	l->code_turn = 2;
	l->log_turn = 1;
	l->phase = LIVE_GENERATE;
	l->code = sample_text(sample_code, TEXT_PYTHON, 2);
	l->code.streaming = true;
	l->log = sample_text(sample_log, TEXT_LOG, 11);
	l->log_fact = "ok   build 0.4 s";
	l->score = sample_score();
	l->image = (struct view_image){ .rgb = rgb,
		                        .w = SAMPLE_W,
		                        .h = SAMPLE_H,
		                        .id = 1,
		                        .caption = "120.0 x 60.0 x 138.4 mm",
		                        .which = "iso" };
	l->image_of = "turn 1";
	l->turns = sample_live_turns;
	l->n_turns = 2;
	l->tokens = 812;
	l->tokens_max = 4096;
	l->tokens_per_s = 74;
	l->first_token_s = 0.31;
	l->elapsed_s = 11;
	l->next = "build (limit 60 s)";
	l->session[0] = "session 7 on 2026-11-22";
	l->session[1] = "31 episodes  88 turns  41 built";
}

static inline void sample_live_built(struct view *v, const uint8_t *rgb)
{
	sample_live(v, rgb);
	v->running = false;
	v->live.phase = LIVE_WAIT;
	v->live.turn = 2;
	v->live.turns_max = 4;
	v->live.code.streaming = false;
	v->live.score.turn = 2;
	v->live.log_turn = 2;
	v->live.failed_last = true;
	v->live.next = "repair turn 3 (weak geometry)";
}

static inline void sample_live_failed(struct view *v, const uint8_t *rgb)
{
	struct view_live *l = &v->live;

	sample_live_built(v, rgb);
	l->log = sample_text(sample_error, TEXT_LOG, 12);
	l->log_fact = "failed   0.2 s";
	l->code.error_line = 17;
	l->code.error = "AttributeError: 'Workplane' object has no attribute 'hoel'";
	l->score = (struct view_score){ .total = -0.4,
		                        .delta = -1.185,
		                        .profile = "exact",
		                        .terms = { { "build", 0, 0.18, NAN, false },
		                                   { "topology", NAN, 0.17, NAN, false },
		                                   { "contact", NAN, 0.10, NAN, false },
		                                   { "semantic", NAN, 0.15, NAN, false },
		                                   { "reference", NAN, 0.15, NAN, false },
		                                   { "silhouette", NAN, 0.10, NAN, false },
		                                   { "editable", NAN, 0.10, NAN, false },
		                                   { "efficient", NAN, 0.05, NAN, false } },
		                        .n_terms = 8,
		                        .failure = "invented API",
		                        .mastery = NAN,
		                        .class_weight = NAN,
		                        .turn = 2 };
	l->image =
		(struct view_image){ .which = "iso",
		                     .why = "turn 2 did not build: there is nothing to be seen" };
	l->next = "repair turn 3 (invented API)";
}

/* Tokens of a text, one a word with the blanks before it; figures made from their place. */
static inline int sample_tokens(const char *text, struct view_token *out, int max)
{
	int n = 0;

	for (size_t i = 0; text[i] && n < max;) {
		size_t from = i;
		int k = n % 7;

		while (text[i] == ' ')
			i++;
		if (text[i] == '\n')
			i++;
		else
			while (text[i] && !strchr(" \n.(),=", text[i]))
				i++;
		if (i == from)
			i++;
		out[n] = (struct view_token){
			.start = (uint32_t)from,
			.p = k == 6   ? 0.12f
			     : k == 5 ? 0.45f
			     : k == 4 ? 0.72f
			              : 0.98f,
			.entropy = k == 6 ? 1.9f : 0.3f,
			.id = 100 + n,
			.n_top = 3,
			.top = { { k == 6 ? 900 : 100 + n, k == 6 ? 0.4f : 0.9f,
			           k == 6 ? "Sketch" : "taken" },
			         { k == 6 ? 100 + n : 901, 0.12f, k == 6 ? "taken" : " Workplane" },
			         { 902, 0.05f, "\n" } }
		};
		n++;
	}
	return n;
}

/* ---- Replay ---- */

static const struct view_turn sample_turns[] = {
	{ .number = 1,
	  .mark = MARK_FAILED,
	  .reward = -1.0,
	  .delta = NAN,
	  .tokens = 4096,
	  .build_s = NAN,
	  .failure = "syntax closure",
	  .note = "clipped at 4096",
	  .grade = -1 },
	{ .number = 2,
	  .parent = 1,
	  .mark = MARK_BUILT,
	  .reward = 0.785,
	  .delta = 1.785,
	  .tokens = 1204,
	  .build_s = 0.4,
	  .failure = "weak geometry",
	  .grade = -1 },
	{ .number = 3,
	  .parent = 2,
	  .depth = 1,
	  .mark = MARK_WEAK,
	  .reward = 0.531,
	  .delta = -0.254,
	  .tokens = 988,
	  .build_s = 0.4,
	  .failure = "weak geometry",
	  .grade = 2 },
	{ .number = 4,
	  .parent = 2,
	  .mark = MARK_BUILT,
	  .reward = 0.802,
	  .delta = 0.017,
	  .tokens = 926,
	  .build_s = 0.4,
	  .grade = 4,
	  .is_best = true },
};

static const struct view_diff_line sample_diff[] = {
	{ "import cadquery as cq", "import cadquery as cq", 1, 1, ' ' },
	{ "", "", 2, 2, ' ' },
	{ "PLATE = 60.0", "PLATE = 60.0", 3, 3, ' ' },
	{ "THICK = 6.0", "THICK = 6.0", 4, 4, ' ' },
	{ "", "", 5, 5, ' ' },
	{ "def arm(side):", "def arm(side):", 6, 6, ' ' },
	{ "    x = side * (WHEEL_W / 2 + GAP)", "    x = side * (WHEEL_W / 2 + GAP)", 7, 7, ' ' },
	{ "    return cq.Workplane(\"XY\").box(THICK, ARM_W, ARM_H)\\",
	  "    return cq.Workplane(\"XY\").box(THICK, ARM_W, ARM_H)\\", 8, 8, ' ' },
	{ "            .translate((x, 0, -ARM_H / 2))",
	  "            .translate((x, 0, -ARM_H / 2))", 9, 9, ' ' },
	{ "", "", 10, 10, ' ' },
	{ "def fork():", "def fork():", 11, 11, ' ' },
	{ "    arms = plate().union(arm(1).union(arm(-1))",
	  "    arms = plate().union(arm(1)).union(arm(-1))", 12, 12, '~' },
	{ NULL, "    axle = cq.Workplane(\"XZ\").circle(AXLE_D / 2)", 0, 13, '+' },
	{ NULL, "    axle = axle.extrude(GAP + 2 * THICK, both=True)", 0, 14, '+' },
	{ NULL, "    return arms.union(axle)", 0, 15, '+' },
	{ "", "", 13, 16, ' ' },
	{ "fixture = fork(", "fixture = fork().union(wheel())", 14, 17, '~' },
};

static inline void sample_replay(struct view *v, const uint8_t *rgb, const uint8_t *other)
{
	struct view_replay *r = &v->replay;

	memset(v, 0, sizeof *v);
	v->model = "2b+sft";
	v->device = "cuda";
	v->model_long = "qwen3.5-2b + adapter sft-0412 (r16)";
	v->device_long = "cuda:0   engine 2/2 idle";
	v->screen = SCREEN_REPLAY;
	v->screen_asked = 1;
	r->episode = 31;
	r->task = "caster_wheel_fork";
	r->head = "episode 31  caster_wheel_fork  4 turns  best 0.802 (turn 4)  2026-11-22 10:41";
	r->turns = sample_turns;
	r->n_turns = 4;
	r->turn = 2;
	r->other = 1;
	r->diff = sample_diff;
	r->n_diff = sizeof sample_diff / sizeof *sample_diff;
	r->added = 5;
	r->removed = 2;
	r->code = sample_text(sample_code, TEXT_PYTHON, 3);
	r->prompt = sample_text(sample_prompt, TEXT_PLAIN, 4);
	r->log = sample_text(sample_log, TEXT_LOG, 5);
	r->score = sample_score();
	r->score.delta = 1.785;
	r->score.delta_is_best = false;
	r->score.turn = 2;
	r->image = (struct view_image){ .rgb = rgb,
		                        .w = SAMPLE_W,
		                        .h = SAMPLE_H,
		                        .id = 1,
		                        .caption = "120.0 x 60.0 x 138.4 mm",
		                        .which = "iso" };
	r->other_image = (struct view_image){
		.rgb = other, .w = SAMPLE_W, .h = SAMPLE_H, .id = 2, .which = "iso"
	};
	r->asked = "asked next: add them at (+-22, +-22); keep the rest";
	r->judge_grade = -1;
	r->speed = 1;
	r->at_s = 72;
	r->length_s = 312;
	r->built = 3;
	r->build_rate = 0.75;
	r->tokens = 7214;
}

/* ---- Curriculum ---- */

static const struct view_class sample_classes[] = {
	{ 1, "syntax closure", 110, 0.34, 0.43, 0.32, 1, 4, CLASS_FREE },
	{ 2, "type/value/kernel", 47, 0.15, 0.47, 0.28, 1, 3, CLASS_FREE },
	{ 3, "weak geometry", 26, 0.08, 0.58, 0.18, 1, 2, CLASS_FREE },
	{ 4, "undefined name", 20, 0.06, 0.61, 0.15, 1, 2, CLASS_FREE },
	{ 5, "invented API", 17, 0.05, 0.66, 0.12, 1, 1, CLASS_FREE },
	{ 6, "missing fixture", 15, 0.05, 0.72, 0.08, 1, 1, CLASS_FREE },
	{ 7, "unknown build failure", 15, 0.05, 0.50, 0.25, 1, 3, CLASS_FREE },
	{ 8, "low editability", 4, 0.01, 0.90, 0.01, 1, 0, CLASS_FREE },
};

static const struct view_next sample_next[] = {
	{ "four_leg_chair_700n", "repair", "syntax closure: 110 of 320, mastery 0.43", 0.32 },
	{ "phone_stand_adjustable", "repair", "type/value/kernel: mastery 0.47", 0.28 },
	{ "caster_wheel_fork", "repair", "weak geometry: holes missing in turn 31.2", 0.18 },
	{ "hinge_leaf_barrel", "task", "never built in 4 tries", 0.15 },
};

static const struct view_fact sample_step[] = {
	{ "loss", "0.0184" },        { "mean reward", "-0.212   +0.003" },
	{ "build rate", "3/8" },     { "clipped", "0" },
	{ "advantage std", "0.71" }, { "adapter", "r16  checkpoint 40" },
};

static inline void sample_curriculum(struct view *v)
{
	struct view_curriculum *u = &v->curriculum;

	memset(v, 0, sizeof *v);
	v->model = "2b+sft";
	v->device = "cuda";
	v->screen = SCREEN_CURRICULUM;
	v->screen_asked = 1;
	v->status = "8 classes over the last 320 completions   stage balanced";
	u->rows = sample_classes;
	u->n_rows = 8;
	u->completions = 320;
	u->formula =
		"weight = base 1.00 x (1 - mastery 0.43)^2 x difficulty 1.00 = 0.32; mastery: 27 of "
		"the last 64 repairs built, (27 + 1) / (64 + 2)";
	u->next = sample_next;
	u->n_next = 4;
	u->repair = sample_text(sample_prompt, TEXT_PLAIN, 6);
}

static inline void sample_training(struct view *v)
{
	struct view_curriculum *u = &v->curriculum;
	static const double rate[] = { .1, .1, .12, .1, .2, .22, .2, .3, .28, .35, .4, .42, .4 };

	sample_curriculum(v);
	v->running = true;
	memcpy(u->rate, rate, sizeof rate);
	u->n_rate = sizeof rate / sizeof *rate;
	u->run = "grpo step 41/120   group 8   lr 5.0e-6   kl 0.031   12.4 s/step   ETA 16m";
	u->step = sample_step;
	u->n_step = 6;
}

static inline void sample_sft(struct view *v)
{
	struct view_curriculum *u = &v->curriculum;
	static double loss[120], rate[120], norm[120], speed[120];
	static const struct view_curve curves[] = {
		{ "Loss", "0.0412", loss, 120, 1, 120, 0, 0, false },
		{ "Learning rate", "7.4e-05", rate, 120, 1, 120, 0, 0, false },
		{ "Gradient norm", "0.31", norm, 120, 1, 120, 0, 0, false },
		{ "Tokens a second", "3120", speed, 120, 1, 120, 0, 0, false },
	};
	static const struct view_fact facts[] = {
		{ "loss", "0.0412" },
		{ "held out", "0.0530" },
		{ "learning rate", "7.4e-05" },
		{ "gradient norm", "0.31" },
		{ "a step", "0.52 s" },
		{ "checkpoint", "100" },
		{ "step 100 answers: 3/4 built", NULL },
		{ "four_leg_chair_700n", "+ 61 0.62" },
		{ "caster_wheel_fork", "+ 62 0.48" },
		{ "hinge_leaf_barrel", "x 63" },
		{ "wall_j_hook_120n", "+ 64 0.71" },
	};

	for (int i = 0; i < 120; i++) {
		loss[i] = 0.04 + 2.4 / (1 + i * 0.25) + (i % 7) * 0.004;
		rate[i] = i < 6 ? 2e-4 * (i + 1) / 6 : 2e-4 * (1 - (i - 6) / 180.0);
		norm[i] = 0.3 + 1.5 / (1 + i) + (i % 5) * 0.02;
		speed[i] = i == 40 ? 900 : 3100 + (i % 3) * 20;
	}
	sample_curriculum(v);
	v->running = true;
	u->run = "sft step 120/360   loss 0.0412   lr 7.4e-05   3120 tok/s   ETA 2m";
	u->curve = curves;
	u->n_curve = 4;
	u->step = facts;
	u->n_step = 11;
}

/* Reinforcement learning at work; with an alarm. */
static inline void sample_grpo(struct view *v)
{
	struct view_curriculum *u = &v->curriculum;
	static double rate[41], reward[41], kl[41], flat[41];
	static const struct view_curve curves[] = {
		{ "Build rate", "37.5 %", rate, 41, 1, 41, 0, 1, true },
		{ "Mean reward", "-0.212", reward, 41, 1, 41, -1, 1, false },
		{ "KL", "0.0310", kl, 41, 1, 41, 0, 0, false },
		{ "Groups that teach nothing", "25.0 %", flat, 41, 1, 41, 0, 1, true },
	};
	static const struct view_fact facts[] = {
		{ "loss", "0.0184" },           { "mean reward", "-0.212 +0.003" },
		{ "build rate", "3/8" },        { "clipped", "0" },
		{ "advantage std", "0.71" },    { "checkpoint", "40" },
		{ "groups", "4, 1 flat" },      { "length", "412, 890 at most" },
		{ "entropy", "0.84" },          { "held out", "5/12 built" },
		{ "best", "812.3 0.744" },      { "worst", "811.5 -1.000" },
		{ "waited for builds", "2 %" },
	};

	for (int i = 0; i < 41; i++) {
		rate[i] = 0.08 + 0.008 * i + (i % 5) * 0.02;
		reward[i] = -0.7 + 0.012 * i + (i % 3) * 0.01;
		kl[i] = 0.0008 * i;
		flat[i] = (i % 4) * 0.25;
	}
	sample_curriculum(v);
	v->running = true;
	u->run = "grpo step 41/120   group 8   lr 5.0e-6   kl 0.031   12.4 s/step   ETA 16m";
	u->curve = curves;
	u->n_curve = 4;
	u->step = facts;
	u->n_step = 13;
	u->alarm =
		"reward, step 40 (warn): the mean reward rose by 0.08 over 32 steps and the build "
		"rate by 0.00: what is rewarded is not what builds; a gated reward (--reward "
		"strict), or more repairs";
}

#endif
