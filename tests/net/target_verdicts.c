/* target_verdicts [--allow-target CIDR] [--deny-target CIDR] [--nat64-prefix CIDR]...: what the target policy
 * makes of the hosts on standard input, one a line: permitted, refused, invalid, or name for what is to be
 * resolved first. The line `refresh` takes the addresses of this machine's interfaces, which are left alone
 * otherwise. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/host.h"
#include "probe/net/target.h"

static bool add(struct target_policy *policy, const char *option, const char *value)
{
    struct cidr cidr;
    if (!cidr_parse(&cidr, value)) {
        return false;
    }
    if (strcmp(option, "--nat64-prefix") == 0) {
        return target_nat64_valid(&cidr) && target_policy_add_nat64(policy, &cidr);
    }
    bool allow = strcmp(option, "--allow-target") == 0;
    return (allow || strcmp(option, "--deny-target") == 0) && target_policy_add(policy, &cidr, allow);
}

static const char *verdict(const struct target_policy *policy, const char *host, size_t len)
{
    struct probe_request request;
    char why[HOST_WHY_SIZE];
    if (host_parse(host, len, &request, why) != HOST_OK) {
        return "invalid";
    }
    if (request.host_ip.family == 0) {
        return "name";
    }
    return target_allowed(policy, &request.host_ip) ? "permitted" : "refused";
}

int main(int argc, char **argv)
{
    struct target_policy *policy = target_policy_create();
    for (int i = 1; i < argc; i += 2) {
        if (policy == NULL || i + 1 == argc || !add(policy, argv[i], argv[i + 1])) {
            fprintf(stderr, "target_verdicts: %s is no option, or its value is wrong\n", argv[i]);
            return 2;
        }
    }
    char *line = NULL;
    size_t room = 0;
    ssize_t len;
    while ((len = getline(&line, &room, stdin)) > 0) {
        len -= line[len - 1] == '\n';
        if (len == 7 && memcmp(line, "refresh", 7) == 0) {
            puts(target_policy_refresh_own(policy) ? "refreshed" : "failed");
        } else {
            puts(verdict(policy, line, (size_t)len));
        }
        fflush(stdout);
    }
    free(line);
    target_policy_free(&policy);
    return 0;
}
