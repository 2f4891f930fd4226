/*
 * store_tally.c - sums over turns, kept with each commit; and what the curriculum was told by hand.
 *
 * The sums are no record: they follow from the turns, and fsck compares them and makes them anew.
 * What is counted under one key is said once, by the view tally_keys.
 */
#include "src/store_inside.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define KEYS "task, profile, prompts, source, model, adapter, sampling, repairs, class"

/* ---- writing ---- */

int store_tally_turn(struct store *s, int64_t turn, struct err *e)
{
	int64_t tally = 0;

	if (store_ask(s, e, &tally,
	              "INSERT INTO tallies (" KEYS
	              ", turns, built, scored, total, best, best_turn) SELECT " KEYS
	              ", 1, built, total IS NOT NULL, ifnull(total, 0), total, "
	              "iif(total IS NULL, NULL, turn) FROM tally_keys WHERE turn = ?1 "
	              "ON CONFLICT (" KEYS ") DO UPDATE SET turns = turns + 1, "
	              "built = built + excluded.built, scored = scored + excluded.scored, "
	              "total = total + excluded.total, "
	              "best_turn = iif(excluded.best > ifnull(best, -9e99), excluded.best_turn, "
	              "best_turn), best = iif(excluded.best > ifnull(best, -9e99), "
	              "excluded.best, best) RETURNING id",
	              "i", turn) < 0 ||
	    store_do(s, e, "INSERT INTO tally_turns (turn, tally) VALUES (?1, ?2)", "ii", turn,
	             tally) < 0)
		return -1;
	return store_do(s, e,
	                "INSERT INTO repairs (class, turn, built) SELECT repairs, turn, built "
	                "FROM tally_keys WHERE turn = ?1 AND repairs <> ''",
	                "i", turn);
}

/* The sums of the tallies in temp.touched, from the turns that they still have. */
#define SUMS                                                                                        \
	"UPDATE tallies SET turns = n.turns, built = n.built, scored = n.scored, total = n.total, " \
	"best = n.best, best_turn = n.best_turn FROM (SELECT y.tally AS tally, "                    \
	"count(*) AS turns, sum(t.built) AS built, count(t.total) AS scored, "                      \
	"ifnull(sum(t.total), 0) AS total, max(t.total) AS best, "                                  \
	"iif(max(t.total) IS NULL, NULL, t.id) AS best_turn FROM tally_turns y "                    \
	"JOIN turns t ON t.id = y.turn WHERE y.tally IN (SELECT id FROM temp.touched) "             \
	"GROUP BY y.tally) n WHERE n.tally = tallies.id"

int store_tally_forget(struct store *s, struct err *e)
{
	static const char *const steps[] = {
		"CREATE TEMP TABLE IF NOT EXISTS touched (id INTEGER PRIMARY KEY)",
		"DELETE FROM temp.touched",
		"INSERT OR IGNORE INTO temp.touched SELECT y.tally FROM tally_turns y "
		"JOIN turns t ON t.id = y.turn WHERE t.episode IN (SELECT id FROM temp.chosen)",
		"DELETE FROM repairs WHERE turn IN (SELECT t.id FROM turns t WHERE t.episode IN "
		"(SELECT id FROM temp.chosen))",
		"DELETE FROM tally_turns WHERE turn IN (SELECT t.id FROM turns t WHERE t.episode IN "
		"(SELECT id FROM temp.chosen))",
		SUMS,
		"DELETE FROM tallies WHERE id IN (SELECT id FROM temp.touched) AND NOT EXISTS "
		"(SELECT 1 FROM tally_turns y WHERE y.tally = tallies.id)",
	};

	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++)
		if (store_do(s, e, steps[i], "") < 0)
			return -1;
	return 0;
}

#define SAME_KEY                                                                                   \
	"y.task = k.task AND y.profile = k.profile AND y.prompts = k.prompts AND "                 \
	"y.source = k.source AND y.model = k.model AND y.adapter = k.adapter AND "                 \
	"y.sampling = k.sampling AND y.repairs = k.repairs AND y.class = k.class"

int store_tally_rebuild(struct store *s, struct err *e)
{
	static const char *const steps[] = {
		"DELETE FROM repairs",
		"DELETE FROM tally_turns",
		"DELETE FROM tallies",
		"INSERT INTO tallies (" KEYS
		", turns, built, scored, total, best, best_turn) SELECT " KEYS
		", count(*), sum(built), count(total), ifnull(sum(total), 0), max(total), "
		"iif(max(total) IS NULL, NULL, turn) FROM tally_keys GROUP BY " KEYS,
		"INSERT INTO tally_turns (turn, tally) SELECT k.turn, (SELECT y.id FROM tallies y "
		"WHERE " SAME_KEY ") FROM tally_keys k",
		"INSERT INTO repairs (class, turn, built) SELECT repairs, turn, built "
		"FROM tally_keys WHERE repairs <> ''",
	};

	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++)
		if (store_do(s, e, steps[i], "") < 0)
			return -1;
	return 0;
}

int store_tally_agrees(struct store *s, struct err *e)
{
	/* a sum of doubles depends on the order in which it was made, in its last digits alone */
	static const char *const wrong[] = {
		"SELECT 1 FROM tally_keys k LEFT JOIN tally_turns y ON y.turn = k.turn "
		"LEFT JOIN tallies w ON w.id = y.tally WHERE w.id IS NULL OR (w.task, w.profile, "
		"w.prompts, w.source, w.model, w.adapter, w.sampling, w.repairs, w.class) IS NOT "
		"(k.task, k.profile, k.prompts, k.source, k.model, k.adapter, k.sampling, "
		"k.repairs, k.class) LIMIT 1",
		"SELECT 1 FROM tallies w LEFT JOIN (SELECT y.tally AS tally, count(*) AS turns, "
		"sum(t.built) AS built, count(t.total) AS scored, ifnull(sum(t.total), 0) AS total, "
		"max(t.total) AS best FROM tally_turns y JOIN turns t ON t.id = y.turn "
		"GROUP BY y.tally) n ON n.tally = w.id WHERE w.turns IS NOT n.turns OR "
		"w.built IS NOT n.built OR w.scored IS NOT n.scored OR w.best IS NOT n.best OR "
		"abs(w.total - n.total) > 1e-9 * (1 + w.turns) LIMIT 1",
		"SELECT 1 FROM tallies w LEFT JOIN turns t ON t.id = w.best_turn "
		"WHERE w.best IS NOT t.total LIMIT 1",
		"SELECT 1 FROM tally_keys k LEFT JOIN repairs r ON r.class = k.repairs AND "
		"r.turn = k.turn WHERE k.repairs <> '' AND r.built IS NOT k.built LIMIT 1",
		"SELECT 1 FROM (SELECT count(*) AS n FROM repairs) a, (SELECT count(*) AS n FROM "
		"tally_keys WHERE repairs <> '') b WHERE a.n <> b.n",
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		int64_t found = 0;
		if (store_ask(s, e, &found, wrong[i], "") < 0)
			return -1;
		if (found)
			return 0;
	}
	return 1;
}

static const char *const hand_names[] = { "free", "pin", "ban", "weight" };

const char *store_hand_name(enum store_hand h)
{
	return hand_names[h];
}

int store_hand_add(struct store *s, const struct store_hand_new *n, int64_t *id, struct err *e)
{
	int64_t seq = 0, made = 0;
	int rc;

	if (!n->class_name || !*n->class_name)
		return err_set(e, ERR_INPUT, "the failure class is missing");
	if (!n->as || !*n->as)
		return err_set(e, ERR_INPUT, "the name of who says it is missing");
	if (n->change == STORE_HAND_WEIGHT && !(n->weight >= 0 && isfinite(n->weight)))
		return err_set(e, ERR_USAGE, "a weight of 0 or more was expected, got %g",
		               n->weight);
	if (store_begin(s, e) < 0)
		return -1;
	rc = store_link_next(s, &seq, e);
	if (rc == 0)
		rc = store_do(
			s, e,
			"INSERT INTO curriculum (time_us, \"as\", class, change, weight, "
			"why, session, link) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
			"itttdtii", store_now_us(), n->as, n->class_name, hand_names[n->change],
			n->change == STORE_HAND_WEIGHT ? n->weight : NAN, n->why, s->session, seq);
	if (rc == 0) {
		made = sqlite3_last_insert_rowid(s->db);
		rc = store_link_row(s, "curriculum", made, n->class_name, e);
	}
	rc = store_end(s, rc, e);
	if (rc == 0 && id)
		*id = made;
	return rc;
}

/* ---- reading ---- */

#define TALLY "SELECT id, " KEYS ", turns, built, scored, total, best, best_turn FROM tallies "

static int tell_tallies(struct store *s, sqlite3_stmt *q, store_tally_fn fn, void *ctx,
                        struct err *e)
{
	int rc;

	while ((rc = store_step(s, q, e)) > 0) {
		struct store_tally row = {
			.id = sqlite3_column_int64(q, 0),
			.task = store_column_text(q, 1),
			.profile = store_column_text(q, 2),
			.prompts = store_column_text(q, 3),
			.source = store_column_text(q, 4),
			.model = store_column_text(q, 5),
			.adapter = store_column_text(q, 6),
			.sampling = store_column_text(q, 7),
			.repairs = store_column_text(q, 8),
			.class_name = store_column_text(q, 9),
			.turns = sqlite3_column_int64(q, 10),
			.built = sqlite3_column_int64(q, 11),
			.scored = sqlite3_column_int64(q, 12),
			.total = sqlite3_column_int64(q, 12) ? store_column_figure(q, 13) : NAN,
			.best = store_column_figure(q, 14),
			.best_turn = sqlite3_column_int64(q, 15),
		};
		if (fn(ctx, &row))
			break;
	}
	sqlite3_reset(q);
	return rc < 0 ? -1 : 0;
}

int store_tallies(struct store *s, int64_t after, int limit, store_tally_fn fn, void *ctx,
                  struct err *e)
{
	sqlite3_stmt *q = store_sql(s, TALLY "WHERE id > ?1 ORDER BY id LIMIT ?2", e);

	if (!q || store_bind(s, q, e, "ii", after, (int64_t)limit) < 0)
		return -1;
	return tell_tallies(s, q, fn, ctx, e);
}

int store_tally(struct store *s, int64_t id, store_tally_fn fn, void *ctx, struct err *e)
{
	sqlite3_stmt *q = store_sql(s, TALLY "WHERE id = ?1", e);

	if (!q || store_bind(s, q, e, "i", id) < 0)
		return -1;
	return tell_tallies(s, q, fn, ctx, e);
}

#define OUTCOME "t.id, y.tally, t.episode, t.number, t.built, t.total"

static int tell_outcomes(struct store *s, sqlite3_stmt *q, store_outcome_fn fn, void *ctx,
                         struct err *e)
{
	int rc;

	while ((rc = store_step(s, q, e)) > 0) {
		struct store_outcome row = {
			.id = sqlite3_column_int64(q, 0),
			.tally = sqlite3_column_int64(q, 1),
			.episode = sqlite3_column_int64(q, 2),
			.turn = sqlite3_column_int(q, 3),
			.built = sqlite3_column_int(q, 4) != 0,
			.total = store_column_figure(q, 5),
		};
		if (fn(ctx, &row))
			break;
	}
	sqlite3_reset(q);
	return rc < 0 ? -1 : 0;
}

int store_outcomes(struct store *s, int64_t after, int limit, store_outcome_fn fn, void *ctx,
                   struct err *e)
{
	sqlite3_stmt *q = store_sql(
		s,
		"SELECT " OUTCOME " FROM (SELECT turn, tally FROM tally_turns WHERE turn > ?1 "
		"ORDER BY turn LIMIT ?2) y CROSS JOIN turns t ON t.id = y.turn ORDER BY y.turn",
		e);

	if (!q || store_bind(s, q, e, "ii", after, (int64_t)limit) < 0)
		return -1;
	return tell_outcomes(s, q, fn, ctx, e);
}

int store_tally_turns(struct store *s, int64_t tally, int64_t before, int limit, int64_t *ids,
                      struct err *e)
{
	sqlite3_stmt *q = store_sql(s,
	                            "SELECT turn FROM tally_turns WHERE tally = ?1 AND turn < ?2 "
	                            "ORDER BY turn DESC LIMIT ?3",
	                            e);
	int n = 0, rc;

	if (!q ||
	    store_bind(s, q, e, "iii", tally, before ? before : INT64_MAX, (int64_t)limit) < 0)
		return -1;
	while ((rc = store_step(s, q, e)) > 0)
		ids[n++] = sqlite3_column_int64(q, 0);
	return rc < 0 ? -1 : n;
}

int store_outcome(struct store *s, int64_t id, store_outcome_fn fn, void *ctx, struct err *e)
{
	sqlite3_stmt *q = store_sql(s,
	                            "SELECT " OUTCOME " FROM tally_turns y JOIN turns t "
	                            "ON t.id = y.turn WHERE y.turn = ?1",
	                            e);

	if (!q || store_bind(s, q, e, "i", id) < 0)
		return -1;
	return tell_outcomes(s, q, fn, ctx, e);
}

int store_newest_turn(struct store *s, int newer, int64_t *id, struct err *e)
{
	*id = 0;
	return store_ask(s, e, id,
	                 "SELECT turn FROM tally_turns ORDER BY turn DESC LIMIT 1 OFFSET ?1", "i",
	                 (int64_t)newer);
}

int store_turn_ref(struct store *s, int64_t id, int64_t *episode, int *turn, struct err *e)
{
	int64_t number = 0;

	*episode = 0;
	if (store_ask(s, e, episode, "SELECT episode FROM turns WHERE id = ?1", "i", id) < 0 ||
	    store_ask(s, e, &number, "SELECT number FROM turns WHERE id = ?1", "i", id) < 0)
		return -1;
	*turn = (int)number;
	return *episode ? 0 : err_set(e, ERR_INPUT, "%s: that turn is not there any more", s->file);
}

int store_run_outcomes(struct store *s, int64_t run, store_outcome_fn fn, void *ctx, struct err *e)
{
	int64_t there = 0, last = 0;
	sqlite3_stmt *q;

	if (store_ask(s, e, &there, "SELECT 1 FROM runs WHERE id = ?1", "i", run) < 0)
		return -1;
	if (!there) {
		if (store_ask(s, e, &last, "SELECT max(id) FROM runs", "") < 0)
			return -1;
		return last ? err_set(e, ERR_INPUT,
		                      "%s: there is no run %" PRId64
		                      ": they are numbered from 1 to %" PRId64,
		                      s->file, run, last)
		            : err_set(e, ERR_INPUT,
		                      "%s: there is no run %" PRId64 ", nor any other yet", s->file,
		                      run);
	}
	q = store_sql(s,
	              "SELECT " OUTCOME " FROM episodes x JOIN turns t ON t.episode = x.id "
	              "JOIN tally_turns y ON y.turn = t.id WHERE x.run = ?1 ORDER BY t.id",
	              e);
	if (!q || store_bind(s, q, e, "i", run) < 0)
		return -1;
	return tell_outcomes(s, q, fn, ctx, e);
}

int store_repairs(struct store *s, const char *class_name, int limit, store_outcome_fn fn,
                  void *ctx, struct err *e)
{
	sqlite3_stmt *q = store_sql(s,
	                            "SELECT t.id, 0, t.episode, t.number, t.built, NULL FROM "
	                            "(SELECT turn FROM repairs WHERE class = ?1 "
	                            "ORDER BY turn DESC LIMIT ?2) r "
	                            "CROSS JOIN turns t ON t.id = r.turn ORDER BY t.id DESC",
	                            e);

	if (!q || store_bind(s, q, e, "ti", class_name, (int64_t)limit) < 0)
		return -1;
	return tell_outcomes(s, q, fn, ctx, e);
}

int store_runs(struct store *s, int64_t id, int limit, store_run_fn fn, void *ctx, struct err *e)
{
	sqlite3_stmt *q =
		store_sql(s,
	                  "SELECT id, started_us, ended_us, kind, settings, outcome FROM runs "
	                  "WHERE (?1 = 0 OR id = ?1) ORDER BY id DESC LIMIT ?2",
	                  e);
	int rc;

	if (!q || store_bind(s, q, e, "ii", id, (int64_t)limit) < 0)
		return -1;
	while ((rc = store_step(s, q, e)) > 0) {
		struct store_run row = {
			.id = sqlite3_column_int64(q, 0),
			.started_us = sqlite3_column_int64(q, 1),
			.ended_us = sqlite3_column_int64(q, 2),
			.kind = store_column_text(q, 3),
			.settings = store_column_text(q, 4),
			.outcome = store_column_text(q, 5),
		};
		if (fn(ctx, &row))
			break;
	}
	sqlite3_reset(q);
	return rc < 0 ? -1 : 0;
}

int store_hands(struct store *s, store_hand_fn fn, void *ctx, struct err *e)
{
	sqlite3_stmt *q = store_sql(
		s,
		"SELECT id, time_us, \"as\", class, change, weight, why FROM curriculum ORDER BY id",
		e);
	int rc;

	if (!q)
		return -1;
	while ((rc = store_step(s, q, e)) > 0) {
		const char *change = store_column_text(q, 4);
		struct store_hand_row row = {
			.id = sqlite3_column_int64(q, 0),
			.time_us = sqlite3_column_int64(q, 1),
			.as = store_column_text(q, 2),
			.class_name = store_column_text(q, 3),
			.weight = store_column_figure(q, 5),
			.why = store_column_text(q, 6),
		};
		for (int i = 0; i < 4; i++)
			if (change && strcmp(change, hand_names[i]) == 0)
				row.change = (enum store_hand)i;
		if (fn(ctx, &row))
			break;
	}
	sqlite3_reset(q);
	return rc < 0 ? -1 : 0;
}
