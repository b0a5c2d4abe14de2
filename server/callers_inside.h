/* callers_inside.h: what the two halves of callers.h share: callers.c, called by everybody, and
 * callers_thread.c, the thread that watches those who wait, and the time of the others. */
#ifndef SERVER_CALLERS_INSIDE_H
#define SERVER_CALLERS_INSIDE_H

#include <pthread.h>
#include <stdint.h>
#include <sys/queue.h>

#include "server/callers.h"
#include "server/peers.h"
#include "server/turnstile.h"

/* How often those who take their answers are looked at: their time is shorter where answers hold much memory.
 */
#define CALLERS_TICK_MS 500

enum caller_state {
    CALLER_ASKING,
    CALLER_WAITING,
    CALLER_DISMISSED, /* as waiting, but cut: found by the thread as one that has left */
    CALLER_LEAVING,   /* its owner is being told */
    CALLER_ANSWERING,
    CALLER_CUT
};

struct caller {
    TAILQ_ENTRY(caller) turn; /* among those of the same state */
    enum caller_state state;
    bool counted; /* in callers.count */
    bool leaving; /* in callers.leaving */
    bool ended;   /* by callers_end() */
    int fd;
    uint64_t deadline;         /* ms; of no effect on those that wait, but for their turn to make way */
    struct peer *peer;         /* NULL: a trusted proxy */
    struct caller_watch watch; /* CALLER_WAITING */
};

TAILQ_HEAD(queue, caller);

struct callers {
    struct callers_limits limits;
    const struct client_proxies *trusted;
    pthread_t thread;
    int epoll, wake;
    struct turnstile leaving; /* those that were released and are not removed yet */
    pthread_cond_t told;      /* nobody is CALLER_LEAVING */
    pthread_mutex_t lock;     /* guards what follows; never held while a watch is called */
    bool stop;
    bool ending;                             /* since callers_end() */
    size_t left;                             /* connections there are */
    size_t waits;                            /* of them those that wait */
    uint64_t wakes_at;                       /* ms: when the thread looks at deadlines again */
    size_t count;                            /* but for those that were cut */
    struct queue asking, waiting, answering; /* the first deadline first: all have the same time */
    struct peers peers;
    struct caller **by_fd;
    size_t room;
};

uint64_t callers_now_ms(void);

/* The thread: `arg` is the struct callers. */
void *callers_run(void *arg);

/* The rest is called under the lock. */

/* Puts it behind those of that state, with the whole time of that state. */
void caller_set_state(struct callers *callers, struct caller *caller, enum caller_state state);

/* It counts no more among those there are. */
void caller_uncount(struct callers *callers, struct caller *caller);

/* The HTTP library, or for one that waits the thread, finds it closed. */
void caller_cut(struct callers *callers, struct caller *caller, const char *why);

/* False: there is still a crowd, of those who have some time left. */
bool callers_make_way(struct callers *callers, uint64_t now);

#endif
