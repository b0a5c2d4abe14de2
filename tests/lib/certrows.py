"""The table of certificates. What is expected follows from the contract and the RFCs named, not from the program."""
import functools
import os
import struct

import certs
import der
from rows import DAY, Row, sans

SCT_LIST = "1.3.6.1.4.1.11129.2.4.2"
ISSUER_URL = "http://ca.example/issuing.der"
CA = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n"
KEYIDS = "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"

RFC9525_CN = "RFC 9525 section 2: the common name identifies nothing"
RFC5280_ANCHOR = "RFC 5280 section 6.1.1 (d): of a trust anchor only name and key count, no basic constraints"
RFC5280_ANY = "RFC 5280 section 4.2.1.12: who needs one purpose may refuse anyExtendedKeyUsage alone"
RFC9525_WILDCARD = "RFC 9525 section 6.3: the wildcard is the whole left-most label"


def issue(subject, san, issuer=None, purpose="serverAuth", usage="digitalSignature,keyEncipherment", extra="",
          **options):
    """A leaf; `san` in openssl's words, bytes for a list of names as it is encoded, None for none."""
    text = "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,%s\nsubjectKeyIdentifier=hash\n" % usage
    if issuer:
        text += "authorityKeyIdentifier=keyid\n"
    if purpose:
        text += "extendedKeyUsage=%s\n" % purpose
    if isinstance(san, bytes):
        san = "DER:" + san.hex(":")
    if san:
        text += "subjectAltName=%s\n" % san
    return certs.Certificate(subject, text + extra, issuer=issuer, **options)


def authority(label, issuer, text=CA + KEYIDS, **options):
    options = {"start": -100 * DAY, "end": 1000 * DAY, **options}
    return certs.Certificate("/O=Test Bench/CN=%s" % label, text, issuer=issuer, **options)


@functools.lru_cache(maxsize=None)
def expired_root():
    return certs.Certificate("/O=Test Bench/CN=Past Root", certs.ROOT_EXTENSIONS, start=-900 * DAY, end=-3 * DAY)


@functools.lru_cache(maxsize=None)
def sha1_root():
    return certs.Certificate("/O=Test Bench/CN=Old Root", certs.ROOT_EXTENSIONS, start=-900 * DAY, end=900 * DAY,
                             key="rsa", digest="sha1")


@functools.lru_cache(maxsize=None)
def trusted_leaf():
    return certs.self_signed("self-trusted.test")


@functools.lru_cache(maxsize=None)
def trust_file():
    """The usual root and those that rows need besides."""
    return certs.bundle([certs.trusted().root, expired_root(), sha1_root(), trusted_leaf()],
                        os.path.join(certs.directory(), "trust.pem"))


def good(name, san=None, **more):
    """A sound leaf of the usual intermediate for the row's name, but for the options."""
    more = {"issuer": certs.trusted().intermediate, **more}
    return issue("/CN=%s.test" % name, san or "DNS:%s.test" % name, **more)


def bad_name(name, presented, host, shown=None, **more):
    """A row whose certificate is sound but for other names than the host's."""
    san = presented if isinstance(presented, bytes) else "DNS:" + presented
    shown = shown or presented
    return Row(name, good(name, san=san), ("certificate_hostname_mismatch",),
               {"hostname_match": False, "sans": sans("dns:" + shown)}, host=host, **more)


def raw_names(*names):
    return der.sequence(*[der.element(0x82, name) for name in names])


def keys():
    return [
        Row("plain", good("plain")),
        Row("rsa2048", good("rsa2048", key="rsa"), (), {"key_algorithm": "RSA", "key_bits": 2048}),
        Row("rsapss", good("rsapss", key="rsapss", usage="digitalSignature"), (),
            {"key_algorithm": "RSA", "key_bits": 2560}),
        Row("p384", good("p384", key="p384"), (), {"key_bits": 384}),
        Row("p521", good("p521", key="p521"), (), {"key_bits": 521}),
        Row("ed25519", good("ed25519", key="ed25519"), (), {"key_algorithm": "Ed25519", "key_bits": 256}),
        Row("ed448", good("ed448", key="ed448"), (), {"key_algorithm": "Ed448", "key_bits": 456}),
        Row("rsa-signed", good("rsa-signed", issuer=authority("RSA CA", certs.trusted().root, key="rsa")), (),
            {"signature_algorithm": "RSA-SHA256"}),
    ]


def names():
    return [
        Row("wildcard", good("wildcard", san="DNS:*.wild.test"), (), {"sans": sans("dns:*.wild.test")},
            host="www.wild.test"),
        Row("letter-case", good("letter-case", san="DNS:LeTTer.Case.TEST"), (),
            {"sans": sans("dns:LeTTer.Case.TEST")}, host="letter.case.test"),
        bad_name("another", "another.example", "other.test",
                 says={"certificate_hostname_mismatch": r"another\.example.*other\.test"}),
        bad_name("partial-wildcard", "w*.wild.test", "www.wild.test", differs={"openssl.name": RFC9525_WILDCARD}),
        bad_name("partial-wildcard-behind", "*w.wild.test", "www.wild.test",
                 differs={"openssl.name": RFC9525_WILDCARD, "gnutls.name": RFC9525_WILDCARD}),
        bad_name("two-levels", "*.two.wild.test", "a.b.two.wild.test"),
        bad_name("bare-domain", "*.bare.wild.test", "bare.wild.test"),
        bad_name("wildcard-inside", "www.*.test", "www.wild.test"),
        bad_name("double-wildcard", "*.*.test", "www.wild.test"),
        bad_name("trailing-dot", "dot.test.", "dot.test"),
        bad_name("nul-byte", raw_names(b"nul.test\0.evil.test"), "nul.test", r"nul.test\x00.evil.test"),
        bad_name("line-break", raw_names(b"line.test\n"), "line.test", r"line.test\x0a"),
        bad_name("not-utf8", raw_names(b"b\xfccher.test"), "xn--bcher-kva.test", "b\ufffdcher.test"),
        bad_name("u-label", raw_names("b\u00fccher.test".encode()), "xn--bcher-kva.test", "b\u00fccher.test",
                 report={"host_unicode": "b\u00fccher.test"}),
        Row("a-label", good("a-label", san="DNS:xn--bcher-kva.test"), (), {"sans": sans("dns:xn--bcher-kva.test")},
            host="xn--bcher-kva.test", report={"host_unicode": "b\u00fccher.test"}),
        Row("ip4", good("ip4", san="IP:192.0.2.1"), (), {"sans": sans("ip:192.0.2.1")}, host="192.0.2.1"),
        Row("ip6", good("ip6", san="IP:2001:db8::1"), (), {"sans": sans("ip:2001:db8::1")}, host="2001:db8::1"),
        Row("ip-other", good("ip-other", san="IP:192.0.2.2"), ("certificate_hostname_mismatch",),
            {"hostname_match": False, "sans": sans("ip:192.0.2.2")}, host="192.0.2.1"),
        bad_name("ip-as-dns", "192.0.2.1", "192.0.2.1"),
        Row("cn-only", issue("/CN=cn-only.test", None, certs.trusted().intermediate),
            ("certificate_common_name_only",), {"hostname_match": False, "sans": [], "subject": "CN=cn-only.test"},
            differs={"openssl.name": RFC9525_CN, "gnutls.name": RFC9525_CN}),
        Row("cn-and-mail", good("cn-and-mail", san="email:admin@cn-and-mail.test"),
            ("certificate_common_name_only",),
            {"hostname_match": False, "sans": sans("email:admin@cn-and-mail.test")},
            differs={"openssl.name": RFC9525_CN, "gnutls.name": RFC9525_CN}),
        Row("cn-address", issue("/CN=192.0.2.1", None, certs.trusted().intermediate),
            ("certificate_common_name_only",), {"hostname_match": False, "sans": [], "subject": "CN=192.0.2.1"},
            host="192.0.2.1"),
        Row("cn-and-other-dns", issue("/CN=cn-and-other-dns.test", "DNS:elsewhere.test",
                                      certs.trusted().intermediate),
            ("certificate_hostname_mismatch",), {"hostname_match": False, "sans": sans("dns:elsewhere.test")}),
        Row("uri-and-srv", issue("/CN=Mail", "URI:imap://uri-and-srv.test/,otherName:1.3.6.1.5.5.7.8.7;IA5STRING:"
                                 "_imaps.uri-and-srv.test", certs.trusted().intermediate),
            ("certificate_hostname_mismatch",),
            {"hostname_match": False, "sans": sans("uri:imap://uri-and-srv.test/", "srv:_imaps.uri-and-srv.test")}),
        Row("no-name", issue("/O=Test Bench", None, certs.trusted().intermediate),
            ("certificate_hostname_mismatch",), {"hostname_match": False, "sans": [], "subject": "O=Test Bench"}),
        Row("no-subject", issue("/", "critical,DNS:no-subject.test", certs.trusted().intermediate), (),
            {"subject": ""}),
        Row("many-names", good("many-names", san=",".join("DNS:n%d.test" % i for i in range(600))), (),
            {"sans": sans(*["dns:n%d.test" % i for i in range(500)])}, host="n599.test",
            port={"truncated": ["sans"]}),
    ]


def times():
    past_ca = authority("Past CA", certs.trusted().root, end=-DAY)
    future_ca = authority("Future CA", certs.trusted().root, start=5 * DAY)
    under_past_root = authority("CA of the Past", expired_root())
    return [
        Row("expired", good("expired", start=-90 * DAY, end=-2 * DAY - 3600), ("certificate_expired",),
            {"chain_errors": ["expired"], "expired": True, "days_remaining": -3},
            says={"certificate_expired": r"expired on \d{4}-.* UTC, 2 days ago"}),
        Row("future", good("future", start=2 * DAY), ("certificate_not_yet_valid",),
            {"chain_errors": ["not_yet_valid"], "not_yet_valid": True}),
        Row("soon", good("soon", start=-80 * DAY, end=10 * DAY + 3600), ("certificate_expires_soon",),
            {"days_remaining": 10}, says={"certificate_expires_soon": "10 days"}),
        Row("today", good("today", start=-80 * DAY, end=3600), ("certificate_expires_soon",), {"days_remaining": 0}),
        Row("fourteen-days", good("fourteen-days", start=-80 * DAY, end=14 * DAY + 3600), (),
            {"days_remaining": 14}),
        Row("short-lived", good("short-lived", start=-2 * DAY, end=4 * DAY + 3600), (), {"days_remaining": 4}),
        Row("398-days", good("398-days", start=-DAY, end=397 * DAY - 60), (), {"days_remaining": 396}),
        Row("399-days", good("399-days", start=-DAY, end=398 * DAY), ("certificate_validity_long",),
            {"days_remaining": 397}),
        Row("ca-expired", good("ca-expired", issuer=past_ca), ("certificate_chain_expired",),
            {"chain_errors": ["expired"]}, says={"certificate_chain_expired": "Past CA"}),
        Row("ca-future", good("ca-future", issuer=future_ca), ("certificate_chain_expired",),
            {"chain_errors": ["not_yet_valid"]}, says={"certificate_chain_expired": "Future CA"}),
        Row("root-expired", good("root-expired", issuer=under_past_root), ("certificate_chain_expired",),
            {"chain_errors": ["expired"], "issuer": "CN=CA of the Past,O=Test Bench"},
            says={"certificate_chain_expired": "Past Root"}),
    ]


def chains():
    root, issuing = certs.trusted().root, certs.trusted().intermediate
    upper = authority("Upper CA", root)
    lower = authority("Lower CA", upper, CA + KEYIDS + "authorityInfoAccess=caIssuers;URI:%s\n" % ISSUER_URL)
    plain_lower = authority("Plain Lower CA", upper)
    stranger = certs.untrusted()
    pair = certs.Certificate("/CN=twin.test", CA + "subjectKeyIdentifier=hash\n")

    def row(name, leaf, sent, findings, fields, **more):
        return Row(name, leaf, findings, fields, chain=sent(leaf) if callable(sent) else sent, **more)

    two = good("two-tiers", issuer=lower)
    return [
        row("incomplete", good("incomplete"), "alone", ("certificate_chain_incomplete",),
            {"chain_errors": ["missing_intermediate"]}, says={"certificate_chain_incomplete": "Good Issuing CA"}),
        row("incomplete-url", good("incomplete-url", start=-2 * DAY, extra="authorityInfoAccess=caIssuers;URI:%s\n" %
                                   ISSUER_URL), "alone", ("certificate_chain_incomplete",),
            {"chain_errors": ["missing_intermediate"], "days_remaining": 89, "issuer":
             "CN=Good Issuing CA,O=Test Bench"}, says={"certificate_chain_incomplete": "http://ca.example/"}),
        row("two-tiers", two, "full", (), {"issuer": "CN=Lower CA,O=Test Bench"}),
        row("upper-missing", good("upper-missing", issuer=lower), lambda leaf: [leaf, lower],
            ("certificate_untrusted",), {"chain_errors": ["unknown_issuer"], "issuer": "CN=Lower CA,O=Test Bench"},
            says={"certificate_untrusted": r"Upper CA[\s\S]*http://ca\.example/"}),
        row("lower-missing", good("lower-missing", issuer=plain_lower), lambda leaf: [leaf, upper],
            ("certificate_chain_incomplete",),
            {"chain_errors": ["missing_intermediate"], "issuer": "CN=Plain Lower CA,O=Test Bench"},
            says={"certificate_chain_incomplete": "Plain Lower CA"}),
        row("stranger", stranger.leaf("stranger.test"), "full", ("certificate_untrusted",),
            {"chain_errors": ["unknown_issuer"]}, says={"certificate_untrusted": "Unknown Root"}),
        row("stranger-root", stranger.leaf("stranger-root.test"), "with_root", ("certificate_untrusted",),
            {"chain_errors": ["unknown_issuer"]}),
        row("self-signed", certs.self_signed("self-signed.test"), "alone", ("certificate_self_signed",),
            {"chain_errors": ["self_signed"], "self_signed": True}),
        row("self-trusted", trusted_leaf(), "alone", (), {"self_signed": True},
            differs={"gnutls.chain": RFC5280_ANCHOR}),
        row("twin", certs.Certificate("/CN=twin.test", certs.LEAF_EXTENSIONS + "subjectAltName=DNS:twin.test\n",
                                      issuer=pair), "alone", ("certificate_chain_incomplete",),
            {"chain_errors": ["missing_intermediate"], "issuer": "CN=twin.test", "subject": "CN=twin.test"}),
        row("twin-sent", certs.Certificate("/CN=twin.test", certs.LEAF_EXTENSIONS + "subjectAltName=DNS:twin.test,"
                                           "DNS:twin-sent.test\n", issuer=pair), lambda leaf: [leaf, pair],
            ("certificate_untrusted",),
            {"chain_errors": ["unknown_issuer"], "issuer": "CN=twin.test", "subject": "CN=twin.test"}),
        row("disordered", good("disordered", issuer=plain_lower), lambda leaf: [leaf, upper, plain_lower],
            ("certificate_chain_disordered",), {"chain_errors": ["wrong_order"]}),
        row("root-sent", good("root-sent"), "with_root", ("certificate_chain_surplus",), {}),
        row("surplus", good("surplus"), lambda leaf: [leaf, issuing, stranger.intermediate, upper],
            ("certificate_chain_surplus",), {}, says={"certificate_chain_surplus": "2 of 4"}),
        row("surplus-between", good("surplus-between"), lambda leaf: [leaf, stranger.intermediate, issuing],
            ("certificate_chain_surplus", "certificate_chain_disordered"), {"chain_errors": ["wrong_order"]}),
        row("leaf-twice", good("leaf-twice", key="rsa"), lambda leaf: [leaf, leaf, issuing],
            ("certificate_chain_surplus", "certificate_chain_disordered"),
            {"chain_errors": ["wrong_order"], "key_algorithm": "RSA", "key_bits": 2048}),
        row("forty", good("forty"), lambda leaf: [leaf, issuing] + [stranger.intermediate] * 38,
            ("certificate_chain_surplus",), {}, port={"truncated": ["chain"]},
            says={"certificate_chain_surplus": "38 of 40"}),
    ]


def strength():
    root = certs.trusted().root
    weak_ca = authority("Short Key CA", root, key="rsa1024")
    rsa_ca = authority("Plain RSA CA", root, key="rsa")
    sha1_ca = authority("Old Digest CA", root, digest="sha1")
    return [
        Row("rsa1024", good("rsa1024", key="rsa1024"), ("certificate_key_weak",),
            {"chain_errors": ["weak_key"], "key_algorithm": "RSA", "key_bits": 1024},
            says={"certificate_key_weak": "rsa1024.*1024"}),
        Row("ca-rsa1024", good("ca-rsa1024", issuer=weak_ca), ("certificate_key_weak",),
            {"chain_errors": ["weak_key"], "signature_algorithm": "RSA-SHA256"},
            says={"certificate_key_weak": "Short Key CA.*1024"}),
        Row("sha1", good("sha1", digest="sha1"), ("certificate_signature_weak",),
            {"chain_errors": ["weak_signature"], "signature_algorithm": "ECDSA-SHA1"},
            says={"certificate_signature_weak": "CN=sha1.*SHA1"}),
        Row("md5", good("md5", issuer=rsa_ca, digest="md5"), ("certificate_signature_weak",),
            {"chain_errors": ["weak_signature"], "signature_algorithm": "RSA-MD5"}),
        Row("ca-sha1", good("ca-sha1", issuer=sha1_ca), ("certificate_signature_weak",),
            {"chain_errors": ["weak_signature"], "issuer": "CN=Old Digest CA,O=Test Bench"},
            says={"certificate_signature_weak": "Old Digest CA.*SHA1"}),
        Row("root-sha1", good("root-sha1", issuer=authority("CA of Old", sha1_root())), (),
            {"issuer": "CN=CA of Old,O=Test Bench"}),
        Row("key-and-ca-digest", good("key-and-ca-digest", issuer=sha1_ca, key="rsa1024"),
            ("certificate_key_weak", "certificate_signature_weak"),
            {"chain_errors": ["weak_key", "weak_signature"], "key_algorithm": "RSA", "key_bits": 1024},
            says={"certificate_key_weak": "key-and-ca-digest.*1024", "certificate_signature_weak":
                  "Old Digest CA.*SHA1"}),
    ]


def constraints():
    root = certs.trusted().root
    narrow = authority("Narrow CA", root, CA + KEYIDS + "nameConstraints=critical,permitted;DNS:inside.test\n")
    first = authority("First CA", root, CA.replace("TRUE", "TRUE,pathlen:0") + KEYIDS)
    second = authority("Second CA", first)
    mail_ca = authority("Mail CA", root, CA + KEYIDS + "extendedKeyUsage=emailProtection\n")
    server_ca = authority("Server CA", root, CA + KEYIDS + "extendedKeyUsage=serverAuth,clientAuth\n")
    no_ca = authority("No CA", root, CA.replace("TRUE", "FALSE") + KEYIDS)
    no_sign = authority("No Sign CA", root, CA.replace("keyCertSign,", "") + KEYIDS)
    untrusted = ("certificate_untrusted",)
    violation = {"chain_errors": ["constraint_violation"]}
    return [
        Row("client-purpose", good("client-purpose", purpose="clientAuth"), ("certificate_wrong_purpose",),
            {"chain_errors": ["wrong_purpose"]}, says={"certificate_wrong_purpose": "client-purpose"}),
        Row("any-purpose", good("any-purpose", purpose="anyExtendedKeyUsage", san="DNS:any-purpose.test,DNS:any.test"),
            (), {"sans": [{"type": "dns", "value": "any-purpose.test"}, {"type": "dns", "value": "any.test"}]},
            differs={"openssl.chain": RFC5280_ANY, "openssl.reason": RFC5280_ANY}),
        Row("ca-purpose", good("ca-purpose", issuer=mail_ca), ("certificate_wrong_purpose",),
            {"chain_errors": ["wrong_purpose"], "issuer": "CN=Mail CA,O=Test Bench"},
            says={"certificate_wrong_purpose": "Mail CA"}),
        Row("ca-server-purpose", good("ca-server-purpose", issuer=server_ca, purpose=None), (),
            {"issuer": "CN=Server CA,O=Test Bench"}),
        Row("outside", good("outside", issuer=narrow), untrusted,
            {**violation, "issuer": "CN=Narrow CA,O=Test Bench"}),
        Row("inside", good("inside", issuer=narrow, san="DNS:www.inside.test"), (),
            {"issuer": "CN=Narrow CA,O=Test Bench"}, host="www.inside.test"),
        Row("path-length", good("path-length", issuer=second), untrusted,
            {**violation, "issuer": "CN=Second CA,O=Test Bench"}),
        Row("not-a-ca", good("not-a-ca", issuer=no_ca), untrusted, {**violation, "issuer": "CN=No CA,O=Test Bench"}),
        Row("may-not-sign", good("may-not-sign", issuer=no_sign), untrusted,
            {**violation, "issuer": "CN=No Sign CA,O=Test Bench"}),
        Row("broken", good("broken").break_signature(), untrusted, {"chain_errors": ["bad_signature"]}),
        Row("ca-broken", good("ca-broken", issuer=authority("Broken CA", root).break_signature()), untrusted,
            {"chain_errors": ["bad_signature"], "issuer": "CN=Broken CA,O=Test Bench"}),
        Row("critical-unknown", good("critical-unknown", extra="1.2.3.4.5=critical,DER:05:00\n"), untrusted,
            {"chain_errors": ["other"]}),
        Row("must-staple", good("must-staple", extra="tlsfeature=status_request\n"),
            ("certificate_must_staple_unmet",), {"must_staple": True}),
        Row("three-scts", good("three-scts", extra="%s=DER:%s\n" % (SCT_LIST, scts(3).hex(":"))), (),
            {"sct_count": 3}),
    ]


def scts(count):
    """RFC 6962 section 3.3: version 1, log, time, no extensions, ECDSA with SHA-256 and some bytes."""
    one = struct.pack("!B32sQHBBH", 0, b"log" * 10 + b"!!", 1700000000000, 0, 4, 3, 8) + b"\x30\x06\x02\x01\1\x02\x01\1"
    items = (struct.pack("!H", len(one)) + one) * count
    return der.element(4, struct.pack("!H", len(items)) + items)


def several():
    stranger = certs.untrusted()
    return [
        Row("three-at-once", stranger.leaf("wrong.test", start=-90 * DAY, end=-DAY - 3600),
            ("certificate_expired", "certificate_untrusted", "certificate_hostname_mismatch"),
            {"chain_errors": ["expired", "unknown_issuer"], "expired": True, "days_remaining": -2,
             "hostname_match": False, "sans": sans("dns:wrong.test")}),
        expired_over_gap(),
        Row("five-at-once", issue("/CN=five-at-once.test", "email:x@y.test", stranger.intermediate,
                                  purpose="clientAuth", key="rsa1024", digest="sha1", start=3 * DAY, end=500 * DAY),
            ("certificate_not_yet_valid", "certificate_untrusted", "certificate_common_name_only",
             "certificate_wrong_purpose", "certificate_key_weak", "certificate_signature_weak",
             "certificate_validity_long"),
            {"chain_errors": ["not_yet_valid", "unknown_issuer", "weak_key", "weak_signature", "wrong_purpose"],
             "not_yet_valid": True, "days_remaining": 499, "hostname_match": False, "key_algorithm": "RSA",
             "key_bits": 1024, "signature_algorithm": "ECDSA-SHA1"}, differs={"openssl.name": RFC9525_CN}),
    ]


def expired_over_gap():
    """The leaf and its root, which nobody trusts, without the intermediate between them."""
    stranger = certs.untrusted()
    leaf = stranger.leaf("gap.test", start=-90 * DAY, end=-DAY - 3600)
    return Row("gap", leaf, ("certificate_expired", "certificate_untrusted", "certificate_chain_incomplete"),
               {"chain_errors": ["expired", "missing_intermediate", "unknown_issuer"], "expired": True,
                "days_remaining": -2}, chain=[leaf, stranger.root])


def rows():
    return keys() + names() + times() + chains() + strength() + constraints() + several()
