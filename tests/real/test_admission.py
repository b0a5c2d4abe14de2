"""Who gets a test: single flight, the result cache, the limits of clients and targets, callers that leave."""
import concurrent.futures
import contextlib
import http.client
import os
import signal
import socket
import struct
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import case
import dnsd
import imapd
import net
import stage
from service import Answer, read_answer, slowness, wait_until


class AdmissionCase(case.Case):
    options = {}

    def setUp(self):
        self.stage = stage.Stage(**self.options)
        self.addCleanup(self.stage.stop)
        self.service = self.stage.service

    def play(self, gated=None):
        """A healthy host; with an event its greeting on the STARTTLS port waits for it."""
        context = self.stage.context()
        plain = imapd.healthy_plain(context)
        if gated is not None:
            plain = [imapd.gate(gated)] + list(plain)
        return self.stage.play(plain, imapd.healthy_tls(context))

    def limited(self, answer, scope):
        body = self.problem(answer, 429, "rate_limited")
        self.assertEqual(body["scope"], scope)
        seconds = int(answer.headers["retry-after"])
        self.assertGreaterEqual(seconds, 1)
        self.assertRegex(body["detail"], r"again in %s[;.]" % ("1 second" if seconds == 1 else "%d seconds" % seconds))
        return seconds

    def request_from(self, address, path, headers=None, timeout=60):
        """As Service.request(), from another address of this machine."""
        connection = http.client.HTTPConnection(*self.service._address, timeout=timeout * slowness(),
                                                source_address=(address, 0))
        try:
            connection.request("GET", path, headers=headers or {})
            answer = connection.getresponse()
            return Answer(answer.status, answer.getheaders(), answer.read())
        finally:
            connection.close()


class CacheTest(AdmissionCase):
    options = {"cache_seconds": 3}

    def test_a_result_answers_again_until_it_is_too_old(self):
        host = self.play()
        first = self.service.test(host.name)
        report = self.check_report(first)
        self.assertFalse(report["cached"])
        self.assertEqual(first.headers["cache-control"], "max-age=3")
        self.assertNotIn("age", first.headers)
        again = self.service.test(host.name)
        repeated = self.check_report(again)
        self.assertTrue(repeated["cached"])
        self.assertEqual(again.headers["cache-control"], "max-age=3")
        self.assertLessEqual(int(again.headers["age"]), 3)
        self.assertEqual({**repeated, "cached": False}, report)
        self.assertEqual(len(host.connections()), 2)
        time.sleep(3.1)
        self.assertFalse(self.check_report(self.service.test(host.name))["cached"])
        self.assertEqual(len(host.connections()), 4)

    def test_the_log_tells_what_was_tested_and_for_whom(self):
        host = self.play()
        self.service.test(host.name)
        self.service.test(host.name)
        wait_until(lambda: len(self.service.events("request")) == 2, 5 * slowness(), "two lines")
        for line, cached in zip(self.service.events("request"), (False, True)):
            self.assertEqual((line["client"], line["host"], line["address"], line["verdict"], line["cached"]),
                             ("127.0.0.1", host.name, host.address, "ok", cached))
        closed = net.fresh_address()
        self.service.test("refused.test", address=closed)
        wait_until(lambda: len(self.service.events("request")) == 3, 5 * slowness(), "a third line")
        self.assertEqual(self.service.events("request")[2]["address"], closed)

    def test_age_counts(self):
        host = self.play()
        self.service.test(host.name)
        time.sleep(1.2)
        self.assertIn(int(self.service.test(host.name).headers["age"]), (1, 2))

    def test_fresh_is_tested_anew_and_answers_others_then(self):
        host = self.play()
        self.service.test(host.name)
        answer = self.service.test(host.name, fresh="true")
        self.assertFalse(self.check_report(answer)["cached"])
        self.assertEqual(answer.headers["cache-control"], "no-store")
        self.assertEqual(len(host.connections()), 4)
        fresh = answer.json()["tested_at"], answer.json()["duration_ms"]
        later = self.service.test(host.name).json()
        self.assertEqual((later["cached"], later["tested_at"], later["duration_ms"]), (True, *fresh))

    def test_other_parameters_are_another_test(self):
        host = self.play()
        self.service.test(host.name)
        for parameters in ({"ports": self.stage.imap}, {"timeout_ms": 15000}, {"transcript": "true"},
                           {"address": host.address}):
            with self.subTest(parameters):
                answer = self.service.test(host.name, **parameters)
                self.assertFalse(answer.json()["cached"], answer)
        self.assertTrue(self.service.test(host.name.upper() + ".").json()["cached"])
        self.assertTrue(self.service.test(host.name, ports="%d,%d" % (self.stage.imaps, self.stage.imap)).json()["cached"])

    def test_head_is_answered_from_it_as_well(self):
        host = self.play()
        self.service.test(host.name)
        answer = self.service.request("HEAD", self.service.test_path(host.name))
        self.assertEqual((answer.status, answer.body), (200, b""))
        self.assertIn("age", answer.headers)
        self.assertEqual(len(host.connections()), 2)

    def test_inconclusive_results_are_not_kept(self):
        bye = [imapd.send("* BYE Too many connections from your IP address\r\n"), imapd.close()]
        host = self.stage.play(bye)
        for _ in range(2):
            answer = self.service.test(host.name, ports=self.stage.imap)
            self.assertEqual(answer.json()["verdict"], "inconclusive")
            self.assertFalse(answer.json()["cached"])
            self.assertEqual(answer.headers["cache-control"], "no-store")
        self.assertEqual(len(host.connections()), 2)

    def test_results_cut_by_the_deadline_are_not_kept(self):
        host = self.stage.play([imapd.greet(), imapd.silence()], [imapd.silence()])
        for _ in range(2):
            answer = self.service.test(host.name, timeout_ms=1000)
            self.assertFalse(answer.json()["cached"])
            self.assertEqual(answer.headers["cache-control"], "no-store")
        self.assertEqual(len(host.connections()), 4)

    def test_unreachable_hosts_and_unknown_names_are_kept(self):
        for name in (self.stage.name(net.fresh_address()), "no-such-name.test"):
            with self.subTest(name):
                self.assertFalse(self.service.test(name).json()["cached"])
                self.assertTrue(self.service.test(name).json()["cached"])

    def test_refusals_are_not_kept(self):
        self.stage.dns.zone["inside.test"] = dnsd.Name(a=["10.1.2.3"])
        for _ in range(2):
            self.problem(self.service.test("inside.test"), 403, "target_not_allowed")
        self.assertGreaterEqual(len(self.stage.dns.asked("inside.test")), 2)

    def test_reload_forgets(self):
        host = self.play()
        self.service.test(host.name)
        self.service.process.send_signal(signal.SIGHUP)
        wait_until(lambda: self.service.events("reloaded"), 10 * slowness(), "reload")
        self.assertFalse(self.service.test(host.name).json()["cached"])


class CacheOffTest(AdmissionCase):
    options = {"cache_seconds": 0}

    def test_each_request_is_a_test(self):
        host = self.play()
        for _ in range(2):
            answer = self.service.test(host.name)
            self.assertFalse(answer.json()["cached"])
            self.assertEqual(answer.headers["cache-control"], "no-store")
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: self.service.test(host.name), range(4)))
        self.assertEqual({answer.json()["cached"] for answer in answers}, {False})
        self.assertEqual(len(host.connections()), 12)


class SingleFlightTest(AdmissionCase):
    options = {"cache_seconds": 30}

    def test_many_at_once_cost_one_test(self):
        go = threading.Event()
        host = self.play(go)
        with concurrent.futures.ThreadPoolExecutor(30) as pool:
            waiting = [pool.submit(self.service.test, host.name) for _ in range(30)]
            wait_until(host.connections, 10 * slowness(), "the test has begun")
            time.sleep(0.5 * slowness())
            go.set()
            answers = [one.result() for one in waiting]
        reports = [self.check_report(answer) for answer in answers]
        self.assertEqual(sorted(report["cached"] for report in reports), [False] + 29 * [True])
        self.assertEqual(len({report["duration_ms"] for report in reports}), 1)
        self.assertEqual(len(host.connections()), 2)
        for answer in answers:
            self.assertEqual(answer.headers.get("age"), "0" if answer.json()["cached"] else None)

    def test_fresh_does_not_join_and_is_joined(self):
        go = threading.Event()
        host = self.play(go)
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            first = pool.submit(self.service.test, host.name)
            wait_until(lambda: len(host.plain.connections) == 1, 10 * slowness(), "the first test has begun")
            second = pool.submit(self.service.test, host.name, fresh="true")
            wait_until(lambda: len(host.plain.connections) == 2, 10 * slowness(), "the second test has begun")
            third = pool.submit(self.service.test, host.name)
            time.sleep(0.3 * slowness())
            go.set()
            answers = [one.result().json() for one in (first, second, third)]
        self.assertEqual([answer["cached"] for answer in answers], [False, False, True])
        self.assertEqual(answers[2]["duration_ms"], answers[1]["duration_ms"])
        self.assertEqual(len(host.plain.connections), 2)

    def test_a_refusal_is_for_all_who_wait(self):
        self.stage.dns.zone["slow.test"] = dnsd.Name(a=["10.1.2.3"], delay=0.5)
        with concurrent.futures.ThreadPoolExecutor(5) as pool:
            answers = list(pool.map(lambda _: self.service.test("slow.test"), range(5)))
        for answer in answers:
            self.problem(answer, 403, "target_not_allowed")


class ClientLimitTest(AdmissionCase):
    options = {"client_rate": "3/60", "cache_seconds": 30}

    def test_beyond_its_limit_a_client_is_told_when_to_come_back(self):
        hosts = [self.play() for _ in range(4)]
        for host in hosts[:3]:
            self.check_report(self.service.test(host.name))
        seconds = self.limited(self.service.test(hosts[3].name), "client")
        self.assertLessEqual(seconds, 20)
        self.assertEqual(hosts[3].connections(), [])
        # What costs no test is still to be had, and others are not touched.
        self.assertTrue(self.check_report(self.service.test(hosts[0].name))["cached"])
        self.assertEqual(self.service.get("/v1/capabilities").status, 200)
        other = net.fresh_address()
        self.assertEqual(self.request_from(other, self.service.test_path(hosts[3].name)).status, 200)

    def test_requests_that_are_no_tests_do_not_count(self):
        for _ in range(5):
            self.problem(self.service.get("/v1/imap-test?host=%20"), 400, "invalid_host")
            self.problem(self.service.get("/v1/imap-test"), 400, "missing_host")
        self.assertEqual(self.service.test(self.play().name).status, 200)

    def test_refused_targets_count(self):
        for _ in range(3):
            self.problem(self.service.test("10.1.2.3"), 403, "target_not_allowed")
        self.limited(self.service.test("10.1.2.3"), "client")


class ClientLimitRefillTest(AdmissionCase):
    options = {"client_rate": "2/2"}

    def test_tokens_come_back(self):
        host = self.play()
        for _ in range(2):
            self.assertEqual(self.service.test(host.name).status, 200)
        seconds = self.limited(self.service.test(host.name), "client")
        time.sleep(seconds)
        self.assertEqual(self.service.test(host.name).status, 200)


class TargetLimitTest(AdmissionCase):
    options = {"target_rate": "2/60", "cache_seconds": 30}

    def test_an_address_is_spared_whatever_name_it_has_and_whoever_asks(self):
        host = self.play()
        names = [host.name] + [self.stage.name(host.address) for _ in range(3)]
        self.assertEqual(self.service.test(names[0]).status, 200)
        self.assertEqual(self.request_from(net.fresh_address(), self.service.test_path(names[1])).status, 200)
        before = len(host.connections())
        self.limited(self.service.test(names[2]), "target")
        self.limited(self.service.test(names[0], fresh="true"), "target")
        self.limited(self.service.test(host.address), "target")
        self.limited(self.service.test("other.test", address=host.address), "target")
        self.limited(self.service.test("[::ffff:%s]" % host.address), "target")
        self.limited(self.request_from(net.fresh_address(), self.service.test_path(names[3])), "target")
        self.assertEqual(len(host.connections()), before)
        self.assertTrue(self.check_report(self.service.test(names[0]))["cached"])
        self.assertEqual(self.service.test(self.play().name).status, 200)

    def test_the_answer_does_not_tell_the_address(self):
        host = self.play()
        for _ in range(2):
            self.service.test(host.name, fresh="true")
        self.assertNotIn(host.address.encode(), self.service.test(host.name, fresh="true").body)

    def test_the_second_address_counts_when_it_is_tried(self):
        closed = [net.fresh_address() for _ in range(3)]
        host = self.play()
        for index, address in enumerate(closed):
            self.stage.dns.zone["both%d.play.test" % index] = dnsd.Name(a=[address, host.address])
        for index in range(2):
            self.assertEqual(self.report(self.service, "both%d.play.test" % index)["verdict"], "ok")
        before = len(host.connections())
        self.limited(self.service.test("both2.play.test"), "target")
        self.assertEqual(len(host.connections()), before)
        # The first address was connected to each time, once.
        self.assertEqual(self.service.test(closed[2]).status, 200)
        self.limited(self.service.test(closed[2], fresh="true"), "target")

    def test_blocked_addresses_are_blocked_not_limited(self):
        for _ in range(5):
            self.problem(self.service.test("10.9.8.7"), 403, "target_not_allowed")


class KeyLimitTest(AdmissionCase):
    def setUp(self):
        self.keys = tempfile.NamedTemporaryFile("w", suffix=".keys")
        self.addCleanup(self.keys.close)
        self.keys.write("first-key\nsecond-key\n")
        self.keys.flush()
        self.options = {"client_rate": "2/60", "api_key_file": self.keys.name}
        super().setUp()

    def ask(self, key, address="127.0.0.1"):
        return self.request_from(address, self.service.test_path(self.play().name), {"Authorization": "Bearer " + key})

    def test_a_key_has_a_limit_of_its_own_wherever_it_is_used(self):
        self.assertEqual(self.ask("first-key").status, 200)
        self.assertEqual(self.ask("first-key", net.fresh_address()).status, 200)
        self.limited(self.ask("first-key"), "client")
        self.limited(self.ask("first-key", net.fresh_address()), "client")
        self.assertEqual(self.ask("second-key").status, 200)
        self.problem(self.ask("third-key"), 401, "unauthorized")

    def test_keys_are_read_anew(self):
        with open(self.keys.name, "w") as file:
            file.write("third-key\n")
        self.service.process.send_signal(signal.SIGHUP)
        wait_until(lambda: self.service.events("reloaded"), 10 * slowness(), "reload")
        self.problem(self.ask("first-key"), 401, "unauthorized")
        self.assertEqual(self.ask("third-key").status, 200)
        with open(self.keys.name, "w") as file:
            file.write("\n")
        self.service.process.send_signal(signal.SIGHUP)
        wait_until(lambda: self.service.events("reload_failed"), 10 * slowness(), "reload")
        self.assertEqual(self.ask("third-key").status, 200)


class InFlightTest(AdmissionCase):
    options = {"max_in_flight": 1, "cache_seconds": 30}

    def test_beyond_the_bound_tests_are_refused_but_joined(self):
        go = threading.Event()
        self.addCleanup(go.set)
        host, other = self.play(go), self.play()
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            first = pool.submit(self.service.test, host.name)
            wait_until(host.connections, 10 * slowness(), "the test has begun")
            answer = self.service.test(other.name)
            self.problem(answer, 503, "overloaded")
            self.assertIn("retry-after", answer.headers)
            second = pool.submit(self.service.test, host.name)
            time.sleep(0.3 * slowness())
            go.set()
            self.assertEqual([first.result().json()["cached"], second.result().json()["cached"]], [False, True])
        self.assertEqual(self.service.test(other.name).status, 200)


    def test_whoever_has_its_answer_may_ask_again_at_once(self):
        data = b"GET /v1/imap-test?host=no-such-host.test&fresh=true HTTP/1.1\r\nHost: x\r\n\r\n"
        with self.service.connect() as sock:
            stream = sock.makefile("rb")
            for _ in range(1000):
                sock.sendall(data)
                self.assertEqual(read_answer(stream).status, 200)


class BurstTest(AdmissionCase):
    options = {"max_in_flight": 10, "workers": 1}

    def test_far_more_than_there_is_room_for_are_told_so_and_tests_go_on(self):
        """More callers at once than connections: those with a test keep it, all others hear 503."""
        go = threading.Event()
        self.addCleanup(go.set)
        host = self.play(go)
        request = ("GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % self.service.test_path(host.name)).encode()
        with concurrent.futures.ThreadPoolExecutor(10) as pool, contextlib.ExitStack() as stack:
            under_way = [pool.submit(self.service.test, host.name) for _ in range(10)]
            wait_until(lambda: len(host.plain.connections) == 10, 10 * slowness(), "the tests have begun")
            others = []
            for _ in range(390):
                others.append(stack.enter_context(self.service.connect()))
                others[-1].sendall(request)  # at once: in a crowd whoever does not ask is cut
            for other in others:
                self.problem(read_answer(other.makefile("rb")), 503, "overloaded")
            go.set()
            self.assertEqual([one.result().status for one in under_way], 10 * [200])


class LeavingTest(AdmissionCase):
    options = {"cache_seconds": 30}

    def setUp(self):
        super().setUp()
        self.pool = concurrent.futures.ThreadPoolExecutor(4)
        self.addCleanup(self.pool.shutdown)

    def ask(self, name):
        sock = self.service.connect()
        sock.sendall(("GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % self.service.test_path(name)).encode())
        return sock

    def test_a_caller_that_leaves_ends_its_test(self):
        for how in ("close", "reset", "half"):
            with self.subTest(how):
                host = self.stage.play([imapd.silence()], [imapd.silence()])
                sock = self.ask(host.name)
                wait_until(lambda: len(host.connections()) == 2, 10 * slowness(), "the test has begun")
                began = time.monotonic()
                if how == "reset":
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                if how == "half":
                    sock.shutdown(socket.SHUT_WR)
                else:
                    sock.close()
                host.settle()
                self.assertLess(time.monotonic() - began, 5 * slowness())
                wait_until(lambda: [e for e in self.service.events("request") if e.get("host") == host.name],
                           5 * slowness(), "the log line")
                line = [e for e in self.service.events("request") if e.get("host") == host.name][0]
                self.assertEqual((line["aborted"], line["status"]), ("client", 0))
                sock.close()

    def test_not_while_others_wait_for_it(self):
        go = threading.Event()
        self.addCleanup(go.set)
        host = self.play(go)
        starter = self.ask(host.name)
        wait_until(host.connections, 10 * slowness(), "the test has begun")
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            others = [pool.submit(self.service.test, host.name) for _ in range(2)]
            time.sleep(0.3 * slowness())
            starter.close()
            time.sleep(0.3 * slowness())
            go.set()
            self.assertEqual([one.result().json()["cached"] for one in others], [True, True])
        self.assertEqual(len(host.connections()), 2)

    def test_many_that_leave_at_once(self):
        hosts = [self.stage.play([imapd.silence()], [imapd.silence()]) for _ in range(40)]
        socks = [self.ask(host.name) for host in hosts]
        wait_until(lambda: all(len(host.connections()) == 2 for host in hosts), 20 * slowness(), "the tests have begun")
        for sock in socks:
            sock.close()
        for host in hosts:
            host.settle()
        self.assertEqual(self.service.test(self.play().name).status, 200)

    def test_whoever_asks_while_the_last_one_leaves_gets_a_report(self):
        """A test that is being given up is not joined any more."""
        host = self.stage.play([imapd.sleep(0.02), imapd.greet(), imapd.close()], [imapd.sleep(0.02), imapd.close()])
        for index in range(150):
            name = self.stage.name(host.address)
            socks = [self.ask(name) for _ in range(2)]
            time.sleep(0.001 * (index % 10))
            for sock in socks:
                sock.close()
            answers = self.pool.map(lambda delay: (time.sleep(delay / 5000), self.service.test(name))[1], range(4))
            self.assertEqual([answer.status for answer in answers], 4 * [200])

    def test_whoever_asks_after_the_last_one_left_gets_a_test(self):
        host = self.stage.play([imapd.silence()], [imapd.silence()])
        sock = self.ask(host.name)
        wait_until(lambda: len(host.connections()) == 2, 10 * slowness(), "the test has begun")
        sock.close()
        host.settle()
        host.stop()
        answer = self.service.test(host.name, timeout_ms=2000)
        self.assertEqual((answer.status, answer.json()["cached"]), (200, False))


if __name__ == "__main__":
    unittest.main()
