"""The operators of this example, in plain unit tests."""

import csv
import json
from datetime import datetime
from pathlib import Path
from typing import Any

from rfm import Report, Returned, Rfm
from shop import Cents, Purchase
from spend import Spend, Spent

from tidewheel import days
from tidewheel.testing import Harness

EXAMPLE = Path(__file__).parent.parent


def rfm(lapse_days: int = 30) -> Harness:
    return Harness(Rfm, config={"lapse-days": lapse_days})


def buy(harness: Harness, day: int, cents: int) -> None:
    harness.send("ann", Purchase("ann", 1, Cents(cents)), days(day))


def report(last_order: str, orders: int, cents: int) -> Report:
    return Report("ann", last_order, orders, orders, Cents(cents))


def test_a_customer_lapses_after_the_last_purchase() -> None:
    harness = rfm()
    buy(harness, 0, 1000)
    buy(harness, 20, 250)
    assert harness.timers("ann") == [days(50)]
    harness.advance_watermark(days(49))
    assert harness.outputs() == []
    harness.advance_watermark(days(50))
    assert harness.outputs() == [report("1970-01-21", 2, 1250)]


def test_a_return_is_told_the_same_whether_the_timer_fired_before_it_or_not() -> None:
    for watermark in [1, 60]:
        harness = rfm()
        buy(harness, 0, 100)
        harness.advance_watermark(days(watermark))
        buy(harness, 61, 100)
        assert harness.side_outputs("returned") == [Returned("ann", "1970-03-03", 61)]
        assert [record.event_time for record in harness.records()] == [days(30)]
        harness.finish()
        assert harness.outputs() == [report("1970-03-03", 2, 200)]


def test_a_broken_purchase_is_rejected() -> None:
    harness = rfm()
    harness.send_bytes("ann", '{"customer_id":"ann","number_of_cds":1,"dollar_value":"1.5"}')
    assert '"1.5" is no amount of money' in harness.rejected()[0].reason
    assert harness.value("summary", "ann") is None


def test_adds_up_the_purchases_of_a_window() -> None:
    harness = Harness(Spend, tumbling=days(1))
    for time, cds, cents in [(0, 1, 1177), (5, 2, 2000), (90_000_000, 1, 1)]:
        harness.send("shop", Purchase("ann", cds, Cents(cents)), time)
    harness.advance_watermark(days(1))
    assert harness.outputs() == [Spent("1970-01-01", "1970-01-02", 2, 3, Cents(3177))]


def test_the_first_purchases_give_the_expected_results() -> None:
    """Those of customers whose number is small, to be quick."""
    harness = rfm(180)
    with open(EXAMPLE / "purchases.csv", newline="") as file:
        rows: list[dict[str, Any]] = [row for row in csv.DictReader(file) if row["customer_id"] < "00500"]
    rows.sort(key=lambda row: str(row["ordered_at"]))
    for row in rows:
        time = round(datetime.fromisoformat(row["ordered_at"]).timestamp() * 1000)
        purchase = Purchase(row["customer_id"], int(row["number_of_cds"]), Cents.from_json(row["dollar_value"]))
        harness.send(purchase.customer_id, purchase, time)
    harness.finish()
    found = sorted(record.value.decode() for record in harness.records())
    expected = (EXAMPLE / "expected.jsonl").read_text().splitlines()
    assert found == [line for line in expected if json.loads(line).get("customer", "99999") < "00500"]
