/*
 * report.c - trainings as a page: which are of which kind, and what they have in common.
 */
#include "src/report_inside.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void report_duration(char *out, size_t size, double s)
{
	if (!(s > 0))
		snprintf(out, size, "-");
	else if (s < 120)
		snprintf(out, size, "%.1f s", s);
	else if (s < 7200)
		snprintf(out, size, "%.1f min", s / 60);
	else
		snprintf(out, size, "%.2f h", s / 3600);
}

static void add_value(struct paper *p, const cJSON *v)
{
	struct buf text = { 0 };
	const cJSON *x;

	if (cJSON_IsString(v)) {
		/* a folder's name is enough, and its place is nobody's business */
		const char *slash = strrchr(v->valuestring, '/');
		buf_adds(&text, slash && slash[1] ? slash + 1 : v->valuestring);
	} else if (cJSON_IsArray(v)) {
		cJSON_ArrayForEach(x, v)
		{
			const char *slash = cJSON_IsString(x) ? strrchr(x->valuestring, '/') : NULL;
			if (text.len)
				buf_adds(&text, ", ");
			if (cJSON_IsString(x))
				buf_adds(&text, slash && slash[1] ? slash + 1 : x->valuestring);
			else
				json_print(&text, x);
		}
	} else {
		json_print(&text, v);
	}
	paper_cell(p, "%s", buf_str(&text));
	buf_release(&text);
}

void report_settings(struct paper *p, const char *of, const cJSON *settings, const cJSON *ready)
{
	static const char *const columns[] = { "setting", "value" };
	static const char *const passed[] = { "event",     "pid",        "program", "run",
		                              "trainable", "parameters", "out",     "policy" };
	const cJSON *v;

	paper_fold(p, "%s", of);
	paper_table(p, columns, 2);
	if (isfinite(json_number_or(ready, "trainable", NAN))) {
		paper_cell(p, "parameters that learn");
		paper_cell(p, "%.0f of %.0f", json_number_or(ready, "trainable", NAN),
		           json_number_or(ready, "parameters", NAN));
	}
	cJSON_ArrayForEach(v, settings)
	{
		paper_cell(p, "%s", v->string ? v->string : "?");
		add_value(p, v);
	}
	/* what followed from them */
	cJSON_ArrayForEach(v, ready)
	{
		bool told = !v->string || cJSON_IsArray(v) || cJSON_IsObject(v) ||
		            cJSON_IsNull(v) ||
		            cJSON_GetObjectItemCaseSensitive(settings, v->string);
		for (size_t i = 0; i < sizeof(passed) / sizeof(*passed) && !told; i++)
			told = strcmp(v->string, passed[i]) == 0;
		if (told)
			continue;
		paper_cell(p, "%s", v->string);
		add_value(p, v);
	}
	paper_table_end(p);
	paper_text(p, "What is not named here had its usual value ('cadforge train --help').");
	paper_fold_end(p);
}

struct read {
	struct sft_run *sft[REPORT_RUNS_MAX];
	struct grpo_run *grpo[REPORT_RUNS_MAX];
	int64_t eval[REPORT_RUNS_MAX];
	int n_sft, n_grpo, n_eval;
};

static int read_run(struct read *r, struct store *s, int64_t id, struct err *e)
{
	struct train_run row = { 0 };
	int is, rc = -1;

	if (train_run_read(s, id, &row, e) < 0)
		return -1;
	if (strcmp(row.kind, "eval") == 0) {
		r->eval[r->n_eval++] = id;
		rc = 0;
	} else if (!cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(row.about, "settings"))) {
		err_set(e, ERR_INPUT,
		        "run %" PRId64 " (%s) is no training, so there is nothing to report", id,
		        row.kind);
	} else if ((is = grpo_is(s, &row, e)) > 0) {
		r->grpo[r->n_grpo] = grpo_read(s, &row, e);
		rc = r->grpo[r->n_grpo] ? 0 : -1;
		r->n_grpo += rc == 0;
	} else if (is == 0) {
		r->sft[r->n_sft] = sft_read(s, &row, e);
		rc = r->sft[r->n_sft] ? 0 : -1;
		r->n_sft += rc == 0;
	}
	train_run_release(&row);
	return rc;
}

static void title_of(struct buf *out, const struct read *r, const int64_t *runs, int n)
{
	buf_adds(out, r->n_sft == 0 ? "Reinforcement learning, run" : "Training run");
	buf_adds(out, n > 1 ? "s " : " ");
	for (int i = 0; i < n; i++)
		buf_printf(out, "%s%" PRId64, i ? ", " : "", runs[i]);
}

/* In a folder of their own, since they are a page of their own. */
static int add_evaluations(struct report_work *w, const struct read *r, struct err *e)
{
	char dir[PATH_MAX];

	if (snprintf(dir, sizeof(dir), "%s/evaluations", w->o->out) >= (int)sizeof(dir))
		return err_set(e, ERR_INPUT, "%s: the name is too long", w->o->out);
	if (w->o->evaluations(w->s, r->eval, r->n_eval, dir, e) < 0)
		return -1;
	paper_heading(w->p, 2, "Evaluations");
	paper_link(w->p, "evaluations/README.md", "the evaluation%s, as a page of %s own",
	           r->n_eval > 1 ? "s" : "", r->n_eval > 1 ? "their" : "its");
	return 0;
}

int report_write(struct store *s, const int64_t *runs, int n, const struct report_options *o,
                 struct err *e)
{
	struct report_work w = { .o = o, .s = s };
	struct read r = { 0 };
	struct buf title = { 0 };
	int rc = -1;

	for (int i = 0; i < n; i++)
		if (read_run(&r, s, runs[i], e) < 0)
			goto out;
	if (r.n_eval && !o->evaluations) {
		err_set(e, ERR_INPUT, "run %" PRId64 " is an evaluation, and no training",
		        r.eval[0]);
		goto out;
	}
	if (r.n_eval == n) {
		rc = o->evaluations(s, r.eval, r.n_eval, o->out, e);
		goto out;
	}
	title_of(&title, &r, runs, n);
	w.p = paper_open(o->out, "cadforge report", buf_str(&title), e);
	if (!w.p)
		goto out;
	if (r.n_sft)
		sft_add(&w, r.sft, r.n_sft);
	if (r.n_grpo)
		grpo_add(&w, r.grpo, r.n_grpo);
	rc = r.n_eval ? add_evaluations(&w, &r, e) : 0;
	if (rc < 0)
		paper_drop(w.p);
	else
		rc = paper_close(w.p, e);
out:
	for (int i = 0; i < r.n_sft; i++)
		sft_release(r.sft[i]);
	for (int i = 0; i < r.n_grpo; i++)
		grpo_release(r.grpo[i]);
	buf_release(&title);
	return rc;
}
