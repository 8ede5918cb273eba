"""A map, for the benchmark of languages, which sees all records of a call at once."""

from tidewheel import Batch, Context, Operator, stateless


@stateless
class Map(Operator[bytes, bytes]):
    """Changes the first byte."""

    def process_batch(self, batch: Batch[bytes], ctx: Context[bytes]) -> None:
        ctx.emit_bytes([bytes((data[0] ^ 1,)) + data[1:] for data in batch.values], batch.indices)
