/* load.c: an HTTP/1.1 load of bounded size, one thread. It shares the machine with what it measures, so it
 * has to be cheap itself; it says what it took.
 *
 *   load [-m TEXT] [-p PID] [-s SECONDS] [-i MS] [-n FIRST] COUNT CONCURRENCY URL...
 *
 * One test is one request to each URL, all sent together; {n} in a URL becomes the number of the test, from
 * FIRST on. -m  a reply without TEXT, or with another status than 200, is a failed one -p  reports that
 * process's CPU time and peak memory -s  ends after so many seconds (60), whatever is open; what is not done
 * then has not failed -i  waits so long between a test's end and the next URLs are http://IPV4:PORT/PATH.
 * Prints one line of key=value; fails where a test failed or -s cut it off. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common.h"

#define MOST_URLS 4
#define URL_BYTES 1024
#define FIRST_BYTES 4096
#define MOST_REPLY_BYTES (1024u * 1024)

struct url {
    struct sockaddr_in to;
    char host[64];
    const char *path;
};

struct connection {
    struct test *test;
    const struct url *url;
    int fd;
    bool asked;
    char *data;
    size_t len, room;
};

struct test {
    struct connection connections[MOST_URLS];
    double start;
    int left;
    bool failed;
};

static struct {
    struct url urls[MOST_URLS];
    int url_count, epoll, pid;
    const char *match;
    long first, count, concurrency, started, done, failed, refused, bytes;
    double *latencies, seconds, pause;
} all = {.seconds = 60};

static bool parse_url(struct url *u, const char *text)
{
    char ip[32];
    int port, used = 0;
    if (sscanf(text, "http://%31[0-9.]:%d%n", ip, &port, &used) != 2 || text[used] != '/' ||
        inet_pton(AF_INET, ip, &u->to.sin_addr) != 1) {
        return false;
    }
    u->to.sin_family = AF_INET;
    u->to.sin_port = htons((uint16_t)port);
    u->path = text + used;
    snprintf(u->host, sizeof u->host, "%s:%d", ip, port);
    return true;
}

/* A number of /proc/PID/status, in kB where it is memory. */
static long status_field(const char *name)
{
    char path[64], line[256];
    long value = 0;
    snprintf(path, sizeof path, "/proc/%d/status", all.pid);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, name, strlen(name)) == 0) {
            value = strtol(line + strlen(name), NULL, 10);
        }
    }
    if (file) {
        fclose(file);
    }
    return value;
}

static void restart_peak(void)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/clear_refs", all.pid);
    FILE *file = fopen(path, "w");
    if (file) {
        fputs("5", file);
        fclose(file);
    }
}

static double cpu_of_process(void)
{
    clockid_t clock;
    return clock_getcpuclockid(all.pid, &clock) == 0 ? clock_seconds(clock) : 0;
}

static void hang_up(struct connection *c)
{
    if (c->fd >= 0) {
        close(c->fd);
    }
    c->fd = -1;
}

static bool dial(struct connection *c)
{
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (const struct sockaddr *)&c->url->to, sizeof c->url->to) != 0) {
        hang_up(c);
        return false;
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    return epoll_ctl(all.epoll, EPOLL_CTL_ADD, c->fd, &event) == 0;
}

/* Sends the request; anew where the server has closed the idle connection meanwhile. */
static bool ask(struct connection *c, long number)
{
    char path[URL_BYTES], request[URL_BYTES + 128];
    fill_number(path, sizeof path, c->url->path, number);
    int len = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, c->url->host);
    c->len = 0;
    c->asked = true;
    for (int attempt = 0; attempt < 2; attempt++) {
        if (c->fd < 0 && !dial(c)) {
            return false;
        }
        if (send(c->fd, request, (size_t)len, MSG_NOSIGNAL) == len) {
            return true;
        }
        hang_up(c);
    }
    return false;
}

static void start_test(struct test *t)
{
    t->start = clock_seconds(CLOCK_MONOTONIC);
    t->left = all.url_count;
    t->failed = false;
    long number = all.first + all.started++;
    for (int i = 0; i < all.url_count; i++) {
        if (!ask(&t->connections[i], number)) {
            perror("load: cannot send the request");
            exit(1);
        }
    }
}

/* The end of the head, or NULL while it is not there. */
static const char *end_of_head(const struct connection *c)
{
    const char *end = memmem(c->data, c->len, "\r\n\r\n", 4);
    return end ? end + 4 : NULL;
}

/* Whether a header line of the reply begins so; `value` is what follows. */
static bool has_header(const struct connection *c, const char *head_end, const char *name, const char **value)
{
    for (const char *line = c->data; line < head_end - 2;) {
        const char *end = memmem(line, (size_t)(head_end - line), "\r\n", 2);
        line = end + 2;
        if (strncasecmp(line, name, strlen(name)) == 0) {
            *value = line + strlen(name);
            return true;
        }
    }
    return false;
}

/* Whether the reply is whole. `over`: the server has ended the connection, which may be what ends it. */
static bool whole(const struct connection *c, bool over, bool *keep)
{
    const char *body = end_of_head(c), *value;
    *keep = false;
    if (!body) {
        return false;
    }
    size_t len = c->len - (size_t)(body - c->data);
    *keep = !has_header(c, body, "Connection: close", &value);
    if (has_header(c, body, "Content-Length:", &value)) {
        return len >= strtoul(value, NULL, 10);
    }
    if (has_header(c, body, "Transfer-Encoding: chunked", &value)) {
        return c->len >= 7 && memcmp(c->data + c->len - 7, "\r\n0\r\n\r\n", 7) == 0;
    }
    *keep = false;
    return over;
}

static bool as_wanted(const struct connection *c)
{
    bool ok = c->len > 12 && memcmp(c->data + 8, " 200", 4) == 0;
    all.refused += c->len > 12 && memcmp(c->data + 8, " 503", 4) == 0;
    return ok && (!all.match || memmem(c->data, c->len, all.match, strlen(all.match)));
}

static void complain(const struct connection *c)
{
    if (all.failed == 0) {
        fprintf(stderr, "load: the first that failed: %.*s\n", (int)(c->len > 700 ? 700 : c->len), c->data);
    }
}

static void end_request(struct connection *c, bool good)
{
    struct test *t = c->test;
    c->asked = false;
    if (!good && !t->failed) {
        complain(c);
        t->failed = true;
    }
    if (--t->left > 0) {
        return;
    }
    all.latencies[all.done++] = clock_seconds(CLOCK_MONOTONIC) - t->start;
    all.failed += t->failed;
    if (all.started < all.count) {
        if (all.pause > 0) {
            usleep((useconds_t)(all.pause * 1e6));
        }
        start_test(t);
    }
}

static bool make_room(struct connection *c)
{
    if (c->len < c->room) {
        return true;
    }
    size_t room = c->room ? 2 * c->room : FIRST_BYTES;
    char *data = room <= MOST_REPLY_BYTES ? realloc(c->data, room) : NULL;
    if (!data) {
        return false;
    }
    c->data = data;
    c->room = room;
    return true;
}

static void on_event(struct connection *c)
{
    ssize_t n = make_room(c) ? recv(c->fd, c->data + c->len, c->room - c->len, MSG_DONTWAIT) : 0;
    if (n < 0 && errno == EAGAIN) {
        return;
    }
    if (!c->asked) {
        hang_up(c);
        return;
    }
    bool over = n <= 0, keep;
    if (!over) {
        c->len += (size_t)n;
        all.bytes += n;
    }
    bool good = whole(c, over, &keep);
    if (!good && !over) {
        return;
    }
    if (over || !keep) {
        hang_up(c);
    }
    end_request(c, good && as_wanted(c));
}

static bool parse(int argc, char **argv)
{
    for (int option; (option = getopt(argc, argv, "m:p:s:i:n:")) != -1;) {
        switch (option) {
        case 'm':
            all.match = optarg;
            break;
        case 'p':
            all.pid = atoi(optarg);
            break;
        case 's':
            all.seconds = strtod(optarg, NULL);
            break;
        case 'i':
            all.pause = strtod(optarg, NULL) / 1e3;
            break;
        case 'n':
            all.first = atol(optarg);
            break;
        default:
            return false;
        }
    }
    all.url_count = argc - optind - 2;
    if (all.url_count < 1 || all.url_count > MOST_URLS) {
        return false;
    }
    all.count = atol(argv[optind]);
    all.concurrency = atol(argv[optind + 1]);
    for (int i = 0; i < all.url_count; i++) {
        if (!parse_url(&all.urls[i], argv[optind + 2 + i])) {
            return false;
        }
    }
    return all.count > 0 && all.concurrency > 0;
}

static void start_all(struct test *tests)
{
    for (long i = 0; i < all.concurrency && all.started < all.count; i++) {
        for (int k = 0; k < all.url_count; k++) {
            tests[i].connections[k] = (struct connection){.test = &tests[i], .url = &all.urls[k], .fd = -1};
        }
        start_test(&tests[i]);
    }
}

int main(int argc, char **argv)
{
    if (!parse(argc, argv)) {
        fputs("usage: load [-m TEXT] [-p PID] [-s SECONDS] [-i MS] [-n FIRST] COUNT CONCURRENCY URL...\n",
              stderr);
        return 2;
    }
    raise_descriptor_limit();
    all.epoll = epoll_create1(EPOLL_CLOEXEC);
    all.latencies = calloc((size_t)all.count, sizeof *all.latencies);
    struct test *tests = calloc((size_t)all.concurrency, sizeof *tests);
    if (!all.latencies || !tests) {
        return 1;
    }
    if (all.pid) {
        restart_peak();
    }
    double own = clock_seconds(CLOCK_PROCESS_CPUTIME_ID), theirs = cpu_of_process();
    double start = clock_seconds(CLOCK_MONOTONIC), now = start;
    start_all(tests);
    while (all.done < all.count && (now = clock_seconds(CLOCK_MONOTONIC)) - start < all.seconds) {
        struct epoll_event events[256];
        int n = epoll_wait(all.epoll, events, 256, 200);
        for (int i = 0; i < n; i++) {
            on_event(events[i].data.ptr);
        }
    }
    double wall = clock_seconds(CLOCK_MONOTONIC) - start, tests_done = all.done ? (double)all.done : 1;
    own = clock_seconds(CLOCK_PROCESS_CPUTIME_ID) - own;
    theirs = cpu_of_process() - theirs;
    printf("done=%ld failed=%ld refused=%ld rate=%.1f", all.done, all.failed, all.refused,
           (double)all.done / wall);
    print_latencies(all.latencies, (size_t)all.done);
    printf(" bytes=%.0f driver_share=%.3f", (double)all.bytes / tests_done, own / wall);
    if (all.pid) {
        printf(" cpu_ms=%.4f peak_kb=%ld", theirs * 1e3 / tests_done, status_field("VmHWM:"));
    }
    putchar('\n');
    return all.done < all.count || all.failed > 0;
}
