"""Follows README's "The life of some money" to the letter and compares the answers with those that README shows.

    python3 crates/http/contract/readme.py ORIGIN

ORIGIN is a service with an empty ledger and without API keys, as README's first command starts it. What differs from
one run to the next (times, request ids, cursors, this month) only has to have the same shape; `…` stands for anything.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

README = pathlib.Path(__file__).parents[3] / "README.md"
WHERE = "api=http://127.0.0.1:8080/api/v1"

# What a run may change, and the shape that it must keep.
SHAPES = [
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"),
    (r"\d{4}-\d\d(?!\d|-)", r"\d{4}-\d\d"),
    (r'(?<="next_cursor":")[^"]+', r"[\w-]+"),
    (r'(?<="request_id":")[^"]+', r"[0-9a-f-]{36}"),
    (r"\s*…\s*", r".*"),
]


def steps():
    """Commands, each with the answer below it, in the order of the chapter."""
    chapter = README.read_text().split("\n## The life of some money\n")[1].split("\n## ")[0]
    for block in re.findall(r"```sh\n(.*?)```", chapter, re.DOTALL):
        for step in block.strip().split("\n\n"):
            lines = step.split("\n")
            command = [line for line in lines if not line.startswith("#")]
            yield "\n".join(command), [line[1:].strip() for line in lines if line.startswith("#")]


def pattern(answer):
    """JSON is one line that README has broken after commas and brackets; anything else is lines."""
    text = ("" if answer[0].startswith("{") else "\n").join(answer)
    shapes = re.compile("|".join(f"({shape})" for shape, _ in SHAPES))
    parts, end = [], 0
    for found in shapes.finditer(text):
        parts += [re.escape(text[end : found.start()]), SHAPES[found.lastindex - 1][1]]
        end = found.end()
    return "".join(parts) + re.escape(text[end:])


def main(origin):
    todo = list(steps())
    assert len([answer for _, answer in todo if answer]) >= 8, "the chapter has lost its answers"
    with tempfile.TemporaryDirectory() as folder:
        script = "set -euo pipefail\n"
        for number, (command, _) in enumerate(todo):
            script += f"{{\n{command}\n}} >{folder}/{number}\n"
        assert WHERE in script, f"README does not say {WHERE}"
        script = script.replace(WHERE, f"api={origin}/api/v1")
        # The month as accounting counts it where nothing else is configured.
        subprocess.run(["bash", "-c", script], env={**os.environ, "TZ": "MSK-3"}, check=True)
        found = [pathlib.Path(folder, str(number)).read_text() for number in range(len(todo))]
    wrong = 0
    for (command, answer), got in zip(todo, found):
        got = got.replace("\r", "").strip()
        if answer and not re.fullmatch(pattern(answer), got, re.DOTALL):
            wrong += 1
            print(f"README: {command}\n  shows    {' '.join(answer)}\n  but gets {got}", file=sys.stderr)
    print(f"README: {len(todo)} steps, {wrong} with another answer than shown")
    sys.exit(wrong > 0)


main(*sys.argv[1:])
