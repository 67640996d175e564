"""A client of `balance` on Python's standard library alone. Copy it.

Whatever happens to a request (a timeout, a cut connection, an overloaded service), the client sends the *same*
request with the *same* idempotency key again: the service executes it once and answers every repeat alike. It
repeats nothing that a rule has refused. While it goes on trying it says so, by `logging` as "balance".
"""

import http.client
import itertools
import json
import logging
import random
import time
import urllib.error
import urllib.request

# Answers after which the same request may be sent again: the body came too late, too many requests, and a service
# or a proxy before it that cannot work just now.
TRY_AGAIN = {408, 429, 502, 503, 504}

# How long it tries again before it says so.
SILENT_SECONDS = 2

log = logging.getLogger("balance")


class Problem(Exception):
    """The service said no. Branch on `code`: the codes are in docs/api.md and never change; the words may."""

    def __init__(self, status, body, retry_after_seconds=0):
        super().__init__(f"{status} {body.get('code')}: {body.get('detail')} ({body.get('request_id')})")
        self.status = status
        self.retry_after_seconds = retry_after_seconds
        self.code = body.get("code")
        # "no": nothing happened. "unknown": it may have; only the same request with the same key tells.
        self.executed = body.get("executed", "unknown")


class Unanswered(Exception):
    """No answer came in time: whether it was executed is unknown. Keep the request and its key, repeat it later."""


class Answer:
    def __init__(self, status, headers, content):
        is_json = "json" in headers.get("Content-Type", "")
        self.status = status
        self.headers = headers
        self.body = json.loads(content) if is_json else content
        self.is_replay = headers.get("Idempotency-Replayed") == "true"


class Balance:
    def __init__(self, url, api_key=None, attempt_seconds=10, patience_seconds=60):
        self.url = url.rstrip("/")
        self.api_key = api_key
        self.attempt_seconds = attempt_seconds
        self.patience_seconds = patience_seconds

    def get(self, path):
        return self.call("GET", path)

    def post(self, path, body, key=None):
        """`key` is the Idempotency-Key. Derive it from what you are doing (payment 981, order 7), or make one up and
        store it *before* the first attempt, so that a restarted process repeats it too."""
        return self.call("POST", path, body, key)

    def pages(self, path):
        """All rows of a list, page by page."""
        separator = "&" if "?" in path else "?"
        cursor = ""
        while cursor is not None:
            page = self.get(path + cursor).body
            yield from page["data"]
            cursor = page["next_cursor"] and f"{separator}cursor={page['next_cursor']}"

    def call(self, method, path, body=None, key=None):
        """Repeats until there is an answer or patience ends. Raises `Problem` or `Unanswered`."""
        started, is_silent = time.monotonic(), True
        give_up_at = started + self.patience_seconds
        for attempt in itertools.count():
            try:
                return self._attempt(method, path, body, key)
            except Problem as problem:
                if problem.status not in TRY_AGAIN and problem.executed != "unknown":
                    raise
                failure, wait = problem, problem.retry_after_seconds
            except (OSError, http.client.HTTPException) as error:
                failure, wait = error, 0
            # What the service asks for, at least; otherwise longer each time, and not all callers at once.
            wait = max(wait, random.uniform(0.5, 1) * min(0.1 * 2**attempt, 5))
            soon = time.monotonic() + wait
            if soon > give_up_at:
                raise Unanswered(f"{method} {path} with key {key}: {failure}") from failure
            if is_silent and soon > started + SILENT_SECONDS:
                is_silent = False
                log.warning("%s%s: %s; trying again for %d s", self.url, path, failure, give_up_at - soon)
            time.sleep(wait)

    def _attempt(self, method, path, body, key):
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if self.api_key:
            headers["Authorization"] = f"Bearer {self.api_key}"
        if key:
            headers["Idempotency-Key"] = key
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, content, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=self.attempt_seconds) as response:
                return Answer(response.status, response.headers, response.read())
        except urllib.error.HTTPError as response:
            raise _problem(response) from None


def _problem(response):
    is_ours = response.headers.get_content_type() == "application/problem+json"
    # Otherwise it was not the service that answered, but something before it: nothing is known.
    body = json.loads(response.read()) if is_ours else {}
    seconds = response.headers.get("Retry-After", "")
    return Problem(response.code, body, int(seconds) if seconds.isdigit() else 0)
