/* time_text.h: a time as RFC 3339 in UTC, "2026-11-23T18:29:00Z"; a duration in milliseconds, "12.3". */
#ifndef API_TIME_TEXT_H
#define API_TIME_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TIME_TEXT_SIZE sizeof "2026-11-23T18:29:00Z"

/* False where the year does not have four digits; then nothing is written. */
bool time_text(int64_t seconds, char out[TIME_TEXT_SIZE]);

/* Rounded to 0.1; what is no number or below zero is 0.0, what is beyond MS_TEXT_MAX is that. Returns the
 * length. Lines and headers have a dozen of them, and printf() takes a thousand instructions for each. */
#define MS_TEXT_MAX 1e15
#define MS_TEXT_SIZE sizeof "1000000000000000.0"
size_t ms_text(double ms, char out[MS_TEXT_SIZE]);

#endif
