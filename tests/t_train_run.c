/*
 * t_train_run.c - settings, and runs with a trainer that fails when it is told to.
 */
#include "tests/tiny_model.h"
#include "tests/toy_trainer.h"

#include <signal.h>
#include <sys/resource.h>

#include "gpu/train_run.h"

enum { STEPS = 30 };

struct place {
	char dir[64];
};

static const char *in(const struct place *p, const char *name)
{
	static char out[4][300];
	static int at;

	at = (at + 1) % 4;
	snprintf(out[at], sizeof(out[at]), "%s/%s", p->dir, name);
	return out[at];
}

/* Rows of one letter each; row i (from 0) has the letter 'a' + i. */
static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	struct buf rows = { 0 };

	folder_make(p->dir);
	tiny_model_files(p->dir);
	for (int i = 0; i < 20; i++)
		buf_printf(&rows, "{\"text\": \"%c%c%c%c\"}\n", 'a' + i, 'a' + i, 'a' + i, 'a' + i);
	tiny_write(p->dir, "rows.jsonl", rows.data, rows.len);
	buf_release(&rows);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;

	folder_remove(p->dir);
	free(p);
	return 0;
}

static int reset(void **state)
{
	(void)state;
	toy_faults = (struct toy_faults){ 0 };
	return 0;
}

static cJSON *settings(const struct place *p, const char *out)
{
	cJSON *o = cJSON_CreateObject();
	char model[320];

	snprintf(model, sizeof(model), "fresh:%s", in(p, "config.json"));
	cJSON_AddStringToObject(o, "model", model);
	cJSON_AddStringToObject(o, "tokenizer", p->dir);
	cJSON_AddStringToObject(o, "data", in(p, "rows.jsonl"));
	cJSON_AddStringToObject(o, "out", in(p, out));
	cJSON_AddStringToObject(o, "schedule", "constant");
	cJSON_AddNumberToObject(o, "lr", 0.1);
	cJSON_AddNumberToObject(o, "warmup", 0);
	cJSON_AddNumberToObject(o, "batch_samples", 2);
	cJSON_AddNumberToObject(o, "steps", STEPS);
	cJSON_AddStringToObject(o, "order", "file");
	cJSON_AddNumberToObject(o, "save_every", 3);
	cJSON_AddNumberToObject(o, "keep", 1);
	return o;
}

static void set(cJSON *o, const char *key, cJSON *v)
{
	cJSON_DeleteItemFromObject(o, key);
	cJSON_AddItemToObject(o, key, v);
}

struct watched {
	int step, saved, asked, notes;
	double loss[STEPS + 1];
	char note[600];
	int stop_at, full_from; /* steps; 0: never */
};

static void limit_files(rlim_t bytes)
{
	struct rlimit r;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &r), 0);
	r.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &r), 0);
}

static void on_event(void *ctx, const char *kind, const cJSON *o)
{
	struct watched *w = ctx;
	int step = (int)json_number_or(o, "step", 0);

	if (strcmp(kind, "step") == 0) {
		w->step = step;
		w->loss[step] = json_number_or(o, "loss", NAN);
		if (w->full_from == step)
			limit_files(3000);
	}
	if (strcmp(kind, "checkpoint") == 0)
		w->saved = step;
	if (strcmp(kind, "note") == 0) {
		w->notes++;
		snprintf(w->note, sizeof(w->note), "%s", json_string_or(o, "text", ""));
	}
}

static unsigned wants(void *ctx, bool wait)
{
	struct watched *w = ctx;

	assert_false(wait);
	w->asked++;
	return w->stop_at && w->step >= w->stop_at ? TRAIN_WANT_STOP : 0;
}

/* What train_run_go() gives; -2: it could not be opened. */
static int run(const cJSON *o, bool resume, struct watched *w, struct err *e)
{
	const struct train_run_ops ops = { .ctx = w,
		                           .program = "test",
		                           .device = "toy",
		                           .open = toy_open,
		                           .event = on_event,
		                           .wants = wants };
	struct train_run *r = train_run_open(o, resume, &ops, e);
	int rc = r ? train_run_go(r, e) : -2;

	train_run_close(r);
	return rc;
}

/* ---- runs ---- */

static void a_loss_that_is_no_number_names_step_file_and_line(void **state)
{
	struct place *p = *state;
	struct watched w = { 0 };
	struct err e = { 0 };
	cJSON *o = settings(p, "nan");

	/* row 12 (from 1) is the second of step 6 */
	toy_faults.nan_id = 'a' + 11;
	assert_int_equal(run(o, false, &w, &e), -1);
	assert_int_equal(e.kind, ERR_INPUT);
	assert_contains(e.text, "step 6: the loss is no number (nan)");
	assert_contains(e.text, "rows.jsonl, line 12;");
	assert_contains(e.text, "the checkpoint of step 3 stays");
	assert_int_equal(w.step, 5);
	assert_int_equal(w.saved, 3);
	/* with the fault gone it goes on from there */
	toy_faults.nan_id = 0;
	e = (struct err){ 0 };
	assert_int_equal(run(o, true, &w, &e), 0);
	assert_int_equal(w.step, STEPS);
	cJSON_Delete(o);
}

static void a_gradient_that_is_no_number_names_the_batch(void **state)
{
	struct place *p = *state;
	struct watched w = { 0 };
	struct err e = { 0 };
	cJSON *o = settings(p, "infinite");

	toy_faults.infinite_id = 'a' + 2;
	assert_int_equal(run(o, false, &w, &e), -1);
	assert_contains(e.text, "step 2: the norm of the gradients is no number (inf)");
	assert_contains(e.text, "rows.jsonl, lines 3, 4;");
	assert_contains(e.text, "there is no checkpoint yet");
	assert_int_equal(w.step, 1);
	cJSON_Delete(o);
}

static void passes_do_not_change_what_is_learnt(void **state)
{
	struct place *p = *state;
	struct watched one = { 0 }, many = { 0 };
	struct err e = { 0 };
	cJSON *o = settings(p, "one");
	int equal = 0;

	assert_int_equal(run(o, false, &one, &e), 0);
	set(o, "out", cJSON_CreateString(in(p, "many")));
	set(o, "pass_rows", cJSON_CreateNumber(4));
	assert_int_equal(run(o, false, &many, &e), 0);
	assert_int_equal(many.step, STEPS);
	for (int i = 1; i <= STEPS; i++) {
		/* what the seed makes of it */
		assert_close(many.loss[i], one.loss[i], 0.1 * one.loss[1]);
		equal += many.loss[i] == one.loss[i];
	}
	assert_true(one.loss[STEPS] < 0.5 * one.loss[1]);
	/* each pass has a seed of its own, so that masks of dropout are not repeated */
	assert_true(equal < STEPS / 2);
	assert_true(many.asked > one.asked);
	cJSON_Delete(o);
}

static void what_memory_does_not_hold_is_told_with_what_to_lower(void **state)
{
	struct place *p = *state;
	struct watched w = { 0 };
	struct err e = { 0 };
	cJSON *o = settings(p, "memory");

	set(o, "batch_samples", cJSON_CreateNumber(10));
	toy_faults.rows_max = 10;
	assert_int_equal(run(o, false, &w, &e), -2);
	assert_int_equal(e.kind, ERR_MEM);
	assert_contains(e.text, "no memory for 40 rows. ");
	assert_contains(e.text,
	                "pass_rows (a pass has up to 40 tokens now), recompute (now false)");
	assert_contains(e.text, "longest (now 4 in the data");
	set(o, "recompute", cJSON_CreateTrue());
	set(o, "pass_rows", cJSON_CreateNumber(20));
	assert_int_equal(run(o, false, &w, &e), -2);
	assert_contains(e.text, "up to 20 tokens now), longest");
	/* as told */
	set(o, "pass_rows", cJSON_CreateNumber(10));
	if (run(o, false, &w, &e) != 0)
		fail_msg("%s", e.text);
	cJSON_Delete(o);
}

static void a_disk_that_is_full_for_a_while_costs_checkpoints_alone(void **state)
{
	struct place *p = *state;
	struct watched w = { .full_from = 7 };
	struct err e = { 0 };
	struct rlimit was;
	cJSON *o = settings(p, "disk");

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	int rc = run(o, false, &w, &e);
	limit_files(was.rlim_cur);
	assert_int_equal(rc, -1);
	assert_int_equal(e.kind, ERR_IO);
	assert_int_equal(w.step, STEPS);
	assert_int_equal(w.saved, 6);
	assert_true(w.notes >= 7);
	assert_contains(w.note, "the checkpoint of step 6 stays, the run goes on");
	w.full_from = 0;
	e = (struct err){ 0 };
	assert_int_equal(run(o, true, &w, &e), 0);
	assert_int_equal(w.saved, STEPS);
	cJSON_Delete(o);
}

static void a_stop_between_passes_changes_nothing(void **state)
{
	struct place *p = *state;
	struct watched whole = { 0 }, w = { .stop_at = 8 };
	struct err e = { 0 };
	cJSON *o = settings(p, "w");

	set(o, "pass_rows", cJSON_CreateNumber(4));
	assert_int_equal(run(o, false, &whole, &e), 0);
	set(o, "out", cJSON_CreateString(in(p, "s")));
	assert_int_equal(run(o, false, &w, &e), 1);
	assert_int_equal(e.kind, 0);
	assert_int_equal(w.saved, 8);
	w.stop_at = 0;
	assert_int_equal(run(o, true, &w, &e), 0);
	assert_memory_equal(w.loss, whole.loss, sizeof(w.loss));
	cJSON_Delete(o);
}

static void a_spike_of_the_loss_is_told(void **state)
{
	struct place *p = *state;
	struct watched w = { 0 };
	struct err e = { 0 };
	struct buf rows = { 0 };
	cJSON *o = settings(p, "spike");

	/* what was learnt for long, then something else */
	for (int i = 0; i < 2 * STEPS; i++)
		buf_adds(&rows, i < 56 ? "{\"text\": \"aa\"}\n" : "{\"text\": \"zo\"}\n");
	tiny_write(p->dir, "spike.jsonl", rows.data, rows.len);
	buf_release(&rows);
	set(o, "data", cJSON_CreateString(in(p, "spike.jsonl")));
	if (run(o, false, &w, &e) != 0)
		fail_msg("%s", e.text);
	assert_int_equal(w.notes, 1);
	assert_contains(w.note, "the loss of step 29 is ");
	assert_contains(w.note, "was usual");
	cJSON_Delete(o);
}

/* ---- settings ---- */

static void defaults_are_as_the_header_says(void **state)
{
	struct train_settings s;
	struct err e = { 0 };
	cJSON *o = cJSON_Parse("{\"model\": \"/m\", \"data\": \"/d\", \"out\": \"/o\"}");

	(void)state;
	assert_int_equal(train_settings_read(&s, o, &e), 0);
	assert_false(s.full || s.fresh || s.muon || s.rslora || s.recompute || s.dataset.loss_all);
	assert_string_equal(s.tokenizer, "/m");
	assert_null(s.eval_data);
	assert_null(s.adapter);
	assert_int_equal(s.rank, 16);
	assert_close(s.alpha, 32, 0);
	assert_close(s.lr, 2e-4, 0);
	assert_close(s.beta2, 0.999, 0);
	assert_close(s.clip, 1, 0);
	assert_close(s.warmup, 0.03, 0);
	assert_int_equal(s.schedule, SCHEDULE_COSINE);
	assert_close(s.order.epochs, 3, 0);
	assert_true(s.order.steps == 0);
	assert_int_equal(s.order.batch_samples, 8);
	assert_int_equal(s.order.pass_rows, 8192);
	assert_int_equal(s.dataset.longest, 8192);
	assert_true(s.order.by_length && !s.order.as_file);
	assert_true(s.seed == 3407 && s.order.seed == 3407);
	assert_int_equal(s.targets, 1u << MODULE_Q | 1u << MODULE_K | 1u << MODULE_V |
	                                    1u << MODULE_O | 1u << MODULE_GATE | 1u << MODULE_UP |
	                                    1u << MODULE_DOWN);
	assert_int_equal(s.eval_every, 25);
	assert_int_equal(s.save_every, 50);
	assert_int_equal(s.keep, 3);
	assert_int_equal(s.dtype, DTYPE_F32);
	/* what is read again is the same */
	struct train_settings again;
	assert_int_equal(train_settings_read(&again, s.all, &e), 0);
	assert_true(cJSON_Compare(s.all, again.all, true));
	assert_int_equal(train_settings_agree(s.all, again.all, &e), 0);
	train_settings_release(&again);
	train_settings_release(&s);
	cJSON_Delete(o);
}

static void a_bad_value_is_refused_by_the_keys_name(void **state)
{
	static const char *const bad[][2] = {
		{ "\"ranks\": 3", "setting ranks: there is none of that name" },
		{ "\"rank\": 0", "setting rank: at least 1" },
		{ "\"rank\": 2.5", "setting rank: a whole number" },
		{ "\"rank\": \"16\"", "setting rank: a number was expected, got a text" },
		{ "\"lr\": 0", "setting lr: above 0" },
		{ "\"lr\": 1e400", "setting lr" },
		{ "\"dropout\": 1", "setting dropout" },
		{ "\"beta1\": 1", "setting beta1" },
		{ "\"schedule\": \"linea\"", "setting schedule: one of cosine|linear" },
		{ "\"schedule\": \"\"", "setting schedule" },
		{ "\"schedule\": \"cosine|linear\"", "setting schedule" },
		{ "\"by_length\": 1", "setting by_length: true or false" },
		{ "\"targets\": []", "setting targets" },
		{ "\"targets\": [\"q_proj\", \"x\\u001b\"]", "setting targets: x\\x1b is none" },
		{ "\"method\": 1", "setting method: a text" },
		{ "\"steps\": 5, \"epochs\": 1", "settings steps and epochs" },
		{ "\"batch_samples\": 0", "batch_tokens" },
		{ "\"longest\": 100, \"pass_rows\": 50", "setting longest: 100 tokens" },
		{ "\"method\": \"full\", \"adapter\": \"/a\"", "setting adapter" },
		{ "\"method\": \"full\", \"dropout\": 0.1", "setting dropout" },
		{ "\"optimizer\": \"muon\"", "setting optimizer" },
		{ "\"tokenizer\": \"/t\"", "setting tokenizer" },
		{ "\"floor\": 1", "setting floor" },
		{ "\"seed\": -1", "setting seed" },
		{ "\"seed\": 1e300", "setting seed" },
		{ "\"keep\": 0", "setting keep" },
		{ "\"eval_data\": \"\"", "setting eval_data: an empty path" },
		{ "\"model\": \"fresh:\"", "setting model" },
		{ "\"model\": \"fresh:/c\"", "setting tokenizer" },
		{ "\"model\": \"fresh:/c\", \"method\": \"lora\", \"tokenizer\": \"/t\"",
		  "setting method" },
		{ "\"model\": null", "setting model: it is needed" },
		{ "\"out\": null", "setting out: it is needed" },
		{ "\"\\u001b]0;evil\": 1", "setting \\x1b]0;evil" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct train_settings s;
		struct err e = { 0 };
		char text[400];
		cJSON *o = cJSON_Parse("{\"model\": \"/m\", \"data\": \"/d\", \"out\": \"/o\"}"),
		      *x;
		snprintf(text, sizeof(text), "{%s}", bad[i][0]);
		cJSON *more = cJSON_Parse(text);
		assert_non_null(more);
		while ((x = cJSON_DetachItemFromArray(more, 0))) {
			cJSON_DeleteItemFromObject(o, x->string);
			cJSON_AddItemToArray(o, x);
		}
		if (train_settings_read(&s, o, &e) == 0)
			fail_msg("%s was taken", bad[i][0]);
		assert_int_equal(e.kind, ERR_INPUT);
		assert_contains(e.text, bad[i][1]);
		assert_null(strchr(e.text, 0x1b));
		cJSON_Delete(more);
		cJSON_Delete(o);
	}
}

/* The hash, and what two runs must agree in, are of the same keys. */
static void every_key_shapes_the_result_or_does_not(void **state)
{
	static const char *const shape[] = { "\"method\": \"full\"",      "\"rank\": 8",
		                             "\"targets\": [\"q_proj\"]", "\"lr\": 1e-4",
		                             "\"schedule\": \"linear\"",  "\"epochs\": 2",
		                             "\"longest\": 100",          "\"seed\": 1",
		                             "\"order\": \"file\"",       "\"loss\": \"all\"" };
	static const char *const free_ones[] = { "\"threads\": 2",       "\"keep\": 1",
		                                 "\"eval_every\": 1",    "\"save_every\": 1",
		                                 "\"recompute\": true",  "\"dtype\": \"bf16\"",
		                                 "\"out\": \"/p\"",      "\"data\": \"/e\"",
		                                 "\"backend\": \"cpu\"", "\"model\": \"/n\"" };
	struct train_settings a, b;
	struct err e = { 0 };
	char x[TRAIN_HASH_HEX], y[TRAIN_HASH_HEX], text[300];
	cJSON *o = cJSON_Parse("{\"model\": \"/m\", \"data\": \"/d\", \"out\": \"/o\"}");

	(void)state;
	assert_int_equal(train_settings_read(&a, o, &e), 0);
	cJSON_Delete(o);
	train_settings_hash(a.all, x);
	for (int k = 0; k < 20; k++) {
		snprintf(text, sizeof(text),
		         "{%s, \"model\": \"/m\", \"data\": \"/d\", \"out\": \"/o\"}",
		         k < 10 ? shape[k] : free_ones[k - 10]);
		o = cJSON_Parse(text);
		if (train_settings_read(&b, o, &e) < 0)
			fail_msg("%s", e.text);
		train_settings_hash(b.all, y);
		assert_int_equal(strcmp(x, y) != 0, k < 10);
		assert_int_equal(train_settings_agree(a.all, b.all, &e), k < 10 ? -1 : 0);
		train_settings_release(&b);
		cJSON_Delete(o);
	}
	train_settings_release(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_loss_that_is_no_number_names_step_file_and_line, reset),
		cmocka_unit_test_setup(a_gradient_that_is_no_number_names_the_batch, reset),
		cmocka_unit_test_setup(passes_do_not_change_what_is_learnt, reset),
		cmocka_unit_test_setup(what_memory_does_not_hold_is_told_with_what_to_lower, reset),
		cmocka_unit_test_setup(a_disk_that_is_full_for_a_while_costs_checkpoints_alone,
		                       reset),
		cmocka_unit_test_setup(a_stop_between_passes_changes_nothing, reset),
		cmocka_unit_test_setup(a_spike_of_the_loss_is_told, reset),
		cmocka_unit_test(defaults_are_as_the_header_says),
		cmocka_unit_test(a_bad_value_is_refused_by_the_keys_name),
		cmocka_unit_test(every_key_shapes_the_result_or_does_not),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
