#include "api/samples.h"

#include <math.h>

void samples_init(struct samples *s)
{
    *s = (struct samples){.family = ""};
    exposition_init(&s->out);
}

void samples_deinit(struct samples *s)
{
    exposition_deinit(&s->out);
}

void samples_family(struct samples *s, const char *family, const char *help)
{
    s->family = family;
    s->help = help;
}

void samples_put(struct samples *s, const struct exposition_label *labels, size_t count, double value)
{
    if (s->help != NULL) {
        exposition_family(&s->out, s->family, "gauge", s->help);
        s->help = NULL;
    }
    exposition_sample(&s->out, "", labels, count, value);
}

void samples_gauge(struct samples *s, const char *family, const char *help, double value)
{
    if (!isnan(value)) {
        samples_family(s, family, help);
        samples_put(s, NULL, 0, value);
    }
}

struct exposition_label samples_label(const char *name, const char *value)
{
    return (struct exposition_label){name, text_of(value)};
}
