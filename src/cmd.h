/*
 * cmd.h - a verb of the command line: one row in main's table, one file a verb or family.
 */
#ifndef CMD_H
#define CMD_H

#include <stdbool.h>

struct cmd {
	const char *name;
	const char *usage;   /* "build FILE.py [-o OUT]..." */
	const char *summary; /* one line for the list of verbs */
	const char *help;    /* the verb's own flags, for --help */
	bool engine;         /* takes the flags of app_limits_help too */
	bool hidden;         /* not among the verbs that --help lists: people need not know it */
	/* argv[0] is the verb. Returns the exit status (cli.md). */
	int (*run)(const struct cmd *self, int argc, char **argv);
};

extern const struct cmd cmd_build;
extern const struct cmd cmd_score;
extern const struct cmd cmd_bench;
extern const struct cmd cmd_run;
extern const struct cmd cmd_fork;
extern const struct cmd cmd_generate;
extern const struct cmd cmd_export;
extern const struct cmd cmd_import;
extern const struct cmd cmd_episodes, cmd_show, cmd_search, cmd_diff;
extern const struct cmd cmd_replay;
extern const struct cmd cmd_judge, cmd_judgements;
extern const struct cmd cmd_verify, cmd_fsck, cmd_db;
extern const struct cmd cmd_model;
extern const struct cmd cmd_doctor;
extern const struct cmd cmd_tasks;
extern const struct cmd cmd_prompts;
extern const struct cmd cmd_workbench, cmd_attach;
extern const struct cmd cmd_host, cmd_detach;
extern const struct cmd cmd_worker;
extern const struct cmd cmd_serve;
extern const struct cmd cmd_curriculum, cmd_compare;
extern const struct cmd cmd_models, cmd_adapters;
extern const struct cmd cmd_train, cmd_runs, cmd_report, cmd_eval;

/* Exit statuses. */
enum { EXIT_DONE = 0, EXIT_NO = 1, EXIT_USAGE = 2, EXIT_LACKS = 3, EXIT_INTERRUPTED = 130 };

#endif
