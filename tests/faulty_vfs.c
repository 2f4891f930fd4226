#include "tests/faulty_vfs.h"

#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct fault_plan fault_plan; /* one plan a test process: SQLite gives a VFS no context of ours */

struct file {
	sqlite3_file base;
	bool counted;
	sqlite3_file *real;
};

static sqlite3_vfs vfs;

static sqlite3_file *real_of(sqlite3_file *f)
{
	return ((struct file *)f)->real;
}

/* SQLITE_OK: go on. */
static int due(sqlite3_file *f, int io_error)
{
	struct fault_plan *p = &fault_plan;

	if (!((struct file *)f)->counted)
		return SQLITE_OK;
	p->done++;
	if (p->what == FAULT_NONE || p->what == FAULT_READ_ONLY ||
	    (p->done != p->at && !(p->stays && p->done > p->at)))
		return SQLITE_OK;
	p->hit = true;
	if (p->what == FAULT_KILL)
		kill(getpid(), SIGKILL);
	if (p->what == FAULT_KILL_MID)
		return SQLITE_OK; /* the write sees to it */
	return p->what == FAULT_FULL ? SQLITE_FULL : io_error;
}

static int x_close(sqlite3_file *f)
{
	struct file *x = (struct file *)f;
	int rc = x->real->pMethods ? x->real->pMethods->xClose(x->real) : SQLITE_OK;

	free(x->real);
	x->real = NULL;
	return rc;
}

static int x_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
	return real_of(f)->pMethods->xRead(real_of(f), p, n, at);
}

static int x_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
	int rc = due(f, SQLITE_IOERR_WRITE);

	if (rc != SQLITE_OK)
		return rc;
	if (((struct file *)f)->counted && fault_plan.what == FAULT_KILL_MID &&
	    fault_plan.done == fault_plan.at) {
		real_of(f)->pMethods->xWrite(real_of(f), p, n / 2, at);
		kill(getpid(), SIGKILL);
	}
	return real_of(f)->pMethods->xWrite(real_of(f), p, n, at);
}

static int x_truncate(sqlite3_file *f, sqlite3_int64 n)
{
	int rc = due(f, SQLITE_IOERR_TRUNCATE);

	return rc != SQLITE_OK ? rc : real_of(f)->pMethods->xTruncate(real_of(f), n);
}

static int x_sync(sqlite3_file *f, int flags)
{
	(void)flags;
	return due(f, SQLITE_IOERR_FSYNC);
}

static int x_file_size(sqlite3_file *f, sqlite3_int64 *n)
{
	return real_of(f)->pMethods->xFileSize(real_of(f), n);
}

static int x_lock(sqlite3_file *f, int k)
{
	return real_of(f)->pMethods->xLock(real_of(f), k);
}

static int x_unlock(sqlite3_file *f, int k)
{
	return real_of(f)->pMethods->xUnlock(real_of(f), k);
}

static int x_check(sqlite3_file *f, int *out)
{
	return real_of(f)->pMethods->xCheckReservedLock(real_of(f), out);
}

static int x_control(sqlite3_file *f, int op, void *p)
{
	return real_of(f)->pMethods->xFileControl(real_of(f), op, p);
}

static int x_sector(sqlite3_file *f)
{
	return real_of(f)->pMethods->xSectorSize(real_of(f));
}

static int x_device(sqlite3_file *f)
{
	return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}

static int x_shm_map(sqlite3_file *f, int i, int n, int extend, void volatile **p)
{
	return real_of(f)->pMethods->xShmMap(real_of(f), i, n, extend, p);
}

static int x_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
	return real_of(f)->pMethods->xShmLock(real_of(f), at, n, flags);
}

static void x_shm_barrier(sqlite3_file *f)
{
	real_of(f)->pMethods->xShmBarrier(real_of(f));
}

static int x_shm_unmap(sqlite3_file *f, int gone)
{
	return real_of(f)->pMethods->xShmUnmap(real_of(f), gone);
}

static const sqlite3_io_methods methods = { .iVersion = 2,
	                                    .xClose = x_close,
	                                    .xRead = x_read,
	                                    .xWrite = x_write,
	                                    .xTruncate = x_truncate,
	                                    .xSync = x_sync,
	                                    .xFileSize = x_file_size,
	                                    .xLock = x_lock,
	                                    .xUnlock = x_unlock,
	                                    .xCheckReservedLock = x_check,
	                                    .xFileControl = x_control,
	                                    .xSectorSize = x_sector,
	                                    .xDeviceCharacteristics = x_device,
	                                    .xShmMap = x_shm_map,
	                                    .xShmLock = x_shm_lock,
	                                    .xShmBarrier = x_shm_barrier,
	                                    .xShmUnmap = x_shm_unmap };

static int x_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *out)
{
	sqlite3_vfs *real = v->pAppData;
	struct file *x = (struct file *)f;
	const char *ends = fault_plan.only_ends;
	size_t n = name ? strlen(name) : 0;

	memset(x, 0, sizeof(*x));
	if (fault_plan.what == FAULT_READ_ONLY && flags & SQLITE_OPEN_READWRITE)
		return SQLITE_CANTOPEN;
	x->real = calloc(1, (size_t)real->szOsFile);
	if (!x->real)
		return SQLITE_NOMEM;
	/* what has no name, or is for sorting, is not the database */
	x->counted = name &&
	             flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL) &&
	             (!ends || (n >= strlen(ends) && strcmp(name + n - strlen(ends), ends) == 0));
	int rc = real->xOpen(real, name, x->real, flags, out);
	if (rc != SQLITE_OK) {
		free(x->real);
		x->real = NULL;
		return rc;
	}
	f->pMethods = &methods;
	return rc;
}

void faulty_vfs_register(void)
{
	sqlite3_vfs *real = sqlite3_vfs_find(NULL);

	if (vfs.zName)
		return;
	vfs = *real;
	vfs.pNext = NULL;
	vfs.zName = "faulty";
	vfs.szOsFile = sizeof(struct file);
	vfs.pAppData = real;
	vfs.xOpen = x_open;
	sqlite3_vfs_register(&vfs, 0);
}
