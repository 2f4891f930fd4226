/*
 * corpus.h - the demonstration model's texts: short CadQuery programs of known families, the
 * prompts that ask for them, broken programs with what was said of them, and copy drills; all
 * generated.
 *
 * A document is a pure function of (seed, stream, number): equal on every machine. Nothing is built
 * here; src/demo.h builds and scores every program before it may be learnt.
 *
 * Prompts are rendered by the same code as at work (engine/prompts.h, engine/repair.h) from a task
 * made up for the document, with the prompt set "demo": what the model saw in training is what the
 * workbench sends. What was found out about such corpora (one name a dimension, drills first and
 * then none, optional parts oversampled): the study in the design notes; README of gpu/demo.
 */
#ifndef CORPUS_H
#define CORPUS_H

#include <cjson/cJSON.h>

#include "engine/prompts.h"
#include "engine/task.h"

enum corpus_kind {
	CORPUS_PROGRAM, /* task -> program */
	CORPUS_REPAIR,  /* task, broken program, its log and notes -> the whole program, mended */
	CORPUS_DRILL,   /* labelled numbers in, assignments out */
	CORPUS_KINDS
};
const char *corpus_kind_name(enum corpus_kind k); /* "program", "repair", "drill" */

enum corpus_stream {
	CORPUS_TRAIN, /* base and adapter learn from it */
	CORPUS_HELD,  /* families of training; dimensions and wordings that training never has */
	CORPUS_UNSEEN /* three whole families that training never has */
};

int corpus_families(void); /* 19 or more, the unseen three last */
const char *corpus_family_name(int family);
bool corpus_family_unseen(int family);
const char *
corpus_family_task(int family); /* the task of tasks/ that it is a simple take on, or NULL */

struct corpus_number {
	char name[40];  /* of the constant in the program: "leg_height" */
	char words[60]; /* as the prompt says it: "legs 430 mm high" */
	double value;   /* mm, degrees, or a count */
};
enum { CORPUS_NUMBERS_MAX = 16 };

struct corpus_document {
	enum corpus_kind kind;
	int family;        /* -1: drill */
	struct task task;  /* made up: id, prompt, bbox_mm, dimensions; owned */
	double bbox_mm[3]; /* asked, and what the program gives, to 0.01 mm */
	struct corpus_number number[CORPUS_NUMBERS_MAX]; /* asked for in the prompt */
	int numbers;
	char *program;      /* the answer */
	char *broken;       /* repair: the program that the prompt shows; else NULL */
	int breakage;       /* repair: enum build_class that the breaking aims at */
	uint64_t number_of; /* the document's number in its stream */
};

struct corpus_options {
	uint64_t seed;
	double repairs; /* share of documents, 0..1 */
	double drills;  /* share of documents, 0..1 */
	double plain; /* share of programs whose prompt gives the numbers in the program's order */
};
int corpus_make(struct corpus_document *out, const struct corpus_options *o,
                enum corpus_stream stream, uint64_t number, struct err *e);
void corpus_release(struct corpus_document *d); /* safe on {0} and twice */

/* The document as a row of chat JSONL (gpu/dataset.h): {"messages", "task", "kind"}. A repair needs
 * the scored turn of its broken program (@turn as engine/repair.h wants it). */
struct repair_turn;
int corpus_row(struct buf *out, const struct corpus_document *d, const struct prompt_set *set,
               const struct repair_turn *turn, struct err *e);

/* Has @program the asked numbers: each number of @d stands in it as a value bound to a name or in a
 * call. How many of them do. */
int corpus_numbers_found(const struct corpus_document *d, const char *program);

#endif
