/*
 * cmd_model.c - looking inside a model: the table of words, and `model info`.
 */
#include "src/cmd_model.h"

#include <dirent.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gpu/lora.h"
#include "src/app.h"
#include "src/base/json.h"
#include "src/base/utf8.h"
#include "src/show.h"

/* ---- what is found ---- */

enum { ADAPTERS_MAX = 256 };

struct found {
	char *dir[ADAPTERS_MAX];
	int n;
	bool more; /* there were more than that */
};

static void found_release(struct found *f)
{
	for (int i = 0; i < f->n; i++)
		free(f->dir[i]);
	f->n = 0;
}

bool model_has_file(const char *dir, const char *name)
{
	struct buf path = { 0 };

	buf_printf(&path, "%s/%s", dir, name);
	bool there = !buf_failed(&path) && access(path.data, F_OK) == 0;
	buf_release(&path);
	return there;
}

/* Whether @a and @b are the same folder. */
static bool same_folder(const char *a, const char *b)
{
	struct stat x, y;

	return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Adds the folders of adapters that are in @dir. */
static void find_adapters(struct found *f, const char *dir)
{
	DIR *d = opendir(dir);
	int first = f->n;

	if (!d)
		return;
	for (struct dirent *x; (x = readdir(d));) {
		struct buf path = { 0 };
		if (x->d_name[0] == '.')
			continue;
		buf_printf(&path, "%s%s%s", strcmp(dir, ".") == 0 ? "" : dir,
		           strcmp(dir, ".") == 0 ? "" : "/", x->d_name);
		bool known =
			buf_failed(&path) || !model_has_file(buf_str(&path), "adapter_config.json");
		for (int i = 0; i < f->n && !known; i++)
			known = same_folder(f->dir[i], path.data);
		if (!known && f->n < ADAPTERS_MAX) {
			f->dir[f->n] = buf_take(&path, NULL);
			f->n += f->dir[f->n] != NULL;
		} else if (!known) {
			f->more = true;
		}
		buf_release(&path);
	}
	closedir(d);
	qsort(f->dir + first, (size_t)(f->n - first), sizeof(*f->dir), by_text);
}

/* "DIR/.." that stays readable. */
static void parent(struct buf *out, const char *dir)
{
	size_t end = strlen(dir);

	while (end > 1 && dir[end - 1] == '/')
		end--;
	while (end > 0 && dir[end - 1] != '/')
		end--;
	while (end > 1 && dir[end - 1] == '/')
		end--;
	if (end == 0)
		buf_adds(out, strcmp(dir, ".") == 0 ? ".." : ".");
	else
		buf_add(out, dir, end);
}

/* ---- printing ---- */

static const char *bytes_text(char out[32], double bytes)
{
	static const char *const unit[] = { "bytes", "KiB", "MiB", "GiB", "TiB" };
	int i = 0;

	while (bytes >= 1024 && i < 4) {
		bytes /= 1024;
		i++;
	}
	snprintf(out, 32, i ? "%.1f %s" : "%.0f %s", bytes, unit[i]);
	return out;
}

/* "8,953,803,264" */
static const char *count_text(char out[32], double n)
{
	char digits[32];
	int len = snprintf(digits, sizeof(digits), "%.0f", n), k = 0;

	for (int i = 0; i < len && k < 30; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			out[k++] = ',';
		out[k++] = digits[i];
	}
	out[k] = '\0';
	return out;
}

static double figure(const cJSON *o, const char *key)
{
	return json_number_or(o, key, NAN);
}

static void print_clean(const char *text)
{
	struct buf b = { 0 };

	utf8_clean_line(&b, text, strlen(text));
	fputs(buf_str(&b), stdout);
	buf_release(&b);
}

static void print_adapter(const cJSON *a)
{
	char n[32];

	print_clean(json_string_or(a, "dir", "?"));
	if (!json_bool_or(a, "fits", false)) {
		fputs(": does not fit: ", stdout);
		print_clean(json_string_or(a, "why", "?"));
		putchar('\n');
		return;
	}
	double low = figure(a, "rank_min"), high = figure(a, "rank_max");
	printf(": rank %.0f", low);
	if (low != high)
		printf(" to %.0f", high);
	printf(", scale %.4g", figure(a, "scale_min"));
	if (figure(a, "scale_min") != figure(a, "scale_max"))
		printf(" to %.4g", figure(a, "scale_max"));
	printf(", %s parameters in %.0f modules (", count_text(n, figure(a, "parameters")),
	       figure(a, "modules"));
	const cJSON *t;
	cJSON_ArrayForEach(t, cJSON_GetObjectItemCaseSensitive(a, "targets"))
	{
		printf("%s%s", t->string, t->next ? " " : ")");
	}
	if (figure(a, "skipped_tensors") > 0)
		printf("; %.0f tensors of the vision part left out", figure(a, "skipped_tensors"));
	putchar('\n');
}

static void print_model(const cJSON *o)
{
	const cJSON *s = cJSON_GetObjectItemCaseSensitive(o, "sizes"), *x;
	const cJSON *load = cJSON_GetObjectItemCaseSensitive(o, "load_bytes");
	double files = 0;
	char a[32], b[32];

	print_clean(json_string_or(o, "dir", "?"));
	printf("\n  model       Qwen3.5, %s parameters, %s embeddings\n",
	       count_text(a, figure(o, "parameters")),
	       json_bool_or(s, "tied", false) ? "tied" : "untied");
	printf("  layers      %.0f: %.0f gated DeltaNet, %.0f gated attention\n",
	       figure(s, "layers"), figure(s, "delta_layers"), figure(s, "attention_layers"));
	printf("  sizes       hidden %.0f, MLP %.0f, vocabulary %s, context %s\n",
	       figure(s, "hidden"), figure(s, "mlp"), count_text(a, figure(s, "vocabulary")),
	       count_text(b, figure(s, "context")));
	printf("  attention   %.0f heads of %.0f, %.0f for keys and values; %.0f values of a head "
	       "turn\n",
	       figure(s, "heads"), figure(s, "head_dim"), figure(s, "kv_heads"),
	       figure(s, "rotary"));
	printf("  DeltaNet    %.0f key heads of %.0f, %.0f value heads of %.0f, convolution over "
	       "%.0f\n",
	       figure(s, "key_heads"), figure(s, "key_dim"), figure(s, "value_heads"),
	       figure(s, "value_dim"), figure(s, "conv"));
	cJSON_ArrayForEach(x, cJSON_GetObjectItemCaseSensitive(o, "dtypes"))
	{
		printf("  stored      %s: %s values in %.0f tensors\n", x->string,
		       count_text(a, figure(x, "parameters")), figure(x, "tensors"));
	}
	cJSON_ArrayForEach(x, cJSON_GetObjectItemCaseSensitive(o, "files"))
	{
		files += figure(x, "bytes");
	}
	int n = cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(o, "files"));
	printf("  files       %d, %s", n, bytes_text(a, files));
	if (figure(o, "skipped_tensors") > 0)
		printf("; %.0f tensors of vision and MTP parts left out",
		       figure(o, "skipped_tensors"));
	putchar('\n');
	fputs("  to load     ", stdout);
	cJSON_ArrayForEach(x, load)
	{
		printf("%s%s %s", x->prev && x != load->child ? ", " : "",
		       strcmp(x->string, "as_stored") == 0 ? "as stored" : x->string,
		       bytes_text(a, x->valuedouble));
	}
	printf("\n  a sequence  %s of state, and %s a token\n",
	       bytes_text(a, figure(o, "state_bytes")),
	       bytes_text(b, figure(o, "kv_bytes_per_token")));
	fputs("  stop ids    ", stdout);
	n = 0;
	cJSON_ArrayForEach(x, cJSON_GetObjectItemCaseSensitive(o, "eos"))
	{
		printf("%s%.0f", n++ ? ", " : "", x->valuedouble);
	}
	puts(n ? "" : "none but the tokenizer's");
	n = 0;
	cJSON_ArrayForEach(x, cJSON_GetObjectItemCaseSensitive(o, "adapters"))
	{
		fputs(n++ ? "              " : "  adapters    ", stdout);
		print_adapter(x);
	}
	if (n == 0)
		puts("  adapters    none in this folder, none beside it");
}

/* ---- model info ---- */

/* Moves what is in @from behind what is in @to; @from is gone then. */
static void move_all(cJSON *to, cJSON *from)
{
	cJSON *x;

	while ((x = cJSON_DetachItemFromArray(from, 0))) {
		char *key = x->string;
		x->string = NULL;
		cJSON_AddItemToObject(to, key, x);
		cJSON_free(key);
	}
	cJSON_Delete(from);
}

/* @whole: with its values, which tells the hash, and values that are no numbers. */
static cJSON *look_at_adapter(const char *dir, const struct model *m, bool whole)
{
	struct adapter a;
	struct err e = { 0 };
	cJSON *o;

	if ((whole ? adapter_open : adapter_look)(&a, dir, &m->config, &e) < 0) {
		o = cJSON_CreateObject();
		show_add_path(o, "dir", dir);
		cJSON_AddBoolToObject(o, "fits", false);
		struct buf why = { 0 };
		utf8_clean_line(&why, e.text, strlen(e.text));
		cJSON_AddStringToObject(o, "why", buf_str(&why));
		buf_release(&why);
		return o;
	}
	o = cJSON_CreateObject();
	show_add_path(o, "dir", dir);
	cJSON_AddBoolToObject(o, "fits", true);
	cJSON *more = adapter_describe(&a);
	move_all(o, more);
	adapter_close(&a);
	return o;
}

/* Tells of the model in @dir and of the adapters @f. @asked: they were named, so that one which
 * does not fit is a no. */
static int tell_model(const struct app *app, const char *dir, const struct found *f, bool asked)
{
	struct model m;
	struct err e = { 0 };
	int rc = EXIT_DONE;

	if (model_open(&m, dir, &e) < 0)
		return app_fail(&e);
	cJSON *o = cJSON_CreateObject(), *more = model_describe(&m);
	show_add_path(o, "dir", dir);
	move_all(o, more);
	cJSON *list = cJSON_AddArrayToObject(o, "adapters");
	for (int i = 0; i < f->n; i++) {
		cJSON *a = look_at_adapter(f->dir[i], &m, asked);
		if (asked && !json_bool_or(a, "fits", false))
			rc = EXIT_NO;
		cJSON_AddItemToArray(list, a);
	}
	if (f->more)
		app_tell("more than %d adapters: name those you mean with --adapter", ADAPTERS_MAX);
	if (app->json)
		show_json_line(o);
	else
		print_model(o);
	cJSON_Delete(o);
	model_close(&m);
	return rc;
}

int model_find_base(struct buf *out, const char *dir, struct err *e)
{
	struct buf path = { 0 }, text = { 0 };
	cJSON *root = NULL;
	int rc = -1;

	buf_printf(&path, "%s/adapter_config.json", dir);
	if (buf_failed(&path)) {
		err_set(e, ERR_MEM, "no memory for a path");
		goto out;
	}
	if (buf_read_file(&text, path.data, 16 << 20, e) < 0)
		goto out;
	root = json_parse_bounded(buf_str(&text), text.len, 100000, e);
	if (!root) {
		err_wrap(e, "%.200s", path.data);
		goto out;
	}
	const char *base = json_string_or(root, "base_model_name_or_path", "");
	const char *slash = strrchr(base, '/');
	buf_adds(out, base);
	if (*base && model_has_file(base, "config.json")) {
		rc = 0;
		goto out;
	}
	buf_clear(out);
	parent(out, dir);
	buf_printf(out, "/%s", slash ? slash + 1 : base);
	if (*base && model_has_file(buf_str(out), "config.json"))
		rc = 0;
	else
		err_set(e, ERR_INPUT,
		        "%.200s is an adapter of '%.160s', which is not found: name its base's "
		        "folder, and this one with --adapter",
		        dir, base);
out:
	cJSON_Delete(root);
	buf_release(&text);
	buf_release(&path);
	return rc;
}

int model_info(const struct cmd *self, int argc, char **argv)
{
	enum { ADAPTER = APP_FLAGS_END };
	static const struct option options[] = { { "json", no_argument, NULL, APP_JSON },
		                                 { "quiet", no_argument, NULL, APP_QUIET },
		                                 { "help", no_argument, NULL, APP_HELP },
		                                 { "adapter", required_argument, NULL, ADAPTER },
		                                 { NULL, 0, NULL, 0 } };
	struct found f = { 0 };
	struct buf where = { 0 };
	struct err e = { 0 };
	struct app app;
	int opt, rc;

	app_init(&app);
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":", options, NULL)) >= 0) {
		rc = app_flag(&app, self, opt, optarg);
		if (rc == 2 || rc < 0) {
			rc = rc == 2 ? EXIT_DONE : EXIT_USAGE;
			goto out;
		}
		if (rc == 1)
			continue;
		rc = EXIT_USAGE;
		if (opt != ADAPTER) {
			app_bad_flag(self, opt, argv);
			goto out;
		}
		if (f.n == ADAPTERS_MAX) {
			app_usage(self, "at most %d adapters", ADAPTERS_MAX);
			goto out;
		}
		f.dir[f.n] = strdup(optarg);
		f.n += f.dir[f.n] != NULL;
	}
	if (argc - optind != 1) {
		rc = app_usage(self, "one folder is expected: model info DIR");
		goto out;
	}
	const char *dir = argv[optind];
	bool asked = f.n > 0;
	if (!asked && !model_has_file(dir, "config.json") &&
	    model_has_file(dir, "adapter_config.json")) {
		if (model_find_base(&where, dir, &e) < 0) {
			rc = app_fail(&e);
			goto out;
		}
		f.dir[f.n] = strdup(dir);
		f.n += f.dir[f.n] != NULL;
		rc = tell_model(&app, buf_str(&where), &f, true);
		goto out;
	}
	if (!asked) {
		find_adapters(&f, dir);
		parent(&where, dir);
		find_adapters(&f, buf_str(&where));
	}
	rc = tell_model(&app, dir, &f, asked);
out:
	buf_release(&where);
	found_release(&f);
	return rc;
}

/* ---- the table ---- */

static const struct {
	const char *name;
	int (*run)(const struct cmd *self, int argc, char **argv);
} words[] = {
	{ "info", model_info },     { "tokenize", model_tokenize }, { "chat", model_chat },
	{ "logits", model_logits }, { "merge", model_merge_word },  { "diff", model_diff_word },
};
enum { N_WORDS = sizeof(words) / sizeof(*words) };

static int run_model(const struct cmd *self, int argc, char **argv)
{
	struct buf expected = { 0 };
	struct app app;
	int at = 1;

	/* flags may come before the word */
	while (at < argc && argv[at][0] == '-' && strcmp(argv[at], "--help") != 0)
		at++;
	if (at < argc && strcmp(argv[at], "--help") == 0) {
		app_init(&app);
		app_flag(&app, self, APP_HELP, NULL);
		return EXIT_DONE;
	}
	for (int i = 0; i < N_WORDS && at < argc; i++) {
		if (strcmp(argv[at], words[i].name) != 0)
			continue;
		char *word = argv[at];
		memmove(argv + 1, argv, (size_t)at * sizeof(*argv));
		argv[1] = word;
		return words[i].run(self, argc - 1, argv + 1);
	}
	for (int i = 0; i < N_WORDS; i++)
		buf_printf(&expected, "%s'%s'", i ? i == N_WORDS - 1 ? " or " : ", " : "",
		           words[i].name);
	int rc = app_usage(self, "%s is expected%s%.40s%s", buf_str(&expected),
	                   at < argc ? ", got '" : "", at < argc ? argv[at] : "",
	                   at < argc ? "'" : "");
	buf_release(&expected);
	return rc;
}

const struct cmd cmd_model = {
	.name = "model",
	.usage =
		"model info DIR [--adapter DIR]... [--json]\n"
		"       cadforge model tokenize DIR [--no-added] [--skip-special] [--stream]\n"
		"       cadforge model chat DIR --messages FILE.json [--thinking on|off]\n"
		"                [--generation-prompt]\n"
		"       cadforge model logits DIR --ids LIST --out FILE.safetensors [--adapter DIR]...\n"
		"       cadforge model merge BASE ADAPTER OUT [--dtype f32|bf16]\n"
		"       cadforge model diff A B [--model BASE] [--all] [--json]",
	.summary = "look inside a model: sizes, adapters that fit, tokens; merge; compare",
	.help = "  info DIR          a Hugging Face folder of a Qwen3.5 model: sizes, layers, dtypes, "
		"bytes\n"
		"                    to load, bytes a sequence takes, the adapters in it and beside "
		"it;\n"
		"                    or an adapter's folder, with the base that it names\n"
		"  --adapter DIR     look at these adapters instead; may be repeated. Exit status 1 "
		"when\n"
		"                    one does not fit\n"
		"  --json            one object: {dir, parameters, sizes, eos, dtypes, files,\n"
		"                    skipped_tensors, load_bytes, state_bytes, kv_bytes_per_token, "
		"hash,\n"
		"                    adapters [{dir, fits, why | name, modules, rank_max, targets, "
		"...}]}\n"
		"  tokenize DIR      lines {\"text\": ...} or {\"ids\": [...]} on standard input: "
		"for each\n"
		"                    {\"ids\": [...]} or {\"text\": ...}\n"
		"  --no-added        added tokens (<|im_end|>, ...) in a text are plain text\n"
		"  --skip-special    special tokens are left out of the text\n"
		"  --stream          of ids: a line for every prefix\n"
		"  chat DIR          a conversation as the model reads it, byte for byte\n"
		"  --messages FILE   JSON: a list of {role, content}, or an object with one under "
		"messages\n"
		"  --thinking on|off  what the generation prompt says of it; else as the model's "
		"template\n"
		"  --generation-prompt  ends with the beginning of the answer\n"
		"  logits DIR        what the model says at every position: tensor logits [T, V] F32\n"
		"  --ids 1,2,3, --ids-file FILE  token ids; the file a JSON array\n"
		"  --out FILE        the safetensors file that is written\n"
		"  --model, --adapter DIR[:S], --backend B, --dtype D, --threads N, --context N\n"
		"                    of logits, as in generate\n"
		"  merge BASE ADAPTER OUT  a model with the adapter in its weights, as a new folder "
		"OUT\n"
		"                    (an adapter that runs beside its base can be changed and "
		"blended; a\n"
		"                    merged one is a model like any other)\n"
		"  --dtype f32|bf16  of merge: how values are stored; else as the base has them\n"
		"  diff A B          what is not the same in two models, or in two adapters of one "
		"base:\n"
		"                    fields of the config, tensors, how far their values are apart. "
		"Exit\n"
		"                    status 1 when something is not\n"
		"  --model BASE      of two adapters: their base, where they do not name it\n"
		"  --all             every tensor that differs; else the 20 that do most\n"
		"  --quiet           nothing but the result\n"
		"  --help            this text\n",
	.run = run_model,
};
