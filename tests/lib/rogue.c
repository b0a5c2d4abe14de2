/* rogue.c: a TLS server on loopback that plays as no honest one does: any certificates, odd records, an end
 * anywhere.
 *
 *   rogue ADDRESS PORT KEY.pem PLAY...
 *
 * One connection at a time; each PLAY is one of them, the last one is repeated. A play is a list of steps
 * with one space between them, STEP or STEP=ARGUMENT, as in the table `steps`. It prints "ready" when it
 * listens, and ends by itself after LIFETIME_S. It trusts nobody and checks nothing. */
#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define LIFETIME_S 300
#define PATIENCE_S 10
#define MOST_CERTIFICATES 64
#define PLAY_BYTES 1024
#define MOST_GREETING 4096
#define MOST_MESSAGE_BYTES (1024u * 1024)
#define NO_CUT (-1)

struct rogue {
    int listener, fd;
    gnutls_privkey_t key;
    gnutls_pubkey_t pubkey;
    gnutls_datum_t chain; /* what `certificates` point into */
    gnutls_pcert_st certificates[MOST_CERTIFICATES];
    unsigned count;
    gnutls_certificate_credentials_t credentials;
    gnutls_session_t session;
    long records; /* still to be sent in the handshake before the connection is cut, or NO_CUT */
    bool by_reset;
    char tag[32];
};

static bool fail(const char *what)
{
    fprintf(stderr, "rogue: %s\n", what);
    return false;
}

/* GnuTLS asks for the certificates; they are sent as they are, whatever is in them. */
static int on_retrieve(gnutls_session_t session, const gnutls_datum_t *names, int count,
                       const gnutls_pk_algorithm_t *algorithms, int length, gnutls_pcert_st **certificates,
                       unsigned *certificate_count, gnutls_privkey_t *key)
{
    struct rogue *r = gnutls_session_get_ptr(session);
    (void)names, (void)count, (void)algorithms, (void)length;
    *certificates = r->certificates;
    *certificate_count = r->count;
    *key = r->key;
    return 0;
}

/* Called once for each record, since it takes no vectors. */
static ssize_t on_push(gnutls_transport_ptr_t p, const void *data, size_t len)
{
    struct rogue *r = p;
    if (r->records == 0) {
        gnutls_transport_set_errno(r->session, EPIPE);
        return -1;
    }
    r->records -= r->records > 0;
    return send(r->fd, data, len, MSG_NOSIGNAL);
}

/* What the client still says is read, lest the kernel turn our FIN into an RST. */
static void end_gently(struct rogue *r)
{
    char rest[4096];
    shutdown(r->fd, SHUT_WR);
    while (recv(r->fd, rest, sizeof rest, 0) > 0) {
    }
}

static void end_with_reset(struct rogue *r)
{
    struct linger now = {1, 0};
    setsockopt(r->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

static bool say(struct rogue *r, const char *text)
{
    ssize_t n = r->session ? gnutls_record_send(r->session, text, strlen(text))
                           : send(r->fd, text, strlen(text), MSG_NOSIGNAL);
    return n == (ssize_t)strlen(text);
}

/* One command, which a guest sends in one piece; keeps its tag. */
static bool hear(struct rogue *r, char *line, size_t size)
{
    ssize_t n = r->session ? gnutls_record_recv(r->session, line, size - 1) : recv(r->fd, line, size - 1, 0);
    line[n > 0 ? n : 0] = '\0';
    return n > 0 && sscanf(line, "%31s", r->tag) == 1;
}

/* Steps. False ends the play. */

/* A file of certificates, each DER behind its length in four bytes, the first byte the highest. */
static bool take_chain(struct rogue *r, const char *file)
{
    gnutls_free(r->chain.data);
    r->chain = (gnutls_datum_t){NULL, 0};
    r->count = 0;
    if (gnutls_load_file(file, &r->chain) < 0) {
        return fail("cannot read the chain");
    }
    for (size_t at = 0; at + 4 <= r->chain.size && r->count < MOST_CERTIFICATES;) {
        const unsigned char *p = r->chain.data + at;
        size_t len = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
        if (len > r->chain.size - at - 4) {
            return fail("the chain is cut off");
        }
        r->certificates[r->count++] = (gnutls_pcert_st){
            .pubkey = r->pubkey, .cert = {r->chain.data + at + 4, (unsigned)len}, .type = GNUTLS_CRT_X509};
        at += 4 + len;
    }
    return true;
}

static bool close_listener(struct rogue *r, const char *argument)
{
    (void)argument;
    close(r->listener);
    r->listener = -1;
    return true;
}

static bool offer_starttls(struct rogue *r, const char *length)
{
    char line[512], answer[128], greeting[MOST_GREETING] = "ready";
    long n = strtol(length, NULL, 10);
    if (n > 0 && n < MOST_GREETING) {
        memset(greeting, 'x', (size_t)n);
    }
    if (!say(r, "* OK ") || !say(r, greeting) || !say(r, "\r\n") || !hear(r, line, sizeof line)) {
        return false;
    }
    snprintf(answer, sizeof answer, "* CAPABILITY IMAP4rev1 STARTTLS\r\n%s OK done\r\n", r->tag);
    if (!say(r, answer) || !hear(r, line, sizeof line)) {
        return false;
    }
    snprintf(answer, sizeof answer, "%s OK go\r\n", r->tag);
    return say(r, answer);
}

static bool cut(struct rogue *r, const char *records)
{
    r->records = strtol(records, NULL, 10);
    return true;
}

static bool cut_by_reset(struct rogue *r, const char *records)
{
    r->by_reset = true;
    return cut(r, records);
}

/* The argument: a TLS version as in priority strings, with `+ask` or `+demand` for a client certificate. */
static bool shake_hands(struct rogue *r, const char *how)
{
    char priority[64];
    gnutls_session_t s;

    snprintf(priority, sizeof priority, "NORMAL:-VERS-ALL:+VERS-TLS%.3s", how);
    if (gnutls_init(&s, GNUTLS_SERVER | GNUTLS_NO_SIGNAL) < 0) {
        return fail("out of memory");
    }
    r->session = s;
    gnutls_session_set_ptr(s, r);
    if (gnutls_priority_set_direct(s, priority, NULL) < 0 ||
        gnutls_credentials_set(s, GNUTLS_CRD_CERTIFICATE, r->credentials) < 0) {
        return fail("unknown TLS version");
    }
    if (strstr(how, "+ask") || strstr(how, "+demand")) {
        gnutls_certificate_server_set_request(s, strstr(how, "+ask") ? GNUTLS_CERT_REQUEST
                                                                     : GNUTLS_CERT_REQUIRE);
    }
    gnutls_handshake_set_max_packet_length(s, MOST_MESSAGE_BYTES);
    gnutls_transport_set_int(s, r->fd);
    gnutls_transport_set_ptr2(s, gnutls_transport_get_ptr(s), r);
    gnutls_transport_set_push_function(s, on_push);

    int result;
    do {
        result = gnutls_handshake(s);
    } while (result < 0 && !gnutls_error_is_fatal(result));
    if (result < 0 && r->records != 0) {
        (void)gnutls_alert_send_appropriate(s, result);
    }
    if (r->records == 0 && r->by_reset) {
        end_with_reset(r);
    }
    bool go_on = result >= 0 && r->records != 0;
    r->records = NO_CUT;
    return go_on;
}

static bool greet(struct rogue *r, const char *argument)
{
    char line[512];
    (void)argument;
    return say(r, "* OK ready\r\n") && hear(r, line, sizeof line);
}

static bool send_alert(struct rogue *r, const char *number)
{
    (void)gnutls_alert_send(r->session, GNUTLS_AL_FATAL,
                            (gnutls_alert_description_t)strtol(number, NULL, 10));
    return false;
}

/* An alert that no handshake preceded, before anything was heard. */
static bool send_early_alert(struct rogue *r, const char *number)
{
    const unsigned char record[] = {21, 3, 1, 0, 2, 2, (unsigned char)strtol(number, NULL, 10)};
    (void)send(r->fd, record, sizeof record, MSG_NOSIGNAL);
    return false;
}

/* A record of application data that no key opens. */
static bool send_bad_record(struct rogue *r, const char *argument)
{
    static const unsigned char record[40] = {23, 3, 3, 0, 35};
    (void)argument;
    (void)send(r->fd, record, sizeof record, MSG_NOSIGNAL);
    return false;
}

static bool send_key_updates(struct rogue *r, const char *count)
{
    for (long i = strtol(count, NULL, 10); i > 0; i--) {
        if (gnutls_session_key_update(r->session, 0) < 0) {
            return false;
        }
    }
    return true;
}

/* Short lines, one byte in a record: many times more bytes on the wire than in the dialogue. */
static bool send_tiny_records(struct rogue *r, const char *count)
{
    static const char line[] = "* OK one byte at a time and none of them says anything\r\n";
    int delay = 0;
    setsockopt(r->fd, IPPROTO_TCP, TCP_NODELAY, &delay, sizeof delay);
    for (long i = 0, n = strtol(count, NULL, 10); i < n; i++) {
        if (gnutls_record_send(r->session, line + (size_t)i % (sizeof line - 1), 1) < 0) {
            return false;
        }
    }
    return true;
}

/* From the greeting to LOGOUT, as an honest server. */
static bool talk(struct rogue *r, const char *argument)
{
    char line[512], answer[128] = "* OK ready\r\n";
    (void)argument;
    while (say(r, answer) && hear(r, line, sizeof line)) {
        const char *first = strstr(line, "CAPABILITY") ? "* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n" : "";
        if (strstr(line, "LOGOUT")) {
            snprintf(answer, sizeof answer, "* BYE see you\r\n%s OK gone\r\n", r->tag);
            (void)say(r, answer);
            break;
        }
        snprintf(answer, sizeof answer, "%s%s OK done\r\n", first, r->tag);
    }
    (void)gnutls_bye(r->session, GNUTLS_SHUT_WR);
    return false;
}

static const struct {
    const char *name;
    bool (*run)(struct rogue *r, const char *argument);
} steps[] = {
    {"chain", take_chain},         /* =FILE: the certificates from here on */
    {"deaf", close_listener},      /* further connections are refused */
    {"early", send_early_alert},   /* =N: this fatal alert before any handshake, no more steps */
    {"starttls", offer_starttls},  /* the plain part of a dialogue; =N: a greeting of this length */
    {"cut", cut},                  /* =N: FIN behind N records of the handshake, no more steps */
    {"snap", cut_by_reset},        /* =N: the same with RST */
    {"tls", shake_hands},          /* =1.2 or =1.3, with +ask or +demand for a client certificate */
    {"greet", greet},              /* a greeting; waits for the first command */
    {"alert", send_alert},         /* =N: this fatal alert, no more steps */
    {"bad", send_bad_record},      /* no more steps */
    {"updates", send_key_updates}, /* =N of them (TLS 1.3) */
    {"tiny", send_tiny_records},   /* =N of them */
    {"talk", talk},                /* a whole honest dialogue */
};

static bool run_step(struct rogue *r, char *step)
{
    char *argument = strchr(step, '=');
    if (argument) {
        *argument++ = '\0';
    }
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        if (strcmp(steps[i].name, step) == 0) {
            return steps[i].run(r, argument ? argument : "");
        }
    }
    return fail("unknown step");
}

static void play(struct rogue *r, const char *script)
{
    const struct timeval patience = {PATIENCE_S, 0};
    char text[PLAY_BYTES];
    int one = 1;

    setsockopt(r->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(r->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(r->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    r->records = NO_CUT;
    r->by_reset = false;
    r->tag[0] = '\0';
    snprintf(text, sizeof text, "%s", script);
    for (char *rest = text, *step; (step = strsep(&rest, " ")) != NULL && run_step(r, step);) {
    }
    /* Behind a reset a FIN must not go first. */
    struct linger linger = {0, 0};
    socklen_t size = sizeof linger;
    if (getsockopt(r->fd, SOL_SOCKET, SO_LINGER, &linger, &size) == 0 && !linger.l_onoff) {
        end_gently(r);
    }
    if (r->session) {
        gnutls_deinit(r->session);
        r->session = NULL;
    }
    close(r->fd);
}

static bool listen_on(struct rogue *r, const char *address, const char *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)strtol(port, NULL, 10))};
    int one = 1;

    if (inet_pton(AF_INET, address, &a.sin_addr) != 1 || ntohl(a.sin_addr.s_addr) >> 24 != IN_LOOPBACKNET) {
        return fail("the address is not in 127.0.0.0/8");
    }
    r->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return (r->listener >= 0 && setsockopt(r->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
            bind(r->listener, (const struct sockaddr *)&a, sizeof a) == 0 && listen(r->listener, 64) == 0) ||
           fail("cannot listen");
}

static bool load_key(struct rogue *r, const char *file)
{
    gnutls_datum_t pem = {NULL, 0};
    bool ok = gnutls_load_file(file, &pem) >= 0 && gnutls_privkey_init(&r->key) >= 0 &&
              gnutls_privkey_import_x509_raw(r->key, &pem, GNUTLS_X509_FMT_PEM, NULL, 0) >= 0 &&
              gnutls_pubkey_init(&r->pubkey) >= 0 &&
              gnutls_pubkey_import_privkey(r->pubkey, r->key, 0, 0) >= 0 &&
              gnutls_certificate_allocate_credentials(&r->credentials) >= 0;
    gnutls_free(pem.data);
    if (ok) {
        gnutls_certificate_set_retrieve_function2(r->credentials, on_retrieve);
    }
    return ok || fail("cannot use the key");
}

int main(int argc, char **argv)
{
    static struct rogue r;
    if (argc < 5) {
        fprintf(stderr, "usage: rogue ADDRESS PORT KEY.pem PLAY...\n");
        return 2;
    }
    alarm(LIFETIME_S);
    if (!load_key(&r, argv[3]) || !listen_on(&r, argv[1], argv[2])) {
        return 1;
    }
    puts("ready");
    fflush(stdout);
    for (int i = 4; r.listener >= 0; i += i < argc - 1) {
        r.fd = accept(r.listener, NULL, NULL);
        if (r.fd >= 0) {
            play(&r, argv[i]);
        }
    }
    gnutls_free(r.chain.data);
    gnutls_certificate_free_credentials(r.credentials);
    gnutls_pubkey_deinit(r.pubkey);
    gnutls_privkey_deinit(r.key);
    return 0;
}
