"""Replicas that share results and target limits through Redis."""
import concurrent.futures
import os
import re
import signal
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import case
import certs
import imapd
from service import slowness, wait_until
from sharing import SharedCase


class ResultTest(SharedCase):
    def test_one_test_answers_at_both(self):
        first = self.first.test(self.host.name)
        report = self.check_report(first)
        self.assertFalse(report["cached"])
        time.sleep(1.1)
        again = self.second.test(self.host.name)
        repeated = self.check_report(again)
        self.assertEqual({**repeated, "cached": False}, report)
        self.assertTrue(repeated["cached"])
        self.assertIn(int(again.headers["age"]), (1, 2))
        self.assertEqual(again.headers["cache-control"], "max-age=30")
        self.assertEqual(again.headers["server-timing"], "cache;desc=hit, " + first.headers["server-timing"])
        self.assertEqual(self.count_tests(), 1)
        wait_until(lambda: self.requests(self.second), 5 * slowness(), "a line for the request")
        line = self.requests(self.second)[0]
        self.assertEqual((line["address"], line["verdict"], line["cached"]), (self.host.address, "ok", True))

    def test_what_was_found_is_kept(self):
        self.first.test(self.host.name)
        time.sleep(1.1)
        self.second.test(self.host.name)
        self.redis.kill()
        answer = self.second.test(self.host.name)
        self.assertTrue(self.check_report(answer)["cached"])
        self.assertGreaterEqual(int(answer.headers["age"]), 1)
        self.assertEqual(self.second.events("shared_cache_down"), [])

    def test_fresh_goes_past_and_is_shared(self):
        self.first.test(self.host.name)
        fresh = self.second.test(self.host.name, fresh="true")
        self.assertFalse(self.check_report(fresh)["cached"])
        self.assertEqual(self.count_tests(), 2)
        third = self.stage.replica()
        later = third.test(self.host.name).json()
        self.assertEqual((later["cached"], later["duration_ms"]), (True, fresh.json()["duration_ms"]))

    def test_those_who_ask_together_share_what_is_found(self):
        self.first.test(self.host.name)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: self.second.test(self.host.name), range(8)))
        for answer in answers:
            self.assertTrue(self.check_report(answer)["cached"])
        self.assertEqual(self.count_tests(), 1)

    def test_what_is_found_costs_the_caller_nothing(self):
        limited = self.stage.replica(client_rate="2/3600")
        hosts = [self.host.name] + [self.stage.name(self.host.address) for _ in range(5)]
        for host in hosts:
            self.first.test(host)
        for host in hosts:
            self.assertTrue(self.report(limited, host)["cached"])
        statuses = [limited.test(self.host.name, fresh="true").status for _ in range(3)]
        self.assertEqual(statuses, [200, 200, 429])

    def test_it_ends_with_its_time(self):
        short = self.stage.replica(cache_seconds=1)
        self.assertFalse(short.test(self.host.name).json()["cached"])
        time.sleep(1.2)
        self.assertEqual(self.keys(), [])
        self.assertFalse(self.first.test(self.host.name).json()["cached"])
        time.sleep(1.2)
        # For the one it is too old by now, for the other it is not. What it tests then is as old as its own test.
        self.assertFalse(short.test(self.host.name).json()["cached"])
        self.redis.command("FLUSHALL")
        again = short.test(self.host.name)
        self.assertEqual((again.json()["cached"], again.headers.get("age")), (True, "0"))

    def test_what_says_little_is_not_shared(self):
        busy = self.stage.play([imapd.send("* BYE [UNAVAILABLE] too many connections\r\n")] * 1,
                               None)
        report = self.report(self.first, busy.name, ports=str(self.stage.imap))
        self.assertEqual(report["verdict"], "inconclusive")
        silent = self.stage.play([imapd.silence()], None)
        answer = self.first.test(silent.name, ports=str(self.stage.imap), timeout_ms=1000)
        self.assertEqual(answer.json()["ports"][0]["error"]["code"], "deadline_exceeded")
        self.assertEqual(self.keys(), [])

    def test_without_a_cache_nothing_is_stored(self):
        self.stage.replica(cache_seconds=0).test(self.host.name)
        self.assertEqual(self.keys(), [])

    def test_metrics_are_not_shared(self):
        def lookups():
            lines = self.second.get("/metrics").body.decode().splitlines()
            return [line for line in lines if re.match("imap_testd_shared_cache_(lookups|stores|failures)_total", line)]
        before, kept = lookups(), self.count_tests()
        for replica in (self.first, self.second):
            self.assertEqual(replica.get("/probe?target=" + self.host.name).status, 200)
        self.assertEqual(self.count_tests(), kept + 2)
        self.assertEqual(lookups(), before)
        self.second.test(self.host.name)
        self.assertNotEqual(lookups(), before)

    def test_other_options_are_another_cache(self):
        self.first.test(self.host.name)
        for number, changes in enumerate(({"connect_timeout_ms": 4999}, {"deny_target": ["0.0.0.0/0", "::/0", "10.0.0.0/8"]},
                                          {"trust_file": None})):
            with self.subTest(changes):
                other = self.stage.replica(**changes)
                self.assertFalse(self.report(other, self.host.name)["cached"])
                self.assertEqual(self.count_tests(), number + 2)

    def test_other_roots_are_another_cache(self):
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as roots:
            def use(text):
                roots.seek(0)
                roots.truncate()
                roots.write(text)
                roots.flush()
            use(certs.trusted().root.pem())
            replica = self.stage.replica(trust_file=roots.name)
            self.first.test(self.host.name)
            self.assertTrue(self.report(replica, self.host.name)["cached"])
            use(certs.untrusted().root.pem())
            replica.process.send_signal(signal.SIGHUP)
            self.say(replica, "reloaded")
            report = self.report(replica, self.host.name)
            self.assertFalse(report["cached"])
            self.assertNotEqual(report["verdict"], "ok")
            self.assertEqual(self.first.test(self.host.name, timeout_ms=15000).json()["verdict"], "ok")

    def test_what_was_changed_in_the_store_is_not_believed(self):
        self.first.test(self.host.name)
        key, = self.keys()
        entry = self.redis.command("GET", key)
        changes = [entry.replace(b'"verdict":"ok"', b'"verdict":"OK"'), entry[:-1], entry + b" ", b"", b"x" * 100,
                   entry[:7] + b"\xff" + entry[8:]]
        for number, changed in enumerate(changes):
            self.redis.command("SET", key, changed, "EX", 30)
            replica = self.stage.replica()
            self.assertFalse(self.report(replica, self.host.name)["cached"], number)
            self.assertEqual(self.count_tests(), number + 2)
        # A sound entry, but of another name.
        other = self.stage.play(imapd.healthy_plain(self.stage.context()), None)
        self.first.test(other.name)
        stolen, = set(self.keys()) - {key}
        self.redis.command("SET", stolen, self.redis.command("GET", key), "EX", 30)
        self.assertFalse(self.report(self.stage.replica(), other.name)["cached"])
        # One that is of another kind.
        self.redis.command("DEL", key)
        self.redis.command("LPUSH", key, "x")
        self.assertFalse(self.report(self.stage.replica(), self.host.name)["cached"])
        self.redis.command("DEL", key)
        # One without an end: its age is not to be known.
        self.redis.command("SET", key, entry)
        self.assertFalse(self.report(self.stage.replica(), self.host.name)["cached"])

    def test_only_who_has_the_key_takes_part(self):
        with tempfile.NamedTemporaryFile("w") as key:
            key.write("0123456789abcdef0123456789abcdef\n")
            key.flush()
            one, two = (self.stage.replica(shared_cache_key=key.name) for _ in range(2))
            self.first.test(self.host.name)
            self.assertFalse(self.report(one, self.host.name)["cached"])
            self.assertTrue(self.report(two, self.host.name)["cached"])


class LimitTest(SharedCase):
    options = {"target_rate": "10/60"}

    def ask(self, number):
        replica = (self.first, self.second)[number % 2]
        return replica.test(self.host.name, fresh="true")

    def test_ten_at_both_together(self):
        answers = [self.ask(number) for number in range(14)]
        self.assertEqual([answer.status for answer in answers], [200] * 10 + [429] * 4)
        self.assertEqual(self.count_tests(), 10)
        for answer in answers[10:]:
            self.assertEqual(self.problem(answer, 429, "rate_limited")["scope"], "target")
            self.assertIn(int(answer.headers["retry-after"]), range(1, 7))

    def test_ten_at_once(self):
        with concurrent.futures.ThreadPoolExecutor(14) as pool:
            answers = list(pool.map(self.ask, range(14)))
        self.assertEqual(sorted(answer.status for answer in answers), [200] * 10 + [429] * 4)

    def test_by_whatever_name(self):
        for number in range(10):
            self.assertEqual(self.ask(number).status, 200)
        other = self.stage.name(self.host.address)
        self.problem(self.second.test(other), 429, "rate_limited")

    def test_the_own_limit_stays(self):
        for _ in range(10):
            self.first.test(self.host.name, fresh="true")
        self.redis.kill()
        self.assertEqual(self.first.test(self.host.name, fresh="true").status, 429)
        self.assertEqual(self.second.test(self.host.name, fresh="true").status, 200)

    def test_an_impossible_limit_is_not_obeyed_for_ever(self):
        self.ask(0)
        for key in self.keys():
            if self.redis.command("STRLEN", key) < 32:
                self.redis.command("SET", key, "9999999999999999")
        answer = self.ask(1)
        self.assertEqual(answer.status, 429)
        self.assertLessEqual(int(answer.headers["retry-after"]), 6)


if __name__ == "__main__":
    case.main()
