"""Tests of the operator as plain Python."""

from operator_name import Order, Total, Totals
from tidewheel.testing import Harness

MINUTE = 60_000


def test_totals_add_up() -> None:
    harness = Harness(Totals, tumbling=60 * MINUTE)
    for minute, cents in [(0, 250), (59, 50), (61, 999)]:
        harness.send("ann", Order("ann", cents), minute * MINUTE)
    harness.advance_watermark(60 * MINUTE)
    assert harness.outputs() == [Total("ann", 300)]
