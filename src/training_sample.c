/*
 * training_sample.c - `train sample`: prompts that a run has not learnt from, answered by one of
 * its checkpoints, built, scored and stored as episodes of the run.
 *
 * A training starts this beside itself at each checkpoint, with little of the processor; by hand it
 * looks at a run that is over. Answers are the likeliest ones, so that two steps can be compared.
 */
#include <dirent.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/clock.h"
#include "src/cmd_train.h"
#include "src/db.h"
#include "src/jsonl.h"
#include "src/packs.h"
#include "src/session.h"
#include "src/show.h"
#include "src/source_model.h"

enum { ROWS_BYTES_MAX = 1 << 30, TOKENS = 1024, SAMPLES = 4 };

struct prompt_row {
	cJSON *messages; /* without the answer */
	char *task;      /* NULL: the row names none */
};

struct work {
	const struct cmd *self;
	struct db_flags f;
	const char *place, *checkpoint;
	char newest[PATH_MAX];
	int64_t run, step;
	int samples;
	double seconds, until;
	struct store *store;
	struct train_run about;
	const cJSON *settings;
	struct task_set tasks;
	struct prompt_set prompts;
	struct model_flags model;
	struct source source;
	struct scoring *scoring;
	struct prompt_row *row;
	int n, built;
};

static int on_tick(void *ctx)
{
	const struct work *w = ctx;

	return app_interrupted() || clock_now_s() > w->until;
}

/* ---- the checkpoint ---- */

static int64_t step_of(const char *name)
{
	const char *base = strrchr(name, '/');
	long long step = 0;
	char more;

	return sscanf(base ? base + 1 : name, "checkpoint-%lld%c", &step, &more) == 1 ? step : -1;
}

static int find_checkpoint(struct work *w, struct err *e)
{
	const char *out = json_string_or(w->settings, "out", "");
	int64_t best = -1;
	DIR *d;

	if (w->checkpoint) {
		best = step_of(w->checkpoint);
	} else {
		d = opendir(out);
		if (!d)
			return err_errno(e, ERR_INPUT, "%s: the run's folder", out);
		for (struct dirent *x; (x = readdir(d));) {
			int64_t step = step_of(x->d_name);
			if (step <= best || (w->step >= 0 && step != w->step))
				continue;
			best = step;
			snprintf(w->newest, sizeof(w->newest), "%s/%s", out, x->d_name);
		}
		closedir(d);
		if (best < 0)
			return err_set(e, ERR_INPUT,
			               "%s: there is no checkpoint%s; one is written every "
			               "--save-every steps",
			               out, w->step >= 0 ? " of that step" : "");
		w->checkpoint = w->newest;
	}
	if (w->step < 0)
		w->step = best < 0 ? 0 : best;
	return 0;
}

/* ---- the prompts ---- */

static int add_row(struct work *w, const char *line, size_t len, struct err *e)
{
	struct jsonl_completion c = { 0 };
	struct prompt_row *more;

	/* raw text asks for nothing */
	if (jsonl_completion_parse(&c, line, len, NULL) < 0)
		return 0;
	more = c.prompt ? realloc(w->row, (size_t)(w->n + 1) * sizeof(*more)) : w->row;
	if (!c.prompt || !more) {
		int rc = more || !c.prompt ? 0 : err_set(e, ERR_MEM, "out of memory");
		jsonl_completion_release(&c);
		return rc;
	}
	w->row = more;
	w->row[w->n].messages = cJSON_Duplicate(c.prompt, true);
	w->row[w->n].task = c.task ? strdup(c.task) : NULL;
	w->n++;
	jsonl_completion_release(&c);
	return 0;
}

/* So many of them, as far apart as they can be: rows of one task stand together. */
static int read_prompts(struct work *w, struct err *e)
{
	const char *file = json_string_or(w->settings, "eval_data", NULL);
	struct buf text = { 0 };
	int lines = 0, at = 0, rc = 0;

	if (!file)
		return err_set(e, ERR_INPUT,
		               "run %" PRId64 " holds nothing out: --held-out keeps tasks apart",
		               w->run);
	if (buf_read_file(&text, file, ROWS_BYTES_MAX, e) < 0)
		return -1;
	for (size_t i = 0; i < text.len; i++)
		lines += text.data[i] == '\n';
	for (char *p = text.data; rc == 0 && p < text.data + text.len; at++) {
		char *end = memchr(p, '\n', (size_t)(text.data + text.len - p));
		size_t len = end ? (size_t)(end - p) : strlen(p);
		/* the k-th of n */
		if ((int64_t)(at + 1) * w->samples / lines > (int64_t)at * w->samples / lines ||
		    w->samples >= lines)
			rc = add_row(w, p, len, e);
		p += len + 1;
	}
	buf_release(&text);
	if (rc == 0 && w->n == 0)
		rc = err_set(e, ERR_INPUT, "%s: no row has a prompt", file);
	return rc;
}

/* ---- one answer ---- */

static const char *asked(const cJSON *messages)
{
	const cJSON *m, *last = NULL;

	cJSON_ArrayForEach(m, messages) if (strcmp(json_string_or(m, "role", ""), "user") == 0)
		last = m;
	return json_string_or(last, "content", "");
}

static void tell(const struct work *w, const struct session *s, const char *task)
{
	const cJSON *build = cJSON_GetObjectItemCaseSensitive(s->scored.json, "build");

	if (w->f.app.json) {
		cJSON *o = cJSON_CreateObject();
		cJSON_AddNumberToObject(o, "run", (double)w->run);
		cJSON_AddNumberToObject(o, "step", (double)w->step);
		cJSON_AddNumberToObject(o, "episode", (double)s->episode);
		cJSON_AddStringToObject(o, "task", task);
		cJSON_AddBoolToObject(o, "built", s->machine.best.built);
		json_add_figure(o, "total", s->machine.best.total);
		show_json_line(o);
		cJSON_Delete(o);
	} else if (!w->f.app.quiet) {
		printf("%" PRId64 ".1  step %" PRId64 "  %s  %s", s->episode, w->step, task,
		       s->machine.best.built ? "built" : json_string_or(build, "class", "-"));
		if (isfinite(s->machine.best.total))
			printf("  total %.3f", s->machine.best.total);
		putchar('\n');
	}
	fflush(stdout);
}

static int answer(struct work *w, struct prompt_row *row, struct err *e)
{
	struct task bare = { .id = row->task ? row->task : "held-out",
		             .pack = "",
		             .family = "held-out",
		             .prompt = asked(row->messages) };
	const struct task *known = row->task ? task_find(&w->tasks, row->task, NULL) : NULL;
	struct session_options o = { .app = &w->f.app,
		                     .store = w->store,
		                     .prompts = &w->prompts,
		                     .task = known ? known : &bare,
		                     .unjudged = !known,
		                     .source = &w->source,
		                     .source_word = "model",
		                     .kept = w->scoring,
		                     .run = w->run,
		                     /* what 'cadforge verify' has to do alike */
		                     .settings = "{\"rebuilds\":0}",
		                     .messages = row->messages,
		                     .ctx = w,
		                     .tick_ms = 100,
		                     .tick = on_tick };
	struct session s = { 0 };
	struct err end = { 0 };

	episode_rules_default(&o.rules);
	o.rules.rounds = 1;
	if (session_open(&s, &o, e) < 0)
		return -1;
	int rc = session_run(&s, &end);
	if (s.turn > 0 && store_sample_add(w->store, w->run, w->step, s.episode, e) < 0)
		rc = -1;
	else if (rc < 0)
		*e = end;
	if (s.turn > 0) {
		w->built += s.machine.best.built;
		tell(w, &s, o.task->id);
	}
	session_close(&s);
	return rc;
}

static int work(struct work *w, struct err *e)
{
	const struct scoring_options scoring = {
		.app = &w->f.app,
		.profile = "exact",
		.rebuilds = 0,
		.artifacts = SCORING_STL | SCORING_VIEWS,
		.ears = { .ctx = w, .tick = on_tick },
	};
	struct prompts_dirs dirs;
	struct model_about about;
	const char *base = json_string_or(w->settings, "model", "");
	bool full = strcmp(json_string_or(w->settings, "method", "lora"), "full") == 0;

	if (find_checkpoint(w, e) < 0 || read_prompts(w, e) < 0 ||
	    packs_load(&w->tasks, &w->f.app, e) < 0)
		return -1;
	w->model.model = full ? w->checkpoint : base;
	w->model.backend =
		strcmp(json_string_or(w->settings, "backend", ""), "cpu") == 0 ? GPU_CPU : GPU_AUTO;
	w->model.sampling.temperature = 0;
	w->model.max_tokens = TOKENS;
	w->model.given = true;
	if (!full)
		w->model.adapter[w->model.n_adapters++] = (struct gpu_adapter){ w->checkpoint, 1 };
	if (model_about_read(&about, w->model.model, e) < 0)
		return -1;
	prompts_dirs(&dirs, &w->f.app);
	if (prompt_set_load(&w->prompts, dirs.dir, dirs.n,
	                    about.prompts[0] ? about.prompts : PROMPTS_DEFAULT, e) < 0 ||
	    source_model(&w->source, &w->f.app, &w->model, e) < 0 ||
	    !(w->scoring = scoring_open(&scoring, e)))
		return -1;
	for (int i = 0; i < w->n; i++)
		if (answer(w, &w->row[i], e) < 0)
			return -1;
	return 0;
}

static int parse(struct work *w, int argc, char **argv)
{
	enum { STEP = DB_FLAGS_END, CHECKPOINT, SAMPLE_COUNT, SECONDS };
	static const struct option options[] = {
		DB_LONG_OPTIONS,
		{ "step", required_argument, NULL, STEP },
		{ "checkpoint", required_argument, NULL, CHECKPOINT },
		{ "samples", required_argument, NULL, SAMPLE_COUNT },
		{ "seconds", required_argument, NULL, SECONDS },
		{ NULL, 0, NULL, 0 },
	};
	int opt, rc = 0, step;

	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":", options, NULL)) >= 0) {
		int f = opt < DB_FLAGS_END ? db_flag(&w->f, w->self, opt, optarg) : 0;
		if (f == 2)
			return 1000;
		if (f < 0)
			return EXIT_USAGE;
		if (f == 1)
			continue;
		switch (opt) {
		case STEP:
			rc = app_whole("--step", optarg, 0, INT_MAX, &step);
			w->step = step;
			break;
		case CHECKPOINT:
			w->checkpoint = optarg;
			break;
		case SAMPLE_COUNT:
			rc = app_whole("--samples", optarg, 1, 1000, &w->samples);
			break;
		case SECONDS:
			rc = app_number("--seconds", optarg, 1, 1e6, &w->seconds);
			break;
		default:
			return app_bad_flag(w->self, opt, argv);
		}
		if (rc < 0)
			return EXIT_USAGE;
	}
	if (argc - optind != 1)
		return app_usage(w->self, "train sample: the number of a run was expected");
	return train_run_number(argv[optind], &w->run) < 0 ? EXIT_USAGE : 0;
}

int train_sample(const struct cmd *self, int argc, char **argv)
{
	struct work *w = calloc(1, sizeof(*w));
	struct err e = { 0 };
	int rc;

	if (!w)
		return app_fail((err_set(&e, ERR_MEM, "out of memory"), &e));
	*w = (struct work){ .self = self, .step = -1, .samples = SAMPLES, .seconds = 600 };
	db_flags_init(&w->f);
	model_flags_init(&w->model);
	if ((rc = parse(w, argc, argv)) != 0) {
		rc = rc == 1000 ? EXIT_DONE : rc;
		goto out;
	}
	app_find(&w->f.app);
	app_catch_interrupt();
	w->until = clock_now_s() + w->seconds;
	if (!(w->store = db_open(&w->f, STORE_WRITE, &e)) ||
	    train_run_read(w->store, w->run, &w->about, &e) < 0) {
		rc = app_fail(&e);
		goto out;
	}
	w->settings = cJSON_GetObjectItemCaseSensitive(w->about.about, "settings");
	if (!cJSON_IsObject(w->settings)) {
		err_set(&e, ERR_INPUT, "run %" PRId64 " (%s) is no training", w->run,
		        w->about.kind);
		rc = app_fail(&e);
		goto out;
	}
	if (work(w, &e) < 0)
		/* that its time was over is no fault: what was answered is stored */
		rc = e.kind == ERR_CANCELLED && !app_interrupted() ? EXIT_DONE : app_fail(&e);
out:
	source_close(&w->source);
	scoring_close(w->scoring);
	store_close(w->store);
	task_set_release(&w->tasks);
	prompt_set_release(&w->prompts);
	train_run_release(&w->about);
	for (int i = 0; i < w->n; i++) {
		cJSON_Delete(w->row[i].messages);
		free(w->row[i].task);
	}
	free(w->row);
	free(w);
	return rc;
}
