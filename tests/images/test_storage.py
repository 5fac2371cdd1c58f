import pytest
import torch

from miner.errors import MinerError
from miner.images.stream import StreamedImages, hold_images
from tests.train.mini_workspace import sample_entries

SIDE = 28
SIZE_BYTES = 10 * 3 * SIDE * SIDE


@pytest.mark.parametrize("data", ["auto", "stream"])
def test_images_that_do_not_fit_stay_in_their_files(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    held = hold_images(data, *sample_entries(10), SIDE, 1, memory_bytes=2 * SIZE_BYTES - 2)
    assert isinstance(held, StreamedImages)
    assert "decoded step by step" in capsys.readouterr().err


def test_memory_that_is_asked_for_and_too_small_is_refused() -> None:
    with pytest.raises(MinerError, match="more than half"):
        hold_images("memory", *sample_entries(10), SIDE, 1, memory_bytes=2 * SIZE_BYTES - 2)


def test_images_that_fit_are_decoded_once() -> None:
    images = sample_entries(10)
    assert isinstance(hold_images("auto", *images, SIDE, 1, memory_bytes=2 * SIZE_BYTES), torch.Tensor)
    assert isinstance(hold_images("stream", *images, SIDE, 1), StreamedImages)
