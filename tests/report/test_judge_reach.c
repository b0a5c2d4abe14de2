#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/report/sample.h"

static struct report r;
static struct port_report *const plain = &r.ports[0];
static struct port_report *const secure = &r.ports[1];

static void nothing(void)
{
}

static void name_unknown(void)
{
    r.dns.address_count = 0;
    r.dns.error = (struct failure){.code = ERROR_DNS_NAME_NOT_FOUND, .phase = PHASE_DNS};
    sample_fail(plain, ERROR_DNS_NAME_NOT_FOUND, PHASE_DNS);
    sample_fail(secure, ERROR_DNS_NAME_NOT_FOUND, PHASE_DNS);
}

static void deadline_in_dns(void)
{
    r.dns.address_count = 0;
    sample_fail(plain, ERROR_DEADLINE_EXCEEDED, PHASE_DNS);
    sample_fail(secure, ERROR_DEADLINE_EXCEEDED, PHASE_DNS);
}

static void one_family_unresolved(void)
{
    r.dns.error = (struct failure){.code = ERROR_DNS_SERVER_FAILURE, .phase = PHASE_DNS};
}

static void both_refused(void)
{
    sample_fail(plain, ERROR_CONNECTION_REFUSED, PHASE_CONNECT);
    sample_fail(secure, ERROR_CONNECTION_REFUSED, PHASE_CONNECT);
}

static void only_port_refused(void)
{
    sample_fail(plain, ERROR_CONNECTION_REFUSED, PHASE_CONNECT);
    r.port_count = 1;
}

static void plain_refused(void)
{
    sample_fail(plain, ERROR_CONNECTION_REFUSED, PHASE_CONNECT);
}

/* The same without a list of tries. */
static void plain_refused_untold(void)
{
    plain_refused();
    plain->try_count = 0;
}

static void plain_deadline_untold(void)
{
    sample_fail(plain, ERROR_DEADLINE_EXCEEDED, PHASE_CONNECT);
    plain->try_count = 0;
}

static void plain_untested(void)
{
    sample_fail(plain, ERROR_NONE, PHASE_CONNECT);
    plain->try_count = 0;
}

static void plain_refused_without_route(void)
{
    plain_refused();
    plain->tries[1] = (struct connect_try){
        .address = sample_ip("2001:db8::10"),
        .error = {.code = ERROR_NETWORK_UNREACHABLE, .phase = PHASE_CONNECT, .raw = "ENETUNREACH"}};
    plain->try_count = 2;
}

static void plain_refused_and_silent(void)
{
    plain_refused_without_route();
    plain->tries[1].error = (struct failure){.code = ERROR_CONNECTION_TIMEOUT, .phase = PHASE_CONNECT};
}

static void plain_refused_secure_broken(void)
{
    plain_refused();
    sample_stop(secure, ERROR_TLS_HANDSHAKE_FAILED, PHASE_TLS);
}

static void plain_timeout(void)
{
    sample_fail(plain, ERROR_CONNECTION_TIMEOUT, PHASE_CONNECT);
}

static void plain_deadline(void)
{
    sample_fail(plain, ERROR_DEADLINE_EXCEEDED, PHASE_CONNECT);
}

static void secure_refused(void)
{
    sample_fail(secure, ERROR_CONNECTION_REFUSED, PHASE_CONNECT);
}

static void first_try(const char *address, enum error_code code, const char *raw)
{
    plain->tries[1] = plain->tries[0];
    plain->tries[0] = (struct connect_try){.address = sample_ip(address),
                                           .error = {.code = code, .phase = PHASE_CONNECT, .raw = raw}};
    plain->try_count = 2;
}

static void six_refused(void)
{
    first_try("2001:db8::10", ERROR_CONNECTION_REFUSED, "ECONNREFUSED");
}

static void six_timeout(void)
{
    first_try("2001:db8::10", ERROR_CONNECTION_TIMEOUT, "ETIMEDOUT");
}

static void four_refused(void)
{
    first_try("192.0.2.9", ERROR_CONNECTION_REFUSED, "ECONNREFUSED");
    plain->tries[1].address = sample_ip("2001:db8::10");
}

static void six_without_route(void)
{
    first_try("2001:db8::10", ERROR_NETWORK_UNREACHABLE, "ENETUNREACH");
}

static void six_without_source(void)
{
    first_try("2001:db8::10", ERROR_CONNECT_FAILED, "EADDRNOTAVAIL");
}

static void same_family_refused(void)
{
    first_try("192.0.2.9", ERROR_CONNECTION_REFUSED, "ECONNREFUSED");
}

static void six_works_at_another_address(void)
{
    six_refused();
    plain->tries[2] = (struct connect_try){.address = sample_ip("2001:db8::11")};
    plain->try_count = 3;
}

static void one_blocked(void)
{
    first_try("10.0.0.1", ERROR_ADDRESS_BLOCKED, NULL);
}

static void six_blocked(void)
{
    first_try("fd00::1", ERROR_ADDRESS_BLOCKED, NULL);
}

static void all_blocked(void)
{
    sample_fail(plain, ERROR_ADDRESS_BLOCKED, PHASE_CONNECT);
    sample_fail(secure, ERROR_ADDRESS_BLOCKED, PHASE_CONNECT);
}

static void reply_of_3000_ms(void)
{
    plain->timings.slowest_reply = 3000;
}

static void reply_of_3001_ms(void)
{
    plain->timings.slowest_reply = 3001;
}

static const struct sample_found found[] = {
    {name_unknown, FINDING_HOST_NOT_RESOLVED, SEVERITY_CRITICAL, 0},
    {deadline_in_dns, FINDING_HOST_NOT_RESOLVED, SEVERITY_CRITICAL, 0},
    {both_refused, FINDING_PORT_UNREACHABLE, SEVERITY_CRITICAL, 143},
    {both_refused, FINDING_PORT_UNREACHABLE, SEVERITY_CRITICAL, 993},
    {only_port_refused, FINDING_PORT_UNREACHABLE, SEVERITY_CRITICAL, 143},
    {all_blocked, FINDING_PORT_UNREACHABLE, SEVERITY_CRITICAL, 993},
    {plain_refused, FINDING_PORT_UNREACHABLE, SEVERITY_NOTICE, 143},
    {plain_refused_untold, FINDING_PORT_UNREACHABLE, SEVERITY_NOTICE, 143},
    {plain_deadline_untold, FINDING_PORT_UNREACHABLE, SEVERITY_WARNING, 143},
    {plain_untested, FINDING_PORT_UNREACHABLE, SEVERITY_WARNING, 143},
    {plain_refused_without_route, FINDING_PORT_UNREACHABLE, SEVERITY_NOTICE, 143},
    {plain_refused_and_silent, FINDING_PORT_UNREACHABLE, SEVERITY_WARNING, 143},
    {plain_refused_secure_broken, FINDING_PORT_UNREACHABLE, SEVERITY_WARNING, 143},
    {plain_timeout, FINDING_PORT_UNREACHABLE, SEVERITY_WARNING, 143},
    {plain_deadline, FINDING_PORT_UNREACHABLE, SEVERITY_WARNING, 143},
    {secure_refused, FINDING_PORT_UNREACHABLE, SEVERITY_WARNING, 993},
    {six_refused, FINDING_ADDRESS_FAMILY_UNREACHABLE, SEVERITY_WARNING, 143},
    {six_timeout, FINDING_ADDRESS_FAMILY_UNREACHABLE, SEVERITY_WARNING, 143},
    {four_refused, FINDING_ADDRESS_FAMILY_UNREACHABLE, SEVERITY_WARNING, 143},
    {one_blocked, FINDING_ADDRESS_NOT_ALLOWED, SEVERITY_INFO, 143},
    {six_blocked, FINDING_ADDRESS_NOT_ALLOWED, SEVERITY_INFO, 143},
    {reply_of_3001_ms, FINDING_SLOW_RESPONSE, SEVERITY_NOTICE, 143},
};

/* What comes close and must not be found. FINDING_COUNT: nothing at all. */
static const struct sample_absent absent[] = {
    {nothing, FINDING_COUNT},
    {one_family_unresolved, FINDING_COUNT},
    {name_unknown, FINDING_PORT_UNREACHABLE},
    {six_without_route, FINDING_COUNT},
    {six_without_source, FINDING_COUNT},
    {same_family_refused, FINDING_COUNT},
    {six_works_at_another_address, FINDING_COUNT},
    {six_blocked, FINDING_ADDRESS_FAMILY_UNREACHABLE},
    {both_refused, FINDING_ADDRESS_FAMILY_UNREACHABLE},
    {all_blocked, FINDING_ADDRESS_NOT_ALLOWED},
    {reply_of_3000_ms, FINDING_COUNT},
};

static const struct sample_verdict verdicts[] = {
    {nothing, VERDICT_OK, VERDICT_OK, VERDICT_OK,
     "Ports 143 (STARTTLS) and 993 work with TLS 1.3. The certificate is trusted and expires in 60 days."},
    {name_unknown, VERDICT_UNREACHABLE, VERDICT_UNREACHABLE, VERDICT_UNREACHABLE,
     "The host name cannot be resolved, so no port was tested. The name does not exist in the DNS."},
    {deadline_in_dns, VERDICT_UNREACHABLE, VERDICT_UNREACHABLE, VERDICT_UNREACHABLE,
     "The host name cannot be resolved, so no port was tested. The time limit of the whole test was "
     "reached."},
    {both_refused, VERDICT_UNREACHABLE, VERDICT_UNREACHABLE, VERDICT_UNREACHABLE,
     "Neither port 143 nor port 993 can be reached (connection refused)."},
    {plain_refused, VERDICT_UNREACHABLE, VERDICT_OK, VERDICT_OK,
     "Port 143 cannot be reached (connection refused); port 993 works with TLS 1.3. The certificate is "
     "trusted and "
     "expires in 60 days."},
    {plain_timeout, VERDICT_UNREACHABLE, VERDICT_OK, VERDICT_WARNINGS, NULL},
};

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

static void test_found(void **state)
{
    (void)state;
    sample_check_found(&r, found, COUNT(found));
    sample_check_rows(found, COUNT(found), FINDING_HOST_NOT_RESOLVED, FINDING_SLOW_RESPONSE);
}

static void test_absent(void **state)
{
    (void)state;
    sample_check_absent(&r, absent, COUNT(absent));
}

static void test_verdicts(void **state)
{
    (void)state;
    sample_check_verdicts(&r, verdicts, COUNT(verdicts));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found),
        cmocka_unit_test(test_absent),
        cmocka_unit_test(test_verdicts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
