/* fuzz_dns.c: any bytes as a DNS answer. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "probe/net/dns_aliases.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dns_aliases out;
    if (size <= 65535 && dns_aliases_read(&out, data, size)) {
        assert(out.count <= 65535);
        assert(memchr(out.canonical_name, '\0', sizeof out.canonical_name));
        assert(out.count > 0 || out.canonical_name[0] == '\0' || size > 12);
    }
    return 0;
}
