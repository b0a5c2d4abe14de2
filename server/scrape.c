#include "server/scrape.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "server/admission.h"
#include "server/callers.h"
#include "server/metrics_text.h"
#include "server/shared_cache.h"

static void look_at_memory(struct metrics *m)
{
    unsigned long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    bool known = file && fscanf(file, "%lu %lu", &pages, &resident) == 2;
    uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    if (file) {
        (void)fclose(file);
    }
    metrics_set(m, METRIC_VIRTUAL_BYTES, known ? pages * page_bytes : METRIC_UNKNOWN);
    metrics_set(m, METRIC_RESIDENT_BYTES, known ? resident * page_bytes : METRIC_UNKNOWN);
}

static uint64_t count_descriptors(void)
{
    static const char folder[] = "/proc/self/fd";
    struct stat st;
    uint64_t count = 0;
    if (stat(folder, &st) == 0 && st.st_size > 0) {
        return (uint64_t)st.st_size; /* Linux 6.2 and later: the number, where listing thousands takes time */
    }
    DIR *dir = opendir(folder);
    if (!dir) {
        return METRIC_UNKNOWN;
    }
    while (readdir(dir)) {
        count++;
    }
    (void)closedir(dir);
    return count > 3 ? count - 3 : 0; /* ".", ".." and the folder itself */
}

static void look_at_process(struct metrics *m)
{
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
    struct timespec cpu = {0, 0};

    look_at_memory(m);
    metrics_set(m, METRIC_OPEN_FDS, count_descriptors());
    (void)getrlimit(RLIMIT_NOFILE, &limit);
    metrics_set(m, METRIC_MAX_FDS, limit.rlim_cur == RLIM_INFINITY ? METRIC_UNKNOWN : limit.rlim_cur);
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    metrics_raise(m, METRIC_CPU_US, (uint64_t)cpu.tv_sec * 1000000u + (uint64_t)cpu.tv_nsec / 1000u);
}

static void look_at_shared(struct metrics *m, const struct shared_cache *shared)
{
    struct shared_cache_stats now;
    metrics_set(m, METRIC_SHARED_UP, METRIC_UNKNOWN);
    if (!shared) {
        return;
    }
    shared_cache_stats(shared, &now);
    metrics_set(m, METRIC_SHARED_UP, now.up);
    metrics_raise(m, METRIC_SHARED_HIT, now.hits);
    metrics_raise(m, METRIC_SHARED_MISS, now.misses);
    metrics_raise(m, METRIC_SHARED_STORED, now.stored);
    metrics_raise(m, METRIC_SHARED_PERMITTED, now.permitted);
    metrics_raise(m, METRIC_SHARED_LIMITED, now.limited);
    metrics_raise(m, METRIC_SHARED_UNAVAILABLE, now.unavailable);
    metrics_raise(m, METRIC_SHARED_FAILURE, now.failures);
    metrics_raise(m, METRIC_SHARED_ERROR, now.errors);
    metrics_raise(m, METRIC_SHARED_REJECTED, now.rejected);
}

char *scrape_text(const struct scrape *s)
{
    struct metrics *m = s->metrics;
    struct admission_state tests = admission_state(s->admission);
    struct callers_state callers = callers_state(s->callers);

    metrics_set(m, METRIC_READY, !tests.stopping && !tests.full);
    metrics_set(m, METRIC_TESTS_IN_FLIGHT, tests.in_flight);
    metrics_set(m, METRIC_CACHE_ENTRIES, tests.cache_entries);
    metrics_set(m, METRIC_CACHE_BYTES, tests.cache_bytes);
    metrics_set(m, METRIC_REQUESTS_WAITING, callers.waiting);
    metrics_set(m, METRIC_CONNECTIONS, callers.connections);
    look_at_shared(m, s->shared);
    look_at_process(m);
    return metrics_text(m);
}
