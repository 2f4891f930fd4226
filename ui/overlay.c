#include "ui/overlay.h"

#include <stdio.h>
#include <string.h>

#include "src/base/utf8.h"

enum { NOTE_MAX = 4000, FILTER_MAX = 200 };

void overlay_release(struct overlays *o)
{
	list_release(&o->choice);
	text_release(&o->page);
	for (int i = 0; i < 2; i++)
		buf_release(&o->judge.text[i]);
	memset(o, 0, sizeof *o);
}

enum overlay_kind overlay_top(const struct overlays *o, const struct view *v)
{
	return o->judge.open     ? OVERLAY_JUDGE
	       : v->choice.title ? OVERLAY_CHOICE
	       : v->page.len     ? OVERLAY_PAGE
	                         : OVERLAY_NONE;
}

bool overlay_typing(const struct overlays *o, const struct view *v)
{
	enum overlay_kind top = overlay_top(o, v);

	return top == OVERLAY_JUDGE || (top == OVERLAY_CHOICE && o->filtering);
}

/* A place in the middle, at most @w x @h. */
static struct rect middle(struct rect r, int w, int h)
{
	struct rect out = { 0, 0, w > r.w ? r.w : w, h > r.h ? r.h : h };

	out.x = r.x + (r.w - out.w) / 2;
	out.y = r.y + (r.h - out.h) / 2;
	return out;
}

static struct rect frame(struct canvas *c, struct rect r, const char *title, const char *fact)
{
	draw_clear(c, r);
	return draw_pane(c, r, title, fact, true);
}

/* ---- a list ---- */

static int64_t choice_id(void *ctx, int row)
{
	return ((const struct view_choice *)ctx)->rows[row].id;
}

static const char *choice_words(void *ctx, int row)
{
	return ((const struct view_choice *)ctx)->rows[row].text;
}

static void choice_row(void *ctx, struct canvas *c, struct rect r, int row, bool selected)
{
	const struct view_choice_row *k = &((const struct view_choice *)ctx)->rows[row];
	int right = k->right ? text_width(k->right, strlen(k->right)) : 0;

	if (right > r.w / 2)
		right = r.w / 2;
	draw_str(c, r.x, r.y, 1, ROLE_FOCUS, selected ? ">" : " ");
	if (k->mark)
		draw_str(c, r.x + 2, r.y, 1, mark_role(k->mark), mark_sign(k->mark, c->ascii));
	draw_str(c, r.x + (k->mark ? 4 : 2), r.y, r.w - (k->mark ? 4 : 2) - right - 2, ROLE_NORMAL,
	         k->text);
	draw_right(c, r.x + r.w - 1, r.y, right, ROLE_FAINT, k->right);
}

static struct list_source choice_source(const struct view *v)
{
	return (struct list_source){ .ctx = (void *)&v->choice,
		                     .n = v->choice.n_rows,
		                     .id = choice_id,
		                     .words = choice_words,
		                     .draw = choice_row,
		                     .height = 1 };
}

static void choice_draw(struct overlays *o, const struct view *v, struct canvas *c, struct rect r)
{
	struct list_source s = choice_source(v);
	uint32_t title = 2166136261u;
	int widest = 40, w;

	/* another list: nothing of the last one's filter and place; what it is called tells */
	for (const char *p = v->choice.title; *p; p++)
		title = (title ^ (uint8_t)*p) * 16777619u;
	if (o->choice_of != title) {
		list_release(&o->choice);
		list_init(&o->choice);
		o->choice_of = title;
		o->filtering = false;
	}
	for (int i = 0; i < s.n && i < 500; i++) {
		const struct view_choice_row *k = &v->choice.rows[i];

		w = 12 + (k->text ? text_width(k->text, strlen(k->text)) : 0) +
		    (k->right ? text_width(k->right, strlen(k->right)) : 0);
		widest = w > widest ? w : widest;
	}
	w = widest < r.w - 6 ? widest : r.w - 6;
	r = middle(r, w < 30 ? 30 : w, s.n + 5 < r.h - 2 ? s.n + 5 : r.h - 2);
	r = frame(c, r, v->choice.title, v->choice.fact);
	if (r.w < 4 || r.h < 1)
		return;
	r.x++;
	r.w -= 2;
	if (s.n == 0) {
		draw_str(c, r.x, r.y + r.h / 2, r.w, ROLE_FAINT,
		         v->choice.empty ? v->choice.empty : "nothing to choose from");
		return;
	}
	if (r.h > 2) {
		struct rect row = rect_take_bottom(&r, 1);
		int x = row.x;

		rect_take_top(&r, 1);
		if (o->filtering || o->choice.filter.len) {
			x += draw_str(c, x, row.y, row.w, ROLE_FAINT, "filter: ");
			x += draw_str(c, x, row.y, row.x + row.w - x - 18, ROLE_STRONG,
			              buf_str(&o->choice.filter));
			if (o->filtering)
				draw_reverse(c, (struct rect){ x, row.y, 1, 1 });
		}
		list_draw(&o->choice, c, r, &s, true);
		if (o->choice.filter.len || o->choice.shown > r.h) {
			char text[64];

			snprintf(text, sizeof text, "%d of %d%s", o->choice.shown, s.n,
			         v->choice.more ? "+" : "");
			draw_right(c, row.x + row.w, row.y, 17, ROLE_FAINT, text);
		}
		if (!o->choice.shown)
			draw_str(c, r.x + 2, r.y, r.w - 2, ROLE_FAINT, "none has these words");
		return;
	}
	list_draw(&o->choice, c, r, &s, true);
}

/* The last character of @b, off. */
static void drop_last(struct buf *b)
{
	while (b->len && ((uint8_t)b->data[b->len - 1] & 0xc0) == 0x80)
		b->len--;
	if (b->len)
		b->len--;
	if (b->data)
		b->data[b->len] = 0;
}

static bool printable(struct key k)
{
	return !k.ctrl && k.code >= ' ' && k.code != 0x7f && k.code < KEYS_UP &&
	       !(k.code >= 0x80 && k.code < 0xa0);
}

static int encode(uint32_t cp, char out[5])
{
	int n = cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;

	if (n == 1)
		out[0] = (char)cp;
	for (int i = n - 1; n > 1 && i > 0; i--, cp >>= 6)
		out[i] = (char)(0x80 | (cp & 0x3f));
	if (n > 1)
		out[0] = (char)((0xf0 << (4 - n) & 0xff) | cp);
	out[n] = 0;
	return n;
}

static bool filter_key(struct overlays *o, struct key k)
{
	struct buf *f = &o->choice.filter;
	char text[5];

	if (k.code == KEYS_ESC) {
		buf_clear(f);
		o->filtering = false;
	} else if (k.code == KEYS_BACKSPACE || (k.ctrl && k.code == 'h')) {
		if (f->len)
			drop_last(f);
		else
			o->filtering = false;
	} else if (k.ctrl && (k.code == 'u' || k.code == 'w'))
		buf_clear(f);
	else if (printable(k) && f->len < FILTER_MAX)
		buf_add(f, text, (size_t)encode(k.code, text));
	else
		return false;
	return true;
}

/* The selected row, or else the first that the filter lets through (it may have been typed faster
 * than it was drawn); -1: none. */
static int choice_taken(const struct overlays *o, const struct list_source *s)
{
	int first = -1;

	for (int i = 0; i < s->n; i++)
		if (filter_match(buf_str(&o->choice.filter), s->words(s->ctx, i))) {
			if (s->id(s->ctx, i) == o->choice.selected)
				return i;
			if (first < 0)
				first = i;
		}
	return first;
}

static void choice_key(struct overlays *o, const struct view *v, struct key k, struct intent *out)
{
	struct list_source s = choice_source(v);

	if (o->filtering && k.code != KEYS_ENTER && filter_key(o, k))
		return;
	if (k.code == KEYS_ENTER) {
		/* with the filter typed, Enter takes what it left: no second Enter */
		int row = choice_taken(o, &s);

		if (row >= 0) {
			o->filtering = false;
			*out = (struct intent){ .kind = INTENT_CHOOSE, .n = s.id(s.ctx, row) };
		}
		return;
	}
	if (!o->filtering && k.code == '/') {
		o->filtering = true;
		return;
	}
	if (!o->filtering && (k.code == KEYS_ESC || k.code == 'q')) {
		if (o->choice.filter.len) {
			buf_clear(&o->choice.filter);
			return;
		}
		*out = (struct intent){ .kind = INTENT_BACK };
		return;
	}
	if (list_key(&o->choice, k, &s) && v->choice.more && s.n > 0 &&
	    o->choice.selected == v->choice.rows[s.n - 1].id)
		*out = (struct intent){ .kind = INTENT_MORE };
}

/* ---- a page ---- */

static void page_draw(struct overlays *o, const struct view *v, struct canvas *c, struct rect r)
{
	char fact[40];
	struct rect in;

	if (r.w > 110)
		r = middle(r, 104, r.h);
	in = (struct rect){ r.x + 2, r.y + 1, r.w - 4, r.h - 2 };
	if (o->page.id != v->page.id || !o->page.n_lines) {
		text_release(&o->page);
		text_init(&o->page);
		o->page.follow = false;
		o->page.wrap = v->page.kind == TEXT_PLAIN;
	}
	draw_clear(c, r);
	text_draw(&o->page, c, in, &v->page, true);
	draw_pane(c, r, v->page_title ? v->page_title : "", text_fact(&o->page, fact), true);
}

static void page_key(struct overlays *o, const struct view *v, struct key k, struct intent *out)
{
	if (k.code == KEYS_ESC || k.code == 'q' || k.code == KEYS_ENTER)
		*out = (struct intent){ .kind = INTENT_BACK };
	else
		text_key(&o->page, k, &v->page);
}

/* ---- a judgement ---- */

static const char *const grade_words[] = {
	"nothing of what was asked", "far from it",    "the idea is there",
	"usable after some work",    "good, a detail", "as asked: ready to be made",
};

void overlay_judge(struct overlays *o, int grade, const char *note, const char *tags)
{
	const char *texts[2] = { note, tags };

	o->judge.open = true;
	o->judge.field = 0;
	o->judge.grade = grade < 0 || grade > 5 ? -1 : grade;
	for (int i = 0; i < 2; i++) {
		struct buf clean = { 0 };

		/* what others wrote comes back as what can be edited on a line */
		utf8_clean_line(&clean, texts[i] ? texts[i] : "", texts[i] ? strlen(texts[i]) : 0);
		buf_clear(&o->judge.text[i]);
		buf_adds(&o->judge.text[i], buf_str(&clean));
		buf_release(&clean);
		o->judge.at[i] = (int)o->judge.text[i].len;
	}
}

/* One field of text: what is around the cursor is in sight. */
static void field_draw(struct canvas *c, int x, int y, int w, const struct buf *b, int at,
                       bool focused)
{
	const char *text = buf_str(b);
	int from = 0, cursor;

	while (text_width(text + from, (size_t)(at - from)) >= w) {
		do
			from++;
		while (((uint8_t)text[from] & 0xc0) == 0x80);
	}
	for (int i = 0; i < w; i++)
		draw_str(c, x + i, y, 1, ROLE_FAINT, "_");
	cursor = x + text_width(text + from, (size_t)(at - from));
	draw_text(c, x, y, w, focused ? ROLE_STRONG : ROLE_NORMAL, text + from,
	          b->len - (size_t)from);
	if (focused)
		draw_reverse(c, (struct rect){ cursor, y, 1, 1 });
}

static void judge_draw(struct overlays *o, const struct view *v, struct canvas *c, struct rect r)
{
	static const char *const labels[] = { "grade", "note", "tags" };
	char title[64];
	int x, y;

	snprintf(title, sizeof title, "Judge  turn %d%s", v->replay.turn,
	         v->replay.blind ? "  blind" : "");
	r = frame(c, middle(r, 64, 10), title, "kept with who and when");
	if (r.w < 20 || r.h < 4)
		return;
	y = r.y + (r.h > 6);
	for (int i = 0; i < 3; i++)
		draw_str(c, r.x + 2, y + (r.h > 6 ? 2 : 1) * i + (i && r.h > 6), 7,
		         o->judge.field == i ? ROLE_FOCUS : ROLE_FAINT, labels[i]);
	x = r.x + 10;
	for (int g = 0; g <= 5; g++, x += 4)
		draw_f(c, x, y, 3, g == o->judge.grade ? ROLE_STRONG : ROLE_NORMAL,
		       g == o->judge.grade ? "[%d]" : " %d ", g);
	if (r.h > 6)
		draw_str(c, r.x + 10, y + 1, r.w - 11, ROLE_FAINT,
		         o->judge.grade >= 0
		                 ? grade_words[o->judge.grade]
		                 : "0 nothing of what was asked ... 5 ready to be made");
	for (int i = 0; i < 2; i++)
		field_draw(c, r.x + 10, y + (r.h > 6 ? 2 * i + 3 : i + 1), r.w - 12,
		           &o->judge.text[i], o->judge.at[i], o->judge.field == i + 1);
}

static void field_insert(struct overlays *o, int i, const char *text, size_t len)
{
	struct buf *b = &o->judge.text[i];
	size_t at = (size_t)o->judge.at[i];
	struct buf out = { 0 };

	if (b->len + len > NOTE_MAX)
		return;
	buf_add(&out, buf_str(b), at);
	buf_add(&out, text, len);
	buf_adds(&out, buf_str(b) + at);
	if (!buf_failed(&out)) {
		buf_clear(b);
		buf_add(b, out.data, out.len);
		o->judge.at[i] = (int)(at + len);
	}
	buf_release(&out);
}

/* Takes away the bytes from @from to @to. */
static void field_cut(struct overlays *o, int i, int from, int to)
{
	struct buf *b = &o->judge.text[i];

	if (from < 0 || to > (int)b->len || from >= to)
		return;
	memmove(b->data + from, b->data + to, b->len - (size_t)to + 1);
	b->len -= (size_t)(to - from);
	o->judge.at[i] = from;
}

/* The character's beginning before (@step -1) or after (1) @at. */
static int field_step(const struct buf *b, int at, int step)
{
	do
		at += step;
	while (at > 0 && at < (int)b->len && ((uint8_t)b->data[at] & 0xc0) == 0x80);
	return at < 0 ? 0 : at > (int)b->len ? (int)b->len : at;
}

static void field_key(struct overlays *o, int i, struct key k)
{
	struct buf *b = &o->judge.text[i];
	int at = o->judge.at[i];
	char text[5];

	if (k.code == KEYS_LEFT)
		o->judge.at[i] = field_step(b, at, -1);
	else if (k.code == KEYS_RIGHT)
		o->judge.at[i] = field_step(b, at, 1);
	else if (k.code == KEYS_HOME || (k.ctrl && k.code == 'a'))
		o->judge.at[i] = 0;
	else if (k.code == KEYS_END || (k.ctrl && k.code == 'e'))
		o->judge.at[i] = (int)b->len;
	else if (k.code == KEYS_BACKSPACE || (k.ctrl && k.code == 'h'))
		field_cut(o, i, field_step(b, at, -1), at);
	else if (k.code == KEYS_DELETE)
		field_cut(o, i, at, field_step(b, at, 1));
	else if (k.ctrl && k.code == 'u')
		field_cut(o, i, 0, at);
	else if (k.ctrl && k.code == 'k')
		field_cut(o, i, at, (int)b->len);
	else if (k.ctrl && k.code == 'w') {
		int from = at;

		while (from > 0 && b->data[from - 1] == ' ')
			from--;
		while (from > 0 && b->data[from - 1] != ' ')
			from--;
		field_cut(o, i, from, at);
	} else if (printable(k))
		field_insert(o, i, text, (size_t)encode(k.code, text));
}

static void judge_key(struct overlays *o, struct key k, struct intent *out)
{
	int *field = &o->judge.field, *grade = &o->judge.grade;

	switch (k.code) {
	case KEYS_ESC:
		o->judge.open = false;
		return;
	case KEYS_ENTER:
		o->judge.open = false;
		*out = (struct intent){ .kind = INTENT_JUDGE,
			                .n = *grade,
			                .text = buf_str(&o->judge.text[0]),
			                .more = buf_str(&o->judge.text[1]) };
		return;
	case KEYS_TAB:
	case KEYS_DOWN:
		*field = (*field + 1) % 3;
		return;
	case KEYS_BACKTAB:
	case KEYS_UP:
		*field = (*field + 2) % 3;
		return;
	default:
		break;
	}
	if (*field) {
		field_key(o, *field - 1, k);
		return;
	}
	if (!k.ctrl && k.code >= '0' && k.code <= '5')
		*grade = (int)(k.code - '0');
	else if (k.code == KEYS_LEFT || k.code == 'h')
		*grade -= *grade > 0;
	else if (k.code == KEYS_RIGHT || k.code == 'l')
		*grade += *grade < 5;
	else if (k.code == KEYS_BACKSPACE || k.code == '-')
		*grade = -1;
	else if (k.code == 'q')
		o->judge.open = false;
}

/* ---- all of them ---- */

void overlay_draw(struct overlays *o, const struct view *v, struct canvas *c, struct rect r)
{
	switch (overlay_top(o, v)) {
	case OVERLAY_CHOICE:
		choice_draw(o, v, c, r);
		break;
	case OVERLAY_PAGE:
		page_draw(o, v, c, r);
		break;
	case OVERLAY_JUDGE:
		judge_draw(o, v, c, r);
		break;
	default:
		/* what is opened next begins anew, though it be called the same */
		o->choice_of = 0;
		o->filtering = false;
	}
}

bool overlay_key(struct overlays *o, const struct view *v, struct key k, struct intent *out)
{
	switch (overlay_top(o, v)) {
	case OVERLAY_CHOICE:
		choice_key(o, v, k, out);
		return true;
	case OVERLAY_PAGE:
		page_key(o, v, k, out);
		return true;
	case OVERLAY_JUDGE:
		judge_key(o, k, out);
		return true;
	default:
		return false;
	}
}

bool overlay_paste(struct overlays *o, const struct view *v, const char *text, size_t len)
{
	struct buf clean = { 0 };

	if (!overlay_typing(o, v) || (o->judge.open && !o->judge.field))
		return false;
	if (len > NOTE_MAX)
		len = NOTE_MAX;
	utf8_clean_line(&clean, text, len);
	if (o->judge.open)
		field_insert(o, o->judge.field - 1, buf_str(&clean), clean.len);
	else if (o->choice.filter.len + clean.len <= FILTER_MAX)
		buf_add(&o->choice.filter, buf_str(&clean), clean.len);
	buf_release(&clean);
	return true;
}

const char *overlay_keys(const struct overlays *o, const struct view *v)
{
	switch (overlay_top(o, v)) {
	case OVERLAY_CHOICE:
		return o->filtering ? "type to filter   Enter take it   Esc no filter"
		                    : "Enter take it   j k move   / filter   Esc close";
	case OVERLAY_PAGE:
		return "j k scroll   Space page   / find   w wrap   Esc close";
	case OVERLAY_JUDGE:
		return o->judge.field ? "type   Tab next field   Enter keep it   Esc leave"
		                      : "0-5 grade   Tab next field   Enter keep it   Esc leave";
	default:
		return "";
	}
}
