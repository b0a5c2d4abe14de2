"""The rogue TLS server (rogue.c) as a process; its plays are described there."""
import os
import subprocess
import tempfile

import certs
import der
import net
import service


def program():
    """The server's path: IMAP_TESTD_ROGUE, else beside the program under test."""
    path = os.environ.get("IMAP_TESTD_ROGUE") or os.path.join(os.path.dirname(service.binary()), "tests", "rogue")
    if not os.access(path, os.X_OK):
        raise RuntimeError("no rogue server at %s; build the tests or name it in IMAP_TESTD_ROGUE" % path)
    return path


def chain(certificates):
    """A chain file for the step `chain`; it goes with the directory of the certificates."""
    handle, path = tempfile.mkstemp(suffix=".chain", dir=certs.directory())
    os.close(handle)
    return der.write_chain(path, certificates)


def public_key(certificate):
    """The SubjectPublicKeyInfo of a certs.Certificate, to be put into a certificate written by hand."""
    return certs.openssl("pkey", "-in", certificate.key_file, "-pubout", "-outform", "DER")


class Rogue:
    """Listens from construction on; use as a context manager or call stop(). `key_file` signs the handshakes."""

    def __init__(self, port, key_file, *plays, address=None):
        self.address = address or net.fresh_address()
        self.process = subprocess.Popen([program(), self.address, str(port), key_file, *plays],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        if self.process.stdout.readline() != b"ready\n":
            self.stop()
            raise RuntimeError("the rogue server did not start")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
