"""This machine's own addresses as the kernel tells them: they are taken where asked for, and given free when they have
gone. Runs in a network namespace of its own, where addresses may come and go."""
import errno
import fcntl
import os
import socket
import struct
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import forms

# <linux/sockios.h>
SIOCSIFFLAGS, SIOCSIFADDR, SIOCDIFADDR = 0x8914, 0x8916, 0x8936
IFF_UP = 1
INSIDE = "IMAP_TESTD_INSIDE_NAMESPACE"


def set_ipv4(name, address):
    """Gives loopback one more address under a label such as lo:1."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, SIOCSIFADDR,
                    struct.pack("16sHH4s8x", name.encode(), socket.AF_INET, 0, socket.inet_aton(address)))


def drop_ipv4(name):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sH14x", name.encode(), 0))


def change_ipv6(request, address):
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, request, struct.pack("16sII", socket.inet_pton(socket.AF_INET6, address), 128,
                                               socket.if_nametoindex("lo")))


class Policy:
    """The policy as a program that goes on while addresses change."""

    def __init__(self):
        self.process = subprocess.Popen(forms.command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        bufsize=1)

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        return self.process.stdout.readline().strip()

    def stop(self):
        self.process.communicate()
        return self.process.returncode


class OwnAddressesTest(unittest.TestCase):
    def setUp(self):
        self.policy = Policy()

    def tearDown(self):
        self.assertEqual(self.policy.stop(), 0)

    def check(self, **verdicts):
        for address, verdict in verdicts.items():
            self.assertEqual(self.policy.ask(address), verdict, address)

    def test_ipv4_comes_and_goes(self):
        set_ipv4("lo", "127.0.0.1")
        self.assertEqual(self.policy.ask("refresh"), "refreshed")
        set_ipv4("lo:1", "9.9.9.9")
        self.check(**{"9.9.9.9": "permitted"})
        self.assertEqual(self.policy.ask("refresh"), "refreshed")
        self.check(**{"9.9.9.9": "refused", "::ffff:9.9.9.9": "refused", "64:ff9b::9.9.9.9": "refused",
                      "9.9.9.10": "permitted"})
        drop_ipv4("lo:1")
        self.check(**{"9.9.9.9": "refused"})
        self.assertEqual(self.policy.ask("refresh"), "refreshed")
        self.check(**{"9.9.9.9": "permitted", "127.0.0.1": "refused"})

    def test_ipv6_comes_and_goes(self):
        change_ipv6(SIOCSIFADDR, "2a00::9")
        self.assertEqual(self.policy.ask("refresh"), "refreshed")
        self.check(**{"2a00::9": "refused", "2a00::8": "permitted"})
        change_ipv6(SIOCDIFADDR, "2a00::9")
        self.assertEqual(self.policy.ask("refresh"), "refreshed")
        self.check(**{"2a00::9": "permitted"})


def main():
    if INSIDE in os.environ:
        drop_ipv4("lo")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))
        unittest.main(verbosity=2)
    if subprocess.run(["unshare", "--net", "true"], stderr=subprocess.DEVNULL, check=False).returncode != 0:
        print("SKIPPED: no right to make a network namespace (%s)" % os.strerror(errno.EPERM), file=sys.stderr)
        sys.exit(77)
    os.execvpe("unshare", ["unshare", "--net", sys.executable, os.path.abspath(__file__)],
               {**os.environ, INSIDE: "yes"})


if __name__ == "__main__":
    main()
