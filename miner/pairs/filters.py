"""The filters of `miner pairs`: each says which of the pairs that a rule has chosen are kept."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from miner.artifacts.pairs.selection import capped, most_similar_first
from miner.pairs.constraints import Constraint
from miner.pairs.options import PairsOptions
from miner.pairs.tables.found import FoundPairs

Filter = Callable[[FoundPairs], NDArray[np.bool_]]


def filters_of(options: PairsOptions, constraints: Sequence[Constraint], images: int) -> list[Filter]:
    """The filters that the options ask for, in the order in which they apply: caps come last, so that they count what is kept.

    Args:
        images: that were searched.
    """
    filters: list[Filter] = [constraint.met_by for constraint in constraints]
    top_k, most = options.top_k, options.most_similar
    if not options.agree:
        filters += rule_filters(options)
    if top_k is not None:
        filters.append(lambda pairs: capped(pairs.a, pairs.b, pairs.similarity, top_k))
    if most is not None:
        count = round(most * images) if most < 1 else int(most)
        filters.append(lambda pairs: _most_similar(pairs, count))
    return filters


def rule_filters(options: PairsOptions) -> list[Filter]:
    """The filters that belong to the rule: they apply in each embedding that votes."""
    filters: list[Filter] = []
    low = options.limits[0]
    if options.chosen_rule.name != "band" and options.min is not None:
        filters.append(lambda pairs: pairs.similarity >= low)
    if options.mutual:
        filters.append(lambda pairs: np.asarray(pairs.evidence["mutual"], bool))
    return filters


def kept_by(filters: Sequence[Filter], pairs: FoundPairs) -> NDArray[np.bool_]:
    """Which pairs pass all filters, bool (m,). Each filter sees what the filters before it have kept."""
    keep = np.ones(len(pairs), bool)
    for chosen in filters:
        keep[np.flatnonzero(keep)] = chosen(pairs.select(keep))
    return keep


def _most_similar(pairs: FoundPairs, most: int) -> NDArray[np.bool_]:
    keep = np.zeros(len(pairs), bool)
    keep[most_similar_first(pairs.a, pairs.b, pairs.similarity)[:most]] = True
    return keep
