/*
 * queue_inside.h - what the two ends of the queue share: words to Redis, its answers, hash names.
 */
#ifndef SRC_QUEUE_INSIDE_H
#define SRC_QUEUE_INSIDE_H

#include <hiredis/hiredis.h>

#include "src/queue.h"

#define QUEUE_KEY   "cadforge:"
#define QUEUE_GROUP "workers"

/* How long Redis may take for a command that does not block, and for how long reads block: the
 * latter is also how soon a half-open connection is noticed. */
#define QUEUE_COMMAND_S 10.0
#define QUEUE_BLOCK_MS  "2000"
#define QUEUE_BLOCK_S   8.0

enum { QUEUE_WORDS_MAX = 48 };

/* A command as it is put together. */
struct words {
	int n;
	const char *v[QUEUE_WORDS_MAX];
	size_t len[QUEUE_WORDS_MAX];
};
void words_add(struct words *w, const char *text);
void words_bytes(struct words *w, const void *bytes, size_t len);
void words_send(const struct words *w, struct redis *r, redis_answer *answer, void *ctx,
                double within_s);

/* Of an answer that may be anything: a string's bytes ("" and 0), the @i-th of an array (NULL), an
 * error's text, printable ASCII alone. */
const char *reply_text(const struct redisReply *r, size_t *len);
const struct redisReply *reply_at(const struct redisReply *r, size_t i);
void reply_error(const struct redisReply *r, char *out, size_t size);
/* 64 hexadecimal digits. */
bool is_hash(const char *text, size_t len);

#endif
