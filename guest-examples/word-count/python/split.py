"""Lines of text into words: an operator that keeps nothing."""

import re

from tidewheel import Context, Operator, Record, stateless

WORD = re.compile(r"[^\W_]+")


@stateless
class Split(Operator[str, str]):
    """Emits every word of a line, in lower case, with the word as the key."""

    def process(self, line: Record[str], ctx: Context[str]) -> None:
        for word in WORD.findall(line.value.lower()):
            ctx.emit(word, key=word)
