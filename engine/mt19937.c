/* M. Matsumoto and T. Nishimura, "Mersenne Twister", ACM TOMACS 8 (1998), parameters of MT19937;
 * seeding by one word as in their 2002 revision. */
#include "engine/mt19937.h"

#define N 624
#define M 397

void mt19937_seed(struct mt19937 *g, uint32_t seed)
{
	g->state[0] = seed;
	for (uint32_t i = 1; i < N; i++) {
		uint32_t p = g->state[i - 1];
		g->state[i] = 1812433253u * (p ^ (p >> 30)) + i;
	}
	g->at = N;
}

static void turn(struct mt19937 *g)
{
	for (int i = 0; i < N; i++) {
		uint32_t y = (g->state[i] & 0x80000000u) | (g->state[(i + 1) % N] & 0x7fffffffu);
		g->state[i] = g->state[(i + M) % N] ^ (y >> 1) ^ (y & 1 ? 0x9908b0dfu : 0);
	}
	g->at = 0;
}

uint32_t mt19937_next(struct mt19937 *g)
{
	if (g->at >= N)
		turn(g);
	uint32_t y = g->state[g->at++];
	y ^= y >> 11;
	y ^= (y << 7) & 0x9d2c5680u;
	y ^= (y << 15) & 0xefc60000u;
	return y ^ (y >> 18);
}

double mt19937_double(struct mt19937 *g)
{
	uint32_t high = mt19937_next(g) >> 5, low = mt19937_next(g) >> 6;

	return (high * 67108864.0 + low) / 9007199254740992.0;
}
