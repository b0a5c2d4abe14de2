"""The target policy against another implementation of the registries: Python's `ipaddress`. Many thousand addresses, at
random and around every border; where the two differ, a row of DIFFERENCES has to say why, and none may be left over.

What an IPv4 address inside IPv6 is, and how the operator's rows compare, is worked out here once more, on bits as text.
"""
import collections
import ipaddress
import os
import random
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import forms

SEED = int(os.environ.get("IMAP_TESTD_SEED", "20261125"))

ANYCAST = "the registry calls it globally reachable: an anycast service of whatever node is nearest"
IDENTIFIERS = "the registry calls it globally reachable: identifiers that are not routed"
NEWER = "the row is newer than the Python of Debian 12"

# Network, whether `ipaddress` of Debian 12's Python permits it (None: some versions do), why we do not. There is no
# row the other way round: what Python refuses, we refuse.
DIFFERENCES = [
    ("192.0.0.0/24", None, "Python 3.11.2 knows only parts of it, later ones permit the anycast addresses"),
    ("192.31.196.0/24", True, ANYCAST + " (AS112, RFC 7535)"),
    ("192.52.193.0/24", True, ANYCAST + " (AMT, RFC 7450)"),
    ("192.88.99.0/24", True, "6to4 relays, deprecated (RFC 7526); Python follows the registry's N/A"),
    ("192.175.48.0/24", True, ANYCAST + " (AS112, RFC 7534)"),
    ("168.63.129.16/32", True, "a public address that is a cloud's platform services for its guests"),
    ("2001:1::/48", None, ANYCAST + " (RFC 7723, RFC 8155, RFC 9665), permitted by later Pythons"),
    ("2001:3::/32", None, ANYCAST + " (AMT, RFC 7450), permitted by later Pythons"),
    ("2001:4:112::/48", None, ANYCAST + " (AS112, RFC 7535), permitted by later Pythons"),
    ("2001:20::/28", None, IDENTIFIERS + " (ORCHIDv2, RFC 7343), permitted by later Pythons"),
    ("2001:30::/28", None, IDENTIFIERS + " (RFC 9374), permitted by later Pythons"),
    ("2620:4f:8000::/48", True, ANYCAST + " (AS112, RFC 7534)"),
    ("3fff::/20", None, NEWER + " (documentation, RFC 9637)"),
    ("2002::/16", None, "6to4 leads to the IPv4 address inside, through any relay; Python 3.11.2 permits it"),
]

# Every border of the registries and of what else is treated apart; also where nothing should change.
BORDERS = [
    "0.0.0.0/32", "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "100.100.100.200/32", "127.0.0.0/8", "168.63.129.16/32",
    "169.254.0.0/16", "169.254.169.254/32", "172.16.0.0/12", "192.0.0.0/24", "192.0.0.0/29", "192.0.0.8/32",
    "192.0.0.9/32", "192.0.0.10/32", "192.0.0.170/31", "192.0.0.192/32", "192.0.2.0/24", "192.31.196.0/24",
    "192.52.193.0/24", "192.88.99.0/24", "192.88.99.2/32", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15",
    "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "255.255.255.255/32", "128.0.0.0/16",
    "191.255.0.0/16", "223.255.255.0/24", "14.0.0.0/8", "24.0.0.0/8", "39.0.0.0/8",
    "::/128", "::1/128", "::/96", "::/8", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48",
    "100::/64", "100:0:0:1::/64", "100::/8", "200::/7", "400::/6", "800::/5", "1000::/4", "2000::/3", "2001::/16",
    "2001::/23", "2001::/32", "2001:1::1/128", "2001:1::2/128", "2001:1::3/128", "2001:2::/48", "2001:3::/32",
    "2001:4:112::/48", "2001:10::/28", "2001:20::/28", "2001:30::/28", "2001:db8::/32", "2002::/16",
    "2620:4f:8000::/48", "3fff::/20", "3ffe::/16", "4000::/3", "5f00::/16", "6000::/3", "8000::/3", "a000::/3",
    "c000::/3", "e000::/4", "f000::/5", "f800::/6", "fc00::/7", "fd00:ec2::254/128", "fe00::/9", "fe80::/10",
    "fec0::/10", "ff00::/8",
]

MAPPED, COMPATIBLE, NAT64 = (ipaddress.ip_network(text) for text in ("::ffff:0:0/96", "::/96", "64:ff9b::/96"))
LENGTHS = (32, 40, 48, 56, 64, 96)


def bits_of(ip):
    return format(int(ip), "0128b" if ip.version == 6 else "032b")


def inside(ip, prefixes=()):
    """(IPv4 address inside, the prefix before it); (None, prefix): there can be none; (None, None): not embedded."""
    if ip.version == 4 or int(ip) <= 1:
        return None, None
    holding = [prefix for prefix in (MAPPED, COMPATIBLE, NAT64, *prefixes) if ip in prefix]
    if not holding:
        return None, None
    prefix = max(holding, key=lambda network: network.prefixlen)
    if prefix.prefixlen == 96:
        return ipaddress.IPv4Address(int(bits_of(ip)[96:], 2)), prefix
    if bits_of(ip)[64:72] != "00000000":
        return None, prefix
    rest = bits_of(ip)[:64] + bits_of(ip)[72:]
    return ipaddress.IPv4Address(int(rest[prefix.prefixlen:][:32], 2)), prefix


def python_permits(ip):
    """What `ipaddress` says of a plain address."""
    if ip.is_multicast or ip.is_reserved or ip.is_unspecified or ip.is_loopback or ip.is_link_local:
        return False
    if ip.version == 6 and (ip.is_site_local or ip.teredo):
        return False
    return ip.is_global


def embed(prefix, ip4, octet=0, suffix=0):
    """An IPv6 address with the IPv4 address inside (RFC 6052 section 2.2)."""
    text = bits_of(prefix.network_address)[:prefix.prefixlen]
    for bit in bits_of(ip4):
        if len(text) == 64:
            text += format(octet, "08b")
        text += bit
    if len(text) == 64:
        text += format(octet, "08b")
    room = 128 - len(text)
    return ipaddress.IPv6Address(int(text, 2) << room | suffix % 2 ** room)


def around(network):
    """The borders of a network and their neighbours, with some addresses inside."""
    network = ipaddress.ip_network(network)
    first, last = int(network[0]), int(network[-1])
    top = 2 ** network.max_prefixlen - 1
    kind = type(network[0])
    numbers = {first + step for step in (-2, -1, 0, 1, 2)} | {last + step for step in (-2, -1, 0, 1, 2)}
    return [kind(number) for number in numbers if 0 <= number <= top]


class Addresses(unittest.TestCase):
    """Addresses at random, the same ones in every run."""

    def setUp(self):
        self.random = random.Random(SEED)

    def random4(self):
        return ipaddress.IPv4Address(self.random.getrandbits(32))

    def random6(self):
        """Any address, one of global unicast, or one close to a border: what is interesting is rare."""
        kind = self.random.random()
        if kind < 0.3:
            return ipaddress.IPv6Address(self.random.getrandbits(128))
        if kind < 0.6:
            return ipaddress.IPv6Address(1 << 125 | self.random.getrandbits(125))
        network = ipaddress.ip_network(self.random.choice([text for text in BORDERS if ":" in text]))
        return network[self.random.getrandbits(128) % network.num_addresses]

    def address4(self):
        """An IPv4 address, every other time in a network that is treated apart."""
        if self.random.random() < 0.5:
            return self.random4()
        network = ipaddress.ip_network(self.random.choice([text for text in BORDERS if ":" not in text]))
        return network[self.random.getrandbits(32) % network.num_addresses]


class PropertyTest(Addresses):
    def plain(self):
        found = [ip for network in BORDERS for ip in around(network)]
        found += [self.address4() for _ in range(20000)]
        found += [self.random6() for _ in range(20000)]
        return found

    def compare(self, options, addresses, prefixes=()):
        """Counts the differences by the row that explains them; fails at one that none explains."""
        explained, wrong = collections.Counter(), []
        networks = [ipaddress.ip_network(row[0]) for row in DIFFERENCES]
        for ip, verdict in zip(addresses, forms.ask(options, map(str, addresses))):
            self.assertIn(verdict, ("permitted", "refused"), ip)
            ip4, prefix = inside(ip, prefixes)
            decides = ip4 or ip
            expected = python_permits(decides) if ip4 or prefix is None else False
            if (verdict == "permitted") == expected:
                continue
            rows = [row for row, network in zip(DIFFERENCES, networks) if decides in network]
            if verdict == "permitted" or not rows:
                wrong.append("%s is %s, Python %s %s" % (ip, verdict, "permits" if expected else "refuses", decides))
            for row in rows:
                explained[row[0]] += 1
        self.assertEqual(wrong[:20], [], "%d of %d differ and nothing explains it" % (len(wrong), len(addresses)))
        return explained

    def test_plain_addresses(self):
        addresses = self.plain()
        self.assertGreater(len(addresses), 40000)
        explained = self.compare((), addresses)
        for network, permits, why in DIFFERENCES:
            if permits:
                self.assertGreater(explained[network], 0, "no difference any more: %s, %s" % (network, why))

    def test_addresses_inside(self):
        """Every form of embedding, and networks' own prefixes of every length, nested ones among them."""
        prefixes = [ipaddress.ip_network(text) for text in (
            "2a00:64::/32", "2a00:164:100::/40", "2a00:264:1::/48", "2a00:364:1:100::/56", "2a00:464:1:2::/64",
            "2a00:564:1:2::/96", "64:ff9b:1::/48", "64:ff9b:1:fffe::/96", "2a00:64:a01::/48", "fd64::/96")]
        self.assertEqual({prefix.prefixlen for prefix in prefixes}, set(LENGTHS))
        options = [word for prefix in prefixes for word in ("--nat64-prefix", str(prefix))]
        addresses = []
        borders = [ip for network in BORDERS if ":" not in network for ip in around(network)]
        for prefix in (MAPPED, COMPATIBLE, NAT64, *prefixes):
            addresses += [embed(prefix, ip4) for ip4 in borders]
            addresses += around(prefix)
            for _ in range(2000):
                octet = self.random.choice((0, 0, 0, 1, 128, 255))
                suffix = self.random.choice((0, 0, 1, 255, self.random.getrandbits(24)))
                addresses.append(embed(prefix, self.address4(), octet, suffix))
                addresses.append(prefix[self.random.getrandbits(128) % prefix.num_addresses])
        self.assertGreater(len(addresses), 40000)
        self.compare(options, addresses, prefixes)

    def test_both_answers_are_frequent(self):
        """A policy that says the same of all would agree with itself only."""
        answers = collections.Counter(forms.ask((), map(str, self.plain())))
        self.assertGreater(min(answers["permitted"], answers["refused"]), 8000, answers)


class RowsTest(Addresses):
    """The operator's rows, at random around few networks, so that many nest and tie."""

    BASES = ("9.9.0.0/16", "10.1.0.0/16", "2a00:64::/32", "2a00:464:1:2::/64", "2a00:564:1:2::/96", "fd01::/32")
    PREFIXES = tuple(ipaddress.ip_network(text) for text in BASES[2:5])

    def near(self, base, spread):
        """An address that shares much with the base's first one and varies in few bits behind it."""
        network = ipaddress.ip_network(base)
        ip = network[0]
        if network in self.PREFIXES:
            ip = embed(network, ipaddress.IPv4Address("9.9.0.0"))
        free = network.max_prefixlen - network.prefixlen
        number = int(ip)
        for _ in range(spread):
            number ^= 1 << self.random.randrange(free)
        return type(ip)(number)

    def row(self):
        ip = self.near(self.random.choice(self.BASES), self.random.choice((0, 0, 1)))
        length = self.random.choice((ip.max_prefixlen,
                                     self.random.randrange(ip.max_prefixlen // 8, ip.max_prefixlen + 1)))
        return self.random.choice((True, False)), ipaddress.ip_network((ip, length), strict=False)

    def expected(self, rows, ip):
        """The verdict of the closest row; None where none matches."""
        ip4, prefix = inside(ip, self.PREFIXES)
        best = []
        for allow, network in rows:
            if prefix is None and ip in network:
                best.append((network.prefixlen, not allow))
            elif ip4 is not None and ip4 in network:
                best.append((prefix.prefixlen + network.prefixlen, not allow))
            elif prefix is not None and network.version == 6 and ip in network:
                if not allow or network.prefixlen >= prefix.prefixlen:
                    best.append((self.without_octet(prefix, network), not allow))
        return None if not best else not max(best)[1]

    @staticmethod
    def without_octet(prefix, network):
        """How many bits of prefix and IPv4 address a network fixes: those that count are marked with an n."""
        length = prefix.prefixlen
        if length == 96:
            layout = "n" * 128
        else:
            behind = length + 32 - 64
            layout = "n" * 64 + "-" * 8 + "n" * behind + "-" * (56 - behind)
        return layout[:network.prefixlen].count("n")

    def test_rows(self):
        decided = 0
        for _ in range(60):
            rows = [self.row() for _ in range(self.random.randrange(1, 9))]
            options = [word for prefix in self.PREFIXES for word in ("--nat64-prefix", str(prefix))]
            for allow, network in rows:
                options += ["--allow-target" if allow else "--deny-target", str(network)]
            addresses = [self.near(base, spread) for base in self.BASES for spread in range(4) for _ in range(30)]
            for ip, verdict in zip(addresses, forms.ask(options, map(str, addresses))):
                wanted = self.expected(rows, ip)
                if wanted is None:
                    continue
                decided += 1
                self.assertEqual(verdict, "permitted" if wanted else "refused", "%s with %s" % (ip, " ".join(options)))
        self.assertGreater(decided, 10000)


if __name__ == "__main__":
    print("seed %d (IMAP_TESTD_SEED), Python %s" % (SEED, sys.version.split()[0]), file=sys.stderr)
    unittest.main(verbosity=2)
