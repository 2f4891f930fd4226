/*
 * store_read.c - listings, one thing, and search.
 *
 * Pages are cut by key (an id below the last one shown), never by counting rows, so that the
 * hundred-thousandth page costs what the first does.
 */
#include "src/store_inside.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/utf8.h"

#define CONTENT_MAX ((size_t)1 << 30)

struct store_filter store_filter_none(void)
{
	return (struct store_filter){ .min = NAN, .max = NAN };
}

/* ---- statements that are put together from parts ---- */

/* SQL from our own words, with its values beside it. */
struct question {
	struct buf sql;
	struct {
		char type; /* i, t, d */
		int64_t i;
		double d;
		const char *t;
	} value[24];
	int n;
	sqlite3_stmt *q;
};

static void ask_text(struct question *k, const char *sql, const char *t)
{
	buf_adds(&k->sql, sql);
	k->value[k->n].type = 't';
	k->value[k->n++].t = t;
}

static void ask_int(struct question *k, const char *sql, int64_t i)
{
	buf_adds(&k->sql, sql);
	k->value[k->n].type = 'i';
	k->value[k->n++].i = i;
}

static void ask_double(struct question *k, const char *sql, double d)
{
	buf_adds(&k->sql, sql);
	k->value[k->n].type = 'd';
	k->value[k->n++].d = d;
}

static int question_ready(struct store *s, struct question *k, struct err *e)
{
	int rc;

	if (buf_failed(&k->sql))
		return err_set(e, ERR_MEM, "%s: out of memory", s->file);
	rc = sqlite3_prepare_v2(s->db, buf_str(&k->sql), -1, &k->q, NULL);
	for (int i = 0; rc == SQLITE_OK && i < k->n; i++) {
		if (k->value[i].type == 't')
			rc = sqlite3_bind_text(k->q, i + 1, k->value[i].t, -1, SQLITE_STATIC);
		else if (k->value[i].type == 'i')
			rc = sqlite3_bind_int64(k->q, i + 1, k->value[i].i);
		else
			rc = sqlite3_bind_double(k->q, i + 1, k->value[i].d);
	}
	return rc == SQLITE_OK ? 0 : store_fault(s, rc, e);
}

static void question_release(struct question *k)
{
	sqlite3_finalize(k->q);
	buf_release(&k->sql);
}

/* The conditions on the episode called @e. */
static void episode_conditions(struct question *k, const struct store_filter *f)
{
	if (f->task)
		ask_text(k, " AND e.task = ?", f->task);
	if (!isnan(f->min))
		ask_double(k, " AND e.best_total >= ?", f->min);
	if (!isnan(f->max))
		ask_double(k, " AND e.best_total <= ?", f->max);
	if (f->since_us)
		ask_int(k, " AND e.created_us >= ?", f->since_us);
	if (f->run)
		ask_int(k, " AND e.run = ?", f->run);
}

/* The conditions on the turn called @t. */
static void turn_conditions(struct question *k, const struct store_filter *f)
{
	if (f->class_name)
		ask_text(k, " AND t.class = ?", f->class_name);
	if (f->model)
		ask_text(k, " AND t.model = ?", f->model);
	if (f->adapter)
		ask_text(k, " AND t.adapter = ?", f->adapter);
}

static bool about_turns(const struct store_filter *f)
{
	return f->class_name || f->model || f->adapter;
}

/* ---- episodes ---- */

#define EPISODE_COLUMNS                                                                            \
	"x.id, x.created_us, x.last_us, x.task, x.pack, x.task_hash, x.profile, x.profile_hash, "  \
	"x.prompts, x.prompts_hash, x.source, x.origin, x.settings, x.run, x.session, x.turns, "   \
	"x.best, x.best_total, x.best_built, x.last_class, x.model, x.adapter"

static void read_episode(sqlite3_stmt *q, struct store_episode *out)
{
	*out = (struct store_episode){
		.id = sqlite3_column_int64(q, 0),
		.created_us = sqlite3_column_int64(q, 1),
		.last_us = sqlite3_column_int64(q, 2),
		.task = store_column_text(q, 3),
		.pack = store_column_text(q, 4),
		.task_hash = store_column_text(q, 5),
		.profile = store_column_text(q, 6),
		.profile_hash = store_column_text(q, 7),
		.prompts = store_column_text(q, 8),
		.prompts_hash = store_column_text(q, 9),
		.source = store_column_text(q, 10),
		.origin = store_column_text(q, 11),
		.settings = store_column_text(q, 12),
		.run = sqlite3_column_int64(q, 13),
		.session = sqlite3_column_int64(q, 14),
		.turns = sqlite3_column_int(q, 15),
		.best = sqlite3_column_int(q, 16),
		.best_total = store_column_figure(q, 17),
		.best_built = sqlite3_column_int(q, 18) != 0,
		.last_class = store_column_text(q, 19),
		.model = store_column_text(q, 20),
		.adapter = store_column_text(q, 21),
	};
}

int store_episodes(struct store *s, const struct store_filter *f, int64_t after, int limit,
                   store_episode_fn fn, void *ctx, bool *more, struct err *e)
{
	struct question k = { 0 };
	struct store_episode row;
	int rc = -1, shown = 0;

	if (more)
		*more = false;
	bool narrow = f->run || f->task || !isnan(f->min) || !isnan(f->max) || f->since_us;
	if (!about_turns(f) && !narrow) {
		buf_adds(&k.sql, "SELECT " EPISODE_COLUMNS " FROM episodes x");
		if (after)
			ask_int(&k, " WHERE x.id < ?", after);
		ask_int(&k, " ORDER BY x.id DESC LIMIT ?", (int64_t)limit + 1);
	} else {
		/* the ids of the page from one narrow index, in its order; then these rows alone */
		buf_adds(&k.sql, "SELECT " EPISODE_COLUMNS " FROM (");
		if (about_turns(f)) {
			buf_printf(&k.sql,
			           "SELECT DISTINCT t.episode AS id FROM turns t INDEXED BY %s "
			           "CROSS JOIN episodes e ON e.id = t.episode WHERE 1",
			           f->class_name ? "turns_by_class"
			           : f->adapter  ? "turns_by_adapter"
			                         : "turns_by_model");
			turn_conditions(&k, f);
			episode_conditions(&k, f);
			if (after)
				ask_int(&k, " AND t.episode < ?", after);
			ask_int(&k, " ORDER BY t.episode DESC LIMIT ?", (int64_t)limit + 1);
		} else {
			buf_printf(&k.sql,
			           "SELECT e.id AS id FROM episodes e INDEXED BY %s WHERE 1",
			           f->run    ? "episodes_by_run"
			           : f->task ? "episodes_by_task"
			                     : "episodes_narrow");
			episode_conditions(&k, f);
			if (after)
				ask_int(&k, " AND e.id < ?", after);
			ask_int(&k, " ORDER BY e.id DESC LIMIT ?", (int64_t)limit + 1);
		}
		buf_adds(&k.sql, ") p CROSS JOIN episodes x ON x.id = p.id ORDER BY p.id DESC");
	}
	if (question_ready(s, &k, e) < 0)
		goto out;
	while ((rc = sqlite3_step(k.q)) == SQLITE_ROW) {
		if (shown == limit) {
			if (more)
				*more = true;
			break;
		}
		shown++;
		read_episode(k.q, &row);
		if (fn(ctx, &row))
			break;
	}
	rc = rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : store_fault(s, rc, e);
out:
	question_release(&k);
	return rc;
}

static int no_such_episode(struct store *s, int64_t id, struct err *e)
{
	int64_t first = 0, last = 0, pruned = 0;

	if (store_ask(s, e, &first, "SELECT min(id) FROM episodes", "") < 0 ||
	    store_ask(s, e, &last, "SELECT max(id) FROM episodes", "") < 0)
		return -1;
	if (!last)
		return err_set(e, ERR_INPUT,
		               "%s: there is no episode %" PRId64 ", nor any other yet", s->file,
		               id);
	if (store_ask(s, e, &pruned,
	              "SELECT 1 FROM links WHERE kind = 'episode' AND subject = ?1 LIMIT 1", "i",
	              id) < 0)
		return -1;
	if (pruned)
		return err_set(e, ERR_INPUT,
		               "%s: episode %" PRId64 " was removed by 'cadforge db prune'",
		               s->file, id);
	return err_set(e, ERR_INPUT,
	               "%s: there is no episode %" PRId64 ": they are numbered from %" PRId64
	               " to %" PRId64 "; 'cadforge episodes' lists them",
	               s->file, id, first, last);
}

int store_tasks(struct store *s, store_task_fn fn, void *ctx, struct err *e)
{
	/* both halves run along episodes_by_task alone: the bare id is that of the row with the max
	 */
	sqlite3_stmt *q = store_sql(
		s,
		"SELECT n.task, n.count, n.last, b.id, b.total, x.best_built, y.last_class, y.last_us "
		"FROM (SELECT task, count(*) AS count, max(id) AS last FROM episodes GROUP BY task) n "
		"JOIN (SELECT task, id, max(best_total) AS total FROM episodes GROUP BY task) b "
		"ON b.task = n.task "
		"LEFT JOIN episodes x ON x.id = b.id AND b.total IS NOT NULL "
		"LEFT JOIN episodes y ON y.id = n.last ORDER BY n.task",
		e);
	int rc;

	if (!q)
		return -1;
	while ((rc = store_step(s, q, e)) == 1) {
		struct store_task t = {
			.task = store_column_text(q, 0),
			.episodes = sqlite3_column_int64(q, 1),
			.last = sqlite3_column_int64(q, 2),
			.best = sqlite3_column_int64(q, 3),
			.best_total = store_column_figure(q, 4),
			.best_built = sqlite3_column_int(q, 5) != 0,
			.last_class = store_column_text(q, 6),
			.last_us = sqlite3_column_int64(q, 7),
		};
		if (isnan(t.best_total))
			t.best = 0;
		if (fn(ctx, &t) != 0)
			break;
	}
	sqlite3_reset(q);
	return rc < 0 ? -1 : 0;
}

int64_t store_version_seen(struct store *s, struct err *e)
{
	int64_t v = -1;

	return store_ask(s, e, &v, "PRAGMA data_version", "") < 0 ? -1 : v;
}

int store_episode(struct store *s, int64_t id, store_episode_fn fn, void *ctx, struct err *e)
{
	sqlite3_stmt *q =
		store_sql(s, "SELECT " EPISODE_COLUMNS " FROM episodes x WHERE x.id = ?1", e);
	struct store_episode row;
	int rc;

	if (!q || store_bind(s, q, e, "i", id) < 0 || (rc = store_step(s, q, e)) < 0)
		return -1;
	if (rc == 0)
		return no_such_episode(s, id, e);
	read_episode(q, &row);
	fn(ctx, &row);
	sqlite3_reset(q);
	return 0;
}

/* ---- turns ---- */

#define TURN_SELECT                                                                                \
	"SELECT t.id, t.episode, t.session, t.started_us, t.committed_us, t.number, t.parent, "    \
	"t.member, t.prompt_tokens, t.completion_tokens, t.source, t.model, t.model_hash, "        \
	"t.adapter, t.adapter_hash, t.backend, t.sampling, t.finish, t.built, t.class, t.total, "  \
	"p.total, t.build, t.topology, t.contact, t.semantic_parts, t.reference_similarity, "      \
	"t.silhouette, t.editability, t.efficiency, lower(hex(l.hash)), lower(hex(b.hash)) "       \
	"FROM turns t LEFT JOIN turns p ON p.episode = t.episode AND p.number = t.parent "         \
	"LEFT JOIN links l ON l.seq = t.link LEFT JOIN links b ON b.seq = t.link - 1 "

static int count_or(sqlite3_stmt *q, int column)
{
	return sqlite3_column_type(q, column) == SQLITE_NULL ? -1 : sqlite3_column_int(q, column);
}

static void read_turn(sqlite3_stmt *q, struct store_turn *out)
{
	*out = (struct store_turn){
		.id = sqlite3_column_int64(q, 0),
		.episode = sqlite3_column_int64(q, 1),
		.session = sqlite3_column_int64(q, 2),
		.started_us = sqlite3_column_int64(q, 3),
		.committed_us = sqlite3_column_int64(q, 4),
		.number = sqlite3_column_int(q, 5),
		.parent = sqlite3_column_int(q, 6),
		.member = sqlite3_column_int(q, 7),
		.prompt_tokens = count_or(q, 8),
		.completion_tokens = count_or(q, 9),
		.source = store_column_text(q, 10),
		.model = store_column_text(q, 11),
		.model_hash = store_column_text(q, 12),
		.adapter = store_column_text(q, 13),
		.adapter_hash = store_column_text(q, 14),
		.backend = store_column_text(q, 15),
		.sampling = store_column_text(q, 16),
		.finish = store_column_text(q, 17),
		.built = sqlite3_column_int(q, 18) != 0,
		.class_name = store_column_text(q, 19),
		.total = store_column_figure(q, 20),
		.parent_total = store_column_figure(q, 21),
		.hash = store_column_text(q, 30),
		.previous = store_column_text(q, 31),
	};
	for (int i = 0; i < STORE_TERMS; i++)
		out->terms[i] = store_column_figure(q, 22 + i);
}

int store_turns(struct store *s, int64_t episode, store_turn_fn fn, void *ctx, struct err *e)
{
	sqlite3_stmt *q = store_sql(s, TURN_SELECT "WHERE t.episode = ?1 ORDER BY t.number", e);
	struct store_turn row;
	int rc;

	if (!q || store_bind(s, q, e, "i", episode) < 0)
		return -1;
	while ((rc = store_step(s, q, e)) > 0) {
		read_turn(q, &row);
		if (fn(ctx, &row))
			break;
	}
	sqlite3_reset(q);
	return rc < 0 ? -1 : 0;
}

static int no_such_turn(struct store *s, int64_t episode, int number, struct err *e)
{
	int64_t turns = -1;

	if (store_ask(s, e, &turns, "SELECT turns FROM episodes WHERE id = ?1", "i", episode) < 0)
		return -1;
	if (turns < 0)
		return no_such_episode(s, episode, e);
	if (turns == 0)
		return err_set(e, ERR_INPUT, "%s: episode %" PRId64 " has no turn yet", s->file,
		               episode);
	return err_set(e, ERR_INPUT,
	               "%s: there is no turn %" PRId64 ".%d: episode %" PRId64
	               " has turns 1 to %" PRId64,
	               s->file, episode, number, episode, turns);
}

int store_turn(struct store *s, int64_t episode, int number, store_turn_fn fn, void *ctx,
               struct err *e)
{
	sqlite3_stmt *q = store_sql(s, TURN_SELECT "WHERE t.episode = ?1 AND t.number = ?2", e);
	struct store_turn row;
	int rc;

	if (!q || store_bind(s, q, e, "ii", episode, (int64_t)number) < 0 ||
	    (rc = store_step(s, q, e)) < 0)
		return -1;
	if (rc == 0)
		return no_such_turn(s, episode, number, e);
	read_turn(q, &row);
	fn(ctx, &row);
	sqlite3_reset(q);
	return 0;
}

/* The row id of the turn. */
static int turn_id(struct store *s, int64_t episode, int number, int64_t *id, struct err *e)
{
	*id = 0;
	if (store_ask(s, e, id, "SELECT id FROM turns WHERE episode = ?1 AND number = ?2", "ii",
	              episode, (int64_t)number) < 0)
		return -1;
	return *id ? 0 : no_such_turn(s, episode, number, e);
}

int store_notes(struct store *s, int64_t episode, int turn, store_note_fn fn, void *ctx,
                struct err *e)
{
	sqlite3_stmt *q;
	int64_t id;
	int rc;

	if (turn_id(s, episode, turn, &id, e) < 0)
		return -1;
	q = store_sql(s, "SELECT number, text FROM notes WHERE turn = ?1 ORDER BY number", e);
	if (!q || store_bind(s, q, e, "i", id) < 0)
		return -1;
	while ((rc = store_step(s, q, e)) > 0)
		if (fn(ctx, sqlite3_column_int(q, 0), store_column_text(q, 1)))
			break;
	sqlite3_reset(q);
	return rc < 0 ? -1 : 0;
}

int store_artifacts(struct store *s, int64_t episode, int turn, store_artifact_fn fn, void *ctx,
                    struct err *e)
{
	struct store_artifact row;
	sqlite3_stmt *q;
	int64_t id;
	int rc;

	if (turn_id(s, episode, turn, &id, e) < 0)
		return -1;
	q = store_sql(
		s,
		"SELECT x.name, x.kind, lower(hex(a.hash)), a.bytes, length(a.data), "
		"a.pruned_us FROM turn_artifacts x LEFT JOIN artifacts a ON a.id = x.artifact "
		"WHERE x.turn = ?1 ORDER BY x.name",
		e);
	if (!q || store_bind(s, q, e, "i", id) < 0)
		return -1;
	while ((rc = store_step(s, q, e)) > 0) {
		row = (struct store_artifact){
			.name = store_column_text(q, 0),
			.kind = store_column_text(q, 1),
			.hash = store_column_text(q, 2),
			.bytes = sqlite3_column_int64(q, 3),
			.stored_bytes = sqlite3_column_int64(q, 4),
			.there = sqlite3_column_type(q, 4) != SQLITE_NULL,
			.pruned = sqlite3_column_type(q, 5) != SQLITE_NULL,
		};
		if (fn(ctx, &row))
			break;
	}
	sqlite3_reset(q);
	return rc < 0 ? -1 : 0;
}

static int add_name(void *ctx, const struct store_artifact *a)
{
	struct buf *names = ctx;

	buf_printf(names, "%s%s", names->len ? ", " : "", a->name);
	return names->len > 200;
}

int store_artifact(struct store *s, int64_t episode, int turn, const char *name, struct buf *out,
                   struct err *e)
{
	unsigned char hash[SHA256_BYTES];
	struct sha256 h;
	sqlite3_stmt *q;
	int64_t id;
	size_t before = out->len;
	int rc;

	if (turn_id(s, episode, turn, &id, e) < 0)
		return -1;
	q = store_sql(s,
	              "SELECT a.data, a.bytes, a.hash, a.pruned_us FROM turn_artifacts x "
	              "LEFT JOIN artifacts a ON a.id = x.artifact "
	              "WHERE x.turn = ?1 AND x.name = ?2",
	              e);
	if (!q || store_bind(s, q, e, "it", id, name) < 0 || (rc = store_step(s, q, e)) < 0)
		return -1;
	if (rc == 0) {
		struct buf names = { 0 };
		if (store_artifacts(s, episode, turn, add_name, &names, e) == 0)
			err_set(e, ERR_INPUT,
			        "turn %" PRId64 ".%d has no artifact '%.60s'; it has %.200s",
			        episode, turn, name, names.len ? buf_str(&names) : "none");
		buf_release(&names);
		return -1;
	}
	if (sqlite3_column_type(q, 0) == SQLITE_NULL) {
		int64_t when = sqlite3_column_int64(q, 3);
		char day[32];
		store_local_time(day, sizeof(day), when);
		rc = when ? err_set(e, ERR_INPUT,
		                    "turn %" PRId64 ".%d: %s was pruned on %s; "
		                    "'cadforge build' makes it again from program.py",
		                    episode, turn, name, day)
		          : err_set(e, ERR_INPUT,
		                    "turn %" PRId64 ".%d: the content of %s is missing in %s; "
		                    "'cadforge fsck' says what else is, a copy of 'cadforge db "
		                    "backup' may have it",
		                    episode, turn, name, s->file);
		goto out;
	}
	/* the sizes that a damaged row claims are no reason to take memory */
	int64_t bytes = sqlite3_column_int64(q, 1);
	rc = store_unpack(s, sqlite3_column_blob(q, 0), (size_t)sqlite3_column_bytes(q, 0),
	                  bytes < 0 || bytes > (int64_t)CONTENT_MAX ? CONTENT_MAX : (size_t)bytes,
	                  out);
	if (rc == 0) {
		sha256_start(&h);
		sha256_add(&h, out->data + before, out->len - before);
		sha256_end(&h, hash);
	}
	if (buf_failed(out)) {
		rc = err_set(e, ERR_MEM, "%s: out of memory", name);
	} else if (rc < 0 || sqlite3_column_bytes(q, 2) != SHA256_BYTES ||
	           memcmp(hash, sqlite3_column_blob(q, 2), SHA256_BYTES) != 0) {
		out->len = before;
		if (out->data)
			out->data[before] = '\0';
		rc = err_set(
			e, ERR_INPUT,
			"turn %" PRId64 ".%d: the content of %s in %s is damaged; "
			"'cadforge fsck' says what else is, a copy of 'cadforge db backup' may "
			"have it whole",
			episode, turn, name, s->file);
	}
out:
	sqlite3_reset(q);
	return rc;
}

int store_events(struct store *s, int64_t episode, int turn, store_event_fn fn, void *ctx,
                 struct err *e)
{
	sqlite3_stmt *q = store_sql(s,
	                            "SELECT number, turn, time_us, kind, data FROM events "
	                            "WHERE episode = ?1 AND (?2 = 0 OR turn = ?2) ORDER BY number",
	                            e);
	struct store_event row;
	int rc;

	if (!q || store_bind(s, q, e, "ii", episode, (int64_t)turn) < 0)
		return -1;
	while ((rc = store_step(s, q, e)) > 0) {
		row = (struct store_event){
			.number = sqlite3_column_int(q, 0),
			.turn = sqlite3_column_int(q, 1),
			.time_us = sqlite3_column_int64(q, 2),
			.kind = store_column_text(q, 3),
			.data = store_column_text(q, 4),
		};
		if (fn(ctx, &row))
			break;
	}
	sqlite3_reset(q);
	return rc < 0 ? -1 : 0;
}

int store_judgements(struct store *s, int64_t episode, int turn, const char *task, const char *as,
                     store_judgement_fn fn, void *ctx, struct err *e)
{
	struct question k = { 0 };
	struct store_judgement row;
	int rc = -1;

	buf_adds(&k.sql,
	         "SELECT j.id, t.episode, t.number, j.time_us, j.grade, j.\"as\", j.note, j.tags, "
	         "x.task, t.total FROM judgements j JOIN turns t ON t.id = j.turn "
	         "JOIN episodes x ON x.id = t.episode WHERE 1");
	if (episode)
		ask_int(&k, " AND t.episode = ?", episode);
	if (turn)
		ask_int(&k, " AND t.number = ?", turn);
	if (task)
		ask_text(&k, " AND x.task = ?", task);
	if (as)
		ask_text(&k, " AND j.\"as\" = ?", as);
	buf_adds(&k.sql, " ORDER BY j.id");
	if (question_ready(s, &k, e) < 0)
		goto out;
	while ((rc = sqlite3_step(k.q)) == SQLITE_ROW) {
		row = (struct store_judgement){
			.id = sqlite3_column_int64(k.q, 0),
			.episode = sqlite3_column_int64(k.q, 1),
			.turn = sqlite3_column_int(k.q, 2),
			.time_us = sqlite3_column_int64(k.q, 3),
			.grade = count_or(k.q, 4),
			.as = store_column_text(k.q, 5),
			.note = store_column_text(k.q, 6),
			.tags = store_column_text(k.q, 7),
			.task = store_column_text(k.q, 8),
			.total = store_column_figure(k.q, 9),
		};
		if (fn(ctx, &row))
			break;
	}
	rc = rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : store_fault(s, rc, e);
out:
	question_release(&k);
	return rc;
}

/* ---- search ---- */

/* What a person typed, as the two expressions that the index understands; "" where it cannot match
 * there. */
struct query {
	struct buf turns, judgements;
};

static const char *const places[] = { "prompt", "program", "log", "notes", "judgement" };
enum { PLACES = 5, JUDGEMENT = 4 };

static void add_term(struct buf *out, bool *first, bool not_, const char *column, const char *word,
                     size_t n, bool beginning)
{
	buf_printf(out, "%s%s%s\"",
	           *first ? ""
	           : not_ ? " NOT "
	                  : " AND ",
	           column ? column : "", column ? " : " : "");
	for (size_t i = 0; i < n; i++) {
		if (word[i] == '"')
			buf_addc(out, '"');
		buf_addc(out, word[i]);
	}
	buf_printf(out, "\"%s", beginning ? " *" : "");
	*first = false;
}

static int query_parse(struct query *out, const char *text, struct err *e)
{
	bool first[2] = { true, true }, never[2] = { false, false };
	size_t at;

	if (!utf8_valid(text, strlen(text), &at))
		return err_set(e, ERR_USAGE, "the words are no UTF-8 from byte %zu on", at);
	/* those that must not be there come last: NOT takes a left side */
	for (int pass = 0; pass < 2; pass++) {
		const char *p = text;
		for (;;) {
			int place = -1;
			bool not_ = false, beginning = false;
			p += strspn(p, " \t\r\n");
			if (!*p)
				break;
			if (*p == '-' && p[1] && p[1] != ' ') {
				not_ = true;
				p++;
			}
			for (int i = 0; i < PLACES; i++) {
				size_t n = strlen(places[i]);
				if (strncmp(p, places[i], n) == 0 && p[n] == ':' && p[n + 1] &&
				    p[n + 1] != ' ') {
					place = i;
					p += n + 1;
					break;
				}
			}
			const char *word = p;
			size_t n;
			if (*p == '"') {
				word = ++p;
				n = strcspn(p, "\"");
				p += n + (p[n] == '"');
			} else {
				n = strcspn(p, " \t\r\n");
				p += n;
				if (n > 1 && word[n - 1] == '*') {
					n--;
					beginning = true;
				}
			}
			if (*p == '*') {
				beginning = true;
				p++;
			}
			/* a sign that is in no word matches nothing, and says nothing */
			bool letters = false;
			for (size_t i = 0; i < n; i++)
				letters = letters || isalnum((unsigned char)word[i]) ||
				          (unsigned char)word[i] >= 0x80;
			if (!letters || not_ != (pass == 1))
				continue;
			if (not_ && first[0] && first[1])
				return err_set(e, ERR_USAGE,
				               "'-%.*s' alone would find nearly everything: say "
				               "also what must be there",
				               (int)(n < 60 ? n : 60), word);
			if (place != JUDGEMENT)
				add_term(&out->turns, &first[0], not_,
				         place >= 0 ? places[place] : NULL, word, n, beginning);
			else if (!not_)
				never[0] = true;
			if (place < 0 || place == JUDGEMENT)
				add_term(&out->judgements, &first[1], not_, NULL, word, n,
				         beginning);
			else if (!not_)
				never[1] = true;
		}
	}
	if (first[0] && first[1])
		return err_set(e, ERR_USAGE, "words to search for were expected, got none");
	if (buf_failed(&out->turns) || buf_failed(&out->judgements))
		return err_set(e, ERR_MEM, "out of memory");
	if (never[0] || first[0])
		buf_clear(&out->turns);
	if (never[1] || first[1])
		buf_clear(&out->judgements);
	return 0;
}

/* One place's hits, newest first, being stepped through. */
struct hits {
	struct question k;
	int n_excerpts; /* columns from 6 on */
	bool row;
};

static int hits_open(struct store *s, struct hits *h, const char *match, bool judgements,
                     const struct store_filter *f, int64_t after, int limit, struct err *e)
{
	if (judgements)
		buf_adds(
			&h->k.sql,
			"SELECT t.id, t.episode, t.number, t.total, t.class, t.committed_us, e.task, "
			"snippet(judgement_search, -1, char(2), char(3), '...', 16) "
			"FROM judgement_search JOIN judgements j ON j.id = judgement_search.rowid "
			"JOIN turns t ON t.id = j.turn JOIN episodes e ON e.id = t.episode WHERE ");
	else
		buf_adds(
			&h->k.sql,
			"SELECT t.id, t.episode, t.number, t.total, t.class, t.committed_us, e.task, "
			"snippet(search, 0, char(2), char(3), '...', 16), "
			"snippet(search, 1, char(2), char(3), '...', 16), "
			"snippet(search, 2, char(2), char(3), '...', 16), "
			"snippet(search, 3, char(2), char(3), '...', 16) "
			"FROM search CROSS JOIN turns t ON t.id = search.rowid "
			"CROSS JOIN episodes e ON e.id = t.episode WHERE ");
	h->n_excerpts = judgements ? 1 : JUDGEMENT;
	ask_text(&h->k, judgements ? "judgement_search MATCH ?" : "search MATCH ?", match);
	if (after)
		ask_int(&h->k, judgements ? " AND j.turn < ?" : " AND search.rowid < ?", after);
	episode_conditions(&h->k, f);
	turn_conditions(&h->k, f);
	buf_adds(&h->k.sql,
	         judgements ? " ORDER BY j.turn DESC, j.id DESC" : " ORDER BY search.rowid DESC");
	/* of the judgements of one turn more than one may match */
	ask_int(&h->k, " LIMIT ?", judgements ? -1 : (int64_t)limit + 1);
	return question_ready(s, &h->k, e);
}

static int hits_next(struct store *s, struct hits *h, struct err *e)
{
	int rc;

	h->row = false;
	if (!h->k.q)
		return 0;
	rc = sqlite3_step(h->k.q);
	if (rc == SQLITE_ROW)
		h->row = true;
	else if (rc != SQLITE_DONE)
		return store_fault(s, rc, e);
	return 0;
}

/* One line of it: what is no letter to show is a blank. */
static void one_line(struct buf *out, const char *text)
{
	buf_clear(out);
	for (const char *p = text ? text : ""; *p; p++) {
		unsigned char c = (unsigned char)*p;
		bool blank = c == '\n' || c == '\t' || c == '\r' || c == ' ';
		if (blank && (!out->len || out->data[out->len - 1] == ' '))
			continue;
		if (c < 32 && c != 2 && c != 3 && !blank)
			continue;
		buf_addc(out, blank ? ' ' : *p);
	}
	while (out->len && out->data[out->len - 1] == ' ')
		out->data[--out->len] = '\0';
}

static int64_t hits_turn(const struct hits *h)
{
	return h->row ? sqlite3_column_int64(h->k.q, 0) : 0;
}

int store_search(struct store *s, const char *query, const struct store_filter *f, int64_t after,
                 int limit, store_hit_fn fn, void *ctx, bool *more, struct err *e)
{
	struct query q = { 0 };
	struct hits side[2] = { 0 };
	struct buf line = { 0 };
	int rc = -1, shown = 0;

	if (more)
		*more = false;
	if (query_parse(&q, query, e) < 0)
		goto out;
	for (int i = 0; i < 2; i++) {
		const struct buf *match = i ? &q.judgements : &q.turns;
		if (match->len && hits_open(s, &side[i], match->data, i, f, after, limit, e) < 0)
			goto out;
		if (hits_next(s, &side[i], e) < 0)
			goto out;
	}
	while (side[0].row || side[1].row) {
		int64_t id[2] = { hits_turn(&side[0]), hits_turn(&side[1]) };
		bool second = id[1] > id[0];
		sqlite3_stmt *row = side[second].k.q;
		int column = 0;
		if (shown++ == limit) {
			if (more)
				*more = true;
			break;
		}
		while (column + 1 < side[second].n_excerpts) {
			const char *x = store_column_text(row, 7 + column);
			if (x && strchr(x, 2))
				break;
			column++;
		}
		one_line(&line, store_column_text(row, 7 + column));
		struct store_hit hit = {
			.turn_id = id[second],
			.episode = sqlite3_column_int64(row, 1),
			.turn = sqlite3_column_int(row, 2),
			.total = store_column_figure(row, 3),
			.class_name = store_column_text(row, 4),
			.committed_us = sqlite3_column_int64(row, 5),
			.task = store_column_text(row, 6),
			.where = second ? places[JUDGEMENT] : places[column],
			.excerpt = buf_str(&line),
		};
		if (fn(ctx, &hit))
			break;
		/* a turn is shown once */
		for (int i = 0; i < 2; i++)
			while (side[i].row && hits_turn(&side[i]) == id[second])
				if (hits_next(s, &side[i], e) < 0)
					goto out;
	}
	rc = 0;
out:
	for (int i = 0; i < 2; i++)
		question_release(&side[i].k);
	buf_release(&q.turns);
	buf_release(&q.judgements);
	buf_release(&line);
	return rc;
}
