/*
 * loop.h - one wait for everything: descriptors, signals, deadlines.
 *
 * Signals arrive through a signalfd, so that they are read between two frames and never in the
 * middle of one. While nothing comes the process sleeps: there is no tick.
 */
#ifndef SRC_LOOP_H
#define SRC_LOOP_H

#include <poll.h>
#include <signal.h>
#include <stdbool.h>

#include "src/base/err.h"

enum { LOOP_FDS = 16 };

struct loop {
	struct pollfd fd[LOOP_FDS];
	int n;
	int signal_fd; /* -1: none */
	sigset_t before;
	bool blocked;
};

/* Blocks SIGWINCH, SIGHUP, SIGTERM, SIGINT, SIGTSTP, SIGCONT, SIGUSR1 and takes them as readings.
 * 0, or -1 with @e. */
int loop_open(struct loop *l, struct err *e);
/* The signals are as they were. Safe on {0} and twice. */
void loop_close(struct loop *l);

/* Before each wait: what to wait for. The place, to ask for its events afterwards; -1: full. */
void loop_begin(struct loop *l);
int loop_watch(struct loop *l, int fd, short events);
/* At most @timeout_s (< 0: until something comes). 0, or -1 with @e. */
int loop_wait(struct loop *l, double timeout_s, struct err *e);
/* What came at that place. */
short loop_came(const struct loop *l, int place);
/* The next signal that came, 0: none (any more). */
int loop_signal(struct loop *l);
/* A child for whom the signals are what they were before loop_open(). In the child, before exec. */
void loop_child(const struct loop *l);

#endif
