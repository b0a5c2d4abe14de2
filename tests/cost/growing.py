"""growing.py: certificate chains that grow, for inputs.py. An input is what cost.c reads: records of a letter, four
octets of length, and DER. The sizes are those of the part that grows."""
import functools
import os
import struct

import certs
import der

CERTIFICATE_BYTES, MESSAGE_BYTES, CHAIN = 96 * 1024, 128 * 1024, 16
# What of a certificate is not the part that grows.
REST = 600

NAME_CONSTRAINTS = "2.5.29.30"
POLICIES, EXTENDED_KEY_USAGE = "2.5.29.32", "2.5.29.37"
AUTHORITY_INFO_ACCESS, TLS_FEATURE = "1.3.6.1.5.5.7.1.1", "1.3.6.1.5.5.7.1.24"
SCT_LIST = "1.3.6.1.4.1.11129.2.4.2"


@functools.lru_cache(maxsize=None)
def key():
    """A key's file and its SubjectPublicKeyInfo; all certificates have this one."""
    path = os.path.join(certs.directory(), "growing.key")
    certs.openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path)
    return path, certs.openssl("pkey", "-in", path, "-pubout", "-outform", "DER")


def sign(body):
    path = os.path.join(certs.directory(), "body")
    with open(path, "wb") as out:
        out.write(body)
    return certs.openssl("dgst", "-sha256", "-sign", key()[0], path)


def certificate(subject=None, issuer=None, extensions=(), public_key=None):
    """Signed with the one key; its own issuer where none is given."""
    subject = subject or der.name("Leaf")
    times = [der.element(0x18, when) for when in (b"20260101000000Z", b"20300101000000Z")]
    more = [der.element(0xa3, der.sequence(*extensions))] if extensions else []
    body = der.sequence(der.element(0xa0, der.integer(2)), der.integer(1), der.SIGNED_ECDSA, issuer or subject,
                        der.sequence(*times), subject, public_key or key()[1], *more)
    return der.sequence(body, der.SIGNED_ECDSA, der.bit_string(sign(body)))


def extension(oid, value):
    return der.sequence(der.identifier(oid), der.element(4, value))


def record(data, kind=b"c"):
    return kind + struct.pack("!I", len(data)) + data


def fill(make, size):
    """As many pieces as fit, at least one."""
    pieces, used = [make(0)], 0
    used = len(pieces[0])
    while used + len(make(len(pieces))) <= size:
        pieces.append(make(len(pieces)))
        used += len(pieces[-1])
    return pieces


def in_extension(oid, make, wrap=lambda pieces: der.sequence(*pieces)):
    return lambda size: record(certificate(extensions=[extension(oid, wrap(fill(make, size - REST)))]))


def dns_name(number):
    return der.element(0x82, b"%x" % number)


def relative(number, size=1):
    return der.element(0x31, attribute(number, size))


def attribute(number, size=1):
    return der.sequence(der.identifier(der.COMMON_NAME), der.element(12, b"x" * size))


def subject_of(make):
    """A name of half the size: it stands there twice, as subject and as issuer."""
    return lambda size: record(certificate(subject=make(size // 2 - REST // 2)))


def one_relative_name(size):
    return der.sequence(der.element(0x31, b"".join(fill(attribute, size))))


def numbered_oid(number):
    return "1.3.6.1.4.1.%d" % (number + 300)


def unknown_extensions(size):
    return record(certificate(extensions=fill(lambda number: extension(numbered_oid(number), b""), size - REST)))


def equal_extensions(size):
    return record(certificate(extensions=fill(lambda number: extension("1.2.3.4", b""), size - REST)))


def scts(pieces):
    inside = b"".join(pieces)[:65535]
    return der.element(4, struct.pack("!H", len(inside)) + inside)


def sct(number):
    body = b"\0" + b"\0" * 32 + struct.pack("!Q", number) + b"\0\0" + b"\4\3\0\0"
    return struct.pack("!H", len(body)) + body


def authority(extensions=()):
    return certificate(der.name("CA"), extensions=[der.is_ca(), *extensions])


def constrained(size):
    """Half of the message for the names of a leaf, half for the constraints that its issuer sets."""
    subtrees = fill(lambda number: der.sequence(dns_name(number)), size // 2 - REST)
    tree = der.sequence(der.element(0xa1, b"".join(subtrees)))
    names = extension(der.SUBJECT_ALT_NAME, der.sequence(*fill(lambda number: der.element(0x82, b"z.%x" % number),
                                                               size // 2 - REST)))
    return (record(certificate(issuer=der.name("CA"), extensions=[names])) +
            record(authority([extension(NAME_CONSTRAINTS, tree)])))


def few_constraints(size):
    """One constraint, and as many names as a certificate may hold."""
    tree = der.sequence(der.element(0xa1, der.sequence(der.element(0x82, b"invalid"))))
    names = extension(der.SUBJECT_ALT_NAME, der.sequence(*fill(dns_name, size - REST)))
    return (record(certificate(issuer=der.name("CA"), extensions=[names])) +
            record(authority([extension(NAME_CONSTRAINTS, tree)])))


def issued_with(extensions_of):
    """The leaf grows and a CA of its own stands behind it."""
    return lambda size: (record(certificate(issuer=der.name("CA"), extensions=extensions_of(size - REST))) +
                         record(authority()))


def below_root(extensions_of):
    """Claims to be issued by a trusted root."""
    root = der.sequence(der.element(0x31, der.sequence(der.identifier("2.5.4.10"), der.element(12, b"Test Bench"))),
                        der.element(0x31, der.sequence(der.identifier("2.5.4.3"), der.element(12, b"Good Root"))))
    return lambda size: record(certificate(issuer=root, extensions=extensions_of(size - REST)))


def same_names(count):
    """So many CAs of one name that each may have issued each."""
    leaf = certificate(issuer=der.name("CA"))
    return b"".join([record(leaf)] + [record(authority()) for _ in range(count - 1)])


def long_chain(count):
    names = [der.name("%d" % number) for number in range(count + 1)]
    return b"".join(record(certificate(names[at], names[at + 1], [der.is_ca()])) for at in range(count))


def big_names_in_chain(size):
    """All certificates of a chain with long names, of which each is the next one's issuer."""
    share = size // CHAIN // 2 - REST // 2
    names = [der.sequence(der.element(0x31, attribute(0, 5)), relative(at, max(1, share))) for at in range(CHAIN + 1)]
    return b"".join(record(certificate(names[at], names[at + 1], [der.is_ca()])) for at in range(CHAIN))


def modulus(size):
    number = (1 << 8 * max(1, size - REST)) - 1
    return record(certificate(public_key=der.rsa_key(number, 65537)))


def exponent(size):
    number = (1 << 8 * max(1, size - REST)) - 1
    return record(certificate(public_key=der.rsa_key((1 << 2048) - 1, number)))


def access(number):
    return der.sequence(der.identifier("1.2.3"), der.element(0x86, b""))


def stapled(inside):
    """An answer about the leaf that its own key signed."""
    def generate(size):
        leaf, ca = certificate(issuer=der.name("CA")), authority()
        responses, more = inside(size - REST)
        body = der.sequence(der.element(0xa1, der.name("CA")), der.element(0x18, b"20261101000000Z"),
                            der.sequence(*responses), *more)
        basic = der.sequence(body, der.SIGNED_ECDSA, der.bit_string(sign(body)))
        answer = der.sequence(der.element(10, b"\0"), der.element(0xa0, der.sequence(
            der.identifier("1.3.6.1.5.5.7.48.1.1"), der.element(4, basic))))
        return record(leaf) + record(ca) + record(answer, b"o")
    return generate


def single_response(number):
    sha1 = der.sequence(der.identifier("1.3.14.3.2.26"))
    return der.sequence(der.sequence(sha1, der.element(4, b""), der.element(4, b""), der.integer(number)),
                        der.element(0x80, b""), der.element(0x18, b"20261101000000Z"))


def many_responses(size):
    return fill(single_response, size), []


def many_response_extensions(size):
    extensions = fill(lambda number: extension(numbered_oid(number), b""), size)
    return [single_response(1)], [der.element(0xa1, der.sequence(*extensions))]


def names_extension(size):
    return [extension(der.SUBJECT_ALT_NAME, der.sequence(*fill(dns_name, size)))]


def purposes(size):
    return [extension(EXTENDED_KEY_USAGE, der.sequence(*fill(lambda number: der.identifier("1.2.3"), size)))]


# (parser, what grows, its bound, what makes an input of this size)
KINDS = [("certificates",) + row for row in (
    ("DNS names", CERTIFICATE_BYTES, in_extension(der.SUBJECT_ALT_NAME, dns_name)),
    ("other names", CERTIFICATE_BYTES, in_extension(
        der.SUBJECT_ALT_NAME, lambda number: der.element(0xa0, der.identifier("1.3.6.1.5.5.7.8.7") +
                                                         der.element(0xa0, der.element(22, b"x"))))),
    ("one long DNS name", CERTIFICATE_BYTES, lambda size: record(certificate(extensions=[extension(
        der.SUBJECT_ALT_NAME, der.sequence(der.element(0x82, b"x" * (size - REST))))]))),
    ("names below a CA", CERTIFICATE_BYTES, issued_with(names_extension)),
    ("names below a trusted root", CERTIFICATE_BYTES, below_root(names_extension)),
    ("names below one constraint", CERTIFICATE_BYTES, few_constraints),
    ("names and constraints", MESSAGE_BYTES, constrained),
    ("relative names", CERTIFICATE_BYTES, subject_of(lambda size: der.sequence(*fill(relative, size)))),
    ("attributes of one relative name", CERTIFICATE_BYTES, subject_of(one_relative_name)),
    ("one long relative name", CERTIFICATE_BYTES, subject_of(lambda size: der.sequence(relative(0, max(1, size))))),
    ("unknown extensions", CERTIFICATE_BYTES, unknown_extensions),
    ("equal extensions", CERTIFICATE_BYTES, equal_extensions),
    ("purposes", CERTIFICATE_BYTES, lambda size: record(certificate(extensions=purposes(size - REST)))),
    ("purposes below a CA", CERTIFICATE_BYTES, issued_with(purposes)),
    ("purposes below a trusted root", CERTIFICATE_BYTES, below_root(purposes)),
    ("policies", CERTIFICATE_BYTES, in_extension(POLICIES, lambda number: der.sequence(der.identifier("1.2.3")))),
    ("places of issuers", CERTIFICATE_BYTES, in_extension(AUTHORITY_INFO_ACCESS, access)),
    ("TLS features", CERTIFICATE_BYTES, in_extension(TLS_FEATURE, der.integer)),
    ("certificate timestamps", 65535, in_extension(SCT_LIST, sct, scts)),
    ("modulus", CERTIFICATE_BYTES, modulus),
    ("exponent", CERTIFICATE_BYTES, exponent),
    ("stapled answers", MESSAGE_BYTES, stapled(many_responses)),
    ("extensions of a stapled answer", MESSAGE_BYTES, stapled(many_response_extensions)),
    ("certificates of one name", CHAIN, same_names),
    ("certificates of one chain", CHAIN, long_chain),
    ("long names of a chain", MESSAGE_BYTES, big_names_in_chain),
)]
