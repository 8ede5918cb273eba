"""States of one value against a model: in every format, alone and beside others, riding in the batch or read by a call."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewheel import FIXED, JSON, POSTCARD, Context, Fail, Operator, Record, Reject, Value, i16, keyed
from tidewheel.testing import Harness


@keyed
class Alone(Operator[str, str]):
    """Does to its states what the words of a record say, from left to right."""

    number = Value(i16, format=FIXED)

    def process(self, record: Record[str], ctx: Context[str]) -> None:
        for word in record.value.split():
            name, _, said = word.partition(":")
            state: Value[int] = getattr(self, name)
            if said == "get":
                value = state.get()
                assert (value is not None) == state.is_set() and state.get_or(-1) == (-1 if value is None else value)
                ctx.emit(f"{name}:{value}")
            elif said == "clear":
                state.clear()
            elif said == "refuse":
                raise Reject("refused")
            else:
                state.set(int(said))


@keyed
class Beside(Alone):
    """The same with several states."""

    postcard = Value(i16, format=POSTCARD)
    json = Value(i16, format=JSON)
    asked = Value(i16, format=FIXED, rides=False)


def _records(states: Sequence[str]) -> st.SearchStrategy[list[list[tuple[str, str]]]]:
    """Batches of records of a few keys."""
    number = st.integers(-(1 << 15) - 2, (1 << 15) + 1).map(str)
    said = st.one_of(st.just("get"), st.just("get"), number, number, st.just("clear"), st.just("refuse"))
    word = st.tuples(st.sampled_from(states), said).map(":".join)
    record = st.tuples(st.sampled_from("abc"), st.lists(word, min_size=1, max_size=5).map(" ".join))
    return st.lists(st.lists(record, min_size=1, max_size=6), max_size=6)


def _model(batches: list[list[tuple[str, str]]]) -> tuple[list[str], int, dict[tuple[str, str], int]]:
    """What is emitted, in the order of batch, key and record; how many records are rejected; and what is kept."""
    kept: dict[tuple[str, str], int] = {}
    emitted: list[str] = []
    rejected = 0
    for batch in batches:
        for key in dict.fromkeys(key for key, _ in batch):
            for record in [record for of, record in batch if of == key]:
                after, told = dict(kept), list[str]()
                for word in record.split():
                    name, said = word.split(":")
                    if said == "get":
                        told.append(f"{name}:{after.get((key, name))}")
                    elif said == "clear":
                        after.pop((key, name), None)
                    elif said == "refuse" or not -(1 << 15) <= int(said) < 1 << 15:
                        rejected += 1
                        break
                    else:
                        after[key, name] = int(said)
                else:
                    kept = after
                    emitted += told
    return emitted, rejected, kept


def _check(operator: type[Alone], states: Sequence[str], batches: list[list[tuple[str, str]]], reuse: bool) -> None:
    harness = Harness(operator, reuse_instance=reuse)
    for batch in batches:
        harness.send_all(batch)
    emitted, rejected, kept = _model(batches)
    assert harness.outputs() == emitted
    assert len(harness.rejected()) == rejected
    found = {(key, state): harness.value(state, key) for key in "abc" for state in states}
    assert {place: value for place, value in found.items() if value is not None} == kept


@given(_records(["number"]), st.booleans())
def test_a_number_alone_is_that_of_the_model(batches: list[list[tuple[str, str]]], reuse: bool) -> None:
    _check(Alone, ["number"], batches, reuse)


@given(_records(["number", "postcard", "json", "asked"]), st.booleans())
def test_numbers_in_every_format_are_those_of_the_model(batches: list[list[tuple[str, str]]], reuse: bool) -> None:
    _check(Beside, ["number", "postcard", "json", "asked"], batches, reuse)


def test_a_number_of_another_class_is_kept_as_a_number() -> None:
    @keyed
    class Odd(Operator[str, str]):
        number = Value(i16, format=FIXED)

        def process(self, record: Record[str], ctx: Context[str]) -> None:
            self.number.set(record.value == "yes")
            ctx.emit(repr(self.number.get()))

    harness = Harness(Odd)
    harness.send_all([("a", "yes"), ("b", "no")])
    assert harness.outputs() == ["1", "0"]


def test_bytes_that_are_no_number_fail_the_job_where_they_are_read() -> None:
    harness = Harness(Alone)
    harness.load("number", "a", 5, version=1, of=i16)
    place = next(iter(harness.host.values))
    harness.host.values[place] = harness.host.store(place[0], b"xxx")
    harness.send("b", "number:get")
    with pytest.raises(Fail, match="a value of state number is not valid fixed"):
        harness.send_all([("b", "number:get"), ("a", "number:get")])
