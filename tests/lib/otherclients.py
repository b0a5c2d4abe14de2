"""What other clients see of an IMAP server: Python's imaplib and `openssl s_client`."""
import imaplib
import re
import ssl
import subprocess


def _anyone():
    return ssl._create_unverified_context()


def _code(client):
    """The capabilities of the greeting's code as imaplib kept it."""
    found = re.search(rb"\[CAPABILITY ([^\]]*)\]", client.welcome)
    return found.group(1).decode().upper().split() if found else []


def imaplib_phases(address, port, tls):
    """The lists of capabilities, named and ordered as in capability_phases, in capitals."""
    if tls:
        client = imaplib.IMAP4_SSL(address, port, ssl_context=_anyone())
    else:
        client = imaplib.IMAP4(address, port)
    phases = {"greeting": _code(client), "command": list(client.capabilities), "starttls": []}
    if not tls and "STARTTLS" in client.capabilities:
        client.starttls(_anyone())
        phases["starttls"] = list(client.capabilities)
    client.logout()
    return phases


def openssl_session(address, port, tls):
    """Version, cipher suite and fingerprint of the certificate of a session that openssl makes."""
    command = ["openssl", "s_client", "-connect", "%s:%d" % (address, port)] + ([] if tls else ["-starttls", "imap"])
    # In our order: a server that follows its client picks the same for both.
    command += ["-ciphersuites", "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False)
    text = done.stdout.decode(errors="replace")
    version, suite = re.search(r"^New, (\S+), Cipher is (\S+)$", text, re.MULTILINE).groups()
    pem = re.search(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", text, re.DOTALL).group(0)
    printed = subprocess.run(["openssl", "x509", "-noout", "-fingerprint", "-sha256"], input=pem.encode(),
                             capture_output=True, check=True).stdout.decode()
    return version.replace("TLSv", "TLS "), suite, printed.partition("=")[2].strip().lower()
