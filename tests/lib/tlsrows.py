"""The table of TLS set-ups: versions, suites, groups, ALPN, client certificates, OCSP staples, two certificates.

What is expected follows from the contract and the RFCs, not from the program."""
import os

import certs
import der
import imapd
import staples
import tlsserver
from certrows import good
from rows import DAY, Row

RFC6066_CHECK = "RFC 6066 section 8: a response that is sent must be checked, and one without a status shows nothing"
RFC6960_EARLY = "RFC 6960 section 4.2.2.1: thisUpdate later than the local time makes a response unreliable"

OLD = "DEFAULT:@SECLEVEL=0"

# RFC 2409 section 6.2, the "second Oakley group": 1024 bits.
OAKLEY_2 = ("FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74"
            "020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437"
            "4FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED"
            "EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE65381FFFFFFFFFFFFFFFF")


def dh_file(group):
    """A group of RFC 3526 or RFC 7919."""
    path = os.path.join(certs.directory(), group + ".pem")
    certs.openssl("genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt", "group:" + group, "-out", path)
    return path


def oakley_file():
    path = os.path.join(certs.directory(), "oakley.dh.pem")
    text = der.sequence(der.integer(int(OAKLEY_2, 16)), der.integer(2))
    with open(path, "wb") as out:
        out.write(certs.openssl("dhparam", "-inform", "DER", stdin=text))
    return path


def serve(*arguments, leaf, chain="full", plain=False):
    """Steps of the two ports where s_server speaks TLS: on the TLS port, or also behind STARTTLS."""
    step = tlsserver.openssl(*tlsserver.files(leaf, chain), *arguments)
    if not plain:
        return None, [step]
    return [imapd.greet()] + imapd.capability("IMAP4rev1 STARTTLS LOGINDISABLED") + [
        imapd.expect("STARTTLS"), imapd.send("{tag} OK begin TLS\r\n"), step], [step]


def openssl_row(name, arguments, findings, tls, key="ec", plain=False, **more):
    leaf = good(name, key=key)
    fields = {"rsa": {"key_algorithm": "RSA", "key_bits": 2048},
              "dsa1024": {"key_algorithm": "DSA", "key_bits": 1024, "chain_errors": ["weak_key"]}}
    return Row(name, leaf, findings, fields.get(key, {}), tls, play=serve(*arguments, leaf=leaf, plain=plain), **more)


def gnutls_row(name, priority, findings, tls, key="rsa", arguments=(), certificate=None, leaf=None, **more):
    leaf = leaf or good(name, key=key)
    fields = {"key_algorithm": "RSA", "key_bits": 2048} if certificate is None else certificate
    step = tlsserver.gnutls("--priority", priority, *arguments, *tlsserver.gnutls_files(leaf))
    # It never greets, which must not hide what the handshake has shown.
    return Row(name, leaf, findings + ("no_greeting",), fields, tls, play=(None, [step]), greets=False, **more)


def versions():
    cbc = {"cipher_suite": "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", "cipher_weak": True, "version_weak": True}
    weak_cbc = {"severities": {"cipher_weak": "warning"}}
    return [
        openssl_row("tls10", ["-tls1", "-cipher", OLD], ("tls_version_weak", "cipher_weak"),
                    {"version": "TLS 1.0", **cbc}, says={"tls_version_weak": "TLS 1.0"}, plain=True, **weak_cbc),
        openssl_row("tls11", ["-tls1_1", "-cipher", OLD], ("tls_version_weak", "cipher_weak"),
                    {"version": "TLS 1.1", **cbc}, says={"tls_version_weak": "TLS 1.1"}, **weak_cbc),
        openssl_row("tls12", ["-tls1_2"], ("tls_version_old_only",),
                    {"version": "TLS 1.2", "cipher_suite": "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"}, plain=True,
                    says={"tls_version_old_only": "TLS 1.2"}),
        openssl_row("chacha", ["-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"], (),
                    {"cipher_suite": "TLS_CHACHA20_POLY1305_SHA256"}),
        openssl_row("aes256", ["-ciphersuites", "TLS_AES_256_GCM_SHA384"], (),
                    {"cipher_suite": "TLS_AES_256_GCM_SHA384"}, plain=True),
    ]


def suite(name, cipher, findings, iana, key="rsa", weak=False, arguments=(), severities=None, **tls):
    tls = {"version": "TLS 1.2", "cipher_suite": iana, "cipher_weak": weak, **tls}
    return openssl_row(name, ["-tls1_2", "-cipher", cipher + ":@SECLEVEL=0", *arguments],
                       ("tls_version_old_only",) + findings, tls, key=key, severities=severities or {})


def no_cipher():
    """A server without encryption. GnuTLS gives up TLS 1.3 where it is to offer this too."""
    leaf = good("null", key="rsa")
    return Row("null", leaf, ("tls_handshake_failed",), None, None,
               play=serve("-tls1_2", "-cipher", "NULL-SHA256:@SECLEVEL=0", leaf=leaf),
               port={"error.code": "tls_handshake_failed", "error.alert": "handshake_failure", "implicit_tls": False})


def suites():
    static = {"key_exchange": "rsa", "forward_secrecy": False}
    warn = {"cipher_weak": "warning"}
    return [
        suite("static-rsa", "AES128-GCM-SHA256", ("no_forward_secrecy",), "TLS_RSA_WITH_AES_128_GCM_SHA256",
              **static),
        suite("static-rsa-cbc", "AES128-SHA", ("no_forward_secrecy", "cipher_weak"), "TLS_RSA_WITH_AES_128_CBC_SHA",
              weak=True, severities=warn, **static),
        suite("cbc-sha1", "ECDHE-RSA-AES128-SHA", ("cipher_weak",), "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", weak=True,
              severities=warn),
        suite("cbc-sha256", "ECDHE-ECDSA-AES128-SHA256", (), "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", key="ec"),
        no_cipher(),
        suite("dhe1024", "DHE-RSA-AES128-GCM-SHA256", ("key_exchange_weak",), "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256",
              arguments=["-dhparam", oakley_file()], key_exchange="dhe-1024"),
        suite("dhe1536", "DHE-RSA-AES128-GCM-SHA256", ("key_exchange_weak",), "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256",
              arguments=["-dhparam", dh_file("modp_1536")], key_exchange="dhe-1536"),
        suite("dhe2048", "DHE-RSA-AES256-GCM-SHA384", (), "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384",
              arguments=["-dhparam", dh_file("modp_2048")], key_exchange="dhe-2048"),
        suite("dhe-ffdhe2048", "DHE-RSA-AES128-GCM-SHA256", (), "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256",
              arguments=["-dhparam", dh_file("ffdhe2048")], key_exchange="ffdhe2048"),
        gnutls_row("ffdhe2048", "NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+DHE-RSA:-GROUP-ALL:+GROUP-FFDHE2048",
                   ("tls_version_old_only",), {"version": "TLS 1.2", "key_exchange": "ffdhe2048", "cipher_suite":
                                               "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256"}),
        gnutls_row("3des", "NONE:+VERS-TLS1.2:+RSA:+3DES-CBC:+SHA1:+SIGN-ALL:+COMP-NULL:+GROUP-ALL",
                   ("tls_version_old_only", "cipher_weak", "no_forward_secrecy"),
                   {"version": "TLS 1.2", "cipher_suite": "TLS_RSA_WITH_3DES_EDE_CBC_SHA", "cipher_weak": True,
                    **static}),
        gnutls_row("rc4", "NONE:+VERS-TLS1.0:+ECDHE-RSA:+ARCFOUR-128:+SHA1:+SIGN-ALL:+COMP-NULL:+GROUP-ALL",
                   ("tls_version_weak", "cipher_weak"),
                   {"version": "TLS 1.0", "version_weak": True, "cipher_suite": "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
                    "cipher_weak": True}),
        suite("dsa", "DHE-DSS-AES128-GCM-SHA256", ("certificate_key_weak",), "TLS_DHE_DSS_WITH_AES_128_GCM_SHA256",
              key="dsa1024", arguments=["-dhparam", dh_file("modp_2048")], key_exchange="dhe-2048"),
        anonymous(),
    ]


def anonymous():
    """Nobody proves who they are: no certificate, whatever the server holds."""
    arguments = ["-nocert", "-tls1_2", "-cipher", "AECDH-AES128-SHA:@SECLEVEL=0"]
    return Row("anonymous", None, ("tls_version_old_only", "cipher_weak"), None,
               {"version": "TLS 1.2", "cipher_suite": "TLS_ECDH_anon_WITH_AES_128_CBC_SHA", "cipher_weak": True},
               play=(None, [tlsserver.openssl(*arguments)]))


def groups():
    return [
        openssl_row("p256-only", ["-groups", "P-256"], (), {"key_exchange": "secp256r1"}),
        openssl_row("p384-only", ["-groups", "P-384"], (), {"key_exchange": "secp384r1"}),
        openssl_row("p521-only", ["-groups", "P-521"], (), {"key_exchange": "secp521r1"}),
        openssl_row("x448-only", ["-groups", "X448"], (), {"key_exchange": "x448"}),
        openssl_row("ffdhe-tls13", ["-groups", "ffdhe2048"], (), {"key_exchange": "ffdhe2048"}),
    ]


def extensions():
    required = ("client_certificate_required", "tls_handshake_failed")
    error = {"client_certificate_required": "certificate"}
    return [
        openssl_row("alpn", ["-alpn", "imap"], (), {"alpn": "imap"}),
        openssl_row("alpn-refused", ["-alpn", "http/1.1"], ("alpn_refused",), {},
                    port={"attempts.0.error.alert": "no_application_protocol", "attempts.1.error": None},
                    says={"alpn_refused": "no_application_protocol"}),
        openssl_row("client-optional", ["-verify", "1", "-alpn", "imap", "-groups", "P-256"], (),
                    {"alpn": "imap", "key_exchange": "secp256r1"}),
        openssl_row("client-optional-tls12", ["-tls1_2", "-verify", "1", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"],
                    ("tls_version_old_only",),
                    {"version": "TLS 1.2", "cipher_suite": "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"}),
        openssl_row("client-required", ["-Verify", "1"], required, {}, says=error,
                    port={"error.code": "client_certificate_required", "error.alert": "certificate_required",
                          "implicit_tls": False}),
        openssl_row("client-required-tls12", ["-tls1_2", "-Verify", "1"], required, None, says=error,
                    port={"error.code": "client_certificate_required", "error.alert": "handshake_failure",
                          "implicit_tls": False}),
        starttls_client_required(),
    ]


def starttls_client_required():
    row = openssl_row("client-required-starttls", ["-Verify", "1"],
                      ("client_certificate_required", "starttls_failed"), {}, plain=True,
                      port={"error.code": "client_certificate_required", "starttls_supported": False})
    row.play = (row.play[0], None)
    return row


def stapling():
    stranger = certs.untrusted().intermediate
    helper = good("helper", purpose="OCSPSigning", san="DNS:helper.test")
    impostor = good("impostor", san="DNS:impostor.test")

    def row(name, staple, findings, fields, tls=None, arguments=(), differs="", **options):
        leaf = good(name, **options)
        return Row(name, leaf, findings, fields, tls or {}, live=True,
                   differs={"gnutls.live": differs} if differs else {},
                   play=serve("-status_file", staple(leaf), *arguments, leaf=leaf))

    must = {"extra": "tlsfeature=status_request\n"}
    invalid = {"ocsp_stapling": "invalid"}
    rows = [
        row("staple-good", staples.response, (), {"ocsp_stapling": "good"}),
        row("staple-good-must", staples.response, (), {"ocsp_stapling": "good", "must_staple": True}, **must),
        row("staple-good-tls12", staples.response, ("tls_version_old_only",), {"ocsp_stapling": "good"},
            {"version": "TLS 1.2", "cipher_suite": "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"}, ["-tls1_2"]),
        row("staple-helper", lambda leaf: staples.response(leaf, signer=helper), (),
            {"ocsp_stapling": "good", "key_bits": 384}, key="p384"),
        row("staple-revoked", lambda leaf: staples.response(leaf, staples.REVOKED), ("certificate_revoked",),
            {"ocsp_stapling": "revoked", "chain_errors": ["revoked"]}),
        row("staple-unknown", lambda leaf: staples.response(leaf, ""), (), {"ocsp_stapling": "unknown"}),
        row("staple-old", staples.out_of_time, ("ocsp_staple_invalid",), invalid),
        row("staple-old-must", staples.out_of_time, ("ocsp_staple_invalid", "certificate_must_staple_unmet"),
            {**invalid, "must_staple": True}, **must),
        row("staple-early", lambda leaf: staples.out_of_time(leaf, 2), ("ocsp_staple_invalid",),
            {**invalid, "key_bits": 384}, key="p384", differs=RFC6960_EARLY),
        row("staple-other", lambda leaf: staples.response(good("staple-elsewhere")), ("ocsp_staple_invalid",),
            {**invalid, "key_algorithm": "Ed25519"}, key="ed25519"),
        row("staple-stranger", lambda leaf: staples.response(leaf, signer=stranger), ("ocsp_staple_invalid",),
            {**invalid, "key_algorithm": "RSA", "key_bits": 2048}, key="rsa"),
        row("staple-impostor", lambda leaf: staples.response(leaf, signer=impostor), ("ocsp_staple_invalid",),
            {**invalid, "key_bits": 521}, key="p521"),
        row("staple-try-later", lambda leaf: staples.store(staples.TRY_LATER), ("ocsp_staple_invalid",),
            invalid, {"cipher_suite": "TLS_AES_256_GCM_SHA384"},
            ["-ciphersuites", "TLS_AES_256_GCM_SHA384"], RFC6066_CHECK),
    ]
    leaf = good("staple-garbage", key="rsa")
    rows.append(gnutls_row("staple-garbage", "NORMAL", ("ocsp_staple_invalid",),
                           {}, arguments=["--ocsp-response", staples.store(b"\x30\x82garbage"),
                                          "--ignore-ocsp-response-errors"], leaf=leaf,
                           certificate={"ocsp_stapling": "invalid", "key_algorithm": "RSA", "key_bits": 2048}))
    return rows


def two_certificates():
    one, other = good("two"), good("two", key="rsa", start=-90 * DAY, end=-2 * DAY - 3600)
    return [
        # Python's servers have their own order of cipher suites.
        Row("two", one, ("certificates_differ_between_ports", "certificate_expired"), {},
            {"cipher_suite": "TLS_AES_256_GCM_SHA384"},
            says={"certificates_differ_between_ports": "two"},
            play=(imapd.healthy_plain(one.context()), imapd.healthy_tls(other.context())),
            other=other, other_fields={"expired": True, "chain_errors": ["expired"], "days_remaining": -3,
                                       "key_algorithm": "RSA", "key_bits": 2048}),
    ]


def rows():
    return versions() + suites() + groups() + extensions() + stapling() + two_certificates()
