import pytest
import torch
from torch import Tensor

from miner.errors import UsageError
from miner.images.augment.views import Augmentation, ViewParameters
from miner.images.stream import StreamedImages
from miner.images.whole import load_images
from miner.source import Entry
from miner.train.data.batch_maker import BatchMaker
from miner.train.data.pair_index import PairIndex
from miner.train.data.sampler import CombinedSampler
from tests.train.mini_workspace import sample_entries
from tests.train.plans import pictures, plan

PAIRS = torch.tensor([[0, 10], [0, 11], [0, 12], [3, 13], [1, 2]])
ITEMS = torch.tensor([[3, 0, 7, 1], [3, 0, 7, 1]])


@pytest.fixture(autouse=True)
def _no_augmentation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Views that are the pictures, of one colour each."""

    class Plain(Augmentation):
        def apply(self, images: Tensor, parameters: ViewParameters) -> Tensor:
            return images.float()

    monkeypatch.setattr("miner.train.data.batch_maker.Augmentation", Plain)


def rows_of(views: Tensor) -> list[int]:
    return ((views[:, 0, 0, 0] - 5) / 12).int().tolist()


def maker(**changes: object) -> BatchMaker:
    return BatchMaker(plan(**changes), pictures(), torch.device("cpu"), PairIndex.of(PAIRS, 20))


def test_without_partners_a_batch_holds_two_views_of_each_item() -> None:
    items = torch.tensor([[3, 0, 7, 1], [13, 0, 7, 2]])
    batch = maker()(items, 0)
    assert rows_of(batch.first) == batch.anchors.tolist() == [3, 0, 7, 1]
    assert rows_of(batch.second) == batch.positives.tolist() == [13, 0, 7, 2]
    assert batch.partner_items is None and batch.known_positives is None and batch.partners_weight == 0
    assert batch.known_positive_mask(batch.anchors, batch.positives) is None


def test_partners_follow_the_second_views_and_name_their_items() -> None:
    make, seen = maker(partners=2, pair_weight=0.5), set()
    for step in range(20):
        batch = make(ITEMS, step)
        assert batch.partner_items.tolist() == [0, 1, 1, 3] and batch.partners_weight == 0.5 * 4 / 4
        assert rows_of(batch.second) == batch.positives.tolist()
        of_three, *of_zero, of_one = batch.positives[4:].tolist()
        assert (of_three, of_one) == (13, 2) and len(set(of_zero)) == 2
        seen |= set(of_zero)
    assert seen == {10, 11, 12}


def test_the_batch_of_a_step_does_not_depend_on_the_steps_before() -> None:
    after, alone = maker(partners=1), maker(partners=1)
    for step in range(5):
        last = after(ITEMS, step)
    assert torch.equal(last.positives, alone(ITEMS, 4).positives)


def test_a_step_without_any_partner_is_an_ordinary_one() -> None:
    batch = maker(partners=1)(torch.tensor([[5, 6], [5, 6]]), 0)
    assert batch.partner_items is None and len(batch.second) == 2


def test_masking_knows_the_pairs() -> None:
    batch = maker(mask_known_positives=True)(ITEMS, 0)
    known = batch.known_positive_mask(torch.tensor([0]), torch.tensor([0, 10, 13, 12, 1]))
    assert known.tolist() == [[True, True, False, True, False]]


def test_partners_are_refused_on_several_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("miner.train.data.batch_maker.world_size", lambda: 2)
    with pytest.raises(UsageError, match="--partners works on one process"):
        maker(partners=1)


def test_looking_ahead_decodes_each_image_of_a_step_once() -> None:
    source, entries = sample_entries(20)
    read: list[str] = []

    class Listing:
        def read(self, entry: Entry) -> bytes:
            read.append(entry.key)
            return source.read(entry)

    chosen, sampler = plan(partners=1), CombinedSampler(20, PAIRS[:0], 5, 0)
    streamed, in_memory = StreamedImages(Listing(), entries, 28, 2), load_images(source, entries, 28, 1, "decode")
    index, cpu = PairIndex.of(PAIRS, 20), torch.device("cpu")
    ahead, plainly = (BatchMaker(chosen, images, cpu, index) for images in (streamed, in_memory))
    ahead.look_ahead(sampler, 3)
    distinct = 0
    for step, items in enumerate(sampler.batches(3, chosen.steps), 3):
        ours, theirs = ahead(items, step), plainly(items, step)
        assert torch.equal(ours.first, theirs.first) and torch.equal(ours.second, theirs.second)
        distinct += len(torch.cat([theirs.anchors, theirs.positives]).unique())
    assert len(read) == distinct
