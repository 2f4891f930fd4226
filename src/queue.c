#include "src/queue.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "src/base/clock.h"
#include "src/base/utf8.h"
#include "src/queue_inside.h"

enum { BUCKETS = 1024, ASK_VERSIONS_S_10 = 5 };
#define ASK_AGAIN_S  30.0   /* a job that nothing was heard of is asked for again */
#define FIRST_TIME_S 10.0   /* for the first connection, before there is no hope */
#define TELL_S       2.0    /* trouble is told of when it has lasted so long */
#define BLOB_FRESH_S 3600.0 /* after which a blob is given once more: it is kept for a day */
#define LARGE_BYTES  (16 << 10)
#define LOOK_S       5.0 /* workers are looked for so often, while something waits */

/* Gives a job to Redis, or finds it there: 1 when its answer is, else 0.
 * KEYS job, answer, stream; ARGV client, hash, body, stream's name, group */
static const char submit_script[] =
	"if redis.call('EXISTS', KEYS[2]) == 1 then return 1 end\n"
	"redis.call('HSET', KEYS[1], 'w:' .. ARGV[1], 1)\n"
	"local id = redis.call('HGET', KEYS[1], 'id')\n"
	"if not id or #redis.call('XRANGE', redis.call('HGET', KEYS[1], 'stream'), id, id) == 0 then\n"
	"  redis.call('SADD', 'cadforge:streams', KEYS[3])\n"
	"  id = redis.call('XADD', KEYS[3], '*', 'hash', ARGV[2], 'body', ARGV[3])\n"
	"  redis.call('HSET', KEYS[1], 'id', id, 'stream', KEYS[3])\n"
	"end\n"
	"redis.call('EXPIRE', KEYS[1], 86400)\n"
	"return 0\n";

/* KEYS live workers; ARGV within seconds. How many there are. */
static const char live_script[] = "local t = redis.call('TIME')\n"
				  "return redis.call('ZCOUNT', KEYS[1], t[1] - ARGV[1], '+inf')\n";

/* KEYS job; ARGV client. When nobody waits any more the job is taken out. */
static const char cancel_script[] = "redis.call('HDEL', KEYS[1], 'w:' .. ARGV[1])\n"
				    "local f = redis.call('HGETALL', KEYS[1])\n"
				    "local id, stream\n"
				    "for i = 1, #f, 2 do\n"
				    "  if string.sub(f[i], 1, 2) == 'w:' then return 0 end\n"
				    "  if f[i] == 'id' then id = f[i + 1] end\n"
				    "  if f[i] == 'stream' then stream = f[i + 1] end\n"
				    "end\n"
				    "if id and stream then redis.call('XDEL', stream, id) end\n"
				    "redis.call('DEL', KEYS[1])\n"
				    "return 1\n";

struct blob {
	char sha[SHA256_HEX];
	struct buf bytes;
	double given_s; /* to Redis, on this connection; below 0: not yet */
	int jobs;       /* that name it */
	bool dropped;
	struct blob *next;
};

enum stage { NEW, SENT, WAITING, FETCHING, GONE };

struct entry {
	struct queue *q;
	enum stage stage;
	char hash[SHA256_HEX]; /* "" while the versions are not known */
	struct buf body;
	struct blob **blob;
	int n_blobs, lease_ms;
	void *user;
	int under_way; /* commands whose answers come here */
	bool is_answered;
	double asked_s;
	struct entry *next, **at;             /* of all, in order */
	struct entry *in_bucket, **bucket_at; /* of those with a hash */
};

struct queue {
	struct redis *main, *ears;
	struct redis_address a;
	struct queue_ops ops;
	char client[32], done_key[64], last[48], versions[QUEUE_VERSIONS_MAX];
	char streams[96]; /* what the names of its streams begin with */
	char live[96];    /* key of the workers that can do its jobs */
	bool none_live, asking_live;
	double live_s; /* when they are counted next */
	struct blob *blobs;
	struct entry *first, **last_at;
	struct entry *bucket[BUCKETS];
	int waiting, in_redis;
	bool listening, asking, was_up;
	double opened_s, versions_s, trouble_s;
	struct err away; /* why it is not up */
	char trouble[400];
};

/* ---- words and answers ---- */

void words_bytes(struct words *w, const void *bytes, size_t len)
{
	if (w->n >= QUEUE_WORDS_MAX)
		return;
	w->v[w->n] = bytes ? bytes : "";
	w->len[w->n++] = len;
}

void words_add(struct words *w, const char *text)
{
	words_bytes(w, text, strlen(text));
}

void words_send(const struct words *w, struct redis *r, redis_answer *answer, void *ctx,
                double within_s)
{
	redis_send(r, answer, ctx, within_s, w->n, w->v, w->len);
}

const char *reply_text(const struct redisReply *r, size_t *len)
{
	bool text = r && (r->type == REDIS_REPLY_STRING || r->type == REDIS_REPLY_STATUS);

	if (len)
		*len = text ? r->len : 0;
	return text && r->str ? r->str : "";
}

const struct redisReply *reply_at(const struct redisReply *r, size_t i)
{
	return r && r->type == REDIS_REPLY_ARRAY && i < r->elements ? r->element[i] : NULL;
}

void reply_error(const struct redisReply *r, char *out, size_t size)
{
	const char *text = r && r->type == REDIS_REPLY_ERROR && r->str ? r->str : "no such answer";
	size_t n = 0;

	for (; *text && n + 1 < size; text++)
		out[n++] = *text >= ' ' && *text < 127 ? *text : '?';
	out[n] = '\0';
}

bool is_hash(const char *text, size_t len)
{
	if (len != SHA256_HEX - 1)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f')))
			return false;
	return true;
}

/* ---- entries ---- */

static struct entry **bucket_of(struct queue *q, const char *hash)
{
	unsigned v = 0;

	sscanf(hash, "%6x", &v);
	return &q->bucket[v % BUCKETS];
}

static void entry_unhash(struct entry *n)
{
	if (!n->bucket_at)
		return;
	*n->bucket_at = n->in_bucket;
	if (n->in_bucket)
		n->in_bucket->bucket_at = n->bucket_at;
	n->bucket_at = NULL;
}

static void entry_hash(struct entry *n)
{
	struct sha256 s;
	struct entry **b;

	entry_unhash(n);
	sha256_start(&s);
	sha256_add(&s, n->q->versions, strlen(n->q->versions) + 1);
	sha256_add(&s, buf_str(&n->body), n->body.len);
	sha256_end_hex(&s, n->hash);
	b = bucket_of(n->q, n->hash);
	n->in_bucket = *b;
	n->bucket_at = b;
	if (*b)
		(*b)->bucket_at = &n->in_bucket;
	*b = n;
}

static void blob_free(struct queue *q, struct blob *b)
{
	for (struct blob **at = &q->blobs; *at; at = &(*at)->next)
		if (*at == b) {
			*at = b->next;
			break;
		}
	buf_release(&b->bytes);
	free(b);
}

static void entry_free(struct entry *n)
{
	struct queue *q = n->q;

	for (int i = 0; i < n->n_blobs; i++)
		if (--n->blob[i]->jobs == 0 && n->blob[i]->dropped)
			blob_free(q, n->blob[i]);
	entry_unhash(n);
	*n->at = n->next;
	if (n->next)
		n->next->at = n->at;
	else
		q->last_at = n->at;
	buf_release(&n->body);
	free(n->blob);
	free(n);
}

/* It waits for nothing any more; its memory goes when no answer can come to it. */
static void entry_gone(struct entry *n)
{
	struct queue *q = n->q;

	if (n->stage == GONE)
		return;
	q->in_redis -= n->stage != NEW;
	q->waiting--;
	n->stage = GONE;
	entry_unhash(n);
	if (n->under_way == 0)
		entry_free(n);
}

static void entry_done(struct entry *n, enum queue_fate fate, const void *bytes, size_t len,
                       const struct err *why)
{
	struct queue *q = n->q;
	void *user = n->user;

	entry_gone(n);
	q->ops.done(q->ops.ctx, user, fate, bytes, len, why);
}

static void entry_again(struct entry *n)
{
	if (n->stage == NEW || n->stage == GONE)
		return;
	n->stage = NEW;
	n->q->in_redis--;
}

/* An answer came to this entry; false: nobody is interested. */
static bool entry_heard(struct entry *n)
{
	n->under_way--;
	if (n->stage != GONE)
		return true;
	if (n->under_way == 0)
		entry_free(n);
	return false;
}

/* ---- answers of jobs ---- */

/* What another machine says for people, as far as it is words. */
static void words_of(struct err *why, const char *text, size_t len)
{
	struct buf clean = { 0 };
	size_t at;

	utf8_clean_line(&clean, text, len > 470 ? 470 : len);
	snprintf(why->text, sizeof(why->text), "%.470s", buf_str(&clean));
	if (!utf8_valid(why->text, strlen(why->text), &at))
		why->text[at] = '\0';
	if (!why->text[0])
		snprintf(why->text, sizeof(why->text), "a worker failed and did not say why");
	buf_release(&clean);
}

/* The first byte says what it is; the rest is the worker's. Of a copy of the hash: the entry that
 * it belongs to may be the first to go. */
static void deliver(struct queue *q, const char *of, const char *bytes, size_t len)
{
	struct err why = { .kind = ERR_PROTOCOL };
	enum queue_fate fate = QUEUE_FAILED;
	char hash[SHA256_HEX];
	bool more = true;

	snprintf(hash, sizeof(hash), "%s", of);
	if (len > 0 && *bytes == 'R') {
		fate = QUEUE_ANSWERED;
	} else if (len > 2 && (*bytes == 'E' || *bytes == 'P')) {
		fate = *bytes == 'P' ? QUEUE_POISON : QUEUE_FAILED;
		why.kind = bytes[1] > 'a' + ERR_NONE && bytes[1] <= 'a' + ERR_CANCELLED
		                   ? (enum err_kind)(bytes[1] - 'a')
		                   : ERR_LOST;
		words_of(&why, bytes + 2, len - 2);
	} else {
		snprintf(why.text, sizeof(why.text), "%s: a worker's answer is none of ours",
		         q->a.shown);
	}
	while (more) {
		struct entry *n = *bucket_of(q, hash);
		for (; n && (strcmp(n->hash, hash) != 0 || n->stage == NEW); n = n->in_bucket)
			;
		more = n != NULL;
		if (n)
			entry_done(n, fate, fate == QUEUE_ANSWERED ? bytes + 1 : NULL,
			           fate == QUEUE_ANSWERED ? len - 1 : 0,
			           fate == QUEUE_ANSWERED ? NULL : &why);
	}
}

static void on_answer(void *ctx, const struct redisReply *reply)
{
	struct entry *n = ctx;
	struct queue *q = n->q;
	size_t len;

	if (!entry_heard(n))
		return;
	const char *bytes = reply_text(reply, &len);
	if (!reply || reply->type != REDIS_REPLY_STRING) {
		/* it is gone: kept too short for us, or Redis forgot it. Once more */
		entry_again(n);
		return;
	}
	if (len > LARGE_BYTES) {
		struct words w = { 0 };
		char key[128];
		snprintf(key, sizeof(key), QUEUE_KEY "answer:%s", n->hash);
		words_add(&w, "EXPIRE");
		words_add(&w, key);
		words_add(&w, "10");
		words_send(&w, q->main, NULL, NULL, QUEUE_COMMAND_S);
	}
	deliver(q, n->hash, bytes, len);
}

static void fetch(struct entry *n)
{
	struct words w = { 0 };
	char key[128];

	if (n->stage == FETCHING || n->stage == NEW || n->stage == GONE)
		return;
	n->stage = FETCHING;
	n->under_way++;
	snprintf(key, sizeof(key), QUEUE_KEY "answer:%s", n->hash);
	words_add(&w, "GET");
	words_add(&w, key);
	words_send(&w, n->q->main, on_answer, n, QUEUE_COMMAND_S * 6);
}

static void on_submitted(void *ctx, const struct redisReply *reply)
{
	struct entry *n = ctx;
	char text[200];

	if (!entry_heard(n) || n->stage != SENT)
		return;
	if (!reply) {
		entry_again(n);
	} else if (reply->type == REDIS_REPLY_INTEGER) {
		n->stage = WAITING;
		n->asked_s = clock_now_s();
		if (reply->integer || n->is_answered)
			fetch(n);
	} else {
		struct err why;
		reply_error(reply, text, sizeof(text));
		err_set(&why, ERR_IO, "%s does not take a job: %s", n->q->a.shown, text);
		entry_done(n, QUEUE_FAILED, NULL, 0, &why);
	}
}

static void give_blob(struct queue *q, struct blob *b)
{
	struct words w = { 0 };
	char key[128];

	if (b->given_s >= 0 && clock_now_s() - b->given_s < BLOB_FRESH_S)
		return;
	snprintf(key, sizeof(key), QUEUE_KEY "blob:%s", b->sha);
	words_add(&w, "SET");
	words_add(&w, key);
	words_bytes(&w, buf_str(&b->bytes), b->bytes.len);
	words_add(&w, "EX");
	words_add(&w, "86400");
	words_send(&w, q->main, NULL, NULL, QUEUE_COMMAND_S * 6);
	b->given_s = clock_now_s();
}

static void give(struct entry *n)
{
	struct queue *q = n->q;
	struct words w = { 0 };
	char job[128], answer[128], stream[128];

	entry_hash(n);
	for (int i = 0; i < n->n_blobs; i++)
		give_blob(q, n->blob[i]);
	snprintf(job, sizeof(job), QUEUE_KEY "job:%s", n->hash);
	snprintf(answer, sizeof(answer), QUEUE_KEY "answer:%s", n->hash);
	snprintf(stream, sizeof(stream), "%s%d", q->streams, n->lease_ms);
	words_add(&w, "EVAL");
	words_add(&w, submit_script);
	words_add(&w, "3");
	words_add(&w, job);
	words_add(&w, answer);
	words_add(&w, stream);
	words_add(&w, q->client);
	words_add(&w, n->hash);
	words_bytes(&w, buf_str(&n->body), n->body.len);
	n->stage = SENT;
	n->is_answered = false;
	n->under_way++;
	q->in_redis++;
	words_send(&w, q->main, on_submitted, n, QUEUE_COMMAND_S * 6);
}

/* ---- the connections ---- */

static void on_versions(void *ctx, const struct redisReply *reply)
{
	struct queue *q = ctx;
	size_t len;
	const char *text = reply_text(reply, &len);

	q->asking = false;
	q->versions_s = clock_now_s() + 0.1 * ASK_VERSIONS_S_10;
	if (len == 0 || len >= sizeof(q->versions))
		return;
	snprintf(q->versions, sizeof(q->versions), "%s", text);
}

static void on_live(void *ctx, const struct redisReply *reply)
{
	struct queue *q = ctx;

	q->asking_live = false;
	q->live_s = clock_now_s() + LOOK_S;
	if (reply && reply->type == REDIS_REPLY_INTEGER)
		q->none_live = reply->integer == 0;
}

/* While something waits, whether there is anybody to do it. */
static void look_for_workers(struct queue *q)
{
	struct words w = { 0 };
	char live[16];

	if (q->asking_live || clock_now_s() < q->live_s)
		return;
	snprintf(live, sizeof(live), "%d", QUEUE_LIVE_S);
	words_add(&w, "EVAL");
	words_add(&w, live_script);
	words_add(&w, "1");
	words_add(&w, q->live);
	words_add(&w, live);
	q->asking_live = true;
	words_send(&w, q->main, on_live, q, QUEUE_COMMAND_S);
}

static void main_up(void *ctx)
{
	struct queue *q = ctx;

	q->asking_live = q->none_live = false;
	q->live_s = clock_now_s() + LOOK_S;
	q->was_up = true;
	q->away = (struct err){ 0 };
	/* what it knew it may have forgotten, and another farm may be there by now */
	q->versions[0] = '\0';
	q->asking = false;
	q->versions_s = 0;
	for (struct blob *b = q->blobs; b; b = b->next)
		b->given_s = -1;
	for (struct entry *n = q->first; n; n = n->next)
		entry_again(n);
}

static void main_down(void *ctx, const struct err *why)
{
	struct queue *q = ctx;

	q->away = *why;
}

static void listen_on(struct queue *q);

static void on_done(void *ctx, const struct redisReply *reply)
{
	struct queue *q = ctx;
	const struct redisReply *entries = reply_at(reply_at(reply, 0), 1);

	q->listening = false;
	if (!reply)
		return;
	for (size_t i = 0; entries && i < entries->elements; i++) {
		const struct redisReply *one = reply_at(entries, i);
		size_t len, id_len;
		const char *id = reply_text(reply_at(one, 0), &id_len);
		const char *hash = reply_text(reply_at(reply_at(one, 1), 1), &len);
		if (id_len > 0 && id_len < sizeof(q->last))
			snprintf(q->last, sizeof(q->last), "%s", id);
		if (!is_hash(hash, len))
			continue;
		for (struct entry *n = *bucket_of(q, hash); n; n = n->in_bucket)
			if (strcmp(n->hash, hash) == 0 && n->stage == WAITING) {
				fetch(n);
				break; /* its answer is that of all with this name */
			} else if (strcmp(n->hash, hash) == 0 && n->stage == SENT) {
				n->is_answered = true; /* this connection was quicker */
			}
	}
	listen_on(q);
}

static void listen_on(struct queue *q)
{
	const char *const words[] = { "XREAD",        "COUNT",   "256",       "BLOCK",
		                      QUEUE_BLOCK_MS, "STREAMS", q->done_key, q->last };

	if (q->listening || !redis_is_up(q->ears))
		return;
	q->listening = true;
	redis_send(q->ears, on_done, q, QUEUE_BLOCK_S, 8, words, NULL);
}

static void ears_up(void *ctx)
{
	struct queue *q = ctx;

	q->listening = false;
	listen_on(q);
}

/* ---- the verbs ---- */

static void random_name(char *out, size_t size)
{
	unsigned char v[10];

	if (getrandom(v, sizeof(v), 0) != (ssize_t)sizeof(v))
		memset(v, 0, sizeof(v));
	for (size_t i = 0; i < sizeof(v) && 2 * i + 2 < size; i++)
		snprintf(out + 2 * i, 3, "%02x", v[i]);
}

struct queue *queue_open(const struct redis_address *a, const struct queue_ops *ops, struct err *e)
{
	struct queue *q = calloc(1, sizeof(*q));

	if (!q) {
		err_set(e, ERR_MEM, "out of memory");
		return NULL;
	}
	q->a = *a;
	q->ops = *ops;
	q->last_at = &q->first;
	q->opened_s = clock_now_s();
	q->trouble_s = -1;
	random_name(q->client, sizeof(q->client));
	snprintf(q->done_key, sizeof(q->done_key), QUEUE_KEY "done:%s", q->client);
	snprintf(q->last, sizeof(q->last), "0-0");
	snprintf(q->streams, sizeof(q->streams), QUEUE_KEY "jobs:");
	snprintf(q->live, sizeof(q->live), QUEUE_KEY "live.");
	const struct redis_ops to_main = { .ctx = q, .up = main_up, .down = main_down };
	const struct redis_ops to_ears = { .ctx = q, .up = ears_up };
	q->main = redis_open(a, &to_main, e);
	q->ears = q->main ? redis_open(a, &to_ears, e) : NULL;
	if (q->ears)
		return q;
	queue_close(q);
	return NULL;
}

/* Another of ours that waits for the same answer. */
static bool has_twin(const struct entry *n)
{
	const struct entry *k = *bucket_of(n->q, n->hash);

	for (; k; k = k->in_bucket)
		if (k != n && strcmp(k->hash, n->hash) == 0)
			return true;
	return false;
}

static void cancel(struct entry *n)
{
	struct queue *q = n->q;
	struct words w = { 0 };
	char job[128];

	if ((n->stage == SENT || n->stage == WAITING) && !has_twin(n)) {
		snprintf(job, sizeof(job), QUEUE_KEY "job:%s", n->hash);
		words_add(&w, "EVAL");
		words_add(&w, cancel_script);
		words_add(&w, "1");
		words_add(&w, job);
		words_add(&w, q->client);
		words_send(&w, q->main, NULL, NULL, QUEUE_COMMAND_S);
	}
	entry_gone(n);
}

void queue_cancel_all(struct queue *q)
{
	for (struct entry *n = q->first, *next; n; n = next) {
		next = n->next;
		cancel(n);
	}
}

void queue_cancel(struct queue *q, const void *user)
{
	for (struct entry *n = q->first, *next; n; n = next) {
		next = n->next;
		if (n->user == user && n->stage != GONE)
			cancel(n);
	}
}

void queue_close(struct queue *q)
{
	if (!q)
		return;
	if (q->main) {
		queue_cancel_all(q);
		/* what was cancelled, now or before, is to be heard of */
		if (redis_is_up(q->main)) {
			redis_step(q->main);
			redis_step(q->main);
		}
	}
	redis_close(q->main);
	redis_close(q->ears);
	while (q->first)
		entry_free(q->first);
	while (q->blobs)
		blob_free(q, q->blobs);
	free(q);
}

void queue_kind(struct queue *q, const char kind[SHA256_HEX])
{
	snprintf(q->streams, sizeof(q->streams), QUEUE_KEY "jobs.%s:", kind);
	snprintf(q->live, sizeof(q->live), QUEUE_KEY "live.%s", kind);
}

static struct blob *blob_of(struct queue *q, const char *sha)
{
	struct blob *b = q->blobs;

	while (b && strcmp(b->sha, sha) != 0)
		b = b->next;
	return b;
}

int queue_blob(struct queue *q, const void *bytes, size_t len, char sha[SHA256_HEX], struct err *e)
{
	if (len > QUEUE_BLOB_BYTES_MAX)
		return err_set(e, ERR_INPUT,
		               "%zu bytes are too many for a job that others build: at most %d MiB",
		               len, QUEUE_BLOB_BYTES_MAX >> 20);
	sha256_hex(bytes, len, sha);
	struct blob *b = blob_of(q, sha);
	if (b) {
		b->dropped = false;
		return 0;
	}
	b = calloc(1, sizeof(*b));
	if (b)
		buf_add(&b->bytes, bytes, len);
	if (!b || buf_failed(&b->bytes)) {
		free(b);
		return err_set(e, ERR_MEM, "out of memory for what a job needs");
	}
	memcpy(b->sha, sha, SHA256_HEX);
	b->given_s = -1;
	b->next = q->blobs;
	q->blobs = b;
	return 0;
}

void queue_blob_drop(struct queue *q, const char *sha)
{
	struct blob *b = blob_of(q, sha);
	struct words w = { 0 };
	char key[128];

	if (!b || b->dropped)
		return;
	b->dropped = true;
	snprintf(key, sizeof(key), QUEUE_KEY "blob:%s", b->sha);
	words_add(&w, "EXPIRE");
	words_add(&w, key);
	words_add(&w, "7200"); /* another client gives it again once an hour */
	words_add(&w, "LT");
	words_send(&w, q->main, NULL, NULL, QUEUE_COMMAND_S);
	if (b->jobs == 0)
		blob_free(q, b);
}

int queue_submit(struct queue *q, struct buf *body, const char (*blob)[SHA256_HEX], int n_blobs,
                 double lease_s, void *user, struct err *e)
{
	if (body->len > QUEUE_BODY_BYTES_MAX)
		return err_set(e, ERR_INPUT,
		               "a program of %zu bytes is too long for the queue: at most %d MiB",
		               body->len, QUEUE_BODY_BYTES_MAX >> 20);
	struct entry *n = calloc(1, sizeof(*n));
	struct blob **named = calloc((size_t)n_blobs + 1, sizeof(struct blob *));
	if (!n || !named || buf_failed(body)) {
		free(n);
		free(named);
		return err_set(e, ERR_MEM, "out of memory for a job");
	}
	for (int i = 0; i < n_blobs; i++)
		if ((named[n->n_blobs] = blob_of(q, blob[i])))
			named[n->n_blobs++]->jobs++;
	n->q = q;
	n->blob = named;
	n->body = *body;
	*body = (struct buf){ 0 };
	n->lease_ms = lease_s > 86400 ? 86400000 : lease_s < 0.1 ? 100 : (int)(lease_s * 1000);
	n->user = user;
	n->at = q->last_at;
	*n->at = n;
	q->last_at = &n->next;
	q->waiting++;
	/* it goes out when the loop waits next, and not a wait later */
	if (redis_is_up(q->main) && q->versions[0] && q->in_redis < QUEUE_AHEAD)
		give(n);
	return 0;
}

int queue_waiting(const struct queue *q)
{
	return q->waiting;
}

int queue_poll_fds(const struct queue *q, struct pollfd *out, int cap)
{
	int n = cap > 0 ? redis_poll_fd(q->main, out) : 0;

	return n + (cap > n ? redis_poll_fd(q->ears, out + n) : 0);
}

static int sooner(int a, int b)
{
	return a < 0 ? b : b < 0 ? a : a < b ? a : b;
}

int queue_timeout_ms(const struct queue *q)
{
	int ms = sooner(redis_timeout_ms(q->main), redis_timeout_ms(q->ears));

	if (q->waiting == 0)
		return ms;
	if (redis_is_up(q->main) && !q->versions[0] && !q->asking) {
		double left = q->versions_s - clock_now_s();
		ms = sooner(ms, left <= 0 ? 0 : (int)(left * 1000) + 1);
	}
	return sooner(ms, 1000);
}

static void pump(struct queue *q)
{
	double now = clock_now_s();

	if (!redis_is_up(q->main) || q->waiting == 0)
		return;
	if (!q->versions[0]) {
		if (!q->asking && now >= q->versions_s) {
			q->asking = true;
			redis_send(q->main, on_versions, q, QUEUE_COMMAND_S, 2,
			           (const char *const[]){ "GET", QUEUE_KEY "versions" }, NULL);
		}
		return;
	}
	look_for_workers(q);
	for (struct entry *n = q->first; n; n = n->next) {
		if (n->stage == WAITING && now - n->asked_s > ASK_AGAIN_S)
			entry_again(n);
		if (n->stage == NEW && q->in_redis < QUEUE_AHEAD)
			give(n);
	}
}

static void watch_trouble(struct queue *q)
{
	double now = clock_now_s();
	const char *what = "";
	char text[sizeof(q->trouble)] = "";

	if (q->waiting > 0 && !redis_is_up(q->main))
		snprintf(text, sizeof(text), "waiting for %.380s",
		         q->away.kind ? q->away.text : q->a.shown);
	else if (q->waiting > 0 && !q->versions[0])
		snprintf(text, sizeof(text),
		         "no worker has come to %.300s yet: cadforge worker --queue URL starts one",
		         q->a.shown);
	else if (q->waiting > 0 && q->none_live)
		snprintf(text, sizeof(text),
		         "no worker that can do it is at %.300s any more: what waits is done when "
		         "one comes",
		         q->a.shown);
	if (!*text)
		q->trouble_s = -1;
	else if (q->trouble_s < 0)
		q->trouble_s = now;
	else if (now - q->trouble_s >= TELL_S)
		what = text;
	snprintf(q->trouble, sizeof(q->trouble), "%s", what);
}

int queue_step(struct queue *q, struct err *e)
{
	redis_step(q->main);
	redis_step(q->ears);
	listen_on(q);
	pump(q);
	/* what was just given goes out without another turn of the loop */
	redis_step(q->main);
	watch_trouble(q);
	const struct err *why = redis_refused(q->main);
	if (!why)
		why = redis_refused(q->ears);
	if (why) {
		*e = *why;
		return -1;
	}
	if (!q->was_up && clock_now_s() - q->opened_s > FIRST_TIME_S)
		return err_set(e, ERR_LACKS, "%.350s: is there a Redis server?",
		               q->away.kind ? q->away.text : q->a.shown);
	return 0;
}

const char *queue_trouble(const struct queue *q)
{
	return q->trouble;
}
