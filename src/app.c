#include "src/app.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "src/base/utf8.h"

const char app_limits_help[] =
	"  --wall S          wall-clock limit of a build in seconds (45)\n"
	"  --cpu S           CPU limit of a build in seconds (40)\n"
	"  --memory MIB      memory of a build beyond the warm image (2048)\n"
	"  --output KIB      most a program may print (512); the first 256 are kept\n"
	"  --no-filter       leave out the Python-level checks: the jail alone must hold\n"
	"  --python-env DIR  virtual environment with CadQuery\n"
	"  --json            one JSON object a line on standard output\n"
	"  --quiet           no progress, no build log on standard error\n"
	"  --help            this text\n";

const char app_env_remedy[] =
	"in the sources run ./quickstart build; of an installed program, make " PKGDATADIR
	"/venv as cadforge(1), FILES, says; or name one with --python-env or CADFORGE_PYTHON_ENV";
const char app_libexec_remedy[] =
	"CADFORGE_LIBEXEC names the folder of cadforge-builder, cadforge-scorer and cadforge-mesher: unset it";

void app_init(struct app *a)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	memset(a, 0, sizeof(*a));
	a->jobs = cores < 1 ? 1 : cores > 64 ? 64 : (int)cores;
	limits_default(&a->limits);
}

static bool exists(const char *dir, const char *name)
{
	char path[3 * PATH_MAX];

	snprintf(path, sizeof(path), "%s%s%s", dir, name ? "/" : "", name ? name : "");
	return access(path, F_OK) == 0;
}

/* Looks for @name in @from and the two folders above it; writes the folder @name to @out. */
static bool find_above(char *out, size_t size, const char *from, const char *name,
                       const char *inside)
{
	static const char *const up[] = { "", "/..", "/../.." };
	char dir[8192];

	for (int i = 0; i < 3; i++) {
		snprintf(dir, sizeof(dir), "%s%s/%s", from, up[i], name);
		char real[PATH_MAX];
		if (exists(dir, inside) && realpath(dir, real)) {
			snprintf(out, size, "%s", real);
			return true;
		}
	}
	return false;
}

static void take(char *out, size_t size, const char *dir)
{
	char real[PATH_MAX];

	snprintf(out, size, "%s", realpath(dir, real) ? real : dir);
}

static void find_demo(struct app *a, const char *exe)
{
	static const char inside[] = "base/config.json";
	const char *env = getenv("CADFORGE_DEMO");

	if (env && *env) {
		if (exists(env, inside))
			take(a->demo, sizeof(a->demo), env);
	} else if (!find_above(a->demo, sizeof(a->demo), exe, "gpu/demo", inside) &&
	           !(a->tasks[0] &&
	             find_above(a->demo, sizeof(a->demo), a->tasks, "gpu/demo", inside)) &&
	           exists(PKGDATADIR "/demo", inside)) {
		take(a->demo, sizeof(a->demo), PKGDATADIR "/demo");
	}
}

void app_find(struct app *a)
{
	char exe[PATH_MAX] = "";
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	const char *env;
	char *slash;

	exe[n > 0 ? n : 0] = '\0';
	slash = strrchr(exe, '/');
	if (slash)
		*slash = '\0';
	env = getenv("CADFORGE_LIBEXEC");
	if (env && *env)
		take(a->libexec, sizeof(a->libexec), env);
	else if (exists(exe, "cadforge-builder"))
		take(a->libexec, sizeof(a->libexec), exe);
	else
		take(a->libexec, sizeof(a->libexec), LIBEXECDIR);

	env = getenv("CADFORGE_PYTHON_ENV");
	if (a->python_env_flag)
		take(a->python_env, sizeof(a->python_env), a->python_env_flag);
	else if (env && *env)
		take(a->python_env, sizeof(a->python_env), env);
	else if (PYTHON_ENV[0] && exists(PYTHON_ENV, "pyvenv.cfg"))
		take(a->python_env, sizeof(a->python_env), PYTHON_ENV);
	else if (!find_above(a->python_env, sizeof(a->python_env), exe, ".venv", "pyvenv.cfg") &&
	         exists(PKGDATADIR "/venv", "pyvenv.cfg"))
		take(a->python_env, sizeof(a->python_env), PKGDATADIR "/venv");

	env = getenv("CADFORGE_TASKS");
	if (env && *env)
		take(a->tasks, sizeof(a->tasks), env);
	else if (!find_above(a->tasks, sizeof(a->tasks), exe, "tasks", "cadforge/pack.json"))
		take(a->tasks, sizeof(a->tasks), PKGDATADIR "/tasks");
	const char *home = getenv("HOME");
	env = getenv("XDG_DATA_HOME");
	if (env && *env == '/') /* the specification passes over what is relative */
		snprintf(a->user_data, sizeof(a->user_data), "%s/cadforge", env);
	else if (home && *home == '/')
		snprintf(a->user_data, sizeof(a->user_data), "%s/.local/share/cadforge", home);
	if (!find_above(a->data, sizeof(a->data), exe, "python", "bench_kernel.py"))
		take(a->data, sizeof(a->data), PKGDATADIR "/python");
	find_demo(a, exe);
}

int app_number(const char *flag, const char *text, double min, double max, double *out)
{
	char *end = NULL;
	double v;

	errno = 0;
	v = strtod(text, &end);
	if (end == text || *end || errno || !(v >= min && v <= max)) {
		app_tell("%s: a number from %g to %g was expected, got '%s'", flag, min, max, text);
		return -1;
	}
	*out = v;
	return 0;
}

int app_whole(const char *flag, const char *text, int min, int max, int *out)
{
	char *end = NULL;
	long v;

	errno = 0;
	v = strtol(text, &end, 10);
	if (end == text || *end || errno || v < min || v > max) {
		app_tell("%s: a whole number from %d to %d was expected, got '%s'", flag, min, max,
		         text);
		return -1;
	}
	*out = (int)v;
	return 0;
}

int app_dialect(const char *text, enum dialect *out)
{
	if (strcmp(text, "seed") == 0) {
		*out = DIALECT_SEED;
	} else if (strcmp(text, "open") == 0) {
		*out = DIALECT_OPEN;
	} else {
		app_tell("--dialect: 'seed' or 'open' was expected, got '%s'", text);
		return -1;
	}
	return 0;
}

int app_flag(struct app *a, const struct cmd *self, int opt, const char *arg)
{
	switch (opt) {
	case APP_JSON:
		a->json = true;
		return 1;
	case APP_QUIET:
		a->quiet = true;
		return 1;
	case APP_HELP:
		printf("usage: cadforge %s\n\n%s\n\n%s%s", self->usage, self->summary, self->help,
		       self->engine ? app_limits_help : "");
		return 2;
	case APP_WALL:
		if (app_number("--wall", arg, 0.05, 86400, &a->limits.wall_s) < 0)
			return -1;
		return 1;
	case APP_CPU:
		if (app_number("--cpu", arg, 0.05, 86400, &a->limits.cpu_s) < 0)
			return -1;
		return 1;
	case APP_MEMORY:
		if (app_whole("--memory", arg, 16, 1 << 20, &a->limits.memory_mib) < 0)
			return -1;
		return 1;
	case APP_OUTPUT:
		if (app_whole("--output", arg, 1, 1 << 20, &a->limits.output_kib) < 0)
			return -1;
		return 1;
	case APP_NO_FILTER:
		a->no_filter = true;
		return 1;
	case APP_PYTHON_ENV:
		a->python_env_flag = arg;
		return 1;
	case APP_QUEUE:
		a->queue = arg;
		return 1;
	default:
		return 0;
	}
}

static volatile sig_atomic_t interrupts; /* only a signal handler's counter can be global */

static void on_interrupt(int sig)
{
	if (++interrupts >= 3) {
		signal(sig, SIG_DFL);
		raise(sig);
	}
}

void app_catch_interrupt(void)
{
	struct sigaction on = { .sa_handler = on_interrupt };

	sigaction(SIGINT, &on, NULL);
	sigaction(SIGTERM, &on, NULL);
}

bool app_interrupted(void)
{
	return interrupts > 0;
}

bool app_reader_gone(void)
{
	struct pollfd p = { .fd = STDOUT_FILENO };

	return poll(&p, 1, 0) == 1 && (p.revents & POLLERR);
}

bool app_output_lost(void)
{
	return ferror(stdout) || app_reader_gone();
}

/* One line, whatever names and texts from elsewhere are in it. */
static void tell(const char *fmt, va_list ap)
{
	struct buf raw = { 0 }, line = { 0 };

	fflush(stdout);
	buf_vprintf(&raw, fmt, ap);
	utf8_clean_line(&line, buf_str(&raw), raw.len);
	fprintf(stderr, "cadforge: %s\n", buf_str(&line));
	buf_release(&raw);
	buf_release(&line);
}

void app_tell(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	tell(fmt, ap);
	va_end(ap);
}

int app_fail(const struct err *e)
{
	if (app_interrupted()) {
		app_tell("%s", e->kind == ERR_CANCELLED ? e->text : "interrupted");
		return EXIT_INTERRUPTED;
	}
	if (e->kind != ERR_CANCELLED)
		app_tell("%s", e->text);
	const char *env = getenv("CADFORGE_LIBEXEC");
	if (e->kind == ERR_LACKS && env && *env && !exists(env, "cadforge-builder"))
		app_tell("%s", app_libexec_remedy);
	else if (e->kind == ERR_LACKS && strstr(e->text, "cadforge-") &&
	         strstr(e->text, "cannot be started"))
		app_tell("run ./quickstart build in the sources, or make install again");
	return e->kind == ERR_LOST ? EXIT_LACKS : err_exit_status(e);
}

int app_bad_flag(const struct cmd *self, int opt, char **argv)
{
	const char *last = argv[optind - 1], *at = argv[optind];
	const char letter[3] = { '-', (char)optopt, '\0' };

	/* getopt stops in the middle of letters in a row, and optind is then still theirs */
	if (opt == '?' && optopt > 0 && optopt < 256 && at && at[0] == '-' && at[1] != '-' &&
	    strlen(at) > 2 && strchr(at, optopt))
		return app_usage(self, "%s is no flag of %s; a file of that name is given as ./%s",
		                 letter, self->name, at);
	if (opt == ':')
		return app_usage(self, "%s lacks its value",
		                 strncmp(last, "--", 2) == 0 ? last : letter);
	if (optopt != 0 && strncmp(last, "--", 2) == 0)
		return app_usage(self, "%.*s takes no value", (int)strcspn(last, "="), last);
	return app_usage(self, "%s is no flag of %s", optopt != 0 ? letter : last, self->name);
}

int app_usage(const struct cmd *self, const char *fmt, ...)
{
	va_list ap;

	if (fmt) {
		va_start(ap, fmt);
		tell(fmt, ap);
		va_end(ap);
	}
	fprintf(stderr, "usage: cadforge %s\nTry 'cadforge %s --help'.\n", self->usage, self->name);
	return EXIT_USAGE;
}

void app_engine_options(const struct app *a, struct engine_options *out)
{
	*out = (struct engine_options){
		.libexec_dir = a->libexec,
		.python_env = a->python_env[0] ? a->python_env : NULL,
		.jobs = a->jobs,
		.quiet = false,
	};
}
