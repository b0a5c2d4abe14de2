/* time_text.h: a time as RFC 3339 in UTC, "2026-11-23T18:29:00Z". */
#ifndef API_TIME_TEXT_H
#define API_TIME_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#define TIME_TEXT_SIZE sizeof "2026-11-23T18:29:00Z"

/* False where the year does not have four digits; then nothing is written. */
bool time_text(int64_t seconds, char out[TIME_TEXT_SIZE]);

#endif
