/*
 * cmd_train.h - the words of `train`: one function each, argv[0] is the word.
 */
#ifndef SRC_CMD_TRAIN_H
#define SRC_CMD_TRAIN_H

#include "src/cmd.h"

int train_sft(const struct cmd *self, int argc, char **argv);
int train_resume(const struct cmd *self, int argc, char **argv);
int train_grad(const struct cmd *self, int argc, char **argv);
/* src/training_sample.c */
int train_sample(const struct cmd *self, int argc, char **argv);

/* A run by its number: its kind, settings (the caller's to delete) and how it ended ("" has not).
 */
#include <cjson/cJSON.h>

#include "src/store.h"
struct train_run {
	int64_t id, started_us, ended_us;
	char kind[32], outcome[32];
	cJSON *about; /* the row's settings: {"settings", "rows", "samples", ...}; NULL: none */
};
int train_run_read(struct store *s, int64_t id, struct train_run *out, struct err *e);
void train_run_release(struct train_run *r);
/* "12" as a run's number; told when it is none. */
int train_run_number(const char *text, int64_t *id);

#endif
