#include "gpu/train_panels.h"

#include <string.h>

#define MIXER_TEXT "gpu/train_panels_isa.h"
#include "gpu/train_isa.h"

enum { PACK_AT_ONCE = 32 };

size_t panels_floats(int n, int k)
{
	return ((size_t)n + PANEL - 1) / PANEL * PANEL * (size_t)k;
}

struct packing {
	const struct panels_of *what;
	int first[PACK_AT_ONCE + 1]; /* item of each */
	enum mixer_isa isa;
};

static void pack_item(void *arg, int item, int thread)
{
	const struct packing *w = arg;
	int i = 0;

	(void)thread;
	while (item >= w->first[i + 1])
		i++;
	const struct panels_of *p = &w->what[i];
	const int from = (item - w->first[i]) * PANEL;
	const int columns = p->n - from < PANEL ? p->n - from : PANEL;
	float *to = p->to + (size_t)from * (size_t)p->k;
	if (p->turned) {
		MIXER_PICK(w->isa, panel_turned)
		(p->b + (size_t)from * (size_t)p->k, (size_t)p->k, columns, p->k, to);
		return;
	}
	for (int r = 0; r < p->k; r++, to += PANEL) {
		memcpy(to, p->b + (size_t)r * (size_t)p->n + from, (size_t)columns * sizeof(*to));
		memset(to + columns, 0, (size_t)(PANEL - columns) * sizeof(*to));
	}
}

void panels_pack(struct pool *pool, const struct panels_of *what, int n)
{
	while (n > 0) {
		struct packing w = { .what = what, .isa = mixer_version(MIXER_BEST, NULL) };
		int count = n < PACK_AT_ONCE ? n : PACK_AT_ONCE;
		for (int i = 0; i < count; i++)
			w.first[i + 1] = w.first[i] + (what[i].n + PANEL - 1) / PANEL;
		pool_run(pool, pack_item, &w, w.first[count]);
		what += count;
		n -= count;
	}
}

void panels_product(enum mixer_isa isa, const float *panels, int m, int n, int k, float alpha,
                    const float *a, const float *plus, float *c)
{
	MIXER_PICK(isa, panels_product)(panels, m, n, k, alpha, a, plus, c);
}
