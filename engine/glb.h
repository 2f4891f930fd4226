/*
 * glb.h - loose triangles from and to GLB (glTF 2.0 in one file).
 *
 * glTF is in metres with Y up, we are in mm with Z up: (x, y, z) m <-> (1000 x, -1000 z, 1000 y)
 * mm. Only shape is read: triangles of every mesh that the scene's nodes place (of every mesh,
 * where there is no node). Errors name the place in the file.
 */
#ifndef ENGINE_GLB_H
#define ENGINE_GLB_H

#include <stddef.h>

#include "engine/mesh.h"
#include "src/base/buf.h"

/* POSITION as float32, indices as u8, u16, u32 or none, primitives of triangles (mode 4; points and
 * lines are passed over, strips, fans, quantized and compressed meshes refused in words). 0, or -1
 * with @out untouched: ERR_INPUT, ERR_MEM. No triangles is no error. */
int glb_read(struct soup *out, const void *bytes, size_t len, long triangles_max, struct err *e);

/* One mesh, one flat-shaded primitive without indices: glTF says that a viewer makes flat normals
 * where there are none. Equal triangles give equal bytes. 0, or -1 (ERR_MEM; ERR_INPUT when it
 * would pass 4 GiB or there is no triangle, which glTF cannot say). */
int glb_write(struct buf *out, const struct soup *s, struct err *e);

#endif
