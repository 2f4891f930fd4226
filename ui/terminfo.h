/*
 * terminfo.h - is a terminal known here, and can it do what a screen needs? Asked before curses is
 * told to use it, since curses leaks when it cannot.
 */
#ifndef UI_TERMINFO_H
#define UI_TERMINFO_H

enum terminfo { TERMINFO_UNKNOWN, TERMINFO_POOR /* cannot move its cursor */, TERMINFO_GOOD };

enum terminfo terminfo_look(const char *name);

#endif
