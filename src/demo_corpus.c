/*
 * demo_corpus.c - the stages corpus and tokenizer: documents become rows once their programs have
 * been built and are what they should be; the tokenizer is learnt from those rows.
 *
 * The rows of a training stand in any order: what is to be learnt early or late says so in itself
 * ("until" of a drill, "from" of a prompt whose numbers are shuffled; gpu/dataset.h).
 */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/repair.h"
#include "gpu/bpe_train.h"
#include "src/base/clock.h"
#include "src/base/json.h"
#include "src/demo.h"
#include "src/demo_build.h"

enum {
	BATCH = 192,       /* documents built at a time, at most */
	ROW_BYTES = 1500,  /* of a usual row */
	HELD_ROWS = 120,   /* of which the loss is watched */
	ROWS_MAX = 1 << 30 /* bytes of a file of rows */
};
#define BYTES_PER_TOKEN 2.6 /* of rows, before there is a tokenizer: about what one reaches */
#define DRILLS_UNTIL    0.4
#define DRILLS_GONE     0.7
#define SHUFFLED_FROM   0.35
#define TOKENS_PER_S    5000 /* of --minutes, before a training was seen */

/* Documents of one file. Their numbers in the stream begin at @first, so that no two files share
 * one. */
struct part {
	const char *file;
	enum corpus_stream stream;
	uint64_t first;
	double bytes; /* of contents, without drills; so many at least */
	int rows_max; /* 0: no bound */
	double drills, repairs, shuffled;
	bool timed; /* drills go, shuffled prompts come */
};

enum drop { DROP_WRONG, DROP_NOT_BROKEN, DROP_TWICE, DROPS };
static const char *const drop_names[] = { "program not right", "broken program is right",
	                                  "twice the same" };

struct maker {
	struct demo *d;
	struct demo_builds *builds;
	const struct part *part;
	FILE *f;
	double bytes; /* of contents, drills aside */
	int rows, kind[CORPUS_KINDS], dropped[DROPS], broken_class[CLASS_COUNT];
	int *family; /* rows of each */
	char first[DROPS][400];
	/* hashes of rows that are there */
	uint64_t *seen;
	size_t n_seen, cap_seen;
	double began;
	uint64_t next;
};

/* ---- draws ---- */

static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

/* Uniform in [0, 1), of document @number; @which tells draws of one document apart. */
static double draw(const struct maker *m, uint64_t number, uint64_t which)
{
	return (double)(mix(mix(mix((uint64_t)m->d->recipe.seed) ^ number) + which) >> 11) *
	       0x1p-53;
}

/* ---- rows ---- */

static uint64_t hash_bytes(const char *p, size_t n)
{
	uint64_t h = 1469598103934665603u;

	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)p[i]) * 1099511628211u;
	return h ? h : 1;
}

/* Whether it was there; it is afterwards. */
static int seen_before(struct maker *m, uint64_t h, struct err *e)
{
	if (2 * (m->n_seen + 1) > m->cap_seen) {
		size_t cap = m->cap_seen ? 2 * m->cap_seen : 4096;
		uint64_t *v = calloc(cap, sizeof(*v));
		if (!v)
			return err_set(e, ERR_MEM, "no memory for %zu rows", cap);
		for (size_t i = 0; i < m->cap_seen; i++)
			if (m->seen[i]) {
				size_t at = m->seen[i] % cap;
				while (v[at])
					at = (at + 1) % cap;
				v[at] = m->seen[i];
			}
		free(m->seen);
		m->seen = v;
		m->cap_seen = cap;
	}
	size_t at = h % m->cap_seen;
	while (m->seen[at] && m->seen[at] != h)
		at = (at + 1) % m->cap_seen;
	if (m->seen[at])
		return 1;
	m->seen[at] = h;
	m->n_seen++;
	return 0;
}

static void drop(struct maker *m, enum drop why, const struct corpus_document *doc,
                 const char *words)
{
	if (!m->dropped[why]++)
		snprintf(m->first[why], sizeof(m->first[why]), "%s %llu (%s): %.300s",
		         corpus_kind_name(doc->kind), (unsigned long long)doc->number_of,
		         doc->family >= 0 ? corpus_family_name(doc->family) : "no family", words);
}

static int write_row(struct maker *m, const struct corpus_document *doc, bool shuffled,
                     const struct repair_turn *turn, struct err *e)
{
	struct buf row = { 0 };
	int rc = -1, twice;

	if (corpus_row(&row, doc, &m->d->prompts, turn, e) < 0)
		goto out;
	while (row.len && (row.data[row.len - 1] == '\n' || row.data[row.len - 1] == '}')) {
		bool brace = row.data[row.len - 1] == '}';
		row.data[--row.len] = '\0';
		if (brace)
			break;
	}
	if ((twice = seen_before(m, hash_bytes(buf_str(&row), row.len), e)) < 0)
		goto out;
	if (twice) {
		drop(m, DROP_TWICE, doc, doc->task.prompt ? doc->task.prompt : "");
		rc = 0;
		goto out;
	}
	m->rows++;
	m->kind[doc->kind]++;
	if (doc->family >= 0)
		m->family[doc->family]++;
	if (doc->kind == CORPUS_REPAIR)
		m->broken_class[doc->breakage]++;
	if (doc->kind != CORPUS_DRILL)
		m->bytes += (double)row.len;
	if (m->part->timed && doc->kind == CORPUS_DRILL)
		buf_printf(&row, ",\"until\":%.4f",
		           DRILLS_UNTIL +
		                   (DRILLS_GONE - DRILLS_UNTIL) * draw(m, doc->number_of, 3));
	else if (m->part->timed && shuffled)
		buf_printf(&row, ",\"from\":%g", SHUFFLED_FROM);
	buf_adds(&row, "}\n");
	if (buf_failed(&row)) {
		err_set(e, ERR_MEM, "no memory for a row");
		goto out;
	}
	if (fwrite(row.data, 1, row.len, m->f) != row.len) {
		err_errno(e, ERR_IO, "%s/%s", m->d->stages.out, m->part->file);
		goto out;
	}
	rc = 0;
out:
	buf_release(&row);
	return rc;
}

static bool enough(const struct maker *m)
{
	return m->part->rows_max ? m->rows >= m->part->rows_max : m->bytes >= m->part->bytes;
}

static int on_tick(void *ctx)
{
	struct maker *m = ctx;
	double share = m->part->rows_max ? (double)m->rows / m->part->rows_max
	                                 : m->bytes / m->part->bytes,
	       taken = clock_now_s() - m->began;

	stages_say(&m->d->stages, true,
	           "corpus: %s: %d rows, %.0f %%, %.1f rows a second, %.1f min left", m->part->file,
	           m->rows, 100 * share, m->rows / (taken + 1e-9),
	           share > 0 ? taken * (1 - share) / share / 60 : NAN);
	return 0;
}

/* ---- documents ---- */

static int make_document(struct maker *m, struct corpus_document *doc, bool *shuffled,
                         struct err *e)
{
	const struct part *p = m->part;
	uint64_t number = p->first + m->next++;
	/* @drills is their share of what is learnt early, when shuffled prompts are not */
	double others = 1 - (p->timed ? p->shuffled : 0);
	double drills = p->drills * others / (1 - p->drills + p->drills * others);
	bool drill = draw(m, number, 0) < drills;
	bool repair = !drill && draw(m, number, 1) < p->repairs;

	*shuffled = !drill && draw(m, number, 2) < p->shuffled;
	const struct corpus_options o = {
		.seed = (uint64_t)m->d->recipe.seed,
		.drills = drill,
		.repairs = repair,
		.plain = !*shuffled,
	};
	return corpus_make(doc, &o, p->stream, number, e);
}

/* What became of one document's programs: a row, or it is dropped. */
static int settle(struct maker *m, const struct corpus_document *doc, bool shuffled,
                  const struct demo_built *right, const struct demo_built *broken, struct err *e)
{
	if (doc->kind == CORPUS_DRILL)
		return write_row(m, doc, shuffled, NULL, e);
	if (right->verdict.why[0]) {
		drop(m, DROP_WRONG, doc, right->verdict.why);
		return 0;
	}
	if (doc->kind == CORPUS_PROGRAM)
		return write_row(m, doc, shuffled, NULL, e);
	/* badly editable is a fault that the box does not show */
	if (!broken->verdict.why[0] && doc->breakage != CLASS_LOW_EDITABILITY) {
		drop(m, DROP_NOT_BROKEN, doc, build_class_name((enum build_class)doc->breakage));
		return 0;
	}
	const struct repair_turn turn = {
		.number = 1,
		.program = broken->text,
		.program_len = strlen(broken->text),
		.log = broken->log ? broken->log : "",
		.log_len = broken->log ? strlen(broken->log) : 0,
		.score = broken->score,
	};
	return write_row(m, doc, shuffled, &turn, e);
}

static int make_batch(struct maker *m, int n, struct err *e)
{
	struct corpus_document *doc = calloc((size_t)n, sizeof(*doc));
	struct demo_built *built = calloc(2 * (size_t)n, sizeof(*built));
	bool shuffled[BATCH];
	int(*of)[2] = calloc((size_t)n, sizeof(*of)), builds = 0, made = 0, rc = -1;

	if (!doc || !built || !of) {
		err_set(e, ERR_MEM, "no memory for %d documents", n);
		goto out;
	}
	for (; made < n; made++) {
		struct corpus_document *x = &doc[made];
		if (make_document(m, x, &shuffled[made], e) < 0)
			goto out;
		if (x->kind == CORPUS_DRILL)
			continue;
		of[made][0] = builds;
		built[builds++] = (struct demo_built){ .document = x, .text = x->program };
		if (x->kind == CORPUS_REPAIR) {
			of[made][1] = builds;
			built[builds++] = (struct demo_built){ .document = x, .text = x->broken };
		}
	}
	if (demo_builds_run(m->builds, built, builds, on_tick, m, e) < 0)
		goto out;
	for (int i = 0; i < n && !enough(m); i++)
		if (settle(m, &doc[i], shuffled[i], &built[of[i][0]], &built[of[i][1]], e) < 0)
			goto out;
	rc = 0;
out:
	for (int i = 0; built && i < builds; i++) {
		free(built[i].log);
		cJSON_Delete(built[i].score);
	}
	for (int i = 0; doc && i < made; i++)
		corpus_release(&doc[i]);
	free(doc);
	free(built);
	free(of);
	return rc;
}

/* As many as are likely to be needed still. */
static int batch_of(const struct maker *m)
{
	double rest = m->part->rows_max ? m->part->rows_max - m->rows
	                                : (m->part->bytes - m->bytes) / ROW_BYTES;

	return rest < 8 ? 8 : rest < BATCH ? (int)rest : BATCH;
}

static cJSON *part_figures(const struct maker *m)
{
	cJSON *o = cJSON_CreateObject(), *list;

	cJSON_AddNumberToObject(o, "rows", m->rows);
	list = cJSON_AddObjectToObject(o, "kinds");
	for (int i = 0; i < CORPUS_KINDS; i++)
		cJSON_AddNumberToObject(list, corpus_kind_name((enum corpus_kind)i), m->kind[i]);
	list = cJSON_AddObjectToObject(o, "families");
	for (int i = 0; i < corpus_families(); i++)
		if (m->family[i])
			cJSON_AddNumberToObject(list, corpus_family_name(i), m->family[i]);
	list = cJSON_AddObjectToObject(o, "repairs_by_class");
	for (int i = 0; i < CLASS_COUNT; i++)
		if (m->broken_class[i])
			cJSON_AddNumberToObject(list, build_class_name((enum build_class)i),
			                        m->broken_class[i]);
	list = cJSON_AddArrayToObject(o, "dropped");
	for (int i = 0; i < DROPS; i++) {
		cJSON *one;
		if (!m->dropped[i])
			continue;
		one = cJSON_CreateObject();
		cJSON_AddStringToObject(one, "why", drop_names[i]);
		cJSON_AddNumberToObject(one, "documents", m->dropped[i]);
		cJSON_AddStringToObject(one, "first", m->first[i]);
		cJSON_AddItemToArray(list, one);
	}
	return o;
}

static int make_part(struct demo *d, struct demo_builds *b, const struct part *p, cJSON *figures,
                     struct err *e)
{
	struct maker m = { .d = d, .builds = b, .part = p, .began = clock_now_s() };
	char path[PATH_MAX], partial[PATH_MAX];
	int rc = -1;

	stages_path(&d->stages, path, sizeof(path), p->file);
	snprintf(partial, sizeof(partial), "%.*s.partial", PATH_MAX - 16, path);
	m.family = calloc((size_t)corpus_families(), sizeof(*m.family));
	if (!m.family || !(m.f = fopen(partial, "we"))) {
		err_errno(e, m.family ? ERR_IO : ERR_MEM, "%s", partial);
		goto out;
	}
	while (!enough(&m)) {
		if (app_interrupted()) {
			err_set(e, ERR_CANCELLED, "interrupted; what was built is kept");
			goto out;
		}
		if (make_batch(&m, batch_of(&m), e) < 0)
			goto out;
		/* a corpus of which nothing is right never ends */
		if (m.next >= 8 * BATCH && m.rows * 2 < (int)m.next) {
			err_set(e, ERR_INPUT,
			        "corpus: only %d of %llu documents came out right; %s", m.rows,
			        (unsigned long long)m.next, m.first[DROP_WRONG]);
			goto out;
		}
	}
	if (fflush(m.f) || fsync(fileno(m.f)) < 0) {
		err_errno(e, ERR_IO, "%s", partial);
		goto out;
	}
	if (rename(partial, path) < 0) {
		err_errno(e, ERR_IO, "%s", path);
		goto out;
	}
	cJSON_AddItemToObject(figures, p->file, part_figures(&m));
	stages_say(&d->stages, false,
	           "corpus: %s: %d rows (%d programs, %d repairs, %d drills), %d dropped%s%s",
	           p->file, m.rows, m.kind[CORPUS_PROGRAM], m.kind[CORPUS_REPAIR],
	           m.kind[CORPUS_DRILL],
	           m.dropped[DROP_WRONG] + m.dropped[DROP_NOT_BROKEN] + m.dropped[DROP_TWICE],
	           m.first[DROP_WRONG][0] ? "; the first that was not right: " : "",
	           m.first[DROP_WRONG]);
	rc = 0;
out:
	if (m.f)
		fclose(m.f);
	free(m.family);
	free(m.seen);
	return rc;
}

int demo_make_corpus(void *demo, cJSON *figures, struct err *e)
{
	struct demo *d = demo;
	const struct demo_recipe *r = &d->recipe;
	double base = r->base_tokens, sft = r->sft_tokens;
	char path[PATH_MAX];

	if (d->minutes > 0) {
		double all = d->minutes * 60 * TOKENS_PER_S, share = base / (base + sft);
		base = all * share;
		sft = all - base;
	}
	const struct part parts[] = {
		{ "base.jsonl", CORPUS_TRAIN, 0, base * r->unique * BYTES_PER_TOKEN, 0,
		  r->base_drills, r->base_repairs, r->base_shuffled, true },
		{ "sft.jsonl", CORPUS_TRAIN, 1000000000, sft * r->unique * BYTES_PER_TOKEN, 0, 0,
		  r->sft_repairs, r->sft_shuffled, false },
		{ "held.jsonl", CORPUS_HELD, 1000000000, 0, (int)fmin(HELD_ROWS, ceil(r->held / 2)),
		  0, 0.2, 0.25, false },
	};
	stages_path(&d->stages, path, sizeof(path), "builds.jsonl");
	struct demo_builds *b = demo_builds_open(d->stages.app, path, e);
	int rc = b ? 0 : -1;

	for (size_t i = 0; rc == 0 && i < sizeof(parts) / sizeof(*parts); i++)
		rc = make_part(d, b, &parts[i], figures, e);
	demo_builds_close(b);
	return rc;
}

/* ---- drills beside rows that are there ---- */

int demo_mix_drills(struct demo *d, const char *from, const char *to, double share, struct err *e)
{
	const struct part p = {
		.file = to, .stream = CORPUS_TRAIN, .first = 2000000000, .drills = 1, .timed = true
	};
	struct maker m = { .d = d, .part = &p };
	struct buf rows = { 0 };
	char path[PATH_MAX];
	int n = 0, rc = -1;

	stages_path(&d->stages, path, sizeof(path), from);
	if (buf_read_file(&rows, path, ROWS_MAX, e) < 0)
		return -1;
	stages_path(&d->stages, path, sizeof(path), to);
	m.family = calloc((size_t)corpus_families(), sizeof(*m.family));
	if (!m.family || !(m.f = fopen(path, "we"))) {
		err_errno(e, m.family ? ERR_IO : ERR_MEM, "%s", path);
		goto out;
	}
	for (size_t i = 0; i < rows.len; i++)
		n += rows.data[i] == '\n';
	if (fwrite(buf_str(&rows), 1, rows.len, m.f) != rows.len) {
		err_errno(e, ERR_IO, "%s", path);
		goto out;
	}
	for (int wanted = (int)lround(n * share / (1 - share)); m.rows < wanted;) {
		struct corpus_document doc = { .family = -1 };
		bool shuffled;
		rc = make_document(&m, &doc, &shuffled, e);
		if (rc == 0)
			rc = write_row(&m, &doc, shuffled, NULL, e);
		corpus_release(&doc);
		if (rc < 0)
			goto out;
	}
	rc = fflush(m.f) == 0 ? 0 : err_errno(e, ERR_IO, "%s", path);
out:
	if (m.f)
		fclose(m.f);
	free(m.family);
	free(m.seen);
	buf_release(&rows);
	return rc;
}

/* ---- tokenizer ---- */

static int feed_file(struct demo *d, struct bpe_trainer *t, const char *name, double *fed,
                     struct err *e)
{
	struct buf text = { 0 };
	char path[PATH_MAX];
	int rc = -1;

	stages_path(&d->stages, path, sizeof(path), name);
	if (buf_read_file(&text, path, ROWS_MAX, e) < 0)
		goto out;
	for (const char *p = buf_str(&text), *end = p + text.len; p < end;) {
		const char *line = memchr(p, '\n', (size_t)(end - p));
		size_t len = line ? (size_t)(line - p) : (size_t)(end - p);
		cJSON *row = json_parse(p, len, e);
		const cJSON *m;
		if (!row)
			goto out;
		cJSON_ArrayForEach(m, cJSON_GetObjectItemCaseSensitive(row, "messages"))
		{
			const char *content = json_string_or(m, "content", "");
			if (bpe_trainer_feed(t, content, strlen(content), e) < 0) {
				cJSON_Delete(row);
				goto out;
			}
			*fed += (double)strlen(content);
		}
		cJSON_Delete(row);
		p += len + 1;
	}
	rc = 0;
out:
	buf_release(&text);
	return rc;
}

int demo_make_tokenizer(void *demo, cJSON *figures, struct err *e)
{
	struct demo *d = demo;
	struct bpe_trainer *t = bpe_trainer_open(e);
	char path[PATH_MAX];
	double fed = 0;
	int rc = -1, n;

	if (!t)
		return -1;
	stages_path(&d->stages, path, sizeof(path), "tokenizer");
	if (stages_remove(&d->stages, "tokenizer", e) == 0 &&
	    feed_file(d, t, "base.jsonl", &fed, e) == 0 &&
	    feed_file(d, t, "sft.jsonl", &fed, e) == 0 &&
	    (n = bpe_trainer_write(t, path, (int)d->recipe.vocabulary, e)) > 0) {
		cJSON_AddNumberToObject(figures, "entries", n);
		cJSON_AddNumberToObject(figures, "bytes", fed);
		rc = 0;
	}
	bpe_trainer_close(t);
	return rc;
}
