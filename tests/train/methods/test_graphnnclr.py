import torch

from miner.learning.randomness import generator_for
from miner.train.data.pair_index import PairIndex
from tests.train.methods.colours import ROWS, graphnnclr, images, see_all, step
from tests.train.methods.tiny import IMAGES, WIDTH


def test_before_the_window_is_full_every_image_meets_itself() -> None:
    method = graphnnclr(graph_window=2)
    see_all(method, 1)
    assert torch.equal(method.choose_positives(ROWS, ROWS, generator_for(0)), ROWS)


def test_banks_hold_the_features_of_first_views_by_image() -> None:
    method, rows = graphnnclr().eval(), torch.tensor([7, 30, 2])
    pixels = images()
    expected = torch.nn.functional.normalize(method.backbone(pixels[torch.cat([rows, rows.flip(0)])])[:3], dim=1)
    step(method, rows, rows.flip(0))
    for bank in (method.student_bank, method.teacher_bank):
        torch.testing.assert_close(bank.features[rows], expected)
        assert (bank.features.norm(dim=1) > 0).nonzero().flatten().tolist() == [2, 7, 30]


def test_neighbours_of_trusted_images_are_drawn_and_look_alike() -> None:
    method = graphnnclr()
    see_all(method, 2)
    drawn = torch.stack([method.choose_positives(ROWS, ROWS, generator_for(number)) for number in range(50)])
    moved = drawn != ROWS
    candidates, _ = method.teacher_bank.votes(ROWS)
    trusted = method.teacher_bank.trusted(ROWS, candidates)
    assert trusted.any() and not moved[:, ~trusted].any() and moved.any()
    assert (drawn % 8 == ROWS % 8)[moved].float().mean() > 0.95
    # The same generator gives the same neighbours.
    assert torch.equal(drawn[7], method.choose_positives(ROWS, ROWS, generator_for(7)))


def test_a_mined_pair_that_was_dealt_stays() -> None:
    method = graphnnclr()
    see_all(method, 2)
    dealt = (ROWS + 1) % IMAGES
    assert torch.equal(method.choose_positives(ROWS, dealt, generator_for(0)), dealt)


def test_a_prior_gives_partners_first_and_a_vote_later() -> None:
    pairs = torch.tensor([[0, 3], [5, 8], [5, 13]])
    method = graphnnclr(graph_prior=True)
    method.take_index(PairIndex.of(pairs, IMAGES))
    drawn = torch.stack([method.choose_positives(ROWS, ROWS, generator_for(number)) for number in range(40)])
    partners = {row: set(drawn[:, row].tolist()) for row in range(IMAGES)}
    known = {0: {3}, 3: {0}, 5: {8, 13}, 8: {5}, 13: {5}}
    assert partners == {row: known.get(row, {row}) for row in range(IMAGES)}

    see_all(method, 2)
    candidates, _ = method.teacher_bank.votes(ROWS)
    anchor = method.teacher_bank.trusted(ROWS, candidates).nonzero()[0, 0]
    neighbour = candidates[anchor, -1]  # without the prior, it has fewest votes and is hardly ever drawn
    method.take_index(PairIndex.of(torch.stack([anchor, neighbour]).view(1, 2), IMAGES))
    assert all(method.choose_positives(ROWS, ROWS, generator_for(number))[anchor] == neighbour for number in range(20))


def test_the_share_of_neighbours_and_their_churn_are_measured() -> None:
    method = graphnnclr()
    rows = torch.tensor([0, 1, 2, 3])
    first = step(method, rows, torch.tensor([0, 9, 2, 11]))
    assert first["neighbour_views"] == 0.5 and first["neighbour_churn"] == 1.0
    see_all(method, 1)
    assert step(method, rows, rows)["neighbour_churn"] < 1.0


def test_what_is_kept_is_told_in_bytes() -> None:
    method = graphnnclr(graph_window=3, graph_edges=2)
    lists = 3 * (10 + 3) * (4 + 4) + 2 * 3 * 4
    size = IMAGES * (2 * WIDTH * 4 + lists)
    assert sum(bank.size_bytes for bank in (method.teacher_bank, method.student_bank)) == size
    assert method.notes()[0].startswith("0.0 MB") and "no second view" in method.notes()[1]  # of a run of 3 epochs
    assert "after 2 epochs" in graphnnclr(graph_window=2).notes()[1]


def test_banks_and_lists_are_in_the_state_dict() -> None:
    method = graphnnclr()
    see_all(method, 1)
    names = {"features", "ids", "similarities", "epochs"}
    kept = {f"{stream}_bank.{name}" for stream in ("teacher", "student") for name in names}
    assert kept <= method.state_dict().keys()
