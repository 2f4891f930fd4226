#include "tests/lib.h"

#include "engine/reward_seed.h"

static const char program[] = "import cadquery as cq\n"
			      "depth = 5\n"
			      "def seat():\n"
			      "    return cq.Workplane().box(1, 1, 1)\n"
			      "fixture = seat()\n";

static const char *const hints[] = { "seat", "leg" };
static const struct task chair = {
	.id = "chair", .bbox_mm = { 50, 50, 100 }, .hints = hints, .n_hints = 2
};

static struct text_ref ref(const char *text)
{
	return (struct text_ref){ text, strlen(text) };
}

static struct figures good_figures(void)
{
	return (struct figures){
		.vertices = 100,
		.triangles = 196,
		.components = 1,
		.watertight = true,
		.normalized_len = { 500, 500, 1000 },
		.topology = 1,
		.contact = 1,
		.n_ref = 2,
		.ref = { { .weight = 0.6, .bbox = 0.8, .chamfer = 0.8, .silhouette = 0.8 },
		         { .weight = 0.4, .bbox = 0.3, .chamfer = 0.3, .silhouette = 0.3 } }
	};
}

static struct seed_input built(const struct figures *f)
{
	return (struct seed_input){ .outcome = SEED_BUILT,
		                    .figures = f,
		                    .task = &chair,
		                    .code = ref(program),
		                    .raw = ref(program) };
}

static struct reward reward(const struct seed_input *in, struct notes *notes)
{
	struct reward r;

	assert_int_equal(reward_seed(&r, NULL, notes, in, NULL), 0);
	return r;
}

static void a_good_part_gets_the_weighted_sum(void **state)
{
	struct figures f = good_figures();
	struct seed_input in = built(&f);
	struct notes notes;
	struct reward r = reward(&in, &notes);
	double semantic = 0.35 * 0.5 + 0.45 + 0.20 / 6;
	double editability = 0.35 / 6 + 0.20 / 8 + 0.25 + 0.20;

	(void)state;
	assert_close(r.semantic_parts, semantic, 1e-15);
	assert_close(r.editability, editability, 1e-15);
	assert_close(r.reference_similarity, 0.6 * 0.8 + 0.4 * 0.3, 1e-15);
	assert_close(r.total,
	             0.22 + 0.17 + 0.12 + 0.25 * semantic + 0.10 * 0.6 + 0.10 * editability + 0.04,
	             1e-15);
	assert_close(r.shaped, r.total, 0);
	assert_close(r.strict, 0.15 + 0.85 * r.total, 1e-15);
	assert_int_equal(notes.n, 1);
	assert_string_equal(notes.text[0], "Candidate built and scored successfully.");
	notes_release(&notes);
	notes_release(&notes);
	in.full = true;
	r = reward(&in, NULL);
	assert_close(r.total,
	             0.18 + 0.17 + 0.10 + 0.15 * semantic + 0.15 * 0.6 + 0.10 * 0.6 +
	                     0.10 * editability + 0.05,
	             1e-15);
}

static void without_a_reference_its_terms_are_a_half(void **state)
{
	struct figures f = good_figures();
	struct seed_input in = built(&f);
	struct notes notes;

	(void)state;
	f.n_ref = 0;
	struct reward r = reward(&in, &notes);
	assert_close(r.reference_similarity, 0.5, 0);
	assert_close(r.silhouette, 0.5, 0);
	assert_int_equal(notes.n, 1);
	assert_contains(notes.text[0], "No reference");
	notes_release(&notes);
}

static void without_a_task_an_office_chair_is_expected(void **state)
{
	struct figures f = good_figures();
	struct seed_input in = built(&f);
	struct seed_details d;
	struct reward r;

	(void)state;
	in.task = NULL;
	f.low_p90_ratio = 0.15;
	f.high_vertices = 20; /* not above 20 */
	assert_int_equal(reward_seed(&r, &d, NULL, &in, NULL), 0);
	assert_close(d.geometry_score, 0.45 * (1 - 0.05 - 0.10) + 0.35 * 0.5, 1e-12);
	assert_close(d.hint_share, 0.1, 1e-15);
	f.high_vertices = 21;
	assert_int_equal(reward_seed(&r, &d, NULL, &in, NULL), 0);
	assert_close(d.geometry_score, 0.45 * (1 - 0.05 - 0.10) + 0.35 * 0.5 + 0.20, 1e-12);
	f.vertices = 1000; /* 8 % of them are 80 */
	assert_int_equal(reward_seed(&r, &d, NULL, &in, NULL), 0);
	assert_close(d.geometry_score, 0.45 * (1 - 0.05 - 0.10) + 0.35 * 0.5, 1e-12);
}

static void each_weakness_has_its_note_in_order(void **state)
{
	struct figures f = good_figures();
	struct seed_input in = built(&f);
	struct notes notes;

	(void)state;
	f.components = 121;
	f.watertight = false;
	f.large_gap_components = 3;
	f.normalized_len[0] = 9000;
	f.ref[0].bbox = f.ref[0].chamfer = f.ref[0].silhouette = 0;
	reward(&in, &notes);
	assert_int_equal(notes.n, 5);
	assert_contains(notes.text[0], "121 mesh components");
	assert_contains(notes.text[1], "watertight");
	assert_contains(notes.text[2], "3 significant separated");
	assert_contains(notes.text[3], "weak on chair semantic");
	assert_contains(notes.text[4], "reference");
	notes_release(&notes);
}

static void a_failed_build_is_worth_minus_one_and_its_text(void **state)
{
	static const struct {
		const char *code, *error;
		double cheap, shaped, strict;
	} cases[] = {
		{ "", "ValueError: x", 0, -0.20, -0.95 },
		{ program, "TypeError: x", 0.95, 0.37, -0.565 },
		{ program, "SyntaxError: x", 0.95, 0.37, -0.665 },
		{ program, "IndentationError: x", 0.95, 0.37, -0.565 },
		{ program, "AttributeError: NameError", 0.95, 0.37, -0.615 },
		{ "x = 1", "SyntaxError: NameError", 0, -0.20, -1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct seed_input in = { .outcome = SEED_BUILD_FAILED,
			                 .task = &chair,
			                 .code = ref(cases[i].code),
			                 .raw = ref(cases[i].code),
			                 .stderr_text = ref(cases[i].error) };
		struct notes notes;
		struct reward r = reward(&in, &notes);
		assert_close(r.total, -1, 0);
		assert_close(r.build, 0, 0);
		assert_close(r.editability, 0, 0);
		assert_true(isnan(r.contact));
		assert_close(r.cheap, cases[i].cheap, 1e-12);
		assert_close(r.shaped, cases[i].shaped, 1e-12);
		assert_close(r.strict, cases[i].strict, 1e-12);
		assert_int_equal(notes.n, 2);
		assert_contains(notes.text[1], cases[i].error);
		notes_release(&notes);
	}
}

static void a_crashed_evaluator_gives_no_total(void **state)
{
	struct seed_input in = { .outcome = SEED_EVALUATOR_CRASH,
		                 .task = &chair,
		                 .code = ref(program),
		                 .raw = ref(program) };
	struct notes notes;
	struct reward r = reward(&in, &notes);

	(void)state;
	assert_true(isnan(r.total));
	assert_true(isnan(r.build));
	assert_true(isnan(r.topology));
	assert_close(r.shaped, 0, 0);
	assert_close(r.strict, -0.565, 1e-12);
	assert_int_equal(notes.n, 0);
	notes_release(&notes);
}

static void the_outcome_follows_the_cause(void **state)
{
	(void)state;
	assert_int_equal(seed_outcome_of(CAUSE_OK, true), SEED_BUILT);
	assert_int_equal(seed_outcome_of(CAUSE_OK, false), SEED_EVALUATOR_CRASH);
	assert_int_equal(seed_outcome_of(CAUSE_WALL_LIMIT, false), SEED_EVALUATOR_CRASH);
	assert_int_equal(seed_outcome_of(CAUSE_CPU_LIMIT, false), SEED_EVALUATOR_CRASH);
	assert_int_equal(seed_outcome_of(CAUSE_NAME, false), SEED_BUILD_FAILED);
	assert_int_equal(seed_outcome_of(CAUSE_EMPTY_SHAPE, false), SEED_BUILD_FAILED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_part_gets_the_weighted_sum),
		cmocka_unit_test(without_a_reference_its_terms_are_a_half),
		cmocka_unit_test(without_a_task_an_office_chair_is_expected),
		cmocka_unit_test(each_weakness_has_its_note_in_order),
		cmocka_unit_test(a_failed_build_is_worth_minus_one_and_its_text),
		cmocka_unit_test(a_crashed_evaluator_gives_no_total),
		cmocka_unit_test(the_outcome_follows_the_cause),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
