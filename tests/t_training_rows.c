/* Rows to learn from: what is left out and why, the mix, the split by task, the store's own turns.
 */
#include "tests/store.h"

#include "src/training_rows.h"

static char dir[64], data[128];

static int setup(void **state)
{
	(void)state;
	make_folder(dir, sizeof(dir));
	snprintf(data, sizeof(data), "%s/data.jsonl", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	remove_folder(dir);
	return 0;
}

#define ROW(task, n, more)                                                                         \
	"{\"task\":\"" task "\",\"prompt\":\"A plate of " #n                                       \
	" mm\",\"completion\":\"import cadquery as cq\\nsize = " #n                                \
	"\\nfixture = cq.Workplane('XY').box(size, size, " #n ")\\n\"" more "}\n"

static void put(const char *text)
{
	struct err e = { 0 };

	assert_done(file_write_atomic(data, text, strlen(text), &e), &e);
}

static void read_file(struct training_rows *r, const struct training_rows_options *given)
{
	struct training_rows_options o;
	struct err e = { 0 };

	training_rows_usual(&o);
	assert_done(training_rows_open(r, given ? given : &o, &e), &e);
	assert_done(training_rows_file(r, data, &e), &e);
}

static void every_row_that_cannot_be_learnt_from_is_counted_with_its_place(void **state)
{
	struct training_rows r;
	struct err e = { 0 };
	(void)state;

	put(ROW("a", 10, "") "\n" /* a blank line is passed over */
	                     "{\"task\": \"a\", oops\n"
	                     "{\"task\": \"a\"}\n"
	                     "{\"messages\": []}\n"
	                     "{\"messages\": [{\"role\": \"user\", \"content\": 3}]}\n"
	                     "{\"prompt\": \"x\", \"completion\": \"  \\n\"}\n"
	                     "{\"prompt\": \"x\", \"completion\": \"\xff\xfe\"}\n" ROW(
				     "b", 10,
				     "") "{\"prompt\": \"y\", \"completion\": \"import cadquery"
	                                 " as cq\\nfixtures = 3\\n\"}\n"
	                                 "{\"completion\": \"fixture = 1\"}\n" ROW(
						 "c", 11, ", \"weight\": -1"));
	read_file(&r, NULL);
	static const struct {
		enum row_drop d;
		const char *where;
	} want[] = {
		{ ROW_NOT_JSON, "data.jsonl:3" },    { ROW_NO_MESSAGES, "data.jsonl:4" },
		{ ROW_BAD_MESSAGE, "data.jsonl:6" }, { ROW_EMPTY, "data.jsonl:7" },
		{ ROW_NOT_UTF8, "data.jsonl:8" },    { ROW_DUPLICATE, "data.jsonl:9" },
		{ ROW_NO_OBJECT, "data.jsonl:10" },  { ROW_NO_PROMPT, "data.jsonl:11" },
	};
	for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++) {
		if (r.dropped[want[i].d] == 0)
			fail_msg("%s was not counted", row_drop_name(want[i].d));
		assert_string_equal(r.first[want[i].d].where, want[i].where);
	}
	assert_int_equal(r.dropped[ROW_NO_MESSAGES], 2);
	assert_int_equal(r.dropped[ROW_BAD_MESSAGE], 2);
	assert_int_equal(r.read, 11);
	assert_int_equal(r.n, 1);
	/* a task alone cannot be held out */
	assert_done(training_rows_split(&r, &e), &e);
	assert_int_equal(r.train, 1);
	cJSON *report = training_rows_report(&r);
	assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(report, "dropped")), 8);
	cJSON_Delete(report);
	training_rows_close(&r);
	training_rows_close(&r);
}

static void layout_and_comments_make_no_new_row(void **state)
{
	struct training_rows r;
	struct training_rows_options o;
	(void)state;

	put("{\"prompt\": \"A box of 3 holes and a slot that goes through it all the way\", "
	    "\"completion\": \"import cadquery as cq\\n\\nwidth = 12\\nfixture = "
	    "cq.Workplane('XY').box(width, 3, 4).edges('|Z').fillet(1)\\n\"}\n"
	    "{\"prompt\": \"A box of 3 holes and a slot that goes through it all the way\", "
	    "\"completion\": \"import cadquery as cq  # the library\\nwidth = 12\\n\\nfixture = "
	    "cq.Workplane('XY').box(width,  3, 4).edges('|Z').fillet(1)\\n\"}\n"
	    "{\"prompt\": \"A box of 3 holes and a slot that goes through it all the way\", "
	    "\"completion\": \"import cadquery as cq\\n\\nheight = 17\\nfixture = "
	    "cq.Workplane('XY').cylinder(height, 8).faces('>Z').hole(2.5)\\n\"}\n");
	read_file(&r, NULL);
	assert_int_equal(r.n, 2);
	assert_int_equal(r.dropped[ROW_NEAR_DUPLICATE], 1);
	assert_string_equal(r.first[ROW_NEAR_DUPLICATE].where, "data.jsonl:2");
	training_rows_close(&r);
	training_rows_usual(&o);
	o.near = 0;
	read_file(&r, &o);
	assert_int_equal(r.n, 3);
	training_rows_close(&r);
}

static void final_objects_are_seen(void **state)
{
	static const char *const yes[] = { "fixture = 1", "a = 2\nresult=box()",
		                           "part: cq.Workplane = f()", "show_object(x)",
		                           "  show_object (x)\nbody\t= 3" };
	static const char *const no[] = { "",
		                          "fixture == 3",
		                          "my_fixture = 3",
		                          "fixture",
		                          "print('fixture')",
		                          "  fixture = 2",
		                          "fixture.x = 3",
		                          "solid: int" };
	(void)state;

	for (size_t i = 0; i < sizeof(yes) / sizeof(*yes); i++)
		if (!training_row_object(yes[i], strlen(yes[i])))
			fail_msg("not seen: %s", yes[i]);
	for (size_t i = 0; i < sizeof(no) / sizeof(*no); i++)
		if (training_row_object(no[i], strlen(no[i])))
			fail_msg("seen: %s", no[i]);
}

static void put_tasks(int tasks, int rows)
{
	struct buf b = { 0 };

	for (int t = 0; t < tasks; t++)
		for (int i = 0; i < rows; i++)
			buf_printf(&b,
			           "{\"task\":\"task_%d\",\"prompt\":\"number %d of %d\","
			           "\"completion\":\"v%d_%d = %d\\nfixture = f(v%d_%d)\","
			           "\"kind\":\"%s\"}\n",
			           t, i, t, t, i, i * t, t, i, i ? "repair_syntax" : "program");
	put(buf_str(&b));
	buf_release(&b);
}

static void whole_tasks_are_held_out_and_the_seed_says_which(void **state)
{
	struct training_rows_options o;
	struct training_rows r;
	struct err e = { 0 };
	struct buf train = { 0 }, eval = { 0 }, again = { 0 };
	char path[160], name[32];
	int differ = 0;
	(void)state;

	put_tasks(20, 4);
	training_rows_usual(&o);
	o.held_out = 0.2;
	for (int seed = 0; seed < 4; seed++) {
		o.seed = (uint64_t)(seed / 2);
		read_file(&r, &o);
		assert_done(training_rows_split(&r, &e), &e);
		assert_int_equal(r.tasks, 20);
		assert_int_equal(r.held_tasks, 4);
		assert_int_equal(r.eval, 16);
		assert_int_equal(r.train, 64);
		assert_done(training_rows_write(&r, dir, &e), &e);
		training_rows_close(&r);
		buf_clear(&eval);
		snprintf(path, sizeof(path), "%s/eval.jsonl", dir);
		assert_done(buf_read_file(&eval, path, 1 << 20, &e), &e);
		if (seed % 2 == 1)
			assert_string_equal(buf_str(&eval), buf_str(&again));
		differ += seed == 2 && strcmp(buf_str(&eval), buf_str(&again)) != 0;
		buf_clear(&again);
		buf_adds(&again, buf_str(&eval));
	}
	assert_int_equal(differ, 1);
	snprintf(path, sizeof(path), "%s/train.jsonl", dir);
	assert_done(buf_read_file(&train, path, 1 << 20, &e), &e);
	for (int t = 0; t < 20; t++) {
		snprintf(name, sizeof(name), "\"task\":\"task_%d\"", t);
		assert_true(!strstr(buf_str(&train), name) != !strstr(buf_str(&eval), name));
	}
	/* by name too */
	const char *const held[] = { "task_3", "task_4" };
	o.held_tasks = held;
	o.n_held_tasks = 2;
	o.held_out = 0;
	read_file(&r, &o);
	assert_done(training_rows_split(&r, &e), &e);
	assert_int_equal(r.held_tasks, 2);
	assert_int_equal(r.eval, 8);
	training_rows_close(&r);
	o.held_out = 1;
	read_file(&r, &o);
	assert_int_equal(training_rows_split(&r, &e), -1);
	assert_contains(e.text, "lower --held-out");
	training_rows_close(&r);
	buf_release(&train);
	buf_release(&eval);
	buf_release(&again);
}

static void kinds_are_weighted_as_in_a_mix(void **state)
{
	struct training_rows_options o;
	struct training_rows r;
	struct err e = { 0 };
	struct buf train = { 0 };
	char path[160];
	(void)state;

	put_tasks(5, 4);
	training_rows_usual(&o);
	o.held_out = 0;
	o.program_weight = 4;
	read_file(&r, &o);
	assert_done(training_rows_split(&r, &e), &e);
	assert_int_equal(r.programs, 5);
	assert_int_equal(r.repairs, 15);
	assert_close(r.weighted, 35, 0);
	assert_done(training_rows_write(&r, dir, &e), &e);
	snprintf(path, sizeof(path), "%s/train.jsonl", dir);
	assert_done(buf_read_file(&train, path, 1 << 20, &e), &e);
	assert_contains(
		buf_str(&train),
		"{\"messages\":[{\"role\":\"user\",\"content\":\"number 0 of 0\"},{\"role\":"
		"\"assistant\",\"content\":\"v0_0 = 0\\nfixture = f(v0_0)\"}],\"weight\":4,"
		"\"task\":\"task_0\",\"kind\":\"program\",\"row\":\"data.jsonl:1\"}\n");
	assert_contains(buf_str(&train), "\"weight\":1,\"task\":\"task_0\",\"kind\":\"repair\"");
	snprintf(path, sizeof(path), "%s/eval.jsonl", dir);
	assert_int_not_equal(access(path, F_OK), 0);
	training_rows_close(&r);
	buf_release(&train);
}

static void the_stores_turns_are_chosen_by_what_came_of_them(void **state)
{
	struct training_rows_options o;
	struct training_rows r;
	struct err e = { 0 };
	char db[160];
	int number;
	int64_t ep[2];
	(void)state;

	snprintf(db, sizeof(db), "%s/sessions.db", dir);
	struct store *s = store_open(db, STORE_WRITE, NULL, &e);
	assert_non_null(s);
	/* totals 0.1 + 0.01 seed; every third does not build */
	for (int i = 0; i < 2; i++) {
		assert_done(start_episode(s, i ? "chair" : "hook", &ep[i], &e), &e);
		assert_done(commit_turn(s, ep[i], 0, 61 + i, &number, &e), &e);
		assert_done(commit_turn(s, ep[i], 1, 63 + i, &number, &e), &e);
		assert_done(commit_turn(s, ep[i], 1, 60 + i, &number, &e), &e);
		assert_done(commit_turn(s, ep[i], 0, 12 + i, &number, &e), &e);
	}
	const struct store_judgement_new j = {
		.episode = ep[0], .turn = 2, .as = "eve", .grade = 4
	};
	assert_done(store_judge(s, &j, NULL, &e), &e);
	struct store_filter f = store_filter_none();
	training_rows_usual(&o);
	o.near = 0;
	assert_done(training_rows_open(&r, &o, &e), &e);
	assert_done(training_rows_store(&r, s, &f, &e), &e);
	/* hook: 61 builds (0.71), 63 gains, 60 does not, 12 is below; chair: 62 does not build and
	 * 64 builds on it, 61 loses to nothing but builds, 13 is below */
	assert_int_equal(r.read, 8);
	assert_int_equal(r.dropped[ROW_NOT_BUILT], 1);
	assert_int_equal(r.dropped[ROW_BELOW], 2);
	assert_int_equal(r.dropped[ROW_NO_GAIN], 2);
	assert_int_equal(r.n, 3);
	assert_true(r.row[0].stored);
	training_rows_close(&r);
	f.task = "hook";
	o.grade = 4;
	assert_done(training_rows_open(&r, &o, &e), &e);
	assert_done(training_rows_store(&r, s, &f, &e), &e);
	assert_int_equal(r.n, 1);
	assert_string_equal(r.row[0].where, "1.2");
	assert_true(r.row[0].repair);
	training_rows_close(&r);
	o.judge = "adam";
	assert_done(training_rows_open(&r, &o, &e), &e);
	assert_done(training_rows_store(&r, s, &f, &e), &e);
	assert_int_equal(r.n, 0);
	assert_int_equal(training_rows_split(&r, &e), -1);
	assert_contains(e.text, "of 4 rows none is left to learn from: 1 total below the least "
	                        "(1.4)");
	training_rows_close(&r);
	store_close(s);
}

int main(void)
{
#define CLAIM(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CLAIM(every_row_that_cannot_be_learnt_from_is_counted_with_its_place),
		CLAIM(layout_and_comments_make_no_new_row),
		CLAIM(final_objects_are_seen),
		CLAIM(whole_tasks_are_held_out_and_the_seed_says_which),
		CLAIM(kinds_are_weighted_as_in_a_mix),
		CLAIM(the_stores_turns_are_chosen_by_what_came_of_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
