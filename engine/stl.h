/*
 * stl.h - loose triangles from and to STL.
 *
 * Lengths are taken as mm. Strict: what is cut off, or says one thing and holds another, is an
 * error that names the byte (binary) or the line (text).
 */
#ifndef ENGINE_STL_H
#define ENGINE_STL_H

#include <stddef.h>

#include "engine/mesh.h"
#include "src/base/buf.h"

/* Binary or text. Size decides first: a file of exactly 84 + 50 n bytes, n as its header says, is
 * binary, whatever its first bytes look like. Facet normals are read over, the corners count.
 * Numbers are finite. 0, or -1 with @out untouched: ERR_INPUT when damaged or over @triangles_max,
 * ERR_MEM. No triangles is no error. */
int stl_read(struct soup *out, const void *bytes, size_t len, long triangles_max, struct err *e);

/* Binary, normals by the right-hand rule (0 0 0 for a sliver), no date: equal triangles give equal
 * bytes. 0, or -1 (ERR_MEM; ERR_INPUT past 2^32 - 1 triangles). */
int stl_write(struct buf *out, const struct soup *s, struct err *e);

#endif
