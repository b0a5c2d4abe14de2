/* redis_url.h: where the store that replicas share is, and as whom to speak to it. Pure. */
#ifndef SERVER_REDIS_URL_H
#define SERVER_REDIS_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "probe/base/limits.h"

#define REDIS_PATH_SIZE 108 /* of struct sockaddr_un */
#define REDIS_WORD_SIZE 513

struct redis_url {
    char host[LIMIT_HOST_BYTES + 1]; /* a name or an IP address; empty: `path` counts */
    uint16_t port;
    char path[REDIS_PATH_SIZE]; /* of a Unix socket */
    char user[REDIS_WORD_SIZE]; /* empty: the server's default user */
    char password[REDIS_WORD_SIZE];
    bool has_password;
    unsigned database;
};

/* redis://[user:password@]host[:port][/db] or unix://[user:password@]/path[?db=N]. False: `why` goes on from
 * a subject, as in `has no host`, and repeats nothing of the text, which may be a password. */
bool redis_url_parse(struct redis_url *url, const char *text, char *why, size_t why_size);

/* Overwrites user and password in a text that is to be such a URL, right or wrong. */
void redis_url_hide(char *text);

#endif
