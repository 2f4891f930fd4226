/*
 * Live, Replay and Curriculum as they look: golden screens from literal views.
 */
#include "tests/ui.h"
#include "tests/ui_views.h"

static uint8_t picture[3 * SAMPLE_W * SAMPLE_H], other_picture[3 * SAMPLE_W * SAMPLE_H];
static struct view_token tokens[400];
static struct view_member members[8];

/* Pictures in block elements are as the installed libchafa makes them: golden screens have them in
 * ASCII alone, which is our own; tests/t_ui_parts.c looks at the others. */
static void looks(const char *name, const struct view *v, int cols, int rows, int ascii,
                  const char *keys, bool roles)
{
	struct view shown = *v;
	struct test_ui t;

	if (!ascii) {
		shown.live.image.rgb = shown.replay.image.rgb = shown.replay.other_image.rgb = NULL;
		if (v->live.image.rgb)
			shown.live.image.why = "(picture)";
		shown.replay.image.why = shown.replay.other_image.why = "(picture)";
	}
	test_ui_open(&t, "xterm-256color", cols, rows, ascii, v->screen);
	test_ui_draw(&t, &shown);
	if (*keys)
		test_ui_keys(&t, &shown, keys);
	test_ui_golden(&t, name, roles);
	test_ui_close(&t);
}

static void live_while_it_streams(void **state)
{
	struct view v;

	(void)state;
	sample_live(&v, picture);
	looks("live-streaming-80x24", &v, 80, 24, 0, "", true);
	looks("live-streaming-80x24-ascii", &v, 80, 24, 1, "", false);
	looks("live-160x50", &v, 160, 50, 0, "", true);
	looks("live-160x50-ascii", &v, 160, 50, 1, "", false);
	looks("live-60x18", &v, 60, 18, 0, "", false);
	v.live.early = "line 17: AttributeError: 'Workplane' object has no attribute 'hoel'";
	looks("live-early-80x24", &v, 80, 24, 0, "", false);
}

static void live_thinking(void **state)
{
	struct view v;

	(void)state;
	sample_live(&v, picture);
	v.live.thinking = sample_text(sample_thinking, TEXT_PLAIN, 9);
	v.live.thinking.streaming = true;
	v.live.code.len = 0;
	looks("live-thinking-80x24", &v, 80, 24, 0, "", false);
	looks("live-thinking-open-80x24", &v, 80, 24, 0, "t", false);
}

static void live_when_it_was_built_and_when_it_failed(void **state)
{
	struct view v;

	(void)state;
	sample_live_built(&v, picture);
	looks("live-built-80x24", &v, 80, 24, 0, "", true);
	looks("live-built-80x24-ascii", &v, 80, 24, 1, "", false);
	looks("live-built-image-80x24-ascii", &v, 80, 24, 1, "i", false);
	sample_live_failed(&v, picture);
	/* the line at fault is in sight */
	looks("live-failed-80x24", &v, 80, 24, 0, "", true);
	looks("live-failed-80x24-ascii", &v, 80, 24, 1, "", false);
}

static void live_without_what_it_needs(void **state)
{
	struct view v;

	(void)state;
	memset(&v, 0, sizeof v);
	v.screen = SCREEN_LIVE;
	v.screen_asked = 1;
	v.live.score.total = NAN;
	looks("live-no-task-80x24", &v, 80, 24, 0, "", false);
	v.device = "cpu";
	v.live.task = "caster_wheel_fork";
	v.live.why_not =
		"No model is chosen: --model DIR, or :set model DIR here. Replay, Curriculum "
		"and Compare work without one.";
	looks("live-no-model-80x24", &v, 80, 24, 0, "", false);
	v.device = "";
	v.live.why_not =
		"cadforge-infer-cuda: no CUDA device was found (driver 535.1): --backend cpu "
		"takes the processor";
	looks("no-gpu-80x24", &v, 80, 24, 0, "", false);
	looks("no-gpu-80x24-ascii", &v, 80, 24, 1, "", false);
	v.device = "cpu";
	v.live.why_not = NULL;
	v.live.next = "turn 1";
	v.live.why_not_build = "CadQuery is not there (ModuleNotFoundError: cadquery): `cadforge "
			       "doctor` says what installs it.";
	looks("no-cadquery-80x24", &v, 80, 24, 0, "", false);
	looks("no-cadquery-80x24-ascii", &v, 80, 24, 1, "", false);
}

static void a_group_side_by_side_with_the_best_marked(void **state)
{
	struct view v;

	(void)state;
	sample_live(&v, picture);
	for (int i = 0; i < 8; i++)
		members[i] = (struct view_member){
			.number = i + 1,
			.tokens = 300 + i * 37,
			.mark = i % 4 == 3   ? MARK_RUNNING
			        : i % 4 == 2 ? MARK_WEAK
			        : i % 4      ? MARK_FAILED
			                     : MARK_BUILT,
			.reward = i % 4 == 3   ? NAN
			          : i % 4 == 1 ? -1
			                       : 0.9 - 0.11 * i,
			.best = i == 0,
			.streaming = i % 4 == 3,
			.code = sample_text(sample_code, TEXT_PYTHON, (uint64_t)(100 + i)),
			.failure = i % 4 == 1 ? "syntax closure" : NULL,
		};
	v.live.group = members;
	v.live.n_group = 8;
	v.live.group_asked = true;
	looks("live-group-80x24", &v, 80, 24, 0, "l", false);
	looks("live-group-160x50", &v, 160, 50, 0, "", false);
}

static void under_the_tokens(void **state)
{
	struct view v;

	(void)state;
	sample_live_built(&v, picture);
	v.live.code.tokens = tokens;
	v.live.code.n_tokens = sample_tokens(sample_code, tokens, 400);
	looks("live-certainty-80x24", &v, 80, 24, 0, "unn", true);
	looks("live-certainty-80x24-ascii", &v, 80, 24, 1, "unn", false);
	v.live.code.tokens = NULL;
	v.live.code.n_tokens = 0;
	looks("live-certainty-none-80x24", &v, 80, 24, 0, "u", false);
}

static void replay_of_an_episode(void **state)
{
	struct view v;

	(void)state;
	sample_replay(&v, picture, other_picture);
	looks("replay-80x24", &v, 80, 24, 0, "", true);
	looks("replay-80x24-ascii", &v, 80, 24, 1, "", false);
	looks("replay-160x50", &v, 160, 50, 0, "", true);
	looks("replay-60x18", &v, 60, 18, 0, "", false);
	looks("replay-code-80x24", &v, 80, 24, 0, "d", false);
	looks("replay-prompt-80x24", &v, 80, 24, 0, "p", false);
	looks("replay-score-80x24", &v, 80, 24, 0, "v", false);
	looks("replay-images-80x24-ascii", &v, 80, 24, 1, "i", false);
	/* of one that did not build the reason stands where the terms would */
	{
		static const char *const why[] = {
			"Not built: line 17: AttributeError: 'Workplane' object has no attribute 'hoel'; "
			"did you mean 'hole'? The line: plate = plate.hoel(6.6)"
		};
		struct view failed;

		sample_live_failed(&failed, picture);
		v.replay.score = failed.live.score;
		v.replay.score.terms[0].value = NAN;
		v.replay.score.notes = why;
		v.replay.score.n_notes = 1;
		looks("replay-failed-80x24", &v, 80, 24, 0, "", false);
		looks("replay-failed-whole-80x24-ascii", &v, 80, 24, 1, "v", false);
		looks("replay-failed-60x18", &v, 60, 18, 0, "<Tab>", false);
	}
	memset(&v, 0, sizeof v);
	v.screen = SCREEN_REPLAY;
	v.screen_asked = 1;
	v.replay.why_not = "Nothing is stored yet. Run a task (1, then r): every episode can be "
			   "replayed here.";
	looks("replay-empty-80x24", &v, 80, 24, 0, "", false);
}

static void replay_while_it_plays(void **state)
{
	struct view v, then;

	(void)state;
	sample_replay(&v, picture, other_picture);
	sample_live(&then, picture);
	v.replay.live = then.live;
	v.replay.playing = true;
	v.replay.speed = 4;
	looks("replay-playing-80x24", &v, 80, 24, 0, "", false);
	/* the log has its place as soon as it speaks */
	v.replay.live.phase = LIVE_BUILD;
	v.replay.playing = false;
	v.replay.seeking = true;
	v.replay.speed = 0.25;
	looks("replay-held-80x24-ascii", &v, 80, 24, 1, "", false);
}

static void judging(void **state)
{
	struct view v;
	static struct view_turn turns[4];

	(void)state;
	sample_replay(&v, picture, other_picture);
	looks("replay-judge-80x24", &v, 80, 24, 0, "J4<Tab>holes are missing", false);
	memcpy(turns, sample_turns, sizeof turns);
	for (int i = 0; i < 4; i++)
		turns[i].hidden = true;
	v.replay.turns = turns;
	v.replay.blind = true;
	v.replay.head = "blind: 3 of 20 judged";
	v.model = v.model_long = "hidden";
	v.device = v.device_long = NULL;
	looks("replay-blind-80x24", &v, 80, 24, 0, "", false);
	v.replay.pairwise = true;
	v.replay.left_name = "A";
	v.replay.right_name = "B";
	v.replay.pair_question = "caster_wheel_fork: which would you rather make?   pair 3 of 20";
	v.replay.agreement = "2 judges agree in 14 of 18 pairs; the reward agrees with them in 12";
	looks("replay-pairwise-80x24", &v, 80, 24, 0, "", false);
	looks("replay-pairwise-60x18", &v, 60, 18, 0, "", false);
}

static void curriculum_idle_and_training(void **state)
{
	struct view v;

	(void)state;
	sample_curriculum(&v);
	looks("curriculum-idle-80x24", &v, 80, 24, 0, "", true);
	looks("curriculum-idle-80x24-ascii", &v, 80, 24, 1, "", false);
	looks("curriculum-160x50", &v, 160, 50, 0, "", false);
	sample_training(&v);
	looks("curriculum-training-80x24", &v, 80, 24, 0, "", false);
	looks("curriculum-training-80x24-ascii", &v, 80, 24, 1, "", false);
	struct view sft;
	sample_sft(&sft);
	looks("curriculum-sft-80x24", &sft, 80, 24, 0, "", false);
	looks("curriculum-sft-80x24-ascii", &sft, 80, 24, 1, "", false);
	looks("curriculum-sft-160x50", &sft, 160, 50, 0, "", false);
	struct view grpo;
	sample_grpo(&grpo);
	looks("curriculum-grpo-80x24", &grpo, 80, 24, 0, "", true);
	looks("curriculum-grpo-80x24-ascii", &grpo, 80, 24, 1, "", false);
	looks("curriculum-grpo-160x50", &grpo, 160, 50, 0, "", false);
	looks("curriculum-grpo-60x18", &grpo, 60, 18, 0, "", false);
	grpo.curriculum.alarm = NULL;
	looks("curriculum-grpo-quiet-120x40", &grpo, 120, 40, 0, "", false);
	/* to the curves, and the next of them: one that may be below 0 */
	looks("curriculum-grpo-reward-80x24", &grpo, 80, 24, 0, "\t\t\tj", false);
	/* to the curves, and the next of them */
	looks("curriculum-sft-rate-80x24", &sft, 80, 24, 0, "\t\t\tj", false);
	v.curriculum.n_rows = 0;
	v.curriculum.n_next = 0;
	v.curriculum.n_rate = v.curriculum.n_step = 0;
	v.curriculum.run = v.curriculum.formula = NULL;
	v.curriculum.repair.len = 0;
	looks("curriculum-empty-80x24", &v, 80, 24, 0, "", false);
}

static void what_lies_over_a_screen(void **state)
{
	static const struct view_choice_row rows[] = {
		{ 1, MARK_BUILT, "sft-0412 (r16)", "2 h ago" },
		{ 2, MARK_NONE, "grpo-0415 (r16)", "yesterday" },
		{ 3, MARK_NONE, "none: the model as it is", "" }
	};
	struct view v;

	(void)state;
	sample_live(&v, picture);
	v.choice = (struct view_choice){
		.title = "Adapters", .fact = "Enter switches", .rows = rows, .n_rows = 3
	};
	looks("choice-80x24", &v, 80, 24, 0, "j", true);
	looks("choice-filtered-80x24", &v, 80, 24, 0, "/gr", false);
	v.choice = (struct view_choice){ .title = "Adapters",
		                         .empty = "none is there: :set adapters DIR adds one" };
	looks("choice-empty-80x24", &v, 80, 24, 0, "", false);
	v.choice.title = NULL;
	v.page = sample_text(sample_log, TEXT_PLAIN, 77);
	v.page_title = "export";
	looks("page-160x50", &v, 160, 50, 0, "", false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(live_while_it_streams),
		cmocka_unit_test(live_thinking),
		cmocka_unit_test(live_when_it_was_built_and_when_it_failed),
		cmocka_unit_test(live_without_what_it_needs),
		cmocka_unit_test(a_group_side_by_side_with_the_best_marked),
		cmocka_unit_test(under_the_tokens),
		cmocka_unit_test(replay_of_an_episode),
		cmocka_unit_test(replay_while_it_plays),
		cmocka_unit_test(judging),
		cmocka_unit_test(curriculum_idle_and_training),
		cmocka_unit_test(what_lies_over_a_screen),
	};

	sample_picture(picture, 0);
	sample_picture(other_picture, 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
