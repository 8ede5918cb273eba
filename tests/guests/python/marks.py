"""The fixture `marks-sdk` in Python: what becomes of a record its words say, from left to right. `at:T` sets its event time,
`to:KEY` its key, `mark:T` makes a watermark, `env:NAME` makes the value what the job grants of that variable, or `none`; `twice`
emits it one more time, `drop` not at all, `aside` on the side output; `later` asks to be called again, once per instance;
`refuse` is rejected, and `claim` is as well, with a watermark that must not be. What is poison is rejected, too.
"""

from tidewheel import TIME_MAX, Context, Operator, Output, Record, Reject, RetryLater, env, stateless


@stateless
class Marks(Operator[str, str]):
    """Does with a record what its words say."""

    aside = Output(str)
    was_later = False

    def process(self, record: Record[str], ctx: Context[str]) -> None:
        value, key, time, times, is_aside = record.value, None, None, 1, False
        for word in record.value.split(" "):
            name, _, said = word.partition(":")
            match name:
                case "at":
                    time = int(said)
                case "to":
                    key = said
                case "mark":
                    ctx.emit_watermark(int(said))
                case "env":
                    value = env(said) or "none"
                case "twice":
                    times = 2
                case "drop":
                    times = 0
                case "aside":
                    is_aside = True
                case "later" if not self.was_later:
                    self.was_later = True
                    raise RetryLater("not now")
                case "claim":
                    ctx.emit_watermark(TIME_MAX - 1)
                case "trap" | "blame" | "wrong" | "broken":
                    raise ValueError("it is poison")
                case _:
                    pass
        for _ in range(times):
            if is_aside:
                ctx.emit_to(self.aside, value, key=key, time=time)
            else:
                ctx.emit(value, key=key, time=time)
        if value in ("refuse", "claim"):
            raise Reject("refused")
