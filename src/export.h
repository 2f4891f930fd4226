/*
 * export.h - episodes out of the store: a folder that holds all of one, a page to read, lines to
 * train on.
 *
 * All are atomic: what has the name asked for is whole. It is written beside it, under
 * .NAME.partial-PID-..., and renamed when it is on the disk; what a killed export left under such a
 * name is removed by the next one to the same place.
 *
 * The folder, format "cadforge-episode-1", can be imported again, and exported from there is the
 * same byte for byte:
 *     episode.json            all but the artifacts: {format, task, ..., events, turns [{turn,
 *                             parent, ..., artifacts [{name, kind, bytes, sha256, there}], events,
 *                             judgements}]}; times in UTC
 *     README.md               the page
 *     turn-N/...              the turn's artifacts by their names
 * It names no numbers of the database it came from: "origin" says which episode it is, anywhere.
 *
 * An episode of a run (a training, an evaluation) takes along what it was to that: as the first of
 * its events "run" {"run", "kind", "settings", "sample_step"}, where "run" is a name that all
 * episodes of that run have in common; and as the last event of a turn "rollout" {"step", "group",
 * "member", "round", "kind", "reward", "advantage", "use"}. Where it is imported they are events as
 * all others, and the episode belongs to no run: nothing there was learnt from it. The run's own
 * steps, curves and checkpoints are no part of an episode; 'cadforge report' says them.
 */
#ifndef SRC_EXPORT_H
#define SRC_EXPORT_H

#include "engine/prompts.h"
#include "src/episode_view.h"
#include "src/store.h"

#define EXPORT_FORMAT "cadforge-episode-1"

enum export_kind {
	EXPORT_FOLDER,
	EXPORT_MARKDOWN, /* FILE.md, pictures in FILE.files/ */
	EXPORT_HTML,     /* one file (src/episode_page.h) */
	EXPORT_JSONL,    /* every turn: {task, prompt, completion, ...} (src/jsonl.h reads it) */
	EXPORT_SFT,      /* {messages, ...}: turns worth learning from */
	EXPORT_PAIRS,    /* {prompt, chosen, rejected, ...}, as src/export_pairs.h decides */
	EXPORT_PROMPTS,  /* {task, prompt}: each prompt once */
};

struct export_options {
	enum export_kind kind;
	const int64_t *episodes;
	int n_episodes;
	double min;    /* SFT: the least total; PAIRS: of the chosen one */
	double margin; /* PAIRS: the least difference of totals; SFT: of a repair to its parent */
	/* For turns that were made without a prompt (imported ones): what would be asked. NULL:
	 * they are left out */
	const struct prompt_set *prompts;
	const struct task_set *tasks;        /* or NULL: pages then lack the task's text */
	const struct episode_mesher *mesher; /* HTML: of shapes without triangles; or NULL */
	/* Called at named steps: "begin", "file" (after each), "written" (all is on the disk under
	 * its other name), "renamed". Tests end the process there. May be NULL. */
	void (*step)(void *ctx, const char *name);
	int (*tick)(void *ctx); /* after each episode; not 0: stop. May be NULL */
	void *ctx;
};

struct exported {
	int episodes, turns, lines, files;
	int left_out; /* turns that could not be said: without prompt, or pruned */
	int mended;   /* texts with bytes that JSON cannot have */
	int damaged;  /* artifacts that are missing or damaged in the database: left out */
};

/* To @path, which must not be there (a folder may be, when it is empty; a FILE of lines or a page
 * is replaced); "-" for lines and pages is @out of stdio's stdout. 0; -1: ERR_USAGE (it is there
 * already), ERR_INPUT (of the store), ERR_IO, ERR_CANCELLED. */
int export_to(struct store *s, const struct export_options *o, const char *path,
              struct exported *done, struct err *e);

#endif
