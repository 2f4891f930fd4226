#include "src/session.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/extract.h"
#include "src/watch.h"

enum { EARLY_TICK_MS = 20 };

/* ---- what is told ---- */

static void tell(struct session *s, enum session_sight what, const char *text, size_t len)
{
	if (s->o->saw)
		s->o->saw(s->o->ctx, s, what, text, len);
}

static int on_tick(void *ctx)
{
	struct session *s = ctx;

	/* the siblings go on writing while one of them is built */
	if (s->o->source->attend)
		s->o->source->attend(s->o->source->ctx);
	return s->o->tick ? s->o->tick(s->o->ctx) : 0;
}

/* The same while the source itself waits: it attends to itself. */
static int on_source_tick(void *ctx)
{
	struct session *s = ctx;

	if (s->watch)
		watch_step(s->watch);
	return s->o->tick ? s->o->tick(s->o->ctx) : 0;
}

/* Something happened: kept with the turn, and told. */
static void happen(struct session *s, int64_t time_us, const char *kind, const char *data,
                   size_t len)
{
	turn_event(&s->events, time_us, kind, data, len);
	if (s->o->event)
		s->o->event(s->o->ctx, s, time_us ? time_us : store_now_us(), kind, data, len);
}

static void happen_json(struct session *s, int64_t time_us, const char *kind, cJSON *data)
{
	struct buf line = { 0 };

	json_print(&line, data);
	cJSON_Delete(data);
	happen(s, time_us, kind, buf_str(&line), line.len);
	buf_release(&line);
}

static void on_text(void *ctx, int64_t time_us, const char *text, size_t len)
{
	struct session *s = ctx;

	turn_event_text(&s->events, time_us, text, len);
	if (s->watch)
		watch_text(s->watch, text, len);
	tell(s, SAW_TEXT, text, len);
}

static void on_log(void *ctx, size_t item, const char *stream, const char *text, size_t len)
{
	struct session *s = ctx;

	(void)item;
	(void)stream;
	happen(s, 0, "log", text, len);
	tell(s, SAW_LOG, text, len);
}

static void on_built(void *ctx, size_t item, const struct build *b)
{
	struct session *s = ctx;
	cJSON *o = cJSON_CreateObject();

	(void)item;
	cJSON_AddBoolToObject(o, "ok", b->ok);
	cJSON_AddStringToObject(o, "cause", build_cause_name(b->cause));
	json_add_text(o, "error", b->error);
	json_add_figure(o, "seconds", b->seconds);
	if (b->line > 0)
		cJSON_AddNumberToObject(o, "line", b->line);
	happen_json(s, 0, "build", o);
	tell(s, SAW_BUILD, NULL, 0);
}

static cJSON *decision(const char *what)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "do", what);
	return o;
}

static void on_shape(void *ctx, size_t item, const void *stl, size_t len)
{
	const struct session *s = ctx;

	(void)item;
	if (s->o->shape)
		s->o->shape(s->o->ctx, s, stl, len);
}

static void on_figure(void *ctx, size_t item, const char *name, double value)
{
	const struct session *s = ctx;

	(void)item;
	if (s->o->figure)
		s->o->figure(s->o->ctx, s, name, value);
}

/* ---- what is known before the answer is whole ---- */

static void on_early(void *ctx, const struct watch_news *n)
{
	struct session *s = ctx;
	const char *name = n->name ? n->name : "";

	if (n->why || strcmp(name, s->early_name) != 0) {
		cJSON *o = cJSON_CreateObject();
		cJSON_AddNumberToObject(o, "line", n->why ? n->why->line : n->name_line);
		json_add_text(o, "name", n->name);
		json_add_text(o, "error", n->why ? n->why->error : NULL);
		happen_json(s, 0, "early", o);
		snprintf(s->early_name, sizeof(s->early_name), "%s", name);
	}
	/* of a group the others may do better */
	if (n->certain && n->cut > 0 && s->o->stop_early && !s->member && s->o->source->stop) {
		s->cut = n->cut;
		s->o->source->stop(s->o->source->ctx);
	}
}

static void on_early_shape(void *ctx, const void *stl, size_t len, const char *name, int line)
{
	const struct session *s = ctx;

	s->o->early_shape(s->o->ctx, s, stl, len, name, line);
}

static void on_early_facts(void *ctx, const cJSON *facts)
{
	struct session *s = ctx;
	double v = scoring_editability(s->scoring, facts);

	if (isnan(v) || v == s->early_figure)
		return;
	s->early_figure = v;
	s->o->figure(s->o->ctx, s, "editability", v);
}

static int watch_answers(struct session *s, struct err *e)
{
	const struct watch_ops ops = {
		.ctx = s,
		.news = on_early,
		.shape = s->o->early_shape ? on_early_shape : NULL,
		.facts = s->o->figure ? on_early_facts : NULL,
	};

	s->watch = scoring_watch(s->scoring, &ops, e);
	return s->watch ? 0 : -1;
}

/* ---- turns that are remembered ---- */

static void forget(struct best_turn *b)
{
	cJSON_Delete(b->score);
	buf_release(&b->program);
	buf_release(&b->log);
	*b = (struct best_turn){ 0 };
}

static const struct best_turn *remembered(const struct session *s, int turn)
{
	if (turn == 0)
		return NULL;
	return s->parent.turn == turn ? &s->parent : &s->best;
}

static int read_finish(void *ctx, const struct store_turn *t)
{
	*(bool *)ctx = t->finish && strcmp(t->finish, finish_name(FINISH_LENGTH)) == 0;
	return 0;
}

/* A turn of the store, as a parent. A program or log that was pruned is an empty one. */
static int recall(struct store *store, int64_t episode, struct best_turn *out, int turn,
                  struct err *e)
{
	struct buf text = { 0 };
	struct err gone;

	if (store_turn(store, episode, turn, read_finish, &out->clipped, e) < 0 ||
	    store_artifact(store, episode, turn, "reward.json", &text, e) < 0)
		return -1;
	out->turn = turn;
	out->score = json_parse(buf_str(&text), text.len, e);
	buf_release(&text);
	if (!out->score)
		return err_wrap(e, "turn %lld.%d: reward.json", (long long)episode, turn);
	store_artifact(store, episode, turn, "program.py", &out->program, &gone);
	store_artifact(store, episode, turn, "build.log", &out->log, &gone);
	return 0;
}

/* The turn that was just stored becomes the best. */
static void keep_as_best(struct session *s)
{
	forget(&s->best);
	s->best.turn = s->turn;
	s->best.score = cJSON_Duplicate(s->scored.json, true);
	buf_add(&s->best.program, s->scored.program.data, s->scored.program.len);
	buf_add(&s->best.log, s->scored.log.data, s->scored.log.len);
	s->best.clipped = s->clipped;
}

static struct episode_turn as_turn(const struct best_turn *b)
{
	if (!b->turn)
		return (struct episode_turn){ 0 };
	return (struct episode_turn){
		.turn = b->turn,
		.built = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(
			cJSON_GetObjectItemCaseSensitive(b->score, "build"), "ok")),
		.total = json_number_or(cJSON_GetObjectItemCaseSensitive(b->score, "reward"),
		                        "total", NAN),
	};
}

/* ---- beginning ---- */

struct summary {
	int turns, best;
};

static int read_summary(void *ctx, const struct store_episode *ep)
{
	*(struct summary *)ctx = (struct summary){ ep->turns, ep->best };
	return 0;
}

static int start_episode(struct session *s, struct err *e)
{
	const struct session_options *o = s->o;
	const struct episode_new n = {
		.task = o->task,
		.scoring = s->scoring,
		.prompts = o->prompts,
		.source = "run",
		.run = o->run,
		.settings = o->settings,
	};

	return turn_episode(o->store, &n, &s->episode, e);
}

static int go_on(struct session *s, struct err *e)
{
	struct summary was = { 0 };

	s->episode = s->o->episode;
	if (store_episode(s->o->store, s->episode, read_summary, &was, e) < 0)
		return -1;
	s->turns_known = was.turns;
	if (s->o->parent > 0 && recall(s->o->store, s->episode, &s->parent, s->o->parent, e) < 0)
		return -1;
	return was.best > 0 ? recall(s->o->store, s->episode, &s->best, was.best, e) : 0;
}

int session_open(struct session *s, const struct session_options *o, struct err *e)
{
	struct scoring_options so = o->scoring;

	*s = (struct session){ .o = o, .scoring = o->kept };
	so.ears = (struct scoring_ears){
		.ctx = s,
		.tick_ms = o->tick_ms,
		.tick = on_tick,
		.log = on_log,
		.built = on_built,
		.shape = on_shape,
		.figure = on_figure,
	};
	if (s->scoring)
		scoring_listen(s->scoring, &so.ears);
	else if (!(s->scoring = scoring_open(&so, e)))
		return -1;
	if ((o->early && watch_answers(s, e) < 0) ||
	    (o->episode ? go_on(s, e) : start_episode(s, e)) < 0) {
		session_close(s);
		return -1;
	}
	episode_init(&s->machine, &o->rules);
	tell(s, SAW_EPISODE, NULL, 0);
	return 0;
}

void session_close(struct session *s)
{
	if (s->open)
		store_turn_drop(s->o->store, s->episode, NULL);
	watch_close(s->watch);
	if (s->o && s->o->kept)
		scoring_listen(s->o->kept, NULL);
	else
		scoring_close(s->scoring);
	cJSON_Delete(s->prompt);
	cJSON_Delete(s->turn_json);
	completion_release(&s->completion);
	scored_release(&s->scored);
	turn_events_release(&s->events);
	forget(&s->best);
	forget(&s->parent);
	*s = (struct session){ 0 };
}

/* ---- a turn ---- */

static void clear_turn(struct session *s)
{
	cJSON_Delete(s->prompt);
	cJSON_Delete(s->turn_json);
	s->prompt = s->turn_json = NULL;
	completion_release(&s->completion);
	scored_release(&s->scored);
	s->scored = (struct scored){ 0 };
	turn_events_release(&s->events);
	s->clipped = false;
	s->cut = 0;
	s->early_name[0] = '\0';
	s->early_figure = NAN;
}

static cJSON *messages_for(const struct prompt_set *prompts, const struct task *task,
                           const struct best_turn *p, struct err *e)
{
	struct repair_turn t = { 0 };

	if (p)
		t = (struct repair_turn){
			.number = p->turn,
			.program = buf_str(&p->program),
			.program_len = p->program.len,
			.log = buf_str(&p->log),
			.log_len = p->log.len,
			.score = p->score,
			.clipped = p->clipped,
		};
	return repair_messages(prompts, task, p ? &t : NULL, e);
}

cJSON *session_prompt(struct store *store, const struct prompt_set *prompts,
                      const struct task *task, int64_t episode, int parent, struct err *e)
{
	struct best_turn p = { 0 };
	cJSON *out = NULL;

	if (parent == 0 || recall(store, episode, &p, parent, e) == 0)
		out = messages_for(prompts, task, parent ? &p : NULL, e);
	forget(&p);
	return out;
}

/* Whether the ask is for the prompt that this session was opened with. */
static bool first_round(const struct session *s)
{
	return s->effect.round == 1;
}

static int make_prompt(struct session *s, struct err *e)
{
	const struct best_turn *p = remembered(s, s->effect.parent.turn);

	if (s->o->messages && first_round(s))
		s->prompt = cJSON_Duplicate(s->o->messages, true);
	else
		s->prompt = messages_for(s->o->prompts, s->o->task, p, e);
	if (!s->prompt)
		return -1;
	if (s->o->user && first_round(s)) {
		cJSON *last = cJSON_GetArrayItem(s->prompt, cJSON_GetArraySize(s->prompt) - 1);
		cJSON_ReplaceItemInObjectCaseSensitive(last, "content",
		                                       cJSON_CreateString(s->o->user));
	}
	return 0;
}

static const char *user_message(const cJSON *messages)
{
	return json_string_or(cJSON_GetArrayItem(messages, cJSON_GetArraySize(messages) - 1),
	                      "content", "");
}

/* What every prompt of this task begins with: its user message without a turn to repair. None when
 * it was written by hand and begins otherwise. */
static size_t shared_bytes(const struct session *s)
{
	cJSON *first = repair_messages(s->o->prompts, s->o->task, NULL, NULL);
	const char *head = user_message(first), *whole = user_message(s->prompt);
	size_t n = strlen(head);

	if (strncmp(whole, head, n) != 0)
		n = 0;
	cJSON_Delete(first);
	return n;
}

static int do_ask(struct session *s, struct episode_event *out, struct err *e)
{
	const struct best_turn *p = remembered(s, s->effect.parent.turn);
	struct buf text = { 0 };
	cJSON *o;
	int rc;

	bool group = first_round(s) && s->machine.rules.group > 1;
	int before = s->machine.of_round; /* of this prompt */

	clear_turn(s);
	s->started_us = store_now_us();
	if (before == 0)
		s->round_us = s->started_us;
	/* of siblings that are taken as they end, all were begun together */
	else if (s->o->any)
		s->started_us = s->round_us;
	s->number = s->turns_known + s->machine.committed + 1;
	s->member = group ? before + 1 : 0;
	if (store_turn_begin(s->o->store, s->episode, e) < 0)
		return -1;
	s->open = true;
	o = decision("ask");
	cJSON_AddNumberToObject(o, "turn", s->number);
	cJSON_AddNumberToObject(o, "round", s->effect.round);
	json_add_figure(o, "parent", s->effect.parent.turn ? s->effect.parent.turn : NAN);
	happen_json(s, s->started_us, "decision", o);
	if (make_prompt(s, e) < 0)
		return -1;
	repair_text(&text, s->prompt);
	o = cJSON_CreateObject();
	cJSON_AddNumberToObject(o, "bytes", (double)text.len);
	happen_json(s, s->started_us, "prompt", o);
	tell(s, SAW_ASK, buf_str(&text), text.len);
	/* the two programs start while the completion is being written */
	if ((rc = scoring_warm(s->scoring, e)) == 0) {
		struct ask a = {
			.number = s->effect.ask,
			.turn = s->number,
			.prompt = buf_str(&text),
			.prompt_len = text.len,
			.messages = s->prompt,
			.shared = shared_bytes(s),
			.previous = p ? buf_str(&p->program) : NULL,
			.siblings = group ? s->machine.rules.group - before : 1,
			.again = before > 0,
			.any = s->o->any,
			.forced = first_round(s) ? s->o->forced : NULL,
			.n_forced = first_round(s) ? s->o->n_forced : 0,
			.seed_add = first_round(s) ? s->o->seed_add : 0,
			.ctx = s,
			.tick_ms = s->watch && !s->o->tick_ms ? EARLY_TICK_MS : s->o->tick_ms,
			.tick = on_source_tick,
			.text = on_text,
		};
		if (s->watch && before == 0 && !(group && s->o->any))
			watch_begin(s->watch, EXTRACT_ANSWER);
		rc = s->o->source->next(s->o->source->ctx, &a, &s->completion, e);
		if (s->watch)
			watch_stop(s->watch);
		/* it may have ended by itself in the same moment */
		if (s->completion.finish == FINISH_CANCELLED && s->cut > 0)
			s->completion.finish = FINISH_FAILED;
		else
			s->cut = 0;
		if (group && s->completion.sibling > 0)
			s->member = s->completion.sibling;
		out->kind = rc < 0 && e->kind != ERR_CANCELLED ? EPISODE_NO_COMPLETION
		                                               : EPISODE_COMPLETION;
	}
	buf_release(&text);
	return rc;
}

/* Whether the answer was cut off: what the source says, or an opening fence without an end. */
static int look_at_completion(struct session *s, struct err *e)
{
	struct completion *c = &s->completion;
	struct extract x;

	if (extract_program(&x, c->rule, buf_str(&c->text), c->text.len, e) < 0)
		return -1;
	if (x.clipped && c->finish == FINISH_STOP)
		c->finish = FINISH_LENGTH;
	s->clipped = c->finish == FINISH_LENGTH;
	extract_release(&x);
	return 0;
}

static void figure_event(struct session *s, const char *name, double v)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "name", name);
	json_add_figure(o, "value", v);
	happen_json(s, 0, "figure", o);
}

static void score_events(struct session *s)
{
	const cJSON *reward = cJSON_GetObjectItemCaseSensitive(s->scored.json, "reward");

	for (int i = 0; i < STORE_TERMS; i++)
		figure_event(s, store_term_names[i],
		             json_number_or(reward, store_term_names[i], NAN));
	figure_event(s, "total", s->scored.total);
}

static int do_score(struct session *s, struct episode_event *out, struct err *e)
{
	const struct best_turn *p = remembered(s, s->effect.parent.turn);
	const struct completion *c = &s->completion;
	cJSON *o = cJSON_CreateObject();

	if (look_at_completion(s, e) < 0) {
		cJSON_Delete(o);
		return -1;
	}
	cJSON_AddNumberToObject(o, "bytes", (double)c->text.len);
	cJSON_AddStringToObject(o, "finish", finish_name(c->finish));
	json_add_figure(o, "seconds", c->seconds);
	if (c->rule == EXTRACT_FILE)
		cJSON_AddStringToObject(o, "rule", "file");
	happen_json(s, 0, "completion", o);
	if (c->author.known)
		happen(s, 0, "generation", buf_str(&c->author.figures), c->author.figures.len);
	tell(s, SAW_COMPLETION, NULL, 0);
	struct scoring_input in = {
		.task = s->o->unjudged ? NULL : s->o->task,
		.text = buf_str(&c->text),
		.len = c->text.len,
		.rule = c->rule,
		.file = "program.py",
		.program_lines = true,
		.parent = p ? p->score : NULL,
		.unfinished = s->cut > 0,
	};
	if (s->cut > 0 && s->cut < in.len)
		in.len = s->cut;
	if (scoring_run(s->scoring, &in, &s->scored, e) < 0)
		return -1;
	score_events(s);
	tell(s, SAW_SCORE, NULL, 0);
	*out = (struct episode_event){ .kind = EPISODE_SCORED,
		                       .built = s->scored.built,
		                       .total = s->scored.total };
	return 0;
}

static int do_commit(struct session *s, struct episode_event *out, struct err *e)
{
	cJSON *o = decision("commit");

	cJSON_AddBoolToObject(o, "best", s->effect.is_best);
	json_add_figure(o, "delta", s->effect.delta);
	happen_json(s, 0, "decision", o);
	struct turn_new t = {
		.episode = s->episode,
		.parent = s->effect.parent.turn,
		.source = s->o->source_word,
		.author = s->completion.author.known ? &s->completion.author : NULL,
		.finish = finish_name(s->completion.finish),
		.member = s->member,
		.started_us = s->started_us,
		.prompt = s->prompt,
		.completion = buf_str(&s->completion.text),
		.completion_len = s->completion.text.len,
		.scored = &s->scored,
		.events = &s->events,
	};
	if (turn_commit(s->o->store, &t, &s->turn, e) < 0)
		return -1;
	s->open = false;
	if (s->effect.is_best)
		keep_as_best(s);
	*out = (struct episode_event){ .kind = EPISODE_COMMITTED, .turn = s->turn };
	return 0;
}

/* The object of run --json: the turn's own first, then its score. */
static void describe_turn(struct session *s, int parent)
{
	cJSON *o = cJSON_CreateObject(), *item;

	cJSON_AddNumberToObject(o, "episode", (double)s->episode);
	cJSON_AddNumberToObject(o, "turn", s->turn);
	json_add_figure(o, "parent", parent ? parent : NAN);
	cJSON_AddNumberToObject(o, "best", s->machine.best.turn);
	cJSON_AddItemToObject(
		o, "delta",
		cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(s->scored.json, "delta"), true));
	if (!cJSON_HasObjectItem(o, "delta"))
		cJSON_AddNullToObject(o, "delta");
	cJSON_AddStringToObject(o, "finish", finish_name(s->completion.finish));
	json_add_text(o, "end", episode_end_name(s->machine.end));
	cJSON_ArrayForEach(item, s->scored.json) if (strcmp(item->string, "delta") != 0)
		cJSON_AddItemToObject(o, item->string, cJSON_Duplicate(item, true));
	cJSON_Delete(s->turn_json);
	s->turn_json = o;
}

/* ---- the loop ---- */

static void record_end(struct session *s, const struct err *why)
{
	cJSON *o = decision("end");
	struct buf line = { 0 };

	cJSON_AddStringToObject(o, "why", episode_end_name(s->machine.end));
	json_add_figure(o, "best", s->machine.best.turn ? s->machine.best.turn : NAN);
	json_add_figure(o, "total", s->machine.best.turn ? s->machine.best.total : NAN);
	json_add_text(o, "error", why->kind ? why->text : NULL);
	json_print(&line, o);
	cJSON_Delete(o);
	struct store_event_new v = { store_now_us(), "decision", buf_str(&line) };
	/* that it ended is seen by its turns as well: no reason to fail now */
	if (!buf_failed(&line) && !(s->o->open && s->machine.end == END_TURNS))
		store_events_add(s->o->store, s->episode, &v, 1, NULL);
	if (s->o->event)
		s->o->event(s->o->ctx, s, v.time_us, v.kind, v.data, line.len);
	buf_release(&line);
}

/* Carries out the effect; the event that answers it. When it fails: the event for that, and why. */
static struct episode_event carry_out(struct session *s, struct err *why)
{
	struct episode_event ev = { .kind = EPISODE_LOST };
	int rc = -1;

	switch (s->effect.kind) {
	case EFFECT_ASK:
		rc = do_ask(s, &ev, why);
		break;
	case EFFECT_SCORE:
		rc = do_score(s, &ev, why);
		break;
	case EFFECT_COMMIT:
		rc = do_commit(s, &ev, why);
		break;
	case EFFECT_NONE:
	case EFFECT_END:
		err_set(why, ERR_PROTOCOL, "the episode has nothing to do and is not over");
		break;
	}
	if (rc < 0 && why->kind == ERR_CANCELLED)
		ev.kind = EPISODE_STOP;
	return ev;
}

void session_stop_after(struct session *s)
{
	s->last = true;
}

/* The machine is told when it can be: between two effects. */
static void tell_last(struct session *s)
{
	const struct episode_event ev = { .kind = EPISODE_STOP_AFTER,
		                          .time_s = (double)store_now_us() / 1e6 };
	struct episode_effect none;

	if (s->last && episode_step(&s->machine, &ev, &none, NULL) == 0)
		s->last = false;
}

int session_run(struct session *s, struct err *e)
{
	struct episode_event ev = { .kind = EPISODE_START,
		                    .parent = as_turn(&s->parent),
		                    .best = as_turn(&s->best) };
	struct err why = { 0 }, wrong;

	for (;;) {
		int parent = s->effect.parent.turn;
		tell_last(s);
		ev.time_s = (double)store_now_us() / 1e6;
		if (episode_step(&s->machine, &ev, &s->effect, &wrong) < 0) {
			why = wrong;
			s->machine.end = END_LOST;
			break;
		}
		if (ev.kind == EPISODE_COMMITTED) {
			describe_turn(s, parent);
			tell(s, SAW_TURN, NULL, 0);
			store_tend(s->o->store);
		}
		if (s->machine.phase == EPISODE_OVER)
			break;
		if (on_tick(s)) {
			err_set(&why, ERR_CANCELLED, "interrupted");
			ev = (struct episode_event){ .kind = EPISODE_STOP };
			continue;
		}
		ev = carry_out(s, &why);
	}
	if (s->open && store_turn_drop(s->o->store, s->episode, &wrong) == 0)
		s->open = false;
	record_end(s, &why);
	tell(s, SAW_END, NULL, 0);
	if (!why.kind)
		return 0;
	*e = why;
	return -1;
}
