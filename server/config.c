#include "server/config.h"

#include <assert.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/problem.h"
#include "probe/base/limits.h"
#include "server/config_value.h"
#include "server/redis_url.h"

#define PROGRAM "imap-testd"
#define ENVIRONMENT "IMAP_TEST_"
#define SOURCE_SIZE 64
#define LIST_ITEMS 1000u
#define LIST_SEPARATORS ", \t\r\n"

static const struct option {
    const char *name;
    enum value_kind kind;
    size_t offset;
    const char *initial;
    unsigned min, max;
    const char *argument;
    const char *help;
} options[OPTION_COUNT] = {
#define X(constant, name_, kind_, field, initial_, min_, max_, argument_, help_)                             \
    [OPTION_##constant] = {name_,     VALUE_##kind_, offsetof(struct config, field), initial_, min_, max_,   \
                           argument_, help_},
#include "server/config.def"
#undef X
};

/* One load. `source` names where the value in hand comes from, in the words of the operator. */
struct load {
    struct config *config;
    char *err;
    char source[SOURCE_SIZE];
};

static bool fail(const struct load *load, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool fail(const struct load *load, const char *format, ...)
{
    char text[CONFIG_ERROR_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    snprintf(load->err, CONFIG_ERROR_SIZE, "%s: %.900s", PROGRAM, text);
    return false;
}

static bool fail_memory(const struct load *load)
{
    return fail(load, "out of memory");
}

static void *field_of(const struct load *load, const struct option *option)
{
    return (char *)load->config + option->offset;
}

static void clear_list(struct config_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i]);
    }
    free(list->items);
    *list = (struct config_list){0};
}

static bool add_to_list(const struct load *load, struct config_list *list, const char *value)
{
    if (list->count == LIST_ITEMS) {
        return fail(load, "%s: more than %u values", load->source, LIST_ITEMS);
    }
    char **items = realloc(list->items, (list->count + 1) * sizeof *items);
    if (items == NULL) {
        return fail_memory(load);
    }
    list->items = items;
    items[list->count] = strdup(value);
    if (items[list->count] == NULL) {
        return fail_memory(load);
    }
    list->count++;
    return true;
}

static bool replace_text(const struct load *load, char **text, const char *value)
{
    char *copy = strdup(value);
    if (copy == NULL) {
        return fail_memory(load);
    }
    free(*text);
    *text = copy;
    return true;
}

/* Checks one value and keeps it. */
static bool take(const struct load *load, const struct option *option, const char *value)
{
    char why[VALUE_WHY_SIZE];
    void *field = field_of(load, option);
    if (!value_check(option->kind, value, option->min, option->max, field, why)) {
        char quote[PROBLEM_QUOTE_SIZE];
        /* A URL of a store may hold a password. */
        return option->kind == VALUE_REDIS ? fail(load, "%s: the value %s", load->source, why)
                                           : fail(load, "%s: \"%s\" %s", load->source,
                                                  problem_quote(quote, value, strlen(value)), why);
    }
    switch (value_store_of(option->kind)) {
    case STORE_LIST:
        return add_to_list(load, field, value);
    case STORE_TEXT:
        return replace_text(load, field, value);
    case STORE_FIELD:
        break;
    }
    return true;
}

static const struct option *find(const char *name, size_t len)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (strlen(options[i].name) == len && memcmp(options[i].name, name, len) == 0) {
            return &options[i];
        }
    }
    return NULL;
}

/* One argument of the command line, and the next one where the value stands there; *used counts them. */
static bool take_argument(struct load *load, const char *argument, const char *next, int *used)
{
    char quote[PROBLEM_QUOTE_SIZE];
    *used = 1;
    if (strncmp(argument, "--", 2) != 0 || argument[2] == '\0') {
        return fail(load, "\"%s\" is not an option; see --help",
                    problem_quote(quote, argument, strlen(argument)));
    }
    size_t len = strcspn(argument + 2, "=");
    const struct option *option = find(argument + 2, len);
    if (option == NULL) {
        return fail(load, "there is no option \"%s\"; see --help", problem_quote(quote, argument, len + 2));
    }
    snprintf(load->source, sizeof load->source, "--%s", option->name);
    const char *value = argument[len + 2] == '=' ? argument + len + 3 : NULL;
    load->config->given[option - options] = true;
    if (option->argument == NULL) {
        return value == NULL ? take(load, option, "true") : fail(load, "%s takes no value", load->source);
    }
    if (value == NULL) {
        if (next == NULL || strncmp(next, "--", 2) == 0) {
            return fail(load, "%s needs a value: %s %s", load->source, load->source, option->argument);
        }
        value = next;
        *used = 2;
    }
    return take(load, option, value);
}

/* A list stands in one variable, its items between commas or spaces. */
static bool take_items(const struct load *load, const struct option *option, const char *value)
{
    char *copy = strdup(value);
    if (copy == NULL) {
        return fail_memory(load);
    }
    bool ok = true;
    char *rest = NULL;
    for (char *item = strtok_r(copy, LIST_SEPARATORS, &rest); ok && item != NULL;
         item = strtok_r(NULL, LIST_SEPARATORS, &rest)) {
        load->config->given[option - options] = true;
        ok = take(load, option, item);
    }
    free(copy);
    return ok;
}

static void environment_name(const struct option *option, char *out)
{
    size_t len = (size_t)snprintf(out, SOURCE_SIZE, "%s%s", ENVIRONMENT, option->name);
    assert(len < SOURCE_SIZE);
    for (size_t i = strlen(ENVIRONMENT); i < len; i++) {
        if (out[i] == '-') {
            out[i] = '_';
        } else if (out[i] >= 'a' && out[i] <= 'z') {
            out[i] = (char)(out[i] - ('a' - 'A'));
        }
    }
}

/* An empty variable is as good as none: container tools cannot always leave one out. */
static bool take_environment(struct load *load, const struct option *option, char *(*env)(const char *name))
{
    environment_name(option, load->source);
    const char *value = option->kind != VALUE_COMMAND ? env(load->source) : NULL;
    if (value == NULL || value[0] == '\0') {
        return true;
    }
    if (value_store_of(option->kind) == STORE_LIST) {
        return take_items(load, option, value);
    }
    load->config->given[option - options] = true;
    return take(load, option, value);
}

/* Processors this process may run on, which a container can have fewer of than the machine. */
static unsigned count_cores(unsigned max)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    int cores = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    if (cores < 1) {
        return 1;
    }
    return (unsigned)cores < max ? (unsigned)cores : max;
}

static bool take_default(struct load *load, const struct option *option)
{
    snprintf(load->source, sizeof load->source, "%s", option->name);
    if (option->initial != NULL) {
        return take(load, option, option->initial);
    }
    if (option == &options[OPTION_WORKERS]) {
        load->config->workers = count_cores(option->max);
    } else if (option == &options[OPTION_LOG_FORMAT]) {
        bool terminal = !load->config->log_file && isatty(STDERR_FILENO);
        load->config->log_format = terminal ? LOG_FORMAT_TEXT : LOG_FORMAT_JSON;
    }
    return true;
}

enum config_result config_load(struct config *config, int argc, char *const *argv,
                               char *(*env)(const char *name), char *err)
{
    *config = (struct config){0};
    err[0] = '\0';
    struct load load = {.config = config, .err = err};
    int used = 1;
    for (int i = 1; i < argc; i += used) {
        if (!take_argument(&load, argv[i], i + 1 < argc ? argv[i + 1] : NULL, &used)) {
            return CONFIG_USAGE;
        }
        if (config->help || config->version) {
            return config->help ? CONFIG_HELP : CONFIG_VERSION;
        }
    }
    /* In the environment, which serves many calls, they wait for one with --check. */
    bool transcript = config->transcript, json = config->json;
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (!config->given[i] && !take_environment(&load, &options[i], env)) {
            return CONFIG_USAGE;
        }
        if (!config->given[i] && !take_default(&load, &options[i])) {
            return CONFIG_USAGE;
        }
    }
    if (config->imap_port == config->imaps_port) {
        fail(&load, "--imap-port and --imaps-port are both %u; give two different ports", config->imap_port);
        return CONFIG_USAGE;
    }
    if (config->check && config->health_check) {
        fail(&load, "--check tests another server, --health-check asks this service; give one of them");
        return CONFIG_USAGE;
    }
    if (!config->check && config->address.family != 0) {
        fail(&load, "--address goes with --check HOST; over HTTP it is a parameter of each test");
        return CONFIG_USAGE;
    }
    if (!config->check && (transcript || json)) {
        fail(&load, "--%s goes with --check HOST; over HTTP %s", transcript ? "transcript" : "json",
             transcript ? "it is a parameter of each test" : "every report is JSON");
        return CONFIG_USAGE;
    }
    return CONFIG_RUN;
}

void config_deinit(struct config *config)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        void *field = (char *)config + options[i].offset;
        enum value_store store = value_store_of(options[i].kind);
        if (store == STORE_LIST) {
            clear_list(field);
        } else if (store == STORE_TEXT) {
            free(*(char **)field);
        }
    }
    *config = (struct config){0};
}

void config_hide_secrets(int argc, char *const *argv, char *(*env)(const char *name))
{
    static const char argument[] = "--shared-cache";
    char *value = env(ENVIRONMENT "SHARED_CACHE");
    if (value) {
        redis_url_hide(value);
    }
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], argument, sizeof argument - 1) == 0) {
            redis_url_hide(argv[i]);
            if (i + 1 < argc) {
                redis_url_hide(argv[i + 1]);
            }
        }
    }
}

bool config_knows_variable(const char *variable)
{
    char name[SOURCE_SIZE];
    bool known = strncmp(variable, ENVIRONMENT, strlen(ENVIRONMENT)) != 0;
    for (size_t i = 0; i < OPTION_COUNT && !known; i++) {
        environment_name(&options[i], name);
        known = options[i].kind != VALUE_COMMAND && strncmp(variable, name, strlen(name)) == 0 &&
                variable[strlen(name)] == '=';
    }
    return known;
}

void config_print_help(FILE *out)
{
    fprintf(out,
            "Usage: %s [OPTION]...\n"
            "Answers over HTTP how the IMAP service of a host is set up: STARTTLS, TLS, certificate, "
            "capabilities.\n\n"
            "Each option may also stand in the environment: --dns-server is %sDNS_SERVER, repeatable ones\n"
            "with their values between commas or spaces. The command line wins.\n\n",
            PROGRAM, ENVIRONMENT);
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option *o = &options[i];
        char left[64];
        snprintf(left, sizeof left, "--%s%s%s", o->name, o->argument != NULL ? " " : "",
                 o->argument != NULL ? o->argument : "");
        fprintf(out, "  %-26s  %s", left, o->help);
        if (o->initial != NULL) {
            fprintf(out, " (default: %s)", o->initial);
        }
        fputc('\n', out);
    }
    fputs("\nExit status: 0 stopped as asked, 1 failure, 2 wrong usage. With --check: 0 ok, 1 warnings or "
          "problems,\n"
          "2 wrong usage, 3 unreachable, inconclusive or not tested. With --health-check: 0 alive,\n"
          "1 not, 2 wrong usage.\n",
          out);
}

void config_print_version(FILE *out)
{
    fprintf(out, "%s %s\n", PROGRAM, IMAP_TESTD_VERSION);
}
