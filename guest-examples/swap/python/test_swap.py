"""The versions of this example, in plain unit tests."""

from pathlib import Path

from shop import Cents, Purchase
from total_1 import Told, TotalOfDollars
from total_2 import Told as Told2
from total_2 import Total, TotalOfCents

from tidewheel import u64
from tidewheel.testing import Harness

EXAMPLE = Path(__file__).parent.parent


def test_cents_are_lost() -> None:
    harness = Harness(TotalOfDollars)
    for cents in [1199, 301]:
        harness.send("ann", Purchase("ann", 1, Cents(cents)))
    assert harness.outputs() == [Told("ann", 11), Told("ann", 14)]


def test_goes_on_from_whole_dollars() -> None:
    harness = Harness(TotalOfCents)
    harness.load("total", "ann", 14, version=1, of=u64)
    assert harness.value("total", "ann") == Total(Cents(1400), 0)
    for customer, cents in [("ann", 1199), ("bob", 5)]:
        harness.send(customer, Purchase(customer, 1, Cents(cents)))
    assert harness.outputs() == [Told2("ann", Cents(2599), 1), Told2("bob", Cents(5), 1)]


def send(harness: Harness, purchases: list[Purchase]) -> list[str]:
    """The lines that are told of purchases."""
    for purchase in purchases:
        harness.send(purchase.customer_id, purchase)
    return [record.value.decode() for record in harness.records()]


def test_versions_go_on_from_each_other() -> None:
    rows = [row.split(",") for row in (EXAMPLE / "purchases.csv").read_text().splitlines()[1:]]
    purchases = [Purchase(row[0], int(row[2]), Cents.from_json(row[3])) for row in rows]
    first = Harness(TotalOfDollars)
    told = send(first, purchases[:600])
    second = Harness(TotalOfCents).restore(first.savepoint())
    by_both = told + send(second, purchases[600:])
    by_first = told + send(first, purchases[600:])
    assert sorted(by_first) == (EXAMPLE / "expected.jsonl").read_text().splitlines()
    assert sorted(by_both) == (EXAMPLE / "expected-600-2.jsonl").read_text().splitlines()
