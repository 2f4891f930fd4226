#include "ui/terminfo.h"

#include <curses.h>
#include <term.h>
#include <unistd.h>

enum terminfo terminfo_look(const char *name)
{
	TERMINAL *before = set_curterm(NULL), *mine;
	enum terminfo found = TERMINFO_UNKNOWN;
	int why;

	if (setupterm(name, STDOUT_FILENO, &why) == OK) {
		found = cursor_address ? TERMINFO_GOOD : TERMINFO_POOR;
		mine = set_curterm(before);
		del_curterm(mine);
	} else {
		/* what it could not set up it has made all the same */
		mine = set_curterm(before);
		if (mine && mine != before)
			del_curterm(mine);
	}
	return found;
}
