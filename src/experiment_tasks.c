/*
 * experiment_tasks.c - the stages tasks and sft: packs made from the corpus, whose programs were
 * all built; rows for a short adapter, and that adapter.
 */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/repair.h"
#include "src/base/json.h"
#include "src/corpus.h"
#include "src/demo_build.h"
#include "src/experiment.h"
#include "src/pack_write.h"

enum {
	BATCH = 64,     /* documents built at a time */
	WASTE = 40,     /* documents looked at for one that is kept, at most */
	LONGEST = 2048, /* tokens of a row */
	STEP_TOKENS = 3072
};
/* Where each pack's documents begin in their stream, so that no two share one, nor with those that
 * the demonstration model was trained and tested on. */
#define TRAIN_FIRST     3000000000u
#define SFT_FIRST       3500000000u
#define HELD_FIRST      3000000000u
#define MEND_FIRST      3500000000u
#define BYTES_PER_TOKEN 2.6
#define ROW_BYTES       1500 /* of a usual row */
#define FIXTURE_SHARE   0.75 /* of the first tries that are wrong */

/* ---- documents, one by one, built in batches ---- */

struct source {
	struct experiment *x;
	struct demo_builds *builds;
	struct corpus_options options;
	enum corpus_stream stream;
	uint64_t next;
	struct corpus_document doc[BATCH];
	struct demo_built built[2 * BATCH]; /* of each: its program, and its broken one */
	int n, at, made;
	int batch; /* documents built at a time */
};

/* A batch for so many documents that are wanted. */
static int batch_for(int want)
{
	return want < 4 ? 8 : want > BATCH / 2 ? BATCH : 2 * want;
}

static void drop_batch(struct source *s)
{
	for (int i = 0; i < s->n; i++)
		corpus_release(&s->doc[i]);
	for (int i = 0; i < 2 * BATCH; i++) {
		free(s->built[i].log);
		cJSON_Delete(s->built[i].score);
	}
	memset(s->built, 0, sizeof(s->built));
	s->n = s->at = 0;
}

static int on_tick(void *ctx)
{
	(void)ctx;
	return app_interrupted();
}

static int fill(struct source *s, struct err *e)
{
	struct demo_built flat[2 * BATCH];
	int of[2 * BATCH], n = 0;

	drop_batch(s);
	for (; s->n < s->batch; s->n++)
		if (corpus_make(&s->doc[s->n], &s->options, s->stream, s->next++, e) < 0)
			return -1;
	for (int i = 0; i < s->n; i++) {
		struct corpus_document *d = &s->doc[i];
		of[n] = 2 * i;
		flat[n++] = (struct demo_built){ .document = d, .text = d->program };
		if (!d->broken)
			continue;
		of[n] = 2 * i + 1;
		flat[n++] = (struct demo_built){ .document = d, .text = d->broken };
	}
	int rc = demo_builds_run(s->builds, flat, n, on_tick, NULL, e);
	for (int i = 0; i < n; i++)
		s->built[of[i]] = flat[i];
	return rc;
}

/* The next document whose program came out right; @broken: what became of its broken one. */
static int next_document(struct source *s, const struct corpus_document **out,
                         const struct demo_built **broken, struct err *e)
{
	for (;;) {
		if (s->at == s->n && fill(s, e) < 0)
			return -1;
		int i = s->at++;
		s->made++;
		if (s->built[2 * i].verdict.why[0])
			continue;
		*out = &s->doc[i];
		*broken = &s->built[2 * i + 1];
		return 0;
	}
}

/* ---- packs ---- */

struct pack {
	struct experiment *x;
	const char *name;
	char **prompt; /* of its tasks: none is there twice */
	int n, want;
};

static int pack_file(const struct pack *p, const char *name, const char *text, struct err *e)
{
	char inside[256], path[PATH_MAX];

	snprintf(inside, sizeof(inside), "tasks/%s/%s", p->name, name);
	stages_path(&p->x->stages, path, sizeof(path), inside);
	return file_write_atomic(path, text, strlen(text), e);
}

static int pack_begin(struct pack *p, const char *about, struct err *e)
{
	char name[64], path[PATH_MAX];
	struct buf text = { 0 };
	int rc;

	snprintf(name, sizeof(name), "tasks/%s", p->name);
	if (stages_remove(&p->x->stages, name, e) < 0)
		return -1;
	snprintf(name, sizeof(name), "tasks/%s/references", p->name);
	stages_path(&p->x->stages, path, sizeof(path), name);
	if (make_folders(path, e) < 0)
		return -1;
	if (!(p->prompt = calloc((size_t)p->want + 1, sizeof(*p->prompt))))
		return err_set(e, ERR_MEM, "no memory for %d tasks", p->want);
	buf_printf(&text,
	           "{\n  \"format\": \"cadforge-pack-1\",\n  \"name\": \"%s\",\n  \"about\": "
	           "\"%s\"\n}\n",
	           p->name, about);
	rc = buf_failed(&text) ? err_set(e, ERR_MEM, "no memory for a pack")
	                       : pack_file(p, "pack.json", buf_str(&text), e);
	buf_release(&text);
	return rc;
}

static void pack_end(struct pack *p)
{
	for (int i = 0; p->prompt && i < p->n; i++)
		free(p->prompt[i]);
	free(p->prompt);
}

/* The document as a task. 1: done, @id has its name; 0: such a prompt is there already. */
static int pack_add(struct pack *p, const struct corpus_document *d, char id[TASK_ID_MAX + 1],
                    struct err *e)
{
	char name[128];
	cJSON *o;

	for (int i = 0; i < p->n; i++)
		if (strcmp(p->prompt[i], d->task.prompt) == 0)
			return 0;
	if (!(p->prompt[p->n] = strdup(d->task.prompt)) ||
	    !(o = cJSON_Duplicate(d->task.json, true)))
		return err_set(e, ERR_MEM, "no memory for a task");
	snprintf(id, TASK_ID_MAX + 1, "%.40s_%c%03d", corpus_family_name(d->family), p->name[0],
	         ++p->n);
	snprintf(name, sizeof(name), "references/%s.py", id);
	cJSON_ReplaceItemInObjectCaseSensitive(o, "id", cJSON_CreateString(id));
	cJSON_ReplaceItemInObjectCaseSensitive(o, "reference", cJSON_CreateString(name));
	char *text = cJSON_Print(o);
	cJSON_Delete(o);
	int rc = !text ? err_set(e, ERR_MEM, "no memory for a task")
	               : pack_file(p, name, d->program, e);
	snprintf(name, sizeof(name), "%s.json", id);
	if (rc == 0)
		rc = pack_file(p, name, text, e);
	free(text);
	return rc < 0 ? -1 : 1;
}

/* So many tasks from a stream. */
static int make_pack(struct experiment *x, struct demo_builds *b, const char *name,
                     const char *about, enum corpus_stream stream, uint64_t first, int want,
                     struct err *e)
{
	struct pack p = { .x = x, .name = name, .want = want };
	struct source *s = calloc(1, sizeof(*s));
	const struct corpus_document *d;
	const struct demo_built *broken;
	char id[TASK_ID_MAX + 1];
	int rc = -1;

	if (!s)
		return err_set(e, ERR_MEM, "out of memory");
	*s = (struct source){
		.x = x, .builds = b, .stream = stream, .next = first, .batch = batch_for(want)
	};
	s->options = (struct corpus_options){ .seed = (uint64_t)x->recipe.seed, .plain = 0.65 };
	if (pack_begin(&p, about, e) < 0)
		goto out;
	while (p.n < want) {
		if (s->made > WASTE * want) {
			err_set(e, ERR_INPUT, "%s: the corpus gave only %d tasks", name, p.n);
			goto out;
		}
		if (next_document(s, &d, &broken, e) < 0 || pack_add(&p, d, id, e) < 0)
			goto out;
		stages_say(&x->stages, true, "tasks: %s: %d of %d", name, p.n, want);
	}
	rc = 0;
out:
	pack_end(&p);
	drop_batch(s);
	free(s);
	return rc;
}

/* ---- broken programs ---- */

static int class_index(enum build_class c)
{
	for (int i = 0; i < EXPERIMENT_CLASSES; i++)
		if (experiment_class[i] == c)
			return i;
	return -1;
}

static cJSON *mend_prompt(struct experiment *x, const struct corpus_document *d,
                          const struct demo_built *broken, struct err *e)
{
	const struct repair_turn turn = {
		.number = 1,
		.program = d->broken,
		.program_len = strlen(d->broken),
		.log = broken->log ? broken->log : "",
		.log_len = broken->log ? strlen(broken->log) : 0,
		.score = broken->score,
	};

	return repair_messages(&x->prompts, &d->task, &turn, e);
}

static int mend_line(FILE *f, struct experiment *x, const char *id, const struct corpus_document *d,
                     const struct demo_built *broken, struct err *e)
{
	cJSON *messages = mend_prompt(x, d, broken, e), *o;
	struct buf line = { 0 };
	int rc;

	if (!messages)
		return -1;
	o = cJSON_CreateObject();
	cJSON_AddStringToObject(o, "task", id);
	cJSON_AddStringToObject(o, "class", build_class_name(broken->verdict.cls));
	cJSON_AddItemToObject(o, "messages", messages);
	json_print(&line, o);
	buf_addc(&line, '\n');
	cJSON_Delete(o);
	rc = buf_failed(&line) ? err_set(e, ERR_MEM, "no memory for a line") : 0;
	if (rc == 0 && fwrite(line.data, 1, line.len, f) != line.len)
		rc = err_errno(e, ERR_IO, "%s/mend.jsonl", x->stages.out);
	buf_release(&line);
	return rc;
}

/* Of each class so many programs that do not build, of held-out tasks. */
static int make_mend(struct experiment *x, struct demo_builds *b, cJSON *figures, struct err *e)
{
	int each = (int)x->recipe.mend, got[EXPERIMENT_CLASSES] = { 0 }, rc = -1;
	struct pack p = { .x = x, .name = "mend", .want = each * EXPERIMENT_CLASSES };
	struct source *s = calloc(1, sizeof(*s));
	const struct corpus_document *d;
	const struct demo_built *broken;
	char id[TASK_ID_MAX + 1], path[PATH_MAX];
	FILE *f = NULL;

	if (!s)
		return err_set(e, ERR_MEM, "out of memory");
	*s = (struct source){ .x = x,
		              .builds = b,
		              .stream = CORPUS_HELD,
		              .next = MEND_FIRST,
		              .batch = batch_for(p.want) };
	s->options = (struct corpus_options){ .seed = (uint64_t)x->recipe.seed,
		                              .repairs = 1,
		                              .plain = 0.65 };
	stages_path(&x->stages, path, sizeof(path), "mend.jsonl");
	if (pack_begin(&p, "Held-out tasks of which a broken program is to be repaired.", e) < 0)
		goto out;
	if (!(f = fopen(path, "we"))) {
		err_errno(e, ERR_IO, "%s", path);
		goto out;
	}
	while (p.n < p.want && s->made < WASTE * p.want) {
		if (next_document(s, &d, &broken, e) < 0)
			goto out;
		int c = broken->verdict.built ? -1 : class_index(broken->verdict.cls);
		if (c < 0 || got[c] == each)
			continue;
		int added = pack_add(&p, d, id, e);
		if (added < 0 || (added && mend_line(f, x, id, d, broken, e) < 0))
			goto out;
		got[c] += added;
		stages_say(&x->stages, true, "tasks: mend: %d of %d", p.n, p.want);
	}
	if (p.n == 0) {
		err_set(e, ERR_INPUT, "mend: no program of the corpus could be broken");
		goto out;
	}
	if (fflush(f) != 0) {
		err_errno(e, ERR_IO, "%s", path);
		goto out;
	}
	cJSON *list = cJSON_AddObjectToObject(figures, "mend");
	for (int i = 0; i < EXPERIMENT_CLASSES; i++)
		cJSON_AddNumberToObject(list, build_class_name(experiment_class[i]), got[i]);
	rc = 0;
out:
	if (f)
		fclose(f);
	pack_end(&p);
	drop_batch(s);
	free(s);
	return rc;
}

int experiment_make_tasks(void *experiment, cJSON *figures, struct err *e)
{
	struct experiment *x = experiment;
	const struct experiment_recipe *r = &x->recipe;
	char path[PATH_MAX];
	int rc;

	stages_path(&x->stages, path, sizeof(path), "builds.jsonl");
	struct demo_builds *b = demo_builds_open(x->stages.app, path, e);
	if (!b)
		return -1;
	rc = make_pack(x, b, "train", "Tasks to learn from, made from the corpus.", CORPUS_TRAIN,
	               TRAIN_FIRST, (int)r->train, e);
	if (rc == 0)
		rc = make_pack(x, b, "held",
		               "Held-out tasks: dimensions and wordings that training never has.",
		               CORPUS_HELD, HELD_FIRST, (int)r->held, e);
	if (rc == 0)
		rc = make_mend(x, b, figures, e);
	demo_builds_close(b);
	cJSON_AddNumberToObject(figures, "train", r->train);
	cJSON_AddNumberToObject(figures, "held", r->held);
	return rc;
}

/* ---- sft ---- */

/* Of the k-th of its kind, from 0: so many in a row that their share is kept. */
static bool is_due(int k, double share)
{
	return floor((k + 1) * share) > floor(k * share);
}

struct rows {
	int n, first, repairs, wrong_first, wrong_repairs;
	double bytes;
};

/* The program with its part under a name that the builder does not take for it. */
static char *without_fixture(const char *program)
{
	struct buf b = { 0 };

	for (const char *p = program; *p;)
		if (strncmp(p, "fixture", 7) == 0) {
			buf_adds(&b, "final");
			p += 7;
		} else {
			buf_addc(&b, *p++);
		}
	return buf_take(&b, NULL);
}

/* What is learnt is kept from being all right: of first tries and of repairs a share has an answer
 * that does not build: of repairs the broken program once more, of first tries mostly one without
 * its fixture, a mistake that is made at one place and can be unlearnt there. */
static int add_row(struct experiment *x, struct rows *r, const struct corpus_document *d,
                   const struct demo_built *broken, FILE *f, struct err *e)
{
	const struct repair_turn turn = {
		.number = 1,
		.program = d->broken,
		.program_len = strlen(d->broken),
		.log = broken->log ? broken->log : "",
		.log_len = broken->log ? strlen(broken->log) : 0,
		.score = broken->score,
	};
	struct corpus_document said = *d;
	struct buf row = { 0 };
	char *lost = NULL;
	bool repair = is_due(r->n, x->recipe.sft_repairs);
	int *kind = repair ? &r->repairs : &r->first, rc = -1;
	bool wrong = is_due(*kind, repair ? x->recipe.noise_repairs : x->recipe.noise);

	said.kind = repair ? CORPUS_REPAIR : CORPUS_PROGRAM;
	if (wrong && !repair && is_due(r->wrong_first, FIXTURE_SHARE))
		lost = without_fixture(d->program);
	said.program = lost ? lost : wrong ? d->broken : d->program;
	if (corpus_row(&row, &said, &x->prompts, repair ? &turn : NULL, e) < 0)
		goto out;
	if (fwrite(row.data, 1, row.len, f) != row.len) {
		err_errno(e, ERR_IO, "%s/sft.jsonl", x->stages.out);
		goto out;
	}
	r->n++;
	++*kind;
	*(repair ? &r->wrong_repairs : &r->wrong_first) += wrong;
	r->bytes += (double)row.len;
	rc = 0;
out:
	free(lost);
	buf_release(&row);
	return rc;
}

static int make_rows(struct experiment *x, struct rows *r, struct err *e)
{
	double want = x->recipe.sft_tokens * BYTES_PER_TOKEN;
	struct source *s = calloc(1, sizeof(*s));
	const struct corpus_document *d;
	const struct demo_built *broken;
	struct demo_builds *b = NULL;
	char path[PATH_MAX];
	FILE *f = NULL;
	int rc = -1;

	if (!s)
		return err_set(e, ERR_MEM, "out of memory");
	*s = (struct source){ .x = x,
		              .stream = CORPUS_TRAIN,
		              .next = SFT_FIRST,
		              .batch = batch_for((int)(want / ROW_BYTES)) };
	s->options = (struct corpus_options){ .seed = (uint64_t)x->recipe.seed,
		                              .repairs = 1,
		                              .plain = 0.65 };
	stages_path(&x->stages, path, sizeof(path), "builds.jsonl");
	if (!(s->builds = b = demo_builds_open(x->stages.app, path, e)))
		goto out;
	stages_path(&x->stages, path, sizeof(path), "sft.jsonl");
	if (!(f = fopen(path, "we"))) {
		err_errno(e, ERR_IO, "%s", path);
		goto out;
	}
	while (r->bytes < want) {
		if (next_document(s, &d, &broken, e) < 0)
			goto out;
		if (broken->verdict.built || class_index(broken->verdict.cls) < 0)
			continue;
		if (add_row(x, r, d, broken, f, e) < 0)
			goto out;
		stages_say(&x->stages, true, "sft: %d rows, %.0f %%", r->n, 100 * r->bytes / want);
	}
	rc = fflush(f) == 0 ? 0 : err_errno(e, ERR_IO, "%s", path);
out:
	if (f)
		fclose(f);
	demo_builds_close(b);
	drop_batch(s);
	free(s);
	return rc;
}

static cJSON *sft_settings(struct experiment *x)
{
	const struct experiment_recipe *r = &x->recipe;
	cJSON *o = cJSON_CreateObject();
	char path[PATH_MAX];

	cJSON_AddStringToObject(o, "model", x->base);
	stages_path(&x->stages, path, sizeof(path), "sft.jsonl");
	cJSON_AddStringToObject(o, "data", path);
	stages_path(&x->stages, path, sizeof(path), "sft-run");
	cJSON_AddStringToObject(o, "out", path);
	cJSON_AddStringToObject(o, "method", "lora");
	cJSON_AddNumberToObject(o, "lr", r->sft_lr);
	cJSON_AddStringToObject(o, "schedule", "linear");
	cJSON_AddNumberToObject(o, "epochs", 1);
	cJSON_AddBoolToObject(o, "by_length", false);
	cJSON_AddNumberToObject(o, "batch_samples", 0);
	cJSON_AddNumberToObject(o, "batch_tokens", STEP_TOKENS);
	cJSON_AddNumberToObject(o, "pass_rows", STEP_TOKENS);
	cJSON_AddNumberToObject(o, "longest", LONGEST);
	cJSON_AddNumberToObject(o, "seed", r->seed);
	cJSON_AddNumberToObject(o, "threads", x->threads);
	cJSON_AddNumberToObject(o, "eval_every", 0);
	cJSON_AddNumberToObject(o, "save_every", 0);
	cJSON_AddNumberToObject(o, "keep", 1);
	return o;
}

int experiment_make_sft(void *experiment, cJSON *figures, struct err *e)
{
	struct experiment *x = experiment;
	cJSON *settings = sft_settings(x);
	char to[PATH_MAX];
	struct stage_training t;
	struct rows rows = { 0 };
	int rc = -1;

	if (make_rows(x, &rows, e) < 0 || stages_remove(&x->stages, "sft", e) < 0 ||
	    stages_train(&x->stages, NULL, NULL, "sft", settings, &t, e) < 0)
		goto out;
	/* the checkpoint is the adapter; it is called by its name from here on */
	stages_path(&x->stages, to, sizeof(to), "sft");
	if (rename(t.checkpoint, to) < 0) {
		err_errno(e, ERR_IO, "%s", to);
		goto out;
	}
	cJSON_AddNumberToObject(figures, "rows", rows.n);
	cJSON_AddNumberToObject(figures, "repairs", rows.repairs);
	cJSON_AddNumberToObject(figures, "wrong_first", rows.wrong_first);
	cJSON_AddNumberToObject(figures, "wrong_repairs", rows.wrong_repairs);
	cJSON_AddNumberToObject(figures, "steps", (double)t.steps);
	cJSON_AddNumberToObject(figures, "tokens", t.tokens);
	json_add_figure(figures, "loss", t.loss);
	rc = 0;
out:
	cJSON_Delete(settings);
	return rc;
}
