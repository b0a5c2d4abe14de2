#include "server/peers.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

struct peer {
    uint8_t key[CLIENT_KEY_SIZE];
    unsigned count;
    struct lane lane;
};

static int compare(const void *a, const void *b)
{
    return memcmp(((const struct peer *)a)->key, ((const struct peer *)b)->key, CLIENT_KEY_SIZE);
}

struct peer *peers_enter(struct peers *peers, const uint8_t key[CLIENT_KEY_SIZE])
{
    struct peer *peer = calloc(1, sizeof *peer);
    if (!peer) {
        return NULL;
    }
    memcpy(peer->key, key, CLIENT_KEY_SIZE);
    struct peer **found = tsearch(peer, &peers->tree, compare);
    if (!found || *found != peer) {
        free(peer);
        peer = found ? *found : NULL;
    }
    if (peer) {
        peer->count++;
    }
    return peer;
}

void peers_leave(struct peers *peers, struct peer **peer)
{
    if (*peer && --(*peer)->count == 0) {
        (void)tdelete(*peer, &peers->tree, compare);
        free(*peer);
    }
    *peer = NULL;
}

unsigned peers_count(const struct peers *peers, const uint8_t key[CLIENT_KEY_SIZE])
{
    struct peer like = {.count = 0};
    memcpy(like.key, key, CLIENT_KEY_SIZE);
    struct peer **found = tfind(&like, &peers->tree, compare);
    return found ? (*found)->count : 0;
}

struct lane *peer_lane(struct peer *peer)
{
    return &peer->lane;
}

const uint8_t *peer_key(const struct peer *peer)
{
    return peer->key;
}
