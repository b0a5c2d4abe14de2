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

    def count_tests(self):
        """How often the host was tested: each test has one connection for each port."""
        return len(self.host.tls.connections)

    def wait_for_links(self):
        """A worker has one connection each; they are made once the workers run."""
        wait_until(lambda: self.redis.clients() == 4, 10 * slowness(), "four connections")

    def keys(self):
        return self.redis.command("KEYS", "*")

    def say(self, replica, event, count=1):
        wait_until(lambda: len(replica.events(event)) >= count, 30 * slowness(), "the log says " + event)
        return replica.events(event)[count - 1]
