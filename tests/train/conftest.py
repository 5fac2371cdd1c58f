import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """On tensors this small, threads cost more than they give, above all on a busy machine."""
    torch.set_num_threads(1)
