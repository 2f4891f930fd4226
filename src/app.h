/*
 * app.h - what every verb shares: where things are, the common flags, messages.
 */
#ifndef APP_H
#define APP_H

#include <getopt.h>
#include <stdbool.h>

#include "engine/engine.h"
#include "src/base/err.h"
#include "src/cmd.h"

struct app {
	bool json, quiet;
	bool no_filter;
	int jobs;
	const char *queue; /* --queue: where workers take jobs from (src/redis.h); NULL: nowhere */
	struct limits limits;
	/* found by app_find(); absolute */
	char libexec[4096];    /* folder of cadforge-builder and cadforge-scorer */
	char python_env[4096]; /* folder of the virtual environment; "" when none was found */
	char tasks[4096];      /* folder of the task packs; "" when none */
	char user_data[4096];  /* the user's own: $XDG_DATA_HOME/cadforge; "" when nobody says where
	                        */
	char data[4096];       /* folder of the scripts that bench runs; "" when none */
	char demo[4096];       /* folder of the demonstration model: base/, sft/; "" when none */
	const char *python_env_flag;
};

/* Defaults, then the environment, then where things are:
 *   programs: $CADFORGE_LIBEXEC, else beside this executable, else LIBEXECDIR;
 *   Python:   --python-env, else $CADFORGE_PYTHON_ENV, else configure's --with-python-env, else
 * .venv in a folder above the executable, else PKGDATADIR/venv; tasks:    $CADFORGE_TASKS, else
 * "tasks" beside a folder above the executable, else PKGDATADIR/tasks; the demonstration model:
 * $CADFORGE_DEMO, else gpu/demo beside a folder above the executable or beside the tasks, else
 * PKGDATADIR/demo. */
void app_init(struct app *a);
void app_find(struct app *a);

/* The flags every engine verb takes; values from 256 on, for getopt_long. */
enum app_flag {
	APP_JSON = 256,
	APP_QUIET,
	APP_HELP,
	APP_WALL,
	APP_CPU,
	APP_MEMORY,
	APP_OUTPUT,
	APP_NO_FILTER,
	APP_PYTHON_ENV,
	APP_QUEUE,
	APP_FLAGS_END
};
/* clang-format off */
#define APP_LONG_OPTIONS \
	{ "json", no_argument, NULL, APP_JSON }, \
	{ "quiet", no_argument, NULL, APP_QUIET }, \
	{ "help", no_argument, NULL, APP_HELP }, \
	{ "wall", required_argument, NULL, APP_WALL }, \
	{ "cpu", required_argument, NULL, APP_CPU }, \
	{ "memory", required_argument, NULL, APP_MEMORY }, \
	{ "output", required_argument, NULL, APP_OUTPUT }, \
	{ "no-filter", no_argument, NULL, APP_NO_FILTER }, \
	{ "python-env", required_argument, NULL, APP_PYTHON_ENV }
/* clang-format on */
/* Of the verbs that let others build and score. */
#define APP_QUEUE_OPTION                                                                           \
	{                                                                                          \
		"queue", required_argument, NULL, APP_QUEUE                                        \
	}
extern const char app_limits_help[]; /* the lines of --help for these flags */

/* What to do when there is no Python environment, or no helper program where CADFORGE_LIBEXEC says.
 */
extern const char app_env_remedy[], app_libexec_remedy[];

/* Handles one of the above (returned by getopt_long). 1: done; 0: not one of ours; -1: wrong value,
 * told on stderr. APP_HELP prints the verb's help and returns 2: the caller exits with 0. */
int app_flag(struct app *a, const struct cmd *self, int opt, const char *arg);

/* A number from a flag; tells what was expected and returns -1 when it is none or out of range. */
int app_number(const char *flag, const char *text, double min, double max, double *out);
/* The same, and it must be whole. */
int app_whole(const char *flag, const char *text, int min, int max, int *out);

/* --dialect's word; tells what was expected and returns -1 otherwise. */
int app_dialect(const char *text, enum dialect *out);

/* From here on SIGINT and SIGTERM end the verb's work instead of the process: it prints what is
 * finished, ends its helpers and returns EXIT_INTERRUPTED. The third signal kills: the second may
 * be a copy of the first (timeout(1) sends it to the process and to its group). */
void app_catch_interrupt(void);
bool app_interrupted(void);
/* Whether standard output is a pipe that nobody reads any more; */
bool app_reader_gone(void);
/* or something that was printed could not be written. */
bool app_output_lost(void);

/* "cadforge: text" on stderr. */
void app_tell(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Tells the error and returns its exit status: of cli.md, and 3 for a helper program that does not
 * stay alive. */
int app_fail(const struct err *e);
/* After getopt_long() returned '?' or ':' (its option string begins with ":"): tells an unknown
 * flag and a missing value apart. Returns EXIT_USAGE. */
int app_bad_flag(const struct cmd *self, int opt, char **argv);
/* "see cadforge VERB --help", returns EXIT_USAGE. */
int app_usage(const struct cmd *self, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

void app_engine_options(const struct app *a, struct engine_options *out);

#endif
