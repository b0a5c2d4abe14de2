#include "server/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "probe/base/ip.h"
#include "server/config.h"

#define BACKLOG 4096

/* Of answers that a caller does not take; a whole report mostly fits. The kernel may use twice as much, and
 * without a bound takes megabytes for each connection. */
#define SEND_BUFFER (128 * 1024)

/* Of what a caller sends on while its test is under way and nobody reads; likewise. */
#define RECEIVE_BUFFER (16 * 1024)

static bool set_buffers(int fd)
{
    int out = SEND_BUFFER, in = RECEIVE_BUFFER;
    return setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &out, sizeof out) == 0 &&
           setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &in, sizeof in) == 0;
}

void listen_adopt(int fd)
{
    (void)set_buffers(fd);
}

int listen_open(const char *endpoint, char *why, size_t why_size)
{
    struct ip ip = {.family = 0};
    struct sockaddr_storage ss;
    int port = 0, one = 1;

    if (!config_endpoint(endpoint, &ip, &port)) {
        snprintf(why, why_size, "%s is not an address with a port", endpoint);
        return -1;
    }
    socklen_t len = ip_to_sockaddr(&ip, (uint16_t)port, &ss);
    int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 || !set_buffers(fd) ||
        (ip.family == 6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one) < 0) ||
        bind(fd, (const struct sockaddr *)&ss, len) < 0 || listen(fd, BACKLOG) < 0) {
        snprintf(why, why_size, "cannot listen on %s: %s", endpoint, strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    return fd;
}

int *listen_open_all(const struct config_list *endpoints, size_t *count, char *why, size_t why_size)
{
    int *sockets = calloc(endpoints->count, sizeof *sockets);
    size_t open = 0;

    snprintf(why, why_size, "out of memory");
    while (sockets && open < endpoints->count &&
           (sockets[open] = listen_open(endpoints->items[open], why, why_size)) >= 0) {
        open++;
    }
    if (sockets && open < endpoints->count) {
        for (size_t i = 0; i < open; i++) {
            close(sockets[i]);
        }
        free(sockets);
        return NULL;
    }
    *count = open;
    return sockets;
}

void listen_name(int fd, char *buf, size_t size)
{
    struct sockaddr_storage ss = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof ss;
    struct ip ip;
    char text[IP_TEXT_SIZE];

    buf[0] = '\0';
    if (getsockname(fd, (struct sockaddr *)&ss, &len) == 0 &&
        ip_from_sockaddr(&ip, (const struct sockaddr *)&ss)) {
        unsigned port = ntohs(ss.ss_family == AF_INET ? ((const struct sockaddr_in *)&ss)->sin_port
                                                      : ((const struct sockaddr_in6 *)&ss)->sin6_port);
        snprintf(buf, size, ip.family == 6 ? "[%s]:%u" : "%s:%u", ip_format(&ip, text), port);
    }
}

size_t listen_raise_descriptors(void)
{
    struct rlimit limit = {0, 0};
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) {
        return 1024;
    }
    if (limit.rlim_cur < limit.rlim_max) {
        rlim_t soft = limit.rlim_cur;
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0) {
            limit.rlim_cur = soft;
        }
    }
    return limit.rlim_cur == RLIM_INFINITY ? 1u << 20 : (size_t)limit.rlim_cur;
}

void listen_make_room(size_t descriptors)
{
    int any = eventfd(0, EFD_CLOEXEC);
    int last = any >= 0 && descriptors > 0 && descriptors <= INT_MAX
                   ? fcntl(any, F_DUPFD_CLOEXEC, (int)descriptors - 1)
                   : -1;
    if (last >= 0) {
        close(last);
    }
    if (any >= 0) {
        close(any);
    }
}
