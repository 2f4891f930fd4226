/*
 * certainty.h - under the tokens: how sure the model was of each, and what it might have said
 * instead.
 *
 * Each token is drawn in a role of how likely it was, and under it stands a mark for those who see
 * no colour: nothing from 0.9 on, "." from 0.6, ":" from 0.3, "!" below, over the token's whole
 * width, and "?" where it begins when the entropy was above 1 nat. Long lines are wrapped. The
 * token at the cursor (text_pane.token) is reversed; below, its alternatives stand with their
 * probabilities, and Enter takes the one chosen: INTENT_BRANCH (n: the token's place among
 * view_text.tokens, m: the alternative's id).
 */
#ifndef UI_CERTAINTY_H
#define UI_CERTAINTY_H

#include "ui/intent.h"
#include "ui/pane.h"

void certainty_draw(struct text_pane *p, int alternative, struct canvas *c, struct rect r,
                    const struct view_text *t);
/* KEYS_LEFT, _RIGHT: token by token; _UP, _DOWN: alternative by alternative; _MATCH_NEXT,
 * _PREVIOUS,
 * "}", "{": to the next, previous one that was unsure; pages, ends; _ENTER. True when taken. */
bool certainty_key(struct text_pane *p, int *alternative, struct key k, const struct view_text *t,
                   struct intent *out);
/* The role a token is drawn in, and its mark. */
enum role certainty_role(float p);
char certainty_mark(float p);

#endif
