/*
 * train_grad.c - one batch through a trainer, and its gradients into a file.
 */
#include "gpu/train_grad.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/policy_loss.h"
#include "src/base/buf.h"
#include "src/base/json.h"

enum { BATCH_BYTES_MAX = 64 << 20 };

struct ask {
	const char *model, *adapter, *batch, *out, *loss, *labels, *name;
	int threads;
};

struct work {
	struct ask ask;
	struct model model;
	struct adapter adapter;
	bool has_model, has_adapter;
	struct trainer *trainer;
	cJSON *json;
	/* the samples side by side (struct train_batch) */
	int32_t *id, *label, *start;
	int rows, samples, labels;
	float *logp, *old, *reference, *coef;
	struct policy_figures figures;
	double loss, norm;
};

/* ---- the batch ---- */

static int ids_of(const cJSON *list, int32_t *out, int max, const char *what, struct err *e)
{
	const cJSON *x;
	int n = 0;

	if (!cJSON_IsArray(list))
		return err_set(e, ERR_INPUT, "%s: a list of numbers was expected", what);
	cJSON_ArrayForEach(x, list)
	{
		if (!cJSON_IsNumber(x) || fabs(x->valuedouble) > INT32_MAX || n == max)
			return err_set(e, ERR_INPUT, "%s: at most %d whole numbers were expected",
			               what, max);
		out[n++] = (int32_t)x->valuedouble;
	}
	return n;
}

static int take_rows(struct work *w, int rows, int samples, struct err *e)
{
	size_t n = (size_t)(rows > 0 ? rows : 1);

	w->id = calloc(n, sizeof(*w->id));
	w->label = calloc(n, sizeof(*w->label));
	w->start = calloc((size_t)samples + 1, sizeof(*w->start));
	w->logp = calloc(n, sizeof(float));
	w->old = calloc(n, sizeof(float));
	w->reference = calloc(n, sizeof(float));
	w->coef = calloc(n, sizeof(float));
	if (!w->id || !w->label || !w->start || !w->logp || !w->old || !w->reference || !w->coef)
		return err_set(e, ERR_MEM, "no memory for a batch of %d rows", rows);
	w->rows = rows;
	w->samples = samples;
	return 0;
}

/* How many of a row's tokens are no padding. */
static int unpadded(const cJSON *mask, int n, int row, struct err *e)
{
	int kept = 0, at = 0;
	const cJSON *x;

	if (!mask)
		return n;
	cJSON_ArrayForEach(x, mask)
	{
		if (cJSON_IsNumber(x) && x->valuedouble != 0) {
			if (kept != at)
				return err_set(
					e, ERR_INPUT,
					"attention_mask, row %d: padding must be on the right",
					row + 1);
			kept++;
		}
		at++;
	}
	return at == n && kept > 0 ? kept
	                           : err_set(e, ERR_INPUT,
	                                     "attention_mask, row %d: %d entries for %d tokens, at "
	                                     "least one of them 1, were expected",
	                                     row + 1, at, n);
}

static int read_sft(struct work *w, struct err *e)
{
	const cJSON *rows = cJSON_GetObjectItemCaseSensitive(w->json, "input_ids"), *row;
	const cJSON *masks = cJSON_GetObjectItemCaseSensitive(w->json, "attention_mask");
	const char *name = w->ask.labels ? w->ask.labels : "prompt_masked";
	char key[64];
	int all = 0, k = 0, n = cJSON_GetArraySize(rows);
	int32_t *ids = NULL, *labels = NULL;
	int rc = -1;

	snprintf(key, sizeof(key), "labels_%.50s", name);
	const cJSON *wanted = cJSON_GetObjectItemCaseSensitive(w->json, key);
	if (!cJSON_IsArray(rows) || n < 1)
		return err_set(e, ERR_INPUT, "input_ids: a list of rows was expected");
	if (!wanted && strcmp(name, "all_tokens") != 0)
		return err_set(e, ERR_INPUT, "there is no '%s' in the batch", key);
	cJSON_ArrayForEach(row, rows) all += cJSON_GetArraySize(row);
	if (take_rows(w, all, n, e) < 0)
		return -1;
	ids = calloc((size_t)all + 1, sizeof(*ids));
	labels = calloc((size_t)all + 1, sizeof(*labels));
	if (!ids || !labels) {
		err_set(e, ERR_MEM, "out of memory");
		goto out;
	}
	w->rows = 0;
	cJSON_ArrayForEach(row, rows)
	{
		int m = ids_of(row, ids, all, "input_ids", e), kept;
		if (m < 0 || (kept = unpadded(cJSON_GetArrayItem(masks, k), m, k, e)) < 0)
			goto out;
		memcpy(labels, ids, (size_t)m * sizeof(*ids));
		if (wanted && ids_of(cJSON_GetArrayItem(wanted, k), labels, all, key, e) != m) {
			err_set(e, ERR_INPUT, "%s, row %d: %d labels were expected", key, k + 1, m);
			goto out;
		}
		w->start[k++] = w->rows;
		for (int i = 0; i < kept; i++) {
			int32_t next = i + 1 < kept && labels[i + 1] >= 0 ? labels[i + 1] : -1;
			w->id[w->rows] = ids[i];
			w->label[w->rows++] = next;
			w->labels += next >= 0;
		}
	}
	w->start[k] = w->rows;
	rc = w->labels ? 0 : err_set(e, ERR_INPUT, "%s: nothing is to be learnt", key);
out:
	free(ids);
	free(labels);
	return rc;
}

static int read_grpo(struct work *w, struct err *e)
{
	const cJSON *prompt = cJSON_GetObjectItemCaseSensitive(w->json, "prompt_ids");
	const cJSON *answers = cJSON_GetObjectItemCaseSensitive(w->json, "completion_ids"), *x;
	int p = cJSON_GetArraySize(prompt), n = cJSON_GetArraySize(answers), all = 0, k = 0;

	if (p < 1 || n < 1)
		return err_set(e, ERR_INPUT,
		               "prompt_ids and completion_ids with at least one token each were "
		               "expected");
	cJSON_ArrayForEach(x, answers) all += p + cJSON_GetArraySize(x);
	if (take_rows(w, all, n, e) < 0)
		return -1;
	w->rows = 0;
	cJSON_ArrayForEach(x, answers)
	{
		int32_t *at = w->id + w->rows;
		int m;
		w->start[k++] = w->rows;
		if (ids_of(prompt, at, p, "prompt_ids", e) < 0 ||
		    (m = ids_of(x, at + p, all - w->rows - p, "completion_ids", e)) < 0)
			return -1;
		/* the last token is fed too, for nothing: as the others do, and it costs one row */
		for (int i = 0; i < p + m; i++)
			w->label[w->rows + i] = i + 1 >= p && i + 1 < p + m ? at[i + 1] : -1;
		w->rows += p + m;
		w->labels += m;
	}
	w->start[k] = w->rows;
	return 0;
}

/* ---- the passes ---- */

static int pass(struct work *w, const float *coef, float *logp, struct err *e)
{
	const struct train_batch b = { .n = w->rows,
		                       .samples = w->samples,
		                       .id = w->id,
		                       .label = w->label,
		                       .start = w->start };

	return trainer_base(w->trainer)->ops->pass(w->trainer, &b, coef, logp, e);
}

static int run_sft(struct work *w, struct err *e)
{
	double sum = 0;

	for (int i = 0; i < w->rows; i++)
		w->coef[i] = w->label[i] >= 0 ? (float)(-1.0 / w->labels) : 0;
	if (pass(w, w->coef, w->logp, e) < 0)
		return -1;
	for (int i = 0; i < w->rows; i++)
		sum += w->label[i] >= 0 ? (double)w->logp[i] : 0;
	w->loss = -sum / w->labels;
	return 0;
}

/* Every B times @scale; the values as they are back in @kept, or from there. */
static int scale_b(struct work *w, float scale, float *kept, bool back, struct err *e)
{
	const struct trainer_base *t = trainer_base(w->trainer);
	float *some = NULL;
	int rc = 0;

	for (int i = 0; i < t->params && rc == 0; i++) {
		const struct param *p = &t->param[i];
		size_t n = (size_t)(p->rows * p->cols);
		float *at = kept + p->at;
		if (!p->is_b)
			continue;
		if (back) {
			rc = t->ops->write(w->trainer, i, PARAM_VALUE, at, e);
			continue;
		}
		float *more = realloc(some, n * sizeof(float));
		if (!more) {
			rc = err_set(e, ERR_MEM, "out of memory");
			break;
		}
		some = more;
		rc = t->ops->read(w->trainer, i, PARAM_VALUE, at, e);
		for (size_t j = 0; j < n; j++)
			some[j] = at[j] * scale;
		if (rc == 0)
			rc = t->ops->write(w->trainer, i, PARAM_VALUE, some, e);
	}
	free(some);
	return rc;
}

/* Log-probabilities of the policy that drew the answers, into w->old. */
static int old_policy(struct work *w, struct err *e)
{
	const cJSON *given = cJSON_GetObjectItemCaseSensitive(w->json, "old_logps"), *x;
	const char *words = json_string_or(w->json, "old_policy", ""), *times;
	double scale = NAN;
	int s = 0, p = cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(w->json, "prompt_ids"));

	if (given) {
		cJSON_ArrayForEach(x, given)
		{
			int i = 0;
			const cJSON *v;
			if (s == w->samples)
				break;
			cJSON_ArrayForEach(v, x)
			{
				int at = w->start[s] + p - 1 + i++;
				if (at < w->start[s + 1] && cJSON_IsNumber(v))
					w->old[at] = (float)v->valuedouble;
			}
			s++;
		}
		return s == w->samples
		               ? 0
		               : err_set(e, ERR_INPUT, "old_logps: %d rows were expected, got %d",
		                         w->samples, s);
	}
	times = strstr(words, "lora_B times ");
	if (times)
		scale = strtod(times + strlen("lora_B times "), NULL);
	if (!w->has_adapter || !isfinite(scale))
		return err_set(e, ERR_INPUT,
		               "who drew the answers is not known: \"old_logps\", or "
		               "\"old_policy\": \"... every lora_B times S\" with an adapter, was "
		               "expected; or a case with \"on_policy\": true");
	float *kept = calloc(trainer_base(w->trainer)->values, sizeof(float));
	if (!kept)
		return err_set(e, ERR_MEM, "out of memory");
	int rc = scale_b(w, (float)scale, kept, false, e);
	if (rc == 0)
		rc = pass(w, NULL, w->old, e);
	if (rc == 0)
		rc = scale_b(w, 1, kept, true, e);
	free(kept);
	return rc;
}

static int advantages(const struct work *w, double *out, struct err *e)
{
	const cJSON *given = cJSON_GetObjectItemCaseSensitive(w->json, "advantages");
	const char *key = given ? "advantages" : "rewards";

	if (json_get_numbers(w->json, key, out, w->samples, e) < 0)
		return -1;
	if (!given) {
		double *r = calloc((size_t)w->samples, sizeof(*r));
		if (!r)
			return err_set(e, ERR_MEM, "out of memory");
		memcpy(r, out, (size_t)w->samples * sizeof(*r));
		policy_advantages(r, w->samples, out);
		free(r);
	}
	return 0;
}

static int read_case(const struct work *w, struct policy_options *o, bool *on_policy, struct err *e)
{
	const cJSON *cases = cJSON_GetObjectItemCaseSensitive(w->json, "cases"), *c, *x;
	const char *type;
	struct buf names = { 0 };
	int r;

	c = w->ask.name ? cJSON_GetObjectItemCaseSensitive(cases, w->ask.name) : NULL;
	if (!c) {
		cJSON_ArrayForEach(x, cases) buf_printf(&names, "%s%s", names.len ? ", " : "",
		                                        x->string ? x->string : "");
		err_set(e, w->ask.name ? ERR_INPUT : ERR_USAGE,
		        "--case: one of the batch's cases was expected: %.300s", buf_str(&names));
		buf_release(&names);
		return -1;
	}
	if (json_get_string(c, "loss_type", &type, e) < 0)
		return -1;
	if ((r = policy_reduction_parse(type)) < 0)
		return err_set(e, ERR_INPUT,
		               "loss_type: grpo, dapo or dr_grpo was expected, got "
		               "'%.40s'",
		               type);
	*o = (struct policy_options){
		.reduction = (enum policy_reduction)r,
		.beta = json_number_or(c, "beta", 0),
		.low = json_number_or(w->json, "epsilon_low", 0.2),
		.high = json_number_or(w->json, "epsilon_high", 0.2),
		.weighted_kl = json_bool_or(c, "kl_importance_correction", false),
		.longest = (int)json_number_or(w->json, "dr_grpo_max_completion_length", 0),
	};
	*on_policy = json_bool_or(c, "on_policy", false);
	return 0;
}

static int run_grpo(struct work *w, struct err *e)
{
	struct policy_options o;
	struct policy_answer *v = calloc((size_t)w->samples, sizeof(*v));
	double *adv = calloc((size_t)w->samples, sizeof(*adv));
	const struct train_batch b = { .n = w->rows,
		                       .samples = w->samples,
		                       .id = w->id,
		                       .label = w->label,
		                       .start = w->start };
	bool on_policy = false;
	int rc = -1;

	if (!v || !adv) {
		err_set(e, ERR_MEM, "out of memory");
		goto out;
	}
	if (read_case(w, &o, &on_policy, e) < 0 || advantages(w, adv, e) < 0 ||
	    (!on_policy && old_policy(w, e) < 0) || pass(w, NULL, w->logp, e) < 0)
		goto out;
	if (w->has_adapter &&
	    trainer_base(w->trainer)->ops->pass_base(w->trainer, &b, w->reference, e) < 0)
		goto out;
	for (int s = 0; s < w->samples; s++) {
		int from = w->start[s], to = w->start[s + 1];
		while (from < to && w->label[from] < 0)
			from++;
		v[s] = (struct policy_answer){
			.n = to - from - 1,
			.advantage = adv[s],
			.logp = w->logp + from,
			.old = on_policy ? NULL : w->old + from,
			.reference = w->has_adapter ? w->reference + from : NULL,
			.coef = w->coef + from,
		};
	}
	if (policy_loss(&o, v, w->samples, &w->figures, e) < 0)
		goto out;
	w->loss = w->figures.loss;
	rc = pass(w, w->coef, NULL, e);
out:
	free(v);
	free(adv);
	return rc;
}

/* ---- the file ---- */

static int write_gradients(struct work *w, struct err *e)
{
	const struct trainer_base *t = trainer_base(w->trainer);
	struct tensor *item = calloc((size_t)t->params, sizeof(*item));
	float *all = calloc(t->values, sizeof(*all));
	int rc = -1;

	if (!item || !all) {
		err_set(e, ERR_MEM, "no memory for %llu gradients", (unsigned long long)t->values);
		goto out;
	}
	for (int i = 0; i < t->params; i++) {
		const struct param *p = &t->param[i];
		bool vector = p->rows == 1 && p->kind == PARAM_VECTOR;
		if (t->ops->read(w->trainer, i, PARAM_GRADIENT, all + p->at, e) < 0)
			goto out;
		item[i] = (struct tensor){
			.name = p->name,
			.dtype = DTYPE_F32,
			.n_dims = vector ? 1 : 2,
			.n = (uint64_t)(p->rows * p->cols),
			.bytes = (uint64_t)(p->rows * p->cols) * sizeof(float),
			.data = all + p->at,
		};
		item[i].dims[0] = vector ? p->cols : p->rows;
		item[i].dims[1] = vector ? 0 : p->cols;
	}
	rc = tensors_write(w->ask.out, item, t->params, NULL, e);
out:
	free(item);
	free(all);
	return rc;
}

static int work(struct work *w, train_open_fn *open, struct err *e)
{
	bool sft = strcmp(w->ask.loss, "sft") == 0;
	struct buf text = { 0 };
	int rc;

	if (buf_read_file(&text, w->ask.batch, BATCH_BYTES_MAX, e) < 0)
		return -1;
	w->json = json_parse(buf_str(&text), text.len, e);
	buf_release(&text);
	if (!w->json || (sft ? read_sft(w, e) : read_grpo(w, e)) < 0)
		return err_wrap(e, "%s", w->ask.batch);
	if (model_open(&w->model, w->ask.model, e) < 0)
		return -1;
	w->has_model = true;
	if (w->ask.adapter) {
		if (adapter_open(&w->adapter, w->ask.adapter, &w->model.config, e) < 0)
			return -1;
		w->has_adapter = true;
	}
	const struct train_options o = { .full = !w->has_adapter,
		                         .from = w->has_adapter ? &w->adapter : NULL,
		                         .threads = w->ask.threads,
		                         .rows = w->rows };
	w->trainer = open(&w->model, &o, e);
	if (!w->trainer)
		return -1;
	const struct trainer_ops *ops = trainer_base(w->trainer)->ops;
	rc = ops->zero_gradients(w->trainer, e);
	if (rc == 0)
		rc = sft ? run_sft(w, e) : run_grpo(w, e);
	if (rc == 0)
		rc = ops->gradient_norm(w->trainer, &w->norm, e);
	if (rc == 0 && w->ask.out)
		rc = write_gradients(w, e);
	return rc;
}

static int read_flags(struct ask *a, int argc, char **argv, struct err *e)
{
	for (int i = 1; i < argc; i++) {
		const char **to = NULL, *flag = argv[i];
		if (strncmp(flag, "--", 2) != 0) {
			a->model = flag;
			continue;
		}
		if (strcmp(flag, "--adapter") == 0)
			to = &a->adapter;
		else if (strcmp(flag, "--batch") == 0)
			to = &a->batch;
		else if (strcmp(flag, "--out") == 0)
			to = &a->out;
		else if (strcmp(flag, "--loss") == 0)
			to = &a->loss;
		else if (strcmp(flag, "--labels") == 0)
			to = &a->labels;
		else if (strcmp(flag, "--case") == 0)
			to = &a->name;
		else if (strcmp(flag, "--threads") != 0)
			return err_set(e, ERR_USAGE, "'%.40s' is no flag of --grad", flag);
		if (++i == argc)
			return err_set(e, ERR_USAGE, "%s: a value is missing", flag);
		if (to)
			*to = argv[i];
		else
			a->threads = atoi(argv[i]);
	}
	if (!a->model || !a->batch)
		return err_set(e, ERR_USAGE, "--grad: a model's folder and --batch are needed");
	if (!a->loss || (strcmp(a->loss, "sft") != 0 && strcmp(a->loss, "grpo") != 0))
		return err_set(e, ERR_USAGE, "--loss: sft or grpo was expected, got '%.40s'",
		               a->loss ? a->loss : "");
	return 0;
}

static void print(const struct work *w)
{
	cJSON *o = cJSON_CreateObject();
	struct buf text = { 0 };

	json_add_figure(o, "loss", w->loss);
	json_add_figure(o, "grad_norm", w->norm);
	cJSON_AddNumberToObject(o, "labels", w->labels);
	if (strcmp(w->ask.loss, "grpo") == 0) {
		json_add_figure(o, "mean_kl", w->figures.kl);
		json_add_figure(o, "clip_fraction", w->figures.clipped);
	}
	json_print(&text, o);
	puts(buf_str(&text));
	buf_release(&text);
	cJSON_Delete(o);
}

int train_grad_main(int argc, char **argv, train_open_fn *open)
{
	struct work w = { 0 };
	struct err e = { 0 };
	int rc = read_flags(&w.ask, argc, argv, &e);

	if (rc == 0)
		rc = work(&w, open, &e);
	if (rc == 0)
		print(&w);
	else
		fprintf(stderr, "cadforge: %s\n", e.text);
	if (w.trainer)
		trainer_base(w.trainer)->ops->close(w.trainer);
	if (w.has_adapter)
		adapter_close(&w.adapter);
	if (w.has_model)
		model_close(&w.model);
	cJSON_Delete(w.json);
	free(w.id);
	free(w.label);
	free(w.start);
	free(w.logp);
	free(w.old);
	free(w.reference);
	free(w.coef);
	return rc == 0 ? (fflush(stdout) == 0 ? 0 : 1) : err_exit_status(&e);
}
