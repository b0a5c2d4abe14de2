#include "server/admission.h"

#include <errno.h>
#include <time.h>

void admission_init(struct admission *a, size_t max)
{
    pthread_condattr_t attr;
    pthread_mutex_init(&a->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&a->idle, &attr);
    pthread_condattr_destroy(&attr);
    a->in_flight = 0;
    a->max = max;
    a->stopping = false;
}

void admission_deinit(struct admission *a)
{
    pthread_cond_destroy(&a->idle);
    pthread_mutex_destroy(&a->lock);
}

enum admission_result admission_enter(struct admission *a)
{
    enum admission_result r = ADMISSION_OK;
    pthread_mutex_lock(&a->lock);
    if (a->stopping) {
        r = ADMISSION_STOPPING;
    } else if (a->in_flight >= a->max) {
        r = ADMISSION_FULL;
    } else {
        a->in_flight++;
    }
    pthread_mutex_unlock(&a->lock);
    return r;
}

void admission_leave(struct admission *a)
{
    pthread_mutex_lock(&a->lock);
    if (--a->in_flight == 0) {
        pthread_cond_broadcast(&a->idle);
    }
    pthread_mutex_unlock(&a->lock);
}

void admission_stop(struct admission *a)
{
    pthread_mutex_lock(&a->lock);
    a->stopping = true;
    pthread_mutex_unlock(&a->lock);
}

bool admission_stopping(struct admission *a)
{
    pthread_mutex_lock(&a->lock);
    bool stopping = a->stopping;
    pthread_mutex_unlock(&a->lock);
    return stopping;
}

bool admission_full(struct admission *a)
{
    pthread_mutex_lock(&a->lock);
    bool full = a->in_flight >= a->max;
    pthread_mutex_unlock(&a->lock);
    return full;
}

bool admission_wait_idle(struct admission *a, unsigned ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += (long)(ms % 1000) * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    pthread_mutex_lock(&a->lock);
    int r = 0;
    while (a->in_flight > 0 && r != ETIMEDOUT) {
        r = pthread_cond_timedwait(&a->idle, &a->lock, &until);
    }
    bool idle = a->in_flight == 0;
    pthread_mutex_unlock(&a->lock);
    return idle;
}
