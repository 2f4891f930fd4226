/*
 * cmd_serve.c - the environment for other programs, from the command line.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/buf.h"
#include "src/db.h"
#include "src/packs.h"
#include "src/serve.h"

enum { CAPACITY_MAX = 16384, TOKEN_MIN = 8, TOKEN_MAX = 512 };

enum flag {
	FLAG_HOST = DB_FLAGS_END,
	FLAG_PORT,
	FLAG_TOKEN_FILE,
	FLAG_CAPACITY,
	FLAG_IDLE,
	FLAG_JOBS,
	FLAG_METRICS,
	FLAG_LOG_JSON,
	FLAG_LIGHT,
	FLAG_PROMPTS,
	FLAG_DB
};

struct work {
	struct db_flags f;
	struct serve_options o;
	struct model_flags model;
	const char *token_file, *prompts;
	char token[TOKEN_MAX + 1];
};

static bool is_loopback(const char *host)
{
	struct in_addr four;
	struct in6_addr six;

	if (inet_pton(AF_INET, host, &four) == 1)
		return ntohl(four.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, host, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

/* The token is in a file or in the environment, never on the command line, where every user of the
 * machine could read it. It must fit into a path, for clients that cannot send headers. */
static int find_token(struct work *w, struct err *e)
{
	static const char fits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~-";
	const char *from = getenv("CADFORGE_SERVE_TOKEN");
	struct buf text = { 0 };
	size_t len;

	if (w->token_file) {
		if (buf_read_file(&text, w->token_file, 4096, e) < 0)
			return -1;
		from = buf_str(&text);
	}
	len = from ? strcspn(from, "\r\n") : 0;
	if (len > 0) {
		if (len < TOKEN_MIN || len > TOKEN_MAX || strspn(from, fits) < len) {
			buf_release(&text);
			return err_set(e, ERR_USAGE,
			               "%s: a token of %d to %d letters, digits and . _ ~ - wanted",
			               w->token_file ? w->token_file : "CADFORGE_SERVE_TOKEN",
			               TOKEN_MIN, TOKEN_MAX);
		}
		memcpy(w->token, from, len);
		w->token[len] = '\0';
		w->o.token = w->token;
	}
	buf_release(&text);
	if (w->token_file && !w->o.token)
		return err_set(e, ERR_USAGE, "%s: the token is empty", w->token_file);
	if (!w->o.token && !is_loopback(w->o.host))
		return err_set(e, ERR_USAGE,
		               "--host %s: others could run programs here, so a token is needed: "
		               "--token-file FILE or CADFORGE_SERVE_TOKEN",
		               w->o.host);
	return 0;
}

static int take(struct work *w, const struct cmd *self, int opt, char **argv)
{
	switch (opt) {
	case FLAG_HOST:
		w->o.host = strcmp(optarg, "localhost") == 0 ? "127.0.0.1" : optarg;
		return 0;
	case FLAG_PORT:
		return app_whole("--port", optarg, 0, 65535, &w->o.port);
	case FLAG_TOKEN_FILE:
		w->token_file = optarg;
		return 0;
	case FLAG_CAPACITY:
		return app_whole("--capacity", optarg, 1, CAPACITY_MAX, &w->o.capacity);
	case FLAG_IDLE:
		return app_number("--idle", optarg, 0, 1e7, &w->o.idle_s);
	case FLAG_JOBS:
		return app_whole("--jobs", optarg, 1, 64, &w->f.app.jobs);
	case FLAG_METRICS:
		w->o.metrics = true;
		return 0;
	case FLAG_LOG_JSON:
		w->o.log_json = true;
		return 0;
	case FLAG_LIGHT:
		w->o.light = true;
		return 0;
	case FLAG_PROMPTS:
		w->prompts = optarg;
		return 0;
	case FLAG_DB:
		w->f.db = optarg;
		return 0;
	default:
		app_bad_flag(self, opt, argv);
		return -1;
	}
}

static int serve(struct work *w, struct err *e)
{
	struct app *a = &w->f.app;
	struct prompts_dirs dirs;
	struct task_set tasks = { 0 };
	struct prompt_set prompts = { 0 };
	int rc = -1;

	if (find_token(w, e) < 0 || packs_load(&tasks, a, e) < 0)
		return -1;
	prompts_dirs(&dirs, a);
	if (prompt_set_load(&prompts, dirs.dir, dirs.n, w->prompts, e) == 0) {
		w->o.store = db_open(&w->f, STORE_WRITE, e);
		if (w->o.store) {
			w->o.app = a;
			w->o.tasks = &tasks;
			w->o.prompts = &prompts;
			rc = serve_run(&w->o, e);
			store_close(w->o.store);
		}
		prompt_set_release(&prompts);
	}
	task_set_release(&tasks);
	return rc;
}

static int run(const struct cmd *self, int argc, char **argv)
{
	static const struct option options[] = {
		APP_LONG_OPTIONS,
		APP_QUEUE_OPTION,
		{ "db", required_argument, NULL, FLAG_DB },
		{ "host", required_argument, NULL, FLAG_HOST },
		{ "port", required_argument, NULL, FLAG_PORT },
		{ "token-file", required_argument, NULL, FLAG_TOKEN_FILE },
		{ "capacity", required_argument, NULL, FLAG_CAPACITY },
		{ "idle", required_argument, NULL, FLAG_IDLE },
		{ "jobs", required_argument, NULL, FLAG_JOBS },
		{ "metrics", no_argument, NULL, FLAG_METRICS },
		{ "log-json", no_argument, NULL, FLAG_LOG_JSON },
		{ "light", no_argument, NULL, FLAG_LIGHT },
		{ "prompts", required_argument, NULL, FLAG_PROMPTS },
		MODEL_LONG_OPTIONS,
		{ NULL, 0, NULL, 0 },
	};
	struct work w = {
		.prompts = "default",
		.o = { .host = "127.0.0.1", .port = 8000, .capacity = 64, .idle_s = 1800 }
	};
	struct err e = { 0 };
	int opt;

	db_flags_init(&w.f);
	model_flags_init(&w.model);
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":", options, NULL)) >= 0) {
		int f = app_flag(&w.f.app, self, opt, optarg);
		if (f == 2)
			return EXIT_DONE;
		if (f == 0)
			f = model_flag(&w.model, opt, optarg);
		if (f < 0 || (f == 0 && take(&w, self, opt, argv) < 0))
			return EXIT_USAGE;
	}
	if (optind < argc)
		return app_usage(self, "'%s' is one too many", argv[optind]);
	app_find(&w.f.app);
	if (w.model.given) {
		if (model_flags_finish(&w.model, &w.f.app, &e) < 0)
			return app_fail(&e);
		w.o.model = &w.model;
	}
	app_catch_interrupt();
	return serve(&w, &e) < 0 ? app_fail(&e) : EXIT_DONE;
}

const struct cmd cmd_serve = {
	.name = "serve",
	.usage = "serve [--host ADDRESS] [--port N] [--capacity N] [--db FILE]...",
	.summary = "the environment for other programs: OpenEnv over HTTP and WebSockets",
	.help = "  --host ADDRESS    an address of this machine to listen at (127.0.0.1); others than\n"
		"                    a loopback one want a token\n"
		"  --port N          (8000); 0: any free one, which is told on standard error\n"
		"  --token-file FILE only who has the token in it may ask: \"Authorization: Bearer\n"
		"                    TOKEN\", or http://HOST:PORT/t/TOKEN as the base address; also in\n"
		"                    CADFORGE_SERVE_TOKEN\n"
		"  --capacity N      sessions at once (64)\n"
		"  --idle S          a session that asks nothing for so long is ended (1800); 0: never\n"
		"  --jobs N          programs built at once (one a core)\n"
		"  --queue URL       workers on other machines build and score: see worker\n"
		"  --metrics         GET /metrics: figures for Prometheus\n"
		"  --log-json        what happens as JSON lines on standard error\n"
		"  --light           pictures, meshes and shapes of the parts are not kept\n"
		"  --prompts NAME    the prompt set that the episodes are stored under (default)\n"
		"  --db FILE         the database (CADFORGE_DB, else the user's)\n"
		"POST /v1/completions and /v1/chat/completions, also streamed, are served when one of\n"
		"these says which model writes:\n" MODEL_HELP SAMPLING_HELP,
	.engine = true,
	.run = run,
};
