/*
 * spawn.h - starts a helper program with one end of a socket pair on its fd 3.
 *
 * The child has a parent-death signal, /dev/null on fd 0 and 1, our stderr (or /dev/null) on fd 2,
 * an environment of just the strings given, its own process group (so that a terminal's ^C reaches
 * only us), and no other descriptor.
 */
#ifndef BASE_SPAWN_H
#define BASE_SPAWN_H

#include <stdbool.h>
#include <sys/types.h>

#include "src/base/err.h"

struct helper {
	pid_t pid; /* 0: not running */
	int fd;    /* our end of the socket pair, non-blocking, close-on-exec */
	int pidfd; /* readable when it has died */
};

/* @argv[0] is the path. @env may be {NULL}. 0, or -1 with ERR_LACKS when there is no such program.
 */
int helper_start(struct helper *h, const char *const *argv, const char *const *env, bool quiet,
                 struct err *e);

/* True when it has died; collects it, closes our descriptors, and writes to @how "exit status 3",
 * "signal 9 (Killed)". */
bool helper_gone(struct helper *h, char *how, size_t how_len);

/* Closes the socket, waits @grace_s for it to leave by itself, then kills and collects it. Safe on
 * {0}. */
void helper_stop(struct helper *h, double grace_s);

#endif
