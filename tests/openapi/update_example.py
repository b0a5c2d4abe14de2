#!/usr/bin/python3
"""Writes a real report into the example of openapi.yaml: update_example.py [OPENAPI_YAML] < report.json

Only the lines of components.examples.Report.value change. A report that does not follow the schemas is refused."""
import json
import re
import sys

import schema

PATH = ["components", "examples", "Report", "value"]
INDENT = 2

# Keys that need no quotes: ours, unless some YAML reader takes them for a truth value.
PLAIN_KEY = re.compile(r"(?!(?:y|n|yes|no|on|off|true|false|null)$)[a-z][a-z0-9_]*$")
WIDTH = 110


def emit(value, indent):
    """YAML lines of a JSON value: block style, but empty or short plain lists in one line. Strings are always in
    double quotes, where YAML and JSON agree, so that no reader takes one for a number or a date."""
    pad = " " * indent
    if isinstance(value, dict) and value:
        lines = []
        for key, inner in value.items():
            name = key if PLAIN_KEY.match(key) else scalar(key)
            lines += join(pad + name + ":", inner, indent)
        return lines
    if isinstance(value, list) and value:
        lines = []
        for inner in value:
            if isinstance(inner, (dict, list)) and inner:
                body = emit(inner, indent + INDENT)
                lines.append(pad + "- " + body[0].lstrip(" "))
                lines += body[1:]
            else:
                lines.append(pad + "- " + scalar(inner))
        return lines
    return [pad + scalar(value)]


def join(head, value, indent):
    """The lines of `head` followed by the value, on the same line where it fits."""
    if isinstance(value, list) and not any(isinstance(inner, (dict, list)) for inner in value):
        line = "%s [%s]" % (head, ", ".join(scalar(inner) for inner in value))
        if len(line) <= WIDTH:
            return [line]
    if isinstance(value, (dict, list)) and value:
        return [head] + emit(value, indent + INDENT)
    return [head + " " + scalar(value)]


def scalar(value):
    """JSON is YAML, except that YAML readers may refuse controls and break lines at what Unicode calls a line end."""
    text = json.dumps(value, ensure_ascii=False)
    return re.sub("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]", lambda c: "\\u%04x" % ord(c.group()), text)


def find_block(lines):
    """Numbers of the first line behind `value:` and of the first that belongs to it no more."""
    at, indent = 0, 0
    for name in PATH:
        head = " " * indent + name + ":"
        while at < len(lines) and lines[at].rstrip() != head:
            if lines[at].strip() and len(lines[at]) - len(lines[at].lstrip(" ")) < indent:
                raise LookupError("%s is not where it should be" % ".".join(PATH))
            at += 1
        if at == len(lines):
            raise LookupError("there is no %s" % ".".join(PATH))
        at += 1
        indent += INDENT
    end = at
    while end < len(lines) and (not lines[end].strip() or lines[end].startswith(" " * indent)):
        end += 1
    while end > at and not lines[end - 1].strip():
        end -= 1
    return at, end


def replace(text, report):
    """The document with another example."""
    lines = text.split("\n")
    start, end = find_block(lines)
    lines[start:end] = emit(report, INDENT * len(PATH))
    return "\n".join(lines)


def main():
    path = sys.argv[1] if len(sys.argv) > 1 else schema.OPENAPI
    report = json.load(sys.stdin)
    schema.validate_report(report, schema.load(path))
    with open(path, encoding="utf-8") as file:
        text = file.read()
    text = replace(text, report)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


if __name__ == "__main__":
    try:
        main()
    except (schema.SchemaError, LookupError, ValueError, OSError) as failure:
        sys.exit("update_example.py: %s" % failure)
