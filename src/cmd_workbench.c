/*
 * cmd_workbench.c - cadforge without a verb: the workbench.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/app.h"
#include "src/host.h"
#include "src/model_flags.h"
#include "src/workbench.h"

enum flag {
	FLAG_DB = MODEL_GUARD + 1,
	FLAG_SCRIPT,
	FLAG_ASCII,
	FLAG_THEME,
	FLAG_IMAGE,
	FLAG_KEYS,
	FLAG_MOUSE,
	FLAG_DETACH,
	FLAG_SIZE,
};

static int image_mode(const char *arg, enum ui_image_mode *out)
{
	static const struct {
		const char *name;
		enum ui_image_mode mode;
	} modes[] = { { "half-block", UI_IMAGE_BLOCKS },
		      { "kitty", UI_IMAGE_KITTY },
		      { "sixel", UI_IMAGE_SIXEL },
		      { "ascii", UI_IMAGE_ASCII },
		      { "off", UI_IMAGE_OFF } };

	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++)
		if (strcmp(arg, modes[i].name) == 0) {
			*out = modes[i].mode;
			return 0;
		}
	app_tell("--image: half-block, kitty, sixel, ascii or off was expected, got '%.40s'", arg);
	return -1;
}

static int size(const char *arg, int *cols, int *rows)
{
	char end;

	if (sscanf(arg, "%dx%d%c", cols, rows, &end) == 2 && *cols >= 1 && *cols <= 1000 &&
	    *rows >= 1 && *rows <= 1000)
		return 0;
	app_tell("--size: COLUMNSxROWS was expected, as in 80x24, got '%.40s'", arg);
	return -1;
}

/* Whose work attach comes back to. EXIT_DONE, or told why not. */
static int find_host(struct workbench_options *o, int pid)
{
	struct host_about about[16];
	char db[PATH_MAX];
	struct err e;

	if (store_path(db, sizeof(db), o->db, &e) < 0)
		return app_fail(&e);
	int n = host_find(db, about, 16);
	for (int i = 0; i < n; i++)
		if (pid == 0 || about[i].pid == pid) {
			o->attach = about[i].pid;
			return EXIT_DONE;
		}
	if (pid)
		app_tell("no host of %s has the process number %d", db, pid);
	else
		app_tell("nothing works on %s now; 'cadforge' opens the workbench", db);
	return EXIT_NO;
}

static int run(const struct cmd *self, int argc, char **argv)
{
	static const struct option options[] = {
		APP_LONG_OPTIONS,
		APP_QUEUE_OPTION,
		MODEL_LONG_OPTIONS,
		{ "db", required_argument, NULL, FLAG_DB },
		{ "script", required_argument, NULL, FLAG_SCRIPT },
		{ "ascii", no_argument, NULL, FLAG_ASCII },
		{ "theme", required_argument, NULL, FLAG_THEME },
		{ "image", required_argument, NULL, FLAG_IMAGE },
		{ "keys", required_argument, NULL, FLAG_KEYS },
		{ "mouse", no_argument, NULL, FLAG_MOUSE },
		{ "detach", no_argument, NULL, FLAG_DETACH },
		{ "size", required_argument, NULL, FLAG_SIZE },
		{ NULL, 0, NULL, 0 },
	};
	struct app app;
	struct model_flags model;
	struct workbench_options o = { .app = &app, .model = &model, .attach = -1 };
	int opt, status, pid = 0;
	FILE *nowhere = NULL;

	app_init(&app);
	model_flags_init(&model);
	o.ui = (struct ui_options){ .in_fd = STDIN_FILENO, .ascii = -1 };
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":", options, NULL)) >= 0) {
		int f = app_flag(&app, self, opt, optarg);
		if (f == 0)
			f = model_flag(&model, opt, optarg);
		if (f == 2)
			return EXIT_DONE;
		if (f < 0)
			return EXIT_USAGE;
		if (f == 1)
			continue;
		switch (opt) {
		case FLAG_DB:
			o.db = optarg;
			break;
		case FLAG_SCRIPT:
			o.script = optarg;
			break;
		case FLAG_ASCII:
			o.ui.ascii = 1;
			break;
		case FLAG_THEME:
			o.ui.theme = optarg;
			break;
		case FLAG_IMAGE:
			if (image_mode(optarg, &o.ui.image) < 0)
				return EXIT_USAGE;
			break;
		case FLAG_KEYS:
			o.ui.keys = optarg;
			break;
		case FLAG_MOUSE:
			o.ui.mouse = true;
			break;
		case FLAG_DETACH:
			o.detach = true;
			break;
		case FLAG_SIZE:
			if (size(optarg, &o.ui.cols, &o.ui.rows) < 0)
				return EXIT_USAGE;
			break;
		default:
			return app_bad_flag(self, opt, argv);
		}
	}
	if (self == &cmd_attach && optind < argc &&
	    app_whole("PID", argv[optind++], 1, INT_MAX, &pid) < 0)
		return EXIT_USAGE;
	if (optind < argc)
		return app_usage(self, "'%.40s': a flag was expected", argv[optind]);
	if (self == &cmd_attach && (status = find_host(&o, pid)) != EXIT_DONE)
		return status;
	app_find(&app);
	if (o.script) {
		/* nobody types, and the screens go to files; a terminal is not needed */
		o.ui.in_fd = -1;
		if (!isatty(STDOUT_FILENO)) {
			nowhere = fopen("/dev/null", "w");
			o.ui.out = nowhere;
			/* nobody looks: where the environment names no terminal that will do, as
			 * in a job or a container, this one does */
			const char *term = getenv("TERM");
			if (!term || !*term || strcmp(term, "dumb") == 0 ||
			    strcmp(term, "unknown") == 0)
				o.ui.term = "xterm-256color";
		}
	} else if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
		app_tell("the workbench needs a terminal at its input and output; --script FILE "
		         "works without, and so does every verb: cadforge --help");
		return EXIT_USAGE;
	}
	status = workbench_run(&o);
	if (nowhere)
		fclose(nowhere);
	return status;
}

const struct cmd cmd_workbench = {
	.name = "workbench",
	.usage = "[workbench] [--db FILE] [--model DIR|URL] [--script FILE]",
	.summary = "the interactive program; what cadforge does without a verb on a terminal",
	.help = "Choose a task, let a model write it, watch it build, repair, replay, judge, compare.\n"
		"? shows the keys, Q leaves.\n\n"
		"  --db FILE         the database (CADFORGE_DB, else the user's)\n"
		"  --detach          what runs goes on when it is left; 'cadforge attach' comes back\n"
		"  --queue URL       workers on other machines build and score: see worker\n"
		"  --script FILE     keys from a file, a line after the other (\"j\", \"<Enter>\"), and\n"
		"                    commands: :wait idle, :wait SECONDS, :save-screen FILE (.svg: a\n"
		"                    picture), and what the prompt takes; needs no terminal\n"
		"  --size WxH        of the screen, with --script (80x24)\n"
		"  --ascii           no character beyond ASCII\n"
		"  --theme NAME      dark, light or mono\n"
		"  --image MODE      half-block, kitty, sixel, ascii or off\n"
		"  --keys FILE       keys over the usual ones: cadforge-keys(7)\n"
		"  --mouse           the mouse is used (it breaks copying by it)\n\n" MODEL_HELP
			SAMPLING_HELP,
	.engine = true,
	.run = run,
};

const struct cmd cmd_attach = {
	.name = "attach",
	.usage = "attach [PID] [--db FILE]",
	.summary = "back to a workbench whose work went on without it",
	.help = "  PID               the host's process number, as 'cadforge detach' says it; without\n"
		"                    one: the one that nobody looks at\n"
		"  --db FILE         the database (CADFORGE_DB, else the user's)\n"
		"  --script FILE, --size WxH, --ascii, --theme NAME, --image MODE, --keys FILE, --mouse,\n"
		"  --detach          all of these: see cadforge workbench --help\n",
	.run = run,
};
