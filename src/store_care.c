/*
 * store_care.c - is everything there as it was committed; copies; thinning out; figures.
 */
#include "src/store_inside.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONTENT_MAX ((size_t)1 << 30)

/* ---- fsck ---- */

struct check {
	struct store *s;
	const struct store_fsck_options *o;
	int problems;
	bool stop;
	int64_t *pruned; /* episodes that a prune removed, ascending */
	size_t n_pruned;
};

static void found(struct check *c, bool loss, const char *remedy, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
static void found(struct check *c, bool loss, const char *remedy, const char *fmt, ...)
{
	char text[600];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	c->problems += loss;
	struct store_finding f = { .what = text, .remedy = remedy, .loss = loss };
	if (c->o->finding && c->o->finding(c->o->ctx, &f))
		c->stop = true;
}

static void tell(struct check *c, const char *what, int64_t done, int64_t all)
{
	if (c->o->progress)
		c->o->progress(c->o->ctx, what, done, all);
}

static const char from_copy[] = "a copy of 'cadforge db backup' may have it";
static const char rebuilt[] = "'cadforge fsck --repair' makes it anew from the turns";

/* A statement that may fail on a damaged database: that is a finding, not the end. */
static sqlite3_stmt *careful(struct check *c, const char *what, const char *sql)
{
	struct err e = { 0 };
	sqlite3_stmt *q = store_sql(c->s, sql, &e);

	if (!q)
		found(c, true, from_copy, "%s cannot be looked at: %s", what,
		      sqlite3_errmsg(c->s->db));
	return q;
}

/* 1: a row; else no more, with the finding made when that is because of damage. */
static int careful_step(struct check *c, const char *what, sqlite3_stmt *q)
{
	int rc = sqlite3_step(q);

	if (rc == SQLITE_ROW && !c->stop)
		return 1;
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		found(c, true, from_copy, "%s cannot be read to the end: %s", what,
		      sqlite3_errmsg(c->s->db));
	sqlite3_reset(q);
	return 0;
}

static void check_pages(struct check *c)
{
	sqlite3_stmt *q = careful(c, "the file", "PRAGMA integrity_check(50)");

	tell(c, "pages", 0, 0);
	while (q && careful_step(c, "the file", q)) {
		const char *text = store_column_text(q, 0);
		if (text && strcmp(text, "ok") != 0)
			found(c, true,
			      "go back to a copy of 'cadforge db backup'; 'cadforge export' takes out "
			      "what can still be read",
			      "the file is damaged: %.400s", text);
	}
	q = careful(c, "references between tables", "PRAGMA foreign_key_check");
	while (q && careful_step(c, "references between tables", q))
		found(c, true, from_copy, "row %lld of %s names a row of %s that is not there",
		      (long long)sqlite3_column_int64(q, 1), store_column_text(q, 0),
		      store_column_text(q, 2));
}

static void tell_guard(void *ctx, const char *name, bool gone, const struct err *why)
{
	struct check *c = ctx;

	if (why && why->kind)
		found(c, true, from_copy, "%s could not be set up again: %s", name, why->text);
	else if (why)
		found(c, false, NULL, "%s was set up again", name);
	else
		found(c, false, "'cadforge fsck --repair' sets it up again",
		      "%s is %s: without it the database does not keep others from rewriting what "
		      "is committed, or is slow",
		      name, gone ? "gone" : "not as it was made");
}

static void check_guards(struct check *c)
{
	struct err e = { 0 };

	if (store_guards(c->s, c->o->repair, tell_guard, c, &e) < 0)
		found(c, true, from_copy, "triggers and indexes cannot be looked at: %s", e.text);
}

static int by_number(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static void collect_pruned(struct check *c)
{
	sqlite3_stmt *q = careful(c, "the chain",
	                          "SELECT x.value FROM links l, json_each(l.about, '$.episodes') x "
	                          "WHERE l.kind = 'prune' AND json_valid(l.about)");
	size_t cap = 0;

	while (q && careful_step(c, "the chain", q)) {
		if (c->n_pruned == cap) {
			cap = cap ? 2 * cap : 64;
			int64_t *more = realloc(c->pruned, cap * sizeof(*more));
			if (!more) {
				sqlite3_reset(q);
				return;
			}
			c->pruned = more;
		}
		c->pruned[c->n_pruned++] = sqlite3_column_int64(q, 0);
	}
	if (c->n_pruned)
		qsort(c->pruned, c->n_pruned, sizeof(*c->pruned), by_number);
}

static bool was_pruned(const struct check *c, const char *kind, const char *about)
{
	int64_t episode = strtoll(about, NULL, 10);

	return c->n_pruned && strcmp(kind, "run") != 0 && strcmp(kind, "curriculum") != 0 &&
	       strcmp(kind, "steps") != 0 && strcmp(kind, "rollouts") != 0 &&
	       bsearch(&episode, c->pruned, c->n_pruned, sizeof(*c->pruned), by_number);
}

/* What a link speaks of, for people: "turn 12.3", "events 4 to 6 of episode 12". */
static void subject_name(char *out, size_t size, const char *kind, const char *about,
                         int64_t subject)
{
	long long episode, first, last;

	if (strcmp(kind, "events") == 0 &&
	    sscanf(about, "%lld %lld %lld", &episode, &first, &last) == 3)
		snprintf(out, size, "events %lld to %lld of episode %lld", first, last, episode);
	else if (strcmp(kind, "steps") == 0 &&
	         sscanf(about, "%lld %lld %lld", &episode, &first, &last) == 3)
		snprintf(out, size, "rows %lld to %lld of run %lld", first, last, episode);
	else if (strcmp(kind, "rollouts") == 0 &&
	         sscanf(about, "%lld %lld %lld", &episode, &first, &last) == 3)
		snprintf(out, size, "rollouts %lld to %lld of run %lld", first, last, episode);
	else if (strcmp(kind, "sample") == 0)
		snprintf(out, size, "sample episode %lld", (long long)subject);
	else if (strcmp(kind, "judgement") == 0)
		snprintf(out, size, "judgement %lld of turn %s", (long long)subject, about);
	else if (strcmp(kind, "curriculum") == 0)
		snprintf(out, size, "change %lld of the curriculum (%s)", (long long)subject,
		         about);
	else
		snprintf(out, size, "%s %s", kind, about);
}

static void check_link(struct check *c, int64_t seq, const char *kind, int64_t subject,
                       const char *about, int64_t time_us, const unsigned char *digest)
{
	unsigned char now[SHA256_BYTES];
	struct err e = { 0 };
	char name[160], when[32];
	int there = store_digest(c->s, kind, subject, about, now, &e);

	subject_name(name, sizeof(name), kind, about, subject);
	store_local_time(when, sizeof(when), time_us);
	if (there < 0)
		found(c, true, from_copy, "%s (%s) cannot be read: %s", name, when,
		      sqlite3_errmsg(c->s->db));
	else if (there == 0 && !was_pruned(c, kind, about))
		found(c, true, from_copy, "%s, committed %s, is not there any more", name, when);
	else if (there > 0 && memcmp(now, digest, SHA256_BYTES) != 0)
		found(c, true, from_copy,
		      "%s is not as it was committed %s: somebody or something changed it", name,
		      when);
	if (strcmp(kind, "loss") == 0)
		found(c, false, NULL, "link %" PRId64 " of %s records a loss before it: %.200s",
		      seq, when, about);
}

static void check_chain(struct check *c)
{
	static const unsigned char none[SHA256_BYTES];
	unsigned char before[SHA256_BYTES] = { 0 }, want[SHA256_BYTES];
	int64_t last = 0, all = 0;
	sqlite3_stmt *q;

	store_ask(c->s, NULL, &all, "SELECT seq FROM links ORDER BY seq DESC LIMIT 1", "");
	q = careful(c, "the chain",
	            "SELECT seq, time_us, kind, subject, about, digest, hash FROM links "
	            "ORDER BY seq");
	while (q && careful_step(c, "the chain", q)) {
		int64_t seq = sqlite3_column_int64(q, 0), time_us = sqlite3_column_int64(q, 1);
		const char *kind = store_column_text(q, 2), *about = store_column_text(q, 4);
		int64_t subject = sqlite3_column_int64(q, 3);
		const unsigned char *digest = sqlite3_column_blob(q, 5);
		const unsigned char *hash = sqlite3_column_blob(q, 6);
		if (!kind || !about || sqlite3_column_bytes(q, 5) != SHA256_BYTES ||
		    sqlite3_column_bytes(q, 6) != SHA256_BYTES) {
			found(c, true, from_copy, "link %" PRId64 " is damaged", seq);
			last = seq;
			memcpy(before, none, SHA256_BYTES);
			continue;
		}
		if (seq != last + 1)
			found(c, true, from_copy,
			      "links %" PRId64 " to %" PRId64
			      " are missing, and what was committed with them",
			      last + 1, seq - 1);
		else {
			store_link_hash(want, before, seq, time_us, kind, subject, about, digest);
			if (memcmp(want, hash, SHA256_BYTES) != 0)
				found(c, true, from_copy,
				      "link %" PRId64
				      " does not follow from the one before: one of "
				      "the two was changed",
				      seq);
		}
		memcpy(before, hash, SHA256_BYTES);
		last = seq;
		check_link(c, seq, kind, subject, about, time_us, digest);
		if (seq % 256 == 0)
			tell(c, "links", seq, all);
	}
	tell(c, "links", last, all);
}

/* Rows that no link speaks of came from outside. */
static void check_unlinked(struct check *c)
{
	static const struct {
		const char *what, *sql;
	} of[] = {
		{ "turn", "SELECT t.episode || '.' || t.number FROM turns t LEFT JOIN links l ON "
		          "l.seq = t.link AND l.kind = 'turn' AND l.subject = t.id "
		          "WHERE l.seq IS NULL" },
		{ "episode", "SELECT t.id FROM episodes t LEFT JOIN links l ON l.seq = t.link "
		             "AND l.kind = 'episode' AND l.subject = t.id WHERE l.seq IS NULL" },
		{ "judgement", "SELECT t.id FROM judgements t LEFT JOIN links l ON l.seq = t.link "
		               "AND l.kind = 'judgement' AND l.subject = t.id "
		               "WHERE l.seq IS NULL" },
		{ "change of the curriculum",
		  "SELECT t.id FROM curriculum t LEFT JOIN links l ON l.seq = t.link "
		  "AND l.kind = 'curriculum' AND l.subject = t.id WHERE l.seq IS NULL" },
		{ "run", "SELECT t.id FROM runs t LEFT JOIN links l ON l.seq = t.link "
		         "AND l.kind = 'run' AND l.subject = t.id WHERE l.seq IS NULL" },
		{ "sample", "SELECT t.episode FROM run_samples t LEFT JOIN links l ON "
		            "l.seq = t.link AND l.kind = 'sample' AND l.subject = t.episode "
		            "WHERE l.seq IS NULL" },
		/* a link speaks of a stretch of them, and stretches follow one another */
		{ "row", "SELECT x.last || ' of run ' || x.run FROM (SELECT run, max(number) AS last, "
		         "count(*) AS n FROM steps GROUP BY run) x WHERE x.n <> x.last OR NOT EXISTS "
		         "(SELECT 1 FROM links l WHERE l.kind = 'steps' AND l.subject = x.run AND "
		         "l.about LIKE x.run || ' % ' || x.last)" },
		{ "rollout", "SELECT x.last || ' of run ' || x.run FROM (SELECT run, max(number) AS "
		             "last, count(*) AS n FROM rollouts GROUP BY run) x WHERE x.n <> x.last "
		             "OR NOT EXISTS (SELECT 1 FROM links l WHERE l.kind = 'rollouts' AND "
		             "l.subject = x.run AND l.about LIKE x.run || ' % ' || x.last)" },
		{ "event", "SELECT v.episode || ' number ' || v.number FROM events v "
		           "WHERE v.turn IS NOT NULL AND NOT EXISTS (SELECT 1 FROM turns t "
		           "WHERE t.episode = v.episode AND t.number = v.turn)" },
	};

	for (size_t i = 0; i < sizeof(of) / sizeof(*of); i++) {
		sqlite3_stmt *q = careful(c, of[i].what, of[i].sql);
		while (q && careful_step(c, of[i].what, q))
			found(c, true, "it was not written by cadforge",
			      "%s %s is in no link of the chain", of[i].what,
			      store_column_text(q, 0));
	}
}

static void check_artifacts(struct check *c)
{
	struct buf content = { 0 };
	int64_t all = 0, done = 0;
	sqlite3_stmt *q;

	q = careful(c, "artifacts",
	            "SELECT t.episode || '.' || t.number || ': ' || x.name FROM artifacts a "
	            "JOIN turn_artifacts x ON x.artifact = a.id JOIN turns t ON t.id = x.turn "
	            "WHERE a.data IS NULL AND a.pruned_us IS NULL");
	while (q && careful_step(c, "artifacts", q))
		found(c, true, from_copy, "turn %s: its content is missing",
		      store_column_text(q, 0));
	if (c->o->quick)
		return;
	store_ask(c->s, NULL, &all, "SELECT count(*) FROM artifacts WHERE data IS NOT NULL", "");
	q = careful(c, "artifacts",
	            "SELECT a.id, a.hash, a.bytes, a.data FROM artifacts a WHERE data IS NOT NULL");
	while (q && careful_step(c, "artifacts", q)) {
		unsigned char hash[SHA256_BYTES];
		int64_t bytes = sqlite3_column_int64(q, 2);
		struct sha256 h;
		buf_clear(&content);
		int rc = bytes < 0 || bytes > (int64_t)CONTENT_MAX
		                 ? -1
		                 : store_unpack(c->s, sqlite3_column_blob(q, 3),
		                                (size_t)sqlite3_column_bytes(q, 3), (size_t)bytes,
		                                &content);
		sha256_start(&h);
		sha256_add(&h, buf_str(&content), content.len);
		sha256_end(&h, hash);
		if (rc < 0 || (int64_t)content.len != bytes ||
		    sqlite3_column_bytes(q, 1) != SHA256_BYTES ||
		    memcmp(hash, sqlite3_column_blob(q, 1), SHA256_BYTES) != 0) {
			int64_t id = sqlite3_column_int64(q, 0);
			bool named = false;
			sqlite3_stmt *who = careful(
				c, "artifacts",
				"SELECT t.episode || '.' || t.number || ': ' || x.name FROM "
				"turn_artifacts x JOIN turns t ON t.id = x.turn "
				"WHERE x.artifact = ?1 LIMIT 20");
			if (who && store_bind(c->s, who, NULL, "i", id) == 0)
				while (careful_step(c, "artifacts", who)) {
					named = true;
					found(c, true, from_copy, "turn %s: its content is damaged",
					      store_column_text(who, 0));
				}
			if (!named)
				found(c, true, from_copy, "artifact %" PRId64 " is damaged", id);
		}
		if (++done % 64 == 0)
			tell(c, "artifacts", done, all);
	}
	tell(c, "artifacts", done, all);
	buf_release(&content);
}

/* Contents that no turn names any more, or never did: nothing is lost, and nothing is thrown away. */
static void check_orphans(struct check *c)
{
	int64_t n = 0, bytes = 0;
	sqlite3_stmt *q = careful(
		c, "artifacts",
		"SELECT count(*), ifnull(sum(length(a.data)), 0) FROM artifacts a WHERE NOT EXISTS "
		"(SELECT 1 FROM turn_artifacts x WHERE x.artifact = a.id)");

	while (q && careful_step(c, "artifacts", q)) {
		n = sqlite3_column_int64(q, 0);
		bytes = sqlite3_column_int64(q, 1);
	}
	if (n)
		found(c, false, NULL,
		      "%" PRId64 " artifact%s belong%s to no turn: %" PRId64
		      " bytes that nobody reads; they stay",
		      n, n == 1 ? "" : "s", n == 1 ? "s" : "", bytes);
	n = 0;
	q = careful(c, "artifacts",
	            "SELECT count(*) FROM artifacts WHERE data IS NOT NULL AND "
	            "(pruned_us IS NOT NULL OR bytes < 0 OR length(hash) <> 32)");
	while (q && careful_step(c, "artifacts", q))
		n = sqlite3_column_int64(q, 0);
	if (n)
		found(c, true, from_copy,
		      "%" PRId64 " artifact%s say%s of %s content what cannot be: pruned and "
		      "there, or of no size",
		      n, n == 1 ? "" : "s", n == 1 ? "s" : "", n == 1 ? "its" : "their");
}

/* The summaries of episodes, from their turns. */
#define SUMMARIES                                                                                        \
	"WITH w AS (SELECT e.id AS id, (SELECT count(*) FROM turns t WHERE t.episode = e.id) AS turns, " \
	"(SELECT number FROM turns t WHERE t.episode = e.id AND t.total IS NOT NULL "                    \
	"ORDER BY t.total DESC, t.number LIMIT 1) AS best, "                                             \
	"(SELECT max(t.total) FROM turns t WHERE t.episode = e.id) AS total FROM episodes e) "

static void check_summaries(struct check *c)
{
	sqlite3_stmt *q = careful(c, "summaries of episodes",
	                          SUMMARIES "SELECT e.id FROM episodes e JOIN w ON w.id = e.id "
	                                    "WHERE e.turns IS NOT w.turns OR e.best IS NOT w.best "
	                                    "OR e.best_total IS NOT w.total");
	bool wrong = false;
	struct err e = { 0 };

	while (q && careful_step(c, "summaries of episodes", q)) {
		wrong = true;
		found(c, !c->o->repair, rebuilt,
		      "episode %" PRId64 ": its summary in the list is not that of its turns",
		      (int64_t)sqlite3_column_int64(q, 0));
	}
	if (!wrong || !c->o->repair || c->s->mode != STORE_WRITE)
		return;
	if (store_begin(c->s, &e) == 0 &&
	    store_end(c->s,
	              store_do(c->s, &e,
	                       SUMMARIES
	                       "UPDATE episodes SET turns = w.turns, best = w.best, "
	                       "best_total = w.total, best_built = (SELECT built FROM turns t "
	                       "WHERE t.episode = w.id AND t.number = w.best) FROM w "
	                       "WHERE w.id = episodes.id",
	                       ""),
	              &e) == 0)
		found(c, false, NULL, "summaries of episodes were made anew");
	else
		found(c, true, from_copy, "summaries of episodes could not be made anew: %s",
		      e.text);
}

static void check_tallies(struct check *c)
{
	struct err e = { 0 };
	int rc = store_tally_agrees(c->s, &e);

	tell(c, "sums", 0, 0);
	if (rc < 0)
		found(c, true, from_copy, "the sums over turns cannot be looked at: %s", e.text);
	if (rc)
		return;
	found(c, !c->o->repair, rebuilt, "the sums over turns are not those of the turns");
	if (!c->o->repair || c->s->mode != STORE_WRITE)
		return;
	if (store_begin(c->s, &e) == 0 && store_end(c->s, store_tally_rebuild(c->s, &e), &e) == 0)
		found(c, false, NULL, "the sums over turns were made anew");
	else
		found(c, true, from_copy, "the sums over turns could not be made anew: %s", e.text);
}

static void check_search(struct check *c)
{
	static const struct {
		const char *name, *check, *rebuild;
	} of[] = {
		{ "search", "INSERT INTO search (search, rank) VALUES ('integrity-check', 1)",
		  "INSERT INTO search (search) VALUES ('rebuild')" },
		{ "judgement_search",
		  "INSERT INTO judgement_search (judgement_search, rank) VALUES "
		  "('integrity-check', 1)",
		  "INSERT INTO judgement_search (judgement_search) VALUES ('rebuild')" },
	};
	struct err e = { 0 };

	if (c->s->mode != STORE_WRITE)
		return; /* the index checks itself by a statement that writes */
	for (size_t i = 0; i < sizeof(of) / sizeof(*of); i++) {
		tell(c, "search index", (int64_t)i, 2);
		if (store_do(c->s, &e, of[i].check, "") == 0)
			continue;
		if ((sqlite3_errcode(c->s->db) & 0xff) != SQLITE_CORRUPT) {
			found(c, true, from_copy, "the index %s cannot be checked: %s", of[i].name,
			      e.text);
			continue;
		}
		found(c, !c->o->repair, rebuilt,
		      "the index %s does not agree with the texts, so a search may miss some",
		      of[i].name);
		if (!c->o->repair)
			continue;
		e = (struct err){ 0 };
		if (store_begin(c->s, &e) == 0 &&
		    store_end(c->s, store_do(c->s, &e, of[i].rebuild, ""), &e) == 0)
			found(c, false, NULL, "the index %s was made anew", of[i].name);
		else
			found(c, true, from_copy, "the index %s could not be made anew: %s",
			      of[i].name, e.text);
	}
}

static void check_head(struct check *c)
{
	char id[STORE_ID];
	struct tip head, now = { 0 };
	struct err e = { 0 };
	enum head_state state = head_read(c->s->file, id, &head);

	if (store_tip(c->s, &now, &e) < 0)
		return;
	if (c->s->loss_seen)
		found(c, true, from_copy,
		      "the chain ends at link %" PRId64 ", and %s.head has seen link %" PRId64
		      ": what was committed with those between is lost, or the file is not the one "
		      "it was",
		      now.seq, c->s->file, c->s->loss.seq);
	else if (state == HEAD_UNREADABLE)
		found(c, !c->o->repair, "'cadforge fsck --repair' writes it anew",
		      "%s.head cannot be read", c->s->file);
	else if (state == HEAD_READ && strcmp(id, c->s->id) != 0)
		found(c, !c->o->repair, "'cadforge fsck --repair' writes it anew",
		      "%s.head belongs to another database", c->s->file);
	else if (state == HEAD_NONE)
		found(c, false, "the next commit makes it",
		      "%s.head is not there, so a loss at the end before now would not be seen",
		      c->s->file);
	else if (state == HEAD_READ && head.seq < now.seq)
		found(c, false, "the next commit brings it up",
		      "%s.head knows link %" PRId64 ", and the chain has %" PRId64
		      ": it could not be written then, and a loss of those between would not be seen",
		      c->s->file, head.seq, now.seq);
	if (c->o->repair && !c->s->loss_seen && c->s->mode == STORE_WRITE && now.seq &&
	    (state == HEAD_UNREADABLE || (state == HEAD_READ && strcmp(id, c->s->id) != 0)) &&
	    head_write(c->s->file, c->s->id, &now, true) == 0)
		found(c, false, NULL, "%s.head was written anew", c->s->file);
}

int store_fsck(struct store *s, const struct store_fsck_options *o, int *problems, struct err *e)
{
	struct check c = { .s = s, .o = o };

	if (o->repair && s->mode != STORE_WRITE)
		return err_set(e, ERR_INPUT, "%s: was opened for reading, so nothing is repaired",
		               s->file);
	check_head(&c);
	if (!c.stop)
		check_pages(&c);
	if (!c.stop)
		check_guards(&c);
	if (!c.stop)
		collect_pruned(&c);
	if (!c.stop)
		check_chain(&c);
	if (!c.stop)
		check_unlinked(&c);
	if (!c.stop)
		check_artifacts(&c);
	if (!c.stop)
		check_orphans(&c);
	if (!c.stop)
		check_summaries(&c);
	if (!c.stop)
		check_tallies(&c);
	if (!c.stop)
		check_search(&c);
	free(c.pruned);
	*problems = c.problems;
	return 0;
}

/* ---- backup ---- */

int store_backup(struct store *s, const char *path, struct err *e)
{
	struct tip now;

	if (!*path)
		return err_set(e, ERR_USAGE, "the name of the copy was expected, got nothing");
	if (store_copy(s, path, "backup", e) < 0)
		return -1;
	/* as far as the copy reaches at least */
	if (store_tip(s, &now, NULL) == 0 && now.seq) {
		struct store_options o = { .vfs = s->o.vfs };
		struct store *copy = store_open(path, STORE_READ, &o, NULL);
		if (copy && store_tip(copy, &now, NULL) == 0)
			head_write(copy->file, copy->id, &now, true);
		store_close(copy);
	}
	return 0;
}

/* ---- prune ---- */

static const char *const rebuildable[] = { "brep", "step", "stl", "view" };

/* The turns of the prune, in a table of this connection's own. */
static int choose_turns(struct store *s, const struct store_prune *p, struct err *e)
{
	if (store_do(s, e, "CREATE TEMP TABLE IF NOT EXISTS chosen (id INTEGER PRIMARY KEY)", "") <
	            0 ||
	    store_do(s, e, "DELETE FROM temp.chosen", "") < 0)
		return -1;
	return store_do(s, e,
	                "INSERT INTO temp.chosen SELECT t.id FROM turns t JOIN episodes x ON "
	                "x.id = t.episode WHERE (?1 = 0 OR t.committed_us < ?1) AND "
	                "(?2 = 0 OR t.episode = ?2) AND (?3 = 0 OR t.number IS NOT x.best)",
	                "iii", p->before_us, p->episode, (int64_t)p->keep_best);
}

#define DROPPED                                                                                    \
	"FROM artifacts a WHERE a.data IS NOT NULL AND a.id IN (SELECT x.artifact FROM "           \
	"turn_artifacts x WHERE x.turn IN (SELECT id FROM temp.chosen) AND x.kind IN (SELECT "     \
	"value FROM json_each(?1))) AND NOT EXISTS (SELECT 1 FROM turn_artifacts y WHERE "         \
	"y.artifact = a.id AND NOT (y.turn IN (SELECT id FROM temp.chosen) AND y.kind IN (SELECT " \
	"value FROM json_each(?1))))"

static int prune_artifacts(struct store *s, const struct store_prune *p, struct store_pruned *out,
                           cJSON *about, struct err *e)
{
	cJSON *kinds = cJSON_AddArrayToObject(about, "kinds");
	const char *const *kind = p->kinds ? p->kinds : rebuildable;
	int n = p->kinds ? p->n_kinds : (int)(sizeof(rebuildable) / sizeof(*rebuildable)), rc;
	struct buf list = { 0 };

	for (int i = 0; i < n; i++) {
		static const char *const stay[] = { "code", "prompt", "completion", "log",
			                            "reward" };
		for (size_t k = 0; k < sizeof(stay) / sizeof(*stay); k++)
			if (strcmp(kind[i], stay[k]) == 0)
				return err_set(
					e, ERR_USAGE,
					"artifacts of kind %s stay: search, repair and "
					"rebuilding read them. Whole episodes can be removed",
					stay[k]);
		cJSON_AddItemToArray(kinds, cJSON_CreateString(kind[i]));
	}
	json_print(&list, kinds);
	rc = buf_failed(&list) ? err_set(e, ERR_MEM, "%s: out of memory", s->file)
	                       : choose_turns(s, p, e);
	if (rc == 0)
		rc = store_ask(s, e, &out->artifacts, "SELECT count(*) " DROPPED, "t", list.data);
	if (rc == 0)
		rc = store_ask(s, e, &out->bytes, "SELECT ifnull(sum(length(a.data)), 0) " DROPPED,
		               "t", list.data);
	if (rc == 0)
		rc = store_do(s, e,
		              "UPDATE artifacts SET data = NULL, pruned_us = ?2 WHERE id IN "
		              "(SELECT a.id " DROPPED ")",
		              "ti", list.data, store_now_us());
	buf_release(&list);
	cJSON_AddNumberToObject(about, "artifacts", (double)out->artifacts);
	return rc;
}

static int prune_episodes(struct store *s, const struct store_prune *p, struct store_pruned *out,
                          cJSON *about, struct err *e)
{
	static const char *const steps[] = {
		"INSERT INTO search (search, rowid, prompt, program, log, notes) SELECT 'delete', id, "
		"prompt, program, log, notes FROM search_text WHERE id IN (SELECT t.id FROM turns t "
		"WHERE t.episode IN (SELECT id FROM temp.chosen))",
		"INSERT INTO judgement_search (judgement_search, rowid, note, tags) SELECT 'delete', "
		"j.id, j.note, j.tags FROM judgements j JOIN turns t ON t.id = j.turn "
		"WHERE t.episode IN (SELECT id FROM temp.chosen)",
		"DELETE FROM judgements WHERE turn IN (SELECT t.id FROM turns t WHERE t.episode IN "
		"(SELECT id FROM temp.chosen))",
		"DELETE FROM notes WHERE turn IN (SELECT t.id FROM turns t WHERE t.episode IN "
		"(SELECT id FROM temp.chosen))",
		"DELETE FROM turn_artifacts WHERE turn IN (SELECT t.id FROM turns t WHERE t.episode IN "
		"(SELECT id FROM temp.chosen))",
		"DELETE FROM events WHERE episode IN (SELECT id FROM temp.chosen)",
		"DELETE FROM flights WHERE episode IN (SELECT id FROM temp.chosen)",
		"DELETE FROM run_samples WHERE episode IN (SELECT id FROM temp.chosen)",
	};
	cJSON *list = cJSON_AddArrayToObject(about, "episodes");
	sqlite3_stmt *q;
	int rc;

	if (store_do(s, e, "CREATE TEMP TABLE IF NOT EXISTS chosen (id INTEGER PRIMARY KEY)", "") <
	            0 ||
	    store_do(s, e, "DELETE FROM temp.chosen", "") < 0 ||
	    store_do(s, e,
	             "INSERT INTO temp.chosen SELECT id FROM episodes WHERE "
	             "(?1 = 0 OR last_us < ?1) AND (?2 = 0 OR id = ?2) AND NOT EXISTS "
	             "(SELECT 1 FROM flights f WHERE f.episode = episodes.id)",
	             "ii", p->before_us, p->episode) < 0)
		return -1;
	q = store_sql(s, "SELECT id FROM temp.chosen ORDER BY id", e);
	if (!q)
		return -1;
	while ((rc = store_step(s, q, e)) > 0) {
		cJSON_AddItemToArray(list, cJSON_CreateNumber((double)sqlite3_column_int64(q, 0)));
		out->episodes++;
	}
	if (rc < 0)
		return -1;
	if (store_ask(s, e, &out->turns,
	              "SELECT count(*) FROM turns WHERE episode IN (SELECT id FROM temp.chosen)",
	              "") < 0)
		return -1;
	if (store_tally_forget(s, e) < 0)
		return -1;
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++)
		if (store_do(s, e, steps[i], "") < 0)
			return -1;
	/* before turns and episodes go: only what nobody else refers to */
	if (store_ask(s, e, &out->artifacts,
	              "SELECT count(*) FROM artifacts a WHERE NOT EXISTS (SELECT 1 FROM "
	              "turn_artifacts x WHERE x.artifact = a.id)",
	              "") < 0 ||
	    store_ask(s, e, &out->bytes,
	              "SELECT ifnull(sum(length(a.data)), 0) FROM artifacts a WHERE NOT EXISTS "
	              "(SELECT 1 FROM turn_artifacts x WHERE x.artifact = a.id)",
	              "") < 0 ||
	    store_do(s, e,
	             "DELETE FROM artifacts WHERE NOT EXISTS (SELECT 1 FROM turn_artifacts x "
	             "WHERE x.artifact = artifacts.id)",
	             "") < 0 ||
	    store_do(s, e, "DELETE FROM turns WHERE episode IN (SELECT id FROM temp.chosen)", "") <
	            0 ||
	    store_do(s, e, "DELETE FROM episodes WHERE id IN (SELECT id FROM temp.chosen)", "") < 0)
		return -1;
	return 0;
}

int store_prune(struct store *s, const struct store_prune *p, struct store_pruned *out,
                struct err *e)
{
	cJSON *about = cJSON_CreateObject();
	struct buf text = { 0 };
	unsigned char digest[SHA256_BYTES];
	bool nothing;
	int rc;

	*out = (struct store_pruned){ 0 };
	if (!about)
		return err_set(e, ERR_MEM, "%s: out of memory", s->file);
	if (store_begin(s, e) < 0) {
		cJSON_Delete(about);
		return -1;
	}
	rc = store_do(s, e, "INSERT INTO pruning (now) VALUES (1)", "");
	if (rc == 0)
		rc = p->whole_episodes ? prune_episodes(s, p, out, about, e)
		                       : prune_artifacts(s, p, out, about, e);
	nothing = !out->artifacts && !out->episodes;
	if (p->before_us)
		cJSON_AddNumberToObject(about, "before_us", (double)p->before_us);
	if (p->why)
		json_add_text(about, "why", p->why);
	json_print(&text, about);
	if (rc == 0 && buf_failed(&text))
		rc = err_set(e, ERR_MEM, "%s: out of memory", s->file);
	if (rc == 0 && !nothing && !p->dry_run) {
		rc = store_digest(s, "prune", 0, text.data, digest, e) < 0 ? -1 : 0;
		if (rc == 0)
			rc = store_link_add(s, "prune", 0, text.data, digest, e);
	}
	if (rc == 0)
		rc = store_do(s, e, "DELETE FROM pruning", "");
	if (rc == 0 && (p->dry_run || nothing))
		store_end(s, -1, e);
	else
		rc = store_end(s, rc, e);
	if (rc == 0 && !p->dry_run && !nothing) {
		/* what is free goes back to the file system; what cannot now, the next time */
		sqlite3_exec(s->db, "PRAGMA incremental_vacuum", NULL, NULL, NULL);
		store_at(s, "checkpoint");
		sqlite3_wal_checkpoint_v2(s->db, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
		store_at(s, "checkpointed");
	}
	buf_release(&text);
	cJSON_Delete(about);
	return rc;
}

/* ---- statistics ---- */

static int add_number(struct store *s, cJSON *o, const char *key, const char *sql, struct err *e)
{
	int64_t v = 0;

	if (store_ask(s, e, &v, sql, "") < 0)
		return -1;
	cJSON_AddNumberToObject(o, key, (double)v);
	return 0;
}

static double file_bytes(const char *file, const char *end)
{
	struct buf path = { 0 };
	struct stat st;
	double v = 0;

	buf_printf(&path, "%s%s", file, end);
	if (!buf_failed(&path) && stat(path.data, &st) == 0)
		v = (double)st.st_size;
	buf_release(&path);
	return v;
}

static int add_kinds(struct store *s, cJSON *artifacts, struct err *e)
{
	cJSON *kinds = cJSON_AddObjectToObject(artifacts, "by_kind");
	sqlite3_stmt *q = store_sql(s,
	                            "SELECT x.kind, count(DISTINCT a.id), "
	                            "sum(a.bytes), sum(length(a.data)) FROM artifacts a JOIN "
	                            "(SELECT artifact, min(kind) AS kind FROM turn_artifacts "
	                            "GROUP BY artifact) x ON x.artifact = a.id GROUP BY x.kind "
	                            "ORDER BY x.kind",
	                            e);
	int rc;

	if (!q)
		return -1;
	while ((rc = store_step(s, q, e)) > 0) {
		cJSON *k = cJSON_AddObjectToObject(kinds, store_column_text(q, 0));
		cJSON_AddNumberToObject(k, "count", (double)sqlite3_column_int64(q, 1));
		cJSON_AddNumberToObject(k, "bytes", (double)sqlite3_column_int64(q, 2));
		cJSON_AddNumberToObject(k, "stored_bytes", (double)sqlite3_column_int64(q, 3));
	}
	return rc;
}

static int add_tasks(struct store *s, cJSON *o, struct err *e)
{
	cJSON *tasks = cJSON_AddArrayToObject(o, "tasks");
	sqlite3_stmt *q = store_sql(s,
	                            "SELECT task, count(*), sum(turns), max(best_total), "
	                            "avg(best_total) FROM episodes GROUP BY task ORDER BY task",
	                            e);
	int rc;

	if (!q)
		return -1;
	while ((rc = store_step(s, q, e)) > 0) {
		cJSON *t = cJSON_CreateObject();
		json_add_text(t, "task", store_column_text(q, 0));
		cJSON_AddNumberToObject(t, "episodes", (double)sqlite3_column_int64(q, 1));
		cJSON_AddNumberToObject(t, "turns", (double)sqlite3_column_int64(q, 2));
		json_add_figure(t, "best", store_column_figure(q, 3));
		json_add_figure(t, "mean_best", store_column_figure(q, 4));
		cJSON_AddItemToArray(tasks, t);
	}
	return rc;
}

cJSON *store_stats(struct store *s, struct err *e)
{
	cJSON *o = cJSON_CreateObject(), *artifacts, *head;
	char hex[SHA256_HEX], when[32];
	int64_t time_us = 0;
	struct tip now;

	json_add_text(o, "file", s->file);
	json_add_text(o, "store", s->id);
	if (add_number(s, o, "version", "PRAGMA user_version", e) < 0)
		goto fail;
	cJSON_AddNumberToObject(o, "bytes", file_bytes(s->file, ""));
	cJSON_AddNumberToObject(o, "wal_bytes", file_bytes(s->file, "-wal"));
	if (add_number(s, o, "sessions", "SELECT count(*) FROM sessions", e) < 0 ||
	    add_number(s, o, "episodes", "SELECT count(*) FROM episodes", e) < 0 ||
	    add_number(s, o, "turns", "SELECT count(*) FROM turns", e) < 0 ||
	    add_number(s, o, "events", "SELECT count(*) FROM events", e) < 0 ||
	    add_number(s, o, "notes", "SELECT count(*) FROM notes", e) < 0 ||
	    add_number(s, o, "judgements", "SELECT count(*) FROM judgements", e) < 0 ||
	    add_number(s, o, "runs", "SELECT count(*) FROM runs", e) < 0 ||
	    add_number(s, o, "steps", "SELECT count(*) FROM steps", e) < 0 ||
	    add_number(s, o, "samples", "SELECT count(*) FROM run_samples", e) < 0 ||
	    add_number(s, o, "rollouts", "SELECT count(*) FROM rollouts", e) < 0 ||
	    add_number(s, o, "curriculum", "SELECT count(*) FROM curriculum", e) < 0)
		goto fail;
	artifacts = cJSON_AddObjectToObject(o, "artifacts");
	if (add_number(s, artifacts, "count", "SELECT count(*) FROM artifacts", e) < 0 ||
	    add_number(s, artifacts, "pruned", "SELECT count(*) FROM artifacts WHERE data IS NULL",
	               e) < 0 ||
	    add_number(s, artifacts, "bytes", "SELECT ifnull(sum(bytes), 0) FROM artifacts", e) <
	            0 ||
	    add_number(s, artifacts, "stored_bytes",
	               "SELECT ifnull(sum(length(data)), 0) FROM artifacts", e) < 0 ||
	    add_kinds(s, artifacts, e) < 0 || add_tasks(s, o, e) < 0 || store_tip(s, &now, e) < 0 ||
	    store_ask(s, e, &time_us, "SELECT time_us FROM links ORDER BY seq DESC LIMIT 1", "") <
	            0)
		goto fail;
	head = cJSON_AddObjectToObject(o, "head");
	hex_of(hex, now.hash);
	store_utc_time(when, sizeof(when), time_us);
	cJSON_AddNumberToObject(head, "links", (double)now.seq);
	json_add_text(head, "hash", hex);
	json_add_text(head, "time", when);
	return o;
fail:
	cJSON_Delete(o);
	return NULL;
}
