/*
 * cmd_replay.h - an episode as an asciicast, for who writes one beside 'replay': 'export'.
 */
#ifndef SRC_CMD_REPLAY_H
#define SRC_CMD_REPLAY_H

#include "src/db.h"

/* The workbench's replay of @episode, drawn at 80x24 in its own time, into @file ("-": standard
 * output). 0; -1: ERR_INPUT (there is no such episode), ERR_IO, ERR_CANCELLED. */
int replay_write_cast(const struct db_flags *f, int64_t episode, int turn, const char *file,
                      struct err *e);

#endif
