/*
 * cmd_model_text.c - `model tokenize` and `model chat`: what a model reads and writes, as ids and
 * as text, to be checked against other implementations.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gpu/chat.h"
#include "gpu/tokenizer.h"
#include "src/app.h"
#include "src/base/json.h"
#include "src/cmd_model.h"

enum { LINE_MAX_BYTES = 64 << 20, LINE_VALUES_MAX = 4 << 20, MESSAGES_MAX_BYTES = 64 << 20 };

/* ---- JSON lines whose texts may hold U+0000, at which cJSON would end them ---- */

static bool holds(const struct buf *line, const char *what, size_t n)
{
	return memmem(buf_str(line), line->len, what, n) != NULL;
}

/* Puts a character that the line does not hold (of the private use area) for every \u0000, and says
 * which in @mark, as UTF-8; "" when there was none to replace. False: the line has all of them. */
static bool hide_nul(struct buf *line, char mark[4])
{
	mark[0] = '\0';
	if (!holds(line, "\\u0000", 6))
		return true;
	for (unsigned c = 0xe000; c < 0xf900; c++) {
		char lower[8], upper[8];
		char utf8[4] = { (char)(0xe0 | c >> 12), (char)(0x80 | (c >> 6 & 0x3f)),
			         (char)(0x80 | (c & 0x3f)), '\0' };
		snprintf(lower, sizeof(lower), "\\u%04x", c);
		snprintf(upper, sizeof(upper), "\\u%04X", c);
		if (holds(line, utf8, 3) || holds(line, lower, 6) || holds(line, upper, 6))
			continue;
		memcpy(mark, utf8, 4);
		for (size_t i = 0; i + 6 <= line->len; i++) {
			if (line->data[i] != '\\')
				continue;
			if (memcmp(line->data + i, "\\u0000", 6) == 0)
				memcpy(line->data + i, lower, 6);
			i++; /* what a backslash stands before is no backslash of its own */
		}
		return true;
	}
	return false;
}

/* The bytes of @text with the mark turned back. */
static void show_nul(struct buf *out, const char *text, const char mark[4])
{
	for (const char *at; mark[0] && (at = strstr(text, mark)); text = at + 3) {
		buf_add(out, text, (size_t)(at - text));
		buf_addc(out, '\0');
	}
	buf_adds(out, text);
}

static void add_string(struct buf *out, const char *text, size_t len)
{
	buf_addc(out, '"');
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		if (c == '"' || c == '\\')
			buf_printf(out, "\\%c", c);
		else if (c == '\n')
			buf_adds(out, "\\n");
		else if (c < 0x20 || c == 0x7f)
			buf_printf(out, "\\u%04x", c);
		else
			buf_addc(out, (char)c);
	}
	buf_addc(out, '"');
}

/* ---- model tokenize ---- */

struct tokenizing {
	struct tokenizer *t;
	bool added, skip_special, stream;
	struct buf text, out;
	struct ids ids;
};

static int give(struct buf *out, struct err *e)
{
	buf_addc(out, '\n');
	if (buf_failed(out))
		return err_set(e, ERR_MEM, "no memory for a line");
	fwrite(out->data, 1, out->len, stdout);
	buf_clear(out);
	return 0;
}

static int text_line(struct tokenizing *w, const char *text, const char mark[4], struct err *e)
{
	buf_clear(&w->text);
	show_nul(&w->text, text, mark);
	if (buf_failed(&w->text))
		return err_set(e, ERR_MEM, "no memory for a line");
	w->ids.n = 0;
	if (tokenizer_encode(w->t, buf_str(&w->text), w->text.len, w->added, &w->ids, e) < 0)
		return -1;
	buf_adds(&w->out, "{\"ids\":[");
	for (int i = 0; i < w->ids.n; i++)
		buf_printf(&w->out, "%s%d", i ? "," : "", w->ids.id[i]);
	buf_adds(&w->out, "]}");
	return give(&w->out, e);
}

static int give_text(struct tokenizing *w, struct err *e)
{
	if (buf_failed(&w->text))
		return err_set(e, ERR_MEM, "no memory for a line");
	buf_adds(&w->out, "{\"text\":");
	add_string(&w->out, buf_str(&w->text), w->text.len);
	buf_addc(&w->out, '}');
	return give(&w->out, e);
}

static int ids_line(struct tokenizing *w, const cJSON *list, struct err *e)
{
	struct decoder d = { 0 };
	const cJSON *v;
	int i = 0;

	buf_clear(&w->text);
	cJSON_ArrayForEach(v, list)
	{
		if (!cJSON_IsNumber(v) || v->valuedouble != (double)(int32_t)v->valuedouble)
			return err_set(e, ERR_INPUT, "ids[%d]: a token id was expected", i);
		decoder_push(&d, w->t, (int32_t)v->valuedouble, w->skip_special, &w->text);
		i++;
		if (!w->stream)
			continue;
		/* what the prefix alone would be */
		struct decoder end = d;
		size_t certain = w->text.len;
		decoder_finish(&end, &w->text);
		if (give_text(w, e) < 0)
			return -1;
		w->text.len = certain;
		if (app_output_lost())
			return 0;
	}
	if (w->stream)
		return 0;
	decoder_finish(&d, &w->text);
	return give_text(w, e);
}

static int one_line(struct tokenizing *w, struct buf *line, struct err *e)
{
	char mark[4];
	int rc;

	if (!hide_nul(line, mark))
		return err_set(e, ERR_INPUT, "a line with U+0000 and every private character");
	cJSON *o = json_parse_bounded(buf_str(line), line->len, LINE_VALUES_MAX, e);
	if (!o)
		return -1;
	const cJSON *text = cJSON_GetObjectItemCaseSensitive(o, "text");
	const cJSON *ids = cJSON_GetObjectItemCaseSensitive(o, "ids");
	if (cJSON_IsString(text) && !ids)
		rc = text_line(w, text->valuestring, mark, e);
	else if (cJSON_IsArray(ids) && !text)
		rc = ids_line(w, ids, e);
	else
		rc = err_set(e, ERR_INPUT, "{\"text\": \"...\"} or {\"ids\": [...]} was expected");
	cJSON_Delete(o);
	return rc;
}

/* The next line of stdin without its end; 0 at the end of the file. */
static int next_line(struct buf *line, struct err *e)
{
	int c = 0;

	buf_clear(line);
	while ((c = getc_unlocked(stdin)) != EOF && c != '\n') {
		if (line->len == LINE_MAX_BYTES)
			return err_set(e, ERR_INPUT, "a line of more than %d bytes",
			               LINE_MAX_BYTES);
		buf_addc(line, (char)c);
	}
	if (buf_failed(line))
		return err_set(e, ERR_MEM, "no memory for a line");
	if (ferror(stdin))
		return err_errno(e, ERR_IO, "standard input");
	return c != EOF || line->len > 0;
}

int model_tokenize(const struct cmd *self, int argc, char **argv)
{
	enum { NO_ADDED = APP_FLAGS_END, SKIP_SPECIAL, STREAM };
	static const struct option options[] = { { "json", no_argument, NULL, APP_JSON },
		                                 { "quiet", no_argument, NULL, APP_QUIET },
		                                 { "help", no_argument, NULL, APP_HELP },
		                                 { "no-added", no_argument, NULL, NO_ADDED },
		                                 { "skip-special", no_argument, NULL,
		                                   SKIP_SPECIAL },
		                                 { "stream", no_argument, NULL, STREAM },
		                                 { NULL, 0, NULL, 0 } };
	struct tokenizing w = { .added = true };
	struct buf line = { 0 };
	struct err e = { 0 };
	struct app app;
	int opt, rc, n = 0, more;

	app_init(&app);
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":", options, NULL)) >= 0) {
		rc = app_flag(&app, self, opt, optarg);
		if (rc == 2 || rc < 0)
			return rc == 2 ? EXIT_DONE : EXIT_USAGE;
		if (rc == 1)
			continue;
		if (opt == NO_ADDED)
			w.added = false;
		else if (opt == SKIP_SPECIAL)
			w.skip_special = true;
		else if (opt == STREAM)
			w.stream = true;
		else
			return app_bad_flag(self, opt, argv);
	}
	if (argc - optind != 1)
		return app_usage(self, "one folder is expected: model tokenize DIR");
	if (!(w.t = tokenizer_open(argv[optind], &e)))
		return app_fail(&e);
	while ((more = next_line(&line, &e)) > 0 && !app_output_lost()) {
		n++;
		if (line.len == strspn(buf_str(&line), " \t\r"))
			continue;
		if (one_line(&w, &line, &e) < 0) {
			more = -1;
			break;
		}
	}
	rc = EXIT_DONE;
	if (more < 0) {
		fflush(stdout);
		err_wrap(&e, "line %d of standard input", n);
		rc = app_fail(&e);
	}
	tokenizer_close(w.t);
	ids_release(&w.ids);
	buf_release(&w.text);
	buf_release(&w.out);
	buf_release(&line);
	return rc;
}

/* ---- model chat ---- */

static bool is_model(const char *dir)
{
	static const char *const names[] = { "config.json", "tokenizer_config.json",
		                             "chat_template.jinja" };
	bool is = false;

	for (int i = 0; i < 3; i++) {
		struct buf path = { 0 };
		buf_printf(&path, "%s/%s", dir, names[i]);
		is = is || access(buf_str(&path), F_OK) == 0;
		buf_release(&path);
	}
	return is;
}

int model_chat(const struct cmd *self, int argc, char **argv)
{
	enum { MESSAGES = APP_FLAGS_END, THINKING, GENERATION_PROMPT };
	static const struct option options[] = { { "json", no_argument, NULL, APP_JSON },
		                                 { "quiet", no_argument, NULL, APP_QUIET },
		                                 { "help", no_argument, NULL, APP_HELP },
		                                 { "messages", required_argument, NULL, MESSAGES },
		                                 { "thinking", required_argument, NULL, THINKING },
		                                 { "generation-prompt", no_argument, NULL,
		                                   GENERATION_PROMPT },
		                                 { NULL, 0, NULL, 0 } };
	enum chat_thinking thinking = CHAT_THINKING_DEFAULT;
	struct buf text = { 0 }, out = { 0 };
	const char *file = NULL;
	bool generation_prompt = false;
	struct err e = { 0 };
	cJSON *root = NULL;
	struct app app;
	int opt, rc;

	app_init(&app);
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":", options, NULL)) >= 0) {
		rc = app_flag(&app, self, opt, optarg);
		if (rc == 2 || rc < 0)
			return rc == 2 ? EXIT_DONE : EXIT_USAGE;
		if (rc == 1)
			continue;
		if (opt == MESSAGES)
			file = optarg;
		else if (opt == GENERATION_PROMPT)
			generation_prompt = true;
		else if (opt != THINKING)
			return app_bad_flag(self, opt, argv);
		else if (strcmp(optarg, "on") == 0 || strcmp(optarg, "off") == 0)
			thinking = optarg[1] == 'n' ? CHAT_THINKING_ON : CHAT_THINKING_OFF;
		else
			return app_usage(self, "--thinking is on or off, not '%.40s'", optarg);
	}
	if (argc - optind != 1 || !file)
		return app_usage(self, "one folder and --messages are expected: model chat DIR "
		                       "--messages FILE.json");
	if (!is_model(argv[optind])) {
		err_set(&e, ERR_INPUT,
		        "%.300s: no model's folder: none of config.json, tokenizer_config.json and "
		        "chat_template.jinja is there",
		        argv[optind]);
		return app_fail(&e);
	}
	if (buf_read_file(&text, file, MESSAGES_MAX_BYTES, &e) < 0) {
		rc = app_fail(&e);
		goto out;
	}
	root = json_parse(buf_str(&text), text.len, &e);
	const cJSON *list =
		cJSON_IsObject(root) ? cJSON_GetObjectItemCaseSensitive(root, "messages") : root;
	bool thinks = thinking == CHAT_THINKING_DEFAULT && chat_thinks_by_default(argv[optind]);
	if (!root || chat_render(&out, list, generation_prompt, thinking, thinks, &e) < 0) {
		err_wrap(&e, "%s", file);
		rc = app_fail(&e);
		goto out;
	}
	fwrite(buf_str(&out), 1, out.len, stdout);
	rc = EXIT_DONE;
out:
	cJSON_Delete(root);
	buf_release(&text);
	buf_release(&out);
	return rc;
}
