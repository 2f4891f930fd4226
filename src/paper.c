/*
 * paper.c - a report as Markdown and as HTML at once.
 */
#include "src/paper.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "src/base/base64.h"
#include "src/base/utf8.h"

enum { COLUMNS_MAX = 24, LINE_MAX_BYTES = 400, MARK_SIZE = 96, OURS_MAX = 256 << 20 };

struct paper {
	char dir[PATH_MAX], mark[MARK_SIZE];
	struct buf md, html;
	bool right[COLUMNS_MAX];
	int columns, cell; /* of the table under way; 0: none */
	bool list;
	struct err e;
};

/* ---- texts ---- */

static void html_add(struct buf *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '<')
			buf_adds(out, "&lt;");
		else if (*text == '>')
			buf_adds(out, "&gt;");
		else if (*text == '&')
			buf_adds(out, "&amp;");
		else if (*text == '"')
			buf_adds(out, "&quot;");
		else
			buf_addc(out, *text);
	}
}

static void md_add(struct buf *out, const char *text)
{
	for (; *text; text++) {
		if (strchr("\\`*_[]<>|#~$&", *text))
			buf_addc(out, '\\');
		buf_addc(out, *text);
	}
}

/* The text of a format on one line, clean; the caller releases it. */
static struct buf said(const char *fmt, va_list ap)
{
	struct buf raw = { 0 }, clean = { 0 };

	buf_vprintf(&raw, fmt, ap);
	utf8_clean_line(&clean, buf_str(&raw), raw.len);
	buf_release(&raw);
	return clean;
}

#define SAY(text, fmt)                                                                             \
	struct buf text;                                                                           \
	va_list ap_;                                                                               \
	va_start(ap_, fmt);                                                                        \
	text = said(fmt, ap_);                                                                     \
	va_end(ap_)

static void end_list(struct paper *p)
{
	if (p->list) {
		buf_addc(&p->md, '\n');
		buf_adds(&p->html, "</ul>\n");
	}
	p->list = false;
}

/* A text between marks in both forms. */
static void put(struct paper *p, const char *md_before, const char *md_after,
                const char *html_before, const char *html_after, const struct buf *text)
{
	buf_adds(&p->md, md_before);
	md_add(&p->md, buf_str(text));
	buf_adds(&p->md, md_after);
	buf_adds(&p->html, html_before);
	html_add(&p->html, buf_str(text));
	buf_adds(&p->html, html_after);
}

void paper_heading(struct paper *p, int level, const char *fmt, ...)
{
	static const char *const md[] = { "## ", "### ", "#### " };
	static const char *const html[][2] = { { "<h2>", "</h2>\n" },
		                               { "<h3>", "</h3>\n" },
		                               { "<h4>", "</h4>\n" } };
	int i = level < 2 ? 0 : level > 4 ? 2 : level - 2;

	SAY(text, fmt);
	end_list(p);
	put(p, md[i], "\n\n", html[i][0], html[i][1], &text);
	buf_release(&text);
}

void paper_text(struct paper *p, const char *fmt, ...)
{
	SAY(text, fmt);
	end_list(p);
	put(p, "", "\n\n", "<p>", "</p>\n", &text);
	buf_release(&text);
}

void paper_warn(struct paper *p, const char *fmt, ...)
{
	SAY(text, fmt);
	end_list(p);
	put(p, "> **!** ", "\n\n", "<p class=warn><b>!</b> ", "</p>\n", &text);
	buf_release(&text);
}

void paper_item(struct paper *p, const char *fmt, ...)
{
	SAY(text, fmt);
	if (!p->list)
		buf_adds(&p->html, "<ul>\n");
	p->list = true;
	put(p, "- ", "\n", "<li>", "</li>\n", &text);
	buf_release(&text);
}

/* ---- tables ---- */

void paper_table(struct paper *p, const char *const *column, int n)
{
	end_list(p);
	p->columns = n < COLUMNS_MAX ? n : COLUMNS_MAX;
	p->cell = 0;
	buf_adds(&p->html, "<div class=wide><table><tr>");
	for (int i = 0; i < p->columns; i++) {
		const char *name = column[i];
		p->right[i] = *name == '>';
		name += p->right[i];
		buf_adds(&p->md, "| ");
		md_add(&p->md, name);
		buf_addc(&p->md, ' ');
		buf_adds(&p->html, p->right[i] ? "<th class=n>" : "<th>");
		html_add(&p->html, name);
	}
	buf_adds(&p->html, "</tr>\n");
	buf_adds(&p->md, "|\n");
	for (int i = 0; i < p->columns; i++)
		buf_adds(&p->md, p->right[i] ? "|--:" : "|---");
	buf_adds(&p->md, "|\n");
}

static void put_cell(struct paper *p, const char *text)
{
	if (p->columns == 0)
		return;
	if (p->cell == 0)
		buf_adds(&p->html, "<tr>");
	buf_adds(&p->md, "| ");
	md_add(&p->md, text);
	buf_addc(&p->md, ' ');
	buf_adds(&p->html, p->right[p->cell] ? "<td class=n>" : "<td>");
	html_add(&p->html, text);
	if (++p->cell == p->columns) {
		buf_adds(&p->md, "|\n");
		buf_adds(&p->html, "</tr>\n");
		p->cell = 0;
	}
}

void paper_cell(struct paper *p, const char *fmt, ...)
{
	SAY(text, fmt);
	put_cell(p, buf_str(&text));
	buf_release(&text);
}

void paper_figure(struct paper *p, const char *fmt, double v)
{
	char text[64];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(text, sizeof(text), fmt, v);
#pragma GCC diagnostic pop
	put_cell(p, isfinite(v) ? text : "-");
}

void paper_table_end(struct paper *p)
{
	while (p->columns && p->cell)
		put_cell(p, "");
	p->columns = 0;
	buf_addc(&p->md, '\n');
	buf_adds(&p->html, "</table></div>\n");
}

/* ---- files ---- */

void paper_file(struct paper *p, const char *name, const struct buf *content)
{
	char path[PATH_MAX];

	if (p->e.kind)
		return;
	if (buf_failed(content))
		err_set(&p->e, ERR_MEM, "out of memory for %s", name);
	else if (snprintf(path, sizeof(path), "%s/%s", p->dir, name) >= (int)sizeof(path))
		err_set(&p->e, ERR_INPUT, "%s: the name is too long", p->dir);
	else
		file_write_atomic(path, buf_str(content), content->len, &p->e);
}

void paper_link(struct paper *p, const char *name, const char *fmt, ...)
{
	SAY(text, fmt);
	end_list(p);
	buf_addc(&p->md, '[');
	md_add(&p->md, buf_str(&text));
	buf_printf(&p->md, "](%s)\n\n", name);
	buf_printf(&p->html, "<p><a href=\"%s\">", name);
	html_add(&p->html, buf_str(&text));
	buf_adds(&p->html, "</a></p>\n");
	buf_release(&text);
}

void paper_plot(struct paper *p, const char *name, const struct plot *plot, const char *fmt, ...)
{
	struct buf svg = { 0 };

	SAY(text, fmt);
	end_list(p);
	plot_svg(&svg, plot);
	paper_file(p, name, &svg);
	buf_adds(&p->md, "![");
	md_add(&p->md, plot->title ? plot->title : name);
	buf_printf(&p->md, "](%s)\n\n", name);
	buf_adds(&p->html, "<figure>");
	buf_add(&p->html, buf_str(&svg), svg.len);
	if (text.len)
		put(p, "", "\n\n", "<figcaption>", "</figcaption>", &text);
	buf_adds(&p->html, "</figure>\n");
	buf_release(&svg);
	buf_release(&text);
}

void paper_picture(struct paper *p, const char *name, const void *png, size_t len, const char *alt)
{
	struct buf bytes = { 0 }, clean = { 0 };

	end_list(p);
	buf_add(&bytes, png, len);
	paper_file(p, name, &bytes);
	utf8_clean_line(&clean, alt, strlen(alt));
	buf_adds(&p->md, "![");
	md_add(&p->md, buf_str(&clean));
	buf_printf(&p->md, "](%s)\n\n", name);
	buf_adds(&p->html, "<p><img alt=\"");
	html_add(&p->html, buf_str(&clean));
	buf_adds(&p->html, "\" src=\"data:image/png;base64,");
	base64_add(&p->html, png, len);
	buf_adds(&p->html, "\"></p>\n");
	buf_release(&clean);
	buf_release(&bytes);
}

void paper_block(struct paper *p, const char *language, const char *text, size_t len, int lines)
{
	struct buf clean = { 0 }, cut = { 0 };
	int n = 0, ticks = 0, fence = 3;

	end_list(p);
	utf8_clean(&clean, text, len);
	for (const char *s = buf_str(&clean); *s;) {
		size_t line = strcspn(s, "\n");
		if (lines && n++ == lines) {
			buf_adds(&cut, "...\n");
			break;
		}
		buf_add(&cut, s, line > LINE_MAX_BYTES ? LINE_MAX_BYTES : line);
		buf_adds(&cut, line > LINE_MAX_BYTES ? "...\n" : "\n");
		s += line + (s[line] == '\n');
	}
	/* a fence that nothing in it can end */
	for (const char *s = buf_str(&cut); *s; s++) {
		ticks = *s == '`' ? ticks + 1 : 0;
		fence = ticks >= fence ? ticks + 1 : fence;
	}
	for (int i = 0; i < fence; i++)
		buf_addc(&p->md, '`');
	buf_printf(&p->md, "%s\n%s", language, buf_str(&cut));
	for (int i = 0; i < fence; i++)
		buf_addc(&p->md, '`');
	buf_adds(&p->md, "\n\n");
	buf_adds(&p->html, "<pre>");
	html_add(&p->html, buf_str(&cut));
	buf_adds(&p->html, "</pre>\n");
	buf_release(&cut);
	buf_release(&clean);
}

void paper_fold(struct paper *p, const char *fmt, ...)
{
	SAY(text, fmt);
	end_list(p);
	/* HTML in Markdown: its text is escaped as HTML is */
	buf_adds(&p->md, "<details><summary>");
	html_add(&p->md, buf_str(&text));
	buf_adds(&p->md, "</summary>\n\n");
	buf_adds(&p->html, "<details><summary>");
	html_add(&p->html, buf_str(&text));
	buf_adds(&p->html, "</summary>\n");
	buf_release(&text);
}

void paper_fold_end(struct paper *p)
{
	end_list(p);
	buf_adds(&p->md, "</details>\n\n");
	buf_adds(&p->html, "</details>\n");
}

/* ---- begin and end ---- */

static int begin_folder(struct paper *p, const char *dir, struct err *e)
{
	struct buf text = { 0 };
	char path[PATH_MAX];
	bool ours, empty = true;
	DIR *d;

	if (mkdir(dir, 0777) == 0)
		return 0;
	if (errno != EEXIST || !(d = opendir(dir)))
		return err_errno(e, ERR_IO, "%s: cannot be made", dir);
	for (struct dirent *x; empty && (x = readdir(d));)
		empty = strcmp(x->d_name, ".") == 0 || strcmp(x->d_name, "..") == 0;
	closedir(d);
	if (snprintf(path, sizeof(path), "%s/README.md", dir) >= (int)sizeof(path))
		return err_set(e, ERR_INPUT, "%s: the name is too long", dir);
	ours = empty || (buf_read_file(&text, path, OURS_MAX, NULL) == 0 &&
	                 strncmp(buf_str(&text), p->mark, strlen(p->mark)) == 0);
	buf_release(&text);
	return ours ? 0
	            : err_set(e, ERR_USAGE,
	                      "%s: is there already, and no report of ours; name another folder "
	                      "with --out",
	                      dir);
}

struct paper *paper_open(const char *dir, const char *by, const char *title, struct err *e)
{
	struct paper *p = calloc(1, sizeof(*p));
	struct buf clean = { 0 };

	if (!p) {
		err_set(e, ERR_MEM, "out of memory");
		return NULL;
	}
	snprintf(p->mark, sizeof(p->mark), "<!-- written by %s -->\n", by);
	if (snprintf(p->dir, sizeof(p->dir), "%s", dir) >= (int)sizeof(p->dir)) {
		err_set(e, ERR_INPUT, "%s: the name is too long", dir);
		free(p);
		return NULL;
	}
	if (begin_folder(p, dir, e) < 0) {
		free(p);
		return NULL;
	}
	utf8_clean_line(&clean, title, strlen(title));
	buf_adds(&p->md, p->mark);
	buf_adds(&p->html, "<!doctype html>\n");
	buf_adds(&p->html, p->mark);
	buf_adds(&p->html, "<html lang=en><meta charset=utf-8><meta name=viewport "
	                   "content=\"width=device-width\">\n<title>");
	html_add(&p->html, buf_str(&clean));
	buf_adds(
		&p->html,
		"</title>\n<style>\n"
		"body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;"
		"padding:0 1rem;color:#222;background:#fff}\n"
		"pre{background:#f4f4f2;padding:.8rem;overflow:auto;font-size:14px}\n"
		".wide{overflow-x:auto}table{border-collapse:collapse;margin:1rem 0;font-size:15px}"
		"td,th{border-bottom:1px solid #ccc;padding:.2rem .7rem;text-align:left;"
		"vertical-align:top}th{vertical-align:bottom}\n"
		".n{text-align:right;font-variant-numeric:tabular-nums}img,svg{max-width:100%;"
		"height:auto}\nfigure{margin:1.5rem 0}figcaption{color:#555;font-size:14px}\n"
		".warn{border-left:4px solid #d55e00;background:#fdf3ec;padding:.4rem .8rem}\n"
		"details{margin:.8rem 0}summary{cursor:pointer}\n</style>\n");
	put(p, "# ", "\n\n", "<h1>", "</h1>\n", &clean);
	buf_release(&clean);
	/* until the end, so that what an error leaves behind is known as ours */
	buf_printf(&clean, "%sThis report was not finished.\n", p->mark);
	paper_file(p, "README.md", &clean);
	buf_release(&clean);
	if (p->e.kind) {
		if (e)
			*e = p->e;
		paper_drop(p);
		return NULL;
	}
	return p;
}

int paper_close(struct paper *p, struct err *e)
{
	int rc = 0;

	end_list(p);
	buf_adds(&p->html, "</html>\n");
	paper_file(p, "index.html", &p->html);
	paper_file(p, "README.md", &p->md);
	if (p->e.kind) {
		if (e)
			*e = p->e;
		rc = -1;
	}
	paper_drop(p);
	return rc;
}

void paper_drop(struct paper *p)
{
	if (!p)
		return;
	buf_release(&p->md);
	buf_release(&p->html);
	free(p);
}
