#include "server/notify.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define MESSAGE_SIZE 512

/* A manager that does not read is not waited for longer. */
#define MOST_S 2

void notify_open(struct notify *n)
{
    const char *name = getenv("NOTIFY_SOCKET");
    size_t len = name ? strlen(name) : 0;

    *n = (struct notify){.address.sun_family = AF_UNIX};
    /* A path, or a name behind "@" for the zero byte of an abstract one; what else there is, such as vsock
     * for whole machines, is nobody's who starts this program. */
    if (len > 1 && (name[0] == '/' || name[0] == '@') && len < sizeof n->address.sun_path) {
        memcpy(n->address.sun_path, name, len);
        if (name[0] == '@') {
            n->address.sun_path[0] = '\0';
        }
        n->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    }
    unsetenv("NOTIFY_SOCKET");
}

static void tell(const struct notify *n, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void tell(const struct notify *n, const char *format, ...)
{
    static const struct timeval most = {.tv_sec = MOST_S};
    char message[MESSAGE_SIZE];
    va_list args;

    int fd = n->len > 0 ? socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) : -1;
    if (fd < 0) {
        return;
    }
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof most);
    (void)sendto(fd, message, strlen(message), MSG_NOSIGNAL, (const struct sockaddr *)&n->address, n->len);
    close(fd);
}

void notify_ready(const struct notify *n, const char *status)
{
    tell(n, "READY=1\nSTATUS=%s", status);
}

void notify_reloading(const struct notify *n)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    tell(n, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=Reading files anew",
         (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u);
}

void notify_stopping(const struct notify *n, const char *status)
{
    tell(n, "STOPPING=1\nSTATUS=%s", status);
}
