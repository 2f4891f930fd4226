/*
 * grpo.c - the loop: a step is drawn, scored, weighed, learnt, told.
 *
 * Engine and trainer take turns: while the one works the other waits for a word, so that they may
 * share the machine's cores.
 */
#include "src/grpo.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "src/base/clock.h"
#include "src/base/json.h"
#include "src/contamination.h"
#include "src/grpo_batch.h"
#include "src/grpo_budget.h"
#include "src/grpo_prompts.h"
#include "src/grpo_settings.h"
#include "src/rollouts.h"
#include "src/run_log.h"

enum { RECENT = 20 };
enum salt { SALT_GROUP = 1, SALT_AGAIN, SALT_EVAL }; /* what a seed is for */
#define GROWTH 1.5                                   /* of a budget that was too small */
#define BAR_S  0.25                                  /* between two pictures of a step under way */

/* A part of a group that src/rollouts.h has: the whole of it, or members that were asked again. */
struct part {
	struct batch_group *group; /* NULL: of an evaluation */
	int base;
	struct part *next;
};

struct evaluating {
	int answers, built, lost;
	double sum; /* of rewards */
	int scored;
};

struct work {
	const struct grpo_options *o;
	struct grpo_settings s; /* as they are now: tries may be raised by a guard */
	struct grpo_result *out;
	const char *dir;
	struct run_log log;
	struct model_flags model; /* how answers are drawn now */
	struct grpo_budget budget;
	struct grpo_prompts *prompts;
	struct policy *policy;
	struct rollouts *rollouts;
	struct grpo_guard guard;
	int tokens; /* that an answer may have */
	int ended;  /* tokens of the longest one that ended by itself */
	/* the policy's words */
	bool ready, over, done, stopping; /* done: all steps are learnt */
	cJSON *state;                     /* at resume */
	cJSON *learnt;                    /* the step's figures; NULL until they are there */
	struct err failure;
	char folder[4096]; /* of the policy as it is; "": as it was given */
	char checkpoint[4096];
	/* the step under way */
	int64_t step;
	struct grpo_batch batch;
	struct part *parts;
	struct err broken; /* within a callback */
	struct evaluating *evaluating;
	int answers, built; /* so far, for the bar */
	double begun, bar_told, took[RECENT];
	int n_took;
	bool paused, want_checkpoint, want_stop, interrupted, rows_told;
	char outcome[16];
};

/* ---- what is told ---- */

/* An event: to the store, to whoever reads objects, to the caller. @o gets what is missing. */
static void tell(struct work *w, const char *kind, const cJSON *o)
{
	run_log_row(&w->log, kind, w->step, o);
	run_log_print(&w->log, kind, o);
	if (w->o->event)
		w->o->event(w->o->ctx, kind, o);
}

static void note(struct work *w, const char *text)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddNumberToObject(o, "step", (double)w->step);
	cJSON_AddStringToObject(o, "text", text);
	tell(w, "note", o);
	cJSON_Delete(o);
	if (!w->o->app->json)
		run_log_say(&w->log, "%s", text);
}

static void note_left_out(struct work *w)
{
	const char *text = grpo_prompts_left_out(w->prompts);

	if (*text)
		note(w, text);
}

static void show_bar(struct work *w, const char *what)
{
	double now = clock_now_s();

	if (!w->log.bar || now - w->bar_told < BAR_S)
		return;
	w->bar_told = now;
	run_log_clear_bar(&w->log);
	fprintf(stderr, "step %" PRId64 "/%" PRId64 ": %s, %d answers, %d built  %.0f s", w->step,
	        w->s.steps, what, w->answers, w->built, now - w->begun);
}

static double seconds_a_step(const struct work *w)
{
	int n = w->n_took < RECENT ? w->n_took : RECENT;
	double sum = 0;

	for (int i = 0; i < n; i++)
		sum += w->took[i];
	return n ? sum / n : NAN;
}

static void show_step(struct work *w, const struct grpo_step_figures *f, const cJSON *data)
{
	char left[32], kl[32] = "", learnt[48] = "nothing learnt";
	double s = seconds_a_step(w), loss = json_number_or(data, "loss", NAN);

	if (w->o->app->quiet || w->o->app->json)
		return;
	run_log_time(left, sizeof(left), s * (double)(w->s.steps - w->step));
	if (isfinite(f->kl))
		snprintf(kl, sizeof(kl), "  kl %.2g", f->kl);
	if (isfinite(loss))
		snprintf(learnt, sizeof(learnt), "learnt from %d, loss %.4f", f->used, loss);
	run_log_say(&w->log,
	            "step %" PRId64 "/%" PRId64 "  reward %.3f  built %d/%d%s  clipped %d  dead "
	            "%d/%d  %s  %.0f tokens  %.1f s/step  %s left",
	            w->step, w->s.steps, f->reward, f->built, f->answers, kl, f->clipped, f->flat,
	            f->groups, learnt, json_number_or(data, "length", NAN), s, left);
}

/* ---- the policy's words ---- */

static void on_ready(struct work *w, const cJSON *o)
{
	const cJSON *state = cJSON_GetObjectItemCaseSensitive(o, "state");

	w->ready = true;
	w->out->step = (int64_t)json_number_or(o, "resumed_from", 0);
	w->step = w->out->step;
	if (cJSON_IsObject(state))
		w->state = cJSON_Duplicate(state, true);
	snprintf(w->folder, sizeof(w->folder), "%s", json_string_or(o, "policy", ""));
}

static void on_event(void *ctx, const char *kind, const cJSON *o)
{
	struct work *w = ctx;

	if (strcmp(kind, "ready") == 0) {
		on_ready(w, o);
		/* told when the budget is known too */
		cJSON_Delete(w->learnt);
		w->learnt = cJSON_Duplicate(o, true);
	} else if (strcmp(kind, "step") == 0) {
		cJSON_Delete(w->learnt);
		w->learnt = cJSON_Duplicate(o, true);
		snprintf(w->folder, sizeof(w->folder), "%s", json_string_or(o, "policy", ""));
	} else if (strcmp(kind, "checkpoint") == 0) {
		snprintf(w->checkpoint, sizeof(w->checkpoint), "%s", json_string_or(o, "dir", ""));
		tell(w, kind, o);
		run_log_flush(&w->log);
		if (!w->o->app->json)
			run_log_say(&w->log, "step %.0f: checkpoint %s, %.1f MB in %.1f s",
			            json_number_or(o, "step", 0), w->checkpoint,
			            json_number_or(o, "bytes", 0) / 1e6,
			            json_number_or(o, "seconds", 0));
	} else if (strcmp(kind, "note") == 0) {
		tell(w, kind, o);
		if (!w->o->app->json)
			run_log_say(&w->log, "%s", json_string_or(o, "text", ""));
	}
}

static void on_end(void *ctx, const char *outcome, enum err_kind kind, const char *error)
{
	struct work *w = ctx;

	w->over = true;
	w->done = strcmp(outcome, "done") == 0;
	if (strcmp(outcome, "failed") == 0)
		err_set(&w->failure, kind ? kind : ERR_LOST, "%s",
		        error && *error ? error : "the training ended without a word");
	else if (!w->stopping && !w->done)
		err_set(&w->failure, ERR_LOST,
		        "the training's process left in the middle of a run");
}

/* ---- words from outside ---- */

static void take_word(struct work *w)
{
	char word[RUN_LOG_WORD];
	cJSON *o;

	if (app_interrupted() && !w->interrupted) {
		w->interrupted = w->want_stop = true;
		run_log_say(&w->log, "stopping: what was learnt is kept in a checkpoint; the step "
		                     "under way is begun again by 'cadforge train resume'");
	}
	if (!run_log_word(w->dir, word))
		return;
	if (strcmp(word, "pause") == 0 || strcmp(word, "go on") == 0) {
		w->paused = word[0] == 'p';
		o = cJSON_CreateObject();
		cJSON_AddNumberToObject(o, "step", (double)w->step);
		cJSON_AddStringToObject(o, "text",
		                        w->paused ? "paused after the step under way" : "goes on");
		cJSON_AddBoolToObject(o, "paused", w->paused);
		tell(w, "note", o);
		cJSON_Delete(o);
		run_log_flush(&w->log);
		run_log_say(&w->log, "%s",
		            w->paused ? "paused after the step under way" : "goes on");
	} else if (strcmp(word, "checkpoint") == 0) {
		w->want_checkpoint = true;
	} else if (strcmp(word, "stop") == 0) {
		w->want_stop = true;
	}
}

/* Until the policy has said something, at most @ms. */
static int attend_policy(struct work *w, int ms, struct err *e)
{
	struct pollfd fds[16];
	int n = policy_poll_fds(w->policy, fds, 16);

	if (poll(fds, (nfds_t)n, ms) < 0 && errno != EINTR)
		return err_errno(e, ERR_IO, "poll");
	if (policy_step(w->policy, e) < 0)
		return -1;
	take_word(w);
	run_log_tend(&w->log);
	return 0;
}

/* When all is learnt it leaves by itself. */
static bool policy_gone(const struct work *w)
{
	return !w->done && (w->over || policy_over(w->policy));
}

static int policy_failed(struct work *w, struct err *e)
{
	if (w->failure.kind && e)
		*e = w->failure;
	else
		err_set(e, ERR_LOST, "the training's process ended without a word");
	return -1;
}

/* ---- answers ---- */

static uint64_t seed_for(const struct work *w, enum salt what, int64_t a, int b)
{
	return grpo_seed(grpo_seed(w->s.seed, (uint64_t)what, 0), (uint64_t)a, (uint64_t)b);
}

static int tick(void *ctx)
{
	struct work *w = ctx;

	if (w->policy && (policy_gone(w) || attend_policy(w, 0, &w->broken) < 0))
		return 1;
	show_bar(w, w->evaluating ? "held-out tasks" : "drawing");
	return w->want_stop || w->broken.kind != ERR_NONE;
}

static int ask_part(struct work *w, struct batch_group *g, int base, int members, uint64_t seed,
                    struct err *e)
{
	struct part *part = calloc(1, sizeof(*part));
	struct rollout_group r = {
		.task = g->prompt.task,
		.messages = g->prompt.messages,
		.members = members,
		.turns = w->s.turns,
		.enough = w->s.enough,
		.seed = seed,
		.episode = g->prompt.episode,
		.parent = g->prompt.turn,
		.user = part,
	};

	if (!part)
		return err_set(e, ERR_MEM, "out of memory");
	*part = (struct part){ .group = g, .base = base, .next = w->parts };
	w->parts = part;
	g->parts++;
	return rollouts_add(w->rollouts, &r, e) < 0 ? -1 : 0;
}

static int draw_group(struct work *w, struct err *e)
{
	struct grpo_prompt p;
	struct batch_group *g;

	if (grpo_prompts_next(w->prompts, &p, e) < 0)
		return -1;
	g = grpo_batch_group(&w->batch, &p);
	if (!g) {
		cJSON_Delete(p.messages);
		return err_set(e, ERR_MEM, "no memory for a group");
	}
	return ask_part(w, g, 0, g->members, seed_for(w, SALT_GROUP, w->step, g->number), e);
}

static void done_held(struct work *w, const struct rollout *r)
{
	struct evaluating *v = w->evaluating;
	double reward;

	if (r->turn > 1) /* the first try is what is compared */
		return;
	v->answers++;
	if (!r->scored) {
		v->lost++;
		return;
	}
	v->built += r->scored->built;
	reward = grpo_reward(w->s.reward, r->scored->json, r->text, r->text_len);
	if (isfinite(reward)) {
		v->sum += reward;
		v->scored++;
	}
	if (r->number > 0 && w->log.run) {
		struct err e = { 0 };
		if (store_sample_add(w->o->store, w->log.run, w->step, r->episode, &e) < 0 &&
		    !w->rows_told) {
			w->rows_told = true;
			run_log_say(&w->log, "%s", e.text);
		}
	}
}

static void on_answer(void *ctx, const struct rollout *r)
{
	struct work *w = ctx;
	const struct part *part = r->user;

	w->answers++;
	w->built += r->scored && r->scored->built;
	w->out->answers++;
	if (!part->group)
		done_held(w, r);
	else if (!w->broken.kind)
		grpo_batch_take(&w->batch, part->group, part->base, r, &w->broken);
}

/* A group that is over: what was lost is asked for again, once; one that teaches nothing makes room
 * for another. */
static void on_group(void *ctx, int number, void *user)
{
	struct work *w = ctx;
	struct batch_group *g = ((struct part *)user)->group;
	int lost, teaching = 0;

	(void)number;
	if (!g || w->broken.kind || --g->parts > 0)
		return;
	lost = grpo_batch_lost(g);
	if (lost > 0 && g->members == w->s.members &&
	    w->guard.rule[ALARM_LOST].policy == GUARD_REPLACE) {
		g->members += lost;
		ask_part(w, g, w->s.members, lost, seed_for(w, SALT_AGAIN, w->step, g->number),
		         &w->broken);
		return;
	}
	grpo_batch_over(&w->batch, g);
	for (int i = 0; i < w->batch.n; i++)
		teaching += !w->batch.group[i]->over || !w->batch.group[i]->f.flat;
	if (g->f.flat && teaching < w->s.prompts && w->batch.n < w->s.prompts * w->s.tries) {
		g->replaced = true;
		draw_group(w, &w->broken);
	}
}

static void forget_parts(struct work *w)
{
	for (struct part *p = w->parts, *next; p; p = next) {
		next = p->next;
		free(p);
	}
	w->parts = NULL;
}

/* Until all that was asked for is there. 0; 1: stopped; -1. */
static int answer_all(struct work *w, struct err *e)
{
	int rc = rollouts_run(w->rollouts, e);

	if (w->broken.kind) {
		*e = w->broken;
		return -1;
	}
	if (policy_gone(w))
		return policy_failed(w, e);
	if (rc < 0 && e->kind == ERR_CANCELLED) {
		w->want_stop = true;
		return 1;
	}
	return rc;
}

/* ---- held-out tasks ---- */

static int evaluate(struct work *w, struct err *e)
{
	struct evaluating v = { 0 };
	struct sampling usual = w->model.sampling;
	double begun = clock_now_s();
	cJSON *o;
	int rc = 0;

	if (w->o->n_held == 0 || w->s.eval_every < 0)
		return 0;
	w->evaluating = &v;
	w->begun = begun;
	w->answers = w->built = 0;
	if (w->s.eval_answers == 1)
		w->model.sampling.temperature = 0;
	for (int i = 0; i < w->o->n_held && rc == 0; i++)
		for (int k = 0; k < w->s.eval_answers && rc == 0; k++) {
			struct part *part = calloc(1, sizeof(*part));
			struct rollout_group g = {
				.task = &w->o->tasks->tasks[w->o->held[i]],
				.members = 1,
				.turns = 1,
				.enough = NAN,
				.seed = seed_for(w, SALT_EVAL, i, k),
				.user = part,
			};
			if (!part) {
				rc = err_set(e, ERR_MEM, "out of memory");
				break;
			}
			part->next = w->parts;
			w->parts = part;
			rc = rollouts_add(w->rollouts, &g, e) < 0 ? -1 : 0;
		}
	if (rc == 0)
		rc = answer_all(w, e);
	w->evaluating = NULL;
	w->model.sampling = usual;
	rollouts_figures(w->rollouts); /* not the next step's */
	forget_parts(w);
	if (rc != 0)
		return rc;
	o = cJSON_CreateObject();
	cJSON_AddNumberToObject(o, "step", (double)w->step);
	json_add_figure(o, "reward", v.scored ? v.sum / v.scored : NAN);
	json_add_figure(o, "build_rate",
	                v.answers > v.lost ? (double)v.built / (v.answers - v.lost) : NAN);
	cJSON_AddNumberToObject(o, "answers", v.answers);
	cJSON_AddNumberToObject(o, "built", v.built);
	cJSON_AddNumberToObject(o, "lost", v.lost);
	cJSON_AddNumberToObject(o, "seconds", clock_now_s() - begun);
	tell(w, "eval", o);
	cJSON_Delete(o);
	run_log_flush(&w->log);
	if (!w->o->app->json)
		run_log_say(&w->log, "step %" PRId64 ": held-out tasks: reward %.3f, built %d/%d",
		            w->step, v.scored ? v.sum / v.scored : NAN, v.built, v.answers);
	return 0;
}

static bool is_evaluated(const struct work *w, int64_t step)
{
	return w->s.eval_every > 0 ? step % w->s.eval_every == 0 || step == w->s.steps
	                           : step == w->s.steps;
}

/* ---- guards ---- */

/* What an alarm changes; the same when it is heard again at a resume. */
static void obey(struct work *w, const struct grpo_alarm_told *a, struct buf *did)
{
	int most, was = w->tokens;

	if (a->policy != GUARD_REPLACE)
		return;
	if (a->alarm == ALARM_CLIPPED && w->ended > 0 && 2 * w->ended <= w->tokens) {
		buf_printf(did,
		           "the longest that ended has %d of %d tokens, so the others have no end, "
		           "and a larger budget would not give them one",
		           w->ended, w->tokens);
	} else if (a->alarm == ALARM_CLIPPED) {
		most = grpo_budget_room(&w->budget, w->budget.longest,
		                        w->s.turns > 1 || w->s.repairs > 0);
		w->tokens = (int)fmin(ceil(w->tokens * GROWTH), most > was ? most : was);
		rollouts_budget(w->rollouts, w->tokens);
		if (w->tokens > was)
			buf_printf(did, "an answer may have %d tokens from now on", w->tokens);
		else
			buf_printf(did, "the context of %d leaves no more: a longer --context",
			           w->budget.context);
	} else if (a->alarm == ALARM_DEAD && w->s.tries == 1) {
		w->s.tries = 2;
		buf_adds(did, "groups that teach nothing are replaced from now on");
	}
}

static void alarm_went(struct work *w, const struct grpo_alarm_told *a)
{
	cJSON *o = cJSON_CreateObject();
	struct buf did = { 0 };

	obey(w, a, &did);
	cJSON_AddNumberToObject(o, "step", (double)w->step);
	cJSON_AddStringToObject(o, "alarm", grpo_alarm_name(a->alarm));
	cJSON_AddStringToObject(o, "policy", grpo_policy_name(a->policy));
	cJSON_AddStringToObject(o, "text", a->text);
	json_add_text(o, "done", did.len ? buf_str(&did) : NULL);
	tell(w, "note", o);
	cJSON_Delete(o);
	if (!w->o->app->json)
		run_log_say(&w->log, "ALARM %s, step %" PRId64 ": %s%s%s",
		            grpo_alarm_name(a->alarm), w->step, a->text, did.len ? ": " : "",
		            buf_str(&did));
	buf_release(&did);
	if (a->policy == GUARD_STOP) {
		w->want_stop = true;
		snprintf(w->outcome, sizeof(w->outcome), "alarm");
	}
}

static const char *const figure_names[] = { "step",    "groups",     "flat",    "all_built", "none",
	                                    "answers", "built",      "clipped", "lost",      "used",
	                                    "reward",  "build_rate", "failed",  "kl" };
enum { FIGURES = sizeof(figure_names) / sizeof(*figure_names) };

static cJSON *figures_json(const struct grpo_step_figures *f)
{
	const double v[FIGURES] = { (double)f->step, f->groups,  f->flat,   f->all_built,
		                    f->none_built,   f->answers, f->built,  f->clipped,
		                    f->lost,         f->used,    f->reward, f->build_rate,
		                    f->failed,       f->kl };
	cJSON *list = cJSON_CreateArray();

	for (int i = 0; i < FIGURES; i++)
		cJSON_AddItemToArray(list, isfinite(v[i]) ? cJSON_CreateNumber(v[i])
		                                          : cJSON_CreateNull());
	return list;
}

static bool read_figures(struct grpo_step_figures *f, const cJSON *list)
{
	double v[FIGURES];
	const cJSON *x;
	int n = 0;

	cJSON_ArrayForEach(x, list) if (n < FIGURES) v[n++] =
		cJSON_IsNumber(x) ? x->valuedouble : NAN;
	if (n < FIGURES || !(v[0] >= 1))
		return false;
	*f = (struct grpo_step_figures){ .step = (int64_t)v[0],
		                         .groups = (int)v[1],
		                         .flat = (int)v[2],
		                         .all_built = (int)v[3],
		                         .none_built = (int)v[4],
		                         .answers = (int)v[5],
		                         .built = (int)v[6],
		                         .clipped = (int)v[7],
		                         .lost = (int)v[8],
		                         .used = (int)v[9],
		                         .reward = v[10],
		                         .build_rate = v[11],
		                         .failed = v[12],
		                         .kl = v[13] };
	return true;
}

/* ---- what is kept with a checkpoint ---- */

/* The guards' steps before @now, which are complete, and @now, whose KL is not known yet: it is in
 * the store when the step is. */
static cJSON *make_state(const struct work *w, const struct grpo_step_figures *now)
{
	const struct grpo_guard *g = &w->guard;
	cJSON *o = cJSON_CreateObject(), *seen, *told;
	int window = 1;

	for (int i = 0; i < ALARMS; i++)
		window = g->rule[i].window > window ? g->rule[i].window : window;
	cJSON_AddNumberToObject(o, "format", 1);
	cJSON_AddItemToObject(o, "prompts", grpo_prompts_state(w->prompts));
	cJSON_AddNumberToObject(o, "tokens", w->tokens);
	cJSON_AddNumberToObject(o, "ended", w->ended);
	cJSON_AddNumberToObject(o, "tries", w->s.tries);
	cJSON_AddNumberToObject(o, "answers", (double)w->out->answers);
	told = cJSON_AddArrayToObject(o, "told");
	for (int i = 0; i < ALARMS; i++)
		cJSON_AddItemToArray(told, cJSON_CreateNumber((double)g->told[i]));
	seen = cJSON_AddArrayToObject(o, "seen");
	for (int i = window < g->n ? window : g->n; i > 0; i--)
		cJSON_AddItemToArray(
			seen,
			figures_json(&g->seen[(g->next - i + GRPO_WINDOW_MAX) % GRPO_WINDOW_MAX]));
	cJSON_AddItemToArray(seen, figures_json(now));
	return o;
}

static int see_kl(void *ctx, const struct store_step *v)
{
	struct grpo_step_figures *f = ctx;
	cJSON *o;

	if (strcmp(v->kind, "step") != 0 || v->step != f->step || !v->data)
		return 0;
	o = json_parse(v->data, strlen(v->data), NULL);
	f->kl = json_number_or(o, "kl", NAN); /* the later row of a step holds */
	cJSON_Delete(o);
	return 0;
}

/* Guards, budget and counts as they were at the checkpoint. */
static void take_state(struct work *w)
{
	const cJSON *list = cJSON_GetObjectItemCaseSensitive(w->state, "seen"), *x;
	struct grpo_alarm_told told[ALARMS];
	struct grpo_guard *g = &w->guard;
	struct grpo_step_figures f;
	struct buf did = { 0 };
	struct err e = { 0 };
	int n = 0;

	w->tokens = (int)json_number_or(w->state, "tokens", w->tokens);
	w->ended = (int)json_number_or(w->state, "ended", 0);
	w->s.tries = (int)json_number_or(w->state, "tries", w->s.tries);
	w->out->answers = (int64_t)json_number_or(w->state, "answers", 0);
	rollouts_budget(w->rollouts, w->tokens);
	cJSON_ArrayForEach(x, cJSON_GetObjectItemCaseSensitive(w->state, "told")) if (n < ALARMS)
		g->told[n++] = (int64_t)(cJSON_IsNumber(x) ? x->valuedouble : 0);
	cJSON_ArrayForEach(x, list)
	{
		if (!read_figures(&f, x))
			continue;
		if (x->next) {
			g->seen[g->next] = f;
			g->next = (g->next + 1) % GRPO_WINDOW_MAX;
			g->n += g->n < GRPO_WINDOW_MAX;
			continue;
		}
		/* the checkpoint's own: what it brought on is not in the state yet, and was told
		 */
		store_steps(w->o->store, w->o->run, 0, INT32_MAX, see_kl, &f, &e);
		n = grpo_guard_step(g, &f, told);
		for (int i = 0; i < n; i++)
			obey(w, &told[i], &did);
	}
	buf_release(&did);
}

/* ---- a step ---- */

static int draw(struct work *w, struct err *e)
{
	int rc;

	if (grpo_prompts_step(w->prompts, w->step, w->s.prompts * w->s.tries, w->tokens, e) < 0)
		return -1;
	w->answers = w->built = 0;
	grpo_batch_begin(&w->batch, &w->s);
	for (int i = 0; i < w->s.prompts; i++)
		if (draw_group(w, e) < 0)
			return -1;
	rc = answer_all(w, e);
	forget_parts(w);
	if (rc != 0)
		return rc;
	for (int i = 0; i < w->batch.n; i++)
		if (!w->batch.group[i]->over)
			grpo_batch_over(&w->batch, w->batch.group[i]);
	note_left_out(w);
	if (w->batch.no_tokens)
		note(w, "answers without their tokens came from the engine; nothing is learnt from "
		        "them");
	return 0;
}

/* The answers' rows: before the step is learnt, so that a checkpoint finds them. */
static void keep_rows(struct work *w)
{
	struct store_rollout *v;
	struct err e = { 0 };
	int n = grpo_batch_rows(&w->batch, w->step, &v);

	if (n > 0 && w->log.run &&
	    (store_rollouts_add(w->o->store, w->log.run, v, n, &e) < 0 ||
	     grpo_prompts_feed(w->prompts, w->log.run, w->step, &e) < 0) &&
	    !w->rows_told) {
		w->rows_told = true;
		run_log_say(&w->log,
		            "%s. The step is learnt from all the same; the curriculum and reports "
		            "miss it",
		            e.text);
	} else if (n < 0) {
		run_log_say(&w->log, "no memory for the rows of step %" PRId64, w->step);
	}
	free(v);
}

static int learn(struct work *w, const struct grpo_step_figures *f, struct err *e)
{
	struct policy_sample *v;
	int n = grpo_batch_samples(&w->batch, &v), rc;
	cJSON *state;

	if (n < 0)
		return err_set(e, ERR_MEM, "no memory for a step's answers");
	state = make_state(w, f);
	cJSON_Delete(w->learnt);
	w->learnt = NULL;
	rc = policy_learn(w->policy, w->step, v, n, state,
	                  w->want_checkpoint || w->step == w->s.steps, e);
	w->want_checkpoint = false;
	cJSON_Delete(state);
	free(v);
	while (rc == 0 && !w->learnt && !policy_gone(w)) {
		rc = attend_policy(w, 250, e);
		show_bar(w, "learning");
	}
	if (rc == 0 && !w->learnt)
		rc = policy_failed(w, e);
	return rc;
}

static void add_weights(struct work *w, cJSON *data)
{
	struct curriculum_state s;
	cJSON *o = cJSON_AddObjectToObject(data, "weights");

	grpo_prompts_look(w->prompts, &s);
	for (int i = 0; i < CLASS_COUNT; i++)
		if (s.class[i].count)
			json_add_figure(o, build_class_name((enum build_class)i),
			                s.class[i].weight);
	cJSON_AddStringToObject(data, "stage", curriculum_stage_name(s.stage));
}

static void tell_step(struct work *w, struct grpo_step_figures *f, double draw_s)
{
	struct rollouts_figures r = rollouts_figures(w->rollouts);
	struct grpo_alarm_told told[ALARMS];
	cJSON *data = w->learnt;
	double seconds = clock_now_s() - w->begun;
	int n;

	w->learnt = NULL;
	f->kl = json_number_or(data, "kl", NAN);
	json_add_figure(data, "learn_s", json_number_or(data, "seconds", NAN));
	cJSON_DeleteItemFromObjectCaseSensitive(data, "seconds");
	cJSON_DeleteItemFromObjectCaseSensitive(data, "answers");
	cJSON_AddNumberToObject(data, "seconds", seconds);
	grpo_batch_json(&w->batch, f, data);
	json_add_figure(data, "draw_s", draw_s);
	json_add_figure(data, "generate_s", r.decoding_s);
	json_add_figure(data, "wait_s", r.waiting_s);
	cJSON_AddNumberToObject(data, "drawn_tokens", (double)r.tokens);
	cJSON_AddNumberToObject(data, "remembered", r.remembered);
	cJSON_AddNumberToObject(data, "max_tokens", w->tokens);
	add_weights(w, data);
	w->took[w->n_took++ % RECENT] = seconds;
	w->out->step = w->step;
	w->out->reward = f->reward;
	w->out->build_rate = f->build_rate;
	if (f->lost > 0 && w->batch.why.kind) {
		struct buf text = { 0 };
		buf_printf(&text, "%d answer%s not scored and not learnt from: %s", f->lost,
		           f->lost == 1 ? " was" : "s were", w->batch.why.text);
		note(w, buf_str(&text));
		buf_release(&text);
	}
	tell(w, "step", data);
	show_step(w, f, data);
	cJSON_Delete(data);
	n = grpo_guard_step(&w->guard, f, told);
	for (int i = 0; i < n; i++)
		alarm_went(w, &told[i]);
	run_log_flush(&w->log);
}

/* 0: done; 1: stopped before it was learnt; -1. */
static int one_step(struct work *w, struct err *e)
{
	struct grpo_step_figures f;
	double draw_s;
	int rc;

	w->begun = clock_now_s();
	rc = draw(w, e);
	draw_s = clock_now_s() - w->begun;
	if (rc != 0)
		return rc;
	keep_rows(w);
	if (grpo_batch_ended(&w->batch) > w->ended)
		w->ended = grpo_batch_ended(&w->batch);
	grpo_batch_figures(&w->batch, w->step, &f);
	f.kl = NAN;
	if (learn(w, &f, e) < 0)
		return -1;
	tell_step(w, &f, draw_s);
	grpo_batch_release(&w->batch);
	if (!w->folder[0])
		return 0;
	return strcmp(json_string_or(w->o->policy, "method", "lora"), "full") == 0
	               ? rollouts_model(w->rollouts, w->folder, e)
	               : rollouts_adapter(w->rollouts, w->folder, e);
}

static int wait_while_paused(struct work *w, struct err *e)
{
	while (w->paused && !w->want_stop && !policy_gone(w))
		if (attend_policy(w, 250, e) < 0)
			return -1;
	return policy_gone(w) ? policy_failed(w, e) : 0;
}

static int all_steps(struct work *w, struct err *e)
{
	int rc = 0;

	if (w->out->step == 0 && w->s.eval_every > 0)
		rc = evaluate(w, e);
	while (rc == 0 && !w->want_stop && w->out->step < w->s.steps) {
		if (wait_while_paused(w, e) < 0)
			return -1;
		if (w->want_stop)
			break;
		w->step = w->out->step + 1;
		rc = one_step(w, e);
		if (rc == 0 && !w->want_stop && is_evaluated(w, w->step))
			rc = evaluate(w, e);
	}
	return rc;
}

/* ---- the run ---- */

static double usual_rate(const struct work *w)
{
	return grpo_usual_lr(w->budget.parameters,
	                     strcmp(json_string_or(w->o->policy, "method", "lora"), "full") == 0);
}

/* The policy's process, until it is ready. */
static int open_policy(struct work *w, struct err *e)
{
	const struct policy_ops ops = { .ctx = w, .event = on_event, .ended = on_end };
	const struct grpo_options *o = w->o;
	cJSON *settings = cJSON_Duplicate(o->policy, true);

	if (!cJSON_HasObjectItem(settings, "lr"))
		cJSON_AddNumberToObject(settings, "lr", usual_rate(w));
	if (!cJSON_HasObjectItem(settings, "longest"))
		cJSON_AddNumberToObject(settings, "longest", w->budget.context);
	cJSON_AddNumberToObject(settings, "answer_longest", w->tokens);
	w->policy = policy_open(o->app->libexec, o->backend, settings, o->run != 0, &ops, e);
	cJSON_Delete(settings);
	while (w->policy && !w->ready && !policy_gone(w) && !w->want_stop)
		if (attend_policy(w, 250, e) < 0)
			return -1;
	if (!w->policy)
		return -1;
	if (w->ready)
		return 0;
	return w->want_stop ? err_set(e, ERR_CANCELLED, "interrupted") : policy_failed(w, e);
}

static int open_engine(struct work *w, struct err *e)
{
	struct rollouts_options r = {
		.app = w->o->app,
		.store = w->o->store,
		.run = w->log.run,
		.source = "train",
		.model = &w->model,
		.prompts = w->o->prompts,
		.scoring = { .app = w->o->app,
		             .profile = grpo_reward_profile(w->s.reward),
		             .reference = w->s.reference[0] ? w->s.reference : NULL,
		             .rebuilds = -1 },
		.max_tokens = w->tokens,
		.slots = w->s.slots,
		.light = true,
		.ctx = w,
		.done = on_answer,
		.group_over = on_group,
		.tick = tick,
		.engine = w->o->engine,
		.engine_ctx = w->o->engine_ctx,
	};

	w->rollouts = rollouts_open(&r, e);
	if (!w->rollouts)
		return -1;
	if (!w->folder[0])
		return 0;
	return strcmp(json_string_or(w->o->policy, "method", "lora"), "full") == 0
	               ? rollouts_model(w->rollouts, w->folder, e)
	               : rollouts_adapter(w->rollouts, w->folder, e);
}

/* The run's row. The budget that was found is a setting from now on: another one would come out
 * when more is known. */
static void begin_run(struct work *w)
{
	cJSON *about = cJSON_CreateObject();
	cJSON *all = cJSON_Duplicate(w->o->all ? w->o->all : w->o->policy, true);

	cJSON_DeleteItemFromObjectCaseSensitive(all, "max_tokens");
	cJSON_AddNumberToObject(all, "max_tokens", w->tokens);
	if (!cJSON_HasObjectItem(all, "lr"))
		cJSON_AddNumberToObject(all, "lr", usual_rate(w));
	grpo_settings_complete(all);
	cJSON_AddStringToObject(about, "version", PACKAGE_VERSION);
	cJSON_AddItemToObject(about, "settings", all);
	run_log_begin(&w->log, w->o->kind, w->o->run, about);
	cJSON_Delete(about);
	w->out->run = w->log.run;
}

static void tell_ready(struct work *w)
{
	cJSON *o = w->learnt; /* what the policy said */

	w->learnt = NULL;
	cJSON_DeleteItemFromObjectCaseSensitive(o, "state");
	cJSON_DeleteItemFromObjectCaseSensitive(o, "steps");
	cJSON_AddNumberToObject(o, "steps", (double)w->s.steps);
	cJSON_AddNumberToObject(o, "prompts", w->s.prompts);
	cJSON_AddNumberToObject(o, "members", w->s.members);
	cJSON_AddStringToObject(o, "reward", w->s.reward);
	cJSON_AddNumberToObject(o, "tasks", w->o->n_tasks);
	cJSON_AddNumberToObject(o, "held_out", w->o->n_held);
	cJSON_AddNumberToObject(o, "max_tokens", w->tokens);
	cJSON_AddNumberToObject(o, "context", w->budget.context);
	cJSON_AddNumberToObject(o, "longest_prompt", w->budget.longest);
	json_add_text(o, "budget_from",
	              w->s.max_tokens   ? "the settings"
	              : w->budget.known ? w->budget.where
	                                : NULL);
	tell(w, "ready", o);
	run_log_flush(&w->log);
	if (!w->o->app->json) {
		run_log_say(&w->log, "run %" PRId64 ": %s on %s, %.0f of %.0f parameters learn",
		            w->out->run, json_string_or(o, "backend", "?"),
		            json_string_or(o, "device", "?"), json_number_or(o, "trainable", NAN),
		            json_number_or(o, "parameters", NAN));
		run_log_say(&w->log,
		            "%d task%s, %d held out; %d x %d answers a step, %s; %" PRId64 " steps",
		            w->o->n_tasks, w->o->n_tasks == 1 ? "" : "s", w->o->n_held,
		            w->s.prompts, w->s.members, w->s.reward, w->s.steps);
		run_log_say(&w->log,
		            "an answer may have %d tokens (%s%s), the longest prompt has %d, the "
		            "context %d",
		            w->tokens,
		            w->s.max_tokens   ? "as asked"
		            : w->budget.known ? "one and a half times the longest known: "
		                              : "no answer of this model is known",
		            w->s.max_tokens || !w->budget.known ? "" : w->budget.where,
		            w->budget.longest, w->budget.context);
		if (w->out->step > 0)
			run_log_say(&w->log, "goes on from step %" PRId64, w->out->step);
		run_log_say(&w->log, "folder: %s", w->dir);
	}
	cJSON_Delete(o);
}

/* What may be drawn, beside the run: an evaluation refuses what was learnt from. */
static int record_tasks(const struct work *w, struct err *e)
{
	const struct grpo_options *o = w->o;
	const struct task **v = calloc((size_t)o->n_tasks + 1, sizeof(const struct task *));
	int rc;

	if (!v)
		return err_set(e, ERR_MEM, "no memory for %d tasks", o->n_tasks);
	for (int i = 0; i < o->n_tasks; i++)
		v[i] = &o->tasks->tasks[o->task[i]];
	rc = contamination_record(w->dir, v, o->n_tasks, NULL, 0, e);
	free(v);
	return rc;
}

/* How many tokens an answer may have. */
static int set_budget(struct work *w, struct err *e)
{
	bool repairs = w->s.turns > 1 || w->s.repairs > 0;
	int room = grpo_budget_room(&w->budget, w->budget.longest, repairs);

	if (w->s.max_tokens == 0) {
		grpo_budget_look(&w->budget, &w->model, w->o->store);
		w->tokens = grpo_budget_answer(&w->budget, w->budget.longest, repairs);
		return 0;
	}
	if (w->s.max_tokens > room)
		return err_set(e, ERR_USAGE,
		               "--max-tokens %d: beside the longest prompt (%d tokens%s) the "
		               "context of %d leaves %d",
		               w->s.max_tokens, w->budget.longest,
		               repairs ? ", and a program that is repaired" : "", w->budget.context,
		               room);
	w->tokens = w->s.max_tokens;
	return 0;
}

static int begin(struct work *w, struct err *e)
{
	const struct grpo_options *o = w->o;

	w->model = *o->model;
	w->model.sampling.temperature = (float)w->s.temperature;
	w->model.sampling.top_p = (float)w->s.top_p;
	w->model.sampling.top_k = w->s.top_k;
	w->model.sampling.min_p = 0;
	w->model.sampling.presence = 0;
	if (!w->model.model)
		return err_set(e, ERR_USAGE, "no model was named");
	if (grpo_budget_open(&w->budget, w->model.model, w->model.thinking, w->s.context, e) < 0)
		return -1;
	w->model.context = w->budget.context;
	if (!(w->prompts = grpo_prompts_open(o, &w->budget, e)) || set_budget(w, e) < 0 ||
	    open_policy(w, e) < 0 ||
	    grpo_prompts_begin(w->prompts, cJSON_GetObjectItemCaseSensitive(w->state, "prompts"),
	                       w->out->step, e) < 0)
		return -1;
	if (!o->run && record_tasks(w, e) < 0)
		return -1;
	begin_run(w);
	if (open_engine(w, e) < 0)
		return -1;
	if (w->state)
		take_state(w);
	tell_ready(w);
	note_left_out(w);
	return 0;
}

/* The policy's process writes a checkpoint of what was learnt and leaves. */
static void stop_policy(struct work *w)
{
	struct err e = { 0 };
	double until = clock_now_s() + 60;

	if (!w->policy)
		return;
	w->stopping = true;
	if (w->ready)
		policy_stop(w->policy);
	while (w->ready && !w->over && !policy_over(w->policy) && clock_now_s() < until)
		if (attend_policy(w, 250, &e) < 0)
			break;
	policy_close(w->policy);
	w->policy = NULL;
}

int grpo_run(const struct grpo_options *o, struct grpo_result *out, struct err *e)
{
	struct work *w = calloc(1, sizeof(*w));
	struct err wrong = { 0 };
	double begun = clock_now_s();
	int rc;

	*out = (struct grpo_result){ .reward = NAN, .build_rate = NAN, .run = o->run };
	if (!w)
		return err_set(e, ERR_MEM, "out of memory");
	w->o = o;
	w->s = o->settings;
	w->out = out;
	w->dir = json_string_or(o->policy, "out", NULL);
	memcpy(w->guard.rule, w->s.guard, sizeof(w->guard.rule));
	run_log_init(&w->log, o->app, o->store);
	rc = begin(w, &wrong);
	if (rc == 0)
		rc = all_steps(w, &wrong);
	run_log_clear_bar(&w->log);
	rollouts_close(w->rollouts);
	w->rollouts = NULL;
	stop_policy(w);
	/* a checkpoint that could not be written, told with the end */
	if (rc >= 0 && w->failure.kind) {
		wrong = w->failure;
		rc = -1;
	}
	snprintf(out->outcome, sizeof(out->outcome), "%s",
	         rc < 0                    ? "failed"
	         : w->outcome[0]           ? w->outcome
	         : out->step >= w->s.steps ? "done"
	                                   : "stopped");
	snprintf(out->policy, sizeof(out->policy), "%s",
	         w->checkpoint[0] ? w->checkpoint : w->folder);
	out->seconds = clock_now_s() - begun;
	w->step = out->step;
	if (w->log.run)
		run_log_end(&w->log, out->step, out->outcome, &wrong);
	if (rc < 0 && e)
		*e = wrong;
	grpo_batch_release(&w->batch);
	forget_parts(w);
	grpo_prompts_close(w->prompts);
	grpo_budget_close(&w->budget);
	run_log_release(&w->log);
	cJSON_Delete(w->state);
	cJSON_Delete(w->learnt);
	free(w);
	return rc < 0 ? -1 : 0;
}
