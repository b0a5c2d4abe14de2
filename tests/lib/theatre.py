"""Where scenarios are played: a program under test, and the TLS contexts of the servers."""
import concurrent.futures
import functools
import ssl

import certs
import scenario
import script
import service
import stage

IO_MS = int(1000 * service.slowness())
# What a test takes at most: one wait that runs out, the farewell, and the machine's share.
MOST_MS = IO_MS + 1000 + 1500 * service.slowness()


@functools.lru_cache(maxsize=None)
def _leaf(_kind):
    return certs.trusted().leaf("*.play.test")


class Theatre:
    """A stage with little patience and one with that of the defaults. `check` takes an HTTP answer, gives the report.

    All is made before anything is timed, as keys and programs take their time.
    """

    def __init__(self, scenarios, check):
        self.check = check
        # Several waits one after the other must fit into a test.
        self.stages = {False: stage.Stage(io_timeout_ms=IO_MS, deadline_ms=max(20000, 6 * IO_MS))}
        if any(one.patient for one in scenarios):
            self.stages[True] = stage.Stage()
        self._contexts = {options: self._new_context(options) for one in scenarios for options in one.handshakes()}

    def stop(self):
        for one in self.stages.values():
            one.stop()

    @staticmethod
    def _new_context(options):
        leaf = _leaf("other" if "other-certificate" in options else "usual")
        context = leaf.context(maximum=ssl.TLSVersion.TLSv1_2 if "1.2" in options else None)
        if "alpn" in options:
            context.set_alpn_protocols(["imap"])
        if "wants-certificate" in options:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(certs.trust_file())
        return context

    def play_all(self, scenarios, at_a_time, piecemeal=False, quick=False):
        """Each with a Performance, as they come to their end; after a failure no more if that is wanted."""
        with concurrent.futures.ThreadPoolExecutor(at_a_time) as pool:
            tasks = {pool.submit(self.play, one, piecemeal): one for one in scenarios}
            for task in concurrent.futures.as_completed(tasks):
                if task.result().complaints and quick:
                    pool.shutdown(cancel_futures=True)
                    yield tasks[task], task.result()
                    return
                yield tasks[task], task.result()

    def play(self, one, piecemeal=False):
        """In single bytes with a transcript, which must not change anything else."""
        # Unless it has lines that are too long for it: the report then says that they were cut.
        transcript = piecemeal and one.longest_line() < 500
        here = self.stages[one.patient]
        player = script.Player(self._contexts.__getitem__, piecemeal)
        steps = {name: player.steps(connections) for name, connections in one.scripts.items()}
        host = here.play(steps.get("imap"), steps.get("imaps"))
        if one.dns == "unknown":
            del here.dns.zone[host.name]
        else:
            here.dns.zone[host.name].a = [host.address if address == "own" else address for address in one.dns]
        numbers = {"imap": here.imap, "imaps": here.imaps}
        performance = Performance()
        try:
            answer = here.service.test(host.name, ports=",".join(str(numbers[name]) for name in one.services),
                                       transcript=str(transcript).lower(), **one.ask)
            host.settle()
            performance.report = self.check(answer)
            performance.connections = host.connections()
            performance.note(one, scenario.seen(one, performance.report, host, numbers))
            performance.complaints += scenario.complaints_about_client(host, service.slowness())
            if transcript:
                performance.complaints += scenario.complaints_about_transcript(performance.report, host)
        except AssertionError as error:
            performance.complaints.append(str(error))
        finally:
            host.stop()
        return performance


class Performance:
    """What came of a scenario; no complaints: all was as expected."""

    def __init__(self):
        self.report = None
        self.connections = []
        self.complaints = []

    def note(self, one, found):
        if found != one.expected:
            self.complaints.append(scenario.difference(one.expected, found))
            self.complaints += ["the script broke off: %s" % connection.problem
                                for connection in self.connections if connection.problem]
        for port in self.report["ports"]:
            timings = port["timings_ms"]
            for field, reached in (("connect", port["reachable"]), ("greeting", port["greeting"] is not None),
                                   ("tls_handshake", port["tls"] is not None)):
                if (timings[field] is not None) != reached:
                    self.complaints.append("%s: timings_ms.%s is %s" % (port["service"], field, timings[field]))

    def note_length(self, one):
        """One wait may run out, not several in turn."""
        took = self.report["duration_ms"] if self.report else 0
        if not one.patient and took > MOST_MS:
            self.complaints.append("the test took %.0f ms, more than one wait and a farewell" % took)
