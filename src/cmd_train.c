/*
 * cmd_train.c - training from the command line: train sft, resume, grad; sample and demo have files
 * of their own.
 */
#include "src/cmd_train.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "src/base/utf8.h"
#include "src/db.h"
#include "src/demo.h"
#include "src/experiment.h"
#include "src/model_flags.h"
#include "src/packs.h"
#include "src/scoring.h"
#include "src/training_rows.h"
#include "src/training_run.h"

enum { DATA_MAX = 256, HELD_TASKS_MAX = 256, CONFIG_BYTES_MAX = 1 << 20 };

/* ---- settings by flags ---- */

/* Every key of gpu/training.h that a flag sets; the flag is the key with dashes. */
enum setting_kind { NUMBER, WORD, YES, ONOFF, WORDS, FOLDER };
struct setting {
	const char *key;
	enum setting_kind kind;
};
static const struct setting settings[] = {
	{ "model", FOLDER },      { "tokenizer", FOLDER },     { "adapter", FOLDER },
	{ "out", FOLDER },        { "method", WORD },          { "rank", NUMBER },
	{ "alpha", NUMBER },      { "dropout", NUMBER },       { "rslora", YES },
	{ "targets", WORDS },     { "optimizer", WORD },       { "lr", NUMBER },
	{ "lr_muon", NUMBER },    { "beta1", NUMBER },         { "beta2", NUMBER },
	{ "eps", NUMBER },        { "decay", NUMBER },         { "momentum", NUMBER },
	{ "clip", NUMBER },       { "schedule", WORD },        { "warmup", NUMBER },
	{ "floor", NUMBER },      { "decay_share", NUMBER },   { "epochs", NUMBER },
	{ "steps", NUMBER },      { "batch_samples", NUMBER }, { "batch_tokens", NUMBER },
	{ "pass_rows", NUMBER },  { "longest", NUMBER },       { "by_length", ONOFF },
	{ "loss", WORD },         { "seed", NUMBER },          { "eval_every", NUMBER },
	{ "save_every", NUMBER }, { "keep", NUMBER },          { "threads", NUMBER },
	{ "recompute", YES },     { "dtype", WORD },           { "memory_bytes", NUMBER },
	{ "backend", WORD },
};
enum { SETTINGS = sizeof(settings) / sizeof(*settings) };

enum flag {
	FLAG_DATA = DB_FLAGS_END,
	FLAG_FROM_STORE,
	FLAG_CONFIG,
	FLAG_DRY_RUN,
	FLAG_HELD_OUT,
	FLAG_HOLD_OUT,
	FLAG_NEAR,
	FLAG_ANY_TEXT,
	FLAG_PROGRAM_WEIGHT,
	FLAG_REPAIR_WEIGHT,
	FLAG_CHECK_BUILDS,
	FLAG_PROMPTS,
	FLAG_MIN,
	FLAG_MARGIN,
	FLAG_GRADE,
	FLAG_JUDGE,
	FLAG_TASK,
	FLAG_BY_MODEL,
	FLAG_BY_ADAPTER,
	FLAG_SINCE,
	FLAG_OF_RUN,
	FLAG_SAMPLES,
	FLAG_SAMPLE_SECONDS,
	FLAG_PLACE = 8192,
	FLAG_SETTINGS = 9000,
};

struct work {
	const struct cmd *self;
	struct db_flags f;
	cJSON *settings;
	const char *config;
	const char *data[DATA_MAX], *held_tasks[HELD_TASKS_MAX];
	int n_data;
	bool from_store, dry_run, check_builds;
	const char *prompts_name;
	struct store_filter filter;
	struct training_rows_options rows_options;
	struct training_rows rows;
	struct task_set tasks;
	struct prompt_set prompts;
	bool has_prompts;
	int samples;
	double sample_s;
	struct store *store;
	char out[PATH_MAX];
};

static void long_name(char *out, const char *key)
{
	for (; *key; key++)
		*out++ = *key == '_' ? '-' : *key;
	*out = '\0';
}

/* The table of getopt_long: the verb's own flags, then one a setting. */
static int make_options(struct option **out, char (**names)[32], const struct option *own, int n)
{
	*out = calloc((size_t)n + SETTINGS + 1, sizeof(**out));
	*names = calloc(SETTINGS, sizeof(**names));
	if (!*out || !*names)
		return -1;
	memcpy(*out, own, (size_t)n * sizeof(*own));
	for (int i = 0; i < SETTINGS; i++) {
		long_name((*names)[i], settings[i].key);
		(*out)[n + i] =
			(struct option){ .name = (*names)[i],
			                 .has_arg = settings[i].kind == YES ? no_argument
			                                                    : required_argument,
			                 .val = FLAG_SETTINGS + i };
	}
	return 0;
}

static void put(cJSON *o, const char *key, cJSON *v)
{
	cJSON_DeleteItemFromObjectCaseSensitive(o, key);
	cJSON_AddItemToObject(o, key, v);
}

/* A path that means the same in the process that trains. */
static cJSON *absolute(const char *path)
{
	char real[PATH_MAX], here[PATH_MAX];
	struct buf b = { 0 };
	cJSON *v;

	if (strncmp(path, "fresh:", 6) == 0) {
		cJSON *rest = absolute(path + 6);
		buf_printf(&b, "fresh:%s", rest->valuestring);
		cJSON_Delete(rest);
	} else if (realpath(path, real)) {
		buf_adds(&b, real);
	} else {
		if (*path != '/' && getcwd(here, sizeof(here)))
			buf_printf(&b, "%s/", here);
		buf_adds(&b, path);
	}
	v = cJSON_CreateString(buf_str(&b));
	buf_release(&b);
	return v;
}

static int set_number(struct work *w, const char *key, const char *text)
{
	char name[40] = "--", *end;
	double v;

	long_name(name + 2, key);
	errno = 0;
	v = strtod(text, &end);
	if (!*text || *end || !isfinite(v)) {
		app_tell("%s: a number was expected, got '%.40s'", name, text);
		return -1;
	}
	put(w->settings, key, cJSON_CreateNumber(v));
	return 0;
}

static int set_words(struct work *w, const char *key, const char *text)
{
	cJSON *list = cJSON_CreateArray();

	for (const char *p = text; *p;) {
		size_t n = strcspn(p, ",");
		char word[64];
		snprintf(word, sizeof(word), "%.*s", (int)(n < 63 ? n : 63), p);
		if (n > 0)
			cJSON_AddItemToArray(list, cJSON_CreateString(word));
		p += n + (p[n] == ',');
	}
	put(w->settings, key, list);
	return 0;
}

static int set_by_flag(struct work *w, const struct setting *s, const char *arg)
{
	bool on = arg && strcmp(arg, "on") == 0;

	switch (s->kind) {
	case NUMBER:
		return set_number(w, s->key, arg);
	case WORDS:
		return set_words(w, s->key, arg);
	case FOLDER:
		put(w->settings, s->key, absolute(arg));
		return 0;
	case YES:
		put(w->settings, s->key, cJSON_CreateTrue());
		return 0;
	case ONOFF:
		if (!on && strcmp(arg, "off") != 0) {
			app_tell("--%s: on or off was expected, got '%.40s'", s->key, arg);
			return -1;
		}
		put(w->settings, s->key, cJSON_CreateBool(on));
		return 0;
	default:
		put(w->settings, s->key, cJSON_CreateString(arg));
		return 0;
	}
}

/* Keys of the file where no flag has said otherwise. */
static int read_config(struct work *w, struct err *e)
{
	struct buf text = { 0 };
	cJSON *o, *next;

	if (!w->config)
		return 0;
	if (buf_read_file(&text, w->config, CONFIG_BYTES_MAX, e) < 0)
		return -1;
	o = json_parse(buf_str(&text), text.len, e);
	buf_release(&text);
	if (!o)
		return err_wrap(e, "%s", w->config);
	if (!cJSON_IsObject(o)) {
		cJSON_Delete(o);
		return err_set(e, ERR_INPUT, "%s: an object of settings was expected", w->config);
	}
	for (cJSON *x = o->child; x; x = next) {
		bool path = false;
		next = x->next;
		if (cJSON_HasObjectItem(w->settings, x->string))
			continue;
		for (int i = 0; i < SETTINGS; i++)
			path = path || (settings[i].kind == FOLDER &&
			                strcmp(settings[i].key, x->string) == 0);
		path = path || strcmp(x->string, "data") == 0 ||
		       strcmp(x->string, "eval_data") == 0;
		if (path && cJSON_IsString(x))
			put(w->settings, x->string, absolute(x->valuestring));
		else
			put(w->settings, x->string, cJSON_Duplicate(x, true));
	}
	cJSON_Delete(o);
	return 0;
}

static enum gpu_backend backend_of(const cJSON *o)
{
	const char *name = json_string_or(o, "backend", "auto");

	return strcmp(name, "cpu") == 0 ? GPU_CPU : strcmp(name, "cuda") == 0 ? GPU_CUDA : GPU_AUTO;
}

/* ---- what is trained on ---- */

static int check_base(struct work *w, struct err *e)
{
	const char *env = getenv("CADFORGE_MODEL"), *model;

	if (!cJSON_HasObjectItem(w->settings, "model") && env && *env)
		put(w->settings, "model", absolute(env));
	model = json_string_or(w->settings, "model", NULL);
	if (!model)
		return err_set(e, ERR_USAGE,
		               "no model was named: --model DIR takes the folder of a base "
		               "(config.json, tokenizer.json, safetensors; any Qwen3.5), --model "
		               "fresh:CONFIG.json begins one from nothing (with --method full and "
		               "--tokenizer DIR)");
	if (strstr(model, "http://") || strstr(model, "https://"))
		return err_set(e, ERR_USAGE,
		               "%.100s: is a server; what is trained is a folder on this machine",
		               model);
	return 0;
}

static int open_store(struct work *w, enum store_mode mode, struct err *e)
{
	if (!w->store)
		w->store = db_open(&w->f, mode, e);
	return w->store ? 0 : -1;
}

static int take_builds(struct work *w, struct err *e)
{
	const struct scoring_options o = {
		.app = &w->f.app, .profile = "exact", .reference = "none", .rebuilds = 0
	};
	struct scoring *s = scoring_open(&o, e);
	int rc = s ? training_rows_check(&w->rows, s, e) : -1;

	scoring_close(s);
	return rc;
}

static int take_rows(struct work *w, struct err *e)
{
	struct prompts_dirs dirs;

	w->rows_options.seed = (uint64_t)json_number_or(w->settings, "seed", 3407);
	w->rows_options.held_tasks = w->held_tasks;
	if (w->from_store) {
		if (open_store(w, w->dry_run ? STORE_READ : STORE_WRITE, e) < 0 ||
		    packs_load(&w->tasks, &w->f.app, e) < 0)
			return -1;
		prompts_dirs(&dirs, &w->f.app);
		if (prompt_set_load(&w->prompts, dirs.dir, dirs.n, w->prompts_name, e) < 0)
			return -1;
		w->has_prompts = true;
		w->rows_options.prompts = &w->prompts;
		w->rows_options.tasks = &w->tasks;
	}
	if (training_rows_open(&w->rows, &w->rows_options, e) < 0)
		return -1;
	for (int i = 0; i < w->n_data; i++)
		if (training_rows_file(&w->rows, w->data[i], e) < 0)
			return -1;
	if (w->from_store && training_rows_store(&w->rows, w->store, &w->filter, e) < 0)
		return -1;
	if (w->check_builds && take_builds(w, e) < 0)
		return -1;
	return training_rows_split(&w->rows, e);
}

static void tell_rows(const struct work *w, FILE *f)
{
	const struct training_rows *r = &w->rows;
	cJSON *report = training_rows_report(r);
	const cJSON *d;

	fprintf(f,
	        "%d rows read, %d kept: %d to learn from (%d programs, %d repairs), %d held out "
	        "(%d of %d tasks)\n",
	        r->read, r->n, r->train, r->programs, r->repairs, r->eval, r->held_tasks, r->tasks);
	if (r->weighted != r->train)
		fprintf(f, "with their weights they count as %g\n", r->weighted);
	cJSON_ArrayForEach(d, cJSON_GetObjectItemCaseSensitive(report, "dropped"))
	{
		struct buf clean = { 0 };
		const char *first = json_string_or(d, "first", "");
		utf8_clean_line(&clean, first, strlen(first));
		fprintf(f, "left out: %.0f, %s; the first: %s\n", json_number_or(d, "count", 0),
		        json_string_or(d, "reason", ""), buf_str(&clean));
		buf_release(&clean);
	}
	cJSON_Delete(report);
}

static void tell_dry_run(const struct work *w)
{
	cJSON *o = cJSON_CreateObject();
	struct buf text = { 0 };

	cJSON_AddItemToObject(o, "settings", cJSON_Duplicate(w->settings, true));
	cJSON_AddItemToObject(o, "rows", training_rows_report(&w->rows));
	if (w->f.app.json) {
		json_print(&text, o);
		puts(buf_str(&text));
	} else {
		tell_rows(w, stdout);
		const cJSON *x;
		cJSON_ArrayForEach(x, cJSON_GetObjectItemCaseSensitive(o, "settings"))
		{
			buf_clear(&text);
			json_print(&text, x);
			printf("%-14s %s\n", x->string, buf_str(&text));
		}
		puts("everything else as 'cadforge train sft --help' says; nothing was written");
	}
	buf_release(&text);
	cJSON_Delete(o);
}

/* ---- the run's folder ---- */

static bool folder_is_empty(const char *path)
{
	DIR *d = opendir(path);
	bool empty = true;

	if (!d)
		return errno == ENOENT || errno == ENOTDIR; /* the latter is told by mkdir() */
	for (struct dirent *x; empty && (x = readdir(d));)
		empty = strcmp(x->d_name, ".") == 0 || strcmp(x->d_name, "..") == 0;
	closedir(d);
	return empty;
}

static int make_folders(const char *path, struct err *e)
{
	char part[PATH_MAX];

	snprintf(part, sizeof(part), "%s", path);
	for (char *p = part + 1;; p++) {
		if (*p && *p != '/')
			continue;
		char c = *p;
		*p = '\0';
		if (mkdir(part, 0777) < 0 && errno != EEXIST)
			return err_errno(e, ERR_IO, "%s: cannot be made", part);
		*p = c;
		if (!c)
			return 0;
	}
}

int train_make_out(char *out, size_t size, const struct app *a, const char *given, const char *kind,
                   struct err *e)
{
	time_t now = time(NULL);
	struct tm tm;
	char when[32], real[PATH_MAX];

	if (given) {
		snprintf(out, size, "%s", given);
		if (!folder_is_empty(out))
			return err_set(
				e, ERR_USAGE,
				"--out %.300s: is there already and not empty; name another "
				"folder, or go on with what is there: cadforge train resume RUN",
				out);
	} else {
		if (!a->user_data[0])
			return err_set(e, ERR_USAGE,
			               "--out DIR: a folder for the run was expected");
		localtime_r(&now, &tm);
		strftime(when, sizeof(when), "%Y%m%d-%H%M%S", &tm);
		for (int i = 0; i < 100; i++) {
			snprintf(out, size, "%.4000s/runs/%s-%s%s%.0d", a->user_data, kind, when,
			         i ? "-" : "", i);
			if (folder_is_empty(out) && access(out, F_OK) != 0)
				break;
		}
	}
	if (make_folders(out, e) < 0)
		return -1;
	if (realpath(out, real))
		snprintf(out, size, "%s", real);
	return 0;
}

/* OUT of this training. */
static int make_out(struct work *w, struct err *e)
{
	if (train_make_out(w->out, sizeof(w->out), &w->f.app,
	                   json_string_or(w->settings, "out", NULL), "sft", e) < 0)
		return -1;
	put(w->settings, "out", absolute(w->out));
	return 0;
}

void train_forget_out(const char *out)
{
	static const char *const ours[] = { "train.jsonl", "eval.jsonl", "settings.json", "lock",
		                            "learnt.json" };
	char path[PATH_MAX + 32];

	for (size_t i = 0; i < sizeof(ours) / sizeof(*ours); i++) {
		snprintf(path, sizeof(path), "%s/%s", out, ours[i]);
		unlink(path);
	}
	snprintf(path, sizeof(path), "%s/policy", out);
	rmdir(path);
	rmdir(out);
}

/* What to do next, for a person. */
static void tell_end(const struct work *w, const struct training_result *r)
{
	bool full = strcmp(json_string_or(w->settings, "method", "lora"), "full") == 0;

	if (w->f.app.json || w->f.app.quiet)
		return;
	printf("run %lld %s at step %lld of %lld", (long long)r->run, r->outcome,
	       (long long)r->step, (long long)r->steps);
	if (!isnan(r->loss))
		printf(", loss %.4f", r->loss);
	if (!isnan(r->eval_loss))
		printf(", held out %.4f", r->eval_loss);
	putchar('\n');
	if (r->checkpoint[0] && full)
		printf("  cadforge run TASK --model %s\n", r->checkpoint);
	else if (r->checkpoint[0])
		printf("  cadforge run TASK --model %s --adapter %s\n",
		       json_string_or(w->settings, "model", "DIR"), r->checkpoint);
	if (r->run && strcmp(r->outcome, "done") != 0)
		printf("  cadforge train resume %lld  goes on from there\n", (long long)r->run);
	if (r->run)
		printf("  cadforge report %lld        a page with its curves\n", (long long)r->run);
}

static int train(struct work *w, int64_t run, const cJSON *about, struct err *e)
{
	const struct training_run_options o = { .app = &w->f.app,
		                                .store = w->store,
		                                .kind = "sft",
		                                .settings = w->settings,
		                                .about = about,
		                                .backend = backend_of(w->settings),
		                                .run = run,
		                                .samples = w->samples,
		                                .sample_s = w->sample_s };
	struct training_result r;

	if (training_run(&o, &r, e) < 0) {
		if (!run && r.steps == 0)
			train_forget_out(w->out);
		if (r.checkpoint[0] && !w->f.app.quiet)
			app_tell(
				"the last good checkpoint is %s; 'cadforge train resume %lld' goes on "
				"from there",
				r.checkpoint, (long long)r.run);
		return app_fail(e);
	}
	tell_end(w, &r);
	if (app_interrupted())
		return EXIT_INTERRUPTED;
	return strcmp(r.outcome, "done") == 0 ? EXIT_DONE : EXIT_NO;
}

static void release(struct work *w)
{
	store_close(w->store);
	training_rows_close(&w->rows);
	task_set_release(&w->tasks);
	if (w->has_prompts)
		prompt_set_release(&w->prompts);
	cJSON_Delete(w->settings);
}

/* ---- sft ---- */

static int take_flag(struct work *w, int opt, char **argv)
{
	struct training_rows_options *o = &w->rows_options;
	struct err e = { 0 };
	int rc = 0;

	if (opt >= FLAG_SETTINGS && opt < FLAG_SETTINGS + SETTINGS)
		return set_by_flag(w, &settings[opt - FLAG_SETTINGS], optarg) < 0 ? EXIT_USAGE : 0;
	switch (opt) {
	case FLAG_DATA:
	case FLAG_PLACE:
		if (w->n_data == DATA_MAX)
			return app_usage(w->self, "more than %d files", DATA_MAX);
		w->data[w->n_data++] = optarg;
		break;
	case FLAG_FROM_STORE:
		w->from_store = true;
		break;
	case FLAG_CONFIG:
		w->config = optarg;
		break;
	case FLAG_DRY_RUN:
		w->dry_run = true;
		break;
	case FLAG_HELD_OUT:
		rc = app_number("--held-out", optarg, 0, 1, &o->held_out);
		break;
	case FLAG_HOLD_OUT:
		if (o->n_held_tasks == HELD_TASKS_MAX)
			return app_usage(w->self, "more than %d tasks", HELD_TASKS_MAX);
		w->held_tasks[o->n_held_tasks++] = optarg;
		break;
	case FLAG_NEAR:
		rc = app_number("--near", optarg, 0, 1, &o->near);
		break;
	case FLAG_ANY_TEXT:
		o->any_text = true;
		break;
	case FLAG_PROGRAM_WEIGHT:
		rc = app_number("--program-weight", optarg, 0.001, 1000, &o->program_weight);
		break;
	case FLAG_REPAIR_WEIGHT:
		rc = app_number("--repair-weight", optarg, 0.001, 1000, &o->repair_weight);
		break;
	case FLAG_CHECK_BUILDS:
		w->check_builds = true;
		break;
	case FLAG_PROMPTS:
		w->prompts_name = optarg;
		break;
	case FLAG_MIN:
		rc = app_number("--min", optarg, -1, 1, &o->min);
		break;
	case FLAG_MARGIN:
		rc = app_number("--margin", optarg, 0, 2, &o->margin);
		break;
	case FLAG_GRADE:
		rc = app_whole("--grade", optarg, 0, 5, &o->grade);
		break;
	case FLAG_JUDGE:
		o->judge = optarg;
		o->grade = o->grade < 0 ? 0 : o->grade;
		break;
	case FLAG_TASK:
		w->filter.task = optarg;
		break;
	case FLAG_BY_MODEL:
		w->filter.model = optarg;
		break;
	case FLAG_BY_ADAPTER:
		w->filter.adapter = optarg;
		break;
	case FLAG_SINCE:
		if (store_parse_time(optarg, &w->filter.since_us, &e) < 0)
			return app_fail(&e);
		break;
	case FLAG_OF_RUN:
		rc = train_run_number(optarg, &w->filter.run);
		break;
	case FLAG_SAMPLES:
		rc = app_whole("--samples", optarg, 0, 1000, &w->samples);
		break;
	case FLAG_SAMPLE_SECONDS:
		rc = app_number("--sample-seconds", optarg, 1, 1e6, &w->sample_s);
		break;
	default:
		return app_bad_flag(w->self, opt, argv);
	}
	return rc < 0 ? EXIT_USAGE : 0;
}

static int parse(struct work *w, const struct option *own, int n_own, int argc, char **argv)
{
	struct option *options = NULL;
	char(*names)[32] = NULL;
	int opt, rc = 0;

	if (make_options(&options, &names, own, n_own) < 0) {
		rc = app_usage(w->self, "out of memory");
		goto out;
	}
	opterr = 0;
	while (rc == 0 && (opt = getopt_long(argc, argv, "-:", options, NULL)) >= 0) {
		if (opt == 1) {
			rc = take_flag(w, FLAG_PLACE, argv);
			continue;
		}
		int f = opt < DB_FLAGS_END ? db_flag(&w->f, w->self, opt, optarg) : 0;
		if (f == 2)
			rc = 1000;
		else if (f < 0)
			rc = EXIT_USAGE;
		else if (f == 0)
			rc = take_flag(w, opt, argv);
	}
	for (; rc == 0 && optind < argc; optind++) {
		optarg = argv[optind];
		rc = take_flag(w, FLAG_PLACE, argv);
	}
out:
	free(options);
	free(names);
	return rc;
}

static int prepare_sft(struct work *w, struct err *e)
{
	bool given = cJSON_HasObjectItem(w->settings, "data");

	if (check_base(w, e) < 0)
		return -1;
	if (w->n_data || w->from_store)
		return take_rows(w, e);
	return given ? 0
	             : err_set(e, ERR_USAGE,
	                       "nothing to learn from: --data FILE.jsonl (chat JSON lines), or "
	                       "--from-store (the turns that built)");
}

int train_sft(const struct cmd *self, int argc, char **argv)
{
	static const struct option own[] = {
		DB_LONG_OPTIONS,
		{ "data", required_argument, NULL, FLAG_DATA },
		{ "from-store", no_argument, NULL, FLAG_FROM_STORE },
		{ "config-json", required_argument, NULL, FLAG_CONFIG },
		{ "dry-run", no_argument, NULL, FLAG_DRY_RUN },
		{ "held-out", required_argument, NULL, FLAG_HELD_OUT },
		{ "hold-out", required_argument, NULL, FLAG_HOLD_OUT },
		{ "near", required_argument, NULL, FLAG_NEAR },
		{ "any-text", no_argument, NULL, FLAG_ANY_TEXT },
		{ "program-weight", required_argument, NULL, FLAG_PROGRAM_WEIGHT },
		{ "repair-weight", required_argument, NULL, FLAG_REPAIR_WEIGHT },
		{ "check-builds", no_argument, NULL, FLAG_CHECK_BUILDS },
		{ "prompts", required_argument, NULL, FLAG_PROMPTS },
		{ "min", required_argument, NULL, FLAG_MIN },
		{ "margin", required_argument, NULL, FLAG_MARGIN },
		{ "grade", required_argument, NULL, FLAG_GRADE },
		{ "judge", required_argument, NULL, FLAG_JUDGE },
		{ "task", required_argument, NULL, FLAG_TASK },
		{ "by-model", required_argument, NULL, FLAG_BY_MODEL },
		{ "by-adapter", required_argument, NULL, FLAG_BY_ADAPTER },
		{ "since", required_argument, NULL, FLAG_SINCE },
		{ "of-run", required_argument, NULL, FLAG_OF_RUN },
		{ "samples", required_argument, NULL, FLAG_SAMPLES },
		{ "sample-seconds", required_argument, NULL, FLAG_SAMPLE_SECONDS },
	};
	struct work *w = calloc(1, sizeof(*w));
	struct err e = { 0 };
	cJSON *about = NULL;
	char path[PATH_MAX + 32];
	int rc;

	if (!w)
		return app_fail((err_set(&e, ERR_MEM, "out of memory"), &e));
	*w = (struct work){ .self = self,
		            .prompts_name = PROMPTS_DEFAULT,
		            .sample_s = 120,
		            .settings = cJSON_CreateObject(),
		            .filter = store_filter_none() };
	db_flags_init(&w->f);
	training_rows_usual(&w->rows_options);
	if ((rc = parse(w, own, sizeof(own) / sizeof(*own), argc, argv)) != 0) {
		rc = rc == 1000 ? EXIT_DONE : rc;
		goto out;
	}
	app_find(&w->f.app);
	app_catch_interrupt();
	if (read_config(w, &e) < 0 || prepare_sft(w, &e) < 0)
		goto fail;
	if (w->dry_run) {
		tell_dry_run(w);
		goto out;
	}
	if (open_store(w, STORE_WRITE, &e) < 0 || make_out(w, &e) < 0)
		goto fail;
	about = cJSON_CreateObject();
	if (w->rows.n) {
		if (training_rows_write(&w->rows, w->out, &e) < 0)
			goto fail;
		snprintf(path, sizeof(path), "%s/train.jsonl", w->out);
		put(w->settings, "data", absolute(path));
		snprintf(path, sizeof(path), "%s/eval.jsonl", w->out);
		if (w->rows.eval)
			put(w->settings, "eval_data", absolute(path));
		cJSON_AddItemToObject(about, "rows", training_rows_report(&w->rows));
		if (!w->f.app.json && !w->f.app.quiet)
			tell_rows(w, stderr);
		training_rows_close(&w->rows);
	}
	rc = train(w, 0, about, &e);
	goto out;
fail:
	rc = app_fail(&e);
out:
	cJSON_Delete(about);
	release(w);
	free(w);
	return rc;
}

/* ---- resume ---- */

int train_resume(const struct cmd *self, int argc, char **argv)
{
	/* what may change without changing the result */
	static const char *const may[] = { "threads",   "eval_every", "save_every",  "keep",
		                           "recompute", "backend",    "memory_bytes" };
	static const struct option own[] = {
		DB_LONG_OPTIONS,
		APP_QUEUE_OPTION,
		{ "samples", required_argument, NULL, FLAG_SAMPLES },
		{ "sample-seconds", required_argument, NULL, FLAG_SAMPLE_SECONDS },
	};
	struct work *w = calloc(1, sizeof(*w));
	struct train_run run = { 0 };
	struct err e = { 0 };
	cJSON *changed = NULL;
	const cJSON *x;
	bool learns;
	int64_t id;
	int rc;

	if (!w)
		return app_fail((err_set(&e, ERR_MEM, "out of memory"), &e));
	*w = (struct work){
		.self = self, .samples = -1, .sample_s = NAN, .settings = cJSON_CreateObject()
	};
	db_flags_init(&w->f);
	if ((rc = parse(w, own, sizeof(own) / sizeof(*own), argc, argv)) != 0) {
		rc = rc == 1000 ? EXIT_DONE : rc;
		goto out;
	}
	if (w->n_data != 1) {
		rc = app_usage(self, "train resume: the number of a run was expected; 'cadforge "
		                     "runs' lists them");
		goto out;
	}
	if (train_run_number(w->data[0], &id) < 0) {
		rc = EXIT_USAGE;
		goto out;
	}
	app_find(&w->f.app);
	app_catch_interrupt();
	changed = w->settings;
	w->settings = NULL;
	cJSON_ArrayForEach(x, changed)
	{
		bool free_to = false;
		for (size_t i = 0; i < sizeof(may) / sizeof(*may); i++)
			free_to = free_to || strcmp(may[i], x->string) == 0;
		if (!free_to) {
			char name[40];
			long_name(name, x->string);
			rc = app_usage(
				self,
				"--%s: a run goes on with what it was begun with; begin another "
				"one with --adapter CHECKPOINT to change that",
				name);
			goto out;
		}
	}
	if (open_store(w, STORE_WRITE, &e) < 0 || train_run_read(w->store, id, &run, &e) < 0)
		goto fail;
	x = cJSON_GetObjectItemCaseSensitive(run.about, "settings");
	if (!cJSON_IsObject(x)) {
		err_set(&e, ERR_INPUT, "run %lld (%s) is no training", (long long)id, run.kind);
		goto fail;
	}
	w->settings = cJSON_Duplicate(x, true);
	learns = cJSON_HasObjectItem(x, "members");
	cJSON_ArrayForEach(x, changed) put(w->settings, x->string, cJSON_Duplicate(x, true));
	if (training_run_alive(json_string_or(w->settings, "out", NULL)) == 1) {
		err_set(&e, ERR_INPUT, "run %lld is at work in another process", (long long)id);
		goto fail;
	}
	if (strcmp(run.outcome, "done") == 0) {
		err_set(&e, ERR_INPUT,
		        "run %lld is done; 'cadforge train %s --adapter CHECKPOINT' trains on from "
		        "what it made",
		        (long long)id, learns ? "grpo" : "sft");
		goto fail;
	}
	if (learns) {
		rc = train_grpo_resume(self, &w->f, w->store, &run, changed);
		goto out;
	}
	if (w->f.app.queue) {
		rc = app_usage(self, "--queue: run %lld is of train sft, which lets nobody build; "
		                     "it is for those of train grpo",
		               (long long)id);
		goto out;
	}
	if (w->samples < 0)
		w->samples = (int)json_number_or(run.about, "samples", 0);
	if (isnan(w->sample_s))
		w->sample_s = json_number_or(run.about, "sample_s", 120);
	rc = train(w, id, NULL, &e);
	goto out;
fail:
	rc = app_fail(&e);
out:
	cJSON_Delete(changed);
	train_run_release(&run);
	release(w);
	free(w);
	return rc;
}

/* ---- grad ---- */

int train_grad(const struct cmd *self, int argc, char **argv)
{
	struct app app;
	char program[PATH_MAX + 32];
	const char **words;
	struct err e = { 0 };
	int n = 0;

	if (argc < 2 || strcmp(argv[1], "--help") == 0) {
		printf("usage: cadforge %s\n%s", self->usage, self->help);
		return argc < 2 ? EXIT_USAGE : EXIT_DONE;
	}
	app_init(&app);
	app_find(&app);
	snprintf(program, sizeof(program), "%s/cadforge-train", app.libexec);
	if (access(program, X_OK) < 0)
		return app_fail((err_set(&e, ERR_LACKS, "%s: the trainer is not there (%s). %s",
		                         program, strerror(errno), app_libexec_remedy),
		                 &e));
	words = calloc((size_t)argc + 3, sizeof(*words));
	if (!words)
		return app_fail((err_set(&e, ERR_MEM, "out of memory"), &e));
	words[n++] = program;
	words[n++] = "--grad";
	for (int i = 1; i < argc; i++)
		words[n++] = argv[i];
	fflush(NULL);
	execv(program, (char *const *)(void *)words);
	err_errno(&e, ERR_LACKS, "%s", program);
	free(words);
	return app_fail(&e);
}

/* ---- runs by number ---- */

int train_run_number(const char *text, int64_t *id)
{
	char *end;
	long long v = strtoll(text, &end, 10);

	if (!*text || *end || v < 1) {
		app_tell(
			"the number of a run was expected, got '%.40s'; 'cadforge runs' lists them",
			text);
		return -1;
	}
	*id = v;
	return 0;
}

/* ---- the verb ---- */

static int run_train(const struct cmd *self, int argc, char **argv)
{
	static const struct {
		const char *word;
		int (*run)(const struct cmd *self, int argc, char **argv);
	} words[] = { { "sft", train_sft },
		      { "grpo", train_grpo },
		      { "resume", train_resume },
		      { "grad", train_grad },
		      { "sample", train_sample },
		      { "demo", cmd_train_demo },
		      { "experiment", cmd_train_experiment } };

	if (argc > 1 && strcmp(argv[1], "--help") == 0) {
		printf("usage: cadforge %s\n\n%s", self->usage, self->help);
		return EXIT_DONE;
	}
	for (size_t i = 0; argc > 1 && i < sizeof(words) / sizeof(*words); i++)
		if (strcmp(argv[1], words[i].word) == 0)
			return words[i].run(self, argc - 1, argv + 1);
	return app_usage(
		self, "sft, grpo, resume, grad, sample, demo or experiment was expected%s%.40s%s",
		argc > 1 ? ", got '" : "", argc > 1 ? argv[1] : "", argc > 1 ? "'" : "");
}

const struct cmd cmd_train = {
	.name = "train",
	.usage = "train sft|grpo|resume RUN|grad DIR|sample RUN|demo|experiment [FLAGS]",
	.summary = "train an adapter or a model: from examples, or from what its own answers earn",
	.help = "  train sft --model DIR --data FILE.jsonl...   a LoRA adapter (PEFT folder), or with\n"
		"                    --method full all of the model\n"
		"  train grpo        reinforcement learning: groups of answers, built and scored, learnt "
		"from\n"
		"                    (train grpo --help)\n"
		"  train resume RUN  goes on from the newest checkpoint, exactly where it was; one of\n"
		"                    grpo with --queue URL on other machines: see worker\n"
		"  train grad DIR --batch FILE.json --loss sft|grpo --out FILE  the gradients of one\n"
		"                    batch under their PEFT names ([--adapter DIR] [--labels\n"
		"                    prompt_masked|all_tokens] [--case NAME]), for comparing\n"
		"  train sample RUN  held-out prompts answered by a run's checkpoint, built, stored\n"
		"  train demo        the demonstration model from nothing (train demo --help)\n"
		"  train experiment  the published experiment in miniature (train experiment "
		"--help)\n\n"
		"What is learnt from:\n"
		"  --data FILE       chat JSON lines: {\"messages\"}, {\"prompt\", \"completion\"} or "
		"{\"text\"},\n"
		"                    with \"task\", \"kind\", \"weight\"; may be repeated\n"
		"  --from-store      turns of the database that built: --min TOTAL (0.6); repairs by "
		"--margin\n"
		"                    X (0.001) better than what they repair; --grade N by --judge "
		"NAME;\n"
		"                    --task ID, --by-model NAME, --by-adapter NAME, --of-run RUN,\n"
		"                    --since TIME; --prompts NAME for turns without a prompt\n"
		"  --held-out SHARE  of the tasks, never of one's rows (0.1); --hold-out TASK this one "
		"too\n"
		"  --program-weight W, --repair-weight W  up-sampling by kind (1, 1; the published mix: "
		"4, 1)\n"
		"  --near SHARE      rows that have so much in common are one (0.95; 0: never)\n"
		"  --check-builds    leave out rows of files whose program does not build\n"
		"  --any-text        also completions without a program with a final object\n"
		"  --dry-run         say what would be trained on, and end\n\n"
		"How (--config-json FILE has the same words with _ for -; flags come first):\n"
		"  --model DIR       the base; fresh:CONFIG.json begins from nothing, with --tokenizer "
		"DIR\n"
		"  --adapter DIR     goes on with this adapter\n"
		"  --out DIR         of the run: rows, settings, checkpoints (a new one of the user's)\n"
		"  --method M        lora or full (lora); --rank N (16), --alpha X (32), --dropout P "
		"(0),\n"
		"                    --rslora, --targets q_proj,k_proj,... (the published seven)\n"
		"  --optimizer O     adamw or muon (adamw); --lr X (2e-4), --lr-muon X (0.02), "
		"--beta1,\n"
		"                    --beta2, --eps, --momentum, --decay X (0), --clip NORM (1)\n"
		"  --schedule S      cosine, linear, flat-linear, constant (cosine); --warmup SHARE "
		"(0.03),\n"
		"                    --floor LR (0), --decay-share SHARE (0.3)\n"
		"  --epochs X | --steps N   how long (3 epochs)\n"
		"  --batch-samples N, --batch-tokens N, --pass-rows N, --longest TOKENS, --by-length "
		"on|off\n"
		"                    a step's samples (8), its tokens at most, rows of one pass, the "
		"longest\n"
		"                    sample, samples of like length together (on)\n"
		"  --loss L          completions or all: what is learnt of a row (completions)\n"
		"  --seed N          of order, masks, first values and what is held out (3407)\n"
		"  --eval-every N, --save-every N, --keep N   steps (25, 50); checkpoints kept (3)\n"
		"  --samples N       at each checkpoint so many held-out prompts are answered, built "
		"and\n"
		"                    stored, at low priority (0), for at most --sample-seconds S "
		"(120)\n"
		"  --backend B, --threads N, --recompute, --memory-bytes N, --dtype D   auto, cpu or "
		"cuda;\n"
		"                    CPU threads; less memory for more time; device memory; of what is "
		"saved:\n"
		"                    f32 or bf16\n"
		"  --step N, --checkpoint DIR, --seconds S   of sample: which one (the newest), how "
		"long\n" DB_HELP
		"\nJSON: {event: ready|step|eval|checkpoint|note, run, ...} a line.\n"
		"^C ends a run with a checkpoint; 'cadforge train resume RUN' goes on.\n",
	.run = run_train,
};
