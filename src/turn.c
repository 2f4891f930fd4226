#include "src/turn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "engine/limits_json.h"
#include "src/base/sha256.h"
#include "src/base/utf8.h"
#include "src/page.h"

/* ---- events ---- */

enum { BATCH_BYTES = 4096, BATCH_US = 250000 };

void turn_events_release(struct turn_events *ev)
{
	for (int i = 0; i < ev->n; i++)
		free((char *)(void *)ev->v[i].data);
	free(ev->v);
	buf_release(&ev->tokens);
	*ev = (struct turn_events){ 0 };
}

/* Takes @data, which is malloced or NULL. @kind is static. */
static void add_event(struct turn_events *ev, int64_t time_us, const char *kind, char *data)
{
	if (ev->n == ev->cap) {
		int cap = ev->cap ? 2 * ev->cap : 32;
		void *p = realloc(ev->v, (size_t)cap * sizeof(*ev->v));
		if (!p) {
			err_set(&ev->failed, ERR_MEM, "no memory for %d events", cap);
			free(data);
			return;
		}
		ev->v = p;
		ev->cap = cap;
	}
	ev->v[ev->n++] = (struct store_event_new){ time_us, kind, data };
}

static void add_text(struct turn_events *ev, int64_t time_us, const char *kind, const char *text,
                     size_t len)
{
	struct buf copy = { 0 };

	buf_add(&copy, text, len);
	char *data = buf_take(&copy, NULL);
	if (!data && len > 0)
		err_set(&ev->failed, ERR_MEM, "no memory for an event of %zu bytes", len);
	else
		add_event(ev, time_us, kind, data);
}

void turn_event(struct turn_events *ev, int64_t time_us, const char *kind, const char *data,
                size_t len)
{
	turn_event_text_end(ev);
	add_text(ev, time_us ? time_us : store_now_us(), kind, data, len);
}

/* Bytes of @p that are whole characters: all but the beginning of one at the end. */
static size_t whole_characters(const char *p, size_t n)
{
	size_t back = 1;
	uint32_t cp;

	while (back < 4 && back < n && ((unsigned char)p[n - back] & 0xc0) == 0x80)
		back++;
	if (n == 0 || ((unsigned char)p[n - back] & 0xc0) != 0xc0)
		return n;
	/* what is no character however it goes on need not wait */
	return utf8_decode(p + n - back, back, &cp) > 0 ? n : n - back;
}

static void flush_tokens(struct turn_events *ev, size_t n)
{
	if (n == 0)
		return;
	add_text(ev, ev->tokens_us, "tokens", buf_str(&ev->tokens), n);
	buf_consume(&ev->tokens, n);
}

void turn_event_text(struct turn_events *ev, int64_t time_us, const char *text, size_t len)
{
	int64_t now = time_us ? time_us : store_now_us();

	if (ev->tokens.len == 0)
		ev->tokens_us = now;
	buf_add(&ev->tokens, text, len);
	if (buf_failed(&ev->tokens))
		err_set(&ev->failed, ERR_MEM, "no memory for a text");
	else if (ev->tokens.len >= BATCH_BYTES || now - ev->tokens_us >= BATCH_US)
		flush_tokens(ev, whole_characters(ev->tokens.data, ev->tokens.len));
}

void turn_event_text_end(struct turn_events *ev)
{
	flush_tokens(ev, ev->tokens.len);
}

/* ---- an episode ---- */

enum { TASK_BYTES_MAX = 16 << 20 };

/* It is known again by this when it is imported. */
static int name_origin(char *out, size_t size, struct err *e)
{
	unsigned char random[16];
	int at = snprintf(out, size, "run:");

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return err_errno(e, ERR_IO, "random bytes");
	for (size_t i = 0; i < sizeof(random); i++)
		at += snprintf(out + at, size - (size_t)at, "%02x", random[i]);
	return 0;
}

/* Of the task's file as it is now: the same id may come to mean something else. */
static const char *hash_task(const struct task *task, char out[SHA256_HEX])
{
	struct buf text = { 0 };
	bool known = task->file && buf_read_file(&text, task->file, TASK_BYTES_MAX, NULL) == 0;

	if (known)
		sha256_hex(buf_str(&text), text.len, out);
	buf_release(&text);
	return known ? out : NULL;
}

/* With what is the scoring's. */
static int print_settings(struct buf *out, const struct episode_new *n, struct err *e)
{
	cJSON *o = n->settings ? json_parse(n->settings, strlen(n->settings), e)
	                       : cJSON_CreateObject();

	if (!o)
		return n->settings ? -1 : err_set(e, ERR_MEM, "out of memory");
	limits_json_add(o, scoring_limits(n->scoring));
	json_print(out, o);
	cJSON_Delete(o);
	return buf_failed(out) ? err_set(e, ERR_MEM, "out of memory") : 0;
}

int turn_episode(struct store *s, const struct episode_new *n, int64_t *episode, struct err *e)
{
	char origin[64], hash[SHA256_HEX];
	struct buf settings = { 0 };

	if (name_origin(origin, sizeof(origin), e) < 0 || print_settings(&settings, n, e) < 0) {
		buf_release(&settings);
		return -1;
	}
	const struct store_episode_new row = {
		.task = n->task->id,
		.pack = *n->task->pack ? n->task->pack : NULL,
		.task_hash = hash_task(n->task, hash),
		.profile = scoring_profile_name(n->scoring),
		.profile_hash = scoring_profile_hash(n->scoring),
		.prompts = n->prompts->name,
		.prompts_hash = n->prompts->hash,
		.source = n->source,
		.origin = origin,
		.run = n->run,
		.settings = buf_str(&settings),
	};
	int rc = store_episode_start(s, &row, episode, e);
	buf_release(&settings);
	return rc;
}

/* ---- artifacts ---- */

enum { ARTIFACTS_MAX = 48 };

static void add_artifact(struct store_artifact_new *v, int *n, const char *name, const char *kind,
                         const struct buf *b)
{
	if (b->len > 0 && *n < ARTIFACTS_MAX)
		v[(*n)++] = (struct store_artifact_new){ name, kind, b->data, b->len, NULL };
}

static void print_notes(struct buf *out, const cJSON *score)
{
	const cJSON *note;

	cJSON_ArrayForEach(
		note, cJSON_GetObjectItemCaseSensitive(score, "notes")) if (cJSON_IsString(note))
		buf_printf(out, "%s\n", note->valuestring);
}

static void print_page(struct buf *out, const struct turn_new *t)
{
	const struct scored *s = t->scored;
	struct page_turn page = {
		.parent = t->parent,
		.source = t->source,
		.finish = t->finish,
		.model = t->author ? t->author->model : t->model,
		.score = s->json,
		.prompt = t->prompt,
		.program = buf_str(&s->program),
		.program_len = s->program.len,
		.log = buf_str(&s->log),
		.log_len = s->log.len,
	};

	for (int i = 0; i < s->n_pictures; i++)
		if (strcmp(s->pictures[i].name, "sheet") == 0)
			page.sheet_name = "sheet.png";
	page_turn_markdown(out, &page, 1);
}

static const char *or_null(const char *text)
{
	return *text ? text : NULL;
}

int turn_commit(struct store *s, const struct turn_new *t, int *number, struct err *e)
{
	const struct scored *sc = t->scored;
	struct store_artifact_new artifact[ARTIFACTS_MAX];
	char names[ARTIFACTS_MAX][40];
	struct buf prompt = { 0 }, notes = { 0 }, page = { 0 };
	int n = 0, rc = -1;

	if (t->prompt)
		json_print(&prompt, t->prompt);
	print_notes(&notes, sc->json);
	if (!t->light)
		print_page(&page, t);
	add_artifact(artifact, &n, "shape.brep", "brep", &sc->brep);
	add_artifact(artifact, &n, "shape.step", "step", &sc->step);
	add_artifact(artifact, &n, "shape.stl", "stl", &sc->stl);
	for (int i = 0; i < sc->n_pictures && i < ARTIFACTS_MAX - 8; i++) {
		snprintf(names[i], sizeof(names[i]), "%s.png", sc->pictures[i].name);
		add_artifact(artifact, &n, names[i], "view", &sc->pictures[i].png);
	}
	if (t->author)
		add_artifact(artifact, &n, "tokens.json", "tokens", &t->author->tokens);
	add_artifact(artifact, &n, "notes.txt", "notes", &notes);
	add_artifact(artifact, &n, "turn.md", "markdown", &page);
	if (t->events)
		turn_event_text_end(t->events);
	if (buf_failed(&prompt) || buf_failed(&notes) || buf_failed(&page)) {
		err_set(e, ERR_MEM, "no memory for a turn's texts");
		goto out;
	}
	if (t->events && t->events->failed.kind) {
		*e = t->events->failed;
		goto out;
	}
	struct store_turn_new row = {
		.episode = t->episode,
		.parent = t->parent,
		.source = t->source,
		.started_us = t->started_us,
		.committed_us = t->committed_us,
		.model = t->model,
		.adapter = t->adapter,
		.finish = t->finish,
		.member = t->member,
		.prompt_tokens = -1,
		.completion_tokens = -1,
		.prompt = t->prompt ? buf_str(&prompt) : NULL,
		.prompt_len = prompt.len,
		.completion = t->completion,
		.completion_len = t->completion_len,
		.program = buf_str(&sc->program),
		.program_len = sc->program.len,
		.log = sc->log.len > 0 ? buf_str(&sc->log) : NULL,
		.log_len = sc->log.len,
		.score = sc->json,
		.artifacts = artifact,
		.n_artifacts = n,
		.events = t->events ? t->events->v : NULL,
		.n_events = t->events ? t->events->n : 0,
	};
	if (t->author) {
		const struct author *a = t->author;
		row.model = or_null(a->model);
		row.model_hash = or_null(a->model_hash);
		row.adapter = or_null(a->adapter);
		row.adapter_hash = or_null(a->adapter_hash);
		row.backend = or_null(a->backend);
		row.sampling = or_null(buf_str(&a->sampling));
		row.prompt_tokens = a->prompt_tokens;
		row.completion_tokens = a->completion_tokens;
	}
	rc = store_turn_commit(s, &row, number, e);
out:
	buf_release(&prompt);
	buf_release(&notes);
	buf_release(&page);
	return rc;
}
