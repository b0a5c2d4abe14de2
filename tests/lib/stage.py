"""Service, DNS and scripted servers put together: one pair of ports, an address and a name for each host."""
import itertools

import certs
import dnsd
import imapd
import net
import service


class Host:
    """One played host. `plain` and `tls` are its servers, None where nothing listens."""

    def __init__(self, name, address, plain, tls):
        self.name, self.address, self.plain, self.tls = name, address, plain, tls

    def servers(self):
        return [server for server in (self.plain, self.tls) if server]

    def connections(self):
        return [connection for server in self.servers() for connection in server.connections]

    def settle(self):
        for server in self.servers():
            server.settle()

    def stop(self):
        for server in self.servers():
            server.stop()


class Stage:
    """Options go to the service; the trusted root and the targets are set unless given.

    Loopback is all that may be tested, so that a mistake in a test or in the service reaches nobody outside.
    """

    def __init__(self, **options):
        self.imap, self.imaps = net.fresh_ports(2)
        self.dns = dnsd.Dns().start()
        self.hosts = []
        self.contexts = {}
        self._numbers = itertools.count(1)
        settings = {
            "dns_server": self.dns.address,
            "trust_file": certs.trust_file(),
            "allow_target": ["127.0.0.0/8", "::1/128"],
            "deny_target": ["0.0.0.0/0", "::/0"],
            "imap_port": self.imap,
            "imaps_port": self.imaps,
            "workers": 2,
        }
        settings.update(options)
        self.settings = settings
        try:
            self.service = service.Service(**settings)
        except BaseException:
            self.dns.stop()
            raise

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.stop(kind is None)

    def stop(self, properly=True):
        try:
            if properly:
                self.service.stop()
            else:
                self.service.kill()
        finally:
            for host in self.hosts:
                host.stop()
            self.dns.stop()

    def context(self):
        """The TLS context of a good server for any host of this stage."""
        if "good" not in self.contexts:
            self.contexts["good"] = certs.trusted().leaf("*.play.test").context()
        return self.contexts["good"]

    def name(self, address):
        """A new name that the DNS knows with this address; the context's certificate covers it."""
        name = "host%d.play.test" % next(self._numbers)
        self.dns.zone[name] = dnsd.Name(a=[address])
        return name

    def play(self, plain=None, tls=None):
        """A host with these scripts on the plain and the TLS port."""
        address = net.fresh_address()
        host = Host(self.name(address), address,
                    imapd.Server(plain, address, self.imap) if plain is not None else None,
                    imapd.Server(tls, address, self.imaps) if tls is not None else None)
        self.hosts.append(host)
        return host
