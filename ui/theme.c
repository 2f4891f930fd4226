#include "ui/theme.h"

#include <string.h>

enum { BOLD = 1, UNDER = 2, REVERSE = 4 };

/* Attributes where there is no colour; then the colour of 8 and of 256, and the attributes with
 * them. -1: the terminal's own. */
struct row {
	uint8_t alone;
	int8_t of_8;
	int16_t of_256;
	uint8_t with;
};

/* clang-format off */
static const struct row dark[N_ROLES] = {
	[ROLE_NORMAL]       = { 0,       -1, -1,  0 },
	[ROLE_FAINT]        = { 0,       -1, 245, 0 },
	[ROLE_STRONG]       = { BOLD,    -1, -1,  BOLD },
	[ROLE_TITLE]        = { BOLD,    -1, -1,  BOLD },
	[ROLE_FOCUS]        = { BOLD,    -1, 222, BOLD },
	[ROLE_SELECT]       = { REVERSE, -1, -1,  REVERSE },
	[ROLE_MATCH]        = { UNDER,    3, 220, UNDER },
	[ROLE_GOOD]         = { 0,        2, 79,  0 },
	[ROLE_WEAK]         = { UNDER,    3, 221, 0 },
	[ROLE_BAD]          = { BOLD,     1, 209, BOLD },
	[ROLE_RUN]          = { BOLD,     6, 80,  0 },
	[ROLE_ADD]          = { BOLD,     2, 79,  0 },
	[ROLE_DEL]          = { UNDER,    1, 209, 0 },
	[ROLE_BAR]          = { 0,        2, 79,  0 },
	[ROLE_BAR_REST]     = { 0,       -1, 240, 0 },
	[ROLE_KEY]          = { BOLD,    -1, 222, BOLD },
	[ROLE_CODE_WORD]    = { BOLD,     5, 176, 0 },
	[ROLE_CODE_TEXT]    = { 0,        2, 150, 0 },
	[ROLE_CODE_NUMBER]  = { 0,        3, 180, 0 },
	[ROLE_CODE_COMMENT] = { 0,       -1, 245, 0 },
	[ROLE_CODE_NAME]    = { BOLD,     6, 222, 0 },
};

static const struct row light[N_ROLES] = {
	[ROLE_NORMAL]       = { 0,       -1, -1,  0 },
	[ROLE_FAINT]        = { 0,       -1, 242, 0 },
	[ROLE_STRONG]       = { BOLD,    -1, -1,  BOLD },
	[ROLE_TITLE]        = { BOLD,    -1, -1,  BOLD },
	[ROLE_FOCUS]        = { BOLD,    -1, 94,  BOLD },
	[ROLE_SELECT]       = { REVERSE, -1, -1,  REVERSE },
	[ROLE_MATCH]        = { UNDER,    5, 130, UNDER },
	[ROLE_GOOD]         = { 0,        2, 29,  0 },
	[ROLE_WEAK]         = { UNDER,    5, 136, 0 },
	[ROLE_BAD]          = { BOLD,     1, 124, BOLD },
	[ROLE_RUN]          = { BOLD,     6, 30,  0 },
	[ROLE_ADD]          = { BOLD,     2, 29,  0 },
	[ROLE_DEL]          = { UNDER,    1, 124, 0 },
	[ROLE_BAR]          = { 0,        2, 29,  0 },
	[ROLE_BAR_REST]     = { 0,       -1, 250, 0 },
	[ROLE_KEY]          = { BOLD,    -1, 94,  BOLD },
	[ROLE_CODE_WORD]    = { BOLD,     5, 90,  0 },
	[ROLE_CODE_TEXT]    = { 0,        2, 28,  0 },
	[ROLE_CODE_NUMBER]  = { 0,        1, 130, 0 },
	[ROLE_CODE_COMMENT] = { 0,       -1, 242, 0 },
	[ROLE_CODE_NAME]    = { BOLD,     6, 30,  0 },
};
/* clang-format on */

static const char *const names[N_THEMES] = { "dark", "light", "mono" };

int theme_find(const char *name)
{
	for (int i = 0; name && i < N_THEMES; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	return -1;
}

const char *theme_name(enum theme t)
{
	return names[t];
}

struct look theme_look(enum theme t, enum tier tier, enum role role)
{
	const struct row *row = t == THEME_LIGHT ? &light[role] : &dark[role];
	uint8_t with = row->with;
	struct look look = { .fg = -1 };

	if (t == THEME_MONO || tier == TIER_NONE)
		with = row->alone;
	else if (tier == TIER_8)
		look.fg = row->of_8;
	else
		look.fg = row->of_256;
	if (tier == TIER_DIRECT && look.fg >= 0)
		look.fg = (int32_t)color_rgb(look.fg);
	look.bold = with & BOLD;
	look.underline = with & UNDER;
	look.reverse = with & REVERSE;
	return look;
}

uint32_t theme_ink(enum theme t, enum role role)
{
	struct look look = theme_look(t, TIER_256, role);

	return look.fg >= 0 ? color_rgb(look.fg) : t == THEME_LIGHT ? 0x24292e : 0xd8dee4;
}

uint32_t theme_paper(enum theme t)
{
	return t == THEME_LIGHT ? 0xffffff : 0x14181d;
}

static const uint8_t steps[6] = { 0, 95, 135, 175, 215, 255 };

uint32_t color_rgb(int index)
{
	static const uint32_t first[16] = { 0x000000, 0xcd0000, 0x00cd00, 0xcdcd00,
		                            0x0000ee, 0xcd00cd, 0x00cdcd, 0xe5e5e5,
		                            0x7f7f7f, 0xff0000, 0x00ff00, 0xffff00,
		                            0x5c5cff, 0xff00ff, 0x00ffff, 0xffffff };

	if (index < 16)
		return first[index < 0 ? 0 : index];
	if (index >= 232) {
		uint32_t gray = 8 + 10 * (uint32_t)((index > 255 ? 255 : index) - 232);
		return gray << 16 | gray << 8 | gray;
	}
	index -= 16;
	return (uint32_t)steps[index / 36] << 16 | (uint32_t)steps[index / 6 % 6] << 8 |
	       steps[index % 6];
}

static int square(int a)
{
	return a * a;
}

static int apart(uint32_t a, uint32_t b)
{
	return square((int)(a >> 16 & 255) - (int)(b >> 16 & 255)) +
	       square((int)(a >> 8 & 255) - (int)(b >> 8 & 255)) +
	       square((int)(a & 255) - (int)(b & 255));
}

int color_nearest(uint32_t rgb)
{
	int at[3], cube, gray, mean;

	for (int i = 0; i < 3; i++) {
		int v = (int)(rgb >> (16 - 8 * i) & 255);
		at[i] = v < 48 ? 0 : v < 115 ? 1 : (v - 35) / 40;
	}
	cube = 16 + 36 * at[0] + 6 * at[1] + at[2];
	mean = (int)((rgb >> 16 & 255) + (rgb >> 8 & 255) + (rgb & 255)) / 3;
	gray = mean < 8 ? 232 : mean > 238 ? 255 : 232 + (mean - 3) / 10;
	return apart(rgb, color_rgb(gray)) < apart(rgb, color_rgb(cube)) ? gray : cube;
}
