"""The operators of this example, in plain unit tests."""

from count import Count, WordCount
from split import Split

from tidewheel.testing import Harness


def test_splits_at_everything_that_is_no_letter() -> None:
    harness = Harness(Split)
    harness.send("", "The wheel -- the tide's wheel!")
    assert harness.outputs() == ["the", "wheel", "the", "tide", "s", "wheel"]


def test_the_word_is_the_key() -> None:
    harness = Harness(Split)
    harness.send("", "Tide")
    assert harness.records()[0].key == b"tide"


def test_counts_each_word_on_its_own() -> None:
    harness = Harness(Count)
    for word in ["tide", "wheel", "tide"]:
        harness.send(word, word)
    assert harness.outputs() == [WordCount("tide", 1), WordCount("wheel", 1), WordCount("tide", 2)]
    assert harness.value("count", "tide") == 2
