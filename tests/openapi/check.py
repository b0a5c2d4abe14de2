#!/usr/bin/python3
"""Checks openapi.yaml: check.py PRINT_TABLES, the path of the program built from print_tables.c.

Its examples follow its schemas; its enumerations are those of the program, no more and no less; each object says all
of its fields; and the validator that other tests use can say no.

check.py --validate [FILE…] checks real answers instead, from standard input where no file is named."""
import collections
import copy
import json
import subprocess
import sys
import unittest

import schema
import update_example

# Tables of the program and the schemas that repeat them.
TABLES = {
    "error": "ErrorCode",
    "phase": "Phase",
    "verdict": "Verdict",
    "truncated": "Truncated",
    "severity": "Severity",
    "finding": "FindingId",
    "chain_error": "ChainError",
    "san_type": "SanType",
    "ocsp_stapling": "OcspStapling",
    "gap": "GapCapability",
    "category": "CapabilityCategory",
}

# Maps whose keys are not ours.
MAPS = {"/components/schemas/PortReport/properties/server_id"}

print_tables = None


def walk(node, path=""):
    """Every object and array of the document with its JSON pointer."""
    yield path, node
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, inner in items:
        yield from walk(inner, "%s/%s" % (path, str(key).replace("~", "~0").replace("/", "~1")))


def walk_schemas(document):
    """Every schema with its pointer, not looking into examples."""
    for path, node in walk(document):
        steps = path.split("/")
        if isinstance(node, dict) and "properties" in node and not {"example", "examples"} & set(steps):
            yield path, node


class Examples(unittest.TestCase):
    """What stands in the document as an example is one."""

    def test_examples_follow_their_schemas(self):
        document, count = schema.load(), 0
        for path, node in walk(document):
            if not isinstance(node, dict) or "schema" not in node:
                continue
            values = [node["example"]] if "example" in node else []
            values += [schema.resolve(example)["value"] for example in node.get("examples", {}).values()]
            for value in values:
                count += 1
                with self.subTest(at=path):
                    self.assertEqual(schema.faults(value, node["schema"]), [])
        # 8 parameters, 7 headers, 4 answers, 11 problems.
        self.assertGreaterEqual(count, 30, "examples are missing")

    def test_schemas_are_schemas(self):
        for name, node in schema.load()["components"]["schemas"].items():
            with self.subTest(schema=name):
                schema.jsonschema.Draft202012Validator.check_schema(node)

    def test_examples_inside_schemas(self):
        for path, node in walk(schema.load()["components"]["schemas"]):
            if isinstance(node, dict) and isinstance(node.get("examples"), list):
                for value in node["examples"]:
                    with self.subTest(at=path):
                        self.assertEqual(schema.faults(value, node), [])


class Tables(unittest.TestCase):
    """The document and the program say the same words."""

    @classmethod
    def setUpClass(cls):
        output = subprocess.run([print_tables], check=True, capture_output=True, timeout=60).stdout.decode("utf-8")
        cls.tables = collections.defaultdict(list)
        for line in output.splitlines():
            table, value = line.split(" ", 1)
            cls.tables[table].append(value)

    def assert_same(self, document, program):
        document, program = set(document), set(program)
        self.assertEqual(sorted(program - document), [], "the program has these, openapi.yaml does not")
        self.assertEqual(sorted(document - program), [], "openapi.yaml has these, the program does not")

    def test_enumerations(self):
        for table, name in TABLES.items():
            with self.subTest(table=table):
                self.assertNotEqual(self.tables[table], [])
                self.assert_same(schema.load()["components"]["schemas"][name]["enum"], self.tables[table])

    def test_no_value_twice(self):
        for table, values in self.tables.items():
            if table != "category":
                with self.subTest(table=table):
                    self.assertEqual(sorted(set(values)), sorted(values))

    def test_problems_by_status(self):
        answers = schema.problem_responses()
        statuses = {int(table.partition("_")[2]) for table in self.tables if table.startswith("problem_")}
        self.assert_same(answers, statuses)
        for status, answer in answers.items():
            with self.subTest(status=status):
                parts = answer.get("allOf", [schema.resolve(answer)])
                properties = {key: value for part in parts for key, value in part.get("properties", {}).items()}
                self.assertEqual(properties["status"], {**properties["status"], "const": status})
                codes = properties["code"].get("enum") or [properties["code"]["const"]]
                self.assert_same(codes, self.tables["problem_%d" % status])

    def test_problem_codes(self):
        codes = [code for table, values in self.tables.items() if table.startswith("problem_") for code in values]
        self.assert_same(schema.load()["components"]["schemas"]["ProblemCode"]["enum"] + ["rate_limited"], codes)

    def test_paths(self):
        self.assert_same(schema.load()["paths"], self.tables["path"])

    def test_gaps_are_in_catalogue(self):
        self.assertLessEqual(set(self.tables["gap"]), set(self.tables["capability"]))


class Shape(unittest.TestCase):
    """No object leaves it open what it has."""

    def test_objects_say_all_fields(self):
        count = 0
        for path, node in walk_schemas(schema.load()):
            if path in MAPS or "/allOf/" in path:
                continue
            count += 1
            with self.subTest(at=path):
                self.assertEqual(node.get("type"), "object")
                self.assertIs(node.get("additionalProperties"), False)
                self.assertEqual(sorted(node.get("required", [])), sorted(node["properties"]))
        self.assertGreater(count, 15)

    def test_objects_without_fields_are_known(self):
        for path, node in walk(schema.load()["components"]["schemas"], "/components/schemas"):
            if isinstance(node, dict) and "object" in (node.get("type") or ()) and "properties" not in node:
                self.assertIn(path, MAPS)


def report():
    """A copy of the example, to spoil."""
    return copy.deepcopy(schema.load()["components"]["examples"]["Report"]["value"])


def put(*steps):
    """Sets the value at a path, the last of the steps."""
    *path, last, value = steps

    def spoil(node):
        for step in path:
            node = node[step]
        node[last] = value
    return spoil


def drop(*steps):
    *path, last = steps

    def spoil(node):
        for step in path:
            node = node[step]
        del node[last]
    return spoil


FAILURE = {"code": "read_timeout", "phase": "greeting", "message": "Silence.", "alert": None, "raw": None}
CERTIFICATE = ("ports", 0, "certificate")

# What is wrong, how to get there, and what the complaint must begin with.
SPOILT = [
    ("extra field", put("extra", 1), "$: Additional properties"),
    ("extra field, deep", put(*CERTIFICATE, "extra", 1), "$.ports[0].certificate: Additional properties"),
    ("missing field", drop("summary"), "$: 'summary' is a required property"),
    ("missing field behind a null", drop("ports", 0, "tls", "alpn"), "$.ports[0].tls: 'alpn' is a required"),
    ("missing field in an array", drop("findings", 0, "remedy"), "$.findings[0]: 'remedy' is a required"),
    ("wrong enum", put("verdict", "fine"), "$.verdict: 'fine' is not one of"),
    ("wrong enum behind a null", put("ports", 0, "error", {**FAILURE, "code": "bored"}), "$.ports[0].error.code: 'bo"),
    ("wrong enum in an array", put(*CERTIFICATE, "chain_errors", ["old"]), "$.ports[0].certificate.chain_errors[0]"),
    ("null where none may be", put("ports", 0, "capabilities", None), "$.ports[0].capabilities: None is not of type"),
    ("string for number", put("duration_ms", "182.4"), "$.duration_ms: '182.4' is not of type 'number'"),
    ("negative duration", put("ports", 0, "timings_ms", "connect", -1.0), "$.ports[0].timings_ms.connect: -1.0 is"),
    ("boolean for number", put(*CERTIFICATE, "key_bits", True), "$.ports[0].certificate.key_bits: True is not"),
    ("local time", put("tested_at", "2026-11-23T18:29:00+01:00"), "$.tested_at: "),
    ("no such day", put("tested_at", "2026-02-30T18:29:00Z"), "$.tested_at: '2026-02-30T18:29:00Z' is not a"),
    ("no address", put("ports", 0, "attempts", 0, "address", "192.0.2.256"), "$.ports[0].attempts[0].address: "),
    ("IPv6 not in its one form", put("dns", "addresses", ["2001:DB8::1"]), "$.dns.addresses[0]: "),
    ("long text", put("ports", 0, "greeting", "text", "x" * 513), "$.ports[0].greeting.text: "),
    ("fingerprint in capitals", put(*CERTIFICATE, "fingerprint_sha256", "AB:" * 31 + "AB"), "$.ports[0].certificate.f"),
    ("number in server_id", put("ports", 1, "server_id", {"name": 5}), "$.ports[1].server_id.name: 5 is not"),
    ("no port", put("ports", []), "$.ports: "),
]

# Good as well as the example itself.
SOUND = [
    ("untouched", lambda node: None),
    ("error", put("ports", 0, "error", FAILURE)),
    ("no dialogue", put("ports", 0, "greeting", None)),
    ("no TLS", put("ports", 0, "tls", None)),
    ("server_id with NIL", put("ports", 0, "server_id", {"name": None, "x y": "z"})),
    ("server_id empty", put("ports", 0, "server_id", {})),
    ("time not reached", put("ports", 0, "timings_ms", "tls_handshake", None)),
    ("whole milliseconds", put("duration_ms", 7)),
    ("mapped address", put("dns", "addresses", ["::ffff:192.0.2.1", "::", "2001:db8::10"])),
    ("leaf not parsed", put(*CERTIFICATE, "key_algorithm", None)),
]


class Validator(unittest.TestCase):
    """The validator can say no, and says where."""

    def test_sound_reports(self):
        for name, change in SOUND:
            with self.subTest(name):
                value = report()
                change(value)
                schema.validate_report(value)

    def test_spoilt_reports(self):
        for name, change, complaint in SPOILT:
            with self.subTest(name):
                value = report()
                change(value)
                with self.assertRaises(schema.SchemaError) as raised:
                    schema.validate_report(value)
                self.assertIn("\n  " + complaint, str(raised.exception))

    def test_problems(self):
        sound = {"type": "urn:imap-test:problem:invalid_host", "title": "Invalid host", "status": 400,
                 "detail": "…", "code": "invalid_host", "request_id": "a"}
        limited = {**sound, "type": "urn:imap-test:problem:rate_limited", "status": 429, "code": "rate_limited",
                   "scope": "client"}
        for value in (sound, limited):
            schema.validate_problem(value)
            schema.validate_problem(value, value["status"])
        for name, value, status in (
                ("code of another status", {**sound, "status": 404}, None),
                ("other status than the answer's", sound, 404),
                ("status that there is not", {**sound, "status": 418}, None),
                ("scope where none belongs", {**sound, "scope": "client"}, None),
                ("scope missing", {key: limited[key] for key in limited if key != "scope"}, None),
                ("wrong scope", {**limited, "scope": "all"}, None),
                ("no request id", {**sound, "request_id": None}, None),
                ("request id with a space", {**sound, "request_id": "a b"}, None),
                ("unknown code", {**sound, "code": "bored"}, None),
                ("other type", {**sound, "type": "about:blank"}, None),
                ("no object", [sound], None)):
            with self.subTest(name), self.assertRaises(schema.SchemaError):
                schema.validate_problem(value, status)

    def test_capabilities(self):
        row = {"name": "X", "category": "core", "meaning": "m", "absence": None, "reference": "r"}
        schema.validate_capabilities({"capabilities": [row]})
        for wrong in ({**row, "category": "misc"}, {**row, "gap": True}, {**row, "meaning": None}):
            with self.subTest(row=wrong), self.assertRaises(schema.SchemaError):
                schema.validate_capabilities({"capabilities": [wrong]})


class Update(unittest.TestCase):
    """update_example.py changes the example and nothing else."""

    def test_round_trip(self):
        with open(schema.OPENAPI, encoding="utf-8") as file:
            text = file.read()
        self.assertEqual(update_example.replace(text, report()), text, "the example is not as the script writes it")

    def test_only_the_example_changes(self):
        with open(schema.OPENAPI, encoding="utf-8") as file:
            text = file.read()
        value = report()
        value["summary"] = "yes: # no\\ \"\u2028 \x7f { 12e3"
        value["ports"][0]["server_id"] = {"null": "12e3", "- x": None, "on": "~", "a": "2026-01-01", "": "[]"}
        value["ports"][0]["capabilities"] = ["IMAP4rev1"] * 40
        value["findings"] = []
        changed = update_example.replace(text, value)
        self.assertEqual(schema.yaml.safe_load(changed)["components"]["examples"]["Report"]["value"], value)
        self.assertEqual(update_example.replace(changed, report()), text)

    def test_lost_place(self):
        with self.assertRaises(LookupError):
            update_example.replace("components:\n  schemas:\n    Report:\n      value:\n        1\n", report())


def validate_answers(files):
    """Validates answers by what they are; returns the exit status."""
    status = 0
    for name in files or ["-"]:
        try:
            with (sys.stdin if name == "-" else open(name, encoding="utf-8")) as file:
                value = json.load(file)
            if isinstance(value, dict) and "code" in value and "ports" not in value:
                schema.validate_problem(value)
            elif isinstance(value, dict) and "capabilities" in value and "ports" not in value:
                schema.validate_capabilities(value)
            else:
                schema.validate_report(value)
        except (schema.SchemaError, ValueError, OSError) as failure:
            print("%s: %s" % (name, failure), file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    if sys.argv[1] == "--validate":
        sys.exit(validate_answers(sys.argv[2:]))
    print_tables = sys.argv.pop(1)
    unittest.main()
