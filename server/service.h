/* service.h: the parts of the process and how they are wired: built from the bottom up, freed from the top
 * down. */
#ifndef SERVER_SERVICE_H
#define SERVER_SERVICE_H

#include <stdbool.h>

#include "server/activation.h"
#include "server/admin.h"
#include "server/config.h"
#include "server/metrics.h"
#include "server/notify.h"
#include "server/scrape.h"
#include "server/worker.h"

#define SERVICE_WHY_SIZE 512

struct service {
    struct config config;
    struct activation passed; /* sockets, by the service manager */
    struct notify manager;
    struct tls_env *tls;
    struct targets *targets;
    struct shared_cache *shared;
    struct limiter *clients;
    struct client_proxies *proxies;
    struct keys *keys;
    char *dns_servers;
    struct worker_env worker_env;
    struct pool *pool;
    struct admission *admission;
    struct callers *callers;
    struct http *http;
    struct admin *admin; /* NULL: no port of its own */
    struct metrics metrics;
    struct scrape scrape;
    unsigned connections; /* there is room for, on all listening sockets together */
    bool sockets_shared;  /* the listening sockets are open in the service manager too */
    bool dns_ready;
};

/* Starts with the options loaded, what was passed taken, and the rest zeroed. */

/* All that tests need. False with a sentence in `why`, mostly of an option. */
bool service_build(struct service *service, char why[SERVICE_WHY_SIZE]);

/* What stands between the callers and the tests, and the ports: from now on requests are taken. False with a
 * sentence in `why`. */
bool service_open(struct service *service, char why[SERVICE_WHY_SIZE]);

/* Writes into the metrics what a reload may have changed. */
void service_measure(struct service *service);

/* Frees whatever has been built; nothing may be in flight. */
void service_free(struct service *service);

#endif
