"""Requests over HTTP through the harness, and what becomes of them at the contract's boundary."""

import doctest
from dataclasses import dataclass, make_dataclass
from typing import Any

import pytest

from tidewheel import Context, Operator, Record, Shape, http, seconds, stateless
from tidewheel.http import HttpError, Request, Response
from tidewheel.testing import Harness


def test_the_example_is_right() -> None:
    assert doctest.testmod(http).failed == 0


@stateless
class Asks(Operator[str, str]):
    """Asks for what a record says, all at once, and tells what came."""

    def process(self, record: Record[str], ctx: Context[str]) -> None:
        requests = [Request("POST", url, body="x", headers={"X-Asked": "yes"}) for url in record.value.split()]
        for answer in http.send_all(requests):
            ctx.emit(answer.kind if isinstance(answer, HttpError) else f"{answer.status} {answer.text()}")
        http.get("end", timeout=None)


def _answer(request: Request) -> Response:
    if request.url == "slow":
        raise HttpError("timed_out", "too slow")
    if request.url == "end":
        assert (request.method, request.body, request.headers, request.timeout) == ("GET", b"", [], None)
    else:
        assert (request.method, request.body, request.timeout) == ("POST", b"x", seconds(1))
        assert request.header("x-asked") == "yes"
    return Response(201, request.url)


@pytest.mark.parametrize("reuse", [False, True])
def test_requests_are_answered_in_order(reuse: bool) -> None:
    one, other = Harness(Asks, http=_answer, reuse_instance=reuse), Harness(Asks, reuse_instance=reuse)
    for harness in (one, other):
        harness.send("", "a slow b")
    assert one.outputs() == ["201 a", "timed_out", "201 b"]
    assert other.outputs() == []
    (rejected,) = other.rejected()
    assert rejected.reason.startswith("HttpError: the test answers no requests")


@dataclass
class Rate:
    currency: str
    rate: float


def test_a_body_is_read_of_success_only() -> None:
    assert Response(200, "[1, 2]").json() == [1, 2]
    assert Response(200, '{"currency": "usd", "rate": 0.93}').json(Rate) == Rate("usd", 0.93)
    assert Response(200, "[1, 2]").json(Shape[list[int]](list[int])) == [1, 2]
    assert Response(299, "ä").text() == "ä"
    refused = Response(503, "{}")
    for read in (refused.text, refused.json):
        with pytest.raises(HttpError, match="answered with 503") as raised:
            read()
        assert raised.value.kind == "status"


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[" * 100_000, b'{"currency": "usd"}'])
def test_a_body_that_is_something_else_is_an_error(body: bytes) -> None:
    with pytest.raises(HttpError) as raised:
        Response(200, body).json(Rate)
    assert raised.value.kind == "body"
    if body != b'{"currency": "usd"}':
        with pytest.raises(HttpError, match="the answer cannot be read"):
            Response(200, body).json()
    with pytest.raises(HttpError, match="the answer cannot be read"):
        Response(200, b"\xff").text()


def test_headers_are_found_whatever_their_case() -> None:
    answer = Response(200, headers=[("etag", "x"), ("etag", "y")])
    assert (answer.header("ETag"), answer.header("age"), answer.is_success) == ("x", None, True)
    assert Request("GET", "u", headers={"A": "1"}) == Request("GET", "u", headers=[("A", "1")])


class _Wit:
    """The bindings of the interface."""

    Request: Any = make_dataclass("Request", ["method", "url", "headers", "body", "timeout_ms"])
    Response: Any = make_dataclass("Response", ["status", "headers", "body"])
    Problem: Any = make_dataclass("Problem", ["code", "message"])
    Result: Any = make_dataclass("Result", ["value"])

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def send(self, requests: list[Any]) -> list[Any]:
        self.sent += requests
        answers = [self.Response(200, [("a", "b")], b"yes"), *(self.Problem(code, "why") for code in (4, 77, 1))]
        return [self.Result(answer) for answer in answers]


def test_the_contract_has_no_timeout_as_0_and_kinds_as_numbers() -> None:
    wit = _Wit()
    timeouts = [None, 0, seconds(2), 1 << 40]
    answers = http.sent_by(wit)([Request("GET", "u", timeout=timeout) for timeout in timeouts])
    assert [request.timeout_ms for request in wit.sent] == [0, 1, 2000, (1 << 32) - 1]
    assert answers[0] == Response(200, "yes", headers={"a": "b"})
    assert [answer.kind for answer in answers if isinstance(answer, HttpError)] == ["timed_out", "other", "not_granted"]
