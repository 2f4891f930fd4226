/*
 * cmd_eval.c - evaluations from the command line: which items, which arms, nothing that was learnt.
 */
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/base/clock.h"
#include "src/base/utf8.h"
#include "src/contamination.h"
#include "src/db.h"
#include "src/evaluation.h"
#include "src/evaluation_text.h"
#include "src/packs.h"
#include "src/show.h"
#include "src/training_rows.h"

enum { NAMES_MAX = 512, SEEDS_USUAL = 4 };
#define HELD_SEED 3407

enum flag {
	FLAG_TASK = DB_FLAGS_END,
	FLAG_PACK,
	FLAG_HELD_OUT,
	FLAG_ARM,
	FLAG_SEEDS,
	FLAG_TURNS,
	FLAG_ENOUGH,
	FLAG_PROFILE,
	FLAG_REFERENCE,
	FLAG_PROMPTS,
	FLAG_TRAINED_ON,
	FLAG_DROP_TRAINED,
	FLAG_NEAR,
	FLAG_SLOTS,
	FLAG_LIGHT,
	FLAG_AGAIN,
	FLAG_OUT,
	FLAG_DB,
	FLAG_PLACE
};

struct arm {
	char name[64];
	struct model_flags model;
	char dir[PATH_MAX]; /* when it is a model of its own */
	struct prompt_set prompts;
	bool has_prompts;
	int64_t run;
};

struct work {
	const struct cmd *self;
	struct db_flags f;
	struct model_flags model; /* what all arms have in common */
	int usual_tokens;
	struct arm arm[EVALUATION_ARMS_MAX];
	const char *asked[EVALUATION_ARMS_MAX];
	int n_arms;
	const char *task[NAMES_MAX], *pack[NAMES_MAX], *trained[NAMES_MAX];
	int n_tasks, n_packs, n_trained;
	const char *held_out, *prompts_name, *out;
	struct evaluation_options o;
	bool drop_trained;
	double near;
	struct task_set tasks, own[8]; /* installed, of --pack */
	int n_own;
	const struct task **items;
	int n_items;
	struct store *store;
	cJSON *checked; /* what was learnt */
	double told;
	const char *arm_name; /* that is at work */
};

/* ---- flags ---- */

static int add_name(const char **list, int *n, const char *flag, const char *arg)
{
	if (*n == NAMES_MAX) {
		app_tell("%s: at most %d", flag, NAMES_MAX);
		return -1;
	}
	list[(*n)++] = arg;
	return 0;
}

static int take_own(struct work *w, int opt, char **argv)
{
	switch (opt) {
	case FLAG_TASK:
	case FLAG_PLACE:
		return add_name(w->task, &w->n_tasks, "--task", optarg);
	case FLAG_PACK:
		return add_name(w->pack, &w->n_packs, "--pack", optarg);
	case FLAG_TRAINED_ON:
		return add_name(w->trained, &w->n_trained, "--trained-on", optarg);
	case FLAG_ARM:
		if (w->n_arms == EVALUATION_ARMS_MAX) {
			app_tell("--arm: at most %d are set beside one another",
			         EVALUATION_ARMS_MAX);
			return -1;
		}
		w->asked[w->n_arms++] = optarg;
		return 0;
	case FLAG_SEEDS:
		return app_whole("--seeds", optarg, 1, EVALUATION_SEEDS_MAX, &w->o.seeds);
	case FLAG_TURNS:
		return app_whole("--turns", optarg, 1, 64, &w->o.turns);
	case FLAG_ENOUGH:
		return app_number("--enough", optarg, -1, 1, &w->o.enough);
	case FLAG_NEAR:
		return app_number("--near", optarg, 0.1, 1, &w->near);
	case FLAG_SLOTS:
		return app_whole("--slots", optarg, 1, 256, &w->o.slots);
	case FLAG_HELD_OUT:
		w->held_out = optarg;
		return 0;
	case FLAG_PROFILE:
		w->o.profile = optarg;
		return 0;
	case FLAG_REFERENCE:
		w->o.reference = optarg;
		return 0;
	case FLAG_PROMPTS:
		w->prompts_name = optarg;
		return 0;
	case FLAG_DROP_TRAINED:
		w->drop_trained = true;
		return 0;
	case FLAG_LIGHT:
		w->o.light = true;
		return 0;
	case FLAG_AGAIN:
		w->o.anew = true;
		return 0;
	case FLAG_OUT:
		w->out = optarg;
		return 0;
	case FLAG_DB:
		w->f.db = optarg;
		return 0;
	default:
		app_bad_flag(w->self, opt, argv);
		return -1;
	}
}

/* 0: go on; 1: leave with *@status. */
static int parse(struct work *w, int argc, char **argv, int *status)
{
	static const struct option options[] = {
		APP_LONG_OPTIONS,
		APP_QUEUE_OPTION,
		MODEL_LONG_OPTIONS,
		{ "task", required_argument, NULL, FLAG_TASK },
		{ "pack", required_argument, NULL, FLAG_PACK },
		{ "held-out", required_argument, NULL, FLAG_HELD_OUT },
		{ "arm", required_argument, NULL, FLAG_ARM },
		{ "seeds", required_argument, NULL, FLAG_SEEDS },
		{ "turns", required_argument, NULL, FLAG_TURNS },
		{ "enough", required_argument, NULL, FLAG_ENOUGH },
		{ "profile", required_argument, NULL, FLAG_PROFILE },
		{ "reference", required_argument, NULL, FLAG_REFERENCE },
		{ "prompts", required_argument, NULL, FLAG_PROMPTS },
		{ "trained-on", required_argument, NULL, FLAG_TRAINED_ON },
		{ "drop-trained", no_argument, NULL, FLAG_DROP_TRAINED },
		{ "near", required_argument, NULL, FLAG_NEAR },
		{ "slots", required_argument, NULL, FLAG_SLOTS },
		{ "light", no_argument, NULL, FLAG_LIGHT },
		{ "again", no_argument, NULL, FLAG_AGAIN },
		{ "out", required_argument, NULL, FLAG_OUT },
		{ "db", required_argument, NULL, FLAG_DB },
		{ NULL, 0, NULL, 0 },
	};
	int opt, rc;

	opterr = 0;
	*status = EXIT_USAGE;
	while ((opt = getopt_long(argc, argv, "-:", options, NULL)) >= 0) {
		if (opt == 1)
			opt = FLAG_PLACE;
		rc = app_flag(&w->f.app, w->self, opt, optarg);
		if (rc == 2) {
			*status = EXIT_DONE;
			return 1;
		}
		if (rc == 0)
			rc = model_flag(&w->model, opt, optarg);
		if (rc == 0)
			rc = take_own(w, opt, argv);
		if (rc < 0)
			return 1;
	}
	for (; optind < argc; optind++)
		if (add_name(w->task, &w->n_tasks, "TASK", argv[optind]) < 0)
			return 1;
	if (w->n_arms && (w->model.n_adapters || w->model.no_adapter)) {
		app_usage(w->self, "--arm and --adapter were given: an arm says its own adapters "
		                   "(--arm NAME=DIR, --arm NAME=DIR:0.5+DIR2)");
		return 1;
	}
	return 0;
}

/* ---- arms ---- */

static bool has_file(const char *dir, const char *name)
{
	char path[PATH_MAX];

	return snprintf(path, sizeof(path), "%s/%s", dir, name) < (int)sizeof(path) &&
	       access(path, F_OK) == 0;
}

static void name_after(char out[64], const char *folder)
{
	char path[PATH_MAX];
	size_t n = (size_t)snprintf(path, sizeof(path), "%s", folder);

	n = n < sizeof(path) ? n : sizeof(path) - 1;
	while (n > 1 && path[n - 1] == '/')
		path[--n] = '\0';
	const char *slash = strrchr(path, '/');
	snprintf(out, 64, "%.63s", slash && slash[1] ? slash + 1 : path);
}

/* "none", "DIR[:SCALE]", several with a + between, or the folder of a model. */
static int set_arm(struct arm *a, const char *what)
{
	char part[PATH_MAX];

	if (strcmp(what, "none") == 0)
		return model_flag(&a->model, MODEL_ADAPTER, "none") < 0 ? -1 : 0;
	if (strstr(what, "://") ||
	    (has_file(what, "config.json") && !has_file(what, "adapter_config.json"))) {
		snprintf(a->dir, sizeof(a->dir), "%s", what);
		a->model.model = a->dir;
		a->model.no_adapter = true;
		return 0;
	}
	while (*what) {
		size_t n = strcspn(what, "+");
		snprintf(part, sizeof(part), "%.*s", (int)n, what);
		if (model_flag(&a->model, MODEL_ADAPTER, part) < 0)
			return -1;
		what += n + (what[n] == '+');
	}
	return 0;
}

static int make_arm(struct work *w, int i, struct err *e)
{
	struct arm *a = &w->arm[i];
	const char *what = w->asked[i];
	const char *equals = what ? strchr(what, '=') : NULL;

	a->model = w->model;
	for (int k = 0; k < a->model.n_adapters; k++)
		a->model.adapter[k].dir = a->model.names[k];
	if (equals)
		snprintf(a->name, sizeof(a->name), "%.*s", (int)(equals - what), what);
	if (what && set_arm(a, equals ? equals + 1 : what) < 0)
		return err_set(e, ERR_USAGE,
		               "--arm %.100s: NAME=DIR, the folder of an adapter "
		               "(DIR:SCALE, DIR+DIR) or of a model, or NAME=none, was "
		               "expected",
		               what);
	if (model_flags_finish(&a->model, &w->f.app, e) < 0)
		return -1;
	if (!*a->name && a->model.n_adapters)
		name_after(a->name, a->model.names[0]);
	else if (!*a->name && *a->model.about.name)
		snprintf(a->name, sizeof(a->name), "%s", a->model.about.name);
	else if (!*a->name)
		name_after(a->name, a->model.model);
	for (int k = 0; k < i; k++)
		if (strcmp(w->arm[k].name, a->name) == 0)
			return err_set(e, ERR_USAGE,
			               "two arms are called %s: name them, --arm NAME=DIR",
			               a->name);
	return 0;
}

static int load_prompts(struct work *w, struct arm *a, struct err *e)
{
	const char *asked = w->prompts_name           ? w->prompts_name
	                    : *a->model.about.prompts ? a->model.about.prompts
	                                              : "default";
	struct prompts_dirs dirs;

	prompts_dirs(&dirs, &w->f.app);
	if (prompt_set_load(&a->prompts, dirs.dir, dirs.n, asked, e) < 0)
		return -1;
	a->has_prompts = true;
	return 0;
}

static int make_arms(struct work *w, struct err *e)
{
	double temperature;

	if (!w->n_arms)
		w->asked[w->n_arms++] = NULL;
	for (int i = 0; i < w->n_arms; i++)
		if (make_arm(w, i, e) < 0 || load_prompts(w, &w->arm[i], e) < 0)
			return -1;
	/* what they are compared by is who answers, and not how it was drawn */
	temperature = (double)w->arm[0].model.sampling.temperature;
	for (int i = 1; i < w->n_arms; i++)
		w->arm[i].model.sampling.temperature = (float)temperature;
	if (!w->o.seeds)
		w->o.seeds = temperature > 0 ? SEEDS_USUAL : 1;
	return 0;
}

/* ---- items ---- */

static int add_item(struct work *w, const struct task *t, struct err *e)
{
	const struct task **more;

	for (int i = 0; i < w->n_items; i++)
		if (strcmp(w->items[i]->id, t->id) == 0)
			return 0;
	more = realloc(w->items, (size_t)(w->n_items + 1) * sizeof(*more));
	if (!more)
		return err_set(e, ERR_MEM, "no memory for %d tasks", w->n_items + 1);
	w->items = more;
	w->items[w->n_items++] = t;
	return 0;
}

/* What is wrong with tasks of @dir. A folder that is no pack is none of its problems. */
static void tell_problems(const struct work *w, const struct task_set *set, const char *dir)
{
	const struct task_problems *p = &set->left_out;
	size_t n = strlen(dir);
	int told = 0;

	for (int i = 0; i < p->n && !w->f.app.quiet; i++) {
		const char *base = strrchr(p->v[i].file, '/');
		struct buf line = { 0 };
		if (strncmp(p->v[i].file, dir, n) != 0 || p->v[i].file[n] != '/' ||
		    (base && strcmp(base, "/pack.json") == 0 && access(p->v[i].file, F_OK) < 0))
			continue;
		task_problem_print(&line, &p->v[i]);
		if (told++ < 5)
			app_tell("left out: %s", buf_str(&line));
		buf_release(&line);
	}
	if (told > 5)
		app_tell("and %d more problems: 'cadforge tasks check %s' lists them", told - 5,
		         dir);
}

/* A folder with pack.json, or one of such folders. */
static int add_pack(struct work *w, const char *name, struct err *e)
{
	char dir[PATH_MAX], above[PATH_MAX], *slash;
	const char *root = dir;
	int before = w->n_items;
	struct task_set *set;

	for (int i = 0; i < w->tasks.n; i++)
		if (strcmp(w->tasks.tasks[i].pack, name) == 0 &&
		    add_item(w, &w->tasks.tasks[i], e) < 0)
			return -1;
	if (w->n_items > before)
		return 0;
	if (!realpath(name, dir))
		return err_errno(e, ERR_INPUT, "--pack %s: no pack of that name, and as a folder",
		                 name);
	if (w->n_own == (int)(sizeof(w->own) / sizeof(*w->own)))
		return err_set(e, ERR_USAGE, "--pack: at most %d folders", w->n_own);
	snprintf(above, sizeof(above), "%s", dir);
	if (has_file(dir, "pack.json") && (slash = strrchr(above, '/')) > above) {
		*slash = '\0';
		root = above;
	}
	set = &w->own[w->n_own++];
	if (task_set_load(set, &root, 1, e) < 0)
		return -1;
	for (int i = 0; i < set->n; i++) {
		size_t n = strlen(dir);
		if (strncmp(set->tasks[i].file, dir, n) == 0 && set->tasks[i].file[n] == '/' &&
		    add_item(w, &set->tasks[i], e) < 0)
			return -1;
	}
	tell_problems(w, set, dir);
	return w->n_items > before
	               ? 0
	               : err_set(e, ERR_INPUT, "--pack %s: there is no task in it", name);
}

struct held {
	struct work *w;
	bool there;
	cJSON *names;
	char path[PATH_MAX];
};

static int see_run_rows(void *ctx, const struct store_run *r)
{
	struct held *h = ctx;
	cJSON *o = r->settings ? json_parse(r->settings, strlen(r->settings), NULL) : NULL;
	const cJSON *set = cJSON_GetObjectItemCaseSensitive(o, "settings");
	const cJSON *held = cJSON_GetObjectItemCaseSensitive(set, "held_out"), *x;

	h->there = true;
	snprintf(h->path, sizeof(h->path), "%s", json_string_or(set, "eval_data", ""));
	cJSON_ArrayForEach(x, held) if (cJSON_IsString(x))
		cJSON_AddItemToArray(h->names, cJSON_CreateString(x->valuestring));
	cJSON_Delete(o);
	return 0;
}

static int read_held_rows(struct held *h, struct err *e)
{
	FILE *f = fopen(h->path, "re");
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;

	if (!f)
		return err_errno(e, ERR_INPUT, "%s: what was held out cannot be read", h->path);
	while ((n = getline(&line, &cap, f)) >= 0) {
		cJSON *o = json_parse(line, (size_t)n, NULL);
		const char *task = json_string_or(o, "task", NULL);
		if (task)
			cJSON_AddItemToArray(h->names, cJSON_CreateString(task));
		cJSON_Delete(o);
	}
	free(line);
	fclose(f);
	return 0;
}

static bool named(const cJSON *names, const char *id)
{
	const cJSON *x;

	cJSON_ArrayForEach(x, names) if (strcmp(x->valuestring, id) == 0) return true;
	return false;
}

static void keep_named(struct work *w, const cJSON *names)
{
	int kept = 0;

	for (int i = 0; i < w->n_items; i++)
		if (named(names, w->items[i]->id))
			w->items[kept++] = w->items[i];
	w->n_items = kept;
}

/* A share of the tasks (with another seed: 0.2:7), or those that a run did not learn from. */
static int hold_out(struct work *w, struct err *e)
{
	struct held h = { .w = w };
	char *end;
	double share = strtod(w->held_out, &end);
	unsigned long long seed = HELD_SEED;
	int before = w->n_items, rc = -1;

	if (end == w->held_out || (*end && *end != ':') || !(share > 0) ||
	    (*end && (sscanf(end + 1, "%llu", &seed) != 1 || share >= 1)) ||
	    (share >= 1 && share != floor(share)))
		return err_set(e, ERR_USAGE,
		               "--held-out: a share of the tasks (0.2, or 0.2:SEED), or the number "
		               "of a run that held some out, was expected, got '%.40s'",
		               w->held_out);
	h.names = cJSON_CreateArray();
	if (share < 1) {
		struct training_part *part = calloc((size_t)w->n_items + 1, sizeof(*part));
		if (!part) {
			err_set(e, ERR_MEM, "no memory for %d tasks", w->n_items);
			goto out;
		}
		for (int i = 0; i < w->n_items; i++)
			part[i].name = w->items[i]->id;
		training_hold_out(part, w->n_items, share, seed);
		for (int i = 0; i < w->n_items; i++)
			if (part[i].held)
				cJSON_AddItemToArray(h.names, cJSON_CreateString(part[i].name));
		free(part);
	} else if (store_runs(w->store, (int64_t)share, 1, see_run_rows, &h, e) < 0 ||
	           (*h.path && read_held_rows(&h, e) < 0)) {
		goto out;
	}
	keep_named(w, h.names);
	if (share >= 1 && !h.there)
		err_set(e, ERR_INPUT, "--held-out %s: there is no run of that number", w->held_out);
	else if (w->n_items == 0)
		err_set(e, ERR_INPUT,
		        "--held-out %s: of %d tasks it held out none (%d rows of other names)",
		        w->held_out, before, cJSON_GetArraySize(h.names));
	else
		rc = 0;
out:
	cJSON_Delete(h.names);
	return rc;
}

static int choose_items(struct work *w, struct err *e)
{
	/* of packs given by folder all the rest is not needed */
	if (packs_load(&w->tasks, &w->f.app, e) < 0 && !(w->n_packs && e->kind == ERR_LACKS))
		return -1;
	for (int i = 0; i < w->n_packs; i++)
		if (add_pack(w, w->pack[i], e) < 0)
			return -1;
	for (int i = 0; i < w->n_tasks; i++) {
		const struct task *t = NULL;
		for (int k = 0; k < w->n_own && !t; k++)
			t = task_find(&w->own[k], w->task[i], e);
		if ((!t && !(t = task_find(&w->tasks, w->task[i], e))) || add_item(w, t, e) < 0)
			return -1;
	}
	if (!w->n_packs && !w->n_tasks)
		for (int i = 0; i < w->tasks.n; i++)
			if (add_item(w, &w->tasks.tasks[i], e) < 0)
				return -1;
	return w->held_out ? hold_out(w, e) : 0;
}

/* ---- nothing that was learnt ---- */

static int look_into(struct work *w, struct contamination *c, struct err *e)
{
	for (int i = 0; i < w->n_arms; i++) {
		const struct model_flags *m = &w->arm[i].model;
		for (int k = 0; k < m->n_adapters; k++)
			if (contamination_folder(c, m->adapter[k].dir, e) < 0)
				return -1;
		if (!strstr(m->model, "://") && strncmp(m->model, "random:", 7) != 0 &&
		    contamination_folder(c, m->model, e) < 0)
			return -1;
	}
	for (int i = 0; i < w->n_trained; i++) {
		char *end;
		long long run = strtoll(w->trained[i], &end, 10);
		if (run > 0 && !*end ? contamination_run(c, w->store, run, e) < 0
		                     : contamination_file(c, w->trained[i], e) < 0)
			return -1;
	}
	return 0;
}

static void list_learnt(const struct work *w, const struct contamination *c, struct buf *out)
{
	int told = 0, all = contamination_count(c);

	for (int i = 0; i < w->n_items && told < 3; i++) {
		const struct contaminated *f = contamination_of(c, i);
		if (f->how == LEARNT_NOT)
			continue;
		buf_printf(out, "%s%s (%s; %.60s)", told++ ? ", " : "", w->items[i]->id,
		           learnt_words(f->how), f->where);
	}
	if (all > told)
		buf_printf(out, " and %d more", all - told);
}

static int drop_learnt(struct work *w, struct err *e)
{
	struct contamination *c =
		contamination_open(w->items, w->n_items, &w->arm[0].prompts, w->near, e);
	struct buf list = { 0 };
	const cJSON *x;
	int kept = 0, learnt, rc = -1;

	if (!c || look_into(w, c, e) < 0)
		goto out;
	learnt = contamination_count(c);
	list_learnt(w, c, &list);
	w->checked = contamination_report(c);
	if (learnt && (!w->drop_trained || learnt == w->n_items)) {
		err_set(e, ERR_INPUT,
		        "%d of %d tasks %s learnt: %.280s; name others (--task, --pack DIR)%s",
		        learnt, w->n_items, learnt == 1 ? "was" : "were", buf_str(&list),
		        learnt < w->n_items ? ", or leave those out with --drop-trained" : "");
		goto out;
	}
	for (int i = 0; i < w->n_items; i++)
		if (contamination_of(c, i)->how == LEARNT_NOT)
			w->items[kept++] = w->items[i];
	w->n_items = kept;
	if (learnt && !w->f.app.quiet)
		app_tell("%d task%s that %s learnt left out: %s", learnt, learnt == 1 ? "" : "s",
		         learnt == 1 ? "was" : "were", buf_str(&list));
	cJSON_ArrayForEach(
		x, cJSON_GetObjectItemCaseSensitive(w->checked, "unknown")) if (!w->f.app.quiet)
		app_tell("what %s learnt from is not known: whether these tasks were in it cannot "
	                 "be checked (--trained-on FILE|RUN)",
	                 x->valuestring);
	rc = 0;
out:
	contamination_close(c);
	buf_release(&list);
	return rc;
}

/* ---- the work ---- */

static int on_item(void *ctx, const struct evaluation_item *i, const struct task *task, int done,
                   int all)
{
	struct work *w = ctx;
	double now = clock_now_s();

	if (!w->f.app.quiet && (done == all || now - w->told > 5)) {
		fprintf(stderr, "%s: %d of %d: %s, seed %d: %s", w->arm_name, done, all, task->id,
		        i->seed, i->built ? "built" : "not built");
		if (isnan(i->total))
			fputs("\n", stderr);
		else
			fprintf(stderr, ", %.3f\n", i->total);
		w->told = now;
	}
	return app_reader_gone();
}

static int run_arm(struct work *w, struct arm *a, struct err *e)
{
	struct evaluation_options o = w->o;
	cJSON *about = cJSON_CreateObject();
	int rc;

	o.app = &w->f.app;
	o.store = w->store;
	o.arm = w->arm_name = a->name;
	o.model = &a->model;
	o.task = w->items;
	o.n_tasks = w->n_items;
	o.prompts = &a->prompts;
	o.seed = w->model.sampling.seed;
	o.max_tokens = a->model.max_tokens == w->usual_tokens ? 0 : a->model.max_tokens;
	cJSON_AddItemToObject(about, "learnt", cJSON_Duplicate(w->checked, true));
	o.about = about;
	o.ctx = w;
	o.item = on_item;
	rc = evaluation_run(&o, &a->run, e);
	cJSON_Delete(about);
	return rc;
}

static int show(struct work *w, struct err *e)
{
	struct evaluation v[EVALUATION_ARMS_MAX] = { 0 };
	struct buf text = { 0 };
	int rc = 0;

	for (int i = 0; i < w->n_arms && rc == 0; i++)
		rc = evaluation_read(&v[i], w->store, w->arm[i].run, e);
	for (int i = 0; w->f.app.json && i < w->n_arms && rc == 0; i++) {
		cJSON *o;
		for (int k = 0; k < v[i].n; k++) {
			o = evaluation_item_json(&v[i], &v[i].item[k]);
			show_json_line(o);
			cJSON_Delete(o);
		}
		o = cJSON_CreateObject();
		cJSON_AddItemToObject(o, "evaluation", evaluation_json(&v[i]));
		show_json_line(o);
		cJSON_Delete(o);
	}
	if (rc == 0 && !w->f.app.json)
		evaluation_table(&text, v, w->n_arms);
	for (int i = 1; i < w->n_arms && rc == 0; i++) {
		struct evaluation_pair p;
		rc = evaluation_compare(&p, &v[0], &v[i], e);
		if (rc == 0 && w->f.app.json) {
			cJSON *o = cJSON_CreateObject();
			cJSON_AddItemToObject(o, "paired", evaluation_pair_json(&p, &v[0], &v[i]));
			show_json_line(o);
			cJSON_Delete(o);
		} else if (rc == 0) {
			buf_addc(&text, '\n');
			evaluation_pair_text(&text, &p, &v[0], &v[i]);
		}
	}
	if (rc == 0 && !w->f.app.json)
		db_print_text(stdout, buf_str(&text), text.len, "");
	buf_release(&text);
	for (int i = 0; i < w->n_arms; i++)
		evaluation_release(&v[i]);
	return rc;
}

static int write_page(struct work *w, struct err *e)
{
	int64_t run[EVALUATION_ARMS_MAX];

	if (!w->out)
		return 0;
	for (int i = 0; i < w->n_arms; i++)
		run[i] = w->arm[i].run;
	if (evaluation_page(w->store, run, w->n_arms, w->out, e) < 0)
		return -1;
	if (!w->f.app.quiet)
		fprintf(stderr, "the page: %s/README.md, %s/index.html\n", w->out, w->out);
	return 0;
}

static void work_release(struct work *w)
{
	store_close(w->store);
	free(w->items);
	for (int i = 0; i < w->n_arms; i++)
		if (w->arm[i].has_prompts)
			prompt_set_release(&w->arm[i].prompts);
	for (int i = 0; i < w->n_own; i++)
		task_set_release(&w->own[i]);
	task_set_release(&w->tasks);
	cJSON_Delete(w->checked);
}

static int run(const struct cmd *self, int argc, char **argv)
{
	struct work *w = calloc(1, sizeof(*w));
	struct err e = { 0 };
	int rc;

	if (!w)
		return app_fail((err_set(&e, ERR_MEM, "out of memory"), &e));
	w->self = self;
	w->near = 0.9;
	w->o.turns = 1;
	w->o.enough = 0.92;
	db_flags_init(&w->f);
	model_flags_init(&w->model);
	w->usual_tokens = w->model.max_tokens;
	if (parse(w, argc, argv, &rc))
		goto out;
	app_find(&w->f.app);
	app_catch_interrupt();
	rc = EXIT_DONE;
	if (make_arms(w, &e) < 0 || !(w->store = db_open(&w->f, STORE_WRITE, &e)) ||
	    choose_items(w, &e) < 0 || drop_learnt(w, &e) < 0)
		goto fail;
	for (int i = 0; i < w->n_arms; i++)
		if (run_arm(w, &w->arm[i], &e) < 0) {
			if (w->arm[i].run && !w->f.app.quiet)
				app_tell("run %" PRId64 " (%s) is not done: the same command goes "
				         "on with it",
				         w->arm[i].run, w->arm[i].name);
			goto fail;
		}
	if (show(w, &e) == 0 && write_page(w, &e) == 0)
		goto out;
fail:
	rc = app_fail(&e);
out:
	work_release(w);
	free(w);
	return rc;
}

const struct cmd cmd_eval = {
	.name = "eval",
	.usage =
		"eval [TASK...] [--pack DIR] [--held-out X] [--arm NAME=DIR...] [--seeds N] [--json]",
	.summary = "what a model can do on tasks it never learnt from, with intervals",
	.help = "  TASK..., --task ID    these tasks (all that are installed)\n"
		"  --pack DIR|NAME   the tasks of a pack: its folder, or its name\n"
		"  --held-out X      of those a share (0.2; 0.2:SEED), chosen as train sft does, or\n"
		"                    those that run X held out\n"
		"  --arm NAME=WHAT   who answers, repeat to set several beside one another: an adapter's\n"
		"                    folder (DIR:SCALE, DIR+DIR), none (the base alone), or a model's\n"
		"                    folder or address; without any --adapter says it\n"
		"  --seeds N         answers a task, each with a seed of its own (4; at temperature 0: 1)\n"
		"  --turns N         of an answer's chain of repairs (1); --enough TOTAL ends it (0.92),\n"
		"                    and from there an answer counts as right\n"
		"  --profile P, --reference R, --prompts NAME   see run\n"
		"  --trained-on W    what was learnt from as well: a file of rows, a pack, a run's folder\n"
		"                    or number; repeat\n"
		"  --drop-trained    tasks that were learnt are left out instead of refused\n"
		"  --near X          share of a text's words that makes it the same (0.9)\n"
		"  --light           keep texts and scores alone, no shapes and pictures\n"
		"  --slots N         answers that are decoded together\n"
		"  --queue URL       workers on other machines build and score, and answer where they\n"
		"                    have the model: see worker\n"
		"  --again           a new run, although one with these settings is there\n"
		"  --out DIR         a page of it: README.md, index.html, plots\n"
		"  --db FILE         the database (CADFORGE_DB, else the user's)\n" MODEL_HELP
			SAMPLING_HELP
		"\nNothing that was learnt from is asked: adapters, base and --trained-on are followed "
		"to the rows and\ntasks of their runs, and a task whose id, prompt or reference "
		"program (or nearly) is in them is refused.\nWhat is stored is not done again: a killed "
		"evaluation goes on with the same "
		"command. JSON: a line an item {arm, run, task, seed, episode,\nbuilt, valid, total, "
		"class, iou, chamfer_mm, tokens, ...}, {evaluation} an arm, {paired} each arm against\n"
		"the first. Intervals of 95 %: bootstrap over tasks; tests: sign flips over tasks, "
		"McNemar.\n",
	.engine = true,
	.run = run,
};
