/* catalogue.h: what each IMAP capability means to the user of a mail client. Rows of catalogue.def. */
#ifndef REPORT_CATALOGUE_H
#define REPORT_CATALOGUE_H

#include <stdbool.h>
#include <stddef.h>

struct catalogue_row {
    const char *name; /* a trailing "=" marks a family with values, "X*" any other name in X */
    const char *category;
    const char *meaning;
    const char *absence; /* what clients do without it; NULL: nothing to say */
    const char *reference;
    bool gap; /* its absence is listed in feature_gaps */
};

/* All rows, in the order shown. */
const struct catalogue_row *catalogue_rows(size_t *count);

#endif
