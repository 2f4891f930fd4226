/*
 * store_write.c - episodes, runs, turns, events, judgements: what a person or a run adds, each in
 * one transaction with its link of the chain.
 */
#include "src/store_inside.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/utf8.h"

enum {
	LOG_PAGES_MAX = 16384, /* 128 MiB: is moved even when somebody waits */
	PACK_LEVEL = 1,
	NAME_MAX_BYTES = 200,
};
#define CONTENT_MAX ((size_t)1 << 30)

const char *const store_term_names[STORE_TERMS] = {
	"build",      "topology",    "contact",   "semantic_parts", "reference_similarity",
	"silhouette", "editability", "efficiency"
};

/* ---- episodes, runs, flights ---- */

static int want(const char *value, const char *what, struct err *e)
{
	return value && *value ? 0 : err_set(e, ERR_INPUT, "the %s is missing", what);
}

int store_episode_start(struct store *s, const struct store_episode_new *n, int64_t *episode,
                        struct err *e)
{
	int64_t now = n->created_us ? n->created_us : store_now_us(), seq = 0, id = 0;
	char about[32];
	int rc;

	if (want(n->task, "episode's task", e) < 0 ||
	    want(n->profile, "episode's profile", e) < 0 ||
	    want(n->source, "episode's source", e) < 0 || store_begin(s, e) < 0)
		return -1;
	rc = store_link_next(s, &seq, e);
	if (rc == 0)
		rc = store_do(s, e,
		              "INSERT INTO episodes (session, run, task, pack, task_hash, profile, "
		              "profile_hash, prompts, prompts_hash, source, origin, settings, "
		              "created_us, last_us, link) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, "
		              "?9, ?10, ?11, ?12, ?13, ?13, ?14)",
		              "iIttttttttttii", s->session, n->run, n->task, n->pack, n->task_hash,
		              n->profile, n->profile_hash, n->prompts, n->prompts_hash, n->source,
		              n->origin, n->settings, now, seq);
	if (rc == 0) {
		id = sqlite3_last_insert_rowid(s->db);
		snprintf(about, sizeof(about), "%" PRId64, id);
		rc = store_link_row(s, "episode", id, about, e);
	}
	rc = store_end(s, rc, e);
	if (rc == 0)
		*episode = id;
	return rc;
}

int store_episode_by_origin(struct store *s, const char *origin, int64_t *episode, struct err *e)
{
	*episode = 0;
	return store_ask(s, e, episode, "SELECT id FROM episodes WHERE origin = ?1", "t", origin);
}

int store_turn_begin(struct store *s, int64_t episode, struct err *e)
{
	if (store_begin(s, e) < 0)
		return -1;
	int rc = store_do(s, e,
	                  "INSERT OR REPLACE INTO flights (episode, holder, started_us) "
	                  "VALUES (?1, ?2, ?3)",
	                  "iti", episode, s->holder, store_now_us());
	rc = store_end(s, rc, e);
	if (rc == 0)
		s->begun++;
	return rc;
}

int store_turn_drop(struct store *s, int64_t episode, struct err *e)
{
	if (store_begin(s, e) < 0)
		return -1;
	return store_end(s,
	                 store_do(s, e, "DELETE FROM flights WHERE episode = ?1 AND holder = ?2",
	                          "it", episode, s->holder),
	                 e);
}

int store_run_start(struct store *s, const char *kind, const char *settings_json, int64_t *run,
                    struct err *e)
{
	int64_t seq = 0, id = 0;
	char about[32];
	int rc;

	if (want(kind, "run's kind", e) < 0 || store_begin(s, e) < 0)
		return -1;
	rc = store_link_next(s, &seq, e);
	if (rc == 0)
		rc = store_do(s, e,
		              "INSERT INTO runs (session, kind, started_us, settings, link) "
		              "VALUES (?1, ?2, ?3, ?4, ?5)",
		              "ititi", s->session, kind, store_now_us(), settings_json, seq);
	if (rc == 0) {
		id = sqlite3_last_insert_rowid(s->db);
		snprintf(about, sizeof(about), "%" PRId64, id);
		rc = store_link_row(s, "run", id, about, e);
	}
	rc = store_end(s, rc, e);
	if (rc == 0)
		*run = id;
	return rc;
}

int store_run_end(struct store *s, int64_t run, const char *outcome, struct err *e)
{
	if (store_begin(s, e) < 0)
		return -1;
	int rc = store_do(s, e, "UPDATE runs SET ended_us = ?2, outcome = ?3 WHERE id = ?1", "iit",
	                  run, store_now_us(), outcome);
	if (rc == 0 && sqlite3_changes(s->db) == 0)
		rc = err_set(e, ERR_INPUT, "%s: there is no run %lld", s->file, (long long)run);
	return store_end(s, rc, e);
}

/* ---- turns ---- */

struct content {
	const char *name, *kind;
	const void *data;
	size_t len;
	unsigned char hash[SHA256_BYTES];
	void *packed; /* NULL: it was there already */
	size_t packed_len;
	const char *pruned; /* 64 hex digits: the content is not known */
};

static int pack_content(struct store *s, struct content *c, struct err *e)
{
	size_t room = ZSTD_compressBound(c->len);

	c->packed = malloc(room);
	if (!c->packed)
		return err_set(e, ERR_MEM, "%s: out of memory", c->name);
	ZSTD_CCtx_setParameter(s->pack, ZSTD_c_compressionLevel, PACK_LEVEL);
	size_t n = ZSTD_compress2(s->pack, c->packed, room, c->len ? c->data : "", c->len);
	if (ZSTD_isError(n))
		return err_set(e, ERR_MEM, "%s: %s", c->name, ZSTD_getErrorName(n));
	c->packed_len = n;
	/* it waits for the transaction: not in a room twice its size */
	void *less = realloc(c->packed, n);
	if (less)
		c->packed = less;
	return 0;
}

static int check_artifact(const struct content *v, int i, struct err *e)
{
	const char *name = v[i].name;

	if (!name || !*name || strlen(name) > NAME_MAX_BYTES || strchr(name, '/') ||
	    name[0] == '.' || !utf8_valid(name, strlen(name), NULL))
		return err_set(
			e, ERR_INPUT,
			"artifact '%.60s': a name without a slash, a point in front, of 1 to "
			"%d bytes was expected",
			name ? name : "", NAME_MAX_BYTES);
	if (want(v[i].kind, "artifact's kind", e) < 0)
		return -1;
	if (v[i].pruned && (strlen(v[i].pruned) != (size_t)2 * SHA256_BYTES ||
	                    strspn(v[i].pruned, "0123456789abcdef") != (size_t)2 * SHA256_BYTES))
		return err_set(e, ERR_INPUT, "artifact %s: 64 hexadecimal digits were expected",
		               name);
	if (v[i].len > CONTENT_MAX || (v[i].len && !v[i].data && !v[i].pruned))
		return err_set(e, ERR_INPUT, "artifact %s: has %zu bytes, at most %zu are kept",
		               name, v[i].len, CONTENT_MAX);
	for (int k = 0; k < i; k++)
		if (strcmp(v[k].name, name) == 0)
			return err_set(e, ERR_INPUT, "artifact %s: is there twice", name);
	return 0;
}

/* One whose content nobody has any more: its row is as a prune leaves it. */
static int store_pruned(struct store *s, const struct content *c, int64_t *id, struct err *e)
{
	*id = 0;
	if (store_ask(s, e, id, "SELECT id FROM artifacts WHERE hash = ?1", "b", c->hash,
	              (size_t)SHA256_BYTES) < 0)
		return -1;
	if (*id)
		return 0;
	if (store_do(s, e, "INSERT INTO artifacts (hash, bytes, pruned_us) VALUES (?1, ?2, ?3)",
	             "bii", c->hash, (size_t)SHA256_BYTES, (int64_t)c->len, store_now_us()) < 0)
		return -1;
	*id = sqlite3_last_insert_rowid(s->db);
	return 0;
}

static int store_content(struct store *s, struct content *c, int64_t *id, struct err *e)
{
	int64_t there = 0;

	*id = 0;
	if (c->pruned)
		return store_pruned(s, c, id, e);
	if (!c->packed) {
		if (store_ask(s, e, id,
		              "SELECT id FROM artifacts WHERE hash = ?1 AND data IS NOT NULL", "b",
		              c->hash, (size_t)SHA256_BYTES) < 0)
			return -1;
		if (*id)
			return 0;
		/* it was pruned since it was looked for */
		if (pack_content(s, c, e) < 0)
			return -1;
	}
	if (store_ask(s, e, &there, "SELECT id FROM artifacts WHERE hash = ?1", "b", c->hash,
	              (size_t)SHA256_BYTES) < 0)
		return -1;
	if (there) {
		*id = there;
		return store_do(s, e,
		                "UPDATE artifacts SET data = ?2, pruned_us = NULL "
		                "WHERE id = ?1 AND data IS NULL",
		                "ib", there, c->packed, c->packed_len);
	}
	if (store_do(s, e, "INSERT INTO artifacts (hash, bytes, data) VALUES (?1, ?2, ?3)", "bib",
	             c->hash, (size_t)SHA256_BYTES, (int64_t)c->len, c->packed, c->packed_len) < 0)
		return -1;
	*id = sqlite3_last_insert_rowid(s->db);
	return 0;
}

static int add_events(struct store *s, int64_t episode, int turn, const struct store_event_new *v,
                      int n, int64_t *first, struct err *e)
{
	*first = 1;
	if (store_ask(s, e, first,
	              "SELECT number + 1 FROM events WHERE episode = ?1 "
	              "ORDER BY number DESC LIMIT 1",
	              "i", episode) < 0)
		return -1;
	for (int i = 0; i < n; i++) {
		if (want(v[i].kind, "event's kind", e) < 0 ||
		    store_do(s, e,
		             "INSERT INTO events (episode, number, turn, time_us, kind, data) "
		             "VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
		             "iiIitt", episode, *first + i, (int64_t)turn,
		             v[i].time_us ? v[i].time_us : store_now_us(), v[i].kind,
		             v[i].data) < 0)
			return -1;
	}
	return 0;
}

int store_events_add(struct store *s, int64_t episode, const struct store_event_new *v, int n,
                     struct err *e)
{
	int64_t first = 0;
	char about[96];
	int rc;

	if (n <= 0)
		return 0;
	if (store_begin(s, e) < 0)
		return -1;
	rc = add_events(s, episode, 0, v, n, &first, e);
	snprintf(about, sizeof(about), "%" PRId64 " %" PRId64 " %" PRId64, episode, first,
	         first + n - 1);
	if (rc == 0)
		rc = store_link_row(s, "events", episode, about, e);
	return store_end(s, rc, e);
}

/* The row of the turn, its notes and artifacts. */
static int insert_turn(struct store *s, const struct store_turn_new *t, int number, int64_t seq,
                       const struct content *v, const int64_t *ids, int n, int64_t *id,
                       struct err *e)
{
	const cJSON *build = cJSON_GetObjectItemCaseSensitive(t->score, "build");
	const cJSON *reward = cJSON_GetObjectItemCaseSensitive(t->score, "reward");
	const cJSON *notes = cJSON_GetObjectItemCaseSensitive(t->score, "notes"), *x;
	int64_t now = store_now_us();
	double f[STORE_TERMS];
	int k = 0;

	for (int i = 0; i < STORE_TERMS; i++)
		f[i] = json_number_or(reward, store_term_names[i], NAN);
	if (store_do(
		    s, e,
		    "INSERT INTO turns (episode, number, parent, session, source, started_us, "
		    "committed_us, model, model_hash, adapter, adapter_hash, backend, sampling, "
		    "finish, member, prompt_tokens, completion_tokens, built, class, total, build, "
		    "topology, contact, semantic_parts, reference_similarity, silhouette, "
		    "editability, efficiency, link) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, "
		    "?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, "
		    "?25, ?26, ?27, ?28, ?29)",
		    "iiIitiitttttttInnitdddddddddi", t->episode, (int64_t)number,
		    (int64_t)t->parent, s->session, t->source, t->started_us ? t->started_us : now,
		    t->committed_us ? t->committed_us : now, t->model, t->model_hash, t->adapter,
		    t->adapter_hash, t->backend, t->sampling, t->finish, (int64_t)t->member,
		    t->prompt_tokens, t->completion_tokens,
		    (int64_t)json_bool_or(build, "ok", false), json_string_or(build, "class", NULL),
		    json_number_or(reward, "total", NAN), f[0], f[1], f[2], f[3], f[4], f[5], f[6],
		    f[7], seq) < 0)
		return -1;
	*id = sqlite3_last_insert_rowid(s->db);
	cJSON_ArrayForEach(x, notes)
	{
		if (!cJSON_IsString(x))
			continue;
		if (store_do(s, e, "INSERT INTO notes (turn, number, text) VALUES (?1, ?2, ?3)",
		             "iit", *id, (int64_t)++k, x->valuestring) < 0)
			return -1;
	}
	for (int i = 0; i < n; i++)
		if (store_do(s, e,
		             "INSERT INTO turn_artifacts (turn, name, kind, artifact) "
		             "VALUES (?1, ?2, ?3, ?4)",
		             "itti", *id, v[i].name, v[i].kind, ids[i]) < 0)
			return -1;
	return 0;
}

/* Within the transaction. */
static int write_turn(struct store *s, const struct store_turn_new *t, struct content *v, int n,
                      int64_t *ids, int *number, struct err *e)
{
	int64_t before = -1, seq = 0, id = 0, first;
	char about[64];

	if (store_ask(s, e, &before, "SELECT turns FROM episodes WHERE id = ?1", "i", t->episode) <
	    0)
		return -1;
	if (before < 0)
		return err_set(e, ERR_INPUT, "%s: there is no episode %" PRId64, s->file,
		               t->episode);
	if (t->parent < 0 || t->parent > before)
		return err_set(e, ERR_INPUT,
		               "%s: episode %" PRId64 " has %" PRId64
		               " turns, so %d cannot be the parent of a new one",
		               s->file, t->episode, before, t->parent);
	*number = (int)before + 1;
	for (int i = 0; i < n; i++)
		if (store_content(s, &v[i], &ids[i], e) < 0)
			return -1;
	store_at(s, "turn.artifacts");
	if (store_link_next(s, &seq, e) < 0 ||
	    insert_turn(s, t, *number, seq, v, ids, n, &id, e) < 0)
		return -1;
	store_at(s, "turn.row");
	if (add_events(s, t->episode, *number, t->events, t->n_events, &first, e) < 0 ||
	    store_do(s, e, "DELETE FROM flights WHERE episode = ?1 AND holder = ?2", "it",
	             t->episode, s->holder) < 0)
		return -1;
	store_at(s, "turn.events");
	if (store_do(s, e,
	             "INSERT INTO search (rowid, prompt, program, log, notes) "
	             "SELECT id, prompt, program, log, notes FROM search_text WHERE id = ?1",
	             "i", id) < 0 ||
	    store_do(s, e,
	             "UPDATE episodes SET turns = t.number, "
	             "best = iif(t.total > ifnull(best_total, -9e99), t.number, best), "
	             "best_built = iif(t.total > ifnull(best_total, -9e99), t.built, best_built), "
	             "best_total = iif(t.total > ifnull(best_total, -9e99), t.total, best_total), "
	             "last_us = t.committed_us, last_class = t.class, model = t.model, "
	             "adapter = t.adapter FROM turns t WHERE t.id = ?1 AND episodes.id = t.episode",
	             "i", id) < 0 ||
	    store_tally_turn(s, id, e) < 0)
		return -1;
	snprintf(about, sizeof(about), "%" PRId64 ".%d", t->episode, *number);
	return store_link_row(s, "turn", id, about, e);
}

int store_turn_commit(struct store *s, const struct store_turn_new *t, int *number, struct err *e)
{
	struct buf score = { 0 };
	int n = 0, all = t->n_artifacts + 5, rc = -1, made = 0;
	struct content *v = calloc((size_t)all, sizeof(*v));
	int64_t *ids = calloc((size_t)all, sizeof(*ids));

	if (!v || !ids) {
		err_set(e, ERR_MEM, "%s: out of memory", s->file);
		goto out;
	}
	if (!cJSON_IsObject(t->score)) {
		err_set(e, ERR_INPUT, "the turn's score is no JSON object");
		goto out;
	}
	if (want(t->source, "turn's source", e) < 0)
		goto out;
	json_print(&score, t->score);
	if (buf_failed(&score)) {
		err_set(e, ERR_MEM, "%s: out of memory", s->file);
		goto out;
	}
	const struct content own[] = {
		{ .name = "prompt.json",
		  .kind = "prompt",
		  .data = t->prompt,
		  .len = t->prompt_len },
		{ .name = "completion.txt",
		  .kind = "completion",
		  .data = t->completion,
		  .len = t->completion_len },
		{ .name = "program.py", .kind = "code", .data = t->program, .len = t->program_len },
		{ .name = "build.log", .kind = "log", .data = t->log, .len = t->log_len },
		{ .name = "reward.json", .kind = "reward", .data = score.data, .len = score.len },
	};
	for (int i = 0; i < 5; i++)
		if (own[i].data)
			v[n++] = own[i];
	for (int i = 0; i < t->n_artifacts; i++) {
		const struct store_artifact_new *a = &t->artifacts[i];
		v[n++] = (struct content){ .name = a->name,
			                   .kind = a->kind,
			                   .data = a->data,
			                   .len = a->len,
			                   .pruned = a->pruned };
	}
	/* what takes time is done before others have to wait for the transaction */
	for (int i = 0; i < n; i++) {
		struct sha256 h;
		int64_t there = 0;
		if (check_artifact(v, i, e) < 0)
			goto out;
		if (v[i].pruned) {
			for (int k = 0; k < SHA256_BYTES; k++) {
				unsigned byte = 0;
				sscanf(v[i].pruned + (size_t)2 * k, "%2x", &byte);
				v[i].hash[k] = (unsigned char)byte;
			}
			continue;
		}
		sha256_start(&h);
		sha256_add(&h, v[i].data, v[i].len);
		sha256_end(&h, v[i].hash);
		if (store_ask(s, e, &there,
		              "SELECT id FROM artifacts WHERE hash = ?1 AND data IS NOT NULL", "b",
		              v[i].hash, (size_t)SHA256_BYTES) < 0 ||
		    (!there && pack_content(s, &v[i], e) < 0))
			goto out;
	}
	if (store_begin(s, e) < 0)
		goto out;
	rc = store_end(s, write_turn(s, t, v, n, ids, &made, e), e);
	if (rc == 0) {
		*number = made;
		if (s->log_pages > LOG_PAGES_MAX && !s->open) {
			store_checkpoint(s, SQLITE_CHECKPOINT_PASSIVE);
			s->log_pages = 0;
		}
	}
out:
	for (int i = 0; i < n; i++)
		free(v[i].packed);
	free(v);
	free(ids);
	buf_release(&score);
	return rc;
}

/* ---- judgements ---- */

int store_judge(struct store *s, const struct store_judgement_new *j, int64_t *id, struct err *e)
{
	struct buf tags = { 0 };
	int64_t turn = 0, seq = 0, made = 0;
	char about[64];
	int rc = -1;

	if (want(j->as, "judge's name", e) < 0)
		return -1;
	if (j->grade > 5)
		return err_set(e, ERR_USAGE, "a grade from 0 to 5 was expected, got %d", j->grade);
	if (j->grade < 0 && !(j->note && *j->note) && j->n_tags == 0)
		return err_set(e, ERR_USAGE, "a judgement needs a grade, a note or a tag");
	for (int i = 0; i < j->n_tags; i++) {
		const char *t = j->tags[i];
		if (!t || !*t || strpbrk(t, " ,\t\n") || !utf8_valid(t, strlen(t), NULL)) {
			err_set(e, ERR_USAGE,
			        "a tag is one word without blanks and commas, got '%.60s'",
			        t ? t : "");
			goto out;
		}
		buf_printf(&tags, "%s%s", i ? " " : "", t);
	}
	if (buf_failed(&tags)) {
		err_set(e, ERR_MEM, "%s: out of memory", s->file);
		goto out;
	}
	if (store_begin(s, e) < 0)
		goto out;
	rc = store_ask(s, e, &turn, "SELECT id FROM turns WHERE episode = ?1 AND number = ?2", "ii",
	               j->episode, (int64_t)j->turn);
	if (rc == 0 && !turn)
		rc = err_set(e, ERR_INPUT, "%s: there is no turn %" PRId64 ".%d", s->file,
		             j->episode, j->turn);
	if (rc == 0)
		rc = store_link_next(s, &seq, e);
	if (rc == 0)
		rc = store_do(s, e,
		              "INSERT INTO judgements (turn, time_us, \"as\", grade, note, tags, "
		              "session, link) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
		              "iitnttii", turn, j->time_us ? j->time_us : store_now_us(), j->as,
		              j->grade, j->note, tags.len ? tags.data : NULL, s->session, seq);
	if (rc == 0) {
		made = sqlite3_last_insert_rowid(s->db);
		snprintf(about, sizeof(about), "%" PRId64 ".%d", j->episode, j->turn);
		rc = store_do(s, e,
		              "INSERT INTO judgement_search (rowid, note, tags) "
		              "SELECT id, note, tags FROM judgements WHERE id = ?1",
		              "i", made);
	}
	if (rc == 0)
		rc = store_link_row(s, "judgement", made, about, e);
	rc = store_end(s, rc, e);
	if (rc == 0 && id)
		*id = made;
out:
	buf_release(&tags);
	return rc;
}
