#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/report/sample.h"

static struct report r;
static struct port_report *const plain = &r.ports[0];
static struct port_report *const secure = &r.ports[1];

static void secure_handshake(void)
{
    sample_stop(secure, ERROR_TLS_HANDSHAKE_FAILED, PHASE_TLS);
    secure->error.alert = "handshake_failure";
}

static void secure_reset(void)
{
    sample_stop(secure, ERROR_CONNECTION_RESET, PHASE_TLS);
}

static void secure_plaintext(void)
{
    sample_stop(secure, ERROR_TLS_NOT_SPOKEN, PHASE_TLS);
}

/* TLS 1.3 tells only after the handshake, so the facts of the session are there. */
static void client_certificate(void)
{
    secure->error = (struct failure){.code = ERROR_CLIENT_CERTIFICATE_REQUIRED, .phase = PHASE_TLS};
    secure->implicit_tls = false;
    secure->dialogue.greeting = GREETING_NONE;
}

static void client_certificate_asked(void)
{
    secure->tls.client_certificate_requested = true;
}

static void alpn_retry(void)
{
    secure->tries[1] = secure->tries[0];
    secure->tries[0].error = (struct failure){
        .code = ERROR_TLS_HANDSHAKE_FAILED, .phase = PHASE_TLS, .alert = "no_application_protocol"};
    secure->try_count = 2;
}

static void tls_1_1(void)
{
    plain->tls.version = "TLS 1.1";
    plain->tls.version_weak = true;
    plain->tls.version_latest = false;
}

static void tls_1_2(void)
{
    plain->tls.version = "TLS 1.2";
    plain->tls.version_latest = false;
}

static void tls_1_1_not_completed(void)
{
    tls_1_1();
    plain->tls.completed = false;
    plain->tls.forward_secrecy = false;
}

static void cbc(void)
{
    plain->tls.cipher_class = CIPHER_CBC_SHA1;
}

static void broken_cipher(void)
{
    plain->tls.cipher_class = CIPHER_BROKEN;
}

static void dh_2047(void)
{
    plain->tls.dh_bits = 2047;
}

static void dh_2048(void)
{
    plain->tls.dh_bits = 2048;
}

static void static_rsa(void)
{
    plain->tls.forward_secrecy = false;
}

static const struct sample_found found[] = {
    {secure_handshake, FINDING_TLS_HANDSHAKE_FAILED, SEVERITY_CRITICAL, 993},
    {secure_reset, FINDING_TLS_HANDSHAKE_FAILED, SEVERITY_CRITICAL, 993},
    {secure_plaintext, FINDING_TLS_HANDSHAKE_FAILED, SEVERITY_CRITICAL, 993},
    {client_certificate, FINDING_TLS_HANDSHAKE_FAILED, SEVERITY_CRITICAL, 993},
    {client_certificate, FINDING_CLIENT_CERTIFICATE_REQUIRED, SEVERITY_WARNING, 993},
    {alpn_retry, FINDING_ALPN_REFUSED, SEVERITY_NOTICE, 993},
    {tls_1_1, FINDING_TLS_VERSION_WEAK, SEVERITY_CRITICAL, 143},
    {tls_1_2, FINDING_TLS_VERSION_OLD_ONLY, SEVERITY_NOTICE, 143},
    {cbc, FINDING_CIPHER_WEAK, SEVERITY_WARNING, 143},
    {broken_cipher, FINDING_CIPHER_WEAK, SEVERITY_CRITICAL, 143},
    {dh_2047, FINDING_KEY_EXCHANGE_WEAK, SEVERITY_CRITICAL, 143},
    {static_rsa, FINDING_NO_FORWARD_SECRECY, SEVERITY_WARNING, 143},
};

/* What comes close and must not be found. FINDING_COUNT: nothing at all. */
static const struct sample_absent absent[] = {
    {secure_handshake, FINDING_STARTTLS_FAILED},
    {secure_handshake, FINDING_NO_GREETING},
    {client_certificate_asked, FINDING_COUNT},
    {client_certificate, FINDING_NO_GREETING},
    {alpn_retry, FINDING_TLS_HANDSHAKE_FAILED},
    {alpn_retry, FINDING_ADDRESS_FAMILY_UNREACHABLE},
    {tls_1_1, FINDING_TLS_VERSION_OLD_ONLY},
    {tls_1_1_not_completed, FINDING_COUNT},
    {dh_2048, FINDING_COUNT},
};

static const struct sample_verdict verdicts[] = {
    {secure_handshake, VERDICT_OK, VERDICT_PROBLEMS, VERDICT_PROBLEMS,
     "Port 143 works with STARTTLS and TLS 1.3; port 993 accepts connections, but the TLS handshake fails. "
     "The "
     "certificate is trusted and expires in 60 days."},
    {tls_1_1, VERDICT_PROBLEMS, VERDICT_OK, VERDICT_PROBLEMS,
     "Port 143 works with STARTTLS and TLS 1.1, but this version of TLS is obsolete; port 993 works with TLS "
     "1.3. "
     "The certificate is trusted and expires in 60 days."},
    {tls_1_2, VERDICT_OK, VERDICT_OK, VERDICT_OK, NULL},
};

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

static void test_found(void **state)
{
    (void)state;
    sample_check_found(&r, found, COUNT(found));
    sample_check_rows(found, COUNT(found), FINDING_TLS_HANDSHAKE_FAILED, FINDING_NO_FORWARD_SECRECY);
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
