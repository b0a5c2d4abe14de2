"""What becomes of replicas when the store that they share is away, slow, full, locked or no Redis at all."""
import http.client
import os
import random
import statistics
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import case
import imapd
import proxy
import redisd
import service
from service import slowness, wait_until
from sharing import SharedCase


class Load:
    """Asks for hosts at a steady rate until it is stopped, at each replica in turn. Results: (begun, seconds, status)."""

    def __init__(self, replicas, hosts, rate, threads=16):
        self.results, self._stop = [], threading.Event()
        self._replicas, self._hosts = replicas, hosts
        self._pause = threads / rate
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(threads)]
        self.began = time.monotonic()
        for thread in self._threads:
            thread.start()

    def _run(self, number):
        due = time.monotonic() + self._pause * number / len(self._threads)
        turn = number
        while not self._stop.wait(max(0, due - time.monotonic())):
            begun = time.monotonic()
            try:
                status = self._replicas[turn % len(self._replicas)].test(random.choice(self._hosts)).status
            except OSError as error:
                status = repr(error)
            self.results.append((begun - self.began, time.monotonic() - begun, status))
            due = max(due + self._pause, time.monotonic())
            turn += 1

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join()


class KilledTest(SharedCase):
    options = {"cache_seconds": 1, "target_rate": "100000/1"}

    def test_killed_and_restarted_under_load(self):
        hosts = [self.host.name] + [self.stage.name(self.host.address) for _ in range(19)]
        load = Load([self.first, self.second], hosts, 100 / slowness())
        try:
            time.sleep(6)
            self.redis.kill()
            killed = time.monotonic() - load.began
            time.sleep(6)
            self.redis.start()
            started = time.monotonic() - load.began
            time.sleep(8)
        finally:
            load.stop()
        self.tell(load, killed, started)
        self.assertEqual({status for _, _, status in load.results}, {200})
        self.assertLess(statistics.quantiles([taken for _, taken, _ in load.results], n=100)[98], 1 * slowness())
        for replica in (self.first, self.second):
            events = [self.say(replica, event)["event"] for event in ("shared_cache_up", "shared_cache_down")]
            self.say(replica, "shared_cache_up", 2)
            # On a busy machine it may seem to be away once more; that is told every 10 s at most.
            self.assertIn(len(replica.events("shared_cache_down")), (1, 2), events)
        self.assertEqual(self.redis.clients(), 4)
        hosts = [self.stage.name(self.host.address) for _ in range(5)]
        cached = [[replica.test(host).json()["cached"] for replica in (self.first, self.second)] for host in hosts]
        self.assertGreaterEqual(cached.count([False, True]), 4, cached)

    def tell(self, load, killed, started):
        times = sorted(taken * 1e3 for _, taken, _ in load.results)
        away = [taken * 1e3 for begun, taken, _ in load.results if killed <= begun <= started]
        print("\n%d requests in %.1f s, %d not answered with 200; ms: median %.1f, p99 %.1f, longest %.1f; "
              "without Redis (%.1f s to %.1f s) p99 %.1f; tests %d"
              % (len(times), max(begun for begun, _, _ in load.results),
                 sum(status != 200 for _, _, status in load.results), statistics.median(times),
                 statistics.quantiles(times, n=100)[98], times[-1], killed, started,
                 statistics.quantiles(away, n=100)[98], self.count_tests()), file=sys.stderr)


class HungTest(SharedCase):
    options = {"target_rate": "100000/1"}

    def timed(self, replica):
        began = time.monotonic()
        report = self.report(replica, self.host.name, fresh="true")
        self.assertEqual(report["verdict"], "ok")
        return time.monotonic() - began

    def assert_quick(self, times):
        """Each worker waits for it once, the others go on at once, whoever tries it anew: most know nothing of the
        200 ms that an answer may take."""
        self.assertLess(statistics.median(times), 0.19 * slowness(), times)
        self.assertLess(max(times), 2 * slowness(), times)

    def test_a_server_that_hangs(self):
        self.redis.pause()
        try:
            times = [self.timed(self.first) for _ in range(30)]
            self.say(self.first, "shared_cache_down")
        finally:
            self.redis.resume()
        self.assert_quick(times)
        self.assertIn("in time", self.first.events("shared_cache_down")[0]["reason"])
        wait_until(lambda: self.timed(self.first) and self.first.events("shared_cache_up")[1:], 20 * slowness(),
                   "the log says that it is back")
        self.assertTrue(self.report(self.second, self.host.name)["cached"])

    def test_a_server_that_is_late(self):
        def play(stream, _number):
            while True:
                redisd.read_reply(stream.rfile)
                time.sleep(0.4)
                stream.wfile.write(b"+PONG\r\n")
        with redisd.Impostor(play) as late:
            replica = self.stage.replica(shared_cache=late.url)
            times = [self.timed(replica) for _ in range(20)]
            self.assert_quick(times)
            self.say(replica, "shared_cache_down")


class RubbishTest(SharedCase):
    options = {"target_rate": "100000/1"}

    GREETED = {
        "a status": b"+OK\r\n", "a number": b":11\r\n", "below zero": b":-7\r\n", "far off": b":9223372036854775807\r\n",
        "no number": b":seven\r\n", "nil": b"$-1\r\n", "nil of another kind": b"*-1\r\n", "an array": b"*1\r\n+OK\r\n",
        "elements": b"*2147483647\r\n", "more elements": b"*1000000000\r\n" * 20, "nested": b"*1\r\n" * 50,
        "below nil": b"$-2\r\n", "empty": b"$0\r\n\r\n", "an entry of nothing": b"$3\r\n5 x\r\n",
        "cut off": b"$500\r\nhalf", "too long": b"$2147483647\r\n" + b"x" * 3000000, "huge": b"$9223372036854775807\r\n",
        "bad length": b"$x\r\n", "without end": b"+" + b"x" * 3000000, "other bytes": bytes(range(256)) * 50,
        "out of memory": b"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
        "read only": b"-READONLY You can't write against a read only replica.\r\n", "wrong type": b"-WRONGTYPE\r\n",
        "two for one": b"$-1\r\n$-1\r\n", "many": b"+OK\r\n" * 100000, "the protocol after": b"%1\r\n+a\r\n+b\r\n",
    }

    def check(self, url, events):
        replica = self.stage.replica(shared_cache=url)
        time.sleep(0.1)
        for _ in range(3):
            began = time.monotonic()
            report = self.report(replica, self.host.name, fresh="true")
            self.assertEqual((report["verdict"], report["cached"]), ("ok", False))
            self.assertLess(time.monotonic() - began, 1 * slowness())
        self.assertEqual(self.report(replica, self.stage.name(self.host.address))["verdict"], "ok")
        self.assertTrue([line for event in events for line in replica.events(event)], replica.log())
        replica.stop()
        self.stage.replicas.remove(replica)

    def test_answers(self):
        for name, reply in self.GREETED.items():
            def play(stream, _number, reply=reply):
                for _ in redisd.greet(stream):
                    stream.wfile.write(reply)
            with self.subTest(name), redisd.Impostor(play) as impostor:
                self.check(impostor.url, ("shared_cache_up",))

    def test_greetings(self):
        greetings = {"nothing": b"", "http": b"HTTP/1.1 400 Bad Request\r\n\r\n", "loading": b"-LOADING wait\r\n",
                     "locked": b"-NOAUTH Authentication required.\r\n", "another word": b"+OK\r\n", "a text": b"$4\r\nPONG\r\n"}
        for name, reply in greetings.items():
            def play(stream, number, reply=reply):
                if number % 2 or not reply:
                    redisd.read_reply(stream.rfile)
                stream.wfile.write(reply)
            with self.subTest(name), redisd.Impostor(play) as impostor:
                self.check(impostor.url, ("shared_cache_down",))

    def test_nobody_there(self):
        with redisd.Impostor(lambda stream, number: None) as impostor:
            url = impostor.url
        self.check(url, ("shared_cache_down",))
        self.check("unix:///nowhere/redis.sock", ("shared_cache_down",))
        self.check("redis://no..where", ("shared_cache_down",))

    def test_a_full_server(self):
        self.redis.command("CONFIG", "SET", "maxmemory", "1")
        self.check(self.redis.url, ("shared_cache_error",))


class DoorTest(SharedCase):
    """Passwords, users, databases, and the ways to the server."""

    options = {"target_rate": "2/60"}
    PASSWORD = "p@ss:w/rd%"
    ENCODED = "p@ss:w%2Frd%25"

    def shares(self, *urls, **environment):
        """Two replicas share a result and the limit of two tests."""
        host = self.stage.play(None, imapd.healthy_tls(self.stage.context()))
        replicas = [self.stage.replica(shared_cache=url) for url in urls]
        replicas += [self.stage.replica(shared_cache=None, environment=environment) for _ in range(2 - len(urls))]
        time.sleep(0.2)
        self.assertFalse(self.report(replicas[0], host.name)["cached"])
        self.assertTrue(self.report(replicas[1], host.name)["cached"])
        statuses = [replicas[number % 2].test(host.name, fresh="true").status for number in (0, 1, 1)]
        self.assertEqual(statuses, [200, 429, 429])
        return replicas

    def assert_unseen(self, replica):
        for name in ("cmdline", "environ"):
            with open("/proc/%d/%s" % (replica.process.pid, name), "rb") as file:
                text = file.read()
            self.assertNotIn(b"p@ss", text, name)
            if b"redis://" in text:
                self.assertIn(b"redis://****", text)
        self.assertNotIn("p@ss", replica.log())

    def test_a_socket_of_the_machine(self):
        url = "unix://" + self.redis.socket_path
        self.shares(url, url)

    def test_a_name(self):
        url = "redis://localhost:%d" % self.redis.port
        self.shares(url, url)

    def test_databases_are_apart(self):
        url = self.redis.url + "/3"
        self.shares(url, url)
        self.assertEqual(self.keys(), [])
        self.assertIn("db=3", str(self.redis.command("CLIENT", "LIST")))

    def test_a_password(self):
        self.redis.command("CONFIG", "SET", "requirepass", self.PASSWORD)
        url = "redis://:%s@127.0.0.1:%d" % (self.ENCODED, self.redis.port)
        for replica in self.shares(url, url):
            self.assert_unseen(replica)

    def test_a_user_with_no_more_rights_than_needed(self):
        self.redis.command("ACL", "SETUSER", "tester", "on", ">" + self.PASSWORD, "~imap-testd:*", "+ping", "+eval",
                           "+get", "+set", "+pttl", "+time")
        url = "redis://tester:%s@127.0.0.1:%d" % (self.ENCODED, self.redis.port)
        for replica in self.shares(IMAP_TEST_SHARED_CACHE=url):
            self.assert_unseen(replica)

    def test_a_wrong_password(self):
        self.redis.command("CONFIG", "SET", "requirepass", "another")
        url = "redis://:%s@127.0.0.1:%d" % (self.ENCODED, self.redis.port)
        replica = self.stage.replica(shared_cache=url)
        self.assertIn("WRONGPASS", self.say(replica, "shared_cache_down")["reason"])
        self.assertFalse(self.report(replica, self.host.name)["cached"])
        self.assert_unseen(replica)
        replica = self.stage.replica()
        self.assertIn("NOAUTH", self.say(replica, "shared_cache_down")["reason"])

    def test_a_server_that_repeats_what_it_does_not_know(self):
        def play(stream, _number):
            while True:
                command = redisd.read_reply(stream.rfile)
                stream.wfile.write(b"-ERR unknown command %r, with args beginning with: %r\r\n" % tuple(command[:2]))
        with redisd.Impostor(play) as impostor:
            replica = self.stage.replica(shared_cache=impostor.url.replace("//", "//:%s@" % self.ENCODED))
            self.assertIn("ERR", self.say(replica, "shared_cache_down")["reason"])
            self.assert_unseen(replica)


@unittest.skipUnless(proxy.nginx(), "nginx is not installed")
class ProxyTest(SharedCase):
    options = {"target_rate": "6/60", "trusted_proxy": "127.0.0.1/32"}

    def ask(self, address, name, **parameters):
        connection = http.client.HTTPConnection(*address, timeout=60 * slowness())
        try:
            connection.request("GET", self.first.test_path(name, **parameters))
            answer = connection.getresponse()
            return service.Answer(answer.status, answer.getheaders(), answer.read())
        finally:
            connection.close()

    def test_two_replicas_are_one_service(self):
        """Each name has its replica, the address is one; when a replica goes, the other has its results."""
        names = [self.stage.name(self.host.address) for _ in range(24)]
        with proxy.Proxy([self.first.address, self.second.address]) as front:
            answers = [self.ask(front.address, name) for name in names]
            self.assertEqual([answer.status for answer in answers], [200] * 6 + [429] * 18)
            self.assertFalse(any(self.check_report(answer)["cached"] for answer in answers[:6]))
            for replica in (self.first, self.second):
                self.assertGreaterEqual(len(replica.events("request")), 1)
            self.first.stop()
            again = [self.check_report(self.ask(front.address, name)) for name in names[:6]]
            self.assertEqual([report["cached"] for report in again], [True] * 6)
        self.assertEqual(self.count_tests(), 6)


if __name__ == "__main__":
    case.main()
