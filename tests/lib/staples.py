"""OCSP responses for the tests (RFC 6960), made by `openssl ocsp`.

One out of its time is made like the others, then dated back and signed anew."""
import datetime
import os

import certs
import der

VALID = "V\t491231235959Z\t\t%s\tunknown\t/CN=x\n"
REVOKED = "R\t491231235959Z\t250101000000Z,keyCompromise\t%s\tunknown\t/CN=x\n"

OCSP_SIGNING = "1.3.6.1.5.5.7.3.9"

# responseStatus tryLater and nothing else
TRY_LATER = bytes.fromhex("30030a0103")


def store(data):
    path = os.path.join(certs.directory(), "staple-%s.der" % os.urandom(6).hex())
    with open(path, "wb") as out:
        out.write(data)
    return path


def response(leaf, status=VALID, signer=None, extra=()):
    """Path of a response on `leaf` that `signer` signs, else the leaf's issuer; status "" leaves it unknown."""
    signer = signer or leaf.issuer
    path = store(b"")
    index = path + ".index"
    with open(index, "w", encoding="ascii") as out:
        out.write(status and status % leaf.x509("-serial").partition("=")[2])
    certs.openssl("ocsp", "-index", index, "-CA", leaf.issuer.file, "-rsigner", signer.file, "-rkey",
                  signer.key_file, "-issuer", leaf.issuer.file, "-cert", leaf.file, "-noverify", "-ndays", "7",
                  "-respout", path, *extra)
    return path


def by_helper_key(leaf, key, signature):
    """A response that a helper of the leaf's issuer, with this public key, is said to have signed."""
    with open(response(leaf, extra=["-resp_no_certs"]), "rb") as stored:
        outer = members(stored.read())
    oid, octets = members(members(outer[1])[0])
    body = members(members(octets, whole=True)[0])[0]
    issuer = certs.openssl("x509", "-in", leaf.issuer.file, "-outform", "DER")
    # Version, serial number, algorithm, issuer, validity, subject: the response names its signer by the latter.
    name = members(members(issuer)[0])[5]
    draft = members(der.certificate(name, name, key, [der.purpose(OCSP_SIGNING)], 7))
    helper = der.sequence(draft[0], draft[1], der.bit_string(_sign(draft[0], leaf.issuer)))
    basic = der.sequence(body, der.SIGNED_RSA, der.bit_string(signature), der.element(0xa0, der.sequence(helper)))
    return store(der.sequence(outer[0], der.element(0xa0, der.sequence(oid, der.element(4, basic)))))


def out_of_time(leaf, days=-30):
    """The same response as if it had been made so many days from now."""
    with open(response(leaf, extra=["-resp_no_certs"]), "rb") as stored:
        outer = members(stored.read())
    oid, octets = members(members(outer[1])[0])
    body, algorithm, _ = members(members(octets, whole=True)[0])
    stamps = [datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=at) for at in (days, days + 7)]
    # The only times of today are producedAt and thisUpdate, the only one a week ahead is nextUpdate.
    for found, stamp in zip(_times(body), (stamps[0], stamps[0], stamps[1])):
        body = body[:found] + stamp.strftime("%Y%m%d%H%M%SZ").encode() + body[found + 15:]
    basic = der.sequence(body, algorithm, der.bit_string(_sign(body, leaf.issuer)))
    return store(der.sequence(outer[0], der.element(0xa0, der.sequence(oid, der.element(4, basic)))))


def _times(body):
    """Where the contents of the GeneralizedTime elements begin."""
    mark, at, found = b"\x18\x0f20", 0, []
    while (at := body.find(mark, at)) >= 0:
        found.append(at + 2)
        at += 1
    return found


def _sign(body, signer):
    path = store(body)
    return certs.openssl("dgst", "-sha256", "-sign", signer.key_file, path)


def members(element, whole=False):
    """The elements inside an element, each with tag and length; with `whole` what follows its header as one."""
    head = 2 if element[1] < 0x80 else 2 + (element[1] & 0x7f)
    inside, found = element[head:], []
    if whole:
        return [inside]
    while inside:
        size = inside[1] if inside[1] < 0x80 else int.from_bytes(inside[2:2 + (inside[1] & 0x7f)], "big")
        size += 2 if inside[1] < 0x80 else 2 + (inside[1] & 0x7f)
        found.append(inside[:size])
        inside = inside[size:]
    return found
