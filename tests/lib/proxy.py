"""nginx with the configuration of docker/, on a port of loopback: only addresses and places of files are exchanged."""
import os
import shutil
import signal
import socket
import socketserver
import subprocess
import tempfile
import threading
import time

import net
import service

DOCKER = os.path.join(service.ROOT, "docker")


def nginx():
    """The path of the program, None where it is not installed."""
    return shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")


def shipped(name):
    with open(os.path.join(DOCKER, name), encoding="utf-8") as file:
        return file.read()


def replaced(text, changes):
    """The text with its pieces exchanged; each must be there."""
    for old, new in changes.items():
        if old not in text:
            raise AssertionError("%r is not in the shipped configuration" % old)
        text = text.replace(old, new)
    return text


class Proxy:
    """nginx in front of `upstream` (host, port), or of several of them. `site` exchanges pieces of nginx.conf; `listen` is the text of
    imap-testd/listen.conf, {port} in it the port; `origins` that of imap-testd/origins.conf. Use as a context manager."""

    def __init__(self, upstream, site=None, listen="listen 127.0.0.1:{port} default_server;\n", origins=None):
        self.address = ("127.0.0.1", net.fresh_port())
        self.folder = tempfile.mkdtemp(prefix="imap-test-nginx-")
        os.chmod(self.folder, 0o755)
        changes = {"/tmp/": self.folder + "/", "/dev/stdout": self.folder + "/access.log",
                   "worker_processes auto": "worker_processes 2"}
        self._write("nginx.conf", replaced(shipped("nginx-main.conf"), changes))
        self._write("conf.d/imap-testd.conf", replaced(shipped("nginx.conf"), site or {}))
        servers = upstream if isinstance(upstream, list) else [upstream]
        lines = " ".join("server %s:%d;" % server for server in servers)
        self._write("imap-testd/upstream.conf",
                    replaced(shipped("nginx-upstream.conf"), {"server imap-testd:8080;": lines}))
        self._write("imap-testd/listen.conf", listen.replace("{port}", str(self.address[1])))
        if origins is not None:
            self._write("imap-testd/origins.conf", origins)
        self.process = subprocess.Popen(
            [nginx(), "-p", self.folder, "-c", self.folder + "/nginx.conf", "-e", self.folder + "/error.log",
             "-g", "daemon off;"], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            service.wait_until(self._listens, 10, "nginx listens")
        except AssertionError:
            self.stop()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def _write(self, name, text):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def _listens(self):
        if self.process.poll() is not None:
            raise AssertionError("nginx ended: " + self.process.stderr.read().decode(errors="replace"))
        try:
            socket.create_connection(self.address, 1).close()
        except OSError:
            return False
        return True

    def access_log(self):
        with open(self.folder + "/access.log", encoding="utf-8") as lines:
            return lines.read().splitlines()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stderr.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Upstream:
    """Stands in for the service: writes down what the proxy sends, answers 200, or nothing where the target has
    `hold` in it; closes the connection instead where it has `drop` in it and was asked on before, or `die` in any case.
    Use as a context manager."""

    def __init__(self):
        self.requests = []   # (connection number, request line, headers as pairs)
        self.connections = 0
        self.left_at = []    # when the proxy closed a connection whose request was held
        upstream = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                upstream.connections += 1
                number = upstream.connections
                self.asked = 0
                while upstream.answer(self, number):
                    self.asked += 1

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            request_queue_size = 128

        self._server = Server(("127.0.0.1", 0), Handler)
        self.address = self._server.server_address
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, handler, number):
        """Reads one request; False: the connection is over."""
        line = handler.rfile.readline().decode("latin-1").rstrip("\r\n")
        if not line:
            return False
        headers = []
        while (header := handler.rfile.readline().decode("latin-1").rstrip("\r\n")):
            name, _, value = header.partition(":")
            headers.append((name.lower(), value.strip()))
        self.requests.append((number, line, headers))
        if "hold" in line:
            handler.rfile.read(1)
            self.left_at.append(time.monotonic())
            return False
        if "die" in line or ("drop" in line and handler.asked > 0):
            return False
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
        return ("connection", "close") not in headers
