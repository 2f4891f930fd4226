/*
 * cmd_model.h - the words of `cadforge model`: a row in cmd_model.c's table, a function each.
 */
#ifndef CMD_MODEL_H
#define CMD_MODEL_H

#include "src/cmd.h"

/* argv[0] is the word ("info"), flags and arguments follow; returns the exit status. */
int model_info(const struct cmd *self, int argc, char **argv);
/* cmd_model_text.c */
int model_tokenize(const struct cmd *self, int argc, char **argv);
int model_chat(const struct cmd *self, int argc, char **argv);
/* cmd_model_logits.c */
int model_logits(const struct cmd *self, int argc, char **argv);

#endif
