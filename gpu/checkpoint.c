#include "gpu/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gpu/model_write.h"
#include "src/base/json.h"

enum { FORMAT = 1, STATE_MAX = 64 << 20, SLOTS = 3, NAME_MAX_BYTES = 180 };
static const enum param_slot slots[SLOTS] = { PARAM_VALUE, PARAM_MOMENT1, PARAM_MOMENT2 };
static const char *const slot_name[SLOTS] = { "value", "moment1", "moment2" };
static const char prefix[] = "checkpoint-", hidden[] = ".checkpoint-";

/* ---- folders ---- */

static char *path_of(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static char *path_of(const char *fmt, ...)
{
	char *out = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&out, fmt, ap) < 0)
		out = NULL;
	va_end(ap);
	return out;
}

static int no_memory(struct err *e)
{
	return err_set(e, ERR_MEM, "no memory for a checkpoint");
}

static int sync_folder(const char *dir, struct err *e)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = fd < 0 || fsync(fd) < 0 ? err_errno(e, ERR_IO, "%.300s: syncing", dir) : 0;

	if (fd >= 0)
		close(fd);
	return rc;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *at)
{
	(void)st;
	(void)flag;
	(void)at;
	remove(path);
	return 0;
}

static void remove_tree(const char *dir)
{
	nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* What a crash left. */
static void sweep(const char *run_dir)
{
	DIR *d = opendir(run_dir);

	for (const struct dirent *x; d && (x = readdir(d));) {
		if (strncmp(x->d_name, hidden, strlen(hidden)) != 0)
			continue;
		char *path = path_of("%s/%s", run_dir, x->d_name);
		if (path)
			remove_tree(path);
		free(path);
	}
	if (d)
		closedir(d);
}

/* The step in a checkpoint's name, or -1. */
static int64_t step_in(const char *name)
{
	const char *p = name + strlen(prefix);
	int64_t v = 0;

	if (strncmp(name, prefix, strlen(prefix)) != 0 || strlen(p) < 6 || strlen(p) > 12)
		return -1;
	for (; *p; p++) {
		if (*p < '0' || *p > '9')
			return -1;
		v = 10 * v + (*p - '0');
	}
	return v;
}

static int falling(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return (*x < *y) - (*x > *y);
}

/* The steps of all checkpoints, newest first; *out is to be freed. */
static int steps_of(const char *run_dir, int64_t **out, int *n, struct err *e)
{
	DIR *d = opendir(run_dir);
	int cap = 0;

	*out = NULL;
	*n = 0;
	if (!d)
		return errno == ENOENT ? 0 : err_errno(e, ERR_INPUT, "%.300s", run_dir);
	for (const struct dirent *x; (x = readdir(d));) {
		int64_t step = step_in(x->d_name);
		if (step < 0)
			continue;
		if (*n == cap) {
			cap = cap ? 2 * cap : 16;
			int64_t *p = realloc(*out, (size_t)cap * sizeof(*p));
			if (!p) {
				free(*out);
				*out = NULL;
				closedir(d);
				return no_memory(e);
			}
			*out = p;
		}
		(*out)[(*n)++] = step;
	}
	closedir(d);
	if (*n > 0)
		qsort(*out, (size_t)*n, sizeof(**out), falling);
	return 0;
}

static char *folder_of(const char *run_dir, int64_t step)
{
	return path_of("%s/%s%06" PRId64, run_dir, prefix, step);
}

/* Gone at once under its own name, then bit by bit. */
static void drop(const char *run_dir, int64_t step)
{
	char *dir = folder_of(run_dir, step);
	char *away = path_of("%s/%s%06" PRId64 ".old", run_dir, hidden, step);

	if (dir && away) {
		remove_tree(away);
		if (rename(dir, away) == 0)
			remove_tree(away);
	}
	free(away);
	free(dir);
}

static void drop_beyond(const char *run_dir, int keep)
{
	int64_t *step;
	int n;

	if (steps_of(run_dir, &step, &n, NULL) < 0)
		return;
	for (int i = keep; i < n; i++)
		drop(run_dir, step[i]);
	free(step);
}

/* ---- what is to be used as it is ---- */

static int write_adapter(struct trainer *t, const struct checkpoint_options *o, const char *dir,
                         struct err *e)
{
	const struct trainer_base *b = trainer_base(t);
	struct adapter a = { 0 };
	struct adapter_save_options s = { .dtype = o->dtype, .base_model = o->base_name };

	if (train_adapter(t, &a, e) < 0)
		return -1;
	s.rslora = a.rslora;
	int rc = adapter_save(&a, dir, &b->model->config, &s, e);
	train_adapter_release(&a);
	return rc;
}

static int write_model(struct trainer *t, const struct checkpoint_options *o, const char *dir,
                       struct err *e)
{
	const struct trainer_base *b = trainer_base(t);
	struct model_values *v = calloc((size_t)b->params + 1, sizeof(*v));
	float *value = malloc(b->values * sizeof(*value) + 1);
	int rc = -1;

	if (!v || !value) {
		no_memory(e);
		goto out;
	}
	for (int i = 0; i < b->params; i++) {
		const struct param *p = &b->param[i];
		if (b->ops->read(t, i, PARAM_VALUE, value + p->at, e) < 0)
			goto out;
		v[i] = (struct model_values){ .name = p->name,
			                      .dims = { p->rows, p->cols },
			                      .n_dims = 2,
			                      .value = value + p->at };
	}
	rc = model_write(dir, &b->model->config, v, b->params, o->dtype, o->tokenizer_dir, e);
out:
	free(value);
	free(v);
	return rc;
}

static int write_weights(struct trainer *t, const struct checkpoint_options *o, const char *dir,
                         struct err *e)
{
	return trainer_base(t)->options.full ? write_model(t, o, dir, e)
	                                     : write_adapter(t, o, dir, e);
}

/* The step of a policy's folder, or -1: what a crash left, or a stranger's. */
static int64_t policy_step(const char *name)
{
	int64_t v = 0;

	if (strlen(name) < 6 || strlen(name) > 12 || name[strspn(name, "0123456789")])
		return -1;
	for (; *name; name++)
		v = 10 * v + (*name - '0');
	return v;
}

/* Removes what is in RUN/policy but the newest @keep of steps up to @last. How many went. */
static int drop_policies(const char *run_dir, int keep, int64_t last)
{
	char *dir = path_of("%s/policy", run_dir);
	DIR *d = dir ? opendir(dir) : NULL;
	int64_t *step = NULL;
	int n = 0, cap = 0, dropped = 0;

	for (const struct dirent *x; d && (x = readdir(d));) {
		int64_t v = policy_step(x->d_name);
		if (v < 0 || v > last)
			continue;
		if (n == cap) {
			int64_t *more = realloc(step, (size_t)(cap + 64) * sizeof(*more));
			if (!more)
				break;
			step = more;
			cap += 64;
		}
		step[n++] = v;
	}
	if (n > 0)
		qsort(step, (size_t)n, sizeof(*step), falling);
	if (d)
		rewinddir(d);
	for (const struct dirent *x; d && (x = readdir(d));) {
		int64_t v = policy_step(x->d_name);
		if (x->d_name[0] == '.' ||
		    (v >= 0 && v <= last && keep > 0 && (n <= keep || v >= step[keep - 1])))
			continue;
		char *path = path_of("%s/%s", dir, x->d_name);
		if (path)
			remove_tree(path);
		free(path);
		dropped++;
	}
	if (d)
		closedir(d);
	free(step);
	free(dir);
	return dropped;
}

int checkpoint_drop_policies(const char *run_dir, int keep)
{
	return drop_policies(run_dir, keep, INT64_MAX);
}

int checkpoint_policy(struct trainer *t, const struct checkpoint_options *o, int64_t step,
                      char **dir, struct err *e)
{
	char *parent = path_of("%s/policy", o->run_dir);
	char *at = path_of("%s/policy/%06" PRId64, o->run_dir, step);
	int rc = -1;

	if (!parent || !at)
		no_memory(e);
	else if (mkdir(parent, 0777) < 0 && errno != EEXIST)
		err_errno(e, ERR_IO, "%.300s", parent);
	else {
		/* one of this step is of a run that was killed, and went on from before it */
		remove_tree(at);
		rc = write_weights(t, o, at, e);
	}
	if (rc == 0) {
		drop_policies(o->run_dir, o->keep, step);
		*dir = at;
		at = NULL;
	}
	free(at);
	free(parent);
	return rc;
}

/* ---- the state ---- */

struct giving {
	struct trainer *t;
	float *value; /* of the tensor last asked for */
	int tensor;
};

/* Tensor i is slot i % SLOTS of parameter i / SLOTS. */
static int give_rows(void *ctx, int i, int64_t from, int64_t n, void *out, struct err *e)
{
	struct giving *g = ctx;
	const struct trainer_base *b = trainer_base(g->t);
	const struct param *p = &b->param[i / SLOTS];

	if (i != g->tensor) {
		g->tensor = -1;
		if (b->ops->read(g->t, i / SLOTS, slots[i % SLOTS], g->value, e) < 0)
			return -1;
		for (int64_t k = 0; k < p->rows * p->cols; k++)
			if (!isfinite(g->value[k]))
				return err_set(e, ERR_INPUT,
				               "%s.%s holds what is no number: the run has gone "
				               "astray (a lower lr may help)",
				               slot_name[i % SLOTS], p->name);
		g->tensor = i;
	}
	memcpy(out, g->value + (size_t)from * (size_t)p->cols,
	       (size_t)n * (size_t)p->cols * sizeof(float));
	return 0;
}

static size_t largest(const struct trainer_base *b)
{
	size_t most = 0;

	for (int i = 0; i < b->params; i++) {
		size_t n = (size_t)b->param[i].rows * (size_t)b->param[i].cols;
		most = n > most ? n : most;
	}
	return most;
}

static void tensor_name(char out[NAME_MAX_BYTES], const struct param *p, int slot)
{
	snprintf(out, NAME_MAX_BYTES, "%s.%s", slot_name[slot], p->name);
}

static int write_tensors(struct trainer *t, const char *path, struct err *e)
{
	static const char *const metadata[] = { "format", "pt", NULL };
	const struct trainer_base *b = trainer_base(t);
	size_t n = (size_t)b->params * SLOTS;
	struct tensor *item = calloc(n + 1, sizeof(*item));
	char(*name)[NAME_MAX_BYTES] = calloc(n + 1, sizeof(*name));
	struct giving g = { .t = t, .tensor = -1 };
	int rc = -1;

	g.value = malloc(largest(b) * sizeof(float) + 1);
	if (!item || !name || !g.value) {
		no_memory(e);
		goto out;
	}
	for (size_t i = 0; i < n; i++) {
		const struct param *p = &b->param[i / SLOTS];
		tensor_name(name[i], p, (int)(i % SLOTS));
		item[i] = (struct tensor){ .name = name[i],
			                   .dtype = DTYPE_F32,
			                   .n_dims = 2,
			                   .dims = { p->rows, p->cols },
			                   .n = (uint64_t)p->rows * (uint64_t)p->cols };
		item[i].bytes = 4 * item[i].n;
	}
	rc = tensors_write_made(path, item, (int)n, metadata, give_rows, &g, e);
out:
	free(g.value);
	free(name);
	free(item);
	return rc;
}

static int write_state(const char *path, int64_t step, const cJSON *state, struct err *e)
{
	cJSON *o = cJSON_CreateObject();
	const cJSON *v;
	struct buf text = { 0 };

	cJSON_AddNumberToObject(o, "format", FORMAT);
	cJSON_AddNumberToObject(o, "step", (double)step);
	cJSON_ArrayForEach(v, state) cJSON_AddItemToObject(o, v->string, cJSON_Duplicate(v, true));
	json_print(&text, o);
	buf_addc(&text, '\n');
	cJSON_Delete(o);
	int rc = buf_failed(&text) ? no_memory(e) : file_write_atomic(path, text.data, text.len, e);
	buf_release(&text);
	return rc;
}

static uint64_t bytes_in(const char *dir)
{
	DIR *d = opendir(dir);
	uint64_t bytes = 0;
	struct stat st;

	for (const struct dirent *x; d && (x = readdir(d));)
		if (fstatat(dirfd(d), x->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode))
			bytes += (uint64_t)st.st_size;
	if (d)
		closedir(d);
	return bytes;
}

int checkpoint_write(struct trainer *t, const struct checkpoint_options *o, int64_t step,
                     const cJSON *state, struct checkpoint_written *out, struct err *e)
{
	char *dir = folder_of(o->run_dir, step);
	char *part = path_of("%s/%s%06" PRId64 ".partial", o->run_dir, hidden, step);
	char *tensors = part ? path_of("%s/state.safetensors", part) : NULL;
	char *json = part ? path_of("%s/state.json", part) : NULL;
	int rc = -1;

	if (!dir || !tensors || !json) {
		no_memory(e);
		goto out;
	}
	sweep(o->run_dir);
	if (write_weights(t, o, part, e) < 0 || write_tensors(t, tensors, e) < 0 ||
	    write_state(json, step, state, e) < 0 || sync_folder(part, e) < 0)
		goto out;
	/* one of that step which is there is damaged, or it would have been gone on from */
	drop(o->run_dir, step);
	if (rename(part, dir) < 0) {
		err_errno(e, ERR_IO, "%.300s", dir);
		goto out;
	}
	if (sync_folder(o->run_dir, e) < 0)
		goto out;
	out->bytes = bytes_in(dir);
	out->dir = dir;
	dir = NULL;
	drop_beyond(o->run_dir, o->keep);
	rc = 0;
out:
	if (rc < 0 && part)
		remove_tree(part);
	free(json);
	free(tensors);
	free(part);
	free(dir);
	return rc;
}

/* ---- going on ---- */

cJSON *checkpoint_state(const char *dir, struct err *e)
{
	char *path = path_of("%s/state.json", dir);
	struct buf text = { 0 };
	cJSON *o = NULL;

	if (!path) {
		no_memory(e);
	} else if (buf_read_file(&text, path, STATE_MAX, e) == 0) {
		o = json_parse_bounded(buf_str(&text), text.len, JSON_VALUES_MAX, e);
		if (!o)
			err_wrap(e, "%.300s", path);
	}
	if (o && json_number_or(o, "format", 0) != FORMAT) {
		err_set(e, ERR_INPUT, "%.300s: format %d was expected, got %g", path, FORMAT,
		        json_number_or(o, "format", 0));
		cJSON_Delete(o);
		o = NULL;
	}
	buf_release(&text);
	free(path);
	return o;
}

/* Whether all of it is there: state.json, and tensors as long as their header says. */
static bool whole(const char *dir, int64_t step, struct err *e)
{
	char *path = path_of("%s/state.safetensors", dir);
	cJSON *state = checkpoint_state(dir, e);
	struct tensors t = { 0 };
	bool good = false;

	if (path && state && tensors_open_file(&t, path, e) == 0) {
		good = json_number_or(state, "step", -1) == (double)step;
		if (!good)
			err_set(e, ERR_INPUT, "%.300s: its state.json is of step %g", dir,
			        json_number_or(state, "step", -1));
		tensors_close(&t);
	}
	cJSON_Delete(state);
	free(path);
	return good;
}

int checkpoint_newest(const char *run_dir, char **dir, int64_t *step, struct err *passed_over,
                      struct err *e)
{
	struct err first = { 0 }, why = { 0 };
	int64_t *list;
	int n, rc = 1;

	if (steps_of(run_dir, &list, &n, e) < 0)
		return -1;
	for (int i = 0; i < n && rc == 1; i++) {
		char *at = folder_of(run_dir, list[i]);
		if (at && whole(at, list[i], &why)) {
			*dir = at;
			*step = list[i];
			rc = 0;
			break;
		}
		if (!first.kind)
			first = why;
		free(at);
	}
	free(list);
	if (rc == 1 && n > 0 && !e)
		return -1;
	if (rc == 1 && n > 0) {
		*e = first;
		return err_wrap(e, "not one checkpoint is whole");
	}
	if (passed_over)
		*passed_over = first;
	return rc;
}

int checkpoint_drop_older(const char *run_dir)
{
	int64_t *list, step;
	char *dir;
	int n, dropped = 0;

	if (checkpoint_newest(run_dir, &dir, &step, NULL, NULL) != 0)
		return 0;
	free(dir);
	if (steps_of(run_dir, &list, &n, NULL) < 0)
		return 0;
	for (int i = 0; i < n; i++)
		if (list[i] != step) {
			drop(run_dir, list[i]);
			dropped++;
		}
	free(list);
	return dropped;
}

static int read_one(struct trainer *t, const struct tensors *set, int param, int slot,
                    const char *dir, float *value, struct err *e)
{
	const struct trainer_base *b = trainer_base(t);
	const struct param *p = &b->param[param];
	char name[NAME_MAX_BYTES], shape[100];

	tensor_name(name, p, slot);
	const struct tensor *x = tensors_find(set, name);
	if (!x)
		return err_set(e, ERR_INPUT, "%.200s: state.safetensors has no tensor %s", dir,
		               name);
	if (x->dtype != DTYPE_F32 || x->n_dims != 2 || x->dims[0] != p->rows ||
	    x->dims[1] != p->cols) {
		tensor_shape(x, shape, sizeof(shape));
		return err_set(e, ERR_INPUT,
		               "%.120s: tensor %s: F32 [%" PRId64 ", %" PRId64
		               "] was expected, got %s %s",
		               dir, name, p->rows, p->cols, dtype_name(x->dtype), shape);
	}
	tensor_read(x, 0, x->n, value);
	for (uint64_t i = 0; i < x->n; i++)
		if (!isfinite(value[i]))
			return err_set(e, ERR_INPUT, "%.200s: tensor %s holds what is no number",
			               dir, name);
	return b->ops->write(t, param, slots[slot], value, e);
}

int checkpoint_read(struct trainer *t, const char *dir, struct err *e)
{
	const struct trainer_base *b = trainer_base(t);
	char *path = path_of("%s/state.safetensors", dir);
	float *value = malloc(largest(b) * sizeof(*value) + 1);
	struct tensors set = { 0 };
	int rc = -1;

	if (!path || !value) {
		no_memory(e);
		goto out;
	}
	if (tensors_open_file(&set, path, e) < 0)
		goto out;
	if (set.n != b->params * SLOTS) {
		err_set(e, ERR_INPUT, "%.300s: %d tensors were expected, got %d", path,
		        b->params * SLOTS, set.n);
		goto out;
	}
	rc = 0;
	for (int i = 0; i < b->params * SLOTS && rc == 0; i++)
		rc = read_one(t, &set, i / SLOTS, i % SLOTS, dir, value, e);
out:
	tensors_close(&set);
	free(value);
	free(path);
	return rc;
}
