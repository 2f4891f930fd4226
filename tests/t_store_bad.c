/*
 * t_store_bad.c - what is wrong with a database is said in words, with the file and what to do; and
 * what is right in it can still be read.
 */
#include "tests/store.h"

#include <grp.h>
#include <sqlite3.h>
#include <sys/types.h>

#include "tests/faulty_vfs.h"

static char dir[256], db[300];

static int setup(void **state)
{
	(void)state;
	make_folder(dir, sizeof(dir));
	snprintf(db, sizeof(db), "%s/sessions.db", dir);
	fault_plan = (struct fault_plan){ 0 };
	faulty_vfs_register();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fault_plan = (struct fault_plan){ 0 };
	chmod(dir, 0700);
	remove_folder(dir);
	return 0;
}

/* A database with @turns turns in one episode. */
static void fill(int turns)
{
	struct err e = { 0 };
	struct store *s = store_open(db, STORE_WRITE, NULL, &e);
	int64_t ep = 0;
	int number;

	if (!s)
		fail_msg("%s", e.text);
	assert_done(start_episode(s, "hook", &ep, &e), &e);
	for (int i = 0; i < turns; i++)
		assert_done(commit_turn(s, ep, 0, i, &number, &e), &e);
	store_close(s);
}

static void write_file(const char *path, const char *text, size_t n)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, n, f), n);
	fclose(f);
}

/* From outside, as another tool would; returns SQLite's answer. */
static int outside(const char *sql, char *said, size_t size)
{
	sqlite3 *d = NULL;
	char *text = NULL;
	int rc;

	assert_int_equal(sqlite3_open(db, &d), SQLITE_OK);
	rc = sqlite3_exec(d, sql, NULL, NULL, &text);
	if (said)
		snprintf(said, size, "%s", text ? text : "");
	sqlite3_free(text);
	sqlite3_close(d);
	return rc;
}

static void assert_refused(enum store_mode mode, const char *part, enum err_kind kind)
{
	struct err e = { 0 };
	struct store *s = store_open(db, mode, NULL, &e);

	if (s)
		fail_msg("it was opened: %s was expected", part);
	if (!strstr(e.text, db))
		fail_msg("the file is not named: %s", e.text);
	assert_contains(e.text, part);
	assert_int_equal(e.kind, kind);
}

static void what_is_no_database_of_ours_is_left_alone(void **state)
{
	char text[200];
	struct stat st;
	(void)state;

	memset(text, 'x', sizeof(text));
	write_file(db, text, sizeof(text));
	assert_refused(STORE_WRITE, "is no SQLite database", ERR_INPUT);
	assert_refused(STORE_READ, "is no SQLite database", ERR_INPUT);
	assert_int_equal(stat(db, &st), 0);
	assert_int_equal(st.st_size, 200);
	unlink(db);
	assert_int_equal(outside("CREATE TABLE songs (name TEXT)", NULL, 0), SQLITE_OK);
	assert_refused(STORE_WRITE, "of another program", ERR_INPUT);
	assert_refused(STORE_READ, "of another program", ERR_INPUT);
	/* an empty file is nobody's */
	unlink(db);
	write_file(db, "", 0);
	assert_refused(STORE_READ, "is empty", ERR_INPUT);
	fill(1);
}

static void a_newer_version_is_left_alone_in_words(void **state)
{
	(void)state;
	fill(1);
	assert_int_equal(outside("PRAGMA user_version = 7", NULL, 0), SQLITE_OK);
	assert_refused(STORE_WRITE, "has schema version 7, and this cadforge", ERR_INPUT);
	assert_refused(STORE_READ, "Use the newer cadforge", ERR_INPUT);
}

static void a_program_that_is_overtaken_by_a_migration_stops(void **state)
{
	struct err e = { 0 };
	struct store *s;
	int number;
	(void)state;

	fill(1);
	s = store_open(db, STORE_WRITE, NULL, &e);
	assert_non_null(s);
	assert_int_equal(outside("PRAGMA user_version = 9", NULL, 0), SQLITE_OK);
	assert_int_equal(commit_turn(s, 1, 0, 2, &number, &e), -1);
	assert_contains(e.text, "schema version 9 meanwhile");
	store_close(s);
}

static void what_is_committed_is_not_rewritten_from_outside(void **state)
{
	static const struct {
		const char *sql, *says;
	} of[] = {
		{ "UPDATE turns SET total = 1", "a turn is never rewritten" },
		{ "DELETE FROM turns", "db prune alone" },
		{ "UPDATE links SET digest = hash", "never rewritten" },
		{ "DELETE FROM links", "never removed" },
		{ "UPDATE events SET data = 'x'", "never rewritten" },
		{ "DELETE FROM events", "db prune alone" },
		{ "INSERT INTO events VALUES (1, 99, 1, 1, 'x', 'x')", "nothing is added" },
		{ "UPDATE notes SET text = 'x'", "never rewritten" },
		{ "DELETE FROM notes", "db prune alone" },
		{ "INSERT INTO notes VALUES (1, 99, 'x')", "nothing is added" },
		{ "UPDATE turn_artifacts SET name = 'x'", "never replaced" },
		{ "DELETE FROM turn_artifacts", "db prune alone" },
		{ "INSERT INTO turn_artifacts VALUES (1, 'x', 'y', 1)", "nothing is added" },
		{ "UPDATE artifacts SET data = x'00'", "never rewritten" },
		{ "UPDATE artifacts SET data = NULL", "never rewritten" },
		{ "DELETE FROM artifacts", "db prune alone" },
		{ "UPDATE judgements SET grade = 5", "never rewritten" },
		{ "DELETE FROM judgements", "db prune alone" },
		{ "UPDATE episodes SET task = 'x'", "keeps what it was begun with" },
		{ "DELETE FROM episodes", "db prune alone" },
		{ "UPDATE runs SET kind = 'x'", "a run ends once" },
	};
	struct store_judgement_new j = { .episode = 1, .turn = 1, .as = "ann", .grade = 3 };
	struct err e = { 0 };
	struct store *s;
	int64_t run;
	char said[300];
	(void)state;

	fill(2);
	s = store_open(db, STORE_WRITE, NULL, &e);
	assert_non_null(s);
	assert_done(store_judge(s, &j, NULL, &e), &e);
	assert_done(store_run_start(s, "group", NULL, &run, &e), &e);
	for (size_t i = 0; i < sizeof(of) / sizeof(*of); i++) {
		if (outside(of[i].sql, said, sizeof(said)) == SQLITE_OK)
			fail_msg("'%s' was let through", of[i].sql);
		assert_contains(said, of[i].says);
	}
	assert_whole(s);
	store_close(s);
}

static void what_was_changed_behind_the_guards_is_found(void **state)
{
	static const struct {
		const char *guard, *sql, *found;
	} of[] = {
		{ "turns_stay_as_they_are", "UPDATE turns SET total = 0.99 WHERE number = 2",
		  "turn 1.2 is not as it was committed" },
		{ "turns_stay", "PRAGMA foreign_keys = OFF; DELETE FROM turns WHERE number = 3",
		  "turn 1.3, committed " },
		{ "events_stay_as_they_are", "UPDATE events SET data = 'x' WHERE number = 1",
		  "turn 1.1 is not as it was committed" },
		{ "events_stay", "DELETE FROM events WHERE number = 4",
		  "turn 1.2 is not as it was committed" },
		{ "notes_stay_as_they_are", "UPDATE notes SET text = 'fine' WHERE turn = 3",
		  "turn 1.3 is not as it was committed" },
		{ "turn_artifacts_stay",
		  "DELETE FROM turn_artifacts WHERE turn = 1 AND name = "
		  "'front.png'",
		  "turn 1.1 is not as it was committed" },
		{ "artifacts_stay_as_they_are",
		  "UPDATE artifacts SET data = (SELECT data FROM artifacts b WHERE b.id = 1) WHERE "
		  "id = (SELECT artifact FROM turn_artifacts WHERE turn = 2 AND name = 'front.png')",
		  "turn 1.2: front.png: its content is damaged" },
		{ "artifacts_stay_as_they_are",
		  "UPDATE artifacts SET data = NULL WHERE id = (SELECT artifact FROM turn_artifacts "
		  "WHERE turn = 2 AND name = 'front.png')",
		  "turn 1.2: front.png: its content is missing" },
		{ "artifacts_stay_as_they_are", "UPDATE artifacts SET pruned_us = 1 WHERE id = 1",
		  "1 artifact says of its content what cannot be" },
		{ "episodes_stay_as_they_are", "UPDATE episodes SET task = 'chair'",
		  "episode 1 is not as it was committed" },
		{ "links_stay", "DELETE FROM links WHERE seq = 3", "links 3 to 3 are missing" },
		{ "links_stay_as_they_are", "UPDATE links SET time_us = 5 WHERE seq = 3",
		  "link 3 does not follow" },
		{ "turns_stay_as_they_are",
		  "INSERT INTO turns (episode, number, session, source, started_us, committed_us, "
		  "built, link) VALUES (1, 4, 1, 'x', 1, 1, 1, 2)",
		  "turn 1.4 is in no link" },
		{ "turns_stay_as_they_are", "UPDATE episodes SET best_total = 5",
		  "episode 1: its summary" },
	};
	struct buf said = { 0 }, old = { 0 };
	struct err e = { 0 };
	int problems;
	(void)state;

	fill(3);
	assert_done(buf_read_file(&old, db, 1 << 24, &e), &e);
	for (size_t i = 0; i < sizeof(of) / sizeof(*of); i++) {
		char sql[600];
		assert_done(file_write_atomic(db, old.data, old.len, &e), &e);
		snprintf(sql, sizeof(sql), "DROP TRIGGER %s; %s", of[i].guard, of[i].sql);
		if (outside(sql, (char[300]){ 0 }, 300) != SQLITE_OK)
			fail_msg("%s", of[i].sql);
		struct store *s = store_open(db, STORE_READ, NULL, &e);
		if (!s)
			fail_msg("%s: %s", of[i].sql, e.text);
		look_through(s, false, &said, &problems);
		if (problems < 1 || !strstr(buf_str(&said), of[i].found))
			fail_msg("after %s: %d problems: %s", of[i].sql, problems, buf_str(&said));
		store_close(s);
	}
	/* what nobody names is told, is no loss, and stays */
	assert_done(file_write_atomic(db, old.data, old.len, &e), &e);
	assert_int_equal(outside("INSERT INTO artifacts (hash, bytes, pruned_us) VALUES "
	                         "(randomblob(32), 5, 1)",
	                         (char[300]){ 0 }, 300),
	                 SQLITE_OK);
	for (int repair = 0; repair < 2; repair++) {
		struct store *s = store_open(db, STORE_WRITE, NULL, &e);
		assert_non_null(s);
		look_through(s, repair, &said, &problems);
		assert_int_equal(problems, 0);
		assert_non_null(strstr(buf_str(&said), "1 artifact belongs to no turn"));
		store_close(s);
	}
	buf_release(&said);
	buf_release(&old);
}

static void a_guard_that_is_gone_is_told_and_set_up_again(void **state)
{
	static const char *const of[] = {
		"DROP TRIGGER turns_stay_as_they_are", "DROP INDEX turns_by_class",
		"DROP TRIGGER links_stay; CREATE TRIGGER links_stay BEFORE DELETE ON links "
		"BEGIN SELECT 1; END"
	};
	static const char *const name[] = { "turns_stay_as_they_are is gone",
		                            "turns_by_class is gone",
		                            "links_stay is not as it was made" };
	struct buf said = { 0 };
	struct err e = { 0 };
	char why[300];
	int problems;
	(void)state;

	fill(2);
	for (size_t i = 0; i < sizeof(of) / sizeof(*of); i++) {
		assert_int_equal(outside(of[i], why, sizeof(why)), SQLITE_OK);
		struct store *s = store_open(db, STORE_WRITE, NULL, &e);
		assert_non_null(s);
		look_through(s, false, &said, &problems);
		if (!strstr(buf_str(&said), name[i]))
			fail_msg("'%s' is not in: %s", name[i], buf_str(&said));
		look_through(s, true, &said, &problems);
		assert_int_equal(problems, 0);
		assert_non_null(strstr(buf_str(&said), "was set up again"));
		look_through(s, false, &said, &problems);
		assert_int_equal(problems, 0);
		assert_string_equal(buf_str(&said), "");
		store_close(s);
	}
	assert_int_not_equal(outside("UPDATE turns SET total = 1", why, sizeof(why)), SQLITE_OK);
	assert_int_not_equal(outside("DELETE FROM links", why, sizeof(why)), SQLITE_OK);
	buf_release(&said);
}

static int first_bytes(void *ctx, const struct store_artifact *a)
{
	++*(int *)ctx;
	(void)a;
	return 0;
}

static void content_that_is_missing_or_damaged_is_an_error_of_that_artifact_alone(void **state)
{
	struct err e = { 0 };
	struct buf out = { 0 };
	struct store *s;
	int n = 0;
	(void)state;

	fill(2);
	assert_int_equal(
		outside("DROP TRIGGER artifacts_stay_as_they_are; "
	                "UPDATE artifacts SET data = NULL WHERE id = (SELECT artifact FROM "
	                "turn_artifacts WHERE turn = 2 AND name = 'front.png'); "
	                "UPDATE artifacts SET data = substr(data, 1, 20) WHERE id = (SELECT "
	                "artifact FROM turn_artifacts WHERE turn = 2 AND name = "
	                "'reward.json'); "
	                /* a frame that claims to be a gigabyte, and one that is none */
	                "UPDATE artifacts SET data = x'28b52ffda00000004000' WHERE id = "
	                "(SELECT artifact FROM turn_artifacts WHERE turn = 1 AND name = "
	                "'front.png'); "
	                "UPDATE artifacts SET data = 'text' WHERE id = (SELECT artifact FROM "
	                "turn_artifacts WHERE turn = 1 AND name = 'build.log'); ",
	                (char[300]){ 0 }, 300),
		SQLITE_CONSTRAINT); /* STRICT refuses text for a blob, */
	assert_int_equal(
		outside("DROP TRIGGER IF EXISTS artifacts_stay_as_they_are; "
	                "UPDATE artifacts SET data = x'00' WHERE id = (SELECT artifact FROM "
	                "turn_artifacts WHERE turn = 1 AND name = 'build.log')",
	                NULL, 0),
		SQLITE_OK);
	s = store_open(db, STORE_READ, NULL, &e);
	assert_non_null(s);
	assert_int_equal(store_artifact(s, 1, 2, "front.png", &out, &e), -1);
	assert_contains(e.text, "the content of front.png is missing in");
	assert_int_equal(store_artifact(s, 1, 2, "reward.json", &out, &e), -1);
	assert_contains(e.text, "is damaged; 'cadforge fsck'");
	assert_int_equal(store_artifact(s, 1, 1, "front.png", &out, &e), -1);
	assert_contains(e.text, "is damaged");
	assert_int_equal(store_artifact(s, 1, 1, "build.log", &out, &e), -1);
	assert_int_equal(out.len, 0);
	/* the rest is there */
	assert_done(store_artifact(s, 1, 2, "program.py", &out, &e), &e);
	assert_done(store_artifacts(s, 1, 2, first_bytes, &n, &e), &e);
	assert_int_equal(n, 7);
	store_close(s);
	buf_release(&out);
}

static int any_hit(void *ctx, const struct store_hit *h)
{
	*(int *)ctx += (int)strlen(h->excerpt);
	return 0;
}

static void a_database_cut_short_is_said_to_be_lost_and_left_as_it_is(void **state)
{
	struct buf old = { 0 }, now = { 0 };
	struct err e = { 0 };
	(void)state;

	fill(6);
	assert_done(buf_read_file(&old, db, 1 << 24, &e), &e);
	assert_int_equal(truncate(db, (off_t)(old.len / 2 / 8192 * 8192)), 0);
	for (int mode = 0; mode < 2; mode++) {
		assert_null(store_open(db, mode ? STORE_WRITE : STORE_READ, NULL, &e));
		assert_contains(e.text, "cut short");
		assert_contains(e.text, "'cadforge db backup'");
		assert_null(strstr(e.text, "fsck"));
	}
	assert_done(buf_read_file(&now, db, 1 << 24, &e), &e);
	assert_int_equal(now.len, old.len / 2 / 8192 * 8192);
	assert_memory_equal(now.data, old.data, now.len);
	buf_release(&old);
	buf_release(&now);
}

static void a_database_with_damaged_pages_never_crashes_anybody(void **state)
{
	struct buf old = { 0 }, said = { 0 };
	struct err e = { 0 };
	int opened = 0, found = 0, problems;
	(void)state;

	fill(6);
	assert_done(buf_read_file(&old, db, 1 << 24, &e), &e);
	const size_t page = 8192, pages = old.len / page;
	assert_true(pages > 30);
	for (size_t i = 0; i < 2 * pages; i++) {
		char *copy = malloc(old.len), log[400];
		/* its begin says what it is, at its end is what is in it */
		size_t from = i % 2 ? (i / 2 + 1) * page - 600 : i / 2 * page,
		       n_bytes = i % 2 ? 600 : 60;
		assert_non_null(copy);
		memcpy(copy, old.data, old.len);
		/* another pattern each time */
		for (size_t k = from; k < from + n_bytes; k++)
			copy[k] = (char)(i % 3 == 0   ? 0
			                 : i % 3 == 1 ? 0xff
			                              : copy[k] ^ (int)(k * 37 | 1));
		assert_done(file_write_atomic(db, copy, old.len, &e), &e);
		snprintf(log, sizeof(log), "%s-wal", db);
		unlink(log);
		free(copy);
		struct store *s = store_open(db, STORE_WRITE, NULL, &e);
		if (!s) {
			if (!strstr(e.text, db))
				fail_msg("at %zu: %s", from, e.text);
			found++;
			continue;
		}
		opened++;
		struct store_filter f = store_filter_none();
		struct buf out = { 0 };
		int n = 0, number;
		bool more;
		/* whatever these answer, they answer */
		store_turns(s, 1, count_turns, &n, &e);
		for (int t = 1; t <= 6; t++)
			store_artifact(s, 1, t, "program.py", &out, &e);
		store_search(s, "workplane", &f, 0, 10, any_hit, &n, &more, &e);
		commit_turn(s, 1, 0, 9, &number, &e);
		look_through(s, false, &said, &problems);
		found += problems > 0;
		buf_release(&out);
		store_close(s);
	}
	/* what is not found lay in room that nothing uses */
	print_message("of %zu damages %d were found; %d times it could be opened\n", 2 * pages,
	              found, opened);
	assert_true(opened > (int)pages);
	assert_true(found > (int)pages);
	buf_release(&old);
	buf_release(&said);
}

static void a_read_only_place_can_be_read(void **state)
{
	struct err e = { 0 };
	int status;
	(void)state;

	fill(3);
	chmod(db, 0444);
	chmod(dir, 0555);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		int n = 0, number;
		/* rights do not hold for root */
		if (geteuid() == 0 &&
		    (setgroups(0, NULL) < 0 || setgid(65534) < 0 || setuid(65534) < 0))
			_exit(77);
		struct store *s = store_open(db, STORE_READ, NULL, &e);
		if (!s || store_turns(s, 1, count_turns, &n, &e) < 0 || n != 3) {
			fprintf(stderr, "%s\n", e.text);
			_exit(1);
		}
		if (commit_turn(s, 1, 0, 1, &number, &e) != -1)
			_exit(2);
		store_close(s);
		s = store_open(db, STORE_WRITE, NULL, &e);
		if (s || !strstr(e.text, db) || !strstr(e.text, "--db") ||
		    !strstr(e.text, "read-only")) {
			fprintf(stderr, "%s\n", e.text);
			_exit(3);
		}
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(status, 0);
}

static void a_place_that_cannot_be_made_or_used_is_named(void **state)
{
	struct err e = { 0 };
	char path[400];
	(void)state;

	write_file(db, "x", 1);
	snprintf(path, sizeof(path), "%s/under/it.db", db);
	assert_null(store_open(path, STORE_WRITE, NULL, &e));
	assert_contains(e.text, "its folder");
	assert_contains(e.text, "cannot be made");
	snprintf(path, sizeof(path), "%s/a/b/c/it.db", dir);
	struct store *s = store_open(path, STORE_WRITE, NULL, &e);
	assert_non_null(s);
	store_close(s);
	snprintf(path, sizeof(path), "rm -r %s/a", dir);
	assert_int_equal(system(path), 0);
	/* names that SQLite would take for something else are names */
	assert_int_equal(chdir(dir), 0);
	s = store_open(":memory:", STORE_WRITE, NULL, &e);
	assert_non_null(s);
	store_close(s);
	assert_int_equal(access(":memory:", F_OK), 0);
	s = store_open("file:x?mode=memory", STORE_WRITE, NULL, &e);
	assert_non_null(s);
	store_close(s);
	assert_int_equal(access("file:x?mode=memory", F_OK), 0);
	assert_int_equal(chdir("/"), 0);
}

static void a_database_that_is_locked_for_long_says_by_whom(void **state)
{
	struct store_options o = { .busy_ms = 150 };
	struct err e = { 0 };
	struct store *s;
	char who[60];
	int number, status, up[2], down[2];
	(void)state;

	fill(1);
	assert_int_equal(pipe(up), 0);
	assert_int_equal(pipe(down), 0);
	pid_t pid = fork();
	if (pid == 0) {
		char c = 0;
		sqlite3 *d = NULL;
		close(down[1]);
		if (sqlite3_open(db, &d) != SQLITE_OK ||
		    sqlite3_exec(d, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
			_exit(1);
		if (write(up[1], "x", 1) != 1 || read(down[0], &c, 1) != 0)
			_exit(2);
		_exit(0);
	}
	char c;
	close(down[0]);
	assert_int_equal(read(up[0], &c, 1), 1);
	s = store_open(db, STORE_WRITE, &o, &e);
	assert_non_null(s); /* opening waits for nobody */
	assert_int_equal(commit_turn(s, 1, 0, 2, &number, &e), -1);
	assert_contains(e.text, "has been writing to it for more than 0.15 s");
	snprintf(who, sizeof(who), "(process %d)", (int)pid);
	assert_contains(e.text, who);
	/* reading goes on */
	int n = 0;
	assert_done(store_turns(s, 1, count_turns, &n, &e), &e);
	assert_int_equal(n, 1);
	close(down[1]);
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
	assert_done(commit_turn(s, 1, 0, 2, &number, &e), &e);
	store_close(s);
	close(up[0]);
	close(up[1]);
}

static void a_search_index_that_went_wrong_is_made_anew(void **state)
{
	struct buf said = { 0 };
	struct err e = { 0 };
	struct store *s;
	int problems;
	(void)state;

	fill(3);
	assert_int_equal(outside("DELETE FROM search_data WHERE id > 10; DELETE FROM search_idx",
	                         (char[300]){ 0 }, 300),
	                 SQLITE_OK);
	s = store_open(db, STORE_WRITE, NULL, &e);
	assert_non_null(s);
	look_through(s, false, &said, &problems);
	assert_true(problems >= 1);
	assert_contains(buf_str(&said), "the index search does not agree with the texts");
	look_through(s, true, &said, &problems);
	assert_contains(buf_str(&said), "the index search was made anew");
	assert_whole(s);
	store_close(s);
	buf_release(&said);
}

static void a_lost_or_foreign_head_is_said_and_mended(void **state)
{
	struct buf said = { 0 };
	struct err e = { 0 };
	struct store *s;
	char head[400];
	int problems, number;
	(void)state;

	fill(2);
	snprintf(head, sizeof(head), "%s.head", db);
	write_file(head, "nonsense", 8);
	s = store_open(db, STORE_READ, NULL, &e);
	assert_contains(store_warning(s), "sessions.db.head cannot be read");
	store_close(s);
	s = store_open(db, STORE_WRITE, NULL, &e);
	look_through(s, true, &said, &problems);
	assert_contains(buf_str(&said), "sessions.db.head was written anew");
	store_close(s);
	s = store_open(db, STORE_WRITE, NULL, &e);
	assert_null(store_warning(s));
	store_close(s);
	/* the database gone and made anew: the head remembers the old one */
	unlink(db);
	s = store_open(db, STORE_WRITE, NULL, &e);
	assert_contains(store_warning(s), "was made anew");
	assert_contains(store_warning(s), "with 4 links");
	int64_t ep;
	assert_done(start_episode(s, "hook", &ep, &e), &e);
	assert_done(commit_turn(s, ep, 0, 1, &number, &e), &e);
	store_close(s);
	s = store_open(db, STORE_WRITE, NULL, &e);
	assert_null(store_warning(s));
	assert_whole(s);
	store_close(s);
	buf_release(&said);
}

static void a_batch_is_kept_whole_or_not_at_all(void **state)
{
	struct err e = { 0 };
	struct store *s;
	int number, n = 0;
	(void)state;

	fill(1);
	s = store_open(db, STORE_WRITE, NULL, &e);
	assert_non_null(s);
	assert_done(store_batch_begin(s, &e), &e);
	assert_done(commit_turn(s, 1, 0, 2, &number, &e), &e);
	assert_int_equal(commit_turn(s, 1, 99, 2, &number, &e), -1);
	assert_int_equal(commit_turn(s, 1, 0, 3, &number, &e), -1);
	assert_contains(e.text, "an earlier write of this batch failed");
	assert_int_equal(store_batch_end(s, true, &e), -1);
	assert_contains(e.text, "nothing of it was stored");
	assert_done(store_turns(s, 1, count_turns, &n, &e), &e);
	assert_int_equal(n, 1);
	assert_done(store_batch_begin(s, &e), &e);
	assert_done(commit_turn(s, 1, 0, 2, &number, &e), &e);
	assert_done(store_batch_end(s, false, &e), &e);
	assert_done(store_batch_begin(s, &e), &e);
	assert_done(store_batch_begin(s, &e), &e);
	assert_done(commit_turn(s, 1, 0, 4, &number, &e), &e);
	assert_done(store_batch_end(s, true, &e), &e);
	assert_done(store_batch_end(s, true, &e), &e);
	assert_int_equal(number, 2);
	assert_int_equal(store_batch_end(s, true, &e), -1);
	assert_whole(s);
	store_close(s);
}

int main(void)
{
#define CLAIM(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CLAIM(what_is_no_database_of_ours_is_left_alone),
		CLAIM(a_newer_version_is_left_alone_in_words),
		CLAIM(a_program_that_is_overtaken_by_a_migration_stops),
		CLAIM(what_is_committed_is_not_rewritten_from_outside),
		CLAIM(what_was_changed_behind_the_guards_is_found),
		CLAIM(a_guard_that_is_gone_is_told_and_set_up_again),
		CLAIM(content_that_is_missing_or_damaged_is_an_error_of_that_artifact_alone),
		CLAIM(a_database_cut_short_is_said_to_be_lost_and_left_as_it_is),
		CLAIM(a_database_with_damaged_pages_never_crashes_anybody),
		CLAIM(a_read_only_place_can_be_read),
		CLAIM(a_place_that_cannot_be_made_or_used_is_named),
		CLAIM(a_database_that_is_locked_for_long_says_by_whom),
		CLAIM(a_search_index_that_went_wrong_is_made_anew),
		CLAIM(a_lost_or_foreign_head_is_said_and_mended),
		CLAIM(a_batch_is_kept_whole_or_not_at_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
