/*
 * workbench_training.h - the training that is at work, on the Curriculum screen: read from the
 * database like everything else, whichever process trains.
 */
#ifndef SRC_WORKBENCH_TRAINING_H
#define SRC_WORKBENCH_TRAINING_H

#include "src/workbench.h"

struct wb_training; /* NULL: nothing was looked for yet */

/* Reads what is new of the training at work. 0; -1 with @e. */
int wb_training_look(struct wb_training **t, struct store *s, struct err *e);
/* Whether its process is still there; looked at again each time. @changed: it was when last asked.
 */
bool wb_training_works(struct wb_training *t, bool *changed);
/* The status row, curves and figures, where one is at work. */
void wb_training_view(struct workbench *w, const struct wb_training *t,
                      struct view_curriculum *out);
/* "checkpoint", or "pause", which goes on when it is paused. What was asked; NULL with @e. */
const char *wb_training_ask(struct wb_training *t, const char *word, struct err *e);
void wb_training_close(struct wb_training *t);

#endif
