"""Real servers that have no place for one more client: what they do then, and that the report says no more than can be
said. Nothing here may ever look like a server without STARTTLS."""
import imaplib
import os
import select
import socket
import ssl
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import case
import dovecot
import net
import otherimapd
import service

PLACES = 4


class FullTest(otherimapd.Case):
    """A service and what fills a server."""

    def start_dovecot(self, **login):
        address = net.fresh_address()
        server = dovecot.start(ports=(self.stage.imap, self.stage.imaps), settings=dovecot.certificate(self.leaf),
                               sites={address: {}}, login=login)
        self.addCleanup(server.stop)
        return address, self.stage.name(address)

    def fill(self, address, count):
        """Connections to the plain port, in the order of their making, each greeted."""
        held = []
        for _ in range(count):
            held.append(socket.create_connection((address, self.stage.imap), timeout=10))
            self.addCleanup(held[-1].close)
            self.assertTrue(held[-1].recv(4096).startswith(b"* OK "))
        return held

    def plain(self, name):
        return self.report(self.stage.service, name, ports=str(self.stage.imap))

    def check_turned_away(self, report, findings):
        port = report["ports"][0]
        self.assertEqual((report["verdict"], port["verdict"]), ("inconclusive", "inconclusive"), report["findings"])
        self.assertEqual([(finding["id"], finding["severity"]) for finding in report["findings"]],
                         [(ident, "warning") for ident in findings])
        self.assertTrue(port["reachable"])
        self.assertFalse(port["starttls_supported"])
        self.assertIsNone(port["tls"])

    def check_free_again(self, name):
        """A server may need a moment to see that a client has gone."""
        service.wait_until(lambda: self.plain(name)["ports"][0]["starttls_supported"], 10 * service.slowness(),
                           "STARTTLS once there is room again")


class RoomTest(FullTest):
    """Dovecot turns out a guest who has not logged in for the next one: the test does not notice."""

    def check(self, **login):
        address, name = self.start_dovecot(**login)
        held = self.fill(address, PLACES)
        report = self.report(self.stage.service, name)
        self.assertEqual(report["verdict"], "ok", report["findings"])
        self.assertLessEqual(self.ids(report), {"slow_response"})
        turned_out, _, _ = select.select(held, [], [], 10)
        self.assertTrue(turned_out)
        for client in turned_out:
            self.assertEqual(client.recv(4096), b"* BYE Connection queue full\r\n")

    def test_in_one_process(self):
        self.check(process_limit=1, client_limit=PLACES)

    def test_among_processes(self):
        """It takes the master process up to some seconds to tell them."""
        self.check(service_count=1, process_limit=PLACES)


class NoRoomTest(FullTest):
    OPTIONS = {"io_timeout_ms": int(700 * service.slowness())}

    # Dovecot

    def test_turned_out_by_dovecot(self):
        """As in RoomTest, with the test as the oldest guest."""
        address, name = self.start_dovecot(process_limit=1, client_limit=PLACES)
        front = net.fresh_address()
        with socket.create_server((front, self.stage.imap)) as listener:
            relay = threading.Thread(target=self.let_others_in_front, args=(listener, address))
            relay.start()
            report = self.report(self.stage.service, name, ports=str(self.stage.imap), address=front)
            relay.join()
        self.check_turned_away(report, ["dialogue_incomplete", "server_refuses_service"])
        self.assertIn('"Connection queue full"', self.finding(report, "server_refuses_service")["detail"])
        self.assertEqual(report["ports"][0]["error"]["code"], "server_bye")
        self.check_free_again(name)

    def let_others_in_front(self, listener, address):
        """Hands one client on to Dovecot, then fills Dovecot until it turns that client out."""
        client, _ = listener.accept()
        with client, socket.create_connection((address, self.stage.imap), timeout=10) as server:
            client.sendall(server.recv(4096))
            others = [socket.create_connection((address, self.stage.imap)) for _ in range(PLACES)]
            client.sendall(server.recv(4096))
            for other in others:
                other.close()

    def check_that_sessions_fill_dovecot(self, **login):
        """Who has logged in is not turned out: the next one waits outside until somebody leaves."""
        address, name = self.start_dovecot(**login)
        sessions = []
        for number in range(PLACES):
            session = imaplib.IMAP4_SSL(address, self.stage.imaps, ssl_context=ssl._create_unverified_context())
            sessions.append(session)
            session.login("user%d" % number, dovecot.PASSWORD)
        report = self.plain(name)
        self.check_turned_away(report, ["no_greeting"])
        self.assertEqual(report["ports"][0]["error"]["code"], "read_timeout")
        for session in sessions:
            session.logout()
        self.check_free_again(name)

    def test_sessions_fill_dovecot(self):
        self.check_that_sessions_fill_dovecot(process_limit=1, client_limit=PLACES)

    def test_sessions_fill_the_processes_of_dovecot(self):
        self.check_that_sessions_fill_dovecot(service_count=1, process_limit=PLACES)

    # The others

    def check_full(self, kind, error, **settings):
        server, name = self.start(kind, **settings)
        self.check_free_again(name)
        held = self.fill(server.address, PLACES)
        report = self.plain(name)
        self.check_turned_away(report, ["no_greeting"])
        self.assertEqual(report["ports"][0]["error"]["code"], error)
        for client in held:
            client.close()
        self.check_free_again(name)

    def test_courier_hangs_up(self):
        self.check_full(otherimapd.Courier, "connection_closed", per_address=PLACES)

    def test_cyrus_lets_wait(self):
        self.check_full(otherimapd.Cyrus, "read_timeout", maxchild=PLACES)

    def test_mailutils_lets_wait(self):
        self.check_full(otherimapd.Mailutils, "read_timeout", maxchild=PLACES)


if __name__ == "__main__":
    case.main()
