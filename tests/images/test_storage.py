import pytest
import torch

from miner.errors import MinerError
from miner.images import canvases as measured
from miner.images import storage as module
from miner.images.storage import hold_images
from miner.images.stream import StreamedImages
from tests.train.mini_workspace import sample_entries


@pytest.mark.parametrize(("data", "streamed"), [("auto", True), ("stream", True), ("memory", None)])
def test_images_that_do_not_fit_stay_in_their_files_unless_memory_is_asked_for(
    data: str, streamed: bool | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source, entries = sample_entries(10)
    for where in (module, measured):
        monkeypatch.setattr(where, "free_bytes", lambda: 2 * 10 * 3 * 28 * 28 - 2)
    if streamed is None:
        with pytest.raises(MinerError, match="more than half"):
            hold_images(data, source, entries, 28, 1)
        return
    assert isinstance(hold_images(data, source, entries, 28, 1), StreamedImages)
    assert "decoded step by step" in capsys.readouterr().err


def test_images_that_fit_are_decoded_once() -> None:
    source, entries = sample_entries(10)
    assert isinstance(hold_images("auto", source, entries, 28, 1), torch.Tensor)
    assert isinstance(hold_images("stream", source, entries, 28, 1), StreamedImages)
