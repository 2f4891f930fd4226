/*
 * cuda_inside.h - what the three parts of the CUDA backend share: cuda_load.c (memory plan,
 * weights, adapters), cuda_forward.c (the order of the kernels), cuda.c (slots, pages, steps).
 */
#ifndef GPU_CUDA_INSIDE_H
#define GPU_CUDA_INSIDE_H

#include "gpu/backend.h"
#include "gpu/cuda.h"
#include "gpu/device.h"
#include "gpu/kernels.h"

enum {
	RING_ROWS = 32,     /* a window, its replay and a convolution: see cuda.c */
	ADAPTERS_MAX = 256, /* at once */
	RANKS_MAX = 1024,   /* ranks of the modules that share one stacked matrix, added up */
	BUCKETS = 7,        /* 1, 2, 4, ... 64 columns */
	STAGING_BYTES = 32 << 20,
	PICKS_MAX = K_COLUMNS, /* in one launch */
	STEP_PICKS_MAX = 4096,
	DEPTH = 2
};

/* The four matrices of a layer; modules that read the same input are stacked. */
enum stage { STAGE_IN, STAGE_OUT, STAGE_GATE_UP, STAGE_DOWN, STAGE_COUNT };

struct cuda_layer {
	struct k_matrix w[STAGE_COUNT];
	const float *input_norm, *post_norm;
	const float *q_norm, *k_norm;               /* attention */
	const float *conv, *a_log, *dt_bias, *norm; /* DeltaNet */
	int index;                                  /* among layers of its kind */
};

struct cuda_adapter {
	bool used;
	void *memory;
	struct k_adapter_stage *stage; /* host's copy, [layers][STAGE_COUNT] */
};

/* Positions: the slot has taken `position` tokens. Its recurrent state lags `pending` of them
 * behind (a window that was not written, struct k_group.replay); the ring has their rows. */
struct cuda_slot {
	bool used;
	int position, pending;
	int window; /* tokens of the last window, while keep() may still cut it */
	int n_pages;
	int32_t *page; /* [pages_of_context] */
};

/* What one launch of a decode pass is told; uploaded whole. */
struct cuda_pass {
	struct k_step step;
	struct k_pick_input pick[PICKS_MAX];
};

/* A step under way: its picks in the order they were made. */
struct cuda_queued {
	int n_picks;
	int *order;            /* [STEP_PICKS_MAX] index in the step */
	struct picked *result; /* pinned [STEP_PICKS_MAX] */
};

struct cuda {
	struct backend base;
	const struct model *model;
	struct device *device;
	dev_stream stream;
	struct device_about about;
	struct k_tuning tuning;
	bool precise, graphs;
	int slots, context, pages, pages_of_context; /* pages: of all slots together */

	/* sizes that follow from the config */
	int h, ld_h, ld_v, channels, width, z_width, ld_z, ld_o, ld_ao, ld_m, mlp_rows;
	int ld_in;  /* columns of a decode pass' or piece's y */
	int ld_act; /* widest activation */
	int dkp, hdp, t_rows;
	uint64_t state_values, ring_values; /* of one slot */
	uint64_t page_bytes;                /* of one page of one layer's keys */

	/* the arena */
	void *arena;
	uint64_t arena_bytes, weight_bytes, slot_bytes;
	struct k_matrix embedding, head;
	struct cuda_layer *layer;
	const float *final_norm, *rope;
	struct k_adapter_stage *adapter_table; /* [ADAPTERS_MAX][layers][STAGE_COUNT] */
	float *state, *ring;                   /* [slots][...] */
	char *k_pages, *v_pages;               /* [attention layer][pages] */
	int32_t *table, *slot_token;
	struct cuda_pass *pass;
	/* of decode passes: [K_COLUMNS][...] */
	float *x, *y, *o, *partial, *attention_partial, *lora_t;
	uint32_t *counter, *attention_counter;
	struct k_act act_in, act_o, act_m;
	float *rows_x, *logits; /* rows that wait for the head; [K_COLUMNS][V] */
	int32_t *count, *history, *row_index;
	uint64_t *mask;
	void *pick_scratch;
	struct picked *picked;
	/* of prefill pieces: [BACKEND_PIECE][...] */
	float *piece_x, *piece_y, *piece_t, *q_turned, *delta_scratch;
	struct k_act piece_act;
	int32_t *piece_ids;

	/* host */
	struct cuda_adapter *adapter; /* [ADAPTERS_MAX], number i at i - 1 */
	struct cuda_slot *slot;
	int32_t *page_refs, *free_page;
	int n_free_pages;
	struct device_graph
		*graph[BUCKETS][2][2]; /* [bucket][with adapters][with head and picks] */
	char *staging;                 /* pinned */
	uint64_t staged;
	float *logits_pinned;     /* [K_COLUMNS][V], taken when logits are first asked for */
	bool warm[BUCKETS][2][2]; /* has been launched kernel by kernel */
	int lora_rows; /* most ranks of one stage among adapters added so far, up to 16s */
	struct cuda_queued queued[DEPTH];
	int first_queued, n_queued;
};

/* ---- cuda_load.c ---- */

static inline uint64_t up_to(uint64_t n, uint64_t multiple)
{
	return (n + multiple - 1) / multiple * multiple;
}

/* Sets what follows from model and options; ERR_LACKS for what the kernels cannot do. */
int cuda_size(struct cuda *b, const struct model *m, const struct backend_options *o,
              struct err *e);
/* Lays the arena out from address @base on (0: only to learn its size): everything, with
 * b->slots and b->pages as they are. Returns its bytes. */
uint64_t cuda_layout(struct cuda *b, char *base);
/* Weights from the map, or made on the device, and tables; the rest of the arena as it must be
 * before first use. */
int cuda_load(struct cuda *b, struct err *e);

int cuda_adapter_add(struct backend *base, const struct adapter *a, struct err *e);
void cuda_adapter_drop(struct backend *base, int adapter);

/* Pinned memory for @bytes that are uploaded next; good until the step after next. */
void *cuda_stage(struct cuda *b, uint64_t bytes, struct err *e);

/* ---- cuda_forward.c ---- */

/* Queues the columns of b->pass through all layers; with @head also logits and @picks. @columns:
 * a bound on the pass's. */
void cuda_decode(struct cuda *b, int columns, bool adapters, bool head);
/* Final norm and head of the rows of @x that b->pass names; picks from their logits. */
void cuda_head(struct cuda *b, const float *x, int rows);
void cuda_picks(struct cuda *b, int picks);
/* A piece of @n tokens, already in b->piece_ids, for slot @slot at @position. Leaves their last
 * residual in b->piece_x. */
void cuda_prefill(struct cuda *b, int slot, int position, int n, const struct lora_mix *mix);
/* Walks tokens that slots' states lag behind: the groups of b->pass, with n = 0. */
void cuda_catch_up(struct cuda *b, int groups);

#endif
