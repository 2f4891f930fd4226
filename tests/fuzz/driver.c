/*
 * driver.c - a main() for a fuzz target where the compiler has no libFuzzer, and for targets that
 * fork (libFuzzer learns nothing from a child).
 *
 *     fuzz_X SECONDS SEED FOLDER [FILE...]   mutates the files of FOLDER for so long; or runs the
 * FILEs
 *
 * The input that breaks the target is left in the working folder as crash-SEED-RUN.
 */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "src/base/buf.h"

#define SEEDS_MAX 512
#define INPUT_MAX 65536

void __sanitizer_set_death_callback(void (*)(void)) __attribute__((weak));

/* What is being run, for the handler that keeps it: a death callback gets no argument. */
static struct {
	const uint8_t *bytes;
	size_t len;
	char name[64];
} current;

static void keep_input(void)
{
	int fd = open(current.name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return;
	if (write(fd, current.bytes, current.len) == (ssize_t)current.len)
		dprintf(2, "the input is in %s\n", current.name);
	close(fd);
}

static void on_death(int sig)
{
	keep_input();
	signal(sig, SIG_DFL);
	raise(sig);
}

static uint64_t next(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

static size_t below(uint64_t *s, size_t n)
{
	return n ? (size_t)(next(s) % n) : 0;
}

static size_t mutate(uint64_t *s, uint8_t *p, size_t len, const struct buf *other)
{
	static const uint32_t odd[] = { 0,          1,          0x7f,       0x80,
		                        0xff,       0x7fff,     0xffff,     0x7fffffff,
		                        0x80000000, 0xffffffff, 0x7f800000, 0x7fc00000 };
	size_t at = below(s, len), n = 1 + below(s, 16);

	switch (below(s, 8)) {
	case 0:
		if (len)
			p[at] ^= (uint8_t)(1u << below(s, 8));
		return len;
	case 1:
		if (len)
			p[at] = (uint8_t)next(s);
		return len;
	case 2: /* an odd number, little endian */
		if (len >= 4)
			memcpy(p + below(s, len - 3), &odd[below(s, sizeof(odd) / sizeof(*odd))],
			       4);
		return len;
	case 3: /* a digit: text formats */
		if (len)
			p[at] = (uint8_t)('0' + below(s, 10));
		return len;
	case 4: /* cut out */
		n = n < len - at ? n : len - at;
		memmove(p + at, p + at + n, len - at - n);
		return len - n;
	case 5: /* repeat */
		if (len + n > INPUT_MAX || at + n > len)
			return len;
		memmove(p + at + n, p + at, len - at);
		return len + n;
	case 6: /* cut off */
		return below(s, 20) ? len : at;
	default: /* a piece of another seed */
		if (!other->len)
			return len;
		n = 1 + below(s, 64);
		size_t from = below(s, other->len);
		n = n < other->len - from ? n : other->len - from;
		n = n < len - at ? n : len - at;
		memcpy(p + at, other->data + from, n);
		return len;
	}
}

static void run(const uint8_t *bytes, size_t len)
{
	/* in memory of just its size, so that a read past the end is seen */
	uint8_t *copy = malloc(len ? len : 1);

	if (!copy)
		abort();
	if (len)
		memcpy(copy, bytes, len);
	current.bytes = copy;
	current.len = len;
	LLVMFuzzerTestOneInput(copy, len);
	free(copy);
}

int main(int argc, char **argv)
{
	static uint8_t input[INPUT_MAX + 64];
	struct buf seed[SEEDS_MAX] = { { 0 } };
	struct err e = { 0 };
	int n = 0;

	if (argc < 4) {
		fprintf(stderr, "%s SECONDS SEED FOLDER [FILE...]\n", argv[0]);
		return 2;
	}
	if (__sanitizer_set_death_callback)
		__sanitizer_set_death_callback(keep_input);
	signal(SIGABRT, on_death);
	snprintf(current.name, sizeof(current.name), "crash-%.20s-file", argv[2]);
	for (int i = 4; i < argc; i++) {
		struct buf b = { 0 };
		if (buf_read_file(&b, argv[i], 1 << 24, &e) < 0) {
			fprintf(stderr, "%s\n", e.text);
			return 2;
		}
		run((const uint8_t *)b.data, b.len);
		buf_release(&b);
	}
	if (argc > 4)
		return 0;

	DIR *d = opendir(argv[3]);
	if (!d) {
		perror(argv[3]);
		return 2;
	}
	for (struct dirent *x; (x = readdir(d)) && n < SEEDS_MAX;) {
		char path[1024];
		snprintf(path, sizeof(path), "%s/%s", argv[3], x->d_name);
		if (x->d_name[0] != '.' && buf_read_file(&seed[n], path, INPUT_MAX, &e) == 0)
			n++;
	}
	closedir(d);
	if (n == 0) {
		fprintf(stderr, "%s: no seed\n", argv[3]);
		return 2;
	}
	uint64_t s = strtoull(argv[2], NULL, 10) * 0x9e3779b97f4a7c15u | 1;
	time_t until = time(NULL) + atoi(argv[1]);
	unsigned long runs = 0;
	for (int i = 0; i < n; i++)
		run((const uint8_t *)seed[i].data, seed[i].len);
	for (; time(NULL) < until; runs++) {
		const struct buf *from = &seed[below(&s, (size_t)n)];
		size_t len = from->len;
		snprintf(current.name, sizeof(current.name), "crash-%.20s-%lu", argv[2], runs);
		memcpy(input, from->data, len);
		for (size_t k = 1 + below(&s, 8); k > 0 && len > 0; k--)
			len = mutate(&s, input, len, &seed[below(&s, (size_t)n)]);
		run(input, len);
	}
	printf("%lu runs, %d seeds, seed number %s: nothing broke\n", runs, n, argv[2]);
	for (int i = 0; i < n; i++)
		buf_release(&seed[i]);
	return 0;
}
