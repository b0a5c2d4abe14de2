/* bare.c: what a test costs when nothing but the two dialogues is done.
 *
 *   bare ROOTS.pem NAME ADDRESS IMAP_PORT IMAPS_PORT COUNT CONCURRENCY
 *
 * One test: greeting, CAPABILITY, STARTTLS, full handshake, CAPABILITY, LOGOUT on one port; full handshake,
 * greeting, CAPABILITY, LOGOUT on the other, both started together; the chain and NAME verified in each. No
 * HTTP, no JSON, no DNS, one thread, GnuTLS as it comes. {n} in NAME becomes the number of the test, modulo
 * HOSTS. Prints one line of key=value; fails where a test did. */
#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common.h"

#define HOSTS 500
#define MOST_SECONDS 60
#define INPUT_BYTES 4096
#define LINES_BYTES 4096
#define NAME_BYTES 256

/* What is awaited. The two dialogues enter the list at different places. */
enum step { CONNECT, GREETING, CAPABILITY, STARTTLS, HANDSHAKE, TLS_GREETING, TLS_CAPABILITY, LOGOUT };

struct session {
    struct test *test;
    int fd;
    bool implicit;
    enum step step;
    gnutls_session_t tls;
    unsigned char input[INPUT_BYTES]; /* read ahead, so that a record costs one system call */
    size_t at, end;
    char lines[LINES_BYTES];
    size_t len;
};

struct test {
    struct session sessions[2];
    char name[NAME_BYTES];
    double start;
    int left;
    bool failed;
};

static struct {
    const char *name;
    struct sockaddr_in to[2];
    gnutls_certificate_credentials_t credentials;
    gnutls_priority_t priority;
    int epoll;
    long count, started, done, failed;
    double *latencies;
} all;

static ssize_t on_pull(gnutls_transport_ptr_t p, void *out, size_t size)
{
    struct session *s = p;
    if (s->at == s->end) {
        ssize_t n = recv(s->fd, s->input, sizeof s->input, 0);
        if (n <= 0) {
            gnutls_transport_set_errno(s->tls, n < 0 ? errno : 0);
            return n;
        }
        s->at = 0;
        s->end = (size_t)n;
    }
    size_t n = s->end - s->at < size ? s->end - s->at : size;
    memcpy(out, s->input + s->at, n);
    s->at += n;
    return (ssize_t)n;
}

static ssize_t on_push(gnutls_transport_ptr_t p, const giovec_t *parts, int count)
{
    struct session *s = p;
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)parts, .msg_iovlen = (size_t)count};
    ssize_t n = sendmsg(s->fd, &message, MSG_NOSIGNAL);
    if (n < 0) {
        gnutls_transport_set_errno(s->tls, errno);
    }
    return n;
}

static bool watch(struct session *s, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = s};
    return epoll_ctl(all.epoll, operation, s->fd, &event) == 0;
}

static bool start_session(struct session *s)
{
    int one = 1;
    s->at = s->end = s->len = 0;
    s->step = CONNECT;
    s->tls = NULL;
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->fd < 0) {
        return false;
    }
    setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    const struct sockaddr_in *to = &all.to[s->implicit];
    if (connect(s->fd, (const struct sockaddr *)to, sizeof *to) != 0 && errno != EINPROGRESS) {
        return false;
    }
    return watch(s, EPOLL_CTL_ADD, EPOLLOUT);
}

static bool say(struct session *s, const char *text)
{
    size_t len = strlen(text);
    ssize_t n = s->tls ? gnutls_record_send(s->tls, text, len) : send(s->fd, text, len, MSG_NOSIGNAL);
    return n == (ssize_t)len;
}

static bool begin_tls(struct session *s)
{
    s->step = HANDSHAKE;
    s->len = 0;
    if (gnutls_init(&s->tls, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL) < 0) {
        return false;
    }
    gnutls_priority_set(s->tls, all.priority);
    gnutls_credentials_set(s->tls, GNUTLS_CRD_CERTIFICATE, all.credentials);
    gnutls_server_name_set(s->tls, GNUTLS_NAME_DNS, s->test->name, strlen(s->test->name));
    gnutls_session_set_verify_cert(s->tls, s->test->name, 0);
    gnutls_transport_set_ptr(s->tls, s);
    gnutls_transport_set_pull_function(s->tls, on_pull);
    gnutls_transport_set_vec_push_function(s->tls, on_push);
    return true;
}

/* More to come is true with nothing changed; an end or an error is false. */
static bool take_bytes(struct session *s, bool *more)
{
    size_t room = sizeof s->lines - 1 - s->len;
    ssize_t n = s->tls ? gnutls_record_recv(s->tls, s->lines + s->len, room)
                       : recv(s->fd, s->lines + s->len, room, 0);
    /* A session ticket counts as nothing to read; what came behind it is in `input` already. */
    *more = n > 0 || (s->tls && s->at < s->end && n == GNUTLS_E_AGAIN);
    if (n > 0) {
        s->len += (size_t)n;
        s->lines[s->len] = '\0';
        return true;
    }
    if (s->tls) {
        return n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED;
    }
    return n < 0 && errno == EAGAIN;
}

/* Whether the line that ends this step is there. */
static bool complete(const struct session *s, const char *tag)
{
    const char *line = s->lines;
    for (const char *end; s->len > 0 && (end = strstr(line, "\r\n")); line = end + 2) {
        if (strncmp(line, tag, strlen(tag)) == 0) {
            return true;
        }
    }
    return false;
}

/* What is awaited in a step, what is said once it came, and the step behind it. */
static const struct {
    const char *tag, *next_words;
    enum step next;
} dialogue[] = {
    [GREETING] = {"* OK", "a CAPABILITY\r\n", CAPABILITY},
    [CAPABILITY] = {"a OK", "b STARTTLS\r\n", STARTTLS},
    [STARTTLS] = {"b OK", NULL, HANDSHAKE},
    [TLS_GREETING] = {"* OK", "c CAPABILITY\r\n", TLS_CAPABILITY},
    [TLS_CAPABILITY] = {"c OK", "d LOGOUT\r\n", LOGOUT},
};

/* One step where it can be done; *again tells that another may be. False: the session failed. */
static bool advance(struct session *s, bool *again, bool *over)
{
    *again = false;
    if (s->step == HANDSHAKE) {
        int status = gnutls_handshake(s->tls);
        if (status < 0) {
            return !gnutls_error_is_fatal(status);
        }
        *again = true;
        s->step = s->implicit ? TLS_GREETING : TLS_CAPABILITY;
        return s->implicit || say(s, "c CAPABILITY\r\n");
    }
    bool more;
    if (!take_bytes(s, &more)) {
        return false;
    }
    *again =
        more && s->tls; /* GnuTLS may hold a second record; a plain answer has come whole or wakes us again */
    if (s->step == LOGOUT) {
        *over = complete(s, "d OK");
        return true;
    }
    if (!complete(s, dialogue[s->step].tag)) {
        return true;
    }
    const char *words = dialogue[s->step].next_words;
    s->step = dialogue[s->step].next;
    s->len = 0;
    if (s->step == HANDSHAKE) {
        *again = true;
        return begin_tls(s);
    }
    return say(s, words);
}

static void start_test(struct test *t);

static void end_session(struct session *s, bool good)
{
    struct test *t = s->test;
    if (s->tls) {
        gnutls_deinit(s->tls);
    }
    if (s->fd >= 0) {
        close(s->fd);
    }
    s->fd = -1;
    t->failed |= !good;
    if (--t->left > 0) {
        return;
    }
    all.latencies[all.done++] = clock_seconds(CLOCK_MONOTONIC) - t->start;
    all.failed += t->failed;
    if (all.started < all.count) {
        start_test(t);
    }
}

static void start_test(struct test *t)
{
    fill_number(t->name, sizeof t->name, all.name, all.started++ % HOSTS);
    t->start = clock_seconds(CLOCK_MONOTONIC);
    t->left = 2;
    t->failed = false;
    for (int i = 0; i < 2; i++) {
        t->sessions[i].test = t;
        t->sessions[i].implicit = i == 1;
        if (!start_session(&t->sessions[i])) {
            perror("bare: connect");
            exit(1);
        }
    }
}

static void on_event(struct session *s)
{
    bool again = true, over = false, good = true;
    if (s->step == CONNECT) {
        good = watch(s, EPOLL_CTL_MOD, EPOLLIN);
        s->step = GREETING;
        again = s->implicit;
        if (good && s->implicit) {
            good = begin_tls(s);
        }
    }
    while (good && again && !over) {
        good = advance(s, &again, &over);
    }
    if (!good || over) {
        end_session(s, good);
    }
}

static bool prepare(char **argv)
{
    all.name = argv[2];
    for (int i = 0; i < 2; i++) {
        all.to[i].sin_family = AF_INET;
        all.to[i].sin_port = htons((uint16_t)atoi(argv[4 + i]));
        if (inet_pton(AF_INET, argv[3], &all.to[i].sin_addr) != 1) {
            return false;
        }
    }
    all.count = atol(argv[6]);
    all.latencies = calloc((size_t)all.count + 1, sizeof *all.latencies);
    all.epoll = epoll_create1(EPOLL_CLOEXEC);
    gnutls_certificate_allocate_credentials(&all.credentials);
    gnutls_priority_init(&all.priority, NULL, NULL);
    return all.latencies && all.epoll >= 0 &&
           gnutls_certificate_set_x509_trust_file(all.credentials, argv[1], GNUTLS_X509_FMT_PEM) > 0;
}

int main(int argc, char **argv)
{
    if (argc != 8 || !prepare(argv)) {
        fputs("usage: bare ROOTS.pem NAME ADDRESS IMAP_PORT IMAPS_PORT COUNT CONCURRENCY\n", stderr);
        return 2;
    }
    raise_descriptor_limit();
    long concurrency = atol(argv[7]) < all.count ? atol(argv[7]) : all.count;
    struct test *tests = calloc((size_t)concurrency + 1, sizeof *tests);
    double cpu = clock_seconds(CLOCK_PROCESS_CPUTIME_ID), start = clock_seconds(CLOCK_MONOTONIC);
    for (long i = 0; tests && i < concurrency; i++) {
        start_test(&tests[i]);
    }
    while (all.done < all.count && clock_seconds(CLOCK_MONOTONIC) - start < MOST_SECONDS) {
        struct epoll_event events[64];
        int n = epoll_wait(all.epoll, events, 64, 1000);
        for (int i = 0; i < n; i++) {
            on_event(events[i].data.ptr);
        }
    }
    double wall = clock_seconds(CLOCK_MONOTONIC) - start;
    cpu = clock_seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    printf("done=%ld failed=%ld rate=%.1f", all.done, all.failed, (double)all.done / wall);
    print_latencies(all.latencies, (size_t)all.done);
    printf(" cpu_ms=%.4f\n", all.done ? cpu * 1e3 / (double)all.done : 0.0);
    return all.done < all.count || all.failed > 0;
}
