#include "probe/net/poller.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* What one turn of the loop takes: the rest comes after what is new to the loop, such as tests to begin. */
#define EVENTS_PER_TURN 64

struct poller {
    int fd;
    uv_poll_t handle;
};

static void on_loop(uv_poll_t *handle, int status, int events)
{
    struct poller *p = handle->data;
    struct epoll_event ready[EVENTS_PER_TURN];
    (void)status, (void)events;
    int n = epoll_wait(p->fd, ready, EVENTS_PER_TURN, 0);
    for (int i = 0; i < n; i++) {
        struct poller_watch *watch = ready[i].data.ptr;
        watch->on_ready(watch, ready[i].events);
    }
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

struct poller *poller_create(uv_loop_t *loop)
{
    struct poller *p = calloc(1, sizeof *p);
    if (!p) {
        return NULL;
    }
    p->fd = epoll_create1(EPOLL_CLOEXEC);
    if (p->fd < 0 || uv_poll_init(loop, &p->handle, p->fd) != 0) {
        if (p->fd >= 0) {
            close(p->fd);
        }
        free(p);
        return NULL;
    }
    p->handle.data = p;
    uv_poll_start(&p->handle, UV_READABLE, on_loop);
    uv_unref((uv_handle_t *)&p->handle);
    return p;
}

void poller_free(struct poller **poller)
{
    struct poller *p = *poller;
    *poller = NULL;
    if (p) {
        uv_close((uv_handle_t *)&p->handle, on_closed);
        close(p->fd);
    }
}

static int control(struct poller *p, int operation, int fd, uint32_t events, struct poller_watch *watch)
{
    struct epoll_event event = {.events = events, .data.ptr = watch};
    return epoll_ctl(p->fd, operation, fd, &event) == 0 ? 0 : errno;
}

int poller_add(struct poller *p, int fd, uint32_t events, struct poller_watch *watch)
{
    return control(p, EPOLL_CTL_ADD, fd, events, watch);
}

void poller_change(struct poller *p, int fd, uint32_t events, struct poller_watch *watch)
{
    (void)control(p, EPOLL_CTL_MOD, fd, events, watch);
}

void poller_remove(struct poller *p, int fd)
{
    (void)control(p, EPOLL_CTL_DEL, fd, 0, NULL);
}
