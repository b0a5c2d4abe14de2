/* print_options.c: a program of the build. Writes what an operator reads of the options, from the rows of
 * config.def:
 *
 *     print_options manual|defaults TEMPLATE
 *
 * prints the template, and in the place of its line OPTIONS the options, as a part of a manual page or as
 * lines of the file of variables that systemd reads. */
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "probe/base/limits.h"
#include "server/config_value.h"
#include "server/roff.h"

#define ENVIRONMENT "IMAP_TEST_"
#define MARK "OPTIONS\n"
#define LINE_SIZE 1024
#define VARIABLE_SIZE 64

enum option_constant {
#define X(constant, name, kind, field, initial, min, max, argument, help) OPTION_##constant,
#include "server/config.def"
#undef X
    OPTION_COUNT
};

static const struct option {
    const char *name;
    enum value_kind kind;
    const char *initial;
    unsigned min, max;
    const char *argument;
    const char *help;
} options[OPTION_COUNT] = {
#define X(constant, name_, kind_, field, initial_, min_, max_, argument_, help_)                             \
    [OPTION_##constant] = {name_, VALUE_##kind_, initial_, min_, max_, argument_, help_},
#include "server/config.def"
#undef X
};

/* Nothing is cut in silence: what does not fit ends the build. */
static size_t format(char *out, size_t size, const char *how, ...) __attribute__((format(printf, 3, 4)));

static size_t format(char *out, size_t size, const char *how, ...)
{
    va_list args;
    va_start(args, how);
    int len = vsnprintf(out, size, how, args);
    va_end(args);
    if (len < 0 || (size_t)len >= size) {
        fprintf(stderr, "print_options: too long: %s\n", out);
        exit(EXIT_FAILURE);
    }
    return (size_t)len;
}

static void variable_of(const struct option *option, char *out)
{
    size_t len = format(out, VARIABLE_SIZE, "%s%s", ENVIRONMENT, option->name);
    for (size_t i = strlen(ENVIRONMENT); i < len; i++) {
        if (out[i] == '-') {
            out[i] = '_';
        } else if (out[i] >= 'a' && out[i] <= 'z') {
            out[i] = (char)(out[i] - ('a' - 'A'));
        }
    }
}

static void print_in_manual(FILE *out, const struct option *option)
{
    char text[LINE_SIZE], variable[VARIABLE_SIZE];

    fputs(".TP\n\\fB\\-\\-", out);
    roff_word(out, option->name);
    fputs("\\fR", out);
    if (option->argument != NULL) {
        fputs(" \\fI", out);
        roff_word(out, option->argument);
        fputs("\\fR", out);
    }
    fputc('\n', out);
    if (option->initial != NULL) {
        format(text, sizeof text, "%s (default: %s)", option->help, option->initial);
    } else {
        format(text, sizeof text, "%s", option->help);
    }
    roff_text(out, text);
    fputs(".br\n", out);
    if (option->max > 0) {
        fprintf(out, "From %u to %u.\n", option->min, option->max);
    }
    if (option->kind == VALUE_COMMAND) {
        fputs("On the command line only.\n", out);
        return;
    }
    variable_of(option, variable);
    format(text, sizeof text, "In the environment: %s%s", variable,
           option->kind == VALUE_FLAG ? "=true" : "");
    roff_text(out, text);
}

/* What is only for a call from the command line (config.def: from --check on) would keep the service from
 * starting. */
static void print_as_default(FILE *out, const struct option *option)
{
    char variable[VARIABLE_SIZE];

    if (option >= &options[OPTION_CHECK]) {
        return;
    }
    variable_of(option, variable);
    fprintf(out, "\n# --%s%s%s: %s\n#%s=%s\n", option->name, option->argument != NULL ? " " : "",
            option->argument != NULL ? option->argument : "", option->help, variable,
            option->initial != NULL ? option->initial : "");
}

/* False where the mark is not there exactly once. */
static bool fill(FILE *in, FILE *out, void (*print)(FILE *out, const struct option *option))
{
    char line[LINE_SIZE];
    unsigned marks = 0;

    while (fgets(line, sizeof line, in) != NULL) {
        if (strcmp(line, MARK) != 0) {
            fputs(line, out);
            continue;
        }
        marks++;
        for (size_t i = 0; i < OPTION_COUNT; i++) {
            print(out, &options[i]);
        }
    }
    return marks == 1 && !ferror(in);
}

int main(int argc, char **argv)
{
    bool manual = argc == 3 && strcmp(argv[1], "manual") == 0;
    if (!manual && (argc != 3 || strcmp(argv[1], "defaults") != 0)) {
        fputs("usage: print_options manual|defaults TEMPLATE\n", stderr);
        return 2;
    }
    FILE *in = fopen(argv[2], "r");
    if (in == NULL) {
        perror(argv[2]);
        return EXIT_FAILURE;
    }
    bool filled = fill(in, stdout, manual ? print_in_manual : print_as_default);
    fclose(in);
    if (!filled) {
        fprintf(stderr, "%s: it needs one line OPTIONS, and to be readable\n", argv[2]);
        return EXIT_FAILURE;
    }
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
