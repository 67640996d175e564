"""Executes README's three calls and the guide to the letter and compares the answers with those that the pages show.

    python3 crates/http/contract/readme.py ORIGIN

ORIGIN is a service with an empty ledger and without API keys, as README's first command starts it. What differs from
one run to the next (times, request ids, cursors, this month) only has to have the same shape; `…` stands for anything.
"""

import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).parents[3]
WHERE = "api=http://127.0.0.1:8080/api/v1"
# Which part of a page is executed, and how many answers it shows at least.
PAGES = [("README.md", "\n## Three calls\n", 3), ("docs/guide.md", "", 16)]

# What a run may change, and the shape that it must keep.
SHAPES = [
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"),
    (r"\d{4}-\d\d(?!\d|-)", r"\d{4}-\d\d"),
    (r'(?<="next_cursor":")[^"]+', r"[\w-]+"),
    (r'(?<="request_id":")[^"]+', r"[0-9a-f-]{36}"),
    (r"\s*…\s*", r".*"),
]


def steps(page, heading):
    """Commands of a page, or of its chapter below `heading`, each with the answer that follows it."""
    text = (ROOT / page).read_text()
    chapter = text.split(heading)[1].split("\n## ")[0] if heading else text
    for block in re.findall(r"```sh\n(.*?)```", chapter, re.DOTALL):
        for step in block.strip().split("\n\n"):
            lines = step.split("\n")
            command = [line for line in lines if not line.startswith("#")]
            yield "\n".join(command), [line[1:].strip() for line in lines if line.startswith("#")]


def pattern(answer):
    """JSON is one line that the page breaks after commas and brackets; anything else is lines."""
    text = ("" if answer[0].startswith("{") else "\n").join(answer)
    shapes = re.compile("|".join(f"({shape})" for shape, _ in SHAPES))
    parts, end = [], 0
    for found in shapes.finditer(text):
        parts += [re.escape(text[end : found.start()]), SHAPES[found.lastindex - 1][1]]
        end = found.end()
    return "".join(parts) + re.escape(text[end:])


def follow(origin, page, heading, answers_min):
    """Executes a page in one shell; returns how many of its answers were others than it shows."""
    todo = list(steps(page, heading))
    shown = len([answer for _, answer in todo if answer])
    assert shown >= answers_min, f"{page} shows {shown} answers, not {answers_min}"
    with tempfile.TemporaryDirectory() as folder:
        script = "set -euo pipefail\n"
        for number, (command, _) in enumerate(todo):
            script += f"{{\n{command}\n}} >{folder}/{number}\n"
        assert WHERE in script, f"{page} does not say {WHERE}"
        subprocess.run(["bash", "-c", script.replace(WHERE, f"api={origin}/api/v1")], check=True)
        found = [pathlib.Path(folder, str(number)).read_text() for number in range(len(todo))]
    wrong = 0
    for (command, answer), got in zip(todo, found):
        got = got.replace("\r", "").strip()
        if answer and not re.fullmatch(pattern(answer), got, re.DOTALL):
            wrong += 1
            print(f"{page}: {command}\n  shows    {' '.join(answer)}\n  but gets {got}", file=sys.stderr)
    print(f"{page}: {len(todo)} steps, {wrong} with another answer than shown")
    return wrong


def main(origin):
    sys.exit(sum(follow(origin, *page) for page in PAGES) > 0)


main(*sys.argv[1:])
