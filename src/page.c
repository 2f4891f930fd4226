#include "src/page.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/repair.h"
#include "src/base/linediff.h"
#include "src/base/utf8.h"

const struct page_term page_terms[PAGE_TERMS] = {
	{ "build", "build" },
	{ "topology", "topology" },
	{ "contact", "contact" },
	{ "semantic_parts", "semantic parts" },
	{ "reference_similarity", "reference similarity" },
	{ "silhouette", "silhouette" },
	{ "editability", "editability" },
	{ "efficiency", "efficiency" },
};

static const cJSON *get(const cJSON *o, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(o, key);
}

/* ---- what both forms say ---- */

double page_total(const struct page_turn *t)
{
	return json_number_or(get(t->score, "reward"), "total", NAN);
}

bool page_built(const struct page_turn *t)
{
	return cJSON_IsTrue(get(get(t->score, "build"), "ok"));
}

static void figure(struct buf *out, double v, int digits)
{
	if (isnan(v))
		buf_adds(out, "-");
	else
		buf_printf(out, "%.*f", digits, v);
}

void page_error_line(struct buf *out, const cJSON *build)
{
	double line = json_number_or(build, "line", 0);
	const char *exception = json_string_or(build, "exception", "");
	const char *error = json_string_or(build, "error", json_string_or(build, "cause", ""));
	char where[32];

	/* most errors say both themselves */
	snprintf(where, sizeof(where), "line %.0f: ", line);
	if (line >= 1 && !strstr(error, where))
		buf_adds(out, where);
	if (*exception && !strstr(error, exception))
		buf_printf(out, "%s: ", exception);
	buf_adds(out, error);
}

void page_box_line(struct buf *out, const cJSON *geometry)
{
	double box[3], solids = json_number_or(geometry, "solids", NAN),
		       volume = json_number_or(geometry, "volume_mm3", NAN);

	if (!cJSON_IsObject(geometry) || json_get_numbers(geometry, "bbox_mm", box, 3, NULL) < 0)
		return;
	buf_printf(out, "%.0f solid%s, %.0f faces; %.2f x %.2f x %.2f mm; volume %.0f mm3", solids,
	           solids == 1 ? "" : "s", json_number_or(geometry, "faces", NAN), box[0], box[1],
	           box[2], volume);
}

/* "+0.123", or "-" */
static void change(struct buf *out, double v)
{
	if (isnan(v))
		buf_adds(out, "-");
	else
		buf_printf(out, "%+.4f", v);
}

/* ---- Markdown ---- */

/* Text that stays text: on one line, marks escaped. */
static void md_text(struct buf *out, const char *text)
{
	struct buf clean = { 0 };

	utf8_clean_line(&clean, text, strlen(text));
	for (const char *p = buf_str(&clean), *begin = p; *p; p++) {
		/* an underscore within a word is a letter */
		bool inside = *p == '_' && p > begin && isalnum((unsigned char)p[-1]) &&
		              isalnum((unsigned char)p[1]);
		if (strchr("\\`*_[]<>|&~$", *p) && !inside)
			buf_addc(out, '\\');
		buf_addc(out, *p);
	}
	buf_release(&clean);
}

static void md_value(struct buf *out, const cJSON *v)
{
	struct buf text = { 0 };

	repair_value(&text, v);
	md_text(out, buf_str(&text));
	buf_release(&text);
}

/* A block of code between fences longer than any in it. */
static void md_code(struct buf *out, const char *language, const char *text, size_t len)
{
	struct buf clean = { 0 };
	int longest = 2, run = 0;

	utf8_clean(&clean, text, len);
	for (size_t i = 0; i < clean.len; i++) {
		run = clean.data[i] == '`' ? run + 1 : 0;
		longest = run > longest ? run : longest;
	}
	for (int i = 0; i <= longest; i++)
		buf_addc(out, '`');
	buf_printf(out, "%s\n", language);
	buf_add(out, clean.data, clean.len);
	if (clean.len > 0 && clean.data[clean.len - 1] != '\n')
		buf_addc(out, '\n');
	for (int i = 0; i <= longest; i++)
		buf_addc(out, '`');
	buf_adds(out, "\n\n");
	buf_release(&clean);
}

static void md_heading(struct buf *out, int level, const char *text)
{
	for (int i = 0; i < level; i++)
		buf_addc(out, '#');
	buf_printf(out, " %s\n\n", text);
}

static void md_terms(struct buf *out, const cJSON *reward, const cJSON *delta, int level)
{
	bool changed = cJSON_IsObject(delta), any = false;

	/* of a program that was not built there is the total alone, and the heading has it */
	for (int i = 0; i < PAGE_TERMS; i++)
		any = any || !isnan(json_number_or(reward, page_terms[i].name, NAN));
	if (!any)
		return;

	md_heading(out, level, "Reward");
	buf_printf(out, "| term | value |%s\n| --- | ---: |%s\n",
	           changed ? " against the parent |" : "", changed ? " ---: |" : "");
	for (int i = 0; i < PAGE_TERMS; i++) {
		buf_printf(out, "| %s | ", page_terms[i].label);
		figure(out, json_number_or(reward, page_terms[i].name, NAN), 3);
		if (changed) {
			buf_adds(out, " | ");
			change(out, json_number_or(delta, page_terms[i].name, NAN));
		}
		buf_adds(out, " |\n");
	}
	buf_adds(out, "| **total** | **");
	figure(out, json_number_or(reward, "total", NAN), 4);
	buf_adds(out, "**");
	if (changed) {
		buf_adds(out, " | ");
		change(out, json_number_or(delta, "total", NAN));
	}
	buf_adds(out, " |\n\n");
}

static void md_checks(struct buf *out, const cJSON *checks, int level)
{
	const cJSON *c;

	if (cJSON_GetArraySize(checks) == 0)
		return;
	md_heading(out, level, "Checks");
	buf_adds(out, "| check | holds | wanted | got | |\n| --- | --- | --- | --- | --- |\n");
	cJSON_ArrayForEach(c, checks)
	{
		const cJSON *ok = get(c, "ok");
		buf_adds(out, "| ");
		md_text(out, json_string_or(c, "id", "?"));
		buf_printf(out, " | %s | ",
		           cJSON_IsTrue(ok)    ? "yes"
		           : cJSON_IsFalse(ok) ? "**no**"
		                               : "-");
		md_value(out, get(c, "want"));
		buf_adds(out, " | ");
		md_value(out, get(c, "got"));
		buf_adds(out, " | ");
		md_text(out, json_string_or(c, cJSON_IsFalse(ok) ? "why" : "about", ""));
		buf_adds(out, " |\n");
	}
	buf_addc(out, '\n');
}

static void md_notes(struct buf *out, const cJSON *notes, int level)
{
	const cJSON *note;

	if (cJSON_GetArraySize(notes) == 0)
		return;
	md_heading(out, level, "Notes");
	cJSON_ArrayForEach(note, notes)
	{
		buf_adds(out, "- ");
		md_text(out, cJSON_IsString(note) ? note->valuestring : "");
		buf_addc(out, '\n');
	}
	buf_addc(out, '\n');
}

static void md_outcome(struct buf *out, const struct page_turn *t)
{
	const cJSON *build = get(t->score, "build");
	struct buf line = { 0 };

	if (page_built(t)) {
		buf_adds(out, "Built");
		page_box_line(&line, get(t->score, "geometry"));
		buf_adds(out, line.len ? ": " : "");
	} else {
		buf_adds(out, "Not built");
		page_error_line(&line, build);
		buf_adds(out, line.len ? ": " : "");
	}
	md_text(out, buf_str(&line));
	bool ends = line.len > 0 && strchr(".?!", line.data[line.len - 1]);
	buf_adds(out, ends ? " Class: " : ". Class: ");
	md_text(out, json_string_or(build, "class", "-"));
	buf_adds(out, ".\n\n");
	buf_release(&line);
}

/* What is long and not the point is folded: forges know <details>. */
static void md_fold(struct buf *out, const char *summary)
{
	buf_adds(out, "<details><summary>");
	md_text(out, summary);
	buf_adds(out, "</summary>\n\n");
}

static void md_unfold(struct buf *out)
{
	buf_adds(out, "</details>\n\n");
}

static const char *content_of(const cJSON *messages, int i)
{
	return json_string_or(cJSON_GetArrayItem(messages, i), "content", "");
}

/* Bytes of whole lines with which both begin. */
static size_t shared_lines(const char *a, const char *b)
{
	size_t n = 0, line = 0;

	for (; a[n] && a[n] == b[n]; n++)
		if (a[n] == '\n')
			line = n + 1;
	return !a[n] && (!b[n] || b[n] == '\n') ? n : line;
}

/* @first: the turn whose prompt was shown before; NULL: none was. */
static void md_prompt(struct buf *out, const struct page_turn *t, const struct page_turn *first,
                      int level)
{
	int n = cJSON_GetArraySize(t->prompt);
	bool again = first && cJSON_GetArraySize(first->prompt) == n;

	if (n == 0)
		return;
	md_heading(out, level, "Prompt");
	for (int i = 0; i < n; i++) {
		const cJSON *m = cJSON_GetArrayItem(t->prompt, i);
		const char *said = content_of(t->prompt, i), *role = json_string_or(m, "role", "?");
		size_t head = again ? shared_lines(content_of(first->prompt, i), said) : 0;
		struct buf title = { 0 };
		if (head == 0) {
			buf_printf(&title, "%s, %zu bytes", role, strlen(said));
		} else if (!said[head]) {
			md_text(out, role);
			buf_printf(out, ": as in turn %d.\n\n", first->number);
			continue;
		} else {
			buf_printf(&title, "%s: as in turn %d, then %zu bytes", role, first->number,
			           strlen(said + head));
			said += head + strspn(said + head, "\n");
		}
		md_fold(out, buf_str(&title));
		md_code(out, "", said, strlen(said));
		md_unfold(out);
		buf_release(&title);
	}
}

/* What a repair changed; all of it below, folded. */
static void md_program(struct buf *out, const struct page_turn *t, const struct page_turn *parent,
                       int level)
{
	struct buf diff = { 0 };
	struct linediff count;
	char a[32], b[32], title[80];

	snprintf(a, sizeof(a), "turn %d", parent ? parent->number : 0);
	snprintf(b, sizeof(b), "turn %d", t->number);
	md_heading(out, level, "Program");
	if (!parent || !parent->program_len || !t->program_len ||
	    linediff(&diff, parent->program, parent->program_len, a, t->program, t->program_len, b,
	             3, &count, NULL) < 0) {
		md_code(out, "python", t->program ? t->program : "", t->program_len);
	} else if (diff.len == 0) {
		buf_printf(out, "The same as in turn %d.\n\n", parent->number);
	} else {
		buf_printf(out, "Against turn %d, %d line%s came and %d went:\n\n", parent->number,
		           count.added, count.added == 1 ? "" : "s", count.removed);
		md_code(out, "diff", buf_str(&diff), diff.len);
		snprintf(title, sizeof(title), "all of it, %zu bytes", t->program_len);
		md_fold(out, title);
		md_code(out, "python", t->program, t->program_len);
		md_unfold(out);
	}
	buf_release(&diff);
}

/* A name that may stand in a link as it is. */
static bool plain(const char *name)
{
	return *name && strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	                             "0123456789._-") == strlen(name);
}

static void md_files(struct buf *out, const struct page_turn *t)
{
	const cJSON *a;
	int n = 0;

	if (!t->folder)
		return;
	cJSON_ArrayForEach(a, t->artifacts)
	{
		const char *name = json_string_or(a, "name", "");
		if (json_bool_or(a, "there", false) && plain(name))
			buf_printf(out, "%s[%s](%s/%s)", n++ ? ", " : "Files: ", name, t->folder,
			           name);
	}
	buf_adds(out, n ? ".\n\n" : "");
}

static void md_judgements(struct buf *out, const char *lines, int level)
{
	if (!lines || !*lines)
		return;
	md_heading(out, level, "Judgements");
	while (*lines) {
		size_t n = strcspn(lines, "\n");
		char *line = strndup(lines, n);
		buf_adds(out, "- ");
		md_text(out, line ? line : "");
		buf_addc(out, '\n');
		free(line);
		lines += n + (lines[n] == '\n');
	}
	buf_addc(out, '\n');
}

static void md_origin(struct buf *out, const struct page_turn *t)
{
	if (!t->source && !t->finish && !t->model)
		return;
	buf_adds(out, "From: ");
	md_text(out, t->source ? t->source : "not known");
	if (t->model) {
		buf_adds(out, ", ");
		md_text(out, t->model);
	}
	if (t->finish) {
		buf_adds(out, "; the answer ended with ");
		md_text(out, t->finish);
	}
	buf_adds(out, ".\n\n");
}

/* All below the heading. @parent, @first: as above. */
static void md_turn(struct buf *out, const struct page_turn *t, const struct page_turn *parent,
                    const struct page_turn *first, int level)
{
	if (t->parent > 0 && parent)
		buf_printf(out, "A repair of [turn %d](#turn-%d). ", t->parent, t->parent);
	else if (t->parent > 0)
		buf_printf(out, "A repair of turn %d. ", t->parent);
	md_outcome(out, t);
	md_origin(out, t);
	if (t->sheet_name)
		buf_printf(out, "![views of the part](%s)\n\n", t->sheet_name);
	md_terms(out, get(t->score, "reward"), get(t->score, "delta"), level + 1);
	md_checks(out, get(t->score, "checks"), level + 1);
	md_notes(out, get(t->score, "notes"), level + 1);
	md_judgements(out, t->judgements, level + 1);
	md_program(out, t, parent, level + 1);
	if (t->log_len > 0) {
		md_heading(out, level + 1, "Log");
		md_code(out, "", t->log, t->log_len);
	}
	md_prompt(out, t, first, level + 1);
	md_files(out, t);
}

void page_turn_markdown(struct buf *out, const struct page_turn *t, int level)
{
	struct buf title = { 0 };

	if (t->number > 0)
		buf_printf(&title, "Turn %d: total ", t->number);
	else
		buf_adds(&title, "Total ");
	figure(&title, page_total(t), 4);
	md_heading(out, level, buf_str(&title));
	buf_release(&title);
	md_turn(out, t, NULL, NULL, level);
}

const struct page_turn *page_turn_in(const struct page_episode *ep, int number)
{
	for (int i = 0; i < ep->n_turns; i++)
		if (ep->turns[i].number == number)
			return &ep->turns[i];
	return NULL;
}

/* The best turn from one side, ahead of all words. */
static void md_best_picture(struct buf *out, const struct page_episode *ep)
{
	const struct page_turn *t = ep->best ? page_turn_in(ep, ep->best) : NULL;
	const cJSON *a;

	if (!t || !t->folder)
		return;
	cJSON_ArrayForEach(
		a, t->artifacts) if (strcmp(json_string_or(a, "name", ""), "isometric.png") == 0 &&
	                             json_bool_or(a, "there", false))
		buf_printf(out, "![the best turn](%s/isometric.png)\n\n", t->folder);
}

void page_markdown(struct buf *out, const struct page_episode *ep)
{
	buf_adds(out, "# ");
	md_text(out, ep->task);
	buf_adds(out, "\n\n");
	if (ep->prompt) {
		buf_adds(out, "> ");
		md_text(out, ep->prompt);
		buf_adds(out, "\n\n");
	}
	if (ep->level && ep->family)
		buf_printf(out, "Level %s, family %s. ", ep->level, ep->family);
	buf_adds(out, "Profile ");
	md_text(out, ep->profile);
	if (ep->prompts) {
		buf_adds(out, ", prompts ");
		md_text(out, ep->prompts);
	}
	if (ep->when)
		buf_printf(out, ", %s", ep->when);
	buf_adds(out, ".");
	if (ep->end) {
		buf_adds(out, " Ended: ");
		md_text(out, ep->end);
		buf_adds(out, ".");
	}
	buf_adds(out, "\n\n");
	md_best_picture(out, ep);
	buf_adds(out, "| turn | parent | total | against the parent | class |\n"
	              "| ---: | ---: | ---: | ---: | --- |\n");
	for (int i = 0; i < ep->n_turns; i++) {
		const struct page_turn *t = &ep->turns[i];
		buf_printf(out,
		           t->number == ep->best ? "| **[%d](#turn-%d)** | "
		                                 : "| [%d](#turn-%d) | ",
		           t->number, t->number);
		if (t->parent > 0)
			buf_printf(out, "[%d](#turn-%d) | ", t->parent, t->parent);
		else
			buf_adds(out, "- | ");
		figure(out, page_total(t), 4);
		buf_adds(out, " | ");
		change(out, json_number_or(get(t->score, "delta"), "total", NAN));
		buf_adds(out, " | ");
		md_text(out, json_string_or(get(t->score, "build"), "class", "-"));
		buf_adds(out, " |\n");
	}
	buf_addc(out, '\n');
	const struct page_turn *first = NULL;
	for (int i = 0; i < ep->n_turns; i++) {
		const struct page_turn *t = &ep->turns[i];
		double delta = json_number_or(get(t->score, "delta"), "total", NAN);
		/* nothing else in the heading: #turn-2 leads to it on every forge */
		buf_printf(out, "## Turn %d\n\n**Total ", t->number);
		figure(out, page_total(t), 4);
		buf_adds(out, "**");
		if (!isnan(delta))
			buf_printf(out, ", %+.4f against turn %d", delta, t->parent);
		buf_adds(out, t->number == ep->best ? ", the best. " : ". ");
		md_turn(out, t, t->parent > 0 ? page_turn_in(ep, t->parent) : NULL, first, 2);
		if (!first && cJSON_GetArraySize(t->prompt) > 0)
			first = t;
	}
}
