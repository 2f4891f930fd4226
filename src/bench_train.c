/*
 * bench_train.c - how fast training on the CPU is: whole steps of the demonstration model's shape
 * in cadforge-train, beside what OpenBLAS multiplies in the same minutes, and with --peer
 * transformers on the same model and batch (python/bench_transformers.py).
 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "src/base/json.h"
#include "src/bench.h"

enum { FIGURES_MAX = 16, STEPS_A_CHECKPOINT = 50 };

/* What a program printed, a figure a line. */
struct printed {
	struct {
		char name[32];
		double value, seconds, gflop, loss;
		int threads;
	} v[FIGURES_MAX];
	int n;
};

static int find(const struct printed *f, const char *name)
{
	for (int i = 0; i < f->n; i++)
		if (strcmp(f->v[i].name, name) == 0)
			return i;
	return -1;
}

static double value(const struct printed *f, const char *name)
{
	int i = find(f, name);

	return i < 0 ? NAN : f->v[i].value;
}

/* The status of @command, whose lines are added to @f. */
static int read_figures(struct printed *f, const char *command)
{
	char line[1000];
	FILE *in = popen(command, "re");

	while (in && fgets(line, sizeof(line), in)) {
		cJSON *o = json_parse(line, strlen(line), NULL);
		if (cJSON_IsObject(o) && f->n < FIGURES_MAX) {
			snprintf(f->v[f->n].name, sizeof(f->v[0].name), "%s",
			         json_string_or(o, "name", ""));
			f->v[f->n].value = json_number_or(o, "value", NAN);
			f->v[f->n].seconds = json_number_or(o, "seconds", NAN);
			f->v[f->n].gflop = json_number_or(o, "gflop", NAN);
			f->v[f->n].loss = json_number_or(o, "loss", NAN);
			f->v[f->n++].threads = (int)json_number_or(o, "threads", 0);
		}
		cJSON_Delete(o);
	}
	return in ? pclose(in) : -1;
}

/* A peer that is not installed is no error: its columns stay empty, and it is said. */
static void run_peer(const struct bench *b, struct printed *f, const char *method, int threads)
{
	char command[9000];

	if (!b->peer_python)
		return;
	bench_say(b, "transformers on the same model and batch");
	snprintf(command, sizeof(command),
	         "'%s' '%s/bench_transformers.py' '%s/model' --batch '%s/batch.json' "
	         "--threads %d --method %s",
	         b->peer_python, b->app.data, b->dir, b->dir, threads, method);
	if (read_figures(f, command) != 0)
		app_tell("--peer: bench_transformers.py --method %s failed; it needs torch, "
		         "transformers and, for lora, peft",
		         method);
}

/* Tokens a second beside the peer's, and the needed products beside sgemm's. */
static void tell(const struct bench *b, const struct printed *f, const char *way, const char *peer,
                 double of_peer, double of_sgemm)
{
	double sgemm = value(f, "sgemm"), theirs = peer ? value(f, peer) : NAN;
	int i = find(f, way);
	char name[64];

	if (i < 0)
		return;
	snprintf(name, sizeof(name), "train.%s", way);
	bench_figure(b, name, f->v[i].value, "1/s", of_peer * theirs, theirs,
	             f->v[i].value / theirs, "demo");
	double rate = f->v[i].gflop / f->v[i].seconds;
	snprintf(name, sizeof(name), "train.%s_products", way);
	bench_figure(b, name, rate, "GF/s", of_sgemm * sgemm, sgemm, rate / sgemm, "demo");
	/* the same model and batch: else the peer's figure means nothing */
	int k = peer ? find(f, peer) : -1;
	if (k >= 0 && !(fabs(f->v[k].loss - f->v[i].loss) < 1e-3 * f->v[i].loss))
		app_tell("%s: loss %g, ours %g: the peer trains something else", peer, f->v[k].loss,
		         f->v[i].loss);
}

int bench_train(struct bench *b, struct err *e)
{
	struct printed f = { .n = 0 };
	char command[9000];

	if (bench_go_on(e) < 0)
		return -1;
	bench_say(b, "training on the CPU");
	snprintf(command, sizeof(command), "'%s/cadforge-train' --bench '%s' --rounds %d",
	         b->app.libexec, b->dir, b->rounds);
	int status = read_figures(&f, command);
	if (bench_go_on(e) < 0)
		return -1;
	if (status != 0 || find(&f, "sgemm") < 0)
		return err_set(e, ERR_IO, "cadforge-train --bench failed%s",
		               status == -1 ? "" : ": what it said stands above");
	int threads = f.v[find(&f, "sgemm")].threads;
	run_peer(b, &f, "full", threads);
	run_peer(b, &f, "lora", threads);
	if (bench_go_on(e) < 0)
		return -1;
	tell(b, &f, "adamw", "transformers_full", 2, 0.6);
	tell(b, &f, "muon", NULL, NAN, 0.6);
	tell(b, &f, "lora", "transformers_lora", NAN, NAN);
	int step = find(&f, "muon");
	double between = step < 0 ? NAN : STEPS_A_CHECKPOINT * f.v[step].seconds;
	double writing = value(&f, "checkpoint");
	bench_figure(b, "train.checkpoint", writing * 1e3, "ms", 0.02 * between * 1e3,
	             between * 1e3, writing / between, "demo");
	return 0;
}
