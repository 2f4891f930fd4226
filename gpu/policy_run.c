#include "gpu/policy_run.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/chat.h"
#include "src/base/clock.h"
#include "src/base/json.h"

enum { POLICIES_KEPT = 2 };

struct policy_run {
	struct learner l; /* what every run has */
	struct train_settings s;
	bool thinks;               /* what the model's own template does by itself */
	struct trainer *reference; /* of a policy that learns in full; NULL: none is wanted */
	/* where it is, beside l.step; kept with checkpoints */
	int64_t updates; /* of the parameters: what bias correction counts by */
	cJSON *state;    /* the asker's */
	char *policy;    /* folder of the policy as it is; NULL: as it was given */
};

/* A step under way. Figures of tokens stand in the order of the batch's. */
struct work {
	struct policy_run *r;
	const struct policy_batch *b;
	struct ids *prompt; /* [prompts] */
	int prompts;
	float *logp, *old, *reference, *weight;
	struct policy_answer *answer;
	int update;      /* from 0 */
	bool referenced; /* @reference is filled in */
	/* the pass under way: of each row, the answer and the token that it gives */
	int32_t *row_answer, *row_token;
	double mismatch, mismatch_most;
	int64_t mismatched; /* tokens */
};

static bool wants_reference(const struct policy_run *r)
{
	return r->s.policy.loss.beta != 0 || r->s.policy.watch_kl;
}

/* ---- one step: passes ---- */

/* Of token @k: what its part of the loss is multiplied by, from how the engine drew it. */
static float importance(const struct policy_run *r, double logp, double drawn)
{
	return (float)fmin(r->s.policy.importance_cap, exp(logp - drawn));
}

/* train_batch.slope. In the first update the policy that learns is the one that drew, unless the
 * engine's word is taken for it. */
static float slope(void *ctx, int row, float logp)
{
	struct work *w = ctx;
	const int answer = w->row_answer[row];
	const struct policy_item *a = &w->b->item[answer];
	const int64_t k = a->at + w->row_token[row];

	if (w->update == 0 && a->has_drawn && !w->r->s.policy.old_is_drawn &&
	    w->r->s.policy.importance_cap > 0)
		w->weight[k] = importance(w->r, (double)logp, (double)w->b->drawn[k]);
	return (float)policy_token(&w->r->s.policy.loss, a->advantage, logp,
	                           w->answer[answer].old ? &w->old[k] : NULL,
	                           w->referenced ? &w->reference[k] : NULL, w->weight[k])
	        .slope;
}

/* Whether an answer has a part in the gradient, or is to be measured. */
static bool is_passed(const struct work *w, int a)
{
	return w->b->item[a].advantage != 0 || wants_reference(w->r);
}

static int rows_of(const struct work *w, int a)
{
	const struct policy_item *x = &w->b->item[a];

	return w->prompt[x->prompt].n + x->n - 1;
}

/* Answer @a behind what is in the batch already. */
static void put_answer(struct work *w, struct train_batch *b, int a)
{
	struct learner *l = &w->r->l;
	const struct policy_item *x = &w->b->item[a];
	const struct ids *prompt = &w->prompt[x->prompt];
	const int n = prompt->n + x->n - 1;
	const float share = (float)policy_share(&w->r->s.policy.loss, x->n, w->b->n, w->b->tokens);
	int32_t *id = l->id + b->n;

	memcpy(id, prompt->id, (size_t)prompt->n * sizeof(*id));
	memcpy(id + prompt->n, w->b->id + x->at, (size_t)(x->n - 1) * sizeof(*id));
	for (int i = 0; i < n; i++) {
		int token = i - (prompt->n - 1);
		l->label[b->n + i] = token < 0 ? -1 : w->b->id[x->at + token];
		l->coef[b->n + i] = token < 0 ? 0 : share;
		w->row_answer[b->n + i] = a;
		w->row_token[b->n + i] = token;
	}
	b->n += n;
	l->start[++b->samples] = b->n;
}

enum pass_of { PASS_REFERENCE, PASS_LEARN };

static int run_pass(struct work *w, const struct train_batch *b, enum pass_of of, struct err *e)
{
	struct learner *l = &w->r->l;
	float *to = of == PASS_LEARN ? w->logp : w->reference;
	struct trainer *t = w->r->reference ? w->r->reference : l->trainer;
	int rc = of == PASS_LEARN ? learner_act(l)->pass(l->trainer, b, l->coef, l->logp, e)
	                          : trainer_base(t)->ops->pass_base(t, b, l->logp, e);

	for (int i = 0; i < b->n && rc == 0; i++)
		if (w->row_token[i] >= 0)
			to[w->b->item[w->row_answer[i]].at + w->row_token[i]] = l->logp[i];
	return rc;
}

/* Answers @from to before @until, in passes. 0; 1: a stop was wanted on the way; -1. */
static int passes(struct work *w, enum pass_of of, int from, int until, struct err *e)
{
	struct policy_run *r = w->r;
	struct train_batch b = { .id = r->l.id,
		                 .label = r->l.label,
		                 .start = r->l.start,
		                 .temperature = (float)r->s.policy.temperature,
		                 .slope = slope,
		                 .slope_ctx = w };

	r->l.start[0] = 0;
	for (int a = from; a < until; a++) {
		if (!is_passed(w, a))
			continue;
		if (b.samples > 0 && b.n + rows_of(w, a) > r->l.rows) {
			if (run_pass(w, &b, of, e) < 0)
				return -1;
			b.n = b.samples = 0;
			if (w->update == 0 &&
			    (r->l.ops.wants(r->l.ops.ctx, false) & TRAIN_WANT_STOP))
				return 1;
		}
		put_answer(w, &b, a);
	}
	return b.samples > 0 ? run_pass(w, &b, of, e) : 0;
}

/* ---- one step: what can be wrong ---- */

static int nothing_learnt(const struct work *w, struct err *e)
{
	struct err why = *e;
	char stands[80];

	learner_where(&w->r->l, stands);
	return err_set(e, why.kind, "step %" PRId64 ": %.330s; nothing was learnt from it, %s",
	               w->b->step, why.text, stands);
}

/* Which answer it is that has a gradient without a number. */
static int blame(struct work *w, double norm, struct err *e)
{
	const struct trainer_ops *act = learner_act(&w->r->l);
	double alone;

	for (int a = 0; a < w->b->n; a++) {
		if (!is_passed(w, a))
			continue;
		if (act->zero_gradients(w->r->l.trainer, e) < 0 ||
		    passes(w, PASS_LEARN, a, a + 1, e) < 0 ||
		    act->gradient_norm(w->r->l.trainer, &alone, e) < 0)
			return -1;
		if (!isfinite(alone))
			return err_set(e, ERR_INPUT,
			               "answer %d: the norm of its gradient is no number (%g)",
			               a + 1, alone);
	}
	return err_set(e, ERR_INPUT,
	               "the norm of the gradients is no number (%g), though each answer's own is; "
	               "a lower lr may help",
	               norm);
}

static int check_answer(const struct work *w, int a, struct err *e)
{
	const struct policy_run *r = w->r;
	const struct policy_item *x = &w->b->item[a];
	const int vocabulary = r->l.model.config.vocabulary;

	if (!isfinite(x->advantage))
		return err_set(e, ERR_INPUT, "answer %d: its advantage is no number (%g)", a + 1,
		               x->advantage);
	/* in 64 bits: an answer may have any length */
	if ((int64_t)w->prompt[x->prompt].n + x->n - 1 > r->s.dataset.longest)
		return err_set(
			e, ERR_INPUT,
			"answer %d has %d tokens after a prompt of %d, and setting longest is "
			"%d",
			a + 1, x->n, w->prompt[x->prompt].n, r->s.dataset.longest);
	for (int i = 0; i < x->n; i++) {
		if (w->b->id[x->at + i] < 0 || w->b->id[x->at + i] >= vocabulary)
			return err_set(e, ERR_INPUT,
			               "answer %d, token %d: id %d; the vocabulary has %d", a + 1,
			               i + 1, w->b->id[x->at + i], vocabulary);
		if (x->has_drawn && !isfinite(w->b->drawn[x->at + i]))
			return err_set(e, ERR_INPUT,
			               "answer %d, token %d: the log-probability with which it was "
			               "drawn is no number (%g)",
			               a + 1, i + 1, (double)w->b->drawn[x->at + i]);
	}
	return 0;
}

/* ---- one step: before and after ---- */

static void work_release(struct work *w)
{
	for (int i = 0; i < w->prompts && w->prompt; i++)
		ids_release(&w->prompt[i]);
	free(w->prompt);
	free(w->logp);
	free(w->old);
	free(w->reference);
	free(w->weight);
	free(w->answer);
	free(w->row_answer);
	free(w->row_token);
}

/* The prompts' ids, exactly as gpu/infer_main.c has them. */
static int render(struct work *w, struct err *e)
{
	const struct policy_run *r = w->r;
	const cJSON *messages;
	int i = 0;

	cJSON_ArrayForEach(messages, w->b->prompts)
	{
		struct chat_ids c = { 0 };
		if (chat_encode(&c, r->l.tokenizer, messages, true, r->s.policy.thinking, r->thinks,
		                e) < 0)
			return err_wrap(e, "prompt %d", i + 1);
		w->prompt[i++] = c.ids;
		free(c.head);
	}
	return 0;
}

static float *figures(int64_t n)
{
	return calloc((size_t)n + 1, sizeof(float));
}

static int work_open(struct work *w, struct err *e)
{
	const struct policy_batch *b = w->b;
	const size_t rows = (size_t)w->r->l.rows;

	w->prompts = cJSON_GetArraySize(b->prompts);
	w->prompt = calloc((size_t)w->prompts + 1, sizeof(*w->prompt));
	w->logp = figures(b->tokens);
	w->old = figures(b->tokens);
	w->reference = figures(b->tokens);
	w->weight = figures(b->tokens);
	w->answer = calloc((size_t)b->n + 1, sizeof(*w->answer));
	w->row_answer = malloc(rows * sizeof(*w->row_answer));
	w->row_token = malloc(rows * sizeof(*w->row_token));
	if (!w->prompt || !w->logp || !w->old || !w->reference || !w->weight || !w->answer ||
	    !w->row_answer || !w->row_token)
		return err_set(e, ERR_MEM, "no memory for %d answers", b->n);
	for (int64_t k = 0; k < b->tokens; k++)
		w->weight[k] = 1;
	if (render(w, e) < 0)
		return -1;
	for (int a = 0; a < b->n; a++) {
		const struct policy_item *x = &b->item[a];
		if (check_answer(w, a, e) < 0)
			return -1;
		w->answer[a] = (struct policy_answer){ .n = x->n,
			                               .advantage = x->advantage,
			                               .logp = w->logp + x->at,
			                               .weight = w->weight + x->at };
		if (!w->r->s.policy.old_is_drawn || !x->has_drawn)
			continue;
		memcpy(w->old + x->at, b->drawn + x->at, (size_t)x->n * sizeof(*w->old));
		w->answer[a].old = w->old + x->at;
	}
	return 0;
}

/* How far the engine's log-probabilities are from the trainer's. */
static void measure_mismatch(struct work *w)
{
	for (int a = 0; a < w->b->n; a++) {
		const struct policy_item *x = &w->b->item[a];
		for (int64_t k = x->at; k < x->at + x->n && x->has_drawn && is_passed(w, a); k++) {
			double off = fabs((double)w->logp[k] - (double)w->b->drawn[k]);
			w->mismatch += off;
			w->mismatch_most = fmax(w->mismatch_most, off);
			w->mismatched++;
		}
	}
}

/* What a step tells. */
struct told {
	double loss, kl, clip_share, ratio_most, norm, lr;
	bool clipped;
};

/* One update of the parameters. 0; 1: stopped before; -1. */
static int update(struct work *w, struct told *told, struct err *e)
{
	struct policy_run *r = w->r;
	const struct trainer_ops *act = learner_act(&r->l);
	const struct update u = learner_update(&r->l, w->b->step, r->updates + 1);
	struct policy_figures f;
	double norm, scale = 1;

	if (act->zero_gradients(r->l.trainer, e) < 0)
		return -1;
	int rc = passes(w, PASS_LEARN, 0, w->b->n, e);
	if (rc != 0)
		return rc;
	if (policy_loss(&r->s.policy.loss, w->answer, w->b->n, &f, e) < 0 ||
	    act->gradient_norm(r->l.trainer, &norm, e) < 0)
		return -1;
	if (!isfinite(norm))
		return blame(w, norm, e);
	/* as torch.nn.utils.clip_grad_norm_ has it */
	if (r->s.clip > 0)
		scale = fmin(1, r->s.clip / (norm + 1e-6));
	if (act->update(r->l.trainer, &u, scale, e) < 0)
		return -1;
	r->updates++;
	const double share = 1.0 / r->s.policy.updates;
	told->loss += share * f.loss;
	told->kl += share * f.kl;
	told->clip_share += share * f.clipped;
	told->ratio_most = fmax(told->ratio_most, f.ratio_max);
	told->norm = fmax(told->norm, norm);
	told->clipped |= scale < 1;
	if (w->update == 0) {
		measure_mismatch(w);
		for (int a = 0; a < w->b->n; a++) {
			const struct policy_item *x = &w->b->item[a];
			if (!w->answer[a].old)
				memcpy(w->old + x->at, w->logp + x->at,
				       (size_t)x->n * sizeof(*w->old));
			w->answer[a].old = w->old + x->at;
		}
	}
	return 0;
}

/* The reference's log-probabilities, then every update. */
static int learn(struct work *w, struct told *told, struct err *e)
{
	struct policy_run *r = w->r;
	int rc;

	if (wants_reference(r)) {
		if ((rc = passes(w, PASS_REFERENCE, 0, w->b->n, e)) != 0)
			return rc;
		w->referenced = true;
		for (int a = 0; a < w->b->n; a++)
			w->answer[a].reference = w->reference + w->b->item[a].at;
	}
	for (w->update = 0; w->update < r->s.policy.updates; w->update++)
		if ((rc = update(w, told, e)) != 0)
			return rc;
	return 0;
}

/* ---- policy and checkpoints on disk ---- */

static int write_policy(struct policy_run *r, struct err *e)
{
	const struct checkpoint_options o = {
		.run_dir = r->l.out,
		.tokenizer_dir = r->s.tokenizer,
		.base_name = r->s.base_name,
		.dtype = r->s.dtype,
		.keep = POLICIES_KEPT,
	};
	char *dir;
	int rc = checkpoint_policy(r->l.trainer, &o, r->l.step, &dir, e);

	/* older ones make room for it */
	if (rc < 0 && e->kind == ERR_IO &&
	    checkpoint_drop_policies(r->l.out, 1) + checkpoint_drop_older(r->l.out) > 0)
		rc = checkpoint_policy(r->l.trainer, &o, r->l.step, &dir, e);
	if (rc < 0) {
		struct err why = *e;
		return err_set(e, why.kind,
		               "the policy of step %" PRId64
		               " could not be written: %.250s%s%.100s%s",
		               r->l.step, why.text, why.kind == ERR_IO ? ": make room under " : "",
		               why.kind == ERR_IO ? r->l.out : "",
		               why.kind == ERR_IO ? " and resume" : "");
	}
	free(r->policy);
	r->policy = dir;
	return 0;
}

static cJSON *state_of(const struct policy_run *r)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddNumberToObject(o, "updates", (double)r->updates);
	cJSON_AddItemToObject(o, "state",
	                      r->state ? cJSON_Duplicate(r->state, true) : cJSON_CreateNull());
	return o;
}

void policy_run_save(struct policy_run *r)
{
	cJSON *state;

	if (r->l.step == 0)
		return;
	state = state_of(r);
	learner_save(&r->l, state);
	cJSON_Delete(state);
}

int policy_run_end(struct policy_run *r, struct err *e)
{
	cJSON *state;
	int rc;

	if (r->l.step == 0)
		return 0;
	state = state_of(r);
	rc = learner_save_at_the_end(&r->l, state, e);
	cJSON_Delete(state);
	return rc;
}

bool policy_run_done(const struct policy_run *r)
{
	return r->l.step >= r->s.order.steps;
}

/* ---- a step ---- */

static void add_mean(cJSON *o, const struct work *w)
{
	json_add_figure(o, "mismatch",
	                w->mismatched > 0 ? w->mismatch / (double)w->mismatched : NAN);
	json_add_figure(o, "mismatch_max", w->mismatched > 0 ? w->mismatch_most : NAN);
}

static void say_step(struct policy_run *r, const struct work *w, const struct told *told,
                     double seconds)
{
	const bool none = w->b->n == 0;
	cJSON *o = cJSON_CreateObject();

	cJSON_AddNumberToObject(o, "step", (double)r->l.step);
	cJSON_AddNumberToObject(o, "steps", (double)r->s.order.steps);
	json_add_figure(o, "loss", none ? NAN : told->loss);
	json_add_figure(o, "kl", none ? NAN : told->kl);
	json_add_figure(o, "clip_share", none ? NAN : told->clip_share);
	json_add_figure(o, "ratio_max", none ? NAN : told->ratio_most);
	add_mean(o, w);
	json_add_figure(o, "grad_norm", none ? NAN : told->norm);
	cJSON_AddBoolToObject(o, "grad_clipped", told->clipped);
	cJSON_AddNumberToObject(o, "lr", told->lr);
	cJSON_AddNumberToObject(o, "answers", w->b->n);
	cJSON_AddNumberToObject(o, "tokens", (double)w->b->tokens);
	cJSON_AddNumberToObject(o, "seconds", seconds);
	json_add_text(o, "policy", r->policy);
	learner_tell(&r->l, "step", o);
}

/* The step's @state is kept from now on. */
static int take_state(struct policy_run *r, const cJSON *state, struct err *e)
{
	cJSON *copy = state ? cJSON_Duplicate(state, true) : NULL;

	if (state && !copy)
		return err_set(e, ERR_MEM, "out of memory");
	cJSON_Delete(r->state);
	r->state = copy;
	return 0;
}

int policy_run_learn(struct policy_run *r, const struct policy_batch *b, struct err *e)
{
	struct work w = { .r = r, .b = b };
	struct told told = { .lr = schedule_rate(&r->l.schedule, b->step) };
	double since = clock_now_s();
	int64_t before = r->updates;
	int rc = 0;

	if (b->step != r->l.step + 1 || policy_run_done(r))
		return err_set(e, ERR_INPUT,
		               "step %" PRId64 " was asked for, and %" PRId64 " of %" PRId64
		               " are done: a step is learnt once, in their order",
		               b->step, r->l.step, r->s.order.steps);
	if (b->n > 0 && (rc = work_open(&w, e)) == 0)
		rc = learn(&w, &told, e);
	if (rc < 0 && r->updates == before)
		nothing_learnt(&w, e);
	if (rc == 0) {
		r->l.step = b->step;
		if ((rc = take_state(r, b->state, e)) == 0 && b->n > 0)
			rc = write_policy(r, e);
	}
	if (rc == 0)
		say_step(r, &w, &told, clock_now_s() - since);
	work_release(&w);
	if (rc == 0 && !policy_run_done(r) &&
	    (b->checkpoint || (r->s.save_every > 0 && b->step % r->s.save_every == 0)))
		policy_run_save(r);
	return rc;
}

/* ---- opening ---- */

/* What the policy is measured against when all of it learns. */
static int open_reference(struct policy_run *r, struct err *e)
{
	const struct train_options o = {
		.rank = 1,
		.alpha = 1,
		.targets = 1u << MODULE_DOWN,
		.threads = r->s.threads,
		.rows = r->l.rows,
		.recompute = true,
		.memory_bytes = r->s.memory_bytes,
	};

	if (!r->s.full || !wants_reference(r))
		return 0;
	r->reference = r->l.ops.open(&r->l.model, &o, e);
	return r->reference ? 0 : err_wrap(e, "the reference (beta, watch_kl)");
}

static int open_trainer(struct policy_run *r, struct err *e)
{
	char text[sizeof(e->text)];

	r->l.schedule = (struct schedule){
		.shape = r->s.schedule,
		.peak = r->s.lr,
		.floor = r->s.floor,
		.steps = r->s.order.steps,
		.warmup = llround(r->s.warmup * (double)r->s.order.steps),
		.decay_share = r->s.decay_share,
	};
	r->thinks = chat_thinks_by_default(r->s.tokenizer);
	if (learner_open_trainer(&r->l, r->s.order.pass_rows, e) == 0 && open_reference(r, e) == 0)
		return 0;
	if (e->kind == ERR_MEM) {
		snprintf(text, sizeof(text), "%s", e->text);
		err_set(e, ERR_MEM,
		        "%.300s. Settings: pass_rows (now %d), %slongest (now %d; a pass has no "
		        "less)",
		        text, r->l.rows, r->s.recompute ? "" : "recompute (now false), ",
		        r->s.dataset.longest);
	}
	return -1;
}

static int begin(struct policy_run *r, bool resume, struct err *e)
{
	cJSON *kept;
	int rc = learner_begin(&r->l, resume, &kept, e);

	if (rc < 0)
		return -1;
	r->updates = (int64_t)json_number_or(kept, "updates", 0);
	r->state = cJSON_DetachItemFromObjectCaseSensitive(kept, "state");
	if (!cJSON_IsObject(r->state)) {
		cJSON_Delete(r->state);
		r->state = NULL;
	}
	cJSON_Delete(kept);
	/* the engine's next answers are to come from what is here, not from what a killed run had
	 * learnt after it */
	if (r->updates == 0)
		checkpoint_drop_policies(r->l.out, 0);
	return r->updates > 0 ? write_policy(r, e) : 0;
}

static void say_ready(struct policy_run *r)
{
	cJSON *o = learner_ready(&r->l);

	cJSON_AddNumberToObject(o, "steps", (double)r->s.order.steps);
	cJSON_AddItemToObject(o, "state",
	                      r->state ? cJSON_Duplicate(r->state, true) : cJSON_CreateNull());
	json_add_text(o, "policy", r->policy);
	learner_tell(&r->l, "ready", o);
	if (r->l.passed_over.kind)
		learner_note(&r->l, "a newer checkpoint is damaged and was passed over: %s",
		             r->l.passed_over.text);
	r->l.since_save = clock_now_s();
}

struct policy_run *policy_run_open(const cJSON *settings, bool resume,
                                   const struct train_run_ops *ops, struct err *e)
{
	struct policy_run *r = calloc(1, sizeof(*r));

	if (!r) {
		err_set(e, ERR_MEM, "out of memory");
		return NULL;
	}
	if (train_settings_read_policy(&r->s, settings, e) == 0 &&
	    learner_open(&r->l, &r->s, ops, e) == 0 && open_trainer(r, e) == 0 &&
	    begin(r, resume, e) == 0 && learner_write_settings(&r->l, e) == 0) {
		say_ready(r);
		return r;
	}
	policy_run_close(r);
	return NULL;
}

void policy_run_close(struct policy_run *r)
{
	if (!r)
		return;
	if (r->reference)
		trainer_base(r->reference)->ops->close(r->reference);
	learner_close(&r->l);
	cJSON_Delete(r->state);
	free(r->policy);
	train_settings_release(&r->s);
	free(r);
}
