/*
 * t_store_crash.c - kill -9 at every named step and at every write, full and broken disks, several
 * writers: what was said to be committed is there, and nothing half is shown.
 *
 * A child works on the database and tells through a pipe how many turns the store has said are
 * committed; it is killed; the parent looks.
 */
#include "tests/store.h"

#include <signal.h>
#include <sqlite3.h>
#include <sys/mman.h>

#include "tests/faulty_vfs.h"

#ifdef __SANITIZE_ADDRESS__ /* ten times slower, and the memory of the first is that of the last */
enum { RUNS = 20 };
#else
enum { RUNS = 100 };
#endif

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
	remove_folder(dir);
	return 0;
}

/* What child and parent share. */
struct shared {
	int committed; /* turns that the store has said are on the disk */
	int judged;
	bool in_turn; /* between turn_begin and the end of commit */
	bool finished;
	bool made; /* the episode was said to be there */
	char error[480];
};

static struct shared *shared_take(void)
{
	struct shared *v =
		mmap(NULL, sizeof(*v), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(v != MAP_FAILED);
	return v;
}

/* Ends the process at the n-th time that a step is reached. */
struct killer {
	const char *step;
	int n;
};

static void on_step(void *ctx, const char *name)
{
	struct killer *k = ctx;

	if (strcmp(name, k->step) == 0 && k->n-- == 0)
		kill(getpid(), SIGKILL);
}

static const char bigger[] = "CREATE TABLE more (id INTEGER PRIMARY KEY, text TEXT) STRICT;"
			     "INSERT INTO more (text) SELECT task FROM episodes;"
			     "CREATE INDEX more_by_text ON more (text);";
static const char *const migrations[] = { bigger };

/* A session as the child works it: an episode, @turns turns, a judgement after each. */
static void work(struct shared *v, const struct store_options *o, int turns, bool tend)
{
	struct err e = { 0 };
	struct store *s = store_open(db, STORE_WRITE, o, &e);
	int64_t ep = 0;
	int number = 0;

	if (!s)
		goto fail;
	if (start_episode(s, "hook", &ep, &e) < 0)
		goto fail;
	v->made = true;
	for (int i = 0; i < turns; i++) {
		v->in_turn = true;
		if (store_turn_begin(s, ep, &e) < 0 ||
		    commit_turn(s, ep, number, (int)ep * 10 + i, &number, &e) < 0)
			goto fail;
		v->in_turn = false;
		v->committed++;
		struct store_judgement_new j = {
			.episode = ep, .turn = number, .as = "ann", .grade = i % 6
		};
		if (store_judge(s, &j, NULL, &e) < 0)
			goto fail;
		v->judged++;
		if (tend)
			store_tend(s);
	}
	store_close(s);
	v->finished = true;
	return;
fail:
	snprintf(v->error, sizeof(v->error), "%s", e.text);
	store_close(s);
}

static int in_child(struct shared *v, const struct store_options *o, int turns, bool tend)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		work(v, o, turns, tend);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static int count_in_episode(void *ctx, const struct store_episode *x)
{
	*(int *)ctx += x->turns;
	return 0;
}

static int total_turns(struct store *s)
{
	struct store_filter f = store_filter_none();
	struct err e = { 0 };
	int n = 0;

	assert_done(store_episodes(s, &f, 0, 100000, count_in_episode, &n, NULL, &e), &e);
	return n;
}

/* @before turns were there, @v says how many came. */
static int look_after(struct shared *v, int before, const char *what, int run,
                      const struct store_options *o)
{
	struct err e = { 0 };
	struct store *s = store_open(db, STORE_WRITE, o, &e);
	const char *warning;
	int now;

	if (!s)
		fail_msg("%s, run %d: %s", what, run, e.text);
	warning = store_warning(s);
	now = total_turns(s);
	if (now < before + v->committed)
		fail_msg("%s, run %d: %d turns were committed and %d are there", what, run,
		         before + v->committed, now);
	/* one more than was said: killed between the disk and the word */
	if (now > before + v->committed + 1)
		fail_msg("%s, run %d: %d turns are there, and %d were committed", what, run, now,
		         before + v->committed);
	if (warning && strstr(warning, "missing"))
		fail_msg("%s, run %d: %s", what, run, warning);
	/* a turn that was begun and is not there is told, once */
	if (v->in_turn && !v->finished && now == before + v->committed && warning &&
	    !strstr(warning, "was not finished"))
		fail_msg("%s, run %d: %s", what, run, warning);
	if (warning && strstr(warning, "was not finished") && now > before + v->committed)
		fail_msg("%s, run %d: the turn is there and is said to be lost", what, run);
	/* every run is counted; the whole of it is read in every fifth */
	if (run % 5 == 0)
		assert_whole(s);
	bool told = warning != NULL && run % 5 == 0;
	store_close(s);
	if (!told)
		return now;
	s = store_open(db, STORE_WRITE, o, &e);
	assert_non_null(s);
	if (store_warning(s))
		fail_msg("%s, run %d: told twice: %s", what, run, store_warning(s));
	store_close(s);
	return now;
}

static void start_anew(void)
{
	remove_folder(dir);
	assert_int_equal(mkdir(dir, 0700), 0);
}

static void a_process_killed_at_any_step_loses_no_committed_turn(void **state)
{
	static const char *const steps[] = { "begin",       "turn.artifacts", "turn.row",
		                             "turn.events", "link",           "commit",
		                             "committed",   "head",           "checkpoint",
		                             "checkpointed" };
	struct shared *v = shared_take();
	(void)state;

	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		int before = 0, killed = 0;
		for (int run = 0; run < RUNS; run++) {
			/* of two turns: at the first, the second; of other steps there
			 * are more */
			bool turn = strncmp(steps[i], "turn.", 5) == 0;
			struct killer k = { steps[i], run % (turn ? 2 : 5) };
			struct store_options o = { .step = on_step, .ctx = &k };
			if (run % 20 == 0) { /* looking at everything after each run is not free */
				start_anew();
				before = 0;
			}
			memset(v, 0, sizeof(*v));
			/* the log is moved often enough to be killed in that too */
			bool log = strncmp(steps[i], "checkpoint", 10) == 0;
			if (log)
				o.log_pages = 8, k.n = run % 2;
			int status = in_child(v, &o, 2, true);
			if (!v->finished && !WIFSIGNALED(status))
				fail_msg("%s, run %d: %s", steps[i], run, v->error);
			killed += WIFSIGNALED(status);
			before = look_after(v, before, steps[i], run, NULL);
		}
		assert_int_equal(killed, RUNS);
	}
	munmap(v, sizeof(*v));
}

static void remove_database(void)
{
	static const char *const ends[] = { "", "-wal", "-shm", ".head" };
	char path[400];

	for (int i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "%s%s", db, ends[i]);
		unlink(path);
	}
}

static int copies_in(const char *of)
{
	DIR *d = opendir(dir);
	struct dirent *x;
	int n = 0;

	while ((x = readdir(d)))
		n += strncmp(x->d_name, of, strlen(of)) == 0 &&
		     strcmp(x->d_name + strlen(x->d_name) - 4, ".bak") == 0;
	closedir(d);
	return n;
}

static void a_process_killed_in_a_migration_leaves_the_old_or_the_new(void **state)
{
	static const char *const steps[] = { "migrate.copy", "migrate.copied", "backup.named",
		                             "migrate.step", "migrate.commit", "migrated" };
	struct shared *v = shared_take();
	struct err e = { 0 };
	struct buf old = { 0 };
	char copy[40], newer[40];
	(void)state;

	snprintf(copy, sizeof(copy), "sessions.db.v%d-", STORE_VERSION);
	snprintf(newer, sizeof(newer), "has schema version %d", STORE_VERSION + 1);
	in_child(v, NULL, 2, false);
	assert_true(v->finished);
	assert_done(buf_read_file(&old, db, 1 << 24, &e), &e);
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++)
		for (int run = 0; run < RUNS; run++) {
			struct killer k = { steps[i], 0 };
			struct store_options o = { .step = on_step,
				                   .ctx = &k,
				                   .more_migrations = migrations,
				                   .n_more_migrations = 1 };
			if (run % 20 == 0)
				start_anew();
			else
				remove_database();
			assert_done(file_write_atomic(db, old.data, old.len, &e), &e);
			struct shared *w = shared_take();
			int status = in_child(w, &o, 1, false);
			if (!WIFSIGNALED(status))
				fail_msg("%s was not reached: %s", steps[i], w->error);
			munmap(w, sizeof(*w));
			/* as it was, or as it is to be: both open with the newer program */
			o.step = NULL;
			struct store *s = store_open(db, STORE_WRITE, &o, &e);
			if (!s)
				fail_msg("%s, run %d: %s", steps[i], run, e.text);
			assert_null(store_warning(s));
			assert_int_equal(total_turns(s), 2);
			if (run % 10 == 0)
				assert_whole(s);
			store_close(s);
			assert_true(copies_in(copy) >= 1);
			if (run % 10)
				continue;
			assert_null(store_open(db, STORE_WRITE, NULL, &e));
			assert_contains(e.text, newer);
		}
	buf_release(&old);
	munmap(v, sizeof(*v));
}

static void a_process_killed_at_any_write_even_in_the_middle_of_it(void **state)
{
	static const enum fault ways[] = { FAULT_KILL, FAULT_KILL_MID };
	struct shared *v = shared_take();
	struct store_options o = { .vfs = "faulty", .log_pages = 16 };
	int killed = 0;
	(void)state;

	for (int way = 0; way < 2; way++)
		for (long at = 1;; at++) {
			struct err e = { 0 };
			start_anew();
			memset(v, 0, sizeof(*v));
			fault_plan = (struct fault_plan){ .what = ways[way], .at = at };
			int status = in_child(v, &o, 2, true);
			fault_plan = (struct fault_plan){ 0 };
			if (!WIFSIGNALED(status) && v->finished)
				break;
			/* a kill in the middle of a sync or truncate is the one before it */
			if (WIFSIGNALED(status))
				killed++;
			if (access(db, F_OK) == 0)
				look_after(v, 0, "write", (int)at, NULL);
			else { /* killed before there was a file */
				struct store *s = store_open(db, STORE_WRITE, NULL, &e);
				assert_non_null(s);
				store_close(s);
			}
		}
	/* it went through a good many */
	assert_true(killed > 100);
	munmap(v, sizeof(*v));
}

/* Tries until it works; every failure must say what is wrong in words. */
#define STUBBORN(call)                                                                             \
	do {                                                                                       \
		int tries_ = 0;                                                                    \
		while ((call) < 0) {                                                               \
			if (!strstr(e.text, db) || (!strstr(e.text, "disk is full") &&             \
			                            !strstr(e.text, "the disk refused")))          \
				fail_msg("write %ld: '%s'", at, e.text);                           \
			if (++tries_ > 3)                                                          \
				fail_msg("write %ld: never again: %s", at, e.text);                \
			e = (struct err){ 0 };                                                     \
		}                                                                                  \
	} while (0)

static void a_write_that_fails_can_be_done_again(void **state)
{
	static const enum fault ways[] = { FAULT_FULL, FAULT_IO };
	struct store_options o = { .vfs = "faulty", .log_pages = 16 };
	(void)state;

	for (int way = 0; way < 2; way++)
		for (long at = 1;; at++) {
			struct err e = { 0 };
			struct store *s = NULL;
			struct store_pruned gone;
			struct store_prune p = { 0 };
			int64_t ep = 0;
			int number;
			start_anew();
			fault_plan = (struct fault_plan){ .what = ways[way], .at = at };
			STUBBORN((s = store_open(db, STORE_WRITE, &o, &e)) ? 0 : -1);
			STUBBORN(start_episode(s, "hook", &ep, &e));
			for (int i = 0; i < 2; i++) {
				struct store_judgement_new j = {
					.episode = 1, .turn = i + 1, .as = "ann", .grade = 3
				};
				STUBBORN(store_turn_begin(s, ep, &e));
				STUBBORN(commit_turn(s, ep, 0, i, &number, &e));
				assert_int_equal(number, i + 1);
				STUBBORN(store_judge(s, &j, NULL, &e));
			}
			STUBBORN(store_prune(s, &p, &gone, &e));
			assert_int_equal(total_turns(s), 2);
			store_close(s);
			bool hit = fault_plan.hit;
			fault_plan = (struct fault_plan){ 0 };
			if (hit && at % 5)
				continue;
			s = store_open(db, STORE_WRITE, NULL, &e);
			if (!s)
				fail_msg("write %ld: %s", at, e.text);
			if (store_warning(s))
				fail_msg("write %ld: %s", at, store_warning(s));
			assert_int_equal(total_turns(s), 2);
			assert_whole(s);
			store_close(s);
			if (!hit)
				break;
			assert_true(at < 2000);
		}
}

static void a_disk_that_stays_full_keeps_what_was_committed(void **state)
{
	struct shared *v = shared_take();
	struct store_options o = { .vfs = "faulty", .log_pages = 16 };
	(void)state;

	for (long at = 1;; at += 3) {
		start_anew();
		memset(v, 0, sizeof(*v));
		fault_plan = (struct fault_plan){ .what = FAULT_FULL, .at = at, .stays = true };
		in_child(v, &o, 3, true);
		fault_plan = (struct fault_plan){ 0 };
		if (v->finished)
			break;
		assert_contains(v->error, "the disk is full");
		assert_contains(v->error, "Free some room");
		if (access(db, F_OK) == 0)
			look_after(v, 0, "full from write", (int)at, NULL);
	}
	munmap(v, sizeof(*v));
}

static void several_processes_write_at_once(void **state)
{
	enum { WRITERS = 4, EACH = 25 };
	struct err e = { 0 };
	struct store *s = store_open(db, STORE_WRITE, NULL, &e);
	pid_t pid[WRITERS];
	int64_t shared_episode = 0;
	int status;
	(void)state;

	assert_non_null(s);
	assert_done(start_episode(s, "hook", &shared_episode, &e), &e);
	store_close(s);
	for (int w = 0; w < WRITERS; w++) {
		pid[w] = fork();
		assert_true(pid[w] >= 0);
		if (pid[w] == 0) {
			int64_t own = 0;
			int number, bad = 0;
			s = store_open(db, STORE_WRITE, NULL, &e);
			if (!s || start_episode(s, "chair", &own, &e) < 0)
				_exit(1);
			for (int i = 0; i < EACH && !bad; i++)
				bad = commit_turn(s, i % 2 ? own : shared_episode, 0, w * 100 + i,
				                  &number, &e) < 0;
			store_close(s);
			_exit(bad ? 1 : 0);
		}
	}
	for (int w = 0; w < WRITERS; w++) {
		assert_int_equal(waitpid(pid[w], &status, 0), pid[w]);
		assert_int_equal(status, 0);
	}
	s = store_open(db, STORE_WRITE, NULL, &e);
	assert_non_null(s);
	assert_null(store_warning(s));
	assert_int_equal(total_turns(s), WRITERS * EACH);
	assert_whole(s);
	store_close(s);
}

static void many_make_the_database_at_once(void **state)
{
	pid_t pid[6];
	int status;
	struct err e = { 0 };
	(void)state;

	for (int round = 0; round < 10; round++) {
		start_anew();
		for (int w = 0; w < 6; w++) {
			pid[w] = fork();
			assert_true(pid[w] >= 0);
			if (pid[w] == 0) {
				int64_t ep;
				struct store *s = store_open(db, STORE_WRITE, NULL, &e);
				int bad = !s || start_episode(s, "hook", &ep, &e) < 0;
				if (bad)
					print_error("%s\n", e.text);
				store_close(s);
				_exit(bad);
			}
		}
		for (int w = 0; w < 6; w++) {
			waitpid(pid[w], &status, 0);
			assert_int_equal(status, 0);
		}
		struct store *s = store_open(db, STORE_WRITE, NULL, &e);
		assert_non_null(s);
		assert_null(store_warning(s));
		assert_whole(s);
		store_close(s);
	}
}

static void a_damaged_log_is_seen_and_the_loss_is_written_down(void **state)
{
	struct shared *v = shared_take();
	struct killer k = { "begin", 8 };
	struct store_options o = { .step = on_step, .ctx = &k };
	struct err e = { 0 };
	struct buf said = { 0 };
	char log[400], byte = 0;
	int problems, number;
	int64_t ep;
	(void)state;

	/* killed, so that nobody moved the log into the database */
	in_child(v, &o, 9, false);
	assert_true(v->committed >= 2);
	snprintf(log, sizeof(log), "%s-wal", db);
	int fd = open(log, O_RDWR);
	assert_true(fd >= 0);
	off_t end = lseek(fd, 0, SEEK_END);
	assert_int_equal(pread(fd, &byte, 1, end * 2 / 3), 1);
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, end * 2 / 3), 1);
	close(fd);

	struct store *s = store_open(db, STORE_READ, NULL, &e);
	assert_non_null(s);
	assert_contains(store_warning(s), "links are missing at its end");
	look_through(s, false, &said, &problems);
	assert_int_equal(problems, 1);
	assert_contains(buf_str(&said), "is lost, or the file is not the one it was");
	store_close(s);
	/* work goes on, and the loss stays on record */
	s = store_open(db, STORE_WRITE, NULL, &e);
	assert_non_null(s);
	assert_contains(store_warning(s), "links are missing at its end");
	assert_done(start_episode(s, "hook", &ep, &e), &e);
	assert_done(commit_turn(s, ep, 0, 1, &number, &e), &e);
	store_close(s);
	s = store_open(db, STORE_WRITE, NULL, &e);
	assert_non_null(s);
	if (store_warning(s))
		assert_null(strstr(store_warning(s), "missing"));
	look_through(s, false, &said, &problems);
	assert_int_equal(problems, 0);
	assert_contains(buf_str(&said), "records a loss before it: {\"had\":");
	store_close(s);
	buf_release(&said);
	munmap(v, sizeof(*v));
}

static void a_copy_is_whole_or_not_there(void **state)
{
	static const char *const steps[] = { "backup.copied", "backup.named" };
	struct err e = { 0 };
	struct shared *v = shared_take();
	char path[400];
	(void)state;

	in_child(v, NULL, 3, false);
	snprintf(path, sizeof(path), "%s/copy.db", dir);
	for (int i = 0; i < 2; i++)
		for (int run = 0; run < RUNS; run++) {
			int status;
			unlink(path);
			pid_t pid = fork();
			if (pid == 0) {
				struct killer k = { steps[i], 0 };
				struct store_options o = { .step = on_step, .ctx = &k };
				struct store *s = store_open(db, STORE_READ, &o, &e);
				if (s)
					store_backup(s, path, &e);
				_exit(0);
			}
			waitpid(pid, &status, 0);
			assert_true(WIFSIGNALED(status));
			assert_int_equal(access(path, F_OK) == 0, i == 1);
			if (i == 1) {
				struct store *s = store_open(path, STORE_READ, NULL, &e);
				assert_non_null(s);
				assert_int_equal(total_turns(s), 3);
				if (run % 20 == 0)
					assert_whole(s);
				store_close(s);
			}
		}
	munmap(v, sizeof(*v));
}

int main(int argc, char **argv)
{
#define CLAIM(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CLAIM(a_process_killed_at_any_step_loses_no_committed_turn),
		CLAIM(a_process_killed_in_a_migration_leaves_the_old_or_the_new),
		CLAIM(a_process_killed_at_any_write_even_in_the_middle_of_it),
		CLAIM(a_write_that_fails_can_be_done_again),
		CLAIM(a_disk_that_stays_full_keeps_what_was_committed),
		CLAIM(several_processes_write_at_once),
		CLAIM(many_make_the_database_at_once),
		CLAIM(a_damaged_log_is_seen_and_the_loss_is_written_down),
		CLAIM(a_copy_is_whole_or_not_there),
	};

	if (argc > 1) /* one of them: a name, or a pattern with * */
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
