"""What other tools say about a certificate: openssl and GnuTLS's certtool. Each gives two verdicts, on the chain and
on the name; openssl also the reasons, in the words of certificate.chain_errors."""
import re
import subprocess


# Errors of `openssl verify` and what they may be called in a report.
REASONS = {
    7: {"bad_signature"},
    9: {"not_yet_valid"},
    10: {"expired"},
    18: {"self_signed"},
    19: {"unknown_issuer"},
    20: {"missing_intermediate", "unknown_issuer"},
    21: {"missing_intermediate", "unknown_issuer"},
    24: {"constraint_violation"},
    25: {"constraint_violation"},
    26: {"wrong_purpose"},
    32: {"constraint_violation"},
    34: {"other"},
    47: {"constraint_violation"},
    48: {"constraint_violation"},
    66: {"weak_key"},
    67: {"weak_key"},
    68: {"weak_signature"},
    79: {"constraint_violation"},
}

SERVER_AUTH = "1.3.6.1.5.5.7.3.1"


class Verdict:
    """`chain`, `name`: accepted or not. `reasons`: sets of words, one for each error found."""

    def __init__(self, chain, name, reasons=(), text=""):
        self.chain, self.name, self.reasons, self.text = chain, name, reasons, text


def _run(*command):
    done = subprocess.run(command, capture_output=True, check=False)
    return done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")


def is_ip(host):
    return ":" in host or bool(re.fullmatch(r"[0-9.]+", host))


def openssl(leaf, chain, trust_file, host):
    """Security level 2: 112 bits, what RFC 9325 section 4.5 asks for."""
    rest = ["-untrusted", leaf.chain_file(chain[1:])] if len(chain) > 1 else []
    accepted, text = _run("openssl", "verify", "-purpose", "sslserver", "-auth_level", "2", "-no-CApath",
                          "-no-CAstore", "-CAfile", trust_file, *rest, leaf.file)
    errors = sorted({(int(number), int(depth)) for number, depth in
                     re.findall(r"^error (\d+) at (\d+)", text, re.MULTILINE)})
    _, said = _run("openssl", "x509", "-in", leaf.file, "-noout", "-checkip" if is_ip(host) else "-checkhost", host)
    return Verdict(accepted, "does match" in said, [reason(*error) for error in errors], text + said)


def reason(number, depth):
    """A CA that may not issue is also "unsuitable" to openssl."""
    words = REASONS.get(number, {"error %d" % number})
    return words | {"constraint_violation"} if number == 26 and depth > 0 else words


def gnutls(leaf, chain, trust_file, host):
    infile = leaf.chain_file(chain)
    command = ["certtool", "--verify", "--load-ca-certificate", trust_file, "--infile", infile, "--verify-profile",
               "medium", "--verify-purpose", SERVER_AUTH]
    accepted, text = _run(*command)
    # A tool that takes name and chain at once: the name is what makes a difference, or stands in the text.
    _, said = _run(*command, "--verify-hostname", host)
    return Verdict(accepted, "name in the certificate does not match" not in said, (), text + said)


def gnutls_live(address, port, trust_file, host):
    """Whether gnutls-cli takes the server as it is, its OCSP staple included."""
    done = subprocess.run(["gnutls-cli", "--x509cafile", trust_file, "--port", str(port), "--sni-hostname", host,
                           "--verify-hostname", host, address], stdin=subprocess.DEVNULL, capture_output=True,
                          check=False, timeout=30)
    if b"Status: " not in done.stdout:
        raise RuntimeError("gnutls-cli: %r" % done)
    return b"Status: The certificate is trusted" in done.stdout
