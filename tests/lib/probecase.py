"""What the tests of GET /probe share: asking for metrics, and what all of them have to stand."""
import ssl
import urllib.parse

import case
import scraper

VERDICTS = ("ok", "warnings", "problems", "inconclusive", "unreachable")


def path(target, **parameters):
    return "/probe?" + urllib.parse.urlencode({"target": target, **parameters}, safe=":,[]")


def ssl_time(text):
    """`Nov 25 23:00:00 2026 GMT` as Unix time."""
    return ssl.cert_time_to_seconds(text)


class ProbeCase(case.Case):
    def probe(self, target, headers=None, **parameters):
        """The metrics of a target; what promtool says of them is looked at every time."""
        answer = self.stage.service.get(path(target, **parameters), headers=headers)
        return self.check_metrics(answer)

    def check_metrics(self, answer):
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8")
        self.assertIn("server-timing", answer.headers)
        text = answer.body.decode()
        scraper.check_metrics(text)
        samples = scraper.Samples(text)
        self.assertEqual(set(samples.types.values()), {"gauge"})
        self.assertEqual(set(samples.types), samples.names(), "a family without samples")
        verdict = self.verdict(samples)
        self.assertEqual(samples.get("probe_success"), verdict in ("ok", "warnings"))
        return samples

    def verdict(self, samples):
        values = {verdict: samples.get("imap_test_verdict", verdict=verdict) for verdict in VERDICTS}
        self.assertEqual(sorted(values.values()), [0, 0, 0, 0, 1], values)
        return max(values, key=values.get)

    def ports(self, samples):
        return {labels["port"] for labels in samples.labels("imap_test_port_success")}
