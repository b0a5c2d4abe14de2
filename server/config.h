/* config.h: what the operator wants, all of it checked.
 *
 * Each option comes from the command line, else from the environment (IMAP_TEST_ and the name in capitals),
 * else from its default. Nothing is opened or bound here. The rows stand in config.def. */
#ifndef SERVER_CONFIG_H
#define SERVER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "api/log_line.h"
#include "probe/base/ip.h"

enum config_option {
#define X(constant, name, kind, field, initial, min, max, argument, help) OPTION_##constant,
#include "server/config.def"
#undef X
    OPTION_COUNT
};

struct config_list {
    char **items;
    size_t count;
};

struct rate {
    unsigned count;   /* 0: no limit */
    unsigned seconds; /* at least 1 */
};

struct config {
    struct config_list listen;     /* config_endpoint() with port, never empty */
    struct config_list dns_server; /* config_endpoint(); empty: the system's */
    struct config_list allow_target, deny_target, trusted_proxy; /* cidr_parse() */
    struct config_list nat64_prefix;                             /* and target_nat64_valid() */
    struct config_list cors_origin;                              /* "*" or scheme://host[:port] */
    unsigned workers, max_in_flight;
    unsigned dns_timeout_ms, connect_timeout_ms, io_timeout_ms, deadline_ms, grace_ms, drain_ms;
    unsigned cache_seconds, client_connections;
    struct rate client_rate, target_rate;
    char *trust_file, *api_key_file, *shared_cache_key; /* were readable at start; NULL: none */
    char *shared_cache;                                 /* redis_url_parse() takes it; NULL: none */
    char *log_file;                                     /* NULL: standard error */
    char *admin_listen;                                 /* config_endpoint() with port; NULL: none */
    char *check;                                        /* host_parse() takes it; NULL: serve */
    uint16_t imap_port, imaps_port;                     /* never equal */
    enum log_format log_format;
    enum log_level log_level;
    struct ip address; /* with check: connect there; family 0: resolve */
    bool access_log, transcript, json, health_check, help, version;
    bool given[OPTION_COUNT]; /* set by the operator, not by default */
};

enum config_result {
    CONFIG_RUN,
    CONFIG_HELP,    /* asked for; print it and leave with 0 */
    CONFIG_VERSION, /* the same */
    CONFIG_USAGE    /* err holds one line for standard error; leave with 2 */
};

#define CONFIG_ERROR_SIZE 1024

/* Fills *config, which config_deinit() must empty whatever the result. `env` looks up the environment as
 * getenv() does. err holds CONFIG_ERROR_SIZE bytes. */
enum config_result config_load(struct config *config, int argc, char *const *argv,
                               char *(*env)(const char *name), char *err);
void config_deinit(struct config *config);

/* Overwrites passwords in the arguments and the environment, where other users of the machine could see them.
 */
void config_hide_secrets(int argc, char *const *argv, char *(*env)(const char *name));

/* Whether a variable of the environment, NAME=VALUE, is an option's or none of this program's at all. */
bool config_knows_variable(const char *variable);

void config_print_help(FILE *out);
void config_print_version(FILE *out);

/* ADDR, ADDR:PORT or [V6]:PORT with ADDR an IP literal. *port is -1 where none is given. */
bool config_endpoint(const char *s, struct ip *ip, int *port);

#endif
