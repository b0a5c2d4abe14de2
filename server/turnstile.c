#include "server/turnstile.h"

#include <errno.h>
#include <time.h>

void turnstile_init(struct turnstile *t, unsigned most)
{
    pthread_condattr_t attr;
    t->most = most;
    t->inside = 0;
    pthread_mutex_init(&t->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&t->empty, &attr);
    pthread_condattr_destroy(&attr);
}

void turnstile_deinit(struct turnstile *t)
{
    pthread_cond_destroy(&t->empty);
    pthread_mutex_destroy(&t->lock);
}

void turnstile_in(struct turnstile *t)
{
    pthread_mutex_lock(&t->lock);
    t->inside++;
    pthread_mutex_unlock(&t->lock);
}

void turnstile_out(struct turnstile *t)
{
    pthread_mutex_lock(&t->lock);
    if (t->inside > 0 && --t->inside == 0) {
        pthread_cond_signal(&t->empty);
    }
    pthread_mutex_unlock(&t->lock);
}

void turnstile_wait(struct turnstile *t, unsigned ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += (long)(ms % 1000) * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    pthread_mutex_lock(&t->lock);
    if (t->inside >= t->most) {
        while (t->inside > 0 && pthread_cond_timedwait(&t->empty, &t->lock, &until) != ETIMEDOUT) {
        }
        t->inside = 0;
    }
    pthread_mutex_unlock(&t->lock);
}
