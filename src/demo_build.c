#include "src/demo_build.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/json.h"
#include "src/base/sha256.h"

enum { FILE_MAX = 1 << 30, LINE_VALUES_MAX = 20000 };

/* ---- one program ---- */

static bool box_right(const cJSON *geometry, const double want[3])
{
	double box[3];

	if (json_get_numbers(geometry, "bbox_mm", box, 3, NULL) < 0)
		return false;
	for (int i = 0; i < 3; i++)
		if (!(fabs(box[i] - want[i]) <= DEMO_BOX_MM))
			return false;
	return true;
}

static void say_why(struct demo_verdict *v, const cJSON *score, const double want[3])
{
	const cJSON *g = cJSON_GetObjectItemCaseSensitive(score, "geometry");
	const cJSON *b = cJSON_GetObjectItemCaseSensitive(score, "build");
	double box[3] = { NAN, NAN, NAN };

	if (!v->built)
		snprintf(v->why, sizeof(v->why), "%s: %.150s", build_class_name(v->cls),
		         json_string_or(b, "error", "it does not build"));
	else if (!v->solid)
		snprintf(v->why, sizeof(v->why), "%g solids%s%s", json_number_or(g, "solids", NAN),
		         json_bool_or(g, "valid", false) ? "" : ", not valid",
		         json_bool_or(g, "closed", false) ? "" : ", not closed");
	else if (!v->box && json_get_numbers(g, "bbox_mm", box, 3, NULL) == 0)
		snprintf(v->why, sizeof(v->why), "box %g x %g x %g instead of %g x %g x %g", box[0],
		         box[1], box[2], want[0], want[1], want[2]);
}

void demo_judge(struct demo_verdict *out, const struct corpus_document *d, const struct scored *s)
{
	const cJSON *g = cJSON_GetObjectItemCaseSensitive(s->json, "geometry");

	*out = (struct demo_verdict){ .built = s->built, .cls = s->cls, .total = s->total };
	out->solid = s->built && json_number_or(g, "solids", 0) == 1 &&
	             json_bool_or(g, "valid", false) && json_bool_or(g, "closed", false);
	out->box = s->built && box_right(g, d->bbox_mm);
	out->numbers_asked = d->numbers;
	if (s->program.len)
		out->numbers = corpus_numbers_found(d, buf_str(&s->program));
	say_why(out, s->json, d->bbox_mm);
	if (!out->why[0] && out->numbers < out->numbers_asked)
		snprintf(out->why, sizeof(out->why), "%d of %d asked numbers are in it",
		         out->numbers, out->numbers_asked);
}

/* ---- many, each once ---- */

struct known {
	char hash[SHA256_HEX];
	struct demo_verdict verdict;
	char *log;
	cJSON *score;
};

struct demo_builds {
	struct scoring *scoring;
	int fd;
	struct known *v;
	int n, cap;
	int *slot; /* open addressing: number of an entry + 1 */
	int slots;
	/* of the run under way */
	struct demo_built *want;
	int *of_item;
	struct err failed;
	int (*tick)(void *ctx);
	void *ctx;
};

static void hash_of(char out[SHA256_HEX], const struct corpus_document *d, const char *text)
{
	struct sha256 s;

	sha256_start(&s);
	sha256_add(&s, text, strlen(text) + 1);
	sha256_add(&s, d->task.prompt, strlen(d->task.prompt) + 1);
	sha256_add(&s, d->bbox_mm, sizeof(d->bbox_mm));
	/* of a broken one more is kept */
	if (text == d->broken)
		sha256_add(&s, "broken", 6);
	sha256_end_hex(&s, out);
}

static unsigned start_of(const struct demo_builds *b, const char *hash)
{
	unsigned v = 0;

	for (int i = 0; i < 8; i++)
		v = v * 33 + (unsigned char)hash[i];
	return v % (unsigned)b->slots;
}

static struct known *find(const struct demo_builds *b, const char *hash)
{
	if (!b->slots)
		return NULL;
	for (unsigned i = start_of(b, hash); b->slot[i]; i = (i + 1) % (unsigned)b->slots)
		if (strcmp(b->v[b->slot[i] - 1].hash, hash) == 0)
			return &b->v[b->slot[i] - 1];
	return NULL;
}

static void place(struct demo_builds *b, int number)
{
	unsigned i = start_of(b, b->v[number].hash);

	while (b->slot[i])
		i = (i + 1) % (unsigned)b->slots;
	b->slot[i] = number + 1;
}

/* Takes over @k's log and score. */
static int keep(struct demo_builds *b, struct known *k, struct err *e)
{
	if (b->n == b->cap) {
		int cap = b->cap ? 2 * b->cap : 1024;
		struct known *v = realloc(b->v, (size_t)cap * sizeof(*v));
		if (v)
			b->v = v;
		int *slot = calloc((size_t)cap * 2, sizeof(*slot));
		if (!v || !slot) {
			free(slot);
			free(k->log);
			cJSON_Delete(k->score);
			return err_set(e, ERR_MEM, "no memory for %d programs", cap);
		}
		b->cap = cap;
		free(b->slot);
		b->slot = slot;
		b->slots = cap * 2;
		for (int i = 0; i < b->n; i++)
			place(b, i);
	}
	b->v[b->n] = *k;
	place(b, b->n++);
	return 0;
}

static int read_line(struct demo_builds *b, const char *line, size_t len, struct err *e)
{
	cJSON *o = json_parse_bounded(line, len, LINE_VALUES_MAX, NULL);
	const char *hash = json_string_or(o, "hash", ""), *log = json_string_or(o, "log", NULL);
	struct known k = { .log = NULL };
	int rc = 0;

	/* a line that a kill has cut off is a program that is built again */
	if (o && strlen(hash) == SHA256_HEX - 1 && !find(b, hash)) {
		memcpy(k.hash, hash, SHA256_HEX);
		k.verdict.built = json_bool_or(o, "built", false);
		k.verdict.solid = json_bool_or(o, "solid", false);
		k.verdict.box = json_bool_or(o, "box", false);
		k.verdict.cls = (enum build_class)json_number_or(o, "class", 0);
		k.verdict.total = json_number_or(o, "total", NAN);
		snprintf(k.verdict.why, sizeof(k.verdict.why), "%s", json_string_or(o, "why", ""));
		k.log = log ? strdup(log) : NULL;
		k.score = cJSON_DetachItemFromObjectCaseSensitive(o, "score");
		rc = keep(b, &k, e);
	}
	cJSON_Delete(o);
	return rc;
}

static void write_line(struct demo_builds *b, const struct known *k)
{
	cJSON *o = cJSON_CreateObject();
	struct buf line = { 0 };

	cJSON_AddStringToObject(o, "hash", k->hash);
	cJSON_AddBoolToObject(o, "built", k->verdict.built);
	cJSON_AddBoolToObject(o, "solid", k->verdict.solid);
	cJSON_AddBoolToObject(o, "box", k->verdict.box);
	cJSON_AddNumberToObject(o, "class", k->verdict.cls);
	json_add_figure(o, "total", k->verdict.total);
	cJSON_AddStringToObject(o, "why", k->verdict.why);
	if (k->log)
		cJSON_AddStringToObject(o, "log", k->log);
	if (k->score)
		cJSON_AddItemToObject(o, "score", cJSON_Duplicate(k->score, true));
	json_print(&line, o);
	buf_addc(&line, '\n');
	/* what is not kept is built again: no reason to stop */
	if (!buf_failed(&line) && write(b->fd, line.data, line.len) < 0)
		errno = 0;
	cJSON_Delete(o);
	buf_release(&line);
}

static int on_tick(void *ctx)
{
	struct demo_builds *b = ctx;

	return b->failed.kind || app_interrupted() || (b->tick && b->tick(b->ctx));
}

struct demo_builds *demo_builds_open(const struct app *a, const char *file, struct err *e)
{
	struct demo_builds *b = calloc(1, sizeof(*b));
	struct buf text = { 0 };
	const struct scoring_options o = {
		.app = a,
		.profile = "exact",
		.reference = "none",
		.rebuilds = 0,
		.no_blanks = true,
		.ears = { .ctx = b, .tick = on_tick },
	};

	if (!b) {
		err_set(e, ERR_MEM, "out of memory");
		return NULL;
	}
	b->fd = -1;
	if (access(file, F_OK) == 0) {
		if (buf_read_file(&text, file, FILE_MAX, e) < 0)
			goto fail;
		for (const char *p = buf_str(&text), *end = p + text.len; p < end;) {
			const char *line = memchr(p, '\n', (size_t)(end - p));
			size_t len = line ? (size_t)(line - p) : (size_t)(end - p);
			if (len && read_line(b, p, len, e) < 0)
				goto fail;
			p += len + 1;
		}
	}
	b->fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (b->fd < 0) {
		err_errno(e, ERR_IO, "%s", file);
		goto fail;
	}
	/* the end of a line that a kill has cut off */
	if (text.len && text.data[text.len - 1] != '\n' && write(b->fd, "\n", 1) != 1) {
		err_errno(e, ERR_IO, "%s", file);
		goto fail;
	}
	buf_release(&text);
	if (!(b->scoring = scoring_open(&o, e))) {
		demo_builds_close(b);
		return NULL;
	}
	return b;
fail:
	buf_release(&text);
	demo_builds_close(b);
	return NULL;
}

void demo_builds_close(struct demo_builds *b)
{
	if (!b)
		return;
	scoring_close(b->scoring);
	for (int i = 0; i < b->n; i++) {
		free(b->v[i].log);
		cJSON_Delete(b->v[i].score);
	}
	free(b->v);
	free(b->slot);
	if (b->fd >= 0)
		close(b->fd);
	free(b);
}

static void on_done(void *ctx, size_t item, struct scored *s)
{
	struct demo_builds *b = ctx;
	struct demo_built *w = &b->want[b->of_item[item]];
	struct known k = { .log = NULL };

	if (b->failed.kind)
		return;
	hash_of(k.hash, w->document, w->text);
	demo_judge(&k.verdict, w->document, s);
	k.verdict.numbers = k.verdict.numbers_asked = 0;
	bool right = k.verdict.built && k.verdict.solid && k.verdict.box;
	if (!right || w->text == w->document->broken) {
		k.log = strdup(buf_str(&s->log));
		k.score = cJSON_Duplicate(s->json, true);
		/* of no use to a prompt, and different every time */
		cJSON_DeleteItemFromObjectCaseSensitive(k.score, "seconds");
	}
	if (right)
		k.verdict.why[0] = '\0';
	write_line(b, &k);
	keep(b, &k, &b->failed);
}

int demo_builds_run(struct demo_builds *b, struct demo_built *v, int n, int (*tick)(void *ctx),
                    void *ctx, struct err *e)
{
	struct scoring_input *in = calloc((size_t)n + 1, sizeof(*in));
	char hash[SHA256_HEX];
	int items = 0, rc = -1;

	b->of_item = calloc((size_t)n + 1, sizeof(*b->of_item));
	b->want = v;
	b->tick = tick;
	b->ctx = ctx;
	b->failed = (struct err){ 0 };
	if (!in || !b->of_item) {
		err_set(e, ERR_MEM, "no memory for %d programs", n);
		goto out;
	}
	for (int i = 0; i < n; i++) {
		hash_of(hash, v[i].document, v[i].text);
		if (find(b, hash))
			continue;
		in[items] = (struct scoring_input){
			.task = &v[i].document->task,
			.text = v[i].text,
			.len = strlen(v[i].text),
			.rule = EXTRACT_ANSWER,
		};
		b->of_item[items++] = i;
	}
	/* documents of the run before may be gone, and these lie in their place */
	scoring_forget_tasks(b->scoring);
	if (items && scoring_run_all(b->scoring, in, (size_t)items, on_done, b, e) < 0) {
		if (b->failed.kind)
			*e = b->failed;
		goto out;
	}
	for (int i = 0; i < n; i++) {
		hash_of(hash, v[i].document, v[i].text);
		const struct known *k = find(b, hash);
		if (!k) {
			err_set(e, ERR_LOST, "a program of the corpus was not built");
			goto out;
		}
		v[i].verdict = k->verdict;
		v[i].log = k->log ? strdup(k->log) : NULL;
		v[i].score = k->score ? cJSON_Duplicate(k->score, true) : NULL;
	}
	rc = 0;
out:
	free(in);
	free(b->of_item);
	b->of_item = NULL;
	return rc;
}
