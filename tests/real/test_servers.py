"""Real servers beside the usual Dovecot: Courier, Cyrus and GNU Mailutils, and Dovecot in other settings. What the
service reports about each, against what other clients see, and every finding there is."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import case
import dovecot
import net
import otherclients
import otherimapd

# What a name without this in front of it means: the port with STARTTLS.
TLS = "tls:"


class ServersTest(otherimapd.Case):
    def start_dovecot(self, settings=None, sites=None):
        """One instance; a name for each of the sites, which are settings of one address."""
        addresses = [net.fresh_address() for _ in sites or [{}]]
        server = dovecot.start(ports=(self.stage.imap, self.stage.imaps),
                               settings={**dovecot.certificate(self.leaf), **(settings or {})},
                               sites=dict(zip(addresses, sites or [{}])))
        self.addCleanup(server.stop)
        return [self.stage.name(address) for address in addresses]

    def check_findings(self, report, expected):
        """The complete list, as "id severity" of the port with STARTTLS and "tls:id severity" of the other."""
        found = [("" if finding["port"] == self.stage.imap else TLS if finding["port"] else "host:") +
                 finding["id"] + " " + finding["severity"] for finding in report["findings"]]
        self.assertEqual(sorted(found), sorted(expected))

    def check_sessions(self, report):
        """Capabilities as imaplib sees them, TLS and certificate as openssl does, on both ports."""
        for port in report["ports"]:
            tls = port["service"] == "imaps"
            seen = {phase: [word.upper() for word in words] for phase, words in port["capability_phases"].items()}
            self.assertEqual(seen, {phase: list(dict.fromkeys(words)) for phase, words in
                                    otherclients.imaplib_phases(port["address"], port["port"], tls).items()})
            version, suite, fingerprint = otherclients.openssl_session(port["address"], port["port"], tls)
            self.assertEqual((port["tls"]["version"], port["tls"]["cipher_suite"]), (version, suite))
            self.assertEqual(port["certificate"]["fingerprint_sha256"], fingerprint)
            self.assertTrue(port["certificate"]["chain_valid"])
            self.assertTrue(port["certificate"]["hostname_match"])
            self.assertTrue(port["implicit_tls"] if tls else port["starttls_supported"])
            self.assertIsNone(port["error"])

    # Courier

    def test_courier_that_requires_tls(self):
        _, name = self.start(otherimapd.Courier)
        report = self.report(self.stage.service, name)
        self.check_sessions(report)
        self.check_findings(report, [])
        self.assertEqual(report["verdict"], "ok")
        plain, tls = report["ports"]
        self.assertTrue(plain["greeting"]["text"].startswith("Courier-IMAP ready."), plain["greeting"])
        self.assertIn("LOGINDISABLED", plain["capability_phases"]["command"])
        self.assertEqual(tls["capability_phases"]["greeting"], tls["capability_phases"]["command"])
        self.assertIsNone(tls["server_id"])

    def test_courier_as_it_is_delivered(self):
        _, name = self.start(otherimapd.Courier, tls_required=False)
        report = self.report(self.stage.service, name)
        self.check_sessions(report)
        self.check_findings(report, ["plaintext_login_allowed critical"])
        self.assertIn("does not list LOGINDISABLED", self.finding(report, "plaintext_login_allowed")["detail"])

    def test_courier_without_its_certificate(self):
        _, name = self.start(otherimapd.Courier, cert="/nonexistent/imapd.pem")
        report = self.report(self.stage.service, name)
        self.check_findings(report, ["starttls_failed critical", TLS + "tls_handshake_failed critical"])
        self.assertEqual([port["error"]["code"] for port in report["ports"]], ["connection_closed"] * 2)

    def test_courier_whose_tls_program_does_not_start(self):
        """It agrees to STARTTLS before it tries, and takes that back under the same tag."""
        _, name = self.start(otherimapd.Courier, broken_tls=True)
        report = self.report(self.stage.service, name)
        self.check_findings(report, ["starttls_failed critical", TLS + "tls_handshake_failed critical"])
        self.assertRegex(self.finding(report, "starttls_failed")["detail"], r' NO STARTTLS failed: 500 [^\\]*"$')
        self.assertEqual(report["ports"][0]["error"]["code"], "tls_not_spoken")

    # Cyrus

    def test_cyrus(self):
        _, name = self.start(otherimapd.Cyrus, allowplaintext="no")
        report = self.report(self.stage.service, name)
        self.check_sessions(report)
        self.check_findings(report, [])
        plain, tls = report["ports"]
        self.assertRegex(plain["greeting"]["text"], r"^cyrus\.test Cyrus IMAP 3\.")
        self.assertEqual(plain["greeting"]["code"], "CAPABILITY")
        self.assertGreater(len(plain["capability_phases"]["command"]), len(plain["capability_phases"]["greeting"]))
        for port in (plain, tls):
            self.assertEqual(port["server_id"]["name"], "Cyrus IMAPD")
        self.assertEqual(report["feature_gaps"], [], "Cyrus lists all of them before login")

    def test_cyrus_that_lets_passwords_through(self):
        _, name = self.start(otherimapd.Cyrus, allowplaintext="yes")
        report = self.report(self.stage.service, name)
        self.check_sessions(report)
        self.check_findings(report, ["plaintext_login_allowed critical"])
        self.assertIn("AUTH=PLAIN and AUTH=LOGIN", self.finding(report, "plaintext_login_allowed")["detail"])

    def test_cyrus_with_tls_12_only(self):
        _, name = self.start(otherimapd.Cyrus, allowplaintext="no", tls_versions="tls1_2")
        report = self.report(self.stage.service, name)
        self.check_findings(report, ["tls_version_old_only notice", TLS + "tls_version_old_only notice"])
        for port in report["ports"]:
            self.assertEqual(port["tls"]["version"], "TLS 1.2")

    # GNU Mailutils

    MAILUTILS_LISTS = ["capability_syntax notice", TLS + "capability_syntax notice"]

    def test_mailutils(self):
        _, name = self.start(otherimapd.Mailutils)
        report = self.report(self.stage.service, name)
        self.check_sessions(report)
        self.check_findings(report, self.MAILUTILS_LISTS + ["plaintext_login_allowed critical"])
        for finding in report["findings"]:
            if finding["id"] == "capability_syntax":
                self.assertIn('the same capability twice: "AUTH=GSSAPI"', finding["detail"])
        for port in report["ports"]:
            self.assertEqual(port["greeting"], {"status": "ok", "code": None, "text": "IMAP4rev1"})
            self.assertIsNone(port["server_id"], "ID is listed, but refused before login")

    def test_mailutils_that_requires_tls(self):
        """It refuses LOGIN before TLS, which XTLSREQUIRED tells nobody: clients send the password first."""
        _, name = self.start(otherimapd.Mailutils, tls_mode="required")
        report = self.report(self.stage.service, name)
        self.check_findings(report, ["plaintext_login_allowed critical", "capability_syntax notice",
                                     TLS + "capability_syntax notice"])
        self.assertIn("XTLSREQUIRED", report["ports"][0]["capability_phases"]["command"])

    def test_mailutils_that_logs_everybody_in(self):
        _, name = self.start(otherimapd.Mailutils, preauth=True)
        report = self.report(self.stage.service, name)
        self.check_findings(report, self.MAILUTILS_LISTS + ["preauth_before_tls critical",
                                                            TLS + "preauth_inside_tls notice"])
        for port in report["ports"]:
            self.assertEqual(port["greeting"]["status"], "preauth")

    def test_mailutils_without_tls(self):
        _, name = self.start(otherimapd.Mailutils, tls_mode="false")
        report = self.report(self.stage.service, name)
        self.check_findings(report, self.MAILUTILS_LISTS + ["plaintext_login_allowed critical",
                                                            "starttls_missing critical"])
        self.assertEqual(report["ports"][0]["error"]["code"], "starttls_not_offered")

    # Dovecot

    def test_dovecot_in_other_settings(self):
        allowed = {"disable_plaintext_auth": "no"}
        cases = [
            ({}, []),
            (allowed, ["plaintext_login_allowed critical"]),
            # Who is trusted need not have TLS; clients elsewhere may see another list.
            ({"login_trusted_networks": "127.0.0.0/8"}, ["plaintext_login_allowed critical"]),
            ({"login_greeting": ""}, []),
            ({"login_greeting": "Grüß Gott – почта"}, []),
            ({"imap_capability": "IMAP4rev1 IDLE IDLE"},
             ["capability_syntax notice", TLS + "capability_syntax notice"]),
            ({"imap_capability": "IDLE"}, ["host:imap_revision_missing warning"]),
            ({"imap_capability": "+XMINE"}, []),
            # Dovecot keeps the space behind the plus.
            ({"imap_capability": "+ XMINE"}, ["capability_syntax notice", TLS + "capability_syntax notice"]),
        ]
        names = self.start_dovecot({"auth_mechanisms": "plain login"}, [settings for settings, _ in cases])
        for name, (settings, findings) in zip(names, cases):
            with self.subTest(settings=settings):
                report = self.report(self.stage.service, name)
                self.check_findings(report, findings)
                if "host:imap_revision_missing warning" not in findings:  # imaplib does not talk to such a server
                    self.check_sessions(report)
                for port in report["ports"]:
                    self.assertEqual(port["greeting"]["text"], settings.get("login_greeting", "Test bench ready."))


if __name__ == "__main__":
    case.main()
