/*
 * cmd_generate.c - plain inference: a prompt in, an answer out, token by token.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/app.h"
#include "src/base/json.h"
#include "src/cad_names.h"
#include "src/model_flags.h"

enum { PROMPT_BYTES_MAX = 16 << 20 };

struct work {
	struct app app;
	struct model_flags model;
	int logprobs; /* -1: not asked for */
	bool ignore_eos, tokens;
	/* what comes */
	enum gpu_end end;
	enum err_kind kind;
	char error[480];
	bool over, nobody_reads, newline, fallback_told;
	char last;   /* byte printed */
	cJSON *top;  /* of each token: [{"id", "logprob"}] */
	cJSON *line; /* the object of --json */
};

static int on_tick(void *ctx)
{
	struct work *w = ctx;

	w->nobody_reads = w->nobody_reads || app_output_lost();
	return app_interrupted() || w->nobody_reads;
}

static void on_ready(void *ctx, const cJSON *about)
{
	struct work *w = ctx;
	const char *because = json_string_or(about, "because", NULL);

	if (because && !w->app.quiet && !w->fallback_told)
		app_tell("on the CPU: %s", because);
	w->fallback_told = true;
}

static void on_token(void *ctx, uint32_t request, int sequence, int index, const struct picked *p,
                     bool in_thought, const char *text, size_t len)
{
	struct work *w = ctx;

	(void)request;
	(void)sequence;
	(void)index;
	if (p && w->top) {
		cJSON *list = cJSON_CreateArray();
		for (int i = 0; i < p->n_top; i++) {
			cJSON *one = cJSON_CreateObject();
			json_add_figure(one, "id", p->top[i].id >= 0 ? p->top[i].id : NAN);
			json_add_figure(one, "logprob", (double)p->top[i].logprob);
			cJSON_AddItemToArray(list, one);
		}
		cJSON_AddItemToArray(w->top, list);
	}
	if (w->app.json || len == 0 || (in_thought && w->app.quiet))
		return;
	/* thoughts go where progress goes: standard output is the answer */
	fwrite(text, 1, len, in_thought ? stderr : stdout);
	if (!in_thought) {
		w->last = text[len - 1];
		if (fflush(stdout))
			w->nobody_reads = true;
	}
}

static void on_done(void *ctx, uint32_t request, int sequence, const struct gpu_done *d)
{
	struct work *w = ctx;
	cJSON *o, *list;

	(void)request;
	(void)sequence;
	w->over = true;
	w->end = d->end;
	w->kind = d->kind;
	if (d->end == GPU_ERROR)
		snprintf(w->error, sizeof(w->error), "%s", d->error);
	if (!w->app.json)
		return;
	o = w->line = cJSON_CreateObject();
	if (d->ids)
		cJSON_AddItemToObject(o, "ids", cJSON_CreateIntArray(d->ids, d->n));
	else if (d->n == 0 && d->end != GPU_ERROR)
		cJSON_AddArrayToObject(o, "ids");
	else
		cJSON_AddNullToObject(o, "ids");
	cJSON_AddStringToObject(o, "text", d->text);
	if (d->logprobs || d->n == 0) {
		list = cJSON_AddArrayToObject(o, "logprobs");
		for (int i = 0; d->logprobs && i < d->n; i++)
			cJSON_AddItemToArray(list, isfinite(d->logprobs[i])
			                                   ? cJSON_CreateNumber(d->logprobs[i])
			                                   : cJSON_CreateNull());
	} else {
		cJSON_AddNullToObject(o, "logprobs");
	}
	cJSON_AddStringToObject(o, "finish", gpu_end_name(d->end));
	if (*d->thinking)
		cJSON_AddStringToObject(o, "thinking", d->thinking);
	if (w->top) {
		while (cJSON_GetArraySize(w->top) > d->n)
			cJSON_DeleteItemFromArray(w->top, cJSON_GetArraySize(w->top) - 1);
		cJSON_AddItemToObject(o, "top", w->top);
		w->top = NULL;
	}
	if (d->end == GPU_ERROR)
		cJSON_AddStringToObject(o, "error", d->error);
}

/* ---- the verb ---- */

enum flag {
	FLAG_PROMPT = APP_FLAGS_END,
	FLAG_MESSAGES,
	FLAG_IDS,
	FLAG_IDS_FILE,
	FLAG_LOGPROBS,
	FLAG_IGNORE_EOS,
};

struct prompt {
	const char *text, *messages, *ids, *ids_file;
	cJSON *list;
	int32_t *id;
	int n;
};

static int read_prompt(struct prompt *p, struct gpu_request *r, struct err *e)
{
	struct buf text = { 0 };

	if (p->ids || p->ids_file) {
		if ((p->ids ? model_ids_parse(p->ids, "--ids", &p->id, &p->n, e)
		            : model_ids_read(p->ids_file, &p->id, &p->n, e)) < 0)
			return -1;
		r->ids = p->id;
		r->n_ids = p->n;
		return 0;
	}
	if (p->messages) {
		int rc = buf_read_file(&text, p->messages, PROMPT_BYTES_MAX, e);
		if (rc == 0 && !(p->list = json_parse(buf_str(&text), text.len, e)))
			rc = err_wrap(e, "%s", p->messages);
		buf_release(&text);
		if (rc == 0 && !cJSON_IsArray(p->list))
			rc = err_set(e, ERR_INPUT,
			             "%s: an array of messages was expected: [{\"role\": \"user\", "
			             "\"content\": \"...\"}]",
			             p->messages);
		r->messages = p->list;
		return rc;
	}
	/* a question: one message of the user's */
	p->list = cJSON_CreateArray();
	cJSON *m = cJSON_CreateObject();
	cJSON_AddStringToObject(m, "role", "user");
	cJSON_AddStringToObject(m, "content", p->text);
	cJSON_AddItemToArray(p->list, m);
	r->messages = p->list;
	return 0;
}

static int answer(struct work *w, const struct prompt *p, struct gpu_request *r, struct err *e)
{
	const struct gpu_ops ops = { w, on_ready, on_token, on_done };
	struct gpu_options o;
	char guard[4200] = "";
	uint32_t request;
	int rc = -1;

	(void)p;
	if (w->model.guard) {
		if (cad_names_file(&w->app, guard, sizeof(guard), e) < 0)
			return -1;
		r->guard = guard;
	}
	model_flags_options(&w->model, &w->app, &o);
	app_catch_interrupt();
	struct gpu *g = gpu_open(&o, &ops, e);
	if (!g) {
		if (*guard)
			unlink(guard);
		return -1;
	}
	if (gpu_generate(g, r, &request, e) == 0) {
		rc = gpu_wait(g, on_tick, w, e);
		if (rc < 0 && e->kind == ERR_CANCELLED) {
			/* what has come so far is told as the answer that it is */
			gpu_cancel(g, request, -1);
			for (int i = 0; i < 20 && !w->over && gpu_step(g, e) == 0; i++) {
				struct pollfd fd[8];
				poll(fd, (nfds_t)gpu_poll_fds(g, fd, 8), 25);
			}
			err_set(e, ERR_CANCELLED, "interrupted");
		}
	}
	gpu_close(g);
	if (*guard)
		unlink(guard);
	return rc;
}

static int run(const struct cmd *self, int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, APP_JSON },
		{ "quiet", no_argument, NULL, APP_QUIET },
		{ "help", no_argument, NULL, APP_HELP },
		{ "python-env", required_argument, NULL, APP_PYTHON_ENV },
		{ "prompt", required_argument, NULL, FLAG_PROMPT },
		{ "messages", required_argument, NULL, FLAG_MESSAGES },
		{ "ids", required_argument, NULL, FLAG_IDS },
		{ "ids-file", required_argument, NULL, FLAG_IDS_FILE },
		{ "logprobs", required_argument, NULL, FLAG_LOGPROBS },
		{ "ignore-eos", no_argument, NULL, FLAG_IGNORE_EOS },
		MODEL_LONG_OPTIONS,
		{ NULL, 0, NULL, 0 },
	};
	struct work *w = calloc(1, sizeof(*w));
	struct prompt p = { .text = NULL };
	struct gpu_request r;
	struct err e = { 0 };
	int opt, rc = EXIT_USAGE;

	if (!w)
		return app_fail((err_set(&e, ERR_MEM, "out of memory"), &e));
	app_init(&w->app);
	model_flags_init(&w->model);
	w->logprobs = -1;
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":", options, NULL)) >= 0) {
		int f = app_flag(&w->app, self, opt, optarg);
		if (f == 0)
			f = model_flag(&w->model, opt, optarg);
		if (f == 2)
			rc = EXIT_DONE;
		if (f == 2 || f < 0)
			goto out;
		if (f == 1)
			continue;
		switch (opt) {
		case FLAG_PROMPT:
			p.text = optarg;
			break;
		case FLAG_MESSAGES:
			p.messages = optarg;
			break;
		case FLAG_IDS:
			p.ids = optarg;
			break;
		case FLAG_IDS_FILE:
			p.ids_file = optarg;
			break;
		case FLAG_LOGPROBS:
			if (app_whole("--logprobs", optarg, 0, SAMPLER_TOP_MAX, &w->logprobs) < 0)
				goto out;
			break;
		case FLAG_IGNORE_EOS:
			w->ignore_eos = true;
			break;
		default:
			app_bad_flag(self, opt, argv);
			goto out;
		}
	}
	if (optind < argc) {
		app_usage(self, "'%s': a prompt is given with --prompt", argv[optind]);
		goto out;
	}
	if ((p.text != NULL) + (p.messages != NULL) + (p.ids != NULL) + (p.ids_file != NULL) != 1) {
		app_usage(self, "one of --prompt, --messages, --ids and --ids-file was expected");
		goto out;
	}
	app_find(&w->app);
	if (model_flags_finish(&w->model, &w->app, &e) < 0) {
		rc = app_fail(&e);
		goto out;
	}
	model_flags_request(&w->model, &r);
	r.ignore_eos = w->ignore_eos;
	if (w->logprobs >= 0) {
		r.sampling.top = w->logprobs;
		w->top = cJSON_CreateArray();
	}
	if (read_prompt(&p, &r, &e) < 0) {
		rc = app_fail(&e);
		goto out;
	}
	int went = answer(w, &p, &r, &e);
	if (w->line) {
		struct buf t = { 0 };
		json_print(&t, w->line);
		puts(buf_str(&t));
		buf_release(&t);
	} else if (w->last && w->last != '\n') {
		putchar('\n');
	}
	if (went < 0 && (w->nobody_reads || e.kind != ERR_CANCELLED || !app_interrupted())) {
		rc = w->nobody_reads ? EXIT_NO : app_fail(&e);
	} else if (app_interrupted()) {
		app_tell("interrupted");
		rc = EXIT_INTERRUPTED;
	} else if (w->end == GPU_ERROR) {
		err_set(&e, w->kind, "%s", w->error);
		rc = app_fail(&e);
	} else {
		rc = EXIT_DONE;
	}
out:
	cJSON_Delete(p.list);
	cJSON_Delete(w->top);
	cJSON_Delete(w->line);
	free(p.id);
	free(w);
	return rc;
}

const struct cmd cmd_generate = {
	.name = "generate",
	.usage =
		"generate (--prompt TEXT | --messages FILE | --ids LIST | --ids-file FILE) [--model M] [--json]",
	.summary = "an answer of a model, as it comes",
	.help = "  --prompt TEXT     a question; becomes a user's message in the model's chat form\n"
		"  --messages FILE   a conversation: [{\"role\": \"system\"|\"user\"|\"assistant\", \"content\": ...}]\n"
		"  --ids 1,2,3, --ids-file FILE  token ids as they are, the file a JSON array\n"
		"  --logprobs N      with --json: log-probabilities of the N likeliest at each token (\"top\")\n"
		"  --ignore-eos      go on where the model would end\n" MODEL_HELP SAMPLING_HELP
		"  --python-env DIR  virtual environment with CadQuery (for --guard)\n"
		"  --quiet           no thoughts and no remarks on standard error\n"
		"  --json            one object: {\"ids\", \"text\", \"logprobs\", \"finish\":\n"
		"                    \"stop|length|cancelled|error\"}\n"
		"  --help            this text\n",
	.run = run,
};
