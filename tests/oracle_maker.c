/*
 * oracle_maker.c - what the comparisons with other libraries (tests/oracle/files.py, training.py)
 * need and no verb makes: a model from nothing, an adapter with values, a vocabulary from a text.
 *
 *     oracle_maker model CONFIG.json DIR SEED f32|bf16 [TOKENIZER]
 *     oracle_maker adapter MODEL DIR SEED RANK SCALE plain|rslora f32|bf16 text|multimodal
 *     oracle_maker vocabulary TEXT DIR SIZE
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/bpe_train.h"
#include "gpu/model_write.h"
#include "gpu/random_weight.h"
#include "src/base/buf.h"

static enum dtype dtype_of(const char *word)
{
	return strcmp(word, "bf16") == 0 ? DTYPE_BF16 : DTYPE_F32;
}

/* Norms and the like begin as 0 or 1, which would hide an exchange of one for the other. */
static void stir(struct model *m, uint64_t seed)
{
	for (int i = 0; i < m->tensors.n; i++) {
		const struct tensor *t = &m->tensors.item[i];
		float *v = (float *)(uintptr_t)t->data; /* ours: model_fresh() made it */
		uint64_t key = random_weight_key(seed + 1000, (uint64_t)i);
		for (uint64_t k = 0; t->n_dims != 2 && k < t->n; k++)
			v[k] += 10 * random_weight(key, k);
		/* logits worth comparing */
		bool wide = strstr(t->name, "embed_tokens") || strstr(t->name, "lm_head");
		for (uint64_t k = 0; wide && k < t->n; k++)
			v[k] *= 20;
	}
}

static int make_model(char **arg, int n, struct err *e)
{
	struct buf text = { 0 };
	struct model_config c;
	struct model m = { 0 };
	struct model_values *v = NULL;
	uint64_t seed = strtoull(arg[2], NULL, 10);
	int rc = -1;

	if (buf_read_file(&text, arg[0], 1 << 20, e) < 0 ||
	    config_parse(&c, buf_str(&text), text.len, arg[0], e) < 0 ||
	    model_fresh(&m, &c, seed, e) < 0)
		goto out;
	stir(&m, seed);
	v = m.tensors.n > 0 ? calloc((size_t)m.tensors.n, sizeof(*v)) : NULL;
	for (int i = 0; v && i < m.tensors.n; i++) {
		const struct tensor *t = &m.tensors.item[i];
		v[i].name = t->name;
		v[i].n_dims = t->n_dims;
		memcpy(v[i].dims, t->dims, sizeof(v[i].dims));
		v[i].value = t->data;
	}
	rc = v ? model_write(arg[1], &c, v, m.tensors.n, dtype_of(arg[3]), n > 4 ? arg[4] : NULL, e)
	       : err_set(e, ERR_MEM, "no memory");
out:
	free(v);
	model_close(&m);
	buf_release(&text);
	return rc;
}

static int make_adapter(char **arg, struct err *e)
{
	struct adapter_save_options o = { .language_model_prefix =
		                                  strcmp(arg[7], "multimodal") == 0,
		                          .rslora = strcmp(arg[5], "rslora") == 0,
		                          .dtype = dtype_of(arg[6]),
		                          .base_model = arg[0] };
	int rank = atoi(arg[3]), out, in, rc = -1;
	float scale = strtof(arg[4], NULL), *at;
	struct adapter a = { 0 };
	struct model m;

	if (model_open(&m, arg[0], e) < 0)
		return -1;
	a.layers = m.config.layers;
	a.rank_max = rank;
	a.part = calloc((size_t)a.layers, sizeof(*a.part));
	for (int l = 0; l < a.layers; l++)
		for (enum module k = 0; k < MODULE_COUNT; k++)
			if (module_shape(&m.config, l, k, &out, &in)) {
				a.parameters += (uint64_t)rank * (uint64_t)(out + in);
				a.modules++;
			}
	a.own = at = malloc(a.parameters * sizeof(float));
	if (!a.part || !at) {
		err_set(e, ERR_MEM, "no memory");
		goto out;
	}
	for (uint64_t i = 0; i < a.parameters; i++)
		at[i] = 2 * random_weight(strtoull(arg[2], NULL, 10), i);
	for (int l = 0; l < a.layers; l++)
		for (enum module k = 0; k < MODULE_COUNT; k++) {
			if (!module_shape(&m.config, l, k, &out, &in))
				continue;
			a.part[l][k] = (struct lora_part){ rank, scale, at, at + rank * in };
			at += rank * (out + in);
		}
	rc = adapter_save(&a, arg[1], &m.config, &o, e);
out:
	free(a.own);
	free(a.part);
	model_close(&m);
	return rc;
}

static int make_vocabulary(char **arg, struct err *e)
{
	struct buf text = { 0 };
	struct bpe_trainer *t = bpe_trainer_open(e);
	int rc = -1;

	if (t && buf_read_file(&text, arg[0], 1 << 30, e) == 0 &&
	    bpe_trainer_feed(t, buf_str(&text), text.len, e) == 0)
		rc = bpe_trainer_write(t, arg[1], atoi(arg[2]), e);
	if (rc > 0)
		printf("%d\n", rc);
	bpe_trainer_close(t);
	buf_release(&text);
	return rc < 0 ? -1 : 0;
}

int main(int argc, char **argv)
{
	struct err e = { 0 };
	int rc = -1;

	if (argc > 5 && strcmp(argv[1], "model") == 0)
		rc = make_model(argv + 2, argc - 2, &e);
	else if (argc == 10 && strcmp(argv[1], "adapter") == 0)
		rc = make_adapter(argv + 2, &e);
	else if (argc == 5 && strcmp(argv[1], "vocabulary") == 0)
		rc = make_vocabulary(argv + 2, &e);
	else
		err_set(&e, ERR_USAGE, "what is asked? see the head of tests/oracle_maker.c");
	if (rc < 0)
		fprintf(stderr, "oracle_maker: %s\n", e.text);
	return rc < 0;
}
