/*
 * tiny_tokenizer.h - a tokenizer small enough to be written in a test: the 256 bytes as ids 0..255
 * by value, tokens of merges after them, added tokens after those.
 */
#ifndef TESTS_TINY_TOKENIZER_H
#define TESTS_TINY_TOKENIZER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/buf.h"

/* The letter of a byte in GPT-2's alphabet, as JSON text. */
static void tiny_letter(struct buf *out, unsigned char b)
{
	int c = 256;

	if ((b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174) {
		c = b;
	} else {
		for (int k = 0; k < b; k++)
			c += !((k >= 33 && k <= 126) || (k >= 161 && k <= 172) || k >= 174);
	}
	if (c == '"' || c == '\\')
		buf_printf(out, "\\%c", c);
	else if (c < 0x80)
		buf_addc(out, (char)c);
	else
		buf_printf(out, "%c%c", 0xc0 | c >> 6, 0x80 | (c & 0x3f));
}

static void tiny_letters(struct buf *out, const char *bytes)
{
	for (; *bytes; bytes++)
		tiny_letter(out, (unsigned char)*bytes);
}

/* @merges: pairs of bytes' texts, NULL at the end: {"a", "b"}, ... The token of merge i is id
 * 256 + i unless an earlier one makes the same. @extra: texts in the vocabulary that no merge
 * makes, ids after the merges', NULL at the end. @added: added tokens after those; a leading '!'
 * means special. */
static void tiny_json(struct buf *out, const char *const (*merges)[2], const char *const *extra,
                      const char *const *added, bool merges_as_strings)
{
	int id = 256, n = 0;

	buf_adds(out,
	         "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":[");
	for (int k = 0; merges && merges[k][0]; k++)
		id++;
	for (int k = 0; extra && extra[k]; k++)
		id++;
	for (int k = 0; added && added[k]; k++)
		buf_printf(
			out,
			"%s\n{\"id\":%d,\"content\":\"%s\",\"single_word\":false,\"lstrip\":false,"
			"\"rstrip\":false,\"normalized\":false,\"special\":%s}",
			k ? "," : "", id++, added[k] + (added[k][0] == '!'),
			added[k][0] == '!' ? "true" : "false");
	buf_adds(
		out,
		"],\n\"normalizer\":{\"type\":\"NFC\"},\n\"pre_tokenizer\":{\"type\":\"Sequence\","
		"\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\""
		"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?[\\\\p{L}\\\\p{M}]+|"
		"\\\\p{N}| ?[^\\\\s\\\\p{L}\\\\p{M}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|"
		"\\\\s+(?!\\\\S)|\\\\s+\"},"
		"\"behavior\":\"Isolated\",\"invert\":false},"
		"{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":false,"
		"\"use_regex\":false}]},\n"
		"\"post_processor\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,"
		"\"trim_offsets\":false,\"use_regex\":false},\n"
		"\"decoder\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true,"
		"\"trim_offsets\":true,\"use_regex\":true},\n"
		"\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":null,"
		"\"continuing_subword_prefix\":null,\"end_of_word_suffix\":\"\","
		"\"fuse_unk\":false,\"byte_fallback\":false,\"ignore_merges\":false,\n\"vocab\":{");
	for (int b = 0; b < 256; b++) {
		buf_adds(out, b ? ",\"" : "\"");
		tiny_letter(out, (unsigned char)b);
		buf_printf(out, "\":%d", b);
	}
	for (; merges && merges[n][0]; n++) {
		bool again = false;
		for (int k = 0; k < n && !again; k++) {
			char a[64], b[64];
			snprintf(a, sizeof(a), "%s%s", merges[k][0], merges[k][1]);
			snprintf(b, sizeof(b), "%s%s", merges[n][0], merges[n][1]);
			again = strcmp(a, b) == 0;
		}
		if (again)
			continue;
		buf_adds(out, ",\n\"");
		tiny_letters(out, merges[n][0]);
		tiny_letters(out, merges[n][1]);
		buf_printf(out, "\":%d", 256 + n);
	}
	for (int k = 0; extra && extra[k]; k++) {
		buf_adds(out, ",\"");
		tiny_letters(out, extra[k]);
		buf_printf(out, "\":%d", 256 + n + k);
	}
	buf_adds(out, "},\n\"merges\":[");
	for (int k = 0; k < n; k++) {
		buf_adds(out, k ? ",\n" : "");
		buf_adds(out, merges_as_strings ? "\"" : "[\"");
		tiny_letters(out, merges[k][0]);
		buf_adds(out, merges_as_strings ? " " : "\",\"");
		tiny_letters(out, merges[k][1]);
		buf_adds(out, merges_as_strings ? "\"" : "\"]");
	}
	buf_adds(out, "]}}\n");
}

/* A folder of our own, and a file in it. */
static inline void tiny_folder(char dir[64])
{
	strcpy(dir, "tiny-tokenizer-XXXXXX");
	if (!mkdtemp(dir))
		abort();
}

static inline void tiny_write(const char *dir, const char *name, const void *data, size_t len)
{
	char path[400];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	FILE *f = fopen(path, "wb");
	if (!f || fwrite(data, 1, len, f) != len || fclose(f) != 0)
		abort();
}

static inline void tiny_remove(const char *dir)
{
	static const char *const names[] = { "tokenizer.json", "tokenizer_config.json",
		                             "chat_template.jinja" };
	char path[128];

	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		unlink(path);
	}
	rmdir(dir);
}

#endif
