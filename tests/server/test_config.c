/* Options: where they come from, which values pass, and the one line an operator reads otherwise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/config.h"

/* The environment of the load under test: names and values in turn, NULL at the end. */
static const char *const *environment;

static char *env(const char *name)
{
    for (size_t i = 0; environment != NULL && environment[i] != NULL; i += 2) {
        if (strcmp(environment[i], name) == 0) {
            return (char *)(uintptr_t)environment[i + 1];
        }
    }
    return NULL;
}

static char err[CONFIG_ERROR_SIZE];

/* Loads with these arguments, up to the first NULL. */
static enum config_result load(struct config *c, const char *const *arguments)
{
    char *argv[16] = {(char *)(uintptr_t) "imap-testd"};
    int argc = 1;
    for (; arguments[argc - 1] != NULL; argc++) {
        argv[argc] = (char *)(uintptr_t)arguments[argc - 1];
    }
    return config_load(c, argc, argv, env, err);
}

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define NO_ARGS ((const char *const[]){NULL})

static void assert_list(const struct config_list *list, const char *joined)
{
    char all[400] = "";
    for (size_t i = 0; i < list->count; i++) {
        strcat(all, i > 0 ? " " : "");
        strcat(all, list->items[i]);
    }
    assert_string_equal(all, joined);
}

static void test_defaults(void **state)
{
    (void)state;
    struct config c;
    assert_int_equal(load(&c, NO_ARGS), CONFIG_RUN);
    assert_list(&c.listen, "127.0.0.1:8080");
    assert_int_equal(c.dns_server.count + c.allow_target.count + c.deny_target.count, 0);
    assert_int_equal(c.trusted_proxy.count + c.cors_origin.count, 0);
    assert_in_range(c.workers, 1, 256);
    assert_int_equal(c.max_in_flight, 10000);
    assert_int_equal(c.imap_port, 143);
    assert_int_equal(c.imaps_port, 993);
    assert_int_equal(c.dns_timeout_ms, 5000);
    assert_int_equal(c.connect_timeout_ms, 5000);
    assert_int_equal(c.io_timeout_ms, 10000);
    assert_int_equal(c.deadline_ms, 20000);
    assert_int_equal(c.grace_ms, 8000);
    assert_int_equal(c.cache_seconds, 30);
    assert_int_equal(c.client_rate.count, 60);
    assert_int_equal(c.client_rate.seconds, 60);
    assert_int_equal(c.target_rate.count, 10);
    assert_int_equal(c.target_rate.seconds, 60);
    assert_null(c.trust_file);
    assert_null(c.api_key_file);
    assert_null(c.admin_listen);
    assert_null(c.check);
    assert_false(c.json);
    assert_int_equal(c.log_format, isatty(STDERR_FILENO) ? LOG_FORMAT_TEXT : LOG_FORMAT_JSON);
    assert_int_equal(c.log_level, LOG_LEVEL_INFO);
    assert_null(c.log_file);
    assert_true(c.access_log);
    for (int i = 0; i < OPTION_COUNT; i++) {
        assert_false(c.given[i]);
    }
    config_deinit(&c);
}

static void test_command_line(void **state)
{
    (void)state;
    struct config c;
    assert_int_equal(load(&c, ARGS("--listen", "[::1]:0", "--listen=0.0.0.0:80", "--workers=3",
                                   "--target-rate", "0/60", "--client-rate=0", "--allow-target", "10.0.0.0/8",
                                   "--check", "imap.example.com", "--json", "--log-level=debug")),
                     CONFIG_RUN);
    assert_list(&c.listen, "[::1]:0 0.0.0.0:80");
    assert_list(&c.allow_target, "10.0.0.0/8");
    assert_int_equal(c.workers, 3);
    assert_int_equal(c.client_rate.count, 0);
    assert_true(c.client_rate.seconds > 0);
    assert_int_equal(c.target_rate.count, 0);
    assert_string_equal(c.check, "imap.example.com");
    assert_true(c.json);
    assert_int_equal(c.log_level, LOG_LEVEL_DEBUG);
    assert_true(c.given[OPTION_LISTEN] && c.given[OPTION_WORKERS] && c.given[OPTION_JSON]);
    assert_false(c.given[OPTION_DEADLINE] || c.given[OPTION_DENY_TARGET]);
    config_deinit(&c);
    /* Of a single value the last one counts, so that a script can be overruled. */
    assert_int_equal(load(&c, ARGS("--grace-ms", "1", "--grace-ms", "2", "--check", "a", "--check=b")),
                     CONFIG_RUN);
    assert_int_equal(c.grace_ms, 2);
    assert_string_equal(c.check, "b");
    config_deinit(&c);
}

/* A file is no terminal, wherever standard error leads. */
static void test_format_of_a_log_file(void **state)
{
    (void)state;
    struct config c;
    assert_int_equal(load(&c, ARGS("--log-file", "log")), CONFIG_RUN);
    assert_int_equal(c.log_format, LOG_FORMAT_JSON);
    config_deinit(&c);
    assert_int_equal(load(&c, ARGS("--log-file=log", "--log-format=text")), CONFIG_RUN);
    assert_int_equal(c.log_format, LOG_FORMAT_TEXT);
    config_deinit(&c);
}

static void test_environment(void **state)
{
    (void)state;
    static const char *const variables[] = {"IMAP_TEST_DEADLINE_MS",
                                            "7000",
                                            "IMAP_TEST_LISTEN",
                                            " 127.0.0.1:1, [::1]:2\t127.0.0.1:3,",
                                            "IMAP_TEST_JSON",
                                            "true",
                                            "IMAP_TEST_WORKERS",
                                            "2",
                                            "IMAP_TEST_DENY_TARGET",
                                            "192.0.2.0/24",
                                            "IMAP_TEST_CORS_ORIGIN",
                                            "",
                                            "IMAP_TEST_TRUST_FILE",
                                            "",
                                            "IMAP_TEST_VERSION",
                                            "1.0",
                                            "IMAP_TEST_LOG_FORMAT",
                                            "text",
                                            "IMAP_TEST_LOG_FILE",
                                            "/var/log/imap-testd.log",
                                            "IMAP_TEST_ACCESS_LOG",
                                            "off",
                                            NULL};
    struct config c;
    environment = variables;
    assert_int_equal(load(&c, ARGS("--workers=4", "--deny-target=198.51.100.1")), CONFIG_RUN);
    environment = NULL;
    assert_int_equal(c.deadline_ms, 7000);
    assert_list(&c.listen, "127.0.0.1:1 [::1]:2 127.0.0.1:3");
    assert_true(c.json);
    assert_int_equal(c.workers, 4);
    assert_list(&c.deny_target, "198.51.100.1");
    assert_int_equal(c.cors_origin.count, 0);
    assert_null(c.trust_file);
    assert_int_equal(c.log_format, LOG_FORMAT_TEXT);
    assert_string_equal(c.log_file, "/var/log/imap-testd.log");
    assert_false(c.access_log);
    assert_true(c.given[OPTION_DEADLINE] && c.given[OPTION_LISTEN]);
    assert_false(c.given[OPTION_TRUST_FILE] || c.given[OPTION_CORS_ORIGIN]);
    config_deinit(&c);
}

static void test_environment_errors(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value, *line;
    } rows[] = {
        {"IMAP_TEST_WORKERS", "x", "imap-testd: IMAP_TEST_WORKERS: \"x\" is not a number from 1 to 256"},
        {"IMAP_TEST_JSON", "yes", "imap-testd: IMAP_TEST_JSON: \"yes\" is neither true nor false"},
        {"IMAP_TEST_LISTEN", "127.0.0.1:1,bad", "imap-testd: IMAP_TEST_LISTEN: \"bad\" is not an IP address"},
        {"IMAP_TEST_CACHE_SECONDS", " 30", "imap-testd: IMAP_TEST_CACHE_SECONDS: \" 30\" is not a number"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *variables[] = {rows[i].name, rows[i].value, NULL};
        struct config c;
        environment = variables;
        enum config_result result = load(&c, NO_ARGS);
        environment = NULL;
        assert_int_equal(result, CONFIG_USAGE);
        assert_non_null(strstr(err, rows[i].line));
        config_deinit(&c);
    }
}

/* Values at and beyond each bound; `why` NULL: accepted. */
static const struct {
    const char *option, *value, *why;
} values[] = {
    {"--workers", "1", NULL},
    {"--workers", "256", NULL},
    {"--workers", "0", "is not a number from 1 to 256"},
    {"--workers", "257", "is not a number from 1 to 256"},
    {"--workers", "", "is not a number"},
    {"--workers", "-1", "is not a number"},
    {"--workers", "+1", "is not a number"},
    {"--workers", "1 ", "is not a number"},
    {"--workers", "4294967297", "is not a number"},
    {"--workers", "x", "is not a number"},
    {"--max-in-flight", "0", "from 1 to 1000000"},
    {"--shared-cache", "redis://:p@h", NULL},
    {"--shared-cache", "rediss://:p@h", "the value asks for TLS"},
    {"--shared-cache", "", "the value is neither redis://"},
    {"--deadline-ms", "999", "from 1000 to 600000"},
    {"--deadline-ms", "1000", NULL},
    {"--deadline-ms", "600001", "from 1000 to 600000"},
    {"--dns-timeout-ms", "0", "from 1 to 600000"},
    {"--connect-timeout-ms", "1", NULL},
    {"--io-timeout-ms", "600001", "from 1 to 600000"},
    {"--grace-ms", "0", NULL},
    {"--cache-seconds", "0", NULL},
    {"--cache-seconds", "86401", "from 0 to 86400"},
    {"--imap-port", "0", "from 1 to 65535"},
    {"--imap-port", "65536", "from 1 to 65535"},
    {"--imaps-port", "65535", NULL},
    {"--imap-port", "993", "both 993"},
    {"--imaps-port", "143", "both 143"},
    {"--client-rate", "60/60", NULL},
    {"--client-rate", "0/1", NULL},
    {"--client-rate", "60", "N/SECONDS"},
    {"--client-rate", "60/", "N/SECONDS"},
    {"--client-rate", "60/0", "N/SECONDS"},
    {"--client-rate", "/60", "N/SECONDS"},
    {"--client-rate", "1/2/3", "N/SECONDS"},
    {"--target-rate", "0/x", "N/SECONDS"},
    {"--target-rate", "-1/60", "N/SECONDS"},
    {"--target-rate", "1/86401", "N/SECONDS"},
    {"--listen", "127.0.0.1:0", NULL},
    {"--listen", "[2001:db8::1]:65535", NULL},
    {"--listen", "127.0.0.1", "with a port"},
    {"--listen", "127.0.0.1:", "with a port"},
    {"--listen", "127.0.0.1:65536", "with a port"},
    {"--listen", ":8080", "with a port"},
    {"--listen", "8080", "with a port"},
    {"--listen", "*:8080", "with a port"},
    {"--listen", "localhost:8080", "with a port"},
    {"--listen", "::1:8080", "with a port"},
    {"--listen", "[::1]", "with a port"},
    {"--listen", "[127.0.0.1]:80", "with a port"},
    {"--listen", "[::1]:80:80", "with a port"},
    {"--listen", "127.0.0.1:80,127.0.0.1:81", "with a port"},
    {"--admin-listen", "127.0.0.1:9090", NULL},
    {"--admin-listen", "9090", "with a port"},
    {"--dns-server", "192.0.2.53", NULL},
    {"--dns-server", "192.0.2.53:5353", NULL},
    {"--dns-server", "2001:db8::53", NULL},
    {"--dns-server", "[2001:db8::53]", NULL},
    {"--dns-server", "[2001:db8::53]:5353", NULL},
    {"--dns-server", "192.0.2.53:0", "is not an IP address"},
    {"--dns-server", "dns.example.com", "is not an IP address"},
    {"--dns-server", "", "is not an IP address"},
    {"--allow-target", "192.0.2.0/24", NULL},
    {"--allow-target", "::1", NULL},
    {"--allow-target", "192.0.2.1/24", "is not a network"},
    {"--deny-target", "192.0.2.0/33", "is not a network"},
    {"--nat64-prefix", "2001:db8:64::/96", NULL},
    {"--nat64-prefix", "2001:db8::/32", NULL},
    {"--nat64-prefix", "2001:db8:100::/40", NULL},
    {"--nat64-prefix", "64:ff9b:1::/48", NULL},
    {"--nat64-prefix", "64:ff9b:1:100::/56", NULL},
    {"--nat64-prefix", "64:ff9b:1:abcd::/64", NULL},
    {"--nat64-prefix", "64:ff9b:1:abcd:ff:1::/96", NULL},
    {"--nat64-prefix", "64:ff9b:1:abcd:100::/96", "bits 64 to 71"},
    {"--nat64-prefix", "64:ff9b:1:abcd::/80", "of 32, 40, 48, 56, 64 or 96 bits"},
    {"--nat64-prefix", "64:ff9b:1:abcd::", "of 32, 40, 48, 56, 64 or 96 bits"},
    {"--nat64-prefix", "64:ff9b:1::1/96", "all bits behind the prefix zero"},
    {"--nat64-prefix", "192.0.0.0/32", "an IPv6 network"},
    {"--nat64-prefix", "nat64.example", "is not a NAT64 prefix"},
    {"--trusted-proxy", "proxy", "is not a network"},
    {"--cors-origin", "*", NULL},
    {"--cors-origin", "https://www.example.com", NULL},
    {"--cors-origin", "http://localhost:3000", NULL},
    {"--cors-origin", "http://[::1]:3000", NULL},
    {"--cors-origin", "http://192.0.2.1", NULL},
    {"--cors-origin", "https://www.example.com.", NULL},
    {"--cors-origin", "https://a1.b2c", NULL},
    {"--cors-origin", "https://www.example.com:80", NULL},
    {"--cors-origin", "http://www.example.com:443", NULL},
    {"--cors-origin", "httpx://www.example.com:443", NULL},
    {"--cors-origin", "moz-extension://cf4b8e2c-1d8e-4f0a-9f5e-2f5d1f0a7b11", NULL},
    {"--cors-origin", "https://www.example.com:443",
     "how browsers write this origin; give https://www.example.com"},
    {"--cors-origin", "http://[::1]:80", "how browsers write this origin; give http://[::1]"},
    {"--cors-origin", "https://a.test:08443", "how browsers write this origin; give https://a.test:8443"},
    {"--cors-origin", "http://[2001:db8:0:0::1]:81", "give http://[2001:db8::1]:81"},
    {"--cors-origin", "http://[::ffff:192.0.2.1]", "nor an origin"},
    {"--cors-origin", "http://127.1:3000", "nor an origin"},
    {"--cors-origin", "http://2130706433", "nor an origin"},
    {"--cors-origin", "http://a.test:80:80", "nor an origin"},
    {"--cors-origin", "http://a.test:", "nor an origin"},
    {"--cors-origin", "1http://a.test", "nor an origin"},
    {"--cors-origin", "https://www.example.com/", "nor an origin"},
    {"--cors-origin", "https://www.example.com:0", "nor an origin"},
    {"--cors-origin", "https://www.example.com:x", "nor an origin"},
    {"--cors-origin", "https://Www.example.com", "nor an origin"},
    {"--cors-origin", "https://*.example.com", "nor an origin"},
    {"--cors-origin", "www.example.com", "nor an origin"},
    {"--cors-origin", "://x", "nor an origin"},
    {"--cors-origin", "https://", "nor an origin"},
    {"--cors-origin", "http://[::1", "nor an origin"},
    {"--cors-origin", "null", "nor an origin"},
    {"--cors-origin", "", "nor an origin"},
    {"--log-format", "json", NULL},
    {"--log-format", "JSON", "neither json nor text"},
    {"--log-level", "warn", NULL},
    {"--log-level", "warning", "none of error, warn, info and debug"},
    {"--log-file", "/nonexistent/log", NULL}, /* opened later */
    {"--log-file", "", "is no name of a file"},
    {"--access-log", "on", NULL},
    {"--access-log", "off", NULL},
    {"--access-log", "true", "is neither on nor off"},
    {"--access-log", "", "is neither on nor off"},
    {"--check",
     "b\xC3\xBC"
     "cher.example",
     NULL},
    {"--check", "[::1]", NULL},
    {"--check", "a b", "is not a host: A host name holds no spaces"},
    {"--check", "", "is not a host"},
    {"--trust-file", "/dev/null", NULL},
    {"--trust-file", "/nonexistent/roots.pem", "cannot be read: No such file"},
    {"--trust-file", "", "cannot be read: No such file"},
    {"--api-key-file", "/", "cannot be read: Is a directory"},
    {"--workers", "a\nb\x1b", "\"a\\x0ab\\x1b\" is not a number"},
};

static void test_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        struct config c;
        char joined[300];
        snprintf(joined, sizeof joined, "%s=%s", values[i].option, values[i].value);
        for (int form = 0; form < 2; form++) {
            enum config_result result =
                load(&c, form == 0 ? ARGS(joined) : ARGS(values[i].option, values[i].value));
            if ((result == CONFIG_RUN) != (values[i].why == NULL)) {
                fail_msg("%s: %d %s", joined, (int)result, err);
            }
            if (values[i].why == NULL) {
                assert_string_equal(err, "");
            } else if (strstr(err, values[i].why) == NULL || strncmp(err, "imap-testd: --", 14) != 0 ||
                       strchr(err, '\n') != NULL) {
                fail_msg("%s: %s", joined, err);
            }
            config_deinit(&c);
        }
    }
}

static void test_passwords_are_not_shown(void **state)
{
    (void)state;
    char joined[] = "--shared-cache=redis://u:hush@h", option[] = "--shared-cache";
    char value[] = "redis://u:hush@h:x";
    char variable[] = "redis://u:hush@v";
    char *argv[] = {option, joined, option, value, NULL};
    const char *variables[] = {"IMAP_TEST_SHARED_CACHE", variable, NULL};
    struct config c;

    assert_int_equal(load(&c, ARGS(option, value)), CONFIG_USAGE);
    assert_null(strstr(err, "hush"));
    config_deinit(&c);
    assert_int_equal(load(&c, ARGS(joined)), CONFIG_RUN);
    environment = variables;
    config_hide_secrets(4, argv, env);
    environment = NULL;
    assert_string_equal(joined, "--shared-cache=redis://******@h");
    assert_string_equal(value, "redis://******@h:x");
    assert_string_equal(variable, "redis://******@v");
    assert_string_equal(c.shared_cache, "redis://u:hush@h");
    config_deinit(&c);
}

/* Wherever the host to check comes from, the options that go with it may come from the command line. */
static void test_check_from_the_environment(void **state)
{
    (void)state;
    static const char *const variables[] = {"IMAP_TEST_CHECK", "imap.example.com", NULL};
    struct config c;
    environment = variables;
    assert_int_equal(load(&c, ARGS("--json", "--transcript")), CONFIG_RUN);
    environment = NULL;
    assert_string_equal(c.check, "imap.example.com");
    assert_true(c.json && c.transcript);
    config_deinit(&c);
}

static void test_misuse(void **state)
{
    (void)state;
    static const struct {
        const char *arguments[3];
        const char *line;
    } rows[] = {
        {{"--bogus", NULL}, "imap-testd: there is no option \"--bogus\"; see --help"},
        {{"--bogus=1", NULL}, "imap-testd: there is no option \"--bogus\"; see --help"},
        {{"--work", "1", NULL}, "imap-testd: there is no option \"--work\"; see --help"},
        {{"--Workers=1", NULL}, "imap-testd: there is no option \"--Workers\"; see --help"},
        {{"--=1", NULL}, "imap-testd: there is no option \"--\"; see --help"},
        {{"-w", NULL}, "imap-testd: \"-w\" is not an option; see --help"},
        {{"--", NULL}, "imap-testd: \"--\" is not an option; see --help"},
        {{"", NULL}, "imap-testd: \"\" is not an option; see --help"},
        {{"imap.example.com", NULL}, "imap-testd: \"imap.example.com\" is not an option; see --help"},
        {{"--json", "true", NULL}, "imap-testd: \"true\" is not an option; see --help"},
        {{"--json=true", NULL}, "imap-testd: --json takes no value"},
        {{"--json", NULL}, "imap-testd: --json goes with --check HOST; over HTTP every report is JSON"},
        {{"--json", "--transcript", NULL},
         "imap-testd: --transcript goes with --check HOST; over HTTP it is a parameter of each test"},
        {{"--help=yes", NULL}, "imap-testd: --help takes no value"},
        {{"--workers", NULL}, "imap-testd: --workers needs a value: --workers N"},
        {{"--trust-file", "--json", NULL}, "imap-testd: --trust-file needs a value: --trust-file FILE"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct config c;
        assert_int_equal(load(&c, rows[i].arguments), CONFIG_USAGE);
        assert_string_equal(err, rows[i].line);
        config_deinit(&c);
    }
    struct config c;
    assert_int_equal(load(&c, ARGS("--imap-port=2000", "--imaps-port=2000")), CONFIG_USAGE);
    assert_string_equal(err,
                        "imap-testd: --imap-port and --imaps-port are both 2000; give two different ports");
    config_deinit(&c);
    assert_int_equal(load(&c, ARGS("--address", "192.0.2.10")), CONFIG_USAGE);
    assert_string_equal(
        err, "imap-testd: --address goes with --check HOST; over HTTP it is a parameter of each test");
    config_deinit(&c);
    assert_int_equal(load(&c, ARGS("--address", "192.0.2.1O", "--check", "a.test")), CONFIG_USAGE);
    assert_string_equal(
        err, "imap-testd: --address: \"192.0.2.1O\" is not an IP address such as 192.0.2.10 or 2001:db8::10");
    config_deinit(&c);
    assert_int_equal(load(&c, ARGS("--address", "192.0.2.10", "--check", "a.test")), CONFIG_RUN);
    assert_int_equal(c.address.family, 4);
    config_deinit(&c);
}

static void test_help_and_version(void **state)
{
    (void)state;
    struct config c;
    assert_int_equal(load(&c, ARGS("--help", "--bogus")), CONFIG_HELP);
    config_deinit(&c);
    assert_int_equal(load(&c, ARGS("--json", "--version")), CONFIG_VERSION);
    config_deinit(&c);
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    config_print_help(out);
    config_print_version(out);
    assert_int_equal(fclose(out), 0);
    static const char *const expected[] = {
#define X(constant, name, kind, field, initial, min, max, argument, help) "\n  --" name " ", "" help,
#include "server/config.def"
#undef X
        "--client-rate N/SECONDS", "(default: 60/60)", "(default: 127.0.0.1:8080)",
        "\nimap-testd " IMAP_TESTD_VERSION "\n"};
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        if (strstr(text, expected[i]) == NULL) {
            fail_msg("--help lacks \"%s\"", expected[i]);
        }
    }
    free(text);
}

static void test_slips_in_the_environment(void **state)
{
    (void)state;
    assert_true(config_knows_variable("IMAP_TEST_TRUSTED_PROXY=192.0.2.1"));
    assert_true(config_knows_variable("IMAP_TEST_JSON="));
    assert_true(config_knows_variable("PATH=/bin"));
    assert_true(config_knows_variable("IMAP_TESTER=x"));
    assert_false(config_knows_variable("IMAP_TEST_TRUSTED_PROXYS=192.0.2.1"));
    assert_false(config_knows_variable("IMAP_TEST_TRUSTED=192.0.2.1"));
    assert_false(config_knows_variable("IMAP_TEST_trusted_proxy=192.0.2.1"));
    assert_false(config_knows_variable("IMAP_TEST_HELP=1"));
    assert_false(config_knows_variable("IMAP_TEST_"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_command_line),
        cmocka_unit_test(test_format_of_a_log_file),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_environment_errors),
        cmocka_unit_test(test_passwords_are_not_shown),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_check_from_the_environment),
        cmocka_unit_test(test_misuse),
        cmocka_unit_test(test_slips_in_the_environment),
        cmocka_unit_test(test_help_and_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
