/*
 * redis.h - one connection to a Redis 7 server, kept up by itself, with nothing that waits.
 *
 * The protocol is hiredis's (its formatter and its reader); the socket is ours, with OpenSSL over
 * it for rediss://, since hiredis 0.14 of Debian 12 knows no TLS. Commands are answered in the
 * order in which they were sent. When the connection breaks, or its oldest command has no answer in
 * time, every command under way is answered with NULL (it may have been carried out or not), and
 * the connection is made again: after 50 ms, then twice as long each time, 5 s at most, less up to
 * a fifth by chance so that a farm does not come all at once. What then has to be sent again is the
 * owner's matter: see ops.up.
 *
 * Names are looked up when a connection is made, which may wait for a name server; addresses do
 * not.
 */
#ifndef SRC_REDIS_H
#define SRC_REDIS_H

#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>

#include "src/base/err.h"

struct redisReply; /* hiredis/hiredis.h */

/*
 * redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE], or rediss:// for TLS, then optionally
 * ?ca=FILE&cert=FILE&key=FILE: whom to trust (else the system's store), and our own certificate
 * where the server wants one. %XX stands for a byte; an IPv6 address is in brackets. Without a
 * password in it the one of the environment, $CADFORGE_QUEUE_PASSWORD, is taken: command lines are
 * seen by everybody on the machine.
 */
struct redis_address {
	bool tls;
	char host[256], user[128], password[512];
	int port, database;
	char ca[PATH_MAX], cert[PATH_MAX], key[PATH_MAX];
	char shown[320]; /* for messages: the scheme, host and port, no password */
};
/* ERR_USAGE, with the part at fault and what was expected; never with a password. */
int redis_address_parse(struct redis_address *out, const char *url, struct err *e);

struct redis_ops {
	void *ctx;
	/* Connected and let in, for the first time or again: nothing is under way. */
	void (*up)(void *ctx);
	/* It broke, or could not be made; it is tried again. */
	void (*down)(void *ctx, const struct err *why);
};

struct redis;

/* Reads the certificates; connects at the first redis_step(). NULL: ERR_MEM, ERR_USAGE. */
struct redis *redis_open(const struct redis_address *a, const struct redis_ops *ops, struct err *e);
void redis_close(
	struct redis *r); /* what is under way is dropped without an answer; NULL is fine */

bool redis_is_up(const struct redis *r);
/* Why it is not up, and no use waiting: a wrong password, no rights, a certificate that is not
 * trusted, another protocol. NULL: there may be hope. */
const struct err *redis_refused(const struct redis *r);

/* @reply is the connection's, for the call; NULL: see above. */
typedef void redis_answer(void *ctx, const struct redisReply *reply);
/* Sends @argc words; @len NULL: they are strings. Without an answer in @within_s the connection
 * counts as broken; a command that blocks takes that much longer. While the connection is not up,
 * and when memory runs out, @answer gets NULL from the next redis_step(). @answer NULL: it is not
 * of interest. Not from within an answer to the same redis's redis_close(). */
void redis_send(struct redis *r, redis_answer *answer, void *ctx, double within_s, int argc,
                const char *const *argv, const size_t *len);

/* For an event loop: 0 or 1 descriptor, how long to wait at most (-1: no matter), the work. */
int redis_poll_fd(const struct redis *r, struct pollfd *out);
int redis_timeout_ms(const struct redis *r);
void redis_step(struct redis *r);

#endif
