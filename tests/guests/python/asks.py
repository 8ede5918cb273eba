"""The fixture `asks-sdk` in Python: sends the requests that a record asks for, with a `|` between them, all at once, and emits
what came of each. A request is `METHOD URL`, then words: `NAME:VALUE` for headers, `body=TEXT`, `timeout=MS`, and `sum` for the
sum of the numbers that the answer has as JSON. What it emits is the URL's end, the status, the headers that begin with `x-` and
the body; or the kind of the error, and the message.
"""

from tidewheel import Context, Operator, Record, http, stateless
from tidewheel.http import HttpError, Request, Response


def request(text: str) -> tuple[Request, bool]:
    """A request, and whether the sum is asked for."""
    method, url, *words = text.split(" ")
    made, sums = Request(method, url), False
    for word in words:
        if word.startswith("body="):
            made.body = word.removeprefix("body=").encode()
        elif word.startswith("timeout="):
            made.timeout = int(word.removeprefix("timeout="))
        elif ":" in word:
            name, _, value = word.partition(":")
            made.headers.append((name, value))
        else:
            sums = True
    return made, sums


def told(answer: Response | HttpError, sums: bool) -> str:
    """What came of a request."""
    try:
        if isinstance(answer, HttpError):
            raise answer
        if sums:
            numbers = answer.json(list[int])
            return f"sum {sum(numbers)}"
    except HttpError as error:
        return f"{error.kind.title().replace('_', '')}: {error}"
    headers = "".join(f" {name}={value}" for name, value in answer.headers if name.startswith("x-"))
    return f"{answer.status}{headers} {answer.body.decode()}"


@stateless
class Asks(Operator[str, str]):
    """Asks for what a record says."""

    def process(self, record: Record[str], ctx: Context[str]) -> None:
        asked = [request(text) for text in record.value.split("|")]
        for answer, (made, sums) in zip(http.send_all([made for made, _ in asked]), asked):
            ctx.emit(f"{made.url.rsplit('/', 1)[-1]} {told(answer, sums)}")
