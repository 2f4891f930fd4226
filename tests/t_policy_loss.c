/* The group loss against the oracle's seven variants, against finite differences, and by hand. */
#include "tests/lib.h"

#include "gpu/policy_loss.h"
#include "gpu/safetensors.h"
#include "src/base/json.h"
#include "tests/model.h"

enum { ANSWERS = 3, TOKENS = 5 };

/* Three answers of 5, 3 and 1 tokens; some ratios beyond the clip on either side. */
static void fill(float logp[ANSWERS][TOKENS], float old[ANSWERS][TOKENS],
                 float reference[ANSWERS][TOKENS], float coef[ANSWERS][TOKENS],
                 struct policy_answer v[ANSWERS])
{
	static const int n[ANSWERS] = { 5, 3, 1 };
	static const double advantage[ANSWERS] = { 1.25, -0.75, -0.5 };

	for (int a = 0; a < ANSWERS; a++) {
		for (int i = 0; i < TOKENS; i++) {
			logp[a][i] = -0.5f - 0.3f * (float)i - 0.2f * (float)a;
			old[a][i] = logp[a][i] + 0.45f * (float)((a + 2 * i) % 3 - 1) + 0.03f;
			reference[a][i] = logp[a][i] + 0.6f * (float)((2 * a + i) % 4) - 0.7f;
		}
		v[a] = (struct policy_answer){ .n = n[a],
			                       .advantage = advantage[a],
			                       .logp = logp[a],
			                       .old = old[a],
			                       .reference = reference[a],
			                       .coef = coef[a] };
	}
}

static double loss_of(const struct policy_options *o, const struct policy_answer *v)
{
	struct policy_figures f;
	struct err e = { 0 };

	if (policy_loss(o, v, ANSWERS, &f, &e) < 0)
		fail_msg("%s", e.text);
	return f.loss;
}

static void coefficients_are_the_derivatives_of_the_loss(void **state)
{
	float logp[ANSWERS][TOKENS], old[ANSWERS][TOKENS], reference[ANSWERS][TOKENS];
	float coef[ANSWERS][TOKENS], kept[ANSWERS][TOKENS];
	struct policy_answer v[ANSWERS];
	(void)state;

	for (int k = 0; k < 12; k++) {
		const struct policy_options o = { .reduction = (enum policy_reduction)(k % 3),
			                          .beta = k / 3 % 2 ? 0.04 : 0,
			                          .low = 0.2,
			                          .high = 0.28,
			                          .weighted_kl = k >= 6,
			                          .longest = 8 };
		fill(logp, old, reference, coef, v);
		loss_of(&o, v);
		memcpy(kept, coef, sizeof(kept));
		for (int a = 0; a < ANSWERS; a++)
			for (int i = 0; i < v[a].n; i++) {
				float was = logp[a][i];
				logp[a][i] = was + 0.001f;
				double up = loss_of(&o, v), above = (double)logp[a][i];
				logp[a][i] = was - 0.001f;
				double down = loss_of(&o, v), below = (double)logp[a][i];
				logp[a][i] = was;
				assert_close((double)kept[a][i], (up - down) / (above - below),
				             2e-5);
			}
	}
}

static void what_the_clip_holds_does_not_learn(void **state)
{
	float logp[2] = { -1, -1 }, old[2] = { -2, -1 }, coef[2];
	struct policy_answer v = { .n = 2, .advantage = 1, .logp = logp, .old = old, .coef = coef };
	const struct policy_options o = { .reduction = POLICY_DAPO, .low = 0.2, .high = 0.2 };
	struct policy_figures f;
	struct err e = { 0 };
	(void)state;

	assert_int_equal(policy_loss(&o, &v, 1, &f, &e), 0);
	assert_close((double)coef[0], 0, 0);
	assert_close((double)coef[1], -0.5, 1e-7);
	assert_close(f.loss, -(1.2 + 1) / 2, 1e-12);
	assert_close(f.clipped, 0.5, 0);
	assert_close(f.ratio_max, exp(1), 1e-9);
	assert_true(isnan(f.kl));
}

static void what_cannot_be_is_told(void **state)
{
	float logp[1] = { -1 }, old[1] = { -1 }, coef[1];
	struct policy_answer v = { .n = 1, .advantage = 1, .logp = logp, .old = old, .coef = coef };
	struct policy_options o = {
		.reduction = POLICY_GRPO, .beta = 0.1, .low = 0.2, .high = 0.2
	};
	struct policy_figures f;
	struct err e = { 0 };
	(void)state;

	assert_int_equal(policy_loss(&o, &v, 1, &f, &e), -1);
	assert_contains(e.text, "answer 1 has no reference");
	o.beta = 0;
	logp[0] = -INFINITY;
	assert_int_equal(policy_loss(&o, &v, 1, &f, &e), 0); /* ratio 0: nothing to learn */
	old[0] = -INFINITY;
	assert_int_equal(policy_loss(&o, &v, 1, &f, &e), -1);
	assert_contains(e.text, "answer 1, token 1: the loss is no finite number");
	v.n = 0;
	assert_int_equal(policy_loss(&o, &v, 1, &f, &e), -1);
	assert_contains(e.text, "answer 1 has no token");
	o.reduction = POLICY_DR_GRPO;
	assert_int_equal(policy_loss(&o, &v, 1, &f, &e), -1);
	assert_int_equal(policy_reduction_parse("ppo"), -1);
}

static void advantages_are_centred_and_scaled(void **state)
{
	const double r[4] = { 1, 1, 1, 1 }, one = 0.5, two[2] = { 0, 1 };
	double a[4];
	(void)state;

	policy_advantages(r, 4, a);
	for (int i = 0; i < 4; i++)
		assert_close(a[i], 0, 0);
	policy_advantages(&one, 1, a);
	assert_close(a[0], 0, 0);
	policy_advantages(two, 2, a);
	assert_close(a[1], 0.5 / (sqrt(0.5) + 1e-4), 1e-12);
	assert_close(a[0], -a[1], 1e-12);
}

static const struct tensor *figures_of(const struct tensors *t, const char *name, float *out)
{
	const struct tensor *x = tensors_find(t, name);

	assert_non_null(x);
	tensor_read(x, 0, x->n, out);
	return x;
}

static void the_oracles_seven_variants_come_out(void **state)
{
	struct buf text = { 0 };
	struct tensors t = { 0 };
	struct err e = { 0 };
	char path[4096];
	(void)state;

	assert_int_equal(buf_read_file(&text, oracle(path, "expected/grpo.json"), 1 << 20, &e), 0);
	cJSON *json = json_parse(buf_str(&text), text.len, &e), *c;
	assert_non_null(json);
	assert_int_equal(tensors_open_file(&t, oracle(path, "expected/grpo_logps.safetensors"), &e),
	                 0);
	float logp[4][16], old[4][16], reference[4][16], coef[4][16];
	figures_of(&t, "logps", *logp);
	figures_of(&t, "old_logps", *old);
	figures_of(&t, "ref_logps", *reference);
	const cJSON *ids = cJSON_GetObjectItemCaseSensitive(json, "completion_ids");
	double rewards[4], advantage[4], want[4];
	assert_int_equal(json_get_numbers(json, "rewards", rewards, 4, &e), 0);
	assert_int_equal(json_get_numbers(json, "advantages", want, 4, &e), 0);
	policy_advantages(rewards, 4, advantage);
	int cases = 0;
	for (int a = 0; a < 4; a++)
		assert_close(advantage[a], want[a], 1e-6);
	cJSON_ArrayForEach(c, cJSON_GetObjectItemCaseSensitive(json, "cases"))
	{
		struct policy_answer v[4];
		for (int a = 0; a < 4; a++)
			v[a] = (struct policy_answer){
				.n = cJSON_GetArraySize(cJSON_GetArrayItem(ids, a)),
				.advantage = advantage[a],
				.logp = logp[a],
				.old = json_bool_or(c, "on_policy", false) ? NULL : old[a],
				.reference = reference[a],
				.coef = coef[a],
			};
		const struct policy_options o = {
			.reduction = (enum policy_reduction)policy_reduction_parse(
				json_string_or(c, "loss_type", "")),
			.beta = json_number_or(c, "beta", NAN),
			.low = 0.2,
			.high = 0.2,
			.weighted_kl = json_bool_or(c, "kl_importance_correction", false),
			.longest = 32,
		};
		struct policy_figures f;
		if (policy_loss(&o, v, 4, &f, &e) < 0)
			fail_msg("%s: %s", c->string, e.text);
		double loss = json_number_or(c, "loss", NAN);
		assert_close(f.loss, loss, 1e-5 + 1e-5 * fabs(loss));
		assert_close(f.clipped, json_number_or(c, "clip_fraction", NAN), 1e-6);
		/* on its own policy the ratio is 1, and the oracle's KL is unweighted there */
		assert_close(f.kl, json_number_or(c, "mean_kl", NAN), 1e-5);
		cases++;
	}
	assert_int_equal(cases, 7);
	cJSON_Delete(json);
	buf_release(&text);
	tensors_close(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(coefficients_are_the_derivatives_of_the_loss),
		cmocka_unit_test(what_the_clip_holds_does_not_learn),
		cmocka_unit_test(what_cannot_be_is_told),
		cmocka_unit_test(advantages_are_centred_and_scaled),
		cmocka_unit_test(the_oracles_seven_variants_come_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
