/* Any bytes: either a config whose sizes are all sane and go together, or words that name it. */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct model_config c;
	struct err e = { 0 };
	int out, in;

	if (config_parse(&c, (const char *)bytes, len, "config.json", &e) < 0) {
		FUZZ_CLAIM(e.kind == ERR_INPUT && strncmp(e.text, "config.json: ", 13) == 0);
		return 0;
	}
	FUZZ_CLAIM(c.layers >= 1 && c.layers <= MODEL_LAYERS_MAX);
	FUZZ_CLAIM(c.n_delta + c.n_attention == c.layers);
	FUZZ_CLAIM(c.hidden > 0 && c.mlp > 0 && c.vocabulary > 0 && c.context > 0);
	FUZZ_CLAIM(c.kv_heads > 0 && c.heads % c.kv_heads == 0);
	FUZZ_CLAIM(c.key_heads > 0 && c.value_heads % c.key_heads == 0);
	FUZZ_CLAIM(c.rotary >= 2 && c.rotary % 2 == 0 && c.rotary <= c.head_dim);
	FUZZ_CLAIM(c.rope_theta > 0 && c.norm_eps > 0 && c.conv >= 2);
	FUZZ_CLAIM(config_channels(&c) > 0);
	for (int l = 0; l < c.layers; l++)
		for (enum module m = 0; m < MODULE_COUNT; m++)
			FUZZ_CLAIM(!module_shape(&c, l, m, &out, &in) || (out > 0 && in > 0));
	FUZZ_CLAIM(config_parameters(&c) <= (uint64_t)1 << 40);
	FUZZ_CLAIM(config_state_bytes(&c) < (uint64_t)1 << 56);
	for (int i = 0; i < c.n_eos; i++)
		FUZZ_CLAIM(c.eos[i] >= 0 && c.eos[i] < c.vocabulary);
	return 0;
}
