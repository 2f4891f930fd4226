/*
 * cmd_model_merge.c - `model merge`: an adapter put into its base's weights; `model diff`: what is
 * not the same in two models or adapters.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/model_diff.h"
#include "gpu/model_write.h"
#include "src/app.h"
#include "src/base/json.h"
#include "src/base/utf8.h"
#include "src/cmd_model.h"
#include "src/show.h"

enum { SHOWN = 20 }; /* differences, without --all */

enum flag { DTYPE = APP_FLAGS_END, MODEL, ALL };

struct asked {
	struct app app;
	enum dtype dtype;
	const char *base;
	bool all;
};

/* 0; a status to exit with, or -1 for 0. */
static int read_flags(struct asked *k, const struct cmd *self, const struct option *options,
                      int argc, char **argv)
{
	int opt;

	*k = (struct asked){ .dtype = DTYPE_OTHER };
	app_init(&k->app);
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":", options, NULL)) >= 0) {
		int rc = app_flag(&k->app, self, opt, optarg);
		if (rc == 2 || rc < 0)
			return rc == 2 ? -1 : EXIT_USAGE;
		if (rc == 1)
			continue;
		if (opt == ALL) {
			k->all = true;
		} else if (opt == MODEL) {
			k->base = optarg;
		} else if (opt != DTYPE) {
			app_bad_flag(self, opt, argv);
			return EXIT_USAGE;
		} else if (strcmp(optarg, "f32") == 0) {
			k->dtype = DTYPE_F32;
		} else if (strcmp(optarg, "bf16") == 0) {
			k->dtype = DTYPE_BF16;
		} else {
			return app_usage(self, "--dtype: f32 or bf16 is expected, got '%.40s'",
			                 optarg);
		}
	}
	return 0;
}

static void add_hash(cJSON *o, const char *key, const unsigned char hash[32])
{
	char hex[65];

	for (int i = 0; i < 32; i++)
		snprintf(hex + 2 * i, 3, "%02x", hash[i]);
	cJSON_AddStringToObject(o, key, hex);
}

static void print_clean(const char *text)
{
	struct buf b = { 0 };

	utf8_clean_line(&b, text, strlen(text));
	fputs(buf_str(&b), stdout);
	buf_release(&b);
}

int model_merge_word(const struct cmd *self, int argc, char **argv)
{
	static const struct option options[] = { { "json", no_argument, NULL, APP_JSON },
		                                 { "quiet", no_argument, NULL, APP_QUIET },
		                                 { "help", no_argument, NULL, APP_HELP },
		                                 { "dtype", required_argument, NULL, DTYPE },
		                                 { NULL, 0, NULL, 0 } };
	struct asked k;
	struct model m;
	struct err e = { 0 };
	int rc = read_flags(&k, self, options, argc, argv);

	if (rc != 0)
		return rc < 0 ? EXIT_DONE : rc;
	if (argc - optind != 3)
		return app_usage(self, "three folders are expected: model merge BASE ADAPTER OUT");
	const char *out = argv[optind + 2];
	app_catch_interrupt();
	const struct merge_options o = { .dtype = k.dtype, .stop = app_interrupted };
	if (model_merge(argv[optind], argv[optind + 1], out, &o, &e) < 0 ||
	    model_open(&m, out, &e) < 0)
		return app_fail(&e);
	uint64_t bytes = 0;
	for (int i = 0; i < m.tensors.n_files; i++)
		bytes += m.tensors.file[i].bytes;
	if (k.app.json) {
		cJSON *said = cJSON_CreateObject();
		show_add_path(said, "dir", out);
		cJSON_AddNumberToObject(said, "parameters", (double)config_parameters(&m.config));
		cJSON_AddNumberToObject(said, "files", m.tensors.n_files);
		cJSON_AddNumberToObject(said, "bytes", (double)bytes);
		add_hash(said, "hash", m.hash);
		show_json_line(said);
		cJSON_Delete(said);
	} else if (!k.app.quiet) {
		print_clean(out);
		printf(": %" PRIu64 " parameters, %.1f MB in %d %s\n", config_parameters(&m.config),
		       (double)bytes / 1e6, m.tensors.n_files,
		       m.tensors.n_files == 1 ? "file" : "files");
	}
	model_close(&m);
	return EXIT_DONE;
}

/* ---- diff ---- */

static double figure(const cJSON *o, const char *key)
{
	return json_number_or(o, key, NAN);
}

static void print_value(const cJSON *v)
{
	struct buf text = { 0 }, clean = { 0 };

	if (cJSON_IsNull(v))
		buf_adds(&text, "nothing");
	else
		json_print(&text, v);
	utf8_clean_line(&clean, buf_str(&text), text.len < 60 ? text.len : 60);
	printf("%s%s", buf_str(&clean), text.len > 60 ? "..." : "");
	buf_release(&text);
	buf_release(&clean);
}

static void print_difference(const cJSON *o)
{
	const char *what = json_string_or(o, "what", "");

	fputs("  ", stdout);
	if (strcmp(what, "values") != 0) {
		print_clean(json_string_or(o, "name", ""));
		bool a = strcmp(what, "only in a") == 0, b = strcmp(what, "only in b") == 0;
		printf(": %s", a ? "only in the first" : b ? "only in the second" : what);
		if (strcmp(what, "shape") == 0 || strcmp(what, "dtype") == 0)
			printf(", %s %s and %s %s", json_string_or(o, "dtype_a", ""),
			       json_string_or(o, "shape_a", ""), json_string_or(o, "dtype_b", ""),
			       json_string_or(o, "shape_b", ""));
		putchar('\n');
		return;
	}
	if (cJSON_GetObjectItemCaseSensitive(o, "norm_difference"))
		printf("%8.3g %% of %-9.4g ", 100 * figure(o, "relative"), figure(o, "norm_a"));
	print_clean(json_string_or(o, "name", ""));
	if (cJSON_GetObjectItemCaseSensitive(o, "rank_a"))
		printf(", ranks %.0f and %.0f, cosine %.3f", figure(o, "rank_a"),
		       figure(o, "rank_b"), figure(o, "cosine"));
	else if (cJSON_GetObjectItemCaseSensitive(o, "n"))
		printf(", %.0f of %.0f values, by %.3g at most", figure(o, "differing"),
		       figure(o, "n"), figure(o, "largest"));
	putchar('\n');
}

static void print_diff(const cJSON *o, bool adapters, bool all)
{
	const cJSON *v, *list = cJSON_GetObjectItemCaseSensitive(o, "differences");
	const char *what = adapters ? "modules" : "tensors";
	int n = 0, total = cJSON_GetArraySize(list);

	cJSON_ArrayForEach(v, cJSON_GetObjectItemCaseSensitive(o, "fields"))
	{
		if (n++ == 0)
			printf("%s:\n", adapters ? "adapter_config.json" : "config.json");
		fputs("  ", stdout);
		print_clean(json_string_or(v, "field", ""));
		fputs(": ", stdout);
		print_value(cJSON_GetObjectItemCaseSensitive(v, "a"));
		fputs(" and ", stdout);
		print_value(cJSON_GetObjectItemCaseSensitive(v, "b"));
		putchar('\n');
	}
	printf("%.0f %s: %.0f equal, %.0f changed, %.0f only in the first, %.0f only in the "
	       "second\n",
	       figure(o, what), what, figure(o, "equal"), figure(o, "changed"), figure(o, "only_a"),
	       figure(o, "only_b"));
	if (total > 0 && adapters)
		puts("difference of what they add to a layer (s B A), of the first's norm:");
	else if (total > 0)
		puts("difference, of the first's norm:");
	n = 0;
	cJSON_ArrayForEach(v, list)
	{
		if (all || n < SHOWN)
			print_difference(v);
		n++;
	}
	if (!all && total > SHOWN)
		printf("  and %d more: --all shows them\n", total - SHOWN);
}

static bool is_adapter(const char *dir)
{
	return model_has_file(dir, "adapter_config.json") && !model_has_file(dir, "config.json");
}

/* The config of the base of one of the two adapters. */
static int open_base(struct model *m, const struct asked *k, const char *a, const char *b,
                     struct err *e)
{
	struct buf dir = { 0 };
	struct err first = { 0 };
	int rc;

	if (k->base)
		return model_open(m, k->base, e);
	rc = model_find_base(&dir, a, &first);
	if (rc < 0) {
		buf_clear(&dir);
		rc = model_find_base(&dir, b, e);
	}
	if (rc < 0)
		err_set(e, ERR_INPUT,
		        "%.160s and %.160s are adapters of a base that is not found: name it with "
		        "--model",
		        a, b);
	else
		rc = model_open(m, buf_str(&dir), e);
	buf_release(&dir);
	return rc;
}

int model_diff_word(const struct cmd *self, int argc, char **argv)
{
	static const struct option options[] = { { "json", no_argument, NULL, APP_JSON },
		                                 { "quiet", no_argument, NULL, APP_QUIET },
		                                 { "help", no_argument, NULL, APP_HELP },
		                                 { "model", required_argument, NULL, MODEL },
		                                 { "all", no_argument, NULL, ALL },
		                                 { NULL, 0, NULL, 0 } };
	struct asked k;
	struct model m = { 0 };
	struct err e = { 0 };
	cJSON *o = NULL;
	int rc = read_flags(&k, self, options, argc, argv);

	if (rc != 0)
		return rc < 0 ? EXIT_DONE : rc;
	if (argc - optind != 2)
		return app_usage(self, "two folders are expected: model diff A B");
	const char *a = argv[optind], *b = argv[optind + 1];
	bool adapters = is_adapter(a);
	if (adapters != is_adapter(b)) {
		err_set(&e, ERR_INPUT,
		        "%.160s is an adapter, %.160s is not: two models or two adapters are "
		        "expected",
		        adapters ? a : b, adapters ? b : a);
		return app_fail(&e);
	}
	if (!adapters)
		o = model_diff(a, b, &e);
	else if (open_base(&m, &k, a, b, &e) == 0)
		o = adapter_diff(a, b, &m.config, &e);
	model_close(&m);
	if (!o)
		return app_fail(&e);
	const char *what = adapters ? "modules" : "tensors";
	bool same = figure(o, "equal") == figure(o, what) &&
	            cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(o, "fields")) == 0;
	if (k.app.json)
		show_json_line(o);
	else if (!k.app.quiet)
		print_diff(o, adapters, k.all);
	cJSON_Delete(o);
	return same ? EXIT_DONE : EXIT_NO;
}
