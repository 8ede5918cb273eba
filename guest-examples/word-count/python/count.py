"""Counts words: an operator with one value of state per key."""

from dataclasses import dataclass

from tidewheel import POSTCARD, U64, Context, Operator, Record, Value, keyed, u64


@dataclass
class WordCount:
    """How often a word has come so far."""

    word: str
    count: U64


@keyed
class Count(Operator[str, WordCount]):
    """Emits, for every word that comes, how often it has come so far."""

    # The format of the Rust version's state, so that each can go on from the other.
    count = Value(u64, format=POSTCARD)

    def process(self, word: Record[str], ctx: Context[WordCount]) -> None:
        count = self.count.get_or(0) + 1
        self.count.set(count)
        ctx.emit(WordCount(word.value, count))
