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

enum {
	RUNS_LOOKED_AT = 16,
	SAMPLES_SHOWN = 24,
	RECENT = 20,
	CURVE = 240,
	ALARM_STEPS = 32, /* so long an alarm stays in sight: it is told again when it lasts */
};

/* What is kept of each step: of every training, then of reinforcement learning alone. */
enum curve {
	LOSS,
	LR,
	NORM,
	SPEED, /* tokens a second */
	BUILD_RATE,
	REWARD,
	KL,
	CLIPPED, /* share of answers */
	FLAT,    /* share of groups */
	ENTROPY,
	LENGTH,
	CURVES
};

/* The newest step of reinforcement learning. */
struct grpo_now {
	double reward, before, build_rate, answers, built, clipped, groups, flat, kl, entropy;
	double length, length_max, lost, wait_s, seconds, repairs, repair_built;
	double advantage_std;
	char best[32], worst[32], stage[16];
};

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
	/* reinforcement learning */
	bool grpo;
	int members;
	struct grpo_now now;
	double held_answers, held_built; /* of held-out tasks, the newest; NAN */
	int64_t held_step;
	int alarms;
	int64_t alarm_step;
	char alarm[640];
};

static void forget(struct wb_training *t)
{
	for (int i = 0; i < CURVES; i++)
		free(t->curve[i]);
	*t = (struct wb_training){ .loss = NAN,
		                   .lr = NAN,
		                   .norm = NAN,
		                   .eval_loss = NAN,
		                   .held_answers = NAN,
		                   .now = { .reward = NAN } };
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

static double share(double part, double of)
{
	return of > 0 ? part / of : NAN;
}

static void answer_text(char *out, size_t size, const cJSON *o)
{
	double episode = json_number_or(o, "episode", 0);

	*out = '\0';
	if (episode > 0)
		snprintf(out, size, "%.0f.%.0f %.3f", episode, json_number_or(o, "turn", 0),
		         json_number_or(o, "reward", NAN));
}

/* @o: a step's data, src/grpo.h. */
static void take_grpo(struct wb_training *t, const struct store_step *v, const cJSON *o)
{
	struct grpo_now *x = &t->now;
	double before = x->reward;

	t->grpo = true;
	*x = (struct grpo_now){ .reward = json_number_or(o, "reward", NAN),
		                .before = before,
		                .build_rate = json_number_or(o, "build_rate", NAN),
		                .answers = json_number_or(o, "answers", NAN),
		                .built = json_number_or(o, "built", NAN),
		                .clipped = json_number_or(o, "clipped", NAN),
		                .groups = json_number_or(o, "groups", NAN),
		                .flat = json_number_or(o, "flat", NAN),
		                .kl = json_number_or(o, "kl", NAN),
		                .entropy = json_number_or(o, "entropy", NAN),
		                .length = json_number_or(o, "length", NAN),
		                .length_max = json_number_or(o, "length_max", NAN),
		                .lost = json_number_or(o, "lost", NAN),
		                .wait_s = json_number_or(o, "wait_s", NAN),
		                .seconds = v->seconds,
		                .repairs = json_number_or(o, "repairs", NAN),
		                .repair_built = json_number_or(o, "repair_built", NAN),
		                .advantage_std = NAN };
	answer_text(x->best, sizeof(x->best), cJSON_GetObjectItemCaseSensitive(o, "best"));
	answer_text(x->worst, sizeof(x->worst), cJSON_GetObjectItemCaseSensitive(o, "worst"));
	snprintf(x->stage, sizeof(x->stage), "%s", json_string_or(o, "stage", ""));
}

static void take_step(struct wb_training *t, const struct store_step *v, const cJSON *o)
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
	t->curve[LOSS][t->n] = v->loss;
	t->curve[LR][t->n] = v->lr;
	t->curve[NORM][t->n] = v->norm;
	t->curve[SPEED][t->n] =
		v->seconds > 0 && v->tokens >= 0 ? (double)v->tokens / v->seconds : NAN;
	if (cJSON_GetObjectItemCaseSensitive(o, "build_rate"))
		take_grpo(t, v, o);
	t->curve[BUILD_RATE][t->n] = t->now.build_rate;
	t->curve[REWARD][t->n] = t->now.reward;
	t->curve[KL][t->n] = t->now.kl;
	t->curve[CLIPPED][t->n] = share(t->now.clipped, t->now.answers);
	t->curve[FLAT][t->n] = share(t->now.flat, t->now.groups);
	t->curve[ENTROPY][t->n] = t->now.entropy;
	t->curve[LENGTH][t->n] = t->now.length;
	t->n++;
	t->step = v->step;
	t->loss = v->loss;
	t->lr = v->lr;
	t->norm = v->norm;
	if (isfinite(v->seconds))
		t->took[t->n_took++ % RECENT] = v->seconds;
}

static void take_alarm(struct wb_training *t, int64_t step, const cJSON *o)
{
	const char *did = json_string_or(o, "done", "");

	t->alarms++;
	t->alarm_step = step;
	snprintf(t->alarm, sizeof(t->alarm), "%.16s, step %" PRId64 " (%.16s): %.400s%s%.160s",
	         json_string_or(o, "alarm", ""), step, json_string_or(o, "policy", "?"),
	         json_string_or(o, "text", ""), *did ? "; " : "", did);
}

struct spread {
	double n, sum, squares;
};

static int see_rollout(void *ctx, const struct store_rollout *v)
{
	struct spread *x = ctx;

	if (isfinite(v->advantage)) {
		x->n++;
		x->sum += v->advantage;
		x->squares += v->advantage * v->advantage;
	}
	return 0;
}

/* How far the advantages of the newest step are apart: it is in no step's own words. */
static int look_at_answers(struct wb_training *t, struct store *s, struct err *e)
{
	struct spread x = { 0 };
	double v;

	if (store_rollouts(s, t->run, t->step, t->step, see_rollout, &x, e) < 0)
		return -1;
	v = x.n > 1 ? (x.squares - x.sum * x.sum / x.n) / (x.n - 1) : NAN;
	t->now.advantage_std = v > 0 ? sqrt(v) : x.n > 1 ? 0 : NAN;
	return 0;
}

static int see_step(void *ctx, const struct store_step *v)
{
	struct wb_training *t = ctx;
	cJSON *o = NULL;

	t->last = v->number;
	if (v->data)
		o = json_parse(v->data, strlen(v->data), NULL);
	if (strcmp(v->kind, "step") == 0) {
		take_step(t, v, o);
	} else if (strcmp(v->kind, "ready") == 0) {
		t->steps = (int64_t)json_number_or(o, "steps", 0);
		t->members = (int)json_number_or(o, "members", 0);
		t->grpo |= t->members > 0;
		t->paused = false;
	} else if (strcmp(v->kind, "eval") == 0) {
		t->eval_loss = v->loss;
		t->held_answers = json_number_or(o, "answers", NAN);
		t->held_built = json_number_or(o, "built", NAN);
		t->held_step = v->step;
	} else if (strcmp(v->kind, "checkpoint") == 0) {
		const char *dir = json_string_or(o, "dir", ""), *slash = strrchr(dir, '/');
		snprintf(t->checkpoint, sizeof(t->checkpoint), "%s", slash ? slash + 1 : dir);
		t->checkpoint_step = v->step;
	} else if (strcmp(v->kind, "note") == 0) {
		t->paused = json_bool_or(o, "paused", t->paused);
		if (json_string_or(o, "alarm", NULL))
			take_alarm(t, v->step, o);
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
	if (t->grpo && t->n && t->step > 0 && look_at_answers(t, s, e) < 0)
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

static const struct {
	const char *name, *format;
	double lo, hi;
	bool share;
} curves[CURVES] = {
	[LOSS] = { "Loss", "%.3g", 0, 0, false },
	[LR] = { "Learning rate", "%.3g", 0, 0, false },
	[NORM] = { "Gradient norm", "%.3g", 0, 0, false },
	[SPEED] = { "Tokens a second", "%.0f", 0, 0, false },
	[BUILD_RATE] = { "Build rate", "%.1f %%", 0, 1, true },
	[REWARD] = { "Mean reward", "%.3f", -1, 1, false },
	[KL] = { "KL to the reference", "%.4f", 0, 0, false },
	[CLIPPED] = { "Clipped answers", "%.1f %%", 0, 1, true },
	[FLAT] = { "Groups that teach nothing", "%.1f %%", 0, 1, true },
	[ENTROPY] = { "Entropy", "%.3f", 0, 0, false },
	[LENGTH] = { "Tokens an answer", "%.0f", 0, 0, false },
};
static const enum curve of_sft[] = { LOSS, LR, NORM, SPEED };
static const enum curve of_grpo[] = {
	BUILD_RATE, REWARD, KL, CLIPPED, FLAT, LENGTH, ENTROPY, NORM
};

/* At most CURVE points of @v, each the mean of as many steps as the others. */
static void curve_of(struct workbench *w, const struct wb_training *t, enum curve i,
                     struct view_curve *out)
{
	int n = t->n < CURVE ? t->n : CURVE;
	double *v = wb_array(w, double, n);

	*out = (struct view_curve){
		.name = curves[i].name,
		.first = t->first,
		.last = t->step,
		.now = "",
		.lo = curves[i].lo,
		.hi = curves[i].hi,
		.share = curves[i].share,
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
	if (t->n && isfinite(t->curve[i][t->n - 1])) {
		double now = t->curve[i][t->n - 1] * (curves[i].share ? 100 : 1);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		out->now = wb_text(w, curves[i].format, now);
#pragma GCC diagnostic pop
	}
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

static const char *percent(struct workbench *w, double v)
{
	return isfinite(v) ? wb_text(w, "%.0f %%", 100 * v) : "-";
}

/* The most needed first: a small screen has room for six. */
static void view_grpo_facts(struct workbench *w, const struct wb_training *t,
                            struct view_curriculum *out)
{
	const struct grpo_now *x = &t->now;
	struct view_fact *f = wb_array(w, struct view_fact, 20);
	int n = 0;

	if (!f)
		return;
#define FACT(label, ...)                                                                           \
	f[n++] = (struct view_fact)                                                                \
	{                                                                                          \
		label, wb_text(w, __VA_ARGS__)                                                     \
	}
	if (isfinite(t->loss))
		FACT("loss", "%.4f", t->loss);
	if (isfinite(x->reward) && isfinite(x->before))
		FACT("mean reward", "%.3f %+.3f", x->reward, x->reward - x->before);
	else if (isfinite(x->reward))
		FACT("mean reward", "%.3f", x->reward);
	if (isfinite(x->built))
		FACT("build rate", "%.0f/%.0f", x->built,
		     x->answers - (isfinite(x->lost) ? x->lost : 0));
	if (isfinite(x->clipped))
		FACT("clipped", "%.0f", x->clipped);
	if (isfinite(x->advantage_std))
		FACT("advantage std", "%.2f", x->advantage_std);
	if (t->checkpoint[0])
		FACT("checkpoint", "%" PRId64, t->checkpoint_step);
	if (isfinite(x->groups))
		FACT("groups", "%.0f, %.0f flat", x->groups, x->flat);
	if (x->lost > 0)
		FACT("lost", "%.0f", x->lost);
	if (isfinite(x->length))
		FACT("length", "%.0f, %.0f at most", x->length, x->length_max);
	if (isfinite(x->kl))
		FACT("kl", "%.4f", x->kl);
	if (isfinite(x->entropy))
		FACT("entropy", "%.3f", x->entropy);
	if (isfinite(t->norm))
		FACT("gradient norm", "%.3g", t->norm);
	if (isfinite(x->wait_s) && x->seconds > 0)
		f[n++] = (struct view_fact){ "waited for builds",
			                     percent(w, x->wait_s / x->seconds) };
	if (x->repairs > 0)
		FACT("repairs", "%.0f, %s built", x->repairs, percent(w, x->repair_built));
	if (x->stage[0])
		FACT("stage", "%s", x->stage);
	if (isfinite(t->held_answers))
		FACT("held out", "%.0f/%.0f built, step %" PRId64, t->held_built, t->held_answers,
		     t->held_step);
	if (x->best[0])
		FACT("best", "%s", x->best);
	if (x->worst[0])
		FACT("worst", "%s", x->worst);
	if (t->alarms)
		FACT("alarms", "%d, step %" PRId64, t->alarms, t->alarm_step);
#undef FACT
	out->step = f;
	out->n_step = n;
}

static void view_grpo(struct workbench *w, const struct wb_training *t, struct view_curriculum *out,
                      double s, const char *left)
{
	const char *kl = isfinite(t->now.kl) ? wb_text(w, "   kl %.3f", t->now.kl) : "";

	out->run = wb_text(
		w, "%s step %" PRId64 "/%" PRId64 "   group %d   lr %.1e%s   %.1f s/step   ETA %s",
		t->kind, t->step, t->steps, t->members, t->lr, kl, s, t->paused ? "-" : left);
	if (t->alarm[0] && t->step - t->alarm_step < ALARM_STEPS)
		out->alarm = wb_text(w, "%s", t->alarm);
	view_grpo_facts(w, t, out);
}

void wb_training_view(struct workbench *w, const struct wb_training *t, struct view_curriculum *out)
{
	const enum curve *which = t && t->grpo ? of_grpo : of_sft;
	int n = t && t->grpo ? (int)(sizeof(of_grpo) / sizeof(*of_grpo))
	                     : (int)(sizeof(of_sft) / sizeof(*of_sft));
	struct view_curve *v;
	char left[32];
	double s;

	if (!t || !t->run || !t->works)
		return;
	s = seconds_a_step(t);
	left_text(left, sizeof(left), s * (double)(t->steps - t->step));
	out->paused = t->paused;
	if (t->n == 0)
		out->run = wb_text(w, "%s begins, %" PRId64 " steps", t->kind, t->steps);
	else if (t->grpo)
		view_grpo(w, t, out, s, left);
	else
		out->run =
			wb_text(w,
		                "%s step %" PRId64 "/%" PRId64
		                "   loss %.4f   lr %.1e   %.0f tok/s   ETA %s",
		                t->kind, t->step, t->steps, t->loss, t->lr,
		                isfinite(t->curve[SPEED][t->n - 1]) ? t->curve[SPEED][t->n - 1] : 0,
		                t->paused ? "-" : left);
	if (!t->grpo)
		view_facts(w, t, out);
	v = wb_array(w, struct view_curve, n);
	for (int i = 0; v && i < n; i++)
		curve_of(w, t, which[i], &v[i]);
	out->curve = v;
	out->n_curve = v ? n : 0;
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
