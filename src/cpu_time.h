/*
 * cpu_time.h - what this process and all its programs have cost: processor time.
 */
#ifndef SRC_CPU_TIME_H
#define SRC_CPU_TIME_H

/* Seconds of processors so far, user's and kernel's: of this process, of every process that it
 * started and that still runs, of theirs, and of all those that ended and were waited for. Where
 * the kernel does not tell who started whom (no CONFIG_PROC_CHILDREN) those that still run are left
 * out.
 */
double cpu_time_s(void);

#endif
