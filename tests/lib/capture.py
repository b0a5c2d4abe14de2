"""What this machine sends, seen by tcpdump on all interfaces: every TCP connection that is tried.

    capture.py [--summary FILE] COMMAND...

runs a command (the whole suite) and looks at what was tried meanwhile on the ports of IMAP and on those that the suite
uses in their place: no test may lead out of loopback, nor to the part of it that none may reach. The last line says how
many were seen; the exit status is the command's, or 1 where one went where it must not. Without the right to capture it
says so and only runs the command.
"""
import argparse
import collections
import ipaddress
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import net

IMAP_PORTS = (143, 993)
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
LINE = re.compile(r"(\S+)\s+(In|Out|[MBP])\s+IP6? (\S+)\.(\d+) > (\S+)\.(\d+): ")
FIRST_SYN = "((ip and tcp[13] & 18 = 2) or (ip6 and ip6[6] = 6 and ip6[53] & 18 = 2))"
START_SECONDS = MARK_SECONDS = 20

Syn = collections.namedtuple("Syn", "interface source address port")


class Unavailable(Exception):
    """There is no tcpdump, or no right to capture."""


class Lossy(Exception):
    """The kernel did not pass on all packets, so that what was not seen may have been sent all the same."""


class Capture:
    """From start() to stop(): `syns` holds what was tried on these ports (numbers or pairs of first and last)."""

    def __init__(self, ports):
        self._marker = net.fresh_port()
        spans = [port if isinstance(port, tuple) else (port, port) for port in (*ports, self._marker)]
        self._filter = "%s and (%s)" % (FIRST_SYN, " or ".join("tcp dst portrange %d-%d" % span for span in spans))
        self._all, self._complaints, self._process, self._threads = [], [], None, []

    def start(self):
        command = ["tcpdump", "-i", "any", "-nn", "-t", "-l", "--immediate-mode", "-s", "96", "-B", "32768",
                   self._filter]
        try:
            # In a session of its own: the interrupt key ends the tests first.
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                             stderr=subprocess.PIPE, text=True, start_new_session=True)
        except FileNotFoundError as error:
            raise Unavailable("there is no tcpdump (package tcpdump)") from error
        for loop in (self._read, self._read_complaints):
            self._threads.append(threading.Thread(target=loop, daemon=True))
            self._threads[-1].start()
        try:
            self._wait(lambda: "listening on" in "\n".join(self._complaints), START_SECONDS)
            self.mark()
        except TimeoutError as error:
            self.abort()
            raise Unavailable(" ".join(self._complaints[-2:]) or str(error)) from error
        return self

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        if kind is None:
            self.stop()
        else:
            self.abort()

    def mark(self):
        """Sends a SYN of its own and waits until it is seen: all that went before has been seen then."""
        before = self._marks()
        with socket.socket() as sock:
            sock.connect_ex(("127.0.0.1", self._marker))
        self._wait(lambda: self._marks() > before, MARK_SECONDS)

    def stop(self):
        self.mark()
        self.abort()
        lost = re.search(r"(\d+) packets? dropped by kernel", "\n".join(self._complaints))
        if not lost or int(lost.group(1)) > 0:
            raise Lossy(lost.group(0) if lost else "tcpdump did not say how many packets were lost")

    @property
    def syns(self):
        return [syn for syn in list(self._all) if syn.port != self._marker]

    def destinations(self, ports):
        """How often each address was tried on these ports."""
        return collections.Counter(syn.address for syn in self.syns if syn.port in ports)

    def _marks(self):
        return sum(syn.port == self._marker for syn in list(self._all))

    def _read(self):
        for line in self._process.stdout:
            match = LINE.match(line)
            if not match:
                self._complaints.append("not understood: " + line.strip())
                continue
            interface, direction, source, _, address, port = match.groups()
            # Over loopback a packet is seen as it comes in; on all others those that come in are not ours.
            if interface == "lo" or direction == "Out":
                self._all.append(Syn(interface, source, address, int(port)))

    def _read_complaints(self):
        for line in self._process.stderr:
            self._complaints.append(line.strip())

    def _wait(self, condition, seconds):
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end or self._process.poll() is not None:
                raise TimeoutError("nothing was seen within %d s" % seconds)
            time.sleep(0.01)

    def abort(self):
        """Ends it, whatever was seen. Nothing where it has ended."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for thread in self._threads:
            thread.join(10)
        self._process.stdout.close()
        self._process.stderr.close()


def why_not():
    """Why nothing can be captured here; None where it can."""
    try:
        with Capture(()):
            return None
    except Unavailable as reason:
        return str(reason)


def is_blocked(address, port):
    """Whether no test of the suite may lead there. Others may use the real ports of IMAP, at public addresses."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if any(ip in network for network in LOOPBACK):
        return ip in ipaddress.ip_network(net.NEVER)
    return port not in IMAP_PORTS or not ip.is_global


def blocked(syns):
    """Those that went where none may go, as text."""
    return ["%s port %d" % (syn.address, syn.port) for syn in syns if is_blocked(syn.address, syn.port)]


def summary(syns):
    """(one line, whether all is well)"""
    wrong = blocked(syns)
    line = "capture: %d SYNs, %d to blocked addresses" % (len(syns), len(wrong))
    return (line + ": " + ", ".join(sorted(set(wrong))[:10]) if wrong else line), not wrong


def run_command(command):
    """Its exit status; where this program is told to end, the command is too."""
    process = subprocess.Popen(command)
    try:
        return process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise


def run(command):
    """(exit status, summary) of a command that is captured."""
    capture = Capture((*IMAP_PORTS, net.PORTS))
    try:
        capture.start()
    except Unavailable as reason:
        return run_command(command), "capture: NOT MADE, nothing is known of where packets went: %s" % reason
    try:
        status = run_command(command)
        capture.stop()
    except (Lossy, TimeoutError) as reason:
        return status or 1, "capture: INCOMPLETE: %s" % reason
    finally:
        capture.abort()
    line, well = summary(capture.syns)
    return status or (0 if well else 1), line


def main():
    parser = argparse.ArgumentParser(usage="capture.py [--summary FILE] COMMAND...")
    parser.add_argument("--summary", help="file that the last line also goes to")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    if not arguments.command:
        parser.error("name a command")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    status, line = run(arguments.command)
    print(line, flush=True)
    if arguments.summary:
        with open(arguments.summary, "w", encoding="utf-8") as file:
            file.write(line + "\n")
    sys.exit(status)


if __name__ == "__main__":
    main()
