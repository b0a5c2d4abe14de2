"""A Redis server of the tests' own on a port of loopback, which keeps nothing, and one that only looks like it."""
import shutil
import signal
import socket
import socketserver
import subprocess
import tempfile
import threading

import net
import service


def encode(*words):
    """A command as the protocol has it."""
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def read_reply(stream):
    """One reply: text and numbers as they are, nil as None, an error as an exception."""
    line = stream.readline()
    kind, rest = line[:1], line[1:].rstrip(b"\r\n")
    if kind == b"+":
        return rest
    if kind == b"-":
        raise RuntimeError(rest.decode())
    if kind == b":":
        return int(rest)
    if kind == b"$":
        return None if int(rest) < 0 else stream.read(int(rest) + 2)[:-2]
    if kind == b"*":
        return [read_reply(stream) for _ in range(int(rest))]
    raise RuntimeError("no reply: %r" % line)


class Redis:
    """Options as for the program, without the dashes. Use as a context manager."""

    def __init__(self, **options):
        self.port = net.fresh_port()
        self.folder = tempfile.mkdtemp(prefix="imap-test-redis-")
        self.socket_path = self.folder + "/redis.sock"
        self.options = {"bind": "127.0.0.1", "save": "", "appendonly": "no", "unixsocket": self.socket_path, **options}
        self.process = None
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def url(self):
        return "redis://127.0.0.1:%d" % self.port

    def start(self):
        command = [shutil.which("redis-server"), "--port", str(self.port), "--dir", self.folder]
        for name, value in self.options.items():
            command += ["--" + name, value]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            service.wait_until(self._answers, 10 * service.slowness(), "Redis answers")
        except AssertionError:
            self.stop()
            raise

    def _answers(self):
        if self.process.poll() is not None:
            raise AssertionError("redis-server ended with status %d" % self.process.returncode)
        try:
            self.command("PING")
        except (OSError, RuntimeError) as error:
            return str(error).startswith("NOAUTH")
        return True

    def command(self, *words, user=None):
        """Of a client of its own; `user`: name and password."""
        with socket.create_connection(("127.0.0.1", self.port), 5) as sock:
            stream = sock.makefile("rb")
            if user:
                sock.sendall(encode("AUTH", *user))
                read_reply(stream)
            sock.sendall(encode(*words))
            return read_reply(stream)

    def clients(self):
        """Connections but for the one that asks."""
        return len(self.command("CLIENT", "LIST").splitlines()) - 1

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class Impostor:
    """Answers what it likes: `play(stream, number)` is called for each connection, its number from 1."""

    def __init__(self, play):
        self.connections = 0
        impostor = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                impostor.connections += 1
                try:
                    play(self, impostor.connections)
                except (OSError, RuntimeError):
                    pass

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            request_queue_size = 128

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = "redis://127.0.0.1:%d" % self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def greet(stream):
    """Takes part up to the PING, then returns each command to come."""
    while True:
        command = read_reply(stream.rfile)
        if command[0] != b"PING":
            yield command
        else:
            stream.wfile.write(b"+PONG\r\n")
