"""Tests of the operator as plain Python."""

from operator_name import Order, Total, Totals
from tidewheel.testing import Harness


def test_totals_add_up() -> None:
    harness = Harness(Totals)
    for cents in [250, 50]:
        harness.send("ann", Order("ann", cents))
    assert harness.outputs() == [Total("ann", 250), Total("ann", 300)]
    assert harness.value("total", "ann") == 300
