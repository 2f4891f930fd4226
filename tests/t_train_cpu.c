/*
 * The CPU trainer against the oracle (made with torch), finite differences, and itself: packed or
 * apart, kept or computed again, one thread or two.
 */
#include "tests/model.h"

#include "gpu/blas.h"
#include "gpu/train.h"

/* ---- batches ---- */

enum { ROWS_MAX = 4096, SAMPLES_MAX = 64 };

struct rows {
	int n, samples;
	int32_t id[ROWS_MAX], label[ROWS_MAX], start[SAMPLES_MAX + 1];
	float coef[ROWS_MAX], logp[ROWS_MAX];
	float temperature; /* of passes; 0: none */
};

static struct train_batch batch_of(const struct rows *r)
{
	return (struct train_batch){ .n = r->n,
		                     .samples = r->samples,
		                     .id = r->id,
		                     .label = r->label,
		                     .start = r->start,
		                     .temperature = r->temperature };
}

/* Another sample; @learn[i] != 0: token i is to be learnt, from the row before it. */
static void add_sample(struct rows *r, const int *id, const int *learn, int n)
{
	assert_true(r->n + n <= ROWS_MAX && r->samples < SAMPLES_MAX);
	for (int i = 0; i < n; i++) {
		r->id[r->n] = id[i];
		r->label[r->n++] = i + 1 < n && learn[i + 1] ? id[i + 1] : -1;
	}
	r->start[++r->samples] = r->n;
}

static int labels_of(const struct rows *r)
{
	int n = 0;

	for (int i = 0; i < r->n; i++)
		n += r->label[i] >= 0;
	return n;
}

/* As SFT has it: the mean over the labels. */
static void coef_mean(struct rows *r)
{
	int n = labels_of(r);

	for (int i = 0; i < r->n; i++)
		r->coef[i] = r->label[i] >= 0 ? -1.0f / (float)n : 0;
}

static double loss_of(const struct rows *r)
{
	double sum = 0;

	for (int i = 0; i < r->n; i++)
		sum += (double)r->coef[i] * r->logp[i];
	return sum;
}

static uint32_t next(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

static void add_random_sample(struct rows *r, int n, int vocabulary, uint32_t seed)
{
	int id[ROWS_MAX], learn[ROWS_MAX];

	for (int i = 0; i < n; i++) {
		id[i] = (int)(next(&seed) % (uint32_t)vocabulary);
		learn[i] = next(&seed) % 4 != 0;
	}
	add_sample(r, id, learn, n);
}

/* ---- trainers ---- */

struct rig {
	struct model m;
	struct adapter a;
	struct trainer *t;
	const struct trainer_base *base;
};

static void rig_trainer(struct rig *g, struct train_options o)
{
	struct err e = { 0 };

	if (o.rows == 0)
		o.rows = ROWS_MAX;
	if (g->a.part)
		o.from = &g->a;
	g->t = train_cpu_open(&g->m, &o, &e);
	if (!g->t)
		fail_msg("%s", e.text);
	g->base = trainer_base(g->t);
}

static void rig_oracle(struct rig *g, const char *model, const char *adapter,
                       struct train_options o)
{
	struct err e = { 0 };
	char path[4096];

	memset(g, 0, sizeof(*g));
	if (model_open(&g->m, oracle(path, model), &e) < 0 ||
	    (adapter && adapter_open(&g->a, oracle(path, adapter), &g->m.config, &e) < 0))
		fail_msg("%s", e.text);
	rig_trainer(g, o);
}

/* A fresh model of tiny_config() or another shape, with values that make everything matter. */
static void rig_random(struct rig *g, const struct model_config *c, struct train_options o)
{
	struct err e = { 0 };
	float v[20000];
	uint32_t seed = 11;

	memset(g, 0, sizeof(*g));
	if (model_random(&g->m, c, DTYPE_F32, 5, false, &e) < 0)
		fail_msg("%s", e.text);
	for (int i = 0; i < g->m.tensors.n; i++) {
		struct tensor *t = &g->m.tensors.item[i];
		float *out = (float *)(uintptr_t)t->data; /* the model's own memory */
		bool matrix = t->n_dims == 2;
		float size = matrix ? 1.5f / sqrtf((float)t->dims[1]) : 0.5f;
		assert_true(t->n <= sizeof(v) / sizeof(*v));
		for (uint64_t j = 0; j < t->n; j++)
			out[j] = size * ((float)(next(&seed) % 20001) / 10000 - 1);
	}
	rig_trainer(g, o);
}

static void rig_close(struct rig *g)
{
	g->base->ops->close(g->t);
	adapter_close(&g->a);
	model_close(&g->m);
}

static void run(struct rig *g, struct rows *r, bool back)
{
	struct train_batch b = batch_of(r);
	struct err e = { 0 };

	if (g->base->ops->pass(g->t, &b, back ? r->coef : NULL, r->logp, &e) < 0)
		fail_msg("%s", e.text);
}

static void zero(struct rig *g)
{
	assert_int_equal(g->base->ops->zero_gradients(g->t, NULL), 0);
}

static double norm_of(struct rig *g)
{
	double norm;

	assert_int_equal(g->base->ops->gradient_norm(g->t, &norm, NULL), 0);
	return norm;
}

/* All of a slot, in the flat order; to be freed. */
static float *slot(struct rig *g, enum param_slot s)
{
	float *out = malloc(g->base->values * sizeof(float) + 1);

	for (int i = 0; i < g->base->params; i++)
		assert_int_equal(g->base->ops->read(g->t, i, s, out + g->base->param[i].at, NULL),
		                 0);
	return out;
}

static size_t count_of(const struct param *p)
{
	return (size_t)p->rows * (size_t)p->cols;
}

static double distance(const float *a, const float *b, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
	return sqrt(sum);
}

static double length(const float *a, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (double)a[i] * a[i];
	return sqrt(sum);
}

/* Every gradient is the file's within @share of its norm. */
static void assert_gradients(struct rig *g, const char *name, double share)
{
	struct tensors want;
	struct err e = { 0 };
	char path[4096], key[300];
	float *got = slot(g, PARAM_GRADIENT), v[8192];

	if (tensors_open_file(&want, oracle(path, name), &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(want.n, g->base->params);
	for (int i = 0; i < g->base->params; i++) {
		const struct param *p = &g->base->param[i];
		snprintf(key, sizeof(key), "grad.%s", p->name);
		const struct tensor *t = tensors_find(&want, key);
		assert_non_null(t);
		assert_int_equal(t->n, count_of(p));
		assert_true(t->n <= sizeof(v) / sizeof(*v));
		tensor_read(t, 0, t->n, v);
		double far = distance(got + p->at, v, count_of(p)), size = length(v, count_of(p));
		if (!(far <= share * size))
			fail_msg("%s: %s: %g from the oracle's, whose norm is %g", name, p->name,
			         far, size);
	}
	tensors_close(&want);
	free(got);
}

/* ---- the oracle: supervised fine-tuning ---- */

static cJSON *read_json(const char *name)
{
	struct buf text = { 0 };
	struct err e = { 0 };
	char path[4096];

	if (buf_read_file(&text, oracle(path, name), 64 << 20, &e) < 0)
		fail_msg("%s", e.text);
	cJSON *o = cJSON_ParseWithLength(text.data, text.len);
	assert_non_null(o);
	buf_release(&text);
	return o;
}

static const cJSON *field(const cJSON *o, const char *name)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, name);

	assert_non_null(v);
	return v;
}

static double number(const cJSON *o, const char *name)
{
	return field(o, name)->valuedouble;
}

static int ints(const cJSON *list, int *out, int cap)
{
	const cJSON *v;
	int n = 0;

	cJSON_ArrayForEach(v, list)
	{
		assert_true(n < cap);
		out[n++] = v->valueint;
	}
	return n;
}

static void sft_rows(struct rows *r, const cJSON *o, bool masked)
{
	const cJSON *ids, *mask = field(o, "attention_mask")->child,
			  *label = field(o, "labels_prompt_masked")->child;
	int id[512], there[512], want[512];

	memset(r, 0, sizeof(*r));
	cJSON_ArrayForEach(ids, field(o, "input_ids"))
	{
		int n = ints(ids, id, 512), real = 0;
		ints(mask, there, 512);
		ints(label, want, 512);
		for (int i = 0; i < n; i++) {
			real += there[i];
			want[i] = masked ? want[i] != -100 : 1;
		}
		add_sample(r, id, want, real);
		mask = mask->next;
		label = label->next;
	}
	coef_mean(r);
}

static struct rows rows; /* large; each test begins it anew */

static void loss_and_gradients_are_the_oracles(void **state)
{
	static const char *const tag[] = { "all_tokens", "prompt_masked" };
	cJSON *o = read_json("expected/sft.json");

	(void)state;
	for (int again = 0; again < 2; again++) {
		struct rig g;
		rig_oracle(&g, "tiny-f32", "lora-a", (struct train_options){ .recompute = again });
		for (int masked = 0; masked < 2; masked++) {
			const cJSON *want = field(o, tag[masked]);
			char name[128];
			sft_rows(&rows, o, masked);
			assert_int_equal(labels_of(&rows), (int)number(want, "n_targets"));
			zero(&g);
			run(&g, &rows, true);
			assert_close(loss_of(&rows), number(want, "loss"),
			             1e-4 * number(want, "loss"));
			assert_close(norm_of(&g), number(want, "grad_norm"),
			             1e-3 * number(want, "grad_norm"));
			snprintf(name, sizeof(name), "expected/sft_grads_%s.safetensors",
			         tag[masked]);
			assert_gradients(&g, name, 1e-3);
		}
		rig_close(&g);
	}
	cJSON_Delete(o);
}

static void assert_values(struct rig *g, const struct tensors *want, int step)
{
	float *got = slot(g, PARAM_VALUE), *gradient = slot(g, PARAM_GRADIENT), v[8192], most = 0;
	char key[300];

	for (uint64_t i = 0; i < g->base->values; i++)
		most = fmaxf(most, fabsf(gradient[i]));
	for (int i = 0; i < g->base->params; i++) {
		const struct param *p = &g->base->param[i];
		snprintf(key, sizeof(key), "step%d.%s", step, p->name);
		const struct tensor *t = tensors_find(want, key);
		assert_non_null(t);
		tensor_read(t, 0, t->n, v);
		for (uint64_t j = 0; j < t->n; j++)
			if (step > 1 || fabsf(gradient[p->at + j]) > 1e-6f * most)
				assert_close(got[p->at + j], v[j], step == 1 ? 1e-5 : 1e-3);
	}
	free(gradient);
	free(got);
}

static void five_steps_of_adamw_are_the_oracles(void **state)
{
	cJSON *o = read_json("expected/sft.json");
	const cJSON *adamw = field(o, "adamw"), *step;
	struct tensors want;
	struct err e = { 0 };
	struct rig g;
	char path[4096];

	(void)state;
	if (tensors_open_file(&want, oracle(path, "expected/sft_adamw_params.safetensors"), &e) < 0)
		fail_msg("%s", e.text);
	rig_oracle(&g, "tiny-f32", "lora-a", (struct train_options){ 0 });
	sft_rows(&rows, o, true);
	cJSON_ArrayForEach(step, field(adamw, "steps"))
	{
		struct update u = { .lr = number(adamw, "lr"),
			            .beta1 = 0.9,
			            .beta2 = 0.999,
			            .eps = number(adamw, "eps"),
			            .decay = number(adamw, "weight_decay"),
			            .step = (int64_t)number(step, "step") };
		zero(&g);
		run(&g, &rows, true);
		double norm = norm_of(&g);
		assert_close(loss_of(&rows), number(step, "loss_before"),
		             1e-3 * number(step, "loss_before"));
		assert_close(norm, number(step, "grad_norm_before_clip"),
		             2e-3 * number(step, "grad_norm_before_clip"));
		assert_int_equal(
			g.base->ops->update(g.t, &u, norm > 1 ? 1 / (norm + 1e-6) : 1, NULL), 0);
		if (u.step == 1 || u.step == 5)
			assert_values(&g, &want, (int)u.step);
	}
	rig_close(&g);
	tensors_close(&want);
	cJSON_Delete(o);
}

/* ---- the oracle: groups of answers ---- */

struct group {
	cJSON *o;
	struct tensors logps;
	int prompt, answers, longest;
	float now[256], old[256], reference[256], mask[256]; /* [answers][longest] */
};

static void group_open(struct group *p)
{
	struct err e = { 0 };
	char path[4096];
	int id[512], learn[512];
	const cJSON *c;

	p->o = read_json("expected/grpo.json");
	if (tensors_open_file(&p->logps, oracle(path, "expected/grpo_logps.safetensors"), &e) < 0)
		fail_msg("%s", e.text);
	const struct tensor *t = tensors_find(&p->logps, "logps");
	p->answers = (int)t->dims[0];
	p->longest = (int)t->dims[1];
	assert_true(t->n <= 256);
	tensor_read(t, 0, t->n, p->now);
	tensor_read(tensors_find(&p->logps, "old_logps"), 0, t->n, p->old);
	tensor_read(tensors_find(&p->logps, "ref_logps"), 0, t->n, p->reference);
	tensor_read(tensors_find(&p->logps, "mask"), 0, t->n, p->mask);
	memset(&rows, 0, sizeof(rows));
	p->prompt = ints(field(p->o, "prompt_ids"), id, 512);
	cJSON_ArrayForEach(c, field(p->o, "completion_ids"))
	{
		int n = p->prompt + ints(c, id + p->prompt, 512 - p->prompt);
		for (int i = 0; i < n; i++)
			learn[i] = i >= p->prompt;
		add_sample(&rows, id, learn, n);
	}
	assert_int_equal(rows.samples, p->answers);
}

static void group_close(struct group *p)
{
	tensors_close(&p->logps);
	cJSON_Delete(p->o);
}

/* The row that gives token @t of answer @a. */
static int row_of(const struct group *p, int a, int t)
{
	return rows.start[a] + p->prompt - 1 + t;
}

static void assert_logps(const struct group *p, const float *want)
{
	for (int a = 0; a < p->answers; a++)
		for (int t = 0; t < p->longest; t++)
			if (p->mask[a * p->longest + t] != 0)
				assert_close(rows.logp[row_of(p, a, t)], want[a * p->longest + t],
				             5e-4);
}

static void log_probabilities_of_a_group_are_the_oracles(void **state)
{
	struct train_batch b;
	struct err e = { 0 };
	struct group p;
	struct rig g;

	(void)state;
	group_open(&p);
	rig_oracle(&g, "tiny-f32", "lora-a", (struct train_options){ 0 });
	run(&g, &rows, false);
	assert_logps(&p, p.now);
	b = batch_of(&rows);
	if (g.base->ops->pass_base(g.t, &b, rows.logp, &e) < 0)
		fail_msg("%s", e.text);
	assert_logps(&p, p.reference);
	rig_close(&g);
	group_close(&p);
}

/* d loss / d logp by qwen35.md, section 13, and the loss. */
static double group_coefs(const struct group *p, const char *name)
{
	const cJSON *want = field(field(p->o, "cases"), name);
	const bool on = cJSON_IsTrue(field(want, "on_policy")),
		   weighted = cJSON_IsTrue(field(want, "kl_importance_correction")),
		   each = strcmp(field(want, "loss_type")->valuestring, "grpo") == 0;
	const double beta = number(want, "beta");
	double loss = 0, tokens = 0;

	memset(rows.coef, 0, sizeof(rows.coef));
	for (int i = 0; i < p->answers * p->longest; i++)
		tokens += p->mask[i];
	for (int a = 0; a < p->answers; a++) {
		double advantage = cJSON_GetArrayItem(field(p->o, "advantages"), a)->valuedouble;
		double n = 0;
		for (int t = 0; t < p->longest; t++)
			n += p->mask[a * p->longest + t];
		for (int t = 0; t < (int)n; t++) {
			int at = a * p->longest + t, row = row_of(p, a, t);
			double now = rows.logp[row], ratio = on ? 1 : exp(now - p->old[at]);
			double off = p->reference[at] - now, kl = exp(off) - off - 1;
			double clipped = fmin(fmax(ratio, 0.8), 1.2);
			double of_token = -fmin(ratio * advantage, clipped * advantage);
			double slope =
				ratio * advantage <= clipped * advantage ? -ratio * advantage : 0;
			of_token += beta * kl * (weighted ? ratio : 1);
			slope += beta * (weighted ? ratio * (1 - exp(off) + kl) : 1 - exp(off));
			double share = each ? 1 / (n * p->answers) : 1 / tokens;
			loss += of_token * share;
			rows.coef[row] = (float)(slope * share);
		}
	}
	return loss;
}

static void gradients_of_group_losses_are_the_oracles(void **state)
{
	static const char *const name[] = { "grpo_beta0_onpolicy", "grpo_beta004_klcorr",
		                            "dapo_beta0" };
	struct group p;
	struct rig g;

	(void)state;
	group_open(&p);
	rig_oracle(&g, "tiny-f32", "lora-a", (struct train_options){ 0 });
	for (int i = 0; i < 3; i++) {
		const cJSON *want = field(field(p.o, "cases"), name[i]);
		char file[128];
		run(&g, &rows, false);
		assert_close(group_coefs(&p, name[i]), number(want, "loss"),
		             1e-4 + 1e-4 * fabs(number(want, "loss")));
		zero(&g);
		run(&g, &rows, true);
		assert_close(norm_of(&g), number(want, "grad_norm"),
		             2e-3 * number(want, "grad_norm"));
		snprintf(file, sizeof(file), "expected/grpo_grads_%s.safetensors", name[i]);
		assert_gradients(&g, file, 2e-3);
	}
	rig_close(&g);
	group_close(&p);
}

/* ---- the oracle: logits of bases and adapters, through the log-probability of the likeliest ----
 */

static void log_probabilities_are_those_of_the_oracles_logits(void **state)
{
	static const struct {
		const char *model, *adapter, *want;
		double tolerance;
	} all[] = {
		{ "tiny-f32", NULL, "logits_base", 2e-3 },
		{ "tiny-f32", "lora-a", "logits_lora_a", 2e-3 },
		{ "tiny-f32", "lora-b", "logits_lora_b", 2e-3 },
		{ "tiny-bf16-sharded", NULL, "logits_bf16_f32compute", 5e-3 },
		{ "tiny-bf16-sharded", "lora-vl", "logits_bf16_lora_vl_f32compute", 5e-3 },
	};
	cJSON *prompts = read_json("expected/prompts.json");

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		struct tensors want;
		struct err e = { 0 };
		struct rig g;
		char path[4096], file[128], key[64];
		const cJSON *prompt;
		bool full = !all[i].adapter;
		snprintf(file, sizeof(file), "expected/%s.safetensors", all[i].want);
		rig_oracle(&g, all[i].model, all[i].adapter,
		           (struct train_options){ .full = full });
		if (tensors_open_file(&want, oracle(path, file), &e) < 0)
			fail_msg("%s", e.text);
		memset(&rows, 0, sizeof(rows));
		cJSON_ArrayForEach(prompt, prompts) /* all packed into one batch */
		{
			int id[512], none[512] = { 0 }, n = ints(prompt, id, 512), from = rows.n;
			snprintf(key, sizeof(key), "L%d.argmax", n);
			const int32_t *best = tensors_find(&want, key)->data;
			add_sample(&rows, id, none, n);
			memcpy(rows.label + from, best, (size_t)n * sizeof(*best));
		}
		run(&g, &rows, false);
		int s = 0;
		cJSON_ArrayForEach(prompt, prompts)
		{
			int n = cJSON_GetArraySize(prompt);
			float most[512], sum[512];
			snprintf(key, sizeof(key), "L%d.max", n);
			tensor_read(tensors_find(&want, key), 0, (uint64_t)n, most);
			snprintf(key, sizeof(key), "L%d.lse", n);
			tensor_read(tensors_find(&want, key), 0, (uint64_t)n, sum);
			for (int k = 0; k < n; k++)
				assert_close(rows.logp[rows.start[s] + k], most[k] - sum[k],
				             all[i].tolerance);
			s++;
		}
		tensors_close(&want);
		rig_close(&g);
	}
	cJSON_Delete(prompts);
}

/* ---- finite differences ---- */

/* The loss with parameter @i moved by @by times @along. */
static double loss_at(struct rig *g, int i, const float *value, const float *along, double by)
{
	const struct param *p = &g->base->param[i];
	size_t n = count_of(p);
	float *moved = malloc(n * sizeof(float) + 1);

	for (size_t j = 0; j < n; j++)
		moved[j] = (float)(value[j] + by * along[j]);
	assert_int_equal(g->base->ops->write(g->t, i, PARAM_VALUE, moved, NULL), 0);
	run(g, &rows, true); /* with dropout where there is some */
	free(moved);
	return loss_of(&rows);
}

/* For every parameter: the slope of the loss along its gradient, and along two halves of it picked
 * at random, is the length of that. */
static void assert_slopes(struct rig *g)
{
	float *gradient, *values = slot(g, PARAM_VALUE);
	uint32_t seed = 3;

	zero(g);
	run(g, &rows, true);
	gradient = slot(g, PARAM_GRADIENT);
	for (int i = 0; i < g->base->params; i++) {
		const struct param *p = &g->base->param[i];
		const float *v = values + p->at;
		size_t n = count_of(p);
		float *along = malloc(n * sizeof(float) + 1);
		for (int part = 0; part < 2; part++) {
			for (size_t j = 0; j < n; j++)
				along[j] = part == 0 || next(&seed) & 64 ? gradient[p->at + j] : 0;
			double size = length(along, n);
			if (size == 0)
				continue; /* of A while B is 0, or an empty half */
			/* so far that the loss moves by some 0.02, large beside f32's rounding, or
			 * as far as it may be thought of as a cubic */
			double step = fmin(0.02 / size, 0.004), by = step / size;
			double coarse =
				(loss_at(g, i, v, along, by) - loss_at(g, i, v, along, -by)) /
				(2 * step);
			double fine = (loss_at(g, i, v, along, by / 2) -
			               loss_at(g, i, v, along, -by / 2)) /
			              step;
			double slope = fine + (fine - coarse) / 3; /* Richardson */
			if (!(fabs(slope - size) <= 3e-3 * size + 1e-5 / step))
				fail_msg("%s (part %d): slope %g, gradient %g", p->name, part,
				         slope, size);
		}
		assert_int_equal(g->base->ops->write(g->t, i, PARAM_VALUE, v, NULL), 0);
		free(along);
	}
	free(values);
	free(gradient);
}

static void random_rows(int vocabulary)
{
	memset(&rows, 0, sizeof(rows));
	add_random_sample(&rows, 70, vocabulary, 1);
	add_random_sample(&rows, 2, vocabulary, 2);
	add_random_sample(&rows, 33, vocabulary, 3);
	for (int i = 0; i < rows.n; i++) /* as groups have them: any sign and size */
		rows.coef[i] = rows.label[i] >= 0 ? (float)(i % 5 - 3) * 0.25f : 0;
}

static int all_modules(int l, enum module m)
{
	(void)l, (void)m;
	return 1;
}

static void full_gradients_are_slopes(void **state)
{
	(void)state;
	for (int tied = 0; tied < 2; tied++) {
		struct model_config c = tiny_config();
		struct rig g;
		c.tied = tied;
		rig_random(&g, &c, (struct train_options){ .full = true });
		random_rows(c.vocabulary);
		rows.temperature = tied ? 0.7f : 0;
		assert_slopes(&g);
		rig_close(&g);
	}
}

/* With adapters and without: the whole distribution of a row is that of its logits / temperature.
 */
static void a_temperature_divides_logits(void **state)
{
	const float temperature[] = { 1, 0.5f, 2.5f };
	struct model_config c = tiny_config();
	struct train_batch b;
	struct err e = { 0 };
	struct rig g;

	(void)state;
	rig_random(&g, &c, (struct train_options){ .full = true });
	make_adapter(&g.a, &c, 3, 0.7f, 9, all_modules);
	g.base->ops->close(g.t);
	rig_trainer(&g, (struct train_options){ 0 });
	for (int base = 0; base < 2; base++) {
		static float plain[128], sharp[128];
		const int last = 69;
		assert_true(c.vocabulary <= 128);
		for (int k = 0; k < 3; k++) {
			double sum = 0;
			random_rows(c.vocabulary);
			rows.temperature = temperature[k];
			b = batch_of(&rows);
			for (int v = 0; v < c.vocabulary; v++) {
				rows.label[last] = v;
				if ((base ? g.base->ops->pass_base(g.t, &b, rows.logp, &e)
				          : g.base->ops->pass(g.t, &b, NULL, rows.logp, &e)) < 0)
					fail_msg("%s", e.text);
				(k == 0 ? plain : sharp)[v] = rows.logp[last];
			}
			for (int v = 0; v < c.vocabulary; v++)
				sum += exp((double)plain[v] / (double)temperature[k]);
			assert_close(sum, k == 0 ? 1 : sum, 1e-5);
			for (int v = 0; v < c.vocabulary && k > 0; v++)
				assert_close(sharp[v],
				             (double)plain[v] / (double)temperature[k] - log(sum),
				             2e-5);
		}
	}
	rows.temperature = -1;
	b = batch_of(&rows);
	assert_int_equal(g.base->ops->pass(g.t, &b, NULL, rows.logp, &e), -1);
	assert_contains(e.text, "temperature: a number of 0 or more wanted, got -1");
	rig_close(&g);
}

struct asked {
	int times[ROWS_MAX];
	float logp[ROWS_MAX], slope[ROWS_MAX];
};

static float on_slope(void *ctx, int row, float logp)
{
	struct asked *a = ctx;

	a->times[row]++;
	a->logp[row] = logp;
	return a->slope[row];
}

static void coefficients_can_be_asked_for_in_the_middle_of_a_pass(void **state)
{
	static struct asked asked;
	struct model_config c = tiny_config();
	struct rig g;

	(void)state;
	for (int tied = 0; tied < 2; tied++) {
		c.tied = tied;
		rig_random(&g, &c, (struct train_options){ .full = true, .threads = 3 });
		random_rows(c.vocabulary);
		zero(&g);
		run(&g, &rows, true);
		float *want = slot(&g, PARAM_GRADIENT);
		memset(&asked, 0, sizeof(asked));
		for (int i = 0; i < rows.n; i++) {
			/* exact in f32 */
			asked.slope[i] = i % 2 ? 4 : -0.5f;
			rows.coef[i] /= asked.slope[i];
		}
		struct train_batch b = batch_of(&rows);
		b.slope = on_slope;
		b.slope_ctx = &asked;
		assert_int_equal(g.base->ops->pass(g.t, &b, NULL, rows.logp, NULL), 0);
		for (int i = 0; i < rows.n; i++)
			assert_int_equal(asked.times[i], 0);
		zero(&g);
		assert_int_equal(g.base->ops->pass(g.t, &b, rows.coef, rows.logp, NULL), 0);
		for (int i = 0; i < rows.n; i++) {
			assert_int_equal(asked.times[i], rows.label[i] >= 0 && rows.coef[i] != 0);
			if (asked.times[i])
				assert_memory_equal(&asked.logp[i], &rows.logp[i], sizeof(float));
		}
		float *got = slot(&g, PARAM_GRADIENT);
		assert_memory_equal(got, want, g.base->values * sizeof(*got));
		free(got);
		free(want);
		rig_close(&g);
	}
}

static void gradients_under_dropout_are_slopes(void **state)
{
	struct model_config c = tiny_config();
	struct rig g = { 0 }, *h = &g;
	struct adapter a;

	(void)state;
	make_adapter(&a, &c, 3, 0.7f, 9, all_modules);
	rig_random(&g, &c, (struct train_options){ .full = true });
	g.base->ops->close(g.t);
	g.a = a;
	rig_trainer(h, (struct train_options){ .dropout = 0.3f });
	random_rows(c.vocabulary);
	assert_slopes(&g);
	/* another seed drops others */
	struct train_batch b = batch_of(&rows);
	float other[ROWS_MAX];
	run(&g, &rows, true);
	b.seed = 1;
	assert_int_equal(g.base->ops->pass(g.t, &b, rows.coef, other, NULL), 0);
	assert_memory_not_equal(other, rows.logp, (size_t)rows.n * sizeof(float));
	rig_close(&g);
}

/* ---- itself ---- */

static void packed_samples_do_not_see_each_other(void **state)
{
	struct model_config c = tiny_config();
	struct rig g;
	float together[ROWS_MAX];

	(void)state;
	rig_random(&g, &c, (struct train_options){ .full = true });
	random_rows(c.vocabulary);
	struct rows *all = malloc(sizeof(*all));
	zero(&g);
	run(&g, &rows, true);
	float *want = slot(&g, PARAM_GRADIENT);
	memcpy(together, rows.logp, sizeof(together));
	*all = rows;
	zero(&g);
	for (int s = 0; s < all->samples; s++) {
		int from = all->start[s], n = all->start[s + 1] - from;
		memset(&rows, 0, sizeof(rows));
		rows.n = rows.start[1] = n;
		rows.samples = 1;
		memcpy(rows.id, all->id + from, (size_t)n * sizeof(*rows.id));
		memcpy(rows.label, all->label + from, (size_t)n * sizeof(*rows.label));
		memcpy(rows.coef, all->coef + from, (size_t)n * sizeof(*rows.coef));
		run(&g, &rows, true);
		for (int i = 0; i < n; i++)
			assert_close(rows.logp[i], together[from + i], 1e-5);
	}
	float *got = slot(&g, PARAM_GRADIENT);
	for (int i = 0; i < g.base->params; i++) {
		const struct param *p = &g.base->param[i];
		double far = distance(got + p->at, want + p->at, count_of(p));
		if (!(far <= 1e-4 * length(want + p->at, count_of(p))))
			fail_msg("%s: %g", p->name, far);
	}
	free(got);
	free(want);
	free(all);
	rig_close(&g);
}

/* Two steps of training; what stands in the values then. */
static float *after_two_steps(struct train_options o, bool muon, const struct model_config *c)
{
	struct rig g;

	rig_random(&g, c, o);
	random_rows(c->vocabulary);
	for (int step = 1; step <= 2; step++) {
		struct update u = { .muon = muon,
			            .lr = 1e-2,
			            .lr_muon = 2e-2,
			            .beta1 = 0.9,
			            .beta2 = 0.95,
			            .eps = 1e-8,
			            .decay = 0.01,
			            .momentum = 0.95,
			            .step = step };
		zero(&g);
		run(&g, &rows, true);
		assert_int_equal(g.base->ops->update(g.t, &u, 1 / (1 + norm_of(&g)), NULL), 0);
	}
	float *out = slot(&g, PARAM_VALUE);
	for (uint64_t i = 0; i < g.base->values; i++)
		assert_true(isfinite(out[i]));
	rig_close(&g);
	return out;
}

static void threads_and_recomputing_change_no_bit(void **state)
{
	struct model_config c = tiny_config();
	struct param *param;
	uint64_t values;
	int n;

	(void)state;
	for (int kind = 0; kind < 3; kind++) { /* LoRA with dropout, AdamW, Muon */
		struct train_options o = { .full = kind > 0,
			                   .rank = 4,
			                   .alpha = 8,
			                   .dropout = kind > 0 ? 0 : 0.2f,
			                   .targets = (1u << MODULE_COUNT) - 1,
			                   .threads = 1,
			                   .rows = 512 };
		assert_int_equal(train_params(&param, &n, &values, &c, &o, NULL), 0);
		free(param);
		float *want = after_two_steps(o, kind == 2, &c);
		o.threads = 2;
		float *two = after_two_steps(o, kind == 2, &c);
		o.recompute = true;
		float *again = after_two_steps(o, kind == 2, &c);
		assert_memory_equal(two, want, values * sizeof(float));
		assert_memory_equal(again, want, values * sizeof(float));
		free(want);
		free(two);
		free(again);
	}
}

static void one_batch_can_be_learnt_by_heart(void **state)
{
	struct model_config c = tiny_config();

	(void)state;
	for (int muon = 0; muon < 2; muon++) {
		struct rig g;
		double loss = 0;
		rig_random(&g, &c, (struct train_options){ .full = true });
		random_rows(c.vocabulary);
		coef_mean(&rows);
		for (int step = 1; step <= 150; step++) {
			struct update u = { .muon = muon,
				            .lr = 1e-2 * (1 - step / 151.0),
				            .lr_muon = 5e-2 * (1 - step / 151.0),
				            .beta1 = 0.9,
				            .beta2 = 0.95,
				            .eps = 1e-8,
				            .momentum = 0.95,
				            .step = step };
			zero(&g);
			run(&g, &rows, true);
			loss = loss_of(&rows);
			if (step == 1)
				assert_true(loss > 3);
			assert_int_equal(g.base->ops->update(g.t, &u, 1, NULL), 0);
		}
		if (!(loss < 0.05))
			fail_msg("loss %g after 150 steps", loss);
		rig_close(&g);
	}
}

static void a_new_adapter_changes_nothing_yet(void **state)
{
	struct model_config c = tiny_config();
	struct rig g;
	float with[ROWS_MAX];

	(void)state;
	rig_random(&g, &c,
	           (struct train_options){
			   .rank = 4, .alpha = 8, .targets = 1u << MODULE_Q | 1u << MODULE_DOWN });
	assert_int_equal(g.base->params, 2 * (1 + 4));
	random_rows(c.vocabulary);
	run(&g, &rows, false);
	memcpy(with, rows.logp, sizeof(with));
	struct train_batch b = batch_of(&rows);
	assert_int_equal(g.base->ops->pass_base(g.t, &b, rows.logp, NULL), 0);
	assert_memory_equal(with, rows.logp, sizeof(with));
	rig_close(&g);
}

/* The gradients of @a's parameters over a base; the list of parameters into @param. */
static float *gradients_with(struct rig *g, const struct adapter *a, struct param **param, int *n)
{
	g->a = *a;
	rig_trainer(g, (struct train_options){ 0 });
	zero(g);
	run(g, &rows, true);
	float *out = slot(g, PARAM_GRADIENT);
	*n = g->base->params;
	*param = malloc((size_t)*n * sizeof(**param));
	memcpy(*param, g->base->param, (size_t)*n * sizeof(**param));
	g->base->ops->close(g->t);
	memset(&g->a, 0, sizeof(g->a));
	return out;
}

/* Layers under the lowest adapter, and mixers before which nothing learns, are not gone through:
 * what is learnt has the gradient that it has when all of that is there, with a scale of 0. */
static void frozen_layers_are_left_out_and_nothing_else(void **state)
{
	/* where layer 2 or 3 begins to learn: at its mixer's input, its out-projection, its MLP */
	static const struct {
		int layer;
		enum module module;
	} lowest[] = { { 2, MODULE_Z }, { 2, MODULE_OUT }, { 2, MODULE_DOWN },
		       { 3, MODULE_K }, { 3, MODULE_O },   { 3, MODULE_GATE } };
	struct model_config c = tiny_config();
	struct rig g;

	(void)state;
	rig_random(&g, &c, (struct train_options){ .full = true });
	g.base->ops->close(g.t);
	random_rows(c.vocabulary);
	for (size_t i = 0; i < sizeof(lowest) / sizeof(*lowest); i++) {
		struct adapter a;
		struct param *all, *few;
		int n_all, n_few;
		make_adapter(&a, &c, 3, 0.7f, 9, all_modules);
		for (int l = 0; l <= lowest[i].layer; l++)
			for (enum module m = 0; m < MODULE_COUNT; m++)
				if (l < lowest[i].layer || m != lowest[i].module)
					a.part[l][m].scale = 0;
		float *want = gradients_with(&g, &a, &all, &n_all);
		for (int l = 0; l <= lowest[i].layer; l++)
			for (enum module m = 0; m < MODULE_COUNT; m++)
				if (a.part[l][m].scale == 0)
					a.part[l][m].rank = 0;
		float *got = gradients_with(&g, &a, &few, &n_few);
		assert_true(n_few < n_all);
		for (int k = 0; k < n_few; k++) {
			int same = 0;
			while (strcmp(all[same].name, few[k].name) != 0)
				same++;
			size_t n = count_of(&few[k]);
			double size = length(want + all[same].at, n);
			assert_true(size > 0);
			if (!(distance(got + few[k].at, want + all[same].at, n) <= 1e-5 * size))
				fail_msg("%s differs", few[k].name);
		}
		free(all);
		free(few);
		free(want);
		free(got);
		adapter_close(&a);
	}
	model_close(&g.m);
}

static void an_adapter_comes_out_as_it_was_learnt(void **state)
{
	struct model_config c = tiny_config();
	struct adapter out;
	struct err e = { 0 };
	struct rig g;

	(void)state;
	rig_random(&g, &c,
	           (struct train_options){ .rank = 4,
	                                   .alpha = 6,
	                                   .rslora = true,
	                                   .targets = 1u << MODULE_Q | 1u << MODULE_Z });
	assert_int_equal(train_adapter(g.t, &out, &e), 0);
	assert_int_equal(out.modules, 4);
	assert_int_equal(out.rank_max, 4);
	assert_true(out.rslora);
	assert_close(out.part[3][MODULE_Q].scale, 3, 1e-6);
	assert_int_equal(out.part[3][MODULE_Z].rank, 0);
	const struct param *p = &g.base->param[0];
	float v[8192];
	assert_string_equal(p->name,
	                    "base_model.model.model.layers.0.linear_attn.in_proj_z.lora_A.weight");
	assert_int_equal(g.base->ops->read(g.t, 0, PARAM_VALUE, v, NULL), 0);
	assert_memory_equal(out.part[0][MODULE_Z].a, v, count_of(p) * sizeof(float));
	for (size_t i = 0; i < count_of(p); i++)
		assert_true(fabsf(v[i]) <= 1 / sqrtf((float)p->cols));
	train_adapter_release(&out);
	rig_close(&g);
	rig_random(&g, &c, (struct train_options){ .full = true });
	assert_int_equal(train_adapter(g.t, &out, &e), -1);
	assert_int_equal(e.kind, ERR_USAGE);
	rig_close(&g);
}

/* ---- what is refused ---- */

static void bad_batches_are_refused_in_words(void **state)
{
	struct model_config c = tiny_config();
	struct err e = { 0 };
	struct rig g;
	const struct {
		int row, id, label;
		float coef;
		const char *words;
	} bad[] = {
		{ 5, 64, -1, 0, "row 5: token 64: the vocabulary has 64" },
		{ 6, -1, -1, 0, "row 6: token -1" },
		{ 7, 3, 64, 0, "row 7: label 64" },
		{ 8, 3, -2, 0, "row 8: label -2" },
		{ 9, 3, -1, 0.5f, "row 9 has a coefficient and no label" },
	};

	(void)state;
	rig_random(&g, &c, (struct train_options){ .full = true, .rows = 200 });
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		random_rows(c.vocabulary);
		rows.id[bad[i].row] = bad[i].id;
		rows.label[bad[i].row] = bad[i].label;
		rows.coef[bad[i].row] = bad[i].coef;
		struct train_batch b = batch_of(&rows);
		assert_int_equal(g.base->ops->pass(g.t, &b, rows.coef, NULL, &e), -1);
		assert_int_equal(e.kind, ERR_INPUT);
		assert_contains(e.text, bad[i].words);
	}
	random_rows(c.vocabulary);
	rows.start[1] = rows.start[2];
	struct train_batch b = batch_of(&rows);
	assert_int_equal(g.base->ops->pass(g.t, &b, NULL, rows.logp, &e), -1);
	assert_contains(e.text, "starts have to rise");
	memset(&rows, 0, sizeof(rows));
	add_random_sample(&rows, 201, c.vocabulary, 1);
	b = batch_of(&rows);
	assert_int_equal(g.base->ops->pass(g.t, &b, NULL, rows.logp, &e), -1);
	assert_contains(e.text, "201 rows: memory was planned for 200");
	rig_close(&g);
}

static void too_little_memory_says_what_to_lower(void **state)
{
	struct model_config c = tiny_config();
	struct train_options o = { .full = true, .rows = 4096, .memory_bytes = 16 << 20 };
	struct err e = { 0 };
	struct rig g;
	int from = 0, to = 0;

	(void)state;
	rig_random(&g, &c, (struct train_options){ .full = true });
	assert_null(train_cpu_open(&g.m, &o, &e));
	assert_int_equal(e.kind, ERR_MEM);
	assert_contains(e.text, "16 MiB may be used");
	const char *at = strstr(e.text, "lower the rows of a pass from ");
	assert_non_null(at);
	assert_int_equal(sscanf(at, "lower the rows of a pass from %d to %d", &from, &to), 2);
	assert_int_equal(from, 4096);
	assert_true(to >= 16 && to < 4096);
	o.rows = to;
	struct trainer *t = train_cpu_open(&g.m, &o, &e);
	assert_non_null(t);
	assert_true(trainer_base(t)->peak_bytes <= o.memory_bytes);
	trainer_base(t)->ops->close(t);
	o.memory_bytes = 1000;
	assert_null(train_cpu_open(&g.m, &o, &e));
	assert_int_equal(e.kind, ERR_MEM);
	rig_close(&g);
}

static void options_that_make_no_sense_are_refused(void **state)
{
	struct model_config c = tiny_config();
	struct err e = { 0 };
	struct rig g;
	const struct {
		struct train_options o;
		const char *words;
	} bad[] = {
		{ { .rank = 0, .rows = 10, .targets = 1 }, "rank" },
		{ { .rank = 4, .rows = 10 }, "targets: none given" },
		{ { .rank = 4, .rows = 0, .targets = 1 }, "rows of a pass" },
		{ { .rank = 4, .rows = 10, .targets = 1, .dropout = 1 }, "dropout" },
	};

	(void)state;
	c.kind[3] = LAYER_DELTA;
	c.n_delta = 4;
	c.n_attention = 0;
	rig_random(&g, &c, (struct train_options){ .full = true });
	for (size_t i = 1; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_null(train_cpu_open(&g.m, &bad[i].o, &e));
		assert_contains(e.text, bad[i].words);
	}
	assert_null(train_cpu_open(
		&g.m, &(struct train_options){ .rank = 4, .rows = 9, .targets = 1u << MODULE_Q },
		&e));
	assert_contains(e.text, "no layer of this model has a q_proj");
	rig_close(&g);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(loss_and_gradients_are_the_oracles),
		cmocka_unit_test(five_steps_of_adamw_are_the_oracles),
		cmocka_unit_test(log_probabilities_of_a_group_are_the_oracles),
		cmocka_unit_test(gradients_of_group_losses_are_the_oracles),
		cmocka_unit_test(log_probabilities_are_those_of_the_oracles_logits),
		cmocka_unit_test(full_gradients_are_slopes),
		cmocka_unit_test(gradients_under_dropout_are_slopes),
		cmocka_unit_test(a_temperature_divides_logits),
		cmocka_unit_test(coefficients_can_be_asked_for_in_the_middle_of_a_pass),
		cmocka_unit_test(packed_samples_do_not_see_each_other),
		cmocka_unit_test(threads_and_recomputing_change_no_bit),
		cmocka_unit_test(one_batch_can_be_learnt_by_heart),
		cmocka_unit_test(a_new_adapter_changes_nothing_yet),
		cmocka_unit_test(frozen_layers_are_left_out_and_nothing_else),
		cmocka_unit_test(an_adapter_comes_out_as_it_was_learnt),
		cmocka_unit_test(bad_batches_are_refused_in_words),
		cmocka_unit_test(too_little_memory_says_what_to_lower),
		cmocka_unit_test(options_that_make_no_sense_are_refused),
	};

	(void)argc;
	blas_start(argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
