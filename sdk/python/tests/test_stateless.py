"""Stateless operators through the harness: the watermarks of a source's component, and what a job grants."""

from typing import Any

import pytest

from tidewheel import Batch, Context, Fail, Operator, Record, env, keyed, stateless
from tidewheel.operators import AnyOperator
from tidewheel.testing import Harness


def _claim(text: str, ctx: Context[str]) -> None:
    for time in text.split():
        ctx.emit_watermark(int(time))


@stateless
class Claims(Operator[str, str]):
    """Makes a watermark of each number in a record."""

    def process(self, record: Record[str], ctx: Context[str]) -> None:
        ctx.emit(record.value)
        _claim(record.value, ctx)


@stateless
class ClaimsAtOnce(Operator[str, str]):
    """The same for all records of a call at once."""

    def process_batch(self, batch: Batch[str], ctx: Context[str]) -> None:
        ctx.emit_all(batch.values, batch.indices)
        _claim(" ".join(batch.values), ctx)


@pytest.mark.parametrize("operator", [Claims, ClaimsAtOnce])
def test_watermarks_of_a_record_that_is_rejected_are_undone(operator: type[AnyOperator]) -> None:
    harness = Harness(operator)
    harness.send_all([("", "5 10"), ("", "20 x"), ("", "30 7"), ("", str(1 << 63))])
    assert harness.watermarks() == [5, 10, 30, 7, (1 << 63) - 1]
    assert harness.watermarks() == []
    assert harness.outputs() == ["5 10", "30 7", str(1 << 63)]
    assert [record.value for record in harness.rejected()] == [b"20 x"]


def test_a_watermark_of_a_batch_comes_after_all_of_it() -> None:
    harness = Harness(ClaimsAtOnce)
    harness.send_all([("", "5"), ("", "10")])
    harness.send_bytes("", b"\xff")
    assert harness.watermarks() == [5, 10]


def test_only_a_stateless_operator_makes_watermarks() -> None:
    @keyed
    class Elsewhere(Operator[str, str]):
        def process(self, record: Record[str], ctx: Context[str]) -> None:
            ctx.emit_watermark(1)

    with pytest.raises(Fail, match="the component of a source"):
        Harness(Elsewhere).send("a", "")


@stateless
class Rates(Operator[str, str]):
    """Tells variables of the environment, and what there was of one when it was opened."""

    opened: str | None = None

    def open(self) -> None:
        self.opened = env("RATES_KEY")

    def process(self, record: Record[str], ctx: Context[str]) -> None:
        ctx.emit(f"{env(record.value)} {self.opened}")


@pytest.mark.parametrize("reuse", [False, True])
def test_an_operator_sees_the_variables_that_it_is_granted(reuse: bool) -> None:
    granted: dict[str, Any] = {"env": {"RATES_KEY": "abc", "EMPTY": ""}}
    one, other = Harness(Rates, reuse_instance=reuse, **granted), Harness(Rates, reuse_instance=reuse)
    for harness in (one, other):
        for name in ("RATES_KEY", "EMPTY", "HOME"):
            harness.send("", name)
    assert one.outputs() == ["abc abc", " abc", "None abc"]
    assert other.outputs() == ["None None"] * 3
