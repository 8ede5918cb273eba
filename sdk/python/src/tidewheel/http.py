"""Requests over HTTP, to hosts that the job grants the operator with `grants = ["http:HOST"]` in its table.

A call of the operator waits for the answers, and its worker with it; so ask for what a batch needs by `send_all`, and keep in
state what need not be asked again. A call that is made again, after a crash or in smaller batches, sends its requests again:
send none that must not come twice.

    >>> from tidewheel import Context, Operator, Record, http, stateless
    >>> from tidewheel.testing import Harness

    >>> @stateless
    ... class InEuros(Operator[str, float]):
    ...     def process(self, currency: Record[str], ctx: Context[float]) -> None:
    ...         rate = http.get(f"https://rates.example.org/{currency.value}")
    ...         ctx.emit(rate.json(float))

A test answers:

    >>> def rates(request: http.Request) -> http.Response:
    ...     is_known = request.url == "https://rates.example.org/usd"
    ...     return http.Response(200, "0.93") if is_known else http.Response(404)

    >>> harness = Harness(InEuros, http=rates)
    >>> harness.send_all([("", "usd"), ("", "doubloon")])
    >>> harness.outputs()
    [0.93]
    >>> [record.value for record in harness.rejected()]
    [b'doubloon']
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar, cast, overload

from tidewheel.errors import FormatError
from tidewheel.formats import JSON
from tidewheel.shapes import Shape, annotation_of
from tidewheel.times import Duration, seconds

__all__ = ["TIMEOUT_DEFAULT", "ErrorKind", "Headers", "HttpError", "Request", "Response", "get", "post", "send_all"]

T = TypeVar("T")

TIMEOUT_DEFAULT: Duration = seconds(1)
"""How long a request waits for its answer if it does not say."""

Headers: TypeAlias = Mapping[str, str] | Iterable[tuple[str, str]]
"""Headers as they are given: by name, or as names and values in order."""

ErrorKind: TypeAlias = Literal[
    "not_granted", "not_a_request", "not_reached", "timed_out", "too_large", "status", "body", "other"
]
"""Kinds of `HttpError`."""

_CODES: dict[int, ErrorKind] = {
    1: "not_granted",
    2: "not_a_request",
    3: "not_reached",
    4: "timed_out",
    5: "too_large",
}
"""The kinds that the contract has numbers for."""

_TIMEOUT_MS_MAX = (1 << 32) - 1


class HttpError(Exception):
    """Why there is no answer, or none that can be used. Raised from `process`, it rejects the record at hand; where the host
    may be back soon, `RetryLater` has the whole call made again.

    `kind` is `"not_granted"` (the job does not grant the host), `"not_a_request"` (it is none that can be sent),
    `"not_reached"` (the host was not, or broke off), `"timed_out"`, `"too_large"` (the body, for what a call may give),
    `"status"` (one that is not of success, where the body was wanted), `"body"` (it is not what it was read as) or `"other"`.
    """

    def __init__(self, kind: ErrorKind, message: str) -> None:
        super().__init__(message)
        self.kind: ErrorKind = kind


@dataclass(init=False)
class Request:
    """A request. It goes to the host of its URL and nowhere else: redirects are answers."""

    method: str
    """`GET`, `POST`, and so on."""
    url: str
    """With scheme `http` or `https`, and no user in it."""
    headers: list[tuple[str, str]]
    """Names and values, in order."""
    body: bytes
    """What is sent; empty: nothing."""
    timeout: Duration | None
    """How long to wait for the whole answer, as `seconds(5)`. `None`: as long as the call may take, by its deadline; then the
    call ends, and is made again later with fewer records, until in the end the job fails."""

    def __init__(
        self,
        method: str,
        url: str,
        *,
        headers: Headers = (),
        body: str | bytes = b"",
        timeout: Duration | None = TIMEOUT_DEFAULT,
    ) -> None:
        self.method, self.url, self.timeout = method, url, timeout
        self.headers, self.body = _pairs(headers), _bytes(body)

    def header(self, name: str) -> str | None:
        """The first header of this name, whatever the case of its letters."""
        return _header(self.headers, name)

    def send(self) -> Response:
        """Sends it, and waits for the answer.

        Raises:
            HttpError: if there is none.
        """
        (answer,) = send_all([self])
        if isinstance(answer, HttpError):
            raise answer
        return answer


@dataclass(init=False)
class Response:
    """An answer, of whatever status."""

    status: int
    """200, 404, and so on."""
    headers: list[tuple[str, str]]
    """Names, in lower case, and values."""
    body: bytes
    """What was sent."""

    def __init__(self, status: int, body: str | bytes = b"", *, headers: Headers = ()) -> None:
        self.status, self.headers, self.body = status, _pairs(headers), _bytes(body)

    @property
    def is_success(self) -> bool:
        """Whether the status is one from 200 to 299."""
        return 200 <= self.status < 300

    def header(self, name: str) -> str | None:
        """The first header of this name, whatever the case of its letters."""
        return _header(self.headers, name)

    def text(self) -> str:
        """The body as text.

        Raises:
            HttpError: if it is not UTF-8, or the status is not one of success.
        """
        try:
            return self._of_success().decode()
        except UnicodeDecodeError as error:
            raise _unreadable(error) from None

    @overload
    def json(self) -> Any: ...
    @overload
    def json(self, shape: type[T] | Shape[T]) -> T: ...
    def json(self, shape: Any = None) -> Any:
        """The body read as JSON: as a type, such as a dataclass, if one is given, as an operator's input is.

        Raises:
            HttpError: if it is not that, or the status is not one of success.
        """
        body = self._of_success()
        try:
            return json.loads(body) if shape is None else JSON.codec(annotation_of(shape)).decode(body)
        except (ValueError, RecursionError, FormatError) as error:
            raise _unreadable(error) from None

    def _of_success(self) -> bytes:
        if not self.is_success:
            raise HttpError("status", f"answered with {self.status}")
        return self.body


def get(url: str, *, headers: Headers = (), timeout: Duration | None = TIMEOUT_DEFAULT) -> Response:
    """Sends `GET url`, and waits for the answer.

    Raises:
        HttpError: if there is none.
    """
    return Request("GET", url, headers=headers, timeout=timeout).send()


def post(
    url: str, body: str | bytes = b"", *, headers: Headers = (), timeout: Duration | None = TIMEOUT_DEFAULT
) -> Response:
    """Sends `POST url` with this body, and waits for the answer.

    Raises:
        HttpError: if there is none.
    """
    return Request("POST", url, body=body, headers=headers, timeout=timeout).send()


def send_all(requests: Iterable[Request]) -> list[Response | HttpError]:
    """Sends requests, some of them at once, and waits for the answers, which are in order of the requests. Where there is none,
    the error is in its place.
    """
    return _send(list(requests))


Sender: TypeAlias = Callable[[list[Request]], list[Response | HttpError]]
"""What sends requests: the host, or a test in its place."""


def _nobody(requests: list[Request]) -> list[Response | HttpError]:
    message = "no host is granted here: requests are sent by an operator, from its open on"
    return [HttpError("not_granted", message) for _ in requests]


_send: Sender = _nobody


def use(sender: Sender) -> None:
    """Has requests sent by this from now on."""
    global _send
    _send = sender


def answered_by(answer: Callable[[Request], Response] | None) -> Sender:
    """A sender whose answers a test gives."""

    def one(request: Request) -> Response | HttpError:
        if answer is None:
            return HttpError("not_granted", "the test answers no requests: give the harness http=, a function that does")
        try:
            return answer(request)
        except HttpError as error:
            return error

    return lambda requests: [one(request) for request in requests]


def sent_by(wit: Any) -> Sender:
    """The sender that is the host, by the bindings of the contract's interface."""

    def request_of(request: Request) -> Any:
        # 0 means that there is none.
        timeout_ms = 0 if request.timeout is None else min(max(request.timeout, 1), _TIMEOUT_MS_MAX)
        return wit.Request(request.method, request.url, request.headers, request.body, timeout_ms)

    def answer_of(result: Any) -> Response | HttpError:
        answer = result.value
        if isinstance(answer, wit.Problem):
            problem: Any = answer
            return HttpError(_CODES.get(problem.code, "other"), problem.message)
        return Response(answer.status, answer.body, headers=answer.headers)

    return lambda requests: [answer_of(result) for result in wit.send([request_of(request) for request in requests])]


def _pairs(headers: Headers) -> list[tuple[str, str]]:
    return list(cast("Mapping[str, str]", headers).items() if isinstance(headers, Mapping) else headers)


def _bytes(body: str | bytes) -> bytes:
    return body.encode() if isinstance(body, str) else body


def _header(headers: list[tuple[str, str]], name: str) -> str | None:
    return next((value for of, value in headers if of.lower() == name.lower()), None)


def _unreadable(error: Exception) -> HttpError:
    return HttpError("body", f"the answer cannot be read: {error}")
