/* HTTP dates by civil-calendar arithmetic: gmtime_r would read the time zone's
 * file. Pure.
 * SPDX-License-Identifier: Apache-2.0 */
#include "http/date.h"

#include <stdio.h>

#define DAY_S  86400
#define LAST_S 253402300799 /* 9999-12-31 23:59:59 */
#define MONTHS "JanFebMarAprMayJunJulAugSepOctNovDec"
#define WEEK   "SunMonTueWedThuFriSat"

struct civil {
    int64_t year;
    unsigned month; /* 1..12 */
    unsigned day;   /* 1..31 */
};

/* Days since 1970-01-01, proleptic Gregorian; years count from March so that
 * the leap day comes last. */
static int64_t days_of(struct civil date)
{
    int64_t year = date.month <= 2 ? date.year - 1 : date.year;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t month = date.month > 2 ? date.month - 3 : date.month + 9;
    int64_t day_of_year = (153 * month + 2) / 5 + date.day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

/* For days since 1970 that are not negative. */
static struct civil civil_of(int64_t days)
{
    days += 719468;
    int64_t era = days / 146097;
    int64_t day_of_era = days % 146097;
    int64_t year =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * day_of_year + 2) / 153;
    struct civil date = {
        .year = year + era * 400,
        .month = (unsigned)(month < 10 ? month + 3 : month - 9),
        .day = (unsigned)(day_of_year - (153 * month + 2) / 5 + 1),
    };
    date.year += date.month <= 2;
    return date;
}

static void two_digits(char *to, unsigned value)
{
    to[0] = (char)('0' + value / 10 % 10);
    to[1] = (char)('0' + value % 10);
}

void lg_http_date_format(int64_t unix_s, char ret_text[LG_HTTP_DATE_LEN + 1])
{
    if (unix_s < 0)
        unix_s = 0;
    if (unix_s > LAST_S)
        unix_s = LAST_S;
    int64_t days = unix_s / DAY_S;
    unsigned second = (unsigned)(unix_s % DAY_S);
    struct civil date = civil_of(days);
    memcpy(ret_text, "Sun, 01 Jan 1970 00:00:00 GMT", LG_HTTP_DATE_LEN + 1);
    memcpy(ret_text, &WEEK[(days + 4) % 7 * 3], 3);
    two_digits(ret_text + 5, date.day);
    memcpy(ret_text + 8, &MONTHS[(date.month - 1) % 12 * 3], 3);
    two_digits(ret_text + 12, (unsigned)date.year / 100);
    two_digits(ret_text + 14, (unsigned)date.year);
    two_digits(ret_text + 17, second / 3600);
    two_digits(ret_text + 20, second / 60 % 60);
    two_digits(ret_text + 23, second % 60);
}

/* ---- parsing: a cursor that fails once and stays failed ---- */

struct cursor {
    struct lg_slice rest;
    bool failed;
};

static void expect(struct cursor *cursor, const char *text)
{
    struct lg_slice want = lg_slice_of(text);
    if (cursor->failed || !lg_slice_starts(cursor->rest, want)) {
        cursor->failed = true;
        return;
    }
    cursor->rest.ptr += want.len;
    cursor->rest.len -= want.len;
}

static unsigned digits(struct cursor *cursor, size_t count)
{
    uint64_t value = 0;
    if (cursor->failed || cursor->rest.len < count ||
        !lg_slice_u64(lg_slice_from(cursor->rest.ptr, count), 9999, &value)) {
        cursor->failed = true;
        return 0;
    }
    cursor->rest.ptr += count;
    cursor->rest.len -= count;
    return (unsigned)value;
}

/* Which of the names, `width` bytes each, comes next; from 0. */
static unsigned one_of(struct cursor *cursor, const char *names, size_t width)
{
    for (unsigned i = 0; !cursor->failed && names[i * width]; i++) {
        struct lg_slice name = lg_slice_from(names + i * width, width);
        if (lg_slice_starts(cursor->rest, name)) {
            cursor->rest.ptr += width;
            cursor->rest.len -= width;
            return i;
        }
    }
    cursor->failed = true;
    return 0;
}

struct stamp {
    struct civil date;
    unsigned hour, minute, second;
};

static void clock_time(struct cursor *cursor, struct stamp *stamp)
{
    stamp->hour = digits(cursor, 2);
    expect(cursor, ":");
    stamp->minute = digits(cursor, 2);
    expect(cursor, ":");
    stamp->second = digits(cursor, 2);
}

/* "Sun, 06 Nov 1994 08:49:37 GMT", behind "Sun, ". */
static void fixdate(struct cursor *cursor, struct stamp *stamp)
{
    stamp->date.day = digits(cursor, 2);
    expect(cursor, " ");
    stamp->date.month = one_of(cursor, MONTHS, 3) + 1;
    expect(cursor, " ");
    stamp->date.year = digits(cursor, 4);
    expect(cursor, " ");
    clock_time(cursor, stamp);
    expect(cursor, " GMT");
}

/* "Sunday, 06-Nov-94 08:49:37 GMT", behind "Sunday, ". A year that seems more
 * than 50 years ahead is the past one with those digits (RFC 9110 5.6.7). */
static void rfc850(struct cursor *cursor, struct stamp *stamp, int64_t now_s)
{
    stamp->date.day = digits(cursor, 2);
    expect(cursor, "-");
    stamp->date.month = one_of(cursor, MONTHS, 3) + 1;
    expect(cursor, "-");
    int64_t year = digits(cursor, 2);
    expect(cursor, " ");
    clock_time(cursor, stamp);
    expect(cursor, " GMT");
    int64_t this_year = civil_of((now_s < 0 || now_s > LAST_S ? 0 : now_s) / DAY_S).year;
    year += this_year / 100 * 100;
    if (year > this_year + 50)
        year -= 100;
    stamp->date.year = year;
}

/* "Sun Nov  6 08:49:37 1994", behind "Sun ". */
static void asctime_date(struct cursor *cursor, struct stamp *stamp)
{
    stamp->date.month = one_of(cursor, MONTHS, 3) + 1;
    expect(cursor, " ");
    bool padded = cursor->rest.len > 0 && cursor->rest.ptr[0] == ' ';
    if (padded)
        expect(cursor, " ");
    stamp->date.day = digits(cursor, padded ? 1 : 2);
    expect(cursor, " ");
    clock_time(cursor, stamp);
    expect(cursor, " ");
    stamp->date.year = digits(cursor, 4);
}

static unsigned days_in(struct civil date)
{
    static const uint8_t days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = date.year % 4 == 0 && (date.year % 100 != 0 || date.year % 400 == 0);
    return days[(date.month - 1) % 12] + (date.month == 2 && leap ? 1U : 0U);
}

int lg_http_date_parse(struct lg_slice text, int64_t now_s, int64_t *ret_unix_s)
{
    static const char *const long_days[] = {
        "Sunday, ", "Monday, ", "Tuesday, ", "Wednesday, ", "Thursday, ", "Friday, ", "Saturday, "};
    struct cursor cursor = {text, false};
    struct stamp stamp = {0};
    unsigned weekday = one_of(&cursor, WEEK, 3);
    if (!cursor.failed && lg_slice_starts(cursor.rest, LG_SLICE(", "))) {
        expect(&cursor, ", ");
        fixdate(&cursor, &stamp);
    } else if (!cursor.failed && lg_slice_starts(cursor.rest, LG_SLICE(" "))) {
        expect(&cursor, " ");
        asctime_date(&cursor, &stamp);
    } else {
        expect(&cursor, long_days[weekday] + 3);
        rfc850(&cursor, &stamp, now_s);
    }
    if (cursor.failed || cursor.rest.len > 0)
        return -LG_E_PROTO;
    if (stamp.date.day < 1 || stamp.date.day > days_in(stamp.date) || stamp.hour > 23 ||
        stamp.minute > 59 || stamp.second > 60) /* a leap second counts as the next one */
        return -LG_E_PROTO;
    *ret_unix_s = days_of(stamp.date) * DAY_S + (int64_t)stamp.hour * 3600 +
                  (int64_t)stamp.minute * 60 + stamp.second;
    return 0;
}

struct lg_slice lg_http_date_at(struct lg_http_date *date, int64_t now_s)
{
    if (date->text[0] == '\0' || date->unix_s != now_s) {
        lg_http_date_format(now_s, date->text);
        date->unix_s = now_s;
    }
    return lg_slice_from(date->text, LG_HTTP_DATE_LEN);
}
