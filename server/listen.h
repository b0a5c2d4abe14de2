/* listen.h: listening sockets and the descriptor limit of the process. */
#ifndef SERVER_LISTEN_H
#define SERVER_LISTEN_H

#include <stddef.h>

struct config_list;

/* Binds and listens on a config_endpoint() with a port. The descriptor, or -1 with a sentence in `why`. */
int listen_open(const char *endpoint, char *why, size_t why_size);

/* All of a list, one after another. NULL with a sentence in `why`; else free() it. */
int *listen_open_all(const struct config_list *endpoints, size_t *count, char *why, size_t why_size);

/* What is set for a socket of ours, for one that somebody else has opened: what is accepted from it takes
 * the sizes of its buffers over. */
void listen_adopt(int fd);

/* "ADDR:PORT" as bound, with the port the system chose where 0 was asked for. */
void listen_name(int fd, char *buf, size_t size);

/* Raises the soft limit of descriptors to the hard one; returns it. */
size_t listen_raise_descriptors(void);

/* Has the kernel make room for so many descriptors at once. It doubles its table as they come, and where
 * threads share it, has the thread that needed one more wait each time until no other processor looks at the
 * old table: some 10 to 100 ms. To be called before there are threads. */
void listen_make_room(size_t descriptors);

#endif
