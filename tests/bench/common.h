/* common.h: what the programs of the benchmark share: clocks, descriptors, and the number in a name. */
#ifndef BENCH_COMMON_H
#define BENCH_COMMON_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

/* Seconds of a clock. */
static inline double clock_seconds(clockid_t clock)
{
    struct timespec t;
    return clock_gettime(clock, &t) == 0 ? (double)t.tv_sec + (double)t.tv_nsec / 1e9 : 0;
}

static inline void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Writes `pattern` with the number in the place of its first {n}. */
static inline void fill_number(char *out, size_t size, const char *pattern, long number)
{
    const char *at = strstr(pattern, "{n}");
    if (at) {
        snprintf(out, size, "%.*s%ld%s", (int)(at - pattern), pattern, number, at + 3);
    } else {
        snprintf(out, size, "%s", pattern);
    }
}

static inline int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts the latencies (seconds) and prints the usual ones, in milliseconds. */
static inline void print_latencies(double *seconds, size_t count)
{
    qsort(seconds, count, sizeof *seconds, compare_doubles);
    const struct {
        const char *name;
        size_t percent;
    } marks[] = {{"p50_ms", 50}, {"p95_ms", 95}, {"p99_ms", 99}};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        printf(" %s=%.3f", marks[i].name, count ? seconds[count * marks[i].percent / 100] * 1e3 : 0.0);
    }
    printf(" max_ms=%.3f", count ? seconds[count - 1] * 1e3 : 0.0);
}

#endif
