/* dns_socket.h: the sockets of c-ares. They are opened here, since c-ares says of one that it does not get no
 * more than that no server could be reached. */
#ifndef NET_DNS_SOCKET_H
#define NET_DNS_SOCKET_H

#include <ares.h>
#include <stdbool.h>

/* From now on all sockets of the channel. *refused, which must outlive it, is set where this machine had none
 * to give for want of descriptors or memory. */
void dns_socket_use(ares_channel channel, bool *refused);

#endif
