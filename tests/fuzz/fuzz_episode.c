/* Any bytes as the episode.json of an exported episode, beside the files of a good one: it comes in
 * whole, and goes out and in again alike, or nothing of it does and the error says why. */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "src/episode_read.h"
#include "tests/fuzz/folder.h"

/* What the corpus's episodes name; their hashes are in them. */
static const struct {
	const char *name, *text;
} files[] = {
	{ "turn-1/reward.json",
	  "{\"build\":{\"ok\":true,\"class\":\"build_ok\"},\"reward\":{\"total\":0.5},"
	  "\"notes\":[\"a note\"]}" },
	{ "turn-1/program.py", "import cadquery as cq\n" },
	{ "turn-1/completion.txt", "import cadquery as cq\n" },
	{ "turn-1/front.png", "no picture" },
	{ "turn-2/reward.json", "{}" },
	{ "turn-2/program.py", "" },
};

static struct store *store;
static int inputs;

static void leave(void)
{
	static const char *const more[] = { "episode.json", "x.db",      "x.db-wal",
		                            "x.db-shm",     "x.db.head", "x.db-journal" };
	char path[200];

	store_close(store);
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		snprintf(path, sizeof(path), "%s/%s", fuzz_dir, files[i].name);
		unlink(path);
	}
	for (size_t i = 0; i < sizeof(more) / sizeof(*more); i++) {
		snprintf(path, sizeof(path), "%s/%s", fuzz_dir, more[i]);
		unlink(path);
	}
	for (int i = 1; i <= 2; i++) {
		snprintf(path, sizeof(path), "%s/turn-%d", fuzz_dir, i);
		rmdir(path);
	}
}

/* A new database now and then: what comes in stays in. */
static void begin(void)
{
	static const char *const old[] = { "x.db", "x.db-wal", "x.db-shm", "x.db.head" };
	struct err e = { 0 };
	char path[200];

	if (inputs++ % 2000 != 0)
		return;
	if (!store) {
		fuzz_folder();
		atexit(leave);
		for (int i = 1; i <= 2; i++) {
			snprintf(path, sizeof(path), "%s/turn-%d", fuzz_dir, i);
			FUZZ_CLAIM(mkdir(path, 0700) == 0);
		}
		for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
			fuzz_put(files[i].name, files[i].text, strlen(files[i].text));
	}
	store_close(store);
	for (size_t i = 0; i < sizeof(old) / sizeof(*old); i++) {
		snprintf(path, sizeof(path), "%s/%s", fuzz_dir, old[i]);
		unlink(path);
	}
	snprintf(path, sizeof(path), "%s/x.db", fuzz_dir);
	store = store_open(path, STORE_WRITE, NULL, &e);
	FUZZ_CLAIM(store);
}

static int count(void *ctx, const struct store_episode *x)
{
	int64_t *newest = ctx;

	*newest = x->id;
	return 0;
}

static int64_t newest(void)
{
	struct store_filter f = store_filter_none();
	struct err e = { 0 };
	int64_t id = 0;

	FUZZ_CLAIM(store_episodes(store, &f, 0, 1, count, &id, NULL, &e) == 0);
	return id;
}

static int count_turns(void *ctx, const struct store_turn *t)
{
	int *n = ctx;

	FUZZ_CLAIM(t->parent < t->number);
	++*n;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct episode_read in = { 0 };
	struct err e = { 0 };

	if (len > 60000)
		return 0;
	begin();
	fuzz_put("episode.json", bytes, len);
	int64_t before = newest();
	int rc = episode_read(store, fuzz_folder(), &in, &e);
	if (rc < 0) {
		FUZZ_CLAIM(e.text[0] && (e.kind == ERR_INPUT || e.kind == ERR_USAGE));
		FUZZ_CLAIM(newest() == before);
		return 0;
	}
	if (in.already) {
		FUZZ_CLAIM(newest() == before && in.episode <= before);
		return 0;
	}
	int turns = 0;
	FUZZ_CLAIM(in.episode > before && newest() == in.episode);
	FUZZ_CLAIM(store_turns(store, in.episode, count_turns, &turns, &e) == 0);
	FUZZ_CLAIM(turns == in.turns);
	/* once is enough */
	FUZZ_CLAIM(episode_read(store, fuzz_folder(), &in, &e) == 0 && in.already);
	return 0;
}
