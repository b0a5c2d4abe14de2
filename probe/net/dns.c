#include "probe/net/dns.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probe/base/memory.h"
#include "probe/net/dns_aliases.h"
#include "probe/net/dns_socket.h"

/* How long the first try waits, each further one twice as long as the one before. Datagrams get lost, so that
 * there is time for several; the look-up's own timer ends them. */
#define FIRST_TIMEOUT_MS 750u
#define EDNS_SIZE 1232

struct watch {
    uv_poll_t poll;
    struct dns *dns;
    ares_socket_t fd;
    struct watch *next;
};

struct dns {
    uv_loop_t *loop;
    ares_channel channel;
    uv_timer_t timer; /* for c-ares' retransmissions */
    unsigned timeout_ms;
    struct watch *watches;
    int handles;  /* timer and watches that libuv still knows */
    bool starved; /* a socket of c-ares could not be watched: its queries are to be given up */
    bool refused; /* c-ares asked for a socket in vain, since its last call */
    bool freed;
};

enum family { V6, V4, FAMILIES };

struct lookup_half {
    struct dns_lookup *lookup;
    enum family family;
    int status; /* ares_status, or PENDING */
};

#define PENDING (-1)

/* Lives until both halves are answered and its timer is closed; the owner may have gone before. */
struct dns_lookup {
    struct dns *dns;
    uv_timer_t timer;
    void (*on_answer)(void *owner, const struct dns_answer *answer); /* NULL: cancelled or answered */
    void *owner;
    struct lookup_half halves[FAMILIES];
    struct dns_answer answer;
    size_t from[FAMILIES]; /* addresses of each family, kept apart until both are there */
    struct ip found[FAMILIES][LIMIT_ADDRESSES];
    bool too_many_aliases;
    int pending;
    bool timer_open;
};

bool dns_library_init(void)
{
    return ares_library_init(ARES_LIB_INIT_ALL) == ARES_SUCCESS;
}

void dns_library_cleanup(void)
{
    ares_library_cleanup();
}

static void rearm(struct dns *dns);

static void free_if_done(struct dns *dns)
{
    if (dns->freed && dns->handles == 0) {
        free(dns);
    }
}

static void on_watch_closed(uv_handle_t *handle)
{
    struct watch *w = handle->data;
    struct dns *dns = w->dns;
    free(w);
    dns->handles--;
    free_if_done(dns);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct dns *dns = handle->data;
    dns->handles--;
    free_if_done(dns);
}

static void on_watch(uv_poll_t *poll, int status, int events)
{
    struct watch *w = poll->data;
    struct dns *dns = w->dns;
    ares_socket_t fd = w->fd;
    /* On an error c-ares is to look at both directions and find it. */
    bool r = (events & UV_READABLE) || status < 0, wr = (events & UV_WRITABLE) || status < 0;
    dns->refused = false;
    ares_process_fd(dns->channel, r ? fd : ARES_SOCKET_BAD, wr ? fd : ARES_SOCKET_BAD);
    rearm(dns);
}

static void on_timer(uv_timer_t *timer)
{
    struct dns *dns = timer->data;
    if (dns->starved) {
        /* Nothing would ever be read from that socket, which c-ares keeps for all further queries. */
        dns->starved = false;
        ares_cancel(dns->channel);
    }
    dns->refused = false;
    ares_process_fd(dns->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    rearm(dns);
}

static void rearm(struct dns *dns)
{
    struct timeval tv;
    if (dns->freed) {
        return;
    }
    if (dns->starved) {
        uv_timer_start(&dns->timer, on_timer, 0, 0);
        return;
    }
    if (!ares_timeout(dns->channel, NULL, &tv)) {
        uv_timer_stop(&dns->timer);
        return;
    }
    uint64_t ms = (uint64_t)tv.tv_sec * 1000 + (uint64_t)tv.tv_usec / 1000 + 1;
    uv_timer_start(&dns->timer, on_timer, ms, 0);
}

static void unwatch(struct watch **at)
{
    struct watch *w = *at;
    *at = w->next;
    uv_close((uv_handle_t *)&w->poll, on_watch_closed);
}

/* c-ares opens, wants and is about to close one of its sockets. */
static void on_socket(void *data, ares_socket_t fd, int readable, int writable)
{
    struct dns *dns = data;
    struct watch **at = &dns->watches;
    while (*at && (*at)->fd != fd) {
        at = &(*at)->next;
    }
    if (!readable && !writable) {
        if (*at) {
            unwatch(at);
        }
        return;
    }
    if (!*at) {
        struct watch *w = calloc(1, sizeof *w);
        if (!w || uv_poll_init_socket(dns->loop, &w->poll, fd) != 0) {
            free(w);
            dns->starved = true;
            return;
        }
        w->poll.data = w;
        w->dns = dns;
        w->fd = fd;
        dns->handles++;
        *at = w;
    }
    memory_guard_enter(); /* libuv aborts where its table of descriptors cannot grow */
    uv_poll_start(&(*at)->poll, (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0), on_watch);
    (void)memory_guard_leave();
}

/* As many as fill the time of a look-up. */
static int tries_within(unsigned timeout_ms, unsigned first_ms)
{
    int tries = 1;
    for (uint64_t next = first_ms, end = next; end < timeout_ms; tries++) {
        next *= 2;
        end += next;
    }
    return tries;
}

struct dns *dns_create(uv_loop_t *loop, const char *servers, unsigned timeout_ms, char *why, size_t why_size)
{
    struct dns *dns = calloc(1, sizeof *dns);
    unsigned first_ms = timeout_ms / 3 < FIRST_TIMEOUT_MS ? timeout_ms / 3 + 1 : FIRST_TIMEOUT_MS;
    struct ares_options options = {
        .flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_EDNS,
        .timeout = (int)first_ms,
        .tries = tries_within(timeout_ms, first_ms),
        .lookups = (char *)(uintptr_t) "b",
        .ednspsz = EDNS_SIZE,
        .sock_state_cb = on_socket,
        .sock_state_cb_data = dns,
    };
    int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_EDNSPSZ |
               ARES_OPT_SOCK_STATE_CB;
    int r = dns ? ares_init_options(&dns->channel, &options, mask) : ARES_ENOMEM;
    if (r == ARES_SUCCESS && servers) {
        r = ares_set_servers_ports_csv(dns->channel, servers);
        if (r != ARES_SUCCESS) {
            ares_destroy(dns->channel);
        }
    }
    if (r != ARES_SUCCESS) {
        snprintf(why, why_size, "the DNS resolver cannot be set up: %s", ares_strerror(r));
        free(dns);
        return NULL;
    }
    dns_socket_use(dns->channel, &dns->refused);
    dns->loop = loop;
    dns->timeout_ms = timeout_ms;
    uv_timer_init(loop, &dns->timer);
    dns->timer.data = dns;
    dns->handles = 1;
    return dns;
}

void dns_free(struct dns **dns)
{
    struct dns *d = *dns;
    *dns = NULL;
    if (!d) {
        return;
    }
    d->freed = true;
    ares_destroy(d->channel);
    while (d->watches) {
        unwatch(&d->watches);
    }
    uv_close((uv_handle_t *)&d->timer, on_timer_closed);
}

static struct failure failure_of(int a, int b)
{
    /* The worse half speaks: a family that could not be asked might have had an address. */
    static const struct {
        int status;
        enum error_code code;
        const char *raw;
    } rows[] = {
        {PENDING, ERROR_DNS_TIMEOUT, "ARES_ETIMEOUT"},
        {ARES_ETIMEOUT, ERROR_DNS_TIMEOUT, "ARES_ETIMEOUT"},
        {ARES_ECONNREFUSED, ERROR_DNS_SERVER_FAILURE, "ARES_ECONNREFUSED"},
        {ARES_ESERVFAIL, ERROR_DNS_SERVER_FAILURE, "ARES_ESERVFAIL"},
        {ARES_EREFUSED, ERROR_DNS_SERVER_FAILURE, "ARES_EREFUSED"},
        {ARES_ENOTIMP, ERROR_DNS_SERVER_FAILURE, "ARES_ENOTIMP"},
        {ARES_EFORMERR, ERROR_DNS_SERVER_FAILURE, "ARES_EFORMERR"},
        {ARES_EBADRESP, ERROR_DNS_SERVER_FAILURE, "ARES_EBADRESP"},
        {ARES_EBADNAME, ERROR_DNS_NAME_NOT_FOUND, "ARES_EBADNAME"},
        {ARES_ENODATA, ERROR_DNS_NO_ADDRESS, "ARES_ENODATA"},
        {ARES_ENOTFOUND, ERROR_DNS_NAME_NOT_FOUND, "ARES_ENOTFOUND"},
    };
    struct failure f = {.code = ERROR_DNS_SERVER_FAILURE, .phase = PHASE_DNS, .raw = "ARES_EBADRESP"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].status == a || rows[i].status == b) {
            f.code = rows[i].code;
            f.raw = rows[i].raw;
            break;
        }
    }
    return f;
}

/* Queries are cancelled where we cannot watch their socket. */
static bool is_ours(int status)
{
    return status == ARES_ENOMEM || status == ARES_ECANCELLED;
}

static void collect(struct dns_lookup *l)
{
    struct dns_answer *a = &l->answer;
    int v6 = l->halves[V6].status, v4 = l->halves[V4].status;
    for (int family = V6; family < FAMILIES; family++) {
        memcpy(a->addresses + a->count, l->found[family], l->from[family] * sizeof a->addresses[0]);
        a->count += l->from[family];
    }
    /* Half an answer would be a wrong one. */
    a->ours = is_ours(v6) || is_ours(v4);
    if (l->too_many_aliases) {
        a->count = 0;
        a->failure =
            (struct failure){ERROR_DNS_SERVER_FAILURE, PHASE_DNS, "too many aliases", NULL, {NULL, 0}};
    } else if (a->count == 0) {
        a->failure = failure_of(v6, v4);
        a->ours |= l->dns->starved;
    }
}

static void free_lookup_if_done(struct dns_lookup *l)
{
    if (l->pending == 0 && !l->timer_open) {
        free(l);
    }
}

static void on_lookup_timer_closed(uv_handle_t *handle)
{
    struct dns_lookup *l = handle->data;
    l->timer_open = false;
    free_lookup_if_done(l);
}

/* Answers in time, and the deadline's end, both arrive here: never inside a call of the owner's. */
static void on_lookup_timer(uv_timer_t *timer)
{
    struct dns_lookup *l = timer->data;
    void (*on_answer)(void *, const struct dns_answer *) = l->on_answer;
    l->on_answer = NULL;
    uv_close((uv_handle_t *)&l->timer, on_lookup_timer_closed);
    if (on_answer) {
        collect(l);
        on_answer(l->owner, &l->answer);
    }
}

static void note_address(struct dns_lookup *l, enum family family, const void *bytes, size_t size)
{
    if (l->from[family] == LIMIT_ADDRESSES) {
        l->answer.truncated = true;
        return;
    }
    struct ip *ip = &l->found[family][l->from[family]++];
    ip->family = family == V4 ? 4 : 6;
    memcpy(ip->bytes, bytes, size);
}

static int read_reply(struct dns_lookup *l, enum family family, const unsigned char *reply, int len)
{
    struct ares_addrttl v4[LIMIT_ADDRESSES + 1];
    struct ares_addr6ttl v6[LIMIT_ADDRESSES + 1];
    struct dns_aliases aliases;
    int count = LIMIT_ADDRESSES + 1;
    int r = family == V4 ? ares_parse_a_reply(reply, len, NULL, v4, &count)
                         : ares_parse_aaaa_reply(reply, len, NULL, v6, &count);
    if (r != ARES_SUCCESS) {
        return r;
    }
    if (!dns_aliases_read(&aliases, reply, (size_t)len)) {
        return aliases.no_memory ? ARES_ENOMEM : ARES_EBADRESP;
    }
    if (aliases.count > 0) {
        memcpy(l->answer.canonical_name, aliases.canonical_name, sizeof aliases.canonical_name);
    }
    l->too_many_aliases |= aliases.count > LIMIT_CNAMES;
    for (int i = 0; i < count; i++) {
        if (family == V4) {
            note_address(l, family, &v4[i].ipaddr, 4);
        } else {
            note_address(l, family, &v6[i].ip6addr, 16);
        }
    }
    return count > 0 ? ARES_SUCCESS : ARES_ENODATA; /* nothing but aliases */
}

static void on_reply(void *arg, int status, int timeouts, unsigned char *reply, int len)
{
    struct lookup_half *half = arg;
    struct dns_lookup *l = half->lookup;
    (void)timeouts;
    l->pending--;
    /* Without a socket no server could be asked. */
    half->status = status == ARES_ECONNREFUSED && l->dns->refused ? ARES_ECANCELLED : status;
    if (status == ARES_SUCCESS && l->on_answer) {
        half->status = read_reply(l, half->family, reply, len);
    }
    if (l->pending == 0 && l->on_answer && l->timer_open) {
        uv_timer_start(&l->timer, on_lookup_timer, 0, 0);
    }
    if (status == ARES_EDESTRUCTION && l->timer_open && !uv_is_closing((uv_handle_t *)&l->timer)) {
        l->on_answer = NULL;
        uv_close((uv_handle_t *)&l->timer, on_lookup_timer_closed);
    }
    free_lookup_if_done(l);
}

struct dns_lookup *dns_lookup(struct dns *dns, const char *name,
                              void (*on_answer)(void *owner, const struct dns_answer *answer), void *owner)
{
    static const int types[] = {[V6] = T_AAAA, [V4] = T_A};
    struct dns_lookup *l = calloc(1, sizeof *l);
    if (!l) {
        return NULL;
    }
    l->dns = dns;
    l->on_answer = on_answer;
    l->owner = owner;
    l->pending = FAMILIES;
    uv_timer_init(dns->loop, &l->timer);
    l->timer.data = l;
    l->timer_open = true;
    uv_timer_start(&l->timer, on_lookup_timer, dns->timeout_ms, 0);
    for (int f = V6; f < FAMILIES; f++) {
        l->halves[f] = (struct lookup_half){l, (enum family)f, PENDING};
    }
    for (int f = V6; f < FAMILIES; f++) {
        /* Asked apart, so that a family that fails does not hide the other. */
        dns->refused = false;
        ares_query(dns->channel, name, C_IN, types[f], on_reply, &l->halves[f]);
    }
    rearm(dns);
    return l;
}

void dns_cancel(struct dns_lookup **lookup)
{
    struct dns_lookup *l = *lookup;
    *lookup = NULL;
    l->on_answer = NULL;
    uv_close((uv_handle_t *)&l->timer, on_lookup_timer_closed);
}
