/*
 * db.h - what the verbs about the database share: its flags, opening it, and its rows as JSON and
 * as lines for people.
 */
#ifndef DB_H
#define DB_H

#include <stdio.h>

#include "src/app.h"
#include "src/store.h"

struct db_flags {
	struct app app;
	const char *db;
	struct store_filter filter;
	int64_t after;
	int limit; /* 0: as many as there are */
};

enum db_flag {
	DB_FILE = APP_FLAGS_END + 100,
	DB_TASK,
	DB_CLASS,
	DB_MIN,
	DB_MAX,
	DB_MODEL,
	DB_ADAPTER,
	DB_SINCE,
	DB_LIMIT,
	DB_AFTER,
	DB_FLAGS_END
};
/* clang-format off */
#define DB_LONG_OPTIONS \
	{ "db", required_argument, NULL, DB_FILE }, \
	{ "json", no_argument, NULL, APP_JSON }, \
	{ "quiet", no_argument, NULL, APP_QUIET }, \
	{ "help", no_argument, NULL, APP_HELP }
#define DB_FILTER_OPTIONS \
	{ "task", required_argument, NULL, DB_TASK }, \
	{ "class", required_argument, NULL, DB_CLASS }, \
	{ "min", required_argument, NULL, DB_MIN }, \
	{ "max", required_argument, NULL, DB_MAX }, \
	{ "model", required_argument, NULL, DB_MODEL }, \
	{ "adapter", required_argument, NULL, DB_ADAPTER }, \
	{ "since", required_argument, NULL, DB_SINCE }, \
	{ "limit", required_argument, NULL, DB_LIMIT }, \
	{ "after", required_argument, NULL, DB_AFTER }
#define DB_HELP \
	"  --db FILE         the database (CADFORGE_DB, else the user's)\n" \
	"  --json            one JSON object a line\n" \
	"  --quiet           nothing on standard error but errors\n" \
	"  --help            this text\n"
#define DB_FILTER_HELP \
	"  --task ID         of that task\n" \
	"  --class CLASS     with a turn of that failure class (build_ok, undefined_name, ...)\n" \
	"  --model NAME      with a turn by that model\n" \
	"  --adapter NAME    with a turn by that adapter\n" \
	"  --min X, --max X  whose best total is from X on, up to X\n" \
	"  --since TIME      begun then or later: 2026-11-22, \"2026-11-22 14:03\", 7d, 12h\n"
/* clang-format on */

void db_flags_init(struct db_flags *f);
/* 1: taken; 2: --help was answered, exit with 0; 0: not one of these; -1: wrong value, told. */
int db_flag(struct db_flags *f, const struct cmd *self, int opt, const char *arg);

/* Opens what --db, the environment or the default names, and tells the store's warning. */
struct store *db_open(const struct db_flags *f, enum store_mode mode, struct err *e);

/* Who one is: --as, else the login's name; NULL: nobody says. */
const char *db_who(const char *flag);

/* Rows as JSON; the caller owns them. */
cJSON *db_episode_json(const struct store_episode *x);
cJSON *db_turn_json(const struct store_turn *t);
cJSON *db_judgement_json(const struct store_judgement *j);

/* "0.913", "-0.750"; "-" for none. */
void db_total(char *out, size_t size, double total);

/* Text of strangers, on a terminal or not: what could move the cursor is made visible. */
void db_print_text(FILE *out, const char *text, size_t len, const char *indent);
void db_print_line(FILE *out, const char *text);

#endif
