/*
 * store_rollouts.c - what answers were to a run that learns from its own: the rows of a step are
 * one link of the chain.
 */
#include "src/store_inside.h"

#include <inttypes.h>
#include <stdio.h>

int store_rollouts_add(struct store *s, int64_t run, const struct store_rollout *v, int n,
                       struct err *e)
{
	int64_t first = 1, seq = 0;
	char about[96];

	if (n <= 0)
		return 0;
	if (store_begin(s, e) < 0)
		return -1;
	int rc = store_run_there(s, run, e);
	if (rc == 0)
		rc = store_link_next(s, &seq, e);
	if (rc == 0)
		rc = store_ask(s, e, &first,
		               "SELECT number + 1 FROM rollouts WHERE run = ?1 "
		               "ORDER BY number DESC LIMIT 1",
		               "i", run);
	for (int i = 0; i < n && rc == 0; i++) {
		rc = store_do(
			s, e,
			"INSERT INTO rollouts (run, number, turn, step, \"group\", member, round, "
			"kind, reward, advantage, use, link) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, "
			"?8, ?9, ?10, ?11, ?12)",
			"iiiiiiitddti", run, first + i, v[i].turn_id, v[i].step,
			(int64_t)v[i].group, (int64_t)v[i].member, (int64_t)v[i].round, v[i].kind,
			v[i].reward, v[i].advantage, v[i].use ? v[i].use : "", seq);
		if (rc < 0)
			err_wrap(e, "rollout of turn id %" PRId64 ", step %" PRId64, v[i].turn_id,
			         v[i].step);
	}
	snprintf(about, sizeof(about), "%" PRId64 " %" PRId64 " %" PRId64, run, first,
	         first + n - 1);
	if (rc == 0)
		rc = store_link_row(s, "rollouts", run, about, e);
	return store_end(s, rc, e);
}

/* Of a step that was taken again the later rows hold; and what came after a step that was taken
 * again holds only when it was told after that: the link up to which all earlier steps reach. */
#define HELD                                                                                       \
	"WITH held AS (SELECT step, max(max(link)) OVER (ORDER BY step) AS link FROM rollouts "    \
	"WHERE run = ?1 AND step > 0 AND step <= ?3 GROUP BY step) "

#define ROW                                                                                        \
	"SELECT r.turn, r.step, r.\"group\", r.member, r.round, r.kind, r.reward, "                \
	"r.advantage, r.use, t.episode, t.number, x.task, t.class, p.class, t.built, "             \
	"t.finish = 'length', t.total, t.completion_tokens FROM rollouts r JOIN turns t ON "       \
	"t.id = r.turn JOIN episodes x ON x.id = t.episode LEFT JOIN turns p ON p.episode = "      \
	"t.episode AND p.number = t.parent "

static int tell(struct store *s, sqlite3_stmt *q, store_rollout_fn fn, void *ctx, struct err *e)
{
	int rc;

	while ((rc = store_step(s, q, e)) > 0) {
		struct store_rollout row = {
			.turn_id = sqlite3_column_int64(q, 0),
			.step = sqlite3_column_int64(q, 1),
			.group = sqlite3_column_int(q, 2),
			.member = sqlite3_column_int(q, 3),
			.round = sqlite3_column_int(q, 4),
			.kind = store_column_text(q, 5),
			.reward = store_column_figure(q, 6),
			.advantage = store_column_figure(q, 7),
			.use = store_column_text(q, 8),
			.episode = sqlite3_column_int64(q, 9),
			.turn = sqlite3_column_int(q, 10),
			.task = store_column_text(q, 11),
			.class_name = store_column_text(q, 12),
			.repairs = store_column_text(q, 13),
			.built = sqlite3_column_int(q, 14) != 0,
			.clipped = sqlite3_column_int(q, 15) != 0,
			.total = store_column_figure(q, 16),
			.completion_tokens = sqlite3_column_type(q, 17) == SQLITE_NULL
			                             ? -1
			                             : sqlite3_column_int(q, 17),
		};
		if (fn(ctx, &row))
			break;
	}
	sqlite3_reset(q);
	return rc < 0 ? -1 : 0;
}

int store_rollouts(struct store *s, int64_t run, int64_t from, int64_t to, store_rollout_fn fn,
                   void *ctx, struct err *e)
{
	sqlite3_stmt *q = store_sql(
		s,
		HELD ROW
		"LEFT JOIN held ON held.step = r.step WHERE r.run = ?1 AND r.step BETWEEN ?2 AND "
		"?3 AND (r.step = 0 OR held.link = r.link) ORDER BY r.step, r.\"group\", r.round, r.member, "
		"r.link, r.number",
		e);

	if (!q || store_bind(s, q, e, "iii", run, from, to) < 0)
		return -1;
	return tell(s, q, fn, ctx, e);
}

int store_rollout_of(struct store *s, int64_t episode, int turn, store_rollout_fn fn, void *ctx,
                     struct err *e)
{
	sqlite3_stmt *q = store_sql(s, ROW "WHERE t.episode = ?1 AND t.number = ?2", e);

	if (!q || store_bind(s, q, e, "ii", episode, (int64_t)turn) < 0)
		return -1;
	return tell(s, q, fn, ctx, e);
}
