"""ask.py PATH SECONDS: asks the service on 127.0.0.1:8080 over and over, on a new connection each time, and retries
nothing. With 0 seconds it asks once. Ends earlier when its standard input does. Prints as JSON how many were answered
with 200, and what became of the others."""
import http.client
import json
import select
import sys
import time

PAUSE_SECONDS = 0.005


def ask(path):
    connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=30)
    try:
        connection.request("GET", path)
        return str(connection.getresponse().status)
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    finally:
        connection.close()


def main():
    path, seconds = sys.argv[1], float(sys.argv[2])
    end = time.monotonic() + seconds
    outcomes = {}
    while True:
        outcome = ask(path)
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        if time.monotonic() >= end or select.select([sys.stdin], [], [], PAUSE_SECONDS)[0]:
            break
    print(json.dumps({"ok": outcomes.pop("200", 0), "failed": outcomes}))


if __name__ == "__main__":
    main()
