/*
 * model_flags.h - which model writes, with which adapters, and how it is sampled: the flags that
 * every verb with a model shares (cli.md).
 */
#ifndef SRC_MODEL_FLAGS_H
#define SRC_MODEL_FLAGS_H

#include "gpu/gpu.h"
#include "gpu/lora.h"
#include "gpu/wire.h"
#include "src/app.h"
#include "src/model_about.h"

struct model_flags {
	const char *model; /* a folder or an address; NULL: none was named */
	struct gpu_adapter adapter[LORA_BLEND_MAX];
	int n_adapters;
	enum gpu_backend backend;
	const char *dtype;
	int threads, context;
	double timeout_s;
	struct sampling sampling;
	int max_tokens;
	const char *stop[INFER_STOPS_MAX];
	int n_stop;
	enum chat_thinking thinking;
	bool far;                         /* --backend queue: workers answer (src/far_engine.h) */
	bool guard, given;                /* given: one of these flags was on the command line */
	bool temperature_given, no_adapter; /* no_adapter: --adapter none */
	struct model_about about;           /* after model_flags_finish() */
	char demo[4200];                    /* the folder that @model is when none was named */
	char names[LORA_BLEND_MAX][4096]; /* the adapters' folders without their scales */
};

enum model_flag {
	MODEL_MODEL = 1024,
	MODEL_ADAPTER,
	MODEL_BACKEND,
	MODEL_DTYPE,
	MODEL_THREADS,
	MODEL_CONTEXT,
	MODEL_TIMEOUT,
	MODEL_TEMPERATURE,
	MODEL_TOP_P,
	MODEL_TOP_K,
	MODEL_MIN_P,
	MODEL_PRESENCE,
	MODEL_SEED,
	MODEL_MAX_TOKENS,
	MODEL_STOP,
	MODEL_THINKING,
	MODEL_GUARD,
};
/* clang-format off */
#define MODEL_ONLY_OPTIONS \
	{ "model", required_argument, NULL, MODEL_MODEL }, \
	{ "adapter", required_argument, NULL, MODEL_ADAPTER }, \
	{ "backend", required_argument, NULL, MODEL_BACKEND }, \
	{ "dtype", required_argument, NULL, MODEL_DTYPE }, \
	{ "threads", required_argument, NULL, MODEL_THREADS }, \
	{ "context", required_argument, NULL, MODEL_CONTEXT }
#define MODEL_LONG_OPTIONS \
	MODEL_ONLY_OPTIONS, \
	{ "timeout", required_argument, NULL, MODEL_TIMEOUT }, \
	{ "temperature", required_argument, NULL, MODEL_TEMPERATURE }, \
	{ "top-p", required_argument, NULL, MODEL_TOP_P }, \
	{ "top-k", required_argument, NULL, MODEL_TOP_K }, \
	{ "min-p", required_argument, NULL, MODEL_MIN_P }, \
	{ "presence-penalty", required_argument, NULL, MODEL_PRESENCE }, \
	{ "seed", required_argument, NULL, MODEL_SEED }, \
	{ "max-tokens", required_argument, NULL, MODEL_MAX_TOKENS }, \
	{ "stop", required_argument, NULL, MODEL_STOP }, \
	{ "thinking", required_argument, NULL, MODEL_THINKING }, \
	{ "guard", no_argument, NULL, MODEL_GUARD }
/* clang-format on */

/* The lines of --help: of MODEL_ONLY_OPTIONS, and of the rest. */
#define MODEL_HELP                                                                                     \
	"  --model DIR|URL   a model's folder (Hugging Face layout), or http(s)://HOST/v1#NAME, a\n"   \
	"                    server with OpenAI's interface, key in CADFORGE_API_KEY; else\n"          \
	"                    CADFORGE_MODEL, else the demonstration model with its adapter sft\n"      \
	"  --adapter DIR[:S] a LoRA adapter (PEFT folder), by scale S (1); repeat to blend, up to 4;\n" \
	"                    none: the base alone\n"                                                   \
	"  --backend B       auto, cuda or cpu (auto); with --queue also queue: models of workers,\n"   \
	"                    which auto takes as well where one of them has this model\n"             \
	"  --dtype D         bf16, f32 or int8: how weights are held (as stored)\n"                    \
	"  --threads N, --context N  of the CPU; tokens that a sequence may have\n"
#define SAMPLING_HELP                                                                              \
	"  --temperature T, --top-p P, --top-k K, --min-p P, --presence-penalty X, --seed N\n"     \
	"                    how tokens are drawn (0.6, 0.95, 20, 0, 0, 0); temperature 0: the\n"  \
	"                    likeliest, which is also used when generation_config.json says so\n"  \
	"  --max-tokens N    at most so many tokens an answer (4096)\n"                            \
	"  --stop TEXT       a text that ends an answer and is no part of it; may be repeated\n"   \
	"  --thinking on|off whether the model thinks first (off)\n"                               \
	"  --guard           never pick tokens that make the program unclosable or call what\n"    \
	"                    CadQuery does not have\n"                                             \
	"  --timeout S       of a server: silence after which it is given up (60)\n"

void model_flags_init(struct model_flags *m);
/* 1: done; 0: not one of ours; -1: wrong value, told on stderr. */
int model_flag(struct model_flags *m, int opt, const char *arg);
/* After the last flag and app_find(): CADFORGE_MODEL where no model was given, else the
 * demonstration model with its adapter; then what the model's folder asks for (src/model_about.h)
 * where nothing was given. 0; -1: there is no model (ERR_LACKS, in words what to give), or its
 * folder's wishes cannot be read. */
int model_flags_finish(struct model_flags *m, const struct app *app, struct err *e);
/* The folders of the demonstration model and of its adapter; false where there is none. @out:
 * 4200 bytes. */
bool model_demo_base(const struct app *app, char *out, size_t size);
bool model_demo_adapter(const struct app *app, char *out, size_t size);
/* What gpu_open() wants. */
void model_flags_options(const struct model_flags *m, const struct app *app,
                         struct gpu_options *out);
/* The request's part that the flags say; the prompt is the caller's. */
void model_flags_request(const struct model_flags *m, struct gpu_request *out);

/* Ids from "1,2,3", or from the text of a JSON array. 0, or -1 with @e; the caller frees *out. */
int model_ids_parse(const char *text, const char *where, int32_t **out, int *n, struct err *e);
int model_ids_read(const char *file, int32_t **out, int *n, struct err *e);

/* What a model is called in the store: a folder's own name, or what stands behind the '#'; */
void model_flags_name(char *out, size_t size, const char *model);
/* and the adapters: "a+b:0.5"; "" without. */
void model_flags_adapters(char *out, size_t size, const struct model_flags *m);

/* {"temperature": ..., "seed": ...}: what the store keeps with a turn; the caller's to delete. */
cJSON *model_flags_sampling(const struct model_flags *m);

#endif
