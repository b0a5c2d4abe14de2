"""What all test files of the bench share: how they are run, and what a report or a problem must look like."""
import os
import re
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "openapi"))

import service  # noqa: E402
import schema  # noqa: E402  (tests/openapi/schema.py, the contract as checks)

# Before any test file asks how fast the program is: its path may be the first argument.
if len(sys.argv) > 1 and "/" in sys.argv[1] and not sys.argv[1].startswith("-"):
    os.environ["IMAP_TESTD"] = os.path.abspath(sys.argv.pop(1))


def without_times(value, key=""):
    """The report without what differs from one test to the next."""
    if isinstance(value, dict):
        return {name: without_times(member, "_ms" if key == "timings_ms" else name)
                for name, member in value.items()}
    if isinstance(value, list):
        return [without_times(member) for member in value]
    return isinstance(value, float) if key.endswith("_ms") else value if key != "tested_at" else ""


class Case(unittest.TestCase):
    """Test case with the checks that every answer of the service has to stand."""

    maxDiff = None

    def report(self, service, host, **parameters):
        """Tests `host`; the answer must be 200 and follow the contract to the letter."""
        return self.check_report(service.test(host, **parameters))

    def check_report(self, answer):
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual(answer.headers.get("content-type", "").partition(";")[0], "application/json", answer)
        self.assertIn("x-request-id", answer.headers)
        self.assertIn("server-timing", answer.headers)
        report = answer.json()
        schema.validate_report(report)
        self.check_freshness(answer, report)
        self.check_consistency(report)
        return report

    def check_freshness(self, answer, report):
        """How old the result is, and how long it may be kept: "no-store", or some seconds of which Age are over."""
        kept = re.fullmatch(r"no-store|max-age=([1-9]\d*)", answer.headers["cache-control"])
        self.assertIsNotNone(kept, answer.headers["cache-control"])
        self.assertEqual("age" in answer.headers, report["cached"], answer.headers)
        if report["cached"]:
            self.assertRegex(answer.headers["age"], r"\A(0|[1-9]\d*)\Z")
            self.assertLessEqual(int(answer.headers["age"]), int(kept[1] or 0))
        if report["verdict"] == "inconclusive":
            self.assertEqual(kept[0], "no-store")

    def check_consistency(self, report):
        """What holds in every report, whatever was tested."""
        severities = ["critical", "warning", "notice", "info"]
        ranks = [severities.index(finding["severity"]) for finding in report["findings"]]
        self.assertEqual(ranks, sorted(ranks), "findings are not sorted by severity")
        if report["verdict"] != "ok":
            self.assertLess(min(ranks, default=9), 2, "nothing explains the verdict %s" % report["verdict"])
        self.assertTrue(report["summary"])
        for port in report["ports"]:
            words = [word.upper() for word in port["capabilities"]]
            self.assertEqual(len(words), len(set(words)), "a capability is listed twice")
            for phase in port["capability_phases"].values():
                self.assertLessEqual({word.upper() for word in phase}, set(words))
            if port["service"] == "imaps":
                self.assertFalse(port["starttls_supported"])
                self.assertEqual(port["capability_phases"]["starttls"], [])
            else:
                self.assertFalse(port["implicit_tls"])
            secured = port["starttls_supported"] or port["implicit_tls"]
            if secured:
                self.assertIsNotNone(port["tls"], "secured, but tls is null")
                self.assertIsNotNone(port["certificate"], "secured, but certificate is null")
            # An attempt that TLS ended was accepted; a second one followed it.
            accepted = [attempt["address"] for attempt in port["attempts"]
                        if attempt["error"] is None or attempt["error"]["phase"] == "tls"]
            self.assertEqual(port["reachable"], bool(accepted), "reachable and attempts disagree")
            if accepted:
                self.assertIn(port["address"], accepted)

    def problem(self, answer, status, code):
        """The answer must be this problem (RFC 9457)."""
        self.assertEqual(answer.status, status, answer)
        self.assertEqual(answer.headers.get("content-type", "").partition(";")[0], "application/problem+json", answer)
        body = answer.json()
        schema.validate_problem(body)
        self.assertEqual(body["code"], code, answer)
        self.assertEqual(body["status"], status)
        self.assertEqual(body["type"], "urn:imap-test:problem:" + code)
        self.assertEqual(body["request_id"], answer.headers.get("x-request-id"))
        self.assertEqual(answer.headers.get("cache-control"), "no-store")
        self.assertNotIn("age", answer.headers)
        self.assertEqual("retry-after" in answer.headers, status in (429, 503), answer)
        return body

    def ids(self, report, port=None):
        """The ids of the findings, of one port where it is given."""
        return {finding["id"] for finding in report["findings"] if port is None or finding["port"] == port}

    def finding(self, report, ident):
        """The one finding with this id."""
        found = [finding for finding in report["findings"] if finding["id"] == ident]
        self.assertTrue(found, "no finding %s among %s" % (ident, sorted(self.ids(report))))
        return found[0]

    def assert_never_logs_in(self, connections):
        """The dialogue is that of a guest: no command carries or asks for credentials."""
        allowed = {"CAPABILITY", "STARTTLS", "ID", "LOGOUT"}
        for connection in connections:
            for command in connection.commands():
                self.assertIn(command.split(" ")[0], allowed, connection.lines)


def main():
    """Runs the calling file's tests; the first argument may be the path of the program to test."""
    try:
        print("testing %s" % " ".join(service.wrapper() + [service.binary()]), file=sys.stderr)
    except RuntimeError as error:
        sys.exit("%s: %s" % (os.path.basename(sys.argv[0]), error))
    unittest.main(module="__main__", verbosity=2)
