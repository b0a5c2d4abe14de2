"""What reads metrics: the text format taken apart, promtool, and a real Prometheus that scrapes on loopback."""
import json
import math
import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request

import net

SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|$)')
ESCAPES = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}


class Samples:
    """The samples of an answer. Names, labels, and that nothing stands there twice, are checked while reading."""

    def __init__(self, text):
        self.values, self.types = {}, {}
        if not text.endswith("\n"):
            raise AssertionError("the last line has no end: %r" % text[-100:])
        for line in text[:-1].split("\n"):
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                if name in self.types:
                    raise AssertionError("a family twice: " + line)
                self.types[name] = kind
            elif not line.startswith("# HELP "):
                self._take(line)

    def _take(self, line):
        match = SAMPLE.fullmatch(line)
        if not match or match[1] not in self.types:
            raise AssertionError("no sample of a family that was begun: %r" % line)
        rest, labels = match[2] or "", {}
        while rest:
            label = LABEL.match(rest)
            if not label or label[1] in labels:
                raise AssertionError("labels: %r" % line)
            labels[label[1]] = re.sub(r"\\.", lambda escape: ESCAPES[escape[0]], label[2])
            rest = rest[label.end():]
        key = (match[1], frozenset(labels.items()))
        if key in self.values:
            raise AssertionError("a sample twice: %r" % line)
        self.values[key] = float(match[3])

    def get(self, name, **labels):
        """The value, None where there is no such sample."""
        return self.values.get((name, frozenset((key, str(value)) for key, value in labels.items())))

    def labels(self, name):
        """Of all samples of a family."""
        return [dict(labels) for family, labels in self.values if family == name]

    def names(self):
        return {name for name, _ in self.values}


def promtool(*arguments, text=""):
    """Status and what it says."""
    done = subprocess.run(["promtool", *arguments], input=text.encode(), capture_output=True, timeout=60, check=False)
    return done.returncode, (done.stdout + done.stderr).decode()


def check_metrics(text):
    """AssertionError where promtool has anything to say on the metrics."""
    status, said = promtool("check", "metrics", text=text)
    if status != 0 or said:
        raise AssertionError("promtool check metrics: %d, %s" % (status, said))


def await_http(url, process, seconds):
    end = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.read()
        except OSError:
            if process.poll() is not None or time.monotonic() > end:
                raise
        time.sleep(0.05)


class Prometheus:
    """A Prometheus with this configuration (YAML text), its data in a directory of its own. A context manager."""

    def __init__(self, config):
        self._dir = tempfile.mkdtemp(prefix="imap-testd-prometheus-")
        file = os.path.join(self._dir, "prometheus.yml")
        with open(file, "w", encoding="utf-8") as out:
            out.write(config)
        self.base = "http://127.0.0.1:%d" % net.fresh_port()
        with open(os.path.join(self._dir, "log"), "wb") as log:
            self._process = subprocess.Popen(
                ["prometheus", "--config.file=" + file, "--storage.tsdb.path=" + os.path.join(self._dir, "data"),
                 "--web.listen-address=" + self.base[len("http://"):]], stdout=log, stderr=log)
        try:
            await_http(self.base + "/-/ready", self._process, 60)
        except BaseException:
            self.stop()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def query(self, expression):
        """The result of an instant query: a list of (labels, value)."""
        url = self.base + "/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(url, timeout=30) as answer:
            result = json.load(answer)["data"]["result"]
        return [(row["metric"], float(row["value"][1])) for row in result]

    def value(self, expression):
        """The one value of a query, NaN where there is none."""
        result = self.query(expression)
        return result[0][1] if len(result) == 1 else math.nan

    def targets(self):
        with urllib.request.urlopen(self.base + "/api/v1/targets", timeout=30) as answer:
            return json.load(answer)["data"]["activeTargets"]

    def stop(self):
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._dir, ignore_errors=True)
