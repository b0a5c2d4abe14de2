"""The table of address forms (tests/net/address_forms.txt), and the policy itself as a program to ask."""
import json
import os
import re
import shlex
import subprocess

import service

TABLE = os.path.join(service.ROOT, "tests/net/address_forms.txt")
VERDICTS = ("permitted", "refused", "invalid")
ROW = re.compile(r'("(?:[^"\\]|\\.)*"|\S+(?: \S+)*?)\s{2,}(\w+)\s{2,}(\S.*)')


class Row:
    """One line: with these options the form has this verdict."""

    def __init__(self, number, options, form, verdict, why):
        self.number, self.options, self.form, self.verdict, self.why = number, options, form, verdict, why

    def __repr__(self):
        return "line %d: %r %s (%s)" % (self.number, self.form, self.verdict, self.why)


def rows():
    """All of the table, in order. ValueError names a line that is none."""
    found, options = [], None
    with open(TABLE, encoding="utf-8") as table:
        for number, line in enumerate(table, 1):
            line = line.rstrip("\n")
            if not line or line.startswith("#"):
                continue
            if line.startswith("["):
                options = tuple(shlex.split(line[1:line.rindex("]")]))
                continue
            match = ROW.fullmatch(line)
            if not match or match.group(2) not in VERDICTS or options is None:
                raise ValueError("%s:%d is no row: %s" % (TABLE, number, line))
            form = match.group(1)
            found.append(Row(number, options, json.loads(form) if form.startswith('"') else form, *match.groups()[1:]))
    return found


def by_options(found):
    """Rows put together by what the service has to be started with."""
    groups = {}
    for row in found:
        groups.setdefault(row.options, []).append(row)
    return groups


def as_keywords(options):
    """Command-line options as keywords for service.Service and stage.Stage."""
    keywords = {}
    for name, value in zip(options[::2], options[1::2]):
        keywords.setdefault(name.lstrip("-").replace("-", "_"), []).append(value)
    return keywords


def program():
    return os.environ.get("IMAP_TESTD_VERDICTS") or os.path.join(service.ROOT, "build/dev/tests/target_verdicts")


def command(options=()):
    return service.wrapper() + [program(), *options]


def ask(options, hosts):
    """The policy's verdicts on hosts, in order."""
    hosts = list(hosts)
    done = subprocess.run(command(options), input="".join(host + "\n" for host in hosts).encode(),
                          stdout=subprocess.PIPE, check=True)
    answers = done.stdout.decode().splitlines()
    if len(answers) != len(hosts):
        raise AssertionError("%d verdicts on %d hosts" % (len(answers), len(hosts)))
    return answers
