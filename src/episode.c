#include "src/episode.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

static const struct {
	const char *name, *label;
} ends[] = {
	[END_NONE] = { NULL, "it goes on" },
	[END_ENOUGH] = { "enough", "the best turn is good enough" },
	[END_TURNS] = { "turns", "all turns are used" },
	[END_NO_GAIN] = { "no_gain", "the last repairs brought nothing" },
	[END_SOURCE] = { "source", "there are no more completions" },
	[END_ERROR] = { "error", "a program did not build" },
	[END_STOPPED] = { "stopped", "stopped after this turn" },
	[END_INTERRUPTED] = { "interrupted", "interrupted" },
	[END_NO_COMPLETION] = { "no_completion", "no completion came" },
	[END_LOST] = { "lost", "something of ours failed" },
};

static const char *const phases[] = { "has not begun", "waits for a completion",
	                              "waits for a score", "waits for a turn to be stored",
	                              "is over" };

static const char *const events[] = { "start",         "completion", "score", "stored turn",
	                              "no completion", "loss",       "stop",  "stop after" };

const char *episode_end_name(enum episode_end end)
{
	return ends[end].name;
}

const char *episode_end_label(enum episode_end end)
{
	return ends[end].label;
}

enum episode_end episode_end_named(const char *name)
{
	for (size_t i = END_NONE + 1; i < sizeof(ends) / sizeof(*ends); i++)
		if (strcmp(ends[i].name, name) == 0)
			return (enum episode_end)i;
	return END_NONE;
}

void episode_rules_default(struct episode_rules *r)
{
	*r = (struct episode_rules){
		.enough = EPISODE_ENOUGH, .rounds = 4, .group = 1, .no_gain = 2
	};
}

void episode_init(struct episode *ep, const struct episode_rules *rules)
{
	*ep = (struct episode){ .rules = *rules };
}

bool episode_better(const struct episode_turn *a, const struct episode_turn *b)
{
	if (a->turn == 0 || b->turn == 0)
		return a->turn != 0;
	if (a->built != b->built)
		return a->built;
	/* a total that there is goes before one that there is not */
	return isnan(b->total) ? !isnan(a->total) : a->total > b->total;
}

bool episode_built(const struct episode *ep)
{
	return ep->best.turn != 0 && ep->best.built;
}

static void ask(struct episode *ep, struct episode_effect *out)
{
	ep->phase = EPISODE_ASKING;
	*out = (struct episode_effect){
		.kind = EFFECT_ASK, .ask = ep->asked++, .round = ep->round, .parent = ep->parent
	};
}

static void end(struct episode *ep, enum episode_end why, struct episode_effect *out)
{
	ep->phase = EPISODE_OVER;
	ep->end = why;
	*out = (struct episode_effect){ .kind = EFFECT_END, .end = why };
}

/* A round is the group that answers the first prompt, or one repair; a fork begins with a repair,
 * of which a group may be made too. */
static int turns_of_round(const struct episode *ep)
{
	return ep->round == 1 ? ep->rules.group : 1;
}

static enum episode_end reason_to_end(const struct episode *ep, bool round_done)
{
	const struct episode_rules *r = &ep->rules;

	if (round_done && ep->best.total >= r->enough)
		return END_ENOUGH;
	if (round_done && r->stop_on_error && !ep->round_built)
		return END_ERROR;
	if (ep->stop_after)
		return END_STOPPED;
	if (round_done && ep->round >= r->rounds)
		return END_TURNS;
	if (r->completions > 0 && ep->asked >= r->completions)
		return END_SOURCE;
	if (round_done && r->no_gain > 0 && ep->without_gain >= r->no_gain)
		return END_NO_GAIN;
	return END_NONE;
}

static void committed(struct episode *ep, int turn, struct episode_effect *out)
{
	ep->now.turn = turn;
	ep->committed++;
	ep->of_round++;
	ep->round_built = ep->round_built || ep->now.built;
	if (episode_better(&ep->now, &ep->best)) {
		ep->best = ep->now;
		ep->round_gained = true;
	}
	bool round_done = ep->of_round == turns_of_round(ep);
	if (round_done && ep->round_gained)
		ep->without_gain = 0;
	else if (round_done && ep->parent.turn != 0)
		ep->without_gain++;
	enum episode_end why = reason_to_end(ep, round_done);
	if (why != END_NONE) {
		end(ep, why, out);
		return;
	}
	if (round_done) {
		ep->round++;
		ep->of_round = 0;
		ep->round_built = ep->round_gained = false;
		ep->parent = ep->best;
	}
	ask(ep, out);
}

static void scored(struct episode *ep, const struct episode_event *ev, struct episode_effect *out)
{
	/* a number that nobody has yet: only that it is not 0 matters to episode_better() */
	ep->now = (struct episode_turn){ .turn = -1, .built = ev->built, .total = ev->total };
	ep->phase = EPISODE_COMMITTING;
	*out = (struct episode_effect){
		.kind = EFFECT_COMMIT,
		.parent = ep->parent,
		.is_best = episode_better(&ep->now, &ep->best),
		.delta = ep->parent.turn != 0 ? ev->total - ep->parent.total : NAN,
	};
}

static bool may_come(enum episode_phase phase, enum episode_event_kind kind)
{
	switch (kind) {
	case EPISODE_START:
		return phase == EPISODE_NEW;
	case EPISODE_COMPLETION:
	case EPISODE_NO_COMPLETION:
		return phase == EPISODE_ASKING;
	case EPISODE_SCORED:
		return phase == EPISODE_SCORING;
	case EPISODE_COMMITTED:
		return phase == EPISODE_COMMITTING;
	case EPISODE_LOST:
	case EPISODE_STOP_AFTER:
		return phase != EPISODE_NEW && phase != EPISODE_OVER;
	case EPISODE_STOP:
		return true;
	}
	return false;
}

int episode_step(struct episode *ep, const struct episode_event *ev, struct episode_effect *out,
                 struct err *e)
{
	if (!may_come(ep->phase, ev->kind))
		return err_set(e, ERR_PROTOCOL, "episode: it %s, and a %s came", phases[ep->phase],
		               events[ev->kind]);
	if (ep->phase == EPISODE_NEW)
		ep->started_s = ev->time_s;
	ep->changed_s = ev->time_s;
	*out = (struct episode_effect){ .kind = EFFECT_NONE, .delta = NAN };
	switch (ev->kind) {
	case EPISODE_START:
		ep->parent = ev->parent;
		ep->best = ev->best;
		ep->round = 1;
		ask(ep, out);
		break;
	case EPISODE_COMPLETION:
		ep->phase = EPISODE_SCORING;
		*out = (struct episode_effect){ .kind = EFFECT_SCORE, .parent = ep->parent };
		break;
	case EPISODE_SCORED:
		scored(ep, ev, out);
		break;
	case EPISODE_COMMITTED:
		committed(ep, ev->turn, out);
		break;
	case EPISODE_NO_COMPLETION:
		end(ep, END_NO_COMPLETION, out);
		break;
	case EPISODE_LOST:
		end(ep, END_LOST, out);
		break;
	case EPISODE_STOP:
		if (ep->phase != EPISODE_OVER)
			end(ep, END_INTERRUPTED, out);
		break;
	case EPISODE_STOP_AFTER:
		ep->stop_after = true;
		break;
	}
	return 0;
}
