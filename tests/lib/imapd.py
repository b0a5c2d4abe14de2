"""A scripted IMAP server: real sockets, real TLS, every connection plays a list of steps and is written down.

A step is a function of the connection; the functions below make them. Example, with a TLS context:

    Server([greet(), expect("CAPABILITY"), send("* CAPABILITY IMAP4rev1 STARTTLS\r\n{tag} OK done\r\n"),
            expect("STARTTLS"), send("{tag} OK go\r\n"), starttls(context), *session("IMAP4rev1")])
"""
import re
import selectors
import socket
import ssl
import struct
import threading
import time

import net

DRAIN_SECONDS = 3


class Ended(Exception):
    """The script cannot go on: the peer left, or said something that was not expected."""


def _remember_name(sock, name, _context):
    sock.asked_name = name


class Connection:
    """One accepted connection: its script's view of it, and the record of what came."""

    def __init__(self, sock, peer):
        self.socket, self.peer = sock, peer
        self.lines = []        # (inside TLS?, line without its end), in order
        self.received = b""    # all that came, as bytes inside TLS where there is one
        self.handshakes = 0    # completed
        self.resumed = None    # whether the last one took up an older session
        self.alpn = None
        self.sni = None
        self.tag = b""
        self.problem = None    # why the script ended early
        self.binary = False    # a ClientHello was swallowed: what follows is no IMAP to be written down
        self.sent = b""        # the last bytes that went out
        self.sent_count = 0    # all of them
        self.records = b""     # the ClientHello and what followed it
        self.read_at = None    # when the last line came
        self.left_at = None    # when the client turned out to have gone
        self.closed = False
        self._unread = b""

    @property
    def tls(self):
        return isinstance(self.socket, ssl.SSLSocket)

    def commands(self, tls=None):
        """The commands without their tags, those of one side of the handshake only where `tls` is given."""
        return [line.partition(b" ")[2].decode("latin-1") for inside, line in self.lines
                if tls is None or inside == tls]

    def send(self, data):
        if isinstance(data, str):
            data = data.encode()
        try:
            self.socket.sendall(data.replace(b"{tag}", self.tag))
            self.sent = (self.sent + data)[-64:]
            self.sent_count += len(data)
        except (OSError, ssl.SSLError) as error:
            self.left_at = time.monotonic()
            raise Ended("while sending: %r" % error) from error

    def read_line(self):
        while b"\n" not in self._unread:
            try:
                chunk = self.socket.recv(16384)
            except (OSError, ssl.SSLError) as error:
                self.left_at = time.monotonic()
                raise Ended("while reading: %r" % error) from error
            if not chunk:
                self.left_at = time.monotonic()
                raise Ended("the client closed")
            self._unread += chunk
            self.received += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        line = line.rstrip(b"\r")
        self.lines.append((self.tls, line))
        self.read_at = time.monotonic()
        return line

    def read_record_bytes(self):
        try:
            chunk = self.socket.recv(16384)
        except OSError as error:
            raise Ended("while reading: %r" % error) from error
        if not chunk:
            raise Ended("the client closed")
        self.records += chunk

    def secure(self, context):
        # One function for all connections, as several may use the context at a time.
        context.sni_callback = _remember_name
        try:
            self.socket = context.wrap_socket(self.socket, server_side=True)
        except (OSError, ssl.SSLError) as error:
            raise Ended("handshake: %r" % error) from error
        self.handshakes += 1
        self.resumed = self.socket.session_reused
        self.sni = getattr(self.socket, "asked_name", None)
        self.alpn = self.socket.selected_alpn_protocol()

    def drain(self, seconds=DRAIN_SECONDS):
        """Notes everything that still comes, so that nothing said is missed, until the client closes."""
        try:
            self.socket.settimeout(seconds)
            while self.binary:
                self.read_record_bytes()
            while True:
                self.read_line()
        except (Ended, OSError):
            if self._unread:
                self.lines.append((self.tls, self._unread))
                self._unread = b""

    def close(self):
        if not self.closed:
            self.closed = True
            self.socket.close()


# Steps

def send(data):
    """Bytes or text; {tag} becomes the tag of the last command read."""
    return lambda connection: connection.send(data)


def drip(data, interval):
    """Endlessly one piece of data after another, until the client has had enough."""
    def step(connection):
        while True:
            connection.send(data)
            time.sleep(interval)
    return step


def expect(command):
    """One line "TAG COMMAND"; `command` is a regular expression for all behind the tag. Keeps the tag."""
    pattern = re.compile(command.encode() if isinstance(command, str) else command)

    def step(connection):
        line = connection.read_line()
        tag, _, rest = line.partition(b" ")
        if not pattern.fullmatch(rest):
            raise Ended("%r came instead of %r" % (rest, pattern.pattern))
        connection.tag = tag
    return step


def hello():
    """A whole ClientHello; it and what follows it are kept as records."""
    def step(connection):
        connection.binary = True
        while len(connection.records) < 5 or \
                len(connection.records) < 5 + int.from_bytes(connection.records[3:5], "big"):
            connection.read_record_bytes()
    return step


def sleep(seconds):
    return lambda connection: time.sleep(seconds)


def gate(event, seconds=30):
    """Waits until the test sets the event."""
    def step(_connection):
        event.wait(seconds)
    return step


def starttls(context):
    return lambda connection: connection.secure(context)


def close():
    """FIN, at once."""
    def step(connection):
        try:
            connection.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        connection.close()
    return step


def end_of_stream():
    """FIN, while what still comes is read: no RST overtakes what was sent. Inside TLS without close_notify."""
    def step(connection):
        try:
            socket.socket.shutdown(connection.socket, socket.SHUT_WR)
        except OSError:
            pass
    return step


def close_notify():
    """The way in which TLS wants to be closed; then FIN."""
    def step(connection):
        try:
            connection.socket.settimeout(DRAIN_SECONDS)
            connection.socket = connection.socket.unwrap()
        except (OSError, ssl.SSLError, ValueError):
            pass
        connection.close()
    return step


def reset():
    """RST, at once."""
    def step(connection):
        raw = connection.socket
        if isinstance(raw, ssl.SSLSocket):
            raw = socket.socket(fileno=raw.detach())
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raw.close()
        connection.closed = True
    return step


def silence():
    """Reads and says nothing until the client closes."""
    return lambda connection: connection.drain(60)


# Whole parts of a dialogue

def greet(text="OK ready"):
    return send("* %s\r\n" % text)


def capability(words, tail="OK done"):
    return [expect("CAPABILITY"), send("* CAPABILITY %s\r\n{tag} %s\r\n" % (words, tail))]


def logout():
    return [expect("LOGOUT"), send("* BYE see you\r\n{tag} OK gone\r\n")]


def session(words):
    """From CAPABILITY to LOGOUT inside TLS."""
    return capability(words) + logout()


def upgrade(context, words="IMAP4rev1 STARTTLS LOGINDISABLED"):
    """CAPABILITY, STARTTLS and the handshake."""
    return capability(words) + [expect("STARTTLS"), send("{tag} OK begin TLS\r\n"), starttls(context)]


def healthy_plain(context, plain="IMAP4rev1 STARTTLS LOGINDISABLED", inside="IMAP4rev1 AUTH=PLAIN"):
    return [greet()] + upgrade(context, plain) + session(inside)


def healthy_tls(context, words="IMAP4rev1 AUTH=PLAIN"):
    return [starttls(context), greet()] + session(words)


class Server:
    """Listens from construction on; use as a context manager or call stop().

    `steps` may also be a function that gives the steps for the number of the connection, from 0.
    """

    def __init__(self, steps, address=None, port=0):
        self.steps = steps
        self.address = address or net.fresh_address()
        self.connections = []
        self._stopped = threading.Event()
        self._threads = []
        self._listener = socket.create_server((self.address, port), backlog=64)
        self._listener.settimeout(0.2)
        self.port = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def _accept(self):
        while not self._stopped.is_set():
            try:
                sock, peer = self._listener.accept()
            except socket.timeout:
                continue
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(30)
            connection = Connection(sock, peer)
            steps = self.steps(len(self.connections)) if callable(self.steps) else self.steps
            self.connections.append(connection)
            thread = threading.Thread(target=self._play, args=(connection, steps), daemon=True)
            thread.start()
            self._threads.append(thread)

    @staticmethod
    def _play(connection, steps):
        try:
            for step in steps:
                step(connection)
                if connection.closed:
                    return
        except Ended as reason:
            connection.problem = str(reason)
        if not connection.closed:
            connection.drain()
        connection.close()

    def settle(self, seconds=DRAIN_SECONDS + 1):
        """Waits until the connections accepted so far have been played to their end."""
        end = time.monotonic() + seconds
        for thread in list(self._threads):
            thread.join(max(0.0, end - time.monotonic()))

    def stop(self):
        self._stopped.set()
        self._acceptor.join()
        self._listener.close()
        for connection in self.connections:
            if not connection.closed:
                try:
                    connection.socket.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass


class Tarpit:
    """Accepts any number of connections on several ports of one address and never says a word. One thread."""

    def __init__(self, ports, address=None):
        self.address = address or net.fresh_address()
        self.accepted = 0
        self.open = 0
        self.most = 0
        self._stopped = False
        self._selector = selectors.DefaultSelector()
        self._listeners = []
        for port in ports:
            listener = socket.create_server((self.address, port), backlog=4096)
            listener.setblocking(False)
            self._listeners.append(listener)
            self._selector.register(listener, selectors.EVENT_READ, True)
        self.ports = [listener.getsockname()[1] for listener in self._listeners]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def _serve(self):
        while not self._stopped:
            for key, _ in self._selector.select(0.2):
                if key.data:
                    self._accept(key.fileobj)
                else:
                    self._swallow(key.fileobj)

    def _accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            sock.setblocking(False)
            self._selector.register(sock, selectors.EVENT_READ, False)
            self.accepted += 1
            self.open += 1
            self.most = max(self.most, self.open)

    def _swallow(self, sock):
        try:
            if sock.recv(65536):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self._selector.unregister(sock)
        sock.close()
        self.open -= 1

    def stop(self):
        self._stopped = True
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()
        self._selector.close()
