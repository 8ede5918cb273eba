"""Tests of the operator as plain Python."""

from operator_name import Order, Price, Prices
from tidewheel.testing import Harness


def test_prices_are_in_euros() -> None:
    harness = Harness(Prices)
    harness.send("ann", Order("ann", 250))
    assert harness.outputs() == [Price("ann", 2.5)]
