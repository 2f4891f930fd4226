/*
 * bench_farm.c - what the queue adds to a job, and what a second worker adds to the first.
 *
 * A Redis server and the workers are started here, and end with it. What the queue adds is the
 * difference to a scoring in this process, with as many cores. For the rates each worker does one
 * job at a time and is held, with all it starts, to one core, as if that were its machine: a worker
 * that may use both would overlap the build of one program with the measuring of another, and leave
 * the second nothing to add.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/in.h>
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

enum { WORKERS = 2, SINGLE = 60, MANY = 48 };
#define START_S 60.0

struct farm_bench {
	struct bench *b;
	pid_t redis, worker[WORKERS];
	int n_workers, serial;
	char url[64];
	struct redis_address address;
	struct app app; /* with the queue */
	int ended;
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

/* @core: held to the core of that number, of those that this process may use; -1: to none. */
static pid_t start(const char *program, char *const argv[], int core)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	cpu_set_t may, one;
	CPU_ZERO(&one);
	if (core >= 0 && sched_getaffinity(0, sizeof(may), &may) == 0) {
		for (int i = 0; i < CPU_SETSIZE; i++)
			if (CPU_ISSET(i, &may) && core-- == 0)
				CPU_SET(i, &one);
		sched_setaffinity(0, sizeof(one), &one);
	}
	int null = open("/dev/null", O_RDWR);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	execv(program, argv);
	_exit(127);
}

static void stop(pid_t *pid)
{
	if (*pid <= 0)
		return;
	kill(*pid, SIGTERM);
	waitpid(*pid, NULL, 0);
	*pid = 0;
}

/* Until so many workers are live. */
static int wait_for(struct farm_bench *f, int workers, struct err *e)
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

static int start_redis(struct farm_bench *f, struct err *e)
{
	const int port = free_port();
	char text[16];

	snprintf(text, sizeof(text), "%d", port);
	snprintf(f->url, sizeof(f->url), "redis://127.0.0.1:%d", port);
	char *const argv[] = { "redis-server", "--port", text,    "--bind",  "127.0.0.1",
		               "--save",       "",       "--dir", f->b->dir, NULL };
	f->redis = start(server(), argv, -1);
	if (f->redis < 0)
		return err_errno(e, ERR_IO, "bench farm: a Redis server");
	unsetenv("CADFORGE_QUEUE_PASSWORD");
	if (redis_address_parse(&f->address, f->url, e) < 0)
		return -1;
	f->app = f->b->app;
	f->app.queue = f->url;
	return wait_for(f, 0, e);
}

/* @core: as start() */
static int start_worker(struct farm_bench *f, int core, struct err *e)
{
	char *const argv[] = { "cadforge", "worker", "--queue",      f->url,
		               "--jobs",   "1",      "--python-env", f->b->app.python_env,
		               NULL };
	pid_t pid = start("/proc/self/exe", argv, core);

	if (pid < 0)
		return err_errno(e, ERR_IO, "bench farm: a worker");
	f->worker[f->n_workers++] = pid;
	return wait_for(f, f->n_workers, e);
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

/* One through each, in turn: what the queue adds is the difference of the medians. */
static int overhead(struct farm_bench *f, struct err *e)
{
	struct app here = f->b->app;
	const struct app *apps[] = { &here, &f->app };
	struct scoring *s[2] = { NULL, NULL };
	struct buf box = { 0 }, program = { 0 };
	double took[2][SINGLE];
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
			double began = clock_now_s();
			rc = bench_go_on(e) < 0 ? -1 : scoring_run(s[i], &in, &out, e);
			if (rc == 0)
				scored_release(&out);
			if (k >= 0)
				took[i][k] = clock_now_s() - began;
		}
	for (int i = 0; i < 2; i++)
		scoring_close(s[i]);
	buf_release(&box);
	buf_release(&program);
	if (rc < 0)
		return -1;
	double near = bench_median(took[0], SINGLE), far = bench_median(took[1], SINGLE);
	bench_figure(f->b, "farm.overhead_a_job", 1e3 * (far - near), "ms", 2, NAN, NAN, NULL);
	bench_figure(f->b, "farm.job", 1e3 * far, "ms", NAN, 1e3 * near, far / near, "box");
	return 0;
}

static void count(void *ctx, size_t item, struct scored *out)
{
	struct farm_bench *f = ctx;

	(void)item, (void)out;
	f->ended++;
}

/* Programs a second. */
static int rate(struct farm_bench *f, const struct bench_set *set, double *out, struct err *e)
{
	const struct scoring_options o = {
		.app = &f->app, .profile = "exact-train", .rebuilds = -1, .ears.tick = tick
	};
	struct scoring *s = scoring_open(&o, e);
	struct scoring_input in[MANY] = { 0 };
	struct buf text[MANY] = { 0 };
	int n = 0, rc = s ? 0 : -1;

	for (; n < MANY && rc == 0 && set->n > 0; n++) {
		write_program(f, &text[n], &set->p[n % set->n].text);
		in[n] = (struct scoring_input){ .text = buf_str(&text[n]),
			                        .len = text[n].len,
			                        .rule = EXTRACT_FILE };
	}
	/* a job of the kind for each worker before it counts: their programs are then warm */
	if (rc == 0)
		rc = scoring_run_all(s, in, (size_t)(2 * f->n_workers), count, f, e);
	double began = clock_now_s();
	if (rc == 0)
		rc = scoring_run_all(s, in + 2 * f->n_workers, (size_t)(n - 2 * f->n_workers),
		                     count, f, e);
	*out = (n - 2 * f->n_workers) / (clock_now_s() - began);
	scoring_close(s);
	for (int i = 0; i < n; i++)
		buf_release(&text[i]);
	return rc;
}

int bench_farm(struct bench *b, const struct bench_set *set, struct err *e)
{
	struct farm_bench f = { .b = b };
	cpu_set_t may;
	double one, two;
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
	if (start_redis(&f, e) < 0 || start_worker(&f, -1, e) < 0 || overhead(&f, e) < 0)
		goto out;
	stop(&f.worker[--f.n_workers]);
	if (start_worker(&f, 0, e) < 0 || rate(&f, set, &one, e) < 0)
		goto out;
	bench_figure(b, "farm.one_worker", one, "/s", NAN, NAN, NAN, set->name);
	if (sched_getaffinity(0, sizeof(may), &may) == 0 && CPU_COUNT(&may) >= WORKERS) {
		if (start_worker(&f, 1, e) < 0 || rate(&f, set, &two, e) < 0)
			goto out;
		bench_figure(b, "farm.two_workers", two, "/s", NAN, one, two / one, set->name);
		bench_figure(b, "farm.two_over_one", two / one, "x", 1.8, NAN, NAN, set->name);
	} else {
		bench_say(b, "one core: a second worker cannot be measured");
	}
	rc = 0;
out:
	for (int i = 0; i < f.n_workers; i++)
		stop(&f.worker[i]);
	stop(&f.redis);
	return rc;
}
