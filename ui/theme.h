/*
 * theme.h - what a role looks like, for each kind of terminal.
 *
 * A theme gives every role a look in every tier. Foregrounds alone: the background is the
 * terminal's own, and blue, which many terminals show too dark to read, is no colour of text. Good
 * and bad differ in lightness as well as in hue (bluish green, orange), and no meaning rests on
 * colour: a mark or a word stands beside it.
 */
#ifndef UI_THEME_H
#define UI_THEME_H

#include <stdbool.h>
#include <stdint.h>

#include "ui/draw.h"

enum theme { THEME_DARK, THEME_LIGHT, THEME_MONO, N_THEMES };

struct look {
	int32_t fg; /* -1: the terminal's own; TIER_8: 0-7, TIER_256: 0-255, TIER_DIRECT: 0xRRGGBB
	             */
	bool bold, underline, reverse;
};

/* "dark", "light", "mono"; -1: no such theme. */
int theme_find(const char *name);
const char *theme_name(enum theme t);
struct look theme_look(enum theme t, enum tier tier, enum role role);
/* Colours for a picture of the screen: of a role's text, and of the paper under all. */
uint32_t theme_ink(enum theme t, enum role role);
uint32_t theme_paper(enum theme t);
/* One of the 256 colours as 0xRRGGBB, and the one of 16-255 that is nearest to such a colour. */
uint32_t color_rgb(int index);
int color_nearest(uint32_t rgb);

#endif
