"""What /metrics answers, read as Prometheus reads it; promtool's opinion; and a Prometheus of our own."""
import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request

import net
import service

DEPLOY = os.path.join(service.ROOT, "deploy")
RULES = os.path.join(DEPLOY, "prometheus", "alerts.yaml")
RULE_TESTS = os.path.join(DEPLOY, "prometheus", "alerts_test.yaml")
SCRAPE = os.path.join(DEPLOY, "prometheus", "prometheus.yaml")
DASHBOARD = os.path.join(DEPLOY, "grafana", "imap-testd.json")

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)*)\})? (\S+)\Z')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')


class Metrics:
    """One answer: `samples` by name and labels, `types` by family."""

    def __init__(self, text):
        self.text = text
        self.samples, self.types = {}, {}
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                _, _, family, kind = line.split(" ")
                self.types[family] = kind
            elif not line.startswith("#"):
                match = SAMPLE.match(line)
                if not match:
                    raise AssertionError("not a line of the format: %r" % line)
                key = (match[1], frozenset(LABEL.findall(match[2] or "")))
                if key in self.samples:
                    raise AssertionError("twice: %r" % line)
                self.samples[key] = float(match[3])

    def names(self):
        return {name for name, _ in self.samples}

    def series(self):
        return set(self.samples)

    def all(self, name, **labels):
        """The samples of a name that have these labels."""
        wanted = set(labels.items())
        return {rest: value for (found, rest), value in self.samples.items() if found == name and wanted <= rest}

    def sum(self, name, **labels):
        found = self.all(name, **labels)
        if not found:
            raise AssertionError("no %s%r" % (name, labels))
        return sum(found.values())

    def check_histograms(self):
        """Buckets grow up to the last, which is the count."""
        for family in (family for family, kind in self.types.items() if kind == "histogram"):
            for labels, count in self.all(family + "_count").items():
                buckets = sorted((float(dict(found)["le"].replace("+Inf", "inf")), value)
                                 for found, value in self.all(family + "_bucket", **dict(labels)).items())
                values = [value for _, value in buckets]
                if values != sorted(values) or values[-1] != count or buckets[-1][0] != float("inf"):
                    raise AssertionError("%s%r: %r, count %r" % (family, dict(labels), buckets, count))


def scrape(target, path="/metrics", **options):
    """From a service, or from anything else with a get()."""
    answer = target.get(path, **options)
    if answer.status != 200 or answer.headers["content-type"] != CONTENT_TYPE:
        raise AssertionError("no metrics: %r" % answer)
    found = Metrics(answer.body.decode("utf-8"))
    found.check_histograms()
    return found


def promtool(*arguments, data=None):
    """Exit status and all it says."""
    done = subprocess.run(["promtool", *arguments], input=data, capture_output=True, text=True, timeout=120,
                          check=False)
    return done.returncode, (done.stdout + done.stderr).strip()


class Prometheus:
    """Prometheus with the shipped configuration, but another target, scraped every half second."""

    def __init__(self, target):
        self.folder = tempfile.mkdtemp(prefix="imap-test-prometheus-")
        self.address = "127.0.0.1:%d" % net.fresh_port()
        with open(SCRAPE, encoding="utf-8") as file:
            text = file.read()
        text = text.replace("127.0.0.1:9143", target).replace("15s", "500ms").replace("alerts.yaml", RULES)
        with open(os.path.join(self.folder, "prometheus.yaml"), "w", encoding="utf-8") as file:
            file.write(text)
        with open(os.path.join(self.folder, "log"), "wb") as log:
            self.process = subprocess.Popen(
                ["prometheus", "--config.file=prometheus.yaml", "--storage.tsdb.path=data",
                 "--web.listen-address=" + self.address], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log)

    def __enter__(self):
        service.wait_until(self.ready, 30, "Prometheus to be ready")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(30)
        shutil.rmtree(self.folder)

    def ready(self):
        if self.process.poll() is not None:
            raise AssertionError("Prometheus has ended:\n" + self.log())
        with contextlib.suppress(OSError), urllib.request.urlopen("http://%s/-/ready" % self.address, timeout=5) as r:
            return r.status == 200
        return False

    def log(self):
        with open(os.path.join(self.folder, "log"), encoding="utf-8") as log:
            return log.read()

    def api(self, path, **parameters):
        url = "http://%s/api/v1/%s?%s" % (self.address, path, urllib.parse.urlencode(parameters))
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError("%r: %s" % (parameters, error.read().decode())) from None

    def query(self, expression):
        """The series of an instant vector: labels and value."""
        return [(series["metric"], float(series["value"][1])) for series in
                self.api("query", query=expression)["result"]]
