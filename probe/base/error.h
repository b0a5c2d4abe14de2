/* error.h: how a connection ended when not well: code, phase, and the raw name of the cause. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include "probe/base/text.h"

enum error_code {
    ERROR_NONE,
#define X(name, code, sentence) ERROR_##name,
#include "probe/base/error.def"
#undef X
    ERROR_COUNT
};

enum phase {
    PHASE_DNS,
    PHASE_CONNECT,
    PHASE_GREETING,
    PHASE_CAPABILITY,
    PHASE_STARTTLS,
    PHASE_TLS,
    PHASE_COUNT
};

struct failure {
    enum error_code code;
    enum phase phase;
    const char *raw;   /* errno's or the library's name for it, NULL: none */
    const char *alert; /* name of the TLS alert, NULL: none */
    struct text said;  /* the server's own words, absent where it said nothing */
};

/* The code as in the report; NULL for ERROR_NONE. */
const char *error_name(enum error_code code);

/* One sentence of ours; NULL for ERROR_NONE. */
const char *error_sentence(enum error_code code);

const char *phase_name(enum phase phase);

#endif
