#include "api/time_text.h"

#include <string.h>
#include <time.h>

static void two_digits(char *out, int number)
{
    out[0] = (char)('0' + number / 10);
    out[1] = (char)('0' + number % 10);
}

bool time_text(int64_t seconds, char out[TIME_TEXT_SIZE])
{
    struct tm tm;
    time_t t = (time_t)seconds;
    if (gmtime_r(&t, &tm) == NULL || tm.tm_year + 1900 < 0 || tm.tm_year + 1900 > 9999) {
        return false;
    }
    memcpy(out, "yyyy-mm-ddThh:mm:ssZ", TIME_TEXT_SIZE);
    two_digits(out, (tm.tm_year + 1900) / 100);
    two_digits(out + 2, (tm.tm_year + 1900) % 100);
    two_digits(out + 5, tm.tm_mon + 1);
    two_digits(out + 8, tm.tm_mday);
    two_digits(out + 11, tm.tm_hour);
    two_digits(out + 14, tm.tm_min);
    two_digits(out + 17, tm.tm_sec);
    return true;
}

size_t ms_text(double ms, char out[MS_TEXT_SIZE])
{
    double bounded = ms > 0 ? ms : 0;
    uint64_t tenths = (uint64_t)((bounded < MS_TEXT_MAX ? bounded : MS_TEXT_MAX) * 10 + 0.5);
    char digits[MS_TEXT_SIZE];
    size_t n = 0, len = 0;
    for (; tenths > 0 || n < 2; tenths /= 10) {
        digits[n++] = (char)('0' + tenths % 10);
    }
    while (n > 1) {
        out[len++] = digits[--n];
    }
    out[len++] = '.';
    out[len++] = digits[0];
    out[len] = '\0';
    return len;
}
