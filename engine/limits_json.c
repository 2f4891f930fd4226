#include "engine/limits_json.h"

#include <string.h>

#include "src/base/json.h"

enum { N_LIMITS = 8 };

static const struct {
	const char *name;
	double least, most;
} limit[N_LIMITS] = {
	{ "wall_s", 0.05, 86400 },     { "cpu_s", 0.05, 86400 },     { "score_cpu_s", 0.05, 86400 },
	{ "memory_mib", 16, 1 << 20 }, { "output_kib", 1, 1 << 20 }, { "brep_mib", 1, 1 << 12 },
	{ "faces_max", 1, 1e9 },       { "triangles_max", 1, 1e9 },
};

void limits_json_add(cJSON *settings, const struct limits *l)
{
	const double v[N_LIMITS] = {
		l->wall_s,     l->cpu_s,    l->score_cpu_s,       l->memory_mib,
		l->output_kib, l->brep_mib, (double)l->faces_max, (double)l->triangles_max
	};

	cJSON_DeleteItemFromObjectCaseSensitive(settings, "limits");
	cJSON *o = cJSON_AddObjectToObject(settings, "limits");
	for (int i = 0; i < N_LIMITS; i++)
		cJSON_AddNumberToObject(o, limit[i].name, v[i]);
}

int limits_json_get(struct limits *l, const cJSON *settings, struct err *e)
{
	const cJSON *o = cJSON_GetObjectItemCaseSensitive(settings, "limits");
	double v[N_LIMITS];

	if (!o)
		return 0;
	for (int i = 0; i < N_LIMITS; i++) {
		v[i] = json_number_or(o, limit[i].name, 0);
		if (!(v[i] >= limit[i].least && v[i] <= limit[i].most))
			return err_set(e, ERR_INPUT, "limits.%s: %g to %g was expected, got %g",
			               limit[i].name, limit[i].least, limit[i].most, v[i]);
	}
	memset(l, 0, sizeof(*l));
	l->wall_s = v[0];
	l->cpu_s = v[1];
	l->score_cpu_s = v[2];
	l->memory_mib = (int)v[3];
	l->output_kib = (int)v[4];
	l->brep_mib = (int)v[5];
	l->faces_max = (long)v[6];
	l->triangles_max = (long)v[7];
	return 1;
}
