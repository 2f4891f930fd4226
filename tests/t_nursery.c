/* t_nursery.c - children forked ahead, fed, watched, killed, reaped. Unjailed here: the jail has
 * tests of its own. */
#include "tests/lib.h"

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/nursery.h"
#include "src/base/clock.h"

struct seen {
	int n;
	struct nursery_verdict v[64];
	char json[64][200];
	char place[64][200];
	struct buf log;
	int steps; /* times that drive() was woken */
};

static int place_fd;

static void say_place(int sig)
{
	(void)sig;
	if (pwrite(place_fd, "line 7", 6, 0) < 0)
		_exit(9);
}

/* A header without what it promises. */
static void claim(const struct nursery_io *io, uint32_t json_len, uint32_t blob_len)
{
	unsigned char h[FRAME_HEADER_BYTES];

	frame_header(h, 0, 0, json_len, blob_len);
	if (write(io->reply_fd, h, sizeof(h)) < 0 || write(io->status_fd, "d", 1) < 0)
		_exit(1);
	for (;;)
		sleep(1);
}

/* The blob says what to do. */
static void child_run(void *ctx, const struct frame *f, const struct nursery_io *io)
{
	char what[64];
	(void)ctx;
	snprintf(what, sizeof(what), "%.*s", (int)f->blob_len, (const char *)f->blob);
	place_fd = io->place_fd;
	signal(SIGUSR2, say_place);
	if (strcmp(what, "cannot") == 0)
		nursery_cannot("the jail is closed");
	nursery_began(io);
	if (strcmp(what, "mute") == 0) {
		close(io->status_fd);
		for (;;)
			sleep(1);
	} else if (strcmp(what, "chatter") == 0) {
		/* as much as the pipe takes, as fast as it is emptied */
		for (;;)
			if (write(io->status_fd, what, sizeof(what)) < 0)
				break;
	} else if (strcmp(what, "begin twice") == 0) {
		nursery_began(io);
		sleep(30);
	} else if (strcmp(what, "claim json") == 0) {
		claim(io, 5000, 0);
	} else if (strcmp(what, "claim blob") == 0) {
		claim(io, 2, 6000);
	} else if (strcmp(what, "claim more") == 0) {
		claim(io, 2, 4000);
	} else if (strcmp(what, "hoard") == 0) {
		/* the place is for one line, and no memory of the child's */
		if (pwrite(io->place_fd, what, sizeof(what), 1 << 20) >= 0 ||
		    ftruncate(io->place_fd, 1 << 20) == 0 || ftruncate(io->place_fd, 0) == 0)
			_exit(1);
		nursery_reply(io, "{}", 2, NULL, 0);
	} else if (strcmp(what, "echo") == 0) {
		printf("to stdout\n");
		fflush(stdout);
		fprintf(stderr, "to stderr\n");
		nursery_reply(io, f->json, f->json_len, "blob", 4);
	} else if (strcmp(what, "spin") == 0) {
		for (volatile long i = 0;; i++)
			;
	} else if (strcmp(what, "sleep") == 0) {
		for (;;)
			sleep(1);
	} else if (strcmp(what, "deaf") == 0) {
		signal(SIGUSR2, SIG_IGN);
		for (;;)
			sleep(1);
	} else if (strcmp(what, "stop") == 0) {
		raise(SIGSTOP);
	} else if (strcmp(what, "crash") == 0) {
		abort();
	} else if (strcmp(what, "exit") == 0) {
		_exit(125);
	} else if (strcmp(what, "shout") == 0) {
		for (;;)
			if (write(1, what, sizeof(what)) < 0)
				break;
	} else if (strcmp(what, "forge") == 0) {
		if (write(io->reply_fd, "no frame at all, but long enough for a header", 45) < 0 ||
		    write(io->status_fd, "d", 1) < 0)
			_exit(1);
		for (;;)
			sleep(1);
	}
}

static void on_log(void *ctx, uint32_t job, const char *stream, const void *bytes, size_t len)
{
	struct seen *s = ctx;
	(void)job;
	(void)stream;
	buf_add(&s->log, bytes, len);
}

static void on_done(void *ctx, const struct nursery_verdict *v)
{
	struct seen *s = ctx;
	s->v[s->n] = *v;
	snprintf(s->json[s->n], 200, "%.*s", (int)v->reply.json_len,
	         v->reply.json ? v->reply.json : "");
	snprintf(s->place[s->n], 200, "%s", v->place);
	s->n++;
}

/* A rehearsal counts its steps where the test sees them. */
static volatile int *idle_steps;

static bool child_idle(void *ctx, int step)
{
	(void)ctx;
	if (step == *idle_steps)
		*idle_steps = step + 1;
	return step < 2;
}

static struct nursery *open_one(struct seen *s, int spares, int jobs)
{
	struct nursery_ops ops = {
		.ctx = s, .child_run = child_run, .log = on_log, .done = on_done
	};
	struct err e = { 0 };
	memset(s, 0, sizeof(*s));
	struct nursery *n = nursery_open(&ops, NULL, spares, jobs, &e);
	if (!n)
		fail_msg("%s", e.text);
	return n;
}

static void submit_among(struct nursery *n, uint32_t job, const char *what, double wall, double cpu,
                         int under_way)
{
	struct nursery_limits l = {
		.under_way = under_way,
		.wall_s = wall,
		.cpu_s = cpu,
		.log_kept_bytes = 1000,
		.log_max_bytes = 100000,
		.reply_json_max = 4000,
		.reply_blob_max = 4000,
	};
	struct frame f = { .type = 1,
		           .job = job,
		           .json = "{\"x\":1}",
		           .json_len = 7,
		           .blob = what,
		           .blob_len = (uint32_t)strlen(what) };
	struct err e = { 0 };
	assert_int_equal(nursery_submit(n, &f, &l, &e), 0);
}

static void submit(struct nursery *n, uint32_t job, const char *what, double wall, double cpu)
{
	submit_among(n, job, what, wall, cpu, 0);
}

static void drive(struct nursery *n, struct seen *s, int until)
{
	double start = clock_now_s();
	while (s->n < until) {
		struct pollfd p[64];
		int k = nursery_poll_fds(n, p, 64), ms = nursery_timeout_ms(n);
		poll(p, (nfds_t)k, ms < 0 || ms > 100 ? 100 : ms);
		nursery_step(n);
		s->steps++;
		if (clock_now_s() - start > 20)
			fail_msg("only %d of %d verdicts after 20 s", s->n, until);
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

static void a_job_gets_its_request_and_its_reply_and_its_log_come_back(void **state)
{
	struct seen s;
	struct nursery *n = open_one(&s, 1, 1);
	(void)state;
	submit(n, 5, "echo", 5, 5);
	drive(n, &s, 1);
	assert_int_equal(s.v[0].end, NURSERY_REPLIED);
	assert_int_equal(s.v[0].job, 5);
	assert_string_equal(s.json[0], "{\"x\":1}");
	assert_int_equal(s.v[0].reply.blob_len, 4);
	assert_contains(buf_str(&s.log), "to stdout\n");
	assert_contains(buf_str(&s.log), "to stderr\n");
	buf_release(&s.log);
	nursery_close(n);
}

static void each_way_to_end_has_its_name_and_comes_in_time(void **state)
{
	static const struct {
		const char *what;
		enum nursery_end end;
		double wall, cpu;
		const char *place;
	} c[] = {
		{ "sleep", NURSERY_WALL, 0.3, 9, "line 7" },
		{ "spin", NURSERY_CPU, 9, 0.3, "line 7" },
		{ "deaf", NURSERY_WALL, 0.3, 9, "" },
		{ "stop", NURSERY_WALL, 0.3, 9, "" },
		{ "crash", NURSERY_SIGNALLED, 9, 9, "" },
		{ "exit", NURSERY_EXITED, 9, 9, "" },
		{ "shout", NURSERY_OUTPUT, 9, 9, "line 7" },
		{ "forge", NURSERY_EXITED, 9, 9, "" },
		{ "mute", NURSERY_WALL, 0.3, 9, "line 7" },
		{ "chatter", NURSERY_EXITED, 9, 9, "" },
		{ "begin twice", NURSERY_EXITED, 9, 9, "" },
		{ "claim json", NURSERY_EXITED, 9, 9, "" },
		{ "claim blob", NURSERY_EXITED, 9, 9, "" },
		{ "claim more", NURSERY_EXITED, 9, 9, "" },
		{ "cannot", NURSERY_LOST, 9, 9, "" },
		{ "hoard", NURSERY_REPLIED, 9, 9, "" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(c) / sizeof(*c); i++) {
		struct seen s;
		struct nursery *n = open_one(&s, 1, 1);
		double start = clock_now_s();
		submit(n, 1, c[i].what, c[i].wall, c[i].cpu);
		drive(n, &s, 1);
		if (s.v[0].end != c[i].end)
			fail_msg("%s ended as %d", c[i].what, s.v[0].end);
		assert_string_equal(s.place[0], c[i].place);
		if (c[i].end == NURSERY_WALL)
			assert_true(clock_now_s() - start < c[i].wall + 0.25);
		if (c[i].end == NURSERY_OUTPUT) {
			assert_true(s.log.len <= 1000);
			assert_true(s.v[0].log_dropped > 0);
		}
		assert_int_equal(s.v[0].over, strcmp(c[i].what, "claim blob") ? 0 : 6000);
		if (c[i].end == NURSERY_LOST)
			assert_contains(s.v[0].error, "the jail is closed");
		/* a child that says nothing, or too much, costs no round of the loop */
		if (strcmp(c[i].what, "mute") == 0 || strcmp(c[i].what, "chatter") == 0)
			assert_true(s.steps < 60);
		/* and the next job is served as if nothing had been */
		submit(n, 2, "echo", 5, 5);
		drive(n, &s, 2);
		assert_int_equal(s.v[1].end, NURSERY_REPLIED);
		buf_release(&s.log);
		nursery_close(n);
	}
}

static void more_jobs_than_children_wait_their_turn_and_none_is_lost(void **state)
{
	struct seen s;
	struct nursery *n = open_one(&s, 2, 2);
	bool got[41] = { false };
	(void)state;
	for (uint32_t i = 1; i <= 40; i++)
		submit(n, i, "echo", 10, 10);
	assert_true(nursery_busy(n) > 2);
	drive(n, &s, 40);
	for (int i = 0; i < 40; i++) {
		assert_int_equal(s.v[i].end, NURSERY_REPLIED);
		assert_false(got[s.v[i].job]);
		got[s.v[i].job] = true;
	}
	assert_int_equal(nursery_busy(n), 0);
	buf_release(&s.log);
	nursery_close(n);
}

static void a_job_can_be_cancelled_waiting_or_running(void **state)
{
	struct seen s;
	struct nursery *n = open_one(&s, 1, 1);
	(void)state;
	submit(n, 1, "sleep", 10, 10);
	submit(n, 2, "echo", 10, 10);
	nursery_cancel(n, 2);
	nursery_cancel(n, 1);
	drive(n, &s, 2);
	assert_int_equal(s.v[0].job, 2);
	assert_int_equal(s.v[0].end, NURSERY_CANCELLED);
	assert_int_equal(s.v[1].end, NURSERY_CANCELLED);
	buf_release(&s.log);
	nursery_close(n);
}

static void while_nothing_is_taken_deadlines_stand_and_replies_wait(void **state)
{
	struct seen s;
	struct nursery *n = open_one(&s, 2, 2);
	double start = clock_now_s();
	(void)state;
	nursery_hold_logs(n, true);
	submit(n, 1, "echo", 0.2, 5);
	submit(n, 2, "sleep", 0.4, 5);
	drive(n, &s, 1);
	assert_int_equal(s.v[0].job, 2);
	assert_int_equal(s.v[0].end, NURSERY_WALL);
	assert_true(clock_now_s() - start < 1.4);
	/* it ended long ago, and in time */
	nursery_hold_logs(n, false);
	drive(n, &s, 2);
	assert_int_equal(s.v[1].end, NURSERY_REPLIED);
	assert_contains(buf_str(&s.log), "to stdout\n");
	assert_true(s.steps < 60);
	buf_release(&s.log);
	nursery_close(n);
}

static void nothing_is_left_behind_after_many_jobs(void **state)
{
	struct seen s;
	int before = open_fds();
	struct nursery *n = open_one(&s, 2, 2);
	static const char *const kinds[] = { "echo", "crash", "exit", "shout", "forge" };
	(void)state;
	for (uint32_t i = 0; i < 60; i++)
		submit(n, i + 1, kinds[i % 5], 10, 10);
	drive(n, &s, 60);
	buf_release(&s.log);
	nursery_close(n);
	assert_int_equal(open_fds(), before);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* ECHILD: no zombie either */
}

static void a_spare_that_dies_is_replaced(void **state)
{
	struct seen s;
	struct nursery *n = open_one(&s, 1, 1);
	struct pollfd p[8];
	(void)state;
	assert_int_equal(nursery_poll_fds(n, p, 8), 1); /* the spare's pidfd */
	nursery_refresh(n);
	submit(n, 1, "echo", 5, 5);
	drive(n, &s, 1);
	assert_int_equal(s.v[0].end, NURSERY_REPLIED);
	buf_release(&s.log);
	nursery_close(n);
}

static void a_spare_at_rest_rehearses_and_then_takes_its_job(void **state)
{
	struct seen s = { 0 };
	struct nursery_ops ops = { .ctx = &s,
		                   .child_run = child_run,
		                   .child_idle = child_idle,
		                   .log = on_log,
		                   .done = on_done };
	struct err e = { 0 };
	(void)state;
	void *shared =
		mmap(NULL, sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(shared, MAP_FAILED);
	idle_steps = shared;
	struct nursery *n = nursery_open(&ops, NULL, 1, 1, &e);
	assert_non_null(n);
	double start = clock_now_s();
	while (*idle_steps < 3 && clock_now_s() - start < 10)
		usleep(1000);
	assert_int_equal(*idle_steps, 3);
	submit(n, 1, "echo", 5, 5);
	drive(n, &s, 1);
	assert_int_equal(s.v[0].end, NURSERY_REPLIED);
	/* and one that never rested */
	submit(n, 2, "echo", 5, 5);
	drive(n, &s, 2);
	assert_int_equal(s.v[1].end, NURSERY_REPLIED);
	nursery_close(n);
	munmap(shared, sizeof(int));
	buf_release(&s.log);
}

static void a_spare_leaves_the_processors_to_those_who_work(void **state)
{
	struct seen s = { 0 };
	struct nursery_ops ops = { .ctx = &s,
		                   .child_run = child_run,
		                   .child_idle = child_idle,
		                   .log = on_log,
		                   .done = on_done };
	struct err e = { 0 };
	(void)state;
	void *shared =
		mmap(NULL, sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(shared, MAP_FAILED);
	idle_steps = shared;
	struct nursery *n = nursery_open(&ops, NULL, 1, 1, &e);
	assert_non_null(n);
	/* the next spare is forked when this has ended, and knows of a thousand elsewhere */
	submit_among(n, 1, "echo", 5, 5, 1000);
	double start = clock_now_s();
	drive(n, &s, 1);
	*idle_steps = 0;
	while (clock_now_s() - start < 0.2) {
		nursery_step(n);
		usleep(1000);
	}
	if (clock_now_s() - start < 0.4)
		assert_int_equal(*idle_steps, 0);
	/* but not for ever: nothing has come since */
	while (*idle_steps < 3 && clock_now_s() - start < 10) {
		nursery_step(n);
		usleep(1000);
	}
	assert_int_equal(*idle_steps, 3);
	nursery_close(n);
	munmap(shared, sizeof(int));
	buf_release(&s.log);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_job_gets_its_request_and_its_reply_and_its_log_come_back),
		cmocka_unit_test(each_way_to_end_has_its_name_and_comes_in_time),
		cmocka_unit_test(more_jobs_than_children_wait_their_turn_and_none_is_lost),
		cmocka_unit_test(a_job_can_be_cancelled_waiting_or_running),
		cmocka_unit_test(while_nothing_is_taken_deadlines_stand_and_replies_wait),
		cmocka_unit_test(nothing_is_left_behind_after_many_jobs),
		cmocka_unit_test(a_spare_that_dies_is_replaced),
		cmocka_unit_test(a_spare_at_rest_rehearses_and_then_takes_its_job),
		cmocka_unit_test(a_spare_leaves_the_processors_to_those_who_work),
	};
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("nursery", tests, NULL, NULL);
}
