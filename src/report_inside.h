/*
 * report_inside.h - what the files of the report share: src/report*.c and nobody else.
 *
 *     report.c            which runs of which kind, the page's head
 *     report_sft.c        trainings on rows: loss, samples
 *     report_grpo_read.c  reinforcement learning: its steps and answers, from the store, as files
 *     report_grpo.c       the same as a page: what it shows, tasks, completions
 *     report_grpo_curves.c its plots
 *     report_log.c        logs of others' trainers
 */
#ifndef SRC_REPORT_INSIDE_H
#define SRC_REPORT_INSIDE_H

#include "src/cmd_train.h"
#include "src/paper.h"
#include "src/report.h"
#include "src/statistics.h"

/* ---- of all kinds ---- */

struct report_work {
	const struct report_options *o;
	struct store *s;
	struct paper *p;
};
/* A file's bytes from rows of text; a number that is none is an empty field. */
void report_csv_text(struct buf *out, const char *text); /* a field, with a comma before it */
void report_csv_figure(struct buf *out, double v);
void report_duration(char *out, size_t size, double s);
/* The settings of a run as a table, folded. */
void report_settings(struct paper *p, const char *of, const cJSON *settings, const cJSON *ready);

/* ---- trainings on rows ---- */

struct sft_run;
struct sft_run *sft_read(struct store *s, struct train_run *row,
                         struct err *e); /* takes @row over */
void sft_release(struct sft_run *r);
void sft_add(struct report_work *w, struct sft_run **run, int n);

/* ---- reinforcement learning ---- */

/* Figures of a step by the name that src/grpo.h gives them; -1: it was not told. */
enum grpo_figure {
	F_LOSS,
	F_LR,
	F_NORM,
	F_SECONDS,
	F_TOKENS,
	F_REWARD,
	F_REWARD_STD,
	F_BUILD_RATE,
	F_GROUPS,
	F_FLAT,
	F_ALL_BUILT,
	F_NONE_BUILT,
	F_REPLACED,
	F_ANSWERS,
	F_BUILT,
	F_USED,
	F_CLIPPED,
	F_LOST,
	F_KL,
	F_CLIP_SHARE,
	F_RATIO_MAX,
	F_MISMATCH,
	F_ENTROPY,
	F_LENGTH,
	F_LENGTH_MAX,
	F_GENERATE_S,
	F_WAIT_S,
	F_LEARN_S,
	F_REPAIRS,
	F_REPAIR_BUILT,
	/* from the answers, by us */
	F_SPREAD,       /* standard deviation of rewards within a group and round, mean over them */
	F_PROGRAMS,     /* answers whose text could be read, */
	F_OBJECT,       /* of them name a final object, */
	F_IMPORT,       /* import cadquery */
	F_CLIPPED_RATE, /* clipped of answers */
	F_CHARS,        /* characters of an answer, mean; of logs */
	FIGURES
};
extern const char *const grpo_figure_name[FIGURES];

enum { GRPO_CLASSES_MAX = 24, GRPO_WINDOW = 10 /* steps of a mean */ };

struct grpo_point { /* one step as it holds */
	int64_t step;
	int row; /* its number among the run's rows in the store */
	double v[FIGURES];
	double classes[GRPO_CLASSES_MAX], weights[GRPO_CLASSES_MAX]; /* NAN: not told */
	char stage[16];
};

struct grpo_seen_answer {
	int64_t step, episode;
	int group, member, round, turn, tokens;
	char kind[8], use[12], task[80], cls[32], repairs[32];
	double reward, advantage, total;
	bool built, clipped;
	bool built_known, clipped_known; /* of a log they may be not */
	int program, object, import;     /* 1, 0; -1: not known */
};

struct grpo_seen_alarm {
	int64_t step;
	char alarm[16], policy[12], text[480];
};

struct grpo_seen_eval { /* of held-out tasks on the way */
	int64_t step;
	double reward, build_rate, answers, built;
};

struct grpo_run {
	struct train_run row;
	char name[48];   /* "run 4 strict" */
	char reward[64]; /* the profile's name */
	cJSON *ready;
	int resumed;
	int64_t steps; /* asked for */
	struct grpo_point *point;
	int n;
	struct grpo_seen_answer *answer;
	int n_answers;
	struct grpo_seen_alarm *alarm;
	int n_alarms;
	struct grpo_seen_eval *eval;
	int n_evals;
	char cls[GRPO_CLASSES_MAX][32]; /* names of classes met */
	int n_cls;
	char error[400];
	bool failed;
	bool log; /* of another trainer: no curriculum, no store */
};
/* Whether a run is reinforcement learning: 1, 0; -1 with @e. */
int grpo_is(struct store *s, const struct train_run *row, struct err *e);
struct grpo_run *grpo_read(struct store *s, struct train_run *row, struct err *e);
void grpo_release(struct grpo_run *r);
void grpo_add(struct report_work *w, struct grpo_run **run, int n);
void grpo_curves(struct report_work *w, struct grpo_run *const *run, int n);

/* Over the points from @from on, before @to; what a step did not tell counts for nothing. */
double grpo_sum(const struct grpo_run *r, enum grpo_figure f, int from, int to);
double grpo_mean(const struct grpo_run *r, enum grpo_figure f, int from, int to);
/* Share built of the answers that were scored. */
struct interval grpo_rate(const struct grpo_run *r, int from, int to);
const char *grpo_percent(char out[64], struct interval v);
/* Least squares over the steps, with the interval of the slope as if steps were independent. */
struct grpo_trend {
	double slope, low, high, at0; /* a step; NAN: too few */
};
struct grpo_trend grpo_trend(const struct grpo_run *r, enum grpo_figure f);

/* steps-RUN.csv, answers-RUN.csv of each, and all steps in data.json. */
void grpo_files(struct paper *p, struct grpo_run *const *run, int n);
/* Whether a text imports CadQuery. */
bool grpo_imports(const char *text, size_t len);

#endif
