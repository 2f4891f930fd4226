#include "engine/rehearsal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define RANGES_MAX  6000
#define MAPPING_MAX (UINT64_C(4) << 30)

/* Linux 5.14; the headers of Debian 12 have them, older ones do not */
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif

/* Bits of a word of /proc/PID/pagemap (Documentation/admin-guide/mm/pagemap.rst). */
#define PAGE_PRESENT   (UINT64_C(1) << 63)
#define PAGE_EXCLUSIVE (UINT64_C(1) << 56)

struct range {
	uintptr_t from, to;
	bool write;
};

/* Shared with the rehearsing child, which fills it; read-only after. */
struct rehearsal_pages {
	int n;
	struct range range[RANGES_MAX];
};

static void add_page(struct rehearsal_pages *p, uintptr_t at, size_t page, bool write)
{
	struct range *last = p->n ? &p->range[p->n - 1] : NULL;
	/* a hole in what is only read costs nothing to map along; one in what is written costs a
	 * copy */
	size_t hole = write ? 0 : 8 * page;

	if (last && last->write == write && at >= last->to && at - last->to <= hole) {
		last->to = at + page;
		return;
	}
	if (p->n < RANGES_MAX)
		p->range[p->n++] = (struct range){ .from = at, .to = at + page, .write = write };
}

/* Notes the pages of one mapping that this process has of its own (writable) or has mapped. */
static void learn_mapping(struct rehearsal_pages *p, int pagemap, uintptr_t from, uintptr_t to,
                          bool write)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint64_t words[512];

	for (uintptr_t at = from; at < to;) {
		size_t want = (to - at) / page;
		if (want > 512)
			want = 512;
		ssize_t got = pread(pagemap, words, want * 8, (off_t)(at / page * 8));
		if (got < 8)
			return;
		for (size_t i = 0; i < (size_t)got / 8; i++) {
			bool hot = (words[i] & PAGE_PRESENT) &&
			           (!write || (words[i] & PAGE_EXCLUSIVE));
			if (hot)
				add_page(p, at + i * page, page, write);
		}
		at += (uintptr_t)(got / 8) * page;
	}
}

static void learn(struct rehearsal_pages *p)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	char line[1024];

	while (maps && pagemap >= 0 && fgets(line, sizeof(line), maps)) {
		uintptr_t from, to;
		char mode[5], name[600] = "";
		unsigned long inode = 0;
		if (sscanf(line, "%lx-%lx %4s %*s %*s %lu %599[^\n]", &from, &to, mode, &inode,
		           name) < 4)
			continue;
		if (mode[3] != 'p' || mode[0] != 'r' || strstr(name, "[v") ||
		    strstr(name, "[stack"))
			continue;
		/* a sanitizer's shadow: terabytes of nothing */
		if (to - from > MAPPING_MAX)
			continue;
		if (mode[1] == 'w')
			learn_mapping(p, pagemap, from, to, true);
		else if (inode)
			learn_mapping(p, pagemap, from, to, false);
	}
	if (maps)
		fclose(maps);
	if (pagemap >= 0)
		close(pagemap);
}

int rehearsal_begin(struct rehearsal *r, void (*job)(void *ctx), void *ctx, struct err *e)
{
	int pipe_fd[2];
	struct rehearsal_pages *pages = mmap(NULL, sizeof(*pages), PROT_READ | PROT_WRITE,
	                                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	*r = (struct rehearsal){ .done_fd = -1 };
	if (pages == MAP_FAILED)
		return err_errno(e, ERR_MEM, "the rehearsal's pages");
	if (pipe2(pipe_fd, O_CLOEXEC) < 0) {
		munmap(pages, sizeof(*pages));
		return err_errno(e, ERR_IO, "the rehearsal's pipe");
	}
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (null < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0)
			_exit(1);
		job(ctx);
		learn(pages);
		_exit(0);
	}
	close(pipe_fd[1]);
	if (pid < 0) {
		close(pipe_fd[0]);
		munmap(pages, sizeof(*pages));
		return err_errno(e, ERR_LOST, "the rehearsal's fork");
	}
	r->pid = pid;
	r->done_fd = pipe_fd[0];
	r->pages = pages;
	return 0;
}

int rehearsal_finish(struct rehearsal *r)
{
	int status = -1;

	while (waitpid(r->pid, &status, 0) < 0 && errno == EINTR)
		;
	close(r->done_fd);
	r->done_fd = -1;
	r->pid = 0;
	if (status == 0 && r->pages->n > 0)
		return 1;
	munmap(r->pages, sizeof(*r->pages));
	r->pages = NULL;
	return 0;
}

void rehearsal_touch(const struct rehearsal *r)
{
	const struct rehearsal_pages *p = r->done_fd < 0 ? r->pages : NULL;

	for (int i = 0; p && i < p->n; i++)
		/* what is not mapped here, or a kernel that does not know this: then the fault
		 * comes later, as it always did */
		madvise((void *)p->range[i].from, p->range[i].to - p->range[i].from,
		        p->range[i].write ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
}

size_t rehearsal_private_bytes(const struct rehearsal *r)
{
	size_t bytes = 0;

	for (int i = 0; r->done_fd < 0 && r->pages && i < r->pages->n; i++)
		if (r->pages->range[i].write)
			bytes += r->pages->range[i].to - r->pages->range[i].from;
	return bytes;
}
