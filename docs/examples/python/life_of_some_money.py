"""The life of some money: topped up, reserved for an order, captured in part, refunded in part, explained, reported.

    python3 docs/examples/python/life_of_some_money.py [URL] [API_KEY]

URL is http://127.0.0.1:8080 if left out, the key can also be in BALANCE_API_KEY. Exits non-zero if anything is not
as expected.
"""

import os
import sys
import time

from balance import Balance, Problem, Unanswered

SERVICE = 1


def main(url="http://127.0.0.1:8080", api_key=os.environ.get("BALANCE_API_KEY")):
    balance = Balance(f"{url}/api/v1", api_key)
    # A new user for every run. Yours come from your own database, as do payments and orders.
    user = payment = order = time.time_ns() // 1000

    add_service(balance, SERVICE, "Courier")

    # The key names the payment: however often its notification comes in, the money comes once.
    top_up = {"amount": 100_000, "comment": "card *1234"}
    first = balance.post(f"/users/{user}/deposits", top_up, key=f"payment-{payment}")
    again = balance.post(f"/users/{user}/deposits", top_up, key=f"payment-{payment}")
    expect(first.status, 201)
    expect(again.is_replay, True)
    expect(again.body, first.body)

    what = {"user_id": user, "service_id": SERVICE, "order_id": order}
    reserved = balance.post("/reservations", {**what, "amount": 30_000}, key=f"order-{order}-reserve")
    expect(reserved.body["state"], "active")

    # Delivered for less: a capture is final by default and gives the rest back.
    captured = balance.post("/reservations/capture", {**what, "amount": 25_000}, key=f"order-{order}-capture")
    expect((captured.body["captured"], captured.body["released"]), (25_000, 5_000))

    late = {**what, "amount": 5_000, "comment": "came late"}
    refunded = balance.post("/reservations/refund", late, key=f"order-{order}-refund-1")
    expect(refunded.body["refunded"], 5_000)

    now = balance.get(f"/users/{user}/balance").body
    expect((now["available"], now["reserved"], now["total"]), (80_000, 0, 80_000))

    # A rule that says no is an answer, not a failure to repeat.
    try:
        balance.post(f"/users/{user}/withdrawals", {"amount": 1_000_000}, key=f"payout-{payment}")
        sys.exit("more was withdrawn than there is")
    except Problem as problem:
        expect((problem.code, problem.executed), ("insufficient_funds", "no"))

    # Why is the balance what it is? Oldest first, two per page to show paging.
    history = list(balance.pages(f"/users/{user}/operations?sort=created_at&limit=2"))
    expect([operation["kind"] for operation in history], ["deposit", "reserve", "capture", "release", "refund"])
    expect([operation["seq"] for operation in history], [1, 2, 3, 4, 5])
    expect(history[-1]["available_after"], now["available"])

    month = history[-1]["created_at"][:7]
    report = balance.post("/reports/revenue", {"month": month}).body
    expect(report["url"], f"/api/v1/reports/revenue/{month}.csv")
    table = balance.get(f"/reports/revenue/{month}.csv").body.decode()
    expect(table.splitlines()[0], "service;revenue")
    print(f"user {user} has {now['available']} {now['currency']} minor units; the report is at {url}{report['url']}")


def add_service(balance, service, name):
    """Services are added once: it being there already is fine."""
    try:
        balance.post("/services", {"services": [{"id": service, "name": name}]})
    except Problem as problem:
        if problem.code != "service_exists":
            raise


def expect(found, wanted):
    if found != wanted:
        sys.exit(f"expected {wanted!r}, found {found!r}")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Unanswered as error:
        sys.exit(f"not answered: {error}")
