#!/usr/bin/python3
"""Makes the seeds of fuzz_cert and fuzz_hostmatch, and the root that fuzz_cert trusts. They are committed; run this
only to make others (and set the times in fuzz_cert.c to suit)."""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))

import certrows
import certs

DAY = certs.DAY


def der(certificate):
    return certs.openssl("x509", "-in", certificate.file, "-outform", "DER")


def record(kind, data):
    return kind.encode() + len(data).to_bytes(2, "big") + data


def ocsp(leaf, status, *options):
    """A response for the leaf by its issuer."""
    folder = certs.directory()
    issuer = leaf.issuer
    index, request, response = (os.path.join(folder, name) for name in ("ocsp.txt", "ocsp.req", "ocsp.der"))
    serial = certs.openssl("x509", "-in", leaf.file, "-noout", "-serial").decode().strip().partition("=")[2]
    with open(index, "w", encoding="ascii") as out:
        revoked = "261101000000Z" if status == "R" else ""
        out.write("%s\t360101000000Z\t%s\t%s\tunknown\t/CN=x\n" % (status, revoked, serial))
    certs.openssl("ocsp", "-issuer", issuer.file, "-cert", leaf.file, "-reqout", request, "-no_nonce")
    subprocess.run(["openssl", "ocsp", "-index", index, "-CA", issuer.file, "-rsigner", issuer.file, "-rkey",
                    issuer.key_file, "-reqin", request, "-respout", response, "-ndays", "3000", *options], check=True,
                   capture_output=True)
    with open(response, "rb") as data:
        return data.read()


def write(folder, name, data):
    os.makedirs(os.path.join(HERE, "corpus", folder), exist_ok=True)
    with open(os.path.join(HERE, "corpus", folder, name), "wb") as out:
        out.write(data)


def main():
    good, unknown = certs.trusted(), certs.untrusted()
    long_name = "/CN=" + "/OU=".join(["good.test"] + ["%056d" % i for i in range(120)])
    kinds = {
        "good": good.leaf("good.test", "*.wild.test", ips=["192.0.2.1", "2001:db8::1"], end=2000 * DAY),
        "rsa": good.leaf("good.test", key="rsa", end=2000 * DAY),
        "weak": good.leaf("good.test", key="rsa1024", digest="sha1", end=2000 * DAY),
        "ed25519": good.leaf("good.test", key="ed25519", end=2000 * DAY),
        "ed448": good.leaf("good.test", key="ed448", end=2000 * DAY),
        "dsa": good.leaf("good.test", key="dsa1024", end=2000 * DAY),
        "selfrsa": certs.self_signed("good.test", key="rsa", end=2000 * DAY),
        "scts": good.leaf("good.test", end=2000 * DAY,
                          extra="%s=DER:%s\n" % (certrows.SCT_LIST, certrows.scts(3).hex(":"))),
        "manynames": good.leaf(*["n%d.test" % number for number in range(510)], "good.test", end=2000 * DAY),
        "expired": good.leaf("good.test", start=-90 * DAY, end=-3 * DAY),
        "self": certs.self_signed("good.test", end=2000 * DAY),
        "commonname": good.leaf(cn="good.test", end=2000 * DAY),
        "client": good.leaf("good.test", purpose="clientAuth", end=2000 * DAY),
        "staple": good.leaf("good.test", extra="tlsfeature=status_request\n", end=2000 * DAY),
        "odd": good.leaf("good.test", end=2000 * DAY, extra="issuerAltName=email:a@b.test\n"
                         "authorityInfoAccess=OCSP;URI:http://o.test/,caIssuers;URI:http://i.test/ca.der\n"),
        "unknown": unknown.leaf("good.test", end=2000 * DAY),
        "longname": certs.Certificate(long_name, certs.LEAF_EXTENSIONS, issuer=good.intermediate, end=2000 * DAY),
        "othernames": certs.Certificate("/CN=good.test", certs.LEAF_EXTENSIONS + "subjectAltName=email:a@b.test,"
                                        "URI:imap://good.test/,otherName:1.3.6.1.5.5.7.8.7;IA5STRING:_imaps.good.test,"
                                        "otherName:1.2.3.4;UTF8:x,RID:1.2.3.4,dirName:dir\n[dir]\nCN=inside\n",
                                        issuer=good.intermediate, end=2000 * DAY),
    }
    for name, leaf in kinds.items():
        above = [record("c", der(issuer)) for issuer in leaf.issuers()]
        first = record("c", der(leaf))
        write("cert", name, b"\x00" + first + b"".join(above[:1]))
        write("cert", name + "-alone", b"\x01" + first)
        write("cert", name + "-disordered", b"\x06" + first + b"".join(reversed(above)))
    leaf = kinds["good"]
    chain = record("c", der(leaf)) + record("c", der(good.intermediate))
    for status in "VR":
        write("cert", "ocsp-" + status, b"\x00" + chain + record("o", ocsp(leaf, status)))
    write("cert", "ocsp-other", b"\x00" + chain + record("o", ocsp(kinds["rsa"], "V")))
    write("cert", "ocsp-garbage", b"\x00" + chain + record("o", b"\x30\x03\x0a\x01\x01"))
    write("cert", "late", b"\x08" + chain)
    write("cert", "early", b"\x04" + chain)
    write("cert", "not-der", b"\x00" + record("c", b"nothing") + chain)
    write("cert", "many", b"\x00" + record("c", der(leaf)) + 18 * record("c", der(good.intermediate)))
    with open(os.path.join(HERE, "root.pem"), "w", encoding="ascii") as out:
        out.write(good.root.pem())
    for number, (host, name) in enumerate([
            ("imap.example.com", b"imap.example.com"), ("imap.example.com", b"*.example.com"),
            ("example.com", b"*.com"), ("a.b.c", b"*.b.c"), ("a.b", b"*"), ("a.b", b"*."), ("a.b.c", b"a.*.c"),
            ("a.b", b"a.b\x00"), ("a.b", b"A.B"), ("_x.a", b"_X.a"), ("a.b.c", b"a..c")]):
        write("hostmatch", "%02d" % number, host.encode() + b"\x00" + name)


main()
