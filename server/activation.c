#include "server/activation.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Both as the protocol fixes them. */
#define FIRST_DESCRIPTOR 3
#define ADMIN_NAME "admin"

#define MOST_SOCKETS 1000

/* A whole number and nothing else; -1 where it is none. */
static long number(const char *text)
{
    char *end = NULL;
    errno = 0;
    long value = text[0] >= '0' && text[0] <= '9' ? strtol(text, &end, 10) : -1;
    return errno == 0 && end && *end == '\0' ? value : -1;
}

/* Why the descriptor cannot be served on; NULL: it can. */
static const char *fault(int fd)
{
    struct sockaddr_storage ss = {.ss_family = AF_UNSPEC};
    socklen_t ss_len = sizeof ss, len = sizeof(int);
    int value = 0;

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &len) != 0) {
        return errno == EBADF ? "is not open" : "is not a socket";
    }
    if (value != SOCK_STREAM) {
        return "is not a stream socket (ListenStream=)";
    }
    len = sizeof value;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &len) != 0 || value == 0) {
        return "does not listen (Accept= must be no)";
    }
    if (getsockname(fd, (struct sockaddr *)&ss, &ss_len) != 0 ||
        (ss.ss_family != AF_INET && ss.ss_family != AF_INET6)) {
        return "is not of IPv4 or IPv6, so that callers could not be told apart";
    }
    return NULL;
}

static bool prepare(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

/* One socket. Its name is the first of *names, which go on behind the next colon. */
static bool take(struct activation *a, int fd, const char **names, char *why, size_t why_size)
{
    size_t len = strcspn(*names, ":");
    bool admin = len == strlen(ADMIN_NAME) && memcmp(*names, ADMIN_NAME, len) == 0;
    const char *wrong = fault(fd);

    *names += (*names)[len] == ':' ? len + 1 : len;
    if (!wrong && admin && a->admin >= 0) {
        wrong = "is a second one named \"" ADMIN_NAME "\"";
    }
    if (!wrong && !prepare(fd)) {
        wrong = strerror(errno);
    }
    if (wrong) {
        snprintf(why, why_size, "descriptor %d, passed by LISTEN_FDS, %s", fd, wrong);
        return false;
    }
    if (admin) {
        a->admin = fd;
    } else {
        a->sockets[a->count++] = fd;
    }
    return true;
}

static bool take_all(struct activation *a, const char *fds, const char *names, char *why, size_t why_size)
{
    long count = number(fds);
    if (count < 0 || count > MOST_SOCKETS) {
        snprintf(why, why_size, "LISTEN_FDS is \"%.40s\", not a number from 0 to %d", fds, MOST_SOCKETS);
        return false;
    }
    a->sockets = calloc((size_t)count + 1, sizeof *a->sockets);
    if (!a->sockets) {
        snprintf(why, why_size, "out of memory");
        return false;
    }
    for (int i = 0; i < (int)count; i++) {
        if (!take(a, FIRST_DESCRIPTOR + i, &names, why, why_size)) {
            return false;
        }
    }
    return true;
}

bool activation_take(struct activation *a, char *why, size_t why_size)
{
    const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS"), *names = getenv("LISTEN_FDNAMES");
    bool ours = pid && fds && number(pid) == (long)getpid();

    *a = (struct activation){.admin = -1};
    bool taken = !ours || take_all(a, fds, names ? names : "", why, why_size);
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return taken;
}

void activation_deinit(struct activation *a)
{
    for (size_t i = 0; i < a->count; i++) {
        close(a->sockets[i]);
    }
    if (a->admin >= 0) {
        close(a->admin);
    }
    free(a->sockets);
    *a = (struct activation){.admin = -1};
}
