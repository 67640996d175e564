"""Checks what the clients of docs/examples/ do beyond their story: paging on every path, and what a person sees while
the service is away.

    python3 crates/http/contract/clients.py
"""

import http.server
import json
import pathlib
import socket
import subprocess
import sys
import threading
import time
from urllib.parse import parse_qs, urlsplit

EXAMPLES = pathlib.Path(__file__).parents[3] / "docs" / "examples"
PATHS = ["/users/7/operations", "/users/7/operations?limit=2", "/services"]
# What is said after about two seconds, and how long a slow machine may take to say it.
SAID_WITHIN_SECONDS = (0.9, 6)


class Pages(http.server.BaseHTTPRequestHandler):
    """Two pages for every path, and 404 for a path that is none."""

    def do_GET(self):
        url = urlsplit(self.path)
        cursor = parse_qs(url.query).get("cursor")
        is_known = url.path in {f"/api/v1{urlsplit(path).path}" for path in PATHS}
        page = {"data": [2], "next_cursor": None} if cursor == ["c"] else {"data": [1], "next_cursor": "c"}
        content = json.dumps(page if is_known else {"code": "route_not_found", "executed": "no"}).encode()
        self.send_response_only(200 if is_known else 404)
        self.send_header("Content-Type", "application/json" if is_known else "application/problem+json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


def rows_in_python(origin, path):
    sys.path.insert(0, str(EXAMPLES / "python"))
    from balance import Balance

    return list(Balance(f"{origin}/api/v1").pages(path))


def rows_in_javascript(origin, path):
    client = (EXAMPLES / "javascript" / "balance.mjs").as_uri()
    program = f"""
        const {{ Balance }} = await import({json.dumps(client)});
        const rows = [];
        for await (const row of new Balance({json.dumps(origin + "/api/v1")}).pages({json.dumps(path)})) rows.push(row);
        console.log(JSON.stringify(rows));
    """
    run = subprocess.run(["node", "--input-type=module", "-e", program], capture_output=True, text=True, check=True)
    return json.loads(run.stdout)


def check_pages():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for path in PATHS:
        for rows in (rows_in_python, rows_in_javascript):
            found = rows(f"http://127.0.0.1:{server.server_port}", path)
            assert found == [1, 2], f"{rows.__name__} on {path}: {found}"


def check_silence(command, nobody):
    """A service that is away is mentioned after two seconds, with its address, once."""
    started = time.monotonic()
    run = subprocess.Popen([*command, nobody], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    line = run.stderr.readline()
    took = time.monotonic() - started
    run.kill()
    run.wait()
    assert nobody in line and "trying again" in line, f"{command}: {line!r}"
    assert SAID_WITHIN_SECONDS[0] < took < SAID_WITHIN_SECONDS[1], f"{command}: after {took:.1f} s"


def main():
    check_pages()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
    for command in (
        ["python3", str(EXAMPLES / "python" / "life_of_some_money.py")],
        ["node", str(EXAMPLES / "javascript" / "life-of-some-money.mjs")],
        ["bash", str(EXAMPLES / "curl.sh")],
    ):
        check_silence(command, nobody)
    print("the clients page everywhere and say what they wait for")


main()
