#include "probe/net/dns_socket.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "probe/net/conn_internal.h"

/* Answers that may wait in the kernel while the loop is busy; it allows less where its own limit is lower. */
#define RECEIVE_BYTES (1 << 20)

static ares_socket_t open_socket(int family, int type, int protocol, void *refused)
{
    static const int room = RECEIVE_BYTES;
    int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
    if (fd < 0) {
        *(bool *)refused |= conn_is_ours(errno);
        return ARES_SOCKET_BAD;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    return fd;
}

static int close_socket(ares_socket_t fd, void *refused)
{
    (void)refused;
    return close(fd);
}

static int connect_socket(ares_socket_t fd, const struct sockaddr *to, ares_socklen_t len, void *refused)
{
    (void)refused;
    return connect(fd, to, len);
}

static ares_ssize_t receive(ares_socket_t fd, void *data, size_t size, int flags, struct sockaddr *from,
                            ares_socklen_t *len, void *refused)
{
    (void)refused;
    return recvfrom(fd, data, size, flags, from, len);
}

static ares_ssize_t transmit(ares_socket_t fd, const struct iovec *parts, int count, void *refused)
{
    (void)refused;
    return writev(fd, parts, count);
}

void dns_socket_use(ares_channel channel, bool *refused)
{
    static const struct ares_socket_functions functions = {open_socket, close_socket, connect_socket, receive,
                                                           transmit};
    ares_set_socket_functions(channel, &functions, refused);
}
