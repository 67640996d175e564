"""A proxy that stands for everything that can go wrong between a caller and the service.

    python3 crates/http/contract/bad_network.py ORIGIN

Prints its own address, then spoils the first attempt of every request, each in another way, and lets repeats through.
Ends on SIGTERM: with 0 if every way was met and nobody repeated a request that a rule had refused.
"""

import http.client
import http.server
import itertools
import json
import signal
import sys
import threading
from urllib.parse import urlsplit

ORIGIN = urlsplit(sys.argv[1])
# What only concerns one connection is not passed on.
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "host"}


class Caller(http.server.BaseHTTPRequestHandler):
    """One connection of a caller."""

    protocol_version = "HTTP/1.1"
    lock = threading.Lock()
    turns = itertools.cycle([])
    met = set()
    seen = set()
    refused = set()
    mistakes = []

    def handle_any(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        what = (self.command, self.path, body, self.headers.get("Idempotency-Key"))
        with self.lock:
            if what in self.refused:
                self.mistakes.append(f"repeated although a rule refused it: {what}")
            spoil = None if what in self.seen else next(self.turns)
            self.seen.add(what)
        if spoil is None:
            answer = self.forward(body)
            if 400 <= answer.status < 500:
                self.refused.add(what)
            self.pass_on(answer)
        else:
            self.met.add(spoil.__name__)
            spoil(self, body)

    do_GET = do_POST = do_PATCH = do_DELETE = handle_any

    def forward(self, body):
        connection = http.client.HTTPConnection(ORIGIN.netloc, timeout=30)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
        connection.request(self.command, self.path, body or None, headers)
        answer = connection.getresponse()
        answer.content = answer.read()
        connection.close()
        return answer

    def pass_on(self, answer, bytes_max=None):
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in HOP_BY_HOP | {"content-length"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content[:bytes_max])

    def problem(self, status, code, executed, retry_after):
        content = json.dumps({"status": status, "code": code, "executed": executed, "detail": "on purpose"}).encode()
        self.send_response_only(status)
        self.send_header("Content-Type", "application/problem+json")
        self.send_header("Content-Length", str(len(content)))
        if retry_after:
            self.send_header("Retry-After", "1")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


def cut_before(caller, _):
    caller.close_connection = True


def cut_after(caller, body):
    caller.forward(body)
    caller.close_connection = True


def cut_in_the_answer(caller, body):
    answer = caller.forward(body)
    caller.pass_on(answer, bytes_max=len(answer.content) // 2)
    caller.close_connection = True


def too_many(caller, _):
    caller.problem(429, "rate_limited", "no", retry_after=True)


def unavailable(caller, _):
    caller.problem(503, "unavailable", "no", retry_after=True)


def unknown(caller, body):
    caller.forward(body)
    caller.problem(503, "outcome_unknown", "unknown", retry_after=True)


def failed_after(caller, body):
    caller.forward(body)
    caller.problem(500, "internal", "unknown", retry_after=False)


WAYS = [cut_before, cut_after, cut_in_the_answer, too_many, unavailable, unknown, failed_after]


def main():
    Caller.turns = itertools.cycle(WAYS)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Caller)
    server.daemon_threads = True
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
    not_met = [way.__name__ for way in WAYS if way.__name__ not in Caller.met]
    for mistake in Caller.mistakes + [f"never met: {way}" for way in not_met]:
        print(mistake, file=sys.stderr)
    sys.exit(bool(Caller.mistakes or not_met))


main()
