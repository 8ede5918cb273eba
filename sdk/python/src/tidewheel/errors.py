"""What an operator raises when it cannot do its work: a rejected record, or a failed call."""

from types import TracebackType


_INNER = ("tidewheel", "importlib", "_frozen_importlib")
"""What the names of modules begin with that are passed over when it is told where an exception came through."""


class Reject(Exception):
    """Refuses the record at hand, with the reason. Nothing that it did counts; the job's `on-error` says what becomes of it.

    Any other exception does the same. Its reason then says where it was raised, too.
    """


class Fail(Exception):
    """Fails the job: nothing can be right any more, whatever the record."""


class RetryLater(Exception):
    """Asks for the whole call to be made again later. Nothing it did so far counts."""


class FormatError(Reject):
    """Bytes that are not what their format says, or a value that its format cannot hold."""


class DeclarationError(TypeError):
    """An operator, or a type it uses, that is not as it must be. Raised when the class is made."""


def reason(error: BaseException) -> str:
    """Why, for people: of an exception that was not raised on purpose also where."""
    if isinstance(error, (Reject, Fail, RetryLater)):
        return str(error)
    text = str(error)
    name = type(error).__name__
    return "\n".join([f"{name}: {text}" if text else name, *_places(error.__traceback__)])


def _places(traceback: TracebackType | None) -> list[str]:
    """Where an exception came through, outermost first, without the parts of this package and of `import`."""
    places: list[str] = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if not traceback.tb_frame.f_globals.get("__name__", "").startswith(_INNER):
            file = code.co_filename.rsplit("/", 1)[-1]
            places.append(f"  at {file}:{traceback.tb_lineno} in {code.co_qualname}")
        traceback = traceback.tb_next
    return places
