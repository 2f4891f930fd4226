#include "gpu/train_run.h"

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

#include "gpu/checkpoint.h"
#include "gpu/model_write.h"
#include "gpu/random_weight.h"
#include "src/base/clock.h"
#include "src/base/json.h"
#include "src/base/sha256.h"

enum {
	CONFIG_MAX = 16 << 20,
	LINES_SAID = 8,   /* of a batch that failed */
	CALM_STEPS = 20,  /* before a loss can be a spike, and between two that are told of */
	SLOW_DISK_PC = 10 /* of the time since the last checkpoint */
};

struct train_run {
	struct train_settings s;
	struct train_run_ops ops;
	char *out; /* absolute */
	int lock;
	/* what is learnt, and what from */
	struct tokenizer *tokenizer;
	struct dataset data, eval;
	struct order *order;
	struct model model;
	struct adapter from;
	char model_hash[SHA256_HEX], adapter_hash[SHA256_HEX];
	struct trainer *trainer;
	struct schedule schedule;
	/* one pass */
	int rows;
	int32_t *id, *label, *start;
	float *coef, *logp;
	/* where it is */
	int64_t step, saved; /* done; of the last checkpoint, -1: none */
	bool evaluated;      /* at @step */
	char *saved_dir;
	struct err passed_over; /* why a newer checkpoint was */
	/* how fast and how well it goes: for people, nothing depends on it */
	double tokens_rate, seconds_rate; /* fading sums */
	double eval_s, save_s, since_save;
	double usual; /* loss, fading mean; NAN before the first */
	int64_t spike;
	bool slow_told;
};

static const struct trainer_ops *act(const struct train_run *r)
{
	return trainer_base(r->trainer)->ops;
}

static int64_t steps_of(const struct train_run *r)
{
	return order_steps(r->order);
}

/* ---- telling ---- */

static void tell(struct train_run *r, const char *kind, cJSON *o)
{
	r->ops.event(r->ops.ctx, kind, o);
	cJSON_Delete(o);
}

static void note(struct train_run *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void note(struct train_run *r, const char *fmt, ...)
{
	struct buf text = { 0 };
	cJSON *o = cJSON_CreateObject();
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	cJSON_AddNumberToObject(o, "step", (double)r->step);
	cJSON_AddStringToObject(o, "text", buf_str(&text));
	buf_release(&text);
	tell(r, "note", o);
}

static void hex(const unsigned char hash[SHA256_BYTES], char out[SHA256_HEX])
{
	for (int i = 0; i < SHA256_BYTES; i++)
		snprintf(out + 2 * i, 3, "%02x", hash[i]);
}

static void say_ready(struct train_run *r)
{
	const struct trainer_base *b = trainer_base(r->trainer);
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "program", r->ops.program);
	cJSON_AddNumberToObject(o, "pid", getpid());
	cJSON_AddStringToObject(o, "backend", b->ops->name);
	cJSON_AddStringToObject(o, "device", r->ops.device);
	cJSON_AddStringToObject(o, "out", r->out);
	cJSON_AddNumberToObject(o, "parameters", (double)config_parameters(&r->model.config));
	cJSON_AddNumberToObject(o, "trainable", (double)b->values);
	cJSON_AddNumberToObject(o, "samples", r->data.samples);
	cJSON_AddNumberToObject(o, "eval_samples", r->eval.samples);
	cJSON_AddNumberToObject(o, "tokens", (double)order_tokens(r->order, steps_of(r)));
	cJSON_AddNumberToObject(o, "steps", (double)steps_of(r));
	if (r->saved >= 0)
		cJSON_AddNumberToObject(o, "resumed_from", (double)r->saved);
	else
		cJSON_AddNullToObject(o, "resumed_from");
	cJSON_AddItemToObject(o, "data", dataset_describe(&r->data));
	if (r->eval.samples > 0)
		cJSON_AddItemToObject(o, "eval_data", dataset_describe(&r->eval));
	cJSON_AddNumberToObject(o, "memory_bytes", (double)b->peak_bytes);
	tell(r, "ready", o);
}

/* ---- passes ---- */

struct passing {
	struct train_run *r;
	const struct dataset *d;
	float coef; /* of every label; 0: forward alone */
	uint64_t seed;
	double sum;    /* of -log p */
	int64_t bad;   /* a line whose log p is no number, 0: none */
	uint64_t pass; /* passes so far */
	bool stopped;
};

static int one_pass(void *ctx, const int32_t *sample, int n, struct err *e)
{
	struct passing *p = ctx;
	struct train_run *r = p->r;
	struct train_batch b = { .samples = n, .id = r->id, .label = r->label, .start = r->start };

	if (p->pass > 0 && (r->ops.wants(r->ops.ctx, false) & TRAIN_WANT_STOP)) {
		p->stopped = true;
		return -1; /* no error */
	}
	r->start[0] = 0;
	for (int i = 0; i < n; i++) {
		const struct sample *s = &p->d->sample[sample[i]];
		memcpy(r->id + b.n, p->d->id + s->at, (size_t)s->n * sizeof(*r->id));
		memcpy(r->label + b.n, p->d->label + s->at, (size_t)s->n * sizeof(*r->label));
		b.n += s->n;
		r->start[i + 1] = b.n;
	}
	for (int i = 0; i < b.n; i++)
		r->coef[i] = r->label[i] >= 0 ? p->coef : 0;
	b.seed = random_weight_key(p->seed, p->pass++);
	if (act(r)->pass(r->trainer, &b, p->coef != 0 ? r->coef : NULL, r->logp, e) < 0)
		return -1;
	for (int i = 0; i < n; i++) {
		for (int k = r->start[i]; k < r->start[i + 1]; k++) {
			if (r->label[k] < 0)
				continue;
			p->sum -= (double)r->logp[k];
			if (!isfinite(r->logp[k]) && !p->bad)
				p->bad = p->d->sample[sample[i]].line;
		}
	}
	return 0;
}

/* The trainer says how many rows would do; here, which settings they are. */
static void advise(const struct train_run *r, struct err *e)
{
	int longest = r->data.longest > r->eval.longest ? r->data.longest : r->eval.longest;
	char text[sizeof(e->text)];

	if (e->kind != ERR_MEM)
		return;
	snprintf(text, sizeof(text), "%s", e->text);
	err_set(e, ERR_MEM,
	        "%.300s. Settings: pass_rows (a pass has up to %d tokens now), %slongest (now %d "
	        "in the data; a pass has no less)",
	        text, r->rows, r->s.recompute ? "" : "recompute (now false), ", longest);
}

/* ---- evaluation ---- */

/* 0; 1: stopped on the way; -1. */
static int evaluate(struct train_run *r, struct err *e)
{
	struct passing p = { .r = r, .d = &r->eval };
	double since = clock_now_s();

	if (r->eval.samples == 0 || r->evaluated)
		return 0;
	if (order_passes_of_all(&r->eval, r->rows, one_pass, &p, e) < 0) {
		if (p.stopped)
			return 1;
		advise(r, e);
		return -1;
	}
	r->eval_s = clock_now_s() - since;
	r->evaluated = true;
	cJSON *o = cJSON_CreateObject();
	cJSON_AddNumberToObject(o, "step", (double)r->step);
	json_add_figure(o, "loss", p.sum / (double)r->eval.labels);
	cJSON_AddNumberToObject(o, "labels", (double)r->eval.labels);
	cJSON_AddNumberToObject(o, "seconds", r->eval_s);
	tell(r, "eval", o);
	return 0;
}

/* ---- checkpoints ---- */

static cJSON *state_of(const struct train_run *r)
{
	cJSON *o = cJSON_CreateObject();
	char text[SHA256_HEX];

	train_settings_hash(r->s.all, text);
	cJSON_AddStringToObject(o, "settings_hash", text);
	hex(r->data.hash, text);
	cJSON_AddStringToObject(o, "data_hash", text);
	cJSON_AddStringToObject(o, "model_hash", r->model_hash);
	json_add_text(o, "adapter_hash", r->s.adapter ? r->adapter_hash : NULL);
	cJSON_AddNumberToObject(o, "tokens", (double)order_tokens(r->order, r->step));
	json_add_figure(o, "usual_loss", r->usual);
	cJSON_AddBoolToObject(o, "evaluated", r->evaluated);
	cJSON_AddItemToObject(o, "settings", cJSON_Duplicate(r->s.all, true));
	return o;
}

static int save(struct train_run *r, struct err *e)
{
	const struct checkpoint_options o = {
		.run_dir = r->out,
		.tokenizer_dir = r->s.tokenizer,
		.base_name = r->s.base_name,
		.dtype = r->s.dtype,
		.keep = r->s.keep,
	};
	struct checkpoint_written w;
	double since = clock_now_s();
	cJSON *state = state_of(r);
	int rc = checkpoint_write(r->trainer, &o, r->step, state, &w, e);

	/* older ones make room for it */
	if (rc < 0 && e->kind == ERR_IO && checkpoint_drop_older(r->out) > 0)
		rc = checkpoint_write(r->trainer, &o, r->step, state, &w, e);
	cJSON_Delete(state);
	if (rc < 0)
		return -1;
	r->save_s = clock_now_s() - since;
	free(r->saved_dir);
	r->saved_dir = w.dir;
	r->saved = r->step;
	cJSON *x = cJSON_CreateObject();
	cJSON_AddNumberToObject(x, "step", (double)r->step);
	cJSON_AddStringToObject(x, "dir", w.dir);
	cJSON_AddNumberToObject(x, "seconds", r->save_s);
	cJSON_AddNumberToObject(x, "bytes", (double)w.bytes);
	tell(r, "checkpoint", x);
	if (r->save_s * 100 > SLOW_DISK_PC * (since - r->since_save) && r->save_s > 2 &&
	    !r->slow_told) {
		note(r,
		     "a checkpoint took %.1f s after %.1f s of learning: a slow disk; a larger "
		     "save_every loses less time",
		     r->save_s, since - r->since_save);
		r->slow_told = true;
	}
	r->since_save = clock_now_s();
	return 0;
}

static void where_it_stands(const struct train_run *r, char *out, size_t len)
{
	if (r->saved_dir)
		snprintf(out, len, "the checkpoint of step %" PRId64 " stays", r->saved);
	else
		snprintf(out, len, "there is no checkpoint yet");
}

/* One on the way: the run goes on without it. */
static void save_on_the_way(struct train_run *r)
{
	struct err e = { 0 };
	char stands[80];

	if (r->saved == r->step || save(r, &e) == 0)
		return;
	where_it_stands(r, stands, sizeof(stands));
	note(r,
	     "the checkpoint of step %" PRId64 " could not be written: %s; %s, the run goes on and "
	     "tries again at the next%s%s",
	     r->step, e.text, stands, e.kind == ERR_IO ? "; make room under " : "",
	     e.kind == ERR_IO ? r->out : "");
}

/* The last one, without which what was learnt is lost. */
static int save_at_the_end(struct train_run *r, struct err *e)
{
	struct err why = { 0 };
	char stands[80];

	if (r->saved == r->step || save(r, &why) == 0)
		return 0;
	where_it_stands(r, stands, sizeof(stands));
	err_set(e, why.kind, "the checkpoint of step %" PRId64 " could not be written: %.220s; %s",
	        r->step, why.text, stands);
	if (why.kind == ERR_IO) {
		struct err full = *e;
		err_set(e, ERR_IO, "%.340s: make room under %.100s and resume", full.text, r->out);
	}
	return -1;
}

/* ---- a step ---- */

static int no_number(const struct train_run *r, int64_t step, const char *what, double v,
                     int64_t bad, struct err *e)
{
	struct buf lines = { 0 };
	char stands[80];
	int n;
	const int32_t *sample = order_samples(r->order, step, &n);

	if (bad > 0)
		buf_printf(&lines, "line %" PRId64, bad);
	for (int i = 0; bad == 0 && i < n && i < LINES_SAID; i++)
		buf_printf(&lines, "%s%d", i ? ", " : "lines ", r->data.sample[sample[i]].line);
	if (bad == 0 && n > LINES_SAID)
		buf_printf(&lines, " and %d more", n - LINES_SAID);
	where_it_stands(r, stands, sizeof(stands));
	err_set(e, ERR_INPUT,
	        "step %" PRId64
	        ": the %s is no number (%g) with %.120s, %s; nothing was learnt from it, %s. A "
	        "lower lr, or a look at what stands there, may help",
	        step, what, v, r->s.data, buf_str(&lines), stands);
	buf_release(&lines);
	return -1;
}

static struct update update_of(const struct train_run *r, int64_t step)
{
	const struct train_settings *s = &r->s;
	double rate = schedule_rate(&r->schedule, step);

	return (struct update){ .muon = s->muon,
		                .lr = rate,
		                .lr_muon = s->lr_muon * rate / s->lr,
		                .beta1 = s->beta1,
		                .beta2 = s->beta2,
		                .eps = s->eps,
		                .decay = s->decay,
		                .momentum = s->momentum,
		                .step = step };
}

/* Evaluations or checkpoints from the step after @step to the end. */
static double times_left(const struct train_run *r, int64_t step, int every)
{
	int64_t n = steps_of(r);

	return step >= n ? 0 : every > 0 ? (double)(n / every - step / every + (n % every > 0)) : 1;
}

static void say_step(struct train_run *r, const struct update *u, double loss, double norm,
                     bool clipped, int64_t labels, double seconds)
{
	uint64_t tokens = order_tokens(r->order, r->step) - order_tokens(r->order, r->step - 1);
	uint64_t left = order_tokens(r->order, steps_of(r)) - order_tokens(r->order, r->step);
	cJSON *o = cJSON_CreateObject();
	int samples;

	order_samples(r->order, r->step, &samples);
	r->tokens_rate = 0.9 * r->tokens_rate + (double)tokens;
	r->seconds_rate = 0.9 * r->seconds_rate + seconds;
	double rate = r->seconds_rate > 0 ? r->tokens_rate / r->seconds_rate : 0;
	cJSON_AddNumberToObject(o, "step", (double)r->step);
	cJSON_AddNumberToObject(o, "steps", (double)steps_of(r));
	cJSON_AddNumberToObject(o, "loss", loss);
	cJSON_AddNumberToObject(o, "lr", u->lr);
	cJSON_AddNumberToObject(o, "grad_norm", norm);
	cJSON_AddBoolToObject(o, "clipped", clipped);
	cJSON_AddNumberToObject(o, "tokens", (double)tokens);
	cJSON_AddNumberToObject(o, "labels", (double)labels);
	cJSON_AddNumberToObject(o, "samples", samples);
	cJSON_AddNumberToObject(o, "seconds", seconds);
	cJSON_AddNumberToObject(o, "tokens_per_s", rate);
	cJSON_AddNumberToObject(o, "epoch", order_epoch(r->order, r->step));
	json_add_figure(o, "left_s",
	                rate > 0 ? (double)left / rate +
	                                   r->eval_s * times_left(r, r->step, r->s.eval_every) +
	                                   r->save_s * times_left(r, r->step, r->s.save_every)
	                         : NAN);
	tell(r, "step", o);
	if (r->step > r->spike + CALM_STEPS && r->step > CALM_STEPS && loss > 2 * r->usual + 0.2) {
		note(r, "the loss of step %" PRId64 " is %.4g where %.4g was usual", r->step, loss,
		     r->usual);
		r->spike = r->step;
	}
	r->usual = isnan(r->usual) ? loss : 0.9 * r->usual + 0.1 * loss;
}

/* 0; 1: stopped before it was done, and nothing was changed; -1. */
static int learn(struct train_run *r, struct err *e)
{
	int64_t step = r->step + 1, labels = 0;
	const struct update u = update_of(r, step);
	double since = clock_now_s(), norm, scale = 1;
	int n;
	const int32_t *sample = order_samples(r->order, step, &n);

	for (int i = 0; i < n; i++)
		labels += r->data.sample[sample[i]].labels;
	struct passing p = { .r = r,
		             .d = &r->data,
		             .coef = (float)(-1.0 / (double)labels),
		             .seed = random_weight_key(r->s.seed, (uint64_t)step) };
	if (act(r)->zero_gradients(r->trainer, e) < 0)
		return -1;
	if (order_step(r->order, step, one_pass, &p, e) < 0) {
		if (p.stopped)
			return 1;
		advise(r, e);
		return -1;
	}
	if (p.bad || !isfinite(p.sum))
		return no_number(r, step, "loss", p.sum / (double)labels, p.bad, e);
	if (act(r)->gradient_norm(r->trainer, &norm, e) < 0)
		return -1;
	if (!isfinite(norm))
		return no_number(r, step, "norm of the gradients", norm, 0, e);
	/* as torch.nn.utils.clip_grad_norm_ has it */
	if (r->s.clip > 0)
		scale = fmin(1, r->s.clip / (norm + 1e-6));
	if (act(r)->update(r->trainer, &u, scale, e) < 0)
		return -1;
	r->step = step;
	r->evaluated = false;
	say_step(r, &u, p.sum / (double)labels, norm, scale < 1, labels, clock_now_s() - since);
	return 0;
}

static bool due(int64_t step, int every)
{
	return every > 0 ? step % every == 0 : step == 0;
}

/* 0; 1: a stop is wanted. */
static int heed(struct train_run *r)
{
	unsigned want = r->ops.wants(r->ops.ctx, false);

	for (;;) {
		if (want & TRAIN_WANT_CHECKPOINT)
			save_on_the_way(r);
		if (want & TRAIN_WANT_STOP)
			return 1;
		if (!(want & TRAIN_WANT_PAUSE))
			return 0;
		want = r->ops.wants(r->ops.ctx, true);
	}
}

int train_run_go(struct train_run *r, struct err *e)
{
	int rc;

	say_ready(r);
	if (r->passed_over.kind)
		note(r, "a newer checkpoint is damaged and was passed over: %s",
		     r->passed_over.text);
	r->since_save = clock_now_s();
	rc = heed(r);
	/* one that a stop or a kill left out */
	if (rc == 0 && (due(r->step, r->s.eval_every) || r->step == steps_of(r)))
		rc = evaluate(r, e);
	while (rc == 0 && r->step < steps_of(r)) {
		if ((rc = learn(r, e)) != 0)
			break;
		bool last = r->step == steps_of(r);
		if ((due(r->step, r->s.eval_every) || last) && (rc = evaluate(r, e)) != 0)
			break;
		if (due(r->step, r->s.save_every) && !last)
			save_on_the_way(r);
		rc = last ? 0 : heed(r);
	}
	if (rc >= 0 && save_at_the_end(r, e) < 0)
		return -1;
	/* what was stopped when all was done is done */
	return rc < 0 ? -1 : rc == 1 && r->step < steps_of(r);
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

static int take_lock(struct train_run *r, struct err *e)
{
	char path[4400], text[32] = "";

	snprintf(path, sizeof(path), "%s/lock", r->out);
	r->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	if (r->lock < 0)
		return err_errno(e, ERR_INPUT, "setting out: %.300s", path);
	if (flock(r->lock, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return err_errno(e, ERR_IO, "%.300s", path);
		ssize_t n = pread(r->lock, text, sizeof(text) - 1, 0);
		return err_set(e, ERR_INPUT,
		               "another training works in %.300s (process %d); wait for it, or "
		               "name another folder",
		               r->out, n > 0 ? atoi(text) : 0);
	}
	/* for people; the lock holds without it */
	int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	if (ftruncate(r->lock, 0) < 0 || pwrite(r->lock, text, (size_t)n, 0) < n)
		errno = 0;
	return 0;
}

static int open_out(struct train_run *r, struct err *e)
{
	if (make_folders(r->s.out, e) < 0)
		return -1;
	if (!(r->out = realpath(r->s.out, NULL)))
		return err_errno(e, ERR_INPUT, "setting out: %.300s", r->s.out);
	return take_lock(r, e);
}

/* A model that begins from nothing: its shape's text is its hash. */
static int open_fresh(struct train_run *r, struct err *e)
{
	struct buf text = { 0 };
	struct model_config *c = calloc(1, sizeof(*c));
	int rc = -1;

	if (!c)
		err_set(e, ERR_MEM, "out of memory");
	else if (buf_read_file(&text, r->s.model, CONFIG_MAX, e) == 0 &&
	         config_parse(c, buf_str(&text), text.len, r->s.model, e) == 0)
		rc = model_fresh(&r->model, c, r->s.seed, e);
	sha256_hex(buf_str(&text), text.len, r->model_hash);
	buf_release(&text);
	free(c);
	return rc;
}

static int open_model(struct train_run *r, struct err *e)
{
	if (r->s.fresh) {
		if (open_fresh(r, e) < 0)
			return -1;
	} else {
		if (model_open(&r->model, r->s.model, e) < 0)
			return -1;
		hex(r->model.hash, r->model_hash);
	}
	if (!(r->tokenizer = tokenizer_open(r->s.tokenizer, e)))
		return -1;
	if (tokenizer_size(r->tokenizer) > r->model.config.vocabulary)
		return err_set(e, ERR_INPUT,
		               "%.200s: tokenizer.json has ids up to %d, the model has rows for "
		               "%d: they do not belong together",
		               r->s.tokenizer, tokenizer_size(r->tokenizer) - 1,
		               r->model.config.vocabulary);
	if (!r->s.adapter)
		return 0;
	if (adapter_open(&r->from, r->s.adapter, &r->model.config, e) < 0)
		return err_wrap(e, "setting adapter");
	hex(r->from.hash, r->adapter_hash);
	return 0;
}

static int open_data(struct train_run *r, struct err *e)
{
	const struct train_settings *s = &r->s;

	if (dataset_open(&r->data, s->data, r->tokenizer, &s->dataset, e) < 0)
		return err_wrap(e, "setting data");
	if (s->eval_data && dataset_open(&r->eval, s->eval_data, r->tokenizer, &s->dataset, e) < 0)
		return err_wrap(e, "setting eval_data");
	if (!(r->order = order_open(&r->data, &s->order, e)))
		return -1;
	r->schedule = (struct schedule){
		.shape = s->schedule,
		.peak = s->lr,
		.floor = s->floor,
		.steps = order_steps(r->order),
		.warmup = llround(s->warmup * (double)order_steps(r->order)),
		.decay_share = s->decay_share,
	};
	return 0;
}

static int open_trainer(struct train_run *r, struct err *e)
{
	const struct train_settings *s = &r->s;
	int samples = r->data.samples > r->eval.samples ? r->data.samples : r->eval.samples;

	r->rows = order_longest_pass(r->order);
	if (r->eval.longest > r->rows)
		r->rows = r->eval.longest;
	const struct train_options o = {
		.full = s->full,
		.rank = s->rank,
		.alpha = (float)s->alpha,
		.dropout = (float)s->dropout,
		.rslora = s->rslora,
		.targets = s->targets,
		.from = s->adapter ? &r->from : NULL,
		.seed = s->seed,
		.threads = s->threads,
		.rows = r->rows,
		.recompute = s->recompute,
		.memory_bytes = s->memory_bytes,
	};
	size_t n = (size_t)r->rows;
	r->id = malloc(n * sizeof(*r->id));
	r->label = malloc(n * sizeof(*r->label));
	r->coef = malloc(n * sizeof(*r->coef));
	r->logp = malloc(n * sizeof(*r->logp));
	/* samples have a token at least */
	r->start = malloc((n + 2) * sizeof(*r->start));
	if (samples < 1 || !r->id || !r->label || !r->coef || !r->logp || !r->start)
		return err_set(e, ERR_MEM, "no memory for passes of %d tokens", r->rows);
	if ((r->trainer = r->ops.open(&r->model, &o, e)))
		return 0;
	advise(r, e);
	return -1;
}

/* ---- going on ---- */

static int same_hash(const cJSON *state, const char *key, const char *now, const char *what,
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

static int go_on(struct train_run *r, const char *dir, int64_t step, struct err *e)
{
	cJSON *state = checkpoint_state(dir, e);
	char data[SHA256_HEX];
	int rc = -1;

	hex(r->data.hash, data);
	if (!state || train_settings_agree(cJSON_GetObjectItemCaseSensitive(state, "settings"),
	                                   r->s.all, e) < 0)
		goto out;
	if (same_hash(state, "model_hash", r->model_hash, "model", r->s.model, e) < 0 ||
	    same_hash(state, "adapter_hash", r->s.adapter ? r->adapter_hash : "", "adapter",
	              r->s.adapter, e) < 0 ||
	    same_hash(state, "data_hash", data, "data", r->s.data, e) < 0)
		goto out;
	if (step > steps_of(r)) {
		err_set(e, ERR_INPUT, "%.300s: the run has %" PRId64 " steps", dir, steps_of(r));
		goto out;
	}
	if (checkpoint_read(r->trainer, dir, e) < 0)
		goto out;
	r->step = r->saved = step;
	r->evaluated = json_bool_or(state, "evaluated", false);
	r->usual = json_number_or(state, "usual_loss", NAN);
	if (!(r->saved_dir = strdup(dir))) {
		err_set(e, ERR_MEM, "out of memory");
		goto out;
	}
	rc = 0;
out:
	cJSON_Delete(state);
	return rc;
}

static int begin(struct train_run *r, bool resume, struct err *e)
{
	char *dir = NULL;
	int64_t step;
	int rc = checkpoint_newest(r->out, &dir, &step, &r->passed_over, e);

	if (rc == 0 && !resume)
		rc = err_set(e, ERR_INPUT,
		             "setting out: %.300s has a checkpoint of step %" PRId64
		             ": resume that run, or name another folder",
		             r->out, step);
	else if (rc == 0)
		rc = go_on(r, dir, step, e);
	else if (rc == 1)
		rc = 0;
	free(dir);
	return rc;
}

static int write_settings(struct train_run *r, struct err *e)
{
	char path[4400];
	char *text = cJSON_Print(r->s.all);
	struct buf b = { 0 };

	snprintf(path, sizeof(path), "%s/settings.json", r->out);
	buf_printf(&b, "%s\n", text ? text : "");
	int rc = !text || buf_failed(&b) ? err_set(e, ERR_MEM, "out of memory")
	                                 : file_write_atomic(path, b.data, b.len, e);
	buf_release(&b);
	cJSON_free(text);
	return rc;
}

struct train_run *train_run_open(const cJSON *settings, bool resume,
                                 const struct train_run_ops *ops, struct err *e)
{
	struct train_run *r = calloc(1, sizeof(*r));

	if (!r) {
		err_set(e, ERR_MEM, "out of memory");
		return NULL;
	}
	r->ops = *ops;
	r->lock = -1;
	r->saved = -1;
	r->usual = NAN;
	if (train_settings_read(&r->s, settings, e) == 0 && open_out(r, e) == 0 &&
	    open_model(r, e) == 0 && open_data(r, e) == 0 && open_trainer(r, e) == 0 &&
	    begin(r, resume, e) == 0 && write_settings(r, e) == 0)
		return r;
	train_run_close(r);
	return NULL;
}

void train_run_close(struct train_run *r)
{
	if (!r)
		return;
	if (r->trainer)
		act(r)->close(r->trainer);
	free(r->start);
	free(r->logp);
	free(r->coef);
	free(r->label);
	free(r->id);
	order_close(r->order);
	dataset_close(&r->eval);
	dataset_close(&r->data);
	adapter_close(&r->from);
	tokenizer_close(r->tokenizer);
	model_close(&r->model);
	free(r->saved_dir);
	if (r->lock >= 0)
		close(r->lock);
	free(r->out);
	train_settings_release(&r->s);
	free(r);
}
