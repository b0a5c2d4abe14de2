#include "server/redis_wire.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probe/base/ip.h"
#include "probe/base/limits.h"

#define READ_BYTES 16384
#define MOST_WORDS 8
/* The system asks an idle server now and then whether it is still there, without waking this program. */
#define KEEPALIVE_S 60

/* A reply may hold a stored result, and so much beside it. */
#define MOST_UNREAD (LIMIT_SHARED_BODY_BYTES + 65536u)

struct redis_wire {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } io;
    uv_getaddrinfo_t resolve;
    uv_connect_t connect;
    struct addrinfo *found; /* of a name */
    const struct addrinfo *next;
    const struct redis_url *url;
    redisReader *reader;
    const struct redis_wire_events *events;
    void *owner;
    bool closed;    /* by its owner */
    bool resolving; /* the system has not answered yet */
    bool moving;    /* to the next address: the handle is being closed */
    bool gone;      /* the handle is closed */
    char in[READ_BYTES];
};

struct sending {
    uv_write_t request;
    struct redis_command command;
};

static void *create_text(const redisReadTask *task, char *text, size_t len)
{
    struct redis_reply *reply = malloc(sizeof *reply + len + 1);
    if (reply) {
        char *copy = (char *)(reply + 1);
        memcpy(copy, text, len);
        copy[len] = '\0';
        *reply = (struct redis_reply){.text = {copy, len}};
        reply->kind = task->type == REDIS_REPLY_ERROR    ? REDIS_KIND_ERROR
                      : task->type == REDIS_REPLY_STATUS ? REDIS_KIND_STATUS
                                                         : REDIS_KIND_TEXT;
    }
    return reply;
}

#if HIREDIS_MAJOR < 1
typedef int element_count;
#else
typedef size_t element_count;
#endif

/* No command of ours is answered with one; as many elements as a server likes would be memory of ours. */
static void *refuse_array(const redisReadTask *task, element_count count)
{
    (void)task;
    (void)count;
    return NULL;
}

static void *create_integer(const redisReadTask *task, long long integer)
{
    struct redis_reply *reply = malloc(sizeof *reply);
    (void)task;
    if (reply) {
        *reply = (struct redis_reply){REDIS_KIND_INTEGER, integer, {NULL, 0}};
    }
    return reply;
}

static void *create_nil(const redisReadTask *task)
{
    struct redis_reply *reply = malloc(sizeof *reply);
    (void)task;
    if (reply) {
        *reply = (struct redis_reply){.kind = REDIS_KIND_NIL};
    }
    return reply;
}

#if HIREDIS_MAJOR >= 1
/* Of a later protocol than we ask for. Without a maker the library would hand out a number for an object. */
static void *refuse_double(const redisReadTask *task, double value, char *text, size_t len)
{
    (void)task;
    (void)value;
    (void)text;
    (void)len;
    return NULL;
}

static void *refuse_bool(const redisReadTask *task, int value)
{
    (void)task;
    (void)value;
    return NULL;
}
#endif

static redisReplyObjectFunctions makers = {
    .createString = create_text,
    .createArray = refuse_array,
    .createInteger = create_integer,
    .createNil = create_nil,
#if HIREDIS_MAJOR >= 1
    .createDouble = refuse_double,
    .createBool = refuse_bool,
#endif
    .freeObject = free,
};

static void free_if_over(struct redis_wire *w)
{
    if (w->gone && !w->resolving) {
        if (w->reader) {
            redisReaderFree(w->reader);
        }
        uv_freeaddrinfo(w->found);
        free(w);
    }
}

static void on_closed(uv_handle_t *handle)
{
    struct redis_wire *w = handle->data;
    w->gone = true;
    free_if_over(w);
}

void redis_wire_close(struct redis_wire **wire)
{
    struct redis_wire *w = *wire;
    *wire = NULL;
    if (w) {
        w->closed = true;
        if (w->resolving) {
            (void)uv_cancel((uv_req_t *)&w->resolve); /* else its end is waited for */
        }
        if (!w->moving) {
            uv_close(&w->io.handle, on_closed);
        }
    }
}

static void end(struct redis_wire *w, const char *why)
{
    if (!w->closed) {
        w->events->on_end(w->owner, why);
    }
}

/* Hands on the replies that are whole. */
static void read_replies(struct redis_wire *w)
{
    void *reply = NULL;
    while (!w->closed) {
        if (redisReaderGetReply(w->reader, &reply) != REDIS_OK) {
            end(w, "does not speak the protocol of Redis as expected");
            return;
        }
        if (!reply) {
            break;
        }
        w->events->on_reply(w->owner, reply);
        free(reply);
    }
    if (!w->closed && w->reader->len - w->reader->pos > MOST_UNREAD) {
        end(w, "sends more than was asked for");
    }
}

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *room)
{
    struct redis_wire *w = handle->data;
    (void)suggested;
    *room = uv_buf_init(w->in, sizeof w->in);
}

static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *bytes)
{
    struct redis_wire *w = stream->data;
    if (len == UV_EOF) {
        end(w, "closed the connection");
    } else if (len < 0) {
        end(w, uv_strerror((int)len));
    } else if (len > 0 && redisReaderFeed(w->reader, bytes->base, (size_t)len) != REDIS_OK) {
        end(w, "no memory is left for its reply");
    } else if (len > 0) {
        read_replies(w);
    }
}

static void connect_next(struct redis_wire *w);

static void on_moved(uv_handle_t *handle)
{
    struct redis_wire *w = handle->data;
    w->moving = false;
    if (w->closed) {
        on_closed(handle);
    } else {
        (void)uv_tcp_init(handle->loop, &w->io.tcp); /* fails for flags that are not given */
        connect_next(w);
    }
}

/* Each address has a socket of its own. False: there is no other one. */
static bool move_on(struct redis_wire *w)
{
    w->moving = w->next != NULL;
    if (w->moving) {
        uv_close(&w->io.handle, on_moved);
    }
    return w->moving;
}

static void on_connected(uv_connect_t *connect, int status)
{
    struct redis_wire *w = connect->data;
    if (w->closed || (status != 0 && move_on(w))) {
        return;
    }
    if (status == 0) {
        status = uv_read_start(&w->io.stream, on_room, on_read);
    }
    if (status != 0) {
        end(w, uv_strerror(status));
        return;
    }
    w->events->on_open(w->owner);
}

static int connect_to(struct redis_wire *w, const struct sockaddr *address)
{
    (void)uv_tcp_nodelay(&w->io.tcp, 1);
    (void)uv_tcp_keepalive(&w->io.tcp, 1, KEEPALIVE_S);
    return uv_tcp_connect(&w->connect, &w->io.tcp, address, on_connected);
}

static void connect_next(struct redis_wire *w)
{
    const struct addrinfo *address = w->next;
    w->next = address->ai_next;
    int r = connect_to(w, address->ai_addr);
    if (r != 0 && !move_on(w)) {
        end(w, uv_strerror(r));
    }
}

static void on_resolved(uv_getaddrinfo_t *resolve, int status, struct addrinfo *found)
{
    struct redis_wire *w = resolve->data;
    w->resolving = false;
    w->next = w->found = found;
    if (w->closed) {
        free_if_over(w);
    } else if (status != 0) {
        end(w, uv_strerror(status));
    } else {
        connect_next(w);
    }
}

/* A name is looked up by the system, in a thread of libuv's: it may be one that only this machine knows. */
static int begin(struct redis_wire *w)
{
    static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct sockaddr_storage address;
    struct ip ip;
    char port[8];

    if (!w->url->host[0]) {
        uv_pipe_connect(&w->connect, &w->io.pipe, w->url->path, on_connected);
        return 0;
    }
    if (ip_parse(&ip, w->url->host)) {
        (void)ip_to_sockaddr(&ip, w->url->port, &address);
        return connect_to(w, (const struct sockaddr *)&address);
    }
    snprintf(port, sizeof port, "%u", w->url->port);
    int r = uv_getaddrinfo(w->io.handle.loop, &w->resolve, on_resolved, w->url->host, port, &hints);
    w->resolving = r == 0;
    return r;
}

struct redis_wire *redis_wire_open(uv_loop_t *loop, const struct redis_url *url,
                                   const struct redis_wire_events *events, void *owner, const char **why)
{
    struct redis_wire *w = calloc(1, sizeof *w);
    *why = "no memory or descriptor is left to connect to it";
    if (!w) {
        return NULL;
    }
    w->url = url;
    w->events = events;
    w->owner = owner;
    w->connect.data = w->resolve.data = w;
    int r = url->host[0] ? uv_tcp_init(loop, &w->io.tcp) : uv_pipe_init(loop, &w->io.pipe, 0);
    if (r != 0) {
        free(w);
        return NULL;
    }
    w->io.handle.data = w;
    w->reader = redisReaderCreateWithFunctions(&makers);
    if (w->reader) {
        w->reader->maxbuf = 0; /* its buffer stays, within MOST_UNREAD */
    }
    r = w->reader ? begin(w) : 0;
    if (r != 0) {
        *why = uv_strerror(r);
    }
    if (!w->reader || r != 0) {
        redis_wire_close(&w);
    }
    return w;
}

struct redis_command redis_wire_command(int count, const struct text *words)
{
    struct redis_command command = {NULL, 0};
    const char *data[MOST_WORDS];
    size_t lens[MOST_WORDS];
    for (int i = 0; i < count && i < MOST_WORDS; i++) {
        data[i] = words[i].data;
        lens[i] = words[i].len;
    }
    int len = count <= MOST_WORDS ? redisFormatCommandArgv(&command.bytes, count, data, lens) : -1;
    if (len < 0) {
        command.bytes = NULL;
    } else {
        command.len = (size_t)len;
    }
    return command;
}

void redis_wire_drop(struct redis_command *command)
{
    redisFreeCommand(command->bytes);
    *command = (struct redis_command){NULL, 0};
}

static void on_sent(uv_write_t *request, int status)
{
    struct sending *s = request->data;
    (void)status; /* what went wrong is told by the reading side as well */
    redis_wire_drop(&s->command);
    free(s);
}

bool redis_wire_send(struct redis_wire *w, struct redis_command *command)
{
    struct sending *s = malloc(sizeof *s);
    if (!s) {
        redis_wire_drop(command);
        return false;
    }
    s->request.data = s;
    s->command = *command;
    *command = (struct redis_command){NULL, 0};
    uv_buf_t bytes = {s->command.bytes, s->command.len};
    if (uv_write(&s->request, &w->io.stream, &bytes, 1, on_sent) != 0) {
        on_sent(&s->request, 0);
        return false;
    }
    return true;
}

size_t redis_wire_backlog(const struct redis_wire *w)
{
    return uv_stream_get_write_queue_size(&w->io.stream);
}
