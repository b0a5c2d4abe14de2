"""Certificates for the tests, made with the openssl command line in a temporary directory of this process."""
import atexit
import datetime
import functools
import hashlib
import os
import shutil
import ssl
import subprocess
import tempfile
import warnings

DAY = 86400

# `openssl x509` of version 3.0 cannot set the start of validity; `openssl ca` can.
CA_CONFIG = """
[ca]
default_ca = here
[here]
database = {dir}/index.txt
new_certs_dir = {dir}
rand_serial = yes
unique_subject = no
default_md = sha256
policy = any
[any]
organizationName = optional
commonName = optional
[req]
distinguished_name = dn
[dn]
"""

ROOT_EXTENSIONS = """basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign,cRLSign
subjectKeyIdentifier=hash
"""

INTERMEDIATE_EXTENSIONS = """basicConstraints=critical,CA:TRUE,pathlen:0
keyUsage=critical,keyCertSign,cRLSign
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
"""

LEAF_EXTENSIONS = """basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature,keyEncipherment
subjectKeyIdentifier=hash
"""


def openssl(*arguments, stdin=None):
    """Standard output of the openssl command; its complaint becomes the exception's text."""
    done = subprocess.run(["openssl", *arguments], input=stdin, capture_output=True, check=False)
    if done.returncode != 0:
        raise RuntimeError("openssl %s: %s" % (" ".join(arguments), done.stderr.decode(errors="replace")))
    return done.stdout


@functools.lru_cache(maxsize=None)
def directory():
    # Other users read it too: a Dovecot started by root gives up its rights.
    path = tempfile.mkdtemp(prefix="imap-test-certs-")
    os.chmod(path, 0o755)
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    with open(os.path.join(path, "ca.cnf"), "w", encoding="ascii") as config:
        config.write(CA_CONFIG.format(dir=path))
    open(os.path.join(path, "index.txt"), "w", encoding="ascii").close()
    return path


def _key(path, kind):
    option = {
        "dsa1024": [],
        "ec": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
        "rsa": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        "rsa1024": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"],
        "rsapss": ["-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2560"],
        "p384": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
        "p521": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"],
        "ed25519": ["-algorithm", "ED25519"],
        "ed448": ["-algorithm", "ED448"],
    }[kind]
    if kind == "dsa1024":
        parameters = openssl("genpkey", "-genparam", "-algorithm", "DSA", "-pkeyopt", "dsa_paramgen_bits:1024")
        openssl("genpkey", "-paramfile", "/dev/stdin", "-out", path, stdin=parameters)
    elif kind.startswith("rsa"):
        # They take long to make: all of a kind are one. No certificate of a chain may rely on its key being another.
        shutil.copyfile(_shared_key(tuple(option)), path)
    else:
        openssl("genpkey", *option, "-out", path)
    os.chmod(path, 0o644)


@functools.lru_cache(maxsize=None)
def _shared_key(option):
    path = os.path.join(directory(), option[-1].replace(":", "-") + option[1] + ".key")
    openssl("genpkey", *option, "-out", path)
    return path


def bundle(certificates, path):
    """Writes them into one PEM file; returns its path."""
    with open(path, "w", encoding="ascii") as out:
        out.write("".join(certificate.pem() for certificate in certificates))
    return path


def _asn1_time(offset):
    when = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=offset)
    return when.strftime("%Y%m%d%H%M%SZ")


class Certificate:
    """A key, its certificate, and who issued it (None: itself)."""

    _count = 0

    def __init__(self, subject, extensions, issuer=None, start=-DAY, end=90 * DAY, key="ec", digest="sha256"):
        Certificate._count += 1
        self.name = "%03d" % Certificate._count
        self.issuer = issuer
        self.key_file = self._path("key")
        self.file = self._path("pem")
        _key(self.key_file, key)
        with open(self._path("ext"), "w", encoding="utf-8") as out:
            out.write(extensions)
        config = os.path.join(directory(), "ca.cnf")
        openssl("req", "-new", "-config", config, "-key", self.key_file, "-subj", subject, "-utf8", "-out",
                self._path("csr"))
        signer = ["-selfsign", "-keyfile", self.key_file]
        if issuer:
            signer = ["-cert", issuer.file, "-keyfile", issuer.key_file]
        if key not in ("ed25519", "ed448") or issuer:
            signer += ["-md", digest]
        openssl("ca", "-config", config, "-batch", "-notext", "-preserveDN", "-utf8", *signer, "-in",
                self._path("csr"), "-startdate", _asn1_time(start), "-enddate", _asn1_time(end), "-extfile",
                self._path("ext"), "-out", self.file)

    def _path(self, suffix):
        return os.path.join(directory(), "%s.%s" % (self.name, suffix))

    def pem(self):
        with open(self.file, encoding="ascii") as stored:
            return stored.read()

    def der(self):
        return ssl.PEM_cert_to_DER_cert(self.pem())

    def break_signature(self):
        """Flips the last bit, which belongs to the signature. Returns the certificate."""
        der = self.der()
        with open(self.file, "w", encoding="ascii") as out:
            out.write(ssl.DER_cert_to_PEM_cert(der[:-1] + bytes([der[-1] ^ 1])))
        return self

    def issuers(self):
        """The certificates above this one, the root last."""
        above = []
        here = self.issuer
        while here:
            above.append(here)
            here = here.issuer
        return above

    def chain(self, kind="full"):
        """What a server is given: `full` (without the root), `alone`, `with_root`, `disordered`."""
        above = self.issuers()
        return {
            "full": [self] + above[:-1],
            "alone": [self],
            "with_root": [self] + above,
            "disordered": [self] + above[::-1],
        }[kind]

    def chain_file(self, kind="full"):
        """The same as a PEM file; `kind` may also be a list of certificates."""
        if isinstance(kind, str):
            return bundle(self.chain(kind), self._path(kind + ".chain.pem"))
        # Each list has a file of its own: a server may be reading that of another one.
        label = hashlib.sha256("".join(member.name for member in kind).encode()).hexdigest()[:16]
        return bundle(kind, self._path(label + ".chain.pem"))

    def context(self, chain="full", ciphers=None, minimum=None, maximum=None):
        """A server-side context of Python's ssl module."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if ciphers:
            context.set_ciphers(ciphers)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # old versions are what is to be played
            if minimum:
                context.minimum_version = minimum
            if maximum:
                context.maximum_version = maximum
        context.load_cert_chain(self.chain_file(chain), self.key_file)
        return context

    def x509(self, *options):
        """What `openssl x509` prints about the certificate, one string."""
        return openssl("x509", "-in", self.file, "-noout", "-nameopt", "RFC2253,utf8,-esc_msb",
                       *options).decode().strip()


class Authority:
    """A root and an intermediate below it."""

    def __init__(self, label, intermediate_start=-100 * DAY, intermediate_end=1000 * DAY, root=None):
        self.root = root or Certificate("/O=Test Bench/CN=%s Root" % label, ROOT_EXTENSIONS, start=-200 * DAY,
                                        end=3000 * DAY)
        self.intermediate = Certificate("/O=Test Bench/CN=%s Issuing CA" % label, INTERMEDIATE_EXTENSIONS,
                                        issuer=self.root, start=intermediate_start, end=intermediate_end)

    def leaf(self, *names, cn=None, ips=(), purpose="serverAuth", extra="", **options):
        """A server certificate for these names, all of them in the SAN; options as of Certificate."""
        return Certificate(_leaf_subject(names, cn), _leaf_extensions(names, ips, purpose) +
                           "authorityKeyIdentifier=keyid\n" + extra,
                           issuer=options.pop("issuer", self.intermediate), **options)


def _leaf_subject(names, cn):
    return "/CN=%s" % (cn or names[0])


def _leaf_extensions(names, ips, purpose):
    sans = ["DNS:%s" % name for name in names] + ["IP:%s" % ip for ip in ips]
    text = LEAF_EXTENSIONS
    if purpose:
        text += "extendedKeyUsage=%s\n" % purpose
    if sans:
        text += "subjectAltName=%s\n" % ",".join(sans)
    return text


def self_signed(*names, cn=None, ips=(), **options):
    return Certificate(_leaf_subject(names, cn), _leaf_extensions(names, ips, "serverAuth"), **options)


@functools.lru_cache(maxsize=None)
def trusted():
    """The authority whose root goes into the service's trust file."""
    return Authority("Good")


@functools.lru_cache(maxsize=None)
def untrusted():
    """An authority that nobody trusts."""
    return Authority("Unknown")


@functools.lru_cache(maxsize=None)
def with_expired_intermediate():
    """The trusted root, but an intermediate whose time is over."""
    return Authority("Late", intermediate_start=-100 * DAY, intermediate_end=-DAY, root=trusted().root)


def trust_file():
    return trusted().root.file
