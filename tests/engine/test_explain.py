import pytest

from miner.engine.explain import explained, one_line
from miner.errors import MinerError, UsageError


def in_words(error: Exception) -> MinerError:
    return MinerError(f"told: {one_line(error, 10)}")


def test_any_exception_becomes_the_error_for_people() -> None:
    with pytest.raises(MinerError, match=r"^told: RuntimeError: many words$") as caught, explained(in_words):
        raise RuntimeError("many\n words, cut")
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_errors_for_people_and_named_kinds_pass() -> None:
    with pytest.raises(UsageError, match=r"^mine$"), explained(in_words):
        raise UsageError("mine")
    with pytest.raises(FileNotFoundError, match=r"^gone$"), explained(in_words, OSError):
        raise FileNotFoundError("gone")


def test_exception_that_explains_itself_passes_unchanged() -> None:
    with pytest.raises(KeyError) as caught, explained(lambda error: error):
        raise KeyError("x")
    assert caught.value.__cause__ is None
