/*
 * wheel.h - the mesher of the CAD kernel that programs run on, without Python.
 *
 * Triangle counts differ between kernel versions, and the published figures are those of the
 * version in CadQuery's wheel. Its libraries are loaded at run time, by name, and five of their
 * functions are called; none of their types is known here beyond its address, so that nothing
 * depends on the layout that another version's headers describe.
 *
 * wheel_mesh() runs in the mesher's jailed child alone: the bytes are untrusted.
 */
#ifndef ENGINE_WHEEL_H
#define ENGINE_WHEEL_H

#ifdef __cplusplus
extern "C" {
#endif

#include "src/base/buf.h"
#include "src/base/err.h"

struct wheel; /* the loaded libraries; they stay for the life of the process */

/* The folder of shared libraries in the virtual environment @python_env (NULL or "": the system's
 * Python). 0, or -1 with ERR_LACKS when there is none, or more than one. */
int wheel_find(char *out, size_t cap, const char *python_env, struct err *e);

/* Loads them from @dir and makes them ready to be forked (no threads, warm code). NULL with
 * ERR_LACKS naming what is missing or does not behave as it must; a cylinder is written, read,
 * meshed and written once in a child of its own before it is done here. */
struct wheel *wheel_open(const char *dir, struct err *e);
void wheel_close(struct wheel *w); /* frees the struct; the libraries stay */

/* In a child that waits: a cylinder through all that a job does, so that the pages which a job
 * writes to are the child's own by then. */
void wheel_rehearse(const struct wheel *w);

/* "7.9.3", or "" */
const char *wheel_version(const struct wheel *w);

/* Binary BREP in, the same shape with triangles out (appended to @out). Triangles that it brings
 * along are dropped first: a program could have forged them. @linear: deflection relative to each
 * edge; @angular: rad. 0, or -1 (ERR_INPUT, ERR_MEM). */
int wheel_mesh(const struct wheel *w, const void *bytes, size_t len, double linear, double angular,
               struct buf *out, struct err *e);

#ifdef __cplusplus
}
#endif
#endif
