/*
 * agreement.h - how far several judges' grades agree, and how far a reward agrees with them.
 *
 * Pure. Grades are 0 to 5. Of several grades by one judge on one turn only the last counts: leave
 * the others out, or give them earlier in the array.
 */
#ifndef AGREEMENT_H
#define AGREEMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct graded {
	int64_t turn;    /* which */
	int task, judge; /* numbers for names */
	int grade;
	double total; /* the turn's reward; NAN: none */
};

struct agreement {
	int judges, grades, turns; /* turns: graded by two judges or more */
	int pairs;                 /* of grades on the same turn */
	double exact, within_one;  /* share of those pairs; NAN without any */
	double mean_difference;
	/* Krippendorff's alpha with the interval metric (K. Krippendorff, Computing Krippendorff's
	 * Alpha-Reliability, 2011): 1 agreement, 0 as by chance; NAN when all grades are equal */
	double alpha;
	/* Pairs of turns on the same task that one judge graded differently, and the share of them
	 * that the reward puts in the same order; equal totals count half. */
	long long reward_pairs;
	double reward_agrees; /* NAN without any */
};

/* Leaves in @v, in place and in order, only the last grade of each judge on each turn; returns how
 * many. */
size_t graded_in_force(struct graded *v, size_t n);

/* @v: grades in force. Sorted by turn afterwards. */
void agreement_of(struct graded *v, size_t n, struct agreement *out);

/* Which of two turns of one task a judge likes better. */
struct preference {
	int64_t better, worse; /* which turns; of equals in any order */
	bool equal;
	int judge;
	double total_better, total_worse; /* rewards; NAN: none */
};

struct preferences_agreement {
	int pairs, equal, judges; /* of the preferences in force */
	int shared;               /* pairs of them by two judges about the same two turns, */
	double same;              /* and the share that says the same; NAN without any */
	/* Those that are not equal and whose turns have rewards, and the share that the reward puts
	 * in the same order; equal totals count half. NAN without any. */
	int reward_pairs;
	double reward_agrees;
};

/* Leaves in @v, in place and in order, only the last of each judge about the same two turns;
 * returns how many. */
size_t preferences_in_force(struct preference *v, size_t n);
/* @v: in force. */
void preferences_of(const struct preference *v, size_t n, struct preferences_agreement *out);

#endif
