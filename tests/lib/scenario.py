"""The scenario files of tests/cases: read, checked for form, and compared with what a test of them gave."""
import dataclasses
import difflib
import glob
import json
import os
import re

import yaml

import script

FOLDER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "cases")
# The one in C is ten times as fast.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
SERVICES = ("imap", "imaps")
SEVERITIES = ("critical", "warning", "notice", "info")
VERDICTS = ("ok", "warnings", "problems", "inconclusive", "unreachable")
PHASES = ("greeting", "command", "starttls")
SCENARIO_FIELDS = {"about", "imap", "imaps", "ports", "dns", "ask", "patient", "piecemeal", "report"}
REPORT_FIELDS = {"verdict", "findings", "says", "summary", "gaps", "imap", "imaps"}
PORT_FIELDS = {"verdict", "error", "greeting", "capability_phases", "server_id", "tls", "alpn", "certificate",
               "secured", "truncated", "attempts", "commands", "connections"}

# All that the program may ever say, without its tag.
COMMANDS = {"CAPABILITY", "STARTTLS", 'ID ("name" "imap-testd")', "LOGOUT"}
TAG = re.compile(r"[a-z]{7}[1-9][0-9]*")


class Malformed(Exception):
    """A scenario file is not as it should be; the text says why."""


@dataclasses.dataclass
class Scenario:
    """One file. `scripts` by service; `expected` in the shape of seen(); `ask` query parameters; `dns` a list of
    addresses, "own" for that of the server, or "unknown" for a name that does not exist."""

    name: str
    about: str
    scripts: dict
    services: list
    dns: object
    ask: dict
    patient: bool
    piecemeal: bool
    expected: dict

    def size(self):
        return sum(script.size(one) for one in self.scripts.values())

    def longest_line(self):
        return max((len(line) for connections in self.scripts.values() for script_ in connections for one in script_
                    for line in one.data.split(b"\n")), default=0)

    def heavy(self):
        """Whether its server keeps the machine busy, so that others would wait."""
        return self.size() > 20000 or any(script.endless(one) for one in self.scripts.values())

    def handshakes(self):
        """The options of every handshake in the scripts."""
        return {one.options for connections in self.scripts.values() for lines in connections for one in lines
                if one.verb == "TLS"}


# Reading

def load_all(folder=FOLDER, wanted=""):
    """The scenarios whose names contain `wanted`, and a list of complaints about files that cannot be used."""
    scenarios, complaints = [], []
    paths = sorted(glob.glob(os.path.join(folder, "*", "*")) + glob.glob(os.path.join(folder, "*.yaml")))
    for path in paths:
        name = os.path.splitext(os.path.relpath(path, folder))[0]
        try:
            if not path.endswith(".yaml") or "/" not in name:
                raise Malformed("only GROUP/NAME.yaml belongs here")
            if wanted in name:
                scenarios.append(load(path, name))
        except (Malformed, script.Malformed, yaml.YAMLError, re.error, UnicodeError) as reason:
            complaints.append("%s: %s" % (os.path.relpath(path, folder), reason))
        except (TypeError, AttributeError) as reason:
            complaints.append("%s: a field is not of the kind it should be: %s" % (os.path.relpath(path, folder), reason))
    return scenarios, complaints


def load(path, name):
    with open(path, encoding="utf-8") as file:
        return make(name, yaml.load(file, LOADER))


def make(name, content):
    """A scenario of what a file holds."""
    _fields(content, SCENARIO_FIELDS, {"about", "report"}, "the file")
    scripts = {service: script.parse(_text(content[service], service)) for service in SERVICES
               if service in content}
    services = content.get("ports", list(scripts))
    if not services or not set(scripts) <= set(services) <= set(SERVICES):
        raise Malformed("nothing is tested, or a port that `ports` does not name has a script")
    services = [service for service in SERVICES if service in services]
    report = content["report"]
    _fields(report, REPORT_FIELDS, {"verdict", "findings"} | set(services), "report")
    for service in set(SERVICES) - set(services):
        if service in report:
            raise Malformed("report has %s, which is not tested" % service)
    return Scenario(name, _text(content["about"], "about"), scripts, services,
                    content.get("dns", ["own"]), content.get("ask", {}), content.get("patient", False),
                    content.get("piecemeal", True), _expected(report, services, scripts))


def _fields(value, allowed, needed, where):
    if not isinstance(value, dict):
        raise Malformed("%s is no table of fields" % where)
    if set(value) - allowed:
        raise Malformed("%s has unknown fields: %s" % (where, ", ".join(sorted(map(str, set(value) - allowed)))))
    if needed - set(value):
        raise Malformed("%s lacks %s" % (where, ", ".join(sorted(needed - set(value)))))


def _text(value, where):
    if not isinstance(value, str) or not value.strip():
        raise Malformed("%s is no text" % where)
    return value


def _expected(report, services, scripts):
    if report["verdict"] not in VERDICTS:
        raise Malformed("%r is no verdict" % report["verdict"])
    for ident in report.get("says", {}):
        if not any(ident == finding.split()[1] for finding in report["findings"]):
            raise Malformed("says is about %s, which is no expected finding" % ident)
    for pattern in [report.get("summary") or "", *report.get("says", {}).values()]:
        re.compile(pattern)
    return {
        "verdict": report["verdict"],
        "findings": [_finding(text, services) for text in report["findings"]],
        "says": dict(report.get("says", {})),
        "summary": report.get("summary"),
        "gaps": sorted(report["gaps"].split()) if "gaps" in report else None,
        "ports": {service: _expected_port(service, report, services, scripts.get(service))
                  for service in services},
    }


def _finding(text, services):
    words = text.split()
    if len(words) == 2 and len(services) == 1:
        words.append(services[0])
    if len(words) != 3 or words[0] not in SEVERITIES or words[2] not in services + ["host"]:
        raise Malformed('a finding is "SEVERITY ID%s", not %r' % (" PORT" if len(services) > 1 else "", text))
    return " ".join(words)


def _expected_port(service, report, services, connections):
    """What a file does not tell is empty; what follows from the script need not be told."""
    told = report[service]
    _fields(told, PORT_FIELDS, {"verdict"} if len(services) > 1 else set(), "report." + service)
    options = script.handshake(connections or [])
    secured = told.get("secured", options is not None)
    version = "TLS 1.2" if "1.2" in (options or ()) else "TLS 1.3"
    reached = connections is not None
    expected = {
        "verdict": told.get("verdict", report["verdict"]),
        "reachable": reached,
        "error": _error(told.get("error")),
        "greeting": _greeting(told.get("greeting")),
        "capability_phases": _phases(told.get("capability_phases", {})),
        "server_id": _server_id(told.get("server_id")),
        "starttls_supported": secured and service == "imap",
        "implicit_tls": secured and service == "imaps",
        "tls": told.get("tls", version if secured else None),
        "alpn": told.get("alpn", "imap" if secured and "alpn" in options else None),
        "certificate": told.get("certificate", secured),
        "truncated": told.get("truncated", []),
        "attempts": told.get("attempts", ["ok"] if reached else ["connection_refused"]),
        "connections": told.get("connections", len(connections) if reached else 0),
        "commands": told.get("commands", [script.commands(one) for one in connections or []]),
    }
    expected["capabilities"] = _union(expected["capability_phases"])
    return expected


def _error(told):
    if told is None:
        return None
    _fields(told, {"code", "phase", "alert", "said"}, {"code", "phase"}, "error")
    return {"code": told["code"], "phase": told["phase"], "alert": told.get("alert"),
            "said": script.expand(told["said"]) if "said" in told else None}


def _greeting(told):
    if told is None:
        return None
    _fields(told, {"status", "code", "text"}, {"status", "text"}, "greeting")
    return {"status": told["status"], "code": told.get("code"), "text": script.expand(told["text"])}


def _server_id(told):
    return told and {field: value and script.expand(value) for field, value in told.items()}


def _phases(told):
    _fields(told, set(PHASES), set(), "capability_phases")
    return {phase: script.expand(told.get(phase, "")).split() for phase in PHASES}


def _union(phases):
    seen, union = set(), []
    for phase in PHASES:
        for word in phases[phase]:
            if word.upper() not in seen:
                seen.add(word.upper())
                union.append(word)
    return union


# What a test gave, in the shape of what is expected

def seen(scenario, report, host, numbers):
    """`numbers`: the port of each service. A text that is as expected is given in the expectation's own words."""
    expected = scenario.expected
    names = {number: service for service, number in numbers.items()}
    names[None] = "host"
    findings = ["%s %s %s" % (one["severity"], one["id"], names[one["port"]]) for one in report["findings"]]
    gaps = sorted(gap["capability"] for gap in report["feature_gaps"])
    return {
        "verdict": report["verdict"],
        "findings": findings,
        "says": {ident: _matched(pattern, _words(report, ident)) for ident, pattern in expected["says"].items()},
        "summary": _matched(expected["summary"], report["summary"]),
        "gaps": gaps if expected["gaps"] is not None else None,
        "ports": {port["service"]: _seen_port(port, expected["ports"][port["service"]], host)
                  for port in report["ports"]},
    }


def _words(report, ident):
    return "\n".join(finding[field] for finding in report["findings"] if finding["id"] == ident
                     for field in ("title", "detail", "remedy"))


def _matched(pattern, text):
    return pattern if pattern is None or re.search(pattern, text) else text


def _seen_port(port, expected, host):
    error, tls = port["error"], port["tls"]
    if error:
        said = (expected["error"] or {}).get("said")
        error = {"code": error["code"], "phase": error["phase"], "alert": error["alert"],
                 "said": said if said is None or said in error["message"] else error["message"]}
    server = host.plain if port["service"] == "imap" else host.tls
    connections = server.connections if server else []
    return {
        "verdict": port["verdict"], "reachable": port["reachable"], "error": error, "greeting": port["greeting"],
        "capability_phases": port["capability_phases"], "server_id": port["server_id"],
        "starttls_supported": port["starttls_supported"], "implicit_tls": port["implicit_tls"],
        "tls": tls and tls["version"], "alpn": tls and tls["alpn"], "certificate": port["certificate"] is not None,
        "truncated": port["truncated"], "attempts": [_attempt(one["error"]) for one in port["attempts"]],
        "connections": len(connections), "commands": [connection.commands() for connection in connections],
        "capabilities": port["capabilities"],
    }


def _attempt(error):
    if error is None:
        return "ok"
    return " ".join(word for word in (error["code"], error["alert"]) if word)


def as_report(expected):
    """The expected report alone, as text, without what the server saw of the client."""
    unseen = ("connections", "commands")
    ports = {service: {field: value for field, value in port.items() if field not in unseen}
             for service, port in expected["ports"].items()}
    return json.dumps({**expected, "ports": ports}, sort_keys=True)


def difference(expected, found):
    """Lines that show how two things of this shape differ."""
    texts = [yaml.safe_dump(one, width=1000, allow_unicode=True, default_flow_style=None,
                            sort_keys=False).splitlines() for one in (expected, found)]
    lines = list(difflib.unified_diff(*texts, "expected", "seen", lineterm="", n=0))
    return "\n".join(line if len(line) < 600 else line[:600] + "…" for line in lines[:60])


def complaints_about_transcript(report, host):
    """What it says was sent is what the servers got, on each side of the handshake."""
    found = []
    for port in report["ports"]:
        server = host.plain if port["service"] == "imap" else host.tls
        got = [[(inside, line.decode("latin-1")) for inside, line in connection.lines]
               for connection in (server.connections if server else []) if connection.lines]
        told = {}
        for line in port["transcript"]:
            if line["direction"] == "sent":
                told.setdefault(line["connection"], []).append((line["tls"], line["text"]))
        # What was on its way when the handshake turned out to have failed, no server reads.
        if port["error"] and port["error"]["phase"] == "tls":
            told = {number: lines[:len(read)] for (number, lines), read in zip(told.items(), got)}
        if list(told.values()) != got:
            found.append("%s: the transcript tells %s, the server got %s" % (port["service"], told, got))
    return found


# What the server saw of the client

def complaints_about_client(host, slowness):
    """Whatever a guest must not do; `slowness` as of service.slowness()."""
    found, tags = [], []
    for connection in host.connections():
        for _, line in connection.lines:
            tag, _, command = line.decode("latin-1").partition(" ")
            tags.append(tag)
            if not TAG.fullmatch(tag) or command not in COMMANDS:
                found.append("the client said %r" % line)
        if connection.received.count(b"\n") != connection.received.count(b"\r\n"):
            found.append("a command ended without CR LF")
        found += _complaints_about_records(connection.records)
        last = connection.commands()[-2:]
        # Behind ID, whose answer is awaited first, it says nothing of when the farewell was.
        farewell = last[-1:] == ["LOGOUT"] and not last[0].startswith("ID")
        if farewell and connection.left_at and connection.left_at - connection.read_at > 1 + 0.6 * slowness:
            found.append("the client waited %.1f s for its farewell" % (connection.left_at - connection.read_at))
    if len(tags) != len(set(tags)):
        found.append("a tag was used twice: %s" % tags)
    for server, allowed in ((server, _allowed_connections(server)) for server in host.servers()):
        if len(server.connections) > allowed:
            found.append("%d connections to a port, where %d are allowed" % (len(server.connections), allowed))
    return found


def _allowed_connections(server):
    """One, and one more only for a server that cannot do with our ALPN."""
    first = server.connections[0].sent if server.connections else b""
    return 2 if script.NO_APPLICATION_PROTOCOL in first else 1


def _complaints_about_records(data):
    """Behind a ClientHello there are only TLS records."""
    if not data:
        return []
    if data[0] != 22:
        return ["%r came where a ClientHello was awaited" % data[:40]]
    at = 0
    while at + 5 <= len(data):
        if data[at] not in (20, 21, 22, 23) or data[at + 1] != 3:
            return ["%r came behind a ClientHello" % data[at:at + 40]]
        at += 5 + int.from_bytes(data[at + 3:at + 5], "big")
    return [] if at == len(data) else ["half a TLS record came"]
