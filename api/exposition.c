#include "api/exposition.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probe/base/limits.h"

#define EXPOSITION_BYTES (1024u * 1024)
#define SCRATCH_MAX (256u * 1024)
#define VALUE_SIZE 32

void exposition_init(struct exposition *e)
{
    *e = (struct exposition){.family = ""};
    buf_init(&e->out, EXPOSITION_BYTES);
    arena_init(&e->scratch, SCRATCH_MAX);
}

void exposition_deinit(struct exposition *e)
{
    buf_deinit(&e->out);
    arena_deinit(&e->scratch);
}

static void add(struct exposition *e, const char *bytes, size_t len)
{
    if (buf_append(&e->out, bytes, len) != BUF_OK) {
        e->failed = true;
    }
}

static void say(struct exposition *e, const char *s)
{
    add(e, s, strlen(s));
}

void exposition_family(struct exposition *e, const char *family, const char *type, const char *help)
{
    e->family = family;
    say(e, "# HELP ");
    say(e, family);
    say(e, " ");
    say(e, help);
    say(e, "\n# TYPE ");
    say(e, family);
    say(e, " ");
    say(e, strcmp(type, "info") == 0 ? "gauge" : type);
    say(e, "\n");
}

static void say_label(struct exposition *e, const struct exposition_label *label)
{
    const char *shown = text_show(&e->scratch, label->value, LIMIT_TEXT_CHARS, NULL);
    if (!shown) {
        e->failed = true;
        return;
    }
    say(e, label->name);
    say(e, "=\"");
    while (*shown != '\0') {
        size_t plain = strcspn(shown, "\\\"");
        add(e, shown, plain);
        shown += plain;
        if (*shown != '\0') {
            add(e, "\\", 1);
            add(e, shown++, 1);
        }
    }
    say(e, "\"");
}

static void say_number(struct exposition *e, double value)
{
    char s[VALUE_SIZE];
    if (isnan(value)) {
        say(e, "NaN");
        return;
    }
    if (isinf(value)) {
        say(e, value > 0 ? "+Inf" : "-Inf");
        return;
    }
    for (int digits = 9; digits <= 17; digits++) {
        snprintf(s, sizeof s, "%.*g", digits, value);
        if (strtod(s, NULL) >= value && strtod(s, NULL) <= value) {
            break;
        }
    }
    say(e, s);
}

void exposition_sample(struct exposition *e, const char *suffix, const struct exposition_label *labels,
                       size_t count, double value)
{
    say(e, e->family);
    say(e, suffix);
    for (size_t i = 0; i < count; i++) {
        say(e, i == 0 ? "{" : ",");
        say_label(e, &labels[i]);
    }
    say(e, count > 0 ? "} " : " ");
    say_number(e, value);
    say(e, "\n");
    arena_deinit(&e->scratch);
    arena_init(&e->scratch, SCRATCH_MAX);
}

void exposition_value(struct exposition *e, double value)
{
    exposition_sample(e, "", NULL, 0, value);
}

char *exposition_take(struct exposition *e)
{
    char *text = NULL;
    add(e, "", 1);
    if (!e->failed) {
        text = malloc(e->out.len);
    }
    if (text) {
        memcpy(text, e->out.data, e->out.len);
    }
    buf_deinit(&e->out);
    buf_init(&e->out, EXPOSITION_BYTES);
    return text;
}
