/* activation.h: listening sockets that the service manager has opened already, and passes on at the start
 * (sd_listen_fds(3)). They stay open in the manager while one process ends and the next one starts.
 *
 * The protocol is three variables, and its manual allows to take them up without libsystemd, which would
 * bring five libraries into the image. */
#ifndef SERVER_ACTIVATION_H
#define SERVER_ACTIVATION_H

#include <stdbool.h>
#include <stddef.h>

struct activation {
    int *sockets; /* to serve on, in the place of --listen */
    size_t count; /* of them */
    int admin;    /* the one named "admin" (FileDescriptorName=), in the place of --admin-listen; -1: none */
};

/* Takes what was passed to this very process, which may be nothing, and removes the variables from the
 * environment, so that no child takes it for its own. The sockets are made close-on-exec and non-blocking.
 * False with a sentence in `why` where what was passed cannot be served on. To be called before there are
 * threads. */
bool activation_take(struct activation *activation, char *why, size_t why_size);

/* Closes those that nobody has taken over (`count` or `admin` still tell of them) and frees. */
void activation_deinit(struct activation *activation);

#endif
