/*
 * host_serve.c - the host itself: one round of turns at a time over one open scoring and one
 * engine, told to whoever is attached, and going on when nobody is.
 */
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"
#include "engine/repair.h"
#include "src/base/clock.h"
#include "src/base/json.h"
#include "src/base/sha256.h"
#include "src/base/utf8.h"
#include "src/branch.h"
#include "src/far_engine.h"
#include "src/host.h"
#include "src/host_post.h"
#include "src/packs.h"
#include "src/session.h"
#include "src/settings.h"
#include "src/source_model.h"

enum { TICK_MS = 20, QUEUE_MAX = 256, PROGRAM_MAX = 4 << 20, WANTED_MAX = 8 };
#define LINGER_S 60.0 /* with nobody attached, after the work is done */

/* What a round begins with. */
struct plan {
	const struct task *task;
	int64_t episode; /* 0: a new one */
	int parent;
	bool automatic, by_hand;
	int group;
	cJSON *messages; /* of a branch: as that turn was asked */
	const char *user, *program;
	int32_t *forced;
	int n_forced;
	uint64_t seed_add;
	char profile[256], prompts[256]; /* of the episode that is there; "" */
};

struct server {
	const struct host_options *o;
	struct app app;
	struct post post;
	int signals;
	struct store *store;
	struct stat store_was;
	struct task_set tasks;
	bool has_tasks;
	struct settings now, next; /* in force; from the next round on */
	bool changed;
	unsigned reopen;                     /* SETTINGS_..., of what is open */
	struct source model, other, *source; /* the model, kept open; of this round alone; in use */
	struct scoring *scoring;
	char scoring_of[256];              /* its profile, as it was asked for */
	bool profile_given, prompts_given; /* by "set": they go before an episode's own */
	cJSON *about;                      /* of the engine, once it is ready */
	cJSON *todo;                       /* carried out next */
	cJSON *queue[QUEUE_MAX];
	int n_queue;
	char wanted[WANTED_MAX][TASK_ID_MAX + 1]; /* references to be shown, the latest last */
	int n_wanted;
	/* the round in flight */
	bool busy, drop, ending, worked;
	bool meshing; /* a reference: tasks and scoring are in use between two rounds */
	struct session session;
	bool automatic;
	int group;
	struct buf held; /* the beginning of a character that has not come whole */
	int64_t episode; /* of the last round */
	char task[128];
	double idle_since;
};

/* ---- saying ---- */

static void say(struct server *s, const char *kind, int turn, int member, cJSON *data)
{
	const struct post_news n = { .kind = kind, .turn = turn, .member = member, .keep = true };

	post_say_json(&s->post, &n, data);
}

/* What is of this moment alone: not for who comes later. */
static void say_now(struct server *s, const char *kind, cJSON *data)
{
	const struct post_news n = { .kind = kind };

	post_say_json(&s->post, &n, data);
}

static void trouble(struct server *s, const char *text)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "text", text);
	say(s, "trouble", 0, 0, o);
}

static void phase(struct server *s, const char *name, const char *why)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "phase", name);
	if (why)
		cJSON_AddStringToObject(o, "why", why);
	say(s, "phase", s->session.number, s->session.member, o);
}

static void refuse(struct server *s, struct post_peer *q, const char *deed, const char *why)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "do", deed);
	cJSON_AddStringToObject(o, "why", why);
	if (q)
		post_answer(&s->post, q, "refused", o);
	else
		say_now(s, "refused", o);
}

static cJSON *hello(const struct server *s)
{
	cJSON *o = cJSON_CreateObject(), *list;

	cJSON_AddNumberToObject(o, "pid", getpid());
	cJSON_AddStringToObject(o, "version", PACKAGE_VERSION);
	cJSON_AddStringToObject(o, "db", s->o->db);
	cJSON_AddBoolToObject(o, "busy", s->busy || s->todo || s->n_queue > 0);
	cJSON_AddBoolToObject(o, "attached", post_attached(&s->post));
	json_add_figure(o, "episode", s->episode ? (double)s->episode : NAN);
	json_add_text(o, "task", *s->task ? s->task : NULL);
	cJSON_AddItemToObject(o, "settings", settings_json(&s->next));
	list = cJSON_AddArrayToObject(o, "queue");
	for (int i = 0; i < s->n_queue; i++)
		cJSON_AddItemToArray(list,
		                     cJSON_CreateString(json_string_or(s->queue[i], "task", "?")));
	if (s->about)
		cJSON_AddItemToObject(o, "model", cJSON_Duplicate(s->about, true));
	return o;
}

/* ---- what the session tells ---- */

static bool is_text(const char *kind)
{
	return strcmp(kind, "log") == 0 || strcmp(kind, "tokens") == 0;
}

static void on_event(void *ctx, const struct session *ses, int64_t time_us, const char *kind,
                     const char *data, size_t len)
{
	struct server *s = ctx;
	const struct post_news n = { .time_us = time_us,
		                     .kind = kind,
		                     .turn = ses->number,
		                     .member = ses->member,
		                     .keep = true };
	struct buf quoted = { 0 };

	if (!is_text(kind)) {
		post_say(&s->post, &n, data, len);
		return;
	}
	post_quote(&quoted, data, len);
	post_say(&s->post, &n, buf_str(&quoted), quoted.len);
	buf_release(&quoted);
}

/* Bytes of @p that are whole characters: all but the beginning of one at the end. */
static size_t whole(const char *p, size_t n)
{
	for (size_t back = 1; back < 4 && back <= n; back++) {
		unsigned char c = (unsigned char)p[n - back];
		size_t need = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
		if ((c & 0xc0) != 0x80)
			return need > back ? n - back : n;
	}
	return n;
}

static void say_text(struct server *s, int turn, int member, const char *text, size_t len)
{
	const struct post_news n = {
		.kind = "tokens", .turn = turn, .member = member, .keep = true
	};
	struct buf quoted = { 0 };

	if (len == 0)
		return;
	post_quote(&quoted, text, len);
	post_say(&s->post, &n, buf_str(&quoted), quoted.len);
	buf_release(&quoted);
}

static void on_piece(struct server *s, const struct session *ses, const char *text, size_t len)
{
	buf_add(&s->held, text, len);
	size_t n = whole(buf_str(&s->held), s->held.len);
	say_text(s, ses->number, ses->member, buf_str(&s->held), n);
	buf_consume(&s->held, n);
}

static void add_number(struct buf *b, const char *key, double v)
{
	if (isfinite(v))
		buf_printf(b, ",\"%s\":%.6g", key, v);
	else
		buf_printf(b, ",\"%s\":null", key);
}

static void on_token(void *ctx, int sibling, const struct source_token *t)
{
	struct server *s = ctx;
	int member = s->group > 1 ? sibling : 0;
	const struct post_news n = {
		.kind = "token", .turn = s->session.number, .member = member, .keep = true
	};
	struct buf b = { 0 };

	if (!s->busy)
		return;
	if (t->index < 0 || s->post.round.len > POST_ROUND_MAX) {
		say_text(s, n.turn, member, t->text, t->len);
		return;
	}
	buf_printf(&b, "{\"i\":%d,\"id\":%d,\"text\":", t->index, (int)t->id);
	post_quote(&b, t->text, t->len);
	add_number(&b, "p", exp((double)t->logprob));
	add_number(&b, "entropy", (double)t->entropy);
	buf_adds(&b, ",\"top\":[");
	for (int i = 0; i < t->n_top; i++) {
		buf_printf(&b, "%s[%d,%.6g,", i ? "," : "", (int)t->top[i].id,
		           isfinite(t->top[i].logprob) ? exp((double)t->top[i].logprob) : 0.0);
		post_quote(&b, t->top[i].text, strlen(t->top[i].text));
		buf_addc(&b, ']');
	}
	buf_printf(&b, "],\"thinking\":%s}", t->thinking ? "true" : "false");
	if (!buf_failed(&b))
		post_say(&s->post, &n, buf_str(&b), b.len);
	buf_release(&b);
}

static void on_over(void *ctx, int sibling, const char *finish)
{
	struct server *s = ctx;
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "finish", finish);
	if (s->busy)
		say(s, "over", s->session.number, s->group > 1 ? sibling : 0, o);
	else
		cJSON_Delete(o);
}

static void on_ready(void *ctx, const cJSON *about)
{
	struct server *s = ctx;

	cJSON_Delete(s->about);
	s->about = cJSON_Duplicate(about, true);
	say_now(s, "model", cJSON_Duplicate(about, true));
}

static void on_shape(void *ctx, const struct session *ses, const void *stl, size_t len)
{
	struct server *s = ctx;
	const struct post_news n = { .kind = "shape",
		                     .turn = ses->number,
		                     .member = ses->member,
		                     .bytes = stl,
		                     .len = len,
		                     .keep = true };

	/* more than a screen could show, and than a line should carry */
	if (len <= HOST_BYTES_MAX / 4)
		post_say(&s->post, &n, "{}", 2);
}

static void on_early_shape(void *ctx, const struct session *ses, const void *stl, size_t len,
                           const char *name, int line)
{
	struct server *s = ctx;
	const struct post_news n = { .kind = "shape",
		                     .turn = ses->number,
		                     .member = ses->member,
		                     .bytes = stl,
		                     .len = len,
		                     .keep = true };
	struct buf b = { 0 };

	buf_printf(&b, "{\"line\":%d,\"name\":", line);
	post_quote(&b, name ? name : "", name ? strlen(name) : 0);
	buf_addc(&b, '}');
	if (len <= HOST_BYTES_MAX / 4)
		post_say(&s->post, &n, buf_str(&b), b.len);
	buf_release(&b);
}

static void on_figure(void *ctx, const struct session *ses, const char *name, double value)
{
	struct server *s = ctx;
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "name", name);
	json_add_figure(o, "value", value);
	if (ses->machine.phase == EPISODE_ASKING)
		cJSON_AddTrueToObject(o, "early");
	say(s, "figure", ses->number, ses->member, o);
}

static void apply_settings(struct server *s);

static void on_saw(void *ctx, const struct session *ses, enum session_sight what, const char *text,
                   size_t len)
{
	struct server *s = ctx;
	cJSON *o;

	switch (what) {
	case SAW_EPISODE:
		s->episode = ses->episode;
		o = cJSON_CreateObject();
		cJSON_AddStringToObject(o, "task", ses->o->task->id);
		cJSON_AddStringToObject(o, "profile", scoring_profile_name(s->scoring));
		cJSON_AddNumberToObject(o, "episode", (double)ses->episode);
		cJSON_AddNumberToObject(o, "group", s->group);
		cJSON_AddBoolToObject(o, "auto", s->automatic);
		cJSON_AddNumberToObject(o, "parent", ses->o->parent);
		cJSON_AddNumberToObject(o, "best", ses->best.turn);
		cJSON_AddNumberToObject(o, "turns", ses->turns_known);
		say(s, "begin", 0, 0, o);
		break;
	case SAW_ASK:
		buf_clear(&s->held);
		phase(s, "generate", NULL);
		break;
	case SAW_TEXT:
		/* a model's was told as its tokens came */
		if (!s->source->listen)
			on_piece(s, ses, text, len);
		break;
	case SAW_COMPLETION:
		if (!s->source->listen)
			say_text(s, ses->number, ses->member, buf_str(&s->held), s->held.len);
		buf_clear(&s->held);
		phase(s, "build", NULL);
		break;
	case SAW_BUILD:
		phase(s, "score", NULL);
		break;
	case SAW_SCORE:
		phase(s, "commit", NULL);
		break;
	case SAW_TURN:
		say(s, "turn", ses->turn, ses->member, cJSON_Duplicate(ses->turn_json, true));
		/* between two turns, but not while siblings are still being written */
		if (s->group <= 1 || ses->machine.round > 1)
			apply_settings(s);
		break;
	case SAW_LOG:
	case SAW_END:
		break;
	default:
		break;
	}
}

/* ---- what is open ---- */

static int open_store(struct server *s, struct err *e)
{
	struct stat st;

	/* deleted, or another one put in its place; a round in flight goes on with what it has */
	if (s->store && !s->source &&
	    (stat(s->o->db, &st) < 0 || st.st_ino != s->store_was.st_ino ||
	     st.st_dev != s->store_was.st_dev)) {
		store_close(s->store);
		s->store = NULL;
	}
	if (s->store)
		return 0;
	if (!(s->store = store_open(s->o->db, STORE_WRITE, NULL, e)))
		return -1;
	if (stat(s->o->db, &s->store_was) < 0)
		s->store_was = (struct stat){ 0 };
	return 0;
}

static void close_scoring(struct server *s)
{
	scoring_close(s->scoring);
	s->scoring = NULL;
}

/* Whether its file says what it said when it was read. */
static bool is_fresh(const struct task *t)
{
	struct buf text = { 0 };
	char hash[SHA256_HEX] = "";

	if (buf_read_file(&text, t->file, 16 << 20, NULL) == 0)
		sha256_hex(buf_str(&text), text.len, hash);
	buf_release(&text);
	return strcmp(hash, t->hash) == 0;
}

/* A task that was written or changed since the packs were read is read again; what the scoring
 * knows of tasks goes by where they lie, so that it is opened anew then. */
static const struct task *find_task(struct server *s, const char *id, struct err *e)
{
	const struct task *t = s->has_tasks ? task_find(&s->tasks, id, e) : NULL;

	/* a round in flight has its own among them: nothing is read anew under it */
	if (s->source || s->meshing || (t && is_fresh(t)))
		return t;
	close_scoring(s);
	if (s->has_tasks)
		task_set_release(&s->tasks);
	s->has_tasks = packs_load(&s->tasks, &s->app, e) == 0;
	return s->has_tasks ? task_find(&s->tasks, id, e) : NULL;
}

static void close_model(struct server *s)
{
	source_close(&s->model);
	cJSON_Delete(s->about);
	s->about = NULL;
}

static int open_model(struct server *s, struct err *e)
{
	static const struct source_ears ears_of = { .token = on_token,
		                                    .over = on_over,
		                                    .ready = on_ready };
	struct source_ears ears = ears_of;

	if (s->model.ctx)
		return 0;
	if (!s->now.model)
		return err_set(e, ERR_LACKS,
		               "no model is set: ':set model DIR' takes a folder with config.json, "
		               "tokenizer.json and safetensors (any Qwen3.5), or "
		               "http(s)://HOST/v1#NAME, a server; CADFORGE_MODEL says it for good; "
		               "'cadforge train demo' makes a demonstration model");
	/* workers tell their tokens late: they answer when they are asked for by name alone */
	struct engine_choice choice = { &s->app, &s->now.flags };
	if (source_model_of(&s->model, &s->app, &s->now.flags,
	                    s->now.flags.far ? engine_choose : NULL, &choice, e) < 0)
		return -1;
	ears.ctx = s;
	s->model.listen(s->model.ctx, &ears);
	return 0;
}

/* Under the profile that was set; or, of an episode that is there, under its own, so that its turns
 * can be compared. */
static int open_scoring(struct server *s, const struct plan *p, struct err *e)
{
	bool own = p && *p->profile && !s->profile_given;
	const char *profile = own ? p->profile : s->now.profile;
	struct scoring_options so = {
		.app = &s->app,
		.profile = profile,
		.reference = s->now.reference,
		.rebuilds = -1,
		.artifacts = SCORING_BREP | SCORING_STEP | SCORING_STL | SCORING_VIEWS,
	};

	if (s->scoring && strcmp(s->scoring_of, profile) != 0)
		close_scoring(s);
	if (s->scoring)
		return 0;
	snprintf(s->scoring_of, sizeof(s->scoring_of), "%s", profile);
	s->scoring = scoring_open(&so, e);
	/* one that is not there any more, or was a file */
	if (!s->scoring && own) {
		so.profile = s->now.profile;
		s->scoring = scoring_open(&so, e);
	}
	return s->scoring ? 0 : -1;
}

static int load_prompts(struct server *s, const struct plan *p, struct prompt_set *out,
                        struct err *e)
{
	struct prompts_dirs dirs;

	prompts_dirs(&dirs, &s->app);
	if (*p->prompts && !s->prompts_given &&
	    prompt_set_load(out, dirs.dir, dirs.n, p->prompts, e) == 0)
		return 0;
	return prompt_set_load(out, dirs.dir, dirs.n, s->next.prompts, e);
}

/* What was set holds from here on, but for what must be opened anew: that waits for a round's end.
 */
static void apply_settings(struct server *s)
{
	struct err e;

	if (!s->changed || (s->busy && s->reopen))
		return;
	if (s->reopen & SETTINGS_MODEL)
		close_model(s);
	if (s->reopen & SETTINGS_SCORING)
		close_scoring(s);
	if (settings_copy(&s->now, &s->next, &e) < 0) {
		trouble(s, e.text);
		return;
	}
	s->changed = false;
	s->reopen = 0;
}

/* ---- signals and time ---- */

static void stop_work(struct server *s)
{
	for (int i = 0; i < s->n_queue; i++)
		cJSON_Delete(s->queue[i]);
	s->n_queue = 0;
	cJSON_Delete(s->todo);
	s->todo = NULL;
	if (!s->busy)
		return;
	session_stop_after(&s->session);
	if (s->source && s->source->stop)
		s->source->stop(s->source->ctx);
}

static void read_signals(struct server *s)
{
	struct signalfd_siginfo i;

	while (read(s->signals, &i, sizeof(i)) == (ssize_t)sizeof(i)) {
		if (i.ssi_signo == SIGHUP)
			continue; /* the line is gone: nothing of ours */
		/* the first lets what came be kept, the second does not wait for that */
		s->drop = s->drop || s->ending;
		s->ending = true;
		stop_work(s);
	}
}

static int on_tick(void *ctx)
{
	struct server *s = ctx;

	read_signals(s);
	post_step(&s->post);
	return s->drop;
}

/* ---- a plan ---- */

static void plan_release(struct plan *p)
{
	cJSON_Delete(p->messages);
	free(p->forced);
}

struct known_episode {
	char task[TASK_ID_MAX + 1], profile[256], prompts[256];
	int turns, best;
};

static int read_episode(void *ctx, const struct store_episode *ep)
{
	struct known_episode *k = ctx;

	snprintf(k->task, sizeof(k->task), "%s", ep->task);
	snprintf(k->profile, sizeof(k->profile), "%s", ep->profile);
	snprintf(k->prompts, sizeof(k->prompts), "%s", ep->prompts ? ep->prompts : "");
	k->turns = ep->turns;
	k->best = ep->best;
	return 0;
}

struct asked {
	int turn, parent, times;
};

static int count_times(void *ctx, const struct store_turn *t)
{
	struct asked *a = ctx;

	a->times += t->parent == a->parent && t->model;
	return 0;
}

static int whole_number(const cJSON *o, const char *key, long long min, long long max,
                        long long def, long long *out, struct err *e)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);

	*out = def;
	return !v || cJSON_IsNull(v) ? 0 : json_get_int(o, key, min, max, out, e);
}

/* The episode that @o names, or a new one of the task that it names. */
static int plan_where(struct server *s, const cJSON *o, struct plan *p, struct err *e)
{
	const char *task = json_string_or(o, "task", NULL);
	struct known_episode k = { .turns = 0 };
	long long episode, parent;

	if (whole_number(o, "episode", 1, INT64_MAX / 4, 0, &episode, e) < 0 ||
	    whole_number(o, "parent", 0, INT32_MAX, 0, &parent, e) < 0)
		return -1;
	if (!episode && !task)
		return err_set(e, ERR_USAGE, "\"task\" or \"episode\" is expected");
	if (open_store(s, e) < 0)
		return -1;
	if (episode) {
		if (store_episode(s->store, episode, read_episode, &k, e) < 0)
			return -1;
		if (parent > k.turns)
			return err_set(e, ERR_INPUT, "episode %lld has %d turns, and no turn %lld",
			               episode, k.turns, parent);
		task = k.task;
		memcpy(p->profile, k.profile, sizeof(p->profile));
		memcpy(p->prompts, k.prompts, sizeof(p->prompts));
		p->episode = episode;
		p->parent = parent ? (int)parent : k.best;
	}
	if (!(p->task = find_task(s, task, e)))
		return -1;
	return 0;
}

/* The tokens that a branch begins with, and the prompt of the turn beside which it is made. */
static int plan_branch(struct server *s, const cJSON *o, struct plan *p, struct err *e)
{
	const char *hash =
		json_string_or(cJSON_GetObjectItemCaseSensitive(s->about, "model"), "hash", "");
	long long turn, token, id;
	struct branch b;

	if (json_get_int(o, "turn", 1, INT32_MAX, &turn, e) < 0 ||
	    json_get_int(o, "token", 0, 1 << 20, &token, e) < 0 ||
	    json_get_int(o, "id", 0, INT32_MAX, &id, e) < 0 ||
	    branch_read(&b, s->store, p->episode, (int)turn, token, id, hash, e) < 0)
		return -1;
	/* they are the plan's now */
	p->parent = b.parent;
	p->forced = b.forced;
	p->n_forced = b.n_forced;
	p->messages = b.messages;
	return 0;
}

static int plan_of(struct server *s, const cJSON *o, struct plan *p, struct err *e)
{
	const char *deed = json_string_or(o, "do", "");
	struct asked before = { .turn = 0 };
	long long group;

	*p = (struct plan){ .automatic = json_bool_or(o, "auto", json_bool_or(o, "queue", false)) };
	if (plan_where(s, o, p, e) < 0 ||
	    whole_number(o, "group", 1, 64, strcmp(deed, "start") == 0 ? s->now.rules.group : 1,
	                 &group, e) < 0)
		return -1;
	p->group = (int)group;
	if (strcmp(deed, "hand") == 0) {
		p->program = json_string_or(o, "program", "");
		p->by_hand = true;
		p->group = 1;
		if (!*p->program)
			return err_set(e, ERR_INPUT,
			               "\"program\" is empty: there is nothing to build");
		if (strlen(p->program) > PROGRAM_MAX)
			return err_set(e, ERR_INPUT, "a program of %zu bytes; at most %d are taken",
			               strlen(p->program), PROGRAM_MAX);
		return 0;
	}
	if (strcmp(deed, "branch") == 0)
		return plan_branch(s, o, p, e);
	p->user = json_string_or(o, "prompt", NULL);
	/* the same prompt again is to be answered otherwise */
	before.parent = p->parent;
	if (p->episode && !p->user) {
		if (store_turns(s->store, p->episode, count_times, &before, e) < 0)
			return -1;
		p->seed_add = (uint64_t)before.times;
	}
	return 0;
}

/* ---- a round ---- */

static int open_source(struct server *s, const struct plan *p, struct err *e)
{
	const struct command_options c = {
		.command = s->now.command,
		.wall_s = s->now.command_wall_s,
		.bytes_max = COMPLETION_BYTES_MAX,
		.quiet = true,
	};

	s->source = &s->other;
	if (p->by_hand)
		return source_text(&s->other, p->program, strlen(p->program), e);
	if (s->now.command)
		return source_command(&s->other, &c, e);
	s->source = &s->model;
	return open_model(s, e);
}

static void print_settings(const struct server *s, const struct plan *p, struct buf *out)
{
	cJSON *o = settings_json(&s->now);

	cJSON_AddStringToObject(o, "version", PACKAGE_VERSION);
	cJSON_AddBoolToObject(o, "auto", p->automatic);
	json_print(out, o);
	cJSON_Delete(o);
}

/* The end as a phase: of a round after which somebody is waited for, or of all. */
static void say_end(struct server *s, const struct plan *p)
{
	enum episode_end end = s->session.machine.end;
	const char *why = end == END_TURNS && !p->automatic ? NULL : episode_end_name(end);

	phase(s, p->automatic ? "done" : "wait", why);
}

static int play(struct server *s, const struct plan *p, struct err *e)
{
	struct prompt_set prompts = { 0 };
	struct buf settings = { 0 };
	struct session_options o = {
		.app = &s->app,
		.task = p->task,
		.rules = s->now.rules,
		.episode = p->episode,
		.parent = p->parent,
		.messages = p->messages,
		.user = p->user,
		.forced = p->forced,
		.n_forced = p->n_forced,
		.seed_add = p->seed_add,
		.any = p->group > 1,
		.open = !p->automatic,
		.ctx = s,
		.tick_ms = TICK_MS,
		.tick = on_tick,
		.saw = on_saw,
		.event = on_event,
		.shape = on_shape,
		.figure = on_figure,
		.early = s->now.early && !p->by_hand,
		.stop_early = s->now.rules.stop_on_error && !p->by_hand,
		.early_shape = on_early_shape,
	};
	int rc = -1;

	if (load_prompts(s, p, &prompts, e) < 0 || open_scoring(s, p, e) < 0 ||
	    open_source(s, p, e) < 0)
		goto out;
	print_settings(s, p, &settings);
	o.store = s->store;
	o.prompts = &prompts;
	o.source = s->source;
	o.source_word = p->by_hand ? "hand" : s->source == &s->model ? "model" : "command";
	o.kept = s->scoring;
	o.settings = buf_str(&settings);
	o.rules.group = s->group = p->group;
	o.rules.completions = s->source->count;
	s->automatic = p->automatic;
	if (!p->automatic) {
		o.rules.rounds = 1;
		o.rules.no_gain = 0;
		o.rules.stop_on_error = false;
	}
	post_forget(&s->post);
	if (session_open(&s->session, &o, e) < 0)
		goto out;
	rc = session_run(&s->session, e);
	if (rc < 0 && e->kind == ERR_CANCELLED)
		rc = 0;
	if (rc < 0)
		trouble(s, e->text);
	say_end(s, p);
	rc = 0;
out:
	session_close(&s->session);
	source_close(&s->other);
	s->source = NULL;
	prompt_set_release(&prompts);
	buf_release(&settings);
	return rc;
}

/* Carries out @o (deletes it). */
static void round_of(struct server *s, cJSON *o)
{
	struct plan p = { 0 };
	struct err e = { 0 };

	apply_settings(s);
	s->drop = false;
	s->busy = s->worked = true;
	if (plan_of(s, o, &p, &e) == 0)
		snprintf(s->task, sizeof(s->task), "%s", p.task->id);
	if (e.kind || play(s, &p, &e) < 0) {
		refuse(s, NULL, json_string_or(o, "do", ""), e.text);
		/* nothing was begun: whoever waits for a next step is told that none comes */
		phase(s, "wait", "refused");
	}
	s->busy = false;
	s->drop = false;
	plan_release(&p);
	cJSON_Delete(o);
	apply_settings(s);
	if (s->store)
		store_tend(s->store);
	s->idle_since = clock_now_s();
}

/* ---- commands ---- */

static void do_prompt(struct server *s, struct post_peer *q, const cJSON *o)
{
	struct plan p = { 0 };
	struct prompt_set prompts = { 0 };
	struct err e = { 0 };
	cJSON *messages = NULL;

	if (plan_where(s, o, &p, &e) == 0 && load_prompts(s, &p, &prompts, &e) == 0)
		messages = session_prompt(s->store, &prompts, p.task, p.episode, p.parent, &e);
	if (messages) {
		cJSON *a = cJSON_CreateObject();
		const cJSON *last = cJSON_GetArrayItem(messages, cJSON_GetArraySize(messages) - 1);
		json_add_figure(a, "episode", p.episode ? (double)p.episode : NAN);
		cJSON_AddNumberToObject(a, "parent", p.parent);
		cJSON_AddStringToObject(a, "task", p.task->id);
		cJSON_AddStringToObject(a, "text", json_string_or(last, "content", ""));
		post_answer(&s->post, q, "prompt-is", a);
	} else {
		refuse(s, q, "prompt", e.text);
	}
	cJSON_Delete(messages);
	prompt_set_release(&prompts);
}

static void do_set(struct server *s, struct post_peer *q, const cJSON *o)
{
	cJSON *named = cJSON_Duplicate(o, true);
	struct err e;

	cJSON_DeleteItemFromObjectCaseSensitive(named, "do");
	if (settings_set(&s->next, named, &s->reopen, &e) < 0) {
		refuse(s, q, "set", e.text);
	} else {
		s->changed = true;
		s->profile_given = s->profile_given || cJSON_HasObjectItem(named, "profile");
		s->prompts_given = s->prompts_given || cJSON_HasObjectItem(named, "prompts");
		if (!s->busy && !s->meshing)
			apply_settings(s);
		say_now(s, "settings", settings_json(&s->next));
	}
	cJSON_Delete(named);
}

static void do_warm(struct server *s, struct post_peer *q, const cJSON *o)
{
	struct err e = { 0 };

	if (s->busy || s->meshing)
		return;
	if (open_scoring(s, NULL, &e) < 0 || scoring_warm(s->scoring, &e) < 0 ||
	    (json_bool_or(o, "model", false) && open_model(s, &e) < 0))
		refuse(s, q, "warm", e.text);
}

static void do_reference(struct server *s, struct post_peer *q, const cJSON *o)
{
	const char *task = json_string_or(o, "task", "");

	if (!*task || strlen(task) > TASK_ID_MAX) {
		refuse(s, q, "reference", "\"task\" is expected");
		return;
	}
	for (int i = 0; i < s->n_wanted; i++)
		if (strcmp(s->wanted[i], task) == 0)
			return;
	/* of many the latest count: somebody walks along a list */
	if (s->n_wanted == WANTED_MAX)
		memmove(s->wanted, s->wanted + 1, (size_t)--s->n_wanted * sizeof(s->wanted[0]));
	snprintf(s->wanted[s->n_wanted++], sizeof(s->wanted[0]), "%s", task);
}

/* While a reference is meshed: whatever else is wanted goes before. */
static int on_idle_tick(void *ctx)
{
	struct server *s = ctx;

	read_signals(s);
	post_step(&s->post);
	return s->todo || s->ending;
}

static void show_reference(struct server *s)
{
	const struct scoring_ears ears = { .ctx = s, .tick_ms = TICK_MS, .tick = on_idle_tick };
	char id[TASK_ID_MAX + 1];
	struct err e = { 0 };
	struct buf stl = { 0 };
	cJSON *o = cJSON_CreateObject();
	int rc = -1;

	snprintf(id, sizeof(id), "%s", s->wanted[--s->n_wanted]);
	const struct task *task = find_task(s, id, &e);
	if (task && (s->scoring || open_scoring(s, NULL, &e) == 0)) {
		scoring_listen(s->scoring, &ears);
		s->meshing = true;
		rc = scoring_reference_mesh(s->scoring, task, &stl, &e);
		s->meshing = false;
		scoring_listen(s->scoring, NULL);
		apply_settings(s);
	}
	if (rc < 0 && e.kind == ERR_CANCELLED && s->n_wanted < WANTED_MAX) {
		snprintf(s->wanted[s->n_wanted++], sizeof(s->wanted[0]), "%s", id);
		cJSON_Delete(o);
	} else {
		struct post_news n = { .kind = "reference" };
		cJSON_AddStringToObject(o, "task", id);
		if (rc == 0 && stl.len > HOST_BYTES_MAX / 4)
			rc = err_set(&e, ERR_INPUT, "it has too many triangles to be shown");
		if (rc < 0)
			cJSON_AddStringToObject(o, "error", e.text);
		n.bytes = rc < 0 ? NULL : stl.data;
		n.len = rc < 0 ? 0 : stl.len;
		post_say_json(&s->post, &n, o);
	}
	buf_release(&stl);
	s->idle_since = clock_now_s();
}

static void do_round(struct server *s, struct post_peer *q, const cJSON *o)
{
	bool queue = json_bool_or(o, "queue", false);
	const char *deed = json_string_or(o, "do", "");
	char why[200];

	if (s->ending) {
		refuse(s, q, deed, "the host is ending");
	} else if ((s->busy || s->todo || s->n_queue > 0) && queue) {
		if (s->n_queue == QUEUE_MAX)
			refuse(s, q, deed, "256 tasks wait already");
		else
			s->queue[s->n_queue++] = cJSON_Duplicate(o, true);
	} else if (s->busy || s->todo) {
		snprintf(why, sizeof(why), "a turn of %.100s is under way: stop it first",
		         *s->task ? s->task : "another task");
		refuse(s, q, deed, why);
	} else {
		s->todo = cJSON_Duplicate(o, true);
	}
}

static void do_stop(struct server *s, struct post_peer *q, const char *deed)
{
	if (!s->busy || !s->source) {
		refuse(s, q, deed, "nothing is under way");
		return;
	}
	if (strcmp(deed, "drop") == 0) {
		s->drop = true;
	} else if (strcmp(deed, "stop-after") == 0) {
		for (int i = 0; i < s->n_queue; i++)
			cJSON_Delete(s->queue[i]);
		s->n_queue = 0;
		session_stop_after(&s->session);
	} else if (s->source->stop) {
		s->source->stop(s->source->ctx);
	}
}

static void on_command(void *ctx, struct post_peer *q, const cJSON *o)
{
	struct server *s = ctx;
	const char *deed = json_string_or(o, "do", "");

#define IS(x) (strcmp(deed, x) == 0)
	if (IS("attach")) {
		cJSON *a = hello(s);
		post_attach(&s->post, q);
		post_answer(&s->post, q, "hello", a);
		post_retell(&s->post, q);
	} else if (IS("who")) {
		post_answer(&s->post, q, "hello", hello(s));
		q->closing = !q->workbench;
	} else if (IS("release")) {
		if (!post_part(&s->post, "released"))
			refuse(s, q, deed, "no workbench is attached");
		q->closing = true;
	} else if (IS("end")) {
		s->ending = true;
		stop_work(s);
		q->closing = !q->workbench;
	} else if (!q->workbench) {
		refuse(s, q, deed, "say \"attach\" first");
	} else if (IS("start") || IS("turn") || IS("hand") || IS("branch")) {
		do_round(s, q, o);
	} else if (IS("stop") || IS("drop") || IS("stop-after")) {
		do_stop(s, q, deed);
	} else if (IS("prompt")) {
		do_prompt(s, q, o);
	} else if (IS("set")) {
		do_set(s, q, o);
	} else if (IS("warm")) {
		do_warm(s, q, o);
	} else if (IS("reference")) {
		do_reference(s, q, o);
	} else {
		refuse(s, q, deed, "there is no such thing to do");
	}
#undef IS
}

/* ---- from beginning to end ---- */

/* Waits until there is something to do. False: it is over. */
static bool idle(struct server *s)
{
	struct pollfd fd[112];

	for (;;) {
		int n = 0;
		read_signals(s);
		post_step(&s->post);
		if (s->todo)
			return true;
		if (s->n_queue > 0) {
			s->todo = s->queue[0];
			memmove(s->queue, s->queue + 1, (size_t)--s->n_queue * sizeof(s->queue[0]));
			return true;
		}
		if (s->ending)
			return false;
		if (s->n_wanted > 0) {
			show_reference(s);
			continue;
		}
		bool alone = !post_attached(&s->post);
		double left = LINGER_S - (clock_now_s() - s->idle_since);
		if (!alone)
			s->idle_since = clock_now_s();
		else if (left <= 0 || (!s->worked && s->o->fd >= 0))
			return false;
		fd[n++] = (struct pollfd){ .fd = s->signals, .events = POLLIN };
		n += post_poll_fds(&s->post, fd + n, 16);
		int own = n;
		if (s->scoring)
			n += scoring_poll_fds(s->scoring, fd + n, 16);
		int engine = n;
		if (s->model.poll_fds)
			n += s->model.poll_fds(s->model.ctx, fd + n, 64);
		poll(fd, (nfds_t)n, alone ? 1000 : 5000);
		/* nobody's work is lost with a program that dies now, but it is not left dead */
		for (int i = own; i < engine; i++)
			if (fd[i].revents) {
				scoring_attend(s->scoring);
				break;
			}
		for (int i = engine; i < n; i++)
			if (fd[i].revents) {
				s->model.attend(s->model.ctx);
				break;
			}
	}
}

static int open_signals(struct err *e)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return err_errno(e, ERR_IO, "sigprocmask");
	int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? err_errno(e, ERR_IO, "signalfd") : fd;
}

static void release(struct server *s)
{
	stop_work(s);
	post_close(&s->post);
	source_close(&s->other);
	close_model(s);
	close_scoring(s);
	store_close(s->store);
	if (s->has_tasks)
		task_set_release(&s->tasks);
	settings_release(&s->now);
	settings_release(&s->next);
	buf_release(&s->held);
	if (s->signals >= 0)
		close(s->signals);
	free(s);
}

int host_serve(const struct host_options *o)
{
	struct server *s = calloc(1, sizeof(*s));
	struct err e = { 0 };

	if (!s)
		return app_fail((err_set(&e, ERR_MEM, "out of memory"), &e));
	prctl(PR_SET_NAME, "cadforge-host");
	s->o = o;
	s->app = *o->app;
	s->app.quiet = true;
	s->idle_since = clock_now_s();
	settings_init(&s->now);
	settings_init(&s->next);
	settings_default_model(&s->now, &s->app, &e);
	settings_default_model(&s->next, &s->app, &e);
	s->post.ctx = s;
	s->post.command = on_command;
	if ((s->signals = open_signals(&e)) < 0 || post_open(&s->post, o->db, o->fd, &e) < 0) {
		release(s);
		return app_fail(&e);
	}
	say_now(s, "hello", hello(s));
	if (e.kind)
		trouble(s, e.text);
	while (idle(s)) {
		cJSON *todo = s->todo;
		s->todo = NULL;
		round_of(s, todo);
	}
	release(s);
	return EXIT_DONE;
}
