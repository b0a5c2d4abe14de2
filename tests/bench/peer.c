/* peer.c: IMAP servers that Dovecot does not play, thousands of connections on one thread.
 *
 *   peer MODE IMAP_PORT IMAPS_PORT FOLDER ADDRESS...
 *
 * silent     accepts and says nothing
 * handshake  talks up to STARTTLS; swallows the ClientHello on both ports
 * plain      talks in plain text on both ports, and refuses STARTTLS
 * hosts      talks with TLS, with the certificate of FOLDER (of chains.c) that belongs to the number in the
 * name the client asks for (hN. ...), so that each test can meet a certificate of its own Prints "ready" when
 * it listens. Ends with SIGTERM. */
#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common.h"

#define HOSTS 500
#define LINE_BYTES 128
#define PATH_BYTES 4096
#define GREETING "* OK ready.\r\n"

enum mode { SILENT, HANDSHAKE, PLAIN, MANY_HOSTS };

/* A listener has no line. */
struct connection {
    int fd;
    bool listener, implicit, swallow, shaking;
    gnutls_session_t tls;
    size_t len;
    char line[LINE_BYTES];
};

struct host {
    gnutls_pcert_st chain[2];
    gnutls_privkey_t key;
};

static enum mode mode;
static int epoll;
static struct host hosts[HOSTS];
static gnutls_certificate_credentials_t credentials;
static gnutls_priority_t priority;

static void must(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "peer: %s\n", what);
        exit(1);
    }
}

static void load_host(struct host *host, const char *folder, int number)
{
    char path[PATH_BYTES];
    gnutls_datum_t pem, above;
    snprintf(path, sizeof path, "%s/%d.pem", folder, number);
    must(gnutls_load_file(path, &pem) == 0, path);
    snprintf(path, sizeof path, "%s/intermediate.pem", folder);
    must(gnutls_load_file(path, &above) == 0, path);
    must(gnutls_privkey_init(&host->key) == 0 &&
             gnutls_privkey_import_x509_raw(host->key, &pem, GNUTLS_X509_FMT_PEM, NULL, 0) == 0 &&
             gnutls_pcert_import_x509_raw(&host->chain[0], &pem, GNUTLS_X509_FMT_PEM, 0) == 0 &&
             gnutls_pcert_import_x509_raw(&host->chain[1], &above, GNUTLS_X509_FMT_PEM, 0) == 0,
         "cannot use a certificate");
    gnutls_free(pem.data);
    gnutls_free(above.data);
}

static int on_retrieve(gnutls_session_t session, const gnutls_datum_t *names, int count,
                       const gnutls_pk_algorithm_t *algorithms, int length, gnutls_pcert_st **chain,
                       unsigned *chain_len, gnutls_privkey_t *key)
{
    char name[256];
    size_t len = sizeof name;
    unsigned type;
    long number = -1;
    (void)names, (void)count, (void)algorithms, (void)length;
    if (gnutls_server_name_get(session, name, &len, &type, 0) == 0 && name[0] == 'h') {
        number = strtol(name + 1, NULL, 10);
    }
    if (number < 0 || number >= HOSTS) {
        return -1;
    }
    *chain = hosts[number].chain;
    *chain_len = 2;
    *key = hosts[number].key;
    return 0;
}

static void end(struct connection *c)
{
    if (c->tls) {
        gnutls_deinit(c->tls);
    }
    close(c->fd);
    free(c);
}

/* All that is ever said at once fits into the empty buffer of a socket. */
static bool say(struct connection *c, const char *text)
{
    size_t len = strlen(text);
    ssize_t n = c->tls ? gnutls_record_send(c->tls, text, len) : send(c->fd, text, len, MSG_NOSIGNAL);
    return n == (ssize_t)len;
}

static bool begin_tls(struct connection *c)
{
    c->shaking = true;
    if (gnutls_init(&c->tls, GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL) < 0) {
        return false;
    }
    gnutls_priority_set(c->tls, priority);
    gnutls_credentials_set(c->tls, GNUTLS_CRD_CERTIFICATE, credentials);
    gnutls_transport_set_int(c->tls, c->fd);
    return true;
}

/* Answers one command. False: the connection is over. */
static bool answer(struct connection *c, char *line)
{
    char reply[2 * LINE_BYTES], *rest = line, *tag = strsep(&rest, " ");
    bool logout = rest && strncasecmp(rest, "LOGOUT", 6) == 0;
    bool starttls = rest && strncasecmp(rest, "STARTTLS", 8) == 0;
    const char *untagged = "";
    if (logout) {
        untagged = "* BYE until then\r\n";
    } else if (rest && strncasecmp(rest, "CAPABILITY", 10) == 0) {
        bool offer = mode != PLAIN && !c->tls;
        untagged = offer ? "* CAPABILITY IMAP4rev1 STARTTLS\r\n" : "* CAPABILITY IMAP4rev1\r\n";
    }
    bool refused = starttls && mode == PLAIN;
    snprintf(reply, sizeof reply, "%s%s %s\r\n", untagged, tag, refused ? "BAD no such command" : "OK done");
    if (!say(c, reply) || logout) {
        return false;
    }
    if (starttls && mode == MANY_HOSTS) {
        return begin_tls(c);
    }
    c->swallow |= starttls && !refused;
    return true;
}

/* What is no IMAP, on a port where TLS is expected: read, lest the end be a reset, and done with. */
static bool turn_away(const struct connection *c)
{
    char hello[4096];
    return recv(c->fd, hello, sizeof hello, MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static bool read_on(struct connection *c, bool *again)
{
    if (mode == PLAIN && c->implicit) {
        *again = false;
        return turn_away(c);
    }
    size_t room = sizeof c->line - 1 - c->len;
    ssize_t n = c->tls ? gnutls_record_recv(c->tls, c->line + c->len, room)
                       : recv(c->fd, c->line + c->len, room, MSG_DONTWAIT);
    *again = n > 0;
    if (n <= 0) {
        return c->tls ? n == GNUTLS_E_AGAIN : n < 0 && errno == EAGAIN;
    }
    c->len += (size_t)n;
    if (c->swallow) {
        c->len = 0;
        return true;
    }
    c->line[c->len] = '\0';
    for (char *end; (end = strstr(c->line, "\r\n"));) {
        char line[LINE_BYTES];
        *end = '\0';
        memcpy(line, c->line, (size_t)(end - c->line) + 1);
        c->len -= (size_t)(end + 2 - c->line);
        memmove(c->line, end + 2, c->len + 1);
        if (!answer(c, line)) {
            return false;
        }
    }
    return c->len < sizeof c->line - 1; /* no command is as long, and no TLS record has so short a line */
}

static bool shake(struct connection *c, bool *again)
{
    int status = gnutls_handshake(c->tls);
    *again = status == 0;
    if (status < 0) {
        return !gnutls_error_is_fatal(status);
    }
    c->shaking = false;
    return !c->implicit || say(c, GREETING);
}

static void on_input(struct connection *c)
{
    for (bool again = true; again;) {
        if (!(c->shaking ? shake(c, &again) : read_on(c, &again))) {
            end(c);
            return;
        }
    }
}

static bool watch(struct connection *c)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event) == 0;
}

static void on_guest(const struct connection *listener)
{
    int fd, one = 1;
    while ((fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct connection *c = calloc(1, sizeof *c);
        must(c != NULL, "no memory");
        c->fd = fd;
        c->implicit = listener->implicit;
        c->swallow = mode == SILENT || (mode == HANDSHAKE && c->implicit);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        bool good = watch(c);
        if (good && c->implicit && mode == MANY_HOSTS) {
            good = begin_tls(c);
        } else if (good && !c->swallow) {
            good = say(c, GREETING);
        }
        if (!good) {
            end(c);
        }
    }
}

static void listen_on(const char *address, const char *port, bool implicit)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    struct connection *c = calloc(1, sizeof *c);
    int one = 1;
    must(c && inet_pton(AF_INET, address, &at.sin_addr) == 1, "no such address");
    c->listener = true;
    c->implicit = implicit;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(c->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    must(bind(c->fd, (const struct sockaddr *)&at, sizeof at) == 0 && listen(c->fd, 8192) == 0 && watch(c),
         "cannot listen");
}

static bool parse_mode(const char *name)
{
    static const char *const names[] = {"silent", "handshake", "plain", "hosts"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(name, names[i]) == 0) {
            mode = (enum mode)i;
            return true;
        }
    }
    return false;
}

static void prepare_tls(const char *folder)
{
    gnutls_certificate_allocate_credentials(&credentials);
    gnutls_certificate_set_retrieve_function2(credentials, on_retrieve);
    gnutls_priority_init(&priority, NULL, NULL);
    for (int i = 0; i < HOSTS; i++) {
        load_host(&hosts[i], folder, i);
    }
}

int main(int argc, char **argv)
{
    if (argc < 6 || !parse_mode(argv[1])) {
        fputs("usage: peer silent|handshake|plain|hosts IMAP_PORT IMAPS_PORT FOLDER ADDRESS...\n", stderr);
        return 2;
    }
    raise_descriptor_limit();
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (mode == MANY_HOSTS) {
        prepare_tls(argv[4]);
    }
    for (char **address = argv + 5; *address; address++) {
        listen_on(*address, argv[2], false);
        listen_on(*address, argv[3], true);
    }
    puts("ready");
    fflush(stdout);
    for (;;) {
        struct epoll_event events[256];
        int n = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            if (c->listener) {
                on_guest(c);
            } else {
                on_input(c);
            }
        }
    }
}
