/*
 * demo_report.c - the stage report: the page that lies beside the model, made of the figures that
 * the other stages left, with curves and with pictures of parts that the model made.
 */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "src/base/json.h"
#include "src/contamination.h"
#include "src/demo.h"
#include "src/demo_build.h"
#include "src/demo_eval.h"
#include "src/packs.h"
#include "src/plot.h"

enum { PICTURES = 9, COLUMNS = 3, FILE_MAX = 256 << 20, FAILURES = 6 };

static double number(const cJSON *o, const char *path)
{
	char key[64];

	while (o && *path) {
		size_t n = strcspn(path, ".");
		snprintf(key, sizeof(key), "%.*s", (int)n, path);
		o = cJSON_GetObjectItemCaseSensitive(o, key);
		path += n + (path[n] == '.');
	}
	return cJSON_IsNumber(o) ? o->valuedouble : NAN;
}

/* "97.1 % (94.1 to 98.6)" */
static void rate(struct buf *out, const cJSON *o, const char *name)
{
	const cJSON *r = cJSON_GetObjectItemCaseSensitive(o, name);

	if (!r || isnan(number(r, "rate")))
		buf_adds(out, " -");
	else
		buf_printf(out, " %.1f %% (%.1f to %.1f)", 100 * number(r, "rate"),
		           100 * number(r, "low"), 100 * number(r, "high"));
}

static const cJSON *set_of(const cJSON *sets, const char *name, bool adapter, bool hot)
{
	const cJSON *s;

	cJSON_ArrayForEach(s, sets) if (strcmp(json_string_or(s, "set", ""), name) == 0 &&
	                                json_bool_or(s, "adapter", false) == adapter &&
	                                (json_number_or(s, "temperature", 0) > 0) == hot) return s;
	return NULL;
}

static void figures_table(struct buf *b, const cJSON *sets)
{
	static const struct {
		const char *set, *what;
		bool adapter, hot;
	} rows[] = {
		{ "held", "held-out prompts, greedy", true, false },
		{ "held", "the same at temperature 0.7", true, true },
		{ "repair", "broken programs, one turn to repair them", true, false },
		{ "unseen", "families that it never saw", true, false },
		{ "held", "held-out prompts, greedy, **base alone**", false, false },
		{ "repair", "broken programs, **base alone**", false, false },
	};

	buf_adds(b, "| asked | n | builds | box right | all asked numbers | one solid, box and all "
	            "numbers |\n| --- | --- | --- | --- | --- | --- |\n");
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const cJSON *s = set_of(sets, rows[i].set, rows[i].adapter, rows[i].hot);
		if (!s)
			continue;
		buf_printf(b, "| %s | %.0f |", rows[i].what, number(s, "n"));
		rate(b, s, "built");
		buf_adds(b, " |");
		rate(b, s, "box");
		buf_adds(b, " |");
		rate(b, s, "numbers");
		buf_adds(b, " |");
		rate(b, s, "all");
		buf_adds(b, " |\n");
	}
	buf_adds(b, "\nIn brackets the Wilson interval of 95 %.\n");
}

static void families_table(struct buf *b, const cJSON *sets)
{
	static const struct {
		const char *set, *title;
	} lists[] = { { "held", "trained on" }, { "unseen", "never seen" } };

	buf_adds(b,
	         "\n## By family\n\n| family | | n | builds | box right | all |\n| --- | --- | --- "
	         "| --- | --- | --- |\n");
	for (size_t i = 0; i < 2; i++) {
		const cJSON *f, *s = set_of(sets, lists[i].set, true, false);
		cJSON_ArrayForEach(f, cJSON_GetObjectItemCaseSensitive(s, "families")) buf_printf(
			b, "| %s | %s | %.0f | %.0f | %.0f | %.0f |\n", f->string, lists[i].title,
			number(f, "n"), number(f, "built"), number(f, "box"), number(f, "all"));
	}
}

static void tasks_table(struct buf *b, const cJSON *sets)
{
	const cJSON *s = set_of(sets, "tasks", true, false),
		    *base = set_of(sets, "tasks", false, false), *t;

	if (!s)
		return;
	buf_printf(
		b,
		"\n## The tasks\n\nNo held-out test: the corpus has a small take on each of them, and their "
		"own words among its prompts. Asked as the workbench asks, at most three turns, scored under "
		"`exact`: %.0f of %.0f build,",
		number(s, "built.k"), number(s, "n"));
	rate(b, s, "built");
	buf_printf(b, "; %.0f reach %g,", number(s, "reached.k"), DEMO_REACHED);
	rate(b, s, "reached");
	if (base)
		buf_printf(b, ". The base alone: %.0f build, %.0f reach it",
		           number(base, "built.k"), number(base, "reached.k"));
	buf_adds(b,
	         ".\n\n| task | builds | best total | totals of the turns |\n| --- | --- | --- | "
	         "--- |\n");
	cJSON_ArrayForEach(t, cJSON_GetObjectItemCaseSensitive(s, "tasks"))
	{
		const cJSON *x;
		bool first = true;
		buf_printf(b, "| %s | %s | %.3f |", json_string_or(t, "task", "?"),
		           json_bool_or(t, "built", false) ? "yes" : "no", number(t, "best"));
		cJSON_ArrayForEach(x, cJSON_GetObjectItemCaseSensitive(t, "totals"))
		{
			buf_printf(b, "%s %.3f", first ? "" : ",", x->valuedouble);
			first = false;
		}
		buf_adds(b, " |\n");
	}
}

/* ---- answers: pictures of those that came out right, words of those that did not ---- */

struct shown {
	int document, family;
	char prompt[400];
};

/* Lines of a file of answers; @fn until it says otherwise. */
static int each_answer(struct demo *d, const char *name, int (*fn)(void *ctx, const cJSON *o),
                       void *ctx, struct err *e)
{
	struct buf text = { 0 };
	char path[PATH_MAX];
	int rc;

	stages_path(&d->stages, path, sizeof(path), name);
	rc = buf_read_file(&text, path, FILE_MAX, e);
	for (const char *p = buf_str(&text), *end = p + text.len; rc == 0 && p < end;) {
		const char *line = memchr(p, '\n', (size_t)(end - p));
		size_t len = line ? (size_t)(line - p) : (size_t)(end - p);
		cJSON *o = json_parse(p, len, NULL);
		if (o && fn(ctx, o))
			end = p;
		cJSON_Delete(o);
		p += len + 1;
	}
	buf_release(&text);
	return rc;
}

struct gallery {
	struct demo *d;
	struct scoring *scoring;
	struct buf *out;
	bool *family; /* is there already */
	int n;
	struct err failed;
};

static int family_of(const char *name)
{
	for (int i = 0; i < corpus_families(); i++)
		if (strcmp(corpus_family_name(i), name) == 0)
			return i;
	return -1;
}

static void alt_text(struct buf *b, const char *text)
{
	for (; *text; text++)
		if (*text == '|' || *text == '[' || *text == ']' || *text == '<' || *text == '\\')
			buf_printf(b, "\\%c", *text);
		else
			buf_addc(b, *text == '\n' ? ' ' : *text);
}

static int draw_one(struct gallery *g, const cJSON *o, const char *family)
{
	const char *answer = json_string_or(o, "answer", "");
	const struct scoring_input in = { .text = answer,
		                          .len = strlen(answer),
		                          .rule = EXTRACT_ANSWER };
	struct scored s = { .total = NAN };
	char name[128], path[PATH_MAX];
	int rc = scoring_run(g->scoring, &in, &s, &g->failed);

	for (int i = 0; rc == 0 && i < s.n_pictures; i++) {
		const struct buf *png = &s.pictures[i].png;
		if (strcmp(s.pictures[i].name, "isometric") != 0)
			continue;
		snprintf(name, sizeof(name), "demo/pictures/%s.png", family);
		stages_path(&g->d->stages, path, sizeof(path), name);
		rc = file_write_atomic(path, png->data, png->len, &g->failed);
		if (g->n % COLUMNS == 0)
			buf_adds(g->out, "|");
		buf_printf(g->out, " ![%s](pictures/%s.png) %s: ", family, family, family);
		alt_text(g->out, json_string_or(o, "prompt", ""));
		buf_adds(g->out, " |");
		if (++g->n % COLUMNS == 0)
			buf_adds(g->out, "\n");
		if (g->n == COLUMNS) {
			buf_adds(g->out, "|");
			for (int k = 0; k < COLUMNS; k++)
				buf_adds(g->out, " --- |");
			buf_adds(g->out, "\n");
		}
	}
	scored_release(&s);
	return rc;
}

static int take_picture(void *ctx, const cJSON *o)
{
	struct gallery *g = ctx;
	const char *family = json_string_or(o, "family", "");
	int f = family_of(family);

	if (f < 0 || g->family[f] || !json_bool_or(o, "box", false) ||
	    !json_bool_or(o, "solid", false) ||
	    json_number_or(o, "numbers", 0) < json_number_or(o, "numbers_asked", 1))
		return 0;
	g->family[f] = true;
	return draw_one(g, o, family) < 0 || g->n >= PICTURES || app_interrupted();
}

static int gallery(struct demo *d, struct buf *out, struct err *e)
{
	const struct scoring_options o = {
		.app = d->stages.app, .reference = "none", .rebuilds = 0, .artifacts = SCORING_VIEWS
	};
	struct gallery g = { .d = d, .out = out };
	char path[PATH_MAX];
	int rc = -1;

	if (stages_remove(&d->stages, "demo/pictures", e) < 0)
		return -1;
	stages_path(&d->stages, path, sizeof(path), "demo/pictures");
	if (mkdir(path, 0777) < 0)
		return err_errno(e, ERR_IO, "%s", path);
	g.family = calloc((size_t)corpus_families(), sizeof(*g.family));
	if (!g.family || !(g.scoring = scoring_open(&o, e))) {
		free(g.family);
		return g.family ? -1 : err_set(e, ERR_MEM, "out of memory");
	}
	buf_adds(out,
	         "\n## Parts it made\n\nThe first held-out prompts of as many families that came "
	         "out as asked; each also had the box:\n\n");
	rc = each_answer(d, "evaluate/held.jsonl", take_picture, &g, e);
	if (g.n && g.n % COLUMNS)
		buf_adds(out, "\n");
	if (g.n == 0)
		buf_adds(out, "None did.\n");
	if (rc == 0 && g.failed.kind) {
		*e = g.failed;
		rc = -1;
	}
	if (rc == 0 && app_interrupted())
		rc = err_set(e, ERR_CANCELLED, "interrupted");
	scoring_close(g.scoring);
	free(g.family);
	return rc;
}

struct failures {
	struct buf *out;
	int n;
};

static int take_failure(void *ctx, const cJSON *o)
{
	struct failures *f = ctx;
	const char *why = json_string_or(o, "why", "");

	if (!*why)
		return 0;
	buf_printf(f->out, "- %s: ", json_string_or(o, "family", "?"));
	alt_text(f->out, why);
	buf_adds(f->out, "\n");
	return ++f->n >= FAILURES;
}

/* ---- curves ---- */

/* What a training told: of its steps the loss, of its evaluations the loss on held-out rows, over
 * the tokens fed. A step that was made again after a kill counts as it was made last. */
struct curve {
	double batch_tokens;
	double *step, *loss, *at, *held;
	int n, n_held, cap;
	bool lost;
};

static void add_point(double **x, double **y, int *n, int *cap, double a, double b, bool *lost)
{
	if (*n == *cap) {
		int more = *cap ? 2 * *cap : 1024;
		double *p = realloc(*x, (size_t)more * sizeof(*p));
		if (p)
			*x = p;
		double *q = realloc(*y, (size_t)more * sizeof(*q));
		if (q)
			*y = q;
		if (!p || !q) {
			*lost = true;
			return;
		}
		*cap = more;
	}
	while (*n && (*x)[*n - 1] >= a)
		(*n)--;
	(*x)[*n] = a;
	(*y)[(*n)++] = b;
}

static int take_event(void *ctx, const cJSON *o)
{
	struct curve *c = ctx;
	const char *event = json_string_or(o, "event", "");
	double at = json_number_or(o, "step", NAN) * c->batch_tokens / 1e6;
	double loss = json_number_or(o, "loss", NAN);

	if (strcmp(event, "step") == 0)
		add_point(&c->step, &c->loss, &c->n, &c->cap, at, loss, &c->lost);
	else if (strcmp(event, "eval") == 0) {
		/* few: grown one by one */
		int cap = c->n_held + 1;
		double *p = realloc(c->at, (size_t)cap * sizeof(*p));
		if (p)
			c->at = p;
		double *q = realloc(c->held, (size_t)cap * sizeof(*q));
		if (q)
			c->held = q;
		c->lost = c->lost || !p || !q;
		if (!c->lost)
			add_point(&c->at, &c->held, &c->n_held, &cap, at, loss, &c->lost);
	}
	return c->lost;
}

static int draw_curve(struct demo *d, const char *name, const char *title, struct err *e)
{
	struct curve c = { .batch_tokens = d->recipe.batch_tokens };
	char events[64], file[64], path[PATH_MAX];
	struct buf svg = { 0 };
	double *smooth = NULL;
	int rc = -1;

	snprintf(events, sizeof(events), "%s-events.jsonl", name);
	snprintf(file, sizeof(file), "demo/pictures/%s-loss.svg", name);
	if (each_answer(d, events, take_event, &c, e) < 0)
		goto out;
	smooth = calloc((size_t)c.n + 1, sizeof(*smooth));
	if (c.lost || !smooth) {
		err_set(e, ERR_MEM, "no memory for a curve of %d steps", c.n);
		goto out;
	}
	plot_smooth(c.loss, c.n, 1 + c.n / 60, smooth);
	const struct plot_line lines[] = {
		{ .name = "each step", .x = c.step, .y = c.loss, .n = c.n, .faint = true },
		{ .name = "smoothed", .x = c.step, .y = smooth, .n = c.n },
		{ .name = "held-out rows", .x = c.at, .y = c.held, .n = c.n_held, .points = true },
	};
	const struct plot p = { .title = title,
		                .x_label = "million tokens",
		                .y_label = "loss, nats a token",
		                .log_y = true,
		                .line = lines,
		                .n = 3 };
	plot_svg(&svg, &p);
	stages_path(&d->stages, path, sizeof(path), file);
	rc = buf_failed(&svg) ? err_set(e, ERR_MEM, "no memory for a curve")
	                      : file_write_atomic(path, svg.data, svg.len, e);
out:
	buf_release(&svg);
	free(smooth);
	free(c.step);
	free(c.loss);
	free(c.at);
	free(c.held);
	return rc;
}

/* ---- the page ---- */

static void time_words(struct buf *b, double s)
{
	if (s < 90)
		buf_printf(b, "%.0f s", s);
	else
		buf_printf(b, "%.0f min", s / 60);
}

static int training_words(struct demo *d, struct buf *b, enum demo_stage s, const char *what,
                          struct err *e)
{
	char name[32];
	cJSON *o;

	snprintf(name, sizeof(name), "%s.json", demo_plan.name[s]);
	if (!(o = stages_read(&d->stages, name, e)))
		return -1;
	buf_printf(b, "| %s | %.0f | %.2f M | ", what, number(o, "steps"),
	           number(o, "steps") * number(o, "settings.batch_tokens") / 1e6);
	time_words(b, number(o, "seconds"));
	buf_printf(b, " | %.0f | %.4f |\n", number(o, "tokens_per_s"), number(o, "eval_loss"));
	cJSON_Delete(o);
	return 0;
}

static int rows_words(struct demo *d, struct buf *b, struct err *e)
{
	cJSON *o = stages_read(&d->stages, "corpus.json", e),
	      *t = o ? stages_read(&d->stages, "tokenizer.json", e) : NULL;
	const cJSON *part, *x;
	double programs = 0, repairs = 0, drills = 0, dropped = 0;

	if (!t) {
		cJSON_Delete(o);
		return -1;
	}
	cJSON_ArrayForEach(part, o)
	{
		programs += fmax(0, number(part, "kinds.program"));
		repairs += fmax(0, number(part, "kinds.repair"));
		drills += fmax(0, number(part, "kinds.drill"));
		cJSON_ArrayForEach(x, cJSON_GetObjectItemCaseSensitive(part, "dropped")) dropped +=
			json_number_or(x, "documents", 0);
	}
	buf_printf(
		b,
		"Corpus: %.0f prompts with programs, %.0f repairs (the broken program, with the log "
		"and notes of its real build) and %.0f copy drills, every program built and scored; "
		"%.0f documents were dropped. Tokenizer: %.0f entries.\n\n",
		programs, repairs, drills, dropped, number(t, "entries"));
	cJSON_Delete(o);
	cJSON_Delete(t);
	return 0;
}

static int write_page(struct demo *d, const cJSON *sets, struct buf *b, struct err *e)
{
	const struct demo_recipe *r = &d->recipe;
	struct failures f = { b, 0 };
	char path[PATH_MAX];

	buf_adds(
		b,
		"# The demonstration model\n\n"
		"A small model that CADForge trained from nothing on programs that it generated, built "
		"and scored itself; it is what writes when no other model is named. **It is good at "
		"the families of parts below and ignorant of all else**: it shows how the program "
		"works, not what language models can do. Any Qwen3.5 folder takes its place with "
		"`--model`.\n\n");
	buf_printf(
		b,
		"`base/` is a Qwen3.5-shaped network, %.0f layers, %.0f wide; of each %.0f layers the "
		"last has full attention, the others are gated DeltaNet. `sft/` is a LoRA adapter of rank %.0f "
		"on it and part of the model: the base alone was left weaker, so that taking the "
		"adapter away (`--adapter none`, or `a` in Live) shows what it adds.\n\n",
		r->layers, r->hidden, r->attention_every, r->sft_rank);
	figures_table(b, sets);
	if (gallery(d, b, e) < 0)
		return -1;
	families_table(b, sets);
	tasks_table(b, sets);
	buf_adds(b, "\n## What went wrong\n\nThe first held-out prompts that did not come out as "
	            "asked:\n\n");
	if (each_answer(d, "evaluate/held.jsonl", take_failure, &f, e) < 0)
		return -1;
	if (f.n == 0)
		buf_adds(b, "None.\n");
	buf_adds(b, "\n## How it was made\n\n");
	if (rows_words(d, b, e) < 0)
		return -1;
	buf_adds(b,
	         "| training | steps | tokens | time | tokens/s | loss on held-out rows |\n| --- | "
	         "--- | --- | --- | --- | --- |\n");
	if (training_words(d, b, DEMO_BASE, "base, all parameters", e) < 0 ||
	    training_words(d, b, DEMO_SFT, "adapter", e) < 0)
		return -1;
	if (draw_curve(d, "base", "The base, all parameters", e) < 0 ||
	    draw_curve(d, "sft", "The adapter", e) < 0)
		return -1;
	buf_adds(b, "\n![loss of the base](pictures/base-loss.svg)\n\n"
	            "![loss of the adapter](pictures/sft-loss.svg)\n");
	buf_adds(b, "\nThe same again, on any machine:\n\n    cadforge train demo --out DIR");
	stages_print_set(b, &d->stages);
	buf_adds(
		b,
		"\n\nThe documents are the same everywhere; the bits of the weights are those of one "
		"build and processor. What the recipe's values mean: `cadforge train demo --help`.\n");
	if (buf_failed(b))
		return err_set(e, ERR_MEM, "no memory for the page");
	stages_path(&d->stages, path, sizeof(path), "demo/README.md");
	return file_write_atomic(path, b->data, b->len, e);
}

/* What the model and its adapter learnt, beside them, so that nobody evaluates them on it: their
 * prompts by hash, and the tasks that families of the corpus are takes on. */
static int record_learnt(struct demo *d, const char *folder, const char *rows, struct err *e)
{
	const struct task **learnt = calloc((size_t)corpus_families() + 1, sizeof(*learnt));
	struct task_set tasks = { 0 };
	uint64_t *hash = NULL;
	char path[PATH_MAX];
	int n = 0, n_hashes = 0, rc = -1;

	if (!learnt)
		return err_set(e, ERR_MEM, "no memory for the corpus's families");
	stages_path(&d->stages, path, sizeof(path), rows);
	if (packs_load(&tasks, d->stages.app, e) < 0 ||
	    contamination_hashes(path, &hash, &n_hashes, e) < 0)
		goto out;
	for (int f = 0; f < corpus_families(); f++) {
		const char *id = corpus_family_unseen(f) ? NULL : corpus_family_task(f);
		if (id && !(learnt[n] = task_find(&tasks, id, e)))
			goto out;
		n += id != NULL;
	}
	stages_path(&d->stages, path, sizeof(path), folder);
	rc = contamination_record(path, learnt, n, hash, n_hashes, e);
out:
	free(hash);
	free(learnt);
	task_set_release(&tasks);
	return rc;
}

int demo_make_report(void *demo, cJSON *figures, struct err *e)
{
	struct demo *d = demo;
	cJSON *o = stages_read(&d->stages, "evaluate.json", e);
	struct buf b = { 0 };
	int rc = -1;

	if (o)
		rc = write_page(d, cJSON_GetObjectItemCaseSensitive(o, "sets"), &b, e);
	if (rc == 0 && (record_learnt(d, "demo/base", "base.jsonl", e) < 0 ||
	                record_learnt(d, "demo/sft", "sft-rows.jsonl", e) < 0))
		rc = -1;
	cJSON_AddNumberToObject(figures, "bytes", (double)b.len);
	buf_release(&b);
	cJSON_Delete(o);
	return rc;
}
