/*
 * overlay.h - what lies over a screen: a list to choose from, a page of text, the form of a
 * judgement.
 *
 * The list and the page are the view's (the workbench opens and closes them: INTENT_BACK); the form
 * is ui's own until it is handed in as INTENT_JUDGE. One at a time is on top and gets all keys.
 */
#ifndef UI_OVERLAY_H
#define UI_OVERLAY_H

#include "src/base/buf.h"
#include "ui/intent.h"
#include "ui/pane.h"

enum overlay_kind { OVERLAY_NONE, OVERLAY_PAGE, OVERLAY_CHOICE, OVERLAY_JUDGE };

struct overlays {
	struct list choice;
	uint32_t choice_of; /* which list @choice stands in; another one begins anew */
	bool filtering;     /* after "/": what is typed goes into the list's filter */
	struct text_pane page;
	struct {
		bool open;
		int field; /* 0 grade, 1 note, 2 tags */
		int grade; /* 0-5; -1: none yet */
		struct buf text[2];
		int at[2]; /* the cursor, bytes into text[] */
	} judge;
};
void overlay_release(struct overlays *o); /* safe on {0} and twice */

/* What is on top. */
enum overlay_kind overlay_top(const struct overlays *o, const struct view *v);
/* Over @r, the rows between the frame's first and last two. */
void overlay_draw(struct overlays *o, const struct view *v, struct canvas *c, struct rect r);
/* Is something written just now? Then keys come as they were typed; else as the keymap has them
 * (KEYS_DOWN for "j"). */
bool overlay_typing(const struct overlays *o, const struct view *v);
/* Takes every key while something lies over the screen (false when nothing does). What it was
 * typed for is in @out: CHOOSE (n: id), MORE, BACK, JUDGE; its texts are borrowed until the next
 * call. */
bool overlay_key(struct overlays *o, const struct view *v, struct key k, struct intent *out);
/* Bytes of a paste: into the field or filter that is typed into. False when there is none. */
bool overlay_paste(struct overlays *o, const struct view *v, const char *text, size_t len);
/* J: opens the form, with the judgement that stands (NULL: none). */
void overlay_judge(struct overlays *o, int grade, const char *note, const char *tags);
/* For the footer. */
const char *overlay_keys(const struct overlays *o, const struct view *v);

#endif
