#include "probe/net/hostmatch.h"

#include <string.h>
#include <strings.h>

static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
}

static bool plain(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (!is_name_byte(s[i]) || (s[i] == '.' && (i == 0 || i + 1 == len || s[i - 1] == '.'))) {
            return false;
        }
    }
    return len > 0;
}

bool hostmatch_dns(struct text presented, const char *host)
{
    const char *name = presented.data;
    size_t len = presented.len;
    bool wildcard = len > 2 && name[0] == '*' && name[1] == '.';

    if (len == 0) {
        return false;
    }
    if (wildcard) {
        /* "*." must stand for one whole label (section 6.3), so compare behind the host's first dot. */
        host = strchr(host, '.');
        if (!host) {
            return false;
        }
        host++;
        name += 2;
        len -= 2;
    }
    return plain(name, len) && strlen(host) == len && strncasecmp(name, host, len) == 0;
}
