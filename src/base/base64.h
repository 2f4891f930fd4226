/*
 * base64.h - bytes as text (RFC 4648, section 4).
 */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include "src/base/buf.h"

/* Appended to @out, without line ends. */
void base64_add(struct buf *out, const void *data, size_t len);

#endif
