#include "gpu/tokenizer_write.h"

#include <stdio.h>
#include <string.h>

#include "gpu/pretokenize.h"
#include "gpu/unicode.h"
#include "src/base/folder.h"
#include "src/base/json.h"

static const struct {
	const char *text;
	bool special;
} added[ADDED_TOKENS] = {
	{ "<|endoftext|>", true },     { "<|im_start|>", true }, { "<|im_end|>", true },
	{ "<think>", false },          { "</think>", false },    { "<tool_response>", false },
	{ "</tool_response>", false },
};

/* What gpu/chat.c does, for those who render by the template. Whatever a message holds is its
 * text: nothing in it is read as a tag. */
static const char chat_template[] =
	"{#- A conversation of system, user, assistant and tool messages. Thinking is off unless\n"
	"    enable_thinking is true: the prompt then holds an empty thought. -#}\n"
	"{%- set seen = namespace(user=-1) -%}\n"
	"{%- for message in messages -%}\n"
	"  {%- if message.role == 'user' -%}\n"
	"    {%- set text = (message.content if message.content is string else message.content | "
	"map(attribute='text') | join) | trim -%}\n"
	"    {%- if not (text.startswith('<tool_response>') and "
	"text.endswith('</tool_response>')) -%}\n"
	"      {%- set seen.user = loop.index0 -%}\n"
	"    {%- endif -%}\n"
	"  {%- endif -%}\n"
	"{%- endfor -%}\n"
	"{%- if seen.user == -1 -%}\n"
	"  {{- raise_exception('a conversation needs a user turn') -}}\n"
	"{%- endif -%}\n"
	"{%- for message in messages -%}\n"
	"  {%- set text = (message.content if message.content is string else message.content | "
	"map(attribute='text') | join) | trim -%}\n"
	"  {%- if message.role == 'system' -%}\n"
	"    {%- if not loop.first -%}\n"
	"      {{- raise_exception('a system message is the first one or none') -}}\n"
	"    {%- endif -%}\n"
	"    {{- '<|im_start|>system\\n' + text + '<|im_end|>\\n' -}}\n"
	"  {%- elif message.role == 'user' -%}\n"
	"    {{- '<|im_start|>user\\n' + text + '<|im_end|>\\n' -}}\n"
	"  {%- elif message.role == 'assistant' -%}\n"
	"    {%- set thought = '' -%}\n"
	"    {%- if message.reasoning_content is string -%}\n"
	"      {%- set thought = message.reasoning_content -%}\n"
	"    {%- elif '</think>' in text -%}\n"
	"      {%- set thought = "
	"text.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') -%}\n"
	"      {%- set text = text.split('</think>')[-1].lstrip('\\n') -%}\n"
	"    {%- endif -%}\n"
	"    {{- '<|im_start|>assistant\\n' -}}\n"
	"    {%- if loop.index0 > seen.user -%}\n"
	"      {{- '<think>\\n' + thought | trim + '\\n</think>\\n\\n' -}}\n"
	"    {%- endif -%}\n"
	"    {{- text + '<|im_end|>\\n' -}}\n"
	"  {%- elif message.role == 'tool' -%}\n"
	"    {%- if loop.first or messages[loop.index0 - 1].role != 'tool' -%}\n"
	"      {{- '<|im_start|>user' -}}\n"
	"    {%- endif -%}\n"
	"    {{- '\\n<tool_response>\\n' + text + '\\n</tool_response>' -}}\n"
	"    {%- if loop.last or messages[loop.index0 + 1].role != 'tool' -%}\n"
	"      {{- '<|im_end|>\\n' -}}\n"
	"    {%- endif -%}\n"
	"  {%- else -%}\n"
	"    {{- raise_exception('system, user, assistant or tool was expected as a role') -}}\n"
	"  {%- endif -%}\n"
	"{%- endfor -%}\n"
	"{%- if add_generation_prompt -%}\n"
	"  {{- '<|im_start|>assistant\\n' -}}\n"
	"  {%- if enable_thinking is defined and enable_thinking is true -%}\n"
	"    {{- '<think>\\n' -}}\n"
	"  {%- else -%}\n"
	"    {{- '<think>\\n\\n</think>\\n\\n' -}}\n"
	"  {%- endif -%}\n"
	"{%- endif -%}\n";

const char *added_token(int i)
{
	return added[i].text;
}

size_t added_token_here(const char *text, size_t len)
{
	for (int i = 0; i < ADDED_TOKENS; i++) {
		size_t n = strlen(added[i].text);
		if (n <= len && memcmp(text, added[i].text, n) == 0)
			return n;
	}
	return 0;
}

/* The code point of each byte in the alphabet of GPT-2: bytes that print stand for themselves, the
 * others for U+0100 and on. */
static void make_letters(uint16_t letter[256])
{
	uint16_t next = 256;

	for (int b = 0; b < 256; b++) {
		bool prints = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
		letter[b] = prints ? (uint16_t)b : next++;
	}
}

/* Token @id in that alphabet, into @out. */
static const char *spell(const struct vocabulary *v, int id, const uint16_t letter[256],
                         struct buf *out)
{
	char utf8[4];

	buf_clear(out);
	for (uint32_t i = v->at[id]; i < v->at[id + 1]; i++)
		buf_add(out, utf8,
		        (size_t)unicode_put(utf8, letter[(unsigned char)v->bytes.data[i]]));
	return buf_str(out);
}

static cJSON *byte_level(const char *type, bool trim)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "type", type);
	cJSON_AddBoolToObject(o, "add_prefix_space", false);
	cJSON_AddBoolToObject(o, "trim_offsets", trim);
	cJSON_AddBoolToObject(o, "use_regex", false);
	return o;
}

/* One of the added tokens, as both files have it. */
static cJSON *added_object(int i)
{
	static const char *const off[] = { "single_word", "lstrip", "rstrip", "normalized" };
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "content", added[i].text);
	for (size_t k = 0; k < sizeof(off) / sizeof(*off); k++)
		cJSON_AddBoolToObject(o, off[k], false);
	cJSON_AddBoolToObject(o, "special", added[i].special);
	return o;
}

static void add_steps(cJSON *root)
{
	cJSON *o = cJSON_AddObjectToObject(root, "normalizer"), *list, *split;

	cJSON_AddStringToObject(o, "type", "NFC");
	o = cJSON_AddObjectToObject(root, "pre_tokenizer");
	cJSON_AddStringToObject(o, "type", "Sequence");
	list = cJSON_AddArrayToObject(o, "pretokenizers");
	cJSON_AddItemToArray(list, split = cJSON_CreateObject());
	cJSON_AddStringToObject(split, "type", "Split");
	o = cJSON_AddObjectToObject(split, "pattern");
	cJSON_AddStringToObject(o, "Regex", PRETOKENIZE_PATTERN);
	cJSON_AddStringToObject(split, "behavior", "Isolated");
	cJSON_AddBoolToObject(split, "invert", false);
	cJSON_AddItemToArray(list, byte_level("ByteLevel", false));
	cJSON_AddItemToObject(root, "post_processor", byte_level("ByteLevel", false));
	cJSON_AddItemToObject(root, "decoder", byte_level("ByteLevel", false));
}

static cJSON *tokenizer_object(const struct vocabulary *v)
{
	static const char *const none[] = { "dropout", "unk_token", "continuing_subword_prefix",
		                            "end_of_word_suffix" };
	static const char *const off[] = { "fuse_unk", "byte_fallback", "ignore_merges" };
	cJSON *root = cJSON_CreateObject(), *list, *model, *vocab, *pair;
	struct buf a = { 0 };
	uint16_t letter[256];

	make_letters(letter);
	cJSON_AddStringToObject(root, "version", "1.0");
	cJSON_AddNullToObject(root, "truncation");
	cJSON_AddNullToObject(root, "padding");
	list = cJSON_AddArrayToObject(root, "added_tokens");
	for (int i = 0; i < ADDED_TOKENS; i++) {
		cJSON *o = added_object(i);
		cJSON_AddNumberToObject(o, "id", v->tokens + i);
		cJSON_AddItemToArray(list, o);
	}
	add_steps(root);
	model = cJSON_AddObjectToObject(root, "model");
	cJSON_AddStringToObject(model, "type", "BPE");
	for (size_t i = 0; i < sizeof(none) / sizeof(*none); i++)
		cJSON_AddNullToObject(model, none[i]);
	for (size_t i = 0; i < sizeof(off) / sizeof(*off); i++)
		cJSON_AddBoolToObject(model, off[i], false);
	vocab = cJSON_AddObjectToObject(model, "vocab");
	for (int i = 0; i < v->tokens; i++)
		cJSON_AddNumberToObject(vocab, spell(v, i, letter, &a), i);
	list = cJSON_AddArrayToObject(model, "merges");
	for (int i = 0; i < v->merges; i++) {
		cJSON_AddItemToArray(list, pair = cJSON_CreateArray());
		cJSON_AddItemToArray(pair,
		                     cJSON_CreateString(spell(v, v->merge[i].left, letter, &a)));
		cJSON_AddItemToArray(pair,
		                     cJSON_CreateString(spell(v, v->merge[i].right, letter, &a)));
	}
	buf_release(&a);
	return root;
}

static cJSON *config_object(const struct vocabulary *v)
{
	cJSON *root = cJSON_CreateObject(), *decoder, *list;
	char id[16];

	cJSON_AddStringToObject(root, "tokenizer_class", "Qwen2Tokenizer");
	cJSON_AddStringToObject(root, "pretokenize_regex", PRETOKENIZE_PATTERN);
	cJSON_AddBoolToObject(root, "add_bos_token", false);
	cJSON_AddBoolToObject(root, "add_prefix_space", false);
	cJSON_AddBoolToObject(root, "clean_up_tokenization_spaces", false);
	cJSON_AddBoolToObject(root, "split_special_tokens", false);
	cJSON_AddStringToObject(root, "errors", "replace");
	cJSON_AddNullToObject(root, "bos_token");
	cJSON_AddNullToObject(root, "unk_token");
	cJSON_AddStringToObject(root, "eos_token", "<|im_end|>");
	cJSON_AddStringToObject(root, "pad_token", "<|endoftext|>");
	list = cJSON_AddArrayToObject(root, "additional_special_tokens");
	cJSON_AddItemToArray(list, cJSON_CreateString("<|im_start|>"));
	cJSON_AddItemToArray(list, cJSON_CreateString("<|im_end|>"));
	decoder = cJSON_AddObjectToObject(root, "added_tokens_decoder");
	for (int i = 0; i < ADDED_TOKENS; i++) {
		snprintf(id, sizeof(id), "%d", v->tokens + i);
		cJSON_AddItemToObject(decoder, id, added_object(i));
	}
	return root;
}

static int put(const struct new_folder *f, const char *name, const struct buf *text, struct err *e)
{
	struct buf path = { 0 };
	const char *to = new_folder_path(f, name, &path, e);
	int rc = -1;

	if (buf_failed(text))
		err_set(e, ERR_MEM, "no memory for %s", name);
	else if (to)
		rc = file_write_atomic(to, buf_str(text), text->len, e);
	buf_release(&path);
	return rc;
}

/* Takes @o. */
static int put_json(const struct new_folder *f, const char *name, cJSON *o, struct err *e)
{
	struct buf text = { 0 };
	int rc;

	json_print(&text, o);
	buf_addc(&text, '\n');
	rc = put(f, name, &text, e);
	cJSON_Delete(o);
	buf_release(&text);
	return rc;
}

int tokenizer_write(const char *dir, const struct vocabulary *v, struct err *e)
{
	struct new_folder f = { 0 };
	struct buf text = { 0 };
	int rc = -1;

	buf_adds(&text, chat_template);
	if (new_folder_begin(&f, dir, 0, e) == 0 &&
	    put_json(&f, "tokenizer.json", tokenizer_object(v), e) == 0 &&
	    put_json(&f, "tokenizer_config.json", config_object(v), e) == 0 &&
	    put(&f, "chat_template.jinja", &text, e) == 0)
		rc = new_folder_end(&f, e);
	new_folder_drop(&f);
	buf_release(&text);
	return rc;
}
