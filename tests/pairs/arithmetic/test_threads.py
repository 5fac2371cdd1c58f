import pytest

from miner.pairs.arithmetic.threads import Threads


@pytest.mark.parametrize("count", [1, 3])
def test_both_pieces_are_done_whether_or_not_a_thread_is_free(count) -> None:
    """In a pool of one thread, nobody else can do the other piece: waiting for it would never end."""
    threads = Threads(count)
    assert threads.start(lambda: threads.both(lambda: 1, lambda: 2)).result(10) == (1, 2)


def test_error_of_the_other_piece_is_raised() -> None:
    threads = Threads(2)
    with pytest.raises(ZeroDivisionError):
        threads.start(lambda: threads.both(lambda: 1, lambda: 1 // 0)).result(10)
