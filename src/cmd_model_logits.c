/*
 * cmd_model_logits.c - `model logits`: what a model says at every position, as a file, so that
 * people can check us against other implementations.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/safetensors.h"
#include "src/app.h"
#include "src/base/json.h"
#include "src/cmd_model.h"
#include "src/model_flags.h"

enum flag { FLAG_IDS = APP_FLAGS_END, FLAG_IDS_FILE, FLAG_OUT };

struct work {
	struct app app;
	struct model_flags model;
	const char *ids, *ids_file, *out;
	int32_t *id;
	int n;
};

static int write_rows(const struct work *w, float *row, int vocabulary, struct err *e)
{
	struct tensor t = {
		.name = "logits",
		.dtype = DTYPE_F32,
		.n_dims = 2,
		.dims = { w->n, vocabulary },
		.n = (uint64_t)w->n * (uint64_t)vocabulary,
		.data = row,
	};

	t.bytes = t.n * sizeof(float);
	return tensors_write(w->out, &t, 1, NULL, e);
}

static int work(struct work *w, struct err *e)
{
	const struct gpu_ops ops = { .ctx = NULL };
	struct gpu_options o;
	float *row = NULL;
	int vocabulary = 0, rc = -1;

	if ((w->ids ? model_ids_parse(w->ids, "--ids", &w->id, &w->n, e)
	            : model_ids_read(w->ids_file, &w->id, &w->n, e)) < 0)
		return -1;
	app_find(&w->app);
	model_flags_options(&w->model, &w->app, &o);
	struct gpu *g = gpu_open(&o, &ops, e);
	if (!g)
		return -1;
	rc = gpu_logits(g, w->id, w->n, w->model.adapter, w->model.n_adapters, &row, &vocabulary,
	                e);
	gpu_close(g);
	if (rc == 0)
		rc = write_rows(w, row, vocabulary, e);
	free(row);
	if (rc < 0)
		return -1;
	if (w->app.json)
		printf("{\"rows\":%d,\"vocabulary\":%d}\n", w->n, vocabulary);
	else if (!w->app.quiet)
		printf("%s: logits [%d, %d] F32\n", w->out, w->n, vocabulary);
	return 0;
}

int model_logits(const struct cmd *self, int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, APP_JSON },
		{ "quiet", no_argument, NULL, APP_QUIET },
		{ "help", no_argument, NULL, APP_HELP },
		{ "ids", required_argument, NULL, FLAG_IDS },
		{ "ids-file", required_argument, NULL, FLAG_IDS_FILE },
		{ "out", required_argument, NULL, FLAG_OUT },
		MODEL_ONLY_OPTIONS,
		{ NULL, 0, NULL, 0 },
	};
	struct work *w = calloc(1, sizeof(*w));
	struct err e = { 0 };
	int opt, rc = EXIT_USAGE;

	if (!w)
		return app_fail((err_set(&e, ERR_MEM, "out of memory"), &e));
	app_init(&w->app);
	model_flags_init(&w->model);
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":o:", options, NULL)) >= 0) {
		int f = app_flag(&w->app, self, opt, optarg);
		if (f == 0)
			f = model_flag(&w->model, opt, optarg);
		if (f == 2)
			rc = EXIT_DONE;
		if (f == 2 || f < 0)
			goto out;
		if (opt == FLAG_IDS) {
			w->ids = optarg;
		} else if (opt == FLAG_IDS_FILE) {
			w->ids_file = optarg;
		} else if (opt == FLAG_OUT || opt == 'o') {
			w->out = optarg;
		} else if (f == 0) {
			app_bad_flag(self, opt, argv);
			goto out;
		}
	}
	if (optind < argc)
		w->model.model = argv[optind++];
	if (optind < argc) {
		app_usage(self, "'%s' is one too many", argv[optind]);
		goto out;
	}
	if (!w->model.model || (w->ids != NULL) + (w->ids_file != NULL) != 1 || !w->out) {
		app_usage(self,
		          "model logits: DIR, one of --ids and --ids-file, and --out FILE were "
		          "expected");
		goto out;
	}
	if (w->model.far) {
		app_usage(self, "--backend queue: workers draw answers and give no logits; auto, "
		                "cuda or cpu was expected");
		goto out;
	}
	rc = work(w, &e) < 0 ? app_fail(&e) : EXIT_DONE;
out:
	free(w->id);
	free(w);
	return rc;
}
