"""Loopback addresses and ports that no other test of this machine uses, and a few limits of the process."""
import itertools
import random
import resource
import socket

# Where fresh_port() takes ports from: below the ephemeral range.
PORTS = (15000, 31999)
# The part of loopback that no test may lead the service to; fresh_address() keeps out of it.
NEVER = "127.255.0.0/16"

_random = random.SystemRandom()
_second, _third = _random.randint(16, 250), _random.randint(0, 255)
_counter = itertools.count(1)


def fresh_address():
    """An address of 127.0.0.0/8 that this process has not handed out before.

    Never 127.0.0.1: connections come from there, and servers such as Dovecot treat a peer that has their own
    address as trusted.
    """
    number = next(_counter)
    return "127.%d.%d.%d" % (_second, (_third + number // 250) % 256, number % 250 + 1)


def fresh_port():
    """A port below the ephemeral range that is free on every address of this machine."""
    for _ in range(200):
        port = _random.randint(*PORTS)
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
        return port
    raise RuntimeError("no free port between %d and %d" % PORTS)


def fresh_ports(count):
    ports = set()
    while len(ports) < count:
        ports.add(fresh_port())
    return sorted(ports)


def raise_descriptor_limit(wanted):
    """Makes room for `wanted` descriptors in this process and its children, or says why that cannot be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise RuntimeError("%d descriptors are needed, the hard limit is %d (ulimit -Hn)" % (wanted, hard))
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def lost_datagrams(address):
    """How many datagrams from this IPV4:PORT the sockets connected to it had no room for (proc(5))."""
    host, port = address.rsplit(":", 1)
    peer = "%08X:%04X" % (int.from_bytes(socket.inet_aton(host), "little"), int(port))
    with open("/proc/net/udp", encoding="ascii") as table:
        rows = [line.split() for line in table.read().splitlines()[1:]]
    return sum(int(row[-1]) for row in rows if row[2] == peer)
