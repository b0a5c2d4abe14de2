/* notify.h: tells the service manager how the service fares (sd_notify(3)), where it asks to be told. Nobody
 * else is to know: what cannot be told changes nothing.
 *
 * As in activation.h the protocol is taken up without libsystemd: one datagram of lines to a local socket. */
#ifndef SERVER_NOTIFY_H
#define SERVER_NOTIFY_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

struct notify {
    struct sockaddr_un address;
    socklen_t len; /* 0: nobody is to be told */
};

/* Whom to tell, from NOTIFY_SOCKET, which is removed from the environment. Before there are threads. */
void notify_open(struct notify *notify);

/* The service is ready: at the start, and again after notify_reloading(). */
void notify_ready(const struct notify *notify, const char *status);

/* Files are read anew. */
void notify_reloading(const struct notify *notify);

/* The service is on its way to its end. */
void notify_stopping(const struct notify *notify, const char *status);

#endif
