"""SIGHUP: new roots count from the next test on, tests under way keep theirs, and a bad file changes nothing."""
import os
import shutil
import signal
import sys
import tempfile
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import case
import certs
import imapd
import service
import stage


class ReloadTest(case.Case):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.mkdtemp(prefix="imap-test-reload-")
        cls.addClassCleanup(shutil.rmtree, folder)
        cls.trust_file = os.path.join(folder, "roots.pem")

    def use_roots(self, text):
        with open(self.trust_file, "w", encoding="utf-8") as out:
            out.write(text)

    def reload(self, played, event):
        seen = len(played.service.events(event))
        played.service.process.send_signal(signal.SIGHUP)
        service.wait_until(lambda: len(played.service.events(event)) > seen, 10 * service.slowness(),
                           "the log says " + event)

    def verdicts(self, played, host):
        report = self.report(played.service, host.name, ports=str(played.imaps))
        return report["ports"][0]["certificate"]["chain_errors"]

    def test_roots_are_exchanged(self):
        good, unknown = certs.trusted(), certs.untrusted()
        self.use_roots(good.root.pem())
        with stage.Stage(trust_file=self.trust_file) as played:
            leaf = unknown.leaf("*.play.test")
            host = played.play(tls=imapd.healthy_tls(leaf.context()))
            self.assertEqual(self.verdicts(played, host), ["unknown_issuer"])
            self.use_roots(unknown.root.pem())
            self.reload(played, "reloaded")
            self.assertEqual(self.verdicts(played, host), [])
            self.use_roots("no certificate here\n")
            self.reload(played, "reload_failed")
            self.assertEqual(self.verdicts(played, host), [])
            self.use_roots(good.root.pem())
            self.reload(played, "reloaded")
            self.assertEqual(self.verdicts(played, host), ["unknown_issuer"])

    def test_no_request_is_lost(self):
        good = certs.trusted()
        self.use_roots(good.root.pem())
        with stage.Stage(trust_file=self.trust_file) as played:
            host = played.play(tls=imapd.healthy_tls(good.leaf("*.play.test").context()))
            answers, stop = [], threading.Event()

            def ask():
                while not stop.is_set():
                    answers.append(self.verdicts(played, host))

            askers = [threading.Thread(target=ask) for _ in range(4)]
            for asker in askers:
                asker.start()
            reloads = 0
            while reloads < 20 or (len(answers) < 20 and reloads < 1000):
                self.reload(played, "reloaded")
                reloads += 1
            stop.set()
            for asker in askers:
                asker.join()
            self.assertGreaterEqual(len(answers), 20)
            self.assertEqual([answer for answer in answers if answer], [])


if __name__ == "__main__":
    case.main()
