/*
 * workbench_curriculum.c - failure classes with their weights, what follows next and why, and what
 * a person says of them by hand.
 *
 * What was read stays in memory: a change in the database costs as much as there is new.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/repair.h"
#include "src/curriculum_read.h"
#include "src/packs.h"
#include "src/workbench.h"
#include "src/workbench_training.h"

/* A slice of what is read at the start takes 2 ms. */
enum { ALIVE_S = 2, NEXT = 16, ROWS_MAX = 180, RATES = 64, SLICE = 1500 };

enum order { BY_WEIGHT, BY_COUNT, BY_MASTERY, BY_NAME, N_ORDERS };
static const char *const orders[] = { "weight", "count", "mastery", "name" };

struct wb_curriculum {
	struct curriculum_feed feed;
	struct tallies tallies;
	struct curriculum_state state;
	struct curriculum_ask ask;
	struct curriculum_item item[NEXT];
	int n_items, next[CLASS_COUNT];
	enum order order;
	enum build_class row[CLASS_COUNT]; /* as shown */
	int n_rows;
	bool reading; /* there is more to be read */
	struct wb_training *training;
	char why_not[480];
	/* the prompt of the selected class's newest failure */
	struct prompt_set prompts;
	bool has_prompts;
	struct buf repair;
	int64_t repair_episode;
	int repair_turn;
};

static void forget_prompts(struct wb_curriculum *k)
{
	if (k->has_prompts)
		prompt_set_release(&k->prompts);
	k->has_prompts = false;
}

static int open_it(struct workbench *w, struct err *e)
{
	struct wb_curriculum *k = calloc(1, sizeof(*k));
	struct curriculum_rules rules;

	if (!k)
		return err_set(e, ERR_MEM, "out of memory");
	if (curriculum_rules_load(&rules, NULL, &w->app, "default", e) < 0 ||
	    curriculum_feed_open(&k->feed, &rules, &w->tasks, e) < 0) {
		free(k);
		return -1;
	}
	w->curriculum_state = k;
	return 0;
}

static void close_it(struct workbench *w)
{
	struct wb_curriculum *k = w->curriculum_state;

	if (!k)
		return;
	wb_training_close(k->training);
	curriculum_feed_close(&k->feed);
	tallies_release(&k->tallies);
	forget_prompts(k);
	buf_release(&k->repair);
	free(k);
	w->curriculum_state = NULL;
}

/* ---- what is to be seen ---- */

static int compare_rows(const void *pa, const void *pb, void *ctx)
{
	const struct wb_curriculum *k = ctx;
	const struct curriculum_class *a = &k->state.class[*(const enum build_class *)pa];
	const struct curriculum_class *b = &k->state.class[*(const enum build_class *)pb];

	if (k->order == BY_WEIGHT && a->weight != b->weight)
		return a->weight < b->weight ? 1 : -1;
	if (k->order == BY_MASTERY && a->mastery != b->mastery)
		return a->mastery < b->mastery ? -1 : 1;
	if (k->order == BY_NAME)
		return strcmp(curriculum_class_words(a->class), curriculum_class_words(b->class));
	if (a->count != b->count)
		return a->count < b->count ? 1 : -1;
	return (int)a->class - (int)b->class;
}

static void sort(struct wb_curriculum *k)
{
	k->n_rows = 0;
	for (int i = CLASS_BUILD_OK + 1; i < CLASS_COUNT; i++)
		k->row[k->n_rows++] = (enum build_class)i;
	qsort_r(k->row, (size_t)k->n_rows, sizeof(*k->row), compare_rows, k);
}

/* From the turns that are known to rows, weights and the next batch. */
static void work_out(struct workbench *w)
{
	struct wb_curriculum *k = w->curriculum_state;
	struct err e = { 0 };

	curriculum_look(k->feed.c, k->ask.formula, &k->state);
	k->ask.n = NEXT;
	k->n_items = curriculum_next(k->feed.c, &k->ask, k->item, &e);
	if (k->n_items < 0) {
		k->n_items = 0;
		wb_fail(w, &e);
	}
	memset(k->next, 0, sizeof(k->next));
	for (int i = 0; i < k->n_items; i++)
		if (k->item[i].kind == ITEM_REPAIR)
			k->next[k->item[i].class]++;
	sort(k);
	wb_dirty(w);
}

static void changed(struct workbench *w)
{
	struct wb_curriculum *k = w->curriculum_state;
	struct err e = { 0 };
	struct store *s = wb_store(w, &e);
	int rc = s ? curriculum_feed_read(&k->feed, &k->tallies, s, SLICE, &e) : -1;

	k->why_not[0] = '\0';
	if (s && rc >= 0 && !k->reading && wb_training_look(&k->training, s, &e) < 0)
		rc = -1;
	if (rc < 0)
		snprintf(k->why_not, sizeof(k->why_not), "%s", e.text);
	k->reading = rc > 0;
	if (!k->reading)
		work_out(w);
}

/* What is left of a long reading, a slice after each wait. */
static double tick(struct workbench *w, double now_s)
{
	struct wb_curriculum *k = w->curriculum_state;

	bool other;

	(void)now_s;
	if (k->reading)
		changed(w);
	if (k->reading)
		return 0;
	/* that its process was killed is written nowhere */
	bool works = wb_training_works(k->training, &other);
	if (other)
		wb_dirty(w);
	return works ? ALIVE_S : -1;
}

static int see_task(void *ctx, const struct store_episode *x)
{
	snprintf(ctx, 256, "%s", x->task);
	return 0;
}

static const char *prompts_name(const struct workbench *w)
{
	return json_string_or(w->settings, "prompts", PROMPTS_DEFAULT);
}

static int load_prompts(struct workbench *w, struct err *e)
{
	struct wb_curriculum *k = w->curriculum_state;
	struct prompts_dirs dirs;

	if (k->has_prompts && strcmp(k->prompts.name, prompts_name(w)) == 0)
		return 0;
	forget_prompts(k);
	prompts_dirs(&dirs, &w->app);
	if (prompt_set_load(&k->prompts, dirs.dir, dirs.n, prompts_name(w), e) < 0)
		return -1;
	k->has_prompts = true;
	k->repair_episode = 0;
	return 0;
}

/* The repair prompt of a class, into k->repair; what stands in its way is told there. */
static void make_repair(struct workbench *w, const struct curriculum_class *x)
{
	struct wb_curriculum *k = w->curriculum_state;
	struct err e = { 0 };
	struct store *s;
	const struct task *task;
	char name[256] = "";
	cJSON *messages = NULL;

	if (load_prompts(w, &e) == 0 && k->repair_episode == x->episode &&
	    k->repair_turn == x->turn)
		return;
	buf_clear(&k->repair);
	k->repair_episode = x->episode;
	k->repair_turn = x->turn;
	if (!x->episode)
		return;
	if (!e.kind && (s = wb_store(w, &e)) &&
	    store_episode(s, x->episode, see_task, name, &e) == 0 &&
	    (task = task_find(&w->tasks, name, &e)))
		messages = curriculum_prompt(s, &k->prompts, task, x->episode, x->turn, &e);
	if (messages) {
		/* the system's part is the same for all: what is asked comes first here */
		cJSON *last = cJSON_GetArrayItem(messages, cJSON_GetArraySize(messages) - 1);
		buf_adds(&k->repair, json_string_or(last, "content", ""));
	} else {
		buf_printf(&k->repair, "(there is no prompt: %s)", e.text);
	}
	cJSON_Delete(messages);
}

static const struct curriculum_class *selected(struct workbench *w)
{
	struct wb_curriculum *k = w->curriculum_state;
	int64_t id = wb_selected(w, SCREEN_CURRICULUM);

	if (id <= CLASS_BUILD_OK || id >= CLASS_COUNT)
		return k->n_rows ? &k->state.class[k->row[0]] : NULL;
	return &k->state.class[id];
}

static void view_rows(struct workbench *w, struct view_curriculum *out)
{
	struct wb_curriculum *k = w->curriculum_state;
	struct view_class *rows = wb_array(w, struct view_class, k->n_rows);

	for (int i = 0; rows && i < k->n_rows; i++) {
		const struct curriculum_class *x = &k->state.class[k->row[i]];
		rows[i] = (struct view_class){
			.id = x->class,
			.name = curriculum_class_words(x->class),
			.count = x->count,
			.share = x->share,
			.mastery = x->mastery,
			.weight = x->weight,
			.base = x->base,
			.next = k->next[x->class],
			.hand = x->hand == HAND_PIN    ? CLASS_PINNED
			        : x->hand == HAND_BAN  ? CLASS_BANNED
			        : x->hand == HAND_FREE ? CLASS_FREE
			                               : CLASS_SET,
		};
	}
	out->rows = rows;
	out->n_rows = rows ? k->n_rows : 0;
}

static void view_next(struct workbench *w, struct view_curriculum *out)
{
	struct wb_curriculum *k = w->curriculum_state;
	struct view_next *next = wb_array(w, struct view_next, k->n_items);

	for (int i = 0; next && i < k->n_items; i++) {
		const struct curriculum_item *x = &k->item[i];
		next[i].task = wb_text(w, "%s", curriculum_task_name(k->feed.c, x->task));
		next[i].kind = x->kind == ITEM_REPAIR
		                       ? wb_text(w, "%" PRId64 ".%d", x->episode, x->turn)
		                       : "first try";
		next[i].why = x->why;
		next[i].weight = x->weight;
	}
	out->next = next;
	out->n_next = next ? k->n_items : 0;
}

static void view(struct workbench *w, struct view *v)
{
	struct wb_curriculum *k = w->curriculum_state;
	struct view_curriculum *out = &v->curriculum;
	const struct curriculum_class *x = selected(w);
	struct buf formula = { 0 };
	int batch;

	out->completions = k->state.completions;
	if (k->why_not[0])
		out->why_not = k->why_not;
	wb_training_view(w, k->training, out);
	if (k->state.completions == 0) {
		if (k->reading && !out->why_not)
			out->why_not = "Reading what was run ...";
		wb_status(w, "%s",
		          k->why_not[0] ? k->why_not
		          : k->reading  ? "reading what was run ..."
		                        : "nothing was run in this database yet");
		return;
	}
	view_rows(w, out);
	view_next(w, out);
	out->n_rate = curriculum_rates(k->feed.c, out->rate, RATES, &batch);
	if (x) {
		curriculum_explain(k->feed.c, &k->state, k->ask.formula, x->class, &formula);
		out->formula = wb_text(w, "%s", buf_str(&formula));
		buf_release(&formula);
		make_repair(w, x);
		out->repair = (struct view_text){
			.text = buf_str(&k->repair),
			.len = k->repair.len,
			.id = (uint64_t)k->repair_episode << 20 | (uint64_t)k->repair_turn,
			.version = 1,
		};
	}
	wb_status(w, "%" PRId64 " of %" PRId64 " built; stage %s%s: %d of the newest %d built",
	          k->state.built, k->state.completions,
	          curriculum_stage_name(k->ask.stage == STAGE_AUTO ? k->state.stage : k->ask.stage),
	          k->ask.stage == STAGE_AUTO ? "" : " (set)", k->state.stage_built,
	          k->state.stage_turns);
	wb_status_right(w, "%ssorted: %s",
	                k->ask.formula == CURRICULUM_SEED ? "published formula   " : "",
	                orders[k->order]);
}

/* ---- by hand ---- */

struct before {
	enum build_class class;
	enum store_hand change;
	double weight;
};

static int say(struct workbench *w, enum build_class class, enum store_hand change, double weight,
               const char *why, struct err *e)
{
	struct store_hand_new n = { .class_name = build_class_name(class),
		                    .as = wb_who(w),
		                    .change = change,
		                    .weight = weight,
		                    .why = why };
	struct store *s = wb_store_write(w, e);

	if (!s || store_hand_add(s, &n, NULL, e) < 0)
		return -1;
	wb_store_changed(w);
	return 0;
}

static int take_back(struct workbench *w, void *data, struct err *e)
{
	const struct before *b = data;

	return say(w, b->class, b->change, b->weight, "undone", e);
}

static void by_hand(struct workbench *w, int64_t id, enum store_hand change, double weight,
                    struct err *e)
{
	static const enum store_hand was[] = { STORE_HAND_FREE, STORE_HAND_PIN, STORE_HAND_BAN,
		                               STORE_HAND_WEIGHT };
	struct wb_curriculum *k = w->curriculum_state;
	const struct curriculum_class *x = selected(w);
	char what[160];

	if (id > CLASS_BUILD_OK && id < CLASS_COUNT)
		x = &k->state.class[id];
	if (!x) {
		wb_say(w, MESSAGE_SAY, "no class is selected");
		return;
	}
	/* the same key again: as computed */
	if (change != STORE_HAND_WEIGHT && was[x->hand] == change)
		change = STORE_HAND_FREE;
	struct before *b = malloc(sizeof(*b));
	if (!b) {
		err_set(e, ERR_MEM, "out of memory");
		return;
	}
	*b = (struct before){ x->class, was[x->hand], x->weight };
	if (say(w, x->class, change, weight, NULL, e) < 0) {
		free(b);
		return;
	}
	if (change == STORE_HAND_WEIGHT)
		snprintf(what, sizeof(what), "weight %g of '%.100s'", weight,
		         curriculum_class_words(b->class));
	else
		snprintf(what, sizeof(what), "%s '%.100s'",
		         change == STORE_HAND_FREE ? "as computed:" : store_hand_name(change),
		         curriculum_class_words(b->class));
	wb_say(w, MESSAGE_SAY, "%s, logged for %s; :undo takes it back", what, wb_who(w));
	wb_undoable(w, what, take_back, free, b);
}

static void weight_by_hand(struct workbench *w, const struct intent *in, struct err *e)
{
	const char *text = in->text ? in->text : "";
	char *end;
	double v;

	while (*text == ' ')
		text++;
	if (strcmp(text, "auto") == 0 || strcmp(text, "free") == 0) {
		by_hand(w, wb_selected(w, SCREEN_CURRICULUM), STORE_HAND_FREE, NAN, e);
		return;
	}
	v = strtod(text, &end);
	while (*end == ' ')
		end++;
	if (!*text || *end || !(v >= 0 && v <= 1e6))
		err_set(e, ERR_USAGE,
		        "a weight from 0 to 1000000, or auto, was expected, got '%.40s'", text);
	else
		by_hand(w, wb_selected(w, SCREEN_CURRICULUM), STORE_HAND_WEIGHT, v, e);
}

/* ---- rows to train on ---- */

static void export_rows(struct workbench *w, const char *file, struct err *e)
{
	struct wb_curriculum *k = w->curriculum_state;
	struct curriculum_item *v = calloc(ROWS_MAX, sizeof(*v));
	struct curriculum_ask ask = k->ask;
	struct store *s = wb_store(w, e);
	struct buf out = { 0 };
	int n = -1, rows = 0, rc = -1;

	if (!file || !*file)
		file = "curriculum.jsonl";
	ask.n = ROWS_MAX;
	if (!v)
		err_set(e, ERR_MEM, "out of memory");
	else if (s && load_prompts(w, e) == 0)
		n = rc = curriculum_next(k->feed.c, &ask, v, e);
	for (int i = 0; i < n && rc >= 0; i++) {
		rc = curriculum_row(&out, s, &k->feed, &k->prompts, &v[i], NULL, e);
		rows += rc > 0;
	}
	if (rc >= 0 && buf_failed(&out))
		rc = err_set(e, ERR_MEM, "out of memory");
	if (rc >= 0 && file_write_atomic(file, buf_str(&out), out.len, e) == 0)
		wb_say(w, MESSAGE_SAY, "%d rows to train on in %s", rows, file);
	buf_release(&out);
	free(v);
}

/* ---- intents ---- */

static void open_class(struct workbench *w, int64_t id)
{
	struct store_filter f = store_filter_none();

	if (id <= CLASS_BUILD_OK || id >= CLASS_COUNT)
		return;
	f.class_name = build_class_name((enum build_class)id);
	wb_list_episodes(
		w, wb_text(w, "Episodes with: %s", curriculum_class_words((enum build_class)id)),
		&f);
}

static bool intent(struct workbench *w, const struct intent *in, struct err *e)
{
	struct wb_curriculum *k = w->curriculum_state;
	const char *said;

	switch (in->kind) {
	case INTENT_SELECT:
		wb_dirty(w);
		if (in->m == 2)
			open_class(w, in->n);
		return true;
	case INTENT_OPEN:
		open_class(w, in->n ? in->n : wb_selected(w, SCREEN_CURRICULUM));
		return true;
	case INTENT_PIN:
		by_hand(w, in->n, STORE_HAND_PIN, NAN, e);
		return true;
	case INTENT_BAN:
		by_hand(w, in->n, STORE_HAND_BAN, NAN, e);
		return true;
	case INTENT_WEIGHT:
		weight_by_hand(w, in, e);
		return true;
	case INTENT_ORDER:
		k->order = (k->order + 1) % N_ORDERS;
		sort(k);
		wb_dirty(w);
		return true;
	case INTENT_EXPORT:
		export_rows(w, in->text, e);
		return true;
	case INTENT_PAUSE:
	case INTENT_CHECKPOINT:
		said = wb_training_ask(k->training,
		                       in->kind == INTENT_PAUSE ? "pause" : "checkpoint", e);
		if (said)
			wb_say(w, MESSAGE_SAY, "asked of the training: %s, after this step", said);
		return true;
	default:
		return false;
	}
}

/* ":stage hard", ":formula seed", ":draw 7". */
static bool command(struct workbench *w, const char *text, struct err *e)
{
	struct wb_curriculum *k = w->curriculum_state;
	char word[16] = "", value[32] = "", more[2] = "";
	int n = sscanf(text, "%15s %31s %1s", word, value, more);

	if (n < 1 || (strcmp(word, "stage") && strcmp(word, "formula") && strcmp(word, "draw")))
		return false;
	if (strcmp(word, "stage") == 0) {
		for (int i = STAGE_AUTO; i <= STAGE_HARD && n == 2; i++)
			if (strcmp(value, curriculum_stage_name((enum curriculum_stage)i)) == 0) {
				k->ask.stage = (enum curriculum_stage)i;
				work_out(w);
				return true;
			}
		err_set(e, ERR_USAGE, "stage: auto, foundation, balanced or hard was expected");
	} else if (strcmp(word, "formula") == 0) {
		if (n == 2 && (strcmp(value, "mastery") == 0 || strcmp(value, "seed") == 0)) {
			k->ask.formula = *value == 's' ? CURRICULUM_SEED : CURRICULUM_MASTERY;
			work_out(w);
			return true;
		}
		err_set(e, ERR_USAGE, "formula: mastery or seed was expected");
	} else {
		char *end;
		long v = strtol(value, &end, 10);
		if (n == 2 && !*end && v >= 0 && v <= INT32_MAX) {
			k->ask.seed = (uint32_t)v;
			work_out(w);
			return true;
		}
		err_set(e, ERR_USAGE, "draw: the seed of the next batch was expected, from 0 on");
	}
	return true;
}

static void keep(struct workbench *w, cJSON *o)
{
	const struct wb_curriculum *k = w->curriculum_state;

	cJSON_AddStringToObject(o, "order", orders[k->order]);
	cJSON_AddStringToObject(o, "stage", curriculum_stage_name(k->ask.stage));
	cJSON_AddBoolToObject(o, "published", k->ask.formula == CURRICULUM_SEED);
}

static void recall(struct workbench *w, const cJSON *o)
{
	struct wb_curriculum *k = w->curriculum_state;
	const char *order = json_string_or(o, "order", ""), *stage = json_string_or(o, "stage", "");

	for (int i = 0; i < N_ORDERS; i++)
		if (strcmp(order, orders[i]) == 0)
			k->order = (enum order)i;
	for (int i = STAGE_AUTO; i <= STAGE_HARD; i++)
		if (strcmp(stage, curriculum_stage_name((enum curriculum_stage)i)) == 0)
			k->ask.stage = (enum curriculum_stage)i;
	k->ask.formula = json_bool_or(o, "published", false) ? CURRICULUM_SEED : CURRICULUM_MASTERY;
}

const struct wb_screen wb_curriculum = {
	.open = open_it,
	.close = close_it,
	.view = view,
	.intent = intent,
	.command = command,
	.tick = tick,
	.changed = changed,
	.keep = keep,
	.recall = recall,
};
