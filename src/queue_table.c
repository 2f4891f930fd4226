#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/clock.h"
#include "src/base/json.h"
#include "src/queue_inside.h"

enum { ROWS_MAX = 512 };
#define AWAY_S 2.0

struct listing;

struct row_wanted {
	struct listing *l;
	int i;
};

struct listing {
	struct queue_table *to;
	struct row_wanted wanted[ROWS_MAX];
	struct redis *r;
	bool up;
	int asked;
	double began_s, now_s, seen_s[ROWS_MAX], oldest_ms;
	long long entries, pending;
	struct err away;
};

static void on_up(void *ctx)
{
	struct listing *l = ctx;

	l->up = true;
}

static void on_down(void *ctx, const struct err *why)
{
	struct listing *l = ctx;

	l->away = *why;
	l->up = false;
}

/* A text of another machine's: printable ASCII alone. */
static void plain(char *out, size_t size, const char *text)
{
	size_t n = 0;

	for (; *text && n + 1 < size; text++)
		out[n++] = *text >= ' ' && *text < 127 ? *text : '?';
	out[n] = '\0';
}

static void on_time(void *ctx, const struct redisReply *reply)
{
	struct listing *l = ctx;

	l->asked--;
	l->now_s = strtod(reply_text(reply_at(reply, 0), NULL), NULL) +
	           1e-6 * strtod(reply_text(reply_at(reply, 1), NULL), NULL);
}

static void on_versions(void *ctx, const struct redisReply *reply)
{
	struct listing *l = ctx;

	l->asked--;
	plain(l->to->versions, sizeof(l->to->versions), reply_text(reply, NULL));
}

/* [name, seconds, name, seconds, ...], the newest first */
static void on_names(void *ctx, const struct redisReply *reply)
{
	struct listing *l = ctx;

	l->asked--;
	for (size_t i = 0; reply && reply->type == REDIS_REPLY_ARRAY && i + 1 < reply->elements &&
	                   l->to->n < ROWS_MAX;
	     i += 2) {
		struct queue_row *more =
			realloc(l->to->row, sizeof(*more) * (size_t)(l->to->n + 1));
		if (!more)
			return;
		l->to->row = more;
		l->seen_s[l->to->n] = strtod(reply_text(reply_at(reply, i + 1), NULL), NULL);
		more[l->to->n] = (struct queue_row){ .seen_s = NAN };
		plain(more[l->to->n++].name, QUEUE_NAME_MAX, reply_text(reply_at(reply, i), NULL));
	}
}

static void on_row(void *ctx, const struct redisReply *reply)
{
	struct row_wanted *n = ctx;
	struct listing *l = n->l;
	struct queue_row *r = &l->to->row[n->i];
	size_t len;
	const char *text = reply_text(reply, &len);

	l->asked--;
	cJSON *o = len ? json_parse_bounded(text, len, 200, NULL) : NULL;
	plain(r->host, sizeof(r->host), json_string_or(o, "host", "?"));
	plain(r->model, sizeof(r->model), json_string_or(o, "model", ""));
	plain(r->versions, sizeof(r->versions), json_string_or(o, "versions", ""));
	plain(r->kind, sizeof(r->kind), json_string_or(o, "kind", ""));
	plain(r->about, sizeof(r->about), json_string_or(o, "about", ""));
	const struct {
		const char *key;
		long long *to;
	} counts[] = {
		{ "jobs", &r->jobs },     { "built", &r->built }, { "failed", &r->failed },
		{ "lost", &r->lost },     { "bytes", &r->bytes }, { "taken_over", &r->taken_over },
		{ "poison", &r->poison },
	};
	for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
		double v = json_number_or(o, counts[i].key, 0);
		*counts[i].to = v > 0 && v < 1e15 ? (long long)v : 0;
	}
	double pid = json_number_or(o, "pid", 0), at_once = json_number_or(o, "at_once", 0),
	       under_way = json_number_or(o, "under_way", 0);
	r->pid = pid > 0 && pid < 1e9 ? (int)pid : 0;
	r->at_once = at_once > 0 && at_once < 1e6 ? (int)at_once : 0;
	r->under_way = under_way > 0 && under_way < 1e6 ? (int)under_way : 0;
	r->since_s = json_number_or(o, "since_s", NAN);
	r->work_s = json_number_or(o, "work_s", NAN);
	r->cpu_s = json_number_or(o, "cpu_s", NAN);
	r->wait_s = json_number_or(o, "wait_s", NAN);
	const cJSON *took = cJSON_GetObjectItemCaseSensitive(o, "took");
	for (int i = 0; i < QUEUE_PARTS; i++) {
		const cJSON *median = cJSON_GetArrayItem(took, 2 * i),
			    *p95 = cJSON_GetArrayItem(took, 2 * i + 1);
		r->took[i].median_s = cJSON_IsNumber(median) ? median->valuedouble : NAN;
		r->took[i].p95_s = cJSON_IsNumber(p95) ? p95->valuedouble : NAN;
	}
	r->slowest_s = json_number_or(o, "slowest_s", NAN);
	r->per_s = json_number_or(o, "per_s", NAN);
	r->left = json_bool_or(o, "left", false);
	cJSON_Delete(o);
}

static void on_length(void *ctx, const struct redisReply *reply)
{
	struct listing *l = ctx;

	l->asked--;
	if (reply && reply->type == REDIS_REPLY_INTEGER)
		l->entries += reply->integer;
}

static void on_pending(void *ctx, const struct redisReply *reply)
{
	struct listing *l = ctx;
	const struct redisReply *n = reply_at(reply, 0);

	l->asked--;
	if (n && n->type == REDIS_REPLY_INTEGER)
		l->pending += n->integer;
}

/* [[id, ...]]: answered ones are taken out of the stream, so the first is the oldest that waits or
 * is under way, and its id begins with Redis's clock in milliseconds. */
static void on_first(void *ctx, const struct redisReply *reply)
{
	struct listing *l = ctx;
	double ms = strtod(reply_text(reply_at(reply_at(reply, 0), 0), NULL), NULL);

	l->asked--;
	if (ms > 0 && (l->oldest_ms <= 0 || ms < l->oldest_ms))
		l->oldest_ms = ms;
}

static void ask(struct listing *l, redis_answer *answer, void *ctx, int n, const char *const *words)
{
	l->asked++;
	redis_send(l->r, answer, ctx, QUEUE_COMMAND_S, n, words, NULL);
}

static void on_streams(void *ctx, const struct redisReply *reply)
{
	struct listing *l = ctx;

	l->asked--;
	for (size_t i = 0; reply && reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++) {
		const char *key = reply_text(reply_at(reply, i), NULL);
		ask(l, on_length, l, 2, (const char *const[]){ "XLEN", key });
		ask(l, on_pending, l, 3, (const char *const[]){ "XPENDING", key, QUEUE_GROUP });
		ask(l, on_first, l, 6,
		    (const char *const[]){ "XRANGE", key, "-", "+", "COUNT", "1" });
	}
}

static void ask_rows(struct listing *l)
{
	for (int i = 0; i < l->to->n; i++) {
		struct row_wanted *n = &l->wanted[i];
		char key[160];
		*n = (struct row_wanted){ l, i };
		snprintf(key, sizeof(key), QUEUE_KEY "worker:%s", l->to->row[i].name);
		ask(l, on_row, n, 2, (const char *const[]){ "GET", key });
	}
}

static int wait_for(struct listing *l, double until, struct err *e)
{
	while (!l->up || l->asked > 0) {
		struct pollfd p;
		int n = redis_poll_fd(l->r, &p), ms = redis_timeout_ms(l->r);
		if (redis_refused(l->r)) {
			*e = *redis_refused(l->r);
			return -1;
		}
		/* one that is not there may be starting; for a moment it is tried again */
		bool away = l->away.kind && clock_now_s() > l->began_s + AWAY_S;
		if (clock_now_s() > until || (!l->up && (l->asked > 0 || away)))
			return err_set(e, ERR_LACKS, "%s",
			               l->away.kind ? l->away.text
			                            : "Redis did not answer in time");
		poll(&p, (nfds_t)n, ms < 0 || ms > 200 ? 200 : ms);
		redis_step(l->r);
	}
	return 0;
}

enum queue_state queue_row_state(const struct queue_row *r)
{
	if (r->left || !(r->seen_s <= QUEUE_GONE_S))
		return QUEUE_GONE;
	return r->seen_s > QUEUE_LIVE_S ? QUEUE_FROZEN : r->under_way > 0 ? QUEUE_BUSY : QUEUE_LIVE;
}

const char *queue_state_name(enum queue_state s)
{
	static const char *const names[] = { "live", "busy", "frozen", "gone" };

	return names[s];
}

int queue_list(struct queue_table *out, const struct redis_address *a, struct err *e)
{
	struct queue_table t = { 0 };
	struct listing *l = calloc(1, sizeof(*l));
	double until = clock_now_s() + 10;
	int rc = -1;

	if (!l)
		return err_set(e, ERR_MEM, "out of memory");
	l->to = &t;
	l->began_s = clock_now_s();
	const struct redis_ops ops = { .ctx = l, .up = on_up, .down = on_down };
	if (!(l->r = redis_open(a, &ops, e)) || wait_for(l, until, e) < 0)
		goto out;
	ask(l, on_time, l, 1, (const char *const[]){ "TIME" });
	ask(l, on_versions, l, 2, (const char *const[]){ "GET", QUEUE_KEY "versions" });
	ask(l, on_streams, l, 2, (const char *const[]){ "SMEMBERS", QUEUE_KEY "streams" });
	ask(l, on_names, l, 5,
	    (const char *const[]){ "ZREVRANGE", QUEUE_KEY "workers", "0", "511", "WITHSCORES" });
	if (wait_for(l, until, e) < 0)
		goto out;
	ask_rows(l);
	if (wait_for(l, until, e) < 0)
		goto out;
	for (int i = 0; i < t.n; i++) {
		t.row[i].seen_s = fmax(l->now_s - l->seen_s[i], 0);
		t.live += queue_row_state(&t.row[i]) <= QUEUE_BUSY;
	}
	t.oldest_s = l->oldest_ms > 0 ? fmax(l->now_s - l->oldest_ms / 1000, 0) : NAN;
	t.under_way = l->pending;
	t.waiting = l->entries > l->pending ? l->entries - l->pending : 0;
	*out = t;
	t = (struct queue_table){ 0 };
	rc = 0;
out:
	redis_close(l->r);
	queue_table_release(&t);
	free(l);
	return rc;
}

void queue_table_release(struct queue_table *t)
{
	free(t->row);
	*t = (struct queue_table){ 0 };
}
