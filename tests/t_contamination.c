/*
 * t_contamination.c - what was learnt is found wherever it lies, and nothing else is taken for it.
 */
#include "tests/store.h"

#include <ctype.h>

#include "src/contamination.h"

static char dir[64];
static struct task_set tasks;
static struct prompt_set prompts;
static const struct task *items[3];

static int setup(void **state)
{
	static const char *const ids[] = { "wall_j_hook_120n", "caster_wheel_fork",
		                           "pipe_clamp_saddle" };
	const char *packs = SRCDIR "/tasks", *sets = SRCDIR "/tasks/prompts";
	struct err e = { 0 };

	(void)state;
	make_folder(dir, sizeof(dir));
	assert_done(task_set_load(&tasks, &packs, 1, &e), &e);
	assert_done(prompt_set_load(&prompts, &sets, 1, "default", &e), &e);
	for (int i = 0; i < 3; i++)
		assert_non_null(items[i] = task_find(&tasks, ids[i], &e));
	return 0;
}

static int remove_all(const char *path)
{
	char command[200];

	snprintf(command, sizeof(command), "rm -rf '%s'", path);
	return system(command);
}

static int teardown(void **state)
{
	(void)state;
	task_set_release(&tasks);
	prompt_set_release(&prompts);
	return remove_all(dir);
}

static struct contamination *begin(void)
{
	struct err e = { 0 };
	struct contamination *c = contamination_open(items, 3, &prompts, 0.9, &e);

	if (!c)
		fail_msg("%s", e.text);
	return c;
}

static void put(const char *name, const char *text)
{
	char path[200];
	struct err e = { 0 };

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	for (char *p = path + strlen(dir) + 1; *p; p++)
		if (*p == '/') {
			*p = '\0';
			mkdir(path, 0777);
			*p = '/';
		}
	assert_done(file_write_atomic(path, text, strlen(text), &e), &e);
}

static const char *at(const char *name)
{
	static char path[200];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

/* A row of chat with that prompt and answer. */
static void put_row(const char *name, const char *task, const char *prompt, const char *answer)
{
	cJSON *o = cJSON_CreateObject();
	struct buf text = { 0 };

	buf_adds(&text, "not a row at all\n\n");
	if (task)
		cJSON_AddStringToObject(o, "task", task);
	cJSON_AddStringToObject(o, "prompt", prompt);
	cJSON_AddStringToObject(o, "completion", answer);
	json_print(&text, o);
	buf_addc(&text, '\n');
	put(name, buf_str(&text));
	buf_release(&text);
	cJSON_Delete(o);
}

static void read_rows(struct contamination *c, const char *name)
{
	struct err e = { 0 };

	assert_done(contamination_file(c, at(name), &e), &e);
}

static void a_task_is_found_by_its_id(void **state)
{
	struct contamination *c = begin();

	(void)state;
	put_row("rows.jsonl", "caster_wheel_fork", "something else", "x = 1");
	read_rows(c, "rows.jsonl");
	assert_int_equal(contamination_count(c), 1);
	assert_int_equal(contamination_of(c, 1)->how, LEARNT_TASK);
	assert_string_equal(contamination_of(c, 1)->where, "rows.jsonl:3");
	contamination_close(c);
}

static void a_prompt_is_found_in_another_layout_and_case_and_inside_of_another(void **state)
{
	struct contamination *c = begin();
	struct buf text = { 0 };

	(void)state;
	buf_adds(&text, "You are asked for this part.\n\n   ");
	for (const char *p = items[0]->prompt; *p; p++)
		if (*p == ' ')
			buf_adds(&text, "\n  ");
		else
			buf_addc(&text, (char)toupper((unsigned char)*p));
	buf_adds(&text, "\n\nWrite it in CadQuery, and nothing else.");
	put_row("rows.jsonl", NULL, buf_str(&text), "x = 1");
	read_rows(c, "rows.jsonl");
	assert_int_equal(contamination_count(c), 1);
	assert_int_equal(contamination_of(c, 0)->how, LEARNT_PROMPT);
	buf_release(&text);
	contamination_close(c);
}

static void
a_prompt_with_a_word_changed_is_nearly_the_same_and_with_many_it_is_another(void **state)
{
	struct contamination *c = begin();
	const char *prompt = items[2]->prompt;
	struct buf text = { 0 };
	int word = 0;

	(void)state;
	/* the second word in a hundred is another one */
	for (const char *p = prompt; *p; p++) {
		word += *p == ' ';
		if (*p == ' ' && word == 2)
			buf_adds(&text, " truly");
		buf_addc(&text, *p);
	}
	put_row("rows.jsonl", NULL, buf_str(&text), "x = 1");
	read_rows(c, "rows.jsonl");
	assert_int_equal(contamination_of(c, 2)->how, LEARNT_NEAR);
	assert_true(contamination_of(c, 2)->share >= 0.9 && contamination_of(c, 2)->share < 1);
	contamination_close(c);
	c = begin();
	buf_clear(&text);
	word = 0;
	for (const char *p = prompt; *p; p++) {
		word += *p == ' ';
		if (*p == ' ' && word % 4 == 0)
			buf_adds(&text, " truly");
		buf_addc(&text, *p);
	}
	put_row("rows.jsonl", NULL, buf_str(&text), "x = 1");
	read_rows(c, "rows.jsonl");
	assert_int_equal(contamination_count(c), 0);
	contamination_close(c);
	buf_release(&text);
}

static void a_reference_program_is_found_without_its_comments(void **state)
{
	struct contamination *c = begin();
	struct buf program = { 0 }, text = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_done(buf_read_file(&program, items[1]->reference, 1 << 20, &e), &e);
	for (const char *p = buf_str(&program); *p; p++) {
		if (*p == '\n')
			buf_adds(&text, "  # so it is");
		buf_addc(&text, *p);
	}
	put_row("rows.jsonl", NULL, "make me a thing", buf_str(&text));
	read_rows(c, "rows.jsonl");
	assert_int_equal(contamination_count(c), 1);
	assert_int_equal(contamination_of(c, 1)->how, LEARNT_PROGRAM);
	buf_release(&program);
	buf_release(&text);
	contamination_close(c);
}

static void tasks_of_the_same_pack_are_not_taken_for_each_other(void **state)
{
	struct contamination *c = begin();

	(void)state;
	for (int i = 0; i < tasks.n; i++) {
		const struct task *t = &tasks.tasks[i];
		struct buf program = { 0 };
		struct err e = { 0 };
		bool item = false;
		char name[40];
		for (int k = 0; k < 3; k++)
			item |= t == items[k];
		if (item)
			continue;
		assert_done(buf_read_file(&program, t->reference, 1 << 20, &e), &e);
		/* a name of its own: a file is looked at once */
		snprintf(name, sizeof(name), "rows-%d.jsonl", i);
		put_row(name, t->id, t->prompt, buf_str(&program));
		read_rows(c, name);
		buf_release(&program);
	}
	assert_int_equal(contamination_count(c), 0);
	contamination_close(c);
}

static void a_checkpoint_leads_to_its_run_and_to_what_that_began_from(void **state)
{
	struct contamination *c = begin();
	struct buf text = { 0 };
	struct err e = { 0 };

	(void)state;
	put_row("old/train.jsonl", "wall_j_hook_120n", "x", "y = 1");
	put_row("new/train.jsonl", "pipe_clamp_saddle", "x", "y = 1");
	put_row("new/eval.jsonl", "caster_wheel_fork", "x", "y = 1");
	buf_printf(&text, "{\"data\":\"%s/old/train.jsonl\",\"model\":\"%s/base\"}", dir, dir);
	put("old/settings.json", buf_str(&text));
	put("old/checkpoint-000010/adapter_config.json", "{}");
	put("base/config.json", "{}");
	buf_clear(&text);
	buf_printf(&text,
	           "{\"data\":\"%s/new/train.jsonl\",\"eval_data\":\"%s/new/eval.jsonl\","
	           "\"model\":\"%s/base\",\"adapter\":\"%s/old/checkpoint-000010\"}",
	           dir, dir, dir, dir);
	put("new/settings.json", buf_str(&text));
	put("new/checkpoint-000020/adapter_config.json", "{}");
	assert_int_equal(contamination_folder(c, at("new/checkpoint-000020"), &e), 1);
	assert_int_equal(contamination_of(c, 0)->how, LEARNT_TASK);
	assert_int_equal(contamination_of(c, 2)->how, LEARNT_TASK);
	/* what was held out was not learnt */
	assert_int_equal(contamination_of(c, 1)->how, LEARNT_NOT);
	/* and of the base nothing is known, which is said */
	cJSON *o = contamination_report(c);
	const cJSON *unknown = cJSON_GetObjectItemCaseSensitive(o, "unknown");
	assert_int_equal(cJSON_GetArraySize(unknown), 1);
	assert_non_null(strstr(cJSON_GetArrayItem(unknown, 0)->valuestring, "base"));
	assert_null(strstr(cJSON_GetArrayItem(unknown, 0)->valuestring, "/dev/"));
	assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(o, "learnt")), 2);
	cJSON_Delete(o);
	contamination_close(c);
	/* rows that are gone are no rows without these tasks */
	remove(at("old/train.jsonl"));
	c = begin();
	assert_int_equal(contamination_folder(c, at("new/checkpoint-000020"), &e), -1);
	assert_int_equal(e.kind, ERR_INPUT);
	assert_non_null(strstr(e.text, "old/train.jsonl"));
	assert_non_null(strstr(e.text, "--trained-on"));
	contamination_close(c);
	buf_release(&text);
}

static void a_run_that_began_from_itself_is_looked_at_once(void **state)
{
	struct contamination *c = begin();
	struct buf text = { 0 };
	struct err e = { 0 };

	(void)state;
	put_row("train.jsonl", NULL, "x", "y = 1");
	buf_printf(&text, "{\"data\":\"%s/train.jsonl\",\"adapter\":\"%s/loop\"}", dir, dir);
	put("loop/settings.json", buf_str(&text));
	assert_int_equal(contamination_folder(c, at("loop"), &e), 1);
	assert_int_equal(contamination_folder(c, at("loop"), &e), 1);
	assert_int_equal(contamination_count(c), 0);
	buf_release(&text);
	contamination_close(c);
}

static void a_record_says_what_a_policy_learnt_from(void **state)
{
	struct contamination *c = begin();
	struct err e = { 0 };

	(void)state;
	put("run/policy/12/adapter_config.json", "{}");
	assert_int_equal(contamination_folder(c, at("run/policy/12"), &e), 0);
	contamination_close(c);
	assert_done(contamination_record(at("run"), items + 1, 1, NULL, 0, &e), &e);
	c = begin();
	assert_int_equal(contamination_folder(c, at("run/policy/12"), &e), 1);
	assert_int_equal(contamination_count(c), 1);
	assert_int_equal(contamination_of(c, 1)->how, LEARNT_TASK);
	contamination_close(c);
	put("run/learnt.json", "{\"format\":\"other\"}");
	c = begin();
	assert_int_equal(contamination_folder(c, at("run/policy/12"), &e), -1);
	assert_non_null(strstr(e.text, "cadforge-learnt-1"));
	contamination_close(c);
}

static void a_pack_and_a_program_may_be_named(void **state)
{
	struct contamination *c = begin();
	struct err e = { 0 };

	(void)state;
	assert_done(contamination_file(c, items[0]->reference, &e), &e);
	assert_int_equal(contamination_of(c, 0)->how, LEARNT_PROGRAM);
	assert_int_equal(contamination_count(c), 1);
	assert_done(contamination_file(c, SRCDIR "/tasks/cadforge", &e), &e);
	assert_int_equal(contamination_count(c), 3);
	assert_int_equal(contamination_file(c, at("nothing.jsonl"), &e), -1);
	assert_int_equal(e.kind, ERR_INPUT);
	mkdir(at("empty"), 0777);
	assert_int_equal(contamination_file(c, at("empty"), &e), -1);
	assert_non_null(strstr(e.text, "learnt.json"));
	contamination_close(c);
}

static void a_run_of_the_store_leads_to_the_tasks_it_drew(void **state)
{
	struct contamination *c = begin();
	struct err e = { 0 };
	struct store *s = store_open(at("s.db"), STORE_WRITE, NULL, &e);
	int64_t run = 0, eval = 0, ep = 0, id = 0;
	int turn = 0;

	(void)state;
	assert_non_null(s);
	assert_done(store_run_start(s, "grpo", "{\"settings\":{}}", &run, &e), &e);
	assert_done(start_episode(s, "pipe_clamp_saddle", &ep, &e), &e);
	assert_done(commit_turn(s, ep, 0, 1, &turn, &e), &e);
	assert_done(store_newest_turn(s, 0, &id, &e), &e);
	struct store_rollout r = { .turn_id = id,
		                   .step = 1,
		                   .member = 1,
		                   .round = 1,
		                   .kind = "first",
		                   .reward = 0.5,
		                   .advantage = 0,
		                   .use = "used" };
	assert_done(store_rollouts_add(s, run, &r, 1, &e), &e);
	assert_done(contamination_run(c, s, run, &e), &e);
	assert_int_equal(contamination_count(c), 1);
	assert_int_equal(contamination_of(c, 2)->how, LEARNT_TASK);
	assert_done(store_run_start(s, "eval", "{}", &eval, &e), &e);
	assert_int_equal(contamination_run(c, s, eval, &e), -1);
	assert_non_null(strstr(e.text, "learnt nothing"));
	assert_int_equal(contamination_run(c, s, 99, &e), -1);
	assert_non_null(strstr(e.text, "there is no run 99"));
	contamination_close(c);
	store_close(s);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_task_is_found_by_its_id),
		TEST(a_prompt_is_found_in_another_layout_and_case_and_inside_of_another),
		TEST(a_prompt_with_a_word_changed_is_nearly_the_same_and_with_many_it_is_another),
		TEST(a_reference_program_is_found_without_its_comments),
		TEST(tasks_of_the_same_pack_are_not_taken_for_each_other),
		TEST(a_checkpoint_leads_to_its_run_and_to_what_that_began_from),
		TEST(a_run_that_began_from_itself_is_looked_at_once),
		TEST(a_record_says_what_a_policy_learnt_from),
		TEST(a_pack_and_a_program_may_be_named),
		TEST(a_run_of_the_store_leads_to_the_tasks_it_drew),
	};

	return cmocka_run_group_tests_name("contamination", tests, NULL, NULL);
}
