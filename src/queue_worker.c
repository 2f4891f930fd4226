#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "src/base/clock.h"
#include "src/base/json.h"
#include "src/queue_inside.h"

enum { STREAMS_MAX = 16, USUAL_LEASE_MS = 55000, FOUND_MAX = 64 };
#define BEAT_S      1.0
#define SMALL_BYTES (16 << 10)

/* Lets a worker in, and keeps its row: the answer is {versions of a farm it does not belong to, or
 * "", seconds, microseconds}. KEYS row; ARGV name, versions, live seconds, the row, its kind. */
static const char beat_script[] =
	"local t = redis.call('TIME')\n"
	"local v = redis.call('GET', 'cadforge:versions')\n"
	"if v and v ~= ARGV[2] then\n"
	"  if redis.call('ZCOUNT', 'cadforge:live', t[1] - ARGV[3], '+inf') > 0 then\n"
	"    return { v, t[1], t[2] }\n"
	"  end\n"
	"end\n"
	"if v ~= ARGV[2] then redis.call('SET', 'cadforge:versions', ARGV[2]) end\n"
	"redis.call('ZREMRANGEBYSCORE', 'cadforge:live', '-inf', t[1] - ARGV[3])\n"
	"redis.call('ZREMRANGEBYSCORE', 'cadforge:workers', '-inf', t[1] - 86400)\n"
	"redis.call('ZADD', 'cadforge:live', t[1], ARGV[1])\n"
	"redis.call('ZADD', 'cadforge:live.' .. ARGV[5], t[1], ARGV[1])\n"
	"redis.call('EXPIRE', 'cadforge:live.' .. ARGV[5], 86400)\n"
	"redis.call('ZADD', 'cadforge:workers', t[1], ARGV[1])\n"
	"redis.call('SET', KEYS[1], ARGV[4], 'EX', 86400)\n"
	"return { '', t[1], t[2] }\n";

/* KEYS job, answer, stream; ARGV id, answer, seconds to keep it, hash, group. The first answer
 * stays. */
static const char finish_script[] =
	"redis.call('SET', KEYS[2], ARGV[2], 'NX', 'EX', ARGV[3])\n"
	"for _, f in ipairs(redis.call('HKEYS', KEYS[1])) do\n"
	"  if string.sub(f, 1, 2) == 'w:' then\n"
	"    local done = 'cadforge:done:' .. string.sub(f, 3)\n"
	"    redis.call('XADD', done, 'MAXLEN', '~', 100000, '*', 'hash', ARGV[4])\n"
	"    redis.call('EXPIRE', done, 3600)\n"
	"  end\n"
	"end\n"
	"redis.call('DEL', KEYS[1])\n"
	"redis.call('XACK', KEYS[3], ARGV[5], ARGV[1])\n"
	"redis.call('XDEL', KEYS[3], ARGV[1])\n"
	"return 1\n";

struct stream {
	struct queue_worker *w;
	char key[128], cursor[48];
	int lease_ms;
	bool grouped, claiming, grouping;
	double claim_s; /* when it is looked for jobs of the dead next */
};

/* A blob that was asked for, by one take. */
struct want {
	struct queue_worker *w;
	struct queue_take *t; /* NULL: over by now */
	char sha[SHA256_HEX];
	struct want *next, **at;
};

/* A job that was found with this worker's name on it, or with that of one who died. */
struct found {
	struct stream *s;
	struct queue_take *t;
	struct found *next, **at;
};

struct queue_worker {
	struct redis *main, *ears;
	struct redis_address a;
	struct queue_worker_ops ops;
	struct queue_row row;
	struct stream stream[STREAMS_MAX];
	int n_streams;
	char streams[96]; /* what the names of those it takes from begin with */
	struct queue_take *takes;
	int n_takes, n_found;
	struct want *wants;
	struct found *founds;
	bool stopping, reading, beating, let_in, was_up;
	double beat_s, opened_s, ahead_s /* Redis's clock before ours */;
	double waits_s;
	long long n_waits;
	struct err refused, away;
};

/* ---- takes ---- */

static void take_free(struct queue_take *t)
{
	struct queue_worker *w = t->of;

	for (struct want *n = w->wants; n; n = n->next)
		if (n->t == t)
			n->t = NULL;
	if (t->at) {
		*t->at = t->next;
		if (t->next)
			t->next->at = t->at;
		w->n_takes--;
	}
	buf_release(&t->body);
	buf_release(&t->answer);
	free(t);
}

static struct queue_take *take_of(struct queue_worker *w, const char *id)
{
	struct queue_take *t = w->takes;

	while (t && strcmp(t->id, id) != 0)
		t = t->next;
	return t;
}

/* An entry of a stream: [id, ["hash", H, "body", B]]. NULL: none of ours. */
static struct queue_take *take_read(struct queue_worker *w, const struct stream *s,
                                    const struct redisReply *entry)
{
	const struct redisReply *f = reply_at(entry, 1);
	const char *hash = "", *body = NULL;
	size_t id_len, hash_len = 0, body_len = 0;
	const char *id = reply_text(reply_at(entry, 0), &id_len);

	for (size_t i = 0; f && i + 1 < f->elements; i += 2) {
		const char *name = reply_text(reply_at(f, i), NULL);
		if (strcmp(name, "hash") == 0)
			hash = reply_text(reply_at(f, i + 1), &hash_len);
		else if (strcmp(name, "body") == 0)
			body = reply_text(reply_at(f, i + 1), &body_len);
	}
	if (id_len == 0 || id_len >= sizeof(((struct queue_take *)0)->id) ||
	    !is_hash(hash, hash_len) || !body)
		return NULL;
	struct queue_take *t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	snprintf(t->id, sizeof(t->id), "%s", id);
	snprintf(t->hash, sizeof(t->hash), "%s", hash);
	t->of = w;
	t->lease_ms = s->lease_ms;
	t->renewed_s = clock_now_s();
	buf_add(&t->body, body, body_len);
	/* the first part of the id is Redis's clock, in milliseconds */
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	t->wait_s = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec + w->ahead_s -
	            strtod(t->id, NULL) / 1000;
	if (t->wait_s < 0)
		t->wait_s = 0;
	return t;
}

static void take_begin(struct queue_worker *w, struct queue_take *t)
{
	t->next = w->takes;
	t->at = &w->takes;
	if (t->next)
		t->next->at = &t->next;
	w->takes = t;
	w->n_takes++;
	w->waits_s += t->wait_s;
	w->n_waits++;
	w->ops.take(w->ops.ctx, t);
}

/* ---- answers ---- */

static void on_finished(void *ctx, const struct redisReply *reply)
{
	struct queue_take *t = ctx;

	t->asked--;
	if (reply && reply->type != REDIS_REPLY_ERROR) {
		take_free(t);
		return;
	}
	/* not known whether it arrived: once more, which is harmless */
	t->sent = false;
	t->renewed_s = reply ? clock_now_s() : 0;
	if (reply) {
		char text[200];
		reply_error(reply, text, sizeof(text));
		err_set(&t->of->away, ERR_IO, "%s does not take an answer: %s", t->of->a.shown,
		        text);
	}
}

static void send_answer(struct queue_worker *w, struct queue_take *t)
{
	struct words x = { 0 };
	char job[128], answer[128], stream[128], keep[16];

	snprintf(job, sizeof(job), QUEUE_KEY "job:%s", t->hash);
	snprintf(answer, sizeof(answer), QUEUE_KEY "answer:%s", t->hash);
	snprintf(stream, sizeof(stream), "%s%d", w->streams, t->lease_ms);
	snprintf(keep, sizeof(keep), "%d", t->keep_s);
	words_add(&x, "EVAL");
	words_add(&x, finish_script);
	words_add(&x, "3");
	words_add(&x, job);
	words_add(&x, answer);
	words_add(&x, stream);
	words_add(&x, t->id);
	words_bytes(&x, buf_str(&t->answer), t->answer.len);
	words_add(&x, keep);
	words_add(&x, t->hash);
	words_add(&x, QUEUE_GROUP);
	t->sent = true;
	t->asked++;
	words_send(&x, w->main, on_finished, t, QUEUE_COMMAND_S * 6);
}

void queue_worker_answer(struct queue_worker *w, struct queue_take *t, enum queue_fate fate,
                         struct buf *bytes, const struct err *why, bool fleeting)
{
	struct err e;

	if (fate == QUEUE_ANSWERED && (buf_failed(bytes) || bytes->len > QUEUE_ANSWER_BYTES_MAX)) {
		fate = QUEUE_FAILED;
		err_set(&e, buf_failed(bytes) ? ERR_MEM : ERR_INPUT,
		        "its answer is too large to be sent");
		why = &e;
	}
	if (fate == QUEUE_ANSWERED) {
		buf_addc(&t->answer, 'R');
		buf_add(&t->answer, buf_str(bytes), bytes->len);
		t->keep_s = fleeting ? 10 : bytes->len > SMALL_BYTES ? 120 : 3600;
	} else {
		buf_addc(&t->answer, fate == QUEUE_POISON ? 'P' : 'E');
		buf_addc(&t->answer, (char)('a' + why->kind));
		buf_adds(&t->answer, why->text);
		t->keep_s = fate == QUEUE_POISON ? 3600 : 10;
	}
	if (bytes)
		buf_release(bytes);
	if (buf_failed(&t->answer)) {
		buf_release(&t->answer);
		buf_printf(&t->answer, "E%cout of memory for an answer", 'a' + ERR_MEM);
		t->keep_s = 10;
	}
	t->answered = true;
	t->renewed_s = 0;
	w->row.bytes += (long long)t->answer.len;
	if (redis_is_up(w->main))
		send_answer(w, t);
}

/* ---- blobs ---- */

static void want_free(struct want *n)
{
	*n->at = n->next;
	if (n->next)
		n->next->at = n->at;
	free(n);
}

static void on_blob(void *ctx, const struct redisReply *reply)
{
	struct want *n = ctx;
	struct queue_worker *w = n->w;
	struct queue_take *t = n->t;
	char sha[SHA256_HEX], got[SHA256_HEX];
	size_t len;

	if (!reply)
		return; /* asked again when Redis is back */
	const char *bytes = reply_text(reply, &len);
	memcpy(sha, n->sha, sizeof(sha));
	want_free(n);
	if (!t || t->answered)
		return;
	sha256_hex(bytes, len, got);
	bool good = reply->type == REDIS_REPLY_STRING && strcmp(got, sha) == 0;
	w->ops.blob(w->ops.ctx, t, sha, good ? bytes : NULL, good ? len : 0);
}

static void ask_blob(struct want *n)
{
	struct words x = { 0 };
	char key[128];

	snprintf(key, sizeof(key), QUEUE_KEY "blob:%s", n->sha);
	words_add(&x, "GET");
	words_add(&x, key);
	words_send(&x, n->w->main, on_blob, n, QUEUE_COMMAND_S * 6);
}

void queue_worker_want(struct queue_worker *w, struct queue_take *t, const char *sha)
{
	struct want *n = calloc(1, sizeof(*n));

	if (!n) {
		w->ops.blob(w->ops.ctx, t, sha, NULL, 0);
		return;
	}
	n->w = w;
	n->t = t;
	snprintf(n->sha, sizeof(n->sha), "%s", sha);
	n->next = w->wants;
	n->at = &w->wants;
	if (n->next)
		n->next->at = &n->next;
	w->wants = n;
	if (redis_is_up(w->main))
		ask_blob(n);
}

/* ---- jobs of the dead, and our own that we do not know of ---- */

static void found_free(struct found *n, bool with_take)
{
	*n->at = n->next;
	if (n->next)
		n->next->at = n->at;
	n->s->w->n_found--;
	if (with_take)
		take_free(n->t);
	free(n);
}

/* [[id, consumer, idle, deliveries]] of one that was taken over. */
static void on_deliveries(void *ctx, const struct redisReply *reply)
{
	struct found *n = ctx;
	struct queue_worker *w = n->s->w;
	struct queue_take *t = n->t;
	const struct redisReply *count = reply_at(reply_at(reply, 0), 3);

	if (!count || count->type != REDIS_REPLY_INTEGER || w->stopping || take_of(w, t->id)) {
		found_free(n, true); /* somebody finished it by now, or it is found once more */
		return;
	}
	found_free(n, false);
	t->before = count->integer > 1000 ? 1000 : count->integer < 1 ? 0 : (int)count->integer - 1;
	w->row.taken_over += t->before > 0;
	if (t->before < QUEUE_DEATHS_MAX) {
		take_begin(w, t);
		return;
	}
	struct err why;
	err_set(&why, ERR_LOST,
	        "poison: %d workers took this job and did not come back, so that it is not tried again",
	        t->before);
	t->next = w->takes;
	t->at = &w->takes;
	if (t->next)
		t->next->at = &t->next;
	w->takes = t;
	w->n_takes++;
	w->row.poison++;
	queue_worker_answer(w, t, QUEUE_POISON, NULL, &why, false);
}

static void look_into(struct stream *s, const struct redisReply *entry)
{
	struct queue_worker *w = s->w;
	struct queue_take *t = take_read(w, s, entry);
	struct found *n = t ? calloc(1, sizeof(*n)) : NULL;
	struct words x = { 0 };

	if (!n || take_of(w, t->id)) {
		free(n);
		if (t)
			take_free(t);
		return;
	}
	n->s = s;
	n->t = t;
	n->next = w->founds;
	n->at = &w->founds;
	if (n->next)
		n->next->at = &n->next;
	w->founds = n;
	w->n_found++;
	words_add(&x, "XPENDING");
	words_add(&x, s->key);
	words_add(&x, QUEUE_GROUP);
	words_add(&x, t->id);
	words_add(&x, t->id);
	words_add(&x, "1");
	words_send(&x, w->main, on_deliveries, n, QUEUE_COMMAND_S);
}

/* [cursor, [entries], [ids of entries that are gone]] */
static void on_claimed(void *ctx, const struct redisReply *reply)
{
	struct stream *s = ctx;
	const struct redisReply *entries = reply_at(reply, 1);
	size_t len;
	const char *cursor = reply_text(reply_at(reply, 0), &len);

	s->claiming = false;
	if (len > 0 && len < sizeof(s->cursor))
		snprintf(s->cursor, sizeof(s->cursor), "%s", cursor);
	for (size_t i = 0; entries && i < entries->elements; i++)
		look_into(s, reply_at(entries, i));
}

static int free_slots(const struct queue_worker *w)
{
	int n = w->row.at_once - w->n_found;

	for (const struct queue_take *t = w->takes; t; t = t->next)
		n -= !t->answered;
	return w->stopping ? 0 : n;
}

static void claim(struct stream *s)
{
	struct queue_worker *w = s->w;
	char lease[16], n[16];
	struct words x = { 0 };

	snprintf(lease, sizeof(lease), "%d", s->lease_ms);
	snprintf(n, sizeof(n), "%d", free_slots(w));
	words_add(&x, "XAUTOCLAIM");
	words_add(&x, s->key);
	words_add(&x, QUEUE_GROUP);
	words_add(&x, w->row.name);
	words_add(&x, lease);
	words_add(&x, s->cursor);
	words_add(&x, "COUNT");
	words_add(&x, n);
	s->claiming = true;
	words_send(&x, w->main, on_claimed, s, QUEUE_COMMAND_S);
}

/* One entry, by its id: it bears our name, and what said so was lost with a connection. */
static void on_own_entry(void *ctx, const struct redisReply *reply)
{
	if (reply_at(reply, 0))
		look_into(ctx, reply_at(reply, 0));
}

static void on_own(void *ctx, const struct redisReply *reply)
{
	struct stream *s = ctx;

	for (size_t i = 0; reply && reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++) {
		struct words x = { 0 };
		const char *id = reply_text(reply_at(reply_at(reply, i), 0), NULL);
		if (!*id || take_of(s->w, id))
			continue;
		words_add(&x, "XRANGE");
		words_add(&x, s->key);
		words_add(&x, id);
		words_add(&x, id);
		words_send(&x, s->w->main, on_own_entry, s, QUEUE_COMMAND_S);
	}
}

/* ---- streams ---- */

static void on_grouped(void *ctx, const struct redisReply *reply)
{
	struct stream *s = ctx;
	struct words x = { 0 };
	char n[16];

	s->grouping = false;
	if (!reply ||
	    (reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "BUSYGROUP", 9) != 0))
		return;
	s->grouped = true;
	snprintf(n, sizeof(n), "%d", FOUND_MAX);
	words_add(&x, "XPENDING");
	words_add(&x, s->key);
	words_add(&x, QUEUE_GROUP);
	words_add(&x, "-");
	words_add(&x, "+");
	words_add(&x, n);
	words_add(&x, s->w->row.name);
	words_send(&x, s->w->main, on_own, s, QUEUE_COMMAND_S);
}

static void stream_add(struct queue_worker *w, int lease_ms)
{
	char key[128];

	snprintf(key, sizeof(key), "%s%d", w->streams, lease_ms);
	for (int i = 0; i < w->n_streams; i++)
		if (strcmp(w->stream[i].key, key) == 0)
			return;
	if (w->n_streams == STREAMS_MAX)
		return;
	struct stream *s = &w->stream[w->n_streams++];
	*s = (struct stream){ .w = w, .lease_ms = lease_ms, .cursor = "0-0" };
	memcpy(s->key, key, sizeof(s->key));
}

static void group(struct stream *s)
{
	struct words x = { 0 };

	s->grouping = true;
	words_add(&x, "XGROUP");
	words_add(&x, "CREATE");
	words_add(&x, s->key);
	words_add(&x, QUEUE_GROUP);
	words_add(&x, "0");
	words_add(&x, "MKSTREAM");
	words_send(&x, s->w->main, on_grouped, s, QUEUE_COMMAND_S);
}

static void on_streams(void *ctx, const struct redisReply *reply)
{
	struct queue_worker *w = ctx;
	const char *before = w->streams;
	size_t n = strlen(before);

	for (size_t i = 0; reply && reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++) {
		const char *key = reply_text(reply_at(reply, i), NULL);
		char *end = NULL;
		long ms = strncmp(key, before, n) == 0 ? strtol(key + n, &end, 10) : 0;
		if (ms >= 100 && ms <= 86400000 && !*end)
			stream_add(w, (int)ms);
	}
}

/* ---- reading ---- */

static void on_read(void *ctx, const struct redisReply *reply)
{
	struct queue_worker *w = ctx;

	w->reading = false;
	if (reply && reply->type == REDIS_REPLY_ERROR)
		/* the groups are gone: somebody emptied this Redis */
		for (int i = 0; i < w->n_streams; i++)
			w->stream[i].grouped = false;
	for (size_t i = 0; reply && reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++) {
		const char *key = reply_text(reply_at(reply_at(reply, i), 0), NULL);
		const struct redisReply *entries = reply_at(reply_at(reply, i), 1);
		struct stream *s = w->stream;
		while (s < w->stream + w->n_streams && strcmp(s->key, key) != 0)
			s++;
		for (size_t k = 0; s < w->stream + w->n_streams && entries && k < entries->elements;
		     k++) {
			struct queue_take *t = take_read(w, s, reply_at(entries, k));
			if (t && take_of(w, t->id))
				take_free(t); /* found by its name meanwhile */
			else if (t)
				take_begin(w, t);
		}
	}
}

static void read_more(struct queue_worker *w)
{
	struct words x = { 0 };
	char n[16];
	int streams = 0;

	if (w->reading || !w->let_in || !redis_is_up(w->ears) || !redis_is_up(w->main) ||
	    free_slots(w) <= 0)
		return;
	snprintf(n, sizeof(n), "%d", free_slots(w));
	words_add(&x, "XREADGROUP");
	words_add(&x, "GROUP");
	words_add(&x, QUEUE_GROUP);
	words_add(&x, w->row.name);
	words_add(&x, "COUNT");
	words_add(&x, n);
	words_add(&x, "BLOCK");
	words_add(&x, QUEUE_BLOCK_MS);
	words_add(&x, "STREAMS");
	for (int i = 0; i < w->n_streams; i++)
		if (w->stream[i].grouped && ++streams)
			words_add(&x, w->stream[i].key);
	for (int i = 0; i < streams; i++)
		words_add(&x, ">");
	if (streams == 0)
		return;
	w->reading = true;
	words_send(&x, w->ears, on_read, w, QUEUE_BLOCK_S);
}

/* ---- the heartbeat ---- */

static void row_write(const struct queue_worker *w, struct buf *out)
{
	const struct queue_row *r = &w->row;
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "host", r->host);
	cJSON_AddStringToObject(o, "model", r->model);
	cJSON_AddNumberToObject(o, "pid", r->pid);
	cJSON_AddNumberToObject(o, "at_once", r->at_once);
	cJSON_AddNumberToObject(o, "under_way", w->n_takes);
	cJSON_AddNumberToObject(o, "jobs", (double)r->jobs);
	cJSON_AddNumberToObject(o, "built", (double)r->built);
	cJSON_AddNumberToObject(o, "failed", (double)r->failed);
	cJSON_AddNumberToObject(o, "lost", (double)r->lost);
	cJSON_AddNumberToObject(o, "taken_over", (double)r->taken_over);
	cJSON_AddNumberToObject(o, "poison", (double)r->poison);
	cJSON_AddNumberToObject(o, "bytes", (double)r->bytes);
	json_add_figure(o, "since_s", clock_now_s() - w->opened_s);
	json_add_figure(o, "work_s", r->work_s);
	json_add_figure(o, "cpu_s", r->cpu_s);
	json_add_figure(o, "wait_s", w->n_waits ? w->waits_s / (double)w->n_waits : NAN);
	cJSON *took = cJSON_AddArrayToObject(o, "took");
	for (int i = 0; i < QUEUE_PARTS; i++) {
		cJSON_AddItemToArray(took, cJSON_CreateNumber(r->took[i].median_s));
		cJSON_AddItemToArray(took, cJSON_CreateNumber(r->took[i].p95_s));
	}
	json_add_figure(o, "slowest_s", r->slowest_s);
	json_add_figure(o, "per_s", r->per_s);
	cJSON_AddBoolToObject(o, "left", r->left);
	cJSON_AddStringToObject(o, "versions", r->versions);
	cJSON_AddStringToObject(o, "kind", r->kind);
	cJSON_AddStringToObject(o, "about", r->about);
	json_print(out, o);
	cJSON_Delete(o);
}

static void on_beat(void *ctx, const struct redisReply *reply)
{
	struct queue_worker *w = ctx;
	char text[200];
	struct timespec now;

	w->beating = false;
	if (!reply)
		return;
	if (reply->type == REDIS_REPLY_ERROR) {
		reply_error(reply, text, sizeof(text));
		/* a server that is still reading its file, or has no memory left, comes to itself
		 */
		if (strncmp(text, "NOPERM", 6) == 0 || strncmp(text, "ERR", 3) == 0)
			err_set(&w->refused, ERR_USAGE, "%s does not let a worker in: %s",
			        w->a.shown, text);
		return;
	}
	const char *others = reply_text(reply_at(reply, 0), NULL);
	if (*others) {
		char theirs[QUEUE_VERSIONS_MAX];
		size_t n = 0;
		for (; others[n] && n + 1 < sizeof(theirs); n++)
			theirs[n] = others[n] >= ' ' && others[n] < 127 ? others[n] : '?';
		theirs[n] = '\0';
		err_set(&w->refused, ERR_USAGE,
		        "the workers at %.60s are made of %.150s, this one of %.150s: rewards would "
		        "differ",
		        w->a.shown, theirs, w->row.versions);
		return;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	w->ahead_s = strtod(reply_text(reply_at(reply, 1), NULL), NULL) +
	             1e-6 * strtod(reply_text(reply_at(reply, 2), NULL), NULL) -
	             (double)now.tv_sec - 1e-9 * (double)now.tv_nsec;
	w->let_in = true;
}

static void beat(struct queue_worker *w)
{
	struct words x = { 0 };
	struct buf row = { 0 };
	char key[160], live[16];

	row_write(w, &row);
	snprintf(key, sizeof(key), QUEUE_KEY "worker:%s", w->row.name);
	snprintf(live, sizeof(live), "%d", QUEUE_LIVE_S);
	words_add(&x, "EVAL");
	words_add(&x, beat_script);
	words_add(&x, "1");
	words_add(&x, key);
	words_add(&x, w->row.name);
	words_add(&x, w->row.versions);
	words_add(&x, live);
	words_bytes(&x, buf_str(&row), row.len);
	words_add(&x, w->row.kind);
	w->beating = true;
	w->beat_s = clock_now_s() + BEAT_S;
	words_send(&x, w->main, on_beat, w, QUEUE_COMMAND_S);
	buf_release(&row);
	redis_send(w->main, on_streams, w, QUEUE_COMMAND_S, 2,
	           (const char *const[]){ "SMEMBERS", QUEUE_KEY "streams" }, NULL);
}

/* ---- leases ---- */

static void on_renewed(void *ctx, const struct redisReply *reply)
{
	struct queue_take *t = ctx;
	struct queue_worker *w = t->of;

	t->asked--;
	t->renewing = false;
	if (t->forgotten) {
		if (t->asked == 0)
			take_free(t);
		return;
	}
	/* what is not in its stream any more was cancelled, or another answered it */
	if (w->ops.unwanted && !t->answered && reply && reply->type == REDIS_REPLY_ARRAY &&
	    reply->elements == 0)
		w->ops.unwanted(w->ops.ctx, t);
}

static void renew(struct queue_worker *w, struct queue_take *t)
{
	struct words x = { 0 };
	char stream[128];

	snprintf(stream, sizeof(stream), "%s%d", w->streams, t->lease_ms);
	words_add(&x, "XCLAIM");
	words_add(&x, stream);
	words_add(&x, QUEUE_GROUP);
	words_add(&x, w->row.name);
	words_add(&x, "0");
	words_add(&x, t->id);
	words_add(&x, "JUSTID"); /* a renewal is no delivery */
	t->renewing = true;
	t->asked++;
	t->renewed_s = clock_now_s();
	words_send(&x, w->main, on_renewed, t, QUEUE_COMMAND_S);
}

static void tend(struct queue_worker *w)
{
	double now = clock_now_s();

	for (struct queue_take *t = w->takes, *next; t; t = next) {
		double silent_s = now - t->renewed_s, lease_s = t->lease_ms / 1000.0;
		next = t->next;
		if (t->forgotten)
			continue;
		if (t->answered && !t->sent) {
			if (silent_s > 1)
				send_answer(w, t);
			continue;
		}
		/* after a lease's silence it is another's by now, and is not taken back */
		if (!t->answered && !t->renewing && silent_s > lease_s / 3 && silent_s < lease_s)
			renew(w, t);
	}
	for (int i = 0; i < w->n_streams; i++) {
		struct stream *s = &w->stream[i];
		double every = s->lease_ms / 4000.0;
		if (!s->grouped && !s->grouping)
			group(s);
		if (!s->grouped || s->claiming || now < s->claim_s || free_slots(w) <= 0)
			continue;
		s->claim_s = now + (every > 5 ? 5 : every);
		claim(s);
	}
}

/* ---- the connections ---- */

static void main_up(void *ctx)
{
	struct queue_worker *w = ctx;

	w->away = (struct err){ 0 };
	w->let_in = w->beating = false;
	w->beat_s = 0;
	for (int i = 0; i < w->n_streams; i++) {
		struct stream *s = &w->stream[i];
		s->grouped = s->grouping = s->claiming = false;
		/* to a server that was away everybody seems to have been silent: first they may
		 * renew */
		if (w->was_up)
			s->claim_s = clock_now_s() + s->lease_ms / 1000.0;
	}
	w->was_up = true;
	for (struct want *n = w->wants; n; n = n->next)
		ask_blob(n);
}

static void main_down(void *ctx, const struct err *why)
{
	struct queue_worker *w = ctx;

	w->away = *why;
}

static void ears_up(void *ctx)
{
	struct queue_worker *w = ctx;

	/* what was read may have been lost on its way */
	w->reading = false;
	for (int i = 0; i < w->n_streams; i++)
		w->stream[i].grouped = false;
}

/* ---- the verbs ---- */

void queue_worker_name(char out[QUEUE_NAME_MAX])
{
	char host[65] = "";
	unsigned v = 0;

	gethostname(host, sizeof(host) - 1);
	for (char *c = host; *c; c++)
		if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
		      (*c >= '0' && *c <= '9') || *c == '.' || *c == '-'))
			*c = '-';
	(void)!getrandom(&v, sizeof(v), 0);
	snprintf(out, QUEUE_NAME_MAX, "%s-%d-%04x", host[0] ? host : "worker", (int)getpid(),
	         v & 0xffff);
}

struct queue_worker *queue_worker_open(const struct redis_address *a, const char *name,
                                       const char *versions, int at_once,
                                       const struct queue_worker_ops *ops, struct err *e)
{
	struct queue_worker *w = calloc(1, sizeof(*w));

	if (!w) {
		err_set(e, ERR_MEM, "out of memory");
		return NULL;
	}
	w->a = *a;
	w->ops = *ops;
	w->opened_s = clock_now_s();
	snprintf(w->row.name, sizeof(w->row.name), "%s", name);
	snprintf(w->row.versions, sizeof(w->row.versions), "%s", versions);
	gethostname(w->row.host, sizeof(w->row.host) - 1);
	w->row.pid = (int)getpid();
	w->row.at_once = at_once;
	w->row.slowest_s = w->row.per_s = w->row.cpu_s = NAN;
	for (int i = 0; i < QUEUE_PARTS; i++)
		w->row.took[i] = (struct queue_took){ NAN, NAN };
	snprintf(w->streams, sizeof(w->streams), QUEUE_KEY "jobs:");
	stream_add(w, USUAL_LEASE_MS);
	const struct redis_ops to_main = { .ctx = w, .up = main_up, .down = main_down };
	const struct redis_ops to_ears = { .ctx = w, .up = ears_up };
	w->main = redis_open(a, &to_main, e);
	w->ears = w->main ? redis_open(a, &to_ears, e) : NULL;
	if (w->ears)
		return w;
	queue_worker_close(w);
	return NULL;
}

void queue_worker_close(struct queue_worker *w)
{
	struct pollfd p;
	char live[96];

	if (!w)
		return;
	if (w->main && redis_is_up(w->main) && w->let_in && !w->refused.kind) {
		double until = clock_now_s() + 1;
		w->row.left = true;
		beat(w);
		redis_send(w->main, NULL, NULL, 1, 3,
		           (const char *const[]){ "ZREM", QUEUE_KEY "live", w->row.name }, NULL);
		snprintf(live, sizeof(live), QUEUE_KEY "live.%s", w->row.kind);
		redis_send(w->main, NULL, NULL, 1, 3,
		           (const char *const[]){ "ZREM", live, w->row.name }, NULL);
		while (w->beating && redis_is_up(w->main) && clock_now_s() < until) {
			redis_step(w->main);
			if (w->beating && redis_poll_fd(w->main, &p))
				poll(&p, 1, 50);
		}
		redis_step(w->main);
	}
	redis_close(w->main);
	redis_close(w->ears);
	while (w->founds)
		found_free(w->founds, true);
	while (w->wants)
		want_free(w->wants);
	while (w->takes)
		take_free(w->takes);
	free(w);
}

void queue_worker_kind(struct queue_worker *w, const char kind[SHA256_HEX], const char *about,
                       double lease_s)
{
	snprintf(w->row.kind, sizeof(w->row.kind), "%s", kind);
	snprintf(w->row.about, sizeof(w->row.about), "%s", about);
	snprintf(w->streams, sizeof(w->streams), QUEUE_KEY "jobs.%s:", kind);
	w->n_streams = 0;
	stream_add(w, (int)(lease_s * 1000));
}

void queue_worker_forget(struct queue_worker *w, struct queue_take *t)
{
	(void)w;
	t->forgotten = true;
	t->answered = true;
	if (t->asked == 0)
		take_free(t);
}

void queue_worker_stop(struct queue_worker *w)
{
	w->stopping = true;
}

int queue_worker_under_way(const struct queue_worker *w)
{
	return w->n_takes;
}

struct queue_row *queue_worker_row(struct queue_worker *w)
{
	return &w->row;
}

int queue_worker_poll_fds(const struct queue_worker *w, struct pollfd *out, int cap)
{
	int n = cap > 0 ? redis_poll_fd(w->main, out) : 0;

	return n + (cap > n ? redis_poll_fd(w->ears, out + n) : 0);
}

int queue_worker_timeout_ms(const struct queue_worker *w)
{
	int a = redis_timeout_ms(w->main), b = redis_timeout_ms(w->ears), ms = 250;

	if (a >= 0 && a < ms)
		ms = a;
	return b >= 0 && b < ms ? b : ms;
}

int queue_worker_step(struct queue_worker *w, struct err *e)
{
	redis_step(w->main);
	redis_step(w->ears);
	if (redis_is_up(w->main)) {
		if (!w->beating && clock_now_s() >= w->beat_s)
			beat(w);
		if (w->let_in)
			tend(w);
		read_more(w);
		/* what was just said goes out without another turn of the loop */
		redis_step(w->main);
		redis_step(w->ears);
	}
	const struct err *why = w->refused.kind          ? &w->refused
	                        : redis_refused(w->main) ? redis_refused(w->main)
	                                                 : redis_refused(w->ears);
	if (!why)
		return 0;
	*e = *why;
	return -1;
}

const char *queue_worker_trouble(const struct queue_worker *w)
{
	return !redis_is_up(w->main) && w->away.kind ? w->away.text : "";
}
