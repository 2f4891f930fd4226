#include "src/episode_page.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/repair.h"
#include "src/base/base64.h"
#include "src/base/linediff.h"
#include "src/base/sha256.h"
#include "src/base/utf8.h"
#include "src/page_css.h"
#include "src/page_js.h"
#include "src/viewer_js.h"

static const cJSON *get(const cJSON *o, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(o, key);
}

/* ---- texts ---- */

/* What is clean already, with the marks of HTML escaped; a quotation mark too: it may stand in an
 * attribute between double ones. */
static void escape(struct buf *out, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		switch (text[i]) {
		case '&':
			buf_adds(out, "&amp;");
			break;
		case '<':
			buf_adds(out, "&lt;");
			break;
		case '>':
			buf_adds(out, "&gt;");
			break;
		case '"':
			buf_adds(out, "&quot;");
			break;
		default:
			buf_addc(out, text[i]);
		}
	}
}

/* A text of many lines. */
static void block(struct buf *out, const char *text, size_t len)
{
	struct buf clean = { 0 };

	utf8_clean(&clean, text, len);
	escape(out, buf_str(&clean), clean.len);
	buf_release(&clean);
}

static void words_n(struct buf *out, const char *text, size_t len)
{
	struct buf clean = { 0 };

	utf8_clean_line(&clean, text, len);
	escape(out, buf_str(&clean), clean.len);
	buf_release(&clean);
}

static void words(struct buf *out, const char *text)
{
	words_n(out, text, strlen(text));
}

static void value(struct buf *out, const cJSON *v)
{
	struct buf text = { 0 };

	repair_value(&text, v);
	words(out, buf_str(&text));
	buf_release(&text);
}

/* A minus sign that is as wide as a plus. */
static void figure(struct buf *out, const char *fmt, double v)
{
	char text[64];

	if (isnan(v)) {
		buf_adds(out, "–");
		return;
	}
	snprintf(text, sizeof(text), fmt, v);
	buf_adds(out, text[0] == '-' ? "−" : "");
	buf_adds(out, text + (text[0] == '-'));
}

/* With the sign for eyes that see no colour. */
static void change(struct buf *out, double v, const char *fmt)
{
	if (isnan(v))
		return;
	buf_printf(out, "<span class=\"num %s\">", v > 0 ? "good" : v < 0 ? "bad" : "faint");
	figure(out, v == 0 ? "±0" : fmt, v);
	buf_adds(out, "</span>");
}

static void bytes(struct buf *out, size_t n)
{
	if (n < 10000)
		buf_printf(out, "%zu bytes", n);
	else if (n < 1000000)
		buf_printf(out, "%.0f kB", (double)n / 1e3);
	else
		buf_printf(out, "%.1f MB", (double)n / 1e6);
}

static size_t count_lines(const char *text, size_t len)
{
	size_t n = len > 0 && text[len - 1] != '\n';

	for (size_t i = 0; i < len; i++)
		n += text[i] == '\n';
	return n;
}

static const char *plural(double n)
{
	return n == 1 ? "" : "s";
}

/* ---- the head: what may run, and style and scripts ---- */

static void add_hash(struct buf *out, const unsigned char *text)
{
	struct sha256 sum;
	unsigned char digest[SHA256_BYTES];

	sha256_start(&sum);
	sha256_add(&sum, text, strlen((const char *)text));
	sha256_end(&sum, digest);
	buf_adds(out, "'sha256-");
	base64_add(out, digest, sizeof(digest));
	buf_adds(out, "'");
}

static void head(struct buf *out, const struct page_episode *ep)
{
	buf_adds(out, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
	              "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
	              "img-src data:; base-uri 'none'; form-action 'none'; style-src ");
	add_hash(out, page_css);
	buf_adds(out, "; script-src ");
	add_hash(out, viewer_js);
	buf_addc(out, ' ');
	add_hash(out, page_js);
	buf_adds(out, "\">\n<meta name=\"viewport\" content=\"width=device-width, "
	              "initial-scale=1\">\n<meta name=\"referrer\" content=\"no-referrer\">\n"
	              "<meta name=\"generator\" content=\"cadforge\">\n<title>");
	words(out, ep->task);
	buf_adds(out, "</title>\n<style>");
	buf_adds(out, (const char *)page_css);
	buf_adds(out, "</style>\n</head>\n<body>\n");
}

static void introduce(struct buf *out, const struct page_episode *ep)
{
	buf_adds(out, "<header>\n<p class=\"eyebrow\">CADForge episode");
	if (ep->level) {
		buf_adds(out, " · level ");
		words(out, ep->level);
	}
	if (ep->family) {
		buf_adds(out, " · ");
		words(out, ep->family);
	}
	buf_adds(out, "</p>\n<h1>");
	words(out, ep->task);
	buf_adds(out, "</h1>\n");
	if (ep->prompt) {
		buf_adds(out, "<p class=\"prompt\">");
		block(out, ep->prompt, strlen(ep->prompt));
		buf_adds(out, "</p>\n");
	}
	buf_printf(out, "<p class=\"about\">%d turn%s · profile ", ep->n_turns,
	           plural(ep->n_turns));
	words(out, ep->profile);
	if (ep->prompts) {
		buf_adds(out, " · prompts ");
		words(out, ep->prompts);
	}
	if (ep->when) {
		buf_adds(out, " · ");
		words(out, ep->when);
	}
	if (ep->end) {
		buf_adds(out, " · ended: ");
		words(out, ep->end);
	}
	buf_adds(out, "</p>\n<noscript><p class=\"about\">Scripts are off: all turns stand below, "
	              "and pictures stand for the 3D view.</p></noscript>\n</header>\n");
}

static const char *class_of(const struct page_turn *t)
{
	return json_string_or(get(t->score, "build"), "class", "");
}

/* One link a turn, to go by. */
static void strip(struct buf *out, const struct page_episode *ep)
{
	buf_adds(out, "<nav class=\"turns\" aria-label=\"Turns\"><div>\n"
	              "<button id=\"previous\" class=\"scripted\" type=\"button\" "
	              "title=\"the turn before (left arrow)\">‹ Previous</button>\n<ol>\n");
	for (int i = 0; i < ep->n_turns; i++) {
		const struct page_turn *t = &ep->turns[i];
		bool ok = page_built(t);
		buf_printf(out, "<li><a href=\"#turn-%d\"><b>Turn %d%s</b><span class=\"sum\">",
		           t->number, t->number, t->number == ep->best ? " · best" : "");
		figure(out, "%.3f", page_total(t));
		buf_printf(out, "</span> <span class=\"how %s\" title=\"", ok ? "good" : "bad");
		words(out, class_of(t));
		buf_printf(out, "\">%s</span></a></li>\n", ok ? "✓ built" : "✗ failed");
	}
	buf_adds(out,
	         "</ol>\n<button id=\"next\" class=\"scripted\" type=\"button\" "
	         "title=\"the next turn (right arrow)\">Next ›</button>\n"
	         "<button id=\"all\" class=\"scripted\" type=\"button\" aria-pressed=\"false\" "
	         "title=\"all turns, one under the other\">All turns</button>\n"
	         "<button id=\"theme\" class=\"scripted\" type=\"button\" title=\"light or dark\" "
	         "aria-label=\"light or dark\">◐</button>\n</div></nav>\n");
}

/* ---- the part ---- */

static void save_name(struct buf *out, const struct page_episode *ep, const struct page_turn *t)
{
	/* of a file: of a task's name only what is plain everywhere */
	for (const char *p = ep->task; *p && p - ep->task < 80; p++)
		buf_addc(out, strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		                     "0123456789_-",
		                     *p)
		                      ? *p
		                      : '-');
	buf_printf(out, "-turn-%d.glb", t->number);
}

/* The turn whose GLB this one shows: equal parts are in the file once. */
static int glb_turn(const struct page_episode *ep, const struct episode_view *view, int i)
{
	for (int k = 0; k < i; k++)
		if (view[k].glb.len == view[i].glb.len &&
		    memcmp(view[k].glb.data, view[i].glb.data, view[i].glb.len) == 0)
			return ep->turns[k].number;
	return ep->turns[i].number;
}

static void looks(struct buf *out, const struct page_episode *ep, const struct episode_view *view,
                  int i)
{
	const struct page_turn *t = &ep->turns[i];
	const struct episode_view *v = &view[i];

	buf_adds(out, "<div class=\"look\">\n");
	if (!v->glb.len) {
		buf_adds(out, "<p class=\"none\">No 3D view. ");
		words(out, v->why);
		buf_adds(out, "</p>\n");
	} else {
		buf_adds(out, "<p class=\"none noview\" hidden>No 3D view: this browser draws no "
		              "WebGL. The pictures stand for it.</p>\n");
	}
	if (v->n > 0) {
		buf_adds(out, "<div class=\"pictures\">\n");
		for (int k = 0; k < v->n; k++) {
			const struct episode_picture *p = &v->picture[k];
			buf_adds(out, "<figure><img loading=\"lazy\" alt=\"");
			words(out, p->name);
			buf_printf(out, " of the part of turn %d\" src=\"data:image/png;base64,",
			           t->number);
			base64_add(out, p->png.data, p->png.len);
			buf_adds(out, "\"><figcaption>");
			words(out, p->name);
			buf_adds(out, "</figcaption></figure>\n");
		}
		buf_adds(out, "</div>\n");
	}
	if (v->glb.len) {
		int of = glb_turn(ep, view, i);
		if (of != t->number) {
			buf_printf(out,
			           "<p class=\"save faint\">The same part as in <a "
			           "href=\"#turn-%d\">turn %d</a>.</p>\n",
			           of, of);
		} else {
			buf_printf(out, "<a class=\"save\" id=\"glb-%d\" download=\"", t->number);
			save_name(out, ep, t);
			buf_adds(out, "\" href=\"data:model/gltf-binary;base64,");
			base64_add(out, v->glb.data, v->glb.len);
			buf_adds(out, "\">Save the part as GLB (");
			bytes(out, v->glb.len);
			buf_adds(out, ")</a>\n");
		}
	}
	buf_adds(out, "</div>\n");
}

/* ---- reward, checks, notes, judgements ---- */

/* The value from 0 on, and a line where the turn before had it. Values are -1 to 1, and mostly 0 to
 * 1: what is below has its length in another colour. */
static void bar(struct buf *out, double v, double was)
{
	double w = isnan(v) ? 0 : fmin(fabs(v), 1) * 100;

	buf_printf(out,
	           "<svg viewBox=\"0 0 100 12\" preserveAspectRatio=\"none\" aria-hidden=\"true\">"
	           "<rect class=\"rest\" y=\"2\" width=\"100\" height=\"8\" rx=\"1\"/>"
	           "<rect class=\"value%s\" y=\"2\" width=\"%.2f\" height=\"8\" rx=\"1\"/>",
	           v < 0 ? " neg" : "", w);
	if (!isnan(was) && !isnan(v) && fabs(was - v) > 1e-9)
		buf_printf(out, "<line class=\"was\" x1=\"%.2f\" x2=\"%.2f\" y1=\"0\" y2=\"12\"/>",
		           fmin(fmax(was, 0), 1) * 100, fmin(fmax(was, 0), 1) * 100);
	buf_adds(out, "</svg>");
}

static void bar_row(struct buf *out, const char *label, double v, double delta, bool changed,
                    bool total)
{
	buf_printf(out, "<tr%s><td>%s</td><td class=\"bar\">", total ? " class=\"total\"" : "",
	           label);
	if (!isnan(v))
		bar(out, v, v - delta);
	buf_adds(out, "</td><td class=\"num now\">");
	figure(out, total ? "%.4f" : "%.3f", v);
	if (changed) {
		buf_adds(out, "</td><td class=\"num now\">");
		change(out, delta, "%+.3f");
	}
	buf_adds(out, "</td></tr>\n");
}

static bool has_terms(const struct page_turn *t)
{
	for (int i = 0; i < PAGE_TERMS; i++)
		if (!isnan(json_number_or(get(t->score, "reward"), page_terms[i].name, NAN)))
			return true;
	return !isnan(page_total(t));
}

static void reward(struct buf *out, const struct page_turn *t)
{
	const cJSON *now = get(t->score, "reward"), *delta = get(t->score, "delta");
	bool changed = cJSON_IsObject(delta), terms = false;

	buf_adds(out, "<h3>Reward</h3>\n");
	if (!has_terms(t)) {
		buf_adds(out, "<p class=\"faint\">None was given.</p>\n");
		return;
	}
	buf_adds(out, "<table class=\"bars\">\n<tr><th>term</th><th></th><th class=\"num\">value");
	buf_adds(out, changed ? "</th><th class=\"num\">change</th></tr>\n" : "</th></tr>\n");
	for (int i = 0; i < PAGE_TERMS; i++) {
		double v = json_number_or(now, page_terms[i].name, NAN);
		terms = terms || !isnan(v);
	}
	for (int i = 0; terms && i < PAGE_TERMS; i++)
		bar_row(out, page_terms[i].label, json_number_or(now, page_terms[i].name, NAN),
		        json_number_or(delta, page_terms[i].name, NAN), changed, false);
	bar_row(out, "total", page_total(t), json_number_or(delta, "total", NAN), changed, true);
	buf_adds(out, "</table>\n");
	if (changed)
		buf_printf(out,
		           "<p class=\"from\">The line across a bar is where turn %d was.</p>\n",
		           t->parent);
}

static void checks(struct buf *out, const cJSON *list)
{
	const cJSON *c;
	int n = 0, held = 0;

	cJSON_ArrayForEach(c, list)
	{
		n += cJSON_IsBool(get(c, "ok"));
		held += cJSON_IsTrue(get(c, "ok"));
	}
	if (cJSON_GetArraySize(list) == 0)
		return;
	buf_printf(out,
	           "<h3>Checks · %d of %d hold</h3>\n<div class=\"wide\"><table class=\"checks\">\n"
	           "<tr><th>check</th><th>holds</th><th>wanted</th><th>got</th><th></th></tr>\n",
	           held, n);
	cJSON_ArrayForEach(c, list)
	{
		const cJSON *ok = get(c, "ok");
		buf_adds(out, "<tr><td>");
		words(out, json_string_or(c, "id", "?"));
		buf_printf(out, "</td><td class=\"state%s</td><td>",
		           cJSON_IsTrue(ok)    ? " good\">✓ yes"
		           : cJSON_IsFalse(ok) ? " bad\">✗ no"
		                               : "\">–");
		value(out, get(c, "want"));
		buf_adds(out, "</td><td>");
		value(out, get(c, "got"));
		buf_adds(out, "</td><td class=\"faint\">");
		words(out, json_string_or(c, cJSON_IsFalse(ok) ? "why" : "about", ""));
		buf_adds(out, "</td></tr>\n");
	}
	buf_adds(out, "</table></div>\n");
}

static void notes(struct buf *out, const cJSON *list)
{
	const cJSON *note;

	if (cJSON_GetArraySize(list) == 0)
		return;
	buf_adds(out, "<h3>Notes</h3>\n<ul class=\"notes\">\n");
	cJSON_ArrayForEach(note, list)
	{
		buf_adds(out, "<li>");
		words(out, cJSON_IsString(note) ? note->valuestring : "");
		buf_adds(out, "</li>\n");
	}
	buf_adds(out, "</ul>\n");
}

static void judgements(struct buf *out, const char *lines)
{
	if (!lines || !*lines)
		return;
	buf_adds(out, "<h3>Judgements</h3>\n<ul class=\"notes judgements\">\n");
	while (*lines) {
		size_t n = strcspn(lines, "\n");
		buf_adds(out, "<li>");
		words_n(out, lines, n);
		buf_adds(out, "</li>\n");
		lines += n + (lines[n] == '\n');
	}
	buf_adds(out, "</ul>\n");
}

/* ---- program, log, prompt ---- */

/* The changes alone, three lines about each, with the numbers of both sides. */
static void diff_lines(struct buf *out, const struct buf *unified)
{
	struct buf clean = { 0 };
	int a = 0, b = 0, header = 2;

	utf8_clean(&clean, unified->data, unified->len);
	buf_adds(out, "<pre class=\"lines diff\">");
	for (const char *p = buf_str(&clean); *p;) {
		size_t n = strcspn(p, "\n");
		char no_a[16] = "    ", no_b[16] = "    ";
		const char *kind = "";
		if (header > 0) {
			header--;
			goto next;
		}
		if (*p == '@') {
			sscanf(p, "@@ -%d%*[^+]+%d", &a, &b);
			kind = " class=\"hunk\"";
		} else {
			if (*p == ' ' || *p == '-')
				snprintf(no_a, sizeof(no_a), "%4d", a++);
			if (*p == ' ' || *p == '+')
				snprintf(no_b, sizeof(no_b), "%4d", b++);
			kind = *p == '+' ? " class=\"add\"" : *p == '-' ? " class=\"del\"" : "";
		}
		buf_printf(out, "<span%s data-a=\"%s\" data-b=\"%s\">", kind, no_a, no_b);
		escape(out, p, n);
		buf_adds(out, "\n</span>");
	next:
		p += n + (p[n] == '\n');
	}
	buf_adds(out, "</pre>");
	buf_release(&clean);
}

/* Whether the program is seen without opening it: there is no difference to be seen before it. */
static bool difference(struct buf *out, const struct page_turn *t, const struct page_turn *parent)
{
	struct buf unified = { 0 };
	struct linediff count;
	char a[32], b[32];

	if (!parent || !parent->program_len || !t->program_len)
		return true;
	snprintf(a, sizeof(a), "turn %d", parent->number);
	snprintf(b, sizeof(b), "turn %d", t->number);
	if (linediff(&unified, parent->program, parent->program_len, a, t->program, t->program_len,
	             b, 3, &count, NULL) < 0) {
		buf_release(&unified);
		return true;
	}
	buf_printf(out,
	           "<details open class=\"difference\"><summary>Difference to turn %d <span "
	           "class=\"faint\">· ",
	           parent->number);
	if (unified.len == 0) {
		buf_adds(out, "none: the program is the same</span></summary></details>\n");
		buf_release(&unified);
		return true;
	}
	buf_printf(out, "%d line%s came, %d went</span></summary>", count.added,
	           plural(count.added), count.removed);
	diff_lines(out, &unified);
	buf_adds(out, "</details>\n");
	buf_release(&unified);
	return false;
}

/* The line of the program at which its build ended; 0: none is known, or it has no such line. */
static long fault_line(const struct page_turn *t)
{
	double line = page_built(t) ? 0 : json_number_or(get(t->score, "build"), "line", 0);

	return line >= 1 && t->program && line <= (double)count_lines(t->program, t->program_len)
	               ? (long)line
	               : 0;
}

static void program(struct buf *out, const struct page_turn *t, bool open)
{
	struct buf clean = { 0 };
	long error = fault_line(t), line = 0;

	if (!t->program || t->program_len == 0) {
		buf_adds(out, "<p class=\"from\">No program is stored: the answer had none, or it "
		              "was pruned.</p>\n");
		return;
	}
	utf8_clean(&clean, t->program, t->program_len);
	size_t lines = count_lines(buf_str(&clean), clean.len);
	buf_printf(out,
	           "<details%s class=\"program\"><summary>Program <span class=\"faint\">· %zu "
	           "line%s</span></summary><pre class=\"lines python\">",
	           open ? " open" : "", lines, plural((double)lines));
	for (const char *p = buf_str(&clean); *p;) {
		size_t n = strcspn(p, "\n");
		if (++line == error)
			buf_printf(out, "<span class=\"err\" id=\"turn-%d-line-%ld\">", t->number,
			           line);
		else
			buf_adds(out, "<span>");
		escape(out, p, n);
		buf_adds(out, "\n</span>");
		p += n + (p[n] == '\n');
	}
	buf_adds(out, "</pre></details>\n");
	buf_release(&clean);
}

static void prompt(struct buf *out, const cJSON *messages)
{
	const cJSON *m;
	int n = cJSON_GetArraySize(messages);

	if (n == 0)
		return;
	buf_printf(out,
	           "<details class=\"asked\"><summary>Prompt <span class=\"faint\">· %d "
	           "message%s</span></summary><div class=\"in\">\n",
	           n, plural(n));
	cJSON_ArrayForEach(m, messages)
	{
		const char *said = json_string_or(m, "content", "");
		buf_adds(out, "<h4>");
		words(out, json_string_or(m, "role", "?"));
		buf_adds(out, "</h4><pre>");
		block(out, said, strlen(said));
		buf_adds(out, "</pre>\n");
	}
	buf_adds(out, "</div></details>\n");
}

/* ---- a turn ---- */

/* A whole number, its digits in threes. */
static void grouped(struct buf *out, double v)
{
	char digits[64];
	int n = snprintf(digits, sizeof(digits), "%.0f", v);

	for (int i = 0; i < n; i++) {
		if (i > (digits[0] == '-') && (n - i) % 3 == 0 && n > 4)
			buf_adds(out, "\u202f"); /* narrow, and no line ends there */
		buf_addc(out, digits[i]);
	}
}

static void shape(struct buf *out, const cJSON *geometry)
{
	double box[3], solids = json_number_or(geometry, "solids", NAN),
		       faces = json_number_or(geometry, "faces", NAN),
		       volume = json_number_or(geometry, "volume_mm3", NAN);

	if (!cJSON_IsObject(geometry) || json_get_numbers(geometry, "bbox_mm", box, 3, NULL) < 0)
		return;
	if (!isnan(solids))
		buf_printf(out, "%.0f solid%s · ", solids, plural(solids));
	if (!isnan(faces))
		buf_printf(out, "%.0f face%s · ", faces, plural(faces));
	buf_printf(out, "%.2f × %.2f × %.2f mm", box[0], box[1], box[2]);
	if (!isnan(volume)) {
		buf_adds(out, " · ");
		grouped(out, volume);
		buf_adds(out, " mm³");
	}
}

static void outcome(struct buf *out, const struct page_turn *t)
{
	const cJSON *build = get(t->score, "build");
	bool ok = page_built(t);
	struct buf line = { 0 };

	buf_printf(out, "<p class=\"outcome%s\"><b class=\"%s\">%s</b> ", ok ? "" : " bad",
	           ok ? "good" : "bad", ok ? "✓ Built." : "✗ Not built.");
	if (ok)
		shape(out, get(t->score, "geometry"));
	else
		page_error_line(&line, build);
	words(out, buf_str(&line));
	if (!ok) {
		buf_adds(out, line.len ? " <span class=\"faint\">(" : "<span class=\"faint\">(");
		words(out, json_string_or(build, "class", "no class"));
		buf_adds(out, ")</span>");
		if (fault_line(t))
			buf_printf(out, " <a href=\"#turn-%d-line-%ld\">show the line</a>",
			           t->number, fault_line(t));
	}
	buf_adds(out, "</p>\n");
	buf_release(&line);
}

static void origin(struct buf *out, const struct page_turn *t)
{
	int n = 0;

	if (t->parent <= 0 && !t->source && !t->model && !t->finish)
		return;
	buf_adds(out, "<p class=\"from\">");
	if (t->parent > 0) {
		buf_printf(out, "A repair of <a href=\"#turn-%d\">turn %d</a>", t->parent,
		           t->parent);
		n++;
	}
	if (t->model || t->source) {
		buf_adds(out, n++ ? " · by " : "By ");
		words(out, t->model ? t->model : t->source);
	}
	if (t->finish && strcmp(t->finish, "stop") != 0) {
		buf_adds(out, n ? " · the answer ended with " : "The answer ended with ");
		words(out, t->finish);
	}
	buf_adds(out, "</p>\n");
}

static void turn(struct buf *out, const struct page_episode *ep, const struct episode_view *view,
                 int i)
{
	const struct page_turn *t = &ep->turns[i];
	const struct page_turn *parent = t->parent > 0 ? page_turn_in(ep, t->parent) : NULL;
	double delta = json_number_or(get(t->score, "delta"), "total", NAN);
	bool best = t->number == ep->best;

	buf_printf(out, "<section class=\"turn%s\" id=\"turn-%d\" data-turn=\"%d\"",
	           best ? " best" : "", t->number, t->number);
	if (view[i].glb.len)
		buf_printf(out, " data-glb=\"glb-%d\"", glb_turn(ep, view, i));
	buf_printf(out, ">\n<div class=\"headline\"><h2>Turn %d <span class=\"faint\">of %d</span>",
	           t->number, ep->n_turns);
	buf_adds(out, "</h2><span class=\"total\">");
	figure(out, "%.4f", page_total(t));
	buf_adds(out, "</span>");
	if (!isnan(delta)) {
		buf_adds(out, "<span>");
		change(out, delta, "%+.4f");
		buf_printf(out, " <span class=\"faint\">against turn %d</span></span>", t->parent);
	}
	buf_adds(out, best ? "<span class=\"tag good\">best</span></div>\n" : "</div>\n");
	outcome(out, t);
	origin(out, t);
	buf_printf(out, "<div class=\"grid%s\">\n", view[i].glb.len || view[i].n ? "" : " bare");
	looks(out, ep, view, i);
	buf_adds(out, "<div class=\"side\">\n");
	reward(out, t);
	notes(out, get(t->score, "notes"));
	judgements(out, t->judgements);
	buf_adds(out, "</div>\n</div>\n");
	checks(out, get(t->score, "checks"));
	program(out, t, difference(out, t, parent));
	if (t->log_len > 0) {
		buf_adds(out, "<details open class=\"log\"><summary>Build log</summary><pre "
		              "class=\"log\">");
		block(out, t->log, t->log_len);
		buf_adds(out, "</pre></details>\n");
	}
	prompt(out, t->prompt);
	buf_adds(out, "</section>\n");
}

/* What the scripts put into a turn: one viewer for all of them. */
static void viewer(struct buf *out)
{
	static const char *const axes[] = { "x", "y", "z" };

	buf_adds(out,
	         "<div id=\"stage\"><div class=\"view\"><canvas tabindex=\"0\" "
	         "role=\"img\" aria-label=\"The part in 3D\"></canvas>\n<svg viewBox=\"0 0 64 64\" "
	         "aria-hidden=\"true\">");
	for (int k = 0; k < 3; k++)
		buf_printf(out,
		           "<line class=\"%s\" x1=\"32\" y1=\"32\" x2=\"32\" y2=\"32\"/><text "
		           "class=\"l%s\">%s</text>",
		           axes[k], axes[k], axes[k]);
	buf_adds(out,
	         "</svg></div>\n"
	         "<div class=\"tools\"><button type=\"button\" data-view=\"iso\">Iso</button>"
	         "<button type=\"button\" data-view=\"front\">Front</button>"
	         "<button type=\"button\" data-view=\"right\">Right</button>"
	         "<button type=\"button\" data-view=\"top\">Top</button><span class=\"gap\"></span>"
	         "<button type=\"button\" data-zoom=\"0.8\" aria-label=\"smaller\">−</button>"
	         "<button type=\"button\" data-zoom=\"1.25\" aria-label=\"larger\">+</button>"
	         "<button type=\"button\" data-do=\"reset\">Reset</button>"
	         "<button type=\"button\" data-do=\"edges\" aria-pressed=\"true\">Edges</button>"
	         "<span class=\"hint\">Drag to turn it</span></div></div>\n");
}

static void script(struct buf *out, const unsigned char *text)
{
	buf_adds(out, "<script>");
	buf_adds(out, (const char *)text);
	buf_adds(out, "</script>\n");
}

void episode_page(struct buf *out, const struct page_episode *ep, const struct episode_view *view)
{
	head(out, ep);
	introduce(out, ep);
	if (ep->n_turns == 0) {
		buf_adds(out, "<main><p class=\"none\">No turn was stored.</p></main>\n");
	} else {
		strip(out, ep);
		buf_adds(out, "<main>\n");
		for (int i = 0; i < ep->n_turns; i++)
			turn(out, ep, view, i);
		buf_adds(out, "</main>\n");
		viewer(out);
		buf_adds(out, "<dialog><img alt=\"\"><p></p></dialog>\n");
	}
	buf_adds(
		out,
		"<footer><p><span class=\"scripted\"><kbd>←</kbd> <kbd>→</kbd> go from turn to "
		"turn. In the 3D view: drag or arrow keys turn, <kbd>+</kbd> <kbd>−</kbd> zoom, the "
		"wheel too once it was clicked, "
		"Shift and drag moves, <kbd>0</kbd> or a double click resets.</span> Lengths are "
		"in mm.</p></footer>\n");
	if (ep->n_turns > 0) {
		script(out, viewer_js);
		script(out, page_js);
	}
	buf_adds(out, "</body>\n</html>\n");
}
