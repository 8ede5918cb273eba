"""Formats: what is written is read, and is what the other languages write."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from tidewheel import FIXED, I8, JSON, POSTCARD, RAW, TEXT, U8, U16, U32, U64, DeclarationError, FormatError
from tidewheel.formats import Format, state_codec_of


@dataclass
class Inner:
    deep: list[str]


@dataclass
class Shapes:
    flag: bool
    number: int
    small: U8
    text: str
    ratio: float
    maybe: U32 | None
    numbers: list[U16]
    counts: dict[str, int]
    inner: Inner = field(default_factory=lambda: Inner([]))


numbers = some.integers(-(2**63), 2**63 - 1)
shapes = some.builds(
    Shapes,
    some.booleans(),
    numbers,
    some.integers(0, 255),
    some.text(),
    some.floats(allow_nan=False, allow_infinity=False),
    some.none() | some.integers(0, 2**32 - 1),
    some.lists(some.integers(0, 2**16 - 1)),
    some.dictionaries(some.text(), numbers),
    some.builds(Inner, some.lists(some.text())),
)


@given(shapes)
def test_what_is_written_is_read(value: Shapes) -> None:
    for format in [JSON, POSTCARD]:
        codec = state_codec_of(Shapes, format)
        assert codec.decode(codec.encode(value)) == value


@pytest.mark.parametrize(
    ("of", "value", "data"),
    [
        (U64, 0, b"\x00"),
        (U64, 0x7F, b"\x7f"),
        (U64, 0x80, b"\x80\x01"),
        (U64, 300, b"\xac\x02"),
        (U64, 0x3FFF, b"\xff\x7f"),
        (U16, 0x4000, b"\x80\x80\x01"),
        (int, -3, b"\x05"),
        (I8, -3, b"\xfd"),
        (bool, True, b"\x01"),
        (str, "añ", b"\x03a\xc3\xb1"),
        (int | None, -1, b"\x01\x01"),
        (int | None, None, b"\x00"),
        (list[U32], [1, 128], b"\x02\x01\x80\x01"),
        (dict[str, U8], {"b": 2, "a": 1}, b"\x02\x01a\x01\x01b\x02"),
        (Inner, Inner(["x"]), b"\x01\x01x"),
    ],
)
def test_postcard_is_that_of_the_other_languages(of: Any, value: Any, data: bytes) -> None:
    codec = state_codec_of(of, POSTCARD)
    written = codec.encode(value)
    if isinstance(value, dict):
        # In the order the entries were put there.
        assert sorted(written) == sorted(data)
    else:
        assert written == data
    assert codec.decode(data) == value


@pytest.mark.parametrize(
    ("of", "format", "data"),
    [
        (U8, POSTCARD, b"\x01\x02"),
        (str, POSTCARD, b"\xc8\xc8\xc8\xc8\x0fa"),
        (U16, POSTCARD, b"\x80\x80\x04"),
        (U16, POSTCARD, b"\x80"),
        (U64, POSTCARD, b"\x01\x02"),
        (U64, POSTCARD, b""),
        (bool, POSTCARD, b"\x02"),
        (str, TEXT, b"\xff"),
        (U32, FIXED, b"123"),
        (U8, JSON, b"256"),
        (Inner, JSON, b'{"deep": [1]}'),
        (Inner, JSON, b"{}"),
    ],
)
def test_bytes_of_another_format_are_refused(of: Any, format: Format, data: bytes) -> None:
    with pytest.raises(FormatError):
        state_codec_of(of, format).decode(data)


def test_a_format_refuses_what_it_cannot_hold() -> None:
    too_large: list[tuple[Any, Format, int]] = [(U8, POSTCARD, 256), (U16, POSTCARD, -1), (U64, FIXED, -1)]
    for of, format, value in too_large:
        with pytest.raises(FormatError):
            state_codec_of(of, format).encode(value)
    mistakes: list[tuple[Any, Format]] = [(int, TEXT), (str, RAW), (str, FIXED)]
    for of, format in mistakes:
        with pytest.raises(DeclarationError):
            state_codec_of(of, format)


def test_a_schema_is_that_of_the_other_languages() -> None:
    schemas = {U64: "u64", int: "i64", str: "String", list[U8]: "Vec<u8>", int | None: "Option<i64>", Inner: "Inner"}
    assert {of: state_codec_of(of, POSTCARD).schema for of in schemas} == schemas
