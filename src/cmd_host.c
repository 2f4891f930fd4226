/*
 * cmd_host.c - the verbs about work that outlives the screen: host, which does it (the workbench
 * starts one, people need not), attach and detach.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/app.h"
#include "src/host.h"
#include "src/store.h"

enum flag { FLAG_DB = APP_FLAGS_END, FLAG_FD };

/* The flags of all three. 0; or an exit status, + 1000 so that 0 can be one. */
enum { LEAVE = 1000 };

struct given {
	struct app app;
	const char *db;
	int fd, pid;
	char path[PATH_MAX];
};

static int take(struct given *g, const struct cmd *self, int opt, char **argv)
{
	int f = app_flag(&g->app, self, opt, optarg);

	if (f == 2)
		return LEAVE + EXIT_DONE;
	if (f)
		return f < 0 ? LEAVE + EXIT_USAGE : 0;
	if (opt == FLAG_DB)
		g->db = optarg;
	else if (opt != FLAG_FD)
		return LEAVE + app_bad_flag(self, opt, argv);
	else if (app_whole("--fd", optarg, 3, 1 << 20, &g->fd) < 0)
		return LEAVE + EXIT_USAGE;
	return 0;
}

static int parse(struct given *g, const struct cmd *self, const struct option *options, int argc,
                 char **argv)
{
	struct err e;
	int opt, rc;

	*g = (struct given){ .fd = -1 };
	app_init(&g->app);
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":", options, NULL)) >= 0)
		if ((rc = take(g, self, opt, argv)) != 0)
			return rc;
	if (self != &cmd_host && optind < argc &&
	    app_whole("PID", argv[optind++], 1, INT_MAX, &g->pid) < 0)
		return LEAVE + EXIT_USAGE;
	if (optind < argc)
		return LEAVE + app_usage(self, "'%s' is one too many", argv[optind]);
	if (store_path(g->path, sizeof(g->path), g->db, &e) < 0)
		return LEAVE + app_fail(&e);
	return 0;
}

static int run_host(const struct cmd *self, int argc, char **argv)
{
	static const struct option options[] = {
		APP_LONG_OPTIONS,
		APP_QUEUE_OPTION,
		{ "db", required_argument, NULL, FLAG_DB },
		{ "fd", required_argument, NULL, FLAG_FD },
		{ NULL, 0, NULL, 0 },
	};
	struct given g;
	int rc = parse(&g, self, options, argc, argv);

	if (rc)
		return rc - LEAVE;
	app_find(&g.app);
	struct host_options o = { .app = &g.app, .db = g.path, .fd = g.fd };
	return host_serve(&o);
}

const struct cmd cmd_host = {
	.name = "host",
	.usage = "host [--db FILE]",
	.summary = "does the workbench's work, with nobody watching as well",
	.help = "  --db FILE         the database (CADFORGE_DB, else the user's)\n"
		"  --fd N            a workbench is at the other end of this descriptor\n",
	.engine = true,
	.hidden = true,
	.run = run_host,
};

static int run_detach(const struct cmd *self, int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, APP_JSON },
		{ "quiet", no_argument, NULL, APP_QUIET },
		{ "help", no_argument, NULL, APP_HELP },
		{ "db", required_argument, NULL, FLAG_DB },
		{ NULL, 0, NULL, 0 },
	};
	struct host_about about[16];
	struct given g;
	struct err e = { 0 };
	int rc = parse(&g, self, options, argc, argv), told = 0;

	if (rc)
		return rc - LEAVE;
	int n = host_find(g.path, about, 16);
	for (int i = 0; i < n; i++) {
		cJSON *o;
		if (!about[i].attached || (g.pid && about[i].pid != g.pid))
			continue;
		o = cJSON_CreateObject();
		cJSON_AddStringToObject(o, "do", "release");
		if (host_tell(g.path, about[i].pid, o, &e) < 0)
			return app_fail(&e);
		told++;
		if (!g.app.quiet && about[i].busy)
			printf("%d goes on alone: %s; 'cadforge attach' comes back to it\n",
			       about[i].pid, about[i].task);
		else if (!g.app.quiet)
			printf("%d was let go; it had nothing to do\n", about[i].pid);
	}
	if (told)
		return EXIT_DONE;
	if (g.pid)
		app_tell("no workbench is attached to %d on %s", g.pid, g.path);
	else
		app_tell("no workbench works on %s now", g.path);
	return EXIT_NO;
}

const struct cmd cmd_detach = {
	.name = "detach",
	.usage = "detach [PID] [--db FILE]",
	.summary = "let a workbench's work go on alone; its screen closes",
	.help = "  PID               the host's process number; without one: all workbenches of the\n"
		"                    database\n"
		"  --db FILE         the database (CADFORGE_DB, else the user's)\n"
		"  --quiet           says nothing\n",
	.run = run_detach,
};
