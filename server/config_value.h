/* config_value.h: the kinds of values an option may have, and how each is checked. Pure but for VALUE_FILE,
 * which looks whether the file can be read. */
#ifndef SERVER_CONFIG_VALUE_H
#define SERVER_CONFIG_VALUE_H

#include <stdbool.h>
#include <stddef.h>

#define VALUE_WHY_SIZE 512

enum value_kind {
    VALUE_NUMBER,     /* unsigned */
    VALUE_PORT,       /* uint16_t */
    VALUE_RATE,       /* struct rate */
    VALUE_LOG_FORMAT, /* enum log_format */
    VALUE_LOG_LEVEL,  /* enum log_level */
    VALUE_FLAG,       /* bool, alone on the command line; true or false in the environment */
    VALUE_SWITCH,     /* bool: on or off */
    VALUE_ADDRESS,    /* struct ip */
    VALUE_COMMAND,    /* bool, on the command line only */
    VALUE_FILE,       /* the rest of the kinds: text, kept by the caller */
    VALUE_PATH,       /* of a file that need not be there */
    VALUE_LISTEN,
    VALUE_HOST,
    VALUE_REDIS,
    VALUE_LISTEN_LIST,
    VALUE_DNS_LIST,
    VALUE_CIDR_LIST,
    VALUE_NAT64_LIST,
    VALUE_ORIGIN_LIST,
    VALUE_KIND_COUNT
};

enum value_store { STORE_FIELD, STORE_TEXT, STORE_LIST };

/* What becomes of a value that was found good. */
enum value_store value_store_of(enum value_kind kind);

/* Checks a value and, where it is stored so, writes it to *field. False: why[VALUE_WHY_SIZE] goes on from the
 * quoted value, as in `is not a number from 1 to 256`. min and max bound numbers. */
bool value_check(enum value_kind kind, const char *value, unsigned min, unsigned max, void *field, char *why);

#endif
