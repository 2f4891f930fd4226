#include "src/found.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/base/json.h"

enum { DEPTH = 2, CONFIG_BYTES_MAX = 8 << 20, ENTRIES_MAX = 4096 };

static bool has_file(const char *dir, const char *name)
{
	char path[PATH_MAX];
	struct stat st;

	return snprintf(path, sizeof(path), "%s/%s", dir, name) < (int)sizeof(path) &&
	       stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), k = strlen(end);

	return n >= k && strcmp(text + n - k, end) == 0;
}

static uint64_t weight_bytes(const char *dir)
{
	DIR *d = opendir(dir);
	uint64_t sum = 0;

	for (struct dirent *x; d && (x = readdir(d));) {
		char path[PATH_MAX];
		struct stat st;
		if (ends_with(x->d_name, ".safetensors") &&
		    snprintf(path, sizeof(path), "%s/%s", dir, x->d_name) < (int)sizeof(path) &&
		    stat(path, &st) == 0)
			sum += (uint64_t)st.st_size;
	}
	if (d)
		closedir(d);
	return sum;
}

static void *grow(void *v, int n, size_t size)
{
	/* by powers of two from 8 */
	if (n && (n < 8 || (n & (n - 1))))
		return v;
	return realloc(v, size * (size_t)(n ? 2 * n : 8));
}

static int add_model(struct found *f, const char *dir, const char *where, struct err *e)
{
	struct found_model m = { .where = where };
	struct buf text = { 0 };
	struct err own = { 0 };
	char path[PATH_MAX];

	struct found_model *more = grow(f->model, f->n_models, sizeof(*more));
	if (more)
		f->model = more;
	m.dir = strdup(dir);
	if (!more || !m.dir) {
		free(m.dir);
		return err_set(e, ERR_MEM, "no memory for a list of models");
	}
	snprintf(path, sizeof(path), "%s/config.json", dir);
	m.usable = buf_read_file(&text, path, CONFIG_BYTES_MAX, &own) == 0 &&
	           config_parse(&m.config, buf_str(&text), text.len, "config.json", &own) == 0;
	buf_release(&text);
	m.weight_bytes = weight_bytes(dir);
	if (m.usable && !m.weight_bytes) {
		m.usable = false;
		err_set(&own, ERR_INPUT, "there is no .safetensors file beside its config.json");
	} else if (m.usable && !has_file(dir, "tokenizer.json")) {
		m.usable = false;
		err_set(&own, ERR_INPUT, "there is no tokenizer.json beside its config.json");
	}
	if (!m.usable)
		snprintf(m.why, sizeof(m.why), "%.239s", own.text);
	f->model[f->n_models++] = m;
	return 0;
}

static int add_adapter(struct found *f, const char *dir, const char *where, struct err *e)
{
	struct found_adapter *more = grow(f->adapter, f->n_adapters, sizeof(*more));
	struct buf text = { 0 };
	char path[PATH_MAX];
	cJSON *json;

	if (more)
		f->adapter = more;
	char *copy = strdup(dir);
	if (!more || !copy) {
		free(copy);
		return err_set(e, ERR_MEM, "no memory for a list of adapters");
	}
	struct found_adapter *a = &f->adapter[f->n_adapters++];
	*a = (struct found_adapter){ .dir = copy, .where = where };
	snprintf(path, sizeof(path), "%s/adapter_config.json", dir);
	if (buf_read_file(&text, path, CONFIG_BYTES_MAX, NULL) == 0 &&
	    (json = json_parse_bounded(buf_str(&text), text.len, 100000, NULL))) {
		const char *base = json_string_or(json, "base_model_name_or_path", NULL);
		a->base_model = base && *base ? strdup(base) : NULL;
		cJSON_Delete(json);
	}
	buf_release(&text);
	return 0;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int look_at(struct found *f, const char *dir, const char *where, int depth, struct err *e)
{
	char real[PATH_MAX], **name = NULL;
	int n = 0, rc = 0;
	bool known = false;

	/* a folder is listed once, whatever its names */
	if (!realpath(dir, real))
		return 0;
	bool model = has_file(real, "config.json"), adapter = has_file(real, "adapter_config.json");
	for (int i = 0; i < f->n_models && !known; i++)
		known = strcmp(f->model[i].dir, real) == 0;
	for (int i = 0; i < f->n_adapters && !known; i++)
		known = strcmp(f->adapter[i].dir, real) == 0;
	if ((model || adapter) && !known) {
		if ((adapter ? f->n_adapters : f->n_models) == FOUND_MAX) {
			f->more = true;
			return 0;
		}
		if ((adapter ? add_adapter : add_model)(f, real, where, e) < 0)
			return -1;
	}
	if (depth == 0)
		return 0;
	DIR *d = opendir(real);
	for (struct dirent *x; d && n < ENTRIES_MAX && (x = readdir(d));) {
		struct stat st;
		char path[PATH_MAX];
		if (x->d_name[0] == '.' ||
		    (x->d_type != DT_DIR && x->d_type != DT_LNK && x->d_type != DT_UNKNOWN))
			continue;
		if (snprintf(path, sizeof(path), "%s/%s", real, x->d_name) >= (int)sizeof(path) ||
		    stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
			continue;
		char **more = grow(name, n, sizeof(*more));
		if (more)
			name = more;
		if (!more || !(name[n] = strdup(path))) {
			rc = err_set(e, ERR_MEM, "no memory for the folders in %s", real);
			break;
		}
		n++;
	}
	if (d)
		closedir(d);
	if (n)
		qsort(name, (size_t)n, sizeof(*name), by_text);
	for (int i = 0; i < n; i++) {
		if (rc == 0)
			rc = look_at(f, name[i], where, depth - 1, e);
		free(name[i]);
	}
	free(name);
	return rc;
}

static int look_in(struct found *f, const char *dir, const char *where, struct err *e)
{
	struct stat st;

	if (stat(dir, &st) < 0 || !S_ISDIR(st.st_mode))
		return 0;
	buf_printf(&f->looked, "%s\n", dir);
	return look_at(f, dir, where, DEPTH, e);
}

static int look_under(struct found *f, const char *root, const char *where, struct err *e)
{
	static const char *const names[] = { "models", "adapters" };
	char path[PATH_MAX];

	for (int i = 0; i < 2; i++)
		if (snprintf(path, sizeof(path), "%s/%s", root, names[i]) < (int)sizeof(path) &&
		    look_in(f, path, where, e) < 0)
			return -1;
	return 0;
}

/* Which adapters fit which models. */
static void match(struct found *f)
{
	for (int i = 0; i < f->n_adapters; i++) {
		struct found_adapter *a = &f->adapter[i];
		bool tried = false;
		for (int k = 0; k < f->n_models; k++) {
			struct adapter look = { 0 };
			struct err own = { 0 };
			if (!f->model[k].usable)
				continue;
			tried = true;
			if (adapter_look(&look, a->dir, &f->model[k].config, &own) == 0) {
				a->fits[a->n_fits++] = k;
				a->rank = look.rank_max;
				a->parameters = look.parameters;
			} else if (!a->n_fits) {
				snprintf(a->why, sizeof(a->why), "%.479s", own.text);
			}
			adapter_close(&look);
		}
		if (a->n_fits)
			a->why[0] = '\0';
		else if (!tried)
			snprintf(a->why, sizeof(a->why), "no model was found that it could fit");
	}
}

/* A model's folder, what lies beside it, and in adapters/ beside it. */
static int look_about(struct found *f, const char *model, const char *where, struct err *e)
{
	char above[PATH_MAX], adapters[PATH_MAX];

	if (!realpath(model, above))
		return 0;
	if (look_in(f, above, where, e) < 0)
		return -1;
	char *slash = strrchr(above, '/');
	if (!slash || slash == above)
		return 0;
	*slash = '\0';
	buf_printf(&f->looked, "%s\n", above);
	if (look_at(f, above, where, 1, e) < 0)
		return -1;
	return snprintf(adapters, sizeof(adapters), "%s/adapters", above) < (int)sizeof(adapters)
	               ? look_in(f, adapters, where, e)
	               : 0;
}

int found_look(struct found *out, const struct app *a, const char *const *dirs, int n_dirs,
               const char *model, struct err *e)
{
	const char *env = getenv("CADFORGE_MODEL");
	struct found f = { 0 };
	char above[PATH_MAX];
	int rc = 0;

	for (int i = 0; i < n_dirs && rc == 0; i++)
		rc = look_in(&f, dirs[i], "given", e);
	if (rc == 0 && model)
		rc = look_about(&f, model, "in use", e);
	else if (rc == 0 && env && *env)
		rc = look_about(&f, env, "CADFORGE_MODEL", e);
	if (rc == 0 && a->user_data[0])
		rc = look_under(&f, a->user_data, "user", e);
	/* what lies beside the program lies beside its tasks */
	if (rc == 0 && a->tasks[0] &&
	    snprintf(above, sizeof(above), "%s/..", a->tasks) < (int)sizeof(above))
		rc = look_under(&f, above, "installed", e);
	if (rc == 0 && a->demo[0])
		rc = look_in(&f, a->demo, "demo", e);
	if (rc == 0 && buf_failed(&f.looked))
		rc = err_set(e, ERR_MEM, "no memory for a list of folders");
	if (rc < 0) {
		found_release(&f);
		return -1;
	}
	match(&f);
	*out = f;
	return 0;
}

void found_release(struct found *f)
{
	for (int i = 0; i < f->n_models; i++)
		free(f->model[i].dir);
	for (int i = 0; i < f->n_adapters; i++) {
		free(f->adapter[i].dir);
		free(f->adapter[i].base_model);
	}
	free(f->model);
	free(f->adapter);
	buf_release(&f->looked);
	*f = (struct found){ 0 };
}
