#include "server/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* How long a line waits for room. Only the first one does: while lines are being dropped none waits. */
#define WAIT_MS 20

static struct {
    pthread_mutex_t mutex; /* guards what follows it but the last three, which never change after log_open */
    int64_t dropped;       /* lines since the last one written */
    bool torn;             /* the last line was written in part */
    bool to_socket;
    enum log_format format;
    enum log_level level;
} state = {.mutex = PTHREAD_MUTEX_INITIALIZER, .format = LOG_FORMAT_TEXT, .level = LOG_LEVEL_INFO};

void log_open(enum log_format format, enum log_level level)
{
    struct stat st;
    state.to_socket = fstat(STDERR_FILENO, &st) == 0 && S_ISSOCK(st.st_mode);
    state.format = format;
    state.level = level;
}

bool log_wants(enum log_level level)
{
    return level <= state.level;
}

/* A pipe that polls writable takes a line of LOG_LINE_BYTES without blocking, a file always does; a socket
 * (the journal) may not, so it is told not to wait. */
static ssize_t write_some(const char *bytes, size_t len)
{
    if (state.to_socket) {
        return send(STDERR_FILENO, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    return write(STDERR_FILENO, bytes, len);
}

static bool has_room(int wait_ms)
{
    struct pollfd fd = {.fd = STDERR_FILENO, .events = POLLOUT};
    return poll(&fd, 1, wait_ms) == 1 && (fd.revents & POLLOUT) != 0;
}

/* How much of it was written. */
static size_t put(const char *bytes, size_t len)
{
    size_t done = 0;
    while (done < len && has_room(state.dropped > 0 ? 0 : WAIT_MS)) {
        ssize_t n = write_some(bytes + done, len - done);
        if (n > 0) {
            done += (size_t)n;
        } else if (n == 0 || errno != EINTR) {
            break;
        }
    }
    return done;
}

/* Whether the whole line got out. What is left of a torn one is lost, and the next starts on a line of its
 * own. */
static bool put_line(const char *line, size_t len)
{
    if (state.torn && put("\n", 1) == 1) {
        state.torn = false;
    }
    if (state.torn) {
        return false;
    }
    size_t done = put(line, len);
    state.torn = done > 0 && done < len;
    return done == len;
}

static void tell_dropped(void)
{
    struct log_field field = log_int("lines", state.dropped);
    size_t len;
    char *line = log_line(state.format, time(NULL), LOG_LEVEL_WARN, "log_lines_dropped", &field, 1, &len);
    if (line != NULL && put_line(line, len)) {
        state.dropped = 0;
    }
    free(line);
}

void log_event(enum log_level level, const char *event, const struct log_field *fields, size_t count)
{
    if (!log_wants(level)) {
        return;
    }
    size_t len;
    char *line = log_line(state.format, time(NULL), level, event, fields, count, &len);
    pthread_mutex_lock(&state.mutex);
    if (state.dropped > 0) {
        tell_dropped();
    }
    if (line == NULL || state.dropped > 0 || !put_line(line, len)) {
        state.dropped++;
    }
    pthread_mutex_unlock(&state.mutex);
    free(line);
}
