/*
 * cmd_doctor.c - what this machine has, what it lacks, and what to do about it.
 */
#include <langinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "config.h"
#include "engine/sandbox.h"
#include "src/app.h"
#include "src/base/clock.h"
#include "src/model_flags.h"

struct report {
	const struct app *app;
	int lacking; /* things without which programs cannot be built and scored */
};

enum weight { NEEDED, WANTED };

static void row(struct report *r, const char *item, bool has, enum weight w, const char *value,
                const char *remedy)
{
	if (!has && w == NEEDED)
		r->lacking++;
	if (r->app->json) {
		cJSON *o = cJSON_CreateObject();
		struct buf b = { 0 };
		cJSON_AddStringToObject(o, "item", item);
		cJSON_AddBoolToObject(o, "has", has);
		cJSON_AddBoolToObject(o, "needed", w == NEEDED);
		json_add_text(o, "value", value);
		json_add_text(o, "remedy", has ? NULL : remedy);
		json_print(&b, o);
		puts(buf_str(&b));
		buf_release(&b);
		cJSON_Delete(o);
		return;
	}
	printf("%-5s %-22s %s\n",
	       has           ? "has"
	       : w == NEEDED ? "LACKS"
	                     : "lacks",
	       item, value ? value : "");
	if (!has && remedy)
		printf("      %-22s -> %s\n", "", remedy);
}

static void terminal(struct report *r)
{
	char text[160];
	const char *term = getenv("TERM"), *colour = getenv("COLORTERM");
	bool tty = isatty(STDOUT_FILENO);
	const char *charset = nl_langinfo(CODESET);

	snprintf(text, sizeof(text), "%s, TERM=%s%s%s", tty ? "yes" : "output is no terminal",
	         term ? term : "(unset)", colour ? ", COLORTERM=" : "", colour ? colour : "");
	row(r, "terminal", tty && term && strcmp(term, "dumb") != 0, WANTED, text,
	    "only the screens need one: use ssh -t and set TERM; the verbs work without");
	row(r, "UTF-8 locale", strcmp(charset, "UTF-8") == 0, WANTED, charset,
	    "set LANG=C.UTF-8 (or any UTF-8 locale)");
}

static void layers(struct report *r)
{
	struct sandbox_layers l;
	char text[160];

	sandbox_probe(&l);
	row(r, "no_new_privs", l.no_new_privs, NEEDED, NULL, "a Linux kernel from 3.5 on");
	row(r, "seccomp filter", l.seccomp, NEEDED, NULL,
	    "a kernel with CONFIG_SECCOMP_FILTER; in a container, let it use seccomp");
	row(r, "resource limits", l.rlimits, NEEDED, NULL,
	    "setrlimit() is refused here: leave the outer sandbox");
	row(r, "parent-death signal", l.pdeathsig, WANTED, NULL,
	    "prctl(PR_SET_PDEATHSIG) is refused here");
	row(r, "uid of its own", l.own_uid, WANTED,
	    l.own_uid ? "each build runs as another user" : NULL,
	    "only root can give each build its own user; the other layers hold without it");
	snprintf(text, sizeof(text), "ABI %d: files %s, network %s, signals and sockets %s",
	         l.landlock_abi, l.landlock_fs ? "yes" : "no", l.landlock_net ? "yes" : "no",
	         l.landlock_scope ? "yes" : "no");
	row(r, "landlock", l.landlock_fs, WANTED, text,
	    "a kernel from 5.13 on with landlock among its security modules (lsm=landlock,...)");
}

static void say_versions(struct report *r, const cJSON *info, const char *what)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(info, "versions"), *x;
	char item[64], text[80];

	cJSON_ArrayForEach(x, v)
	{
		snprintf(item, sizeof(item), "%s %s", what, x->string);
		if (cJSON_IsString(x)) {
			row(r, item, true, NEEDED, x->valuestring, NULL);
		} else if (cJSON_IsArray(x)) {
			struct buf list = { 0 };
			const cJSON *one;
			cJSON_ArrayForEach(one, x)
				buf_printf(&list, "%s%s", list.len ? ", " : "",
			                   cJSON_IsString(one) ? one->valuestring : "?");
			for (size_t i = 0; i < strlen(item); i++)
				if (item[i] == '_')
					item[i] = ' ';
			row(r, item, true, WANTED, buf_str(&list), NULL);
			buf_release(&list);
		}
	}
	snprintf(item, sizeof(item), "%s ready after", what);
	snprintf(text, sizeof(text), "%.2f s", json_number_or(info, "seconds", 0));
	row(r, item, true, WANTED, text, NULL);
}

static void ignore_built(void *ctx, uint32_t job, struct build *b)
{
	(void)ctx;
	(void)job;
	(void)b;
}

static void ignore_measured(void *ctx, uint32_t job, struct shape_report *s)
{
	(void)ctx;
	(void)job;
	(void)s;
}

static void engines(struct report *r)
{
	const struct engine_ops ops = { .built = ignore_built, .measured = ignore_measured };
	struct engine_options o;
	struct err e = { 0 };

	char text[4200] = "";
	const char *remedy =
		getenv("CADFORGE_LIBEXEC")
			? app_libexec_remedy
			: "run ./quickstart build in the sources, or make install again";
	bool found = r->app->python_env[0] && access(r->app->python_env, X_OK) == 0;

	if (r->app->python_env[0])
		snprintf(text, sizeof(text), "%s%s", r->app->python_env,
		         found ? "" : ": no such folder");
	row(r, "Python environment", found, NEEDED, text, app_env_remedy);
	if (!found && r->app->python_env[0])
		return; /* the builder would say the same once more */
	app_engine_options(r->app, &o);
	struct engine *en = engine_open(&o, &ops, &e);
	if (!en) {
		row(r, "engine", false, NEEDED, e.text, NULL);
		return;
	}
	bool ok = engine_warm_builder(en, &e) == 0;
	while (ok && !engine_builder_info(en))
		ok = !app_interrupted() && engine_wait(en, 250, &e) == 0;
	if (ok)
		say_versions(r, engine_builder_info(en), "builder:");
	else if (!app_interrupted())
		row(r, "builder", false, NEEDED, e.text, remedy);
	e = (struct err){ 0 };
	ok = engine_warm_scorer(en, &e) == 0;
	while (ok && !engine_scorer_info(en))
		ok = !app_interrupted() && engine_wait(en, 250, &e) == 0;
	if (ok)
		say_versions(r, engine_scorer_info(en), "scorer:");
	else if (!app_interrupted())
		row(r, "scorer", false, NEEDED, e.text, remedy);
	double since = clock_now_s();
	while (ok && !engine_mesher_info(en) && clock_now_s() - since < 5)
		ok = !app_interrupted() && engine_wait(en, 100, &e) == 0;
	const char *why = json_string_or(engine_mesher_info(en), "error", NULL);
	if (ok && engine_mesher_info(en) && !why)
		say_versions(r, engine_mesher_info(en), "mesher:");
	else if (!app_interrupted())
		row(r, "mesher", false, WANTED, why,
		    "without it the builder meshes for the seed profiles, some milliseconds slower");
	engine_close(en);
}

static void gpu(struct report *r)
{
	char line[200] = "";
	FILE *f = fopen("/proc/driver/nvidia/version", "re");

	if (f) {
		if (!fgets(line, sizeof(line), f))
			line[0] = '\0';
		line[strcspn(line, "\n")] = '\0';
		fclose(f);
	}
	row(r, "GPU driver", line[0] != '\0', WANTED, line[0] ? line : NULL,
	    "building and scoring need none; the NVIDIA driver is for inference and training");
}

/* Which of the engine's programs there are; whether the one for a GPU works is seen when it is
 * started with a model. */
static void inference(struct report *r)
{
	char path[4200];

	snprintf(path, sizeof(path), "%s/cadforge-infer", r->app->libexec);
	bool cpu = access(path, X_OK) == 0;
	row(r, "inference: CPU", cpu, WANTED, cpu ? path : NULL,
	    "run ./quickstart build in the sources, or make install again");
	snprintf(path, sizeof(path), "%s/cadforge-infer-cuda", r->app->libexec);
	bool cuda = access(path, X_OK) == 0;
	row(r, "inference: CUDA", cuda, WANTED, cuda ? path : NULL,
	    "built where nvcc is found by configure; without it models run on the CPU");
	const char *model = getenv("CADFORGE_MODEL");
	bool demo = model_demo_base(r->app, path, sizeof(path));
	row(r, "demonstration model", demo, WANTED, demo ? path : NULL,
	    "'cadforge train demo' makes one; CADFORGE_DEMO names the folder of another");
	if (!model || !*model)
		model = demo ? "the demonstration model, as CADFORGE_MODEL is not set" : NULL;
	row(r, "model", model != NULL, WANTED, model,
	    "set CADFORGE_MODEL to a folder or an address, or give --model");
	bool key = getenv("CADFORGE_API_KEY") && *getenv("CADFORGE_API_KEY");
	row(r, "key for a server", key, WANTED, key ? "in CADFORGE_API_KEY" : NULL,
	    "only a server that asks for one needs CADFORGE_API_KEY");
}

static void disk(struct report *r)
{
	struct statvfs s;
	char text[120];
	const char *dir = getenv("XDG_DATA_HOME");

	if (!dir || !*dir)
		dir = getenv("HOME");
	if (!dir || statvfs(dir, &s) < 0) {
		row(r, "disk", false, WANTED, NULL,
		    "set HOME or XDG_DATA_HOME to a folder that exists");
		return;
	}
	double gib = (double)s.f_bavail * (double)s.f_frsize / (1 << 30);
	snprintf(text, sizeof(text), "%.1f GiB free in %s", gib, dir);
	row(r, "disk", gib >= 1, WANTED, text, "free at least 1 GiB");
}

static void font(struct report *r)
{
	static const char path[] = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf";
	bool has = access(path, R_OK) == 0;

	row(r, "font", has, NEEDED,
	    has ? "DejaVu Sans, so that text() has one volume everywhere" : NULL,
	    "apt-get install fonts-dejavu-core");
}

static int run(const struct cmd *self, int argc, char **argv)
{
	static const struct option options[] = { APP_LONG_OPTIONS,
		                                 { "report", no_argument, NULL, 'r' },
		                                 { NULL, 0, NULL, 0 } };
	struct app a;
	struct report r = { .app = &a };
	bool full = false;
	int opt;

	app_init(&a);
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":r", options, NULL)) >= 0) {
		int rc = app_flag(&a, self, opt, optarg);
		if (rc == 2)
			return EXIT_DONE;
		if (rc < 0)
			return EXIT_USAGE;
		if (opt == 'r')
			full = true;
		else if (rc == 0)
			return app_bad_flag(self, opt, argv);
	}
	if (optind < argc)
		return app_usage(self, "doctor takes no argument, got '%s'", argv[optind]);
	app_find(&a);
	if (full) {
		struct utsname u;
		char text[400];
		uname(&u);
		snprintf(text, sizeof(text), "%s %s %s", u.sysname, u.release, u.machine);
		row(&r, "version", true, WANTED, PACKAGE_VERSION, NULL);
		row(&r, "system", true, WANTED, text, NULL);
		snprintf(text, sizeof(text), "%ld", sysconf(_SC_NPROCESSORS_ONLN));
		row(&r, "cores", true, WANTED, text, NULL);
		row(&r, "helper programs", true, WANTED, a.libexec, NULL);
		row(&r, "tasks", access(a.tasks, R_OK) == 0, WANTED, a.tasks, "set CADFORGE_TASKS");
	}
	terminal(&r);
	layers(&r);
	font(&r);
	app_catch_interrupt();
	engines(&r);
	if (app_interrupted()) {
		app_tell("interrupted");
		return EXIT_INTERRUPTED;
	}
	gpu(&r);
	inference(&r);
	disk(&r);
	if (r.lacking && !a.json)
		printf("\n%d thing%s needed and not there.\n", r.lacking,
		       r.lacking == 1 ? " is" : "s are");
	return r.lacking ? EXIT_LACKS : EXIT_DONE;
}

const struct cmd cmd_doctor = {
	.name = "doctor",
	.usage = "doctor [--report] [--json]",
	.summary = "say what this machine has, what it lacks, and what to do",
	.help = "  --report          also version, system and paths, to paste into a bug report\n"
		"  --python-env DIR  virtual environment with CadQuery\n"
		"  --json            one object a row: {item, has, needed, value, remedy}\n"
		"  --help            this text\n"
		"\nExit status 3 when something that is needed is not there.\n",
	.run = run,
};
