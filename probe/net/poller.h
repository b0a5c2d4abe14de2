/* poller.h: which of very many sockets have something to tell. One epoll(7) descriptor for all of an event
 * loop, which watches it as one: with a handle of libuv's for each, a connection costs seven system calls
 * where two do. */
#ifndef NET_POLLER_H
#define NET_POLLER_H

#include <stdint.h>
#include <sys/epoll.h>
#include <uv.h>

struct poller;

/* Lives as long as its socket is watched, and until the loop has turned once more. */
struct poller_watch {
    /* `events` as of epoll_wait(2). May still come once, in the same turn, after poller_remove() or close(2).
     */
    void (*on_ready)(struct poller_watch *watch, uint32_t events);
};

/* NULL: no memory or no descriptor. Does not keep the loop running. */
struct poller *poller_create(uv_loop_t *loop);

/* Nothing may be watched any more. The memory goes with the next turn of the loop. */
void poller_free(struct poller **poller);

/* Level-triggered; errors and hang-ups are told in any case. 0 or errno. Closing the socket ends it as well.
 */
int poller_add(struct poller *poller, int fd, uint32_t events, struct poller_watch *watch);
void poller_change(struct poller *poller, int fd, uint32_t events, struct poller_watch *watch);
void poller_remove(struct poller *poller, int fd);

#endif
