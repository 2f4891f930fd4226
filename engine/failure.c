#include "engine/failure.h"

#include <string.h>

#include "engine/seed_text.h"
#include "engine/text.h"

static const struct {
	const char *name, *label;
} causes[CAUSE_COUNT] = {
	[CAUSE_OK] = { "ok", "built" },
	[CAUSE_SYNTAX] = { "syntax", "not valid Python" },
	[CAUSE_NAME] = { "name", "a name that is not defined" },
	[CAUSE_ATTRIBUTE] = { "attribute", "a method or attribute that does not exist" },
	[CAUSE_TYPE] = { "type", "an argument of the wrong type" },
	[CAUSE_VALUE] = { "value", "an argument of the wrong value" },
	[CAUSE_KERNEL_ERROR] = { "kernel_error", "the CAD kernel could not do it" },
	[CAUSE_OTHER_EXCEPTION] = { "other_exception", "another exception" },
	[CAUSE_NO_FINAL_OBJECT] = { "no_final_object", "no final object was named" },
	[CAUSE_NOT_A_SHAPE] = { "not_a_shape", "the final object is no shape" },
	[CAUSE_EMPTY_SHAPE] = { "empty_shape", "the shape is empty" },
	[CAUSE_WALL_LIMIT] = { "wall_limit", "out of time" },
	[CAUSE_CPU_LIMIT] = { "cpu_limit", "out of processor time" },
	[CAUSE_MEMORY_LIMIT] = { "memory_limit", "out of memory" },
	[CAUSE_OUTPUT_LIMIT] = { "output_limit", "too much output" },
	[CAUSE_PROCESS_LIMIT] = { "process_limit", "it tried to start processes" },
	[CAUSE_SHAPE_LIMIT] = { "shape_limit", "the shape is too large to measure" },
	[CAUSE_REFUSED] = { "refused", "not allowed in this dialect" },
	[CAUSE_CRASH] = { "crash", "the process crashed" },
	[CAUSE_BAD_INPUT] = { "bad_input", "the text is no program" },
	[CAUSE_BUILDER_LOST] = { "builder_lost", "the builder died: our fault" },
};

static const struct {
	const char *name, *label;
} classes[CLASS_COUNT] = {
	[CLASS_BUILD_OK] = { "build_ok", "builds" },
	[CLASS_LOW_EDITABILITY] = { "low_editability", "builds, hard to edit" },
	[CLASS_DISCONNECTED_OR_WEAK] = { "disconnected_or_weak", "builds, parts missing or loose" },
	[CLASS_SYNTAX_CLOSURE] = { "syntax_closure", "syntax, or brackets left open" },
	[CLASS_MISSING_FIXTURE] = { "missing_fixture", "no final object" },
	[CLASS_INVENTED_API] = { "invented_api", "an API that does not exist" },
	[CLASS_UNDEFINED_NAME] = { "undefined_name", "a name that is not defined" },
	[CLASS_TYPE_OR_VALUE] = { "type_or_value", "wrong type or value, or the kernel failed" },
	[CLASS_UNKNOWN_BUILD_FAILURE] = { "unknown_build_failure", "failed otherwise" },
};

const char *build_cause_name(enum build_cause c)
{
	return causes[c].name;
}

const char *build_cause_label(enum build_cause c)
{
	return causes[c].label;
}

int build_cause_parse(const char *name, enum build_cause *out)
{
	for (int i = 0; i < CAUSE_COUNT; i++)
		if (strcmp(causes[i].name, name) == 0) {
			*out = (enum build_cause)i;
			return 0;
		}
	return -1;
}

const char *build_class_name(enum build_class c)
{
	return classes[c].name;
}

const char *build_class_label(enum build_class c)
{
	return classes[c].label;
}

void limits_default(struct limits *l)
{
	*l = (struct limits){
		.wall_s = 45,
		.cpu_s = 40,
		.score_cpu_s = 10,
		.memory_mib = 2048,
		.output_kib = 512,
		.brep_mib = 256,
		.faces_max = 200000,
		.triangles_max = 5000000,
	};
}

/* The first @n characters. */
static struct text_ref head(struct text_ref t, int n)
{
	size_t at = 0;

	while (at < t.n && n-- > 0) {
		at++;
		while (at < t.n && ((unsigned char)t.p[at] & 0xc0) == 0x80)
			at++;
	}
	return (struct text_ref){ t.p, at };
}

static bool holds(struct text_ref t, const char *word)
{
	return t.n && text_has(t.p, t.n, word);
}

/* Any of @words (a NULL ends them) in what the classifier looks through. */
static bool any(const struct seed_failure_input *in, const char *const *words)
{
	struct text_ref texts[] = { in->error, in->output, in->errors, head(in->completion, 1000),
		                    head(in->code, 1000) };

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		for (int w = 0; words[w]; w++)
			if (holds(texts[i], words[w]))
				return true;
	return false;
}

static long count(struct text_ref t, char c)
{
	long n = 0;

	for (size_t i = 0; i < t.n; i++)
		n += t.p[i] == c;
	return n;
}

enum build_class seed_failure_class(const struct seed_failure_input *in)
{
	static const char *const syntax[] = { "SyntaxError", NULL };
	static const char *const api[] = { "AttributeError", "Workplane' object has no attribute",
		                           ".annulus",       ".cone",
		                           ".sphere",        NULL };
	static const char *const name[] = { "NameError", NULL };
	static const char *const value[] = { "TypeError", "ValueError",  "StdFail",
		                             "BRep_API",  "Null TopoDS", NULL };

	if (in->built)
		return in->editability < 0.65      ? CLASS_LOW_EDITABILITY
		       : in->semantic_parts < 0.45 ? CLASS_DISCONNECTED_OR_WEAK
		                                   : CLASS_BUILD_OK;
	if (any(in, syntax) || count(in->code, '(') != count(in->code, ')') ||
	    count(in->code, '[') != count(in->code, ']'))
		return CLASS_SYNTAX_CLOSURE;
	if (!seed_text_has_fixture(in->code.p ? in->code.p : "", in->code.n))
		return CLASS_MISSING_FIXTURE;
	if (any(in, api))
		return CLASS_INVENTED_API;
	if (any(in, name))
		return CLASS_UNDEFINED_NAME;
	if (any(in, value))
		return CLASS_TYPE_OR_VALUE;
	return CLASS_UNKNOWN_BUILD_FAILURE;
}

enum build_class failure_class(enum build_cause cause, double editability, double semantic_parts)
{
	switch (cause) {
	case CAUSE_OK:
		return editability < 0.65      ? CLASS_LOW_EDITABILITY
		       : semantic_parts < 0.45 ? CLASS_DISCONNECTED_OR_WEAK
		                               : CLASS_BUILD_OK;
	case CAUSE_SYNTAX:
		return CLASS_SYNTAX_CLOSURE;
	case CAUSE_NAME:
		return CLASS_UNDEFINED_NAME;
	case CAUSE_ATTRIBUTE:
		return CLASS_INVENTED_API;
	case CAUSE_TYPE:
	case CAUSE_VALUE:
	case CAUSE_KERNEL_ERROR:
	case CAUSE_EMPTY_SHAPE:
		return CLASS_TYPE_OR_VALUE;
	case CAUSE_NO_FINAL_OBJECT:
	case CAUSE_NOT_A_SHAPE:
		return CLASS_MISSING_FIXTURE;
	default:
		return CLASS_UNKNOWN_BUILD_FAILURE;
	}
}

/* The last line of @t (which shrinks by it), without blanks at its ends. */
static struct text_ref last_line(struct text_ref *t)
{
	const char *nl = memrchr(t->p, '\n', t->n);
	size_t begin = nl ? (size_t)(nl - t->p) + 1 : 0, at, len;

	text_strip(t->p + begin, t->n - begin, &at, &len);
	struct text_ref line = { t->p + begin + at, len };
	t->n = nl ? begin - 1 : 0;
	return line;
}

struct text_ref seed_error_line(struct text_ref stderr_text)
{
	static const char *const words[] = { "Error",          "Exception",   "Traceback",
		                             "NameError",      "TypeError",   "ValueError",
		                             "AttributeError", "ImportError", "RuntimeError" };
	struct text_ref rest = stderr_text, last = { 0 };

	while (rest.n) {
		struct text_ref line = last_line(&rest);
		if (line.n == 0)
			continue;
		if (!last.p)
			last = line;
		for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
			if (holds(line, words[i]))
				return head(line, 500);
	}
	return head(last, 500);
}

void seed_stderr(struct buf *out, const char *exception, const char *message, const char *traceback)
{
	size_t start = out->len;

	if (traceback && *traceback) {
		buf_adds(out, traceback);
		if (!buf_failed(out) && out->data[out->len - 1] != '\n')
			buf_addc(out, '\n');
	}
	if (!exception || !*exception || buf_failed(out))
		return;
	/* A traceback as Python prints it ends with the type, qualified by its module or not. */
	if (out->len > start) {
		struct text_ref text = { out->data + start, out->len - start };
		while (text.n) {
			const char *nl = memrchr(text.p, '\n', text.n);
			struct text_ref line = last_line(&text);
			/* Lines of a message are not indented as those of a traceback are; the type
			 * stands on the first of them. */
			const char *first = nl ? nl + 1 : out->data + start;
			if (line.n && *first != ' ' && holds(line, exception))
				return;
			if (line.n && *first == ' ')
				break;
		}
	}
	buf_adds(out, exception);
	if (message && *message)
		buf_printf(out, ": %s", message);
	buf_addc(out, '\n');
}
