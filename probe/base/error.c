#include "probe/base/error.h"

#include <stddef.h>

static const struct {
    const char *code, *sentence;
} rows[] = {
    [ERROR_NONE] = {NULL, NULL},
#define X(name, code, sentence) [ERROR_##name] = {code, sentence},
#include "probe/base/error.def"
#undef X
};

static const char *const phases[] = {
    [PHASE_DNS] = "dns",           [PHASE_CONNECT] = "connect",
    [PHASE_GREETING] = "greeting", [PHASE_CAPABILITY] = "capability",
    [PHASE_STARTTLS] = "starttls", [PHASE_TLS] = "tls",
};

const char *error_name(enum error_code code)
{
    return rows[code].code;
}

const char *error_sentence(enum error_code code)
{
    return rows[code].sentence;
}

const char *phase_name(enum phase phase)
{
    return phases[phase];
}
