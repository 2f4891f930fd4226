#include "gpu/learner.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gpu/model_write.h"
#include "src/base/clock.h"
#include "src/base/json.h"

enum {
	CONFIG_MAX = 16 << 20,
	SLOW_DISK_PC = 10 /* of the time since the last checkpoint */
};

const struct trainer_ops *learner_act(const struct learner *l)
{
	return trainer_base(l->trainer)->ops;
}

/* ---- telling ---- */

void learner_tell(struct learner *l, const char *kind, cJSON *o)
{
	l->ops.event(l->ops.ctx, kind, o);
	cJSON_Delete(o);
}

void learner_note(struct learner *l, const char *fmt, ...)
{
	struct buf text = { 0 };
	cJSON *o = cJSON_CreateObject();
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	cJSON_AddNumberToObject(o, "step", (double)l->step);
	cJSON_AddStringToObject(o, "text", buf_str(&text));
	buf_release(&text);
	learner_tell(l, "note", o);
}

cJSON *learner_ready(const struct learner *l)
{
	const struct trainer_base *b = trainer_base(l->trainer);
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "program", l->ops.program);
	cJSON_AddNumberToObject(o, "pid", getpid());
	cJSON_AddStringToObject(o, "backend", b->ops->name);
	cJSON_AddStringToObject(o, "device", l->ops.device);
	cJSON_AddStringToObject(o, "out", l->out);
	cJSON_AddNumberToObject(o, "parameters", (double)config_parameters(&l->model.config));
	cJSON_AddNumberToObject(o, "trainable", (double)b->values);
	if (l->saved >= 0)
		cJSON_AddNumberToObject(o, "resumed_from", (double)l->saved);
	else
		cJSON_AddNullToObject(o, "resumed_from");
	cJSON_AddNumberToObject(o, "memory_bytes", (double)b->peak_bytes);
	return o;
}

/* ---- checkpoints ---- */

static void hex_of(const unsigned char hash[SHA256_BYTES], char out[SHA256_HEX])
{
	for (int i = 0; i < SHA256_BYTES; i++)
		snprintf(out + 2 * i, 3, "%02x", hash[i]);
}

/* What a checkpoint has beside values and moments. */
static cJSON *kept_with(const struct learner *l, const cJSON *more)
{
	cJSON *o = cJSON_CreateObject();
	const cJSON *v;
	char text[SHA256_HEX];

	train_settings_hash(l->s->all, text);
	cJSON_AddStringToObject(o, "settings_hash", text);
	cJSON_AddStringToObject(o, "model_hash", l->model_hash);
	json_add_text(o, "adapter_hash", l->s->adapter ? l->adapter_hash : NULL);
	cJSON_ArrayForEach(v, more) cJSON_AddItemToObject(o, v->string, cJSON_Duplicate(v, true));
	cJSON_AddItemToObject(o, "settings", cJSON_Duplicate(l->s->all, true));
	return o;
}

static int save(struct learner *l, const cJSON *more, struct err *e)
{
	const struct checkpoint_options o = {
		.run_dir = l->out,
		.tokenizer_dir = l->s->tokenizer,
		.base_name = l->s->base_name,
		.dtype = l->s->dtype,
		.keep = l->s->keep,
	};
	struct checkpoint_written w;
	double since = clock_now_s();
	cJSON *state = kept_with(l, more);
	int rc = checkpoint_write(l->trainer, &o, l->step, state, &w, e);

	/* older ones make room for it */
	if (rc < 0 && e->kind == ERR_IO && checkpoint_drop_older(l->out) > 0)
		rc = checkpoint_write(l->trainer, &o, l->step, state, &w, e);
	cJSON_Delete(state);
	if (rc < 0)
		return -1;
	l->save_s = clock_now_s() - since;
	free(l->saved_dir);
	l->saved_dir = w.dir;
	l->saved = l->step;
	cJSON *x = cJSON_CreateObject();
	cJSON_AddNumberToObject(x, "step", (double)l->step);
	cJSON_AddStringToObject(x, "dir", w.dir);
	cJSON_AddNumberToObject(x, "seconds", l->save_s);
	cJSON_AddNumberToObject(x, "bytes", (double)w.bytes);
	learner_tell(l, "checkpoint", x);
	if (l->save_s * 100 > SLOW_DISK_PC * (since - l->since_save) && l->save_s > 2 &&
	    !l->slow_told) {
		learner_note(
			l,
			"a checkpoint took %.1f s after %.1f s of learning: a slow disk; a larger "
			"save_every loses less time",
			l->save_s, since - l->since_save);
		l->slow_told = true;
	}
	l->since_save = clock_now_s();
	return 0;
}

void learner_where(const struct learner *l, char out[80])
{
	if (l->saved_dir)
		snprintf(out, 80, "the checkpoint of step %" PRId64 " stays", l->saved);
	else
		snprintf(out, 80, "there is no checkpoint yet");
}

void learner_save(struct learner *l, const cJSON *more)
{
	struct err e = { 0 };
	char stands[80];

	if (l->saved == l->step || save(l, more, &e) == 0)
		return;
	learner_where(l, stands);
	learner_note(l,
	             "the checkpoint of step %" PRId64
	             " could not be written: %s; %s, the run goes on and "
	             "tries again at the next%s%s",
	             l->step, e.text, stands, e.kind == ERR_IO ? "; make room under " : "",
	             e.kind == ERR_IO ? l->out : "");
}

int learner_save_at_the_end(struct learner *l, const cJSON *more, struct err *e)
{
	struct err why = { 0 };
	char stands[80];

	if (l->saved == l->step || save(l, more, &why) == 0)
		return 0;
	learner_where(l, stands);
	err_set(e, why.kind, "the checkpoint of step %" PRId64 " could not be written: %.220s; %s",
	        l->step, why.text, stands);
	if (why.kind == ERR_IO) {
		struct err full = *e;
		err_set(e, ERR_IO, "%.340s: make room under %.100s and resume", full.text, l->out);
	}
	return -1;
}

/* ---- steps ---- */

struct update learner_update(const struct learner *l, int64_t step, int64_t update)
{
	const struct train_settings *s = l->s;
	double rate = schedule_rate(&l->schedule, step);

	return (struct update){ .muon = s->muon,
		                .lr = rate,
		                .lr_muon = s->lr_muon * rate / s->lr,
		                .beta1 = s->beta1,
		                .beta2 = s->beta2,
		                .eps = s->eps,
		                .decay = s->decay,
		                .momentum = s->momentum,
		                .step = update };
}

/* ---- opening ---- */

static int make_folders(const char *path, struct err *e)
{
	char *p = strdup(path);

	if (!p)
		return err_set(e, ERR_MEM, "out of memory");
	for (char *at = p + 1; *at; at++)
		if (*at == '/') {
			*at = '\0';
			mkdir(p, 0777);
			*at = '/';
		}
	int rc = mkdir(p, 0777) < 0 && errno != EEXIST
	                 ? err_errno(e, ERR_INPUT, "setting out: %.300s cannot be made", path)
	                 : 0;
	free(p);
	return rc;
}

static int take_lock(struct learner *l, struct err *e)
{
	char path[4400], text[32] = "";

	snprintf(path, sizeof(path), "%s/lock", l->out);
	l->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	if (l->lock < 0)
		return err_errno(e, ERR_INPUT, "setting out: %.300s", path);
	if (flock(l->lock, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return err_errno(e, ERR_IO, "%.300s", path);
		ssize_t n = pread(l->lock, text, sizeof(text) - 1, 0);
		return err_set(e, ERR_INPUT,
		               "another training works in %.300s (process %d); wait for it, or "
		               "name another folder",
		               l->out, n > 0 ? atoi(text) : 0);
	}
	/* for people; the lock holds without it */
	int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	if (ftruncate(l->lock, 0) < 0 || pwrite(l->lock, text, (size_t)n, 0) < n)
		errno = 0;
	return 0;
}

static int open_out(struct learner *l, struct err *e)
{
	if (make_folders(l->s->out, e) < 0)
		return -1;
	if (!(l->out = realpath(l->s->out, NULL)))
		return err_errno(e, ERR_INPUT, "setting out: %.300s", l->s->out);
	return take_lock(l, e);
}

/* A model that begins from nothing: its shape's text is its hash. */
static int open_fresh(struct learner *l, struct err *e)
{
	struct buf text = { 0 };
	struct model_config *c = calloc(1, sizeof(*c));
	int rc = -1;

	if (!c)
		err_set(e, ERR_MEM, "out of memory");
	else if (buf_read_file(&text, l->s->model, CONFIG_MAX, e) == 0 &&
	         config_parse(c, buf_str(&text), text.len, l->s->model, e) == 0)
		rc = model_fresh(&l->model, c, l->s->seed, e);
	sha256_hex(buf_str(&text), text.len, l->model_hash);
	buf_release(&text);
	free(c);
	return rc;
}

static int open_model(struct learner *l, struct err *e)
{
	if (l->s->fresh) {
		if (open_fresh(l, e) < 0)
			return -1;
	} else {
		if (model_open(&l->model, l->s->model, e) < 0)
			return -1;
		hex_of(l->model.hash, l->model_hash);
	}
	if (!(l->tokenizer = tokenizer_open(l->s->tokenizer, e)))
		return -1;
	if (tokenizer_size(l->tokenizer) > l->model.config.vocabulary)
		return err_set(e, ERR_INPUT,
		               "%.200s: tokenizer.json has ids up to %d, the model has rows for "
		               "%d: they do not belong together",
		               l->s->tokenizer, tokenizer_size(l->tokenizer) - 1,
		               l->model.config.vocabulary);
	if (!l->s->adapter)
		return 0;
	if (adapter_open(&l->from, l->s->adapter, &l->model.config, e) < 0)
		return err_wrap(e, "setting adapter");
	hex_of(l->from.hash, l->adapter_hash);
	return 0;
}

int learner_open(struct learner *l, const struct train_settings *s, const struct train_run_ops *ops,
                 struct err *e)
{
	*l = (struct learner){ .s = s, .ops = *ops, .lock = -1, .saved = -1 };
	return open_out(l, e) == 0 ? open_model(l, e) : -1;
}

int learner_open_trainer(struct learner *l, int rows, struct err *e)
{
	const struct train_settings *s = l->s;
	const struct train_options o = {
		.full = s->full,
		.rank = s->rank,
		.alpha = (float)s->alpha,
		.dropout = (float)s->dropout,
		.rslora = s->rslora,
		.targets = s->targets,
		.from = s->adapter ? &l->from : NULL,
		.seed = s->seed,
		.threads = s->threads,
		.rows = rows,
		.recompute = s->recompute,
		.memory_bytes = s->memory_bytes,
	};
	size_t n = (size_t)rows;

	l->rows = rows;
	l->id = malloc(n * sizeof(*l->id));
	l->label = malloc(n * sizeof(*l->label));
	l->coef = malloc(n * sizeof(*l->coef));
	l->logp = malloc(n * sizeof(*l->logp));
	/* samples have a token at least */
	l->start = malloc((n + 2) * sizeof(*l->start));
	if (!l->id || !l->label || !l->coef || !l->logp || !l->start)
		return err_set(e, ERR_MEM, "no memory for passes of %d tokens", rows);
	l->trainer = l->ops.open(&l->model, &o, e);
	return l->trainer ? 0 : -1;
}

void learner_close(struct learner *l)
{
	if (l->trainer)
		learner_act(l)->close(l->trainer);
	free(l->start);
	free(l->logp);
	free(l->coef);
	free(l->label);
	free(l->id);
	adapter_close(&l->from);
	tokenizer_close(l->tokenizer);
	model_close(&l->model);
	free(l->saved_dir);
	if (l->out && l->lock >= 0)
		close(l->lock);
	free(l->out);
	*l = (struct learner){ .lock = -1 };
}

/* ---- going on ---- */

int learner_same_hash(const cJSON *state, const char *key, const char *now, const char *what,
                      const char *path, struct err *e)
{
	const char *was = json_string_or(state, key, "");

	if (strcmp(was, now) == 0)
		return 0;
	return err_set(e, ERR_INPUT,
	               "setting %s: %.200s is not what the run began with (it was %.12s, is "
	               "%.12s); a run goes on with the same alone",
	               what, path ? path : "(none)", *was ? was : "none", *now ? now : "none");
}

static int go_on(struct learner *l, const char *dir, int64_t step, cJSON **out, struct err *e)
{
	cJSON *state = checkpoint_state(dir, e);

	if (!state ||
	    train_settings_agree(cJSON_GetObjectItemCaseSensitive(state, "settings"), l->s->all,
	                         e) < 0 ||
	    learner_same_hash(state, "model_hash", l->model_hash, "model", l->s->model, e) < 0 ||
	    learner_same_hash(state, "adapter_hash", l->s->adapter ? l->adapter_hash : "",
	                      "adapter", l->s->adapter, e) < 0 ||
	    checkpoint_read(l->trainer, dir, e) < 0) {
		cJSON_Delete(state);
		return -1;
	}
	*out = state;
	l->step = l->saved = step;
	l->saved_dir = strdup(dir);
	return l->saved_dir ? 0 : err_set(e, ERR_MEM, "out of memory");
}

int learner_write_settings(struct learner *l, struct err *e)
{
	char path[4400];
	char *text = cJSON_Print(l->s->all);
	struct buf b = { 0 };

	snprintf(path, sizeof(path), "%s/settings.json", l->out);
	buf_printf(&b, "%s\n", text ? text : "");
	int rc = !text || buf_failed(&b) ? err_set(e, ERR_MEM, "out of memory")
	                                 : file_write_atomic(path, b.data, b.len, e);
	buf_release(&b);
	cJSON_free(text);
	return rc;
}

int learner_begin(struct learner *l, bool resume, cJSON **state, struct err *e)
{
	char *dir = NULL;
	int64_t step;

	*state = NULL;
	int rc = checkpoint_newest(l->out, &dir, &step, &l->passed_over, e);
	if (rc == 0 && !resume)
		rc = err_set(e, ERR_INPUT,
		             "setting out: %.300s has a checkpoint of step %" PRId64
		             ": resume that run, or name another folder",
		             l->out, step);
	else if (rc == 0)
		rc = go_on(l, dir, step, state, e);
	free(dir);
	if (rc < 0) {
		cJSON_Delete(*state);
		*state = NULL;
	}
	return rc;
}
