/* samples.h: families of gauges by api/exposition.h; one is begun with its first sample, so that none stands
 * there empty. Pure. */
#ifndef API_SAMPLES_H
#define API_SAMPLES_H

#include "api/exposition.h"

struct samples {
    struct exposition out;
    const char *family, *help; /* help NULL: begun already */
};

void samples_init(struct samples *s);
void samples_deinit(struct samples *s);

/* What follows belongs to this family, should there be anything. Both must live as long. */
void samples_family(struct samples *s, const char *family, const char *help);

void samples_put(struct samples *s, const struct exposition_label *labels, size_t count, double value);

/* A family of one sample without labels; none where the value is NaN. */
void samples_gauge(struct samples *s, const char *family, const char *help, double value);

/* A label with words of ours. */
struct exposition_label samples_label(const char *name, const char *value);

#endif
