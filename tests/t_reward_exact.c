/* The exact reward: terms, totals, profiles, rebuilds, words. */
#include "tests/lib.h"

#include <math.h>
#include <string.h>

#include "engine/reward_exact.h"

static struct exact_profile profile(const char *name)
{
	struct exact_profile p = { .rebuilds = -1 };
	struct buf text = { 0 };
	struct err e = { 0 };
	char path[4096];

	snprintf(path, sizeof(path), "%s/tasks/profiles/%s.json", SRCDIR, name);
	if (buf_read_file(&text, path, 1 << 20, &e) < 0 ||
	    exact_profile_parse(&p, buf_str(&text), text.len, path, &e) < 0)
		fail_msg("%s", e.text);
	buf_release(&text);
	return p;
}

static struct exact_reward built(const struct exact_profile *p, double topology, double contact,
                                 double semantic, double reference, double silhouette, double edit,
                                 double efficiency)
{
	const double t[TERM_COUNT] = { 1,         topology,   contact, semantic,
		                       reference, silhouette, edit,    efficiency };
	struct exact_reward r;

	exact_built(&r, p, t);
	return r;
}

static void the_shipped_profiles_have_the_published_weights(void **state)
{
	static const double want[TERM_COUNT] = { 0.10, 0.15, 0.10, 0.30, 0.15, 0.05, 0.10, 0.05 };
	struct exact_profile p = profile("exact"), q = profile("exact-train");

	(void)state;
	for (int t = 0; t < TERM_COUNT; t++) {
		assert_true(p.weight[t] == want[t] && q.weight[t] == want[t]);
		assert_true(p.gated[t] == (t == TERM_TOPOLOGY || t == TERM_CONTACT ||
		                           t == TERM_EDITABILITY || t == TERM_EFFICIENCY));
	}
	assert_string_equal(p.name, "exact");
	assert_string_equal(q.name, "exact-train");
	assert_int_equal(p.rebuilds, 4);
	assert_int_equal(q.rebuilds, 0);
	assert_true(p.floor == 0.15 && p.scale == 0.85);
}

static void a_perfect_part_gets_1_and_a_tidy_nothing_little(void **state)
{
	struct exact_profile p = profile("exact");

	(void)state;
	assert_close(built(&p, 1, 1, 1, 1, 1, 1, 1).total, 1, 1e-12);
	assert_close(built(&p, 1, 1, 0, 0, 0, 1, 1).total, 0.15 + 0.85 * 0.10, 1e-12);
	/* all but the checks */
	assert_close(built(&p, 1, 1, 0, 1, 1, 1, 1).total, 0.15 + 0.85 * 0.30, 1e-12);
	/* the gate is in the four tidy terms alone */
	assert_close(built(&p, 1, 1, 0.5, 0.4, 0.2, 0.6, 0.8).total,
	             0.15 + 0.85 * (0.10 + 0.5 * (0.15 + 0.10 + 0.10 * 0.6 + 0.05 * 0.8) +
	                            0.30 * 0.5 + 0.15 * 0.4 + 0.05 * 0.2),
	             1e-12);
}

static void a_term_that_does_not_apply_shares_its_weight_out(void **state)
{
	struct exact_profile p = profile("exact");
	struct exact_reward r = built(&p, 1, 1, 1, NAN, NAN, 1, NAN);
	double sum = 0;

	(void)state;
	assert_close(r.total, 1, 1e-12);
	assert_close(r.weight[TERM_SEMANTIC_PARTS], 0.30 / 0.75, 1e-12);
	assert_true(isnan(r.weight[TERM_SILHOUETTE]) && isnan(r.adds[TERM_SILHOUETTE]));
	/* without checks nothing is held back */
	r = built(&p, 1, 0, NAN, 0.5, 0.5, 0.5, 0.5);
	assert_true(r.gate == 1);
	assert_close(r.total,
	             0.15 + 0.85 * (0.10 + 0.15 + 0.5 * (0.15 + 0.05 + 0.10 + 0.05)) / 0.70, 1e-12);
	for (int t = 0; t < TERM_COUNT; t++)
		if (isfinite(r.adds[t]))
			sum += r.adds[t];
	assert_close(p.floor + sum, r.total, 1e-12);
	assert_true(isnan(built(&p, 1, 1, NAN, 1, 1, 1, 1).weight[TERM_SEMANTIC_PARTS]));
	/* what is out of range is cut off */
	assert_close(built(&p, 2, 1, 1, 1, 1, 1, 1).total, 1, 1e-12);
}

static void what_does_not_build_is_negative_and_further_is_better(void **state)
{
	struct exact_profile p = profile("exact");
	const struct {
		struct exact_failure f;
		double want;
	} cases[] = {
		{ { CAUSE_SYNTAX, 1, 20, 0, 0 }, -0.99 },
		{ { CAUSE_SYNTAX, 20, 20, 0, 0 }, -0.80 },
		{ { CAUSE_SYNTAX, 0, 20, 0, 0 }, -1.00 },
		{ { CAUSE_SYNTAX, 50, 20, 0, 0 }, -0.80 },
		{ { CAUSE_BAD_INPUT, 0, 0, 0, 0 }, -1.00 },
		{ { CAUSE_REFUSED, 3, 9, 2, 4 }, -0.75 },
		{ { CAUSE_WALL_LIMIT, 0, 9, 2, 4 }, -0.75 },
		{ { CAUSE_CPU_LIMIT, 0, 9, 2, 4 }, -0.75 },
		{ { CAUSE_MEMORY_LIMIT, 0, 9, 2, 4 }, -0.75 },
		{ { CAUSE_OUTPUT_LIMIT, 0, 9, 2, 4 }, -0.75 },
		{ { CAUSE_PROCESS_LIMIT, 0, 9, 2, 4 }, -0.75 },
		{ { CAUSE_SHAPE_LIMIT, 0, 9, 4, 4 }, -0.75 },
		{ { CAUSE_NAME, 3, 9, 2, 4 }, -0.525 },
		{ { CAUSE_ATTRIBUTE, 3, 9, 0, 4 }, -0.65 },
		{ { CAUSE_TYPE, 3, 9, 2, 4 }, -0.375 },
		{ { CAUSE_VALUE, 3, 9, 3, 4 }, -0.3125 },
		{ { CAUSE_KERNEL_ERROR, 3, 9, 0, 0 }, -0.50 },
		{ { CAUSE_OTHER_EXCEPTION, 3, 9, 4, 4 }, -0.25 },
		{ { CAUSE_CRASH, 0, 9, 1, 4 }, -0.4375 },
		{ { CAUSE_NO_FINAL_OBJECT, 0, 9, 4, 4 }, -0.20 },
		{ { CAUSE_NOT_A_SHAPE, 0, 9, 4, 4 }, -0.20 },
		{ { CAUSE_EMPTY_SHAPE, 0, 9, 4, 4 }, -0.10 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		if (fabs(exact_failed_total(&p, &cases[i].f) - cases[i].want) > 1e-12)
			fail_msg("case %zu, %s: got %g, want %g", i,
			         build_cause_name(cases[i].f.cause),
			         exact_failed_total(&p, &cases[i].f), cases[i].want);
	/* our own loss says nothing about the program; every other cause has a total below 0 */
	for (int c = CAUSE_OK; c < CAUSE_COUNT; c++) {
		struct exact_failure f = { .cause = (enum build_cause)c };
		double total = exact_failed_total(&p, &f);
		if (c == CAUSE_OK || c == CAUSE_BUILDER_LOST)
			assert_true(isnan(total));
		else
			assert_true(total < 0 && total >= -1);
	}
}

static void editability_counts_rebuilds_names_and_helpers(void **state)
{
	struct exact_profile p = profile("exact");
	struct exact_edits x = { .parsed = true,
		                 .rebuilds = 4,
		                 .rebuilds_ok = 3,
		                 .named_used = 6,
		                 .numbers = 8,
		                 .functions = 2 };

	(void)state;
	assert_close(exact_editability(&p, &x, 4), 0.4 * 0.75 + 0.3 * 0.75 + 0.3 * 2 / 3, 1e-12);
	/* without rebuilds their weight is shared out */
	assert_close(exact_editability(&p, &x, 0), 0.5 * 0.75 + 0.5 * 2 / 3, 1e-12);
	x.functions = 50;
	x.rebuilds_ok = 4;
	x.named_used = 8;
	assert_close(exact_editability(&p, &x, 4), 1, 1e-12);
	/* wanted, and nothing there that could be changed */
	x = (struct exact_edits){ .parsed = true };
	assert_close(exact_editability(&p, &x, 4), 0, 1e-12);
	x.parsed = false;
	assert_true(isnan(exact_editability(&p, &x, 4)));
}

static void efficiency_is_free_up_to_half_more_than_the_reference(void **state)
{
	struct exact_profile p = profile("exact");

	(void)state;
	assert_close(exact_efficiency(&p, 15, 10, 150, 100), 1, 1e-12);
	assert_close(exact_efficiency(&p, 30, 10, 150, 100), 0.75, 1e-12);
	assert_close(exact_efficiency(&p, 30, 10, 50, NAN), 0.5, 1e-12);
	assert_close(exact_efficiency(&p, NAN, 10, 300, 100), 0.5, 1e-12);
	assert_true(isnan(exact_efficiency(&p, 10, NAN, 10, NAN)));
}

/* ---- profiles ---- */

static void a_wrong_profile_is_named_by_key_want_and_got(void **state)
{
	static const struct {
		const char *from, *to, *says;
	} cases[] = {
		{ "\"topology\": 0.15", "\"topology\": 0.25",
		  "weights: a sum of 1 was expected, got 1.1" },
		{ "\"topology\": 0.15", "\"topolgy\": 0.15",
		  "weights.topolgy: no key of a profile" },
		{ "\"silhouette\": 0.05,", "", "weights: silhouette" },
		{ "\"topology\": 0.15", "\"topology\": \"0.15\"", "weights: topology: a number" },
		{ "\"efficiency\"]", "\"colour\"]",
		  "gated: the name of a term was expected, got colour" },
		{ "\"efficiency\"]", "\"semantic_parts\"]", "semantic_parts is the gate" },
		{ "\"rebuilds\": 4", "\"rebuilds\": 4.5", "editability.rebuilds: a whole number" },
		{ "\"rebuilds\": 4", "\"rebuilds\": 1000",
		  "editability.rebuilds: a number from 0 to 64" },
		{ "\"floor\": 0.15", "\"floor\": 0.5", "built.scale: a number from 0 to 0.5" },
		{ "\"stopped\": -0.75", "\"stopped\": 0.75",
		  "failed.stopped: a number from -1 to 0" },
		{ "cadforge-profile-1", "cadforge-profile-9", "cadforge-profile-1 was expected" },
		{ "\"exact\"", "\"Ex act\"", "name: " },
		{ "\"touch_mm\": 0.05", "\"touch_mm\": 0.05, \"x\": 1", "contact.x: no key" },
		{ "\"format\"", "\"formal\"", "format" },
		{ "}\n}", "}", "line " },
	};
	struct buf text = { 0 };
	struct err e = { 0 };
	char path[4096];

	(void)state;
	snprintf(path, sizeof(path), "%s/tasks/profiles/exact.json", SRCDIR);
	assert_int_equal(buf_read_file(&text, path, 1 << 20, &e), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct exact_profile p = { .rebuilds = -7 };
		struct buf wrong = { 0 };
		const char *at = strstr(buf_str(&text), cases[i].from);
		assert_non_null(at);
		buf_add(&wrong, text.data, (size_t)(at - text.data));
		buf_adds(&wrong, cases[i].to);
		buf_adds(&wrong, at + strlen(cases[i].from));
		e = (struct err){ 0 };
		if (exact_profile_parse(&p, buf_str(&wrong), wrong.len, "mine.json", &e) == 0)
			fail_msg("case %zu was taken", i);
		if (e.kind != ERR_INPUT || !strstr(e.text, cases[i].says) ||
		    strncmp(e.text, "mine.json: ", 11) != 0)
			fail_msg("case %zu: '%s' has no '%s'", i, e.text, cases[i].says);
		assert_int_equal(p.rebuilds, -7); /* untouched */
		buf_release(&wrong);
	}
	buf_release(&text);
}

/* ---- rebuilds ---- */

static int edit(char *out, size_t size, const char *program, const char *number, double value,
                bool whole)
{
	struct buf b = { 0 };
	struct err e = { 0 };
	cJSON *d = cJSON_CreateObject();
	size_t from = (size_t)(strstr(program, number) - program);

	cJSON_AddNumberToObject(d, "value", value);
	cJSON_AddNumberToObject(d, "from", (double)from);
	cJSON_AddNumberToObject(d, "to", (double)(from + strlen(number)));
	int rc = exact_edit(&b, program, strlen(program), d, 0.1, whole, &e);
	snprintf(out, size, "%s", buf_str(&b));
	buf_release(&b);
	cJSON_Delete(d);
	return rc;
}

static void one_number_is_changed_and_nothing_else(void **state)
{
	static const struct {
		const char *program, *number;
		double value;
		bool whole;
		const char *want; /* NULL: it cannot be changed */
	} cases[] = {
		{ "w = 40.0  # 40.0\n", "40.0", 40, false, "w = 44.0  # 40.0\n" },
		{ "w = 500\nh = 3\n", "500", 500, false, "w = 550\nh = 3\n" },
		{ "w = 5\n", "5", 5, false, "w = 5.5\n" },
		{ "n = 5\n", "5", 5, true, "n = 6\n" },
		{ "n = 40\n", "40", 40, true, "n = 44\n" },
		{ "n = -4\n", "-4", -4, true, "n = -5\n" },
		{ "w = -3.5", "-3.5", -3.5, false, "w = -3.85" },
		{ "w = 1_000.5", "1_000.5", 1000.5, false, "w = 1100.55" },
		{ "w = 2e3", "2e3", 2000, false, "w = 2200.0" },
		{ "w = 0x10", "0x10", 16, false, "w = 17.6" },
		{ "w = .5", ".5", 0.5, false, "w = 0.55" },
		{ "w = 0.1", "0.1", 0.1, false, "w = 0.11" },
		{ "w = 0.0", "0.0", 0, false, NULL },
		{ "w = 7.0", "7.0", 8, false, NULL }, /* not what the facts say */
		{ "w = abc", "abc", 8, false, NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char got[200];
		int rc = edit(got, sizeof(got), cases[i].program, cases[i].number, cases[i].value,
		              cases[i].whole);
		if (rc != (cases[i].want ? 0 : 1))
			fail_msg("case %zu: %d", i, rc);
		if (cases[i].want && strcmp(got, cases[i].want) != 0)
			fail_msg("case %zu: '%s', want '%s'", i, got, cases[i].want);
	}
}

static void a_span_outside_of_the_program_is_refused(void **state)
{
	static const double spans[][2] = { { -1, 3 }, { 0, 100 }, { 3, 3 }, { 5, 2 }, { NAN, 2 } };
	struct err e = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(spans) / sizeof(*spans); i++) {
		struct buf b = { 0 };
		cJSON *d = cJSON_CreateObject();
		cJSON_AddNumberToObject(d, "value", 5);
		json_add_figure(d, "from", spans[i][0]);
		json_add_figure(d, "to", spans[i][1]);
		assert_int_equal(exact_edit(&b, "w = 5", 5, d, 0.1, false, &e), 1);
		assert_int_equal(b.len, 0);
		cJSON_Delete(d);
	}
}

static cJSON *geometry(const char *change, double to)
{
	cJSON *g = json_parse(
		"{\"solids\":1,\"shells\":1,\"faces\":6,\"edges\":12,\"vertices\":8,\"volume_mm3\":6000,"
		"\"area_mm2\":2200,\"bbox_mm\":[10,20,30],\"center_of_mass_mm\":[0,0,0],"
		"\"inertia_mm5\":[650000,500000,250000,0,0,0],\"closed\":true,\"valid\":true}",
		strlen("{\"solids\":1,\"shells\":1,\"faces\":6,\"edges\":12,\"vertices\":8,\"volume_mm3\":6000,"
	               "\"area_mm2\":2200,\"bbox_mm\":[10,20,30],\"center_of_mass_mm\":[0,0,0],"
	               "\"inertia_mm5\":[650000,500000,250000,0,0,0],\"closed\":true,\"valid\":true}"),
		NULL);
	char key[40];
	int index = -1;

	assert_non_null(g);
	if (!change)
		return g;
	if (sscanf(change, "%39[a-z_0-9].%d", key, &index) == 2) {
		cJSON *a = cJSON_GetObjectItemCaseSensitive(g, key);
		cJSON_SetNumberValue(cJSON_GetArrayItem(a, index), to);
	} else {
		cJSON_SetNumberValue(cJSON_GetObjectItemCaseSensitive(g, change), to);
	}
	return g;
}

static void noise_is_no_change_and_a_hundredth_is(void **state)
{
	static const struct {
		const char *what;
		double to;
		bool changed;
	} cases[] = {
		{ NULL, 0, false },
		{ "volume_mm3", 6000.000001, false },
		{ "volume_mm3", 6001, true },
		{ "faces", 7, true },
		{ "solids", 2, true },
		{ "bbox_mm.1", 20.01, true },
		{ "center_of_mass_mm.0", 1e-9, false },
		{ "center_of_mass_mm.0", 0.01, true },
		{ "inertia_mm5.4", 1e-4, false },
		{ "inertia_mm5.4", 5000, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		cJSON *a = geometry(NULL, 0), *b = geometry(cases[i].what, cases[i].to);
		if (exact_shape_changed(a, b) != cases[i].changed)
			fail_msg("case %zu", i);
		assert_true(exact_shape_sound(b));
		cJSON_Delete(a);
		cJSON_Delete(b);
	}
	cJSON *open = geometry(NULL, 0);
	cJSON_ReplaceItemInObjectCaseSensitive(open, "closed", cJSON_CreateFalse());
	assert_false(exact_shape_sound(open));
	cJSON_Delete(open);
	assert_false(exact_shape_sound(NULL));
}

/* ---- words ---- */

static void the_heaviest_fallen_check_is_named_first(void **state)
{
	const char *text =
		"{\"checks\":["
		"{\"id\":\"legs\",\"ok\":true,\"weight\":2,\"score\":1,\"why\":\"met\"},"
		"{\"id\":\"holes\",\"ok\":false,\"weight\":1,\"score\":0.5,\"why\":\"expected 4, found 2\"},"
		"{\"id\":\"box\",\"ok\":false,\"weight\":3,\"score\":0,\"why\":\"expected 500, found 400\"},"
		"{\"id\":\"wall\",\"ok\":null,\"weight\":1,\"score\":0,\"why\":\"cannot be measured\"}],"
		"\"topology_details\":{\"why\":\"a free edge\"},\"contact_details\":{\"why\":null}}";
	cJSON *exact = json_parse(text, strlen(text), NULL);
	struct exact_profile p = profile("exact");
	struct exact_reward r = built(&p, 0, 1, 0.5, 1, 1, 1, 1);
	struct exact_edits x = { .parsed = true, .named_used = 1, .numbers = 1, .functions = 1 };
	struct build b = { .ok = true };
	struct exact_advice a = { .build = &b, .reward = &r, .exact = exact, .edits = &x };
	struct notes n = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(exact_notes(&n, &a, &e), 0);
	assert_int_equal(n.n, 4);
	assert_string_equal(n.text[0], "Check box: expected 500, found 400.");
	assert_string_equal(n.text[1], "Check wall: cannot be measured.");
	assert_string_equal(n.text[2], "Check holes: expected 4, found 2.");
	assert_string_equal(n.text[3], "Topology: a free edge.");
	notes_release(&n);
	cJSON_Delete(exact);
}

static void a_failed_build_is_told_by_its_error_and_line(void **state)
{
	struct exact_profile p = profile("exact");
	struct exact_failure f = { .cause = CAUSE_NAME };
	struct build b = { .cause = CAUSE_NAME,
		           .error = (char *)"line 3: NameError: name 'legs' is not defined",
		           .source = (char *)"fixture = legs",
		           .line = 3 };
	struct exact_reward r;
	struct exact_edits x = { 0 };
	struct exact_advice a = { .build = &b, .reward = &r, .edits = &x };
	struct notes n = { 0 };
	struct err e = { 0 };

	(void)state;
	exact_failed(&r, &p, &f);
	assert_close(r.total, -0.65, 1e-12);
	for (int t = 0; t < TERM_COUNT; t++)
		assert_true(isnan(r.term[t]));
	assert_int_equal(exact_notes(&n, &a, &e), 0);
	assert_int_equal(n.n, 1);
	assert_string_equal(n.text[0], "Not built: line 3: NameError: name 'legs' is not defined. "
	                               "The line: fixture = legs");
	notes_release(&n);
}

/* Credited scores of three checks of weights 2, 1, 1, with @k blanks. */
static double credited_together(const double s[3], const double *b, int k, double together,
                                double out[3])
{
	cJSON *checks = cJSON_CreateArray();
	static const double weight[3] = { 2, 1, 1 };

	for (int i = 0; i < 3; i++) {
		cJSON *c = cJSON_CreateObject();
		cJSON_AddNumberToObject(c, "weight", weight[i]);
		cJSON_AddNumberToObject(c, "score", s[i]);
		cJSON_AddItemToArray(checks, c);
	}
	double mean = exact_credit(checks, b, k, 3, together);
	/* terms may be told before all of the score is there: the second time changes nothing */
	assert_true(exact_credit(checks, b, k, 3, together) == mean);
	for (int i = 0; i < 3; i++) {
		out[i] = json_number_or(cJSON_GetArrayItem(checks, i), "score", NAN);
		assert_true(json_number_or(cJSON_GetArrayItem(checks, i), "raw", NAN) == s[i]);
	}
	cJSON_Delete(checks);
	return mean;
}

static double credited_by(const double s[3], const double *b, int k, double out[3])
{
	return credited_together(s, b, k, 0, out);
}

static double credited(const double s[3], const double b[3], double out[3])
{
	return credited_by(s, b, b != NULL, out);
}

static void of_several_blanks_the_one_that_leaves_the_least_counts(void **state)
{
	static const double forms[3][3] = { { 1, 0, 0 }, { 1, 1, 0 }, { 0, 0, 1 } };
	double c[3];

	(void)state;
	for (int k = 0; k < 3; k++)
		assert_close(credited_by(forms[k], forms[0], 3, c), 0, 1e-12);
	/* a half of the second form is what the first leaves of it */
	assert_close(credited_by((double[]){ 1, 1, 0 }, forms[0], 1, c), 0.5, 1e-12);
	/* the second form leaves most to be met: a half of its third check, and nothing of its
	 * second */
	assert_close(credited_by((double[]){ 1, 0.5, 0.5 }, forms[0], 3, c),
	             (2 * 0.5 + 0 + 0.5) / 4, 1e-12);
	assert_close(c[0], 0.5, 1e-12);
	assert_close(c[1], 0, 1e-12);
	assert_close(c[2], 0.5, 1e-12);
	assert_close(credited_by((double[]){ 1, 1, 1 }, forms[0], 3, c), 1, 1e-12);
}

static void what_a_block_has_counts_as_far_as_the_rest_is_met(void **state)
{
	static const double block[3] = { 1, 0.5, 0 }, all[3] = { 1, 1, 1 };
	double c[3];

	(void)state;
	/* the block itself; everything met; half of what the block lacks */
	assert_close(credited(block, block, c), 0, 1e-12);
	assert_close(credited((double[]){ 1, 1, 1 }, block, c), 1, 1e-12);
	assert_close(credited((double[]){ 1, 0.5, 0.75 }, block, c), (2 * 0.5 + 0.25 + 0.75) / 4,
	             1e-12);
	assert_close(c[0], 0.5, 1e-12);
	assert_close(c[1], 0.25, 1e-12);
	assert_close(c[2], 0.75, 1e-12);
	/* worse than the block is not less than nothing */
	assert_close(credited((double[]){ 0, 0, 0 }, block, c), 0, 1e-12);
	/* a task that a block fulfils is one */
	assert_close(credited(all, all, c), 1, 1e-12);
	assert_close(credited((double[]){ 0.5, 1, 1 }, all, c), 0.75, 1e-12);
	/* nothing known of blocks */
	assert_close(credited((double[]){ 0.5, 1, 0 }, NULL, c), 0.5, 1e-12);
	assert_true(isnan(exact_credit(NULL, NULL, 0, 0, 1.5)));
}

static void each_check_hangs_on_all_of_them(void **state)
{
	static const double block[3] = { 1, 0.5, 0 };
	double c[3];

	(void)state;
	/* all met is all met; else the mean, a half, of what the blank leaves, to the power of 2.5
	 */
	assert_close(credited_together((double[]){ 1, 1, 1 }, block, 1, 1.5, c), 1, 1e-12);
	assert_close(credited_together((double[]){ 1, 0.5, 0.75 }, block, 1, 1.5, c),
	             pow((2 * 0.5 + 0.25 + 0.75) / 4, 2.5), 1e-12);
	assert_close(c[0], 0.5 * pow(0.5, 1.5), 1e-12);
	assert_close(c[2], 0.75 * pow(0.5, 1.5), 1e-12);
	/* without blanks too, and nothing stays nothing */
	assert_close(credited_together((double[]){ 1, 1, 0 }, NULL, 0, 1, c), 0.75 * 0.75, 1e-12);
	assert_close(credited_together((double[]){ 0, 0, 0 }, NULL, 0, 1.5, c), 0, 1e-12);
}

static void a_delta_is_what_this_turn_has_more(void **state)
{
	const char *before =
		"{\"reward\":{\"total\":0.5,\"topology\":1,\"contact\":null},\"checks\":["
		"{\"id\":\"legs\",\"score\":0.5},{\"id\":\"box\",\"score\":1},{\"id\":\"gone\",\"score\":1}]}";
	const char *after =
		"{\"reward\":{\"total\":0.75,\"topology\":0.5,\"contact\":1},\"checks\":["
		"{\"id\":\"legs\",\"score\":1},{\"id\":\"box\",\"score\":1},{\"id\":\"new\",\"score\":0}]}";
	cJSON *a = json_parse(before, strlen(before), NULL),
	      *b = json_parse(after, strlen(after), NULL);
	cJSON *d = exact_delta(a, b);
	const cJSON *checks = cJSON_GetObjectItemCaseSensitive(d, "checks");

	(void)state;
	assert_close(json_number_or(d, "total", 0), 0.25, 1e-12);
	assert_close(json_number_or(d, "topology", 0), -0.5, 1e-12);
	assert_true(cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(d, "contact")));
	assert_true(cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(d, "efficiency")));
	assert_int_equal(cJSON_GetArraySize(checks), 2);
	const cJSON *legs = cJSON_GetArrayItem(checks, 0), *new = cJSON_GetArrayItem(checks, 1);
	assert_string_equal(json_string_or(legs, "id", ""), "legs");
	assert_close(json_number_or(legs, "from", 0), 0.5, 1e-12);
	assert_close(json_number_or(legs, "to", 0), 1, 1e-12);
	assert_string_equal(json_string_or(new, "id", ""), "new");
	assert_true(cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(new, "from")));
	cJSON_Delete(a);
	cJSON_Delete(b);
	cJSON_Delete(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_shipped_profiles_have_the_published_weights),
		cmocka_unit_test(a_perfect_part_gets_1_and_a_tidy_nothing_little),
		cmocka_unit_test(a_term_that_does_not_apply_shares_its_weight_out),
		cmocka_unit_test(what_does_not_build_is_negative_and_further_is_better),
		cmocka_unit_test(editability_counts_rebuilds_names_and_helpers),
		cmocka_unit_test(efficiency_is_free_up_to_half_more_than_the_reference),
		cmocka_unit_test(a_wrong_profile_is_named_by_key_want_and_got),
		cmocka_unit_test(one_number_is_changed_and_nothing_else),
		cmocka_unit_test(a_span_outside_of_the_program_is_refused),
		cmocka_unit_test(noise_is_no_change_and_a_hundredth_is),
		cmocka_unit_test(the_heaviest_fallen_check_is_named_first),
		cmocka_unit_test(a_failed_build_is_told_by_its_error_and_line),
		cmocka_unit_test(what_a_block_has_counts_as_far_as_the_rest_is_met),
		cmocka_unit_test(of_several_blanks_the_one_that_leaves_the_least_counts),
		cmocka_unit_test(each_check_hangs_on_all_of_them),
		cmocka_unit_test(a_delta_is_what_this_turn_has_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
