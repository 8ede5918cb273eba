"""Postcard: compact, without field names; the usual format of state in Rust. Numbers need a width: see `tidewheel.shapes`."""

import struct
import typing
from collections.abc import Callable
from typing import Any, cast

from tidewheel import shapes
from tidewheel.errors import DeclarationError, FormatError

Write = Callable[[Any, bytearray], None]
"""Appends a value."""

Read = Callable[[bytes, int], tuple[Any, int]]
"""A value from a place on, and where it ends."""


def write_varint(value: int, data: bytearray) -> None:
    """Appends a number, seven bits to a byte, the lowest first."""
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    data.append(value)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits to a byte, and where it ends."""
    value = shift = 0
    while True:
        if at >= len(data):
            raise FormatError("not valid postcard: it ends too early")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _take(data: bytes, at: int, count: int) -> bytes:
    if at + count > len(data):
        raise FormatError("not valid postcard: it ends too early")
    return data[at : at + count]


_codecs: dict[Any, tuple[Write, Read]] = {}


def codec(annotation: Any) -> tuple[Write, Read]:
    """How values of a type are written and read."""
    found = _codecs.get(annotation)
    if found is None:
        # A type may hold itself: inside it the functions are looked up when they are called.
        _codecs[annotation] = (
            lambda value, data: _codecs[annotation][0](value, data),
            lambda data, at: _codecs[annotation][1](data, at),
        )
        found = _codecs[annotation] = _make(annotation)
    return found


def _make(annotation: Any) -> tuple[Write, Read]:
    some = shapes.optional_of(annotation)
    if some is not None:
        return _optional(*codec(some))
    width = shapes.width_of(annotation)
    if width is not None:
        return _float(width) if width.code in "fd" else _int(width)
    annotation = shapes.bare(annotation)
    arguments = typing.get_args(annotation)
    if annotation is bool:
        return _int(shapes.Width("bool", "?", 0, 1))
    if annotation is bytes:
        return _bytes()
    if annotation is str:
        return _text()
    if shapes.is_list(annotation):
        return _sequence(typing.get_origin(annotation) is tuple, *codec(arguments[0]))
    if typing.get_origin(annotation) is tuple:
        return _struct([(str(at), codec(argument)) for at, argument in enumerate(arguments)], None)
    if shapes.is_dict(annotation):
        return _mapping(codec(arguments[0]), codec(arguments[1]))
    if shapes.is_dataclass(annotation):
        fields = shapes.fields_of(annotation)
        return _struct([(field.name, codec(field.annotation)) for field in fields], annotation)
    raise DeclarationError(f"{annotation} has no postcard form: make it a dataclass")


def _int(width: shapes.Width) -> tuple[Write, Read]:
    least, most, name = width.least, width.most, width.name
    is_signed, is_byte = least < 0, width.code in "Bb?"

    def write(value: int, data: bytearray) -> None:
        if not least <= value <= most:
            raise FormatError(f"not valid postcard: {value} is no {name}")
        if is_byte:
            data.append(value & 0xFF)
        elif is_signed:
            write_varint(value << 1 if value >= 0 else ~(value << 1), data)
        else:
            write_varint(value, data)

    def read(data: bytes, at: int) -> tuple[int, int]:
        if is_byte:
            value, end = _take(data, at, 1)[0], at + 1
            value = value - 256 if is_signed and value > 127 else value
        else:
            value, end = read_varint(data, at)
            value = value >> 1 ^ -(value & 1) if is_signed else value
        if not least <= value <= most:
            raise FormatError(f"not valid postcard: {value} is no {name}")
        return bool(value) if width.code == "?" else value, end

    return write, read


_BYTES = [bytes((number,)) for number in range(0x80)]
"""The numbers of one byte."""


def alone(annotation: Any) -> tuple[Callable[[Any], bytes], Callable[[bytes], Any]]:
    """How values of a type are written and read that are all there is of some bytes."""
    write, read = codec(annotation)

    def encode(value: Any) -> bytes:
        data = bytearray()
        write(value, data)
        return bytes(data)

    def decode(data: bytes) -> Any:
        value, end = read(data, 0)
        if end != len(data):
            raise FormatError(f"not valid postcard: {len(data) - end} bytes after the end of the value")
        return value

    width = shapes.width_of(annotation)
    if width is None or width.code not in "HIQ":
        return encode, decode

    # Most counts are of one byte or two. What is not right about others the functions above say.
    def encode_number(value: int) -> bytes:
        if 0 <= value < 0x80:
            return _BYTES[value]
        return bytes((value & 0x7F | 0x80, value >> 7)) if 0 < value < 0x4000 else encode(value)

    def decode_number(data: bytes) -> int:
        if len(data) == 1 and data[0] < 0x80:
            return data[0]
        if len(data) == 2 and data[1] < 0x80 <= data[0]:
            return data[0] & 0x7F | data[1] << 7
        return cast(int, decode(data))

    return encode_number, decode_number


def _float(width: shapes.Width) -> tuple[Write, Read]:
    form = struct.Struct("<" + width.code)

    def write(value: float, data: bytearray) -> None:
        data += form.pack(value)

    def read(data: bytes, at: int) -> tuple[float, int]:
        return form.unpack(_take(data, at, form.size))[0], at + form.size

    return write, read


def _bytes() -> tuple[Write, Read]:
    def write(value: bytes, data: bytearray) -> None:
        write_varint(len(value), data)
        data += value

    def read(data: bytes, at: int) -> tuple[bytes, int]:
        count, start = read_varint(data, at)
        return _take(data, start, count), start + count

    return write, read


def _text() -> tuple[Write, Read]:
    write_bytes, read_bytes = _bytes()

    def write(value: str, data: bytearray) -> None:
        write_bytes(value.encode(), data)

    def read(data: bytes, at: int) -> tuple[str, int]:
        value, end = read_bytes(data, at)
        try:
            return value.decode(), end
        except UnicodeDecodeError as error:
            raise FormatError(f"not valid postcard: {error}") from None

    return write, read


def _optional(write_some: Write, read_some: Read) -> tuple[Write, Read]:
    def write(value: Any, data: bytearray) -> None:
        data.append(value is not None)
        if value is not None:
            write_some(value, data)

    def read(data: bytes, at: int) -> tuple[Any, int]:
        mark = _take(data, at, 1)[0]
        if mark > 1:
            raise FormatError(f"not valid postcard: {mark} is neither there nor absent")
        return read_some(data, at + 1) if mark else (None, at + 1)

    return write, read


def _sequence(is_tuple: bool, write_item: Write, read_item: Read) -> tuple[Write, Read]:
    def write(value: Any, data: bytearray) -> None:
        write_varint(len(value), data)
        for item in value:
            write_item(item, data)

    def read(data: bytes, at: int) -> tuple[Any, int]:
        count, at = read_varint(data, at)
        items: list[Any] = []
        for _ in range(count):
            item, at = read_item(data, at)
            items.append(item)
        return tuple(items) if is_tuple else items, at

    return write, read


def _mapping(keys: tuple[Write, Read], values: tuple[Write, Read]) -> tuple[Write, Read]:
    (write_key, read_key), (write_value, read_value) = keys, values

    def write(value: Any, data: bytearray) -> None:
        write_varint(len(value), data)
        for key, item in value.items():
            write_key(key, data)
            write_value(item, data)

    def read(data: bytes, at: int) -> tuple[Any, int]:
        count, at = read_varint(data, at)
        entries: dict[Any, Any] = {}
        for _ in range(count):
            key, at = read_key(data, at)
            entries[key], at = read_value(data, at)
        return entries, at

    return write, read


def _struct(fields: list[tuple[str, tuple[Write, Read]]], make: Any) -> tuple[Write, Read]:
    """Fields one after the other: of a dataclass, or without `make` of a tuple."""

    def write(value: Any, data: bytearray) -> None:
        for at, (name, (write_field, _)) in enumerate(fields):
            write_field(value[at] if make is None else getattr(value, name), data)

    def read(data: bytes, at: int) -> tuple[Any, int]:
        values: dict[str, Any] = {}
        for name, (_, read_field) in fields:
            values[name], at = read_field(data, at)
        return tuple(values.values()) if make is None else make(**values), at

    return write, read
