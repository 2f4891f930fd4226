/*
 * corpus_files.c - documents of the corpus as files, to be built or read by people: corpus_files
 * STREAM FROM COUNT FOLDER writes NUMBER.py (of a repair its broken program), NUMBER.txt (the
 * prompt) and index.tsv; with FOLDER left out it prints them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/repair.h"
#include "src/corpus.h"

int main(int argc, char **argv)
{
	const char *tasks = getenv("CADFORGE_TASKS");
	char dir[500];
	struct prompt_set set = { 0 };
	struct err e = { 0 };
	struct corpus_options o = { .seed = 1, .repairs = 0, .drills = 0, .plain = 0.5 };

	if (argc < 4)
		return 2;
	if (getenv("REPAIRS"))
		o.repairs = atof(getenv("REPAIRS"));
	if (getenv("DRILLS"))
		o.drills = atof(getenv("DRILLS"));
	snprintf(dir, sizeof(dir), "%s/prompts", tasks ? tasks : "tasks");
	const char *dirs[] = { dir };
	if (prompt_set_load(&set, dirs, 1, "demo", &e) < 0) {
		fprintf(stderr, "%s\n", e.text);
		return 1;
	}
	char path[600];
	FILE *index = NULL;
	if (argc > 4) {
		snprintf(path, sizeof(path), "%s/index.tsv", argv[4]);
		index = fopen(path, "w");
	}
	unsigned long from = strtoul(argv[2], NULL, 10), n = strtoul(argv[3], NULL, 10);
	for (unsigned long i = from; i < from + n; i++) {
		struct corpus_document d;
		if (corpus_make(&d, &o, (enum corpus_stream)atoi(argv[1]), i, &e) < 0) {
			fprintf(stderr, "%s\n", e.text);
			continue;
		}
		struct buf text = { 0 };
		cJSON *m = repair_messages(&set, &d.task, NULL, &e);
		repair_text(&text, m);
		cJSON_Delete(m);
		if (!index) {
			printf("---- %lu %s %s numbers %d\n%s\n%s", i, corpus_kind_name(d.kind),
			       d.task.id, d.numbers, buf_str(&text), d.program);
			for (int k = 0; k < d.numbers; k++)
				printf("# %s = %g: %s\n", d.number[k].name, d.number[k].value,
				       d.number[k].words);
			if (d.broken)
				printf("---- broken, class %d\n%s", d.breakage, d.broken);
		} else {
			const char *program = d.broken ? d.broken : d.program;
			snprintf(path, sizeof(path), "%s/%lu.py", argv[4], i);
			file_write_atomic(path, program, strlen(program), &e);
			snprintf(path, sizeof(path), "%s/%lu.txt", argv[4], i);
			file_write_atomic(path, buf_str(&text), text.len, &e);
			fprintf(index, "%lu\t%s\t%s\t%s\t%.10g\t%.10g\t%.10g\t%d\t%d\t%d\n", i,
			        corpus_kind_name(d.kind),
			        d.family < 0 ? "drill" : corpus_family_name(d.family),
			        d.family < 0 || !corpus_family_task(d.family)
			                ? "-"
			                : corpus_family_task(d.family),
			        d.bbox_mm[0], d.bbox_mm[1], d.bbox_mm[2], d.breakage, d.numbers,
			        corpus_numbers_found(&d, d.program));
		}
		buf_release(&text);
		corpus_release(&d);
	}
	if (index)
		fclose(index);
	prompt_set_release(&set);
	return 0;
}
