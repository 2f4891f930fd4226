/*
 * folder.h - a folder of the process's own for targets whose code under test opens files by name.
 */
#ifndef TESTS_FUZZ_FOLDER_H
#define TESTS_FUZZ_FOLDER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/buf.h"

static char fuzz_dir[64];

static inline void fuzz_folder_remove(void)
{
	static const char *const names[] = { "adapter_config.json",
		                             "adapter_model.safetensors",
		                             "model.safetensors",
		                             "model.safetensors.index.json",
		                             "a.st",
		                             "b.st",
		                             "tokenizer.json",
		                             "tokenizer_config.json",
		                             "chat_template.jinja",
		                             "rows.jsonl" };
	char path[128];

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		snprintf(path, sizeof(path), "%s/%s", fuzz_dir, names[i]);
		unlink(path);
	}
	rmdir(fuzz_dir);
}

/* The folder, made when first asked for; in memory where the system has such a place. */
static inline const char *fuzz_folder(void)
{
	if (!fuzz_dir[0]) {
		snprintf(fuzz_dir, sizeof(fuzz_dir), "%s/cadforge-fuzz-XXXXXX",
		         access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
		if (!mkdtemp(fuzz_dir))
			abort();
		atexit(fuzz_folder_remove);
	}
	return fuzz_dir;
}

static inline void fuzz_put(const char *name, const void *data, size_t len)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", fuzz_folder(), name);
	FILE *f = fopen(path, "wb");
	if (!f || fwrite(data, 1, len, f) != len || fclose(f) != 0)
		abort();
}

#endif
