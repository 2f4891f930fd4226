/*
 * Every program of tests/hostile through the real cadforge-builder, twice: with the Python-level
 * filter and without it, when the kernel's layers alone must hold.
 *
 * Contained means: the outcome that the file's first lines expect, in time (limit + 0.25 s, and
 * what the machine takes to schedule us), nothing printed that says BREACH, the canary file and its
 * folder as they were, no process left behind, the builder alive; and now and then a clean program
 * whose BREP must come out byte for byte as before all of them. With the filter and without it are
 * two processes side by side, each with a builder of its own.
 *
 * A file's header: `# expect: cause[|cause]`, `# expect-nofilter: ...` (default: the same),
 * `# contains: TEXT` in the error, `# contains-nofilter: TEXT`, `# wall: S`, `# cpu: S`,
 * `# memory: MIB`, `# output: KIB`, `# brep: MIB`; `# repeat: TOKEN N` appends TOKEN N times,
 * `# repeat-line: LINE N` appends lines, `# nest: LINE N` appends ever deeper blocks. @CANARY@,
 * @PARENT@ (the builder) and @ASKER@ (this test) stand for a path and pids. Without a header:
 * bad_input or no_final_object.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/wire.h"
#include "src/base/frame.h"
#include "src/base/json.h"
#include "src/base/spawn.h"
#include "src/base/clock.h"

static const char clean_program[] =
	"import cadquery as cq\n"
	"plate = cq.Workplane('XY').box(30, 20, 5).edges('|Z').fillet(2)\n"
	"fixture = plate.faces('>Z').workplane().hole(6)\n";

struct bench {
	struct helper builder;
	struct frame_reader in;
	uint32_t job;
	struct buf clean; /* BREP of the clean program before anything else */
	char folder[64], canary[80];
	char python_env[4096], hostile[4096];
	char **file, **chosen;
	size_t n_files, next;
	bool filter, watched;
};

struct outcome {
	char cause[40];
	char error[2048];
	char traceback[4096];
	bool breach;
	struct buf brep;
	double seconds;
};

/* The next whole frame, or fails the test. */
static struct frame next_frame(struct bench *b, double deadline)
{
	struct err e = { 0 };
	struct frame f;

	for (;;) {
		int got = frame_next(&b->in, &f, &e);
		if (got < 0)
			fail_msg("the builder's stream: %s", e.text);
		if (got == 1)
			return f;
		struct pollfd p = { .fd = b->builder.fd, .events = POLLIN };
		double left = deadline - clock_now_s();
		if (left <= 0)
			fail_msg("no verdict in time");
		poll(&p, 1, (int)ceil(left * 1000));
		ssize_t n = frame_fill(&b->in, b->builder.fd, &e);
		if (n == 0)
			fail_msg("the builder is gone");
		if (n == -1)
			fail_msg("the builder: %s", e.text);
	}
}

static void builder_start(struct bench *b)
{
	const char *argv[] = { "./cadforge-builder", "--gl-stubs", "./gl", "--python-env",
		               b->python_env,        "--jobs",     "1",    NULL };
	const char *env[] = { NULL };
	struct err e = { 0 };

	if (helper_start(&b->builder, argv, env, false, &e) < 0)
		fail_msg("%s", e.text);
	struct frame f = next_frame(b, clock_now_s() + 60);
	assert_int_equal(f.type, WIRE_READY);
	cJSON *o = json_parse(f.json, f.json_len, &e);
	if (!o || json_string_or(o, "error", NULL))
		fail_msg("the builder cannot work: %s", json_string_or(o, "error", e.text));
	cJSON_Delete(o);
}

static void copy_text(char *out, size_t cap, const cJSON *o, const char *key)
{
	snprintf(out, cap, "%s", json_string_or(o, key, ""));
}

static void build(struct bench *b, const struct buf *program, const char *limits, bool filter,
                  double wall_s, struct outcome *out)
{
	struct buf json = { 0 }, frame = { 0 }, log = { 0 };
	struct err e = { 0 };
	double began = clock_now_s(), deadline = began + wall_s + 20;

	memset(out, 0, sizeof(*out));
	buf_addc(&log, '\n');
	buf_printf(&json, "{\"dialect\":\"open\",\"filter\":%s,%s}", filter ? "true" : "false",
	           limits);
	if (b->watched) {
		/* as it is written: the end of a line here, the middle of one there */
		size_t half = program->len / 2;
		frame_append(&frame, WIRE_WATCH, ++b->job, json.data, json.len, program->data,
		             half);
		frame_append(&frame, WIRE_MORE, b->job, "{\"shape\":true}", 14, NULL, 0);
		frame_append(&frame, WIRE_MORE, b->job, "{\"end\":true}", 12, program->data + half,
		             program->len - half);
	} else {
		frame_append(&frame, WIRE_BUILD, ++b->job, json.data, json.len, program->data,
		             program->len);
	}
	while (frame.len) {
		if (frame_flush(&frame, b->builder.fd, &e) < 0)
			fail_msg("asking the builder: %s", e.text);
		struct pollfd p = { .fd = b->builder.fd, .events = POLLOUT };
		if (frame.len)
			poll(&p, 1, 1000);
	}
	for (;;) {
		struct frame f = next_frame(b, deadline);
		if (f.type == WIRE_LOG) {
			buf_add(&log, f.blob, f.blob_len);
			continue;
		}
		assert_int_equal(f.job, b->job);
		if (f.type == WIRE_NOTICE && b->watched) {
			/* it says of itself what it likes, but in few words */
			assert_true(f.json_len < 10000);
			continue;
		}
		assert_int_equal(f.type, WIRE_RESULT);
		out->seconds = clock_now_s() - began;
		/* at the beginning of a line: tracebacks quote the programs, indented */
		buf_addc(&log, '\n');
		out->breach = memmem(log.data, log.len, "\nBREACH", 7) != NULL;
		cJSON *o = json_parse(f.json, f.json_len, &e);
		if (!o)
			fail_msg("the result is no JSON: %s", e.text);
		copy_text(out->cause, sizeof(out->cause), o, "cause");
		copy_text(out->error, sizeof(out->error), o, "error");
		copy_text(out->traceback, sizeof(out->traceback), o, "traceback");
		cJSON_Delete(o);
		buf_add(&out->brep, f.blob, f.blob_len);
		break;
	}
	buf_release(&json);
	buf_release(&frame);
	buf_release(&log);
}

/* ---- what must not have changed ---- */

static void canary_make(struct bench *b)
{
	snprintf(b->folder, sizeof(b->folder), "/tmp/cadforge-canary-XXXXXX");
	assert_non_null(mkdtemp(b->folder));
	assert_int_equal(chmod(b->folder, 0777), 0);
	snprintf(b->canary, sizeof(b->canary), "%s/canary", b->folder);
	int fd = open(b->canary, O_WRONLY | O_CREAT, 0666);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "sings", 5), 5);
	assert_int_equal(fchmod(fd, 0666), 0);
	close(fd);
}

static void canary_check(const struct bench *b)
{
	char text[16] = "";
	int fd = open(b->canary, O_RDONLY), entries = 0;
	struct stat st;

	if (fd < 0)
		fail_msg("the canary is gone");
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0666);
	ssize_t n = read(fd, text, sizeof(text) - 1);
	close(fd);
	assert_int_equal(n, 5);
	assert_string_equal(text, "sings");
	DIR *d = opendir(b->folder);
	assert_non_null(d);
	for (struct dirent *x; (x = readdir(d));)
		entries++;
	closedir(d);
	assert_int_equal(entries, 3); /* ".", "..", the canary */
	if (access("/tmp/breach", F_OK) == 0 || access("/tmp/cadforge-breach.stl", F_OK) == 0 ||
	    access("/dev/shm/breach", F_OK) == 0)
		fail_msg("a file was written");
}

static int parent_of(const char *pid, char *state)
{
	char path[300], text[512];
	int ppid = -1;

	snprintf(path, sizeof(path), "/proc/%s/stat", pid);
	int fd = open(path, O_RDONLY);
	if (fd < 0)
		return -1;
	ssize_t n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return -1;
	text[n] = '\0';
	char *p = strrchr(text, ')');
	if (p && sscanf(p + 1, " %c %d", state, &ppid) != 2)
		return -1;
	return ppid;
}

/* Children of the builder, and their children: at most its spare and one that is being collected.
 */
static void processes_check(const struct bench *b)
{
	int left = 0, grand = 0;

	for (int tries = 0; tries < 200; tries++) {
		DIR *d = opendir("/proc");
		int child[64], n_child = 0;
		if (!d)
			return;
		left = grand = 0;
		for (struct dirent *x; (x = readdir(d));) {
			char state = '?';
			if (x->d_name[0] < '0' || x->d_name[0] > '9')
				continue;
			if (parent_of(x->d_name, &state) == b->builder.pid && n_child < 64)
				child[n_child++] = atoi(x->d_name);
		}
		rewinddir(d);
		for (struct dirent *x; (x = readdir(d));) {
			char state = '?';
			if (x->d_name[0] < '0' || x->d_name[0] > '9')
				continue;
			int ppid = parent_of(x->d_name, &state);
			for (int i = 0; i < n_child; i++)
				grand += ppid == child[i];
		}
		closedir(d);
		left = n_child;
		if (left <= 2 && grand == 0)
			return;
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	}
	fail_msg("%d children and %d grandchildren of the builder are left", left, grand);
}

static void clean_build_check(struct bench *b)
{
	struct buf program = { 0 };
	struct outcome o;

	bool watched = b->watched;
	b->watched = false;
	buf_adds(&program, clean_program);
	build(b, &program, "\"wall_s\":20", true, 20, &o);
	if (strcmp(o.cause, "ok") != 0)
		fail_msg("the clean program no longer builds: %s: %s", o.cause, o.error);
	if (!b->clean.len)
		buf_add(&b->clean, o.brep.data, o.brep.len);
	if (b->clean.len != o.brep.len || memcmp(b->clean.data, o.brep.data, o.brep.len) != 0)
		fail_msg("the clean program gives another shape than before");
	b->watched = watched;
	buf_release(&o.brep);
	buf_release(&program);
}

/* ---- one file ---- */

/* The rest of the line that begins with "# KEY: ", or NULL. */
static const char *header(const struct buf *text, const char *key, char *out, size_t cap)
{
	char mark[64];
	size_t len = (size_t)snprintf(mark, sizeof(mark), "# %s: ", key);

	for (const char *p = text->data; p && p < text->data + text->len;) {
		const char *end = memchr(p, '\n', (size_t)(text->data + text->len - p));
		size_t n = end ? (size_t)(end - p) : (size_t)(text->data + text->len - p);
		if (n >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0) {
			p += 3;
			n -= 3;
		}
		if (n > len && memcmp(p, mark, len) == 0) {
			n -= len;
			if (p[len + n - 1] == '\r')
				n--;
			snprintf(out, cap, "%.*s", (int)n, p + len);
			return out;
		}
		p = end ? end + 1 : NULL;
	}
	return NULL;
}

static double header_number(const struct buf *text, const char *key, double def)
{
	char value[64];

	return header(text, key, value, sizeof(value)) ? strtod(value, NULL) : def;
}

static bool one_of(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (const char *p = list; p; p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL)
		if (strncmp(p, word, len) == 0 && (p[len] == '|' || p[len] == '\0'))
			return true;
	return false;
}

static void replace_all(struct buf *text, const char *from, const char *to)
{
	struct buf out = { 0 };
	const char *p = text->data, *end = text->data + text->len, *hit;

	while (p && (hit = memmem(p, (size_t)(end - p), from, strlen(from)))) {
		buf_add(&out, p, (size_t)(hit - p));
		buf_adds(&out, to);
		p = hit + strlen(from);
	}
	if (p)
		buf_add(&out, p, (size_t)(end - p));
	buf_release(text);
	*text = out;
}

/* "TOKEN N" split at the last blank; 0 when there is none. */
static long count_of(char *value)
{
	char *blank = strrchr(value, ' ');

	if (!blank)
		return 0;
	*blank = '\0';
	return strtol(blank + 1, NULL, 10);
}

static void program_finish(struct bench *b, struct buf *text)
{
	char value[256], pid[32];
	long n;

	replace_all(text, "@CANARY@", b->canary);
	snprintf(pid, sizeof(pid), "%d", (int)b->builder.pid);
	replace_all(text, "@PARENT@", pid);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	replace_all(text, "@ASKER@", pid);
	if (header(text, "repeat", value, sizeof(value))) {
		n = count_of(value);
		/* goes on from the end of the last line */
		if (text->len && text->data[text->len - 1] == '\n')
			text->len--;
		for (long i = 0; i < n; i++)
			buf_adds(text, value);
		buf_addc(text, '\n');
	}
	if (header(text, "repeat-line", value, sizeof(value))) {
		n = count_of(value);
		for (long i = 0; i < n; i++)
			buf_printf(text, "%s\n", value);
	}
	if (header(text, "nest", value, sizeof(value))) {
		n = count_of(value);
		for (long i = 0; i < n; i++)
			buf_printf(text, "%*s%s\n", (int)i, "", value);
		buf_printf(text, "%*spass\n", (int)n, "");
	}
}

static void is_contained(void **state)
{
	struct bench *b = *state;
	const char *name = b->chosen[b->next];
	char path[8192], expect[256] = "bad_input|no_final_object", value[256], limits[400];
	struct buf text = { 0 };
	struct err e = { 0 };
	struct outcome o;

	b->next++;
	snprintf(path, sizeof(path), "%s/%s", b->hostile, name);
	if (buf_read_file(&text, path, 32u << 20, &e) < 0)
		fail_msg("%s", e.text);
	header(&text, "expect", expect, sizeof(expect));
	if (!b->filter)
		header(&text, "expect-nofilter", expect, sizeof(expect));
	if (b->watched)
		header(&text, "expect-watched", expect, sizeof(expect));
	double wall = header_number(&text, "wall", 25), cpu = header_number(&text, "cpu", 30);
	snprintf(limits, sizeof(limits),
	         "\"wall_s\":%g,\"cpu_s\":%g,\"memory_mib\":%g,\"output_kib\":%g,\"brep_mib\":%g",
	         wall, cpu, header_number(&text, "memory", 512),
	         header_number(&text, "output", 512), header_number(&text, "brep", 64));
	const char *contains = header(&text, "contains", value, sizeof(value));
	if (!b->filter)
		contains = header(&text, "contains-nofilter", value, sizeof(value));
	program_finish(b, &text);
	build(b, &text, limits, b->filter, wall, &o);
	if (o.breach)
		fail_msg("%s: BREACH", name);
	/* nothing is looked for at the end of what is watched, and no shape has to be handed over
	 */
	static const char *const at_the_end[] = { "ok", "no_final_object", "not_a_shape",
		                                  "empty_shape", "shape_limit" };
	bool ended = b->watched && strcmp(o.cause, "ok") == 0;
	for (size_t i = 0; i < 5 && ended; i++)
		ended = !one_of(expect, at_the_end[i]);
	ended = b->watched && strcmp(o.cause, "ok") == 0 && !ended;
	/* there is more talk to be spoiled, and who spoils it gets no further */
	if (b->watched && strncmp(name, "parent_", 7) == 0 && strcmp(o.cause, "crash") == 0)
		ended = true;
	if (!ended && !one_of(expect, o.cause))
		fail_msg("%s: cause %s, expected %s: %s", name, o.cause, expect, o.error);
	if (contains && !b->watched && !strstr(o.error, contains) && !strstr(o.traceback, contains))
		fail_msg("%s: '%s' is not in the error: %s", name, contains, o.error);
	if (strcmp(o.cause, "ok") != 0 && !o.error[0])
		fail_msg("%s: cause %s without a sentence", name, o.cause);
	/* 0.25 s by the contract; a test must also pass on a machine that others use */
	if (strcmp(o.cause, "wall_limit") == 0 && o.seconds > wall + 2.0)
		fail_msg("%s: the verdict took %.2f s, limit %g s", name, o.seconds, wall);
	canary_check(b);
	processes_check(b);
	if (b->next % 8 == 0 || strncmp(name, "state_", 6) == 0)
		clean_build_check(b);
	buf_release(&o.brep);
	buf_release(&text);
}

/* ---- the whole set ---- */

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool find_files(struct bench *b)
{
	const char *src = getenv("srcdir"), *only = getenv("HOSTILE_ONLY");

	snprintf(b->hostile, sizeof(b->hostile), "%s/tests/hostile", src ? src : ".");
	DIR *d = opendir(b->hostile);
	if (!d)
		return false;
	for (struct dirent *x; (x = readdir(d));) {
		size_t n = strlen(x->d_name);
		if (n < 4 || strcmp(x->d_name + n - 3, ".py") != 0)
			continue;
		if (only && !strstr(x->d_name, only))
			continue;
		b->file = realloc(b->file, (b->n_files + 1) * sizeof(*b->file));
		b->file[b->n_files++] = strdup(x->d_name);
	}
	closedir(d);
	qsort(b->file, b->n_files, sizeof(*b->file), by_name);
	return b->n_files > 0;
}

static bool find_python_env(struct bench *b)
{
	const char *src = getenv("srcdir");
	const char *tries[] = { getenv("CADFORGE_PYTHON_ENV"), getenv("PYTHON_ENV") };
	char cfg[4200];

	for (int i = 0; i < 3; i++) {
		if (i < 2 && (!tries[i] || !*tries[i]))
			continue;
		if (i < 2)
			snprintf(b->python_env, sizeof(b->python_env), "%s", tries[i]);
		else
			snprintf(b->python_env, sizeof(b->python_env), "%s/.venv", src ? src : ".");
		snprintf(cfg, sizeof(cfg), "%s/pyvenv.cfg", b->python_env);
		if (access(cfg, R_OK) == 0)
			return true;
	}
	return false;
}

static int run_all(struct bench *b, bool filter, bool watched)
{
	/* what is watched is jailed as a build is; these reach for the process and for its parent
	 */
	static const char *const of_watched[] = { "parent_", "process_", "output_",
		                                  "state_",  "exit_",    "syscalls_",
		                                  "file_",   "net_",     "memory_files" };
	struct CMUnitTest *tests = calloc(b->n_files, sizeof(*tests));
	size_t n = 0;
	char(*title)[300] = calloc(b->n_files, sizeof(*title));
	b->chosen = calloc(b->n_files, sizeof(*b->chosen));

	b->filter = filter;
	b->watched = watched;
	b->next = 0;
	for (size_t i = 0; i < b->n_files; i++) {
		bool wanted = !watched;
		for (size_t k = 0; k < sizeof(of_watched) / sizeof(*of_watched); k++)
			wanted |= strncmp(b->file[i], of_watched[k], strlen(of_watched[k])) == 0;
		if (!wanted)
			continue;
		b->chosen[n] = b->file[i];
		snprintf(title[i], sizeof(title[i]), "%s_is_contained_%s", b->file[i],
		         watched  ? "while_it_is_written"
		         : filter ? "with_the_filter"
		                  : "by_the_kernel_alone");
		tests[n++] = (struct CMUnitTest){ .name = title[i],
			                          .test_func = is_contained,
			                          .initial_state = b };
	}
	int failed = _cmocka_run_group_tests(watched  ? "hostile, watched"
	                                     : filter ? "hostile, filtered"
	                                              : "hostile, unfiltered",
	                                     tests, n, NULL, NULL);
	free(b->chosen);
	free(title);
	free(tests);
	return failed;
}

static void a_clean_program_builds(void **state)
{
	struct bench *b = *state;

	canary_make(b);
	builder_start(b);
	clean_build_check(b);
	clean_build_check(b);
}

static void the_builder_outlived_them_all(void **state)
{
	struct bench *b = *state;
	char how[64] = "";

	clean_build_check(b);
	assert_false(helper_gone(&b->builder, how, sizeof(how)));
	helper_stop(&b->builder, 5);
	unlink(b->canary);
	assert_int_equal(rmdir(b->folder), 0);
}

/* A builder of its own and what it has to hold: the filtered programs and the watched ones, or the
 * unfiltered ones. How many claims failed. */
static int lane_run(struct bench *b, bool filter)
{
	const struct CMUnitTest first[] = { cmocka_unit_test_prestate(a_clean_program_builds, b) };
	const struct CMUnitTest last[] = { cmocka_unit_test_prestate(the_builder_outlived_them_all,
		                                                     b) };
	int failed = cmocka_run_group_tests_name("before", first, NULL, NULL);

	if (!failed) {
		failed = run_all(b, filter, false);
		if (filter)
			failed += run_all(b, false, true);
		failed += cmocka_run_group_tests_name("after", last, NULL, NULL);
	}
	for (size_t i = 0; i < b->n_files; i++)
		free(b->file[i]);
	free(b->file);
	buf_release(&b->clean);
	frame_reader_release(&b->in);
	return failed;
}

/* The lane of the unfiltered programs, in a process beside this one: what is mostly waited for are
 * limits. What it says goes into @said. */
static pid_t lane_start(struct bench *b, FILE *said)
{
	fflush(NULL);
	pid_t pid = fork();
	if (pid != 0)
		return pid;
	if (dup2(fileno(said), STDOUT_FILENO) < 0 || dup2(fileno(said), STDERR_FILENO) < 0)
		_exit(1);
	exit(lane_run(b, false) ? 1 : 0);
}

int main(void)
{
	static struct bench b;
	char text[4096];
	int how = 1;
	size_t n;

	signal(SIGPIPE, SIG_IGN);
	if (!find_python_env(&b)) {
		printf("SKIP: no Python environment with CadQuery (CADFORGE_PYTHON_ENV, configure "
		       "--with-python-env, or .venv)\n");
		return 77;
	}
	if (!find_files(&b)) {
		printf("no hostile programs found\n");
		return 1;
	}
	FILE *said = tmpfile();
	pid_t beside = said ? lane_start(&b, said) : -1;
	if (beside < 0) {
		printf("no process, or no file for what it says\n");
		return 1;
	}
	int failed = lane_run(&b, true);
	while (waitpid(beside, &how, 0) < 0 && errno == EINTR)
		;
	fflush(stdout);
	rewind(said);
	while ((n = fread(text, 1, sizeof(text), said)) > 0)
		fwrite(text, 1, n, stdout);
	fclose(said);
	if (!WIFEXITED(how))
		printf("the unfiltered programs: ended by signal %d\n", WTERMSIG(how));
	return failed || how ? 1 : 0;
}
