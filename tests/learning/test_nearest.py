import torch

from miner.learning.nearest import nearest_by_blocks, nearest_rows
from miner.learning.randomness import generator_for


def test_nearest_rows_in_parts_are_those_at_once() -> None:
    generator = generator_for(0)
    gallery, queries = torch.randn(50, 6, generator=generator), torch.randn(33, 6, generator=generator)
    whole, parts = nearest_rows(queries, gallery, 7), nearest_rows(queries, gallery, 7, at_once=120)
    torch.testing.assert_close(parts[0], whole[0])
    assert torch.equal(parts[1], whole[1])
    assert torch.equal(whole[1], (queries @ gallery.T).argsort(dim=1, descending=True)[:, :7])


def test_nearest_by_blocks_is_a_search_of_what_counts() -> None:
    generator = generator_for(0)
    gallery, queries = torch.randn(50, 6, generator=generator), torch.randn(4, 6, generator=generator)
    filled = torch.rand(50, generator=generator) < 0.8
    products = (queries @ gallery.T).masked_fill(~filled, -torch.inf).sort(dim=1, descending=True, stable=True)
    values, ids = nearest_by_blocks(queries, gallery, 5, filled, at_once=4 * 7)
    assert torch.equal(ids, products.indices[:, :5])
    torch.testing.assert_close(values, products.values[:, :5])


def test_nearest_by_blocks_tells_where_too_few_rows_count() -> None:
    filled = torch.tensor([False, True, False])
    values, ids = nearest_by_blocks(torch.ones(1, 2), torch.eye(3, 2), 2, filled)
    assert values.tolist() == [[1.0, 0.0]] and ids.tolist() == [[1, -1]]
