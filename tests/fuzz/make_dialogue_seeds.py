#!/usr/bin/python3
"""make_dialogue_seeds.py FOLDER: makes seeds for fuzz_imap of the scenarios in tests/cases, one file each.

What a server says on its ports becomes one input of fuzz_imap.c, as its first comment describes. Long scenarios are left
out: they are about bounds."""
import glob
import os
import re
import sys

import yaml

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "lib"))

import script

PORTS = {"imap": 1, "imaps": 2}
BETWEEN_PORTS = b"\xf5"
MOST = 2000


def words(text):
    """All that the server says on its first connection, with the tags of the fuzz target."""
    said, number = b"", 0
    for one in script.parse(text)[0]:
        if one.verb == "C":
            number += 1
        elif one.verb in ("SEND", "FLOOD", "DRIP", "ALERT"):
            said += re.sub(rb"\{tag(?:\+(\d+))?\}", lambda m: b"aaaaaaa%d" % (number + int(m.group(1) or 0)), one.data)
    return said.replace(BETWEEN_PORTS, b"?")


def main():
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit("usage: make_dialogue_seeds.py FOLDER")
    folder, made = sys.argv[1], 0
    os.makedirs(folder, exist_ok=True)
    for path in sorted(glob.glob(os.path.join(ROOT, "cases", "*", "*.yaml"))):
        with open(path, encoding="utf-8") as source:
            scenario = yaml.safe_load(source)
        ports = [port for port in PORTS if port in scenario]
        if not ports:
            continue
        data = BETWEEN_PORTS.join(words(scenario[port]) for port in ports)
        if len(data) > MOST:
            continue
        first = 0 if len(ports) == 2 else PORTS[ports[0]]
        name = "-".join(path.split(os.sep)[-2:])[:-len(".yaml")]
        with open(os.path.join(folder, name), "wb") as seed:
            seed.write(bytes([first]) + data)
        made += 1
    print("%d seeds" % made)


main()
