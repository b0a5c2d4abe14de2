"""A small DNS server (UDP and TCP) that plays the resolver the service asks, well or badly."""
import socket
import struct
import threading
import time

A, CNAME, AAAA = 1, 5, 28
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = range(6)
UDP_BYTES = 512
SO_RCVBUFFORCE = 33  # Linux: the module has no name for it


class Name:
    """What the server says about one name.

    a, aaaa    lists of addresses
    cname      the name it is an alias of; the target's records follow in the same answer, as from a resolver
    rcode      an error instead; rcode_aaaa: for AAAA questions only
    silent     no answer at all
    garbage    an answer with the right header and question and nonsense behind them
    delay      seconds before the answer
    lost       so many questions of each type get lost before one is answered
    truncate   UDP answers carry the TC bit and no records
    ttl        seconds that the records may be kept
    """

    def __init__(self, a=(), aaaa=(), cname=None, rcode=NOERROR, rcode_aaaa=None, silent=False, garbage=False,
                 delay=0, lost=0, truncate=False, ttl=60):
        self.a, self.aaaa, self.cname = list(a), list(aaaa), cname
        self.rcode, self.rcode_aaaa = rcode, rcode_aaaa
        self.silent, self.garbage, self.delay, self.truncate = silent, garbage, delay, truncate
        self.lost, self.ttl = {A: lost, AAAA: lost}, ttl


def encode_name(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def decode_question(query):
    """Name in lower case, type, and where the question ends."""
    labels, at = [], 12
    while query[at]:
        length = query[at]
        labels.append(query[at + 1:at + 1 + length].decode("latin-1").lower())
        at += length + 1
    kind, = struct.unpack("!H", query[at + 1:at + 3])
    return ".".join(labels), kind, at + 5


def record(name, kind, data, ttl):
    return encode_name(name) + struct.pack("!HHIH", kind, 1, ttl, len(data)) + data


class Dns:
    """Use as a context manager, or start() and stop(); `address` is HOST:PORT for --dns-server."""

    def __init__(self, zone=None):
        self.zone = dict(zone or {})
        self.queries = []  # (name, type, "udp" or "tcp")
        self.askers = {}  # name -> the port of who asked for it last over UDP: each worker has its own
        self._held = None  # (name, type) -> an answer that waits for release(); None: none has to
        self._stopped = threading.Event()
        self._udp = self._open_udp()
        self._tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        for _ in range(50):
            self._udp.bind(("127.0.0.1", 0))
            try:
                self._tcp.bind(self._udp.getsockname())
                break
            except OSError:
                self._udp.close()
                self._udp = self._open_udp()
        self._tcp.listen(64)
        self.address = "127.0.0.1:%d" % self._udp.getsockname()[1]

    @staticmethod
    def _open_udp():
        """With room for all the questions of a burst."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
        except PermissionError:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        return sock

    def start(self):
        for loop in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=loop, daemon=True).start()
        return self

    def stop(self):
        self._stopped.set()
        self._udp.close()
        self._tcp.close()

    __enter__ = start

    def __exit__(self, *_):
        self.stop()

    def asked(self, name):
        return [query for query in self.queries if query[0] == name]

    def hold(self):
        """From now on answers over UDP wait for release(), one for each question however often it is asked."""
        self._held = {}

    def held(self):
        return len(self._held)

    def release(self):
        held, self._held = self._held, None
        for send, reply in held.values():
            send(reply)

    def _serve_udp(self):
        self._udp.settimeout(0.2)
        while not self._stopped.is_set():
            try:
                query, peer = self._udp.recvfrom(4096)
            except socket.timeout:
                continue
            except OSError:
                return
            self.askers[decode_question(query)[0]] = peer[1]
            self._answer(query, "udp", lambda reply, to=peer: self._udp.sendto(reply, to))

    def _serve_tcp(self):
        self._tcp.settimeout(0.2)
        while not self._stopped.is_set():
            try:
                connection, _ = self._tcp.accept()
            except socket.timeout:
                continue
            except OSError:
                return
            threading.Thread(target=self._talk_tcp, args=(connection,), daemon=True).start()

    def _talk_tcp(self, connection):
        def send(reply):
            connection.sendall(struct.pack("!H", len(reply)) + reply)

        with connection, connection.makefile("rb") as stream:
            connection.settimeout(30)
            try:
                while head := stream.read(2):
                    self._answer(stream.read(struct.unpack("!H", head)[0]), "tcp", send, wait=True)
            except (OSError, struct.error):
                return

    def _answer(self, query, transport, send, wait=False):
        name, kind, end = decode_question(query)
        self.queries.append((name, kind, transport))
        entry = self.zone.get(name)
        if entry and entry.silent:
            return
        if entry and entry.lost[kind] > 0:
            entry.lost[kind] -= 1
            return
        reply = self._reply(query[:2], query[12:end], name, kind, entry, transport)
        if self._held is not None and not wait:
            self._held[name, kind] = send, reply
            return
        if entry and entry.delay and not wait:
            timer = threading.Timer(entry.delay, self._late, (send, reply))
            timer.daemon = True
            timer.start()
            return
        if entry and entry.delay:
            time.sleep(entry.delay)
        send(reply)

    @staticmethod
    def _late(send, reply):
        try:
            send(reply)
        except OSError:
            pass

    def _reply(self, ident, question, name, kind, entry, transport):
        def message(rcode, records=(), truncated=False):
            flags = 0x8180 | rcode | (0x0200 if truncated else 0)
            return ident + struct.pack("!HHHHH", flags, 1, len(records), 0, 0) + question + b"".join(records)

        if entry is None:
            return message(NXDOMAIN)
        if entry.garbage:
            return ident + struct.pack("!HHHHH", 0x8180, 1, 3, 0, 0) + question + b"\xff\x3f\x01garbage\xc0\xff"
        if entry.rcode != NOERROR:
            return message(entry.rcode)
        if entry.rcode_aaaa is not None and kind == AAAA:
            return message(entry.rcode_aaaa)
        if entry.truncate and transport == "udp":
            return message(NOERROR, truncated=True)
        rcode, records = self._records(name, kind)
        whole = message(rcode, records)
        if transport == "udp" and len(whole) > UDP_BYTES:
            return message(rcode, truncated=True)
        return whole

    def _records(self, name, kind):
        """Follows aliases as a resolver does; a loop goes on until it is twenty long."""
        records = []
        while True:
            entry = self.zone.get(name)
            if entry is None:
                return NXDOMAIN, records
            if not entry.cname or len(records) >= 20:
                break
            records.append(record(name, CNAME, encode_name(entry.cname), entry.ttl))
            name = entry.cname
        if kind == A:
            records += [record(name, A, socket.inet_pton(socket.AF_INET, ip), entry.ttl) for ip in entry.a]
        if kind == AAAA:
            records += [record(name, AAAA, socket.inet_pton(socket.AF_INET6, ip), entry.ttl) for ip in entry.aaaa]
        return NOERROR, records
