"""Certificates written byte by byte (X.690, RFC 5280): what no tool would issue. Their signatures never verify."""
import datetime
import ssl
import struct

COMMON_NAME = "2.5.4.3"
EXTENDED_KEY_USAGE = "2.5.29.37"
SUBJECT_ALT_NAME = "2.5.29.17"
BASIC_CONSTRAINTS = "2.5.29.19"


def element(tag, content):
    length = len(content)
    if length < 128:
        return bytes([tag, length]) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + content


def sequence(*members):
    return element(0x30, b"".join(members))


def integer(number):
    return element(2, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def identifier(dotted):
    first, second, *rest = [int(part) for part in dotted.split(".")]
    content = bytes([first * 40 + second])
    for value in rest:
        septets = [value & 127]
        while value := value >> 7:
            septets.append(value & 127 | 128)
        content += bytes(reversed(septets))
    return element(6, content)


def bit_string(content):
    return element(3, b"\0" + content)


def name(*values):
    """A distinguished name of so many common names."""
    return sequence(*[element(0x31, sequence(identifier(COMMON_NAME), element(12, value.encode())))
                      for value in values])


def rsa_key(modulus, exponent):
    return sequence(sequence(identifier("1.2.840.113549.1.1.1"), element(5, b"")),
                    bit_string(sequence(integer(modulus), integer(exponent))))


def dns_names(*names):
    """A subjectAltName extension."""
    general = sequence(*[element(0x82, dns.encode()) for dns in names])
    return sequence(identifier(SUBJECT_ALT_NAME), element(4, general))


def is_ca():
    return sequence(identifier(BASIC_CONSTRAINTS), element(1, b"\xff"), element(4, sequence(element(1, b"\xff"))))


def purpose(dotted):
    """An extKeyUsage extension."""
    return sequence(identifier(EXTENDED_KEY_USAGE), element(4, sequence(identifier(dotted))))


SIGNED_ECDSA = sequence(identifier("1.2.840.10045.4.3.2"))
SIGNED_RSA = sequence(identifier("1.2.840.113549.1.1.11"), element(5, b""))


def certificate(subject, issuer, key, extensions=(), serial=1, signed=SIGNED_ECDSA, signature=None):
    """Version 3, valid from yesterday for two months; `key` is a SubjectPublicKeyInfo."""
    now = datetime.datetime.now(datetime.timezone.utc)
    validity = [element(0x17, (now + datetime.timedelta(days=days)).strftime("%y%m%d%H%M%SZ").encode())
                for days in (-1, 60)]
    more = [element(0xa3, sequence(*extensions))] if extensions else []
    body = sequence(element(0xa0, integer(2)), integer(serial), signed, issuer, sequence(*validity), subject, key,
                    *more)
    return sequence(body, signed, bit_string(signature or sequence(integer(12345), integer(67890))))


def from_pem(text):
    """All certificates of a PEM file."""
    end = "-----END CERTIFICATE-----"
    return [ssl.PEM_cert_to_DER_cert(part.strip() + end) for part in text.split(end)[:-1]]


def write_chain(path, certificates):
    """The file format of the rogue server: each certificate behind its length."""
    with open(path, "wb") as out:
        for der in certificates:
            out.write(struct.pack("!I", len(der)) + der)
    return path
