/* resolver.c: the DNS resolver of the benchmark, quick enough for thousands of questions at once.
 *
 *   resolver ADDRESS PORT DOMAIN=ADDRESS[,ADDRESS...]...
 *
 * DOMAIN and every name below it has one A record; of several addresses that which N of hN.DOMAIN chooses.
 * The first domain that fits counts. There is no AAAA record; other names do not exist. Prints "ready" when
 * it listens. Ends with SIGTERM. */
#include <arpa/inet.h>
#include <stdbool.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common.h"

#define HEADER_BYTES 12
#define MESSAGE_BYTES 512
#define MOST_DOMAINS 16
#define MOST_ADDRESSES 32
#define TYPE_A 1
#define NXDOMAIN 3
#define RECEIVE_BYTES (8 << 20) /* room for all the questions of a burst */

static struct domain {
    char *name;
    struct in_addr addresses[MOST_ADDRESSES];
    size_t count;
} domains[MOST_DOMAINS];

static bool parse_domain(struct domain *d, char *text)
{
    d->name = strsep(&text, "=");
    for (char *one; text && d->count < MOST_ADDRESSES && (one = strsep(&text, ","));) {
        if (inet_pton(AF_INET, one, &d->addresses[d->count++]) != 1) {
            return false;
        }
    }
    return d->count > 0;
}

/* Writes the name of the question with dots; returns where the question ends, 0 where it is malformed. */
static size_t read_name(const unsigned char *query, size_t len, char name[256])
{
    size_t at = HEADER_BYTES, out = 0;
    while (at < len && query[at] != 0) {
        size_t label = query[at++];
        if (label > 63 || at + label >= len || out + label + 2 > 256) {
            return 0;
        }
        memcpy(name + out, query + at, label);
        out += label;
        name[out++] = '.';
        at += label;
    }
    name[out > 0 ? out - 1 : 0] = '\0';
    return at + 5 <= len ? at + 5 : 0;
}

static const struct domain *find_domain(const char *name)
{
    for (const struct domain *d = domains; d->name; d++) {
        size_t own = strlen(d->name), len = strlen(name);
        bool below = len > own && name[len - own - 1] == '.';
        if ((below || len == own) && strcasecmp(name + len - own, d->name) == 0) {
            return d;
        }
    }
    return NULL;
}

/* Makes an answer of the query in its place; its length, 0 for none. */
static size_t answer(unsigned char *message, size_t len)
{
    char name[256];
    size_t end = len > HEADER_BYTES ? read_name(message, len, name) : 0;
    if (end == 0 || end + 16 > MESSAGE_BYTES) {
        return 0;
    }
    const struct domain *d = find_domain(name);
    bool address = d && message[end - 4] == 0 && message[end - 3] == TYPE_A;
    message[2] = 0x81;
    message[3] = (unsigned char)(0x80 | (d ? 0 : NXDOMAIN));
    memset(message + 4, 0, 8);
    message[5] = 1;
    if (!address) {
        return end;
    }
    static const unsigned char record[] = {0xc0, HEADER_BYTES, 0, TYPE_A, 0, 1, 0, 0, 0, 60, 0, 4};
    size_t number = name[0] == 'h' ? strtoul(name + 1, NULL, 10) : 0;
    message[7] = 1;
    memcpy(message + end, record, sizeof record);
    memcpy(message + end + sizeof record, &d->addresses[number % d->count], 4);
    return end + sizeof record + 4;
}

int main(int argc, char **argv)
{
    struct sockaddr_in at = {.sin_family = AF_INET}, from;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), room = RECEIVE_BYTES;
    bool good = argc >= 4 && argc - 3 < MOST_DOMAINS && inet_pton(AF_INET, argv[1], &at.sin_addr) == 1;
    for (int i = 3; good && i < argc; i++) {
        good = parse_domain(&domains[i - 3], argv[i]);
    }
    if (!good) {
        fputs("usage: resolver ADDRESS PORT DOMAIN=ADDRESS[,ADDRESS...]...\n", stderr);
        return 2;
    }
    at.sin_port = htons((uint16_t)atoi(argv[2]));
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) != 0) {
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    }
    if (bind(fd, (const struct sockaddr *)&at, sizeof at) != 0) {
        perror("resolver: bind");
        return 1;
    }
    puts("ready");
    fflush(stdout);
    for (;;) {
        unsigned char message[MESSAGE_BYTES];
        socklen_t from_len = sizeof from;
        ssize_t n = recvfrom(fd, message, sizeof message, 0, (struct sockaddr *)&from, &from_len);
        size_t len = n > 0 ? answer(message, (size_t)n) : 0;
        if (len > 0) {
            sendto(fd, message, len, 0, (const struct sockaddr *)&from, from_len);
        }
    }
}
