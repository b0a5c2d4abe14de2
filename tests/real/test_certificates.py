"""Tables of certificates and TLS set-ups (certrows.py, tlsrows.py): the report on each, and what other tools say."""
import concurrent.futures
import hashlib
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import case
import certrows
import certs
import dovecot
import imapd
import net
import rows
import stage
import tlsrows
import verdicts

AT_A_TIME = 6

# What a server that never greets is given; the limit of a whole test.
PATIENCE_MS = 4000

# Makes Dovecot take keys and digests that OpenSSL refuses otherwise.
LENIENT = """openssl_conf = top
[top]
ssl_conf = modules
[modules]
system_default = limits
[limits]
CipherString = DEFAULT:@SECLEVEL=0
"""


def lookup(fields, path):
    """fields["a"][0]["b"] for the path a.0.b."""
    for name in path.split("."):
        fields = fields[int(name)] if isinstance(fields, list) else fields[name]
    return fields


class CertificatesTest(case.Case):
    @classmethod
    def setUpClass(cls):
        cls.rows = certrows.rows() + tlsrows.rows()
        cls.stage = stage.Stage(trust_file=certrows.trust_file(), workers=1)
        cls.addClassCleanup(cls.stage.stop)
        cls.addresses = {row.name: net.fresh_address() for row in cls.rows}
        cls.start_servers()
        cls.pool = concurrent.futures.ThreadPoolExecutor(AT_A_TIME)
        cls.addClassCleanup(cls.pool.shutdown)
        cls.answers = dict(zip((row.name for row in cls.rows), cls.pool.map(cls.ask, cls.rows)))
        # Once more: what is remembered of a chain by then must be what was found.
        cls.again = dict(zip((row.name for row in cls.rows), cls.pool.map(cls.ask, cls.rows)))

    @classmethod
    def start_servers(cls):
        path = os.path.join(certs.directory(), "lenient.cnf")
        with open(path, "w", encoding="ascii") as out:
            out.write(LENIENT)
        sites = {cls.addresses[row.name]: dovecot.certificate(row.leaf, row.chain)
                 for row in cls.rows if row.play is None}
        server = dovecot.start(ports=(cls.stage.imap, cls.stage.imaps),
                               settings=dovecot.certificate(cls.rows[0].leaf), sites=sites,
                               environment={"OPENSSL_CONF": path})
        cls.addClassCleanup(server.stop)
        for row in cls.rows:
            for steps, port in zip(row.play or (), (cls.stage.imap, cls.stage.imaps)):
                if steps:
                    cls.addClassCleanup(imapd.Server(steps, cls.addresses[row.name], port).stop)

    @classmethod
    def ask(cls, row):
        ports = [str(port) for steps, port in zip(row.play or (True, True), (cls.stage.imap, cls.stage.imaps))
                 if steps]
        more = {} if row.greets else {"timeout_ms": PATIENCE_MS}
        return cls.stage.service.test(row.host, address=cls.addresses[row.name], ports=",".join(ports), **more)

    def test_no_two_rows_expect_the_same(self):
        names = [row.name for row in self.rows]
        self.assertEqual(len(names), len(set(names)))
        seen = {}
        for row in self.rows:
            self.assertFalse(row.outcome() in seen, "%s expects what %s does" % (row.name, seen.get(row.outcome())))
            seen[row.outcome()] = row.name
        self.assertGreaterEqual(len(self.rows), 60)

    def test_every_finding_has_a_row(self):
        known = set().union(*rows.SEVERITIES.values())
        expected = {finding for row in self.rows for finding in row.findings}
        self.assertEqual(expected, known)

    def test_report_of_each_row(self):
        for row in self.rows:
            with self.subTest(row=row.name):
                self.check_row(row)
        print("rows tested %d" % len(self.rows), file=sys.stderr)

    def test_second_report_is_the_first_but_for_times(self):
        for row in self.rows:
            with self.subTest(row=row.name):
                first, second = (case.without_times(answers[row.name].json())
                                 for answers in (self.answers, self.again))
                self.assertEqual(first, second)

    def check_row(self, row):
        answer = self.answers[row.name]
        self.assertEqual(answer.status, 200, answer)
        report = self.check_report(answer) if row.leaf else answer.json()
        self.assertEqual(self.ids(report), set(row.findings))
        for finding in report["findings"]:
            ident = finding["id"]
            self.assertEqual(finding["severity"], row.severities.get(ident, rows.severity(ident)), finding)
        for ident, pattern in row.says.items():
            finding = self.finding(report, ident)
            self.assertRegex("%(title)s %(detail)s %(remedy)s" % finding, pattern)
        for name, value in row.report.items():
            self.assertEqual(lookup(report, name), value, name)
        if row.greets:
            self.check_verdict(report)
        for port in report["ports"]:
            self.check_port(row, port)

    def check_verdict(self, report):
        worst = [finding["severity"] for finding in report["findings"]][:1]
        self.assertEqual(report["verdict"], {"critical": "problems", "warning": "warnings"}.get(
            worst[0] if worst else "", "ok"))

    def check_port(self, row, port):
        for name, value in row.port.items():
            self.assertEqual(lookup(port, name), value, name)
        self.check_fields(port["tls"], row.expected_tls(), "tls")
        other = row.other and port["service"] == "imaps"
        expected = {**row.expected_certificate(), **row.other_fields} if other else row.expected_certificate()
        self.check_fields(port["certificate"], expected, "certificate")
        if expected:
            self.check_chain(port["certificate"], row.other.chain() if other else row.members())

    def check_fields(self, seen, expected, what):
        if expected is None:
            self.assertIsNone(seen, what)
            return
        self.assertIsNotNone(seen, what)
        picked = {name: seen[name] for name in expected}
        if "chain_errors" in picked:
            picked["chain_errors"] = sorted(picked["chain_errors"])
            self.assertEqual(seen["chain_valid"], set(picked["chain_errors"]) <= {"wrong_order"})
        self.assertEqual(picked, expected)

    def check_chain(self, seen, members):
        prints = [hashlib.sha256(member.der()).hexdigest() for member in members]
        shown = [link["fingerprint_sha256"].replace(":", "") for link in seen["chain"]]
        self.assertEqual(shown, prints[:len(shown)])
        self.assertGreaterEqual(len(shown), min(len(prints), 10))
        self.assertEqual(seen["fingerprint_sha256"].replace(":", ""), prints[0])

    # The second tools

    def test_other_tools_agree_or_an_rfc_decides(self):
        compared, differing, failures = 0, [], []
        for row, found in zip(self.rows, self.pool.map(self.compare, self.rows)):
            compared += bool(found)
            told = {name for name, agrees in found.items() if not agrees}
            differing += ["  %s: %s: %s" % (row.name, name, row.differs.get(name, "NOT EXPLAINED"))
                          for name in sorted(told)]
            for name in sorted(told ^ set(row.differs)):
                failures.append("%s: %s %s" % (row.name, name, "differs" if name in told else "agrees after all"))
        print("rows compared %d, rows that differ %d" %
              (compared, len({line.split(":")[0] for line in differing})), *differing, sep="\n", file=sys.stderr)
        self.assertEqual(failures, [])

    def compare(self, row):
        """"tool.verdict" -> whether it is ours."""
        port = self.answers[row.name].json()["ports"][-1]
        ours = port["certificate"]
        if not row.leaf or row.other or ours is None:
            return {}
        found = {}
        errors = set(ours["chain_errors"]) - {"wrong_order", "revoked"}
        for name, tool in (("openssl", verdicts.openssl), ("gnutls", verdicts.gnutls)):
            verdict = tool(row.leaf, row.members(), certrows.trust_file(), row.host)
            found[name + ".chain"] = verdict.chain == (not errors)
            found[name + ".name"] = verdict.name == ours["hostname_match"]
            if name == "openssl":
                found["openssl.reason"] = all(reason & errors for reason in verdict.reasons)
        if row.live:
            accepted = verdicts.gnutls_live(self.addresses[row.name], self.stage.imaps, certrows.trust_file(),
                                            row.host)
            # RFC 6066 section 8: a response that is there must be a good one.
            sound = ours["chain_valid"] and ours["hostname_match"] and ours["ocsp_stapling"] != "invalid"
            found["gnutls.live"] = accepted == sound
        return found


if __name__ == "__main__":
    case.main()
