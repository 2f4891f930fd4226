#include "src/episode_read.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "src/base/sha256.h"
#include "src/export.h"

enum { EPISODE_JSON_MAX = 256 << 20, ARTIFACT_MAX = 1 << 30, TURNS_MAX = 100000 };
enum { VALUES_MAX = 20000000 };

struct reading {
	struct store *store;
	const struct episode_read *in;
};

struct part {
	const char *name, *kind;
	struct buf content;
	const char *pruned; /* SHA-256 of what is not in the folder any more */
	size_t bytes;
};

static int want_text(const cJSON *o, const char *key, bool needed, const char **out, struct err *e)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);

	*out = cJSON_IsString(v) ? v->valuestring : NULL;
	if (*out || (!needed && (!v || cJSON_IsNull(v))))
		return 0;
	return err_set(e, ERR_INPUT, "%s: a text was expected", key);
}

static int want_time(const cJSON *o, const char *key, int64_t *out, struct err *e)
{
	const char *text;

	if (want_text(o, key, true, &text, e) < 0)
		return -1;
	return store_parse_time(text, out, e) < 0 ? err_wrap(e, "%s", key) : 0;
}

/* A whole number from @min on, or null where that is allowed (@none is then what it means). */
static int want_whole(const cJSON *o, const char *key, int min, int none, int *out, struct err *e)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);

	*out = none;
	if (none < min && (!v || cJSON_IsNull(v)))
		return 0;
	if (!cJSON_IsNumber(v) || v->valuedouble < min || v->valuedouble > INT_MAX ||
	    v->valuedouble != floor(v->valuedouble))
		return err_set(e, ERR_INPUT, "%s: a whole number from %d on was expected", key,
		               min);
	*out = (int)v->valuedouble;
	return 0;
}

static int want_list(const cJSON *o, const char *key, const cJSON **out, struct err *e)
{
	*out = cJSON_GetObjectItemCaseSensitive(o, key);
	return cJSON_IsArray(*out) ? 0 : err_set(e, ERR_INPUT, "%s: a list was expected", key);
}

static char *print_or_null(const cJSON *o, const char *key)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
	struct buf b = { 0 };

	if (!v || cJSON_IsNull(v))
		return NULL;
	json_print(&b, v);
	return buf_take(&b, NULL);
}

/* One file of the folder: a regular one, nothing that leads elsewhere, and what it was. */
static int read_part(struct part *p, const cJSON *a, const char *dir, int turn, struct err *e)
{
	char path[PATH_MAX], hash[SHA256_HEX];
	const char *sum;
	struct stat st;
	double bytes = json_number_or(a, "bytes", NAN);
	bool there = json_bool_or(a, "there", true);

	if (want_text(a, "name", true, &p->name, e) < 0 ||
	    want_text(a, "kind", true, &p->kind, e) < 0 ||
	    want_text(a, "sha256", true, &sum, e) < 0)
		return -1;
	if (!*p->name || *p->name == '.' || strchr(p->name, '/') || !*p->kind)
		return err_set(e, ERR_INPUT, "name: a file's name was expected, got '%.80s'",
		               p->name);
	if (!there) {
		if (!(bytes >= 0 && bytes <= ARTIFACT_MAX))
			return err_set(e, ERR_INPUT,
			               "%s: bytes: a number from 0 to %d was expected", p->name,
			               ARTIFACT_MAX);
		p->pruned = sum;
		p->bytes = (size_t)bytes;
		return 0;
	}
	/* neither the folder nor the file may lead elsewhere */
	snprintf(path, sizeof(path), "%s/turn-%d", dir, turn);
	if (lstat(path, &st) < 0)
		return err_errno(e, ERR_INPUT, "%s", path);
	if (!S_ISDIR(st.st_mode))
		return err_set(e, ERR_INPUT, "%s: no folder of its own", path);
	int n = snprintf(path, sizeof(path), "%s/turn-%d/%s", dir, turn, p->name);
	if (n < 0 || (size_t)n >= sizeof(path))
		return err_set(e, ERR_INPUT, "%s: the path is too long", p->name);
	if (lstat(path, &st) < 0)
		return err_errno(e, ERR_INPUT, "%s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_INPUT, "%s: no plain file", path);
	if (buf_read_file(&p->content, path, ARTIFACT_MAX, e) < 0)
		return -1;
	if ((double)p->content.len != bytes)
		return err_set(e, ERR_INPUT, "%s: %.0f bytes were expected, and there are %zu",
		               path, bytes, p->content.len);
	sha256_hex(buf_str(&p->content), p->content.len, hash);
	if (strcmp(hash, sum) != 0)
		return err_set(e, ERR_INPUT,
		               "%s: its content is not what was exported (SHA-256 %.12s..., "
		               "expected %.12s...)",
		               path, hash, sum);
	return 0;
}

static int read_events(const cJSON *list, struct store_event_new **out, int *n, struct err *e)
{
	int all = cJSON_GetArraySize(list);
	struct store_event_new *v = calloc((size_t)all + 1, sizeof(*v));
	const cJSON *item;

	*n = 0;
	*out = v;
	if (!v)
		return err_set(e, ERR_MEM, "no memory for %d events", all);
	cJSON_ArrayForEach(item, list)
	{
		struct store_event_new *x = &v[*n];
		if (want_time(item, "time", &x->time_us, e) < 0 ||
		    want_text(item, "kind", true, &x->kind, e) < 0 ||
		    want_text(item, "data", false, &x->data, e) < 0)
			return err_wrap(e, "events[%d]", *n);
		++*n;
	}
	return 0;
}

static int take_judgement(struct store *s, int64_t episode, int turn, const cJSON *o, struct err *e)
{
	struct store_judgement_new j = { .episode = episode, .turn = turn };
	const char *tags, *tag[64];
	char *words = NULL;
	int64_t id;

	if (want_text(o, "as", true, &j.as, e) < 0 || want_text(o, "note", false, &j.note, e) < 0 ||
	    want_text(o, "tags", false, &tags, e) < 0 || want_time(o, "time", &j.time_us, e) < 0 ||
	    want_whole(o, "grade", 0, -1, &j.grade, e) < 0)
		return -1;
	if (tags && !(words = strdup(tags)))
		return err_set(e, ERR_MEM, "out of memory");
	for (char *rest = words, *w; rest && (w = strsep(&rest, " ")) && j.n_tags < 64;)
		if (*w)
			tag[j.n_tags++] = w;
	j.tags = tag;
	int rc = store_judge(s, &j, &id, e);
	free(words);
	return rc;
}

/* What the store makes an artifact of by itself: where in the row it goes. */
static bool own_field(struct store_turn_new *t, const struct part *p)
{
	const struct {
		const char *name;
		const void **data;
		size_t *len;
	} field[] = {
		{ "prompt.json", &t->prompt, &t->prompt_len },
		{ "completion.txt", &t->completion, &t->completion_len },
		{ "program.py", &t->program, &t->program_len },
		{ "build.log", &t->log, &t->log_len },
	};

	for (size_t i = 0; i < sizeof(field) / sizeof(*field); i++)
		if (strcmp(p->name, field[i].name) == 0) {
			*field[i].data = buf_str(&p->content);
			*field[i].len = p->content.len;
			return true;
		}
	return false;
}

static int commit_parts(struct reading *r, struct store_turn_new *t, const cJSON *o,
                        const struct part *parts, int n, struct err *e)
{
	struct store_artifact_new *more = calloc((size_t)n + 1, sizeof(*more));
	cJSON *score = NULL;
	int number, rc = -1;

	if (!more)
		return err_set(e, ERR_MEM, "no memory for %d artifacts", n);
	for (int i = 0; i < n; i++) {
		const struct part *p = &parts[i];
		if (p->pruned) {
			more[t->n_artifacts++] =
				(struct store_artifact_new){ p->name, p->kind, NULL, p->bytes,
				                             p->pruned };
		} else if (strcmp(p->name, "reward.json") == 0 && !score) {
			score = json_parse(buf_str(&p->content), p->content.len, e);
			if (!score) {
				err_wrap(e, "reward.json");
				goto out;
			}
		} else if (!own_field(t, p)) {
			more[t->n_artifacts++] =
				(struct store_artifact_new){ p->name, p->kind, buf_str(&p->content),
				                             p->content.len, NULL };
		}
	}
	if (!cJSON_IsObject(score)) {
		err_set(e, ERR_INPUT, "reward.json: a turn has a score, and this one has none");
		goto out;
	}
	t->score = score;
	t->artifacts = more;
	rc = store_turn_commit(r->store, t, &number, e);
	if (rc == 0 && number != (int)json_number_or(o, "turn", 0))
		rc = err_set(e, ERR_INPUT, "turn: %d was expected", number);
out:
	cJSON_Delete(score);
	free(more);
	return rc;
}

static int take_turn(struct reading *r, int64_t episode, const char *dir, const cJSON *o, int want,
                     struct err *e)
{
	struct store_turn_new t = { .episode = episode };
	struct store_event_new *events = NULL;
	struct part *parts = NULL;
	const cJSON *artifacts, *list, *a, *judgements, *j;
	char *sampling = NULL;
	int number, n = 0, rc = -1;

	if (want_whole(o, "turn", 1, 1, &number, e) < 0)
		return -1;
	if (number != want)
		return err_set(e, ERR_INPUT, "turn: %d was expected, got %d", want, number);
	if (want_whole(o, "parent", 1, 0, &t.parent, e) < 0 ||
	    want_whole(o, "member", 1, 0, &t.member, e) < 0 ||
	    want_whole(o, "prompt_tokens", 0, -1, &t.prompt_tokens, e) < 0 ||
	    want_whole(o, "completion_tokens", 0, -1, &t.completion_tokens, e) < 0 ||
	    want_text(o, "source", true, &t.source, e) < 0 ||
	    want_text(o, "finish", false, &t.finish, e) < 0 ||
	    want_text(o, "model", false, &t.model, e) < 0 ||
	    want_text(o, "model_hash", false, &t.model_hash, e) < 0 ||
	    want_text(o, "adapter", false, &t.adapter, e) < 0 ||
	    want_text(o, "adapter_hash", false, &t.adapter_hash, e) < 0 ||
	    want_text(o, "backend", false, &t.backend, e) < 0 ||
	    want_time(o, "started", &t.started_us, e) < 0 ||
	    want_time(o, "committed", &t.committed_us, e) < 0 ||
	    want_list(o, "artifacts", &artifacts, e) < 0 || want_list(o, "events", &list, e) < 0 ||
	    want_list(o, "judgements", &judgements, e) < 0)
		return -1;
	if (t.parent >= number)
		return err_set(e, ERR_INPUT, "parent: an earlier turn was expected, got %d",
		               t.parent);
	sampling = print_or_null(o, "sampling");
	t.sampling = sampling;
	if (read_events(list, &events, &t.n_events, e) < 0)
		goto out;
	t.events = events;
	parts = calloc((size_t)cJSON_GetArraySize(artifacts) + 1, sizeof(*parts));
	if (!parts) {
		err_set(e, ERR_MEM, "out of memory");
		goto out;
	}
	cJSON_ArrayForEach(a, artifacts)
	{
		if (read_part(&parts[n++], a, dir, number, e) < 0)
			goto out;
	}
	if (commit_parts(r, &t, o, parts, n, e) < 0)
		goto out;
	cJSON_ArrayForEach(j, judgements) if (take_judgement(r->store, episode, number, j, e) < 0)
	{
		err_wrap(e, "judgements");
		goto out;
	}
	rc = 0;
out:
	for (int i = 0; i < n; i++)
		buf_release(&parts[i].content);
	free(parts);
	free(events);
	free(sampling);
	return rc;
}

static int take_episode(struct reading *r, const char *dir, const cJSON *o, int64_t *episode,
                        int *turns, struct err *e)
{
	struct store_episode_new n = { 0 };
	struct store_event_new *events = NULL;
	const cJSON *list, *item, *own;
	char *settings = print_or_null(o, "settings");
	int rc = -1, n_events;

	*turns = 0;
	if (want_text(o, "task", true, &n.task, e) < 0 ||
	    want_text(o, "pack", false, &n.pack, e) < 0 ||
	    want_text(o, "task_hash", false, &n.task_hash, e) < 0 ||
	    want_text(o, "profile", true, &n.profile, e) < 0 ||
	    want_text(o, "profile_hash", false, &n.profile_hash, e) < 0 ||
	    want_text(o, "prompts", false, &n.prompts, e) < 0 ||
	    want_text(o, "prompts_hash", false, &n.prompts_hash, e) < 0 ||
	    want_text(o, "source", true, &n.source, e) < 0 ||
	    want_text(o, "origin", true, &n.origin, e) < 0 ||
	    want_time(o, "created", &n.created_us, e) < 0 || want_list(o, "turns", &list, e) < 0 ||
	    want_list(o, "events", &own, e) < 0)
		goto out;
	if (cJSON_GetArraySize(list) > TURNS_MAX) {
		err_set(e, ERR_INPUT, "turns: at most %d are read", TURNS_MAX);
		goto out;
	}
	n.settings = settings;
	if (store_episode_start(r->store, &n, episode, e) < 0)
		goto out;
	cJSON_ArrayForEach(item, list)
	{
		if (r->in->tick && r->in->tick(r->in->ctx)) {
			err_set(e, ERR_CANCELLED, "interrupted");
			goto out;
		}
		if (take_turn(r, *episode, dir, item, ++*turns, e) < 0) {
			err_wrap(e, "turn %d", *turns);
			goto out;
		}
	}
	if (read_events(own, &events, &n_events, e) < 0 ||
	    (n_events > 0 && store_events_add(r->store, *episode, events, n_events, e) < 0))
		goto out;
	rc = 0;
out:
	free(events);
	free(settings);
	return rc;
}

static int take_whole(struct reading *r, const char *dir, const cJSON *o, struct episode_read *out,
                      struct err *e)
{
	if (store_batch_begin(r->store, e) < 0)
		return -1;
	int rc = take_episode(r, dir, o, &out->episode, &out->turns, e);
	if (store_batch_end(r->store, rc == 0, rc == 0 ? e : NULL) < 0)
		rc = -1;
	return rc;
}

int episode_read(struct store *s, const char *dir, struct episode_read *out, struct err *e)
{
	struct reading r = { .store = s, .in = out };
	struct buf text = { 0 };
	cJSON *o = NULL;
	char file[PATH_MAX];
	struct stat st;
	int rc = -1;

	out->episode = out->turns = 0;
	out->already = false;
	out->task[0] = '\0';
	snprintf(file, sizeof(file), "%s/episode.json", dir);
	if (lstat(file, &st) < 0)
		return err_errno(e, ERR_INPUT, "%s", file);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_INPUT, "%s: no plain file", file);
	if (buf_read_file(&text, file, EPISODE_JSON_MAX, e) < 0)
		return -1;
	if (!(o = json_parse_bounded(buf_str(&text), text.len, VALUES_MAX, e)))
		goto out;
	if (strcmp(json_string_or(o, "format", ""), EXPORT_FORMAT) != 0) {
		err_set(e, ERR_INPUT, "format: \"%s\" was expected, got '%.40s'", EXPORT_FORMAT,
		        json_string_or(o, "format", ""));
		goto out;
	}
	snprintf(out->task, sizeof(out->task), "%s", json_string_or(o, "task", ""));
	if (store_episode_by_origin(s, json_string_or(o, "origin", ""), &out->episode, e) < 0)
		goto out;
	out->already = out->episode != 0;
	rc = out->already ? 0 : take_whole(&r, dir, o, out, e);
out:
	if (rc < 0 && (e->kind == ERR_INPUT || e->kind == ERR_USAGE))
		err_wrap(e, "episode.json");
	cJSON_Delete(o);
	buf_release(&text);
	return rc;
}
