/*
 * t_source.c - completions from files and from commands, and every way in which a command fails.
 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/base/clock.h"
#include "src/source.h"

struct seen {
	struct buf text;
	double stop_after_s, begun; /* 0: never */
};

static int tick(void *ctx)
{
	struct seen *s = ctx;

	return s->stop_after_s > 0 && clock_now_s() - s->begun > s->stop_after_s;
}

static void text(void *ctx, int64_t time_us, const char *p, size_t len)
{
	struct seen *s = ctx;

	(void)time_us;
	buf_add(&s->text, p, len);
}

static int next(struct source *src, const char *prompt, int number, struct completion *out,
                struct seen *seen, struct err *e)
{
	struct ask a = {
		.number = number,
		.turn = number + 1,
		.prompt = prompt,
		.prompt_len = strlen(prompt),
		.ctx = seen,
		.tick = tick,
		.text = text,
	};

	seen->begun = clock_now_s();
	return src->next(src->ctx, &a, out, e);
}

static struct source command(const char *line, double wall_s, size_t bytes_max)
{
	struct source src;
	static const char *const env[] = { "CADFORGE_TASK=a task", NULL };
	struct command_options o = {
		.command = line, .wall_s = wall_s, .bytes_max = bytes_max, .env = env, .quiet = true
	};

	assert_int_equal(source_command(&src, &o, NULL), 0);
	return src;
}

/* What @line makes of @prompt. */
static void gives(const char *line, const char *prompt, const char *want)
{
	struct source src = command(line, 20, 1 << 20);
	struct completion c = { 0 };
	struct seen seen = { 0 };
	struct err e = { 0 };

	if (next(&src, prompt, 2, &c, &seen, &e) < 0)
		fail_msg("%s: %s", line, e.text);
	assert_string_equal(buf_str(&c.text), want);
	assert_string_equal(buf_str(&seen.text), want);
	assert_int_equal(c.finish, FINISH_STOP);
	assert_int_equal(c.rule, EXTRACT_ANSWER);
	assert_true(c.seconds >= 0 && c.seconds < 20);
	completion_release(&c);
	buf_release(&seen.text);
	source_close(&src);
}

static void a_command_reads_the_prompt_and_prints_a_completion(void **state)
{
	(void)state;
	gives("cat", "make a chair\nof wood", "make a chair\nof wood");
	gives("echo one; echo two", "", "one\ntwo\n");
	gives("tr a-z A-Z | sed s/CHAIR/TABLE/", "chair", "TABLE");
	gives("echo turn $CADFORGE_TURN of $CADFORGE_TASK", "p", "turn 3 of a task\n");
	gives("printf 'no newline'", "p", "no newline");
}

static void a_prompt_larger_than_a_pipe_goes_through_and_need_not_be_read(void **state)
{
	enum { N = 3 << 20 };
	char *big = malloc(N + 1), want[32];

	(void)state;
	memset(big, 'x', N);
	big[N] = '\0';
	snprintf(want, sizeof(want), "%d\n", N);
	gives("cat | wc -c", big, want);
	/* more comes out before all has gone in */
	big[700000] = '\0';
	gives("cat", big, big);
	gives("echo no need", big, "no need\n");
	free(big);
}

static void what_a_command_leaves_behind_is_ended_and_not_waited_for(void **state)
{
	char file[] = "/tmp/t_source.XXXXXX", line[200], pid[32] = "";
	double begun = clock_now_s();
	int fd = mkstemp(file);

	(void)state;
	assert_true(fd >= 0);
	snprintf(line, sizeof(line), "sleep 100 & echo $! > %s; echo done", file);
	gives(line, "p", "done\n");
	assert_true(clock_now_s() - begun < 10);
	assert_true(read(fd, pid, sizeof(pid) - 1) > 0);
	close(fd);
	unlink(file);
	/* it is a child of init now, which collects it when it likes: a dead one does not run */
	for (int i = 0; i < 100; i++) {
		char path[64], status = 'Z';
		snprintf(path, sizeof(path), "/proc/%d/stat", atoi(pid));
		FILE *f = fopen(path, "r");
		if (f && fscanf(f, "%*d %*s %c", &status) != 1)
			status = 'Z';
		if (f)
			fclose(f);
		if (status == 'Z')
			return;
		usleep(50000);
	}
	fail_msg("the sleep that the command left still runs");
}

static void every_failure_of_a_command_has_its_words(void **state)
{
	static const struct {
		const char *line;
		double wall_s;
		size_t bytes_max;
		const char *words;
	} cases[] = {
		{ "exit 3", 20, 1000, "turn 1: exit status 3" },
		{ "echo half; exit 1", 20, 1000, "turn 1: exit status 1" },
		{ "/no/such/program", 20, 1000, "no such command" },
		{ "true", 20, 1000, "printed nothing" },
		{ "kill -SEGV $$", 20, 1000, "ended by signal 11" },
		{ "echo some; sleep 60", 0.3, 1000, "took longer than 0.3 s and was killed" },
		{ "yes", 20, 5000, "printed more than 5000 bytes and was killed" },
		{ "head -c 5001 /dev/zero", 20, 5000, "printed more than 5000 bytes" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct source src = command(cases[i].line, cases[i].wall_s, cases[i].bytes_max);
		struct completion c = { 0 };
		struct seen seen = { 0 };
		struct err e = { 0 };
		double begun = clock_now_s();
		assert_int_equal(next(&src, "p", 0, &c, &seen, &e), -1);
		assert_int_equal(e.kind, ERR_INPUT);
		assert_true(clock_now_s() - begun < 10);
		if (!strstr(e.text, cases[i].words) || !strstr(e.text, cases[i].line))
			fail_msg("%s: '%s' is not in: %s", cases[i].line, cases[i].words, e.text);
		assert_int_equal(c.finish, FINISH_ERROR);
		completion_release(&c);
		buf_release(&seen.text);
		source_close(&src);
	}
	struct source src;
	struct command_options none = { .command = "" };
	assert_int_equal(source_command(&src, &none, NULL), -1);
}

static void a_user_stops_a_command_and_keeps_what_came(void **state)
{
	struct source src = command("trap '' INT TERM; echo half; sleep 60; echo never", 60, 1000);
	struct completion c = { 0 };
	struct seen seen = { .stop_after_s = 0.3 };
	struct err e = { 0 };
	double begun = clock_now_s();

	(void)state;
	assert_int_equal(next(&src, "p", 0, &c, &seen, &e), -1);
	assert_int_equal(e.kind, ERR_CANCELLED);
	assert_true(clock_now_s() - begun < 10);
	assert_string_equal(buf_str(&c.text), "half\n");
	assert_int_equal(c.finish, FINISH_CANCELLED);
	completion_release(&c);
	buf_release(&seen.text);
	source_close(&src);
}

static void files_come_in_order_and_are_read_before_anything_starts(void **state)
{
	char dir[] = "/tmp/t_source.XXXXXX", py[64], txt[64], none[64];
	struct source src;
	struct err e = { 0 };

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(py, sizeof(py), "%s/a.PY", dir);
	snprintf(txt, sizeof(txt), "%s/b.md", dir);
	snprintf(none, sizeof(none), "%s/none.py", dir);
	assert_int_equal(file_write_atomic(py, "x = 1\n", 6, &e), 0);
	assert_int_equal(file_write_atomic(txt, "", 0, &e), 0);
	const char *files[] = { py, txt, none };
	assert_int_equal(source_files(&src, files, 3, &e), -1);
	assert_int_equal(e.kind, ERR_INPUT);
	assert_non_null(strstr(e.text, none));
	assert_int_equal(source_files(&src, files, 2, &e), 0);
	unlink(py);
	unlink(txt);
	rmdir(dir);
	assert_int_equal(src.count, 2);
	struct completion c = { 0 };
	struct seen seen = { 0 };
	assert_int_equal(next(&src, "p", 0, &c, &seen, &e), 0);
	assert_string_equal(buf_str(&c.text), "x = 1\n");
	assert_string_equal(buf_str(&seen.text), "x = 1\n");
	assert_int_equal(c.rule, EXTRACT_FILE);
	assert_int_equal(c.finish, FINISH_STOP);
	completion_release(&c);
	/* an empty answer is an answer */
	assert_int_equal(next(&src, "p", 1, &c, &seen, &e), 0);
	assert_int_equal(c.text.len, 0);
	assert_int_equal(c.rule, EXTRACT_ANSWER);
	completion_release(&c);
	assert_int_equal(next(&src, "p", 2, &c, &seen, &e), -1);
	completion_release(&c);
	buf_release(&seen.text);
	source_close(&src);
	source_close(&src);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN); /* as in cadforge */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_command_reads_the_prompt_and_prints_a_completion),
		cmocka_unit_test(a_prompt_larger_than_a_pipe_goes_through_and_need_not_be_read),
		cmocka_unit_test(what_a_command_leaves_behind_is_ended_and_not_waited_for),
		cmocka_unit_test(every_failure_of_a_command_has_its_words),
		cmocka_unit_test(a_user_stops_a_command_and_keeps_what_came),
		cmocka_unit_test(files_come_in_order_and_are_read_before_anything_starts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
