#include "server/turns.h"

#include <pthread.h>
#include <stdlib.h>

#include "server/job.h"

struct turns {
    pthread_mutex_t lock; /* guards what follows, and the lanes */
    struct lane *first, **end;
};

struct turns *turns_create(void)
{
    struct turns *t = calloc(1, sizeof *t);
    if (t) {
        pthread_mutex_init(&t->lock, NULL);
        t->end = &t->first;
    }
    return t;
}

void turns_free(struct turns **turns)
{
    struct turns *t = *turns;
    *turns = NULL;
    if (t) {
        pthread_mutex_destroy(&t->lock);
        free(t);
    }
}

/* Under the lock. */
static void line_up(struct turns *t, struct lane *lane)
{
    lane->next = NULL;
    *t->end = lane;
    t->end = &lane->next;
}

void turns_add(struct turns *t, struct lane *lane, struct job *job)
{
    job->next = NULL;
    pthread_mutex_lock(&t->lock);
    if (!lane->first) {
        lane->end = &lane->first;
        line_up(t, lane);
    }
    *lane->end = job;
    lane->end = &job->next;
    pthread_mutex_unlock(&t->lock);
}

struct job *turns_take(struct turns *t, struct worker *worker)
{
    struct job *job = NULL;
    pthread_mutex_lock(&t->lock);
    struct lane *lane = t->first;
    if (lane) {
        job = lane->first;
        lane->first = job->next;
        t->first = lane->next;
        t->end = t->first ? t->end : &t->first;
        if (lane->first) {
            line_up(t, lane);
        }
        atomic_store(&job->worker, worker);
    }
    pthread_mutex_unlock(&t->lock);
    return job;
}
