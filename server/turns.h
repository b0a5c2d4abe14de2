/* turns.h: the jobs that wait for a worker. Clients take turns, however many jobs each of them has waiting;
 * those of one client come in the order of their asking. */
#ifndef SERVER_TURNS_H
#define SERVER_TURNS_H

struct job;
struct worker;
struct turns;

/* The jobs of one client that wait. Starts zeroed; stays as long as one of its jobs waits. */
struct lane {
    struct job *first, **end;
    struct lane *next; /* whose turn comes after this one's */
};

/* NULL: out of memory. */
struct turns *turns_create(void);

/* Nothing may wait any more. */
void turns_free(struct turns **turns);

/* Any thread. */
void turns_add(struct turns *turns, struct lane *lane, struct job *job);

/* Whose turn it is, from now on the worker's; NULL: nobody waits. Any thread. */
struct job *turns_take(struct turns *turns, struct worker *worker);

#endif
