/*
 * cmd_bench.c - how fast, beside what bounds it and beside a peer, all measured in this one run.
 *
 * Peers: the CAD kernel itself (python/bench_kernel.py: one warm Python that runs and meshes each
 * program, with no fork, no jail, no score) and one Python process per program, as the published
 * evaluator works. The second is measured in the lean environment and with one process where the
 * published one starts two, so the ratio printed is a lower bound; --peer names the Python of a
 * full `pip install cadquery trimesh` to measure that instead.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <math.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/extract.h"
#include "src/app.h"
#include "src/bench.h"
#include "src/pipeline.h"
#include "src/base/clock.h"

extern char **environ;

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

double bench_median(double *v, int n)
{
	if (n == 0)
		return NAN;
	qsort(v, (size_t)n, sizeof(*v), by_value);
	return n % 2 ? v[n / 2] : 0.5 * (v[n / 2 - 1] + v[n / 2]);
}

static void machine(char *out, size_t size)
{
	char cpu[128] = "unknown processor", line[256];
	struct utsname u;
	FILE *f = fopen("/proc/cpuinfo", "re");

	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, "model name", 10) == 0 && strchr(line, ':')) {
			snprintf(cpu, sizeof(cpu), "%s", strchr(line, ':') + 2);
			cpu[strcspn(cpu, "\n")] = '\0';
			break;
		}
	if (f)
		fclose(f);
	uname(&u);
	snprintf(out, size, "%s, %ld cores, %s %.40s", cpu, sysconf(_SC_NPROCESSORS_ONLN),
	         u.sysname, u.release);
}

/* One figure. @bound: what @value must reach; NAN where none is set. */
void bench_figure(const struct bench *b, const char *name, double value, const char *unit,
                  double bound, double peer, double ratio, const char *set)
{
	if (b->app.json) {
		cJSON *o = cJSON_CreateObject();
		struct buf t = { 0 };
		cJSON_AddStringToObject(o, "name", name);
		json_add_figure(o, "value", value);
		cJSON_AddStringToObject(o, "unit", unit);
		json_add_figure(o, "limit", bound);
		json_add_figure(o, "peer", peer);
		json_add_figure(o, "ratio", ratio);
		json_add_text(o, "set", set);
		cJSON_AddStringToObject(o, "where", b->where);
		json_print(&t, o);
		puts(buf_str(&t));
		buf_release(&t);
		cJSON_Delete(o);
	} else {
		char cell[4][32] = { "-", "-", "-", "-" };
		const double v[4] = { value, bound, peer, ratio };
		for (int i = 0; i < 4; i++)
			if (isfinite(v[i]))
				snprintf(cell[i], sizeof(cell[i]), "%.4g", v[i]);
		printf("%-34s %-10s %10s %-5s %8s %10s %8s\n", name, set ? set : "", cell[0], unit,
		       cell[1], cell[2], cell[3]);
	}
	fflush(stdout);
}

void bench_say(const struct bench *b, const char *what)
{
	if (!b->app.quiet)
		fprintf(stderr, "bench: %s\n", what);
}

/* ---- the programs ---- */

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct bench_program *)a)->path,
	              ((const struct bench_program *)b)->path);
}

static int load_set(struct bench_set *s, const char *bare_dir, int number, struct err *e)
{
	DIR *d = opendir(s->dir);
	struct dirent *x;

	if (!d)
		return err_errno(e, ERR_INPUT, "%s: cannot be read", s->dir);
	s->p = calloc(BENCH_FILES_MAX, sizeof(*s->p));
	while (s->p && (x = readdir(d)) && s->n < BENCH_FILES_MAX) {
		size_t len = strlen(x->d_name);
		struct bench_program *p = &s->p[s->n];
		if (len < 4 || strcmp(x->d_name + len - 3, ".py") != 0)
			continue;
		snprintf(p->path, sizeof(p->path), "%s/%s", s->dir, x->d_name);
		p->ours_s = p->kernel_s = NAN;
		if (buf_read_file(&p->text, p->path, 8u << 20, e) < 0) {
			closedir(d);
			return -1;
		}
		s->n++;
	}
	closedir(d);
	if (!s->p)
		return err_set(e, ERR_MEM, "out of memory");
	if (s->n == 0)
		return err_set(e, ERR_INPUT, "%s: no .py file in it", s->dir);
	qsort(s->p, (size_t)s->n, sizeof(*s->p), by_path);
	for (int i = 0; i < s->n; i++) {
		struct bench_program *p = &s->p[i];
		if (extract_program(&p->what, EXTRACT_FILE, buf_str(&p->text), p->text.len, e) < 0)
			return -1;
		snprintf(p->bare, sizeof(p->bare), "%s/%d-%d.py", bare_dir, number, i);
		if (file_write_atomic(p->bare, buf_str(&p->what.program), p->what.program.len, e) <
		    0)
			return -1;
	}
	return 0;
}

static void set_item(struct pipeline_item *it, const struct bench_program *p)
{
	*it = (struct pipeline_item){ .program = buf_str(&p->what.program),
		                      .len = p->what.program.len,
		                      .line_offset = p->what.line_offset };
}

static int on_tick(void *ctx)
{
	(void)ctx;
	return app_interrupted() || app_output_lost();
}

/* For the loops that no pipeline runs: 0, or -1 when the measuring is to end here. */
int bench_go_on(struct err *e)
{
	return on_tick(NULL) ? err_set(e, ERR_CANCELLED, "interrupted") : 0;
}

static void on_done(void *ctx, size_t item, struct pipeline_item *it)
{
	struct bench *b = ctx;

	b->last_s = it->seconds;
	b->last_ok = it->build.ok && it->measured && it->shape.ok;
	if (b->seconds) {
		b->seconds[item] = it->seconds;
		b->ok[item] = b->last_ok;
	}
}

static struct pipeline *open_pipeline(struct bench *b, int jobs, struct err *e)
{
	struct pipeline_options o = {
		.dialect = DIALECT_SEED,
		.limits = b->app.limits,
		.measure = true,
		.geometry = true,
		.figures = FIGURES_FAST,
		.ctx = b,
		.tick = on_tick,
		.done = on_done,
	};

	b->app.jobs = jobs;
	app_engine_options(&b->app, &o.engine);
	struct pipeline *p = pipeline_open(&o, e);
	if (p && pipeline_warm(p, e) < 0) {
		pipeline_close(p);
		return NULL;
	}
	return p;
}

/* ---- peers ---- */

struct peer {
	pid_t pid;
	FILE *out;
	int in;
};

static int peer_start(struct peer *p, const char *dir, char *const argv[], struct err *e)
{
	int out[2] = { -1, -1 }, in[2] = { -1, -1 };
	posix_spawn_file_actions_t a;

	if (pipe2(out, O_CLOEXEC) < 0 || pipe2(in, O_CLOEXEC) < 0)
		return err_errno(e, ERR_IO, "pipe");
	posix_spawn_file_actions_init(&a);
	posix_spawn_file_actions_addchdir_np(&a, dir);
	posix_spawn_file_actions_adddup2(&a, in[0], 0);
	posix_spawn_file_actions_adddup2(&a, out[1], 1);
	int rc = posix_spawn(&p->pid, argv[0], &a, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&a);
	close(out[1]);
	close(in[0]);
	if (rc) {
		close(out[0]);
		close(in[1]);
		errno = rc;
		return err_errno(e, ERR_LACKS, "%s cannot be started", argv[0]);
	}
	p->out = fdopen(out[0], "r");
	p->in = in[1];
	return 0;
}

static int peer_end(struct peer *p)
{
	int status = -1;

	fclose(p->out);
	close(p->in);
	while (waitpid(p->pid, &status, 0) < 0 && errno == EINTR)
		;
	p->pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Writes the paths of every @step-th building program from @from on into a file for --list. */
static int list_file(char *path, const struct bench_set *s, int from, int step, struct err *e)
{
	strcpy(path, "/tmp/cadforge-bench-XXXXXX");
	int fd = mkstemp(path);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w");

	if (!f)
		return err_errno(e, ERR_IO, "%s", path);
	for (int i = 0, k = 0; i < s->n; i++)
		if (s->p[i].builds && k++ % step == from)
			fprintf(f, "%s\n", s->p[i].bare);
	return fclose(f) ? err_errno(e, ERR_IO, "%s", path) : 0;
}

/* @n kernel processes share the set; returns the wall time from the common start to the last end,
 * or NAN. */
static double kernel_run(struct bench *b, struct bench_set *s, int n, int repeats, struct err *e)
{
	struct peer p[8] = { 0 };
	double taken = NAN;
	char list[8][64] = { "" }, rounds[16], *line = NULL;
	size_t cap = 0;

	snprintf(rounds, sizeof(rounds), "%d", repeats);
	for (int i = 0; i < n; i++) {
		char *argv[] = { b->python, b->script, b->stubs, rounds, "--list", list[i], NULL };
		list[i][0] = '\0';
		if (list_file(list[i], s, i, n, e) < 0 || peer_start(&p[i], b->dir, argv, e) < 0)
			goto out;
	}
	for (int i = 0; i < n; i++)
		if (getline(&line, &cap, p[i].out) < 0) {
			if (bench_go_on(e) == 0)
				err_set(e, ERR_LOST, "%s %s ended before it was ready", b->python,
				        b->script);
			goto out;
		}
	double start = clock_now_s();
	for (int i = 0; i < n; i++)
		if (write(p[i].in, "\n", 1) != 1) {
			err_errno(e, ERR_LOST, "%s", b->script);
			goto out;
		}
	for (int i = 0; i < n; i++) {
		while (getline(&line, &cap, p[i].out) > 0) {
			cJSON *o = json_parse(line, strlen(line), e);
			const char *file = json_string_or(o, "file", "");
			for (int k = 0; k < s->n; k++)
				if (strcmp(s->p[k].bare, file) == 0 && repeats > 1)
					s->p[k].kernel_s = json_number_or(o, "seconds", NAN);
			cJSON_Delete(o);
		}
		if (bench_go_on(e) < 0)
			goto out;
		if (peer_end(&p[i]) != 0)
			err_set(e, ERR_LOST, "%s failed", b->script);
	}
	taken = clock_now_s() - start;
out:
	for (int i = 0; i < n; i++) {
		if (p[i].pid > 0) {
			kill(p[i].pid, SIGKILL);
			peer_end(&p[i]);
		}
		if (list[i][0])
			unlink(list[i]);
	}
	free(line);
	return e->kind ? NAN : taken;
}

double bench_cold(struct bench *b, struct bench_set *s, int n, struct err *e)
{
	char *python = b->peer_python ? (char *)(uintptr_t)b->peer_python : b->python;
	pid_t pid[8] = { 0 };
	char out[8][64];
	int next = 0, alive = 0;
	double start = clock_now_s();

	for (;;) {
		while (next < s->n && !s->p[next].builds)
			next++;
		if (alive == n || (next == s->n && alive > 0)) {
			int status = 0;
			pid_t gone = waitpid(-1, &status, 0);
			if (gone < 0 && bench_go_on(e) < 0)
				break;
			for (int i = 0; i < n; i++)
				if (pid[i] == gone) {
					pid[i] = 0;
					alive--;
					unlink(out[i]);
				}
			if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
				err_set(e, ERR_LOST, "%s does not run %s", python, b->script);
			continue;
		}
		if (next == s->n)
			break;
		int i = 0;
		while (pid[i])
			i++;
		snprintf(out[i], sizeof(out[i]), "/tmp/cadforge-bench-%d-%d.stl", (int)getpid(), i);
		char *argv[] = { python, b->script,       "--cold", b->stubs,
			         out[i], s->p[next].bare, NULL };
		posix_spawn_file_actions_t a;
		posix_spawn_file_actions_init(&a);
		posix_spawn_file_actions_addchdir_np(&a, b->dir);
		int rc = posix_spawn(&pid[i], python, &a, NULL, argv, environ);
		posix_spawn_file_actions_destroy(&a);
		if (rc) {
			errno = rc;
			err_errno(e, ERR_LACKS, "%s cannot be started", python);
			pid[i] = 0;
			break;
		}
		alive++;
		next++;
	}
	double taken = clock_now_s() - start;
	for (int i = 0; i < n; i++)
		if (pid[i] > 0) {
			kill(pid[i], SIGKILL);
			waitpid(pid[i], NULL, 0);
			unlink(out[i]);
		}
	return e->kind ? NAN : taken;
}

int bench_published(struct bench *b, const char *program, struct err *e)
{
	char script[4300], reference[4300];
	char *argv[] = { b->peer_python ? (char *)(uintptr_t)b->peer_python : b->python,
		         script,
		         "evaluate",
		         "--code-file",
		         (char *)(uintptr_t)program,
		         "--episode-id",
		         "bench",
		         "--step-id",
		         "completion",
		         "--reward-mode",
		         "fast",
		         "--reference-root",
		         reference,
		         NULL };
	posix_spawn_file_actions_t a;
	pid_t pid;
	int status = 0;

	snprintf(script, sizeof(script), "%s/python_tools/cadquery_env.py", b->published);
	snprintf(reference, sizeof(reference), "%s/data/reference-metrics/four_leg_chair_700n",
	         b->published);
	posix_spawn_file_actions_init(&a);
	posix_spawn_file_actions_addchdir_np(&a, b->dir);
	posix_spawn_file_actions_addopen(&a, 1, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_addopen(&a, 2, "/dev/null", O_WRONLY, 0);
	int rc = posix_spawn(&pid, argv[0], &a, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&a);
	if (rc) {
		errno = rc;
		return err_errno(e, ERR_LACKS, "%s cannot be started", argv[0]);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return err_set(e, ERR_LACKS,
		               "%s does not run %s: --published names the folder with python_tools "
		               "and data, --peer a Python with cadquery and trimesh",
		               argv[0], script);
	return 0;
}

/* ---- figures ---- */

static int bench_ready(struct bench *b, struct err *e)
{
	double v[5];

	bench_say(b, "starting the builder, 5 times");
	for (int i = 0; i < 5; i++) {
		double start = clock_now_s();
		struct pipeline *p = open_pipeline(b, 1, e);
		if (!p)
			return -1;
		v[i] = clock_now_s() - start;
		pipeline_close(p);
	}
	bench_figure(b, "build.ready", bench_median(v, 5), "s", 1.2, NAN, NAN, NULL);
	return 0;
}

/* between two programs of a model that writes quickly: 100 tokens at 300 a second */
#define ARRIVAL_MS 300

/* The least time of each program over the rounds, into ours_s. */
static int warm_run(struct bench *b, struct bench_set *s, int pause_ms, struct err *e)
{
	struct pipeline *p = open_pipeline(b, 1, e);

	if (!p)
		return -1;
	for (int i = 0; i < s->n; i++)
		s->p[i].ours_s = NAN;
	for (int round = 0; round < b->rounds; round++)
		for (int i = 0; i < s->n; i++) {
			struct pipeline_item it;
			set_item(&it, &s->p[i]);
			b->seconds = NULL;
			if (pause_ms)
				usleep((useconds_t)pause_ms * 1000);
			if (pipeline_run(p, &it, 1, e) < 0) {
				pipeline_close(p);
				return -1;
			}
			s->p[i].builds = b->last_ok;
			if (b->last_ok)
				s->p[i].ours_s =
					fmin(b->last_s,
				             isnan(s->p[i].ours_s) ? INFINITY : s->p[i].ours_s);
		}
	pipeline_close(p);
	return 0;
}

static void overhead_figure(struct bench *b, struct bench_set *s, const char *name, double limit,
                            double *over, double *kernel)
{
	int n = 0;

	for (int i = 0; i < s->n; i++)
		if (s->p[i].builds && isfinite(s->p[i].kernel_s)) {
			over[n] = (s->p[i].ours_s - s->p[i].kernel_s) * 1e3;
			kernel[n++] = s->p[i].kernel_s * 1e3;
		}
	double o = bench_median(over, n), k = bench_median(kernel, n);
	bench_figure(b, name, o, "ms", limit, k, (o + k) / k, s->name);
}

static int bench_overhead(struct bench *b, struct bench_set *s, struct err *e)
{
	double *over = calloc((size_t)s->n, sizeof(*over)),
	       *kernel = calloc((size_t)s->n, sizeof(*kernel));

	if (!over || !kernel) {
		err_set(e, ERR_MEM, "out of memory");
		goto out;
	}
	/* Programs come from a model or a person, one at a time: the builder is at rest then. */
	bench_say(b, "one at a time, warm, as they come from a model");
	if (warm_run(b, s, ARRIVAL_MS, e) < 0)
		goto out;
	bench_say(b, "the kernel alone, warm");
	if (isnan(kernel_run(b, s, 1, b->rounds > 1 ? b->rounds : 2, e)))
		goto out;
	overhead_figure(b, s, "build.overhead", 15, over, kernel);
	bench_say(b, "one at a time, warm, each at once after the one before");
	if (warm_run(b, s, 0, e) < 0)
		goto out;
	overhead_figure(b, s, "build.overhead_in_a_row", NAN, over, kernel);
out:
	free(over);
	free(kernel);
	return e->kind ? -1 : 0;
}

static int bench_rate(struct bench *b, struct bench_set *s, struct err *e)
{
	struct pipeline_item *it = calloc((size_t)s->n, sizeof(*it));
	double ours = NAN, kernel = NAN, cold = NAN;
	char text[160];
	int n = 0;

	b->seconds = calloc((size_t)s->n, sizeof(*b->seconds));
	b->ok = calloc((size_t)s->n, sizeof(*b->ok));
	struct pipeline *p = it && b->seconds && b->ok ? open_pipeline(b, 2, e) : NULL;
	if (!p)
		goto out;
	/* only what builds is timed, here and in the peers */
	for (int i = 0; i < s->n; i++)
		set_item(&it[i], &s->p[i]);
	if (pipeline_run(p, it, (size_t)s->n, e) < 0) {
		pipeline_close(p);
		goto out;
	}
	for (int i = 0; i < s->n; i++)
		s->p[i].builds = b->ok[i];
	for (int i = 0; i < s->n; i++)
		if (s->p[i].builds)
			set_item(&it[n++], &s->p[i]);
	snprintf(text, sizeof(text), "%d programs of %s, two at a time", n, s->name);
	bench_say(b, text);
	for (int round = 0; round < b->rounds && !e->kind; round++) {
		double start = clock_now_s();
		if (pipeline_run(p, it, (size_t)n, e) == 0)
			ours = fmax(isnan(ours) ? 0 : ours, n / (clock_now_s() - start));
		bench_say(b, "the kernel alone, two processes");
		kernel = fmax(isnan(kernel) ? 0 : kernel, n / kernel_run(b, s, 2, 1, e));
	}
	pipeline_close(p);
	if (e->kind)
		goto out;
	bench_say(b, "one Python process a program, two at a time");
	cold = n / bench_cold(b, s, 2, e);
	if (e->kind)
		goto out;
	bench_figure(b, "build.rate", ours, "1/s", NAN, cold, ours / cold, s->name);
	bench_figure(b, "build.rate_of_kernel", ours, "1/s", NAN, kernel, ours / kernel, s->name);
out:
	free(it);
	free(b->seconds);
	free(b->ok);
	b->seconds = NULL;
	b->ok = NULL;
	return e->kind ? -1 : 0;
}

/* Private memory (KiB) of the child of @pid that has most of it; 0 when it cannot be read. */
static long largest_child_kib(int pid)
{
	char path[64], line[256];
	long best = 0, child;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
	FILE *f = fopen(path, "re");
	while (f && fscanf(f, "%ld", &child) == 1) {
		long kib = 0, v;
		snprintf(path, sizeof(path), "/proc/%ld/smaps_rollup", child);
		FILE *m = fopen(path, "re");
		while (m && fgets(line, sizeof(line), m))
			if (sscanf(line, "Private_Dirty: %ld", &v) == 1 ||
			    sscanf(line, "Private_Clean: %ld", &v) == 1 ||
			    sscanf(line, "Swap: %ld", &v) == 1)
				kib += v;
		if (m)
			fclose(m);
		if (kib > best)
			best = kib;
	}
	if (f)
		fclose(f);
	return best;
}

static void ignore_built(void *ctx, uint32_t job, struct build *built)
{
	(void)job;
	(void)built;
	(*(int *)ctx)++;
}

static void ignore_measured(void *ctx, uint32_t job, struct shape_report *r)
{
	(void)ctx;
	(void)job;
	(void)r;
}

/* A part is built and the program then waits, so that its memory can be read while it is in flight.
 */
static int bench_memory(struct bench *b, struct bench_set *s, struct err *e)
{
	int built = 0, asked = 0;
	const struct engine_ops ops = { .ctx = &built,
		                        .built = ignore_built,
		                        .measured = ignore_measured };
	struct engine_options o;
	double *mib = calloc((size_t)s->n, sizeof(*mib));
	int n = 0;

	bench_say(b, "memory of a build in flight");
	b->app.jobs = 1;
	app_engine_options(&b->app, &o);
	struct engine *en = mib ? engine_open(&o, &ops, e) : NULL;
	if (!en || engine_warm_builder(en, e) < 0)
		goto out;
	while (!engine_builder_info(en))
		if (bench_go_on(e) < 0 || engine_wait(en, 250, e) < 0)
			goto out;
	int pid = engine_builder_pid(en);
	for (int i = 0; i < s->n && n < 24; i++) {
		struct buf text = { 0 };
		struct build_request r = { .dialect = DIALECT_OPEN,
			                   .no_filter = true,
			                   .limits = b->app.limits };
		double start = clock_now_s();
		long kib = 0;
		uint32_t job;
		if (!s->p[i].builds)
			continue;
		buf_add(&text, buf_str(&s->p[i].what.program), s->p[i].what.program.len);
		buf_adds(&text, "\nimport time\ntime.sleep(1)\n");
		r.program = buf_str(&text);
		r.len = text.len;
		int rc = engine_build(en, &r, &job, e);
		buf_release(&text);
		if (rc < 0)
			goto out;
		asked++;
		while (built < asked) {
			if (bench_go_on(e) < 0 || engine_wait(en, 50, e) < 0)
				goto out;
			long now = clock_now_s() - start > 0.05 ? largest_child_kib(pid) : 0;
			if (now > kib)
				kib = now;
		}
		if (kib > 0)
			mib[n++] = (double)kib / 1024;
	}
	bench_figure(b, "build.memory_median", bench_median(mib, n), "MiB", 60, NAN, NAN, s->name);
	bench_figure(b, "build.memory_most", n ? mib[n - 1] : NAN, "MiB", NAN, NAN, NAN, s->name);
out:
	engine_close(en);
	free(mib);
	return e->kind ? -1 : 0;
}

static int bench_verdict(struct bench *b, struct err *e)
{
	static const char loop[] = "while True:\n    pass\n";
	double most_wall = 0, most_cpu = 0;

	bench_say(b, "verdicts after a limit");
	for (int i = 0; i < 6; i++) {
		struct limits kept = b->app.limits;
		b->app.limits.wall_s = i % 2 ? 20 : 1;
		b->app.limits.cpu_s = i % 2 ? 1 : 20;
		struct pipeline *p = open_pipeline(b, 1, e);
		b->app.limits = kept;
		if (!p)
			return -1;
		struct pipeline_item it = { .program = loop, .len = sizeof(loop) - 1 };
		b->seconds = NULL;
		int rc = pipeline_run(p, &it, 1, e);
		pipeline_close(p);
		if (rc < 0)
			return -1;
		double *most = i % 2 ? &most_cpu : &most_wall;
		*most = fmax(*most, b->last_s - 1);
	}
	bench_figure(b, "build.verdict_after_wall_limit", most_wall, "s", 0.25, NAN, NAN, NULL);
	bench_figure(b, "build.verdict_after_cpu_limit", most_cpu, "s", 0.25, NAN, NAN, NULL);
	return 0;
}

/* The time from kill -9 of the builder to the next answer. */
static int bench_after_kill(struct bench *b, struct err *e)
{
	static const char box[] =
		"import cadquery as cq\nfixture = cq.Workplane('XY').box(1, 2, 3)\n";
	double v[5];
	struct pipeline *p = open_pipeline(b, 1, e);

	if (!p)
		return -1;
	bench_say(b, "killing the builder, 5 times");
	for (int i = 0; i < 5; i++) {
		struct pipeline_item it = { .program = box, .len = sizeof(box) - 1 };
		int pid = engine_builder_pid(pipeline_engine(p));
		kill(pid, SIGKILL);
		double start = clock_now_s();
		if (pipeline_run(p, &it, 1, e) < 0)
			break;
		v[i] = (clock_now_s() - start) * 1e3;
	}
	pipeline_close(p);
	if (e->kind)
		return -1;
	bench_figure(b, "build.after_kill", bench_median(v, 5), "ms", 1000, NAN, NAN, NULL);
	return 0;
}

/* ---- the verb ---- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

/* The bench's own folder. */
static void remove_folder(const char *path)
{
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

enum { GROWTH_STEPS = 100000 };

static const char *const kind_words[] = {
#define X(constant, word) word,
	BENCH_KINDS(X)
#undef X
};

static bool wanted(const struct bench *b, const char *group)
{
	if (b->only)
		return strcmp(b->only, group) == 0;
	if (strcmp(group, "million") == 0 || strcmp(group, "growth") == 0)
		return false; /* takes minutes: when it is asked for alone */
	for (int i = 0; i < BENCH_KINDS_COUNT; i++)
		if (strcmp(group, kind_words[i]) == 0)
			return b->kinds >> i & 1;
	return b->kinds >> BENCH_BUILD & 1; /* one of those that are measured while building */
}

static int add_set(struct bench *b, const char *dir)
{
	const char *slash;
	struct bench_set *s = &b->set[b->n_sets];

	if (b->n_sets == BENCH_SETS_MAX)
		return -1;
	s->dir = dir;
	slash = strrchr(dir, '/');
	s->name = slash && slash[1] ? slash + 1 : dir;
	b->n_sets++;
	return 0;
}

static int run(const struct cmd *self, int argc, char **argv)
{
	static const struct option options[] = { APP_LONG_OPTIONS,
		                                 { "set", required_argument, NULL, 's' },
		                                 { "rounds", required_argument, NULL, 'r' },
		                                 { "peer", required_argument, NULL, 'p' },
		                                 { "only", required_argument, NULL, 'o' },
		                                 { "rate", required_argument, NULL, 't' },
		                                 { "published", required_argument, NULL, 'u' },
		                                 { NULL, 0, NULL, 0 } };
	struct bench b = { .rounds = 3 };
	struct err e = { 0 };
	char examples[4200];
	int opt;

	app_init(&b.app);
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":s:r:p:o:t:u:", options, NULL)) >= 0) {
		int rc = app_flag(&b.app, self, opt, optarg);
		if (rc == 2)
			return EXIT_DONE;
		if (rc < 0)
			return EXIT_USAGE;
		if (rc == 1)
			continue;
		if (opt == 's') {
			if (add_set(&b, optarg) < 0)
				return app_usage(self, "--set: at most %d", BENCH_SETS_MAX);
		} else if (opt == 'r') {
			if (app_whole("--rounds", optarg, 1, 100, &b.rounds) < 0)
				return EXIT_USAGE;
		} else if (opt == 't') {
			if (app_number("--rate", optarg, 1, 1e6, &b.rate) < 0)
				return EXIT_USAGE;
		} else if (opt == 'o') {
			static const char *const groups[] = { "ready",   "overhead", "rate",
				                              "memory",  "verdict",  "kill",
				                              "score",   "pictures", "store",
				                              "million", "growth",   "ui",
				                              "watch" };
			for (size_t i = 0; i < sizeof(groups) / sizeof(*groups); i++)
				if (strcmp(optarg, groups[i]) == 0)
					b.only = groups[i];
			if (!b.only)
				return app_usage(
					self,
					"--only: ready, overhead, rate, memory, verdict, kill, score, pictures, watch, store, million, growth or ui");
		} else if (opt == 'p') {
			b.peer_python = optarg;
		} else if (opt == 'u') {
			b.published = optarg;
		} else {
			return app_bad_flag(self, opt, argv);
		}
	}
	for (; optind < argc; optind++) {
		int kind = 0;
		while (kind < BENCH_KINDS_COUNT && strcmp(argv[optind], kind_words[kind]) != 0)
			kind++;
		if (kind == BENCH_KINDS_COUNT)
			return app_usage(
				self, "'%s' cannot be measured; what can: %s", argv[optind],
				"build, score, store, ui, inference, gpu, train, grpo, farm, serve");
		b.kinds |= 1u << kind;
	}
	if (!b.kinds)
		b.kinds = (1u << BENCH_KINDS_COUNT) - 1;
	app_find(&b.app);
	/* these build no program */
	bool without_python =
		!b.only &&
		!(b.kinds & ~(1u << BENCH_INFERENCE | 1u << BENCH_GPU | 1u << BENCH_TRAIN));
	if (!b.app.python_env[0] && !without_python) {
		app_tell("no Python environment with CadQuery was found: %s", app_env_remedy);
		return EXIT_LACKS;
	}
	bool no_set =
		b.only ? strcmp(b.only, "score") == 0
		       : !(b.kinds & (1u << BENCH_BUILD | 1u << BENCH_FARM | 1u << BENCH_SERVE));
	if (b.n_sets == 0 && !no_set) {
		snprintf(examples, sizeof(examples), "%s/examples", b.app.tasks);
		add_set(&b, examples);
	}
	snprintf(b.python, sizeof(b.python), "%s/bin/python3", b.app.python_env);
	snprintf(b.script, sizeof(b.script), "%s/bench_kernel.py", b.app.data);
	snprintf(b.stubs, sizeof(b.stubs), "%s/gl", b.app.libexec);
	app_catch_interrupt();
	machine(b.where, sizeof(b.where));
	strcpy(b.dir, "/tmp/cadforge-bench-XXXXXX");
	if (!mkdtemp(b.dir)) {
		err_errno(&e, ERR_IO, "%s", b.dir);
		return app_fail(&e);
	}
	for (int i = 0; i < b.n_sets; i++)
		if (load_set(&b.set[i], b.dir, i, &e) < 0)
			goto out;
	if (!b.app.json)
		printf("%s\n\n%-34s %-10s %10s %-5s %8s %10s %8s\n", b.where, "figure", "set",
		       "value", "", "limit", "peer", "ratio");
	if (wanted(&b, "ready"))
		bench_ready(&b, &e);
	for (int i = 0; i < b.n_sets && !e.kind; i++) {
		if (wanted(&b, "overhead"))
			bench_overhead(&b, &b.set[i], &e);
		if (!e.kind && wanted(&b, "rate"))
			bench_rate(&b, &b.set[i], &e);
	}
	if (!e.kind && wanted(&b, "memory"))
		bench_memory(&b, &b.set[b.n_sets - 1], &e);
	if (!e.kind && wanted(&b, "verdict"))
		bench_verdict(&b, &e);
	if (!e.kind && wanted(&b, "kill"))
		bench_after_kill(&b, &e);
	if (!e.kind && wanted(&b, "pictures"))
		bench_pictures(&b, &e);
	if (!e.kind && wanted(&b, "watch"))
		bench_watch(&b, &e);
	if (!e.kind && wanted(&b, "score"))
		bench_score(&b, &e);
	if (!e.kind && wanted(&b, "store"))
		bench_store(&b, &e);
	if (!e.kind && wanted(&b, "million"))
		bench_store_million(&b, &e);
	if (!e.kind && wanted(&b, "ui"))
		bench_ui(&b, &e);
	if (!e.kind && wanted(&b, "inference"))
		bench_inference(&b, &e);
	if (!e.kind && wanted(&b, "gpu"))
		bench_gpu(&b, &e);
	if (!e.kind && wanted(&b, "train"))
		bench_train(&b, &e);
	if (!e.kind && wanted(&b, "grpo"))
		bench_grpo(&b, &e);
	if (!e.kind && wanted(&b, "farm"))
		bench_farm(&b, &b.set[b.n_sets - 1], &e);
	if (!e.kind && wanted(&b, "serve"))
		bench_serve(&b, &b.set[b.n_sets - 1], 0, &e);
	if (!e.kind && wanted(&b, "growth"))
		bench_serve(&b, NULL, GROWTH_STEPS, &e);
out:
	remove_folder(b.dir);
	for (int i = 0; i < b.n_sets; i++) {
		for (int k = 0; k < b.set[i].n; k++) {
			buf_release(&b.set[i].p[k].text);
			extract_release(&b.set[i].p[k].what);
		}
		free(b.set[i].p);
	}
	return e.kind ? app_fail(&e) : EXIT_DONE;
}

const struct cmd cmd_bench = {
	.name = "bench",
	.usage =
		"bench [build] [score] [store] [ui] [inference] [gpu] [train] [grpo] [farm] [serve] [--set DIR]... [--rounds N] [--peer PYTHON] [--only FIGURES] [--rate N] [--published DIR] [--json]",
	.summary =
		"measure build, score, store, workbench, inference, GPU, training, reinforcement learning, workers, server beside what bounds them and a peer",
	.help = "  --set DIR         programs to run (default: the examples); may be repeated\n"
		"  --rounds N        rounds of each measurement; the best counts (3)\n"
		"  --peer PYTHON     the Python for one-process-a-program (default: the lean environment's);\n"
		"                    of inference: one with numpy, gguf and llama-cpp-python;\n"
		"                    of train: one with torch, transformers and peft\n"
		"  --only FIGURES    ready, overhead, rate, memory, verdict, kill, score, pictures, watch, store\n"
		"                    alone (watch: a program that is executed while it is written);\n"
		"                    million: the store with a million episodes, which takes minutes;\n"
		"                    growth: what 100,000 steps of a trivial part leave in a server\n"
		"  --published DIR   of grpo and serve: the published system's folder (python_tools, data,\n"
		"                    server), run with --peer's Python: the peer is then its evaluator, or\n"
		"                    its server\n"
		"  --rate N          of grpo: tokens a second of the device that is imagined, with 64\n"
		"                    answers at once (12500)\n"
		"  --python-env DIR  virtual environment with CadQuery\n"
		"  --json            an object a figure: {name, value, unit, limit, peer, ratio, set, where}\n"
		"  --quiet           no progress on standard error\n"
		"  --help            this text\n"
		"\nPrograms of a set also run outside the jail, as the peer: name only sets you trust.\n",
	.run = run,
};
