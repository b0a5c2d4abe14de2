"""The contract as checks: validates answers of the service against the schemas of openapi.yaml.

validate_report() and its like raise SchemaError, whose text has one line for each fault: where it is, and what."""
import datetime
import functools
import ipaddress
import os

import jsonschema
import yaml

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OPENAPI = os.path.join(ROOT, "openapi.yaml")

# A report can be wrong in a thousand places at once; the first few tell enough.
FAULTS_SHOWN = 20


class SchemaError(AssertionError):
    """Something does not follow the contract."""


@functools.lru_cache(maxsize=None)
def load(path=OPENAPI):
    """The parsed document."""
    with open(path, encoding="utf-8") as file:
        return yaml.safe_load(file)


# An own set: the stock one checks `date-time` only where an optional package is installed, and says nothing if not.
FORMATS = jsonschema.FormatChecker(formats=())


@FORMATS.checks("date-time", raises=ValueError)
def _is_date_time(value):
    """RFC 3339 in UTC and to the second, a day that exists."""
    return not isinstance(value, str) or bool(datetime.datetime.strptime(value, "%Y-%m-%dT%H:%M:%SZ"))


@FORMATS.checks("ipv4", raises=ValueError)
def _is_ipv4(value):
    return not isinstance(value, str) or str(ipaddress.IPv4Address(value)) == value


@FORMATS.checks("ipv6", raises=ValueError)
def _is_ipv6(value):
    """RFC 5952: an address has one text only; but a dotted quad may stand for the last 32 bits (section 5)."""
    return not isinstance(value, str) or "." in value and bool(ipaddress.IPv6Address(value)) \
        or str(ipaddress.IPv6Address(value)) == value


def _leaves(error):
    """The faults behind an error: for "none of these schemas", those of the one that came closest."""
    if not error.context:
        return [error]
    branches = {}
    for inner in error.context:
        branches.setdefault(inner.schema_path[0], []).extend(_leaves(inner))
    # A branch that got deep into the value is the one that was meant; `null` gets nowhere.
    depth = {key: max(len(leaf.absolute_path) for leaf in leaves) for key, leaves in branches.items()}
    best = max(depth.values())
    meant = [key for key in branches if depth[key] == best]
    named = [key for key in meant if any(leaf.validator not in ("type", "const") for leaf in branches[key])]
    chosen = named or meant
    return branches[chosen[0]] if len(chosen) == 1 else [error]


def _where(error):
    path = "$"
    for step in error.absolute_path:
        path += "[%d]" % step if isinstance(step, int) else ".%s" % step
    return path


def _what(error):
    """Short, also where the value is a whole report."""
    text = error.message
    return text if len(text) <= 300 else "%s … (%s)" % (text[:240], error.validator)


def faults(value, schema, document=None):
    """All departures of a value from a schema of the document, as lines "path: what is wrong"."""
    document = document or load()
    whole = dict(schema if isinstance(schema, dict) else {"$ref": schema})
    whole = {"allOf": [whole], "components": document.get("components", {})}
    validator = jsonschema.Draft202012Validator(whole, format_checker=FORMATS)
    lines = {}
    for error in validator.iter_errors(value):
        for leaf in _leaves(error):
            lines["%s: %s" % (_where(leaf), _what(leaf))] = None
    return sorted(lines)


def _demand(value, schema, what, document=None):
    found = faults(value, schema, document)
    if found:
        more = len(found) - FAULTS_SHOWN
        shown = found[:FAULTS_SHOWN] + (["… and %d more" % more] if more > 0 else [])
        raise SchemaError("the %s does not follow openapi.yaml:\n  %s" % (what, "\n  ".join(shown)))


def component(name):
    """Reference to a schema of the document."""
    return "#/components/schemas/" + name


def validate(value, name, document=None):
    """Raises SchemaError unless the value follows the schema of this name."""
    _demand(value, component(name), name, document)


def validate_report(report, document=None):
    """An answer 200 of /v1/imap-test."""
    _demand(report, component("Report"), "report", document)


def validate_capabilities(answer, document=None):
    """An answer 200 of /v1/capabilities."""
    _demand(answer, component("CapabilityList"), "capability list", document)


def problem_responses(document=None):
    """Schema of the problem for each status, as int."""
    document = document or load()
    schemas = {}
    for path in document["paths"].values():
        for operation in path.values():
            for status, response in operation["responses"].items():
                response = resolve(response, document)
                media = response.get("content", {}).get("application/problem+json")
                if media:
                    schemas[int(status)] = media["schema"]
    return schemas


def validate_problem(problem, status=None, document=None):
    """The body of an answer of application/problem+json: of the HTTP status given, else of that which it names."""
    if not isinstance(problem, dict):
        raise SchemaError("the problem does not follow openapi.yaml:\n  $: not an object")
    if status is None:
        status = problem.get("status")
    schema = problem_responses(document).get(status) if isinstance(status, int) else None
    if schema is None:
        raise SchemaError("the problem does not follow openapi.yaml:\n  $.status: no answer has the status %r" % status)
    _demand(problem, schema, "problem", document)


def resolve(node, document=None):
    """The object itself where `node` is a reference to it."""
    document = document or load()
    while isinstance(node, dict) and "$ref" in node:
        target = document
        for step in node["$ref"].lstrip("#/").split("/"):
            target = target[step.replace("~1", "/").replace("~0", "~")]
        node = target
    return node
