#include "src/store_inside.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <unistd.h>

static const char digits[] = "0123456789abcdef";

void hex_of(char out[SHA256_HEX], const unsigned char hash[SHA256_BYTES])
{
	for (int i = 0; i < SHA256_BYTES; i++) {
		out[2 * i] = digits[hash[i] >> 4];
		out[2 * i + 1] = digits[hash[i] & 15];
	}
	out[2 * SHA256_BYTES] = '\0';
}

bool hex_to(unsigned char hash[SHA256_BYTES], const char *hex)
{
	for (int i = 0; i < 2 * SHA256_BYTES; i++) {
		const char *d = hex[i] ? strchr(digits, hex[i]) : NULL;
		if (!d)
			return false;
		int v = (int)(d - digits);
		hash[i / 2] = (unsigned char)(i % 2 ? hash[i / 2] | v : v << 4);
	}
	return hex[2 * SHA256_BYTES] == '\0';
}

/* Reads what is there from the descriptor's begin. */
static enum head_state head_parse(int fd, char id[STORE_ID], struct tip *out)
{
	char text[256], hex[SHA256_HEX + 1], name[STORE_ID + 1];
	long long seq;
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	if (n < 0)
		return HEAD_UNREADABLE;
	text[n] = '\0';
	if (sscanf(text, "cadforge-head-1 %33s %lld %65s", name, &seq, hex) != 3 || seq < 1 ||
	    strlen(name) != STORE_ID - 1 || !hex_to(out->hash, hex))
		return HEAD_UNREADABLE;
	memcpy(id, name, STORE_ID);
	out->seq = seq;
	return HEAD_READ;
}

enum head_state head_read(const char *file, char id[STORE_ID], struct tip *out)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s.head", file) >= (int)sizeof(path))
		return HEAD_NONE;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return access(path, F_OK) == 0 ? HEAD_UNREADABLE : HEAD_NONE;
	enum head_state state = head_parse(fd, id, out);
	close(fd);
	return state;
}

int head_write(const char *file, const char *id, const struct tip *t, bool anyway)
{
	char path[PATH_MAX], text[256], hex[SHA256_HEX], old_id[STORE_ID];
	struct tip old;
	int rc = -1;

	if (snprintf(path, sizeof(path), "%s.head", file) >= (int)sizeof(path))
		return -1;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0666);
	if (fd < 0)
		return -1;
	/* another process may be here with a later link: the file only goes forward */
	if (flock(fd, LOCK_EX) < 0)
		goto out;
	if (!anyway && head_parse(fd, old_id, &old) == HEAD_READ && strcmp(old_id, id) == 0 &&
	    old.seq > t->seq) {
		rc = 0;
		goto out;
	}
	hex_of(hex, t->hash);
	/* one length always, so that writing over it in place never needs room on the disk */
	int n = snprintf(text, sizeof(text), "cadforge-head-1 %s %019lld %s\n", id,
	                 (long long)t->seq, hex);
	if (pwrite(fd, text, (size_t)n, 0) == n)
		rc = 0;
out:
	close(fd);
	return rc;
}

/* Field 22 of /proc/PID/stat, when the process began; 0 when there is no such process. */
static unsigned long long began(long pid)
{
	char path[64], text[1024];
	unsigned long long v = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	size_t n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	/* the name, in brackets, may hold anything */
	const char *p = strrchr(text, ')');
	for (int i = 0; p && i < 20; i++)
		p = strchr(p + 1, ' ');
	if (p)
		v = strtoull(p + 1, NULL, 10);
	return v;
}

/* "HOST BOOT NAMESPACE", where a process number means something. */
static void here(char *out, size_t size)
{
	struct utsname u;
	char boot[64] = "-", space[64] = "-";
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

	if (f) {
		if (fscanf(f, "%63s", boot) != 1)
			strcpy(boot, "-");
		fclose(f);
	}
	ssize_t n = readlink("/proc/self/ns/pid", space, sizeof(space) - 1);
	space[n > 0 ? n : 1] = '\0';
	if (uname(&u) < 0 || !u.nodename[0])
		strcpy(u.nodename, "-");
	snprintf(out, size, "%.64s %s %s", u.nodename, boot, space);
}

void holder_self(char out[STORE_HOLDER])
{
	char place[256];

	here(place, sizeof(place));
	snprintf(out, STORE_HOLDER, "%s %ld %llu", place, (long)getpid(), began(getpid()));
}

bool holder_dead(const char *holder, int64_t started_us)
{
	char place[256], host[65], boot[64], space[64], host2[65], boot2[64], space2[64];
	unsigned long long start;
	long pid;

	here(place, sizeof(place));
	if (sscanf(place, "%64s %63s %63s", host, boot, space) != 3 ||
	    sscanf(holder, "%64s %63s %63s %ld %llu", host2, boot2, space2, &pid, &start) != 5)
		return true;
	if (strcmp(host, host2) == 0 && strcmp(boot, boot2) != 0)
		return true; /* the machine was started anew since */
	if (strcmp(host, host2) != 0 || strcmp(space, space2) != 0)
		/* elsewhere: not to be known from here, but no turn takes a week */
		return store_now_us() - started_us > INT64_C(7) * 86400 * 1000000;
	return began(pid) != start;
}

long lock_holder(const char *file)
{
	char path[PATH_MAX], line[256], id[64];
	struct stat st;
	long found = 0;

	if (snprintf(path, sizeof(path), "%s-shm", file) >= (int)sizeof(path) ||
	    stat(path, &st) < 0)
		return 0;
	/* F_GETLK would need the file opened, and closing that drops the locks we hold ourselves */
	FILE *f = fopen("/proc/locks", "re");
	if (!f)
		return 0;
	snprintf(id, sizeof(id), "%02x:%02x:%llu", major(st.st_dev), minor(st.st_dev),
	         (unsigned long long)st.st_ino);
	while (!found && fgets(line, sizeof(line), f)) {
		char kind[16], access_[16], where[64];
		long pid;
		long long from;
		/* byte 120 of the index of the log is SQLite's lock for the one writer */
		if (sscanf(line, "%*s %15s %*s %15s %ld %63s %lld", kind, access_, &pid, where,
		           &from) == 5 &&
		    strcmp(access_, "WRITE") == 0 && strcmp(where, id) == 0 && from == 120)
			found = pid;
	}
	fclose(f);
	return found;
}
