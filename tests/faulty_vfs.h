/*
 * faulty_vfs.h - a disk that fails when told: a SQLite VFS over the system's one.
 *
 * Counts what changes a file (write, truncate, sync) from 1 on. At number @at it does @what; with
 * @stays, at every one after it too. Nothing is synced for real: a killed process loses nothing
 * that the kernel has.
 */
#ifndef TESTS_FAULTY_VFS_H
#define TESTS_FAULTY_VFS_H

#include <stdbool.h>

enum fault {
	FAULT_NONE,
	FAULT_FULL,     /* ENOSPC */
	FAULT_IO,       /* EIO */
	FAULT_KILL,     /* kill -9 before it */
	FAULT_KILL_MID, /* half of a write done, then kill -9 */
	FAULT_READ_ONLY /* opening for writing is refused */
};

struct fault_plan {
	enum fault what;
	long at;
	bool stays;
	long done;             /* how many there were */
	bool hit;              /* it happened */
	const char *only_ends; /* count only files whose name ends so; NULL: all */
};

extern struct fault_plan fault_plan;

/* The VFS "faulty". */
void faulty_vfs_register(void);

#endif
