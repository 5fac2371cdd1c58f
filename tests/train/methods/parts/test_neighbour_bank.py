"""Five images on a circle, by hand: their features are unit vectors at angles, so similarities are cosines of differences."""

import math

import pytest
import torch
from torch import Tensor

from miner.train.methods.parts.neighbour_bank import NeighbourBank, draw_by_votes, edge_homophily

DEGREES = (0.0, 10.0, 30.0, 64.0, 100.0)


def on_circle(*degrees: float) -> Tensor:
    angles = torch.tensor(degrees) * math.pi / 180
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def cosine(degrees: float) -> float:
    return math.cos(math.radians(degrees))


def five(window: int = 2, listed: int = 3) -> NeighbourBank:
    """A bank that has seen all five images in epoch 0, one a step, the nearest to 0 degrees first."""
    bank = NeighbourBank(5, 2, window=window, listed=listed)
    for row, degrees in enumerate(DEGREES):
        bank.take(torch.tensor([row]), on_circle(degrees), 0)
    return bank


def test_lists_hold_what_was_in_the_bank_before_the_step() -> None:
    bank = five()
    torch.testing.assert_close(bank.features, on_circle(*DEGREES))
    assert bank.ids[:, 0].tolist() == [[-1, -1, -1], [0, -1, -1], [1, 0, -1], [2, 1, 0], [3, 2, 1]]
    expected = [[cosine(34), cosine(54), cosine(64)], [cosine(36), cosine(70), cosine(90)]]
    torch.testing.assert_close(bank.similarities[3:, 0], torch.tensor(expected), atol=1e-6, rtol=0)
    assert (bank.ids[:, 1] == -1).all() and bank.epochs.tolist() == [[0, -1]] * 5


def test_rings_write_over_their_oldest_list_and_once_an_epoch() -> None:
    bank = five()
    rows = torch.arange(5)
    bank.take(rows, on_circle(*DEGREES), 1)
    assert bank.ids[:, 1].tolist() == [[0, 1, 2], [1, 0, 2], [2, 1, 0], [3, 2, 4], [4, 3, 2]]
    # Image 0 moves to 95 degrees; it meets its own old feature at 0.
    bank.take(rows[:1], on_circle(95), 2)
    assert bank.epochs[0].tolist() == [2, 1] and bank.ids[0].tolist() == [[4, 3, 2], [0, 1, 2]]
    # Again in the same epoch, at 4 degrees: the list of this epoch is replaced, and that of epoch 1 stays.
    bank.take(rows[:1], on_circle(4), 2)
    assert bank.epochs[0].tolist() == [2, 1] and bank.ids[0].tolist() == [[1, 2, 3], [0, 1, 2]]
    torch.testing.assert_close(bank.features, on_circle(4, *DEGREES[1:]))


def test_graph_edges_are_the_first_others_of_every_list() -> None:
    bank = five()
    bank.take(torch.arange(5), on_circle(*DEGREES), 1)
    bank.take(torch.arange(2), on_circle(6, 10), 2)
    edges = bank.edges(2)
    assert list(zip(*(column.tolist() for column in edges[:3]), strict=True)) == [
        (0, 1, 1), (0, 2, 1), (0, 1, 2), (0, 2, 2),  # epoch 0, when there was nobody, has been written over
        (1, 0, 1), (1, 2, 1), (1, 0, 2), (1, 2, 2),
        (2, 1, 0), (2, 0, 0), (2, 1, 1), (2, 0, 1),
        (3, 2, 0), (3, 1, 0), (3, 2, 1), (3, 4, 1),
        (4, 3, 0), (4, 2, 0), (4, 3, 1), (4, 2, 1),
    ]  # fmt: skip
    known = {(0, 1, 1): 10, (0, 2, 2): 24, (2, 0, 1): 30, (4, 2, 0): 70}
    similarities = dict(
        zip(zip(*(column.tolist() for column in edges[:3]), strict=True), edges[3].tolist(), strict=True)
    )
    for edge, degrees in known.items():
        assert similarities[edge] == pytest.approx(cosine(degrees), abs=1e-6)
    assert (bank.newest(1) >= 0).sum(dim=1).tolist() == [1] * 5
    assert bank.newest(1).amax(dim=1).tolist() == [1, 0, 1, 2, 3]
    assert (edges.nodes != edges.neighbours).all()


def test_votes_are_similarities_summed_over_the_lists() -> None:
    bank = five()
    bank.take(torch.arange(5), on_circle(*DEGREES), 1)
    candidates, votes = bank.votes(torch.tensor([4, 2]))
    # Image 4 has [3, 2, 1] of epoch 0 and [4, 3, 2] of epoch 1; image 2 has [1, 0] and [2, 1, 0].
    assert candidates.tolist() == [[3, 4, 2], [1, 0, 2]]
    expected = [[2 * cosine(36), 1.0, 2 * cosine(70)], [2 * cosine(20), 2 * cosine(30), 1.0]]
    torch.testing.assert_close(votes, torch.tensor(expected), atol=1e-6, rtol=0)
    assert bank.trusted(torch.tensor([4, 2]), candidates).tolist() == [False, False]
    # After another epoch, each has met itself in both lists.
    bank.take(torch.arange(5), on_circle(*DEGREES), 2)
    candidates, _ = bank.votes(torch.tensor([4, 2]))
    assert candidates[:, 0].tolist() == [4, 2] and bank.trusted(torch.tensor([4, 2]), candidates).tolist() == [
        True,
        True,
    ]


def test_nobody_is_trusted_before_all_lists_are_there() -> None:
    bank, rows = five(window=3), torch.arange(2)
    bank.take(rows, on_circle(*DEGREES[:2]), 1)
    candidates, _ = bank.votes(rows)
    assert candidates[0, 0] == 0 and not bank.trusted(rows, candidates).any()
    bank.take(rows, on_circle(*DEGREES[:2]), 2)
    candidates, votes = bank.votes(rows)
    # 0 saw nobody in epoch 0 and itself twice; 1 gave 0 three votes of cos(10), more than two for itself.
    assert bank.trusted(rows, candidates).tolist() == [True, False]
    torch.testing.assert_close(votes[:, 0], torch.tensor([2.0, 3 * cosine(10)]), atol=1e-6, rtol=0)


def test_where_there_are_fewer_candidates_the_rest_is_marked() -> None:
    candidates, votes = five().votes(torch.tensor([0, 1]))
    assert candidates.tolist() == [[-1, -1, -1], [0, -1, -1]]
    assert votes[0].tolist() == [-torch.inf] * 3 and votes[1, 1:].tolist() == [-torch.inf] * 2


def test_candidates_are_drawn_by_a_sharp_softmax_of_mean_votes() -> None:
    candidates = torch.tensor([[7, 8, -1]])
    # Means that are ln(3) / 1000 apart: three to one.
    votes = torch.tensor([[4.0, 4.0 - 4 * math.log(3) / 1000, -torch.inf]])
    uniform = torch.linspace(0, 1, 2001)[:-1]
    drawn = draw_by_votes(candidates.expand(2000, -1), votes.expand(2000, -1), 4, uniform)
    assert (drawn >= 0).all() and (drawn == 7).float().mean() == pytest.approx(0.75, abs=2e-3)


def test_churn_is_the_share_of_new_neighbours() -> None:
    bank = five()
    rows = torch.arange(5)
    assert bank.take(rows, on_circle(*DEGREES), 1) == pytest.approx(0.4)  # stayed: 0, 1, 2, 1 and 2 of two each
    assert bank.take(rows, on_circle(*DEGREES), 2) == 0
    assert NeighbourBank(5, 2, window=1, listed=2).take(rows, on_circle(*DEGREES), 0) == 1


def test_an_image_that_is_twice_in_a_step_is_taken_once() -> None:
    bank = five()
    bank.take(torch.tensor([2, 2, 2]), on_circle(31, 50, 70), 1)
    torch.testing.assert_close(bank.features[2:3], on_circle(31))
    assert bank.similarities[2, 1, 0] == pytest.approx(cosine(1), abs=1e-6)


def test_edge_homophily_is_the_share_of_edges_with_equal_labels() -> None:
    labels = torch.tensor([0, 0, 1, 1, -1])
    neighbours = torch.tensor([[1, 2], [0, 4], [3, -1], [0, 1], [0, 1]])
    # Known: 0-1, 0-2, 1-0, 2-3, 3-0, 3-1; of one label: 0-1, 1-0, 2-3.
    assert edge_homophily(neighbours, labels) == 0.5


def test_without_labels_there_is_no_edge_homophily() -> None:
    assert math.isnan(edge_homophily(torch.tensor([[1], [0]]), torch.tensor([-1, -1])))
