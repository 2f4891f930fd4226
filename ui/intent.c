#include "ui/intent.h"

#include <stddef.h>

const char *intent_name(enum intent_kind k)
{
	static const char *const names[N_INTENTS] = { [INTENT_NONE] = "none",
#define X(constant, name, words) [INTENT_##constant] = name,
		                                      UI_INTENTS(X)
#undef X
	};

	return k >= 0 && k < N_INTENTS ? names[k] : NULL;
}
