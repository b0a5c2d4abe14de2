"""The language of tests/cases: what a scripted server does, one thing a line. tests/cases/README.md explains it.

parse() turns a script into instructions, connection by connection; Player makes them steps for imapd.Server, sent in
one piece as written or one byte at a time.
"""
import dataclasses
import re
import time

import imapd
from imapd import Ended

# Handshake alerts by name (RFC 8446 section 6.2, RFC 7301 section 3.2).
ALERTS = {
    "close_notify": 0, "handshake_failure": 40, "bad_certificate": 42, "unknown_ca": 48, "access_denied": 49,
    "decode_error": 50, "protocol_version": 70, "insufficient_security": 71, "internal_error": 80,
    "unrecognized_name": 112, "certificate_required": 116, "no_application_protocol": 120,
}
NO_APPLICATION_PROTOCOL = b"\x15\x03\x03\x00\x02\x02\x78"
# What may stand behind TLS.
TLS_OPTIONS = {"1.2", "alpn", "wants-certificate", "other-certificate"}

ESCAPE = re.compile(rb"\\(x[0-9A-Fa-f]{2}|.)", re.DOTALL)
ESCAPED = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"\\": b"\\"}
REPEATED = re.compile(r"\{([^{}]+)\*(\d+)\}")
TAG = re.compile(rb"\{tag(?:\+(\d+))?\}")


class Malformed(Exception):
    """The script does not follow the language; the text says where and why."""


@dataclasses.dataclass
class Instruction:
    """`verb` and what belongs to it: bytes to send, a command, milliseconds, the options of TLS."""

    verb: str
    data: bytes = b""
    milliseconds: int = 0
    options: frozenset = frozenset()


def expand(text):
    """{TEXT*COUNT} is TEXT so many times, each # in it the number of the turn from 1."""
    def turns(match):
        piece, count = match.group(1), int(match.group(2))
        return "".join(piece.replace("#", str(turn)) for turn in range(1, count + 1)) if "#" in piece \
            else piece * count
    return REPEATED.sub(turns, text)


def _bytes(text):
    def plain(match):
        code = match.group(1)
        if code[:1] == b"x" and len(code) == 3:
            return bytes([int(code[1:], 16)])
        if code not in ESCAPED:
            raise Malformed("the escape \\%s is none of \\r \\n \\t \\xNN \\\\" % code.decode("utf-8", "replace"))
        return ESCAPED[code]
    return ESCAPE.sub(plain, expand(text).encode())


def _tls(words):
    options = frozenset(words)
    if not options <= TLS_OPTIONS or len(options) != len(words):
        raise Malformed("TLS takes %s" % ", ".join(sorted(TLS_OPTIONS)))
    return Instruction("TLS", options=options)


def _alert(words):
    if len(words) != 1 or words[0] not in ALERTS:
        raise Malformed("ALERT takes one of %s" % ", ".join(ALERTS))
    return Instruction("ALERT", b"\x15\x03\x03\x00\x02\x02" + bytes([ALERTS[words[0]]]))


def _milliseconds(words):
    if len(words) != 2 or not words[0].isdigit() or words[1] != "ms":
        raise Malformed("the time is to be given as in: 100 ms")
    return int(words[0])


def _bare(verb, words):
    if words:
        raise Malformed("%s stands alone" % verb)
    return Instruction(verb)


def _instruction(line):
    head, colon, text = line.partition(":")
    text = text[1:] if text[:1] == " " else text
    verb, *words = head.split()
    if colon and verb == "DRIP":
        return Instruction("DRIP", _bytes(text), _milliseconds(words))
    if colon and not words and verb in ("S", "RAW", "FLOOD", "C"):
        if verb == "C":
            return Instruction("C", text.encode())
        return Instruction("FLOOD" if verb == "FLOOD" else "SEND", _bytes(text) + (b"\r\n" if verb == "S" else b""))
    if colon:
        raise Malformed("what is %r?" % head)
    if verb == "PAUSE":
        return Instruction("PAUSE", milliseconds=_milliseconds(words))
    if verb == "TLS":
        return _tls(words)
    if verb == "ALERT":
        return _alert(words)
    if verb in ("HELLO", "SILENCE", "CLOSE", "CLOSE_NOTIFY", "RESET"):
        return _bare(verb, words)
    raise Malformed("what is %r?" % line)


def parse(text):
    """A list of instructions for each connection. Lines to send that follow each other go out in one piece."""
    connections = [[]]
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        if line.strip() == "NEXT CONNECTION":
            connections.append([])
            continue
        try:
            instruction = _instruction(line)
        except Malformed as reason:
            raise Malformed("line %d of the script: %s" % (number, reason)) from None
        script = connections[-1]
        if instruction.verb == "SEND" and script and script[-1].verb == "SEND":
            script[-1].data += instruction.data
        else:
            script.append(instruction)
    if not all(connections):
        raise Malformed("a connection without a script; SILENCE says nothing")
    return connections


def commands(connection):
    """What the client says in a script."""
    return [one.data.decode() for one in connection if one.verb == "C"]


def size(connections):
    return sum(len(one.data) for script in connections for one in script)


def endless(connections):
    """Whether a script sends as fast as it goes without an end."""
    return any(one.verb == "FLOOD" for script in connections for one in script)


def handshake(connections):
    """The options of the last handshake that a script completes, None where it completes none."""
    found = [one.options for script in connections for one in script if one.verb == "TLS"]
    return found[-1] if found else None


class Player:
    """Makes steps. `context` gives a TLS context for options of TLS; `piecemeal`: one byte at a time."""

    def __init__(self, context, piecemeal):
        self.context, self.piecemeal = context, piecemeal

    def steps(self, connections):
        """For imapd.Server: the steps of the connection with this number; what is beyond plays the last again."""
        return lambda number: [self._step(one) for one in connections[min(number, len(connections) - 1)]]

    def _step(self, one):
        plain = {"HELLO": imapd.hello, "SILENCE": imapd.silence, "CLOSE": imapd.end_of_stream,
                 "CLOSE_NOTIFY": imapd.close_notify, "RESET": imapd.reset}
        if one.verb in plain:
            return plain[one.verb]()
        if one.verb == "SEND":
            return self._send(one.data)
        if one.verb == "C":
            return imapd.expect(re.escape(one.data))
        if one.verb == "TLS":
            return lambda connection: connection.secure(self.context(one.options))
        if one.verb == "ALERT":
            return imapd.send(one.data)
        if one.verb == "PAUSE":
            return imapd.sleep(one.milliseconds / 1000)
        return self._endless(one.data, one.milliseconds / 1000)

    @staticmethod
    def _filled(data, connection):
        def tag(match):
            ahead = int(match.group(1) or 0)
            prefix, number = re.fullmatch(rb"(\D*)(\d*)", connection.tag).groups()
            return connection.tag if ahead == 0 else prefix + b"%d" % (int(number) + ahead)
        return TAG.sub(tag, data)

    def _send(self, data):
        def step(connection):
            filled = self._filled(data, connection)
            pieces = [filled[at:at + 1] for at in range(len(filled))] if self.piecemeal else [filled]
            for piece in pieces:
                connection.send(piece)
        return step

    def _endless(self, data, interval):
        # As many turns at a time as make a segment, where there is no waiting between them.
        block = data if interval else data * max(1, 16384 // len(data))

        def step(connection):
            filled = self._filled(block, connection)
            while True:
                connection.send(filled)
                time.sleep(interval)
        return step


__all__ = ["Ended", "Instruction", "Malformed", "Player", "commands", "endless", "expand", "handshake", "parse", "size"]
