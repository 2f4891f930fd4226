#include "src/corpus_inside.h"
#include "src/corpus_families.h"

const struct family *const corpus_all[] = {
	&family_stator, &family_table, &family_chair, &family_plate, &family_bench,
};
enum { UNSEEN = 1 };
const int corpus_all_count = sizeof(corpus_all) / sizeof(*corpus_all);
const int corpus_known = sizeof(corpus_all) / sizeof(*corpus_all) - UNSEEN;
