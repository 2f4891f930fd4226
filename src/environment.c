#include "src/environment.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/clock.h"
#include "src/pipeline.h"
#include "src/turn.h"

enum { FAR_MOST = 256 };
enum { MODES = OPENENV_STRICT + 1, BRIEF_MAX = 64 << 10 };

const double environment_step_bounds[ENVIRONMENT_BOUNDS] = { 0.025, 0.05, 0.1, 0.25, 0.5, 1,
	                                                     2.5,   5,    10,  20,   45 };

static const char ready_note[] = "Ready. Submit complete CadQuery code as the action.code field.";

struct env_session {
	struct env_session *next, **at;
	void *user;
	bool left; /* nobody is there any more */
	/* the episode */
	const struct task *task; /* NULL: an id that no pack has */
	struct task unknown;     /* what stands for such a one in the store */
	char *task_id, *brief, *id;
	int64_t episode; /* of the store; 0: none yet */
	enum openenv_mode mode;
	int steps, turn; /* turn: of the store, that the next goes on from */
	bool done;
	struct openenv_trace trace[OPENENV_STEPS_MAX];
	/* the last step */
	char *code, *log;
	cJSON *score, *notes;
	double reward, delta;
	const char *failure;
	char artifacts[64];
	/* the step under way */
	bool busy, started; /* started: it has left the queue */
	struct env_session *behind;
	struct turn_events events;
	int64_t seed;
	struct buf text;
	cJSON *parent; /* score that the delta is taken from */
	struct scoring_input in;
	enum openenv_mode mode_now;
	double begun;
	int64_t begun_us;
};

struct environment {
	struct environment_options o;
	struct scoring *scoring[MODES]; /* NULL: not wanted yet */
	struct env_session *first;
	struct env_session *line, **line_end; /* steps that wait for a builder, in their order */
	int started;
	struct environment_figures figures;
};

static struct env_session *session_of(size_t item)
{
	return (struct env_session *)(uintptr_t)item;
}

/* ---- words ---- */

static char *copy(const char *text)
{
	return strdup(text ? text : "");
}

static void set(char **at, const char *text)
{
	free(*at);
	*at = copy(text);
}

static cJSON *one_note(const char *text)
{
	cJSON *list = cJSON_CreateArray();

	cJSON_AddItemToArray(list, cJSON_CreateString(text));
	return list;
}

/* What the task asks of a part, a sentence each. */
static cJSON *constraints(const struct task *t)
{
	cJSON *list = cJSON_CreateArray();
	char text[400];

	if (!t)
		return list;
	snprintf(text, sizeof(text), "Bounding box %g x %g x %g mm (X, Y, Z; Z up).", t->bbox_mm[0],
	         t->bbox_mm[1], t->bbox_mm[2]);
	cJSON_AddItemToArray(list, cJSON_CreateString(text));
	for (int i = 0; i < t->n_dimensions; i++) {
		const struct task_dimension *d = &t->dimensions[i];
		snprintf(text, sizeof(text), "%s = %g mm%s%s", d->name, d->value_mm,
		         d->about ? ": " : "", d->about ? d->about : "");
		cJSON_AddItemToArray(list, cJSON_CreateString(text));
	}
	cJSON_AddItemToArray(list, cJSON_CreateString("The final object is assigned to fixture."));
	return list;
}

/* The score's reward as the published environment gives it: a failed build without "contact". */
static cJSON *reward_json(const cJSON *score)
{
	cJSON *o = cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(score, "reward"), true);
	const cJSON *build = cJSON_GetObjectItemCaseSensitive(score, "build");

	if (o && !json_bool_or(build, "ok", false))
		cJSON_DeleteItemFromObjectCaseSensitive(o, "contact");
	return o;
}

/* name -> where it can be had. */
static cJSON *renders(const struct env_session *s)
{
	static const char *const views[] = {
		"front", "back", "left", "right", "top", "iso", "sheet"
	};
	cJSON *o = cJSON_CreateObject();
	char text[160];

	if (!s->turn || !s->score ||
	    !json_bool_or(cJSON_GetObjectItemCaseSensitive(s->score, "build"), "ok", false))
		return o;
	for (size_t i = 0; i < sizeof(views) / sizeof(views[0]); i++) {
		snprintf(text, sizeof(text), "/artifacts/%lld/step-%d/%s.png",
		         (long long)s->episode, s->turn, views[i]);
		cJSON_AddStringToObject(o, views[i], text);
	}
	return o;
}

/* ---- answers ---- */

static void answer(struct environment *v, struct env_session *s, bool state, double value)
{
	struct openenv_seen seen = {
		.task_id = s->task_id,
		.task_brief = s->brief,
		.code = s->code,
		.notes = s->notes,
		.artifacts = s->artifacts,
		.trace = s->trace,
		.n_trace = s->steps < OPENENV_STEPS_MAX ? s->steps : OPENENV_STEPS_MAX,
		.value = value,
		.done = s->done,
		.log = s->log,
		.delta = s->delta,
		.failure = s->failure,
		.episode_id = s->id,
		.step_count = s->steps,
	};
	cJSON *asked = constraints(s->task), *reward = s->score ? reward_json(s->score) : NULL;
	cJSON *pictures = renders(s);
	struct buf message = { 0 }, body = { 0 };

	seen.constraints = asked;
	seen.reward = reward;
	seen.renders = pictures;
	if (state) {
		openenv_state_message(&message, &seen);
		openenv_state(&body, &seen, true);
	} else {
		openenv_result_message(&message, &seen);
		openenv_result(&body, &seen);
	}
	if (!s->left)
		v->o.answer(v->o.ctx, s, buf_str(&message), message.len, buf_str(&body), body.len);
	buf_release(&message);
	buf_release(&body);
	cJSON_Delete(asked);
	cJSON_Delete(reward);
	cJSON_Delete(pictures);
}

static void answer_error(struct environment *v, struct env_session *s, const struct err *why)
{
	struct buf message = { 0 }, body = { 0 };
	cJSON *o = cJSON_CreateObject();

	openenv_error_message(&message, "EXECUTION_ERROR", NULL, "%s", why->text);
	cJSON_AddStringToObject(o, "detail", why->text);
	json_print(&body, o);
	cJSON_Delete(o);
	if (!s->left)
		v->o.answer(v->o.ctx, s, buf_str(&message), message.len, buf_str(&body), body.len);
	buf_release(&message);
	buf_release(&body);
}

/* ---- sessions ---- */

static void forget_steps(struct env_session *s)
{
	for (int i = 0; i < OPENENV_STEPS_MAX; i++) {
		cJSON_Delete((cJSON *)(uintptr_t)s->trace[i].notes);
		cJSON_Delete((cJSON *)(uintptr_t)s->trace[i].terms);
		free((char *)(uintptr_t)s->trace[i].task_id);
	}
	memset(s->trace, 0, sizeof(s->trace));
	cJSON_Delete(s->score);
	cJSON_Delete(s->notes);
	free(s->log);
	s->score = s->notes = NULL;
	s->log = NULL;
	set(&s->code, "");
	s->artifacts[0] = '\0';
	s->steps = s->turn = 0;
	s->episode = 0;
	s->done = false;
	s->reward = s->delta = NAN;
	s->failure = NULL;
}

static void session_free(struct env_session *s)
{
	*s->at = s->next;
	if (s->next)
		s->next->at = s->at;
	forget_steps(s);
	cJSON_Delete(s->parent);
	turn_events_release(&s->events);
	buf_release(&s->text);
	free(s->task_id);
	free(s->brief);
	free(s->id);
	free(s->code);
	free(s);
}

static void choose_task(struct environment *v, struct env_session *s, const char *id)
{
	s->task = task_find(v->o.tasks, id, NULL);
	set(&s->task_id, id);
	/* what is no id at all is not written where ids are */
	bool fits = strlen(id) >= 1 && strlen(id) <= TASK_ID_MAX &&
	            strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(id);
	s->unknown = (struct task){ .id = fits ? s->task_id : "unknown",
		                    .pack = "",
		                    .file = "",
		                    .family = "",
		                    .prompt = "" };
	set(&s->brief, s->task ? s->task->prompt : "");
}

struct env_session *environment_session(struct environment *v, void *user)
{
	struct env_session *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->user = user;
	s->seed = -1;
	s->at = &v->first;
	s->next = v->first;
	if (s->next)
		s->next->at = &s->next;
	v->first = s;
	forget_steps(s);
	choose_task(v, s, OPENENV_DEFAULT_TASK);
	return s;
}

/* A step is under way no more. */
static void over(struct environment *v, struct env_session *s)
{
	s->busy = s->started = false;
	v->figures.under_way--;
	cJSON_Delete(s->parent);
	s->parent = NULL;
}

void environment_leave(struct environment *v, struct env_session *s)
{
	struct env_session **at = &v->line;

	s->left = true;
	if (s->busy && !s->started) {
		/* nobody waits for it any more: it is not built at all */
		while (*at != s)
			at = &(*at)->behind;
		*at = s->behind;
		if (v->line_end == &s->behind)
			v->line_end = at;
		over(v, s);
	}
	if (!s->busy)
		session_free(s);
}

void *env_session_user(const struct env_session *s)
{
	return s->user;
}

bool env_session_busy(const struct env_session *s)
{
	return s->busy;
}

const char *env_session_log(const struct env_session *s)
{
	return s->log ? s->log : "";
}

const cJSON *env_session_score(const struct env_session *s)
{
	return s->score;
}

/* ---- a step ---- */

static const char *reference_of(enum openenv_mode mode)
{
	return mode == OPENENV_EXACT ? NULL : "seed-task";
}

/* What was asked for, as far as the client's own prompt is known here. */
static cJSON *prompt(const struct env_session *s)
{
	cJSON *list = cJSON_CreateArray(), *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "role", "user");
	cJSON_AddStringToObject(o, "content", s->brief);
	cJSON_AddItemToArray(list, o);
	return list;
}

static void tell_figure(struct env_session *s, const char *name, double value)
{
	cJSON *o = cJSON_CreateObject();
	struct buf line = { 0 };

	cJSON_AddStringToObject(o, "name", name);
	json_add_figure(o, "value", value);
	json_print(&line, o);
	cJSON_Delete(o);
	turn_event(&s->events, 0, "figure", buf_str(&line), line.len);
	buf_release(&line);
}

static void tell_figures(struct env_session *s, const struct scored *x)
{
	const cJSON *term;

	cJSON_ArrayForEach(term, cJSON_GetObjectItemCaseSensitive(
					 x->json, "reward")) if (strcmp(term->string, "total") != 0)
		tell_figure(s, term->string, cJSON_IsNumber(term) ? term->valuedouble : NAN);
	tell_figure(s, "total", x->total);
}

/* The times of steps, in classes: see environment_step_bounds. */
static void time_step(struct environment *v, struct env_session *s, bool built)
{
	double seconds = clock_now_s() - s->begun;
	int i = 0;

	while (i < ENVIRONMENT_BOUNDS && seconds > environment_step_bounds[i])
		i++;
	v->figures.within[i]++;
	v->figures.step_s += seconds;
	if (v->o.stepped) {
		const struct env_stepped news = { .task = s->task ? s->task->id : NULL,
			                          .mode = s->mode,
			                          .episode = s->episode,
			                          .turn = s->turn,
			                          .reward = s->reward,
			                          .built = built,
			                          .seconds = seconds };
		v->o.stepped(v->o.ctx, s, &news);
	}
}

/* It is stored as the next turn of the session's episode; a step of another task or profile begins
 * an episode of its own, since an episode has one of each. */
static int store_step(struct environment *v, struct env_session *s, const struct scored *x,
                      int *number, struct err *e)
{
	cJSON *asked;

	if (!s->episode) {
		struct buf settings = { 0 };
		cJSON *o = cJSON_CreateObject();
		json_add_text(o, "episode_id", s->id);
		json_add_text(o, "reference", reference_of(s->mode_now));
		if (s->seed >= 0)
			cJSON_AddNumberToObject(o, "seed", (double)s->seed);
		json_print(&settings, o);
		cJSON_Delete(o);
		const struct episode_new n = { .task = s->task ? s->task : &s->unknown,
			                       .scoring = v->scoring[s->mode_now],
			                       .prompts = v->o.prompts,
			                       .source = "serve",
			                       .run = v->o.run,
			                       .settings = buf_str(&settings) };
		int rc = turn_episode(v->o.store, &n, &s->episode, e);
		buf_release(&settings);
		if (rc < 0)
			return -1;
	}
	asked = prompt(s);
	const struct turn_new t = { .episode = s->episode,
		                    .parent = s->turn,
		                    .source = "serve",
		                    .started_us = s->begun_us,
		                    .prompt = asked,
		                    .completion = buf_str(&s->text),
		                    .completion_len = s->text.len,
		                    .scored = x,
		                    .events = &s->events,
		                    .light = v->o.light };
	tell_figures(s, x);
	int rc = turn_commit(v->o.store, &t, number, e);
	cJSON_Delete(asked);
	return rc;
}

static void take_in(struct env_session *s, struct scored *x, int number)
{
	double before = s->steps ? s->reward : NAN;
	struct openenv_trace *t =
		&s->trace[s->steps < OPENENV_STEPS_MAX ? s->steps : OPENENV_STEPS_MAX - 1];

	s->turn = number;
	s->mode = s->mode_now;
	s->reward = isfinite(x->total) ? x->total : -1;
	s->delta = isfinite(before) ? s->reward - before : NAN;
	s->failure = build_class_name(x->cls);
	cJSON_Delete(s->score);
	s->score = x->json;
	x->json = NULL;
	cJSON_Delete(s->notes);
	s->notes = cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(s->score, "notes"), true);
	free(s->log);
	s->log = copy(buf_str(&x->log));
	set(&s->code, buf_str(&s->text));
	snprintf(s->artifacts, sizeof(s->artifacts), "artifact:%lld/step-%d", (long long)s->episode,
	         number);
	*t = (struct openenv_trace){ .step = ++s->steps,
		                     .task_id = copy(s->task_id),
		                     .mode = s->mode,
		                     .reward = s->reward,
		                     .terms = reward_json(s->score),
		                     .ok = x->built,
		                     .notes = cJSON_Duplicate(s->notes, true) };
	snprintf(t->artifacts, sizeof(t->artifacts), "%s", s->artifacts);
	s->done = s->reward >= OPENENV_ENOUGH || s->steps >= OPENENV_STEPS_MAX;
}

static void on_scored(void *ctx, size_t item, struct scored *x, const struct err *why)
{
	struct environment *v = ctx;
	struct env_session *s = session_of(item);
	struct err e = { 0 };
	int number = 0;

	v->started--;
	over(v, s);
	if (!x || x->lost) {
		v->figures.lost++;
		err_set(&e, ERR_LOST,
		        "the program was lost under the builder, and is no step: %s; send it again",
		        why ? why->text : "the builder died");
		answer_error(v, s, &e);
	} else if (store_step(v, s, x, &number, &e) < 0) {
		v->figures.stored_failed++;
		answer_error(v, s, &e);
	} else {
		v->figures.steps++;
		v->figures.built += x->built;
		take_in(s, x, number);
		time_step(v, s, x->built);
		answer(v, s, false, s->reward);
	}
	turn_events_release(&s->events);
	if (s->left)
		session_free(s);
}

/* What is told while it is made, kept with the turn, so that it can be watched and replayed. */
static void on_log(void *ctx, size_t item, const char *stream, const char *text, size_t len)
{
	(void)ctx;
	(void)stream;
	if (item != PIPELINE_PUSHED)
		turn_event(&session_of(item)->events, 0, "log", text, len);
}

static void on_built(void *ctx, size_t item, const struct build *b)
{
	cJSON *o;
	struct buf line = { 0 };

	(void)ctx;
	if (item == PIPELINE_PUSHED)
		return;
	o = cJSON_CreateObject();
	cJSON_AddBoolToObject(o, "ok", b->ok);
	cJSON_AddStringToObject(o, "cause", build_cause_name(b->cause));
	json_add_text(o, "error", b->error);
	json_add_figure(o, "seconds", b->seconds);
	if (b->line > 0)
		cJSON_AddNumberToObject(o, "line", b->line);
	json_print(&line, o);
	cJSON_Delete(o);
	turn_event(&session_of(item)->events, 0, "build", buf_str(&line), line.len);
	buf_release(&line);
}

static int on_tick(void *ctx)
{
	struct environment *v = ctx;

	return v->o.tick ? v->o.tick(v->o.ctx) : 0;
}

static struct scoring *scoring_of(struct environment *v, enum openenv_mode mode, struct err *e)
{
	if (!v->scoring[mode]) {
		const struct scoring_options o = {
			.app = v->o.app,
			.profile = openenv_mode_profile(mode),
			.reference = reference_of(mode),
			.rebuilds = -1,
			.artifacts = v->o.light ? 0 : SCORING_BREP | SCORING_STL | SCORING_VIEWS,
			.ears = { .ctx = v,
			          .tick_ms = 20,
			          .tick = on_tick,
			          .log = on_log,
			          .built = on_built },
		};
		const struct scoring_stream to = { .ctx = v, .done = on_scored };
		v->scoring[mode] = scoring_open(&o, e);
		if (v->scoring[mode])
			scoring_begin(v->scoring[mode], &to);
	}
	return v->scoring[mode];
}

static void step(struct environment *v, struct env_session *s, const struct openenv_ask *a)
{
	if (s->done) {
		cJSON_Delete(s->notes);
		s->notes = one_note(
			"The episode is over; this step was not counted. Reset to begin another.");
		answer(v, s, false, s->reward);
		return;
	}
	if (a->task_id && strcmp(a->task_id, s->task_id) != 0) {
		choose_task(v, s, a->task_id);
		s->episode = 0;
		s->turn = 0;
	}
	if (a->task_prompt)
		set(&s->brief, a->task_prompt);
	if (s->turn && a->mode != s->mode) {
		s->episode = 0;
		s->turn = 0;
	}
	buf_clear(&s->text);
	buf_adds(&s->text, a->code);
	s->parent = s->turn ? cJSON_Duplicate(s->score, true) : NULL;
	s->mode_now = a->mode;
	s->begun = clock_now_s();
	s->begun_us = store_now_us();
	s->in = (struct scoring_input){ .task = s->task,
		                        .text = buf_str(&s->text),
		                        .len = s->text.len,
		                        .rule = EXTRACT_FILE,
		                        .file = "program.py",
		                        .parent = s->parent };
	s->busy = true;
	s->behind = NULL;
	*v->line_end = s;
	v->line_end = &s->behind;
	v->figures.under_way++;
}

static struct env_session *take_from_line(struct environment *v)
{
	struct env_session *s = v->line;

	v->line = s->behind;
	if (!v->line)
		v->line_end = &v->line;
	return s;
}

/* Not before the answers to what came just now have been written: a task's first step may take a
 * while to get its reference ready. */
static void start_steps(struct environment *v)
{
	/* Of workers elsewhere nobody here knows how many there are. Here no more are begun than
	 * there are builders, though one could be built while another is measured (a tenth more
	 * steps a second): those that are begun share the processors, and a long one among many
	 * takes many times as long as alone, while its place in the line costs it no more than
	 * everybody's. */
	int most = v->o.app->queue ? FAR_MOST : v->o.app->jobs;
	double now = clock_now_s();

	while (v->line && (v->started < most || now - v->line->begun > ENVIRONMENT_WAIT_S)) {
		struct env_session *s = take_from_line(v);
		struct err e = { 0 };
		if (now - s->begun > ENVIRONMENT_WAIT_S) {
			v->figures.put_off++;
			err_set(&e, ERR_LACKS,
			        "%d programs are being built or wait for it, and this one waited %d s: it is "
			        "no step; send it again",
			        v->figures.under_way - 1, ENVIRONMENT_WAIT_S);
			over(v, s);
			answer_error(v, s, &e);
			continue;
		}
		struct scoring *scoring = scoring_of(v, s->mode_now, &e);
		s->started = true;
		v->started++;
		if (!scoring || scoring_add(scoring, &s->in, (size_t)(uintptr_t)s, &e) < 0) {
			v->started--;
			over(v, s);
			answer_error(v, s, &e);
			if (s->left)
				session_free(s);
		}
	}
}

/* ---- a reset ---- */

static void reset(struct environment *v, struct env_session *s, const struct openenv_ask *a)
{
	char id[64];
	const char *task = a->task_id;
	const struct task *of_split[512];

	v->figures.resets++;
	forget_steps(s);
	s->seed = a->seed;
	if (!task && a->index >= 0) {
		int n = environment_split(v, a->split ? a->split : "train", of_split, 512);
		if (a->index < n)
			task = of_split[a->index]->id;
	}
	choose_task(v, s, task ? task : OPENENV_DEFAULT_TASK);
	if (a->task_brief)
		set(&s->brief, a->task_brief);
	if (a->episode_id) {
		set(&s->id, a->episode_id);
	} else {
		snprintf(id, sizeof(id), "cadforge-%lld-%llx", (long long)v->figures.resets,
		         (unsigned long long)store_now_us());
		set(&s->id, id);
	}
	s->notes = one_note(ready_note);
	if (!s->task)
		cJSON_AddItemToArray(s->notes, cJSON_CreateString("unknown task"));
	answer(v, s, false, 0);
}

void environment_ask(struct environment *v, struct env_session *s, const struct openenv_ask *a)
{
	if (a->want == OPENENV_RESET)
		reset(v, s, a);
	else if (a->want == OPENENV_STEP)
		step(v, s, a);
	else if (a->want == OPENENV_STATE)
		answer(v, s, true, NAN);
}

/* ---- splits ---- */

int environment_split(const struct environment *v, const char *split, const struct task **out,
                      int cap)
{
	/* by a hash of the id alone, so that every server and every release says the same: of eight
	 * tasks one is for validation, one for the test */
	int part = strcmp(split, "train") == 0        ? 0
	           : strcmp(split, "validation") == 0 ? 6
	           : strcmp(split, "test") == 0       ? 7
	                                              : -1;
	int n = 0;

	if (part < 0)
		return -1;
	for (int i = 0; i < v->o.tasks->n; i++) {
		const struct task *t = &v->o.tasks->tasks[i];
		char hash[SHA256_HEX];
		sha256_hex(t->id, strlen(t->id), hash);
		int of = hash[0] <= '9' ? hash[0] - '0' : hash[0] - 'a' + 10;
		if ((part == 0 ? of % 8 < 6 : of % 8 == part) && n < cap)
			out[n++] = t;
	}
	return n;
}

/* ---- all of it ---- */

struct environment *environment_open(const struct environment_options *o, struct err *e)
{
	struct environment *v = calloc(1, sizeof(*v));

	if (!v) {
		err_set(e, ERR_MEM, "out of memory");
		return NULL;
	}
	v->o = *o;
	v->line_end = &v->line;
	/* the usual mode is ready before the first client asks */
	struct scoring *s = scoring_of(v, OPENENV_FAST, e);
	if (!s || scoring_warm(s, e) < 0) {
		environment_close(v);
		return NULL;
	}
	return v;
}

void environment_close(struct environment *v)
{
	if (!v)
		return;
	for (int i = 0; i < MODES; i++) {
		if (!v->scoring[i])
			continue;
		scoring_end(v->scoring[i]);
		scoring_close(v->scoring[i]);
	}
	while (v->first)
		session_free(v->first);
	free(v);
}

struct environment_figures environment_figures(const struct environment *v)
{
	return v->figures;
}

int environment_poll_fds(struct environment *v, struct pollfd *out, int cap)
{
	int n = 0;

	for (int i = 0; i < MODES; i++)
		if (v->scoring[i])
			n += scoring_poll_fds(v->scoring[i], out + n, cap - n);
	return n;
}

int environment_work(struct environment *v, struct err *e)
{
	start_steps(v);
	for (int i = 0; i < MODES; i++)
		if (v->scoring[i] && scoring_work(v->scoring[i], e) < 0)
			return -1;
	start_steps(v);
	return 0;
}
