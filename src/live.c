#include "src/live.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/extract.h"
#include "src/base/json.h"

static const char *const terms[LIVE_TERMS] = {
	"build",      "topology",    "contact",    "semantic_parts", "reference_similarity",
	"silhouette", "editability", "efficiency",
};

/* ---- an answer's text: what was thought, what is the program ---- */

/* Where the line under way belongs. */
enum state {
	TALK,   /* nothing that looks like a program yet */
	FENCED, /* inside a block that may be the program */
	BARE,   /* a program without fences */
	OTHER,  /* inside a block of something else */
	AFTER,  /* behind the program's block */
};

static void clear_answer(struct live_answer *a)
{
	uint64_t version = a->version;

	buf_release(&a->text);
	buf_release(&a->thinking);
	buf_release(&a->code);
	free(a->tokens);
	*a = (struct live_answer){ .total = NAN, .version = version + 1 };
}

static void code_begins(struct live_answer *a, size_t at)
{
	buf_clear(&a->code);
	a->code_kept = 0;
	a->code_at = at;
}

static bool has_code(const struct live_answer *a)
{
	return a->state == FENCED || a->state == BARE;
}

/* Of the line that begins at line_at the text up to @to goes to the code. */
static void pass(struct live_answer *a, size_t to)
{
	if (to > a->passed)
		buf_add(&a->code, a->text.data + a->passed, to - a->passed);
	a->passed = to;
}

/* The line from line_at to @end (its newline behind it) is whole. */
static void end_line(struct live_answer *a, size_t end)
{
	const char *line = buf_str(&a->text) + a->line_at;
	size_t len = end + 1 - a->line_at;
	struct extract_fence f;
	bool fence = a->passed == a->line_at && extract_is_fence(line, len, &f);

	switch (a->state) {
	case FENCED:
		if (fence && f.bare && f.mark == a->fence)
			a->state = AFTER;
		else
			pass(a, end + 1);
		break;
	case OTHER:
		if (fence && f.bare && f.mark == a->fence)
			a->state = a->code.len ? AFTER : TALK;
		break;
	default:
		if (fence && f.python) {
			code_begins(a, end + 1);
			a->state = FENCED;
			a->fence = f.mark;
		} else if (fence && a->state != BARE) {
			a->state = OTHER;
			a->fence = f.mark;
		} else if (a->state == BARE) {
			pass(a, end + 1);
		} else if (a->state == TALK && extract_is_python(line, len)) {
			code_begins(a, a->line_at);
			a->state = BARE;
			pass(a, end + 1);
		}
		break;
	}
	a->line_at = a->passed = end + 1;
}

/* Whether the line under way, which begins with these bytes, may turn out to be a fence. */
static bool may_be_fence(const char *p, size_t n)
{
	enum { INDENT_MAX = 256 };
	size_t i = 0;

	/* a line of nothing but blanks is looked at for so long and no longer */
	while (i < n && i < INDENT_MAX && (p[i] == ' ' || p[i] == '\t'))
		i++;
	if (i == n || i == INDENT_MAX)
		return i == n;
	if (p[i] != '`' && p[i] != '~')
		return false;
	for (size_t k = 1; k < 3 && i + k < n; k++)
		if (p[i + k] != p[i])
			return false;
	return true;
}

/* Text from looked to @to that was not thought. */
static void take_talk(struct live_answer *a, size_t to)
{
	while (a->looked < to) {
		const char *from = a->text.data + a->looked;
		const char *nl = memchr(from, '\n', to - a->looked);
		size_t end = nl ? (size_t)(nl - a->text.data) : to;
		if (nl)
			end_line(a, end);
		else if (has_code(a) &&
		         (a->passed > a->line_at ||
		          !may_be_fence(a->text.data + a->line_at, end - a->line_at)))
			pass(a, end);
		a->looked = nl ? end + 1 : end;
	}
}

static void take_thought(struct live_answer *a, size_t to)
{
	buf_add(&a->thinking, a->text.data + a->looked, to - a->looked);
	a->looked = to;
}

/* Bytes at the end of @p that may be the beginning of @mark. */
static size_t begins_mark(const char *p, size_t n, const char *mark)
{
	for (size_t k = strlen(mark) - 1; k > 0; k--)
		if (k <= n && memcmp(p + n - k, mark, k) == 0)
			return k;
	return 0;
}

static void look(struct live_answer *a)
{
	if (buf_failed(&a->text))
		return;
	while (a->looked < a->text.len) {
		const char *mark = a->in_thought ? "</think>" : "<think>";
		const char *p = a->text.data + a->looked;
		size_t n = a->text.len - a->looked;
		const char *m = memmem(p, n, mark, strlen(mark));
		size_t to = a->looked + (m ? (size_t)(m - p) : n - begins_mark(p, n, mark));
		if (a->in_thought)
			take_thought(a, to);
		else
			take_talk(a, to);
		if (!m)
			break;
		/* a mark ends a line of talk: what comes behind is not one with it */
		a->looked = to + strlen(mark);
		if (!a->in_thought && has_code(a))
			pass(a, to);
		a->line_at = a->passed = a->looked;
		a->in_thought = !a->in_thought;
	}
}

static int add_text(struct live_answer *a, const char *text, size_t len, struct err *e)
{
	size_t was = a->code.len;

	if (len == 0)
		return 0;
	buf_add(&a->text, text, len);
	a->version++;
	a->code_kept = was;
	look(a);
	if (a->code_kept > a->code.len)
		a->code_kept = 0;
	if (buf_failed(&a->text) || buf_failed(&a->thinking) || buf_failed(&a->code))
		return err_set(e, ERR_MEM, "no memory for an answer");
	return 0;
}

/* All of it is there: the program as it is built. */
static int settle(struct live_answer *a, enum extract_rule rule, struct err *e)
{
	struct extract x;

	a->over = true;
	if (a->whole || a->text.len == 0)
		return 0;
	if (extract_program(&x, rule, buf_str(&a->text), a->text.len, e) < 0)
		return -1;
	if (x.program.len != a->code.len ||
	    memcmp(buf_str(&x.program), buf_str(&a->code), a->code.len) != 0) {
		buf_release(&a->code);
		a->code = x.program;
		x.program = (struct buf){ 0 };
		a->code_kept = 0;
	} else {
		a->code_kept = a->code.len;
	}
	a->code_at = x.offset;
	a->version++;
	a->whole = true;
	extract_release(&x);
	return 0;
}

/* ---- tokens ---- */

static void copy_text(char *out, size_t size, const char *text)
{
	size_t n = strlen(text);

	if (n >= size) {
		n = size - 1;
		while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
			n--;
	}
	memcpy(out, text, n);
	out[n] = '\0';
}

static struct live_token *add_token(struct live_answer *a)
{
	if (a->n_tokens == LIVE_TOKENS_MAX)
		return NULL;
	if (a->n_tokens == a->cap_tokens) {
		int cap = a->cap_tokens ? 2 * a->cap_tokens : 256;
		void *p = realloc(a->tokens, (size_t)cap * sizeof(*a->tokens));
		if (!p)
			return NULL;
		a->tokens = p;
		a->cap_tokens = cap;
	}
	return &a->tokens[a->n_tokens++];
}

static void add_rival(struct live_token *t, double id, double p, const char *text)
{
	if (t->n_top == LIVE_TOP)
		return;
	t->top[t->n_top].id = id >= 0 && id <= INT32_MAX ? (int32_t)id : -1;
	t->top[t->n_top].p = (float)p;
	copy_text(t->top[t->n_top].text, sizeof(t->top[0].text), text);
	t->n_top++;
}

static double number_at(const cJSON *list, int i)
{
	const cJSON *v = cJSON_GetArrayItem(list, i);

	return cJSON_IsNumber(v) ? v->valuedouble : NAN;
}

static const char *text_at(const cJSON *list, int i)
{
	const cJSON *v = cJSON_GetArrayItem(list, i);

	return cJSON_IsString(v) ? v->valuestring : "";
}

static int32_t id_of(double v)
{
	return v >= 0 && v <= INT32_MAX ? (int32_t)v : -1;
}

static int on_token(struct live_answer *a, const cJSON *o, struct err *e)
{
	const char *text = json_string_or(o, "text", "");
	struct live_token *t = add_token(a);
	const cJSON *rival;

	if (t) {
		*t = (struct live_token){
			.start = a->text.len,
			.id = id_of(json_number_or(o, "id", -1)),
			.p = (float)json_number_or(o, "p", NAN),
			.entropy = (float)json_number_or(o, "entropy", NAN),
		};
		cJSON_ArrayForEach(rival, cJSON_GetObjectItemCaseSensitive(o, "top"))
			add_rival(t, number_at(rival, 0), number_at(rival, 1), text_at(rival, 2));
	}
	return add_text(a, text, strlen(text), e);
}

/* The next of a list that is walked along; NULL past its end. */
static const cJSON *step(const cJSON **at)
{
	const cJSON *v = *at;

	*at = v ? v->next : NULL;
	return v;
}

static double step_number(const cJSON **at)
{
	const cJSON *v = step(at);

	return cJSON_IsNumber(v) ? v->valuedouble : NAN;
}

static const cJSON *first_of(const cJSON *o, const char *key)
{
	const cJSON *list = cJSON_GetObjectItemCaseSensitive(o, key);

	return cJSON_IsArray(list) ? list->child : NULL;
}

int live_tokens(struct live *l, int member, const cJSON *tokens, struct err *e)
{
	const cJSON *at = first_of(tokens, "at"), *ids = first_of(tokens, "ids");
	const cJSON *logprobs = first_of(tokens, "logprobs");
	const cJSON *entropy = first_of(tokens, "entropy"), *top = first_of(tokens, "top"), *v;
	size_t before = 0;

	(void)e;
	if (member < 0 || member >= LIVE_MEMBERS_MAX || !at)
		return 0;
	struct live_answer *a = &l->answer[member];
	a->n_tokens = 0;
	while ((v = step(&at))) {
		double start = cJSON_IsNumber(v) ? v->valuedouble : -1;
		struct live_token *t;
		const cJSON *rival, *rivals = step(&top);
		double id = step_number(&ids), p = step_number(&logprobs),
		       h = step_number(&entropy);
		/* of another text, or damaged */
		if (!(start >= (double)before && start <= (double)a->text.len))
			break;
		if (!(t = add_token(a)))
			break;
		before = (size_t)start;
		*t = (struct live_token){
			.start = before,
			.id = id_of(id),
			.p = (float)exp(p),
			.entropy = (float)h,
		};
		cJSON_ArrayForEach(rival, rivals) add_rival(
			t, number_at(rival, 0), exp(number_at(rival, 1)), text_at(rival, 2));
	}
	a->version++;
	a->code_kept = a->code.len;
	return 0;
}

int live_code_first(const struct live_answer *a)
{
	int low = 0, high = a->n_tokens;

	/* starts rise: the first that is not before the code */
	while (low < high) {
		int mid = low + (high - low) / 2;
		if (a->tokens[mid].start < a->code_at)
			low = mid + 1;
		else
			high = mid;
	}
	/* the one before may reach into it */
	if (low > 0 && (low < a->n_tokens ? a->tokens[low].start : a->text.len) > a->code_at)
		low--;
	return low;
}

int live_code_tokens(const struct live_answer *a, struct live_token *out, int cap)
{
	size_t end = a->code_at + a->code.len;
	int n = 0;

	if (a->code.len == 0)
		return 0;
	for (int i = live_code_first(a); i < a->n_tokens && a->tokens[i].start < end && n < cap;
	     i++) {
		size_t start = a->tokens[i].start;
		out[n] = a->tokens[i];
		out[n++].start = start > a->code_at ? start - a->code_at : 0;
	}
	return n;
}

/* ---- the whole ---- */

static void forget_score(struct live *l)
{
	for (int i = 0; i < LIVE_TERMS; i++) {
		l->terms[i] = NAN;
		l->early[i] = false;
	}
	l->total = l->delta = NAN;
	l->class_name[0] = l->build_error[0] = l->early_error[0] = l->early_name[0] = '\0';
	l->build_line = l->early_line = 0;
	l->build_s = NAN;
}

static void forget_turn(struct live *l)
{
	forget_score(l);
	buf_clear(&l->log);
	l->log_version++;
	l->prompt_tokens = l->cached_tokens = l->drafted = l->accepted = -1;
}

void live_init(struct live *l)
{
	*l = (struct live){ 0 };
	for (int i = 0; i < LIVE_MEMBERS_MAX; i++)
		l->answer[i].total = NAN;
	forget_turn(l);
}

void live_release(struct live *l)
{
	for (int i = 0; i < LIVE_MEMBERS_MAX; i++) {
		buf_release(&l->answer[i].text);
		buf_release(&l->answer[i].thinking);
		buf_release(&l->answer[i].code);
		free(l->answer[i].tokens);
	}
	buf_release(&l->log);
	buf_release(&l->stl);
	cJSON_Delete(l->score);
	*l = (struct live){ 0 };
}

static struct live_answer *answer_of(struct live *l, int member)
{
	int i = member > 0 ? member - 1 : 0;

	if (i >= LIVE_MEMBERS_MAX)
		i = LIVE_MEMBERS_MAX - 1;
	if (l->n_answers <= i)
		l->n_answers = i + 1;
	return &l->answer[i];
}

static void copy(char *out, size_t size, const cJSON *o, const char *key)
{
	copy_text(out, size, json_string_or(o, key, ""));
}

static int count_of(const cJSON *o, const char *key, int def)
{
	double v = json_number_or(o, key, def);

	return v >= -1 && v <= INT32_MAX ? (int)v : def;
}

/* Answers of a round are gone when the next begins. */
static void clear_answers(struct live *l)
{
	for (int i = 0; i < l->n_answers; i++)
		clear_answer(&l->answer[i]);
	l->n_answers = 1;
	l->member = 0;
}

static void on_begin(struct live *l, const cJSON *o, int64_t time_us)
{
	int64_t episode = (int64_t)json_number_or(o, "episode", 0);
	int group = count_of(o, "group", 1);

	/* of another episode nothing is left */
	if (episode != l->episode) {
		cJSON_Delete(l->score);
		l->score = NULL;
		buf_release(&l->stl);
		l->stl_version++;
		l->best = 0;
	}
	copy(l->task, sizeof(l->task), o, "task");
	copy(l->profile, sizeof(l->profile), o, "profile");
	l->episode = episode;
	l->parent = count_of(o, "parent", 0);
	l->best = count_of(o, "best", l->best);
	l->end[0] = '\0';
	clear_answers(l);
	l->n_answers = group < 1 ? 1 : group > LIVE_MEMBERS_MAX ? LIVE_MEMBERS_MAX : group;
	forget_turn(l);
	l->started_us = l->last_us = time_us;
	l->first_token_us = 0;
	l->at = LIVE_AT_GENERATE;
}

static void on_ask(struct live *l, const cJSON *o, const struct live_news *n)
{
	int turn = count_of(o, "turn", n->turn);

	l->parent = count_of(o, "parent", 0);
	l->end[0] = '\0';
	/* a turn of its own; the siblings of a group share their round */
	if (n->member == 0 && turn != l->turn) {
		bool first = l->answer[0].turn != 0 || l->answer[0].over || l->n_answers > 1;
		if (first)
			clear_answers(l);
		l->first_token_us = 0;
		l->started_us = n->time_us;
	} else if (n->member == 1 && l->turn == 0) {
		l->started_us = n->time_us;
	}
	if (l->n_answers == 0)
		l->n_answers = 1;
	if (turn != l->turn)
		forget_turn(l);
	l->turn = turn;
	l->at = LIVE_AT_GENERATE;
}

static void on_decision(struct live *l, const cJSON *o, const struct live_news *n)
{
	const char *what = json_string_or(o, "do", "");

	if (strcmp(what, "ask") == 0) {
		on_ask(l, o, n);
	} else if (strcmp(what, "commit") == 0) {
		l->at = LIVE_AT_COMMIT;
		l->delta = json_number_or(o, "delta", NAN);
		if (json_bool_or(o, "best", false))
			l->best = n->turn ? n->turn : l->turn;
	} else if (strcmp(what, "end") == 0) {
		copy(l->end, sizeof(l->end), o, "why");
		l->best = count_of(o, "best", l->best);
		l->at = LIVE_AT_DONE;
	}
}

static void on_phase(struct live *l, const cJSON *o)
{
	static const char *const names[] = { "idle",   "generate", "build", "score",
		                             "commit", "wait",     "done" };
	const char *name = json_string_or(o, "phase", "");

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strcmp(name, names[i]) == 0)
			l->at = (enum live_at)i;
	if (l->at == LIVE_AT_WAIT || l->at == LIVE_AT_DONE)
		copy(l->end, sizeof(l->end), o, "why");
}

static void on_build(struct live *l, const cJSON *o, struct live_answer *a)
{
	a->built = json_bool_or(o, "ok", false);
	l->build_s = json_number_or(o, "seconds", NAN);
	l->build_line = count_of(o, "line", 0);
	copy(l->build_error, sizeof(l->build_error), o, "error");
	l->at = LIVE_AT_SCORE;
}

static void on_figure(struct live *l, const cJSON *o)
{
	const char *name = json_string_or(o, "name", "");
	double v = json_number_or(o, "value", NAN);

	if (strcmp(name, "total") == 0)
		l->total = v;
	for (int i = 0; i < LIVE_TERMS; i++)
		if (strcmp(name, terms[i]) == 0) {
			l->terms[i] = v;
			l->early[i] = json_bool_or(o, "early", false);
		}
}

static void on_score(struct live *l, const cJSON *o, struct live_answer *a, int turn)
{
	const cJSON *reward = cJSON_GetObjectItemCaseSensitive(o, "reward");
	const cJSON *build = cJSON_GetObjectItemCaseSensitive(o, "build");
	cJSON *score = cJSON_Duplicate(o, true);

	if (!score)
		return;
	cJSON_Delete(l->score);
	l->score = score;
	a->turn = count_of(o, "turn", turn);
	a->total = l->total = json_number_or(reward, "total", NAN);
	a->built = json_bool_or(build, "ok", false);
	a->over = true;
	copy(a->class_name, sizeof(a->class_name), build, "class");
	if (cJSON_HasObjectItem(o, "finish"))
		copy(a->finish, sizeof(a->finish), o, "finish");
	for (int i = 0; i < LIVE_TERMS; i++) {
		l->terms[i] = json_number_or(reward, terms[i], NAN);
		l->early[i] = false;
	}
	l->delta = json_number_or(cJSON_GetObjectItemCaseSensitive(o, "delta"), "total", NAN);
	copy(l->class_name, sizeof(l->class_name), build, "class");
	copy(l->build_error, sizeof(l->build_error), build, "error");
	l->build_line = count_of(build, "line", 0);
	l->build_s = json_number_or(build, "seconds", l->build_s);
	l->best = count_of(o, "best", l->best);
	l->turn = a->turn ? a->turn : l->turn;
	a->version++;
	a->code_kept = a->code.len;
}

static int on_text(struct live *l, const struct live_news *n, struct live_answer *a, struct err *e)
{
	const char *text = cJSON_IsString(n->data) ? n->data->valuestring : "";

	if (!l->first_token_us)
		l->first_token_us = n->time_us;
	return add_text(a, text, strlen(text), e);
}

static int on_log(struct live *l, const struct live_news *n, struct err *e)
{
	if (cJSON_IsString(n->data))
		buf_adds(&l->log, n->data->valuestring);
	l->log_version++;
	return buf_failed(&l->log) ? err_set(e, ERR_MEM, "no memory for a log") : 0;
}

static void on_early(struct live *l, const cJSON *o)
{
	copy(l->early_error, sizeof(l->early_error), o, "error");
	if (json_string_or(o, "name", NULL))
		copy(l->early_name, sizeof(l->early_name), o, "name");
	if (count_of(o, "line", 0) > 0)
		l->early_line = count_of(o, "line", 0);
}

static enum extract_rule rule_of(const cJSON *o)
{
	return strcmp(json_string_or(o, "rule", ""), "file") == 0 ? EXTRACT_FILE : EXTRACT_ANSWER;
}

int live_shape(struct live *l, const void *stl, size_t len, int line, struct err *e)
{
	buf_clear(&l->stl);
	buf_add(&l->stl, stl, len);
	l->stl_version++;
	l->stl_line = line;
	return buf_failed(&l->stl) ? err_set(e, ERR_MEM, "no memory for a shape") : 0;
}

int live_feed(struct live *l, const struct live_news *n, struct err *e)
{
	const cJSON *o = n->data;
	struct live_answer *a;

#define IS(x) (strcmp(n->kind, x) == 0)
	if (n->time_us > l->last_us)
		l->last_us = n->time_us;
	if (IS("begin")) {
		on_begin(l, o, n->time_us);
		return 0;
	}
	if (IS("phase")) {
		on_phase(l, o);
		return 0;
	}
	if (IS("decision")) {
		on_decision(l, o, n);
		return 0;
	}
	if (IS("figure")) {
		on_figure(l, o);
		return 0;
	}
	if (IS("early")) {
		on_early(l, o);
		return 0;
	}
	if (IS("log"))
		return on_log(l, n, e);
	if (IS("shape"))
		return live_shape(l, n->bytes, n->len, count_of(o, "line", 0), e);
	if (!IS("token") && !IS("tokens") && !IS("over") && !IS("completion") &&
	    !IS("generation") && !IS("build") && !IS("turn"))
		return 0;
	a = answer_of(l, n->member);
	if (IS("tokens"))
		return on_text(l, n, a, e);
	if (IS("token")) {
		if (!l->first_token_us)
			l->first_token_us = n->time_us;
		return on_token(a, o, e);
	}
	if (IS("over")) {
		copy(a->finish, sizeof(a->finish), o, "finish");
		return settle(a, EXTRACT_ANSWER, e);
	}
	if (IS("completion")) {
		copy(a->finish, sizeof(a->finish), o, "finish");
		l->member = (int)(a - l->answer);
		l->at = LIVE_AT_BUILD;
		return settle(a, rule_of(o), e);
	}
	if (IS("generation")) {
		l->prompt_tokens = count_of(o, "prompt_tokens", -1);
		l->cached_tokens = count_of(o, "cached_tokens", -1);
		l->drafted = count_of(o, "drafted", -1);
		l->accepted = count_of(o, "accepted", -1);
	} else if (IS("build")) {
		on_build(l, o, a);
	} else if (IS("turn")) {
		l->member = (int)(a - l->answer);
		on_score(l, o, a, n->turn);
	}
#undef IS
	return 0;
}

int live_event(struct live *l, int64_t time_us, const char *kind, int turn, int member,
               const char *data, size_t len, struct err *e)
{
	bool text = strcmp(kind, "tokens") == 0 || strcmp(kind, "log") == 0;
	struct buf copied = { 0 };
	cJSON *o;
	int rc;

	buf_add(&copied, data, len);
	o = text ? cJSON_CreateString(buf_str(&copied)) : json_parse(buf_str(&copied), len, NULL);
	buf_release(&copied);
	/* what is damaged is passed over */
	struct live_news n = {
		.time_us = time_us, .kind = kind, .turn = turn, .member = member, .data = o
	};
	rc = o ? live_feed(l, &n, e) : 0;
	cJSON_Delete(o);
	return rc;
}
