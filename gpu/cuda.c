/*
 * The CUDA backend: slots, pages, steps (backend.h) over the kernels (kernels.h, k_prefill.h) and
 * the device (device.h). No CUDA in it: with device_emu.c and the kernels' emulation it runs on the
 * host, which is how `make check` sees it.
 *
 * A step becomes, in this order: page uploads; prefill runs, a piece each; decode passes of up to
 * K_COLUMNS columns (single tokens and windows). Rows of logits of prefill runs wait in rows_x and
 * go through the same head kernel as decode's, so a row's bits do not depend on what it came with.
 * Everything is queued on one stream: what a later kernel reads, an earlier one has written.
 *
 * A window leaves the recurrent state where it was and its rows in the ring (32 rows: the window,
 * the replay before it and the convolution's past); keep() is a change of a number; the next step
 * walks the kept tokens again before its own (struct k_group.replay).
 *
 * Pages are counted by their users. A slot that is about to write into one that others read gets a
 * copy first.
 */
#include "gpu/cuda_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/k_prefill.h"

static struct cuda *of(const struct backend *b)
{
	return (struct cuda *)b;
}

/* ---- slots ---- */

static void page_drop(struct cuda *b, struct cuda_slot *s, int keep)
{
	while (s->n_pages > keep) {
		int32_t page = s->page[--s->n_pages];
		if (--b->page_refs[page] == 0)
			b->free_page[b->n_free_pages++] = page;
	}
}

static bool slot_valid(const struct cuda *b, int slot)
{
	return slot >= 0 && slot < b->slots && b->slot[slot].used;
}

static int cuda_slot_open(struct backend *base, int from, struct err *e)
{
	struct cuda *b = of(base);
	int n = 0;
	if (from != -1 && !slot_valid(b, from))
		return err_set(e, ERR_USAGE, "slot %d is not open", from);
	while (n < b->slots && b->slot[n].used)
		n++;
	if (n == b->slots)
		return err_set(e, ERR_MEM,
		               "all %d slots are taken; close one, or open the backend with more",
		               b->slots);
	struct cuda_slot *s = &b->slot[n];
	float *state = b->state + (uint64_t)n * b->state_values;
	s->used = true;
	s->position = s->pending = s->window = s->n_pages = 0;
	if (from == -1) {
		device_zero(b->device, state, b->state_values * sizeof(float));
		device_zero(b->device, b->slot_token + n, sizeof(int32_t));
	} else {
		const struct cuda_slot *old = &b->slot[from];
		device_copy(b->device, state, b->state + (uint64_t)from * b->state_values,
		            b->state_values * sizeof(float));
		device_copy(b->device, b->ring + (uint64_t)n * b->ring_values,
		            b->ring + (uint64_t)from * b->ring_values,
		            b->ring_values * sizeof(float));
		device_copy(b->device, b->slot_token + n, b->slot_token + from, sizeof(int32_t));
		device_copy(b->device, b->table + (uint64_t)n * b->pages_of_context,
		            b->table + (uint64_t)from * b->pages_of_context,
		            (uint64_t)old->n_pages * sizeof(int32_t));
		s->position = old->position;
		s->pending = old->pending;
		s->n_pages = old->n_pages;
		for (int i = 0; i < old->n_pages; i++) {
			s->page[i] = old->page[i];
			b->page_refs[s->page[i]]++;
		}
	}
	if (device_check(b->device, e) < 0) {
		page_drop(b, s, 0);
		s->used = false;
		return -1;
	}
	return n;
}

static void cuda_slot_close(struct backend *base, int slot)
{
	struct cuda *b = of(base);
	if (!slot_valid(b, slot))
		return;
	page_drop(b, &b->slot[slot], 0);
	b->slot[slot].used = false;
}

static int cuda_slot_position(const struct backend *base, int slot)
{
	const struct cuda *b = of(base);
	return slot_valid(b, slot) ? b->slot[slot].position : -1;
}

static int cuda_keep(struct backend *base, int slot, int n_kept, struct err *e)
{
	struct cuda *b = of(base);
	if (!slot_valid(b, slot))
		return err_set(e, ERR_USAGE, "slot %d is not open", slot);
	struct cuda_slot *s = &b->slot[slot];
	if (n_kept < 1 || n_kept > s->window)
		return err_set(e, ERR_USAGE,
		               "%d tokens to keep of slot %d, whose last run was a window of %d",
		               n_kept, slot, s->window);
	s->position -= s->window - n_kept;
	if (s->window > 1)
		s->pending = n_kept;
	s->window = 0;
	page_drop(b, s, (s->position + K_PAGE - 1) / K_PAGE);
	return 0;
}

static void cuda_figures(const struct backend *base, struct backend_figures *out)
{
	const struct cuda *b = of(base);
	const struct model_config *c = &b->model->config;
	memset(out, 0, sizeof(*out));
	snprintf(out->device, sizeof(out->device), "%s", b->about.name);
	out->weight_bytes = b->weight_bytes;
	out->slot_bytes = (b->state_values + b->ring_values) * sizeof(float);
	out->kv_bytes_per_token = 2 * (uint64_t)c->n_attention * b->page_bytes / K_PAGE;
	out->kv_bytes_free =
		2 * (uint64_t)c->n_attention * b->page_bytes * (uint64_t)b->n_free_pages;
	for (int i = 0; i < b->slots; i++)
		out->slots_free += !b->slot[i].used;
	out->context = b->context;
}

/* ---- what a step may be ---- */

static bool decodes(const struct run *r)
{
	return r->n == 1 || r->window;
}

static bool row_wanted(const struct run *r, int row)
{
	return r->rows == ROWS_ALL || (r->rows == ROWS_LAST && row == r->n - 1);
}

static int check_run(const struct cuda *b, const struct step *s, int i, struct err *e)
{
	const struct run *r = &s->run[i];
	int most = r->window ? BACKEND_WINDOW_MAX : BACKEND_PIECE;
	if (!slot_valid(b, r->slot))
		return err_set(e, ERR_USAGE, "run %d: slot %d is not open", i, r->slot);
	for (int j = 0; j < i; j++)
		if (s->run[j].slot == r->slot)
			return err_set(e, ERR_USAGE, "slot %d is in runs %d and %d of one step",
			               r->slot, j, i);
	if (r->n < 1 || r->n > most)
		return err_set(e, ERR_USAGE, "run %d has %d tokens; 1 to %d are taken", i, r->n,
		               most);
	if (!r->ids && r->n != 1)
		return err_set(e, ERR_USAGE, "run %d has %d tokens and no ids", i, r->n);
	for (int t = 0; r->ids && t < r->n; t++)
		if (r->ids[t] < 0 || r->ids[t] >= b->model->config.vocabulary)
			return err_set(e, ERR_USAGE,
			               "run %d: token %d is %d; the vocabulary has %d", i, t,
			               r->ids[t], b->model->config.vocabulary);
	if (b->slot[r->slot].position + r->n > b->context)
		return err_set(e, ERR_USAGE,
		               "slot %d holds %d tokens and is given %d; the context is %d",
		               r->slot, b->slot[r->slot].position, r->n, b->context);
	if (r->mix.n < 0 || r->mix.n > LORA_BLEND_MAX)
		return err_set(e, ERR_USAGE, "run %d blends %d adapters; %d at most", i, r->mix.n,
		               LORA_BLEND_MAX);
	for (int j = 0; j < r->mix.n; j++) {
		int a = r->mix.part[j].adapter;
		if (a < 1 || a > ADAPTERS_MAX || !b->adapter[a - 1].used)
			return err_set(e, ERR_USAGE, "run %d: there is no adapter %d", i, a);
	}
	return 0;
}

static int check_pick(const struct cuda *b, const struct step *s, int i, struct err *e)
{
	const struct pick *p = &s->pick[i];
	const struct sampler_input *in = &p->input;
	if (p->run < 0 || p->run >= s->n_runs || p->row < 0 || p->row >= s->run[p->run].n ||
	    !row_wanted(&s->run[p->run], p->row))
		return err_set(e, ERR_USAGE, "pick %d: row %d of run %d is not among its rows", i,
		               p->row, p->run);
	if (in->n_answer < 0 || in->n_prompt < 0 ||
	    (uint64_t)in->n_answer + (uint64_t)in->n_prompt > (uint64_t)b->context)
		return err_set(e, ERR_USAGE, "pick %d: %d + %d earlier tokens; the context is %d",
		               i, in->n_prompt, in->n_answer, b->context);
	if (in->sampling->top < 0 || in->sampling->top > SAMPLER_TOP_MAX)
		return err_set(e, ERR_USAGE, "pick %d: %d alternatives; %d at most", i,
		               in->sampling->top, SAMPLER_TOP_MAX);
	return 0;
}

/* ---- pages ---- */

/* Pages that run @r has to be given: new ones, and copies of those that others read too. */
static int pages_wanted(const struct cuda *b, const struct run *r)
{
	const struct cuda_slot *s = &b->slot[r->slot];
	int last = (s->position + r->n - 1) / K_PAGE, n = 0;
	for (int i = s->position / K_PAGE; i <= last; i++)
		n += i >= s->n_pages || b->page_refs[s->page[i]] > 1;
	return n;
}

static int give_pages(struct cuda *b, const struct run *r, struct err *e)
{
	struct cuda_slot *s = &b->slot[r->slot];
	int first = s->position / K_PAGE, last = (s->position + r->n - 1) / K_PAGE;
	bool changed = false;
	for (int i = first; i <= last; i++) {
		if (i < s->n_pages && b->page_refs[s->page[i]] == 1)
			continue;
		int32_t page = b->free_page[--b->n_free_pages];
		b->page_refs[page] = 1;
		changed = true;
		if (i < s->n_pages) {
			int32_t old = s->page[i];
			for (int l = 0; l < b->model->config.n_attention; l++) {
				uint64_t layer = (uint64_t)l * b->pages;
				uint64_t to = (layer + page) * b->page_bytes,
					 from = (layer + old) * b->page_bytes;
				device_copy(b->device, b->k_pages + to, b->k_pages + from,
				            b->page_bytes);
				device_copy(b->device, b->v_pages + to, b->v_pages + from,
				            b->page_bytes);
			}
			b->page_refs[old]--;
		} else {
			s->n_pages = i + 1;
		}
		s->page[i] = page;
	}
	if (!changed)
		return 0;
	uint64_t bytes = (uint64_t)(last - first + 1) * sizeof(int32_t);
	int32_t *to = cuda_stage(b, bytes, e);
	if (!to)
		return -1;
	memcpy(to, s->page + first, bytes);
	device_upload(b->device, b->table + (uint64_t)r->slot * b->pages_of_context + first, to,
	              bytes);
	return 0;
}

/* ---- rows of logits, and picks ---- */

struct rows_batch {
	int n;
	struct {
		int run, row;
	} at[K_COLUMNS];
};

/* What a submit carries along. */
struct submit {
	struct cuda *b;
	const struct step *step;
	struct cuda_queued *queued;
	struct rows_batch rows; /* of prefill runs, in b->rows_x */
};

static bool needs_history(const struct sampling *s)
{
	return s->presence != 0 || s->frequency != 0 || s->repetition != 1;
}

/* Fills pick number @place of @pass. */
static int put_pick(struct submit *u, struct cuda_pass *pass, int place, int index, int row,
                    struct err *e)
{
	struct cuda *b = u->b;
	const struct pick *p = &u->step->pick[index];
	const struct sampler_input *in = &p->input;
	struct k_pick_input *to = &pass->pick[place];
	memset(to, 0, sizeof(*to));
	to->row = row;
	to->slot = u->step->run[p->run].slot;
	to->sampling = *in->sampling;
	to->position = in->position;
	if (in->mask) {
		uint64_t words = ((uint64_t)b->model->config.vocabulary + 63) / 64;
		uint64_t *device = b->mask + (uint64_t)place * words;
		uint64_t *staged = cuda_stage(b, words * 8, e);
		if (!staged)
			return -1;
		memcpy(staged, in->mask, words * 8);
		device_upload(b->device, device, staged, words * 8);
		to->mask = device;
	}
	if (needs_history(in->sampling) && in->n_prompt + in->n_answer > 0) {
		int32_t *device = b->history + (uint64_t)place * b->context;
		uint64_t prompt = (uint64_t)in->n_prompt * 4, answer = (uint64_t)in->n_answer * 4;
		char *staged = cuda_stage(b, prompt + answer, e);
		if (!staged)
			return -1;
		if (prompt)
			memcpy(staged, in->prompt, prompt);
		if (answer)
			memcpy(staged + prompt, in->answer, answer);
		device_upload(b->device, device, staged, prompt + answer);
		to->history = device;
		to->n_prompt = in->n_prompt;
		to->n_answer = in->n_answer;
	}
	u->queued->order[u->queued->n_picks + place] = index;
	return 0;
}

/* Picks of @rows from pick *@from of the step on, as many as fit one launch; *@from goes on behind
 * the last. Returns how many, or -1. */
static int put_picks(struct submit *u, struct cuda_pass *pass, const struct rows_batch *rows,
                     int *from, int most, struct err *e)
{
	int n = 0;
	for (; *from < u->step->n_picks && n < most; ++*from) {
		const struct pick *p = &u->step->pick[*from];
		int row = 0;
		while (row < rows->n &&
		       (rows->at[row].run != p->run || rows->at[row].row != p->row))
			row++;
		if (row < rows->n && put_pick(u, pass, n++, *from, row, e) < 0)
			return -1;
	}
	pass->step.n_picks = n;
	return n;
}

static void fetch_picks(struct submit *u, int n)
{
	device_download(u->b->device, u->queued->result + u->queued->n_picks, u->b->picked,
	                (uint64_t)n * sizeof(struct picked));
	u->queued->n_picks += n;
}

static struct cuda_pass *new_pass(struct cuda *b, struct err *e)
{
	struct cuda_pass *pass = cuda_stage(b, sizeof(*pass), e);
	if (pass)
		memset(pass, 0, sizeof(*pass));
	return pass;
}

static int bucket_of(int columns)
{
	int i = 0;
	while (1 << i < columns)
		i++;
	return i;
}

/* Logits of @rows are on the device: the picks that are left, from *@from on, and the logits that
 * callers want. */
static int finish_rows(struct submit *u, const struct rows_batch *rows, int from, struct err *e)
{
	struct cuda *b = u->b;
	while (from < u->step->n_picks) {
		struct cuda_pass *pass = new_pass(b, e);
		int n = pass ? put_picks(u, pass, rows, &from, PICKS_MAX, e) : -1;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		device_upload(b->device, b->pass, pass, sizeof(*pass));
		cuda_picks(b, 1 << bucket_of(n));
		fetch_picks(u, n);
	}
	bool wanted = false;
	for (int i = 0; i < rows->n; i++)
		wanted |= u->step->run[rows->at[i].run].logits != NULL;
	if (!wanted)
		return 0;
	uint64_t V = (uint64_t)b->model->config.vocabulary;
	uint64_t bytes = (uint64_t)K_COLUMNS * b->ld_v * sizeof(float);
	if (!b->logits_pinned && !(b->logits_pinned = device_take_pinned(b->device, bytes, e)))
		return -1;
	device_download(b->device, b->logits_pinned, b->logits,
	                (uint64_t)rows->n * b->ld_v * sizeof(float));
	if (device_finish(b->device, e) < 0)
		return -1;
	for (int i = 0; i < rows->n; i++) {
		const struct run *r = &u->step->run[rows->at[i].run];
		int row = r->rows == ROWS_ALL ? rows->at[i].row : 0;
		if (r->logits)
			memcpy(r->logits + (uint64_t)row * V,
			       b->logits_pinned + (uint64_t)i * b->ld_v, V * sizeof(float));
	}
	return 0;
}

/* ---- prefill ---- */

/* The head over the rows that wait. */
static int flush_rows(struct submit *u, struct err *e)
{
	struct cuda *b = u->b;
	if (u->rows.n == 0)
		return 0;
	struct cuda_pass *pass = new_pass(b, e);
	if (!pass)
		return -1;
	pass->step.n_rows = u->rows.n;
	for (int i = 0; i < u->rows.n; i++)
		pass->step.row[i] = i;
	device_upload(b->device, b->pass, pass, sizeof(*pass));
	cuda_head(b, b->rows_x, 1 << bucket_of(u->rows.n));
	if (finish_rows(u, &u->rows, 0, e) < 0)
		return -1;
	u->rows.n = 0;
	return 0;
}

/* Brings the states of @n slots up to their positions. */
static int catch_up(struct cuda *b, const int *slot, int n, struct err *e)
{
	for (int from = 0; from < n; from += K_COLUMNS) {
		int some = n - from < K_COLUMNS ? n - from : K_COLUMNS;
		struct cuda_pass *pass = new_pass(b, e);
		if (!pass)
			return -1;
		for (int i = 0; i < some; i++) {
			struct cuda_slot *s = &b->slot[slot[from + i]];
			pass->step.group[i] = (struct k_group){
				.slot = slot[from + i],
				.position = s->position,
				.state_from = slot[from + i],
				.state_to = slot[from + i],
				.replay = s->pending,
				.store_after = s->pending,
			};
			s->pending = 0;
		}
		pass->step.n_groups = some;
		device_upload(b->device, b->pass, pass, sizeof(*pass));
		cuda_catch_up(b, 1 << bucket_of(some));
	}
	return 0;
}

static int prefill(struct submit *u, int run, struct err *e)
{
	struct cuda *b = u->b;
	const struct run *r = &u->step->run[run];
	struct cuda_slot *s = &b->slot[r->slot];
	if (s->pending && catch_up(b, &r->slot, 1, e) < 0)
		return -1;
	uint64_t bytes = (uint64_t)r->n * sizeof(int32_t);
	int32_t *ids = cuda_stage(b, bytes, e);
	if (!ids)
		return -1;
	memcpy(ids, r->ids, bytes);
	device_upload(b->device, b->piece_ids, ids, bytes);
	cuda_prefill(b, r->slot, s->position, r->n, &r->mix);
	s->position += r->n;
	s->window = 0;
	for (int row = r->rows == ROWS_LAST ? r->n - 1 : 0; r->rows != ROWS_NONE && row < r->n;) {
		if (u->rows.n == K_COLUMNS && flush_rows(u, e) < 0)
			return -1;
		int n = 0, first = u->rows.n;
		int32_t *index = cuda_stage(b, K_COLUMNS * sizeof(*index), e);
		if (!index)
			return -1;
		for (; row < r->n && u->rows.n < K_COLUMNS; row++) {
			u->rows.at[u->rows.n].run = run;
			u->rows.at[u->rows.n++].row = row;
			index[n++] = row;
		}
		device_upload(b->device, b->row_index, index, (uint64_t)n * sizeof(*index));
		prefill_gather(b->stream, b->rows_x + (uint64_t)first * b->ld_h, b->ld_h,
		               b->piece_x, b->ld_h, b->row_index, n, b->h);
	}
	return 0;
}

/* ---- decode ---- */

struct columns {
	struct cuda_pass *pass;
	struct rows_batch rows;
};

static int distinct_of(struct k_step *s, int adapter)
{
	int i = 0;
	while (i < s->n_adapters && s->adapter[i] != adapter)
		i++;
	if (i == s->n_adapters && i < K_DISTINCT)
		s->adapter[s->n_adapters++] = adapter;
	return i < K_DISTINCT ? i : -1;
}

/* Puts run @run into the pass, whole; false: it has no room there. */
static bool put_run(struct submit *u, struct columns *p, int run)
{
	struct cuda *b = u->b;
	struct k_step *to = &p->pass->step;
	const struct run *r = &u->step->run[run];
	struct cuda_slot *s = &b->slot[r->slot];
	int n_adapters = to->n_adapters;
	if (to->n_columns + r->n > K_COLUMNS)
		return false;
	struct k_column column = { .slot = r->slot, .group = to->n_groups };
	for (int i = 0; i < r->mix.n; i++) {
		int distinct = distinct_of(to, r->mix.part[i].adapter - 1);
		if (distinct < 0) {
			to->n_adapters = n_adapters;
			return false;
		}
		column.mix[i].distinct = distinct;
		column.mix[i].weight = r->mix.part[i].weight;
	}
	column.n_mix = r->mix.n;
	struct k_group group = { .slot = r->slot,
		                 .column = to->n_columns,
		                 .n = r->n,
		                 .position = s->position,
		                 .state_from = r->slot,
		                 .state_to = r->slot,
		                 .replay = s->pending };
	if (r->n == 1) {
		group.store_after = s->pending + 1;
		s->pending = 0;
	} else {
		group.store_after = s->pending ? s->pending : -1;
		s->pending = r->n;
	}
	for (int i = 0; i < r->n; i++) {
		column.id = r->ids ? r->ids[i] : -1;
		column.position = s->position + i;
		if (row_wanted(r, i)) {
			p->rows.at[to->n_rows].run = run;
			p->rows.at[to->n_rows].row = i;
			to->row[to->n_rows++] = to->n_columns;
		}
		to->column[to->n_columns++] = column;
	}
	to->group[to->n_groups++] = group;
	s->position += r->n;
	s->window = r->window ? r->n : 0;
	return true;
}

/* The pass, by its graph once it has been seen to work kernel by kernel: what is loaded lazily is
 * loaded by then, which a capture would not allow. */
static void launch(struct cuda *b, int bucket, bool adapters, bool head)
{
	struct device_graph **graph = &b->graph[bucket][adapters][head];
	bool *warm = &b->warm[bucket][adapters][head];
	if (b->graphs && *warm && !*graph) {
		device_capture_begin(b->device);
		cuda_decode(b, 1 << bucket, adapters, head);
		*graph = device_capture_end(b->device);
		b->graphs = *graph != NULL;
	}
	if (b->graphs && *graph)
		device_graph_launch(b->device, *graph);
	else
		cuda_decode(b, 1 << bucket, adapters, head);
	*warm = true;
}

static int decode_pass(struct submit *u, struct columns *p, struct err *e)
{
	struct cuda *b = u->b;
	struct k_step *s = &p->pass->step;
	int bucket = bucket_of(s->n_columns), from = 0;
	p->rows.n = s->n_rows;
	int n = put_picks(u, p->pass, &p->rows, &from, 1 << bucket, e);
	if (n < 0)
		return -1;
	device_upload(b->device, b->pass, p->pass, sizeof(*p->pass));
	launch(b, bucket, s->n_adapters > 0, s->n_rows > 0);
	if (n)
		fetch_picks(u, n);
	return finish_rows(u, &p->rows, from, e);
}

static int decode(struct submit *u, struct err *e)
{
	struct cuda *b = u->b;
	int *late = malloc(sizeof(*late) * (size_t)b->slots), n_late = 0;
	if (!late)
		return err_set(e, ERR_MEM, "out of memory");
	/* windows whose replay would push the convolution's past out of the ring */
	for (int i = 0; i < u->step->n_runs; i++) {
		const struct run *r = &u->step->run[i];
		int pending = b->slot[r->slot].pending;
		if (decodes(r) && pending && pending + r->n + b->model->config.conv - 1 > RING_ROWS)
			late[n_late++] = r->slot;
	}
	int rc = catch_up(b, late, n_late, e);
	free(late);
	struct columns p = { NULL, { 0 } };
	for (int i = 0; i < u->step->n_runs && rc == 0; i++) {
		if (!decodes(&u->step->run[i]))
			continue;
		if (p.pass && put_run(u, &p, i))
			continue;
		if (p.pass)
			rc = decode_pass(u, &p, e);
		if (rc == 0)
			rc = (p.pass = new_pass(b, e)) ? 0 : -1;
		if (rc == 0)
			put_run(u, &p, i); /* a run always fits an empty pass */
	}
	if (rc == 0 && p.pass)
		rc = decode_pass(u, &p, e);
	return rc;
}

/* ---- steps ---- */

static int cuda_submit(struct backend *base, const struct step *s, struct err *e)
{
	struct cuda *b = of(base);
	if (b->n_queued == DEPTH)
		return err_set(e, ERR_USAGE, "%d steps are queued; collect one first", DEPTH);
	if (s->n_runs < 1 || s->n_picks < 0 || s->n_picks > STEP_PICKS_MAX)
		return err_set(e, ERR_USAGE,
		               "a step has at least one run and at most %d picks; got %d and %d",
		               STEP_PICKS_MAX, s->n_runs, s->n_picks);
	int pages = 0;
	for (int i = 0; i < s->n_runs; i++) {
		if (check_run(b, s, i, e) < 0)
			return -1;
		pages += pages_wanted(b, &s->run[i]);
	}
	for (int i = 0; i < s->n_picks; i++)
		if (check_pick(b, s, i, e) < 0)
			return -1;
	if (b->model->config.n_attention && pages > b->n_free_pages)
		return err_set(e, ERR_MEM,
		               "keys and values: %d pages of %d tokens are needed, %d of %d are "
		               "free; close slots, or open the backend with more kv_bytes",
		               pages, K_PAGE, b->n_free_pages, b->pages);
	struct submit u = { .b = b, .step = s };
	u.queued = &b->queued[(b->first_queued + b->n_queued) % DEPTH];
	u.queued->n_picks = 0;
	for (int i = 0; i < s->n_runs && b->model->config.n_attention; i++)
		if (give_pages(b, &s->run[i], e) < 0)
			return -1;
	for (int i = 0; i < s->n_runs; i++)
		if (!decodes(&s->run[i]) && prefill(&u, i, e) < 0)
			return -1;
	if (flush_rows(&u, e) < 0 || decode(&u, e) < 0)
		return -1;
	device_mark(b->device, (b->first_queued + b->n_queued) % DEPTH);
	if (device_check(b->device, e) < 0)
		return -1;
	b->n_queued++;
	return 0;
}

static int cuda_collect(struct backend *base, struct picked *out, struct err *e)
{
	struct cuda *b = of(base);
	if (b->n_queued == 0)
		return err_set(e, ERR_USAGE, "no step is queued");
	struct cuda_queued *q = &b->queued[b->first_queued];
	if (device_wait(b->device, b->first_queued, e) < 0)
		return -1;
	for (int i = 0; i < q->n_picks; i++)
		out[q->order[i]] = q->result[i];
	b->first_queued = (b->first_queued + 1) % DEPTH;
	b->n_queued--;
	return 0;
}

/* ---- opening ---- */

static void cuda_close(struct backend *base)
{
	struct cuda *b = of(base);
	if (!b)
		return;
	if (b->device) {
		device_finish(b->device, NULL);
		for (int i = 0; i < BUCKETS * 4; i++)
			device_graph_drop(b->device, b->graph[i / 4][i / 2 % 2][i % 2]);
		for (int i = 0; b->adapter && i < ADAPTERS_MAX; i++)
			if (b->adapter[i].used)
				cuda_adapter_drop(base, i + 1);
		for (int i = 0; i < DEPTH; i++)
			device_give_pinned(b->device, b->queued[i].result);
		device_give_pinned(b->device, b->staging);
		device_give_pinned(b->device, b->logits_pinned);
		device_give(b->device, b->arena);
		device_close(b->device);
	}
	for (int i = 0; i < DEPTH; i++)
		free(b->queued[i].order);
	for (int i = 0; b->slot && i < b->slots; i++)
		free(b->slot[i].page);
	free(b->slot);
	free(b->adapter);
	free(b->layer);
	free(b->page_refs);
	free(b->free_page);
	free(b);
}

static double gib(uint64_t bytes)
{
	return (double)bytes / (1 << 30);
}

/* Settles b->pages before anything is taken. */
static int plan_memory(struct cuda *b, const struct backend_options *o, struct err *e)
{
	uint64_t free_bytes = b->about.free_bytes;
	/* the runtime's own: graphs, kernels' code, cuBLASLt */
	uint64_t margin = free_bytes / 64 + ((uint64_t)16 << 20);
	b->pages = 0;
	uint64_t fixed = cuda_layout(b, NULL);
	uint64_t a_page = 2 * (uint64_t)b->model->config.n_attention * b->page_bytes;
	uint64_t a_context = a_page * (uint64_t)b->pages_of_context;
	uint64_t a_slot = b->slot_bytes / (uint64_t)b->slots;
	uint64_t usable = free_bytes > margin ? free_bytes - margin : 0;
	if (fixed + a_context > usable) {
		uint64_t base = fixed - b->slot_bytes + a_context;
		char fits[120] =
			"not even one slot would fit: a smaller context, or a smaller model";
		if (base + a_slot <= usable)
			snprintf(fits, sizeof(fits), "%llu slots would fit",
			         (unsigned long long)((usable - base) / a_slot));
		return err_set(e, ERR_MEM,
		               "weights %.1f GiB, %d slots %.1f GiB, scratch %.1f GiB, keys and "
		               "values of %d tokens %.1f GiB; the device has %.1f GiB free: %s",
		               gib(b->weight_bytes), b->slots, gib(b->slot_bytes),
		               gib(fixed - b->weight_bytes - b->slot_bytes), b->context,
		               gib(a_context), gib(free_bytes), fits);
	}
	if (a_page == 0)
		return 0;
	uint64_t kv = a_context * (uint64_t)b->slots, most = (usable - fixed) / 10 * 9;
	if (o->kv_bytes)
		kv = o->kv_bytes;
	else if (kv > most)
		kv = most > a_context ? most : a_context;
	if (kv < a_context || fixed + kv > usable)
		return err_set(
			e, ERR_MEM,
			"%.2f GiB for keys and values; a context of %d tokens takes %.2f, and "
			"%.2f are free beside weights and slots",
			gib(kv), b->context, gib(a_context), gib(usable - fixed));
	if (kv / a_page > INT32_MAX / 2)
		kv = a_page * (INT32_MAX / 2);
	b->pages = (int)(kv / a_page);
	return 0;
}

static const struct backend_ops cuda_ops = {
	.name = "cuda",
	.depth = DEPTH,
	.close = cuda_close,
	.figures = cuda_figures,
	.slot_open = cuda_slot_open,
	.slot_close = cuda_slot_close,
	.slot_position = cuda_slot_position,
	.keep = cuda_keep,
	.adapter_add = cuda_adapter_add,
	.adapter_drop = cuda_adapter_drop,
	.submit = cuda_submit,
	.collect = cuda_collect,
};

struct backend *cuda_open_as(const struct model *m, const struct backend_options *o,
                             const struct cuda_choice *choice, struct err *e)
{
	struct cuda *b = calloc(1, sizeof(*b));
	if (!b) {
		err_set(e, ERR_MEM, "out of memory");
		return NULL;
	}
	b->base.ops = &cuda_ops;
	b->layer = calloc((size_t)m->config.layers, sizeof(*b->layer));
	b->adapter = calloc(ADAPTERS_MAX, sizeof(*b->adapter));
	if (!b->layer || !b->adapter) {
		err_set(e, ERR_MEM, "out of memory");
		goto fail;
	}
	if (cuda_size(b, m, o, e) < 0)
		goto fail;
	b->device = device_open(e);
	if (!b->device)
		goto fail;
	b->stream = device_stream(b->device);
	device_describe(b->device, &b->about);
	b->graphs = b->about.graphs && !choice->no_graph;
	b->tuning = (struct k_tuning){ .processors = b->about.processors,
		                       .fused_max = choice->fused_max ? choice->fused_max : 8,
		                       .early = choice->early };
	if (plan_memory(b, o, e) < 0)
		goto fail;
	b->arena_bytes = cuda_layout(b, NULL);
	b->arena = device_take(b->device, b->arena_bytes, e);
	b->staging = b->arena ? device_take_pinned(b->device, STAGING_BYTES, e) : NULL;
	if (!b->staging)
		goto fail;
	cuda_layout(b, b->arena);
	b->slot = calloc((size_t)b->slots, sizeof(*b->slot));
	b->page_refs = calloc((size_t)b->pages + 1, sizeof(*b->page_refs));
	b->free_page = calloc((size_t)b->pages + 1, sizeof(*b->free_page));
	bool there = b->slot && b->page_refs && b->free_page;
	for (int i = 0; there && i < b->slots; i++) {
		b->slot[i].page = calloc((size_t)b->pages_of_context, sizeof(int32_t));
		there = b->slot[i].page != NULL;
	}
	for (int i = 0; there && i < DEPTH; i++) {
		b->queued[i].order = calloc(STEP_PICKS_MAX, sizeof(int));
		b->queued[i].result =
			device_take_pinned(b->device, STEP_PICKS_MAX * sizeof(struct picked), e);
		if (!b->queued[i].result)
			goto fail;
		there = b->queued[i].order != NULL;
	}
	if (!there) {
		err_set(e, ERR_MEM, "out of memory");
		goto fail;
	}
	for (int i = 0; i < b->pages; i++) /* taken from the end: low numbers first */
		b->free_page[i] = b->pages - 1 - i;
	b->n_free_pages = b->pages;
	if (cuda_load(b, e) < 0)
		goto fail;
	return &b->base;
fail:
	cuda_close(&b->base);
	return NULL;
}

struct backend *cuda_open(const struct model *m, const struct backend_options *o, struct err *e)
{
	const struct cuda_choice choice = { 0 };
	return cuda_open_as(m, o, &choice, e);
}
