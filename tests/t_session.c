/*
 * t_session.c - an episode as it is stored: every turn whole, on the disk before it is told, with
 * its events; whatever dies, and wherever. The scoring is one of this file's own: what a program
 * gets is written in it ("# total 0.5").
 */
#include "tests/store.h"

#include <ftw.h>
#include <signal.h>

#include "src/session.h"
#include "src/watch.h"

/* ---- a scoring that takes no time ---- */

struct scoring {
	struct scoring_options o;
};

static int lost_at_run; /* the engine fails in this run, from 1; 0: never */
static int runs;

struct scoring *scoring_open(const struct scoring_options *o, struct err *e)
{
	struct scoring *s = calloc(1, sizeof(*s));

	(void)e;
	s->o = *o;
	return s;
}

void scoring_close(struct scoring *s)
{
	free(s);
}

const char *scoring_profile_name(const struct scoring *s)
{
	(void)s;
	return "exact";
}

const struct limits *scoring_limits(const struct scoring *s)
{
	static const struct limits some = { .wall_s = 45, .cpu_s = 40 };

	(void)s;
	return &some;
}

const char *scoring_profile_hash(const struct scoring *s)
{
	(void)s;
	return "0123";
}

void scoring_listen(struct scoring *s, const struct scoring_ears *ears)
{
	s->o.ears = ears ? *ears : (struct scoring_ears){ 0 };
}

int scoring_warm(struct scoring *s, struct err *e)
{
	(void)s;
	(void)e;
	return 0;
}

/* A watch of the test's own: the line "hopeless" is found to fail when it is whole. */
struct watch {
	struct watch_ops ops;
	struct buf text;
	bool begun, told;
};

struct watch *scoring_watch(struct scoring *s, const struct watch_ops *ops, struct err *e)
{
	struct watch *w = calloc(1, sizeof(*w));

	(void)s;
	(void)e;
	w->ops = *ops;
	return w;
}

double scoring_editability(const struct scoring *s, const cJSON *facts)
{
	(void)s;
	return json_number_or(facts, "share", NAN);
}

void watch_begin(struct watch *w, enum extract_rule rule)
{
	(void)rule;
	buf_clear(&w->text);
	w->begun = true;
	w->told = false;
}

void watch_text(struct watch *w, const char *text, size_t len)
{
	if (w->begun)
		buf_add(&w->text, text, len);
}

void watch_step(struct watch *w)
{
	const char *at = strstr(buf_str(&w->text), "hopeless\n");
	struct build b = { .cause = CAUSE_NAME, .error = (char *)"line 2: no", .line = 2 };

	if (!w->begun || w->told || !at)
		return;
	w->told = true;
	w->ops.news(w->ops.ctx, &(struct watch_news){ .name = "base", .name_line = 1 });
	w->ops.news(w->ops.ctx, &(struct watch_news){
					.why = &b,
					.certain = true,
					.cut = (size_t)(at - buf_str(&w->text)) + 9,
				});
}

void watch_stop(struct watch *w)
{
	w->begun = false;
}

void watch_close(struct watch *w)
{
	if (w)
		buf_release(&w->text);
	free(w);
}

void scored_release(struct scored *s)
{
	for (int i = 0; i < s->n_pictures; i++)
		buf_release(&s->pictures[i].png);
	free(s->pictures);
	cJSON_Delete(s->json);
	buf_release(&s->program);
	buf_release(&s->log);
	buf_release(&s->brep);
	buf_release(&s->stl);
	buf_release(&s->step);
	*s = (struct scored){ .total = NAN };
}

int scoring_run(struct scoring *s, const struct scoring_input *in, struct scored *out,
                struct err *e)
{
	const char *at = strstr(in->text, "# total ");
	struct scored r = { .total = at ? atof(at + 8) : -1 };

	if (++runs == lost_at_run)
		return err_set(e, ERR_LOST, "the builder died too often");
	if (s->o.ears.tick(s->o.ears.ctx))
		return err_set(e, ERR_CANCELLED, "interrupted");
	r.built = r.total >= 0;
	s->o.ears.log(s->o.ears.ctx, 0, "stdout", "it ran\n", 7);
	struct build b = { .ok = r.built, .cause = r.built ? CAUSE_OK : CAUSE_SYNTAX };
	s->o.ears.built(s->o.ears.ctx, 0, &b);
	buf_add(&r.program, in->text, in->len);
	buf_adds(&r.log, "it ran\n");
	r.json = score_of(r.total, r.built, r.built ? "build_ok" : "syntax_closure");
	if (in->parent) {
		cJSON *d = cJSON_CreateObject();
		const cJSON *before = cJSON_GetObjectItemCaseSensitive(in->parent, "reward");
		cJSON_AddNumberToObject(d, "total", r.total - json_number_or(before, "total", 0));
		cJSON_ReplaceItemInObjectCaseSensitive(r.json, "delta", d);
	}
	if (r.built) {
		buf_adds(&r.brep, "a brep");
		buf_adds(&r.stl, "an stl");
		r.pictures = calloc(1, sizeof(*r.pictures));
		r.n_pictures = 1;
		strcpy(r.pictures[0].name, "sheet");
		buf_adds(&r.pictures[0].png, "a png");
	}
	*out = r;
	return 0;
}

/* ---- what every test needs ---- */

static char dir[256];
static struct prompt_set prompts;
static struct task task;

static const char task_text[] =
	"{\"format\": \"cadforge-task-1\", \"id\": \"hook\", \"level\": \"easy\", \"family\": \"hooks\","
	"\"bbox_mm\": [30, 30, 40], \"semantic_hints\": [\"hook\"], \"prompt\": \"A hook.\","
	"\"dimensions\": [{\"name\": \"height\", \"value_mm\": 40, \"about\": \"of all\"}],"
	"\"expect\": {\"hooks\": 1}, \"seed_box_over_height\": null, \"reference\": null,"
	"\"orientation\": \"free\", \"checks\": []}";

static int setup(void **state)
{
	static const char *const dirs[] = { SRCDIR "/tasks/prompts" };
	struct err e = { 0 };

	(void)state;
	make_folder(dir, sizeof(dir));
	if (prompt_set_load(&prompts, dirs, 1, PROMPTS_DEFAULT, &e) < 0 ||
	    task_parse(&task, task_text, strlen(task_text), "hook.json", &e) < 0) {
		print_error("%s\n", e.text);
		return -1;
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	prompt_set_release(&prompts);
	task_release(&task);
	remove_folder(dir);
	return 0;
}

static const char *in(const char *name)
{
	static char path[300];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

/* Completions from a list of totals; below 0: does not build. */
struct list {
	const double *total;
	int n;
	struct buf asked[8]; /* what each was asked */
	bool stopped;
};

static void stop(void *ctx)
{
	struct list *l = ctx;

	l->stopped = true;
}

static int next(void *ctx, const struct ask *a, struct completion *out, struct err *e)
{
	struct list *l = ctx;

	if (a->number >= l->n)
		return err_set(e, ERR_INPUT, "the command has no more");
	if (a->number < 8)
		buf_add(&l->asked[a->number], a->prompt, a->prompt_len);
	/* less than any total: an answer that goes on till it is stopped */
	for (int i = 0; l->total[a->number] < -1 && !l->stopped; i++) {
		const char *line = i == 2 ? "hopeless\n" : "line\n";
		assert_true(i < 100);
		buf_adds(&out->text, line);
		a->text(a->ctx, 0, line, strlen(line));
		if (i % 4 == 3)
			assert_int_equal(a->tick(a->ctx), 0);
		out->finish = l->stopped ? FINISH_CANCELLED : FINISH_STOP;
	}
	if (out->text.len)
		return 0;
	buf_printf(&out->text, "x = %d  # total %g\n", a->turn, l->total[a->number]);
	out->rule = EXTRACT_FILE;
	out->seconds = 0.5;
	/* in pieces, one of which ends inside a character */
	a->text(a->ctx, 0, out->text.data, 3);
	a->text(a->ctx, 0, out->text.data + 3, out->text.len - 3);
	return 0;
}

static void list_release(struct list *l)
{
	for (int i = 0; i < 8; i++)
		buf_release(&l->asked[i]);
}

struct viewer {
	struct store *store;
	enum session_sight last;
	int turns, stop_at; /* 1 in tick() from the sight after so many turns on; 0: never */
	const char *kill_at;
	int kill_turn;
	char said[2000];
};

static const char *const sights[] = { "episode", "ask",   "text", "completion", "log",
	                              "build",   "score", "turn", "end" };

static int tick(void *ctx)
{
	struct viewer *w = ctx;

	return w->stop_at > 0 && w->turns >= w->stop_at;
}

static void saw(void *ctx, const struct session *s, enum session_sight what, const char *text,
                size_t len)
{
	struct viewer *w = ctx;

	(void)text;
	(void)len;
	if (what != SAW_TEXT || w->last != SAW_TEXT)
		snprintf(w->said + strlen(w->said), sizeof(w->said) - strlen(w->said), "%s ",
		         sights[what]);
	w->last = what;
	if (what == SAW_TURN) {
		w->turns++;
		/* whoever looks finds it: on the disk, by another connection */
		struct err e = { 0 };
		struct store *other = store_open(store_file(w->store), STORE_READ, NULL, &e);
		int n = 0;
		assert_non_null(other);
		assert_done(store_turns(other, s->episode, count_turns, &n, &e), &e);
		assert_int_equal(n, s->turn);
		store_close(other);
	}
	if (w->kill_at && strcmp(w->kill_at, sights[what]) == 0 && s->number == w->kill_turn)
		raise(SIGKILL);
}

struct play {
	struct session_options o;
	struct session session;
	struct source source;
	struct list list;
	struct viewer watch;
};

static void play_init(struct play *p, struct store *store, const double *totals, int n)
{
	*p = (struct play){ .list = { totals, n, { { 0 } } } };
	p->watch.store = store;
	p->source = (struct source){ .ctx = &p->list, .next = next, .stop = stop, .name = "list" };
	p->o = (struct session_options){ .store = store,
		                         .prompts = &prompts,
		                         .task = &task,
		                         .source = &p->source,
		                         .source_word = "command",
		                         .settings = "{\"turns\":4}",
		                         .ctx = &p->watch,
		                         .tick = tick,
		                         .saw = saw };
	episode_rules_default(&p->o.rules);
	runs = lost_at_run = 0;
}

static int play_on(struct play *p, struct err *e)
{
	if (session_open(&p->session, &p->o, e) < 0)
		fail_msg("%s", e->text);
	return session_run(&p->session, e);
}

static void play_end(struct play *p)
{
	session_close(&p->session);
	list_release(&p->list);
}

static struct store *open_db(const char *name)
{
	struct err e = { 0 };
	struct store *s = store_open(in(name), STORE_WRITE, NULL, &e);

	if (!s)
		fail_msg("%s", e.text);
	return s;
}

struct text {
	char all[8000];
	int64_t before;
};

static int add_event(void *ctx, const struct store_event *v)
{
	struct text *t = ctx;
	size_t n = strlen(t->all);

	assert_true(v->time_us >= t->before);
	t->before = v->time_us;
	snprintf(t->all + n, sizeof(t->all) - n, "%s %s\n", v->kind, v->data ? v->data : "");
	return 0;
}

/* ---- the tests ---- */

static void an_episode_is_told_step_by_step_and_stored(void **state)
{
	static const double totals[] = { -1, 0.5, 0.4, 0.95 };
	struct store *s = open_db("a.db");
	struct err e = { 0 };
	struct play p;

	(void)state;
	play_init(&p, s, totals, 4);
	if (play_on(&p, &e) < 0)
		fail_msg("%s", e.text);
	assert_string_equal(
		p.watch.said,
		"episode ask text completion log build score turn ask text completion log build "
		"score turn ask text completion log build score turn ask text completion log build "
		"score turn end ");
	assert_int_equal(p.session.machine.end, END_ENOUGH);
	assert_int_equal(p.session.machine.best.turn, 4);
	/* the object of run --json: the turn's own first */
	const cJSON *o = p.session.turn_json;
	static const char *const keys[] = { "episode", "turn",   "parent", "best",
		                            "delta",   "finish", "end" };
	int k = 0;
	const cJSON *item;
	cJSON_ArrayForEach(item, o)
	{
		if (k < 7)
			assert_string_equal(item->string, keys[k]);
		k++;
	}
	assert_true(json_number_or(o, "turn", 0) == 4);
	/* the third was worse: the fourth repairs the second */
	assert_true(json_number_or(o, "parent", 0) == 2);
	assert_close(json_number_or(cJSON_GetObjectItemCaseSensitive(o, "delta"), "total", 9), 0.45,
	             1e-9);
	assert_string_equal(json_string_or(o, "end", ""), "enough");
	assert_string_equal(json_string_or(o, "task", ""), "hook");
	/* each repair was asked with the program that it is to repair, and in fresh words */
	assert_null(strstr(buf_str(&p.list.asked[0]), "last program"));
	assert_contains(buf_str(&p.list.asked[1]), "x = 1  # total -1");
	assert_contains(buf_str(&p.list.asked[3]), "x = 2  # total 0.5");
	assert_null(strstr(buf_str(&p.list.asked[3]), "x = 1  #"));
	assert_null(strstr(buf_str(&p.list.asked[3]), "x = 3  #"));
	/* and what was asked is kept */
	struct buf prompt = { 0 };
	assert_done(store_artifact(s, p.session.episode, 4, "prompt.json", &prompt, &e), &e);
	assert_contains(buf_str(&prompt), "x = 2  # total 0.5");
	buf_release(&prompt);
	play_end(&p);
	assert_whole(s);
	store_close(s);
}

static void every_step_is_an_event_with_its_time(void **state)
{
	static const double totals[] = { 0.25 };
	struct store *s = open_db("a.db");
	struct err e = { 0 };
	struct text t = { "", 0 };
	struct play p;

	(void)state;
	play_init(&p, s, totals, 1);
	p.source.count = 1;
	p.o.rules.completions = 1;
	assert_int_equal(play_on(&p, &e), 0);
	assert_done(store_events(s, p.session.episode, 1, add_event, &t, &e), &e);
	assert_contains(t.all, "decision {\"do\":\"ask\",\"turn\":1,\"round\":1,\"parent\":null}\n"
	                       "prompt {\"bytes\":");
	assert_contains(t.all, "\ntokens x = 1  # total 0.25\n\ncompletion {\"bytes\":");
	assert_contains(
		t.all,
		"\"finish\":\"stop\",\"seconds\":0.5,\"rule\":\"file\"}\nlog it ran\n\nbuild "
		"{\"ok\":true,\"cause\":\"ok\"");
	assert_contains(t.all, "figure {\"name\":\"contact\",\"value\":null}\n");
	assert_contains(t.all, "figure {\"name\":\"total\",\"value\":0.25}\n"
	                       "decision {\"do\":\"commit\",\"best\":true,\"delta\":null}\n");
	t = (struct text){ "", 0 };
	assert_done(store_events(s, p.session.episode, 0, add_event, &t, &e), &e);
	assert_contains(t.all,
	                "decision {\"do\":\"end\",\"why\":\"source\",\"best\":1,\"total\":0.25,"
	                "\"error\":null}\n");
	play_end(&p);
	store_close(s);
}

static void a_source_that_fails_ends_it_and_what_was_made_stays(void **state)
{
	static const double totals[] = { 0.25, 0.3 };
	struct store *s = open_db("a.db");
	struct err e = { 0 };
	struct text t = { "", 0 };
	struct play p;
	int n = 0;

	(void)state;
	play_init(&p, s, totals, 2);
	assert_int_equal(play_on(&p, &e), -1);
	assert_int_equal(e.kind, ERR_INPUT);
	assert_contains(e.text, "no more");
	assert_int_equal(p.session.machine.end, END_NO_COMPLETION);
	assert_true(episode_built(&p.session.machine));
	assert_done(store_turns(s, p.session.episode, count_turns, &n, &e), &e);
	assert_int_equal(n, 2);
	assert_done(store_events(s, p.session.episode, 0, add_event, &t, &e), &e);
	assert_contains(t.all, "\"why\":\"no_completion\",\"best\":2");
	play_end(&p);
	/* nothing is said to be unfinished: it ended in words */
	store_close(s);
	s = open_db("a.db");
	assert_null(store_warning(s));
	store_close(s);
}

static void an_engine_that_fails_ends_it_and_what_was_made_stays(void **state)
{
	static const double totals[] = { 0.25, 0.3, 0.4 };
	struct store *s = open_db("a.db");
	struct err e = { 0 };
	struct play p;
	int n = 0;

	(void)state;
	play_init(&p, s, totals, 3);
	lost_at_run = 2;
	assert_int_equal(play_on(&p, &e), -1);
	assert_int_equal(e.kind, ERR_LOST);
	assert_int_equal(p.session.machine.end, END_LOST);
	assert_done(store_turns(s, p.session.episode, count_turns, &n, &e), &e);
	assert_int_equal(n, 1);
	play_end(&p);
	assert_whole(s);
	store_close(s);
}

static int count_early(void *ctx, const struct store_event *v)
{
	int *n = ctx;

	if (strcmp(v->kind, "early") != 0)
		return 0;
	assert_contains(v->data, ++*n == 1 ? "\"name\":\"base\"" : "\"error\":\"line 2: no\"");
	return 0;
}

static void a_hopeless_answer_is_ended_where_it_failed(void **state)
{
	static const double totals[] = { -2, 0.3 };
	struct store *s = open_db("h.db");
	struct buf text = { 0 };
	struct err e = { 0 };
	struct play p;
	int n = 0;

	(void)state;
	play_init(&p, s, totals, 2);
	p.o.early = p.o.stop_early = true;
	p.o.rules.rounds = 1;
	assert_done(play_on(&p, &e), &e);
	/* all that came is kept; what is built ends with the line that failed */
	assert_done(store_artifact(s, p.session.episode, 1, "completion.txt", &text, &e), &e);
	assert_string_equal(buf_str(&text), "line\nline\nhopeless\nline\n");
	buf_clear(&text);
	assert_done(store_artifact(s, p.session.episode, 1, "program.py", &text, &e), &e);
	assert_string_equal(buf_str(&text), "line\nline\nhopeless\n");
	assert_string_equal(json_string_or(p.session.turn_json, "finish", ""), "failed");
	assert_done(store_events(s, p.session.episode, 1, count_early, &n, &e), &e);
	assert_int_equal(n, 2);
	buf_release(&text);
	play_end(&p);

	/* and one that nobody asked to stop goes on to its own end */
	play_init(&p, s, totals + 1, 1);
	p.o.early = true;
	p.o.rules.rounds = 1;
	assert_done(play_on(&p, &e), &e);
	assert_string_equal(json_string_or(p.session.turn_json, "finish", ""), "stop");
	play_end(&p);
	assert_whole(s);
	store_close(s);
}

static void an_interruption_drops_the_turn_in_flight_alone(void **state)
{
	static const double totals[] = { 0.25, 0.3, 0.4 };
	struct store *s = open_db("a.db");
	struct err e = { 0 };
	struct text t = { "", 0 };
	struct play p;
	int n = 0;

	(void)state;
	play_init(&p, s, totals, 3);
	p.watch.stop_at = 2;
	assert_int_equal(play_on(&p, &e), -1);
	assert_int_equal(e.kind, ERR_CANCELLED);
	assert_int_equal(p.session.machine.end, END_INTERRUPTED);
	assert_done(store_turns(s, p.session.episode, count_turns, &n, &e), &e);
	assert_int_equal(n, 2);
	assert_done(store_events(s, p.session.episode, 0, add_event, &t, &e), &e);
	assert_contains(t.all, "\"why\":\"interrupted\"");
	play_end(&p);
	store_close(s);
	s = open_db("a.db");
	assert_null(store_warning(s));
	store_close(s);
}

static int read_parent(void *ctx, const struct store_turn *t)
{
	*(int *)ctx = t->parent;
	return 0;
}

static void a_fork_goes_on_in_the_same_episode(void **state)
{
	static const double totals[] = { 0.25, 0.3, 0.2, 0.1 };
	struct store *s = open_db("a.db");
	struct err e = { 0 };
	struct play p;
	int n = 0, parent = 0;
	int64_t ep;

	(void)state;
	play_init(&p, s, totals, 4);
	p.o.rules.rounds = 3;
	assert_int_equal(play_on(&p, &e), 0);
	ep = p.session.episode;
	play_end(&p);
	static const double more[] = { 0.28, 0.6 };
	play_init(&p, s, more, 2);
	p.o.episode = ep;
	p.o.parent = 1;
	p.o.rules.rounds = 2;
	assert_int_equal(play_on(&p, &e), 0);
	assert_int_equal(p.session.episode, ep);
	assert_contains(buf_str(&p.list.asked[0]), "x = 1  # total 0.25");
	/* then from the best of the whole episode, which 0.28 is not */
	assert_contains(buf_str(&p.list.asked[1]), "x = 2  # total 0.3");
	assert_int_equal(p.session.machine.best.turn, 5);
	play_end(&p);
	assert_done(store_turns(s, ep, count_turns, &n, &e), &e);
	assert_int_equal(n, 5);
	assert_done(store_turn(s, ep, 4, read_parent, &parent, &e), &e);
	assert_int_equal(parent, 1);
	assert_done(store_turn(s, ep, 5, read_parent, &parent, &e), &e);
	assert_int_equal(parent, 2);
	/* from a turn that there is not */
	play_init(&p, s, more, 2);
	p.o.episode = ep;
	p.o.parent = 9;
	assert_int_equal(session_open(&p.session, &p.o, &e), -1);
	assert_int_equal(e.kind, ERR_INPUT);
	list_release(&p.list);
	store_close(s);
}

/* What the workbench does of an episode: a turn at a time, over one scoring that stays open. */

static int read_member(void *ctx, const struct store_turn *t)
{
	int *member = ctx;

	member[t->number] = t->member;
	return 0;
}

static void one_scoring_serves_one_session_after_another(void **state)
{
	static const double totals[] = { 0.25, 0.3 };
	struct store *s = open_db("kept.db");
	struct err e = { 0 };
	struct scoring_options so = { .app = NULL };
	struct scoring *kept = scoring_open(&so, &e);
	struct text events = { .before = 0 };
	struct play p;
	int64_t ep;

	(void)state;
	play_init(&p, s, totals, 2);
	p.o.kept = kept;
	p.o.open = true;
	p.o.rules.rounds = 1;
	assert_int_equal(play_on(&p, &e), 0);
	assert_int_equal(p.session.machine.end, END_TURNS);
	ep = p.session.episode;
	play_end(&p);
	/* nobody is listened to any more */
	assert_null(kept->o.ears.ctx);
	play_init(&p, s, totals, 2);
	p.o.kept = kept;
	p.o.open = true;
	p.o.episode = ep;
	p.o.parent = 1;
	p.o.rules.rounds = 1;
	p.o.user = "Make it rounder, please.";
	assert_int_equal(play_on(&p, &e), 0);
	assert_int_equal(p.session.turn, 2);
	/* the user's words instead of ours, the system's as ever */
	assert_contains(buf_str(&p.list.asked[0]), "Make it rounder, please.");
	assert_null(strstr(buf_str(&p.list.asked[0]), "x = 1  # total 0.25"));
	play_end(&p);
	scoring_close(kept);
	/* neither of the two ended the episode */
	assert_done(store_events(s, ep, 0, add_event, &events, &e), &e);
	assert_null(strstr(events.all, "\"end\""));
	assert_non_null(strstr(events.all, "\"commit\""));
	store_close(s);
}

/* Gives the siblings of a group in another order than that of their numbers. */
static int next_sibling(void *ctx, const struct ask *a, struct completion *out, struct err *e)
{
	static const int order[] = { 3, 1, 2 };

	assert_true(a->any);
	assert_int_equal(a->siblings, 3 - a->number);
	assert_int_equal(a->again, a->number > 0);
	int rc = next(ctx, a, out, e);
	out->sibling = order[a->number];
	return rc;
}

static void siblings_are_stored_as_they_end(void **state)
{
	static const double totals[] = { 0.1, 0.2, 0.3 };
	struct store *s = open_db("siblings.db");
	struct err e = { 0 };
	struct play p;
	int member[4] = { 0 };

	(void)state;
	play_init(&p, s, totals, 3);
	p.source.next = next_sibling;
	p.o.any = true;
	p.o.rules.group = 3;
	p.o.rules.rounds = 1;
	assert_int_equal(play_on(&p, &e), 0);
	assert_done(store_turns(s, p.session.episode, read_member, member, &e), &e);
	assert_int_equal(member[1], 3);
	assert_int_equal(member[2], 1);
	assert_int_equal(member[3], 2);
	play_end(&p);
	store_close(s);
}

static void stop_soon(void *ctx, const struct session *s, enum session_sight what, const char *text,
                      size_t len)
{
	saw(ctx, s, what, text, len);
	if (what == SAW_COMPLETION)
		session_stop_after((struct session *)(uintptr_t)s);
}

static void stop_after_lets_the_turn_in_flight_end(void **state)
{
	static const double totals[] = { 0.1, 0.2, 0.3 };
	struct store *s = open_db("last.db");
	struct err e = { 0 };
	struct play p;

	(void)state;
	play_init(&p, s, totals, 3);
	p.o.saw = stop_soon;
	assert_int_equal(play_on(&p, &e), 0);
	assert_int_equal(p.session.machine.end, END_STOPPED);
	assert_int_equal(p.session.turn, 1);
	play_end(&p);
	store_close(s);
}

/* ---- killed ---- */

struct end {
	const char *at;
	int after;
};

static void die(void *ctx, const char *name)
{
	struct end *end = ctx;

	if (strcmp(name, end->at) == 0 && end->after-- == 0)
		raise(SIGKILL);
}

/* kill -9 in the second turn, at a step of the store or at a sight of the session. What is found
 * afterwards: so many turns, whole, and a word about the one that was lost. */
static void kill_at(int kills, const char *store_step, int after, const char *sight, int turns_left,
                    bool lost)
{
	static const double totals[] = { 0.25, 0.3, 0.4, 0.5 };
	static const char *const files[] = { "k.db", "k.db-wal", "k.db-shm", "k.db.head" };
	const char *name = store_step ? store_step : sight;

	for (int run = 0; run < kills; run++) {
		for (int i = 0; i < 4; i++)
			unlink(in(files[i]));
		pid_t pid = fork();
		if (pid == 0) {
			struct end end = { store_step ? store_step : "", after };
			struct store_options so = { .step = die, .ctx = &end };
			struct err e = { 0 };
			struct play p;
			struct store *s = store_open(in("k.db"), STORE_WRITE, &so, &e);
			play_init(&p, s, totals, 4);
			p.watch.kill_at = sight;
			p.watch.kill_turn = 2;
			play_on(&p, &e);
			_exit(1);
		}
		int status, n = 0;
		struct err e = { 0 };
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
			fail_msg("%s: it was not killed", name);
		struct store *s = open_db("k.db");
		assert_done(store_turns(s, 1, count_turns, &n, &e), &e);
		if (n != turns_left)
			fail_msg("%s: %d turns were expected, and there are %d", name, turns_left,
			         n);
		if (lost && !store_warning(s))
			fail_msg("%s: the lost turn is not told", name);
		if (run == 0)
			assert_whole(s);
		/* it can be gone on with */
		if (run == 0) {
			struct play p;
			play_init(&p, s, totals + 2, 2);
			p.o.episode = 1;
			p.o.parent = turns_left;
			p.o.rules.rounds = 1;
			assert_int_equal(play_on(&p, &e), 0);
			assert_int_equal(p.session.turn, turns_left + 1);
			play_end(&p);
			assert_whole(s);
		}
		store_close(s);
	}
}

static void a_kill_before_the_transaction_loses_the_turn_in_flight_alone(void **state)
{
	(void)state;
	/* nothing is written in any of these: a few each */
	kill_at(20, NULL, 0, "ask", 1, true);
	kill_at(20, NULL, 0, "text", 1, true);
	kill_at(20, NULL, 0, "completion", 1, true);
	kill_at(20, NULL, 0, "log", 1, true);
	kill_at(100, NULL, 0, "score", 1, true);
}

static void a_kill_in_the_transaction_loses_the_turn_in_flight_alone(void **state)
{
	(void)state;
	kill_at(100, "turn.artifacts", 1, NULL, 1, true);
	kill_at(100, "turn.row", 1, NULL, 1, true);
	kill_at(100, "turn.events", 1, NULL, 1, true);
}

static void a_kill_after_the_transaction_loses_nothing(void **state)
{
	(void)state;
	kill_at(100, NULL, 0, "turn", 2, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_episode_is_told_step_by_step_and_stored),
		cmocka_unit_test(every_step_is_an_event_with_its_time),
		cmocka_unit_test(a_source_that_fails_ends_it_and_what_was_made_stays),
		cmocka_unit_test(an_engine_that_fails_ends_it_and_what_was_made_stays),
		cmocka_unit_test(a_hopeless_answer_is_ended_where_it_failed),
		cmocka_unit_test(an_interruption_drops_the_turn_in_flight_alone),
		cmocka_unit_test(a_fork_goes_on_in_the_same_episode),
		cmocka_unit_test(one_scoring_serves_one_session_after_another),
		cmocka_unit_test(siblings_are_stored_as_they_end),
		cmocka_unit_test(stop_after_lets_the_turn_in_flight_end),
		cmocka_unit_test(a_kill_before_the_transaction_loses_the_turn_in_flight_alone),
		cmocka_unit_test(a_kill_in_the_transaction_loses_the_turn_in_flight_alone),
		cmocka_unit_test(a_kill_after_the_transaction_loses_nothing),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
