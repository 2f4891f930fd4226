/* t_store.c - what is written is there, as it was written, for whoever looks. */
#include "tests/store.h"

#include <sqlite3.h>

#include "src/agreement.h"

static char dir[256], db[300];

static int setup(void **state)
{
	(void)state;
	make_folder(dir, sizeof(dir));
	snprintf(db, sizeof(db), "%s/sessions.db", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	remove_folder(dir);
	return 0;
}

static struct store *open_it(enum store_mode mode)
{
	struct err e = { 0 };
	struct store *s = store_open(db, mode, NULL, &e);

	if (!s)
		fail_msg("%s", e.text);
	return s;
}

struct seen {
	struct buf text;
	int n;
};

static int see_turn(void *ctx, const struct store_turn *t)
{
	struct seen *v = ctx;

	v->n++;
	buf_printf(&v->text, "%d<%d %s %s %.2f %s %.3f|", t->number, t->parent, t->model,
	           t->class_name, t->total, isnan(t->terms[2]) ? "-" : "?", t->terms[5]);
	assert_int_equal(strlen(t->hash), 64);
	assert_int_equal(strlen(t->previous), 64);
	return 0;
}

static int see_episode(void *ctx, const struct store_episode *x)
{
	struct seen *v = ctx;

	v->n++;
	buf_printf(&v->text, "%lld %s turns %d best %d %.2f|", (long long)x->id, x->task, x->turns,
	           x->best, x->best_total);
	return 0;
}

static int see_event(void *ctx, const struct store_event *x)
{
	struct seen *v = ctx;

	v->n++;
	buf_printf(&v->text, "%d/%d %s %s|", x->number, x->turn, x->kind, x->data ? x->data : "-");
	return 0;
}

static int see_note(void *ctx, int number, const char *text)
{
	struct seen *v = ctx;

	v->n++;
	buf_printf(&v->text, "%d %s|", number, text);
	return 0;
}

static int see_artifact(void *ctx, const struct store_artifact *a)
{
	struct seen *v = ctx;

	v->n++;
	buf_printf(&v->text, "%s %s%s|", a->name, a->kind,
	           a->there    ? ""
	           : a->pruned ? " pruned"
	                       : " missing");
	return 0;
}

static int see_hit(void *ctx, const struct store_hit *h)
{
	struct seen *v = ctx;

	v->n++;
	buf_printf(&v->text, "%lld.%d %s: %s|", (long long)h->episode, h->turn, h->where,
	           h->excerpt);
	return 0;
}

static int see_judgement(void *ctx, const struct store_judgement *j)
{
	struct seen *v = ctx;

	v->n++;
	buf_printf(&v->text, "%lld.%d %s %d %s [%s]|", (long long)j->episode, j->turn, j->as,
	           j->grade, j->note ? j->note : "-", j->tags ? j->tags : "");
	return 0;
}

static void start_over(struct seen *v)
{
	buf_clear(&v->text);
	v->n = 0;
}

static void a_turn_comes_back_as_it_was_given(void **state)
{
	struct store *s = open_it(STORE_WRITE);
	struct err e = { 0 };
	struct seen v = { 0 };
	struct buf content = { 0 };
	int64_t ep = 0;
	int number = 0;
	(void)state;

	assert_null(store_warning(s));
	assert_done(start_episode(s, "hook", &ep, &e), &e);
	assert_int_equal(ep, 1);
	assert_done(commit_turn(s, ep, 0, 5, &number, &e), &e);
	assert_int_equal(number, 1);
	assert_done(commit_turn(s, ep, 1, 6, &number, &e), &e);
	assert_int_equal(number, 2);
	store_close(s);

	s = open_it(STORE_READ);
	assert_done(store_turns(s, ep, see_turn, &v, &e), &e);
	assert_string_equal(buf_str(&v.text), "1<0 small undefined_name 0.15 - 0.125|"
	                                      "2<1 large ok 0.16 - 0.125|");
	start_over(&v);
	assert_done(store_episode(s, ep, see_episode, &v, &e), &e);
	assert_string_equal(buf_str(&v.text), "1 hook turns 2 best 2 0.16|");
	start_over(&v);
	assert_done(store_events(s, ep, 0, see_event, &v, &e), &e);
	assert_string_equal(buf_str(&v.text),
	                    "1/1 decision ask|2/1 tokens import cadquery|3/2 decision ask|"
	                    "4/2 tokens import cadquery|");
	start_over(&v);
	assert_done(store_events(s, ep, 2, see_event, &v, &e), &e);
	assert_int_equal(v.n, 2);
	start_over(&v);
	assert_done(store_notes(s, ep, 2, see_note, &v, &e), &e);
	assert_string_equal(buf_str(&v.text),
	                    "1 expected 4 through-holes, found 2|2 the gusset is missing|");
	start_over(&v);
	assert_done(store_artifacts(s, ep, 2, see_artifact, &v, &e), &e);
	assert_string_equal(
		buf_str(&v.text),
		"build.log log|completion.txt completion|front.png view|program.py code|"
		"prompt.json prompt|reward.json reward|turn.md markdown|");
	assert_done(store_artifact(s, ep, 2, "program.py", &content, &e), &e);
	assert_string_equal(buf_str(&content),
	                    "import cadquery as cq\nfixture = cq.Workplane()  # 6\n");
	buf_clear(&content);
	assert_done(store_artifact(s, ep, 2, "front.png", &content, &e), &e);
	assert_int_equal(content.len, 300);
	assert_int_equal((unsigned char)content.data[1], (6 * 31 + 1) & 255);
	buf_clear(&content);
	assert_done(store_artifact(s, ep, 2, "reward.json", &content, &e), &e);
	assert_contains(buf_str(&content), "\"silhouette\":0.125");
	assert_int_equal(store_artifact(s, ep, 2, "side.png", &content, &e), -1);
	assert_contains(e.text, "turn 1.2 has no artifact 'side.png'; it has build.log");
	assert_whole(s);
	store_close(s);
	buf_release(&v.text);
	buf_release(&content);
}

static void what_is_not_there_is_named_with_what_is(void **state)
{
	struct store *s;
	struct err e = { 0 };
	struct seen v = { 0 };
	int64_t ep = 0;
	int number;
	(void)state;

	assert_null(store_open(db, STORE_READ, NULL, &e));
	assert_contains(e.text, "there is no database there yet");
	assert_null(store_open(dir, STORE_WRITE, NULL, &e));
	assert_contains(e.text, "is a folder");
	assert_null(store_open("", STORE_WRITE, NULL, &e));
	s = open_it(STORE_WRITE);
	assert_int_equal(store_episode(s, 7, see_episode, &v, &e), -1);
	assert_contains(e.text, "no episode 7, nor any other yet");
	assert_done(start_episode(s, "hook", &ep, &e), &e);
	assert_int_equal(store_episode(s, 7, see_episode, &v, &e), -1);
	assert_contains(e.text, "from 1 to 1");
	assert_int_equal(store_turn(s, ep, 1, see_turn, &v, &e), -1);
	assert_contains(e.text, "episode 1 has no turn yet");
	assert_int_equal(commit_turn(s, ep, 1, 1, &number, &e), -1);
	assert_contains(e.text, "1 cannot be the parent");
	assert_int_equal(commit_turn(s, 99, 0, 1, &number, &e), -1);
	assert_contains(e.text, "no episode 99");
	assert_done(commit_turn(s, ep, 0, 1, &number, &e), &e);
	assert_int_equal(store_turn(s, ep, 2, see_turn, &v, &e), -1);
	assert_contains(e.text, "no turn 1.2: episode 1 has turns 1 to 1");
	assert_int_equal(store_artifact(s, 3, 1, "x", &v.text, &e), -1);
	assert_contains(e.text, "no episode 3");
	assert_int_equal(v.n, 0);
	assert_whole(s);
	store_close(s);
	buf_release(&v.text);
}

static void pages_are_cut_by_key_and_filters_hold(void **state)
{
	struct store *s = open_it(STORE_WRITE);
	struct store_filter f = store_filter_none();
	struct err e = { 0 };
	struct seen v = { 0 };
	int64_t ep = 0, first = 0;
	bool more;
	int number;
	(void)state;

	assert_done(store_batch_begin(s, &e), &e);
	for (int i = 0; i < 30; i++) {
		assert_done(start_episode(s, i % 2 ? "hook" : "chair", &ep, &e), &e);
		if (!first)
			first = ep;
		if (i < 28)
			assert_done(commit_turn(s, ep, 0, i, &number, &e), &e);
	}
	assert_done(store_batch_end(s, true, &e), &e);
	assert_done(store_episodes(s, &f, 0, 10, see_episode, &v, &more, &e), &e);
	assert_int_equal(v.n, 10);
	assert_true(more);
	assert_int_equal(strncmp(buf_str(&v.text), "30 hook turns 0 best 0 nan|", 27), 0);
	start_over(&v);
	assert_done(store_episodes(s, &f, 11, 10, see_episode, &v, &more, &e), &e);
	assert_int_equal(v.n, 10);
	assert_false(more);
	assert_int_equal(strncmp(buf_str(&v.text), "10 hook", 7), 0);
	start_over(&v);
	f.task = "chair";
	assert_done(store_episodes(s, &f, 0, 100, see_episode, &v, &more, &e), &e);
	assert_int_equal(v.n, 15);
	f.min = 0.3;
	f.max = 0.32;
	start_over(&v);
	assert_done(store_episodes(s, &f, 0, 100, see_episode, &v, &more, &e), &e);
	assert_string_equal(buf_str(&v.text),
	                    "23 chair turns 1 best 1 0.32|21 chair turns 1 best 1 0.30|");
	f.task = NULL;
	start_over(&v);
	assert_done(store_episodes(s, &f, 0, 100, see_episode, &v, &more, &e), &e);
	assert_int_equal(v.n, 3);
	f = store_filter_none();
	f.class_name = "undefined_name";
	start_over(&v);
	assert_done(store_episodes(s, &f, 0, 100, see_episode, &v, &more, &e), &e);
	assert_int_equal(v.n, 9);
	f.model = "small";
	start_over(&v);
	assert_done(store_episodes(s, &f, 25, 2, see_episode, &v, &more, &e), &e);
	assert_true(more);
	assert_string_equal(buf_str(&v.text),
	                    "24 hook turns 1 best 1 0.33|18 hook turns 1 best 1 0.27|");
	f = store_filter_none();
	f.adapter = "none of this name";
	start_over(&v);
	assert_done(store_episodes(s, &f, 0, 100, see_episode, &v, &more, &e), &e);
	assert_int_equal(v.n, 0);
	f = store_filter_none();
	f.since_us = store_now_us() + 1000000;
	assert_done(store_episodes(s, &f, 0, 100, see_episode, &v, &more, &e), &e);
	assert_int_equal(v.n, 0);
	assert_whole(s);
	store_close(s);
	buf_release(&v.text);
}

static void words_are_found_in_every_place_and_once_a_turn(void **state)
{
	struct store *s = open_it(STORE_WRITE);
	struct store_filter f = store_filter_none();
	struct err e = { 0 };
	struct seen v = { 0 };
	int64_t ep = 0;
	bool more;
	int number;
	const char *tags[] = { "gold", "keep" };
	struct store_judgement_new j = { .turn = 2,
		                         .as = "ann",
		                         .grade = 4,
		                         .tags = tags,
		                         .n_tags = 2,
		                         .note = "The fillet on the arm is lovely" };
	(void)state;

	assert_done(start_episode(s, "hook", &ep, &e), &e);
	for (int i = 1; i <= 3; i++)
		assert_done(commit_turn(s, ep, 0, i, &number, &e), &e);
	j.episode = ep;
	assert_done(store_judge(s, &j, NULL, &e), &e);
#define SEARCH(text)                                                                               \
	start_over(&v);                                                                            \
	assert_done(store_search(s, text, &f, 0, 10, see_hit, &v, &more, &e), &e)
	SEARCH("workplane");
	assert_string_equal(
		buf_str(&v.text),
		"1.3 program: import cadquery as cq fixture = cq.\x02Workplane\x03() # 3|"
		"1.2 program: import cadquery as cq fixture = cq.\x02Workplane\x03() # 2|"
		"1.1 program: import cadquery as cq fixture = cq.\x02Workplane\x03() # 1|");
	SEARCH("gusset");
	assert_int_equal(v.n, 3);
	assert_contains(buf_str(&v.text), "1.1 notes: ");
	/* a line's end in a message is no letter n */
	SEARCH("hook for wall");
	assert_int_equal(v.n, 3);
	assert_contains(buf_str(&v.text), "prompt: A \x02hook\x03 \x02"
	                                  "for\x03 a \x02wall\x03|");
	SEARCH("\"built in 2\"");
	assert_string_equal(buf_str(&v.text), "1.2 log: \x02"
	                                      "built in 2\x03 ms|");
	SEARCH("Fillet");
	assert_string_equal(buf_str(&v.text), "1.2 judgement: The \x02"
	                                      "fillet\x03 on the arm is lovely|");
	SEARCH("gold");
	assert_int_equal(v.n, 1);
	SEARCH("judgement:arm");
	assert_int_equal(v.n, 1);
	SEARCH("log:arm");
	assert_int_equal(v.n, 0);
	SEARCH("log:built cadq*");
	assert_int_equal(v.n, 3);
	SEARCH("workplane -3");
	assert_int_equal(v.n, 2);
	SEARCH("fixture = cq.Workplane()");
	assert_int_equal(v.n, 3);
	/* what the index's own language is made of means nothing here */
	SEARCH("AND OR NOT ( ) \" ^ : * workplane NEAR(");
	assert_int_equal(v.n, 0);
	f.model = "small";
	SEARCH("workplane");
	assert_int_equal(v.n, 2);
	f = store_filter_none();
	start_over(&v);
	assert_done(store_search(s, "workplane", &f, 0, 2, see_hit, &v, &more, &e), &e);
	assert_true(more);
	start_over(&v);
	assert_done(store_search(s, "workplane", &f, 2, 2, see_hit, &v, &more, &e), &e);
	assert_false(more);
	assert_int_equal(v.n, 1);
	assert_int_equal(store_search(s, "  ", &f, 0, 2, see_hit, &v, &more, &e), -1);
	assert_contains(e.text, "words to search for were expected");
	assert_int_equal(store_search(s, "-x", &f, 0, 2, see_hit, &v, &more, &e), -1);
	assert_contains(e.text, "say also what must be there");
	assert_int_equal(store_search(s, "a\xff", &f, 0, 2, see_hit, &v, &more, &e), -1);
	assert_whole(s);
	store_close(s);
	buf_release(&v.text);
}

static void judgements_are_added_and_never_replaced(void **state)
{
	struct store *s = open_it(STORE_WRITE);
	struct err e = { 0 };
	struct seen v = { 0 };
	int64_t ep = 0, id = 0;
	int number;
	const char *two_words = "not one", *gold = "gold";
	struct store_judgement_new j = { .turn = 1, .as = "ann", .grade = 4 };
	(void)state;

	assert_done(start_episode(s, "hook", &ep, &e), &e);
	assert_done(commit_turn(s, ep, 0, 1, &number, &e), &e);
	j.episode = ep;
	assert_done(store_judge(s, &j, &id, &e), &e);
	j.grade = 2;
	j.note = "on second thoughts";
	j.tags = &gold;
	j.n_tags = 1;
	assert_done(store_judge(s, &j, &id, &e), &e);
	j.as = "bob";
	j.grade = -1;
	assert_done(store_judge(s, &j, &id, &e), &e);
	assert_int_equal(id, 3);
	assert_done(store_judgements(s, 0, 0, NULL, NULL, see_judgement, &v, &e), &e);
	assert_string_equal(buf_str(&v.text), "1.1 ann 4 - []|1.1 ann 2 on second thoughts [gold]|"
	                                      "1.1 bob -1 on second thoughts [gold]|");
	start_over(&v);
	assert_done(store_judgements(s, ep, 1, "hook", "bob", see_judgement, &v, &e), &e);
	assert_int_equal(v.n, 1);
	j.grade = 6;
	assert_int_equal(store_judge(s, &j, &id, &e), -1);
	j.grade = 1;
	j.tags = &two_words;
	assert_int_equal(store_judge(s, &j, &id, &e), -1);
	assert_contains(e.text, "a tag is one word");
	j.n_tags = 0;
	j.turn = 2;
	assert_int_equal(store_judge(s, &j, &id, &e), -1);
	assert_contains(e.text, "no turn 1.2");
	j.as = "";
	assert_int_equal(store_judge(s, &j, &id, &e), -1);
	assert_whole(s);
	store_close(s);
	buf_release(&v.text);
}

static void the_same_content_is_kept_once(void **state)
{
	struct store *s = open_it(STORE_WRITE);
	struct err e = { 0 };
	int64_t ep = 0;
	int number;
	(void)state;

	assert_done(start_episode(s, "hook", &ep, &e), &e);
	for (int i = 0; i < 5; i++)
		assert_done(commit_turn(s, ep, 0, 7, &number, &e), &e);
	cJSON *o = store_stats(s, &e);
	assert_non_null(o);
	const cJSON *a = cJSON_GetObjectItemCaseSensitive(o, "artifacts");
	/* the completion is the program */
	assert_int_equal(json_number_or(a, "count", 0), 6);
	assert_int_equal(json_number_or(o, "turns", 0), 5);
	assert_int_equal(json_number_or(o, "sessions", 0), 1);
	cJSON_Delete(o);
	store_close(s);
}

static void text_that_is_no_utf8_is_kept_whole_and_shown_clean(void **state)
{
	struct store *s = open_it(STORE_WRITE);
	struct err e = { 0 };
	struct buf content = { 0 };
	struct seen v = { 0 };
	int64_t ep = 0;
	int number = 0;
	cJSON *score = score_of(0.5, true, "ok");
	static const char log[] = "caf\xe9 \x1b[31mred\0after";
	struct store_event_new event = { .kind = "log", .data = "caf\xe9" };
	(void)state;

	assert_done(start_episode(s, "hook", &ep, &e), &e);
	struct store_turn_new t = { .episode = ep,
		                    .source = "file",
		                    .score = score,
		                    .log = log,
		                    .log_len = sizeof(log) - 1,
		                    .events = &event,
		                    .n_events = 1 };
	assert_done(store_turn_commit(s, &t, &number, &e), &e);
	assert_done(store_artifact(s, ep, 1, "build.log", &content, &e), &e);
	assert_int_equal(content.len, sizeof(log) - 1);
	assert_memory_equal(content.data, log, content.len);
	assert_done(store_events(s, ep, 1, see_event, &v, &e), &e);
	assert_string_equal(buf_str(&v.text), "1/1 log caf\\xe9|");
	assert_whole(s);
	struct store_artifact_new bad[] = {
		{ .name = "../x", .kind = "code", .data = "x", .len = 1 },
		{ .name = "", .kind = "code", .data = "x", .len = 1 },
		{ .name = "reward.json", .kind = "code", .data = "x", .len = 1 }
	};
	for (int i = 0; i < 3; i++) {
		t.artifacts = &bad[i];
		t.n_artifacts = 1;
		assert_int_equal(store_turn_commit(s, &t, &number, &e), -1);
	}
	assert_contains(e.text, "is there twice");
	cJSON_Delete(score);
	store_close(s);
	buf_release(&content);
	buf_release(&v.text);
}

static void prune_drops_content_and_keeps_what_it_was(void **state)
{
	struct store *s = open_it(STORE_WRITE);
	struct store_filter f = store_filter_none();
	struct err e = { 0 };
	struct seen v = { 0 };
	struct buf said = { 0 };
	struct store_pruned gone;
	struct store_prune p = { .keep_best = true, .dry_run = true, .why = "a test" };
	const char *code = "code";
	int64_t ep = 0, other = 0;
	int number, problems;
	bool more;
	(void)state;

	assert_done(start_episode(s, "hook", &ep, &e), &e);
	for (int i = 3; i <= 5; i++)
		assert_done(commit_turn(s, ep, 0, i, &number, &e), &e);
	assert_done(start_episode(s, "hook", &other, &e), &e);
	assert_done(commit_turn(s, other, 0, 4, &number, &e), &e);
	assert_done(store_prune(s, &p, &gone, &e), &e);
	/* of 3 pictures: one is of the best turn, one is also another episode's best */
	assert_int_equal(gone.artifacts, 1);
	assert_done(store_artifact(s, ep, 1, "front.png", &said, &e), &e);
	p.dry_run = false;
	assert_done(store_prune(s, &p, &gone, &e), &e);
	assert_int_equal(gone.artifacts, 1);
	assert_int_equal(store_artifact(s, ep, 1, "front.png", &said, &e), -1);
	assert_contains(e.text, "front.png was pruned on 2");
	assert_done(store_artifact(s, ep, 2, "front.png", &said, &e), &e);
	assert_done(store_artifact(s, ep, 3, "front.png", &said, &e), &e);
	assert_done(store_artifacts(s, ep, 1, see_artifact, &v, &e), &e);
	assert_contains(buf_str(&v.text), "front.png view pruned|");
	assert_whole(s);
	/* and it comes back when it is made again */
	assert_done(commit_turn(s, other, 0, 3, &number, &e), &e);
	assert_done(store_artifact(s, ep, 1, "front.png", &said, &e), &e);
	p.kinds = &code;
	p.n_kinds = 1;
	assert_int_equal(store_prune(s, &p, &gone, &e), -1);
	assert_contains(e.text, "artifacts of kind code stay");

	struct store_prune whole = { .whole_episodes = true, .episode = ep };
	assert_done(store_prune(s, &whole, &gone, &e), &e);
	assert_int_equal(gone.episodes, 1);
	assert_int_equal(gone.turns, 3);
	start_over(&v);
	assert_int_equal(store_episode(s, ep, see_episode, &v, &e), -1);
	assert_contains(e.text, "was removed by 'cadforge db prune'");
	assert_done(store_search(s, "workplane", &f, 0, 10, see_hit, &v, &more, &e), &e);
	assert_int_equal(v.n, 2);
	assert_whole(s);
	look_through(s, false, &said, &problems);
	assert_string_equal(buf_str(&said), "");
	/* numbers are not given again */
	assert_done(start_episode(s, "hook", &ep, &e), &e);
	assert_int_equal(ep, 3);
	store_close(s);
	buf_release(&v.text);
	buf_release(&said);
}

static void a_backup_is_a_database_of_its_own(void **state)
{
	struct store *s = open_it(STORE_WRITE), *copy;
	struct err e = { 0 };
	struct seen v = { 0 };
	char path[400];
	int64_t ep = 0;
	int number;
	(void)state;

	assert_done(start_episode(s, "hook", &ep, &e), &e);
	assert_done(commit_turn(s, ep, 0, 1, &number, &e), &e);
	snprintf(path, sizeof(path), "%s/copy.db", dir);
	assert_done(store_backup(s, path, &e), &e);
	assert_int_equal(store_backup(s, path, &e), -1);
	assert_contains(e.text, "is there already");
	assert_done(commit_turn(s, ep, 0, 2, &number, &e), &e);
	store_close(s);
	copy = store_open(path, STORE_WRITE, NULL, &e);
	assert_non_null(copy);
	assert_null(store_warning(copy));
	assert_done(store_turns(copy, 1, see_turn, &v, &e), &e);
	assert_int_equal(v.n, 1);
	assert_whole(copy);
	store_close(copy);
	/* put back in the place of the other, it is seen to be older */
	assert_int_equal(rename(path, db), 0);
	copy = open_it(STORE_READ);
	assert_contains(store_warning(copy), "1 of 4 links are missing at its end");
	store_close(copy);
	buf_release(&v.text);
}

struct nest {
	struct store *s;
	int64_t episode;
	int outer, inner;
};

static int ask_within(void *ctx, const struct store_turn *t)
{
	struct nest *v = ctx;
	struct err e = { 0 };
	struct buf out = { 0 };

	v->outer++;
	assert_int_equal(t->number, v->outer);
	assert_done(store_turns(v->s, v->episode, count_turns, &v->inner, &e), &e);
	assert_done(store_artifact(v->s, v->episode, t->number, "program.py", &out, &e), &e);
	buf_release(&out);
	return 0;
}

static void a_listing_may_ask_the_same_within(void **state)
{
	struct nest v = { .s = open_it(STORE_WRITE) };
	struct err e = { 0 };
	int number;
	(void)state;

	assert_done(start_episode(v.s, "hook", &v.episode, &e), &e);
	for (int i = 0; i < 4; i++)
		assert_done(commit_turn(v.s, v.episode, 0, i, &number, &e), &e);
	assert_done(store_turns(v.s, v.episode, ask_within, &v, &e), &e);
	assert_int_equal(v.outer, 4);
	assert_int_equal(v.inner, 16);
	store_close(v.s);
}

static void runs_end_once(void **state)
{
	struct store *s = open_it(STORE_WRITE);
	struct err e = { 0 };
	int64_t run = 0;
	(void)state;

	assert_done(store_run_start(s, "group", "{\"n\":4}", &run, &e), &e);
	assert_done(store_run_end(s, run, "done", &e), &e);
	assert_int_equal(store_run_end(s, run, "done again", &e), -1);
	assert_contains(e.text, "a run ends once");
	assert_int_equal(store_run_end(s, 99, "done", &e), -1);
	assert_contains(e.text, "there is no run 99");
	assert_whole(s);
	store_close(s);
}

static void times_and_references_are_read_as_people_write_them(void **state)
{
	struct err e = { 0 };
	int64_t us = 0, ep = 0, now;
	int turn = 0;
	char text[40];
	(void)state;

	assert_done(store_parse_time("2026-11-22T13:03:09.5Z", &us, &e), &e);
	assert_int_equal(us, INT64_C(1795352589500000));
	store_utc_time(text, sizeof(text), us);
	assert_string_equal(text, "2026-11-22T13:03:09.500000Z");
	store_local_time(text, sizeof(text), us);
	int64_t back = 0;
	assert_done(store_parse_time(text, &back, &e), &e);
	assert_int_equal(back, us - 500000);
	assert_done(store_parse_time("2026-11-22", &us, &e), &e);
	assert_done(store_parse_time("2026-11-22 14:03", &us, &e), &e);
	now = store_now_us();
	assert_done(store_parse_time("2d", &us, &e), &e);
	assert_close((double)(now - us) / 1e6, 2 * 86400, 5);
	assert_done(store_parse_time("1.5h", &us, &e), &e);
	static const char *const bad[] = { "",           "yesterday",   "2026-13-01",
		                           "2026-02-30", "2026-11-22x", "2026-11-22T25:00Z",
		                           "5",          "-2d",         "1e9d",
		                           "nan",        "0x10d" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (store_parse_time(bad[i], &us, &e) == 0 && strcmp(bad[i], "0x10d") != 0)
			fail_msg("'%s' was taken for a time", bad[i]);
	assert_done(store_parse_ref("12.3", &ep, &turn, &e), &e);
	assert_int_equal(ep, 12);
	assert_int_equal(turn, 3);
	assert_done(store_parse_ref("7", &ep, &turn, &e), &e);
	assert_int_equal(turn, 0);
	static const char *const none[] = { "",
		                            "0",
		                            "-1",
		                            "1.",
		                            "1.0",
		                            "1.2.3",
		                            "a",
		                            "1.x",
		                            " 1",
		                            "1 ",
		                            "99999999999999999999",
		                            "1.99999999999" };
	for (size_t i = 0; i < sizeof(none) / sizeof(*none); i++)
		if (store_parse_ref(none[i], &ep, &turn, &e) == 0)
			fail_msg("'%s' was taken for a turn", none[i]);
}

static void sql_nothing(sqlite3_context *c, int n, sqlite3_value **v)
{
	(void)n;
	(void)v;
	sqlite3_result_null(c);
}

/* The columns of each table under its heading in the page, as ".It Va column". */
static void the_manual_has_the_schema_that_is_made(void **state)
{
	struct err e = { 0 };
	struct buf page = { 0 }, said = { 0 }, real = { 0 };
	sqlite3 *d = NULL;
	sqlite3_stmt *q = NULL;
	char heading[64] = "";
	bool tables = false;
	(void)state;

	store_close(open_it(STORE_WRITE));
	assert_done(buf_read_file(&page, SRCDIR "/man/cadforge-store.5", 1 << 20, &e), &e);
	char *rest = page.data, *line;
	while ((line = strsep(&rest, "\n"))) {
		if (strncmp(line, ".Sh ", 4) == 0)
			tables = strcmp(line, ".Sh TABLES") == 0;
		else if (tables && strncmp(line, ".Ss ", 4) == 0)
			snprintf(heading, sizeof(heading), "%s", line + 4);
		else if (tables && strncmp(line, ".It Va ", 7) == 0)
			buf_printf(&said, "%s.%s\n", heading, line + 7);
	}
	assert_int_equal(sqlite3_open_v2(db, &d, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
	/* the view is not read without them */
	sqlite3_create_function(d, "cadforge_text", 1, SQLITE_UTF8, NULL, sql_nothing, NULL, NULL);
	sqlite3_create_function(d, "cadforge_words", 1, SQLITE_UTF8, NULL, sql_nothing, NULL, NULL);
	sqlite3_create_function(d, "cadforge_unseeded", 1, SQLITE_UTF8, NULL, sql_nothing, NULL,
	                        NULL);
	assert_int_equal(
		sqlite3_prepare_v2(d,
	                           "SELECT s.name, c.name FROM sqlite_schema s, "
	                           "pragma_table_info(s.name) c WHERE s.type IN ('table', 'view') "
	                           "AND s.name NOT LIKE 'sqlite%' "
	                           "AND s.name NOT LIKE 'search\\_%' ESCAPE '\\' "
	                           "AND s.name NOT LIKE 'judgement_search\\_%' ESCAPE '\\' "
	                           "OR s.name = 'search_text' ORDER BY s.rowid, c.cid",
	                           -1, &q, NULL),
		SQLITE_OK);
	int n = 0;
	while (sqlite3_step(q) == SQLITE_ROW) {
		char row[200];
		int k = snprintf(row, sizeof(row), "%s.%s\n", sqlite3_column_text(q, 0),
		                 sqlite3_column_text(q, 1));
		buf_add(&real, row, (size_t)k);
		const char *at = strstr(buf_str(&said), row);
		if (!at || (at > said.data && at[-1] != '\n'))
			fail_msg("the manual lacks %s", row);
		n++;
	}
	assert_true(n > 90);
	rest = said.data;
	while ((line = strsep(&rest, "\n")) && *line) {
		char row[200];
		snprintf(row, sizeof(row), "%s\n", line);
		if (!strstr(buf_str(&real), row))
			fail_msg("the manual has %s, which is not there", line);
	}
	sqlite3_finalize(q);
	sqlite3_close(d);
	buf_release(&page);
	buf_release(&said);
	buf_release(&real);
}

/* Krippendorff, Computing Krippendorff's Alpha-Reliability, 2011, section D: four observers, twelve
 * units; interval alpha 0.849. Its values 1 to 5. */
static void judges_agree_as_far_as_the_textbook_says(void **state)
{
	static const int values[4][12] = { { 1, 2, 3, 3, 2, 1, 4, 1, 2, -1, -1, -1 },
		                           { 1, 2, 3, 3, 2, 2, 4, 1, 2, 5, -1, 3 },
		                           { -1, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, -1 },
		                           { 1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, -1 } };
	struct graded v[64];
	struct agreement a;
	size_t n = 0;
	(void)state;

	for (int j = 0; j < 4; j++)
		for (int t = 0; t < 12; t++) {
			if (values[j][t] < 0)
				continue;
			/* graded twice: the last one counts */
			if (t == 3)
				v[n++] = (struct graded){ t, 0, j, 0, 0.1 * t };
			v[n++] = (struct graded){ t, 0, j, values[j][t], 0.1 * t };
		}
	n = graded_in_force(v, n);
	assert_int_equal(n, 41);
	agreement_of(v, n, &a);
	assert_int_equal(a.judges, 4);
	assert_int_equal(a.turns, 11);
	assert_close(a.alpha, 0.849, 0.0005);
	struct graded w[] = { { 1, 0, 0, 1, 0.2 },
		              { 2, 0, 0, 4, 0.9 },
		              { 3, 0, 0, 5, 0.5 },
		              { 4, 1, 0, 0, 0.99 },
		              { 5, 0, 0, 4, NAN } };
	agreement_of(w, 5, &a);
	assert_int_equal(a.reward_pairs, 3);
	assert_close(a.reward_agrees, 2.0 / 3, 1e-12);
	assert_true(isnan(a.alpha));
	agreement_of(w, 0, &a);
	assert_int_equal(a.judges, 0);
}

int main(void)
{
#define CLAIM(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CLAIM(a_turn_comes_back_as_it_was_given),
		CLAIM(what_is_not_there_is_named_with_what_is),
		CLAIM(pages_are_cut_by_key_and_filters_hold),
		CLAIM(words_are_found_in_every_place_and_once_a_turn),
		CLAIM(judgements_are_added_and_never_replaced),
		CLAIM(the_same_content_is_kept_once),
		CLAIM(text_that_is_no_utf8_is_kept_whole_and_shown_clean),
		CLAIM(prune_drops_content_and_keeps_what_it_was),
		CLAIM(a_backup_is_a_database_of_its_own),
		CLAIM(a_listing_may_ask_the_same_within),
		CLAIM(runs_end_once),
		CLAIM(the_manual_has_the_schema_that_is_made),
		CLAIM(judges_agree_as_far_as_the_textbook_says),
		CLAIM(times_and_references_are_read_as_people_write_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
