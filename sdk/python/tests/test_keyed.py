"""Keyed operators through the harness: state, timers, outputs, and what is left of a record that is rejected."""

from dataclasses import dataclass
from typing import NoReturn

import pytest

from tidewheel import (
    FIXED,
    POSTCARD,
    Aggregating,
    Batch,
    Change,
    Context,
    Counter,
    DeclarationError,
    Fail,
    List,
    Map,
    Operator,
    Output,
    Record,
    Reducing,
    Timer,
    Value,
    i64,
    keyed,
    seconds,
    stateless,
    u64,
)
from tidewheel.testing import EmittedRecord, Harness


@dataclass(frozen=True)
class Mean:
    total: int = 0
    count: int = 0

    def with_value(self, value: int) -> "Mean":
        return Mean(self.total + value, self.count + 1)

    def result(self) -> int:
        return self.total // self.count


@keyed
class Ledger(Operator[str, str]):
    """Does a little of everything, as its records say: "add 5", "list x", "put k v", "scan", "timer 10"."""

    total = Value(i64, format=FIXED)
    note = Value(str, rides=False)
    largest = Reducing(i64, max, format=POSTCARD)
    mean = Aggregating(Mean, add=Mean.with_value, result=Mean.result)
    items = List(str)
    entries = Map(str, str)
    soon = Timer()
    later = Timer(clock="processing")
    side = Output(str)
    seen = Counter()
    calls = 0

    def process(self, record: Record[str], ctx: Context[str]) -> None:
        self.calls += 1
        self.seen.add()
        for command in record.value.split("; "):
            self.do(command.split(), ctx)

    def do(self, words: list[str], ctx: Context[str]) -> None:
        match words:
            case ["add", number]:
                value = int(number)
                self.largest.add(value)
                self.mean.add(value)
                self.total.set(self.total.get_or(0) + value)
            case ["note", text]:
                self.note.set(self.note.get_or("") + text)
            case ["list", item]:
                self.items.append(item)
            case ["put", key, value]:
                self.entries.put(key, value)
            case ["remove", key]:
                self.entries.remove(key)
            case ["timer", at]:
                self.soon.set(int(at))
                self.later.replace(int(at))
            case ["emit", text]:
                ctx.emit(text)
            case ["side", text]:
                ctx.emit_to(self.side, text, key="other", headers={"why": "told"}, change=Change.DELETE)
            case ["calls"]:
                ctx.emit(str(self.calls))
            case ["fail"]:
                raise Fail("all is lost")
            case ["scan"]:
                for key, text in self.entries.scan():
                    ctx.emit(f"{key}={text}")
            case _:
                refuse(" ".join(words))

    def on_timer(self, timer: Timer, at: int, ctx: Context[str]) -> None:
        name = "later" if timer is self.later else "soon"
        ctx.emit(f"{name} {at} {self.total.get_or(-1)}")


def refuse(what: str) -> NoReturn:
    raise ValueError(f"cannot {what}")


def test_each_key_has_state_of_its_own() -> None:
    harness = Harness(Ledger)
    harness.send("a", "add 5; note x")
    harness.send("b", "add 7; list one")
    harness.send("a", "add -2; note y; list two; list three")
    assert (harness.value("total", "a"), harness.value("total", "b")) == (3, 7)
    assert (harness.value("largest", "a"), harness.value("mean", "a")) == (5, 1)
    assert harness.value("note", "a") == "xy"
    assert harness.elements("items", "a") == ["two", "three"]
    assert harness.metric("seen") == 3


def test_a_rejected_record_has_done_nothing() -> None:
    everything = "add 100; note n; list l; put k v; remove old; scan; timer 5; emit e; side s; "
    harness = Harness(Ledger)
    harness.send("a", "add 1; note m; list k; put old 1")
    texts = ["add 1", everything + "refuse", "put new 2", everything + "add many", "scan"]
    harness.send_all(("a", text) for text in texts)
    assert harness.outputs() == ["new=2", "old=1"]
    assert harness.side_outputs("side") == []
    first, second = harness.rejected()
    assert first.reason.startswith("ValueError: cannot refuse\n  at test_keyed.py:")
    assert "invalid literal for int()" in second.reason
    assert (harness.value("total", "a"), harness.value("largest", "a"), harness.value("note", "a")) == (2, 1, "m")
    assert harness.elements("items", "a") == ["k"]
    assert harness.entries("entries", "a") == {"new": "2", "old": "1"}
    assert harness.timers("a") == []


def test_a_call_that_fails_has_done_nothing() -> None:
    harness = Harness(Ledger)
    with pytest.raises(Fail, match="all is lost"):
        harness.send_all([("a", "add 1; put k v; scan"), ("b", "fail")])
    assert harness.value("total", "a") is None
    assert harness.entries("entries", "a") == {}
    assert harness.outputs() == []


def test_timers_follow_their_clocks() -> None:
    harness = Harness(Ledger)
    harness.send("a", "add 3; timer 20; timer 10")
    harness.advance_now(15)
    assert harness.outputs() == ["later 10 3"]
    harness.advance_watermark(9)
    assert harness.outputs() == []
    harness.advance_watermark(20)
    assert harness.outputs() == ["soon 10 3", "soon 20 3"]
    harness.send("a", "timer 30")
    harness.finish()
    assert harness.outputs() == ["soon 30 3"]
    harness.advance_now(100)
    assert harness.outputs() == []


def test_what_is_emitted_inherits_time_and_key() -> None:
    harness = Harness(Ledger)
    harness.send_all([("a", "emit x", 7), ("b", "side y", 8), ("a", "emit z", 9)])
    assert sorted(harness.records(), key=lambda record: record.event_time) == [
        EmittedRecord(0, b"a", 7, b"x", [], Change.INSERT),
        EmittedRecord(1, b"other", 8, b"y", [("why", b"told")], Change.DELETE),
        EmittedRecord(0, b"a", 9, b"z", [], Change.INSERT),
    ]


def test_an_instance_forgets() -> None:
    for reuse, expected in [(False, ["1", "1"]), (True, ["1", "2"])]:
        harness = Harness(Ledger, reuse_instance=reuse)
        harness.send("a", "calls")
        harness.send("a", "calls")
        assert harness.outputs() == expected


@keyed
class Forgetful(Operator[str, str]):
    number = Value(str, ttl=seconds(1))

    def process(self, record: Record[str], ctx: Context[str]) -> None:
        ctx.emit(self.number.get_or("nothing"))
        self.number.set(record.value)


def test_a_value_expires() -> None:
    harness = Harness(Forgetful)
    harness.send("a", "one")
    harness.advance_now(999)
    harness.send("a", "two")
    harness.advance_now(1999)
    harness.send("a", "three")
    assert harness.outputs() == ["nothing", "one", "nothing"]


@keyed
class Dollars(Operator[str, str]):
    total = Value(u64, format=POSTCARD)

    def process(self, record: Record[str], ctx: Context[str]) -> None:
        self.total.set(self.total.get_or(0) + len(record.value))


@dataclass
class Amount:
    cents: int
    known: bool = False


def in_cents(dollars: int) -> int:
    return dollars * 100


def as_amount(cents: int) -> Amount:
    return Amount(cents)


@keyed
class Cents(Operator[str, str]):
    total = Value(Amount, format=POSTCARD, version=3, migrate=[in_cents, as_amount])

    def process(self, record: Record[str], ctx: Context[str]) -> None:
        ctx.emit(str(self.total.get()))


def test_an_older_version_is_migrated() -> None:
    harness = Harness(Cents)
    harness.load("total", "a", 5, version=1, of=i64)
    harness.load("total", "b", 250, version=2, of=i64)
    harness.send("a", "")
    harness.send("b", "")
    assert harness.outputs() == ["Amount(cents=500, known=False)", "Amount(cents=250, known=False)"]
    first = Harness(Dollars)
    first.send("a", "12345")
    with pytest.raises(Fail, match="would be dropped"):
        Harness(Forgetful).restore(first.savepoint())
    with pytest.raises(Fail, match="version"):
        Harness(Dollars).restore(harness.savepoint())


@stateless
class Doubled(Operator[int, int]):
    """Looks at all records of a call at once, and refuses a batch with a negative number."""

    def process_batch(self, batch: Batch[int], ctx: Context[int]) -> None:
        if min(batch.values) < 0:
            raise ValueError("below zero")
        ctx.emit_all([2 * value for value in batch.values], batch.indices)


def test_a_batch_with_a_bad_record_is_taken_apart() -> None:
    harness = Harness(Doubled)
    harness.send_all(("", value) for value in [1, -2, 3])
    assert harness.outputs() == [2, 6]
    assert [record.value for record in harness.rejected()] == [b"-2"]


def test_a_mistake_in_a_declaration_is_told() -> None:
    with pytest.raises(DeclarationError, match="must say what it takes and gives"):

        @keyed
        class Untyped(Operator):  # type: ignore[type-arg] # pyright: ignore[reportMissingTypeArgument, reportUnusedClass]
            pass

    class Undecorated(Operator[str, str]):
        pass

    with pytest.raises(DeclarationError, match="give it one of the decorators @stateless, @keyed"):
        Harness(Undecorated)
