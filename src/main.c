/*
 * main.c - the verb table, and what comes before a verb runs: locale, --help, --version, which
 * verb.
 */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "src/app.h"
#include "src/cmd.h"

static const struct cmd *const verbs[] = {
	&cmd_build,      &cmd_score,  &cmd_run,      &cmd_fork,     &cmd_tasks,     &cmd_prompts,
	&cmd_episodes,   &cmd_replay, &cmd_show,     &cmd_search,   &cmd_diff,      &cmd_judge,
	&cmd_judgements, &cmd_fsck,   &cmd_db,       &cmd_export,   &cmd_import,    &cmd_curriculum,
	&cmd_compare,    &cmd_models, &cmd_adapters, &cmd_generate, &cmd_model,     &cmd_train,
	&cmd_runs,       &cmd_report, &cmd_eval,     &cmd_bench,    &cmd_workbench, &cmd_doctor,
	&cmd_attach,     &cmd_detach, &cmd_host,     &cmd_worker,   &cmd_serve,     &cmd_verify,
};
enum { N_VERBS = sizeof(verbs) / sizeof(*verbs) };

static void print_help(FILE *f)
{
	fputs("usage: cadforge [VERB] [ARGUMENTS]\n\n"
	      "Gets a language model to write CadQuery that builds. Without a verb, on a terminal:\n"
	      "the workbench. Verbs:\n\n",
	      f);
	for (int i = 0; i < N_VERBS; i++)
		if (!verbs[i]->hidden)
			fprintf(f, "  %-10s %s\n", verbs[i]->name, verbs[i]->summary);
	fputs("\n'cadforge VERB --help' tells more; so does 'man cadforge'.\n"
	      "Exit status: 0 done; 1 it ran and the answer is no; 2 wrong usage or unusable input;\n"
	      "3 the environment lacks something; 130 interrupted.\n",
	      f);
}

/* Letters that must be changed to make @b of @a (Levenshtein), for "did you mean". */
static int distance(const char *a, const char *b)
{
	int row[32];
	int n = (int)strlen(b);

	if (n > 30)
		return 99;
	for (int j = 0; j <= n; j++)
		row[j] = j;
	for (int i = 1; a[i - 1]; i++) {
		int diagonal = row[0];
		row[0] = i;
		for (int j = 1; j <= n; j++) {
			int up = row[j];
			int best = diagonal + (a[i - 1] != b[j - 1]);
			if (up + 1 < best)
				best = up + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
			diagonal = up;
		}
	}
	return row[n];
}

/* Descriptors 0 to 2 are open from here on: what is opened later must not take their place and be
 * written to as if it were the standard output. Says whether standard output was open. */
static bool open_standard(void)
{
	bool out = true;

	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF) {
			if (fd == STDOUT_FILENO)
				out = false;
			if (open("/dev/null", O_RDWR) != fd)
				_exit(EXIT_NO);
		}
	return out;
}

/* What was printed has arrived, or it is told that it has not. Whoever closed a pipe knows. */
static int finish(int rc)
{
	errno = 0;
	if (fflush(stdout) == 0 && !ferror(stdout))
		return rc;
	if (errno != EPIPE && !app_reader_gone())
		app_tell("standard output could not be written%s%s", errno ? ": " : "",
		         errno ? strerror(errno) : "");
	return rc ? rc : EXIT_NO;
}

int main(int argc, char **argv)
{
	const char *near = NULL;
	int least = 3;

	if (!open_standard()) {
		app_tell("standard output is closed: send it to a file, or to /dev/null");
		return EXIT_NO;
	}
	/* numbers keep their point whatever the locale: JSON and CadQuery know no other */
	setlocale(LC_CTYPE, "");
	signal(SIGPIPE, SIG_IGN);
	if (argc < 2 && !(isatty(STDIN_FILENO) && isatty(STDOUT_FILENO))) {
		print_help(stderr);
		return EXIT_USAGE;
	}
	if (argc < 2)
		return finish(cmd_workbench.run(&cmd_workbench, argc, argv));
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
	    strcmp(argv[1], "help") == 0) {
		print_help(stdout);
		return finish(EXIT_DONE);
	}
	if (strcmp(argv[1], "--version") == 0) {
		puts(PACKAGE_STRING);
		return finish(EXIT_DONE);
	}
	/* flags alone are the workbench's */
	if (strncmp(argv[1], "--", 2) == 0 && argv[1][2])
		return finish(cmd_workbench.run(&cmd_workbench, argc, argv));
	for (int i = 0; i < N_VERBS; i++) {
		if (strcmp(argv[1], verbs[i]->name) == 0)
			return finish(verbs[i]->run(verbs[i], argc - 1, argv + 1));
		int d = distance(argv[1], verbs[i]->name);
		if (d < least) {
			least = d;
			near = verbs[i]->name;
		}
	}
	app_tell("'%.40s' is no verb%s%s%s", argv[1], near ? "; did you mean '" : "",
	         near ? near : "", near ? "'?" : "");
	fputs("'cadforge --help' lists them.\n", stderr);
	return EXIT_USAGE;
}
