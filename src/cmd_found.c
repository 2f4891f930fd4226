/* cmd_found.c - models and adapters: what is found, where, what fits what. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/db.h"
#include "src/found.h"
#include "src/show.h"

static const char *base_name(const char *dir)
{
	const char *slash = strrchr(dir, '/');

	return slash && slash[1] ? slash + 1 : dir;
}

static void print_name(const char *text, int width)
{
	char *name = show_name(text);

	printf("%-*s", width, name ? name : "?");
	free(name);
}

static cJSON *model_json(const struct found *f, int i)
{
	const struct found_model *m = &f->model[i];
	cJSON *o = cJSON_CreateObject(), *fit;

	show_add_path(o, "dir", m->dir);
	cJSON_AddStringToObject(o, "where", m->where);
	cJSON_AddBoolToObject(o, "usable", m->usable);
	json_add_text(o, "why", m->usable ? NULL : m->why);
	json_add_figure(o, "parameters", m->usable ? (double)config_parameters(&m->config) : NAN);
	json_add_figure(o, "layers", m->usable ? m->config.layers : NAN);
	json_add_figure(o, "hidden", m->usable ? m->config.hidden : NAN);
	json_add_figure(o, "context", m->usable ? m->config.context : NAN);
	cJSON_AddNumberToObject(o, "weight_bytes", (double)m->weight_bytes);
	fit = cJSON_AddArrayToObject(o, "adapters");
	for (int k = 0; k < f->n_adapters; k++)
		for (int j = 0; j < f->adapter[k].n_fits; j++)
			if (f->adapter[k].fits[j] == i)
				cJSON_AddItemToArray(fit, cJSON_CreateString(f->adapter[k].dir));
	return o;
}

static void print_model(const struct found *f, int i)
{
	const struct found_model *m = &f->model[i];
	int fit = 0;

	for (int k = 0; k < f->n_adapters; k++)
		for (int j = 0; j < f->adapter[k].n_fits; j++)
			fit += f->adapter[k].fits[j] == i;
	print_name(base_name(m->dir), 24);
	if (m->usable)
		printf(" %9.1f M  %3d layers  %7d tokens  %8.1f MiB  %d adapter%s fit  ",
		       (double)config_parameters(&m->config) / 1e6, m->config.layers,
		       m->config.context, (double)m->weight_bytes / (1 << 20), fit,
		       fit == 1 ? "" : "s");
	else
		printf(" cannot be used: %s  ", m->why);
	print_name(m->dir, 0);
	putchar('\n');
}

static cJSON *adapter_json(const struct found *f, int i)
{
	const struct found_adapter *a = &f->adapter[i];
	cJSON *o = cJSON_CreateObject(), *fit;

	show_add_path(o, "dir", a->dir);
	cJSON_AddStringToObject(o, "where", a->where);
	show_add_path(o, "base_model", a->base_model);
	json_add_figure(o, "rank", a->n_fits ? a->rank : NAN);
	json_add_figure(o, "parameters", a->n_fits ? (double)a->parameters : NAN);
	fit = cJSON_AddArrayToObject(o, "fits");
	for (int j = 0; j < a->n_fits; j++)
		cJSON_AddItemToArray(fit, cJSON_CreateString(f->model[a->fits[j]].dir));
	json_add_text(o, "why", a->n_fits ? NULL : a->why);
	return o;
}

static void print_adapter(const struct found *f, int i)
{
	const struct found_adapter *a = &f->adapter[i];

	print_name(base_name(a->dir), 24);
	if (a->n_fits) {
		printf(" r%-4d %8.2f M  fits ", a->rank, (double)a->parameters / 1e6);
		for (int j = 0; j < a->n_fits; j++) {
			fputs(j ? ", " : "", stdout);
			print_name(base_name(f->model[a->fits[j]].dir), 0);
		}
	} else {
		fputs(" fits none: ", stdout);
		db_print_line(stdout, a->why);
	}
	fputs("  ", stdout);
	print_name(a->dir, 0);
	putchar('\n');
}

static int run(const struct cmd *self, int argc, char **argv)
{
	static const struct option options[] = { { "json", no_argument, NULL, APP_JSON },
		                                 { "quiet", no_argument, NULL, APP_QUIET },
		                                 { "help", no_argument, NULL, APP_HELP },
		                                 { NULL, 0, NULL, 0 } };
	bool adapters = self == &cmd_adapters;
	struct found f = { 0 };
	struct err e = { 0 };
	struct app app;
	int opt, n;

	app_init(&app);
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":", options, NULL)) >= 0) {
		int rc = app_flag(&app, self, opt, optarg);
		if (rc == 2)
			return EXIT_DONE;
		if (rc != 1)
			return app_bad_flag(self, opt, argv);
	}
	app_find(&app);
	if (found_look(&f, &app, (const char *const *)argv + optind, argc - optind, NULL, &e) < 0)
		return app_fail(&e);
	n = adapters ? f.n_adapters : f.n_models;
	for (int i = 0; i < n; i++) {
		if (app.json) {
			cJSON *o = adapters ? adapter_json(&f, i) : model_json(&f, i);
			show_json_line(o);
			cJSON_Delete(o);
		} else if (adapters) {
			print_adapter(&f, i);
		} else {
			print_model(&f, i);
		}
	}
	if (f.more && !app.quiet)
		app_tell("there are more; at most %d are listed", FOUND_MAX);
	if (n == 0 && !app.quiet) {
		char *looked = show_name(buf_str(&f.looked));
		app_tell("no %s was found%s%s; name a folder that holds some, or put them in %s%s",
		         adapters ? "adapter" : "model", f.looked.len ? ", looked in: " : "",
		         f.looked.len && looked ? looked : "",
		         app.user_data[0] ? app.user_data : "XDG_DATA_HOME",
		         adapters ? "/adapters" : "/models");
		free(looked);
	}
	found_release(&f);
	return n ? EXIT_DONE : EXIT_NO;
}

#define FOUND_HELP                                                                                    \
	"  DIR ...           looked through first, two levels deep; then CADFORGE_MODEL's folder\n"   \
	"                    and the one it lies in, models/ and adapters/ of the user's data, and\n" \
	"                    those beside the program\n\n"                                            \
	"  --json            one JSON object a line\n"                                                \
	"  --quiet           nothing on standard error but errors\n"                                  \
	"  --help            this text\n"

const struct cmd cmd_models = {
	.name = "models",
	.usage = "models [DIR...] [--json]",
	.summary = "which models there are, and what they are",
	.help = FOUND_HELP
	"\nJSON: {dir, where, usable, why, parameters, layers, hidden, context, weight_bytes, "
	"adapters}.\n",
	.run = run,
};

const struct cmd cmd_adapters = {
	.name = "adapters",
	.usage = "adapters [DIR...] [--json]",
	.summary = "which adapters there are, and which models they fit",
	.help = FOUND_HELP "\nJSON: {dir, where, base_model, rank, parameters, fits, why}.\n",
	.run = run,
};
