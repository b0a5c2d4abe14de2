#include "server/redis.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "probe/base/limits.h"

#define FIRST_PAUSE_MS 100u
#define LONGEST_PAUSE_MS 5000u
#define MOST_HELLOS 3

struct redis_ask {
    TAILQ_ENTRY(redis_ask) next;
    struct redis_command command;                                   /* until it is sent */
    uint64_t deadline;                                              /* ms of the loop's clock */
    void (*on_reply)(void *owner, const struct redis_reply *reply); /* NULL: forgotten */
    void *owner;
};

TAILQ_HEAD(asks, redis_ask);

enum redis_state { REDIS_AWAY, REDIS_CONNECTING, REDIS_READY };

/* What is said first on a connection. */
enum hello { HELLO_AUTH, HELLO_SELECT, HELLO_PING };

struct redis {
    enum redis_state state;
    uv_loop_t *loop;
    const struct redis_url *url;
    const struct redis_watch *watch;
    struct redis_wire *wire; /* NULL while away */
    struct asks asks;        /* in the order of their replies; none is sent before the connection is ready */
    enum hello hellos[MOST_HELLOS];
    size_t hello_count, hellos_answered;
    unsigned failures; /* since the last answer */
    uint64_t retry_at, connect_by;
    uv_timer_t timer;
    bool overdue; /* what came meanwhile is read before anybody is told that nothing came */
};

static void free_ask(struct redis_ask *ask)
{
    redis_wire_drop(&ask->command);
    free(ask);
}

static void answer(struct redis_ask *ask, const struct redis_reply *reply)
{
    if (ask->on_reply) {
        ask->on_reply(ask->owner, reply);
    }
    free_ask(ask);
}

static uint64_t pause_ms(unsigned failures)
{
    uint64_t ms = FIRST_PAUSE_MS;
    while (--failures > 0 && ms < LONGEST_PAUSE_MS) {
        ms *= 2;
    }
    return ms < LONGEST_PAUSE_MS ? ms : LONGEST_PAUSE_MS;
}

static void go_away(struct redis *r)
{
    redis_wire_close(&r->wire);
    uv_timer_stop(&r->timer);
    r->state = REDIS_AWAY;
}

static void fail(struct redis *r, const char *why)
{
    struct asks lost = TAILQ_HEAD_INITIALIZER(lost);
    struct redis_ask *ask;

    go_away(r);
    r->failures++;
    r->retry_at = uv_now(r->loop) + pause_ms(r->failures);
    TAILQ_CONCAT(&lost, &r->asks, next);
    r->watch->on_down(r->watch->owner, why);
    while ((ask = TAILQ_FIRST(&lost))) {
        TAILQ_REMOVE(&lost, ask, next);
        answer(ask, NULL);
    }
}

/* When something is to have come; 0: nothing is waited for. */
static uint64_t due(const struct redis *r)
{
    const struct redis_ask *first = TAILQ_FIRST(&r->asks);
    return r->state == REDIS_CONNECTING ? r->connect_by : first ? first->deadline : 0;
}

static void on_timer(uv_timer_t *timer);

static void set_timer(struct redis *r)
{
    uint64_t at = due(r), now = uv_now(r->loop);
    r->overdue = false;
    if (at == 0) {
        uv_timer_stop(&r->timer);
    } else {
        uv_timer_start(&r->timer, on_timer, at > now ? at - now : 0, 0);
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct redis *r = timer->data;
    if (due(r) > uv_now(r->loop)) {
        set_timer(r);
    } else if (!r->overdue) {
        r->overdue = true;
        uv_timer_start(&r->timer, on_timer, 1, 0);
    } else {
        fail(r, "did not answer in time");
    }
}

static bool send_ask(struct redis *r, struct redis_ask *ask)
{
    return redis_wire_send(r->wire, &ask->command);
}

static struct redis_command hello_command(const struct redis *r, enum hello hello)
{
    const struct redis_url *url = r->url;
    char number[16];
    struct text words[3];
    int count = 0;

    switch (hello) {
    case HELLO_AUTH:
        words[count++] = text_of("AUTH");
        if (url->user[0]) {
            words[count++] = text_of(url->user);
        }
        words[count++] = text_of(url->password);
        break;
    case HELLO_SELECT:
        snprintf(number, sizeof number, "%u", url->database);
        words[count++] = text_of("SELECT");
        words[count++] = text_of(number);
        break;
    case HELLO_PING:
        words[count++] = text_of("PING");
        break;
    }
    return redis_wire_command(count, words);
}

static void on_open(void *owner)
{
    struct redis *r = owner;
    r->hello_count = r->hellos_answered = 0;
    if (r->url->has_password) {
        r->hellos[r->hello_count++] = HELLO_AUTH;
    }
    if (r->url->database > 0) {
        r->hellos[r->hello_count++] = HELLO_SELECT;
    }
    r->hellos[r->hello_count++] = HELLO_PING;
    for (size_t i = 0; i < r->hello_count; i++) {
        struct redis_command command = hello_command(r, r->hellos[i]);
        if (!command.bytes || !redis_wire_send(r->wire, &command)) {
            fail(r, "no memory is left to ask it");
            return;
        }
    }
}

static void become_ready(struct redis *r)
{
    struct redis_ask *ask;
    r->state = REDIS_READY;
    TAILQ_FOREACH(ask, &r->asks, next)
    {
        if (!send_ask(r, ask)) {
            fail(r, "no memory is left to ask it");
            return;
        }
    }
    set_timer(r);
    if (r->failures == 0) {
        r->watch->on_up(r->watch->owner);
    }
}

/* Of an error to AUTH only the first word: servers that do not know the command repeat what stood behind it.
 */
static void take_hello(struct redis *r, const struct redis_reply *reply)
{
    enum hello hello = r->hellos[r->hellos_answered];
    char why[128];

    if (reply->kind == REDIS_KIND_ERROR) {
        size_t len = hello == HELLO_AUTH ? strcspn(reply->text.data, " ") : reply->text.len;
        snprintf(why, sizeof why, "%s: %.*s", hello == HELLO_AUTH ? "refuses user or password" : "refuses",
                 (int)(len < 80 ? len : 80), reply->text.data);
        fail(r, why);
    } else if (reply->kind != REDIS_KIND_STATUS ||
               strcmp(reply->text.data, hello == HELLO_PING ? "PONG" : "OK") != 0) {
        fail(r, "does not speak the protocol of Redis as expected");
    } else if (++r->hellos_answered == r->hello_count) {
        become_ready(r);
    }
}

static void on_reply(void *owner, const struct redis_reply *reply)
{
    struct redis *r = owner;
    struct redis_ask *ask = TAILQ_FIRST(&r->asks);

    if (r->state == REDIS_CONNECTING && r->hellos_answered < r->hello_count) {
        take_hello(r, reply);
        return;
    }
    if (!ask) {
        fail(r, "speaks without being asked");
        return;
    }
    TAILQ_REMOVE(&r->asks, ask, next);
    r->failures = 0;
    set_timer(r);
    r->watch->on_up(r->watch->owner);
    answer(ask, reply); /* may close all of it */
}

/* A server may end connections that nobody uses. */
static void on_end(void *owner, const char *why)
{
    struct redis *r = owner;
    if (r->state == REDIS_READY && TAILQ_EMPTY(&r->asks)) {
        go_away(r);
    } else {
        fail(r, why);
    }
}

static bool start_connecting(struct redis *r)
{
    static const struct redis_wire_events events = {on_open, on_reply, on_end};
    const char *why;
    r->wire = redis_wire_open(r->loop, r->url, &events, r, &why);
    if (!r->wire) {
        fail(r, why);
        return false;
    }
    r->state = REDIS_CONNECTING;
    r->hello_count = r->hellos_answered = 0;
    r->connect_by = uv_now(r->loop) + LIMIT_SHARED_MS;
    set_timer(r);
    return true;
}

struct redis *redis_open(uv_loop_t *loop, const struct redis_url *url, const struct redis_watch *watch)
{
    struct redis *r = calloc(1, sizeof *r);
    if (r) {
        r->loop = loop;
        r->url = url;
        r->watch = watch;
        TAILQ_INIT(&r->asks);
        uv_timer_init(loop, &r->timer);
        r->timer.data = r;
        (void)start_connecting(r);
    }
    return r;
}

static void on_timer_closed(uv_handle_t *timer)
{
    free(timer->data);
}

void redis_close(struct redis **redis)
{
    struct redis *r = *redis;
    struct redis_ask *ask;
    *redis = NULL;
    if (!r) {
        return;
    }
    redis_wire_close(&r->wire);
    while ((ask = TAILQ_FIRST(&r->asks))) {
        TAILQ_REMOVE(&r->asks, ask, next);
        free_ask(ask);
    }
    uv_close((uv_handle_t *)&r->timer, on_timer_closed);
}

/* After a failure nobody waits for the next try: who asks sets it going, and goes on without. */
static bool is_to_be_asked(struct redis *r)
{
    if (r->state == REDIS_AWAY && uv_now(r->loop) >= r->retry_at && !start_connecting(r)) {
        return false;
    }
    return r->state == REDIS_READY ? redis_wire_backlog(r->wire) <= LIMIT_SHARED_BACKLOG_BYTES
                                   : r->state == REDIS_CONNECTING && r->failures == 0;
}

struct redis_ask *redis_ask(struct redis *r, int count, const struct text *words,
                            void (*on_reply_)(void *owner, const struct redis_reply *reply), void *owner)
{
    struct redis_ask *ask = is_to_be_asked(r) ? calloc(1, sizeof *ask) : NULL;
    if (!ask) {
        return NULL;
    }
    ask->command = redis_wire_command(count, words);
    ask->on_reply = on_reply_;
    ask->owner = owner;
    ask->deadline = uv_now(r->loop) + LIMIT_SHARED_MS;
    if (!ask->command.bytes || (r->state == REDIS_READY && !send_ask(r, ask))) {
        free_ask(ask);
        return NULL;
    }
    bool first = TAILQ_EMPTY(&r->asks);
    TAILQ_INSERT_TAIL(&r->asks, ask, next);
    if (first && r->state == REDIS_READY) {
        set_timer(r);
    }
    return ask;
}

void redis_forget(struct redis_ask *ask)
{
    ask->on_reply = NULL;
}
