/* peers.h: how many connections, or tests, each client has. Knows no lock: its owner serialises the calls. */
#ifndef SERVER_PEERS_H
#define SERVER_PEERS_H

#include "server/client.h"
#include "server/turns.h"

/* Starts zeroed; empty again once all have left. */
struct peers {
    void *tree; /* by key; balanced, so that no choice of addresses makes it slow */
};

struct peer;

/* One more. NULL: out of memory, and it is not counted. */
struct peer *peers_enter(struct peers *peers, const uint8_t key[CLIENT_KEY_SIZE]);

/* One less; *peer NULL is none. */
void peers_leave(struct peers *peers, struct peer **peer);

unsigned peers_count(const struct peers *peers, const uint8_t key[CLIENT_KEY_SIZE]);

const uint8_t *peer_key(const struct peer *peer);

/* Where its tests wait; lives as long as the peer has any. */
struct lane *peer_lane(struct peer *peer);

#endif
