/*
 * cmd_score.c - programs, built, measured and rewarded: lines in the order of
 * the arguments.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine/task.h"
#include "src/app.h"
#include "src/base/clock.h"
#include "src/packs.h"
#include "src/scoring.h"
#include "src/show.h"

enum { PROGRAM_MAX = 8 << 20, LIST_MAX = 64 << 20, REBUILDS_LIKELY = 4 };

struct entry {
  char *file;
  const struct task *task;
  struct buf text;
  struct err unreadable; /* kind != ERR_NONE: no program could be read */
  char *json_line, *plain;
  bool done, ok;
};

struct work {
  struct app app;
  struct scoring *scoring;
  struct task_set pack;
  const struct task *task; /* of the programs named as arguments */
  struct entry *entry;
  size_t n, shown;
  size_t *of_item;  /* entry of the scoring's item */
  size_t log_shown; /* with one program: bytes of its log that were passed on as
                       they came */
  /* progress */
  size_t ended;
  double started, told; /* when the work began, when the last line of progress
                           was written */
  bool bar;          /* standard error is a terminal: one line, written over */
  bool nobody_reads; /* standard output is a closed pipe, or full */
};

/* ---- one program's answer ---- */

/* A file that could not be read still gets its line. */
static void answer_unreadable(struct work *w, struct entry *en) {
  struct scored s = {.total = NAN};
  struct buf line = {0};

  scoring_unreadable(w->scoring, en->task, en->file, en->unreadable.text, &s);
  json_print(&line, s.json);
  en->json_line = buf_take(&line, NULL);
  scored_release(&s);
  app_tell("%s", en->unreadable.text);
  en->done = true;
  w->ended++;
}

static void clear_bar(const struct work *w) {
  if (w->bar && w->told > 0)
    fputs("\r\033[K", stderr);
}

/* "12/40, 8.1 a second, 3 s left": over itself on a terminal, else a line every
 * few seconds. */
static void show_progress(struct work *w) {
  enum { EVERY_S = 5, CELLS = 20 };
  double now = clock_now_s(), taken = now - w->started;
  char text[160], cells[CELLS + 1];

  if (w->app.quiet || w->n < 2 || now - w->told < (w->bar ? 0.2 : EVERY_S) ||
      (!w->bar && taken < EVERY_S))
    return;
  w->told = now;
  int n = snprintf(text, sizeof(text), "%zu/%zu", w->ended, w->n);
  if (w->ended > 0 && taken > 0)
    snprintf(text + n, sizeof(text) - (size_t)n, ", %.3g a second, %.0f s left",
             (double)w->ended / taken,
             (double)(w->n - w->ended) * taken / (double)w->ended);
  if (!w->bar) {
    fprintf(stderr, "score: %s\n", text);
    return;
  }
  for (int i = 0; i < CELLS; i++)
    cells[i] = (size_t)i * w->n < w->ended * CELLS ? '#' : '.';
  cells[CELLS] = '\0';
  fprintf(stderr, "\r\033[K%s %s", cells, text);
}

/* @out_of_order: after an interruption also those behind one that never ended.
 */
static void show_what_is_due(struct work *w, bool out_of_order) {
  clear_bar(w);
  while (w->shown < w->n && (out_of_order || w->entry[w->shown].done)) {
    struct entry *en = &w->entry[w->shown++];
    if (w->app.json && en->json_line)
      puts(en->json_line);
    else if (!w->app.json && en->plain)
      fputs(en->plain, stdout);
    free(en->json_line);
    free(en->plain);
    en->json_line = en->plain = NULL;
  }
  if (fflush(stdout))
    w->nobody_reads = true;
}

/* Between any two steps of the engine: whether to go on. */
static int on_tick(void *ctx) {
  struct work *w = ctx;

  w->nobody_reads = w->nobody_reads || app_output_lost();
  if (app_interrupted() || w->nobody_reads)
    return 1;
  show_progress(w);
  return 0;
}

static void on_done(void *ctx, size_t item, struct scored *s) {
  struct work *w = ctx;
  struct entry *en = &w->entry[w->of_item[item]];
  struct buf line = {0};

  if (!w->app.quiet && w->n == 1)
    show_rest_of_log(stderr, &s->log, w->log_shown);
  json_print(&line, s->json);
  en->json_line = buf_take(&line, NULL);
  if (!w->app.json) {
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);
    if (f) {
      show_score(f, s->json);
      fclose(f);
      en->plain = text;
    }
  }
  en->ok = s->built;
  en->done = true;
  w->ended++;
  buf_release(&en->text);
  show_what_is_due(w, false);
}

/* With one program what it prints is shown as it comes; with many nobody could
 * tell whose it is. */
static void on_log(void *ctx, size_t item, const char *stream, const char *text,
                   size_t len) {
  struct work *w = ctx;

  (void)item;
  (void)stream;
  w->log_shown += len;
  if (!w->app.quiet && w->n == 1)
    fwrite(text, 1, len, stderr);
}

/* ---- the verb ---- */

static int add_entry(struct work *w, const char *file, const struct task *task,
                     struct err *e) {
  struct entry *more = realloc(w->entry, sizeof(*more) * (w->n + 1));
  char *name = strdup(file);

  if (more)
    w->entry = more;
  if (!more || !name) {
    free(name);
    return err_set(e, ERR_MEM, "out of memory for %zu programs", w->n);
  }
  w->entry[w->n++] = (struct entry){.file = name, .task = task};
  return 0;
}

/* A line a program: its file, a tab, its task (or none); a file alone has the
 * task of --task
 * (@task_given). Empty lines and those that begin with # are passed over. */
static int read_list(struct work *w, const char *path, bool task_given,
                     struct err *e) {
  size_t before = w->n;
  struct buf text = {0};
  int line = 0, rc = -1;

  if (buf_read_file(&text, path, LIST_MAX, e) < 0)
    return err_wrap(e, "--list");
  char *rest = text.data, *one;
  if (rest && strncmp(rest, "\xef\xbb\xbf", 3) == 0)
    rest += 3;
  while (rest && (one = strsep(&rest, "\n"))) {
    const struct task *t = w->task;
    char *tab = strchr(one, '\t');
    line++;
    one[strcspn(one, "\r")] = '\0';
    if (!*one || *one == '#')
      continue;
    if (tab == one || (!tab && !task_given)) {
      err_set(
          e, ERR_INPUT,
          "%s:%d: FILE, a tab and a task were expected, got '%.80s'; or give "
          "--task for the lines without one",
          path, line, one);
      goto out;
    }
    if (tab && strchr(tab + 1, '\t')) {
      err_set(e, ERR_INPUT,
              "%s:%d: FILE, a tab and a task were expected, and there is a "
              "second tab",
              path, line);
      goto out;
    }
    if (tab) {
      *tab = '\0';
      t = NULL;
    }
    if (tab && strcmp(tab + 1, "none") != 0 &&
        !(t = task_find(&w->pack, tab + 1, e))) {
      err_wrap(e, "%s:%d", path, line);
      goto out;
    }
    if (add_entry(w, one, t, e) < 0)
      goto out;
  }
  rc = w->n > before
           ? 0
           : err_set(e, ERR_INPUT, "--list %s: no program in it", path);
out:
  buf_release(&text);
  return rc;
}

static int score_all(struct work *w, struct err *e) {
  struct scoring_input *in = calloc(w->n, sizeof(*in));
  size_t n = 0;
  int rc = 0;

  w->of_item = calloc(w->n, sizeof(*w->of_item));
  if (!in || !w->of_item) {
    free(in);
    return err_set(e, ERR_MEM, "out of memory for %zu programs", w->n);
  }
  for (size_t i = 0; i < w->n; i++) {
    struct entry *en = &w->entry[i];
    if (en->unreadable.kind) {
      answer_unreadable(w, en);
      continue;
    }
    w->of_item[n] = i;
    in[n++] = (struct scoring_input){.task = en->task,
                                     .text = buf_str(&en->text),
                                     .len = en->text.len,
                                     .rule = EXTRACT_FILE,
                                     .file = en->file};
  }
  show_what_is_due(w, false);
  if (n)
    rc = scoring_run_all(w->scoring, in, n, on_done, w, e);
  if (app_interrupted()) {
    show_what_is_due(w, true);
    clear_bar(w);
    err_set(e, ERR_CANCELLED, "interrupted, %zu of %zu done", w->ended, w->n);
  } else {
    clear_bar(w);
  }
  free(in);
  return rc;
}

static int run(const struct cmd *self, int argc, char **argv) {
  static const struct option options[] = {
      APP_LONG_OPTIONS,
      APP_QUEUE_OPTION,
      {"task", required_argument, NULL, 't'},
      {"profile", required_argument, NULL, 'p'},
      {"reference", required_argument, NULL, 'r'},
      {"jobs", required_argument, NULL, 'j'},
      {"dialect", required_argument, NULL, 'd'},
      {"list", required_argument, NULL, 'l'},
      {NULL, 0, NULL, 0},
  };
  struct work w = {0};
  struct scoring_options so = {.app = &w.app, .rebuilds = -1, .ears.ctx = &w};
  struct err e = {0};
  const char *task = NULL, *list = NULL;
  enum dialect dialect;
  int opt, rc = EXIT_USAGE;

  app_init(&w.app);
  opterr = 0;
  while ((opt = getopt_long(argc, argv, ":t:p:r:j:d:l:", options, NULL)) >= 0) {
    int f = app_flag(&w.app, self, opt, optarg);
    if (f == 2)
      return EXIT_DONE;
    if (f < 0)
      return EXIT_USAGE;
    if (f == 1)
      continue;
    switch (opt) {
    case 't':
      task = optarg;
      break;
    case 'p':
      so.profile = optarg;
      break;
    case 'r':
      so.reference = optarg;
      break;
    case 'l':
      list = optarg;
      break;
    case 'j':
      if (app_whole("--jobs", optarg, 1, 64, &w.app.jobs) < 0)
        return EXIT_USAGE;
      break;
    case 'd':
      if (app_dialect(optarg, &dialect) < 0)
        return EXIT_USAGE;
      so.dialect = &dialect;
      break;
    default:
      return app_bad_flag(self, opt, argv);
    }
  }
  if (optind == argc && !list)
    return app_usage(self, "a program is expected: FILE.py");
  if (!task && optind < argc)
    return app_usage(self, "--task ID is expected, or --task none");
  app_find(&w.app);
  if (((task && strcmp(task, "none") != 0) || list) &&
      packs_load(&w.pack, &w.app, &e) < 0)
    goto fail;
  if (task && strcmp(task, "none") != 0 &&
      !(w.task = task_find(&w.pack, task, &e)))
    goto fail;
  for (int i = optind; i < argc; i++)
    if (add_entry(&w, argv[i], w.task, &e) < 0)
      goto fail;
  if (list && read_list(&w, list, task != NULL, &e) < 0)
    goto fail;
  bool unreadable = false;
  for (size_t i = 0; i < w.n; i++) {
    struct entry *en = &w.entry[i];
    if (buf_read_file(&en->text, en->file, PROGRAM_MAX, &en->unreadable) < 0)
      unreadable = true;
  }
  /* no more children than there is work for */
  if ((size_t)w.app.jobs > w.n * (1 + REBUILDS_LIKELY))
    w.app.jobs = (int)w.n * (1 + REBUILDS_LIKELY);
  so.ears.tick = on_tick;
  so.ears.log = on_log;
  w.scoring = scoring_open(&so, &e);
  if (!w.scoring)
    goto fail;
  w.started = clock_now_s();
  w.bar = !w.app.quiet && w.n > 1 && isatty(STDERR_FILENO);
  app_catch_interrupt();
  if (score_all(&w, &e) < 0) {
    if (!w.nobody_reads || app_interrupted())
      goto fail;
    rc = EXIT_NO;
    goto out;
  }
  rc = unreadable ? EXIT_USAGE : EXIT_DONE;
  for (size_t i = 0; i < w.n && rc == EXIT_DONE; i++)
    if (!w.entry[i].ok)
      rc = EXIT_NO;
  goto out;
fail:
  rc = app_fail(&e);
out:
  for (size_t i = 0; w.entry && i < w.n; i++) {
    buf_release(&w.entry[i].text);
    free(w.entry[i].json_line);
    free(w.entry[i].plain);
    free(w.entry[i].file);
  }
  free(w.entry);
  free(w.of_item);
  scoring_close(w.scoring);
  task_set_release(&w.pack);
  return rc;
}

const struct cmd cmd_score = {
    .name = "score",
    .usage = "score FILE.py... --task ID|none [--list FILE] [--profile P] "
             "[--reference R] [-j N] [--queue URL] [--json]",
    .summary = "build and score programs",
    .help =
        "  --task ID         the task they were written for, or none\n"
        "  --profile P       exact (default): measured on the solid and in the "
        "syntax tree;\n"
        "                    exact-train: the same without rebuilds; a profile "
        "of your own by its\n"
        "                    name or its file; seed-fast, seed-full: the "
        "published reward;\n"
        "                    strict: its build gate over seed-fast\n"
        "  --reference R     task: the task's own (default of exact); none "
        "(default of the seed\n"
        "                    profiles); a file .py, .step, .brep, .stl or "
        ".glb; a folder; seed-task:\n"
        "                    the box of the task's published reference\n"
        "  --list FILE       programs named in a file, a line each: FILE, a "
        "tab, its task; FILE alone\n"
        "                    has the task of --task; lines that begin with # "
        "are passed over\n"
        "  -j, --jobs N      programs at once (default: the number of cores)\n"
        "  --queue URL       workers on other machines build and score: see "
        "worker\n"
        "  --dialect D       open (default of exact): see build; seed (default "
        "of the seed profiles):\n"
        "                    what the published environment allows\n",
    .engine = true,
    .run = run,
};
