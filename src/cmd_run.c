/*
 * cmd_run.c - whole episodes, headless and stored: run, and fork, which goes on from a turn that is
 * there.
 */
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "gpu/model.h"
#include "src/app.h"
#include "src/base/clock.h"
#include "src/branch.h"
#include "src/far_engine.h"
#include "src/model_flags.h"
#include "src/packs.h"
#include "src/session.h"
#include "src/show.h"
#include "src/source_model.h"

enum { FROM_MAX = 4096 };

struct work {
	const struct cmd *self;
	struct app app;
	struct task_set tasks;
	const struct task *task;
	struct prompt_set prompts;
	struct source source;
	struct store *store;
	struct session_options o;
	struct session session;
	/* from the command line */
	const char *place; /* TASK, or EP.T */
	const char *from[FROM_MAX];
	int n_from;
	const char *command, *prompt_set, *db;
	double command_s;
	struct model_flags model;
	struct engine_choice choice;
	bool by_model; /* no files and no command */
	bool no_gain_given;
	int token, pick, beside;
	bool token_given, pick_given;
	struct branch branch; /* of fork --token */
	/* what is shown */
	double begun, told; /* of the step under way; the last line of progress */
	const char *step;   /* "waiting for the command", "building" */
	size_t text_bytes, log_shown;
	bool bar;          /* standard error is a terminal: progress in one line, written over */
	bool nobody_reads; /* standard output is lost */
	char *task_env;    /* CADFORGE_TASK=... of the command */
	const char *env[2];
	struct buf settings;
};

/* ---- what a person sees ---- */

static void clear_bar(struct work *w)
{
	if (w->bar && w->told > 0)
		fputs("\r\033[K", stderr);
	w->told = 0;
}

static void begin_step(struct work *w, const char *step)
{
	clear_bar(w);
	w->step = step;
	w->begun = clock_now_s();
}

static int on_tick(void *ctx)
{
	struct work *w = ctx;
	double now = clock_now_s();

	w->nobody_reads = w->nobody_reads || app_output_lost();
	if (app_interrupted() || w->nobody_reads)
		return 1;
	if (!w->bar || !w->step || now - w->told < 0.2 || now - w->begun < 0.5)
		return 0;
	w->told = now;
	fprintf(stderr, "\r\033[Kturn %d: %s, %.0f s", w->session.number, w->step, now - w->begun);
	if (w->text_bytes > 0)
		fprintf(stderr, ", %zu bytes", w->text_bytes);
	return 0;
}

static void print_begin(const struct work *w, const struct session *s)
{
	const struct episode_rules *r = &s->machine.rules;

	if (w->token_given) {
		printf("episode %lld: %s, a branch at token %d of turn %d\n", (long long)s->episode,
		       s->o->task->id, w->token, w->beside);
		return;
	}
	if (w->o.episode) {
		printf("episode %lld: %s, going on from turn %d\n", (long long)s->episode,
		       s->o->task->id, w->o.parent);
		return;
	}
	printf("episode %lld: %s (%s, %s), profile %s, ", (long long)s->episode, s->o->task->id,
	       task_level_name(s->o->task->level), s->o->task->family,
	       scoring_profile_name(s->scoring));
	int more = r->group > 1 ? r->rounds - 1 : r->rounds; /* the group is a turn */
	if (r->group > 1)
		printf("a group of %d%s", r->group, more ? " and " : "\n");
	if (more || r->group <= 1)
		printf("at most %d turn%s\n", more, more == 1 ? "" : "s");
}

static void print_term(const cJSON *reward, const char *name, const char *label)
{
	double v = json_number_or(reward, name, NAN);
	char bar[11] = "..........";

	for (int i = 0; i < 10 && i < (int)lround(v * 10); i++)
		bar[i] = '#';
	if (isnan(v))
		printf("  %-20s     -  %10s", label, "");
	else
		printf("  %-20s %.3f  %s", label, v, bar);
}

static void print_terms(const cJSON *reward)
{
	static const char *const rows[][4] = {
		{ "build", "build", "reference_similarity", "reference similarity" },
		{ "topology", "topology", "silhouette", "silhouette" },
		{ "contact", "contact", "editability", "editability" },
		{ "semantic_parts", "semantic parts", "efficiency", "efficiency" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		print_term(reward, rows[i][0], rows[i][1]);
		fputs(" ", stdout);
		print_term(reward, rows[i][2], rows[i][3]);
		putchar('\n');
	}
}

static void print_checks(const cJSON *checks)
{
	int held = 0, all = cJSON_GetArraySize(checks);
	const cJSON *c;

	cJSON_ArrayForEach(c, checks) held +=
		cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(c, "ok"));
	if (all > 0)
		printf("  %d of %d checks hold\n", held, all);
	cJSON_ArrayForEach(c, checks) if (cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(c, "ok")))
		printf("    %s: %s\n", json_string_or(c, "id", "?"),
	               json_string_or(c, "why", "it does not hold"));
}

/* Those that do not say once more what a check has said. */
static void print_notes(const cJSON *notes, const cJSON *checks)
{
	const cJSON *note, *c;

	cJSON_ArrayForEach(note, notes)
	{
		const char *text = cJSON_IsString(note) ? note->valuestring : "";
		bool said = !*text;
		cJSON_ArrayForEach(c, checks)
		{
			const char *why = json_string_or(c, "why", "");
			said = said || (*why && strstr(text, why));
		}
		if (!said)
			printf("  note: %s\n", text);
	}
}

/* In one line; the holes are in show. */
static void print_geometry(const cJSON *g)
{
	double box[3], solids = json_number_or(g, "solids", NAN);

	if (json_get_numbers(g, "bbox_mm", box, 3, NULL) < 0)
		return;
	printf("  %.0f solid%s, %.0f faces; %.2f x %.2f x %.2f mm, volume %.0f mm3%s%s\n", solids,
	       solids == 1 ? "" : "s", json_number_or(g, "faces", NAN), box[0], box[1], box[2],
	       json_number_or(g, "volume_mm3", NAN),
	       json_bool_or(g, "valid", false) ? "" : "; NOT valid",
	       json_bool_or(g, "closed", false) ? "" : "; NOT closed");
}

static void print_turn(const struct session *s)
{
	const cJSON *score = s->scored.json;
	const cJSON *reward = cJSON_GetObjectItemCaseSensitive(score, "reward");
	const cJSON *checks = cJSON_GetObjectItemCaseSensitive(score, "checks");
	int parent = (int)json_number_or(s->turn_json, "parent", 0);
	bool best = s->machine.best.turn == s->turn;

	printf("\nturn %d", s->turn);
	if (parent)
		printf(", a repair of turn %d", parent);
	else if (s->member)
		printf(", %d of the group", s->member);
	if (s->completion.finish == FINISH_LENGTH)
		fputs(", the answer was cut off", stdout);
	if (s->completion.finish == FINISH_FAILED)
		fputs(", ended where its program failed", stdout);
	if (isfinite(s->completion.seconds))
		printf(", written in %.1f s", s->completion.seconds);
	putchar('\n');
	if (s->scored.built) {
		print_geometry(cJSON_GetObjectItemCaseSensitive(score, "geometry"));
		print_terms(reward);
		print_checks(checks);
		print_notes(cJSON_GetObjectItemCaseSensitive(score, "notes"), checks);
	} else {
		show_build_failure(stdout, "program.py",
		                   cJSON_GetObjectItemCaseSensitive(score, "build"));
	}
	if (isnan(s->scored.total))
		fputs("  no total", stdout);
	else
		printf("  total %.4f", s->scored.total);
	double change = json_number_or(cJSON_GetObjectItemCaseSensitive(s->turn_json, "delta"),
	                               "total", NAN);
	if (!isnan(change))
		printf(", %+.4f against turn %d", change, parent);
	if (parent || s->member)
		printf(best ? ", the best so far" : ", turn %d stays the best",
		       s->machine.best.turn);
	printf("; stored as %lld.%d\n", (long long)s->episode, s->turn);
}

static void print_end(const struct work *w, const struct session *s)
{
	const struct episode *ep = &s->machine;
	long long id = (long long)s->episode;

	if (ep->best.turn == 0) {
		printf("\nno turn was made: %s\n", episode_end_label(ep->end));
		return;
	}
	printf("\nbest: turn %d", ep->best.turn);
	if (!isnan(ep->best.total))
		printf(", total %.4f", ep->best.total);
	printf("%s; ended: %s\n", ep->best.built ? "" : ", which did not build",
	       episode_end_label(ep->end));
	if (w->app.quiet)
		return;
	char show[64], export[64], fork[80];
	snprintf(show, sizeof(show), "cadforge show %lld.%d", id, ep->best.turn);
	snprintf(export, sizeof(export), "cadforge export %lld DIR", id);
	snprintf(fork, sizeof(fork), "cadforge fork %lld.%d --file F.py", id, ep->best.turn);
	printf("  %-*s  its program, log and reward\n  %-*s  all turns as files\n"
	       "  %s  go on from there by hand\n",
	       (int)strlen(fork), show, (int)strlen(fork), export, fork);
}

static void on_saw(void *ctx, const struct session *s, enum session_sight what, const char *text,
                   size_t len)
{
	struct work *w = ctx;

	switch (what) {
	case SAW_EPISODE:
		if (!w->app.json)
			print_begin(w, s);
		break;
	case SAW_ASK:
		w->text_bytes = w->log_shown = 0;
		begin_step(w, w->by_model  ? "the model writes"
		              : w->command ? "the command writes"
		                           : "reading");
		break;
	case SAW_TEXT:
		w->text_bytes += len;
		break;
	case SAW_COMPLETION:
		w->text_bytes = 0;
		begin_step(w, "building and measuring");
		break;
	case SAW_BUILD:
		begin_step(w, "trying it with other dimensions");
		break;
	case SAW_LOG:
		w->log_shown += len;
		if (!w->app.quiet) {
			clear_bar(w);
			fwrite(text, 1, len, stderr);
		}
		break;
	case SAW_SCORE:
		clear_bar(w);
		w->step = NULL;
		if (!w->app.quiet)
			show_rest_of_log(stderr, &s->scored.log, w->log_shown);
		break;
	case SAW_TURN:
		if (w->app.json)
			show_json_line(s->turn_json);
		else
			print_turn(s);
		break;
	case SAW_END:
		clear_bar(w);
		w->step = NULL;
		if (!w->app.json)
			print_end(w, s);
		break;
	}
	if (fflush(stdout))
		w->nobody_reads = true;
}

/* ---- getting ready ---- */

/* The set that was named, else the one that the model was trained with, else @usual. */
static int load_prompts(struct work *w, const char *usual, struct err *e)
{
	const char *asked = w->by_model ? w->model.about.prompts : "";
	struct prompts_dirs dirs;

	prompts_dirs(&dirs, &w->app);
	if (w->prompt_set || !*asked)
		return prompt_set_load(&w->prompts, dirs.dir, dirs.n,
		                       w->prompt_set ? w->prompt_set : usual, e);
	if (prompt_set_load(&w->prompts, dirs.dir, dirs.n, asked, e) == 0)
		return 0;
	return err_wrap(e,
	                "%s/cadforge.json asks for its own prompts (--prompts NAME gives others)",
	                w->model.model);
}

static int open_source(struct work *w, struct err *e)
{
	struct command_options c = {
		.command = w->command,
		.wall_s = w->command_s,
		.bytes_max = COMPLETION_BYTES_MAX,
		.env = w->env,
		.quiet = w->app.quiet,
	};

	w->choice = (struct engine_choice){ &w->app, &w->model };
	if (w->by_model)
		return source_model_of(&w->source, &w->app, &w->model, engine_choose, &w->choice,
		                       e);
	if (!w->command)
		return source_files(&w->source, w->from, w->n_from, e);
	if (asprintf(&w->task_env, "CADFORGE_TASK=%s", w->task->id) < 0) {
		w->task_env = NULL;
		return err_set(e, ERR_MEM, "out of memory");
	}
	w->env[0] = w->task_env;
	return source_command(&w->source, &c, e);
}

static int open_store(struct work *w, struct err *e)
{
	char path[PATH_MAX];

	if (store_path(path, sizeof(path), w->db, e) < 0 ||
	    !(w->store = store_open(path, STORE_WRITE, NULL, e)))
		return -1;
	if (store_warning(w->store) && !w->app.quiet)
		app_tell("%s", store_warning(w->store));
	return 0;
}

/* What the episode was run with, beside what has a column of its own. */
static int print_settings(struct work *w, struct err *e)
{
	const struct episode_rules *r = &w->o.rules;
	cJSON *o = cJSON_CreateObject(), *from;

	cJSON_AddStringToObject(o, "version", PACKAGE_VERSION);
	cJSON_AddNumberToObject(o, "turns", r->rounds);
	cJSON_AddNumberToObject(o, "group", r->group);
	cJSON_AddNumberToObject(o, "no_gain", r->no_gain);
	json_add_figure(o, "enough", r->enough);
	cJSON_AddBoolToObject(o, "stop_on_error", r->stop_on_error);
	json_add_text(o, "reference", w->o.scoring.reference);
	json_add_text(o, "command", w->command);
	if (w->by_model) {
		cJSON *list = cJSON_AddArrayToObject(o, "adapters");
		json_add_text(o, "model", w->model.model);
		for (int i = 0; i < w->model.n_adapters; i++) {
			cJSON *a = cJSON_CreateObject();
			json_add_text(a, "dir", w->model.adapter[i].dir);
			cJSON_AddNumberToObject(a, "scale", (double)w->model.adapter[i].weight);
			cJSON_AddItemToArray(list, a);
		}
		cJSON_AddItemToObject(o, "sampling", model_flags_sampling(&w->model));
	}
	from = cJSON_AddArrayToObject(o, "files");
	for (int i = 0; i < w->n_from; i++)
		cJSON_AddItemToArray(from, cJSON_CreateString(w->from[i]));
	json_print(&w->settings, o);
	cJSON_Delete(o);
	w->o.settings = buf_str(&w->settings);
	return buf_failed(&w->settings) ? err_set(e, ERR_MEM, "out of memory") : 0;
}

static int play(struct work *w, struct err *e)
{
	struct session *s = &w->session;
	struct episode_rules *r = &w->o.rules;

	/* files do not follow from the prompt: that one brought nothing says nothing of the next */
	if (w->n_from && !w->no_gain_given)
		r->no_gain = 0;
	r->completions = w->source.count;
	w->o.app = &w->app;
	w->o.store = w->store;
	w->o.prompts = &w->prompts;
	w->o.task = w->task;
	w->o.source = &w->source;
	/* a hopeless answer need not be written to its end */
	w->o.early = w->o.stop_early = r->stop_on_error && !w->n_from;
	w->o.scoring.app = &w->app;
	w->o.scoring.rebuilds = -1;
	w->o.scoring.artifacts = SCORING_BREP | SCORING_STEP | SCORING_STL | SCORING_VIEWS;
	w->o.ctx = w;
	w->o.tick = on_tick;
	w->o.saw = on_saw;
	w->bar = !w->app.quiet && isatty(STDERR_FILENO);
	app_catch_interrupt();
	if (session_open(s, &w->o, e) < 0)
		return app_fail(e);
	int rc = session_run(s, e), status = episode_built(&s->machine) ? EXIT_DONE : EXIT_NO;
	int most = r->rounds + r->group - 1;
	if (rc == 0 && s->machine.end == END_TURNS && w->n_from > most && !w->app.quiet)
		app_tell("%d of %d files were used: --turns N makes more turns", most, w->n_from);
	if (rc < 0 && s->machine.end == END_NO_COMPLETION)
		app_tell("%s", e->text);
	else if (rc < 0 && !(w->nobody_reads && !app_interrupted()))
		status = app_fail(e);
	session_close(s);
	return status;
}

static void work_release(struct work *w)
{
	source_close(&w->source);
	store_close(w->store);
	prompt_set_release(&w->prompts);
	task_set_release(&w->tasks);
	branch_release(&w->branch);
	buf_release(&w->settings);
	free(w->task_env);
}

/* ---- the flags ---- */

enum flag {
	FLAG_PLACE = 1, /* what getopt_long() gives for an argument that is no flag */
	FLAG_FIRST = APP_FLAGS_END,
	FLAG_TURNS,
	FLAG_PROFILE,
	FLAG_REFERENCE,
	FLAG_GROUP,
	FLAG_STOP_ON_ERROR,
	FLAG_NO_GAIN,
	FLAG_ENOUGH,
	FLAG_FROM,
	FLAG_FROM_COMMAND,
	FLAG_COMMAND_WALL,
	FLAG_PROMPTS,
	FLAG_DB,
	FLAG_TOKEN,
	FLAG_PICK,
};

static int add_file(struct work *w, const char *file)
{
	if (w->n_from == FROM_MAX)
		return app_usage(w->self, "more than %d files", FROM_MAX);
	w->from[w->n_from++] = file;
	return 0;
}

/* 0; or an exit status, + 1000 so that 0 can be one. */
enum { LEAVE = 1000 };

static int take_flag(struct work *w, int opt, char **argv)
{
	int rc = 0, f = app_flag(&w->app, w->self, opt, optarg);

	if (f == 0)
		f = model_flag(&w->model, opt, optarg);
	if (f == 2)
		return LEAVE + EXIT_DONE;
	if (f < 0)
		return LEAVE + EXIT_USAGE;
	if (f == 1)
		return 0;
	switch (opt) {
	case FLAG_TURNS:
		rc = app_whole("--turns", optarg, 1, 10000, &w->o.rules.rounds);
		break;
	case FLAG_GROUP:
		rc = app_whole("--group", optarg, 1, 10000, &w->o.rules.group);
		break;
	case FLAG_NO_GAIN:
		rc = app_whole("--no-gain", optarg, 0, 10000, &w->o.rules.no_gain);
		w->no_gain_given = true;
		break;
	case FLAG_ENOUGH:
		rc = app_number("--enough", optarg, -1, 2, &w->o.rules.enough);
		break;
	case FLAG_COMMAND_WALL:
		rc = app_number("--command-wall", optarg, 0.01, 1e6, &w->command_s);
		break;
	case FLAG_TOKEN:
		rc = app_whole("--token", optarg, 0, 1 << 20, &w->token);
		w->token_given = true;
		break;
	case FLAG_PICK:
		rc = app_whole("--pick", optarg, 0, INT32_MAX, &w->pick);
		w->pick_given = true;
		break;
	case FLAG_STOP_ON_ERROR:
		w->o.rules.stop_on_error = true;
		break;
	case FLAG_PROFILE:
		w->o.scoring.profile = optarg;
		break;
	case FLAG_REFERENCE:
		w->o.scoring.reference = optarg;
		break;
	case FLAG_FROM:
		rc = add_file(w, optarg);
		break;
	case FLAG_FROM_COMMAND:
		w->command = optarg;
		break;
	case FLAG_PROMPTS:
		w->prompt_set = optarg;
		break;
	case FLAG_DB:
		w->db = optarg;
		break;
	default:
		return LEAVE + app_bad_flag(w->self, opt, argv);
	}
	return rc ? LEAVE + EXIT_USAGE : 0;
}

/* Flags and arguments in the order they stand in: those after --from (or --file) are files of it.
 * Returns as take_flag() does. */
static int parse(struct work *w, const struct option *options, int argc, char **argv)
{
	bool files = false;
	int opt, rc;

	opterr = 0;
	while ((opt = getopt_long(argc, argv, "-:", options, NULL)) >= 0) {
		if (opt == FLAG_PLACE && files)
			rc = add_file(w, optarg) ? LEAVE + EXIT_USAGE : 0;
		else if (opt == FLAG_PLACE && w->place)
			return LEAVE + app_usage(w->self,
			                         "'%s' is one too many: there is '%s' already",
			                         optarg, w->place);
		else if (opt == FLAG_PLACE)
			rc = 0, w->place = optarg;
		else
			rc = take_flag(w, opt, argv);
		if (rc)
			return rc;
		files = opt == FLAG_FROM || (files && opt == FLAG_PLACE);
	}
	for (; optind < argc; optind++) {
		if (!w->place && !files)
			w->place = argv[optind];
		else if (add_file(w, argv[optind]))
			return LEAVE + EXIT_USAGE;
	}
	return 0;
}

/* Who writes: files, a command or a model. */
static int check_source(struct work *w)
{
	bool run = w->self == &cmd_run;
	struct err e;

	if (w->n_from && w->command)
		return app_usage(
			w->self,
			"files and a command were given: only one of them can write the answers");
	if ((w->n_from || w->command) && w->model.given)
		return app_usage(
			w->self,
			"%s and a model were given: only one of them can write the answers",
			w->n_from ? "files" : "a command");
	if (w->n_from || w->command)
		return 0;
	w->by_model = true;
	if (model_flags_finish(&w->model, &w->app, &e) == 0)
		return 0;
	if (e.kind != ERR_LACKS)
		return app_fail(&e);
	app_tell(
		"%s; or --%s F1.py F2.py ... (%s), or --from-command CMD (any program that reads a "
		"prompt and prints an answer)",
		e.text, run ? "from" : "file",
		run ? "file k is the answer of turn k" : "a program, or what a model answered");
	return EXIT_LACKS;
}

#define COMMON_OPTIONS                                                                             \
	APP_LONG_OPTIONS, APP_QUEUE_OPTION, { "turns", required_argument, NULL, FLAG_TURNS },      \
		{ "profile", required_argument, NULL, FLAG_PROFILE },                              \
		{ "reference", required_argument, NULL, FLAG_REFERENCE },                          \
		{ "stop-on-error", no_argument, NULL, FLAG_STOP_ON_ERROR },                        \
		{ "no-gain", required_argument, NULL, FLAG_NO_GAIN },                              \
		{ "enough", required_argument, NULL, FLAG_ENOUGH },                                \
		{ "from-command", required_argument, NULL, FLAG_FROM_COMMAND },                    \
		{ "command-wall", required_argument, NULL, FLAG_COMMAND_WALL },                    \
		{ "prompts", required_argument, NULL, FLAG_PROMPTS },                              \
		{ "db", required_argument, NULL, FLAG_DB }, MODEL_LONG_OPTIONS

static void work_init(struct work *w, const struct cmd *self)
{
	*w = (struct work){ .self = self, .command_s = 600 };
	app_init(&w->app);
	model_flags_init(&w->model);
	episode_rules_default(&w->o.rules);
}

/* ---- run ---- */

static int run(const struct cmd *self, int argc, char **argv)
{
	static const struct option options[] = {
		COMMON_OPTIONS,
		{ "group", required_argument, NULL, FLAG_GROUP },
		{ "from", required_argument, NULL, FLAG_FROM },
		{ NULL, 0, NULL, 0 },
	};
	struct err e = { 0 };
	struct work *w = calloc(1, sizeof(*w));
	int rc;

	if (!w)
		return app_fail((err_set(&e, ERR_MEM, "out of memory"), &e));
	work_init(w, self);
	if ((rc = parse(w, options, argc, argv)) != 0) {
		rc -= LEAVE;
		goto out;
	}
	if (!w->place) {
		rc = app_usage(self, "a task is expected; 'cadforge tasks' lists them");
		goto out;
	}
	app_find(&w->app);
	if (packs_load(&w->tasks, &w->app, &e) < 0 ||
	    !(w->task = task_find(&w->tasks, w->place, &e)))
		goto fail;
	if ((rc = check_source(w)) != 0)
		goto out;
	w->o.source_word = w->by_model ? "model" : w->command ? "command" : "file";
	if (load_prompts(w, PROMPTS_DEFAULT, &e) < 0 || open_source(w, &e) < 0 ||
	    print_settings(w, &e) < 0 || open_store(w, &e) < 0)
		goto fail;
	rc = play(w, &e);
	goto out;
fail:
	rc = app_fail(&e);
out:
	work_release(w);
	free(w);
	return rc;
}

/* ---- fork ---- */

struct origin {
	char task[TASK_ID_MAX + 1], profile[256], prompts[256];
	int turns, best;
};

static int read_origin(void *ctx, const struct store_episode *ep)
{
	struct origin *o = ctx;

	snprintf(o->task, sizeof(o->task), "%s", ep->task);
	snprintf(o->profile, sizeof(o->profile), "%s", ep->profile);
	snprintf(o->prompts, sizeof(o->prompts), "%s", ep->prompts ? ep->prompts : "");
	o->turns = ep->turns;
	o->best = ep->best;
	return 0;
}

static int read_turn(void *ctx, const struct store_turn *t)
{
	(void)ctx;
	(void)t;
	return 0;
}

static int find_origin(struct work *w, struct origin *from, struct err *e)
{
	long long id;

	if (store_parse_ref(w->place, &w->o.episode, &w->o.parent, e) < 0)
		return -1;
	id = (long long)w->o.episode;
	if (store_episode(w->store, w->o.episode, read_origin, from, e) < 0)
		return -1;
	if (from->turns == 0)
		return err_set(e, ERR_INPUT, "episode %lld has no turn to go on from", id);
	if (w->o.parent == 0)
		return err_set(e, ERR_USAGE,
		               "a turn was expected: %lld.1 to %lld.%d; the best is %lld.%d", id,
		               id, from->turns, id, from->best);
	return store_turn(w->store, w->o.episode, w->o.parent, read_turn, NULL, e);
}

/* With --token: beside that turn instead of after it. */
static int find_branch(struct work *w, struct err *e)
{
	char hash[65] = "";

	if (!w->token_given)
		return 0;
	if (access(w->model.model, F_OK) == 0) {
		struct model m;
		if (model_open(&m, w->model.model, e) < 0)
			return -1;
		for (size_t i = 0; i < sizeof(m.hash); i++)
			snprintf(hash + 2 * i, 3, "%02x", m.hash[i]);
		model_close(&m);
	}
	if (branch_read(&w->branch, w->store, w->o.episode, w->o.parent, w->token,
	                w->pick_given ? w->pick : BRANCH_FREE, hash, e) < 0)
		return -1;
	w->beside = w->o.parent;
	w->o.parent = w->branch.parent;
	w->o.messages = w->branch.messages;
	w->o.forced = w->branch.forced;
	w->o.n_forced = w->branch.n_forced;
	return 0;
}

static int run_fork(const struct cmd *self, int argc, char **argv)
{
	static const struct option options[] = {
		COMMON_OPTIONS,
		{ "file", required_argument, NULL, FLAG_FROM },
		{ "token", required_argument, NULL, FLAG_TOKEN },
		{ "pick", required_argument, NULL, FLAG_PICK },
		{ NULL, 0, NULL, 0 },
	};
	struct err e = { 0 };
	struct origin from = { .task = "" };
	struct work *w = calloc(1, sizeof(*w));
	int rc;

	if (!w)
		return app_fail((err_set(&e, ERR_MEM, "out of memory"), &e));
	work_init(w, self);
	w->o.rules.rounds = 0;
	if ((rc = parse(w, options, argc, argv)) != 0) {
		rc -= LEAVE;
		goto out;
	}
	if (!w->place) {
		rc = app_usage(self, "a turn is expected: EP.T, as 'cadforge episodes' and "
		                     "'cadforge show EP' list them");
		goto out;
	}
	app_find(&w->app);
	if ((rc = check_source(w)) != 0)
		goto out;
	if (w->pick_given && !w->token_given) {
		rc = app_usage(self, "--pick says which token to take at --token N");
		goto out;
	}
	if (w->token_given && !w->by_model) {
		rc = app_usage(self, "--token is for models: no one else goes on from a token");
		goto out;
	}
	/* one turn by a command or a model, else one a file */
	if (w->o.rules.rounds == 0)
		w->o.rules.rounds = w->n_from ? w->n_from : 1;
	if (open_store(w, &e) < 0 || find_origin(w, &from, &e) < 0 || find_branch(w, &e) < 0)
		goto fail;
	if (!w->o.scoring.profile)
		w->o.scoring.profile = from.profile;
	if (packs_load(&w->tasks, &w->app, &e) < 0)
		goto fail;
	if (!(w->task = task_find(&w->tasks, from.task, &e))) {
		err_wrap(&e, "episode %lld", (long long)w->o.episode);
		goto fail;
	}
	w->o.source_word = w->by_model ? "model" : w->command ? "command" : "fork";
	if (load_prompts(w, from.prompts[0] ? from.prompts : PROMPTS_DEFAULT, &e) < 0 ||
	    open_source(w, &e) < 0)
		goto fail;
	rc = play(w, &e);
	goto out;
fail:
	rc = app_fail(&e);
out:
	work_release(w);
	free(w);
	return rc;
}

const struct cmd cmd_run = {
	.name = "run",
	.usage =
		"run TASK [--model M | --from FILE... | --from-command CMD] [--turns N] [--group N] [--json]",
	.summary = "a whole episode: answers built, scored, repaired, stored",
	.help = "  --from F1 F2 ...  file k is the answer of turn k: a program (.py), or what a model wrote\n"
		"  --from-command C  a shell command writes the answers: prompt on its standard input,\n"
		"                    CADFORGE_TURN and CADFORGE_TASK set, answer on its standard output\n"
		"  --command-wall S  seconds that the command may take for one answer (600)\n"
		"  --turns N         at most so many turns (4)\n"
		"  --group N         so many answers to the first prompt, as siblings; together they are\n"
		"                    the first turn of --turns, and the best of them is repaired (1)\n"
		"  --enough TOTAL    stop at this total (0.92)\n"
		"  --no-gain N       stop after N repairs in a row that are not better than the best turn\n"
		"                    before; 0: never (2; with --from 0)\n"
		"  --stop-on-error   stop after a program that does not build; an answer that is still being\n"
		"                    written is ended where its program fails (finish: failed)\n"
		"  --profile P       the reward (exact); --reference R: see score\n"
		"  --prompts NAME    the prompt set (default; or the one that the model's folder names)\n"
		"  --queue URL       workers on other machines build and score, and answer where they\n"
		"                    have the model: see worker\n"
		"  --db FILE         the database (CADFORGE_DB, else the user's)\n" MODEL_HELP
			SAMPLING_HELP,
	.engine = true,
	.run = run,
};

const struct cmd cmd_fork = {
	.name = "fork",
	.usage =
		"fork EP.T [--model M [--token N [--pick ID]] | --file FILE... | --from-command CMD] [--json]",
	.summary = "a new turn that goes on from a stored one",
	.help = "  --file F ...      the answer: a program (.py), or what a model wrote; with several,\n"
		"                    the next goes on from the best turn\n"
		"  --from-command C, --command-wall S, --enough TOTAL, --no-gain N, --stop-on-error,\n"
		"  --prompts NAME, --profile P, --reference R, --queue URL, --db FILE: see run;\n"
		"                    profile and prompts are the episode's unless given (or the model's own prompts)\n"
		"  --turns N         at most so many turns (1; with --file one a file)\n"
		"  --token N         not after that turn but beside it: its first N tokens are kept and the\n"
		"                    model goes on from there (tokens.json of the turn has all of them)\n"
		"  --pick ID         with this token at that place\n" MODEL_HELP SAMPLING_HELP,
	.engine = true,
	.run = run_fork,
};
