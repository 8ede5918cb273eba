"""Operators with windows through the harness: accumulators, and all records of a window."""

from collections.abc import Sequence
from dataclasses import dataclass

from tidewheel import (
    POSTCARD,
    Aggregate,
    Context,
    ProcessWindow,
    Record,
    Value,
    Window,
    aggregate,
    process_window,
)
from tidewheel.testing import Harness


@dataclass
class Sum:
    count: int = 0
    total: int = 0


@aggregate(accumulator=POSTCARD)
class Adder(Aggregate[str, Sum, Sum]):
    """Adds numbers up. It takes part of a record in before it looks whether the rest is right, as users may."""

    def accumulate(self, accumulator: Sum, record: Record[str]) -> Sum:
        accumulator.count += 1
        accumulator.total += int(record.value)
        return accumulator

    def merge(self, accumulator: Sum, other: Sum) -> Sum:
        return Sum(accumulator.count + other.count, accumulator.total + other.total)

    def fire(self, window: Window, accumulator: Sum, ctx: Context[Sum]) -> None:
        assert ctx.window == window
        ctx.emit(accumulator)


def test_windows_fire_when_the_watermark_reaches_their_end() -> None:
    harness = Harness(Adder, tumbling=10)
    harness.send_all([("a", "1", 1), ("a", "2", 9), ("b", "7", 5)])
    for value, time in [("4", 2), ("8", 3), ("100", 10)]:
        harness.send("a", value, time)
    harness.advance_watermark(8)
    assert harness.outputs() == []
    harness.advance_watermark(9)
    assert harness.outputs() == [Sum(4, 15), Sum(1, 7)]
    harness.send("a", "1", 9)
    assert harness.late() == [b"1"]
    harness.finish()
    assert harness.outputs() == [Sum(1, 100)]


def test_a_rejected_record_leaves_no_trace_in_the_accumulator() -> None:
    harness = Harness(Adder)
    for key, texts in [("a", "1 x 2 y z 4 8 w"), ("a", "x 16"), ("b", "x y")]:
        harness.send_all((key, text, 1) for text in texts.split())
    assert len(harness.rejected()) == 7
    harness.finish()
    assert harness.outputs() == [Sum(5, 31)]


@process_window
class Recall(ProcessWindow[int, str]):
    """Tells of a window, and of the one before."""

    before = Value(str)

    def process(self, window: Window, records: Sequence[Record[int]], ctx: Context[str]) -> None:
        if any(record.value < 0 for record in records):
            raise ValueError("below zero")
        text = " ".join(str(record.value) for record in records)
        ctx.emit(f"{window.start}-{window.end}: {text} after {self.before.get_or('nothing')}")
        self.before.set(text)


def test_a_window_is_seen_whole_and_remembers_the_one_before() -> None:
    for parts_of in [None, 1, 2]:
        harness = Harness(Recall, parts_of=parts_of)
        for time, value in enumerate([1, 2, 3]):
            harness.send("a", value, time)
        harness.send_bytes("a", "no number", 4)
        harness.send("a", 4, 1000)
        harness.advance_watermark(999)
        assert harness.outputs() == ["0-1000: 1 2 3 after nothing"]
        assert [record.value for record in harness.rejected()] == [b"no number"]
        harness.finish()
        assert harness.outputs() == ["1000-2000: 4 after 1 2 3"]


def test_an_exception_rejects_the_records_of_its_window() -> None:
    harness = Harness(Recall)
    for key, value in [("a", 1), ("a", -1), ("b", 5)]:
        harness.send(key, value, 1)
    harness.finish()
    assert harness.outputs() == ["0-1000: 5 after nothing"]
    assert [record.value for record in harness.rejected()] == [b"1", b"-1"]
    assert harness.value("before", "a") is None
