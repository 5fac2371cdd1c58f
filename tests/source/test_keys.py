from hypothesis import given
from hypothesis import strategies as st

from miner.source.keys import hashed_key, is_clean


@given(st.text(min_size=1))
def test_any_path_gives_a_clean_stable_key(path: str) -> None:
    assert is_clean(hashed_key(path))
    assert hashed_key(path) == hashed_key(path)


def test_paths_that_look_alike_have_different_keys() -> None:
    paths = ["a/b.jpg", "a_b.jpg", "a/b.png", "a.b.jpg", "A/b.jpg", "x" * 200 + ".jpg", "y" + "x" * 199 + ".jpg"]
    assert len({hashed_key(path) for path in paths}) == len(paths)


def test_key_keeps_the_readable_end() -> None:
    assert hashed_key("shoes/red pair.v2.jpg").startswith("shoes_red_pair_v2-")
