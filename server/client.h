/* client.h: who asks, where proxies stand between. Pure.
 *
 * A peer that is no trusted proxy is the client, whatever it says. From a trusted one X-Forwarded-For and
 * Forwarded (RFC 7239) are walked from the right, where each proxy has added who called it: trusted proxies
 * are passed by, the first other address is the client; where all are trusted, the left-most is. An element
 * that names no address ("unknown", "_hidden", none, malformed) ends the walk, and the client is the address
 * reached last, the proxy that reported the element.
 *
 * A proxy mostly manages one of the two headers and hands on whatever its caller put into the other. So where
 * both name somebody and not the same, neither is believed and the client is the peer: a caller cannot choose
 * an address by sending the header that the proxy does not manage. Proxies had better remove that one.
 *
 * An IPv4-mapped IPv6 address is the IPv4 address everywhere here. */
#ifndef SERVER_CLIENT_H
#define SERVER_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "probe/base/ip.h"
#include "probe/base/text.h"
#include "server/config.h"

struct client_proxies;

/* From values that cidr_parse() takes; never changes again. NULL: out of memory. */
struct client_proxies *client_proxies_create(const struct config_list *networks);
void client_proxies_free(struct client_proxies **proxies);

/* A list as far as it was read: what the walk from its right end would reach. That can be told from the left
 * without keeping the elements, so there is no bound on them but the one on all headers. */
struct client_walk {
    struct ip reached; /* family 0: nothing but the peer */
    bool any;          /* the list is not empty */
};

struct client {
    const struct client_proxies *proxies; /* borrowed */
    struct ip peer;
    bool proxied; /* the peer is a trusted proxy */
    bool ignored; /* it is none, and names somebody nevertheless */
    struct client_walk x_forwarded_for, forwarded;
};

void client_init(struct client *client, const struct client_proxies *proxies, const struct ip *peer);

/* Takes every header of the request in the order of the lines, of which those of one name are one list (RFC
 * 9110 section 5.2). Keeps nothing of the value. O(length × log networks). */
void client_header(struct client *client, struct text name, struct text value);

/* Of family 0 only where the peer is. */
struct ip client_ip(const struct client *client);

#define CLIENT_KEY_SIZE 9

/* What is counted as one caller: an IPv4 address, or the /64 of an IPv6 address, within which a host picks
 * addresses as it likes (RFC 8981). Addresses of 6to4, Teredo and NAT64 are no exception. Family first, the
 * rest padded with zeros. */
void client_key(const struct ip *ip, uint8_t key[CLIENT_KEY_SIZE]);

#endif
