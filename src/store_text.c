#include "src/store.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int store_path(char *out, size_t size, const char *flag, struct err *e)
{
	const char *env = getenv("CADFORGE_DB"), *data = getenv("XDG_DATA_HOME");
	const char *home = getenv("HOME");
	int n;

	if (flag && !*flag)
		return err_set(e, ERR_USAGE, "--db: the name of a file was expected, got nothing");
	if (flag)
		n = snprintf(out, size, "%s", flag);
	else if (env && *env)
		n = snprintf(out, size, "%s", env);
	else if (data && *data == '/') /* a relative one is to be ignored, says its standard */
		n = snprintf(out, size, "%s/cadforge/sessions.db", data);
	else if (home && *home)
		n = snprintf(out, size, "%s/.local/share/cadforge/sessions.db", home);
	else
		return err_set(
			e, ERR_LACKS,
			"there is no place for the database: set HOME or CADFORGE_DB, or name "
			"a file with --db");
	if (n < 0 || (size_t)n >= size)
		return err_set(e, ERR_INPUT, "the database's name is longer than %zu bytes",
		               size - 1);
	return 0;
}

int64_t store_now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int64_t floor_s(int64_t us)
{
	return us >= 0 ? us / 1000000 : -((-us + 999999) / 1000000);
}

void store_local_time(char *out, size_t size, int64_t us)
{
	time_t t = (time_t)floor_s(us);
	struct tm tm;

	if (!localtime_r(&t, &tm) || !strftime(out, size, "%Y-%m-%d %H:%M:%S", &tm))
		snprintf(out, size, "-");
}

void store_utc_time(char *out, size_t size, int64_t us)
{
	time_t t = (time_t)floor_s(us);
	struct tm tm;
	char text[64];

	if (!gmtime_r(&t, &tm) || !strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm))
		snprintf(out, size, "-");
	else
		snprintf(out, size, "%s.%06dZ", text, (int)(us - floor_s(us) * 1000000));
}

int store_parse_time(const char *text, int64_t *us, struct err *e)
{
	static const struct {
		char letter;
		int64_t seconds;
	} units[] = { { 'w', 604800 }, { 'd', 86400 }, { 'h', 3600 }, { 'm', 60 }, { 's', 1 } };
	int year, month, day, hour = 0, minute = 0, used = 0, n;
	double second = 0;
	char *end;

	errno = 0;
	double v = strtod(text, &end);
	if (end != text && isdigit((unsigned char)text[0]) && end[0] && !end[1] && v <= 1e6)
		for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++)
			if (*end == units[i].letter) {
				*us = store_now_us() -
				      (int64_t)(v * (double)units[i].seconds * 1e6);
				return 0;
			}
	n = sscanf(text, "%4d-%2d-%2d%n", &year, &month, &day, &used);
	if (n == 3 && (text[used] == ' ' || text[used] == 'T')) {
		int more = 0;
		if (sscanf(text + used + 1, "%2d:%2d%n", &hour, &minute, &more) != 2)
			goto bad;
		used += 1 + more;
		if (text[used] == ':') {
			char *after;
			if (!isdigit((unsigned char)text[used + 1]))
				goto bad;
			second = strtod(text + used + 1, &after);
			used = (int)(after - text);
		}
	}
	if (n != 3 || year < 1970 || year > 9999 || month < 1 || month > 12 || day < 1 ||
	    day > 31 || hour < 0 || hour > 23 || minute < 0 || minute > 59 ||
	    !(second >= 0 && second < 61))
		goto bad;
	struct tm tm = { .tm_year = year - 1900,
		         .tm_mon = month - 1,
		         .tm_mday = day,
		         .tm_hour = hour,
		         .tm_min = minute,
		         .tm_sec = (int)second,
		         .tm_isdst = -1 };
	time_t t;
	if (strcmp(text + used, "Z") == 0)
		t = timegm(&tm);
	else if (!text[used])
		t = mktime(&tm);
	else
		goto bad;
	if (tm.tm_mday != day) /* there is no such day in that month */
		goto bad;
	*us = (int64_t)t * 1000000 + (int64_t)((second - (int)second) * 1e6 + 0.5);
	return 0;
bad:
	return err_set(e, ERR_USAGE,
	               "a time was expected, as 2026-11-22, \"2026-11-22 14:03\", "
	               "2026-11-22T13:03:09Z, or so long ago: 7d, 12h, 30m; got '%.60s'",
	               text);
}

int store_parse_ref(const char *text, int64_t *episode, int *turn, struct err *e)
{
	char *end = NULL;
	long long ep = 0;
	long t = 0;

	errno = 0;
	if (isdigit((unsigned char)*text))
		ep = strtoll(text, &end, 10);
	if (!end || errno || ep < 1)
		goto bad;
	if (*end == '.') {
		const char *number = end + 1;
		if (!isdigit((unsigned char)*number))
			goto bad;
		t = strtol(number, &end, 10);
		if (errno || t < 1 || t > 1000000000)
			goto bad;
	}
	if (*end)
		goto bad;
	*episode = ep;
	*turn = (int)t;
	return 0;
bad:
	return err_set(e, ERR_USAGE,
	               "an episode (12) or a turn of one (12.3) was expected, got '%.60s'", text);
}
