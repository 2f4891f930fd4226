#include "src/base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Pages that a fork does not inherit; NULL when there are none. */
static char *secret_pages(char *old, size_t old_cap, size_t cap)
{
	void *p = old ? mremap(old, old_cap, cap, MREMAP_MAYMOVE)
	              : mmap(NULL, cap, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	if (!old && madvise(p, cap, MADV_DONTFORK) < 0) {
		munmap(p, cap);
		return NULL;
	}
	return p;
}

/* Moves what is left to the begin of the memory. */
static void close_gap(struct buf *b)
{
	if (!b->gap)
		return;
	b->data -= b->gap;
	b->cap += b->gap;
	memmove(b->data, b->data + b->gap, b->len + 1);
	b->gap = 0;
}

void buf_release(struct buf *b)
{
	if (b->data)
		b->data -= b->gap;
	b->cap += b->gap;
	if (!b->secret)
		free(b->data);
	else if (b->data)
		munmap(b->data, b->cap);
	*b = (struct buf){ .secret = b->secret };
}

void buf_clear(struct buf *b)
{
	b->len = 0;
	b->failed = false;
	if (b->data)
		b->data[0] = '\0';
}

char *buf_room(struct buf *b, size_t n)
{
	if (b->failed)
		return NULL;
	if (n > SIZE_MAX / 4 || b->len > SIZE_MAX / 4) {
		b->failed = true;
		return NULL;
	}
	if (b->len + n + 1 > b->cap)
		close_gap(b);
	if (b->len + n + 1 > b->cap) {
		size_t cap = b->cap ? b->cap : 64;
		while (cap < b->len + n + 1)
			cap += cap / 2;
		if (b->secret)
			cap = (cap + 65535) & ~(size_t)65535;
		char *p = b->secret ? secret_pages(b->data, b->cap, cap) : realloc(b->data, cap);
		if (!p) {
			b->failed = true;
			return NULL;
		}
		b->data = p;
		b->cap = cap;
		p[b->len] = '\0';
	}
	return b->data + b->len;
}

void buf_grew(struct buf *b, size_t n)
{
	b->len += n;
	b->data[b->len] = '\0';
}

void buf_add(struct buf *b, const void *data, size_t len)
{
	char *p = buf_room(b, len);

	if (!p)
		return;
	if (len)
		memcpy(p, data, len);
	buf_grew(b, len);
}

void buf_adds(struct buf *b, const char *text)
{
	buf_add(b, text, strlen(text));
}

void buf_addc(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	char *p = n < 0 ? NULL : buf_room(b, (size_t)n);
	if (p) {
		vsnprintf(p, (size_t)n + 1, fmt, again);
		buf_grew(b, (size_t)n);
	} else {
		b->failed = true;
	}
	va_end(again);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(b, fmt, ap);
	va_end(ap);
}

void buf_consume(struct buf *b, size_t n)
{
	if (n > b->len)
		n = b->len;
	if (!n)
		return;
	b->data += n;
	b->cap -= n;
	b->gap += n;
	b->len -= n;
	/* a byte is moved only when as many were dropped: a long buffer may go out in small bits */
	if (b->gap >= b->len)
		close_gap(b);
}

bool buf_failed(const struct buf *b)
{
	return b->failed;
}

const char *buf_str(const struct buf *b)
{
	return b->data ? b->data : "";
}

char *buf_take(struct buf *b, size_t *len)
{
	char *p;

	if (!b->data && !b->failed)
		buf_add(b, "", 0);
	if (b->failed) {
		buf_release(b);
		return NULL;
	}
	close_gap(b);
	if (len)
		*len = b->len;
	if (b->secret) { /* the caller frees it with free() */
		p = malloc(b->len + 1);
		if (p)
			memcpy(p, b->data, b->len + 1);
		buf_release(b);
		return p;
	}
	p = b->data;
	*b = (struct buf){ 0 };
	return p;
}

int buf_read_file(struct buf *b, const char *path, size_t max, struct err *e)
{
	struct stat st;
	/* O_NONBLOCK: opening a named pipe must not wait for its writer */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int rc = -1;

	if (fd < 0)
		return err_errno(e, ERR_INPUT, "%s: cannot be opened", path);
	if (fstat(fd, &st) < 0) {
		err_errno(e, ERR_IO, "%s", path);
		goto out;
	}
	if (S_ISDIR(st.st_mode)) {
		err_set(e, ERR_INPUT, "%s: is a directory, a file was expected; name a file in it",
		        path);
		goto out;
	}
	if (!S_ISREG(st.st_mode)) {
		err_set(e, ERR_INPUT,
		        "%s: is not a regular file (a pipe, socket or device); copy it to a file first",
		        path);
		goto out;
	}
	if ((uintmax_t)st.st_size > max) {
		err_set(e, ERR_INPUT, "%s: has %jd bytes, at most %zu are read; use a smaller file",
		        path, (intmax_t)st.st_size, max);
		goto out;
	}
	for (;;) {
		size_t want = (size_t)st.st_size > b->len ? (size_t)st.st_size - b->len + 1 : 4096;
		char *p = buf_room(b, want);
		if (!p) {
			err_set(e, ERR_MEM, "%s: out of memory after %zu bytes", path, b->len);
			goto out;
		}
		ssize_t n = read(fd, p, want);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			err_errno(e, ERR_INPUT, "%s: reading at byte %zu", path, b->len);
			goto out;
		}
		if (n == 0)
			break;
		buf_grew(b, (size_t)n);
		if (b->len > max) {
			err_set(e, ERR_INPUT, "%s: grew past %zu bytes while it was read", path,
			        max);
			goto out;
		}
	}
	rc = 0;
out:
	close(fd);
	return rc;
}

int file_write_atomic(const char *path, const void *data, size_t len, struct err *e)
{
	struct buf tmp = { 0 };
	const char *p = data;
	int rc = -1;

	buf_printf(&tmp, "%s.XXXXXX", path);
	if (buf_failed(&tmp))
		return err_set(e, ERR_MEM, "%s: out of memory", path);
	int fd = mkostemp(tmp.data, O_CLOEXEC);
	if (fd < 0) {
		err_errno(e, ERR_IO, "%s: cannot be written", path);
		goto out;
	}
	while (len > 0) {
		ssize_t n = write(fd, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			err_errno(e, ERR_IO, "%s: writing", path);
			goto fail;
		}
		p += n;
		len -= (size_t)n;
	}
	mode_t mask = umask(0);
	umask(mask);
	if (fchmod(fd, 0666 & ~mask) < 0 || fsync(fd) < 0) {
		err_errno(e, ERR_IO, "%s: writing", path);
		goto fail;
	}
	if (rename(tmp.data, path) < 0) {
		err_errno(e, ERR_IO, "%s: cannot be replaced", path);
		goto fail;
	}
	rc = 0;
fail:
	close(fd);
	if (rc < 0)
		unlink(tmp.data);
out:
	buf_release(&tmp);
	return rc;
}
