/*
 * t_kill.c - kill -9 of the builder, the scorer, their children and the heir, 200 times at random:
 * the next build is answered within a second of the kill, right, and at the end no zombie and no
 * descriptor is left.
 */
#include "tests/lib.h"

#include <dirent.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/engine.h"
#include "src/base/clock.h"

enum { KILLS = 200 };

static const char program[] =
	"import cadquery as cq\nfixture = cq.Workplane('XY').box(10, 20, 30)\n";

struct answers {
	int built, measured, wrong;
	char why[300];
	struct engine *en;
};

static void on_built(void *ctx, uint32_t job, struct build *b)
{
	struct answers *a = ctx;
	struct err e = { 0 };
	struct shape_request r = { .bytes = b->brep.data, .len = b->brep.len, .geometry = true };
	(void)job;
	a->built++;
	limits_default(&r.limits);
	if (!b->ok || engine_measure(a->en, &r, NULL, &e) < 0) {
		a->wrong++;
		snprintf(a->why, sizeof(a->why), "build: %.200s %.80s", b->error ? b->error : "",
		         e.text);
		a->measured++;
	}
}

static void on_measured(void *ctx, uint32_t job, struct shape_report *r)
{
	struct answers *a = ctx;
	(void)job;
	a->measured++;
	if (!r->ok || fabs(json_number_or(r->geometry, "volume_mm3", 0) - 6000) > 1e-6) {
		a->wrong++;
		snprintf(a->why, sizeof(a->why), "score: %s", r->error ? r->error : "wrong volume");
	}
}

static int open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* Our children, and theirs. */
static int family(pid_t *out, int cap, pid_t of)
{
	char path[64];
	int n = 0;
	long child;
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)of, (int)of);
	FILE *f = fopen(path, "re");
	while (f && n < cap && fscanf(f, "%ld", &child) == 1) {
		out[n++] = (pid_t)child;
		n += family(out + n, cap - n, (pid_t)child);
	}
	if (f)
		fclose(f);
	return n;
}

static int zombies(bool tell)
{
	pid_t p[64];
	int n = family(p, 64, getpid()), z = 0;
	for (int i = 0; i < n; i++) {
		char path[64], line[256] = "";
		snprintf(path, sizeof(path), "/proc/%d/stat", (int)p[i]);
		FILE *f = fopen(path, "re");
		if (!f)
			continue;
		if (fgets(line, sizeof(line), f) && strrchr(line, ')') &&
		    strrchr(line, ')')[2] == 'Z') {
			z++;
			if (tell)
				print_message("zombie: %s", line);
		}
		fclose(f);
	}
	return z;
}

static void ask(struct answers *a)
{
	struct err e = { 0 };
	struct build_request r = { .program = program,
		                   .len = sizeof(program) - 1,
		                   .dialect = DIALECT_SEED };
	limits_default(&r.limits);
	if (engine_build(a->en, &r, NULL, &e) < 0)
		fail_msg("%s", e.text);
}

static void answer(struct answers *a, int n)
{
	struct err e = { 0 };
	double start = clock_now_s();
	while (a->measured < n) {
		if (engine_wait(a->en, 100, &e) < 0)
			fail_msg("%s", e.text);
		if (clock_now_s() - start > 30)
			fail_msg("no answer after 30 s");
	}
}

static void killed_at_random_200_times(void **state)
{
	const char *env = getenv("PYTHON_ENV");
	struct engine_options o = { .libexec_dir = getenv("CADFORGE_LIBEXEC"),
		                    .python_env = env,
		                    .jobs = 2 };
	struct answers a = { 0 };
	const struct engine_ops ops = { .ctx = &a, .built = on_built, .measured = on_measured };
	struct err e = { 0 };
	int before = open_fds(), asked = 0, late = 0, kills = 0;
	double slowest = 0;
	uint64_t x = 88172645463325252u; /* xorshift; a seed of its own for each run would not be
	                                    repeatable */
	(void)state;
	if (!o.libexec_dir)
		o.libexec_dir = ".";
	a.en = engine_open(&o, &ops, &e);
	assert_non_null(a.en);
	ask(&a);
	if (engine_wait(a.en, 10, &e) < 0 && e.kind == ERR_LACKS) {
		print_message("skipped: %s\n", e.text);
		engine_close(a.en);
		skip();
	}
	answer(&a, ++asked);
	while (kills < KILLS) {
		pid_t p[64];
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		bool busy = x & 1;
		double wait_s = (double)(x >> 8 & 1023) / 1023 * 0.03, start;
		if (busy) { /* in the middle of a build, or of a measure */
			ask(&a);
			asked++;
			start = clock_now_s();
			while (clock_now_s() - start < wait_s)
				engine_wait(a.en, 1, &e);
		}
		int n = family(p, 64, getpid());
		if (n == 0)
			fail_msg("no program to kill");
		kill(p[(x >> 20) % (unsigned)n], SIGKILL);
		kills++;
		start = clock_now_s();
		if (!busy) {
			ask(&a);
			asked++;
		}
		answer(&a, asked);
		if (busy) { /* what was under way is answered; now the next one */
			ask(&a);
			answer(&a, ++asked);
		}
		double taken = clock_now_s() - start;
		if (taken > slowest)
			slowest = taken;
		late += taken > 1.0;
	}
	print_message("%d kills, %d restarts, slowest next build %.3f s\n", kills,
	              engine_restarts(a.en), slowest);
	if (a.wrong)
		fail_msg("%d wrong answers, the last: %s", a.wrong, a.why);
	assert_int_equal(late, 0);
	/* the dead of the last second are still being collected */
	for (int i = 0; i < 50 && zombies(false); i++)
		engine_wait(a.en, 20, &e);
	assert_int_equal(zombies(true), 0);
	engine_close(a.en);
	assert_int_equal(open_fds(), before);
	for (int i = 0; i < 100 && waitpid(-1, NULL, WNOHANG) >= 0; i++)
		usleep(10000);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

struct lost {
	int answered, lost;
};

static void count_lost(void *ctx, uint32_t job, struct build *b)
{
	struct lost *l = ctx;
	(void)job;
	l->answered++;
	l->lost += b->cause == CAUSE_BUILDER_LOST;
}

static void nothing_measured(void *ctx, uint32_t job, struct shape_report *r)
{
	(void)ctx;
	(void)job;
	(void)r;
}

/* Six jobs, and the builder is killed whenever it has something to do: each is answered, none waits
 * for ever. */
static void every_job_is_answered_when_builders_keep_dying(void **state)
{
	struct lost l = { 0 };
	const struct engine_ops ops = { .ctx = &l,
		                        .built = count_lost,
		                        .measured = nothing_measured };
	struct engine_options o = { .libexec_dir = getenv("CADFORGE_LIBEXEC"),
		                    .python_env = getenv("PYTHON_ENV"),
		                    .jobs = 3 };
	static const char slow[] = "while True:\n    pass\n";
	struct build_request r = { .program = slow,
		                   .len = sizeof(slow) - 1,
		                   .dialect = DIALECT_OPEN };
	struct err e = { 0 };
	(void)state;
	if (!o.libexec_dir)
		o.libexec_dir = ".";
	limits_default(&r.limits);
	r.limits.wall_s = 20;
	struct engine *en = engine_open(&o, &ops, &e);
	assert_non_null(en);
	for (int i = 0; i < 6; i++)
		if (engine_build(en, &r, NULL, &e) < 0)
			fail_msg("%s", e.text);
	while (!engine_builder_info(en))
		if (engine_wait(en, 100, &e) < 0) {
			engine_close(en);
			if (e.kind == ERR_LACKS)
				skip();
			fail_msg("%s", e.text);
		}
	double start = clock_now_s();
	for (int kills = 0; l.answered < 6; kills++) {
		double until = clock_now_s() + 0.2;
		while (clock_now_s() < until)
			if (engine_wait(en, 20, &e) < 0)
				fail_msg("%s", e.text);
		/* one that dies before it is ready has nothing to do */
		if (engine_builder_ready(en) && engine_builder_pid(en) > 0)
			kill(engine_builder_pid(en), SIGKILL);
		if (clock_now_s() - start > 60)
			fail_msg("%d of 6 answered after a minute and %d kills", l.answered, kills);
	}
	assert_int_equal(l.lost, 6);
	assert_int_equal(engine_jobs(en), 0);
	engine_close(en);
}

/* A caller that only waits for the greeting, without a job, is not forgotten when the builder dies
 * on the way to it. */
static void a_builder_killed_before_it_greets_is_started_anew(void **state)
{
	const struct engine_ops ops = { .measured = nothing_measured };
	struct engine_options o = { .libexec_dir = getenv("CADFORGE_LIBEXEC"),
		                    .python_env = getenv("PYTHON_ENV"),
		                    .jobs = 1 };
	struct err e = { 0 };
	double start = clock_now_s();
	(void)state;
	if (!o.libexec_dir)
		o.libexec_dir = ".";
	struct engine *en = engine_open(&o, &ops, &e);
	assert_non_null(en);
	if (engine_warm_builder(en, &e) < 0)
		fail_msg("%s", e.text);
	int first = engine_builder_pid(en);
	kill(first, SIGKILL);
	while (!engine_builder_info(en)) {
		if (engine_wait(en, 100, &e) < 0) {
			engine_close(en);
			if (e.kind == ERR_LACKS)
				skip();
			fail_msg("%s", e.text);
		}
		if (clock_now_s() - start > 120)
			fail_msg("no builder after two minutes");
	}
	assert_int_not_equal(engine_builder_pid(en), first);
	engine_close(en);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(killed_at_random_200_times),
		cmocka_unit_test(every_job_is_answered_when_builders_keep_dying),
		cmocka_unit_test(a_builder_killed_before_it_greets_is_started_anew),
	};
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("kill", tests, NULL, NULL);
}
