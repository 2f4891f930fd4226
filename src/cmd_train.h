/*
 * cmd_train.h - the words of `train`: one function each, argv[0] is the word.
 */
#ifndef SRC_CMD_TRAIN_H
#define SRC_CMD_TRAIN_H

#include "src/app.h"
#include "src/cmd.h"

int train_sft(const struct cmd *self, int argc, char **argv);
int train_resume(const struct cmd *self, int argc, char **argv);
int train_grad(const struct cmd *self, int argc, char **argv);
/* src/training_sample.c */
int train_sample(const struct cmd *self, int argc, char **argv);
/* src/cmd_train_grpo.c */
int train_grpo(const struct cmd *self, int argc, char **argv);

/* A run by its number: its kind, settings (the caller's to delete) and how it ended ("" has not).
 */
#include <cjson/cJSON.h>

#include "src/store.h"
struct train_run {
	int64_t id, started_us, ended_us;
	char kind[32], outcome[32];
	cJSON *about; /* the row's settings: {"settings", "rows", "samples", ...}; NULL: none */
};
/* src/train_run.c */
int train_run_read(struct store *s, int64_t id, struct train_run *out, struct err *e);
void train_run_release(struct train_run *r);
/* "12" as a run's number; told when it is none. */
int train_run_number(const char *text, int64_t *id);

/* The folder of a new run: @given, else a new one "@kind-WHEN" among the user's own; made, its path
 * absolute. ERR_USAGE: it is there and not empty. */
int train_make_out(char *out, size_t size, const struct app *a, const char *given, const char *kind,
                   struct err *e);
/* A run that never began leaves nothing behind, so that the same command can be tried again. */
void train_forget_out(const char *out);

/* Goes on with a run of reinforcement learning; @changed: settings that may be others now. */
struct db_flags;
int train_grpo_resume(const struct cmd *self, const struct db_flags *f, struct store *store,
                      const struct train_run *run, const cJSON *changed);

#endif
