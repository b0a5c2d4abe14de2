/* exposition.h: writes the Prometheus text format, version 0.0.4. Pure. Names and help texts are ours; label
 * values may hold anything and are made fit: valid UTF-8 without controls, as everything that people see. */
#ifndef API_EXPOSITION_H
#define API_EXPOSITION_H

#include <stdbool.h>
#include <stddef.h>

#include "probe/base/arena.h"
#include "probe/base/buf.h"

#define EXPOSITION_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct exposition {
    struct buf out;
    struct arena scratch;
    const char *family;
    bool failed; /* memory ran out: the text is not whole */
};

struct exposition_label {
    const char *name;
    struct text value;
};

void exposition_init(struct exposition *e);
void exposition_deinit(struct exposition *e);

/* Begins a metric family: what follows are its samples. `type`: "counter", "gauge", "histogram" or "info",
 * the last of which the format shows as a gauge. `family` must live as long as its samples are written. */
void exposition_family(struct exposition *e, const char *family, const char *type, const char *help);

/* One sample of the family, with `suffix` ("_bucket", "_sum", "_count" or "") behind its name. The value is
 * written so that it reads back the same; NaN and the infinities as the format spells them. */
void exposition_sample(struct exposition *e, const char *suffix, const struct exposition_label *labels,
                       size_t count, double value);

/* A sample without labels. */
void exposition_value(struct exposition *e, double value);

/* All of it, NUL-terminated and malloc'd, the caller's. NULL where memory ran out, now or before. */
char *exposition_take(struct exposition *e);

#endif
