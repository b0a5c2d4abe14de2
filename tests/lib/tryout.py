"""tryout.py FOLDER: one Dovecot on loopback, an address for each kind of certificate, and how to test each by hand."""
import os
import shutil
import signal
import socket
import sys

import certs
import dovecot

IMAP, IMAPS = 10143, 10993
DAY = certs.DAY


def sites():
    """Name, address, certificate, how its chain is sent, what is wrong with it."""
    good, unknown = certs.trusted(), certs.untrusted()
    return [
        ("mail.localhost", "127.0.0.10", good.leaf("mail.localhost"), "full", "nothing"),
        ("expired.localhost", "127.0.0.11", good.leaf("expired.localhost", start=-90 * DAY, end=-3 * DAY), "full",
         "expired"),
        ("selfsigned.localhost", "127.0.0.12", certs.self_signed("selfsigned.localhost"), "full", "self-signed"),
        ("othername.localhost", "127.0.0.13", good.leaf("another.example"), "full", "for another name"),
        ("incomplete.localhost", "127.0.0.14", good.leaf("incomplete.localhost"), "alone", "intermediate not sent"),
        ("untrusted.localhost", "127.0.0.15", unknown.leaf("untrusted.localhost"), "full", "unknown root"),
        ("soon.localhost", "127.0.0.16", good.leaf("soon.localhost", start=-80 * DAY, end=5 * DAY - 3600), "full",
         "expires in four days and some hours"),
    ]


def show(trust_file, rows):
    print("Dovecot is ready. In a second terminal:\n")
    print("  server/run --allow-target 127.0.0.0/8 --imap-port %d --imaps-port %d \\\n    --trust-file %s\n" %
          (IMAP, IMAPS, os.path.relpath(trust_file)))
    print("In a third:\n")
    for name, address, _, _, wrong in rows:
        print("  # wrong with this certificate: %s" % wrong)
        print("  curl -s 'http://127.0.0.1:8080/v1/imap-test?host=%s&address=%s' | jq .\n" % (name, address))
    print("  # the first one as a table\n  build/imap-testd --check %s --address %s --allow-target 127.0.0.0/8 \\\n"
          "    --imap-port %d --imaps-port %d --trust-file %s\n" %
          (rows[0][0], rows[0][1], IMAP, IMAPS, os.path.relpath(trust_file)))
    print("Ctrl-C here ends this Dovecot.", flush=True)


def refuse_second(rows):
    """Another instance would answer in the place of this one, with other certificates."""
    for _, address, _, _, _ in rows:
        for port in (IMAP, IMAPS):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((address, port))
                except OSError as error:
                    sys.exit("%s port %d cannot be used: %s. Is another tests/tryout running?" %
                             (address, port, error.strerror))


def main():
    folder = sys.argv[1]
    rows = sites()
    refuse_second(rows)
    os.makedirs(folder, exist_ok=True)
    trust_file = os.path.join(folder, "root.pem")
    shutil.copyfile(certs.trust_file(), trust_file)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with dovecot.Dovecot((IMAP, IMAPS), dovecot.certificate(rows[0][2]),
                         {address: dovecot.certificate(leaf, chain) for _, address, leaf, chain, _ in rows}):
        show(trust_file, rows)
        try:
            signal.pause()
        except KeyboardInterrupt:
            pass


main()
