/*
 * cmd_model.h - the words of `cadforge model`: a row in cmd_model.c's table, a function each.
 */
#ifndef CMD_MODEL_H
#define CMD_MODEL_H

#include "src/base/buf.h"
#include "src/cmd.h"

/* argv[0] is the word ("info"), flags and arguments follow; returns the exit status. */
int model_info(const struct cmd *self, int argc, char **argv);
/* cmd_model_text.c */
int model_tokenize(const struct cmd *self, int argc, char **argv);
int model_chat(const struct cmd *self, int argc, char **argv);
/* cmd_model_logits.c */
int model_logits(const struct cmd *self, int argc, char **argv);
/* cmd_model_merge.c */
int model_merge_word(const struct cmd *self, int argc, char **argv);
int model_diff_word(const struct cmd *self, int argc, char **argv);

/* The base of the adapter in @dir, into @out: the folder that its config names, as it stands or by
 * its last part beside the adapter. */
int model_find_base(struct buf *out, const char *dir, struct err *e);
/* Whether @dir has a file of that name. */
bool model_has_file(const char *dir, const char *name);

#endif
