/* Any bytes: adapter_config.json up to the first NUL, adapter_model.safetensors behind it. Either
 * an adapter whose parts fit the base and can be read, or words that name the folder. */
#include "tests/fuzz/fuzz.h"

#include <math.h>

#include "gpu/lora.h"
#include "tests/fuzz/folder.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static const struct model_config base = {
		.hidden = 6,
		.layers = 2,
		.heads = 2,
		.kv_heads = 1,
		.head_dim = 4,
		.key_heads = 1,
		.value_heads = 2,
		.key_dim = 2,
		.value_dim = 3,
		.conv = 4,
		.mlp = 8,
		.vocabulary = 16,
		.rotary = 2,
		.rope_theta = 1e4,
		.norm_eps = 1e-6,
		.context = 64,
		.kind = { LAYER_DELTA, LAYER_ATTENTION },
		.n_delta = 1,
		.n_attention = 1,
	};
	const uint8_t *nul = len ? memchr(bytes, 0, len) : NULL;
	size_t text = nul ? (size_t)(nul - bytes) : len;
	struct adapter a;
	struct err e = { 0 };
	int out, in, modules = 0;
	double sum = 0;

	fuzz_put("adapter_config.json", bytes, text);
	fuzz_put("adapter_model.safetensors", nul ? nul + 1 : bytes, nul ? len - text - 1 : 0);
	int rc = adapter_open(&a, fuzz_folder(), &base, &e);
	if (rc < 0) {
		FUZZ_CLAIM(e.kind == ERR_INPUT &&
		           strncmp(e.text, fuzz_folder(), strlen(fuzz_folder())) == 0);
		FUZZ_CLAIM(!a.part && !a.own && !a.dir);
		return 0;
	}
	for (int l = 0; l < base.layers; l++)
		for (enum module m = 0; m < MODULE_COUNT; m++) {
			const struct lora_part *p = &a.part[l][m];
			if (!p->rank)
				continue;
			FUZZ_CLAIM(module_shape(&base, l, m, &out, &in));
			FUZZ_CLAIM(p->rank <= a.rank_max && isfinite(p->scale));
			for (int i = 0; i < p->rank * in; i++)
				sum += p->a[i];
			for (int i = 0; i < p->rank * out; i++)
				sum += p->b[i];
			modules++;
		}
	FUZZ_CLAIM(modules > 0 && modules == a.modules && isfinite(sum));
	cJSON_Delete(adapter_describe(&a));
	adapter_close(&a);
	FUZZ_CLAIM(adapter_look(&a, fuzz_folder(), &base, &e) == 0);
	adapter_close(&a);
	return 0;
}
