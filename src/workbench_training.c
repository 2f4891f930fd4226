/*
 * workbench_training.c - the training at work as the Curriculum screen shows it.
 */
#include "src/workbench_training.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/training_run.h"

enum { RUNS_LOOKED_AT = 16, SAMPLES_SHOWN = 24, RECENT = 20, CURVE = 240, CURVES = 4 };

struct sampled {
	int64_t episode, step;
	bool built;
	double total;
	char task[64];
};

struct wb_training {
	int64_t run; /* 0: none is at work */
	bool works, paused;
	char kind[32], out[4096], checkpoint[256];
	int last; /* number of the row read last */
	int64_t step, steps, checkpoint_step, last_sample;
	double loss, lr, norm, eval_loss;
	double *curve[CURVES]; /* loss, lr, norm, tokens a second, by step */
	int n, cap;
	int64_t first; /* step of the first point */
	double took[RECENT];
	int n_took;
	struct sampled sample[SAMPLES_SHOWN]; /* of the newest step that has any */
	int n_samples, samples, samples_built;
	bool failed;
};

static void forget(struct wb_training *t)
{
	for (int i = 0; i < CURVES; i++)
		free(t->curve[i]);
	*t = (struct wb_training){ .loss = NAN, .lr = NAN, .norm = NAN, .eval_loss = NAN };
}

/* ---- reading ---- */

struct found {
	int64_t run;
	char kind[32], out[4096];
};

static int see_run(void *ctx, const struct store_run *x)
{
	struct found *f = ctx;
	cJSON *about;
	const char *out;

	if (x->ended_us || !x->settings)
		return 0;
	about = json_parse(x->settings, strlen(x->settings), NULL);
	out = json_string_or(cJSON_GetObjectItemCaseSensitive(about, "settings"), "out", NULL);
	if (out && training_run_alive(out) == 1) {
		f->run = x->id;
		snprintf(f->kind, sizeof(f->kind), "%s", x->kind);
		snprintf(f->out, sizeof(f->out), "%s", out);
	}
	cJSON_Delete(about);
	return f->run != 0;
}

static bool room(struct wb_training *t)
{
	int cap = t->cap ? 2 * t->cap : 256;

	if (t->n < t->cap)
		return true;
	for (int i = 0; i < CURVES; i++) {
		double *more = realloc(t->curve[i], (size_t)cap * sizeof(*more));
		if (!more)
			return false;
		t->curve[i] = more;
	}
	t->cap = cap;
	return true;
}

static void take_step(struct wb_training *t, const struct store_step *v)
{
	/* a run that went on takes some steps again */
	if (t->n > 0 && v->step - t->first < t->n)
		t->n = v->step > t->first ? (int)(v->step - t->first) : 0;
	if (t->n == 0)
		t->first = v->step;
	if (!room(t)) {
		t->failed = true;
		return;
	}
	t->curve[0][t->n] = v->loss;
	t->curve[1][t->n] = v->lr;
	t->curve[2][t->n] = v->norm;
	t->curve[3][t->n] = v->seconds > 0 && v->tokens >= 0 ? (double)v->tokens / v->seconds : NAN;
	t->n++;
	t->step = v->step;
	t->loss = v->loss;
	t->lr = v->lr;
	t->norm = v->norm;
	if (isfinite(v->seconds))
		t->took[t->n_took++ % RECENT] = v->seconds;
}

static int see_step(void *ctx, const struct store_step *v)
{
	struct wb_training *t = ctx;
	cJSON *o = NULL;

	t->last = v->number;
	if (v->data && strcmp(v->kind, "step") != 0)
		o = json_parse(v->data, strlen(v->data), NULL);
	if (strcmp(v->kind, "step") == 0) {
		take_step(t, v);
	} else if (strcmp(v->kind, "ready") == 0) {
		t->steps = (int64_t)json_number_or(o, "steps", 0);
		t->paused = false;
	} else if (strcmp(v->kind, "eval") == 0) {
		t->eval_loss = v->loss;
	} else if (strcmp(v->kind, "checkpoint") == 0) {
		const char *dir = json_string_or(o, "dir", ""), *slash = strrchr(dir, '/');
		snprintf(t->checkpoint, sizeof(t->checkpoint), "%s", slash ? slash + 1 : dir);
		t->checkpoint_step = v->step;
	} else if (strcmp(v->kind, "note") == 0) {
		t->paused = json_bool_or(o, "paused", t->paused);
	}
	cJSON_Delete(o);
	return 0;
}

static int see_sample(void *ctx, const struct store_sample *v)
{
	struct wb_training *t = ctx;
	struct sampled *x;

	/* by step: the newest are the last */
	if (t->n_samples == 0 || t->sample[0].step != v->step)
		t->n_samples = t->samples = t->samples_built = 0;
	t->samples++;
	t->samples_built += v->built;
	if (t->n_samples == SAMPLES_SHOWN)
		return 0;
	x = &t->sample[t->n_samples++];
	*x = (struct sampled){
		.episode = v->episode, .step = v->step, .built = v->built, .total = v->total
	};
	snprintf(x->task, sizeof(x->task), "%s", v->task);
	return 0;
}

int wb_training_look(struct wb_training **at, struct store *s, struct err *e)
{
	struct wb_training *t = *at;
	struct found f = { 0 };

	if (!t) {
		t = *at = calloc(1, sizeof(*t));
		if (!t)
			return err_set(e, ERR_MEM, "out of memory");
		forget(t);
	}
	if (store_runs(s, 0, RUNS_LOOKED_AT, see_run, &f, e) < 0)
		return -1;
	if (f.run != t->run) {
		forget(t);
		t->run = f.run;
		memcpy(t->kind, f.kind, sizeof(t->kind));
		memcpy(t->out, f.out, sizeof(t->out));
	}
	t->works = f.run != 0;
	if (!t->run)
		return 0;
	if (store_steps(s, t->run, t->last, INT_MAX, see_step, t, e) < 0 ||
	    store_samples(s, t->run, 0, see_sample, t, e) < 0)
		return -1;
	return t->failed ? err_set(e, ERR_MEM, "no memory for %d steps", t->n) : 0;
}

bool wb_training_works(struct wb_training *t, bool *changed)
{
	bool works = t && t->run && training_run_alive(t->out) == 1;

	*changed = t && works != t->works;
	if (t)
		t->works = works;
	return works;
}

/* ---- what is to be seen ---- */

static double seconds_a_step(const struct wb_training *t)
{
	int n = t->n_took < RECENT ? t->n_took : RECENT;
	double sum = 0;

	for (int i = 0; i < n; i++)
		sum += t->took[i];
	return n ? sum / n : NAN;
}

static void left_text(char *out, size_t size, double s)
{
	if (!isfinite(s))
		snprintf(out, size, "-");
	else if (s < 90)
		snprintf(out, size, "%.0fs", s);
	else if (s < 5400)
		snprintf(out, size, "%.0fm", s / 60);
	else
		snprintf(out, size, "%.1fh", s / 3600);
}

/* At most CURVE points of @v, each the mean of as many steps as the others. */
static void curve_of(struct workbench *w, const struct wb_training *t, int i,
                     struct view_curve *out)
{
	static const char *const names[] = { "Loss", "Learning rate", "Gradient norm",
		                             "Tokens a second" };
	int n = t->n < CURVE ? t->n : CURVE;
	double *v = wb_array(w, double, n);

	*out = (struct view_curve){
		.name = names[i], .first = t->first, .last = t->step, .now = ""
	};
	if (!v)
		return;
	for (int k = 0; k < n; k++) {
		int from = (int)((int64_t)k * t->n / n), to = (int)((int64_t)(k + 1) * t->n / n);
		double sum = 0;
		int m = 0;
		for (int j = from; j < to; j++)
			if (isfinite(t->curve[i][j])) {
				sum += t->curve[i][j];
				m++;
			}
		v[k] = m ? sum / m : NAN;
	}
	out->v = v;
	out->n = n;
	if (t->n && isfinite(t->curve[i][t->n - 1]))
		out->now = wb_text(w, i == 3 ? "%.0f" : "%.3g", t->curve[i][t->n - 1]);
}

static void view_facts(struct workbench *w, const struct wb_training *t,
                       struct view_curriculum *out)
{
	struct view_fact *f = wb_array(w, struct view_fact, 8 + t->n_samples);
	double s = seconds_a_step(t);
	int n = 0;

	if (!f)
		return;
	f[n++] = (struct view_fact){ "loss", wb_text(w, "%.4f", t->loss) };
	if (isfinite(t->eval_loss))
		f[n++] = (struct view_fact){ "held out", wb_text(w, "%.4f", t->eval_loss) };
	f[n++] = (struct view_fact){ "learning rate", wb_text(w, "%.2g", t->lr) };
	f[n++] = (struct view_fact){ "gradient norm", wb_text(w, "%.3g", t->norm) };
	if (isfinite(s))
		f[n++] = (struct view_fact){ "a step", wb_text(w, "%.2f s", s) };
	if (t->checkpoint[0])
		f[n++] = (struct view_fact){ "checkpoint",
			                     wb_text(w, "%" PRId64, t->checkpoint_step) };
	if (t->samples)
		f[n++] = (struct view_fact){ wb_text(w, "step %" PRId64 " answers: %d/%d built",
			                             t->sample[0].step, t->samples_built,
			                             t->samples),
			                     NULL };
	for (int i = 0; i < t->n_samples; i++) {
		const struct sampled *x = &t->sample[i];
		f[n++] = (struct view_fact){
			wb_text(w, "%s", x->task),
			!x->built ? wb_text(w, "x %" PRId64, x->episode)
			: isfinite(x->total)
				? wb_text(w, "+ %" PRId64 " %.2f", x->episode, x->total)
				: wb_text(w, "+ %" PRId64, x->episode),
		};
	}
	out->step = f;
	out->n_step = n;
}

void wb_training_view(struct workbench *w, const struct wb_training *t, struct view_curriculum *out)
{
	struct view_curve *curves;
	char left[32];
	double s;

	if (!t || !t->run || !t->works)
		return;
	s = seconds_a_step(t);
	left_text(left, sizeof(left), s * (double)(t->steps - t->step));
	out->paused = t->paused;
	if (t->n == 0)
		out->run = wb_text(w, "%s begins, %" PRId64 " steps", t->kind, t->steps);
	else
		out->run = wb_text(w,
		                   "%s step %" PRId64 "/%" PRId64
		                   "   loss %.4f   lr %.1e   %.0f tok/s   ETA %s",
		                   t->kind, t->step, t->steps, t->loss, t->lr,
		                   isfinite(t->curve[3][t->n - 1]) ? t->curve[3][t->n - 1] : 0,
		                   t->paused ? "-" : left);
	view_facts(w, t, out);
	curves = wb_array(w, struct view_curve, CURVES);
	for (int i = 0; curves && i < CURVES; i++)
		curve_of(w, t, i, &curves[i]);
	out->curve = curves;
	out->n_curve = curves ? CURVES : 0;
}

const char *wb_training_ask(struct wb_training *t, const char *word, struct err *e)
{
	if (!t || !t->run) {
		err_set(e, ERR_USAGE,
		        "no training works on this database: 'cadforge train sft' begins one");
		return NULL;
	}
	if (strcmp(word, "pause") == 0 && t->paused)
		word = "go on";
	return training_run_ask(t->out, word, e) < 0 ? NULL : word;
}

void wb_training_close(struct wb_training *t)
{
	if (t)
		forget(t);
	free(t);
}
