/* listen.h: listening sockets and the descriptor limit of the process. */
#ifndef SERVER_LISTEN_H
#define SERVER_LISTEN_H

#include <stddef.h>

/* Binds and listens on a config_endpoint() with a port. The descriptor, or -1 with a sentence in `why`. */
int listen_open(const char *endpoint, char *why, size_t why_size);

/* "ADDR:PORT" as bound, with the port the system chose where 0 was asked for. */
void listen_name(int fd, char *buf, size_t size);

/* Raises the soft limit of descriptors to the hard one; returns it. */
size_t listen_raise_descriptors(void);

#endif
