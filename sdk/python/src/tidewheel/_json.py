"""JSON, as `serde_json` writes it: compact, so that state written here is read there, and the other way round.

For every type a function is compiled once that writes its values, and one that makes them of what the parser gives.
"""

import enum
import json
import math
import typing
from collections.abc import Callable
from json.encoder import encode_basestring
from typing import Any, cast

from tidewheel import shapes
from tidewheel.errors import DeclarationError, FormatError

Write = Callable[[Any], str]
"""The JSON of a value."""

Read = Callable[[Any], Any]
"""A value of what the parser gives."""

_quote: Write = encode_basestring


def _refuse_constant(name: str) -> Any:
    raise FormatError(f"not valid json: {name} is no number of JSON")


_decoder = json.JSONDecoder(parse_constant=_refuse_constant)
# The scanner below `decode`, which saves two more calls; it is there since Python 3.0.
_scan: Callable[[str, int], tuple[Any, int]] = vars(_decoder)["scan_once"]


def parse(text: str) -> Any:
    """What a text says."""
    try:
        value, end = _scan(text, 0)
        if end == len(text):
            return value
    except (StopIteration, json.JSONDecodeError, RecursionError):
        pass
    # White space around the value, or an error that this one tells better.
    try:
        return _decoder.decode(text)
    except json.JSONDecodeError as error:
        raise FormatError(f"not valid json: {error}") from None
    except RecursionError:
        raise FormatError("not valid json: it is nested too deeply") from None


def write_float(value: float) -> str:
    """A number as `serde_json` writes it: without a plus sign or leading zeros in the exponent."""
    if not math.isfinite(value):
        return "null"
    text = repr(float(value))
    mantissa, mark, exponent = text.partition("e")
    if not mark:
        return text
    number = int(exponent)
    if number == -5:
        # Python changes to exponents one digit earlier.
        sign, digits = ("-", mantissa[1:]) if mantissa[0] == "-" else ("", mantissa)
        return f"{sign}0.0000{digits.replace('.', '')}"
    return f"{mantissa}e{number}"


def write_any(value: Any) -> str:
    """The JSON of a value whose type nobody has said."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _quote(value)
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        return write_float(value)
    if isinstance(value, (list, tuple)):
        return "[" + ",".join([write_any(item) for item in cast(list[Any], value)]) + "]"
    if isinstance(value, dict):
        return _write_dict(value)  # pyright: ignore[reportUnknownArgumentType]
    cls: Any = type(value)  # pyright: ignore[reportUnknownVariableType]
    return writer(cls)(value)


def _write_dict(value: dict[Any, Any]) -> str:
    return "{" + ",".join([f"{_key(key)}:{write_any(item)}" for key, item in value.items()]) + "}"


def _key(key: Any) -> str:
    if isinstance(key, str):
        return _quote(key)
    if isinstance(key, int) and not isinstance(key, bool):
        return f'"{key}"'
    raise FormatError(f"not valid json: a key is text or a whole number, not {type(key).__name__}")


_writers: dict[Any, Write] = {}
_readers: dict[Any, Read] = {}


def writer(annotation: Any) -> Write:
    """The function that writes values of a type."""
    found = _writers.get(annotation)
    if found is None:
        # A type may hold itself: inside it the function is looked up when it is called.
        _writers[annotation] = lambda value: _writers[annotation](value)
        found = _writers[annotation] = _make_writer(annotation)
    return found


def reader(annotation: Any) -> Read:
    """The function that makes values of a type of what the parser gives."""
    found = _readers.get(annotation)
    if found is None:
        _readers[annotation] = lambda value: _readers[annotation](value)
        found = _readers[annotation] = _make_reader(annotation)
    return found


def _make_writer(annotation: Any) -> Write:
    some = shapes.optional_of(annotation)
    if some is not None:
        write_some = writer(some)
        return lambda value: "null" if value is None else write_some(value)
    width, annotation = shapes.width_of(annotation), shapes.bare(annotation)
    if annotation is int and width is not None:
        return _int_writer(width)
    simple: dict[Any, Write] = {str: _quote, bool: _write_bool, float: write_float, Any: write_any, object: write_any}
    if annotation in simple:
        return simple[annotation]
    if annotation is bytes:
        return lambda value: f"[{','.join(map(str, value))}]"
    arguments = typing.get_args(annotation)
    if shapes.is_list(annotation):
        write_item = writer(arguments[0])
        return lambda value: f"[{','.join([write_item(item) for item in value])}]"
    if typing.get_origin(annotation) is tuple:
        writers = [writer(argument) for argument in arguments]
        return lambda value: f"[{','.join([write(item) for write, item in zip(writers, value, strict=True)])}]"
    if shapes.is_dict(annotation):
        write_value = writer(arguments[1])
        return lambda value: f"{{{','.join([f'{_key(key)}:{write_value(item)}' for key, item in value.items()])}}}"
    return _make_class_writer(annotation)


def _write_bool(value: bool) -> str:
    return "true" if value else "false"


def _int_writer(width: shapes.Width) -> Write:
    least, most, name = width.least, width.most, width.name
    if width == shapes.WIDE_INT:
        return lambda value: f"{value:d}"

    def write(value: int) -> str:
        if not least <= value <= most:
            raise FormatError(f"not valid json: {value} is no {name}")
        return f"{value:d}"

    return write


def _make_class_writer(cls: Any) -> Write:
    if hasattr(cls, "to_json"):
        return lambda value: write_any(value.to_json())
    if shapes.is_enum(cls):
        return lambda value: write_any(value.value)
    if not shapes.is_dataclass(cls):
        raise DeclarationError(f"{cls} has no JSON: make it a dataclass, or give it `to_json` and `from_json`")
    names: dict[str, Any] = {"quote": _quote}
    pieces: list[str] = []
    for at, field in enumerate(shapes.fields_of(cls)):
        value = f"value.{field.name}"
        if field.annotation is str:
            written = f"quote({value})"
        elif field.annotation is int:
            written = f"{value}:d"
        else:
            names[f"write{at}"] = writer(field.annotation)
            written = f"write{at}({value})"
        # As text within the f-string of the code below.
        name = _quote(field.written).replace("\\", "\\\\").replace("'", "\\'").replace("{", "{{").replace("}", "}}")
        pieces.append(f"{name}:{{{written}}}")
    code = f"def write(value):\n return f'{{{{{','.join(pieces)}}}}}'"
    return cast(Write, _compile(code, names, "write"))


def _compile(code: str, names: dict[str, Any], function: str) -> Any:
    exec(code, names)  # noqa: S102
    return names[function]


def _make_reader(annotation: Any) -> Read:
    some = shapes.optional_of(annotation)
    if some is not None:
        read_some = reader(some)
        return lambda value: None if value is None else read_some(value)
    width, annotation = shapes.width_of(annotation), shapes.bare(annotation)
    if annotation is int and width is not None:
        return _int_reader(width)
    if annotation in (Any, object):
        return lambda value: value
    simple: dict[Any, Read] = {str: _read_str, bool: _read_bool, float: _read_float}
    if annotation in simple:
        return simple[annotation]
    if annotation is bytes:
        return _read_bytes
    arguments = typing.get_args(annotation)
    if shapes.is_list(annotation):
        read_item = reader(arguments[0])
        make: Callable[[Any], Any] = tuple if typing.get_origin(annotation) is tuple else list
        return lambda value: make([read_item(item) for item in _expect(list, value)])  # pyright: ignore[reportUnknownLambdaType]
    if typing.get_origin(annotation) is tuple:
        return _tuple_reader([reader(argument) for argument in arguments])
    if shapes.is_dict(annotation):
        read_key = int if shapes.width_of(arguments[0]) is not None else _read_str
        read_value = reader(arguments[1])
        return lambda value: {read_key(key): read_value(item) for key, item in _expect(dict, value).items()}
    return _make_class_reader(annotation)


_NAMES: dict[type, str] = {
    dict: "an object",
    list: "an array",
    str: "a string",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


def wrong(expected: str, found: Any) -> FormatError:
    """The error of a value of another type."""
    name = next((name for cls, name in _NAMES.items() if type(found) is cls), "something else")
    return FormatError(f"not valid json: expected {expected}, found {name}")


def _expect(cls: type, value: Any) -> Any:
    if type(value) is not cls:
        raise wrong(_NAMES[cls], value)
    return value


def _read_str(value: Any) -> str:
    if type(value) is not str:
        raise wrong("a string", value)
    return value


def _read_bool(value: Any) -> bool:
    if type(value) is not bool:
        raise wrong("true or false", value)
    return value


def _read_float(value: Any) -> float:
    if type(value) is float:
        return value
    if type(value) is not int:
        raise wrong("a number", value)
    return float(value)


def _read_bytes(value: Any) -> bytes:
    try:
        return bytes(_expect(list, value))
    except (TypeError, ValueError) as error:
        raise FormatError(f"not valid json: expected an array of bytes: {error}") from None


def _int_reader(width: shapes.Width) -> Read:
    least, most, name = width.least, width.most, width.name
    bounded = width != shapes.WIDE_INT

    def read(value: Any) -> int:
        if type(value) is not int:
            raise wrong("a whole number", value)
        if bounded and not least <= value <= most:
            raise FormatError(f"not valid json: {value} is no {name}")
        return value

    return read


def _tuple_reader(readers: list[Read]) -> Read:
    def read(value: Any) -> Any:
        if len(_expect(list, value)) != len(readers):
            raise FormatError(f"not valid json: expected an array of {len(readers)}, found one of {len(value)}")
        return tuple([read(item) for read, item in zip(readers, value, strict=True)])

    return read


def _make_class_reader(cls: Any) -> Read:
    if hasattr(cls, "from_json"):
        return _hook_reader(cls)
    if shapes.is_enum(cls):
        return _enum_reader(cls)
    if not shapes.is_dataclass(cls):
        raise DeclarationError(f"{cls} has no JSON: make it a dataclass, or give it `to_json` and `from_json`")
    fields = shapes.fields_of(cls)
    names: dict[str, Any] = {"make": cls, "wrong": wrong, "FormatError": FormatError, "absent": object()}
    lines = ["def read(value):", " if type(value) is not dict:", "  raise wrong('an object', value)", " try:", "  pass"]
    checks: list[str] = []
    arguments: list[str] = []
    for at, field in enumerate(fields):
        may_lack = field.has_default or shapes.optional_of(field.annotation) is not None
        lines.append(f"  v{at} = value.get({field.written!r}, absent)" if may_lack else f"  v{at} = value[{field.written!r}]")
        if field.annotation is str and not may_lack:
            checks += [f" if type(v{at}) is not str:", f"  raise wrong('a string for {field.name}', v{at})"]
        elif field.annotation is int and not may_lack:
            checks += [f" if type(v{at}) is not int:", f"  raise wrong('a whole number for {field.name}', v{at})"]
        else:
            names[f"read{at}"] = _named(field.name, reader(field.annotation))
            checks.append(f" if v{at} is not absent: v{at} = read{at}(v{at})" if may_lack else f" v{at} = read{at}(v{at})")
        if field.has_default:
            names[f"default{at}"] = _default(cls, field.name)
            checks += [f" if v{at} is absent:", f"  v{at} = default{at}()"]
        elif may_lack:
            checks += [f" if v{at} is absent:", f"  v{at} = None"]
        arguments.append(f"{field.name}=v{at}" if field.is_keyword else f"v{at}")
    lines += [" except KeyError as missing:", "  raise FormatError(f'not valid json: there is no field {missing}') from None"]
    code = "\n".join([*lines, *checks, f" return make({', '.join(arguments)})"])
    return cast(Read, _compile(code, names, "read"))


def _default(cls: Any, name: str) -> Callable[[], Any]:
    field = cls.__dataclass_fields__[name]
    if callable(field.default_factory):
        return cast(Callable[[], Any], field.default_factory)
    return lambda: field.default


def _named(name: str, read: Read) -> Read:
    """Reads a field, and says which one it is when it is wrong."""

    def read_named(value: Any) -> Any:
        try:
            return read(value)
        except FormatError as error:
            raise FormatError(f"{error}, in field {name}") from None

    return read_named


def _hook_reader(cls: Any) -> Read:
    def read(value: Any) -> Any:
        try:
            return cls.from_json(value)
        except (TypeError, ValueError) as error:
            raise FormatError(f"not valid json: {error}") from None

    return read


def _enum_reader(cls: type[enum.Enum]) -> Read:
    def read(value: Any) -> Any:
        try:
            return cls(value)
        except ValueError as error:
            raise FormatError(f"not valid json: {error}") from None

    return read
