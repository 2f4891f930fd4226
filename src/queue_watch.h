/*
 * queue_watch.h - the table of a farm's workers (src/queue.h), kept fresh for somebody who must not
 * wait.
 *
 * Redis is asked by a process of its own, which may wait: for a name server, for a machine that
 * does not answer, for a server that is busy. It asks when it is asked to, so that nothing is done
 * while nobody looks, and it ends with its owner.
 */
#ifndef SRC_QUEUE_WATCH_H
#define SRC_QUEUE_WATCH_H

#include "src/queue.h"

struct queue_watch;

/* Starts the process; nothing is asked yet. @a is copied. NULL with @e (ERR_MEM, ERR_IO). */
struct queue_watch *queue_watch_open(const struct redis_address *a, struct err *e);
void queue_watch_close(struct queue_watch *w); /* at once, whatever it waits for; NULL is fine */

/* Takes what came, and asks again @every_s after the answer before. Never waits. True: what the
 * verbs below say is another than before. */
bool queue_watch_step(struct queue_watch *w, double every_s);

/* As it was last; NULL: none came yet. Borrowed until the next step. */
const struct queue_table *queue_watch_table(const struct queue_watch *w);
/* Seconds since it came; NAN: none did. */
double queue_watch_age_s(const struct queue_watch *w);
/* For so long there was no answer to the last question; 0: there was. */
double queue_watch_silent_s(const struct queue_watch *w);
/* Why the last answer was no table: ERR_NONE when it was one, or when none came yet. */
const struct err *queue_watch_trouble(const struct queue_watch *w);

#endif
