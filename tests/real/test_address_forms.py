"""The table of address forms over HTTP, as `host` and as `address`. What may be connected to is asked for only where it
leads to loopback: nothing else is ever probed."""
import ipaddress
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import case
import forms
import imapd
import stage


def parse(form):
    """The address that the form plainly is, None where it is one only after the mapping of host names."""
    if form.startswith("[") and form.endswith("]") and ":" in form:
        form = form[1:-1]
    try:
        return ipaddress.ip_address(form) if "%" not in form and form.isascii() else None
    except ValueError:
        return None


def stays_here(form):
    """Whether a connection to this form goes over the loopback interface, whatever the policy says."""
    ip = parse(form)
    if ip is not None and ip.version == 6 and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    return ip is not None and ip.is_loopback


class FormsTest(case.Case):
    def setUp(self):
        self.asked = dict.fromkeys(forms.VERDICTS, 0)

    def test_table(self):
        """One service for each set of options; servers that must never hear of a test listen meanwhile."""
        for options, rows in forms.by_options(forms.rows()).items():
            rules = {"allow_target": None, "deny_target": None, **forms.as_keywords(options)}
            with stage.Stage(cache_seconds=0, client_rate="0", target_rate="0", **rules) as here:
                traps = [imapd.Tarpit([here.imap, here.imaps], address) for address in ("127.0.0.1", "127.0.0.3")]
                for row in rows:
                    with self.subTest(options=" ".join(options), row=row):
                        getattr(self, "check_" + row.verdict)(here.service, row.form)
                for trap in traps:
                    trap.stop()
                    self.assertEqual(trap.accepted, 0, "%s was connected to" % trap.address)
        for verdict, least in (("refused", 250), ("invalid", 50), ("permitted", 6)):
            self.assertGreaterEqual(self.asked[verdict], least, verdict)

    def check_refused(self, service, form):
        self.problem(service.test(form), 403, "target_not_allowed")
        as_address = service.test("some.test", address=form)
        if parse(form) is not None:
            self.problem(as_address, 403, "target_not_allowed")
        else:
            self.problem(as_address, 400, "invalid_parameter")
        self.asked["refused"] += 1

    def check_invalid(self, service, form):
        self.problem(service.test(form), 400, "invalid_host")
        self.problem(service.test("some.test", address=form), 400, "invalid_parameter")
        self.asked["invalid"] += 1

    def check_permitted(self, service, form):
        if not stays_here(form):
            return
        for answer in (service.test(form), service.test("some.test", address=form)):
            report = self.check_report(answer)
            self.assertEqual([ipaddress.ip_address(ip) for ip in report["dns"]["addresses"]], [parse(form)])
            for port in report["ports"]:
                self.assertEqual([attempt["error"]["code"] for attempt in port["attempts"]], ["connection_refused"])
        self.asked["permitted"] += 1


if __name__ == "__main__":
    case.main()
