"""The whole way with a real server: what the service reports about Dovecot against what other clients see."""
import datetime
import imaplib
import os
import re
import ssl
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import case
import certs
import dnsd
import dovecot
import imapd
import net
import service
import stage

DAY = certs.DAY

# Makes OpenSSL programs speak nothing newer than TLS 1.2.
TLS12_ONLY = """openssl_conf = top
[top]
ssl_conf = modules
[modules]
system_default = limits
[limits]
MaxProtocol = TLSv1.2
"""


def leaves():
    """The certificates that one Dovecot serves, each on the address of its name."""
    good, unknown = certs.trusted(), certs.untrusted()
    return {
        "good.test": good.leaf("good.test", "www.good.test", ips=["192.0.2.1"]),
        "rsa.test": good.leaf("rsa.test", key="rsa"),
        "open.test": good.leaf("open.test"),
        "expired.test": good.leaf("expired.test", start=-90 * DAY, end=-DAY - 3600),
        "future.test": good.leaf("future.test", start=2 * DAY, end=90 * DAY),
        "soon.test": good.leaf("soon.test", start=-80 * DAY, end=10 * DAY + 3600),
        "short.test": good.leaf("short.test", start=-2 * DAY, end=4 * DAY + 3600),
        "self.test": certs.self_signed("self.test"),
        "other.test": good.leaf("another.test"),
        "cn.test": good.leaf(cn="cn.test"),
        "incomplete.test": good.leaf("incomplete.test"),
        "unknown.test": unknown.leaf("unknown.test"),
        "unknownroot.test": unknown.leaf("unknownroot.test"),
        "root.test": good.leaf("root.test"),
        "disordered.test": good.leaf("disordered.test"),
        "lateca.test": certs.with_expired_intermediate().leaf("lateca.test"),
        "client.test": good.leaf("client.test", purpose="clientAuth"),
        "www.wild.test": good.leaf("*.wild.test"),
        "a.b.wild.test": good.leaf("*.wild.test"),
        "both.test": unknown.leaf("wrong.test", start=-90 * DAY, end=-DAY),
    }


# Chains that are not sent as they should be, and settings of one address alone.
CHAINS = {"incomplete.test": "alone", "unknownroot.test": "with_root", "root.test": "with_root",
          "disordered.test": "disordered"}
SETTINGS = {"open.test": {"disable_plaintext_auth": "no"}}

# Name, verdict, chain_errors, findings that must be there, findings that must not.
CERTIFICATES = [
    ("rsa.test", "ok", [], [], []),
    ("expired.test", "problems", ["expired"], ["certificate_expired"],
     ["certificate_untrusted", "certificate_hostname_mismatch"]),
    ("future.test", "problems", ["not_yet_valid"], ["certificate_not_yet_valid"], ["certificate_expired"]),
    ("soon.test", "warnings", [], ["certificate_expires_soon"], ["certificate_expired"]),
    ("short.test", "ok", [], [], ["certificate_expires_soon"]),
    ("self.test", "problems", ["self_signed"], ["certificate_self_signed"],
     ["certificate_untrusted", "certificate_chain_incomplete"]),
    ("other.test", "problems", [], ["certificate_hostname_mismatch"], ["certificate_common_name_only"]),
    ("cn.test", "problems", [], ["certificate_common_name_only"], ["certificate_hostname_mismatch"]),
    ("incomplete.test", "problems", ["missing_intermediate"], ["certificate_chain_incomplete"],
     ["certificate_untrusted"]),
    ("unknown.test", "problems", ["unknown_issuer"], ["certificate_untrusted"], ["certificate_chain_incomplete"]),
    ("unknownroot.test", "problems", ["unknown_issuer"], ["certificate_untrusted"],
     ["certificate_chain_incomplete", "certificate_self_signed"]),
    ("root.test", "ok", [], [], ["certificate_chain_disordered", "certificate_untrusted"]),
    ("disordered.test", "ok", ["wrong_order"], ["certificate_chain_disordered"], ["certificate_untrusted"]),
    ("lateca.test", "problems", ["expired"], ["certificate_chain_expired"], ["certificate_expired"]),
    ("client.test", "problems", ["wrong_purpose"], ["certificate_wrong_purpose"], ["certificate_untrusted"]),
    ("www.wild.test", "ok", [], [], ["certificate_hostname_mismatch"]),
    ("a.b.wild.test", "problems", [], ["certificate_hostname_mismatch"], []),
]

HOSTNAME_MISMATCHES = {"other.test", "cn.test", "a.b.wild.test"}


class DovecotTest(case.Case):
    @classmethod
    def setUpClass(cls):
        cls.leaves = leaves()
        cls.addresses = {name: net.fresh_address() for name in cls.leaves}
        cls.stage = stage.Stage()
        cls.addClassCleanup(cls.stage.stop)
        sites = {cls.addresses[name]: {**dovecot.certificate(leaf, CHAINS.get(name, "full")),
                                       **SETTINGS.get(name, {})} for name, leaf in cls.leaves.items()}
        server = dovecot.start(ports=(cls.stage.imap, cls.stage.imaps),
                               settings=dovecot.certificate(cls.leaves["good.test"]), sites=sites)
        cls.addClassCleanup(server.stop)
        for name, address in cls.addresses.items():
            cls.stage.dns.zone[name] = dnsd.Name(a=[address])
        cls.reports = {}

    def of(self, name):
        """The report on one of the sites; made once."""
        if name not in self.reports:
            self.reports[name] = self.report(self.stage.service, name)
        return self.reports[name]

    def test_healthy_server_is_ok_on_both_ports(self):
        report = self.of("good.test")
        self.assertEqual(report["verdict"], "ok", report["findings"])
        self.assertEqual(report["host"], "good.test")
        self.assertEqual(report["dns"]["addresses"], [self.addresses["good.test"]])
        self.assertEqual([port["port"] for port in report["ports"]], [self.stage.imap, self.stage.imaps])
        self.assertEqual([port["service"] for port in report["ports"]], ["imap", "imaps"])
        plain, tls = report["ports"]
        self.assertEqual((plain["starttls_supported"], plain["implicit_tls"]), (True, False))
        self.assertEqual((tls["starttls_supported"], tls["implicit_tls"]), (False, True))
        for port in report["ports"]:
            self.assertEqual(port["verdict"], "ok")
            self.assertTrue(port["reachable"])
            self.assertIsNone(port["error"])
            self.assertEqual(port["address"], self.addresses["good.test"])
            self.assertEqual(port["greeting"]["status"], "ok")
            self.assertEqual(port["greeting"]["code"], "CAPABILITY")
            self.assertEqual(port["greeting"]["text"], "Test bench ready.")
            self.assertEqual(port["server_id"], {"name": "Dovecot"})
            self.assertEqual(port["truncated"], [])
            for time in port["timings_ms"].values():
                self.assertGreaterEqual(time, 0)
            self.assertGreaterEqual(port["timings_ms"]["total"], port["timings_ms"]["tls_handshake"])

    def test_tls_facts_are_those_of_the_session(self):
        for port in self.of("good.test")["ports"]:
            tls = port["tls"]
            self.assertEqual(tls["version"], "TLS 1.3")
            self.assertFalse(tls["version_weak"])
            self.assertRegex(tls["cipher_suite"], r"^TLS_(AES_(128|256)_GCM|CHACHA20_POLY1305)_SHA(256|384)$")
            self.assertFalse(tls["cipher_weak"])
            self.assertIn(tls["key_exchange"], ("x25519", "secp256r1"))
            self.assertTrue(tls["forward_secrecy"])

    def test_capabilities_of_each_phase_are_what_another_client_sees(self):
        address = self.addresses["good.test"]
        plain, tls = self.of("good.test")["ports"]
        client = imaplib.IMAP4(address, self.stage.imap)
        self.assertEqual(upper(plain["capability_phases"]["greeting"]), in_greeting(client))
        self.assertEqual(upper(plain["capability_phases"]["command"]), list(client.capabilities))
        client.starttls(ssl._create_unverified_context())
        self.assertEqual(upper(plain["capability_phases"]["starttls"]), list(client.capabilities))
        client.logout()
        union = {word.upper() for phase in plain["capability_phases"].values() for word in phase}
        self.assertEqual(set(upper(plain["capabilities"])), union)

        client = imaplib.IMAP4_SSL(address, self.stage.imaps, ssl_context=ssl._create_unverified_context())
        self.assertEqual(upper(tls["capability_phases"]["greeting"]), in_greeting(client))
        self.assertEqual(upper(tls["capability_phases"]["command"]), list(client.capabilities))
        client.logout()
        self.assertIn("IMAP4rev1", tls["capabilities"], "not spelled as the server spells it")

    def test_feature_gaps_are_what_dovecot_hides_before_login(self):
        report = self.of("good.test")
        gaps = {gap["capability"] for gap in report["feature_gaps"]}
        self.assertIn("CONDSTORE", gaps)
        self.assertIn("QUOTA", gaps)
        self.assertFalse(gaps & {"IDLE", "ID", "SASL-IR"}, "these are advertised")
        for gap in report["feature_gaps"]:
            self.assertNotIn("not supported", gap["impact"].lower())

    def test_certificate_facts_are_those_of_openssl(self):
        for name, bits, algorithm in (("good.test", 256, "ECDSA"), ("rsa.test", 2048, "RSA")):
            with self.subTest(name=name):
                self.compare_with_openssl(name, bits, algorithm)

    def compare_with_openssl(self, name, bits, algorithm):
        leaf = self.leaves[name]
        facts = dict(line.partition("=")[::2] for line in
                     leaf.x509("-subject", "-issuer", "-serial", "-startdate", "-enddate", "-fingerprint",
                               "-sha256").splitlines())
        for port in self.of(name)["ports"]:
            seen = port["certificate"]
            self.assertEqual(seen["subject"], facts["subject"])
            self.assertEqual(seen["issuer"], facts["issuer"])
            self.assertEqual(seen["serial_number"].lstrip("0"), facts["serial"].lower().lstrip("0"))
            self.assertEqual(seen["not_before"], from_openssl(facts["notBefore"]))
            self.assertEqual(seen["not_after"], from_openssl(facts["notAfter"]))
            self.assertEqual(seen["fingerprint_sha256"], facts["sha256 Fingerprint"].lower())
            self.assertEqual((seen["key_algorithm"], seen["key_bits"]), (algorithm, bits))
            self.assertEqual(seen["signature_algorithm"], "ECDSA-SHA256")  # of the issuer's key
            self.assertIn(seen["days_remaining"], (89, 90))
            self.assertEqual((seen["expired"], seen["not_yet_valid"], seen["self_signed"]), (False,) * 3)
            self.assertTrue(seen["hostname_match"])
            self.assertTrue(seen["chain_valid"])
            self.assertEqual((seen["must_staple"], seen["ocsp_stapling"], seen["sct_count"]), (False, "none", 0))
            self.assertEqual([link["subject"] for link in seen["chain"]],
                             ["CN=" + name, "CN=Good Issuing CA,O=Test Bench"])
            self.assertEqual(seen["chain"][1]["issuer"], "CN=Good Root,O=Test Bench")
            self.assertEqual(seen["chain"][1]["fingerprint_sha256"],
                             fingerprint(certs.trusted().intermediate))

    def test_all_names_of_the_certificate_are_listed(self):
        sans = self.of("good.test")["ports"][1]["certificate"]["sans"]
        self.assertEqual(sans, [{"type": "dns", "value": "good.test"}, {"type": "dns", "value": "www.good.test"},
                                {"type": "ip", "value": "192.0.2.1"}])

    def test_bad_certificates_are_reported_and_do_not_stop_the_test(self):
        for name, verdict, errors, present, absent in CERTIFICATES:
            with self.subTest(name=name):
                report = self.of(name)
                self.assertEqual(report["verdict"], verdict, report["findings"])
                found = self.ids(report)
                self.assertLessEqual(set(present), found)
                self.assertFalse(set(absent) & found, found)
                for port in report["ports"]:
                    seen = port["certificate"]
                    self.assertTrue(port["starttls_supported"] or port["implicit_tls"])
                    self.assertTrue(port["capabilities"])
                    self.assertEqual(seen["chain_errors"], errors)
                    self.assertEqual(seen["chain_valid"], set(errors) <= {"wrong_order"})
                    self.assertEqual(seen["hostname_match"], name not in HOSTNAME_MISMATCHES)
                    self.assertEqual(seen["expired"], name == "expired.test")
                    self.assertEqual(seen["not_yet_valid"], name == "future.test")
                    self.assertEqual(seen["self_signed"], name == "self.test")

    def test_one_defect_does_not_hide_another(self):
        report = self.of("both.test")
        self.assertLessEqual({"certificate_expired", "certificate_untrusted", "certificate_hostname_mismatch"},
                             self.ids(report))
        for port in report["ports"]:
            self.assertTrue(port["certificate"]["expired"])
            self.assertLessEqual({"expired", "unknown_issuer"}, set(port["certificate"]["chain_errors"]))

    def test_days_remaining(self):
        self.assertEqual(self.of("soon.test")["ports"][0]["certificate"]["days_remaining"], 10)
        self.assertEqual(self.of("expired.test")["ports"][0]["certificate"]["days_remaining"], -2,
                         "rounded down: a day and an hour ago")

    def test_plaintext_login_is_a_finding_only_where_it_is_allowed(self):
        report = self.of("open.test")
        self.assertEqual(report["verdict"], "problems")
        finding = self.finding(report, "plaintext_login_allowed")
        self.assertEqual((finding["severity"], finding["port"]), ("critical", self.stage.imap))
        self.assertIn("AUTH=PLAIN", report["ports"][0]["capability_phases"]["command"])
        self.assertNotIn("plaintext_login_allowed", self.ids(self.of("good.test")))

    def test_each_port_by_itself(self):
        for number, kind in ((self.stage.imap, "imap"), (self.stage.imaps, "imaps")):
            report = self.report(self.stage.service, "good.test", ports=str(number))
            self.assertEqual([port["service"] for port in report["ports"]], [kind])
            self.assertEqual(report["verdict"], "ok")

    def test_address_parameter_keeps_the_name_for_tls(self):
        name, address = "not-in-dns.test", self.addresses["good.test"]
        report = self.report(self.stage.service, name, address=address)
        self.assertEqual(report["ports"][0]["address"], address)
        self.assertIn("certificate_hostname_mismatch", self.ids(report))
        self.assertEqual(self.stage.dns.asked(name), [], "the name was resolved nevertheless")
        report = self.report(self.stage.service, "www.good.test", address=address)
        self.assertEqual(report["verdict"], "ok", report["findings"])

    def test_ip_literal_needs_an_ip_in_the_certificate(self):
        report = self.report(self.stage.service, self.addresses["good.test"])
        self.assertIn("certificate_hostname_mismatch", self.ids(report))
        self.assertFalse(report["ports"][0]["certificate"]["hostname_match"])
        self.assertTrue(report["ports"][0]["certificate"]["chain_valid"])


class OtherInstancesTest(case.Case):
    """Settings that belong to a whole Dovecot."""

    @classmethod
    def setUpClass(cls):
        cls.stage = stage.Stage()
        cls.addClassCleanup(cls.stage.stop)
        cls.address = net.fresh_address()
        cls.name = cls.stage.name(cls.address)
        cls.settings = dovecot.certificate(certs.trusted().leaf("*.play.test"))

    def start(self, ports, environment=None, **settings):
        instance = dovecot.start(ports=ports, settings={**self.settings, **settings}, sites={self.address: {}},
                                 environment=environment)
        self.addCleanup(instance.stop)

    def test_server_without_tls(self):
        self.start((self.stage.imap, 0), ssl="no")
        report = self.report(self.stage.service, self.name)
        plain, tls = report["ports"]
        self.assertEqual(plain["error"]["code"], "starttls_not_offered")
        self.assertFalse(plain["starttls_supported"])
        self.assertIsNone(plain["tls"])
        self.assertIsNone(plain["certificate"])
        self.assertIn("LOGINDISABLED", plain["capability_phases"]["command"])
        self.assertEqual(plain["capability_phases"]["starttls"], [])
        self.assertEqual(self.finding(report, "starttls_missing")["severity"], "warning")
        self.assertEqual(tls["error"]["code"], "connection_refused")
        self.assertFalse(tls["reachable"])
        self.assertEqual(tls["verdict"], "unreachable")
        self.assertEqual(self.finding(report, "port_unreachable")["severity"], "warning")

    def test_plaintext_login_without_any_tls(self):
        self.start((self.stage.imap, 0), ssl="no", disable_plaintext_auth="no")
        report = self.report(self.stage.service, self.name, ports=str(self.stage.imap))
        self.assertEqual(report["verdict"], "problems")
        self.assertEqual(self.finding(report, "starttls_missing")["severity"], "critical")
        self.assertEqual(self.finding(report, "plaintext_login_allowed")["severity"], "critical")

    def test_tls_12_only(self):
        path = os.path.join(certs.directory(), "tls12.cnf")
        with open(path, "w", encoding="ascii") as out:
            out.write(TLS12_ONLY)
        self.start((self.stage.imap, self.stage.imaps), environment={"OPENSSL_CONF": path})
        report = self.report(self.stage.service, self.name)
        for port in report["ports"]:
            self.assertEqual(port["tls"]["version"], "TLS 1.2")
            self.assertFalse(port["tls"]["version_weak"])
            self.assertRegex(port["tls"]["cipher_suite"], r"^TLS_ECDHE_ECDSA_WITH_")
            self.assertTrue(port["tls"]["forward_secrecy"])
        self.assertEqual(self.finding(report, "tls_version_old_only")["severity"], "notice")
        self.assertEqual(report["verdict"], "ok", report["findings"])


class TogetherTest(case.Case):
    def test_both_ports_are_probed_at_the_same_time(self):
        with stage.Stage() as here:
            late = imapd.sleep(1.0)
            host = here.play([late] + imapd.healthy_plain(here.context()),
                             [late] + imapd.healthy_tls(here.context()))
            report = self.report(here.service, host.name)
            self.assertEqual(report["verdict"], "ok", report["findings"])
            self.assertGreaterEqual(report["duration_ms"], 1000)
            self.assertLess(report["duration_ms"], 1000 + 700 * service.slowness())
            for port in report["ports"]:
                self.assertGreaterEqual(port["timings_ms"]["total"], 1000)


def upper(words):
    return [word.upper() for word in words]


def in_greeting(client):
    """The capabilities of the greeting's code as imaplib kept it."""
    return re.search(rb"\[CAPABILITY ([^\]]*)\]", client.welcome).group(1).decode().upper().split()


def from_openssl(date):
    return datetime.datetime.strptime(date, "%b %d %H:%M:%S %Y %Z").strftime("%Y-%m-%dT%H:%M:%SZ")


def fingerprint(certificate):
    return certificate.x509("-fingerprint", "-sha256").partition("=")[2].lower()


if __name__ == "__main__":
    case.main()
