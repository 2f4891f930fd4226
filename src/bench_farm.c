/*
 * bench_farm.c - what the queue adds to a job, and what a second worker adds to the first.
 *
 * A Redis server and the workers are started here, and end with it.
 *
 * What the queue adds: one trivial program at a time, through a scoring in this process and through
 * the queue to a worker, in turn, each after a moment in which both sides get their next child
 * ready. Of each the time is taken by the asker's clock, less what the engine that did it says it
 * needed (struct scored.engine_s); the difference of the medians is the queue's. What a build takes
 * on a machine that others use too is thereby left out, on both sides.
 *
 * What a second worker adds: each does one job at a time and is held, with all it starts, to one
 * core, as if that were its machine. One and two take turns, round by round with the same programs,
 * and so do what bounds them here: scorings of this process without a queue, held to a core each,
 * and processes that do nothing but count.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/clock.h"
#include "src/bench.h"
#include "src/queue.h"
#include "src/scoring.h"

enum { SINGLE = 40, REST_US = 100000, ROUNDS = 5, A_ROUND = 6, COUNT_TO = 200000000, CORES = 2 };
#define START_S 60.0
#define LEAVE_S 10.0

/* A farm of its own: a database of the Redis server, so that idle ones take nothing. */
struct farm {
	char url[64];
	struct redis_address address;
	struct app app; /* with the queue */
	pid_t worker[CORES];
	int n_workers;
	struct scoring *s;
};

/* What a second of the kind does beside the first, on a core of its own. */
struct rival {
	pid_t pid;
	int ask, answer; /* pipes: which round, and that it is over */
};

struct farm_bench {
	struct bench *b;
	const struct bench_set *set;
	pid_t redis;
	int port, serial;
	struct farm single, one, two;
	struct rival rival[CORES];
};

/* Debian's redis-tools has the server under another name; the first word says which it is. */
static const char *server(void)
{
	static const char *const places[] = { "/usr/bin/redis-server", "/usr/bin/redis-check-rdb",
		                              "/usr/local/bin/redis-server" };

	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++)
		if (access(places[i], X_OK) == 0)
			return places[i];
	return NULL;
}

static int free_port(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ok = bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 &&
	          getsockname(fd, (struct sockaddr *)&a, &n) == 0;

	close(fd);
	return ok ? ntohs(a.sin_port) : 0;
}

/* This process, and all it starts, to the core of that number, of those it may use; -1: to none. */
static void hold_to(int core)
{
	cpu_set_t may, one;

	CPU_ZERO(&one);
	if (core < 0 || sched_getaffinity(0, sizeof(may), &may) < 0)
		return;
	for (int i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &may) && core-- == 0)
			CPU_SET(i, &one);
	sched_setaffinity(0, sizeof(one), &one);
}

/* @core: as hold_to() */
static pid_t start(const char *program, char *const argv[], int core)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	hold_to(core);
	int null = open("/dev/null", O_RDWR);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	execv(program, argv);
	_exit(127);
}

static void stop(pid_t *pid)
{
	double until = clock_now_s() + LEAVE_S;

	if (*pid <= 0)
		return;
	kill(*pid, SIGTERM);
	while (waitpid(*pid, NULL, WNOHANG) == 0) {
		if (clock_now_s() > until)
			kill(*pid, SIGKILL);
		usleep(10000);
	}
	*pid = 0;
}

/* Until so many workers are live. */
static int wait_for(const struct farm *f, int workers, struct err *e)
{
	double until = clock_now_s() + START_S;

	for (;;) {
		struct queue_table t;
		struct err why = { 0 };
		int rc = queue_list(&t, &f->address, &why), live = rc == 0 ? t.live : -1;
		if (rc == 0)
			queue_table_release(&t);
		if (live >= workers)
			return 0;
		if (bench_go_on(e) < 0)
			return -1;
		if (clock_now_s() > until)
			return err_set(e, ERR_LOST, "bench farm: %s",
			               rc < 0 ? why.text : "a worker did not join");
		usleep(50000);
	}
}

static int farm_address(const struct farm_bench *fb, struct farm *f, int database, struct err *e)
{
	snprintf(f->url, sizeof(f->url), "redis://127.0.0.1:%d/%d", fb->port, database);
	f->app = fb->b->app;
	f->app.queue = f->url;
	return redis_address_parse(&f->address, f->url, e);
}

static int start_redis(struct farm_bench *f, struct err *e)
{
	char text[16];

	f->port = free_port();
	snprintf(text, sizeof(text), "%d", f->port);
	char *const argv[] = { "redis-server", "--port", text,    "--bind",  "127.0.0.1",
		               "--save",       "",       "--dir", f->b->dir, NULL };
	f->redis = start(server(), argv, -1);
	if (f->redis < 0)
		return err_errno(e, ERR_IO, "bench farm: a Redis server");
	unsetenv("CADFORGE_QUEUE_PASSWORD");
	if (farm_address(f, &f->single, 0, e) < 0 || farm_address(f, &f->one, 1, e) < 0 ||
	    farm_address(f, &f->two, 2, e) < 0)
		return -1;
	return wait_for(&f->single, 0, e);
}

/* @core: as start() */
static int start_worker(struct farm *f, int core, struct err *e)
{
	char *const argv[] = { "cadforge", "worker",       "--queue",         f->url, "--jobs",
		               "1",        "--python-env", f->app.python_env, NULL };
	pid_t pid = start("/proc/self/exe", argv, core);

	if (pid < 0)
		return err_errno(e, ERR_IO, "bench farm: a worker");
	f->worker[f->n_workers++] = pid;
	return wait_for(f, f->n_workers, e);
}

static void farm_end(struct farm *f)
{
	scoring_close(f->s);
	f->s = NULL;
	while (f->n_workers > 0)
		stop(&f->worker[--f->n_workers]);
}

static int tick(void *ctx)
{
	struct err e = { 0 };

	(void)ctx;
	return bench_go_on(&e) < 0;
}

/* No two are equal, or the queue would not give the second to anybody. */
static void write_program(struct farm_bench *f, struct buf *out, const struct buf *program)
{
	buf_clear(out);
	buf_add(out, buf_str(program), program->len);
	buf_printf(out, "\n# %d\n", ++f->serial);
}

/* ---- what the queue adds ---- */

static int overhead(struct farm_bench *f, struct err *e)
{
	struct app here = f->b->app;
	const struct app *apps[] = { &here, &f->single.app };
	struct scoring *s[2] = { NULL, NULL };
	struct buf box = { 0 }, program = { 0 };
	double took[2][SINGLE], beside[2][SINGLE];
	int rc = 0;

	here.jobs = 1;
	buf_adds(&box, "import cadquery as cq\nfixture = cq.Workplane().box(1, 2, 3)\n");
	for (int i = 0; i < 2; i++) {
		const struct scoring_options o = {
			.app = apps[i], .profile = "seed-fast", .rebuilds = -1, .ears.tick = tick
		};
		if (!(s[i] = scoring_open(&o, e)) || scoring_warm(s[i], e) < 0)
			rc = -1;
	}
	for (int k = -4; k < SINGLE && rc == 0; k++)
		for (int i = 0; i < 2 && rc == 0; i++) {
			struct scored out;
			write_program(f, &program, &box);
			const struct scoring_input in = { .text = buf_str(&program),
				                          .len = program.len,
				                          .rule = EXTRACT_FILE };
			usleep(REST_US);
			double began = clock_now_s();
			rc = bench_go_on(e) < 0 ? -1 : scoring_run(s[i], &in, &out, e);
			double over = clock_now_s() - began;
			if (rc == 0 && k >= 0) {
				took[i][k] = over;
				beside[i][k] = over - out.engine_s;
			}
			if (rc == 0)
				scored_release(&out);
		}
	for (int i = 0; i < 2; i++)
		scoring_close(s[i]);
	buf_release(&box);
	buf_release(&program);
	if (rc < 0)
		return -1;
	double near = bench_median(took[0], SINGLE), far = bench_median(took[1], SINGLE);
	bench_figure(f->b, "farm.overhead_a_job",
	             1e3 * (bench_median(beside[1], SINGLE) - bench_median(beside[0], SINGLE)),
	             "ms", 2, NAN, NAN, "box");
	bench_figure(f->b, "farm.job", 1e3 * far, "ms", NAN, 1e3 * near, far / near, "box");
	return 0;
}

/* ---- what a second one adds ---- */

static void drop(void *ctx, size_t item, struct scored *out)
{
	(void)ctx, (void)item, (void)out;
}

static struct scoring *open_scoring(const struct app *app, struct err *e)
{
	const struct scoring_options o = {
		.app = app, .profile = "exact-train", .rebuilds = -1, .ears.tick = tick
	};

	return scoring_open(&o, e);
}

/* The @i-th program of a round. */
static void program_of(struct farm_bench *f, int round, int i, struct buf *text,
                       struct scoring_input *in)
{
	write_program(f, text, &f->set->p[(round * A_ROUND + i) % f->set->n].text);
	*in = (struct scoring_input){ .text = buf_str(text),
		                      .len = text->len,
		                      .rule = EXTRACT_FILE };
}

/* A round through a queue, each program once a worker: those that are equal but for their number
 * follow one another, so that two workers come to an end together. */
static int play(struct farm_bench *f, struct farm *to, int round, double *took_s, struct err *e)
{
	struct scoring_input in[CORES * A_ROUND];
	struct buf text[CORES * A_ROUND] = { 0 };
	int n = A_ROUND * to->n_workers;
	double began = clock_now_s();

	for (int i = 0; i < n; i++)
		program_of(f, round, i / to->n_workers, &text[i], &in[i]);
	int rc = scoring_run_all(to->s, in, (size_t)n, drop, NULL, e);
	*took_s = clock_now_s() - began;
	for (int i = 0; i < n; i++)
		buf_release(&text[i]);
	return rc;
}

/* The same without a queue; one at a time, as a worker does them. */
static int play_here(struct farm_bench *f, struct scoring *s, int round, struct err *e)
{
	struct buf text = { 0 };
	int rc = 0;

	for (int i = 0; i < A_ROUND && rc == 0; i++) {
		struct scoring_input in;
		struct scored out;
		program_of(f, round, i, &text, &in);
		rc = bench_go_on(e) < 0 ? -1 : scoring_run(s, &in, &out, e);
		if (rc == 0)
			scored_release(&out);
	}
	buf_release(&text);
	return rc;
}

/* Does what it is asked for until nobody asks: a round of programs, or counting. */
static void rival_main(struct farm_bench *f, int ask, int answer)
{
	struct app app = f->b->app;
	struct err e = { 0 };
	int round;

	app.jobs = 1;
	struct scoring *s = open_scoring(&app, &e);
	while (s && read(ask, &round, sizeof(round)) == (ssize_t)sizeof(round)) {
		volatile long sum = 0;
		for (long i = 0; round < 0 && i < COUNT_TO; i++)
			sum = sum + i;
		if ((round >= 0 && play_here(f, s, round, &e) < 0) ||
		    write(answer, &round, sizeof(round)) != (ssize_t)sizeof(round))
			break;
	}
	scoring_close(s);
}

static int start_rivals(struct farm_bench *f, struct err *e)
{
	for (int i = 0; i < CORES; i++) {
		struct rival *r = &f->rival[i];
		int ask[2], answer[2];
		if (pipe2(ask, O_CLOEXEC) < 0)
			return err_errno(e, ERR_IO, "bench farm: a pipe");
		if (pipe2(answer, O_CLOEXEC) < 0) {
			close(ask[0]);
			close(ask[1]);
			return err_errno(e, ERR_IO, "bench farm: a pipe");
		}
		r->pid = fork();
		if (r->pid == 0) {
			prctl(PR_SET_PDEATHSIG, SIGTERM);
			hold_to(i);
			/* of what was opened before, the other's among it, this one keeps nothing
			 */
			close(ask[1]);
			close(answer[0]);
			for (int k = 0; k < i; k++) {
				close(f->rival[k].ask);
				close(f->rival[k].answer);
			}
			rival_main(f, ask[0], answer[1]);
			_exit(0);
		}
		close(ask[0]);
		close(answer[1]);
		r->ask = ask[1];
		r->answer = answer[0];
		if (r->pid < 0)
			return err_errno(e, ERR_IO, "bench farm: a process");
	}
	return 0;
}

static void stop_rivals(struct farm_bench *f)
{
	for (int i = 0; i < CORES; i++) {
		struct rival *r = &f->rival[i];
		if (r->ask > 0)
			close(r->ask);
		if (r->answer > 0)
			close(r->answer);
		stop(&r->pid);
		*r = (struct rival){ 0 };
	}
}

/* The first @n do a round (below 0: count), together. */
static int race(struct farm_bench *f, int n, int round, double *took_s, struct err *e)
{
	double began = clock_now_s();
	int got;

	for (int i = 0; i < n; i++)
		if (write(f->rival[i].ask, &round, sizeof(round)) != (ssize_t)sizeof(round))
			return err_errno(e, ERR_LOST, "bench farm: a process that counts");
	for (int i = 0; i < n; i++) {
		struct pollfd p = { .fd = f->rival[i].answer, .events = POLLIN };
		while (poll(&p, 1, 200) <= 0)
			if (bench_go_on(e) < 0)
				return -1;
		if (read(p.fd, &got, sizeof(got)) != (ssize_t)sizeof(got))
			return err_set(e, ERR_LOST, "bench farm: a process that scores ended");
	}
	*took_s = clock_now_s() - began;
	return 0;
}

/* One and two, in this order or the other; what the second adds, as a factor. */
static int pair(struct farm_bench *f, int round, bool with_queue, double took_s[2], struct err *e)
{
	for (int i = 0; i < 2; i++) {
		int two = i ^ (round & 1);
		if ((with_queue ? play(f, two ? &f->two : &f->one, round, &took_s[two], e)
		                : race(f, 1 + two, round, &took_s[two], e)) < 0)
			return -1;
	}
	return 0;
}

static int rates(struct farm_bench *f, struct err *e)
{
	double one[ROUNDS], two[ROUNDS], here[ROUNDS], workers[ROUNDS], scorings[ROUNDS],
		loops[ROUNDS], t[2];

	/* what comes first is cold */
	if (pair(f, 0, true, t, e) < 0 || pair(f, 0, false, t, e) < 0)
		return -1;
	for (int r = 0; r < ROUNDS; r++) {
		if (pair(f, r, true, t, e) < 0)
			return -1;
		one[r] = A_ROUND / t[0];
		two[r] = CORES * A_ROUND / t[1];
		workers[r] = two[r] / one[r];
		if (pair(f, r, false, t, e) < 0)
			return -1;
		here[r] = A_ROUND / t[0];
		scorings[r] = CORES * t[0] / t[1];
		if (pair(f, -1 - r, false, t, e) < 0)
			return -1;
		loops[r] = CORES * t[0] / t[1];
	}
	double ratio = bench_median(workers, ROUNDS), bound = bench_median(scorings, ROUNDS);
	double rate = bench_median(one, ROUNDS), near = bench_median(here, ROUNDS);
	bench_figure(f->b, "farm.one_worker", rate, "/s", NAN, near, rate / near, f->set->name);
	bench_figure(f->b, "farm.two_workers", bench_median(two, ROUNDS), "/s", NAN, NAN, NAN,
	             f->set->name);
	bench_figure(f->b, "farm.two_over_one", ratio, "x", 1.8, bound, ratio / bound,
	             f->set->name);
	bench_figure(f->b, "farm.two_scorings_over_one", bound, "x", NAN, NAN, NAN, f->set->name);
	bench_figure(f->b, "farm.two_loops_over_one", bench_median(loops, ROUNDS), "x", NAN, NAN,
	             NAN, NULL);
	return 0;
}

/* Held to a core each: one of a farm with one, two of a farm with two. */
static int second(struct farm_bench *f, struct err *e)
{
	cpu_set_t may;

	if (f->set->n == 0)
		return err_set(e, ERR_INPUT, "bench farm: the last set has no programs");
	if (sched_getaffinity(0, sizeof(may), &may) < 0 || CPU_COUNT(&may) < CORES) {
		bench_say(f->b, "one core: a second worker cannot be measured");
		return 0;
	}
	if (start_rivals(f, e) < 0 || start_worker(&f->one, 0, e) < 0 ||
	    start_worker(&f->two, 0, e) < 0 || start_worker(&f->two, 1, e) < 0 ||
	    !(f->one.s = open_scoring(&f->one.app, e)) ||
	    !(f->two.s = open_scoring(&f->two.app, e)))
		return -1;
	return rates(f, e);
}

int bench_farm(struct bench *b, const struct bench_set *set, struct err *e)
{
	struct farm_bench f = { .b = b, .set = set };
	int rc = -1;

	bench_say(b, "workers on other machines");
	if (!server() && b->kinds != 1u << BENCH_FARM) {
		bench_say(
			b,
			"no Redis server here, so they are left out: apt-get install redis-tools");
		return 0;
	}
	if (!server())
		return err_set(e, ERR_LACKS,
		               "bench farm wants a Redis server: apt-get install "
		               "redis-tools");
	if (start_redis(&f, e) == 0 && start_worker(&f.single, -1, e) == 0 &&
	    overhead(&f, e) == 0) {
		farm_end(&f.single);
		rc = second(&f, e);
	}
	stop_rivals(&f);
	farm_end(&f.single);
	farm_end(&f.one);
	farm_end(&f.two);
	stop(&f.redis);
	return rc;
}
