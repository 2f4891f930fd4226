#include "engine/limits_json.h"

#include <string.h>

#include "src/base/json.h"

static const struct {
	const char *name;
	double least, most;
} limit[LIMITS] = {
	{ "wall_s", 0.05, 86400 },     { "cpu_s", 0.05, 86400 },     { "score_cpu_s", 0.05, 86400 },
	{ "memory_mib", 16, 1 << 20 }, { "output_kib", 1, 1 << 20 }, { "brep_mib", 1, 1 << 12 },
	{ "faces_max", 1, 1e9 },       { "triangles_max", 1, 1e9 },
};

void limits_values(double out[LIMITS], const struct limits *l)
{
	const double v[LIMITS] = {
		l->wall_s,     l->cpu_s,    l->score_cpu_s,       l->memory_mib,
		l->output_kib, l->brep_mib, (double)l->faces_max, (double)l->triangles_max
	};

	memcpy(out, v, sizeof(v));
}

int limits_from_values(struct limits *l, const double v[LIMITS], double *least, double *most)
{
	for (int i = 0; i < LIMITS; i++)
		if (!(v[i] >= limit[i].least && v[i] <= limit[i].most)) {
			*least = limit[i].least;
			*most = limit[i].most;
			return i;
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
	return -1;
}

void limits_json_add(cJSON *settings, const struct limits *l)
{
	double v[LIMITS];

	limits_values(v, l);
	cJSON_DeleteItemFromObjectCaseSensitive(settings, "limits");
	cJSON *o = cJSON_AddObjectToObject(settings, "limits");
	for (int i = 0; i < LIMITS; i++)
		cJSON_AddNumberToObject(o, limit[i].name, v[i]);
}

int limits_json_get(struct limits *l, const cJSON *settings, struct err *e)
{
	const cJSON *o = cJSON_GetObjectItemCaseSensitive(settings, "limits");
	double v[LIMITS], least, most;

	if (!o)
		return 0;
	for (int i = 0; i < LIMITS; i++)
		v[i] = json_number_or(o, limit[i].name, 0);
	int bad = limits_from_values(l, v, &least, &most);
	if (bad >= 0)
		return err_set(e, ERR_INPUT, "limits.%s: %g to %g was expected, got %g",
		               limit[bad].name, least, most, v[bad]);
	return 1;
}
