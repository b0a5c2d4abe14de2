"""`openssl s_server` and `gnutls-serv`, one process for each connection, behind the scripted servers of imapd.py.

A step of these ends a script: the bytes of the connection go to the real server from there on. s_server sends its
standard input to the client, so it plays a whole IMAP dialogue; gnutls-serv ends with the handshake and then waits."""
import os
import select
import shutil
import socket
import subprocess
import tempfile
import threading
import time

import imapd
import net

START_SECONDS = 20


def openssl(*arguments, words="IMAP4rev1 AUTH=PLAIN"):
    """A step: `openssl s_server` with these arguments takes the connection over."""
    return lambda connection: _OpenSsl(arguments, words).take(connection)


def gnutls(*arguments):
    """A step: `gnutls-serv` with these arguments takes the connection over."""
    return lambda connection: _GnuTls(arguments).take(connection)


def files(leaf, chain="full"):
    """Arguments of s_server for a certificate of certs.py and the chain it is sent with."""
    members = leaf.chain(chain) if isinstance(chain, str) else chain
    rest = ["-cert_chain", leaf.chain_file(members[1:])] if len(members) > 1 else []
    return ["-cert", leaf.file, "-key", leaf.key_file, *rest]


def gnutls_files(leaf):
    return ["--x509certfile", leaf.chain_file(), "--x509keyfile", leaf.key_file]


class _Backend:
    process = None

    def take(self, connection):
        connection.binary = True
        try:
            self.start()
            with self.connect() as inner:
                pump(connection.socket, inner)
        except OSError as error:
            raise imapd.Ended("the server behind: %r" % error) from error
        finally:
            self.stop()

    def connect(self):
        """Waits until the server listens."""
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                return self.connect_once()
            except OSError:
                if time.monotonic() > end or self.process.poll() is not None:
                    raise
                time.sleep(0.005)

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()


class _OpenSsl(_Backend):
    def __init__(self, arguments, words):
        self.arguments, self.words = arguments, words
        self.talker = None
        self.folder = tempfile.mkdtemp(prefix="imap-test-tls-")
        self.path = os.path.join(self.folder, "s")

    def start(self):
        self.process = subprocess.Popen(["openssl", "s_server", "-unix", self.path, "-naccept", "1", "-quiet",
                                         *self.arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL)
        self.talker = threading.Thread(target=self._talk, daemon=True)
        self.talker.start()

    def connect_once(self):
        inner = socket.socket(socket.AF_UNIX)
        try:
            inner.connect(self.path)
        except OSError:
            inner.close()
            raise
        return inner

    def _talk(self):
        """Speaks IMAP through the standard input and output of s_server."""
        try:
            self._say("* OK ready\r\n")
            for line in self.process.stdout:
                tag, _, command = line.decode("latin-1").strip().partition(" ")
                if command == "CAPABILITY":
                    self._say("* CAPABILITY %s\r\n%s OK done\r\n" % (self.words, tag))
                elif command == "LOGOUT":
                    self._say("* BYE see you\r\n%s OK gone\r\n" % tag)
                else:
                    self._say("%s BAD unknown\r\n" % tag)
        except (OSError, ValueError):
            pass  # the server has ended

    def _say(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def stop(self):
        super().stop()
        if self.talker:
            self.talker.join()
            for stream in (self.process.stdin, self.process.stdout):
                try:
                    stream.close()
                except OSError:
                    pass  # what was not flushed has nobody to read it
        shutil.rmtree(self.folder, ignore_errors=True)


class _GnuTls(_Backend):
    def __init__(self, arguments):
        self.arguments = arguments
        self.port = net.fresh_port()

    def start(self):
        self.process = subprocess.Popen(["gnutls-serv", "--port", str(self.port), "--disable-client-cert", "--quiet",
                                         "--echo", *self.arguments], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def connect_once(self):
        return socket.create_connection(("127.0.0.1", self.port))


def pump(one, other):
    """Carries bytes both ways until one side ends."""
    peer = {one: other, other: one}
    while True:
        ready, _, _ = select.select([one, other], [], [], 30)
        if not ready:
            return
        for side in ready:
            data = side.recv(65536)
            if not data:
                return
            peer[side].sendall(data)
