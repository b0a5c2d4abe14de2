"""Replicas on one stage that share results and target limits through a Redis server."""
import case
import imapd
import redisd
import stage
from service import slowness, wait_until


class SharedCase(case.Case):
    """A server, two replicas, and a host to be tested."""

    redis_options = {}
    options = {}

    def setUp(self):
        self.redis = redisd.Redis(**self.redis_options)
        self.addCleanup(self.redis.stop)
        self.set_stage(self.redis.url)

    def set_stage(self, url, **changes):
        self.stage = stage.Stage(**{"cache_seconds": 30, "shared_cache": url, **self.options, **changes})
        self.addCleanup(self.stage.stop)
        self.first, self.second = self.stage.service, self.stage.replica()
        context = self.stage.context()
        self.host = self.stage.play(imapd.healthy_plain(context), imapd.healthy_tls(context))
        self.wait_for_links()

    def count_tests(self):
        """How often the host was tested: each test has one connection for each port."""
        return len(self.host.tls.connections)

    def wait_for_links(self):
        """A worker has one connection, made when it starts to run, and where that took too long when it is asked."""
        def linked():
            for replica in (self.first, self.second):
                replica.test("192.0.2.1")  # which nobody may test
            return self.redis.clients() == 4
        wait_until(linked, 10 * slowness(), "four connections")

    def requests(self, replica):
        """What the log says of requests for the host."""
        return [line for line in replica.events("request") if line["host"] == self.host.name]

    def keys(self):
        return self.redis.command("KEYS", "*")

    def say(self, replica, event, count=1):
        wait_until(lambda: len(replica.events(event)) >= count, 30 * slowness(), "the log says " + event)
        return replica.events(event)[count - 1]
