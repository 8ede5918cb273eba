"""Formats: how values become bytes.

What an operator takes and gives says its format: `bytes` are raw, `str` is text, everything else is JSON. Where another is
wanted, the decorator or the state says so: `@keyed(output=POSTCARD)`, `Value(u64, format=FIXED)`. A format of your own is a
subclass of `Format`.
"""

import dataclasses
import struct
import typing
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from tidewheel import _json, _postcard, shapes
from tidewheel.errors import DeclarationError, FormatError

L = TypeVar("L")
R = TypeVar("R")


@dataclasses.dataclass(frozen=True)
class Whole:
    """What more is known of values that are whole numbers."""

    least: int
    most: int
    size: int = 0
    """How many bytes each of them has, if all have as many: those of the machine. Many are then read and written at once."""
    code: str = ""
    """The code of such a number, as module `struct` has it."""

    def read_all(self, ends: list[int], data: bytes) -> list[int] | None:
        """The numbers of a pair of columns at once, if that can be done."""
        if not self.size or ends != list(range(self.size, len(data) + 1, self.size)):
            return None
        return list(struct.unpack(f"<{len(ends)}{self.code}", data))

    def write_all(self, numbers: list[int]) -> bytes:
        """The bytes of numbers that have a size."""
        return struct.pack(f"<{len(numbers)}{self.code}", *numbers)


@dataclasses.dataclass(frozen=True)
class Codec:
    """How the values of one type are written and read in a format."""

    format: str
    """The format's name; a state keeps it for life."""
    schema: str
    """What a value looks like, in one line."""
    encode: Callable[[Any], bytes]
    """The bytes of a value; raises `FormatError` if there are none."""
    decode: Callable[[bytes], Any]
    """The value in all of some bytes; raises `FormatError` if there is none."""
    decode_text: Callable[[str], Any] | None = None
    """The same for bytes that are known to be ASCII, if it is faster so."""
    pack: Callable[[Any], bytes] | None = None
    """What `encode` does, without saying what is wrong: it raises `struct.error`."""
    whole: Whole | None = None
    """What more is known of whole numbers. They need not be made anew for each reader, as other values that can be changed."""


class Format(ABC):
    """A format for the values of a stream or a state."""

    @abstractmethod
    def codec(self, annotation: Any) -> Codec:
        """How values of a type are written and read: a class, or what else can stand in an annotation."""


class _Raw(Format):
    def codec(self, annotation: Any) -> Codec:
        _only(bytes, annotation, "RAW")
        return Codec("raw", "", bytes, itself)


class _Text(Format):
    def codec(self, annotation: Any) -> Codec:
        _only(str, annotation, "TEXT")
        return Codec("text", "", str.encode, _decode_text, itself)


class _Json(Format):
    def codec(self, annotation: Any) -> Codec:
        write, read = _json.writer(annotation), _json.reader(annotation)
        parse = _json.parse
        is_any = annotation in (Any, object)

        def decode_text(text: str) -> Any:
            return read(parse(text))

        def decode(data: bytes) -> Any:
            try:
                text = str(data, "utf-8")
            except UnicodeDecodeError as error:
                raise FormatError(f"not valid json: {error}") from None
            return read(parse(text))

        return Codec(
            "json",
            shapes.schema_of(annotation),
            lambda value: write(value).encode(),
            decode,
            parse if is_any else decode_text,
            whole=_whole_of(annotation),
        )


class _Postcard(Format):
    def codec(self, annotation: Any) -> Codec:
        encode, decode = _postcard.alone(annotation)
        return Codec("postcard", shapes.schema_of(annotation), encode, decode, whole=_whole_of(annotation))


class _Fixed(Format):
    def codec(self, annotation: Any) -> Codec:
        width = shapes.width_of(annotation)
        if width is None:
            raise DeclarationError(f"FIXED is a format of numbers, not of {annotation}")
        form = struct.Struct("<" + width.code)

        def encode(value: Any) -> bytes:
            try:
                return form.pack(value)
            except struct.error as error:
                raise FormatError(f"not valid fixed: {value} is no {width.name}: {error}") from None

        def decode(data: bytes) -> Any:
            if len(data) != form.size:
                raise FormatError(f"not valid fixed: {len(data)} bytes are not those of the number")
            return form.unpack(data)[0]

        return Codec("fixed", width.name, encode, decode, pack=form.pack, whole=_whole_of(annotation, form.size))


def _whole_of(annotation: Any, size: int = 0) -> Whole | None:
    """What is known of whole numbers; with a size, if each of them has it."""
    width = shapes.width_of(annotation)
    return None if width is None or width.code in "fd" else Whole(width.least, width.most, size, width.code)


@dataclasses.dataclass(frozen=True, slots=True)
class Pair(Generic[L, R]):
    """What a `join` in the job file gives to its function: `Operator[Pair[Order, Payment], Paid]`. Only outer joins leave a
    side out.
    """

    left: L | None
    """Of the first input."""
    right: R | None
    """Of the second input."""


class _Pair(Format):
    def codec(self, annotation: Any) -> Codec:
        left, right = [codec_of(side) for side in typing.get_args(annotation)]
        lengths = struct.Struct("<II")
        absent = 1 << 31

        def encode(pair: Pair[Any, Any]) -> bytes:
            sides = [
                None if value is None else side.encode(value) for value, side in ((pair.left, left), (pair.right, right))
            ]
            marks = [absent if data is None else len(data) for data in sides]
            return lengths.pack(*marks) + b"".join([data for data in sides if data is not None])

        def decode(data: bytes) -> Pair[Any, Any]:
            if len(data) < lengths.size:
                raise FormatError("not valid pair: the job gives this operator no join")
            of_left, of_right = lengths.unpack_from(data)
            middle = lengths.size + (0 if of_left & absent else of_left)
            if middle + (0 if of_right & absent else of_right) != len(data):
                raise FormatError("not valid pair: the job gives this operator no join")
            return Pair(
                None if of_left & absent else left.decode(data[lengths.size : middle]),
                None if of_right & absent else right.decode(data[middle:]),
            )

        schema = f"{left.format} {left.schema}, {right.format} {right.schema}"
        return Codec("pair", schema, encode, decode)


RAW: Format = _Raw()
"""Bytes as they are."""

TEXT: Format = _Text()
"""Text in UTF-8."""

JSON: Format = _Json()
"""JSON, compact. Dataclasses are objects; `to_json` and `from_json` of a class give it another form."""

POSTCARD: Format = _Postcard()
"""Compact, without field names: a changed type needs a new schema version. What state in Rust is usually kept in."""

FIXED: Format = _Fixed()
"""A number in little-endian bytes, all of them: the fastest format for counters in state."""

_PAIR: Format = _Pair()


def codec_of(annotation: Any, format: Format | None = None) -> Codec:
    """How values of a stream are written and read: in the format that is named, or in that of their type."""
    if format is None:
        if typing.get_origin(annotation) is Pair:
            format = _PAIR
        else:
            format = {bytes: RAW, str: TEXT}.get(annotation, JSON)
    return format.codec(annotation)


def state_codec_of(annotation: Any, format: Format | None = None) -> Codec:
    """The same for a state, in which text is JSON, too."""
    if format is None:
        format = RAW if annotation is bytes else JSON
    return format.codec(annotation)


def _only(cls: type, annotation: Any, name: str) -> None:
    if annotation is not cls:
        raise DeclarationError(f"{name} is the format of {cls.__name__}, not of {annotation}")


def itself(value: Any) -> Any:
    """What a value is written as, and read as, where it is its bytes or its text."""
    return value


def _decode_text(data: bytes) -> str:
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(f"not valid text: {error}") from None
