/*
 * clock.h - the clock that deadlines and durations are taken from.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

/* Seconds since some moment in the past; never set back. */
double clock_now_s(void);

#endif
