#include "probe/report/catalogue.h"

static const struct catalogue_row rows[] = {
#define X(name, category, meaning, absence, reference, gap)                                                  \
    {name, category, meaning, absence, reference, gap},
#include "probe/report/catalogue.def"
#undef X
};

const struct catalogue_row *catalogue_rows(size_t *count)
{
    *count = sizeof rows / sizeof rows[0];
    return rows;
}
