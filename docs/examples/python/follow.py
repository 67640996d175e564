"""A follower of the feed, on `balance.py` beside it. Copy it.

It keeps its place and what it made of the events in one SQLite file, in one transaction: after a crash at any moment it
goes on where it was, and has counted everything once. Here it keeps each user's balance and what each service earned.

    python3 follow.py URL FILE [--until-idle]
"""

import os
import sqlite3
import sys
import time

from balance import Balance, Problem, Unanswered

SCHEMA = """
CREATE TABLE IF NOT EXISTS place (one INTEGER PRIMARY KEY CHECK (one = 1), cursor TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS seen (id TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS balances (user_id INTEGER PRIMARY KEY, seq INTEGER, available INTEGER, reserved INTEGER);
CREATE TABLE IF NOT EXISTS earned (service_id INTEGER PRIMARY KEY, amount INTEGER NOT NULL);
"""


def apply(database, event):
    """What one event means to you. Runs in the transaction that moves the place."""
    # At least once: an event may come again, under the same id.
    if database.execute("INSERT OR IGNORE INTO seen VALUES (?)", (event["id"],)).rowcount == 0:
        return
    data = event["data"]
    if event["type"].startswith("balance.operation."):
        # Each user's events come in the order of seq, so the last one has the balance.
        row = (data["user_id"], data["seq"], data["available_after"], data["reserved_after"])
        database.execute("INSERT OR REPLACE INTO balances VALUES (?, ?, ?, ?)", row)
    sign = {"balance.operation.capture": 1, "balance.operation.refund": -1}.get(event["type"])
    if sign:
        database.execute(
            "INSERT INTO earned VALUES (?, ?) ON CONFLICT (service_id) DO UPDATE SET amount = amount + excluded.amount",
            (data["service_id"], sign * data["amount"]),
        )
    if event["type"] == "balance.account.closed":
        # A follower that holds personal data of this user erases it now. This one holds none.
        pass


def step(client, database, wait):
    """One page: its events and the place behind them, in one transaction. How many there were."""
    row = database.execute("SELECT cursor FROM place").fetchone()
    cursor = row[0] if row else "earliest"
    page = client.get(f"/events?cursor={cursor}&limit=500&wait={wait}").body
    with database:
        for event in page["data"]:
            apply(database, event)
        database.execute("INSERT OR REPLACE INTO place VALUES (1, ?)", (page["next_cursor"],))
    return len(page["data"])


def follow(url, path, until_idle=False):
    # A long poll takes up to 25 seconds, so an attempt may take longer than that.
    client = Balance(url + "/api/v1", api_key=os.environ.get("BALANCE_API_KEY"), attempt_seconds=40)
    database = sqlite3.connect(path)
    database.executescript(SCHEMA)
    while True:
        try:
            count = step(client, database, wait=0 if until_idle else 25)
        except Unanswered:
            time.sleep(1)
            continue
        except Problem as problem:
            if problem.code == "cursor_ahead":
                # The ledger was restored to an earlier state: what this file says may never have been. Rebuild it.
                sys.exit(f"{path} has seen events that were taken back; move it away and start again")
            raise
        if until_idle and count == 0:
            return database


if __name__ == "__main__":
    ended = follow(sys.argv[1].rstrip("/"), sys.argv[2], until_idle="--until-idle" in sys.argv[3:])
    for user_id, seq, available, reserved in ended.execute("SELECT * FROM balances ORDER BY user_id"):
        print(f"user {user_id}: {available} available, {reserved} reserved after {seq} operations")
    for service_id, amount in ended.execute("SELECT * FROM earned ORDER BY service_id"):
        print(f"service {service_id}: {amount} earned")
