#include "server/cache_entry.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "probe/base/limits.h"

/* The last character is the version: whatever changes the head changes it. */
static const char magic[4] = {'I', 'T', 'R', '2'};

/* Of a port: whether it was tested, and four times. */
#define PHASES_SIZE 20

/* Where each field stands; numbers in network order. */
enum {
    AT_LIFETIME = sizeof magic,
    AT_VERDICT = AT_LIFETIME + 4,
    AT_FAMILY = AT_VERDICT + 1,
    AT_ADDRESS = AT_FAMILY + 3, /* two octets are zero */
    AT_DNS = AT_ADDRESS + 16,
    AT_TEST = AT_DNS + 4,
    AT_PHASES = AT_TEST + 4, /* of the STARTTLS port, then of the TLS port */
    AT_HASH = AT_PHASES + 2 * PHASES_SIZE,
    AT_BODY = AT_HASH + 32
};
_Static_assert(AT_BODY == CACHE_ENTRY_HEAD_SIZE, "the head has the size that is told");

#define TENTHS 10.0
#define MOST_TENTHS 100000000u /* of a millisecond */

static void put_u32(uint8_t *out, uint32_t n)
{
    for (int i = 0; i < 4; i++) {
        out[i] = (uint8_t)(n >> (24 - 8 * i));
    }
}

static uint32_t get_u32(const uint8_t *in)
{
    return (uint32_t)in[0] << 24 | (uint32_t)in[1] << 16 | (uint32_t)in[2] << 8 | in[3];
}

/* As it is shown: to a tenth of a millisecond. */
static uint32_t tenths_of(double ms)
{
    return ms <= 0 ? 0 : ms * TENTHS >= MOST_TENTHS ? MOST_TENTHS : (uint32_t)(ms * TENTHS + 0.5);
}

/* A phase that was not reached is 0, the others are one more than they took. */
static void put_phase(uint8_t *out, double ms)
{
    put_u32(out, ms < 0 ? 0 : tenths_of(ms) + 1);
}

static bool get_phase(const uint8_t *in, double *ms)
{
    uint32_t n = get_u32(in);
    *ms = n == 0 ? TIME_NONE : (n - 1) / TENTHS;
    return n <= MOST_TENTHS + 1;
}

static void put_phases(uint8_t *out, const struct port_times *times)
{
    put_u32(out, times->tested);
    put_phase(out + 4, times->connect);
    put_phase(out + 8, times->greeting);
    put_phase(out + 12, times->tls);
    put_phase(out + 16, times->total);
}

static bool get_phases(const uint8_t *in, struct port_times *times)
{
    uint32_t tested = get_u32(in);
    times->tested = tested == 1;
    return tested <= 1 && get_phase(in + 4, &times->connect) && get_phase(in + 8, &times->greeting) &&
           get_phase(in + 12, &times->tls) && get_phase(in + 16, &times->total);
}

static void hash(const uint8_t key[CACHE_ENTRY_KEY_SIZE], struct text name, const uint8_t *bytes, size_t len,
                 uint8_t out[AT_BODY - AT_HASH])
{
    crypto_generichash_state state;
    uint8_t size[4];
    put_u32(size, (uint32_t)name.len);
    crypto_generichash_init(&state, key, CACHE_ENTRY_KEY_SIZE, AT_BODY - AT_HASH);
    crypto_generichash_update(&state, size, sizeof size);
    crypto_generichash_update(&state, (const uint8_t *)name.data, name.len);
    crypto_generichash_update(&state, bytes, AT_HASH);
    crypto_generichash_update(&state, bytes + AT_BODY, len - AT_BODY);
    crypto_generichash_final(&state, out, AT_BODY - AT_HASH);
}

void cache_entry_seal(const uint8_t key[CACHE_ENTRY_KEY_SIZE], struct text name, uint8_t *bytes, size_t len)
{
    hash(key, name, bytes, len, bytes + AT_HASH);
}

char *cache_entry_encode(const uint8_t key[CACHE_ENTRY_KEY_SIZE], struct text name,
                         const struct cached *report, unsigned lifetime_s, size_t *len)
{
    size_t body = shared_len(report->body);
    uint8_t *out = body <= LIMIT_SHARED_BODY_BYTES ? calloc(1, AT_BODY + body) : NULL;
    if (!out) {
        return NULL;
    }
    memcpy(out, magic, sizeof magic);
    put_u32(out + AT_LIFETIME, lifetime_s);
    out[AT_VERDICT] = (uint8_t)report->verdict;
    out[AT_FAMILY] = report->address.family;
    memcpy(out + AT_ADDRESS, report->address.bytes, sizeof report->address.bytes);
    put_u32(out + AT_DNS, tenths_of(report->dns_ms));
    put_u32(out + AT_TEST, tenths_of(report->test_ms));
    put_phases(out + AT_PHASES, &report->phases.imap);
    put_phases(out + AT_PHASES + PHASES_SIZE, &report->phases.imaps);
    memcpy(out + AT_BODY, shared_text(report->body), body);
    *len = AT_BODY + body;
    cache_entry_seal(key, name, out, *len);
    return (char *)out;
}

/* A report is one line of JSON, an object. */
static bool looks_like_report(struct text body)
{
    if (body.len < 2 || body.len > LIMIT_SHARED_BODY_BYTES || body.data[0] != '{' ||
        body.data[body.len - 1] != '}') {
        return false;
    }
    for (size_t i = 0; i < body.len; i++) {
        if ((unsigned char)body.data[i] < ' ') {
            return false;
        }
    }
    return true;
}

static bool is_result(uint8_t verdict)
{
    return verdict == VERDICT_OK || verdict == VERDICT_WARNINGS || verdict == VERDICT_PROBLEMS ||
           verdict == VERDICT_UNREACHABLE; /* an inconclusive one is not kept */
}

bool cache_entry_decode(const uint8_t key[CACHE_ENTRY_KEY_SIZE], struct text name, struct text bytes,
                        struct cache_entry *entry)
{
    const uint8_t *in = (const uint8_t *)bytes.data;
    uint8_t expected[AT_BODY - AT_HASH];

    if (bytes.len < AT_BODY || memcmp(in, magic, sizeof magic) != 0) {
        return false;
    }
    hash(key, name, in, bytes.len, expected);
    if (sodium_memcmp(expected, in + AT_HASH, sizeof expected) != 0) {
        return false;
    }
    uint8_t family = in[AT_FAMILY];
    uint32_t dns = get_u32(in + AT_DNS), test = get_u32(in + AT_TEST);
    *entry = (struct cache_entry){.lifetime_s = get_u32(in + AT_LIFETIME)};
    entry->report.verdict = (enum verdict)in[AT_VERDICT];
    entry->report.address.family = family;
    memcpy(entry->report.address.bytes, in + AT_ADDRESS, sizeof entry->report.address.bytes);
    entry->report.dns_ms = dns / TENTHS;
    entry->report.test_ms = test / TENTHS;
    entry->body = (struct text){bytes.data + AT_BODY, bytes.len - AT_BODY};
    return get_phases(in + AT_PHASES, &entry->report.phases.imap) &&
           get_phases(in + AT_PHASES + PHASES_SIZE, &entry->report.phases.imaps) &&
           is_result(in[AT_VERDICT]) && (family == 0 || family == 4 || family == 6) && dns <= MOST_TENTHS &&
           test <= MOST_TENTHS && looks_like_report(entry->body);
}
