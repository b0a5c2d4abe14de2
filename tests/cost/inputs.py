"""inputs.py: what an attacker would send to each parser, in any size: octets but where KINDS says otherwise."""
import itertools
import os
import re
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import growing  # noqa: E402

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")

# Each block of a pair leads the hash of probe/base/text.c to the same state, so words made of one block of each pair
# all have one hash. Behind the first two blocks the other three can be repeated at will.
FIRST_PAIRS = (("gwzx", "16cd"), ("yyao", "1kia"))
MORE_PAIRS = (("g3zx", "1pad"), ("epvu", "33ea"), ("zwfo", "2uja"))


def limits():
    """The bounds of probe/base/limits.h by name, without LIMIT_."""
    found = {}
    with open(os.path.join(ROOT, "probe/base/limits.h"), encoding="utf-8") as file:
        for name, value in re.findall(r"#define LIMIT_(\w+) \(?(\d[0-9u* ]*)", file.read()):
            product = 1
            for factor in value.replace("u", "").split("*"):
                product *= int(factor)
            found[name] = product
    return found


def hash_nocase(word):
    value = 2166136261
    for octet in word.lower():
        value = (value ^ octet) * 16777619 & 0xffffffff
    return value


def times(piece):
    """Whole pieces only: the unit in which this input grows."""
    return lambda size: piece * (size // len(piece))


def inside(before, piece, after):
    return lambda size: before + piece * max(0, (size - len(before) - len(after)) // len(piece)) + after


def words(make, before=b"", after=b"", between=b" "):
    """make(number) is the word of this number; the first is number 0."""
    def generate(size):
        room = size - len(before) - len(after)
        list_, used = [], 0
        for number in itertools.count():
            word = make(number)
            used += len(word) + len(between)
            if used > room:
                return before + between.join(list_) + after
            list_.append(word)
    return generate


def colliding(number, rounds=4):
    """Every word of this function has the same hash; low numbers differ at the end only."""
    pairs = FIRST_PAIRS + MORE_PAIRS * rounds
    return "".join(pair[number >> bit & 1] for pair, bit in zip(pairs, reversed(range(len(pairs))))).encode()


def colliding_long(number):
    return colliding(number, 20)


assert len({hash_nocase(make(number)) for make in (colliding, colliding_long) for number in range(99)}) == 2


def families(number):
    """As many words of one hash as are looked at for one word, then those of another."""
    return colliding(number % 64) + b"%04x" % (number // 64)


def spelled(number):
    """The same letters, each time in another case."""
    return "".join(c.upper() if number >> bit & 1 else c for bit, c in enumerate("abcdefghijklmnop")).encode()


def both_ports(make):
    """Words for port 143, and others for port 993."""
    return lambda size: (words(make)(size // 2) + b"\n" +
                         words(lambda number: make(number + 32))(size - size // 2))


def short(number):
    return b"%x" % number


def long(number):
    return b"%x" % number + b"-" * (255 - len(b"%x" % number))


def long_first(number):
    """What differs comes last."""
    return b"-" * 245 + b"%010x" % number


def lists_in_phases(make):
    """Half a phase's bound for each list that counts: greeting, CAPABILITY, CAPABILITY inside TLS, ID."""
    def generate(size):
        quarter = size // 4
        return (words(make, b"* OK [CAPABILITY ", b"] hi\r\n")(quarter) +
                words(make, b"* CAPABILITY ", b"\r\naaaaaaa1 OK\r\naaaaaaa2 OK\r\n")(quarter) +
                words(make, b"* CAPABILITY ID ", b"\r\naaaaaaa3 OK\r\n")(quarter) +
                inside(b"* ID (", b'"\\"" "\\\\" ', b")\r\naaaaaaa4 OK\r\naaaaaaa5 OK\r\n")(quarter))
    return generate


def after_greeting(generate):
    greeting = b"* OK hi\r\n"
    return lambda size: greeting + generate(max(0, size - len(greeting)))


def lines(line, before=b""):
    return inside(before, line, b"")


def literals(size):
    return inside(b"* LIST ", b"{0}\r\n", b"\r\n")(size)


def quoted_literals(size):
    """Each line ends in what announces a literal, but for a quote that is open since its start."""
    return times(b'* LIST "' + b"x" * 50 + b'{1}\r\n')(size)


def literal_behind_long_line(size):
    return inside(b"* LIST ", b"\\", b"{1}\r\nx\r\n")(size)


def braces(size):
    return inside(b"* LIST ", b"{1}", b"\r\nx\r\n")(size)


def id_literals(size):
    return inside(b"(", b"NIL {1}\r\nx ", b")")(size)


def id_braces(size):
    return inside(b"(NIL {1", b"{1", b"\r\nx)")(size)


def dns_message(records, questions=0):
    return struct.pack("!6H", 0x1234, 0x8180, questions, records, 0, 0)


def dns_cnames(size):
    """Each name points to the longest chain of labels that its first one can reach."""
    name = b"".join(b"\x3f" + b"a" * 63 for _ in range(3)) + b"\x3d" + b"b" * 61 + b"\0"
    first = name + struct.pack("!HHIH", 5, 1, 0, 2) + b"\xc0\x0c"
    record = b"\xc0\x0c" + struct.pack("!HHIH", 5, 1, 0, 2) + b"\xc0\x0c"
    count = max(0, (size - 12 - len(first)) // len(record))
    return dns_message(count + 1) + first + record * count


def dns_labels(size):
    """The same with labels of one octet: 127 steps for each name."""
    first = b"\x01a" * 127 + b"\0" + struct.pack("!HHIH", 5, 1, 0, 2) + b"\xc0\x0c"
    record = b"\xc0\x0c" + struct.pack("!HHIH", 5, 1, 0, 2) + b"\xc0\x0c"
    count = max(0, (size - 12 - len(first)) // len(record))
    return dns_message(count + 1) + first + record * count


def dns_pointers(size):
    """Names point to the one before, which points on, as far as c-ares follows."""
    record = struct.pack("!HHIH", 16, 1, 0, 0)
    out = [b"\x01a\0" + record]
    at = 12
    for number in range(1, max(1, (size - 25) // 12)):
        out.append(struct.pack("!H", 0xc000 | at) + record)
        at = 12 + 13 + 12 * (number - 1) if number < 48 else at
    return dns_message(len(out)) + b"".join(out)


def dns_questions(size):
    count = max(0, (size - 12) // 5)
    return dns_message(0, count) + (b"\0" + struct.pack("!HH", 1, 1)) * count


LINE, PHASE, CONNECTION = (limits()[name] for name in ("LINE_BYTES", "PHASE_BYTES", "CONNECTION_BYTES"))
LABELS = 253

FRAMING = {
    "one endless line": lambda size: b"x" * size,
    "CR without LF": lambda size: b"\r" * size,
    "many empty lines": lambda size: b"\n" * size,
    "many short lines": times(b"* x\r\n"),
    "many literals": literals,
    "literals behind open quotes": quoted_literals,
    "one line of braces": braces,
    "one line of backslashes": literal_behind_long_line,
    "one line of quotes": inside(b"* LIST ", b'"', b"{1}\r\nx\r\n"),
    "long lines, literals at their ends": times(b"* LIST " + b'""' * 500 + b"{1}\r\nx\r\n"),
}

DIALOGUES = {
    "endless greeting": inside(b"* OK ", b"x", b"\r\n"),
    "many untagged": after_greeting(times(b"* x\r\n")),
    "many continuations": after_greeting(times(b"+\r\n")),
    "many foreign tags": after_greeting(times(b"a OK\r\n")),
    "many EXISTS": after_greeting(times(b"* 1 EXISTS\r\n")),
    "many empty lists": after_greeting(times(b"* CAPABILITY\r\n")),
    "one word in each list": words(lambda n: b"* CAPABILITY %x\r\n" % n, b"* OK hi\r\n", b"aaaaaaa1 OK\r\n", b""),
    "many literals": after_greeting(literals),
    "short words in every list": lists_in_phases(short),
    "colliding words in every list": lists_in_phases(colliding),
    "longest words in every list": lists_in_phases(long_first),
}

# (parser, what grows, its bound, what makes an input of this size)
KINDS = (
    [("frame", kind, LINE, make) for kind, make in FRAMING.items()] +
    [("frame-octets", kind, LINE, make) for kind, make in FRAMING.items()] +
    [("parse", kind, LINE, make) for kind, make in FRAMING.items()] +
    [
        ("parse", "status without a code", LINE, inside(b"* OK ", b"x ", b"\r\n")),
        ("parse", "code that never closes", LINE, inside(b"* OK [", b"[ ", b"\r\n")),
        ("parse", "code as long as the line", LINE, inside(b"* NO [X ", b" y", b"]\r\n")),
        ("parse", "tagged", LINE, inside(b"a", b"a", b" OK x\r\n")),
        ("parse", "tag that is none", LINE, inside(b"a", b"a", b"( x\r\n")),
        ("parse", "endless number", LINE, inside(b"* ", b"1", b" EXISTS\r\n")),
        ("parse", "continuation", LINE, inside(b"+ ", b"x", b"\r\n")),
        ("parse", "CR before the end", LINE, inside(b"* OK ", b"\r", b"\n")),
        ("parse", "NUL in literals", LINE, inside(b"* LIST ", b"{1}\r\n\0", b"\r\n")),
        ("caps", "short words", LINE, words(short)),
        ("caps", "8192 words at most", 8192 * 13, words(lambda number: b"%012x" % number)),
        ("caps", "equal words", LINE, times(b"A ")),
        ("caps", "words that differ in case", LINE, words(spelled)),
        ("caps", "colliding words", LINE, words(colliding)),
        ("caps", "families of colliding words", LINE, words(families)),
        ("caps", "colliding words of 248 octets", LINE,
         words(colliding_long)),
        ("caps", "words of 255 octets", LINE, words(long)),
        ("caps", "words of 255 octets that differ at the end", LINE, words(long_first)),
        ("caps", "words too long", LINE, words(lambda number: b"x" * 256)),
        ("caps", "one endless word", LINE, lambda size: b"x" * size),
        ("caps", "words that cannot be printed", LINE, times(b"\x80 ")),
        ("caps", "spaces", LINE, lambda size: b" " * size),
        ("id", "many fields", LINE, inside(b"(", b'"a" "b" ', b")")),
        ("id", "names that are NIL", LINE, inside(b"(", b'NIL "" ', b")")),
        ("id", "one string of escapes", LINE, inside(b'("', b'\\"', b'" NIL)')),
        ("id", "strings of escapes", LINE, inside(b"(", b'NIL "' + b"\\\\" * 2000 + b'" ', b")")),
        ("id", "string that never closes", LINE, inside(b'("', b"\\\\", b"")),
        ("id", "literals", LINE, id_literals),
        ("id", "braces", LINE, id_braces),
        ("id", "literal never announced to its end", LINE, inside(b"(NIL NIL {", b"1", b"")),
        ("id", "spaces", LINE, inside(b"(", b" ", b")")),
        ("id", "bare atoms", LINE, inside(b"(", b"NIL a ", b")")),
    ] +
    [(parser, kind, LINE if kind in ("endless greeting", "many literals") else PHASE, make)
     for parser in ("dialogue-143", "dialogue-143-octets", "dialogue-993", "dialogue-993-octets")
     for kind, make in DIALOGUES.items()] +
    [
        ("show", "plain", LINE, lambda size: b"x" * size),
        ("show", "control characters", LINE, lambda size: b"\x01" * size),
        ("show", "invalid UTF-8", LINE, lambda size: b"\xf0" * size),
        ("show", "characters cut short", LINE, times(b"\xf0\x9f\x98")),
        ("show", "bidi controls", LINE, times(b"\xe2\x80\xae")),
        ("query", "many parameters", 4096, times(b"a=b&")),
        ("query", "only separators", 4096, lambda size: b"&" * size),
        ("query", "one long name", 4096, lambda size: b"a" * size),
        ("query", "one long host", 4096, inside(b"host=", b"a", b"")),
        ("query", "escaped host", 4096, inside(b"host=", b"%61", b"")),
        ("query", "broken escapes", 4096, inside(b"host=", b"%", b"")),
        ("query", "many ports", 4096, inside(b"host=a.example&ports=", b"143,", b"993")),
        ("query", "many equal parameters", 4096, times(b"host=a&")),
        ("host", "labels of one letter", LABELS, times(b"a.")),
        ("host", "longest labels", LABELS, times(b"a" * 62 + b".")),
        ("host", "Unicode labels", LABELS, times("ü.".encode())),
        ("host", "A-labels", LABELS, times(b"xn--tda.")),
        ("host", "one label of Unicode", 63, times("ü".encode())),
        ("host", "as many octets as are looked at", LABELS * 4 + 4, times("。".encode())),
        ("dns", "aliases with long names", 65535, dns_cnames),
        ("dns", "aliases with many labels", 65535, dns_labels),
        ("dns", "pointers to pointers", 65535, dns_pointers),
        ("dns", "questions", 65535, dns_questions),
        ("hostmatch", "equal names", LABELS, times(b"a.")),
        ("hostmatch", "only dots", 2064, lambda size: b"." * size),
        ("judge", "short words", 2 * 8192 * 5, both_ports(short)),
        ("judge", "families of colliding words", LINE, both_ports(families)),
        ("judge", "longest words", LINE, both_ports(long_first)),
        ("json", "short words", 2 * 8192 * 5, both_ports(short)),
        ("json", "families of colliding words", LINE, both_ports(families)),
        ("json", "longest words", LINE, both_ports(long_first)),
        ("metrics", "tests", 1000, lambda size: b"x" * size),
        ("json", "words of backslashes", LINE, both_ports(lambda number: b"\\" * 100 + b"%d" % number)),
    ] + growing.KINDS)
