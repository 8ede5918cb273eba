"""What types look like beyond what Python says: the width of numbers, and the names by which schemas are compared.

A Python `int` has no width. Formats of fixed layout need one, and so does another language that goes on with the state:
`orders: U32` in a dataclass, `Value(u64)` for a state that is a number.
"""

import dataclasses
import enum
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Generic, TypeAlias, TypeVar

from tidewheel.errors import DeclarationError

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Width:
    """The width of a number: a mark in an annotation."""

    name: str
    code: str
    """As module `struct` names it."""
    least: int = 0
    most: int = 0


def _int(name: str, code: str, bits: int, signed: bool) -> Width:
    return Width(name, code, -(1 << bits - 1), (1 << bits - 1) - 1) if signed else Width(name, code, 0, (1 << bits) - 1)


U8: TypeAlias = Annotated[int, _int("u8", "B", 8, False)]
U16: TypeAlias = Annotated[int, _int("u16", "H", 16, False)]
U32: TypeAlias = Annotated[int, _int("u32", "I", 32, False)]
U64: TypeAlias = Annotated[int, _int("u64", "Q", 64, False)]
I8: TypeAlias = Annotated[int, _int("i8", "b", 8, True)]
I16: TypeAlias = Annotated[int, _int("i16", "h", 16, True)]
I32: TypeAlias = Annotated[int, _int("i32", "i", 32, True)]
I64: TypeAlias = Annotated[int, _int("i64", "q", 64, True)]
F32: TypeAlias = Annotated[float, Width("f32", "f")]
F64: TypeAlias = Annotated[float, Width("f64", "d")]


class Shape(Generic[T]):
    """A type that is no class, as a value: `Value(Shape[int | None](int | None))`."""

    __slots__ = ("annotation",)

    def __init__(self, annotation: object) -> None:
        self.annotation = annotation


u8: Shape[int] = Shape(U8)
u16: Shape[int] = Shape(U16)
u32: Shape[int] = Shape(U32)
u64: Shape[int] = Shape(U64)
i8: Shape[int] = Shape(I8)
i16: Shape[int] = Shape(I16)
i32: Shape[int] = Shape(I32)
i64: Shape[int] = Shape(I64)
f32: Shape[float] = Shape(F32)
f64: Shape[float] = Shape(F64)

WIDE_INT = _int("i64", "q", 64, True)
WIDE_FLOAT = Width("f64", "d")


@dataclasses.dataclass(frozen=True)
class Field:
    """A field of a dataclass, as formats see it."""

    name: str
    written: str
    """Its name in formats that have names: the entry `name` of its metadata, if there is one."""
    annotation: Any
    has_default: bool
    is_keyword: bool


def hints_of(of: Any) -> dict[str, Any]:
    """The annotations of a function or class, with their marks."""
    return typing.get_type_hints(of, include_extras=True)


def annotation_of(of: object) -> Any:
    """The annotation behind a class or a `Shape`."""
    return of.annotation if isinstance(of, Shape) else of


def fields_of(cls: type) -> list[Field]:
    """The fields of a dataclass.

    Raises:
        DeclarationError: if the class cannot be made of its fields.
    """
    hints = hints_of(cls)
    fields: list[Field] = []
    for field in dataclasses.fields(cls):
        if not field.init:
            raise DeclarationError(f"field {field.name} of {cls.__name__} is not given to its constructor: formats need it to be")
        default = (field.default, field.default_factory) != (dataclasses.MISSING, dataclasses.MISSING)
        written = field.metadata.get("name", field.name)
        fields.append(Field(field.name, written, hints[field.name], default, field.kw_only is True))
    return fields


def width_of(annotation: Any) -> Width | None:
    """The width that an annotation of a number says, or that of `int` and `float`."""
    if annotation is int:
        return WIDE_INT
    if annotation is float:
        return WIDE_FLOAT
    if typing.get_origin(annotation) is Annotated:
        for mark in annotation.__metadata__:
            if isinstance(mark, Width):
                return mark
        return width_of(annotation.__origin__)
    return None


def bare(annotation: Any) -> Any:
    """The annotation without its marks."""
    return annotation.__origin__ if typing.get_origin(annotation) is Annotated else annotation


def optional_of(annotation: Any) -> Any | None:
    """`T` of `T | None`; `None` for everything else."""
    if typing.get_origin(annotation) not in (typing.Union, types.UnionType):
        return None
    some = [part for part in typing.get_args(annotation) if part is not type(None)]
    if len(some) != 1 or len(typing.get_args(annotation)) != 2:
        raise DeclarationError(f"{annotation} is no type that formats know: of unions only `T | None` is")
    return some[0]


def is_list(annotation: Any) -> bool:
    """Whether it is a list of things of one type."""
    return typing.get_origin(annotation) in (list, Sequence) or _is_open_tuple(annotation)


def _is_open_tuple(annotation: Any) -> bool:
    arguments = typing.get_args(annotation)
    return typing.get_origin(annotation) is tuple and len(arguments) == 2 and arguments[1] is ...


def is_dict(annotation: Any) -> bool:
    """Whether it is a dict or mapping."""
    return typing.get_origin(annotation) in (dict, Mapping)


def is_dataclass(annotation: Any) -> bool:
    """Whether it is a dataclass, not a value of one."""
    return isinstance(annotation, type) and dataclasses.is_dataclass(annotation)


def is_enum(annotation: Any) -> bool:
    """Whether it is an enumeration."""
    return isinstance(annotation, type) and issubclass(annotation, enum.Enum)


def schema_of(annotation: Any) -> str:
    """What a value looks like, in one line: the name that the type has in Rust, by which the host compares schemas."""
    some = optional_of(annotation)
    if some is not None:
        return f"Option<{schema_of(some)}>"
    width = width_of(annotation)
    if width is not None:
        return width.name
    annotation = bare(annotation)
    arguments = typing.get_args(annotation)
    if is_list(annotation):
        return f"Vec<{schema_of(arguments[0])}>"
    if typing.get_origin(annotation) is tuple:
        return f"({', '.join(map(schema_of, arguments))})"
    if is_dict(annotation):
        return f"BTreeMap<{schema_of(arguments[0])}, {schema_of(arguments[1])}>"
    names: dict[Any, str] = {str: "String", bytes: "Vec<u8>", Any: "Value", object: "Value"}
    return names.get(annotation) or str(getattr(annotation, "__name__", annotation))
