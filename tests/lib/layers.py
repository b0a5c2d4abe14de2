"""layers.py ROOT: reads every #include and fails on one that points upwards, sideways or to a library of another room."""
import os
import re
import sys

# Who may include whom; a room always sees itself.
ROOMS = {
    "probe/base": [],
    "probe/report": ["probe/base"],
    "probe/net": ["probe/base", "probe/report"],
    "probe/imap": ["probe/base", "probe/report"],
    "probe": ["probe/base", "probe/report", "probe/net", "probe/imap"],
    "api": ["probe/base", "probe/report", "probe"],
    "server": ["probe/base", "probe/report", "probe/net", "probe", "api"],
}
# From these api takes plain data only.
ONLY_HEADERS = {("api", "probe"): {"probe/request.h"}, ("server", "probe/net"): {"probe/net/tls.h", "probe/net/dns.h",
                                                                                "probe/net/target.h",
                                                                                "probe/net/chain_cache.h"}}
# Which room or file a library belongs to.
LIBRARIES = {
    r"gnutls/": ("probe/net/",),
    r"ares": ("probe/net/",),
    r"jansson": ("api/",),
    r"idn2": ("api/",),
    r"microhttpd": ("server/http.c", "server/http_answer.", "server/http_request.", "server/http_resource."),
    r"sodium": ("server/cache_entry.c", "server/keys.c", "server/limiter.c", "server/shared_key.c"),
    r"hiredis": ("server/redis_wire.c",),
    r"uv\.h": ("probe/net/", "probe/attempt.", "probe/probe.", "server/redis", "server/shared_cache.", "server/worker."),
}
INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]')


def room_of(path):
    folder = os.path.dirname(path)
    return folder if folder in ROOMS else None


def complaints(root):
    files = 0
    for top in ("probe", "api", "server"):
        for folder, _, names in os.walk(os.path.join(root, top)):
            for name in names:
                if not name.endswith((".c", ".h", ".def")):
                    continue
                files += 1
                path = os.path.relpath(os.path.join(folder, name), root)
                with open(os.path.join(folder, name), encoding="utf-8") as source:
                    for number, line in enumerate(source, 1):
                        match = INCLUDE.match(line)
                        reason = match and wrong(path, match.group(1) == '"', match.group(2))
                        if reason:
                            yield "%s:%d: %s" % (path, number, reason)
    if files < 50:
        yield "only %d files found below %s" % (files, root)


def wrong(path, own, target):
    room = room_of(path)
    if room is None:
        return "this folder is no room of the house"
    if not own:
        for pattern, homes in LIBRARIES.items():
            if re.match(pattern, target) and not path.startswith(homes):
                return "<%s> belongs to %s" % (target, ", ".join(homes))
        return None
    there = room_of(target)
    if there == room:
        return None
    if there not in ROOMS[room]:
        return "%s may not include %s" % (room, target)
    allowed = ONLY_HEADERS.get((room, there))
    if allowed and target not in allowed:
        return "%s may include only %s of %s" % (room, ", ".join(sorted(allowed)), there)
    return None


def self_test():
    """The rules can say no."""
    bad = [("probe/net/conn.c", True, "probe/imap/imap.h"), ("probe/imap/imap.c", True, "probe/net/tls.h"),
           ("probe/base/buf.c", True, "probe/report/report.h"), ("api/query.c", True, "probe/probe.h"),
           ("api/query.c", True, "server/log.h"), ("probe/report/judge.c", False, "gnutls/x509.h"),
           ("server/worker.c", False, "jansson.h"), ("server/main.c", False, "microhttpd.h"), ("server/http_rules.c", False, "microhttpd.h"),
           ("server/http.c", False, "sodium.h"), ("api/query.c", False, "sodium/utils.h"),
           ("server/main.c", True, "probe/net/cert.h"), ("probe/odd/x.c", True, "probe/base/buf.h")]
    return [str(case) for case in bad if not wrong(*case)]


def main():
    failures = ["not noticed: " + case for case in self_test()] + list(complaints(sys.argv[1]))
    print("\n".join(failures) or "every include keeps to its room")
    return 1 if failures else 0


sys.exit(main())
