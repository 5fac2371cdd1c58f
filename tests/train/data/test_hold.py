from pathlib import Path

import pytest
import torch

from miner.errors import MinerError
from miner.images.stream import StreamedImages
from miner.images.whole import load_images
from miner.learning.parallel.collectives import rank, wait_for_all
from miner.learning.parallel.machine import shared_machine
from miner.train.data.hold import hold_images
from tests.images.folders import Counting
from tests.learning.parallel.spawned import on_processes
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


def shared() -> tuple[int, int, bool]:
    """How many images this process read, a pixel that the first process has changed, and whether the rest is as in memory."""
    source, entries = sample_entries(70)
    counting = Counting(source)
    images = hold_images("memory", counting, entries, SIDE, 1, shared_machine())  # type: ignore[arg-type]
    whole, of_run = load_images(source, entries, SIDE, 1, "decode"), counting.reads
    if rank() == 0:
        images[0, 0, 0, 0] = 77
    wait_for_all()
    return of_run, int(images[0, 0, 0, 0]), torch.equal(images[1:], whole[1:])


def streamed() -> tuple[bool, int]:
    """Whether images are streamed, and by how many threads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("miner.train.data.hold.decoding_threads", lambda _: 16)
        free = 1000 + 10**9 * rank()
        images = hold_images("auto", *sample_entries(20), SIDE, 0, shared_machine(), memory_bytes=free)
    return isinstance(images, StreamedImages), images._pool._max_workers


def held_both_ways() -> tuple[tuple[int, int, bool], tuple[bool, int]]:
    return shared(), streamed()


def test_two_processes_hold_one_copy_or_divide_the_cores(tmp_path: Path) -> None:
    (first, ahead), (second, beside) = on_processes(2, held_both_ways, tmp_path)
    assert first == (70 + 64, 77, True)  # the first process reads each image, and 64 headers
    assert second == (0, 77, True)
    assert ahead == beside == (True, 8)  # although the second process alone would have found memory enough
