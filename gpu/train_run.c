#include "gpu/train_run.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/learner.h"
#include "gpu/random_weight.h"
#include "src/base/clock.h"
#include "src/base/json.h"

enum {
	LINES_SAID = 8, /* of a batch that failed */
	CALM_STEPS = 20 /* before a loss can be a spike, and between two that are told of */
};

struct train_run {
	struct learner l; /* what every run has */
	struct train_settings s;
	struct dataset data, eval;
	struct order *order;
	bool evaluated; /* at l.step */
	/* how fast and how well it goes: for people, nothing depends on it */
	double tokens_rate, seconds_rate; /* fading sums */
	double eval_s;
	double usual; /* loss, fading mean; NAN before the first */
	int64_t spike;
};

static int64_t steps_of(const struct train_run *r)
{
	return order_steps(r->order);
}

/* ---- telling ---- */

static void hex(const unsigned char hash[SHA256_BYTES], char out[SHA256_HEX])
{
	for (int i = 0; i < SHA256_BYTES; i++)
		snprintf(out + 2 * i, 3, "%02x", hash[i]);
}

static void say_ready(struct train_run *r)
{
	cJSON *o = learner_ready(&r->l);

	cJSON_AddNumberToObject(o, "samples", r->data.samples);
	cJSON_AddNumberToObject(o, "eval_samples", r->eval.samples);
	cJSON_AddNumberToObject(o, "tokens", (double)order_tokens(r->order, steps_of(r)));
	cJSON_AddNumberToObject(o, "steps", (double)steps_of(r));
	cJSON_AddItemToObject(o, "data", dataset_describe(&r->data));
	if (r->eval.samples > 0)
		cJSON_AddItemToObject(o, "eval_data", dataset_describe(&r->eval));
	learner_tell(&r->l, "ready", o);
}

/* ---- passes ---- */

struct passing {
	struct train_run *r;
	const struct dataset *d;
	float coef; /* of every label; 0: forward alone */
	uint64_t seed;
	double sum;    /* of -log p */
	int64_t bad;   /* a line whose log p is no number, 0: none */
	uint64_t pass; /* passes so far */
	bool stopped;
};

static int one_pass(void *ctx, const int32_t *sample, int n, struct err *e)
{
	struct passing *p = ctx;
	struct train_run *r = p->r;
	struct train_batch b = {
		.samples = n, .id = r->l.id, .label = r->l.label, .start = r->l.start
	};

	if (p->pass > 0 && (r->l.ops.wants(r->l.ops.ctx, false) & TRAIN_WANT_STOP)) {
		p->stopped = true;
		return -1; /* no error */
	}
	r->l.start[0] = 0;
	for (int i = 0; i < n; i++) {
		const struct sample *s = &p->d->sample[sample[i]];
		memcpy(r->l.id + b.n, p->d->id + s->at, (size_t)s->n * sizeof(*r->l.id));
		memcpy(r->l.label + b.n, p->d->label + s->at, (size_t)s->n * sizeof(*r->l.label));
		b.n += s->n;
		r->l.start[i + 1] = b.n;
	}
	for (int i = 0; i < b.n; i++)
		r->l.coef[i] = r->l.label[i] >= 0 ? p->coef : 0;
	b.seed = random_weight_key(p->seed, p->pass++);
	if (learner_act(&r->l)->pass(r->l.trainer, &b, p->coef != 0 ? r->l.coef : NULL, r->l.logp,
	                             e) < 0)
		return -1;
	for (int i = 0; i < n; i++) {
		for (int k = r->l.start[i]; k < r->l.start[i + 1]; k++) {
			if (r->l.label[k] < 0)
				continue;
			p->sum -= (double)r->l.logp[k];
			if (!isfinite(r->l.logp[k]) && !p->bad)
				p->bad = p->d->sample[sample[i]].line;
		}
	}
	return 0;
}

/* The trainer says how many rows would do; here, which settings they are. */
static void advise(const struct train_run *r, struct err *e)
{
	int longest = r->data.longest > r->eval.longest ? r->data.longest : r->eval.longest;
	char text[sizeof(e->text)];

	if (e->kind != ERR_MEM)
		return;
	snprintf(text, sizeof(text), "%s", e->text);
	err_set(e, ERR_MEM,
	        "%.300s. Settings: pass_rows (a pass has up to %d tokens now), %slongest (now %d "
	        "in the data; a pass has no less)",
	        text, r->l.rows, r->s.recompute ? "" : "recompute (now false), ", longest);
}

/* ---- evaluation ---- */

/* 0; 1: stopped on the way; -1. */
static int evaluate(struct train_run *r, struct err *e)
{
	struct passing p = { .r = r, .d = &r->eval };
	double since = clock_now_s();

	if (r->eval.samples == 0 || r->evaluated)
		return 0;
	if (order_passes_of_all(&r->eval, r->l.rows, one_pass, &p, e) < 0) {
		if (p.stopped)
			return 1;
		advise(r, e);
		return -1;
	}
	r->eval_s = clock_now_s() - since;
	r->evaluated = true;
	cJSON *o = cJSON_CreateObject();
	cJSON_AddNumberToObject(o, "step", (double)r->l.step);
	json_add_figure(o, "loss", p.sum / (double)r->eval.labels);
	cJSON_AddNumberToObject(o, "labels", (double)r->eval.labels);
	cJSON_AddNumberToObject(o, "seconds", r->eval_s);
	learner_tell(&r->l, "eval", o);
	return 0;
}

/* ---- checkpoints ---- */

static cJSON *state_of(const struct train_run *r)
{
	cJSON *o = cJSON_CreateObject();
	char text[SHA256_HEX];

	hex(r->data.hash, text);
	cJSON_AddStringToObject(o, "data_hash", text);
	cJSON_AddNumberToObject(o, "tokens", (double)order_tokens(r->order, r->l.step));
	json_add_figure(o, "usual_loss", r->usual);
	cJSON_AddBoolToObject(o, "evaluated", r->evaluated);
	return o;
}

static void save_on_the_way(struct train_run *r)
{
	cJSON *state = state_of(r);

	learner_save(&r->l, state);
	cJSON_Delete(state);
}

static int save_at_the_end(struct train_run *r, struct err *e)
{
	cJSON *state = state_of(r);
	int rc = learner_save_at_the_end(&r->l, state, e);

	cJSON_Delete(state);
	return rc;
}

/* ---- a step ---- */

static int no_number(const struct train_run *r, int64_t step, const char *what, double v,
                     int64_t bad, struct err *e)
{
	struct buf lines = { 0 };
	char stands[80];
	int n;
	const int32_t *sample = order_samples(r->order, step, &n);

	if (bad > 0)
		buf_printf(&lines, "line %" PRId64, bad);
	for (int i = 0; bad == 0 && i < n && i < LINES_SAID; i++)
		buf_printf(&lines, "%s%d", i ? ", " : "lines ", r->data.sample[sample[i]].line);
	if (bad == 0 && n > LINES_SAID)
		buf_printf(&lines, " and %d more", n - LINES_SAID);
	learner_where(&r->l, stands);
	err_set(e, ERR_INPUT,
	        "step %" PRId64
	        ": the %s is no number (%g) with %.120s, %s; nothing was learnt from it, %s. A "
	        "lower lr, or a look at what stands there, may help",
	        step, what, v, r->s.data, buf_str(&lines), stands);
	buf_release(&lines);
	return -1;
}

/* Evaluations or checkpoints from the step after @step to the end. */
static double times_left(const struct train_run *r, int64_t step, int every)
{
	int64_t n = steps_of(r);

	return step >= n ? 0 : every > 0 ? (double)(n / every - step / every + (n % every > 0)) : 1;
}

static void say_step(struct train_run *r, const struct update *u, double loss, double norm,
                     bool clipped, int64_t labels, double seconds)
{
	uint64_t tokens = order_tokens(r->order, r->l.step) - order_tokens(r->order, r->l.step - 1);
	uint64_t left = order_tokens(r->order, steps_of(r)) - order_tokens(r->order, r->l.step);
	cJSON *o = cJSON_CreateObject();
	int samples;

	order_samples(r->order, r->l.step, &samples);
	r->tokens_rate = 0.9 * r->tokens_rate + (double)tokens;
	r->seconds_rate = 0.9 * r->seconds_rate + seconds;
	double rate = r->seconds_rate > 0 ? r->tokens_rate / r->seconds_rate : 0;
	cJSON_AddNumberToObject(o, "step", (double)r->l.step);
	cJSON_AddNumberToObject(o, "steps", (double)steps_of(r));
	cJSON_AddNumberToObject(o, "loss", loss);
	cJSON_AddNumberToObject(o, "lr", u->lr);
	cJSON_AddNumberToObject(o, "grad_norm", norm);
	cJSON_AddBoolToObject(o, "clipped", clipped);
	cJSON_AddNumberToObject(o, "tokens", (double)tokens);
	cJSON_AddNumberToObject(o, "labels", (double)labels);
	cJSON_AddNumberToObject(o, "samples", samples);
	cJSON_AddNumberToObject(o, "seconds", seconds);
	cJSON_AddNumberToObject(o, "tokens_per_s", rate);
	cJSON_AddNumberToObject(o, "epoch", order_epoch(r->order, r->l.step));
	json_add_figure(o, "left_s",
	                rate > 0 ? (double)left / rate +
	                                   r->eval_s * times_left(r, r->l.step, r->s.eval_every) +
	                                   r->l.save_s * times_left(r, r->l.step, r->s.save_every)
	                         : NAN);
	learner_tell(&r->l, "step", o);
	if (r->l.step > r->spike + CALM_STEPS && r->l.step > CALM_STEPS &&
	    loss > 2 * r->usual + 0.2) {
		learner_note(&r->l, "the loss of step %" PRId64 " is %.4g where %.4g was usual",
		             r->l.step, loss, r->usual);
		r->spike = r->l.step;
	}
	r->usual = isnan(r->usual) ? loss : 0.9 * r->usual + 0.1 * loss;
}

/* 0; 1: stopped before it was done, and nothing was changed; -1. */
static int learn(struct train_run *r, struct err *e)
{
	int64_t step = r->l.step + 1, labels = 0;
	const struct update u = learner_update(&r->l, step, step);
	double since = clock_now_s(), norm, scale = 1;
	int n;
	const int32_t *sample = order_samples(r->order, step, &n);

	for (int i = 0; i < n; i++)
		labels += r->data.sample[sample[i]].labels;
	struct passing p = { .r = r,
		             .d = &r->data,
		             .coef = (float)(-1.0 / (double)labels),
		             .seed = random_weight_key(r->s.seed, (uint64_t)step) };
	if (learner_act(&r->l)->zero_gradients(r->l.trainer, e) < 0)
		return -1;
	if (order_step(r->order, step, one_pass, &p, e) < 0) {
		if (p.stopped)
			return 1;
		advise(r, e);
		return -1;
	}
	if (p.bad || !isfinite(p.sum))
		return no_number(r, step, "loss", p.sum / (double)labels, p.bad, e);
	if (learner_act(&r->l)->gradient_norm(r->l.trainer, &norm, e) < 0)
		return -1;
	if (!isfinite(norm))
		return no_number(r, step, "norm of the gradients", norm, 0, e);
	/* as torch.nn.utils.clip_grad_norm_ has it */
	if (r->s.clip > 0)
		scale = fmin(1, r->s.clip / (norm + 1e-6));
	if (learner_act(&r->l)->update(r->l.trainer, &u, scale, e) < 0)
		return -1;
	r->l.step = step;
	r->evaluated = false;
	say_step(r, &u, p.sum / (double)labels, norm, scale < 1, labels, clock_now_s() - since);
	return 0;
}

static bool due(int64_t step, int every)
{
	return every > 0 ? step % every == 0 : step == 0;
}

/* 0; 1: a stop is wanted. */
static int heed(struct train_run *r)
{
	unsigned want = r->l.ops.wants(r->l.ops.ctx, false);

	for (;;) {
		if (want & TRAIN_WANT_CHECKPOINT)
			save_on_the_way(r);
		if (want & TRAIN_WANT_STOP)
			return 1;
		if (!(want & TRAIN_WANT_PAUSE))
			return 0;
		want = r->l.ops.wants(r->l.ops.ctx, true);
	}
}

int train_run_go(struct train_run *r, struct err *e)
{
	int rc;

	say_ready(r);
	if (r->l.passed_over.kind)
		learner_note(&r->l, "a newer checkpoint is damaged and was passed over: %s",
		             r->l.passed_over.text);
	r->l.since_save = clock_now_s();
	rc = heed(r);
	/* one that a stop or a kill left out */
	if (rc == 0 && (due(r->l.step, r->s.eval_every) || r->l.step == steps_of(r)))
		rc = evaluate(r, e);
	while (rc == 0 && r->l.step < steps_of(r)) {
		if ((rc = learn(r, e)) != 0)
			break;
		bool last = r->l.step == steps_of(r);
		if ((due(r->l.step, r->s.eval_every) || last) && (rc = evaluate(r, e)) != 0)
			break;
		if (due(r->l.step, r->s.save_every) && !last)
			save_on_the_way(r);
		rc = last ? 0 : heed(r);
	}
	if (rc >= 0 && save_at_the_end(r, e) < 0)
		return -1;
	/* what was stopped when all was done is done */
	return rc < 0 ? -1 : rc == 1 && r->l.step < steps_of(r);
}

/* ---- opening ---- */

static int open_data(struct train_run *r, struct err *e)
{
	const struct train_settings *s = &r->s;

	if (dataset_open(&r->data, s->data, r->l.tokenizer, &s->dataset, e) < 0)
		return err_wrap(e, "setting data");
	if (s->eval_data &&
	    dataset_open(&r->eval, s->eval_data, r->l.tokenizer, &s->dataset, e) < 0)
		return err_wrap(e, "setting eval_data");
	if (!(r->order = order_open(&r->data, &s->order, e)))
		return -1;
	r->l.schedule = (struct schedule){
		.shape = s->schedule,
		.peak = s->lr,
		.floor = s->floor,
		.steps = order_steps(r->order),
		.warmup = llround(s->warmup * (double)order_steps(r->order)),
		.decay_share = s->decay_share,
	};
	return 0;
}

static int open_trainer(struct train_run *r, struct err *e)
{
	int rows = order_longest_pass(r->order);

	if (r->eval.longest > rows)
		rows = r->eval.longest;
	if (learner_open_trainer(&r->l, rows, e) == 0)
		return 0;
	advise(r, e);
	return -1;
}

static int begin(struct train_run *r, bool resume, struct err *e)
{
	char data[SHA256_HEX];
	cJSON *state;
	int rc = learner_begin(&r->l, resume, &state, e);

	if (rc != 0)
		return rc < 0 ? -1 : 0;
	hex(r->data.hash, data);
	rc = learner_same_hash(state, "data_hash", data, "data", r->s.data, e);
	if (rc == 0 && r->l.step > steps_of(r))
		rc = err_set(e, ERR_INPUT, "%.300s: the run has %" PRId64 " steps", r->l.saved_dir,
		             steps_of(r));
	r->evaluated = json_bool_or(state, "evaluated", false);
	r->usual = json_number_or(state, "usual_loss", NAN);
	cJSON_Delete(state);
	return rc;
}

struct train_run *train_run_open(const cJSON *settings, bool resume,
                                 const struct train_run_ops *ops, struct err *e)
{
	struct train_run *r = calloc(1, sizeof(*r));

	if (!r) {
		err_set(e, ERR_MEM, "out of memory");
		return NULL;
	}
	r->usual = NAN;
	if (train_settings_read(&r->s, settings, e) == 0 &&
	    learner_open(&r->l, &r->s, ops, e) == 0 && open_data(r, e) == 0 &&
	    open_trainer(r, e) == 0 && begin(r, resume, e) == 0 &&
	    learner_write_settings(&r->l, e) == 0)
		return r;
	train_run_close(r);
	return NULL;
}

void train_run_close(struct train_run *r)
{
	if (!r)
		return;
	learner_close(&r->l);
	order_close(r->order);
	dataset_close(&r->eval);
	dataset_close(&r->data);
	train_settings_release(&r->s);
	free(r);
}
