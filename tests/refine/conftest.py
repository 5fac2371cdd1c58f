"""Embeddings on disk without an encoder, and one thread."""

from collections.abc import Iterator

import pytest
import torch

from tests.pairs.conftest import make_embeddings

__all__ = ["make_embeddings"]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """As the other processes of a test compute: another number adds in another order, and Adam makes steps of mere rounding."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
