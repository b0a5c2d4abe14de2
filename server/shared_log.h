/* shared_log.h: what the log is told of the store that replicas share: that it is away, that it is back, and
 * its errors, each now and then and not for every request. Any thread. */
#ifndef SERVER_SHARED_LOG_H
#define SERVER_SHARED_LOG_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "probe/base/text.h"

struct shared_log {
    atomic_int state;     /* of shared_log.c */
    pthread_mutex_t lock; /* guards what follows, and changes of the state */
    bool told;            /* that it is down */
    uint64_t told_at, error_at;
    int64_t errors; /* since the last one told */
};

void shared_log_init(struct shared_log *log);
void shared_log_deinit(struct shared_log *log);

void shared_log_up(struct shared_log *log);
void shared_log_down(struct shared_log *log, const char *why);
void shared_log_error(struct shared_log *log, struct text what);
bool shared_log_is_up(struct shared_log *log);

#endif
