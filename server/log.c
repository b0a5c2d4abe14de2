#include "server/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* How long a line waits for room, and for how many seconds no other one does: a reader that is always a
 * little late would set the pace of the whole service otherwise. While lines are being dropped none waits. */
#define WAIT_MS 20
#define WAIT_EVERY_S 2

/* What a pipe is made to hold, as far as the system lets us: the lines of a crowd that comes or leaves at
 * once. */
#define PIPE_BYTES (1024 * 1024)

enum kind { KIND_FILE, KIND_SOCKET, KIND_OTHER };

static struct {
    enum log_format format; /* these three never change after log_open() */
    enum log_level configured;
    const char *path; /* NULL: standard error */
    atomic_uint level;

    pthread_mutex_t mutex; /* guards what follows */
    int fd;
    enum kind kind;
    int64_t dropped; /* lines since the last one written */
    time_t waited_s; /* when one waited last, on the monotonic clock */
    size_t rest_len; /* of a line whose beginning is written */
    char rest[LOG_LINE_BYTES];
} state = {.mutex = PTHREAD_MUTEX_INITIALIZER,
           .format = LOG_FORMAT_TEXT,
           .configured = LOG_LEVEL_INFO,
           .level = LOG_LEVEL_INFO,
           .fd = STDERR_FILENO,
           .kind = KIND_OTHER};

static enum kind kind_of(int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0) {
        return KIND_OTHER;
    }
    return S_ISREG(st.st_mode) ? KIND_FILE : S_ISSOCK(st.st_mode) ? KIND_SOCKET : KIND_OTHER;
}

static void explain(char *why, size_t why_size, const char *reason)
{
    snprintf(why, why_size, "the log file \"%s\" cannot be written to: %s", state.path, reason);
}

/* A link is not followed, so that nobody who may write to the folder chooses where lines go, and what is no
 * file is not waited for. Returns -1 with a sentence in `why`. */
static int open_file(char *why, size_t why_size)
{
    char words[128];
    int fd = open(state.path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK,
                  0640);
    if (fd < 0) {
        explain(why, why_size,
                errno == ELOOP   ? "it is a symbolic link; name the file itself"
                : errno == ENXIO ? "it is no regular file"
                                 : strerror_r(errno, words, sizeof words));
    } else if (kind_of(fd) != KIND_FILE) {
        explain(why, why_size, "it is no regular file");
        close(fd);
        fd = -1;
    }
    return fd;
}

bool log_open(const char *path, enum log_format format, enum log_level level, char *why, size_t why_size)
{
    state.format = format;
    state.configured = level;
    atomic_store(&state.level, level);
    state.path = path;
    int fd = path ? open_file(why, why_size) : STDERR_FILENO;
    bool ok = fd >= 0;
    state.path = ok ? path : NULL;
    pthread_mutex_lock(&state.mutex);
    int old = state.fd;
    state.fd = ok ? fd : STDERR_FILENO;
    state.kind = kind_of(state.fd);
    if (state.kind == KIND_OTHER && fcntl(state.fd, F_GETPIPE_SZ) < PIPE_BYTES) {
        (void)fcntl(state.fd, F_SETPIPE_SZ, PIPE_BYTES); /* no pipe: nothing happens */
    }
    pthread_mutex_unlock(&state.mutex);
    if (old != STDERR_FILENO) {
        close(old);
    }
    return ok;
}

bool log_wants(enum log_level level)
{
    return level <= atomic_load(&state.level);
}

/* A pipe that polls writable takes a line of LOG_LINE_BYTES without blocking; a socket (the journal) may not,
 * so it is told not to wait. */
static ssize_t write_some(const char *bytes, size_t len)
{
    if (state.kind == KIND_SOCKET) {
        return send(state.fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    return write(state.fd, bytes, len);
}

static bool is_writable(int wait_ms)
{
    struct pollfd fd = {.fd = state.fd, .events = POLLOUT};
    return poll(&fd, 1, wait_ms) == 1 && (fd.revents & POLLOUT) != 0;
}

static bool has_room(void)
{
    struct timespec now;
    if (state.kind == KIND_FILE || is_writable(0)) {
        return true;
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (state.dropped > 0 || now.tv_sec - state.waited_s < WAIT_EVERY_S) {
        return false;
    }
    state.waited_s = now.tv_sec;
    return is_writable(WAIT_MS);
}

/* How much of it was written. */
static size_t put(const char *bytes, size_t len)
{
    size_t done = 0;
    while (done < len && has_room()) {
        ssize_t n = write_some(bytes + done, len - done);
        if (n > 0) {
            done += (size_t)n;
        } else if (n == 0 || errno != EINTR) {
            break;
        }
    }
    return done;
}

/* Whether nothing is left of the line before. */
static bool put_rest(void)
{
    size_t done = put(state.rest, state.rest_len);
    state.rest_len -= done;
    memmove(state.rest, state.rest + done, state.rest_len);
    return state.rest_len == 0;
}

/* False: nothing of it was written. Of one written in part the rest is kept, so it is as good as written. */
static bool put_line(const char *line, size_t len)
{
    if (!put_rest()) {
        return false;
    }
    size_t done = put(line, len);
    if (done > 0) {
        state.rest_len = len - done;
        memcpy(state.rest, line + done, state.rest_len);
    }
    return done > 0;
}

static void tell_dropped(void)
{
    struct log_field field = log_int("lines", state.dropped);
    char line[LOG_LINE_SIZE];
    size_t len = log_line(line, state.format, time(NULL), LOG_LEVEL_WARN, "log_lines_dropped", &field, 1);
    if (put_line(line, len)) {
        state.dropped = 0;
    }
}

static void write_event(enum log_level level, const char *event, const struct log_field *fields, size_t count)
{
    char line[LOG_LINE_SIZE];
    size_t len = log_line(line, state.format, time(NULL), level, event, fields, count);
    pthread_mutex_lock(&state.mutex);
    if (state.dropped > 0) {
        tell_dropped();
    }
    if (state.dropped > 0 || !put_line(line, len)) {
        state.dropped++;
    }
    pthread_mutex_unlock(&state.mutex);
}

void log_event(enum log_level level, const char *event, const struct log_field *fields, size_t count)
{
    if (log_wants(level)) {
        write_event(level, event, fields, count);
    }
}

bool log_reopen(char *why, size_t why_size)
{
    if (!state.path) {
        return true;
    }
    int fd = open_file(why, why_size);
    if (fd < 0) {
        return false;
    }
    pthread_mutex_lock(&state.mutex);
    if (!put_rest()) { /* the old file keeps the beginning, and the line is not whole anywhere */
        state.rest_len = 0;
        state.dropped++;
    }
    int old = state.fd;
    state.fd = fd;
    pthread_mutex_unlock(&state.mutex);
    close(old);
    return true;
}

static void change_level(enum log_level to)
{
    enum log_level from = (enum log_level)atomic_exchange(&state.level, to);
    struct log_field fields[] = {log_text("from", log_level_name(from)), log_text("to", log_level_name(to))};
    write_event(LOG_LEVEL_INFO, "log_level", fields, 2);
}

void log_more(void)
{
    unsigned level = atomic_load(&state.level);
    change_level(level + 1 < LOG_LEVEL_COUNT ? (enum log_level)(level + 1) : LOG_LEVEL_DEBUG);
}

void log_as_configured(void)
{
    change_level(state.configured);
}
