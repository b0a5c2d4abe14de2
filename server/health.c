#include "server/health.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "probe/base/limits.h"

#define NAME_SIZE (IP_TEXT_SIZE + sizeof "[]:65535")
#define NS_PER_MS 1000000L

/* "HTTP/1.1 200", and what follows. */
#define STATUS_LINE "HTTP/1."
#define STATUS_AT 9u
#define STATUS_END 12u

/* One question. `why` is for people. */
struct question {
    int fd;
    struct timespec end;
    char why[128];
};

bool health_target(const char *endpoint, struct ip *ip, uint16_t *port)
{
    static const uint8_t any[16];
    int number = 0;

    if (!config_endpoint(endpoint, ip, &number) || number <= 0) {
        return false;
    }
    *port = (uint16_t)number;
    if (memcmp(ip->bytes, any, ip->family == 4 ? 4 : sizeof any) == 0) {
        ip_parse(ip, ip->family == 4 ? "127.0.0.1" : "::1");
    }
    return true;
}

bool health_answer_good(const char *answer, size_t len)
{
    return len > STATUS_END && memcmp(answer, STATUS_LINE, sizeof STATUS_LINE - 1) == 0 &&
           answer[STATUS_AT - 1] == ' ' && memcmp(answer + STATUS_AT, "200", 3) == 0 &&
           (answer[STATUS_END] == ' ' || answer[STATUS_END] == '\r');
}

static bool fail(struct question *q, int code)
{
    snprintf(q->why, sizeof q->why, "%s", strerror(code));
    return false;
}

/* Until something can be done, or there is no time left. */
static bool wait_for(struct question *q, short events)
{
    struct timespec now;
    struct pollfd wanted = {.fd = q->fd, .events = events};
    int ready;

    do {
        clock_gettime(CLOCK_MONOTONIC, &now);
        long long left = (q->end.tv_sec - now.tv_sec) * 1000LL + (q->end.tv_nsec - now.tv_nsec) / NS_PER_MS;
        ready = left > 0 ? poll(&wanted, 1, (int)left) : 0;
    } while (ready < 0 && errno == EINTR);
    if (ready == 0) {
        return fail(q, ETIMEDOUT);
    }
    return ready > 0 || fail(q, errno);
}

static bool connect_to(struct question *q, const struct ip *ip, uint16_t port)
{
    struct sockaddr_storage to;
    socklen_t len = ip_to_sockaddr(ip, port, &to);
    int code = 0;
    socklen_t code_len = sizeof code;

    q->fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (q->fd < 0) {
        return fail(q, errno);
    }
    if (connect(q->fd, (const struct sockaddr *)&to, len) < 0 && errno != EINPROGRESS) {
        return fail(q, errno);
    }
    if (!wait_for(q, POLLOUT)) {
        return false;
    }
    if (getsockopt(q->fd, SOL_SOCKET, SO_ERROR, &code, &code_len) < 0) {
        code = errno;
    }
    return code == 0 || fail(q, code);
}

/* A new connection takes a request of this size at once. */
static bool ask(struct question *q, const char *name)
{
    char request[160];
    int len = snprintf(request, sizeof request,
                       "GET /healthz HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", name);
    ssize_t sent = send(q->fd, request, (size_t)len, MSG_NOSIGNAL);
    return sent == len || fail(q, sent < 0 ? errno : EMSGSIZE);
}

/* The status line is enough, however it comes. */
static bool read_answer(struct question *q)
{
    char answer[1024];
    size_t len = 0;

    while (len <= STATUS_END) {
        if (!wait_for(q, POLLIN)) {
            return false;
        }
        ssize_t got = recv(q->fd, answer + len, sizeof answer - len, 0);
        if (got == 0) {
            snprintf(q->why, sizeof q->why, "the connection ended without an answer");
            return false;
        }
        if (got < 0 && errno != EAGAIN && errno != EINTR) {
            return fail(q, errno);
        }
        len += got > 0 ? (size_t)got : 0;
    }
    if (!health_answer_good(answer, len)) {
        snprintf(q->why, sizeof q->why, "the answer to /healthz is not 200");
        return false;
    }
    return true;
}

enum health_status health_check(const struct config *config)
{
    struct question q = {.fd = -1};
    struct ip ip = {.family = 0};
    uint16_t port = 0;
    char address[IP_TEXT_SIZE], name[NAME_SIZE];

    if (!health_target(config->listen.items[0], &ip, &port)) {
        fprintf(
            stderr,
            "imap-testd: --health-check cannot know which port was taken for %s; name one with --listen\n",
            config->listen.items[0]);
        return HEALTH_USAGE;
    }
    snprintf(name, sizeof name, ip.family == 6 ? "[%s]:%u" : "%s:%u", ip_format(&ip, address),
             (unsigned)port);
    clock_gettime(CLOCK_MONOTONIC, &q.end);
    q.end.tv_sec += LIMIT_HEALTH_MS / 1000;
    bool alive = connect_to(&q, &ip, port) && ask(&q, name) && read_answer(&q);
    if (q.fd >= 0) {
        close(q.fd);
    }
    if (alive) {
        printf("%s is alive\n", name);
    } else {
        fprintf(stderr, "imap-testd: %s is not alive: %s\n", name, q.why);
    }
    return alive ? HEALTH_ALIVE : HEALTH_FAILED;
}
