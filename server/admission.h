/* admission.h: how many tests may be under way, and when the last one has ended. Any thread. */
#ifndef SERVER_ADMISSION_H
#define SERVER_ADMISSION_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

struct admission {
    pthread_mutex_t lock;
    pthread_cond_t idle;
    size_t in_flight, max;
    bool stopping;
};

enum admission_result { ADMISSION_OK, ADMISSION_FULL, ADMISSION_STOPPING };

void admission_init(struct admission *a, size_t max);
void admission_deinit(struct admission *a);

/* ADMISSION_OK must be given back by admission_leave(). */
enum admission_result admission_enter(struct admission *a);
void admission_leave(struct admission *a);

/* From now on nothing enters. */
void admission_stop(struct admission *a);
bool admission_stopping(struct admission *a);
bool admission_full(struct admission *a);

/* Waits until nothing is in flight; false when `ms` were over first. */
bool admission_wait_idle(struct admission *a, unsigned ms);

#endif
