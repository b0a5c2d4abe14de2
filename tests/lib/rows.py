"""What a row of the tables of certificates and TLS set-ups is: a server to play and the report it must lead to."""
import dataclasses

import certs

DAY = certs.DAY

# A row tells only what is different from these.
CERTIFICATE = {
    "chain_errors": [], "hostname_match": True, "self_signed": False, "expired": False, "not_yet_valid": False,
    "days_remaining": 89, "key_algorithm": "ECDSA", "key_bits": 256, "signature_algorithm": "ECDSA-SHA256",
    "must_staple": False, "ocsp_stapling": "none", "sct_count": 0,
}
TLS = {
    "version": "TLS 1.3", "version_weak": False, "cipher_suite": "TLS_AES_128_GCM_SHA256", "cipher_weak": False,
    "key_exchange": "x25519", "forward_secrecy": True, "alpn": None,
}

# Of each finding on TLS and certificates; what is worse than a notice changes the verdict.
SEVERITIES = {
    "critical": {
        "starttls_failed", "tls_handshake_failed", "tls_version_weak", "cipher_weak", "key_exchange_weak",
        "certificate_expired", "certificate_not_yet_valid", "certificate_chain_expired",
        "certificate_chain_incomplete", "certificate_untrusted", "certificate_self_signed", "certificate_key_weak",
        "certificate_signature_weak", "certificate_wrong_purpose", "certificate_revoked",
        "certificate_hostname_mismatch", "certificate_common_name_only", "certificate_must_staple_unmet",
    },
    "warning": {"client_certificate_required", "no_forward_secrecy", "certificate_expires_soon",
                "ocsp_staple_invalid", "no_greeting"},
    "notice": {"alpn_refused", "tls_version_old_only", "certificate_chain_disordered",
               "certificates_differ_between_ports"},
    "info": {"certificate_chain_surplus", "certificate_validity_long"},
}


def severity(finding):
    return next(name for name, members in SEVERITIES.items() if finding in members)


@dataclasses.dataclass
class Row:
    """One row.

    leaf         the certificate, of certs.py; None: the server shows none
    chain        how it is sent: a kind of Certificate.chain() or a list
    certificate  fields of the report that are not as usual; None: the report has no certificate
    tls          the same for tls
    findings     all ids that the report has, no others
    says         finding -> regular expression for its title, detail and remedy
    severities   of findings whose severity is not the usual one
    port         fields of ports[] besides
    report       fields of the report itself
    differs      "tool.verdict" -> the clause that makes the tool's verdict differ from ours
    play         None: Dovecot, on both ports; else the steps (imapd.py) of the plain and the TLS port
    host         tested name; usually the row's own under .test
    other        the certificate of the TLS port where it is another one, and its fields, other_fields
    live         whether the second tools are to test the server itself, for its OCSP staple
    greets       False: the server says nothing after the handshake
    """

    name: str
    leaf: object
    findings: tuple = ()
    certificate: dict = dataclasses.field(default_factory=dict)
    tls: dict = dataclasses.field(default_factory=dict)
    says: dict = dataclasses.field(default_factory=dict)
    severities: dict = dataclasses.field(default_factory=dict)
    port: dict = dataclasses.field(default_factory=dict)
    report: dict = dataclasses.field(default_factory=dict)
    differs: dict = dataclasses.field(default_factory=dict)
    chain: object = "full"
    host: str = ""
    play: object = None
    other: object = None
    other_fields: dict = dataclasses.field(default_factory=dict)
    live: bool = False
    greets: bool = True

    def __post_init__(self):
        self.host = self.host or self.name + ".test"

    def members(self):
        return self.leaf.chain(self.chain) if isinstance(self.chain, str) else self.chain

    def expected_certificate(self):
        return None if self.certificate is None else {**CERTIFICATE, **self.certificate}

    def expected_tls(self):
        return None if self.tls is None else {**TLS, **self.tls}

    def outcome(self):
        """Everything expected, as a text: no two rows share it."""
        sent = len(self.members()) if self.leaf else 0
        return repr([_sorted(self.expected_certificate()), _sorted(self.expected_tls()), _sorted(self.port),
                     _sorted(self.report), sorted(self.findings), _sorted(self.severities), sent])


def _sorted(fields):
    return None if fields is None else sorted(fields.items())


def sans(*values):
    """The field sans: "dns:name" and so on."""
    return [dict(zip(("type", "value"), value.split(":", 1))) for value in values]
