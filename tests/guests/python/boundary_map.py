"""A map, for the benchmark of languages: every record's value with its first byte changed."""

from tidewheel import Context, Operator, Record, stateless


@stateless
class Map(Operator[bytes, bytes]):
    """Changes the first byte."""

    def process(self, value: Record[bytes], ctx: Context[bytes]) -> None:
        data = value.value
        ctx.emit(bytes((data[0] ^ 1,)) + data[1:])
