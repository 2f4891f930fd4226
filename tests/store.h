/*
 * store.h - what the tests of the store share: a folder of one's own, a turn with all it may have,
 * and looking at the whole database through the store's own eyes.
 */
#ifndef TESTS_STORE_H
#define TESTS_STORE_H

#include "tests/lib.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/store.h"

/* A fresh folder; fast ones first: kill -9 needs no disk. */
static inline void make_folder(char *out, size_t size)
{
	snprintf(out, size, "%s/cadforge-store-XXXXXX",
	         access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	assert_non_null(mkdtemp(out));
}

static inline void remove_folder(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *x;
	char path[600];

	while (d && (x = readdir(d))) {
		snprintf(path, sizeof(path), "%s/%s", dir, x->d_name);
		unlink(path);
	}
	if (d)
		closedir(d);
	rmdir(dir);
}

#define assert_done(rc, e)                                                                         \
	do {                                                                                       \
		if ((rc) < 0)                                                                      \
			fail_msg("%s", (e)->text);                                                 \
	} while (0)

static inline cJSON *score_of(double total, bool built, const char *class_name)
{
	struct buf b = { 0 };
	struct err e = { 0 };

	buf_printf(
		&b,
		"{\"task\":\"hook\",\"profile\":\"exact\",\"build\":{\"ok\":%s,\"class\":\"%s\"},"
		"\"reward\":{\"total\":%.17g,\"build\":%s,\"topology\":0.5,\"contact\":null,"
		"\"semantic_parts\":0.25,\"reference_similarity\":null,\"silhouette\":0.125,"
		"\"editability\":1,\"efficiency\":0.75},\"notes\":[\"expected 4 through-holes, "
		"found 2\",\"the gusset is missing\"],\"delta\":null}",
		built ? "true" : "false", class_name, total, built ? "1" : "0");
	cJSON *o = json_parse(buf_str(&b), b.len, &e);
	buf_release(&b);
	assert_non_null(o);
	return o;
}

static inline int start_episode(struct store *s, const char *task, int64_t *id, struct err *e)
{
	struct store_episode_new n = {
		.task = task, .profile = "exact", .prompts = "plain", .source = "run"
	};

	return store_episode_start(s, &n, id, e);
}

/* A turn whose texts and figures follow from @seed; with two events and two artifacts. */
static inline int commit_turn(struct store *s, int64_t episode, int parent, int seed, int *number,
                              struct err *e)
{
	char program[200], log[100], picture[300];
	cJSON *score = score_of(0.1 + 0.01 * (seed % 80), seed % 3 != 2,
	                        seed % 3 == 2 ? "undefined_name" : "ok");
	struct store_event_new events[] = {
		{ .time_us = 1000 + seed, .kind = "decision", .data = "ask" },
		{ .time_us = 2000 + seed, .kind = "tokens", .data = "import cadquery" },
	};

	snprintf(program, sizeof(program),
	         "import cadquery as cq\nfixture = cq.Workplane()  # %d\n", seed);
	snprintf(log, sizeof(log), "built in %d ms\n", seed);
	for (size_t i = 0; i < sizeof(picture); i++)
		picture[i] = (char)(seed * 31 + (int)i * (int)i);
	struct store_artifact_new artifacts[] = {
		{ .name = "front.png", .kind = "view", .data = picture, .len = sizeof(picture) },
		{ .name = "turn.md", .kind = "markdown", .data = "# turn\n", .len = 7 },
	};
	struct store_turn_new t = {
		.episode = episode,
		.parent = parent,
		.source = "model",
		.model = seed % 2 ? "small" : "large",
		.adapter = "sft",
		.sampling = "{\"seed\":1}",
		.finish = "stop",
		.prompt_tokens = -1,
		.completion_tokens = 20,
		.prompt = "[{\"role\":\"user\",\"content\":\"A hook\\nfor a wall\"}]",
		.prompt_len = strlen("[{\"role\":\"user\",\"content\":\"A hook\\nfor a wall\"}]"),
		.completion = program,
		.completion_len = strlen(program),
		.program = program,
		.program_len = strlen(program),
		.log = log,
		.log_len = strlen(log),
		.score = score,
		.artifacts = artifacts,
		.n_artifacts = 2,
		.events = events,
		.n_events = 2,
	};
	int rc = store_turn_commit(s, &t, number, e);
	cJSON_Delete(score);
	return rc;
}

static inline int print_finding(void *ctx, const struct store_finding *f)
{
	struct buf *b = ctx;

	buf_printf(b, "%s%s\n", f->loss ? "LOSS " : "", f->what);
	return 0;
}

/* What fsck says, all of it; *@problems how many losses. */
static inline void look_through(struct store *s, bool repair, struct buf *said, int *problems)
{
	struct store_fsck_options o = { .finding = print_finding, .ctx = said, .repair = repair };
	struct err e = { 0 };

	buf_clear(said);
	assert_done(store_fsck(s, &o, problems, &e), &e);
}

static inline void assert_whole(struct store *s)
{
	struct buf said = { 0 };
	int problems = -1;

	look_through(s, false, &said, &problems);
	if (problems)
		fail_msg("fsck found %d: %s", problems, buf_str(&said));
	buf_release(&said);
}

static inline int count_turns(void *ctx, const struct store_turn *t)
{
	(void)t;
	++*(int *)ctx;
	return 0;
}

#endif
