"""Can the precision of a similarity band be estimated without labels? Every estimator of `estimators/` against labels.

    python tests/bench/precision.py --sources cifar10:10000 fashion-mnist:5000 clothing160 \\
        --encoders efficientnet_lite0 efficientnet_lite1 efficientnet_lite2 run:FOLDER random_resnet18 pixels

Per set and encoder: the duplicate ceiling of `miner calibrate`, and below it the 10 most similar pairs per image in five slices.
Each estimator is judged as it is, and after a logistic curve has been fitted to it on the other sets (leave one set out), since a
number that rises with precision is of use only if the same number means the same precision elsewhere. The bar, set beforehand:
over all encoders, sets and bands of 0.1, 1 and 10 pairs per image, mean absolute error at most 0.05 and none above 0.15.
"""

import argparse
import re
from pathlib import Path
from typing import Any

import numpy as np
from estimators import Estimates
from estimators.closure import closure
from estimators.empirical_null import empirical_null
from estimators.feature_groups import feature_groups, tests_on_pairs
from estimators.mixture import mixture
from estimators.pseudo_classes import pseudo_classes
from estimators.reciprocity import reciprocity
from estimators.second_encoder import second_encoder
from estimators.shared_neighbours import shared_neighbours
from estimators.view_retention import view_retention
from precision_data import PER_IMAGE, Case, load_case, nearest, short
from precision_judge import (
    BANDS,
    MEAN_BAR,
    WORST_BAR,
    Ways,
    all_ways,
    encoder_of,
    kept,
    rounded,
    set_of,
    summary,
    to_bands,
)
from precision_plot import plot
from record import publish

from miner.artifacts.pairs.band import Band
from miner.artifacts.pairs.statistics import chance_precision

_NEIGHBOURS = 50
_TOP = 0.02  # of all pairs, where an encoder's vote has to be yes or no
_COARSER = {  # the same images with coarser classes: vehicles and animals; upper wear, trousers, shoes, bags
    "cifar10": (0, 0, 1, 1, 1, 1, 1, 1, 0, 0),
    "fashion-mnist": (0, 1, 0, 0, 0, 2, 0, 2, 3, 2),
}


def single_encoder(case: Case) -> dict[str, Estimates]:
    """What the vectors, and augmentations of the images, say on their own."""
    neighbours = nearest(case.units, _NEIGHBOURS)
    return {
        "empirical_null_normal": empirical_null(case.histogram.counts, case.ranges, "normal"),
        "empirical_null_beta": empirical_null(case.histogram.counts, case.ranges, "beta"),
        "mixture": mixture(case.histogram.counts, case.ranges),
        "shared_neighbours": shared_neighbours(neighbours, case.slices),
        "reciprocity": reciprocity(neighbours, case.slices),
        "closure": closure(len(case.units), case.slices, case.slices),
        "pseudo_classes": pseudo_classes(case.units, case.slices),
        "feature_groups": feature_groups(case.units, case.slices),
        "view_retention": view_retention(case.units, *case.viewed),
    }


def several_encoders(case: Case, others: list[Case]) -> dict[str, Estimates]:
    """What the other encoders of the same images say: the first and the last of the list, and all together.

    `told_chance` are no label-free estimates: they are told the share of random pairs that are of one class.
    """
    chance = chance_precision(case.labels)
    return {
        "second_encoder_first": second_encoder(others[0].units, case.slices, _TOP),
        "second_encoder_last": second_encoder(others[-1].units, case.slices, _TOP),
        "latent_class": tests_on_pairs([other.units for other in others], case.slices, _TOP, seed=0),
        "second_encoder_first_told_chance": second_encoder(others[0].units, case.slices, chance),
        "latent_class_told_chance": tests_on_pairs([other.units for other in others], case.slices, chance, seed=0),
    }


def slice_precision(case: Case, labels: np.ndarray) -> Estimates:
    return np.array([np.mean(labels[a] == labels[b]) for a, b in case.slices])


def case_record(case: Case, truth: np.ndarray, columns: dict[str, dict[str, np.ndarray]]) -> dict[str, Any]:
    """Ceiling, chance, and the whole table of one case."""
    record = {
        "case": case.name,
        "images": len(case.units),
        "dim": case.units.shape[1],
        "ceiling": case.ceiling,
        "pairs_per_image_above_ceiling": rounded(case.histogram.pairs_in(Band(case.ceiling, 1.0)) / len(case.units)),
        "chance": rounded(chance_precision(case.labels)),
        "slice_min": rounded([low for low, _ in case.ranges]),
        "label_precision": {"slices": rounded(truth), "bands": rounded(to_bands(truth))},
        "estimates": {
            name: {
                f"{way}_{unit}": rounded(values)
                for way in ("as_is", "other_sets")
                if way in ways
                for unit, values in (("slices", ways[way]), ("bands", to_bands(ways[way])))
            }
            for name, ways in columns.items()
        },
    }
    if mapping := _COARSER.get(set_of(case)):
        coarse = slice_precision(case, np.array(mapping)[case.labels])
        record["label_precision_with_coarser_classes"] = {"bands": rounded(to_bands(coarse))}
    return record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", nargs="+", required=True, help="SOURCE or SOURCE:LIMIT, with labels")
    parser.add_argument("--encoders", nargs="+", required=True, help="of miner embed, and random_resnet18, pixels")
    parser.add_argument("--subset", nargs="*", default=["lite0", "lite1", "lite2"], help="judged once more, alone")
    parser.add_argument("--cache", type=Path, default=Path("datasets_out/precision"))
    parser.add_argument("--plot", type=Path, default=Path("docs/precision.png"))
    options = parser.parse_args()

    cases: list[Case] = []
    raw: list[dict[str, Estimates]] = []
    for source in options.sources:
        name, limit = re.fullmatch(r"(.+?)(?::(\d+))?", source).groups()
        group = [load_case(name, encoder, int(limit or 10**9), options.cache) for encoder in options.encoders]
        for case in group:
            others = [other for other in group if other is not case]
            raw.append(single_encoder(case) | several_encoders(case, others))
            print(case.name, {key: value.round(3).tolist() for key, value in raw[-1].items()}, flush=True)
        cases += group

    truths = [slice_precision(case, case.labels) for case in cases]
    ways = all_ways(cases, raw, truths)
    judged = summary(ways, truths)
    plot(options.plot, cases, [to_bands(t) for t in truths], _bands_of(ways, "other_sets"))
    subset = [name for name in options.subset if name in map(short, options.encoders)]
    some = [number for number, case in enumerate(cases) if encoder_of(case) in subset]
    among = [[values[number] for number in some] for values in (cases, raw, truths)]
    publish(
        "precision",
        {
            "bar": {"band_mean_error": MEAN_BAR, "band_worst_error": WORST_BAR},
            "pairs_per_image": {"slices": PER_IMAGE, "bands": BANDS},
            "encoders": [short(name) for name in options.encoders],
            "kept": kept(judged),
            "summary": judged,
            "summary_of_subset": {"encoders": subset, **summary(all_ways(*among), among[2])} if some else None,
            "cases": [
                case_record(case, truth, {name: {w: e[number] for w, e in way.items()} for name, way in ways.items()})
                for number, (case, truth) in enumerate(zip(cases, truths, strict=True))
            ],
        },
    )


def _bands_of(ways: Ways, way: str) -> dict[str, list[np.ndarray]]:
    return {name: [to_bands(estimates) for estimates in found[way]] for name, found in ways.items()}


if __name__ == "__main__":
    main()
