#include "server/http.h"

#include <fcntl.h>
#include <microhttpd.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "server/callers.h"
#include "server/http_request.h"
#include "server/log.h"

/* Room for a request line and headers that are a little over our own bounds, so that the refusal is ours. */
#define CONNECTION_MEMORY (24u * 1024u)
#define IDLE_TIMEOUT_S 15u

/* At the end: connections taken that wait at a socket, and how long the library may take to come round. */
#define MOST_WAITING 65536u
#define TURN_MS 1000

struct http {
    struct http_env env;
    size_t count;
    struct MHD_Daemon **daemons;
    int *sockets;         /* -1 until quiesced: given back by the library */
    atomic_size_t active; /* requests between the end of their head and the end of their answer */
};

/* A connection knows its request, since the library closes one without a word about the request where it
 * finds that to be wrong in two ways. */
struct connection {
    struct caller *caller;   /* NULL: not watched */
    struct request *request; /* NULL: none has begun */
};

static struct connection *connection_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

/* Where no memory was left for the connection its request is known to the library alone. */
static struct request *begin(struct http *http, struct MHD_Connection *connection, const char *target)
{
    struct connection *c = connection_of(connection);
    struct request *r = request_create(&http->env, connection, c ? c->caller : NULL, target);
    if (c) {
        c->request = r;
    }
    return r;
}

static void end(struct http *http, struct request *r, bool sent)
{
    if (r) {
        bool counted = request_has_headers(r);
        request_end(&r, sent);
        if (counted) {
            atomic_fetch_sub(&http->active, 1);
        }
    }
}

/* Called with the raw request target, before anything is taken apart. The library is kept from taking the
 * query apart: nobody asks it for arguments, and where there are more than it has memory for, it never
 * answers. */
static void *on_target(void *cls, const char *target, struct MHD_Connection *connection)
{
    struct request *r = begin(cls, connection, target);
    char *query = strchr(target, '?');
    if (query && query[1] != '\0') {
        query[1] = '\0';
    }
    return r;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **context)
{
    (void)upload;
    if (!*context) {
        *context = begin(cls, connection, NULL); /* no memory was left when the target came */
    }
    struct request *r = *context;
    if (!r) {
        return MHD_NO;
    }
    if (!request_has_headers(r)) {
        struct http *http = cls;
        atomic_fetch_add(&http->active, 1);
        return request_headers(r, method, url, version);
    }
    if (*upload_size > 0) {
        size_t size = *upload_size;
        *upload_size = 0;
        return request_body(r, size);
    }
    return request_complete(r);
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode how)
{
    struct connection *c = connection_of(connection);
    struct request *r = *context;
    *context = NULL;
    if (c) {
        c->request = NULL;
    }
    end(cls, r, how == MHD_REQUEST_TERMINATED_COMPLETED_OK);
}

static enum MHD_Result on_accept(void *cls, const struct sockaddr *address, socklen_t len)
{
    const struct http *http = cls;
    (void)len;
    return callers_welcome(http->env.callers, address) ? MHD_YES : MHD_NO;
}

static void on_connection(void *cls, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode what)
{
    struct http *http = cls;
    struct connection *c = *context;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *fd =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        const union MHD_ConnectionInfo *peer =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
        *context = c = calloc(1, sizeof *c);
        if (c && fd && peer) {
            c->caller = callers_add(http->env.callers, fd->connect_fd, peer->client_addr);
        }
    } else if (c) {
        end(http, c->request, false);
        callers_remove(http->env.callers, c->caller);
        free(c);
        *context = NULL;
    }
}

/* Percent-decoding is ours: the library would cut at %00. */
static size_t on_unescape(void *cls, struct MHD_Connection *connection, char *s)
{
    (void)cls;
    (void)connection;
    return strlen(s);
}

static void on_library_log(void *cls, const char *format, va_list args)
{
    char line[512];
    (void)cls;
    vsnprintf(line, sizeof line, format, args);
    struct log_field field = log_text("message", line);
    log_event(LOG_LEVEL_DEBUG, "http_library", &field, 1);
}

struct http *http_create(const struct http_env *env, const int *sockets, size_t count, unsigned connections,
                         char *why, size_t why_size)
{
    struct http *http = calloc(1, sizeof *http);
    if (http) {
        http->env = *env;
        http->daemons = calloc(count, sizeof(struct MHD_Daemon *));
        http->sockets = calloc(count, sizeof(int));
    }
    size_t room = http && http->daemons && http->sockets ? count : 0;
    snprintf(why, why_size, "out of memory");
    for (; room > 0 && http->count < count; http->count++) {
        http->sockets[http->count] = -1;
        http->daemons[http->count] = MHD_start_daemon(
            MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, on_accept, http,
            on_request, http, MHD_OPTION_EXTERNAL_LOGGER, on_library_log, NULL, MHD_OPTION_LISTEN_SOCKET,
            sockets[http->count], MHD_OPTION_URI_LOG_CALLBACK, on_target, http, MHD_OPTION_NOTIFY_COMPLETED,
            on_completed, http, MHD_OPTION_NOTIFY_CONNECTION, on_connection, http,
            MHD_OPTION_UNESCAPE_CALLBACK, on_unescape, NULL, MHD_OPTION_STRICT_FOR_CLIENT, 0,
            MHD_OPTION_CONNECTION_LIMIT, connections, MHD_OPTION_CONNECTION_TIMEOUT, IDLE_TIMEOUT_S,
            MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY, MHD_OPTION_END);
        if (!http->daemons[http->count]) {
            snprintf(why, why_size, "the HTTP server cannot be started");
            break;
        }
    }
    size_t taken = room > 0 ? http->count : 0;
    if (room == 0 || taken < count) {
        http_free(&http);
        for (size_t i = taken; i < count; i++) {
            close(sockets[i]);
        }
    }
    return http;
}

/* Those that the kernel has let in already, and would turn away with the socket. */
static void take_waiting(struct MHD_Daemon *daemon, int listening)
{
    struct sockaddr_storage from;
    socklen_t len = sizeof from;
    int fd = 0;

    for (unsigned n = 0; n < MOST_WAITING && fd >= 0; n++, len = sizeof from) {
        fd = accept4(listening, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            (void)MHD_add_connection(daemon, fd, (const struct sockaddr *)&from, len);
        }
    }
}

/* The number stays taken: the library's thread may be about to look at it. */
static void close_listening(int fd)
{
    int other = eventfd(0, EFD_CLOEXEC);
    if (other >= 0) {
        (void)dup3(other, fd, O_CLOEXEC);
        close(other);
    }
}

/* Waits until the library's thread has come round: it takes a connection in, finds that it has ended, and
 * closes it. False: it did not within the time, or cannot be asked. */
static bool wait_turn(struct MHD_Daemon *daemon, int ms)
{
    const struct sockaddr nobody = {.sa_family = AF_UNIX};
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        return false;
    }
    struct pollfd ours = {.fd = pair[0], .events = POLLIN};
    (void)shutdown(pair[0], SHUT_WR);
    bool asked = MHD_add_connection(daemon, pair[1], &nobody, sizeof nobody) == MHD_YES;
    bool turned = asked && poll(&ours, 1, ms) == 1;
    close(pair[0]);
    return turned;
}

void http_quiesce(struct http *http, bool shared)
{
    static const struct timespec a_while = {0, 50000000};
    bool turned = true;

    for (size_t i = 0; i < http->count; i++) {
        http->sockets[i] = MHD_quiesce_daemon(http->daemons[i]);
        if (!shared && http->sockets[i] >= 0) {
            take_waiting(http->daemons[i], http->sockets[i]);
            close_listening(http->sockets[i]);
        }
    }
    for (size_t i = 0; i < http->count; i++) {
        turned = wait_turn(http->daemons[i], TURN_MS) && turned;
    }
    if (!turned) {
        nanosleep(&a_while, NULL);
    }
}

bool http_active(const struct http *http)
{
    return atomic_load(&http->active) > 0;
}

void http_free(struct http **http)
{
    struct http *h = *http;
    *http = NULL;
    if (!h) {
        return;
    }
    for (size_t i = 0; h->daemons && h->sockets && i < h->count; i++) {
        MHD_stop_daemon(h->daemons[i]);
        if (h->sockets[i] >= 0) {
            close(h->sockets[i]);
        }
    }
    free(h->daemons);
    free(h->sockets);
    free(h);
}
