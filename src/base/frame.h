/*
 * frame.h - the messages that cadforge and its helper programs exchange on fd 3.
 *
 * A frame on the wire, little endian, no padding:
 *     u8  magic[4]   "CFm1"
 *     u32 type       see engine/wire.h
 *     u32 job        chosen by the asker, echoed by the answerer; 0 where no job is meant
 *     u32 json_len   bytes of JSON text that follow (one object, UTF-8; may be 0)
 *     u32 blob_len   bytes of raw data that follow the JSON (BREP, program text, log bytes; may be
 * 0) A stream is a sequence of frames and nothing else, so it can be kept in a file and fed by
 * hand.
 */
#ifndef BASE_FRAME_H
#define BASE_FRAME_H

#include <stdint.h>

#include "src/base/buf.h"

#define FRAME_HEADER_BYTES 20
#define FRAME_JSON_MAX     (64u << 20)
#define FRAME_BLOB_MAX     (1024u << 20)

struct frame {
	uint32_t type, job;
	const char
		*json; /* json_len bytes, not NUL-terminated; borrowed from the reader's buffer */
	uint32_t json_len;
	const void *blob;
	uint32_t blob_len;
};

struct frame_reader {
	struct buf in;
	size_t used; /* bytes at the front that belong to the frame last given out */
	uint32_t json_max, blob_max; /* limits; 0 means FRAME_JSON_MAX, FRAME_BLOB_MAX */
};

void frame_reader_release(struct frame_reader *r);

/* Reads what @fd has now, once. Returns the bytes read, 0 at end of file, -1 with @e set;
 * -2 when nothing is there now (EAGAIN). */
ssize_t frame_fill(struct frame_reader *r, int fd, struct err *e);

/* The same on a UNIX socket over which a descriptor may come along: it is written to @passed (which
 * is left alone when none came), close-on-exec, the caller's to close. */
ssize_t frame_fill_fd(struct frame_reader *r, int fd, int *passed, struct err *e);

/* The next whole frame into @f (borrowed until the next frame_* call on @r). 1: there is one; 0:
 * more bytes are needed; -1: the stream is damaged (ERR_PROTOCOL: wrong magic or a length over the
 * limit), for good. */
int frame_next(struct frame_reader *r, struct frame *f, struct err *e);

/* One frame that begins at @bytes, all of it there (bytes after it are ignored); borrowed. 0, or -1
 * with @e (ERR_PROTOCOL). */
int frame_parse(struct frame *f, const void *bytes, size_t len, struct err *e);

/* Looks at a header alone: @whole gets the bytes of the frame that begins with it. Limits of 0 mean
 * FRAME_JSON_MAX, FRAME_BLOB_MAX. 0, or -1 with @e (ERR_PROTOCOL); when that is because of the data
 * after the JSON, @over (may be NULL) gets their length. */
int frame_whole(const void *header, uint32_t json_max, uint32_t blob_max, size_t *whole,
                uint32_t *over, struct err *e);

/* The header alone, for callers that write the parts themselves. */
void frame_header(unsigned char h[FRAME_HEADER_BYTES], uint32_t type, uint32_t job,
                  uint32_t json_len, uint32_t blob_len);

/* Appends one frame to @out. */
void frame_append(struct buf *out, uint32_t type, uint32_t job, const char *json, size_t json_len,
                  const void *blob, size_t blob_len);

/* Writes what is in @out to a non-blocking @fd and drops what was taken. 0 when all went out, 1
 * when some is left (poll for POLLOUT), -1 with @e set. Never raises SIGPIPE on a socket. */
int frame_flush(struct buf *out, int fd, struct err *e);

#endif
