/* log_loss.h: what a log must look like whose lines could not all be written for a while. */
#ifndef TESTS_SERVER_LOG_LOSS_H
#define TESTS_SERVER_LOG_LOSS_H

#include <stdlib.h>
#include <string.h>

/* Every line is whole; of `written` ones of 150 characters at least `least` are there, the others are told of
 * once, and the line of those who are awake again is the last. */
static inline void check_loss(char *text, size_t written, size_t least)
{
    size_t whole = 0;
    const char *told = strstr(text, "log_lines_dropped lines=");
    assert_non_null(told);
    assert_null(strstr(told + 1, "log_lines_dropped"));
    size_t dropped = strtoul(told + strlen("log_lines_dropped lines="), NULL, 10);
    for (char *line = text, *stop; (stop = strchr(line, '\n')) != NULL; line = stop + 1) {
        if (memmem(line, (size_t)(stop - line), " v=x", 4) != NULL) {
            assert_int_equal(stop - line, strlen("2026-11-23T18:29:00Z info  line v=") + 149);
            whole++;
        }
    }
    assert_in_range(whole, least, written - 1);
    assert_int_equal(whole + dropped, written);
    assert_string_equal(strrchr(text, ' '), " awake\n");
}

#endif
