/*
 * t_transfer.c - what leaves the store comes back as it was; an export that is killed leaves
 * nothing half; a damaged one is told and nothing of it comes in.
 */
#include "tests/store.h"

#include <ftw.h>
#include <signal.h>
#include <sqlite3.h>

#include "src/base/sha256.h"
#include "src/episode_read.h"
#include "src/export.h"
#include "src/judging.h"

static char dir[256];

static int remove_one(const char *path, const struct stat *st, int what, struct FTW *at)
{
	(void)st;
	(void)what;
	(void)at;
	return remove(path);
}

static void remove_all(const char *path)
{
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static int setup(void **state)
{
	(void)state;
	make_folder(dir, sizeof(dir));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	remove_all(dir);
	return 0;
}

static const char *in(const char *name)
{
	static char path[4][600];
	static int next;
	char *p = path[next++ % 4];

	snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
	return p;
}

static struct store *open_db(const char *name, enum store_mode mode)
{
	struct err e = { 0 };
	struct store *s = store_open(in(name), mode, NULL, &e);

	if (!s)
		fail_msg("%s", e.text);
	return s;
}

/* Three turns, the third a repair of the first; a judgement, and why it ended. */
static int64_t make_episode(struct store *s)
{
	struct err e = { 0 };
	int64_t ep, id;
	int number;
	struct store_episode_new n = { .task = "hook",
		                       .pack = "cadforge",
		                       .profile = "exact",
		                       .profile_hash = "abc",
		                       .prompts = "plain",
		                       .source = "run",
		                       .settings = "{\"turns\":4,\"enough\":0.92}" };
	static const char *const tags[] = { "thin", "odd" };

	assert_done(store_episode_start(s, &n, &ep, &e), &e);
	assert_done(commit_turn(s, ep, 0, 1, &number, &e), &e);
	assert_done(commit_turn(s, ep, 1, 2, &number, &e), &e);
	assert_done(commit_turn(s, ep, 1, 31, &number, &e), &e);
	struct store_event_new end = { .time_us = 5000000,
		                       .kind = "decision",
		                       .data = "{\"do\":\"end\",\"why\":\"turns\"}" };
	assert_done(store_events_add(s, ep, &end, 1, &e), &e);
	struct store_judgement_new j = { .episode = ep,
		                         .turn = 3,
		                         .as = "me",
		                         .grade = 4,
		                         .note = "| a <b>note</b>",
		                         .tags = tags,
		                         .n_tags = 2,
		                         .time_us = 6000000 };
	assert_done(store_judge(s, &j, &id, &e), &e);
	return ep;
}

static int export_it(struct store *s, int64_t ep, enum export_kind kind, const char *path,
                     struct exported *done, struct err *e)
{
	struct export_options o = {
		.kind = kind, .episodes = &ep, .n_episodes = 1, .min = -1, .margin = 0.001
	};
	struct exported ignored;

	return export_to(s, &o, path, done ? done : &ignored, e);
}

static char *read_whole(const char *path, size_t *len)
{
	struct buf b = { 0 };
	struct err e = { 0 };

	assert_done(buf_read_file(&b, path, 1 << 24, &e), &e);
	return buf_take(&b, len);
}

static void same_folders(const char *a, const char *b)
{
	char command[1400];

	snprintf(command, sizeof(command), "diff -r '%s' '%s' >&2", a, b);
	assert_int_equal(system(command), 0);
}

static int count_episode(void *ctx, const struct store_episode *ep)
{
	(void)ep;
	++*(int *)ctx;
	return 0;
}

static int episodes_in(struct store *s)
{
	struct store_filter f = store_filter_none();
	struct err e = { 0 };
	int n = 0;

	assert_done(store_episodes(s, &f, 0, 1000, count_episode, &n, NULL, &e), &e);
	return n;
}

static void an_exported_episode_comes_back_as_it_was(void **state)
{
	struct store *s = open_db("a.db", STORE_WRITE), *t;
	struct err e = { 0 };
	int64_t ep = make_episode(s);
	struct exported done;
	struct episode_read got = { 0 };

	(void)state;
	assert_done(export_it(s, ep, EXPORT_FOLDER, in("one"), &done, &e), &e);
	assert_int_equal(done.turns, 3);
	assert_int_equal(done.left_out, 0);
	t = open_db("b.db", STORE_WRITE);
	/* so that it gets another number there */
	make_episode(t);
	assert_done(episode_read(t, in("one"), &got, &e), &e);
	assert_int_equal(got.episode, 2);
	assert_int_equal(got.turns, 3);
	assert_false(got.already);
	assert_string_equal(got.task, "hook");
	assert_done(export_it(t, got.episode, EXPORT_FOLDER, in("two"), NULL, &e), &e);
	same_folders(in("one"), in("two"));
	assert_whole(t);
	/* once is enough */
	assert_done(episode_read(t, in("two"), &got, &e), &e);
	assert_true(got.already);
	assert_int_equal(got.episode, 2);
	assert_int_equal(episodes_in(t), 2);
	store_close(t);
	store_close(s);
	remove_all(in("one"));
	remove_all(in("two"));
}

static int take_id(void *ctx, const struct store_turn *t)
{
	*(int64_t *)ctx = t->id;
	return 0;
}

static int take_whose(void *ctx, const struct store_episode *x)
{
	*(int64_t *)ctx = x->run;
	return 0;
}

static void what_an_episode_was_to_a_training_goes_along(void **state)
{
	struct store *a = open_db("run.db", STORE_WRITE), *b = open_db("run-b.db", STORE_WRITE);
	struct store_episode_new n = { .task = "hook", .profile = "exact", .source = "grpo" };
	struct store_rollout rows[3] = {
		{ .step = 4,
		  .group = 2,
		  .member = 1,
		  .round = 1,
		  .kind = "first",
		  .reward = 0.3125,
		  .advantage = -0.7071067811865476,
		  .use = "used" },
		{ .step = 4,
		  .group = 2,
		  .member = 1,
		  .round = 2,
		  .kind = "repair",
		  .reward = -0.45,
		  .advantage = NAN,
		  .use = "lost" },
		{ .step = 5,
		  .group = 0,
		  .member = 1,
		  .round = 1,
		  .kind = "first",
		  .reward = 0.5,
		  .advantage = 0,
		  .use = "flat" },
	};
	struct episode_read got = { 0 };
	struct err e = { 0 };
	int64_t run, ep, whose = -1;
	int number;

	(void)state;
	assert_done(store_run_start(a, "grpo", "{\"seed\":7,\"lr\":1e-05}", &run, &e), &e);
	n.run = run;
	assert_done(store_episode_start(a, &n, &ep, &e), &e);
	for (int i = 0; i < 4; i++) {
		assert_done(commit_turn(a, ep, i, i, &number, &e), &e);
		if (i < 3)
			assert_done(store_turn(a, ep, number, take_id, &rows[i].turn_id, &e), &e);
	}
	assert_done(store_rollouts_add(a, run, rows, 2, &e), &e);
	assert_done(store_rollouts_add(a, run, rows + 2, 1, &e), &e);
	assert_done(store_sample_add(a, run, 12, ep, &e), &e);
	assert_done(export_it(a, ep, EXPORT_FOLDER, in("run"), NULL, &e), &e);
	char *text = read_whole(in("run/episode.json"), NULL);
	cJSON *o = cJSON_Parse(text);
	const cJSON *event = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(o, "events"), 0);
	assert_string_equal(json_string_or(event, "kind", ""), "run");
	cJSON *said = cJSON_Parse(json_string_or(event, "data", ""));
	assert_int_equal(strlen(json_string_or(said, "run", "")), 64);
	assert_true(json_number_or(said, "sample_step", -1) == 12);
	assert_true(json_number_or(cJSON_GetObjectItemCaseSensitive(said, "settings"), "seed", 0) ==
	            7);
	cJSON_Delete(said);
	for (int i = 0; i < 4; i++) {
		const cJSON *turn = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(o, "turns"),
		                                       i),
			    *list = cJSON_GetObjectItemCaseSensitive(turn, "events");
		event = cJSON_GetArrayItem(list, cJSON_GetArraySize(list) - 1);
		if (i == 3) {
			assert_string_not_equal(json_string_or(event, "kind", ""), "rollout");
			break;
		}
		assert_string_equal(json_string_or(event, "kind", ""), "rollout");
		said = cJSON_Parse(json_string_or(event, "data", ""));
		assert_true(json_number_or(said, "step", 0) == (double)rows[i].step);
		assert_true(json_number_or(said, "reward", 9) == rows[i].reward);
		assert_string_equal(json_string_or(said, "use", ""), rows[i].use);
		assert_true(isnan(rows[i].advantage)
		                    ? cJSON_IsNull(cJSON_GetObjectItem(said, "advantage"))
		                    : json_number_or(said, "advantage", 9) == rows[i].advantage);
		cJSON_Delete(said);
	}
	cJSON_Delete(o);
	free(text);

	/* in and out again: the same bytes, and nothing there pretends to have learnt from it */
	assert_done(episode_read(b, in("run"), &got, &e), &e);
	assert_done(export_it(b, got.episode, EXPORT_FOLDER, in("run-again"), NULL, &e), &e);
	same_folders(in("run"), in("run-again"));
	assert_done(store_episode(b, got.episode, take_whose, &whose, &e), &e);
	assert_int_equal(whose, 0);
	store_close(a);
	store_close(b);
}

static void what_was_pruned_comes_back_as_pruned(void **state)
{
	struct store *s = open_db("p.db", STORE_WRITE), *t;
	struct err e = { 0 };
	int64_t ep = make_episode(s);
	struct store_pruned gone;
	struct episode_read got = { 0 };
	const struct store_prune p = { .episode = ep };
	struct buf content = { 0 };

	(void)state;
	assert_done(store_prune(s, &p, &gone, &e), &e);
	assert_true(gone.artifacts > 0);
	assert_done(export_it(s, ep, EXPORT_FOLDER, in("one"), NULL, &e), &e);
	t = open_db("q.db", STORE_WRITE);
	assert_done(episode_read(t, in("one"), &got, &e), &e);
	assert_int_equal(store_artifact(t, got.episode, 1, "front.png", &content, &e), -1);
	assert_non_null(strstr(e.text, "pruned"));
	assert_done(export_it(t, got.episode, EXPORT_FOLDER, in("two"), NULL, &e), &e);
	same_folders(in("one"), in("two"));
	assert_whole(t);
	/* where somebody has the content, it is there again */
	make_episode(t);
	assert_done(store_artifact(t, got.episode, 1, "front.png", &content, &e), &e);
	assert_whole(t);
	buf_release(&content);
	store_close(t);
	store_close(s);
	remove_all(in("one"));
	remove_all(in("two"));
}

static void what_is_there_is_not_written_over(void **state)
{
	struct store *s = open_db("a.db", STORE_READ);
	struct err e = { 0 };

	(void)state;
	assert_int_equal(mkdir(in("taken"), 0700), 0);
	assert_done(export_it(s, 1, EXPORT_FOLDER, in("taken"), NULL, &e), &e); /* empty */
	assert_int_equal(export_it(s, 1, EXPORT_FOLDER, in("taken"), NULL, &e), -1);
	assert_int_equal(e.kind, ERR_USAGE);
	assert_non_null(strstr(e.text, "taken"));
	assert_int_equal(export_it(s, 1, EXPORT_FOLDER, in("a.db"), NULL, &e), -1);
	assert_int_equal(export_it(s, 1, EXPORT_FOLDER, in("no/such/place"), NULL, &e), -1);
	assert_int_equal(export_it(s, 77, EXPORT_FOLDER, in("none"), NULL, &e), -1);
	assert_int_equal(e.kind, ERR_INPUT);
	assert_int_equal(access(in("none"), F_OK), -1);
	assert_int_equal(export_it(s, 1, EXPORT_FOLDER, "", NULL, &e), -1);
	assert_int_equal(export_it(s, 1, EXPORT_FOLDER, "-", NULL, &e), -1);
	assert_int_equal(export_it(s, 1, EXPORT_FOLDER, in(".."), NULL, &e), -1);
	store_close(s);
	remove_all(in("taken"));
}

/* ---- killed ---- */

struct end {
	const char *at;
	int after; /* so many times before */
};

static void die(void *ctx, const char *name)
{
	struct end *end = ctx;

	if (strcmp(name, end->at) == 0 && end->after-- == 0)
		raise(SIGKILL);
}

static int count_partial(void)
{
	DIR *d = opendir(dir);
	int n = 0;

	for (struct dirent *x; (x = readdir(d));)
		n += strstr(x->d_name, ".partial-") != NULL;
	closedir(d);
	return n;
}

static void an_export_killed_at_any_step_leaves_all_or_nothing(void **state)
{
	enum { RUNS = 100 };
	static const char *const steps[] = { "begin", "file", "written", "renamed" };
	static const enum export_kind kinds[] = { EXPORT_FOLDER, EXPORT_JSONL };

	(void)state;
	for (size_t k = 0; k < 2; k++) {
		for (size_t i = 0; i < 4; i++) {
			int whole = 0, killed = 0;
			if (kinds[k] == EXPORT_JSONL && i == 1)
				continue; /* there is only one file */
			for (int run = 0; run < RUNS; run++) {
				const char *path = in("killed.jsonl");
				pid_t pid = fork();
				if (pid == 0) {
					struct err e = { 0 };
					int64_t ep = 1;
					/* "file" comes some twenty times in an export */
					struct end end = { steps[i], i == 1 ? run % 20 : 0 };
					struct export_options o = { .kind = kinds[k],
						                    .episodes = &ep,
						                    .n_episodes = 1,
						                    .step = die,
						                    .ctx = &end };
					struct exported done;
					struct store *s =
						store_open(in("a.db"), STORE_READ, NULL, &e);
					if (s)
						export_to(s, &o, path, &done, &e);
					_exit(1);
				}
				int status;
				assert_int_equal(waitpid(pid, &status, 0), pid);
				killed += WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
				bool there = access(path, F_OK) == 0;
				assert_int_equal(there, i == 3);
				whole += there;
				/* what is left is not under the name, and goes with the next */
				assert_true(count_partial() <= 1);
				remove_all(path);
			}
			assert_int_equal(killed, RUNS);
			assert_int_equal(whole, i == 3 ? RUNS : 0);
		}
		struct store *s = open_db("a.db", STORE_READ);
		struct err e = { 0 };
		assert_done(export_it(s, 1, kinds[k], in("killed.jsonl"), NULL, &e), &e);
		assert_int_equal(count_partial(), 0);
		if (kinds[k] == EXPORT_FOLDER) {
			assert_done(export_it(s, 1, kinds[k], in("whole"), NULL, &e), &e);
			same_folders(in("killed.jsonl"), in("whole"));
			remove_all(in("whole"));
		}
		remove_all(in("killed.jsonl"));
		store_close(s);
	}
}

static void an_import_killed_at_any_step_brings_in_all_or_nothing(void **state)
{
	enum { RUNS = 100 };
	static const char *const steps[] = { "begin", "turn.artifacts", "turn.row", "turn.events",
		                             "link",  "commit",         "committed" };
	struct store *s = open_db("a.db", STORE_READ), *t;
	struct err e = { 0 };
	struct buf plain = { 0 };

	(void)state;
	assert_done(export_it(s, 1, EXPORT_FOLDER, in("one"), NULL, &e), &e);
	store_close(s);
	t = open_db("k.db", STORE_WRITE);
	make_episode(t);
	store_close(t);
	assert_done(buf_read_file(&plain, in("k.db"), 1 << 24, &e), &e);
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		int came = 0;
		for (int run = 0; run < RUNS; run++) {
			static const char *const besides[] = { "k.db-wal", "k.db-shm", "k.db.head",
				                               "k.db-journal" };
			for (size_t b = 0; b < 4; b++)
				unlink(in(besides[b]));
			assert_done(file_write_atomic(in("k.db"), plain.data, plain.len, &e), &e);
			pid_t pid = fork();
			if (pid == 0) {
				struct end end = { steps[i], 0 };
				struct store_options o = { .step = die, .ctx = &end };
				struct episode_read got = { 0 };
				t = store_open(in("k.db"), STORE_WRITE, &o, &e);
				/* what opening itself writes is not meant here */
				if (t)
					episode_read(t, in("one"), &got, &e);
				_exit(1);
			}
			int status;
			assert_int_equal(waitpid(pid, &status, 0), pid);
			t = open_db("k.db", STORE_WRITE);
			int n = episodes_in(t);
			assert_in_range(n, 1, 2);
			came += n == 2;
			if (run == 0)
				assert_whole(t);
			if (n == 2) {
				int turns = 0;
				assert_done(store_turns(t, 2, count_turns, &turns, &e), &e);
				assert_int_equal(turns, 3);
			}
			store_close(t);
		}
		/* all of it, or nothing; and which is no matter of luck */
		assert_true(came == 0 || came == RUNS);
		assert_int_equal(came > 0, strcmp(steps[i], "committed") == 0);
	}
	buf_release(&plain);
	remove_all(in("one"));
}

/* ---- damaged ---- */

static void write_over(const char *path, const char *text)
{
	struct err e = { 0 };

	assert_done(file_write_atomic(path, text, strlen(text), &e), &e);
}

/* episode.json with @from replaced by @to. */
static void edit(const char *path, const char *from, const char *to)
{
	size_t len;
	char *text = read_whole(path, &len), *at = strstr(text, from);
	struct buf b = { 0 };
	struct err e = { 0 };

	if (!at)
		fail_msg("'%s' is not in %s", from, path);
	buf_add(&b, text, (size_t)(at - text));
	buf_adds(&b, to);
	buf_adds(&b, at + strlen(from));
	assert_done(file_write_atomic(path, b.data, b.len, &e), &e);
	buf_release(&b);
	free(text);
}

static void a_damaged_export_is_told_and_nothing_of_it_comes_in(void **state)
{
	static const struct {
		const char *file, *from, *to; /* from NULL: the whole file; to NULL: it goes */
		const char *words;
	} cases[] = {
		{ "episode.json", NULL, NULL, "episode.json" },
		{ "episode.json", NULL, "", "episode.json" },
		{ "episode.json", NULL, "{", "line 1" },
		{ "episode.json", NULL, "[]", "format" },
		{ "episode.json", "cadforge-episode-1", "cadforge-episode-9",
		  "cadforge-episode-9" },
		{ "episode.json", "\"task\":\t\"hook\"", "\"task\":\t7", "task: a text" },
		{ "episode.json", "\"created\":\t\"2", "\"created\":\t\"x", "created" },
		{ "episode.json", "\"turn\":\t2", "\"turn\":\t7",
		  "turn 2: turn: 2 was expected, got 7" },
		{ "episode.json", "\"turn\":\t2", "\"turn\":\t2.5",
		  "turn 2: turn: a whole number" },
		{ "episode.json", "\"parent\":\t1", "\"parent\":\t2", "parent: an earlier turn" },
		{ "episode.json", "\"parent\":\t1", "\"parent\":\t-1", "parent: a whole number" },
		{ "episode.json", "\"source\":\t\"model\"", "\"source\":\tnull", "source: a text" },
		{ "episode.json", "\"name\":\t\"front.png\"", "\"name\":\t\"../../a.db\"",
		  "a file's name was expected" },
		{ "episode.json", "\"name\":\t\"front.png\"", "\"name\":\t\".\"",
		  "a file's name was expected" },
		{ "episode.json", "\"name\":\t\"reward.json\"", "\"name\":\t\"build.log\"",
		  "bytes were expected" },
		{ "episode.json", "\"bytes\":\t300", "\"bytes\":\t301", "301 bytes were expected" },
		{ "episode.json", "\"grade\":\t4", "\"grade\":\t9", "judgement" },
		{ "episode.json", "\"events\":", "\"evens\":", "events: a list" },
		{ "episode.json", "\"sha256\":\t\"", "\"there\": false, \"sha256\":\t\"../",
		  "64 hexadecimal digits" },
		{ "turn-2/program.py", NULL, NULL, "turn-2/program.py" },
		{ "turn-2/program.py", "import", "impart", "its content is not what was exported" },
		{ "turn-3/reward.json", NULL, "{}", "bytes were expected" },
		{ "turn-1/front.png", NULL, "short", "bytes were expected" },
	};
	struct store *s = open_db("a.db", STORE_READ), *t;
	struct err e = { 0 };

	(void)state;
	t = open_db("d.db", STORE_WRITE);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char path[700];
		struct episode_read got = { 0 };
		assert_done(export_it(s, 1, EXPORT_FOLDER, in("bad"), NULL, &e), &e);
		snprintf(path, sizeof(path), "%s/bad/%s", dir, cases[i].file);
		if (!cases[i].to)
			assert_int_equal(unlink(path), 0);
		else if (cases[i].from)
			edit(path, cases[i].from, cases[i].to);
		else
			write_over(path, cases[i].to);
		if (episode_read(t, in("bad"), &got, &e) == 0)
			fail_msg("case %zu (%s): it came in", i, cases[i].words);
		assert_true(e.kind == ERR_INPUT || e.kind == ERR_USAGE);
		if (!strstr(e.text, cases[i].words))
			fail_msg("case %zu: '%s' is not in: %s", i, cases[i].words, e.text);
		assert_int_equal(episodes_in(t), 0);
		remove_all(in("bad"));
	}
	/* a file that leads elsewhere */
	char path[700];
	struct episode_read got = { 0 };
	assert_done(export_it(s, 1, EXPORT_FOLDER, in("bad"), NULL, &e), &e);
	snprintf(path, sizeof(path), "%s/bad/turn-1/program.py", dir);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_int_equal(episode_read(t, in("bad"), &got, &e), -1);
	assert_non_null(strstr(e.text, "no plain file"));
	assert_int_equal(episodes_in(t), 0);
	remove_all(in("bad"));
	/* a folder that does; and a pipe, which nobody waits at */
	assert_done(export_it(s, 1, EXPORT_FOLDER, in("bad"), NULL, &e), &e);
	assert_done(export_it(s, 1, EXPORT_FOLDER, in("elsewhere"), NULL, &e), &e);
	snprintf(path, sizeof(path), "%s/bad/turn-1", dir);
	remove_all(path);
	assert_int_equal(symlink("../elsewhere/turn-1", path), 0);
	assert_int_equal(episode_read(t, in("bad"), &got, &e), -1);
	assert_non_null(strstr(e.text, "no folder of its own"));
	snprintf(path, sizeof(path), "%s/bad/episode.json", dir);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(episode_read(t, in("bad"), &got, &e), -1);
	assert_non_null(strstr(e.text, "no plain file"));
	assert_int_equal(episodes_in(t), 0);
	remove_all(in("bad"));
	remove_all(in("elsewhere"));
	/* and the store is none the worse for all that */
	assert_done(export_it(s, 1, EXPORT_FOLDER, in("good"), NULL, &e), &e);
	assert_done(episode_read(t, in("good"), &got, &e), &e);
	assert_whole(t);
	store_close(t);
	store_close(s);
	remove_all(in("good"));
}

static void what_is_damaged_in_the_store_keeps_back_nothing_else(void **state)
{
	struct store *s = open_db("w.db", STORE_WRITE);
	struct err e = { 0 };
	struct exported done;
	char path[700];
	sqlite3 *d;

	(void)state;
	make_episode(s);
	store_close(s);
	assert_int_equal(sqlite3_open(in("w.db"), &d), SQLITE_OK);
	assert_int_equal(
		sqlite3_exec(d,
	                     "DROP TRIGGER artifacts_stay_as_they_are; "
	                     "UPDATE artifacts SET data = NULL WHERE id = (SELECT artifact "
	                     "FROM turn_artifacts WHERE turn = 2 AND name = 'front.png'); "
	                     "UPDATE artifacts SET data = x'00' WHERE id = (SELECT artifact "
	                     "FROM turn_artifacts WHERE turn = 2 AND name = 'program.py')",
	                     NULL, NULL, NULL),
		SQLITE_OK);
	sqlite3_close(d);
	s = open_db("w.db", STORE_READ);
	assert_done(export_it(s, 1, EXPORT_FOLDER, in("hurt"), &done, &e), &e);
	/* the completion is the program, and one content: it is gone with it */
	assert_int_equal(done.damaged, 3);
	assert_int_equal(done.turns, 3);
	snprintf(path, sizeof(path), "%s/hurt/turn-2/program.py", dir);
	assert_int_equal(access(path, F_OK), -1);
	snprintf(path, sizeof(path), "%s/hurt/turn-2/reward.json", dir);
	assert_int_equal(access(path, F_OK), 0);
	snprintf(path, sizeof(path), "%s/hurt/turn-3/program.py", dir);
	assert_int_equal(access(path, F_OK), 0);
	for (int kind = EXPORT_MARKDOWN; kind <= EXPORT_PROMPTS; kind++)
		assert_done(export_it(s, 1, (enum export_kind)kind, in("hurt.out"), &done, &e), &e);
	/* what is left comes in */
	struct store *t = open_db("x.db", STORE_WRITE);
	struct episode_read got = { 0 };
	assert_done(episode_read(t, in("hurt"), &got, &e), &e);
	assert_int_equal(got.turns, 3);
	assert_whole(t);
	store_close(t);
	store_close(s);
	remove_all(in("hurt"));
}

/* ---- lines ---- */

static cJSON *line_of(const char *path, int n, int *lines)
{
	size_t len;
	char *text = read_whole(path, &len), *rest = text, *one;
	struct err e = { 0 };
	cJSON *found = NULL;

	*lines = 0;
	while ((one = strsep(&rest, "\n")) && *one)
		if ((*lines)++ == n && !(found = json_parse(one, strlen(one), &e)))
			fail_msg("%s", e.text);
	free(text);
	return found;
}

static const char *text_of(const cJSON *o, const char *key)
{
	return json_string_or(o, key, "not there");
}

static void lines_hold_what_their_kind_is_for(void **state)
{
	/* of make_episode(): 1 built 0.11; 2 did not build 0.12 (seed % 3 == 2); 3 built 0.41 */
	struct store *s = open_db("a.db", STORE_READ);
	struct err e = { 0 };
	struct exported done;
	int lines;
	cJSON *o;

	(void)state;
	assert_done(export_it(s, 1, EXPORT_JSONL, in("all.jsonl"), &done, &e), &e);
	assert_int_equal(done.lines, 3);
	o = line_of(in("all.jsonl"), 2, &lines);
	assert_int_equal(lines, 3);
	assert_string_equal(text_of(o, "task"), "hook");
	assert_non_null(strstr(text_of(o, "completion"), "# 31"));
	assert_true(json_number_or(o, "parent", 0) == 1);
	assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(o, "prompt")), 1);
	cJSON_Delete(o);
	/* built, at least -1, and the repair a gain */
	assert_done(export_it(s, 1, EXPORT_SFT, in("sft.jsonl"), &done, &e), &e);
	assert_int_equal(done.lines, 2);
	o = line_of(in("sft.jsonl"), 1, &lines);
	const cJSON *m = cJSON_GetObjectItemCaseSensitive(o, "messages");
	assert_int_equal(cJSON_GetArraySize(m), 2);
	assert_string_equal(text_of(cJSON_GetArrayItem(m, 1), "role"), "assistant");
	assert_non_null(strstr(text_of(cJSON_GetArrayItem(m, 1), "content"), "# 31"));
	cJSON_Delete(o);
	/* one prompt, three answers, the best is the third */
	assert_done(export_it(s, 1, EXPORT_PAIRS, in("pairs.jsonl"), &done, &e), &e);
	o = line_of(in("pairs.jsonl"), 0, &lines);
	assert_true(lines >= 2);
	assert_string_equal(text_of(o, "chosen_turn"), "1.3");
	assert_non_null(strstr(text_of(o, "chosen"), "# 31"));
	assert_true(json_number_or(o, "chosen_total", 0) > json_number_or(o, "rejected_total", 9));
	cJSON_Delete(o);
	assert_done(export_it(s, 1, EXPORT_PROMPTS, in("prompts.jsonl"), &done, &e), &e);
	assert_int_equal(done.lines, 1);
	store_close(s);
}

static void judge(struct store *s, int64_t ep, int turn, int grade, const char *tag)
{
	struct err e = { 0 };
	int64_t id;
	const struct store_judgement_new j = { .episode = ep,
		                               .turn = turn,
		                               .as = "me",
		                               .grade = grade,
		                               .tags = &tag,
		                               .n_tags = tag != NULL,
		                               .time_us = 7000000 };

	assert_done(store_judge(s, &j, &id, &e), &e);
}

/* "1.2>1.3 judgement" a pair. */
static void pairs_are(struct store *s, int64_t ep, const char *want)
{
	struct err e = { 0 };
	struct buf got = { 0 };
	int lines = 1;

	assert_done(export_it(s, ep, EXPORT_PAIRS, in("judged.jsonl"), NULL, &e), &e);
	for (int i = 0; i < lines; i++) {
		cJSON *o = line_of(in("judged.jsonl"), i, &lines);
		if (o)
			buf_printf(&got, "%s>%s %s%s%s\n", text_of(o, "chosen_turn"),
			           text_of(o, "rejected_turn"), text_of(o, "by"),
			           json_string_or(o, "as", NULL) ? " " : "",
			           json_string_or(o, "as", ""));
		cJSON_Delete(o);
	}
	assert_string_equal(buf_str(&got), want);
	buf_release(&got);
}

static void people_go_before_the_reward(void **state)
{
	struct store *s = open_db("j.db", STORE_WRITE);
	int64_t ep = make_episode(s);

	(void)state;
	pairs_are(s, ep, "1.3>1.1 reward\n1.3>1.2 reward\n");
	judge(s, ep, 2, -1, "over:3");
	pairs_are(s, ep, "1.2>1.3 judgement me\n1.3>1.1 reward\n");
	/* as good as one another: neither */
	judge(s, ep, 1, -1, "level:3");
	pairs_are(s, ep, "1.2>1.3 judgement me\n");
	/* grades: the third has a 4 */
	ep = make_episode(s);
	judge(s, ep, 1, 5, NULL);
	judge(s, ep, 2, 1, NULL);
	pairs_are(s, ep, "2.1>2.2 judgement me\n2.1>2.3 judgement me\n2.3>2.2 judgement me\n");
	store_close(s);
}

static void a_preference_finds_its_other_episode_elsewhere(void **state)
{
	struct store *s = open_db("f.db", STORE_WRITE), *t;
	struct err e = { 0 };
	int64_t a = make_episode(s), b = make_episode(s);
	struct episode_read got = { 0 };
	struct judgements j;

	(void)state;
	judge(s, a, 1, -1, "over:2.3");
	assert_done(export_it(s, a, EXPORT_FOLDER, in("one"), NULL, &e), &e);
	assert_done(export_it(s, b, EXPORT_FOLDER, in("other"), NULL, &e), &e);
	t = open_db("g.db", STORE_WRITE);
	make_episode(t);
	make_episode(t);
	assert_done(episode_read(t, in("one"), &got, &e), &e);
	assert_int_equal(got.episode, 3);
	/* without it nothing is preferred, and nothing is forgotten */
	assert_done(judgements_read(&j, t, 3, 1, NULL, NULL, &e), &e);
	assert_int_equal(j.n, 1);
	assert_false(j.v[0].prefers);
	judgements_release(&j);
	assert_done(episode_read(t, in("other"), &got, &e), &e);
	assert_done(judgements_read(&j, t, 3, 1, NULL, NULL, &e), &e);
	assert_true(j.v[0].prefers);
	assert_int_equal(j.v[0].other_episode, 4);
	assert_int_equal(j.v[0].other_turn, 3);
	judgements_release(&j);
	assert_done(export_it(t, 3, EXPORT_FOLDER, in("two"), NULL, &e), &e);
	same_folders(in("one"), in("two"));
	store_close(t);
	store_close(s);
	remove_all(in("one"));
	remove_all(in("two"));
	remove_all(in("other"));
}

static void pages_are_made_and_replaced(void **state)
{
	struct store *s = open_db("a.db", STORE_READ);
	struct err e = { 0 };
	size_t len;

	(void)state;
	write_over(in("page.md"), "an older one");
	assert_done(export_it(s, 1, EXPORT_MARKDOWN, in("page.md"), NULL, &e), &e);
	char *text = read_whole(in("page.md"), &len);
	assert_non_null(strstr(text, "# hook\n"));
	assert_non_null(strstr(text, "| **[3](#turn-3)** | [1](#turn-1) | "));
	assert_non_null(strstr(text, "import cadquery as cq"));
	assert_non_null(strstr(text, "me: 4 of 5"));
	assert_null(strstr(text, "an older one"));
	free(text);
	assert_done(export_it(s, 1, EXPORT_HTML, in("page.html"), NULL, &e), &e);
	text = read_whole(in("page.html"), &len);
	assert_non_null(strstr(text, "<h1>hook</h1>"));
	assert_null(strstr(text, "<b>note</b>"));
	assert_non_null(strstr(text, "&lt;b&gt;note"));
	free(text);
	/* what is no plain file, or a folder of somebody's, is left alone */
	assert_int_equal(mkfifo(in("page.pipe"), 0600), 0);
	for (int kind = EXPORT_MARKDOWN; kind <= EXPORT_PROMPTS; kind++) {
		struct stat st;
		assert_int_equal(export_it(s, 1, (enum export_kind)kind, in("page.pipe"), NULL, &e),
		                 -1);
		assert_int_equal(e.kind, ERR_USAGE);
		assert_int_equal(stat(in("page.pipe"), &st), 0);
		assert_true(S_ISFIFO(st.st_mode));
	}
	assert_int_equal(symlink("page.html", in("page.link")), 0);
	write_over(in("page.html"), "an older one");
	assert_done(export_it(s, 1, EXPORT_HTML, in("page.link"), NULL, &e), &e);
	text = read_whole(in("page.html"), &len);
	assert_non_null(strstr(text, "<h1>hook</h1>"));
	free(text);
	/* no place: told */
	assert_int_equal(export_it(s, 1, EXPORT_MARKDOWN, in("no/page.md"), NULL, &e), -1);
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_exported_episode_comes_back_as_it_was),
		cmocka_unit_test(what_an_episode_was_to_a_training_goes_along),
		cmocka_unit_test(what_was_pruned_comes_back_as_pruned),
		cmocka_unit_test(what_is_there_is_not_written_over),
		cmocka_unit_test(an_export_killed_at_any_step_leaves_all_or_nothing),
		cmocka_unit_test(an_import_killed_at_any_step_brings_in_all_or_nothing),
		cmocka_unit_test(a_damaged_export_is_told_and_nothing_of_it_comes_in),
		cmocka_unit_test(what_is_damaged_in_the_store_keeps_back_nothing_else),
		cmocka_unit_test(lines_hold_what_their_kind_is_for),
		cmocka_unit_test(people_go_before_the_reward),
		cmocka_unit_test(a_preference_finds_its_other_episode_elsewhere),
		cmocka_unit_test(pages_are_made_and_replaced),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
