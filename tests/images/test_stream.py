from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from miner.errors import MinerError
from miner.images import stream as module
from miner.images.channels import channel_statistics
from miner.images.ragged import Pixels, RaggedImages
from miner.images.stream import ImagesAhead, StreamedImages
from miner.images.whole import load_images
from miner.learning.randomness import generator_for
from miner.source import open_source
from tests.images.folders import Counting, folder_of
from tests.train.mini_workspace import sample_entries


def steps(images: int, count: int, size: int) -> list[Tensor]:
    """Rows of some steps, with repetitions as own-view items have them."""
    draw = generator_for(0, "rows")
    return [torch.randint(0, images, (size,), generator=draw).repeat(2) for _ in range(count)]


def same(one: Pixels, other: Pixels) -> bool:
    """Whether both are the same images, in the same kind of store."""
    if isinstance(one, Tensor) or isinstance(other, Tensor):
        return torch.equal(one, other)
    return torch.equal(one.shapes, other.shapes) and all(torch.equal(one[row], other[row]) for row in range(len(one)))


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_every_step_is_that_of_memory_with_any_threads(workers: int) -> None:
    source, entries = sample_entries(90)
    in_memory = load_images(source, entries, 36, 1, "decode")
    wanted = steps(90, 6, 20)
    images = StreamedImages(source, entries, 36, workers)
    images.expect(wanted)
    for rows in wanted:
        assert torch.equal(images.next_step(rows), in_memory[rows])


def test_images_of_many_shapes_are_those_of_memory(tmp_path: Path) -> None:
    source = open_source(folder_of(tmp_path, [(20 + 3 * number, 50 - number) for number in range(10)]))
    in_memory = load_images(source, source.entries, 36, 1, "decode")
    images = StreamedImages(source, source.entries, 36, 2)
    wanted = steps(10, 6, 6)
    images.expect(wanted)
    for rows in wanted:
        # Of a step of one image, memory gives ragged images, and the crop stacks them.
        assert same(images.next_step(rows), in_memory[rows]) and same(images[rows[:1]], in_memory[rows[:1]].stacked())
    assert channel_statistics(images) == channel_statistics(in_memory)


def test_rows_and_statistics_are_those_of_memory() -> None:
    source, entries = sample_entries(50)
    images = StreamedImages(source, entries, 28, 2)
    in_memory = load_images(source, entries, 28, 1, "decode")
    rows = torch.tensor([3, 49, 3, 0])
    assert torch.equal(images[rows], in_memory[rows])
    assert len(images) == 50
    assert channel_statistics(images) == channel_statistics(in_memory)


def test_an_image_that_both_views_show_is_decoded_once() -> None:
    source, entries = sample_entries(40)
    counting = Counting(source)
    images = StreamedImages(counting, entries, 28, 2)  # type: ignore[arg-type]
    images[torch.arange(40).repeat(2)]
    assert counting.reads == 40


def test_some_steps_are_decoded_ahead_and_no_more() -> None:
    source, entries = sample_entries(60)
    counting = Counting(source)
    asked: list[Tensor] = []

    def steps_of(count: int) -> Iterator[Tensor]:
        for step in range(count):
            asked.append(torch.arange(step, step + 8))
            yield asked[-1]

    images = StreamedImages(counting, entries, 28, 2)  # type: ignore[arg-type]
    images.expect(steps_of(9))
    for done in range(9):
        images[torch.tensor([50])]  # what nobody expected is decoded all the same
        assert len(asked) == min(9, done + 1 + module._STEPS_AHEAD)
        images.next_step(asked[done])
    assert counting.reads == 9 * 8 + 9


def test_rows_that_a_method_replaces_end_no_look_ahead() -> None:
    source, entries = sample_entries(60)
    in_memory, counting = load_images(source, entries, 28, 1, "decode"), Counting(source)
    images = StreamedImages(counting, entries, 28, 2)  # type: ignore[arg-type]
    images.expect(torch.arange(step * 6, step * 6 + 6) for step in range(8))
    for step in range(8):
        anchors = torch.arange(step * 6, step * 6 + 6)
        rows = torch.cat([anchors, anchors[:4], torch.tensor([50, 51 + step])])  # the last two views show neighbours
        assert torch.equal(images.next_step(rows), in_memory[rows])
    assert counting.reads == 8 * (6 + 2)


def test_a_damaged_image_is_named_at_the_step_that_shows_it(tmp_path: Path) -> None:
    source, entries = sample_entries(6)
    for number, entry in enumerate(entries):
        data = source.read(entry)
        (tmp_path / f"{number}.{entry.extension}").write_bytes(data[: len(data) // 2] if number == 4 else data)
    folder = open_source(str(tmp_path))
    images, wanted = StreamedImages(folder, folder.entries, 28, 2), torch.arange(6).split(2)
    images.expect(wanted)
    assert len(images.next_step(wanted[0])) == 2 and len(images.next_step(wanted[1])) == 2
    with pytest.raises(MinerError, match=r"The image 4\.\w+ .*cannot be used"):
        images.next_step(wanted[2])


def test_images_in_memory_are_gathered_ahead_as_from_files() -> None:
    squares = torch.randint(0, 256, (30, 3, 8, 8), dtype=torch.uint8)
    shapes = torch.tensor([[8, 10], [9, 8]] * 15)
    ragged = RaggedImages.of(torch.randint(0, 256, (3 * int(shapes.prod(1).sum()),), dtype=torch.uint8), shapes)
    steps = list(torch.randint(0, 30, (6, 7)))
    for held in (squares, ragged):
        images = ImagesAhead(30, held.__getitem__, 2)
        images.expect(iter(steps))
        for number, rows in enumerate(steps):
            shown = rows if number % 2 else rows.flip(0)  # every other step, a method replaces rows
            ready = images.next_step(shown)
            assert all(torch.equal(ready[place], held[row]) for place, row in enumerate(shown.tolist()))
