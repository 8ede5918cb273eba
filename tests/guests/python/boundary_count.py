"""A keyed counter, for the benchmark of languages: its state rides along, and every record becomes the count so far."""

from tidewheel import FIXED, U64, Context, Operator, Record, Value, keyed, u64


@keyed(output=FIXED)
class Count(Operator[bytes, U64]):
    """Counts the records of each key."""

    count = Value(u64, format=FIXED)

    def process(self, record: Record[bytes], ctx: Context[U64]) -> None:
        count = self.count.get_or(0) + 1
        self.count.set(count)
        ctx.emit(count)
