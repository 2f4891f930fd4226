/*
 * The exact profiles' side of the scorer: in this process, and once through the engine's door. The
 * shapes of tests/data/brep are made by tests/oracle/brep.py.
 */
#include "tests/lib.h"

#include "engine/engine.h"
#include "engine/score_job.h"
#include "engine/stl.h"

static void load(struct buf *b, const char *name)
{
	char path[4200];
	struct err e = { 0 };
	const char *dir = getenv("srcdir");

	snprintf(path, sizeof(path), "%s/tests/data/brep/%s.brep", dir ? dir : ".", name);
	if (buf_read_file(b, path, 1 << 24, &e) < 0)
		fail_msg("%s", e.text);
}

/* The whole RESULT; the caller's to delete. @blob may be NULL. */
static cJSON *run(const char *ask, const void *bytes, size_t len, const struct exact_reference *ref,
                  struct buf *blob)
{
	struct score_references refs = { .exact = ref };
	struct buf json = { 0 }, none = { 0 };
	struct score_request r;
	struct err e = { 0 };

	if (score_request_parse(&r, ask, strlen(ask), &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(score_job_run(&r, bytes, len, &refs, &json, blob ? blob : &none, &e), 0);
	score_request_release(&r);
	cJSON *o = json_parse(json.data, json.len, &e);
	assert_non_null(o);
	buf_release(&json);
	buf_release(&none);
	return o;
}

/* What "exact" says of a shape; the caller's to delete. @fields: of the request. */
static cJSON *exact(const char *name, const char *fields, const struct exact_reference *ref)
{
	struct buf b = { 0 };
	char ask[4000];

	load(&b, name);
	snprintf(ask, sizeof(ask), "{\"format\":\"brep\",\"exact\":{%s}}", fields);
	cJSON *o = run(ask, b.data, b.len, ref, NULL);
	if (!json_bool_or(o, "ok", false))
		fail_msg("%s: %s", name, json_string_or(o, "error", "?"));
	cJSON *x = cJSON_DetachItemFromObjectCaseSensitive(o, "exact");
	cJSON_Delete(o);
	buf_release(&b);
	return x;
}

static double num(const cJSON *o, const char *key)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);

	if (!v)
		fail_msg("no %s", key);
	return cJSON_IsNumber(v) ? v->valuedouble : NAN;
}

static const char *why(const cJSON *x, const char *term)
{
	return json_string_or(cJSON_GetObjectItemCaseSensitive(x, term), "why", "");
}

static struct exact_reference prepare(const char *name)
{
	struct buf b = { 0 }, blob = { 0 };
	struct exact_reference r;
	struct err e = { 0 };

	load(&b, name);
	cJSON_Delete(run("{\"format\":\"brep\",\"prepare\":true}", b.data, b.len, NULL, &blob));
	if (exact_reference_parse(&r, blob.data, blob.len, &e) < 0)
		fail_msg("%s: %s", name, e.text);
	buf_release(&b);
	buf_release(&blob);
	return r;
}

/* ---- topology ---- */

static void a_sound_solid_has_all_of_topology(void **state)
{
	cJSON *x = exact("plate_holes", "\"solids\":1,\"genus\":3", NULL);

	(void)state;
	assert_close(num(x, "topology"), 1, 0);
	assert_string_equal(why(x, "topology_details"), "");
	assert_close(num(x, "contact"), 1, 0);
	assert_close(num(x, "faces"), 14, 0);
	cJSON_Delete(x);
}

static void solids_and_genus_count_by_their_ratio(void **state)
{
	static const struct {
		const char *shape, *ask;
		double want;
	} cases[] = {
		{ "two_boxes", "\"solids\":1", 0.5 },
		{ "two_boxes", "\"solids\":[2,3]", 1 },
		{ "two_boxes", "\"solids\":[5,null]", 0.4 },
		{ "two_boxes", "\"solids\":[null,1]", 0.5 },
		{ "plate_holes", "\"genus\":4", 0.75 },
		{ "plate_holes", "\"genus\":1", 1.0 / 3 },
		{ "plate_holes", "\"genus\":0", 0 },
		{ "box", "\"genus\":0", 1 },
		{ "box", "\"genus\":2", 0 },
		{ "box", "\"solids\":null,\"genus\":null", 1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		cJSON *x = exact(cases[i].shape, cases[i].ask, NULL);
		print_message("%s %s\n", cases[i].shape, cases[i].ask);
		assert_close(num(x, "topology"), cases[i].want, 1e-12);
		if (cases[i].want < 1)
			assert_contains(why(x, "topology_details"), "expected ");
		cJSON_Delete(x);
	}
}

static void an_open_shell_has_no_topology_and_its_free_edges_are_counted(void **state)
{
	cJSON *x = exact("open_shell", "", NULL);
	const cJSON *d = cJSON_GetObjectItemCaseSensitive(x, "topology_details");

	(void)state;
	assert_close(num(x, "topology"), 0, 0);
	assert_close(num(x, "contact"), 0, 0);
	assert_close(num(d, "free_edges"), 4, 0);
	assert_contains(why(x, "topology_details"), "no solid");
	assert_contains(why(x, "topology_details"), "4 edges belong to one face alone");
	cJSON_Delete(x);
}

static void solids_that_meet_in_an_edge_are_no_manifold(void **state)
{
	cJSON *x = exact("boxes_on_an_edge", "", NULL);
	const cJSON *d = cJSON_GetObjectItemCaseSensitive(x, "topology_details");

	(void)state;
	assert_close(num(x, "topology"), 0, 0);
	assert_close(num(d, "free_edges"), 0, 0);
	assert_close(num(d, "non_manifold_edges"), 1, 0);
	assert_contains(why(x, "topology_details"), "1 edge is shared by more than two faces");
	cJSON_Delete(x);
}

/* ---- contact ---- */

static void groups_share_the_contact(void **state)
{
	static const struct {
		const char *shape;
		double want;
		int groups;
	} cases[] = {
		{ "box", 1, 1 },
		{ "touching", 1, 1 },     /* a corner of one on a flat face of the other */
		{ "crossed_bars", 1, 1 }, /* faces cross, no corner stands on one */
		{ "pin_flush", 1, 1 },    /* round in round, of one size: facets overlap, no more */
		{ "pin_in_bore", 0.5, 2 },
		{ "two_boxes", 0.5, 2 },
		{ "nested_apart", 0.5, 2 }, /* boxes overlap, the solids do not */
		{ "same_part_thrice", 1.0 / 3, 3 },
		{ "overlapping", 0.5, 1 }, /* one group, half of a solid in the other */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		cJSON *x = exact(cases[i].shape, "", NULL);
		const cJSON *d = cJSON_GetObjectItemCaseSensitive(x, "contact_details");
		print_message("%s: %s\n", cases[i].shape, why(x, "contact_details"));
		assert_close(num(x, "contact"), cases[i].want, 1e-9);
		assert_close(num(d, "groups"), cases[i].groups, 0);
		assert_int_equal(why(x, "contact_details")[0] == '\0', cases[i].want == 1);
		cJSON_Delete(x);
	}
}

static void where_and_how_far_apart_is_said(void **state)
{
	cJSON *x = exact("two_boxes", "", NULL);

	(void)state;
	assert_contains(why(x, "contact_details"), "10 x 20 x 30 mm about (5, 10, 15)");
	assert_contains(why(x, "contact_details"), "5 mm from the rest");
	cJSON_Delete(x);
	x = exact("overlapping", "", NULL);
	assert_contains(why(x, "contact_details"), "50 % of it in another, about (7.5, 10, 15)");
	cJSON_Delete(x);
}

static void a_declared_joint_joins_within_its_clearance(void **state)
{
	static const struct {
		const char *clearance;
		double want;
	} cases[] = { { "0.25", 1 }, { "0.1", 0.5 } };
	char ask[400];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		snprintf(ask, sizeof(ask),
		         "\"checks\":[{\"id\":\"hinge\",\"kind\":\"joint\",\"axis\":\"z\","
		         "\"clearance_mm\":%s,\"want\":1}]",
		         cases[i].clearance);
		cJSON *x = exact("pin_in_bore", ask, NULL);
		assert_close(num(x, "contact"), cases[i].want, 0);
		assert_close(num(x, "semantic_parts"), cases[i].want == 1 ? 1 : 0, 0);
		cJSON_Delete(x);
		/* boxes that stand apart are no joint */
		snprintf(ask, sizeof(ask),
		         "\"checks\":[{\"id\":\"hinge\",\"kind\":\"joint\",\"axis\":\"z\","
		         "\"clearance_mm\":6,\"want\":1}]");
		x = exact("two_boxes", ask, NULL);
		assert_close(num(x, "contact"), 0.5, 0);
		cJSON_Delete(x);
	}
}

static void how_near_is_near_enough_is_the_profiles(void **state)
{
	cJSON *x = exact("pin_in_bore", "\"constants\":{\"touch_mm\":0.3}", NULL);

	(void)state;
	assert_close(num(x, "contact"), 1, 0);
	cJSON_Delete(x);
}

/* ---- the reference ---- */

static void a_part_is_the_same_as_itself_however_it_lies(void **state)
{
	static const char *const names[] = { "corner_piece", "corner_turned" };
	struct exact_reference r = prepare("corner_piece");

	(void)state;
	for (int i = 0; i < 2; i++) {
		cJSON *x = exact(names[i], "", &r);
		assert_close(num(x, "iou"), 1, 1e-3);
		assert_close(num(x, "chamfer_mm"), 0, 1e-4);
		assert_close(num(x, "reference_similarity"), 1, 1e-3);
		assert_close(num(x, "silhouette"), 1, 0.01);
		assert_int_equal(num(x, "rotation") > 0, i == 1);
		assert_close(num(x, "reference_faces"), num(x, "faces"), 0);
		cJSON_Delete(x);
	}
	cJSON *x = exact("corner_turned", "\"orientation\":\"fixed\"", &r);
	assert_close(num(x, "rotation"), 0, 0);
	assert_true(num(x, "iou") < 0.6);
	cJSON_Delete(x);
	exact_reference_release(&r);
}

static void another_size_is_another_part(void **state)
{
	struct exact_reference r = prepare("corner_piece");
	cJSON *x = exact("corner_long", "", &r), *same = exact("corner_piece", "", &r);

	(void)state;
	assert_true(num(x, "reference_similarity") < num(same, "reference_similarity") - 0.2);
	assert_true(num(x, "silhouette") < num(same, "silhouette") - 0.1);
	cJSON_Delete(x);
	cJSON_Delete(same);
	exact_reference_release(&r);
}

static void without_a_reference_there_is_nothing_to_be_like(void **state)
{
	static const char *const terms[] = { "reference_similarity", "iou",
		                             "chamfer_mm",           "silhouette",
		                             "reference_faces",      "semantic_parts" };
	cJSON *x = exact("box", "", NULL);

	(void)state;
	for (size_t i = 0; i < sizeof(terms) / sizeof(*terms); i++)
		assert_true(cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(x, terms[i])));
	cJSON_Delete(x);
}

static void checks_are_looked_at_as_the_part_lies_best(void **state)
{
	/* true of corner_piece, and of corner_turned turned back */
	static const char ask[] = "\"checks\":[{\"id\":\"size\",\"kind\":\"bbox_mm\","
				  "\"want\":[30,22,40],\"tolerance_mm\":0.1}]";
	struct exact_reference r = prepare("corner_piece"), other = prepare("corner_turned");
	cJSON *x = exact("corner_turned", ask, &r);

	(void)state;
	assert_close(num(x, "semantic_parts"), 1, 0);
	assert_true(num(x, "checks_rotation") > 0);
	cJSON_Delete(x);
	/* right as built, and turned only by the reference: counted as built */
	x = exact("corner_piece", ask, &other);
	assert_true(num(x, "rotation") > 0);
	assert_close(num(x, "semantic_parts"), 1, 0);
	assert_close(num(x, "checks_rotation"), 0, 0);
	cJSON_Delete(x);
	exact_reference_release(&r);
	exact_reference_release(&other);
}

static void a_mesh_is_a_reference_too(void **state)
{
	static const char *const formats[] = { "stl", "glb" };
	struct buf brep = { 0 };

	(void)state;
	load(&brep, "plate_holes");
	for (int i = 0; i < 2; i++) {
		struct buf mesh = { 0 }, blob = { 0 };
		struct exact_reference r;
		struct err e = { 0 };
		char ask[200];
		snprintf(ask, sizeof(ask), "{\"format\":\"brep\",\"export\":[\"%s\"]}", formats[i]);
		cJSON_Delete(run(ask, brep.data, brep.len, NULL, &mesh));
		snprintf(ask, sizeof(ask), "{\"format\":\"%s\",\"prepare\":true}", formats[i]);
		cJSON_Delete(run(ask, mesh.data, mesh.len, NULL, &blob));
		if (exact_reference_parse(&r, blob.data, blob.len, &e) < 0)
			fail_msg("%s", e.text);
		cJSON *x = exact("plate_holes", "", &r);
		assert_true(num(x, "reference_similarity") > 0.99);
		assert_true(cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(x, "reference_faces")));
		cJSON_Delete(x);
		exact_reference_release(&r);
		buf_release(&mesh);
		buf_release(&blob);
	}
	buf_release(&brep);
}

static void what_encloses_nothing_is_no_reference(void **state)
{
	static const char *const names[] = { "open_shell", "face", "wire", "empty" };

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct buf b = { 0 }, blob = { 0 };
		load(&b, names[i]);
		cJSON *o =
			run("{\"format\":\"brep\",\"prepare\":true}", b.data, b.len, NULL, &blob);
		print_message("%s: %s\n", names[i], json_string_or(o, "error", "?"));
		assert_false(json_bool_or(o, "ok", true));
		assert_int_equal(blob.len, 0);
		assert_true(strlen(json_string_or(o, "error", "")) > 20);
		cJSON_Delete(o);
		buf_release(&b);
		buf_release(&blob);
	}
}

/* ---- the same every time; bad requests ---- */

static void ten_runs_say_the_same(void **state)
{
	struct exact_reference r = prepare("clevis");
	char *first = NULL;

	(void)state;
	for (int i = 0; i < 10; i++) {
		cJSON *x = exact("plate_holes",
		                 "\"solids\":1,\"checks\":[{\"id\":\"h\",\"kind\":\"holes\","
		                 "\"want\":4,\"axis\":\"z\"}]",
		                 &r);
		char *text = cJSON_PrintUnformatted(x);
		if (!first)
			first = strdup(text);
		assert_string_equal(text, first);
		cJSON_free(text);
		cJSON_Delete(x);
	}
	free(first);
	exact_reference_release(&r);
}

static void a_request_that_is_none_is_said_by_key(void **state)
{
	static const struct {
		const char *ask, *says;
	} cases[] = {
		{ "{\"exact\":7}", "exact: an object wanted" },
		{ "{\"exact\":{\"orientation\":\"upside\"}}", "orientation: 'upside'" },
		{ "{\"exact\":{\"solids\":-1}}", "solids" },
		{ "{\"exact\":{\"solids\":[3,1]}}", "[3, 1] is no range" },
		{ "{\"exact\":{\"genus\":\"two\"}}", "genus" },
		{ "{\"exact\":{\"reference\":-4}}", "reference" },
		{ "{\"exact\":{\"constants\":{\"touch_mm\":-1}}}", "touch_mm" },
		{ "{\"exact\":{\"checks\":[{\"id\":\"a\",\"kind\":\"colour\"}]}}", "colour" },
		{ "{\"exact\":{},\"format\":\"stl\"}", "BREP alone" },
		{ "{\"exact\":{},\"figures\":\"fast\"}", "without figures" },
		{ "{\"exact\":{},\"prepare\":true}", "prepare" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct score_request r;
		struct err e = { 0 };
		assert_int_equal(score_request_parse(&r, cases[i].ask, strlen(cases[i].ask), &e),
		                 -1);
		assert_int_equal(e.kind, ERR_INPUT);
		assert_contains(e.text, cases[i].says);
	}
}

/* ---- through the engine ---- */

struct door {
	struct buf blob;
	cJSON *exact;
	char error[400], measured_error[400];
	bool prepared, measured, ok;
};

static void on_prepared(void *ctx, uint32_t job, const void *blob, size_t len, const char *error)
{
	struct door *d = ctx;

	(void)job;
	d->prepared = true;
	buf_add(&d->blob, blob, len);
	snprintf(d->error, sizeof(d->error), "%s", error ? error : "");
}

static void on_measured(void *ctx, uint32_t job, struct shape_report *r)
{
	struct door *d = ctx;

	(void)job;
	d->measured = true;
	d->ok = r->ok;
	cJSON_Delete(d->exact);
	d->exact = r->exact;
	r->exact = NULL;
	snprintf(d->measured_error, sizeof(d->measured_error), "%s", r->error ? r->error : "");
}

static void pump(struct engine *en, bool *until)
{
	struct err e = { 0 };

	for (int i = 0; i < 600 && !*until; i++)
		if (engine_wait(en, 100, &e) < 0)
			fail_msg("%s", e.text);
	assert_true(*until);
}

static void a_reference_is_prepared_sent_and_compared_with(void **state)
{
	struct door d = { 0 };
	const struct engine_ops ops = { .ctx = &d,
		                        .prepared = on_prepared,
		                        .measured = on_measured };
	const struct engine_options o = { .libexec_dir = ".", .jobs = 1 };
	struct buf b = { 0 }, bad = { 0 };
	struct err e = { 0 };
	int id, broken;

	(void)state;
	struct engine *en = engine_open(&o, &ops, &e);
	assert_non_null(en);
	load(&b, "corner_piece");
	load(&bad, "open_shell");
	assert_int_equal(engine_prepare(en, SHAPE_BREP, bad.data, bad.len, NULL, &e), 0);
	pump(en, &d.prepared);
	assert_int_equal(d.blob.len, 0);
	assert_contains(d.error, "encloses no volume");
	d.prepared = false;
	assert_int_equal(engine_prepare(en, SHAPE_BREP, b.data, b.len, NULL, &e), 0);
	pump(en, &d.prepared);
	assert_string_equal(d.error, "");
	assert_true(d.blob.len > 1000);
	assert_int_equal(engine_exact_reference(en, d.blob.data, d.blob.len, &id, &e), 0);
	assert_int_equal(engine_exact_reference(en, d.blob.data, d.blob.len - 1, &broken, &e), 0);

	cJSON *ask = cJSON_Parse("{\"solids\":1}");
	struct shape_request r = {
		.bytes = b.data, .len = b.len, .exact = ask, .exact_reference = id
	};
	limits_default(&r.limits);
	assert_int_equal(engine_measure(en, &r, NULL, &e), 0);
	pump(en, &d.measured);
	assert_true(d.ok);
	assert_close(num(d.exact, "reference_similarity"), 1, 1e-3);
	assert_close(num(d.exact, "topology"), 1, 0);
	/* figures are of another mesh: that is a request of its own */
	r.figures = FIGURES_FAST;
	assert_int_equal(engine_measure(en, &r, NULL, &e), -1);
	assert_int_equal(e.kind, ERR_USAGE);
	r.figures = FIGURES_NONE;
	d.measured = false;
	r.exact_reference = broken;
	assert_int_equal(engine_measure(en, &r, NULL, &e), 0);
	pump(en, &d.measured);
	assert_false(d.ok);
	assert_contains(d.measured_error, "prepared reference");
	engine_close(en);
	cJSON_Delete(ask);
	cJSON_Delete(d.exact);
	buf_release(&d.blob);
	buf_release(&b);
	buf_release(&bad);
}

static int warm(void **state)
{
	(void)state;
	return shape_warm_up(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sound_solid_has_all_of_topology),
		cmocka_unit_test(solids_and_genus_count_by_their_ratio),
		cmocka_unit_test(an_open_shell_has_no_topology_and_its_free_edges_are_counted),
		cmocka_unit_test(solids_that_meet_in_an_edge_are_no_manifold),
		cmocka_unit_test(groups_share_the_contact),
		cmocka_unit_test(where_and_how_far_apart_is_said),
		cmocka_unit_test(a_declared_joint_joins_within_its_clearance),
		cmocka_unit_test(how_near_is_near_enough_is_the_profiles),
		cmocka_unit_test(a_part_is_the_same_as_itself_however_it_lies),
		cmocka_unit_test(another_size_is_another_part),
		cmocka_unit_test(without_a_reference_there_is_nothing_to_be_like),
		cmocka_unit_test(checks_are_looked_at_as_the_part_lies_best),
		cmocka_unit_test(a_mesh_is_a_reference_too),
		cmocka_unit_test(what_encloses_nothing_is_no_reference),
		cmocka_unit_test(ten_runs_say_the_same),
		cmocka_unit_test(a_request_that_is_none_is_said_by_key),
		cmocka_unit_test(a_reference_is_prepared_sent_and_compared_with),
	};

	return cmocka_run_group_tests(tests, warm, NULL);
}
